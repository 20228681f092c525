/* test_match: a query and a document compared by their vectors and by those of their tokens: scores are what
 * the documented sum gives out of the model's own states, whatever other pairs the call has. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "test.h"

enum { WIDTH = 48, MOST_ROWS = 400 };

/* ---- The score, once more in doubles ---- */

typedef struct states {
    double rows[MOST_ROWS][WIDTH],
        vector[WIDTH]; /* of length 1; rows: without special ones and prompt */
    size_t n;
} states;

typedef struct traced {
    float rows[MOST_ROWS][WIDTH];
    size_t n;
} traced;

static void keep_last(void *context, const char *point, uint32_t layer, const float *rows,
                      size_t n_rows, size_t width) {
    traced *t = context;
    (void)layer;
    if (strcmp(point, "layer") != 0) return;
    CHECK(n_rows <= MOST_ROWS && width == WIDTH);
    t->n = n_rows;
    memcpy(t->rows, rows, n_rows * sizeof *t->rows);
}

static void normalise(double *row) {
    double sum = 0;
    for (size_t i = 0; i < WIDTH; i++) sum += row[i] * row[i];
    for (size_t i = 0; i < WIDTH; i++) row[i] /= sqrt(sum);
}

static double dot(const double *a, const double *b) {
    double sum = 0;
    for (size_t i = 0; i < WIDTH; i++) sum += a[i] * b[i];
    return sum;
}

static size_t ids_of(bench *b, const char *text, int32_t ids[MOST_ROWS]) {
    CHECK_STATUS(bench_run(b, "tokenize", text, NULL, NULL, 0), NLP_OK, &b->err);
    const nlp_value *cell = b->result->outputs->cells;
    CHECK(cell->n <= MOST_ROWS);
    memcpy(ids, cell->as.ids, cell->n * sizeof *ids);
    return cell->n;
}

/* Two special tokens stand around prompt and text. */
static states *states_of(bench *b, const char *prompt, const char *text) {
    int32_t ids[MOST_ROWS];
    char whole[2000];
    traced t = {.n = 0};
    states *s = calloc(1, sizeof *s);
    size_t first = ids_of(b, prompt, ids) - 1;
    snprintf(whole, sizeof whole, "%s%s", prompt, text);
    size_t n = ids_of(b, whole, ids);
    CHECK_STATUS(
        nlp_session_trace(b->session, b->model, ids, NULL, n, NULL, keep_last, &t, &b->err), NLP_OK,
        &b->err);
    for (size_t i = 0; i < t.n; i++)
        for (size_t d = 0; d < WIDTH; d++) s->vector[d] += (double)t.rows[i][d];
    for (size_t i = first; i + 1 < t.n; i++, s->n++) {
        for (size_t d = 0; d < WIDTH; d++) s->rows[s->n][d] = (double)t.rows[i][d];
        normalise(s->rows[s->n]);
    }
    normalise(s->vector);
    return s;
}

static double highest(const double *row, const states *of, size_t but) {
    double most = 0;
    for (size_t i = 0; i < of->n; i++)
        if (i != but && dot(row, of->rows[i]) > most) most = dot(row, of->rows[i]);
    return most;
}

static double expected(bench *b, const char *query, const char *document) {
    states *q = states_of(b, "query: ", query), *d = states_of(b, "passage: ", document);
    double weights = 0, matched = 0, cosine = dot(q->vector, d->vector);
    for (size_t i = 0; i < q->n; i++) {
        double weight = 1 - highest(q->rows[i], q, i);
        weights += weight;
        matched += weight * highest(q->rows[i], d, SIZE_MAX);
    }
    double score = q->n ? (cosine + matched / weights) / 2 : cosine;
    free(q);
    free(d);
    return score;
}

static double score(bench *b, const char *query, const char *document) {
    CHECK_STATUS(bench_run(b, "rerank_score", query, document, NULL, 0), NLP_OK, &b->err);
    return b->result->outputs->cells->as.real;
}

/* ---- Scores ---- */

static const char *const queries[] = {"a dog", "Where is the city of Paris?", "dog", ""};
static const char *const documents[] = {
    "an animal", "Paris is a city in the north.", "a dog",
    "The man in the city had a dog; it was a good dog, and he had it for years.", ""};
enum { N_QUERIES = 4, N_DOCUMENTS = 5 };

static void test_scores_are_those_of_the_states(void) {
    bench b = bench_open_mean();
    for (int q = 0; q < N_QUERIES; q++)
        for (int d = 0; d < N_DOCUMENTS; d++) {
            double wanted = expected(&b, queries[q], documents[d]);
            CHECK(fabs(score(&b, queries[q], documents[d]) - wanted) < 1e-5);
        }
    bench_close(&b);
}

/* 80 pairs of 70 queries need two passes. */
static void test_pairs_of_a_call_do_not_meet(void) {
    enum { N = 80 };
    bench b = bench_open_mean();
    char names[N][24];
    double alone[N];
    nlp_text pairs[2 * N];
    for (size_t i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "the man of %zu", i < 70 ? i : 69);
        pairs[2 * i] = nlp_test_text(names[i]);
        pairs[2 * i + 1] = nlp_test_text(documents[i % N_DOCUMENTS]);
        alone[i] = score(&b, names[i], documents[i % N_DOCUMENTS]);
    }
    CHECK_STATUS(bench_run_texts(&b, "rerank_score", pairs, N, NULL, 0), NLP_OK, &b.err);
    for (size_t i = 0; i < N; i++) CHECK(b.result->outputs[i].cells->as.real == alone[i]);
    bench_close(&b);
}

static void test_a_ranking_is_by_score(void) {
    bench b = bench_open_mean();
    CHECK_STATUS(bench_run_list(&b, "rerank", "a dog", "an animal|a tax form||a dog", NULL, 0),
                 NLP_OK, &b.err);
    const nlp_result *ranking = b.result;
    double scores[4];
    int64_t numbers[4];
    CHECK(ranking->outputs->n_rows == 4);
    for (uint32_t i = 0; i < 4; i++) {
        numbers[i] = bench_cell(&b, i, 3, 0)->as.integer;
        scores[i] = bench_cell(&b, i, 3, 1)->as.real;
        CHECK(!i || scores[i] <= scores[i - 1]);
    }
    for (uint32_t i = 0; i < 4; i++)
        CHECK(scores[i] == score(&b, "a dog",
                                 ((const char *const[]){"an animal", "a tax form", "",
                                                        "a dog"})[numbers[i] - 1]));
    CHECK_STATUS(bench_run_list(&b, "rerank", "a dog", "", NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 0);
    bench_close(&b);
}

/* ---- Odd texts ---- */

static void test_long_texts_are_cut_or_refused(void) {
    bench b = bench_open_mean();
    char *text = bench_long_text(200000);
    nlp_option strict[] = {bench_text("on_overflow", "error")};
    double as_query = score(&b, text, "a dog"), as_document = score(&b, "a dog", text);
    CHECK(isfinite(as_query) && b.result->outputs->truncated);
    CHECK(isfinite(as_document) && as_document <= 1 && as_query <= 1);
    CHECK_STATUS(bench_run(&b, "rerank_score", "a dog", text, strict, 1), NLP_ELIMIT, &b.err);
    CHECK_STATUS(bench_run(&b, "rerank_score", text, "a dog", strict, 1), NLP_ELIMIT, &b.err);
    free(text);
    bench_close(&b);
}

static void test_words_again_and_again_and_no_words(void) {
    static const char *const odd[] = {"dog dog dog dog dog", "?!", "...", " ", "[MASK]",
                                      "\xf0\x9f\x90\xb6"};
    bench b = bench_open_mean();
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
            double found = score(&b, odd[i], odd[k]);
            CHECK(found >= -1 && found <= 1 + 1e-6);
        }
    bench_close(&b);
}

static void test_a_failing_text_costs_only_itself(void) {
    bench b = bench_open_mean();
    double good = score(&b, "a dog", "an animal");
    nlp_option null[] = {bench_text("on_error", "null")};
    nlp_text pairs[] = {nlp_test_text("a \xff"), nlp_test_text("an animal"),
                        nlp_test_text("a dog"),  nlp_test_text("an animal"),
                        nlp_test_text("a dog"),  nlp_test_text("\xff")};
    CHECK_STATUS(bench_run_texts(&b, "rerank_score", pairs, 3, null, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs[0].status == NLP_EENCODING &&
          b.result->outputs[2].status == NLP_EENCODING);
    CHECK(b.result->outputs[1].cells->as.real == good);
    CHECK_STATUS(bench_run_texts(&b, "rerank_score", pairs, 3, NULL, 0), NLP_EENCODING, &b.err);
    nlp_option raw = bench_flag("raw");
    CHECK_STATUS(bench_run(&b, "rerank_score", "x", "y", &raw, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "cosines"));
    bench_close(&b);
}

/* ---- Stopping and failing ---- */

static bool stop_after(void *context) {
    return (*(int *)context)-- <= 0;
}

static void test_a_call_can_be_stopped(void) {
    bench b = bench_open_mean();
    char *text = bench_long_text(20000);
    nlp_text pair[] = {nlp_test_text(text), nlp_test_text(text)};
    for (int polls = 0; polls < 3; polls++) {
        int left = polls;
        nlp_request request = {.struct_size = sizeof request,
                               .task = nlp_task_find(b.engine, "rerank_score"),
                               .model = b.model,
                               .texts = pair,
                               .n_inputs = 1,
                               .stop = {stop_after, &left}};
        CHECK_STATUS(nlp_session_run(b.session, &request, &b.result, &b.err), NLP_ECANCELED,
                     &b.err);
        CHECK(fabs(score(&b, "a dog", "a dog")) <= 1 + 1e-6);
    }
    free(text);
    bench_close(&b);
}

static void test_every_allocation_may_fail(void) {
    bench b = bench_open_mean();
    bench_close(&b);
    nlp_text texts[] = {nlp_test_text("a dog"), {"an animal\0a tax form", 21}};
    bench_fail_each_allocation("mean", "rerank", texts, NULL, 0);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"scores_are_those_of_the_states", test_scores_are_those_of_the_states},
        {"pairs_of_a_call_do_not_meet", test_pairs_of_a_call_do_not_meet},
        {"a_ranking_is_by_score", test_a_ranking_is_by_score},
        {"long_texts_are_cut_or_refused", test_long_texts_are_cut_or_refused},
        {"words_again_and_again_and_no_words", test_words_again_and_again_and_no_words},
        {"a_failing_text_costs_only_itself", test_a_failing_text_costs_only_itself},
        {"a_call_can_be_stopped", test_a_call_can_be_stopped},
        {"every_allocation_may_fail", test_every_allocation_may_fail}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
