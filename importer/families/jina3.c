/* jina3.c: Jina embeddings v3 in transformers' native form: XLM-RoBERTa with rotary positions. The
 * hub's own form with its LoRA tensors has other names and is refused by them. */
#include "families.h"

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(n_types, U32, 1, "type_vocab_size"),
    RULE(norm_eps, F32, 1e-5, "layer_norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_ERF, "hidden_act"),
    END_OF_RULES,
};

static const nlp_role_source roles[] = {
    {"embedding.word", {"embeddings.word_embeddings"}, 0, NULL, NULL},
    BERT_TYPES,
    {"embedding.norm", {"emb_ln"}, 0, NULL, NULL},
    {"attention.qkv", {"mixer.Wqkv"}, 0, NULL, NULL},
    {"attention.out", {"mixer.out_proj"}, 0, NULL, NULL},
    {"attention.norm", {"norm1"}, 0, NULL, NULL},
    {"ffn.up", {"mlp.fc1"}, 0, NULL, NULL},
    {"ffn.down", {"mlp.fc2"}, 0, NULL, NULL},
    {"ffn.norm", {"norm2"}, 0, NULL, NULL},
    {0},
};

static const char *const model_types[] = {"jina_embeddings_v3", NULL};
static const char *const prefixes[] = {"", "roberta.", "model.", NULL};
static const char *const droppable[] = {"*pooler.dense.*", "lm_head.*", NULL};

const nlp_family nlp_family_jina3 = {
    .name = "jina3",
    .model_types = model_types,
    .prefixes = prefixes,
    .stack = {.fixed = {.kind = NLP_KIND_ENCODER,
                        .position = NLP_POSITION_ROPE,
                        .embedding_norm = NLP_EMBEDDING_NORM_FIRST,
                        .norm = NLP_NORM_LAYER,
                        .norm_place = NLP_PLACE_POST},
              .rules = rules,
              .layer = "encoder.layers.%u.",
              .roles = roles,
              .theta = 20000},
    .droppable = droppable,
};
