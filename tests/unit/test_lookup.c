/* test_lookup.c: guessing ahead what a text copies: the guesses, how far they are believed, and that no
 * text is another with them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "generate/lookup.h"
#include "test.h"

static const char *const prompts[] = {"Once upon a time", "x", "He said: it is not my fault",
                                      "The cat sat on the mat and looked at the", ""};
enum { N_PROMPTS = sizeof prompts / sizeof *prompts };

static nlp_option number(const char *key, double value) {
    return (nlp_option){key, {.type = NLP_TYPE_REAL, .as.real = value}};
}

static char *copy_of(const bench *b, size_t i) {
    const nlp_value *text = b->result->outputs[i].cells;
    char *copy = calloc(1, text->n + 1);
    memcpy(copy, text->as.text, text->n);
    return copy;
}

static bool is_copy(const bench *b, size_t i, const char *copy) {
    const nlp_value *text = b->result->outputs[i].cells;
    return text->n == strlen(copy) && !memcmp(text->as.text, copy, text->n);
}

static void test_a_guess_is_what_followed_last_time(void) {
    static const int32_t ids[] = {1, 2, 3, 4, 5, 1, 2, 3, 6, 7, 8, 1, 2, 3};
    int32_t guess[8];
    enum { N = sizeof ids / sizeof *ids };
    CHECK(nlp_look_up(ids, N, guess, 2) == 2 && guess[0] == 6 && guess[1] == 7);
    CHECK(nlp_look_up(ids, N, guess, 8) == 6 && guess[5] == 3);
    CHECK(nlp_look_up(ids, N, guess, 0) == 0);
    CHECK(nlp_look_up(ids, 5, guess, 8) == 0);
    CHECK(nlp_look_up(ids, 3, guess, 8) == 0);
    CHECK(nlp_look_up(ids, 8, guess, 8) == 5 && guess[0] == 4);
    static const int32_t same[] = {9, 9, 9, 9, 9};
    CHECK(nlp_look_up(same, 5, guess, 8) == 1 && guess[0] == 9);
}

static void test_trust_follows_what_came_true(void) {
    nlp_trust trust;
    nlp_trust_begin(&trust);
    size_t first = nlp_trust_most(&trust, 8);
    CHECK(first > 0 && nlp_trust_most(&trust, 1) == 1 && nlp_trust_most(&trust, 0) == 0);
    nlp_trust_learn(&trust, first, first);
    CHECK(nlp_trust_most(&trust, 8) > first);
    for (int i = 0; i < 9; i++) nlp_trust_learn(&trust, 7, 7);
    CHECK(nlp_trust_most(&trust, 8) == 7);
    nlp_trust_learn(&trust, 7, 2);
    CHECK(nlp_trust_most(&trust, 8) == 2);
    nlp_trust_learn(&trust, 2, 0);
    CHECK(nlp_trust_most(&trust, 8) == 0);
    size_t waited = 1;
    while (!nlp_trust_most(&trust, 8)) waited++;
    CHECK(waited > 4 && waited < 100);
}

static const char schema[] =
    "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"maxItems\":60}";

static uint64_t passes_of(const bench *b) {
    nlp_counters stats = {.struct_size = sizeof stats};
    nlp_engine_get_counters(b->engine, &stats);
    return stats.forward_passes;
}

/* nlp_extract guesses, nlp_generate does not: from one prompt they make one text, by any options, and
 * where guesses come true with fewer passes. */
static void test_guesses_change_no_text(void) {
    nlp_option plain[] = {bench_whole("max_tokens", 90)};
    nlp_option penalty[] = {bench_whole("max_tokens", 90), number("repetition_penalty", 1.1)};
    nlp_option drawn[] = {bench_whole("max_tokens", 60), number("temperature", 0.7),
                          bench_whole("seed", 5)};
    const struct {
        nlp_option *options;
        size_t n;
    } ways[] = {{plain, 1}, {penalty, 2}, {drawn, 3}};
    static const char *const models[] = {"sharp-llama", "sharp-gpt2", "gemma2-caps"};
    uint64_t guessing = 0, reading = 0;
    for (size_t i = 0; i < 3 * 3 * N_PROMPTS; i++) {
        bench b = bench_open(models[i % 3]);
        nlp_option bound[4] = {
            {"schema", {.type = NLP_TYPE_JSON, .n = sizeof schema - 1, .as.text = schema}}};
        const char *text = prompts[i / 9];
        size_t way = i / 3 % 3, n = ways[way].n;
        char request[512];
        memcpy(bound + 1, ways[way].options, n * sizeof *bound);
        snprintf(request, sizeof request,
                 "Text: %s\nSchema: %s\nWrite what the text says as JSON of this schema.", text,
                 schema);
        CHECK_STATUS(bench_run(&b, "extract", text, schema, ways[way].options, n), NLP_OK, &b.err);
        uint64_t before = passes_of(&b);
        guessing += before;
        char *extracted = copy_of(&b, 0);
        CHECK_STATUS(bench_run(&b, "generate", request, NULL, bound, n + 1), NLP_OK, &b.err);
        reading += passes_of(&b) - before;
        CHECK(is_copy(&b, 0, extracted));
        free(extracted);
        bench_close(&b);
    }
    CHECK(guessing < reading);
}

/* As many texts as guess side by side, and one more than may. */
static void test_guesses_of_several_texts(void) {
    enum { MOST = 3 };
    nlp_option options[] = {bench_whole("max_tokens", 90)};
    bench b = bench_open("sharp-llama");
    nlp_text texts[2 * MOST];
    char *alone[MOST];
    for (size_t i = 0; i < MOST; i++) {
        texts[2 * i] = nlp_test_text(prompts[i]);
        texts[2 * i + 1] = nlp_test_text(schema);
        CHECK_STATUS(bench_run(&b, "extract", prompts[i], schema, options, 1), NLP_OK, &b.err);
        alone[i] = copy_of(&b, 0);
    }
    for (size_t n = 1; n <= MOST; n++) {
        CHECK_STATUS(bench_run_texts(&b, "extract", texts, n, options, 1), NLP_OK, &b.err);
        for (size_t i = 0; i < n; i++) CHECK(is_copy(&b, i, alone[i]));
    }
    for (size_t i = 0; i < MOST; i++) free(alone[i]);
    bench_close(&b);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"a_guess_is_what_followed_last_time", test_a_guess_is_what_followed_last_time},
        {"trust_follows_what_came_true", test_trust_follows_what_came_true},
        {"guesses_change_no_text", test_guesses_change_no_text},
        {"guesses_of_several_texts", test_guesses_of_several_texts}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
