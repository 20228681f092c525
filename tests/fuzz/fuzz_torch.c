/* fuzz_torch: any bytes as pytorch_model.bin give a status; an accepted file has tensors inside it. */
#include "fuzz.h"
#include "torch_zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_mem mem;
    nlp_source source;
    nlp_error err;
    const char *path = fuzz_file("pytorch_model.bin", bytes, n);
    nlp_mem_init(&mem, NULL, NULL, 4 * n + ((size_t)1 << 20));
    nlp_source_init(&source, &mem);
    if (nlp_torch_add(&source, path, &err) == NLP_OK)
        for (size_t i = 0; i < source.n_tensors; i++) {
            const nlp_source_tensor *t = &source.tensors[i];
            fuzz_require(t->offset <= n && t->n_bytes <= n - t->offset,
                         "a tensor lies in its file");
        }
    nlp_source_close(&source);
    return 0;
}
