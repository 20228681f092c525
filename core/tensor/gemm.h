/* gemm.h: y = epilogue(x W + b) over prepacked panels: row blocks, panels, tails, polls. The one
 * door to products. */
#ifndef NLP_TENSOR_GEMM_H
#define NLP_TENSOR_GEMM_H

#include "base/poll.h"
#include "tensor/kernels.h"

#define NLP_BLOCK_ROWS    96 /* rows that stay in cache while the panels stream */
#define NLP_ADDEND_PANELS 8  /* most panels of a tile that has an addend */

typedef enum nlp_dtype {
    NLP_F32 = 0,
    NLP_I8 = 1,
    NLP_I16 = 2,
    NLP_Q4 = 3,
    NLP_S8_ROWS = 4, /* embedding table: s8 rows + f32 scale a row */
    NLP_Q4M = 5      /* q4 with minima */
} nlp_dtype;

/* A weight matrix as it lies in the pack. Borrowed; filled by model/binding.c. */
typedef struct nlp_weight {
    nlp_dtype dtype;      /* not NLP_S8_ROWS */
    nlp_grid grid;        /* of its input, for i8 */
    size_t k, n;          /* inputs, outputs */
    const void *panels;   /* layouts: quant.h */
    const float *factors; /* [k] channel factors of its input, for i8; else NULL */
} nlp_weight;

/* Rows on their way into a product. For an f32 weight only f32 is used, for others q and q_scales. */
typedef struct nlp_rows {
    const float *f32;      /* [m, k] */
    const uint8_t *q;      /* [m] rows of nlp_row_bytes, as nlp_product says */
    const float *q_scales; /* [m], for i8 and i16 */
} nlp_rows;

/* The k of a panel that have weights other than zero. */
typedef struct nlp_k_span {
    uint32_t first, end;
} nlp_k_span;

/* What an adapter adds to the outputs of a product: rows times a low-rank matrix. It is made tile by tile,
 * right before the product's own tile, so that it never leaves the first cache levels. */
typedef struct nlp_addend {
    const nlp_weight *up;    /* f32, [rank, n], without bias */
    const nlp_k_span *spans; /* of up's panels */
    const float *rows;       /* [m, rank] */
    float *tile;             /* scratch: [NLP_BLOCK_ROWS, NLP_ADDEND_PANELS * NLP_PANEL] */
} nlp_addend;
/* Fills the spans of an f32 matrix: [panels of n]. */
void nlp_k_spans(const nlp_weight *weight, nlp_k_span *spans);

/* Bytes of a row of k numbers that enters a product with weights of this type; 0: f32 itself. */
size_t nlp_row_bytes(nlp_dtype dtype, size_t k);
/* The most that a type needs. */
size_t nlp_row_bytes_most(size_t k);
/* Quantises rows x [m, k] for a weight that is not f32; for i8 its factors are in x already.
 * row_max: the epilogue's, or NULL. */
void nlp_rows_quantise(const nlp_kernels *kernels, const nlp_weight *weight, size_t m,
                       const float *x, const float *row_max, uint8_t *q, float *q_scales);

/* out [m, n]. Must not alias the rows or the residual. Polls in steps of under 0.3 ms. One thread per call. */
nlp_status nlp_gemm(const nlp_kernels *kernels, const nlp_weight *weight, size_t m,
                    const nlp_rows *rows, const nlp_epilogue *epilogue /* NULL: store */,
                    float *out, nlp_poll *poll, nlp_error *err);

/* Backend `openblas` (gemm_openblas.c): f32 only, unfused, outside the rule of equal bits. Loads
 * the library on first use with one thread. NLP_EUNSUPPORTED where it can't be loaded. */
nlp_status nlp_gemm_openblas(const nlp_kernels *kernels, const nlp_weight *weight, size_t m,
                             const nlp_rows *rows, const nlp_epilogue *epilogue, float *out,
                             nlp_poll *poll, nlp_error *err);
nlp_status nlp_openblas_load(nlp_error *err);

#endif
