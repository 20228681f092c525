/* nomic.c: NomicBERT (Nussbaum and others 2024): BERT's norms, rotary positions, fc11 * silu(fc12),
 * no biases. */
#include "families.h"

static const nlp_config_rule rules[] = {
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),
    RULE(hidden_size, U32, NLP_NEEDED, "hidden_size", "n_embd"),
    RULE(n_layers, U32, NLP_NEEDED, "num_hidden_layers", "n_layer"),
    RULE(n_heads, U32, NLP_NEEDED, "num_attention_heads", "n_head"),
    RULE(ffn_size, U32, NLP_FOUR_TIMES, "intermediate_size", "n_inner"),
    RULE(n_positions, U32, NLP_NEEDED, "max_position_embeddings", "n_positions"),
    RULE(n_types, U32, 2, "type_vocab_size"),
    RULE(norm_eps, F32, 1e-12, "layer_norm_eps", "layer_norm_epsilon"),
    RULE(activation, ACTIVATION, NLP_ACT_SILU, "hidden_act", "activation_function"),
    END_OF_RULES,
};

static const nlp_config_demand demands[] = {
    {"prenorm", NULL},      {"parallel_block", NULL}, {"qkv_proj_bias", NULL},
    {"mlp_fc1_bias", NULL}, {"mlp_fc2_bias", NULL},   {"rotary_emb_interleaved", NULL},
    {"use_rms_norm", NULL}, {"causal", NULL},         {NULL, NULL}};

static const nlp_role_source roles[] = {
    {"embedding.word", {"embeddings.word_embeddings"}, 0, NULL, NULL},
    BERT_TYPES,
    {"embedding.norm", {"emb_ln"}, 0, NULL, NULL},
    {"attention.qkv", {"attn.Wqkv"}, NLP_FORM_NO_BIAS, NULL, NULL},
    {"attention.out", {"attn.out_proj"}, NLP_FORM_NO_BIAS, NULL, NULL},
    {"attention.norm", {"norm1"}, 0, NULL, NULL},
    {"ffn.up", {"mlp.fc12", "mlp.fc11"}, NLP_FORM_NO_BIAS, NULL, NULL},
    {"ffn.down", {"mlp.fc2"}, NLP_FORM_NO_BIAS, NULL, NULL},
    {"ffn.norm", {"norm2"}, 0, NULL, NULL},
    {0},
};

static const char *const model_types[] = {"nomic_bert", NULL};
static const char *const prefixes[] = {"", "nomic_bert.", "bert.", NULL};

const nlp_family nlp_family_nomic = {
    .name = "nomic",
    .tokenizer = NLP_VOCABULARY_BERT,
    .model_types = model_types,
    .prefixes = prefixes,
    .demands = demands,
    .stack = {.fixed = {.kind = NLP_KIND_ENCODER,
                        .position = NLP_POSITION_ROPE,
                        .embedding_norm = NLP_EMBEDDING_NORM_FIRST,
                        .norm = NLP_NORM_LAYER,
                        .norm_place = NLP_PLACE_POST,
                        .gated = 1},
              .rules = rules,
              .layer = "encoder.layers.%u.",
              .roles = roles,
              .theta = 1000},
};
