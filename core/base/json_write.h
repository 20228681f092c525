/* json_write.h: JSON into the caller's memory, as snprintf writes: what does not fit is counted too. */
#ifndef NLP_BASE_JSON_WRITE_H
#define NLP_BASE_JSON_WRITE_H

#include "nlp.h"

typedef struct nlp_json_out {
    char *bytes;
    size_t capacity, n; /* n: of the whole text, so far */
} nlp_json_out;

/* As it is: punctuation, and what is JSON already. */
void nlp_json_put(nlp_json_out *out, const char *bytes, size_t n_bytes);
void nlp_json_put_text(nlp_json_out *out, nlp_text text);
/* With as few digits as read back to the same float32; what is no number is null. */
void nlp_json_put_real(nlp_json_out *out, double real);
void nlp_json_put_integer(nlp_json_out *out, int64_t integer);

#endif
