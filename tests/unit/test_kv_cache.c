/* test_kv_cache: blocks are shared and copied when written, and attention over them has the bits of
 * attention over plain rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/attention.h"
#include "random.h"
#include "test.h"

enum { LAYERS = 2 };

typedef struct fixture {
    nlp_mem mem;
    nlp_arena arena;
    nlp_kv_pool pool;
    nlp_error err;
} fixture;

static void open_pool(fixture *f, const nlp_kv_shape *shape, size_t n_blocks) {
    *f = (fixture){0};
    nlp_mem_init(&f->mem, NULL, NULL, 0);
    nlp_arena_init(&f->arena, &f->mem);
    CHECK(nlp_kv_pool_open(&f->pool, shape, n_blocks, &f->arena, &f->err) == NLP_OK);
}

static nlp_kv_cache open_cache(fixture *f, size_t n_tokens) {
    nlp_kv_cache c;
    CHECK(nlp_kv_cache_open(&c, &f->pool, n_tokens, &f->arena, &f->err) == NLP_OK);
    return c;
}

/* Rows first .. first + n - 1 of keys and values [*][2 * width] go into every layer. */
static void append(nlp_kv_cache *c, const float *rows, size_t n) {
    const nlp_kv_shape *s = &c->pool->shape;
    size_t width = s->n_heads * s->head_dim;
    CHECK(nlp_kv_reserve(c, n, NULL) == NLP_OK);
    for (size_t i = 0; i < n; i++)
        for (size_t layer = 0; layer < LAYERS; layer++) {
            const float *row = rows + (c->n + i) * 2 * width;
            nlp_kv_put(c, nlp_kernels_at(0), layer, c->n + i, row, row + width);
        }
    c->n += n;
}

/* What a cache gives back of a layer is what went in, rounded where it keeps halves. */
static bool holds(const nlp_kv_cache *c, const float *rows, size_t n) {
    const nlp_kv_shape *s = &c->pool->shape;
    size_t width = s->n_heads * s->head_dim;
    bool same = c->n == n;
    float *keys = malloc(n * width * sizeof *keys), *values = malloc(n * width * sizeof *values);
    uint16_t *spare = malloc(width * sizeof *spare);
    float *row = malloc(2 * width * sizeof *row);
    nlp_kv_get(c, nlp_kernels_at(0), 1, n, keys, values);
    for (size_t i = 0; i < n; i++) {
        memcpy(row, rows + i * 2 * width, 2 * width * sizeof *row);
        for (size_t part = 0; part < 2 && s->half; part++)
            nlp_kv_round(nlp_kernels_at(0), row + part * width, width, spare);
        same &= !memcmp(keys + i * width, row, width * sizeof *row) &&
                !memcmp(values + i * width, row + width, width * sizeof *row);
    }
    free(keys), free(values), free(spare), free(row);
    return same;
}

static void test_positions_come_back(void) {
    static const nlp_kv_shape shapes[] = {
        {LAYERS, 3, 64, 0, true}, {LAYERS, 2, 20, 0, true}, {LAYERS, 1, 8, 0, false}};
    nlp_random r = {5};
    for (size_t i = 0; i < 3; i++) {
        const nlp_kv_shape *s = &shapes[i];
        float *rows = random_floats(&r, 70 * 2 * s->n_heads * s->head_dim, 3);
        fixture f;
        open_pool(&f, s, 5);
        nlp_kv_cache c = open_cache(&f, 70);
        static const size_t steps[] = {1, 15, 1, 40, 13};
        for (size_t k = 0, n = 0; k < 5; k++) {
            append(&c, rows, steps[k]);
            CHECK(holds(&c, rows, n += steps[k]));
        }
        CHECK(f.pool.n_free == 0);
        CHECK(nlp_kv_reserve(&c, 11, &f.err) == NLP_EINTERNAL);
        free(rows);
        nlp_arena_deinit(&f.arena);
    }
}

static void test_forks_share_and_write_apart(void) {
    static const nlp_kv_shape shape = {LAYERS, 1, 32, 0, true};
    nlp_random r = {6};
    float *rows = random_floats(&r, 64 * 64, 1), *others = random_floats(&r, 64 * 64, 1);
    memcpy(others, rows, 21 * 64 * sizeof *rows);
    fixture f;
    open_pool(&f, &shape, 7);
    nlp_kv_cache a = open_cache(&f, 60), b = open_cache(&f, 60);
    append(&a, rows, 21);
    nlp_kv_fork(&b, &a);
    CHECK(f.pool.n_free == 5 && holds(&b, rows, 21)); /* two blocks, held by both */
    append(&b, others, 20);                           /* the second is copied, a third begun */
    CHECK(f.pool.n_free == 3);
    append(&a, rows, 3);
    CHECK(f.pool.n_free == 3);
    CHECK(holds(&a, rows, 24));
    CHECK(holds(&b, others, 41));
    nlp_kv_cut(&b, 0);
    CHECK(f.pool.n_free == 5);
    nlp_kv_fork(&a, &b); /* of nothing */
    CHECK(f.pool.n_free == 7 && a.n == 0);
    free(rows), free(others);
    nlp_arena_deinit(&f.arena);
}

static void test_states_are_forked(void) {
    static const nlp_kv_shape shape = {LAYERS, 0, 0, 8, false};
    fixture f;
    open_pool(&f, &shape, 1);
    nlp_kv_cache a = open_cache(&f, 4), b = open_cache(&f, 4);
    CHECK(a.states[15] == 0);
    a.states[15] = 3, a.n = 2;
    nlp_kv_fork(&b, &a);
    a.states[15] = 4;
    CHECK(b.states[15] == 3 && b.n == 2);
    nlp_kv_cut(&b, 0);
    CHECK(b.states[15] == 0 && a.states[15] == 4);
    nlp_arena_deinit(&f.arena);
}

/* ---- Attention ---- */

typedef struct problem {
    nlp_attention a;
    float *q, *rows, *table, *slopes; /* rows [n_keys][2 * width], rounded as the cache rounds */
    nlp_kv_shape shape;
} problem;

static problem make_problem(const nlp_attention *a, bool half) {
    nlp_random r = {a->n_keys * 100 + a->head_dim};
    size_t width = a->n_kv_heads * a->head_dim;
    problem p = {.a = *a, .shape = {LAYERS, a->n_kv_heads, a->head_dim, 0, half}};
    p.q = random_floats(&r, a->n_queries * a->n_heads * a->head_dim, 2);
    p.rows = random_floats(&r, a->n_keys * 2 * width, 2);
    uint16_t *spare = malloc(2 * width * a->n_keys * sizeof *spare);
    if (half) nlp_kv_round(nlp_kernels_at(0), p.rows, 2 * width * a->n_keys, spare);
    free(spare);
    p.a.position = a->n_keys - a->n_queries;
    p.a.q_stride = p.a.out_stride = a->n_heads * a->head_dim;
    p.a.kv_stride = 2 * width;
    p.table = random_floats(&r, a->n_heads * (2 * a->bias.reach + 1), 1);
    if (a->bias.reach) p.a.bias.relative = p.table;
    return p;
}

static void compare(const problem *p, const nlp_kernels *k, const nlp_kv_cache *cache) {
    size_t n = p->a.n_queries * p->a.q_stride, width = p->a.n_kv_heads * p->a.head_dim;
    float *plain = malloc(n * sizeof *plain), *cached = malloc(n * sizeof *cached);
    float *scratch = aligned_alloc(64, (nlp_attention_scratch(&p->a) * 4 + 63) / 64 * 64);
    nlp_poll poll;
    nlp_poll_init(&poll, NULL, 1 << 20);
    CHECK(nlp_attend(k, &p->a, p->q, p->rows, p->rows + width, plain, scratch, &poll, NULL) ==
          NLP_OK);
    CHECK(nlp_attend_cached(k, &p->a, cache, 1, p->q, cached, scratch, &poll, NULL) == NLP_OK);
    if (memcmp(plain, cached, n * sizeof *plain))
        nlp_test_fail(__FILE__, __LINE__, "%s, %zu keys of %zu: other bits", k->name, p->a.n_keys,
                      p->a.head_dim);
    free(plain), free(cached), free(scratch);
}

static void check_attention(const nlp_attention *a, bool half) {
    problem p = make_problem(a, half);
    fixture f;
    const nlp_kernels *k;
    open_pool(&f, &p.shape, nlp_kv_blocks(a->n_keys));
    nlp_kv_cache cache = open_cache(&f, a->n_keys);
    append(&cache, p.rows, a->n_keys);
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) compare(&p, k, &cache);
    free(p.q), free(p.rows), free(p.table);
    nlp_arena_deinit(&f.arena);
}

static void test_attention_has_the_bits_of_plain_rows(void) {
    static const size_t keys[] = {3, 15, 16, 17, 33, 64, 100, 257};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (int half = 0; half < 2; half++) {
            nlp_attention a = {.n_heads = 9,
                               .n_kv_heads = 3,
                               .head_dim = 64,
                               .n_queries = 3,
                               .n_keys = keys[i],
                               .before = NLP_ALL_KEYS,
                               .scale = 0.125f};
            check_attention(&a, half);
            a.n_heads = 7, a.n_kv_heads = 1,
            a.head_dim = 20; /* 4 + 3 heads, half a block of lanes */
            check_attention(&a, half);
            a.before = 4, a.cap = 3; /* a window, and scores that are held */
            check_attention(&a, half);
            a.n_heads = a.n_kv_heads = 2, a.head_dim = 8, a.bias.reach = 12;
            check_attention(&a, half);
        }
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"positions_come_back", test_positions_come_back},
        {"forks_share_and_write_apart", test_forks_share_and_write_apart},
        {"states_are_forked", test_states_are_forked},
        {"attention_has_the_bits_of_plain_rows", test_attention_has_the_bits_of_plain_rows}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
