/* guarded.h: float buffers between canaries, one float off any alignment, for kernel tests. */
#ifndef NLP_TEST_GUARDED_H
#define NLP_TEST_GUARDED_H

#include <stdlib.h>
#include <string.h>

#include "test.h"

enum { GUARD_BYTES = 260, GUARD_VALUE = 0x5a };

typedef struct guarded {
    unsigned char *block;
    void *at;
    size_t n_bytes;
} guarded;

static inline guarded guarded_bytes(size_t n_bytes) {
    guarded g = {aligned_alloc(64, (n_bytes + 2 * GUARD_BYTES + 63) / 64 * 64), NULL, n_bytes};
    memset(g.block, GUARD_VALUE, n_bytes + 2 * GUARD_BYTES);
    g.at = g.block + GUARD_BYTES;
    return g;
}
static inline guarded guarded_copy(const void *bytes, size_t n_bytes) {
    guarded g = guarded_bytes(n_bytes);
    memcpy(g.at, bytes, n_bytes);
    return g;
}
/* Frees it, and fails the test where something was written outside. */
static inline void guarded_end(guarded *g, const char *what) {
    for (size_t i = 0; i < GUARD_BYTES; i++)
        if (g->block[i] != GUARD_VALUE || g->block[GUARD_BYTES + g->n_bytes + i] != GUARD_VALUE) {
            nlp_test_fail(__FILE__, __LINE__, "%s writes outside its buffer", what);
            break;
        }
    free(g->block);
}

#endif
