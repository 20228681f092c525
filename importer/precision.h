/* precision.h: number formats by name, and which of them an import tries. */
#ifndef NLP_IMPORTER_PRECISION_H
#define NLP_IMPORTER_PRECISION_H

#include "model_folder.h"
#include "tensor/gemm.h"

enum { NLP_MAX_PRECISIONS = 4 };

const char *nlp_precision_name(nlp_dtype precision);
nlp_status nlp_precision_find(const char *name, nlp_dtype *precision, nlp_error *err);
/* What an import tries without a wish, the fastest first; f32 stands behind all of them. Returns how
 * many. */
size_t nlp_precision_order(const nlp_model_folder *folder, nlp_dtype order[NLP_MAX_PRECISIONS]);

#endif
