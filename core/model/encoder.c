/* encoder.c: a transformer encoder as its papers write it, over rows of all texts of a unit behind
 * each other:
 *
 *     x = Norm(word + position + type)
 *     per layer:  x = Norm(x + Out(Attention(QKV(x))))
 *                 x = Norm(x + Down(act(Up(x))))
 *
 * In an i8 pack every product's input is multiplied by channel factors and quantised by whatever
 * made it: norms for qkv and up, the qkv product's own V columns for attention.out, the epilogue of
 * up for down. */
#include "model/encoder.h"

#include <math.h>
#include <string.h>

#include "nn/attention.h"

/* rows of a block of the FFN: its [rows, ffn_size] stays in the second cache level */
enum { FFN_ROWS = 48 };

/* Scratch of one unit. Sizes for n tokens of width d: */
typedef struct workspace {
    float *x;         /* [n, d] the residual stream */
    float *y;         /* [n, d] attention's output, then the stream between attention and FFN */
    float *qkv;       /* [n, 3d] */
    float *up;        /* [FFN_ROWS, ffn_size] */
    float *attention; /* of the kernel */
    float *row_max;   /* [FFN_ROWS][16] */
    float *q_scales;  /* [n] */
    float *up_scales; /* [FFN_ROWS] */
    uint8_t *q;       /* [n, d padded] */
    uint8_t *up_q;    /* [FFN_ROWS, ffn_size padded] */
} workspace;

typedef struct forward {
    const nlp_encoder *encoder;
    const nlp_kernels *kernels;
    const nlp_unit *unit;
    const nlp_encoder_hooks *hooks;
    nlp_poll *poll;
    nlp_error *err;
    workspace w;
    size_t n, d;
} forward;

/* ---- Planning ---- */

static size_t padded(size_t k) {
    return (k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
}

/* Lays one array out behind the others; base NULL only counts. Sizes were checked by the plan. */
static void *place(uint8_t *base, size_t *used, size_t n_bytes) {
    size_t at = *used;
    *used += (n_bytes + 63) & ~(size_t)63;
    return base ? base + at : NULL;
}

/* The same function plans (base NULL) and places, so the two can't differ. */
static size_t lay_out(const nlp_encoder *e, size_t n, size_t longest, uint8_t *base, workspace *w) {
    size_t used = 0, d = e->spec.hidden_size, ffn = e->spec.ffn_size;
    w->x = place(base, &used, n * d * sizeof(float));
    w->y = place(base, &used, n * d * sizeof(float));
    w->qkv = place(base, &used, n * 3 * d * sizeof(float));
    w->up = place(base, &used, FFN_ROWS * ffn * sizeof(float));
    w->attention = place(base, &used, NLP_STRIPE * (e->spec.head_dim + longest) * sizeof(float));
    w->row_max = place(base, &used, FFN_ROWS * NLP_LANES * sizeof(float));
    w->q_scales = place(base, &used, n * sizeof(float));
    w->up_scales = place(base, &used, FFN_ROWS * sizeof(float));
    w->q = place(base, &used, n * padded(d));
    w->up_q = place(base, &used, FFN_ROWS * padded(ffn));
    return used;
}

nlp_status nlp_encoder_plan(const nlp_encoder *encoder, size_t n_tokens, size_t max_text_tokens,
                            size_t *scratch_bytes, nlp_error *err) {
    workspace unused;
    /* tokens; with widths up to 2^20 all products fit 64 bits */
    const size_t limit = (size_t)1 << 24;
    if (n_tokens > limit || max_text_tokens > n_tokens)
        return nlp_fail(err, NLP_ELIMIT, "a unit of %zu tokens is over the limit of %zu", n_tokens,
                        limit);
    *scratch_bytes = lay_out(encoder, n_tokens, max_text_tokens, NULL, &unused);
    return NLP_OK;
}

/* ---- Steps ---- */

static void trace(const forward *f, const char *point, size_t layer, const float *rows, size_t n,
                  size_t width) {
    if (f->hooks && f->hooks->trace)
        f->hooks->trace(f->hooks->trace_context, point, (uint32_t)layer, rows, n, width);
}

/* x += or = row `index` of a table. */
static void add_row(const forward *f, const nlp_table *table, size_t index, float *x, bool first) {
    size_t width = table->width;
    float *row = f->w.qkv; /* free until the first product */
    const float *source = row;
    if (table->dtype == NLP_S8_ROWS)
        f->kernels->dequantise_row(row, (const int8_t *)table->rows + index * width,
                                   table->scales[index], width);
    else
        source = (const float *)table->rows + index * width;
    if (first)
        memcpy(x, source, width * sizeof *x);
    else
        f->kernels->add(x, source, width);
}

/* The sum of three table rows a token, in this order: the order is part of the bits. */
static nlp_status embed(const forward *f) {
    const nlp_encoder *e = f->encoder;
    const nlp_unit *u = f->unit;
    size_t row = 0;
    for (size_t text = 0; text < u->n_texts; text++)
        for (size_t t = 0; t < u->lengths[text]; t++, row++) {
            float *x = f->w.x + row * f->d;
            add_row(f, &e->word, (size_t)u->ids[row], x, true);
            if (e->position.n_rows) add_row(f, &e->position, t + e->spec.position_offset, x, false);
            if (e->type.n_rows) add_row(f, &e->type, u->type_ids ? u->type_ids[row] : 0, x, false);
            NLP_TRY(nlp_poll_work(f->poll, 16 * f->d, f->err));
        }
    return NLP_OK;
}

/* LayerNorm of all rows in place, quantised on the way for an i8 product that follows (next NULL:
 * none does). */
static void norm(const forward *f, const nlp_norm_weights *weights, float *rows,
                 const nlp_weight *next) {
    bool quantised = next && next->dtype == NLP_I8;
    f->kernels->layer_norm(&(nlp_layer_norm_args){.rows = rows,
                                                  .n_rows = f->n,
                                                  .width = f->d,
                                                  .gain = weights->gain,
                                                  .bias = weights->bias,
                                                  .eps = f->encoder->spec.norm_eps,
                                                  .factors = quantised ? next->factors : NULL,
                                                  .q = quantised ? f->w.q : NULL,
                                                  .q_scales = f->w.q_scales});
}

static nlp_status product(const forward *f, const nlp_weight *w, size_t n, const nlp_rows *rows,
                          const nlp_epilogue *epilogue, float *out) {
    return nlp_gemm(f->kernels, w, n, rows, epilogue, out, f->poll, f->err);
}

/* Texts lie behind each other without padding, so attention runs text by text and nothing is
 * masked. */
static nlp_status attend_texts(const forward *f) {
    const nlp_arch_spec *s = &f->encoder->spec;
    nlp_attention_shape shape = {
        .n_heads = s->n_heads, .head_dim = s->head_dim, .scale = s->attention_scale};
    if (shape.scale == 0) shape.scale = 1.0f / sqrtf((float)s->head_dim);
    size_t row = 0;
    for (size_t text = 0; text < f->unit->n_texts; row += f->unit->lengths[text++])
        NLP_TRY(nlp_attend(f->kernels, &shape, f->unit->lengths[text], f->w.qkv + row * 3 * f->d,
                           f->w.y + row * f->d, f->w.attention, f->poll, f->err));
    return NLP_OK;
}

/* y = x + Out(Attention(QKV(x))), not yet normed; it lands in w.y. */
static nlp_status attention_block(forward *f, const nlp_encoder_layer *layer, size_t index) {
    workspace *w = &f->w;
    nlp_rows rows = {.f32 = w->x, .q = w->q, .q_scales = w->q_scales};
    bool quantised = layer->attention_out.dtype == NLP_I8;
    trace(f, "qkv", index, w->x, f->n, f->d);
    NLP_TRY(product(f, &layer->qkv, f->n, &rows, NULL, w->qkv));
    NLP_TRY(attend_texts(f));
    trace(f, "attention.out", index, w->y, f->n, f->d);
    if (quantised)
        f->kernels->quantise(&(nlp_quantise_args){.rows = w->y,
                                                  .n_rows = f->n,
                                                  .width = f->d,
                                                  .grid = layer->attention_out.grid,
                                                  .q = w->q,
                                                  .q_scales = w->q_scales});
    rows.f32 = w->y;
    nlp_epilogue add_input = {.residual = w->x};
    float *out = quantised ? w->y : w->qkv; /* an f32 product still reads y */
    NLP_TRY(product(f, &layer->attention_out, f->n, &rows, &add_input, out));
    if (!quantised) memcpy(w->y, out, f->n * f->d * sizeof *out);
    return NLP_OK;
}

/* x = y + Down(act(Up(y))) for one block of rows; not yet normed. */
static nlp_status ffn_rows(forward *f, const nlp_encoder_layer *layer, size_t index, size_t first,
                           size_t n) {
    workspace *w = &f->w;
    size_t ffn = f->encoder->spec.ffn_size;
    bool quantised = layer->ffn_down.dtype == NLP_I8;
    nlp_rows rows = {.f32 = w->y + first * f->d,
                     .q = w->q + first * padded(f->d),
                     .q_scales = w->q_scales + first};
    nlp_epilogue act = {.act = (nlp_activation)f->encoder->spec.activation};
    if (quantised) {
        act.next_factors = layer->ffn_down.factors;
        act.next_grid = layer->ffn_down.grid;
        act.row_max = memset(w->row_max, 0, n * NLP_LANES * sizeof *w->row_max);
    }
    NLP_TRY(product(f, &layer->ffn_up, n, &rows, &act, w->up));
    trace(f, "ffn.down", index, w->up, n, ffn);
    if (quantised)
        f->kernels->quantise(&(nlp_quantise_args){.rows = w->up,
                                                  .n_rows = n,
                                                  .width = ffn,
                                                  .row_max = w->row_max,
                                                  .grid = layer->ffn_down.grid,
                                                  .q = w->up_q,
                                                  .q_scales = w->up_scales});
    rows = (nlp_rows){.f32 = w->up, .q = w->up_q, .q_scales = w->up_scales};
    nlp_epilogue add_input = {.residual = w->y + first * f->d};
    return product(f, &layer->ffn_down, n, &rows, &add_input, w->x + first * f->d);
}

/* In blocks of rows: the wide middle of the FFN stays in the cache. */
static nlp_status ffn_block(forward *f, const nlp_encoder_layer *layer, size_t index) {
    trace(f, "ffn.up", index, f->w.y, f->n, f->d);
    for (size_t first = 0; first < f->n; first += FFN_ROWS)
        NLP_TRY(
            ffn_rows(f, layer, index, first, f->n - first < FFN_ROWS ? f->n - first : FFN_ROWS));
    return NLP_OK;
}

/* Norms quantise for the product that follows them; so each is told which product that is. */
nlp_status nlp_encoder_run(const nlp_encoder *e, const nlp_kernels *kernels, const nlp_unit *unit,
                           void *scratch, size_t scratch_bytes, const nlp_encoder_hooks *hooks,
                           nlp_poll *poll, const float **hidden, nlp_error *err) {
    forward f = {.encoder = e,
                 .kernels = kernels,
                 .unit = unit,
                 .hooks = hooks,
                 .poll = poll,
                 .err = err,
                 .n = unit->n_tokens,
                 .d = e->spec.hidden_size};
    size_t longest = 0;
    for (size_t i = 0; i < unit->n_texts; i++)
        longest = unit->lengths[i] > longest ? unit->lengths[i] : longest;
    if (lay_out(e, f.n, longest, scratch, &f.w) > scratch_bytes)
        return nlp_fail(err, NLP_EINTERNAL, "an encoder ran with less scratch than it planned");
    NLP_TRY(embed(&f));
    if (e->spec.embedding_norm) norm(&f, &e->embedding_norm, f.w.x, &e->layers[0].qkv);
    trace(&f, "layer", 0, f.w.x, f.n, f.d);
    for (uint32_t i = 0; i < e->spec.n_layers; i++) {
        const nlp_encoder_layer *layer = &e->layers[i];
        NLP_TRY(attention_block(&f, layer, i));
        norm(&f, &layer->attention_norm, f.w.y, &layer->ffn_up);
        NLP_TRY(ffn_block(&f, layer, i));
        norm(&f, &layer->ffn_norm, f.w.x, i + 1 < e->spec.n_layers ? &e->layers[i + 1].qkv : NULL);
        trace(&f, "layer", i + 1, f.w.x, f.n, f.d);
    }
    *hidden = f.w.x;
    return NLP_OK;
}
