/* quant.h: number formats and panel layouts, in both directions. Packing is used by the importer
 * and by tests, sizes by the pack reader. For a weight W[p][j] (p < k inputs, j < n outputs), given
 * row-major as w[j * k + p]: f32 panel j/16: [k][16] f32, element p*16 + j%16; then 16 f32 biases
 *   i8  panel j/16: [k64/4][16][4] s8 in -63 .. 63, byte (p/4)*64 + (j%16)*4 + p%4, k64 = k padded
 * to 64 with zeros; then 16 f32 column scales, 16 i32 start values (-128 * column sum; 0 on the
 * GELU grid), 16 f32 biases
 *   i16 panel j/16: [k64/2][16][2] s8 in -127 .. 127, byte (p/2)*32 + (j%16)*2 + p%2; then 16 f32
 * column scales, 16 f32 biases
 *   q4  panel j/16: steps of 64 k, each [8][16][4] bytes, where byte r of column j%16 in block b has
 * k = 8b + r in its low and k = 8b + 4 + r in its high nibble, then [2][16] f16 scales d of 32 k:
 * w = (q - 8) * d; behind the steps 16 f32 biases
 *   q4m as q4, with [2][16] f16 minima m behind the scales: w = q * d + m
 * n is padded to 16 with zero columns. Layout id of all: NLP_LAYOUT_ID in pack_format.h. */
#ifndef NLP_TENSOR_QUANT_H
#define NLP_TENSOR_QUANT_H

#include "tensor/gemm.h"
#include "tensor/half.h"

/* Bytes of one panel (always a multiple of 64) and of all panels; NLP_ELIMIT on overflow. */
size_t nlp_panel_bytes(nlp_dtype dtype, size_t k);
nlp_status nlp_panels_bytes(nlp_dtype dtype, size_t k, size_t n, size_t *n_bytes, nlp_error *err);

/* panels: nlp_panels_bytes, 64-byte aligned. bias [n] or NULL. */
void nlp_pack_f32(const float *w, const float *bias, size_t k, size_t n, void *panels);
/* The same of a matrix that lies the other way, x[p * n + j], without bias. */
void nlp_pack_f32_rows(const float *x, size_t k, size_t n, void *panels);

/* Column j of panels as a row: out [k]. */
void nlp_panel_row(nlp_dtype dtype, const void *panels, size_t k, size_t j, float *out);

typedef struct nlp_pack_i8_args {
    const float *w;    /* [n, k], the exact weights */
    const float *bias; /* [n] or NULL */
    size_t k, n;
    const float *factors; /* [k] m: the input is multiplied by m, so row p of W is divided by it */
    /* [n] or NULL: columns are multiplied by it (the factors of the product that follows) */
    const float *output_scale;
    /* [k] mean of the product's input x over the calibration, or NULL: no bias correction */
    const float *input_mean;
    nlp_grid grid;
} nlp_pack_i8_args;

/* Column scale max|w|/63, round half to even; the bias takes the mean error of the rounded weights
 * at input_mean, and on the GELU grid the constant of the offset, both with the rounded weights.
 * Double sums, fixed order. */
void nlp_pack_i8(const nlp_pack_i8_args *args, void *panels);

/* i16: column scale max|w|/127, round half to even. */
void nlp_pack_i16(const float *w, const float *bias, size_t k, size_t n, void *panels);
/* dtype: NLP_Q4 or NLP_Q4M. Numbers that lie on such a grid already (of a GGUF file's Q4_0, or Q4_1)
 * go over exactly; others get the scale, and minimum, of the least squared error among those that
 * put the largest numbers on a step. */
void nlp_pack_q4(nlp_dtype dtype, const float *w, const float *bias, size_t k, size_t n,
                 void *panels);

/* Back to row-major w [n, k] (divided by nothing: t-space for i8) and bias [n]; for tests and
 * `openblas`. */
void nlp_unpack(nlp_dtype dtype, const void *panels, size_t k, size_t n, float *w, float *bias);

/* An embedding row: s8 in -127 .. 127, scale max|x|/127. */
float nlp_quantise_s8_row(const float *row, size_t width, int8_t *out);

/* Exact; half floats: half.h. */
float nlp_f32_from_bf16(uint16_t bits);

#endif
