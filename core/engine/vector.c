/* vector.c: arithmetic on vectors that the caller holds. */
#include <math.h>

#include "base/err.h"
#include "tensor/kernels.h"

static bool all_finite(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

nlp_status nlp_vector_cosine(const float *a, size_t n_a, const float *b, size_t n_b, double *cosine,
                             nlp_error *err) {
    const nlp_kernels *kernels = nlp_kernels_select(UINT32_MAX);
    *cosine = 0;
    if (n_a != n_b)
        return nlp_fail(err, NLP_EINVAL,
                        "the vectors have %zu and %zu numbers; they must have as many", n_a, n_b);
    if (!n_a) return nlp_fail(err, NLP_EINVAL, "a vector without numbers has no cosine");
    if (!all_finite(a, n_a) || !all_finite(b, n_a))
        return nlp_fail(err, NLP_EINVAL, "a vector holds NaN or infinity");
    uint64_t saved = nlp_fp_enter();
    float ab = kernels->dot(a, b, n_a), aa = kernels->dot(a, a, n_a), bb = kernels->dot(b, b, n_a);
    if (aa > 0 && bb > 0) *cosine = (double)(ab / (sqrtf(aa) * sqrtf(bb)));
    nlp_fp_restore(saved);
    return NLP_OK;
}
