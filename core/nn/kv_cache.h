/* kv_cache.h: what a text leaves behind for the tokens that continue it: keys and values of every
 * layer, or the state of a recurrence. Positions lie in blocks of 16 out of one pool, so texts grow
 * without copying, and texts that begin alike share the blocks of their beginning: a block has a
 * count of its users, and one that is shared is copied before it is written. One thread a pool. */
#ifndef NLP_NN_KV_CACHE_H
#define NLP_NN_KV_CACHE_H

#include "base/arena.h"
#include "tensor/kernels.h"

/* Of a stack of layers. */
typedef struct nlp_kv_shape {
    size_t n_layers, n_heads, head_dim; /* heads of keys */
    size_t state_width;                 /* of a recurrence's state a layer; 0: none */
    bool half;                          /* numbers are halves, rounded to nearest even */
} nlp_kv_shape;

/* A block holds for each layer the keys as panels [n_heads][head_dim][16], then the values as rows
 * [16][n_heads][head_dim up to the next 16]. */
typedef struct nlp_kv_pool {
    nlp_kv_shape shape;
    size_t block_bytes, n_blocks, n_free;
    uint8_t *blocks;
    uint32_t *users; /* [n_blocks] */
    uint32_t *free;  /* [n_free] numbers of blocks */
} nlp_kv_pool;

typedef struct nlp_kv_cache {
    nlp_kv_pool *pool;
    uint32_t *table; /* [capacity] numbers of blocks, of which n_blocks are held */
    size_t n_blocks, capacity;
    float *states; /* [n_layers][state_width]; NULL: no recurrence */
    size_t n;      /* tokens so far */
} nlp_kv_cache;

size_t nlp_kv_blocks(size_t n_tokens); /* that hold them */
/* Bytes of a pool, and of a cache of so many tokens (its table and states); SIZE_MAX where they are
 * too many to count. */
size_t nlp_kv_pool_bytes(const nlp_kv_shape *shape, size_t n_blocks);
size_t nlp_kv_cache_bytes(const nlp_kv_shape *shape, size_t n_tokens);

/* Memory from the arena; NLP_ENOMEM or NLP_ELIMIT where the sizes are too large. */
nlp_status nlp_kv_pool_open(nlp_kv_pool *pool, const nlp_kv_shape *shape, size_t n_blocks,
                            nlp_arena *arena, nlp_error *err);
/* An empty cache that may grow to n_tokens. */
nlp_status nlp_kv_cache_open(nlp_kv_cache *cache, nlp_kv_pool *pool, size_t n_tokens,
                             nlp_arena *arena, nlp_error *err);
/* Room of its own for n_more tokens behind those that are there. NLP_EINTERNAL where the pool is
 * empty: who opens a pool plans its blocks. */
nlp_status nlp_kv_reserve(nlp_kv_cache *cache, size_t n_more, nlp_error *err);
/* `to` (open, of the same pool) lets go of what it has and shares what `from` has. */
void nlp_kv_fork(nlp_kv_cache *to, const nlp_kv_cache *from);
/* Keeps the first n tokens; not of a recurrence, but n = 0 always. */
void nlp_kv_cut(nlp_kv_cache *cache, size_t n);

/* Key and value [n_heads * head_dim] at position `at` of a layer, for which room is reserved. */
void nlp_kv_put(const nlp_kv_cache *cache, const nlp_kernels *kernels, size_t layer, size_t at,
                const float *key, const float *value);
/* The first n positions of a layer as rows [n][n_heads * head_dim] of floats. */
void nlp_kv_get(const nlp_kv_cache *cache, const nlp_kernels *kernels, size_t layer, size_t n,
                float *keys, float *values);
/* Where the attention kernel finds one key head of a layer; the caller adds the rest. */
void nlp_kv_place(const nlp_kv_cache *cache, size_t layer, size_t head,
                  nlp_cached_attention_args *args);
/* n numbers as a half cache would give them back; spare: [n]. */
void nlp_kv_round(const nlp_kernels *kernels, float *numbers, size_t n, uint16_t *spare);

/* What a decoder sees of an encoder: keys and values of its cross attentions, made once a text. */
typedef struct nlp_memory {
    const float *rows; /* [n_layers][n_tokens][2 * width]: a key, then a value */
    size_t n_tokens, width;
} nlp_memory;

#endif
