/* deberta.c: DeBERTa v2 and v3 (He and others 2021, 2023): scores of attention have terms between
 * content and relative positions; positions are not in the embeddings. */
#include <math.h>
#include <string.h>

#include "families.h"

/* pos_att_type is a list, or a text "p2c|c2p". */
static bool has_term(const json_t *config, const char *term) {
    const json_t *types = json_object_get(config, "pos_att_type");
    const char *text = json_string_value(types);
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *name = json_string_value(json_array_get(types, i));
        if (name && !strcmp(name, term)) return true;
    }
    return text && strstr(text, term);
}

static nlp_status adapt(const json_t *config, nlp_stack_config *c, nlp_error *err) {
    nlp_arch_spec *s = &c->spec;
    int64_t n_buckets, max_relative, kernel;
    bool shared, biased;
    const char *norm, *act;
    NLP_TRY(nlp_config_integer(config, "position_buckets", -1, -1, 1 << 14, &n_buckets, err));
    NLP_TRY(
        nlp_config_integer(config, "max_relative_positions", -1, -1, 1 << 15, &max_relative, err));
    NLP_TRY(nlp_config_integer(config, "conv_kernel_size", 0, 0, 64, &kernel, err));
    NLP_TRY(nlp_config_boolean(config, "share_att_key", false, &shared, err));
    NLP_TRY(nlp_config_boolean(config, "position_biased_input", true, &biased, err));
    NLP_TRY(nlp_config_text(config, "norm_rel_ebd", "none", &norm, err));
    NLP_TRY(nlp_config_text(config, "conv_act", "tanh", &act, err));
    if (kernel && kernel != 3)
        return nlp_fail(err, NLP_EUNSUPPORTED,
                        "config.json: \"conv_kernel_size\" %d is not known, 3 is", (int)kernel);
    if (max_relative < 1) max_relative = s->n_positions;
    c->n_buckets = n_buckets > 0 ? (uint32_t)n_buckets : 0;
    c->max_distance = (uint32_t)max_relative;
    c->deberta_c2p = has_term(config, "c2p");
    c->deberta_p2c = has_term(config, "p2c");
    c->deberta_own = !shared;
    c->deberta_norm = strstr(norm, "layer_norm") != NULL;
    s->n_relative = 2 * (c->n_buckets ? c->n_buckets : c->max_distance);
    s->bias_reach = c->max_distance + 1;
    s->position = biased ? NLP_POSITION_LEARNED : NLP_POSITION_NONE;
    s->attention_scale = (float)(1 / sqrt((double)(s->hidden_size / s->n_heads) *
                                          (1.0 + (double)c->deberta_c2p + (double)c->deberta_p2c)));
    if (kernel) {
        NLP_TRY(nlp_config_activation(config, "conv_act", NLP_ACT_TANH, &s->convolution, err));
        s->convolution++;
    }
    return NLP_OK;
}

static const nlp_config_rule rules[] = {
    COMMON_SIZES,
    RULE(embedding_width, U32, 0, "embedding_size"),
    RULE(n_types, U32, 0, "type_vocab_size"),
    RULE(norm_eps, F32, 1e-7, "layer_norm_eps"),
    RULE(activation, ACTIVATION, NLP_ACT_GELU_ERF, "hidden_act"),
    END_OF_RULES,
};

static const nlp_config_demand demands[] = {
    {"relative_attention", "true"}, {"pooler_hidden_act", "gelu"}, {NULL, NULL}};

static const nlp_role_source roles[] = {
    {"embedding.word", {"embeddings.word_embeddings"}, 0, NULL, NULL},
    {"embedding.position", {"embeddings.position_embeddings"}, 0, NULL, NULL},
    BERT_TYPES,
    {"embedding.project", {"embeddings.embed_proj"}, NLP_FORM_NO_BIAS, NULL, NULL},
    {"embedding.norm", {"embeddings.LayerNorm"}, 0, NULL, NULL},
    {"convolution", {"encoder.conv.conv"}, NLP_FORM_NEIGHBOURS, NULL, NULL},
    {"convolution.norm", {"encoder.conv.LayerNorm"}, 0, NULL, NULL},
    BERT_ATTENTION("attention.self.query_proj", "attention.self.key_proj",
                   "attention.self.value_proj"),
    BERT_FFN,
    {0},
};

static const nlp_head_source heads[] = {
    {"ForSequenceClassification", NLP_HEAD_SEQUENCE, "classifier", "pooler.dense", NULL,
     NLP_ACT_GELU_ERF, NLP_HEAD_AT_FIRST, NULL},
    TOKEN_HEADS,
    {0},
};

static const char *const model_types[] = {"deberta-v2", NULL};
static const char *const prefixes[] = {"", "deberta.", NULL};
static const char *const droppable[] = {"*pooler.dense.*", "lm_predictions.*", "cls.*",
                                        "mask_predictions.*", NULL};

const nlp_family nlp_family_deberta = {
    .name = "deberta",
    .model_types = model_types,
    .prefixes = prefixes,
    .demands = demands,
    .stack = {.fixed = {.kind = NLP_KIND_ENCODER,
                        .embedding_norm = NLP_EMBEDDING_NORM_LAST,
                        .bias = NLP_BIAS_DISENTANGLED,
                        .norm = NLP_NORM_LAYER,
                        .norm_place = NLP_PLACE_POST},
              .rules = rules,
              .layer = "encoder.layer.%u.",
              .roles = roles,
              .adapt = adapt},
    .heads = heads,
    .droppable = droppable,
};
