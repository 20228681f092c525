/* attention_tmpl.c: attention of one head over a stripe of queries, compiled once per ISA level.
 * Queries lie in lanes: scores S[key][query] = K q, so maximum, exponential and sum run down the
 * keys without horizontal sums or padding; the weighted sum takes each exponential by broadcast and
 * V where the product left it. Sums over keys have 16 parts, key t in part t mod 16, then the tree
 * 8, 4, 2, 1. A stripe takes the keys that any of its queries sees; a key that a single query does
 * not see has the score -infinity and adds 0, so the bits are those of the query alone. */
#include <math.h>
#include <string.h>

#include "tensor/lanes.h"

enum { GROUP = NLP_LANES, GROUPS = NLP_STRIPE / NLP_LANES, KEY_ROWS = 6 };
/* Sums that the registers hold, of queries and blocks of 16 columns. */
#if LANES_TILE_PANELS > 1
enum { VALUE_ROWS = 8, VALUE_BLOCKS = 2 };
#else
enum { VALUE_ROWS = 6, VALUE_BLOCKS = 1 };
#endif

size_t NLP_LEVEL(attention_scratch_floats)(size_t n_keys, size_t head_dim);
size_t NLP_LEVEL(attention_scratch_floats)(size_t n_keys, size_t head_dim) {
    return NLP_STRIPE * (head_dim + n_keys);
}

/* Queries of one group into lanes, scaled: out [head_dim][16]; lanes behind the last query are 0.
 */
LANES_INLINE void transpose_queries(const nlp_attention_args *a, size_t first, size_t live,
                                    float *out) {
    const float *q = a->q + first * a->q_stride;
    if (live < GROUP) memset(out, 0, a->head_dim * GROUP * sizeof *out);
    for (size_t i = 0; i < live; i++, q += a->q_stride)
        for (size_t c = 0; c < a->head_dim; c++) out[c * GROUP + i] = q[c] * a->scale;
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
            v16 one = v_set(k[(size_t)i * a->kv_stride + c]);
            LANES_UNROLL for (int g = 0; g < groups; g++) sum[i][g] = v_fma(one, q[g], sum[i][g]);
        }
    }
    LANES_UNROLL for (int i = 0; i < keys; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
        v_store(scores + (size_t)i * row + (size_t)g * GROUP, sum[i][g]);
}

/* As many groups at once as the registers hold sums of. */
LANES_INLINE void score_groups(const nlp_attention_args *a, const float *k, const float *qt,
                               float *scores, size_t row, int keys, int groups) {
    int most = groups < LANES_TILE_PANELS ? groups : LANES_TILE_PANELS;
    for (int g = 0; g < groups; g += most)
        score_tile(a, k, qt + (size_t)g * a->head_dim * GROUP, scores + (size_t)g * GROUP, row,
                   keys, most);
}

/* The keys that a stripe's queries see: first .. end - 1. */
typedef struct key_range {
    size_t first, end;
} key_range;

LANES_INLINE key_range visible_keys(const nlp_attention_args *a) {
    size_t low = a->position + a->first_query, high = low + a->n_queries - 1;
    key_range r = {low > a->before ? low - a->before : 0, a->n_keys};
    if (a->after < a->n_keys && high + a->after + 1 < a->n_keys) r.end = high + a->after + 1;
    return r;
}

LANES_INLINE void score_keys(const nlp_attention_args *a, key_range r, const float *qt,
                             float *scores, size_t row, int groups) {
    size_t t = r.first;
    for (; t + KEY_ROWS <= r.end; t += KEY_ROWS, scores += KEY_ROWS * row)
        score_groups(a, a->k + t * a->kv_stride, qt, scores, row, KEY_ROWS, groups);
    for (; t + 2 <= r.end; t += 2, scores += 2 * row)
        score_groups(a, a->k + t * a->kv_stride, qt, scores, row, 2, groups);
    for (; t < r.end; t++, scores += row)
        score_groups(a, a->k + t * a->kv_stride, qt, scores, row, 1, groups);
}

/* Bias and cap, where the family has them. */
LANES_INLINE void adjust_scores(const nlp_attention_args *a, key_range r, float *scores,
                                size_t row) {
    for (size_t t = r.first; t < r.end; t++, scores += row)
        for (size_t g = 0; g < row; g += GROUP) {
            v16 s = v_load(scores + g);
            if (a->bias) s = v_add(s, v_load(a->bias + t * NLP_STRIPE + g));
            if (a->cap > 0) s = v_cap(s, v_set(a->cap));
            v_store(scores + g, s);
        }
}

/* Only keys near the ends of the range are hidden from some query of the stripe. */
LANES_INLINE void hide_keys(const nlp_attention_args *a, key_range r, float *scores, size_t row) {
    size_t low = a->position + a->first_query, high = low + a->n_queries - 1;
    for (size_t t = r.first; t < r.end; t++) {
        bool all = (t >= high || high - t <= a->before) && (t <= low || t - low <= a->after);
        if (all) continue;
        for (size_t i = 0; i < a->n_queries; i++) {
            size_t p = low + i, off = t > p ? t - p : p - t;
            if (off > (t > p ? a->after : a->before)) scores[(t - r.first) * row + i] = -INFINITY;
        }
    }
}

/* Scores of one group to exponentials in place; returns 1 / their sum for each query. */
LANES_INLINE v16 exponentiate(float *scores, key_range r, size_t row) {
    v16 top = v_load(scores), part[NLP_LANES];
    size_t n = r.end - r.first;
    for (size_t t = 1; t < n; t++) top = v_max(top, v_load(scores + t * row));
    for (int i = 0; i < NLP_LANES; i++) part[i] = v_set(0);
    for (size_t t = 0; t < n; t++) {
        size_t lane = (r.first + t) % NLP_LANES;
        v16 e = v_exp(v_sub(v_load(scores + t * row), top));
        v_store(scores + t * row, e);
        part[lane] = v_add(part[lane], e);
    }
    for (int half = NLP_LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) part[i] = v_add(part[i], part[i + half]);
    return v_div(v_set(1.0f), part[0]);
}

/* Exponentials of a stripe's scores, [key][row], and 1 / their sums by query. */
typedef struct weights {
    key_range keys;
    const float *exponentials, *inverse;
    size_t row;
} weights;

/* Weighted sum of V for `queries` queries over `blocks` blocks of 16 columns from `column` on, both constants; the
 * last block has `live` columns. */
LANES_INLINE void value_tile(const nlp_attention_args *a, const weights *w, size_t query,
                             size_t column, int queries, int blocks, size_t live) {
    v16 sum[VALUE_ROWS][VALUE_BLOCKS], value[VALUE_BLOCKS];
    const float *v = a->v + w->keys.first * a->kv_stride + column, *e = w->exponentials + query;
    LANES_UNROLL for (int i = 0; i < queries; i++) LANES_UNROLL for (int b = 0; b < blocks; b++)
        sum[i][b] = v_set(0);
    for (size_t t = w->keys.first; t < w->keys.end; t++, v += a->kv_stride, e += w->row) {
        LANES_UNROLL for (int b = 0; b < blocks; b++) value[b] =
            b + 1 < blocks ? v_load(v + b * GROUP) : load_live(v + b * GROUP, live);
        LANES_UNROLL for (int i = 0; i < queries; i++) LANES_UNROLL for (int b = 0; b < blocks; b++)
            sum[i][b] = v_fma(v_set(e[i]), value[b], sum[i][b]);
    }
    float *out = a->out + (a->first_query + query) * a->out_stride + column;
    LANES_UNROLL for (int i = 0; i < queries; i++) LANES_UNROLL for (int b = 0; b < blocks; b++)
        store_live(out + (size_t)i * a->out_stride + b * GROUP,
                   v_mul(sum[i][b], v_set(w->inverse[query + (size_t)i])),
                   b + 1 < blocks ? GROUP : live);
}

/* All queries over a constant number of blocks. */
LANES_INLINE void weigh_blocks(const nlp_attention_args *a, const weights *w, size_t column,
                               int blocks, size_t live) {
    size_t q = 0;
    for (; q + VALUE_ROWS <= a->n_queries; q += VALUE_ROWS)
        value_tile(a, w, q, column, VALUE_ROWS, blocks, live);
    for (; q + 2 <= a->n_queries; q += 2) value_tile(a, w, q, column, 2, blocks, live);
    for (; q < a->n_queries; q++) value_tile(a, w, q, column, 1, blocks, live);
}

LANES_INLINE void weigh_values(const nlp_attention_args *a, const weights *w) {
    size_t column = 0;
    for (; column + VALUE_BLOCKS * GROUP <= a->head_dim; column += VALUE_BLOCKS * GROUP)
        weigh_blocks(a, w, column, VALUE_BLOCKS, GROUP);
    for (; column < a->head_dim; column += GROUP) {
        size_t left = a->head_dim - column;
        weigh_blocks(a, w, column, 1, left < GROUP ? left : GROUP);
    }
}

LANES_INLINE void attend(const nlp_attention_args *a, int groups) {
    float inverse[NLP_STRIPE], *qt = a->scratch, *scores = qt + NLP_STRIPE * a->head_dim;
    size_t row = (size_t)groups * GROUP;
    key_range r = visible_keys(a);
    for (int g = 0; g < groups; g++) {
        size_t before = (size_t)g * GROUP, left = a->n_queries > before ? a->n_queries - before : 0;
        transpose_queries(a, a->first_query + before, left < GROUP ? left : GROUP,
                          qt + before * a->head_dim);
    }
    score_keys(a, r, qt, scores, row, groups);
    if (a->bias || a->cap > 0) adjust_scores(a, r, scores, row);
    if (a->before != NLP_ALL_KEYS || a->after != NLP_ALL_KEYS) hide_keys(a, r, scores, row);
    for (int g = 0; g < groups; g++)
        v_store(inverse + g * GROUP, exponentiate(scores + g * GROUP, r, row));
    weigh_values(a, &(weights){r, scores, inverse, row});
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
