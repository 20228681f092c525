/* regression.h: multinomial logistic regression on rows that are there already. */
#ifndef NLP_NN_REGRESSION_H
#define NLP_NN_REGRESSION_H

#include "nn/examples.h"

enum { NLP_REGRESSION_BLOCK = 4 }; /* rows that go through the weights together */

typedef struct nlp_regression {
    /* given */
    const nlp_examples *e; /* weighed */
    /* learn from vectors less their mean: the same optimum in a fraction of the epochs, since a mean
     * that all vectors share makes every step short */
    bool center;
    double l2;
    size_t epochs;
    /* 0: all epochs; else so many without a lower loss of the held-out rows end it, and the weights of
     * the lowest stay */
    size_t patience;
    nlp_arena *scratch;
    /* found */
    double *w;       /* [n_classes][dims + 1], the constant last */
    size_t n_epochs; /* that made them */
    /* inner */
    double *ahead, *gradient, step, *best;
    double *mean, constant; /* [dims] what comes off a vector, and what stands behind it */
    double *x; /* [NLP_REGRESSION_BLOCK][dims + 1] rows of a block, each with its constant */
    double *p; /* [NLP_REGRESSION_BLOCK][n_classes] */
} nlp_regression;

/* Weights of everything given: the same bits on every machine. Memory of `scratch`. Polls. One
 * thread. */
nlp_status nlp_regression_train(nlp_regression *r, nlp_poll *poll, nlp_error *err);
/* The most probable class of each of n rows, by the weights found. Polls. */
nlp_status nlp_regression_predict(nlp_regression *r, const size_t *rows, size_t n,
                                  uint32_t *predicted, nlp_poll *poll, nlp_error *err);

#endif
