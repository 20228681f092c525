/* ffn.c: the feed-forward block of a layer: x + Down(act(Up(x))), or with a gate x + Down(act(gate) *
 * up), with norms as in self_attention.c. In blocks of rows, so that the wide middle stays in the
 * cache. */
#include <string.h>

#include "model/forward.h"

/* The middle of a plain FFN leaves the product ready for Down, an i8 one with its factors applied, and
 * where a scale is a row's its row_max. */
static nlp_status plain_middle(const forward *f, const nlp_layer *layer, const nlp_rows *rows,
                               size_t n) {
    const workspace *w = &f->w;
    nlp_epilogue act = {.act = (nlp_activation)f->stack->spec.activation};
    act.next_factors = layer->ffn_down.factors;
    act.next_grid = layer->ffn_down.grid;
    if (layer->ffn_down.dtype == NLP_I8 || layer->ffn_down.dtype == NLP_I16)
        act.row_max = memset(w->row_max, 0, n * NLP_LANES * sizeof *w->row_max);
    return forward_adapted(f, &layer->ffn_up, &layer->adapters[NLP_ADAPTED_FFN_UP], n, rows, &act,
                           w->up);
}

static nlp_status gated_middle(const forward *f, const nlp_layer *layer, const nlp_rows *rows,
                               size_t n) {
    const nlp_arch_spec *s = &f->stack->spec;
    NLP_TRY(forward_adapted(f, &layer->ffn_up, &layer->adapters[NLP_ADAPTED_FFN_UP], n, rows, NULL,
                            f->w.up));
    f->kernels->gate(f->w.up, n, s->ffn_size, (nlp_activation)s->activation);
    if (layer->ffn_down.factors)
        f->kernels->scale_columns(f->w.up, n, s->ffn_size, layer->ffn_down.factors);
    return NLP_OK;
}

/* The block's output for n rows: added to the stream, or normed first. */
static nlp_status join_rows(forward *f, const nlp_layer *layer, const nlp_rows *rows, size_t first,
                            size_t n) {
    float *x = f->w.x + first * f->d, *t = f->w.next + first * f->d;
    const nlp_norm_weights *post = &layer->ffn_post_norm;
    nlp_epilogue add_input = {.residual = x};
    NLP_TRY(forward_adapted(f, &layer->ffn_down, &layer->adapters[NLP_ADAPTED_FFN_DOWN], n, rows,
                            post->gain ? NULL : &add_input, t));
    if (!post->gain) return NLP_OK;
    f->kernels->norm(&(nlp_norm_args){.rows = t,
                                      .out = t,
                                      .n_rows = n,
                                      .width = f->d,
                                      .rms = f->stack->spec.norm == NLP_NORM_RMS,
                                      .gain = post->gain,
                                      .bias = post->bias,
                                      .eps = f->stack->spec.norm_eps});
    f->kernels->add(t, x, n * f->d);
    return NLP_OK;
}

static nlp_status ffn_rows(forward *f, const nlp_layer *layer, size_t index, const nlp_rows *in,
                           size_t first, size_t n) {
    workspace *w = &f->w;
    size_t ffn = f->stack->spec.ffn_size;
    nlp_rows rows = {.f32 = in->f32 + first * f->d,
                     .q = in->q + first * nlp_row_bytes(layer->ffn_up.dtype, f->d),
                     .q_scales = in->q_scales + first};
    if (f->stack->spec.gated)
        NLP_TRY(gated_middle(f, layer, &rows, n));
    else
        NLP_TRY(plain_middle(f, layer, &rows, n));
    forward_trace(f, "ffn.down", index, w->up, n, ffn);
    if (layer->ffn_down.dtype != NLP_F32)
        nlp_rows_quantise(f->kernels, &layer->ffn_down, n, w->up,
                          f->stack->spec.gated ? NULL : w->row_max, w->up_q, w->up_scales);
    rows = (nlp_rows){.f32 = w->up, .q = w->up_q, .q_scales = w->up_scales};
    return join_rows(f, layer, &rows, first, n);
}

nlp_status forward_ffn(forward *f, const nlp_layer *layer, size_t index) {
    float *in = f->w.x;
    if (f->stack->spec.norm_place != NLP_PLACE_POST) {
        forward_norm(f, &layer->ffn_norm, in, f->w.y, &layer->ffn_up);
        in = f->w.y;
    }
    nlp_rows rows = forward_rows(f, &layer->ffn_up, in);
    forward_trace(f, "ffn.up", index, in, f->n, f->d);
    for (size_t first = 0; first < f->n; first += NLP_FFN_ROWS)
        NLP_TRY(ffn_rows(f, layer, index, &rows, first,
                         f->n - first < NLP_FFN_ROWS ? f->n - first : NLP_FFN_ROWS));
    forward_advance(f);
    return NLP_OK;
}
