/* lanes_avx512.h: sixteen lanes as one zmm register (AVX-512 F, BW, VL, DQ; with LANES_VNNI also
 * VNNI). Meanings: lanes_base.h. */
#ifndef NLP_TENSOR_LANES_AVX512_H
#define NLP_TENSOR_LANES_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef LANES_VNNI
#define LANES_NAME "avx512vnni"
#else
#define LANES_NAME "avx512"
#endif
#define LANES_TILE_PANELS 4
#define LANES_INLINE      static inline __attribute__((always_inline))

typedef __m512 v16;
typedef __m512i vi16;
typedef __m512i vb64;
typedef __m512i vq4;
typedef __m512i vs32; /* widened to 16 bits */
typedef __m512i vq2;
typedef struct vn128 {
    __m512i low, high;
} vn128;
/* without VNNI pairs of 16 bits: |sum| <= 8 * 2 * 15 * 127 = 30,480 */
typedef __m512i vgroup;

LANES_INLINE __mmask16 first_mask(size_t n) {
    return (__mmask16)((1u << n) - 1);
}
LANES_INLINE v16 v_set(float x) {
    return _mm512_set1_ps(x);
}
LANES_INLINE v16 v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
LANES_INLINE void v_store(float *p, v16 x) {
    _mm512_storeu_ps(p, x);
}
LANES_INLINE v16 v_load_n(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps(first_mask(n), p);
}
LANES_INLINE void v_store_n(float *p, v16 x, size_t n) {
    _mm512_mask_storeu_ps(p, first_mask(n), x);
}
LANES_INLINE v16 v_first(v16 x, v16 y, size_t n) {
    return _mm512_mask_blend_ps(first_mask(n), y, x);
}
LANES_INLINE v16 v_add(v16 x, v16 y) {
    return _mm512_add_ps(x, y);
}
LANES_INLINE v16 v_sub(v16 x, v16 y) {
    return _mm512_sub_ps(x, y);
}
LANES_INLINE v16 v_mul(v16 x, v16 y) {
    return _mm512_mul_ps(x, y);
}
LANES_INLINE v16 v_div(v16 x, v16 y) {
    return _mm512_div_ps(x, y);
}
LANES_INLINE v16 v_fma(v16 x, v16 y, v16 z) {
    return _mm512_fmadd_ps(x, y, z);
}
LANES_INLINE v16 v_max(v16 x, v16 y) {
    return _mm512_max_ps(x, y);
}
LANES_INLINE v16 v_min(v16 x, v16 y) {
    return _mm512_min_ps(x, y);
}
LANES_INLINE v16 v_abs(v16 x) {
    return _mm512_abs_ps(x);
}
LANES_INLINE v16 v_max_bits(v16 x, v16 y) {
    return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(x), _mm512_castps_si512(y)));
}
LANES_INLINE v16 v_round(v16 x) {
    return _mm512_roundscale_ps(x, 8);
}
LANES_INLINE v16 v_scale2(v16 x, v16 n) {
    return _mm512_scalef_ps(x, n);
}
LANES_INLINE v16 v_zero_below(v16 x, float limit, v16 y) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_NLT_UQ), y);
}
LANES_INLINE __m256 upper_half(v16 x) {
    return _mm512_extractf32x8_ps(x, 1);
}
LANES_INLINE float v_sum(v16 x) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), upper_half(x));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
LANES_INLINE float v_top_bits(v16 x) {
    int32_t top = _mm512_reduce_max_epi32(_mm512_castps_si512(x));
    float result;
    memcpy(&result, &top, sizeof result);
    return result;
}
LANES_INLINE float v_top(v16 x) {
    return _mm512_reduce_max_ps(x);
}
LANES_INLINE void v_store_u8(uint8_t *p, v16 x, int32_t zero) {
    __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(zero));
    _mm_storeu_si128((__m128i *)p,
                     _mm512_cvtusepi32_epi8(_mm512_max_epi32(q, _mm512_setzero_si512())));
}
LANES_INLINE void v_store_s8(int8_t *p, v16 x) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)));
}
LANES_INLINE void v_store_s16(int16_t *p, v16 x) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(x)));
}
LANES_INLINE v16 v_load_half(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
LANES_INLINE void v_store_half(uint16_t *p, v16 x) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
LANES_INLINE v16 v_load_s8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/* ---- Integers ---- */
LANES_INLINE vi16 vi_set(int32_t x) {
    return _mm512_set1_epi32(x);
}
LANES_INLINE vi16 vi_load(const int32_t *p) {
    return _mm512_loadu_si512(p);
}
LANES_INLINE v16 vi_to_float(vi16 x) {
    return _mm512_cvtepi32_ps(x);
}
LANES_INLINE vb64 vb_load(const int8_t *p) {
    return _mm512_load_si512(p);
}
LANES_INLINE vq4 vq_load(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}
LANES_INLINE vi16 vi_dot(vi16 sum, vq4 x, vb64 w) {
#ifdef LANES_VNNI
    return _mm512_dpbusd_epi32(sum, x, w);
#else
    /* u8 x s7 pairs stay below 2 * 255 * 63 = 32,130: one maddubs is exact. */
    __m512i pairs = _mm512_maddubs_epi16(x, w);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
#endif
}
LANES_INLINE vs32 vs_load(const int8_t *p) {
    return _mm512_cvtepi8_epi16(_mm256_load_si256((const __m256i *)p));
}
LANES_INLINE vq2 vq2_load(const int16_t *p) { /* two are four bytes */
    return vq_load((const uint8_t *)p);
}
LANES_INLINE vi16 vi_dot2(vi16 sum, vq2 x, vs32 w) {
#ifdef LANES_VNNI
    return _mm512_dpwssd_epi32(sum, x, w);
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w));
#endif
}
LANES_INLINE vn128 vn_load(const uint8_t *p) {
    __m512i nibble = _mm512_set1_epi8(15), bytes = _mm512_load_si512(p);
    return (vn128){_mm512_and_si512(bytes, nibble),
                   _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble)};
}
LANES_INLINE vgroup vg_zero(void) {
    return _mm512_setzero_si512();
}
#ifdef LANES_VNNI
LANES_INLINE vgroup vg_dot(vgroup sum, vq4 low, vq4 high, vn128 w) {
    return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, w.low, low), w.high, high);
}
#else
/* The asm: as in lanes_avx2.h. */
LANES_INLINE vgroup add_pairs(vgroup sum, __m512i pairs) {
    sum = _mm512_add_epi16(sum, pairs);
    __asm__("" : "+v"(sum));
    return sum;
}
LANES_INLINE vgroup vg_dot(vgroup sum, vq4 low, vq4 high, vn128 w) {
    return add_pairs(add_pairs(sum, _mm512_maddubs_epi16(w.low, low)),
                     _mm512_maddubs_epi16(w.high, high));
}
#endif
LANES_INLINE vi16 vg_sum(vgroup sum, int32_t start) {
#ifndef LANES_VNNI
    sum = _mm512_madd_epi16(sum, _mm512_set1_epi16(1));
#endif
    return _mm512_add_epi32(sum, _mm512_set1_epi32(start));
}

#endif
