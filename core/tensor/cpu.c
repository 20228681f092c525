/* cpu.c: probing, and the floating-point mode. The one place that reads the environment: NLP_ISA.
 */
#include "tensor/cpu.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/kernels.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Register state that the operating system saves: ymm is bits 1-2, zmm bits 5-7. */
__attribute__((target("xsave"))) static uint64_t saved_state(void) {
    return (uint64_t)_xgetbv(0);
}

/* AMX's tiles: bits 17 and 18 of the state, which Linux gives to processes that ask for it once. */
static bool has_tiles(uint32_t features, uint64_t state) {
    const uint32_t tiles_and_i8 = 1u << 24 | 1u << 25;
    if ((features & tiles_and_i8) != tiles_and_i8 || (state & 0x60000) != 0x60000) return false;
#if defined(__linux__)
    const int request_permission = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM of asm/prctl.h */
    return !syscall(SYS_arch_prctl, request_permission, tile_data);
#else
    return false;
#endif
}

static uint32_t probe(uint32_t most) {
    uint32_t a, b, c, d;
    const uint32_t avx512 = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return NLP_LEVEL_BASE;
    if (!(c & bit_OSXSAVE) || !(c & bit_AVX) || !(c & bit_FMA) || !(c & bit_F16C))
        return NLP_LEVEL_BASE;
    uint64_t state = saved_state();
    if ((state & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return NLP_LEVEL_BASE;
    if (!(b & bit_AVX2)) return NLP_LEVEL_BASE;
    if ((state & 0xE6) != 0xE6 || (b & avx512) != avx512) return NLP_LEVEL_AVX2;
    if (!(c & bit_AVX512VNNI)) return NLP_LEVEL_AVX512;
    return most >= NLP_LEVEL_AMX && has_tiles(d, state) ? NLP_LEVEL_AMX : NLP_LEVEL_AVX512VNNI;
}

uint64_t nlp_fp_enter(void) {
    const uint32_t standard = 0x1F80; /* nearest even, no flush to zero, all exceptions masked */
    uint32_t mode = _mm_getcsr();
    if ((mode & ~0x3Fu) != standard) _mm_setcsr(standard);
    return mode;
}

void nlp_fp_restore(uint64_t saved) {
    if ((saved & ~(uint64_t)0x3F) != 0x1F80) _mm_setcsr((uint32_t)saved);
}

const char *const nlp_level_names[NLP_N_LEVELS] = {"base", "avx2", "avx512", "avx512vnni", "amx"};
#elif defined(__aarch64__)
const char *const nlp_level_names[NLP_N_LEVELS] = {"base", "neon", "dotprod", "i8mm"};

/* Advanced SIMD is part of AArch64; what came later is asked of the kernel, where it is Linux. */
static uint32_t probe(uint32_t most) {
    (void)most;
#if defined(__linux__)
    const unsigned long dotprod = 1ul << 20, i8mm = 1ul << 13; /* HWCAP_ASIMDDP, HWCAP2_I8MM */
    if (!(getauxval(AT_HWCAP) & dotprod)) return NLP_LEVEL_NEON;
    return getauxval(AT_HWCAP2) & i8mm ? NLP_LEVEL_I8MM : NLP_LEVEL_DOTPROD;
#else
    return NLP_LEVEL_NEON;
#endif
}

uint64_t nlp_fp_enter(void) {
    uint64_t mode, standard = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    if (mode != standard) __asm__ volatile("msr fpcr, %0" ::"r"(standard));
    return mode;
}

void nlp_fp_restore(uint64_t saved) {
    if (saved) __asm__ volatile("msr fpcr, %0" ::"r"(saved));
}
#else
const char *const nlp_level_names[NLP_N_LEVELS] = {"base"};

static uint32_t probe(uint32_t most) {
    (void)most;
    return NLP_LEVEL_BASE;
}

uint64_t nlp_fp_enter(void) {
    return 0;
}

void nlp_fp_restore(uint64_t saved) {
    (void)saved;
}
#endif

uint32_t nlp_wanted_level(const char **name) {
    uint32_t level = 0;
    *name = secure_getenv("NLP_ISA");
    while (*name && level < NLP_N_LEVELS && strcmp(*name, nlp_level_names[level])) level++;
    return level;
}

uint32_t nlp_cpu_level(void) {
    const char *name;
    uint32_t wanted = nlp_wanted_level(&name);
    uint32_t most = name && wanted < NLP_N_LEVELS ? wanted : NLP_N_LEVELS - 1, level = probe(most);
    return level < most ? level : most;
}
