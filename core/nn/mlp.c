/* mlp.c: back-propagation in batches and Adam (Kingma and Ba 2014) with a rate that falls to nothing. Weights
 * begin at numbers by chance of a fixed key, and rows come in an order by chance of another, so the same
 * rows give the same weights on every machine: products and activations are those of the kernels, whose
 * bits are equal everywhere, and all the rest is + - * / and square roots, in one order. A layer's constant
 * is a weight of an input that is always 1. */
#include "nn/mlp.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "tensor/quant.h"

enum { BATCH = 64 };
enum { KEY_HIDDEN = 1, KEY_OUT = 2, KEY_ORDER = 3 }; /* of numbers by chance */
static const double RATE = 2e-3;                     /* of the first step */
static const float KEEP_MEAN = 0.9F, KEEP_SQUARE = 0.999F, TINY = 1e-8F;

typedef struct layer {
    size_t k, n;                         /* inputs, the constant included; outputs */
    float *w, *gradient, *mean, *square; /* [n][k], and of Adam */
    float *best;                         /* with patience */
} layer;

/* Rows of a batch on their way forth and back. */
typedef struct nlp_mlp_work {
    layer hidden, out;
    double *mean, scale; /* [dims] what comes off a row, and what multiplies it then */
    size_t *order;       /* [n_train] */
    float *x;            /* [BATCH][hidden.k] */
    float *sums;         /* [BATCH][hidden.n] before the activation */
    float *h;            /* [BATCH][out.k] */
    float *errors;       /* [BATCH][out.n] logits, then the loss's derivatives by them */
    float *back;         /* [BATCH][out.k] the same by h, then by the sums */
    float *turned;       /* [out.n or hidden.n][BATCH] errors of either layer, by output */
    void *panels;        /* the right side of the product at hand */
    double *p;           /* [out.n] */
    double kept_mean, kept_square; /* powers of KEEP_* */
} work;

/* ---- Products: out [m][n] = rows [m][k] times ... ---- */

static nlp_status multiply(const nlp_mlp *m, size_t n_rows, const float *rows, size_t k, size_t n,
                           float *out, nlp_poll *poll, nlp_error *err) {
    nlp_weight weight = {.dtype = NLP_F32, .k = k, .n = n, .panels = m->work->panels};
    return nlp_gemm(m->kernels, &weight, n_rows, &(nlp_rows){.f32 = rows}, NULL, out, poll, err);
}

/* ... a layer's weights, ... */
static nlp_status run_layer(const nlp_mlp *m, const layer *l, size_t n_rows, const float *rows,
                            float *out, nlp_poll *poll, nlp_error *err) {
    nlp_pack_f32(l->w, NULL, l->k, l->n, m->work->panels);
    return multiply(m, n_rows, rows, l->k, l->n, out, poll, err);
}

/* ... right [k][n] as it lies. */
static nlp_status multiply_plain(const nlp_mlp *m, size_t n_rows, const float *rows, size_t k,
                                 size_t n, const float *right, float *out, nlp_poll *poll,
                                 nlp_error *err) {
    nlp_pack_f32_rows(right, k, n, m->work->panels);
    return multiply(m, n_rows, rows, k, n, out, poll, err);
}

/* ---- Forth ---- */

static void load_rows(const nlp_mlp *m, const size_t *rows, size_t n) {
    const work *t = m->work;
    size_t dims = m->e->dims;
    for (size_t k = 0; k < n; k++) {
        const float *from = m->e->vectors + rows[k] * dims;
        float *to = t->x + k * t->hidden.k;
        for (size_t i = 0; i < dims; i++)
            to[i] = (float)(((double)from[i] - t->mean[i]) * t->scale);
        to[dims] = 1;
    }
}

/* Logits of a batch, in errors. */
static nlp_status run_forth(const nlp_mlp *m, const size_t *rows, size_t n, nlp_poll *poll,
                            nlp_error *err) {
    const work *t = m->work;
    size_t n_hidden = m->n_hidden;
    load_rows(m, rows, n);
    NLP_TRY(run_layer(m, &t->hidden, n, t->x, t->sums, poll, err));
    for (size_t k = 0; k < n; k++) {
        float *h = t->h + k * t->out.k;
        memcpy(h, t->sums + k * n_hidden, n_hidden * sizeof *h);
        m->kernels->activate(h, n_hidden, NLP_MLP_ACTIVATION);
        h[n_hidden] = 1;
    }
    return run_layer(m, &t->out, n, t->h, t->errors, poll, err);
}

static double *logits_of(const nlp_mlp *m, size_t k) {
    const work *t = m->work;
    for (size_t c = 0; c < t->out.n; c++) t->p[c] = (double)t->errors[k * t->out.n + c];
    return t->p;
}

static uint64_t work_of_softmax(const nlp_mlp *m) {
    return NLP_DOUBLE_WORK * (uint64_t)m->work->out.n * 16;
}

/* Of the held-out rows, their sum. */
static nlp_status find_loss(const nlp_mlp *m, double *loss, nlp_poll *poll, nlp_error *err) {
    const nlp_examples *e = m->e;
    *loss = 0;
    for (size_t first = 0; first < e->n_held_out; first += BATCH) {
        size_t n = e->n_held_out - first < BATCH ? e->n_held_out - first : BATCH;
        NLP_TRY(run_forth(m, e->held_out + first, n, poll, err));
        for (size_t k = 0; k < n; k++) {
            *loss += nlp_examples_loss(e, e->held_out[first + k], logits_of(m, k));
            NLP_TRY(nlp_poll_work(poll, work_of_softmax(m), err));
        }
    }
    return NLP_OK;
}

/* ---- And back ---- */

/* From logits to derivatives; turned too. */
static nlp_status find_errors(const nlp_mlp *m, const size_t *rows, size_t n, nlp_poll *poll,
                              nlp_error *err) {
    const work *t = m->work;
    for (size_t k = 0; k < n; k++) {
        double *p = logits_of(m, k);
        nlp_examples_errors(m->e, rows[k], n, p);
        for (size_t c = 0; c < t->out.n; c++)
            t->turned[c * n + k] = t->errors[k * t->out.n + c] = (float)p[c];
        NLP_TRY(nlp_poll_work(poll, work_of_softmax(m), err));
    }
    return NLP_OK;
}

/* By h to by the sums, turned. The derivative of SiLU is s + x s (1 - s), s the sigmoid of x. */
static void pass_activation(const nlp_mlp *m, size_t n) {
    const work *t = m->work;
    size_t n_hidden = m->n_hidden;
    for (size_t k = 0; k < n; k++) {
        float *s = t->sums + k * n_hidden;
        const float *h = t->h + k * t->out.k, *back = t->back + k * t->out.k;
        m->kernels->activate(s, n_hidden, NLP_ACT_SIGMOID);
        for (size_t j = 0; j < n_hidden; j++)
            t->turned[j * n + k] = back[j] * (s[j] + h[j] * (1 - s[j]));
    }
}

static nlp_status run_back(const nlp_mlp *m, const size_t *rows, size_t n, nlp_poll *poll,
                           nlp_error *err) {
    const work *t = m->work;
    const layer *hidden = &t->hidden, *out = &t->out;
    NLP_TRY(find_errors(m, rows, n, poll, err));
    NLP_TRY(multiply_plain(m, out->n, t->turned, n, out->k, t->h, out->gradient, poll, err));
    NLP_TRY(multiply_plain(m, n, t->errors, out->n, out->k, out->w, t->back, poll, err));
    pass_activation(m, n);
    return multiply_plain(m, hidden->n, t->turned, n, hidden->k, t->x, hidden->gradient, poll, err);
}

/* ---- Steps ---- */

/* A constant's weight is not regularised. */
static nlp_status step_layer(const nlp_mlp *m, layer *l, float rate, nlp_poll *poll,
                             nlp_error *err) {
    float l2 = (float)m->l2;
    for (size_t row = 0; row < l->n; row++) {
        for (size_t i = row * l->k; i < (row + 1) * l->k; i++) {
            float g = l->gradient[i] + (i + 1 < (row + 1) * l->k ? l2 * l->w[i] : 0);
            l->mean[i] = KEEP_MEAN * l->mean[i] + (1 - KEEP_MEAN) * g;
            l->square[i] = KEEP_SQUARE * l->square[i] + (1 - KEEP_SQUARE) * g * g;
            l->w[i] -= rate * l->mean[i] / (sqrtf(l->square[i]) + TINY);
        }
        NLP_TRY(nlp_poll_work(poll, NLP_DOUBLE_WORK * l->k, err));
    }
    return NLP_OK;
}

static nlp_status take_step(const nlp_mlp *m, double left, nlp_poll *poll, nlp_error *err) {
    work *t = m->work;
    t->kept_mean *= (double)KEEP_MEAN, t->kept_square *= (double)KEEP_SQUARE;
    double rate = RATE * left * sqrt(1 - t->kept_square) / (1 - t->kept_mean);
    NLP_TRY(step_layer(m, &t->hidden, (float)rate, poll, err));
    return step_layer(m, &t->out, (float)rate, poll, err);
}

/* Another order in each epoch: rows that come sorted by class teach no batch only one. */
static void shuffle(const nlp_mlp *m, size_t epoch) {
    size_t *order = m->work->order;
    for (size_t i = m->e->n_train; i > 1; i--) {
        uint64_t place = (uint64_t)epoch * m->e->n_train + i;
        size_t other = (size_t)(nlp_random_real(KEY_ORDER, place) * (double)i), kept = order[i - 1];
        order[i - 1] = order[other], order[other] = kept;
    }
}

/* Batches of nearly the same size. */
static nlp_status run_epoch(const nlp_mlp *m, size_t epoch, nlp_poll *poll, nlp_error *err) {
    size_t n_rows = m->e->n_train, n_batches = (n_rows + BATCH - 1) / BATCH;
    shuffle(m, epoch);
    for (size_t b = 0; b < n_batches; b++) {
        size_t first = n_rows * b / n_batches, n = n_rows * (b + 1) / n_batches - first;
        double done = (double)(epoch - 1) + (double)b / (double)n_batches;
        NLP_TRY(run_forth(m, m->work->order + first, n, poll, err));
        NLP_TRY(run_back(m, m->work->order + first, n, poll, err));
        NLP_TRY(take_step(m, 1 - done / (double)m->epochs, poll, err));
    }
    return NLP_OK;
}

static void keep_best(layer *l) {
    memcpy(l->best, l->w, l->n * l->k * sizeof *l->w);
}

static nlp_status run_epochs(nlp_mlp *m, nlp_poll *poll, nlp_error *err) {
    work *t = m->work;
    double loss;
    nlp_patience patience = {.patience = m->patience};
    for (size_t epoch = 1; epoch <= m->epochs; epoch++) {
        NLP_TRY(run_epoch(m, epoch, poll, err));
        if (!m->patience) continue;
        NLP_TRY(find_loss(m, &loss, poll, err));
        nlp_progress progress = nlp_patience_judge(&patience, epoch, loss);
        if (progress == NLP_PROGRESS_BEST) keep_best(&t->hidden), keep_best(&t->out);
        if (progress == NLP_PROGRESS_ENOUGH) break;
    }
    m->n_epochs = m->patience ? patience.best : m->epochs;
    if (m->patience) t->hidden.w = t->hidden.best, t->out.w = t->out.best;
    return NLP_OK;
}

/* ---- Beginning and end ---- */

/* As wide as keeps a row's variance from layer to layer (Glorot and Bengio 2010). */
static void begin_layer(const nlp_mlp *m, layer *l, size_t k, size_t n, uint64_t key) {
    bool keeps = m->patience > 0;
    *l = (layer){.k = k, .n = n};
    l->w = nlp_arena_push(m->scratch, n, k * sizeof *l->w);
    l->gradient = nlp_arena_push(m->scratch, n, k * sizeof *l->w);
    l->mean = nlp_arena_push_zero(m->scratch, n, k * sizeof *l->w);
    l->square = nlp_arena_push_zero(m->scratch, n, k * sizeof *l->w);
    l->best = nlp_arena_push(m->scratch, keeps ? n : 0, k * sizeof *l->w);
    double reach = sqrt(6 / (double)(k - 1 + n));
    for (size_t i = 0; l->square && i < n * k; i++)
        l->w[i] = (i + 1) % k ? (float)((2 * nlp_random_real(key, i) - 1) * reach) : 0;
}

static size_t largest(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Bytes of the largest right side of a product. */
static nlp_status size_panels(const nlp_mlp *m, size_t *n_bytes, nlp_error *err) {
    const layer *hidden = &m->work->hidden, *out = &m->work->out;
    size_t shapes[][2] = {{hidden->k, hidden->n},
                          {out->k, out->n},
                          {out->n, out->k},
                          {BATCH, out->k},
                          {BATCH, hidden->k}};
    *n_bytes = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t some;
        NLP_TRY(nlp_panels_bytes(NLP_F32, shapes[i][0], shapes[i][1], &some, err));
        *n_bytes = largest(*n_bytes, some);
    }
    return NLP_OK;
}

static nlp_status reserve(nlp_mlp *m, nlp_error *err) {
    const nlp_examples *e = m->e;
    nlp_arena *arena = m->scratch;
    size_t n_bytes;
    work *t = m->work = NLP_PUSH_ZERO(arena, work, 1);
    NLP_TRY(nlp_arena_status(arena, err));
    begin_layer(m, &t->hidden, e->dims + 1, m->n_hidden, KEY_HIDDEN);
    begin_layer(m, &t->out, (size_t)m->n_hidden + 1, e->n_classes, KEY_OUT);
    NLP_TRY(size_panels(m, &n_bytes, err));
    t->mean = NLP_PUSH_ZERO(arena, double, e->dims);
    t->order = NLP_PUSH(arena, size_t, e->n_train);
    t->x = nlp_arena_push(arena, t->hidden.k, BATCH * sizeof *t->x);
    t->sums = nlp_arena_push(arena, t->hidden.n, BATCH * sizeof *t->sums);
    t->h = nlp_arena_push(arena, t->out.k, BATCH * sizeof *t->h);
    t->errors = nlp_arena_push(arena, t->out.n, BATCH * sizeof *t->errors);
    t->back = nlp_arena_push(arena, t->out.k, BATCH * sizeof *t->back);
    t->turned = nlp_arena_push(arena, largest(t->hidden.n, t->out.n), BATCH * sizeof *t->turned);
    t->panels = nlp_arena_push(arena, n_bytes, 1);
    t->p = NLP_PUSH(arena, double, e->n_classes);
    NLP_TRY(nlp_arena_status(arena, err));
    memcpy(t->order, e->train, e->n_train * sizeof *t->order);
    t->kept_mean = t->kept_square = 1;
    return NLP_OK;
}

/* So that the numbers of all rows have a variance of 1 about what comes off them. */
static nlp_status find_scale(const nlp_mlp *m, nlp_poll *poll, nlp_error *err) {
    const nlp_examples *e = m->e;
    work *t = m->work;
    double squares = 0;
    for (size_t k = 0; k < e->n_train; k++) {
        const float *x = e->vectors + e->train[k] * e->dims;
        for (size_t i = 0; i < e->dims; i++) {
            double off = (double)x[i] - t->mean[i];
            squares += off * off;
        }
        NLP_TRY(nlp_poll_work(poll, NLP_DOUBLE_WORK * e->dims, err));
    }
    squares /= (double)e->n_train * (double)e->dims;
    t->scale = squares > 1e-12 ? 1 / sqrt(squares) : 1; /* else all rows are the same */
    return NLP_OK;
}

/* From weights of centred and scaled rows to weights of the rows as they are. */
static void uncenter(const nlp_mlp *m) {
    work *t = m->work;
    size_t dims = m->e->dims;
    for (size_t j = 0; j < t->hidden.n; j++) {
        float *w = t->hidden.w + j * t->hidden.k;
        double shift = 0;
        for (size_t i = 0; i < dims; i++) {
            w[i] = (float)((double)w[i] * t->scale);
            shift += (double)w[i] * t->mean[i];
        }
        w[dims] = (float)((double)w[dims] - shift);
    }
    memset(t->mean, 0, dims * sizeof *t->mean);
    t->scale = 1;
}

nlp_status nlp_mlp_train(nlp_mlp *m, nlp_poll *poll, nlp_error *err) {
    NLP_TRY(reserve(m, err));
    if (m->center) NLP_TRY(nlp_examples_mean(m->e, m->work->mean, poll, err));
    NLP_TRY(find_scale(m, poll, err));
    NLP_TRY(run_epochs(m, poll, err));
    uncenter(m);
    m->hidden = m->work->hidden.w;
    m->out = m->work->out.w;
    return NLP_OK;
}

nlp_status nlp_mlp_predict(nlp_mlp *m, const size_t *rows, size_t n_rows, uint32_t *predicted,
                           nlp_poll *poll, nlp_error *err) {
    for (size_t first = 0; first < n_rows; first += BATCH) {
        size_t n = n_rows - first < BATCH ? n_rows - first : BATCH;
        NLP_TRY(run_forth(m, rows + first, n, poll, err));
        for (size_t k = 0; k < n; k++) {
            const float *p = m->work->errors + k * m->work->out.n;
            uint32_t best = 0;
            for (uint32_t c = 1; c < m->e->n_classes; c++)
                if (p[c] > p[best]) best = c;
            predicted[first + k] = best;
        }
    }
    return NLP_OK;
}
