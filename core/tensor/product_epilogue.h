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
 * y: 16 columns of a row, scaled and with bias; `live` of them count, 16 but in the last panel. */
LANES_INLINE void finish(const nlp_product *p, const nlp_epilogue *e, size_t row, size_t column,
                         size_t live, v16 y) {
    size_t full_row = p->first_row + row;
    if (p->addend) {
        const float *addend = p->addend + row * p->addend_stride - p->first_panel * NLP_PANEL;
        y = v_add(y, load_live(addend + column, live));
    }
    y = v_activate(y, e->act);
    if (e->residual) y = v_add(y, load_live(e->residual + full_row * p->n + column, live));
    if (e->next_factors) {
        v16 f = load_live(e->next_factors + column, live);
        y = e->next_grid == NLP_GRID_GELU ? v_fma(y, f, v_mul(v_set(NLP_GELU_OFFSET), f))
                                          : v_mul(y, f);
    }
    store_live(p->out + row * p->n + column, y, live);
    if (!e->row_max) return;
    float *top = e->row_max + NLP_LANES * full_row;
    v16 size = v_abs(y);
    if (live != NLP_PANEL) size = v_first(size, v_set(0), live);
    v_store(top, v_max_bits(v_load(top), size));
}

#endif
