/* gguf_blocks.c: the block types of GGUF to floats. Layouts: ggml's ggml-common.h; the order of
 * operations is that of its dequantize_row functions, so the floats are the same to the bit. */
#include <string.h>

#include "source.h"
#include "tensor/quant.h"

static float half_at(const uint8_t *at) {
    uint16_t bits;
    memcpy(&bits, at, 2);
    return nlp_f32_from_f16(bits);
}

/* ---- Blocks of 32 ---- */

static void q4(const uint8_t *b, bool has_minimum, float *y) {
    float d = half_at(b), m = has_minimum ? half_at(b + 2) : 0;
    const uint8_t *q = b + (has_minimum ? 4 : 2);
    for (int i = 0; i < 16; i++) {
        int low = q[i] & 15, high = q[i] >> 4;
        y[i] = has_minimum ? (float)low * d + m : (float)(low - 8) * d;
        y[i + 16] = has_minimum ? (float)high * d + m : (float)(high - 8) * d;
    }
}

static void q5(const uint8_t *b, bool has_minimum, float *y) {
    float d = half_at(b), m = has_minimum ? half_at(b + 2) : 0;
    const uint8_t *bits = b + (has_minimum ? 4 : 2), *q = bits + 4;
    uint32_t fifth;
    memcpy(&fifth, bits, 4);
    for (int i = 0; i < 16; i++) {
        int low = (q[i] & 15) | (int)(fifth >> i & 1) << 4,
            high = q[i] >> 4 | (int)(fifth >> (i + 16) & 1) << 4;
        y[i] = has_minimum ? (float)low * d + m : (float)(low - 16) * d;
        y[i + 16] = has_minimum ? (float)high * d + m : (float)(high - 16) * d;
    }
}

static void q8_0(const uint8_t *b, float *y) {
    float d = half_at(b);
    for (int i = 0; i < 32; i++) y[i] = (float)(int8_t)b[2 + i] * d;
}

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
/* twice the values of e2m1; the scale is halved for it */
static const int8_t fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static void sixteen_values(const int8_t *values, const uint8_t *q, float d, float *y) {
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)values[q[i] & 15];
        y[i + 16] = d * (float)values[q[i] >> 4];
    }
}

/* 2^(e - 128): the exponent of an f32, below 2 a subnormal. */
static float half_power(uint8_t e) {
    uint32_t bits = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void iq4_xs(const uint8_t *b, float *y) {
    float d = half_at(b);
    uint16_t high;
    memcpy(&high, b + 2, 2);
    for (int i = 0; i < 8; i++) {
        int scale = (b[4 + i / 2] >> 4 * (i % 2) & 15) | (high >> 2 * i & 3) << 4;
        sixteen_values(iq4_values, b + 8 + 16 * i, d * (float)(scale - 32), y + 32 * i);
    }
}

/* ---- Blocks of 256 ---- */

static void q2_k(const uint8_t *b, float *y) {
    const uint8_t *scales = b, *q = b + 16;
    float d = half_at(b + 80), m = half_at(b + 82);
    for (int half = 0; half < 2; half++, q += 32)
        for (int shift = 0; shift < 8; shift += 2)
            for (int part = 0; part < 2; part++, scales++)
                for (int i = 0; i < 16; i++)
                    *y++ = d * (float)(*scales & 15) * (float)(q[16 * part + i] >> shift & 3) -
                           m * (float)(*scales >> 4);
}

/* Sixteen 6-bit scales: low nibbles in bytes 0-7, high pairs in bytes 8-11. */
static int q3_scale(const uint8_t *s, int i) {
    int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4, high = s[8 + i % 4] >> 2 * (i / 4) & 3;
    return (low | high << 4) - 32;
}

static void q3_k(const uint8_t *b, float *y) {
    const uint8_t *mask = b, *q = b + 32, *scales = b + 96;
    float d = half_at(b + 108);
    int scale = 0;
    for (int half = 0; half < 2; half++, q += 32)
        for (int bit = 0; bit < 4; bit++)
            for (int part = 0; part < 2; part++) {
                float step = d * (float)q3_scale(scales, scale++);
                for (int i = 16 * part; i < 16 * part + 16; i++) {
                    int value = (q[i] >> 2 * bit & 3) - (mask[i] >> (4 * half + bit) & 1 ? 0 : 4);
                    *y++ = step * (float)value;
                }
            }
}

/* Eight pairs of 6-bit scale and minimum in 12 bytes. */
static void scale_and_minimum(const uint8_t *q, int j, float *scale, float *minimum) {
    int s = j < 4 ? q[j] & 63 : (q[j + 4] & 15) | q[j - 4] >> 6 << 4;
    int m = j < 4 ? q[j + 4] & 63 : q[j + 4] >> 4 | q[j] >> 6 << 4;
    *scale = (float)s;
    *minimum = (float)m;
}

static void q4_k(const uint8_t *b, float *y) {
    float d = half_at(b), least = half_at(b + 2), s, m;
    const uint8_t *q = b + 16;
    for (int j = 0; j < 8; j++) {
        scale_and_minimum(b + 4, j, &s, &m);
        float step = d * s, minimum = least * m;
        for (int i = 0; i < 32; i++) *y++ = step * (float)(q[i] >> 4 * (j % 2) & 15) - minimum;
        if (j % 2) q += 32;
    }
}

static void q5_k(const uint8_t *b, float *y) {
    float d = half_at(b), least = half_at(b + 2), s, m;
    const uint8_t *fifth = b + 16, *q = b + 48;
    for (int j = 0; j < 8; j++) {
        scale_and_minimum(b + 4, j, &s, &m);
        float step = d * s, minimum = least * m;
        for (int i = 0; i < 32; i++) {
            int value = (q[i] >> 4 * (j % 2) & 15) + (fifth[i] >> j & 1 ? 16 : 0);
            *y++ = step * (float)value - minimum;
        }
        if (j % 2) q += 32;
    }
}

static void q6_k(const uint8_t *b, float *y) {
    float d = half_at(b + 208);
    for (int half = 0; half < 2; half++)
        for (int quarter = 0; quarter < 4; quarter++)
            for (int i = 0; i < 32; i++) {
                const uint8_t *low = b + 64 * half, *high = b + 128 + 32 * half;
                int8_t scale = (int8_t)b[192 + 8 * half + 2 * quarter + i / 16];
                int nibble = low[i + 32 * (quarter % 2)] >> 4 * (quarter / 2) & 15;
                int value = (nibble | (high[i] >> 2 * quarter & 3) << 4) - 32;
                *y++ = d * (float)scale * (float)value;
            }
}

void nlp_block_decode(nlp_source_dtype dtype, const uint8_t *b, float *y) {
    switch (dtype) {
    case NLP_SOURCE_Q4_0:
    case NLP_SOURCE_Q4_1:
        q4(b, dtype == NLP_SOURCE_Q4_1, y);
        break;
    case NLP_SOURCE_Q5_0:
    case NLP_SOURCE_Q5_1:
        q5(b, dtype == NLP_SOURCE_Q5_1, y);
        break;
    case NLP_SOURCE_Q8_0:
        q8_0(b, y);
        break;
    case NLP_SOURCE_Q2_K:
        q2_k(b, y);
        break;
    case NLP_SOURCE_Q3_K:
        q3_k(b, y);
        break;
    case NLP_SOURCE_Q4_K:
        q4_k(b, y);
        break;
    case NLP_SOURCE_Q5_K:
        q5_k(b, y);
        break;
    case NLP_SOURCE_Q6_K:
        q6_k(b, y);
        break;
    case NLP_SOURCE_IQ4_NL:
        sixteen_values(iq4_values, b + 2, half_at(b), y);
        break;
    case NLP_SOURCE_IQ4_XS:
        iq4_xs(b, y);
        break;
    case NLP_SOURCE_MXFP4:
        sixteen_values(fp4_values, b + 1, half_power(b[0]), y);
        break;
    default:
        break;
    }
}
