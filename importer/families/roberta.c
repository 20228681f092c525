/* roberta.c: RoBERTa (Liu and others 2019), XLM-RoBERTa and CamemBERT: BERT's network with positions
 * that begin behind the pad token's id and skip pad tokens. */
#include "families.h"

static nlp_status adapt(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    int64_t pad;
    NLP_TRY(nlp_config_integer(config, "pad_token_id", 1, 0, 15, &pad, err));
    c->spec.position_offset = (uint32_t)pad + 1;
    c->spec.skip_position_of = (uint32_t)pad + 1;
    return NLP_OK;
}

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(n_types, U32, 1, "type_vocab_size"),
    RULE(norm_eps, F32, 1e-5, "layer_norm_eps"),
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
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "classifier.out_proj", "classifier.dense",
     NULL, NLP_ACT_TANH, NLP_HEAD_AT_FIRST, NULL},
    TOKEN_HEADS,
    {"ForMaskedLM", NLP_HEAD_WORDS, "lm_head.decoder", "lm_head.dense", "lm_head.layer_norm",
     NLP_ACT_GELU_ERF, 0, "lm_head.bias"},
    {0},
};

static const char *const model_types[] = {"roberta", "xlm-roberta", "camembert", NULL};
static const char *const prefixes[] = {"", "roberta.", NULL};
static const char *const droppable[] = {"*pooler.dense.*", "lm_head.*", NULL};

const nlp_family nlp_family_roberta = {
    .name = "roberta",
    .tokenizer = NLP_VOCABULARY_ROBERTA,
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
              .roles = roles,
              .adapt = adapt},
    .heads = heads,
    .droppable = droppable,
    .tied = 1,
};
