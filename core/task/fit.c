/* fit.c: a small head on the frozen vectors of a base (regression.c, mlp.c), measured on texts that are held
 * out. The same texts give the same pack on every machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "nn/mlp.h"
#include "nn/regression.h"
#include "task/fit.h"
#include "tensor/quant.h"

enum { MAX_CLASSES = 10000 };

static const nlp_option_spec fit_options[] = {NLP_FIT_OPTIONS("0.1")};

const nlp_option_spec *nlp_fit_options_spec(size_t *n_options) {
    *n_options = sizeof fit_options / sizeof *fit_options;
    return fit_options;
}

/* Of an option that is given twice the last counts, as in all tasks. */
static const nlp_value *option(const nlp_fit_job *job, const char *key) {
    for (size_t i = job->n_options; i-- > 0;)
        if (!strcmp(job->options[i].key, key) && job->options[i].value.type != NLP_TYPE_NULL)
            return &job->options[i].value;
    return NULL;
}

static double number(const nlp_fit_job *job, const char *key, double fallback) {
    const nlp_value *v = option(job, key);
    return !v ? fallback : v->type == NLP_TYPE_INTEGER ? (double)v->as.integer : v->as.real;
}

static bool flag(const nlp_fit_job *job, const char *key, bool fallback) {
    const nlp_value *v = option(job, key);
    return v ? v->as.boolean : fallback;
}

static bool is_text(const nlp_fit_job *job, const char *key, const char *text) {
    const nlp_value *v = option(job, key);
    return v && v->n == strlen(text) && !memcmp(v->as.text, text, v->n);
}

/* ---- Labels ---- */

/* Distinct labels in the order of their bytes, and each text's class. */
static nlp_status read_classes(nlp_fit_job *job, nlp_error *err) {
    nlp_text *sorted = NLP_PUSH(job->scratch, nlp_text, job->n);
    job->classes = NLP_PUSH(job->scratch, uint32_t, job->n);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    for (size_t i = 0; i < job->n; i++)
        if (!job->texts[i].bytes || !job->labels[i].bytes || !job->labels[i].n_bytes)
            return nlp_fail(err, NLP_EINVAL, "row %zu has no text or no label", i + 1);
    if (job->n) memcpy(sorted, job->labels, job->n * sizeof *sorted);
    if (job->n) qsort(sorted, job->n, sizeof *sorted, nlp_text_by_bytes);
    job->n_classes = 0;
    for (size_t i = 0; i < job->n; i++)
        if (!i || nlp_text_by_bytes(&sorted[i - 1], &sorted[i]))
            sorted[job->n_classes++] = sorted[i];
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
            bsearch(&job->labels[i], sorted, job->n_classes, sizeof *sorted, nlp_text_by_bytes);
        job->classes[i] = (uint32_t)(found - sorted);
    }
    return NLP_OK;
}

bool nlp_fit_holds_out(const uint8_t *digest, double part) {
    uint32_t bits;
    memcpy(&bits, digest, NLP_FIT_SPLIT_BYTES);
    return (double)bits < part * 4294967296.0;
}

/* A text is held out by its own hash, so the split does not depend on the order of the rows. */
static nlp_status split_rows(nlp_fit_job *job, nlp_poll *poll, nlp_error *err) {
    double part = number(job, "holdout", 0.1);
    job->train = NLP_PUSH(job->scratch, size_t, job->n);
    job->held_out = NLP_PUSH(job->scratch, size_t, job->n);
    job->n_train = job->n_held_out = 0;
    uint32_t *left = NLP_PUSH_ZERO(job->scratch, uint32_t, job->n_classes);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    for (size_t i = 0; i < job->n; i++) left[job->classes[i]]++;
    for (size_t i = 0; i < job->n; i++) {
        uint8_t digest[NLP_SHA256_BYTES];
        nlp_sha256_of(job->texts[i].bytes, job->texts[i].n_bytes, digest);
        bool out = nlp_fit_holds_out(digest, part) && left[job->classes[i]] > 1;
        left[job->classes[i]] -= out;
        if (out)
            job->held_out[job->n_held_out++] = i;
        else
            job->train[job->n_train++] = i;
        NLP_TRY(nlp_poll_work(poll, 1024 + 16 * job->texts[i].n_bytes, err));
    }
    return NLP_OK;
}

/* ---- Learning ---- */

/* What learning leaves. */
typedef struct trained {
    uint32_t n_hidden;         /* 0: no hidden layer */
    const float *hidden, *out; /* rows of weights, each with its constant last */
    uint32_t *predicted;       /* [n_held_out] */
    double l2;
    size_t n_epochs;
} trained;

static nlp_status learn_logistic(const nlp_fit_job *job, const nlp_examples *e, trained *t,
                                 nlp_poll *poll, nlp_error *err) {
    size_t n_weights = e->n_classes * (e->dims + 1);
    nlp_regression r = {.e = e,
                        .center = flag(job, "center", true),
                        .l2 = t->l2,
                        .epochs = t->n_epochs,
                        .patience = (size_t)number(job, "patience", 0),
                        .scratch = job->scratch};
    NLP_TRY(nlp_regression_train(&r, poll, err));
    NLP_TRY(nlp_regression_predict(&r, e->held_out, e->n_held_out, t->predicted, poll, err));
    float *out = NLP_PUSH(job->scratch, float, n_weights);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    for (size_t i = 0; i < n_weights; i++) out[i] = (float)r.w[i];
    t->out = out;
    t->n_epochs = r.n_epochs;
    return NLP_OK;
}

static nlp_status learn_mlp(const nlp_fit_job *job, const nlp_examples *e, trained *t,
                            nlp_poll *poll, nlp_error *err) {
    nlp_mlp m = {.e = e,
                 .kernels = job->kernels,
                 .n_hidden = t->n_hidden,
                 .center = flag(job, "center", true),
                 .l2 = t->l2,
                 .epochs = t->n_epochs,
                 .patience = (size_t)number(job, "patience", 0),
                 .scratch = job->scratch};
    NLP_TRY(nlp_mlp_train(&m, poll, err));
    NLP_TRY(nlp_mlp_predict(&m, e->held_out, e->n_held_out, t->predicted, poll, err));
    t->hidden = m.hidden, t->out = m.out;
    t->n_epochs = m.n_epochs;
    return NLP_OK;
}

static nlp_status learn(const nlp_fit_job *job, trained *t, nlp_poll *poll, nlp_error *err) {
    nlp_examples e = {.vectors = job->vectors,
                      .n_rows = job->n,
                      .dims = job->dims,
                      .classes = job->classes,
                      .n_classes = job->n_classes,
                      .train = job->train,
                      .n_train = job->n_train,
                      .held_out = job->held_out,
                      .n_held_out = job->n_held_out};
    *t = (trained){
        .n_hidden = (uint32_t)number(job, "hidden", 0),
        .predicted = NLP_PUSH(job->scratch, uint32_t, job->n_held_out),
    };
    t->l2 = number(job, "l2", t->n_hidden ? 3e-3 : 1e-5);
    t->n_epochs = (size_t)number(job, "epochs", t->n_hidden ? 30 : 300);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    NLP_TRY(nlp_examples_weigh(&e, is_text(job, "class_weight", "balanced"), job->scratch, err));
    return (t->n_hidden ? learn_mlp : learn_logistic)(job, &e, t, poll, err);
}

/* ---- Metrics of the held-out rows ---- */

static nlp_status measure(nlp_fit_job *job, const trained *t, nlp_error *err) {
    uint32_t *actual = NLP_PUSH(job->scratch, uint32_t, job->n_held_out);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    for (size_t i = 0; i < job->n_held_out; i++) actual[i] = job->classes[job->held_out[i]];
    nlp_metric more[] = {{"classes", job->n_classes},
                         {"rows_trained", (double)job->n_train},
                         {"rows_held_out", (double)job->n_held_out},
                         {"epochs", (double)t->n_epochs}};
    nlp_outcomes outcomes = {.labels = job->class_names,
                             .n_labels = job->n_classes,
                             .actual = actual,
                             .predicted = t->predicted,
                             .n = job->n_held_out,
                             .more = more,
                             .n_more = sizeof more / sizeof *more};
    NLP_TRY(
        nlp_task_measure(&outcomes, job->arena, job->scratch, &job->metrics, &job->n_metrics, err));
    job->accuracy = job->metrics->value; /* it is the first */
    return NLP_OK;
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
    uint32_t n_hidden = (uint32_t)number(job, "hidden", 0);
    *head = (nlp_head_spec){.struct_size = sizeof *head,
                            .head = n_hidden ? NLP_HEAD_VECTOR_MLP : NLP_HEAD_VECTOR_LINEAR,
                            .score = NLP_SCORE_SOFTMAX,
                            .n_labels = job->n_classes,
                            .hidden_size = n_hidden,
                            .hidden_activation = n_hidden ? NLP_MLP_ACTIVATION : NLP_ACT_NONE};
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

nlp_status nlp_fit_check_labels(const nlp_fit_job *job, nlp_error *err) {
    nlp_head_spec unused;
    return make_head(job, &unused, err);
}

/* What the pack says of itself: `nlp inspect` and nlp_models show it. */
static void write_card(const nlp_fit_job *job, const trained *t, nlp_pack_writer *writer) {
    static const char *const keys[] = {"description", "languages", "licence", "source"};
    char kind[32] = "logistic head", training[512];
    const char *tasks = is_text(job, "task", "sentiment") ? "sentiment,classify" : "classify";
    if (t->n_hidden) snprintf(kind, sizeof kind, "MLP head, hidden %u", t->n_hidden);
    int n =
        snprintf(training, sizeof training, "%s, %zu rows trained, %zu held out, l2 %g, epochs %zu",
                 kind, job->n_train, job->n_held_out, t->l2, t->n_epochs);
    if (job->teacher)
        snprintf(training + n, sizeof training - (size_t)n,
                 ", labels by teacher %s, agreement %.4f", job->teacher, job->accuracy);
    nlp_pack_writer_pair(writer, "meta", "name", job->name);
    nlp_pack_writer_pair(writer, "meta", "base", job->base_name);
    nlp_pack_writer_pair(writer, "meta", "tasks", tasks);
    nlp_pack_writer_pair(writer, "meta", "training", training);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const nlp_value *v = option(job, keys[i]);
        if (!v) continue;
        nlp_pack_writer_string(writer, "meta", keys[i], strlen(keys[i]));
        nlp_pack_writer_string(writer, "meta", v->as.text, v->n);
    }
}

/* A head is stored as any linear layers of a model are, so the same code runs both. */
static nlp_status write_layer(const nlp_fit_job *job, nlp_pack_writer *writer, const char *name,
                              const float *rows, size_t n, size_t k, nlp_error *err) {
    float *w = nlp_arena_push(job->scratch, n, k * sizeof *w),
          *bias = NLP_PUSH(job->scratch, float, n);
    NLP_TRY(nlp_arena_status(job->scratch, err));
    for (size_t j = 0; j < n; j++) {
        memcpy(w + j * k, rows + j * (k + 1), k * sizeof *w);
        bias[j] = rows[j * (k + 1) + k];
    }
    void *panels =
        nlp_pack_writer_tensor(writer, name, NLP_F32, NLP_TENSOR_PANELS, NLP_GRID_SYMMETRIC, n, k);
    if (panels) nlp_pack_f32(w, bias, k, n, panels);
    return NLP_OK;
}

static nlp_status write_pack(nlp_fit_job *job, const trained *t, nlp_pack_writer *writer,
                             nlp_error *err) {
    nlp_head_spec head;
    const uint8_t *bytes;
    NLP_TRY(make_head(job, &head, err));
    for (uint32_t c = 0; c < job->n_classes; c++)
        nlp_pack_writer_string(writer, "labels", job->class_names[c].bytes,
                               job->class_names[c].n_bytes);
    nlp_pack_writer_base(writer, job->base_digest);
    nlp_pack_writer_section(writer, "head", &head, sizeof head);
    write_card(job, t, writer);
    if (t->n_hidden)
        NLP_TRY(write_layer(job, writer, "hidden", t->hidden, t->n_hidden, job->dims, err));
    NLP_TRY(write_layer(job, writer, "classifier", t->out, job->n_classes,
                        t->n_hidden ? t->n_hidden : job->dims, err));
    NLP_TRY(nlp_pack_writer_finish(writer, &bytes, &job->pack_bytes, err));
    uint8_t *kept = NLP_PUSH(job->arena, uint8_t, job->pack_bytes);
    NLP_TRY(nlp_arena_status(job->arena, err));
    memcpy(kept, bytes, job->pack_bytes);
    job->pack = kept;
    return NLP_OK;
}

/* ---- The job ---- */

nlp_status nlp_fit_prepare(nlp_fit_job *job, nlp_poll *poll, nlp_error *err) {
    for (size_t i = 0; i < job->n_options; i++) {
        const nlp_option_spec *spec;
        NLP_TRY(nlp_option_check("nlp_fit", fit_options, sizeof fit_options / sizeof *fit_options,
                                 &job->options[i], &spec, err));
    }
    if (!job->n) return nlp_fail(err, NLP_EINVAL, "there are no rows to fit on");
    NLP_TRY(read_classes(job, err));
    NLP_TRY(nlp_fit_check_labels(job, err));
    NLP_TRY(split_rows(job, poll, err));
    if (number(job, "patience", 0) > 0 && !job->n_held_out)
        return nlp_fail(err, NLP_EINVAL,
                        "option \"patience\" needs held-out texts, and none of %zu is (holdout %g)",
                        job->n, number(job, "holdout", 0.1));
    return NLP_OK;
}

nlp_status nlp_fit_run(nlp_fit_job *job, nlp_poll *poll, nlp_error *err) {
    nlp_pack_writer *writer;
    trained t;
    NLP_TRY(learn(job, &t, poll, err));
    NLP_TRY(measure(job, &t, err));
    NLP_TRY(nlp_pack_writer_open(job->scratch->mem, NLP_PACK_TASK, NLP_F32, &writer, err));
    nlp_status status = write_pack(job, &t, writer, err);
    nlp_pack_writer_close(writer);
    return status;
}
