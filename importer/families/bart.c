/* bart.c: BART (Lewis and others 2020) and its relatives with the same names of tensors: mBART,
 * Pegasus, Marian, M2M100 and NLLB. They differ in norms, positions and scale. */
#include <math.h>

#include "families.h"

/* An embedding scale of the root of the width, where the config turns it on. */
static nlp_status adapt(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    bool scaled;
    NLP_TRY(nlp_config_boolean(config, "scale_embedding", false, &scaled, err));
    c->spec.embedding_scale = scaled ? (float)sqrt((double)c->spec.hidden_size) : 0;
    if (c->spec.kind == NLP_KIND_DECODER) c->spec.memory_width = c->spec.hidden_size;
    return NLP_OK;
}

/* The learned tables have two rows before position 0. */
static nlp_status adapt_learned(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    NLP_TRY(adapt(config, c, err));
    c->spec.position_offset = 2;
    c->spec.n_positions += 2;
    return NLP_OK;
}

/* M2M100's sinusoids begin behind the pad token's id and skip pad tokens. */
static nlp_status adapt_m2m(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    int64_t pad;
    NLP_TRY(adapt(config, c, err));
    NLP_TRY(nlp_config_integer(config, "pad_token_id", 1, 0, 14, &pad, err));
    c->spec.position_offset = (uint32_t)pad + 1;
    c->spec.skip_position_of = (uint32_t)pad + 1;
    c->spec.n_positions += (uint32_t)pad + 1;
    return NLP_OK;
}

#define COMMON_RULES                                                                               \
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),                                               \
        RULE(hidden_size, U32, NLP_NEEDED, "d_model"),                                             \
        RULE(n_positions, U32, NLP_NEEDED, "max_position_embeddings"),                             \
        RULE(activation, ACTIVATION, NLP_ACT_GELU_ERF, "activation_function")

static const nlp_config_rule encoder_rules[] = {
    COMMON_RULES, RULE(n_layers, U32, NLP_NEEDED, "encoder_layers"),
    RULE(n_heads, U32, NLP_NEEDED, "encoder_attention_heads"),
    RULE(ffn_size, U32, NLP_NEEDED, "encoder_ffn_dim"), END_OF_RULES};
static const nlp_config_rule decoder_rules[] = {
    COMMON_RULES, RULE(n_layers, U32, NLP_NEEDED, "decoder_layers"),
    RULE(n_heads, U32, NLP_NEEDED, "decoder_attention_heads"),
    RULE(ffn_size, U32, NLP_NEEDED, "decoder_ffn_dim"), END_OF_RULES};

static const nlp_config_demand demands[] = {
    {"normalize_embedding", "true"}, {"share_encoder_decoder_embeddings", "true"}, {NULL, NULL}};

#define SELF                                                                                       \
    {"attention.qkv",                                                                              \
     {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},                                 \
     0,                                                                                            \
     NULL,                                                                                         \
     NULL},                                                                                        \
        {"attention.out", {"self_attn.out_proj"}, 0, NULL, NULL},                                  \
        {"attention.norm", {"self_attn_layer_norm"}, 0, NULL, NULL},                               \
        {"ffn.up", {"fc1"}, 0, NULL, NULL}, {"ffn.down", {"fc2"}, 0, NULL, NULL}, {                \
        "ffn.norm", {"final_layer_norm"}, 0, NULL, NULL                                            \
    }
#define HALF(half)                                                                                 \
    {"embedding.word", {"shared|" half ".embed_tokens"}, 0, NULL, NULL},                           \
        {"embedding.position", {half ".embed_positions"}, 0, NULL, NULL},                          \
        {"embedding.norm", {half ".layernorm_embedding"}, 0, NULL, NULL}, SELF, {                  \
        "final_norm", {half ".layer_norm"}, 0, NULL, NULL                                          \
    }

static const nlp_role_source
    encoder_roles[] = {HALF("encoder"), {0}},
    decoder_roles[] = {
        HALF("decoder"),
        {"cross.q", {"encoder_attn.q_proj"}, 0, NULL, NULL},
        {"cross.kv", {"encoder_attn.k_proj", "encoder_attn.v_proj"}, 0, NULL, NULL},
        {"cross.out", {"encoder_attn.out_proj"}, 0, NULL, NULL},
        {"cross.norm", {"encoder_attn_layer_norm"}, 0, NULL, NULL},
        {"output", {"lm_head"}, NLP_FORM_TIED | NLP_FORM_ANY_BIAS, "final_logits_bias", NULL},
        {0}};

/* What the five families differ in: a norm of the embeddings, the place of norms, positions. */
#define STACK(its_kind, its_rules, its_layer, its_roles, words_norm, place, sinusoids, hook)       \
    {                                                                                              \
        .fixed = {.kind = its_kind,                                                                \
                  .position = NLP_POSITION_LEARNED,                                                \
                  .embedding_norm = words_norm,                                                    \
                  .norm = NLP_NORM_LAYER,                                                          \
                  .norm_eps = 1e-5f,                                                               \
                  .norm_place = place,                                                             \
                  .causal = its_kind == NLP_KIND_DECODER},                                         \
        .rules = its_rules, .layer = its_layer, .roles = its_roles, .sinusoid = sinusoids,         \
        .adapt = hook                                                                              \
    }
#define ENCODER(...)                                                                               \
    STACK(NLP_KIND_SEQ2SEQ, encoder_rules, "encoder.layers.%u.", encoder_roles, __VA_ARGS__)
#define DECODER(...)                                                                               \
    STACK(NLP_KIND_DECODER, decoder_rules, "decoder.layers.%u.", decoder_roles, __VA_ARGS__)
#define BART    NLP_EMBEDDING_NORM_FIRST, NLP_PLACE_POST, 0, adapt_learned
#define MBART   NLP_EMBEDDING_NORM_FIRST, NLP_PLACE_PRE, 0, adapt_learned
#define PEGASUS 0, NLP_PLACE_PRE, NLP_SINUSOID_MARIAN, adapt
#define MARIAN  0, NLP_PLACE_POST, NLP_SINUSOID_MARIAN, adapt
#define M2M     0, NLP_PLACE_PRE, NLP_SINUSOID_T2T, adapt_m2m

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "classification_head.out_proj",
     "classification_head.dense", NULL, NLP_ACT_TANH, NLP_HEAD_AT_LAST, NULL},
    {0},
};

static const char *const prefixes[] = {"", "model.", NULL};
static const char *const droppable[] = {"*embed_positions.weight", "*coder.embed_tokens.weight",
                                        "*embed_positions.weights", "final_logits_bias", NULL};

#define FAMILY(variable, family_name, type, files, switches)                                       \
    static const nlp_stack_source variable##_decoder = DECODER(switches);                          \
    static const char *const variable##_types[] = {type, NULL};                                    \
    const nlp_family nlp_family_##variable = {.name = family_name,                                 \
                                              .model_types = variable##_types,                     \
                                              .prefixes = prefixes,                                \
                                              .demands = demands,                                  \
                                              .stack = ENCODER(switches),                          \
                                              .decoder = &variable##_decoder,                      \
                                              .heads = heads,                                      \
                                              .droppable = droppable,                              \
                                              .tokenizer = NLP_VOCABULARY_##files,                 \
                                              .tied = 1}

FAMILY(bart, "bart", "bart", ROBERTA, BART);
FAMILY(mbart, "mbart", "mbart", NONE, MBART);
FAMILY(pegasus, "pegasus", "pegasus", NONE, PEGASUS);
FAMILY(marian, "marian", "marian", MARIAN, MARIAN);
FAMILY(m2m100, "m2m100", "m2m_100", M2M100, M2M);
