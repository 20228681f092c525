/* albert.c: ALBERT (Lan and others 2020): groups of layers that share their weights, narrow
 * embeddings. */
#include "families.h"

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(embedding_width, U32, 128, "embedding_size"),
    RULE(n_types, U32, 2, "type_vocab_size"),
    RULE(norm_eps, F32, 1e-12, "layer_norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_TANH, "hidden_act"),
    END_OF_RULES,
};

static const nlp_config_demand demands[] = {{"position_embedding_type", "absolute"}, {NULL, NULL}};

static const nlp_role_source roles[] = {
    BERT_EMBEDDINGS,
    BERT_TYPES,
    {"embedding.project", {"encoder.embedding_hidden_mapping_in"}, 0, NULL, NULL},
    {"attention.qkv", {"attention.query", "attention.key", "attention.value"}, 0, NULL, NULL},
    {"attention.out", {"attention.dense"}, 0, NULL, NULL},
    {"attention.norm", {"attention.LayerNorm"}, 0, NULL, NULL},
    {"ffn.up", {"ffn"}, 0, NULL, NULL},
    {"ffn.down", {"ffn_output"}, 0, NULL, NULL},
    {"ffn.norm", {"full_layer_layer_norm"}, 0, NULL, NULL},
    {0},
};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "classifier", "pooler", NULL, NLP_ACT_TANH,
     NLP_HEAD_AT_FIRST, NULL},
    TOKEN_HEADS,
    {0},
};

static const char *const model_types[] = {"albert", NULL};
static const char *const prefixes[] = {"", "albert.", NULL};
static const char *const droppable[] = {"*pooler.*", "predictions.*", "sop_classifier.*", NULL};

const nlp_family nlp_family_albert = {
    .name = "albert",
    .model_types = model_types,
    .prefixes = prefixes,
    .demands = demands,
    .stack = {.fixed = {.kind = NLP_KIND_ENCODER,
                        .position = NLP_POSITION_LEARNED,
                        .embedding_norm = NLP_EMBEDDING_NORM_FIRST,
                        .norm = NLP_NORM_LAYER,
                        .norm_place = NLP_PLACE_POST},
              .rules = rules,
              .layer = "encoder.albert_layer_groups.%g.albert_layers.%u.",
              .roles = roles,
              .groups_key = "num_hidden_groups",
              .inner_key = "inner_group_num"},
    .heads = heads,
    .droppable = droppable,
};
