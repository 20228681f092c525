/* calibration.c: the importer's own use of the engine. */
#include "calibration.h"

#include <math.h>
#include <string.h>

const char *const nlp_calibration_points[NLP_CALIBRATED_PRODUCTS] = {
    "attention.qkv", "attention.out", "ffn.up", "ffn.down"};
static const char *const trace_points[NLP_CALIBRATED_PRODUCTS] = {"qkv", "attention.out", "ffn.up",
                                                                  "ffn.down"};

static bool start_stats(nlp_calibration *c, nlp_channel_stats *s, size_t width) {
    if (s->width) return s->width == width;
    s->width = width;
    s->top = NLP_PUSH_ZERO(c->arena, float, width);
    s->highest = NLP_PUSH_ZERO(c->arena, float, width);
    s->sum = NLP_PUSH_ZERO(c->arena, double, width);
    return s->top && s->highest && s->sum;
}

static void add_rows(nlp_channel_stats *s, const float *rows, size_t n_rows) {
    for (size_t r = 0; r < n_rows; r++, rows += s->width)
        for (size_t i = 0; i < s->width; i++) {
            float size = fabsf(rows[i]);
            s->top[i] = size > s->top[i] ? size : s->top[i];
            s->highest[i] = rows[i] > s->highest[i] ? rows[i] : s->highest[i];
            s->sum[i] += (double)rows[i];
        }
    s->n_rows += n_rows;
}

static void on_point(void *context, const char *point, uint32_t layer, const float *rows,
                     size_t n_rows, size_t width) {
    nlp_calibration *c = context;
    for (size_t p = 0; p < NLP_CALIBRATED_PRODUCTS; p++) {
        if (strcmp(point, trace_points[p])) continue;
        nlp_channel_stats *s = &c->stats[layer * NLP_CALIBRATED_PRODUCTS + p];
        if (start_stats(c, s, width))
            add_rows(s, rows, n_rows);
        else
            c->failed = true;
    }
}

/* ---- A model in memory ---- */

typedef struct probe {
    nlp_engine *engine;
    nlp_session *session;
    nlp_model *model;
} probe;

static nlp_status probe_open(probe *p, const void *pack, size_t pack_bytes, const nlp_stop *stop,
                             nlp_error *err) {
    nlp_engine_options options;
    *p = (probe){0};
    nlp_engine_options_init(&options);
    NLP_TRY(nlp_engine_open(&options, &p->engine, err));
    NLP_TRY(nlp_session_open(p->engine, &p->session, err));
    return nlp_model_open_bytes(p->engine, "import", pack, pack_bytes, stop, &p->model, err);
}

static void probe_close(probe *p) {
    nlp_model_close(p->model);
    nlp_session_close(p->session);
    nlp_engine_close(p->engine);
}

static nlp_status run(const probe *p, const char *task, const char *text, const nlp_stop *stop,
                      const nlp_output **output, nlp_error *err) {
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

/* ---- Calibration ---- */

static nlp_status trace_text(const probe *p, const char *text, const nlp_stop *stop,
                             nlp_calibration *c, nlp_error *err) {
    enum { MAX_IDS = 512 };
    const nlp_output *output;
    int32_t ids[MAX_IDS];
    NLP_TRY(run(p, "tokenize", text, stop, &output, err));
    size_t n = output->cells->n < MAX_IDS ? output->cells->n : MAX_IDS;
    if (!n) return NLP_OK; /* some tokenizers give the empty text no token */
    memcpy(ids, output->cells->as.ids, n * sizeof *ids);
    return nlp_session_trace(p->session, p->model, ids, NULL, n, stop, on_point, c, err);
}

nlp_status nlp_calibrate(const void *pack, size_t pack_bytes, nlp_arena *arena,
                         const nlp_stop *stop, nlp_calibration *c, nlp_error *err) {
    probe p;
    *c = (nlp_calibration){.arena = arena};
    nlp_status status = probe_open(&p, pack, pack_bytes, stop, err);
    if (status == NLP_OK) {
        nlp_model_info info = {.struct_size = sizeof info};
        nlp_model_get_info(p.model, &info);
        c->n_layers = info.layers;
        c->stats =
            NLP_PUSH_ZERO(arena, nlp_channel_stats, (size_t)info.layers * NLP_CALIBRATED_PRODUCTS);
        status = nlp_arena_status(arena, err);
    }
    for (size_t i = 0; i < nlp_n_calibration_texts && status == NLP_OK; i++)
        status = trace_text(&p, nlp_calibration_texts[i], stop, c, err);
    if (status == NLP_OK && c->failed) status = nlp_arena_status(arena, err);
    probe_close(&p);
    return status;
}

/* ---- Gate ---- */

static nlp_status compare(const probe *a, const probe *b, const char *text, const nlp_stop *stop,
                          double *cosine, nlp_error *err) {
    const nlp_output *x, *y;
    *cosine = 1;
    NLP_TRY(run(a, "tokenize", text, stop, &x, err));
    if (!x->cells->n) return NLP_OK; /* nothing to compare */
    NLP_TRY(run(a, "embed", text, stop, &x, err));
    NLP_TRY(run(b, "embed", text, stop, &y, err));
    return nlp_vector_cosine(x->cells->as.vector, x->cells->n, y->cells->as.vector, y->cells->n,
                             cosine, err);
}

/* Adds the cosines of some texts to a sum and keeps the least. */
static nlp_status compare_all(const probe *a, const probe *b, const char *const *texts, size_t n,
                              const nlp_stop *stop, double *sum, nlp_gate *gate, nlp_error *err) {
    for (size_t i = 0; i < n; i++) {
        double cosine;
        NLP_TRY(compare(a, b, texts[i], stop, &cosine, err));
        *sum += cosine;
        if (cosine < gate->min_cosine) gate->min_cosine = cosine;
        gate->n_texts++;
    }
    return NLP_OK;
}

/* The mean is over plain sentences, since that is what users send; the least over all, the odd
 * ones among them. */
nlp_status nlp_gate_measure(const void *reference, size_t reference_bytes, const void *pack,
                            size_t pack_bytes, const nlp_stop *stop, nlp_gate *gate,
                            nlp_error *err) {
    probe a, b = {0};
    double plain = 0, odd = 0;
    *gate = (nlp_gate){.min_cosine = 1};
    nlp_status status = probe_open(&a, reference, reference_bytes, stop, err);
    if (status == NLP_OK) status = probe_open(&b, pack, pack_bytes, stop, err);
    if (status == NLP_OK)
        status = compare_all(&a, &b, nlp_gate_texts, nlp_n_gate_texts, stop, &plain, gate, err);
    if (status == NLP_OK)
        status = compare_all(&a, &b, nlp_calibration_texts, nlp_n_calibration_texts, stop, &odd,
                             gate, err);
    probe_close(&a);
    probe_close(&b);
    gate->mean_cosine = plain / (double)nlp_n_gate_texts;
    gate->passed = gate->mean_cosine >= 0.998 && gate->min_cosine >= 0.99;
    return status;
}
