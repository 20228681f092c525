/* distill.c: a head that answers as a slow model does. Rows stream in and a sample of them stays; the
 * teacher labels it; a head is fitted (fit.c) on the vectors of a fast base; held-out texts of the sample
 * tell how often head and teacher agree, and a head that does not agree enough is no result.
 *
 * The sample are the texts with the smallest hashes, so it depends on the set of texts alone. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "engine/engine.h"

/* By 20 texts an agreement of 0.8 is known to about 0.09 either way (its standard error), by fewer it tells
 * next to nothing. */
enum { LEAST_HELD_OUT = 20, BATCH = 64, NAME_BYTES = 60, HASH_STEP = 1 << 14 };

static const nlp_option_spec distill_options[] = {
    {"teacher", NLP_TYPE_TEXT, NULL, 0, 0, NULL,
     "the slow model that labels: as nlp_classify with labels"},
    {"base", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "the fast model of vectors: as nlp_fit"},
    {"sample", NLP_TYPE_INTEGER, NULL, 50, 100000, "500", "texts that the teacher labels"},
    {"min_agreement", NLP_TYPE_REAL, NULL, 0, 1, "0.8",
     "the part of the held-out texts that head and teacher must agree on"},
    NLP_FIT_OPTIONS("0.2"),
    {"hypothesis", NLP_TYPE_TEXT, NULL, 0, 0, NULL,
     "the teacher's sentence that a label makes, in place of {}"},
    {"multi_label", NLP_TYPE_BOOLEAN, NULL, 0, 0, "false",
     "the teacher scores each label for itself"},
    NLP_OPTION_CUT_OR_ERROR,
    {"max_tokens", NLP_TYPE_INTEGER, NULL, 3, 1048576, NULL, "a lower token limit of the teacher"},
    {"on_error", NLP_TYPE_TEXT, "raise|null", 0, 0, "raise",
     "null: a text that the teacher fails on is left out"},
};
enum { N_OPTIONS = sizeof distill_options / sizeof *distill_options };

typedef struct sampled {
    uint8_t digest[NLP_SHA256_BYTES];
    nlp_text text; /* owned */
} sampled;

typedef struct option_list {
    nlp_option *items;
    size_t n;
} option_list;

struct nlp_distillation {
    nlp_session *session;
    nlp_arena own; /* copies of the request, and the labelled rows */
    nlp_model *teacher, *base;
    const char *name;
    nlp_text list;    /* labels as the teacher's operand */
    nlp_text *labels; /* [n_labels] in the order of their bytes */
    size_t n_labels;
    option_list teacher_options, fit_options;
    double min_agreement, holdout;
    sampled *
        kept; /* [2 sample]: the smallest so far, and behind them what came since they were sorted */
    size_t sample, n_kept, n_sorted;
    size_t n_seen;
    nlp_text *row_texts, *row_labels; /* [n_rows] of the sample, labelled */
    size_t n_rows;
};

const nlp_option_spec *nlp_distill_options_spec(size_t *n_options) {
    *n_options = N_OPTIONS;
    return distill_options;
}

/* ---- Options ---- */

static nlp_status check_option(const nlp_option *option, nlp_error *err) {
    const nlp_option_spec *spec;
    return nlp_option_check("nlp_distill", distill_options, N_OPTIONS, option, &spec, err);
}

/* The last of them that has a value. */
static const nlp_value *find_value(const nlp_option *options, size_t n, const char *key) {
    for (size_t i = n; i-- > 0;)
        if (!strcmp(options[i].key, key) && options[i].value.type != NLP_TYPE_NULL)
            return &options[i].value;
    return NULL;
}

static double number(const nlp_distill_request *r, const char *key, double fallback) {
    const nlp_value *v = find_value(r->options, r->n_options, key);
    if (!v) return fallback;
    return v->type == NLP_TYPE_INTEGER ? (double)v->as.integer : v->as.real;
}

nlp_status nlp_distill_model_name(const nlp_option *options, size_t n_options, const char *key,
                                  char *name, size_t name_bytes, nlp_error *err) {
    const nlp_value *v = find_value(options, n_options, key);
    nlp_option option = {.key = key};
    *name = 0;
    if (!v) return NLP_OK;
    option.value = *v;
    NLP_TRY(check_option(&option, err));
    if (v->n >= name_bytes)
        return nlp_fail(err, NLP_EINVAL, "option \"%s\" has %u bytes, a name has at most %zu", key,
                        v->n, name_bytes - 1);
    memcpy(name, v->as.text, v->n);
    name[v->n] = 0;
    return NLP_OK;
}

/* Those that are in a table, copied: the caller's texts may be gone when the teacher runs. */
static nlp_status pick_options(nlp_distillation *d, const nlp_distill_request *r,
                               const nlp_option_spec *specs, size_t n_specs, option_list *out,
                               nlp_error *err) {
    out->items = NLP_PUSH(&d->own, nlp_option, r->n_options + 1);
    NLP_TRY(nlp_arena_status(&d->own, err));
    for (size_t i = 0; i < r->n_options; i++) {
        nlp_option option = r->options[i];
        size_t k = 0;
        while (k < n_specs && strcmp(specs[k].key, option.key) != 0) k++;
        if (k == n_specs) continue;
        option.key = specs[k].key;
        if (option.value.type == NLP_TYPE_TEXT)
            option.value.as.text = nlp_arena_text(&d->own, option.value.as.text, option.value.n);
        out->items[out->n++] = option;
    }
    return nlp_arena_status(&d->own, err);
}

static nlp_status read_options(nlp_distillation *d, const nlp_distill_request *r, nlp_error *err) {
    const nlp_task_spec *zero_shot = nlp_task_find(d->session->engine, "zero_shot");
    size_t n_fit;
    const nlp_option_spec *fit = nlp_fit_options_spec(&n_fit);
    for (size_t i = 0; i < r->n_options; i++) NLP_TRY(check_option(&r->options[i], err));
    d->sample = (size_t)number(r, "sample", 500);
    d->min_agreement = number(r, "min_agreement", 0.8);
    d->holdout = number(r, "holdout", 0.2);
    NLP_TRY(pick_options(d, r, zero_shot->options, zero_shot->n_options, &d->teacher_options, err));
    NLP_TRY(pick_options(d, r, fit, n_fit, &d->fit_options, err));
    /* behind the others it counts, with the value that counts or the default of distilling */
    d->fit_options.items[d->fit_options.n++] =
        (nlp_option){"holdout", {.type = NLP_TYPE_REAL, .as.real = d->holdout}};
    return nlp_options_check(zero_shot, d->teacher_options.items, d->teacher_options.n, err);
}

/* ---- Labels ---- */

static nlp_status fail_label(const char *problem, nlp_text label, nlp_error *err) {
    return nlp_fail(err, NLP_EINVAL, "label \"%.*s\" %s", (int)nlp_utf8_fit(label, NAME_BYTES),
                    label.bytes, problem);
}

static nlp_status check_labels(const nlp_distillation *d, nlp_error *err) {
    if (d->n_labels < 2)
        return nlp_fail(err, NLP_EINVAL, "at least 2 labels are needed, %zu given", d->n_labels);
    if (!d->labels[0].n_bytes) return nlp_fail(err, NLP_EINVAL, "a label is empty");
    for (size_t i = 1; i < d->n_labels; i++)
        if (nlp_text_equal(d->labels[i - 1], d->labels[i]))
            return fail_label("is given twice", d->labels[i], err);
    return NLP_OK;
}

static nlp_status read_labels(nlp_distillation *d, nlp_text list, nlp_error *err) {
    if (list.n_bytes && list.bytes[list.n_bytes - 1])
        return nlp_fail(err, NLP_EINVAL, "a list of labels does not end in a byte 0");
    const char *at = nlp_arena_text(&d->own, list.bytes, list.n_bytes), *end = at + list.n_bytes;
    d->list = (nlp_text){at, list.n_bytes};
    for (size_t i = 0; i < list.n_bytes; i++) d->n_labels += !list.bytes[i];
    d->labels = NLP_PUSH(&d->own, nlp_text, d->n_labels + 1);
    NLP_TRY(nlp_arena_status(&d->own, err));
    for (nlp_text *label = d->labels; at < end; at += label++->n_bytes + 1)
        *label = (nlp_text){at, strlen(at)};
    qsort(d->labels, d->n_labels, sizeof *d->labels, nlp_text_by_bytes);
    NLP_TRY(check_labels(d, err));
    nlp_fit_job job = {.class_names = d->labels,
                       .n_classes = (uint32_t)d->n_labels,
                       .options = d->fit_options.items,
                       .n_options = d->fit_options.n};
    return nlp_fit_check_labels(&job, err);
}

/* ---- Opening ---- */

static nlp_status check_request(const nlp_engine *engine, const nlp_distill_request *r,
                                nlp_error *err) {
    if (!r->teacher || r->teacher->engine != engine || !r->base || r->base->engine != engine)
        return nlp_fail(err, NLP_EINVAL, "distilling needs a teacher and a base of its engine");
    NLP_TRY(nlp_model_name_check(r->name, err));
    return nlp_fit_check_base(r->base, err);
}

static nlp_status prepare(nlp_distillation *d, const nlp_distill_request *r, nlp_error *err) {
    d->teacher = r->teacher;
    d->base = r->base;
    d->name = nlp_arena_text(&d->own, r->name, strlen(r->name));
    NLP_TRY(nlp_arena_status(&d->own, err));
    NLP_TRY(read_options(d, r, err));
    NLP_TRY(read_labels(d, r->labels, err));
    d->kept = nlp_mem_zalloc(&d->session->mem, 2 * d->sample * sizeof *d->kept);
    return d->kept ? NLP_OK : nlp_mem_fail(&d->session->mem, 2 * d->sample * sizeof *d->kept, err);
}

nlp_status nlp_distill_open(nlp_engine *engine, const nlp_distill_request *request,
                            nlp_distillation **distillation, nlp_error *err) {
    nlp_session *session;
    *distillation = NULL;
    NLP_TRY(check_request(engine, request, err));
    void *own;
    NLP_TRY(nlp_session_open_for(engine, sizeof(nlp_distillation), &session, &own, err));
    nlp_distillation *d = own;
    d->session = session;
    nlp_arena_init(&d->own, &session->mem);
    nlp_status status = prepare(d, request, err);
    if (status == NLP_OK)
        *distillation = d;
    else
        nlp_distill_close(d);
    return status;
}

static void drop(nlp_distillation *d, const sampled *s) {
    nlp_mem_free(&d->session->mem, (void *)(uintptr_t)s->text.bytes, s->text.n_bytes + 1);
}

void nlp_distill_close(nlp_distillation *d) {
    if (!d) return;
    nlp_session *session = d->session;
    for (size_t i = 0; i < d->n_kept; i++) drop(d, &d->kept[i]);
    nlp_mem_free(&session->mem, d->kept, 2 * d->sample * sizeof *d->kept);
    nlp_arena_deinit(&d->own);
    nlp_mem_free(&session->mem, d, sizeof *d);
    nlp_session_close(session);
}

/* ---- The sample ---- */

/* What decides which texts are held out is left out, so that the sample's held-out part is the usual one. */
static int by_hash(const void *a, const void *b) {
    const sampled *x = a, *y = b;
    return memcmp(x->digest + NLP_FIT_SPLIT_BYTES, y->digest + NLP_FIT_SPLIT_BYTES,
                  sizeof x->digest - NLP_FIT_SPLIT_BYTES);
}

/* Sorted, each text once, and no more than the sample. */
static void tidy(nlp_distillation *d) {
    size_t n = 0;
    if (d->n_kept) qsort(d->kept, d->n_kept, sizeof *d->kept, by_hash);
    for (size_t i = 0; i < d->n_kept; i++) {
        bool again = n && !by_hash(&d->kept[n - 1], &d->kept[i]);
        if (again || n == d->sample)
            drop(d, &d->kept[i]);
        else
            d->kept[n++] = d->kept[i];
    }
    d->n_kept = d->n_sorted = n;
}

static nlp_status hash(nlp_text text, uint8_t *digest, nlp_poll *poll, nlp_error *err) {
    nlp_sha256 sha;
    nlp_sha256_init(&sha);
    for (size_t at = 0; at < text.n_bytes; at += HASH_STEP) {
        size_t n = text.n_bytes - at < HASH_STEP ? text.n_bytes - at : HASH_STEP;
        nlp_sha256_update(&sha, text.bytes + at, n);
        NLP_TRY(nlp_poll_work(poll, 16 * n, err));
    }
    nlp_sha256_final(&sha, digest);
    return nlp_poll_work(poll, 1024, err);
}

/* The largest hash of a full sample never rises, so what is above it never comes in. */
static bool is_beyond(const nlp_distillation *d, const sampled *s) {
    return d->n_sorted == d->sample && by_hash(s, &d->kept[d->n_sorted - 1]) >= 0;
}

static nlp_status add_text(nlp_distillation *d, nlp_text text, nlp_poll *poll, nlp_error *err) {
    nlp_mem *mem = &d->session->mem;
    sampled s;
    if (!text.bytes) return nlp_fail(err, NLP_EINVAL, "row %zu has no text", d->n_seen + 1);
    NLP_TRY(hash(text, s.digest, poll, err));
    d->n_seen++;
    if (is_beyond(d, &s)) return NLP_OK;
    if (d->n_kept == 2 * d->sample) tidy(d);
    char *copy = nlp_mem_alloc(mem, text.n_bytes + 1);
    if (!copy) return nlp_mem_fail(mem, text.n_bytes + 1, err);
    memcpy(copy, text.bytes, text.n_bytes);
    s.text = (nlp_text){copy, text.n_bytes};
    d->kept[d->n_kept++] = s;
    return NLP_OK;
}

nlp_status nlp_distill_add(nlp_distillation *d, const nlp_text *texts, size_t n,
                           const nlp_stop *stop, nlp_error *err) {
    nlp_poll poll;
    nlp_poll_init(&poll, stop, 0);
    for (size_t i = 0; i < n; i++) NLP_TRY(add_text(d, texts[i], &poll, err));
    return NLP_OK;
}

/* ---- What is held out ---- */

static nlp_status check_held_out(const nlp_distillation *d, size_t n_held_out, nlp_error *err) {
    if (n_held_out >= LEAST_HELD_OUT) return NLP_OK;
    nlp_fail(err, NLP_EINVAL,
             "%zu of %zu sampled texts are held out (holdout %g), at least %d are needed to judge "
             "the head by",
             n_held_out, d->n_kept, d->holdout, LEAST_HELD_OUT);
    nlp_hint(err, "more different texts, a larger sample (it is %zu), or a larger holdout",
             d->sample);
    return NLP_EINVAL;
}

/* Before the teacher works for nothing; a label with one text may still take one away. */
static nlp_status check_sample(const nlp_distillation *d, nlp_error *err) {
    size_t n = 0;
    if (!d->n_seen) return nlp_fail(err, NLP_EINVAL, "there are no rows to distil from");
    for (size_t i = 0; i < d->n_kept; i++) n += nlp_fit_holds_out(d->kept[i].digest, d->holdout);
    return check_held_out(d, n, err);
}

/* ---- The teacher ---- */

/* Also a base that can't embed is found before. */
static nlp_status try_base(nlp_distillation *d, const nlp_stop *stop, nlp_error *err) {
    const nlp_result *result;
    nlp_request request = {.struct_size = sizeof request,
                           .task = nlp_task_find(d->session->engine, "embed"),
                           .model = d->base,
                           .texts = &d->kept[0].text,
                           .n_inputs = 1,
                           .stop = stop ? *stop : (nlp_stop){0}};
    return nlp_session_run(d->session, &request, &result, err);
}

static nlp_status label_batch(nlp_distillation *d, const sampled *batch, size_t n,
                              const nlp_stop *stop, nlp_error *err) {
    nlp_text texts[2 * BATCH];
    const nlp_result *result;
    for (size_t i = 0; i < n; i++) texts[2 * i] = batch[i].text, texts[2 * i + 1] = d->list;
    nlp_request request = {.struct_size = sizeof request,
                           .task = nlp_task_find(d->session->engine, "zero_shot"),
                           .model = d->teacher,
                           .texts = texts,
                           .n_inputs = n,
                           .options = d->teacher_options.items,
                           .n_options = d->teacher_options.n,
                           .stop = stop ? *stop : (nlp_stop){0}};
    NLP_TRY(nlp_session_run(d->session, &request, &result, err));
    for (size_t i = 0; i < n; i++) {
        const nlp_output *output = &result->outputs[i];
        if (output->status != NLP_OK) continue; /* on_error 'null' */
        nlp_text label = {output->cells->as.text, output->cells->n};
        d->row_texts[d->n_rows] = batch[i].text;
        /* the answer is one of them, but lies where the next batch will */
        d->row_labels[d->n_rows++] =
            *(nlp_text *)bsearch(&label, d->labels, d->n_labels, sizeof label, nlp_text_by_bytes);
    }
    return NLP_OK;
}

static nlp_status label_sample(nlp_distillation *d, const nlp_stop *stop, nlp_error *err) {
    d->row_texts = NLP_PUSH(&d->own, nlp_text, d->n_kept);
    d->row_labels = NLP_PUSH(&d->own, nlp_text, d->n_kept);
    NLP_TRY(nlp_arena_status(&d->own, err));
    for (size_t first = 0; first < d->n_kept; first += BATCH) {
        size_t n = d->n_kept - first < BATCH ? d->n_kept - first : BATCH;
        NLP_TRY(label_batch(d, d->kept + first, n, stop, err));
    }
    return NLP_OK;
}

static nlp_status check_answers(const nlp_distillation *d, nlp_error *err) {
    size_t i = 1;
    if (!d->n_rows)
        return nlp_fail(err, NLP_EINVAL, "teacher %s failed on all %zu sampled texts",
                        d->teacher->name, d->n_kept);
    while (i < d->n_rows && nlp_text_equal(d->row_labels[0], d->row_labels[i])) i++;
    if (i < d->n_rows) return NLP_OK;
    nlp_text label = d->row_labels[0];
    nlp_fail(err, NLP_EINVAL,
             "teacher %s gave all %zu sampled texts the label \"%.*s\": there is nothing to learn",
             d->teacher->name, d->n_rows, (int)nlp_utf8_fit(label, NAME_BYTES), label.bytes);
    nlp_hint(err, "other labels, a hypothesis, another teacher, or texts of more kinds");
    return NLP_EINVAL;
}

/* ---- The head ---- */

static nlp_status check_agreement(const nlp_distillation *d, const nlp_fit_job *job,
                                  nlp_error *err) {
    NLP_TRY(check_held_out(d, job->n_held_out, err));
    if (job->accuracy >= d->min_agreement) return NLP_OK;
    nlp_fail(
        err, NLP_EINVAL,
        "the head agrees with teacher %s on %.4g of %zu held-out texts, min_agreement is %.4g: "
        "nothing was stored",
        d->teacher->name, job->accuracy, job->n_held_out, d->min_agreement);
    nlp_hint(err,
             "a larger sample (it is %zu), other labels, another teacher, or a lower min_agreement",
             d->sample);
    return NLP_EINVAL;
}

static nlp_status put_result(nlp_distillation *d, const nlp_fit_job *job, nlp_fit_result *result,
                             nlp_error *err) {
    const nlp_metric own[] = {{"agreement", job->accuracy},
                              {"rows_seen", (double)d->n_seen},
                              {"rows_sampled", (double)d->n_kept}};
    size_t n = sizeof own / sizeof *own;
    nlp_metric *metrics = NLP_PUSH(&d->own, nlp_metric, n + job->n_metrics);
    NLP_TRY(nlp_arena_status(&d->own, err));
    memcpy(metrics, own, sizeof own);
    memcpy(metrics + n, job->metrics, job->n_metrics * sizeof *metrics);
    *result = (nlp_fit_result){.pack = job->pack,
                               .pack_bytes = job->pack_bytes,
                               .metrics = metrics,
                               .n_metrics = n + job->n_metrics};
    return NLP_OK;
}

static nlp_status fit_head(nlp_distillation *d, const nlp_stop *stop, nlp_fit_result *result,
                           nlp_error *err) {
    nlp_fit_job job = {.name = d->name,
                       .texts = d->row_texts,
                       .labels = d->row_labels,
                       .n = d->n_rows,
                       .options = d->fit_options.items,
                       .n_options = d->fit_options.n,
                       .teacher = nlp_arena_format(&d->own, "%s (SHA-256 %s)", d->teacher->name,
                                                   d->teacher->digest)};
    NLP_TRY(nlp_arena_status(&d->own, err));
    NLP_TRY(nlp_session_fit(d->session, d->base, &job, stop, err));
    NLP_TRY(check_agreement(d, &job, err));
    return put_result(d, &job, result, err);
}

nlp_status nlp_distill_finish(nlp_distillation *d, const nlp_stop *stop, nlp_fit_result *result,
                              nlp_error *err) {
    nlp_poll poll;
    *result = (nlp_fit_result){0};
    nlp_poll_init(&poll, stop, 0);
    NLP_TRY(nlp_poll_now(&poll, err)); /* rows that ended because they were stopped are not all */
    tidy(d);
    NLP_TRY(check_sample(d, err));
    NLP_TRY(try_base(d, stop, err));
    NLP_TRY(label_sample(d, stop, err));
    NLP_TRY(check_answers(d, err));
    return fit_head(d, stop, result, err);
}
