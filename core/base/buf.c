/* buf.c: bytes in, bytes out. This machine is little-endian (checked at build), so integers are
 * copied as they lie. */
#include "base/buf.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "packs are little-endian and read in place: big-endian machines are not supported"
#endif

void nlp_buf_init(nlp_buf *buf, nlp_mem *mem) {
    *buf = (nlp_buf){.mem = mem};
}

void nlp_buf_deinit(nlp_buf *buf) {
    nlp_mem_free(buf->mem, buf->bytes, buf->capacity);
    buf->bytes = NULL;
    buf->n_bytes = buf->capacity = 0;
}

/* Room for n_bytes more; sticky failure. */
static bool reserve(nlp_buf *buf, size_t n_bytes) {
    size_t needed, capacity = buf->capacity ? buf->capacity : 256;
    if (buf->failed_bytes) return false;
    if (nlp_add_overflows(buf->n_bytes, n_bytes, &needed)) needed = SIZE_MAX;
    if (needed <= buf->capacity) return true;
    while (capacity < needed && capacity <= SIZE_MAX / 2) capacity *= 2;
    if (capacity < needed) capacity = needed;
    uint8_t *bytes = nlp_mem_resize(buf->mem, buf->bytes, buf->capacity, capacity);
    if (!bytes) {
        buf->failed_bytes = capacity;
        return false;
    }
    buf->bytes = bytes;
    buf->capacity = capacity;
    return true;
}

void nlp_buf_push(nlp_buf *buf, const void *bytes, size_t n_bytes) {
    if (!n_bytes || !reserve(buf, n_bytes)) return;
    memcpy(buf->bytes + buf->n_bytes, bytes, n_bytes);
    buf->n_bytes += n_bytes;
}

void nlp_buf_push_zero(nlp_buf *buf, size_t n_bytes) {
    if (!n_bytes || !reserve(buf, n_bytes)) return;
    memset(buf->bytes + buf->n_bytes, 0, n_bytes);
    buf->n_bytes += n_bytes;
}

void nlp_buf_align(nlp_buf *buf, size_t alignment) {
    size_t beyond = buf->n_bytes % alignment;
    if (beyond) nlp_buf_push_zero(buf, alignment - beyond);
}

void nlp_buf_push_u8(nlp_buf *buf, uint8_t value) {
    nlp_buf_push(buf, &value, sizeof value);
}
void nlp_buf_push_u32(nlp_buf *buf, uint32_t value) {
    nlp_buf_push(buf, &value, sizeof value);
}
void nlp_buf_push_u64(nlp_buf *buf, uint64_t value) {
    nlp_buf_push(buf, &value, sizeof value);
}
void nlp_buf_push_f32(nlp_buf *buf, float value) {
    nlp_buf_push(buf, &value, sizeof value);
}

nlp_status nlp_buf_status(const nlp_buf *buf, nlp_error *err) {
    return buf->failed_bytes ? nlp_mem_fail(buf->mem, buf->failed_bytes, err) : NLP_OK;
}

/* ---- Cursor ---- */

nlp_cursor nlp_cursor_of(const void *bytes, size_t n_bytes) {
    return (nlp_cursor){.at = bytes, .n_left = n_bytes};
}

const void *nlp_read_bytes(nlp_cursor *cursor, size_t n_bytes) {
    if (cursor->failed || n_bytes > cursor->n_left) {
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *at = cursor->at;
    cursor->at += n_bytes;
    cursor->n_left -= n_bytes;
    return at;
}

static void read_into(nlp_cursor *cursor, void *out, size_t n_bytes) {
    const void *at = nlp_read_bytes(cursor, n_bytes);
    if (at)
        memcpy(out, at, n_bytes);
    else
        memset(out, 0, n_bytes);
}

#define READER(name, type)                                                                         \
    type name(nlp_cursor *cursor) {                                                                \
        type value;                                                                                \
        read_into(cursor, &value, sizeof value);                                                   \
        return value;                                                                              \
    }
READER(nlp_read_u8, uint8_t)
READER(nlp_read_u16, uint16_t)
READER(nlp_read_u32, uint32_t)
READER(nlp_read_u64, uint64_t)
READER(nlp_read_f32, float)
