/* json_read.h: JSON that comes with a call: schemas, messages, options. Strict (RFC 8259) and bounded:
 * at most NLP_JSON_MAX_DEPTH arrays and objects inside each other, no recursion, time about linear, at
 * most 64 bytes of the arena for two bytes of text. Refused with the byte offset: text behind the value,
 * a key that an object has twice, invalid UTF-8, escapes of a lone surrogate or of U+0000. */
#ifndef NLP_BASE_JSON_READ_H
#define NLP_BASE_JSON_READ_H

#include "base/arena.h"

#define NLP_JSON_MAX_DEPTH 64

typedef enum nlp_json_kind {
    NLP_JSON_NULL,
    NLP_JSON_FALSE,
    NLP_JSON_TRUE,
    NLP_JSON_NUMBER,
    NLP_JSON_STRING,
    NLP_JSON_ARRAY,
    NLP_JSON_OBJECT
} nlp_json_kind;

/* A value; its members are a list in the order of the text. */
typedef struct nlp_json {
    nlp_json_kind kind;
    uint32_t n;                          /* members */
    nlp_text text;                       /* of a string: decoded; of others: as it was written */
    nlp_text key;                        /* of a member of an object: decoded */
    const struct nlp_json *first, *next; /* member */
    size_t at;                           /* byte offset of the value */
} nlp_json;

/* The tree lies in the arena and borrows the bytes of `text`. `name` is how messages call the text
 * ("schema"). */
nlp_status nlp_json_read(nlp_text text, const char *name, nlp_arena *arena, const nlp_json **root,
                         nlp_error *err);
/* The member with that key, or NULL; looks at one after the other. */
const nlp_json *nlp_json_member(const nlp_json *object, const char *key);
/* Members of an object by the length of their keys, then by bytes: the order of PostgreSQL's jsonb.
 * NULL when out of memory. */
const nlp_json **nlp_json_sorted(const nlp_json *object, nlp_arena *arena);
/* false where it is no whole number of 64 bits ("1e2" and "1.0" are none). */
bool nlp_json_to_integer(const nlp_json *number, int64_t *out);
/* false where it is no number. Exact up to 15 digits and powers up to 22, else the last bits may
 * differ; infinite where it is too large. */
bool nlp_json_to_real(const nlp_json *number, double *out);

#endif
