/* cmd_fit.c: `nlp fit`: a task pack from labelled texts, on the frozen vectors of a base model. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_import.h"

typedef struct corpus {
    nlp_text *texts, *labels;
    char **lines; /* owners of plain lines */
    json_t **objects;
    size_t n, capacity;
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
    fprintf(stderr, "nlp: line %zu has no label, tab, text\n", c->n);
    return false;
}

static bool read_corpus(cli *app, corpus *c) {
    enum { BATCH = 1024 };
    cli_input *input;
    bool good = true;
    size_t n;
    cli_record *records = calloc(BATCH, sizeof *records);
    if (!records || cli_input_open(app, &input) != CLI_DONE) return false;
    while (good && (n = cli_input_next(input, records, BATCH, (size_t)1 << 24)))
        for (size_t i = 0; i < n && good; i++) good = keep_record(c, &records[i]);
    cli_input_close(input);
    free(records);
    return good;
}

static void print_metrics(const cli *app, const nlp_fit_result *result) {
    json_t *line = json_object();
    for (size_t i = 0; i < result->n_metrics; i++) {
        const nlp_metric *metric = &result->metrics[i];
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

static int fit(cli *app, nlp_model *base, const corpus *c, const char *name, const char *out) {
    nlp_fit_result result;
    nlp_error err;
    if (nlp_fit(app->session, base, name, c->texts, c->labels, c->n, app->options, app->n_options,
                &cli_stop, &result, &err) != NLP_OK)
        return cli_report(&err);
    print_metrics(app, &result);
    if (nlp_pack_save(out, result.pack, result.pack_bytes, cli_flag_value(app, "replace"), &err) !=
        NLP_OK)
        return cli_report(&err);
    fprintf(stderr, "nlp: wrote %s, %zu bytes\n", out, result.pack_bytes);
    return CLI_DONE;
}

/* "sentiment" of "models/sentiment.nlp". */
static void base_name(const char *path, char *out, size_t out_bytes) {
    const char *slash = strrchr(path, '/');
    snprintf(out, out_bytes, "%s", slash ? slash + 1 : path);
    char *ending = strstr(out, ".nlp");
    if (ending) *ending = 0;
}

int cmd_fit(cli *app) {
    char out[CLI_PATH_BYTES], name[64];
    const char *where = cli_flag_value(app, "out");
    if (!where) {
        fputs("nlp: fit needs --out NAME\n", stderr);
        return CLI_USAGE;
    }
    if (!cli_pack_path(app, where, out, sizeof out)) return CLI_ENVIRONMENT;
    base_name(out, name, sizeof name);
    corpus c = {0};
    nlp_model *base = cli_open_model(app, app->model_name, nlp_task_find(app->engine, "embed"));
    int status = base && read_corpus(app, &c) ? fit(app, base, &c, name, out) : CLI_ENVIRONMENT;
    free_corpus(&c);
    nlp_model_close(base);
    return status;
}
