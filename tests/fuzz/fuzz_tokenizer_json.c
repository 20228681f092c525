/* fuzz_tokenizer_json: any bytes as tokenizer.json give a status; what compiles can be opened,
 * encodes a text, and its ids are in the vocabulary. */
#include "fuzz.h"
#include "hf_tokenizer.h"
#include "text/tokenizer.h"

#include <string.h>

static void encode(const nlp_tokenizer *tokenizer, nlp_mem *mem) {
    static const char sample[] = "Hello, wörld! [CLS] don't 中文 ##ing\n";
    nlp_arena arena;
    nlp_encoding encoding;
    nlp_tokenizer_info info;
    nlp_error err;
    nlp_text text = {sample, strlen(sample)};
    nlp_tokenizer_get_info(tokenizer, &info);
    nlp_arena_init(&arena, mem);
    if (nlp_tokenizer_encode(tokenizer, &text, &text, NULL, &arena, NULL, &encoding, &err) ==
        NLP_OK)
        for (size_t i = 0; i < encoding.n; i++)
            fuzz_require((uint32_t)encoding.ids[i] < info.vocabulary, "an id is in the vocabulary");
    nlp_arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_mem mem;
    nlp_buf blob;
    nlp_tokenizer *tokenizer = NULL;
    nlp_error err;
    nlp_mem_init(&mem, NULL, NULL, (size_t)256 << 20);
    nlp_buf_init(&blob, &mem);
    nlp_status status = nlp_hf_tokenizer_compile(bytes, n, NULL, &blob, &err);
    fuzz_require_budget(&mem, n, 24);
    if (status == NLP_OK) {
        status = nlp_tokenizer_open(blob.bytes, blob.n_bytes, &mem, &tokenizer, &err);
        fuzz_require(status == NLP_OK, err.message); /* what the importer compiles can be opened */
        encode(tokenizer, &mem);
    }
    nlp_tokenizer_close(tokenizer);
    nlp_buf_deinit(&blob);
    return 0;
}
