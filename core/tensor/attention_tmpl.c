/* attention_tmpl.c: attention of one head over a stripe of queries, compiled once per ISA level.
 * Queries lie in lanes: scores S[key][query] = K q, so maximum, exponential and sum run down the
 * keys without horizontal sums or padding; the weighted sum takes each exponential by broadcast and
 * V where the product left it. Sums over keys have 16 parts, key t in part t mod 16, then the tree
 * 8, 4, 2, 1. */
#include "tensor/lanes.h"

enum { GROUP = NLP_LANES, GROUPS = NLP_STRIPE / NLP_LANES, KEY_ROWS = 6 };

size_t NLP_LEVEL(attention_scratch_floats)(size_t n_tokens, size_t head_dim);
size_t NLP_LEVEL(attention_scratch_floats)(size_t n_tokens, size_t head_dim) {
    return NLP_STRIPE * (head_dim + n_tokens);
}

/* Queries of one group into lanes, scaled: out [head_dim][16]; lanes behind the last query are 0.
 */
LANES_INLINE void transpose_queries(const nlp_attention_args *a, size_t first, size_t live,
                                    float *out) {
    const float *q = a->q + first * a->stride;
    for (size_t c = 0; c < a->head_dim; c++) {
        float column[GROUP] = {0};
        for (size_t i = 0; i < live; i++) column[i] = q[i * a->stride + c];
        v_store(out + c * GROUP, v_mul(v_load(column), v_set(a->scale)));
    }
}

/* Scores of `keys` keys against `groups` groups of queries; keys and groups are constants. qt
 * [group][head_dim][16], scores [key][groups][16]. */
LANES_INLINE void score_tile(const nlp_attention_args *a, const float *k, const float *qt,
                             float *scores, size_t row, int keys, int groups) {
    v16 sum[KEY_ROWS][GROUPS];
    LANES_UNROLL for (int i = 0; i < keys; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
        sum[i][g] = v_set(0);
    for (size_t c = 0; c < a->head_dim; c++) {
        v16 q[GROUPS];
        LANES_UNROLL for (int g = 0; g < groups; g++) q[g] =
            v_load(qt + ((size_t)g * a->head_dim + c) * GROUP);
        LANES_UNROLL for (int i = 0; i < keys; i++) {
            v16 one = v_set(k[(size_t)i * a->stride + c]);
            LANES_UNROLL for (int g = 0; g < groups; g++) sum[i][g] = v_fma(one, q[g], sum[i][g]);
        }
    }
    LANES_UNROLL for (int i = 0; i < keys; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
        v_store(scores + (size_t)i * row + (size_t)g * GROUP, sum[i][g]);
}

LANES_INLINE void score_keys(const nlp_attention_args *a, const float *qt, float *scores,
                             size_t row, int groups) {
    size_t t = 0;
    for (; t + KEY_ROWS <= a->n_tokens; t += KEY_ROWS)
        score_tile(a, a->k + t * a->stride, qt, scores + t * row, row, KEY_ROWS, groups);
    for (; t < a->n_tokens; t++)
        score_tile(a, a->k + t * a->stride, qt, scores + t * row, row, 1, groups);
}

/* Scores of one group to exponentials in place; returns 1 / their sum for each query. */
LANES_INLINE v16 exponentiate(float *scores, size_t n_keys, size_t row) {
    v16 top = v_load(scores), part[NLP_LANES];
    for (size_t t = 1; t < n_keys; t++) top = v_max(top, v_load(scores + t * row));
    for (int i = 0; i < NLP_LANES; i++) part[i] = v_set(0);
    for (size_t t = 0; t < n_keys; t++) {
        v16 e = v_exp(v_sub(v_load(scores + t * row), top));
        v_store(scores + t * row, e);
        part[t % NLP_LANES] = v_add(part[t % NLP_LANES], e);
    }
    for (int n = NLP_LANES / 2; n; n /= 2)
        for (int i = 0; i < n; i++) part[i] = v_add(part[i], part[i + n]);
    return v_div(v_set(1.0f), part[0]);
}

/* Weighted sum of V for `queries` queries (a constant) over `blocks` blocks of 16 columns from
 * `column` on; the last block may have fewer live columns. */
LANES_INLINE void value_tile(const nlp_attention_args *a, const float *scores, size_t row,
                             const float *inverse, size_t query, size_t column, int queries,
                             size_t live) {
    v16 sum[KEY_ROWS];
    const float *v = a->v + column;
    LANES_UNROLL for (int i = 0; i < queries; i++) sum[i] = v_set(0);
    for (size_t t = 0; t < a->n_tokens; t++, v += a->stride) {
        v16 value = live == GROUP ? v_load(v) : v_load_n(v, live);
        const float *e = scores + t * row + query;
        LANES_UNROLL for (int i = 0; i < queries; i++) sum[i] = v_fma(v_set(e[i]), value, sum[i]);
    }
    LANES_UNROLL for (int i = 0; i < queries; i++) {
        size_t q = a->first_query + query + (size_t)i;
        v16 y = v_mul(sum[i], v_set(inverse[query + (size_t)i]));
        float *out = a->out + q * a->out_stride + column;
        if (live == GROUP)
            v_store(out, y);
        else
            v_store_n(out, y, live);
    }
}

LANES_INLINE void weigh_values(const nlp_attention_args *a, const float *scores, size_t row,
                               const float *inverse, size_t n_queries) {
    for (size_t column = 0; column < a->head_dim; column += GROUP) {
        size_t live = a->head_dim - column < GROUP ? a->head_dim - column : GROUP, q = 0;
        for (; q + KEY_ROWS <= n_queries; q += KEY_ROWS)
            value_tile(a, scores, row, inverse, q, column, KEY_ROWS, live);
        for (; q < n_queries; q++) value_tile(a, scores, row, inverse, q, column, 1, live);
    }
}

LANES_INLINE void attend(const nlp_attention_args *a, int groups) {
    float inverse[NLP_STRIPE], *qt = a->scratch, *scores = qt + NLP_STRIPE * a->head_dim;
    size_t row = (size_t)groups * GROUP;
    for (int g = 0; g < groups; g++) {
        size_t before = (size_t)g * GROUP, left = a->n_queries > before ? a->n_queries - before : 0;
        transpose_queries(a, a->first_query + before, left < GROUP ? left : GROUP,
                          qt + before * a->head_dim);
    }
    score_keys(a, qt, scores, row, groups);
    for (int g = 0; g < groups; g++)
        v_store(inverse + g * GROUP, exponentiate(scores + g * GROUP, a->n_tokens, row));
    weigh_values(a, scores, row, inverse, a->n_queries);
}

static __attribute__((noinline)) void attend_1(const nlp_attention_args *a) {
    attend(a, 1);
}
static __attribute__((noinline)) void attend_2(const nlp_attention_args *a) {
    attend(a, 2);
}
static __attribute__((noinline)) void attend_4(const nlp_attention_args *a) {
    attend(a, 4);
}

void NLP_LEVEL(attention)(const nlp_attention_args *args);
void NLP_LEVEL(attention)(const nlp_attention_args *args) {
    if (args->n_queries <= GROUP)
        attend_1(args);
    else if (args->n_queries <= 2 * GROUP)
        attend_2(args);
    else
        attend_4(args);
}
