/* gate.c: two packs over the built-in texts. */
#include "gate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/real.h"
#include "calibration.h"
#include "probe.h"

enum { JOINED = 8 }; /* sentences of a text whose likelihood is measured */

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

/* Both packs' scores of one text. */
typedef struct reading {
    nlp_gate *gate; /* sums, until all texts are read */
    nlp_mem *mem;
    int32_t ids[NLP_PROBE_IDS];
    size_t n_ids;
    float *exact; /* [n_ids, width] of the reference; NULL: they are being read */
    size_t width;
    bool failed;
} reading;

/* ln of the sum of e to the logits. What lies 60 below the top adds less than a double can hold. */
static double log_sum(const float *logits, size_t n) {
    double top = (double)logits[0], sum = 0;
    for (size_t i = 1; i < n; i++) top = (double)logits[i] > top ? (double)logits[i] : top;
    for (size_t i = 0; i < n; i++)
        if ((double)logits[i] - top > -60) sum += nlp_exp((double)logits[i] - top);
    return sum > 0 ? nlp_log(sum) + top : (double)INFINITY;
}

/* Sum of p (ln p - ln q): by how much -ln q is larger than -ln p on texts that p writes. */
static double divergence_of(const float *p, double log_p, const float *q, double log_q, size_t n) {
    double sum = log_q - log_p;
    for (size_t i = 0; i < n; i++)
        if ((double)p[i] - log_p > -60)
            sum += nlp_exp((double)p[i] - log_p) * ((double)p[i] - (double)q[i]);
    return sum;
}

static void compare_rows(const reading *r, const float *rows, size_t n, size_t ahead) {
    nlp_gate *g = r->gate;
    for (size_t i = 0; i + ahead < n; i++) {
        const float *p = r->exact + i * r->width, *q = rows + i * r->width;
        size_t id = (size_t)r->ids[i + ahead];
        if (id >= r->width) continue; /* the output may have fewer rows than the words */
        double log_p = log_sum(p, r->width), log_q = log_sum(q, r->width);
        g->reference_loss += log_p - (double)p[id];
        g->loss += log_q - (double)q[id];
        g->divergence += divergence_of(p, log_p, q, log_q, r->width);
        g->n_tokens++;
    }
}

/* Row i of "logits" is what a decoder expects behind token i, row i of "copy" what a seq2seq expects
 * in its place; the "logits" of a seq2seq are one row, of its first step, and no part of this. */
static void on_logits(void *context, const char *point, uint32_t layer, const float *rows, size_t n,
                      size_t width) {
    reading *r = context;
    size_t ahead = !strcmp(point, "logits"), n_bytes = n * width * sizeof *rows;
    (void)layer;
    if ((!ahead && strcmp(point, "copy") != 0) || n != r->n_ids) return;
    if (r->exact) {
        compare_rows(r, rows, n, ahead);
        return;
    }
    r->width = width;
    r->exact = nlp_mem_alloc(r->mem, n_bytes);
    if (r->exact)
        memcpy(r->exact, rows, n_bytes);
    else
        r->failed = true;
}

static nlp_status read_text(const nlp_probe *a, const nlp_probe *b, const char *text,
                            const nlp_stop *stop, reading *r, nlp_error *err) {
    r->exact = NULL;
    NLP_TRY(nlp_probe_ids(a, text, stop, r->ids, &r->n_ids, err));
    if (!r->n_ids) return NLP_OK;
    nlp_status status =
        nlp_session_trace(a->session, a->model, r->ids, NULL, r->n_ids, stop, on_logits, r, err);
    if (status == NLP_OK && r->failed) status = nlp_mem_fail(r->mem, r->width, err);
    if (status == NLP_OK && r->exact)
        status = nlp_session_trace(b->session, b->model, r->ids, NULL, r->n_ids, stop, on_logits, r,
                                   err);
    nlp_mem_free(r->mem, r->exact, r->n_ids * r->width * sizeof *r->exact);
    return status;
}

/* Some sentences behind each other: most tokens should have something before them. */
static void join_texts(size_t first, char *text, size_t n_bytes) {
    size_t used = 0;
    for (size_t i = first; i < first + JOINED && i < nlp_n_gate_texts && used < n_bytes; i++)
        used += (size_t)snprintf(text + used, n_bytes - used, "%s%s", i > first ? " " : "",
                                 nlp_gate_texts[i]);
}

/* n_tokens stays 0 where the model writes nothing. The rise over one text is a matter of luck, since
 * errors of both signs cancel; the divergence can't be lucky. */
static nlp_status compare_likelihoods(const nlp_probe *a, const nlp_probe *b, const nlp_stop *stop,
                                      nlp_gate *g, nlp_error *err) {
    const double limit = 0.005;
    char text[4096];
    nlp_mem mem;
    nlp_mem_init(&mem, NULL, NULL, 0);
    reading r = {.gate = g, .mem = &mem};
    for (size_t i = 0; i < nlp_n_gate_texts; i += JOINED) {
        join_texts(i, text, sizeof text);
        NLP_TRY(read_text(a, b, text, stop, &r, err));
        if (!g->n_tokens) return NLP_OK;
    }
    g->n_texts = (uint32_t)nlp_n_gate_texts;
    g->reference_loss /= g->n_tokens, g->loss /= g->n_tokens, g->divergence /= g->n_tokens;
    g->passed = g->loss - g->reference_loss <= limit * g->reference_loss &&
                g->divergence <= limit * g->reference_loss;
    return NLP_OK;
}

/* A model that writes and has a pooling of its own has to pass as both. */
nlp_status nlp_gate_measure(const void *reference, size_t reference_bytes, const void *pack,
                            size_t pack_bytes, bool vectors, const nlp_stop *stop, nlp_gate *gate,
                            nlp_error *err) {
    nlp_probe a, b = {0};
    *gate = (nlp_gate){.min_cosine = 1};
    nlp_status status = nlp_probe_open(&a, reference, reference_bytes, stop, err);
    if (status == NLP_OK) status = nlp_probe_open(&b, pack, pack_bytes, stop, err);
    if (status == NLP_OK) status = compare_likelihoods(&a, &b, stop, gate, err);
    bool written = !gate->n_tokens || gate->passed;
    if (status == NLP_OK && (vectors || !gate->n_tokens))
        status = compare_vectors(&a, &b, stop, gate, err);
    gate->passed = gate->passed && written;
    nlp_probe_close(&a);
    nlp_probe_close(&b);
    return status;
}
