/* check_attention: attention of one head near the softmax in double, the same bits at every level
 * and for every stripe of queries, nothing written outside its rows. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "guarded.h"
#include "random.h"
#include "tensor/kernels.h"
#include "test.h"

/* What a query sees, and what happens to its scores. */
typedef struct rules {
    size_t before, after; /* NLP_ALL_KEYS: no limit */
    size_t n_cached;      /* keys before the first query */
    float cap;
    bool biased;
} rules;
static const rules plain = {NLP_ALL_KEYS, NLP_ALL_KEYS, 0, 0, false};

typedef struct problem {
    size_t n, n_keys, width, stride; /* queries, keys, head_dim, floats between rows */
    float *qkv;                      /* rows of all keys; the queries are the last n of them */
    float scale;
    rules rules;
    double *exact; /* [n][width] */
} problem;

/* A number of the distance, as relative positions have it. */
static float bias_of(size_t key, size_t position) {
    double distance = (double)key - (double)position;
    return (float)(distance / (3 + fabs(distance)));
}

static bool sees(const rules *r, size_t position, size_t key) {
    return (r->before == NLP_ALL_KEYS || key + r->before >= position) &&
           (r->after == NLP_ALL_KEYS || key <= position + r->after);
}

static double score(const problem *p, const float *q, size_t position, size_t key) {
    const float *k = p->qkv + p->width + key * p->stride;
    double sum = 0;
    for (size_t c = 0; c < p->width; c++) sum += (double)q[c] * (double)k[c] * (double)p->scale;
    if (p->rules.biased) sum += (double)bias_of(key, position);
    return p->rules.cap > 0 ? (double)p->rules.cap * tanh(sum / (double)p->rules.cap) : sum;
}

static void attend(problem *p, size_t query, double *weights) {
    size_t position = p->rules.n_cached + query;
    const float *q = p->qkv + position * p->stride, *v = p->qkv + 2 * p->width;
    double top = -INFINITY, total = 0;
    for (size_t t = 0; t < p->n_keys; t++) {
        weights[t] = sees(&p->rules, position, t) ? score(p, q, position, t) : -INFINITY;
        top = fmax(top, weights[t]);
    }
    for (size_t t = 0; t < p->n_keys; t++) total += weights[t] = exp(weights[t] - top);
    for (size_t c = 0; c < p->width; c++) {
        double sum = 0;
        for (size_t t = 0; t < p->n_keys; t++)
            sum += weights[t] / total * (double)v[t * p->stride + c];
        p->exact[query * p->width + c] = sum;
    }
}

/* q, k and v of a token lie behind each other, as the encoder has them. */
static problem make_problem(size_t n, size_t width, float size, const rules *wanted) {
    nlp_random r = {n * 1000 + width};
    problem p = {.n = n,
                 .n_keys = n + wanted->n_cached,
                 .width = width,
                 .stride = 3 * width + 5,
                 .rules = *wanted};
    p.qkv = random_floats(&r, p.n_keys * p.stride, size);
    p.scale = (float)(1 / sqrt((double)width));
    p.exact = malloc(n * width * sizeof *p.exact);
    double *weights = malloc(p.n_keys * sizeof *weights);
    for (size_t i = 0; i < n; i++) attend(&p, i, weights);
    free(weights);
    return p;
}

static void free_problem(problem *p) {
    free(p->qkv);
    free(p->exact);
}

/* [n_keys][NLP_STRIPE] of one stripe. */
static float *biases_of(const problem *p, size_t first, size_t n) {
    float *out = calloc(p->n_keys * NLP_STRIPE, sizeof *out);
    for (size_t t = 0; t < p->n_keys; t++)
        for (size_t q = 0; q < n; q++)
            out[t * NLP_STRIPE + q] = bias_of(t, p->rules.n_cached + first + q);
    return out;
}

static void run_stripe(const nlp_kernels *k, const problem *p, size_t first, size_t n, float *out,
                       float *scratch) {
    float *bias = p->rules.biased ? biases_of(p, first, n) : NULL;
    k->attention(&(nlp_attention_args){.q = p->qkv + p->rules.n_cached * p->stride,
                                       .k = p->qkv + p->width,
                                       .v = p->qkv + 2 * p->width,
                                       .q_stride = p->stride,
                                       .kv_stride = p->stride,
                                       .position = p->rules.n_cached,
                                       .before = p->rules.before,
                                       .after = p->rules.after,
                                       .cap = p->rules.cap,
                                       .bias = bias,
                                       .n_keys = p->n_keys,
                                       .head_dim = p->width,
                                       .first_query = first,
                                       .n_queries = n,
                                       .scale = p->scale,
                                       .out = out,
                                       .out_stride = p->width + 3,
                                       .scratch = scratch});
    free(bias);
}

/* All queries in stripes of at most `step`; out is [n][width + 3]. */
static void run(const nlp_kernels *k, const problem *p, size_t step, float *out) {
    size_t n_scratch = k->attention_scratch_floats(p->n_keys, p->width);
    unsigned char *scratch = aligned_alloc(64, (n_scratch * 4 + 127) / 64 * 64);
    memset(scratch + n_scratch * 4, GUARD_VALUE, 64);
    for (size_t first = 0; first < p->n; first += step)
        run_stripe(k, p, first, p->n - first < step ? p->n - first : step, out,
                   (float *)(void *)scratch);
    for (size_t i = 0; i < 64; i++) CHECK(scratch[n_scratch * 4 + i] == GUARD_VALUE);
    free(scratch);
}

static void check_gaps(const problem *p, const guarded *out) {
    for (size_t t = 0; t + 1 < p->n; t++) {
        const unsigned char *gap =
            (unsigned char *)out->at + (t * (p->width + 3) + p->width) * sizeof(float);
        for (size_t i = 0; i < 3 * sizeof(float); i++) CHECK(gap[i] == GUARD_VALUE);
    }
}

static void check_values(const problem *p, const float *out, double limit) {
    for (size_t t = 0; t < p->n; t++)
        for (size_t c = 0; c < p->width; c++) {
            double off = fabs((double)out[t * (p->width + 3) + c] - p->exact[t * p->width + c]);
            if (off <= limit) continue;
            nlp_test_fail(__FILE__, __LINE__, "%zu tokens of %zu: query %zu is off by %g", p->n,
                          p->width, t, off);
            return;
        }
}

static void check_rules(size_t n, size_t width, float size, const rules *wanted, double limit) {
    static const size_t steps[] = {NLP_STRIPE, 1, 17};
    problem p = make_problem(n, width, size, wanted);
    size_t n_bytes = ((n - 1) * (width + 3) + width) * sizeof(float);
    float *first = NULL;
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++)
        for (size_t s = 0; s < 3; s++) {
            guarded out = guarded_bytes(n_bytes);
            run(k, &p, steps[s], out.at);
            check_gaps(&p, &out);
            if (!first) {
                first = malloc(n_bytes);
                memcpy(first, out.at, n_bytes);
                check_values(&p, first, limit);
            }
            if (memcmp(first, out.at, n_bytes))
                nlp_test_fail(__FILE__, __LINE__,
                              "%s, %zu tokens of %zu, stripes of %zu: other bits", k->name, n,
                              width, steps[s]);
            guarded_end(&out, "attention");
        }
    free(first);
    free_problem(&p);
}

static void check_problem(size_t n, size_t width, float size, double limit) {
    check_rules(n, width, size, &plain, limit);
}

static void test_every_length(void) {
    for (size_t n = 1; n <= 36; n++) check_problem(n, 32, 2, 2e-6);
    for (size_t n = 63; n <= 66; n++) check_problem(n, 32, 2, 2e-6);
    check_problem(130, 32, 2, 2e-6);
    check_problem(257, 16, 2, 2e-6);
}

static void test_every_head_size(void) {
    static const size_t sizes[] = {1, 4, 8, 12, 16, 20, 48, 64, 80, 96, 128};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_problem(7, sizes[i], 2, 2e-6);
        check_problem(37, sizes[i], 2, 2e-6);
    }
}

static void test_scores_that_are_equal_or_far_apart(void) {
    check_problem(20, 32, 0, 0);
    check_problem(20, 32, 1e-20f, 1e-25);
    check_problem(20, 32, 40, 4e-2); /* scores up to 10^4: the rounding of a score counts */
}

static void test_causal_and_windows(void) {
    static const rules all[] = {{NLP_ALL_KEYS, 0, 0, 0, false},
                                {0, 0, 0, 0, false},
                                {4, 0, 0, 0, false},
                                {3, 3, 0, 0, false},
                                {16, 5, 0, 0, false},
                                {NLP_ALL_KEYS, 0, 21, 0, false},
                                {7, 0, 40, 0, false}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        check_rules(1, 32, 2, &all[i], 2e-6);
        check_rules(33, 32, 2, &all[i], 2e-6);
        check_rules(130, 20, 2, &all[i], 2e-6);
    }
}

static void test_biases_and_caps(void) {
    static const rules all[] = {{NLP_ALL_KEYS, NLP_ALL_KEYS, 0, 0, true},
                                {NLP_ALL_KEYS, NLP_ALL_KEYS, 0, 2, false},
                                {NLP_ALL_KEYS, 0, 5, 3, true},
                                {9, 0, 0, 0.5f, true}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        check_rules(1, 16, 2, &all[i], 3e-6);
        check_rules(37, 32, 2, &all[i], 3e-6);
        check_rules(100, 12, 2, &all[i], 3e-6);
    }
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"every_length", test_every_length},
        {"every_head_size", test_every_head_size},
        {"scores_that_are_equal_or_far_apart", test_scores_that_are_equal_or_far_apart},
        {"causal_and_windows", test_causal_and_windows},
        {"biases_and_caps", test_biases_and_caps}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
