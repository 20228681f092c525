/* fuzz_sentencepiece: any bytes as a .model file give a status; what compiles can be opened, and a text
 * becomes ids of its vocabulary and a text again. */
#include "fuzz.h"
#include "sentencepiece.h"
#include "text/tokenizer.h"

#include <string.h>

static void encode(const nlp_tokenizer *tokenizer, nlp_mem *mem) {
    static const char sample[] =
        " Hello,  w\xC3\xB6rld! \xE2\x91\xA0\xE3\x80\x80<s> 12\t\xEF\xBC\xA1 ";
    nlp_arena arena;
    nlp_encoding e;
    nlp_tokenizer_info info;
    nlp_text text = {sample, strlen(sample)}, back;
    nlp_error err;
    nlp_tokenizer_get_info(tokenizer, &info);
    nlp_arena_init(&arena, mem);
    if (nlp_tokenizer_encode(tokenizer, &text, NULL, NULL, &arena, NULL, &e, &err) == NLP_OK) {
        for (size_t i = 0; i < e.n; i++)
            fuzz_require((uint32_t)e.ids[i] < info.vocabulary && e.end[i] <= text.n_bytes,
                         "an id is in the vocabulary, an offset in the text");
        nlp_tokenizer_decode(tokenizer, e.ids, e.n, false, &arena, &back, &err);
    }
    nlp_arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_mem mem;
    nlp_buf blob;
    nlp_tokenizer *tokenizer = NULL;
    nlp_error err;
    const nlp_spm_files files = {.model = bytes, .model_bytes = n};
    nlp_mem_init(&mem, NULL, NULL, (size_t)256 << 20);
    nlp_buf_init(&blob, &mem);
    nlp_status status = nlp_sentencepiece_compile(&files, NLP_SPM_PLAIN, &blob, &err);
    fuzz_require_budget(&mem, n, 24);
    if (status == NLP_OK) {
        fuzz_require(nlp_tokenizer_open(blob.bytes, blob.n_bytes, &mem, &tokenizer, &err) == NLP_OK,
                     err.message);
        encode(tokenizer, &mem);
    }
    nlp_tokenizer_close(tokenizer);
    nlp_buf_deinit(&blob);
    return 0;
}
