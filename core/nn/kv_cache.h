/* kv_cache.h: what a text leaves behind for the tokens that continue it: keys and values of every
 * layer, or the state of a recurrence. A plain cache: rows lie behind each other. One thread. */
#ifndef NLP_NN_KV_CACHE_H
#define NLP_NN_KV_CACHE_H

#include "base/arena.h"

typedef struct nlp_kv_cache {
    float *rows;   /* [n_layers][2][capacity][width]: keys, then values */
    float *states; /* [n_layers][state_width], zeros at first; NULL: no recurrence */
    size_t n_layers, capacity, width, state_width;
    size_t n; /* tokens so far */
} nlp_kv_cache;

/* Memory from the arena; NLP_ENOMEM or NLP_ELIMIT where the sizes are too large. */
nlp_status nlp_kv_cache_open(nlp_kv_cache *cache, nlp_arena *arena, size_t n_layers,
                             size_t capacity, size_t width, size_t state_width, nlp_error *err);
float *nlp_kv_keys(const nlp_kv_cache *cache, size_t layer);   /* [capacity, width] */
float *nlp_kv_values(const nlp_kv_cache *cache, size_t layer); /* [capacity, width] */

/* What a decoder sees of an encoder: keys and values of its cross attentions, made once a text. */
typedef struct nlp_memory {
    const float *rows; /* [n_layers][n_tokens][2 * width]: a key, then a value */
    size_t n_tokens, width;
} nlp_memory;

#endif
