/* check_product: products at every level of this CPU: against sums in double, bit for bit between
 * levels, and independent of how many rows go together. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "random.h"
#include "tensor/quant.h"
#include "test.h"

typedef struct problem {
    size_t m, k, n;
    nlp_grid grid; /* of the i8 panels */
    float *x, *w, *bias, *factors, *residual, *next;
    void *panels[NLP_Q4M + 1]; /* by dtype */
    uint8_t *q;
    float *q_scales, *exact; /* exact: y before the epilogue, of the f32 product */
} problem;

static const nlp_dtype dtypes[] = {NLP_F32, NLP_I8, NLP_I16, NLP_Q4, NLP_Q4M};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

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
    for (size_t i = 0; i < N_DTYPES; i++) p.panels[dtypes[i]] = panels_of(dtypes[i], k, n);
    nlp_pack_f32(p.w, p.bias, k, n, p.panels[NLP_F32]);
    nlp_pack_i8(&(nlp_pack_i8_args){.w = p.w, .bias = p.bias, .k = k, .n = n, .factors = p.factors},
                p.panels[NLP_I8]);
    nlp_pack_i16(p.w, p.bias, k, n, p.panels[NLP_I16]);
    nlp_pack_q4(NLP_Q4, p.w, p.bias, k, n, p.panels[NLP_Q4]);
    nlp_pack_q4(NLP_Q4M, p.w, p.bias, k, n, p.panels[NLP_Q4M]);
    p.q = aligned_alloc(64, m * nlp_row_bytes_most(k)), p.q_scales = calloc(m, sizeof *p.q_scales);
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
    void *all[] = {p->x,    p->w, p->bias,     p->factors, p->residual,
                   p->next, p->q, p->q_scales, p->exact};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    for (size_t i = 0; i < N_DTYPES; i++) free(p->panels[dtypes[i]]);
}

/* A low-rank matrix beside a problem's weights, with rows for it. */
enum { RANK = 5 };
typedef struct low_rank {
    nlp_weight up;
    nlp_k_span *spans;
    float *rows, *tile;
    nlp_addend addend;
} low_rank;

static void make_low_rank(const problem *p, low_rank *low) {
    nlp_random r = {p->m + p->n};
    float *w = random_floats(&r, p->n * RANK, 0.3f);
    for (size_t i = 0; i < p->n * RANK; i++) /* as two adapters, and a part that has none */
        if (i / RANK % 144 / 48 != (i % RANK < 2 ? 0u : 2u)) w[i] = 0;
    void *panels = panels_of(NLP_F32, RANK, p->n);
    nlp_pack_f32(w, NULL, RANK, p->n, panels);
    free(w);
    low->up = (nlp_weight){.dtype = NLP_F32, .k = RANK, .n = p->n, .panels = panels};
    low->spans = calloc(p->n / NLP_PANEL + 1, sizeof *low->spans);
    nlp_k_spans(&low->up, low->spans);
    low->rows = random_floats(&r, p->m * RANK, 1);
    low->tile = malloc(NLP_BLOCK_ROWS * NLP_ADDEND_PANELS * NLP_PANEL * sizeof *low->tile);
    low->addend =
        (nlp_addend){.up = &low->up, .spans = low->spans, .rows = low->rows, .tile = low->tile};
}

static void free_low_rank(low_rank *low) {
    free((void *)low->up.panels), free(low->spans), free(low->rows), free(low->tile);
}

static void quantise_input(const nlp_kernels *k, problem *p, nlp_dtype dtype) {
    nlp_weight w = {.dtype = dtype, .k = p->k, .n = p->n};
    float *t = malloc(p->m * p->k * sizeof *t);
    memcpy(t, p->x, p->m * p->k * sizeof *t);
    if (dtype == NLP_I8) k->scale_columns(t, p->m, p->k, p->factors);
    if (dtype != NLP_F32) nlp_rows_quantise(k, &w, p->m, t, NULL, p->q, p->q_scales);
    free(t);
}

static void multiply(const nlp_kernels *k, problem *p, nlp_dtype dtype, const nlp_epilogue *e,
                     float *out) {
    nlp_weight w = {
        .dtype = dtype, .grid = p->grid, .k = p->k, .n = p->n, .panels = p->panels[dtype]};
    nlp_rows rows = {.f32 = p->x, .q = p->q, .q_scales = p->q_scales};
    if (e && e->row_max) memset(e->row_max, 0, p->m * 16 * sizeof(float));
    CHECK_STATUS(nlp_gemm(k, &w, p->m, &rows, e, out, NULL, NULL), NLP_OK, NULL);
}

static const size_t sizes[][3] = {{1, 1, 1},     {1, 64, 16},   {2, 7, 3},     {3, 48, 33},
                                  {5, 65, 17},   {6, 384, 64},  {7, 96, 80},   {16, 31, 50},
                                  {13, 128, 1},  {97, 100, 48}, {64, 12, 130}, {12, 384, 1152},
                                  {17, 640, 32}, {32, 64, 48},  {33, 200, 24}, {47, 1536, 18}};
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

static void test_quantised_is_near_the_f32_product(void) {
    static const double limits[] = {
        [NLP_I8] = 0.05, [NLP_I16] = 0.02, [NLP_Q4] = 0.25, [NLP_Q4M] = 0.25};
    for (size_t s = 0; s < N_SIZES; s++)
        for (size_t d = 1; d < N_DTYPES; d++) {
            problem p = make_problem(sizes[s][0], sizes[s][1], sizes[s][2], s + 1);
            float *out = calloc(p.m * p.n, sizeof *out);
            quantise_input(nlp_kernels_at(0), &p, dtypes[d]);
            multiply(nlp_kernels_at(0), &p, dtypes[d], NULL, out);
            double worst = relative_to(out, p.exact, p.m * p.n, 0.1 * 3 * sqrt((double)p.k));
            if (worst > limits[dtypes[d]])
                nlp_test_fail(__FILE__, __LINE__, "dtype %d, size %zu: off by %g", dtypes[d], s,
                              worst);
            free(out);
            free_problem(&p);
        }
}

/* A number of a quantised row, read as nlp_product says it lies. */
static double number_of(const problem *p, nlp_dtype dtype, size_t row, size_t c) {
    const uint8_t *at = p->q + row * nlp_row_bytes(dtype, p->k);
    if (dtype == NLP_I16) {
        int16_t q;
        memcpy(&q, at + 2 * c, sizeof q);
        return q * (double)p->q_scales[row];
    }
    nlp_q4_group group;
    memcpy(&group, at + (p->k + 63) / 64 * 64 + c / 32 * sizeof group, sizeof group);
    return (int8_t)at[c] * (double)group.scale;
}

/* What the kernels should compute from the integers that they were given: the double sum of the same
 * rounded rows and weights, so that no rounding of the format is in the difference. */
static void check_against_rounded(problem *p, const nlp_kernels *k, nlp_dtype dtype) {
    float *out = calloc(p->m * p->n, sizeof *out), *w = calloc(p->n * p->k, sizeof *w),
          *bias = calloc(p->n, sizeof *bias);
    quantise_input(k, p, dtype);
    multiply(k, p, dtype, NULL, out);
    nlp_unpack(dtype, p->panels[dtype], p->k, p->n, w, bias);
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            double sum = (double)bias[j], size = fabs(sum);
            for (size_t c = 0; c < p->k; c++) {
                double product = number_of(p, dtype, i, c) * (double)w[j * p->k + c];
                sum += product, size += fabs(product);
            }
            double off = fabs((double)out[i * p->n + j] - sum);
            if (off > 2e-6 * (1 + size))
                nlp_test_fail(__FILE__, __LINE__,
                              "%s: dtype %d, %zux%zux%zu, row %zu column %zu: %g", k->name, dtype,
                              p->m, p->k, p->n, i, j, off);
        }
    free(out), free(w), free(bias);
}

static void test_quantised_is_the_double_sum_of_what_is_rounded(void) {
    static const nlp_dtype rounded[] = {NLP_I16, NLP_Q4, NLP_Q4M};
    const nlp_kernels *k;
    for (size_t s = 0; s < N_SIZES; s++) {
        problem p = make_problem(sizes[s][0], sizes[s][1], sizes[s][2], s + 1);
        for (size_t level = 0; (k = nlp_kernels_at(level)); level++)
            for (size_t d = 0; d < 3; d++) check_against_rounded(&p, k, rounded[d]);
        free_problem(&p);
    }
}

/* Rows with NaN or infinity: every level gives the row's own quantised form, and no other row
 * changes. */
static void test_what_is_not_finite_is_seen(void) {
    const nlp_kernels *k;
    problem p = make_problem(7, 100, 40, 11), clean = make_problem(7, 100, 40, 11);
    float *out = calloc(7 * 40, sizeof *out), *want = calloc(7 * 40, sizeof *want);
    p.x[2 * 100 + 3] = NAN, p.x[4 * 100 + 98] = INFINITY, p.x[5 * 100] = -INFINITY;
    for (size_t d = 1; d < N_DTYPES; d++)
        for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
            quantise_input(k, &p, dtypes[d]), quantise_input(k, &clean, dtypes[d]);
            multiply(k, &p, dtypes[d], NULL, out), multiply(k, &clean, dtypes[d], NULL, want);
            for (size_t i = 0; i < 7; i++)
                for (size_t j = 0; j < 40; j++)
                    CHECK(i == 2 || i == 4 || i == 5 ? isnan(out[i * 40 + j])
                                                     : out[i * 40 + j] == want[i * 40 + j]);
        }
    free(out), free(want);
    free_problem(&p), free_problem(&clean);
}

/* Integers at their limits: i16 over its split of k, q4 with every nibble 15 and every byte 127. */
static void test_the_widest_sums_do_not_overflow(void) {
    enum { K = 2 * NLP_I16_PART + 64 };
    problem p = make_problem(6, K, 16, 12);
    float out[6 * 16];
    const nlp_kernels *k;
    for (size_t i = 0; i < 16u * K; i++) p.w[i] = i / K % 2 ? 127 : -127;
    for (size_t i = 0; i < 6u * K; i++) p.x[i] = 4095;
    memset(p.bias, 0, 16 * sizeof *p.bias);
    nlp_pack_i16(p.w, p.bias, K, 16, p.panels[NLP_I16]);
    for (size_t i = 0; i < 16u * K; i++) p.w[i] = i % 32 ? 15 : 0; /* d = 1, m = 0 */
    nlp_pack_q4(NLP_Q4M, p.w, p.bias, K, 16, p.panels[NLP_Q4M]);
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        quantise_input(k, &p, NLP_I16);
        multiply(k, &p, NLP_I16, NULL, out);
        for (int j = 0; j < 6 * 16; j++)
            CHECK(fabsf(out[j] / (float)(j % 2 ? K : -K) - 127.0f * 4095) < 1);
        quantise_input(k, &p, NLP_Q4M);
        multiply(k, &p, NLP_Q4M, NULL, out);
        for (int j = 0; j < 6 * 16; j++)
            CHECK(fabsf(out[j] / (K / 32.0f * 31 * 15 * 4095) - 1) < 1e-5f);
    }
    free_problem(&p);
}

/* Numbers that lie on a grid of 4 bits already, as GGUF's Q4_0 and Q4_1 do, go over exactly: whatever
 * the steps that occur. */
static void test_grids_of_a_source_go_over_exactly(void) {
    enum { K = 320, N = 33 };
    nlp_random r = {13};
    problem p = make_problem(1, K, N, 14);
    float *w = calloc(K * N, sizeof *w), bias[N];
    for (int minima = 0; minima < 2; minima++) {
        nlp_dtype dtype = minima ? NLP_Q4M : NLP_Q4;
        for (size_t i = 0; i < K * N / 32; i++) {
            float *numbers = random_floats(&r, 34, 0.2f);
            float d = nlp_f32_from_f16(nlp_f16_from_f32(numbers[32] * 0.1f)),
                  m = nlp_f32_from_f16(nlp_f16_from_f32(numbers[33]));
            if (minima) d = fabsf(d);
            for (size_t c = 0; c < 32; c++) {
                /* block 0 of 4 has all steps, the others a part of them */
                float q = floorf((numbers[c] + 0.2f) * 40 * (i % 4 ? 0.6f : 1)) + (i % 4 ? 2 : 0);
                q = c == 0 && i % 4 == 0 ? 0 : c == 1 && i % 4 == 0 ? 15 : fminf(fmaxf(q, 0), 15);
                p.w[i * 32 + c] = minima ? q * d + m : (q - 8) * d;
            }
            free(numbers);
        }
        nlp_pack_q4(dtype, p.w, p.bias, K, N, p.panels[dtype]);
        nlp_unpack(dtype, p.panels[dtype], K, N, w, bias);
        CHECK(!memcmp(bias, p.bias, sizeof bias));
        for (size_t i = 0; i < K * N; i++)
            if (w[i] != p.w[i])
                nlp_test_fail(__FILE__, __LINE__, "dtype %d, number %zu: %g not %g", dtype, i,
                              (double)w[i], (double)p.w[i]);
    }
    free(w);
    free_problem(&p);
}

/* Every epilogue, every number format: the bits of the base level. */
static void compare_levels(problem *p, nlp_dtype dtype, nlp_epilogue e, float *first, float *other,
                           float *tops) {
    const nlp_kernels *k;
    e.row_max = tops;
    quantise_input(nlp_kernels_at(0), p, dtype);
    multiply(nlp_kernels_at(0), p, dtype, &e, first);
    float *first_tops = malloc(p->m * 16 * sizeof *first_tops);
    memcpy(first_tops, tops, p->m * 16 * sizeof *tops);
    for (size_t level = 1; (k = nlp_kernels_at(level)); level++) {
        if (dtype != NLP_F32) memset(p->q, 0xEE, p->m * nlp_row_bytes(dtype, p->k));
        quantise_input(k, p, dtype);
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
        low_rank low;
        make_low_rank(&p, &low);
        for (size_t a = 0; a < sizeof acts / sizeof *acts; a++)
            for (int form = 0; form < 8; form++) {
                nlp_epilogue e = {.act = acts[a], .residual = form & 1 ? p.residual : NULL};
                if (form & 4) e.addend = &low.addend;
                if (form & 2) e.next_factors = p.next, e.next_grid = acts[a] == NLP_ACT_GELU_ERF;
                for (size_t d = 0; d < N_DTYPES; d++)
                    compare_levels(&p, dtypes[d], e, first, other, tops);
            }
        free(first), free(other), free(tops);
        free_low_rank(&low);
        free_problem(&p);
    }
}

static void test_an_addend_stands_before_the_activation(void) {
    problem p = make_problem(200, 96, 150, 11);
    float *sums = calloc(p.m * p.n, sizeof *sums), *got = calloc(p.m * p.n, sizeof *got);
    float *added = calloc(p.m * p.n, sizeof *added);
    low_rank low;
    make_low_rank(&p, &low);
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++)
        for (size_t d = 0; d < N_DTYPES; d++) {
            nlp_epilogue e = {.addend = &low.addend, .act = NLP_ACT_RELU};
            nlp_rows rows = {.f32 = low.rows};
            CHECK_STATUS(nlp_gemm(k, &low.up, p.m, &rows, NULL, added, NULL, NULL), NLP_OK, NULL);
            quantise_input(k, &p, dtypes[d]);
            multiply(k, &p, dtypes[d], NULL, sums);
            multiply(k, &p, dtypes[d], &e, got);
            for (size_t i = 0; i < p.m * p.n; i++) {
                float want = sums[i] + added[i];
                CHECK(got[i] == (want > 0 ? want : 0));
            }
        }
    free(sums), free(got), free(added);
    free_low_rank(&low);
    free_problem(&p);
}

static void test_a_row_does_not_depend_on_its_batch(void) {
    problem p = make_problem(64, 100, 70, 9);
    float *all = calloc(p.m * p.n, sizeof *all), *one = calloc(p.m * p.n, sizeof *one);
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        for (size_t d = 0; d < N_DTYPES; d++) {
            nlp_dtype dtype = dtypes[d];
            quantise_input(k, &p, dtype);
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
        p.panels[NLP_I8]);
    p.grid = NLP_GRID_GELU;
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

static void test_unpacking_is_the_way_back(void) {
    problem p = make_problem(1, 37, 21, 5);
    float w[37 * 21], bias[21];
    nlp_unpack(NLP_F32, p.panels[NLP_F32], p.k, p.n, w, bias);
    CHECK(!memcmp(w, p.w, sizeof w) && !memcmp(bias, p.bias, sizeof bias));
    nlp_unpack(NLP_I8, p.panels[NLP_I8], p.k, p.n, w, bias);
    for (size_t i = 0; i < p.n * p.k; i++)
        CHECK(fabsf(w[i] * p.factors[i % p.k] - p.w[i]) < 0.2f * 1.5f / 63);
    for (size_t d = 0; d < N_DTYPES; d++) {
        float row[37];
        nlp_unpack(dtypes[d], p.panels[dtypes[d]], p.k, p.n, w, bias);
        nlp_panel_row(dtypes[d], p.panels[dtypes[d]], p.k, 17, row);
        CHECK(!memcmp(row, w + 17 * p.k, sizeof row));
        for (size_t i = 0; d > 1 && i < p.n * p.k; i++)
            CHECK(fabsf(w[i] - p.w[i]) < (dtypes[d] == NLP_I16 ? 0.1f / 127 : 0.1f / 7));
    }
    free_problem(&p);
}

static bool always(void *context) {
    (void)context;
    return true;
}

static void test_a_product_can_be_stopped(void) {
    problem p = make_problem(97, 384, 1152, 6);
    float *out = calloc(p.m * p.n, sizeof *out);
    nlp_weight w = {.dtype = NLP_F32, .k = p.k, .n = p.n, .panels = p.panels[NLP_F32]};
    nlp_rows rows = {.f32 = p.x};
    nlp_stop stop = {.should_stop = always};
    nlp_poll poll;
    nlp_poll_init(&poll, &stop, 1 << 20);
    CHECK_STATUS(nlp_gemm(nlp_kernels_at(0), &w, p.m, &rows, NULL, out, &poll, NULL), NLP_ECANCELED,
                 NULL);
    free(out);
    free_problem(&p);
}

/* FNV-1a of the bytes. */
static uint64_t add_to_digest(uint64_t digest, const void *bytes, size_t n) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < n; i++) digest = (digest ^ at[i]) * 0x100000001B3u;
    return digest;
}

/* Of another compiler or kind of CPU too. A change here is a change of NLP_NUMERICS. */
static void test_the_bits_are_those_of_every_cpu(void) {
    problem p = make_problem(13, 200, 50, 11);
    float *out = calloc(p.m * p.n, sizeof *out);
    nlp_epilogue e = {.act = NLP_ACT_GELU_ERF, .residual = p.residual};
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        uint64_t digest = 0xCBF29CE484222325u;
        for (size_t d = 0; d < N_DTYPES; d++) {
            quantise_input(k, &p, dtypes[d]);
            multiply(k, &p, dtypes[d], &e, out);
            digest = add_to_digest(digest, out, p.m * p.n * sizeof *out);
        }
        if (digest != 0x43DA9A231B4B2B16u)
            nlp_test_fail(__FILE__, __LINE__, "%s gives %016llx", k->name,
                          (unsigned long long)digest);
    }
    free(out);
    free_problem(&p);
}

/* What a handler does in the middle of another product: one of its own, of all vector registers and tiles. */
static const nlp_kernels *of_handler;
static problem small_problem;
static float small_out[7 * 80];
static volatile sig_atomic_t n_signals;

static void on_alarm(int signal) {
    nlp_weight w = {.dtype = NLP_I8, .k = 96, .n = 80, .panels = small_problem.panels[NLP_I8]};
    nlp_rows rows = {.q = small_problem.q, .q_scales = small_problem.q_scales};
    (void)signal;
    nlp_gemm(of_handler, &w, 7, &rows, NULL, small_out, NULL, NULL);
    n_signals++;
}

static void multiply_under_signals(problem *p, nlp_dtype dtype) {
    float *undisturbed = calloc(p->m * p->n, sizeof *undisturbed),
          *out = calloc(p->m * p->n, sizeof *out);
    quantise_input(of_handler, p, dtype);
    multiply(of_handler, p, dtype, NULL, undisturbed);
    for (int i = 0, end = n_signals + 20; n_signals < end && i < 20000; i++) {
        multiply(of_handler, p, dtype, NULL, out);
        CHECK(!memcmp(out, undisturbed, p->m * p->n * sizeof *out));
    }
    free(out), free(undisturbed);
}

static void test_signals_change_no_bit(void) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, before;
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    problem p = make_problem(33, 200, 24, 7);
    small_problem = make_problem(7, 96, 80, 8);
    for (size_t level = 0; (of_handler = nlp_kernels_at(level)); level++) {
        quantise_input(of_handler, &small_problem, NLP_I8);
        sigaction(SIGALRM, &action, &before);
        setitimer(ITIMER_REAL, &often, NULL);
        for (size_t d = 0; d < N_DTYPES; d++) multiply_under_signals(&p, dtypes[d]);
        setitimer(ITIMER_REAL, &never, NULL);
        sigaction(SIGALRM, &before, NULL);
    }
    CHECK(n_signals > 0);
    free_problem(&p), free_problem(&small_problem);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"f32_is_near_the_double_sum", test_f32_is_near_the_double_sum},
        {"quantised_is_near_the_f32_product", test_quantised_is_near_the_f32_product},
        {"quantised_is_the_double_sum_of_what_is_rounded",
         test_quantised_is_the_double_sum_of_what_is_rounded},
        {"what_is_not_finite_is_seen", test_what_is_not_finite_is_seen},
        {"the_widest_sums_do_not_overflow", test_the_widest_sums_do_not_overflow},
        {"grids_of_a_source_go_over_exactly", test_grids_of_a_source_go_over_exactly},
        {"levels_give_the_same_bits", test_levels_give_the_same_bits},
        {"an_addend_stands_before_the_activation", test_an_addend_stands_before_the_activation},
        {"a_row_does_not_depend_on_its_batch", test_a_row_does_not_depend_on_its_batch},
        {"the_largest_integers_are_exact", test_the_largest_integers_are_exact},
        {"unpacking_is_the_way_back", test_unpacking_is_the_way_back},
        {"a_product_can_be_stopped", test_a_product_can_be_stopped},
        {"the_bits_are_those_of_every_cpu", test_the_bits_are_those_of_every_cpu},
        {"signals_change_no_bit", test_signals_change_no_bit},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
