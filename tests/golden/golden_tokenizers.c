/* golden_tokenizers: ids and offsets of the reference's tokenizers, from every kind of file. The committed
 * part always, the whole sets where they are at hand. */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/utf8.h"
#include "gguf_tokenizer.h"
#include "hf_tokenizer.h"
#include "sentencepiece.h"
#include "test.h"
#include "text/tokenizer.h"
#include "text/tokenizer_format.h"
#include "tiktoken.h"

static nlp_mem mem;

enum { MOST_BYTES = 8 << 20 };

/* Plain or gzip. Ends the test's set where it is not there. */
static uint8_t *read_file(const char *path, size_t *n) {
    uint8_t *bytes = malloc(MOST_BYTES);
    gzFile file = gzopen(path, "rb");
    int n_read = file ? gzread(file, bytes, MOST_BYTES) : 0;
    *n = n_read > 0 ? (size_t)n_read : 0;
    if (file) gzclose(file);
    if (!*n) nlp_test_fail(__FILE__, __LINE__, "%s can't be read", path);
    return bytes;
}

typedef enum source_kind { UNCASED, CASED, JSON, GPT2, ROBERTA, SPM, MARIAN } source_kind;

static nlp_status compile(source_kind kind, const uint8_t *a, size_t n_a, const uint8_t *b,
                          size_t n_b, nlp_buf *blob, nlp_error *err) {
    const nlp_vocab_txt_options options = {
        .lower_case = kind == UNCASED, .strip_accents = -1, .chinese_characters = true};
    const nlp_gpt2_files merges = {
        (const char *)a, (const char *)b, n_a, n_b, kind == ROBERTA, true};
    const nlp_spm_files spm = {
        .model = a, .model_bytes = n_a, .vocabulary = (const char *)b, .vocabulary_bytes = n_b};
    if (kind == UNCASED || kind == CASED) return nlp_vocab_txt_compile(a, n_a, &options, blob, err);
    if (kind == JSON) return nlp_hf_tokenizer_compile(a, n_a, NULL, blob, err);
    if (kind == SPM || kind == MARIAN)
        return nlp_sentencepiece_compile(&spm, kind == SPM ? NLP_SPM_PLAIN : NLP_SPM_MARIAN, blob,
                                         err);
    return nlp_gpt2_files_compile(&merges, blob, err);
}

static nlp_tokenizer *open_tokenizer(source_kind kind, const char *path, const char *second,
                                     nlp_buf *blob) {
    size_t n, n_second = 0;
    nlp_error err;
    nlp_tokenizer *tokenizer = NULL;
    uint8_t *bytes = read_file(path, &n), *more = second ? read_file(second, &n_second) : NULL;
    nlp_buf_init(blob, &mem);
    CHECK_STATUS(compile(kind, bytes, n, more, n_second, blob, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_tokenizer_open(blob->bytes, blob->n_bytes, &mem, &tokenizer, &err), NLP_OK,
                 &err);
    free(bytes);
    free(more);
    return tokenizer;
}

static bool same_ids(const nlp_encoding *e, const json_t *ids) {
    if (json_array_size(ids) != e->n) return false;
    for (size_t i = 0; i < e->n; i++)
        if (json_integer_value(json_array_get(ids, i)) != e->ids[i]) return false;
    return true;
}

/* In characters. Sets of SentencePiece have none. */
static bool same_offsets(const nlp_encoding *e, const char *text, const json_t *offsets) {
    for (size_t i = 0; offsets && i < e->n; i++) {
        const json_t *pair = json_array_get(offsets, i);
        size_t start = nlp_utf8_length(text, e->start[i]), end = nlp_utf8_length(text, e->end[i]);
        if (json_integer_value(json_array_get(pair, 0)) != (json_int_t)start ||
            json_integer_value(json_array_get(pair, 1)) != (json_int_t)end)
            return false;
    }
    return true;
}

/* What the ids decode to, where the set says it. */
static bool same_decoded(const nlp_tokenizer *tokenizer, const nlp_encoding *e,
                         const json_t *decoded, nlp_arena *arena) {
    nlp_text text;
    if (!decoded) return true;
    return nlp_tokenizer_decode(tokenizer, e->ids, e->n, true, arena, &text, NULL) == NLP_OK &&
           text.n_bytes == json_string_length(decoded) &&
           !memcmp(text.bytes, json_string_value(decoded), text.n_bytes);
}

static bool row_is_right(const nlp_tokenizer *tokenizer, const json_t *row, const char *key,
                         bool with_offsets) {
    const json_t *member = json_object_get(row, "text");
    nlp_text text = {json_string_value(member), json_string_length(member)};
    nlp_arena arena;
    nlp_encoding e;
    nlp_arena_init(&arena, &mem);
    bool good =
        text.bytes &&
        nlp_tokenizer_encode(tokenizer, &text, NULL, NULL, &arena, NULL, &e, NULL) == NLP_OK &&
        same_ids(&e, json_object_get(row, key)) &&
        same_offsets(&e, text.bytes, with_offsets ? json_object_get(row, "offsets") : NULL) &&
        same_decoded(tokenizer, &e, json_object_get(row, "decoded"), &arena);
    nlp_arena_deinit(&arena);
    return good;
}

static void check_rows(const nlp_tokenizer *tokenizer, const char *rows_path, const char *key,
                       bool with_offsets) {
    gzFile rows = gzopen(rows_path, "rb"); /* reads plain files too */
    char *line = malloc(1 << 20);
    size_t n = 0, n_wrong = 0;
    while (tokenizer && rows && gzgets(rows, line, 1 << 20)) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);
        n++, n_wrong += !row_is_right(tokenizer, row, key, with_offsets);
        json_decref(row);
    }
    if (!n || n_wrong)
        nlp_test_fail(__FILE__, __LINE__, "%s: %zu of %zu texts differ", rows_path, n_wrong, n);
    if (rows) gzclose(rows);
    free(line);
}

static void check_set(source_kind kind, const char *path, const char *second, const char *rows,
                      const char *key) {
    nlp_buf blob;
    nlp_tokenizer *tokenizer = open_tokenizer(kind, path, second, &blob);
    check_rows(tokenizer, rows, key, true);
    nlp_tokenizer_close(tokenizer);
    nlp_buf_deinit(&blob);
}

static void check_committed(const char *name, source_kind kind) {
    char vocab[512], rows[512];
    snprintf(vocab, sizeof vocab, "%s/golden/%s.vocab.txt", nlp_test_data(), name);
    snprintf(rows, sizeof rows, "%s/golden/%s.jsonl", nlp_test_data(), name);
    check_set(kind, vocab, NULL, rows, "ids");
}

static void test_uncased(void) {
    check_committed("bert-base-uncased", UNCASED);
}
static void test_cased(void) {
    check_committed("bert-base-cased", CASED);
}
static void test_chinese(void) {
    check_committed("bert-base-chinese", UNCASED);
}

typedef struct golden_set {
    const char *name; /* of the rows */
    source_kind kind;
    const char *path, *second; /* in data/tokenizers */
    const char *key;           /* of the ids; NULL: "ids" */
} golden_set;

static void check_sets(const golden_set *sets, size_t n) {
    for (size_t i = 0; nlp_test_shared() && i < n; i++) {
        char path[512], second[512], rows[512];
        const char *root = nlp_test_shared();
        const golden_set *s = &sets[i];
        snprintf(path, sizeof path, "%s/data/tokenizers/%s", root, s->path);
        snprintf(second, sizeof second, "%s/data/tokenizers/%s", root, s->second ? s->second : "");
        snprintf(rows, sizeof rows, "%s/fixtures/golden/tokenizers/%s.jsonl.gz", root, s->name);
        check_set(s->kind, path, s->second ? second : NULL, rows, s->key ? s->key : "ids");
    }
}

static void test_wordpiece_sets(void) {
    static const golden_set sets[] = {
        {"bert-base-uncased", UNCASED, "bert/bert-base-uncased.vocab.txt", NULL, NULL},
        {"bert-base-cased", CASED, "bert/bert-base-cased.vocab.txt", NULL, NULL},
        {"bert-base-chinese", UNCASED, "bert/bert-base-chinese.vocab.txt", NULL, NULL},
        {"bert-base-multilingual-cased", CASED, "bert/bert-base-multilingual-cased.vocab.txt", NULL,
         NULL},
        {"all-MiniLM-L6-v2", JSON, "bert/all-MiniLM-L6-v2/tokenizer.json", NULL, NULL},
        {"bge-small-en-v1.5", JSON, "bert/bge-small-en-v1.5/tokenizer.json", NULL, NULL},
        {"jina-reranker-v1-tiny-en", JSON, "bert/jina-reranker-v1-tiny-en/tokenizer.json", NULL,
         NULL}};
    check_sets(sets, sizeof sets / sizeof *sets);
}

/* GPT-2's vocabulary as a file of ranks: its ids are the ranks. */
static char *ranks_of(const char *vocabulary, size_t n_bytes, size_t *n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    json_t *json = json_loadb(vocabulary, n_bytes, 0, NULL), *id;
    const char *text, **by_id = calloc(1 << 16, sizeof *by_id);
    char *out = malloc(MOST_BYTES);
    size_t n_ids = json_object_size(json) - 1; /* the last is a special token */
    json_object_foreach(json, text, id) by_id[json_integer_value(id)] = text;
    *n = 0;
    for (size_t i = 0; i < n_ids; i++) {
        uint8_t bytes[512] = {0};
        size_t length = 0, at = 0, total = strlen(by_id[i]);
        while (at < total) {
            uint32_t letter, byte = 0;
            at += nlp_utf8_decode(by_id[i] + at, total - at, &letter);
            while (nlp_byte_letter((uint8_t)byte) != letter) byte++;
            bytes[length++] = (uint8_t)byte;
        }
        for (size_t k = 0; k < length; k += 3) {
            uint32_t three = (uint32_t)bytes[k] << 16 | (uint32_t)bytes[k + 1] << 8 | bytes[k + 2];
            for (size_t d = 0; d < 4; d++)
                out[(*n)++] =
                    k * 4 / 3 + d > length * 4 / 3 ? '=' : digits[three >> (18 - 6 * d) & 63];
        }
        *n += (size_t)sprintf(out + *n, " %zu\n", i);
    }
    free(by_id);
    json_decref(json);
    return out;
}

static void test_ranks(void) {
    char path[512];
    size_t n_vocabulary, n;
    nlp_buf blob;
    nlp_error err;
    nlp_tokenizer *tokenizer = NULL;
    if (!nlp_test_shared()) return;
    snprintf(path, sizeof path, "%s/data/tokenizers/gpt2-roberta/gpt2/vocab.json",
             nlp_test_shared());
    uint8_t *vocabulary = read_file(path, &n_vocabulary);
    char *text = ranks_of((const char *)vocabulary, n_vocabulary, &n);
    const nlp_tiktoken ranks = {.text = text, .n_bytes = n, .pattern = NLP_PATTERN_GPT2};
    nlp_buf_init(&blob, &mem);
    CHECK(nlp_tiktoken_is(text, n));
    CHECK_STATUS(nlp_tiktoken_compile(&ranks, &blob, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_tokenizer_open(blob.bytes, blob.n_bytes, &mem, &tokenizer, &err), NLP_OK,
                 &err);
    snprintf(path, sizeof path, "%s/fixtures/golden/tokenizers/gpt2.jsonl.gz", nlp_test_shared());
    check_rows(tokenizer, path, "ids", false);
    nlp_tokenizer_close(tokenizer);
    nlp_buf_deinit(&blob);
    free(vocabulary);
    free(text);
}

static void test_byte_level_sets(void) {
    static const golden_set sets[] = {
        {"gpt2", GPT2, "gpt2-roberta/gpt2/vocab.json", "gpt2-roberta/gpt2/merges.txt", NULL},
        {"roberta", ROBERTA, "gpt2-roberta/roberta/vocab.json", "gpt2-roberta/roberta/merges.txt",
         NULL}};
    check_sets(sets, sizeof sets / sizeof *sets);
}

#define SPM_DATA "sentencepiece/"
static void test_sentencepiece_sets(void) {
    static const golden_set sets[] = {
        {"xlnet", SPM, SPM_DATA "xlnet/spiece.model", NULL, NULL},
        {"laser", SPM, SPM_DATA "laser50k/laser_50k.model", NULL, NULL},
        {"opennmt", SPM, SPM_DATA "opennmt/sample.sp.model", NULL, NULL},
        {"llama2", SPM, SPM_DATA "llama2/tokenizer.model", NULL, NULL},
        {"bergamot-deen", SPM, SPM_DATA "bergamot/vocab.deen.spm.gz", NULL, NULL},
        {"bergamot-esen", SPM, SPM_DATA "bergamot/vocab.esen.spm.gz", NULL, NULL},
        {"bergamot-csen", SPM, SPM_DATA "bergamot/vocab.csen.spm.gz", NULL, NULL},
        {"bergamot-eten", SPM, SPM_DATA "bergamot/vocab.eten.spm.gz", NULL, NULL},
        {"opus-mt-fr-en.source", SPM, SPM_DATA "opus-mt-fr-en/source.spm", NULL, NULL},
        {"opus-mt-fr-en.target", SPM, SPM_DATA "opus-mt-fr-en/target.spm", NULL, NULL},
        {"opus-mt-en-mg.source", SPM, SPM_DATA "opus-mt-en-mg/source.spm", NULL, NULL},
        {"opus-mt-en-mg.target", SPM, SPM_DATA "opus-mt-en-mg/target.spm", NULL, NULL}};
    check_sets(sets, sizeof sets / sizeof *sets);
}

static void test_marian_sets(void) {
    static const golden_set sets[] = {
        {"opus-mt-fr-en.marian", MARIAN, SPM_DATA "opus-mt-fr-en/source.spm",
         SPM_DATA "opus-mt-fr-en/vocab.json", NULL},
        {"opus-mt-fr-en.marian", MARIAN, SPM_DATA "opus-mt-fr-en/target.spm",
         SPM_DATA "opus-mt-fr-en/vocab.json", "target_ids"},
        {"opus-mt-en-mg.marian", MARIAN, SPM_DATA "opus-mt-en-mg/source.spm",
         SPM_DATA "opus-mt-en-mg/vocab.json", NULL},
        {"opus-mt-en-mg.marian", MARIAN, SPM_DATA "opus-mt-en-mg/target.spm",
         SPM_DATA "opus-mt-en-mg/vocab.json", "target_ids"}};
    check_sets(sets, sizeof sets / sizeof *sets);
}

/* ---- GGUF: texts and ids of llama.cpp's own tests ---- */

static nlp_tokenizer *open_gguf(const char *path, nlp_buf *blob) {
    nlp_gguf gguf;
    nlp_source source;
    nlp_error err;
    nlp_tokenizer *tokenizer = NULL;
    nlp_source_init(&source, &mem);
    nlp_buf_init(blob, &mem);
    CHECK_STATUS(nlp_gguf_open(&gguf, &source, path, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_gguf_tokenizer_compile(&gguf, blob, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_tokenizer_open(blob->bytes, blob->n_bytes, &mem, &tokenizer, &err), NLP_OK,
                 &err);
    nlp_gguf_close(&gguf);
    nlp_source_close(&source);
    return tokenizer;
}

/* One line of ids, without the special tokens that stand around a text. */
static bool line_is_right(const nlp_tokenizer *tokenizer, nlp_text text, const char *line) {
    nlp_arena arena;
    nlp_encoding e, empty;
    nlp_arena_init(&arena, &mem);
    bool good =
        nlp_tokenizer_encode(tokenizer, &(nlp_text){"", 0}, NULL, NULL, &arena, NULL, &empty,
                             NULL) == NLP_OK &&
        nlp_tokenizer_encode(tokenizer, &text, NULL, NULL, &arena, NULL, &e, NULL) == NLP_OK;
    size_t start = good && empty.n ? 1 : 0, end = good ? empty.n - start : 0;
    for (size_t i = start; good && i + end < e.n; i++) {
        char *rest;
        good = strtol(line, &rest, 10) == e.ids[i] && rest != line;
        line = rest;
    }
    good = good && !line[strspn(line, " \n")];
    nlp_arena_deinit(&arena);
    return good;
}

static void check_gguf(const char *name) {
    static const char border[] = "\n__ggml_vocab_test__\n";
    char path[512], line[4096];
    nlp_buf blob;
    size_t n_bytes, n = 0, n_wrong = 0;
    snprintf(path, sizeof path, "%s/data/tokenizers/llama-cpp-vocabs/ggml-vocab-%s.gguf",
             nlp_test_shared(), name);
    nlp_tokenizer *tokenizer = open_gguf(path, &blob);
    strcat(path, ".inp");
    char *texts = (char *)read_file(path, &n_bytes), *at = texts;
    texts[n_bytes] = 0;
    strcpy(path + strlen(path) - 4, ".out");
    FILE *lines = fopen(path, "r");
    while (at && tokenizer && lines && fgets(line, sizeof line, lines)) {
        char *end = strstr(at, border);
        nlp_text text = {at, end ? (size_t)(end - at) : strlen(at)};
        n++, n_wrong += !line_is_right(tokenizer, text, line);
        at = end ? end + strlen(border) : NULL;
    }
    if (!n || n_wrong)
        nlp_test_fail(__FILE__, __LINE__, "%s: %zu of %zu texts differ", path, n_wrong, n);
    if (lines) fclose(lines);
    free(texts);
    nlp_tokenizer_close(tokenizer);
    nlp_buf_deinit(&blob);
}

static void test_gguf_vocabularies(void) {
    static const char *const names[] = {"bert-bge", "deepseek-coder", "deepseek-llm",
                                        "gpt-2",    "llama-spm",      "phi-3"};
    for (size_t i = 0; nlp_test_shared() && i < sizeof names / sizeof *names; i++)
        check_gguf(names[i]);
}

/* A mebibyte of one unit, again and again. */
static void encode_hostile(const nlp_tokenizer *tokenizer, const char *unit, char *text) {
    size_t n = 0, length = strlen(unit);
    for (; n + length <= 1 << 20; n += length) memcpy(text + n, unit, length);
    nlp_arena arena;
    nlp_encoding e;
    nlp_text input = {text, n};
    nlp_arena_init(&arena, &mem);
    CHECK_STATUS(nlp_tokenizer_encode(tokenizer, &input, NULL, NULL, &arena, NULL, &e, NULL),
                 NLP_OK, NULL);
    for (size_t i = 0; i < e.n; i++)
        if (e.end[i] > n || e.start[i] > e.end[i]) {
            nlp_test_fail(__FILE__, __LINE__, "\"%s\": token %zu ends at %u", unit, i, e.end[i]);
            break;
        }
    nlp_arena_deinit(&arena);
}

enum { STACK_BYTES = 1 << 20, MOST_STACK = 64 << 10, PAINT = 0xA5 };

typedef struct hostile {
    const nlp_tokenizer *tokenizer;
    const char *unit;
    char *text; /* room for a mebibyte */
} hostile;

static void *encode_on_own_stack(void *context) {
    const hostile *h = context;
    encode_hostile(h->tokenizer, h->unit, h->text);
    return NULL;
}

/* On a painted stack: what a text makes of recursion would have been painted over. */
static void encode_within_stack(hostile h, uint8_t *stack) {
    pthread_attr_t attributes;
    pthread_t thread;
    size_t untouched = 0;
    memset(stack, PAINT, STACK_BYTES);
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstack(&attributes, stack, STACK_BYTES) == 0);
    CHECK(pthread_create(&thread, &attributes, encode_on_own_stack, &h) == 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    while (untouched < STACK_BYTES && stack[untouched] == PAINT) untouched++;
    if (STACK_BYTES - untouched > MOST_STACK)
        nlp_test_fail(__FILE__, __LINE__, "\"%s\" takes %zu bytes of stack", h.unit,
                      STACK_BYTES - untouched);
}

/* Time is not measured here; what is quadratic would not end. */
static void test_hostile_texts_end(void) {
    static const char *const units[] = {"a",
                                        "\xCC\x81",
                                        "\xEF\xBC\xA1\xCC\x81",
                                        " ",
                                        "\xE4\xBD\xA0",
                                        "[CLS]",
                                        "'",
                                        "\xF0\x9F\x91\x8D",
                                        "a ",
                                        "\n",
                                        "1",
                                        "\xE2\x96\x81",
                                        "<0x0A>",
                                        "ab"};
    static const struct {
        source_kind kind;
        const char *path; /* in the committed data */
    } tokenizers[] = {{UNCASED, "golden/bert-base-uncased.vocab.txt"},
                      {JSON, "models/sharp-gpt2/tokenizer.json"},
                      {JSON, "models/sharp-llama/tokenizer.json"},
                      {JSON, "models/gemma2-caps/tokenizer.json"},
                      {JSON, "models/sharp-flan-t5/tokenizer.json"},
                      {JSON, "models/sharp-deberta-v3/tokenizer.json"},
                      {JSON, "models/sharp-albert/tokenizer.json"},
                      {SPM, "models/m2m100-slow/sentencepiece.bpe.model"}};
    char *text = malloc(1 << 20);
    uint8_t *stack = aligned_alloc(4096, STACK_BYTES);
    for (size_t t = 0; t < sizeof tokenizers / sizeof *tokenizers; t++) {
        char path[512];
        nlp_buf blob;
        snprintf(path, sizeof path, "%s/%s", nlp_test_data(), tokenizers[t].path);
        nlp_tokenizer *tokenizer = open_tokenizer(tokenizers[t].kind, path, NULL, &blob);
        for (size_t u = 0; tokenizer && u < sizeof units / sizeof *units; u++)
            encode_within_stack((hostile){tokenizer, units[u], text}, stack);
        nlp_tokenizer_close(tokenizer);
        nlp_buf_deinit(&blob);
    }
    free(stack);
    free(text);
    CHECK(mem.used_bytes == 0);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"uncased", test_uncased},
        {"cased", test_cased},
        {"chinese", test_chinese},
        {"wordpiece_sets", test_wordpiece_sets},
        {"byte_level_sets", test_byte_level_sets},
        {"ranks", test_ranks},
        {"sentencepiece_sets", test_sentencepiece_sets},
        {"marian_sets", test_marian_sets},
        {"gguf_vocabularies", test_gguf_vocabularies},
        {"hostile_texts_end", test_hostile_texts_end},
    };
    nlp_mem_init(&mem, NULL, NULL, 0);
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
