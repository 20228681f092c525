/* family.c: the list of families, and what all of them share. */
#include "family.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "tensor/kernels.h"

static const nlp_family *const families[] = {&nlp_family_bert};

const nlp_family *nlp_family_find(const char *model_type) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (!strcmp(families[i]->model_type, model_type)) return families[i];
    return NULL;
}

/* ---- config.json ---- */

static const json_t *first_key(const json_t *config, const nlp_config_rule *rule,
                               const char **key) {
    for (size_t i = 0; i < 4 && rule->keys[i]; i++) {
        const json_t *value = json_object_get(config, rule->keys[i]);
        *key = rule->keys[i];
        if (value && !json_is_null(value)) return value;
    }
    *key = rule->keys[0];
    return NULL;
}

static nlp_status read_activation(const json_t *value, const char *key, uint32_t *out,
                                  nlp_error *err) {
    static const struct {
        const char *name;
        nlp_activation act;
    } names[] = {{"gelu", NLP_ACT_GELU_ERF},
                 {"gelu_new", NLP_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", NLP_ACT_GELU_TANH},
                 {"gelu_fast", NLP_ACT_GELU_TANH},
                 {"relu", NLP_ACT_RELU},
                 {"silu", NLP_ACT_SILU},
                 {"swish", NLP_ACT_SILU},
                 {"tanh", NLP_ACT_TANH}};
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].name, text)) {
            *out = names[i].act;
            return NLP_OK;
        }
    return nlp_fail(err, NLP_EUNSUPPORTED,
                    "config.json: \"%s\" names an activation that nlp does not know", key);
}

static nlp_status apply_rule(const nlp_config_rule *rule, const json_t *config, nlp_arch_spec *spec,
                             nlp_error *err) {
    const char *key;
    const json_t *value = first_key(config, rule, &key);
    uint32_t *whole = (uint32_t *)(void *)((char *)spec + rule->field);
    if (!value && rule->fallback < 0)
        return nlp_fail(err, NLP_EINVAL, "config.json has no \"%s\"", key);
    if (rule->kind == NLP_RULE_ACTIVATION && value) return read_activation(value, key, whole, err);
    double number = value ? json_number_value(value) : rule->fallback;
    if (value && !json_is_number(value))
        return nlp_fail(err, NLP_EINVAL, "config.json: \"%s\" must be a number", key);
    if (rule->kind == NLP_RULE_F32) {
        *(float *)(void *)whole = (float)number;
        return NLP_OK;
    }
    if (number < 0 || number > 1e9 || number != floor(number))
        return nlp_fail(err, NLP_EINVAL, "config.json: \"%s\" is no possible count", key);
    *whole = (uint32_t)number;
    return NLP_OK;
}

static nlp_status check_demand(const nlp_config_demand *demand, const json_t *config,
                               nlp_error *err) {
    const json_t *value = json_object_get(config, demand->key);
    const char *text = json_string_value(value);
    if (!value || json_is_null(value) || (!demand->text && json_is_false(value)) ||
        (demand->text && text && !strcmp(text, demand->text)))
        return NLP_OK;
    return nlp_fail(err, NLP_EUNSUPPORTED,
                    "config.json: \"%s\" has a value other than %s, which nlp does not know",
                    demand->key, demand->text ? demand->text : "false");
}

nlp_status nlp_family_spec(const nlp_family *family, const json_t *config, nlp_arch_spec *spec,
                           nlp_error *err) {
    *spec = family->fixed;
    spec->struct_size = sizeof *spec;
    for (const nlp_config_demand *d = family->demands; d && d->key; d++)
        NLP_TRY(check_demand(d, config, err));
    for (const nlp_config_rule *r = family->rules; r->keys[0]; r++)
        NLP_TRY(apply_rule(r, config, spec, err));
    if (!spec->n_heads || spec->hidden_size % spec->n_heads)
        return nlp_fail(err, NLP_EINVAL,
                        "config.json: a hidden size of %u can't be cut into %u heads",
                        spec->hidden_size, spec->n_heads);
    spec->n_kv_heads = spec->n_heads;
    spec->head_dim = spec->hidden_size / spec->n_heads;
    return NLP_OK;
}

/* ---- Tensor names ---- */

nlp_source_tensor *nlp_family_tensor(const nlp_family *family, const nlp_source *source,
                                     const char *name) {
    char full[256];
    for (size_t i = 0; family->prefixes[i]; i++) {
        snprintf(full, sizeof full, "%s%s", family->prefixes[i], name);
        nlp_source_tensor *t = nlp_source_find(source, full);
        if (t) return t;
    }
    return NULL;
}

/* '*' stands for any run of characters. */
static bool matches(const char *pattern, const char *text) {
    const char *star = NULL, *mark = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            mark = text;
        } else if (*pattern == *text) {
            pattern++, text++;
        } else if (star) {
            pattern = star + 1;
            text = ++mark;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return !*pattern;
}

bool nlp_family_drops(const nlp_family *family, const char *tensor) {
    for (size_t i = 0; family->droppable[i]; i++)
        if (matches(family->droppable[i], tensor)) return true;
    return false;
}
