/* numeric.h: logarithm and power by own polynomials: an import gives the same bytes on every
 * machine, and C libraries differ in the last bit. */
#ifndef NLP_IMPORTER_NUMERIC_H
#define NLP_IMPORTER_NUMERIC_H

double nlp_ln(double x);                        /* x > 0; relative error below 1e-15 */
double nlp_exp(double x);                       /* |x| < 700; relative error below 1e-15 */
double nlp_power(double base, double exponent); /* base > 0 */

#endif
