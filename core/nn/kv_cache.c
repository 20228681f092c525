/* kv_cache.c: sizes and places of cached rows. */
#include "nn/kv_cache.h"

nlp_status nlp_kv_cache_open(nlp_kv_cache *c, nlp_arena *arena, size_t n_layers, size_t capacity,
                             size_t width, size_t state_width, nlp_error *err) {
    size_t n, n_states;
    *c = (nlp_kv_cache){
        .n_layers = n_layers, .capacity = capacity, .width = width, .state_width = state_width};
    if (nlp_mul_overflows(n_layers, 2, &n) || nlp_mul_overflows(n, capacity, &n) ||
        nlp_mul_overflows(n, width, &n) || nlp_mul_overflows(n_layers, state_width, &n_states))
        return nlp_fail(err, NLP_ELIMIT, "a cache of %zu tokens is too large", capacity);
    c->rows = NLP_PUSH(arena, float, n);
    if (state_width) c->states = NLP_PUSH_ZERO(arena, float, n_states);
    return nlp_arena_status(arena, err);
}

float *nlp_kv_keys(const nlp_kv_cache *c, size_t layer) {
    return c->rows + 2 * layer * c->capacity * c->width;
}

float *nlp_kv_values(const nlp_kv_cache *c, size_t layer) {
    return nlp_kv_keys(c, layer) + c->capacity * c->width;
}
