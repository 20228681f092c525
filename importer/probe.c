/* probe.c: an engine of its own for one pack. */
#include "probe.h"

#include <string.h>

#include "base/err.h"

nlp_status nlp_probe_open(nlp_probe *p, const void *pack, size_t pack_bytes, const nlp_stop *stop,
                          nlp_error *err) {
    nlp_engine_options options;
    *p = (nlp_probe){0};
    nlp_engine_options_init(&options);
    NLP_TRY(nlp_engine_open(&options, &p->engine, err));
    NLP_TRY(nlp_session_open(p->engine, &p->session, err));
    return nlp_model_open_bytes(p->engine, "import", pack, pack_bytes, stop, &p->model, err);
}

void nlp_probe_close(nlp_probe *p) {
    nlp_model_close(p->model);
    nlp_session_close(p->session);
    nlp_engine_close(p->engine);
}

nlp_status nlp_probe_run(const nlp_probe *p, const char *task, const char *text,
                         const nlp_stop *stop, const nlp_output **output, nlp_error *err) {
    nlp_text input = {text, strlen(text)};
    const nlp_result *result;
    nlp_request request = {.struct_size = sizeof request,
                           .task = nlp_task_find(p->engine, task),
                           .model = p->model,
                           .texts = &input,
                           .n_inputs = 1};
    if (stop) request.stop = *stop;
    NLP_TRY(nlp_session_run(p->session, &request, &result, err));
    *output = result->outputs;
    return NLP_OK;
}

nlp_status nlp_probe_ids(const nlp_probe *p, const char *text, const nlp_stop *stop,
                         int32_t ids[NLP_PROBE_IDS], size_t *n, nlp_error *err) {
    const nlp_output *output;
    NLP_TRY(nlp_probe_run(p, "tokenize", text, stop, &output, err));
    *n = output->cells->n < NLP_PROBE_IDS ? output->cells->n : NLP_PROBE_IDS;
    memcpy(ids, output->cells->as.ids, *n * sizeof *ids);
    return NLP_OK;
}
