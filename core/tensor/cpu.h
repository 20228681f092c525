/* cpu.h: what this CPU and its operating system can run. */
#ifndef NLP_TENSOR_CPU_H
#define NLP_TENSOR_CPU_H

#include <stdint.h>

/* Levels in rising order; each needs all that the ones before it need. */
enum {
    NLP_LEVEL_BASE = 0,
#if defined(__aarch64__)
    NLP_LEVEL_NEON = 1,
    NLP_LEVEL_DOTPROD = 2,
    NLP_LEVEL_I8MM = 3,
#elif defined(__x86_64__)
    NLP_LEVEL_AVX2 = 1,
    NLP_LEVEL_AVX512 = 2,
    NLP_LEVEL_AVX512VNNI = 3,
    NLP_LEVEL_AMX = 4,
#endif
    NLP_N_LEVELS
};

/* The highest level of this CPU, held down by NLP_ISA (base, avx2, avx512, avx512vnni, amx; on AArch64 base, neon,
 * dotprod, i8mm), which can only lower it and is ignored in a setuid process. Any thread. */
uint32_t nlp_cpu_level(void);

extern const char *const nlp_level_names[NLP_N_LEVELS];

/* What NLP_ISA says: *name NULL if it is not set, NLP_N_LEVELS if it is no level's name. Any thread. */
uint32_t nlp_wanted_level(const char **name);

#endif
