/* check_product: products at every level of this CPU: against sums in double, bit for bit between
 * levels, and independent of how many rows go together. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "random.h"
#include "tensor/quant.h"
#include "test.h"

typedef struct problem {
    size_t m, k, n;
    float *x, *w, *bias, *factors, *residual, *next;
    void *f32_panels, *i8_panels;
    uint8_t *q;
    float *q_scales, *exact; /* exact: y before the epilogue, of the f32 product */
} problem;

static size_t k64(size_t k) {
    return (k + 63) / 64 * 64;
}

static void *panels_of(nlp_dtype dtype, size_t k, size_t n) {
    size_t bytes = 0;
    CHECK_STATUS(nlp_panels_bytes(dtype, k, n, &bytes, NULL), NLP_OK, NULL);
    return aligned_alloc(64, bytes);
}

static problem make_problem(size_t m, size_t k, size_t n, uint64_t seed) {
    nlp_random r = {seed};
    problem p = {.m = m, .k = k, .n = n};
    p.x = random_floats(&r, m * k, 3), p.w = random_floats(&r, n * k, 0.1f),
    p.bias = random_floats(&r, n, 1);
    p.factors = random_floats(&r, k, 0.5f), p.next = random_floats(&r, n, 0.5f);
    for (size_t i = 0; i < k; i++) p.factors[i] += 1;
    for (size_t i = 0; i < n; i++) p.next[i] += 1;
    p.residual = random_floats(&r, m * n, 1);
    p.f32_panels = panels_of(NLP_F32, k, n), p.i8_panels = panels_of(NLP_I8, k, n);
    nlp_pack_f32(p.w, p.bias, k, n, p.f32_panels);
    nlp_pack_i8(&(nlp_pack_i8_args){.w = p.w, .bias = p.bias, .k = k, .n = n, .factors = p.factors},
                p.i8_panels);
    p.q = aligned_alloc(64, m * k64(k) + 64), p.q_scales = calloc(m, sizeof *p.q_scales);
    p.exact = calloc(m * n, sizeof *p.exact);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t c = 0; c < k; c++) sum += (double)p.x[i * k + c] * (double)p.w[j * k + c];
            p.exact[i * n + j] = (float)(sum + (double)p.bias[j]);
        }
    return p;
}

static void free_problem(problem *p) {
    void *all[] = {p->x,          p->w,         p->bias, p->factors,  p->residual, p->next,
                   p->f32_panels, p->i8_panels, p->q,    p->q_scales, p->exact};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void quantise_input(const nlp_kernels *k, problem *p) {
    float *t = malloc(p->m * p->k * sizeof *t);
    memcpy(t, p->x, p->m * p->k * sizeof *t);
    k->scale_columns(t, p->m, p->k, p->factors);
    k->quantise(&(nlp_quantise_args){
        .rows = t, .n_rows = p->m, .width = p->k, .q = p->q, .q_scales = p->q_scales});
    free(t);
}

static void multiply(const nlp_kernels *k, problem *p, nlp_dtype dtype, const nlp_epilogue *e,
                     float *out) {
    nlp_weight w = {.dtype = dtype,
                    .k = p->k,
                    .n = p->n,
                    .panels = dtype == NLP_I8 ? p->i8_panels : p->f32_panels};
    nlp_rows rows = {.f32 = p->x, .q = p->q, .q_scales = p->q_scales};
    if (e && e->row_max) memset(e->row_max, 0, p->m * 16 * sizeof(float));
    CHECK_STATUS(nlp_gemm(k, &w, p->m, &rows, e, out, NULL, NULL), NLP_OK, NULL);
}

static const size_t sizes[][3] = {{1, 1, 1},    {1, 64, 16},   {2, 7, 3},     {3, 48, 33},
                                  {5, 65, 17},  {6, 384, 64},  {7, 96, 80},   {16, 31, 50},
                                  {13, 128, 1}, {97, 100, 48}, {64, 12, 130}, {12, 384, 1152}};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static double relative_to(const float *a, const float *b, size_t n, double size) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst / size;
}

static void test_f32_is_near_the_double_sum(void) {
    for (size_t s = 0; s < N_SIZES; s++) {
        problem p = make_problem(sizes[s][0], sizes[s][1], sizes[s][2], s + 1);
        float *out = calloc(p.m * p.n, sizeof *out);
        const nlp_kernels *k;
        for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
            multiply(k, &p, NLP_F32, NULL, out);
            double worst = relative_to(out, p.exact, p.m * p.n, 1 + 0.3 * sqrt((double)p.k));
            if (worst > 3e-6)
                nlp_test_fail(__FILE__, __LINE__, "%s, size %zu: off by %g", k->name, s, worst);
        }
        free(out);
        free_problem(&p);
    }
}

static void test_i8_is_near_the_f32_product(void) {
    for (size_t s = 0; s < N_SIZES; s++) {
        problem p = make_problem(sizes[s][0], sizes[s][1], sizes[s][2], s + 1);
        float *out = calloc(p.m * p.n, sizeof *out);
        quantise_input(nlp_kernels_at(0), &p);
        multiply(nlp_kernels_at(0), &p, NLP_I8, NULL, out);
        double worst = relative_to(out, p.exact, p.m * p.n, 0.1 * 3 * sqrt((double)p.k));
        if (worst > 0.05) nlp_test_fail(__FILE__, __LINE__, "size %zu: off by %g", s, worst);
        free(out);
        free_problem(&p);
    }
}

/* Every epilogue, both number formats: the bits of the base level. */
static void compare_levels(problem *p, nlp_dtype dtype, nlp_epilogue e, float *first, float *other,
                           float *tops) {
    const nlp_kernels *k;
    e.row_max = tops;
    multiply(nlp_kernels_at(0), p, dtype, &e, first);
    float *first_tops = malloc(p->m * 16 * sizeof *first_tops);
    memcpy(first_tops, tops, p->m * 16 * sizeof *tops);
    for (size_t level = 1; (k = nlp_kernels_at(level)); level++) {
        multiply(k, p, dtype, &e, other);
        if (memcmp(first, other, p->m * p->n * sizeof *first) ||
            memcmp(first_tops, tops, p->m * 16 * sizeof *tops))
            nlp_test_fail(__FILE__, __LINE__, "%s differs: dtype %d, %zux%zux%zu, act %d", k->name,
                          dtype, p->m, p->k, p->n, e.act);
    }
    free(first_tops);
}

static void test_levels_give_the_same_bits(void) {
    static const nlp_activation acts[] = {NLP_ACT_NONE, NLP_ACT_GELU_ERF, NLP_ACT_GELU_TANH,
                                          NLP_ACT_RELU, NLP_ACT_TANH,     NLP_ACT_SIGMOID,
                                          NLP_ACT_SILU};
    for (size_t s = 0; s < N_SIZES; s++) {
        problem p = make_problem(sizes[s][0], sizes[s][1], sizes[s][2], s + 1);
        float *first = calloc(p.m * p.n, sizeof *first), *other = calloc(p.m * p.n, sizeof *other);
        float *tops = aligned_alloc(64, p.m * 64);
        quantise_input(nlp_kernels_at(0), &p);
        for (size_t a = 0; a < sizeof acts / sizeof *acts; a++)
            for (int form = 0; form < 4; form++) {
                nlp_epilogue e = {.act = acts[a], .residual = form & 1 ? p.residual : NULL};
                if (form & 2) e.next_factors = p.next, e.next_grid = acts[a] == NLP_ACT_GELU_ERF;
                compare_levels(&p, NLP_F32, e, first, other, tops);
                compare_levels(&p, NLP_I8, e, first, other, tops);
            }
        free(first), free(other), free(tops);
        free_problem(&p);
    }
}

static void test_a_row_does_not_depend_on_its_batch(void) {
    problem p = make_problem(64, 100, 70, 9);
    float *all = calloc(p.m * p.n, sizeof *all), *one = calloc(p.m * p.n, sizeof *one);
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        quantise_input(k, &p);
        for (nlp_dtype dtype = NLP_F32; dtype <= NLP_I8; dtype++) {
            multiply(k, &p, dtype, NULL, all);
            for (size_t m = 1; m < p.m; m += 7) {
                problem part = p;
                part.m = m;
                multiply(k, &part, dtype, NULL, one);
                CHECK(!memcmp(all, one, m * p.n * sizeof *all));
            }
        }
    }
    free(all), free(one);
    free_problem(&p);
}

static void test_the_largest_integers_are_exact(void) {
    enum { K = 1536 };
    problem p = make_problem(6, K, 64, 3);
    float out[6 * 64];
    for (size_t i = 0; i < 64u * K; i++)
        p.w[i] = i / K % 2 ? 63 : -63; /* scale 1: weights are themselves */
    memset(p.bias, 0, 64 * sizeof *p.bias);
    nlp_pack_i8(
        &(nlp_pack_i8_args){
            .w = p.w, .bias = p.bias, .k = K, .n = 64, .grid = NLP_GRID_GELU, .input_mean = NULL},
        p.i8_panels);
    memset(p.q, 255, 6 * K);
    for (int i = 0; i < 6; i++) p.q_scales[i] = 1;
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        multiply(k, &p, NLP_I8, NULL, out);
        float offset = NLP_GELU_OFFSET * 63 * K; /* the grid's constant stands in the bias */
        for (int j = 0; j < 64; j++) {
            float expected = (j % 2 ? 1.0f : -1.0f) * (255.0f * 63 * K - offset);
            if (fabsf(out[j] - expected) > 8)
                nlp_test_fail(__FILE__, __LINE__, "%s: %f not %f", k->name, (double)out[j],
                              (double)expected);
        }
    }
    free_problem(&p);
}

static void test_openblas_agrees(void) {
    problem p = make_problem(13, 100, 70, 4);
    float *own = calloc(p.m * p.n, sizeof *own), *blas = calloc(p.m * p.n, sizeof *blas);
    nlp_weight w = {.dtype = NLP_F32, .k = p.k, .n = p.n, .panels = p.f32_panels};
    nlp_rows rows = {.f32 = p.x};
    nlp_epilogue e = {.act = NLP_ACT_GELU_ERF, .residual = p.residual};
    nlp_error err = {0};
    multiply(nlp_kernels_select(99), &p, NLP_F32, &e, own);
    CHECK_STATUS(nlp_gemm_openblas(nlp_kernels_select(99), &w, p.m, &rows, &e, blas, NULL, &err),
                 NLP_OK, &err);
    CHECK(relative_to(own, blas, p.m * p.n, 1) < 2e-5);
    free(own), free(blas);
    free_problem(&p);
}

static void test_unpacking_is_the_way_back(void) {
    problem p = make_problem(1, 37, 21, 5);
    float w[37 * 21], bias[21];
    nlp_unpack(NLP_F32, p.f32_panels, p.k, p.n, w, bias);
    CHECK(!memcmp(w, p.w, sizeof w) && !memcmp(bias, p.bias, sizeof bias));
    nlp_unpack(NLP_I8, p.i8_panels, p.k, p.n, w, bias);
    for (size_t i = 0; i < p.n * p.k; i++)
        CHECK(fabsf(w[i] * p.factors[i % p.k] - p.w[i]) < 0.2f * 1.5f / 63);
    free_problem(&p);
}

static bool always(void *context) {
    (void)context;
    return true;
}

static void test_a_product_can_be_stopped(void) {
    problem p = make_problem(97, 384, 1152, 6);
    float *out = calloc(p.m * p.n, sizeof *out);
    nlp_weight w = {.dtype = NLP_F32, .k = p.k, .n = p.n, .panels = p.f32_panels};
    nlp_rows rows = {.f32 = p.x};
    nlp_stop stop = {.should_stop = always};
    nlp_poll poll;
    nlp_poll_init(&poll, &stop, 1 << 20);
    CHECK_STATUS(nlp_gemm(nlp_kernels_at(0), &w, p.m, &rows, NULL, out, &poll, NULL), NLP_ECANCELED,
                 NULL);
    free(out);
    free_problem(&p);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"f32_is_near_the_double_sum", test_f32_is_near_the_double_sum},
        {"i8_is_near_the_f32_product", test_i8_is_near_the_f32_product},
        {"levels_give_the_same_bits", test_levels_give_the_same_bits},
        {"a_row_does_not_depend_on_its_batch", test_a_row_does_not_depend_on_its_batch},
        {"the_largest_integers_are_exact", test_the_largest_integers_are_exact},
        {"openblas_agrees", test_openblas_agrees},
        {"unpacking_is_the_way_back", test_unpacking_is_the_way_back},
        {"a_product_can_be_stopped", test_a_product_can_be_stopped},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
