/* gguf.h: GGUF files, versions 2 and 3: key-value pairs and tensors (ggml's docs/gguf.md). */
#ifndef NLP_IMPORTER_GGUF_H
#define NLP_IMPORTER_GGUF_H

#include "base/buf.h"
#include "source.h"

typedef enum nlp_gguf_type {
    NLP_GGUF_U8 = 0,
    NLP_GGUF_I8,
    NLP_GGUF_U16,
    NLP_GGUF_I16,
    NLP_GGUF_U32,
    NLP_GGUF_I32,
    NLP_GGUF_F32,
    NLP_GGUF_BOOL,
    NLP_GGUF_STRING,
    NLP_GGUF_ARRAY,
    NLP_GGUF_U64,
    NLP_GGUF_I64,
    NLP_GGUF_F64
} nlp_gguf_type;

typedef struct nlp_gguf_pair {
    const char *key;    /* terminated, from the arena */
    nlp_gguf_type type; /* of an array: of its members */
    bool is_array;
    uint64_t n;           /* members */
    const uint8_t *bytes; /* from the arena: the members behind each other */
    size_t n_bytes;
} nlp_gguf_pair;

typedef struct nlp_gguf {
    nlp_arena arena;
    nlp_gguf_pair *pairs;
    size_t n_pairs;
} nlp_gguf;

/* Reads the header of a file; its tensors go into the source. Close on failure too. */
nlp_status nlp_gguf_open(nlp_gguf *gguf, nlp_source *source, const char *path, nlp_error *err);
void nlp_gguf_close(nlp_gguf *gguf);
const nlp_gguf_pair *nlp_gguf_find(const nlp_gguf *gguf, const char *key); /* or NULL */
/* Values of a key; the fallback where it is absent or of another type. */
int64_t nlp_gguf_integer(const nlp_gguf *gguf, const char *key, int64_t fallback);
double nlp_gguf_real(const nlp_gguf *gguf, const char *key, double fallback);
bool nlp_gguf_boolean(const nlp_gguf *gguf, const char *key, bool fallback);
/* A terminated copy from the arena; NULL where there is no such text. */
const char *nlp_gguf_text(nlp_gguf *gguf, const char *key);
/* Texts of an array in order: each call gives the next; false at the end. *at begins as 0. */
bool nlp_gguf_next_text(const nlp_gguf_pair *array, size_t *at, const char **text, size_t *n_bytes);
double nlp_gguf_member(const nlp_gguf_pair *array, uint64_t index); /* of an array of numbers */

#endif
