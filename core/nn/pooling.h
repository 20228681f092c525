/* pooling.h: from the hidden states of one text to one vector. */
#ifndef NLP_NN_POOLING_H
#define NLP_NN_POOLING_H

#include "tensor/kernels.h"

/* Kinds; a pack may name several, whose vectors are concatenated in this order: cls, max, mean,
 * mean_sqrt, weighted mean, last. Numbers are part of the pack format. */
enum {
    NLP_POOL_CLS = 1,
    NLP_POOL_MAX = 2,
    NLP_POOL_MEAN = 4,
    NLP_POOL_MEAN_SQRT = 8,
    NLP_POOL_WEIGHTED_MEAN = 16,
    NLP_POOL_LAST = 32
};

/* One kind of pooling over rows first .. n_tokens - 1 of hidden [n_tokens, width] into
 * out [width]. mean = sum / count, mean_sqrt = sum / sqrt(count), weighted mean: weights 1 .. n. No
 * rows: zeros. */
void nlp_pool(const nlp_kernels *kernels, uint32_t kind, const float *hidden, size_t n_tokens,
              size_t first, size_t width, float *out);

/* To length 1; a zero vector stays as it is. */
void nlp_normalize(const nlp_kernels *kernels, float *vector, size_t n);

#endif
