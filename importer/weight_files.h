/* weight_files.h: the weights of a transformers folder: model.safetensors or its shards, else
 * pytorch_model.bin or its shards. */
#ifndef NLP_IMPORTER_WEIGHT_FILES_H
#define NLP_IMPORTER_WEIGHT_FILES_H

#include "source.h"

/* Opens all files; checks every header. NLP_ENOFILE where there are none. The caller closes the source. */
nlp_status nlp_weight_files_open(nlp_source *source, const char *folder, nlp_error *err);

#endif
