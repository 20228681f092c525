/* hash.h: SHA-256 (FIPS 180-4), and a fast 64-bit hash for tables (never stored). */
#ifndef NLP_BASE_HASH_H
#define NLP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define NLP_SHA256_BYTES     32
#define NLP_SHA256_HEX_BYTES 65

typedef struct nlp_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t block[64];
} nlp_sha256;

void nlp_sha256_init(nlp_sha256 *sha);
void nlp_sha256_update(nlp_sha256 *sha, const void *bytes, size_t n_bytes);
void nlp_sha256_final(nlp_sha256 *sha, uint8_t digest[NLP_SHA256_BYTES]);
void nlp_sha256_of(const void *bytes, size_t n_bytes, uint8_t digest[NLP_SHA256_BYTES]);
/* Lower-case hex with the closing 0. */
void nlp_hex(const uint8_t *bytes, size_t n_bytes, char *hex);

uint64_t nlp_hash_bytes(const void *bytes, size_t n_bytes);

#endif
