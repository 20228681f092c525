/* gemm.h: y = epilogue(x W + b) over prepacked panels: row blocks, panels, tails, polls. The one
 * door to products. */
#ifndef NLP_TENSOR_GEMM_H
#define NLP_TENSOR_GEMM_H

#include "base/poll.h"
#include "tensor/kernels.h"

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
