/* torch_zip.h: pytorch_model.bin, the zip of torch.save: a pickle that names tensors, and their numbers. */
#ifndef NLP_IMPORTER_TORCH_ZIP_H
#define NLP_IMPORTER_TORCH_ZIP_H

#include "source.h"

/* Adds the tensors of a file. The form before torch 1.6, which is no zip, is refused. */
nlp_status nlp_torch_add(nlp_source *source, const char *path, nlp_error *err);

#endif
