/* hf_tokenizer.h: tokenizer.json, vocab.txt, or vocab.json with merges.txt -> the compiled blob that
 * core/text opens. Anything the runtime can't do is refused by name. */
#ifndef NLP_IMPORTER_HF_TOKENIZER_H
#define NLP_IMPORTER_HF_TOKENIZER_H

#include <jansson.h>

#include "base/buf.h"

typedef struct nlp_hf_options {
    bool bare;         /* nothing around a text, whatever the file says */
    bool drop_unknown; /* unknown tokens are left out */
} nlp_hf_options;
/* Appends the blob. `pad/unk/...` come from the file itself. Options NULL: what the file says. */
nlp_status nlp_hf_tokenizer_compile(const void *tokenizer_json, size_t n_bytes,
                                    const nlp_hf_options *options, nlp_buf *blob, nlp_error *err);

/* The same from a parsed one; messages call it `file`. */
nlp_status nlp_hf_tokenizer_build(const json_t *json, const char *file, nlp_buf *blob,
                                  nlp_error *err);

/* Byte-level BPE in two files. */
typedef struct nlp_gpt2_files {
    const char *vocabulary, *merges; /* vocab.json, merges.txt */
    size_t vocabulary_bytes, merges_bytes;
    bool roberta; /* <s> A </s> and its special tokens; else GPT-2: nothing around a text */
    bool bare; /* special tokens are not matched in a text: the files alone say nothing of them */
} nlp_gpt2_files;
nlp_status nlp_gpt2_files_compile(const nlp_gpt2_files *files, nlp_buf *blob, nlp_error *err);

typedef struct nlp_vocab_txt_options {
    bool lower_case;   /* do_lower_case */
    int strip_accents; /* -1: same as lower_case */
    bool chinese_characters;
} nlp_vocab_txt_options;
/* BERT's vocab.txt: one piece a line, id = line number; [CLS] [SEP] [UNK] [PAD] [MASK] must be
 * there (PAD, MASK may not). */
nlp_status nlp_vocab_txt_compile(const void *vocab_txt, size_t n_bytes,
                                 const nlp_vocab_txt_options *options, nlp_buf *blob,
                                 nlp_error *err);

#endif
