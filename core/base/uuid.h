/* uuid.h: UUID version 5 (RFC 4122) by libuuid, the only home of uuid/uuid.h. */
#ifndef NLP_BASE_UUID_H
#define NLP_BASE_UUID_H

#define NLP_UUID_TEXT_BYTES 37

/* The name-based UUID of a terminated text in nlp's own namespace, as lower-case text. Any thread.
 */
void nlp_uuid_v5(const char *name, char out[NLP_UUID_TEXT_BYTES]);

#endif
