/* sentence_transformers.c: modules.json and its folders become a pooling pipeline. */
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "model_folder.h"
#include "nn/pooling.h"
#include "tensor/kernels.h"

static const struct {
    const char *name, *old_key;
    uint32_t kind;
} pooling_modes[] = {
    {"cls", "pooling_mode_cls_token", NLP_POOL_CLS},
    {"max", "pooling_mode_max_tokens", NLP_POOL_MAX},
    {"mean", "pooling_mode_mean_tokens", NLP_POOL_MEAN},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", NLP_POOL_MEAN_SQRT},
    {"weightedmean", "pooling_mode_weightedmean_tokens", NLP_POOL_WEIGHTED_MEAN},
    {"lasttoken", "pooling_mode_lasttoken", NLP_POOL_LAST},
    {"last", "pooling_mode_lasttoken", NLP_POOL_LAST}};
enum { N_MODES = sizeof pooling_modes / sizeof *pooling_modes };

static uint32_t mode_named(const char *name) {
    for (size_t i = 0; i < N_MODES; i++)
        if (!strcmp(pooling_modes[i].name, name)) return pooling_modes[i].kind;
    return 0;
}

static nlp_status read_pooling(nlp_model_folder *f, const char *folder, nlp_error *err) {
    char name[256];
    const char *mode;
    bool include_prompt, set;
    json_t *config;
    snprintf(name, sizeof name, "%s/config.json", folder);
    NLP_TRY(nlp_model_folder_json(f, name, NLP_JSON_CONFIG_BYTES, &config, err));
    nlp_status status = nlp_json_text(config, name, "pooling_mode", "", &mode, err);
    if (status == NLP_OK) f->pipeline.pooling = mode_named(mode);
    for (size_t i = 0; status == NLP_OK && i < N_MODES; i++) {
        status = nlp_json_boolean(config, name, pooling_modes[i].old_key, false, &set, err);
        if (status == NLP_OK && set) f->pipeline.pooling |= pooling_modes[i].kind;
    }
    if (status == NLP_OK)
        status = nlp_json_boolean(config, name, "include_prompt", true, &include_prompt, err);
    if (status == NLP_OK) f->pipeline.exclude_prompt = !include_prompt;
    json_decref(config);
    if (status == NLP_OK && !f->pipeline.pooling)
        return nlp_fail(err, NLP_EUNSUPPORTED, "%s names no pooling that nlp knows", name);
    return status;
}

static nlp_status dense_activation(const char *path, uint32_t *out, nlp_error *err) {
    static const struct {
        const char *name;
        nlp_activation act;
    } names[] = {{"Tanh", NLP_ACT_TANH},
                 {"Identity", NLP_ACT_NONE},
                 {"ReLU", NLP_ACT_RELU},
                 {"GELU", NLP_ACT_GELU_ERF},
                 {"Sigmoid", NLP_ACT_SIGMOID}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].name, dot ? dot + 1 : path)) {
            *out = names[i].act;
            return NLP_OK;
        }
    return nlp_fail(err, NLP_EUNSUPPORTED,
                    "a Dense module has an activation that nlp does not know");
}

static nlp_status read_dense(nlp_model_folder *f, const char *folder, uint32_t stage,
                             nlp_error *err) {
    char name[256];
    const char *activation;
    json_t *config;
    snprintf(name, sizeof name, "%s/config.json", folder);
    NLP_TRY(nlp_model_folder_json(f, name, NLP_JSON_CONFIG_BYTES, &config, err));
    nlp_status status = nlp_json_text(config, name, "activation_function",
                                      "torch.nn.modules.activation.Tanh", &activation, err);
    if (status == NLP_OK)
        status = dense_activation(activation, &f->pipeline.stage_activation[stage], err);
    f->pipeline.dims = (uint32_t)json_integer_value(json_object_get(config, "out_features"));
    json_decref(config);
    f->dense_folder[stage] = nlp_arena_text(&f->arena, folder, strlen(folder));
    return status;
}

static nlp_status read_module(nlp_model_folder *f, const json_t *module, nlp_error *err) {
    const char *type, *folder;
    NLP_TRY(nlp_json_text(module, "modules.json", "type", "", &type, err));
    NLP_TRY(nlp_json_text(module, "modules.json", "path", "", &folder, err));
    const char *dot = strrchr(type, '.'), *kind = dot ? dot + 1 : type;
    if (strchr(folder, '/') || !strcmp(folder, ".."))
        return nlp_fail(err, NLP_EDENIED, "modules.json names a path outside its folder");
    if (!strcmp(kind, "Transformer") && (!*folder || !strcmp(folder, "."))) return NLP_OK;
    if (!strcmp(kind, "Pooling")) return read_pooling(f, folder, err);
    uint32_t stage = f->pipeline.n_stages++;
    if (stage >= NLP_MAX_STAGES)
        return nlp_fail(err, NLP_ELIMIT, "modules.json has more than %d stages", NLP_MAX_STAGES);
    f->pipeline.stages[stage] = strcmp(kind, "Dense") ? NLP_STAGE_NORMALIZE : NLP_STAGE_DENSE;
    if (!strcmp(kind, "Dense")) return read_dense(f, folder, stage, err);
    if (!strcmp(kind, "Normalize")) return NLP_OK;
    return nlp_fail(err, NLP_EUNSUPPORTED,
                    "modules.json has a module of type %.64s, which nlp does not know", kind);
}

/* max_seq_length and do_lower_case. */
static nlp_status read_limits(nlp_model_folder *f, nlp_error *err) {
    json_t *config;
    int64_t limit;
    bool lower;
    uint32_t positions = f->stack.spec.n_positions - f->stack.spec.position_offset;
    NLP_TRY(
        nlp_model_folder_json(f, "sentence_bert_config.json", NLP_JSON_CONFIG_BYTES, &config, err));
    nlp_status status = nlp_json_integer(config, "sentence_bert_config.json", "max_seq_length",
                                         f->stack.spec.max_tokens, 3, 1 << 20, &limit, err);
    if (status == NLP_OK)
        status = nlp_json_boolean(config, "sentence_bert_config.json", "do_lower_case", false,
                                  &lower, err);
    if (status == NLP_OK) {
        f->stack.spec.max_tokens = limit < positions ? (uint32_t)limit : positions;
        f->pipeline.lower_text = lower;
    }
    json_decref(config);
    return status;
}

static nlp_status read_prompts(nlp_model_folder *f, nlp_error *err) {
    json_t *config, *text;
    const char *name;
    NLP_TRY(nlp_model_folder_json(f, "config_sentence_transformers.json", NLP_JSON_CONFIG_BYTES,
                                  &config, err));
    nlp_status status = NLP_OK;
    json_object_foreach(json_object_get(config, "prompts"), name, text) {
        if (f->n_prompts + 2 > sizeof f->prompts / sizeof *f->prompts || !json_is_string(text)) {
            status =
                nlp_fail(err, NLP_EINVAL,
                         "config_sentence_transformers.json: too many prompts, or one is no text");
            break;
        }
        f->prompts[f->n_prompts++] = nlp_arena_text(&f->arena, name, strlen(name));
        f->prompts[f->n_prompts++] =
            nlp_arena_text(&f->arena, json_string_value(text), json_string_length(text));
    }
    json_decref(config);
    return status == NLP_OK ? nlp_arena_status(&f->arena, err) : status;
}

static nlp_status read_modules(nlp_model_folder *f, const json_t *modules, nlp_error *err) {
    f->pipeline.struct_size = sizeof f->pipeline;
    for (size_t i = 0; i < json_array_size(modules); i++)
        NLP_TRY(read_module(f, json_array_get(modules, i), err));
    if (!f->pipeline.pooling) return nlp_fail(err, NLP_EUNSUPPORTED, "modules.json has no pooling");
    NLP_TRY(read_limits(f, err));
    return read_prompts(f, err);
}

nlp_status nlp_sentence_transformers_read(nlp_model_folder *f, const char *pooling,
                                          nlp_error *err) {
    json_t *modules;
    NLP_TRY(nlp_model_folder_json(f, "modules.json", NLP_JSON_CONFIG_BYTES, &modules, err));
    nlp_status status = modules ? read_modules(f, modules, err) : NLP_OK;
    json_decref(modules);
    NLP_TRY(status);
    if (pooling) {
        uint32_t kind = mode_named(pooling);
        if (!kind)
            return nlp_fail(err, NLP_EINVAL, "--pooling takes mean, cls, max or last, not %.32s",
                            pooling);
        f->pipeline.struct_size = sizeof f->pipeline;
        f->pipeline.pooling = kind;
        f->pipeline.n_stages = 1, f->pipeline.stages[0] = NLP_STAGE_NORMALIZE;
        f->pipeline.dims = 0;
    }
    if (f->pipeline.struct_size && !f->pipeline.dims)
        f->pipeline.dims =
            f->stack.spec.hidden_size * (uint32_t)__builtin_popcount(f->pipeline.pooling);
    if (!f->pipeline.struct_size && !f->head.struct_size && f->stack.spec.kind == NLP_KIND_ENCODER)
        nlp_model_folder_note(
            f,
            "pooling: mean of all tokens, normalised (the folder does not say; --pooling chooses)\n");
    return NLP_OK;
}
