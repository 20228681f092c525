/* test_chunk: a text in pieces: what holds for every text (nothing lost, no piece too long, places that
 * cut the piece out of the text), and how sentences, paragraphs and overlaps are kept together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "bench.h"
#include "random.h"
#include "test.h"

enum { ORD, CHUNK, TOKENS, START, END, COLUMNS };

/* Chunks as texts with '|' between; the caller frees. */
static char *chunks_of(bench *b, const char *text, int64_t most, int64_t overlap, const char *by) {
    nlp_option options[] = {bench_whole("max_tokens", most), bench_whole("overlap", overlap),
                            bench_text("by", by)};
    char *out = malloc(4 * strlen(text) + 16);
    size_t n = 0;
    CHECK_STATUS(bench_run(b, "chunk", text, NULL, options, 3), NLP_OK, &b->err);
    for (uint32_t i = 0; b->result && i < b->result->outputs->n_rows; i++) {
        const nlp_value *chunk = bench_cell(b, i, COLUMNS, CHUNK);
        if (n) out[n++] = '|';
        memcpy(out + n, chunk->as.text, chunk->n);
        n += chunk->n;
    }
    out[n] = 0;
    return out;
}

static int64_t n_tokens(bench *b, const char *bytes, size_t n_bytes) {
    nlp_option plain = {"special_tokens", {.type = NLP_TYPE_BOOLEAN, .as.boolean = false}};
    nlp_text text = {bytes, n_bytes};
    CHECK_STATUS(bench_run_texts(b, "token_count", &text, 1, &plain, 1), NLP_OK, &b->err);
    return b->result->outputs->cells->as.integer;
}

static int64_t n_of(bench *b, const char *text) {
    return n_tokens(b, text, strlen(text));
}

#define CHECK_CHUNKS(b, text, most, overlap, by, expected)                                         \
    do {                                                                                           \
        char *got_ = chunks_of(b, text, most, overlap, by);                                        \
        CHECK_TEXT(got_, expected);                                                                \
        free(got_);                                                                                \
    } while (0)

/* ---- What stays whole ---- */

static const char three[] = "Paris is big. London is old!  Rome is far?";

static void test_sentences_are_packed(void) {
    bench b = bench_open("bert-tokcls");
    int64_t a = n_of(&b, "Paris is big."), c = n_of(&b, "London is old!"),
            d = n_of(&b, "Rome is far?");
    CHECK_CHUNKS(&b, three, a + c, 0, "sentence", "Paris is big. London is old!|Rome is far?");
    CHECK_CHUNKS(&b, three, a + c + d, 0, "sentence", three);
    CHECK_CHUNKS(
        &b, three, a + c + d - 1, c, "sentence",
        d + c <= a + c + d - 1 ? "Paris is big. London is old!|London is old!  Rome is far?" : "");
    CHECK_CHUNKS(&b, three, a + c + d - 1, c - 1, "sentence",
                 "Paris is big. London is old!|Rome is far?");
    bench_close(&b);
}

/* A sentence that is too long is cut alone: its neighbours share no chunk with it. */
static void test_long_sentences_are_cut_at_tokens(void) {
    bench b = bench_open("bert-tokcls");
    const char *text = "It is. He is a man in the city of Paris in the north. It is.";
    int64_t most = n_of(&b, "He is a man in the city");
    char *got = chunks_of(&b, text, most, 0, "sentence");
    CHECK(strncmp(got, "It is.", 6) == 0 && strstr(got, "|He is a man in the city|") &&
          strstr(got, ".|It is.") && !strstr(got, "It is. He"));
    free(got);
    bench_close(&b);
}

static void test_paragraphs_are_packed(void) {
    bench b = bench_open("bert-tokcls");
    const char *text = "One is.\nTwo is.\n \t\nThree is.\r\n\r\nFour is. Five is.\n";
    int64_t first = n_of(&b, "One is.\nTwo is."), second = n_of(&b, "Three is."),
            third = n_of(&b, "Four is. Five is.");
    CHECK_CHUNKS(&b, text, first + second, 0, "paragraph",
                 "One is.\nTwo is.\n \t\nThree is.|Four is. Five is.");
    int64_t most = first > third ? first : third;
    CHECK_CHUNKS(&b, text, most, 0, "paragraph",
                 second + third <= most ? "One is.\nTwo is.|Three is.\r\n\r\nFour is. Five is."
                                        : "One is.\nTwo is.|Three is.|Four is. Five is.");
    /* too long a paragraph is cut at its sentences, and shares no chunk */
    CHECK_CHUNKS(&b, "One is. One is.\n\nOne.", n_of(&b, "One is."), 0, "paragraph",
                 "One is.|One is.|One.");
    bench_close(&b);
}

static void test_tokens_overlap(void) {
    bench b = bench_open("bert-tokcls");
    CHECK_CHUNKS(&b, "a b c d e f g", 3, 1, "token", "a b c|c d e|e f g");
    CHECK_CHUNKS(&b, "a b c d e f g", 3, 2, "token", "a b c|b c d|c d e|d e f|e f g");
    CHECK_CHUNKS(&b, "  a b\n\n\nc  ", 2, 0, "token", "a b|c");
    bench_close(&b);
}

/* ---- What holds for every text ---- */

static char *random_text(nlp_random *random, size_t n_parts) {
    static const char *const parts[] = {
        "the ", "cat", " Rome",  ".", ". ",     "! ", "\n", "\n\n",  "\r\n\r\n", "   ",
        "é",    "日",  "本語。", "🚉", "ﷺ",      "\t", "x",  "[SEP]", "\u3000",   "unbelievably",
        "12",   "?",   "\u00a0", "̈",  "\u2029", "<s>"};
    char *text = malloc(16 * n_parts + 1);
    *text = 0;
    size_t n = 0;
    for (size_t i = 0; i < n_parts; i++) {
        const char *part = parts[random_u32(random) % (sizeof parts / sizeof *parts)];
        memcpy(text + n, part, strlen(part) + 1);
        n += strlen(part);
    }
    return text;
}

typedef struct row {
    size_t start, end; /* bytes, end excluded */
    int64_t n_tokens;
} row;

static size_t byte_of(const char *text, int64_t character) {
    size_t at = 0, n = strlen(text);
    for (uint32_t code; character; character--) at += nlp_utf8_decode(text + at, n - at, &code);
    return at;
}

static bool is_blank(const char *text, size_t at) {
    uint32_t code;
    nlp_utf8_decode(text + at, strlen(text) - at, &code);
    return nlp_unicode_white_space(code);
}

/* Rows of the last result, checked one by one. The caller frees. */
static row *rows_of(bench *b, const char *text) {
    uint32_t n = b->result->outputs->n_rows;
    row *rows = malloc((n + 1) * sizeof *rows);
    for (uint32_t i = 0; i < n; i++) {
        const nlp_value *chunk = bench_cell(b, i, COLUMNS, CHUNK);
        rows[i] = (row){byte_of(text, bench_cell(b, i, COLUMNS, START)->as.integer - 1),
                        byte_of(text, bench_cell(b, i, COLUMNS, END)->as.integer),
                        bench_cell(b, i, COLUMNS, TOKENS)->as.integer};
        size_t last = rows[i].end - 1;
        while (((uint8_t)text[last] & 0xC0) == 0x80) last--;
        CHECK(bench_cell(b, i, COLUMNS, ORD)->as.integer == i + 1);
        CHECK(rows[i].end - rows[i].start == chunk->n &&
              !memcmp(text + rows[i].start, chunk->as.text, chunk->n));
        CHECK(!is_blank(text, rows[i].start) && !is_blank(text, last));
        CHECK(!i || (rows[i].start > rows[i - 1].start && rows[i].end > rows[i - 1].end));
    }
    return rows;
}

static void check_covered(const char *text, const row *rows, uint32_t n, bool disjoint) {
    size_t covered = 0;
    for (uint32_t i = 0; i <= n; i++) {
        size_t start = i < n ? rows[i].start : strlen(text);
        for (size_t at = covered; at < start; at++)
            if (((uint8_t)text[at] & 0xC0) != 0x80) CHECK(is_blank(text, at));
        if (i < n) CHECK(!disjoint || start >= covered);
        if (i < n) covered = rows[i].end;
    }
}

static void check_text(bench *b, const char *text, int64_t most, int64_t overlap, const char *by) {
    nlp_option options[] = {bench_whole("max_tokens", most), bench_whole("overlap", overlap),
                            bench_text("by", by)};
    nlp_status status = bench_run(b, "chunk", text, NULL, options, 3);
    if (status == NLP_ELIMIT && most < 24) { /* such a limit can't be kept */
        CHECK(strstr(b->err.message, "one character"));
        return;
    }
    CHECK_STATUS(status, NLP_OK, &b->err);
    if (status != NLP_OK) return;
    uint32_t n = b->result->outputs->n_rows;
    row *rows = rows_of(b, text);
    check_covered(text, rows, n, overlap == 0);
    for (uint32_t i = 0; i < n; i++) {
        CHECK(rows[i].n_tokens <= most);
        CHECK(rows[i].n_tokens == n_tokens(b, text + rows[i].start, rows[i].end - rows[i].start));
    }
    free(rows);
}

static void test_nothing_is_lost_and_no_limit_broken(void) {
    static const char *const models[] = {"bert-tokcls", "qwen3-reranker", "sharp-llama",
                                         "m2m100-slow", "sharp-gemma1",   "sharp-roberta"};
    static const char *const cuts[] = {"sentence", "paragraph", "token"};
    nlp_random random = {7};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        bench b = bench_open(models[m]);
        for (int i = 0; i < 240; i++) {
            char *text = random_text(&random, random_u32(&random) % 90);
            int64_t most = 1 + random_u32(&random) % (i % 3 ? 60 : 12);
            check_text(&b, text, most, random_u32(&random) % most, cuts[i % 3]);
            free(text);
        }
        bench_close(&b);
    }
}

/* ---- Odd texts ---- */

static void test_texts_of_nothing_have_no_chunks(void) {
    bench b = bench_open("bert-tokcls");
    static const char *const texts[] = {"", " ", "\n\n \t\r\n", "\u3000\u00a0\u2029"};
    for (size_t i = 0; i < 4; i++) {
        CHECK_STATUS(bench_run(&b, "chunk", texts[i], NULL, NULL, 0), NLP_OK, &b.err);
        CHECK(b.result->outputs->n_rows == 0);
    }
    bench_close(&b);
}

/* A megabyte of one kind: letters, blanks, both ends with blanks between. */
static void test_a_megabyte_takes_no_time(void) {
    enum { N = 1 << 20 };
    static const char *const models[] = {"bert-tokcls", "qwen3-reranker", "sharp-llama"};
    char *text = malloc(N + 1);
    text[N] = 0;
    for (size_t m = 0; m < 3; m++) {
        bench b = bench_open(models[m]);
        nlp_option by[] = {bench_text("by", "paragraph")};
        memset(text, 'x', N);
        CHECK_STATUS(bench_run(&b, "chunk", text, NULL, by, 1), NLP_OK, &b.err);
        CHECK(b.result->outputs->n_rows && bench_cell(&b, 0, COLUMNS, START)->as.integer == 1);
        CHECK(bench_cell(&b, b.result->outputs->n_rows - 1, COLUMNS, END)->as.integer == N);
        memset(text, ' ', N);
        CHECK_STATUS(bench_run(&b, "chunk", text, NULL, by, 1), NLP_OK, &b.err);
        CHECK(b.result->outputs->n_rows == 0);
        text[0] = 'a', text[N - 1] = 'b';
        CHECK_STATUS(bench_run(&b, "chunk", text, NULL, by, 1), NLP_OK, &b.err);
        CHECK(b.result->outputs->n_rows >= 1 && b.result->outputs->n_rows <= 2);
        bench_close(&b);
    }
    free(text);
}

static void test_limits_are_checked(void) {
    bench b = bench_open("bert-tokcls");
    nlp_option options[] = {bench_whole("max_tokens", 32), bench_whole("overlap", 32)};
    CHECK_STATUS(bench_run(&b, "chunk", "x", NULL, options, 1), NLP_OK, &b.err);
    CHECK_STATUS(bench_run(&b, "chunk", "x", NULL, options, 2), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "overlap is 32") && strstr(b.err.message, "which is 32"));
    options[0] = bench_whole("max_tokens", 33);
    CHECK_STATUS(bench_run(&b, "chunk", "x", NULL, options, 2), NLP_OK, &b.err);
    options[0] = bench_text("by", "page");
    CHECK_STATUS(bench_run(&b, "chunk", "x", NULL, options, 1), NLP_EINVAL, &b.err);
    bench_close(&b);
    b = bench_open("qwen3-reranker");
    nlp_option narrow[] = {bench_whole("max_tokens", 1), bench_whole("overlap", 0)};
    CHECK_STATUS(bench_run(&b, "chunk", "a 🚉", NULL, narrow, 2), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "max_tokens is 1"));
    bench_close(&b);
}

static bool stop_later(void *context) {
    return ++*(int *)context > 2;
}

static void test_a_call_can_be_stopped(void) {
    bench b = bench_open("qwen3-reranker");
    char *text = bench_long_text(60000);
    nlp_text one = nlp_test_text(text);
    int n_asked = 0;
    nlp_option options[] = {bench_whole("max_tokens", 512), bench_whole("overlap", 511),
                            bench_text("by", "token")};
    nlp_request request = {.struct_size = sizeof request,
                           .task = nlp_task_find(b.engine, "chunk"),
                           .model = b.model,
                           .texts = &one,
                           .n_inputs = 1,
                           .options = options,
                           .n_options = 3,
                           .stop = {stop_later, &n_asked}};
    CHECK_STATUS(nlp_session_run(b.session, &request, &b.result, &b.err), NLP_ECANCELED, &b.err);
    CHECK(n_asked == 3);
    CHECK_CHUNKS(&b, "It is. It was.", 64, 0, "sentence", "It is. It was.");
    free(text);
    bench_close(&b);
}

static void test_every_allocation_may_fail(void) {
    char *text = bench_long_text(200);
    nlp_text one[] = {nlp_test_text(text)};
    nlp_option options[] = {bench_whole("max_tokens", 40), bench_whole("overlap", 9)};
    bench_fail_each_allocation("bert-tokcls", "chunk", one, options, 2);
    free(text);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"sentences_are_packed", test_sentences_are_packed},
        {"long_sentences_are_cut_at_tokens", test_long_sentences_are_cut_at_tokens},
        {"paragraphs_are_packed", test_paragraphs_are_packed},
        {"tokens_overlap", test_tokens_overlap},
        {"nothing_is_lost_and_no_limit_broken", test_nothing_is_lost_and_no_limit_broken},
        {"texts_of_nothing_have_no_chunks", test_texts_of_nothing_have_no_chunks},
        {"a_megabyte_takes_no_time", test_a_megabyte_takes_no_time},
        {"limits_are_checked", test_limits_are_checked},
        {"a_call_can_be_stopped", test_a_call_can_be_stopped},
        {"every_allocation_may_fail", test_every_allocation_may_fail}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
