/* product_amx.c: the i8 product on AMX tiles: two tiles of rows by two panels, 64 k a step. A panel is
 * stored as such tiles already, the sums are the same integers as everywhere, and few rows take the
 * VNNI kernel. Tiles are configured and released in each call: nothing of them stays between calls,
 * so threads need no set-up and task switches save nothing. */
#include "tensor/x86/product_amx.h"
#include "tensor/product_epilogue.h"

enum { TILE = 16 }; /* rows of a tile, of 64 bytes each */

/* Tiles by number; intrinsics take literals only: sums 0 to 3, rows 4 and 5, panels 6 and 7. */
typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

static void configure(uint8_t height) {
    tile_shapes shapes = {.palette = 1,
                          .rows = {height, height, height, height, height, height, TILE, TILE}};
    for (int i = 0; i < 8; i++) shapes.row_bytes[i] = 4 * TILE;
    _tile_loadconfig(&shapes);
}

/* A panel's start values, 16 in one row, stand for all rows: a stride of 0. */
LANES_INLINE const int8_t *trailer_of(const nlp_product *p, size_t k, size_t panel) {
    return (const int8_t *)p->panels + panel * (k + 12) * NLP_PANEL + k * NLP_PANEL;
}

/* Two tiles of rows, `height` rows apart, or one, by two panels or one, into sums [2][16][32]. */
LANES_INLINE void sum_tiles(const nlp_product *p, size_t k, const uint8_t *x, size_t height,
                            size_t panel, bool lower, bool second,
                            int32_t (*sums)[TILE][2 * NLP_PANEL]) {
    size_t stride = (k + 12) * NLP_PANEL;
    const int8_t *w = (const int8_t *)p->panels + panel * stride;
    const int8_t *start = trailer_of(p, k, panel) + 64;
    _tile_loadd(0, start, 0);
    if (second) _tile_loadd(1, start + stride, 0);
    if (lower) _tile_loadd(2, start, 0);
    if (lower && second) _tile_loadd(3, start + stride, 0);
    for (size_t c = 0; c < k; c += NLP_K_MULTIPLE, w += NLP_K_MULTIPLE * NLP_PANEL) {
        _tile_loadd(6, w, 64);
        _tile_loadd(4, x + c, k);
        _tile_dpbusd(0, 4, 6);
        if (lower) {
            _tile_loadd(5, x + height * k + c, k);
            _tile_dpbusd(2, 5, 6);
        }
        if (second) {
            _tile_loadd(7, w + stride, 64);
            _tile_dpbusd(1, 4, 7);
        }
        if (lower && second) _tile_dpbusd(3, 5, 7);
    }
    _tile_stored(0, sums[0], sizeof **sums);
    if (second) _tile_stored(1, sums[0][0] + NLP_PANEL, sizeof **sums);
    if (lower) _tile_stored(2, sums[1], sizeof **sums);
    if (lower && second) _tile_stored(3, sums[1][0] + NLP_PANEL, sizeof **sums);
}

/* Scale, bias and epilogue of a tile; `act` and `live` are constants where it matters. */
LANES_INLINE void finish_rows(const nlp_product *p, const float *trailer, size_t first, size_t n,
                              size_t column, size_t live, nlp_activation act,
                              int32_t (*sums)[2 * NLP_PANEL]) {
    v16 scale = v_load(trailer), bias = v_load(trailer + 2 * NLP_PANEL);
    for (size_t i = 0; i < n; i++) {
        v16 both = v_mul(v_set(p->row_scales[first + i]), scale);
        v16 y = v_fma(vi_to_float(vi_load(sums[i])), both, bias);
        finish(p, first + i, column, live, act, y);
    }
}

static void finish_tile(const nlp_product *p, size_t k, size_t panel, size_t first, size_t n,
                        int32_t (*sums)[2 * NLP_PANEL]) {
    const float *trailer = (const float *)(const void *)trailer_of(p, k, panel);
    size_t column = panel * NLP_PANEL, live = live_columns(p, panel);
    nlp_activation act = p->epilogue->act;
    if (live < NLP_PANEL)
        finish_rows(p, trailer, first, n, column, live, act, sums);
    else if (act == NLP_ACT_NONE)
        finish_rows(p, trailer, first, n, column, NLP_PANEL, NLP_ACT_NONE, sums);
    else if (act == NLP_ACT_GELU_ERF)
        finish_rows(p, trailer, first, n, column, NLP_PANEL, NLP_ACT_GELU_ERF, sums);
    else
        finish_rows(p, trailer, first, n, column, NLP_PANEL, act, sums);
}

/* All rows by one panel or two. Tiles are of one height; the last one begins earlier where the rows
 * are no multiple of it, and what it has twice is not finished twice. */
static void run_panels(const nlp_product *p, size_t panel, bool second, size_t height) {
    _Alignas(64) int32_t sums[2][TILE][2 * NLP_PANEL];
    size_t k = (p->k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
    for (size_t done = 0, n; done < p->n_rows; done += n) {
        size_t left = p->n_rows - done;
        bool lower = left >= 2 * height;
        size_t again = left < height ? height - left : 0;
        n = lower ? 2 * height : height - again;
        const uint8_t *x = (const uint8_t *)p->rows + (done - again) * k;
        if (lower && second)
            sum_tiles(p, k, x, height, panel, true, true, sums);
        else if (second)
            sum_tiles(p, k, x, height, panel, false, true, sums);
        else
            sum_tiles(p, k, x, height, panel, lower, false, sums);
        for (size_t t = 0; t < (lower ? 2 : 1); t++)
            for (size_t j = 0; j < (second ? 2 : 1); j++)
                finish_tile(p, k, panel + j, done + t * height, height - again,
                            (int32_t(*)[2 * NLP_PANEL])(sums[t][again] + j * NLP_PANEL));
    }
}

void nlp_product_i8_amx(const nlp_product *p) {
    if (p->n_rows <= NLP_TILE_ROWS) {
        nlp_product_i8_avx512vnni(p);
        return;
    }
    size_t n_tiles = (p->n_rows + TILE - 1) / TILE, height = (p->n_rows + n_tiles - 1) / n_tiles;
    configure((uint8_t)height);
    for (size_t done = 0; done < p->n_panels; done += 2)
        run_panels(p, p->first_panel + done, done + 1 < p->n_panels, height);
    _tile_release();
}
