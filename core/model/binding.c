/* binding.c: tensors by role. The table of roles.c says {name, place, shape}; finding, checking and
 * error texts follow from it. */
#include "model/binding.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "nn/pooling.h"

/* ---- Tensors ---- */

static const void *tensor_data(const nlp_pack *pack, const nlp_pack_tensor *t) {
    return pack->weights + t->offset;
}

static nlp_status find_tensor(const nlp_pack *pack, const char *name, uint64_t rows,
                              uint64_t columns, const nlp_pack_tensor **tensor, nlp_error *err) {
    *tensor = nlp_pack_tensor_find(pack, name);
    if (!*tensor) return nlp_fail(err, NLP_ECORRUPT, "the pack has no tensor %s", name);
    if ((*tensor)->rows == rows && (*tensor)->columns == columns) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT, "tensor %s is %llu x %llu, its spec needs %llu x %llu", name,
                    (unsigned long long)(*tensor)->rows, (unsigned long long)(*tensor)->columns,
                    (unsigned long long)rows, (unsigned long long)columns);
}

static nlp_status wrong_type(nlp_error *err, const char *name) {
    return nlp_fail(err, NLP_EUNSUPPORTED, "tensor %s has a type that its place does not take",
                    name);
}

static nlp_status bind_plain(const nlp_pack *pack, const char *name, uint32_t rows,
                             uint32_t columns, const float **out, nlp_error *err) {
    const nlp_pack_tensor *t;
    NLP_TRY(find_tensor(pack, name, rows, columns, &t, err));
    if (t->layout != NLP_TENSOR_PLAIN) return wrong_type(err, name);
    *out = tensor_data(pack, t);
    return NLP_OK;
}

static nlp_status bind_norm(const nlp_pack *pack, const char *name, uint32_t width, uint32_t kind,
                            nlp_norm_weights *norm, nlp_error *err) {
    char full[112];
    snprintf(full, sizeof full, "%s.gain", name);
    NLP_TRY(bind_plain(pack, full, 1, width, &norm->gain, err));
    if (kind == NLP_NORM_RMS) return NLP_OK;
    snprintf(full, sizeof full, "%s.bias", name);
    return bind_plain(pack, full, 1, width, &norm->bias, err);
}

/* Embedding tables are f32, or s8 with one scale a row in front of the rows. */
static nlp_status bind_table(const nlp_pack *pack, const char *name, uint32_t rows, uint32_t width,
                             nlp_table *table, nlp_error *err) {
    const nlp_pack_tensor *t;
    NLP_TRY(find_tensor(pack, name, rows, width, &t, err));
    const uint8_t *data = tensor_data(pack, t);
    *table =
        (nlp_table){.dtype = (nlp_dtype)t->dtype, .rows = data, .n_rows = rows, .width = width};
    if (t->layout == NLP_TENSOR_PLAIN) return NLP_OK;
    if (t->layout != NLP_TENSOR_S8_ROWS) return wrong_type(err, name);
    table->scales = (const float *)(const void *)data;
    table->rows = data + ((size_t)rows * sizeof(float) + 63) / 64 * 64;
    return NLP_OK;
}

/* An i8 weight brings the factors that its input is multiplied by; they are a tensor of their
 * own. */
static nlp_status bind_weight(const nlp_pack *pack, const char *name, uint32_t n, uint32_t k,
                              nlp_weight *weight, nlp_error *err) {
    const nlp_pack_tensor *t;
    char factors[112];
    NLP_TRY(find_tensor(pack, name, n, k, &t, err));
    if (t->layout != NLP_TENSOR_PANELS) return wrong_type(err, name);
    *weight = (nlp_weight){.dtype = (nlp_dtype)t->dtype,
                           .grid = (nlp_grid)t->grid,
                           .k = k,
                           .n = n,
                           .panels = tensor_data(pack, t)};
    if (weight->dtype != NLP_I8) return NLP_OK;
    snprintf(factors, sizeof factors, "%s.factors", name);
    return bind_plain(pack, factors, 1, k, &weight->factors, err);
}

/* Of a product whose input is never quantised: heads, projections, convolutions, relative keys. */
static nlp_status bind_f32(const nlp_pack *pack, const char *name, uint32_t n, uint32_t k,
                           nlp_weight *weight, nlp_error *err) {
    NLP_TRY(bind_weight(pack, name, n, k, weight, err));
    return weight->dtype == NLP_F32 ? NLP_OK : wrong_type(err, name);
}

/* ---- A stack ---- */

typedef struct binder {
    const nlp_pack *pack;
    const char *prefix; /* "" or "decoder." */
    nlp_arena *arena;
    nlp_stack *stack;
    nlp_error *err;
} binder;

/* The full name of a tensor; layer < 0: of the stack. */
static void full_name(const binder *b, int64_t layer, const char *name, char out[96]) {
    if (layer < 0)
        snprintf(out, 96, "%s%s", b->prefix, name);
    else
        snprintf(out, 96, "%slayer.%d.%s", b->prefix, (int)layer, name);
}

static bool is_there(const binder *b, const char *name, nlp_role_kind kind) {
    char full[112];
    snprintf(full, sizeof full, "%s%s", name, kind == NLP_ROLE_NORM ? ".gain" : "");
    return nlp_pack_tensor_find(b->pack, full) != NULL;
}

/* A tied model may have its words once: as the panels of the output. */
static nlp_status tie_words(const binder *b) {
    const nlp_arch_spec *s = &b->stack->spec;
    if (s->n_outputs != s->vocabulary || s->embedding_width)
        return nlp_fail(b->err, NLP_ECORRUPT, "the pack has no tensor %sembedding.word", b->prefix);
    b->stack->word =
        (nlp_table){.panels = &b->stack->output, .n_rows = s->vocabulary, .width = s->hidden_size};
    return NLP_OK;
}

static nlp_status bind_role(const binder *b, int64_t layer, const nlp_role *role, void *place) {
    char name[96];
    const nlp_arch_spec *spec = &b->stack->spec;
    uint32_t rows = nlp_size_of(spec, role->rows), columns = nlp_size_of(spec, role->columns);
    if (!rows || !columns) return NLP_OK;
    full_name(b, layer, role->name, name);
    if (role->optional && !is_there(b, name, role->kind)) return NLP_OK;
    switch (role->kind) {
    case NLP_ROLE_TABLE:
        if (!is_there(b, name, role->kind) && place == &b->stack->word) return tie_words(b);
        return bind_table(b->pack, name, rows, columns, place, b->err);
    case NLP_ROLE_PLAIN:
        return bind_plain(b->pack, name, rows, columns, place, b->err);
    case NLP_ROLE_NORM:
        return bind_norm(b->pack, name, columns, spec->norm, place, b->err);
    case NLP_ROLE_LINEAR:
        break;
    }
    if (place == &b->stack->project || place == &b->stack->conv)
        return bind_f32(b->pack, name, rows, columns, place, b->err);
    return bind_weight(b->pack, name, rows, columns, place, b->err);
}

/* DeBERTa's relative keys or queries: one small product a head. Absent where the model leaves that
 * term out. */
static nlp_status bind_relative(const binder *b, uint32_t layer, const char *what,
                                const nlp_weight **out) {
    const nlp_arch_spec *s = &b->stack->spec;
    char role[48], name[96];
    snprintf(role, sizeof role, "attention.%s.0", what);
    full_name(b, layer, role, name);
    if (s->bias != NLP_BIAS_DISENTANGLED || !nlp_pack_tensor_find(b->pack, name)) return NLP_OK;
    nlp_weight *weights = NLP_PUSH_ZERO(b->arena, nlp_weight, s->n_heads);
    NLP_TRY(nlp_arena_status(b->arena, b->err));
    for (uint32_t head = 0; head < s->n_heads; head++) {
        snprintf(role, sizeof role, "attention.%s.%u", what, head);
        full_name(b, layer, role, name);
        NLP_TRY(bind_f32(b->pack, name, s->n_relative, s->head_dim, &weights[head], b->err));
    }
    *out = weights;
    return NLP_OK;
}

/* What feeds an i8 product carries its factors (qkv for attention.out, ffn.up for ffn.down), and
 * only a GELU's output lies on the GELU grid. */
static nlp_status check_grids(const nlp_layer *layer, uint32_t index, const nlp_arch_spec *spec,
                              nlp_error *err) {
    bool gelu = !spec->gated &&
                (spec->activation == NLP_ACT_GELU_ERF || spec->activation == NLP_ACT_GELU_TANH);
    const nlp_weight *symmetric[] = {&layer->qkv,     &layer->attention_out, &layer->ffn_up,
                                     &layer->cross_q, &layer->cross_kv,      &layer->cross_out,
                                     &layer->input,   &layer->forget};
    bool good = layer->ffn_down.grid == NLP_GRID_SYMMETRIC || gelu;
    for (size_t i = 0; i < sizeof symmetric / sizeof *symmetric; i++)
        good = good && symmetric[i]->grid == NLP_GRID_SYMMETRIC;
    if (good) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT, "layer %u: a product's number grid does not fit its input",
                    index);
}

/* Numbers in a table of buckets are row numbers of the relative table. */
static nlp_status check_buckets(const nlp_stack *s, nlp_error *err) {
    for (uint32_t i = 0; s->buckets && i < 2 * s->spec.bias_reach + 1; i++)
        if (!(s->buckets[i] >= 0 && s->buckets[i] < (float)s->spec.n_relative))
            return nlp_fail(err, NLP_ECORRUPT, "attention.buckets names a row that is not there");
    return NLP_OK;
}

static nlp_status bind_layer_specs(const binder *b, nlp_layer *layers) {
    char name[32];
    uint32_t n = b->stack->spec.n_layers;
    snprintf(name, sizeof name, "%slayers", b->prefix);
    nlp_span s = nlp_pack_section_find(b->pack, name);
    if (!s.n_bytes) return NLP_OK;
    if (s.n_bytes != n * sizeof(nlp_layer_spec))
        return nlp_fail(b->err, NLP_ECORRUPT, "section %s has %zu bytes, %u layers need %zu", name,
                        s.n_bytes, n, n * sizeof(nlp_layer_spec));
    for (uint32_t i = 0; i < n; i++) {
        memcpy(&layers[i].spec, s.bytes + i * sizeof(nlp_layer_spec), sizeof(nlp_layer_spec));
        uint32_t rope = layers[i].spec.rope, source = layers[i].spec.same_as;
        if (source > n)
            return nlp_fail(b->err, NLP_ECORRUPT, "layer %u takes the tensors of layer %u", i,
                            source - 1);
        if (rope > NLP_ROPE_NONE || (rope == 1 && !b->stack->rope[1]))
            return nlp_fail(b->err, NLP_ECORRUPT, "layer %u names rope table %u", i, rope);
    }
    return NLP_OK;
}

static nlp_status bind_layer(const binder *b, uint32_t index, nlp_layer *layer) {
    if (layer->spec.same_as) index = layer->spec.same_as - 1;
    for (const nlp_role *role = nlp_roles; role->name; role++)
        if (role->per_layer) NLP_TRY(bind_role(b, index, role, (char *)layer + role->place));
    NLP_TRY(bind_relative(b, index, "position_keys", &layer->position_keys));
    NLP_TRY(bind_relative(b, index, "position_queries", &layer->position_queries));
    if (b->stack->spec.bias == NLP_BIAS_RELATIVE && !layer->bias && !b->stack->bias)
        return nlp_fail(b->err, NLP_ECORRUPT, "layer %u has no attention bias", index);
    if (!layer->attention_norm.gain && b->stack->spec.norm_place != NLP_PLACE_PRE)
        return nlp_fail(b->err, NLP_ECORRUPT, "layer %u has no attention norm", index);
    return check_grids(layer, index, &b->stack->spec, b->err);
}

/* The arena holds the layers; all weights stay in the pack. */
nlp_status nlp_stack_bind(const nlp_pack *pack, const char *prefix, nlp_arena *arena,
                          nlp_stack **stack, nlp_error *err) {
    char section[32];
    binder b = {.pack = pack, .prefix = prefix, .arena = arena, .err = err};
    b.stack = NLP_PUSH_ZERO(arena, nlp_stack, 1);
    NLP_TRY(nlp_arena_status(arena, err));
    nlp_arch_spec *spec = &b.stack->spec;
    snprintf(section, sizeof section, "%sspec", prefix);
    NLP_TRY(nlp_spec_read(pack, section, spec, err));
    nlp_layer *layers = NLP_PUSH_ZERO(arena, nlp_layer, spec->n_layers);
    NLP_TRY(nlp_arena_status(arena, err));
    for (const nlp_role *role = nlp_roles; role->name; role++)
        if (!role->per_layer) NLP_TRY(bind_role(&b, -1, role, (char *)b.stack + role->place));
    if (spec->rope_switch && !b.stack->rope[1])
        return nlp_fail(err, NLP_ECORRUPT, "the pack has one rope table, its spec needs two");
    if (b.stack->word.panels && b.stack->output.dtype == NLP_I8)
        return nlp_fail(err, NLP_ECORRUPT, "panels of i8 with factors can't be read as words");
    b.stack->half_cache = pack->header->precision != NLP_F32 && spec->causal &&
                          (spec->n_outputs || spec->memory_width);
    NLP_TRY(check_buckets(b.stack, err));
    NLP_TRY(bind_layer_specs(&b, layers));
    for (uint32_t i = 0; i < spec->n_layers; i++) NLP_TRY(bind_layer(&b, i, &layers[i]));
    b.stack->layers = layers;
    *stack = b.stack;
    return NLP_OK;
}

/* ---- Pooling pipeline and head ---- */

static uint32_t count_bits(uint32_t bits) {
    return (uint32_t)__builtin_popcount(bits);
}

/* Widths are followed from stage to stage, so that the vector's length is known and right before
 * anything runs. */
nlp_status nlp_pooler_bind(const nlp_pack *pack, uint32_t hidden_size, nlp_pooler *pooler,
                           nlp_error *err) {
    memset(pooler, 0, sizeof *pooler);
    nlp_pooling_spec *spec = &pooler->spec;
    NLP_TRY(nlp_section_read(pack, "pipeline", spec, sizeof *spec, err));
    if (!spec->struct_size) return NLP_OK;
    if (!spec->pooling || spec->pooling >= 2 * NLP_POOL_LAST || spec->n_stages > NLP_MAX_STAGES)
        return nlp_fail(err, NLP_ECORRUPT, "the pack's pipeline is not possible");
    uint32_t width = hidden_size * count_bits(spec->pooling);
    for (uint32_t i = 0; i < spec->n_stages; i++) {
        char name[32];
        snprintf(name, sizeof name, "dense.%u", i);
        if (spec->stages[i] == NLP_STAGE_NORMALIZE) continue;
        const nlp_pack_tensor *t = nlp_pack_tensor_find(pack, name);
        if (spec->stages[i] != NLP_STAGE_DENSE || spec->stage_activation[i] > NLP_ACT_SILU || !t ||
            t->rows > 1 << 16)
            return nlp_fail(err, NLP_ECORRUPT, "stage %u of the pack's pipeline is not possible",
                            i);
        NLP_TRY(bind_f32(pack, name, (uint32_t)t->rows, width, &pooler->dense[i], err));
        width = (uint32_t)t->rows;
    }
    if (spec->dims == width) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT, "the pack's pipeline ends in %u numbers, it says %u", width,
                    spec->dims);
}

/* As many labels as outputs, or the head is refused: a label by a wrong index would be believed. */
nlp_status nlp_head_bind(const nlp_pack *pack, uint32_t input_width, nlp_head *head,
                         nlp_error *err) {
    memset(head, 0, sizeof *head);
    nlp_head_spec *spec = &head->spec;
    NLP_TRY(nlp_section_read(pack, "head", spec, sizeof *spec, err));
    if (!spec->struct_size) return NLP_OK;
    if (spec->head < NLP_HEAD_SEQUENCE || spec->head > NLP_HEAD_WORDS ||
        spec->score > NLP_SCORE_NONE || !spec->n_labels || spec->n_labels > 1 << 20 ||
        spec->hidden_size > 1 << 16 || spec->hidden_activation > NLP_ACT_SILU ||
        spec->at > NLP_HEAD_AT_MEAN || spec->norm > 1 ||
        !(spec->norm_eps >= 0 && spec->norm_eps <= 1) ||
        (spec->head == NLP_HEAD_VECTOR_MLP && !spec->hidden_size) ||
        (spec->head == NLP_HEAD_SPAN && spec->n_labels != 2) ||
        (spec->window && spec->window < NLP_MIN_WINDOW) || spec->aggregation > NLP_AGGREGATE_NONE ||
        (spec->head != NLP_HEAD_WORDS && spec->head != NLP_HEAD_SPAN &&
         spec->n_labels != nlp_pack_strings_count(pack, "labels")))
        return nlp_fail(err, NLP_ECORRUPT, "the pack's head is not possible");
    for (uint32_t i = 0; i < NLP_MAX_POLARITIES; i++)
        if (spec->polarity[i] > NLP_POLARITY_POSITIVE)
            return nlp_fail(err, NLP_ECORRUPT, "a label's polarity is unknown");
    bool two_layers = spec->hidden_size && spec->head != NLP_HEAD_VECTOR_LINEAR;
    uint32_t width = two_layers ? spec->hidden_size : input_width;
    if (two_layers) NLP_TRY(bind_f32(pack, "hidden", width, input_width, &head->hidden, err));
    if (spec->norm) NLP_TRY(bind_norm(pack, "head.norm", width, NLP_NORM_LAYER, &head->norm, err));
    return bind_f32(pack, "classifier", spec->n_labels, width, &head->classifier, err);
}
