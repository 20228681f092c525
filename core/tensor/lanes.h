/* lanes.h: the lanes of the ISA level that a template is being compiled for (cmake/isa.cmake
 * defines NLP_ISA_<LEVEL>), and the functions on lanes that are the same everywhere. A template
 * names its functions NLP_LEVEL(name). */
#ifndef NLP_TENSOR_LANES_H
#define NLP_TENSOR_LANES_H

#include "tensor/kernels.h"

#if defined(NLP_ISA_AVX2)
#define NLP_LEVEL(name) nlp_##name##_avx2
#include "tensor/x86/lanes_avx2.h"
#elif defined(NLP_ISA_AVX512)
#define NLP_LEVEL(name) nlp_##name##_avx512
#include "tensor/x86/lanes_avx512.h"
#elif defined(NLP_ISA_AVX512VNNI)
#define NLP_LEVEL(name) nlp_##name##_avx512vnni
#define LANES_VNNI
#include "tensor/x86/lanes_avx512.h"
#elif defined(NLP_ISA_NEON)
#define NLP_LEVEL(name) nlp_##name##_neon
#include "tensor/arm/lanes_neon.h"
#elif defined(NLP_ISA_DOTPROD)
#define NLP_LEVEL(name) nlp_##name##_dotprod
#define LANES_DOTPROD
#include "tensor/arm/lanes_neon.h"
#elif defined(NLP_ISA_I8MM)
#define NLP_LEVEL(name) nlp_##name##_i8mm
#define LANES_I8MM
#include "tensor/arm/lanes_neon.h"
#else
#define NLP_LEVEL(name) nlp_##name##_base
#include "tensor/lanes_base.h"
#endif

/* Loops over constants that must vanish, so that what they index stays in registers; base has no
 * registers to gain. */
#if defined(NLP_ISA_BASE)
#define LANES_UNROLL
#elif defined(__clang__)
#define LANES_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LANES_UNROLL _Pragma("GCC unroll 64")
#endif

/* Asks for a line that is read soon into the second cache level; an address behind the end is harmless.
 * A run of panels is too short for the hardware to foresee, and what comes after it is known here. */
#define LANES_PREFETCH(address) __builtin_prefetch((address), 0, 2)

/* The first `live` lanes, 1 .. 16. */
LANES_INLINE v16 load_live(const float *p, size_t live) {
    return live == 16 ? v_load(p) : v_load_n(p, live);
}
LANES_INLINE void store_live(float *p, v16 x, size_t live) {
    if (live == 16)
        v_store(p, x);
    else
        v_store_n(p, x, live);
}

/* 2^f on -1/2 .. 1/2 by a polynomial of degree 6, the exponent by an integer add: relative error
 * below 2e-7. x is held to -87 .. 88; below -87 the result is exactly 0. */
LANES_INLINE v16 v_exp(v16 x) {
    v16 held = v_min(v_max(x, v_set(-87.0f)), v_set(88.0f));
    v16 n = v_round(v_mul(held, v_set(1.44269504f)));
    v16 f = v_fma(held, v_set(1.44269502f), v_sub(v_set(0), n));
    f = v_fma(held, v_set(1.92596303e-8f), f);
    v16 p = v_set(1.54035304e-4f);
    p = v_fma(p, f, v_set(1.33335581e-3f));
    p = v_fma(p, f, v_set(9.61812911e-3f));
    p = v_fma(p, f, v_set(5.55041087e-2f));
    p = v_fma(p, f, v_set(2.40226507e-1f));
    p = v_fma(p, f, v_set(6.93147181e-1f));
    p = v_fma(p, f, v_set(1.0f));
    return v_zero_below(x, -87.0f, v_scale2(p, n));
}

LANES_INLINE v16 v_sigmoid(v16 x) {
    v16 one = v_set(1.0f);
    return v_div(one, v_add(one, v_exp(v_sub(v_set(0), x))));
}

/* 1 - 2 / (exp(2x) + 1) */
LANES_INLINE v16 v_tanh(v16 x) {
    v16 one = v_set(1.0f), held = v_min(v_max(x, v_set(-20.0f)), v_set(20.0f));
    return v_sub(one, v_div(v_set(2.0f), v_add(v_exp(v_add(held, held)), one)));
}

/* limit * tanh(x / limit): what scores and logits are held by. */
LANES_INLINE v16 v_cap(v16 x, v16 limit) {
    return v_mul(v_tanh(v_div(x, limit)), limit);
}

/* x * Phi(x): Phi - 1/2 = c * P(2c^2 / 5.6^2 - 1) with c = x held to -5.6 .. 5.6 and P of degree
 * 15, fitted for the smallest absolute error, 5.8e-7. No exp, no division. */
LANES_INLINE v16 v_gelu_erf(v16 x) {
    static const float p[16] = {0.126259598f,   -0.0630513276f,  0.0469804655f,   -0.0383436233f,
                                0.0319783048f,  -0.0263373912f,  0.0208791762f,   -0.0156055007f,
                                0.0112025045f,  -0.00797974056f, 0.00494852069f,  -0.00218283338f,
                                0.00113067661f, -0.00116203337f, 0.000734413954f, -0.000165495798f};
    v16 c = v_min(v_max(x, v_set(-5.6f)), v_set(5.6f));
    v16 u = v_fma(v_mul(c, c), v_set(0.0637755102f), v_set(-1.0f));
    v16 sum = v_set(p[15]);
    LANES_UNROLL for (int i = 14; i >= 0; i--) sum = v_fma(sum, u, v_set(p[i]));
    return v_mul(x, v_fma(c, sum, v_set(0.5f)));
}

/* x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 x^3)), which is GELU's tanh form. */
LANES_INLINE v16 v_gelu_tanh(v16 x) {
    v16 cubic = v_fma(v_mul(v_mul(x, x), x), v_set(0.044715f), x);
    return v_mul(x, v_sigmoid(v_mul(cubic, v_set(1.59576912f))));
}

LANES_INLINE v16 v_activate(v16 x, nlp_activation act) {
    switch (act) {
    case NLP_ACT_GELU_ERF:
        return v_gelu_erf(x);
    case NLP_ACT_GELU_TANH:
        return v_gelu_tanh(x);
    case NLP_ACT_RELU:
        return v_max(x, v_set(0));
    case NLP_ACT_TANH:
        return v_tanh(x);
    case NLP_ACT_SIGMOID:
        return v_sigmoid(x);
    case NLP_ACT_SILU:
        return v_mul(x, v_sigmoid(x));
    case NLP_ACT_NONE:
        break;
    }
    return x;
}

#endif
