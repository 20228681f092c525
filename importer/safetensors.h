/* safetensors.h: model.safetensors, or the shards of model.safetensors.index.json, of one folder.
 * Header rules: 8 bytes of length, JSON, data; tensors sorted by offset touch each other and fill
 * the data exactly. */
#ifndef NLP_IMPORTER_SAFETENSORS_H
#define NLP_IMPORTER_SAFETENSORS_H

#include "source.h"

/* Opens all files of the folder; checks every header. NLP_ENOFILE where it has neither. The caller
 * closes the source. */
nlp_status nlp_safetensors_open(nlp_source *source, const char *folder, nlp_error *err);
/* One file by itself: for tests and fuzzing of headers. */
nlp_status nlp_safetensors_add(nlp_source *source, const char *path, nlp_error *err);

#endif
