/* quant_parts.h: what the files of number formats share: quant.c, quant_q4.c. */
#ifndef NLP_TENSOR_QUANT_PARTS_H
#define NLP_TENSOR_QUANT_PARTS_H

#include "tensor/quant.h"

/* x / scale, half to even, in -127 .. 127; 0 where the scale is 0. */
int8_t nlp_round_s8(float x, float scale);

/* ---- quant_q4.c; dtype: NLP_Q4 or NLP_Q4M ---- */

size_t nlp_q4_panel_bytes(nlp_dtype dtype, size_t padded_k);
/* Column j of a panel: w [k]. */
void nlp_q4_unpack_column(nlp_dtype dtype, const uint8_t *panel, size_t j, size_t k, float *w,
                          float *bias);

#endif
