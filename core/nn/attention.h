/* attention.h: full attention of every head of one text. */
#ifndef NLP_NN_ATTENTION_H
#define NLP_NN_ATTENTION_H

#include "base/poll.h"
#include "tensor/kernels.h"

typedef struct nlp_attention_shape {
    size_t n_heads, head_dim;
    float scale; /* of the scores */
} nlp_attention_shape;

/* qkv [n_tokens, 3 * n_heads * head_dim] as the product leaves it: queries, keys, values. out
 * [n_tokens, n_heads * head_dim]. scratch: what the kernel asks for. */
nlp_status nlp_attend(const nlp_kernels *kernels, const nlp_attention_shape *shape, size_t n_tokens,
                      const float *qkv, float *out, float *scratch, nlp_poll *poll, nlp_error *err);

#endif
