/* double_array.c: a trie as a double array (Aoe 1989): the child of state s by byte c is the unit
 * base[s] + c, if that unit's check is s. Keys are sorted; states are placed depth first at the first
 * base where all their children fit, found along a list of free units. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer_compiler.h"

typedef struct range { /* keys that share their first `depth` bytes: a state */
    uint32_t first, end, depth, unit;
} range;

typedef struct slot {
    nlp_trie_unit unit;
    /* free units in a ring through unit 0, which is never free; of a used unit next is 0 */
    uint32_t next, last;
} slot;

typedef struct builder {
    const piece *keys;
    const uint32_t *order; /* keys sorted */
    nlp_mem *mem;          /* for slots, which grow */
    nlp_error *err;
    slot *slots;
    uint32_t n_units, capacity;
} builder;

static int compare_keys(const void *a, const void *b, void *context) {
    const piece *keys = context, *x = &keys[*(const uint32_t *)a], *y = &keys[*(const uint32_t *)b];
    size_t n = x->n_bytes < y->n_bytes ? x->n_bytes : y->n_bytes;
    int order = memcmp(x->text, y->text, n);
    return order ? order : x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

static nlp_status reserve(builder *b, uint32_t n) {
    uint32_t capacity = n + n / 2 + 1024;
    if (n >= 1u << 26)
        return nlp_fail(b->err, NLP_ELIMIT, "the vocabulary is too large for a trie");
    slot *slots =
        nlp_mem_resize(b->mem, b->slots, b->capacity * sizeof *slots, capacity * sizeof *slots);
    if (!slots) return nlp_mem_fail(b->mem, capacity * sizeof *slots, b->err);
    memset(slots + b->capacity, 0, (capacity - b->capacity) * sizeof *slots);
    b->slots = slots, b->capacity = capacity;
    return NLP_OK;
}

/* Units up to `n` exist; new ones are free, behind the others in the ring. */
static nlp_status grow(builder *b, uint32_t n) {
    if (n > b->capacity) NLP_TRY(reserve(b, n));
    slot *s = b->slots;
    for (uint32_t unit = b->n_units ? b->n_units : 1; unit < n; unit++) {
        uint32_t last = s[0].last;
        s[last].next = unit, s[unit].last = last;
        s[unit].next = 0, s[0].last = unit;
    }
    if (n > b->n_units) b->n_units = n;
    return NLP_OK;
}

static bool is_used(const builder *b, uint32_t unit) {
    return !b->slots[unit].next && b->slots[0].last != unit;
}

static void take(builder *b, uint32_t unit) {
    uint32_t next = b->slots[unit].next, last = b->slots[unit].last;
    b->slots[last].next = next, b->slots[next].last = last;
    b->slots[unit].next = 0;
}

static bool fits(const builder *b, uint32_t base, const uint8_t *labels, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (base + labels[i] < b->n_units && is_used(b, base + labels[i])) return false;
    return true;
}

/* The first base along the free units; a search that finds nothing near gives up and appends, which
 * costs room and saves time: a full vocabulary has some hundred thousand states. */
static nlp_status find_base(builder *b, const uint8_t *labels, uint32_t n, uint32_t *base) {
    enum { TRIES = 128 };
    uint32_t unit = b->slots[0].next;
    *base = b->n_units;
    for (uint32_t tries = 0; unit && tries < TRIES; unit = b->slots[unit].next) {
        if (unit <= labels[0]) continue;
        tries++;
        if (!fits(b, unit - labels[0], labels, n)) continue;
        *base = unit - labels[0];
        break;
    }
    return grow(b, *base + 256);
}

static uint8_t byte_at(const builder *b, uint32_t i, uint32_t depth) {
    return (uint8_t)b->keys[b->order[i]].text[depth];
}

/* Places the children of a state and pushes them. */
static nlp_status expand(builder *b, range r, range *stack, size_t *n_stack) {
    uint8_t labels[256];
    uint32_t starts[257], n = 0, base, first = r.first;
    if (b->keys[b->order[first]].n_bytes == r.depth) {
        b->slots[r.unit].unit.value = b->order[first] + 1;
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
    b->slots[r.unit].unit.base = base;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t unit = base + labels[i];
        take(b, unit);
        b->slots[unit].unit.check = r.unit + 1;
        stack[(*n_stack)++] = (range){starts[i], starts[i + 1], r.depth + 1, unit};
    }
    return NLP_OK;
}

/* The order in which states are placed is that of a stack. The states on it share no key. */
static nlp_status place_states(builder *b, uint32_t n_keys, range *stack) {
    size_t n_stack = 0;
    NLP_TRY(grow(b, 256));
    if (n_keys) stack[n_stack++] = (range){0, n_keys, 0, 0};
    while (n_stack) {
        range r = stack[--n_stack];
        NLP_TRY(expand(b, r, stack, &n_stack));
    }
    return NLP_OK;
}

nlp_status double_array_build(const piece *keys, uint32_t n, nlp_arena *arena,
                              nlp_trie_unit **units, uint32_t *n_units, nlp_error *err) {
    uint32_t n_keys = 0, *order = NLP_PUSH(arena, uint32_t, n);
    range *stack = NLP_PUSH(arena, range, n);
    NLP_TRY(nlp_arena_status(arena, err));
    for (uint32_t i = 0; i < n; i++)
        if (keys[i].n_bytes) order[n_keys++] = i;
    qsort_r(order, n_keys, sizeof *order, compare_keys, (void *)(uintptr_t)keys);
    builder b = {.keys = keys, .order = order, .mem = arena->mem, .err = err};
    nlp_status status = place_states(&b, n_keys, stack);
    if (status == NLP_OK) {
        *n_units = b.n_units;
        *units = NLP_PUSH(arena, nlp_trie_unit, b.n_units);
        for (uint32_t i = 0; *units && i < b.n_units; i++) (*units)[i] = b.slots[i].unit;
        status = nlp_arena_status(arena, err);
    }
    nlp_mem_free(b.mem, b.slots, b.capacity * sizeof *b.slots);
    return status;
}
