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
    } named[] = {{"first", NLP_AGGREGATE_FIRST},
                 {"average", NLP_AGGREGATE_AVERAGE},
                 {"max", NLP_AGGREGATE_MAX},
                 {"none", NLP_AGGREGATE_NONE}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (text_is(value, named[i].name)) return named[i].aggregation;
    return NLP_AGGREGATE_SIMPLE;
}

/* How texts are written. */
static void set_writing(nlp_task_options *o, const char *key, const nlp_value *value) {
    nlp_sampling *s = &o->sampling;
    bool is_number = value->type == NLP_TYPE_INTEGER || value->type == NLP_TYPE_REAL;
    double number = is_number ? number_of(value) : 0;
    if (!strcmp(key, "min_tokens"))
        o->min_tokens = (uint32_t)number;
    else if (!strcmp(key, "temperature"))
        s->temperature = (float)number;
    else if (!strcmp(key, "top_k"))
        s->top_k = (uint32_t)number;
    else if (!strcmp(key, "top_p"))
        s->top_p = (float)number;
    else if (!strcmp(key, "min_p"))
        s->min_p = (float)number;
    else if (!strcmp(key, "repetition_penalty"))
        s->repetition_penalty = (float)number;
    else if (!strcmp(key, "presence_penalty"))
        s->presence_penalty = (float)number;
    else if (!strcmp(key, "frequency_penalty"))
        s->frequency_penalty = (float)number;
    else if (!strcmp(key, "seed"))
        o->has_seed = true, o->seed = value->type == NLP_TYPE_INTEGER ? (uint64_t)value->as.integer
                                                                      : (uint64_t)(int64_t)number;
    else if (!strcmp(key, "stop"))
        o->stop = *value;
    else if (!strcmp(key, "choices"))
        o->choices = *value;
    else if (!strcmp(key, "schema"))
        o->schema = *value;
    else if (!strcmp(key, "grammar"))
        o->grammar = (nlp_text){value->as.text, value->n};
    else if (!strcmp(key, "logit_bias"))
        o->logit_bias = *value;
    else if (!strcmp(key, "num_beams"))
        o->num_beams = (uint32_t)number;
    else if (!strcmp(key, "early_stopping"))
        o->has_early_stopping = true, o->early_stopping = text_is(value, "true") ? NLP_STOP_EARLY
                                                          : text_is(value, "never")
                                                              ? NLP_STOP_NEVER
                                                              : NLP_STOP_BY_SCORE;
    else if (!strcmp(key, "length_penalty"))
        o->length_penalty = number;
    else if (!strcmp(key, "no_repeat_ngram_size"))
        o->has_no_repeat = true, s->no_repeat_ngram = (uint32_t)number;
}

/* Options that are texts of the caller. */
static nlp_text *text_field(nlp_task_options *o, const char *key) {
    if (!strcmp(key, "hypothesis")) return &o->hypothesis;
    if (!strcmp(key, "prompt")) return &o->prompt;
    if (!strcmp(key, "instruction")) return &o->instruction;
    if (!strcmp(key, "yes")) return &o->yes;
    if (!strcmp(key, "source")) return &o->source;
    return !strcmp(key, "no") ? &o->no : NULL;
}

/* The value was checked before; here it only finds its field. */
static void set_option(nlp_task_options *o, const char *key, const nlp_value *value) {
    bool is_number = value->type == NLP_TYPE_INTEGER || value->type == NLP_TYPE_REAL;
    uint32_t whole = is_number ? (uint32_t)number_of(value) : 0;
    if (!strcmp(key, "on_overflow"))
        o->on_overflow = text_is(value, "error")   ? NLP_OVERFLOW_ERROR
                         : text_is(value, "chunk") ? NLP_OVERFLOW_CHUNK
                                                   : NLP_OVERFLOW_TRUNCATE;
    else if (!strcmp(key, "on_error"))
        o->on_error_null = text_is(value, "null");
    else if (!strcmp(key, "normalize"))
        o->normalize = value->as.boolean;
    else if (!strcmp(key, "pooling"))
        o->pooling = pooling_named(value);
    else if (!strcmp(key, "input_type"))
        o->is_query = text_is(value, "query");
    else if (!strcmp(key, "dimensions"))
        o->dimensions = whole;
    else if (!strcmp(key, "max_tokens"))
        o->max_tokens = whole;
    else if (!strcmp(key, "threshold"))
        o->threshold = number_of(value);
    else if (!strcmp(key, "raw"))
        o->raw = value->as.boolean;
    else if (!strcmp(key, "special_tokens"))
        o->special_tokens = value->as.boolean;
    else if (!strcmp(key, "pair"))
        o->pair =
            (nlp_text){value->n ? value->as.text : NULL, value->n}; /* as the reference: no pair */
    else if (!strcmp(key, "aggregation"))
        o->aggregation = aggregation_named(value);
    else if (!strcmp(key, "k"))
        o->k = whole;
    else if (!strcmp(key, "max_answer_tokens"))
        o->max_answer_tokens = whole;
    else if (!strcmp(key, "multi_label"))
        o->multi_label = value->as.boolean;
    else if (!strcmp(key, "sigmoid"))
        o->sigmoid = value->as.boolean;
    else if (text_field(o, key))
        *text_field(o, key) = (nlp_text){value->as.text, value->n};
    else
        set_writing(o, key, value);
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
