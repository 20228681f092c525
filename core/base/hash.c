/* hash.c: SHA-256 by FIPS 180-4, portable, rounds unrolled by eight; FNV-1a-like hash on words for
 * tables. */
#include "base/hash.h"

#include <string.h>

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotate(uint32_t x, int n) {
    return x >> n | x << (32 - n);
}

static inline uint32_t load_big(const uint8_t *at) {
    uint32_t x;
    memcpy(&x, at, sizeof x);
    return __builtin_bswap32(x);
}

/* One round; the names move by one place from round to round instead of the values. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                           \
    do {                                                                                           \
        uint32_t t = (h) + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +                        \
                     (((e) & (f)) ^ (~(e) & (g))) + round_constants[i] + w[i];                     \
        (d) += t;                                                                                  \
        (h) = t + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +                                 \
              (((a) & (b)) ^ ((a) & (c)) ^ ((b) & (c)));                                           \
    } while (0)

static void compress(uint32_t state[8], const uint8_t *block) {
    uint32_t w[64];
    for (int i = 0; i < 16; i++) w[i] = load_big(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i += 8) {
        ROUND(a, b, c, d, e, f, g, h, i);
        ROUND(h, a, b, c, d, e, f, g, i + 1);
        ROUND(g, h, a, b, c, d, e, f, i + 2);
        ROUND(f, g, h, a, b, c, d, e, i + 3);
        ROUND(e, f, g, h, a, b, c, d, i + 4);
        ROUND(d, e, f, g, h, a, b, c, i + 5);
        ROUND(c, d, e, f, g, h, a, b, i + 6);
        ROUND(b, c, d, e, f, g, h, a, i + 7);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void nlp_sha256_init(nlp_sha256 *sha) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sha->state, start, sizeof start);
    sha->n_bytes = 0;
}

/* Whole blocks are taken from the input; only a rest is kept. */
void nlp_sha256_update(nlp_sha256 *sha, const void *bytes, size_t n_bytes) {
    const uint8_t *at = bytes;
    size_t filled = sha->n_bytes % sizeof sha->block;
    sha->n_bytes += n_bytes;
    if (filled) {
        size_t n = sizeof sha->block - filled < n_bytes ? sizeof sha->block - filled : n_bytes;
        memcpy(sha->block + filled, at, n);
        at += n, n_bytes -= n, filled += n;
        if (filled < sizeof sha->block) return;
        compress(sha->state, sha->block);
    }
    for (; n_bytes >= sizeof sha->block; at += sizeof sha->block, n_bytes -= sizeof sha->block)
        compress(sha->state, at);
    if (n_bytes) memcpy(sha->block, at, n_bytes);
}

void nlp_sha256_final(nlp_sha256 *sha, uint8_t digest[NLP_SHA256_BYTES]) {
    static const uint8_t padding[64] = {0x80};
    uint64_t n_bits = __builtin_bswap64(sha->n_bytes * 8);
    size_t filled = sha->n_bytes % 64;
    nlp_sha256_update(sha, padding, filled < 56 ? 56 - filled : 120 - filled);
    nlp_sha256_update(sha, &n_bits, sizeof n_bits);
    for (int i = 0; i < 8; i++) {
        uint32_t big = __builtin_bswap32(sha->state[i]);
        memcpy(digest + 4 * i, &big, sizeof big);
    }
}

void nlp_sha256_of(const void *bytes, size_t n_bytes, uint8_t digest[NLP_SHA256_BYTES]) {
    nlp_sha256 sha;
    nlp_sha256_init(&sha);
    nlp_sha256_update(&sha, bytes, n_bytes);
    nlp_sha256_final(&sha, digest);
}

void nlp_hex(const uint8_t *bytes, size_t n_bytes, char *hex) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n_bytes; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * n_bytes] = 0;
}

/* Eight bytes at a time, then one by one; the length is mixed in first. */
uint64_t nlp_hash_bytes(const void *bytes, size_t n_bytes) {
    const uint8_t *at = bytes;
    uint64_t hash = 0x9e3779b97f4a7c15u ^ n_bytes;
    for (; n_bytes >= 8; at += 8, n_bytes -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    for (; n_bytes; at++, n_bytes--) hash = (hash ^ *at) * 0x100000001b3u;
    hash ^= hash >> 29;
    hash *= 0xc4ceb9fe1a85ec53u;
    return hash ^ hash >> 32;
}
