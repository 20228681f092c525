/* fuzz_tiktoken: any bytes as a file of ranks give a status; what compiles can be opened, and a text becomes
 * ids of its vocabulary and a text again. */
#include "fuzz.h"
#include "text/tokenizer_format.h"
#include "tiktoken.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_mem mem;
    nlp_buf blob;
    nlp_error err;
    const nlp_tiktoken ranks = {
        .text = (const char *)bytes, .n_bytes = n, .pattern = NLP_PATTERN_GPT2};
    nlp_mem_init(&mem, NULL, NULL, (size_t)256 << 20);
    nlp_buf_init(&blob, &mem);
    nlp_tiktoken_is((const char *)bytes, n);
    nlp_status status = nlp_tiktoken_compile(&ranks, &blob, &err);
    fuzz_require_budget(&mem, n, 24);
    if (status == NLP_OK)
        fuzz_use_tokenizer(blob.bytes, blob.n_bytes, &mem, "don't  stop \xC3\xA9 12345\r\n");
    nlp_buf_deinit(&blob);
    fuzz_require(mem.used_bytes == 0, "all memory is given back");
    return 0;
}
