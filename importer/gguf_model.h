/* gguf_model.h: a GGUF file as the model folder that its writer made it from: a config, tensors under
 * their names there, and the writer's changes to be undone when they are read. */
#ifndef NLP_IMPORTER_GGUF_MODEL_H
#define NLP_IMPORTER_GGUF_MODEL_H

#include <jansson.h>

#include "gguf.h"

/* A new config.json; the caller json_decref's it. Renames the source's tensors (names in its arena). */
nlp_status nlp_gguf_model_config(nlp_gguf *gguf, nlp_source *source, json_t **config,
                                 nlp_error *err);
/* "mean", "cls", "last" of an embedder; NULL where the file says none. */
const char *nlp_gguf_model_pooling(nlp_gguf *gguf);

#endif
