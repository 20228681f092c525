/* rows_tmpl.c: norms, quantisation, activations, sums over rows, compiled once per ISA level. A
 * tail of a row that is no multiple of 16 uses the first lanes only; the other lanes of a sum stay
 * as they are. */
#include <math.h>
#include <string.h>

#include "tensor/lanes.h"
#ifdef NLP_ISA_AVX512VNNI
#include "tensor/x86/product_amx.h"
#endif

enum { LARGEST_FINITE_BITS = 0x7f7fffff };
/* a row below is taken as zeros: 255 / a must not overflow */
static const float smallest_scalable = 1e-30f;

/* Every 16 floats of a row of n: full lanes first, then the tail. `live` is 16 or the rest. */
#define EACH_LANES(at, live, n)                                                                    \
    for (size_t at = 0, live = (n) < 16 ? (n) : 16; at < (n);                                      \
         at += 16, live = (n)-at < 16 ? (n)-at : 16)

LANES_INLINE v16 keep_tail(v16 x, v16 old, size_t live) {
    return live == 16 ? x : v_first(x, old, live);
}

/* ---- Sums ---- */

static float sum(const float *x, size_t n) {
    v16 total = v_set(0);
    EACH_LANES(i, live, n) total = keep_tail(v_add(total, load_live(x + i, live)), total, live);
    return v_sum(total);
}

static float dot(const float *x, const float *y, size_t n) {
    v16 total = v_set(0);
    EACH_LANES(i, live, n)
    total = keep_tail(v_fma(load_live(x + i, live), load_live(y + i, live), total), total, live);
    return v_sum(total);
}

static float max_abs(const float *x, size_t n) {
    v16 top = v_set(0);
    EACH_LANES(i, live, n) top = v_max_bits(top, v_abs(load_live(x + i, live)));
    return v_top_bits(top);
}

/* ---- Elementwise ---- */

static void add(float *x, const float *y, size_t n) {
    EACH_LANES(i, live, n)
    store_live(x + i, v_add(load_live(x + i, live), load_live(y + i, live)), live);
}

static void scale(float *x, size_t n, float factor) {
    EACH_LANES(i, live, n) store_live(x + i, v_mul(load_live(x + i, live), v_set(factor)), live);
}

static void axpy(float *y, const float *x, float a, size_t n) {
    EACH_LANES(i, live, n)
    store_live(y + i, v_fma(v_set(a), load_live(x + i, live), load_live(y + i, live)), live);
}

static void maximum(float *x, const float *y, size_t n) {
    EACH_LANES(i, live, n)
    store_live(x + i, v_max(load_live(x + i, live), load_live(y + i, live)), live);
}

static void activate(float *x, size_t n, nlp_activation act) {
    EACH_LANES(i, live, n) store_live(x + i, v_activate(load_live(x + i, live), act), live);
}

static void dequantise_row(float *out, const int8_t *row, float row_scale, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) v_store(out + i, v_mul(v_load_s8(row + i), v_set(row_scale)));
    if (i == n) return;
    int8_t tail[16] = {0};
    memcpy(tail, row + i, n - i);
    v_store_n(out + i, v_mul(v_load_s8(tail), v_set(row_scale)), n - i);
}

static void scale_columns(float *rows, size_t n_rows, size_t width, const float *factors) {
    for (size_t r = 0; r < n_rows; r++, rows += width) EACH_LANES(i, live, width)
    store_live(rows + i, v_mul(load_live(rows + i, live), load_live(factors + i, live)), live);
}

static void softmax(float *x, size_t n) {
    v16 top = v_set(x[0]), total = v_set(0);
    EACH_LANES(i, live, n) top = keep_tail(v_max(load_live(x + i, live), top), top, live);
    top = v_set(v_top(top));
    EACH_LANES(i, live, n) {
        v16 e = v_exp(v_sub(load_live(x + i, live), top));
        store_live(x + i, e, live);
        total = keep_tail(v_add(total, e), total, live);
    }
    v16 divisor = v_set(v_sum(total));
    EACH_LANES(i, live, n) store_live(x + i, v_div(load_live(x + i, live), divisor), live);
}

/* ---- Rows to bytes ---- */

/* Multiplier and scale of a row whose largest |t| is `top`: steps 127 or 255. A row that is not
 * finite gets a NaN scale, so that what is computed from it is seen not to be finite. */
LANES_INLINE float multiplier_of(float top, float steps, float *row_scale) {
    int32_t bits;
    memcpy(&bits, &top, sizeof bits);
    if (bits > LARGEST_FINITE_BITS) {
        *row_scale = NAN;
        return 0;
    }
    *row_scale = top < smallest_scalable ? 0 : top / steps;
    return top < smallest_scalable ? 0 : steps / top;
}

LANES_INLINE size_t padded_width(size_t width) {
    return (width + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
}

/* One row of t * factors (factors NULL: t) to bytes with zero point `zero`; NaN lanes become the
 * zero point. */
LANES_INLINE void quantise_row(const float *t, const float *factors, size_t width, float multiplier,
                               int32_t zero, uint8_t *q) {
    v16 m = v_set(multiplier);
    EACH_LANES(i, live, width) {
        v16 x = load_live(t + i, live);
        if (factors) x = v_mul(x, load_live(factors + i, live));
        x = v_mul(x, m);
        if (multiplier == 0) x = v_set(0);
        if (live == 16) {
            v_store_u8(q + i, x, zero);
        } else {
            uint8_t tail[16];
            v_store_u8(tail, x, zero);
            memcpy(q + i, tail, live);
        }
    }
    memset(q + width, (int)zero, padded_width(width) - width);
}

static void quantise(const nlp_quantise_args *a) {
    size_t stride = padded_width(a->width);
    float steps = a->grid == NLP_GRID_GELU ? 255.0f : 127.0f;
    int32_t zero = a->grid == NLP_GRID_GELU ? 0 : 128;
    for (size_t r = 0; r < a->n_rows; r++) {
        const float *row = a->rows + r * a->width;
        float top =
            a->row_max ? v_top_bits(v_load(a->row_max + NLP_LANES * r)) : max_abs(row, a->width);
        float multiplier = multiplier_of(top, steps, &a->q_scales[r]);
        quantise_row(row, NULL, a->width, multiplier, zero, a->q + r * stride);
    }
}

static void quantise_i16(const nlp_quantise_args *a) {
    size_t stride = padded_width(a->width);
    int16_t *q = (int16_t *)(void *)a->q;
    for (size_t r = 0; r < a->n_rows; r++, q += stride) {
        const float *row = a->rows + r * a->width;
        float top =
            a->row_max ? v_top_bits(v_load(a->row_max + NLP_LANES * r)) : max_abs(row, a->width);
        float multiplier = multiplier_of(top, 4095.0f, &a->q_scales[r]);
        memset(q, 0, stride * sizeof *q);
        EACH_LANES(i, live, a->width) {
            int16_t words[16] = {0};
            if (multiplier != 0)
                v_store_s16(words, v_mul(load_live(row + i, live), v_set(multiplier)));
            memcpy(q + i, words, live * sizeof *q);
        }
    }
}

/* `live` values of a group of 32; what lies behind them becomes 0. */
LANES_INLINE nlp_q4_group quantise_group(const float *x, size_t live, int8_t *q) {
    nlp_q4_group group = {0};
    v16 first = v_load_n(x, live < 16 ? live : 16),
        second = live > 16 ? v_load_n(x + 16, live - 16) : v_set(0);
    float multiplier =
        multiplier_of(v_top_bits(v_max_bits(v_abs(first), v_abs(second))), 127.0f, &group.scale);
    if (multiplier == 0) {
        memset(q, 0, NLP_Q4_GROUP);
        return group;
    }
    v_store_s8(q, v_mul(first, v_set(multiplier)));
    v_store_s8(q + 16, v_mul(second, v_set(multiplier)));
    for (int i = 0; i < NLP_Q4_GROUP; i++) group.sum += q[i];
    return group;
}

static void quantise_q4(const nlp_quantise_args *a) {
    size_t k = padded_width(a->width), n_groups = k / NLP_Q4_GROUP;
    uint8_t *out = a->q;
    for (size_t r = 0; r < a->n_rows; r++, out += k + n_groups * sizeof(nlp_q4_group)) {
        const float *row = a->rows + r * a->width;
        nlp_q4_group *groups = (nlp_q4_group *)(void *)(out + k);
        for (size_t g = 0; g < n_groups; g++) {
            size_t at = g * NLP_Q4_GROUP, left = at < a->width ? a->width - at : 0;
            groups[g] = quantise_group(row + at, left < NLP_Q4_GROUP ? left : NLP_Q4_GROUP,
                                       (int8_t *)out + at);
        }
    }
}

/* ---- Half floats ---- */

static void from_half(float *out, const uint16_t *halves, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) v_store(out + i, v_load_half(halves + i));
    if (i == n) return;
    uint16_t tail[16] = {0};
    memcpy(tail, halves + i, (n - i) * sizeof *tail);
    v_store_n(out + i, v_load_half(tail), n - i);
}

static void to_half(uint16_t *out, const float *x, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) v_store_half(out + i, v_load(x + i));
    if (i == n) return;
    uint16_t tail[16];
    v_store_half(tail, v_load_n(x + i, n - i));
    memcpy(out + i, tail, (n - i) * sizeof *tail);
}

/* ---- Norms ---- */

/* gain * (x - mean) / deviation + bias; returns the largest |y * factor|. RMS norm has no mean and no
 * bias. */
LANES_INLINE float norm_row(const nlp_norm_args *a, const float *row, float *out, bool rms) {
    size_t width = a->width;
    v16 mean = v_set(rms ? 0 : sum(row, width) / (float)width), squares = v_set(0), top = v_set(0);
    EACH_LANES(i, live, width) {
        v16 d = v_sub(load_live(row + i, live), mean);
        squares = keep_tail(v_fma(d, d, squares), squares, live);
    }
    v16 inverse = v_set(1.0f / sqrtf(v_sum(squares) / (float)width + a->eps));
    EACH_LANES(i, live, width) {
        v16 d = v_mul(v_sub(load_live(row + i, live), mean), inverse);
        v16 gain = load_live(a->gain + i, live);
        v16 y = rms ? v_mul(d, gain) : v_fma(d, gain, load_live(a->bias + i, live));
        store_live(out + i, y, live);
        if (!a->q) continue;
        v16 t = a->factors ? v_mul(y, load_live(a->factors + i, live)) : y;
        top = v_max_bits(top, live == 16 ? v_abs(t) : v_first(v_abs(t), v_set(0), live));
    }
    return v_top_bits(top);
}

static void norm(const nlp_norm_args *a) {
    size_t stride = padded_width(a->width);
    for (size_t r = 0; r < a->n_rows; r++) {
        const float *row = a->rows + r * a->width;
        float *out = a->out + r * a->width;
        float top = a->rms ? norm_row(a, row, out, true) : norm_row(a, row, out, false);
        if (!a->q) continue;
        float multiplier = multiplier_of(top, 127.0f, &a->q_scales[r]);
        quantise_row(out, a->factors, a->width, multiplier, 128, a->q + r * stride);
    }
}

/* ---- Gates and positions ---- */

static void gate(float *rows, size_t n_rows, size_t width, nlp_activation act) {
    for (size_t r = 0; r < n_rows; r++) {
        const float *gate_row = rows + 2 * r * width, *up = gate_row + width;
        float *out = rows + r * width;
        EACH_LANES(i, live, width)
        store_live(out + i,
                   v_mul(v_activate(load_live(gate_row + i, live), act), load_live(up + i, live)),
                   live);
    }
}

static void rotate(float *heads, size_t n_heads, size_t head_dim, size_t n_pairs, const float *cos,
                   const float *sin) {
    for (size_t head = 0; head < n_heads; head++, heads += head_dim) EACH_LANES(i, live, n_pairs) {
            v16 x = load_live(heads + i, live), y = load_live(heads + n_pairs + i, live);
            v16 c = load_live(cos + i, live), s = load_live(sin + i, live);
            store_live(heads + i, v_sub(v_mul(x, c), v_mul(y, s)), live);
            store_live(heads + n_pairs + i, v_fma(y, c, v_mul(x, s)), live);
        }
}

static void cap(float *x, size_t n, float limit) {
    EACH_LANES(i, live, n)
    store_live(x + i, v_cap(load_live(x + i, live), v_set(limit)), live);
}

/* ---- The table of this level; of amx too, which has another product ---- */

void NLP_LEVEL(product_f32)(const nlp_product *product);
void NLP_LEVEL(product_i8)(const nlp_product *product);
void NLP_LEVEL(product_i16)(const nlp_product *product);
void NLP_LEVEL(product_q4)(const nlp_product *product);
void NLP_LEVEL(product_q4m)(const nlp_product *product);
void NLP_LEVEL(attention)(const nlp_attention_args *args);
void NLP_LEVEL(attention_cached)(const nlp_cached_attention_args *args);
size_t NLP_LEVEL(attention_scratch_floats)(size_t n_keys, size_t head_dim);
void NLP_LEVEL(hamming)(const uint8_t *query, const uint8_t *signatures, size_t n, size_t n_words,
                        uint32_t *distances);
int64_t NLP_LEVEL(dot_i16_i8)(const int16_t *query, const int8_t *row, size_t n, int64_t *norm);

#define KERNELS(level_name, i8, rows, panels)                                                      \
    {                                                                                              \
        .name = level_name, .i8_rows = rows, .i8_panels = panels,                                  \
        .product_f32 = NLP_LEVEL(product_f32), .product_i8 = i8,                                   \
        .product_i16 = NLP_LEVEL(product_i16), .product_q4 = NLP_LEVEL(product_q4),                \
        .product_q4m = NLP_LEVEL(product_q4m), .norm = norm, .quantise = quantise,                 \
        .quantise_i16 = quantise_i16, .quantise_q4 = quantise_q4, .scale_columns = scale_columns,  \
        .gate = gate, .rotate = rotate, .cap = cap,                                                \
        .attention_scratch_floats = NLP_LEVEL(attention_scratch_floats),                           \
        .attention = NLP_LEVEL(attention), .attention_cached = NLP_LEVEL(attention_cached),        \
        .add = add, .dequantise_row = dequantise_row, .activate = activate, .softmax = softmax,    \
        .scale = scale, .sum = sum, .dot = dot, .from_half = from_half, .to_half = to_half,        \
        .max_abs = max_abs, .axpy = axpy, .maximum = maximum, .hamming = NLP_LEVEL(hamming),       \
        .dot_i16_i8 = NLP_LEVEL(dot_i16_i8),                                                       \
    }

extern const nlp_kernels NLP_LEVEL(kernels);
const nlp_kernels NLP_LEVEL(kernels) = KERNELS(LANES_NAME, NLP_LEVEL(product_i8), NLP_TILE_ROWS,
                                               NLP_GROUP_PANELS);
#ifdef NLP_ISA_AVX512VNNI
extern const nlp_kernels nlp_kernels_amx;
const nlp_kernels nlp_kernels_amx =
    KERNELS("amx", nlp_product_i8_amx, NLP_AMX_ROWS, NLP_AMX_PANELS);
#endif
