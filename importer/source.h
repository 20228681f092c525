/* source.h: the named tensors of a foreign model, whatever container they lie in: where they are,
 * their shape, and how their bytes become floats. The readers of containers (safetensors.c, gguf.c,
 * torch_zip.c, ...) fill it. */
#ifndef NLP_IMPORTER_SOURCE_H
#define NLP_IMPORTER_SOURCE_H

#include "base/arena.h"
#include "base/poll.h"

enum { NLP_SOURCE_MAX_DIMS = 8, NLP_SOURCE_MAX_FILES = 64 };

typedef enum nlp_source_dtype {
    NLP_SOURCE_F32,
    NLP_SOURCE_F16,
    NLP_SOURCE_BF16,
    NLP_SOURCE_F64,
    /* blocks of GGUF: gguf_blocks.c */
    NLP_SOURCE_Q4_0,
    NLP_SOURCE_Q4_1,
    NLP_SOURCE_Q5_0,
    NLP_SOURCE_Q5_1,
    NLP_SOURCE_Q8_0,
    NLP_SOURCE_Q2_K,
    NLP_SOURCE_Q3_K,
    NLP_SOURCE_Q4_K,
    NLP_SOURCE_Q5_K,
    NLP_SOURCE_Q6_K,
    NLP_SOURCE_IQ4_NL,
    NLP_SOURCE_IQ4_XS,
    NLP_SOURCE_MXFP4,
    NLP_SOURCE_S8, /* times `scale` */
    NLP_SOURCE_I8, /* whole numbers; the reader of a family makes S8 of it where it knows the scale */
    NLP_SOURCE_OTHER /* known and no weight: whole numbers */
} nlp_source_dtype;

typedef struct nlp_source_tensor {
    const char *name;
    nlp_source_dtype dtype;
    uint32_t n_dims;
    uint64_t shape[NLP_SOURCE_MAX_DIMS]; /* outermost first, as PyTorch has it */
    uint64_t n_elements;
    uint64_t offset, n_bytes; /* in its file */
    float scale;              /* of S8 */
    int file;
    bool used; /* by the importer: a role has claimed it */
    /* what the container's writer did to the numbers; reading undoes it. The shape is the one before. */
    uint32_t turned_heads; /* rows of each head were permuted for neighbours that turn; 0: not */
    bool minus_one;        /* norms hold 1 + w where the family stores w */
    bool transposed;       /* two dimensions were swapped */
    /* row i is row gather[i] of stored_rows, times row_scales[i]; NULL: itself, times 1 */
    const uint32_t *gather;
    const float *row_scales;
    uint64_t stored_rows; /* 0: none of this */
} nlp_source_tensor;

typedef struct nlp_source {
    nlp_mem *mem;
    nlp_arena arena; /* names and tensors */
    int fds[NLP_SOURCE_MAX_FILES];
    const char *paths[NLP_SOURCE_MAX_FILES]; /* from the arena */
    int n_files;
    nlp_source_tensor *tensors;
    size_t n_tensors, capacity;
} nlp_source;

void nlp_source_init(nlp_source *source, nlp_mem *mem);
void nlp_source_close(nlp_source *source);
/* Opens one more file of weights; its index goes into tensors. */
nlp_status nlp_source_add_file(nlp_source *source, const char *path, uint64_t *n_bytes,
                               nlp_error *err);
/* A zeroed tensor at the end of the list; NULL when out of memory. */
nlp_source_tensor *nlp_source_push(nlp_source *source);
nlp_source_tensor *nlp_source_find(const nlp_source *source,
                                   const char *name); /* NULL where there is none */
/* Elements and bytes of a block (of single numbers: 1 element). 0 for I8 and OTHER. */
uint32_t nlp_source_block_elements(nlp_source_dtype dtype);
uint32_t nlp_source_block_bytes(nlp_source_dtype dtype);
/* All elements as f32 (exact from F16 and BF16; F64 is rounded). NaN and infinity are refused. */
nlp_status nlp_source_read(const nlp_source *source, const nlp_source_tensor *tensor, float *out,
                           nlp_poll *poll, nlp_error *err);
/* The stored bytes of a tensor. */
nlp_status nlp_source_read_bytes(const nlp_source *source, const nlp_source_tensor *tensor,
                                 uint8_t *out, nlp_poll *poll, nlp_error *err);

/* gguf_blocks.c: one block of a quantised type to floats, bit for bit as ggml's dequantize_row. */
void nlp_block_decode(nlp_source_dtype dtype, const uint8_t *block, float *out);

#endif
