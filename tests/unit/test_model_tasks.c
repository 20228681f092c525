/* test_model_tasks: the tasks that a model lists are those that it can run, and it is refused in the others. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "test.h"

/* A call of each task that can be listed: with its options, then without. */
static const struct call {
    const char *task, *first, *second;
    bool is_list; /* the second text is a list */
    const char *keys[3], *values[3];
} calls[] = {
    {"embed", "the cat", NULL, false, {NULL}, {NULL}},
    {"similarity", "the cat", "a dog", false, {NULL}, {NULL}},
    {"sentiment", "the cat", NULL, false, {NULL}, {NULL}},
    {"classify", "the cat", NULL, false, {"choices"}, {"[\"animals\", \"taxes\"]"}},
    {"entities", "the cat", NULL, false, {NULL}, {NULL}},
    {"answer", "who?", "The cat sat. A dog ran.", false, {"sentence"}, {"true"}},
    {"fill_mask", "the [MASK] sat", NULL, false, {NULL}, {NULL}},
    {"zero_shot", "the cat", "animals|taxes", true, {NULL}, {NULL}},
    {"rerank",
     "who?",
     "the cat|a dog",
     true,
     {"prompt", "yes", "no"},
     {"{query} {document}", "a", "b"}},
    {"generate", "the cat", NULL, false, {NULL}, {NULL}},
    {"translate", "the cat", "fr", false, {NULL}, {NULL}},
    {"chat", "[{\"role\": \"user\", \"content\": \"a\"}]", NULL, false, {NULL}, {NULL}},
    {"summarize", "The cat sat.", NULL, false, {NULL}, {NULL}},
    {"extract", "The cat sat.", "{\"enum\": [\"a\", \"b\"]}", false, {NULL}, {NULL}},
    {"chunk", "The cat sat.", NULL, false, {NULL}, {NULL}},
    {"filter", "the cat", "an animal", false, {NULL}, {NULL}},
};
enum { N_CALLS = sizeof calls / sizeof *calls };

static nlp_status run_with(bench *b, const struct call *c, size_t n_options) {
    nlp_option options[3];
    for (size_t i = 0; i < n_options; i++)
        options[i] = strcmp(c->values[i], "true") ? bench_text(c->keys[i], c->values[i])
                                                  : bench_flag(c->keys[i]);
    return c->is_list ? bench_run_list(b, c->task, c->first, c->second, options, n_options)
                      : bench_run(b, c->task, c->first, c->second, options, n_options);
}

static nlp_status run_call(bench *b, const struct call *c) {
    size_t n = 0;
    while (n < 3 && c->keys[n]) n++;
    nlp_status status = run_with(b, c, n);
    return status != NLP_OK && n ? run_with(b, c, 0) : status;
}

static bool lists(const char *tasks, const char *task) {
    size_t n = strlen(task);
    for (const char *at = tasks; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (!strncmp(at, task, n) && (at[n] == ',' || !at[n])) return true;
    return false;
}

/* Any model has hidden states to pool, so those two are never refused; they are listed where a model is
 * for nothing else. */
static bool is_refused(const char *task) {
    return strcmp(task, "embed") != 0 && strcmp(task, "similarity") != 0;
}

static void check_model(bench b, const char *name) {
    nlp_model_info info = {.struct_size = sizeof info};
    nlp_model_get_info(b.model, &info);
    for (size_t i = 0; i < N_CALLS; i++) {
        nlp_status status = run_call(&b, &calls[i]);
        bool listed = lists(info.tasks, calls[i].task);
        if (listed ? status != NLP_OK : is_refused(calls[i].task) && status != NLP_EUNSUPPORTED)
            nlp_test_fail(__FILE__, __LINE__, "%s, which lists %s: %s gives %s %s", name,
                          info.tasks, calls[i].task, nlp_status_name(status), b.err.message);
    }
    bench_close(&b);
}

static void test_encoders_run_what_they_list(void) {
    static const char *const names[] = {"bert-uncased", "st-bert-cls-prompts", "model2vec",
                                        "bert-seqcls",  "bert-tokcls",         "bert-qa",
                                        "bert-mlm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_model(bench_open(names[i]), names[i]);
    check_model(bench_open_nli(), "nli");
}

static void test_writers_run_what_they_list(void) {
    static const char *const names[] = {"sharp-gpt2", "qwen3-reranker", "sharp-flan-t5",
                                        "m2m100-slow"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_model(bench_open(names[i]), names[i]);
    check_model(bench_open_talker(), "talker");
}

/* What no call above can run would not be checked. */
static void test_every_listed_task_has_a_call(void) {
    static const char *const names[] = {
        "st-bert-cls-prompts", "bert-seqcls",  "bert-tokcls", "bert-qa", "bert-mlm",
        "sharp-gpt2",          "sharp-flan-t5"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bench b = bench_open(names[i]);
        nlp_model_info info = {.struct_size = sizeof info};
        size_t n_listed = 1, n_called = 0;
        nlp_model_get_info(b.model, &info);
        for (const char *at = info.tasks; *at; at++) n_listed += *at == ',';
        for (size_t k = 0; k < N_CALLS; k++) n_called += lists(info.tasks, calls[k].task);
        CHECK(n_listed == n_called);
        bench_close(&b);
    }
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"encoders_run_what_they_list", test_encoders_run_what_they_list},
        {"writers_run_what_they_list", test_writers_run_what_they_list},
        {"every_listed_task_has_a_call", test_every_listed_task_has_a_call},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
