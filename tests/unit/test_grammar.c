/* core/generate/gbnf and what runs a grammar: texts taken and refused, errors with their line, regular
 * grammars beside POSIX expressions, hostile ones. */
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "models.h"
#include "test.h"
#include "writer.h"

static const char bytes_model[] = "sharp-llama"; /* byte-level BPE */

static void check_grammar(const char *grammar, const char *const *taken,
                          const char *const *refused) {
    nlp_constrained_check(nlp_constraint_open_grammar, bytes_model, grammar, taken, refused);
}

#define LIST(...)                                                                                  \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

/* ---- Grammars ---- */

static void test_grammar_takes_its_texts(void) {
    check_grammar(
        "root ::= \"yes\" | \"no\" because? # a comment\n\n"
        "because ::= \", \" [a-z]{3,10} (\" \" [^\\n.]+)* \".\"\r\n",
        LIST("yes", "no", "no, abc.", "no, abcdefghij kl m.", "no, abc \xC3\xA9."),
        LIST("", "y", "yes ", "no,", "no, ab.", "no, abcdefghijk.", "no, abc d", "no, ABC."));
    check_grammar(
        "root::=(\"a\"\n|\"b\" # in parentheses lines go on\n)\n  | [\\x41-\\x43\\]\\-] .",
        LIST("a", "b", "Ax", "C\xF0\x9F\x98\x80", "]\n", "--"),
        LIST("A", "D1", "ab", "Cxy", "\\x"));
    check_grammar("root ::= [^a-c\xC3\xA9] | [-x] | [x-] | \"\\u00e9\\U0001F600\\\"\\\\\\t\"",
                  LIST("d", "-", "x", "\xC3\xA8", "\xE2\x82\xAC", "\xF4\x8F\xBF\xBF",
                       "\xC3\xA9\xF0\x9F\x98\x80\"\\\t"),
                  LIST("a", "b", "\xC3\xA9", "", "\xC3"));
    check_grammar("root ::= \"a\"{2} \"b\"{0} \"c\"{1,} \"d\"{0,2} ( | \"e\") \"\"",
                  LIST("aac", "aacccd", "aacdde"),
                  LIST("ac", "aa", "aaac", "aabc", "aacddd", "aacee"));
    check_grammar("root ::= \"\"", LIST(""), LIST("a"));
    check_grammar("root ::= (\"\" | \"\")* \"x\"", LIST("x"), LIST("", "xx"));
}

static void test_rules_may_recurse(void) {
    check_grammar("root ::= term (\"+\" term)*\nterm ::= \"(\" root \")\" | [0-9]+",
                  LIST("1", "(1+(22))", "((((((3))))))+4"), LIST("", "(", "(1", "1+", "(1))"));
    check_grammar("root ::= \"a\" root \"b\" | \"\"", LIST("", "ab", "aaabbb"),
                  LIST("a", "aab", "abb"));
    check_grammar("root ::= \"a\" rest\nrest ::= \",a\" rest | \"\"", LIST("a", "a,a,a,a"),
                  LIST("", "a,"));
    check_grammar("root ::= empty empty \"x\" empty root | empty\nempty ::= \"\"",
                  LIST("", "x", "xxx"), LIST("y"));
}

static void test_grammar_errors_name_the_line(void) {
    static const struct {
        const char *grammar, *message;
        nlp_status status;
    } cases[] = {
        {"", "the grammar has no rule \"root\"", NLP_EINVAL},
        {"a ::= \"x\"", "the grammar has no rule \"root\"", NLP_EINVAL},
        {"a ::= root", "the grammar's line 1: rule \"root\" is not defined", NLP_EINVAL},
        {"root ::= a\n\n  | b\na ::= \"x\"", "the grammar's line 3: rule \"b\" is not defined",
         NLP_EINVAL},
        {"root ::= \"x\"\nroot ::= \"y\"", "the grammar's line 2: line 1 has this rule already",
         NLP_EINVAL},
        {"root ::= \"x\n", "the grammar's line 1: a text without an end", NLP_EINVAL},
        {"root ::= \"x\\\"", "the grammar's line 1: a text without an end", NLP_EINVAL},
        {"root ::= [a", "the grammar's line 1: a text or class without an end", NLP_EINVAL},
        {"\nroot ::= [z-a]", "the grammar's line 2: a range is the wrong way round", NLP_EINVAL},
        {"root ::= \"\\q\"", "the grammar's line 1: an unknown escape", NLP_EINVAL},
        {"root ::= \"\\x4\"", "the grammar's line 1: an escape has too few hexadecimal digits",
         NLP_EINVAL},
        {"root ::= \"\\ud800\"", "the grammar's line 1: an escape is no character of a text",
         NLP_EINVAL},
        {"root ::= [\\x00]", "the grammar's line 1: an escape is no character of a text",
         NLP_EINVAL},
        {"root ::= (\"a\"\n", "the grammar's line 1: a '(' without ')'", NLP_EINVAL},
        {"root ::= \"a\")", "the grammar's line 1: a ')' without '('", NLP_EINVAL},
        {"root ::= *",
         "the grammar's line 1: none of a text, a class, a rule, '.', '(', '|' or the "
         "line's end",
         NLP_EINVAL},
        {"root ::= \"a\"**", "the grammar's line 1: two repetitions in a row: use parentheses",
         NLP_EINVAL},
        {"root ::= \"a\"{3,2}",
         "the grammar's line 1: a repetition with more at least than at most", NLP_EINVAL},
        {"root ::= \"a\"{}", "the grammar's line 1: a repetition without a number", NLP_EINVAL},
        {"root ::= \"a\"{2", "the grammar's line 1: a repetition without '}'", NLP_EINVAL},
        {"root = \"a\"", "the grammar's line 1: no \"::=\" behind the rule's name", NLP_EINVAL},
        {"::= \"a\"", "the grammar's line 1: no rule: it begins with its name", NLP_EINVAL},
        {"root ::= [^\\x01-\\U0010FFFF]",
         "the grammar asks for a class of characters that no text can have", NLP_EINVAL},
        {"root ::= []", "the grammar asks for a class of characters that no text can have",
         NLP_EINVAL},
        {"root ::= root \"a\" | \"b\"",
         "the grammar's line 1: rule \"root\" is left-recursive: it calls itself before any character",
         NLP_EINVAL},
        {"root ::= \"x\" a\na ::= e? b\nb ::= e* a \"x\" | \"y\"\ne ::= \"e\"",
         "the grammar's line 2: rule \"a\" is left-recursive: it calls itself before any character",
         NLP_EINVAL},
        {"root ::= \"x\" a\na ::= \"y\" a",
         "the grammar's line 1: rule \"root\" never ends, or only after more than 65536 bytes",
         NLP_EINVAL},
        {"root ::= \"x\" | \"y\" (a \"z\")\na ::= \"y\" a",
         "the grammar's line 2: rule \"a\" never ends, or only after more than 65536 bytes",
         NLP_EINVAL},
        {"root ::= \"a\" | \"b\"{70000}",
         "a part of the grammar never ends, or only after more than 65536 bytes", NLP_EINVAL},
        {"root ::= \"a\"{0,1000000}", "the grammar is too large: it needs more than 1048576 states",
         NLP_ELIMIT},
        {"root ::= \"a\"{0,1000001}", "the grammar's line 1: a repetition over 1000000 times",
         NLP_ELIMIT},
        {"root ::= (((\"\"){1000}){1000}){1000}",
         "the grammar repeats too much: more than 4194304 parts", NLP_ELIMIT},
        {"root ::= \"\xFF\"", "the grammar is not valid UTF-8 at byte 10", NLP_EENCODING},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nlp_error err;
        nlp_constrained_refuses(nlp_constraint_open_grammar, bytes_model,
                                nlp_test_text(cases[i].grammar), cases[i].status, &err);
        CHECK_TEXT(err.message, cases[i].message);
    }
}

/* ---- Random grammars without recursion, beside POSIX expressions ---- */

typedef struct pattern { /* the same in both notations */
    char grammar[4096], regex[4096];
} pattern;

static void add(pattern *p, const char *grammar, const char *regex) {
    strcat(p->grammar, grammar);
    strcat(p->regex, regex);
}

static void random_pattern(pattern *p, nlp_random *random, int depth) {
    static const char *const atoms[][2] = {
        {"\"a\"", "a"},   {"\"b\"", "b"}, {"\"ab\"", "(ab)"},   {"[ab]", "[ab]"},
        {"[^a]", "[^a]"}, {".", "(.)"},   {"\"cab\"", "(cab)"}, {"[a-c]", "[a-c]"}};
    static const char *const repetitions[] = {"",  "",    "",      "?",     "*",
                                              "+", "{2}", "{1,2}", "{0,3}", "{2,}"};
    uint32_t n_choices = 1 + random_u32(random) % 2;
    for (uint32_t i = 0; i < n_choices; i++) {
        if (i) add(p, " | ", "|");
        for (uint32_t k = 1 + random_u32(random) % 3; k > 0; k--) {
            bool group = depth && random_u32(random) % 3 == 0;
            const char *const *atom = atoms[random_u32(random) % 8];
            const char *repetition = repetitions[random_u32(random) % 10];
            if (group)
                add(p, "(", "("), random_pattern(p, random, depth - 1), add(p, ")", ")");
            else
                add(p, atom[0], atom[1]);
            add(p, repetition, repetition);
            add(p, " ", "");
        }
    }
}

/* All texts over three letters, the shorter ones first. */
static void numbered_text(uint32_t number, char *text) {
    size_t n = 0;
    for (; number; number = (number - 1) / 3) text[n++] = "abc"[(number - 1) % 3];
    text[n] = 0;
}

static void check_closing(nlp_constrained *o, const regex_t *regex, const char *grammar) {
    static int32_t ids[64];
    const nlp_vocabulary *v = nlp_test_vocabulary(bytes_model);
    size_t n_bytes = nlp_constraint_closing_bytes(o->constraint, &o->state);
    size_t n = nlp_constraint_closing(o->work, &o->state, ids, 64);
    char *text = nlp_test_spelt(v, ids, n);
    CHECK(n <= 64 && strlen(text) == n_bytes);
    if (regexec(regex, text, 0, NULL, 0) != 0)
        nlp_test_fail(__FILE__, __LINE__, "%s closes to \"%s\"", grammar, text);
    free(text);
}

static void test_random_grammars_take_what_regexes_take(void) {
    enum { N_TEXTS = 1 + 3 + 9 + 27 + 81 + 243 };
    nlp_random random = {5};
    size_t n_taken = 0;
    for (int i = 0; i < 300; i++) {
        pattern p = {"root ::= ", "^("};
        regex_t regex;
        nlp_constrained o;
        random_pattern(&p, &random, 3);
        add(&p, "", ")$");
        CHECK(regcomp(&regex, p.regex, REG_EXTENDED | REG_NOSUB) == 0);
        nlp_constrained_grammar(&o, bytes_model, p.grammar);
        check_closing(&o, &regex, p.grammar);
        for (uint32_t k = 0; k < N_TEXTS; k++) {
            char text[16];
            numbered_text(k, text);
            bool taken = nlp_constrained_accepts(&o, text);
            n_taken += taken;
            if (taken != (regexec(&regex, text, 0, NULL, 0) == 0))
                nlp_test_fail(__FILE__, __LINE__, "%s and \"%s\"", p.grammar, text);
        }
        regfree(&regex);
        nlp_constrained_close(&o);
    }
    CHECK(n_taken > 5000);
}

/* ---- Hostile grammars ---- */

static void feed_often(nlp_constrained *o, const char *text, size_t n) {
    size_t length;
    int32_t id = nlp_vocabulary_longest(nlp_test_vocabulary(bytes_model), text, 1, &length);
    for (size_t i = 0; i < n; i++) CHECK(nlp_constraint_advance(o->work, &o->state, id));
}

static void test_ambiguity_costs_no_more_with_length(void) {
    static const char *const grammars[] = {
        "root ::= (\"a\" | \"aa\")*", "root ::= ((\"a\"*)*)*",
        "root ::= (\"a\"? \"a\"?){30} \"a\"*",
        "root ::= x* y*\nx ::= \"a\" | \"aa\" | \"aaa\"\ny ::= x x?"};
    for (size_t i = 0; i < 4; i++) {
        nlp_constrained o;
        nlp_constrained_grammar(&o, bytes_model, grammars[i]);
        feed_often(&o, "a", 3000);
        CHECK(nlp_constraint_may_end(&o.state) && o.state.n_tops + o.state.n_cells < 200);
        nlp_constrained_close(&o);
    }
}

/* 2^n parses: once they are too many, the way on is closed, and the closing still ends the text. */
static void test_too_many_parses_only_close(void) {
    size_t length, n = 0;
    int32_t id = nlp_vocabulary_longest(nlp_test_vocabulary(bytes_model), "a", 1, &length);
    static int32_t ids[4096];
    nlp_constrained o;
    nlp_constrained_grammar(&o, bytes_model,
                            "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"x\"");
    while (n < 100 && nlp_constraint_advance(o.work, &o.state, id)) n++;
    CHECK(n >= 8 && n < 12);
    size_t n_closing = nlp_constraint_closing(o.work, &o.state, ids, 4096);
    char *text = nlp_test_spelt(nlp_test_vocabulary(bytes_model), ids, n_closing);
    CHECK(strlen(text) == n + 1 && *text == 'x' && strspn(text + 1, "bc") == n);
    free(text);
    nlp_constrained_close(&o);
}

static void test_nesting_ends_at_a_bound(void) {
    size_t length, n = 0;
    int32_t id = nlp_vocabulary_longest(nlp_test_vocabulary(bytes_model), "(", 1, &length);
    nlp_constrained o;
    nlp_constrained_grammar(&o, bytes_model, "root ::= \"(\" root \")\" | \"x\"");
    while (n < 5000 && nlp_constraint_advance(o.work, &o.state, id)) n++;
    CHECK(n > 2000 && n < NLP_CONSTRAINT_WORDS);
    CHECK(nlp_constraint_closing_bytes(o.constraint, &o.state) == n + 1);
    feed_often(&o, "x", 1);
    feed_often(&o, ")", n);
    CHECK(nlp_constraint_must_end(&o.state));
    nlp_constrained_close(&o);
}

static void check_hostile(char *text, size_t n, nlp_status expected) {
    nlp_error err;
    nlp_constrained_refuses(nlp_constraint_open_grammar, bytes_model, (nlp_text){text, n}, expected,
                            &err);
}

/* The unit again and again behind a start, one byte below the size that is taken. */
static void check_repeated(const char *start, const char *unit, nlp_status expected) {
    enum { MOST = 1 << 20 };
    char *text = malloc(MOST);
    size_t n = strlen(start), n_unit = strlen(unit);
    memcpy(text, start, n);
    for (; n + n_unit < MOST; n += n_unit) memcpy(text + n, unit, n_unit);
    check_hostile(text, n, expected);
    free(text);
}

static void test_megabytes_end_in_time(void) {
    check_repeated("root ::= ", "(", NLP_ELIMIT);
    check_repeated("root ::= \"", "x", NLP_EINVAL);
    check_repeated("root ::= [", "b", NLP_ELIMIT);
    check_repeated("root ::= ", "a ", NLP_EINVAL);
    check_repeated("a ::= \"x\" \nroot ::= ", "a? ", NLP_ELIMIT);
    check_repeated("root ::= ", "\"x\"|", NLP_OK);
    check_repeated("root ::= ", "[^a]|", NLP_ELIMIT);
    check_repeated("root ::= ", "\"abc\" ", NLP_EINVAL);
    check_repeated("root ::= \"x\"\n", "#\n", NLP_OK);
    check_repeated("root ::= \"x\"*", "*", NLP_EINVAL);
    check_repeated("root ::= ", "\"x\"{999} ", NLP_ELIMIT);
    check_repeated("root ::= ", "(\"x\"|\"y\" \"z\")", NLP_EINVAL);
}

static void test_rules_are_counted(void) {
    char *text = malloc(1 << 20);
    size_t n = 0;
    for (int i = 0; i < 9000; i++) n += (size_t)sprintf(text + n, "r%d ::= \"x\" r%d?\n", i, i + 1);
    check_hostile(text, n, NLP_ELIMIT);
    n = 0;
    for (int i = 0; i < 3000; i++) n += (size_t)sprintf(text + n, "r%d ::= r%d \"x\"?\n", i, i + 1);
    n += (size_t)sprintf(text + n, "r3000 ::= \"y\"\nroot ::= r0");
    check_hostile(text, n, NLP_ELIMIT);
    n = (size_t)sprintf(text, "r0 ::= \"x\"\n");
    for (int i = 1; i < 60; i++)
        n += (size_t)sprintf(text + n, "r%d ::= r%d r%d\n", i, i - 1, i - 1);
    n += (size_t)sprintf(text + n, "root ::= r59");
    check_hostile(text, n, NLP_EINVAL);
    free(text);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"grammar_takes_its_texts", test_grammar_takes_its_texts},
        {"rules_may_recurse", test_rules_may_recurse},
        {"grammar_errors_name_the_line", test_grammar_errors_name_the_line},
        {"random_grammars_take_what_regexes_take", test_random_grammars_take_what_regexes_take},
        {"ambiguity_costs_no_more_with_length", test_ambiguity_costs_no_more_with_length},
        {"too_many_parses_only_close", test_too_many_parses_only_close},
        {"nesting_ends_at_a_bound", test_nesting_ends_at_a_bound},
        {"megabytes_end_in_time", test_megabytes_end_in_time},
        {"rules_are_counted", test_rules_are_counted},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
