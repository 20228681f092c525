#include "failing.h"

#include <stdlib.h>

void *nlp_failing_alloc(void *context, void *old, size_t old_bytes, size_t new_bytes) {
    nlp_failing *f = context;
    (void)old_bytes;
    if (!new_bytes) {
        free(old);
        return NULL;
    }
    return f->left-- > 0 ? realloc(old, new_bytes) : NULL;
}
