/* llama.c: the Llama line of decoders (Touvron and others 2023): RMS norms first, rotary positions,
 * grouped keys, gated FFN. Mistral adds a window, Qwen2 biases of queries, keys and values, Qwen3
 * norms of each head, SmolLM3 layers that do not turn. */
#include "families.h"

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(n_kv_heads, U32, 0, "num_key_value_heads"),
    RULE(head_dim, U32, 0, "head_dim"),
    RULE(norm_eps, F32, 1e-6, "rms_norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_SILU, "hidden_act"),
    END_OF_RULES,
};

#define ROLES(qkv_form)                                                                            \
    {"embedding.word", {"embed_tokens"}, 0, NULL, NULL},                                           \
        {"attention.qkv",                                                                          \
         {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},                             \
         qkv_form,                                                                                 \
         NULL,                                                                                     \
         "attention_bias"},                                                                        \
        {"attention.out", {"self_attn.o_proj"}, NLP_FORM_ANY_BIAS, NULL, "attention_bias"},        \
        {"attention.norm", {"input_layernorm"}, 0, NULL, NULL},                                    \
        {"ffn.up", {"mlp.gate_proj", "mlp.up_proj"}, NLP_FORM_ANY_BIAS, NULL, "mlp_bias"},         \
        {"ffn.down", {"mlp.down_proj"}, NLP_FORM_ANY_BIAS, NULL, "mlp_bias"},                      \
        {"ffn.norm", {"post_attention_layernorm"}, 0, NULL, NULL},                                 \
        {"final_norm", {"norm"}, 0, NULL, NULL}, {                                                 \
        "output", {"lm_head"}, NLP_FORM_TIED | NLP_FORM_NO_BIAS, NULL, NULL                        \
    }

static const nlp_role_source roles[] = {ROLES(NLP_FORM_ANY_BIAS), {0}};
static const nlp_role_source qwen2_roles[] = {ROLES(0), {0}};
static const nlp_role_source qwen3_roles[] = {
    {"attention.q_norm", {"self_attn.q_norm"}, 0, NULL, NULL},
    {"attention.k_norm", {"self_attn.k_norm"}, 0, NULL, NULL},
    ROLES(NLP_FORM_ANY_BIAS),
    {0}};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "score", NULL, NULL, 0, NLP_HEAD_AT_LAST,
     NULL},
    {0},
};

static const char *const prefixes[] = {"", "model.", NULL};
static const char *const llama_types[] = {"llama", "smollm3", NULL},
                         *const mistral_types[] = {"mistral", NULL},
                         *const qwen2_types[] = {"qwen2", NULL},
                         *const qwen3_types[] = {"qwen3", NULL};

#define FAMILY(family_name, types, its_roles, window_rule, pattern)                                \
    {                                                                                              \
        .name = family_name, .model_types = types, .prefixes = prefixes, .heads = heads,           \
        .tokenizer = NLP_VOCABULARY_LLAMA, .stack = {                                              \
            .fixed = {.kind = NLP_KIND_DECODER,                                                    \
                      .position = NLP_POSITION_ROPE,                                               \
                      .norm = NLP_NORM_RMS,                                                        \
                      .norm_place = NLP_PLACE_PRE,                                                 \
                      .causal = 1,                                                                 \
                      .gated = 1},                                                                 \
            .rules = rules,                                                                        \
            .layer = "layers.%u.",                                                                 \
            .roles = its_roles,                                                                    \
            .theta = 10000,                                                                        \
            .window = {window_rule, "sliding_window", pattern, 0}                                  \
        }                                                                                          \
    }

const nlp_family nlp_family_llama = FAMILY("llama", llama_types, roles, NLP_WINDOW_NONE, NULL),
                 nlp_family_mistral = FAMILY("mistral", mistral_types, roles, NLP_WINDOW_ALL, NULL),
                 nlp_family_qwen2 = FAMILY("qwen2", qwen2_types, qwen2_roles, NLP_WINDOW_UPPER,
                                           "max_window_layers"),
                 nlp_family_qwen3 = FAMILY("qwen3", qwen3_types, qwen3_roles, NLP_WINDOW_UPPER,
                                           "max_window_layers");
