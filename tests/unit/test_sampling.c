/* test_sampling: what may be drawn, after penalties and filters, on scores small enough to check by
 * hand. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generate/sampling.h"
#include "random.h"
#include "test.h"

enum { N = 6 };
/* probabilities at temperature 1: 0.5 0.2 0.15 0.1 0.04 0.01 */
static const double known[N] = {0.5, 0.2, 0.15, 0.1, 0.04, 0.01};

typedef struct fixture {
    nlp_mem mem;
    nlp_arena arena;
    nlp_sampler sampler;
    nlp_sampling sampling;
    nlp_generation_spec rules;
    float logits[N];
} fixture;

static void begin(fixture *f) {
    *f = (fixture){.sampling = nlp_plain_sampling};
    nlp_mem_init(&f->mem, NULL, NULL, 0);
    nlp_arena_init(&f->arena, &f->mem);
    CHECK(nlp_sampler_open(&f->sampler, nlp_kernels_at(0), N, &f->arena, NULL) == NLP_OK);
    f->sampling.temperature = 1;
    for (int i = 0; i < N; i++) f->logits[i] = (float)log(known[i]);
}

/* The probability of each id among the candidates; 0 where it is none. */
static void candidates(fixture *f, double p[N]) {
    nlp_candidates c = nlp_sampling_candidates(&f->sampler, &f->sampling, f->logits);
    double sum = 0;
    memset(p, 0, N * sizeof *p);
    for (size_t i = 0; i < c.n; i++) sum += (double)c.probabilities[i];
    for (size_t i = 0; i < c.n; i++) p[c.ids ? c.ids[i] : i] = (double)c.probabilities[i] / sum;
}

static void check_kept(fixture *f, size_t n_kept) {
    double p[N], sum = 0;
    for (size_t i = 0; i < n_kept; i++) sum += known[i];
    candidates(f, p);
    for (size_t i = 0; i < N; i++) CHECK(fabs(p[i] - (i < n_kept ? known[i] / sum : 0)) < 1e-6);
    nlp_arena_deinit(&f->arena);
}

static void test_filters_keep_the_likely(void) {
    fixture f;
    begin(&f), check_kept(&f, N);
    begin(&f), f.sampling.top_k = 3, check_kept(&f, 3);
    begin(&f), f.sampling.top_k = 100, check_kept(&f, N);
    begin(&f), f.sampling.top_p = 0.6f, check_kept(&f, 2); /* the one that crosses is kept */
    begin(&f), f.sampling.top_p = 1e-6f, check_kept(&f, 1);
    begin(&f), f.sampling.min_p = 0.25f, check_kept(&f, 3); /* 0.125 and more */
    begin(&f), f.sampling.top_k = 4, f.sampling.top_p = 0.7f, check_kept(&f, 2); /* of 0.95 */
    begin(&f), f.sampling.top_p = 0.9f, f.sampling.min_p = 0.35f, check_kept(&f, 2);
}

static void test_temperature_flattens(void) {
    fixture f;
    double p[N];
    begin(&f);
    f.sampling.temperature = 2;
    candidates(&f, p);
    CHECK(fabs(p[0] / p[5] - sqrt(50)) < 1e-4);
    nlp_arena_deinit(&f.arena);
}

static void test_draws_follow_the_probabilities(void) {
    fixture f;
    int counts[N] = {0};
    begin(&f);
    nlp_candidates c = nlp_sampling_candidates(&f.sampler, &f.sampling, f.logits);
    for (int i = 0; i < 1000; i++) counts[nlp_draw(&c, (i + 0.5) / 1000)]++;
    for (int i = 0; i < N; i++) CHECK(abs(counts[i] - (int)(known[i] * 1000)) <= 1);
    CHECK(nlp_draw(&c, 0) == 0 && nlp_draw(&c, 1 - 1e-16) == N - 1);
    nlp_arena_deinit(&f.arena);
}

static void adjust(fixture *f, const int32_t *ids, size_t n, size_t n_prompt) {
    nlp_history history = {ids, n, n_prompt};
    nlp_adjust_scores(&f->sampler, &f->sampling, &f->rules, &history, f->logits);
}

static void test_penalties(void) {
    static const int32_t ids[] = {1, 1, 2, 3, 3, 3}; /* a prompt of three */
    fixture f;
    begin(&f);
    f.logits[1] = 2, f.logits[2] = -2, f.logits[3] = 1;
    f.sampling.repetition_penalty = 2;
    adjust(&f, ids, 6, 3);
    CHECK(f.logits[1] == 1 && f.logits[2] == -4 && f.logits[3] == 0.5f);
    CHECK(f.logits[0] == (float)log(known[0]));
    nlp_arena_deinit(&f.arena);
    begin(&f);
    f.logits[1] = f.logits[3] = 1;
    f.sampling.presence_penalty = 0.5f, f.sampling.frequency_penalty = 0.25f;
    adjust(&f, ids, 6, 3);
    CHECK(f.logits[1] == 1 && f.logits[3] == 1 - 0.5f - 0.75f); /* the prompt does not count */
    nlp_arena_deinit(&f.arena);
}

static void test_tokens_that_may_not_come(void) {
    static const int32_t ids[] = {0, 1, 2, 0, 1};
    fixture f;
    begin(&f);
    f.sampling.no_repeat_ngram = 3;
    f.rules = (nlp_generation_spec){.n_suppressed = 1,
                                    .suppressed = {4},
                                    .n_vocabulary = 5,
                                    .n_ends = 1,
                                    .ends = {3},
                                    .min_tokens = 3};
    adjust(&f, ids, 5, 3);
    CHECK(isinf(f.logits[2])); /* 0 1 2 has been */
    CHECK(isinf(f.logits[3])); /* two tokens are less than three */
    CHECK(isinf(f.logits[4]) && isinf(f.logits[5]) && !isinf(f.logits[0]) && !isinf(f.logits[1]));
    nlp_arena_deinit(&f.arena);
}

static void test_biases(void) {
    static const nlp_bias biases[] = {{1, 10}, {0, -INFINITY}, {99, 5}, {-1, 5}};
    fixture f;
    double p[N];
    begin(&f);
    f.sampling.biases = biases, f.sampling.n_biases = 4;
    adjust(&f, NULL, 0, 0);
    candidates(&f, p);
    CHECK(p[0] == 0 && p[1] > 0.99);
    nlp_arena_deinit(&f.arena);
}

static void test_the_best_token_and_its_lead(void) {
    static const float logits[] = {1, 3, 2.5f, 3};
    float gap;
    CHECK(nlp_best_token(logits, 4, &gap) == 1 && gap == 0);
    CHECK(nlp_best_token(logits, 3, &gap) == 1 && gap == 0.5f);
    nlp_random r = {3}; /* wherever the two best of many stand */
    float *many = random_floats(&r, 1000, 1);
    for (uint32_t n = 1; n <= 1000; n += 37)
        for (uint32_t i = 0; i < n; i += 7) {
            uint32_t other = (i * 31 + 5) % n;
            many[i] += 9, many[other] += 6;
            CHECK(nlp_best_token(many, n, &gap) == i);
            CHECK(n == 1 || i == other || gap == many[i] - many[other]);
            many[i] -= 9, many[other] -= 6;
        }
    free(many);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"filters_keep_the_likely", test_filters_keep_the_likely},
        {"temperature_flattens", test_temperature_flattens},
        {"draws_follow_the_probabilities", test_draws_follow_the_probabilities},
        {"penalties", test_penalties},
        {"tokens_that_may_not_come", test_tokens_that_may_not_come},
        {"biases", test_biases},
        {"the_best_token_and_its_lead", test_the_best_token_and_its_lead}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
