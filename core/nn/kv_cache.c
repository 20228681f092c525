/* kv_cache.c: sizes and places of cached rows, and their number format. */
#include "nn/kv_cache.h"

#include <string.h>

static size_t number_bytes(const nlp_kv_cache *c) {
    return c->half ? sizeof(uint16_t) : sizeof(float);
}

nlp_status nlp_kv_cache_open(nlp_kv_cache *c, nlp_arena *arena, size_t n_layers, size_t capacity,
                             size_t width, size_t state_width, bool half, nlp_error *err) {
    size_t n, n_states;
    *c = (nlp_kv_cache){.half = half,
                        .n_layers = n_layers,
                        .capacity = capacity,
                        .width = width,
                        .state_width = state_width};
    if (nlp_mul_overflows(n_layers, 2, &n) || nlp_mul_overflows(n, capacity, &n) ||
        nlp_mul_overflows(n, width, &n) || nlp_mul_overflows(n_layers, state_width, &n_states))
        return nlp_fail(err, NLP_ELIMIT, "a cache of %zu tokens is too large", capacity);
    c->rows = nlp_arena_push(arena, n, number_bytes(c));
    if (state_width) c->states = NLP_PUSH_ZERO(arena, float, n_states);
    return nlp_arena_status(arena, err);
}

/* Row `at` of the keys (part 0) or values (1) of a layer. */
static void *row_of(const nlp_kv_cache *c, size_t layer, size_t part, size_t at) {
    return (uint8_t *)c->rows +
           ((2 * layer + part) * c->capacity + at) * c->width * number_bytes(c);
}

static void put(const nlp_kv_cache *c, const nlp_kernels *kernels, void *row, const float *x) {
    if (c->half)
        kernels->to_half(row, x, c->width);
    else
        memcpy(row, x, c->width * sizeof *x);
}

void nlp_kv_put(const nlp_kv_cache *c, const nlp_kernels *kernels, size_t layer, size_t at,
                const float *key, const float *value) {
    put(c, kernels, row_of(c, layer, 0, at), key);
    put(c, kernels, row_of(c, layer, 1, at), value);
}

void nlp_kv_get(const nlp_kv_cache *c, const nlp_kernels *kernels, size_t layer, size_t n,
                float *scratch, const float **keys, const float **values) {
    *keys = row_of(c, layer, 0, 0), *values = row_of(c, layer, 1, 0);
    if (!c->half) return;
    kernels->from_half(scratch, row_of(c, layer, 0, 0), n * c->width);
    kernels->from_half(scratch + n * c->width, row_of(c, layer, 1, 0), n * c->width);
    *keys = scratch, *values = scratch + n * c->width;
}

void nlp_kv_round(const nlp_kernels *kernels, float *x, size_t n, uint16_t *spare) {
    kernels->to_half(spare, x, n);
    kernels->from_half(x, spare, n);
}
