/* arena.h: memory of one call. A list of blocks over an nlp_mem; nothing is freed one by one.
 * Failure is sticky: after a failed push every push returns NULL, so a run of pushes needs one
 * check (nlp_arena_status). Reset keeps the largest block of at most NLP_ARENA_KEPT and a 16th of
 * the budget: a warm session allocates nothing, and one that had a large text gives its memory
 * back. One thread. */
#ifndef NLP_BASE_ARENA_H
#define NLP_BASE_ARENA_H

#include "base/mem.h"

#define NLP_ARENA_KEPT ((size_t)64 << 20)

typedef struct nlp_arena_block nlp_arena_block;

typedef struct nlp_arena {
    nlp_mem *mem; /* borrowed */
    nlp_arena_block *blocks;
    size_t failed_bytes; /* the request that failed; 0: none */
} nlp_arena;

void nlp_arena_init(nlp_arena *arena, nlp_mem *mem);
void nlp_arena_deinit(nlp_arena *arena);
void nlp_arena_reset(nlp_arena *arena);
/* Makes sure that n_bytes more can be pushed without an allocation. */
nlp_status nlp_arena_reserve(nlp_arena *arena, size_t n_bytes, nlp_error *err);
/* 64-byte aligned, not zeroed; NULL on failure. n * size is checked. n == 0 gives a valid pointer
 * to nothing. */
void *nlp_arena_push(nlp_arena *arena, size_t n, size_t size);
void *nlp_arena_push_zero(nlp_arena *arena, size_t n, size_t size);
/* Room for one more behind n items of `size` bytes: items as they are, or a copy of twice the room. NULL
 * on failure. The old ones stay until the arena goes. */
void *nlp_arena_grow(nlp_arena *arena, void *items, size_t n, size_t *capacity, size_t size);
/* A terminated copy. */
char *nlp_arena_text(nlp_arena *arena, const char *bytes, size_t n_bytes);
char *nlp_arena_format(nlp_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* NLP_OK, or the error of the first failed push. */
nlp_status nlp_arena_status(const nlp_arena *arena, nlp_error *err);

#define NLP_PUSH(arena, type, n)      ((type *)nlp_arena_push((arena), (n), sizeof(type)))
#define NLP_PUSH_ZERO(arena, type, n) ((type *)nlp_arena_push_zero((arena), (n), sizeof(type)))

#endif
