/* base64.h: the alphabet of RFC 4648, with padding. */
#ifndef NLP_IMPORTER_BASE64_H
#define NLP_IMPORTER_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* out: room for n_text bytes. false where the text is no base64. */
bool nlp_base64_decode(const char *text, size_t n_text, uint8_t *out, size_t *n_bytes);

#endif
