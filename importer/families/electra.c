/* electra.c: ELECTRA (Clark and others 2020): BERT's network over embeddings of a width of their
 * own, projected behind their norm. */
#include "families.h"

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(embedding_width, U32, 128, "embedding_size"),
    RULE(n_types, U32, 2, "type_vocab_size"),
    RULE(norm_eps, F32, 1e-12, "layer_norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_ERF, "hidden_act"),
    END_OF_RULES,
};

static const nlp_config_demand demands[] = {BERT_DEMANDS, {NULL, NULL}};

static const nlp_role_source roles[] = {
    BERT_EMBEDDINGS, BERT_TYPES, {"embedding.project", {"embeddings_project"}, 0, NULL, NULL},
    BERT_LAYER,      {0},
};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "classifier.out_proj", "classifier.dense",
     NULL, NLP_ACT_GELU_ERF, NLP_HEAD_AT_FIRST, NULL},
    TOKEN_HEADS,
    {0},
};

static const char *const model_types[] = {"electra", NULL};
static const char *const prefixes[] = {"", "electra.", NULL};
static const char *const droppable[] = {"discriminator_predictions.*", "generator_*", NULL};

const nlp_family nlp_family_electra = {
    .name = "electra",
    .tokenizer = NLP_VOCABULARY_BERT,
    .model_types = model_types,
    .prefixes = prefixes,
    .demands = demands,
    .stack = {.fixed = {.kind = NLP_KIND_ENCODER,
                        .position = NLP_POSITION_LEARNED,
                        .embedding_norm = NLP_EMBEDDING_NORM_FIRST,
                        .norm = NLP_NORM_LAYER,
                        .norm_place = NLP_PLACE_POST},
              .rules = rules,
              .layer = "encoder.layer.%u.",
              .roles = roles},
    .heads = heads,
    .droppable = droppable,
};
