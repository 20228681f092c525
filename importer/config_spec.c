/* config_spec.c: config.json to the numbers and switches of a spec, by a family's rules. */
#include <math.h>
#include <string.h>

#include "family.h"
#include "json.h"

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
    } names[] = {{"gelu", NLP_ACT_GELU_ERF},       {"gelu_python", NLP_ACT_GELU_ERF},
                 {"gelu_new", NLP_ACT_GELU_TANH},  {"gelu_pytorch_tanh", NLP_ACT_GELU_TANH},
                 {"gelu_fast", NLP_ACT_GELU_TANH}, {"gated-gelu", NLP_ACT_GELU_TANH},
                 {"relu", NLP_ACT_RELU},           {"silu", NLP_ACT_SILU},
                 {"gated-silu", NLP_ACT_SILU},     {"swish", NLP_ACT_SILU},
                 {"swiglu", NLP_ACT_SILU},         {"tanh", NLP_ACT_TANH}};
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].name, text)) {
            *out = names[i].act;
            return NLP_OK;
        }
    return nlp_fail(err, NLP_EUNSUPPORTED,
                    "config.json: \"%s\" names an activation that nlp does not know", key);
}

nlp_status nlp_config_activation(const json_t *config, const char *key, uint32_t fallback,
                                 uint32_t *out, nlp_error *err) {
    const json_t *value = json_object_get(config, key);
    *out = fallback;
    return value && !json_is_null(value) ? read_activation(value, key, out, err) : NLP_OK;
}

nlp_status nlp_config_integer(const json_t *config, const char *key, int64_t fallback, int64_t min,
                              int64_t max, int64_t *out, nlp_error *err) {
    return nlp_json_integer(config, "config.json", key, fallback, min, max, out, err);
}

nlp_status nlp_config_boolean(const json_t *config, const char *key, bool fallback, bool *out,
                              nlp_error *err) {
    return nlp_json_boolean(config, "config.json", key, fallback, out, err);
}

nlp_status nlp_config_text(const json_t *config, const char *key, const char *fallback,
                           const char **out, nlp_error *err) {
    return nlp_json_text(config, "config.json", key, fallback, out, err);
}

static nlp_status read_number(const nlp_config_rule *rule, const json_t *value, const char *key,
                              void *field, nlp_error *err) {
    double number = json_number_value(value);
    if (rule->kind == NLP_RULE_SWITCH && json_is_boolean(value)) {
        *(uint32_t *)field = json_is_true(value);
        return NLP_OK;
    }
    if (!json_is_number(value))
        return nlp_fail(err, NLP_EINVAL, "config.json: \"%s\" must be a %s", key,
                        rule->kind == NLP_RULE_SWITCH ? "boolean" : "number");
    if (rule->kind == NLP_RULE_SCALE && !(number > 0))
        return nlp_fail(err, NLP_EINVAL, "config.json: \"%s\" must be above 0", key);
    if (rule->kind == NLP_RULE_F32 || rule->kind == NLP_RULE_SCALE) {
        *(float *)field = (float)(rule->kind == NLP_RULE_SCALE ? 1 / sqrt(number) : number);
        return NLP_OK;
    }
    if (number < 0 || number > 1e9 || number != floor(number))
        return nlp_fail(err, NLP_EINVAL, "config.json: \"%s\" is no possible count", key);
    *(uint32_t *)field = (uint32_t)number;
    return NLP_OK;
}

/* hidden_size comes first in every table: NLP_FOUR_TIMES refers to it. */
static nlp_status apply_rule(const nlp_config_rule *rule, const json_t *config, nlp_arch_spec *spec,
                             nlp_error *err) {
    const char *key;
    const json_t *value = first_key(config, rule, &key);
    void *field = (char *)spec + rule->field;
    if (value && rule->kind == NLP_RULE_ACTIVATION) return read_activation(value, key, field, err);
    if (value) return read_number(rule, value, key, field, err);
    if (rule->fallback == NLP_NEEDED)
        return nlp_fail(err, NLP_EINVAL, "config.json has no \"%s\"", key);
    double number = rule->fallback == NLP_FOUR_TIMES ? 4.0 * spec->hidden_size : rule->fallback;
    if (rule->kind == NLP_RULE_F32 || rule->kind == NLP_RULE_SCALE)
        *(float *)field = (float)number;
    else
        *(uint32_t *)field = (uint32_t)number;
    return NLP_OK;
}

static nlp_status check_demand(const nlp_config_demand *demand, const json_t *config,
                               nlp_error *err) {
    const json_t *value = json_object_get(config, demand->key);
    const char *text = json_string_value(value);
    bool on = demand->text && !strcmp(demand->text, "true");
    if (!value || json_is_null(value) || (!demand->text && json_is_false(value)) ||
        (on && json_is_true(value)) || (demand->text && text && !strcmp(text, demand->text)))
        return NLP_OK;
    return nlp_fail(err, NLP_EUNSUPPORTED,
                    "config.json: \"%s\" has a value other than %s, which nlp does not know",
                    demand->key, demand->text ? demand->text : "false");
}

/* Sizes that follow from others. */
static nlp_status complete(nlp_arch_spec *s, nlp_error *err) {
    if (!s->n_positions)
        return nlp_fail(err, NLP_EINVAL, "config.json: a model of 0 positions is not possible");
    if (!s->n_kv_heads) s->n_kv_heads = s->n_heads;
    if (!s->n_heads || (!s->head_dim && s->hidden_size % s->n_heads))
        return nlp_fail(err, NLP_EINVAL,
                        "config.json: a hidden size of %u can't be cut into %u heads",
                        s->hidden_size, s->n_heads);
    if (s->n_heads % s->n_kv_heads)
        return nlp_fail(err, NLP_EINVAL, "config.json: %u heads can't share %u key heads",
                        s->n_heads, s->n_kv_heads);
    if (!s->head_dim) s->head_dim = s->hidden_size / s->n_heads;
    if (s->embedding_width == s->hidden_size) s->embedding_width = 0;
    return NLP_OK;
}

nlp_status nlp_config_spec(const nlp_family *family, const nlp_stack_source *stack,
                           const json_t *config, nlp_arch_spec *spec, nlp_error *err) {
    *spec = stack->fixed;
    spec->struct_size = sizeof *spec;
    for (const nlp_config_demand *d = family->demands; d && d->key; d++)
        NLP_TRY(check_demand(d, config, err));
    for (const nlp_config_rule *r = stack->rules; r->keys[0]; r++)
        NLP_TRY(apply_rule(r, config, spec, err));
    return complete(spec, err);
}

nlp_status nlp_config_read(const nlp_family *family, const nlp_stack_source *stack,
                           const json_t *config, nlp_arena *arena, nlp_stack_config *out,
                           nlp_error *err) {
    *out = (nlp_stack_config){0};
    NLP_TRY(nlp_config_spec(family, stack, config, &out->spec, err));
    if (stack->adapt) NLP_TRY(stack->adapt(config, out, err));
    NLP_TRY(nlp_config_layers(stack, config, arena, out, err));
    return nlp_config_rope(stack, config, arena, out, err);
}
