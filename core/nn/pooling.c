/* pooling.c: rows ascending, one sum an output, so the bits do not depend on anything else. */
#include "nn/pooling.h"

#include <math.h>
#include <string.h>

static void pool_sum(const nlp_kernels *kernels, const float *hidden, size_t n_tokens, size_t first,
                     size_t width, float *out) {
    for (size_t t = first; t < n_tokens; t++) kernels->add(out, hidden + t * width, width);
}

static void pool_weighted(const nlp_kernels *kernels, const float *hidden, size_t n_tokens,
                          size_t first, size_t width, float *out) {
    float total = 0;
    for (size_t t = first; t < n_tokens; t++) {
        float weight = (float)(t - first + 1);
        kernels->axpy(out, hidden + t * width, weight, width);
        total += weight;
    }
    kernels->scale(out, width, 1.0f / total);
}

static void pool_max(const nlp_kernels *kernels, const float *hidden, size_t n_tokens, size_t first,
                     size_t width, float *out) {
    memcpy(out, hidden + first * width, width * sizeof *out);
    for (size_t t = first + 1; t < n_tokens; t++) kernels->maximum(out, hidden + t * width, width);
}

/* Rows before `first` (a prompt's tokens) do not count, except for the token that CLS and LAST
 * take. */
void nlp_pool(const nlp_kernels *kernels, uint32_t kind, const float *hidden, size_t n_tokens,
              size_t first, size_t width, float *out) {
    memset(out, 0, width * sizeof *out);
    if (first >= n_tokens) return;
    float count = (float)(n_tokens - first);
    switch (kind) {
    case NLP_POOL_CLS:
        memcpy(out, hidden, width * sizeof *out);
        break;
    case NLP_POOL_LAST:
        memcpy(out, hidden + (n_tokens - 1) * width, width * sizeof *out);
        break;
    case NLP_POOL_MAX:
        pool_max(kernels, hidden, n_tokens, first, width, out);
        break;
    case NLP_POOL_WEIGHTED_MEAN:
        pool_weighted(kernels, hidden, n_tokens, first, width, out);
        break;
    default:
        pool_sum(kernels, hidden, n_tokens, first, width, out);
        kernels->scale(out, width, 1.0f / (kind == NLP_POOL_MEAN_SQRT ? sqrtf(count) : count));
    }
}

void nlp_normalize(const nlp_kernels *kernels, float *vector, size_t n) {
    float squares = kernels->dot(vector, vector, n);
    if (squares > 0) kernels->scale(vector, n, 1.0f / sqrtf(squares));
}
