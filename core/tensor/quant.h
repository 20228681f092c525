/* quant.h: number formats and panel layouts, in both directions. Packing is used by the importer
 * and by tests, sizes by the pack reader. For a weight W[p][j] (p < k inputs, j < n outputs), given
 * row-major as w[j * k + p]: f32 panel j/16: [k][16] f32, element p*16 + j%16; then 16 f32 biases
 *   i8  panel j/16: [k64/4][16][4] s8 in -63 .. 63, byte (p/4)*64 + (j%16)*4 + p%4, k64 = k padded
 * to 64 with zeros; then 16 f32 column scales, 16 i32 start values (-128 * column sum; 0 on the
 * GELU grid), 16 f32 biases n is padded to 16 with zero columns. Layout id of both: NLP_LAYOUT_ID
 * in pack_format.h. */
#ifndef NLP_TENSOR_QUANT_H
#define NLP_TENSOR_QUANT_H

#include "tensor/gemm.h"

/* Bytes of one panel (always a multiple of 64) and of all panels; NLP_ELIMIT on overflow. */
size_t nlp_panel_bytes(nlp_dtype dtype, size_t k);
nlp_status nlp_panels_bytes(nlp_dtype dtype, size_t k, size_t n, size_t *n_bytes, nlp_error *err);

/* panels: nlp_panels_bytes, 64-byte aligned. bias [n] or NULL. */
void nlp_pack_f32(const float *w, const float *bias, size_t k, size_t n, void *panels);

/* Column j of f32 panels as a row: out [k]. */
void nlp_panel_row(const void *panels, size_t k, size_t j, float *out);

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

/* Back to row-major w [n, k] (divided by nothing: t-space for i8) and bias [n]; for tests and
 * `openblas`. */
void nlp_unpack(nlp_dtype dtype, const void *panels, size_t k, size_t n, float *w, float *bias);

/* An embedding row: s8 in -127 .. 127, scale max|x|/127. */
float nlp_quantise_s8_row(const float *row, size_t width, int8_t *out);

/* f16 and bf16 to f32, exact. */
float nlp_f32_from_f16(uint16_t bits);
float nlp_f32_from_bf16(uint16_t bits);

#endif
