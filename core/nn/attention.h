/* attention.h: attention of every head of one text over its keys. */
#ifndef NLP_NN_ATTENTION_H
#define NLP_NN_ATTENTION_H

#include "base/poll.h"
#include "nn/kv_cache.h"
#include "tensor/gemm.h"

/* What is added to the scores; a zeroed struct adds nothing. */
typedef struct nlp_score_bias {
    const float *relative; /* [n_heads, 2 * reach + 1] by clamp(key - query) */
    const float *slopes;   /* [n_heads]: -slope * |key - query| */
    const float *buckets;  /* [2 * reach + 1] by clamp(query - key): rows of the two below */
    /* [n_heads] of n = n_buckets, k = head_dim; either may be NULL */
    const nlp_weight *position_keys, *position_queries;
    size_t reach, n_buckets;
} nlp_score_bias;

typedef struct nlp_attention {
    size_t n_heads, n_kv_heads, head_dim;
    size_t q_stride, kv_stride, out_stride; /* floats between rows */
    size_t n_queries, n_keys;
    size_t position;      /* among the keys of query 0 */
    size_t before, after; /* keys that a query sees, or NLP_ALL_KEYS */
    float scale, cap;
    nlp_score_bias bias;
} nlp_attention;

/* Floats of scratch, from sizes that were checked. */
size_t nlp_attention_scratch(const nlp_attention *attention);

/* q [n_queries, n_heads * head_dim], k and v [n_keys, n_kv_heads * head_dim], out as q; rows lie
 * their strides apart. Key head = query head * n_kv_heads / n_heads. Polls after each stripe. */
nlp_status nlp_attend(const nlp_kernels *kernels, const nlp_attention *attention, const float *q,
                      const float *k, const float *v, float *out, float *scratch, nlp_poll *poll,
                      nlp_error *err);

/* The same bits for the few queries that a text goes on with: its keys and values, those of the queries
 * included, lie in `layer` of the cache. Bias: relative and slopes only. kv_stride is not used. */
nlp_status nlp_attend_cached(const nlp_kernels *kernels, const nlp_attention *attention,
                             const nlp_kv_cache *cache, size_t layer, const float *q, float *out,
                             float *scratch, nlp_poll *poll, nlp_error *err);

#endif
