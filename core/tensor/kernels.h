/* kernels.h: the table of compute kernels, one filled table per ISA level. Every level gives the
 * same bits: a product has one accumulator per output, started at 0, k ascending, one fma a step; a
 * sum has 16 lanes (lane j takes j, j + 16, ...; the tail skips lanes), then the tree 8, 4, 2, 1;
 * functions are the same polynomials in the same order of fma; division and sqrt are IEEE; rounding
 * is half-to-even. Kernels allocate nothing, check nothing (sizes are checked before), read no
 * state, and may be called by any thread. Pointers need not be aligned unless said. Budgets are
 * against double precision and are tested at every level. */
#ifndef NLP_TENSOR_KERNELS_H
#define NLP_TENSOR_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NLP_LANES 16 /* lanes of a sum; part of the numeric contract */
#define NLP_PANEL 16 /* columns of a weight panel */
/* most rows and panels of one product call, but for what i8_rows and i8_panels say */
#define NLP_TILE_ROWS    6
#define NLP_GROUP_PANELS 4
#define NLP_K_MULTIPLE   64   /* integer panels are padded with zeros to this k */
#define NLP_I16_PART     4096 /* k of one integer sum of i16: 4095 * 127 * 4096 < 2^31 */
#define NLP_Q4_GROUP     32   /* k that share a scale */

typedef enum nlp_activation {
    NLP_ACT_NONE = 0,
    NLP_ACT_GELU_ERF = 1,  /* x*Phi(x); absolute error <= 6e-7 */
    NLP_ACT_GELU_TANH = 2, /* absolute error <= 6e-7 */
    NLP_ACT_RELU = 3,
    NLP_ACT_TANH = 4,    /* absolute error <= 3e-7; NaN gives -1: the input is held to a range */
    NLP_ACT_SIGMOID = 5, /* absolute error <= 3e-7; NaN gives a number, as TANH */
    NLP_ACT_SILU = 6
} nlp_activation;

/* How the f32 rows that enter an i8 product become bytes; t = x * factor[channel], a = max |t| of
 * the row. */
typedef enum nlp_grid {
    NLP_GRID_SYMMETRIC = 0, /* q = rne(t * (127 / a)) + 128, zero point 128, scale a / 127 */
    NLP_GRID_GELU = 1 /* input is a GELU's output, t = fma(x, m, 0.17 * m) >= 0: q = rne(t * (255 /
                         a)), zero 0, scale a / 255 */
} nlp_grid;

#define NLP_GELU_OFFSET 0.17f

/* Behind the bytes of a row that enters a q4 product stands one of these for each group. */
typedef struct nlp_q4_group {
    float scale; /* max |x| / 127; NaN where a number of the group is not finite */
    int32_t sum; /* of the group's bytes */
} nlp_q4_group;

/* What happens to a tile before it is stored, in this order: scale and bias, addend, activation,
 * residual, next factors, max. */
typedef struct nlp_epilogue {
    const struct nlp_addend *addend; /* of an adapter (gemm.h); NULL: none */
    nlp_activation act;
    const float *residual; /* [m, n], row stride n; NULL: none */
    /* [n]: store t = y * f (GELU grid: fma(y, f, NLP_GELU_OFFSET * f)) instead of y; NULL: none */
    const float *next_factors;
    nlp_grid next_grid;
    /* [m][16]: running lane-wise max of |stored value|, caller zeroes it first; NULL: none */
    float *row_max;
} nlp_epilogue;

/* A few rows times a run of panels; see gemm.c, the only caller. */
typedef struct nlp_product {
    /* n: columns of the whole matrix; n % 16 columns of the last panel are not stored */
    size_t n_rows, k, n;
    size_t first_panel, n_panels;
    size_t first_k, end_k; /* f32: the k to sum; in these panels all others are zero */
    /* which of the calls over these panels this is, and bytes that it fetches of the next ones, for each 64 of a panel */
    size_t tile, fetch_step;
    /* f32 [n_rows, k]; i8: u8 [n_rows, k64], k64 = k padded to 64; i16: s16 [n_rows, k64]; q4: rows of
     * k64 s8, then k64 / 32 nlp_q4_group */
    const void *rows;
    const float *row_scales; /* i8, i16: [n_rows] */
    /* first byte of panel 0, 64-byte aligned; panel strides follow from k (quant.h) */
    const void *panels;
    nlp_grid grid; /* i8: zero point of the rows */
    const nlp_epilogue *epilogue;
    size_t first_row; /* index of row 0 in residual and row_max */
    /* what the epilogue's addend comes to for these rows and panels: [n_rows, columns of the panels],
     * row stride addend_stride; NULL: none */
    const float *addend;
    size_t addend_stride;
    float *out; /* [n_rows, n], row stride n */
} nlp_product;

/* Norms of rows: LayerNorm y = (x - mean) / sqrt(var + eps) * gain + bias in two passes, or with
 * `rms` y = x / sqrt(mean(x^2) + eps) * gain. With q: also the quantised row of y * factors on the
 * symmetric grid and its scale. */
typedef struct nlp_norm_args {
    const float *rows; /* [n_rows, width] */
    float *out;        /* [n_rows, width] y; may be rows */
    size_t n_rows, width;
    bool rms;
    const float *gain, *bias; /* [width]; bias is not used with rms */
    float eps;
    const float *factors; /* [width] of the next product; NULL: ones */
    uint8_t *q; /* [n_rows, width padded to 64], padding written as the zero point; NULL: none */
    float *q_scales; /* [n_rows] */
} nlp_norm_args;

/* Rows to bytes, given the maxima that an epilogue left, lane-wise (row_max NULL: found here). The
 * rows already hold t. */
typedef struct nlp_quantise_args {
    const float *rows; /* [n_rows, width] */
    size_t n_rows, width;
    const float *row_max; /* [n_rows][16] or NULL */
    nlp_grid grid;
    uint8_t *q; /* rows as nlp_product takes them, padding written as zero (i8: the zero point) */
    float *q_scales; /* [n_rows]; not of q4 */
} nlp_quantise_args;

/* Attention of one text and one head, a stripe of queries at a time. A query at position p sees the
 * keys p - before .. p + after; its score with key t is cap(q . k * scale + bias). Keys that a query
 * does not see weigh exactly 0, so bits don't depend on the stripe that a query lies in. */
#define NLP_STRIPE   64
#define NLP_ALL_KEYS SIZE_MAX
typedef struct nlp_attention_args {
    const float *q;     /* [n, head_dim], row stride `q_stride` floats */
    const float *k, *v; /* [n_keys, head_dim], row stride `kv_stride` floats */
    size_t q_stride, kv_stride;
    size_t n_keys, head_dim;
    size_t first_query, n_queries; /* the stripe: 1 .. NLP_STRIPE rows of q */
    size_t position;               /* among the keys of q's row 0 */
    size_t before, after;          /* NLP_ALL_KEYS: no limit; each query must see a key */
    float scale;                   /* 1 / sqrt(head_dim), or what the family says */
    float cap;                     /* cap * tanh(s / cap); 0: none */
    const float *bias; /* [n_keys][NLP_STRIPE], by key and query of the stripe; or NULL */
    float *out;        /* [n, head_dim], row stride out_stride */
    size_t out_stride;
    float *scratch; /* attention_scratch_floats(n_keys, head_dim), 64-byte aligned */
} nlp_attention_args;

/* Attention of one query, over keys and values that lie in blocks of 16 positions, for the query heads
 * that share a key head. Same bits as above. Number formats: f32, or halves. */
#define NLP_KV_BLOCK   NLP_LANES /* positions of a block: a key's lane is its part of a sum */
#define NLP_KV_QUERIES 4         /* query heads that a pass takes at most */
typedef struct nlp_cached_attention_args {
    const float *q; /* [n_heads, head_dim] */
    float *out;     /* the same */
    size_t n_heads, head_dim;
    /* block table[p / 16] begins at blocks + table[p / 16] * block_bytes; in it, at keys_at, a panel
     * [head_dim][16] and at values_at rows [16] of value_stride numbers, of which what stands behind
     * head_dim up to the next 16 may be read */
    const uint8_t *blocks;
    const uint32_t *table;
    size_t block_bytes, keys_at, values_at, value_stride;
    bool half;
    size_t first, end; /* the keys seen: first .. end - 1, at least one */
    float scale, cap;
    const float *bias; /* [n_heads][bias_stride], by key; or NULL */
    size_t bias_stride;
    float *scratch; /* [NLP_KV_QUERIES][end up to the next 16], 64-byte aligned */
} nlp_cached_attention_args;

typedef struct nlp_kernels {
    const char *name;          /* of its level (cpu.h) */
    size_t i8_rows, i8_panels; /* most rows and panels of a call of product_i8 */
    uint32_t level;

    void (*product_f32)(const nlp_product *product);
    void (*product_i8)(const nlp_product *product);
    void (*product_i16)(const nlp_product *product);
    void (*product_q4)(const nlp_product *product);
    void (*product_q4m)(const nlp_product *product); /* with minima */

    void (*norm)(const nlp_norm_args *args);
    void (*quantise)(const nlp_quantise_args *args);
    /* the same for i16: s16 = rne(x * (4095 / a)), a = max |x| of the row, scale a / 4095; and for
     * q4: s8 = rne(x * (127 / a)), a of 32 values, and the row's groups. row_max: i16 only */
    void (*quantise_i16)(const nlp_quantise_args *args);
    void (*quantise_q4)(const nlp_quantise_args *args);
    /* x *= factors by column, in place: [n_rows, width]; the unfused way into a product */
    void (*scale_columns)(float *rows, size_t n_rows, size_t width, const float *factors);
    /* gated FFN: rows [n_rows, 2 * width] of gate and up become [n_rows, width] of act(gate) * up,
     * in place, behind each other */
    void (*gate)(float *rows, size_t n_rows, size_t width, nlp_activation act);
    /* rotary positions: the halves of the first 2 * n_pairs numbers of each head turn,
     * (x, y) -> (x cos - y sin, y cos + x sin); heads lie head_dim apart */
    void (*rotate)(float *heads, size_t n_heads, size_t head_dim, size_t n_pairs, const float *cos,
                   const float *sin);
    void (*cap)(float *x, size_t n, float limit); /* limit * tanh(x / limit), in place */
    size_t (*attention_scratch_floats)(size_t n_keys, size_t head_dim);
    void (*attention)(const nlp_attention_args *args);
    void (*attention_cached)(const nlp_cached_attention_args *args);

    void (*add)(float *x, const float *y, size_t n); /* x += y */
    void (*dequantise_row)(float *out, const int8_t *row, float scale,
                           size_t n);                         /* out = row * scale */
    void (*activate)(float *x, size_t n, nlp_activation act); /* in place */
    void (*softmax)(float *x, size_t n);                      /* in place, n >= 1 */
    void (*scale)(float *x, size_t n, float factor);          /* x *= factor */
    float (*sum)(const float *x, size_t n);
    float (*dot)(const float *x, const float *y, size_t n);
    /* half floats: exact, and to the nearest, ties to even */
    void (*from_half)(float *out, const uint16_t *halves, size_t n);
    void (*to_half)(uint16_t *out, const float *x, size_t n);
    float (*max_abs)(const float *x, size_t n); /* integer maximum of the bits: NaN stays on top */
    void (*axpy)(float *y, const float *x, float a, size_t n); /* y = fma(a, x, y) */
    void (*maximum)(float *x, const float *y, size_t n);       /* x = max(x, y) */

    /* distances[i] = bits that differ between the query and signature i, both of n_words * 8 bytes */
    void (*hamming)(const uint8_t *query, const uint8_t *signatures, size_t n, size_t n_words,
                    uint32_t *distances);
    /* sum of query[i] * row[i], |query[i]| <= 4095, row[i] >= -127; *norm: of row[i] squared */
    int64_t (*dot_i16_i8)(const int16_t *query, const int8_t *row, size_t n, int64_t *norm);
} nlp_kernels;

/* The best table of this CPU at or under max_level and NLP_ISA (read once); never NULL. Any thread.
 */
const nlp_kernels *nlp_kernels_select(uint32_t max_level);
/* For tests: table number i that this CPU can run, NULL past the last; table 0 is "base". */
const nlp_kernels *nlp_kernels_at(size_t index);

/* ---- The caller's floating-point mode (cpu.c) ---- */
/* Sets round-to-nearest without flush-to-zero and returns what was there, for nlp_fp_restore. Every
 * public entry of the core that computes brackets itself with these two. */
uint64_t nlp_fp_enter(void);
void nlp_fp_restore(uint64_t saved);

#endif
