/* adapter.c: LoRA as PEFT saves it (Hu and others 2021): W x + scale B (A x), with A as
 * "...query.lora_A.weight" [rank, in] and B as "...query.lora_B.weight" [out, rank]. The adapters of a role's
 * parts (query, key, value) become one, A's rows behind each other and B block by block. What an i8 base
 * multiplies its numbers by is taken into account here, once. */
#include "adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "assembly.h"
#include "base/mapfile.h"
#include "json.h"
#include "model/binding.h"
#include "model/readout.h"
#include "safetensors.h"
#include "tensor/quant.h"

static const char config_name[] = "adapter_config.json";

typedef struct adapting {
    assembly a;
    const nlp_adapter_options *o;
    nlp_map map; /* of the base's file */
    nlp_pack base;
    nlp_stack *stack; /* of the base */
    json_t *config;
    size_t rank; /* of each adapter */
    float scale;
} adapting;

bool nlp_adapter_is_folder(const char *path) {
    char name[4096];
    snprintf(name, sizeof name, "%s/%s", path, config_name);
    return access(name, F_OK) == 0;
}

/* ---- What it stands on ---- */

static nlp_status open_base(adapting *x, nlp_error *err) {
    int fd;
    uint64_t n_bytes;
    nlp_model_folder *f = x->a.folder;
    NLP_TRY(nlp_file_open(x->o->base, &fd, &n_bytes, err));
    nlp_status status = nlp_map_file(fd, n_bytes, &x->map, err);
    nlp_file_close(fd);
    NLP_TRY(status);
    NLP_TRY(nlp_pack_open(x->map.bytes, x->map.n_bytes, &x->base, err));
    if (x->base.header->kind != NLP_PACK_FULL)
        return nlp_fail(err, NLP_EINVAL, "%s is a task pack: an adapter stands on a full one",
                        x->o->base);
    NLP_TRY(nlp_stack_bind(&x->base, "", &f->arena, &x->stack, err));
    nlp_span family = nlp_pack_pair(&x->base, "meta", "family");
    f->family = nlp_family_named((const char *)family.bytes, family.n_bytes);
    if (!f->family || f->family->decoder || strstr(f->family->stack.layer, "%g"))
        return nlp_fail(err, NLP_EUNSUPPORTED,
                        "adapters are not supported on a base of family %.*s", (int)family.n_bytes,
                        family.bytes ? (const char *)family.bytes : "");
    f->stack.spec = x->stack->spec;
    x->a.source = &f->family->stack;
    return NLP_OK;
}

/* ---- adapter_config.json ---- */

static nlp_status refuse(nlp_error *err, const char *key) {
    return nlp_fail(err, NLP_EUNSUPPORTED, "%s: \"%s\" has a value that is not supported",
                    config_name, key);
}

/* What the first weights were made of: some ways also change the base that the adapter stands on. */
static nlp_status check_origin(const json_t *config, nlp_error *err) {
    static const char *const key = "init_lora_weights", *const harmless[] = {"gaussian", "eva",
                                                                             "orthogonal"};
    const json_t *way = json_object_get(config, key);
    bool good = !way || json_is_boolean(way) || json_is_null(way);
    for (size_t i = 0; json_is_string(way) && i < sizeof harmless / sizeof *harmless; i++)
        good = good || !strcmp(json_string_value(way), harmless[i]);
    return good ? NLP_OK : refuse(err, key);
}

/* Other kinds of adapters, and of this one what changes its formula. */
static nlp_status check_kind(const json_t *config, nlp_error *err) {
    static const char *const must_be_false[] = {"use_dora", "fan_in_fan_out", "lora_bias",
                                                "use_qalora"},
                             *const must_be_empty[] = {"rank_pattern", "alpha_pattern",
                                                       "layer_replication",
                                                       "alora_invocation_tokens"};
    bool set;
    const char *type, *bias;
    NLP_TRY(nlp_json_text(config, config_name, "peft_type", "", &type, err));
    NLP_TRY(nlp_json_text(config, config_name, "bias", "none", &bias, err));
    if (strcmp(type, "LORA") != 0) return refuse(err, "peft_type");
    if (strcmp(bias, "none") != 0) return refuse(err, "bias");
    for (size_t i = 0; i < sizeof must_be_false / sizeof *must_be_false; i++) {
        NLP_TRY(nlp_json_boolean(config, config_name, must_be_false[i], false, &set, err));
        if (set) return refuse(err, must_be_false[i]);
    }
    for (size_t i = 0; i < sizeof must_be_empty / sizeof *must_be_empty; i++) {
        const json_t *value = json_object_get(config, must_be_empty[i]);
        if (json_object_size(value) || json_array_size(value)) return refuse(err, must_be_empty[i]);
    }
    return check_origin(config, err);
}

static nlp_status read_scale(adapting *x, nlp_error *err) {
    int64_t rank;
    double alpha;
    bool by_root;
    NLP_TRY(nlp_json_integer(x->config, config_name, "r", 0, 1, NLP_MAX_ADAPTER_RANK, &rank, err));
    NLP_TRY(nlp_json_number(x->config, config_name, "lora_alpha", 8, &alpha, err));
    NLP_TRY(nlp_json_boolean(x->config, config_name, "use_rslora", false, &by_root, err));
    x->rank = (size_t)rank;
    x->scale = (float)(alpha / (by_root ? sqrt((double)rank) : (double)rank));
    return isfinite(x->scale) ? NLP_OK : refuse(err, "lora_alpha");
}

/* A linear layer on the base's pooled vector, as the recipes of models/ train it: embedders have no
 * first token that means the text. "nlp_window": tokens of the parts in which longer texts are read. */
static const nlp_head_source vector_head = {.architecture = "ForVectorClassification",
                                            .head = NLP_HEAD_VECTOR_LINEAR,
                                            .classifier = "classifier"};

static nlp_status read_vector_head(adapting *x, nlp_error *err) {
    nlp_model_folder *f = x->a.folder;
    nlp_pooler pooler;
    int64_t window;
    NLP_TRY(nlp_pooler_bind(&x->base, x->stack->spec.hidden_size, &pooler, err));
    if (nlp_pool_dims(&pooler, x->stack->spec.hidden_size, NULL) != x->stack->spec.hidden_size)
        return nlp_fail(err, NLP_EUNSUPPORTED,
                        "a head on vectors needs a base whose vectors have the %u numbers of its "
                        "hidden states",
                        x->stack->spec.hidden_size);
    NLP_TRY(nlp_head_take(f, &vector_head, f->config, err));
    NLP_TRY(nlp_json_integer(f->config, "config.json", "nlp_window", 0, 0,
                             x->stack->spec.max_tokens, &window, err));
    if (window && window < NLP_MIN_WINDOW)
        return nlp_fail(err, NLP_EINVAL, "config.json: \"nlp_window\" is %d, the least is %d",
                        (int)window, NLP_MIN_WINDOW);
    f->head.window = (uint32_t)window;
    return NLP_OK;
}

/* The head's description: config.json, where it was saved beside; else what the kind of task says. */
static nlp_status read_head(adapting *x, nlp_error *err) {
    static const char *const heads[][2] = {{"SEQ_CLS", "ForSequenceClassification"},
                                           {"TOKEN_CLS", "ForTokenClassification"},
                                           {"QUESTION_ANS", "ForQuestionAnswering"}};
    nlp_model_folder *f = x->a.folder;
    const char *task;
    NLP_TRY(nlp_json_text(x->config, config_name, "task_type", "", &task, err));
    NLP_TRY(nlp_model_folder_json(f, "config.json", NLP_JSON_CONFIG_BYTES, &f->config, err));
    for (size_t i = 0; i < 3 && !f->config; i++)
        if (!strcmp(task, heads[i][0]))
            f->config = json_pack("{s:[s]}", "architectures", heads[i][1]);
    if (!f->config) return NLP_OK;
    return strcmp(nlp_architecture_of(f->config), vector_head.architecture) != 0
               ? nlp_head_read(f, f->config, err)
               : read_vector_head(x, err);
}

/* ---- Weights ---- */

static nlp_status open_weights(adapting *x, nlp_error *err) {
    static const char prefix[] = "base_model.model.";
    char path[4096];
    nlp_source *source = &x->a.folder->source;
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", x->o->folder);
    NLP_TRY(nlp_safetensors_add(source, path, err));
    for (size_t i = 0; i < source->n_tensors; i++)
        if (!strncmp(source->tensors[i].name, prefix, sizeof prefix - 1))
            source->tensors[i].name += sizeof prefix - 1;
    return NLP_OK;
}

typedef struct lora_part {
    nlp_source_tensor *down, *up;
    size_t rank, n; /* n: outputs */
} lora_part;

/* DeBERTa's keys and queries of positions were made of the base's own projections. */
static bool is_bound_to_base(const assembly *a, const nlp_role *role, size_t part) {
    return a->config->spec.bias == NLP_BIAS_DISENTANGLED && role->rows == NLP_SIZE_QKV && part < 2;
}

/* The parts of a role that have an adapter; *rank: of all together. */
static nlp_status find_parts(const adapting *x, const nlp_role *role, const nlp_role_source *s,
                             uint32_t layer, lora_part *parts, size_t *n_parts, size_t *rank) {
    const assembly *a = &x->a;
    *rank = 0;
    for (*n_parts = 0; *n_parts < 3 && s->parts[*n_parts]; ++*n_parts) continue;
    for (size_t i = 0; i < *n_parts; i++) {
        lora_part *p = &parts[i];
        p->down = assembly_find(a, s->parts[i], layer, true, ".lora_A.weight");
        p->up = assembly_find(a, s->parts[i], layer, true, ".lora_B.weight");
        p->n = assembly_part_rows(a, role, *n_parts, i);
        if (!p->down && !p->up) continue;
        if (!p->down || !p->up || p->down->n_dims != 2 || p->down->shape[0] != x->rank)
            return nlp_fail(a->err, NLP_EINVAL,
                            "the adapter of %s in layer %u is not whole, or has not rank %zu",
                            s->parts[i], layer, x->rank);
        if (is_bound_to_base(a, role, i))
            return nlp_fail(a->err, NLP_EUNSUPPORTED,
                            "adapters of %s are not supported in this family", s->parts[i]);
        p->rank = x->rank;
        *rank += p->rank;
    }
    if (*rank && (s->form & (NLP_FORM_TRANSPOSED | NLP_FORM_SWAPPED | NLP_FORM_NEIGHBOURS)))
        return nlp_fail(a->err, NLP_EUNSUPPORTED, "adapters of %s are not supported in this family",
                        role->name);
    if (*rank > NLP_MAX_ADAPTER_RANK)
        return nlp_fail(a->err, NLP_ELIMIT,
                        "the adapters of %s have rank %zu together, %d is possible", role->name,
                        *rank, NLP_MAX_ADAPTER_RANK);
    return NLP_OK;
}

/* Row by row into its block of up, which has zeros elsewhere. */
static nlp_status read_up(const adapting *x, const lora_part *p, size_t row, size_t column,
                          matrix *up) {
    matrix own;
    nlp_status status = matrix_alloc(&x->a, &own, p->n, p->rank);
    if (status == NLP_OK) status = assembly_read(&x->a, p->up, p->up->name, p->n, p->rank, own.w);
    for (size_t i = 0; status == NLP_OK && i < p->n; i++)
        for (size_t r = 0; r < p->rank; r++)
            up->w[(row + i) * up->k + column + r] = x->scale * own.w[i * p->rank + r];
    matrix_free(&x->a, &own);
    return status;
}

static nlp_status read_parts(const adapting *x, const lora_part *parts, size_t n_parts,
                             matrix *down, matrix *up) {
    memset(up->w, 0, up->n * up->k * sizeof *up->w);
    for (size_t i = 0, row = 0, column = 0; i < n_parts;
         row += parts[i].n, column += parts[i++].rank) {
        const lora_part *p = &parts[i];
        if (!p->rank) continue;
        NLP_TRY(assembly_read(&x->a, p->down, p->down->name, p->rank, down->k,
                              down->w + column * down->k));
        NLP_TRY(read_up(x, p, row, column, up));
    }
    return NLP_OK;
}

/* Values leave the qkv product multiplied by the factors of attention.out; query heads that share a
 * value head share them. */
static void put_factors_on_values(const nlp_stack *stack, const nlp_layer *layer, matrix *up) {
    const nlp_arch_spec *s = &stack->spec;
    const float *factors = layer->attention_out.factors;
    size_t n_values = (size_t)s->n_kv_heads * s->head_dim, group = s->n_heads / s->n_kv_heads;
    for (size_t i = 0; factors && i < n_values; i++) {
        size_t query = i / s->head_dim * group * s->head_dim + i % s->head_dim;
        float *row = up->w + (up->n - n_values + i) * up->k;
        for (size_t r = 0; r < up->k; r++) row[r] *= factors[query];
    }
}

/* factors [k], by which the columns are divided; or NULL. */
static bool is_finite(const matrix *m, const float *factors) {
    for (size_t i = 0; i < m->n * m->k; i++)
        if (!isfinite(factors ? m->w[i] / factors[i % m->k] : m->w[i])) return false;
    return true;
}

/* Over an i8 product in i8, with the factors and the grid of the bytes that it takes. */
static void write_down(const assembly *a, const char *name, const nlp_weight *base,
                       const matrix *down) {
    if (base->dtype != NLP_I8) {
        assembly_write_f32(a, name, down);
        return;
    }
    void *panels =
        assembly_tensor(a, name, NLP_I8, NLP_TENSOR_PANELS, base->grid, down->n, down->k);
    if (panels)
        nlp_pack_i8(&(nlp_pack_i8_args){.w = down->w,
                                        .k = down->k,
                                        .n = down->n,
                                        .factors = base->factors,
                                        .grid = base->grid},
                    panels);
}

static nlp_status write_both(const adapting *x, uint32_t which, uint32_t index, const matrix *down,
                             matrix *up) {
    const nlp_layer *layer = &x->stack->layers[index];
    const nlp_weight *base = nlp_adapted_weight(layer, which);
    const char *role = nlp_adapted_roles[which];
    char name[64];
    if (which == NLP_ADAPTED_QKV) put_factors_on_values(x->stack, layer, up);
    if (!is_finite(down, base->factors) || !is_finite(up, NULL))
        return nlp_fail(x->a.err, NLP_EINVAL,
                        "the adapter of layer %u's %s, scaled by %g, has numbers that are not "
                        "finite",
                        index, role, (double)x->scale);
    snprintf(name, sizeof name, "layer.%u.%s.down", index, role);
    write_down(&x->a, name, base, down);
    snprintf(name, sizeof name, "layer.%u.%s.up", index, role);
    assembly_write_f32(&x->a, name, up);
    return NLP_OK;
}

static nlp_status write_adapter(const adapting *x, uint32_t which, uint32_t layer) {
    const assembly *a = &x->a;
    const nlp_role *role = nlp_role_find(nlp_adapted_roles[which]);
    const nlp_role_source *s = assembly_source(a, role->name);
    size_t n = nlp_size_of(&a->config->spec, role->rows),
           k = nlp_size_of(&a->config->spec, role->columns);
    lora_part parts[3] = {0};
    size_t n_parts, rank;
    matrix down = {0}, up = {0};
    if (!s) return NLP_OK;
    NLP_TRY(find_parts(x, role, s, layer, parts, &n_parts, &rank));
    if (!rank) return NLP_OK;
    nlp_status status = matrix_alloc(a, &down, rank, k);
    if (status == NLP_OK) status = matrix_alloc(a, &up, n, rank);
    if (status == NLP_OK) status = read_parts(x, parts, n_parts, &down, &up);
    if (status == NLP_OK) status = write_both(x, which, layer, &down, &up);
    matrix_free(a, &down);
    matrix_free(a, &up);
    return status;
}

/* Nothing of an adapter can be left out without changing what it says. */
static nlp_status check_all_used(const adapting *x) {
    const nlp_source *source = &x->a.folder->source;
    for (size_t i = 0; i < source->n_tensors; i++)
        if (!source->tensors[i].used)
            return nlp_fail(
                x->a.err, NLP_EUNSUPPORTED,
                "tensor %.80s of the adapter has no place: supported are the linears of "
                "attention and feed-forward layers, and a head",
                source->tensors[i].name);
    return NLP_OK;
}

static nlp_status write_pack(adapting *x) {
    const assembly *a = &x->a;
    nlp_span base = nlp_pack_pair(&x->base, "meta", "name");
    nlp_pack_writer_base(a->writer, x->base.header->digest);
    for (uint32_t layer = 0; layer < x->stack->spec.n_layers; layer++)
        for (uint32_t which = 0; which < NLP_N_ADAPTED; which++)
            NLP_TRY(write_adapter(x, which, layer));
    NLP_TRY(assembly_write_head(a));
    assembly_write_texts(a);
    char *name = nlp_arena_text(&a->folder->arena, (const char *)base.bytes, base.n_bytes);
    if (name) nlp_pack_writer_pair(a->writer, "meta", "base", name);
    NLP_TRY(nlp_arena_status(&a->folder->arena, a->err));
    return check_all_used(x);
}

static nlp_status assemble(adapting *x, nlp_error *err) {
    NLP_TRY(
        nlp_model_folder_json(x->a.folder, config_name, NLP_JSON_CONFIG_BYTES, &x->config, err));
    if (!x->config) return nlp_fail(err, NLP_ENOFILE, "%s has no %s", x->o->folder, config_name);
    NLP_TRY(check_kind(x->config, err));
    NLP_TRY(read_scale(x, err));
    NLP_TRY(open_base(x, err));
    NLP_TRY(open_weights(x, err));
    NLP_TRY(read_head(x, err));
    return write_pack(x);
}

nlp_status nlp_adapter_assemble(nlp_model_folder *folder, const nlp_adapter_options *options,
                                nlp_pack_writer *writer, nlp_error *err) {
    nlp_assemble_options own = {
        .name = options->name, .meta = options->meta, .precision = NLP_F32, .poll = options->poll};
    adapting x = {.a = {.folder = folder,
                        .options = &own,
                        .writer = writer,
                        .err = err,
                        .config = &folder->stack,
                        .prefix = ""},
                  .o = options};
    nlp_status status = assemble(&x, err);
    json_decref(x.config);
    if (x.map.bytes) nlp_map_close(&x.map);
    return status;
}
