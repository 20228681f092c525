/* gbnf.c: grammars as llama.cpp writes them (grammars/README.md there):
 *
 *     root  ::= "yes" | "no" because?          # a comment
 *     because ::= ", " [a-z]{3,10} (" " [^\n.]+)* "."
 *
 * A rule ends with its line, unless parentheses are open or the next line begins with "|". */
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "generate/grammar.h"

enum {
    MAX_RANGES = 1024, /* of a class */
    MAX_REPEAT = 1000000,
    N_SLOTS = 2 * GRAMMAR_MAX_RULES,
    LAST_CODE = 0x10FFFF
};

typedef struct parser {
    grammar *g;
    const char *bytes;
    size_t n, at;
    uint32_t line;
    grammar_rule **slots; /* [N_SLOTS] rules by name */
} parser;

static nlp_status fail_here(const parser *p, const char *what) {
    return nlp_fail(p->g->err, NLP_EINVAL, "the %s's line %u: %s", p->g->what, p->line, what);
}

static int peek(const parser *p) {
    return p->at < p->n ? (uint8_t)p->bytes[p->at] : -1;
}

static bool take(parser *p, char c) {
    if (peek(p) != (uint8_t)c) return false;
    p->at++;
    return true;
}

/* Blanks and comments; line ends where they mean nothing. Returns what comes. */
static int skip(parser *p, bool lines) {
    for (int c; (c = peek(p)) >= 0; p->at++) {
        if (c == '#') {
            while (p->at + 1 < p->n && p->bytes[p->at + 1] != '\n') p->at++;
        } else if (c == '\n' && lines) {
            p->line++;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            break;
        }
    }
    return peek(p);
}

/* ---- Names ---- */

static bool is_name_byte(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static nlp_text read_name(parser *p) {
    size_t start = p->at;
    while (is_name_byte(peek(p))) p->at++;
    return (nlp_text){p->bytes + start, p->at - start};
}

static nlp_status find_rule(parser *p, nlp_text name, grammar_rule **rule) {
    size_t slot = nlp_hash_bytes(name.bytes, name.n_bytes) % N_SLOTS;
    for (; p->slots[slot]; slot = (slot + 1) % N_SLOTS) {
        nlp_text known = p->slots[slot]->name;
        *rule = p->slots[slot];
        if (nlp_text_equal(known, name)) return NLP_OK;
    }
    NLP_TRY(grammar_rule_new(p->g, name, p->line, rule));
    p->slots[slot] = *rule;
    return NLP_OK;
}

/* ---- Characters ---- */

static int hex_value(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static nlp_status read_hex(parser *p, size_t n_digits, uint32_t *code) {
    *code = 0;
    for (size_t i = 0; i < n_digits; i++, p->at++) {
        int digit = hex_value(peek(p));
        if (digit < 0) return fail_here(p, "an escape has too few hexadecimal digits");
        *code = *code << 4 | (uint32_t)digit;
    }
    if (!*code || *code > LAST_CODE || (*code >= 0xD800 && *code < 0xE000))
        return fail_here(p, "an escape is no character of a text");
    return NLP_OK;
}

/* One character of a literal or a class, which is not at its end. */
static nlp_status read_char(parser *p, uint32_t *code) {
    static const char letters[] = "nrt\\\"[]-^/'", values[] = "\n\r\t\\\"[]-^/'";
    int c = peek(p);
    if (c < 0 || c == '\n') return fail_here(p, "a text or class without an end");
    if (c != '\\') {
        p->at += nlp_utf8_decode(p->bytes + p->at, p->n - p->at, code);
        return NLP_OK;
    }
    p->at++;
    c = peek(p);
    const char *letter = c > 0 ? memchr(letters, c, sizeof letters - 1) : NULL;
    size_t n_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (!letter && !n_digits) return fail_here(p, "an unknown escape");
    p->at++;
    if (n_digits) return read_hex(p, n_digits, code);
    *code = (uint8_t)values[letter - letters];
    return NLP_OK;
}

static nlp_status read_literal(parser *p, grammar_expression **out) {
    size_t end = ++p->at, n = 0;
    while (end < p->n && p->bytes[end] != '"' && p->bytes[end] != '\n')
        end += p->bytes[end] == '\\' ? 2 : 1;
    if (end >= p->n || p->bytes[end] != '"') return fail_here(p, "a text without an end");
    char *text = nlp_arena_push(p->g->arena, end - p->at, 1); /* no escape is shorter */
    NLP_TRY(nlp_arena_status(p->g->arena, p->g->err));
    while (!take(p, '"')) {
        uint32_t code;
        NLP_TRY(read_char(p, &code));
        n += nlp_utf8_encode(code, text + n);
    }
    *out = grammar_literal(p->g, (nlp_text){text, n});
    return NLP_OK;
}

/* ---- Classes ---- */

static void sort_ranges(grammar_range *ranges, size_t n) {
    for (size_t i = 1; i < n; i++) {
        grammar_range range = ranges[i];
        size_t at = i;
        for (; at && ranges[at - 1].low > range.low; at--) ranges[at] = ranges[at - 1];
        ranges[at] = range;
    }
}

/* Neighbours become one; the number that is left. */
static size_t join_ranges(grammar_range *ranges, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept && ranges[i].low <= ranges[kept - 1].high + 1) {
            if (ranges[i].high > ranges[kept - 1].high) ranges[kept - 1].high = ranges[i].high;
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

/* What lies between n sorted ranges and around them: at most n + 1. */
static size_t negate_ranges(const grammar_range *ranges, size_t n, grammar_range *out) {
    uint32_t low = 1;
    size_t n_out = 0;
    for (size_t i = 0; i < n; low = ranges[i++].high + 1)
        if (ranges[i].low > low) out[n_out++] = (grammar_range){low, ranges[i].low - 1};
    if (low <= LAST_CODE) out[n_out++] = (grammar_range){low, LAST_CODE};
    return n_out;
}

static nlp_status new_class(parser *p, const grammar_range *ranges, size_t n, bool negated,
                            grammar_expression **out) {
    grammar_range *kept = NLP_PUSH(p->g->arena, grammar_range, n + 1);
    *out = grammar_new(p->g, GRAMMAR_CLASS);
    NLP_TRY(nlp_arena_status(p->g->arena, p->g->err));
    if (negated)
        n = negate_ranges(ranges, n, kept);
    else
        memcpy(kept, ranges, n * sizeof *kept);
    (*out)->ranges = kept;
    (*out)->n_ranges = (uint32_t)n;
    return nlp_poll_work(p->g->poll, 16 * n * n, p->g->err);
}

static nlp_status read_range(parser *p, grammar_range *range) {
    NLP_TRY(read_char(p, &range->low));
    range->high = range->low;
    bool to = peek(p) == '-' && p->at + 1 < p->n && p->bytes[p->at + 1] != ']';
    if (!to) return NLP_OK;
    p->at++;
    NLP_TRY(read_char(p, &range->high));
    return range->low <= range->high ? NLP_OK : fail_here(p, "a range is the wrong way round");
}

static nlp_status read_class(parser *p, grammar_expression **out) {
    grammar_range ranges[MAX_RANGES];
    size_t n = 0;
    p->at++;
    bool negated = take(p, '^');
    while (!take(p, ']')) {
        if (n == MAX_RANGES)
            return nlp_fail(p->g->err, NLP_ELIMIT,
                            "the %s's line %u: a class has more than %d parts", p->g->what, p->line,
                            MAX_RANGES);
        NLP_TRY(read_range(p, &ranges[n++]));
    }
    sort_ranges(ranges, n);
    return new_class(p, ranges, join_ranges(ranges, n), negated, out);
}

/* ---- Repetitions ---- */

static nlp_status read_count(parser *p, uint32_t *count) {
    skip(p, false);
    size_t start = p->at;
    for (*count = 0; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        *count = *count * 10 + (uint32_t)(peek(p) - '0');
        if (*count > MAX_REPEAT)
            return nlp_fail(p->g->err, NLP_ELIMIT, "the %s's line %u: a repetition over %d times",
                            p->g->what, p->line, MAX_REPEAT);
    }
    if (p->at == start) return fail_here(p, "a repetition without a number");
    skip(p, false);
    return NLP_OK;
}

/* {n}, {n,} or {n,m}; at the brace. */
static nlp_status read_braces(parser *p, uint32_t *min, uint32_t *max) {
    p->at++;
    NLP_TRY(read_count(p, min));
    *max = *min;
    if (take(p, ',')) {
        *max = GRAMMAR_NO_LIMIT;
        if (skip(p, false) != '}') NLP_TRY(read_count(p, max));
    }
    if (!take(p, '}')) return fail_here(p, "a repetition without '}'");
    return *min <= *max ? NLP_OK : fail_here(p, "a repetition with more at least than at most");
}

static bool is_repetition(int c) {
    return c == '*' || c == '+' || c == '?' || c == '{';
}

static nlp_status read_repetition(parser *p, grammar_expression **item) {
    uint32_t min = 0, max = GRAMMAR_NO_LIMIT;
    int c = skip(p, false);
    if (!is_repetition(c)) return NLP_OK;
    if (c == '{') {
        NLP_TRY(read_braces(p, &min, &max));
    } else {
        min = c == '+';
        if (c == '?') max = 1;
        p->at++;
    }
    *item = grammar_repeat(p->g, *item, min, max);
    return is_repetition(skip(p, false)) ? fail_here(p, "two repetitions in a row: use parentheses")
                                         : NLP_OK;
}

/* ---- Rules ---- */

static nlp_status read_choice(parser *p, size_t depth, grammar_expression **out);

static nlp_status read_group(parser *p, size_t depth, grammar_expression **out) {
    uint32_t line = p->line;
    if (depth == GRAMMAR_MAX_NESTING)
        return nlp_fail(p->g->err, NLP_ELIMIT,
                        "the %s's line %u: parentheses nest deeper than %d levels", p->g->what,
                        p->line, GRAMMAR_MAX_NESTING);
    p->at++;
    NLP_TRY(read_choice(p, depth + 1, out));
    if (take(p, ')')) return NLP_OK;
    p->line = peek(p) < 0 ? line : p->line;
    return fail_here(p, "a '(' without ')'");
}

static nlp_status read_item(parser *p, size_t depth, grammar_expression **out) {
    static const grammar_range any[] = {{1, LAST_CODE}};
    grammar_rule *rule;
    int c = peek(p);
    if (c == '"') return read_literal(p, out);
    if (c == '[') return read_class(p, out);
    if (c == '(') return read_group(p, depth, out);
    if (c == '.') {
        p->at++;
        return new_class(p, any, 1, false, out);
    }
    if (!is_name_byte(c))
        return fail_here(p, "none of a text, a class, a rule, '.', '(', '|' or the line's end");
    NLP_TRY(find_rule(p, read_name(p), &rule));
    *out = grammar_call(p->g, rule);
    return NLP_OK;
}

/* Items up to '|', ')' or the end; one alone stands for itself. */
static nlp_status read_sequence(parser *p, size_t depth, grammar_expression **out) {
    grammar_expression *sequence = grammar_new(p->g, GRAMMAR_SEQUENCE), *item = NULL;
    size_t n = 0;
    for (int c; (c = skip(p, depth > 0)) >= 0 && c != '|' && c != ')' && c != '\n'; n++) {
        NLP_TRY(read_item(p, depth, &item));
        NLP_TRY(read_repetition(p, &item));
        grammar_add(sequence, item);
        NLP_TRY(nlp_poll_work(p->g->poll, 256, p->g->err));
    }
    *out = n == 1 ? item : n ? sequence : grammar_literal(p->g, (nlp_text){"", 0});
    return nlp_arena_status(p->g->arena, p->g->err);
}

static nlp_status read_choice(parser *p, size_t depth, grammar_expression **out) {
    grammar_expression *choice = grammar_new(p->g, GRAMMAR_CHOICE), *sequence;
    size_t n = 0;
    do {
        skip(p, true);
        NLP_TRY(read_sequence(p, depth, &sequence));
        grammar_add(choice, sequence);
        n++;
        skip(p, true);
    } while (take(p, '|'));
    *out = n == 1 ? sequence : choice;
    return nlp_arena_status(p->g->arena, p->g->err);
}

static nlp_status read_rule(parser *p) {
    grammar_rule *rule;
    nlp_text name = read_name(p);
    uint32_t line = p->line;
    if (!name.n_bytes) return fail_here(p, "no rule: it begins with its name");
    NLP_TRY(find_rule(p, name, &rule));
    if (rule->body)
        return nlp_fail(p->g->err, NLP_EINVAL, "the %s's line %u: line %u has this rule already",
                        p->g->what, line, rule->line);
    rule->line = line;
    skip(p, false);
    if (p->n - p->at < 3 || memcmp(p->bytes + p->at, "::=", 3) != 0)
        return fail_here(p, "no \"::=\" behind the rule's name");
    p->at += 3;
    NLP_TRY(read_choice(p, 0, &rule->body));
    return peek(p) == ')' ? fail_here(p, "a ')' without '('") : NLP_OK;
}

static nlp_status check_defined(const parser *p) {
    for (size_t i = 0; i < N_SLOTS; i++)
        if (p->slots[i] && !p->slots[i]->body)
            return grammar_refuse(p->g, NLP_EINVAL, p->slots[i], "is not defined");
    return NLP_OK;
}

nlp_status gbnf_read(grammar *g, nlp_text text, const char *const *names, size_t n_names,
                     grammar_rule **rules) {
    parser p = {.g = g, .bytes = text.bytes, .n = text.n_bytes, .line = 1};
    size_t bad_at;
    if (!nlp_utf8_valid(text.bytes, text.n_bytes, &bad_at))
        return nlp_fail(g->err, NLP_EENCODING, "the %s is not valid UTF-8 at byte %zu", g->what,
                        bad_at);
    p.slots = NLP_PUSH_ZERO(g->arena, grammar_rule *, N_SLOTS);
    NLP_TRY(nlp_arena_status(g->arena, g->err));
    while (skip(&p, true) >= 0) NLP_TRY(read_rule(&p));
    for (size_t i = 0; i < n_names; i++) {
        p.line = 0;
        NLP_TRY(find_rule(&p, (nlp_text){names[i], strlen(names[i])}, &rules[i]));
        if (!rules[i]->line)
            return nlp_fail(g->err, NLP_EINVAL, "the %s has no rule \"%s\"", g->what, names[i]);
    }
    return check_defined(&p);
}
