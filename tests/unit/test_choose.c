/* test_choose: labels that a decoder chooses from: scores by the likelihood of each label, alone and together,
 * what is cut, and what is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "engine/engine.h"
#include "generate/likelihood.h"
#include "test.h"

/* ---- Likelihood ---- */

enum { MOST_TOKENS = 640 };

/* log p of each token behind those before it, from one pass over all of them without a cache. */
static void plain_log_p(const bench *b, const int32_t *ids, uint32_t n, double *out) {
    const nlp_stack *decoder = b->model->task.writer.decoder;
    size_t d = decoder->spec.hidden_size, n_outputs = decoder->spec.n_outputs, bytes;
    nlp_unit unit = {.ids = ids, .lengths = &n, .n_texts = 1, .n_tokens = n};
    const float *hidden;
    nlp_error err;
    nlp_arena arena;
    nlp_mem mem;
    nlp_mem_init(&mem, NULL, NULL, 0);
    nlp_arena_init(&arena, &mem);
    CHECK_STATUS(nlp_transformer_plan(decoder, n, n, n, &bytes, &err), NLP_OK, &err);
    void *scratch = nlp_arena_push(&arena, bytes, 1),
         *more = nlp_arena_push(&arena, nlp_output_scratch(decoder, 1), 1);
    float *row = nlp_arena_push(&arena, d, sizeof *row),
          *logits = nlp_arena_push(&arena, n_outputs, sizeof *logits);
    CHECK_STATUS(nlp_transformer_run(decoder, b->engine->kernels, &unit, scratch, bytes, NULL, NULL,
                                     &hidden, &err),
                 NLP_OK, &err);
    for (uint32_t i = 0; i + 1 < n; i++) {
        double sum = 0;
        memcpy(row, hidden + i * d, d * sizeof *row);
        CHECK_STATUS(nlp_output_run(decoder, b->engine->kernels, row, 1, logits, more, NULL, &err),
                     NLP_OK, &err);
        for (size_t k = 0; k < n_outputs; k++) sum += exp((double)logits[k]);
        out[i + 1] = (double)logits[ids[i + 1]] - log(sum);
    }
    nlp_arena_deinit(&arena);
}

enum { N_QUESTIONS = 23, N_ANSWERS = 19 };

typedef struct asked {
    int32_t ids[N_QUESTIONS][MOST_TOKENS], words[N_QUESTIONS][N_ANSWERS][NLP_ANSWER_MAX_TOKENS];
    nlp_answer answers[N_QUESTIONS][N_ANSWERS];
    nlp_question questions[N_QUESTIONS];
} asked;

/* Prompts of 1 to 379 tokens, a few long ones among short ones; answers of 1 to 7 tokens, one of 255. */
static asked *ask(const bench *b) {
    asked *a = calloc(1, sizeof *a);
    int32_t vocabulary = (int32_t)b->model->task.writer.decoder->spec.n_outputs;
    for (size_t q = 0; q < N_QUESTIONS; q++) {
        nlp_question *one = &a->questions[q];
        *one = (nlp_question){a->ids[q], q % 9 == 7 ? 255 + 4 * q : 1 + (q * 17) % 40,
                              a->answers[q], 1 + q % N_ANSWERS};
        for (size_t i = 0; i < one->n_ids; i++)
            a->ids[q][i] = (int32_t)(i * 31 + q * 7) % vocabulary;
        for (size_t k = 0; k < one->n_answers; k++) {
            nlp_answer *answer = &one->answers[k];
            *answer = (nlp_answer){a->words[q][k], q == 3 && !k ? 255 : 1 + (k + q) % 7, 5};
            for (size_t i = 0; i < answer->n_ids; i++)
                a->words[q][k][i] = (int32_t)(i * 13 + k * 101 + q) % vocabulary;
        }
    }
    return a;
}

static nlp_status weigh(const bench *b, nlp_question *questions, size_t n, size_t budget,
                        nlp_error *err) {
    nlp_arena arena;
    nlp_mem mem;
    nlp_poll poll;
    uint64_t n_passes;
    nlp_stop stop = {0};
    nlp_mem_init(&mem, NULL, NULL, budget);
    nlp_arena_init(&arena, &mem);
    nlp_poll_init(&poll, &stop, 1 << 20);
    nlp_likelihood_setup setup = {b->model->task.writer.decoder, b->engine->kernels, &arena, &poll};
    nlp_status status = nlp_likelihood(&setup, questions, n, &n_passes, err);
    CHECK(status != NLP_OK || n_passes >= (n > 0));
    nlp_arena_deinit(&arena);
    return status;
}

static void check_answer(const bench *b, const nlp_question *q, const nlp_answer *answer) {
    static double log_p[MOST_TOKENS];
    int32_t ids[MOST_TOKENS];
    double sum = 0;
    size_t n = q->n_ids + answer->n_ids;
    memcpy(ids, q->ids, q->n_ids * sizeof *ids);
    memcpy(ids + q->n_ids, answer->ids, answer->n_ids * sizeof *ids);
    plain_log_p(b, ids, (uint32_t)n, log_p);
    for (size_t i = q->n_ids; i < n; i++) sum += log_p[i];
    CHECK(fabs(sum - answer->log_p) < 2e-3 * (1 + (double)answer->n_ids));
}

static void test_likelihood_is_that_of_a_pass_over_everything(void) {
    bench b = bench_open_talker();
    asked *a = ask(&b);
    CHECK_STATUS(weigh(&b, a->questions, N_QUESTIONS, 0, &b.err), NLP_OK, &b.err);
    for (size_t q = 0; q < N_QUESTIONS; q++)
        for (size_t k = 0; k < a->questions[q].n_answers; k += 3)
            check_answer(&b, &a->questions[q], &a->answers[q][k]);
    free(a);
    bench_close(&b);
}

static void test_likelihood_does_not_depend_on_others(void) {
    bench b = bench_open_talker();
    asked *a = ask(&b), *alone = ask(&b);
    CHECK_STATUS(weigh(&b, a->questions, N_QUESTIONS, 0, &b.err), NLP_OK, &b.err);
    for (size_t q = 0; q < N_QUESTIONS; q++)
        for (size_t k = 0; k < a->questions[q].n_answers; k++) {
            nlp_question one = alone->questions[q];
            one.answers += k, one.n_answers = 1;
            CHECK_STATUS(weigh(&b, &one, 1, 0, &b.err), NLP_OK, &b.err);
            CHECK(one.answers->log_p == a->answers[q][k].log_p);
        }
    free(a);
    free(alone);
    bench_close(&b);
}

static void test_likelihood_has_limits(void) {
    bench b = bench_open_talker();
    asked *a = ask(&b);
    CHECK_STATUS(weigh(&b, a->questions, 0, 0, &b.err), NLP_OK, &b.err);
    CHECK_STATUS(weigh(&b, a->questions, N_QUESTIONS, 1 << 16, &b.err), NLP_ENOMEM, &b.err);
    a->questions[0].n_ids = MOST_TOKENS;
    CHECK_STATUS(weigh(&b, a->questions, N_QUESTIONS, 0, &b.err), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "640"));
    a->questions[0].n_ids = 5;
    a->answers[0][0].n_ids = NLP_ANSWER_MAX_TOKENS + 1;
    CHECK_STATUS(weigh(&b, a->questions, 1, 0, &b.err), NLP_ELIMIT, &b.err);
    free(a);
    bench_close(&b);
}

/* ---- Labels ---- */

static const char few[] = "happy|sad|a question|happy";

static double score_at(const bench *b, uint32_t row) {
    return bench_cell(b, row, 2, 1)->as.real;
}

static void test_the_label_is_the_one_of_the_best_score(void) {
    static const char *const texts[] = {"I love this film.", "", "Where is it?", "no",
                                        "北京 O'Neill"};
    bench b = bench_open_talker();
    for (size_t i = 0; i < 5; i++) {
        double sum = 0;
        char best[32] = {0};
        CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", texts[i], few, NULL, 0), NLP_OK,
                     &b.err);
        CHECK(b.result->outputs->n_rows == 4 && !b.result->outputs->truncated);
        for (uint32_t k = 0; k < 4; k++) sum += score_at(&b, k);
        for (uint32_t k = 1; k < 4; k++) CHECK(score_at(&b, k) <= score_at(&b, k - 1));
        CHECK(fabs(sum - 1) < 1e-5);
        memcpy(best, bench_cell(&b, 0, 2, 0)->as.text, bench_cell(&b, 0, 2, 0)->n);
        CHECK(b.result->outputs->score == score_at(&b, 0));
        CHECK_STATUS(bench_run_list(&b, "zero_shot", texts[i], few, NULL, 0), NLP_OK, &b.err);
        CHECK(bench_is_text(b.result->outputs->cells, best));
    }
    bench_close(&b);
}

/* Tokens of a text, and behind an answer the model's end. */
static size_t tokens_of(bench *b, const char *text, bool answer, int32_t *ids) {
    nlp_option special = {"special_tokens", {.type = NLP_TYPE_BOOLEAN, .as.boolean = !answer}};
    CHECK_STATUS(bench_run(b, "tokenize", text, NULL, &special, 1), NLP_OK, &b->err);
    const nlp_value *cell = b->result->outputs->cells;
    memcpy(ids, cell->as.ids, cell->n * sizeof *ids);
    const nlp_generation_spec *g = b->model->task.writer.generation;
    if (answer && g->n_ends) ids[cell->n] = (int32_t)g->ends[0];
    return cell->n + (answer && g->n_ends);
}

static void test_a_condition_is_a_yes_or_a_no(void) {
    bench b = bench_open("sharp-llama"); /* has no chats, so the prompt is plain */
    int32_t prompt[128], yes[16], no[16];
    nlp_answer answers[] = {{yes, tokens_of(&b, "yes", true, yes), 0},
                            {no, tokens_of(&b, "no", true, no), 0}};
    nlp_question q = {prompt, 0, answers, 2};
    q.n_ids = tokens_of(&b, "Text: It rained.\nIs it true that it was wet? Answer yes or no.\n",
                        false, prompt);
    CHECK_STATUS(weigh(&b, &q, 1, 0, &b.err), NLP_OK, &b.err);
    double expected = 1 / (1 + exp(answers[1].log_p - answers[0].log_p));
    CHECK_STATUS(bench_run(&b, "filter", "It rained.", "it was wet", NULL, 0), NLP_OK, &b.err);
    CHECK(fabs(b.result->outputs->score - expected) < 1e-5);
    CHECK(b.result->outputs->cells->as.boolean == (expected >= 0.5));
    nlp_option below = {"threshold", {.type = NLP_TYPE_REAL, .as.real = expected - 1e-4}},
               above = {"threshold", {.type = NLP_TYPE_REAL, .as.real = expected + 1e-4}};
    CHECK_STATUS(bench_run(&b, "filter", "It rained.", "it was wet", &below, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->as.boolean);
    CHECK_STATUS(bench_run(&b, "filter", "It rained.", "it was wet", &above, 1), NLP_OK, &b.err);
    CHECK(!b.result->outputs->cells->as.boolean);
    bench_close(&b);
}

/* The same label twice has the same score twice. */
static void test_equal_labels_have_equal_scores(void) {
    bench b = bench_open_talker();
    double happy[2] = {0};
    int n = 0;
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", "x", few, NULL, 0), NLP_OK, &b.err);
    for (uint32_t k = 0; k < 4; k++)
        if (bench_is_text(bench_cell(&b, k, 2, 0), "happy") && n < 2) happy[n++] = score_at(&b, k);
    CHECK(n == 2 && happy[0] == happy[1] && happy[0] > 0);
    bench_close(&b);
}

static void test_choices_give_what_labels_give(void) {
    bench b = bench_open_talker();
    double scores[3], log_p[3];
    const char *json = "[\"happy\", \"sad\", \"a question\"]";
    nlp_option options[] = {{"choices", {.type = NLP_TYPE_JSON, .as.text = json}},
                            bench_flag("raw")};
    options[0].value.n = (uint32_t)strlen(json);
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", "x", "happy|sad|a question", NULL, 0),
                 NLP_OK, &b.err);
    for (uint32_t k = 0; k < 3; k++) scores[k] = score_at(&b, k);
    CHECK_STATUS(bench_run(&b, "classify_scores", "x", NULL, options, 1), NLP_OK, &b.err);
    for (uint32_t k = 0; k < 3; k++) CHECK(score_at(&b, k) == scores[k]);
    CHECK_STATUS(bench_run(&b, "confidence", "x", NULL, options, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->as.real == scores[0]);
    CHECK_STATUS(bench_run(&b, "classify_scores", "x", NULL, options, 2), NLP_OK, &b.err);
    CHECK(bench_is_text(bench_cell(&b, 2, 2, 0), "a question")); /* in their order */
    double sum = 0;
    for (uint32_t k = 0; k < 3; k++) log_p[k] = score_at(&b, k), sum += exp(log_p[k] - log_p[0]);
    for (uint32_t k = 0; k < 3; k++) CHECK(log_p[k] < 0);
    CHECK_STATUS(bench_run(&b, "classify", "x", NULL, options, 1), NLP_OK, &b.err);
    uint32_t best = log_p[1] > log_p[0] ? 1 : 0;
    best = log_p[2] > log_p[best] ? 2 : best;
    static const char *const labels[] = {"happy", "sad", "a question"};
    CHECK(bench_is_text(b.result->outputs->cells, labels[best]));
    CHECK(fabs(scores[0] - exp(log_p[best] - log_p[0]) / sum) < 1e-5);
    bench_close(&b);
}

static void test_rows_do_not_depend_on_others(void) {
    enum { N = 40 };
    bench b = bench_open_talker();
    char words[N][24];
    nlp_text texts[2 * N];
    double best[N];
    for (size_t i = 0; i < N; i++) {
        snprintf(words[i], sizeof words[i], "text of number %zu", i % 33);
        texts[2 * i] = nlp_test_text(words[i]);
        texts[2 * i + 1] = i % 5 ? (nlp_text){"yes\0no", 7} : (nlp_text){"left\0right\0up", 14};
    }
    texts[6] = (nlp_text){0};
    CHECK_STATUS(bench_run_texts(&b, "zero_shot", texts, N, NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs[3].cells->type == NLP_TYPE_NULL);
    for (size_t i = 0; i < N; i++) best[i] = b.result->outputs[i].score;
    for (size_t i = 0; i < N; i++) {
        if (i == 3) continue;
        CHECK_STATUS(bench_run_texts(&b, "zero_shot", texts + 2 * i, 1, NULL, 0), NLP_OK, &b.err);
        CHECK(b.result->outputs->score == best[i]);
    }
    bench_close(&b);
}

/* A decoder without chats goes on from the question. */
static void test_a_decoder_without_chats_chooses_too(void) {
    bench b = bench_open("gemma2-caps");
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", "x", "a|b", NULL, 0), NLP_OK, &b.err);
    CHECK(fabs(score_at(&b, 0) + score_at(&b, 1) - 1) < 1e-5);
    bench_close(&b);
}

/* ---- What is cut ---- */

/* A text that is too long gives what its beginning gives that is not: so the question is whole. */
static void test_a_long_text_loses_its_end(void) {
    bench b = bench_open_talker();
    char *text = bench_long_text(400);
    nlp_option options[] = {bench_whole("max_tokens", 120), bench_text("on_overflow", "error")};
    CHECK_STATUS(bench_run_list(&b, "zero_shot", text, "yes|no", options, 1), NLP_OK, &b.err);
    double score = b.result->outputs->score;
    uint32_t n_tokens = b.result->outputs->n_tokens;
    CHECK(b.result->outputs->truncated && n_tokens > 100 && n_tokens < 120);
    CHECK_STATUS(bench_run_list(&b, "zero_shot", text, "yes|no", options, 2), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "120"));
    bool found = false;
    for (size_t n = strlen(text); n > 0 && !found; n--) {
        if (((unsigned char)text[n] & 0xC0) == 0x80) continue;
        text[n] = 0;
        if (n > 600) continue;
        CHECK_STATUS(bench_run_list(&b, "zero_shot", text, "yes|no", options, 1), NLP_OK, &b.err);
        found = !b.result->outputs->truncated && b.result->outputs->score == score &&
                b.result->outputs->n_tokens == n_tokens;
    }
    CHECK(found);
    free(text);
    bench_close(&b);
}

static void test_labels_that_leave_no_room(void) {
    bench b = bench_open_talker();
    char *label = bench_long_text(60);
    nlp_option limit = bench_whole("max_tokens", 40), null = bench_text("on_error", "null");
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", label, NULL, 0), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "at most 255"));
    CHECK_STATUS(
        bench_run_list(
            &b, "zero_shot", "x",
            "a label of many words, a label of many words, a label of many words, a label of words",
            &limit, 1),
        NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "the limit is 40"));
    limit = bench_whole("max_tokens", 20);
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "some|other|labels", &limit, 1), NLP_ELIMIT,
                 &b.err);
    CHECK(strstr(b.err.message, "question"));
    nlp_text texts[] = {
        nlp_test_text("x"), {label, strlen(label) + 1}, nlp_test_text("x"), {"a\0b", 4}};
    CHECK_STATUS(bench_run_texts(&b, "zero_shot", texts, 2, &null, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs[0].cells->type == NLP_TYPE_NULL);
    CHECK(b.result->outputs[1].cells->type == NLP_TYPE_TEXT);
    free(label);
    bench_close(&b);
}

/* ---- What is refused ---- */

static void test_decoders_refuse(void) {
    bench b = bench_open_talker();
    nlp_option multi = bench_flag("multi_label"), hypothesis = bench_text("hypothesis", "It is {}");
    nlp_option choices[] = {bench_text("choices", "one"), bench_text("pair", "x"),
                            bench_text("on_overflow", "chunk")};
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "", NULL, 0), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "list of labels is empty"));
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "a||b", NULL, 0), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "label 2 is empty"));
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "a|b", &multi, 1), NLP_EUNSUPPORTED, &b.err);
    CHECK(strstr(b.err.message, "multi_label"));
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "a|b", &hypothesis, 1), NLP_EUNSUPPORTED,
                 &b.err);
    CHECK(strstr(b.err.message, "hypothesis"));
    CHECK_STATUS(bench_run(&b, "classify", "x", NULL, NULL, 0), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "no labels of its own") && strstr(b.err.hint, "choices"));
    CHECK_STATUS(bench_run(&b, "classify", "x", NULL, choices, 1), NLP_OK, &b.err);
    CHECK(bench_is_text(b.result->outputs->cells, "one") && b.result->outputs->score == 1);
    CHECK_STATUS(bench_run(&b, "classify", "x", NULL, choices, 2), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "pair"));
    choices[1] = choices[2];
    CHECK_STATUS(bench_run(&b, "classify", "x", NULL, choices, 2), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "truncate"));
    bench_close(&b);
    b = bench_open("bert-seqcls");
    CHECK_STATUS(bench_run(&b, "classify", "x", NULL, choices, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "choices"));
    bench_close(&b);
    b = bench_open("m2m100-slow"); /* a seq2seq is asked nothing */
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "a|b", NULL, 0), NLP_EUNSUPPORTED, &b.err);
    bench_close(&b);
}

static bool stop_at_once(void *context) {
    return context == NULL;
}

static void test_a_choice_can_be_stopped(void) {
    bench b = bench_open_talker();
    nlp_text texts[] = {nlp_test_text("x"), {"a\0b", 4}};
    nlp_request request = {.struct_size = sizeof request,
                           .task = nlp_task_find(b.engine, "zero_shot"),
                           .model = b.model,
                           .texts = texts,
                           .n_inputs = 1,
                           .stop = {.should_stop = stop_at_once}};
    CHECK_STATUS(nlp_session_run(b.session, &request, &b.result, &b.err), NLP_ECANCELED, &b.err);
    CHECK_STATUS(bench_run_texts(&b, "zero_shot", texts, 1, NULL, 0), NLP_OK, &b.err);
    bench_close(&b);
}

static void test_every_allocation_may_fail(void) {
    nlp_text labelled[] = {nlp_test_text("a match"), {"a\0b", 4}};
    nlp_option choices = bench_text("choices", "one");
    bench b = bench_open_talker(); /* so that its pack is there */
    bench_close(&b);
    bench_fail_each_allocation("talker", "zero_shot_scores", labelled, NULL, 0);
    bench_fail_each_allocation("talker", "classify", labelled, &choices, 1);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"likelihood_is_that_of_a_pass_over_everything",
         test_likelihood_is_that_of_a_pass_over_everything},
        {"likelihood_does_not_depend_on_others", test_likelihood_does_not_depend_on_others},
        {"likelihood_has_limits", test_likelihood_has_limits},
        {"a_condition_is_a_yes_or_a_no", test_a_condition_is_a_yes_or_a_no},
        {"the_label_is_the_one_of_the_best_score", test_the_label_is_the_one_of_the_best_score},
        {"equal_labels_have_equal_scores", test_equal_labels_have_equal_scores},
        {"choices_give_what_labels_give", test_choices_give_what_labels_give},
        {"rows_do_not_depend_on_others", test_rows_do_not_depend_on_others},
        {"a_decoder_without_chats_chooses_too", test_a_decoder_without_chats_chooses_too},
        {"a_long_text_loses_its_end", test_a_long_text_loses_its_end},
        {"labels_that_leave_no_room", test_labels_that_leave_no_room},
        {"decoders_refuse", test_decoders_refuse},
        {"a_choice_can_be_stopped", test_a_choice_can_be_stopped},
        {"every_allocation_may_fail", test_every_allocation_may_fail},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
