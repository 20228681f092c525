/* sentencepiece.h: .model and .spm files (proto2) to the compiled tokenizer, alone or with the
 * vocabulary that gives the ids. */
#ifndef NLP_IMPORTER_SENTENCEPIECE_H
#define NLP_IMPORTER_SENTENCEPIECE_H

#include "base/buf.h"

/* What a family makes of the file's pieces. */
typedef enum nlp_spm_recipe {
    NLP_SPM_PLAIN,  /* the file's ids, nothing around a text */
    NLP_SPM_END,    /* the file's ids, A </s> */
    NLP_SPM_MARIAN, /* ids from vocab.json, A </s>, ">>xxx<<" kept whole */
    NLP_SPM_M2M100, /* ids from vocab.json, language tokens "__xx__" behind it: __xx__ A </s> */
    NLP_SPM_T5,     /* the file's ids, then <extra_id_99> ... <extra_id_0>; A </s> */
    NLP_SPM_XLMR,   /* <s> <pad> </s> <unk>, pieces, <mask>; <s> A </s>, pairs </s></s> */
    NLP_SPM_LLAMA   /* the file's ids, <s> A */
} nlp_spm_recipe;

typedef struct nlp_spm_files {
    const uint8_t *model;
    size_t model_bytes;
    const char *vocabulary; /* vocab.json, or NULL */
    size_t vocabulary_bytes;
    /* of M2M100: the list of languages ("m2m100", "wmt21"), and the source's code ("en"; NULL: none) */
    const char *languages, *language;
} nlp_spm_files;

/* Appends the blob. */
nlp_status nlp_sentencepiece_compile(const nlp_spm_files *files, nlp_spm_recipe recipe,
                                     nlp_buf *blob, nlp_error *err);

#endif
