/* fuzz.c: files and failing, for the fuzz targets. */
#include "../fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models.h"

const char *fuzz_file(const char *name, const uint8_t *bytes, size_t n) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", nlp_test_folder(), name);
    FILE *file = fopen(path, "wb");
    fuzz_require(file && fwrite(bytes, 1, n, file) == n, "a file can be written");
    fclose(file);
    return path;
}

void fuzz_require(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

void fuzz_require_budget(const nlp_mem *mem, size_t n, size_t factor) {
    size_t most = factor * n + ((size_t)1 << 20);
    if (mem->peak_bytes > most)
        fprintf(stderr, "%zu bytes of heap for %zu of input\n", mem->peak_bytes, n);
    fuzz_require(mem->peak_bytes <= most, "a parser keeps to its budget");
}

static void encode(const nlp_tokenizer *tokenizer, nlp_text text, const nlp_text *pair,
                   nlp_arena *arena) {
    nlp_encoding e;
    nlp_tokenizer_info info;
    nlp_text back;
    nlp_error err;
    nlp_tokenizer_get_info(tokenizer, &info);
    if (nlp_tokenizer_encode(tokenizer, &text, pair, NULL, arena, NULL, &e, &err) != NLP_OK) return;
    for (size_t i = 0; i < e.n; i++)
        fuzz_require((uint32_t)e.ids[i] < info.vocabulary && e.end[i] <= text.n_bytes,
                     "an id is in the vocabulary, an offset in the text");
    nlp_tokenizer_decode(tokenizer, e.ids, e.n, false, arena, &back, &err);
}

void fuzz_use_tokenizer(const void *blob, size_t n_bytes, nlp_mem *mem, const char *text) {
    nlp_text given = {text, strlen(text)};
    nlp_tokenizer *tokenizer;
    nlp_arena arena;
    nlp_error err;
    fuzz_require(nlp_tokenizer_open(blob, n_bytes, mem, &tokenizer, &err) == NLP_OK, err.message);
    nlp_arena_init(&arena, mem);
    encode(tokenizer, given, NULL, &arena);
    encode(tokenizer, given, &given, &arena);
    nlp_arena_deinit(&arena);
    nlp_tokenizer_close(tokenizer);
}
