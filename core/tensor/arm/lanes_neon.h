/* lanes_neon.h: sixteen lanes as four registers of AArch64's Advanced SIMD; with LANES_DOTPROD also products of four
 * bytes (SDOT), with LANES_I8MM those of unsigned by signed bytes (USDOT). Meanings: lanes_base.h. */
#ifndef NLP_TENSOR_LANES_NEON_H
#define NLP_TENSOR_LANES_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(LANES_I8MM)
#define LANES_NAME "i8mm"
#elif defined(LANES_DOTPROD)
#define LANES_NAME "dotprod"
#else
#define LANES_NAME "neon"
#endif
#define LANES_TILE_PANELS 1
#define LANES_INLINE      static inline __attribute__((always_inline))
/* The same function of all quarters. */
#define LANES_EACH1(type, f, x) ((type){f((x).a), f((x).b), f((x).c), f((x).d)})
#define LANES_EACH2(type, f, x, y)                                                                 \
    ((type){f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d)})
#define LANES_EACH3(type, f, x, y, z)                                                              \
    ((type){f((x).a, (y).a, (z).a), f((x).b, (y).b, (z).b), f((x).c, (y).c, (z).c),                \
            f((x).d, (y).d, (z).d)})

typedef struct v16 {
    float32x4_t a, b, c, d;
} v16;
typedef struct vi16 {
    int32x4_t a, b, c, d;
} vi16;
typedef struct vb64 {
    int8x16_t a, b, c, d;
} vb64;
typedef int8x16_t vq4;
typedef struct vs32 {
    int16x8_t a, b, c, d;
} vs32; /* widened to 16 bits */
typedef int16x8_t vq2;
typedef struct vn128 {
    vb64 low, high;
} vn128;
typedef vi16 vgroup;

LANES_INLINE v16 v_set(float x) {
    float32x4_t four = vdupq_n_f32(x);
    return (v16){four, four, four, four};
}
LANES_INLINE v16 v_load(const float *p) {
    return (v16){vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
LANES_INLINE void v_store(float *p, v16 x) {
    vst1q_f32(p, x.a), vst1q_f32(p + 4, x.b), vst1q_f32(p + 8, x.c), vst1q_f32(p + 12, x.d);
}
LANES_INLINE v16 v_load_n(const float *p, size_t n) {
    float own[16] = {0};
    memcpy(own, p, n * sizeof *p);
    return v_load(own);
}
LANES_INLINE void v_store_n(float *p, v16 x, size_t n) {
    float own[16];
    v_store(own, x);
    memcpy(p, own, n * sizeof *p);
}
/* All ones in the first n of 4 lanes. */
LANES_INLINE uint32x4_t first_mask(long n) {
    static const int32_t lanes[4] = {0, 1, 2, 3};
    return vcgtq_s32(vdupq_n_s32((int32_t)n), vld1q_s32(lanes));
}
LANES_INLINE v16 v_first(v16 x, v16 y, size_t n) {
    long left = (long)n;
    return (v16){vbslq_f32(first_mask(left), x.a, y.a), vbslq_f32(first_mask(left - 4), x.b, y.b),
                 vbslq_f32(first_mask(left - 8), x.c, y.c),
                 vbslq_f32(first_mask(left - 12), x.d, y.d)};
}
LANES_INLINE v16 v_add(v16 x, v16 y) {
    return LANES_EACH2(v16, vaddq_f32, x, y);
}
LANES_INLINE v16 v_sub(v16 x, v16 y) {
    return LANES_EACH2(v16, vsubq_f32, x, y);
}
LANES_INLINE v16 v_mul(v16 x, v16 y) {
    return LANES_EACH2(v16, vmulq_f32, x, y);
}
LANES_INLINE v16 v_div(v16 x, v16 y) {
    return LANES_EACH2(v16, vdivq_f32, x, y);
}
LANES_INLINE v16 v_fma(v16 x, v16 y, v16 z) {
    return LANES_EACH3(v16, vfmaq_f32, z, x, y);
}
/* Not the instructions for it: those give NaN where either is. */
LANES_INLINE float32x4_t larger(float32x4_t x, float32x4_t y) {
    return vbslq_f32(vcgtq_f32(x, y), x, y);
}
LANES_INLINE float32x4_t smaller(float32x4_t x, float32x4_t y) {
    return vbslq_f32(vcltq_f32(x, y), x, y);
}
LANES_INLINE v16 v_max(v16 x, v16 y) {
    return LANES_EACH2(v16, larger, x, y);
}
LANES_INLINE v16 v_min(v16 x, v16 y) {
    return LANES_EACH2(v16, smaller, x, y);
}
LANES_INLINE v16 v_abs(v16 x) {
    return LANES_EACH1(v16, vabsq_f32, x);
}
LANES_INLINE float32x4_t max_bits(float32x4_t x, float32x4_t y) {
    return vreinterpretq_f32_s32(vmaxq_s32(vreinterpretq_s32_f32(x), vreinterpretq_s32_f32(y)));
}
LANES_INLINE v16 v_max_bits(v16 x, v16 y) {
    return LANES_EACH2(v16, max_bits, x, y);
}
LANES_INLINE v16 v_round(v16 x) {
    return LANES_EACH1(v16, vrndnq_f32, x);
}
LANES_INLINE float32x4_t scale2(float32x4_t x, float32x4_t n) {
    return vreinterpretq_f32_s32(
        vaddq_s32(vreinterpretq_s32_f32(x), vshlq_n_s32(vcvtnq_s32_f32(n), 23)));
}
LANES_INLINE v16 v_scale2(v16 x, v16 n) {
    return LANES_EACH2(v16, scale2, x, n);
}
LANES_INLINE float32x4_t zero_below(float32x4_t x, float32x4_t limit, float32x4_t y) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), vcltq_f32(x, limit)));
}
LANES_INLINE v16 v_zero_below(v16 x, float limit, v16 y) {
    v16 l = v_set(limit);
    return LANES_EACH3(v16, zero_below, x, l, y);
}
LANES_INLINE float v_sum(v16 x) {
    float32x4_t four = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
LANES_INLINE float v_top_bits(v16 x) {
    float32x4_t four = max_bits(max_bits(x.a, x.b), max_bits(x.c, x.d));
    int32_t top = vmaxvq_s32(vreinterpretq_s32_f32(four));
    float result;
    memcpy(&result, &top, sizeof result);
    return result;
}
LANES_INLINE float v_top(v16 x) {
    return vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(x.a, x.b), vmaxnmq_f32(x.c, x.d)));
}
/* Rounded half to even. */
LANES_INLINE vi16 to_integers(v16 x) {
    return LANES_EACH1(vi16, vcvtnq_s32_f32, x);
}
LANES_INLINE int16x8_t narrow(int32x4_t x, int32x4_t y) {
    return vcombine_s16(vqmovn_s32(x), vqmovn_s32(y));
}
LANES_INLINE void v_store_u8(uint8_t *p, v16 x, int32_t zero) {
    vi16 i = to_integers(x);
    int32x4_t z = vdupq_n_s32(zero);
    int16x8_t low = narrow(vaddq_s32(i.a, z), vaddq_s32(i.b, z)),
              high = narrow(vaddq_s32(i.c, z), vaddq_s32(i.d, z));
    vst1q_u8(p, vcombine_u8(vqmovun_s16(low), vqmovun_s16(high)));
}
LANES_INLINE void v_store_s8(int8_t *p, v16 x) {
    vi16 i = to_integers(x);
    vst1q_s8(p, vcombine_s8(vqmovn_s16(narrow(i.a, i.b)), vqmovn_s16(narrow(i.c, i.d))));
}
LANES_INLINE void v_store_s16(int16_t *p, v16 x) {
    vi16 i = to_integers(x);
    vst1q_s16(p, narrow(i.a, i.b)), vst1q_s16(p + 8, narrow(i.c, i.d));
}
LANES_INLINE float32x4_t four_halves(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
LANES_INLINE v16 v_load_half(const uint16_t *p) {
    return (v16){four_halves(p), four_halves(p + 4), four_halves(p + 8), four_halves(p + 12)};
}
LANES_INLINE void v_store_half(uint16_t *p, v16 x) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x.a)));
    vst1_u16(p + 4, vreinterpret_u16_f16(vcvt_f16_f32(x.b)));
    vst1_u16(p + 8, vreinterpret_u16_f16(vcvt_f16_f32(x.c)));
    vst1_u16(p + 12, vreinterpret_u16_f16(vcvt_f16_f32(x.d)));
}
LANES_INLINE v16 v_load_s8(const int8_t *p) {
    int8x16_t x = vld1q_s8(p);
    int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_high_s8(x);
    return (v16){vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
                 vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))};
}

/* ---- Integers ---- */
LANES_INLINE vi16 vi_set(int32_t x) {
    int32x4_t four = vdupq_n_s32(x);
    return (vi16){four, four, four, four};
}
LANES_INLINE vi16 vi_load(const int32_t *p) {
    return (vi16){vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12)};
}
LANES_INLINE v16 vi_to_float(vi16 x) {
    return LANES_EACH1(v16, vcvtq_f32_s32, x);
}
LANES_INLINE vb64 vb_load(const int8_t *p) {
    return (vb64){vld1q_s8(p), vld1q_s8(p + 16), vld1q_s8(p + 32), vld1q_s8(p + 48)};
}
/* Four bytes, the same for all columns. */
LANES_INLINE vq4 vq_load(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
/* Four columns: sum + the products of bytes, the left ones unsigned in dot_us. */
#if defined(LANES_DOTPROD) || defined(LANES_I8MM)
LANES_INLINE int32x4_t dot_ss(int32x4_t sum, int8x16_t x, int8x16_t w) {
    return vdotq_s32(sum, x, w);
}
#else
LANES_INLINE int32x4_t add_products(int32x4_t sum, int16x8_t x, int8x16_t w) {
    int16x8_t low = vmovl_s8(vget_low_s8(w)), high = vmovl_high_s8(w);
    int32x4_t two =
                  vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(low)), vmull_high_s16(x, low)),
              next = vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(high)),
                                vmull_high_s16(x, high));
    return vaddq_s32(sum, vpaddq_s32(two, next));
}
LANES_INLINE int32x4_t dot_ss(int32x4_t sum, int8x16_t x, int8x16_t w) {
    return add_products(sum, vmovl_s8(vget_low_s8(x)), w); /* its halves are equal */
}
#endif
#if defined(LANES_I8MM)
LANES_INLINE int32x4_t dot_us(int32x4_t sum, int8x16_t x, int8x16_t w) {
    return vusdotq_s32(sum, vreinterpretq_u8_s8(x), w);
}
#elif defined(LANES_DOTPROD)
/* u = (u - 128) + 128: the sum of 128 w is the same for all rows, so compilers take it once. */
LANES_INLINE int32x4_t dot_us(int32x4_t sum, int8x16_t x, int8x16_t w) {
    int32x4_t of_weights = vdotq_s32(vdupq_n_s32(0), vdupq_n_s8(-128), w);
    int8x16_t less = veorq_s8(x, vdupq_n_s8(-128));
    return vdotq_s32(vsubq_s32(sum, of_weights), less, w);
}
#else
LANES_INLINE int32x4_t dot_us(int32x4_t sum, int8x16_t x, int8x16_t w) {
    int16x8_t wide = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(vreinterpretq_u8_s8(x))));
    return add_products(sum, wide, w);
}
#endif
LANES_INLINE vi16 vi_dot(vi16 sum, vq4 x, vb64 w) {
    return (vi16){dot_us(sum.a, x, w.a), dot_us(sum.b, x, w.b), dot_us(sum.c, x, w.c),
                  dot_us(sum.d, x, w.d)};
}
LANES_INLINE vs32 vs_load(const int8_t *p) {
    int8x16_t low = vld1q_s8(p), high = vld1q_s8(p + 16);
    return (vs32){vmovl_s8(vget_low_s8(low)), vmovl_high_s8(low), vmovl_s8(vget_low_s8(high)),
                  vmovl_high_s8(high)};
}
LANES_INLINE vq2 vq2_load(const int16_t *p) {
    int32_t two;
    memcpy(&two, p, sizeof two);
    return vreinterpretq_s16_s32(vdupq_n_s32(two));
}
LANES_INLINE int32x4_t dot_pairs(int32x4_t sum, int16x8_t x, int16x8_t w) {
    return vaddq_s32(sum,
                     vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(w)), vmull_high_s16(x, w)));
}
LANES_INLINE vi16 vi_dot2(vi16 sum, vq2 x, vs32 w) {
    return (vi16){dot_pairs(sum.a, x, w.a), dot_pairs(sum.b, x, w.b), dot_pairs(sum.c, x, w.c),
                  dot_pairs(sum.d, x, w.d)};
}
LANES_INLINE int8x16_t low_nibbles(int8x16_t bytes) {
    return vandq_s8(bytes, vdupq_n_s8(15));
}
LANES_INLINE int8x16_t high_nibbles(int8x16_t bytes) {
    return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(bytes), 4));
}
LANES_INLINE vn128 vn_load(const uint8_t *p) {
    vb64 bytes = vb_load((const int8_t *)p);
    return (vn128){LANES_EACH1(vb64, low_nibbles, bytes), LANES_EACH1(vb64, high_nibbles, bytes)};
}
LANES_INLINE vgroup vg_zero(void) {
    return vi_set(0);
}
LANES_INLINE vgroup vg_dot(vgroup sum, vq4 low, vq4 high, vn128 w) {
    return (vgroup){dot_ss(dot_ss(sum.a, low, w.low.a), high, w.high.a),
                    dot_ss(dot_ss(sum.b, low, w.low.b), high, w.high.b),
                    dot_ss(dot_ss(sum.c, low, w.low.c), high, w.high.c),
                    dot_ss(dot_ss(sum.d, low, w.low.d), high, w.high.d)};
}
LANES_INLINE vi16 vg_sum(vgroup sum, int32_t start) {
    vi16 starts = vi_set(start);
    return LANES_EACH2(vi16, vaddq_s32, sum, starts);
}

#endif
