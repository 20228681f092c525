/* static.c: tables of token vectors without a network: model2vec (Tulkens and van Dongen 2024) and
 * sentence-transformers' StaticEmbedding. static_model.c makes the config. */
#include "families.h"

static const nlp_config_rule rules[] = {
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),
    RULE(hidden_size, U32, NLP_NEEDED, "hidden_size"),
    RULE(n_positions, U32, NLP_NEEDED, "max_position_embeddings"),
    END_OF_RULES,
};

static const nlp_role_source roles[] = {
    {"embedding.word", {"embeddings"}, 0, NULL, NULL},
    {0},
};

static const char *const model_types[] = {"static", NULL}, *const prefixes[] = {"", NULL};

const nlp_family nlp_family_static = {
    .name = "static",
    .model_types = model_types,
    .prefixes = prefixes,
    .stack = {.fixed = {.kind = NLP_KIND_STATIC,
                        .position = NLP_POSITION_NONE,
                        .n_heads = 1,
                        .n_kv_heads = 1,
                        .head_dim = 1,
                        .ffn_size = 1},
              .rules = rules,
              .layer = "",
              .roles = roles},
};
