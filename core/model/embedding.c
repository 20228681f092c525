/* embedding.c: rows of tables to the first hidden states: (word * scale + position + type), normed
 * and projected as the spec says. */
#include <string.h>

#include "model/forward.h"
#include "tensor/quant.h"

/* The row of a table as f32; it lies in `row` where it had to be computed. */
static const float *row_of(const forward *f, const nlp_table *table, size_t index, float *row) {
    size_t width = table->width;
    if (table->panels) {
        nlp_panel_row(table->panels->dtype, table->panels->panels, width, index, row);
        return row;
    }
    if (table->dtype != NLP_S8_ROWS) return (const float *)table->rows + index * width;
    f->kernels->dequantise_row(row, (const int8_t *)table->rows + index * width,
                               table->scales[index], width);
    return row;
}

/* The order of the sum is part of the bits. */
static void embed_token(const forward *f, size_t row, size_t position, float *x) {
    const nlp_stack *s = f->stack;
    int32_t id = f->unit->ids[row];
    size_t width = s->word.width;
    if (id == NLP_NO_WORD)
        memset(x, 0, width * sizeof *x);
    else
        memcpy(x, row_of(f, &s->word, (size_t)id, f->w.up), width * sizeof *x);
    if (s->spec.embedding_scale != 0) f->kernels->scale(x, width, s->spec.embedding_scale);
    if (s->position.n_rows) f->kernels->add(x, row_of(f, &s->position, position, f->w.up), width);
    size_t type = f->unit->type_ids ? f->unit->type_ids[row] : 0;
    if (s->type.n_rows) f->kernels->add(x, row_of(f, &s->type, type, f->w.up), width);
}

/* A token that takes no position (RoBERTa's pad, written out in a text) has the one before the
 * first, and the next token goes on as if it were not there. */
static nlp_status embed_text(const forward *f, size_t text, size_t first, float *out) {
    const nlp_arch_spec *s = &f->stack->spec;
    size_t position = forward_position(f, text) + s->position_offset;
    for (size_t row = first; row < first + f->unit->lengths[text]; row++) {
        bool skips = s->skip_position_of && f->unit->ids[row] == (int32_t)s->skip_position_of - 1;
        embed_token(f, row, skips ? s->position_offset - 1 : position,
                    out + row * f->stack->word.width);
        position += !skips;
        NLP_TRY(nlp_poll_work(f->poll, 16 * f->stack->word.width, f->err));
    }
    return NLP_OK;
}

static void norm_embeddings(forward *f, float *rows, size_t width, const nlp_weight *next) {
    const nlp_norm_weights *w = &f->stack->embedding_norm;
    if (width == f->d) {
        forward_norm(f, w, rows, rows, next);
        return;
    }
    f->kernels->norm(&(nlp_norm_args){.rows = rows,
                                      .out = rows,
                                      .n_rows = f->n,
                                      .width = width,
                                      .rms = f->stack->spec.norm == NLP_NORM_RMS,
                                      .gain = w->gain,
                                      .bias = w->bias,
                                      .eps = f->stack->spec.norm_eps});
}

nlp_status forward_embed(forward *f) {
    const nlp_stack *s = f->stack;
    bool projected = s->project.panels != NULL;
    float *out = projected ? f->w.wide : f->w.x;
    size_t row = 0;
    for (size_t text = 0; text < f->unit->n_texts; row += f->unit->lengths[text++])
        NLP_TRY(embed_text(f, text, row, out));
    const nlp_weight *next = s->spec.n_layers ? &s->layers[0].qkv : NULL;
    if (s->spec.embedding_norm == NLP_EMBEDDING_NORM_FIRST)
        norm_embeddings(f, out, s->word.width, projected ? NULL : next);
    if (projected) {
        nlp_rows rows = {.f32 = out};
        NLP_TRY(forward_product(f, &s->project, f->n, &rows, NULL, f->w.x));
    }
    if (s->spec.embedding_norm == NLP_EMBEDDING_NORM_LAST) norm_embeddings(f, f->w.x, f->d, next);
    return NLP_OK;
}
