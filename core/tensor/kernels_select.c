/* kernels_select.c: from a level to its table of kernels. */
#include "tensor/cpu.h"
#include "tensor/kernels.h"

extern const nlp_kernels nlp_kernels_base;
#if defined(__x86_64__)
extern const nlp_kernels nlp_kernels_avx2, nlp_kernels_avx512, nlp_kernels_avx512vnni,
    nlp_kernels_amx;
static const nlp_kernels *const tables[] = {&nlp_kernels_base, &nlp_kernels_avx2,
                                            &nlp_kernels_avx512, &nlp_kernels_avx512vnni,
                                            &nlp_kernels_amx};
#elif defined(__aarch64__)
extern const nlp_kernels nlp_kernels_neon, nlp_kernels_dotprod, nlp_kernels_i8mm;
static const nlp_kernels *const tables[] = {&nlp_kernels_base, &nlp_kernels_neon,
                                            &nlp_kernels_dotprod, &nlp_kernels_i8mm};
#else
static const nlp_kernels *const tables[] = {&nlp_kernels_base};
#endif

enum { N_TABLES = sizeof tables / sizeof *tables };

const nlp_kernels *nlp_kernels_at(size_t index) {
    return index < N_TABLES && index <= nlp_cpu_level() ? tables[index] : NULL;
}

const nlp_kernels *nlp_kernels_select(uint32_t max_level) {
    uint32_t level = nlp_cpu_level();
    if (level > max_level) level = max_level;
    return tables[level < N_TABLES ? level : N_TABLES - 1];
}
