/* stream.c: a call of a task that writes, taken token by token. It has a session of its own, so that
 * other calls may come between its tokens. */
#include "engine/engine.h"

struct nlp_stream {
    nlp_session *session;
    nlp_call_parts parts;
    nlp_task_call call;
    const nlp_task_vtable *task;
    void *state;
    nlp_status status; /* of the last step */
};

static nlp_status check_request(const nlp_engine *engine, const nlp_request *r,
                                const nlp_task_vtable **task, nlp_error *err) {
    *task = r->task ? nlp_registry_find(engine, r->task) : NULL;
    if (!*task || !r->model || r->model->engine != engine || r->n_inputs != 1 || !r->texts ||
        !r->texts[0].bytes)
        return nlp_fail(err, NLP_EINVAL,
                        "a stream needs a task, a model of its engine, and one text");
    if ((*task)->struct_size <= offsetof(nlp_task_vtable, stream_next) || !(*task)->stream_open)
        return nlp_fail(err, NLP_EUNSUPPORTED, "nlp_%s does not stream", r->task->name);
    return NLP_OK;
}

static nlp_status begin(nlp_stream *s, const nlp_request *r, nlp_error *err) {
    s->call = nlp_session_call(s->session, &r->stop, &s->parts);
    s->call.model = &r->model->task;
    NLP_TRY(nlp_task_options_read(r->task, r->options, r->n_options, &s->parts.options, err));
    return s->status = s->task->stream_open(&s->call, r, &s->state, err);
}

/* Options that are texts belong to the caller: a task copies what it goes on using. */
nlp_status nlp_stream_open(nlp_engine *engine, const nlp_request *request, nlp_stream **stream,
                           nlp_error *err) {
    nlp_session *session;
    const nlp_task_vtable *task;
    void *own;
    *stream = NULL;
    NLP_TRY(check_request(engine, request, &task, err));
    NLP_TRY(nlp_session_open_for(engine, sizeof(nlp_stream), &session, &own, err));
    nlp_stream *s = own;
    s->session = session;
    s->task = task;
    uint64_t saved = nlp_fp_enter();
    nlp_status status = begin(s, request, err);
    nlp_fp_restore(saved);
    if (status == NLP_OK)
        *stream = s;
    else
        nlp_stream_close(s);
    return status;
}

nlp_status nlp_stream_next(nlp_stream *s, const nlp_stop *stop, nlp_piece *piece, nlp_error *err) {
    *piece = (nlp_piece){0};
    s->parts.poll.stop = stop ? *stop : (nlp_stop){0};
    uint64_t saved = nlp_fp_enter();
    s->status = s->task->stream_next(&s->call, s->state, piece, err);
    nlp_fp_restore(saved);
    return s->status;
}

void nlp_stream_close(nlp_stream *s) {
    if (!s) return;
    nlp_session *session = s->session;
    nlp_session_count(session->engine, &s->parts.counters, 1, s->status);
    nlp_mem_free(&session->mem, s, sizeof *s);
    nlp_session_close(session);
}
