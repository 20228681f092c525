/* config_switches.c: keys of other families' configs that change what a model computes. A config that has
 * one with another than its neutral value asks for arithmetic that its family does not have here: without
 * this list the answer would be wrong and nobody would know. */
#include <stdio.h>
#include <string.h>

#include "family.h"

typedef struct config_switch {
    const char *key;
    const char *neutral; /* values between blanks; null always is */
    const char *read_by; /* model types that read it, between blanks */
} config_switch;

static const config_switch switches[] = {
    {"quantization_config", " ", " "},
    {"position_embedding_type", " \"absolute\" ", " gte new nomic_bert jina_embeddings_v3 "},
    {"is_decoder", " false ", " "},
    {"add_cross_attention", " false ", " "},
    {"relative_attention", " false ", " deberta-v2 "},
    {"conv_kernel_size", " 0 ", " deberta-v2 "},
    {"sliding_window", " 0 ", " gemma2 gemma3_text mistral phi3 qwen2 qwen3 smollm3 "},
    {"use_sliding_window", " false ", " qwen2 qwen3 smollm3 "},
    {"attention_chunk_size", " 0 ", " "},
    {"dual_chunk_attention_config", " ", " "},
    {"no_rope_layers", " [] ", " smollm3 "},
    {"attn_logit_softcapping", " 0 ", " gemma2 gemma3_text "},
    {"final_logit_softcapping", " 0 ", " gemma2 gemma3_text "},
    {"query_pre_attn_scalar", " ", " gemma2 gemma3_text "},
    {"attn_temperature_tuning", " false 0 ", " "},
    {"num_experts", " 0 ", " "},
    {"num_local_experts", " 0 ", " "},
    {"n_routed_experts", " 0 ", " "},
    {"kv_lora_rank", " 0 ", " "},
    {"alibi", " false ", " "},
    {"use_alibi", " false ", " "},
    {"parallel_attn", " false ", " "},
    {"use_parallel_residual", " false ", " "},
    {"multi_query", " false ", " "},
    {"clip_qkv", " ", " "},
    {"logit_scale", " 1 ", " "},
    {"logits_scaling", " 1 ", " "},
    {"residual_multiplier", " 1 ", " "},
    {"attention_multiplier", " ", " "},
    {"embedding_multiplier", " 1 ", " "},
    {"scale_attn_by_inverse_layer_idx", " false ", " "},
    {"use_bidirectional_attention", " false ", " gemma gemma2 gemma3_text "},
};
/* The same for families without rotary positions; the others read them. */
static const config_switch of_rope[] = {{"rope_scaling", " ", " "},
                                        {"rope_parameters", " ", " "},
                                        {"partial_rotary_factor", " 1 ", " "}};

static bool is_listed(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at++)
        if (at > list && at[-1] == ' ' && at[n] == ' ') return true;
    return false;
}

/* A plain value as the table spells it; "?" for others. */
static void value_text(const json_t *value, char out[64]) {
    snprintf(out, 64, "?");
    if (json_is_boolean(value)) snprintf(out, 64, "%s", json_is_true(value) ? "true" : "false");
    if (json_is_number(value)) snprintf(out, 64, "%g", json_number_value(value));
    if (json_is_string(value)) snprintf(out, 64, "\"%.60s\"", json_string_value(value));
    if (json_is_array(value) && !json_array_size(value)) snprintf(out, 64, "[]");
}

static nlp_status check_switch(const config_switch *s, const json_t *config, const char *model_type,
                               nlp_error *err) {
    const json_t *value = json_object_get(config, s->key);
    if (!value || json_is_null(value) || is_listed(s->read_by, model_type)) return NLP_OK;
    char text[64];
    value_text(value, text);
    bool neutral = is_listed(s->neutral, text);
    if (neutral) return NLP_OK;
    return nlp_fail(
        err, NLP_EUNSUPPORTED,
        "config.json: \"%s\" changes what a model computes, and nlp does not know it for "
        "the model_type \"%.40s\"",
        s->key, model_type);
}

nlp_status nlp_config_switches(const nlp_family *family, const json_t *config,
                               const char *model_type, nlp_error *err) {
    bool turns = family->stack.fixed.position == NLP_POSITION_ROPE;
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        NLP_TRY(check_switch(&switches[i], config, model_type, err));
    for (size_t i = 0; !turns && i < sizeof of_rope / sizeof *of_rope; i++)
        NLP_TRY(check_switch(&of_rope[i], config, model_type, err));
    return NLP_OK;
}
