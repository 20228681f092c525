/* linear.h: rows through a weight matrix, whatever its number format. */
#ifndef NLP_NN_LINEAR_H
#define NLP_NN_LINEAR_H

#include "tensor/gemm.h"

/* Scratch of nlp_linear: with factors a copy of the rows in t-space, then bytes and scales. 0 for f32
 * weights. */
size_t nlp_linear_scratch_bytes(const nlp_weight *weight, size_t m);

/* out [m, n] = epilogue(x W + b) for f32 rows x [m, k]; for other weights the rows are scaled by the
 * factors, where there are any, and quantised here. The plain way into a product; the encoder fuses these steps into its
 * norms and epilogues. */
nlp_status nlp_linear(const nlp_kernels *kernels, const nlp_weight *weight, size_t m,
                      const float *x, const nlp_epilogue *epilogue, float *out, void *scratch,
                      nlp_poll *poll, nlp_error *err);

#endif
