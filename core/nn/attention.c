/* attention.c: heads and stripes of queries; the arithmetic is one kernel. */
#include "nn/attention.h"

/* Head by head, in stripes of queries: the scores of a stripe are the largest thing in scratch,
 * and a poll comes after each. */
nlp_status nlp_attend(const nlp_kernels *kernels, const nlp_attention_shape *shape, size_t n_tokens,
                      const float *qkv, float *out, float *scratch, nlp_poll *poll,
                      nlp_error *err) {
    size_t width = shape->n_heads * shape->head_dim;
    for (size_t head = 0; head < shape->n_heads; head++) {
        const float *q = qkv + head * shape->head_dim;
        nlp_attention_args args = {.q = q,
                                   .k = q + width,
                                   .v = q + 2 * width,
                                   .stride = 3 * width,
                                   .n_tokens = n_tokens,
                                   .head_dim = shape->head_dim,
                                   .scale = shape->scale,
                                   .out = out + head * shape->head_dim,
                                   .out_stride = width,
                                   .scratch = scratch};
        for (size_t first = 0; first < n_tokens; first += NLP_STRIPE) {
            args.first_query = first;
            args.n_queries = n_tokens - first < NLP_STRIPE ? n_tokens - first : NLP_STRIPE;
            kernels->attention(&args);
            NLP_TRY(nlp_poll_work(poll, (uint64_t)8 * args.n_queries * n_tokens * shape->head_dim,
                                  err));
        }
    }
    return NLP_OK;
}
