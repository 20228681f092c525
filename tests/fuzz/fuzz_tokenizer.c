/* fuzz_tokenizer: any bytes as a text of a BERT tokenizer. Invalid UTF-8 is an error; otherwise ids
 * are in the vocabulary, offsets lie in the text in ascending order, and a limit cuts to it. */
#include "fuzz.h"
#include "hf_tokenizer.h"
#include "test.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

static nlp_mem mem;
static nlp_tokenizer *tokenizer;
static nlp_tokenizer_info info;

static void open_tokenizer(void) {
    static nlp_buf blob;
    nlp_error err;
    nlp_vocab_txt_options options = {true, -1, true};
    char path[512], *vocab = malloc(1 << 20);
    snprintf(path, sizeof path, "%s/golden/bert-base-uncased.vocab.txt", nlp_test_data());
    FILE *file = fopen(path, "rb");
    fuzz_require(file != NULL, "the vocabulary is there");
    size_t n = fread(vocab, 1, 1 << 20, file);
    fclose(file);
    nlp_mem_init(&mem, NULL, NULL, 0);
    nlp_buf_init(&blob, &mem);
    fuzz_require(nlp_vocab_txt_compile(vocab, n, &options, &blob, &err) == NLP_OK &&
                     nlp_tokenizer_open(blob.bytes, blob.n_bytes, &mem, &tokenizer, &err) == NLP_OK,
                 "the tokenizer opens");
    nlp_tokenizer_get_info(tokenizer, &info);
    free(vocab);
}

static void check(const nlp_encoding *e, size_t n_text, uint32_t limit) {
    uint32_t last = 0;
    fuzz_require(!limit || e->n <= limit, "no more tokens than the limit");
    fuzz_require(e->n_full >= e->n && e->truncated == (e->n_full > e->n), "truncation is told");
    for (size_t i = 0; i < e->n; i++) {
        fuzz_require((uint32_t)e->ids[i] < info.vocabulary, "an id is in the vocabulary");
        if (e->sequence[i] < 0) continue;
        fuzz_require(e->start[i] < e->end[i] && e->end[i] <= n_text, "an offset is in the text");
        fuzz_require(e->start[i] >= last, "offsets ascend");
        last = e->start[i];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_arena arena;
    nlp_encoding encoding;
    nlp_error err;
    nlp_text text = {(const char *)bytes + (n > 0), n - (n > 0)}, again;
    nlp_encode_options options = {.max_tokens = n && *bytes ? *bytes % 40u + 3 : 0};
    if (!tokenizer) open_tokenizer();
    if (!text.bytes) text.bytes = "";
    nlp_arena_init(&arena, &mem);
    if (nlp_tokenizer_encode(tokenizer, &text, NULL, &options, &arena, NULL, &encoding, &err) ==
        NLP_OK) {
        check(&encoding, text.n_bytes, options.max_tokens);
        fuzz_require(nlp_tokenizer_decode(tokenizer, encoding.ids, encoding.n, true, &arena, &again,
                                          &err) == NLP_OK,
                     "ids go back to a text");
    }
    nlp_arena_deinit(&arena);
    return 0;
}
