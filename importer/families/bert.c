/* bert.c: BERT (Devlin and others 2018) as transformers' modeling_bert.py computes it. */
#include "families.h"

static const nlp_config_rule rules[] = {
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),
    RULE(hidden_size, U32, NLP_NEEDED, "hidden_size"),
    RULE(n_layers, U32, NLP_NEEDED, "num_hidden_layers"),
    RULE(n_heads, U32, NLP_NEEDED, "num_attention_heads"),
    RULE(ffn_size, U32, NLP_NEEDED, "intermediate_size"),
    RULE(n_positions, U32, NLP_NEEDED, "max_position_embeddings"),
    RULE(n_types, U32, 2, "type_vocab_size"),
    RULE(norm_eps, F32, 1e-12, "layer_norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_ERF, "hidden_act"),
    END_OF_RULES,
};

static const nlp_config_demand demands[] = {{"position_embedding_type", "absolute"},
                                            {"is_decoder", NULL},
                                            {"add_cross_attention", NULL},
                                            {NULL, NULL}};

static const nlp_role_source roles[] = {
    {"embedding.word", {"embeddings.word_embeddings"}, 0, NULL, NULL},
    {"embedding.position", {"embeddings.position_embeddings"}, 0, NULL, NULL},
    {"embedding.type", {"embeddings.token_type_embeddings"}, 0, NULL, NULL},
    {"embedding.norm", {"embeddings.LayerNorm"}, 0, NULL, NULL},
    {"attention.qkv",
     {"attention.self.query", "attention.self.key", "attention.self.value"},
     0,
     NULL,
     NULL},
    {"attention.out", {"attention.output.dense"}, 0, NULL, NULL},
    {"attention.norm", {"attention.output.LayerNorm"}, 0, NULL, NULL},
    {"ffn.up", {"intermediate.dense"}, 0, NULL, NULL},
    {"ffn.down", {"output.dense"}, 0, NULL, NULL},
    {"ffn.norm", {"output.LayerNorm"}, 0, NULL, NULL},
    {0},
};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "classifier", "pooler.dense", NULL,
     NLP_ACT_TANH, NLP_HEAD_AT_FIRST, NULL},
    {"ForTokenClassification", NLP_HEAD_TOKENS, "classifier", NULL, NULL, 0, 0, NULL},
    {"ForQuestionAnswering", NLP_HEAD_SPAN, "qa_outputs", NULL, NULL, 0, 0, NULL},
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
