/* tiktoken.h: files of ranks: a token in base64 and its number a line. The number is the rank at which the
 * token's bytes are joined, and its id. */
#ifndef NLP_IMPORTER_TIKTOKEN_H
#define NLP_IMPORTER_TIKTOKEN_H

#include "base/buf.h"

typedef struct nlp_tiktoken {
    const char *text;
    size_t n_bytes;
    uint32_t pattern;            /* NLP_PATTERN_* */
    bool whole_first;            /* a word that is a token is that token */
    const char *const *specials; /* behind the ranks in this order, ended by NULL; NULL: none */
    const char *start;           /* a special token before each text; NULL: none */
} nlp_tiktoken;

/* Appends the blob. */
nlp_status nlp_tiktoken_compile(const nlp_tiktoken *ranks, nlp_buf *blob, nlp_error *err);
/* The special tokens and the pattern of Llama 3's tokenizer.model, which is such a file. */
nlp_status nlp_tiktoken_compile_llama3(const char *text, size_t n_bytes, nlp_buf *blob,
                                       nlp_error *err);
/* Whether a tokenizer.model is one: its first line says so; SentencePiece's begins with a byte 10. */
bool nlp_tiktoken_is(const char *text, size_t n_bytes);

#endif
