/* core/generate: vocabularies, choices, which tokens may follow, how a text closes. Grammars are in
 * test_grammar.c, schemas in test_schema.c. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "failing.h"
#include "hf_tokenizer.h"
#include "models.h"
#include "test.h"
#include "text/tokenizer_format.h"
#include "writer.h"

static const char bytes_model[] = "sharp-llama";     /* byte-level BPE */
static const char fallback_model[] = "gemma2-caps";  /* SentencePiece with pieces of bytes */
static const char letters_model[] = "sharp-flan-t5"; /* Unigram: characters only, no '{', no 'é' */

static nlp_mem mem;

static void open_choices(nlp_constrained *c, const char *model, const nlp_text *choices, size_t n) {
    nlp_error err;
    CHECK_STATUS(nlp_constrained_choices(c, model, choices, n, &err), NLP_OK, &err);
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
        nlp_text text = nlp_test_text(cases[i].text);
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
    CHECK(nlp_test_vocabulary(bytes_model)->is_bytes);
    CHECK(nlp_test_vocabulary(fallback_model)->is_bytes);
    CHECK(!nlp_test_vocabulary(letters_model)->is_bytes);
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

/* ---- Choices ---- */

static void test_choices_are_all_there_is(void) {
    static const char *const choices[] = {"positive", "negative",    "neutral", "neutral-ish",
                                          "pos",      "caf\xC3\xA9", "neutral"};
    nlp_text texts[7];
    nlp_constrained o;
    for (size_t i = 0; i < 7; i++) texts[i] = nlp_test_text(choices[i]);
    open_choices(&o, bytes_model, texts, 7);
    for (size_t i = 0; i < 7; i++) CHECK(nlp_constrained_accepts(&o, choices[i]));
    CHECK(!nlp_constrained_accepts(&o, "") && !nlp_constrained_accepts(&o, "po") &&
          !nlp_constrained_accepts(&o, "positives"));
    CHECK(!nlp_constrained_accepts(&o, "caf\xC3\xA8") && !nlp_constrained_accepts(&o, "neutral-"));
    CHECK(nlp_constrained_accepts(&o, "pos") && !nlp_constraint_must_end(&o.state));
    CHECK(nlp_constrained_accepts(&o, "positive") && nlp_constraint_must_end(&o.state));
    CHECK(nlp_constrained_accepts(&o, "neutral") && !nlp_constraint_must_end(&o.state));
    nlp_constrained_close(&o);
    open_choices(&o, bytes_model, &(nlp_text){"", 0}, 1);
    CHECK(nlp_constrained_accepts(&o, "") && nlp_constraint_must_end(&o.state));
    nlp_constrained_close(&o);
}

/* By every kind of tokenizer, in whatever tokens. */
static void test_decoded_texts_are_choices(void) {
    static const char *const models[] = {bytes_model, fallback_model, letters_model};
    static const char *const choices[] = {"the first", "the other one", "none", "no"};
    static int32_t ids[NLP_CONSTRAINT_MAX_CLOSING];
    nlp_random random = {17};
    nlp_text texts[4];
    for (size_t i = 0; i < 4; i++) texts[i] = nlp_test_text(choices[i]);
    for (size_t m = 0; m < 3; m++) {
        nlp_constrained o;
        unsigned seen = 0;
        open_choices(&o, models[m], texts, 4);
        for (int i = 0; i < 60; i++) {
            nlp_test_writing w = {.vocabulary = o.vocabulary,
                                  .constraint = o.constraint,
                                  .work = o.work,
                                  .random = &random,
                                  .max_tokens = (size_t)i % 20,
                                  .alone = true,
                                  .ids = ids};
            nlp_test_write(&w);
            char *text = nlp_test_decoded(models[m], ids, w.n);
            size_t k = 0;
            while (k < 4 && strcmp(text, choices[k]) != 0) k++;
            if (k == 4) nlp_test_fail(__FILE__, __LINE__, "%s writes \"%s\"", models[m], text);
            seen |= 1u << k;
            free(text);
        }
        CHECK(seen == 15);
        nlp_constrained_close(&o);
    }
}

static void test_many_choices_share_beginnings(void) {
    enum { N = 20000 };
    char(*names)[16] = malloc(N * sizeof *names);
    nlp_text *texts = malloc(N * sizeof *texts);
    nlp_constrained o;
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "label %d", i * 7);
        texts[i] = nlp_test_text(names[i]);
    }
    open_choices(&o, bytes_model, texts, N);
    for (int i = 0; i < N; i += 997) CHECK(nlp_constrained_accepts(&o, names[i]));
    CHECK(!nlp_constrained_accepts(&o, "label 1") && !nlp_constrained_accepts(&o, "label"));
    nlp_constrained_close(&o);
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
    nlp_constrained o;
    nlp_error err;
    nlp_constrained_refuses(nlp_constraint_open_grammar, letters_model,
                            nlp_test_text("root ::= \"{\""), NLP_EINVAL, &err);
    CHECK_TEXT(err.message, "the grammar asks for U+007B, for which the model has no token");
    nlp_constrained_grammar(&o, letters_model, "root ::= [^0-9]+ \".\"");
    CHECK(nlp_constrained_feed(&o, "the end.") && nlp_constraint_may_end(&o.state));
    nlp_constraint_begin(o.constraint, false, &o.state);
    CHECK(!nlp_constrained_feed(&o, "the 1"));
    nlp_constrained_close(&o);
}

/* As SmolLM2's: some bytes are no tokens, and the characters that need them are out of reach, no more. */
static void test_missing_bytes_cost_their_characters_only(void) {
    static const uint8_t missing[] = {0x04, 0xF1, 0xF2};
    nlp_constrained o = {.work = NULL};
    nlp_tokenizer *tokenizer;
    nlp_buf blob;
    nlp_error err;
    char path[512];
    snprintf(path, sizeof path, "%s/models/%s/tokenizer.json", nlp_test_data(), bytes_model);
    json_t *json = json_load_file(path, 0, NULL);
    json_t *vocabulary = json_object_get(json_object_get(json, "model"), "vocab");
    for (size_t i = 0; i < sizeof missing; i++) {
        char letter[8] = {0}, instead[8];
        nlp_utf8_encode(nlp_byte_letter(missing[i]), letter);
        snprintf(instead, sizeof instead, "zzz%zu", i);
        json_object_set(vocabulary, instead, json_object_get(vocabulary, letter));
        CHECK(json_object_del(vocabulary, letter) == 0);
    }
    nlp_buf_init(&blob, &mem);
    nlp_arena_init(&o.arena, &mem);
    CHECK_STATUS(nlp_hf_tokenizer_build(json, "tokenizer.json", &blob, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_tokenizer_open(blob.bytes, blob.n_bytes, &mem, &tokenizer, &err), NLP_OK,
                 &err);
    CHECK_STATUS(nlp_vocabulary_open(tokenizer, &o.arena, NULL, &o.vocabulary, &err), NLP_OK, &err);
    static const uint32_t spelt[] = {0x05, 'a', 0xE9, 0x20AC, 0x1F600, 0x3FFFF, 0xC0000, 0x10FFFF};
    static const uint32_t lost[] = {0, 0x04, 0x40000, 0x7FFFF, 0x80000, 0xBFFFF};
    CHECK(o.vocabulary->is_bytes);
    for (size_t i = 0; i < 8; i++) CHECK(nlp_vocabulary_spells(o.vocabulary, spelt[i]));
    for (size_t i = 0; i < 6; i++) CHECK(!nlp_vocabulary_spells(o.vocabulary, lost[i]));
    CHECK_STATUS(nlp_constraint_open_grammar(o.vocabulary, nlp_test_text("root ::= .*"), &o.arena,
                                             NULL, &o.constraint, &err),
                 NLP_OK, &err);
    CHECK_STATUS(nlp_constraint_work_open(o.constraint, &o.arena, &o.work, &err), NLP_OK, &err);
    for (size_t i = 0; i < 8; i++) {
        char text[8] = {0};
        nlp_utf8_encode(spelt[i], text);
        CHECK(nlp_constrained_accepts(&o, text));
        text[strlen(text) - 1] = 0; /* a part of a character, or nothing at all */
        CHECK(nlp_constrained_accepts(&o, text) == (*text == 0));
    }
    json_decref(json);
    nlp_tokenizer_close(tokenizer);
    nlp_buf_deinit(&blob);
    nlp_constrained_close(&o);
}

/* A decoder that takes the blank before a text away gets one that is not missed. */
static void test_blank_before_a_text_is_no_part_of_it(void) {
    const nlp_text choices[] = {{"the", 3}, {" of", 3}};
    const nlp_vocabulary *v = nlp_test_vocabulary(letters_model);
    size_t length;
    int32_t blank = nlp_vocabulary_longest(v, " ", 1, &length), ids[8];
    nlp_constrained o;
    open_choices(&o, letters_model, choices, 1);
    CHECK(length == 1 && !nlp_constraint_takes(o.work, &o.state, blank));
    nlp_constraint_begin(o.constraint, true, &o.state);
    CHECK(nlp_constrained_feed(&o, "the") && nlp_constraint_must_end(&o.state));
    nlp_constraint_begin(o.constraint, true, &o.state);
    CHECK(nlp_constraint_advance(o.work, &o.state, blank));
    CHECK(!nlp_constraint_takes(o.work, &o.state, blank));
    CHECK(nlp_constrained_feed(&o, "the") && nlp_constraint_must_end(&o.state));
    nlp_constrained_close(&o);
    open_choices(&o, letters_model, choices + 1, 1);
    nlp_constraint_begin(o.constraint, true, &o.state);
    CHECK(nlp_constraint_closing_bytes(o.constraint, &o.state) == 4);
    size_t n = nlp_constraint_closing(o.work, &o.state, ids, 8);
    char *text = nlp_test_spelt(v, ids, n);
    CHECK_TEXT(text, "  of");
    free(text);
    nlp_constrained_close(&o);
}

/* ---- Masks ---- */

static const char mixed_grammar[] =
    "root ::= \"{\" pair (\", \" pair)* \"}\" | list | word+ \".\"\n"
    "pair ::= [a-z\xC3\xA9]+ \":\" value\nvalue ::= list | [0-9]{1,4} | \"the\" | \"then\"\n"
    "list ::= \"[\" (value (\",\" value)*)? \"]\"\nword ::= \" \"? [^ .,]+ \",\"?\n";

static void check_mask(nlp_constrained *o, const nlp_vocabulary *v) {
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
            nlp_constrained o;
            nlp_constrained_grammar(&o, models[m], mixed_grammar);
            for (int step = 0; step < 20 && !nlp_constraint_must_end(&o.state);) {
                int32_t id = (int32_t)(random_u32(&random) % v->spellings.n);
                if (!nlp_constraint_advance(o.work, &o.state, id)) continue;
                step++;
                check_mask(&o, v);
            }
            nlp_constrained_close(&o);
        }
    }
}

/* More states than the cache holds: the masks stay the same. */
static void test_masks_outlive_a_full_cache(void) {
    enum { N = 4000 };
    char(*names)[16] = malloc(N * sizeof *names);
    nlp_text *texts = malloc(N * sizeof *texts);
    nlp_random random = {8};
    nlp_constrained o;
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
            CHECK(nlp_constrained_feed(&o, byte));
            check_mask(&o, v);
        }
    }
    nlp_constrained_close(&o);
    free(names);
    free(texts);
}

static void test_states_are_copies(void) {
    nlp_constrained o;
    nlp_constraint_state fork;
    nlp_constrained_grammar(&o, bytes_model, "root ::= \"a\" root \"b\" | \"c\"");
    CHECK(nlp_constrained_feed(&o, "aa"));
    nlp_constraint_copy(&fork, &o.state);
    CHECK(nlp_constrained_feed(&o, "cbb") && nlp_constraint_must_end(&o.state));
    o.state = fork;
    CHECK(nlp_constrained_feed(&o, "acbbb") && nlp_constraint_must_end(&o.state));
    nlp_constrained_close(&o);
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
        nlp_constrained o;
        nlp_constrained_grammar(&o, bytes_model, cases[i].grammar);
        CHECK(nlp_constrained_feed(&o, cases[i].before));
        size_t n = nlp_constraint_closing(o.work, &o.state, ids, 16);
        char *text = nlp_test_spelt(nlp_test_vocabulary(bytes_model), ids, n);
        CHECK_TEXT(text, cases[i].closing);
        CHECK(nlp_constraint_closing_bytes(o.constraint, &o.state) == strlen(text));
        for (size_t k = 0; k < n; k++) CHECK(nlp_constraint_advance(o.work, &o.state, ids[k]));
        CHECK(nlp_constraint_may_end(&o.state));
        free(text);
        nlp_constrained_close(&o);
    }
}

static void test_fits_counts_the_closing(void) {
    int32_t ids[32];
    size_t length;
    int32_t open = nlp_vocabulary_longest(nlp_test_vocabulary(bytes_model), "(", 1, &length);
    nlp_constrained o;
    nlp_constrained_grammar(&o, bytes_model, "root ::= \"(\" root \")\" | \"x\"");
    for (int i = 0; i < 6; i++) CHECK(nlp_constraint_advance(o.work, &o.state, open));
    nlp_constraint_state next = o.state;
    CHECK(nlp_constraint_advance(o.work, &next, open));
    size_t n = nlp_constraint_closing(o.work, &next, ids, 32);
    CHECK(n > 1 && n <= 8);
    CHECK(nlp_constraint_fits(o.work, &o.state, open, n + 1));
    CHECK(!nlp_constraint_fits(o.work, &o.state, open, n));
    CHECK(!nlp_constraint_fits(o.work, &o.state, open, 0));
    CHECK(nlp_constraint_closing(o.work, &next, ids, 1) == 2); /* counts to above the capacity */
    nlp_constrained_close(&o);
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
        nlp_constrained o;
        nlp_error err;
        nlp_mem_init(&scarce, nlp_failing_alloc, &failing, 0);
        nlp_arena_init(&o.arena, &scarce);
        status = nlp_vocabulary_open(nlp_test_tokenizer(bytes_model), &o.arena, NULL, &v, &err);
        if (status == NLP_OK)
            status = nlp_constraint_open_schema(v, nlp_test_text(schema), &o.arena, NULL,
                                                &o.constraint, &err);
        if (status == NLP_OK)
            status = nlp_constraint_work_open(o.constraint, &o.arena, &o.work, &err);
        CHECK(status == NLP_OK || status == NLP_ENOMEM);
        nlp_arena_deinit(&o.arena);
        CHECK(scarce.used_bytes == 0);
    }
    CHECK(status == NLP_OK && n > 5);
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
    nlp_constrained o;
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
    nlp_constrained_close(&o);
    float logits[420];
    nlp_constrained_grammar(&o, bytes_model, mixed_grammar);
    nlp_poll_init(&poll, &stop, 1);
    CHECK_STATUS(nlp_constraint_mask(o.work, &o.state, logits, 420, NULL, &poll, &err),
                 NLP_ECANCELED, &err);
    check_mask(&o, nlp_test_vocabulary(bytes_model)); /* usable at once */
    nlp_constrained_close(&o);
    free(text);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"tokens_add_their_bytes", test_tokens_add_their_bytes},
        {"trie_has_every_token_once", test_trie_has_every_token_once},
        {"wordpiece_can_not_be_constrained", test_wordpiece_can_not_be_constrained},
        {"choices_are_all_there_is", test_choices_are_all_there_is},
        {"decoded_texts_are_choices", test_decoded_texts_are_choices},
        {"many_choices_share_beginnings", test_many_choices_share_beginnings},
        {"choices_are_checked", test_choices_are_checked},
        {"characters_without_tokens_are_left_out", test_characters_without_tokens_are_left_out},
        {"missing_bytes_cost_their_characters_only", test_missing_bytes_cost_their_characters_only},
        {"blank_before_a_text_is_no_part_of_it", test_blank_before_a_text_is_no_part_of_it},
        {"masks_agree_with_single_tokens", test_masks_agree_with_single_tokens},
        {"masks_outlive_a_full_cache", test_masks_outlive_a_full_cache},
        {"states_are_copies", test_states_are_copies},
        {"closing_is_shortest", test_closing_is_shortest},
        {"fits_counts_the_closing", test_fits_counts_the_closing},
        {"every_allocation_may_fail", test_every_allocation_may_fail},
        {"opening_and_masks_can_be_stopped", test_opening_and_masks_can_be_stopped},
    };
    nlp_mem_init(&mem, NULL, NULL, 0);
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
