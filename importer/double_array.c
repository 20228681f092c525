/* double_array.c: a trie as a double array (Aoe 1989): the child of state s by byte c is the unit
 * base[s] + c, if that unit's check is s. Keys are sorted; states are placed depth first at the first
 * base where all their children fit, found along a list of free units. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer_compiler.h"

typedef struct range { /* keys that share their first `depth` bytes: a state */
    uint32_t first, end, depth, unit;
} range;

typedef struct builder {
    const piece *keys;
    const uint32_t *order; /* keys sorted */
    nlp_arena *arena;
    nlp_error *err;
    nlp_trie_unit *units;
    uint32_t *next_free; /* of a free unit; the others hold 0 */
    bool *used;
    uint32_t n_units, capacity, first_free;
} builder;

static int compare_keys(const void *a, const void *b, void *context) {
    const piece *keys = context, *x = &keys[*(const uint32_t *)a], *y = &keys[*(const uint32_t *)b];
    size_t n = x->n_bytes < y->n_bytes ? x->n_bytes : y->n_bytes;
    int order = memcmp(x->text, y->text, n);
    return order ? order : x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

/* Units up to `n` exist; new ones are free. */
static nlp_status grow(builder *b, uint32_t n) {
    if (n <= b->n_units) return NLP_OK;
    if (n > b->capacity) {
        uint32_t capacity = n < 1u << 26 ? 2 * n + 1024 : 0;
        nlp_trie_unit *units = NLP_PUSH_ZERO(b->arena, nlp_trie_unit, capacity);
        bool *used = NLP_PUSH_ZERO(b->arena, bool, capacity);
        if (!capacity)
            return nlp_fail(b->err, NLP_ELIMIT, "the vocabulary is too large for a trie");
        NLP_TRY(nlp_arena_status(b->arena, b->err));
        if (b->n_units) {
            memcpy(units, b->units, b->n_units * sizeof *units);
            memcpy(used, b->used, b->n_units * sizeof *used);
        }
        b->units = units, b->used = used, b->capacity = capacity;
    }
    b->n_units = n;
    return NLP_OK;
}

static bool fits(const builder *b, uint32_t base, const uint8_t *labels, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (base + labels[i] < b->n_units && b->used[base + labels[i]]) return false;
    return true;
}

/* The first base from the first free unit on; a search that finds nothing near gives up and appends,
 * which costs room and saves time. */
static nlp_status find_base(builder *b, const uint8_t *labels, uint32_t n, uint32_t *base) {
    enum { TRIES = 1 << 10 };
    while (b->first_free < b->n_units && b->used[b->first_free]) b->first_free++;
    uint32_t at = b->first_free > labels[0] ? b->first_free - labels[0] : 1;
    for (uint32_t tries = 0; tries < TRIES && at < b->n_units; at++) {
        if (b->used[at + labels[0] < b->n_units ? at + labels[0] : at]) continue;
        tries++;
        if (fits(b, at, labels, n)) break;
    }
    if (at >= b->n_units || !fits(b, at, labels, n)) at = b->n_units;
    *base = at;
    return grow(b, at + 256);
}

static uint8_t byte_at(const builder *b, uint32_t i, uint32_t depth) {
    return (uint8_t)b->keys[b->order[i]].text[depth];
}

/* Places the children of a state and pushes them. */
static nlp_status expand(builder *b, range r, range *stack, size_t *n_stack) {
    uint8_t labels[256];
    uint32_t starts[257], n = 0, base, first = r.first;
    if (b->keys[b->order[first]].n_bytes == r.depth) {
        b->units[r.unit].value = b->order[first] + 1;
        first++;
        if (first < r.end && b->keys[b->order[first]].n_bytes == r.depth)
            return nlp_fail(b->err, NLP_EINVAL, "two pieces of the vocabulary are the same");
    }
    for (uint32_t i = first; i < r.end; i++)
        if (!n || byte_at(b, i, r.depth) != labels[n - 1]) {
            starts[n] = i;
            labels[n++] = byte_at(b, i, r.depth);
        }
    if (!n) return NLP_OK;
    starts[n] = r.end;
    NLP_TRY(find_base(b, labels, n, &base));
    b->units[r.unit].base = base;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t unit = base + labels[i];
        b->used[unit] = true;
        b->units[unit].check = r.unit + 1;
        stack[(*n_stack)++] = (range){starts[i], starts[i + 1], r.depth + 1, unit};
    }
    return NLP_OK;
}

nlp_status double_array_build(const piece *keys, uint32_t n, nlp_arena *arena,
                              nlp_trie_unit **units, uint32_t *n_units, nlp_error *err) {
    uint32_t *order = NLP_PUSH(arena, uint32_t, n);
    size_t n_stack = 0, n_bytes = 256;
    for (uint32_t i = 0; i < n; i++) n_bytes += keys[i].n_bytes;
    range *stack = NLP_PUSH(arena, range, n_bytes); /* a state a byte at most */
    NLP_TRY(nlp_arena_status(arena, err));
    uint32_t n_keys = 0;
    for (uint32_t i = 0; i < n; i++)
        if (keys[i].n_bytes) order[n_keys++] = i;
    qsort_r(order, n_keys, sizeof *order, compare_keys, (void *)(uintptr_t)keys);
    builder b = {.keys = keys, .order = order, .arena = arena, .err = err, .first_free = 1};
    NLP_TRY(grow(&b, 256));
    b.used[0] = true;
    if (n_keys) stack[n_stack++] = (range){0, n_keys, 0, 0};
    while (n_stack) {
        range r = stack[--n_stack];
        NLP_TRY(expand(&b, r, stack, &n_stack));
    }
    *units = b.units, *n_units = b.n_units;
    return NLP_OK;
}
