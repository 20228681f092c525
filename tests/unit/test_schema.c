/* core/generate/schema: which texts a JSON schema lets through, which schemas are refused and why, and
 * that random texts of random schemas are valid, every one of them. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "test.h"
#include "writer.h"

static const char bytes_model[] = "sharp-llama";    /* byte-level BPE */
static const char fallback_model[] = "gemma2-caps"; /* SentencePiece with pieces of bytes */

static void check_schema(const char *schema, const char *const *taken, const char *const *refused) {
    nlp_constrained_check(nlp_constraint_open_schema, bytes_model, schema, taken, refused);
}

#define LIST(...)                                                                                  \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

/* ---- Texts ---- */

static void test_simple_types(void) {
    check_schema("{\"type\":\"null\"}", LIST("null"), LIST("", "nul", "nulll", "0"));
    check_schema("{\"type\":\"boolean\"}", LIST("true", "false"), LIST("1", "\"true\"", "True"));
    check_schema("{\"type\":\"integer\"}", LIST("0", "7", "-12", "123456789012345"),
                 LIST("01", "-", "-0", "1.0", "1e3", "1234567890123456", " 1"));
    check_schema("{\"type\":\"number\"}", LIST("0", "-0.5", "12.25", "1.123456789012345"),
                 LIST(".5", "1.", "+1", "1e3", "1.1234567890123456", "00.5"));
    check_schema("{\"type\":[\"string\",\"null\"]}", LIST("null", "\"a\""), LIST("0", "nulla"));
    check_schema("{}", LIST("null", "[1, {\"a\":[]}]", "{\"b\": \"c\",\"b\":{}}", "-1.5"),
                 LIST("[1,]", "{a:1}", "[1 ,2]", "{\"a\" :1}", "[ 1]"));
    check_schema("true", LIST("null"), LIST("nul"));
}

static void test_strings(void) {
    check_schema("{\"type\":\"string\"}",
                 LIST("\"\"", "\"a b\"", "\"\\\"\\\\\\n\"", "\"caf\xC3\xA9 \xF0\x9F\x98\x80\""),
                 LIST("\"", "\"a\"b\"", "\"\n\"", "\"\\u0041\"", "\"\\/\"", "\"\xC3\"", "\"\x7F\"",
                      "\"\xC2\x85\""));
    check_schema("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
                 LIST("\"ab\"", "\"\xC3\xA9\xE2\x82\xAC\"", "\"\\n\\n\\n\""),
                 LIST("\"a\"", "\"\xF0\x9F\x98\x80\"", "\"abcd\""));
    check_schema("{\"maxLength\":0}", LIST("\"\""), LIST("\"a\"", "0"));
}

static void test_values(void) {
    check_schema(
        "{\"enum\":[\"a\",\"ab\",1,1.50,null,[true,{\"x\":\"y\"}],\"\\u00e9\\u0001/\\\"\"]}",
        LIST("\"a\"", "\"ab\"", "1", "1.50", "null", "[true,{\"x\":\"y\"}]",
             "\"\xC3\xA9\\u0001/\\\"\""),
        LIST("\"b\"", "1.5", "[true, {\"x\":\"y\"}]", "2"));
    check_schema("{\"const\":{}}", LIST("{}"), LIST("[]"));
    check_schema("{\"type\":[\"integer\",\"null\"],\"enum\":[\"a\",1,2.5,null]}", LIST("1", "null"),
                 LIST("\"a\"", "2.5"));
    check_schema("{\"anyOf\":[{\"type\":\"integer\"},{\"const\":\"none\"}]}", LIST("5", "\"none\""),
                 LIST("\"5\"", "none"));
    check_schema("{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", LIST("5", "5.5"),
                 LIST("true"));
}

static void test_arrays(void) {
    check_schema("{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}",
                 LIST("[]", "[1]", "[1,2]", "[1, 2,3]"),
                 LIST("[1,]", "[,1]", "[1,  2]", "[\"a\"]"));
    check_schema("{\"items\":{\"const\":1},\"minItems\":2,\"maxItems\":3}",
                 LIST("[1,1]", "[1, 1, 1]"), LIST("[]", "[1]", "[1,1,1,1]"));
    check_schema("{\"type\":\"array\",\"minItems\":1}", LIST("[null]", "[[],{}]"), LIST("[]"));
    check_schema("{\"type\":\"array\",\"maxItems\":0}", LIST("[]"), LIST("[1]"));
    check_schema("{\"items\":{\"const\":1},\"minItems\":1,\"maxItems\":1}", LIST("[1]"),
                 LIST("[]", "[1,1]"));
}

/* Required properties in the order of "required", the others as jsonb would have them. */
static void test_objects(void) {
    check_schema("{\"type\":\"object\"}", LIST("{}"), LIST("{\"a\":1}", "{ }"));
    check_schema("{\"properties\":{\"bb\":{\"const\":1},\"c\":{\"const\":2},\"a\":{\"const\":3}},"
                 "\"required\":[\"c\",\"bb\",\"c\"],\"additionalProperties\":false}",
                 LIST("{\"c\":2,\"bb\":1}", "{\"c\": 2, \"bb\": 1, \"a\": 3}"),
                 LIST("{}", "{\"bb\":1,\"c\":2}", "{\"c\":2}", "{\"c\":2,\"a\":3,\"bb\":1}",
                      "{\"c\":2,\"bb\":1,}"));
    check_schema("{\"properties\":{\"bb\":{\"const\":1},\"c\":{\"const\":2},\"a\":{\"const\":3}}}",
                 LIST("{}", "{\"a\":3}", "{\"c\":2}", "{\"bb\":1}", "{\"a\":3,\"c\":2}",
                      "{\"a\":3, \"bb\":1}", "{\"c\":2,\"bb\":1}", "{\"a\":3,\"c\":2,\"bb\":1}"),
                 LIST("{,\"a\":3}", "{\"c\":2,\"a\":3}", "{\"a\":3,\"a\":3}", "{\"a\":3,}"));
    check_schema(
        "{\"properties\":{\"a\\\"\\u00e9\":{\"const\":1}},\"required\":[\"a\\\"\xC3\xA9\"]}",
        LIST("{\"a\\\"\xC3\xA9\":1}"), LIST("{\"a\\\"\\u00e9\":1}"));
}

static void test_definitions_and_descriptions(void) {
    check_schema(
        "{\"$schema\":\"x\",\"title\":\"t\",\"description\":\"d\",\"default\":{},\"examples\":[],"
        "\"$defs\":{\"a/b~\":{\"const\":1},\"unused\":{\"pattern\":\"x\"}},"
        "\"definitions\":{\"two\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/a~1b~0\"}}},"
        "\"properties\":{\"x\":{\"$ref\":\"#/definitions/two\"},"
        "\"y\":{\"$ref\":\"#/definitions/two\",\"description\":\"again\"}},"
        "\"required\":[\"x\",\"y\"]}",
        LIST("{\"x\":[1,1],\"y\":[]}"), LIST("{\"x\":[2],\"y\":[]}", "{\"x\":[1]}"));
}

/* ---- Refusals ---- */

static void test_errors_name_the_keyword(void) {
    static const struct {
        const char *schema, *message;
        nlp_status status;
    } cases[] = {
        {"{", "the schema is no JSON: no key at byte 1", NLP_EINVAL},
        {"{\"type\":\"string\",\"type\":\"null\"}",
         "the schema has the key of the value at byte 24 twice in an object", NLP_EINVAL},
        {"{\"type\":\"string\",\"pattern\":\"^a\"}",
         "the schema's \"pattern\" at byte 27 is a keyword that is not supported", NLP_EINVAL},
        {"{\"properties\":{\"a\":{\"minimum\":0}}}",
         "the schema's \"minimum\" at byte 30 is a keyword that is not supported", NLP_EINVAL},
        {"{\"patternProperties\":{}}",
         "the schema's \"patternProperties\" at byte 21 is a keyword that is not supported",
         NLP_EINVAL},
        {"{\"type\":\"text\"}", "the schema's \"text\" at byte 8 is no type", NLP_EINVAL},
        {"{\"type\":[]}", "the schema's \"type\" at byte 8 has no member", NLP_EINVAL},
        {"{\"enum\":[]}", "the schema's \"enum\" at byte 8 has no value that is possible",
         NLP_EINVAL},
        {"{\"enum\":1}", "the schema's \"enum\" at byte 8 is no list", NLP_EINVAL},
        {"{\"type\":\"null\",\"enum\":[1]}",
         "the schema's \"enum\" at byte 22 has no value that is possible", NLP_EINVAL},
        {"{\"type\":\"null\",\"const\":1}",
         "the schema's \"const\" at byte 23 has no value that is possible", NLP_EINVAL},
        {"{\"anyOf\":[]}", "the schema's \"anyOf\" at byte 9 is no list of schemas", NLP_EINVAL},
        {"{\"anyOf\":[{}],\"type\":\"null\"}",
         "the schema's \"type\" beside \"anyOf\" at byte 0 is not supported", NLP_EINVAL},
        {"{\"const\":1,\"minLength\":1}",
         "the schema's \"minLength\" beside \"const\" at byte 0 is not supported", NLP_EINVAL},
        {"{\"minItems\":3,\"maxItems\":2}",
         "the schema's \"minItems\" 3 at byte 12 is above its \"maxItems\" 2", NLP_EINVAL},
        {"{\"minLength\":-1}", "the schema's \"minLength\" at byte 13 is no whole number from 0",
         NLP_EINVAL},
        {"{\"additionalProperties\":{\"type\":\"null\"}}",
         "the schema's \"additionalProperties\" at byte 24 is not supported but as false",
         NLP_EINVAL},
        {"{\"properties\":{\"a\":{}},\"required\":[\"b\"]}",
         "the schema's \"b\" at byte 35 is required, but not among the properties", NLP_EINVAL},
        {"{\"properties\":[]}", "the schema's \"properties\" at byte 14 is no object", NLP_EINVAL},
        {"{\"items\":[]}", "the schema's part at byte 9 is no schema", NLP_EINVAL},
        {"{\"items\":false}", "the schema's part at byte 9 is false, which nothing is valid for",
         NLP_EINVAL},
        {"[]", "the schema's value at byte 0 is no schema", NLP_EINVAL},
        {"{\"$ref\":\"#/$defs/a\"}",
         "the schema's \"$ref\" at byte 8 names none of the schema's own \"$defs\"", NLP_EINVAL},
        {"{\"items\":{\"$ref\":\"#\"}}",
         "the schema's \"$ref\" at byte 17 is recursive, which is not supported", NLP_EINVAL},
        {"{\"$defs\":{\"a\":{\"items\":{\"$ref\":\"#/$defs/b\"}},\"b\":{\"$ref\":\"#/$defs/a\"}},"
         "\"$ref\":\"#/$defs/a\"}",
         "the schema's \"$ref\" at byte 57 is recursive, which is not supported", NLP_EINVAL},
        {"{\"minLength\":70000}", "the schema never ends, or only after more than 65536 bytes",
         NLP_EINVAL},
        {"{\"maxLength\":900000}", "the schema is too large: it needs more than 1048576 states",
         NLP_ELIMIT},
        {"\"\xFF\"", "the schema is not valid UTF-8 at byte 1", NLP_EENCODING},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nlp_text schema = {cases[i].schema, strlen(cases[i].schema)};
        nlp_error err;
        nlp_constrained_refuses(nlp_constraint_open_schema, bytes_model, schema, cases[i].status,
                                &err);
        CHECK_TEXT(err.message, cases[i].message);
    }
}

static void check_hostile(const char *text, size_t n, nlp_status expected) {
    nlp_error err;
    nlp_constrained_refuses(nlp_constraint_open_schema, bytes_model, (nlp_text){text, n}, expected,
                            &err);
}

static void test_hostile_schemas_end_in_time(void) {
    enum { MOST = 1 << 20 };
    char *text = malloc(MOST + 64);
    size_t n = 0;
    while (n + 9 < MOST) memcpy(text + n, "{\"items\":", 9), n += 9;
    check_hostile(text, n, NLP_ELIMIT);
    n = (size_t)sprintf(text, "{\"enum\":[0");
    for (int i = 1; n + 16 < MOST; i++) n += (size_t)sprintf(text + n, ",\"%x\"", i);
    n += (size_t)sprintf(text + n, "]}");
    check_hostile(text, n, NLP_OK);
    n = (size_t)sprintf(text, "{\"properties\":{\"0\":{}");
    for (int i = 1; n + 24 < MOST; i++) n += (size_t)sprintf(text + n, ",\"%x\":{}", i);
    n += (size_t)sprintf(text + n, "}}");
    check_hostile(text, n, NLP_ELIMIT);
    n = (size_t)sprintf(text, "{\"anyOf\":[{}");
    while (n + 8 < MOST) n += (size_t)sprintf(text + n, ",{}");
    n += (size_t)sprintf(text + n, "]}");
    check_hostile(text, n, NLP_ELIMIT);
    n = (size_t)sprintf(text, "{\"$defs\":{\"d0\":{\"type\":\"null\"}");
    for (int i = 1; i < 45; i++) /* each twice the one before */
        n += (size_t)sprintf(
            text + n,
            ",\"d%d\":{\"minItems\":2,\"maxItems\":2,\"items\":{\"$ref\":\"#/$defs/d%d\"}}", i,
            i - 1);
    n += (size_t)sprintf(text + n, "},\"$ref\":\"#/$defs/d44\"}");
    check_hostile(text, n, NLP_EINVAL);
    n = (size_t)sprintf(text, "{\"$defs\":{\"d0\":{\"type\":\"null\"}");
    for (int i = 1; i < 5000; i++)
        n += (size_t)sprintf(text + n, ",\"d%d\":{\"$ref\":\"#/$defs/d%d\"}", i, i - 1);
    n += (size_t)sprintf(text + n, "},\"$ref\":\"#/$defs/d4999\"}");
    check_hostile(text, n, NLP_ELIMIT);
    memset(text, ' ', MOST + 1);
    check_hostile(text, MOST + 1, NLP_ELIMIT);
    free(text);
}

/* An object as large as is taken, none of its properties required. */
static void test_largest_object_can_be_written(void) {
    char *text = malloc(64 << 10);
    size_t n = (size_t)sprintf(text, "{\"properties\":{\"0\":{\"const\":0}");
    for (int i = 1; i < 1000; i++) n += (size_t)sprintf(text + n, ",\"%x\":{\"const\":0}", i);
    n += (size_t)sprintf(text + n, "}}");
    check_schema(text, LIST("{}", "{\"1\":0,\"c\":0,\"10\":0,\"3e7\":0}", "{\"3e7\":0}"),
                 LIST("{\"3e8\":0}", "{\"10\":0,\"1\":0}"));
    free(text);
}

/* ---- Random schemas ---- */

static json_t *random_schema(nlp_random *random, int depth);

static void random_limits(json_t *schema, nlp_random *random, const char *min, const char *max) {
    uint32_t low = random_u32(random) % 4;
    if (random_u32(random) % 2) json_object_set_new(schema, min, json_integer(low));
    if (random_u32(random) % 2)
        json_object_set_new(schema, max, json_integer(low + random_u32(random) % 4));
}

static json_t *random_value(nlp_random *random) {
    switch (random_u32(random) % 6) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(random_u32(random) % 2);
    case 2:
        return json_integer((json_int_t)(random_u32(random) % 2000) - 1000);
    case 3:
        return json_pack("[s, {s: i}]", "x\"\\\n\x01", "k\xC3\xA9", random_u32(random) % 9);
    case 4:
        return json_real((double)(random_u32(random) % 64) / 8 + 0.0625);
    default:
        return json_sprintf("value %u \xE2\x82\xAC", random_u32(random) % 50);
    }
}

static json_t *random_enum(nlp_random *random) {
    json_t *values = json_array();
    for (uint32_t i = 1 + random_u32(random) % 5; i > 0; i--)
        json_array_append_new(values, random_value(random));
    return json_pack("{s: o}", "enum", values);
}

static json_t *random_object(nlp_random *random, int depth) {
    static const char *const names[] = {"id", "name", "x", "caf\xC3\xA9", "a \"b\"", "items", "y"};
    json_t *properties = json_object(), *required = json_array();
    json_t *schema = json_pack("{s: s, s: o}", "type", "object", "properties", properties);
    for (uint32_t i = random_u32(random) % 5; i > 0; i--) {
        const char *name = names[random_u32(random) % 7];
        if (json_object_get(properties, name)) continue;
        json_object_set_new(properties, name, random_schema(random, depth - 1));
        if (random_u32(random) % 2) json_array_append_new(required, json_string(name));
    }
    json_object_set_new(schema, "required", required);
    if (random_u32(random) % 2) json_object_set_new(schema, "additionalProperties", json_false());
    return schema;
}

static json_t *random_any_of(nlp_random *random, int depth) {
    json_t *list = json_array();
    for (uint32_t i = 1 + random_u32(random) % 3; i > 0; i--)
        json_array_append_new(list, random_schema(random, depth - 1));
    return json_pack("{s: o}", random_u32(random) % 2 ? "anyOf" : "oneOf", list);
}

static json_t *random_leaf(nlp_random *random) {
    static const char *const types[] = {"null", "boolean", "integer", "number"};
    uint32_t kind = random_u32(random) % 8;
    if (kind < 4) return json_pack("{s: s}", "type", types[kind]);
    if (kind == 4) return json_pack("{s: o}", "const", random_value(random));
    if (kind == 5) return random_enum(random);
    json_t *schema = json_pack("{s: s}", "type", "string");
    random_limits(schema, random, "minLength", "maxLength");
    if (kind == 7) json_object_set_new(schema, "type", json_pack("[s, s]", "string", "null"));
    return schema;
}

static json_t *random_schema(nlp_random *random, int depth) {
    uint32_t kind = random_u32(random) % 8;
    if (!depth || kind < 2) return random_leaf(random);
    if (kind < 4) return random_object(random, depth);
    if (kind == 4) return random_any_of(random, depth);
    if (kind == 5)
        return json_pack("{s: s}", "$ref", random_u32(random) % 2 ? "#/$defs/d0" : "#/$defs/d1");
    if (kind == 6 && random_u32(random) % 4 == 0) return json_object();
    json_t *schema =
        json_pack("{s: s, s: o}", "type", "array", "items", random_schema(random, depth - 1));
    random_limits(schema, random, "minItems", "maxItems");
    return schema;
}

static json_t *random_root(nlp_random *random) {
    json_t *root = random_object(random, 4);
    json_object_set_new(
        root, "$defs",
        json_pack("{s: o, s: o}", "d0", random_leaf(random), "d1", random_leaf(random)));
    json_object_set_new(root, "title", json_string("made at random"));
    return root;
}

/* ---- A validator of its own ---- */

static bool is_valid(json_t *root, json_t *schema, json_t *value);

static bool has_type(const char *type, json_t *value) {
    if (!strcmp(type, "null")) return json_is_null(value);
    if (!strcmp(type, "boolean")) return json_is_boolean(value);
    if (!strcmp(type, "integer")) return json_is_integer(value);
    if (!strcmp(type, "number")) return json_is_number(value);
    if (!strcmp(type, "string")) return json_is_string(value);
    return !strcmp(type, "array") ? json_is_array(value) : json_is_object(value);
}

static bool has_types(json_t *type, json_t *value) {
    size_t i;
    json_t *one;
    if (!type) return true;
    if (json_is_string(type)) return has_type(json_string_value(type), value);
    json_array_foreach(type, i, one) if (has_type(json_string_value(one), value)) return true;
    return false;
}

static bool in_limits(json_t *schema, const char *min, const char *max, size_t n) {
    json_t *low = json_object_get(schema, min), *high = json_object_get(schema, max);
    return (!low || n >= (size_t)json_integer_value(low)) &&
           (!high || n <= (size_t)json_integer_value(high));
}

static bool is_valid_array(json_t *root, json_t *schema, json_t *value) {
    json_t *items = json_object_get(schema, "items"), *item;
    size_t i;
    if (!in_limits(schema, "minItems", "maxItems", json_array_size(value))) return false;
    json_array_foreach(value, i, item) if (items && !is_valid(root, items, item)) return false;
    return true;
}

static bool is_valid_object(json_t *root, json_t *schema, json_t *value) {
    json_t *properties = json_object_get(schema, "properties"), *member, *name;
    const char *key;
    size_t i;
    json_object_foreach(value, key, member) {
        json_t *part = json_object_get(properties, key);
        if (!part || !is_valid(root, part, member)) return false;
    }
    json_array_foreach(json_object_get(schema, "required"), i,
                       name) if (!json_object_get(value, json_string_value(name))) return false;
    return true;
}

static bool is_one_of(json_t *values, json_t *value) {
    size_t i;
    json_t *one;
    json_array_foreach(values, i, one) if (json_equal(one, value)) return true;
    return false;
}

static bool is_valid_any(json_t *root, json_t *list, json_t *value) {
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) if (is_valid(root, one, value)) return true;
    return false;
}

static bool is_valid(json_t *root, json_t *schema, json_t *value) {
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    json_t *values = json_object_get(schema, "enum"), *one = json_object_get(schema, "const");
    json_t *any = json_object_get(schema, "anyOf");
    if (ref) return is_valid(root, json_object_get(json_object_get(root, "$defs"), ref + 8), value);
    if (!any) any = json_object_get(schema, "oneOf");
    if (any) return is_valid_any(root, any, value);
    if (values && !is_one_of(values, value)) return false;
    if (one && !json_equal(one, value)) return false;
    if (!has_types(json_object_get(schema, "type"), value)) return false;
    if (json_is_array(value)) return is_valid_array(root, schema, value);
    if (json_is_string(value))
        return in_limits(schema, "minLength", "maxLength",
                         nlp_utf8_length(json_string_value(value), json_string_length(value)));
    return !json_is_object(value) || !json_object_get(schema, "properties") ||
           is_valid_object(root, schema, value);
}

static void test_validator_finds_faults(void) {
    json_t *schema =
        json_loads("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":"
                   "{\"enum\":[1,\"x\"]},\"maxItems\":2},\"b\":{\"minLength\":2}},"
                   "\"required\":[\"a\"]}",
                   0, NULL);
    static const char *const bad[] = {"{}",
                                      "[]",
                                      "{\"a\":[2]}",
                                      "{\"a\":[1,1,1]}",
                                      "{\"a\":[],\"c\":1}",
                                      "{\"a\":[],\"b\":\"\xC3\xA9\"}"};
    json_t *good = json_loads("{\"a\":[1,\"x\"],\"b\":\"yz\"}", 0, NULL);
    CHECK(is_valid(schema, schema, good));
    for (size_t i = 0; i < 6; i++) {
        json_t *value = json_loads(bad[i], 0, NULL);
        CHECK(value && !is_valid(schema, schema, value));
        json_decref(value);
    }
    json_decref(good);
    json_decref(schema);
}

/* ---- Random texts of random schemas ---- */

/* As a decoder shows it to the user. */
static bool check_text(const nlp_test_writing *w, const char *model, json_t *schema) {
    json_error_t at;
    char *text = nlp_test_decoded(model, w->ids, w->n);
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &at);
    size_t most = w->max_tokens > w->n_least ? w->max_tokens : w->n_least;
    bool valid = value && is_valid(schema, schema, value) && w->n <= most;
    if (!valid) {
        char *shown = json_dumps(schema, JSON_COMPACT);
        nlp_test_fail(__FILE__, __LINE__, "%zu of %zu tokens: %s (%s) under %s", w->n, most, text,
                      value ? "invalid" : at.text, shown);
        free(shown);
    }
    json_decref(value);
    free(text);
    return valid;
}

static void write_texts(json_t *schema, const char *model, nlp_random *random, size_t *n_valid,
                        size_t *n_full) {
    static int32_t ids[NLP_CONSTRAINT_MAX_CLOSING];
    static const size_t budgets[] = {1, 8, 40, 200};
    char *text = json_dumps(schema, JSON_COMPACT);
    nlp_constrained c;
    nlp_error err;
    nlp_text given = {text, strlen(text)};
    CHECK_STATUS(nlp_constrained_open(&c, nlp_constraint_open_schema, model, given, &err), NLP_OK,
                 &err);
    for (size_t i = 0; c.work && i < 4; i++) {
        nlp_test_writing w = {.vocabulary = c.vocabulary,
                              .constraint = c.constraint,
                              .work = c.work,
                              .random = random,
                              .max_tokens = budgets[i],
                              .alone = true,
                              .ids = ids};
        nlp_test_write(&w);
        *n_valid += check_text(&w, model, schema);
        *n_full += w.n > w.n_least;
    }
    nlp_arena_deinit(&c.arena);
    free(text);
}

static void test_random_texts_are_valid(void) {
    enum { N_SCHEMAS = 400 };
    nlp_random random = {2024};
    size_t n_valid = 0, n_full = 0;
    for (int i = 0; i < N_SCHEMAS; i++) {
        json_t *schema = random_root(&random);
        write_texts(schema, i % 2 ? bytes_model : fallback_model, &random, &n_valid, &n_full);
        json_decref(schema);
    }
    CHECK(n_valid == 4 * N_SCHEMAS);
    CHECK(n_full > N_SCHEMAS); /* longer ones than the shortest too */
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"simple_types", test_simple_types},
        {"strings", test_strings},
        {"values", test_values},
        {"arrays", test_arrays},
        {"objects", test_objects},
        {"definitions_and_descriptions", test_definitions_and_descriptions},
        {"errors_name_the_keyword", test_errors_name_the_keyword},
        {"hostile_schemas_end_in_time", test_hostile_schemas_end_in_time},
        {"largest_object_can_be_written", test_largest_object_can_be_written},
        {"validator_finds_faults", test_validator_finds_faults},
        {"random_texts_are_valid", test_random_texts_are_valid},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
