/* fuzz.c: files and failing, for the fuzz targets. */
#include "../fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "models.h"

const char *fuzz_file(const char *name, const uint8_t *bytes, size_t n) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", nlp_test_folder(), name);
    FILE *file = fopen(path, "wb");
    fuzz_require(file && fwrite(bytes, 1, n, file) == n, "a file can be written");
    fclose(file);
    return path;
}

void fuzz_require(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

void fuzz_require_budget(const nlp_mem *mem, size_t n, size_t factor) {
    size_t most = factor * n + ((size_t)1 << 20);
    if (mem->peak_bytes > most)
        fprintf(stderr, "%zu bytes of heap for %zu of input\n", mem->peak_bytes, n);
    fuzz_require(mem->peak_bytes <= most, "a parser keeps to its budget");
}
