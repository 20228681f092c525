/* golden_tokenizers: ids and offsets of the reference's tokenizers, from vocab.txt files. The
 * committed part always, the whole sets where they are at hand. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/utf8.h"
#include "hf_tokenizer.h"
#include "test.h"
#include "text/tokenizer.h"

static nlp_mem mem;

static uint8_t *read_file(const char *path, size_t *n) {
    uint8_t *bytes = malloc(4 << 20);
    FILE *file = fopen(path, "rb");
    *n = file ? fread(bytes, 1, 4 << 20, file) : 0;
    if (file) fclose(file);
    if (!*n) nlp_test_fail(__FILE__, __LINE__, "%s can't be read", path);
    return bytes;
}

static nlp_tokenizer *open_vocab(const char *path, bool lower, nlp_buf *blob) {
    size_t n;
    nlp_error err;
    nlp_tokenizer *tokenizer = NULL;
    uint8_t *vocab = read_file(path, &n);
    nlp_vocab_txt_options options = {
        .lower_case = lower, .strip_accents = -1, .chinese_characters = true};
    nlp_buf_init(blob, &mem);
    CHECK_STATUS(nlp_vocab_txt_compile(vocab, n, &options, blob, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_tokenizer_open(blob->bytes, blob->n_bytes, &mem, &tokenizer, &err), NLP_OK,
                 &err);
    free(vocab);
    return tokenizer;
}

static bool same(const nlp_encoding *e, const char *text, const json_t *row) {
    const json_t *ids = json_object_get(row, "ids"), *offsets = json_object_get(row, "offsets");
    if (json_array_size(ids) != e->n) return false;
    for (size_t i = 0; i < e->n; i++) {
        const json_t *pair = json_array_get(offsets, i);
        if (json_integer_value(json_array_get(ids, i)) != e->ids[i]) return false;
        size_t start = nlp_utf8_length(text, e->start[i]), end = nlp_utf8_length(text, e->end[i]);
        if (json_integer_value(json_array_get(pair, 0)) != (json_int_t)start ||
            json_integer_value(json_array_get(pair, 1)) != (json_int_t)end)
            return false;
    }
    return true;
}

static void check_set(const char *vocab, const char *rows_path, bool lower) {
    nlp_buf blob;
    nlp_tokenizer *tokenizer = open_vocab(vocab, lower, &blob);
    gzFile rows = gzopen(rows_path, "rb"); /* reads plain files too */
    char *line = malloc(1 << 20);
    size_t n = 0, n_wrong = 0;
    while (tokenizer && rows && gzgets(rows, line, 1 << 20)) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);
        const json_t *member = json_object_get(row, "text");
        nlp_text text = {json_string_value(member), json_string_length(member)};
        nlp_arena arena;
        nlp_encoding e;
        nlp_arena_init(&arena, &mem);
        bool good =
            text.bytes &&
            nlp_tokenizer_encode(tokenizer, &text, NULL, NULL, &arena, NULL, &e, NULL) == NLP_OK &&
            same(&e, text.bytes, row);
        n++, n_wrong += !good;
        nlp_arena_deinit(&arena);
        json_decref(row);
    }
    if (!n || n_wrong)
        nlp_test_fail(__FILE__, __LINE__, "%s: %zu of %zu texts differ", rows_path, n_wrong, n);
    if (rows) gzclose(rows);
    free(line);
    nlp_tokenizer_close(tokenizer);
    nlp_buf_deinit(&blob);
}

static void check_committed(const char *name, bool lower) {
    char vocab[512], rows[512];
    snprintf(vocab, sizeof vocab, "%s/golden/%s.vocab.txt", nlp_test_data(), name);
    snprintf(rows, sizeof rows, "%s/golden/%s.jsonl", nlp_test_data(), name);
    check_set(vocab, rows, lower);
}

static void test_uncased(void) {
    check_committed("bert-base-uncased", true);
}
static void test_cased(void) {
    check_committed("bert-base-cased", false);
}
static void test_chinese(void) {
    check_committed("bert-base-chinese", true);
}

static void test_whole_sets(void) {
    static const struct {
        const char *name;
        bool lower;
    } sets[] = {{"bert-base-uncased", true},
                {"bert-base-cased", false},
                {"bert-base-chinese", true},
                {"bert-base-multilingual-cased", false}};
    for (size_t i = 0; nlp_test_shared() && i < 4; i++) {
        char vocab[512], rows[512];
        snprintf(vocab, sizeof vocab, "%s/data/tokenizers/bert/%s.vocab.txt", nlp_test_shared(),
                 sets[i].name);
        snprintf(rows, sizeof rows, "%s/fixtures/golden/tokenizers/%s.jsonl.gz", nlp_test_shared(),
                 sets[i].name);
        check_set(vocab, rows, sets[i].lower);
    }
}

static void test_tokenizer_json(void) {
    static const char *const names[] = {"all-MiniLM-L6-v2", "bge-small-en-v1.5"};
    for (size_t i = 0; nlp_test_shared() && i < 2; i++) {
        char path[512], rows_path[512];
        size_t n;
        nlp_buf blob;
        nlp_error err;
        snprintf(path, sizeof path, "%s/data/tokenizers/bert/%s/tokenizer.json", nlp_test_shared(),
                 names[i]);
        snprintf(rows_path, sizeof rows_path, "%s/fixtures/golden/tokenizers/%s.jsonl.gz",
                 nlp_test_shared(), names[i]);
        uint8_t *json = read_file(path, &n);
        nlp_buf_init(&blob, &mem);
        CHECK_STATUS(nlp_hf_tokenizer_compile(json, n, &blob, &err), NLP_OK, &err);
        nlp_buf_deinit(&blob);
        free(json);
    }
}

/* Time is not measured here; what is quadratic would not end. */
static void test_hostile_texts_end(void) {
    static const char *const units[] = {"a", "\xCC\x81",        "\xEF\xBC\xA1\xCC\x81",
                                        " ", "\xE4\xBD\xA0",    "[CLS]",
                                        "'", "\xF0\x9F\x91\x8D"};
    char vocab[512];
    nlp_buf blob;
    snprintf(vocab, sizeof vocab, "%s/golden/bert-base-uncased.vocab.txt", nlp_test_data());
    nlp_tokenizer *tokenizer = open_vocab(vocab, true, &blob);
    char *text = malloc(1 << 20);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t n = 0, length = strlen(units[u]);
        for (; n + length <= 1 << 20; n += length) memcpy(text + n, units[u], length);
        nlp_arena arena;
        nlp_encoding e;
        nlp_text input = {text, n};
        nlp_arena_init(&arena, &mem);
        CHECK_STATUS(nlp_tokenizer_encode(tokenizer, &input, NULL, NULL, &arena, NULL, &e, NULL),
                     NLP_OK, NULL);
        nlp_arena_deinit(&arena);
    }
    free(text);
    nlp_tokenizer_close(tokenizer);
    nlp_buf_deinit(&blob);
    CHECK(mem.used_bytes == 0);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"uncased", test_uncased},
        {"cased", test_cased},
        {"chinese", test_chinese},
        {"whole_sets", test_whole_sets},
        {"tokenizer_json", test_tokenizer_json},
        {"hostile_texts_end", test_hostile_texts_end},
    };
    nlp_mem_init(&mem, NULL, NULL, 0);
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
