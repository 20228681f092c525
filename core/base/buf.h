/* buf.h: a growing byte buffer with sticky failure, and a bounded reader. Integers are
 * little-endian. */
#ifndef NLP_BASE_BUF_H
#define NLP_BASE_BUF_H

#include "base/mem.h"

typedef struct nlp_buf {
    nlp_mem *mem; /* borrowed */
    uint8_t *bytes;
    size_t n_bytes, capacity;
    size_t failed_bytes; /* sticky: the request that failed; 0: none */
} nlp_buf;

void nlp_buf_init(nlp_buf *buf, nlp_mem *mem);
void nlp_buf_deinit(nlp_buf *buf);
void nlp_buf_push(nlp_buf *buf, const void *bytes, size_t n_bytes);
void nlp_buf_push_zero(nlp_buf *buf, size_t n_bytes);
void nlp_buf_align(nlp_buf *buf, size_t alignment); /* zeroes up to a multiple of alignment */
void nlp_buf_push_u8(nlp_buf *buf, uint8_t value);
void nlp_buf_push_u32(nlp_buf *buf, uint32_t value);
void nlp_buf_push_u64(nlp_buf *buf, uint64_t value);
void nlp_buf_push_f32(nlp_buf *buf, float value);
nlp_status nlp_buf_status(const nlp_buf *buf, nlp_error *err);

/* A cursor over foreign bytes: carries what remains, so no read leaves them. Failure is sticky and
 * reads give zeros. */
typedef struct nlp_cursor {
    const uint8_t *at;
    size_t n_left;
    bool failed;
} nlp_cursor;

nlp_cursor nlp_cursor_of(const void *bytes, size_t n_bytes);
uint8_t nlp_read_u8(nlp_cursor *cursor);
uint16_t nlp_read_u16(nlp_cursor *cursor);
uint32_t nlp_read_u32(nlp_cursor *cursor);
uint64_t nlp_read_u64(nlp_cursor *cursor);
float nlp_read_f32(nlp_cursor *cursor);
/* Borrowed pointer to n_bytes inside the source, NULL (and failed) where fewer remain. */
const void *nlp_read_bytes(nlp_cursor *cursor, size_t n_bytes);

#endif
