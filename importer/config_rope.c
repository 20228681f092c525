/* config_rope.c: rotary positions of config.json to one or two tables of frequencies. Two spellings:
 * `rope_parameters` (transformers 5, also one a layer type), and `rope_theta` with `rope_scaling`.
 * The scalings follow transformers' modeling_rope_utils.py. */
#include <math.h>
#include <string.h>

#include "base/real.h"
#include "family.h"
#include "json.h"

typedef struct rope {
    const json_t *config, *parameters; /* parameters NULL: no scaling */
    double theta;
    uint32_t dim;
    nlp_arena *arena;
    nlp_error *err;
} rope;

/* A number of the parameters, or of the config beside them. */
static double number_of(const rope *r, const char *key, double fallback) {
    const json_t *value = json_object_get(r->parameters, key);
    if (!json_is_number(value)) value = json_object_get(r->config, key);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

static double original_positions(const rope *r) {
    return number_of(r, "original_max_position_embeddings",
                     number_of(r, "max_position_embeddings", 2048));
}

/* theta^(-2i / dim) in the steps of the reference: the power in float, then its inverse. */
static float frequency(const rope *r, uint32_t i) {
    float exponent = (float)(2 * i) / (float)r->dim;
    return 1.0f / (float)nlp_power(r->theta, (double)exponent);
}

static void linear(const rope *r, float *out) {
    float factor = (float)number_of(r, "factor", 1);
    for (uint32_t i = 0; i < r->dim / 2; i++) out[i] = frequency(r, i) / factor;
}

/* Long waves are stretched, short ones kept, between them a ramp. */
static void llama3(const rope *r, float *out) {
    double factor = number_of(r, "factor", 8), low = number_of(r, "low_freq_factor", 1),
           high = number_of(r, "high_freq_factor", 4), original = original_positions(r);
    for (uint32_t i = 0; i < r->dim / 2; i++) {
        double f = (double)frequency(r, i), wave = 2 * 3.14159265358979323846 / f;
        double ramp = (original / wave - low) / (high - low);
        if (wave > original / low)
            f /= factor;
        else if (wave >= original / high)
            f = (1 - ramp) * f / factor + ramp * f;
        out[i] = (float)f;
    }
}

static double yarn_magnitude(double factor, double scale) {
    return factor <= 1 ? 1 : 0.1 * scale * nlp_log(factor) + 1;
}

/* The pair that turns so many times over the original positions. */
static double yarn_pair(const rope *r, double turns) {
    return r->dim * nlp_log(original_positions(r) / (turns * 2 * 3.14159265358979323846)) /
           (2 * nlp_log(r->theta));
}

static float yarn(const rope *r, float *out) {
    double factor = number_of(r, "factor", 1);
    double low = yarn_pair(r, number_of(r, "beta_fast", 32)),
           high = yarn_pair(r, number_of(r, "beta_slow", 1));
    if (!json_is_false(json_object_get(r->parameters, "truncate")))
        low = floor(low), high = ceil(high);
    low = low > 0 ? low : 0;
    high = high < r->dim - 1 ? high : r->dim - 1;
    if (low == high) high += 0.001;
    for (uint32_t i = 0; i < r->dim / 2; i++) {
        double f = (double)frequency(r, i), ramp = (i - low) / (high - low);
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        out[i] = (float)(f / factor * ramp + f * (1 - ramp));
    }
    double all = number_of(r, "mscale_all_dim", 0), scale = number_of(r, "mscale", 0);
    double magnitude = all != 0 && scale != 0
                           ? yarn_magnitude(factor, scale) / yarn_magnitude(factor, all)
                           : yarn_magnitude(factor, 1);
    return (float)number_of(r, "attention_factor", magnitude);
}

static nlp_status divided(const rope *r, const char *key, float *out) {
    const json_t *factors = json_object_get(r->parameters, key);
    if (json_array_size(factors) != r->dim / 2)
        return nlp_fail(r->err, NLP_EINVAL, "config.json: \"%s\" has %zu factors, %u are needed",
                        key, json_array_size(factors), r->dim / 2);
    for (uint32_t i = 0; i < r->dim / 2; i++) {
        double factor = json_number_value(json_array_get(factors, i));
        if (!(factor > 0))
            return nlp_fail(r->err, NLP_EINVAL,
                            "config.json: \"%s\" has a factor that is not above 0", key);
        double power = nlp_power(r->theta, (double)((float)(2 * i) / (float)r->dim));
        out[i] = 1.0f / ((float)factor * (float)power);
    }
    return NLP_OK;
}

/* Table 0 for texts within the original positions, table 1 for longer ones. */
static nlp_status longrope(const rope *r, nlp_stack_config *out, float *first) {
    double original = original_positions(r);
    double factor =
        number_of(r, "factor", number_of(r, "max_position_embeddings", original) / original);
    float *second = NLP_PUSH(r->arena, float, r->dim / 2);
    NLP_TRY(nlp_arena_status(r->arena, r->err));
    NLP_TRY(divided(r, "short_factor", first));
    NLP_TRY(divided(r, "long_factor", second));
    double magnitude = factor > 1 ? sqrt(1 + nlp_log(factor) / nlp_log(original)) : 1;
    out->rope[1] = second;
    out->spec.rope_switch = (uint32_t)original;
    out->spec.rope_scale = (float)number_of(r, "attention_factor", magnitude);
    return NLP_OK;
}

/* GTE's first form: a larger base and slower turns. */
static void ntk(const rope *r, float *out) {
    double factor = number_of(r, "factor", 1);
    rope larger = *r;
    larger.theta *= factor;
    float slower = (float)nlp_power(factor, 2.0 / r->dim);
    for (uint32_t i = 0; i < r->dim / 2; i++) out[i] = frequency(&larger, i) / slower;
}

static const char *type_of(const rope *r) {
    const json_t *type = json_object_get(r->parameters, "rope_type");
    if (!type) type = json_object_get(r->parameters, "type");
    return json_is_string(type) ? json_string_value(type) : "default";
}

static nlp_status fill(const rope *r, size_t table, nlp_stack_config *out) {
    const char *type = type_of(r);
    float *f = NLP_PUSH(r->arena, float, r->dim / 2);
    NLP_TRY(nlp_arena_status(r->arena, r->err));
    out->rope[table] = f;
    if (!strcmp(type, "default") || !strcmp(type, "linear"))
        linear(r, f);
    else if (!strcmp(type, "llama3"))
        llama3(r, f);
    else if (!strcmp(type, "yarn") && !table)
        out->spec.rope_scale = yarn(r, f);
    else if ((!strcmp(type, "longrope") || !strcmp(type, "su")) && !table)
        return longrope(r, out, f);
    else if (!strcmp(type, "ntk"))
        ntk(r, f);
    else if (!strcmp(type, "divided")) /* of GGUF */
        return divided(r, "factors", f);
    else
        return nlp_fail(r->err, NLP_EUNSUPPORTED,
                        "config.json: rotary positions of type \"%.32s\" are not known", type);
    return NLP_OK;
}

static double first_number(const json_t *object, const char *const *keys, double fallback) {
    for (; *keys; keys++) {
        const json_t *value = json_object_get(object, *keys);
        if (json_is_number(value)) return json_number_value(value);
    }
    return fallback;
}

/* One table; kind is the layer type that it is for. */
static nlp_status read_table(rope *r, size_t table, const char *kind, double fallback,
                             nlp_stack_config *out) {
    static const char *const global[] = {"rope_theta", "global_rope_theta", "rotary_emb_base",
                                         NULL},
                             *const local[] = {"rope_local_base_freq", "local_rope_theta", NULL};
    const json_t *parameters = json_object_get(r->config, "rope_parameters");
    const json_t *own = json_object_get(parameters, kind);
    r->theta = first_number(r->config, table ? local : global, fallback);
    if (json_is_object(parameters)) {
        r->parameters = json_is_object(own) ? own : parameters;
        r->theta = first_number(r->parameters, global, r->theta);
    } else {
        r->parameters = table ? NULL : json_object_get(r->config, "rope_scaling");
    }
    if (!(r->theta > 1))
        return nlp_fail(r->err, NLP_EINVAL, "config.json: \"rope_theta\" must be above 1");
    return fill(r, table, out);
}

static uint32_t rotary_size(const json_t *config, const nlp_arch_spec *s) {
    static const char *const keys[] = {"partial_rotary_factor", "rotary_pct", "rotary_emb_fraction",
                                       NULL};
    double part = first_number(json_object_get(config, "rope_parameters"), keys,
                               first_number(config, keys, 1));
    return (uint32_t)(part * s->head_dim) & ~1u;
}

nlp_status nlp_config_rope(const nlp_stack_source *stack, const json_t *config, nlp_arena *arena,
                           nlp_stack_config *out, nlp_error *err) {
    rope r = {.config = config, .arena = arena, .err = err};
    if (out->spec.position != NLP_POSITION_ROPE) return NLP_OK;
    r.dim = out->spec.rotary_dim = rotary_size(config, &out->spec);
    if (!r.dim || r.dim > out->spec.head_dim)
        return nlp_fail(err, NLP_EINVAL, "config.json: %u numbers of a head of %u can't turn",
                        r.dim, out->spec.head_dim);
    NLP_TRY(read_table(&r, 0, "full_attention", stack->theta, out));
    if (stack->local_theta == 0 || !out->layers) return NLP_OK;
    return read_table(&r, 1, "sliding_attention", stack->local_theta, out);
}
