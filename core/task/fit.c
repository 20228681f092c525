/* fit.c: a small head on the frozen vectors of a base. Multinomial logistic regression by
 * accelerated full-batch gradient steps of a fixed length (Nesterov 1983; the step is 1 / L with L
 * from the largest row, so no line search is needed), in double and in one fixed order: the same
 * texts give the same pack on every machine. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "task/fit.h"
#include "tensor/quant.h"

enum { MAX_CLASSES = 10000, WORK_PER_STEP = 1 };

static const nlp_option_spec fit_options[] = {
    {"task", NLP_TYPE_TEXT, "classify|sentiment", 0, 0, "classify",
     "sentiment: labels must mean positive, negative, neutral"},
    {"holdout", NLP_TYPE_REAL, NULL, 0, 0.9, "0.1",
     "part of the texts that is held out to measure on"},
    {"l2", NLP_TYPE_REAL, NULL, 0, 1000, "0.0001", "strength of the regularisation"},
    {"epochs", NLP_TYPE_INTEGER, NULL, 1, 100000, "300", "steps over all texts"},
    {"class_weight", NLP_TYPE_TEXT, "none|balanced", 0, 0, "none",
     "balanced: rare labels count as much as frequent ones"},
    {"description", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "a sentence for the pack's card"},
    {"languages", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "languages of the texts: en,fr"},
    {"licence", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "licence of the pack"},
    {"source", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "where the texts come from"},
    {"max_tokens", NLP_TYPE_INTEGER, NULL, 3, 1048576, NULL, "a lower token limit than the base's"},
};

const nlp_option_spec *nlp_fit_options_spec(size_t *n_options) {
    *n_options = sizeof fit_options / sizeof *fit_options;
    return fit_options;
}

static const nlp_value *option(const nlp_fit_job *job, const char *key) {
    for (size_t i = 0; i < job->n_options; i++)
        if (!strcmp(job->options[i].key, key) && job->options[i].value.type != NLP_TYPE_NULL)
            return &job->options[i].value;
    return NULL;
}

static double number(const nlp_fit_job *job, const char *key, double fallback) {
    const nlp_value *v = option(job, key);
    return !v ? fallback : v->type == NLP_TYPE_INTEGER ? (double)v->as.integer : v->as.real;
}

static bool is_text(const nlp_fit_job *job, const char *key, const char *text) {
    const nlp_value *v = option(job, key);
    return v && v->n == strlen(text) && !memcmp(v->as.text, text, v->n);
}

/* ---- Labels ---- */

static int by_text(const void *a, const void *b) {
    const nlp_text *x = a, *y = b;
    size_t n = x->n_bytes < y->n_bytes ? x->n_bytes : y->n_bytes;
    int order = memcmp(x->bytes, y->bytes, n);
    return order ? order : (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

/* Distinct labels in the order of their bytes, and each text's class. */
static nlp_status read_classes(nlp_fit_job *job, nlp_error *err) {
    nlp_text *sorted = NLP_PUSH(job->scratch, nlp_text, job->n);
    job->classes = NLP_PUSH(job->scratch, uint32_t, job->n);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    for (size_t i = 0; i < job->n; i++)
        if (!job->texts[i].bytes || !job->labels[i].bytes || !job->labels[i].n_bytes)
            return nlp_fail(err, NLP_EINVAL, "row %zu has no text or no label", i + 1);
    if (job->n) memcpy(sorted, job->labels, job->n * sizeof *sorted);
    if (job->n) qsort(sorted, job->n, sizeof *sorted, by_text);
    job->n_classes = 0;
    for (size_t i = 0; i < job->n; i++)
        if (!i || by_text(&sorted[i - 1], &sorted[i])) sorted[job->n_classes++] = sorted[i];
    job->class_names = sorted;
    if (job->n_classes < 2)
        return nlp_fail(err, NLP_EINVAL,
                        "the %zu rows have %u different labels, at least 2 are needed", job->n,
                        job->n_classes);
    if (job->n_classes > MAX_CLASSES)
        return nlp_fail(err, NLP_ELIMIT,
                        "the rows have %u different labels, at most %d are possible",
                        job->n_classes, MAX_CLASSES);
    for (size_t i = 0; i < job->n; i++) {
        const nlp_text *found =
            bsearch(&job->labels[i], sorted, job->n_classes, sizeof *sorted, by_text);
        job->classes[i] = (uint32_t)(found - sorted);
    }
    return NLP_OK;
}

/* A text is held out by its own hash, so the split does not depend on the order of the rows. */
static nlp_status split_rows(nlp_fit_job *job, nlp_error *err) {
    double part = number(job, "holdout", 0.1);
    job->held_out = NLP_PUSH(job->scratch, bool, job->n);
    uint32_t *left = NLP_PUSH_ZERO(job->scratch, uint32_t, job->n_classes);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    for (size_t i = 0; i < job->n; i++) left[job->classes[i]]++;
    for (size_t i = 0; i < job->n; i++) {
        uint8_t digest[NLP_SHA256_BYTES];
        uint32_t bits;
        nlp_sha256_of(job->texts[i].bytes, job->texts[i].n_bytes, digest);
        memcpy(&bits, digest, sizeof bits);
        job->held_out[i] = (double)bits < part * 4294967296.0 && left[job->classes[i]] > 1;
        if (job->held_out[i]) left[job->classes[i]]--;
        job->n_train += !job->held_out[i];
    }
    return NLP_OK;
}

/* ---- Logistic regression ---- */

typedef struct regression {
    const nlp_fit_job *job;
    size_t width;  /* of a row with its constant 1 */
    double *w;     /* [n_classes][width] */
    double *ahead; /* [n_classes][width]: where the next gradient is taken */
    double *gradient;
    double *p; /* [n_classes] of one row */
    double *class_weight;
    double l2, step;
} regression;

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

static double row_value(const regression *r, size_t row, size_t i) {
    return i + 1 == r->width ? 1.0 : (double)r->job->vectors[row * r->job->dims + i];
}

static void probabilities(const regression *r, const double *w, size_t row, double *p) {
    double top = -INFINITY, total = 0;
    const float *x = r->job->vectors + row * r->job->dims;
    for (uint32_t c = 0; c < r->job->n_classes; c++) {
        const double *wc = w + c * r->width;
        double lanes[4] = {0};
        for (size_t i = 0; i < r->job->dims; i++) lanes[i % 4] += wc[i] * (double)x[i];
        p[c] = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + wc[r->job->dims];
        top = p[c] > top ? p[c] : top;
    }
    for (uint32_t c = 0; c < r->job->n_classes; c++) total += p[c] = exp_down(p[c] - top);
    for (uint32_t c = 0; c < r->job->n_classes; c++) p[c] /= total;
}

/* gradient = mean over training rows of (p - y) x, plus l2 w (the constant's weight is not
 * regularised). */
static nlp_status find_gradient(regression *r, nlp_poll *poll, nlp_error *err) {
    size_t n_weights = r->job->n_classes * r->width;
    memset(r->gradient, 0, n_weights * sizeof *r->gradient);
    for (size_t row = 0; row < r->job->n; row++) {
        if (r->job->held_out[row]) continue;
        probabilities(r, r->ahead, row, r->p);
        r->p[r->job->classes[row]] -= 1;
        double weight = r->class_weight[r->job->classes[row]] / (double)r->job->n_train;
        for (uint32_t c = 0; c < r->job->n_classes; c++) {
            double *g = r->gradient + c * r->width, d = r->p[c] * weight;
            for (size_t i = 0; i < r->width; i++) g[i] += d * row_value(r, row, i);
        }
        NLP_TRY(nlp_poll_work(poll, 64 * n_weights, err));
    }
    for (size_t i = 0; i < n_weights; i++)
        if ((i + 1) % r->width) r->gradient[i] += r->l2 * r->ahead[i];
    return NLP_OK;
}

/* 1 / L: the softmax's curvature is at most half of the largest squared row. */
static double step_length(const regression *r) {
    double largest = 0, heaviest = 0;
    for (size_t row = 0; row < r->job->n; row++) {
        double squares = 0;
        for (size_t i = 0; i < r->width; i++)
            squares += row_value(r, row, i) * row_value(r, row, i);
        largest = squares > largest ? squares : largest;
    }
    for (uint32_t c = 0; c < r->job->n_classes; c++)
        heaviest = r->class_weight[c] > heaviest ? r->class_weight[c] : heaviest;
    return 1 / (0.5 * largest * heaviest + r->l2);
}

static void weigh_classes(regression *r) {
    bool balanced = is_text(r->job, "class_weight", "balanced");
    for (uint32_t c = 0; c < r->job->n_classes; c++) {
        size_t n = 0;
        for (size_t row = 0; row < r->job->n; row++)
            n += !r->job->held_out[row] && r->job->classes[row] == c;
        r->class_weight[c] =
            balanced && n ? (double)r->job->n_train / ((double)n * r->job->n_classes) : 1;
    }
}

/* A fixed number of steps of a fixed length: no stopping rule that a last bit could tip. */
static nlp_status train(regression *r, nlp_poll *poll, nlp_error *err) {
    size_t n_weights = r->job->n_classes * r->width;
    size_t epochs = (size_t)number(r->job, "epochs", 300);
    double momentum = 1;
    for (size_t epoch = 0; epoch < epochs; epoch++) {
        double next = (1 + sqrt(1 + 4 * momentum * momentum)) / 2, carry = (momentum - 1) / next;
        NLP_TRY(find_gradient(r, poll, err));
        for (size_t i = 0; i < n_weights; i++) {
            double w = r->ahead[i] - r->step * r->gradient[i];
            r->ahead[i] = w + carry * (w - r->w[i]);
            r->w[i] = w;
        }
        momentum = next;
    }
    return NLP_OK;
}

static nlp_status regress(nlp_fit_job *job, nlp_poll *poll, regression *r, nlp_error *err) {
    *r = (regression){.job = job, .width = job->dims + 1u, .l2 = number(job, "l2", 1e-4)};
    size_t n_weights = job->n_classes * r->width;
    r->w = NLP_PUSH_ZERO(job->scratch, double, n_weights);
    r->ahead = NLP_PUSH_ZERO(job->scratch, double, n_weights);
    r->gradient = NLP_PUSH(job->scratch, double, n_weights);
    r->p = NLP_PUSH(job->scratch, double, job->n_classes);
    r->class_weight = NLP_PUSH(job->scratch, double, job->n_classes);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    weigh_classes(r);
    r->step = step_length(r);
    return train(r, poll, err);
}

/* ---- Metrics of the held-out rows ---- */

typedef struct tally {
    uint32_t right, predicted, actual;
} tally;

static void add_metric(nlp_fit_job *job, double value, const char *name, nlp_text label) {
    job->metrics[job->n_metrics].name =
        label.bytes ? nlp_arena_format(job->arena, "%s:%.*s", name, (int)label.n_bytes, label.bytes)
                    : name;
    job->metrics[job->n_metrics++].value = value;
}

static double ratio(uint32_t part, uint32_t whole) {
    return whole ? (double)part / whole : 0;
}

/* On the held-out texts only; a ratio of nothing is 0. */
static nlp_status measure(nlp_fit_job *job, const regression *r, nlp_error *err) {
    tally *tallies = NLP_PUSH_ZERO(job->scratch, tally, job->n_classes);
    job->metrics = NLP_PUSH_ZERO(job->arena, nlp_metric, 5 + 2 * (size_t)job->n_classes);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    NLP_TRY(nlp_arena_status(job->arena, err));
    uint32_t n = 0, right = 0;
    double f1 = 0;
    for (size_t row = 0; row < job->n; row++) {
        if (!job->held_out[row]) continue;
        uint32_t best = 0, actual = job->classes[row];
        probabilities(r, r->w, row, r->p);
        for (uint32_t c = 1; c < job->n_classes; c++)
            if (r->p[c] > r->p[best]) best = c;
        n++, right += best == actual;
        tallies[best].predicted++, tallies[actual].actual++,
            tallies[actual].right += best == actual;
    }
    for (uint32_t c = 0; c < job->n_classes; c++) {
        const tally *t = &tallies[c];
        f1 += ratio(2 * t->right, t->predicted + t->actual) / job->n_classes;
        add_metric(job, ratio(t->right, t->actual), "recall", job->class_names[c]);
        add_metric(job, ratio(t->right, t->predicted), "precision", job->class_names[c]);
    }
    add_metric(job, ratio(right, n), "accuracy", (nlp_text){0});
    add_metric(job, f1, "macro_f1", (nlp_text){0});
    add_metric(job, job->n_classes, "classes", (nlp_text){0});
    add_metric(job, (double)job->n_train, "rows_trained", (nlp_text){0});
    add_metric(job, n, "rows_held_out", (nlp_text){0});
    return nlp_arena_status(job->arena, err);
}

/* ---- The pack ---- */

static uint32_t polarity_of(nlp_text label) {
    static const struct {
        const char *name;
        uint32_t polarity;
    } names[] = {{"positive", NLP_POLARITY_POSITIVE},
                 {"negative", NLP_POLARITY_NEGATIVE},
                 {"neutral", NLP_POLARITY_NEUTRAL}};
    for (size_t i = 0; i < 3; i++)
        if (label.n_bytes == strlen(names[i].name) &&
            !memcmp(label.bytes, names[i].name, label.n_bytes))
            return names[i].polarity;
    return NLP_POLARITY_NONE;
}

static nlp_status make_head(const nlp_fit_job *job, nlp_head_spec *head, nlp_error *err) {
    bool sentiment = is_text(job, "task", "sentiment");
    *head = (nlp_head_spec){.struct_size = sizeof *head,
                            .head = NLP_HEAD_VECTOR_LINEAR,
                            .score = NLP_SCORE_SOFTMAX,
                            .n_labels = job->n_classes};
    for (uint32_t c = 0; c < job->n_classes && c < NLP_MAX_POLARITIES; c++) {
        head->polarity[c] = polarity_of(job->class_names[c]);
        if (sentiment && head->polarity[c] == NLP_POLARITY_NONE)
            return nlp_fail(
                err, NLP_EINVAL,
                "a sentiment's labels are positive, negative and neutral; label %u is another",
                c + 1);
    }
    return NLP_OK;
}

/* What the pack says of itself: `nlp inspect` and nlp_models show it. */
static void write_card(const nlp_fit_job *job, nlp_pack_writer *writer) {
    static const char *const keys[] = {"description", "languages", "licence", "source"};
    char numbers[256];
    const char *tasks = is_text(job, "task", "sentiment") ? "sentiment,classify" : "classify";
    snprintf(numbers, sizeof numbers,
             "logistic head, %zu rows trained, %zu held out, l2 %g, epochs %g", job->n_train,
             job->n - job->n_train, number(job, "l2", 1e-4), number(job, "epochs", 300));
    nlp_pack_writer_pair(writer, "meta", "name", job->name);
    nlp_pack_writer_pair(writer, "meta", "base", job->base_name);
    nlp_pack_writer_pair(writer, "meta", "tasks", tasks);
    nlp_pack_writer_pair(writer, "meta", "training", numbers);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const nlp_value *v = option(job, keys[i]);
        if (!v) continue;
        nlp_pack_writer_string(writer, "meta", keys[i], strlen(keys[i]));
        nlp_pack_writer_string(writer, "meta", v->as.text, v->n);
    }
}

/* A head is stored as any linear layer of a model is, so the same code runs both. */
static nlp_status write_pack(nlp_fit_job *job, const regression *r, nlp_pack_writer *writer,
                             nlp_error *err) {
    nlp_head_spec head;
    const uint8_t *bytes;
    NLP_TRY(make_head(job, &head, err));
    float *w = NLP_PUSH(job->scratch, float, job->n_classes *(size_t)job->dims),
          *bias = NLP_PUSH(job->scratch, float, job->n_classes);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    for (uint32_t c = 0; c < job->n_classes; c++) {
        for (size_t i = 0; i < job->dims; i++)
            w[c * (size_t)job->dims + i] = (float)r->w[c * r->width + i];
        bias[c] = (float)r->w[c * r->width + job->dims];
        nlp_pack_writer_string(writer, "labels", job->class_names[c].bytes,
                               job->class_names[c].n_bytes);
    }
    nlp_pack_writer_base(writer, job->base_digest);
    nlp_pack_writer_section(writer, "head", &head, sizeof head);
    write_card(job, writer);
    void *panels = nlp_pack_writer_tensor(writer, "classifier", NLP_F32, NLP_TENSOR_PANELS,
                                          NLP_GRID_SYMMETRIC, job->n_classes, job->dims);
    if (panels) nlp_pack_f32(w, bias, job->dims, job->n_classes, panels);
    NLP_TRY(nlp_pack_writer_finish(writer, &bytes, &job->pack_bytes, err));
    uint8_t *kept = NLP_PUSH(job->arena, uint8_t, job->pack_bytes);
    NLP_TRY(nlp_arena_status(job->arena, err));
    memcpy(kept, bytes, job->pack_bytes);
    job->pack = kept;
    return NLP_OK;
}

/* ---- The job ---- */

nlp_status nlp_fit_prepare(nlp_fit_job *job, nlp_error *err) {
    for (size_t i = 0; i < job->n_options; i++) {
        const nlp_option_spec *spec;
        NLP_TRY(nlp_option_check("nlp_fit", fit_options, sizeof fit_options / sizeof *fit_options,
                                 &job->options[i], &spec, err));
    }
    if (!job->n) return nlp_fail(err, NLP_EINVAL, "there are no rows to fit on");
    NLP_TRY(read_classes(job, err));
    nlp_head_spec unused;
    NLP_TRY(make_head(job, &unused, err));
    return split_rows(job, err);
}

nlp_status nlp_fit_run(nlp_fit_job *job, nlp_poll *poll, nlp_error *err) {
    regression r;
    nlp_pack_writer *writer;
    NLP_TRY(regress(job, poll, &r, err));
    NLP_TRY(measure(job, &r, err));
    NLP_TRY(nlp_pack_writer_open(job->scratch->mem, NLP_PACK_TASK, NLP_F32, &writer, err));
    nlp_status status = write_pack(job, &r, writer, err);
    nlp_pack_writer_close(writer);
    return status;
}
