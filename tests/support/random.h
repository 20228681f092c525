/* random.h: repeatable numbers for tests. */
#ifndef NLP_TEST_RANDOM_H
#define NLP_TEST_RANDOM_H

#include <stdint.h>
#include <stdlib.h>

typedef struct nlp_random {
    uint64_t state;
} nlp_random;

static inline uint32_t random_u32(nlp_random *random) {
    random->state = random->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random->state >> 33) ^ (uint32_t)(random->state >> 13);
}
static inline float random_float(nlp_random *random, float size) { /* -size .. size */
    return ((float)(random_u32(random) & 0xFFFFFF) / 8388608.0f - 1.0f) * size;
}
/* n floats, for the test to free; aligned to 64 bytes. */
static inline float *random_floats(nlp_random *random, size_t n, float size) {
    float *x = aligned_alloc(64, (n * sizeof *x + 127) / 64 * 64);
    for (size_t i = 0; i < n; i++) x[i] = random_float(random, size);
    return x;
}

#endif
