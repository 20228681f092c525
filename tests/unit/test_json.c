/* core/base/json_read: what it takes and refuses, what a tree says; beside libjansson on random texts. And
 * json_write, read back by libjansson. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json_read.h"
#include "base/json_write.h"
#include "random.h"
#include "test.h"

static nlp_mem mem;

/* The arena is the caller's to deinit. */
static const nlp_json *read_bytes(const char *bytes, size_t n, nlp_arena *arena,
                                  nlp_status expected, nlp_error *err) {
    const nlp_json *root = NULL;
    nlp_arena_init(arena, &mem);
    CHECK_STATUS(nlp_json_read((nlp_text){bytes, n}, "text", arena, &root, err), expected, err);
    return root;
}

static bool is_text(nlp_text text, const char *expected) {
    return text.n_bytes == strlen(expected) && !memcmp(text.bytes, expected, text.n_bytes);
}

static void test_tree_has_members_in_order(void) {
    static const char text[] =
        " [ {\"role\": \"user\", \"content\": \"hi\"}, {\"role\":\"a\"}, null, true, false, -1.5e3 ]\n";
    nlp_arena arena;
    nlp_error err;
    const nlp_json *root = read_bytes(text, strlen(text), &arena, NLP_OK, &err);
    CHECK(root->kind == NLP_JSON_ARRAY && root->n == 6 && root->at == 1);
    const nlp_json *m = root->first;
    CHECK(m->kind == NLP_JSON_OBJECT && m->n == 2 && m->key.n_bytes == 0);
    CHECK(is_text(m->text, "{\"role\": \"user\", \"content\": \"hi\"}"));
    CHECK(is_text(m->first->key, "role") && is_text(m->first->text, "user"));
    CHECK(is_text(nlp_json_member(m, "content")->text, "hi"));
    CHECK(nlp_json_member(m, "rol") == NULL && nlp_json_member(m, "roles") == NULL);
    m = m->next->next;
    CHECK(m->kind == NLP_JSON_NULL && m->next->kind == NLP_JSON_TRUE);
    m = m->next->next;
    CHECK(m->kind == NLP_JSON_FALSE && m->next->kind == NLP_JSON_NUMBER);
    CHECK(is_text(m->next->text, "-1.5e3") && m->next->next == NULL);
    nlp_arena_deinit(&arena);
}

static void test_strings_are_decoded(void) {
    static const char *const cases[][2] = {
        {"\"\"", ""},
        {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz"},
        {"\"\\u0041\\u00e9\\u20AC\"", "A\xC3\xA9\xE2\x82\xAC"},
        {"\"\\ud83D\\uDe00.\"", "\xF0\x9F\x98\x80."},
        {"\"\xF0\x9F\x98\x80\x7F\"", "\xF0\x9F\x98\x80\x7F"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nlp_arena arena;
        nlp_error err;
        const nlp_json *root = read_bytes(cases[i][0], strlen(cases[i][0]), &arena, NLP_OK, &err);
        CHECK(root && root->kind == NLP_JSON_STRING && is_text(root->text, cases[i][1]));
        nlp_arena_deinit(&arena);
    }
}

static void test_errors_say_where(void) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "the text is no JSON: the end instead of a value at byte 0"},
        {"  ", "the text is no JSON: the end instead of a value at byte 2"},
        {"[1,]", "the text is no JSON: no value at byte 3"},
        {"[1 2]", "the text is no JSON: neither ',' nor ']' at byte 3"},
        {"{\"a\":1", "the text is no JSON: neither ',' nor '}' at byte 6"},
        {"{\"a\":1,}", "the text is no JSON: no key at byte 7"},
        {"{a:1}", "the text is no JSON: no key at byte 1"},
        {"{\"a\" 1}", "the text is no JSON: no ':' behind a key at byte 5"},
        {"[1] x", "the text is no JSON: more than one value at byte 4"},
        {"nul", "the text is no JSON: no value at byte 0"},
        {"01", "the text is no JSON: a malformed number at byte 0"},
        {"[-]", "the text is no JSON: a malformed number at byte 1"},
        {"1.", "the text is no JSON: a malformed number at byte 0"},
        {"1e+", "the text is no JSON: a malformed number at byte 0"},
        {"+1", "the text is no JSON: no value at byte 0"},
        {"\"a", "the text is no JSON: a string without an end at byte 0"},
        {"\"a\\\"", "the text is no JSON: a string without an end at byte 0"},
        {"\"a\\", "the text is no JSON: a string without an end at byte 0"},
        {"\"a\nb\"", "the text is no JSON: a control character in a string at byte 2"},
        {"\"a\\x\"", "the text is no JSON: an unknown escape at byte 2"},
        {"\"\\u12\"", "the text is no JSON: an unknown escape at byte 1"},
        {"\"\\u0000\"", "the text is no JSON: an escaped U+0000 at byte 1"},
        {"\"\\ud800\"", "the text is no JSON: half of a surrogate pair at byte 1"},
        {"\"\\udc00\\ud800\"", "the text is no JSON: half of a surrogate pair at byte 1"},
        {"\"\\ud800\\u0041\"", "the text is no JSON: half of a surrogate pair at byte 1"},
        {"{\"a\":1,\"b\":2,\"\\u0061\":3}",
         "the text has the key of the value at byte 22 twice in an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nlp_arena arena;
        nlp_error err;
        read_bytes(cases[i].text, strlen(cases[i].text), &arena, NLP_EINVAL, &err);
        CHECK_TEXT(err.message, cases[i].message);
        nlp_arena_deinit(&arena);
    }
}

static void test_invalid_utf8_is_refused(void) {
    static const char *const cases[] = {"\"\xFF\"", "\"\xC3\"", "\"\xED\xA0\x80\"", "\"\xC0\x80\""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nlp_arena arena;
        nlp_error err;
        read_bytes(cases[i], strlen(cases[i]), &arena, NLP_EENCODING, &err);
        CHECK_TEXT(err.message, "the text is not valid UTF-8 at byte 1");
        nlp_arena_deinit(&arena);
    }
}

static void test_depth_is_bounded(void) {
    enum { MOST = 1 << 20 };
    char *text = malloc(MOST);
    nlp_arena arena;
    nlp_error err;
    memset(text, '[', MOST);
    read_bytes(text, MOST, &arena, NLP_ELIMIT, &err);
    CHECK_TEXT(err.message, "the text nests deeper than 64 levels at byte 64");
    nlp_arena_deinit(&arena);
    memset(text + NLP_JSON_MAX_DEPTH, ']', NLP_JSON_MAX_DEPTH);
    read_bytes(text, (size_t)2 * NLP_JSON_MAX_DEPTH, &arena, NLP_OK, &err);
    nlp_arena_deinit(&arena);
    free(text);
}

static void test_numbers_have_values(void) {
    static const struct {
        const char *text;
        bool whole;
        int64_t integer;
        double real;
    } cases[] = {
        {"0", true, 0, 0},
        {"-0", true, 0, 0},
        {"9223372036854775807", true, INT64_MAX, 9223372036854775807.0},
        {"-9223372036854775808", true, INT64_MIN, -9223372036854775808.0},
        {"9223372036854775808", false, 0, 9223372036854775808.0},
        {"1.5", false, 0, 1.5},
        {"-0.1", false, 0, -0.1},
        {"1e3", false, 0, 1000},
        {"25E-1", false, 0, 2.5},
        {"123456789012345", true, 123456789012345, 123456789012345.0},
        {"1e-400", false, 0, 0},
        {"0e400", false, 0, 0},
        {"1e400", false, 0, INFINITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nlp_arena arena;
        nlp_error err;
        int64_t integer = 0;
        double real = -7;
        const nlp_json *root =
            read_bytes(cases[i].text, strlen(cases[i].text), &arena, NLP_OK, &err);
        CHECK(nlp_json_to_integer(root, &integer) == cases[i].whole);
        CHECK(integer == cases[i].integer);
        CHECK(nlp_json_to_real(root, &real) && real == cases[i].real);
        nlp_arena_deinit(&arena);
    }
}

static void test_members_sort_as_in_jsonb(void) {
    static const char text[] =
        "{\"bb\":1,\"\xC3\xA9\":2,\"a\":3,\"ab\":4,\"\":5,\"b\":6,\"abc\":7}";
    static const char *const sorted[] = {"", "a", "b", "ab", "bb", "\xC3\xA9", "abc"};
    nlp_arena arena;
    nlp_error err;
    const nlp_json *root = read_bytes(text, strlen(text), &arena, NLP_OK, &err);
    const nlp_json **members = nlp_json_sorted(root, &arena);
    for (size_t i = 0; i < 7; i++) CHECK(is_text(members[i]->key, sorted[i]));
    nlp_arena_deinit(&arena);
}

/* ---- Beside libjansson ---- */

static bool same_tree(const nlp_json *a, json_t *b) {
    double real;
    size_t i;
    json_t *value;
    const nlp_json *m = a->first;
    switch (json_typeof(b)) {
    case JSON_OBJECT: {
        const char *key;
        if (a->kind != NLP_JSON_OBJECT || a->n != json_object_size(b)) return false;
        json_object_foreach(b, key, value) {
            if (!m || !is_text(m->key, key) || !same_tree(m, value)) return false;
            m = m->next;
        }
        return !m;
    }
    case JSON_ARRAY:
        if (a->kind != NLP_JSON_ARRAY || a->n != json_array_size(b)) return false;
        json_array_foreach(b, i, value) {
            if (!m || !same_tree(m, value)) return false;
            m = m->next;
        }
        return !m;
    case JSON_STRING:
        return a->kind == NLP_JSON_STRING && is_text(a->text, json_string_value(b));
    case JSON_INTEGER:
    case JSON_REAL:
        return nlp_json_to_real(a, &real) &&
               fabs(real - json_number_value(b)) <= 1e-14 * fabs(real);
    case JSON_TRUE:
        return a->kind == NLP_JSON_TRUE;
    case JSON_FALSE:
        return a->kind == NLP_JSON_FALSE;
    default:
        return a->kind == NLP_JSON_NULL;
    }
}

/* Bytes changed, doubled and taken away. */
static size_t mutate(char *text, size_t n, nlp_random *random) {
    static const char bytes[] = "{}[]\",:\\u0dD8e-+.1 \ntruefalsn\xC3\xA9";
    for (uint32_t k = random_u32(random) % 4; k > 0 && n > 1; k--) {
        size_t at = random_u32(random) % n;
        char byte = bytes[random_u32(random) % (sizeof bytes - 1)];
        uint32_t what = random_u32(random) % 3;
        if (what == 0) text[at] = byte;
        if (what == 1) memmove(text + at, text + at + 1, --n - at);
        if (what == 2) memmove(text + at + 1, text + at, n++ - at), text[at] = byte;
    }
    return n;
}

static void test_agrees_with_jansson_on_random_texts(void) {
    static const char *const seeds[] = {
        "{\"a\":[1,2.5,-3e2],\"b\":{\"c\":null},\"\\u00e9\":\"\\ud83d\\ude00\"}",
        "[true,false,null,\"\\n\\\\\",[],{},[[{}]],\"\xC3\xA9\"]",
        " {\"type\" : \"object\", \"properties\":{\"x\":{\"enum\":[\"a\",1,0.5]}}} ",
    };
    nlp_random random = {11};
    size_t n_both = 0;
    for (int i = 0; i < 30000; i++) {
        char text[160];
        const char *seed = seeds[random_u32(&random) % 3];
        memcpy(text, seed, strlen(seed));
        size_t n = mutate(text, strlen(seed), &random);
        json_error_t theirs;
        json_t *b = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &theirs);
        const nlp_json *a = NULL;
        nlp_arena arena;
        nlp_error err;
        nlp_arena_init(&arena, &mem);
        bool taken = nlp_json_read((nlp_text){text, n}, "text", &arena, &a, &err) == NLP_OK;
        bool overflow = !b && json_error_code(&theirs) == json_error_numeric_overflow;
        if (!overflow && (taken != (b != NULL) || (taken && !same_tree(a, b))))
            nlp_test_fail(__FILE__, __LINE__, "differs: %.*s", (int)n, text);
        n_both += taken;
        json_decref(b);
        nlp_arena_deinit(&arena);
    }
    CHECK(n_both > 5000 && n_both < 25000);
}

static void test_written_texts_read_back(void) {
    char text[256], json[1600];
    nlp_json_out out = {json, sizeof json, 0};
    for (int c = 0; c < 128; c++) text[c] = (char)c;
    size_t n = 128 + (size_t)snprintf(text + 128, 64, "\xC3\xA9\xF0\x9F\x98\x80");
    nlp_json_put_text(&out, (nlp_text){text, n});
    CHECK(out.n < sizeof json);
    json_t *read = json_loadb(json, out.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    CHECK(read && json_string_length(read) == n && !memcmp(json_string_value(read), text, n));
    json_decref(read);
}

static void test_written_numbers_read_back(void) {
    nlp_random random = {5};
    for (int i = 0; i < 20000; i++) {
        union {
            uint32_t bits;
            float real;
        } x = {.bits = random_u32(&random)};
        char json[40];
        nlp_json_out out = {json, sizeof json - 1, 0};
        nlp_json_put_real(&out, (double)x.real);
        json[out.n] = 0;
        if (!isfinite(x.real))
            CHECK(!strcmp(json, "null"));
        else if (strtof(json, NULL) != x.real || out.n > 16)
            nlp_test_fail(__FILE__, __LINE__, "%.9g is written as %s", (double)x.real, json);
    }
    char json[8];
    nlp_json_out out = {json, sizeof json, 0};
    nlp_json_put_real(&out, 0.25);
    CHECK(out.n == 4 && !memcmp(json, "0.25", 4));
}

static void test_what_does_not_fit_is_counted(void) {
    char json[4] = "....";
    nlp_json_out out = {json, 3, 0};
    nlp_json_put_text(&out, (nlp_text){"abcdef", 6});
    nlp_json_put_integer(&out, -12);
    CHECK(out.n == 11 && !memcmp(json, "\"ab.", 4));
    out = (nlp_json_out){NULL, 0, 0};
    nlp_json_put_text(&out, (nlp_text){"", 0});
    CHECK(out.n == 2);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"tree_has_members_in_order", test_tree_has_members_in_order},
        {"strings_are_decoded", test_strings_are_decoded},
        {"errors_say_where", test_errors_say_where},
        {"invalid_utf8_is_refused", test_invalid_utf8_is_refused},
        {"depth_is_bounded", test_depth_is_bounded},
        {"numbers_have_values", test_numbers_have_values},
        {"members_sort_as_in_jsonb", test_members_sort_as_in_jsonb},
        {"agrees_with_jansson_on_random_texts", test_agrees_with_jansson_on_random_texts},
        {"written_texts_read_back", test_written_texts_read_back},
        {"written_numbers_read_back", test_written_numbers_read_back},
        {"what_does_not_fit_is_counted", test_what_does_not_fit_is_counted},
    };
    nlp_mem_init(&mem, NULL, NULL, 0);
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
