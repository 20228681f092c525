/* bert.c: BERT (Devlin and others 2018) as transformers' modeling_bert.py computes it. */
#include "families.h"

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(n_types, U32, 2, "type_vocab_size"),
    RULE(norm_eps, F32, 1e-12, "layer_norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_ERF, "hidden_act"),
    END_OF_RULES,
};

static const nlp_config_demand demands[] = {BERT_DEMANDS, {NULL, NULL}};

static const nlp_role_source roles[] = {
    BERT_EMBEDDINGS,
    BERT_TYPES,
    BERT_LAYER,
    {0},
};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "classifier", "pooler.dense", NULL,
     NLP_ACT_TANH, NLP_HEAD_AT_FIRST, NULL},
    TOKEN_HEADS,
    {"ForMaskedLM", NLP_HEAD_WORDS, "cls.predictions.decoder", "cls.predictions.transform.dense",
     "cls.predictions.transform.LayerNorm", NLP_ACT_OF_CONFIG, 0, "cls.predictions.bias"},
    {0},
};

static const char *const model_types[] = {"bert", NULL}, *const prefixes[] = {"", "bert.", NULL};
static const char *const droppable[] = {"*pooler.dense.*", "cls.*", NULL};

const nlp_family nlp_family_bert = {
    .name = "bert",
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
