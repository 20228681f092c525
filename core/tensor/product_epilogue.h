/* product_epilogue.h: what happens to the outputs of a product before they are stored, for all product
 * kernels. */
#ifndef NLP_TENSOR_PRODUCT_EPILOGUE_H
#define NLP_TENSOR_PRODUCT_EPILOGUE_H

#include "tensor/lanes.h"

LANES_INLINE size_t live_columns(const nlp_product *p, size_t panel) {
    size_t left = p->n - panel * NLP_PANEL;
    return left < NLP_PANEL ? left : NLP_PANEL;
}

/* Callers keep product and epilogue as copies of their own: a store might change any other, so that all
 * of it would be read again for each 16 columns.
 * y: 16 columns of a row, scaled and with bias; `live` of them count, 16 but in the last panel. Returns the size of
 * what is stored, for the row's maximum. */
LANES_INLINE v16 finish_columns(const nlp_product *p, const nlp_epilogue *e, size_t row,
                                size_t column, size_t live, v16 y) {
    if (p->addend) {
        const float *addend = p->addend + row * p->addend_stride - p->first_panel * NLP_PANEL;
        y = v_add(y, load_live(addend + column, live));
    }
    y = v_activate(y, e->act);
    if (e->residual)
        y = v_add(y, load_live(e->residual + (p->first_row + row) * p->n + column, live));
    if (e->next_factors) {
        v16 f = load_live(e->next_factors + column, live);
        y = e->next_grid == NLP_GRID_GELU ? v_fma(y, f, v_mul(v_set(NLP_GELU_OFFSET), f))
                                          : v_mul(y, f);
    }
    store_live(p->out + row * p->n + column, y, live);
    return live == NLP_PANEL ? v_abs(y) : v_first(v_abs(y), v_set(0), live);
}

/* The same, with the row's maximum. */
LANES_INLINE void finish(const nlp_product *p, const nlp_epilogue *e, size_t row, size_t column,
                         size_t live, v16 y) {
    v16 size = finish_columns(p, e, row, column, live, y);
    if (!e->row_max) return;
    float *top = e->row_max + NLP_LANES * (p->first_row + row);
    v_store(top, v_max_bits(v_load(top), size));
}

#endif
