/* mem.c: the only home of malloc. Blocks are aligned to 64 bytes whatever the allocator gives: the
 * distance back to its own pointer stands in the bytes before the block. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

static void *malloc_alloc(void *context, void *old, size_t old_bytes, size_t new_bytes) {
    (void)context, (void)old_bytes;
    if (new_bytes) return realloc(old, new_bytes);
    free(old);
    return NULL;
}

void nlp_mem_init(nlp_mem *mem, nlp_alloc_fn alloc, void *context, size_t budget_bytes) {
    *mem = (nlp_mem){
        .alloc = alloc ? alloc : malloc_alloc, .context = context, .budget_bytes = budget_bytes};
}

static void *align_block(uint8_t *raw) {
    uintptr_t at = ((uintptr_t)raw + ALIGNMENT) & ~(uintptr_t)(ALIGNMENT - 1);
    uint8_t *block = raw + (at - (uintptr_t)raw);
    block[-1] = (uint8_t)(block - raw);
    return block;
}

void *nlp_mem_alloc(nlp_mem *mem, size_t n_bytes) {
    size_t raw_bytes, used;
    if (nlp_add_overflows(n_bytes, ALIGNMENT, &raw_bytes) ||
        nlp_add_overflows(mem->used_bytes, n_bytes, &used) ||
        (mem->budget_bytes && used > mem->budget_bytes))
        return NULL;
    uint8_t *raw = mem->alloc(mem->context, NULL, 0, raw_bytes);
    if (!raw) return NULL;
    mem->used_bytes = used;
    if (used > mem->peak_bytes) mem->peak_bytes = used;
    return align_block(raw);
}

void *nlp_mem_zalloc(nlp_mem *mem, size_t n_bytes) {
    void *block = nlp_mem_alloc(mem, n_bytes);
    return block ? memset(block, 0, n_bytes) : NULL;
}

void nlp_mem_free(nlp_mem *mem, void *pointer, size_t n_bytes) {
    if (!pointer) return;
    uint8_t *block = pointer;
    mem->alloc(mem->context, block - block[-1], n_bytes + ALIGNMENT, 0);
    mem->used_bytes -= n_bytes;
}

void *nlp_mem_resize(nlp_mem *mem, void *old, size_t old_bytes, size_t new_bytes) {
    void *block = nlp_mem_alloc(mem, new_bytes);
    if (!block) return NULL;
    if (old) memcpy(block, old, old_bytes < new_bytes ? old_bytes : new_bytes);
    nlp_mem_free(mem, old, old_bytes);
    return block;
}

nlp_status nlp_mem_fail(const nlp_mem *mem, size_t n_bytes, nlp_error *err) {
    if (!mem->budget_bytes || mem->used_bytes + n_bytes <= mem->budget_bytes)
        return nlp_fail(err, NLP_ENOMEM, "out of memory: %zu bytes are not to be had", n_bytes);
    nlp_fail(err, NLP_ENOMEM, "the call needs %zu bytes of memory, the limit is %zu",
             mem->used_bytes + n_bytes, mem->budget_bytes);
    nlp_hint(err, "raise max_memory, or send fewer or shorter texts in one call");
    return NLP_ENOMEM;
}
