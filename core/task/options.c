/* options.c: from keys and values to one struct. Every message lists what would have been right. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/pooling.h"
#include "task/task.h"

/* ---- Checking against a table ---- */

static bool text_is(const nlp_value *value, const char *text) {
    return value->type == NLP_TYPE_TEXT && value->n == strlen(text) &&
           !memcmp(value->as.text, text, value->n);
}

/* Is the value one of "a|b|c"? */
static bool listed(const nlp_value *value, const char *values) {
    while (*values) {
        size_t n = strcspn(values, "|");
        if (value->n == n && !memcmp(value->as.text, values, n)) return true;
        values += n + (values[n] == '|');
    }
    return false;
}

static nlp_status unknown_key(const char *of, const nlp_option_spec *specs, size_t n_specs,
                              const char *key, nlp_error *err) {
    char known[256] = "";
    size_t n = 0;
    for (size_t i = 0; i < n_specs && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", specs[i].key);
    nlp_fail(err, NLP_EINVAL, "%s has no option \"%.48s\"", of, key);
    nlp_hint(err, n_specs ? "options that it has: %s" : "it takes no options%s", known);
    return NLP_EINVAL;
}

static const char *type_name(nlp_type type) {
    switch (type) {
    case NLP_TYPE_TEXT:
        return "a text";
    case NLP_TYPE_TEXTS:
        return "a text or an array of texts";
    case NLP_TYPE_JSON:
        return "an array or object";
    case NLP_TYPE_BOOLEAN:
        return "true or false";
    case NLP_TYPE_INTEGER:
        return "a whole number";
    default:
        return "a number";
    }
}

static double number_of(const nlp_value *value) {
    return value->type == NLP_TYPE_INTEGER ? (double)value->as.integer : value->as.real;
}

static nlp_status check_number(const char *of, const nlp_option_spec *spec, const nlp_value *value,
                               nlp_error *err) {
    double number = number_of(value);
    if (spec->type == NLP_TYPE_INTEGER && value->type == NLP_TYPE_REAL && number != floor(number))
        return nlp_fail(err, NLP_EINVAL, "%s: option \"%s\" must be a whole number, not %.10g", of,
                        spec->key, number);
    if (number >= spec->min && number <= spec->max) return NLP_OK;
    return nlp_fail(err, NLP_EINVAL, "%s: option \"%s\" is %.10g, possible are %.10g to %.10g", of,
                    spec->key, number, spec->min, spec->max);
}

static nlp_status check_value(const char *of, const nlp_option_spec *spec, const nlp_value *value,
                              nlp_error *err) {
    bool is_number = value->type == NLP_TYPE_INTEGER || value->type == NLP_TYPE_REAL;
    bool wants_number = spec->type == NLP_TYPE_INTEGER || spec->type == NLP_TYPE_REAL;
    bool is_text = value->type == NLP_TYPE_TEXT || value->type == NLP_TYPE_JSON;
    bool takes_text = spec->type == NLP_TYPE_TEXTS || spec->type == NLP_TYPE_JSON;
    if (wants_number ? !is_number : value->type != spec->type && !(takes_text && is_text))
        return nlp_fail(err, NLP_EINVAL, "%s: option \"%s\" must be %s", of, spec->key,
                        type_name(spec->type));
    if (wants_number) return check_number(of, spec, value, err);
    if (spec->values && !listed(value, spec->values))
        return nlp_fail(err, NLP_EINVAL, "%s: option \"%s\" takes %s", of, spec->key, spec->values);
    return NLP_OK;
}

nlp_status nlp_option_check(const char *of, const nlp_option_spec *specs, size_t n_specs,
                            const nlp_option *option, const nlp_option_spec **spec,
                            nlp_error *err) {
    *spec = NULL;
    for (size_t i = 0; i < n_specs && !*spec; i++)
        if (!strcmp(specs[i].key, option->key)) *spec = &specs[i];
    if (!*spec) return unknown_key(of, specs, n_specs, option->key, err);
    return option->value.type == NLP_TYPE_NULL ? NLP_OK
                                               : check_value(of, *spec, &option->value, err);
}

/* ---- Reading ---- */

static uint32_t pooling_named(const nlp_value *value) {
    if (text_is(value, "cls")) return NLP_POOL_CLS;
    if (text_is(value, "max")) return NLP_POOL_MAX;
    return text_is(value, "last") ? NLP_POOL_LAST : NLP_POOL_MEAN;
}

static nlp_aggregation aggregation_named(const nlp_value *value) {
    static const struct {
        const char *name;
        nlp_aggregation aggregation;
    } named[] = {{"simple", NLP_AGGREGATE_SIMPLE},
                 {"first", NLP_AGGREGATE_FIRST},
                 {"average", NLP_AGGREGATE_AVERAGE},
                 {"max", NLP_AGGREGATE_MAX},
                 {"none", NLP_AGGREGATE_NONE}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (text_is(value, named[i].name)) return named[i].aggregation;
    return NLP_AGGREGATE_BY_MODEL;
}

static nlp_cut cut_named(const nlp_value *value) {
    if (text_is(value, "paragraph")) return NLP_BY_PARAGRAPH;
    return text_is(value, "token") ? NLP_BY_TOKEN : NLP_BY_SENTENCE;
}

static nlp_early_stopping stopping_named(const nlp_value *value) {
    if (text_is(value, "true")) return NLP_STOP_EARLY;
    return text_is(value, "never") ? NLP_STOP_NEVER : NLP_STOP_BY_SCORE;
}

static nlp_overflow overflow_named(const nlp_value *value) {
    if (text_is(value, "error")) return NLP_OVERFLOW_ERROR;
    return text_is(value, "chunk") ? NLP_OVERFLOW_CHUNK : NLP_OVERFLOW_TRUNCATE;
}

/* Options that are what they say: the place and the kind of their field. */
typedef enum field_kind { WHOLE, SINGLE, REAL, FLAG, TEXT, AS_GIVEN } field_kind;
typedef struct field {
    const char *key;
    field_kind kind;
    size_t at;
} field;

#define FIELD(key, kind, member)                                                                   \
    { key, kind, offsetof(nlp_task_options, member) }
static const field fields[] = {
    FIELD("normalize", FLAG, normalize),
    FIELD("dimensions", WHOLE, dimensions),
    FIELD("max_tokens", WHOLE, max_tokens),
    FIELD("threshold", REAL, threshold),
    FIELD("raw", FLAG, raw),
    FIELD("special_tokens", FLAG, special_tokens),
    FIELD("k", WHOLE, k),
    FIELD("max_answer_tokens", WHOLE, max_answer_tokens),
    FIELD("multi_label", FLAG, multi_label),
    FIELD("sigmoid", FLAG, sigmoid),
    FIELD("sentence", FLAG, sentence),
    FIELD("overlap", WHOLE, overlap),
    FIELD("extractive", FLAG, extractive),
    FIELD("hypothesis", TEXT, hypothesis),
    FIELD("prompt", TEXT, prompt),
    FIELD("instruction", TEXT, instruction),
    FIELD("yes", TEXT, yes),
    FIELD("no", TEXT, no),
    FIELD("source", TEXT, source),
    FIELD("min_tokens", WHOLE, min_tokens),
    FIELD("temperature", SINGLE, sampling.temperature),
    FIELD("top_k", WHOLE, sampling.top_k),
    FIELD("top_p", SINGLE, sampling.top_p),
    FIELD("min_p", SINGLE, sampling.min_p),
    FIELD("repetition_penalty", SINGLE, sampling.repetition_penalty),
    FIELD("presence_penalty", SINGLE, sampling.presence_penalty),
    FIELD("frequency_penalty", SINGLE, sampling.frequency_penalty),
    FIELD("no_repeat_ngram_size", WHOLE, sampling.no_repeat_ngram),
    FIELD("num_beams", WHOLE, num_beams),
    FIELD("length_penalty", REAL, length_penalty),
    FIELD("stop", AS_GIVEN, stop),
    FIELD("choices", AS_GIVEN, choices),
    FIELD("schema", AS_GIVEN, schema),
    FIELD("grammar", TEXT, grammar),
    FIELD("logit_bias", AS_GIVEN, logit_bias),
};

static void set_field(void *at, field_kind kind, const nlp_value *value) {
    switch (kind) {
    case WHOLE:
        *(uint32_t *)at = (uint32_t)number_of(value);
        break;
    case SINGLE:
        *(float *)at = (float)number_of(value);
        break;
    case REAL:
        *(double *)at = number_of(value);
        break;
    case FLAG:
        *(bool *)at = value->as.boolean;
        break;
    case TEXT:
        *(nlp_text *)at = (nlp_text){value->as.text, value->n};
        break;
    case AS_GIVEN:
        *(nlp_value *)at = *value;
        break;
    }
}

static uint64_t seed_of(const nlp_value *value) {
    return value->type == NLP_TYPE_INTEGER ? (uint64_t)value->as.integer
                                           : (uint64_t)(int64_t)value->as.real;
}

/* The value was checked before; here it only finds its field, or what its word stands for. */
static void set_option(nlp_task_options *o, const char *key, const nlp_value *value) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!strcmp(key, fields[i].key)) set_field((char *)o + fields[i].at, fields[i].kind, value);
    if (!strcmp(key, "on_overflow"))
        o->has_overflow = true, o->on_overflow = overflow_named(value);
    else if (!strcmp(key, "on_error"))
        o->on_error_null = text_is(value, "null");
    else if (!strcmp(key, "pooling"))
        o->pooling = pooling_named(value);
    else if (!strcmp(key, "input_type"))
        o->is_query = text_is(value, "query");
    else if (!strcmp(key, "aggregation"))
        o->aggregation = aggregation_named(value);
    else if (!strcmp(key, "by"))
        o->by = cut_named(value);
    else if (!strcmp(key, "pair") && value->n) /* as the reference: an empty one is no pair */
        o->pair = (nlp_text){value->as.text, value->n};
    else if (!strcmp(key, "seed"))
        o->has_seed = true, o->seed = seed_of(value);
    else if (!strcmp(key, "early_stopping"))
        o->has_early_stopping = true, o->early_stopping = stopping_named(value);
    else if (!strcmp(key, "no_repeat_ngram_size"))
        o->has_no_repeat = true;
    else if (!strcmp(key, "min_tokens"))
        o->has_min_tokens = true;
    else if (!strcmp(key, "overlap"))
        o->has_overlap = true;
    else if (!strcmp(key, "extractive"))
        o->has_extractive = true;
}

/* Defaults of the task's table are texts; no real number has one. */
static void set_default(nlp_task_options *o, const nlp_option_spec *spec) {
    const char *text = spec->default_value;
    nlp_value value = {
        .type = NLP_TYPE_TEXT, .n = text ? (uint32_t)strlen(text) : 0, .as.text = text};
    if (!text) return;
    if (spec->type == NLP_TYPE_BOOLEAN)
        value = (nlp_value){.type = NLP_TYPE_BOOLEAN, .as.boolean = *text == 't'};
    if (spec->type == NLP_TYPE_INTEGER)
        value = (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = strtol(text, NULL, 10)};
    set_option(o, spec->key, &value);
}

nlp_status nlp_task_options_read(const nlp_task_spec *task, const nlp_option *given, size_t n_given,
                                 nlp_task_options *options, nlp_error *err) {
    char of[64];
    *options = (nlp_task_options){.normalize = true,
                                  .special_tokens = true,
                                  .threshold = NAN,
                                  .length_penalty = NAN,
                                  .sampling = nlp_plain_sampling};
    snprintf(of, sizeof of, "nlp_%s", task->name);
    for (uint32_t i = 0; i < task->n_options; i++) set_default(options, &task->options[i]);
    for (size_t i = 0; i < n_given; i++) {
        const nlp_option_spec *spec;
        NLP_TRY(nlp_option_check(of, task->options, task->n_options, &given[i], &spec, err));
        if (given[i].value.type != NLP_TYPE_NULL) set_option(options, spec->key, &given[i].value);
    }
    return NLP_OK;
}

nlp_status nlp_options_check(const nlp_task_spec *task, const nlp_option *options, size_t n_options,
                             nlp_error *err) {
    nlp_task_options unused;
    return nlp_task_options_read(task, options, n_options, &unused, err);
}
