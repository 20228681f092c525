/* fuzz_safetensors: any bytes give a status; a file that is accepted has tensors inside it that do
 * not overlap and can be read whole. */
#include "fuzz.h"
#include "safetensors.h"

#include <stdlib.h>

static void read_all(nlp_source *source, size_t n) {
    nlp_error err;
    uint64_t end = 0;
    for (size_t i = 0; i < source->n_tensors; i++) {
        const nlp_source_tensor *t = &source->tensors[i];
        fuzz_require(t->offset <= n && t->n_bytes <= n - t->offset, "a tensor lies in its file");
        end += t->n_bytes;
        float *out = t->n_elements <= n ? malloc(t->n_elements * sizeof *out + 1) : NULL;
        if (out) nlp_source_read(source, t, out, NULL, &err);
        free(out);
    }
    fuzz_require(end <= n, "tensors do not overlap");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_mem mem;
    nlp_source source;
    nlp_error err;
    const char *path = fuzz_file("model.safetensors", bytes, n);
    nlp_mem_init(&mem, NULL, NULL, (size_t)256 << 20);
    nlp_source_init(&source, &mem);
    nlp_status status = nlp_safetensors_add(&source, path, &err);
    fuzz_require_budget(&mem, n, 24);
    if (status == NLP_OK) read_all(&source, n);
    nlp_source_close(&source);
    return 0;
}
