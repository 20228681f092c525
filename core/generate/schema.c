/* schema.c: a JSON schema to rules. Each part becomes one rule, a definition once however often it is
 * referred to. What the text looks like is fixed, so that the model has little to choose:
 *
 *     - no white space but at most one blank behind each ':' and ','
 *     - properties: the required ones in the order of "required", then the others by the length of
 *       their names, then by bytes (jsonb's order, which it gives its own keys)
 *     - no other properties; characters as themselves, escaped only where JSON needs it or by a letter
 *     - whole numbers up to 15 digits, up to 15 more behind the point, no exponent
 *
 * Keywords that would be passed over are refused by name, all but those that only describe. */
#include <string.h>

#include "base/buf.h"
#include "base/json_read.h"
#include "base/utf8.h"
#include "generate/grammar.h"

enum { MAX_PROPERTIES = 1000, MAX_DEPTH = 100 /* levels, those of definitions included */ };

/* "/" is written as itself; "\u" is not needed where characters are. */
static const char builtins[] =
    "char    ::= [^\"\\\\\\x01-\\x1F\\x7F-\\x9F] | \"\\\\\" [\"\\\\bfnrt]\n"
    "string  ::= \"\\\"\" char* \"\\\"\"\n"
    "integer ::= \"0\" | \"-\"? [1-9] [0-9]{0,14}\n"
    "number  ::= \"-\"? (\"0\" | [1-9] [0-9]{0,14}) (\".\" [0-9]{1,15})?\n"
    "boolean ::= \"true\" | \"false\"\n"
    "null    ::= \"null\"\n"
    "colon   ::= \":\" \" \"?\n"
    "comma   ::= \",\" \" \"?\n"
    "array   ::= \"[\" (any (comma any)*)? \"]\"\n"
    "object  ::= \"{\" (string colon any (comma string colon any)*)? \"}\"\n"
    "any     ::= string | number | boolean | null | array | object\n";

enum { CHAR, STRING, INTEGER, NUMBER, BOOLEAN, NULL_VALUE, COLON, COMMA, ARRAY, ANY, N_BUILTINS };
static const char *const builtin_names[N_BUILTINS] = {
    "char", "string", "integer", "number", "boolean", "null", "colon", "comma", "array", "any"};

typedef enum keyword {
    KEY_TYPE,
    KEY_ENUM,
    KEY_CONST,
    KEY_REF,
    KEY_ANY_OF,
    KEY_ONE_OF,
    KEY_PROPERTIES,
    KEY_REQUIRED,
    KEY_ADDITIONAL,
    KEY_ITEMS,
    KEY_MIN_ITEMS,
    KEY_MAX_ITEMS,
    KEY_MIN_LENGTH,
    KEY_MAX_LENGTH,
    N_KEYWORDS
} keyword;
static const char *const keywords[N_KEYWORDS] = {"type",       "enum",     "const",
                                                 "$ref",       "anyOf",    "oneOf",
                                                 "properties", "required", "additionalProperties",
                                                 "items",      "minItems", "maxItems",
                                                 "minLength",  "maxLength"};
static const char *const described[] = {"title",    "description", "$schema",    "default",
                                        "examples", "$defs",       "definitions"};

/* The bits of a type list; "number" takes whole numbers too. */
static const char *const type_names[] = {"null",   "boolean", "integer", "number",
                                         "string", "array",   "object"};
enum { N_TYPES = 7, IS_ARRAY = 1 << 5, IS_OBJECT = 1 << 6, IS_STRING = 1 << 4 };

typedef struct definition {
    nlp_text name;
    const nlp_json *schema;
    grammar_rule *rule;
    bool open; /* is being made */
    struct definition *next;
} definition;

typedef struct schema {
    grammar *g;
    const nlp_json *root;
    grammar_rule *builtin[N_BUILTINS];
    definition *definitions;
    size_t depth;
} schema;

typedef struct parts { /* the keywords of one schema */
    const nlp_json *at;
    const nlp_json *key[N_KEYWORDS];
} parts;

static nlp_status make_rule(schema *s, const nlp_json *json, grammar_rule **rule);

/* ---- Messages ---- */

/* As much of a word of the schema as a message shows: whole characters. */
static int shown(nlp_text text) {
    size_t n = 0;
    for (uint32_t code; n < text.n_bytes && n < 40;)
        n += nlp_utf8_decode(text.bytes + n, text.n_bytes - n, &code);
    return (int)n;
}

static nlp_status refuse(const schema *s, const nlp_json *json, const char *what) {
    return nlp_fail(s->g->err, NLP_EINVAL, "the schema's %s at byte %zu %s",
                    json->key.n_bytes ? "part" : "value", json->at, what);
}

static nlp_status refuse_word(const schema *s, size_t at, nlp_text word, const char *what) {
    return nlp_fail(s->g->err, NLP_EINVAL, "the schema's \"%.*s\" at byte %zu %s", shown(word),
                    word.bytes, at, what);
}

static nlp_status refuse_key(const schema *s, const nlp_json *json, const char *what) {
    return refuse_word(s, json->at, json->key, what);
}

/* ---- Expressions ---- */

static bool same(nlp_text text, const char *word) {
    return text.n_bytes == strlen(word) && !memcmp(text.bytes, word, text.n_bytes);
}

static grammar_expression *literal(schema *s, const char *text) {
    return grammar_literal(s->g, (nlp_text){text, strlen(text)});
}

static grammar_expression *builtin(schema *s, int which) {
    return grammar_call(s->g, s->builtin[which]);
}

/* A rule of no line: its part of the schema is named by the offset instead. */
static nlp_status new_rule(schema *s, grammar_expression *body, grammar_rule **rule) {
    NLP_TRY(nlp_arena_status(s->g->arena, s->g->err));
    NLP_TRY(grammar_rule_new(s->g, (nlp_text){"", 0}, 0, rule));
    (*rule)->body = body;
    return NLP_OK;
}

/* ---- Values as they stand: enum and const ---- */

static void write_string(nlp_buf *out, nlp_text text) {
    static const char letters[] = "\"\\\b\f\n\r\t", escapes[] = "\"\\bfnrt";
    static const char digits[] = "0123456789abcdef";
    nlp_buf_push_u8(out, '"');
    for (size_t i = 0; i < text.n_bytes; i++) {
        char c = text.bytes[i];
        const char *letter = memchr(letters, c, sizeof letters - 1);
        if (!letter && (uint8_t)c >= 0x20) {
            nlp_buf_push(out, &c, 1);
        } else if (letter) {
            nlp_buf_push_u8(out, '\\');
            nlp_buf_push(out, &escapes[letter - letters], 1);
        } else {
            nlp_buf_push(out, "\\u00", 4);
            nlp_buf_push(out, &digits[c >> 4], 1);
            nlp_buf_push(out, &digits[c & 15], 1);
        }
    }
    nlp_buf_push_u8(out, '"');
}

/* Compact; numbers as they were written. Recursion: the reader bounds the depth. */
static void write_value(nlp_buf *out, const nlp_json *json) {
    bool object = json->kind == NLP_JSON_OBJECT;
    if (json->kind == NLP_JSON_STRING) {
        write_string(out, json->text);
    } else if (!object && json->kind != NLP_JSON_ARRAY) {
        nlp_buf_push(out, json->text.bytes, json->text.n_bytes);
    } else {
        nlp_buf_push_u8(out, object ? '{' : '[');
        for (const nlp_json *m = json->first; m; m = m->next) {
            if (m != json->first) nlp_buf_push_u8(out, ',');
            if (object) write_string(out, m->key), nlp_buf_push_u8(out, ':');
            write_value(out, m);
        }
        nlp_buf_push_u8(out, object ? '}' : ']');
    }
}

static grammar_expression *value_literal(schema *s, const nlp_json *json, bool key) {
    nlp_buf out;
    nlp_buf_init(&out, s->g->arena->mem);
    if (key)
        write_string(&out, json->text);
    else
        write_value(&out, json);
    nlp_text text = {NULL, out.n_bytes};
    if (out.failed_bytes)
        s->g->arena->failed_bytes = out.failed_bytes;
    else
        text.bytes = nlp_arena_text(s->g->arena, (const char *)out.bytes, out.n_bytes);
    nlp_buf_deinit(&out);
    return grammar_literal(s->g, text);
}

static bool is_whole(nlp_text number) {
    return !memchr(number.bytes, '.', number.n_bytes) &&
           !memchr(number.bytes, 'e', number.n_bytes) && !memchr(number.bytes, 'E', number.n_bytes);
}

static bool has_type(const nlp_json *json, uint32_t types) {
    static const uint8_t bits[] = {
        [NLP_JSON_NULL] = 1,    [NLP_JSON_FALSE] = 2,  [NLP_JSON_TRUE] = 2,   [NLP_JSON_NUMBER] = 8,
        [NLP_JSON_STRING] = 16, [NLP_JSON_ARRAY] = 32, [NLP_JSON_OBJECT] = 64};
    uint32_t bit = bits[json->kind];
    if (json->kind == NLP_JSON_NUMBER && is_whole(json->text)) bit |= 4;
    return types & bit;
}

/* ---- Types ---- */

static nlp_status add_type(const schema *s, const nlp_json *json, uint32_t *types) {
    for (uint32_t i = 0; json->kind == NLP_JSON_STRING && i < N_TYPES; i++)
        if (same(json->text, type_names[i])) {
            *types |= 1u << i;
            return NLP_OK;
        }
    if (json->kind == NLP_JSON_STRING) return refuse_word(s, json->at, json->text, "is no type");
    return refuse(s, json, "is no type");
}

/* *types 0: none is named. */
static nlp_status read_types(const schema *s, const nlp_json *type, uint32_t *types) {
    *types = 0;
    if (!type) return NLP_OK;
    if (type->kind != NLP_JSON_ARRAY) return add_type(s, type, types);
    for (const nlp_json *m = type->first; m; m = m->next) NLP_TRY(add_type(s, m, types));
    return type->n ? NLP_OK : refuse_key(s, type, "has no member");
}

static nlp_status make_values(schema *s, const parts *p, uint32_t types, grammar_expression **out) {
    const nlp_json *list = p->key[KEY_ENUM], *one = p->key[KEY_CONST];
    *out = grammar_new(s->g, GRAMMAR_CHOICE);
    uint32_t n = 0;
    if (one) n += has_type(one, types), grammar_add(*out, value_literal(s, one, false));
    if (list && list->kind != NLP_JSON_ARRAY) return refuse_key(s, list, "is no list");
    for (const nlp_json *m = list ? list->first : NULL; m; m = m->next) {
        if (!has_type(m, types)) continue;
        grammar_add(*out, value_literal(s, m, false));
        n++;
    }
    if (!n) return refuse_key(s, list ? list : one, "has no value that is possible");
    return NLP_OK;
}

static nlp_status make_any_of(schema *s, const nlp_json *list, grammar_expression **out) {
    *out = grammar_new(s->g, GRAMMAR_CHOICE);
    if (list->kind != NLP_JSON_ARRAY || !list->n)
        return refuse_key(s, list, "is no list of schemas");
    for (const nlp_json *m = list->first; m; m = m->next) {
        grammar_rule *rule;
        NLP_TRY(make_rule(s, m, &rule));
        grammar_add(*out, grammar_call(s->g, rule));
    }
    return NLP_OK;
}

/* ---- Limits ---- */

static nlp_status read_limit(const schema *s, const nlp_json *json, uint32_t *limit) {
    int64_t value;
    if (!json) return NLP_OK;
    if (!nlp_json_to_integer(json, &value) || value < 0)
        return refuse_key(s, json, "is no whole number from 0");
    *limit = value < GRAMMAR_NO_LIMIT ? (uint32_t)value : GRAMMAR_NO_LIMIT - 1;
    return NLP_OK;
}

static nlp_status read_limits(const schema *s, const parts *p, keyword min_key, uint32_t *min,
                              uint32_t *max) {
    *min = 0, *max = GRAMMAR_NO_LIMIT;
    NLP_TRY(read_limit(s, p->key[min_key], min));
    NLP_TRY(read_limit(s, p->key[min_key + 1], max));
    if (*min <= *max) return NLP_OK;
    return nlp_fail(s->g->err, NLP_EINVAL,
                    "the schema's \"%s\" %u at byte %zu is above its \"%s\" %u", keywords[min_key],
                    *min, p->key[min_key]->at, keywords[min_key + 1], *max);
}

static nlp_status make_string(schema *s, const parts *p, grammar_expression **out) {
    uint32_t min, max;
    NLP_TRY(read_limits(s, p, KEY_MIN_LENGTH, &min, &max));
    *out = grammar_new(s->g, GRAMMAR_SEQUENCE);
    grammar_add(*out, literal(s, "\""));
    grammar_add(*out, grammar_repeat(s->g, builtin(s, CHAR), min, max));
    grammar_add(*out, literal(s, "\""));
    return NLP_OK;
}

/* item (comma item){min - 1, max - 1}, all of it optional where min is 0 */
static grammar_expression *item_list(schema *s, grammar_rule *item, uint32_t min, uint32_t max) {
    grammar_expression *all = grammar_new(s->g, GRAMMAR_SEQUENCE);
    grammar_expression *more = grammar_new(s->g, GRAMMAR_SEQUENCE);
    grammar_add(more, builtin(s, COMMA));
    grammar_add(more, grammar_call(s->g, item));
    grammar_add(all, grammar_call(s->g, item));
    grammar_add(all, grammar_repeat(s->g, more, min ? min - 1 : 0,
                                    max == GRAMMAR_NO_LIMIT ? max : max - 1));
    return grammar_repeat(s->g, all, min > 0, 1);
}

static nlp_status make_array(schema *s, const parts *p, grammar_expression **out) {
    uint32_t min, max;
    grammar_rule *item = s->builtin[ANY];
    NLP_TRY(read_limits(s, p, KEY_MIN_ITEMS, &min, &max));
    if (p->key[KEY_ITEMS]) NLP_TRY(make_rule(s, p->key[KEY_ITEMS], &item));
    *out = grammar_new(s->g, GRAMMAR_SEQUENCE);
    grammar_add(*out, literal(s, "["));
    if (max) grammar_add(*out, item_list(s, item, min, max));
    grammar_add(*out, literal(s, "]"));
    return NLP_OK;
}

/* ---- Objects ---- */

typedef struct member {
    const nlp_json *schema;
    bool required;
} member;

static nlp_status find_property(const schema *s, const nlp_json *name, member *all, size_t n,
                                member **found) {
    if (name->kind != NLP_JSON_STRING) return refuse(s, name, "is no name of a property");
    for (size_t i = 0; i < n; i++) {
        nlp_text key = all[i].schema->key;
        *found = &all[i];
        if (nlp_text_equal(key, name->text)) return NLP_OK;
    }
    return refuse_word(s, name->at, name->text, "is required, but not among the properties");
}

/* In the order of the text; the first *n_required must be there. */
static nlp_status order_properties(schema *s, const parts *p, const nlp_json ***out, size_t *n,
                                   size_t *n_required) {
    const nlp_json *properties = p->key[KEY_PROPERTIES], *required = p->key[KEY_REQUIRED];
    if (properties && properties->kind != NLP_JSON_OBJECT)
        return refuse_key(s, properties, "is no object");
    if (required && required->kind != NLP_JSON_ARRAY) return refuse_key(s, required, "is no list");
    *n = properties ? properties->n : 0;
    *n_required = 0;
    if (*n > MAX_PROPERTIES || (required && required->n > MAX_PROPERTIES))
        return nlp_fail(s->g->err, NLP_ELIMIT,
                        "the schema has an object of more than %d properties", MAX_PROPERTIES);
    const nlp_json **sorted = *n ? nlp_json_sorted(properties, s->g->arena) : NULL;
    member *all = NLP_PUSH_ZERO(s->g->arena, member, *n), *found = NULL;
    *out = NLP_PUSH(s->g->arena, const nlp_json *, *n);
    NLP_TRY(nlp_arena_status(s->g->arena, s->g->err));
    for (size_t i = 0; i < *n; i++) all[i].schema = sorted[i];
    for (const nlp_json *m = required ? required->first : NULL; m; m = m->next) {
        NLP_TRY(find_property(s, m, all, *n, &found));
        if (!found->required) (*out)[(*n_required)++] = found->schema;
        found->required = true;
    }
    for (size_t i = 0, at = *n_required; i < *n; i++)
        if (!all[i].required) (*out)[at++] = all[i].schema;
    return NLP_OK;
}

/* "name": value */
static nlp_status make_property(schema *s, const nlp_json *json, grammar_expression **out) {
    grammar_rule *value;
    nlp_json name = {.text = json->key};
    NLP_TRY(make_rule(s, json, &value));
    *out = grammar_new(s->g, GRAMMAR_SEQUENCE);
    grammar_add(*out, value_literal(s, &name, true));
    grammar_add(*out, builtin(s, COLON));
    grammar_add(*out, grammar_call(s->g, value));
    return nlp_arena_status(s->g->arena, s->g->err);
}

/* Optional properties: *start takes one or more of them, *rest what may follow another property. From
 * the last one, so that a state has one place for each that may come next:
 *
 *     start ::= property rest' | start'      (' those of the next property)
 *     rest  ::= (comma start)? */
static nlp_status make_optional(schema *s, const nlp_json **properties, size_t n,
                                grammar_rule **start, grammar_rule **rest) {
    for (size_t i = n; i-- > 0;) {
        grammar_expression *property, *first = grammar_new(s->g, GRAMMAR_SEQUENCE);
        grammar_expression *any = grammar_new(s->g, GRAMMAR_CHOICE);
        grammar_expression *more = grammar_new(s->g, GRAMMAR_SEQUENCE);
        NLP_TRY(make_property(s, properties[i], &property));
        grammar_add(first, property);
        if (*rest) grammar_add(first, grammar_call(s->g, *rest));
        grammar_add(any, first);
        if (*start) grammar_add(any, grammar_call(s->g, *start));
        NLP_TRY(new_rule(s, any, start));
        grammar_add(more, builtin(s, COMMA));
        grammar_add(more, grammar_call(s->g, *start));
        NLP_TRY(new_rule(s, grammar_repeat(s->g, more, 0, 1), rest));
    }
    return NLP_OK;
}

static nlp_status make_object(schema *s, const parts *p, grammar_expression **out) {
    const nlp_json **properties = NULL, *additional = p->key[KEY_ADDITIONAL];
    size_t n, n_required;
    grammar_rule *start = NULL, *rest = NULL;
    grammar_expression *property;
    if (additional && additional->kind != NLP_JSON_FALSE && additional->kind != NLP_JSON_TRUE)
        return refuse_key(s, additional, "is not supported but as false");
    NLP_TRY(order_properties(s, p, &properties, &n, &n_required));
    *out = grammar_new(s->g, GRAMMAR_SEQUENCE);
    grammar_add(*out, literal(s, "{"));
    for (size_t i = 0; i < n_required; i++) {
        if (i) grammar_add(*out, builtin(s, COMMA));
        NLP_TRY(make_property(s, properties[i], &property));
        grammar_add(*out, property);
    }
    NLP_TRY(make_optional(s, properties + n_required, n - n_required, &start, &rest));
    if (rest && n_required) grammar_add(*out, grammar_call(s->g, rest));
    if (start && !n_required)
        grammar_add(*out, grammar_repeat(s->g, grammar_call(s->g, start), 0, 1));
    grammar_add(*out, literal(s, "}"));
    return NLP_OK;
}

/* ---- References ---- */

/* "~1" stands for "/" and "~0" for "~" in a pointer (RFC 6901). */
static bool names_key(nlp_text pointer, nlp_text key) {
    size_t n = 0;
    for (size_t i = 0; i < pointer.n_bytes; i++, n++) {
        char c = pointer.bytes[i];
        if (c == '~' && i + 1 < pointer.n_bytes) c = pointer.bytes[++i] == '1' ? '/' : '~';
        if (n >= key.n_bytes || key.bytes[n] != c) return false;
    }
    return n == key.n_bytes;
}

static nlp_status find_definition(const schema *s, const nlp_json *ref, const nlp_json **found) {
    static const char *const places[] = {"$defs", "definitions"};
    for (size_t i = 0; ref->kind == NLP_JSON_STRING && i < 2; i++) {
        size_t n = strlen(places[i]) + 3;
        const nlp_json *all = nlp_json_member(s->root, places[i]);
        if (!all || ref->text.n_bytes <= n || memcmp(ref->text.bytes, "#/", 2) != 0 ||
            memcmp(ref->text.bytes + 2, places[i], n - 3) != 0 || ref->text.bytes[n - 1] != '/')
            continue;
        nlp_text pointer = {ref->text.bytes + n, ref->text.n_bytes - n};
        for (const nlp_json *m = all->first; m; m = m->next)
            if (names_key(pointer, m->key)) {
                *found = m;
                return NLP_OK;
            }
    }
    if (ref->kind == NLP_JSON_STRING && same(ref->text, "#"))
        return refuse_key(s, ref, "is recursive, which is not supported");
    return refuse_key(s, ref, "names none of the schema's own \"$defs\"");
}

static nlp_status make_reference(schema *s, const nlp_json *ref, grammar_expression **out) {
    const nlp_json *target = NULL;
    NLP_TRY(find_definition(s, ref, &target));
    definition *d = s->definitions;
    while (d && d->schema != target) d = d->next;
    if (d && d->open) return refuse_key(s, ref, "is recursive, which is not supported");
    if (!d) {
        d = NLP_PUSH_ZERO(s->g->arena, definition, 1);
        NLP_TRY(nlp_arena_status(s->g->arena, s->g->err));
        *d = (definition){.schema = target, .open = true, .next = s->definitions};
        s->definitions = d;
        NLP_TRY(make_rule(s, target, &d->rule));
        d->open = false;
    }
    *out = grammar_call(s->g, d->rule);
    return NLP_OK;
}

/* ---- A schema ---- */

static bool is_described(nlp_text key) {
    for (size_t i = 0; i < sizeof described / sizeof *described; i++)
        if (same(key, described[i])) return true;
    return false;
}

static nlp_status read_keywords(const schema *s, const nlp_json *json, parts *p) {
    *p = (parts){.at = json};
    for (const nlp_json *m = json->first; m; m = m->next) {
        size_t i = 0;
        while (i < N_KEYWORDS && !same(m->key, keywords[i])) i++;
        if (i < N_KEYWORDS)
            p->key[i] = m;
        else if (!is_described(m->key))
            return refuse_key(s, m, "is a keyword that is not supported");
    }
    return NLP_OK;
}

/* A keyword that says all stands alone, or with "type" where that may narrow it. */
static nlp_status check_alone(const schema *s, const parts *p, keyword key, bool with_type) {
    for (size_t i = 0; i < N_KEYWORDS; i++)
        if (p->key[i] && i != key && !(with_type && i == KEY_TYPE))
            return nlp_fail(s->g->err, NLP_EINVAL,
                            "the schema's \"%s\" beside \"%s\" at byte %zu is not supported",
                            keywords[i], keywords[key], p->at->at);
    return NLP_OK;
}

/* Without "type", the keywords tell it. */
static uint32_t implied_types(const parts *p) {
    if (p->key[KEY_PROPERTIES] || p->key[KEY_REQUIRED] || p->key[KEY_ADDITIONAL]) return IS_OBJECT;
    if (p->key[KEY_ITEMS] || p->key[KEY_MIN_ITEMS] || p->key[KEY_MAX_ITEMS]) return IS_ARRAY;
    return p->key[KEY_MIN_LENGTH] || p->key[KEY_MAX_LENGTH] ? IS_STRING : 0;
}

static nlp_status make_types(schema *s, const parts *p, uint32_t types, grammar_expression **out) {
    static const int simple[] = {NULL_VALUE, BOOLEAN, INTEGER, NUMBER};
    *out = grammar_new(s->g, GRAMMAR_CHOICE);
    for (uint32_t i = 0; i < N_TYPES; i++) {
        grammar_expression *one = NULL;
        if (!(types >> i & 1)) continue;
        if (i < 4) one = builtin(s, simple[i]);
        if (1 << i == IS_STRING) NLP_TRY(make_string(s, p, &one));
        if (1 << i == IS_ARRAY) NLP_TRY(make_array(s, p, &one));
        if (1 << i == IS_OBJECT) NLP_TRY(make_object(s, p, &one));
        grammar_add(*out, one);
    }
    return NLP_OK;
}

static nlp_status make_body(schema *s, const parts *p, grammar_expression **out) {
    static const keyword whole[] = {KEY_REF, KEY_ANY_OF, KEY_ONE_OF, KEY_CONST, KEY_ENUM};
    uint32_t types;
    NLP_TRY(read_types(s, p->key[KEY_TYPE], &types));
    for (size_t i = 0; i < 5; i++) {
        const nlp_json *given = p->key[whole[i]];
        if (!given) continue;
        NLP_TRY(check_alone(s, p, whole[i], whole[i] == KEY_CONST || whole[i] == KEY_ENUM));
        if (whole[i] == KEY_REF) return make_reference(s, given, out);
        if (whole[i] == KEY_ANY_OF || whole[i] == KEY_ONE_OF) return make_any_of(s, given, out);
        return make_values(s, p, types ? types : UINT32_MAX, out);
    }
    if (!types) types = implied_types(p);
    if (types) return make_types(s, p, types, out);
    *out = builtin(s, ANY);
    return NLP_OK;
}

/* As deep as MAX_DEPTH. */
static nlp_status make_rule(schema *s, const nlp_json *json, grammar_rule **rule) {
    grammar_expression *body = NULL;
    parts p = {.at = json};
    if (json->kind == NLP_JSON_FALSE)
        return refuse(s, json, "is false, which nothing is valid for");
    if (json->kind != NLP_JSON_OBJECT && json->kind != NLP_JSON_TRUE)
        return refuse(s, json, "is no schema");
    if (s->depth == MAX_DEPTH)
        return nlp_fail(s->g->err, NLP_ELIMIT,
                        "the schema nests deeper than %d levels, definitions included", MAX_DEPTH);
    s->depth++;
    if (json->kind == NLP_JSON_OBJECT) NLP_TRY(read_keywords(s, json, &p));
    NLP_TRY(make_body(s, &p, &body));
    s->depth--;
    NLP_TRY(nlp_poll_work(s->g->poll, 4096, s->g->err));
    return new_rule(s, body, rule);
}

nlp_status schema_read(grammar *g, nlp_text text, grammar_rule **root) {
    schema s = {.g = g};
    NLP_TRY(nlp_json_read(text, "schema", g->arena, &s.root, g->err));
    NLP_TRY(gbnf_read(g, (nlp_text){builtins, sizeof builtins - 1}, builtin_names, N_BUILTINS,
                      s.builtin));
    return make_rule(&s, s.root, root);
}
