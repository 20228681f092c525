/* golden_gguf: blocks of every quantised type that nlp reads, bit for bit as ggml decodes them; the other
 * types are refused by the name of the tensor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf.h"
#include "safetensors.h"
#include "test.h"

static nlp_mem mem;

static void path_of(char path[512], const char *file) {
    snprintf(path, 512, "%s/gguf/blocks/%s", nlp_test_data(), file);
}

/* The floats of a tensor; free them. NULL where it can't be read. */
static float *floats_of(const nlp_source *source, const char *name, size_t *n, nlp_error *err) {
    const nlp_source_tensor *t = nlp_source_find(source, name);
    float *out = t ? malloc((size_t)t->n_elements * sizeof *out) : NULL;
    *n = t ? (size_t)t->n_elements : 0;
    if (out && nlp_source_read(source, t, out, NULL, err) == NLP_OK) return out;
    free(out);
    return NULL;
}

static bool is_unread(const char *type) {
    static const char *const unread[] = {"IQ1_S", "IQ2_S",   "IQ2_XS", "IQ2_XXS",
                                         "IQ3_S", "IQ3_XXS", "TQ1_0",  "TQ2_0"};
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++)
        if (!strcmp(unread[i], type)) return true;
    return false;
}

static void check_tensor(const nlp_source *blocks, const nlp_source *expected, const char *name) {
    nlp_error err = {0};
    size_t n, n_expected;
    char in_gguf[64];
    snprintf(in_gguf, sizeof in_gguf, "t.%s.weight", name);
    float *got = floats_of(blocks, in_gguf, &n, &err),
          *want = floats_of(expected, name, &n_expected, NULL);
    bool good = is_unread(name)
                    ? !got && strstr(err.message, name) != NULL
                    : got && want && n == n_expected && !memcmp(got, want, n * sizeof *got);
    if (!good) nlp_test_fail(__FILE__, __LINE__, "%s: %zu numbers, %s", name, n, err.message);
    free(got);
    free(want);
}

static void test_blocks(void) {
    char path[512];
    nlp_gguf gguf;
    nlp_source blocks, expected;
    nlp_error err;
    nlp_source_init(&blocks, &mem);
    nlp_source_init(&expected, &mem);
    path_of(path, "blocks.gguf");
    CHECK_STATUS(nlp_gguf_open(&gguf, &blocks, path, &err), NLP_OK, &err);
    path_of(path, "blocks.safetensors");
    CHECK_STATUS(nlp_safetensors_add(&expected, path, &err), NLP_OK, &err);
    CHECK(expected.n_tensors == 23);
    for (size_t i = 0; i < expected.n_tensors; i++)
        check_tensor(&blocks, &expected, expected.tensors[i].name);
    nlp_gguf_close(&gguf);
    nlp_source_close(&blocks);
    nlp_source_close(&expected);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {{"blocks", test_blocks}};
    nlp_mem_init(&mem, NULL, NULL, 0);
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
