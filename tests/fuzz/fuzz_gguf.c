/* fuzz_gguf: any bytes as a GGUF file give a status; tensors of an accepted file lie inside it and can be
 * read, and a tokenizer that compiles can be opened. */
#include "fuzz.h"
#include "gguf.h"
#include "model_folder.h"

#include <stdlib.h>

static void read_all(nlp_source *source, size_t n) {
    nlp_error err;
    for (size_t i = 0; i < source->n_tensors; i++) {
        const nlp_source_tensor *t = &source->tensors[i];
        fuzz_require(t->offset <= n && t->n_bytes <= n - t->offset, "a tensor lies in its file");
        float *out = t->n_elements <= 64 * n ? malloc(t->n_elements * sizeof *out + 1) : NULL;
        if (out) nlp_source_read(source, t, out, NULL, &err);
        free(out);
    }
}

/* Config, tensor names and tokenizer: what an import reads before it assembles a pack. */
static void open_model(const char *path) {
    nlp_mem mem;
    nlp_model_folder folder;
    nlp_error err;
    nlp_mem_init(&mem, NULL, NULL, (size_t)256 << 20);
    if (nlp_model_folder_open(&folder, &mem, path, NULL, &err) == NLP_OK)
        fuzz_use_tokenizer(folder.tokenizer.bytes, folder.tokenizer.n_bytes, &mem, "a few words 1");
    nlp_model_folder_close(&folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_mem mem;
    nlp_gguf gguf;
    nlp_source source;
    nlp_error err;
    const char *path = fuzz_file("model.gguf", bytes, n);
    nlp_mem_init(&mem, NULL, NULL, 4 * n + ((size_t)1 << 20));
    nlp_source_init(&source, &mem);
    if (nlp_gguf_open(&gguf, &source, path, &err) == NLP_OK) read_all(&source, n);
    nlp_gguf_close(&gguf);
    nlp_source_close(&source);
    open_model(path);
    return 0;
}
