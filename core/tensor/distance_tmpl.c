/* distance_tmpl.c: what a search sums over signatures and bytes, compiled once per ISA level. Integers, so
 * the order of a sum does not matter. */
#include <string.h>

#include "tensor/lanes.h"

/* x86-64 counts bits in one instruction from the level AVX2 on; elsewhere the builtin is one. */
LANES_INLINE uint32_t count_bits(uint64_t x) {
#if defined(__POPCNT__) || !defined(__x86_64__)
    return (uint32_t)__builtin_popcountll(x);
#else
    x -= (x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (uint32_t)((x * 0x0101010101010101u) >> 56);
#endif
}

LANES_INLINE void distances_of(const uint8_t *query, const uint8_t *signatures, size_t n,
                               size_t n_words, uint32_t *distances) {
    for (size_t i = 0; i < n; i++, signatures += 8 * n_words) {
        uint32_t sum = 0;
        for (size_t w = 0; w < n_words; w++) {
            uint64_t a, b;
            memcpy(&a, query + 8 * w, sizeof a);
            memcpy(&b, signatures + 8 * w, sizeof b);
            sum += count_bits(a ^ b);
        }
        distances[i] = sum;
    }
}

/* Widths of many models get loops of a known length. */
void NLP_LEVEL(hamming)(const uint8_t *query, const uint8_t *signatures, size_t n, size_t n_words,
                        uint32_t *distances);
void NLP_LEVEL(hamming)(const uint8_t *query, const uint8_t *signatures, size_t n, size_t n_words,
                        uint32_t *distances) {
    if (n_words == 6)
        distances_of(query, signatures, n, 6, distances);
    else if (n_words == 12)
        distances_of(query, signatures, n, 12, distances);
    else if (n_words == 16)
        distances_of(query, signatures, n, 16, distances);
    else
        distances_of(query, signatures, n, n_words, distances);
}

LANES_INLINE int32_t dot_of_part(const int16_t *query, const int8_t *row, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        int16_t wide = row[i]; /* both of one type is what compilers turn into a product of pairs */
        sum += query[i] * wide;
    }
    return sum;
}

LANES_INLINE int32_t norm_of_part(const int8_t *row, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        int16_t wide = row[i];
        sum += wide * wide;
    }
    return sum;
}

int64_t NLP_LEVEL(dot_i16_i8)(const int16_t *query, const int8_t *row, size_t n, int64_t *norm);
int64_t NLP_LEVEL(dot_i16_i8)(const int16_t *query, const int8_t *row, size_t n, int64_t *norm) {
    int64_t sum = 0;
    *norm = 0;
    for (size_t at = 0; at < n; at += NLP_I16_PART) {
        size_t part = n - at < NLP_I16_PART ? n - at : NLP_I16_PART;
        sum += dot_of_part(query + at, row + at, part);
        *norm += norm_of_part(row + at, part);
    }
    return sum;
}
