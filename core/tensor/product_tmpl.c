/* product_tmpl.c: products of up to six rows with runs of panels, compiled once per ISA level. One
 * accumulator an output, k ascending, one fma a step (f32), or exact integers (i8); then the
 * epilogue while the tile is in registers. Rows and panels of a tile are constants, so the
 * accumulators stay in registers. */
#include "tensor/lanes.h"
#include "tensor/quant.h"

#define TILE_PANELS      LANES_TILE_PANELS
#define CONSTANT_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)

LANES_INLINE size_t live_columns(const nlp_product *p, size_t panel) {
    size_t left = p->n - panel * NLP_PANEL;
    return left < NLP_PANEL ? left : NLP_PANEL;
}

LANES_INLINE v16 load_live(const float *p, size_t live) {
    return live == NLP_PANEL ? v_load(p) : v_load_n(p, live);
}
LANES_INLINE void store_live(float *p, v16 x, size_t live) {
    if (live == NLP_PANEL)
        v_store(p, x);
    else
        v_store_n(p, x, live);
}

/* The epilogue of one row's 16 columns, which lie in `out` as scaled sums with bias; 16 live
 * columns but in the last panel. */
LANES_INLINE void finish(const nlp_product *p, const nlp_epilogue *e, size_t row, size_t column,
                         size_t live) {
    float *out = p->out + row * p->n + column;
    size_t full_row = p->first_row + row;
    v16 y = v_activate(load_live(out, live), e->act);
    if (e->residual) y = v_add(y, load_live(e->residual + full_row * p->n + column, live));
    if (e->next_factors) {
        v16 f = load_live(e->next_factors + column, live);
        y = e->next_grid == NLP_GRID_GELU ? v_fma(y, f, v_mul(v_set(NLP_GELU_OFFSET), f))
                                          : v_mul(y, f);
    }
    store_live(out, y, live);
    if (!e->row_max) return;
    float *top = e->row_max + NLP_LANES * full_row;
    v16 size = v_abs(y);
    if (live != NLP_PANEL) size = v_first(size, v_set(0), live);
    v_store(top, v_max_bits(v_load(top), size));
}

/* The epilogue of a whole tile, while it is in the first cache level: kept out of the tiles, which
 * keep their sums in registers. */
static __attribute__((noinline)) void finish_tile(const nlp_product *p, size_t panel,
                                                  size_t panels) {
    const nlp_epilogue *e = p->epilogue;
    if (e->act == NLP_ACT_NONE && !e->residual && !e->next_factors && !e->row_max) return;
    for (size_t i = 0; i < p->n_rows; i++)
        for (size_t j = panel; j < panel + panels; j++)
            finish(p, e, i, j * NLP_PANEL, live_columns(p, j));
}

/* ---- f32: panel [k][16], then 16 biases ---- */

/* All accumulators of a tile are registers; k is the only loop. */
LANES_INLINE void tile_f32(const nlp_product *p, size_t panel, int rows, int panels) {
    size_t k = p->k, stride = (k + 1) * NLP_PANEL;
    const float *w = (const float *)p->panels + panel * stride, *x = p->rows;
    v16 sum[NLP_TILE_ROWS][TILE_PANELS];
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int j = 0; j < panels; j++)
        sum[i][j] = v_set(0);
    for (size_t c = 0; c < k; c++, w += NLP_PANEL) {
        v16 column[TILE_PANELS];
        LANES_UNROLL for (int j = 0; j < panels; j++) column[j] = v_load(w + (size_t)j * stride);
        LANES_UNROLL for (int i = 0; i < rows; i++) {
            v16 one = v_set(x[(size_t)i * k + c]);
            LANES_UNROLL for (int j = 0; j < panels; j++) sum[i][j] =
                v_fma(one, column[j], sum[i][j]);
        }
    }
    LANES_UNROLL for (int j = 0; j < panels; j++) {
        v16 bias = v_load(w + (size_t)j * stride); /* w stands behind the last k */
        size_t live = live_columns(p, panel + (size_t)j), column = (panel + (size_t)j) * NLP_PANEL;
        LANES_UNROLL for (int i = 0; i < rows; i++)
            store_live(p->out + (size_t)i * p->n + column, v_add(sum[i][j], bias), live);
    }
}

/* ---- i8: panel [k64/4][16][4] s8, then 16 f32 scales, 16 i32 start values, 16 f32 biases ---- */

/* Integer sums are exact, so their order is free; scale and bias are one fma behind them. */
LANES_INLINE void tile_i8(const nlp_product *p, size_t panel, int rows, int panels) {
    size_t k = (p->k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
    size_t stride = (k + 12) * NLP_PANEL;
    const int8_t *w = (const int8_t *)p->panels + panel * stride;
    const uint8_t *x = p->rows;
    vi16 sum[NLP_TILE_ROWS][TILE_PANELS];
    LANES_UNROLL for (int j = 0; j < panels; j++) {
        vi16 start =
            vi_load((const int32_t *)(const void *)(w + (size_t)j * stride + k * NLP_PANEL + 64));
        LANES_UNROLL for (int i = 0; i < rows; i++) sum[i][j] = start;
    }
    for (size_t c = 0; c < k; c += 4, w += 4 * NLP_PANEL) {
        vb64 four[TILE_PANELS];
        LANES_UNROLL for (int j = 0; j < panels; j++) four[j] = vb_load(w + (size_t)j * stride);
        LANES_UNROLL for (int i = 0; i < rows; i++) {
            vq4 q = vq_load(x + (size_t)i * k + c);
            LANES_UNROLL for (int j = 0; j < panels; j++) sum[i][j] = vi_dot(sum[i][j], q, four[j]);
        }
    }
    LANES_UNROLL for (int j = 0; j < panels; j++) {
        const float *trailer = (const float *)(const void *)(w + (size_t)j * stride);
        v16 scale = v_load(trailer), bias = v_load(trailer + 32);
        size_t live = live_columns(p, panel + (size_t)j), column = (panel + (size_t)j) * NLP_PANEL;
        LANES_UNROLL for (int i = 0; i < rows; i++) {
            v16 both = v_mul(v_set(p->row_scales[i]), scale);
            store_live(p->out + (size_t)i * p->n + column,
                       v_fma(vi_to_float(sum[i][j]), both, bias), live);
        }
    }
}

/* ---- Tiles with constant rows, groups of panels, then single ones ---- */

#define TILE(rows)                                                                                 \
    static __attribute__((noinline)) void group_f32_##rows(const nlp_product *p, size_t panel) {   \
        tile_f32(p, panel, rows, TILE_PANELS);                                                     \
    }                                                                                              \
    static __attribute__((noinline)) void single_f32_##rows(const nlp_product *p, size_t panel) {  \
        tile_f32(p, panel, rows, 1);                                                               \
    }                                                                                              \
    static __attribute__((noinline)) void group_i8_##rows(const nlp_product *p, size_t panel) {    \
        tile_i8(p, panel, rows, TILE_PANELS);                                                      \
    }                                                                                              \
    static __attribute__((noinline)) void single_i8_##rows(const nlp_product *p, size_t panel) {   \
        tile_i8(p, panel, rows, 1);                                                                \
    }
CONSTANT_ROWS(TILE)

typedef void (*tile_fn)(const nlp_product *p, size_t panel);
#define GROUP_F32(rows)  group_f32_##rows,
#define SINGLE_F32(rows) single_f32_##rows,
#define GROUP_I8(rows)   group_i8_##rows,
#define SINGLE_I8(rows)  single_i8_##rows,

static void run_tiles(const nlp_product *p, tile_fn group, tile_fn single) {
    size_t panel = p->first_panel, end = p->first_panel + p->n_panels;
    for (; panel + TILE_PANELS <= end; panel += TILE_PANELS) {
        group(p, panel);
        finish_tile(p, panel, TILE_PANELS);
    }
    for (; panel < end; panel++) {
        single(p, panel);
        finish_tile(p, panel, 1);
    }
}

void NLP_LEVEL(product_f32)(const nlp_product *product);
void NLP_LEVEL(product_f32)(const nlp_product *product) {
    static const tile_fn group[] = {CONSTANT_ROWS(GROUP_F32)},
                         single[] = {CONSTANT_ROWS(SINGLE_F32)};
    run_tiles(product, group[product->n_rows - 1], single[product->n_rows - 1]);
}

void NLP_LEVEL(product_i8)(const nlp_product *product);
void NLP_LEVEL(product_i8)(const nlp_product *product) {
    static const tile_fn group[] = {CONSTANT_ROWS(GROUP_I8)}, single[] = {CONSTANT_ROWS(SINGLE_I8)};
    run_tiles(product, group[product->n_rows - 1], single[product->n_rows - 1]);
}
