/* gemma.c: Gemma 1, 2 and 3 (Gemma Team 2024, 2025), and EmbeddingGemma: gains of 1 + w, embeddings
 * times the root of their width; from Gemma 2 on norms on both sides of a block and windows, in Gemma
 * 2 capped scores and logits, in Gemma 3 norms of each head and a base of their own for windows. */
#include <math.h>

#include "families.h"

static nlp_status adapt(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    bool both_ways;
    NLP_TRY(nlp_config_boolean(config, "use_bidirectional_attention", false, &both_ways, err));
    c->spec.embedding_scale = (float)sqrt((double)c->spec.hidden_size);
    c->spec.causal = !both_ways;
    return NLP_OK;
}

#define COMMON_RULES                                                                               \
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),                                               \
        RULE(hidden_size, U32, NLP_NEEDED, "hidden_size"),                                         \
        RULE(n_layers, U32, NLP_NEEDED, "num_hidden_layers"),                                      \
        RULE(n_heads, U32, NLP_NEEDED, "num_attention_heads"),                                     \
        RULE(n_kv_heads, U32, 0, "num_key_value_heads"), RULE(head_dim, U32, 256, "head_dim"),     \
        RULE(ffn_size, U32, NLP_NEEDED, "intermediate_size"),                                      \
        RULE(n_positions, U32, NLP_NEEDED, "max_position_embeddings"),                             \
        RULE(norm_eps, F32, 1e-6, "rms_norm_eps")

/* Gemma 1 configs name gelu and mean its tanh form: hidden_activation wins, and is that one by
 * default. */
static const nlp_config_rule gemma1_rules[] = {
    COMMON_RULES, RULE(activation, ACTIVATION, NLP_ACT_GELU_TANH, "hidden_activation"),
    END_OF_RULES};
static const nlp_config_rule rules[] = {
    COMMON_RULES,
    RULE(activation, ACTIVATION, NLP_ACT_GELU_TANH, "hidden_activation"),
    RULE(attention_scale, SCALE, 0.0625, "query_pre_attn_scalar"),
    RULE(score_cap, F32, 0, "attn_logit_softcapping"),
    RULE(logit_cap, F32, 0, "final_logit_softcapping"),
    END_OF_RULES};

#define COMMON_ROLES                                                                               \
    {"embedding.word", {"embed_tokens"}, 0, NULL, NULL},                                           \
        {"attention.qkv",                                                                          \
         {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},                             \
         NLP_FORM_ANY_BIAS,                                                                        \
         NULL,                                                                                     \
         "attention_bias"},                                                                        \
        {"attention.out", {"self_attn.o_proj"}, NLP_FORM_ANY_BIAS, NULL, "attention_bias"},        \
        {"attention.norm", {"input_layernorm"}, NLP_FORM_PLUS_ONE, NULL, NULL},                    \
        {"ffn.up", {"mlp.gate_proj", "mlp.up_proj"}, NLP_FORM_NO_BIAS, NULL, NULL},                \
        {"ffn.down", {"mlp.down_proj"}, NLP_FORM_NO_BIAS, NULL, NULL},                             \
        {"final_norm", {"norm"}, NLP_FORM_PLUS_ONE, NULL, NULL}, {                                 \
        "output", {"lm_head"}, NLP_FORM_TIED | NLP_FORM_NO_BIAS, NULL, NULL                        \
    }
#define SANDWICH                                                                                   \
    {"attention.post_norm", {"post_attention_layernorm"}, NLP_FORM_PLUS_ONE, NULL, NULL},          \
        {"ffn.norm", {"pre_feedforward_layernorm"}, NLP_FORM_PLUS_ONE, NULL, NULL}, {              \
        "ffn.post_norm", {"post_feedforward_layernorm"}, NLP_FORM_PLUS_ONE, NULL, NULL             \
    }

static const nlp_role_source
    gemma1_roles[] = {COMMON_ROLES,
                      {"ffn.norm", {"post_attention_layernorm"}, NLP_FORM_PLUS_ONE, NULL, NULL},
                      {0}},
    gemma2_roles[] = {COMMON_ROLES, SANDWICH, {0}},
    gemma3_roles[] = {COMMON_ROLES,
                      SANDWICH,
                      {"attention.q_norm", {"self_attn.q_norm"}, NLP_FORM_PLUS_ONE, NULL, NULL},
                      {"attention.k_norm", {"self_attn.k_norm"}, NLP_FORM_PLUS_ONE, NULL, NULL},
                      {0}};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "score", NULL, NULL, 0, NLP_HEAD_AT_LAST,
     NULL},
    {0},
};

static const char *const prefixes[] = {"", "model.", "language_model.model.",
                                       "model.language_model.", NULL};
static const char *const gemma1_types[] = {"gemma", NULL}, *const gemma2_types[] = {"gemma2", NULL},
                         *const gemma3_types[] = {"gemma3_text", NULL};

#define FAMILY(family_name, types, its_rules, its_roles, place, window_rule, pattern, local)       \
    {                                                                                              \
        .name = family_name, .model_types = types, .prefixes = prefixes, .heads = heads,           \
        .tied = 1, .stack = {                                                                      \
            .fixed = {.kind = NLP_KIND_DECODER,                                                    \
                      .position = NLP_POSITION_ROPE,                                               \
                      .norm = NLP_NORM_RMS,                                                        \
                      .norm_place = place,                                                         \
                      .gated = 1},                                                                 \
            .rules = its_rules,                                                                    \
            .layer = "layers.%u.",                                                                 \
            .roles = its_roles,                                                                    \
            .theta = local ? 1000000 : 10000,                                                      \
            .local_theta = local,                                                                  \
            .window = {window_rule, "sliding_window", pattern, 0},                                 \
            .adapt = adapt                                                                         \
        }                                                                                          \
    }

const nlp_family nlp_family_gemma1 = FAMILY("gemma", gemma1_types, gemma1_rules, gemma1_roles,
                                            NLP_PLACE_PRE, NLP_WINDOW_NONE, NULL, 0),
                 nlp_family_gemma2 = FAMILY("gemma2", gemma2_types, rules, gemma2_roles,
                                            NLP_PLACE_SANDWICH, NLP_WINDOW_ALTERNATE, NULL, 0),
                 nlp_family_gemma3 =
                     FAMILY("gemma3", gemma3_types, rules, gemma3_roles, NLP_PLACE_SANDWICH,
                            NLP_WINDOW_MOST, "sliding_window_pattern", 10000);
