/* sqlite_stream.c: nlp_generate_stream, a table whose next row is the next token. */
#include <string.h>

#include "sqlite_nlp.h"

typedef struct stream_state {
    nlp_stream *stream; /* NULL: there is nothing to write */
    nlp_model *model;
    bool done;
} stream_state;

static void close_state(void *at) {
    stream_state *s = at;
    if (!s) return;
    nlp_stream_close(s->stream);
    nlp_model_close(s->model);
    sqlite3_free(s);
}

static nlp_status open_stream(nlp_connection *c, int argc, sqlite3_value **argv, stream_state *s,
                              nlp_error *err) {
    nlp_arguments a = {0};
    nlp_texts texts;
    const nlp_task_spec *task = nlp_task_find(c->engine, "generate");
    nlp_status status = nlp_sqlite_texts(c, task, argv, &texts, err);
    if (status == NLP_OK && !texts.is_null)
        status = nlp_sqlite_arguments(c, task, argc - 1, argv + 1, &texts, &a, err);
    s->model = a.model; /* stays open as long as the stream */
    if (status != NLP_OK || texts.is_null || a.is_null) return status;
    nlp_request request = {.struct_size = sizeof request,
                           .task = task,
                           .model = a.model,
                           .texts = texts.texts,
                           .n_inputs = 1,
                           .options = a.options,
                           .n_options = a.n_options,
                           .stop = nlp_sqlite_stop(c)};
    return nlp_stream_open(c->engine, &request, &s->stream, err);
}

static nlp_status add_piece(const nlp_piece *piece, nlp_rows *rows, nlp_error *err) {
    nlp_value *row = nlp_rows_add(rows);
    nlp_value text = {.type = NLP_TYPE_TEXT,
                      .n = (uint32_t)piece->text.n_bytes,
                      .as.text = piece->text.n_bytes ? piece->text.bytes : ""};
    if (!row || !nlp_value_copy(&row[1], &text)) return nlp_sqlite_out_of_memory(err);
    row[0] = (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = piece->step};
    row[2] = (nlp_value){.type = NLP_TYPE_BOOLEAN, .as.boolean = piece->done};
    return NLP_OK;
}

static nlp_status fill_stream(nlp_connection *c, const nlp_table_kind *kind, int argc,
                              sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err) {
    stream_state *s = *state;
    nlp_piece piece;
    nlp_status status = NLP_OK;
    nlp_stop stop = nlp_sqlite_stop(c);
    (void)kind;
    if (!s) {
        if (!(s = *state = sqlite3_malloc(sizeof *s))) return nlp_sqlite_out_of_memory(err);
        memset(s, 0, sizeof *s);
        status = open_stream(c, argc, argv, s, err);
    }
    if (status != NLP_OK || !s->stream || s->done) return status;
    status = nlp_stream_next(s->stream, &stop, &piece, err);
    s->done = status != NLP_OK || piece.done;
    return status == NLP_OK ? add_piece(&piece, rows, err) : status;
}

int nlp_sqlite_streams(nlp_connection *c) {
    static const nlp_table_kind generate = {
        .name = "nlp_generate_stream",
        .columns =
            "step, token, done, prompt HIDDEN, model HIDDEN, options HIDDEN, max_tokens HIDDEN",
        .n_columns = 3,
        .n_arguments = 4,
        .n_required = 1,
        .fill = fill_stream,
        .close = close_state};
    return nlp_sqlite_table(c, &generate);
}
