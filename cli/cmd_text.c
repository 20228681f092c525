/* cmd_text.c: the commands that send texts through a task: embed, similarity, sentiment, classify,
 * filter, tokens. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* ---- embed ---- */

static void emit_embedding(cli *app, const cli_record *record, const nlp_output *output) {
    const nlp_value *cell = output->cells;
    if (app->json) {
        cli_print_json(record, json_pack("{s:o, s:i, s:b}", "embedding",
                                         cli_json_vector(cell->as.vector, cell->n), "tokens",
                                         (int)output->n_tokens, "truncated", output->truncated));
        return;
    }
    for (uint32_t i = 0; i < cell->n; i++)
        printf("%s%.9g", i ? "\t" : "", (double)cell->as.vector[i]);
    putchar('\n');
}

int cmd_embed(cli *app) {
    return cli_run_task(app, "embed", (cli_job){.emit = emit_embedding});
}

/* ---- similarity ---- */

static void emit_similarity(cli *app, const cli_record *record, const nlp_output *output) {
    if (app->json)
        cli_print_json(record, json_pack("{s:f}", "cosine", output->cells->as.real));
    else
        printf("%.9g\n", output->cells->as.real);
}

int cmd_similarity(cli *app) {
    return cli_run_task(
        app, "similarity",
        (cli_job){.keys = {"a", "b"}, .columns = "cosine", .emit = emit_similarity});
}

/* ---- sentiment ---- */

static void emit_sentiment(cli *app, const cli_record *record, const nlp_output *output) {
    const nlp_value *label = output->cells;
    if (app->json) {
        cli_print_json(record,
                       json_pack("{s:o, s:f}", "label", cli_json_text(label->as.text, label->n),
                                 "score", output->score));
        return;
    }
    cli_print_field(label->as.text, label->n);
    printf("\t%.6f\t", output->score);
    cli_print_field(record->line, record->n_bytes);
    putchar('\n');
}

int cmd_sentiment(cli *app) {
    return cli_run_task(app, "sentiment",
                        (cli_job){.columns = "label\tscore\ttext", .emit = emit_sentiment});
}

/* ---- classify ---- */

static json_t *json_scores(const nlp_output *output) {
    json_t *scores = json_object();
    for (uint32_t i = 0; i < output->n_rows; i++) {
        const nlp_value *row = output->cells + 2 * i;
        json_t *key = cli_json_text(row[0].as.text, row[0].n);
        json_object_set_new(scores, json_string_value(key), json_real(row[1].as.real));
        json_decref(key);
    }
    return scores;
}

/* A second pass over one input, for the raw scores: --logits is for tests, not for speed. */
static json_t *json_logits(cli *app, cli_record *record) {
    const nlp_task_spec *task = nlp_task_find(app->engine, "classify_scores");
    nlp_model *model = cli_open_model(app, app->model_name, task);
    nlp_text text = cli_record_text(record, "text");
    const nlp_result *result;
    nlp_error err;
    size_t n_options = app->n_options;
    json_t *logits = NULL;
    if (n_options < CLI_MAX_OPTIONS)
        app->options[app->n_options++] =
            (nlp_option){"raw", {.type = NLP_TYPE_BOOLEAN, .as.boolean = true}};
    if (model && cli_run(app, task, model, &text, 1, &result, &err) == NLP_OK)
        logits = json_scores(result->outputs);
    app->n_options = n_options;
    nlp_model_close(model);
    return logits ? logits : json_null();
}

static void emit_scores(cli *app, const cli_record *record, const nlp_output *output) {
    if (!output->n_rows) return;
    const nlp_value *best = output->cells;
    if (!app->json) {
        cli_print_field(best[0].as.text, best[0].n);
        printf("\t%.6f\t", best[1].as.real);
        cli_print_field(record->line, record->n_bytes);
        putchar('\n');
        return;
    }
    json_t *line = json_pack("{s:o, s:o}", "label", cli_json_text(best[0].as.text, best[0].n),
                             "scores", json_scores(output));
    cli_record copy = *record;
    if (cli_flag_value(app, "logits")) json_object_set_new(line, "logits", json_logits(app, &copy));
    cli_print_json(record, line);
}

static void emit_labels(cli *app, const cli_record *record, const nlp_output *output) {
    if (app->json)
        cli_print_json(record, json_pack("{s:o, s:o}", "label",
                                         cli_json_text(output->cells->as.text, output->cells->n),
                                         "scores", json_scores(output)));
    else
        emit_scores(app, record, output);
}

/* Labels of the caller's make it another task: for all inputs by --labels, for one by its "labels". */
int cmd_classify(cli *app) {
    const char *labels = cli_flag_value(app, "labels"), *columns = "label\tscore\ttext";
    cli_job zero_shot = {.task = nlp_task_find(app->engine, "zero_shot_scores"),
                         .keys = {"text", "labels"},
                         .columns = columns,
                         .emit = emit_labels,
                         .list = labels};
    if (labels) return cli_run_task(app, "zero_shot_scores", zero_shot);
    return cli_run_task(
        app, "classify_scores",
        (cli_job){.columns = columns, .emit = emit_scores, .with_list = &zero_shot});
}

/* ---- filter ---- */

static void emit_match(cli *app, const cli_record *record, const nlp_output *output) {
    bool matches = output->cells->as.boolean;
    if (app->json) {
        cli_print_json(record, json_pack("{s:b, s:f}", "matches", matches, "score", output->score));
        return;
    }
    printf("%s\t%.6f\t", matches ? "true" : "false", output->score);
    cli_print_field(record->line, record->n_bytes);
    putchar('\n');
}

int cmd_filter(cli *app) {
    return cli_run_task(app, "filter",
                        (cli_job){.keys = {"text", "condition"},
                                  .columns = "matches\tscore\ttext",
                                  .emit = emit_match,
                                  .second = cli_flag_value(app, "condition")});
}

/* ---- tokens ---- */

/* SQL counts characters from 1 with the end included, JSON from 0 with the end excluded. */
static json_t *json_offsets(const nlp_value *start, const nlp_value *end) {
    if (start->type == NLP_TYPE_NULL) return json_pack("[i,i]", 0, 0);
    return json_pack("[I,I]", (json_int_t)start->as.integer - 1, (json_int_t)end->as.integer);
}

static void emit_tokens_json(const cli_record *record, const nlp_output *output) {
    json_t *ids = json_array(), *offsets = json_array(), *pieces = json_array();
    for (uint32_t i = 0; i < output->n_rows; i++) {
        const nlp_value *row = output->cells + 5 * i;
        json_array_append_new(ids, json_integer(row[1].as.integer));
        json_array_append_new(pieces, cli_json_text(row[2].as.text, row[2].n));
        json_array_append_new(offsets, json_offsets(&row[3], &row[4]));
    }
    cli_print_json(record, json_pack("{s:o, s:o, s:o, s:b, s:i}", "ids", ids, "offsets", offsets,
                                     "pieces", pieces, "truncated", output->truncated, "unknown",
                                     (int)output->n_unknown));
}

static void emit_tokens(cli *app, const cli_record *record, const nlp_output *output) {
    if (app->json) {
        emit_tokens_json(record, output);
        return;
    }
    for (uint32_t i = 0; i < output->n_rows; i++) {
        const nlp_value *row = output->cells + 5 * i;
        printf("%lld\t", (long long)row[1].as.integer);
        cli_print_field(row[2].as.text, row[2].n);
        if (row[3].type == NLP_TYPE_NULL)
            puts("\t\t");
        else
            printf("\t%lld\t%lld\n", (long long)row[3].as.integer, (long long)row[4].as.integer);
    }
    putchar('\n');
}

static bool parse_ids(const cli_record *record, int32_t *ids, size_t capacity, uint32_t *n) {
    const char *at = record->line, *end = at + record->n_bytes;
    for (*n = 0; at < end && *n < capacity;) {
        char *stop;
        long id = strtol(at, &stop, 10);
        if (stop == at)
            at++;
        else
            ids[(*n)++] = (int32_t)id, at = stop;
    }
    return at >= end;
}

/* Lines of ids (or JSON arrays, or objects with "ids") to text. */
static int decode_lines(cli *app, nlp_model *model, int32_t *ids, size_t capacity) {
    const nlp_task_spec *task = nlp_task_find(app->engine, "detokenize");
    cli_input *input;
    cli_record record;
    int status = CLI_DONE;
    bool json = app->json;
    app->json = false; /* the line itself is scanned for numbers */
    if (cli_input_open(app, &input) != CLI_DONE) return CLI_ENVIRONMENT;
    while (cli_input_next(input, &record, 1, 1)) {
        nlp_value value = {.type = NLP_TYPE_IDS, .as.ids = ids};
        const nlp_result *result;
        nlp_error err = {.code = NLP_ELIMIT, .message = "more ids than one line may have"};
        nlp_request request = {.struct_size = sizeof request,
                               .task = task,
                               .model = model,
                               .ids = &value,
                               .n_inputs = 1,
                               .stop = cli_stop};
        if (!parse_ids(&record, ids, capacity, &value.n) ||
            nlp_session_run(app->session, &request, &result, &err) != NLP_OK) {
            cli_report(&err);
            status = CLI_INPUT_FAILED;
            continue;
        }
        const nlp_value *text = result->outputs->cells;
        if (json)
            cli_print_json(NULL, json_pack("{s:o}", "text", cli_json_text(text->as.text, text->n)));
        else
            printf("%.*s\n", (int)text->n, text->as.text);
    }
    cli_input_close(input);
    return status;
}

static int decode_command(cli *app) {
    enum { MAX_IDS = 1 << 20 };
    nlp_model *model = cli_open_model(app, app->model_name, nlp_task_find(app->engine, "tokens"));
    int32_t *ids = malloc(MAX_IDS * sizeof *ids);
    int status = model && ids ? decode_lines(app, model, ids, MAX_IDS) : CLI_ENVIRONMENT;
    free(ids);
    nlp_model_close(model);
    return status;
}

int cmd_tokens(cli *app) {
    if (cli_flag_value(app, "decode")) return decode_command(app);
    if (cli_flag_value(app, "no-special") && app->n_options < CLI_MAX_OPTIONS)
        app->options[app->n_options++] =
            (nlp_option){"special_tokens", {.type = NLP_TYPE_BOOLEAN, .as.boolean = false}};
    return cli_run_task(app, "tokens",
                        (cli_job){.columns = "id\ttoken\tstart\tend", .emit = emit_tokens});
}
