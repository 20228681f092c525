/* word_cache.c: the tokens of words that came before in the same call. The pieces of a word depend on
 * its bytes alone, so a word that is kept gives what the model would give again. Fixed memory: a word
 * has two places, and takes the one that was not used last. */
#include <string.h>

#include "text/tokenizer_parts.h"

enum { N_PAIRS = 2048, WORTH_BYTES = 4096 };

_Static_assert((N_PAIRS & (N_PAIRS - 1)) == 0, "a pair is found by a mask");
_Static_assert(sizeof(cached_word) == 64, "a word is a cache line");

/* Loads overlap at the end, so no byte is left out and none behind the word is read. */
static uint64_t hash_word(const char *bytes, size_t n) {
    uint64_t hash = n;
    for (size_t at = 0; at + 8 < n; at += 8)
        hash = ((hash ^ nlp_load8(bytes + at)) * 0x9e3779b97f4a7c15u) ^ hash >> 32;
    uint64_t last = n >= 8   ? nlp_load8(bytes + n - 8)
                    : n >= 4 ? (uint64_t)nlp_load4(bytes) << 32 | nlp_load4(bytes + n - 4)
                             : (uint64_t)(uint8_t)bytes[0] << 16 |
                                   (uint64_t)(uint8_t)bytes[n / 2] << 8 | (uint8_t)bytes[n - 1];
    return (hash ^ last) * 0x9e3779b97f4a7c15u;
}

/* A cache is worth its memory from some kilobytes of text on. */
nlp_status word_cache_prepare(nlp_word_cache *cache, const nlp_tokenizer *t, size_t n_bytes,
                              nlp_arena *arena, nlp_error *err) {
    if (cache->tokenizer != t) *cache = (nlp_word_cache){.tokenizer = t};
    if (cache->words) return NLP_OK;
    cache->n_bytes = n_bytes < WORTH_BYTES ? cache->n_bytes + n_bytes : WORTH_BYTES;
    if (cache->n_bytes < WORTH_BYTES) return NLP_OK;
    cache->words = NLP_PUSH_ZERO(arena, cached_word, 2 * N_PAIRS);
    return nlp_arena_status(arena, err);
}

bool word_cache_find(nlp_word_cache *cache, const char *bytes, size_t n_bytes,
                     cached_word **place) {
    cached_word *pair = &cache->words[2 * (hash_word(bytes, n_bytes) >> 40 & (N_PAIRS - 1))];
    size_t at = pair[0].used_last; /* nothing found: the other one */
    bool found = true;
    if (pair[0].n_bytes == n_bytes && same_bytes(pair[0].bytes, bytes, n_bytes))
        at = 0;
    else if (pair[1].n_bytes == n_bytes && same_bytes(pair[1].bytes, bytes, n_bytes))
        at = 1;
    else
        found = false;
    pair[0].used_last = !at;
    *place = &pair[at];
    if (!found) pair[at].n_bytes = pair[at].n_tokens = 0;
    return found;
}

void cached_word_add(cached_word *c, uint32_t id, size_t first, size_t end) {
    if (c->n_tokens < CACHED_TOKENS) {
        c->ids[c->n_tokens] = id;
        c->first[c->n_tokens] = (uint8_t)first;
        c->end[c->n_tokens] = (uint8_t)end;
    }
    c->n_tokens++; /* of at most as many tokens as a word has bytes */
}

void cached_word_finish(cached_word *c, const char *bytes, size_t n_bytes, size_t n_unknown) {
    if (c->n_tokens > CACHED_TOKENS) return;
    memcpy(c->bytes, bytes, n_bytes);
    c->n_unknown = (uint8_t)n_unknown;
    c->n_bytes = (uint8_t)n_bytes;
}
