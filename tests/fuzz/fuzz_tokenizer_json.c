/* fuzz_tokenizer_json: any bytes as tokenizer.json give a status; what compiles can be opened, and a text
 * becomes ids of its vocabulary and a text again. */
#include "fuzz.h"
#include "hf_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_mem mem;
    nlp_buf blob;
    nlp_error err;
    nlp_mem_init(&mem, NULL, NULL, (size_t)256 << 20);
    nlp_buf_init(&blob, &mem);
    nlp_status status = nlp_hf_tokenizer_compile(bytes, n, NULL, &blob, &err);
    fuzz_require_budget(&mem, n, 24);
    if (status == NLP_OK)
        fuzz_use_tokenizer(blob.bytes, blob.n_bytes, &mem,
                           "Hello, wörld! [CLS] don't 中文 ##ing\n");
    nlp_buf_deinit(&blob);
    fuzz_require(mem.used_bytes == 0, "all memory is given back");
    return 0;
}
