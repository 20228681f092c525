/* position.c: sine and cosine in double by Cody and Waite's reduction and Taylor polynomials. */
#include "nn/position.h"

#include <stdint.h>

/* x - n * pi/2 with n the nearest whole number; pi/2 in two parts, the first of 33 bits, so that n
 * times it is exact for n below 2^20. */
static double reduce(double x, int64_t *n) {
    const double two_over_pi = 0x1.45f306dc9c883p-1, high = 0x1.921fb544p0,
                 low = 0x1.0b4611a626331p-34, round = 0x1.8p52;
    double turns = (x * two_over_pi + round) - round;
    *n = (int64_t)turns;
    return (x - turns * high) - turns * low;
}

/* Taylor series on -pi/4 .. pi/4; the first term left out is below 1e-13. */
static double sine(double r) {
    double s = r * r;
    double p = 1.0 / 6227020800;
    p = p * s - 1.0 / 39916800;
    p = p * s + 1.0 / 362880;
    p = p * s - 1.0 / 5040;
    p = p * s + 1.0 / 120;
    p = p * s - 1.0 / 6;
    return r + r * (s * p);
}

static double cosine(double r) {
    double s = r * r;
    double p = -1.0 / 87178291200;
    p = p * s + 1.0 / 479001600;
    p = p * s - 1.0 / 3628800;
    p = p * s + 1.0 / 40320;
    p = p * s - 1.0 / 720;
    p = p * s + 1.0 / 24;
    p = p * s - 1.0 / 2;
    return 1 + s * p;
}

void nlp_cosine_sine(double angle, double *cos, double *sin) {
    int64_t n;
    double r = reduce(angle, &n), s = sine(r), c = cosine(r);
    double swapped_s = n & 1 ? c : s, swapped_c = n & 1 ? s : c;
    *sin = n & 2 ? -swapped_s : swapped_s;
    *cos = (n + 1) & 2 ? -swapped_c : swapped_c;
}

void nlp_rotary_table(const float *frequencies, size_t n_pairs, size_t first, size_t n_positions,
                      float scale, float *cos, float *sin) {
    for (size_t t = 0; t < n_positions; t++)
        for (size_t i = 0; i < n_pairs; i++) {
            float angle = (float)(first + t) * frequencies[i];
            double c, s;
            nlp_cosine_sine((double)angle, &c, &s);
            cos[t * n_pairs + i] = (float)c * scale;
            sin[t * n_pairs + i] = (float)s * scale;
        }
}
