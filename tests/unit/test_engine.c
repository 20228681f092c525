/* test_engine: models, sessions and tasks as their callers see them. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "bench.h"
#include "nlp_import.h"
#include "test.h"

static nlp_status run(bench *b, const char *task, const char *text, const char *key,
                      const char *value) {
    return nlp_test_run(b->session, nlp_task_find(b->engine, task), b->model, text, key, value,
                        &b->result, &b->err);
}

static void test_an_unknown_model_names_the_path_and_the_pull(void) {
    bench b = bench_open("bert-uncased");
    nlp_model *model;
    CHECK_STATUS(nlp_model_open(b.engine, "nothere", NULL, &model, &b.err), NLP_ENOMODEL, &b.err);
    CHECK(strstr(b.err.message, "NLP_MODEL_PATH") && strstr(b.err.hint, "nlp pull nothere"));
    CHECK_STATUS(nlp_model_open(b.engine, "../etc/passwd", NULL, &model, &b.err), NLP_ENOMODEL,
                 &b.err);
    CHECK_STATUS(nlp_model_open(b.engine, "{\"k\": 1}", NULL, &model, &b.err), NLP_ENOMODEL,
                 &b.err);
    CHECK(strstr(b.err.hint, "options =>"));
    bench_close(&b);
}

static void test_a_model_may_be_pinned_by_its_digest(void) {
    bench b = bench_open("bert-uncased");
    char name[128];
    nlp_model *model;
    nlp_model_info info = {.struct_size = sizeof info};
    nlp_model_get_info(b.model, &info);
    CHECK(info.dims == 48 && info.max_tokens == 64 && !strcmp(info.precision, "f32"));
    snprintf(name, sizeof name, "bert-uncased@%.10s", info.digest);
    CHECK_STATUS(nlp_model_open(b.engine, name, NULL, &model, &b.err), NLP_OK, &b.err);
    nlp_model_close(model);
    CHECK_STATUS(nlp_model_open(b.engine, "bert-uncased@0000000000", NULL, &model, &b.err),
                 NLP_ENOMODEL, &b.err);
    bench_close(&b);
}

static void test_no_more_is_told_of_a_model_than_asked(void) {
    bench b = bench_open("bert-uncased");
    nlp_model_info all = {.struct_size = sizeof all};
    nlp_model_info some = {.struct_size = offsetof(nlp_model_info, backing), .processes = 77};
    nlp_model_get_info(b.model, &all);
    nlp_model_get_info(b.model, &some);
    CHECK(all.processes >= 1 && *all.backing);
    CHECK(some.dims == all.dims && !strcmp(some.digest, all.digest));
    CHECK(some.processes == 77 && !some.backing);
    bench_close(&b);
}

static void test_options_are_checked_by_name_type_and_range(void) {
    bench b = bench_open("bert-uncased");
    CHECK_STATUS(run(&b, "embed", "x", "bogus", "1"), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "bogus") && strstr(b.err.hint, "on_overflow") &&
          strstr(b.err.hint, "normalize"));
    CHECK_STATUS(run(&b, "embed", "x", "on_overflow", "explode"), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "truncate|error|chunk"));
    CHECK_STATUS(run(&b, "embed", "x", "normalize", "yes"), NLP_EINVAL, &b.err);
    nlp_option bad[] = {{"max_tokens", {.type = NLP_TYPE_INTEGER, .as.integer = -1}},
                        {"max_tokens", {.type = NLP_TYPE_REAL, .as.real = 3.5}},
                        {"max_tokens", {.type = NLP_TYPE_REAL, .as.real = NAN}},
                        {"dimensions", {.type = NLP_TYPE_INTEGER, .as.integer = 0}}};
    for (size_t i = 0; i < 4; i++)
        CHECK_STATUS(nlp_options_check(nlp_task_find(b.engine, "embed"), &bad[i], 1, &b.err),
                     NLP_EINVAL, &b.err);
    bench_close(&b);
}

static void test_null_and_empty_texts_have_defined_answers(void) {
    bench b = bench_open("bert-uncased");
    CHECK_STATUS(run(&b, "embed", NULL, NULL, NULL), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->type == NLP_TYPE_NULL);
    CHECK_STATUS(run(&b, "embed", "", NULL, NULL), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->n == 48 && b.result->outputs->n_tokens == 2);
    CHECK_STATUS(run(&b, "token_count", "", NULL, NULL), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->as.integer == 2);
    bench_close(&b);
}

static void test_invalid_utf8_is_an_error_with_its_place(void) {
    bench b = bench_open("bert-uncased");
    CHECK_STATUS(run(&b, "embed", "ab\xC3(", NULL, NULL), NLP_EENCODING, &b.err);
    CHECK(strstr(b.err.message, "byte 2"));
    CHECK_STATUS(run(&b, "embed", "ab\xC3(", "on_error", "null"), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->type == NLP_TYPE_NULL);
    bench_close(&b);
}

static char *long_text(void) {
    char *text = malloc(4000);
    size_t n = 0;
    for (int i = 0; i < 400; i++) n += (size_t)sprintf(text + n, "word%d ", i % 10);
    return text;
}

static void test_long_texts_follow_on_overflow(void) {
    bench b = bench_open("bert-uncased");
    char *text = long_text();
    CHECK_STATUS(run(&b, "embed", text, NULL, NULL), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated && b.result->outputs->n_tokens == 64 &&
          b.result->n_truncated == 1);
    CHECK_STATUS(run(&b, "embed", text, "on_overflow", "error"), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, " 64") && strstr(b.err.hint, "chunk"));
    CHECK_STATUS(run(&b, "embed", text, "on_overflow", "chunk"), NLP_OK, &b.err);
    const nlp_value *v = b.result->outputs->cells;
    double squares = 0;
    for (uint32_t i = 0; i < v->n; i++)
        squares += (double)v->as.vector[i] * (double)v->as.vector[i];
    CHECK(!b.result->outputs->truncated && fabs(squares - 1) < 1e-5);
    CHECK_STATUS(run(&b, "would_truncate", text, NULL, NULL), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->as.boolean);
    free(text);
    bench_close(&b);
}

/* Vectors of a batch of texts, copied. */
static float *embed_all(bench *b, const nlp_text *texts, size_t n) {
    nlp_request r = {.struct_size = sizeof r,
                     .task = nlp_task_find(b->engine, "embed"),
                     .model = b->model,
                     .texts = texts,
                     .n_inputs = n};
    float *all = calloc(n * 48, sizeof *all);
    CHECK_STATUS(nlp_session_run(b->session, &r, &b->result, &b->err), NLP_OK, &b->err);
    for (size_t i = 0; i < n && b->result; i++)
        memcpy(all + 48 * i, b->result->outputs[i].cells->as.vector, 48 * sizeof *all);
    return all;
}

static void test_bits_do_not_depend_on_batch_threads_or_level(void) {
    enum { N = 64 };
    bench b = bench_open("bert-uncased");
    char storage[N][64];
    nlp_text texts[N];
    for (int i = 0; i < N; i++) {
        snprintf(storage[i], sizeof storage[i], "text number %d%s", i,
                 i % 3 ? " with some more words in it" : "");
        texts[i] = nlp_test_text(storage[i]);
    }
    float *all = embed_all(&b, texts, N);
    for (int i = 0; i < N; i += 5) {
        float *one = embed_all(&b, &texts[i], 1);
        CHECK(!memcmp(one, all + 48 * i, 48 * sizeof *one));
        free(one);
    }
    nlp_engine_set_limits(b.engine, 4, 0);
    float *threaded = embed_all(&b, texts, N);
    CHECK(!memcmp(threaded, all, N * 48 * sizeof *all));
    free(threaded);
    for (uint32_t level = 0; level < 4; level++) {
        nlp_engine_options options;
        bench other = {0};
        nlp_engine_options_init(&options);
        options.model_path = nlp_test_folder();
        options.isa_mask = level;
        CHECK_STATUS(nlp_engine_open(&options, &other.engine, &other.err), NLP_OK, &other.err);
        CHECK_STATUS(nlp_session_open(other.engine, &other.session, &other.err), NLP_OK,
                     &other.err);
        CHECK_STATUS(nlp_model_open(other.engine, "bert-uncased", NULL, &other.model, &other.err),
                     NLP_OK, &other.err);
        float *leveled = embed_all(&other, texts, N);
        CHECK(!memcmp(leveled, all, N * 48 * sizeof *all));
        free(leveled);
        bench_close(&other);
    }
    free(all);
    bench_close(&b);
}

static void test_a_host_in_another_rounding_mode_gets_the_same_bits(void) {
#if defined(__x86_64__)
    bench b = bench_open("bert-uncased");
    nlp_text text = nlp_test_text("rounding and flushing");
    float *plain = embed_all(&b, &text, 1);
    unsigned saved = _mm_getcsr(),
             odd = saved | 0x8040u | 0x2000u; /* flush to zero, denormals are zero, round down */
    _mm_setcsr(odd);
    float *other = embed_all(&b, &text, 1);
    CHECK((_mm_getcsr() & ~0x3Fu) == (odd & ~0x3Fu));
    _mm_setcsr(saved);
    CHECK(!memcmp(plain, other, 48 * sizeof *plain));
    free(plain), free(other);
    bench_close(&b);
#endif
}

static void test_equal_texts_are_computed_once(void) {
    bench b = bench_open("bert-uncased");
    nlp_text texts[3] = {nlp_test_text("same"), nlp_test_text("same"), nlp_test_text("same")};
    nlp_counters before = {0}, after = {0};
    nlp_engine_get_counters(b.engine, &before);
    free(embed_all(&b, texts, 3));
    nlp_engine_get_counters(b.engine, &after);
    CHECK(after.tokens - before.tokens == b.result->outputs->n_tokens &&
          after.inputs - before.inputs == 3);
    bench_close(&b);
}

static int polls;
static bool stop_at_third(void *context) {
    (void)context;
    return ++polls >= 3;
}

static void test_a_long_call_can_be_stopped_and_the_session_goes_on(void) {
    bench b = bench_open("bert-uncased");
    size_t n = 1 << 20;
    char *text = malloc(n);
    for (size_t i = 0; i < n; i++) text[i] = i % 6 == 5 ? ' ' : 'a';
    nlp_text input = {text, n};
    polls = 0;
    nlp_request r = {.struct_size = sizeof r,
                     .task = nlp_task_find(b.engine, "token_count"),
                     .model = b.model,
                     .texts = &input,
                     .n_inputs = 1,
                     .stop = {.should_stop = stop_at_third}};
    CHECK_STATUS(nlp_session_run(b.session, &r, &b.result, &b.err), NLP_ECANCELED, &b.err);
    CHECK(polls == 3);
    CHECK_STATUS(run(&b, "embed", "still fine", NULL, NULL), NLP_OK, &b.err);
    free(text);
    bench_close(&b);
}

static void test_the_memory_limit_is_an_error_with_both_numbers(void) {
    bench b = bench_open("bert-uncased");
    nlp_engine_set_limits(b.engine, 1, 20000);
    CHECK_STATUS(run(&b, "embed", "x", NULL, NULL), NLP_ENOMEM, &b.err);
    CHECK(strstr(b.err.message, "20000"));
    nlp_engine_set_limits(b.engine, 1, 0);
    CHECK_STATUS(run(&b, "embed", "x", NULL, NULL), NLP_OK, &b.err);
    bench_close(&b);
}

static void test_a_replaced_pack_is_seen_at_the_next_open(void) {
    bench b = bench_open("bert-uncased");
    char from[256], to[256];
    nlp_model *old, *new;
    nlp_model_info info = {.struct_size = sizeof info};
    nlp_test_pack("sharp-bert");
    snprintf(from, sizeof from, "%s/models/sharp-bert", nlp_test_data());
    snprintf(to, sizeof to, "%s/changing.nlp", nlp_test_folder());
    nlp_import_options o = {.struct_size = sizeof o, .source = from, .out = to, .precision = "f32"};
    nlp_import_report report;
    CHECK_STATUS(nlp_import(&o, &report, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_model_open(b.engine, "changing", NULL, &old, &b.err), NLP_OK, &b.err);
    snprintf(from, sizeof from, "%s/models/bert-uncased", nlp_test_data());
    CHECK_STATUS(nlp_import(&o, &report, &b.err), NLP_EINVAL,
                 &b.err); /* other content, no replace */
    o.replace = true;
    CHECK_STATUS(nlp_import(&o, &report, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_model_open(b.engine, "changing", NULL, &new, &b.err), NLP_OK, &b.err);
    nlp_model_get_info(new, &info);
    CHECK(info.dims == 48 && new != old);
    nlp_model_get_info(old, &info);
    CHECK(info.dims == 32); /* goes on with its own bytes */
    nlp_model_close(old), nlp_model_close(new);
    bench_close(&b);
}

static void test_fit_makes_a_head_that_needs_its_base(void) {
    bench b = bench_open("bert-uncased");
    enum { N = 40 };
    char storage[N][32];
    nlp_text texts[N], labels[N];
    nlp_fit_result fitted;
    nlp_model *head;
    for (int i = 0; i < N; i++) {
        snprintf(storage[i], sizeof storage[i], "%s thing %d", i % 2 ? "good" : "bad", i);
        texts[i] = nlp_test_text(storage[i]);
        labels[i] = nlp_test_text(i % 2 ? "positive" : "negative");
    }
    CHECK_STATUS(
        nlp_fit(b.session, b.model, "mine", texts, labels, N, NULL, 0, NULL, &fitted, &b.err),
        NLP_OK, &b.err);
    CHECK(fitted.n_metrics > 4);
    CHECK_STATUS(
        nlp_model_open_bytes(b.engine, "mine", fitted.pack, fitted.pack_bytes, NULL, &head, &b.err),
        NLP_OK, &b.err);
    CHECK_STATUS(nlp_test_run(b.session, nlp_task_find(b.engine, "sentiment"), head, "good thing 7",
                              NULL, NULL, &b.result, &b.err),
                 NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->n == 8 &&
          !memcmp(b.result->outputs->cells->as.text, "positive", 8));
    nlp_model_close(head);
    CHECK_STATUS(
        nlp_fit(b.session, b.model, "mine", texts, labels, 1, NULL, 0, NULL, &fitted, &b.err),
        NLP_EINVAL, &b.err);
    CHECK_STATUS(
        nlp_fit(b.session, b.model, "mine", texts, labels, 0, NULL, 0, NULL, &fitted, &b.err),
        NLP_EINVAL, &b.err);
    labels[3].bytes = NULL;
    CHECK_STATUS(
        nlp_fit(b.session, b.model, "mine", texts, labels, N, NULL, 0, NULL, &fitted, &b.err),
        NLP_EINVAL, &b.err);
    bench_close(&b);
}

static void test_classes_have_labels_and_scores(void) {
    bench b = bench_open("bert-seqcls");
    CHECK_STATUS(run(&b, "classify_scores", "hello there", NULL, NULL), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 3);
    double sum = 0;
    for (int i = 0; i < 3; i++) sum += b.result->outputs->cells[2 * i + 1].as.real;
    CHECK(fabs(sum - 1) < 1e-5);
    CHECK(b.result->outputs->cells[1].as.real >= b.result->outputs->cells[3].as.real);
    CHECK_STATUS(run(&b, "sentiment_score", "hello there", NULL, NULL), NLP_OK, &b.err);
    CHECK(fabs(b.result->outputs->cells->as.real) <= 1);
    bench_close(&b);
    bench e = bench_open("bert-uncased");
    CHECK_STATUS(run(&e, "classify", "x", NULL, NULL), NLP_EUNSUPPORTED, &e.err);
    bench_close(&e);
}

static void test_cosine_refuses_what_has_no_cosine(void) {
    float a[3] = {1, 0, 0}, b[3] = {0, 1, 0}, bad[3] = {1, NAN, 0}, zero[3] = {0};
    double c;
    CHECK_STATUS(nlp_vector_cosine(a, 3, b, 3, &c, NULL), NLP_OK, NULL);
    CHECK(c == 0);
    CHECK_STATUS(nlp_vector_cosine(a, 3, a, 3, &c, NULL), NLP_OK, NULL);
    CHECK(c == 1);
    CHECK_STATUS(nlp_vector_cosine(a, 3, zero, 3, &c, NULL), NLP_OK, NULL);
    const float huge[] = {3e38f, -2e38f, 1e38f}, tiny[] = {3e-40f, -2e-40f, 1e-40f};
    CHECK_STATUS(nlp_vector_cosine(huge, 3, huge, 3, &c, NULL), NLP_OK, NULL);
    CHECK(c > 0.999999 && c < 1.000001);
    CHECK_STATUS(nlp_vector_cosine(huge, 3, tiny, 3, &c, NULL), NLP_OK, NULL);
    CHECK(c > 0.99999 && c < 1.00001);
    CHECK_STATUS(nlp_vector_cosine(a, 3, bad, 3, &c, NULL), NLP_EINVAL, NULL);
    CHECK_STATUS(nlp_vector_cosine(a, 3, b, 2, &c, NULL), NLP_EINVAL, NULL);
    CHECK_STATUS(nlp_vector_cosine(a, 0, b, 0, &c, NULL), NLP_EINVAL, NULL);
}

/* Every allocation of open, model, session and run fails once: a clean status, and under ASan no
 * leak. */
static void test_every_allocation_may_fail(void) {
    nlp_test_pack("bert-uncased");
    bool done = false;
    for (int n = 0; n < 400 && !done; n++) {
        nlp_failing f = {n};
        bench b;
        nlp_status status = bench_try_open(&b, "bert-uncased", &f);
        if (status == NLP_OK) status = run(&b, "embed", "a few words", NULL, NULL);
        done = status == NLP_OK;
        if (!done) CHECK_STATUS(status, NLP_ENOMEM, &b.err);
        bench_close(&b);
    }
    CHECK(done);
}

/* The first run plans and takes its memory; the next ones of that size live in it. */
static void test_a_second_run_allocates_nothing(void) {
    static const char *const tasks[] = {"embed", "tokens", "token_count", "embed"};
    nlp_test_pack("bert-uncased");
    nlp_failing f = {1000000};
    bench b;
    CHECK_STATUS(bench_try_open(&b, "bert-uncased", &f), NLP_OK, &b.err);
    for (size_t i = 0; i < 4; i++)
        CHECK_STATUS(run(&b, tasks[i], "quite a few words to begin with", NULL, NULL), NLP_OK,
                     &b.err);
    f.left = 0;
    for (size_t i = 0; i < 4; i++)
        CHECK_STATUS(run(&b, tasks[i], "and a few others behind", NULL, NULL), NLP_OK, &b.err);
    bench_close(&b);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"an_unknown_model_names_the_path_and_the_pull",
         test_an_unknown_model_names_the_path_and_the_pull},
        {"a_model_may_be_pinned_by_its_digest", test_a_model_may_be_pinned_by_its_digest},
        {"no_more_is_told_of_a_model_than_asked", test_no_more_is_told_of_a_model_than_asked},
        {"options_are_checked_by_name_type_and_range",
         test_options_are_checked_by_name_type_and_range},
        {"null_and_empty_texts_have_defined_answers",
         test_null_and_empty_texts_have_defined_answers},
        {"invalid_utf8_is_an_error_with_its_place", test_invalid_utf8_is_an_error_with_its_place},
        {"long_texts_follow_on_overflow", test_long_texts_follow_on_overflow},
        {"bits_do_not_depend_on_batch_threads_or_level",
         test_bits_do_not_depend_on_batch_threads_or_level},
        {"a_host_in_another_rounding_mode_gets_the_same_bits",
         test_a_host_in_another_rounding_mode_gets_the_same_bits},
        {"equal_texts_are_computed_once", test_equal_texts_are_computed_once},
        {"a_long_call_can_be_stopped_and_the_session_goes_on",
         test_a_long_call_can_be_stopped_and_the_session_goes_on},
        {"the_memory_limit_is_an_error_with_both_numbers",
         test_the_memory_limit_is_an_error_with_both_numbers},
        {"a_replaced_pack_is_seen_at_the_next_open", test_a_replaced_pack_is_seen_at_the_next_open},
        {"fit_makes_a_head_that_needs_its_base", test_fit_makes_a_head_that_needs_its_base},
        {"classes_have_labels_and_scores", test_classes_have_labels_and_scores},
        {"cosine_refuses_what_has_no_cosine", test_cosine_refuses_what_has_no_cosine},
        {"every_allocation_may_fail", test_every_allocation_may_fail},
        {"a_second_run_allocates_nothing", test_a_second_run_allocates_nothing},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
