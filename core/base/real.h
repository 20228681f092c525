/* real.h: logarithm, exponential and power in double that have the same bits on every machine: C
 * libraries differ in the last one. They are not fast. Any thread. */
#ifndef NLP_BASE_REAL_H
#define NLP_BASE_REAL_H

/* Relative error below 1e-15. 0 gives -infinity; what is below 0, subnormal or NaN gives NaN. */
double nlp_log(double x);
/* Relative error below 1e-15; 0 below -700, infinite above 700. */
double nlp_exp(double x);
double nlp_power(double base, double exponent); /* base > 0 */

#endif
