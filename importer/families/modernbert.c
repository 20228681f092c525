/* modernbert.c: ModernBERT (Warner and others 2024): rotary positions, norms first, gated FFN, two
 * of three layers see a window only, and turn by a base of their own. */
#include "families.h"

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(norm_eps, F32, 1e-5, "norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_ERF, "hidden_activation"),
    END_OF_RULES,
};

static const nlp_role_source roles[] = {
    {"embedding.word", {"embeddings.tok_embeddings"}, 0, NULL, NULL},
    {"embedding.norm", {"embeddings.norm"}, NLP_FORM_ANY_BIAS, NULL, NULL},
    {"attention.qkv", {"attn.Wqkv"}, NLP_FORM_ANY_BIAS, NULL, "attention_bias"},
    {"attention.out", {"attn.Wo"}, NLP_FORM_ANY_BIAS, NULL, "attention_bias"},
    {"attention.norm", {"attn_norm"}, NLP_FORM_ANY_BIAS | NLP_FORM_NOT_FIRST, NULL, NULL},
    {"ffn.up", {"mlp.Wi"}, NLP_FORM_ANY_BIAS, NULL, "mlp_bias"},
    {"ffn.down", {"mlp.Wo"}, NLP_FORM_ANY_BIAS, NULL, "mlp_bias"},
    {"ffn.norm", {"mlp_norm"}, NLP_FORM_ANY_BIAS, NULL, NULL},
    {"final_norm", {"final_norm"}, NLP_FORM_ANY_BIAS, NULL, NULL},
    {0},
};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "classifier", "head.dense", "head.norm",
     NLP_ACT_GELU_ERF, NLP_HEAD_AT_FIRST, NULL},
    {"ForTokenClassification", NLP_HEAD_TOKENS, "classifier", "head.dense", "head.norm",
     NLP_ACT_GELU_ERF, 0, NULL},
    {"ForQuestionAnswering", NLP_HEAD_SPAN, "classifier", "head.dense", "head.norm",
     NLP_ACT_GELU_ERF, 0, NULL},
    {"ForMaskedLM", NLP_HEAD_WORDS, "decoder", "head.dense", "head.norm", NLP_ACT_GELU_ERF, 0,
     "decoder.bias"},
    {0},
};

static const nlp_config_demand demands[] = {{"classifier_activation", "gelu"}, {NULL, NULL}};
static const char *const model_types[] = {"modernbert", NULL};
static const char *const prefixes[] = {"", "model.", NULL};
static const char *const droppable[] = {"head.*", "decoder.*", NULL};

const nlp_family nlp_family_modernbert = {
    .name = "modernbert",
    .model_types = model_types,
    .prefixes = prefixes,
    .demands = demands,
    .stack = {.fixed = {.kind = NLP_KIND_ENCODER,
                        .position = NLP_POSITION_ROPE,
                        .embedding_norm = NLP_EMBEDDING_NORM_FIRST,
                        .norm = NLP_NORM_LAYER,
                        .norm_place = NLP_PLACE_PRE,
                        .gated = 1},
              .rules = rules,
              .layer = "layers.%u.",
              .roles = roles,
              .theta = 160000,
              .local_theta = 10000,
              .window = {NLP_WINDOW_AFTER, "local_attention", "global_attn_every_n_layers", 2}},
    .heads = heads,
    .droppable = droppable,
    .tied = 1,
};
