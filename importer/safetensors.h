/* safetensors.h: one file of the safetensors format. Header rules: 8 bytes of length, JSON, data; tensors sorted by offset touch each other and fill
 * the data exactly. */
#ifndef NLP_IMPORTER_SAFETENSORS_H
#define NLP_IMPORTER_SAFETENSORS_H

#include "source.h"

/* Adds the tensors of a file; checks its whole header. */
nlp_status nlp_safetensors_add(nlp_source *source, const char *path, nlp_error *err);

#endif
