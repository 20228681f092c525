/* arena.c: blocks in a list, newest first; a push comes from the newest. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ALIGNMENT = 64, MIN_BLOCK = 16 * 1024 };

struct nlp_arena_block {
    nlp_arena_block *next;
    size_t capacity, used; /* of the bytes behind this header */
    uint8_t padding[ALIGNMENT - 3 * sizeof(size_t)];
    uint8_t bytes[];
};

_Static_assert(sizeof(nlp_arena_block) == ALIGNMENT, "blocks begin aligned");

void nlp_arena_init(nlp_arena *arena, nlp_mem *mem) {
    *arena = (nlp_arena){.mem = mem};
}

static void free_block(nlp_arena *arena, nlp_arena_block *block) {
    nlp_mem_free(arena->mem, block, sizeof *block + block->capacity);
}

void nlp_arena_deinit(nlp_arena *arena) {
    while (arena->blocks) {
        nlp_arena_block *next = arena->blocks->next;
        free_block(arena, arena->blocks);
        arena->blocks = next;
    }
}

/* Of a budget a small part, so that the next call has nearly all of it. */
static bool may_keep(const nlp_arena *arena, const nlp_arena_block *block) {
    size_t budget = arena->mem->budget_bytes;
    return block->capacity <= NLP_ARENA_KEPT && (!budget || block->capacity <= budget / 16);
}

/* Keeps the largest block that may be kept, so that a session that repeats its work soon has one
 * block and asks for no more memory. */
void nlp_arena_reset(nlp_arena *arena) {
    nlp_arena_block *largest = NULL;
    for (nlp_arena_block *b = arena->blocks; b; b = b->next)
        if (may_keep(arena, b) && (!largest || b->capacity > largest->capacity)) largest = b;
    for (nlp_arena_block *b = arena->blocks, *next; b; b = next) {
        next = b->next;
        if (b != largest) free_block(arena, b);
    }
    arena->blocks = largest;
    arena->failed_bytes = 0;
    if (!largest) return;
    largest->next = NULL;
    largest->used = 0;
}

/* Blocks double, so a call of any size takes few of them; the blocks before stay where they are,
 * since pointers into them are out. */
static bool grow(nlp_arena *arena, size_t n_bytes) {
    size_t doubled = arena->blocks ? 2 * arena->blocks->capacity : MIN_BLOCK, total;
    size_t capacity = n_bytes > doubled ? n_bytes : doubled;
    nlp_arena_block *block = NULL;
    if (!nlp_add_overflows(capacity, sizeof *block, &total))
        block = nlp_mem_alloc(arena->mem, total);
    if (!block && capacity > n_bytes && !nlp_add_overflows(n_bytes, sizeof *block, &total)) {
        capacity = n_bytes; /* near the budget: no more than asked for */
        block = nlp_mem_alloc(arena->mem, total);
    }
    if (!block) return false;
    block->next = arena->blocks;
    block->capacity = capacity;
    block->used = 0;
    arena->blocks = block;
    return true;
}

/* Room at the end of the newest block; what is left in older ones is given up. */
static bool has_room(const nlp_arena *arena, size_t n_bytes) {
    return arena->blocks && arena->blocks->capacity - arena->blocks->used >= n_bytes;
}

/* Failure is kept, not returned at once: the caller pushes all it needs and asks
 * nlp_arena_status one time. */
void *nlp_arena_push(nlp_arena *arena, size_t n, size_t size) {
    size_t n_bytes, rounded;
    if (arena->failed_bytes) return NULL;
    if (nlp_mul_overflows(n, size, &n_bytes) ||
        nlp_add_overflows(n_bytes, ALIGNMENT - 1, &rounded)) {
        arena->failed_bytes = SIZE_MAX;
        return NULL;
    }
    rounded &= ~(size_t)(ALIGNMENT - 1);
    if (!has_room(arena, rounded) && !grow(arena, rounded)) {
        arena->failed_bytes = rounded ? rounded : 1;
        return NULL;
    }
    void *at = arena->blocks->bytes + arena->blocks->used;
    arena->blocks->used += rounded;
    return at;
}

void *nlp_arena_push_zero(nlp_arena *arena, size_t n, size_t size) {
    void *at = nlp_arena_push(arena, n, size);
    return at ? memset(at, 0, n * size) : NULL;
}

nlp_status nlp_arena_reserve(nlp_arena *arena, size_t n_bytes, nlp_error *err) {
    size_t rounded;
    if (nlp_add_overflows(n_bytes, ALIGNMENT - 1, &rounded)) rounded = SIZE_MAX;
    rounded &= ~(size_t)(ALIGNMENT - 1);
    if (has_room(arena, rounded) || grow(arena, rounded)) return NLP_OK;
    return nlp_mem_fail(arena->mem, n_bytes, err);
}

void *nlp_arena_grow(nlp_arena *arena, void *items, size_t n, size_t *capacity, size_t size) {
    enum { FIRST = 64 };
    size_t more = *capacity ? *capacity : FIRST / 2;
    if (n < *capacity) return items;
    if (nlp_mul_overflows(more, 2, &more)) more = SIZE_MAX;
    void *copy = nlp_arena_push(arena, more, size);
    if (!copy) return NULL;
    if (n) memcpy(copy, items, n * size);
    *capacity = more;
    return copy;
}

char *nlp_arena_text(nlp_arena *arena, const char *bytes, size_t n_bytes) {
    size_t total;
    char *text = nlp_add_overflows(n_bytes, 1, &total) ? NULL : nlp_arena_push(arena, total, 1);
    if (!text) return NULL;
    if (n_bytes) memcpy(text, bytes, n_bytes);
    text[n_bytes] = 0;
    return text;
}

char *nlp_arena_format(nlp_arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = n < 0 ? NULL : nlp_arena_push(arena, (size_t)n + 1, 1);
    if (!text) return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)n + 1, format, arguments);
    va_end(arguments);
    return text;
}

nlp_status nlp_arena_status(const nlp_arena *arena, nlp_error *err) {
    return arena->failed_bytes ? nlp_mem_fail(arena->mem, arena->failed_bytes, err) : NLP_OK;
}
