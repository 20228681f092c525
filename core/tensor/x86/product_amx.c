/* product_amx.c: the i8 product on AMX tiles: up to 32 rows by two panels, 64 k a step. A panel is
 * stored as such tiles already, the sums are the same integers as everywhere, and few rows take the
 * VNNI kernel. Tiles are configured and released in each call: nothing of them stays between calls,
 * so threads need no set-up and task switches save nothing. */
#include "tensor/x86/product_amx.h"
#include "tensor/product_epilogue.h"

enum { TILE = NLP_AMX_ROWS / 2 }; /* rows of a tile; a row has 64 bytes */

/* Tiles by number; intrinsics take literals only: sums 0 to 3, rows 4 and 5, panels 6 and 7. */
typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

static void configure(size_t n_rows) {
    uint8_t upper = (uint8_t)(n_rows < TILE ? n_rows : TILE), lower = (uint8_t)(n_rows - upper);
    tile_shapes shapes = {.palette = 1,
                          .rows = {upper, upper, lower, lower, upper, lower, TILE, TILE}};
    for (int i = 0; i < 8; i++) shapes.row_bytes[i] = shapes.rows[i] ? 4 * TILE : 0;
    _tile_loadconfig(&shapes);
}

/* Sums of one or two tiles of rows with one or two panels, into sums [32][panels of 16]. */
LANES_INLINE void sum_tiles(const nlp_product *p, size_t panel, bool lower, bool second,
                            int32_t (*sums)[2 * NLP_PANEL]) {
    size_t k = (p->k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
    size_t stride = (k + 12) * NLP_PANEL;
    const int8_t *w = (const int8_t *)p->panels + panel * stride;
    const uint8_t *x = p->rows, *x_lower = x + TILE * k;
    const int8_t *start = w + k * NLP_PANEL + 64; /* one row for all: a stride of 0 */
    _tile_loadd(0, start, 0);
    if (second) _tile_loadd(1, start + stride, 0);
    if (lower) _tile_loadd(2, start, 0);
    if (lower && second) _tile_loadd(3, start + stride, 0);
    for (size_t c = 0; c < k; c += NLP_K_MULTIPLE, w += NLP_K_MULTIPLE * NLP_PANEL) {
        _tile_loadd(6, w, 64);
        _tile_loadd(4, x + c, k);
        _tile_dpbusd(0, 4, 6);
        if (lower) {
            _tile_loadd(5, x_lower + c, k);
            _tile_dpbusd(2, 5, 6);
        }
        if (second) {
            _tile_loadd(7, w + stride, 64);
            _tile_dpbusd(1, 4, 7);
        }
        if (lower && second) _tile_dpbusd(3, 5, 7);
    }
    _tile_stored(0, sums[0], sizeof *sums);
    if (second) _tile_stored(1, sums[0] + NLP_PANEL, sizeof *sums);
    if (lower) _tile_stored(2, sums[TILE], sizeof *sums);
    if (lower && second) _tile_stored(3, sums[TILE] + NLP_PANEL, sizeof *sums);
}

/* Scale, bias and epilogue of one panel. */
static void finish_panel(const nlp_product *p, size_t panel, const int32_t *sums) {
    size_t k = (p->k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
    size_t stride = (k + 12) * NLP_PANEL, live = live_columns(p, panel);
    const int8_t *behind = (const int8_t *)p->panels + panel * stride + k * NLP_PANEL;
    const float *trailer = (const float *)(const void *)behind;
    v16 scale = v_load(trailer), bias = v_load(trailer + 2 * NLP_PANEL);
    for (size_t i = 0; i < p->n_rows; i++, sums += 2 * NLP_PANEL) {
        v16 both = v_mul(v_set(p->row_scales[i]), scale);
        finish(p, i, panel * NLP_PANEL, live, v_fma(vi_to_float(vi_load(sums)), both, bias));
    }
}

void nlp_product_i8_amx(const nlp_product *p) {
    if (p->n_rows <= NLP_TILE_ROWS) {
        nlp_product_i8_avx512vnni(p);
        return;
    }
    _Alignas(64) int32_t sums[NLP_AMX_ROWS][2 * NLP_PANEL];
    bool lower = p->n_rows > TILE;
    configure(p->n_rows);
    for (size_t done = 0; done < p->n_panels; done += 2) {
        size_t panel = p->first_panel + done;
        bool second = done + 1 < p->n_panels;
        if (lower && second)
            sum_tiles(p, panel, true, true, sums);
        else if (second)
            sum_tiles(p, panel, false, true, sums);
        else
            sum_tiles(p, panel, lower, false, sums);
        finish_panel(p, panel, sums[0]);
        if (second) finish_panel(p, panel + 1, sums[0] + NLP_PANEL);
    }
    _tile_release();
}
