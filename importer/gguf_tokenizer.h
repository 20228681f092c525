/* gguf_tokenizer.h: the tokenizer.ggml.* keys of a GGUF file to the compiled tokenizer. */
#ifndef NLP_IMPORTER_GGUF_TOKENIZER_H
#define NLP_IMPORTER_GGUF_TOKENIZER_H

#include "gguf.h"

/* Appends the blob. Kinds: "gpt2" (byte-level BPE, with its `pre` name), "llama" (SentencePiece BPE),
 * "t5" (unigram), "bert" (WordPiece, whose writer has changed the pieces). */
nlp_status nlp_gguf_tokenizer_compile(nlp_gguf *gguf, nlp_buf *blob, nlp_error *err);

#endif
