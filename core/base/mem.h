/* mem.h: the one allocator seam, and checked size arithmetic. mem.c is the only home of malloc.
 * An nlp_mem counts the bytes it has given out and keeps them under a budget. */
#ifndef NLP_BASE_MEM_H
#define NLP_BASE_MEM_H

#include "base/err.h"

typedef struct nlp_mem {
    nlp_alloc_fn alloc;
    void *context;
    size_t used_bytes, peak_bytes;
    size_t budget_bytes; /* 0: no limit */
} nlp_mem;

/* alloc NULL: malloc. One thread, as long as the nlp_mem is not shared behind a lock. */
void nlp_mem_init(nlp_mem *mem, nlp_alloc_fn alloc, void *context, size_t budget_bytes);
/* NULL when out of memory or over budget. 64-byte aligned. nlp_mem_zalloc zeroes. The size given to
 * free must be the size asked for. */
void *nlp_mem_alloc(nlp_mem *mem, size_t n_bytes);
void *nlp_mem_zalloc(nlp_mem *mem, size_t n_bytes);
void *nlp_mem_resize(nlp_mem *mem, void *old, size_t old_bytes,
                     size_t new_bytes);                         /* old may be NULL */
void nlp_mem_free(nlp_mem *mem, void *pointer, size_t n_bytes); /* NULL is allowed */
/* The error for a failed allocation: names the bytes and, where one is set, the budget. */
nlp_status nlp_mem_fail(const nlp_mem *mem, size_t n_bytes, nlp_error *err);

/* true on overflow, and then *out is not written */
static inline bool nlp_mul_overflows(size_t a, size_t b, size_t *out) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return true;
    *out = product;
    return false;
}
static inline bool nlp_add_overflows(size_t a, size_t b, size_t *out) {
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return true;
    *out = sum;
    return false;
}

#endif
