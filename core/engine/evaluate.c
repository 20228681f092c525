/* evaluate.c: a model's labels against those that texts have, some hundreds of texts at a time. What
 * is kept of a text is two numbers of labels. It has a session of its own, as a stream does, so that
 * other calls may come between its texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "engine/engine.h"

enum { BATCH = 256, NAMED = 4, NAME_BYTES = 40 };

typedef struct known_label {
    nlp_text text;
    uint32_t number;
} known_label;

typedef struct outcome {
    uint32_t actual, predicted;
} outcome;

struct nlp_evaluation {
    nlp_session *session;
    nlp_model *model;
    const nlp_text *labels; /* [n_labels] the model's */
    uint32_t n_labels;
    known_label *known; /* [n_labels] in the order of their bytes */
    nlp_buf outcomes;
    size_t n; /* texts */
};

static const known_label *find_label(const nlp_evaluation *e, nlp_text text) {
    known_label wanted = {.text = text};
    return bsearch(&wanted, e->known, e->n_labels, sizeof wanted, nlp_text_by_bytes);
}

/* ---- Opening ---- */

static nlp_status check_model(const nlp_engine *engine, const nlp_model *model, nlp_error *err) {
    if (!model || model->engine != engine)
        return nlp_fail(err, NLP_EINVAL, "an evaluation needs a model of its engine");
    uint32_t kind = model->task.head->spec.struct_size ? model->task.head->spec.head : 0;
    if (kind >= NLP_HEAD_SEQUENCE && kind <= NLP_HEAD_VECTOR_MLP) return NLP_OK;
    nlp_fail(err, NLP_EUNSUPPORTED, "model %s has no classifier", model->name);
    nlp_hint(err, "name a classifier, or make one with nlp_fit");
    return NLP_EUNSUPPORTED;
}

static nlp_status read_labels(nlp_evaluation *e, nlp_error *err) {
    e->labels = e->model->task.labels;
    e->n_labels = e->model->task.head->spec.n_labels;
    e->known = nlp_mem_zalloc(&e->session->mem, e->n_labels * sizeof *e->known);
    if (!e->known) return nlp_mem_fail(&e->session->mem, e->n_labels * sizeof *e->known, err);
    for (uint32_t i = 0; i < e->n_labels; i++) e->known[i] = (known_label){e->labels[i], i};
    qsort(e->known, e->n_labels, sizeof *e->known, nlp_text_by_bytes);
    return NLP_OK;
}

nlp_status nlp_evaluation_open(nlp_engine *engine, nlp_model *model, nlp_evaluation **evaluation,
                               nlp_error *err) {
    nlp_session *session;
    *evaluation = NULL;
    NLP_TRY(check_model(engine, model, err));
    void *own;
    NLP_TRY(nlp_session_open_for(engine, sizeof(nlp_evaluation), &session, &own, err));
    nlp_evaluation *e = own;
    e->session = session;
    e->model = model;
    nlp_buf_init(&e->outcomes, &session->mem);
    nlp_status status = read_labels(e, err);
    if (status == NLP_OK)
        *evaluation = e;
    else
        nlp_evaluation_close(e);
    return status;
}

void nlp_evaluation_close(nlp_evaluation *e) {
    if (!e) return;
    nlp_session *session = e->session;
    nlp_buf_deinit(&e->outcomes);
    nlp_mem_free(&session->mem, e->known, e->n_labels * sizeof *e->known);
    nlp_mem_free(&session->mem, e, sizeof *e);
    nlp_session_close(session);
}

/* ---- Labels ---- */

/* Names of labels, as many as fit; a long one is cut between characters. */
typedef struct name_list {
    char text[NAMED * (NAME_BYTES + 8)];
    size_t n_bytes, n;
} name_list;

static void add_name(name_list *list, nlp_text label) {
    size_t n = nlp_utf8_fit(label, NAME_BYTES);
    list->n_bytes += (size_t)snprintf(list->text + list->n_bytes, sizeof list->text - list->n_bytes,
                                      "%s\"%.*s\"", list->n ? ", " : "", (int)n, label.bytes);
    list->n++;
}

static bool is_first(const nlp_text *labels, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (nlp_text_equal(labels[k], labels[i])) return false;
    return true;
}

static nlp_status fail_unknown(const nlp_evaluation *e, const nlp_text *labels, size_t n,
                               nlp_error *err) {
    name_list unknown = {.n = 0}, own = {.n = 0};
    for (size_t i = 0; i < n && unknown.n < NAMED; i++)
        if (!find_label(e, labels[i]) && is_first(labels, i)) add_name(&unknown, labels[i]);
    for (uint32_t i = 0; i < e->n_labels && own.n < NAMED; i++) add_name(&own, e->labels[i]);
    nlp_fail(err, NLP_EINVAL, "rows have labels that model %s does not know: %s", e->model->name,
             unknown.text);
    nlp_hint(err, "it has %u labels: %s%s", e->n_labels, own.text,
             e->n_labels > NAMED ? ", ..." : "");
    return NLP_EINVAL;
}

/* All of a batch before any of it runs. */
static nlp_status check_rows(const nlp_evaluation *e, const nlp_text *texts, const nlp_text *labels,
                             size_t n, nlp_error *err) {
    bool known = true;
    for (size_t i = 0; i < n; i++) {
        if (!texts[i].bytes || !labels[i].bytes)
            return nlp_fail(err, NLP_EINVAL, "row %zu has no text or no label", e->n + i + 1);
        known = known && find_label(e, labels[i]);
    }
    return known ? NLP_OK : fail_unknown(e, labels, n, err);
}

/* ---- Running ---- */

static nlp_status run_batch(nlp_evaluation *e, const nlp_text *texts, const nlp_text *labels,
                            size_t n, const nlp_stop *stop, nlp_error *err) {
    const nlp_result *result;
    nlp_request request = {.struct_size = sizeof request,
                           .task = nlp_task_find(e->session->engine, "classify"),
                           .model = e->model,
                           .texts = texts,
                           .n_inputs = n,
                           .stop = stop ? *stop : (nlp_stop){0}};
    NLP_TRY(check_rows(e, texts, labels, n, err));
    NLP_TRY(nlp_session_run(e->session, &request, &result, err));
    for (size_t i = 0; i < n; i++) {
        const nlp_value *cell = result->outputs[i].cells;
        outcome o = {
            .actual = find_label(e, labels[i])->number,
            .predicted = find_label(e, (nlp_text){cell->as.text, cell->n})->number,
        };
        nlp_buf_push(&e->outcomes, &o, sizeof o);
    }
    e->n += n;
    return nlp_buf_status(&e->outcomes, err);
}

nlp_status nlp_evaluation_add(nlp_evaluation *e, const nlp_text *texts, const nlp_text *labels,
                              size_t n, const nlp_stop *stop, nlp_error *err) {
    for (size_t first = 0; first < n; first += BATCH) {
        size_t some = n - first < BATCH ? n - first : BATCH;
        NLP_TRY(run_batch(e, texts + first, labels + first, some, stop, err));
    }
    return NLP_OK;
}

nlp_status nlp_evaluation_finish(nlp_evaluation *e, const nlp_metric **metrics, size_t *n_metrics,
                                 nlp_error *err) {
    nlp_session *s = e->session;
    nlp_metric *found;
    if (!e->n) return nlp_fail(err, NLP_EINVAL, "there are no rows to evaluate on");
    nlp_arena_reset(&s->arena);
    nlp_arena_reset(&s->scratch);
    uint32_t *actual = NLP_PUSH(&s->scratch, uint32_t, e->n),
             *predicted = NLP_PUSH(&s->scratch, uint32_t, e->n);
    NLP_TRY(nlp_arena_status(&s->scratch, err));
    for (size_t i = 0; i < e->n; i++) {
        outcome o;
        memcpy(&o, e->outcomes.bytes + i * sizeof o, sizeof o);
        actual[i] = o.actual, predicted[i] = o.predicted;
    }
    nlp_metric more[] = {{"classes", e->n_labels}, {"rows", (double)e->n}};
    nlp_outcomes outcomes = {e->labels, e->n_labels, actual, predicted, e->n, more, 2};
    NLP_TRY(nlp_task_measure(&outcomes, &s->arena, &s->scratch, &found, n_metrics, err));
    *metrics = found;
    return NLP_OK;
}
