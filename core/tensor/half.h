/* half.h: half floats (IEEE 754 binary16) in plain C, as F16C and NEON convert them to the bit. */
#ifndef NLP_TENSOR_HALF_H
#define NLP_TENSOR_HALF_H

#include <stdint.h>
#include <string.h>

/* Exact: every half is a float; subnormal halves are normalised by hand. */
static inline float nlp_f32_from_f16(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31,
             fraction = bits & 1023;
    uint32_t wide;
    float value;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24, exact in f32 */
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    wide = exponent < 31 ? sign | (exponent + 112) << 23 | fraction << 13
                         : sign | 0x7F800000 | fraction << 13 | (fraction ? 0x400000 : 0);
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* The nearest half, ties to even. What rounds to 65,536 or more is infinite; a NaN stays one and
 * becomes quiet. */
static inline uint16_t nlp_f16_from_f32(float value) {
    uint32_t bits, sign, size;
    memcpy(&bits, &value, sizeof bits);
    sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
    if (size > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (size >> 13 & 0x3FF));
    if (size >= 0x47800000) return (uint16_t)(sign | 0x7C00); /* 65,536 */
    if (size < 0x38800000) {          /* below 2^-14 a half is a whole number of 2^-24 */
        float steps, half_ulp = 0.5f; /* adding 2^-1 lines the steps up with a float's last bit */
        memcpy(&steps, &size, sizeof steps);
        steps += half_ulp;
        memcpy(&size, &steps, sizeof size);
        return (uint16_t)(sign | (size - 0x3F000000));
    }
    size += 0xFFF + (size >> 13 & 1); /* half to even; a carry runs into the exponent */
    return (uint16_t)(sign | (size - 0x38000000) >> 13);
}

#endif
