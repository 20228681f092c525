/* cached_tmpl.c: attention of one query over cached blocks, compiled once per ISA level. Keys lie in
 * lanes, so a block gives sixteen scores at once, and lane j of a sum holds keys j, j + 16, ...: the
 * parts that attention_tmpl.c has. A score is one accumulator over the head, a value one over the
 * keys, both ascending: the bits are those of the other kernel. */
#include <math.h>

#include "tensor/lanes.h"

enum { BLOCK = NLP_KV_BLOCK };

typedef struct span {
    size_t first, end; /* blocks */
    size_t row;        /* floats between the scores of two heads */
} span;

LANES_INLINE v16 load_numbers(const void *at, size_t i, int half) {
    return half ? v_load_half((const uint16_t *)at + i) : v_load((const float *)at + i);
}

LANES_INLINE const uint8_t *block_at(const nlp_cached_attention_args *a, size_t block) {
    return a->blocks + a->table[block] * a->block_bytes;
}

/* Scores of all keys of the blocks, those that are not seen included. q [heads][head_dim]. */
LANES_INLINE void score_blocks(const nlp_cached_attention_args *a, const float *q, span s,
                               int heads, int half) {
    for (size_t b = s.first; b < s.end; b++) {
        const uint8_t *panel = block_at(a, b) + a->keys_at;
        v16 sum[NLP_KV_QUERIES];
        LANES_UNROLL for (int h = 0; h < heads; h++) sum[h] = v_set(0);
        for (size_t c = 0; c < a->head_dim; c++) {
            v16 keys = load_numbers(panel, c * BLOCK, half);
            LANES_UNROLL for (int h = 0; h < heads; h++) {
                v16 one = v_set(q[(size_t)h * a->head_dim + c] * a->scale);
                sum[h] = v_fma(keys, one, sum[h]);
            }
        }
        LANES_UNROLL for (int h = 0; h < heads; h++)
            v_store(a->scratch + (size_t)h * s.row + b * BLOCK, sum[h]);
    }
}

/* Bias and cap; the keys of the first and the last block that are not seen weigh 0. */
LANES_INLINE void adjust_scores(const nlp_cached_attention_args *a, const float *bias,
                                float *scores, span s) {
    for (size_t t = s.first * BLOCK; (bias || a->cap > 0) && t < s.end * BLOCK; t += BLOCK) {
        v16 x = v_load(scores + t);
        if (bias) x = v_add(x, v_load_n(bias + t, a->end - t < BLOCK ? a->end - t : BLOCK));
        if (a->cap > 0) x = v_cap(x, v_set(a->cap));
        v_store(scores + t, x);
    }
    for (size_t t = s.first * BLOCK; t < a->first; t++) scores[t] = -INFINITY;
    for (size_t t = a->end; t < s.end * BLOCK; t++) scores[t] = -INFINITY;
}

/* Scores of one head to exponentials in place; returns 1 / their sum. */
LANES_INLINE float exponentiate(float *scores, span s) {
    v16 top = v_load(scores + s.first * BLOCK), sum = v_set(0);
    for (size_t b = s.first + 1; b < s.end; b++) top = v_max(top, v_load(scores + b * BLOCK));
    top = v_set(v_top(top));
    for (size_t b = s.first; b < s.end; b++) {
        v16 e = v_exp(v_sub(v_load(scores + b * BLOCK), top));
        v_store(scores + b * BLOCK, e);
        sum = v_add(sum, e);
    }
    return 1.0f / v_sum(sum);
}

/* Weighted sums of sixteen columns of the values. */
LANES_INLINE void value_columns(const nlp_cached_attention_args *a, float *out, span s,
                                const float *inverse, size_t column, int heads, int half) {
    size_t live = a->head_dim - column < NLP_LANES ? a->head_dim - column : NLP_LANES;
    v16 sum[NLP_KV_QUERIES];
    LANES_UNROLL for (int h = 0; h < heads; h++) sum[h] = v_set(0);
    for (size_t b = s.first; b < s.end; b++) {
        size_t low = b * BLOCK, t = low > a->first ? low : a->first;
        size_t end = low + BLOCK < a->end ? low + BLOCK : a->end;
        const uint8_t *rows = block_at(a, b) + a->values_at;
        for (; t < end; t++) {
            v16 value = load_numbers(rows, (t - low) * a->value_stride + column, half);
            LANES_UNROLL for (int h = 0; h < heads; h++) sum[h] =
                v_fma(v_set(a->scratch[(size_t)h * s.row + t]), value, sum[h]);
        }
    }
    LANES_UNROLL for (int h = 0; h < heads; h++)
        v_store_n(out + (size_t)h * a->head_dim + column, v_mul(sum[h], v_set(inverse[h])), live);
}

LANES_INLINE void attend_heads(const nlp_cached_attention_args *a, size_t head, int heads,
                               int half) {
    size_t at = head * a->head_dim;
    float inverse[NLP_KV_QUERIES];
    span s = {a->first / BLOCK, (a->end + BLOCK - 1) / BLOCK, 0};
    s.row = s.end * BLOCK;
    score_blocks(a, a->q + at, s, heads, half);
    for (int h = 0; h < heads; h++) {
        const float *bias = a->bias ? a->bias + (head + (size_t)h) * a->bias_stride : NULL;
        float *scores = a->scratch + (size_t)h * s.row;
        adjust_scores(a, bias, scores, s);
        inverse[h] = exponentiate(scores, s);
    }
    for (size_t column = 0; column < a->head_dim; column += NLP_LANES)
        value_columns(a, a->out + at, s, inverse, column, heads, half);
}

static __attribute__((noinline)) void attend_f32(const nlp_cached_attention_args *a) {
    for (size_t head = 0; head < a->n_heads; head++) attend_heads(a, head, 1, 0);
}
static __attribute__((noinline)) void attend_half_1(const nlp_cached_attention_args *a,
                                                    size_t head) {
    attend_heads(a, head, 1, 1);
}
static __attribute__((noinline)) void attend_half_3(const nlp_cached_attention_args *a,
                                                    size_t head) {
    attend_heads(a, head, 3, 1);
}
static __attribute__((noinline)) void attend_half_4(const nlp_cached_attention_args *a,
                                                    size_t head) {
    attend_heads(a, head, 4, 1);
}

void NLP_LEVEL(attention_cached)(const nlp_cached_attention_args *args);
void NLP_LEVEL(attention_cached)(const nlp_cached_attention_args *args) {
    size_t head = 0, n = args->n_heads;
    if (!args->half) {
        attend_f32(args);
        return;
    }
    for (; n - head >= 4; head += 4) attend_half_4(args, head);
    for (; n - head >= 3; head += 3) attend_half_3(args, head);
    for (; head < n; head++) attend_half_1(args, head);
}
