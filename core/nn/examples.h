/* examples.h: rows that are there already and their classes: what heads learn from (regression.c, mlp.c), and what their
 * ways of learning have in common. In double and in one fixed order: equal on every machine. */
#ifndef NLP_NN_EXAMPLES_H
#define NLP_NN_EXAMPLES_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/poll.h"

/* Work of a multiply-add in double, in the poll's units. */
#define NLP_DOUBLE_WORK 16

typedef struct nlp_examples {
    const float *vectors; /* [n_rows][dims] */
    size_t n_rows, dims;
    const uint32_t *classes; /* [n_rows] */
    uint32_t n_classes;
    const size_t *train; /* [n_train] numbers of the rows to learn from */
    size_t n_train;
    const size_t *held_out; /* [n_held_out] */
    size_t n_held_out;
    const double *class_weight; /* [n_classes] how much a row counts: nlp_examples_weigh */
} nlp_examples;

/* Sets class_weight: all ones, or `balanced`, where rare classes count as much as frequent ones. Memory of
 * `arena`. */
nlp_status nlp_examples_weigh(nlp_examples *e, bool balanced, nlp_arena *arena, nlp_error *err);
/* mean [dims] of the rows to learn from, each as much as it counts. Polls. */
nlp_status nlp_examples_mean(const nlp_examples *e, double *mean, nlp_poll *poll, nlp_error *err);
/* p [n_classes], one row's logits, become its share of the gradient of a mean over n rows: softmax less the right class,
 * times the row's weight. */
void nlp_examples_errors(const nlp_examples *e, size_t row, size_t n, double *p);
/* -ln of the right class's probability, by logits p, which it uses up. */
double nlp_examples_loss(const nlp_examples *e, size_t row, double *p);

/* Stopping early: after `patience` epochs without a lower loss of the held-out rows. */
typedef struct nlp_patience {
    size_t patience; /* 0: never */
    size_t best;     /* the epoch of the lowest loss */
    double lowest;
} nlp_patience;
typedef enum nlp_progress {
    NLP_PROGRESS_BEST,  /* so far: keep the weights */
    NLP_PROGRESS_WORSE, /* go on */
    NLP_PROGRESS_ENOUGH /* stop */
} nlp_progress;
/* epoch: 1, 2, ... */
nlp_progress nlp_patience_judge(nlp_patience *p, size_t epoch, double loss);

#endif
