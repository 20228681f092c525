/* pickle.h: the one shape of pickle program that torch.save writes for a state dict, recognised and never
 * run: names of tensors, and where their numbers lie in which storage. */
#ifndef NLP_IMPORTER_PICKLE_H
#define NLP_IMPORTER_PICKLE_H

#include "base/arena.h"
#include "base/buf.h"
#include "source.h"

typedef struct nlp_pickle_tensor {
    const char *name, *storage; /* terminated, from the arena; the storage's key is digits */
    nlp_source_dtype dtype;
    uint32_t element_bytes;
    uint64_t storage_elements, offset; /* in elements */
    uint32_t n_dims;
    uint64_t shape[NLP_SOURCE_MAX_DIMS], stride[NLP_SOURCE_MAX_DIMS];
} nlp_pickle_tensor;

typedef struct nlp_pickle {
    nlp_arena arena;
    nlp_pickle_tensor *tensors;
    size_t n_tensors, capacity;
} nlp_pickle;

/* NLP_EUNSUPPORTED names an opcode or a global that no state dict has; NLP_ECORRUPT a program that is
 * cut or mixes kinds. Close on failure too. */
nlp_status nlp_pickle_read(nlp_pickle *pickle, nlp_mem *mem, const uint8_t *program, size_t n_bytes,
                           nlp_error *err);
void nlp_pickle_close(nlp_pickle *pickle);

#endif
