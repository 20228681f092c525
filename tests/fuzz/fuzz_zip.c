/* fuzz_zip: any bytes as a wheel: the member comes out, or there is a status and no file. */
#include "fuzz.h"
#include "models.h"
#include "nlp_import.h"

#include <stdio.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_error err;
    char out[256];
    const char *path = fuzz_file("w.whl", bytes, n);
    snprintf(out, sizeof out, "%s/member", nlp_test_folder());
    nlp_status status = nlp_zip_extract(path, "a/b.txt", NULL, out, NULL, &err);
    fuzz_require((status == NLP_OK) == (access(out, F_OK) == 0), "a failed member leaves no file");
    unlink(out);
    return 0;
}
