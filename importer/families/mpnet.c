/* mpnet.c: MPNet (Song and others 2020): learned positions behind the pad token's id, and a relative
 * bias of T5's kind that all layers share. It always has 32 buckets, whatever the config says. */
#include "families.h"

static nlp_status adapt(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    int64_t pad;
    NLP_TRY(nlp_config_integer(config, "pad_token_id", 1, 0, 15, &pad, err));
    c->spec.position_offset = (uint32_t)pad + 1;
    c->spec.skip_position_of = (uint32_t)pad + 1;
    c->spec.bias_reach = c->max_distance = 128;
    c->n_buckets = 32;
    return NLP_OK;
}

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(norm_eps, F32, 1e-12, "layer_norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_ERF, "hidden_act"),
    END_OF_RULES,
};

static const nlp_role_source roles[] = {
    BERT_EMBEDDINGS,
    {"attention.bias", {"encoder.relative_attention_bias"}, NLP_FORM_BUCKETS, NULL, NULL},
    {"attention.qkv", {"attention.attn.q", "attention.attn.k", "attention.attn.v"}, 0, NULL, NULL},
    {"attention.out", {"attention.attn.o"}, 0, NULL, NULL},
    {"attention.norm", {"attention.LayerNorm"}, 0, NULL, NULL},
    BERT_FFN,
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

static const char *const model_types[] = {"mpnet", NULL}, *const prefixes[] = {"", "mpnet.", NULL};
static const char *const droppable[] = {"*pooler.dense.*", "lm_head.*", NULL};

const nlp_family nlp_family_mpnet = {
    .name = "mpnet",
    .model_types = model_types,
    .prefixes = prefixes,
    .stack = {.fixed = {.kind = NLP_KIND_ENCODER,
                        .position = NLP_POSITION_LEARNED,
                        .embedding_norm = NLP_EMBEDDING_NORM_FIRST,
                        .bias = NLP_BIAS_RELATIVE,
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
