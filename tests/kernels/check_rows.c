/* check_rows: kernels over rows and vectors: near the sums in double, the same bits at every level
 * of this CPU, and nothing written outside, for odd widths and unaligned buffers. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "guarded.h"
#include "random.h"
#include "tensor/kernels.h"
#include "test.h"

static const size_t widths[] = {1,  2,  3,  7,  8,  15, 16, 17, 31,  32,  33,
                                47, 48, 63, 64, 65, 70, 96, 97, 128, 384, 1000};
enum { N_WIDTHS = sizeof widths / sizeof *widths, MOST = 1000 };
static float x[MOST], y[MOST];
static int8_t bytes[MOST];

static void fill(uint64_t seed, float size) {
    nlp_random r = {seed};
    for (size_t i = 0; i < MOST; i++) {
        x[i] = random_float(&r, size), y[i] = random_float(&r, 1);
        bytes[i] = (int8_t)(random_u32(&r) % 255 - 127);
    }
}

/* ---- Vector functions: out [n] from x, y; a number as one element ---- */

typedef struct vector_case {
    const char *name;
    void (*run)(const nlp_kernels *k, float *out, size_t n); /* out holds x */
    double (*reference)(size_t i, size_t n);
    double absolute, relative;
    bool is_number;
} vector_case;

static void run_add(const nlp_kernels *k, float *out, size_t n) {
    k->add(out, y, n);
}
static void run_scale(const nlp_kernels *k, float *out, size_t n) {
    k->scale(out, n, 0.3f);
}
static void run_axpy(const nlp_kernels *k, float *out, size_t n) {
    k->axpy(out, y, 1.7f, n);
}
static void run_maximum(const nlp_kernels *k, float *out, size_t n) {
    k->maximum(out, y, n);
}
static void run_softmax(const nlp_kernels *k, float *out, size_t n) {
    k->softmax(out, n);
}
static void run_columns(const nlp_kernels *k, float *out, size_t n) {
    k->scale_columns(out, 1, n, y);
}
static void run_bytes(const nlp_kernels *k, float *out, size_t n) {
    k->dequantise_row(out, bytes, 0.013f, n);
}
static void run_sum(const nlp_kernels *k, float *out, size_t n) {
    out[0] = k->sum(out, n);
}
static void run_dot(const nlp_kernels *k, float *out, size_t n) {
    out[0] = k->dot(out, y, n);
}
static void run_top(const nlp_kernels *k, float *out, size_t n) {
    out[0] = k->max_abs(out, n);
}

static double of_add(size_t i, size_t n) {
    return (void)n, (double)x[i] + (double)y[i];
}
static double of_scale(size_t i, size_t n) {
    return (void)n, (double)x[i] * (double)0.3f;
}
static double of_axpy(size_t i, size_t n) {
    return (void)n, (double)1.7f * (double)y[i] + (double)x[i];
}
static double of_maximum(size_t i, size_t n) {
    return (void)n, fmax(x[i], y[i]);
}
static double of_columns(size_t i, size_t n) {
    return (void)n, (double)x[i] * (double)y[i];
}
static double of_bytes(size_t i, size_t n) {
    return (void)n, bytes[i] * (double)0.013f;
}
static double of_softmax(size_t i, size_t n) {
    double top = x[0], total = 0;
    for (size_t j = 0; j < n; j++) top = fmax(top, x[j]);
    for (size_t j = 0; j < n; j++) total += exp((double)x[j] - top);
    return exp((double)x[i] - top) / total;
}
static double of_sum(size_t i, size_t n) {
    double total = 0;
    for (size_t j = 0; j < n; j++) total += (double)x[j];
    return (void)i, total;
}
static double of_dot(size_t i, size_t n) {
    double total = 0;
    for (size_t j = 0; j < n; j++) total += (double)x[j] * (double)y[j];
    return (void)i, total;
}
static double of_top(size_t i, size_t n) {
    double top = 0;
    for (size_t j = 0; j < n; j++) top = fmax(top, fabs((double)x[j]));
    return (void)i, top;
}

static const vector_case cases[] = {
    {"add", run_add, of_add, 0, 6e-8, false},
    {"scale", run_scale, of_scale, 0, 6e-8, false},
    {"axpy", run_axpy, of_axpy, 0, 6e-8, false},
    {"maximum", run_maximum, of_maximum, 0, 0, false},
    {"scale_columns", run_columns, of_columns, 0, 6e-8, false},
    {"dequantise_row", run_bytes, of_bytes, 0, 6e-8, false},
    {"softmax", run_softmax, of_softmax, 1e-9, 1e-6, false},
    {"sum", run_sum, of_sum, 2e-3, 1e-6, true}, /* 1000 terms of up to 20 */
    {"dot", run_dot, of_dot, 2e-3, 1e-6, true},
    {"max_abs", run_top, of_top, 0, 0, true}};

static void compare_case(const vector_case *c, size_t n) {
    const nlp_kernels *k;
    size_t n_out = c->is_number ? 1 : n;
    float *first = malloc(n * sizeof *first);
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        guarded out = guarded_copy(x, n * sizeof *x);
        c->run(k, out.at, n);
        if (!level) memcpy(first, out.at, n * sizeof *first);
        if (memcmp(first, out.at, n_out * sizeof *first))
            nlp_test_fail(__FILE__, __LINE__, "%s at %s, n %zu: other bits", c->name, k->name, n);
        guarded_end(&out, c->name);
    }
    for (size_t i = 0; i < n_out; i++) {
        double exact = c->reference(i, n), off = fabs((double)first[i] - exact);
        if (!(off <= c->absolute + c->relative * fabs(exact)))
            nlp_test_fail(__FILE__, __LINE__, "%s, n %zu: [%zu] is %g, not %g", c->name, n, i,
                          (double)first[i], exact);
    }
    free(first);
}

static void test_vectors_are_near_double_and_equal_at_every_level(void) {
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (size_t w = 0; w < N_WIDTHS; w++) {
            fill(c + 31 * w, w % 2 ? 20 : 1);
            compare_case(&cases[c], widths[w]);
        }
}

static void test_softmax_of_extremes_sums_to_one(void) {
    static const float rows[][4] = {{1e30f, -1e30f, 0, 1e30f},
                                    {-200, -200, -200, -200},
                                    {88, 0, -88, 1e-30f},
                                    {3e38f, 3e38f, 3e38f, 3e38f}};
    for (size_t r = 0; r < 4; r++) {
        float out[4];
        memcpy(out, rows[r], sizeof out);
        nlp_kernels_at(0)->softmax(out, 4);
        double total = 0;
        for (size_t i = 0; i < 4; i++) total += (double)out[i];
        CHECK(fabs(total - 1) < 1e-6);
    }
}

static void test_max_abs_keeps_nan_on_top(void) {
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++)
        for (size_t place = 0; place < 37; place++) {
            float row[37] = {1, -INFINITY};
            row[place] = NAN;
            CHECK(isnan(k->max_abs(row, 37)));
        }
}

/* ---- Activations ---- */

static double activation(nlp_activation act, double v) {
    switch (act) {
    case NLP_ACT_GELU_ERF:
        return 0.5 * v * erfc(-v / sqrt(2.0));
    case NLP_ACT_GELU_TANH:
        return 0.5 * v * (1 + tanh(sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v)));
    case NLP_ACT_RELU:
        return v > 0 ? v : 0;
    case NLP_ACT_TANH:
        return tanh(v);
    case NLP_ACT_SIGMOID:
        return 1 / (1 + exp(-v));
    case NLP_ACT_SILU:
        return v / (1 + exp(-v));
    default:
        return v;
    }
}

static const float budgets[] = {0, 6e-7f, 6e-7f, 0, 3e-7f, 3e-7f, 6e-7f};
enum { N_ACTS = sizeof budgets / sizeof *budgets };

/* All of -100 .. 100 in steps, denser near 0, then powers down to denormals, both signs. */
static size_t sweep(float *out, size_t most) {
    size_t n = 0;
    for (float v = -100; v <= 100 && n < most; v += fabsf(v) < 8 ? 0.001f : 0.037f) out[n++] = v;
    for (int e = -149; e < 7 && n + 2 < most; e++)
        out[n++] = ldexpf(1, e), out[n++] = -ldexpf(1, e);
    return n;
}

static void test_activations_keep_their_budgets(void) {
    static float in[32768], first[32768], out[32768];
    size_t n = sweep(in, 32768);
    for (int act = 0; act < N_ACTS; act++) {
        const nlp_kernels *k;
        double worst = 0;
        for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
            memcpy(out, in, sizeof in);
            k->activate(out, n, (nlp_activation)act);
            if (!level) memcpy(first, out, sizeof out);
            if (memcmp(first, out, n * sizeof *out))
                nlp_test_fail(__FILE__, __LINE__, "act %d at %s: other bits", act, k->name);
        }
        for (size_t i = 0; i < n; i++) {
            double exact = activation((nlp_activation)act, (double)in[i]);
            worst = fmax(worst, fabs((double)first[i] - exact) - 1.2e-7 * fabs(exact));
        }
        if (!(worst <= (double)budgets[act]))
            nlp_test_fail(__FILE__, __LINE__, "act %d is off by %g", act, worst);
    }
}

static void test_activations_at_the_ends(void) {
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++)
        for (int act = 0; act < N_ACTS; act++) {
            float row[2] = {NAN, INFINITY};
            k->activate(row, 2, (nlp_activation)act);
            bool holds = act == NLP_ACT_TANH || act == NLP_ACT_SIGMOID || act == NLP_ACT_RELU;
            CHECK(isnan(row[0]) == !holds);
            CHECK(act == NLP_ACT_TANH || act == NLP_ACT_SIGMOID ? row[1] == 1 : isinf(row[1]));
        }
}

/* ---- Rows to bytes, norms ---- */

enum { ROWS = 3 };

static size_t padded(size_t width) {
    return (width + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
}

static void check_bytes(const float *t, size_t width, nlp_grid grid, const uint8_t *q,
                        float q_scale) {
    double steps = grid == NLP_GRID_GELU ? 255 : 127;
    int zero = grid == NLP_GRID_GELU ? 0 : 128;
    double top = 0;
    for (size_t i = 0; i < width; i++) top = fmax(top, fabs((double)t[i]));
    if (fabs((double)q_scale - top / steps) > 1e-6 * top / steps)
        nlp_test_fail(__FILE__, __LINE__, "width %zu: scale %g", width, (double)q_scale);
    for (size_t i = 0; i < width; i++)
        if (fabs((q[i] - zero) * (double)q_scale - (double)t[i]) > 0.5001 * (double)q_scale)
            nlp_test_fail(__FILE__, __LINE__, "width %zu: byte %zu is %d", width, i, q[i]);
    for (size_t i = width; i < padded(width); i++) CHECK(q[i] == zero);
}

static void check_quantise(size_t width, nlp_grid grid) {
    const nlp_kernels *k;
    uint8_t first[ROWS * 1024];
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        guarded q = guarded_bytes(ROWS * padded(width)), scales = guarded_bytes(ROWS * 4);
        k->quantise(&(nlp_quantise_args){.rows = x,
                                         .n_rows = ROWS,
                                         .width = width,
                                         .grid = grid,
                                         .q = q.at,
                                         .q_scales = scales.at});
        if (!level) memcpy(first, q.at, q.n_bytes);
        CHECK(!memcmp(first, q.at, q.n_bytes));
        for (size_t r = 0; r < ROWS && !level; r++)
            check_bytes(x + r * width, width, grid, first + r * padded(width),
                        ((float *)scales.at)[r]);
        guarded_end(&q, "quantise"), guarded_end(&scales, "quantise");
    }
}

static void test_rows_become_bytes_and_back(void) {
    for (size_t w = 0; w < N_WIDTHS && widths[w] * ROWS <= MOST; w++) {
        fill(w, 4);
        check_quantise(widths[w], NLP_GRID_SYMMETRIC);
        for (size_t i = 0; i < MOST; i++) x[i] = fabsf(x[i]);
        check_quantise(widths[w], NLP_GRID_GELU);
    }
}

static void test_rows_without_a_scale(void) {
    float row[3][16] = {{0}, {1, NAN}, {1e-38f}}, scales[3];
    uint8_t q[3 * 64];
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        k->quantise(&(nlp_quantise_args){
            .rows = row[0], .n_rows = 3, .width = 16, .q = q, .q_scales = scales});
        CHECK(scales[0] == 0 && isnan(scales[1]) && scales[2] == 0);
        for (size_t i = 0; i < sizeof q; i++) CHECK(q[i] == 128);
    }
}

static void reference_norm(const float *row, size_t width, bool rms, double *out) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < width && !rms; i++) mean += (double)row[i] / (double)width;
    for (size_t i = 0; i < width; i++)
        square += ((double)row[i] - mean) * ((double)row[i] - mean) / (double)width;
    for (size_t i = 0; i < width; i++)
        out[i] = ((double)row[i] - mean) / sqrt(square + 1e-5) * (double)y[i] +
                 (rms ? 0 : (double)y[MOST - 1 - i]);
}

static void check_norm(size_t width, bool rms) {
    static float bias[MOST], first[MOST];
    static double exact[MOST];
    const nlp_kernels *k;
    for (size_t i = 0; i < width; i++) bias[i] = y[MOST - 1 - i];
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        guarded rows = guarded_copy(x, ROWS * width * sizeof *x);
        guarded q = guarded_bytes(ROWS * padded(width)), scales = guarded_bytes(ROWS * 4);
        k->norm(&(nlp_norm_args){.rows = rows.at,
                                 .out = rows.at,
                                 .n_rows = ROWS,
                                 .width = width,
                                 .rms = rms,
                                 .gain = y,
                                 .bias = bias,
                                 .eps = 1e-5f,
                                 .q = q.at,
                                 .q_scales = scales.at});
        if (!level) memcpy(first, rows.at, rows.n_bytes);
        CHECK(!memcmp(first, rows.at, rows.n_bytes));
        for (size_t r = 0; r < ROWS; r++)
            check_bytes((float *)rows.at + r * width, width, NLP_GRID_SYMMETRIC,
                        (uint8_t *)q.at + r * padded(width), ((float *)scales.at)[r]);
        guarded_end(&rows, "norm"), guarded_end(&q, "norm"), guarded_end(&scales, "norm");
    }
    for (size_t r = 0; r < ROWS; r++) {
        reference_norm(x + r * width, width, rms, exact);
        for (size_t i = 0; i < width; i++)
            if (fabs((double)first[r * width + i] - exact[i]) > 3e-6)
                nlp_test_fail(__FILE__, __LINE__, "norm, width %zu: [%zu] is %g, not %g", width, i,
                              (double)first[r * width + i], exact[i]);
    }
}

static void test_norms_are_near_double(void) {
    for (size_t w = 0; w < N_WIDTHS && widths[w] * ROWS <= MOST; w++) {
        fill(100 + w, 3);
        check_norm(widths[w], false);
        check_norm(widths[w], true);
    }
}

/* ---- Gates, rotary positions, caps ---- */

/* Runs a change of a copy of x at every level: the same bits, nothing outside; the result in out. */
static void at_every_level(const char *name, size_t n,
                           void (*change)(const nlp_kernels *, float *, size_t), size_t width,
                           float *out) {
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        guarded rows = guarded_copy(x, n * sizeof *x);
        change(k, rows.at, width);
        if (!level) memcpy(out, rows.at, n * sizeof *out);
        if (memcmp(out, rows.at, n * sizeof *out))
            nlp_test_fail(__FILE__, __LINE__, "%s at %s, width %zu: other bits", name, k->name,
                          width);
        guarded_end(&rows, name);
    }
}

static void near(const char *name, double got, double exact, double limit) {
    if (!(fabs(got - exact) <= limit * (1 + fabs(exact))))
        nlp_test_fail(__FILE__, __LINE__, "%s is %g, not %g", name, got, exact);
}

static nlp_activation gate_act;
static void change_gate(const nlp_kernels *k, float *rows, size_t width) {
    k->gate(rows, ROWS, width, gate_act);
}

static void test_gates(void) {
    static float out[MOST];
    for (size_t w = 0; w < N_WIDTHS && widths[w] * 2 * ROWS <= MOST; w++)
        for (int act = NLP_ACT_GELU_ERF; act < N_ACTS; act++) {
            size_t width = widths[w];
            fill(300 + w, 3);
            gate_act = (nlp_activation)act;
            at_every_level("gate", 2 * ROWS * width, change_gate, width, out);
            for (size_t i = 0; i < ROWS * width; i++) {
                size_t from = i / width * 2 * width + i % width;
                near("gate", (double)out[i],
                     activation(gate_act, (double)x[from]) * (double)x[from + width], 3e-6);
            }
        }
}

static size_t n_pairs;
static float cosines[64], sines[64];
static void change_rotate(const nlp_kernels *k, float *heads, size_t head_dim) {
    k->rotate(heads, ROWS, head_dim, n_pairs, cosines, sines);
}

static void test_rotary_positions(void) {
    static const size_t dims[][2] = {{2, 1},   {8, 4},   {16, 8},   {20, 10}, {20, 6},
                                     {64, 32}, {96, 48}, {128, 64}, {128, 16}};
    static float out[MOST];
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        size_t head_dim = dims[d][0];
        n_pairs = dims[d][1];
        fill(400 + d, 3);
        for (size_t i = 0; i < n_pairs; i++)
            cosines[i] = (float)cos((double)i + 0.3), sines[i] = (float)sin((double)i + 0.3);
        at_every_level("rotate", ROWS * head_dim, change_rotate, head_dim, out);
        for (size_t i = 0; i < ROWS * head_dim; i++) {
            size_t c = i % head_dim, pair = c % n_pairs, first = i - c + pair;
            double a = (double)x[first], b = (double)x[first + n_pairs];
            double turned = c < n_pairs ? a * (double)cosines[pair] - b * (double)sines[pair]
                                        : b * (double)cosines[pair] + a * (double)sines[pair];
            near("rotate", (double)out[i], c < 2 * n_pairs ? turned : (double)x[i], 3e-7);
        }
    }
}

static void change_cap(const nlp_kernels *k, float *rows, size_t n) {
    k->cap(rows, n, 2.5f);
}

static void test_caps(void) {
    static float out[MOST];
    for (size_t w = 0; w < N_WIDTHS; w++) {
        fill(500 + w, 20);
        at_every_level("cap", widths[w], change_cap, widths[w], out);
        for (size_t i = 0; i < widths[w]; i++)
            near("cap", (double)out[i], 2.5 * tanh((double)x[i] / 2.5), 1e-6);
    }
}

/* ---- Half floats ---- */

/* What IEEE 754 says of 16 bits: 5 of exponent with bias 15, 10 of fraction. */
static double value_of_half(unsigned bits) {
    int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31) size = fraction ? (double)NAN : (double)INFINITY;
    return bits & 0x8000 ? -size : size;
}

static void test_every_half_is_a_float(void) {
    enum { N = 65536 };
    uint16_t *halves = malloc(N * sizeof *halves), *back = malloc(N * sizeof *back);
    float *out = malloc(N * sizeof *out);
    const nlp_kernels *k;
    for (unsigned i = 0; i < N; i++) halves[i] = (uint16_t)i;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        memset(back, 0, N * sizeof *back);
        k->from_half(out, halves, N - 1), k->from_half(out + N - 1, halves + N - 1, 1);
        k->to_half(back, out, N - 3), k->to_half(back + N - 3, out + N - 3, 3);
        for (unsigned i = 0; i < N; i++) {
            double want = value_of_half(i);
            bool quiet = isnan(want) && (back[i] | 0x200) == (i | 0x200);
            if (isnan(want) ? !isnan(out[i]) || !quiet : (double)out[i] != want || back[i] != i)
                nlp_test_fail(__FILE__, __LINE__, "%s: half %04x is %g and back %04x", k->name, i,
                              (double)out[i], back[i]);
        }
    }
    free(halves), free(back), free(out);
}

/* Between two neighbours the nearer one, in the middle the even one; beyond the largest, infinity. */
static void test_floats_round_to_the_nearest_half(void) {
    const nlp_kernels *k;
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++)
        for (unsigned i = 0; i < 0x7C00; i++) {
            double next = i == 0x7BFF ? 65536 : value_of_half(i + 1);
            float middle = (float)((value_of_half(i) + next) / 2);
            float in[6] = {nextafterf(middle, 0), middle, nextafterf(middle, INFINITY)};
            for (int j = 0; j < 3; j++) in[3 + j] = -in[j];
            uint16_t out[6], want[3] = {(uint16_t)i, (uint16_t)(i + i % 2), (uint16_t)(i + 1)};
            k->to_half(out, in, 6);
            for (int j = 0; j < 3; j++)
                if (out[j] != want[j] || out[3 + j] != (want[j] | 0x8000))
                    nlp_test_fail(__FILE__, __LINE__, "%s: %g becomes half %04x", k->name,
                                  (double)in[j], out[j]);
        }
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"vectors_are_near_double_and_equal_at_every_level",
         test_vectors_are_near_double_and_equal_at_every_level},
        {"softmax_of_extremes_sums_to_one", test_softmax_of_extremes_sums_to_one},
        {"max_abs_keeps_nan_on_top", test_max_abs_keeps_nan_on_top},
        {"activations_keep_their_budgets", test_activations_keep_their_budgets},
        {"activations_at_the_ends", test_activations_at_the_ends},
        {"rows_become_bytes_and_back", test_rows_become_bytes_and_back},
        {"rows_without_a_scale", test_rows_without_a_scale},
        {"norms_are_near_double", test_norms_are_near_double},
        {"gates", test_gates},
        {"rotary_positions", test_rotary_positions},
        {"caps", test_caps},
        {"every_half_is_a_float", test_every_half_is_a_float},
        {"floats_round_to_the_nearest_half", test_floats_round_to_the_nearest_half}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
