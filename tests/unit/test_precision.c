/* test_precision: packs of every number format: what an import makes of a model, that it is near the
 * f32 pack, and that its bits depend on nothing but the text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"
#include "models.h"
#include "nlp_import.h"
#include "pack/pack.h"
#include "tensor/quant.h"
#include "test.h"

static const char *const precisions[] = {"i8", "i16", "q4", "q4m"};
enum { N_PRECISIONS = sizeof precisions / sizeof *precisions };

/* A pack PRECISION.nlp of a source below `folder`; its path is static. */
static const char *import_from(const char *folder, const char *source, const char *precision,
                               nlp_import_report *report) {
    static char path[256];
    char from[256];
    nlp_error err = {0};
    snprintf(from, sizeof from, "%s/%s", folder, source);
    snprintf(path, sizeof path, "%s/%s.nlp", nlp_test_folder(), precision ? precision : "best");
    nlp_import_options o = {.struct_size = sizeof o,
                            .source = from,
                            .out = path,
                            .precision = precision,
                            .replace = true};
    CHECK_STATUS(nlp_import(&o, report, &err), NLP_OK, &err);
    return path;
}

static const char *import_as(const char *source, const char *precision, nlp_import_report *report) {
    return import_from(nlp_test_data(), source, precision, report);
}

static void test_an_unknown_precision_is_refused_by_name(void) {
    nlp_import_report report;
    nlp_error err;
    nlp_import_options o = {.struct_size = sizeof o, .source = "x", .out = "y", .precision = "q5"};
    CHECK_STATUS(nlp_import(&o, &report, &err), NLP_EINVAL, &err);
    CHECK(strstr(err.message, "q4m") && strstr(err.message, "q5"));
}

static void test_an_import_says_how_near_it_is(void) {
    nlp_import_report report;
    for (size_t i = 0; i < N_PRECISIONS; i++) {
        import_as("models/bert-uncased", precisions[i], &report);
        CHECK(!strcmp(report.precision, precisions[i]) && report.n_accuracies == 1);
        const nlp_import_accuracy *a = &report.accuracy[0];
        double least = i == 0 ? 0.998 : i == 1 ? 0.9995 : 0.9;
        CHECK(!a->n_tokens && a->mean_cosine > least && a->mean_cosine < 1 && a->n_texts > 100);
    }
    import_as("models/bert-uncased", "f32", &report);
    CHECK(!report.n_accuracies);
    for (size_t i = 0; i < N_PRECISIONS; i++) {
        import_as("gguf/llama-spm/F32.gguf", precisions[i], &report);
        const nlp_import_accuracy *a = &report.accuracy[0];
        CHECK(a->n_tokens > 100 && a->perplexity > 1 && fabs(a->loss_growth) < 0.1);
        CHECK(a->divergence > 0 && a->divergence < (i == 1 ? 1e-3 : 0.1));
    }
}

static void test_without_a_wish_the_first_that_passes_is_taken(void) {
    nlp_import_report report;
    static const char *const sources[] = {"models/bert-uncased", "models/m2m100-slow",
                                          "gguf/llama-spm/F32.gguf"};
    for (size_t i = 0; i < 3; i++) {
        import_as(sources[i], NULL, &report);
        uint32_t n = report.n_accuracies;
        CHECK(n >= 1 && !strcmp(report.accuracy[0].precision, i ? "q4" : "i8"));
        for (uint32_t k = 0; k + 1 < n; k++) CHECK(!report.accuracy[k].passed);
        CHECK(!strcmp(report.precision,
                      report.accuracy[n - 1].passed ? report.accuracy[n - 1].precision : "f32"));
    }
}

/* ---- Tensors ---- */

typedef struct opened {
    nlp_map map;
    nlp_pack pack;
} opened;

static opened open_pack(const char *path) {
    opened o = {0};
    int fd;
    uint64_t n_bytes;
    CHECK_STATUS(nlp_file_open(path, &fd, &n_bytes, NULL), NLP_OK, NULL);
    CHECK_STATUS(nlp_map_file(fd, (size_t)n_bytes, &o.map, NULL), NLP_OK, NULL);
    nlp_file_close(fd);
    CHECK_STATUS(nlp_pack_open(o.map.bytes, o.map.n_bytes, &o.pack, NULL), NLP_OK, NULL);
    return o;
}

static uint32_t dtype_of(const opened *o, const char *name) {
    const nlp_pack_tensor *t = nlp_pack_tensor_find(&o->pack, name);
    CHECK(t != NULL);
    return t ? t->dtype : 99;
}

static void test_each_product_has_its_format(void) {
    nlp_import_report report;
    opened o = open_pack(import_as("gguf/llama-spm/F32.gguf", "q4", &report));
    CHECK(dtype_of(&o, "layer.0.attention.qkv") == NLP_Q4);
    CHECK(dtype_of(&o, "layer.1.ffn.down") == NLP_Q4 && dtype_of(&o, "output") == NLP_I16);
    nlp_map_close(&o.map);
    o = open_pack(import_as("gguf/llama-spm/F32.gguf", "i8", &report));
    CHECK(dtype_of(&o, "layer.0.ffn.up") == NLP_I8);
    CHECK(dtype_of(&o, "layer.0.ffn.down") == NLP_I16); /* of a gate's output */
    nlp_map_close(&o.map);
    /* only an encoder's products are calibrated */
    o = open_pack(import_as("models/m2m100-slow", "i8", &report));
    CHECK(dtype_of(&o, "layer.0.ffn.up") == NLP_I8);
    CHECK(dtype_of(&o, "decoder.layer.0.ffn.up") == NLP_I16);
    CHECK(dtype_of(&o, "decoder.layer.0.cross.kv") == NLP_I16);
    CHECK(dtype_of(&o, "embedding.word") == NLP_S8_ROWS);
    CHECK(!nlp_pack_tensor_find(&o.pack, "decoder.embedding.word")); /* the output's columns */
    nlp_map_close(&o.map);
}

/* Weights of a product in both packs, as the kernels read them. */
static void compare_weights(const opened *exact, const opened *rounded, const char *name,
                            nlp_dtype dtype) {
    const nlp_pack_tensor *a = nlp_pack_tensor_find(&exact->pack, name),
                          *b = nlp_pack_tensor_find(&rounded->pack, name);
    CHECK(a && b && b->dtype == dtype);
    if (!a || !b) return;
    size_t n = (size_t)a->rows, k = (size_t)a->columns;
    float *x = malloc(n * k * sizeof *x), *y = malloc(n * k * sizeof *y),
          *bias = malloc(n * sizeof *bias);
    nlp_unpack(NLP_F32, exact->pack.weights + a->offset, k, n, x, bias);
    nlp_unpack(dtype, rounded->pack.weights + b->offset, k, n, y, bias);
    for (size_t i = 0; i < n * k; i++)
        if (x[i] != y[i])
            nlp_test_fail(__FILE__, __LINE__, "%s: number %zu is %g, not %g", name, i, (double)y[i],
                          (double)x[i]);
    free(x), free(y), free(bias);
}

static void check_blocks(const char *folder, const char *source, const char *precision,
                         nlp_dtype dtype) {
    nlp_import_report report;
    opened exact = open_pack(import_from(folder, source, "f32", &report));
    opened rounded = open_pack(import_from(folder, source, NULL, &report));
    CHECK(!strcmp(report.precision, precision));
    compare_weights(&exact, &rounded, "layer.0.attention.qkv", dtype);
    compare_weights(&exact, &rounded, "layer.1.ffn.up", dtype);
    compare_weights(&exact, &rounded, "layer.0.ffn.down", dtype);
    nlp_map_close(&exact.map), nlp_map_close(&rounded.map);
}

/* Blocks of a GGUF file are the number format's own: no weight changes. */
static void test_blocks_of_four_bits_go_over_exactly(void) {
    check_blocks(nlp_test_data(), "gguf/qwen2/Q4_1.gguf", "q4m", NLP_Q4M);
    if (!nlp_test_shared()) return;
    check_blocks(nlp_test_shared(), "fixtures/gguf/llama3/Q4_1.gguf", "q4m", NLP_Q4M);
    check_blocks(nlp_test_shared(), "fixtures/gguf/llama3/Q4_0.gguf", "q4", NLP_Q4);
}

/* ---- Bits ---- */

/* Ids that a model writes behind a prompt, and how sure it was. */
typedef struct written {
    int32_t ids[24];
    float gaps[24];
    size_t n;
} written;

static written write_ids(const char *path, const int32_t *ids, size_t n_ids, size_t max_new) {
    written w = {0};
    nlp_engine *engine;
    nlp_session *session;
    nlp_model *model;
    nlp_error err = {0};
    nlp_test_engine(&engine, &session);
    CHECK_STATUS(nlp_model_open(engine, path, NULL, &model, &err), NLP_OK, &err);
    nlp_continuation c = {.ids = ids, .n_ids = n_ids, .max_new = max_new, .gaps = w.gaps};
    CHECK_STATUS(nlp_session_continue(session, model, &c, NULL, &err), NLP_OK, &err);
    w.n = c.n_made;
    CHECK(w.n <= sizeof w.ids / sizeof *w.ids);
    if (w.n) memcpy(w.ids, c.made, w.n * sizeof *w.ids);
    nlp_model_close(model);
    nlp_session_close(session);
    nlp_engine_close(engine);
    return w;
}

/* What was written is read again as a prompt: cached rows and new ones have the same bits. */
static void test_a_cache_gives_the_bits_of_a_fresh_run(void) {
    nlp_import_report report;
    for (size_t i = 0; i < N_PRECISIONS; i++) {
        import_as("gguf/llama-spm/F32.gguf", precisions[i], &report);
        int32_t ids[32] = {1, 40, 41, 42, 43, 60, 61};
        written all = write_ids(precisions[i], ids, 7, 16);
        CHECK(all.n > 8);
        for (size_t k = 1; k < all.n; k += 3) {
            memcpy(ids + 7, all.ids, k * sizeof *ids);
            written rest = write_ids(precisions[i], ids, 7 + k, all.n - k);
            CHECK(rest.n == all.n - k);
            CHECK(!memcmp(rest.ids, all.ids + k, rest.n * sizeof *rest.ids));
            CHECK(!memcmp(rest.gaps, all.gaps + k, rest.n * sizeof *rest.gaps));
        }
    }
}

static void embed_at(const char *level, const char *model, float *out, size_t n) {
    nlp_engine *engine;
    nlp_session *session;
    nlp_model *opened_model;
    nlp_error err = {0};
    const nlp_result *result = NULL;
    setenv("NLP_ISA", level, 1);
    nlp_test_engine(&engine, &session);
    CHECK_STATUS(nlp_model_open(engine, model, NULL, &opened_model, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_test_run(session, nlp_task_find(engine, "embed"), opened_model,
                              "Two men are playing guitar on a stage.", NULL, NULL, &result, &err),
                 NLP_OK, &err);
    if (result) {
        CHECK(result->outputs->cells->n == n);
        memcpy(out, result->outputs->cells->as.vector, n * sizeof *out);
    }
    nlp_model_close(opened_model);
    nlp_session_close(session);
    nlp_engine_close(engine);
    unsetenv("NLP_ISA");
}

static void test_every_instruction_set_gives_the_same_vector(void) {
    static const char *const levels[] = {"avx2", "avx512", "avx512vnni", "amx"};
    nlp_import_report report;
    for (size_t i = 0; i < N_PRECISIONS; i++) {
        float base[48] = {0}, other[48] = {1};
        import_as("models/bert-uncased", precisions[i], &report);
        embed_at("base", precisions[i], base, 48);
        for (size_t k = 0; k < 4; k++) {
            embed_at(levels[k], precisions[i], other, 48);
            CHECK(!memcmp(base, other, sizeof base));
        }
    }
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"an_unknown_precision_is_refused_by_name", test_an_unknown_precision_is_refused_by_name},
        {"an_import_says_how_near_it_is", test_an_import_says_how_near_it_is},
        {"without_a_wish_the_first_that_passes_is_taken",
         test_without_a_wish_the_first_that_passes_is_taken},
        {"each_product_has_its_format", test_each_product_has_its_format},
        {"blocks_of_four_bits_go_over_exactly", test_blocks_of_four_bits_go_over_exactly},
        {"a_cache_gives_the_bits_of_a_fresh_run", test_a_cache_gives_the_bits_of_a_fresh_run},
        {"every_instruction_set_gives_the_same_vector",
         test_every_instruction_set_gives_the_same_vector},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
