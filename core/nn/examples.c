/* examples.c: weights of classes, the softmax's errors and losses, early stops. */
#include "nn/examples.h"

#include <math.h>
#include <string.h>

#include "base/real.h"

nlp_status nlp_examples_weigh(nlp_examples *e, bool balanced, nlp_arena *arena, nlp_error *err) {
    double *weights = NLP_PUSH_ZERO(arena, double, e->n_classes);
    NLP_TRY(nlp_arena_status(arena, err));
    for (size_t i = 0; i < e->n_train; i++) weights[e->classes[e->train[i]]]++;
    for (uint32_t c = 0; c < e->n_classes; c++) {
        double n = weights[c];
        weights[c] = balanced && n > 0 ? (double)e->n_train / (n * e->n_classes) : 1;
    }
    e->class_weight = weights;
    return NLP_OK;
}

nlp_status nlp_examples_mean(const nlp_examples *e, double *mean, nlp_poll *poll, nlp_error *err) {
    memset(mean, 0, e->dims * sizeof *mean);
    for (size_t k = 0; k < e->n_train; k++) {
        const float *x = e->vectors + e->train[k] * e->dims;
        double weight = e->class_weight[e->classes[e->train[k]]] / (double)e->n_train;
        for (size_t i = 0; i < e->dims; i++) mean[i] += weight * (double)x[i];
        NLP_TRY(nlp_poll_work(poll, NLP_DOUBLE_WORK * e->dims, err));
    }
    return NLP_OK;
}

/* e^x for x <= 0, by the series on -ln2/2 .. ln2/2: only + - * and exact scaling, so equal on every
 * machine. */
static double exp_down(double x) {
    if (x < -700) return 0;
    double n = floor(x * 1.4426950408889634 + 0.5),
           r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    double sum = 1;
    for (int i = 13; i > 0; i--) sum = 1 + sum * r / i;
    uint64_t bits = (uint64_t)(1023 + (int64_t)n) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return sum * scale;
}

static void softmax(double *p, uint32_t n) {
    double top = -INFINITY, total = 0;
    for (uint32_t c = 0; c < n; c++) top = p[c] > top ? p[c] : top;
    for (uint32_t c = 0; c < n; c++) total += p[c] = exp_down(p[c] - top);
    for (uint32_t c = 0; c < n; c++) p[c] /= total;
}

void nlp_examples_errors(const nlp_examples *e, size_t row, size_t n, double *p) {
    uint32_t class = e->classes[row];
    double weight = e->class_weight[class] / (double)n;
    softmax(p, e->n_classes);
    p[class] -= 1;
    for (uint32_t c = 0; c < e->n_classes; c++) p[c] *= weight;
}

double nlp_examples_loss(const nlp_examples *e, size_t row, double *p) {
    softmax(p, e->n_classes);
    return -nlp_log(p[e->classes[row]]);
}

/* Every sum has one order, so no last bit tips this on another machine. */
nlp_progress nlp_patience_judge(nlp_patience *p, size_t epoch, double loss) {
    if (loss < p->lowest || epoch == 1) {
        p->lowest = loss, p->best = epoch;
        return NLP_PROGRESS_BEST;
    }
    return epoch - p->best >= p->patience ? NLP_PROGRESS_ENOUGH : NLP_PROGRESS_WORSE;
}
