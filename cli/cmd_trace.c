/* cmd_trace.c: `nlp trace`: hidden states of every layer as safetensors, named as the test fixtures
 * name them: layer.N.K is the hidden state K of input N (0: behind the embedding norm), hidden.N
 * the last one; of a decoder logits.N, and with --greedy the tokens that it writes. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef struct trace {
    json_t *header;
    FILE *data; /* the tensors, before the header is known */
    size_t n_bytes, input;
    uint32_t n_layers;
    long greedy; /* tokens to write; 0: none */
    bool failed;
} trace;

static void add_tensor(trace *t, const char *name, const float *rows, size_t n_rows, size_t width) {
    size_t n = n_rows * width * sizeof *rows;
    json_object_set_new(t->header, name,
                        json_pack("{s:s, s:[I,I], s:[I,I]}", "dtype", "F32", "shape",
                                  (json_int_t)n_rows, (json_int_t)width, "data_offsets",
                                  (json_int_t)t->n_bytes, (json_int_t)(t->n_bytes + n)));
    t->failed = fwrite(rows, 1, n, t->data) != n || t->failed;
    t->n_bytes += n;
}

static void on_point(void *context, const char *point, uint32_t layer, const float *rows,
                     size_t n_rows, size_t width) {
    trace *t = context;
    char name[64];
    if (!strcmp(point, "logits")) {
        snprintf(name, sizeof name, "logits.%zu", t->input);
        add_tensor(t, name, rows, n_rows, width);
    }
    if (strcmp(point, "layer")) return;
    snprintf(name, sizeof name, "layer.%zu.%u", t->input, layer);
    add_tensor(t, name, rows, n_rows, width);
    if (layer != t->n_layers) return;
    snprintf(name, sizeof name, "hidden.%zu", t->input);
    add_tensor(t, name, rows, n_rows, width);
}

/* {"ids": [...]} in place of a text. */
static int32_t *given_ids(const json_t *list, size_t *n) {
    *n = json_array_size(list);
    int32_t *ids = malloc((*n + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < *n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return ids;
}

/* Ids of one input by the tokens task; the caller frees. */
static int32_t *ids_of(cli *app, nlp_model *model, cli_record *record, size_t *n) {
    const nlp_task_spec *task = nlp_task_find(app->engine, "tokens");
    const json_t *list = json_object_get(record->object, "ids");
    if (json_is_array(list)) return given_ids(list, n);
    nlp_text text = cli_record_text(record, "text");
    const nlp_result *result;
    nlp_error err = record->problem;
    size_t n_options = app->n_options; /* are those of what follows the text */
    app->n_options = 0;
    bool failed =
        err.code != NLP_OK || cli_run(app, task, model, &text, 1, &result, &err) != NLP_OK;
    app->n_options = n_options;
    if (failed) {
        cli_report(&err);
        return NULL;
    }
    *n = result->outputs->n_rows;
    int32_t *ids = malloc((*n + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < *n; i++)
        ids[i] = (int32_t)result->outputs->cells[i * task->n_columns + 1].as.integer;
    return ids;
}

/* [[id, p], ...] of what may be drawn first. */
static json_t *json_probabilities(const nlp_continuation *c) {
    json_t *out = json_array();
    for (size_t i = 0; i < c->n_probabilities; i++)
        if (c->probabilities[i] > 0)
            json_array_append_new(out, json_pack("[i,f]", (int)i, (double)c->probabilities[i]));
    return out;
}

static json_t *json_continuation(const nlp_continuation *c) {
    if (c->probabilities) return json_pack("{s:o}", "p", json_probabilities(c));
    json_t *tokens = json_array(), *distances = json_array();
    for (size_t i = 0; i < c->n_made; i++) {
        json_array_append_new(tokens, json_integer(c->made[i]));
        json_array_append_new(distances, json_real((double)c->gaps[i]));
    }
    return json_pack("{s:o, s:o, s:f, s:o}", "ids", tokens, "gaps", distances, "score", c->score,
                     "text", json_stringn(c->text.bytes, c->text.n_bytes));
}

/* A line {"ids": [...], "gaps": [...], "score": 0, "text": "..."} of one input, or with --distribution
 * {"p": [[id, p], ...]}; "ends" of the input are ids that end it,
 * "forced" comes first. */
static int print_greedy(cli *app, nlp_model *model, const int32_t *ids, size_t n, size_t max_new,
                        const json_t *input) {
    nlp_error err;
    uint32_t own_ends[8];
    const json_t *ends = json_object_get(input, "ends"), *forced = json_object_get(input, "forced");
    size_t n_ends = json_array_size(ends);
    for (size_t i = 0; i < n_ends && i < 8; i++)
        own_ends[i] = (uint32_t)json_integer_value(json_array_get(ends, i));
    nlp_continuation c = {.ids = ids,
                          .n_ids = n,
                          .max_new = max_new,
                          .options = app->options,
                          .n_options = app->n_options,
                          .ends = ends ? own_ends : NULL,
                          .forced_first = forced ? (uint32_t)json_integer_value(forced) + 1 : 0,
                          .n_ends = n_ends < 8 ? n_ends : 8,
                          .wants_probabilities = cli_flag_value(app, "distribution") != NULL};
    int status = CLI_DONE;
    c.gaps = calloc(max_new, sizeof *c.gaps);
    if (nlp_session_continue(app->session, model, &c, &cli_stop, &err) != NLP_OK)
        status = cli_report(&err);
    else
        cli_print_json(NULL, json_continuation(&c));
    free(c.gaps);
    return status;
}

static bool write_file(const char *path, const trace *t) {
    char *header = json_dumps(t->header, JSON_COMPACT);
    FILE *out = fopen(path, "wb");
    uint64_t n = header ? strlen(header) : 0;
    bool good =
        out && header && fwrite(&n, sizeof n, 1, out) == 1 && fwrite(header, 1, n, out) == n;
    char block[1 << 16];
    rewind(t->data);
    for (size_t got; good && (got = fread(block, 1, sizeof block, t->data)) > 0;)
        good = fwrite(block, 1, got, out) == got;
    if (out && fclose(out) != 0) good = false;
    free(header);
    return good;
}

static int trace_inputs(cli *app, nlp_model *model, trace *t) {
    cli_input *input;
    cli_record record;
    nlp_error err;
    if (cli_input_open(app, &input) != CLI_DONE) return CLI_ENVIRONMENT;
    int status = CLI_DONE;
    for (; status == CLI_DONE && cli_input_next(input, &record, 1, 1); t->input++) {
        size_t n;
        int32_t *ids = ids_of(app, model, &record, &n);
        if (!ids)
            status = CLI_INPUT_FAILED;
        else if (n && nlp_session_trace(app->session, model, ids, NULL, n, &cli_stop, on_point, t,
                                        &err) != NLP_OK)
            status = cli_report(&err);
        if (status == CLI_DONE && n && t->greedy)
            status = print_greedy(app, model, ids, n, (size_t)t->greedy, record.object);
        free(ids);
    }
    cli_input_close(input);
    return status;
}

int cmd_trace(cli *app) {
    const char *out = cli_flag_value(app, "out");
    if (!out) {
        fputs("nlp: trace needs --out FILE\n", stderr);
        return CLI_USAGE;
    }
    const char *greedy = cli_flag_value(app, "greedy");
    long n_greedy = 0;
    if (greedy && !cli_whole_number("greedy", greedy, 1, 4096, &n_greedy)) return CLI_USAGE;
    nlp_model *model = cli_open_model(app, app->model_name, nlp_task_find(app->engine, "tokens"));
    trace t = {.header = json_object(), .data = tmpfile(), .greedy = n_greedy};
    int status = CLI_ENVIRONMENT;
    if (model && t.data) {
        nlp_model_info info = {.struct_size = sizeof info};
        nlp_model_get_info(model, &info);
        t.n_layers = info.layers;
        status = trace_inputs(app, model, &t);
    }
    if (status == CLI_DONE && (t.failed || !write_file(out, &t))) {
        fprintf(stderr, "nlp: %s can't be written\n", out);
        status = CLI_ENVIRONMENT;
    }
    if (t.data) fclose(t.data);
    json_decref(t.header);
    nlp_model_close(model);
    return status;
}
