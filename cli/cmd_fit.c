/* cmd_fit.c: `nlp fit`: a task pack from labelled texts, on the frozen vectors of a base model; `nlp
 * distill`: the same from texts that a slow model labels; `nlp evaluate`: a model's labels against those of
 * texts. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cli_import.h"

typedef struct corpus {
    nlp_text *texts, *labels;
    char **lines; /* owners of plain lines */
    json_t **objects;
    size_t n, capacity, n_before; /* n_before: records of batches that are gone */
} corpus;

static void free_corpus(corpus *c) {
    for (size_t i = 0; i < c->n; i++) {
        free(c->lines[i]);
        json_decref(c->objects[i]);
    }
    free(c->texts);
    free(c->labels);
    free(c->lines);
    free(c->objects);
}

static bool grow(corpus *c) {
    if (c->n < c->capacity) return true;
    size_t capacity = c->capacity ? 2 * c->capacity : 1024;
    void *texts = realloc(c->texts, capacity * sizeof *c->texts);
    if (texts) c->texts = texts;
    void *labels = realloc(c->labels, capacity * sizeof *c->labels);
    if (labels) c->labels = labels;
    void *lines = realloc(c->lines, capacity * sizeof *c->lines);
    if (lines) c->lines = lines;
    void *objects = realloc(c->objects, capacity * sizeof *c->objects);
    if (objects) c->objects = objects;
    if (!texts || !labels || !lines || !objects) return false;
    c->capacity = capacity;
    return true;
}

/* One record, copied: the input's batch does not outlive the next one. */
static bool keep_record(corpus *c, cli_record *record) {
    if (!grow(c)) return false;
    char *line = NULL;
    json_t *object = record->object ? json_incref(record->object) : NULL;
    nlp_text text = cli_record_text(record, "text"), label = {0};
    if (record->object) {
        label = cli_record_text(record, "label");
    } else if ((line = malloc(record->n_bytes + 1))) {
        memcpy(line, record->line, record->n_bytes);
        line[record->n_bytes] = 0;
        char *tab = strchr(line, '\t');
        if (tab) {
            label = (nlp_text){line, (size_t)(tab - line)};
            text = (nlp_text){tab + 1, record->n_bytes - label.n_bytes - 1};
        }
    }
    c->texts[c->n] = text;
    c->labels[c->n] = label;
    c->lines[c->n] = line;
    c->objects[c->n++] = object;
    if (label.bytes && text.bytes) return true;
    fprintf(stderr, "nlp: line %zu has no label, tab, text\n", c->n_before + c->n);
    return false;
}

/* Reads everything, and hands it to `use` some hundreds of texts at a time where that is given. */
static int read_corpus(cli *app, corpus *c, int (*use)(void *context, corpus *c), void *context) {
    enum { BATCH = 256 };
    cli_input *input;
    int status = CLI_DONE;
    size_t n;
    cli_record *records = calloc(BATCH, sizeof *records);
    if (!records || cli_input_open(app, &input) != CLI_DONE) {
        free(records);
        return CLI_ENVIRONMENT;
    }
    while (status == CLI_DONE && (n = cli_input_next(input, records, BATCH, (size_t)1 << 24))) {
        for (size_t i = 0; i < n && status == CLI_DONE; i++)
            if (!keep_record(c, &records[i])) status = CLI_ENVIRONMENT;
        if (use && status == CLI_DONE) status = use(context, c);
    }
    cli_input_close(input);
    free(records);
    return status;
}

static void print_metrics(const cli *app, const nlp_metric *metrics, size_t n) {
    json_t *line = json_object();
    for (size_t i = 0; i < n; i++) {
        const nlp_metric *metric = &metrics[i];
        if (app->json)
            json_object_set_new(line, metric->name, json_real(metric->value));
        else
            printf("%s\t%.6g\n", metric->name, metric->value);
    }
    if (app->json)
        cli_print_json(NULL, line);
    else
        json_decref(line);
}

/* Prints the metrics of a pack and writes it. */
static int save(cli *app, const nlp_fit_result *result, const char *out) {
    nlp_error err;
    print_metrics(app, result->metrics, result->n_metrics);
    if (nlp_pack_save(out, result->pack, result->pack_bytes, cli_flag_value(app, "replace"),
                      &err) != NLP_OK)
        return cli_report(&err);
    fprintf(stderr, "nlp: wrote %s, %zu bytes\n", out, result->pack_bytes);
    return CLI_DONE;
}

static int fit(cli *app, nlp_model *base, const corpus *c, const char *name, const char *out) {
    nlp_fit_result result;
    nlp_error err;
    if (nlp_fit(app->session, base, name, c->texts, c->labels, c->n, app->options, app->n_options,
                &cli_stop, &result, &err) != NLP_OK)
        return cli_report(&err);
    return save(app, &result, out);
}

/* "sentiment" of "models/sentiment.nlp". */
static void base_name(const char *path, char *out, size_t out_bytes) {
    const char *slash = strrchr(path, '/');
    snprintf(out, out_bytes, "%s", slash ? slash + 1 : path);
    char *ending = strstr(out, ".nlp");
    if (ending) *ending = 0;
}

/* The path of the pack to make, and its name. */
static int read_out(cli *app, char out[CLI_PATH_BYTES], char name[64]) {
    const char *where = cli_flag_value(app, "out");
    if (!where) {
        fprintf(stderr, "nlp: %s needs --out NAME\n", app->command->name);
        return CLI_USAGE;
    }
    if (!cli_pack_path(app, where, out, CLI_PATH_BYTES)) return CLI_ENVIRONMENT;
    base_name(out, name, 64);
    return CLI_DONE;
}

int cmd_fit(cli *app) {
    char out[CLI_PATH_BYTES], name[64];
    int status = read_out(app, out, name);
    if (status != CLI_DONE) return status;
    corpus c = {0};
    nlp_model *base = cli_open_model(app, app->model_name, nlp_task_find(app->engine, "embed"));
    status = base ? read_corpus(app, &c, NULL, NULL) : CLI_ENVIRONMENT;
    if (status == CLI_DONE) status = fit(app, base, &c, name, out);
    free_corpus(&c);
    nlp_model_close(base);
    return status;
}

/* ---- nlp distill ---- */

/* The model that an option names, else the other name, else the default one of the task. */
static nlp_model *model_of(cli *app, const char *key, const char *other, const char *task_name) {
    char name[CLI_PATH_BYTES];
    nlp_error err;
    if (nlp_distill_model_name(app->options, app->n_options, key, name, sizeof name, &err) !=
        NLP_OK) {
        cli_report(&err);
        return NULL;
    }
    return cli_open_model(app, *name ? name : other, nlp_task_find(app->engine, task_name));
}

static int add_lines(nlp_distillation *d, cli_record *records, size_t n, size_t n_before) {
    for (size_t i = 0; i < n; i++) {
        nlp_error err;
        nlp_text text = cli_record_text(&records[i], "text");
        if (!text.bytes) {
            fprintf(stderr, "nlp: line %zu: %s\n", n_before + i + 1, records[i].problem.message);
            return CLI_ENVIRONMENT;
        }
        if (nlp_distill_add(d, &text, 1, &cli_stop, &err) != NLP_OK) return cli_report(&err);
    }
    return CLI_DONE;
}

static int read_lines(cli *app, nlp_distillation *d) {
    enum { LINES = 256 };
    cli_record records[LINES];
    cli_input *input;
    int status = cli_input_open(app, &input);
    size_t n, n_before = 0;
    if (status != CLI_DONE) return status;
    while (status == CLI_DONE && (n = cli_input_next(input, records, LINES, (size_t)1 << 24))) {
        status = add_lines(d, records, n, n_before);
        n_before += n;
    }
    cli_input_close(input);
    return status;
}

static int distill(cli *app, const nlp_distill_request *request, const char *out) {
    nlp_distillation *d;
    nlp_fit_result result;
    nlp_error err;
    if (nlp_distill_open(app->engine, request, &d, &err) != NLP_OK) return cli_report(&err);
    int status = read_lines(app, d);
    if (status == CLI_DONE && nlp_distill_finish(d, &cli_stop, &result, &err) != NLP_OK)
        status = cli_report(&err);
    else if (status == CLI_DONE)
        status = save(app, &result, out);
    nlp_distill_close(d);
    return status;
}

/* Before the teacher works for long. */
static int check_distill(const cli *app, const char *out) {
    if (!cli_flag_value(app, "labels")) {
        fputs("nlp: distill needs --labels LIST\n", stderr);
        return CLI_USAGE;
    }
    if (cli_flag_value(app, "replace") || access(out, F_OK) != 0) return CLI_DONE;
    fprintf(stderr, "nlp: %s exists already\nhint: --replace replaces it\n", out);
    return CLI_ENVIRONMENT;
}

int cmd_distill(cli *app) {
    char out[CLI_PATH_BYTES], name[64];
    int status = read_out(app, out, name);
    if (status == CLI_DONE) status = check_distill(app, out);
    if (status != CLI_DONE) return status;
    size_t n_bytes;
    char *labels =
        cli_record_list(&(cli_record){0}, "labels", cli_flag_value(app, "labels"), &n_bytes);
    nlp_distill_request request = {.struct_size = sizeof request,
                                   .name = name,
                                   .teacher = model_of(app, "teacher", NULL, "zero_shot"),
                                   .labels = {labels, n_bytes},
                                   .options = app->options,
                                   .n_options = app->n_options};
    if (request.teacher) request.base = model_of(app, "base", app->model_name, "embed");
    status = labels && request.base ? distill(app, &request, out) : CLI_ENVIRONMENT;
    nlp_model_close(request.base);
    nlp_model_close(request.teacher);
    free(labels);
    return status;
}

/* ---- nlp evaluate ---- */

static int evaluate_batch(void *context, corpus *c) {
    nlp_error err;
    nlp_status status = nlp_evaluation_add(context, c->texts, c->labels, c->n, &cli_stop, &err);
    free_corpus(c);
    *c = (corpus){.n_before = c->n_before + c->n};
    return status == NLP_OK ? CLI_DONE : cli_report(&err);
}

static int evaluate(cli *app, nlp_evaluation *e) {
    corpus c = {0};
    const nlp_metric *metrics;
    size_t n;
    nlp_error err;
    int status = read_corpus(app, &c, evaluate_batch, e);
    free_corpus(&c);
    if (status != CLI_DONE) return status;
    if (nlp_evaluation_finish(e, &metrics, &n, &err) != NLP_OK) return cli_report(&err);
    print_metrics(app, metrics, n);
    return CLI_DONE;
}

/* The model is the first argument where -m does not name it: `nlp evaluate intents test.tsv`. */
int cmd_evaluate(cli *app) {
    nlp_evaluation *e = NULL;
    nlp_error err;
    const char *name = app->model_name;
    if (!name && app->n_arguments) {
        name = *app->arguments++;
        app->n_arguments--;
    }
    nlp_model *model = cli_open_model(app, name, nlp_task_find(app->engine, "classify"));
    int status = CLI_ENVIRONMENT;
    if (model && nlp_evaluation_open(app->engine, model, &e, &err) != NLP_OK)
        status = cli_report(&err);
    else if (model)
        status = evaluate(app, e);
    nlp_evaluation_close(e);
    nlp_model_close(model);
    return status;
}
