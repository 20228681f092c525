/* forward.c: the steps that the parts of a layer share. */
#include "model/forward.h"

#include <string.h>

void forward_trace(const forward *f, const char *point, size_t layer, const float *rows, size_t n,
                   size_t width) {
    if (f->hooks && f->hooks->trace)
        f->hooks->trace(f->hooks->trace_context, point, (uint32_t)layer, rows, n, width);
}

void forward_norm(forward *f, const nlp_norm_weights *weights, const float *rows, float *out,
                  const nlp_weight *next) {
    bool quantised = next && next->panels && next->dtype == NLP_I8;
    f->kernels->norm(&(nlp_norm_args){.rows = rows,
                                      .out = out,
                                      .n_rows = f->n,
                                      .width = f->d,
                                      .rms = f->stack->spec.norm == NLP_NORM_RMS,
                                      .gain = weights->gain,
                                      .bias = weights->bias,
                                      .eps = f->stack->spec.norm_eps,
                                      .factors = quantised ? next->factors : NULL,
                                      .q = quantised ? f->w.q : NULL,
                                      .q_scales = f->w.q_scales});
    f->ready = quantised ? next : NULL;
}

nlp_rows forward_rows(forward *f, const nlp_weight *weight, float *rows) {
    nlp_rows out = {.f32 = rows, .q = f->w.q, .q_scales = f->w.q_scales};
    if (weight->dtype == NLP_F32 || f->ready == weight) return out;
    if (weight->factors) {
        if (rows != f->w.y) memcpy(f->w.y, rows, f->n * weight->k * sizeof *rows);
        rows = f->w.y;
        f->kernels->scale_columns(rows, f->n, weight->k, weight->factors);
    }
    nlp_rows_quantise(f->kernels, weight, f->n, rows, NULL, f->w.q, f->w.q_scales);
    return out;
}

nlp_status forward_product(const forward *f, const nlp_weight *weight, size_t n,
                           const nlp_rows *rows, const nlp_epilogue *epilogue, float *out) {
    return nlp_gemm(f->kernels, weight, n, rows, epilogue, out, f->poll, f->err);
}

nlp_status forward_adapted(const forward *f, const nlp_weight *weight, const nlp_adapter *adapter,
                           size_t n, const nlp_rows *rows, const nlp_epilogue *epilogue,
                           float *out) {
    if (!adapter->down.panels) return forward_product(f, weight, n, rows, epilogue, out);
    nlp_epilogue own = epilogue ? *epilogue : (nlp_epilogue){.act = NLP_ACT_NONE};
    nlp_addend addend = {
        .up = &adapter->up, .spans = adapter->spans, .rows = f->w.low, .tile = f->w.addend};
    NLP_TRY(forward_product(f, &adapter->down, n, rows, NULL, f->w.low));
    own.addend = &addend;
    return forward_product(f, weight, n, rows, &own, out);
}

void forward_advance(forward *f) {
    float *old = f->w.x;
    f->w.x = f->w.next;
    f->w.next = old;
}

size_t forward_position(const forward *f, size_t text) {
    return f->unit->caches ? f->unit->caches[text]->n : 0;
}
