/* test_fit: heads from labelled texts, how good they are, and what bad rows get. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "bench.h"
#include "task/task.h"
#include "test.h"

#define LABEL "neutral" /* of bert-seqcls */

enum { MANY = 60, TEXT_BYTES = 48 };

typedef struct rows {
    char (*storage)[TEXT_BYTES];
    nlp_text *texts, *labels;
    size_t n;
} rows;

/* Texts of n_labels kinds in turn; labels are "l0", "l1", ... */
static rows rows_of(size_t n, size_t n_labels) {
    rows r = {calloc(2 * n + 1, TEXT_BYTES), calloc(n + 1, sizeof(nlp_text)),
              calloc(n + 1, sizeof(nlp_text)), n};
    for (size_t i = 0; i < n; i++) {
        static const char *const words[] = {"good", "bad", "late", "cheap"};
        snprintf(r.storage[2 * i], TEXT_BYTES, "%s thing %zu", words[i % n_labels % 4], i);
        snprintf(r.storage[2 * i + 1], TEXT_BYTES, "l%zu", i % n_labels);
        r.texts[i] = nlp_test_text(r.storage[2 * i]);
        r.labels[i] = nlp_test_text(r.storage[2 * i + 1]);
    }
    return r;
}

static void free_rows(rows *r) {
    free(r->storage), free(r->texts), free(r->labels);
}

static nlp_status fit(bench *b, const rows *r, const nlp_option *options, size_t n_options,
                      nlp_fit_result *result) {
    return nlp_fit(b->session, b->model, "mine", r->texts, r->labels, r->n, options, n_options,
                   NULL, result, &b->err);
}

/* A number that no metric has where there is none of that name. */
static double value_of(const nlp_metric *metrics, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(metrics[i].name, name)) return metrics[i].value;
    return -1;
}

static void test_bad_rows_are_named(void) {
    bench b = bench_open("bert-uncased");
    rows r = rows_of(MANY, 2);
    nlp_fit_result result;
    nlp_text label = r.labels[3], text = r.texts[5];
    r.labels[3] = (nlp_text){0};
    CHECK_STATUS(fit(&b, &r, NULL, 0, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "row 4"));
    r.labels[3] = label, r.texts[5] = (nlp_text){0};
    CHECK_STATUS(fit(&b, &r, NULL, 0, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "row 6"));
    r.texts[5] = text, r.n = 0;
    CHECK_STATUS(fit(&b, &r, NULL, 0, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "no rows"));
    r.n = 1;
    CHECK_STATUS(fit(&b, &r, NULL, 0, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "at least 2"));
    free_rows(&r);
    bench_close(&b);
}

static void test_options_are_checked(void) {
    bench b = bench_open("bert-uncased");
    rows r = rows_of(MANY, 2);
    nlp_fit_result result;
    nlp_option bad[] = {bench_whole("bogus", 1),     bench_text("class_weight", "heavy"),
                        bench_whole("patience", -1), bench_whole("epochs", 0),
                        bench_whole("hidden", -1),   bench_whole("hidden", 4097),
                        bench_text("hidden", "wide")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_STATUS(fit(&b, &r, &bad[i], 1, &result), NLP_EINVAL, &b.err);
        CHECK(strstr(b.err.message, bad[i].key) && !result.pack);
    }
    nlp_option none_out[] = {bench_whole("patience", 3), bench_whole("holdout", 0)};
    CHECK_STATUS(fit(&b, &r, none_out, 2, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "held-out"));
    free_rows(&r);
    bench_close(&b);
}

/* Nothing can be held out of labels with one row: accuracy is 0 of 0, the head works. */
static void test_one_row_a_label_is_enough(void) {
    bench b = bench_open("bert-uncased");
    rows r = rows_of(4, 4);
    nlp_fit_result result;
    nlp_option half = {"holdout", {.type = NLP_TYPE_REAL, .as.real = 0.5}};
    CHECK_STATUS(fit(&b, &r, &half, 1, &result), NLP_OK, &b.err);
    CHECK(result.pack_bytes > 0);
    CHECK(value_of(result.metrics, result.n_metrics, "rows_trained") == 4);
    CHECK(value_of(result.metrics, result.n_metrics, "rows_held_out") == 0);
    CHECK(value_of(result.metrics, result.n_metrics, "accuracy") == 0);
    CHECK(value_of(result.metrics, result.n_metrics, "f1:l0") == -1);
    free_rows(&r);
    bench_close(&b);
}

static bool stop_at_once(void *context) {
    ++*(int *)context;
    return true;
}

/* 10,000 are let through, and end where the host says so. */
static void test_labels_have_a_limit(void) {
    bench b = bench_open("bert-uncased");
    rows r = rows_of(10001, 10001);
    nlp_fit_result result;
    int n_polls = 0;
    nlp_stop stop = {stop_at_once, &n_polls};
    CHECK_STATUS(fit(&b, &r, NULL, 0, &result), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "10001") && strstr(b.err.message, "10000"));
    CHECK_STATUS(nlp_fit(b.session, b.model, "mine", r.texts, r.labels, 10000, NULL, 0, &stop,
                         &result, &b.err),
                 NLP_ECANCELED, &b.err);
    CHECK(n_polls == 1 && !result.pack);
    free_rows(&r);
    bench_close(&b);
}

static void test_many_labels_are_learnt(void) {
    bench b = bench_open("bert-uncased");
    rows r = rows_of(2000, 1000);
    nlp_fit_result result;
    nlp_option quick = bench_whole("epochs", 1);
    CHECK_STATUS(fit(&b, &r, &quick, 1, &result), NLP_OK, &b.err);
    CHECK(value_of(result.metrics, result.n_metrics, "classes") == 1000);
    free_rows(&r);
    bench_close(&b);
}

static void test_the_same_rows_give_the_same_pack(void) {
    bench b = bench_open("bert-uncased");
    rows r = rows_of(MANY, 3);
    nlp_fit_result first, again;
    nlp_option options[] = {bench_whole("patience", 2), bench_text("class_weight", "balanced")};
    CHECK_STATUS(fit(&b, &r, options, 2, &first), NLP_OK, &b.err);
    void *kept = malloc(first.pack_bytes);
    size_t n = first.pack_bytes;
    memcpy(kept, first.pack, n);
    CHECK_STATUS(fit(&b, &r, options, 2, &again), NLP_OK, &b.err);
    CHECK(again.pack_bytes == n && !memcmp(again.pack, kept, n));
    free(kept);
    free_rows(&r);
    bench_close(&b);
}

/* ---- A hidden layer ---- */

/* The same rows give the same bytes, and the opened pack knows its labels. */
static void test_a_hidden_layer_is_learnt_and_kept(void) {
    bench b = bench_open("bert-uncased");
    rows r = rows_of(MANY, 4);
    nlp_fit_result first, again;
    nlp_evaluation *e;
    const nlp_metric *m;
    size_t n;
    nlp_option options[] = {bench_whole("hidden", 17), bench_whole("epochs", 200)};
    CHECK_STATUS(fit(&b, &r, options, 2, &first), NLP_OK, &b.err);
    CHECK(value_of(first.metrics, first.n_metrics, "epochs") == 200);
    size_t n_bytes = first.pack_bytes;
    void *kept = malloc(n_bytes);
    memcpy(kept, first.pack, n_bytes);
    CHECK_STATUS(fit(&b, &r, options, 2, &again), NLP_OK, &b.err);
    CHECK(again.pack_bytes == n_bytes && !memcmp(again.pack, kept, n_bytes));
    nlp_model *head;
    CHECK_STATUS(nlp_model_open_bytes(b.engine, "mine", kept, n_bytes, NULL, &head, &b.err), NLP_OK,
                 &b.err);
    CHECK_STATUS(nlp_evaluation_open(b.engine, head, &e, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_evaluation_add(e, r.texts, r.labels, r.n, NULL, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_evaluation_finish(e, &m, &n, &b.err), NLP_OK, &b.err);
    CHECK(value_of(m, n, "accuracy") > 0.9 && value_of(m, n, "classes") == 4);
    nlp_evaluation_close(e);
    nlp_model_close(head);
    free(kept);
    free_rows(&r);
    bench_close(&b);
}

static void test_a_hidden_layer_takes_the_rows_that_none_takes(void) {
    bench b = bench_open("bert-uncased");
    rows one = rows_of(4, 1), each = rows_of(4, 4), many = rows_of(2000, 1000);
    nlp_fit_result result;
    nlp_option options[] = {bench_whole("hidden", 8), bench_whole("epochs", 1)};
    CHECK_STATUS(fit(&b, &one, options, 2, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "at least 2"));
    CHECK_STATUS(fit(&b, &each, options, 2, &result), NLP_OK, &b.err);
    CHECK(value_of(result.metrics, result.n_metrics, "rows_trained") == 4);
    CHECK_STATUS(fit(&b, &many, options, 2, &result), NLP_OK, &b.err);
    CHECK(value_of(result.metrics, result.n_metrics, "classes") == 1000);
    free_rows(&one), free_rows(&each), free_rows(&many);
    bench_close(&b);
}

/* Centred, a few steps go as far as many of the others: the same optimum, so the same labels. */
static void test_centred_vectors_need_fewer_steps(void) {
    bench b = bench_open("bert-uncased");
    rows r = rows_of(MANY, 4);
    nlp_fit_result result;
    nlp_option half = {"holdout", {.type = NLP_TYPE_REAL, .as.real = 0.5}};
    nlp_option plain = {"center", {.type = NLP_TYPE_BOOLEAN, .as.boolean = false}};
    nlp_option soon[] = {half, bench_whole("epochs", 30)},
               late[] = {half, bench_whole("epochs", 3000), plain};
    CHECK_STATUS(fit(&b, &r, soon, 2, &result), NLP_OK, &b.err);
    double centred = value_of(result.metrics, result.n_metrics, "accuracy");
    CHECK_STATUS(fit(&b, &r, late, 3, &result), NLP_OK, &b.err);
    CHECK(centred == value_of(result.metrics, result.n_metrics, "accuracy") && centred > 0.9);
    free_rows(&r);
    bench_close(&b);
}

/* All vectors are the same: there is no direction to learn along. */
static void test_equal_texts_are_no_fault(void) {
    bench b = bench_open("bert-uncased");
    rows r = rows_of(8, 2);
    nlp_fit_result result;
    nlp_option free_of_l2[] = {{"l2", {.type = NLP_TYPE_REAL, .as.real = 0}},
                               {"holdout", {.type = NLP_TYPE_REAL, .as.real = 0}}};
    for (size_t i = 0; i < r.n; i++) r.texts[i] = nlp_test_text("the same");
    CHECK_STATUS(fit(&b, &r, free_of_l2, 2, &result), NLP_OK, &b.err);
    nlp_model *head;
    CHECK_STATUS(
        nlp_model_open_bytes(b.engine, "mine", result.pack, result.pack_bytes, NULL, &head, &b.err),
        NLP_OK, &b.err);
    CHECK_STATUS(nlp_test_run(b.session, nlp_task_find(b.engine, "confidence"), head, "the same",
                              NULL, NULL, &b.result, &b.err),
                 NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->as.real > 0.499 && b.result->outputs->cells->as.real < 0.501);
    nlp_model_close(head);
    free_rows(&r);
    bench_close(&b);
}

/* Labels that say nothing of the texts are learnt by heart, which the held-out loss shows. */
static void test_patience_ends_what_gets_worse(void) {
    bench b = bench_open("bert-uncased");
    rows r = rows_of(MANY, 2);
    nlp_fit_result result;
    for (size_t i = 0; i < r.n; i++) r.labels[i] = nlp_test_text(i * i % 7 % 2 ? "odd" : "even");
    nlp_option options[] = {bench_whole("patience", 3),
                            bench_whole("epochs", 5000),
                            {"holdout", {.type = NLP_TYPE_REAL, .as.real = 0.5}},
                            {"l2", {.type = NLP_TYPE_REAL, .as.real = 0}}};
    CHECK_STATUS(fit(&b, &r, options, 4, &result), NLP_OK, &b.err);
    double epochs = value_of(result.metrics, result.n_metrics, "epochs");
    CHECK(epochs >= 1 && epochs < 1000);
    CHECK_STATUS(fit(&b, &r, NULL, 0, &result), NLP_OK, &b.err);
    CHECK(value_of(result.metrics, result.n_metrics, "epochs") == 300);
    free_rows(&r);
    bench_close(&b);
}

/* ---- Evaluating ---- */

/* bert-seqcls has the labels negative, neutral and positive: what classify gives is right. */
static void test_an_evaluation_agrees_with_classify(void) {
    enum { N = 600 };
    bench b = bench_open("bert-seqcls");
    rows r = rows_of(N, 4);
    nlp_evaluation *e;
    const nlp_metric *m;
    size_t n, right = 0;
    for (size_t i = 0; i < N; i++) {
        CHECK_STATUS(bench_run_texts(&b, "classify", &r.texts[i], 1, NULL, 0), NLP_OK, &b.err);
        const nlp_value *cell = b.result->outputs->cells;
        bool is_right = i % 3 > 0 || bench_is_text(cell, LABEL);
        snprintf(r.storage[2 * i + 1], TEXT_BYTES, "%.*s", (int)cell->n, cell->as.text);
        r.labels[i] = nlp_test_text(i % 3 ? r.storage[2 * i + 1] : LABEL);
        right += is_right;
    }
    CHECK_STATUS(nlp_evaluation_open(b.engine, b.model, &e, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_evaluation_finish(e, &m, &n, &b.err), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "no rows"));
    CHECK_STATUS(nlp_evaluation_add(e, r.texts, r.labels, 100, NULL, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_evaluation_add(e, r.texts + 100, r.labels + 100, N - 100, NULL, &b.err),
                 NLP_OK, &b.err);
    CHECK_STATUS(nlp_evaluation_finish(e, &m, &n, &b.err), NLP_OK, &b.err);
    CHECK(value_of(m, n, "rows") == N && value_of(m, n, "accuracy") == (double)right / N);
    nlp_evaluation_close(e);
    free_rows(&r);
    bench_close(&b);
}

static void test_an_evaluation_names_unknown_labels(void) {
    bench b = bench_open("bert-seqcls");
    rows r = rows_of(8, 8);
    nlp_evaluation *e;
    r.labels[1] = r.labels[0], r.labels[5] = (nlp_text){0};
    r.labels[2] = nlp_test_text(LABEL);
    CHECK_STATUS(nlp_evaluation_open(b.engine, b.model, &e, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_evaluation_add(e, r.texts, r.labels, 5, NULL, &b.err), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, ": \"l0\", \"l3\", \"l4\"") && strstr(b.err.hint, LABEL));
    nlp_evaluation_close(e);
    CHECK_STATUS(nlp_evaluation_open(b.engine, b.model, &e, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_evaluation_add(e, r.texts, r.labels, 8, NULL, &b.err), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "row 6"));
    nlp_evaluation_close(e);
    free_rows(&r);
    bench_close(&b);
}

static void test_an_evaluation_needs_a_classifier_and_stops(void) {
    bench b = bench_open("bert-uncased"), c = bench_open("bert-seqcls");
    int n_polls = 0;
    nlp_stop stop = {stop_at_once, &n_polls};
    nlp_evaluation *e;
    nlp_text text = nlp_test_text("good thing"), label = nlp_test_text(LABEL);
    CHECK_STATUS(nlp_evaluation_open(b.engine, b.model, &e, &b.err), NLP_EUNSUPPORTED, &b.err);
    CHECK(!e && strstr(b.err.message, "no classifier"));
    CHECK_STATUS(nlp_evaluation_open(b.engine, c.model, &e, &b.err), NLP_EINVAL, &b.err);
    CHECK_STATUS(nlp_evaluation_open(c.engine, c.model, &e, &c.err), NLP_OK, &c.err);
    CHECK_STATUS(nlp_evaluation_add(e, &text, &label, 1, &stop, &c.err), NLP_ECANCELED, &c.err);
    nlp_evaluation_close(e);
    bench_close(&c);
    bench_close(&b);
}

/* ---- Metrics ---- */

static void test_metrics_of_known_answers(void) {
    static const uint32_t actual[] = {0, 0, 0, 1, 1, 2}, predicted[] = {0, 1, 1, 1, 0, 2};
    nlp_text labels[] = {nlp_test_text("a"), nlp_test_text("b"), nlp_test_text("c"),
                         nlp_test_text("never")};
    nlp_metric more = {"rows", 6}, *m;
    size_t n;
    nlp_error err;
    nlp_mem mem;
    nlp_arena arena;
    nlp_mem_init(&mem, NULL, NULL, SIZE_MAX);
    nlp_arena_init(&arena, &mem);
    nlp_outcomes o = {labels, 4, actual, predicted, 6, &more, 1};
    CHECK_STATUS(nlp_task_measure(&o, &arena, &arena, &m, &n, &err), NLP_OK, &err);
    CHECK(value_of(m, n, "accuracy") == 0.5 && value_of(m, n, "rows") == 6);
    CHECK(value_of(m, n, "recall:a") == 1.0 / 3 && value_of(m, n, "precision:a") == 0.5);
    CHECK(value_of(m, n, "f1:a") == 2.0 / 5 && value_of(m, n, "support:a") == 3);
    CHECK(value_of(m, n, "macro_f1") == (2.0 / 5 + 2.0 / 5 + 1) / 3);
    CHECK(value_of(m, n, "support:never") == -1);
    CHECK(n == 3 + 4 * 3 + 2);
    CHECK(!strcmp(m[n - 2].name, "confusion:a -> b") && m[n - 2].value == 2);
    CHECK(!strcmp(m[n - 1].name, "confusion:b -> a") && m[n - 1].value == 1);
    nlp_arena_deinit(&arena);
}

/* Of 99 kinds of confusion, the 50 most frequent: the first label is taken for the others once more
 * each time. */
static void test_confusions_are_bounded(void) {
    enum { LABELS = 100 };
    static char names[LABELS][8];
    static uint32_t actual[LABELS * LABELS], predicted[LABELS * LABELS];
    nlp_text labels[LABELS];
    nlp_metric *m;
    size_t n = 0, n_metrics;
    nlp_error err;
    nlp_mem mem;
    nlp_arena arena;
    for (uint32_t c = 0; c < LABELS; c++) {
        snprintf(names[c], sizeof names[c], "%u", c);
        labels[c] = nlp_test_text(names[c]);
        for (uint32_t k = 0; k < c; k++) actual[n] = 0, predicted[n++] = c;
    }
    nlp_mem_init(&mem, NULL, NULL, SIZE_MAX);
    nlp_arena_init(&arena, &mem);
    nlp_outcomes o = {labels, LABELS, actual, predicted, n, NULL, 0};
    CHECK_STATUS(nlp_task_measure(&o, &arena, &arena, &m, &n_metrics, &err), NLP_OK, &err);
    CHECK(n_metrics == 2 + 4 * LABELS + NLP_MAX_CONFUSIONS);
    CHECK(!strcmp(m[2 + 4 * LABELS].name, "confusion:0 -> 99"));
    CHECK(value_of(m, n_metrics, "confusion:0 -> 50") == 50);
    CHECK(value_of(m, n_metrics, "confusion:0 -> 49") == -1);
    nlp_arena_deinit(&arena);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"bad_rows_are_named", test_bad_rows_are_named},
        {"options_are_checked", test_options_are_checked},
        {"one_row_a_label_is_enough", test_one_row_a_label_is_enough},
        {"labels_have_a_limit", test_labels_have_a_limit},
        {"many_labels_are_learnt", test_many_labels_are_learnt},
        {"the_same_rows_give_the_same_pack", test_the_same_rows_give_the_same_pack},
        {"a_hidden_layer_is_learnt_and_kept", test_a_hidden_layer_is_learnt_and_kept},
        {"a_hidden_layer_takes_the_rows_that_none_takes",
         test_a_hidden_layer_takes_the_rows_that_none_takes},
        {"centred_vectors_need_fewer_steps", test_centred_vectors_need_fewer_steps},
        {"equal_texts_are_no_fault", test_equal_texts_are_no_fault},
        {"patience_ends_what_gets_worse", test_patience_ends_what_gets_worse},
        {"an_evaluation_agrees_with_classify", test_an_evaluation_agrees_with_classify},
        {"an_evaluation_names_unknown_labels", test_an_evaluation_names_unknown_labels},
        {"an_evaluation_needs_a_classifier_and_stops",
         test_an_evaluation_needs_a_classifier_and_stops},
        {"metrics_of_known_answers", test_metrics_of_known_answers},
        {"confusions_are_bounded", test_confusions_are_bounded},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
