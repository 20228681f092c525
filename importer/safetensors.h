/* safetensors.h: model.safetensors, or the shards of model.safetensors.index.json, of one folder.
 * Header rules: 8 bytes of length, JSON, data; tensors sorted by offset touch each other and fill
 * the data exactly. */
#ifndef NLP_IMPORTER_SAFETENSORS_H
#define NLP_IMPORTER_SAFETENSORS_H

#include "base/arena.h"
#include "base/poll.h"

enum { NLP_ST_MAX_DIMS = 8, NLP_ST_MAX_FILES = 64 };

typedef enum nlp_source_dtype {
    NLP_SOURCE_F32,
    NLP_SOURCE_F16,
    NLP_SOURCE_BF16,
    NLP_SOURCE_F64,
    NLP_SOURCE_OTHER
} nlp_source_dtype;

typedef struct nlp_source_tensor {
    const char *name;
    nlp_source_dtype dtype;
    uint32_t n_dims;
    uint64_t shape[NLP_ST_MAX_DIMS];
    uint64_t n_elements;
    uint64_t offset, n_bytes; /* in its file */
    int file;
    bool used; /* by the importer: a role has claimed it */
} nlp_source_tensor;

typedef struct nlp_source {
    nlp_mem *mem;
    nlp_arena arena; /* names and tensors */
    int fds[NLP_ST_MAX_FILES];
    int n_files;
    nlp_source_tensor *tensors;
    size_t n_tensors, capacity;
} nlp_source;

/* Opens all files of the folder; checks every header. Close on failure too. */
nlp_status nlp_safetensors_open(nlp_source *source, nlp_mem *mem, const char *folder,
                                nlp_error *err);
/* One file by itself: for tests and fuzzing of headers. */
nlp_status nlp_safetensors_add(nlp_source *source, const char *path, nlp_error *err);
void nlp_safetensors_init(nlp_source *source, nlp_mem *mem);
void nlp_safetensors_close(nlp_source *source);
nlp_source_tensor *nlp_source_find(const nlp_source *source,
                                   const char *name); /* NULL where there is none */
/* All elements as f32 (exact from F16 and BF16; F64 is rounded). NaN and infinity are refused. */
nlp_status nlp_source_read(const nlp_source *source, const nlp_source_tensor *tensor, float *out,
                           nlp_poll *poll, nlp_error *err);

#endif
