/* bpe.c: byte-pair encoding of one word: its symbols, then the pair with the lowest rank is joined
 * again and again, the leftmost on ties. Short words search all pairs for it, longer ones keep them
 * in a heap, so a word of n symbols takes n log n. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

enum { SHORT_WORD = 48 };
#define NO_PAIR UINT32_MAX

typedef struct symbol {
    uint32_t id;
    uint32_t start, end;    /* bytes of the word */
    uint32_t before, after; /* neighbours; NO_PAIR: none */
} symbol;

typedef struct pair {
    uint32_t rank, left; /* left: index of its first symbol */
    uint32_t id, ends;   /* what it becomes, and where it ended when it was found */
} pair;

typedef struct bpe_work {
    symbol *symbols;
    size_t n, capacity;
    pair *heap;
    size_t n_heap, heap_capacity;
} bpe_work;

/* ---- Symbols ---- */

static nlp_status reserve(encoder *e, size_t n) {
    bpe_work *w = e->bpe;
    if (!w) {
        w = e->bpe = NLP_PUSH_ZERO(e->arena, bpe_work, 1);
        NLP_TRY(nlp_arena_status(e->arena, e->err));
    }
    if (n > UINT32_MAX - 1) return nlp_fail(e->err, NLP_ELIMIT, "a word is too long");
    if (n <= w->capacity) return NLP_OK;
    w->capacity = 2 * n;
    w->symbols = NLP_PUSH(e->arena, symbol, w->capacity);
    return nlp_arena_status(e->arena, e->err);
}

static void add(bpe_work *w, uint32_t id, size_t start, size_t end) {
    uint32_t i = (uint32_t)w->n++;
    w->symbols[i] = (symbol){.id = id,
                             .start = (uint32_t)start,
                             .end = (uint32_t)end,
                             .before = i ? i - 1 : NO_PAIR,
                             .after = i + 1};
}

/* A character with what marks its place in the word: the prefix of inner symbols, the suffix of the
 * last. */
static uint32_t symbol_of(const nlp_tokenizer *t, const char *bytes, size_t n, bool first,
                          bool last) {
    char key[2 * NLP_TOKENIZER_MAX_WORD];
    size_t n_key = 0;
    if (!first && t->header.prefix_bytes) {
        memcpy(key, t->text + t->header.prefix_at, t->header.prefix_bytes);
        n_key = t->header.prefix_bytes;
    }
    memcpy(key + n_key, bytes, n);
    n_key += n;
    if (last && t->extension.suffix_bytes) {
        memcpy(key + n_key, t->text + t->extension.suffix_at, t->extension.suffix_bytes);
        n_key += t->extension.suffix_bytes;
    }
    uint32_t id = piece_find(t, key, n_key);
    return id != NLP_NO_ID && t->sides && t->sides[id] == NLP_SIDE_VOCABULARY ? NLP_NO_ID : id;
}

static bool has_bytes(const nlp_tokenizer *t, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (t->bytes[(uint8_t)bytes[i]] == NLP_NO_ID) return false;
    return true;
}

/* Characters that are no piece: bytes, or unknown, of which neighbours may be one. */
static void add_unknown(encoder *e, const span *word, size_t at, size_t end) {
    const nlp_tokenizer *t = e->tokenizer;
    bpe_work *w = e->bpe;
    uint32_t flags = t->extension.flags;
    if ((flags & NLP_BPE_FALLBACK) && has_bytes(t, word->bytes + at, end - at)) {
        for (; at < end; at++) add(w, t->bytes[(uint8_t)word->bytes[at]], at, at + 1);
        return;
    }
    if (flags & NLP_BPE_NO_UNKNOWN) return;
    symbol *last = w->n ? &w->symbols[w->n - 1] : NULL;
    bool fuses = (flags & NLP_BPE_FUSE_UNKNOWN) && last && last->id == t->header.unknown_id &&
                 last->end == at;
    e->tokens->n_unknown += !fuses;
    if (fuses)
        last->end = (uint32_t)end;
    else
        add(w, t->header.unknown_id, at, end);
}

static nlp_status make_symbols(encoder *e, const span *word) {
    const nlp_tokenizer *t = e->tokenizer;
    NLP_TRY(reserve(e, word->n_bytes + 1));
    bpe_work *w = e->bpe;
    w->n = 0;
    for (size_t at = 0, end; at < word->n_bytes; at = end) {
        uint32_t code, id;
        if (t->extension.flags & NLP_BPE_BYTES) {
            end = at + 1;
            id = t->bytes[(uint8_t)word->bytes[at]];
        } else {
            end = at + nlp_utf8_decode(word->bytes + at, word->n_bytes - at, &code);
            id = symbol_of(t, word->bytes + at, end - at, !at, end == word->n_bytes);
            if (id != NLP_NO_ID && is_control(e, id)) id = NLP_NO_ID;
        }
        if (id == NLP_NO_ID)
            add_unknown(e, word, at, end);
        else
            add(w, id, at, end);
    }
    if (w->n) w->symbols[w->n - 1].after = NO_PAIR;
    return NLP_OK;
}

/* ---- Merges ---- */

static const nlp_merge *find_merge(const encoder *e, uint32_t left, uint32_t right) {
    const nlp_tokenizer *t = e->tokenizer;
    uint32_t mask = t->extension.n_merge_slots - 1;
    if (!t->extension.n_merge_slots) return NULL;
    for (uint32_t slot = nlp_merge_slot(left, right) & mask;; slot = (slot + 1) & mask) {
        const nlp_merge *m = &t->merges[slot];
        if (m->left == left && m->right == right) return is_control(e, m->id) ? NULL : m;
        if (m->left == NLP_NO_ID) return NULL;
    }
}

/* Of a word whose symbols are linked. */
static const nlp_merge *merge_at(const encoder *e, uint32_t left) {
    const symbol *s = e->bpe->symbols;
    uint32_t right = s[left].after;
    return right == NO_PAIR ? NULL : find_merge(e, s[left].id, s[right].id);
}

static void join(bpe_work *w, uint32_t left, uint32_t id) {
    symbol *s = w->symbols;
    uint32_t right = s[left].after;
    s[left].id = id;
    s[left].end = s[right].end;
    s[left].after = s[right].after;
    s[right].id = NLP_NO_ID;
    if (s[left].after != NO_PAIR) s[s[left].after].before = left;
}

/* The pairs of a short word: pair i is symbols i and i + 1. */
typedef struct pairs {
    uint32_t rank[SHORT_WORD], id[SHORT_WORD]; /* rank NO_PAIR: they don't join */
} pairs;

static void find_pair(const encoder *e, const symbol *s, size_t i, pairs *p) {
    const nlp_merge *m = find_merge(e, s[i].id, s[i + 1].id);
    p->rank[i] = m ? m->rank : NO_PAIR;
    p->id[i] = m ? m->id : NLP_NO_ID;
}

/* Symbol i becomes pair i; those behind move up. */
static void join_short(bpe_work *w, pairs *p, size_t i) {
    symbol *s = w->symbols;
    s[i].id = p->id[i];
    s[i].end = s[i + 1].end;
    w->n--;
    for (size_t k = i + 1; k < w->n; k++) {
        s[k] = s[k + 1];
        p->rank[k] = p->rank[k + 1];
        p->id[k] = p->id[k + 1];
    }
}

/* Ranks of all pairs are found once, then those beside each join. Symbols stay next to each other: the
 * few there are move faster than a chain is followed. A rank is below NO_PAIR, which ends the search. */
static void merge_short(encoder *e) {
    bpe_work *w = e->bpe;
    symbol *s = w->symbols;
    pairs p;
    for (size_t i = 0; i + 1 < w->n; i++) find_pair(e, s, i, &p);
    while (w->n > 1) {
        size_t best = 0;
        p.rank[w->n - 1] = NO_PAIR; /* the last symbol has no pair */
        for (size_t i = 1; i < w->n; i++)
            if (p.rank[i] < p.rank[best]) best = i;
        if (p.rank[best] == NO_PAIR) break;
        join_short(w, &p, best);
        if (best + 1 < w->n) find_pair(e, s, best, &p);
        if (best) find_pair(e, s, best - 1, &p);
    }
    for (size_t i = 0; i < w->n; i++) s[i].after = i + 1 < w->n ? (uint32_t)i + 1 : NO_PAIR;
}

static bool is_less(const pair *a, const pair *b) {
    return a->rank < b->rank || (a->rank == b->rank && a->left < b->left);
}

static void sink(bpe_work *w, size_t i) {
    pair *h = w->heap;
    for (size_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
        if (child + 1 < w->n_heap && is_less(&h[child + 1], &h[child])) child++;
        if (!is_less(&h[child], &h[i])) return;
        pair swap = h[i];
        h[i] = h[child], h[child] = swap;
    }
}

static void offer(encoder *e, uint32_t left) {
    bpe_work *w = e->bpe;
    const nlp_merge *m = left == NO_PAIR ? NULL : merge_at(e, left);
    if (!m) return;
    size_t i = w->n_heap++;
    w->heap[i] = (pair){m->rank, left, m->id, w->symbols[w->symbols[left].after].end};
    for (size_t parent; i && is_less(&w->heap[i], &w->heap[parent = (i - 1) / 2]); i = parent) {
        pair swap = w->heap[i];
        w->heap[i] = w->heap[parent], w->heap[parent] = swap;
    }
}

/* Each join offers two pairs at most, so the heap never holds more than three a symbol. A pair whose
 * symbols have changed since is stale. */
static nlp_status merge_long(encoder *e) {
    bpe_work *w = e->bpe;
    if (w->heap_capacity < 3 * w->n) {
        w->heap_capacity = 3 * w->capacity;
        w->heap = NLP_PUSH(e->arena, pair, w->heap_capacity);
        NLP_TRY(nlp_arena_status(e->arena, e->err));
    }
    w->n_heap = 0;
    for (uint32_t i = 0; i < w->n; i++) offer(e, i);
    while (w->n_heap) {
        pair top = w->heap[0];
        w->heap[0] = w->heap[--w->n_heap];
        sink(w, 0);
        const nlp_merge *m = w->symbols[top.left].id == NLP_NO_ID ? NULL : merge_at(e, top.left);
        if (!m || m->id != top.id || w->symbols[w->symbols[top.left].after].end != top.ends)
            continue;
        join(w, top.left, top.id);
        offer(e, top.left);
        offer(e, w->symbols[top.left].before);
        NLP_TRY(nlp_poll_work(e->poll, 128, e->err));
    }
    return NLP_OK;
}

/* ---- A word ---- */

/* The piece that a whole word is, where merging it would give that piece and nothing else. */
static uint32_t whole_piece(const encoder *e, const span *word) {
    const nlp_tokenizer *t = e->tokenizer;
    bool first = t->extension.flags & NLP_BPE_WHOLE_FIRST;
    if ((!first && !t->whole) || word->n_bytes > NLP_TOKENIZER_MAX_WORD) return NLP_NO_ID;
    uint32_t id = t->extension.flags & NLP_BPE_BYTES
                      ? piece_find_bytes(t, word->bytes, word->n_bytes)
                      : piece_find(t, word->bytes, word->n_bytes);
    return id != NLP_NO_ID && (first || t->whole[id]) && !is_control(e, id) ? id : NLP_NO_ID;
}

/* The id of a symbol that is left over: where another file gives the ids, it may not have the piece, or
 * may have what the model could not cut. */
static uint32_t final_id(encoder *e, const span *word, const symbol *s) {
    const nlp_tokenizer *t = e->tokenizer;
    uint32_t id = s->id;
    if (!t->sides) return id;
    if (id == t->header.unknown_id)
        return piece_of_unknown(e, word->bytes + s->start, s->end - s->start);
    return t->sides[id] == NLP_SIDE_CUTTER ? t->header.unknown_id : id;
}

nlp_status bpe_push(encoder *e, span word) {
    uint32_t whole = whole_piece(e, &word);
    if (whole != NLP_NO_ID)
        return span_token(e, &word, 0, word.n_bytes, whole)
                   ? NLP_OK
                   : nlp_arena_status(e->tokens->arena, e->err);
    NLP_TRY(make_symbols(e, &word));
    bpe_work *w = e->bpe;
    if (w->n > SHORT_WORD)
        NLP_TRY(merge_long(e));
    else
        merge_short(e);
    for (uint32_t i = 0; w->n && i != NO_PAIR; i = w->symbols[i].after) {
        const symbol *s = &w->symbols[i];
        if (!span_token(e, &word, s->start, s->end, final_id(e, &word, s)))
            return nlp_arena_status(e->tokens->arena, e->err);
    }
    return NLP_OK;
}
