/* product_tmpl.c: products of up to six rows with runs of panels, compiled once per ISA level. One
 * accumulator an output, k ascending, one fma a step (f32) or a group of 32 (q4), or exact integers
 * (i8, i16); then the epilogue while the tile is in the first cache level. Rows and
 * panels of a tile are constants, so the accumulators stay in registers. */
#include "tensor/product_epilogue.h"
#include "tensor/quant.h"

#define TILE_PANELS      LANES_TILE_PANELS
#define CONSTANT_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)

/* A row's 16 columns of a panel, fewer in the last one, into `out`. */
LANES_INLINE void store_panel(const nlp_product *p, int row, size_t panel, v16 x) {
    store_live(p->out + (size_t)row * p->n + panel * NLP_PANEL, x, live_columns(p, panel));
}

LANES_INLINE bool only_stores(const nlp_epilogue *e) {
    return e->act == NLP_ACT_NONE && !e->addend && !e->residual && !e->next_factors && !e->row_max;
}

/* `is_full` and `act` are constants where it matters: a row's maximum stays in a register, and no jump stands between
 * the columns, whose long chains of fma overlap then. */
LANES_INLINE void finish_rows(const nlp_product *p, size_t panel, size_t panels, bool is_full,
                              nlp_activation act) {
    const nlp_product own = *p;
    nlp_epilogue e = *p->epilogue;
    e.act = act;
    for (size_t i = 0; i < own.n_rows; i++) {
        float *row_max = e.row_max ? e.row_max + NLP_LANES * (own.first_row + i) : NULL;
        v16 top = row_max ? v_load(row_max) : v_set(0);
        for (size_t j = panel; j < panel + panels; j++) {
            size_t column = j * NLP_PANEL, live = is_full ? NLP_PANEL : live_columns(&own, j);
            v16 y = load_live(own.out + i * own.n + column, live);
            top = v_max_bits(top, finish_columns(&own, &e, i, column, live, y));
        }
        if (row_max) v_store(row_max, top);
    }
}

/* The epilogue of a whole tile, while it is in the first cache level: kept out of the tiles, which
 * keep their sums in registers. */
static __attribute__((noinline)) void finish_tile(const nlp_product *p, size_t panel,
                                                  size_t panels) {
    const nlp_epilogue *e = p->epilogue;
    bool is_full = (panel + panels) * NLP_PANEL <= p->n;
    if (only_stores(e)) return;
    if (is_full && e->act == NLP_ACT_GELU_ERF)
        finish_rows(p, panel, panels, true, NLP_ACT_GELU_ERF);
    else if (is_full && e->act == NLP_ACT_NONE)
        finish_rows(p, panel, panels, true, NLP_ACT_NONE);
    else
        finish_rows(p, panel, panels, false, e->act);
}

/* ---- Fetching ahead: while tiles sum a run of panels, they fetch the next run, each of them a share of it. All of
 * it by the first tile would fill the CPU's list of lines that are awaited; by every tile it would be work for nothing.
 * (q4 does that: there the count of a share costs more.) ---- */

/* Where a tile's share begins, in the run after that of w; panels lie `stride` bytes apart. For each line of 64 bytes
 * that is summed, fetch_step bytes are passed. */
LANES_INLINE const char *next_run(const nlp_product *p, const void *w, size_t stride) {
    return (const char *)w + p->n_panels * stride + p->tile * p->fetch_step * (stride / 64);
}

/* ---- f32: panel [k][16], then 16 biases ---- */

/* All accumulators of a tile are registers; k is the only loop. */
LANES_INLINE void tile_f32(const nlp_product *p, size_t panel, int rows, int panels) {
    size_t k = p->k, stride = (k + 1) * NLP_PANEL;
    const float *first = (const float *)p->panels + panel * stride, *x = p->rows;
    const float *w = first + p->first_k * NLP_PANEL;
    size_t step = p->fetch_step;
    const char *next = next_run(p, w, stride * sizeof *w);
    v16 sum[NLP_TILE_ROWS][TILE_PANELS];
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int j = 0; j < panels; j++)
        sum[i][j] = v_set(0);
    for (size_t c = p->first_k; c < p->end_k; c++, w += NLP_PANEL, next += step) {
        v16 column[TILE_PANELS];
        LANES_UNROLL for (int j = 0; j < panels; j++) {
            column[j] = v_load(w + (size_t)j * stride);
            LANES_PREFETCH(next + (size_t)j * stride * sizeof *w);
        }
        LANES_UNROLL for (int i = 0; i < rows; i++) {
            v16 one = v_set(x[(size_t)i * k + c]);
            LANES_UNROLL for (int j = 0; j < panels; j++) sum[i][j] =
                v_fma(one, column[j], sum[i][j]);
        }
    }
    LANES_UNROLL for (int j = 0; j < panels; j++) {
        v16 bias = v_load(first + k * NLP_PANEL + (size_t)j * stride);
        LANES_UNROLL for (int i = 0; i < rows; i++)
            store_panel(p, i, panel + (size_t)j, v_add(sum[i][j], bias));
    }
}

/* ---- i8: panel [k64/4][16][4] s8, then 16 f32 scales, 16 i32 start values, 16 f32 biases ---- */

/* Integer sums are exact, so their order is free; scale and bias are one fma behind them. */
LANES_INLINE void tile_i8(const nlp_product *p, size_t panel, int rows, int panels) {
    size_t k = (p->k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
    size_t stride = (k + 12) * NLP_PANEL;
    const int8_t *w = (const int8_t *)p->panels + panel * stride;
    const uint8_t *x = p->rows;
    size_t step = p->fetch_step;
    const char *next = next_run(p, w, stride);
    vi16 sum[NLP_TILE_ROWS][TILE_PANELS];
    LANES_UNROLL for (int j = 0; j < panels; j++) {
        vi16 start =
            vi_load((const int32_t *)(const void *)(w + (size_t)j * stride + k * NLP_PANEL + 64));
        LANES_UNROLL for (int i = 0; i < rows; i++) sum[i][j] = start;
    }
    for (size_t c = 0; c < k; c += 4, w += 4 * NLP_PANEL, next += step) {
        vb64 four[TILE_PANELS];
        LANES_UNROLL for (int j = 0; j < panels; j++) {
            four[j] = vb_load(w + (size_t)j * stride);
            LANES_PREFETCH(next + (size_t)j * stride);
        }
        LANES_UNROLL for (int i = 0; i < rows; i++) {
            vq4 q = vq_load(x + (size_t)i * k + c);
            LANES_UNROLL for (int j = 0; j < panels; j++) sum[i][j] = vi_dot(sum[i][j], q, four[j]);
        }
    }
    LANES_UNROLL for (int j = 0; j < panels; j++) {
        const float *trailer = (const float *)(const void *)(w + (size_t)j * stride);
        v16 scale = v_load(trailer), bias = v_load(trailer + 32);
        LANES_UNROLL for (int i = 0; i < rows; i++) {
            v16 both = v_mul(v_set(p->row_scales[i]), scale);
            store_panel(p, i, panel + (size_t)j, v_fma(vi_to_float(sum[i][j]), both, bias));
        }
    }
}

/* ---- i16: panel [k64/2][16][2] s8, then 16 f32 scales, 16 f32 biases ---- */

/* Integer sums of at most NLP_I16_PART k can't overflow; the parts are added in f32. */
LANES_INLINE void tile_i16(const nlp_product *p, size_t panel, int rows, int panels) {
    size_t k = (p->k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
    size_t stride = (k + 8) * NLP_PANEL;
    const int8_t *w = (const int8_t *)p->panels + panel * stride;
    const int16_t *x = p->rows;
    size_t step = p->fetch_step;
    const char *next = next_run(p, w, stride);
    v16 total[NLP_TILE_ROWS][TILE_PANELS];
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int j = 0; j < panels; j++)
        total[i][j] = v_set(0);
    for (size_t first = 0; first < k; first += NLP_I16_PART) {
        size_t end = k - first < NLP_I16_PART ? k : first + NLP_I16_PART;
        vi16 sum[NLP_TILE_ROWS][TILE_PANELS];
        LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int j = 0; j < panels; j++)
            sum[i][j] = vi_set(0);
        for (size_t c = first; c < end; c += 2, w += 2 * NLP_PANEL, next += step / 2) {
            vs32 two[TILE_PANELS];
            LANES_UNROLL for (int j = 0; j < panels; j++) {
                two[j] = vs_load(w + (size_t)j * stride);
                LANES_PREFETCH(next + (size_t)j * stride);
            }
            LANES_UNROLL for (int i = 0; i < rows; i++) {
                vq2 q = vq2_load(x + (size_t)i * k + c);
                LANES_UNROLL for (int j = 0; j < panels; j++) sum[i][j] =
                    vi_dot2(sum[i][j], q, two[j]);
            }
        }
        LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int j = 0; j < panels; j++)
            total[i][j] = v_add(total[i][j], vi_to_float(sum[i][j]));
    }
    LANES_UNROLL for (int j = 0; j < panels; j++) {
        const float *trailer = (const float *)(const void *)(w + (size_t)j * stride);
        v16 scale = v_load(trailer), bias = v_load(trailer + 16);
        LANES_UNROLL for (int i = 0; i < rows; i++)
            store_panel(p, i, panel + (size_t)j,
                        v_fma(total[i][j], v_mul(v_set(p->row_scales[i]), scale), bias));
    }
}

/* ---- q4: panel of steps of 64 k: [8][16][4] bytes (the low nibbles are k = 8b + r, the high ones 8b
 * + 4 + r), 2 x 16 f16 scales d, for q4m 2 x 16 f16 minima m; then 16 f32 biases ---- */

LANES_INLINE size_t q4_step(bool minima) {
    return minima ? 640 : 576;
}
LANES_INLINE size_t q4_stride(size_t k, bool minima) {
    return k / NLP_K_MULTIPLE * q4_step(minima) + 64;
}

/* Groups of 32 k: what a group adds is d * s * (sum of q x - 8 * sum of x), or with minima d * s *
 * sum of q x, then m * (s * sum of x). */
LANES_INLINE void add_group(const nlp_product *p, const uint8_t *w, size_t group, int rows,
                            int panels, bool minima, v16 sum[NLP_TILE_ROWS][TILE_PANELS]) {
    size_t k = (p->k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
    size_t stride = q4_stride(k, minima);
    size_t row_bytes = k + k / NLP_Q4_GROUP * sizeof(nlp_q4_group), half = group % 2;
    const uint8_t *x = p->rows;
    vgroup part[NLP_TILE_ROWS][TILE_PANELS];
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int j = 0; j < panels; j++)
        part[i][j] = vg_zero();
    LANES_UNROLL for (size_t b = 0; b < 4; b++) {
        vn128 eight[TILE_PANELS];
        LANES_UNROLL for (int j = 0; j < panels; j++) {
            const uint8_t *at = w + (size_t)j * stride + 256 * half + 64 * b;
            eight[j] = vn_load(at);
            LANES_PREFETCH(at + (size_t)panels * stride);
        }
        LANES_UNROLL for (int i = 0; i < rows; i++) {
            const uint8_t *at = x + (size_t)i * row_bytes + NLP_Q4_GROUP * group + 8 * b;
            vq4 low = vq_load(at), high = vq_load(at + 4);
            LANES_UNROLL for (int j = 0; j < panels; j++) part[i][j] =
                vg_dot(part[i][j], low, high, eight[j]);
        }
    }
    LANES_UNROLL for (int j = 0; j < panels; j++) {
        const uint16_t *halves = (const uint16_t *)(const void *)(w + (size_t)j * stride + 512);
        if (!half) LANES_PREFETCH(halves + (size_t)panels * stride / 2);
        if (!half && minima) LANES_PREFETCH(halves + (size_t)panels * stride / 2 + 2 * NLP_PANEL);
        v16 d = v_load_half(halves + NLP_PANEL * half);
        LANES_UNROLL for (int i = 0; i < rows; i++) {
            const nlp_q4_group *g =
                (const nlp_q4_group *)(const void *)(x + (size_t)i * row_bytes + k) + group;
            v16 q = vi_to_float(vg_sum(part[i][j], minima ? 0 : -8 * g->sum));
            sum[i][j] = v_fma(q, v_mul(v_set(g->scale), d), sum[i][j]);
            if (minima)
                sum[i][j] = v_fma(v_load_half(halves + NLP_PANEL * (2 + half)),
                                  v_set(g->scale * (float)g->sum), sum[i][j]);
        }
    }
}

LANES_INLINE void tile_q4(const nlp_product *p, size_t panel, int rows, int panels, bool minima) {
    size_t steps = (p->k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE;
    size_t stride = q4_stride(steps * NLP_K_MULTIPLE, minima);
    const uint8_t *w = (const uint8_t *)p->panels + panel * stride;
    v16 sum[NLP_TILE_ROWS][TILE_PANELS];
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int j = 0; j < panels; j++)
        sum[i][j] = v_set(0);
    for (size_t step = 0; step < steps; step++, w += q4_step(minima)) {
        add_group(p, w, 2 * step, rows, panels, minima, sum);
        add_group(p, w, 2 * step + 1, rows, panels, minima, sum);
    }
    LANES_UNROLL for (int j = 0; j < panels; j++) {
        v16 bias = v_load((const float *)(const void *)(w + (size_t)j * stride));
        LANES_UNROLL for (int i = 0; i < rows; i++)
            store_panel(p, i, panel + (size_t)j, v_add(sum[i][j], bias));
    }
}

/* ---- Tiles with constant rows, groups of panels, then single ones ---- */

/* q4 has two sums an output, so that more rows leave registers for fewer panels. */
#define Q4_PANELS(rows) ((rows) > 2 && TILE_PANELS > 2 ? 2 : TILE_PANELS)

#define ONE_TILE(name, rows, body)                                                                 \
    static __attribute__((noinline)) void name##_##rows(const nlp_product *p, size_t panel) {      \
        body;                                                                                      \
    }
#define SINGLE(rows)                                                                               \
    ONE_TILE(single_f32, rows, tile_f32(p, panel, rows, 1))                                        \
    ONE_TILE(single_i8, rows, tile_i8(p, panel, rows, 1))                                          \
    ONE_TILE(single_i16, rows, tile_i16(p, panel, rows, 1))                                        \
    ONE_TILE(single_q4, rows, tile_q4(p, panel, rows, 1, false))                                   \
    ONE_TILE(single_q4m, rows, tile_q4(p, panel, rows, 1, true))
#define GROUP(rows)                                                                                \
    ONE_TILE(group_f32, rows, tile_f32(p, panel, rows, TILE_PANELS))                               \
    ONE_TILE(group_i8, rows, tile_i8(p, panel, rows, TILE_PANELS))                                 \
    ONE_TILE(group_i16, rows, tile_i16(p, panel, rows, TILE_PANELS))                               \
    ONE_TILE(group_q4, rows, tile_q4(p, panel, rows, Q4_PANELS(rows), false))                      \
    ONE_TILE(group_q4m, rows, tile_q4(p, panel, rows, Q4_PANELS(rows), true))
CONSTANT_ROWS(SINGLE)

#define NAMED(name)                                                                                \
    { name##_1, name##_2, name##_3, name##_4, name##_5, name##_6 }
#if LANES_TILE_PANELS > 1
CONSTANT_ROWS(GROUP)
#define GROUPS(format) NAMED(group_##format)
#else /* a group is a single panel */
#define GROUPS(format) NAMED(single_##format)
#endif

typedef void (*tile_fn)(const nlp_product *p, size_t panel);

static void run_tiles(const nlp_product *p, size_t panels, tile_fn group, tile_fn single) {
    size_t panel = p->first_panel, end = p->first_panel + p->n_panels;
    for (; panel + panels <= end; panel += panels) {
        group(p, panel);
        finish_tile(p, panel, panels);
    }
    for (; panel < end; panel++) {
        single(p, panel);
        finish_tile(p, panel, 1);
    }
}

/* The product of a number format: a tile for each number of rows, over groups of panels. */
#define PRODUCT(format, panels)                                                                    \
    void NLP_LEVEL(product_##format)(const nlp_product *product);                                  \
    void NLP_LEVEL(product_##format)(const nlp_product *product) {                                 \
        static const tile_fn group[] = GROUPS(format), single[] = NAMED(single_##format);          \
        run_tiles(product, panels, group[product->n_rows - 1], single[product->n_rows - 1]);       \
    }
PRODUCT(f32, TILE_PANELS)
PRODUCT(i8, TILE_PANELS)
PRODUCT(i16, TILE_PANELS)
PRODUCT(q4, Q4_PANELS(product->n_rows))
PRODUCT(q4m, Q4_PANELS(product->n_rows))
