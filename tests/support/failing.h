/* failing.h: an allocator that gives out a number of blocks and then no more. */
#ifndef NLP_TEST_FAILING_H
#define NLP_TEST_FAILING_H

#include <stddef.h>

typedef struct nlp_failing {
    int left; /* allocations that succeed */
} nlp_failing;

/* An nlp_alloc_fn; context is an nlp_failing. */
void *nlp_failing_alloc(void *context, void *old, size_t old_bytes, size_t new_bytes);

#endif
