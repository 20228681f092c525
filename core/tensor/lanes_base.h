/* lanes_base.h: sixteen float lanes in plain C: the level that every CPU has, and the meaning of
 * the other lanes_*.h. fma is one rounding at every level: here through doubles, with the cases
 * where rounding twice would show. */
#ifndef NLP_TENSOR_LANES_BASE_H
#define NLP_TENSOR_LANES_BASE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tensor/half.h"

#define LANES_NAME        "base"
#define LANES_TILE_PANELS 1
#define LANES_INLINE      static inline __attribute__((always_inline))
#define LANES_EACH(expression)                                                                     \
    do {                                                                                           \
        for (int l = 0; l < 16; l++) (expression);                                                 \
    } while (0)

typedef struct v16 {
    float f[16];
} v16;
typedef struct vi16 {
    int32_t i[16];
} vi16;
typedef struct vb64 {
    const int8_t *at;
} vb64; /* 64 weights: 16 columns of 4 */
typedef struct vq4 {
    uint8_t q[4];
} vq4; /* 4 activations, the same for all columns */
typedef struct vs32 {
    const int8_t *at;
} vs32; /* 32 weights: 16 columns of 2 */
typedef struct vq2 {
    int16_t q[2];
} vq2; /* 2 wide activations, the same for all columns */
typedef struct vn128 {
    const uint8_t *at;
} vn128;             /* 128 weights of 4 bits: 16 columns of 4 (low) and 4 (high nibbles) */
typedef vi16 vgroup; /* sums of a group of 32 k */

/* a*b is exact in a double; the sum is rounded to odd, so that the second rounding is right. */
static inline float fma_exact(float a, float b, float c) {
    double product = (double)a * (double)b, sum = product + (double)c;
    double back = sum - product, rest = (product - (sum - back)) + ((double)c - back);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (rest != 0 && !(bits & 1)) bits += (rest > 0) == (sum > 0) ? 1u : ~(uint64_t)0;
    memcpy(&sum, &bits, sizeof sum);
    return (float)sum;
}

/* Rounding twice shows only where the double is half-way between two floats, or the result is
 * subnormal. */
LANES_INLINE float fma_one(float a, float b, float c) {
    double sum = (double)a * (double)b + (double)c;
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    int half_way = (bits & 0x1FFFFFFF) == 0x10000000;
    int subnormal = (bits & 0x7FFFFFFFFFFFFFFF) < 0x3810000000000000;
    return half_way | subnormal ? fma_exact(a, b, c) : (float)sum;
}

LANES_INLINE v16 v_set(float x) {
    v16 r;
    LANES_EACH(r.f[l] = x);
    return r;
}
LANES_INLINE v16 v_load(const float *p) {
    v16 r;
    memcpy(&r, p, sizeof r);
    return r;
}
LANES_INLINE void v_store(float *p, v16 x) {
    memcpy(p, &x, sizeof x);
}
/* The first n lanes (n <= 16); the others are 0. No byte behind them is read. */
LANES_INLINE v16 v_load_n(const float *p, size_t n) {
    v16 r = v_set(0);
    memcpy(&r, p, n * sizeof *p);
    return r;
}
LANES_INLINE void v_store_n(float *p, v16 x, size_t n) {
    memcpy(p, &x, n * sizeof *p);
}
/* The first n lanes of a, the others of b. */
LANES_INLINE v16 v_first(v16 a, v16 b, size_t n) {
    LANES_EACH(b.f[l] = (size_t)l < n ? a.f[l] : b.f[l]);
    return b;
}
LANES_INLINE v16 v_add(v16 a, v16 b) {
    LANES_EACH(a.f[l] = a.f[l] + b.f[l]);
    return a;
}
LANES_INLINE v16 v_sub(v16 a, v16 b) {
    LANES_EACH(a.f[l] = a.f[l] - b.f[l]);
    return a;
}
LANES_INLINE v16 v_mul(v16 a, v16 b) {
    LANES_EACH(a.f[l] = a.f[l] * b.f[l]);
    return a;
}
LANES_INLINE v16 v_div(v16 a, v16 b) {
    LANES_EACH(a.f[l] = a.f[l] / b.f[l]);
    return a;
}
LANES_INLINE v16 v_fma(v16 a, v16 b, v16 c) {
    LANES_EACH(c.f[l] = fma_one(a.f[l], b.f[l], c.f[l]));
    return c;
}
/* a > b ? a : b, so b where either is NaN: what the instructions do. */
LANES_INLINE v16 v_max(v16 a, v16 b) {
    LANES_EACH(b.f[l] = a.f[l] > b.f[l] ? a.f[l] : b.f[l]);
    return b;
}
LANES_INLINE v16 v_min(v16 a, v16 b) {
    LANES_EACH(b.f[l] = a.f[l] < b.f[l] ? a.f[l] : b.f[l]);
    return b;
}
LANES_INLINE v16 v_abs(v16 a) {
    LANES_EACH(a.f[l] = fabsf(a.f[l]));
    return a;
}
/* The larger of the bits as integers: the order of non-negative floats, but NaN stays on top. */
LANES_INLINE v16 v_max_bits(v16 a, v16 b) {
    int32_t x[16], y[16];
    memcpy(x, &a, sizeof x), memcpy(y, &b, sizeof y);
    LANES_EACH(x[l] = x[l] > y[l] ? x[l] : y[l]);
    memcpy(&a, x, sizeof x);
    return a;
}
/* Half to even; |x| < 2^22. */
LANES_INLINE v16 v_round(v16 a) {
    LANES_EACH(a.f[l] = (a.f[l] + 12582912.0f) - 12582912.0f);
    return a;
}
/* x * 2^n for whole n, where x and the result are normal. */
LANES_INLINE v16 v_scale2(v16 x, v16 n) {
    int32_t bits[16];
    memcpy(bits, &x, sizeof bits);
    LANES_EACH(bits[l] += (int32_t)n.f[l] * (1 << 23));
    memcpy(&x, bits, sizeof bits);
    return x;
}
/* 0 where x < limit, y elsewhere. */
LANES_INLINE v16 v_zero_below(v16 x, float limit, v16 y) {
    LANES_EACH(y.f[l] = x.f[l] < limit ? 0.0f : y.f[l]);
    return y;
}
/* The tree 8, 4, 2, 1. */
LANES_INLINE float v_sum(v16 x) {
    for (int n = 8; n; n /= 2)
        for (int l = 0; l < n; l++) x.f[l] = x.f[l] + x.f[l + n];
    return x.f[0];
}
LANES_INLINE float v_top_bits(v16 x) {
    int32_t bits[16], top;
    memcpy(bits, &x, sizeof bits);
    top = bits[0];
    LANES_EACH(top = bits[l] > top ? bits[l] : top);
    float result;
    memcpy(&result, &top, sizeof result);
    return result;
}
LANES_INLINE float v_top(v16 x) {
    float top = x.f[0];
    for (int l = 1; l < 16; l++) top = x.f[l] > top ? x.f[l] : top;
    return top;
}
/* Rounded half to even, plus zero, held to 0 .. 255. |x| < 2^22. */
LANES_INLINE void v_store_u8(uint8_t *p, v16 x, int32_t zero) {
    for (int l = 0; l < 16; l++) {
        int32_t q = (int32_t)((x.f[l] + 12582912.0f) - 12582912.0f) + zero;
        p[l] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
    }
}
/* Rounded half to even, where the result fits. */
LANES_INLINE void v_store_s8(int8_t *p, v16 x) {
    LANES_EACH(p[l] = (int8_t)((x.f[l] + 12582912.0f) - 12582912.0f));
}
LANES_INLINE void v_store_s16(int16_t *p, v16 x) {
    LANES_EACH(p[l] = (int16_t)((x.f[l] + 12582912.0f) - 12582912.0f));
}
/* Half floats, to and from: exact; half to even, NaN stays NaN, what is too large is infinite. */
LANES_INLINE v16 v_load_half(const uint16_t *p) {
    v16 r;
    LANES_EACH(r.f[l] = nlp_f32_from_f16(p[l]));
    return r;
}
LANES_INLINE void v_store_half(uint16_t *p, v16 x) {
    LANES_EACH(p[l] = nlp_f16_from_f32(x.f[l]));
}
LANES_INLINE v16 v_load_s8(const int8_t *p) {
    v16 r;
    LANES_EACH(r.f[l] = (float)p[l]);
    return r;
}

/* ---- Integers ---- */
LANES_INLINE vi16 vi_set(int32_t x) {
    vi16 r;
    LANES_EACH(r.i[l] = x);
    return r;
}
LANES_INLINE vi16 vi_load(const int32_t *p) {
    vi16 r;
    memcpy(&r, p, sizeof r);
    return r;
}
LANES_INLINE v16 vi_to_float(vi16 a) {
    v16 r;
    LANES_EACH(r.f[l] = (float)a.i[l]);
    return r;
}
LANES_INLINE vb64 vb_load(const int8_t *p) {
    return (vb64){p};
}
LANES_INLINE vq4 vq_load(const uint8_t *p) {
    vq4 r;
    memcpy(&r, p, sizeof r);
    return r;
}
/* Each column's sum grows by its four products; exact. */
LANES_INLINE vi16 vi_dot(vi16 sum, vq4 x, vb64 w) {
    for (int l = 0; l < 16; l++)
        for (int p = 0; p < 4; p++) sum.i[l] += (int32_t)x.q[p] * w.at[4 * l + p];
    return sum;
}
/* s8 x 13 bits; the caller bounds k. */
LANES_INLINE vs32 vs_load(const int8_t *p) {
    return (vs32){p};
}
LANES_INLINE vq2 vq2_load(const int16_t *p) {
    vq2 r;
    memcpy(&r, p, sizeof r);
    return r;
}
LANES_INLINE vi16 vi_dot2(vi16 sum, vq2 x, vs32 w) {
    for (int l = 0; l < 16; l++)
        for (int p = 0; p < 2; p++) sum.i[l] += (int32_t)x.q[p] * w.at[2 * l + p];
    return sum;
}
/* u4 x s8: four calls of vg_dot (8 k each) are a group, which vg_sum ends. */
LANES_INLINE vn128 vn_load(const uint8_t *p) {
    return (vn128){p};
}
LANES_INLINE vgroup vg_zero(void) {
    return (vgroup){{0}};
}
LANES_INLINE vgroup vg_dot(vgroup sum, vq4 low, vq4 high, vn128 w) {
    for (int l = 0; l < 16; l++)
        for (int p = 0; p < 4; p++) {
            int32_t byte = w.at[4 * l + p];
            sum.i[l] += (byte & 15) * (int8_t)low.q[p] + (byte >> 4) * (int8_t)high.q[p];
        }
    return sum;
}
LANES_INLINE vi16 vg_sum(vgroup sum, int32_t start) {
    LANES_EACH(sum.i[l] += start);
    return sum;
}

#endif
