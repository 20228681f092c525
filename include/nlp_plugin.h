/* nlp_plugin.h: how a task (later also a tokenizer, a forward pass, a backend) joins the engine.
 * nlp's own tasks register through the same call as a stranger's. The ABI is not frozen before
 * release 1.0. */
#ifndef NLP_PLUGIN_H
#define NLP_PLUGIN_H

#include "nlp.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NLP_PLUGIN_ABI 1u

/* A kind's number never changes its meaning. */
enum {
    NLP_KIND_OF_TASK = 1, /* vtable: nlp_task_vtable */
    NLP_KIND_OF_TOKENIZER = 2,
    NLP_KIND_OF_FORWARD = 3,
    NLP_KIND_OF_BACKEND = 4,
    NLP_KIND_OF_PROVIDER = 5
};

typedef struct nlp_task_call nlp_task_call; /* one run of a task */
typedef struct nlp_host_api nlp_host_api;

/* What a model is; it may be several things. */
enum {
    NLP_MODEL_ANY = 1,
    NLP_MODEL_EMBEDS = 2,  /* hidden states to pool, and no head */
    NLP_MODEL_LIKENS = 4,  /* the same, with a pooling of its own: a model of vectors */
    NLP_MODEL_LABELS = 8,  /* a head of labels */
    NLP_MODEL_FEELS = 16,  /* whose labels are positive, negative, neutral */
    NLP_MODEL_INFERS = 32, /* one of whose labels is "entailment" */
    NLP_MODEL_SCORES = 64, /* a head of one score */
    NLP_MODEL_TAGS = 128,  /* a head on tokens */
    NLP_MODEL_SPANS = 256, /* a head of starts and ends */
    NLP_MODEL_FILLS = 512, /* a head of words for a mask */
    NLP_MODEL_WRITES = 1024,
    NLP_MODEL_CHOOSES = 2048, /* it writes on from a prompt */
    NLP_MODEL_CARRIES = 4096, /* it writes from a source */
    NLP_MODEL_CHATS = 8192    /* it writes, and has a format of chats */
};

typedef struct nlp_task_vtable {
    uint32_t struct_size;
    const nlp_task_spec *spec; /* static memory */
    /* Fills outputs [n_inputs] of the request; cells come from host->alloc. Texts of the request
     * are distinct and not NULL. Any thread, one call at a time on one nlp_task_call. */
    nlp_status (*run_batch)(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                            nlp_error *err);
    /* Of a task that writes, for a request of one input; both NULL: it can't. What `state` points to
     * lies in memory of the call, which lives as long as the stream. */
    nlp_status (*stream_open)(nlp_task_call *call, const nlp_request *request, void **state,
                              nlp_error *err);
    nlp_status (*stream_next)(nlp_task_call *call, void *state, nlp_piece *piece, nlp_error *err);
    /* NLP_MODEL_*: a model that is one of them can run it, and lists it among its tasks; 0: it stands in
     * no such list, since it is a form of another task or reads tokens only */
    uint32_t models;
} nlp_task_vtable;

struct nlp_host_api {
    uint32_t struct_size, abi_min, abi_max;
    /* vtable is static and begins with struct_size. A name that is taken is NLP_EINVAL. */
    nlp_status (*add)(const nlp_host_api *host, uint32_t kind, const void *vtable, nlp_error *err);
    void *(*alloc)(nlp_task_call *call,
                   size_t n_bytes); /* freed when the result is; NULL when out of memory */
    bool (*should_stop)(nlp_task_call *call); /* ask at least every millisecond of work */
    nlp_status (*fail)(nlp_error *err, nlp_status status, const char *format, ...);
    void *context; /* of the host */
};

#ifdef __cplusplus
}
#endif
#endif
