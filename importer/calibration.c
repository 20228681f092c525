/* calibration.c: channels of the products' inputs over the built-in texts. */
#include "calibration.h"

#include <math.h>
#include <string.h>

#include "probe.h"

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

/* ---- Calibration ---- */

static nlp_status trace_text(const nlp_probe *p, const char *text, const nlp_stop *stop,
                             nlp_calibration *c, nlp_error *err) {
    int32_t ids[NLP_PROBE_IDS];
    size_t n;
    NLP_TRY(nlp_probe_ids(p, text, stop, ids, &n, err));
    if (!n) return NLP_OK; /* some tokenizers give the empty text no token */
    return nlp_session_trace(p->session, p->model, ids, NULL, n, stop, on_point, c, err);
}

nlp_status nlp_calibrate(const void *pack, size_t pack_bytes, nlp_arena *arena,
                         const nlp_stop *stop, nlp_calibration *c, nlp_error *err) {
    nlp_probe p;
    *c = (nlp_calibration){.arena = arena};
    nlp_status status = nlp_probe_open(&p, pack, pack_bytes, stop, err);
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
    nlp_probe_close(&p);
    return status;
}
