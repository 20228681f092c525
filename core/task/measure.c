/* measure.c: from the labels that texts have, and those that a model gave them, to metrics: of all,
 * of each label, and which labels were taken for which. */
#include <stdlib.h>

#include "task/task.h"

typedef struct tally {
    size_t right, predicted, actual;
} tally;

typedef struct confusion {
    uint32_t actual, predicted;
    size_t n;
} confusion;

typedef struct report {
    const nlp_outcomes *o;
    nlp_arena *arena;
    tally *tallies;        /* [n_labels] */
    confusion *confusions; /* [n_confusions] most frequent first */
    size_t n_confusions;
    nlp_metric *metrics;
    size_t n;
} report;

static double ratio(size_t part, size_t whole) {
    return whole ? (double)part / (double)whole : 0;
}

static void count(report *r) {
    for (size_t i = 0; i < r->o->n; i++) {
        uint32_t actual = r->o->actual[i], predicted = r->o->predicted[i];
        r->tallies[actual].actual++, r->tallies[predicted].predicted++;
        r->tallies[actual].right += actual == predicted;
    }
}

/* ---- Confusions ---- */

static int by_labels(const void *a, const void *b) {
    const confusion *x = a, *y = b;
    if (x->actual != y->actual) return x->actual < y->actual ? -1 : 1;
    return (x->predicted > y->predicted) - (x->predicted < y->predicted);
}

static int by_frequency(const void *a, const void *b) {
    const confusion *x = a, *y = b;
    if (x->n != y->n) return x->n > y->n ? -1 : 1;
    return by_labels(a, b);
}

/* As many as texts at most, however many pairs of labels there are. */
static void find_confusions(report *r) {
    size_t n = 0, n_pairs = 0;
    confusion *c = r->confusions;
    for (size_t i = 0; i < r->o->n; i++)
        if (r->o->actual[i] != r->o->predicted[i])
            c[n++] = (confusion){r->o->actual[i], r->o->predicted[i], 1};
    if (n) qsort(c, n, sizeof *c, by_labels);
    for (size_t i = 0; i < n; i++) {
        if (n_pairs && !by_labels(&c[n_pairs - 1], &c[i]))
            c[n_pairs - 1].n++;
        else
            c[n_pairs++] = c[i];
    }
    if (n_pairs) qsort(c, n_pairs, sizeof *c, by_frequency);
    r->n_confusions = n_pairs < NLP_MAX_CONFUSIONS ? n_pairs : NLP_MAX_CONFUSIONS;
}

/* ---- Rows ---- */

static void add(report *r, const char *name, double value) {
    r->metrics[r->n++] = (nlp_metric){name, value};
}

static void add_of(report *r, const char *name, nlp_text label, double value) {
    add(r, nlp_arena_format(r->arena, "%s:%.*s", name, (int)label.n_bytes, label.bytes), value);
}

/* The mean is over labels that occur: one without texts has no F1. */
static void add_summary(report *r) {
    size_t right = 0, n_labels = 0;
    double f1 = 0;
    for (uint32_t c = 0; c < r->o->n_labels; c++) {
        const tally *t = &r->tallies[c];
        right += t->right;
        f1 += ratio(2 * t->right, t->predicted + t->actual);
        n_labels += t->predicted + t->actual > 0;
    }
    add(r, "accuracy", ratio(right, r->o->n));
    add(r, "macro_f1", n_labels ? f1 / (double)n_labels : 0);
    for (size_t i = 0; i < r->o->n_more; i++) add(r, r->o->more[i].name, r->o->more[i].value);
}

static void add_labels(report *r) {
    for (uint32_t c = 0; c < r->o->n_labels; c++) {
        const tally *t = &r->tallies[c];
        nlp_text label = r->o->labels[c];
        if (!(t->predicted + t->actual)) continue;
        add_of(r, "recall", label, ratio(t->right, t->actual));
        add_of(r, "precision", label, ratio(t->right, t->predicted));
        add_of(r, "f1", label, ratio(2 * t->right, t->predicted + t->actual));
        add_of(r, "support", label, (double)t->actual);
    }
}

static void add_confusions(report *r) {
    for (size_t i = 0; i < r->n_confusions; i++) {
        const confusion *c = &r->confusions[i];
        nlp_text actual = r->o->labels[c->actual], predicted = r->o->labels[c->predicted];
        add(r,
            nlp_arena_format(r->arena, "confusion:%.*s -> %.*s", (int)actual.n_bytes, actual.bytes,
                             (int)predicted.n_bytes, predicted.bytes),
            (double)c->n);
    }
}

nlp_status nlp_task_measure(const nlp_outcomes *o, nlp_arena *arena, nlp_arena *scratch,
                            nlp_metric **metrics, size_t *n_metrics, nlp_error *err) {
    report r = {.o = o, .arena = arena};
    size_t most = 2 + o->n_more + 4 * (size_t)o->n_labels + NLP_MAX_CONFUSIONS;
    r.tallies = NLP_PUSH_ZERO(scratch, tally, o->n_labels);
    r.confusions = NLP_PUSH(scratch, confusion, o->n);
    r.metrics = NLP_PUSH(arena, nlp_metric, most);
    NLP_TRY(nlp_arena_status(scratch, err));
    NLP_TRY(nlp_arena_status(arena, err));
    count(&r);
    find_confusions(&r);
    add_summary(&r);
    add_labels(&r);
    add_confusions(&r);
    *metrics = r.metrics;
    *n_metrics = r.n;
    return nlp_arena_status(arena, err);
}
