/* binding.c: tensors by role. The tables say {name, place, shape}; finding, checking and error
 * texts follow from them. */
#include "model/binding.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "nn/pooling.h"

/* ---- Sections of fixed structs ---- */

/* Copies a struct whose first field is struct_size: a shorter section of an older pack leaves
 * zeros, a longer one of a newer pack must hold zeros where this library knows nothing. */
static nlp_status read_struct(const nlp_pack *pack, const char *name, void *out, size_t n_bytes,
                              nlp_error *err) {
    nlp_span s = nlp_pack_section_find(pack, name);
    memset(out, 0, n_bytes);
    if (!s.n_bytes) return NLP_OK;
    memcpy(out, s.bytes, s.n_bytes < n_bytes ? s.n_bytes : n_bytes);
    for (size_t i = n_bytes; i < s.n_bytes; i++)
        if (s.bytes[i]) {
            nlp_fail(err, NLP_EUNSUPPORTED,
                     "the pack's section %s says more than this library knows", name);
            nlp_hint(err, "import the model again with this version of nlp, or use a newer nlp");
            return NLP_EUNSUPPORTED;
        }
    return NLP_OK;
}

static nlp_status bad_spec(nlp_error *err, const char *what, uint64_t has, uint64_t limit) {
    return nlp_fail(err, NLP_ECORRUPT, "the pack's spec is not possible: %s is %llu (limit %llu)",
                    what, (unsigned long long)has, (unsigned long long)limit);
}

/* Ranges first, then what must agree with what. After this no size of the spec can overflow a
 * product of two. */
nlp_status nlp_spec_read(const nlp_pack *pack, nlp_arch_spec *spec, nlp_error *err) {
    NLP_TRY(read_struct(pack, "spec", spec, sizeof *spec, err));
    const struct {
        const char *name;
        uint32_t value, min, max;
    } ranges[] = {{"kind", spec->kind, NLP_KIND_ENCODER, NLP_KIND_ENCODER},
                  {"vocabulary", spec->vocabulary, 1, 1 << 20},
                  {"hidden size", spec->hidden_size, 1, 1 << 16},
                  {"layers", spec->n_layers, 1, 1024},
                  {"heads", spec->n_heads, 1, 1024},
                  {"key heads", spec->n_kv_heads, spec->n_heads, spec->n_heads},
                  {"head size", spec->head_dim, 1, 1024},
                  {"ffn size", spec->ffn_size, 1, 1 << 20},
                  {"positions", spec->n_positions, 1, 1 << 20},
                  {"position scheme", spec->position, NLP_POSITION_LEARNED, NLP_POSITION_LEARNED},
                  {"position offset", spec->position_offset, 0, 16},
                  {"token types", spec->n_types, 0, 16},
                  {"norm", spec->norm, NLP_NORM_LAYER, NLP_NORM_LAYER},
                  {"norm place", spec->norm_place, NLP_PLACE_POST, NLP_PLACE_POST},
                  {"activation", spec->activation, 0, NLP_ACT_SILU},
                  {"token limit", spec->max_tokens, 3, 1 << 20}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < ranges[i].min || ranges[i].value > ranges[i].max)
            return bad_spec(err, ranges[i].name, ranges[i].value, ranges[i].max);
    if (spec->n_heads * spec->head_dim != spec->hidden_size)
        return bad_spec(err, "heads x head size", (uint64_t)spec->n_heads * spec->head_dim,
                        spec->hidden_size);
    if (spec->max_tokens + spec->position_offset > spec->n_positions)
        return bad_spec(err, "token limit", spec->max_tokens,
                        spec->n_positions - spec->position_offset);
    if (!(spec->norm_eps >= 0 && spec->norm_eps <= 1) || !isfinite(spec->attention_scale))
        return nlp_fail(err, NLP_ECORRUPT,
                        "the pack's spec is not possible: an epsilon or scale is not a number");
    return NLP_OK;
}

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

static nlp_status bind_vector(const nlp_pack *pack, const char *name, uint32_t width,
                              const float **out, nlp_error *err) {
    const nlp_pack_tensor *t;
    NLP_TRY(find_tensor(pack, name, 1, width, &t, err));
    if (t->layout != NLP_TENSOR_PLAIN) return wrong_type(err, name);
    *out = tensor_data(pack, t);
    return NLP_OK;
}

static nlp_status bind_norm(const nlp_pack *pack, const char *name, uint32_t width,
                            nlp_norm_weights *norm, nlp_error *err) {
    char full[64];
    snprintf(full, sizeof full, "%s.gain", name);
    NLP_TRY(bind_vector(pack, full, width, &norm->gain, err));
    snprintf(full, sizeof full, "%s.bias", name);
    return bind_vector(pack, full, width, &norm->bias, err);
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
    char factors[80];
    NLP_TRY(find_tensor(pack, name, n, k, &t, err));
    if (t->layout != NLP_TENSOR_PANELS) return wrong_type(err, name);
    *weight = (nlp_weight){.dtype = (nlp_dtype)t->dtype,
                           .grid = (nlp_grid)t->grid,
                           .k = k,
                           .n = n,
                           .panels = tensor_data(pack, t)};
    if (weight->dtype != NLP_I8) return NLP_OK;
    snprintf(factors, sizeof factors, "%s.factors", name);
    return bind_vector(pack, factors, k, &weight->factors, err);
}

/* ---- The encoder ---- */

typedef struct layer_role {
    const char *name; /* behind "layer.N." */
    bool is_norm;
    size_t place;            /* in nlp_encoder_layer */
    size_t n_field, k_field; /* of nlp_arch_spec: outputs and inputs */
    uint32_t n_times;        /* outputs are so many times the field */
} layer_role;

#define SPEC(field)  offsetof(nlp_arch_spec, field)
#define PLACE(field) offsetof(nlp_encoder_layer, field)
static const layer_role layer_roles[] = {
    {"attention.qkv", false, PLACE(qkv), SPEC(hidden_size), SPEC(hidden_size), 3},
    {"attention.out", false, PLACE(attention_out), SPEC(hidden_size), SPEC(hidden_size), 1},
    {"attention.norm", true, PLACE(attention_norm), SPEC(hidden_size), 0, 1},
    {"ffn.up", false, PLACE(ffn_up), SPEC(ffn_size), SPEC(hidden_size), 1},
    {"ffn.down", false, PLACE(ffn_down), SPEC(hidden_size), SPEC(ffn_size), 1},
    {"ffn.norm", true, PLACE(ffn_norm), SPEC(hidden_size), 0, 1},
};

static uint32_t spec_value(const nlp_arch_spec *spec, size_t field) {
    uint32_t value;
    memcpy(&value, (const char *)spec + field, sizeof value);
    return value;
}

static nlp_status bind_role(const nlp_pack *pack, const nlp_arch_spec *spec, uint32_t index,
                            const layer_role *role, nlp_encoder_layer *layer, nlp_error *err) {
    char name[64];
    void *place = (char *)layer + role->place;
    uint32_t n = role->n_times * spec_value(spec, role->n_field);
    snprintf(name, sizeof name, "layer.%u.%s", index, role->name);
    if (role->is_norm) return bind_norm(pack, name, n, place, err);
    return bind_weight(pack, name, n, spec_value(spec, role->k_field), place, err);
}

/* Products of one layer are either all f32 or such that the encoder's fused steps fit: what feeds
 * an i8 product carries its factors (qkv for attention.out, ffn.up for ffn.down), so only i8 may
 * stand before them in an i8 pack. */
static nlp_status check_grids(const nlp_encoder_layer *layer, uint32_t index, uint32_t activation,
                              nlp_error *err) {
    bool gelu = activation == NLP_ACT_GELU_ERF || activation == NLP_ACT_GELU_TANH;
    bool good = layer->qkv.grid == NLP_GRID_SYMMETRIC &&
                layer->attention_out.grid == NLP_GRID_SYMMETRIC &&
                layer->ffn_up.grid == NLP_GRID_SYMMETRIC &&
                (layer->ffn_down.grid == NLP_GRID_SYMMETRIC || gelu);
    if (good) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT, "layer %u: a product's number grid does not fit its input",
                    index);
}

/* The arena holds the layers; all weights stay in the pack. */
nlp_status nlp_encoder_bind(const nlp_pack *pack, nlp_arena *arena, nlp_encoder **encoder,
                            nlp_error *err) {
    nlp_encoder *e = NLP_PUSH_ZERO(arena, nlp_encoder, 1);
    NLP_TRY(nlp_arena_status(arena, err));
    nlp_arch_spec *spec = &e->spec;
    NLP_TRY(nlp_spec_read(pack, spec, err));
    nlp_encoder_layer *layers = NLP_PUSH_ZERO(arena, nlp_encoder_layer, spec->n_layers);
    NLP_TRY(nlp_arena_status(arena, err));
    NLP_TRY(bind_table(pack, "embedding.word", spec->vocabulary, spec->hidden_size, &e->word, err));
    NLP_TRY(bind_table(pack, "embedding.position", spec->n_positions, spec->hidden_size,
                       &e->position, err));
    if (spec->n_types)
        NLP_TRY(
            bind_table(pack, "embedding.type", spec->n_types, spec->hidden_size, &e->type, err));
    if (spec->embedding_norm)
        NLP_TRY(bind_norm(pack, "embedding.norm", spec->hidden_size, &e->embedding_norm, err));
    for (uint32_t i = 0; i < spec->n_layers; i++) {
        for (size_t r = 0; r < sizeof layer_roles / sizeof *layer_roles; r++)
            NLP_TRY(bind_role(pack, spec, i, &layer_roles[r], &layers[i], err));
        NLP_TRY(check_grids(&layers[i], i, spec->activation, err));
    }
    e->layers = layers;
    *encoder = e;
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
    NLP_TRY(read_struct(pack, "pipeline", spec, sizeof *spec, err));
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
        NLP_TRY(bind_weight(pack, name, (uint32_t)t->rows, width, &pooler->dense[i], err));
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
    NLP_TRY(read_struct(pack, "head", spec, sizeof *spec, err));
    if (!spec->struct_size) return NLP_OK;
    if (spec->head < NLP_HEAD_POOLER_CLASSIFIER || spec->head > NLP_HEAD_VECTOR_MLP ||
        spec->score > NLP_SCORE_NONE || !spec->n_labels || spec->n_labels > 1 << 16 ||
        spec->n_labels != nlp_pack_strings_count(pack, "labels") || spec->hidden_size > 1 << 16 ||
        spec->hidden_activation > NLP_ACT_SILU)
        return nlp_fail(err, NLP_ECORRUPT, "the pack's head is not possible");
    for (uint32_t i = 0; i < NLP_MAX_POLARITIES; i++)
        if (spec->polarity[i] > NLP_POLARITY_POSITIVE)
            return nlp_fail(err, NLP_ECORRUPT, "a label's polarity is unknown");
    bool two_layers = spec->head != NLP_HEAD_VECTOR_LINEAR;
    uint32_t hidden = two_layers ? spec->hidden_size : input_width;
    if (two_layers) NLP_TRY(bind_weight(pack, "hidden", hidden, input_width, &head->hidden, err));
    return bind_weight(pack, "classifier", spec->n_labels, hidden, &head->classifier, err);
}
