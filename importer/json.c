/* json.c: a linear pre-scan for size and depth, then libjansson with its heap under a budget. */
#include "json.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_DEPTH = 64, HEAP_PER_BYTE = 24, HEAP_EXTRA = 1 << 20 };

/* jansson has one pair of allocation functions for the whole process. Blocks are malloc's own, so
 * that documents made before and freed after are none of our business; what a block takes is asked
 * of malloc. The importer runs in a process of its own (the command line), one document at a time.
 */
static size_t heap_left = SIZE_MAX / 2;

static void *budget_alloc(size_t n_bytes) {
    void *block = n_bytes <= heap_left ? malloc(n_bytes) : NULL;
    size_t taken = block ? malloc_usable_size(block) : 0;
    heap_left -= taken < heap_left ? taken : heap_left;
    return block;
}

static void budget_free(void *block) {
    if (block) heap_left += malloc_usable_size(block);
    free(block);
}

/* Depth by brackets outside strings. Anything else that is wrong is found by the parser. */
static bool too_deep(const char *at, size_t n_bytes) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n_bytes; i++) {
        char c = at[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH) return true;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return false;
}

static json_t *parse_in_budget(const void *bytes, size_t n_bytes, json_error_t *problem) {
    heap_left = HEAP_PER_BYTE * n_bytes + HEAP_EXTRA;
    json_set_alloc_funcs(budget_alloc, budget_free);
    json_t *json = json_loadb(bytes, n_bytes, JSON_REJECT_DUPLICATES, problem);
    if (!json && json_error_code(problem) == json_error_numeric_overflow)
        json =
            json_loadb(bytes, n_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, problem);
    heap_left = SIZE_MAX / 2; /* what is built from documents has no budget */
    return json;
}

nlp_status nlp_json_parse(const void *bytes, size_t n_bytes, size_t max_bytes, const char *name,
                          json_t **json, nlp_error *err) {
    json_error_t problem;
    *json = NULL;
    if (n_bytes > max_bytes)
        return nlp_fail(err, NLP_ELIMIT, "%s has %zu bytes, at most %zu are read", name, n_bytes,
                        max_bytes);
    if (too_deep(bytes, n_bytes))
        return nlp_fail(err, NLP_EINVAL, "%s nests deeper than %d levels", name, MAX_DEPTH);
    *json = parse_in_budget(bytes, n_bytes, &problem);
    if (*json) return NLP_OK;
    return nlp_fail(err, NLP_EINVAL, "%s is no JSON that can be read (line %d, column %d)", name,
                    problem.line, problem.column);
}

/* ---- U+0000 ---- */

/* At an escape; "\\u0000" is none, since the walk goes from escape to escape. */
static bool escapes(const char *at, size_t n_left, const char *digits) {
    return n_left >= 6 && at[1] == 'u' && !strncasecmp(at + 2, digits, 4);
}

/* Escapes of U+0000 become ones of U+FFFF, which no other place has. */
static bool rewrite_nul(char *at, size_t n_bytes, bool *clash) {
    bool any = false;
    *clash = false;
    for (size_t i = 0; i < n_bytes; i++) {
        if (n_bytes - i >= 3 && !memcmp(at + i, "\xEF\xBF\xBF", 3)) *clash = true;
        if (at[i] != '\\') continue;
        if (escapes(at + i, n_bytes - i, "ffff")) *clash = true;
        if (escapes(at + i, n_bytes - i, "0000")) {
            memcpy(at + i + 2, "ffff", 4);
            any = true;
        }
        i++;
    }
    return any;
}

nlp_status nlp_json_parse_vocabulary(const void *bytes, size_t n_bytes, const char *name, bool *nul,
                                     json_t **json, nlp_error *err) {
    bool clash;
    *json = NULL;
    *nul = false;
    char *copy = n_bytes <= NLP_JSON_TOKENIZER_BYTES ? malloc(n_bytes + 1) : NULL;
    if (!copy) return nlp_json_parse(bytes, n_bytes, NLP_JSON_TOKENIZER_BYTES, name, json, err);
    memcpy(copy, bytes, n_bytes);
    *nul = rewrite_nul(copy, n_bytes, &clash);
    nlp_status status =
        *nul && clash
            ? nlp_fail(err, NLP_EUNSUPPORTED, "%s has both U+0000 and U+FFFF in its texts", name)
            : nlp_json_parse(copy, n_bytes, NLP_JSON_TOKENIZER_BYTES, name, json, err);
    free(copy);
    return status;
}

/* ---- Members ---- */

static nlp_status wrong_type(nlp_error *err, const char *name, const char *key,
                             const char *wanted) {
    return nlp_fail(err, NLP_EINVAL, "%s: \"%s\" must be %s", name, key, wanted);
}

nlp_status nlp_json_integer(const json_t *object, const char *name, const char *key,
                            int64_t fallback, int64_t min, int64_t max, int64_t *out,
                            nlp_error *err) {
    const json_t *member = json_object_get(object, key);
    *out = fallback;
    if (!member || json_is_null(member)) return NLP_OK;
    double number = json_number_value(member);
    bool integral = json_is_real(member) && number == rint(number) && fabs(number) < 1e15;
    if (!json_is_integer(member) && !integral) return wrong_type(err, name, key, "a whole number");
    *out = integral ? (int64_t)number : json_integer_value(member);
    if (*out >= min && *out <= max) return NLP_OK;
    return nlp_fail(err, NLP_EINVAL, "%s: \"%s\" is %lld, possible are %lld to %lld", name, key,
                    (long long)*out, (long long)min, (long long)max);
}

nlp_status nlp_json_number(const json_t *object, const char *name, const char *key, double fallback,
                           double *out, nlp_error *err) {
    const json_t *member = json_object_get(object, key);
    *out = fallback;
    if (!member || json_is_null(member)) return NLP_OK;
    if (!json_is_number(member)) return wrong_type(err, name, key, "a number");
    *out = json_number_value(member);
    return NLP_OK;
}

nlp_status nlp_json_boolean(const json_t *object, const char *name, const char *key, bool fallback,
                            bool *out, nlp_error *err) {
    const json_t *member = json_object_get(object, key);
    *out = fallback;
    if (!member || json_is_null(member)) return NLP_OK;
    if (!json_is_boolean(member)) return wrong_type(err, name, key, "true or false");
    *out = json_is_true(member);
    return NLP_OK;
}

nlp_status nlp_json_text(const json_t *object, const char *name, const char *key,
                         const char *fallback, const char **out, nlp_error *err) {
    const json_t *member = json_object_get(object, key);
    *out = fallback;
    if (!member || json_is_null(member)) return NLP_OK;
    if (!json_is_string(member)) return wrong_type(err, name, key, "a text");
    *out = json_string_value(member);
    return NLP_OK;
}
