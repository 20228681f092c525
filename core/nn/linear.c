/* linear.c: rows through a weight matrix. */
#include "nn/linear.h"

#include <string.h>

static size_t k64(size_t k) {
    return (k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
}
static size_t aligned(size_t n) {
    return (n + 63) & ~(size_t)63;
}

size_t nlp_linear_scratch_bytes(const nlp_weight *w, size_t m) {
    if (w->dtype != NLP_I8) return 0;
    return aligned(m * w->k * sizeof(float)) + aligned(m * k64(w->k)) + aligned(m * sizeof(float));
}

/* The unfused way, for small products (heads, dense stages): here the input is scaled and
 * quantised on the spot. */
nlp_status nlp_linear(const nlp_kernels *kernels, const nlp_weight *w, size_t m, const float *x,
                      const nlp_epilogue *epilogue, float *out, void *scratch, nlp_poll *poll,
                      nlp_error *err) {
    nlp_rows rows = {.f32 = x};
    if (w->dtype == NLP_I8) {
        float *t = scratch;
        uint8_t *q = (uint8_t *)scratch + aligned(m * w->k * sizeof(float));
        float *q_scales = (float *)(void *)(q + aligned(m * k64(w->k)));
        memcpy(t, x, m * w->k * sizeof *t);
        if (w->factors) kernels->scale_columns(t, m, w->k, w->factors);
        kernels->quantise(&(nlp_quantise_args){
            .rows = t, .n_rows = m, .width = w->k, .grid = w->grid, .q = q, .q_scales = q_scales});
        rows = (nlp_rows){.q = q, .q_scales = q_scales};
    }
    return nlp_gemm(kernels, w, m, &rows, epilogue, out, poll, err);
}
