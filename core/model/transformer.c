/* transformer.c: a stack of layers over the rows of a unit, planning, and what stands before and
 * behind it. */
#include "model/transformer.h"

#include <string.h>

#include "model/forward.h"

/* ---- Planning ---- */

typedef struct unit_shape {
    size_t n_tokens, max_text_tokens, max_keys;
} unit_shape;

static size_t widest(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Lays one array out behind the others; base NULL only counts. Sizes were checked by the plan. */
static void *place(uint8_t *base, size_t *used, size_t n_bytes) {
    size_t at = *used;
    *used += (n_bytes + 63) & ~(size_t)63;
    return base ? base + at : NULL;
}

static size_t attention_floats(const nlp_stack *stack, const unit_shape *u) {
    const nlp_arch_spec *s = &stack->spec;
    if (!s->n_layers) return 0;
    nlp_attention a = {.head_dim = s->head_dim,
                       .n_queries = u->max_text_tokens,
                       .n_keys = u->max_keys,
                       .bias = {.relative = stack->bias ? stack->bias : stack->layers[0].bias,
                                .slopes = stack->slopes,
                                .buckets = stack->buckets,
                                .n_buckets = s->n_relative}};
    return nlp_attention_scratch(&a);
}

/* The same function plans (base NULL) and places, so the two can't differ. */
static size_t lay_out(const nlp_stack *stack, const unit_shape *u, uint8_t *base, workspace *w) {
    const nlp_arch_spec *s = &stack->spec;
    size_t used = 0, n = u->n_tokens, d = s->hidden_size, queries = s->n_heads * s->head_dim;
    size_t narrow = widest(d, queries);
    size_t wide = widest(widest(narrow, nlp_size_of(s, NLP_SIZE_QKV)),
                         widest(stack->word.width, s->convolution ? 3 * d : 0));
    size_t up = widest(nlp_size_of(s, NLP_SIZE_UP) * (size_t)NLP_FFN_ROWS, stack->word.width);
    w->x = place(base, &used, n * d * sizeof(float));
    w->next = place(base, &used, n * d * sizeof(float));
    w->y = place(base, &used, n * narrow * sizeof(float));
    w->wide = place(base, &used, n * wide * sizeof(float));
    w->up = place(base, &used, up * sizeof(float));
    w->attention = place(base, &used, attention_floats(stack, u) * sizeof(float));
    size_t cached = s->causal ? 2 * u->max_keys * s->n_kv_heads * s->head_dim : 0;
    w->cached = place(base, &used, cached * sizeof(float));
    w->row_max = place(base, &used, NLP_FFN_ROWS * NLP_LANES * sizeof(float));
    w->q_scales = place(base, &used, n * sizeof(float));
    w->up_scales = place(base, &used, NLP_FFN_ROWS * sizeof(float));
    w->conv = place(base, &used, s->convolution ? n * d * sizeof(float) : 0);
    w->turns = place(base, &used, 2 * n * s->rotary_dim * sizeof(float));
    w->q = place(base, &used, n * nlp_row_bytes_most(narrow));
    w->up_q = place(base, &used, NLP_FFN_ROWS * nlp_row_bytes_most(s->ffn_size));
    if (!stack->adapter_rank) return used;
    w->low = place(base, &used, n * stack->adapter_rank * sizeof(float));
    w->addend = place(base, &used, NLP_BLOCK_ROWS * NLP_ADDEND_PANELS * NLP_PANEL * sizeof(float));
    return used;
}

nlp_status nlp_transformer_plan(const nlp_stack *stack, size_t n_tokens, size_t max_text_tokens,
                                size_t max_keys, size_t *scratch_bytes, nlp_error *err) {
    workspace unused;
    unit_shape u = {n_tokens, max_text_tokens, max_keys};
    /* tokens; with widths up to 2^20 all products fit 64 bits */
    const size_t limit = (size_t)1 << 24;
    if (n_tokens > limit || max_text_tokens > n_tokens || max_keys > limit)
        return nlp_fail(err, NLP_ELIMIT, "a unit of %zu tokens is over the limit of %zu", n_tokens,
                        limit);
    *scratch_bytes = lay_out(stack, &u, NULL, &unused);
    return NLP_OK;
}

static unit_shape shape_of_unit(const nlp_unit *unit) {
    unit_shape u = {.n_tokens = unit->n_tokens};
    for (size_t i = 0; i < unit->n_texts; i++) {
        size_t keys = unit->lengths[i] + (unit->caches ? unit->caches[i]->n : 0);
        if (unit->memories) keys = widest(keys, unit->memories[i].n_tokens);
        u.max_text_tokens = widest(u.max_text_tokens, unit->lengths[i]);
        u.max_keys = widest(u.max_keys, keys);
    }
    return u;
}

/* ---- Layers ---- */

/* Norms behind a block (NLP_PLACE_POST) quantise for the product that follows them. */
static void norm_behind(forward *f, const nlp_norm_weights *norm, const nlp_weight *next) {
    if (f->stack->spec.norm_place == NLP_PLACE_POST) forward_norm(f, norm, f->w.x, f->w.x, next);
}

static nlp_status run_layer(forward *f, const nlp_layer *layer, size_t index,
                            const nlp_weight *next) {
    bool crosses = layer->cross_q.panels != NULL;
    if (layer->input.panels)
        NLP_TRY(forward_recurrence(f, layer, index));
    else
        NLP_TRY(forward_self_attention(f, layer, index));
    norm_behind(f, &layer->attention_norm, crosses ? &layer->cross_q : &layer->ffn_up);
    if (crosses) {
        NLP_TRY(forward_cross_attention(f, layer, index));
        norm_behind(f, &layer->cross_norm, &layer->ffn_up);
    }
    NLP_TRY(forward_ffn(f, layer, index));
    norm_behind(f, &layer->ffn_norm, next);
    return NLP_OK;
}

/* ---- DeBERTa-v2's convolution ---- */

/* act(Conv(x)) of layer 0's input over three neighbours of the same text, into w.conv; zeros stand
 * at the ends of a text. */
static nlp_status convolve(const forward *f) {
    float *windows = f->w.wide;
    size_t d = f->d, row = 0;
    nlp_rows rows = {.f32 = windows};
    for (size_t text = 0; text < f->unit->n_texts; text++)
        for (size_t t = 0, n = f->unit->lengths[text]; t < n; t++, row++)
            for (size_t k = 0; k < 3; k++) {
                float *to = windows + (3 * row + k) * d;
                if (t + k < 1 || t + k - 1 >= n)
                    memset(to, 0, d * sizeof *to);
                else
                    memcpy(to, f->w.x + (row + k - 1) * d, d * sizeof *to);
            }
    nlp_epilogue act = {.act = (nlp_activation)(f->stack->spec.convolution - 1)};
    return forward_product(f, &f->stack->conv, f->n, &rows, &act, f->w.conv);
}

static nlp_status run_first_layer(forward *f, const nlp_weight *next) {
    const nlp_stack *s = f->stack;
    if (!s->conv.panels) return run_layer(f, &s->layers[0], 0, next);
    NLP_TRY(convolve(f));
    NLP_TRY(run_layer(f, &s->layers[0], 0, NULL));
    f->kernels->add(f->w.x, f->w.conv, f->n * f->d);
    forward_norm(f, &s->conv_norm, f->w.x, f->w.x, next);
    return NLP_OK;
}

/* ---- The whole ---- */

nlp_status nlp_transformer_run(const nlp_stack *stack, const nlp_kernels *kernels,
                               const nlp_unit *unit, void *scratch, size_t scratch_bytes,
                               const nlp_hooks *hooks, nlp_poll *poll, const float **hidden,
                               nlp_error *err) {
    forward f = {.stack = stack,
                 .kernels = kernels,
                 .unit = unit,
                 .hooks = hooks,
                 .poll = poll,
                 .err = err,
                 .n = unit->n_tokens,
                 .d = stack->spec.hidden_size};
    unit_shape u = shape_of_unit(unit);
    uint32_t n_layers = stack->spec.n_layers;
    if (lay_out(stack, &u, scratch, &f.w) > scratch_bytes)
        return nlp_fail(err, NLP_EINTERNAL, "a model ran with less scratch than it planned");
    NLP_TRY(forward_embed(&f));
    forward_turns(&f);
    for (uint32_t i = 0; i < n_layers; i++) {
        const nlp_weight *next = i + 1 < n_layers ? &stack->layers[i + 1].qkv : NULL;
        forward_trace(&f, "layer", i, f.w.x, f.n, f.d);
        NLP_TRY(i ? run_layer(&f, &stack->layers[i], i, next) : run_first_layer(&f, next));
    }
    if (stack->final_norm.gain) forward_norm(&f, &stack->final_norm, f.w.x, f.w.x, NULL);
    forward_trace(&f, "layer", n_layers, f.w.x, f.n, f.d);
    for (size_t i = 0; unit->caches && i < unit->n_texts; i++)
        unit->caches[i]->n += unit->lengths[i];
    *hidden = f.w.x;
    return NLP_OK;
}
