/* spm_model.h: what a SentencePiece model is, whether it came from a .model file or from a GGUF file, and
 * its way into the compiled tokenizer. */
#ifndef NLP_IMPORTER_SPM_MODEL_H
#define NLP_IMPORTER_SPM_MODEL_H

#include "tokenizer_compiler.h"

enum { /* of a piece; GGUF's token types are the same numbers */
       SPM_NORMAL = 1,
       SPM_UNKNOWN,
       SPM_CONTROL,
       SPM_USER,
       SPM_UNUSED,
       SPM_BYTE
};
enum { SPM_UNIGRAM = 1, SPM_BPE = 2 };

typedef struct spm_model {
    compiler *c;
    piece *pieces; /* of the file, in its order */
    float *scores;
    uint8_t *kinds;
    uint32_t n, capacity;
    uint32_t model, unknown; /* SPM_UNIGRAM or SPM_BPE */
    bool byte_fallback, suffix, dummy_prefix, remove_extra, escape;
    piece charsmap;
} spm_model;

/* Room for n pieces; switches as the format has them by default. */
nlp_status spm_start(spm_model *s, uint32_t n);
/* Pieces by their own numbers. */
nlp_status spm_own_ids(spm_model *s);
/* Merges or scores, byte pieces, the normaliser. Needs the compiler's pieces. */
nlp_status spm_fill(spm_model *s);

#endif
