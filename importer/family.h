/* family.h: a model family as one constant table: how to know it, what its config means, which
 * tensor plays which role. A new family is one file in families/ and one line in family.c. */
#ifndef NLP_IMPORTER_FAMILY_H
#define NLP_IMPORTER_FAMILY_H

#include <jansson.h>
#include <stddef.h>

#include "model/roles.h"
#include "source.h"
#include "tensor/kernels.h"

#define SPEC(field) offsetof(nlp_arch_spec, field)

/* ---- config.json ---- */

typedef enum nlp_rule_kind {
    NLP_RULE_U32,
    NLP_RULE_F32,
    NLP_RULE_ACTIVATION,
    NLP_RULE_SWITCH, /* a boolean: 1 or 0 */
    NLP_RULE_SCALE   /* a number, of which the inverse square root is taken */
} nlp_rule_kind;

#define NLP_NEEDED     (-1) /* fallback of a rule: the key must be there */
#define NLP_FOUR_TIMES (-2) /* four times the hidden size */

/* "from key K, default D": the first key that the config has. */
typedef struct nlp_config_rule {
    const char *keys[4];
    size_t field; /* offset in nlp_arch_spec */
    nlp_rule_kind kind;
    double fallback;
} nlp_config_rule;

/* RULE(n_layers, U32, NLP_NEEDED, "num_hidden_layers", "n_layer") */
#define RULE(field, kind, fallback, ...)                                                           \
    { {__VA_ARGS__}, SPEC(field), NLP_RULE_##kind, fallback }
#define END_OF_RULES                                                                               \
    { {NULL}, 0, NLP_RULE_U32, 0 }

/* A key whose other values would change the result and are not supported. */
typedef struct nlp_config_demand {
    const char *key;
    const char *text; /* a text must be this one; NULL: a boolean must be false; "true": true */
} nlp_config_demand;

/* ---- Tensors ---- */

enum { /* how a role lies in its source */
       NLP_FORM_PLAIN = 0,
       NLP_FORM_NO_BIAS = 1,      /* a bias would be left over */
       NLP_FORM_ANY_BIAS = 2,     /* with or without */
       NLP_FORM_TRANSPOSED = 4,   /* [in, out] */
       NLP_FORM_SWAPPED = 8,      /* of two halves the second comes first */
       NLP_FORM_PLUS_ONE = 16,    /* the gain is 1 + w */
       NLP_FORM_NOT_FIRST = 32,   /* layer 0 has none */
       NLP_FORM_OPTIONAL = 64,    /* the model may lack it */
       NLP_FORM_TIED = 128,       /* the words, where the config ties them or has nothing else */
       NLP_FORM_BUCKETS = 256,    /* [buckets, heads], by T5's rule */
       NLP_FORM_LAYER_0 = 512,    /* of the stack, but stored in layer 0 */
       NLP_FORM_NEIGHBOURS = 1024 /* a convolution [out, in, 3] */
};

typedef struct nlp_role_source {
    const char *role; /* of roles.c */
    /* tensors without ".weight"; several are one matrix, outputs behind each other */
    const char *parts[3];
    uint32_t form;
    const char *bias;     /* name of the bias where it is not the part's own */
    const char *bias_key; /* of ANY_BIAS: the config's boolean that there is one */
} nlp_role_source;

/* Which layers have a window where the config has no `layer_types`. */
enum {
    NLP_WINDOW_NONE = 0,
    NLP_WINDOW_ALL = 1,       /* Mistral, Phi */
    NLP_WINDOW_ALTERNATE = 2, /* the even layers: Gemma 2 */
    NLP_WINDOW_MOST = 3,      /* all but each n-th, by the pattern key: Gemma 3 */
    NLP_WINDOW_AFTER = 4,     /* all but the n-th from layer 0 on: ModernBERT */
    NLP_WINDOW_UPPER = 5,     /* from max_window_layers on, where use_sliding_window: Qwen */
    NLP_WINDOW_NAMED = 6      /* attention_layers: GPT-Neo */
};
typedef struct nlp_window_source {
    uint32_t rule;           /* NLP_WINDOW_* */
    const char *key;         /* of the window's size */
    const char *pattern_key; /* of n */
    uint32_t divisor;        /* of the size; 0: 1 */
} nlp_window_source;

enum { NLP_SINUSOID_MARIAN = 1, NLP_SINUSOID_T2T = 2 }; /* docs/models.md */

/* What the config says of one stack. */
typedef struct nlp_stack_config {
    nlp_arch_spec spec;
    const float *rope[2];         /* frequencies [rotary_dim / 2]; NULL: none */
    const nlp_layer_spec *layers; /* [n_layers]; NULL: all alike */
    uint32_t n_own;               /* layers with tensors of their own, at most n_layers */
    uint32_t n_inner;             /* of them in a group; 0: there are no groups */
    /* T5: buckets of the relative bias. DeBERTa: 0 where distances are clipped and not bucketed */
    uint32_t n_buckets, max_distance;
    bool deberta_c2p, deberta_p2c;  /* which terms the scores have */
    bool deberta_own, deberta_norm; /* projections of their own; a norm on the relative table */
} nlp_stack_config;

/* One stack: an encoder, a decoder, or half of a seq2seq. */
typedef struct nlp_stack_source {
    nlp_arch_spec fixed;          /* what the config does not say */
    const nlp_config_rule *rules; /* ended by keys[0] NULL */
    const char *layer;            /* before the names of a layer's tensors: "encoder.layer.%u." */
    const nlp_role_source *roles; /* ended by role NULL */
    uint32_t sinusoid;            /* the position table is computed */
    double theta, local_theta;    /* of rotary positions, where the config has none */
    nlp_window_source window;
    const char *groups_key, *inner_key; /* layers that share weights: ALBERT */
    /* arithmetic that no rule says; NULL: none */
    nlp_status (*adapt)(const json_t *config, nlp_stack_config *out, nlp_error *err);
} nlp_stack_source;

#define NLP_ACT_OF_CONFIG 0xffu /* the FFN's activation */
/* A head, known by the end of the config's architecture or, without one, by its tensors. */
typedef struct nlp_head_source {
    const char *architecture;               /* "ForSequenceClassification" */
    uint32_t head;                          /* NLP_HEAD_* */
    const char *classifier, *hidden, *norm; /* tensors; hidden and norm may be NULL */
    uint32_t hidden_activation, at;
    const char *bias; /* of WORDS, where it is not the classifier's own */
} nlp_head_source;

/* What the family makes of a vocabulary without tokenizer.json. */
typedef enum nlp_vocabulary_kind {
    NLP_VOCABULARY_NONE,    /* it needs tokenizer.json */
    NLP_VOCABULARY_BERT,    /* vocab.txt */
    NLP_VOCABULARY_GPT2,    /* vocab.json and merges.txt */
    NLP_VOCABULARY_ROBERTA, /* the same, <s> A </s>; or XLM-R's .model */
    NLP_VOCABULARY_T5,      /* .model from here on */
    NLP_VOCABULARY_LLAMA,
    NLP_VOCABULARY_MARIAN, /* with vocab.json */
    NLP_VOCABULARY_M2M100
} nlp_vocabulary_kind;

typedef struct nlp_family {
    const char *name;
    const char *const *model_types;   /* of config.json, ended by NULL */
    const char *const *prefixes;      /* tried before each tensor name, ended by NULL */
    const nlp_config_demand *demands; /* ended by key NULL; may be NULL */
    nlp_stack_source stack;           /* the encoder of a seq2seq */
    const nlp_stack_source *decoder;  /* of a seq2seq */
    const nlp_head_source *heads;     /* ended by architecture NULL; may be NULL */
    const char *const *droppable; /* tensor names with '*', ended by NULL: known and not needed */
    nlp_vocabulary_kind tokenizer;
    uint32_t tied; /* 1: tie_word_embeddings where the config does not say */
} nlp_family;

/* By model_type of config.json; NULL where nlp does not know it. */
const nlp_family *nlp_family_find(const char *model_type);
/* By its name in a pack, n bytes; NULL for an unknown one. */
const nlp_family *nlp_family_named(const char *name, size_t n);
bool nlp_family_drops(const nlp_family *family, const char *tensor);
/* A tensor by its name with each prefix; NULL where there is none. */
nlp_source_tensor *nlp_family_tensor(const nlp_family *family, const nlp_source *source,
                                     const char *name);

/* ---- config_spec.c, config_switches.c, config_rope.c, config_layers.c ---- */

/* NLP_EUNSUPPORTED names a key of another family that changes the result. */
nlp_status nlp_config_switches(const nlp_family *family, const json_t *config,
                               const char *model_type, nlp_error *err);

/* Arrays come from the arena. Errors name the key of config.json. */
nlp_status nlp_config_read(const nlp_family *family, const nlp_stack_source *stack,
                           const json_t *config, nlp_arena *arena, nlp_stack_config *out,
                           nlp_error *err);
/* Values of config.json for an `adapt`; errors name the key. */
nlp_status nlp_config_integer(const json_t *config, const char *key, int64_t fallback, int64_t min,
                              int64_t max, int64_t *out, nlp_error *err);
nlp_status nlp_config_boolean(const json_t *config, const char *key, bool fallback, bool *out,
                              nlp_error *err);
nlp_status nlp_config_text(const json_t *config, const char *key, const char *fallback,
                           const char **out, nlp_error *err);
nlp_status nlp_config_activation(const json_t *config, const char *key, uint32_t fallback,
                                 uint32_t *out, nlp_error *err);
nlp_status nlp_config_spec(const nlp_family *family, const nlp_stack_source *stack,
                           const json_t *config, nlp_arch_spec *spec, nlp_error *err);
nlp_status nlp_config_rope(const nlp_stack_source *stack, const json_t *config, nlp_arena *arena,
                           nlp_stack_config *out, nlp_error *err);
nlp_status nlp_config_layers(const nlp_stack_source *stack, const json_t *config, nlp_arena *arena,
                             nlp_stack_config *out, nlp_error *err);

#endif
