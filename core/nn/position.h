/* position.h: cosines and sines of rotary positions, computed and not stored: the same bits on every
 * machine, since no C library takes part. */
#ifndef NLP_NN_POSITION_H
#define NLP_NN_POSITION_H

#include <stddef.h>

/* Cosine and sine of an angle up to 10^6; error below 1e-12. */
void nlp_cosine_sine(double angle, double *cos, double *sin);
/* cos and sin [n_positions, n_pairs] of the angles (first + t) * frequencies[pair], the angle rounded
 * to a float as the reference does it, times scale. Error below 1e-7 for angles up to 10^6. Any
 * thread. */
void nlp_rotary_table(const float *frequencies, size_t n_pairs, size_t first, size_t n_positions,
                      float scale, float *cos, float *sin);

#endif
