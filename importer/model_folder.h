/* model_folder.h: what a model's folder, or a file that stands for one, says, read once: config,
 * tokenizer, pipeline, labels, prompts, weights. */
#ifndef NLP_IMPORTER_MODEL_FOLDER_H
#define NLP_IMPORTER_MODEL_FOLDER_H

#include "base/buf.h"
#include "family.h"
#include "nlp_import.h"

enum { NLP_MAX_NOTES = 1024 };

typedef struct nlp_model_folder {
    nlp_mem *mem;
    nlp_arena arena; /* texts */
    const char *path;
    bool is_file; /* one file has all; else a folder of many */
    json_t *config, *tokenizer_config;
    const char *pooling;       /* that a file names; NULL: none */
    const char *chat_template; /* name of its format; NULL: none */
    /* what its template writes of its own accord; NULL: nothing */
    const char *chat_begin, *chat_system, *chat_no_thinking;
    const nlp_family *family;
    nlp_stack_config stack, decoder; /* decoder: of a seq2seq */
    bool tied;                       /* tie_word_embeddings */
    nlp_source source;
    nlp_buf tokenizer;
    nlp_buf decoder_tokenizer; /* of a seq2seq whose two languages have two; else empty */
    nlp_pooling_spec pipeline; /* struct_size 0: the folder has none */
    const char *dense_folder[NLP_MAX_STAGES];
    nlp_head_spec head; /* struct_size 0: none */
    const nlp_head_source *head_source;
    nlp_generation_spec generation; /* struct_size 0: none */
    const char **labels;            /* [head.n_labels] */
    const char *prompts[64];        /* pairs */
    uint32_t n_prompts;             /* entries of prompts */
    char notes[NLP_MAX_NOTES];
} nlp_model_folder;

/* What the caller knows better than the folder; NULL for what the folder says. */
typedef struct nlp_model_choices {
    const char *pooling;       /* "mean" ... */
    const char *chat_template; /* "chatml" ... or "none" */
} nlp_model_choices;

/* An empty one, for who fills it in another way; path is borrowed. Close it. */
void nlp_model_folder_init(nlp_model_folder *folder, nlp_mem *mem, const char *path);
/* Close on failure too. choices may be NULL. */
nlp_status nlp_model_folder_open(nlp_model_folder *folder, nlp_mem *mem, const char *path,
                                 const nlp_model_choices *choices, nlp_error *err);
void nlp_model_folder_close(nlp_model_folder *folder);
void nlp_model_folder_note(nlp_model_folder *folder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A JSON file of the folder; *json NULL where the file does not exist. */
nlp_status nlp_model_folder_json(nlp_model_folder *folder, const char *name, size_t max_bytes,
                                 json_t **json, nlp_error *err);

/* sentence_transformers.c: modules.json and its folders, prompts, max_seq_length. */
nlp_status nlp_sentence_transformers_read(nlp_model_folder *folder, const char *pooling,
                                          nlp_error *err);

/* The head that the config names, or whose tensors are there, with its labels; the family and the stack's
 * spec are known. */
nlp_status nlp_head_read(nlp_model_folder *folder, const json_t *config, nlp_error *err);
/* A head of whatever source. */
nlp_status nlp_head_take(nlp_model_folder *folder, const nlp_head_source *source,
                         const json_t *config, nlp_error *err);
/* The first of config's "architectures"; "" where there is none. */
const char *nlp_architecture_of(const json_t *config);
/* generation.c: generation_config.json and its keys in config.json, for a model that writes. */
nlp_status nlp_generation_read(nlp_model_folder *folder, nlp_error *err);

#endif
