/* cmd_chat.c: chat: on a terminal a conversation, its answers printed as they are made; else one answer an
 * input. Ctrl-C stops an answer, Ctrl-D ends the conversation. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

typedef struct conversation {
    cli *app;
    const nlp_task_spec *task;
    nlp_model *model;
    json_t *messages;
} conversation;

static void say(conversation *c, const char *role, const char *text, size_t n) {
    json_array_append_new(c->messages,
                          json_pack("{s:s, s:o}", "role", role, "content", cli_json_text(text, n)));
}

/* Pieces go to the terminal and into the answer, which is kept also where it was stopped. */
static nlp_status print_answer(nlp_stream *stream, char **answer, size_t *n, nlp_error *err) {
    nlp_piece piece = {0};
    nlp_status status = NLP_OK;
    while (!piece.done) {
        status = nlp_stream_next(stream, &cli_stop, &piece, err);
        if (status != NLP_OK) break;
        char *longer = realloc(*answer, *n + piece.text.n_bytes + 1);
        if (!longer) break;
        *answer = longer;
        if (piece.text.n_bytes) memcpy(longer + *n, piece.text.bytes, piece.text.n_bytes);
        *n += piece.text.n_bytes;
        fwrite(longer + *n - piece.text.n_bytes, 1, piece.text.n_bytes, stdout);
        fflush(stdout);
    }
    putchar('\n');
    return status;
}

static nlp_status answer(conversation *c, nlp_error *err) {
    char *json = json_dumps(c->messages, JSON_COMPACT), *text = NULL;
    size_t n = 0;
    nlp_stream *stream = NULL;
    nlp_text messages = {json, json ? strlen(json) : 0};
    nlp_request request = {.struct_size = sizeof request,
                           .task = c->task,
                           .model = c->model,
                           .texts = &messages,
                           .n_inputs = 1,
                           .options = c->app->options,
                           .n_options = c->app->n_options,
                           .stop = cli_stop};
    nlp_status status = nlp_stream_open(c->app->engine, &request, &stream, err);
    if (status == NLP_OK) status = print_answer(stream, &text, &n, err);
    if (n) say(c, "assistant", text, n);
    nlp_stream_close(stream);
    free(text);
    free(json);
    return status;
}

/* A message that has no answer is taken back, so that the next one follows an answer again. */
static void take_turn(conversation *c, const char *line, size_t n) {
    nlp_error err;
    size_t before = json_array_size(c->messages);
    say(c, "user", line, n);
    nlp_status status = answer(c, &err);
    if (json_array_size(c->messages) == before + 1) json_array_remove(c->messages, before);
    if (status != NLP_OK && status != NLP_ECANCELED) cli_report(&err);
    cli_forget_interrupt();
}

static int converse(conversation *c) {
    char *line = NULL;
    size_t capacity = 0;
    fputs("Ctrl-C stops an answer, Ctrl-D ends the chat.\n", stderr);
    while (!cli_terminated()) {
        fputs("> ", stdout);
        fflush(stdout);
        if (!cli_await_input()) { /* Ctrl-C at the prompt */
            cli_forget_interrupt();
            putchar('\n');
            continue;
        }
        ssize_t n = getline(&line, &capacity, stdin);
        if (n < 0) break;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
        if (n > 0) take_turn(c, line, (size_t)n);
    }
    putchar('\n');
    free(line);
    return CLI_DONE;
}

int cmd_chat(cli *app) {
    const char *system = cli_flag_value(app, "system");
    if (app->json || app->n_arguments || !isatty(STDIN_FILENO))
        return cli_run_task(
            app, "chat",
            (cli_job){.keys = {"messages"}, .emit = cli_emit_text, .batch = CLI_WRITTEN});
    conversation c = {
        .app = app, .task = nlp_task_find(app->engine, "chat"), .messages = json_array()};
    c.model = cli_open_model(app, app->model_name, c.task);
    if (system) say(&c, "system", system, strlen(system));
    int status = c.model ? converse(&c) : CLI_ENVIRONMENT;
    nlp_model_close(c.model);
    json_decref(c.messages);
    return status;
}
