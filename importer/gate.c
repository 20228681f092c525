/* gate.c: two packs over the built-in texts. */
#include "gate.h"

#include <math.h>
#include <string.h>

#include "calibration.h"
#include "numeric.h"
#include "probe.h"

/* ---- Vectors ---- */

static nlp_status compare(const nlp_probe *a, const nlp_probe *b, const char *text,
                          const nlp_stop *stop, double *cosine, nlp_error *err) {
    const nlp_output *x, *y;
    *cosine = 1;
    NLP_TRY(nlp_probe_run(a, "tokenize", text, stop, &x, err));
    if (!x->cells->n) return NLP_OK; /* nothing to compare */
    NLP_TRY(nlp_probe_run(a, "embed", text, stop, &x, err));
    NLP_TRY(nlp_probe_run(b, "embed", text, stop, &y, err));
    return nlp_vector_cosine(x->cells->as.vector, x->cells->n, y->cells->as.vector, y->cells->n,
                             cosine, err);
}

/* Adds the cosines of some texts to a sum and keeps the least. */
static nlp_status compare_all(const nlp_probe *a, const nlp_probe *b, const char *const *texts,
                              size_t n, const nlp_stop *stop, double *sum, nlp_gate *gate,
                              nlp_error *err) {
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
static nlp_status compare_vectors(const nlp_probe *a, const nlp_probe *b, const nlp_stop *stop,
                                  nlp_gate *gate, nlp_error *err) {
    double plain = 0, odd = 0;
    NLP_TRY(compare_all(a, b, nlp_gate_texts, nlp_n_gate_texts, stop, &plain, gate, err));
    NLP_TRY(
        compare_all(a, b, nlp_calibration_texts, nlp_n_calibration_texts, stop, &odd, gate, err));
    gate->mean_cosine = plain / (double)nlp_n_gate_texts;
    gate->passed = gate->mean_cosine >= 0.998 && gate->min_cosine >= 0.99;
    return NLP_OK;
}

/* ---- Next tokens ---- */

/* The loss of one text, gathered while it is traced. */
typedef struct reading {
    int32_t ids[NLP_PROBE_IDS];
    size_t n_ids, n; /* n: tokens that were given a likelihood */
    double loss;     /* sum of -ln p */
} reading;

/* -ln of the softmax at `id`. What lies 60 below the top adds less than a double can hold. */
static double loss_of(const float *logits, size_t n, size_t id) {
    double top = (double)logits[0], sum = 0;
    for (size_t i = 1; i < n; i++) top = (double)logits[i] > top ? (double)logits[i] : top;
    for (size_t i = 0; i < n; i++)
        if ((double)logits[i] - top > -60) sum += nlp_exp((double)logits[i] - top);
    return sum > 0 ? nlp_ln(sum) + top - (double)logits[id] : (double)INFINITY;
}

/* Row i of "logits" is what a decoder expects behind token i, row i of "copy" what a seq2seq expects
 * in its place; the "logits" of a seq2seq are one row, of its first step, and no part of this. */
static void on_logits(void *context, const char *point, uint32_t layer, const float *rows, size_t n,
                      size_t width) {
    reading *r = context;
    size_t ahead = !strcmp(point, "logits");
    (void)layer;
    if ((!ahead && strcmp(point, "copy") != 0) || n != r->n_ids) return;
    for (size_t i = 0; i + ahead < n; i++, r->n++)
        r->loss += loss_of(rows + i * width, width, (size_t)r->ids[i + ahead]);
}

static nlp_status read_text(const nlp_probe *p, const char *text, const nlp_stop *stop, reading *r,
                            nlp_error *err) {
    NLP_TRY(nlp_probe_ids(p, text, stop, r->ids, &r->n_ids, err));
    if (!r->n_ids) return NLP_OK;
    return nlp_session_trace(p->session, p->model, r->ids, NULL, r->n_ids, stop, on_logits, r, err);
}

/* n_tokens stays 0 where the model writes nothing. */
static nlp_status compare_likelihoods(const nlp_probe *a, const nlp_probe *b, const nlp_stop *stop,
                                      nlp_gate *gate, nlp_error *err) {
    const double limit = 1.005;
    reading exact = {0}, rounded = {0};
    for (size_t i = 0; i < nlp_n_gate_texts; i++) {
        NLP_TRY(read_text(a, nlp_gate_texts[i], stop, &exact, err));
        if (!exact.n) return NLP_OK;
        NLP_TRY(read_text(b, nlp_gate_texts[i], stop, &rounded, err));
    }
    gate->n_texts = (uint32_t)nlp_n_gate_texts;
    gate->n_tokens = (uint32_t)exact.n;
    gate->reference_loss = exact.loss / (double)exact.n;
    gate->loss = rounded.loss / (double)rounded.n;
    gate->passed = gate->loss <= limit * gate->reference_loss;
    return NLP_OK;
}

nlp_status nlp_gate_measure(const void *reference, size_t reference_bytes, const void *pack,
                            size_t pack_bytes, const nlp_stop *stop, nlp_gate *gate,
                            nlp_error *err) {
    nlp_probe a, b = {0};
    *gate = (nlp_gate){.min_cosine = 1};
    nlp_status status = nlp_probe_open(&a, reference, reference_bytes, stop, err);
    if (status == NLP_OK) status = nlp_probe_open(&b, pack, pack_bytes, stop, err);
    if (status == NLP_OK) status = compare_likelihoods(&a, &b, stop, gate, err);
    if (status == NLP_OK && !gate->n_tokens) status = compare_vectors(&a, &b, stop, gate, err);
    nlp_probe_close(&a);
    nlp_probe_close(&b);
    return status;
}
