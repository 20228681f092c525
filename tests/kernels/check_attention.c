/* check_attention: attention of one head near the softmax in double, the same bits at every level
 * and for every stripe of queries, nothing written outside its rows. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "guarded.h"
#include "random.h"
#include "tensor/kernels.h"
#include "test.h"

typedef struct problem {
    size_t n, width, stride; /* tokens, head_dim, floats between rows */
    float *qkv;
    float scale;
    double *exact; /* [n][width] */
} problem;

static void attend(problem *p, size_t query, double *weights) {
    const float *q = p->qkv + query * p->stride, *k = p->qkv + p->width, *v = k + p->width;
    double top = -INFINITY, total = 0;
    for (size_t t = 0; t < p->n; t++) {
        weights[t] = 0;
        for (size_t c = 0; c < p->width; c++)
            weights[t] += (double)q[c] * (double)k[t * p->stride + c] * (double)p->scale;
        top = fmax(top, weights[t]);
    }
    for (size_t t = 0; t < p->n; t++) total += weights[t] = exp(weights[t] - top);
    for (size_t c = 0; c < p->width; c++) {
        double sum = 0;
        for (size_t t = 0; t < p->n; t++) sum += weights[t] / total * (double)v[t * p->stride + c];
        p->exact[query * p->width + c] = sum;
    }
}

/* q, k and v of a token lie behind each other, as the encoder has them. */
static problem make_problem(size_t n, size_t width, float size, uint64_t seed) {
    nlp_random r = {seed};
    problem p = {.n = n, .width = width, .stride = 3 * width + 5};
    p.qkv = random_floats(&r, n * p.stride, size);
    p.scale = (float)(1 / sqrt((double)width));
    p.exact = malloc(n * width * sizeof *p.exact);
    double *weights = malloc(n * sizeof *weights);
    for (size_t i = 0; i < n; i++) attend(&p, i, weights);
    free(weights);
    return p;
}

static void free_problem(problem *p) {
    free(p->qkv);
    free(p->exact);
}

/* All queries in stripes of at most `step`; out is [n][width + 3]. */
static void run(const nlp_kernels *k, const problem *p, size_t step, float *out) {
    size_t n_scratch = k->attention_scratch_floats(p->n, p->width);
    unsigned char *scratch = aligned_alloc(64, (n_scratch * 4 + 127) / 64 * 64);
    memset(scratch + n_scratch * 4, GUARD_VALUE, 64);
    for (size_t first = 0; first < p->n; first += step)
        k->attention(&(nlp_attention_args){.q = p->qkv,
                                           .k = p->qkv + p->width,
                                           .v = p->qkv + 2 * p->width,
                                           .q_stride = p->stride,
                                           .kv_stride = p->stride,
                                           .before = NLP_ALL_KEYS,
                                           .after = NLP_ALL_KEYS,
                                           .n_keys = p->n,
                                           .head_dim = p->width,
                                           .first_query = first,
                                           .n_queries = p->n - first < step ? p->n - first : step,
                                           .scale = p->scale,
                                           .out = out,
                                           .out_stride = p->width + 3,
                                           .scratch = (float *)(void *)scratch});
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

static void check_problem(size_t n, size_t width, float size, double limit) {
    static const size_t steps[] = {NLP_STRIPE, 1, 17};
    problem p = make_problem(n, width, size, n * 1000 + width);
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

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"every_length", test_every_length},
        {"every_head_size", test_every_head_size},
        {"scores_that_are_equal_or_far_apart", test_scores_that_are_equal_or_far_apart}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
