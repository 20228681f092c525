/* random.c: ten rounds of two multiplications each. */
#include "base/random.h"

static void round_once(uint32_t x[4], const uint32_t key[2]) {
    uint64_t a = (uint64_t)0xD2511F53 * x[0], b = (uint64_t)0xCD9E8D57 * x[2];
    uint32_t x1 = x[1], x3 = x[3];
    x[0] = (uint32_t)(b >> 32) ^ x1 ^ key[0];
    x[1] = (uint32_t)b;
    x[2] = (uint32_t)(a >> 32) ^ x3 ^ key[1];
    x[3] = (uint32_t)a;
}

void nlp_random_block(uint64_t key, uint64_t counter, uint32_t out[4]) {
    uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    out[0] = (uint32_t)counter, out[1] = (uint32_t)(counter >> 32), out[2] = out[3] = 0;
    for (int i = 0; i < 10; i++) {
        round_once(out, k);
        k[0] += 0x9E3779B9;
        k[1] += 0xBB67AE85;
    }
}

double nlp_random_real(uint64_t key, uint64_t counter) {
    uint32_t x[4];
    nlp_random_block(key, counter, x);
    uint64_t bits = ((uint64_t)x[1] << 32 | x[0]) >> 11;
    return (double)bits * 0x1p-53;
}
