/* test_pick: summaries out of a text's own sentences: whole ones in their order, under the limit, those that
 * the documented choice takes; which texts get them where no model is named; and what is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "test.h"

static const char *const models[] = {"st-bert-cls-prompts", "model2vec"};
enum { N_MODELS = 2 };
static const double relevance = 0.7; /* as documented */

static const char *const sentences[] = {
    "The club won the cup.", "It rained all day.",         "The players had won a cup before.",
    "Bread was cheap.",      "A cup is what a club wins.", "Nobody knew why."};
enum { N_SENTENCES = 6 };

static char *joined(const char *between) {
    char *text = calloc(1, 400);
    for (int i = 0; i < N_SENTENCES; i++)
        sprintf(text + strlen(text), "%s%s", i ? between : "", sentences[i]);
    return text;
}

static nlp_option flag(const char *key, bool value) {
    return (nlp_option){key, {.type = NLP_TYPE_BOOLEAN, .as.boolean = value}};
}

static char *summary(bench *b, const char *text, int64_t most) {
    nlp_option options[] = {bench_whole("max_tokens", most)};
    CHECK_STATUS(bench_run(b, "summarize", text, NULL, options, 1), NLP_OK, &b->err);
    const nlp_value *value = b->result->outputs->cells;
    char *copy = calloc(1, value->n + 1);
    if (value->n) memcpy(copy, value->as.text, value->n);
    return copy;
}

#define CHECK_SUMMARY(b, text, most, expected)                                                     \
    do {                                                                                           \
        char *got_ = summary(b, text, most);                                                       \
        CHECK_TEXT(got_, expected);                                                                \
        free(got_);                                                                                \
    } while (0)

static int64_t n_tokens(bench *b, const char *text) {
    nlp_option plain = flag("special_tokens", false);
    CHECK_STATUS(bench_run(b, "token_count", text, NULL, &plain, 1), NLP_OK, &b->err);
    return b->result->outputs->cells->as.integer;
}

/* ---- The choice, once more in doubles ---- */

typedef struct expected {
    double cosines[N_SENTENCES][N_SENTENCES], worth[N_SENTENCES];
    int64_t tokens[N_SENTENCES];
} expected;

static expected expectation(bench *b) {
    expected e;
    double middle = 0;
    for (int i = 0; i < N_SENTENCES; i++) {
        e.tokens[i] = n_tokens(b, sentences[i]);
        for (int k = 0; k < N_SENTENCES; k++) {
            CHECK_STATUS(bench_run(b, "similarity", sentences[i], sentences[k], NULL, 0), NLP_OK,
                         &b->err);
            middle += e.cosines[i][k] = b->result->outputs->cells->as.real;
        }
    }
    for (int i = 0; i < N_SENTENCES; i++) { /* the length of a sum is the root of all its cosines */
        e.worth[i] = 0;
        for (int k = 0; k < N_SENTENCES; k++) e.worth[i] += e.cosines[i][k] / sqrt(middle);
    }
    return e;
}

static int next_of(const expected *e, const bool *taken, int64_t room) {
    int best = -1;
    double most = 0;
    for (int i = 0; i < N_SENTENCES; i++) {
        double repeated = 0;
        for (int k = 0; k < N_SENTENCES; k++)
            if (taken[k] && e->cosines[i][k] > repeated) repeated = e->cosines[i][k];
        double score = relevance * e->worth[i] - (1 - relevance) * repeated;
        if (!taken[i] && e->tokens[i] <= room && (best < 0 || score > most)) best = i, most = score;
    }
    return best;
}

static char *expected_summary(const expected *e, int64_t room) {
    bool taken[N_SENTENCES] = {false};
    char *text = calloc(1, 400);
    for (int i; (i = next_of(e, taken, room)) >= 0; room -= e->tokens[i]) taken[i] = true;
    for (int i = 0; i < N_SENTENCES; i++)
        if (taken[i]) sprintf(text + strlen(text), "%s%s", *text ? " " : "", sentences[i]);
    return text;
}

static void test_the_nearest_to_the_middle_that_repeat_little(void) {
    char *text = joined("  ");
    for (int m = 0; m < N_MODELS; m++) {
        bench b = bench_open(models[m]);
        expected e = expectation(&b);
        int64_t least = e.tokens[0], all = 0;
        for (int i = 0; i < N_SENTENCES; i++) {
            if (e.tokens[i] < least) least = e.tokens[i];
            all += e.tokens[i];
        }
        for (int64_t room = least; room <= all; room++) {
            char *wanted = expected_summary(&e, room);
            CHECK_SUMMARY(&b, text, room, wanted);
            free(wanted);
        }
        bench_close(&b);
    }
    free(text);
}

/* ---- Odd texts ---- */

static void test_lines_and_blanks_become_one_blank(void) {
    char *lines = joined("\n\n "), *blanks = joined(" ");
    bench b = bench_open(models[0]);
    CHECK_SUMMARY(&b, lines, 128, blanks);
    CHECK_SUMMARY(&b, "猫がいる。犬もいる。", 128, "猫がいる。 犬もいる。");
    bench_close(&b);
    free(lines);
    free(blanks);
}

static void test_little_or_nothing_to_choose_from(void) {
    for (int m = 0; m < N_MODELS; m++) {
        bench b = bench_open(models[m]);
        CHECK_SUMMARY(&b, "", 128, "");
        CHECK_SUMMARY(&b, " \n\t ", 128, "");
        CHECK_SUMMARY(&b, " One sentence only. ", 128, "One sentence only.");
        CHECK_SUMMARY(&b, "no end", 128, "no end");
        CHECK_SUMMARY(&b, "!!! ... ?!", 128, "!!! ... ?!");
        CHECK_SUMMARY(&b, "It is so. It is so. It is so.", 128, "It is so.");
        bench_close(&b);
    }
}

/* The limit holds: where no sentence fits, the best is cut. */
static void test_a_sentence_over_the_limit_is_cut(void) {
    bench b = bench_open(models[0]);
    const char *one = "It is a man in the city of Zürich and it is in the north.";
    for (int64_t most = 1; most < n_tokens(&b, one); most++) {
        char *got = summary(&b, one, most);
        CHECK(!strncmp(got, one, strlen(got)) && n_tokens(&b, got) <= most);
        CHECK(*got && got[strlen(got) - 1] != ' ');
        free(got);
    }
    bench_close(&b);
}

static void test_a_megabyte(void) {
    enum { BYTES = 1 << 20 };
    char *text = calloc(1, BYTES + 1);
    bench b = bench_open("model2vec");
    for (size_t i = 0; i < BYTES; i += 32)
        memcpy(text + i,
               i % 96 ? "The club in Paris won the cup.\r\n" : "It rained on us all the day.  \r\n",
               32);
    char *got = summary(&b, text, 20);
    CHECK(*got && n_tokens(&b, got) <= 20);
    free(got);
    for (size_t i = 0; i < BYTES; i += 2) memcpy(text + i, "a\n", 2); /* half a million */
    CHECK_SUMMARY(&b, text, 20, "a");
    memset(text, '-', BYTES);
    got = summary(&b, text, 20);
    CHECK(n_tokens(&b, got) <= 20);
    free(got);
    free(text);
    bench_close(&b);
}

static void test_texts_of_a_call_do_not_meet(void) {
    char *text = joined(" ");
    nlp_option options[] = {bench_whole("max_tokens", 14)};
    bench b = bench_open(models[0]);
    char *alone = summary(&b, text, 14);
    nlp_text texts[] = {
        nlp_test_text("It rained. It rained."), nlp_test_text(text), {NULL, 0}, nlp_test_text("")};
    CHECK_STATUS(bench_run_texts(&b, "summarize", texts, 4, options, 1), NLP_OK, &b.err);
    CHECK(bench_is_text(b.result->outputs[1].cells, alone));
    CHECK(b.result->outputs[2].cells->type == NLP_TYPE_NULL);
    CHECK(bench_is_text(b.result->outputs[3].cells, ""));
    bench_close(&b);
    free(alone);
    free(text);
}

/* ---- Which form ---- */

static void test_what_a_model_cannot_do_is_refused(void) {
    bench b = bench_open(models[0]);
    nlp_option no = flag("extractive", false), yes = flag("extractive", true),
               word = bench_text("extractive", "yes"), warm = bench_whole("top_k", 4),
               nothing = {"top_k", {.type = NLP_TYPE_NULL}}, none = bench_whole("max_tokens", 0);
    CHECK_STATUS(bench_run(&b, "summarize", "x", NULL, &yes, 1), NLP_OK, &b.err);
    CHECK_STATUS(bench_run(&b, "summarize", "x", NULL, &nothing, 1), NLP_OK, &b.err);
    CHECK_STATUS(bench_run(&b, "summarize", "x", NULL, &no, 1), NLP_EUNSUPPORTED, &b.err);
    CHECK(strstr(b.err.message, "does not write"));
    CHECK_STATUS(bench_run(&b, "summarize", "x", NULL, &warm, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "\"top_k\"") && strstr(b.err.message, "picks sentences"));
    CHECK_STATUS(bench_run(&b, "summarize", "x", NULL, &word, 1), NLP_EINVAL, &b.err);
    CHECK_STATUS(bench_run(&b, "summarize", "x", NULL, &none, 1), NLP_EINVAL, &b.err);
    bench_close(&b);
    b = bench_open("sharp-bart");
    CHECK_STATUS(bench_run(&b, "summarize", "x", NULL, &yes, 1), NLP_EUNSUPPORTED, &b.err);
    CHECK(strstr(b.err.message, "vectors") && strstr(b.err.hint, "\"extractive\""));
    bench_close(&b);
}

#define CHECK_STARTER(set, operand, options, n, expected)                                          \
    do {                                                                                           \
        CHECK(nlp_task_default_model(task, set, operand, options, n, name, &b.err) == NLP_OK);     \
        CHECK_TEXT(name, expected);                                                                \
    } while (0)

static void test_the_default_model_follows_length_and_options(void) {
    bench b = bench_open("model2vec");
    const nlp_task_spec *task = nlp_task_find(b.engine, "summarize");
    char name[NLP_MODEL_NAME_BYTES], *bytes = calloc(1, 4097);
    memset(bytes, 'x', 4097);
    nlp_text shorter = {bytes, 4096}, longer = {bytes, 4097};
    nlp_option yes = flag("extractive", true), no = flag("extractive", false),
               length = bench_whole("max_tokens", 9), warm = bench_whole("top_k", 4);
    CHECK_STARTER("", &shorter, NULL, 0, "smollm2");
    CHECK_STARTER("", &longer, NULL, 0, "minilm");
    CHECK_STARTER(NULL, NULL, NULL, 0, "smollm2");
    CHECK_STARTER("", &longer, &length, 1, "minilm");
    CHECK_STARTER("", &longer, &warm, 1, "smollm2");
    CHECK_STARTER("", &longer, &no, 1, "smollm2");
    CHECK_STARTER("", &shorter, &yes, 1, "minilm");
    CHECK_STARTER("mine", &longer, &yes, 1, "mine");
    free(bytes);
    bench_close(&b);
}

/* ---- Stopping and failing ---- */

static bool stop_after(void *context) {
    return (*(int *)context)-- <= 0;
}

static void test_a_call_can_be_stopped(void) {
    enum { WORDS = 20000 };
    bench b = bench_open("model2vec");
    char *text = bench_long_text(WORDS);
    for (size_t i = 200; text[i]; i++)
        if (text[i] == ' ' && i % 5 == 0) text[i] = '\n';
    nlp_text one = nlp_test_text(text);
    for (int polls = 0; polls < 3; polls++) {
        int left = polls;
        nlp_request request = {.struct_size = sizeof request,
                               .task = nlp_task_find(b.engine, "summarize"),
                               .model = b.model,
                               .texts = &one,
                               .n_inputs = 1,
                               .stop = {stop_after, &left}};
        CHECK_STATUS(nlp_session_run(b.session, &request, &b.result, &b.err), NLP_ECANCELED,
                     &b.err);
        CHECK_SUMMARY(&b, "It is so.", 9, "It is so.");
    }
    free(text);
    bench_close(&b);
}

static void test_every_allocation_may_fail(void) {
    nlp_text text = nlp_test_text("I did. You did. Who did it then?");
    nlp_option options[] = {bench_whole("max_tokens", 6)};
    bench_fail_each_allocation(models[0], "summarize", &text, options, 1);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"the_nearest_to_the_middle_that_repeat_little",
         test_the_nearest_to_the_middle_that_repeat_little},
        {"lines_and_blanks_become_one_blank", test_lines_and_blanks_become_one_blank},
        {"little_or_nothing_to_choose_from", test_little_or_nothing_to_choose_from},
        {"a_sentence_over_the_limit_is_cut", test_a_sentence_over_the_limit_is_cut},
        {"a_megabyte", test_a_megabyte},
        {"texts_of_a_call_do_not_meet", test_texts_of_a_call_do_not_meet},
        {"what_a_model_cannot_do_is_refused", test_what_a_model_cannot_do_is_refused},
        {"the_default_model_follows_length_and_options",
         test_the_default_model_follows_length_and_options},
        {"a_call_can_be_stopped", test_a_call_can_be_stopped},
        {"every_allocation_may_fail", test_every_allocation_may_fail}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
