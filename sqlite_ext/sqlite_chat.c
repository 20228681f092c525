/* sqlite_chat.c: conversations that are kept in the table nlp_chats of this database:
 * nlp_chat_create, nlp_chat_send, nlp_chat_history. All three read or write the table and are for
 * direct use only, never from a schema. */
#include <stdio.h>
#include <string.h>

#include "sqlite_nlp.h"

/* ---- The table ---- */

/* Row 0 begins a session: it has the model, and the system text where there is one. */
static const char create_table[] =
    "CREATE TABLE IF NOT EXISTS main.nlp_chats(session TEXT, seq INTEGER, role TEXT NOT NULL, "
    "content TEXT, model TEXT, at TEXT NOT NULL, PRIMARY KEY(session, seq)) WITHOUT ROWID";

static nlp_status unknown_session(nlp_text session, nlp_error *err) {
    int n = session.n_bytes < 64 ? (int)session.n_bytes : 64;
    snprintf(err->message, sizeof err->message,
             "there is no chat session \"%.*s\" in this database", n, session.bytes);
    snprintf(err->hint, sizeof err->hint, "nlp_chat_create() begins one");
    return err->code = NLP_EINVAL;
}

/* Of a statement whose ?1 is the session. Without the table no session was ever begun. */
static nlp_status prepare(nlp_connection *c, const char *sql, nlp_text session, sqlite3_stmt **s,
                          nlp_error *err) {
    if (sqlite3_table_column_metadata(c->db, "main", "nlp_chats", NULL, NULL, NULL, NULL, NULL,
                                      NULL) != SQLITE_OK)
        return unknown_session(session, err);
    if (sqlite3_prepare_v2(c->db, sql, -1, s, NULL) != SQLITE_OK) return nlp_sqlite_failed(c, err);
    sqlite3_bind_text64(*s, 1, session.bytes, session.n_bytes, SQLITE_STATIC, SQLITE_UTF8);
    return NLP_OK;
}

/* ---- nlp_chat_create ---- */

/* Of version 4: by chance. */
static void make_uuid(char *text) {
    unsigned char bytes[16];
    sqlite3_randomness(sizeof bytes, bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    for (int i = 0; i < 16; i++)
        text += sprintf(text, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", bytes[i]);
}

/* A model that is missing, or that holds no chats, is found before anything is stored. */
static nlp_status check_model(nlp_connection *c, const char *name, nlp_error *err) {
    nlp_model *model;
    nlp_model_info info = {.struct_size = sizeof info};
    nlp_status status = nlp_sqlite_model(c, name, &model, err);
    if (status != NLP_OK) return status;
    nlp_model_get_info(model, &info);
    if (!strstr(info.tasks, "chat")) {
        snprintf(err->message, sizeof err->message, "model %s has no format of chats", name);
        snprintf(err->hint, sizeof err->hint, "import it again with --chat-template NAME");
        status = err->code = NLP_EUNSUPPORTED;
    }
    nlp_model_close(model);
    return status;
}

static nlp_status insert_session(nlp_connection *c, const char *session, nlp_text system,
                                 const char *model, nlp_error *err) {
    sqlite3_stmt *s;
    if (sqlite3_exec(c->db, create_table, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(
            c->db, "INSERT INTO main.nlp_chats VALUES(?1, 0, 'system', ?2, ?3, datetime('now'))",
            -1, &s, NULL) != SQLITE_OK)
        return nlp_sqlite_failed(c, err);
    sqlite3_bind_text(s, 1, session, -1, SQLITE_STATIC);
    sqlite3_bind_text64(s, 2, system.bytes, system.n_bytes, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text(s, 3, model, -1, SQLITE_STATIC);
    int rc = sqlite3_step(s);
    sqlite3_finalize(s);
    return rc == SQLITE_DONE ? NLP_OK : nlp_sqlite_failed(c, err);
}

/* The default model is resolved now: a conversation stays with the model that it began with. */
static void create(sqlite3_context *context, int argc, sqlite3_value **argv) {
    nlp_connection *c = sqlite3_user_data(context);
    nlp_text system = argc > 0 ? nlp_sqlite_text(argv[0]) : (nlp_text){0};
    const char *name = argc > 1 ? nlp_sqlite_text(argv[1]).bytes : NULL;
    char by_default[NLP_MODEL_NAME_BYTES], session[37];
    nlp_error err;
    nlp_status status = NLP_OK;
    if (!name) {
        status = nlp_sqlite_default_name(nlp_task_find(c->engine, "chat"), NULL,
                                         &(nlp_arguments){0}, by_default, &err);
        name = by_default;
    }
    make_uuid(session);
    if (status == NLP_OK) status = check_model(c, name, &err);
    if (status == NLP_OK) status = insert_session(c, session, system, name, &err);
    if (status == NLP_OK)
        sqlite3_result_text(context, session, -1, SQLITE_TRANSIENT);
    else
        nlp_sqlite_error(context, &err);
    nlp_sqlite_idle(c);
}

/* ---- nlp_chat_send ---- */

enum { MESSAGES, MODEL, LAST_SEQ, SAID_AT, N_COLUMNS };

/* The conversation with the new text behind it, as the task takes it. */
static const char read_turn_sql[] =
    "SELECT json_insert(json_group_array(json_object('role', role, 'content', content)) "
    "FILTER (WHERE content IS NOT NULL), '$[#]', json_object('role', 'user', 'content', ?2)), "
    "max(model), max(seq), datetime('now') "
    "FROM (SELECT * FROM main.nlp_chats WHERE session = lower(?1) ORDER BY seq)";

static void free_turn(sqlite3_value **turn) {
    for (int i = 0; i < N_COLUMNS; i++) sqlite3_value_free(turn[i]);
}

/* The columns are copies, so no statement is open while the answer is written. */
static nlp_status read_turn(nlp_connection *c, nlp_text session, nlp_text said,
                            sqlite3_value **turn, nlp_error *err) {
    sqlite3_stmt *s;
    nlp_status status = prepare(c, read_turn_sql, session, &s, err);
    if (status != NLP_OK) return status;
    sqlite3_bind_text64(s, 2, said.bytes, said.n_bytes, SQLITE_STATIC, SQLITE_UTF8);
    if (sqlite3_step(s) != SQLITE_ROW)
        status = nlp_sqlite_failed(c, err);
    else if (sqlite3_column_type(s, MODEL) == SQLITE_NULL)
        status = unknown_session(session, err);
    for (int i = 0; status == NLP_OK && i < N_COLUMNS; i++)
        if (!(turn[i] = sqlite3_value_dup(sqlite3_column_value(s, i))))
            status = nlp_sqlite_out_of_memory(err);
    sqlite3_finalize(s);
    return status;
}

/* Both messages or neither: one statement. The places are those behind what was read, so where
 * another connection went on meanwhile they are taken. */
static nlp_status store_turn(nlp_connection *c, nlp_text session, nlp_text said,
                             sqlite3_value **turn, const nlp_value *answer, nlp_error *err) {
    sqlite3_stmt *s;
    nlp_status status =
        prepare(c,
                "INSERT INTO main.nlp_chats VALUES(lower(?1), ?2 + 1, 'user', ?3, NULL, ?4), "
                "(lower(?1), ?2 + 2, 'assistant', ?5, NULL, datetime('now'))",
                session, &s, err);
    if (status != NLP_OK) return status;
    sqlite3_bind_value(s, 2, turn[LAST_SEQ]);
    sqlite3_bind_text64(s, 3, said.bytes, said.n_bytes, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_value(s, 4, turn[SAID_AT]);
    /* a copy: a trigger of the table may run tasks on our session, whose memory the answer is */
    int rc = sqlite3_bind_text64(s, 5, answer->as.text, answer->n, SQLITE_TRANSIENT, SQLITE_UTF8);
    if (rc == SQLITE_OK) rc = sqlite3_step(s);
    int extended = sqlite3_extended_errcode(c->db);
    sqlite3_finalize(s);
    if (rc == SQLITE_CONSTRAINT && extended == SQLITE_CONSTRAINT_PRIMARYKEY)
        return nlp_sqlite_fail(err, NLP_EINVAL,
                               "another connection went on with this chat session meanwhile");
    return rc == SQLITE_DONE ? NLP_OK : nlp_sqlite_failed(c, err);
}

/* The session's model stands among the arguments as one that was named, so settings have no say,
 * and a second one is refused. NULL for an error that was asked for (on_error): nothing is
 * stored. */
static nlp_status answer_turn(sqlite3_context *context, int argc, sqlite3_value **argv,
                              sqlite3_value **turn, nlp_arguments *a, nlp_error *err) {
    nlp_connection *c = sqlite3_user_data(context);
    const nlp_task_spec *task = nlp_task_find(c->engine, "chat");
    const nlp_result *result;
    sqlite3_value *arguments[3] = {turn[MODEL]};
    nlp_text messages = nlp_sqlite_text(turn[MESSAGES]);
    for (int i = 2; i < argc; i++) arguments[i - 1] = argv[i];
    nlp_status status = nlp_sqlite_arguments(c, task, argc - 1, arguments, NULL, a, err);
    if (status == NLP_OK) status = nlp_sqlite_run(c, task, &messages, NULL, 1, a, &result, err);
    if (status != NLP_OK || result->outputs->cells->type == NLP_TYPE_NULL) return status;
    nlp_sqlite_result(context, result->outputs->cells); /* an error takes its place */
    return store_turn(c, nlp_sqlite_text(argv[0]), nlp_sqlite_text(argv[1]), turn,
                      result->outputs->cells, err);
}

/* The answer first, storing last: an error leaves the conversation as it was. */
static void send(sqlite3_context *context, int argc, sqlite3_value **argv) {
    nlp_connection *c = sqlite3_user_data(context);
    sqlite3_value *turn[N_COLUMNS] = {NULL};
    nlp_arguments a = {0};
    nlp_error err;
    for (int i = 0; i < argc; i++)
        if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return;
    nlp_status status =
        read_turn(c, nlp_sqlite_text(argv[0]), nlp_sqlite_text(argv[1]), turn, &err);
    if (status == NLP_OK) status = answer_turn(context, argc, argv, turn, &a, &err);
    if (status != NLP_OK) nlp_sqlite_error(context, &err);
    nlp_model_close(a.model);
    free_turn(turn);
    nlp_sqlite_idle(c);
}

/* ---- nlp_chat_history ---- */

static bool add_message(sqlite3_stmt *s, nlp_rows *rows) {
    nlp_value *row = nlp_rows_add(rows);
    if (!row) return false;
    row[0] = (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = sqlite3_column_int64(s, 0)};
    for (int i = 1; i < rows->n_columns; i++) {
        nlp_value text = {.type = NLP_TYPE_TEXT,
                          .as.text = (const char *)sqlite3_column_text(s, i)};
        text.n = (uint32_t)sqlite3_column_bytes(s, i);
        if (text.as.text && !nlp_value_copy(&row[i], &text)) return false;
    }
    return true;
}

/* Row 0 is a message only where it has a text. */
static nlp_status read_history(nlp_connection *c, nlp_text session, nlp_rows *rows,
                               nlp_error *err) {
    sqlite3_stmt *s;
    int rc;
    bool is_known = false;
    nlp_status status = prepare(c,
                                "SELECT seq, role, content, at FROM main.nlp_chats "
                                "WHERE session = lower(?1) ORDER BY seq",
                                session, &s, err);
    if (status != NLP_OK) return status;
    while (status == NLP_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        is_known = true;
        if (sqlite3_column_type(s, 2) != SQLITE_NULL && !add_message(s, rows))
            status = nlp_sqlite_out_of_memory(err);
    }
    if (status == NLP_OK && rc != SQLITE_DONE) status = nlp_sqlite_failed(c, err);
    sqlite3_finalize(s);
    return status == NLP_OK && !is_known ? unknown_session(session, err) : status;
}

/* All rows at once; the state only says that they were made. */
static nlp_status fill_history(nlp_connection *c, const nlp_table_kind *kind, int argc,
                               sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err) {
    (void)kind, (void)argc;
    if (*state || sqlite3_value_type(argv[0]) == SQLITE_NULL) return NLP_OK;
    if (!(*state = sqlite3_malloc(1))) return nlp_sqlite_out_of_memory(err);
    return read_history(c, nlp_sqlite_text(argv[0]), rows, err);
}

int nlp_sqlite_chats(nlp_connection *c) {
    static const nlp_table_kind history = {.name = "nlp_chat_history",
                                           .columns = "seq, role, content, at, session HIDDEN",
                                           .n_columns = 4,
                                           .n_arguments = 1,
                                           .n_required = 1,
                                           .direct_only = true,
                                           .fill = fill_history};
    int rc = nlp_sqlite_table(c, &history);
    for (int n = 0; n <= 2 && rc == SQLITE_OK; n++)
        rc = nlp_sqlite_add(c, "nlp_chat_create", n, SQLITE_DIRECTONLY, create);
    for (int n = 2; n <= 4 && rc == SQLITE_OK; n++)
        rc = nlp_sqlite_add(c, "nlp_chat_send", n, SQLITE_DIRECTONLY, send);
    return rc;
}
