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

/* What stands behind a panel's weights: scales, start values, biases, 16 of each. */
LANES_INLINE const int8_t *trailer_of(const nlp_product *p, size_t k, size_t panel) {
    return (const int8_t *)p->panels + panel * (k + 12) * NLP_PANEL + k * NLP_PANEL;
}

/* Sums that wait for their scale, bias and epilogue: they are finished while tiles multiply, which is
 * work for other ports of the CPU. */
typedef struct unfinished {
    size_t panel, n_panels, row, n; /* rows row .. row + n - 1 of the product */
    int32_t (*sums)[2 * NLP_PANEL]; /* of row */
} unfinished;

/* `act` and `live` are constants where it matters. */
LANES_INLINE void finish_rows(const nlp_product *p, const float *trailer, const unfinished *u,
                              size_t n, size_t j, size_t live, nlp_activation act) {
    const nlp_product own = *p;
    const unfinished rows = *u;
    nlp_epilogue e = *p->epilogue;
    e.act = act;
    v16 scale = v_load(trailer), bias = v_load(trailer + 2 * NLP_PANEL);
    for (size_t i = 0; i < n; i++) {
        v16 both = v_mul(v_set(own.row_scales[rows.row + i]), scale);
        v16 y = v_fma(vi_to_float(vi_load(rows.sums[i] + j * NLP_PANEL)), both, bias);
        finish(&own, &e, rows.row + i, (rows.panel + j) * NLP_PANEL, live, y);
    }
}

static void finish_panel(const nlp_product *p, const unfinished *u, size_t n, size_t j) {
    size_t k = (p->k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
    const float *trailer = (const float *)(const void *)trailer_of(p, k, u->panel + j);
    size_t live = live_columns(p, u->panel + j);
    nlp_activation act = p->epilogue->act;
    if (live == NLP_PANEL && act == NLP_ACT_NONE)
        finish_rows(p, trailer, u, n, j, NLP_PANEL, NLP_ACT_NONE);
    else if (live == NLP_PANEL && act == NLP_ACT_GELU_ERF)
        finish_rows(p, trailer, u, n, j, NLP_PANEL, NLP_ACT_GELU_ERF);
    else
        finish_rows(p, trailer, u, n, j, live, act);
}

/* The next n rows, or what is left. */
static void finish_some(const nlp_product *p, unfinished *u, size_t n) {
    if (n > u->n) n = u->n;
    if (!n) return;
    for (size_t j = 0; j < u->n_panels; j++) finish_panel(p, u, n, j);
    u->row += n;
    u->n -= n;
    u->sums += n;
}

/* Two tiles of rows behind each other, or one, by two panels or one, into sums [2 * height][32]. */
LANES_INLINE void sum_tiles(const nlp_product *p, size_t k, const uint8_t *x, size_t height,
                            size_t panel, bool lower, bool second, int32_t (*sums)[2 * NLP_PANEL],
                            unfinished *before) {
    size_t stride = (k + 12) * NLP_PANEL, steps = k / NLP_K_MULTIPLE;
    size_t at_once = (before->n + steps - 1) / steps;
    const int8_t *w = (const int8_t *)p->panels + panel * stride;
    const int8_t *start =
        trailer_of(p, k, panel) + 64; /* of all rows, so loaded with a stride of 0 */
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
        finish_some(p, before, at_once);
    }
    _tile_stored(0, sums[0], sizeof *sums);
    if (second) _tile_stored(1, sums[0] + NLP_PANEL, sizeof *sums);
    if (lower) _tile_stored(2, sums[height], sizeof *sums);
    if (lower && second) _tile_stored(3, sums[height] + NLP_PANEL, sizeof *sums);
}

/* All rows by one panel or two. Tiles are of one height; the last one begins earlier where the rows
 * are no multiple of it, and what it has twice is not finished twice. */
static void run_panels(const nlp_product *p, size_t panel, bool second, size_t height,
                       int32_t (*sums)[2 * TILE][2 * NLP_PANEL], unfinished *before) {
    size_t k = (p->k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
    for (size_t done = 0, n; done < p->n_rows; done += n) {
        size_t left = p->n_rows - done, again = left < height ? height - left : 0;
        bool lower = left >= 2 * height;
        const uint8_t *x = (const uint8_t *)p->rows + (done - again) * k;
        int32_t(*own)[2 * NLP_PANEL] = before->sums < sums[1] ? sums[1] : sums[0];
        if (lower && second)
            sum_tiles(p, k, x, height, panel, true, true, own, before);
        else if (second)
            sum_tiles(p, k, x, height, panel, false, true, own, before);
        else
            sum_tiles(p, k, x, height, panel, lower, false, own, before);
        n = lower ? 2 * height : height - again;
        *before = (unfinished){panel, second ? 2 : 1, done, n, own + again};
    }
}

void nlp_product_i8_amx(const nlp_product *p) {
    if (p->n_rows <= NLP_TILE_ROWS) {
        nlp_product_i8_avx512vnni(p);
        return;
    }
    _Alignas(64) int32_t sums[2][2 * TILE][2 * NLP_PANEL];
    size_t n_tiles = (p->n_rows + TILE - 1) / TILE, height = (p->n_rows + n_tiles - 1) / n_tiles;
    unfinished last = {.sums = sums[1]};
    configure((uint8_t)height);
    for (size_t done = 0; done < p->n_panels; done += 2)
        run_panels(p, p->first_panel + done, done + 1 < p->n_panels, height, sums, &last);
    _tile_release();
    finish_some(p, &last, last.n);
}
