/* product_amx.h: the product that the level "amx" has in place of its neighbour's. */
#ifndef NLP_TENSOR_PRODUCT_AMX_H
#define NLP_TENSOR_PRODUCT_AMX_H

#include "tensor/kernels.h"

#define NLP_AMX_ROWS   96 /* most rows and panels of a call; NLP_BLOCK_ROWS */
#define NLP_AMX_PANELS 64

void nlp_product_i8_amx(const nlp_product *product);
void nlp_product_i8_avx512vnni(const nlp_product *product);

#endif
