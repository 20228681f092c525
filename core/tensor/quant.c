/* quant.c: number formats and panel layouts, in both directions. Plain loops in a fixed order: an
 * import gives the same bytes on every machine. */
#include "tensor/quant.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/quant_parts.h"

enum {
    WEIGHT_STEPS = 63,
    ROW_STEPS = 127,
    F32_TRAILER = 1,
    I8_TRAILER_BYTES = 192,
    I16_TRAILER_BYTES = 128
};

static size_t padded_k(nlp_dtype dtype, size_t k) {
    return dtype == NLP_F32 ? k : (k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
}

size_t nlp_panel_bytes(nlp_dtype dtype, size_t k) {
    size_t padded = padded_k(dtype, k);
    if (dtype == NLP_I8) return padded * NLP_PANEL + I8_TRAILER_BYTES;
    if (dtype == NLP_I16) return padded * NLP_PANEL + I16_TRAILER_BYTES;
    if (dtype == NLP_Q4 || dtype == NLP_Q4M) return nlp_q4_panel_bytes(dtype, padded);
    return (k + F32_TRAILER) * NLP_PANEL * sizeof(float);
}

nlp_status nlp_panels_bytes(nlp_dtype dtype, size_t k, size_t n, size_t *n_bytes, nlp_error *err) {
    const size_t limit = (size_t)1 << 31;
    if (!k || !n || k > limit || n > limit ||
        nlp_mul_overflows(nlp_panel_bytes(dtype, k), (n + NLP_PANEL - 1) / NLP_PANEL, n_bytes))
        return nlp_fail(err, NLP_ELIMIT, "a matrix of %zu x %zu is not possible", n, k);
    return NLP_OK;
}

void nlp_pack_f32(const float *w, const float *bias, size_t k, size_t n, void *panels) {
    float *out = panels;
    for (size_t panel = 0; panel < n; panel += NLP_PANEL, out += (k + F32_TRAILER) * NLP_PANEL)
        for (size_t j = 0; j < NLP_PANEL; j++) {
            size_t column = panel + j;
            for (size_t p = 0; p < k; p++)
                out[p * NLP_PANEL + j] = column < n ? w[column * k + p] : 0;
            out[k * NLP_PANEL + j] = column < n && bias ? bias[column] : 0;
        }
}

void nlp_pack_f32_rows(const float *x, size_t k, size_t n, void *panels) {
    float *out = panels;
    for (size_t panel = 0; panel < n; panel += NLP_PANEL, out += (k + F32_TRAILER) * NLP_PANEL) {
        size_t n_columns = n - panel < NLP_PANEL ? n - panel : NLP_PANEL;
        memset(out, 0, (k + F32_TRAILER) * NLP_PANEL * sizeof *out);
        for (size_t p = 0; p < k; p++)
            memcpy(out + p * NLP_PANEL, x + p * n + panel, n_columns * sizeof *out);
    }
}

/* ---- i8 ---- */

/* Weight (column, p) in the product's own space: the input is multiplied by the factor, so the
 * weight is divided. */
static float scaled_weight(const nlp_pack_i8_args *a, size_t column, size_t p) {
    float w = a->w[column * a->k + p];
    if (a->output_scale) w *= a->output_scale[column];
    return a->factors ? w / a->factors[p] : w;
}

static float column_scale(const nlp_pack_i8_args *a, size_t column) {
    float top = 0;
    for (size_t p = 0; p < a->k; p++) {
        float size = fabsf(scaled_weight(a, column, p));
        top = size > top ? size : top;
    }
    return top / WEIGHT_STEPS;
}

static int8_t round_weight(float w, float scale) {
    if (scale == 0) return 0;
    float q = (w / scale + 12582912.0f) - 12582912.0f; /* half to even */
    return (int8_t)(q > WEIGHT_STEPS ? WEIGHT_STEPS : q < -WEIGHT_STEPS ? -WEIGHT_STEPS : q);
}

/* What the bias takes over from column `column` with rounded weights q: the mean error of rounding
 * at the calibrated mean input, and on the GELU grid the offset's constant. */
static float corrected_bias(const nlp_pack_i8_args *a, size_t column, float scale, const int8_t *q,
                            size_t stride) {
    double offset = a->grid == NLP_GRID_GELU ? (double)NLP_GELU_OFFSET : 0;
    double exact = 0, rounded = 0;
    for (size_t p = 0; p < a->k; p++) {
        double mean = a->input_mean ? (double)a->input_mean[p] : -offset;
        double output = a->output_scale ? (double)a->output_scale[column] : 1;
        double factor = a->factors ? (double)a->factors[p] : 1;
        exact += mean * (double)a->w[column * a->k + p] * output;
        rounded += (mean + offset) * factor * (double)q[p / 4 * stride + p % 4] * (double)scale;
    }
    double bias =
        a->bias ? (double)a->bias[column] * (a->output_scale ? (double)a->output_scale[column] : 1)
                : 0;
    return (float)(bias + (exact - rounded));
}

static void pack_column(const nlp_pack_i8_args *a, size_t column, uint8_t *panel) {
    size_t j = column % NLP_PANEL, trailer = padded_k(NLP_I8, a->k) * NLP_PANEL;
    int8_t *q = (int8_t *)panel + 4 * j;
    float scale = column_scale(a, column);
    int32_t start = 0;
    for (size_t p = 0; p < a->k; p++) {
        int8_t value = round_weight(scaled_weight(a, column, p), scale);
        q[p / 4 * (4 * NLP_PANEL) + p % 4] = value;
        start -= 128 * (int32_t)value;
    }
    if (a->grid == NLP_GRID_GELU) start = 0;
    float bias = corrected_bias(a, column, scale, q, 4 * NLP_PANEL);
    memcpy(panel + trailer + 4 * j, &scale, sizeof scale);
    memcpy(panel + trailer + 64 + 4 * j, &start, sizeof start);
    memcpy(panel + trailer + 128 + 4 * j, &bias, sizeof bias);
}

void nlp_pack_i8(const nlp_pack_i8_args *a, void *panels) {
    size_t bytes = nlp_panel_bytes(NLP_I8, a->k), n_panels = (a->n + NLP_PANEL - 1) / NLP_PANEL;
    memset(panels, 0, bytes * n_panels);
    for (size_t column = 0; column < a->n; column++)
        pack_column(a, column, (uint8_t *)panels + column / NLP_PANEL * bytes);
}

/* ---- i16 ---- */

static void pack_i16_column(const float *w, float bias, size_t k, size_t column, uint8_t *panel) {
    size_t j = column % NLP_PANEL, trailer = padded_k(NLP_I16, k) * NLP_PANEL;
    float top = 0;
    for (size_t p = 0; p < k; p++) top = fabsf(w[p]) > top ? fabsf(w[p]) : top;
    float scale = top / ROW_STEPS;
    for (size_t p = 0; p < k; p++)
        panel[p / 2 * (2 * NLP_PANEL) + 2 * j + p % 2] = (uint8_t)nlp_round_s8(w[p], scale);
    memcpy(panel + trailer + 4 * j, &scale, sizeof scale);
    memcpy(panel + trailer + 64 + 4 * j, &bias, sizeof bias);
}

void nlp_pack_i16(const float *w, const float *bias, size_t k, size_t n, void *panels) {
    size_t bytes = nlp_panel_bytes(NLP_I16, k);
    memset(panels, 0, bytes * ((n + NLP_PANEL - 1) / NLP_PANEL));
    for (size_t column = 0; column < n; column++)
        pack_i16_column(w + column * k, bias ? bias[column] : 0, k, column,
                        (uint8_t *)panels + column / NLP_PANEL * bytes);
}

/* ---- Back ---- */

static void unpack_f32_column(const uint8_t *panel, size_t j, size_t k, float *w, float *bias) {
    const float *f32 = (const float *)(const void *)panel;
    for (size_t p = 0; p < k; p++) w[p] = f32[p * NLP_PANEL + j];
    *bias = f32[k * NLP_PANEL + j];
}

/* Whole numbers, `run` of a column behind each other, then scales and, at bias_at, biases. */
static void unpack_whole_column(nlp_dtype dtype, const uint8_t *panel, size_t j, size_t k, float *w,
                                float *bias) {
    size_t run = dtype == NLP_I8 ? 4 : 2, bias_at = dtype == NLP_I8 ? 128 : 64;
    const int8_t *q = (const int8_t *)panel + run * j;
    const uint8_t *trailer = panel + padded_k(dtype, k) * NLP_PANEL;
    float scale;
    memcpy(&scale, trailer + 4 * j, sizeof scale);
    memcpy(bias, trailer + bias_at + 4 * j, sizeof *bias);
    for (size_t p = 0; p < k; p++) w[p] = (float)q[p / run * (run * NLP_PANEL) + p % run] * scale;
}

static void unpack_column(nlp_dtype dtype, const void *panels, size_t k, size_t column, float *w,
                          float *bias) {
    size_t j = column % NLP_PANEL;
    const uint8_t *panel = (const uint8_t *)panels + column / NLP_PANEL * nlp_panel_bytes(dtype, k);
    if (dtype == NLP_I8 || dtype == NLP_I16)
        unpack_whole_column(dtype, panel, j, k, w, bias);
    else if (dtype == NLP_Q4 || dtype == NLP_Q4M)
        nlp_q4_unpack_column(dtype, panel, j, k, w, bias);
    else
        unpack_f32_column(panel, j, k, w, bias);
}

/* Tests and OpenBLAS see the weights that the kernels see, rounding included. */
void nlp_unpack(nlp_dtype dtype, const void *panels, size_t k, size_t n, float *w, float *bias) {
    for (size_t column = 0; column < n; column++)
        unpack_column(dtype, panels, k, column, w + column * k, bias + column);
}

void nlp_panel_row(nlp_dtype dtype, const void *panels, size_t k, size_t j, float *out) {
    float bias;
    unpack_column(dtype, panels, k, j, out, &bias);
}

int8_t nlp_round_s8(float x, float scale) {
    float q = scale == 0 ? 0 : (x / scale + 12582912.0f) - 12582912.0f; /* half to even */
    return (int8_t)(q > ROW_STEPS ? ROW_STEPS : q < -ROW_STEPS ? -ROW_STEPS : q);
}

float nlp_quantise_s8_row(const float *row, size_t width, int8_t *out) {
    float top = 0;
    for (size_t i = 0; i < width; i++) top = fabsf(row[i]) > top ? fabsf(row[i]) : top;
    float scale = top / ROW_STEPS;
    for (size_t i = 0; i < width; i++) out[i] = nlp_round_s8(row[i], scale);
    return scale;
}

/* ---- Half floats ---- */

float nlp_f32_from_bf16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}
