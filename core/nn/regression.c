/* regression.c: multinomial logistic regression by accelerated full-batch gradient steps of a fixed
 * length (Nesterov 1983; the step is 1 / L with L from the rows, so no line search is needed), in double and in one fixed order: the same rows give the same weights on every machine.
 * Rows go through the weights four at a time, so that a weight is loaded once for four of them; the
 * order of the sums is that of one row after the other. */
#include "nn/regression.h"

#include <math.h>
#include <string.h>

#include "base/pair.h"

enum { BLOCK = NLP_REGRESSION_BLOCK, LANES = 4 };

static size_t width_of(const nlp_regression *r) {
    return r->e->dims + 1;
}

/* Fewer than a whole block: the rest is zeros, which add nothing to any sum. */
static void load_block(const nlp_regression *r, const size_t *rows, size_t n) {
    memset(r->x, 0, BLOCK * width_of(r) * sizeof *r->x);
    for (size_t k = 0; k < n; k++) {
        const float *from = r->e->vectors + rows[k] * r->e->dims;
        double *to = r->x + k * width_of(r);
        for (size_t i = 0; i < r->e->dims; i++) to[i] = (double)from[i] - r->mean[i];
        to[r->e->dims] = r->constant;
    }
}

/* One class for all rows of the block, each in four lanes. */
static void dot_block(const nlp_regression *r, const double *w, double *dots) {
    size_t width = width_of(r), i = 0;
    const double *x0 = r->x, *x1 = x0 + width, *x2 = x1 + width, *x3 = x2 + width;
    nlp_pair a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
    for (; i + LANES <= r->e->dims; i += LANES) {
        nlp_pair a = NLP_PAIR_AT(w + i), b = NLP_PAIR_AT(w + i + 2);
        a0 += a * NLP_PAIR_AT(x0 + i), b0 += b * NLP_PAIR_AT(x0 + i + 2);
        a1 += a * NLP_PAIR_AT(x1 + i), b1 += b * NLP_PAIR_AT(x1 + i + 2);
        a2 += a * NLP_PAIR_AT(x2 + i), b2 += b * NLP_PAIR_AT(x2 + i + 2);
        a3 += a * NLP_PAIR_AT(x3 + i), b3 += b * NLP_PAIR_AT(x3 + i + 2);
    }
    double lanes[BLOCK][LANES] = {{a0[0], a0[1], b0[0], b0[1]},
                                  {a1[0], a1[1], b1[0], b1[1]},
                                  {a2[0], a2[1], b2[0], b2[1]},
                                  {a3[0], a3[1], b3[0], b3[1]}};
    for (size_t l = 0; i < r->e->dims; i++, l++)
        for (size_t k = 0; k < BLOCK; k++) lanes[k][l] += w[i] * x0[k * width + i];
    for (size_t k = 0; k < BLOCK; k++)
        dots[k] =
            (lanes[k][0] + lanes[k][1]) + (lanes[k][2] + lanes[k][3]) + w[r->e->dims] * r->constant;
}

static nlp_status logits_of_block(const nlp_regression *r, const double *w, nlp_poll *poll,
                                  nlp_error *err) {
    double dots[BLOCK];
    for (uint32_t c = 0; c < r->e->n_classes; c++) {
        dot_block(r, w + c * width_of(r), dots);
        for (size_t k = 0; k < BLOCK; k++) r->p[k * r->e->n_classes + c] = dots[k];
        NLP_TRY(nlp_poll_work(poll, NLP_DOUBLE_WORK * BLOCK * width_of(r), err));
    }
    return NLP_OK;
}

/* From logits to each row's share of the gradient. */
static void errors_of_block(const nlp_regression *r, const size_t *rows, size_t n) {
    memset(r->p + n * r->e->n_classes, 0, (BLOCK - n) * r->e->n_classes * sizeof *r->p);
    for (size_t k = 0; k < n; k++)
        nlp_examples_errors(r->e, rows[k], r->e->n_train, r->p + k * r->e->n_classes);
}

static nlp_status add_block(nlp_regression *r, nlp_poll *poll, nlp_error *err) {
    size_t width = width_of(r), n = r->e->n_classes;
    const double *x0 = r->x, *x1 = x0 + width, *x2 = x1 + width, *x3 = x2 + width;
    for (uint32_t c = 0; c < n; c++) {
        double *restrict g = r->gradient + c * width;
        double d0 = r->p[c], d1 = r->p[n + c], d2 = r->p[2 * n + c], d3 = r->p[3 * n + c];
        for (size_t i = 0; i < width; i++)
            g[i] = (((g[i] + d0 * x0[i]) + d1 * x1[i]) + d2 * x2[i]) + d3 * x3[i];
        NLP_TRY(nlp_poll_work(poll, NLP_DOUBLE_WORK * BLOCK * width, err));
    }
    return NLP_OK;
}

/* gradient = mean over the rows of (p - y) x, plus l2 w (the constant's weight is not regularised). */
static nlp_status find_gradient(nlp_regression *r, nlp_poll *poll, nlp_error *err) {
    size_t n_weights = r->e->n_classes * width_of(r);
    memset(r->gradient, 0, n_weights * sizeof *r->gradient);
    for (size_t first = 0; first < r->e->n_train; first += BLOCK) {
        size_t n = r->e->n_train - first < BLOCK ? r->e->n_train - first : BLOCK;
        load_block(r, r->e->train + first, n);
        NLP_TRY(logits_of_block(r, r->ahead, poll, err));
        errors_of_block(r, r->e->train + first, n);
        NLP_TRY(add_block(r, poll, err));
    }
    for (size_t i = 0; i < n_weights; i++)
        if ((i + 1) % width_of(r)) r->gradient[i] += r->l2 * r->ahead[i];
    return NLP_OK;
}

/* ---- The length of a step: 1 / L, where the softmax's curvature is at most half of ... ---- */

/* ... the largest squared row, or ... */
static nlp_status step_of_rows(nlp_regression *r, nlp_poll *poll, nlp_error *err) {
    double largest = 0, heaviest = 0;
    for (size_t row = 0; row < r->e->n_rows; row++) {
        double squares = 0;
        for (size_t i = 0; i < r->e->dims; i++) {
            double x = (double)r->e->vectors[row * r->e->dims + i];
            squares += x * x;
        }
        squares += 1;
        largest = squares > largest ? squares : largest;
        NLP_TRY(nlp_poll_work(poll, NLP_DOUBLE_WORK * r->e->dims, err));
    }
    for (uint32_t c = 0; c < r->e->n_classes; c++)
        heaviest = r->e->class_weight[c] > heaviest ? r->e->class_weight[c] : heaviest;
    r->step = 1 / (0.5 * largest * heaviest + r->l2);
    return NLP_OK;
}

/* next = the rows' covariance times v; both [dims] */
static nlp_status multiply_covariance(const nlp_regression *r, const double *v, double *next,
                                      nlp_poll *poll, nlp_error *err) {
    memset(next, 0, r->e->dims * sizeof *next);
    for (size_t k = 0; k < r->e->n_train; k++) {
        const float *x = r->e->vectors + r->e->train[k] * r->e->dims;
        double along = 0;
        for (size_t i = 0; i < r->e->dims; i++) along += ((double)x[i] - r->mean[i]) * v[i];
        along *= r->e->class_weight[r->e->classes[r->e->train[k]]] / (double)r->e->n_train;
        for (size_t i = 0; i < r->e->dims; i++) next[i] += along * ((double)x[i] - r->mean[i]);
        NLP_TRY(nlp_poll_work(poll, NLP_DOUBLE_WORK * 2 * r->e->dims, err));
    }
    return NLP_OK;
}

/* ... the largest variance along any direction, which comes out of a fixed number of power
 * iterations, from below: hence a fifth more. The constant gets a variance of the same size. */
static nlp_status step_of_variance(nlp_regression *r, nlp_poll *poll, nlp_error *err) {
    enum { ITERATIONS = 30 };
    double *v = r->x, *next = r->x + width_of(r), variance = 0;
    for (size_t i = 0; i < r->e->dims; i++) v[i] = 1 / (double)(i + 1);
    for (int n = 0; n < ITERATIONS; n++) {
        double squares = 0;
        NLP_TRY(multiply_covariance(r, v, next, poll, err));
        for (size_t i = 0; i < r->e->dims; i++) squares += next[i] * next[i];
        variance = sqrt(squares);
        if (!(variance > 1e-12)) break; /* all rows are the same */
        for (size_t i = 0; i < r->e->dims; i++) v[i] = next[i] / variance;
    }
    if (!(variance > 1e-12)) variance = 1;
    r->constant = sqrt(variance);
    r->step = 1 / (0.5 * 1.2 * variance + r->l2);
    return NLP_OK;
}

static nlp_status find_step(nlp_regression *r, nlp_poll *poll, nlp_error *err) {
    r->constant = 1;
    if (r->center) {
        NLP_TRY(nlp_examples_mean(r->e, r->mean, poll, err));
        return step_of_variance(r, poll, err);
    }
    return step_of_rows(r, poll, err);
}

/* From weights of centred rows to weights of the rows as they are. */
static void uncenter(nlp_regression *r) {
    for (uint32_t c = 0; c < r->e->n_classes; c++) {
        double *w = r->w + c * width_of(r), shift = 0;
        for (size_t i = 0; i < r->e->dims; i++) shift += w[i] * r->mean[i];
        w[r->e->dims] = w[r->e->dims] * r->constant - shift;
    }
    memset(r->mean, 0, r->e->dims * sizeof *r->mean);
    r->constant = 1;
}

/* ---- Training ---- */

/* One step; returns the next momentum. */
static double take_step(nlp_regression *r, double momentum) {
    size_t n_weights = r->e->n_classes * width_of(r);
    double next = (1 + sqrt(1 + 4 * momentum * momentum)) / 2, carry = (momentum - 1) / next;
    for (size_t i = 0; i < n_weights; i++) {
        double w = r->ahead[i] - r->step * r->gradient[i];
        r->ahead[i] = w + carry * (w - r->w[i]);
        r->w[i] = w;
    }
    return next;
}

/* Of the held-out rows, their sum. */
static nlp_status find_loss(const nlp_regression *r, double *loss, nlp_poll *poll, nlp_error *err) {
    *loss = 0;
    for (size_t first = 0; first < r->e->n_held_out; first += BLOCK) {
        size_t n = r->e->n_held_out - first < BLOCK ? r->e->n_held_out - first : BLOCK;
        load_block(r, r->e->held_out + first, n);
        NLP_TRY(logits_of_block(r, r->w, poll, err));
        for (size_t k = 0; k < n; k++)
            *loss += nlp_examples_loss(r->e, r->e->held_out[first + k], r->p + k * r->e->n_classes);
    }
    return NLP_OK;
}

/* Until it is time to stop. */
static nlp_status take_steps(nlp_regression *r, nlp_poll *poll, nlp_error *err) {
    double momentum = 1, loss;
    size_t n_weights = r->e->n_classes * width_of(r);
    nlp_patience patience = {.patience = r->patience};
    for (size_t epoch = 1; epoch <= r->epochs; epoch++) {
        NLP_TRY(find_gradient(r, poll, err));
        momentum = take_step(r, momentum);
        if (!r->patience) continue;
        NLP_TRY(find_loss(r, &loss, poll, err));
        nlp_progress progress = nlp_patience_judge(&patience, epoch, loss);
        if (progress == NLP_PROGRESS_BEST) memcpy(r->best, r->w, n_weights * sizeof *r->w);
        if (progress == NLP_PROGRESS_ENOUGH) break;
    }
    r->n_epochs = r->patience ? patience.best : r->epochs;
    if (r->patience) r->w = r->best;
    return NLP_OK;
}

nlp_status nlp_regression_train(nlp_regression *r, nlp_poll *poll, nlp_error *err) {
    size_t n_weights = r->e->n_classes * width_of(r);
    r->w = NLP_PUSH_ZERO(r->scratch, double, n_weights);
    r->ahead = NLP_PUSH_ZERO(r->scratch, double, n_weights);
    r->gradient = NLP_PUSH(r->scratch, double, n_weights);
    r->best = NLP_PUSH(r->scratch, double, r->patience ? n_weights : 0);
    r->mean = NLP_PUSH_ZERO(r->scratch, double, r->e->dims);
    r->x = NLP_PUSH(r->scratch, double, BLOCK *width_of(r));
    r->p = nlp_arena_push(r->scratch, r->e->n_classes, BLOCK * sizeof *r->p);
    NLP_TRY(nlp_arena_status(r->scratch, err));
    NLP_TRY(find_step(r, poll, err));
    NLP_TRY(take_steps(r, poll, err));
    if (r->center) uncenter(r);
    return NLP_OK;
}

nlp_status nlp_regression_predict(nlp_regression *r, const size_t *rows, size_t n_rows,
                                  uint32_t *predicted, nlp_poll *poll, nlp_error *err) {
    for (size_t first = 0; first < n_rows; first += BLOCK) {
        size_t n = n_rows - first < BLOCK ? n_rows - first : BLOCK;
        load_block(r, rows + first, n);
        NLP_TRY(logits_of_block(r, r->w, poll, err));
        for (size_t k = 0; k < n; k++) {
            const double *p = r->p + k * r->e->n_classes;
            uint32_t best = 0;
            for (uint32_t c = 1; c < r->e->n_classes; c++)
                if (p[c] > p[best]) best = c;
            predicted[first + k] = best;
        }
    }
    return NLP_OK;
}
