/* mlp.h: a classifier with one hidden layer on rows that are there already: out(SiLU(hidden(x))). */
#ifndef NLP_NN_MLP_H
#define NLP_NN_MLP_H

#include "nn/examples.h"
#include "tensor/kernels.h"

#define NLP_MLP_ACTIVATION NLP_ACT_SILU

typedef struct nlp_mlp {
    /* given */
    const nlp_examples *e; /* weighed */
    const nlp_kernels *kernels;
    uint32_t n_hidden;
    bool center; /* learn from vectors less their mean */
    double l2;   /* of rows whose numbers have a variance of 1 */
    size_t epochs;
    size_t patience; /* as of nlp_regression */
    nlp_arena *scratch;
    /* found */
    float *hidden;   /* [n_hidden][dims + 1], the constant last */
    float *out;      /* [n_classes][n_hidden + 1], the constant last */
    size_t n_epochs; /* that made them */
    /* inner */
    struct nlp_mlp_work *work;
} nlp_mlp;

/* Weights of everything given: the same bits on every machine. Memory of `scratch`. Polls. One
 * thread. */
nlp_status nlp_mlp_train(nlp_mlp *m, nlp_poll *poll, nlp_error *err);
/* The most probable class of each of n rows, by the weights found. Polls. */
nlp_status nlp_mlp_predict(nlp_mlp *m, const size_t *rows, size_t n, uint32_t *predicted,
                           nlp_poll *poll, nlp_error *err);

#endif
