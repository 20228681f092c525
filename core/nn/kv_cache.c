/* kv_cache.c: sizes and places of cached positions, who uses a block, and the number formats. */
#include "nn/kv_cache.h"

#include <string.h>

enum { BLOCK = NLP_KV_BLOCK };

/* ---- Sizes ---- */

static size_t number_bytes(const nlp_kv_shape *s) {
    return s->half ? sizeof(uint16_t) : sizeof(float);
}

static size_t value_width(const nlp_kv_shape *s) { /* of a head: whole lanes */
    return (s->head_dim + NLP_LANES - 1) / NLP_LANES * NLP_LANES;
}

static size_t keys_bytes(const nlp_kv_shape *s) {
    return s->n_heads * s->head_dim * BLOCK * number_bytes(s);
}

/* Of one layer in a block; a whole number of cache lines. */
static size_t layer_bytes(const nlp_kv_shape *s) {
    size_t n = keys_bytes(s) + s->n_heads * value_width(s) * BLOCK * number_bytes(s);
    return (n + 63) / 64 * 64;
}

size_t nlp_kv_blocks(size_t n_tokens) {
    return n_tokens / BLOCK + (n_tokens % BLOCK != 0);
}

size_t nlp_kv_pool_bytes(const nlp_kv_shape *s, size_t n_blocks) {
    size_t n, more;
    if (nlp_mul_overflows(layer_bytes(s), s->n_layers, &n) || nlp_mul_overflows(n, n_blocks, &n) ||
        nlp_mul_overflows(2 * sizeof(uint32_t), n_blocks, &more) || nlp_add_overflows(n, more, &n))
        return SIZE_MAX;
    return n;
}

size_t nlp_kv_cache_bytes(const nlp_kv_shape *s, size_t n_tokens) {
    size_t n;
    if (nlp_mul_overflows(s->n_layers, s->state_width * sizeof(float), &n) ||
        nlp_add_overflows(n, (nlp_kv_blocks(n_tokens) + 1) * sizeof(uint32_t), &n))
        return SIZE_MAX;
    return n;
}

/* ---- Blocks ---- */

nlp_status nlp_kv_pool_open(nlp_kv_pool *p, const nlp_kv_shape *shape, size_t n_blocks,
                            nlp_arena *arena, nlp_error *err) {
    *p = (nlp_kv_pool){.shape = *shape,
                       .block_bytes = layer_bytes(shape) * shape->n_layers,
                       .n_blocks = n_blocks,
                       .n_free = n_blocks};
    if (n_blocks >= UINT32_MAX || nlp_kv_pool_bytes(shape, n_blocks) == SIZE_MAX)
        return nlp_fail(err, NLP_ELIMIT, "a cache of %zu tokens is too large", n_blocks * BLOCK);
    p->blocks = nlp_arena_push(arena, n_blocks, p->block_bytes);
    p->users = NLP_PUSH_ZERO(arena, uint32_t, n_blocks);
    p->free = NLP_PUSH(arena, uint32_t, n_blocks);
    NLP_TRY(nlp_arena_status(arena, err));
    for (size_t i = 0; i < n_blocks; i++) p->free[i] = (uint32_t)(n_blocks - 1 - i);
    return NLP_OK;
}

nlp_status nlp_kv_cache_open(nlp_kv_cache *c, nlp_kv_pool *pool, size_t n_tokens, nlp_arena *arena,
                             nlp_error *err) {
    const nlp_kv_shape *s = &pool->shape;
    *c = (nlp_kv_cache){.pool = pool, .capacity = nlp_kv_blocks(n_tokens)};
    c->table = NLP_PUSH(arena, uint32_t, c->capacity + 1);
    if (s->state_width) c->states = NLP_PUSH_ZERO(arena, float, s->n_layers * s->state_width);
    return nlp_arena_status(arena, err);
}

static nlp_status take_block(nlp_kv_pool *p, uint32_t *block, nlp_error *err) {
    if (!p->n_free)
        return nlp_fail(err, NLP_EINTERNAL, "all %zu blocks of a cache are in use", p->n_blocks);
    *block = p->free[--p->n_free];
    p->users[*block] = 1;
    return NLP_OK;
}

static void leave_block(nlp_kv_pool *p, uint32_t block) {
    if (!--p->users[block]) p->free[p->n_free++] = block;
}

/* The last block, where others hold it too, becomes one of our own. */
static nlp_status own_last(nlp_kv_cache *c, nlp_error *err) {
    nlp_kv_pool *p = c->pool;
    uint32_t *last = &c->table[c->n_blocks - 1], own = 0;
    if (!c->n_blocks || p->users[*last] == 1) return NLP_OK;
    NLP_TRY(take_block(p, &own, err));
    memcpy(p->blocks + own * p->block_bytes, p->blocks + *last * p->block_bytes, p->block_bytes);
    leave_block(p, *last);
    *last = own;
    return NLP_OK;
}

nlp_status nlp_kv_reserve(nlp_kv_cache *c, size_t n_more, nlp_error *err) {
    size_t n_blocks = nlp_kv_blocks(c->n + n_more);
    if (!c->pool->shape.n_heads) return NLP_OK; /* a recurrence keeps nothing by position */
    if (n_blocks > c->capacity)
        return nlp_fail(err, NLP_EINTERNAL, "%zu tokens do not go into a cache of %zu blocks",
                        c->n + n_more, c->capacity);
    if (c->n % BLOCK) NLP_TRY(own_last(c, err));
    for (; c->n_blocks < n_blocks; c->n_blocks++)
        NLP_TRY(take_block(c->pool, &c->table[c->n_blocks], err));
    return NLP_OK;
}

void nlp_kv_cut(nlp_kv_cache *c, size_t n) {
    size_t n_blocks = nlp_kv_blocks(n);
    while (c->n_blocks > n_blocks) leave_block(c->pool, c->table[--c->n_blocks]);
    if (!n && c->states)
        memset(c->states, 0, c->pool->shape.n_layers * c->pool->shape.state_width * sizeof(float));
    c->n = n;
}

void nlp_kv_fork(nlp_kv_cache *to, const nlp_kv_cache *from) {
    const nlp_kv_shape *s = &from->pool->shape;
    nlp_kv_cut(to, 0);
    for (size_t i = 0; i < from->n_blocks; i++) {
        to->table[i] = from->table[i];
        from->pool->users[to->table[i]]++;
    }
    to->n_blocks = from->n_blocks;
    to->n = from->n;
    if (from->states)
        memcpy(to->states, from->states, s->n_layers * s->state_width * sizeof(float));
}

/* ---- Numbers ---- */

static uint8_t *layer_at(const nlp_kv_cache *c, size_t layer, size_t at) {
    const nlp_kv_pool *p = c->pool;
    return p->blocks + c->table[at / BLOCK] * p->block_bytes + layer * layer_bytes(&p->shape);
}

/* A key becomes one column of its panels. */
static void put_key(const nlp_kv_shape *s, uint8_t *panels, size_t lane, const float *key) {
    for (size_t i = 0; i < s->n_heads * s->head_dim; i++)
        memcpy(panels + (i * BLOCK + lane) * sizeof *key, key + i, sizeof *key);
}

/* The halves of a row come sixteen at a time, on the stack. */
static void put_half_key(const nlp_kernels *kernels, const nlp_kv_shape *s, uint8_t *panels,
                         size_t lane, const float *key) {
    uint16_t halves[NLP_LANES], *to = (uint16_t *)(void *)panels + lane;
    size_t n = s->n_heads * s->head_dim;
    for (size_t i = 0; i < n; i += NLP_LANES) {
        size_t live = n - i < NLP_LANES ? n - i : NLP_LANES;
        kernels->to_half(halves, key + i, live);
        for (size_t k = 0; k < live; k++) to[(i + k) * BLOCK] = halves[k];
    }
}

static uint8_t *value_at(const nlp_kv_shape *s, uint8_t *layer, size_t lane, size_t head) {
    return layer + keys_bytes(s) + (lane * s->n_heads + head) * value_width(s) * number_bytes(s);
}

void nlp_kv_put(const nlp_kv_cache *c, const nlp_kernels *kernels, size_t layer, size_t at,
                const float *key, const float *value) {
    const nlp_kv_shape *s = &c->pool->shape;
    uint8_t *to = layer_at(c, layer, at);
    if (s->half)
        put_half_key(kernels, s, to, at % BLOCK, key);
    else
        put_key(s, to, at % BLOCK, key);
    for (size_t head = 0; head < s->n_heads; head++, value += s->head_dim) {
        void *row = value_at(s, to, at % BLOCK, head);
        if (s->half)
            kernels->to_half(row, value, s->head_dim);
        else
            memcpy(row, value, s->head_dim * sizeof *value);
    }
}

/* A block's panels to rows. */
static void get_keys(const nlp_kernels *kernels, const nlp_kv_shape *s, const uint8_t *panels,
                     size_t n, float *rows) {
    size_t width = s->n_heads * s->head_dim;
    float spare[BLOCK];
    for (size_t i = 0; i < width; i++) {
        const uint8_t *from = panels + i * BLOCK * number_bytes(s);
        if (s->half)
            kernels->from_half(spare, (const uint16_t *)(const void *)from, BLOCK);
        else
            memcpy(spare, from, sizeof spare);
        for (size_t t = 0; t < n; t++) rows[t * width + i] = spare[t];
    }
}

void nlp_kv_get(const nlp_kv_cache *c, const nlp_kernels *kernels, size_t layer, size_t n,
                float *keys, float *values) {
    const nlp_kv_shape *s = &c->pool->shape;
    size_t width = s->n_heads * s->head_dim;
    for (size_t at = 0; at < n; at++) {
        uint8_t *from = layer_at(c, layer, at);
        if (at % BLOCK == 0)
            get_keys(kernels, s, from, n - at < BLOCK ? n - at : BLOCK, keys + at * width);
        for (size_t head = 0; head < s->n_heads; head++, values += s->head_dim) {
            const void *row = value_at(s, from, at % BLOCK, head);
            if (s->half)
                kernels->from_half(values, row, s->head_dim);
            else
                memcpy(values, row, s->head_dim * sizeof *values);
        }
    }
}

void nlp_kv_place(const nlp_kv_cache *c, size_t layer, size_t head,
                  nlp_cached_attention_args *args) {
    const nlp_kv_shape *s = &c->pool->shape;
    size_t at = layer * layer_bytes(s);
    args->blocks = c->pool->blocks;
    args->table = c->table;
    args->block_bytes = c->pool->block_bytes;
    args->keys_at = at + head * s->head_dim * BLOCK * number_bytes(s);
    args->values_at = at + keys_bytes(s) + head * value_width(s) * number_bytes(s);
    args->value_stride = s->n_heads * value_width(s);
    args->half = s->half;
}

void nlp_kv_round(const nlp_kernels *kernels, float *x, size_t n, uint16_t *spare) {
    kernels->to_half(spare, x, n);
    kernels->from_half(x, spare, n);
}
