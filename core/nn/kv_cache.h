/* kv_cache.h: what a text leaves behind for the tokens that continue it: keys and values of every
 * layer, or the state of a recurrence. A plain cache: rows lie behind each other. One thread. */
#ifndef NLP_NN_KV_CACHE_H
#define NLP_NN_KV_CACHE_H

#include "base/arena.h"
#include "tensor/kernels.h"

typedef struct nlp_kv_cache {
    void *rows;    /* [n_layers][2][capacity][width] of f32, or halves: keys, then values */
    bool half;     /* rows are half floats, rounded to nearest even */
    float *states; /* [n_layers][state_width], zeros at first; NULL: no recurrence */
    size_t n_layers, capacity, width, state_width;
    size_t n; /* tokens so far */
} nlp_kv_cache;

/* Memory from the arena; NLP_ENOMEM or NLP_ELIMIT where the sizes are too large. */
nlp_status nlp_kv_cache_open(nlp_kv_cache *cache, nlp_arena *arena, size_t n_layers,
                             size_t capacity, size_t width, size_t state_width, bool half,
                             nlp_error *err);
/* Row `at` of a layer becomes key and value [width]. */
void nlp_kv_put(const nlp_kv_cache *cache, const nlp_kernels *kernels, size_t layer, size_t at,
                const float *key, const float *value);
/* The first n rows of a layer as floats: of a half cache in scratch [2][n][width], else where they
 * lie. */
void nlp_kv_get(const nlp_kv_cache *cache, const nlp_kernels *kernels, size_t layer, size_t n,
                float *scratch, const float **keys, const float **values);
/* n numbers as a half cache would give them back; spare: [n]. */
void nlp_kv_round(const nlp_kernels *kernels, float *numbers, size_t n, uint16_t *spare);

/* What a decoder sees of an encoder: keys and values of its cross attentions, made once a text. */
typedef struct nlp_memory {
    const float *rows; /* [n_layers][n_tokens][2 * width]: a key, then a value */
    size_t n_tokens, width;
} nlp_memory;

#endif
