/* test_distill: heads that learn what a teacher says: which texts it is asked about, when the head is good
 * enough, and what bad requests get. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "test.h"

enum { MANY = 400, TEXT_BYTES = 48 };
#define LABELS "good|bad|late"

static const char base_name[] =
    "st-bert-cls-prompts"; /* one of vectors: it teaches by similarity */

typedef struct texts {
    char (*storage)[TEXT_BYTES];
    nlp_text *items;
    size_t n;
} texts;

static texts texts_of(size_t n) {
    static const char *const words[] = {"good", "bad", "late", "cheap"};
    texts t = {calloc(n + 1, TEXT_BYTES), calloc(n + 1, sizeof(nlp_text)), n};
    for (size_t i = 0; i < n; i++) {
        snprintf(t.storage[i], TEXT_BYTES, "%s thing %zu", words[i % 4], i);
        t.items[i] = nlp_test_text(t.storage[i]);
    }
    return t;
}

static void free_texts(texts *t) {
    free(t->storage), free(t->items);
}

/* Labels with '|' between them, as an operand; the request copies them. */
static nlp_text list_of(const char *labels) {
    static char joined[256];
    size_t n = strlen(labels);
    for (size_t i = 0; i < n; i++) joined[i] = (char)(labels[i] == '|' ? 0 : labels[i]);
    joined[n] = 0;
    return (nlp_text){joined, n + 1};
}

static nlp_option real(const char *key, double number) {
    return (nlp_option){key, {.type = NLP_TYPE_REAL, .as.real = number}};
}

static nlp_distill_request request_of(const bench *b, const char *labels, const nlp_option *options,
                                      size_t n_options) {
    return (nlp_distill_request){.struct_size = sizeof(nlp_distill_request),
                                 .name = "mine",
                                 .teacher = b->model,
                                 .base = b->model,
                                 .labels = list_of(labels),
                                 .options = options,
                                 .n_options = n_options};
}

/* The whole of it; close *d whatever it gives. */
static nlp_status distill(bench *b, const nlp_distill_request *r, const texts *t,
                          nlp_distillation **d, nlp_fit_result *result) {
    *result = (nlp_fit_result){0};
    nlp_status status = nlp_distill_open(b->engine, r, d, &b->err);
    if (status == NLP_OK) status = nlp_distill_add(*d, t->items, t->n, NULL, &b->err);
    return status == NLP_OK ? nlp_distill_finish(*d, NULL, result, &b->err) : status;
}

static double value_of(const nlp_fit_result *r, const char *name) {
    for (size_t i = 0; i < r->n_metrics; i++)
        if (!strcmp(r->metrics[i].name, name)) return r->metrics[i].value;
    return -1;
}

static bool holds(const void *bytes, size_t n_bytes, const char *text) {
    const char *at = bytes;
    size_t n = strlen(text);
    for (size_t i = 0; i + n <= n_bytes; i++)
        if (!memcmp(at + i, text, n)) return true;
    return false;
}

/* ---- The head ---- */

static void test_a_head_answers_as_its_teacher(void) {
    bench b = bench_open(base_name);
    texts t = texts_of(MANY);
    nlp_distillation *d;
    nlp_fit_result result;
    nlp_model *head;
    size_t same = 0;
    nlp_distill_request r = request_of(&b, LABELS, NULL, 0);
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_OK, &b.err);
    CHECK(result.n_metrics > 4 && !strcmp(result.metrics->name, "agreement"));
    CHECK(value_of(&result, "agreement") >= 0.8);
    CHECK(value_of(&result, "accuracy") == value_of(&result, "agreement"));
    CHECK(value_of(&result, "rows_seen") == MANY && value_of(&result, "rows_sampled") == MANY);
    CHECK(value_of(&result, "rows_trained") + value_of(&result, "rows_held_out") == MANY);
    CHECK(value_of(&result, "rows_held_out") > 0.1 * MANY);
    CHECK_STATUS(
        nlp_model_open_bytes(b.engine, "mine", result.pack, result.pack_bytes, NULL, &head, &b.err),
        NLP_OK, &b.err);
    for (size_t i = 0; i < MANY; i++) {
        char taught[TEXT_BYTES] = "";
        bench_run_list(&b, "zero_shot", t.storage[i], LABELS, NULL, 0);
        const nlp_value *cell = b.result->outputs->cells;
        snprintf(taught, sizeof taught, "%.*s", (int)cell->n, cell->as.text);
        CHECK_STATUS(nlp_test_run(b.session, nlp_task_find(b.engine, "classify"), head,
                                  t.storage[i], NULL, NULL, &b.result, &b.err),
                     NLP_OK, &b.err);
        same += bench_is_text(b.result->outputs->cells, taught);
    }
    CHECK(same >= (size_t)(0.8 * MANY));
    nlp_model_close(head);
    nlp_distill_close(d);
    free_texts(&t);
    bench_close(&b);
}

static void test_the_card_names_the_teacher(void) {
    bench b = bench_open(base_name);
    texts t = texts_of(MANY);
    nlp_distillation *d;
    nlp_fit_result result;
    nlp_model_info info = {.struct_size = sizeof info};
    char wanted[256];
    nlp_distill_request r = request_of(&b, LABELS, NULL, 0);
    nlp_model_get_info(b.model, &info);
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_OK, &b.err);
    snprintf(wanted, sizeof wanted, "labels by teacher %s (SHA-256 %s), agreement %.4f", base_name,
             info.digest, value_of(&result, "agreement"));
    CHECK(holds(result.pack, result.pack_bytes, wanted));
    nlp_distill_close(d);
    free_texts(&t);
    bench_close(&b);
}

/* Those of fitting are passed on, the teacher's are the teacher's. */
static void test_options_reach_fit_and_teacher(void) {
    bench b = bench_open(base_name);
    texts t = texts_of(MANY);
    nlp_distillation *d;
    nlp_fit_result result;
    nlp_option options[] = {bench_whole("epochs", 7),
                            real("holdout", 0.5),
                            bench_text("description", "Mine."),
                            bench_flag("multi_label"),
                            bench_text("hypothesis", "{} thing"),
                            real("min_agreement", 0)};
    nlp_distill_request r = request_of(&b, LABELS, options, 6);
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_OK, &b.err);
    CHECK(value_of(&result, "epochs") == 7 && value_of(&result, "rows_held_out") > 0.4 * MANY);
    CHECK(holds(result.pack, result.pack_bytes, "Mine."));
    nlp_distill_close(d);
    options[4] = bench_text("hypothesis", "no place");
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "hypothesis"));
    nlp_distill_close(d);
    free_texts(&t);
    bench_close(&b);
}

static void test_models_of_inference_and_decoders_teach(void) {
    bench made[] = {bench_open_nli(), bench_open_talker()}, b = bench_open(base_name);
    const char *const names[] = {"nli", "talker"};
    texts t = texts_of(200);
    nlp_option any = real("min_agreement", 0);
    for (size_t i = 0; i < 2; i++) {
        nlp_distillation *d;
        nlp_fit_result result;
        nlp_model *teacher;
        nlp_distill_request r = request_of(&b, LABELS, &any, 1);
        CHECK_STATUS(nlp_model_open(b.engine, names[i], NULL, &teacher, &b.err), NLP_OK, &b.err);
        r.teacher = teacher;
        CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_OK, &b.err);
        CHECK(value_of(&result, "classes") >= 2 && result.pack_bytes > 0);
        nlp_distill_close(d);
        nlp_model_close(teacher);
        bench_close(&made[i]);
    }
    free_texts(&t);
    bench_close(&b);
}

/* ---- The sample ---- */

static void test_the_sample_depends_on_the_texts_alone(void) {
    bench b = bench_open(base_name);
    texts t = texts_of(MANY);
    nlp_distillation *first, *again;
    nlp_fit_result one, other;
    nlp_option options[] = {bench_whole("sample", 150), real("min_agreement", 0.5)};
    nlp_distill_request r = request_of(&b, LABELS, options, 2);
    CHECK_STATUS(distill(&b, &r, &t, &first, &one), NLP_OK, &b.err);
    CHECK(value_of(&one, "rows_seen") == MANY && value_of(&one, "rows_sampled") == 150);
    CHECK_STATUS(nlp_distill_open(b.engine, &r, &again, &b.err), NLP_OK, &b.err);
    for (size_t i = 2 * MANY; i-- > 0;)
        CHECK_STATUS(nlp_distill_add(again, &t.items[i / 2], 1, NULL, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_distill_add(again, t.items, MANY, NULL, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_distill_finish(again, NULL, &other, &b.err), NLP_OK, &b.err);
    CHECK(value_of(&other, "rows_seen") == 3 * MANY && value_of(&other, "rows_sampled") == 150);
    CHECK(one.pack_bytes == other.pack_bytes && !memcmp(one.pack, other.pack, one.pack_bytes));
    nlp_distill_close(first);
    nlp_distill_close(again);
    free_texts(&t);
    bench_close(&b);
}

/* Ten times as many bytes go through as there may be. */
static void test_rows_beyond_the_sample_need_no_memory(void) {
    enum { LIMIT = 16 << 20, LONG = 16 << 10, N = 10 * LIMIT / LONG };
    bench b = bench_open(base_name);
    char *text = malloc(LONG);
    nlp_distillation *d;
    nlp_fit_result result;
    nlp_option options[] = {bench_whole("sample", 100), real("min_agreement", 0)};
    nlp_distill_request r = request_of(&b, LABELS, options, 2);
    memset(text, ' ', LONG);
    nlp_engine_set_limits(b.engine, 1, LIMIT);
    CHECK_STATUS(nlp_distill_open(b.engine, &r, &d, &b.err), NLP_OK, &b.err);
    for (size_t i = 0; i < N; i++) {
        nlp_text row = {text, LONG};
        memcpy(text, i % 2 ? "good thing" : "bad things", 10);
        snprintf(text + 10, 16, "%15zu", i);
        CHECK_STATUS(nlp_distill_add(d, &row, 1, NULL, &b.err), NLP_OK, &b.err);
    }
    CHECK_STATUS(nlp_distill_finish(d, NULL, &result, &b.err), NLP_OK, &b.err);
    CHECK(value_of(&result, "rows_seen") == N && value_of(&result, "rows_sampled") == 100);
    nlp_distill_close(d);
    free(text);
    bench_close(&b);
}

static void test_bad_rows_are_named(void) {
    bench b = bench_open(base_name);
    texts t = texts_of(MANY);
    nlp_distillation *d;
    nlp_fit_result result;
    nlp_distill_request r = request_of(&b, LABELS, NULL, 0);
    t.items[7] = (nlp_text){0};
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "row 8 "));
    nlp_distill_close(d);
    t.n = 0;
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "no rows"));
    nlp_distill_close(d);
    free_texts(&t);
    bench_close(&b);
}

/* ---- Good enough ---- */

/* A head that made one step agrees with its teacher now and then. */
static void test_a_head_that_does_not_agree_is_no_result(void) {
    bench b = bench_open(base_name);
    texts t = texts_of(MANY);
    nlp_distillation *d;
    nlp_fit_result result;
    nlp_option options[] = {real("min_agreement", 0), bench_whole("epochs", 1), real("l2", 1000)};
    nlp_distill_request r = request_of(&b, LABELS, options, 3);
    char wanted[64];
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_OK, &b.err);
    double agreement = value_of(&result, "agreement");
    size_t n_held_out = (size_t)value_of(&result, "rows_held_out");
    CHECK(agreement < 1);
    nlp_distill_close(d);
    options[0] = real("min_agreement", agreement);
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_OK, &b.err);
    nlp_distill_close(d);
    options[0] = real("min_agreement", 1);
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_EINVAL, &b.err);
    snprintf(wanted, sizeof wanted, "%.4g of %zu held-out texts", agreement, n_held_out);
    CHECK(!result.pack && strstr(b.err.message, wanted) && strstr(b.err.message, base_name));
    CHECK(strstr(b.err.message, "min_agreement is 1") && strstr(b.err.hint, "sample (it is 500)"));
    nlp_distill_close(d);
    free_texts(&t);
    bench_close(&b);
}

/* A teacher that could not be asked at all shows that it is not. */
static void test_too_few_held_out_texts_end_it_before_the_teacher(void) {
    bench b = bench_open(base_name), c = bench_open("bert-seqcls");
    texts t = texts_of(30);
    nlp_distillation *d;
    nlp_fit_result result;
    nlp_option none = real("holdout", 0), most[] = {real("holdout", 0.9), real("min_agreement", 0)};
    nlp_distill_request r = request_of(&b, LABELS, NULL, 0);
    CHECK_STATUS(nlp_model_open(b.engine, "bert-seqcls", NULL, &r.teacher, &b.err), NLP_OK, &b.err);
    nlp_model *no_teacher = r.teacher;
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "of 30 sampled texts are held out (holdout 0.2), at least 20"));
    CHECK(strstr(b.err.hint, "larger sample"));
    nlp_distill_close(d);
    r.options = &none, r.n_options = 1;
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "0 of 30"));
    nlp_distill_close(d);
    r.options = most, r.n_options = 2;
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_EUNSUPPORTED, &b.err);
    CHECK(strstr(b.err.message, "entailment"));
    nlp_distill_close(d);
    r.teacher = b.model;
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_OK, &b.err);
    CHECK(value_of(&result, "rows_held_out") >= 20);
    nlp_distill_close(d);
    nlp_model_close(no_teacher);
    free_texts(&t);
    bench_close(&c);
    bench_close(&b);
}

/* Texts that differ in blanks and a sign, and are all as near to one label. */
static void test_one_label_for_all_is_nothing_to_learn(void) {
    bench b = bench_open(base_name);
    texts t = {calloc(MANY, TEXT_BYTES), calloc(MANY, sizeof(nlp_text)), MANY};
    nlp_distillation *d;
    nlp_fit_result result;
    nlp_distill_request r = request_of(&b, "good thing|1000000000000", NULL, 0);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(t.storage[i], TEXT_BYTES, "good thing%*s", (int)i % 32, "");
        t.storage[i][10 + i % 32] = (char)('!' + i / 32);
        t.items[i] = nlp_test_text(t.storage[i]);
    }
    CHECK_STATUS(distill(&b, &r, &t, &d, &result), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "400 sampled texts the label \"good thing\""));
    CHECK(strstr(b.err.message, base_name) && strstr(b.err.hint, "another teacher"));
    nlp_distill_close(d);
    free_texts(&t);
    bench_close(&b);
}

/* ---- Bad requests ---- */

static void test_labels_are_checked(void) {
    static const struct {
        const char *labels, *problem;
    } bad[] = {{"", "1 given"},
               {"good", "1 given"},
               {"good||bad", "empty"},
               {"bad|good|bad", "\"bad\" is given twice"}};
    bench b = bench_open(base_name);
    nlp_distillation *d;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nlp_distill_request r = request_of(&b, bad[i].labels, NULL, 0);
        CHECK_STATUS(nlp_distill_open(b.engine, &r, &d, &b.err), NLP_EINVAL, &b.err);
        CHECK(!d && strstr(b.err.message, bad[i].problem));
    }
    nlp_distill_request r = request_of(&b, LABELS, NULL, 0);
    r.labels = (nlp_text){0};
    CHECK_STATUS(nlp_distill_open(b.engine, &r, &d, &b.err), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "0 given"));
    r.labels = nlp_test_text("good");
    CHECK_STATUS(nlp_distill_open(b.engine, &r, &d, &b.err), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "byte 0"));
    bench_close(&b);
}

static void test_options_are_checked(void) {
    bench b = bench_open(base_name);
    nlp_distillation *d;
    nlp_option bad[] = {bench_whole("bogus", 1),       bench_whole("sample", 49),
                        bench_whole("sample", 100001), real("min_agreement", 1.5),
                        real("min_agreement", -0.5),   bench_whole("teacher", 1),
                        bench_text("epochs", "many"),  bench_text("on_overflow", "chunk"),
                        bench_whole("threshold", 1),   real("sample", 60.5)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nlp_distill_request r = request_of(&b, LABELS, &bad[i], 1);
        CHECK_STATUS(nlp_distill_open(b.engine, &r, &d, &b.err), NLP_EINVAL, &b.err);
        CHECK(!d && strstr(b.err.message, bad[i].key) && strstr(b.err.message, "nlp_distill"));
    }
    nlp_distill_request r = request_of(&b, LABELS, &bad[0], 1);
    nlp_distill_open(b.engine, &r, &d, &b.err);
    CHECK(strstr(b.err.hint, "teacher, base, sample, min_agreement") &&
          strstr(b.err.hint, "hypothesis"));
    nlp_option sentiment = bench_text("task", "sentiment");
    r = request_of(&b, "positive|dreadful", &sentiment, 1);
    CHECK_STATUS(nlp_distill_open(b.engine, &r, &d, &b.err), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "sentiment"));
    bench_close(&b);
}

static void test_names_and_models_are_checked(void) {
    bench b = bench_open(base_name), other = bench_open("bert-seqcls");
    static const char *const bad[] = {"", "Mine", "a b", "../up", "mine@1a2b3c4d"};
    nlp_distillation *d;
    nlp_distill_request r = request_of(&b, LABELS, NULL, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.name = bad[i];
        CHECK_STATUS(nlp_distill_open(b.engine, &r, &d, &b.err), NLP_ENOMODEL, &b.err);
        CHECK(!d && strstr(b.err.message, "no name of a model"));
    }
    r.name = "mine", r.teacher = other.model;
    CHECK_STATUS(nlp_distill_open(b.engine, &r, &d, &b.err), NLP_EINVAL, &b.err);
    r.teacher = b.model, r.base = NULL;
    CHECK_STATUS(nlp_distill_open(b.engine, &r, &d, &b.err), NLP_EINVAL, &b.err);
    bench_close(&other);
    bench_close(&b);
}

static void test_model_names_are_read_from_options(void) {
    nlp_error err;
    char name[8];
    nlp_option options[] = {{"teacher", {.type = NLP_TYPE_NULL}},
                            bench_text("base", "minilm"),
                            bench_text("teacher", "smollm2")};
    CHECK_STATUS(nlp_distill_model_name(options, 1, "teacher", name, 8, &err), NLP_OK, &err);
    CHECK(!*name);
    CHECK_STATUS(nlp_distill_model_name(options, 3, "teacher", name, 8, &err), NLP_OK, &err);
    CHECK(!strcmp(name, "smollm2"));
    CHECK_STATUS(nlp_distill_model_name(options, 3, "teacher", name, 7, &err), NLP_EINVAL, &err);
    CHECK(strstr(err.message, "7 bytes") && strstr(err.message, "at most 6"));
    options[1] = bench_flag("base");
    CHECK_STATUS(nlp_distill_model_name(options, 3, "base", name, 8, &err), NLP_EINVAL, &err);
    CHECK(strstr(err.message, "must be a text"));
}

/* ---- Stopping, and memory that is not there ---- */

static bool stop_at_once(void *context) {
    ++*(int *)context;
    return true;
}

static void test_it_stops_where_the_host_says_so(void) {
    enum { LONG = 1 << 20 };
    bench b = bench_open(base_name);
    texts t = texts_of(MANY);
    char *text = calloc(1, LONG);
    nlp_text row = {text, LONG};
    int n_polls = 0;
    nlp_stop stop = {stop_at_once, &n_polls};
    nlp_distillation *d;
    nlp_fit_result result;
    nlp_distill_request r = request_of(&b, LABELS, NULL, 0);
    CHECK_STATUS(nlp_distill_open(b.engine, &r, &d, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_distill_add(d, t.items, t.n, NULL, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(nlp_distill_add(d, &row, 1, &stop, &b.err), NLP_ECANCELED, &b.err);
    CHECK_STATUS(nlp_distill_finish(d, &stop, &result, &b.err), NLP_ECANCELED, &b.err);
    CHECK(n_polls == 2 && !result.pack);
    nlp_distill_close(d);
    free(text);
    free_texts(&t);
    bench_close(&b);
}

static void test_each_allocation_may_fail(void) {
    texts t = texts_of(130);
    bool done = false;
    nlp_option options[] = {bench_whole("sample", 120), real("min_agreement", 0),
                            bench_whole("epochs", 1), bench_text("hypothesis", "{} thing")};
    for (int n = 0; n < 2000 && !done; n++) {
        nlp_failing f = {1 << 20};
        bench b;
        nlp_distillation *d = NULL;
        nlp_fit_result result;
        CHECK_STATUS(bench_try_open(&b, base_name, &f), NLP_OK, &b.err);
        nlp_distill_request r = request_of(&b, LABELS, options, 4);
        f.left = n;
        nlp_status status = distill(&b, &r, &t, &d, &result);
        done = status == NLP_OK;
        if (!done) CHECK_STATUS(status, NLP_ENOMEM, &b.err);
        nlp_distill_close(d);
        bench_close(&b);
    }
    CHECK(done);
    free_texts(&t);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"a_head_answers_as_its_teacher", test_a_head_answers_as_its_teacher},
        {"the_card_names_the_teacher", test_the_card_names_the_teacher},
        {"options_reach_fit_and_teacher", test_options_reach_fit_and_teacher},
        {"models_of_inference_and_decoders_teach", test_models_of_inference_and_decoders_teach},
        {"the_sample_depends_on_the_texts_alone", test_the_sample_depends_on_the_texts_alone},
        {"rows_beyond_the_sample_need_no_memory", test_rows_beyond_the_sample_need_no_memory},
        {"bad_rows_are_named", test_bad_rows_are_named},
        {"a_head_that_does_not_agree_is_no_result", test_a_head_that_does_not_agree_is_no_result},
        {"too_few_held_out_texts_end_it_before_the_teacher",
         test_too_few_held_out_texts_end_it_before_the_teacher},
        {"one_label_for_all_is_nothing_to_learn", test_one_label_for_all_is_nothing_to_learn},
        {"labels_are_checked", test_labels_are_checked},
        {"options_are_checked", test_options_are_checked},
        {"names_and_models_are_checked", test_names_and_models_are_checked},
        {"model_names_are_read_from_options", test_model_names_are_read_from_options},
        {"it_stops_where_the_host_says_so", test_it_stops_where_the_host_says_so},
        {"each_allocation_may_fail", test_each_allocation_may_fail},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
