/* phi.c: Phi-3, Phi-3.5 and Phi-4-mini: Llama's network with fused projections, long rotary scalings
 * and, in Phi-4, heads that turn in part. */
#include "families.h"

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(n_kv_heads, U32, 0, "num_key_value_heads"),
    RULE(head_dim, U32, 0, "head_dim"),
    RULE(norm_eps, F32, 1e-5, "rms_norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_SILU, "hidden_act"),
    END_OF_RULES,
};

static const nlp_role_source roles[] = {
    {"embedding.word", {"embed_tokens"}, 0, NULL, NULL},
    {"attention.qkv", {"self_attn.qkv_proj"}, NLP_FORM_NO_BIAS, NULL, NULL},
    {"attention.out", {"self_attn.o_proj"}, NLP_FORM_NO_BIAS, NULL, NULL},
    {"attention.norm", {"input_layernorm"}, 0, NULL, NULL},
    {"ffn.up", {"mlp.gate_up_proj"}, NLP_FORM_NO_BIAS, NULL, NULL},
    {"ffn.down", {"mlp.down_proj"}, NLP_FORM_NO_BIAS, NULL, NULL},
    {"ffn.norm", {"post_attention_layernorm"}, 0, NULL, NULL},
    {"final_norm", {"norm"}, 0, NULL, NULL},
    {"output", {"lm_head"}, NLP_FORM_TIED | NLP_FORM_NO_BIAS, NULL, NULL},
    {0},
};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "score", NULL, NULL, 0, NLP_HEAD_AT_LAST,
     NULL},
    {0},
};

static const char *const model_types[] = {"phi3", NULL}, *const prefixes[] = {"", "model.", NULL};

const nlp_family nlp_family_phi = {
    .name = "phi3",
    .model_types = model_types,
    .prefixes = prefixes,
    .stack = {.fixed = {.kind = NLP_KIND_DECODER,
                        .position = NLP_POSITION_ROPE,
                        .norm = NLP_NORM_RMS,
                        .norm_place = NLP_PLACE_PRE,
                        .causal = 1,
                        .gated = 1},
              .rules = rules,
              .layer = "layers.%u.",
              .roles = roles,
              .theta = 10000,
              .window = {NLP_WINDOW_ALL, "sliding_window", NULL, 0}},
    .heads = heads,
};
