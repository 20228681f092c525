/* engine.h: what the files of the engine share. Opaque to everybody else. */
#ifndef NLP_ENGINE_ENGINE_H
#define NLP_ENGINE_ENGINE_H

#include "base/mapfile.h"
#include "base/thread.h"
#include "engine/store.h"
#include "task/fit.h"

enum { NLP_MAX_TASKS = 64, NLP_PATH_BYTES = 4096 };

struct nlp_engine {
    nlp_mem mem;        /* of everything that lives as long as the engine; under lock */
    nlp_alloc_fn alloc; /* of the host, for sessions */
    void *alloc_context;
    nlp_mutex lock; /* held for lists and map operations, never while computing */
    nlp_store_options store;
    char *model_path, *builtin_path;
    char path_setting[64];
    uint32_t threads;
    size_t max_memory;
    const nlp_kernels *kernels;
    nlp_workers *workers;
    nlp_model *models; /* opened and cached ones */
    const nlp_task_vtable *tasks[NLP_MAX_TASKS];
    size_t n_tasks;
    nlp_host_api host;
    nlp_counters counters;
    char build_info[256];
};

struct nlp_model {
    nlp_engine *engine;
    nlp_model *next;       /* in engine->models */
    uint32_t n_references; /* under engine->lock; 0: cached only */
    bool from_bytes;
    char *path, *name;
    nlp_file_identity identity;
    nlp_mapping mapping;
    nlp_pack pack;
    nlp_arena arena; /* binding, labels, info texts */
    nlp_model *base; /* of a task pack; holds a reference */
    nlp_tokenizer *tokenizer,
        *decoder_tokenizer;     /* the second: of a seq2seq with two vocabularies */
    nlp_stack *stack, *decoder; /* decoder: of a seq2seq */
    nlp_generation_spec generation;
    nlp_shared_vocabulary vocabulary; /* of a full pack */
    nlp_pooler pooler;
    nlp_head head;
    nlp_task_model task; /* the view that tasks get */
    const char **label_texts;
    char digest[NLP_SHA256_HEX_BYTES], base_digest[NLP_SHA256_HEX_BYTES];
    nlp_model_info description; /* what nlp_model_get_info knows of its pack */
    size_t n_tasks_described;   /* tasks that were known then, 0: not yet made */
};

struct nlp_session {
    nlp_engine *engine;
    nlp_mem mem; /* budget: the engine's max_memory */
    nlp_arena arena, scratch, work;
    nlp_result result;
};

/* What a call lends: it lives as long as the call's own variables. */
typedef struct nlp_call_parts {
    nlp_task_options options;
    nlp_counters counters;
    nlp_word_cache words;
    nlp_poll poll;
} nlp_call_parts;

/* session.c: the same beginning for all that a session runs: its arenas emptied, the poll ready. */
nlp_poll nlp_session_begin(nlp_session *session, const nlp_stop *stop);
nlp_task_call nlp_session_call(nlp_session *session, const nlp_stop *stop, nlp_call_parts *parts);
/* A session for an object that has one of its own: n_bytes of zeros in its memory, under the engine's limit. Whoever
 * closes the object frees them and closes the session. */
nlp_status nlp_session_open_for(nlp_engine *engine, size_t n_bytes, nlp_session **session,
                                void **object, nlp_error *err);
/* A head on a base, by a job whose name, rows and options are given; what it finds belongs to the session,
 * as a result does. */
nlp_status nlp_session_fit(nlp_session *session, nlp_model *base, nlp_fit_job *job,
                           const nlp_stop *stop, nlp_error *err);
/* NLP_EINVAL for a task pack. */
nlp_status nlp_fit_check_base(const nlp_model *base, nlp_error *err);
/* Into the engine's counters. */
void nlp_session_count(nlp_engine *engine, const nlp_counters *own, size_t n_inputs,
                       nlp_status status);

/* builtins.c: the one list. */
nlp_status nlp_builtins_add(const nlp_host_api *host, nlp_error *err);
/* registry.c */
nlp_status nlp_registry_add(const nlp_host_api *host, uint32_t kind, const void *vtable,
                            nlp_error *err);
const nlp_task_vtable *nlp_registry_find(const nlp_engine *engine, const nlp_task_spec *spec);

/* model_path.c: names to paths. Folders of the model path, then the built-in one. */
nlp_status nlp_model_path_find(nlp_engine *engine, const char *name, char path[NLP_PATH_BYTES],
                               nlp_error *err);
/* Whether a pack may be made under this name, which has no pin. */
nlp_status nlp_model_name_check(const char *name, nlp_error *err);
/* The pack with a digest, anywhere in the model path. */
bool nlp_model_path_find_digest(nlp_engine *engine, const char *digest_hex,
                                char path[NLP_PATH_BYTES]);
/* The digest of the pack that a name finds; "" where there is none. */
void nlp_model_path_digest(nlp_engine *engine, const char *name, char hex[NLP_SHA256_HEX_BYTES]);
/* Visits "folder/NAME.nlp" of every folder, in order; stops when visit returns false. */
void nlp_model_path_each(nlp_engine *engine,
                         bool (*visit)(void *context, const char *path, const char *name),
                         void *context);
/* model.c: frees models that nobody holds and whose file has changed; all: also unchanged ones. */
void nlp_models_sweep(nlp_engine *engine, bool all);
/* model_info.c: what the pack itself says; name, path and backing are the caller's. */
void nlp_model_info_of_pack(const nlp_engine *engine, const nlp_pack *pack, nlp_arena *arena,
                            nlp_model_info *info);

#endif
