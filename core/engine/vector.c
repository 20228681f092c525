/* vector.c: arithmetic on vectors that the caller holds. */
#include <math.h>

#include "base/err.h"
#include "tensor/kernels.h"

static bool all_finite(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* squares below it lose digits to float's smallest numbers */
static const float smallest_square = 1e-30f;

static double wide_cosine(const float *a, const float *b, size_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0;
}

/* Finite inputs only: a NaN would sort anywhere. Numbers whose squares leave float's range are
 * summed in double. */
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
    bool in_range = aa >= smallest_square && bb >= smallest_square && isfinite(aa) && isfinite(bb);
    *cosine = in_range ? (double)(ab / (sqrtf(aa) * sqrtf(bb))) : wide_cosine(a, b, n_a);
    nlp_fp_restore(saved);
    return NLP_OK;
}
