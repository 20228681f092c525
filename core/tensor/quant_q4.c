/* quant_q4.c: weights of 4 bits: the grid of each 32 k of a column, and its place in a panel. */
#include <math.h>
#include <string.h>

#include "tensor/quant_parts.h"

enum { STEP_K = 64, NIBBLE_BYTES = 512, ZERO_POINT = 8, MOST = 15 };

static size_t step_bytes(nlp_dtype dtype) {
    return NIBBLE_BYTES + (dtype == NLP_Q4M ? 128 : 64);
}

size_t nlp_q4_panel_bytes(nlp_dtype dtype, size_t padded_k) {
    return padded_k / STEP_K * step_bytes(dtype) + NLP_PANEL * sizeof(float);
}

/* ---- A grid of 32 numbers ---- */

/* w = q * d + m; of q4 m is -8 d. As floats, which the halves are exactly. */
typedef struct grid4 {
    float d, m;
    uint8_t q[NLP_Q4_GROUP];
} grid4;

static float to_half(float x) {
    return nlp_f32_from_f16(nlp_f16_from_f32(x));
}

/* The value as the source's reader computes it (ggml): of q4 (q - 8) * d, of q4m q * d + m. */
static float value_of(nlp_dtype dtype, const grid4 *g, uint8_t q) {
    return dtype == NLP_Q4M ? (float)q * g->d + g->m : ((float)q - ZERO_POINT) * g->d;
}

static uint8_t nearest(nlp_dtype dtype, const grid4 *g, float w) {
    float q = dtype == NLP_Q4M ? (w - g->m) / g->d : w / g->d + ZERO_POINT;
    if (!(q > 0)) return 0; /* d = 0 gives NaN too */
    return (uint8_t)(q >= MOST ? MOST : (int)((q + 12582912.0f) - 12582912.0f));
}

/* Keeps the grid where its squared error is under the least so far. */
static void try_grid(nlp_dtype dtype, const float *w, size_t n, float d, float m, grid4 *best,
                     double *least) {
    grid4 g = {.d = to_half(d), .m = to_half(m)};
    double error = 0;
    if (!isfinite(g.d) || !isfinite(g.m)) return;
    for (size_t i = 0; i < n; i++) {
        g.q[i] = nearest(dtype, &g, w[i]);
        double off = (double)w[i] - (double)value_of(dtype, &g, g.q[i]);
        error += off * off;
        if (error >= *least) return;
    }
    *best = g;
    *least = error;
}

/* The number of the largest size stands on one of the steps -8 .. 8 around the zero point; a file's
 * Q4_0 has it on -8. */
static void find_symmetric(const float *w, size_t n, grid4 *best, double *least) {
    float top = 0;
    for (size_t i = 0; i < n; i++)
        if (fabsf(w[i]) > fabsf(top)) top = w[i];
    for (int step = ZERO_POINT; step >= 1 && *least > 0; step--) {
        try_grid(NLP_Q4, w, n, top / (float)-step, 0, best, least);
        if (step < ZERO_POINT) try_grid(NLP_Q4, w, n, top / (float)step, 0, best, least);
    }
}

/* Smallest and largest number stand `steps` apart, the smallest on step `first`; a file's Q4_1 has
 * them on 0 and 15. */
static void find_with_minimum(const float *w, size_t n, grid4 *best, double *least) {
    float low = w[0], high = w[0];
    for (size_t i = 1; i < n; i++) {
        low = w[i] < low ? w[i] : low;
        high = w[i] > high ? w[i] : high;
    }
    for (int steps = MOST; steps >= 1 && *least > 0; steps--)
        for (int first = 0; first <= MOST - steps && *least > 0; first++) {
            float d = to_half((high - low) / (float)steps);
            try_grid(NLP_Q4M, w, n, d, low - (float)first * d, best, least);
        }
}

/* ---- Panels ---- */

/* The byte and the shift of (p, j) in a panel. */
static uint8_t *nibble_at(nlp_dtype dtype, uint8_t *panel, size_t p, size_t j, int *shift) {
    size_t r = p % 8;
    *shift = r < 4 ? 0 : 4;
    return panel + p / STEP_K * step_bytes(dtype) + p % STEP_K / 8 * 64 + 4 * j + r % 4;
}

static uint8_t *halves_at(nlp_dtype dtype, uint8_t *panel, size_t group, size_t j) {
    return panel + group / 2 * step_bytes(dtype) + NIBBLE_BYTES + 2 * (group % 2 * NLP_PANEL + j);
}

static void write_group(nlp_dtype dtype, const grid4 *g, uint8_t *panel, size_t group, size_t j) {
    uint8_t *halves = halves_at(dtype, panel, group, j);
    uint16_t d = nlp_f16_from_f32(g->d), m = nlp_f16_from_f32(g->m);
    memcpy(halves, &d, sizeof d);
    if (dtype == NLP_Q4M) memcpy(halves + 4 * NLP_PANEL, &m, sizeof m);
    for (size_t i = 0; i < NLP_Q4_GROUP; i++) {
        int shift;
        uint8_t *at = nibble_at(dtype, panel, group * NLP_Q4_GROUP + i, j, &shift);
        *at = (uint8_t)(*at | g->q[i] << shift);
    }
}

static void pack_column(nlp_dtype dtype, const float *w, float bias, size_t k, size_t j,
                        uint8_t *panel) {
    size_t bytes = nlp_panel_bytes(dtype, k);
    for (size_t at = 0; at < k; at += NLP_Q4_GROUP) {
        size_t n = k - at < NLP_Q4_GROUP ? k - at : NLP_Q4_GROUP;
        grid4 best = {0};
        double least = INFINITY;
        if (dtype == NLP_Q4M)
            find_with_minimum(w + at, n, &best, &least);
        else
            find_symmetric(w + at, n, &best, &least);
        write_group(dtype, &best, panel, at / NLP_Q4_GROUP, j);
    }
    memcpy(panel + bytes - NLP_PANEL * sizeof bias + j * sizeof bias, &bias, sizeof bias);
}

void nlp_pack_q4(nlp_dtype dtype, const float *w, const float *bias, size_t k, size_t n,
                 void *panels) {
    size_t bytes = nlp_panel_bytes(dtype, k);
    memset(panels, 0, bytes * ((n + NLP_PANEL - 1) / NLP_PANEL));
    for (size_t column = 0; column < n; column++)
        pack_column(dtype, w + column * k, bias ? bias[column] : 0, k, column % NLP_PANEL,
                    (uint8_t *)panels + column / NLP_PANEL * bytes);
}

void nlp_q4_unpack_column(nlp_dtype dtype, const uint8_t *panel, size_t j, size_t k, float *w,
                          float *bias) {
    uint8_t *at = (uint8_t *)(uintptr_t)panel; /* read only, by functions that also write */
    for (size_t p = 0; p < k; p++) {
        uint16_t d, m = 0;
        int shift;
        uint8_t *halves = halves_at(dtype, at, p / NLP_Q4_GROUP, j),
                byte = *nibble_at(dtype, at, p, j, &shift);
        memcpy(&d, halves, sizeof d);
        if (dtype == NLP_Q4M) memcpy(&m, halves + 4 * NLP_PANEL, sizeof m);
        grid4 g = {.d = nlp_f32_from_f16(d), .m = nlp_f32_from_f16(m)};
        w[p] = value_of(dtype, &g, byte >> shift & MOST);
    }
    memcpy(bias, panel + nlp_panel_bytes(dtype, k) - NLP_PANEL * sizeof *bias + j * sizeof *bias,
           sizeof *bias);
}
