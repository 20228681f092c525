/* cached_tmpl.c: attention of one query over cached blocks, compiled once per ISA level. Keys lie in
 * lanes, so a block gives sixteen scores at once, and lane j of a sum holds keys j, j + 16, ...: the
 * parts that attention_tmpl.c has. A score is one accumulator over the head, a value one over the
 * keys, both ascending: the bits are those of the other kernel. */
#include <math.h>

#include "tensor/lanes.h"

enum { BLOCK = NLP_KV_BLOCK };

/* Blocks of keys, or of columns, that are summed at once for each of some heads: as many sums as the registers
 * hold, so that one does not wait for the other. */
#if LANES_TILE_PANELS > 1
enum { SUMS = 16 };
#else
enum { SUMS = 4 };
#endif
enum { MOST_AT_ONCE = 4 };

LANES_INLINE int at_once(int heads) {
    return SUMS / heads < MOST_AT_ONCE ? SUMS / heads : MOST_AT_ONCE;
}

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

/* Scores of the keys of `blocks` blocks (a constant) from b on. q [heads][head_dim]. */
LANES_INLINE void score_tile(const nlp_cached_attention_args *a, const float *q, span s, size_t b,
                             int heads, int blocks, int half) {
    const uint8_t *panel[MOST_AT_ONCE];
    v16 sum[NLP_KV_QUERIES][MOST_AT_ONCE], scale = v_set(a->scale);
    LANES_UNROLL for (int i = 0; i < blocks; i++) {
        panel[i] = block_at(a, b + (size_t)i) + a->keys_at;
        LANES_UNROLL for (int h = 0; h < heads; h++) sum[h][i] = v_set(0);
    }
    for (size_t c = 0; c < a->head_dim; c++) {
        v16 one[NLP_KV_QUERIES];
        LANES_UNROLL for (int h = 0; h < heads; h++) one[h] =
            v_mul(v_set(q[(size_t)h * a->head_dim + c]), scale);
        LANES_UNROLL for (int i = 0; i < blocks; i++) {
            v16 keys = load_numbers(panel[i], c * BLOCK, half);
            LANES_UNROLL for (int h = 0; h < heads; h++) sum[h][i] = v_fma(keys, one[h], sum[h][i]);
        }
    }
    LANES_UNROLL for (int h = 0; h < heads; h++) LANES_UNROLL for (int i = 0; i < blocks; i++)
        v_store(a->scratch + (size_t)h * s.row + (b + (size_t)i) * BLOCK, sum[h][i]);
}

/* Of all blocks, keys that are not seen included. */
LANES_INLINE void score_blocks(const nlp_cached_attention_args *a, const float *q, span s,
                               int heads, int half) {
    size_t b = s.first, step = (size_t)at_once(heads);
    for (; b + step <= s.end; b += step) score_tile(a, q, s, b, heads, at_once(heads), half);
    for (; b < s.end; b++) score_tile(a, q, s, b, heads, 1, half);
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

/* Weighted sums of `blocks` blocks of sixteen columns of the values; the last block of a head may have fewer. */
LANES_INLINE void value_columns(const nlp_cached_attention_args *a, float *out, span s,
                                const float *inverse, size_t column, int heads, int blocks,
                                int half) {
    size_t left = a->head_dim - column - (size_t)(blocks - 1) * NLP_LANES;
    size_t live = left < NLP_LANES ? left : NLP_LANES;
    v16 sum[NLP_KV_QUERIES][MOST_AT_ONCE];
    LANES_UNROLL for (int h = 0; h < heads; h++) LANES_UNROLL for (int i = 0; i < blocks; i++)
        sum[h][i] = v_set(0);
    for (size_t b = s.first; b < s.end; b++) {
        size_t low = b * BLOCK, t = low > a->first ? low : a->first;
        size_t end = low + BLOCK < a->end ? low + BLOCK : a->end;
        const uint8_t *rows = block_at(a, b) + a->values_at;
        for (; t < end; t++) {
            size_t at = (t - low) * a->value_stride + column;
            v16 weight[NLP_KV_QUERIES];
            LANES_UNROLL for (int h = 0; h < heads; h++) weight[h] =
                v_set(a->scratch[(size_t)h * s.row + t]);
            LANES_UNROLL for (int i = 0; i < blocks; i++) {
                v16 value = load_numbers(rows, at + (size_t)i * NLP_LANES, half);
                LANES_UNROLL for (int h = 0; h < heads; h++) sum[h][i] =
                    v_fma(weight[h], value, sum[h][i]);
            }
        }
    }
    LANES_UNROLL for (int h = 0; h < heads; h++) LANES_UNROLL for (int i = 0; i < blocks; i++)
        store_live(out + (size_t)h * a->head_dim + column + (size_t)i * NLP_LANES,
                   v_mul(sum[h][i], v_set(inverse[h])), i + 1 < blocks ? NLP_LANES : live);
}

LANES_INLINE void weigh_values(const nlp_cached_attention_args *a, float *out, span s,
                               const float *inverse, int heads, int half) {
    size_t column = 0, step = (size_t)at_once(heads) * NLP_LANES;
    for (; column + step <= a->head_dim; column += step)
        value_columns(a, out, s, inverse, column, heads, at_once(heads), half);
    for (; column < a->head_dim; column += NLP_LANES)
        value_columns(a, out, s, inverse, column, heads, 1, half);
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
    weigh_values(a, a->out + at, s, inverse, heads, half);
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
