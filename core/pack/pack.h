/* pack.h: reading a pack (checked like a stranger's file: any bytes give a status, never a fault)
 * and writing one. */
#ifndef NLP_PACK_PACK_H
#define NLP_PACK_PACK_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/poll.h"
#include "pack/pack_format.h"
#include "tensor/gemm.h"

/* A view over mapped bytes: pointers into them, nothing owned. Any thread. */
typedef struct nlp_pack {
    const uint8_t *bytes;
    size_t n_bytes;
    const nlp_pack_header *header;
    const nlp_pack_section *sections; /* header->n_sections */
    const nlp_pack_tensor *tensors;   /* n_tensors, sorted by name */
    size_t n_tensors;
    const uint8_t *weights;
} nlp_pack;

typedef struct nlp_span {
    const uint8_t *bytes;
    size_t n_bytes;
} nlp_span;

/* Checks the header alone (first page): magic, version, byte order, layout, numerics. For listings
 * and the store. A newer or other version is NLP_EUNSUPPORTED with "import it again", damage is
 * NLP_ECORRUPT. */
nlp_status nlp_pack_check_header(const void *page, size_t n_bytes, nlp_error *err);
/* Checks header, meta digest, section table, tensor table and string lists against n_bytes. bytes
 * must be 64-byte aligned and outlive the view. Does not hash the data: nlp_pack_digest does. */
nlp_status nlp_pack_open(const void *bytes, size_t n_bytes, nlp_pack *pack, nlp_error *err);
/* SHA-256 as the header defines it, polling; compare with header->digest. */
nlp_status nlp_pack_digest(const void *bytes, size_t n_bytes, nlp_poll *poll,
                           uint8_t digest[NLP_SHA256_BYTES], nlp_error *err);
/* The same of header and section table alone; bytes must hold them. */
void nlp_pack_meta_digest(const void *bytes, uint8_t digest[NLP_SHA256_BYTES]);
/* Bytes of a tensor; NLP_EUNSUPPORTED where type, layout and shape do not go together. */
nlp_status nlp_tensor_bytes(nlp_dtype dtype, uint32_t layout, uint64_t rows, uint64_t columns,
                            size_t *n_bytes, nlp_error *err);
/* Empty span where there is no such section. */
nlp_span nlp_pack_section_find(const nlp_pack *pack, const char *name);
/* NULL where there is no such tensor. */
const nlp_pack_tensor *nlp_pack_tensor_find(const nlp_pack *pack, const char *name);

/* String lists. index < count; the string is not terminated. count is 0 for an absent section. */
uint32_t nlp_pack_strings_count(const nlp_pack *pack, const char *section);
nlp_span nlp_pack_string(const nlp_pack *pack, const char *section, uint32_t index);
/* The text of a key in a list of pairs; empty where absent. */
nlp_span nlp_pack_pair(const nlp_pack *pack, const char *section, const char *key);

/* ---- Writing: collects in memory, finishes to one buffer; same input, same bytes. Sticky failure.
 */
typedef struct nlp_pack_writer nlp_pack_writer;

nlp_status nlp_pack_writer_open(nlp_mem *mem, uint32_t kind, nlp_dtype precision,
                                nlp_pack_writer **writer, nlp_error *err);
void nlp_pack_writer_close(nlp_pack_writer *writer); /* NULL is allowed */
void nlp_pack_writer_base(nlp_pack_writer *writer, const uint8_t base_digest[NLP_SHA256_BYTES]);
void nlp_pack_writer_section(nlp_pack_writer *writer, const char *name, const void *bytes,
                             size_t n_bytes); /* copied */
void nlp_pack_writer_string(nlp_pack_writer *writer, const char *section, const char *text,
                            size_t n_bytes);
void nlp_pack_writer_pair(nlp_pack_writer *writer, const char *section, const char *key,
                          const char *text);
/* Memory of the writer for a tensor's bytes (n_bytes as the reader expects for dtype, layout and
 * shape), to be filled by the caller before finish; NULL on failure. */
void *nlp_pack_writer_tensor(nlp_pack_writer *writer, const char *name, nlp_dtype dtype,
                             uint32_t layout, nlp_grid grid, uint64_t rows, uint64_t columns);
/* The finished pack, 64-byte aligned, owned by the writer. Reports the first sticky failure. */
nlp_status nlp_pack_writer_finish(nlp_pack_writer *writer, const uint8_t **bytes, size_t *n_bytes,
                                  nlp_error *err);

#endif
