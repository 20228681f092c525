/* gpt.c: GPT-2 (Radford and others 2019) and GPT-Neo (Black and others 2021): learned positions,
 * LayerNorm first. GPT-2's matrices lie [in, out]; GPT-Neo does not scale its scores, and every other
 * layer has a window. */
#include "families.h"

/* A scale of 1 is what zero does not say. */
static nlp_status adapt_neo(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    (void)config, (void)err;
    c->spec.attention_scale = 1;
    return NLP_OK;
}

static const nlp_config_rule gpt2_rules[] = {
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),
    RULE(hidden_size, U32, NLP_NEEDED, "n_embd", "hidden_size"),
    RULE(n_layers, U32, NLP_NEEDED, "n_layer", "num_hidden_layers"),
    RULE(n_heads, U32, NLP_NEEDED, "n_head", "num_attention_heads"),
    RULE(ffn_size, U32, NLP_FOUR_TIMES, "n_inner"),
    RULE(n_positions, U32, NLP_NEEDED, "n_positions", "n_ctx"),
    RULE(norm_eps, F32, 1e-5, "layer_norm_epsilon"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_TANH, "activation_function"),
    END_OF_RULES,
};

static const nlp_config_rule neo_rules[] = {
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),
    RULE(hidden_size, U32, NLP_NEEDED, "hidden_size"),
    RULE(n_layers, U32, NLP_NEEDED, "num_layers", "num_hidden_layers"),
    RULE(n_heads, U32, NLP_NEEDED, "num_heads", "num_attention_heads"),
    RULE(ffn_size, U32, NLP_FOUR_TIMES, "intermediate_size"),
    RULE(n_positions, U32, NLP_NEEDED, "max_position_embeddings"),
    RULE(norm_eps, F32, 1e-5, "layer_norm_epsilon"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_TANH, "activation_function"),
    END_OF_RULES,
};

static const nlp_config_demand demands[] = {{"scale_attn_by_inverse_layer_idx", NULL},
                                            {"reorder_and_upcast_attn", NULL},
                                            {"scale_attn_weights", "true"},
                                            {"add_cross_attention", NULL},
                                            {NULL, NULL}};

#define COMMON_ROLES(form)                                                                         \
    {"embedding.word", {"wte"}, 0, NULL, NULL}, {"embedding.position", {"wpe"}, 0, NULL, NULL},    \
        {"attention.norm", {"ln_1"}, 0, NULL, NULL}, {"ffn.up", {"mlp.c_fc"}, form, NULL, NULL},   \
        {"ffn.down", {"mlp.c_proj"}, form, NULL, NULL}, {"ffn.norm", {"ln_2"}, 0, NULL, NULL},     \
        {"final_norm", {"ln_f"}, 0, NULL, NULL}, {                                                 \
        "output", {"lm_head"}, NLP_FORM_TIED | NLP_FORM_NO_BIAS, NULL, NULL                        \
    }

static const nlp_role_source
    gpt2_roles[] = {COMMON_ROLES(NLP_FORM_TRANSPOSED),
                    {"attention.qkv", {"attn.c_attn"}, NLP_FORM_TRANSPOSED, NULL, NULL},
                    {"attention.out", {"attn.c_proj"}, NLP_FORM_TRANSPOSED, NULL, NULL},
                    {0}},
    neo_roles[] = {COMMON_ROLES(0),
                   {"attention.qkv",
                    {"attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"},
                    NLP_FORM_NO_BIAS,
                    NULL,
                    NULL},
                   {"attention.out", {"attn.attention.out_proj"}, 0, NULL, NULL},
                   {0}};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "score", NULL, NULL, 0, NLP_HEAD_AT_LAST,
     NULL},
    {0},
};

static const char *const prefixes[] = {"", "transformer.", NULL};
static const char *const gpt2_types[] = {"gpt2", NULL}, *const neo_types[] = {"gpt_neo", NULL};

#define FAMILY(family_name, types, its_rules, its_roles, window_rule, hook)                        \
    {                                                                                              \
        .name = family_name, .model_types = types, .prefixes = prefixes, .demands = demands,       \
        .heads = heads, .tokenizer = NLP_VOCABULARY_GPT2, .tied = 1, .stack = {                    \
            .fixed = {.kind = NLP_KIND_DECODER,                                                    \
                      .position = NLP_POSITION_LEARNED,                                            \
                      .norm = NLP_NORM_LAYER,                                                      \
                      .norm_place = NLP_PLACE_PRE,                                                 \
                      .causal = 1},                                                                \
            .rules = its_rules,                                                                    \
            .layer = "h.%u.",                                                                      \
            .roles = its_roles,                                                                    \
            .window = {window_rule, "window_size", "attention_layers", 0},                         \
            .adapt = hook                                                                          \
        }                                                                                          \
    }

const nlp_family nlp_family_gpt2 =
                     FAMILY("gpt2", gpt2_types, gpt2_rules, gpt2_roles, NLP_WINDOW_NONE, NULL),
                 nlp_family_gpt_neo = FAMILY("gpt_neo", neo_types, neo_rules, neo_roles,
                                             NLP_WINDOW_NAMED, adapt_neo);
