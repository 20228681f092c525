/* wordpiece.c: greedy longest match from the left; inside a word pieces carry the prefix. Any place
 * without a match makes the whole word one unknown token. */
#include <string.h>

#include "text/tokenizer_parts.h"

static bool piece_is(const nlp_tokenizer *t, uint32_t id, bool inside, const char *bytes,
                     size_t n_bytes) {
    uint32_t start = id ? t->piece_ends[id - 1] : 0, length = t->piece_ends[id] - start;
    uint32_t n_prefix = inside ? t->header.prefix_bytes : 0;
    const char *piece = t->text + start;
    return length == n_prefix + n_bytes &&
           !memcmp(piece, t->text + t->header.prefix_at, n_prefix) &&
           !memcmp(piece + n_prefix, bytes, n_bytes);
}

/* The id of a piece, or NLP_NO_ID. The table is never full, so probing ends. */
static uint32_t find_piece(const nlp_tokenizer *t, uint64_t hash, bool inside, const char *bytes,
                           size_t n_bytes) {
    uint32_t slot = nlp_piece_slot(hash, t->header.n_slots);
    for (; t->slots[slot]; slot = (slot + 1) & (t->header.n_slots - 1))
        if (piece_is(t, t->slots[slot] - 1, inside, bytes, n_bytes)) return t->slots[slot] - 1;
    return NLP_NO_ID;
}

/* The longest piece at character `first`; *next is the character behind it. */
static uint32_t longest_piece(const nlp_tokenizer *t, const bert_word *w, size_t first,
                              size_t *next) {
    uint64_t hashes[NLP_TOKENIZER_MAX_WORD];
    size_t begin = first ? w->ends[first - 1] : 0, last = first;
    uint64_t hash = first ? t->prefix_hash : NLP_PIECE_HASH_START;
    for (size_t at = begin; last < w->n_chars && w->ends[last] - begin <= t->longest_piece;
         last++) {
        hash = nlp_piece_hash(hash, w->bytes + at, w->ends[last] - at);
        at = w->ends[last];
        hashes[last - first] = hash;
    }
    for (; last > first; last--) {
        uint32_t id = find_piece(t, hashes[last - 1 - first], first > 0, w->bytes + begin,
                                 w->ends[last - 1] - begin);
        if (id == NLP_NO_ID) continue;
        *next = last;
        return id;
    }
    return NLP_NO_ID;
}

bool wordpiece_push(encoder *e, const bert_word *w) {
    const nlp_tokenizer *t = e->tokenizer;
    token_list *tokens = e->tokens;
    size_t before = tokens->n;
    bool known = w->n_chars <= t->header.max_word;
    for (size_t at = 0, next = 0; known && at < w->n_chars; at = next) {
        uint32_t id = longest_piece(t, w, at, &next);
        known = id != NLP_NO_ID && !is_control(e, id);
        if (known && !token_push(tokens, id, w->from[at], w->to[next - 1])) return false;
    }
    if (known) return true;
    tokens->n = before;
    tokens->n_unknown++;
    return token_push(tokens, t->header.unknown_id, w->from[0], w->last_to);
}
