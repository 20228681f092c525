/* bergamot.c: the small translators of Firefox and translateLocally ("tiny11" students of Marian): an
 * encoder of Transformer layers, a decoder whose self attention is a recurrence of one state. Names and
 * config: marian_binary.c. */
#include <math.h>

#include "families.h"

static nlp_status adapt(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    (void)config, (void)err;
    c->spec.embedding_scale = (float)sqrt((double)c->spec.hidden_size);
    if (c->spec.kind == NLP_KIND_DECODER) c->spec.memory_width = c->spec.hidden_size;
    return NLP_OK;
}

#define COMMON_RULES(layers)                                                                       \
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),                                               \
        RULE(hidden_size, U32, NLP_NEEDED, "dim-emb"),                                             \
        RULE(n_heads, U32, NLP_NEEDED, "transformer-heads"),                                       \
        RULE(ffn_size, U32, NLP_NEEDED, "transformer-dim-ffn"),                                    \
        RULE(n_layers, U32, NLP_NEEDED, layers),                                                   \
        RULE(n_positions, U32, NLP_NEEDED, "max_position_embeddings"), END_OF_RULES

static const nlp_config_rule encoder_rules[] = {COMMON_RULES("enc-depth")},
                             decoder_rules[] = {COMMON_RULES("dec-depth")};

#define COMMON_ROLES                                                                               \
    {"embedding.word", {"Wemb"}, 0, NULL, NULL}, {"embedding.position", {"none"}, 0, NULL, NULL},  \
        {"ffn.up", {"ffn_1"}, 0, NULL, NULL}, {"ffn.down", {"ffn_2"}, 0, NULL, NULL}, {            \
        "ffn.norm", {"ffn_ffn.ln"}, 0, NULL, NULL                                                  \
    }

static const nlp_role_source
    encoder_roles[] = {COMMON_ROLES,
                       {"attention.qkv", {"self_q", "self_k", "self_v"}, 0, NULL, NULL},
                       {"attention.out", {"self_o"}, 0, NULL, NULL},
                       {"attention.norm", {"self_Wo.ln"}, 0, NULL, NULL},
                       {0}},
    decoder_roles[] = {COMMON_ROLES,
                       {"recurrence.input", {"rnn"}, NLP_FORM_NO_BIAS, NULL, NULL},
                       {"recurrence.forget", {"rnn_f"}, 0, NULL, NULL},
                       {"attention.norm", {"rnn_ffn.ln"}, 0, NULL, NULL},
                       {"cross.q", {"context_q"}, 0, NULL, NULL},
                       {"cross.kv", {"context_k", "context_v"}, 0, NULL, NULL},
                       {"cross.out", {"context_o"}, 0, NULL, NULL},
                       {"cross.norm", {"context_Wo.ln"}, 0, NULL, NULL},
                       {"output", {"Wemb"}, NLP_FORM_TIED, "decoder_ff_logit_out_b", NULL},
                       {0}};

#define STACK(its_kind, its_rules, its_layer, its_roles, recurs)                                   \
    {                                                                                              \
        .fixed = {.kind = its_kind,                                                                \
                  .position = NLP_POSITION_LEARNED,                                                \
                  .norm = NLP_NORM_LAYER,                                                          \
                  .norm_eps = 1e-6f,                                                               \
                  .norm_place = NLP_PLACE_POST,                                                    \
                  .activation = NLP_ACT_RELU,                                                      \
                  .causal = recurs,                                                                \
                  .recurrence = recurs},                                                           \
        .rules = its_rules, .layer = its_layer, .roles = its_roles, .sinusoid = NLP_SINUSOID_T2T,  \
        .adapt = adapt                                                                             \
    }

static const nlp_stack_source decoder =
    STACK(NLP_KIND_DECODER, decoder_rules, "decoder.layers.%u.", decoder_roles, 1);
static const char *const model_types[] = {"bergamot", NULL}, *const prefixes[] = {"", NULL};

const nlp_family nlp_family_bergamot = {
    .name = "bergamot",
    .model_types = model_types,
    .prefixes = prefixes,
    .stack = STACK(NLP_KIND_SEQ2SEQ, encoder_rules, "encoder.layers.%u.", encoder_roles, 0),
    .decoder = &decoder,
    .tied = 1,
};
