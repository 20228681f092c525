/* t5.c: T5 (Raffel and others 2020), FLAN-T5, mT5, umT5, MADLAD: RMS norms first, a relative bias in
 * place of positions, scores that are not scaled. */
#include <math.h>
#include <string.h>

#include "families.h"

static nlp_status adapt(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    int64_t n_buckets, max_distance;
    const char *ffn;
    NLP_TRY(
        nlp_config_integer(config, "relative_attention_num_buckets", 32, 4, 1024, &n_buckets, err));
    NLP_TRY(nlp_config_integer(config, "relative_attention_max_distance", 128, 1, 1 << 15,
                               &max_distance, err));
    NLP_TRY(nlp_config_text(config, "feed_forward_proj", "relu", &ffn, err));
    c->n_buckets = (uint32_t)n_buckets;
    c->spec.bias_reach = c->max_distance = (uint32_t)max_distance;
    c->spec.attention_scale = 1;
    c->spec.gated = strncmp(ffn, "gated-", 6) == 0;
    return NLP_OK;
}

/* A tied output takes the hidden state divided by the root of its width: by a key of its own in newer
 * configs, in older ones by the tie itself; mT5 never scales. */
static nlp_status adapt_decoder(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    bool tied, scaled;
    const char *type;
    NLP_TRY(adapt(config, c, err));
    NLP_TRY(nlp_config_boolean(config, "tie_word_embeddings", true, &tied, err));
    NLP_TRY(nlp_config_text(config, "model_type", "", &type, err));
    if (!strcmp(type, "mt5")) tied = false;
    NLP_TRY(nlp_config_boolean(config, "scale_decoder_outputs", tied, &scaled, err));
    c->spec.memory_width = c->spec.hidden_size;
    if (scaled) c->spec.output_scale = (float)(1 / sqrt((double)c->spec.hidden_size));
    return NLP_OK;
}

#define COMMON_RULES                                                                               \
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),                                               \
        RULE(hidden_size, U32, NLP_NEEDED, "d_model"),                                             \
        RULE(n_heads, U32, NLP_NEEDED, "num_heads"), RULE(head_dim, U32, NLP_NEEDED, "d_kv"),      \
        RULE(ffn_size, U32, NLP_NEEDED, "d_ff"), RULE(n_positions, U32, 512, "n_positions"),       \
        RULE(norm_eps, F32, 1e-6, "layer_norm_epsilon"),                                           \
        RULE(activation, ACTIVATION, NLP_ACT_RELU, "feed_forward_proj")

static const nlp_config_rule encoder_rules[] = {COMMON_RULES,
                                                RULE(n_layers, U32, NLP_NEEDED, "num_layers"),
                                                END_OF_RULES},
                             decoder_rules[] = {COMMON_RULES,
                                                RULE(n_layers, U32, NLP_NEEDED,
                                                     "num_decoder_layers", "num_layers"),
                                                END_OF_RULES};

#define WORDS "shared|encoder.embed_tokens|decoder.embed_tokens"
#define PLAIN NLP_FORM_NO_BIAS, NULL, NULL
#define SELF                                                                                       \
    {"attention.qkv",                                                                              \
     {"layer.0.SelfAttention.q", "layer.0.SelfAttention.k", "layer.0.SelfAttention.v"},            \
     PLAIN},                                                                                       \
        {"attention.out", {"layer.0.SelfAttention.o"}, PLAIN}, {                                   \
        "attention.norm", {"layer.0.layer_norm"}, PLAIN                                            \
    }
#define BIAS "layer.0.SelfAttention.relative_attention_bias"
#define ENCODER_ROLES                                                                              \
    {"embedding.word", {WORDS}, PLAIN}, SELF,                                                      \
        {"ffn.up",                                                                                 \
         {"layer.1.DenseReluDense.wi|layer.1.DenseReluDense.wi_0", "layer.1.DenseReluDense.wi_1"}, \
         PLAIN},                                                                                   \
        {"ffn.down", {"layer.1.DenseReluDense.wo"}, PLAIN},                                        \
        {"ffn.norm", {"layer.1.layer_norm"}, PLAIN}, {                                             \
        "final_norm", {"encoder.final_layer_norm"}, PLAIN                                          \
    }
#define DECODER_ROLES                                                                              \
    {"embedding.word", {WORDS}, PLAIN}, SELF, {"cross.q", {"layer.1.EncDecAttention.q"}, PLAIN},   \
        {"cross.kv", {"layer.1.EncDecAttention.k", "layer.1.EncDecAttention.v"}, PLAIN},           \
        {"cross.out", {"layer.1.EncDecAttention.o"}, PLAIN},                                       \
        {"cross.norm", {"layer.1.layer_norm"}, PLAIN},                                             \
        {"ffn.up",                                                                                 \
         {"layer.2.DenseReluDense.wi|layer.2.DenseReluDense.wi_0", "layer.2.DenseReluDense.wi_1"}, \
         PLAIN},                                                                                   \
        {"ffn.down", {"layer.2.DenseReluDense.wo"}, PLAIN},                                        \
        {"ffn.norm", {"layer.2.layer_norm"}, PLAIN},                                               \
        {"final_norm", {"decoder.final_layer_norm"}, PLAIN}, {                                     \
        "output", {"lm_head"}, NLP_FORM_TIED | NLP_FORM_NO_BIAS, NULL, NULL                        \
    }

/* The first layer's bias serves all; in umT5 each layer has its own. */
#define SHARED                                                                                     \
    { "attention.bias", {BIAS}, NLP_FORM_BUCKETS | NLP_FORM_LAYER_0, NULL, NULL }
#define OWN                                                                                        \
    { "attention.layer_bias", {BIAS}, NLP_FORM_BUCKETS, NULL, NULL }

static const nlp_role_source encoder_roles[] = {ENCODER_ROLES, SHARED, {0}},
                             decoder_roles[] = {DECODER_ROLES, SHARED, {0}},
                             umt5_encoder_roles[] = {ENCODER_ROLES, OWN, {0}},
                             umt5_decoder_roles[] = {DECODER_ROLES, OWN, {0}};

#define STACK(its_kind, its_causal, its_rules, its_layer, its_roles, hook)                         \
    {                                                                                              \
        .fixed = {.kind = its_kind,                                                                \
                  .norm = NLP_NORM_RMS,                                                            \
                  .norm_place = NLP_PLACE_PRE,                                                     \
                  .bias = NLP_BIAS_RELATIVE,                                                       \
                  .causal = its_causal},                                                           \
        .rules = its_rules, .layer = its_layer, .roles = its_roles, .adapt = hook                  \
    }
#define ENCODER(its_roles)                                                                         \
    STACK(NLP_KIND_SEQ2SEQ, 0, encoder_rules, "encoder.block.%u.", its_roles, adapt)
#define DECODER(its_roles)                                                                         \
    STACK(NLP_KIND_DECODER, 1, decoder_rules, "decoder.block.%u.", its_roles, adapt_decoder)

static const nlp_stack_source decoder = DECODER(decoder_roles),
                              umt5_decoder = DECODER(umt5_decoder_roles);

static const char *const prefixes[] = {"", "transformer.", NULL};
static const char *const t5_types[] = {"t5", "mt5", NULL}, *const umt5_types[] = {"umt5", NULL};
/* an old checkpoint's cross attention has a bias that its model does not use */
static const char *const droppable[] = {
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
    "*coder.embed_tokens.weight", NULL};

const nlp_family nlp_family_t5 = {.name = "t5",
                                  .model_types = t5_types,
                                  .prefixes = prefixes,
                                  .stack = ENCODER(encoder_roles),
                                  .decoder = &decoder,
                                  .droppable = droppable,
                                  .tokenizer = NLP_VOCABULARY_T5,
                                  .tied = 1},
                 nlp_family_umt5 = {.name = "umt5",
                                    .model_types = umt5_types,
                                    .prefixes = prefixes,
                                    .stack = ENCODER(umt5_encoder_roles),
                                    .decoder = &umt5_decoder,
                                    .droppable = droppable,
                                    .tokenizer = NLP_VOCABULARY_T5,
                                    .tied = 1};
