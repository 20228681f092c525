/* cmd_write.c: the commands that write texts: generate, translate, summarize,
 * extract. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* ---- generate ---- */

static json_t *json_ids(const nlp_value *value) {
    json_t *array = json_array();
    for (uint32_t i = 0; i < value->n; i++)
        json_array_append_new(array, json_integer(value->as.ids[i]));
    return array;
}

/* A text of several lines is one field of a plain line. */
static void emit_written(cli *app, const cli_record *record, const nlp_output *output) {
    const nlp_value *cells = output->cells;
    if (app->json) {
        cli_print_json(record, json_pack("{s:o, s:o, s:o, s:b}", "text",
                                         cli_json_text(cells[0].as.text, cells[0].n), "ids",
                                         json_ids(&cells[1]), "finish",
                                         cli_json_text(cells[2].as.text, cells[2].n), "truncated",
                                         output->truncated));
        return;
    }
    cli_print_field(cells[0].as.text, cells[0].n);
    putchar('\n');
}

/* ---- Streams ---- */

static void emit_piece(const cli *app, const cli_record *record, const nlp_piece *piece) {
    if (app->json)
        cli_print_json(record, json_pack("{s:i, s:o, s:b}", "step", (int)piece->step, "text",
                                         cli_json_text(piece->text.bytes, piece->text.n_bytes),
                                         "done", piece->done));
    else
        fwrite(piece->text.bytes ? piece->text.bytes : "", 1, piece->text.n_bytes, stdout);
    fflush(stdout);
}

/* One input, piece by piece. */
static nlp_status stream_text(cli *app, const nlp_task_spec *task, nlp_model *model,
                              cli_record *record, nlp_error *err) {
    nlp_stream *stream;
    nlp_piece piece = {0};
    nlp_text text = cli_record_text(record, "text");
    nlp_request request = {.struct_size = sizeof request,
                           .task = task,
                           .model = model,
                           .texts = &text,
                           .n_inputs = 1,
                           .options = app->options,
                           .n_options = app->n_options,
                           .stop = cli_stop};
    *err = record->problem;
    nlp_status status = err->code;
    if (status == NLP_OK) status = nlp_stream_open(app->engine, &request, &stream, err);
    if (status != NLP_OK) return status;
    while (status == NLP_OK && !piece.done) {
        status = nlp_stream_next(stream, &cli_stop, &piece, err);
        if (status == NLP_OK) emit_piece(app, record, &piece);
    }
    nlp_stream_close(stream);
    if (!app->json) putchar('\n');
    return status;
}

static int stream_inputs(cli *app, const char *task_name) {
    const nlp_task_spec *task = nlp_task_find(app->engine, task_name);
    nlp_model *model = cli_open_model(app, app->model_name, task);
    cli_input *input;
    cli_record record;
    nlp_error err;
    int result = CLI_DONE;
    if (!model || cli_input_open(app, &input) != CLI_DONE) {
        nlp_model_close(model);
        return CLI_ENVIRONMENT;
    }
    for (nlp_status status = NLP_OK;
         status != NLP_ECANCELED && cli_input_next(input, &record, 1, 1);) {
        status = stream_text(app, task, model, &record, &err);
        if (status == NLP_OK) continue;
        result = CLI_INPUT_FAILED;
        cli_print_error(app, &record, &err);
    }
    cli_input_close(input);
    nlp_model_close(model);
    return result;
}

int cmd_generate(cli *app) {
    if (cli_flag_value(app, "stream")) return stream_inputs(app, "generate");
    return cli_run_task(app, "generate", (cli_job){.emit = emit_written, .batch = CLI_WRITTEN});
}

/* ---- summarize, translate ---- */

int cmd_summarize(cli *app) {
    return cli_run_task(app, "summarize", (cli_job){.emit = cli_emit_text, .batch = CLI_WRITTEN});
}

/* ---- extract ---- */

static void emit_value(cli *app, const cli_record *record, const nlp_output *output) {
    const nlp_value *value = output->cells;
    if (app->json) {
        json_t *json = json_loadb(value->as.text, value->n, JSON_DECODE_ANY, NULL);
        cli_print_json(record, json_pack("{s:o}", "value", json ? json : json_null()));
        return;
    }
    cli_print_field(value->as.text, value->n);
    putchar('\n');
}

int cmd_extract(cli *app) {
    const char *schema = cli_flag_value(app, "schema");
    return cli_run_task(app, "extract",
                        (cli_job){.keys = {"text", "schema"},
                                  .second = schema,
                                  .emit = emit_value,
                                  .batch = CLI_WRITTEN});
}

/* "en-pt" where no model is named: a translator of one pair is called by its languages. */
static const char *translator_of(cli *app, const nlp_task_spec *task, const char *target,
                                 char name[NLP_MODEL_NAME_BYTES]) {
    nlp_error err;
    nlp_text operands[2] = {{"", 0}, {target, strlen(target)}};
    const char *set = getenv("NLP_TRANSLATE_MODEL");
    nlp_task_default_model(task, set, operands, app->options, app->n_options, name, &err);
    return name;
}

int cmd_translate(cli *app) {
    char name[NLP_MODEL_NAME_BYTES];
    const char *target = cli_flag_value(app, "target");
    if (!target && !app->model_name) {
        fputs("nlp: translate needs --target LANGUAGE, or a model\n", stderr);
        return CLI_USAGE;
    }
    if (!app->model_name)
        app->model_name = translator_of(app, nlp_task_find(app->engine, "translate"), target, name);
    return cli_run_task(app, "translate",
                        (cli_job){.keys = {"text", "target"},
                                  .second = target,
                                  .emit = cli_emit_text,
                                  .batch = CLI_WRITTEN});
}
