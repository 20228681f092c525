/* vocabulary.c: sorts the tokens by their bytes; the trie in depth-first order is then one pass, since
 * each token shares its path with the one before. */
#include "generate/vocabulary.h"

#include <string.h>

#include "base/utf8.h"

/* ---- Sorting ---- */

typedef struct entry {
    uint64_t key; /* the first eight bytes, the first one highest */
    uint32_t id, n_bytes;
} entry;

static uint64_t key_of(nlp_text text) {
    uint64_t key = 0;
    for (size_t i = 0; i < 8; i++) key = key << 8 | (i < text.n_bytes ? (uint8_t)text.bytes[i] : 0);
    return key;
}

/* Ids decide where all bytes are equal, so that the order is one. */
static bool before(const nlp_vocabulary *v, const entry *a, const entry *b) {
    if (a->key != b->key) return a->key < b->key;
    uint32_t n = a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes;
    int order = memcmp(nlp_vocabulary_text(v, a->id).bytes, nlp_vocabulary_text(v, b->id).bytes, n);
    if (order) return order < 0;
    return a->n_bytes != b->n_bytes ? a->n_bytes < b->n_bytes : a->id < b->id;
}

static void merge(const nlp_vocabulary *v, const entry *left, size_t n_left, size_t n, entry *out) {
    const entry *right = left + n_left, *end = left + n, *middle = right;
    if (right == end || !before(v, right, right - 1)) { /* in order already */
        memcpy(out, left, n * sizeof *out);
        return;
    }
    while (left < middle && right < end) *out++ = before(v, right, left) ? *right++ : *left++;
    while (left < middle) *out++ = *left++;
    while (right < end) *out++ = *right++;
}

/* By the first two bytes, which leaves most merges nothing to do. counts: [65536] zeroes. */
static void sort_roughly(const entry *entries, size_t n, uint32_t *counts, entry *out) {
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) counts[entries[i].key >> 48]++;
    for (size_t prefix = 0; prefix < 65536; prefix++) {
        uint32_t count = counts[prefix];
        counts[prefix] = at;
        at += count;
    }
    for (size_t i = 0; i < n; i++) out[counts[entries[i].key >> 48]++] = entries[i];
}

/* Merge sort bottom-up; the sorted entries are in either array. */
static nlp_status sort_entries(const nlp_vocabulary *v, entry **entries, entry *spare,
                               nlp_poll *poll, nlp_error *err) {
    size_t n = v->n_tokens;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            size_t left = n - i < width ? n - i : width;
            size_t both = n - i < 2 * width ? n - i : 2 * width;
            merge(v, *entries + i, left, both, spare + i);
            NLP_TRY(nlp_poll_work(poll, 32 * both, err));
        }
        entry *swap = *entries;
        *entries = spare, spare = swap;
    }
    return NLP_OK;
}

/* ---- Which tokens there are ---- */

/* Of some vocabularies a byte or two that text hardly has are missing. */
static void find_bytes(nlp_vocabulary *v) {
    const nlp_spellings *s = &v->spellings;
    for (uint32_t id = 0, start = 0; id < s->n; start = s->ends[id++])
        if (s->ends[id] - start == 1) v->has_byte[(uint8_t)s->bytes[start]] = true;
    v->has_byte[0] = false;
    v->is_bytes = true;
    for (int byte = 0x80; byte < 0xC0; byte++) v->is_bytes = v->is_bytes && v->has_byte[byte];
}

bool nlp_vocabulary_has(const nlp_vocabulary *v, nlp_text text) {
    return text.n_bytes && text.n_bytes <= NLP_VOCABULARY_MAX_TOKEN_BYTES &&
           (v->is_bytes || nlp_utf8_valid(text.bytes, text.n_bytes, NULL));
}

static nlp_status order_tokens(nlp_vocabulary *v, nlp_arena *arena, nlp_poll *poll,
                               nlp_error *err) {
    entry *entries = NLP_PUSH(arena, entry, v->spellings.n);
    entry *spare = NLP_PUSH(arena, entry, v->spellings.n);
    uint32_t *counts = NLP_PUSH_ZERO(arena, uint32_t, 65536);
    v->order = NLP_PUSH(arena, uint32_t, v->spellings.n);
    NLP_TRY(nlp_arena_status(arena, err));
    for (uint32_t id = 0; id < v->spellings.n; id++) {
        nlp_text text = nlp_vocabulary_text(v, id);
        if (nlp_vocabulary_has(v, text))
            entries[v->n_tokens++] = (entry){key_of(text), id, (uint32_t)text.n_bytes};
    }
    sort_roughly(entries, v->n_tokens, counts, spare);
    NLP_TRY(sort_entries(v, &spare, entries, poll, err));
    for (uint32_t i = 0; i < v->n_tokens; i++) v->order[i] = spare[i].id;
    return NLP_OK;
}

/* ---- The trie ---- */

static size_t shared_prefix(nlp_text a, nlp_text b) {
    size_t n = 0;
    while (n < a.n_bytes && n < b.n_bytes && a.bytes[n] == b.bytes[n]) n++;
    return n;
}

static uint32_t count_nodes(const nlp_vocabulary *v) {
    uint32_t n = 0;
    nlp_text last = {"", 0};
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        nlp_text text = nlp_vocabulary_text(v, v->order[i]);
        n += (uint32_t)(text.n_bytes - shared_prefix(last, text));
        last = text;
    }
    return n;
}

static void build_trie(nlp_vocabulary *v) {
    uint32_t path[NLP_VOCABULARY_MAX_TOKEN_BYTES + 1]; /* node of each depth */
    size_t depth = 0;
    nlp_text last = {"", 0};
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        nlp_text text = nlp_vocabulary_text(v, v->order[i]);
        size_t shared = shared_prefix(last, text);
        while (depth > shared) v->nodes[path[depth--]].end = v->n_nodes;
        while (depth < text.n_bytes) {
            uint8_t byte = (uint8_t)text.bytes[depth];
            path[++depth] = v->n_nodes;
            if (depth == 1) v->starts[byte] = (int32_t)v->n_nodes;
            v->nodes[v->n_nodes++] =
                (nlp_vocabulary_node){.byte = byte, .depth = (uint8_t)depth, .first = i};
        }
        v->nodes[path[depth]].n_tokens++;
        last = text;
    }
    while (depth) v->nodes[path[depth--]].end = v->n_nodes;
}

nlp_status nlp_vocabulary_open(const nlp_tokenizer *tokenizer, nlp_arena *arena, nlp_poll *poll,
                               const nlp_vocabulary **vocabulary, nlp_error *err) {
    nlp_vocabulary *v = NLP_PUSH_ZERO(arena, nlp_vocabulary, 1);
    NLP_TRY(nlp_arena_status(arena, err));
    NLP_TRY(nlp_tokenizer_spell(tokenizer, arena, poll, &v->spellings, err));
    find_bytes(v);
    for (int byte = 0; byte < 256; byte++) v->starts[byte] = -1;
    NLP_TRY(order_tokens(v, arena, poll, err));
    v->nodes = NLP_PUSH(arena, nlp_vocabulary_node, count_nodes(v));
    NLP_TRY(nlp_arena_status(arena, err));
    build_trie(v);
    *vocabulary = v;
    return NLP_OK;
}

/* ---- One a model ---- */

void nlp_shared_vocabulary_init(nlp_shared_vocabulary *s, const nlp_tokenizer *tokenizer,
                                nlp_alloc_fn alloc, void *alloc_context) {
    nlp_mutex_init(&s->lock);
    nlp_mem_init(&s->mem, alloc, alloc_context, 0);
    nlp_arena_init(&s->arena, &s->mem);
    s->tokenizer = tokenizer;
    s->made = NULL;
}

void nlp_shared_vocabulary_deinit(nlp_shared_vocabulary *s) {
    nlp_arena_deinit(&s->arena);
    nlp_mutex_deinit(&s->lock);
}

nlp_status nlp_shared_vocabulary_get(nlp_shared_vocabulary *s, nlp_poll *poll,
                                     const nlp_vocabulary **vocabulary, nlp_error *err) {
    nlp_status status = NLP_OK;
    nlp_mutex_lock(&s->lock);
    if (!s->made) {
        status = nlp_vocabulary_open(s->tokenizer, &s->arena, poll, &s->made, err);
        if (status != NLP_OK) {
            nlp_arena_deinit(&s->arena);
            nlp_arena_init(&s->arena, &s->mem);
        }
    }
    *vocabulary = s->made;
    nlp_mutex_unlock(&s->lock);
    return status;
}

/* ---- Spelling ---- */

int32_t nlp_vocabulary_longest(const nlp_vocabulary *v, const char *bytes, size_t n_bytes,
                               size_t *length) {
    int32_t found = -1, at = n_bytes ? v->starts[(uint8_t)*bytes] : -1;
    *length = 0;
    while (at >= 0) {
        const nlp_vocabulary_node *node = &v->nodes[at];
        if (node->n_tokens) found = (int32_t)v->order[node->first], *length = node->depth;
        uint32_t child = (uint32_t)at + 1, end = node->end;
        if (node->depth == n_bytes) break;
        while (child < end && v->nodes[child].byte != (uint8_t)bytes[node->depth])
            child = v->nodes[child].end;
        at = child < end ? (int32_t)child : -1;
    }
    return found;
}

bool nlp_vocabulary_spells(const nlp_vocabulary *v, uint32_t code_point) {
    char bytes[NLP_UTF8_MAX_BYTES];
    size_t length, n = nlp_utf8_encode(code_point, bytes);
    if (!code_point) return false;
    if (!v->is_bytes) return nlp_vocabulary_longest(v, bytes, n, &length) >= 0 && length == n;
    for (size_t i = 0; i < n; i++)
        if (!v->has_byte[(uint8_t)bytes[i]]) return false;
    return true;
}
