/* test_tasks: what the reference's files don't show of the tasks over heads: texts longer than the
 * model, other label schemes, nothing to find, bad input. Models are those of tests/data/models,
 * some under other labels; scripts/parity compares their answers with the reference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "test.h"

/* ---- Entities ---- */

/* No label is outside: with aggregation none every token is a row. */
static bench open_all_inside(void) {
    static const char *const labels[] = {"X", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"};
    return bench_open_as("inside", "bert-tokcls", labels, 7);
}

typedef struct places {
    int64_t *starts, *ends;
    double *scores;
    size_t n;
} places;

static places places_of(const bench *b, uint32_t n_columns, uint32_t start, uint32_t score) {
    size_t n = b->result->outputs->n_rows;
    places p = {malloc(8 * n + 8), malloc(8 * n + 8), malloc(8 * n + 8), 0};
    for (uint32_t i = 0; i < n; i++) {
        if (bench_cell(b, i, n_columns, start)->type == NLP_TYPE_NULL)
            continue; /* a special token */
        p.starts[p.n] = bench_cell(b, i, n_columns, start)->as.integer;
        p.ends[p.n] = bench_cell(b, i, n_columns, start + 1)->as.integer;
        p.scores[p.n++] = score == UINT32_MAX ? 0 : bench_cell(b, i, n_columns, score)->as.real;
    }
    return p;
}

static void free_places(places *p) {
    free(p->starts);
    free(p->ends);
    free(p->scores);
}

static bool same_places(const places *a, const places *b) {
    return a->n == b->n && !memcmp(a->starts, b->starts, 8 * a->n) &&
           !memcmp(a->ends, b->ends, 8 * a->n);
}

/* Tokens of a text without the special ones. */
static size_t count_tokens(bench *b, const char *text) {
    CHECK_STATUS(bench_run(b, "token_count", text, NULL, NULL, 0), NLP_OK, &b->err);
    return (size_t)b->result->outputs->cells->as.integer - 2;
}

static void test_windows_lose_and_double_no_token(void) {
    bench b = open_all_inside();
    char *text = bench_long_text(300);
    size_t n_tokens = count_tokens(&b, text);
    for (int64_t limit = 3; limit <= 64; limit = limit < 12 ? limit + 1 : limit * 2 + 1) {
        nlp_option options[] = {bench_text("aggregation", "none"),
                                bench_whole("max_tokens", limit)};
        CHECK_STATUS(bench_run(&b, "entities", text, NULL, options, 2), NLP_OK, &b.err);
        CHECK(!b.result->outputs->truncated);
        places found = places_of(&b, 5, 3, 2);
        CHECK(found.n == n_tokens);
        for (size_t i = 1; i < found.n; i++)
            if (found.starts[i] != found.ends[i - 1] + 1 &&
                found.starts[i] != found.ends[i - 1] + 2)
                nlp_test_fail(__FILE__, __LINE__, "limit %d: token %zu is not behind the last",
                              (int)limit, i);
        free_places(&found);
    }
    free(text);
    bench_close(&b);
}

/* A token's row is that of the window where it has most context: the first window is the text cut
 * at the limit. */
static void test_the_first_window_is_the_truncated_text(void) {
    bench b = open_all_inside();
    char *text = bench_long_text(100);
    nlp_option options[] = {bench_text("aggregation", "none"),
                            bench_text("on_overflow", "truncate"), bench_whole("max_tokens", 34)};
    CHECK_STATUS(bench_run(&b, "entities", text, NULL, options, 3), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated && b.result->outputs->n_rows == 32);
    places cut = places_of(&b, 5, 3, 2);
    options[1] = bench_text("on_overflow", "chunk");
    CHECK_STATUS(bench_run(&b, "entities", text, NULL, options, 3), NLP_OK, &b.err);
    places all = places_of(&b, 5, 3, 2);
    CHECK(all.n > cut.n && !memcmp(all.scores, cut.scores, 28 * sizeof *cut.scores));
    CHECK(all.scores[31] != cut.scores[31]); /* seen better by the second */
    options[1] = bench_text("on_overflow", "error");
    CHECK_STATUS(bench_run(&b, "entities", text, NULL, options, 3), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, " 34"));
    free_places(&cut);
    free_places(&all);
    free(text);
    bench_close(&b);
}

static void test_entities_do_not_depend_on_batch_or_threads(void) {
    enum { N = 12 };
    bench b = bench_open("bert-tokcls");
    nlp_text texts[N];
    char *storage[N];
    for (size_t i = 0; i < N; i++)
        texts[i] = nlp_test_text(storage[i] = bench_long_text(10 + 17 * i));
    places alone[N];
    for (size_t i = 0; i < N; i++) {
        CHECK_STATUS(bench_run_texts(&b, "entities", &texts[i], 1, NULL, 0), NLP_OK, &b.err);
        alone[i] = places_of(&b, 5, 3, 2);
    }
    for (uint32_t threads = 1; threads <= 4; threads += 3) {
        nlp_engine_set_limits(b.engine, threads, 0);
        CHECK_STATUS(bench_run_texts(&b, "entities", texts, N, NULL, 0), NLP_OK, &b.err);
        for (size_t i = 0; i < N; i++) {
            nlp_result one = {.n_inputs = 1, .outputs = &b.result->outputs[i]};
            bench view = b;
            view.result = &one;
            places p = places_of(&view, 5, 3, 2);
            CHECK(same_places(&p, &alone[i]) &&
                  !memcmp(p.scores, alone[i].scores, p.n * sizeof *p.scores));
            free_places(&p);
        }
    }
    for (size_t i = 0; i < N; i++) free(storage[i]), free_places(&alone[i]);
    bench_close(&b);
}

/* Every token of the text gets the last label from this model. */
static uint32_t entities_of(const char *name, const char *last, const char *other,
                            const char *shown) {
    const char *labels[] = {"O", "B-PER", other, "B-ORG", other, "B-LOC", last};
    bench b = bench_open_as(name, "bert-tokcls", labels, 7);
    CHECK_STATUS(bench_run(&b, "entities", "IBM and Apple", NULL, NULL, 0), NLP_OK, &b.err);
    uint32_t n = b.result->outputs->n_rows;
    CHECK(n && bench_is_text(bench_cell(&b, 0, 5, 1), shown));
    bench_close(&b);
    return n;
}

static void test_label_schemes(void) {
    bench b = open_all_inside();
    nlp_option none = bench_text("aggregation", "none");
    CHECK_STATUS(bench_run(&b, "entities", "IBM and Apple", NULL, &none, 1), NLP_OK, &b.err);
    uint32_t n = b.result->outputs->n_rows;
    for (uint32_t i = 0; i < n; i++) CHECK(bench_is_text(bench_cell(&b, i, 5, 1), "I-LOC"));
    bench_close(&b);
    CHECK(n > 3);
    CHECK(entities_of("bio-i", "I-LOC", "I-PER", "LOC") == 1);
    CHECK(entities_of("bio-b", "B-LOC", "I-PER", "LOC") == n);
    CHECK(entities_of("io", "LOC", "PER", "LOC") == 1);
    CHECK(entities_of("bioes-i", "I-LOC", "S-PER", "LOC") == 1);
    CHECK(entities_of("bioes-s", "S-LOC", "S-PER", "LOC") == n);
    CHECK(entities_of("bioes-e", "E-LOC", "S-PER", "LOC") == n);
    CHECK(entities_of("bilou-u", "U-LOC", "L-PER", "LOC") == n);
    CHECK(entities_of("bilou-l", "L-LOC", "U-PER", "LOC") == n);
    CHECK(entities_of("no-scheme", "S-Bahn", "Tram", "Bahn") == 1);
}

static void test_entities_of_nothing(void) {
    bench b = bench_open("bert-tokcls");
    nlp_option strict = {"threshold", {.type = NLP_TYPE_REAL, .as.real = 1}};
    CHECK_STATUS(bench_run(&b, "entities", "", NULL, NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 0 && b.result->outputs->n_tokens == 2);
    CHECK_STATUS(bench_run(&b, "entities", "IBM", NULL, &strict, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 0);
    nlp_option tight = bench_whole("max_tokens", 2);
    CHECK_STATUS(bench_run(&b, "entities", "IBM", NULL, &tight, 1), NLP_EINVAL, &b.err);
    nlp_option wrong = bench_text("aggregation", "some");
    CHECK_STATUS(bench_run(&b, "entities", "IBM", NULL, &wrong, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "aggregation") && strstr(b.err.message, "average"));
    bench_close(&b);
}

/* ---- Answers ---- */

enum { ANSWER, SCORE, START, END, NULL_SCORE, SPAN_COLUMNS };

static void test_a_long_context_is_read_to_its_end(void) {
    bench b = bench_open("bert-qa");
    nlp_option truncate = bench_text("on_overflow", "truncate");
    bool beyond = false;
    for (size_t i = 0; i < 12; i++) {
        char *text = bench_long_text(60 + i);
        const char *context = text + strlen(text) / 40 * i;
        while (((unsigned char)*context & 0xC0) == 0x80) context++;
        CHECK_STATUS(bench_run(&b, "answer_span", "Who wrote it?", context, &truncate, 1), NLP_OK,
                     &b.err);
        CHECK(b.result->outputs->truncated);
        double score = bench_cell(&b, 0, SPAN_COLUMNS, SCORE)->as.real,
               null_score = bench_cell(&b, 0, SPAN_COLUMNS, NULL_SCORE)->as.real;
        int64_t end = bench_cell(&b, 0, SPAN_COLUMNS, END)->as.integer;
        CHECK_STATUS(bench_run(&b, "answer_span", "Who wrote it?", context, NULL, 0), NLP_OK,
                     &b.err);
        CHECK(!b.result->outputs->truncated);
        CHECK(bench_cell(&b, 0, SPAN_COLUMNS, SCORE)->as.real >= score);
        CHECK(bench_cell(&b, 0, SPAN_COLUMNS, NULL_SCORE)->as.real <= null_score);
        const nlp_value *answer = bench_cell(&b, 0, SPAN_COLUMNS, ANSWER);
        if (answer->type == NLP_TYPE_TEXT)
            CHECK(answer->as.text >= context &&
                  answer->as.text + answer->n <= context + strlen(context));
        beyond = beyond || bench_cell(&b, 0, SPAN_COLUMNS, END)->as.integer > end + 100;
        free(text);
    }
    CHECK(beyond);
    bench_close(&b);
}

static void test_answers_are_no_longer_than_asked(void) {
    bench b = bench_open("bert-qa");
    const char *context = "The play was written by William Shakespeare in 1595.";
    double last = 0;
    for (int64_t most = 1; most <= 15; most += 7) {
        nlp_option option = bench_whole("max_answer_tokens", most);
        CHECK_STATUS(bench_run(&b, "answer_span", "Who wrote the play?", context, &option, 1),
                     NLP_OK, &b.err);
        CHECK(bench_cell(&b, 0, SPAN_COLUMNS, SCORE)->as.real >= last);
        last = bench_cell(&b, 0, SPAN_COLUMNS, SCORE)->as.real;
        if (most == 1) CHECK(bench_cell(&b, 0, SPAN_COLUMNS, ANSWER)->n <= 12);
    }
    nlp_option none = bench_whole("max_answer_tokens", 0);
    CHECK_STATUS(bench_run(&b, "answer", "Who?", context, &none, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "max_answer_tokens"));
    bench_close(&b);
}

/* Where on_overflow cuts, it cuts the context. */
static void test_a_cut_context_leaves_the_question(void) {
    bench b = bench_open("bert-qa");
    char *text = bench_long_text(40);
    nlp_option cut = bench_text("on_overflow", "truncate");
    CHECK_STATUS(bench_run(&b, "answer", "Who?", text, &cut, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated);
    CHECK_STATUS(bench_run(&b, "answer", text, "He did.", &cut, 1), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "first text"));
    free(text);
    bench_close(&b);
}

static void test_no_answer_is_null(void) {
    bench b = bench_open("bert-qa");
    CHECK_STATUS(bench_run(&b, "answer_span", "When?", "", NULL, 0), NLP_OK, &b.err);
    CHECK(bench_cell(&b, 0, SPAN_COLUMNS, ANSWER)->type == NLP_TYPE_NULL &&
          bench_cell(&b, 0, SPAN_COLUMNS, NULL_SCORE)->as.real == 1);
    nlp_option strict = {"threshold", {.type = NLP_TYPE_REAL, .as.real = 0.9}};
    CHECK_STATUS(bench_run(&b, "answer", "When?", "No date is given.", &strict, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->type == NLP_TYPE_NULL);
    CHECK_STATUS(bench_run(&b, "answer", "", "No date is given.", NULL, 0), NLP_OK, &b.err);
    char *question = bench_long_text(60);
    CHECK_STATUS(bench_run(&b, "answer", question, "No date.", NULL, 0), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "question") && strstr(b.err.message, "64"));
    nlp_option null_on_error = bench_text("on_error", "null");
    CHECK_STATUS(bench_run(&b, "answer_span", question, "No date.", &null_on_error, 1), NLP_OK,
                 &b.err);
    CHECK(b.result->outputs->status == NLP_ELIMIT && b.result->outputs->n_rows == 0);
    free(question);
    bench_close(&b);
}

/* ---- Masks ---- */

enum { TOKEN, MASK_SCORE, SEQUENCE, ID, MASK_COLUMNS };

static void test_masks(void) {
    bench b = bench_open("bert-mlm");
    nlp_option k = bench_whole("k", 1000);
    CHECK_STATUS(bench_run(&b, "fill_mask", "Paris is the [MASK] of France.", NULL, &k, 1), NLP_OK,
                 &b.err);
    CHECK(b.result->outputs->n_rows == 1000);
    double sum = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        double score = bench_cell(&b, i, MASK_COLUMNS, MASK_SCORE)->as.real;
        sum += score;
        CHECK(!i || score <= bench_cell(&b, i - 1, MASK_COLUMNS, MASK_SCORE)->as.real);
    }
    CHECK(sum > 0.9 && sum < 1.00001);
    k = bench_whole("k", 2);
    CHECK_STATUS(bench_run(&b, "fill_mask", "The [MASK] of [MASK].", NULL, &k, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 4);
    for (uint32_t i = 0; i < 4; i++) {
        const nlp_value *s = bench_cell(&b, i, MASK_COLUMNS, SEQUENCE);
        const char *open = s->n > 6 ? memmem(s->as.text, s->n, "[MASK]", 6) : NULL;
        CHECK(open && !memmem(s->as.text, s->n, "[CLS]", 5));
    }
    bench_close(&b);
}

static void test_a_text_without_a_mask_is_refused(void) {
    bench b = bench_open("bert-mlm");
    CHECK_STATUS(bench_run(&b, "fill_mask", "no mask here", NULL, NULL, 0), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "[MASK]"));
    CHECK_STATUS(bench_run(&b, "fill_mask", "", NULL, NULL, 0), NLP_EINVAL, &b.err);
    char *text = bench_long_text(100), *masked = malloc(strlen(text) + 8);
    sprintf(masked, "%s[MASK]", text);
    CHECK_STATUS(bench_run(&b, "fill_mask", masked, NULL, NULL, 0), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "64"));
    nlp_option chunk = bench_text("on_overflow", "chunk");
    CHECK_STATUS(bench_run(&b, "fill_mask", "[MASK]", NULL, &chunk, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "on_overflow") && strstr(b.err.message, "truncate|error"));
    free(text);
    free(masked);
    bench_close(&b);
}

/* ---- All of them ---- */

static void test_models_of_another_kind_are_refused(void) {
    static const char *const tasks[] = {"entities", "answer", "answer_span", "fill_mask"};
    bench b = bench_open("bert-seqcls");
    for (size_t i = 0; i < 4; i++) {
        CHECK_STATUS(bench_run(&b, tasks[i], "a [MASK]", "b", NULL, 0), NLP_EUNSUPPORTED, &b.err);
        CHECK(strstr(b.err.message, "bert-seqcls"));
    }
    const nlp_task_spec *task = nlp_task_find(b.engine, "answer");
    char name[NLP_MODEL_NAME_BYTES];
    CHECK_STATUS(nlp_task_default_model(task, "", NULL, NULL, 0, name, &b.err), NLP_ENOMODEL,
                 &b.err);
    CHECK(strstr(b.err.hint, "answer_model"));
    CHECK_STATUS(nlp_task_default_model(task, "mine", NULL, NULL, 0, name, &b.err), NLP_OK, &b.err);
    CHECK_TEXT(name, "mine");
    bench_close(&b);
}

static bool stop_at_once(void *context) {
    return ++*(int *)context > 0;
}

/* Also with threads, whose polls only look at the first one's. */
static void test_calls_can_be_stopped_and_the_session_goes_on(void) {
    static const struct {
        const char *pack, *task;
    } cases[] = {{"bert-tokcls", "entities"}, {"bert-qa", "answer"}, {"bert-mlm", "fill_mask"}};
    char *text = bench_long_text(4000), *masks = calloc(1, 2000);
    for (int i = 0; i < 50; i++) strcat(masks, "[MASK] ");
    for (size_t i = 0; i < 3; i++) {
        bench b = bench_open(cases[i].pack);
        nlp_engine_set_limits(b.engine, 2, 0);
        nlp_text texts[400];
        for (size_t k = 0; k < 400; k++)
            texts[k] = nlp_test_text(i == 2 ? masks + k % 7 * 7 : text);
        int n_asked = 0;
        nlp_request request = {.struct_size = sizeof request,
                               .task = nlp_task_find(b.engine, cases[i].task),
                               .model = b.model,
                               .texts = texts,
                               .n_inputs = i == 2 ? 7 : 1,
                               .stop = {stop_at_once, &n_asked}};
        CHECK_STATUS(nlp_session_run(b.session, &request, &b.result, &b.err), NLP_ECANCELED,
                     &b.err);
        CHECK(n_asked > 0 && n_asked < 20);
        CHECK_STATUS(bench_run(&b, cases[i].task, "a [MASK]", "b", NULL, 0), NLP_OK, &b.err);
        bench_close(&b);
    }
    free(text);
    free(masks);
}

static void test_every_allocation_may_fail(void) {
    char *text = bench_long_text(80);
    nlp_text one[] = {nlp_test_text(text)}, asked[] = {nlp_test_text("Who?"), nlp_test_text(text)},
             masked[] = {nlp_test_text("the [MASK].")};
    bench_fail_each_allocation("bert-tokcls", "entities", one, NULL, 0);
    bench_fail_each_allocation("bert-qa", "answer_span", asked, NULL, 0);
    bench_fail_each_allocation("bert-mlm", "fill_mask", masked, NULL, 0);
    free(text);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"windows_lose_and_double_no_token", test_windows_lose_and_double_no_token},
        {"the_first_window_is_the_truncated_text", test_the_first_window_is_the_truncated_text},
        {"entities_do_not_depend_on_batch_or_threads",
         test_entities_do_not_depend_on_batch_or_threads},
        {"label_schemes", test_label_schemes},
        {"entities_of_nothing", test_entities_of_nothing},
        {"a_long_context_is_read_to_its_end", test_a_long_context_is_read_to_its_end},
        {"answers_are_no_longer_than_asked", test_answers_are_no_longer_than_asked},
        {"a_cut_context_leaves_the_question", test_a_cut_context_leaves_the_question},
        {"no_answer_is_null", test_no_answer_is_null},
        {"masks", test_masks},
        {"a_text_without_a_mask_is_refused", test_a_text_without_a_mask_is_refused},
        {"models_of_another_kind_are_refused", test_models_of_another_kind_are_refused},
        {"calls_can_be_stopped_and_the_session_goes_on",
         test_calls_can_be_stopped_and_the_session_goes_on},
        {"every_allocation_may_fail", test_every_allocation_may_fail},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
