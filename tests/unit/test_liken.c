/* test_liken: labels, conditions and rankings by the likeness of vectors: scores are those of the cosines, of one label and of ten
 * thousand, whatever other texts and labels the call has. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "test.h"

static const char *const models[] = {"st-bert-cls-prompts", "model2vec"};
enum { N_MODELS = 2 };
static const double scale = 0.05, middle = 0.4; /* as documented */

static double cosine(bench *b, const char *text, const char *label) {
    CHECK_STATUS(bench_run(b, "similarity", text, label, NULL, 0), NLP_OK, &b->err);
    return b->result->outputs->cells->as.real;
}

static double score_of(const bench *b, const char *label) {
    for (uint32_t i = 0; i < b->result->outputs->n_rows; i++)
        if (bench_is_text(bench_cell(b, i, 2, 0), label)) return bench_cell(b, i, 2, 1)->as.real;
    return NAN;
}

static double alone(double of_cosine) {
    return 1 / (1 + exp((middle - of_cosine) / scale));
}

static void test_scores_are_a_softmax_of_cosines(void) {
    const char *text = "The match ended two to one.";
    for (int m = 0; m < N_MODELS; m++) {
        bench b = bench_open(models[m]);
        double sports = cosine(&b, text, "a match"), food = cosine(&b, text, "food");
        CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", text, "a match|food", NULL, 0), NLP_OK,
                     &b.err);
        double expected = 1 / (1 + exp((food - sports) / scale));
        CHECK(fabs(score_of(&b, "a match") - expected) < 1e-4);
        CHECK(fabs(score_of(&b, "food") + score_of(&b, "a match") - 1) < 1e-6);
        CHECK_STATUS(bench_run_list(&b, "zero_shot", text, "a match|food", NULL, 0), NLP_OK,
                     &b.err);
        CHECK(bench_is_text(b.result->outputs->cells, sports > food ? "a match" : "food"));
        nlp_option multi = bench_flag("multi_label");
        CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", text, "a match|food", &multi, 1),
                     NLP_OK, &b.err);
        CHECK(fabs(score_of(&b, "a match") - alone(sports)) < 1e-4);
        CHECK(fabs(score_of(&b, "food") - alone(food)) < 1e-4);
        CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", text, "food", NULL, 0), NLP_OK, &b.err);
        CHECK(fabs(score_of(&b, "food") - alone(food)) < 1e-4);
        bench_close(&b);
    }
}

static void test_a_hypothesis_is_embedded_in_place_of_the_label(void) {
    bench b = bench_open(models[0]);
    const char *text = "The match ended two to one.";
    double food = cosine(&b, text, "This text is about food."),
           match = cosine(&b, text, "This text is about a match.");
    nlp_option about = bench_text("hypothesis", "This text is about {}.");
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", text, "food|a match", NULL, 0), NLP_OK,
                 &b.err);
    double bare = score_of(&b, "food");
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", text, "food|a match", &about, 1), NLP_OK,
                 &b.err);
    CHECK(fabs(score_of(&b, "food") - 1 / (1 + exp((match - food) / scale))) < 1e-4);
    CHECK(fabs(score_of(&b, "food") - bare) > 1e-3);
    nlp_option none = bench_text("hypothesis", "no place"), two = bench_text("hypothesis", "{}{}");
    CHECK_STATUS(bench_run_list(&b, "zero_shot", text, "food", &none, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "0 times"));
    CHECK_STATUS(bench_run_list(&b, "zero_shot", text, "food", &two, 1), NLP_EINVAL, &b.err);
    bench_close(&b);
}

static void test_odd_lists(void) {
    bench b = bench_open(models[0]);
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "", NULL, 0), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "empty"));
    /* a label that is given twice has two rows, in their order */
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", "x", "a|b|a", NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 3);
    double sum = 0, of_a = score_of(&b, "a"), of_b = score_of(&b, "b");
    for (uint32_t i = 0; i < 3; i++) sum += bench_cell(&b, i, 2, 1)->as.real;
    CHECK(fabs(2 * of_a + of_b - sum) < 1e-6 && fabs(sum - 1) < 1e-6);
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", "", "|b", NULL, 0), NLP_OK, &b.err);
    CHECK(fabs(score_of(&b, "") + score_of(&b, "b") - 1) < 1e-6);
    nlp_text texts[] = {nlp_test_text("x"), {"", 0}, nlp_test_text("x"), {"a\0b", 4}};
    nlp_option null = bench_text("on_error", "null");
    CHECK_STATUS(bench_run_texts(&b, "zero_shot", texts, 2, &null, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs[0].status == NLP_EINVAL && b.result->outputs[1].status == NLP_OK);
    bench_close(&b);
}

static void test_long_texts_are_cut_or_refused(void) {
    bench b = bench_open(models[0]);
    char *text = bench_long_text(300);
    CHECK_STATUS(bench_run_list(&b, "zero_shot", text, "a|b", NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated);
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", text, NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated);
    nlp_option options[] = {bench_text("on_overflow", "error"), bench_text("on_error", "null")};
    CHECK_STATUS(bench_run_list(&b, "zero_shot", text, "a|b", options, 1), NLP_ELIMIT, &b.err);
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", text, options, 2), NLP_OK, &b.err);
    CHECK(b.result->outputs->status == NLP_ELIMIT);
    free(text);
    bench_close(&b);
}

static void test_batches_and_threads_change_nothing(void) {
    enum { N = 600 }; /* more than are embedded at a time */
    static char storage[N][32], list[] = "refund|shipping|food";
    static nlp_text texts[2 * N];
    static double scores[N];
    bench b = bench_open(models[0]);
    for (char *c = list; *c; c++) *c = *c == '|' ? 0 : *c;
    for (size_t i = 0; i < N; i++) {
        snprintf(storage[i], sizeof storage[i], "text %zu of many", i);
        texts[2 * i] = nlp_test_text(storage[i]);
        texts[2 * i + 1] = (nlp_text){list, i % 2 ? sizeof list : 16}; /* two labels, or three */
        CHECK_STATUS(bench_run_texts(&b, "zero_shot", texts + 2 * i, 1, NULL, 0), NLP_OK, &b.err);
        scores[i] = b.result->outputs->score;
    }
    for (uint32_t threads = 1; threads <= 4; threads += 3) {
        nlp_engine_set_limits(b.engine, threads, 0);
        CHECK_STATUS(bench_run_texts(&b, "zero_shot", texts, N, NULL, 0), NLP_OK, &b.err);
        for (size_t i = 0; i < N; i++) CHECK(b.result->outputs[i].score == scores[i]);
    }
    bench_close(&b);
}

static void test_a_model_without_pooling_is_refused(void) {
    bench b = bench_open("mpnet");
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "a|b", NULL, 0), NLP_EUNSUPPORTED, &b.err);
    CHECK(strstr(b.err.hint, "vectors"));
    bench_close(&b);
}

/* ---- Conditions ---- */

static void test_a_condition_is_near_or_far(void) {
    bench b = bench_open(models[1]);
    double near = alone(cosine(&b, "a match", "a match")), far = alone(cosine(&b, "x", "a match"));
    CHECK(near > 0.99 && far < near);
    CHECK_STATUS(bench_run(&b, "filter", "a match", "a match", NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->type == NLP_TYPE_BOOLEAN &&
          b.result->outputs->cells->as.boolean);
    CHECK(fabs(b.result->outputs->score - near) < 1e-4);
    nlp_option most = {"threshold", {.type = NLP_TYPE_INTEGER, .as.integer = 1}},
               least = {"threshold", {.type = NLP_TYPE_REAL, .as.real = 0}};
    CHECK_STATUS(bench_run(&b, "filter", "x", "a match", &most, 1), NLP_OK, &b.err);
    CHECK(!b.result->outputs->cells->as.boolean && fabs(b.result->outputs->score - far) < 1e-4);
    CHECK_STATUS(bench_run(&b, "filter", "x", "a match", &least, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->as.boolean);
    most.value.as.integer = 2;
    CHECK_STATUS(bench_run(&b, "filter", "x", "a match", &most, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "0 to 1"));
    bench_close(&b);
}

/* ---- Reranking ---- */

enum { MOST_DIMS = 512 };

static size_t vector_of(bench *b, const char *task, const char *text, float *out) {
    CHECK_STATUS(bench_run(b, task, text, NULL, NULL, 0), NLP_OK, &b->err);
    const nlp_value *cell = b->result->outputs->cells;
    CHECK(cell->n <= MOST_DIMS);
    memcpy(out, cell->as.vector, cell->n * sizeof *out);
    return cell->n;
}

/* The model has prompts, so a query's vector is another than a document's. */
static void test_a_ranking_is_by_cosine(void) {
    static const char *const documents[] = {"an animal", "a tax form", ""};
    bench b = bench_open(models[0]);
    float query[MOST_DIMS], document[MOST_DIMS];
    double scores[3];
    size_t n = vector_of(&b, "embed_query", "a dog", query);
    for (size_t i = 0; i < 3; i++) {
        vector_of(&b, "embed", documents[i], document);
        CHECK_STATUS(nlp_vector_cosine(query, n, document, n, &scores[i], &b.err), NLP_OK, &b.err);
        CHECK_STATUS(bench_run(&b, "rerank_score", "a dog", documents[i], NULL, 0), NLP_OK, &b.err);
        CHECK(fabs(b.result->outputs->cells->as.real - scores[i]) < 1e-6);
    }
    CHECK_STATUS(bench_run_list(&b, "rerank", "a dog", "an animal|a tax form|", NULL, 0), NLP_OK,
                 &b.err);
    CHECK(b.result->outputs->n_rows == 3);
    for (uint32_t i = 0; i < b.result->outputs->n_rows; i++) {
        size_t ord = (size_t)bench_cell(&b, i, 3, 0)->as.integer;
        CHECK(fabs(bench_cell(&b, i, 3, 1)->as.real - scores[ord - 1]) < 1e-6);
        CHECK(!i || bench_cell(&b, i, 3, 1)->as.real <= bench_cell(&b, i - 1, 3, 1)->as.real);
    }
    CHECK_STATUS(bench_run_list(&b, "rerank", "a dog", "", NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 0);
    bench_close(&b);
}

/* ---- Many labels ---- */

static char *many_labels(size_t n) {
    char *list = malloc(16 * n), *at = list;
    for (size_t i = 0; i < n; i++) at += sprintf(at, i ? "|label %zu" : "label %zu", i);
    return list;
}

static void test_ten_thousand_labels(void) {
    bench b = bench_open(models[0]);
    char *list = many_labels(10000);
    double few = cosine(&b, "label 9999", "label 9999") - cosine(&b, "label 9999", "label 5");
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", "label 9999", list, NULL, 0), NLP_OK,
                 &b.err);
    CHECK(b.result->outputs->n_rows == 10000);
    CHECK(bench_is_text(bench_cell(&b, 0, 2, 0), "label 9999"));
    double ratio = log(score_of(&b, "label 9999") / score_of(&b, "label 5"));
    CHECK(fabs(ratio - few / scale) < 1e-2);
    CHECK(nlp_session_scratch_bytes(b.session) < (size_t)64 << 20);
    free(list);
    bench_close(&b);
}

static bool stop_later(void *context) {
    return ++*(int *)context > 2;
}

static void test_a_call_can_be_stopped(void) {
    bench b = bench_open(models[0]);
    char *list = many_labels(10000);
    size_t n = strlen(list) + 1;
    for (size_t i = 0; i < n; i++) list[i] = list[i] == '|' ? 0 : list[i];
    nlp_text texts[] = {nlp_test_text("x"), {list, n}};
    int n_asked = 0;
    nlp_request request = {.struct_size = sizeof request,
                           .task = nlp_task_find(b.engine, "zero_shot"),
                           .model = b.model,
                           .texts = texts,
                           .n_inputs = 1,
                           .stop = {stop_later, &n_asked}};
    CHECK_STATUS(nlp_session_run(b.session, &request, &b.result, &b.err), NLP_ECANCELED, &b.err);
    CHECK(n_asked == 3);
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "a", "a|b", NULL, 0), NLP_OK, &b.err);
    CHECK(bench_is_text(b.result->outputs->cells, "a"));
    free(list);
    bench_close(&b);
}

/* The sentence is the one that a ranking of the sentences would put first. */
static void test_an_answer_is_the_nearest_sentence(void) {
    static const char context[] =
        " Zürich is far. The shop opens at seven! Parking is free.\nCall us. ";
    static const char *const questions[] = {"When does the shop open?", "Where is it free to park?",
                                            "far"};
    bench b = bench_open(models[0]);
    nlp_option options[] = {bench_flag("sentence"),
                            {"threshold", {.type = NLP_TYPE_REAL, .as.real = 1}}};
    for (size_t i = 0; i < 3; i++) {
        char best[64];
        CHECK_STATUS(
            bench_run_list(&b, "rerank", questions[i],
                           "Zürich is far.|The shop opens at seven!|Parking is free.|Call us.",
                           NULL, 0),
            NLP_OK, &b.err);
        const nlp_value *first = bench_cell(&b, 0, 3, 2);
        snprintf(best, sizeof best, "%.*s", (int)first->n, first->as.text);
        CHECK_STATUS(bench_run(&b, "answer_span", questions[i], context, options, 1), NLP_OK,
                     &b.err);
        CHECK(bench_is_text(bench_cell(&b, 0, 5, 0), best));
        int64_t start = bench_cell(&b, 0, 5, 2)->as.integer,
                end = bench_cell(&b, 0, 5, 3)->as.integer;
        CHECK(end - start + 1 == (int64_t)strlen(best) - !strncmp(best, "Zü", 3)); /* characters */
        CHECK(bench_cell(&b, 0, 5, 1)->as.real > 0 &&
              bench_cell(&b, 0, 5, 4)->type == NLP_TYPE_NULL);
        CHECK_STATUS(bench_run(&b, "answer", questions[i], context, options, 1), NLP_OK, &b.err);
        CHECK(bench_is_text(b.result->outputs->cells, best));
        CHECK_STATUS(bench_run(&b, "answer", questions[i], context, options, 2), NLP_OK, &b.err);
        CHECK(b.result->outputs->cells->type == NLP_TYPE_NULL);
    }
    CHECK_STATUS(bench_run(&b, "answer", "x", " \n ", options, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->type == NLP_TYPE_NULL);
    CHECK_STATUS(bench_run(&b, "answer", "x", "a", NULL, 0), NLP_EUNSUPPORTED, &b.err);
    CHECK_STATUS(bench_run(&b, "answer", "x", "a\xff. b", options, 1), NLP_EENCODING, &b.err);
    bench_close(&b);
    b = bench_open("bert-qa");
    CHECK_STATUS(bench_run(&b, "answer", "x", "a", options, 1), NLP_EUNSUPPORTED, &b.err);
    CHECK(strstr(b.err.message, "vectors"));
    bench_close(&b);
}

static void test_every_allocation_may_fail(void) {
    nlp_text labelled[] = {nlp_test_text("a match"), {"sports\0food", 12}};
    nlp_option about = bench_text("hypothesis", "It is {}.");
    bench_fail_each_allocation(models[0], "zero_shot_scores", labelled, &about, 1);
    bench_fail_each_allocation(models[0], "rerank", labelled, NULL, 0);
    nlp_text asked[] = {nlp_test_text("who"), nlp_test_text("I did. You did.")};
    nlp_option sentence = bench_flag("sentence");
    bench_fail_each_allocation(models[0], "answer_span", asked, &sentence, 1);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"scores_are_a_softmax_of_cosines", test_scores_are_a_softmax_of_cosines},
        {"a_hypothesis_is_embedded_in_place_of_the_label",
         test_a_hypothesis_is_embedded_in_place_of_the_label},
        {"odd_lists", test_odd_lists},
        {"long_texts_are_cut_or_refused", test_long_texts_are_cut_or_refused},
        {"batches_and_threads_change_nothing", test_batches_and_threads_change_nothing},
        {"a_model_without_pooling_is_refused", test_a_model_without_pooling_is_refused},
        {"a_condition_is_near_or_far", test_a_condition_is_near_or_far},
        {"a_ranking_is_by_cosine", test_a_ranking_is_by_cosine},
        {"an_answer_is_the_nearest_sentence", test_an_answer_is_the_nearest_sentence},
        {"ten_thousand_labels", test_ten_thousand_labels},
        {"a_call_can_be_stopped", test_a_call_can_be_stopped},
        {"every_allocation_may_fail", test_every_allocation_may_fail}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
