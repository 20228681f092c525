/* test_adapters.c: task packs with low-rank adapters: what fits a base, and what does not. That the numbers
 * are right is shown beside merged models by tests/cli/adapters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "engine/engine.h"
#include "pack/pack.h"
#include "tensor/quant.h"
#include "test.h"

enum { HIDDEN = 32, UP = 64 }; /* of sharp-bert */

typedef struct part {
    const char *name; /* NULL: there is none */
    uint32_t n, k;
    float size; /* its numbers are -2 to 2 times that */
} part;

static void write_part(nlp_pack_writer *writer, const part *p) {
    float *w = calloc((size_t)p->n * p->k, sizeof *w), *bias = calloc(p->n, sizeof *bias);
    for (size_t i = 0; i < (size_t)p->n * p->k; i++) w[i] = p->size * ((float)(i * 7 % 5) - 2);
    void *panels = nlp_pack_writer_tensor(writer, p->name, NLP_F32, NLP_TENSOR_PANELS,
                                          NLP_GRID_SYMMETRIC, p->n, p->k);
    if (panels) nlp_pack_f32(w, bias, p->k, p->n, panels);
    free(w), free(bias);
}

/* Opens a pack of two parts over the base that b has; the caller closes the model. */
static nlp_status open_adapter(bench *b, const part parts[2], nlp_model **model) {
    nlp_mem mem;
    nlp_pack_writer *writer;
    const uint8_t *bytes;
    size_t n_bytes;
    nlp_mem_init(&mem, NULL, NULL, 0);
    CHECK_STATUS(nlp_pack_writer_open(&mem, NLP_PACK_TASK, NLP_F32, &writer, &b->err), NLP_OK,
                 &b->err);
    nlp_pack_writer_base(writer, b->model->pack.header->digest);
    nlp_pack_writer_pair(writer, "meta", "tasks", "embed");
    for (int i = 0; i < 2; i++)
        if (parts[i].name) write_part(writer, &parts[i]);
    CHECK_STATUS(nlp_pack_writer_finish(writer, &bytes, &n_bytes, &b->err), NLP_OK, &b->err);
    nlp_status status =
        nlp_model_open_bytes(b->engine, "adapted", bytes, n_bytes, NULL, model, &b->err);
    nlp_pack_writer_close(writer);
    return status;
}

/* The vector of a text by a model on the bench's session; the caller frees it. */
static float *vector_of(bench *b, nlp_model *model, uint32_t *n) {
    CHECK_STATUS(nlp_test_run(b->session, nlp_task_find(b->engine, "embed"), model,
                              "The cat sat on the mat.", NULL, NULL, &b->result, &b->err),
                 NLP_OK, &b->err);
    const nlp_value *vector = b->result->outputs->cells;
    float *copy = malloc(vector->n * sizeof *copy);
    memcpy(copy, vector->as.vector, vector->n * sizeof *copy);
    *n = vector->n;
    return copy;
}

static void check_change(const part parts[2], bool changes) {
    bench b = bench_open("sharp-bert");
    nlp_model *model;
    uint32_t n, n_base;
    CHECK_STATUS(open_adapter(&b, parts, &model), NLP_OK, &b.err);
    float *with = vector_of(&b, model, &n), *base = vector_of(&b, b.model, &n_base);
    CHECK(n == n_base && (memcmp(with, base, n * sizeof *base) != 0) == changes);
    free(with), free(base);
    nlp_model_close(model);
    bench_close(&b);
}

static void test_an_adapter_adds_to_its_base(void) {
    static const struct {
        const char *role;
        uint32_t n, k;
    } linears[] = {{"attention.qkv", 3 * HIDDEN, HIDDEN},
                   {"attention.out", HIDDEN, HIDDEN},
                   {"ffn.up", UP, HIDDEN},
                   {"ffn.down", HIDDEN, UP}};
    for (size_t i = 0; i < 4; i++)
        for (uint32_t rank = 1; rank <= 128; rank *= 2) {
            char down[64], up[64];
            snprintf(down, sizeof down, "layer.1.%s.down", linears[i].role);
            snprintf(up, sizeof up, "layer.1.%s.up", linears[i].role);
            const part parts[2] = {{down, rank, linears[i].k, 0.25f},
                                   {up, linears[i].n, rank, 0.25f}};
            const part zero[2] = {parts[0], {up, linears[i].n, rank, 0}};
            check_change(parts, true);
            check_change(zero, false);
        }
}

static void test_what_does_not_fit_is_refused(void) {
    static const part forged[][2] = {
        {{"layer.0.attention.qkv.down", 4, HIDDEN, 1}, {NULL, 0, 0, 0}},
        {{NULL, 0, 0, 0}, {"layer.0.attention.qkv.up", 3 * HIDDEN, 4, 1}},
        {{"layer.0.attention.qkv.down", 4, HIDDEN, 1},
         {"layer.0.attention.qkv.up", 3 * HIDDEN, 5, 1}},
        {{"layer.0.attention.qkv.down", 4, HIDDEN - 1, 1},
         {"layer.0.attention.qkv.up", 3 * HIDDEN, 4, 1}},
        {{"layer.0.attention.qkv.down", 4, HIDDEN, 1}, {"layer.0.attention.qkv.up", HIDDEN, 4, 1}},
        {{"layer.0.ffn.up.down", 129, HIDDEN, 1}, {"layer.0.ffn.up.up", UP, 129, 1}},
        {{"layer.2.ffn.up.down", 4, HIDDEN, 1},
         {"layer.2.ffn.up.up", UP, 4, 1}}, /* no such layer */
        {{NULL, 0, 0, 0}, {NULL, 0, 0, 0}}};
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        bench b = bench_open("sharp-bert");
        nlp_model *model = NULL;
        CHECK_STATUS(open_adapter(&b, forged[i], &model), NLP_ECORRUPT, &b.err);
        CHECK(!model && strstr(b.err.message, "adapter"));
        bench_close(&b);
    }
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"an_adapter_adds_to_its_base", test_an_adapter_adds_to_its_base},
        {"what_does_not_fit_is_refused", test_what_does_not_fit_is_refused}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
