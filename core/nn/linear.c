/* linear.c: rows through a weight matrix. */
#include "nn/linear.h"

#include <string.h>

static size_t aligned(size_t n) {
    return (n + 63) & ~(size_t)63;
}

size_t nlp_linear_scratch_bytes(const nlp_weight *w, size_t m) {
    size_t scaled = w->factors ? m * w->k * sizeof(float) : 0, row = nlp_row_bytes(w->dtype, w->k);
    return row ? aligned(scaled) + aligned(m * row) + aligned(m * sizeof(float)) : 0;
}

/* The unfused way, for small products (heads, dense stages): here the input is scaled and
 * quantised on the spot. */
nlp_status nlp_linear(const nlp_kernels *kernels, const nlp_weight *w, size_t m, const float *x,
                      const nlp_epilogue *epilogue, float *out, void *scratch, nlp_poll *poll,
                      nlp_error *err) {
    nlp_rows rows = {.f32 = x};
    size_t row = nlp_row_bytes(w->dtype, w->k);
    if (row) {
        size_t scaled = w->factors ? m * w->k * sizeof(float) : 0;
        uint8_t *q = (uint8_t *)scratch + aligned(scaled);
        float *q_scales = (float *)(void *)(q + aligned(m * row));
        if (w->factors) {
            x = memcpy(scratch, x, scaled);
            kernels->scale_columns(scratch, m, w->k, w->factors);
        }
        nlp_rows_quantise(kernels, w, m, x, NULL, q, q_scales);
        rows = (nlp_rows){.q = q, .q_scales = q_scales};
    }
    return nlp_gemm(kernels, w, m, &rows, epilogue, out, poll, err);
}
