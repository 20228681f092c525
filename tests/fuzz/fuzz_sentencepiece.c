/* fuzz_sentencepiece: any bytes as a .model file give a status; what compiles can be opened, and a text
 * becomes ids of its vocabulary and a text again. */
#include "fuzz.h"
#include "sentencepiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_mem mem;
    nlp_buf blob;
    nlp_error err;
    const nlp_spm_files files = {.model = bytes, .model_bytes = n};
    nlp_mem_init(&mem, NULL, NULL, (size_t)256 << 20);
    nlp_buf_init(&blob, &mem);
    nlp_status status = nlp_sentencepiece_compile(&files, NLP_SPM_PLAIN, &blob, &err);
    fuzz_require_budget(&mem, n, 24);
    if (status == NLP_OK)
        fuzz_use_tokenizer(blob.bytes, blob.n_bytes, &mem,
                           " Hello,  w\xC3\xB6rld! \xE2\x91\xA0\xE3\x80\x80<s> 12\t\xEF\xBC\xA1 ");
    nlp_buf_deinit(&blob);
    fuzz_require(mem.used_bytes == 0, "all memory is given back");
    return 0;
}
