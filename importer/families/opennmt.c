/* opennmt.c: OpenNMT's Transformer in CTranslate2's container (TransformerBase, TransformerBig): norms
 * first, fused projections, an output matrix of its own. Names and config: ctranslate2.c. */
#include <math.h>

#include "families.h"

/* Sinusoids begin at position 1. */
static nlp_status adapt(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    (void)config, (void)err;
    c->spec.embedding_scale = (float)sqrt((double)c->spec.hidden_size);
    c->spec.position_offset = 1;
    c->spec.n_positions += 1;
    if (c->spec.kind == NLP_KIND_DECODER) c->spec.memory_width = c->spec.hidden_size;
    return NLP_OK;
}

#define COMMON_RULES(words, layers)                                                                \
    RULE(vocabulary, U32, NLP_NEEDED, words), RULE(hidden_size, U32, NLP_NEEDED, "d_model"),       \
        RULE(n_heads, U32, NLP_NEEDED, "num_heads"), RULE(ffn_size, U32, NLP_NEEDED, "ffn_dim"),   \
        RULE(n_layers, U32, NLP_NEEDED, layers),                                                   \
        RULE(n_positions, U32, NLP_NEEDED, "max_position_embeddings"), END_OF_RULES

static const nlp_config_rule encoder_rules[] = {COMMON_RULES("source_vocab_size",
                                                             "encoder_layers")},
                             decoder_rules[] = {
                                 COMMON_RULES("target_vocab_size", "decoder_layers")};

#define COMMON_ROLES(half)                                                                         \
    {"embedding.word", {half "/embeddings"}, 0, NULL, NULL},                                       \
        {"embedding.position", {"none"}, 0, NULL, NULL},                                           \
        {"attention.qkv", {"self_attention/linear_0"}, 0, NULL, NULL},                             \
        {"attention.out", {"self_attention/linear_1"}, 0, NULL, NULL},                             \
        {"attention.norm", {"self_attention/layer_norm"}, 0, NULL, NULL},                          \
        {"ffn.up", {"ffn/linear_0"}, 0, NULL, NULL},                                               \
        {"ffn.down", {"ffn/linear_1"}, 0, NULL, NULL},                                             \
        {"ffn.norm", {"ffn/layer_norm"}, 0, NULL, NULL}, {                                         \
        "final_norm", {half "/layer_norm"}, 0, NULL, NULL                                          \
    }

static const nlp_role_source encoder_roles[] = {COMMON_ROLES("encoder"), {0}},
                             decoder_roles[] = {
                                 COMMON_ROLES("decoder"),
                                 {"cross.q", {"attention/linear_0"}, 0, NULL, NULL},
                                 {"cross.kv", {"attention/linear_1"}, 0, NULL, NULL},
                                 {"cross.out", {"attention/linear_2"}, 0, NULL, NULL},
                                 {"cross.norm", {"attention/layer_norm"}, 0, NULL, NULL},
                                 {"output", {"decoder/projection"}, 0, NULL, NULL},
                                 {0}};

#define STACK(its_kind, its_rules, its_layer, its_roles)                                           \
    {                                                                                              \
        .fixed = {.kind = its_kind,                                                                \
                  .position = NLP_POSITION_LEARNED,                                                \
                  .norm = NLP_NORM_LAYER,                                                          \
                  .norm_eps = 1e-5f,                                                               \
                  .norm_place = NLP_PLACE_PRE,                                                     \
                  .activation = NLP_ACT_RELU,                                                      \
                  .causal = its_kind == NLP_KIND_DECODER},                                         \
        .rules = its_rules, .layer = its_layer, .roles = its_roles, .sinusoid = NLP_SINUSOID_T2T,  \
        .adapt = adapt                                                                             \
    }

static const nlp_stack_source decoder =
    STACK(NLP_KIND_DECODER, decoder_rules, "decoder/layer_%u/", decoder_roles);
static const char *const model_types[] = {"opennmt", NULL}, *const prefixes[] = {"", NULL};

const nlp_family nlp_family_opennmt = {
    .name = "opennmt",
    .model_types = model_types,
    .prefixes = prefixes,
    .stack = STACK(NLP_KIND_SEQ2SEQ, encoder_rules, "encoder/layer_%u/", encoder_roles),
    .decoder = &decoder,
};
