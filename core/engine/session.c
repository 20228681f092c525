/* session.c: one thread of work: a request becomes a call of its task, a result lives until the
 * next one. */
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "engine/engine.h"

nlp_status nlp_session_open(nlp_engine *engine, nlp_session **session, nlp_error *err) {
    nlp_mem mem;
    nlp_mem_init(&mem, engine->alloc, engine->alloc_context, 0);
    nlp_session *s = nlp_mem_zalloc(&mem, sizeof *s);
    *session = s;
    if (!s) return nlp_mem_fail(&mem, sizeof *s, err);
    s->engine = engine;
    s->mem = mem;
    nlp_arena_init(&s->arena, &s->mem);
    nlp_arena_init(&s->scratch, &s->mem);
    nlp_arena_init(&s->work, &s->mem);
    return NLP_OK;
}

nlp_status nlp_session_open_for(nlp_engine *engine, size_t n_bytes, nlp_session **session,
                                void **object, nlp_error *err) {
    NLP_TRY(nlp_session_open(engine, session, err));
    (*session)->mem.budget_bytes = engine->max_memory;
    *object = nlp_mem_zalloc(&(*session)->mem, n_bytes);
    if (*object) return NLP_OK;
    nlp_status failed = nlp_mem_fail(&(*session)->mem, n_bytes, err);
    nlp_session_close(*session);
    return failed;
}

void nlp_session_close(nlp_session *s) {
    if (!s) return;
    nlp_arena_deinit(&s->arena);
    nlp_arena_deinit(&s->scratch);
    nlp_arena_deinit(&s->work);
    nlp_mem mem = s->mem;
    nlp_mem_free(&mem, s, sizeof *s);
}

size_t nlp_session_scratch_bytes(const nlp_session *s) {
    return s->mem.peak_bytes;
}

/* ---- Distinct inputs: equal texts are computed once, NULL texts not at all ---- */

typedef struct distinct {
    nlp_text *texts; /* [n][n_operands] */
    nlp_value *ids;  /* [n] or NULL */
    size_t n;
    size_t *index; /* [n_inputs] into them; SIZE_MAX for a NULL input */
} distinct;

static bool same_texts(const nlp_text *a, const nlp_text *b, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (!nlp_text_equal(a[i], b[i])) return false;
    return true;
}

static bool any_null(const nlp_text *texts, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (!texts[i].bytes) return true;
    return false;
}

static uint64_t hash_texts(const nlp_text *texts, uint32_t n) {
    uint64_t hash = 0;
    for (uint32_t i = 0; i < n; i++)
        hash = hash * 31 + nlp_hash_bytes(texts[i].bytes, texts[i].n_bytes);
    return hash;
}

/* Open addressing over the distinct inputs so far: slots hold index + 1. */
static void find_distinct(const nlp_request *r, uint32_t n_operands, uint32_t *slots,
                          size_t n_slots, distinct *d) {
    for (size_t i = 0; i < r->n_inputs; i++) {
        const nlp_text *texts = r->texts + i * n_operands;
        d->index[i] = SIZE_MAX;
        if (any_null(texts, n_operands)) continue;
        size_t slot = hash_texts(texts, n_operands) & (n_slots - 1);
        while (slots[slot] &&
               !same_texts(d->texts + (slots[slot] - 1) * n_operands, texts, n_operands))
            slot = (slot + 1) & (n_slots - 1);
        if (!slots[slot]) {
            memcpy(d->texts + d->n * n_operands, texts, n_operands * sizeof *texts);
            slots[slot] = (uint32_t)++d->n;
        }
        d->index[i] = slots[slot] - 1;
    }
}

/* Rows of a table repeat themselves ("ok", "n/a", one label a thousand times): what is equal is
 * computed once. */
static nlp_status make_distinct(nlp_session *s, const nlp_request *r, distinct *d, nlp_error *err) {
    uint32_t n_operands = r->task->n_operands;
    size_t n_slots = 16, n_texts;
    if (r->n_inputs > UINT32_MAX / 4 || nlp_mul_overflows(r->n_inputs, n_operands, &n_texts))
        return nlp_fail(err, NLP_ELIMIT, "%zu texts in one call are too many", r->n_inputs);
    while (n_slots < 2 * r->n_inputs) n_slots *= 2;
    *d = (distinct){.index = NLP_PUSH(&s->scratch, size_t, r->n_inputs),
                    .texts = NLP_PUSH(&s->scratch, nlp_text, n_texts)};
    uint32_t *slots = NLP_PUSH_ZERO(&s->scratch, uint32_t, n_slots);
    NLP_TRY(nlp_arena_status(&s->scratch, err));
    if (r->task->operands[0].type == NLP_TYPE_IDS) {
        for (size_t i = 0; i < r->n_inputs; i++) d->index[i] = i;
        d->n = r->n_inputs;
        return NLP_OK;
    }
    find_distinct(r, n_operands, slots, n_slots, d);
    return NLP_OK;
}

/* A NULL input: one row of NULL values for a scalar task, no rows for a table. */
static nlp_output null_output(const nlp_task_spec *task, const nlp_value *nulls) {
    return (nlp_output){
        .n_rows = task->returns_rows ? 0 : 1, .cells = nulls, .score = __builtin_nan("")};
}

/* Results go back to input order; equal inputs share the cells of the one that was computed. */
static nlp_status fan_out(nlp_session *s, const nlp_request *r, const distinct *d,
                          const nlp_output *computed, nlp_error *err) {
    nlp_output *outputs = NLP_PUSH(&s->arena, nlp_output, r->n_inputs);
    nlp_value *nulls = NLP_PUSH_ZERO(&s->arena, nlp_value, r->task->n_columns);
    NLP_TRY(nlp_arena_status(&s->arena, err));
    size_t n_texts = 0;
    s->result = (nlp_result){.n_inputs = r->n_inputs, .outputs = outputs};
    for (size_t i = 0; i < r->n_inputs; i++) {
        outputs[i] = d->index[i] == SIZE_MAX ? null_output(r->task, nulls) : computed[d->index[i]];
        if (outputs[i].status != NLP_OK)
            outputs[i].cells = nulls, outputs[i].n_rows = r->task->returns_rows ? 0 : 1;
        s->result.n_tokens += outputs[i].n_tokens;
        s->result.n_truncated += outputs[i].truncated;
        n_texts += d->index[i] != SIZE_MAX;
    }
    s->result.n_reused = n_texts - d->n;
    return NLP_OK;
}

/* ---- Running ---- */

/* A model of another engine lies under another lock. */
static nlp_status check_request(const nlp_session *s, const nlp_request *r,
                                const nlp_task_vtable **task, nlp_error *err) {
    *task = r->task ? nlp_registry_find(s->engine, r->task) : NULL;
    if (!*task || !r->model || r->model->engine != s->engine)
        return nlp_fail(err, NLP_EINVAL,
                        "a request needs a task and a model of the session's own engine");
    if (r->n_inputs && (r->task->operands[0].type == NLP_TYPE_IDS ? !r->ids : !r->texts))
        return nlp_fail(err, NLP_EINVAL, "a request of %zu inputs has none", r->n_inputs);
    return NLP_OK;
}

/* The task sees the distinct inputs only. */
static nlp_status run_call(nlp_session *s, nlp_task_call *call, const nlp_task_vtable *task,
                           const nlp_request *r, nlp_error *err) {
    distinct d = {0};
    nlp_request own = *r;
    NLP_TRY(make_distinct(s, r, &d, err));
    nlp_output *computed = NLP_PUSH_ZERO(&s->scratch, nlp_output, d.n + 1);
    NLP_TRY(nlp_arena_status(&s->scratch, err));
    for (size_t i = 0; i < d.n; i++) computed[i].score = __builtin_nan("");
    own.texts = d.texts;
    own.n_inputs = d.n;
    if (d.n) NLP_TRY(task->run_batch(call, &own, computed, err));
    return fan_out(s, r, &d, computed, err);
}

void nlp_session_count(nlp_engine *engine, const nlp_counters *own, size_t n_inputs,
                       nlp_status status) {
    nlp_mutex_lock(&engine->lock);
    engine->counters.calls++;
    engine->counters.inputs += n_inputs;
    engine->counters.forward_passes += own->forward_passes;
    engine->counters.tokens += own->tokens;
    engine->counters.truncated += own->truncated;
    engine->counters.unknown_tokens += own->unknown_tokens;
    engine->counters.errors += status != NLP_OK && status != NLP_ECANCELED;
    engine->counters.canceled += status == NLP_ECANCELED;
    nlp_mutex_unlock(&engine->lock);
}

/* What a base level CPU does in a millisecond is a 64th of what AVX2 does, so it polls after
 * less work. */
nlp_poll nlp_session_begin(nlp_session *s, const nlp_stop *stop) {
    nlp_poll poll;
    nlp_poll_init(&poll, stop, (uint64_t)1 << (s->engine->kernels->level ? 24 : 18));
    s->mem.budget_bytes = s->engine->max_memory;
    nlp_arena_reset(&s->arena);
    nlp_arena_reset(&s->scratch);
    nlp_arena_reset(&s->work);
    return poll;
}

nlp_task_call nlp_session_call(nlp_session *s, const nlp_stop *stop, nlp_call_parts *parts) {
    *parts = (nlp_call_parts){.poll = nlp_session_begin(s, stop)};
    return (nlp_task_call){.options = &parts->options,
                           .kernels = s->engine->kernels,
                           .arena = &s->arena,
                           .scratch = &s->scratch,
                           .work = &s->work,
                           .cache = &parts->words,
                           .workers = s->engine->workers,
                           .threads = s->engine->threads,
                           .poll = &parts->poll,
                           .counters = &parts->counters};
}

/* The only door to a task. Results stay in the session's arena until its next run. */
nlp_status nlp_session_run(nlp_session *s, const nlp_request *request, const nlp_result **result,
                           nlp_error *err) {
    nlp_call_parts parts;
    const nlp_task_vtable *task;
    uint64_t saved = nlp_fp_enter();
    nlp_task_call call = nlp_session_call(s, &request->stop, &parts);
    nlp_status status = check_request(s, request, &task, err);
    if (status == NLP_OK)
        status = nlp_task_options_read(request->task, request->options, request->n_options,
                                       &parts.options, err);
    if (status == NLP_OK) {
        call.model = &request->model->task;
        status = run_call(s, &call, task, request, err);
    }
    nlp_session_count(s->engine, &parts.counters, request->n_inputs, status);
    nlp_arena_reset(&s->scratch); /* a session that waits keeps little */
    nlp_fp_restore(saved);
    *result = status == NLP_OK ? &s->result : NULL;
    return status;
}

/* ---- Fitting ---- */

static nlp_status run_fit(nlp_session *s, nlp_task_call *call, nlp_fit_job *job, nlp_error *err) {
    NLP_TRY(nlp_fit_prepare(job, call->poll, err));
    float *vectors;
    nlp_output *outputs = NLP_PUSH_ZERO(&s->scratch, nlp_output, job->n);
    NLP_TRY(nlp_arena_status(&s->scratch, err));
    NLP_TRY(nlp_task_embed_all(call, job->texts, job->n, &vectors, &job->dims, outputs, err));
    job->vectors = vectors;
    return nlp_fit_run(job, call->poll, err);
}

/* A head on a head would have two bases, and a digest names one. */
nlp_status nlp_fit_check_base(const nlp_model *base, nlp_error *err) {
    if (!base->base) return NLP_OK;
    return nlp_fail(err, NLP_EINVAL, "model %s is a task pack itself; a base is needed",
                    base->name);
}

nlp_status nlp_session_fit(nlp_session *s, nlp_model *base, nlp_fit_job *job, const nlp_stop *stop,
                           nlp_error *err) {
    nlp_call_parts parts;
    NLP_TRY(nlp_fit_check_base(base, err));
    uint64_t saved = nlp_fp_enter();
    nlp_task_call call = nlp_session_call(s, stop, &parts);
    call.model = &base->task;
    job->base_name = base->name;
    job->base_digest = base->pack.header->digest;
    job->kernels = call.kernels;
    job->arena = &s->arena;
    job->scratch = &s->scratch;
    nlp_status status =
        nlp_task_options_read(nlp_task_find(s->engine, "embed"), NULL, 0, &parts.options, err);
    if (status == NLP_OK) status = run_fit(s, &call, job, err);
    nlp_session_count(s->engine, &parts.counters, job->n, status);
    nlp_fp_restore(saved);
    return status;
}

nlp_status nlp_fit(nlp_session *s, nlp_model *base, const char *name, const nlp_text *texts,
                   const nlp_text *labels, size_t n, const nlp_option *options, size_t n_options,
                   const nlp_stop *stop, nlp_fit_result *result, nlp_error *err) {
    nlp_fit_job job = {.name = name,
                       .texts = texts,
                       .labels = labels,
                       .n = n,
                       .options = options,
                       .n_options = n_options};
    *result = (nlp_fit_result){0};
    NLP_TRY(nlp_session_fit(s, base, &job, stop, err));
    *result = (nlp_fit_result){.pack = job.pack,
                               .pack_bytes = job.pack_bytes,
                               .metrics = job.metrics,
                               .n_metrics = job.n_metrics};
    return NLP_OK;
}
