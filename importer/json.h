/* json.h: libjansson behind a pre-scan. Depth <= 64, a size cap per file, duplicate keys refused,
 * heap under a budget of 24 x input + 1 MiB. Errors name the file and the key, never the content.
 */
#ifndef NLP_IMPORTER_JSON_H
#define NLP_IMPORTER_JSON_H

#include <jansson.h>

#include "base/arena.h"

#define NLP_JSON_CONFIG_BYTES    ((size_t)4 << 20)
#define NLP_JSON_TOKENIZER_BYTES ((size_t)64 << 20)
#define NLP_JSON_HEADER_BYTES    ((size_t)32 << 20)

/* `name` is how messages call the input ("tokenizer.json"). The caller json_decref's *json. In a file
 * with a whole number beyond 64 bits ("model_max_length": 1e30 in digits) all numbers are reals. */
nlp_status nlp_json_parse(const void *bytes, size_t n_bytes, size_t max_bytes, const char *name,
                          json_t **json, nlp_error *err);

/* The same for tokenizer.json. libjansson has no keys with U+0000, but vocabularies have them: where the
 * text escapes it, *nul is true and every U+FFFF in the document stands for U+0000. */
nlp_status nlp_json_parse_vocabulary(const void *bytes, size_t n_bytes, const char *name, bool *nul,
                                     json_t **json, nlp_error *err);

/* Typed members of an object. Absent or null gives `fallback`; another type is NLP_EINVAL naming
 * file and key. */
nlp_status nlp_json_integer(const json_t *object, const char *name, const char *key,
                            int64_t fallback, int64_t min, int64_t max, int64_t *out,
                            nlp_error *err);
nlp_status nlp_json_number(const json_t *object, const char *name, const char *key, double fallback,
                           double *out, nlp_error *err);
nlp_status nlp_json_boolean(const json_t *object, const char *name, const char *key, bool fallback,
                            bool *out, nlp_error *err);
/* Borrowed from the json. */
nlp_status nlp_json_text(const json_t *object, const char *name, const char *key,
                         const char *fallback, const char **out, nlp_error *err);

#endif
