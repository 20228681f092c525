/* spm_bpe.h: SentencePiece's BPE as merges: it joins the neighbours whose joined piece has the highest
 * score, so a pair's rank is the place of that score. Used by .model files and by GGUF. */
#ifndef NLP_IMPORTER_SPM_BPE_H
#define NLP_IMPORTER_SPM_BPE_H

#include "tokenizer_compiler.h"

typedef struct spm_vocabulary {
    const piece *pieces;
    const double *scores;
    const bool *whole; /* may be the result of a merge, or a part of one */
    uint32_t n;
} spm_vocabulary;

/* Needs the compiler's pieces. Fills its merges. */
nlp_status spm_merges(compiler *c, const spm_vocabulary *v);

#endif
