/* lanes_avx2.h: sixteen lanes as two ymm registers. Meanings: lanes_base.h. */
#ifndef NLP_TENSOR_LANES_AVX2_H
#define NLP_TENSOR_LANES_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LANES_NAME        "avx2"
#define LANES_TILE_PANELS 1
#define LANES_INLINE      static inline __attribute__((always_inline))
/* The same operation on both halves. */
#define LANES_HALVES(type, expression_a, expression_b) ((type){expression_a, expression_b})

typedef struct v16 {
    __m256 a, b;
} v16;
typedef struct vi16 {
    __m256i a, b;
} vi16;
typedef struct vb64 {
    __m256i a, b;
} vb64;
typedef __m256i vq4;
typedef struct vs32 {
    __m256i a, b;
} vs32; /* widened to 16 bits */
typedef __m256i vq2;
typedef struct vn128 {
    __m256i low_a, low_b, high_a, high_b;
} vn128;
typedef vi16 vgroup; /* pairs of 16 bits: |sum| <= 8 * 2 * 15 * 127 = 30,480 */

LANES_INLINE v16 v_set(float x) {
    return LANES_HALVES(v16, _mm256_set1_ps(x), _mm256_set1_ps(x));
}
LANES_INLINE v16 v_load(const float *p) {
    return LANES_HALVES(v16, _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
LANES_INLINE void v_store(float *p, v16 x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
/* All ones in the first n of 8 lanes. */
LANES_INLINE __m256i first_mask(long n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
LANES_INLINE v16 v_load_n(const float *p, size_t n) {
    return LANES_HALVES(v16, _mm256_maskload_ps(p, first_mask((long)n)),
                        _mm256_maskload_ps(p + 8, first_mask((long)n - 8)));
}
LANES_INLINE void v_store_n(float *p, v16 x, size_t n) {
    _mm256_maskstore_ps(p, first_mask((long)n), x.a);
    _mm256_maskstore_ps(p + 8, first_mask((long)n - 8), x.b);
}
LANES_INLINE v16 v_first(v16 x, v16 y, size_t n) {
    return LANES_HALVES(v16, _mm256_blendv_ps(y.a, x.a, _mm256_castsi256_ps(first_mask((long)n))),
                        _mm256_blendv_ps(y.b, x.b, _mm256_castsi256_ps(first_mask((long)n - 8))));
}
LANES_INLINE v16 v_add(v16 x, v16 y) {
    return LANES_HALVES(v16, _mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b));
}
LANES_INLINE v16 v_sub(v16 x, v16 y) {
    return LANES_HALVES(v16, _mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b));
}
LANES_INLINE v16 v_mul(v16 x, v16 y) {
    return LANES_HALVES(v16, _mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b));
}
LANES_INLINE v16 v_div(v16 x, v16 y) {
    return LANES_HALVES(v16, _mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b));
}
LANES_INLINE v16 v_fma(v16 x, v16 y, v16 z) {
    return LANES_HALVES(v16, _mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b));
}
LANES_INLINE v16 v_max(v16 x, v16 y) {
    return LANES_HALVES(v16, _mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b));
}
LANES_INLINE v16 v_min(v16 x, v16 y) {
    return LANES_HALVES(v16, _mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b));
}
LANES_INLINE v16 v_abs(v16 x) {
    __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
    return LANES_HALVES(v16, _mm256_and_ps(x.a, mask), _mm256_and_ps(x.b, mask));
}
LANES_INLINE __m256 max_bits(__m256 x, __m256 y) {
    return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(x), _mm256_castps_si256(y)));
}
LANES_INLINE v16 v_max_bits(v16 x, v16 y) {
    return LANES_HALVES(v16, max_bits(x.a, y.a), max_bits(x.b, y.b));
}
LANES_INLINE v16 v_round(v16 x) {
    return LANES_HALVES(v16, _mm256_round_ps(x.a, 8), _mm256_round_ps(x.b, 8));
}
LANES_INLINE __m256 scale2(__m256 x, __m256 n) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}
LANES_INLINE v16 v_scale2(v16 x, v16 n) {
    return LANES_HALVES(v16, scale2(x.a, n.a), scale2(x.b, n.b));
}
LANES_INLINE v16 v_zero_below(v16 x, float limit, v16 y) {
    __m256 l = _mm256_set1_ps(limit);
    return LANES_HALVES(v16, _mm256_andnot_ps(_mm256_cmp_ps(x.a, l, _CMP_LT_OQ), y.a),
                        _mm256_andnot_ps(_mm256_cmp_ps(x.b, l, _CMP_LT_OQ), y.b));
}
LANES_INLINE float v_sum(v16 x) {
    __m256 eight = _mm256_add_ps(x.a, x.b);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
LANES_INLINE float v_top_bits(v16 x) {
    __m256 eight = max_bits(x.a, x.b);
    __m128i four = _mm_max_epi32(_mm_castps_si128(_mm256_castps256_ps128(eight)),
                                 _mm_castps_si128(_mm256_extractf128_ps(eight, 1)));
    __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xB1))));
}
LANES_INLINE float v_top(v16 x) {
    __m256 eight = _mm256_max_ps(x.a, x.b);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
LANES_INLINE void v_store_u8(uint8_t *p, v16 x, int32_t zero) {
    __m256i z = _mm256_set1_epi32(zero);
    __m256i a = _mm256_add_epi32(_mm256_cvtps_epi32(x.a), z);
    __m256i b = _mm256_add_epi32(_mm256_cvtps_epi32(x.b), z);
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
    __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0xD8);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(bytes));
}
LANES_INLINE __m128i store_words(v16 x) {
    __m256i words = _mm256_permute4x64_epi64(
        _mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)), 0xD8);
    return _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}
LANES_INLINE void v_store_s8(int8_t *p, v16 x) {
    _mm_storeu_si128((__m128i *)p, store_words(x));
}
LANES_INLINE void v_store_s16(int16_t *p, v16 x) {
    _mm256_storeu_si256(
        (__m256i *)p,
        _mm256_permute4x64_epi64(
            _mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)), 0xD8));
}
LANES_INLINE v16 v_load_half(const uint16_t *p) {
    return LANES_HALVES(v16, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                        _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8))));
}
LANES_INLINE void v_store_half(uint16_t *p, v16 x) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
LANES_INLINE v16 v_load_s8(const int8_t *p) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    return LANES_HALVES(v16, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))));
}

/* ---- Integers ---- */
LANES_INLINE vi16 vi_set(int32_t x) {
    return LANES_HALVES(vi16, _mm256_set1_epi32(x), _mm256_set1_epi32(x));
}
LANES_INLINE vi16 vi_load(const int32_t *p) {
    return LANES_HALVES(vi16, _mm256_loadu_si256((const __m256i *)p),
                        _mm256_loadu_si256((const __m256i *)(p + 8)));
}
LANES_INLINE v16 vi_to_float(vi16 x) {
    return LANES_HALVES(v16, _mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b));
}
LANES_INLINE vb64 vb_load(const int8_t *p) {
    return LANES_HALVES(vb64, _mm256_load_si256((const __m256i *)p),
                        _mm256_load_si256((const __m256i *)(p + 32)));
}
LANES_INLINE vq4 vq_load(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}
/* u8 x s7 pairs stay below 2 * 255 * 63 = 32,130: one maddubs is exact. */
LANES_INLINE vi16 vi_dot(vi16 sum, vq4 x, vb64 w) {
    __m256i ones = _mm256_set1_epi16(1);
    return LANES_HALVES(
        vi16, _mm256_add_epi32(sum.a, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w.a), ones)),
        _mm256_add_epi32(sum.b, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w.b), ones)));
}
LANES_INLINE vs32 vs_load(const int8_t *p) {
    return LANES_HALVES(vs32, _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)p)),
                        _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(p + 16))));
}
LANES_INLINE vq2 vq2_load(const int16_t *p) { /* two are four bytes */
    return vq_load((const uint8_t *)p);
}
LANES_INLINE vi16 vi_dot2(vi16 sum, vq2 x, vs32 w) {
    return LANES_HALVES(vi16, _mm256_add_epi32(sum.a, _mm256_madd_epi16(x, w.a)),
                        _mm256_add_epi32(sum.b, _mm256_madd_epi16(x, w.b)));
}
LANES_INLINE vn128 vn_load(const uint8_t *p) {
    __m256i nibble = _mm256_set1_epi8(15), a = _mm256_load_si256((const __m256i *)p),
            b = _mm256_load_si256((const __m256i *)(p + 32));
    return (vn128){_mm256_and_si256(a, nibble), _mm256_and_si256(b, nibble),
                   _mm256_and_si256(_mm256_srli_epi16(a, 4), nibble),
                   _mm256_and_si256(_mm256_srli_epi16(b, 4), nibble)};
}
LANES_INLINE vgroup vg_zero(void) {
    return LANES_HALVES(vgroup, _mm256_setzero_si256(), _mm256_setzero_si256());
}
/* gcc would make all products of a group first and keep them in memory, but not around an asm. */
LANES_INLINE __m256i add_pairs(__m256i sum, __m256i pairs) {
    sum = _mm256_add_epi16(sum, pairs);
    __asm__("" : "+x"(sum));
    return sum;
}
LANES_INLINE vgroup vg_dot(vgroup sum, vq4 low, vq4 high, vn128 w) {
    sum.a = add_pairs(sum.a, _mm256_maddubs_epi16(w.low_a, low));
    sum.b = add_pairs(sum.b, _mm256_maddubs_epi16(w.low_b, low));
    sum.a = add_pairs(sum.a, _mm256_maddubs_epi16(w.high_a, high));
    sum.b = add_pairs(sum.b, _mm256_maddubs_epi16(w.high_b, high));
    return sum;
}
LANES_INLINE vi16 vg_sum(vgroup sum, int32_t start) {
    __m256i ones = _mm256_set1_epi16(1), first = _mm256_set1_epi32(start);
    return LANES_HALVES(vi16, _mm256_add_epi32(_mm256_madd_epi16(sum.a, ones), first),
                        _mm256_add_epi32(_mm256_madd_epi16(sum.b, ones), first));
}

#endif
