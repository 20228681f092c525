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
