/* attention.c: heads and stripes of queries, and the bias of a stripe; the arithmetic of attention
 * itself is one kernel. */
#include "nn/attention.h"

#include <string.h>

typedef struct attending {
    const nlp_kernels *kernels;
    const nlp_attention *a;
    const float *q, *k; /* of the head */
    size_t head;
    float *bias;              /* [n_keys][NLP_STRIPE] */
    float *contiguous;        /* [max(n_queries, n_keys), head_dim] */
    float *by_query, *by_key; /* [n_queries, n_buckets], [n_keys, n_buckets] */
    nlp_poll *poll;
    nlp_error *err;
} attending;

static bool has_bias(const nlp_score_bias *b) {
    return b->relative || b->slopes || b->buckets;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

size_t nlp_attention_scratch(const nlp_attention *a) {
    size_t n = NLP_STRIPE * (a->head_dim + a->n_keys);
    if (has_bias(&a->bias)) n += NLP_STRIPE * a->n_keys;
    if (a->bias.buckets)
        n += larger(a->n_queries, a->n_keys) * a->head_dim +
             (a->n_queries + a->n_keys) * a->bias.n_buckets;
    return (n + NLP_LANES - 1) / NLP_LANES * NLP_LANES;
}

/* ---- Bias ---- */

/* Distance held to -reach .. reach, as an index of a table of 2 * reach + 1. */
static size_t clamped(size_t to, size_t from, size_t reach) {
    if (to >= from) return reach + (to - from < reach ? to - from : reach);
    return reach - (from - to < reach ? from - to : reach);
}

static void relative_bias(const attending *s, size_t first, size_t n) {
    const nlp_attention *a = s->a;
    const float *table = a->bias.relative + s->head * (2 * a->bias.reach + 1);
    for (size_t t = 0; t < a->n_keys; t++)
        for (size_t i = 0; i < n; i++)
            s->bias[t * NLP_STRIPE + i] = table[clamped(t, a->position + first + i, a->bias.reach)];
}

static void alibi_bias(const attending *s, size_t first, size_t n) {
    float slope = s->a->bias.slopes[s->head];
    for (size_t t = 0; t < s->a->n_keys; t++)
        for (size_t i = 0; i < n; i++) {
            size_t p = s->a->position + first + i;
            s->bias[t * NLP_STRIPE + i] = -slope * (float)(t > p ? t - p : p - t);
        }
}

/* (Q_i . Kr[x] + K_j . Qr[x]) * scale with x = bucket(i - j), both products made before. */
static void disentangled_bias(const attending *s, size_t first, size_t n) {
    const nlp_attention *a = s->a;
    const nlp_score_bias *b = &a->bias;
    for (size_t t = 0; t < a->n_keys; t++)
        for (size_t i = 0; i < n; i++) {
            size_t x = (size_t)b->buckets[clamped(a->position + first + i, t, b->reach)];
            float sum = 0;
            if (b->position_keys) sum += s->by_query[(first + i) * b->n_buckets + x];
            if (b->position_queries) sum += s->by_key[t * b->n_buckets + x];
            s->bias[t * NLP_STRIPE + i] = sum * a->scale;
        }
}

static const float *bias_of(const attending *s, size_t first, size_t n) {
    const nlp_score_bias *b = &s->a->bias;
    if (!has_bias(b)) return NULL;
    if (n < NLP_STRIPE) memset(s->bias, 0, s->a->n_keys * NLP_STRIPE * sizeof *s->bias);
    if (b->relative)
        relative_bias(s, first, n);
    else if (b->slopes)
        alibi_bias(s, first, n);
    else
        disentangled_bias(s, first, n);
    return s->bias;
}

/* Rows of one head, behind each other, through its small product. */
static nlp_status position_scores(const attending *s, const nlp_weight *weights, const float *rows,
                                  size_t n, size_t stride, float *out) {
    size_t width = s->a->head_dim;
    for (size_t i = 0; i < n; i++)
        memcpy(s->contiguous + i * width, rows + i * stride, width * sizeof *rows);
    nlp_rows in = {.f32 = s->contiguous};
    return nlp_gemm(s->kernels, &weights[s->head], n, &in, NULL, out, s->poll, s->err);
}

static nlp_status prepare_bias(const attending *s) {
    const nlp_attention *a = s->a;
    if (a->bias.buckets && a->bias.position_keys)
        NLP_TRY(position_scores(s, a->bias.position_keys, s->q, a->n_queries, a->q_stride,
                                s->by_query));
    if (a->bias.buckets && a->bias.position_queries)
        NLP_TRY(
            position_scores(s, a->bias.position_queries, s->k, a->n_keys, a->kv_stride, s->by_key));
    return NLP_OK;
}

/* ---- Heads ---- */

static nlp_status attend_head(attending *s, const float *v, float *out, float *scratch) {
    const nlp_attention *a = s->a;
    nlp_attention_args args = {.q = s->q,
                               .k = s->k,
                               .v = v,
                               .q_stride = a->q_stride,
                               .kv_stride = a->kv_stride,
                               .n_keys = a->n_keys,
                               .head_dim = a->head_dim,
                               .position = a->position,
                               .before = a->before,
                               .after = a->after,
                               .scale = a->scale,
                               .cap = a->cap,
                               .out = out,
                               .out_stride = a->out_stride,
                               .scratch = scratch};
    NLP_TRY(prepare_bias(s));
    for (size_t first = 0; first < a->n_queries; first += NLP_STRIPE) {
        args.first_query = first;
        args.n_queries = a->n_queries - first < NLP_STRIPE ? a->n_queries - first : NLP_STRIPE;
        args.bias = bias_of(s, first, args.n_queries);
        s->kernels->attention(&args);
        NLP_TRY(
            nlp_poll_work(s->poll, (uint64_t)8 * args.n_queries * a->n_keys * a->head_dim, s->err));
    }
    return NLP_OK;
}

/* Head by head, in stripes of queries: the scores of a stripe are the largest thing in scratch. */
nlp_status nlp_attend(const nlp_kernels *kernels, const nlp_attention *a, const float *q,
                      const float *k, const float *v, float *out, float *scratch, nlp_poll *poll,
                      nlp_error *err) {
    attending s = {.kernels = kernels, .a = a, .poll = poll, .err = err};
    s.bias = scratch + NLP_STRIPE * (a->head_dim + a->n_keys);
    s.by_query = s.bias + NLP_STRIPE * a->n_keys;
    s.by_key = s.by_query + a->n_queries * a->bias.n_buckets;
    s.contiguous = s.by_key + a->n_keys * a->bias.n_buckets;
    for (s.head = 0; s.head < a->n_heads; s.head++) {
        size_t at = s.head * a->head_dim,
               kv_at = s.head / (a->n_heads / a->n_kv_heads) * a->head_dim;
        s.q = q + at, s.k = k + kv_at;
        NLP_TRY(attend_head(&s, v + kv_at, out + at, scratch));
    }
    return NLP_OK;
}

/* ---- Over a cache ---- */

/* Bias of one query of a head: [n_keys]. */
static void row_bias(const nlp_attention *a, size_t head, size_t position, float *out) {
    const nlp_score_bias *b = &a->bias;
    for (size_t t = 0; t < a->n_keys; t++) {
        size_t off = position > t ? position - t : t - position;
        if (b->relative)
            out[t] = b->relative[head * (2 * b->reach + 1) + clamped(t, position, b->reach)];
        else
            out[t] = -b->slopes[head] * (float)off;
    }
}

static void attend_query(const nlp_kernels *kernels, const nlp_attention *a, size_t position,
                         size_t kv_head, nlp_cached_attention_args *args) {
    float *bias = args->scratch + NLP_STRIPE * (a->head_dim + a->n_keys);
    args->first = position > a->before ? position - a->before : 0;
    args->end = a->n_keys;
    if (a->after < a->n_keys && position + a->after + 1 < a->n_keys)
        args->end = position + a->after + 1;
    if (a->bias.relative || a->bias.slopes) {
        for (size_t i = 0; i < args->n_heads; i++)
            row_bias(a, kv_head * args->n_heads + i, position, bias + i * a->n_keys);
        args->bias = bias;
    }
    kernels->attention_cached(args);
}

nlp_status nlp_attend_cached(const nlp_kernels *kernels, const nlp_attention *a,
                             const nlp_kv_cache *cache, size_t layer, const float *q, float *out,
                             float *scratch, nlp_poll *poll, nlp_error *err) {
    size_t group = a->n_heads / a->n_kv_heads;
    nlp_cached_attention_args args = {.n_heads = group,
                                      .head_dim = a->head_dim,
                                      .scale = a->scale,
                                      .cap = a->cap,
                                      .bias_stride = a->n_keys,
                                      .scratch = scratch};
    for (size_t head = 0; head < a->n_kv_heads; head++) {
        nlp_kv_place(cache, layer, head, &args);
        for (size_t i = 0; i < a->n_queries; i++) {
            args.q = q + i * a->q_stride + head * group * a->head_dim;
            args.out = out + i * a->out_stride + head * group * a->head_dim;
            attend_query(kernels, a, a->position + i, head, &args);
        }
    }
    return nlp_poll_work(poll, (uint64_t)2 * a->n_queries * a->n_heads * a->n_keys * a->head_dim,
                         err);
}
