/* tokenizer_files.h: which of a folder's files the tokenizer is compiled from: tokenizer.json where there
 * is one, else the vocabulary files of the family. */
#ifndef NLP_IMPORTER_TOKENIZER_FILES_H
#define NLP_IMPORTER_TOKENIZER_FILES_H

#include "base/buf.h"
#include "family.h"

typedef struct nlp_tokenizer_folder {
    const char *path;
    nlp_vocabulary_kind kind;
    const json_t *config; /* tokenizer_config.json, or NULL */
    nlp_mem *mem;
} nlp_tokenizer_folder;

/* Appends the blob. NLP_ENOFILE names what was looked for. */
nlp_status nlp_tokenizer_folder_read(const nlp_tokenizer_folder *folder, nlp_buf *blob,
                                     nlp_error *err);

#endif
