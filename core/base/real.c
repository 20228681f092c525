/* real.c: plain double arithmetic in a fixed order. */
#include "base/real.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LN2_HIGH 0x1.62e42feep-1 /* 32 bits: times a small whole number it is exact */
#define LN2_LOW  0x1.a39ef35793c76p-33

/* x = m * 2^e with m in sqrt(1/2) .. sqrt(2); ln m = 2 artanh((m - 1) / (m + 1)). */
double nlp_log(double x) {
    uint64_t bits;
    if (!(x >= 0x1p-1022)) return x == 0 ? -INFINITY : NAN;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 52 & 0x7ff) - 1023;
    bits = (bits & 0xfffffffffffff) | (uint64_t)1023 << 52;
    double m, sum = 0;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) m /= 2, e++;
    double t = (m - 1) / (m + 1), s = t * t;
    for (int k = 23; k >= 1; k -= 2) sum = sum * s + 1.0 / k;
    return e * LN2_HIGH + (e * LN2_LOW + 2 * t * sum);
}

/* x = n ln 2 + r; the series of e^r to the 18th power. */
double nlp_exp(double x) {
    if (x < -700) return 0;
    if (x > 700) return INFINITY;
    double n = (x * 1.4426950408889634 + 0x1.8p52) - 0x1.8p52;
    double r = (x - n * LN2_HIGH) - n * LN2_LOW, sum = 1;
    for (int k = 18; k >= 1; k--) sum = 1 + sum * r / k;
    uint64_t bits = (uint64_t)(1023 + (int)n) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return sum * scale;
}

double nlp_power(double base, double exponent) {
    return nlp_exp(exponent * nlp_log(base));
}
