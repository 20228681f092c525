/* family.h: a model family as one constant table: how to know it, what its config means, which
 * tensor plays which role. A new family is one file in families/ and one line in family.c. */
#ifndef NLP_IMPORTER_FAMILY_H
#define NLP_IMPORTER_FAMILY_H

#include <jansson.h>
#include <stddef.h>

#include "model/spec.h"
#include "safetensors.h"

typedef enum nlp_rule_kind { NLP_RULE_U32, NLP_RULE_F32, NLP_RULE_ACTIVATION } nlp_rule_kind;

/* "from key K, default D": the first key that the config has. */
typedef struct nlp_config_rule {
    const char *keys[4];
    size_t field; /* offset in nlp_arch_spec */
    nlp_rule_kind kind;
    double fallback; /* < 0: the key must be there */
} nlp_config_rule;

/* A key whose other values would change the result and are not supported. */
typedef struct nlp_config_demand {
    const char *key;
    const char *text; /* a text must be this one; NULL: a boolean must be false */
} nlp_config_demand;

typedef enum nlp_role_kind { NLP_ROLE_TABLE, NLP_ROLE_NORM, NLP_ROLE_LINEAR } nlp_role_kind;

typedef struct nlp_role {
    const char *name; /* in the pack; with per_layer behind "layer.N." */
    nlp_role_kind kind;
    bool per_layer;
    bool optional; /* may be absent as a whole */
    /* tensors without ".weight"; several are one matrix, outputs behind each other */
    const char *sources[3];
    const char *layer_prefix; /* of per_layer sources: "encoder.layer.%u." */
    /* fields of nlp_arch_spec; rows is unused for norms, 0 where the tensor says it */
    size_t rows, columns;
    uint32_t rows_times; /* pack rows are so many times the field */
} nlp_role;

typedef struct nlp_family {
    const char *name, *model_type;
    nlp_arch_spec fixed;              /* what the config does not say */
    const char *const *prefixes;      /* tried before each tensor name, ended by NULL */
    const nlp_config_rule *rules;     /* ended by keys[0] NULL */
    const nlp_config_demand *demands; /* ended by key NULL */
    const nlp_role *roles;            /* ended by name NULL */
    const nlp_role *head_roles;       /* of a sequence classifier: "hidden" and "classifier" */
    uint32_t head;                    /* NLP_HEAD_* of it */
    const char *const *droppable; /* tensor names with '*', ended by NULL: known and not needed */
} nlp_family;

/* By model_type of config.json; NULL where nlp does not know it. */
const nlp_family *nlp_family_find(const char *model_type);
/* Fills the spec from config.json; errors name the key. */
nlp_status nlp_family_spec(const nlp_family *family, const json_t *config, nlp_arch_spec *spec,
                           nlp_error *err);
/* A tensor by its name with each prefix; NULL where there is none. */
nlp_source_tensor *nlp_family_tensor(const nlp_family *family, const nlp_source *source,
                                     const char *name);
bool nlp_family_drops(const nlp_family *family, const char *tensor);

extern const nlp_family nlp_family_bert;

#endif
