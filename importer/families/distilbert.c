/* distilbert.c: DistilBERT (Sanh and others 2019): BERT without types and pooler. Its epsilon is not
 * in the config. */
#include "families.h"

static const nlp_config_rule rules[] = {
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),
    RULE(hidden_size, U32, NLP_NEEDED, "dim"),
    RULE(n_layers, U32, NLP_NEEDED, "n_layers"),
    RULE(n_heads, U32, NLP_NEEDED, "n_heads"),
    RULE(ffn_size, U32, NLP_NEEDED, "hidden_dim"),
    RULE(n_positions, U32, NLP_NEEDED, "max_position_embeddings"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_ERF, "activation"),
    END_OF_RULES,
};

static const nlp_role_source roles[] = {
    BERT_EMBEDDINGS,
    {"attention.qkv", {"attention.q_lin", "attention.k_lin", "attention.v_lin"}, 0, NULL, NULL},
    {"attention.out", {"attention.out_lin"}, 0, NULL, NULL},
    {"attention.norm", {"sa_layer_norm"}, 0, NULL, NULL},
    {"ffn.up", {"ffn.lin1"}, 0, NULL, NULL},
    {"ffn.down", {"ffn.lin2"}, 0, NULL, NULL},
    {"ffn.norm", {"output_layer_norm"}, 0, NULL, NULL},
    {0},
};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "classifier", "pre_classifier", NULL,
     NLP_ACT_RELU, NLP_HEAD_AT_FIRST, NULL},
    TOKEN_HEADS,
    {"ForMaskedLM", NLP_HEAD_WORDS, "vocab_projector", "vocab_transform", "vocab_layer_norm",
     NLP_ACT_OF_CONFIG, 0, "vocab_projector.bias"},
    {0},
};

static const char *const model_types[] = {"distilbert", NULL};
static const char *const prefixes[] = {"", "distilbert.", NULL};
static const char *const droppable[] = {"vocab_*", NULL};

const nlp_family nlp_family_distilbert = {
    .name = "distilbert",
    .tokenizer = NLP_VOCABULARY_BERT,
    .model_types = model_types,
    .prefixes = prefixes,
    .stack = {.fixed = {.kind = NLP_KIND_ENCODER,
                        .position = NLP_POSITION_LEARNED,
                        .embedding_norm = NLP_EMBEDDING_NORM_FIRST,
                        .norm_eps = 1e-12f,
                        .norm = NLP_NORM_LAYER,
                        .norm_place = NLP_PLACE_POST},
              .rules = rules,
              .layer = "transformer.layer.%u.",
              .roles = roles},
    .heads = heads,
    .droppable = droppable,
    .tied = 1,
};
