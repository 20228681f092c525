/* fuzz_pickle: any bytes as the program of a pytorch_model.bin give a status, within four times their heap;
 * what is accepted names tensors. */
#include "fuzz.h"
#include "pickle.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_mem mem;
    nlp_pickle pickle;
    nlp_error err;
    nlp_mem_init(&mem, NULL, NULL, 4 * n + ((size_t)1 << 20));
    if (nlp_pickle_read(&pickle, &mem, bytes, n, &err) == NLP_OK)
        for (size_t i = 0; i < pickle.n_tensors; i++)
            fuzz_require(pickle.tensors[i].name && strlen(pickle.tensors[i].storage) <= 12 &&
                             pickle.tensors[i].n_dims <= NLP_SOURCE_MAX_DIMS,
                         "a tensor has a name, a storage and a shape");
    nlp_pickle_close(&pickle);
    fuzz_require(mem.used_bytes == 0, "all memory is given back");
    return 0;
}
