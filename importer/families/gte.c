/* gte.c: GTE "new" (Zhang and others 2024, mGTE), also Snowflake Arctic-embed-m-v2 and stella: BERT's
 * norms, rotary positions, a fused qkv and an FFN whose up half lies before its gate. */
#include "families.h"

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(n_types, U32, 0, "type_vocab_size"),
    RULE(norm_eps, F32, 1e-12, "layer_norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_ERF, "hidden_act"),
    END_OF_RULES,
};

static const nlp_config_demand demands[] = {{"position_embedding_type", "rope"},
                                            {"logn_attention_scale", NULL},
                                            {"logn_attention_clip1", NULL},
                                            {"pack_qkv", "true"},
                                            {NULL, NULL}};

static const nlp_role_source roles[] = {
    {"embedding.word", {"embeddings.word_embeddings"}, 0, NULL, NULL},
    BERT_TYPES,
    {"embedding.norm", {"embeddings.LayerNorm"}, 0, NULL, NULL},
    {"attention.qkv", {"attention.qkv_proj"}, 0, NULL, NULL},
    {"attention.out", {"attention.o_proj"}, 0, NULL, NULL},
    {"attention.norm", {"attn_ln"}, 0, NULL, NULL},
    {"ffn.up", {"mlp.up_gate_proj"}, NLP_FORM_NO_BIAS | NLP_FORM_SWAPPED, NULL, NULL},
    {"ffn.down", {"mlp.down_proj"}, 0, NULL, NULL},
    {"ffn.norm", {"mlp_ln"}, 0, NULL, NULL},
    {0},
};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "classifier", "pooler.dense", NULL,
     NLP_ACT_TANH, NLP_HEAD_AT_FIRST, NULL},
    TOKEN_HEADS,
    {0},
};

static const char *const model_types[] = {"gte", "new", NULL};
static const char *const prefixes[] = {"", "gte.", "new.", NULL};
static const char *const droppable[] = {"*pooler.dense.*", "lm_head.*", NULL};

const nlp_family nlp_family_gte = {
    .name = "gte",
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
              .layer = "encoder.layer.%u.",
              .roles = roles,
              .theta = 160000},
    .heads = heads,
    .droppable = droppable,
};
