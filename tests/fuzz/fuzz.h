/* fuzz.h: what the targets share. The name after LLVMFuzzerTestOneInput is libFuzzer's. */
#ifndef NLP_FUZZ_H
#define NLP_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Writes the bytes to NAME in a folder of this process, over the last ones; the path. */
const char *fuzz_file(const char *name, const uint8_t *bytes, size_t n);
/* Ends the process with a report: a property does not hold. */
void fuzz_require(int holds, const char *what);
/* A parser took at most factor x n bytes of input + 1 MiB. */
void fuzz_require_budget(const nlp_mem *mem, size_t n, size_t factor);
/* Opens what a compiler gave, and takes a text, alone and as a pair, to ids and back: ids are in the
 * vocabulary, offsets in the text. */
void fuzz_use_tokenizer(const void *blob, size_t n_bytes, nlp_mem *mem, const char *text);

#endif
