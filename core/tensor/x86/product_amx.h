/* product_amx.h: the product that the level "amx" has in place of its neighbour's. */
#ifndef NLP_TENSOR_PRODUCT_AMX_H
#define NLP_TENSOR_PRODUCT_AMX_H

#include "tensor/kernels.h"

#define NLP_AMX_ROWS 32 /* most rows of a call */

void nlp_product_i8_amx(const nlp_product *product);
void nlp_product_i8_avx512vnni(const nlp_product *product);

#endif
