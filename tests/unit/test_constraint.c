/* core/generate: what texts a constraint lets through, which tokens may follow, how it closes them.
 * Schemas are in test_schema.c. */
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "failing.h"
#include "test.h"
#include "writer.h"

static const char bytes_model[] = "sharp-llama";     /* byte-level BPE */
static const char fallback_model[] = "gemma2-caps";  /* SentencePiece with pieces of bytes */
static const char letters_model[] = "sharp-flan-t5"; /* Unigram: characters only, no '{', no 'é' */

static nlp_mem mem;

typedef struct opened { /* a constraint and what it runs with */
    nlp_arena arena;
    const nlp_constraint *constraint;
    nlp_constraint_work *work;
    nlp_constraint_state state;
} opened;

typedef nlp_status (*open_fn)(const nlp_vocabulary *, nlp_text, nlp_arena *, nlp_poll *,
                              const nlp_constraint **, nlp_error *);

static nlp_text text_of(const char *text) {
    return (nlp_text){text, strlen(text)};
}

static nlp_status open_text(opened *o, open_fn open, const char *model, nlp_text text,
                            nlp_error *err) {
    *o = (opened){.work = NULL};
    nlp_arena_init(&o->arena, &mem);
    nlp_status status =
        open(nlp_test_vocabulary(model), text, &o->arena, NULL, &o->constraint, err);
    if (status != NLP_OK) return status;
    status = nlp_constraint_work_open(o->constraint, &o->arena, &o->work, err);
    nlp_constraint_begin(o->constraint, false, &o->state);
    return status;
}

static void open_grammar(opened *o, const char *model, const char *text) {
    nlp_error err;
    CHECK_STATUS(open_text(o, nlp_constraint_open_grammar, model, text_of(text), &err), NLP_OK,
                 &err);
}

static void open_choices(opened *o, const char *model, const nlp_text *choices, size_t n) {
    nlp_error err;
    *o = (opened){.work = NULL};
    nlp_arena_init(&o->arena, &mem);
    CHECK_STATUS(nlp_constraint_open_choices(nlp_test_vocabulary(model), choices, n, &o->arena,
                                             NULL, &o->constraint, &err),
                 NLP_OK, &err);
    CHECK_STATUS(nlp_constraint_work_open(o->constraint, &o->arena, &o->work, &err), NLP_OK, &err);
    nlp_constraint_begin(o->constraint, false, &o->state);
}

static void discard(opened *o) {
    nlp_arena_deinit(&o->arena);
}

/* Byte by byte; the state stays behind the last byte taken. */
static bool feed(opened *o, const char *model, const char *text) {
    size_t length;
    for (; *text; text++) {
        int32_t id = nlp_vocabulary_longest(nlp_test_vocabulary(model), text, 1, &length);
        if (!nlp_constraint_advance(o->work, &o->state, id)) return false;
    }
    return true;
}

static bool accepts(opened *o, const char *text) {
    nlp_constraint_begin(o->constraint, false, &o->state);
    return feed(o, bytes_model, text) && nlp_constraint_may_end(&o->state);
}

static void check_grammar(const char *grammar, const char *const *taken,
                          const char *const *refused) {
    opened o;
    open_grammar(&o, bytes_model, grammar);
    if (!o.work) return;
    for (; *taken; taken++)
        if (!accepts(&o, *taken))
            nlp_test_fail(__FILE__, __LINE__, "%s does not take \"%s\"", grammar, *taken);
    for (; *refused; refused++)
        if (accepts(&o, *refused))
            nlp_test_fail(__FILE__, __LINE__, "%s takes \"%s\"", grammar, *refused);
    discard(&o);
}

#define LIST(...)                                                                                  \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

/* ---- The vocabulary ---- */

static void test_tokens_add_their_bytes(void) {
    static const struct {
        const char *model, *text;
    } cases[] = {{bytes_model, "a caf\xC3\xA9 {\"x\":[1]}\n\xF0\x9F\x98\x80"},
                 {fallback_model, "a caf\xC3\xA9 {\"x\":[1]}\n\xF0\x9F\x98\x80"},
                 {letters_model, "the word of a text, 10"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const nlp_vocabulary *v = nlp_test_vocabulary(cases[i].model);
        nlp_text text = text_of(cases[i].text);
        nlp_encode_options options = {.no_special_tokens = true};
        nlp_encoding e;
        nlp_arena arena;
        nlp_error err;
        nlp_arena_init(&arena, &mem);
        CHECK_STATUS(nlp_tokenizer_encode(nlp_test_tokenizer(cases[i].model), &text, NULL, &options,
                                          &arena, NULL, &e, &err),
                     NLP_OK, &err);
        char *spelt = nlp_test_spelt(v, e.ids, e.n);
        CHECK_TEXT(spelt + (*spelt == ' '),
                   cases[i].text); /* SentencePiece's blank before a text */
        free(spelt);
        nlp_arena_deinit(&arena);
    }
    CHECK(nlp_test_vocabulary(bytes_model)->has_bytes);
    CHECK(nlp_test_vocabulary(fallback_model)->has_bytes);
    CHECK(!nlp_test_vocabulary(letters_model)->has_bytes);
    CHECK(!nlp_test_vocabulary(bytes_model)->spellings.drops_blank);
    CHECK(nlp_test_vocabulary(letters_model)->spellings.drops_blank);
}

static void test_trie_has_every_token_once(void) {
    const nlp_vocabulary *v = nlp_test_vocabulary(fallback_model);
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_nodes; i++) {
        const nlp_vocabulary_node *node = &v->nodes[i];
        n += node->n_tokens;
        CHECK(node->end > i && node->end <= v->n_nodes);
        for (uint32_t k = 0; k < node->n_tokens; k++) {
            nlp_text text = nlp_vocabulary_text(v, v->order[node->first + k]);
            CHECK(text.n_bytes == node->depth);
            CHECK((uint8_t)text.bytes[text.n_bytes - 1] == node->byte);
        }
    }
    CHECK(n == v->n_tokens && n > 600);
    CHECK(nlp_vocabulary_text(v, 0).n_bytes == 0); /* <pad> */
}

static void test_wordpiece_can_not_be_constrained(void) {
    nlp_spellings spellings;
    nlp_arena arena;
    nlp_error err;
    nlp_arena_init(&arena, &mem);
    CHECK_STATUS(
        nlp_tokenizer_spell(nlp_test_tokenizer("sharp-bert"), &arena, NULL, &spellings, &err),
        NLP_EUNSUPPORTED, &err);
    nlp_arena_deinit(&arena);
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
        opened o;
        nlp_error err = {0};
        CHECK_STATUS(open_text(&o, nlp_constraint_open_grammar, bytes_model,
                               text_of(cases[i].grammar), &err),
                     cases[i].status, &err);
        CHECK_TEXT(err.message, cases[i].message);
        discard(&o);
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

static void check_closing(opened *o, const regex_t *regex, const char *grammar) {
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
        opened o;
        random_pattern(&p, &random, 3);
        add(&p, "", ")$");
        CHECK(regcomp(&regex, p.regex, REG_EXTENDED | REG_NOSUB) == 0);
        open_grammar(&o, bytes_model, p.grammar);
        check_closing(&o, &regex, p.grammar);
        for (uint32_t k = 0; k < N_TEXTS; k++) {
            char text[16];
            numbered_text(k, text);
            bool taken = accepts(&o, text);
            n_taken += taken;
            if (taken != (regexec(&regex, text, 0, NULL, 0) == 0))
                nlp_test_fail(__FILE__, __LINE__, "%s and \"%s\"", p.grammar, text);
        }
        regfree(&regex);
        discard(&o);
    }
    CHECK(n_taken > 5000);
}

/* ---- Choices ---- */

static void test_choices_are_all_there_is(void) {
    static const char *const choices[] = {"positive", "negative",    "neutral", "neutral-ish",
                                          "pos",      "caf\xC3\xA9", "neutral"};
    nlp_text texts[7];
    opened o;
    for (size_t i = 0; i < 7; i++) texts[i] = text_of(choices[i]);
    open_choices(&o, bytes_model, texts, 7);
    for (size_t i = 0; i < 7; i++) CHECK(accepts(&o, choices[i]));
    CHECK(!accepts(&o, "") && !accepts(&o, "po") && !accepts(&o, "positives"));
    CHECK(!accepts(&o, "caf\xC3\xA8") && !accepts(&o, "neutral-"));
    CHECK(accepts(&o, "pos") && !nlp_constraint_must_end(&o.state));
    CHECK(accepts(&o, "positive") && nlp_constraint_must_end(&o.state));
    CHECK(accepts(&o, "neutral") && !nlp_constraint_must_end(&o.state));
    discard(&o);
    open_choices(&o, bytes_model, &(nlp_text){"", 0}, 1);
    CHECK(accepts(&o, "") && nlp_constraint_must_end(&o.state));
    discard(&o);
}

static void test_many_choices_share_beginnings(void) {
    enum { N = 20000 };
    char(*names)[16] = malloc(N * sizeof *names);
    nlp_text *texts = malloc(N * sizeof *texts);
    opened o;
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "label %d", i * 7);
        texts[i] = text_of(names[i]);
    }
    open_choices(&o, bytes_model, texts, N);
    for (int i = 0; i < N; i += 997) CHECK(accepts(&o, names[i]));
    CHECK(!accepts(&o, "label 1") && !accepts(&o, "label"));
    discard(&o);
    free(names);
    free(texts);
}

static void test_choices_are_checked(void) {
    const nlp_text none[] = {{"a", 1}, {NULL, 0}}, bad[] = {{"a", 1}, {"b\xC3", 2}};
    const nlp_constraint *c;
    const nlp_vocabulary *v = nlp_test_vocabulary(bytes_model);
    nlp_arena arena;
    nlp_error err;
    nlp_arena_init(&arena, &mem);
    CHECK_STATUS(nlp_constraint_open_choices(v, none, 0, &arena, NULL, &c, &err), NLP_EINVAL, &err);
    CHECK_STATUS(nlp_constraint_open_choices(v, none, 2, &arena, NULL, &c, &err), NLP_EINVAL, &err);
    CHECK_TEXT(err.message, "choice 2 is NULL");
    CHECK_STATUS(nlp_constraint_open_choices(v, bad, 2, &arena, NULL, &c, &err), NLP_EENCODING,
                 &err);
    CHECK_TEXT(err.message, "choice 2 is not valid UTF-8 at byte 1");
    CHECK_STATUS(nlp_constraint_open_choices(v, &(nlp_text){"a\0b", 3}, 1, &arena, NULL, &c, &err),
                 NLP_EINVAL, &err);
    CHECK_TEXT(err.message, "the list of choices asks for U+0000");
    nlp_arena_deinit(&arena);
}

/* ---- Vocabularies that lack bytes ---- */

static void test_characters_without_tokens_are_left_out(void) {
    opened o;
    nlp_error err;
    CHECK_STATUS(
        open_text(&o, nlp_constraint_open_grammar, letters_model, text_of("root ::= \"{\""), &err),
        NLP_EINVAL, &err);
    CHECK_TEXT(err.message, "the grammar asks for U+007B, for which the model has no token");
    discard(&o);
    open_grammar(&o, letters_model, "root ::= [^0-9]+ \".\"");
    CHECK(feed(&o, letters_model, "the end.") && nlp_constraint_may_end(&o.state));
    nlp_constraint_begin(o.constraint, false, &o.state);
    CHECK(!feed(&o, letters_model, "the 1"));
    discard(&o);
}

/* A decoder that takes the blank before a text away gets one that is not missed. */
static void test_blank_before_a_text_is_no_part_of_it(void) {
    const nlp_text choices[] = {{"the", 3}, {" of", 3}};
    const nlp_vocabulary *v = nlp_test_vocabulary(letters_model);
    size_t length;
    int32_t blank = nlp_vocabulary_longest(v, " ", 1, &length), ids[8];
    opened o;
    open_choices(&o, letters_model, choices, 1);
    CHECK(length == 1 && !nlp_constraint_takes(o.work, &o.state, blank));
    nlp_constraint_begin(o.constraint, true, &o.state);
    CHECK(feed(&o, letters_model, "the") && nlp_constraint_must_end(&o.state));
    nlp_constraint_begin(o.constraint, true, &o.state);
    CHECK(nlp_constraint_advance(o.work, &o.state, blank));
    CHECK(!nlp_constraint_takes(o.work, &o.state, blank));
    CHECK(feed(&o, letters_model, "the") && nlp_constraint_must_end(&o.state));
    discard(&o);
    open_choices(&o, letters_model, choices + 1, 1);
    nlp_constraint_begin(o.constraint, true, &o.state);
    CHECK(nlp_constraint_closing_bytes(o.constraint, &o.state) == 4);
    size_t n = nlp_constraint_closing(o.work, &o.state, ids, 8);
    char *text = nlp_test_spelt(v, ids, n);
    CHECK_TEXT(text, "  of");
    free(text);
    discard(&o);
}

/* ---- Masks ---- */

static const char mixed_grammar[] =
    "root ::= \"{\" pair (\", \" pair)* \"}\" | list | word+ \".\"\n"
    "pair ::= [a-z\xC3\xA9]+ \":\" value\nvalue ::= list | [0-9]{1,4} | \"the\" | \"then\"\n"
    "list ::= \"[\" (value (\",\" value)*)? \"]\"\nword ::= \" \"? [^ .,]+ \",\"?\n";

static void check_mask(opened *o, const nlp_vocabulary *v) {
    float *logits = calloc(v->spellings.n + 3, sizeof *logits);
    size_t kept, n = 0;
    nlp_error err;
    CHECK_STATUS(
        nlp_constraint_mask(o->work, &o->state, logits, v->spellings.n + 3, &kept, NULL, &err),
        NLP_OK, &err);
    for (uint32_t id = 0; id < v->spellings.n + 3; id++) {
        bool takes = nlp_constraint_takes(o->work, &o->state, (int32_t)id);
        n += takes;
        if (takes == isinf(logits[id]))
            nlp_test_fail(__FILE__, __LINE__, "token %u: takes %d, logit %g", id, takes,
                          (double)logits[id]);
    }
    CHECK(n == kept && (kept || nlp_constraint_may_end(&o->state)));
    CHECK(!nlp_constraint_takes(o->work, &o->state, -1));
    free(logits);
}

static void test_masks_agree_with_single_tokens(void) {
    static const char *const models[] = {bytes_model, fallback_model};
    nlp_random random = {3};
    for (size_t m = 0; m < 2; m++) {
        const nlp_vocabulary *v = nlp_test_vocabulary(models[m]);
        for (int walk = 0; walk < 30; walk++) {
            opened o;
            open_grammar(&o, models[m], mixed_grammar);
            for (int step = 0; step < 20 && !nlp_constraint_must_end(&o.state);) {
                int32_t id = (int32_t)(random_u32(&random) % v->spellings.n);
                if (!nlp_constraint_advance(o.work, &o.state, id)) continue;
                step++;
                check_mask(&o, v);
            }
            discard(&o);
        }
    }
}

/* More states than the cache holds: the masks stay the same. */
static void test_masks_outlive_a_full_cache(void) {
    enum { N = 4000 };
    char(*names)[16] = malloc(N * sizeof *names);
    nlp_text *texts = malloc(N * sizeof *texts);
    nlp_random random = {8};
    opened o;
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < 15; k++) names[i][k] = (char)('a' + random_u32(&random) % 6);
        texts[i] = (nlp_text){names[i], 15};
    }
    open_choices(&o, bytes_model, texts, N);
    const nlp_vocabulary *v = nlp_test_vocabulary(bytes_model);
    for (int i = 0; i < 40; i++) {
        nlp_constraint_begin(o.constraint, false, &o.state);
        check_mask(&o, v);
        for (int k = 0; k < 6; k++) {
            char byte[2] = {names[i][k], 0};
            CHECK(feed(&o, bytes_model, byte));
            check_mask(&o, v);
        }
    }
    discard(&o);
    free(names);
    free(texts);
}

static void test_states_are_copies(void) {
    opened o;
    nlp_constraint_state fork;
    open_grammar(&o, bytes_model, "root ::= \"a\" root \"b\" | \"c\"");
    CHECK(feed(&o, bytes_model, "aa"));
    nlp_constraint_copy(&fork, &o.state);
    CHECK(feed(&o, bytes_model, "cbb") && nlp_constraint_must_end(&o.state));
    o.state = fork;
    CHECK(feed(&o, bytes_model, "acbbb") && nlp_constraint_must_end(&o.state));
    discard(&o);
}

/* ---- Closing ---- */

static void test_closing_is_shortest(void) {
    static const struct {
        const char *grammar, *before, *closing;
    } cases[] = {
        {"root ::= \"a\"{3} | \"aab\" | \"ba\"", "", "ba"},
        {"root ::= \"a\"{3} | \"aab\" | \"ba\"", "a", "aa"},
        {"root ::= \"(\" root \")\" | \"x\"", "(((", "x)))"},
        {"root ::= \"(\" root \")\" | \"x\"", "(((x)", "))"},
        {"root ::= \"x\"+ \"end\"?", "x", ""},
        {"root ::= (\"a\"* \"long way\" | \"b\"* tail)\ntail ::= \"\xE2\x82\xAC\"", "bb",
         "\xE2\x82\xAC"},
        {"root ::= [^a]{2}", "\xE2\x82",
         "\x80"
         "b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t ids[16];
        opened o;
        open_grammar(&o, bytes_model, cases[i].grammar);
        CHECK(feed(&o, bytes_model, cases[i].before));
        size_t n = nlp_constraint_closing(o.work, &o.state, ids, 16);
        char *text = nlp_test_spelt(nlp_test_vocabulary(bytes_model), ids, n);
        CHECK_TEXT(text, cases[i].closing);
        CHECK(nlp_constraint_closing_bytes(o.constraint, &o.state) == strlen(text));
        for (size_t k = 0; k < n; k++) CHECK(nlp_constraint_advance(o.work, &o.state, ids[k]));
        CHECK(nlp_constraint_may_end(&o.state));
        free(text);
        discard(&o);
    }
}

static void test_fits_counts_the_closing(void) {
    int32_t ids[32];
    size_t length;
    int32_t open = nlp_vocabulary_longest(nlp_test_vocabulary(bytes_model), "(", 1, &length);
    opened o;
    open_grammar(&o, bytes_model, "root ::= \"(\" root \")\" | \"x\"");
    for (int i = 0; i < 6; i++) CHECK(nlp_constraint_advance(o.work, &o.state, open));
    nlp_constraint_state next = o.state;
    CHECK(nlp_constraint_advance(o.work, &next, open));
    size_t n = nlp_constraint_closing(o.work, &next, ids, 32);
    CHECK(n > 1 && n <= 8);
    CHECK(nlp_constraint_fits(o.work, &o.state, open, n + 1));
    CHECK(!nlp_constraint_fits(o.work, &o.state, open, n));
    CHECK(!nlp_constraint_fits(o.work, &o.state, open, 0));
    CHECK(nlp_constraint_closing(o.work, &next, ids, 1) == 2); /* counts to above the capacity */
    discard(&o);
}

/* ---- Hostile grammars ---- */

static void feed_often(opened *o, const char *text, size_t n) {
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
        opened o;
        open_grammar(&o, bytes_model, grammars[i]);
        feed_often(&o, "a", 3000);
        CHECK(nlp_constraint_may_end(&o.state) && o.state.n_tops + o.state.n_cells < 200);
        discard(&o);
    }
}

/* 2^n parses: once they are too many, the way on is closed, and the closing still ends the text. */
static void test_too_many_parses_only_close(void) {
    size_t length, n = 0;
    int32_t id = nlp_vocabulary_longest(nlp_test_vocabulary(bytes_model), "a", 1, &length);
    static int32_t ids[4096];
    opened o;
    open_grammar(&o, bytes_model, "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"x\"");
    while (n < 100 && nlp_constraint_advance(o.work, &o.state, id)) n++;
    CHECK(n >= 8 && n < 12);
    size_t n_closing = nlp_constraint_closing(o.work, &o.state, ids, 4096);
    char *text = nlp_test_spelt(nlp_test_vocabulary(bytes_model), ids, n_closing);
    CHECK(strlen(text) == n + 1 && *text == 'x' && strspn(text + 1, "bc") == n);
    free(text);
    discard(&o);
}

static void test_nesting_ends_at_a_bound(void) {
    size_t length, n = 0;
    int32_t id = nlp_vocabulary_longest(nlp_test_vocabulary(bytes_model), "(", 1, &length);
    opened o;
    open_grammar(&o, bytes_model, "root ::= \"(\" root \")\" | \"x\"");
    while (n < 5000 && nlp_constraint_advance(o.work, &o.state, id)) n++;
    CHECK(n > 2000 && n < NLP_CONSTRAINT_WORDS);
    CHECK(nlp_constraint_closing_bytes(o.constraint, &o.state) == n + 1);
    feed_often(&o, "x", 1);
    feed_often(&o, ")", n);
    CHECK(nlp_constraint_must_end(&o.state));
    discard(&o);
}

static void check_hostile(const char *what, char *text, size_t n, nlp_status expected) {
    opened o;
    nlp_error err = {0};
    nlp_status status =
        open_text(&o, nlp_constraint_open_grammar, bytes_model, (nlp_text){text, n}, &err);
    if (status != expected)
        nlp_test_fail(__FILE__, __LINE__, "%s: %s", what, status ? err.message : "opens");
    discard(&o);
}

/* The unit again and again behind a start, one byte below the size that is taken. */
static void check_repeated(const char *start, const char *unit, nlp_status expected) {
    enum { MOST = 1 << 20 };
    char *text = malloc(MOST);
    size_t n = strlen(start), n_unit = strlen(unit);
    memcpy(text, start, n);
    for (; n + n_unit < MOST; n += n_unit) memcpy(text + n, unit, n_unit);
    check_hostile(unit, text, n, expected);
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
    check_hostile("too many rules", text, n, NLP_ELIMIT);
    n = 0;
    for (int i = 0; i < 3000; i++) n += (size_t)sprintf(text + n, "r%d ::= r%d \"x\"?\n", i, i + 1);
    n += (size_t)sprintf(text + n, "r3000 ::= \"y\"\nroot ::= r0");
    check_hostile("rules deep inside each other", text, n, NLP_ELIMIT);
    n = (size_t)sprintf(text, "r0 ::= \"x\"\n");
    for (int i = 1; i < 60; i++)
        n += (size_t)sprintf(text + n, "r%d ::= r%d r%d\n", i, i - 1, i - 1);
    n += (size_t)sprintf(text + n, "root ::= r59");
    check_hostile("doubling", text, n, NLP_EINVAL);
    free(text);
}

/* ---- Memory, stopping ---- */

/* Each allocation of opening and running fails once; nothing is left over. */
static void test_every_allocation_may_fail(void) {
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[\"x\",1]}}}";
    const nlp_vocabulary *v;
    nlp_status status = NLP_ENOMEM;
    int n = 0;
    for (; n < 200 && status != NLP_OK; n++) {
        nlp_failing failing = {n};
        nlp_mem scarce;
        opened o;
        nlp_error err;
        nlp_mem_init(&scarce, nlp_failing_alloc, &failing, 0);
        nlp_arena_init(&o.arena, &scarce);
        status = nlp_vocabulary_open(nlp_test_tokenizer(bytes_model), &o.arena, NULL, &v, &err);
        if (status == NLP_OK)
            status =
                nlp_constraint_open_schema(v, text_of(schema), &o.arena, NULL, &o.constraint, &err);
        if (status == NLP_OK)
            status = nlp_constraint_work_open(o.constraint, &o.arena, &o.work, &err);
        CHECK(status == NLP_OK || status == NLP_ENOMEM);
        nlp_arena_deinit(&o.arena);
        CHECK(scarce.used_bytes == 0);
    }
    CHECK(status == NLP_OK && n > 10);
}

static bool stop_now(void *context) {
    ++*(int *)context;
    return true;
}

static void test_opening_and_masks_can_be_stopped(void) {
    enum { N = 500000 };
    int asked = 0;
    nlp_stop stop = {stop_now, &asked};
    nlp_poll poll;
    char *text = malloc(N);
    opened o;
    nlp_error err;
    const nlp_constraint *c;
    size_t n = (size_t)sprintf(text, "a ::= \"x\"\nroot ::= ");
    for (; n + 3 < N; n += 3) memcpy(text + n, "a? ", 3);
    nlp_poll_init(&poll, &stop, 0);
    nlp_arena_init(&o.arena, &mem);
    CHECK_STATUS(nlp_constraint_open_grammar(nlp_test_vocabulary(bytes_model), (nlp_text){text, n},
                                             &o.arena, &poll, &c, &err),
                 NLP_ECANCELED, &err);
    CHECK(asked == 1);
    discard(&o);
    float logits[420];
    open_grammar(&o, bytes_model, mixed_grammar);
    nlp_poll_init(&poll, &stop, 1);
    CHECK_STATUS(nlp_constraint_mask(o.work, &o.state, logits, 420, NULL, &poll, &err),
                 NLP_ECANCELED, &err);
    check_mask(&o, nlp_test_vocabulary(bytes_model)); /* usable at once */
    discard(&o);
    free(text);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"tokens_add_their_bytes", test_tokens_add_their_bytes},
        {"trie_has_every_token_once", test_trie_has_every_token_once},
        {"wordpiece_can_not_be_constrained", test_wordpiece_can_not_be_constrained},
        {"grammar_takes_its_texts", test_grammar_takes_its_texts},
        {"rules_may_recurse", test_rules_may_recurse},
        {"grammar_errors_name_the_line", test_grammar_errors_name_the_line},
        {"random_grammars_take_what_regexes_take", test_random_grammars_take_what_regexes_take},
        {"choices_are_all_there_is", test_choices_are_all_there_is},
        {"many_choices_share_beginnings", test_many_choices_share_beginnings},
        {"choices_are_checked", test_choices_are_checked},
        {"characters_without_tokens_are_left_out", test_characters_without_tokens_are_left_out},
        {"blank_before_a_text_is_no_part_of_it", test_blank_before_a_text_is_no_part_of_it},
        {"masks_agree_with_single_tokens", test_masks_agree_with_single_tokens},
        {"masks_outlive_a_full_cache", test_masks_outlive_a_full_cache},
        {"states_are_copies", test_states_are_copies},
        {"closing_is_shortest", test_closing_is_shortest},
        {"fits_counts_the_closing", test_fits_counts_the_closing},
        {"ambiguity_costs_no_more_with_length", test_ambiguity_costs_no_more_with_length},
        {"too_many_parses_only_close", test_too_many_parses_only_close},
        {"nesting_ends_at_a_bound", test_nesting_ends_at_a_bound},
        {"megabytes_end_in_time", test_megabytes_end_in_time},
        {"rules_are_counted", test_rules_are_counted},
        {"every_allocation_may_fail", test_every_allocation_may_fail},
        {"opening_and_masks_can_be_stopped", test_opening_and_masks_can_be_stopped},
    };
    nlp_mem_init(&mem, NULL, NULL, 0);
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
