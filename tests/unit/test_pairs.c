/* test_pairs: tasks that read two texts at once, labels of one's own and rerankers: what is cut, what is
 * asked for and not there, and that a list has the scores of its pairs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "test.h"

/* ---- Labels of one's own ---- */

/* Logits of the model for a pair, in the order of its labels. */
static void pair_logits(bench *b, const char *text, const char *pair, double logits[3]) {
    nlp_option options[] = {bench_text("pair", pair), bench_flag("raw")};
    CHECK_STATUS(bench_run(b, "classify_scores", text, NULL, options, 2), NLP_OK, &b->err);
    for (uint32_t i = 0; i < 3; i++) logits[i] = bench_cell(b, i, 2, 1)->as.real;
}

static double score_of(const bench *b, const char *label) {
    for (uint32_t i = 0; i < b->result->outputs->n_rows; i++)
        if (bench_is_text(bench_cell(b, i, 2, 0), label)) return bench_cell(b, i, 2, 1)->as.real;
    return NAN;
}

static void test_zero_shot_is_a_softmax_of_entailments(void) {
    bench b = bench_open_nli();
    const char *text = "The match ended two to one.";
    double sports[3], food[3];
    pair_logits(&b, text, "This example is sports.", sports);
    pair_logits(&b, text, "This example is food.", food);
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", text, "sports|food", NULL, 0), NLP_OK,
                 &b.err);
    double expected = 1 / (1 + exp(food[2] - sports[2]));
    CHECK(fabs(score_of(&b, "sports") - expected) < 1e-5);
    CHECK(fabs(score_of(&b, "food") - (1 - expected)) < 1e-5);
    nlp_option multi = bench_flag("multi_label");
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", text, "sports|food", &multi, 1), NLP_OK,
                 &b.err);
    CHECK(fabs(score_of(&b, "sports") - 1 / (1 + exp(sports[0] - sports[2]))) < 1e-5);
    CHECK(fabs(score_of(&b, "food") - 1 / (1 + exp(food[0] - food[2]))) < 1e-5);
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", text, "sports", NULL, 0), NLP_OK, &b.err);
    CHECK(fabs(score_of(&b, "sports") - 1 / (1 + exp(sports[0] - sports[2]))) < 1e-5);
    CHECK_STATUS(bench_run_list(&b, "zero_shot", text, "sports|food", NULL, 0), NLP_OK, &b.err);
    CHECK(bench_is_text(b.result->outputs->cells, expected > 0.5 ? "sports" : "food"));
    bench_close(&b);
}

static void test_zero_shot_refuses(void) {
    bench b = bench_open_nli();
    nlp_option none = bench_text("hypothesis", "no place for a label"),
               two = bench_text("hypothesis", "{} and {}"), pair = bench_text("pair", "x");
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "a|b", &none, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "hypothesis"));
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "a|b", &two, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "2 times"));
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "a|b", &pair, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "pair") && strstr(b.err.hint, "multi_label"));
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", "", NULL, 0), NLP_EINVAL, &b.err);
    nlp_text open[2] = {nlp_test_text("x"), nlp_test_text("no end")};
    CHECK_STATUS(bench_run_texts(&b, "zero_shot", open, 1, NULL, 0), NLP_EINVAL, &b.err);
    bench_close(&b);
    bench plain = bench_open("bert-seqcls");
    CHECK_STATUS(bench_run_list(&plain, "zero_shot", "x", "a|b", NULL, 0), NLP_EUNSUPPORTED,
                 &plain.err);
    CHECK(strstr(plain.err.message, "entailment"));
    bench_close(&plain);
}

/* What is too long is cut from the text: the hypothesis says what is asked. */
static void test_zero_shot_cuts_the_text_only(void) {
    bench b = bench_open_nli();
    char *text = bench_long_text(100);
    CHECK_STATUS(bench_run_list(&b, "zero_shot_scores", text, "a|b", NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated && b.result->outputs->n_tokens == 128);
    nlp_option error = bench_text("on_overflow", "error");
    CHECK_STATUS(bench_run_list(&b, "zero_shot", text, "a", &error, 1), NLP_ELIMIT, &b.err);
    text[900] = 0; /* a label that leaves no room */
    while (((unsigned char)text[strlen(text) - 1] & 0x80)) text[strlen(text) - 1] = 0;
    CHECK_STATUS(bench_run_list(&b, "zero_shot", "x", text, NULL, 0), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "second text"));
    free(text);
    bench_close(&b);
}

/* ---- Conditions ---- */

/* The condition is the hypothesis as it stands, {} and all. Of the same logits one model says that they
 * entail, the other that they contradict. */
static void check_conditions(bench b, int entailment, bool expected) {
    static const char *const conditions[] = {"Somebody won.", "a {} of \"no\"", ""};
    const char *text = "The match ended two to one.";
    nlp_option none = {"threshold", {.type = NLP_TYPE_REAL, .as.real = 0}};
    for (size_t i = 0; i < 3; i++) {
        double logits[3];
        pair_logits(&b, text, conditions[i], logits);
        double p = 1 / (1 + exp(logits[2 - entailment] - logits[entailment]));
        CHECK_STATUS(bench_run(&b, "filter", text, conditions[i], NULL, 0), NLP_OK, &b.err);
        CHECK(fabs(b.result->outputs->score - p) < 1e-5);
        CHECK(b.result->outputs->cells->as.boolean == expected && (p >= 0.5) == expected);
        CHECK_STATUS(bench_run(&b, "filter", text, conditions[i], &none, 1), NLP_OK, &b.err);
        CHECK(b.result->outputs->cells->as.boolean);
    }
    bench_close(&b);
}

static void test_a_condition_is_entailed_or_contradicted(void) {
    static const char *const turned[] = {"entailment", "neutral", "contradiction"};
    check_conditions(bench_open_nli(), 2, true);
    check_conditions(bench_open_as("turned", "bert-seqcls", turned, 3), 0, false);
    bench plain = bench_open("bert-seqcls");
    CHECK_STATUS(bench_run(&plain, "filter", "x", "y", NULL, 0), NLP_EUNSUPPORTED, &plain.err);
    CHECK(strstr(plain.err.message, "entailment") && strstr(plain.err.hint, "conditions"));
    bench_close(&plain);
}

/* ---- Rerankers ---- */

static const nlp_option *yes_no(void) {
    static nlp_option options[4];
    options[0] = bench_text("yes", "y");
    options[1] = bench_text("no", "n");
    options[2] = bench_text("prompt", "<|im_start|>Judge {query} by {document}<|im_end|>: ");
    return options;
}

static void test_a_ranking_has_the_scores_of_its_pairs(void) {
    bench b = bench_open("qwen3-reranker");
    static const char *const documents[] = {"an animal", "a tax form", "", "a tax form"};
    double scores[4];
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(bench_run(&b, "rerank_score", "a dog", documents[i], yes_no(), 3), NLP_OK,
                     &b.err);
        scores[i] = b.result->outputs->cells->as.real;
        CHECK(scores[i] > 0 && scores[i] < 1);
    }
    CHECK_STATUS(
        bench_run_list(&b, "rerank", "a dog", "an animal|a tax form||a tax form", yes_no(), 3),
        NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 4);
    int64_t first_tax = 0;
    for (uint32_t i = 0; i < 4; i++) {
        int64_t ord = bench_cell(&b, i, 3, 0)->as.integer;
        CHECK(bench_cell(&b, i, 3, 1)->as.real == scores[ord - 1]);
        CHECK(bench_is_text(bench_cell(&b, i, 3, 2), documents[ord - 1]));
        CHECK(!i || bench_cell(&b, i, 3, 1)->as.real <= bench_cell(&b, i - 1, 3, 1)->as.real);
        if (ord % 2 == 0 && !first_tax) first_tax = ord;
    }
    CHECK(first_tax == 2); /* equal ones in their order */
    CHECK_STATUS(bench_run_list(&b, "rerank", "a dog", "", yes_no(), 3), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 0);
    bench_close(&b);
}

static void test_a_prompt_keeps_what_stands_behind_the_document(void) {
    bench b = bench_open("qwen3-reranker");
    char *text = bench_long_text(120);
    CHECK_STATUS(bench_run(&b, "rerank_score", "a dog", text, yes_no(), 3), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated && b.result->outputs->n_tokens == 192);
    double cut = b.result->outputs->cells->as.real;
    CHECK_STATUS(bench_run(&b, "rerank_score", "a cat", text, yes_no(), 3), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->as.real != cut); /* the query is still there */
    nlp_option options[4];
    memcpy(options, yes_no(), 3 * sizeof *options);
    options[3] = bench_text("on_overflow", "error");
    CHECK_STATUS(bench_run(&b, "rerank_score", "a dog", text, options, 4), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "192"));
    CHECK_STATUS(bench_run(&b, "rerank_score", text, "an animal", yes_no(), 3), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "query"));
    free(text);
    bench_close(&b);
}

/* Cut at its end, a document is the one that just fits. */
static void test_a_cut_document_is_its_beginning(void) {
    bench b = bench_open("qwen3-reranker");
    char text[1024] = "";
    double fits = NAN;
    for (int i = 0; i < 400; i++) {
        strcat(text, "xq");
        CHECK_STATUS(bench_run(&b, "rerank_score", "a dog", text, yes_no(), 3), NLP_OK, &b.err);
        if (!b.result->outputs->truncated && b.result->outputs->n_tokens == 192)
            fits = b.result->outputs->cells->as.real;
        else if (b.result->outputs->truncated && !isnan(fits))
            CHECK(b.result->outputs->cells->as.real == fits);
    }
    CHECK(!isnan(fits));
    bench_close(&b);
}

static void test_rerankers_refuse(void) {
    bench b = bench_open("qwen3-reranker");
    nlp_option options[3];
    memcpy(options, yes_no(), sizeof options);
    CHECK_STATUS(bench_run(&b, "rerank_score", "a", "b", NULL, 0), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "\"yes\"") && strstr(b.err.message, "one token"));
    options[2] = bench_text("prompt", "{query} alone");
    CHECK_STATUS(bench_run(&b, "rerank_score", "a", "b", options, 3), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "prompt") && strstr(b.err.message, "{document}"));
    bench_close(&b);
    bench other = bench_open("bert-seqcls");
    CHECK_STATUS(bench_run(&other, "rerank_score", "a", "b", NULL, 0), NLP_EUNSUPPORTED,
                 &other.err);
    CHECK(strstr(other.err.message, "no reranker"));
    bench_close(&other);
}

/* What a document says in braces is text. */
static void test_blanks_in_texts_stay(void) {
    bench b = bench_open("qwen3-reranker");
    CHECK_STATUS(bench_run(&b, "rerank_score", "{document}", "x", yes_no(), 3), NLP_OK, &b.err);
    double braces = b.result->outputs->cells->as.real;
    CHECK_STATUS(bench_run(&b, "rerank_score", "x", "x", yes_no(), 3), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->as.real != braces);
    bench_close(&b);
}

static void test_every_allocation_may_fail(void) {
    nlp_text labelled[] = {nlp_test_text("a match"), {"a\0b", 4}};
    bench nli = bench_open_nli(); /* so that its pack is there */
    bench_close(&nli);
    bench_fail_each_allocation("nli", "zero_shot_scores", labelled, NULL, 0);
    bench_fail_each_allocation("nli", "filter", labelled, NULL, 0);
    bench_fail_each_allocation("qwen3-reranker", "rerank", labelled, yes_no(), 3);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"zero_shot_is_a_softmax_of_entailments", test_zero_shot_is_a_softmax_of_entailments},
        {"zero_shot_refuses", test_zero_shot_refuses},
        {"a_condition_is_entailed_or_contradicted", test_a_condition_is_entailed_or_contradicted},
        {"zero_shot_cuts_the_text_only", test_zero_shot_cuts_the_text_only},
        {"a_ranking_has_the_scores_of_its_pairs", test_a_ranking_has_the_scores_of_its_pairs},
        {"a_prompt_keeps_what_stands_behind_the_document",
         test_a_prompt_keeps_what_stands_behind_the_document},
        {"a_cut_document_is_its_beginning", test_a_cut_document_is_its_beginning},
        {"rerankers_refuse", test_rerankers_refuse},
        {"blanks_in_texts_stay", test_blanks_in_texts_stay},
        {"every_allocation_may_fail", test_every_allocation_may_fail},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
