/* tokenizer_files.c: tokenizer.json, vocab.txt, vocab.json with merges.txt, or a SentencePiece model. */
#include "tokenizer_files.h"

#include <stdio.h>
#include <string.h>

#include "base/mapfile.h"
#include "hf_tokenizer.h"
#include "json.h"
#include "sentencepiece.h"
#include "tiktoken.h"

#define CONFIG_NAME "tokenizer_config.json"

typedef struct file {
    uint8_t *bytes; /* NULL: not there */
    size_t n_bytes;
} file;

/* A file that is not there is no error. */
static nlp_status load(const nlp_tokenizer_folder *folder, const char *name, file *f,
                       nlp_error *err) {
    char path[4096];
    *f = (file){NULL, 0};
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder->path, name) >= sizeof path)
        return nlp_fail(err, NLP_EINVAL, "the folder's path is too long");
    nlp_status status =
        nlp_file_load(path, NLP_JSON_TOKENIZER_BYTES, folder->mem, &f->bytes, &f->n_bytes, err);
    return status == NLP_ENOFILE ? NLP_OK : status;
}

static void unload(const nlp_tokenizer_folder *folder, file *f) {
    if (f->bytes) nlp_mem_free(folder->mem, f->bytes, f->n_bytes + 1);
}

/* ---- BERT and GPT-2 ---- */

static nlp_status compile_vocab_txt(const nlp_tokenizer_folder *folder, const file *vocabulary,
                                    nlp_buf *blob, nlp_error *err) {
    nlp_vocab_txt_options options = {.strip_accents = -1};
    NLP_TRY(nlp_json_boolean(folder->config, CONFIG_NAME, "do_lower_case", true,
                             &options.lower_case, err));
    NLP_TRY(nlp_json_boolean(folder->config, CONFIG_NAME, "tokenize_chinese_chars", true,
                             &options.chinese_characters, err));
    const json_t *strip = json_object_get(folder->config, "strip_accents");
    if (json_is_boolean(strip)) options.strip_accents = json_is_true(strip);
    return nlp_vocab_txt_compile(vocabulary->bytes, vocabulary->n_bytes, &options, blob, err);
}

static nlp_status compile_merges(const nlp_tokenizer_folder *folder, const file *vocabulary,
                                 const file *merges, nlp_buf *blob, nlp_error *err) {
    const nlp_gpt2_files files = {(const char *)vocabulary->bytes,
                                  (const char *)merges->bytes,
                                  vocabulary->n_bytes,
                                  merges->n_bytes,
                                  folder->kind == NLP_VOCABULARY_ROBERTA,
                                  false};
    return nlp_gpt2_files_compile(&files, blob, err);
}

/* ---- SentencePiece ---- */

static nlp_spm_recipe recipe_of(nlp_vocabulary_kind kind) {
    switch (kind) {
    case NLP_VOCABULARY_ROBERTA:
        return NLP_SPM_XLMR;
    case NLP_VOCABULARY_T5:
        return NLP_SPM_T5;
    case NLP_VOCABULARY_LLAMA:
        return NLP_SPM_LLAMA;
    case NLP_VOCABULARY_MARIAN:
        return NLP_SPM_MARIAN;
    case NLP_VOCABULARY_M2M100:
        return NLP_SPM_M2M100;
    default:
        return NLP_SPM_PLAIN;
    }
}

static nlp_status compile_spm(const nlp_tokenizer_folder *folder, const file *model,
                              const file *vocabulary, nlp_buf *blob, nlp_error *err) {
    nlp_spm_files files = {.model = model->bytes, .model_bytes = model->n_bytes};
    nlp_spm_recipe recipe = recipe_of(folder->kind);
    const char *codes, *language;
    NLP_TRY(nlp_json_text(folder->config, CONFIG_NAME, "language_codes", "m2m100", &codes, err));
    NLP_TRY(nlp_json_text(folder->config, CONFIG_NAME, "src_lang", NULL, &language, err));
    bool by_vocabulary = recipe == NLP_SPM_MARIAN || recipe == NLP_SPM_M2M100;
    if (by_vocabulary) {
        if (!vocabulary->bytes)
            return nlp_fail(err, NLP_ENOFILE, "the folder has no vocab.json, which gives the ids");
        files.vocabulary = (const char *)vocabulary->bytes;
        files.vocabulary_bytes = vocabulary->n_bytes;
    }
    if (recipe == NLP_SPM_M2M100) files.languages = codes, files.language = language;
    return nlp_sentencepiece_compile(&files, recipe, blob, err);
}

static nlp_status load_spm(const nlp_tokenizer_folder *folder, file *model, nlp_error *err) {
    static const char *const names[] = {"source.spm", "sentencepiece.bpe.model", "spiece.model",
                                        "tokenizer.model"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !model->bytes; i++)
        NLP_TRY(load(folder, names[i], model, err));
    return NLP_OK;
}

/* ---- Choice ---- */

typedef struct files {
    file json, vocab_txt, vocabulary, merges, spm;
} files;

static nlp_status load_all(const nlp_tokenizer_folder *folder, files *f, nlp_error *err) {
    NLP_TRY(load(folder, "tokenizer.json", &f->json, err));
    if (f->json.bytes) return NLP_OK;
    NLP_TRY(load(folder, "vocab.txt", &f->vocab_txt, err));
    NLP_TRY(load(folder, "vocab.json", &f->vocabulary, err));
    NLP_TRY(load(folder, "merges.txt", &f->merges, err));
    return load_spm(folder, &f->spm, err);
}

static nlp_status compile(const nlp_tokenizer_folder *folder, const files *f, nlp_buf *blob,
                          nlp_error *err) {
    bool merges = folder->kind == NLP_VOCABULARY_GPT2 || folder->kind == NLP_VOCABULARY_ROBERTA;
    if (f->json.bytes)
        return nlp_hf_tokenizer_compile(f->json.bytes, f->json.n_bytes, NULL, blob, err);
    if (folder->kind == NLP_VOCABULARY_BERT && f->vocab_txt.bytes)
        return compile_vocab_txt(folder, &f->vocab_txt, blob, err);
    if (merges && f->vocabulary.bytes && f->merges.bytes)
        return compile_merges(folder, &f->vocabulary, &f->merges, blob, err);
    if (folder->kind == NLP_VOCABULARY_LLAMA && f->spm.bytes &&
        nlp_tiktoken_is((const char *)f->spm.bytes, f->spm.n_bytes))
        return nlp_tiktoken_compile_llama3((const char *)f->spm.bytes, f->spm.n_bytes, blob, err);
    if (recipe_of(folder->kind) != NLP_SPM_PLAIN && f->spm.bytes)
        return compile_spm(folder, &f->spm, &f->vocabulary, blob, err);
    nlp_fail(err, NLP_ENOFILE,
             "the folder has no tokenizer.json and no vocabulary files from which "
             "nlp can build this family's tokenizer");
    nlp_hint(err, "save the tokenizer with its tokenizer.json beside the model");
    return NLP_ENOFILE;
}

nlp_status nlp_tokenizer_folder_read(const nlp_tokenizer_folder *folder, nlp_buf *blob,
                                     nlp_error *err) {
    files f = {0};
    nlp_status status = load_all(folder, &f, err);
    if (status == NLP_OK) status = compile(folder, &f, blob, err);
    unload(folder, &f.json);
    unload(folder, &f.vocab_txt);
    unload(folder, &f.vocabulary);
    unload(folder, &f.merges);
    unload(folder, &f.spm);
    return status;
}
