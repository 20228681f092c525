/* self_attention.c: the attention blocks of a layer, self and cross:
 *
 *     post       x = N(x + Out(Attention(QKV(x))))
 *     pre        x = x + Out(Attention(QKV(N(x))))
 *     sandwich   x = x + N'(Out(Attention(QKV(N(x)))))
 *
 * In an i8 pack the factors of `attention.out` ride on the V columns of the qkv product, so what
 * attention gives is already multiplied by them. */
#include <math.h>
#include <string.h>

#include "model/forward.h"

/* ---- Positions ---- */

static float *turns_of(const forward *f, size_t table, bool sine) {
    size_t n_pairs = f->stack->spec.rotary_dim / 2;
    return f->w.turns + (2 * table + sine) * f->n * n_pairs;
}

void forward_turns(forward *f) {
    const nlp_arch_spec *s = &f->stack->spec;
    size_t n_pairs = s->rotary_dim / 2;
    float scale = s->rope_scale != 0 ? s->rope_scale : 1;
    for (size_t table = 0; table < 2 && f->stack->rope[table]; table++) {
        size_t row = 0;
        for (size_t text = 0; text < f->unit->n_texts; row += f->unit->lengths[text++])
            nlp_rotary_table(f->stack->rope[table], n_pairs, forward_position(f, text),
                             f->unit->lengths[text], scale,
                             turns_of(f, table, false) + row * n_pairs,
                             turns_of(f, table, true) + row * n_pairs);
    }
}

/* Which of the two tables turns a text of this layer. */
static size_t table_of(const forward *f, const nlp_layer *layer, size_t text) {
    size_t end = forward_position(f, text) + f->unit->lengths[text];
    uint32_t limit = f->stack->spec.rope_switch;
    return limit ? end > limit : layer->spec.rope;
}

static void norm_heads(const forward *f, const nlp_norm_weights *weights, float *heads,
                       size_t n_heads) {
    const nlp_arch_spec *s = &f->stack->spec;
    if (!weights->gain) return;
    f->kernels->norm(&(nlp_norm_args){.rows = heads,
                                      .out = heads,
                                      .n_rows = n_heads,
                                      .width = s->head_dim,
                                      .rms = s->norm == NLP_NORM_RMS,
                                      .gain = weights->gain,
                                      .bias = weights->bias,
                                      .eps = s->norm_eps});
}

/* Queries and keys of one text, in place in w.wide: normed a head, then turned. */
static void place_heads(const forward *f, const nlp_layer *layer, size_t text, size_t first) {
    const nlp_arch_spec *s = &f->stack->spec;
    size_t width = nlp_size_of(s, NLP_SIZE_QKV), n_pairs = s->rotary_dim / 2;
    size_t table = table_of(f, layer, text);
    for (size_t row = first; row < first + f->unit->lengths[text]; row++) {
        float *q = f->w.wide + row * width, *k = q + s->n_heads * s->head_dim;
        norm_heads(f, &layer->q_norm, q, s->n_heads);
        norm_heads(f, &layer->k_norm, k, s->n_kv_heads);
        if (!n_pairs || layer->spec.rope == NLP_ROPE_NONE) continue;
        const float *cos = turns_of(f, table, false) + row * n_pairs,
                    *sin = turns_of(f, table, true) + row * n_pairs;
        f->kernels->rotate(q, s->n_heads, s->head_dim, n_pairs, cos, sin);
        f->kernels->rotate(k, s->n_kv_heads, s->head_dim, n_pairs, cos, sin);
    }
}

/* ---- One text ---- */

static nlp_attention shape_of(const forward *f, const nlp_layer *layer) {
    const nlp_stack *stack = f->stack;
    const nlp_arch_spec *s = &stack->spec;
    size_t window = layer->spec.window;
    nlp_attention a = {.n_heads = s->n_heads,
                       .n_kv_heads = s->n_kv_heads,
                       .head_dim = s->head_dim,
                       .before = NLP_ALL_KEYS,
                       .after = s->causal ? 0 : NLP_ALL_KEYS,
                       .scale = s->attention_scale,
                       .cap = s->score_cap,
                       .bias = {.relative = layer->bias ? layer->bias : stack->bias,
                                .slopes = stack->slopes,
                                .buckets = stack->buckets,
                                .position_keys = layer->position_keys,
                                .position_queries = layer->position_queries,
                                .reach = s->bias_reach,
                                .n_buckets = s->n_relative}};
    if (window) a.before = s->causal ? window - 1 : window;
    if (window && !s->causal) a.after = window;
    if (a.scale == 0) a.scale = 1.0f / sqrtf((float)s->head_dim);
    return a;
}

/* Without a cache the numbers are those that it would give back: a text has the same bits either
 * way. */
static void round_rows(const forward *f, size_t n, float *k, size_t stride, size_t width) {
    for (size_t i = 0; i < n; i++, k += stride)
        nlp_kv_round(f->kernels, k, width, (uint16_t *)(void *)f->w.cached);
}

/* The new rows go behind those that the text has. A few queries read the cache as it lies; many of a
 * text that goes on want its rows side by side. */
static nlp_status attend_cached(const forward *f, const nlp_attention *a, size_t index,
                                const nlp_kv_cache *cache, const float *q, float *new_keys,
                                float *out) {
    enum { FEW = 8 };
    nlp_attention wide = *a;
    size_t width = a->n_kv_heads * a->head_dim;
    const float *k = new_keys;
    for (size_t i = 0; i < a->n_queries; i++, k += a->q_stride)
        nlp_kv_put(cache, f->kernels, index, cache->n + i, k, k + width);
    wide.position = cache->n;
    wide.n_keys = cache->n + a->n_queries;
    if (a->n_queries <= FEW)
        return nlp_attend_cached(f->kernels, &wide, cache, index, q, out, f->w.attention, f->poll,
                                 f->err);
    float *rows = new_keys, *values = new_keys + width;
    if (cache->n) {
        rows = f->w.cached, values = rows + wide.n_keys * width;
        wide.kv_stride = width;
        nlp_kv_get(cache, f->kernels, index, wide.n_keys, rows, values);
    } else if (f->stack->half_cache) {
        round_rows(f, a->n_queries, new_keys, a->q_stride, 2 * width);
    }
    return nlp_attend(f->kernels, &wide, q, rows, values, out, f->w.attention, f->poll, f->err);
}

static nlp_status attend_text(const forward *f, const nlp_layer *layer, size_t index, size_t text,
                              size_t first) {
    const nlp_arch_spec *s = &f->stack->spec;
    nlp_attention a = shape_of(f, layer);
    size_t width = nlp_size_of(s, NLP_SIZE_QKV), queries = s->n_heads * s->head_dim,
           n_keys = s->n_kv_heads * s->head_dim, n = f->unit->lengths[text];
    float *q = f->w.wide + first * width, *new_keys = q + queries, *out = f->w.y + first * queries;
    a.q_stride = a.kv_stride = width;
    a.out_stride = queries;
    a.n_queries = a.n_keys = n;
    if (f->unit->caches)
        return attend_cached(f, &a, index, f->unit->caches[text], q, new_keys, out);
    if (f->stack->half_cache) round_rows(f, n, new_keys, width, 2 * n_keys);
    return nlp_attend(f->kernels, &a, q, new_keys, new_keys + n_keys, out, f->w.attention, f->poll,
                      f->err);
}

/* ---- Blocks ---- */

/* The block's output [n, hidden] joins the stream. A sandwich norms it first. */
static nlp_status join(forward *f, const nlp_weight *out, const nlp_adapter *adapter,
                       const nlp_norm_weights *post, const nlp_rows *rows) {
    workspace *w = &f->w;
    nlp_epilogue add_input = {.residual = w->x};
    if (!post->gain) {
        NLP_TRY(forward_adapted(f, out, adapter, f->n, rows, &add_input, w->next));
        forward_advance(f);
        return NLP_OK;
    }
    NLP_TRY(forward_adapted(f, out, adapter, f->n, rows, NULL, w->wide));
    forward_norm(f, post, w->wide, w->wide, NULL);
    f->kernels->add(w->x, w->wide, f->n * f->d);
    return NLP_OK;
}

/* The input of a block: normed where norms come first and this layer has one. */
static float *block_input(forward *f, const nlp_norm_weights *norm, const nlp_weight *next) {
    if (f->stack->spec.norm_place == NLP_PLACE_POST || !norm->gain) return f->w.x;
    forward_norm(f, norm, f->w.x, f->w.y, next);
    return f->w.y;
}

nlp_status forward_self_attention(forward *f, const nlp_layer *layer, size_t index) {
    workspace *w = &f->w;
    float *in = block_input(f, &layer->attention_norm, &layer->qkv);
    nlp_rows rows = forward_rows(f, &layer->qkv, in);
    forward_trace(f, "qkv", index, in, f->n, f->d);
    NLP_TRY(forward_adapted(f, &layer->qkv, &layer->adapters[NLP_ADAPTED_QKV], f->n, &rows, NULL,
                            w->wide));
    size_t row = 0;
    for (size_t text = 0; text < f->unit->n_texts; row += f->unit->lengths[text++]) {
        if (layer->q_norm.gain || layer->k_norm.gain || f->stack->spec.rotary_dim)
            place_heads(f, layer, text, row);
        NLP_TRY(attend_text(f, layer, index, text, row));
    }
    const nlp_weight *out = &layer->attention_out;
    forward_trace(f, "attention.out", index, w->y, f->n, out->k);
    if (out->dtype != NLP_F32) /* factors of i8 are in the values already */
        nlp_rows_quantise(f->kernels, out, f->n, w->y, NULL, w->q, w->q_scales);
    rows = (nlp_rows){.f32 = w->y, .q = w->q, .q_scales = w->q_scales};
    return join(f, out, &layer->adapters[NLP_ADAPTED_ATTENTION_OUT], &layer->attention_post_norm,
                &rows);
}

/* The keys and values are those of the encoder's states: nlp_memory_make. */
static nlp_status attend_memories(const forward *f, size_t index) {
    const nlp_arch_spec *s = &f->stack->spec;
    size_t queries = s->n_heads * s->head_dim, row = 0;
    nlp_attention a = {.n_heads = s->n_heads,
                       .n_kv_heads = s->n_heads,
                       .head_dim = s->head_dim,
                       .q_stride = queries,
                       .kv_stride = 2 * queries,
                       .out_stride = queries,
                       .before = NLP_ALL_KEYS,
                       .after = NLP_ALL_KEYS,
                       .scale = s->attention_scale};
    if (a.scale == 0) a.scale = 1.0f / sqrtf((float)s->head_dim);
    for (size_t text = 0; text < f->unit->n_texts; row += f->unit->lengths[text++]) {
        const nlp_memory *m = &f->unit->memories[text];
        const float *k = m->rows + index * m->n_tokens * 2 * queries;
        a.n_queries = f->unit->lengths[text];
        a.n_keys = m->n_tokens;
        NLP_TRY(nlp_attend(f->kernels, &a, f->w.wide + row * queries, k, k + queries,
                           f->w.y + row * queries, f->w.attention, f->poll, f->err));
    }
    return NLP_OK;
}

nlp_status forward_cross_attention(forward *f, const nlp_layer *layer, size_t index) {
    static const nlp_norm_weights no_norm;
    static const nlp_adapter no_adapter;
    float *in = block_input(f, &layer->cross_norm, &layer->cross_q);
    nlp_rows rows = forward_rows(f, &layer->cross_q, in);
    NLP_TRY(forward_product(f, &layer->cross_q, f->n, &rows, NULL, f->w.wide));
    NLP_TRY(attend_memories(f, index));
    f->ready = NULL;
    rows = forward_rows(f, &layer->cross_out, f->w.y);
    return join(f, &layer->cross_out, &no_adapter, &no_norm, &rows);
}
