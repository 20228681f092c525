/* random.h: numbers by chance that are a function of their place: number n of a stream is the same
 * whoever asks, in whatever order. Philox 4x32-10 (Salmon and others 2011, "Parallel Random Numbers: As
 * Easy as 1, 2, 3"). Any thread. */
#ifndef NLP_BASE_RANDOM_H
#define NLP_BASE_RANDOM_H

#include <stdint.h>

/* 128 bits of stream `key` at `counter`. */
void nlp_random_block(uint64_t key, uint64_t counter, uint32_t out[4]);
/* 0 <= u < 1, a multiple of 2^-53. */
double nlp_random_real(uint64_t key, uint64_t counter);

#endif
