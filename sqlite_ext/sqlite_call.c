/* sqlite_call.c: from SQL values to a request: stop, errors, models, options. */
#include <stdio.h>
#include <string.h>

#include "sqlite_nlp.h"

/* ---- Stop ---- */

/* SQLite before 3.41 can't be asked whether it was interrupted, but a statement that is stepped
 * sees interrupts and the progress handler. About 1 microsecond, asked about four times a
 * millisecond. */
static bool was_interrupted(void *context) {
    nlp_connection *c = context;
#if SQLITE_VERSION_NUMBER >= 3041000
    if (sqlite3_libversion_number() >= 3041000 && sqlite3_is_interrupted(c->db)) return true;
#endif
    if (!c->poll && sqlite3_prepare_v2(c->db, "SELECT 1", -1, &c->poll, NULL) != SQLITE_OK)
        return sqlite3_errcode(c->db) == SQLITE_INTERRUPT;
    int rc = sqlite3_step(c->poll);
    sqlite3_reset(c->poll);
    return rc == SQLITE_INTERRUPT;
}

nlp_stop nlp_sqlite_stop(nlp_connection *c) {
    return (nlp_stop){.should_stop = was_interrupted, .context = c};
}

void nlp_sqlite_idle(nlp_connection *c) {
    sqlite3_finalize(c->poll);
    c->poll = NULL;
}

/* ---- Errors ---- */

char *nlp_sqlite_message(const nlp_error *err) {
    return *err->hint ? sqlite3_mprintf("%s (hint: %s)", err->message, err->hint)
                      : sqlite3_mprintf("%s", err->message);
}

/* The hint goes into the message, since SQLite has one text for an error. */
void nlp_sqlite_error(sqlite3_context *context, const nlp_error *err) {
    char *message = nlp_sqlite_message(err);
    if (!message || err->code == NLP_ENOMEM) {
        sqlite3_result_error_nomem(context);
    } else {
        sqlite3_result_error(context, message, -1);
        sqlite3_result_error_code(context, nlp_status_sqlite(err->code));
    }
    sqlite3_free(message);
}

nlp_status nlp_sqlite_fail(nlp_error *err, nlp_status code, const char *message) {
    snprintf(err->message, sizeof err->message, "%s", message);
    err->hint[0] = 0;
    return err->code = code;
}

nlp_status nlp_sqlite_failed(nlp_connection *c, nlp_error *err) {
    return nlp_sqlite_fail(err,
                           sqlite3_errcode(c->db) == SQLITE_INTERRUPT ? NLP_ECANCELED : NLP_EINVAL,
                           sqlite3_errmsg(c->db));
}

nlp_status nlp_sqlite_out_of_memory(nlp_error *err) {
    return nlp_sqlite_fail(err, NLP_ENOMEM, "out of memory");
}

/* ---- Values ---- */

nlp_text nlp_sqlite_text(sqlite3_value *value) {
    if (sqlite3_value_type(value) == SQLITE_NULL) return (nlp_text){0};
    const char *bytes = (const char *)sqlite3_value_text(value);
    return (nlp_text){bytes ? bytes : "", (size_t)sqlite3_value_bytes(value)};
}

static nlp_status no_array(const char *verb, const char *operand, nlp_error *err) {
    snprintf(err->message, sizeof err->message, "nlp_%s takes %s as a JSON array of texts", verb,
             operand);
    err->hint[0] = 0;
    return err->code = NLP_EINVAL;
}

/* Texts of a JSON array behind each other, each ended by a byte 0, which none may hold. SQLITE_DONE
 * where all are good. */
static int join_array(sqlite3_stmt *row, char *list, size_t *n_bytes) {
    int rc;
    *n_bytes = 0;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        const char *type = (const char *)sqlite3_column_text(row, 0);
        const char *text = (const char *)sqlite3_column_text(row, 1);
        size_t n = (size_t)sqlite3_column_bytes(row, 1);
        if (!type || strcmp(type, "text") || !text || strlen(text) != n) return SQLITE_MISMATCH;
        memcpy(list + *n_bytes, text, n + 1);
        *n_bytes += n + 1;
    }
    return rc;
}

/* No text is longer than its JSON with the quotes, so the array's length is room enough. */
nlp_status nlp_sqlite_list(nlp_connection *c, const char *verb, const char *operand,
                           sqlite3_value *value, char **list, size_t *n_bytes, nlp_error *err) {
    const char *json = (const char *)sqlite3_value_text(value);
    sqlite3_stmt *row;
    *list = NULL;
    if (!json) return nlp_sqlite_out_of_memory(err);
    if (json[strspn(json, " \t\r\n")] != '[') return no_array(verb, operand, err);
    *list = sqlite3_malloc64(strlen(json) + 1);
    if (!*list) return nlp_sqlite_out_of_memory(err);
    if (sqlite3_prepare_v2(c->db, "SELECT type, atom FROM json_each(?1)", -1, &row, NULL) !=
        SQLITE_OK)
        return nlp_sqlite_fail(err, NLP_EUNSUPPORTED,
                               "this SQLite was built without JSON functions, which lists need");
    sqlite3_bind_value(row, 1, value);
    int rc = join_array(row, *list, n_bytes);
    sqlite3_finalize(row);
    if (rc == SQLITE_DONE) return NLP_OK;
    if (rc == SQLITE_INTERRUPT) return nlp_sqlite_fail(err, NLP_ECANCELED, "interrupted");
    return no_array(verb, operand, err);
}

nlp_status nlp_sqlite_texts(nlp_connection *c, const nlp_task_spec *task, sqlite3_value **argv,
                            nlp_texts *texts, nlp_error *err) {
    memset(texts, 0, sizeof *texts);
    for (uint32_t i = 0; i < task->n_operands; i++)
        texts->is_null = texts->is_null || sqlite3_value_type(argv[i]) == SQLITE_NULL;
    for (uint32_t i = 0; i < task->n_operands && !texts->is_null; i++) {
        texts->texts[i] = nlp_sqlite_text(argv[i]);
        if (task->operands[i].type != NLP_TYPE_TEXTS) continue;
        nlp_status status = nlp_sqlite_list(c, task->name, task->operands[i].name, argv[i],
                                            &texts->list, &texts->texts[i].n_bytes, err);
        texts->texts[i].bytes = texts->list;
        if (status != NLP_OK) return status;
    }
    return NLP_OK;
}

/* ---- Models ---- */

/* A head that nlp_fit left in this database. */
static nlp_status stored_model(nlp_connection *c, const char *name, nlp_model **model,
                               nlp_error *err) {
    sqlite3_stmt *statement;
    nlp_error own;
    if (sqlite3_prepare_v2(c->db, "SELECT digest, bytes FROM main.nlp_packs WHERE name = ?1", -1,
                           &statement, NULL) != SQLITE_OK)
        return NLP_ENOMODEL; /* no such table: the first message stands */
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    nlp_status status = NLP_ENOMODEL;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        const char *digest = (const char *)sqlite3_column_text(statement, 0);
        bool same = c->stored && digest && !strcmp(c->stored_name, name) &&
                    !strcmp(c->stored_digest, digest);
        nlp_stop stop = nlp_sqlite_stop(c);
        status = NLP_OK;
        if (!same) {
            nlp_model_close(c->stored);
            c->stored = NULL;
            status = nlp_model_open_bytes(c->engine, name, sqlite3_column_blob(statement, 1),
                                          (size_t)sqlite3_column_bytes(statement, 1), &stop,
                                          &c->stored, &own);
            snprintf(c->stored_name, sizeof c->stored_name, "%s", name);
            snprintf(c->stored_digest, sizeof c->stored_digest, "%s", digest ? digest : "");
            if (status != NLP_OK) *err = own;
        }
        /* one more reference for the caller: the same bytes are found by their digest */
        if (status == NLP_OK)
            status =
                nlp_model_open_bytes(c->engine, name, sqlite3_column_blob(statement, 1),
                                     (size_t)sqlite3_column_bytes(statement, 1), &stop, model, err);
    }
    sqlite3_finalize(statement);
    return status;
}

/* The message of a head whose base is missing is kept: looking in the table would only hide it. */
nlp_status nlp_sqlite_model(nlp_connection *c, const char *name, nlp_model **model,
                            nlp_error *err) {
    nlp_stop stop = nlp_sqlite_stop(c);
    nlp_status status = nlp_model_open(c->engine, name, &stop, model, err);
    if (status != NLP_ENOMODEL || strstr(err->message, "base with digest")) return status;
    return stored_model(c, name, model, err);
}

/* ---- Options ---- */

/* json_each gives the type as a word and the value as SQLite has it. */
static bool read_member(sqlite3_stmt *row, nlp_option *option) {
    const char *type = (const char *)sqlite3_column_text(row, 1);
    option->key = (const char *)sqlite3_column_text(row, 0);
    if (!strcmp(type, "text"))
        option->value = (nlp_value){.type = NLP_TYPE_TEXT,
                                    .n = (uint32_t)sqlite3_column_bytes(row, 2),
                                    .as.text = (const char *)sqlite3_column_text(row, 2)};
    else if (!strcmp(type, "integer"))
        option->value =
            (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = sqlite3_column_int64(row, 2)};
    else if (!strcmp(type, "real"))
        option->value =
            (nlp_value){.type = NLP_TYPE_REAL, .as.real = sqlite3_column_double(row, 2)};
    else if (!strcmp(type, "true") || !strcmp(type, "false"))
        option->value = (nlp_value){.type = NLP_TYPE_BOOLEAN, .as.boolean = *type == 't'};
    else if (!strcmp(type, "null"))
        option->value = (nlp_value){.type = NLP_TYPE_NULL};
    else /* an array or object is given as its text */
        option->value = (nlp_value){.type = NLP_TYPE_JSON,
                                    .n = (uint32_t)sqlite3_column_bytes(row, 3),
                                    .as.text = (const char *)sqlite3_column_text(row, 3)};
    return option->key != NULL;
}

/* Keys and texts of the options lie behind each other in one block of the connection. */
static nlp_status keep_options(nlp_connection *c, const char *json, nlp_error *err) {
    size_t room = 2 * strlen(json) + 2 * NLP_MAX_OPTIONS + 2, used;
    char *block = sqlite3_malloc64(room + strlen(json) + 1);
    if (!block) return nlp_sqlite_out_of_memory(err);
    used = strlen(json) + 1;
    memcpy(block, json, used);
    sqlite3_free(c->options_text);
    c->options_text = block;
    c->n_options = 0;
    sqlite3_stmt *row;
    int rc = sqlite3_prepare_v2(c->db, "SELECT key, type, atom, value FROM json_each(?1)", -1, &row,
                                NULL);
    if (rc != SQLITE_OK) {
        sqlite3_free(c->options_text);
        c->options_text = NULL;
        return nlp_sqlite_fail(err, NLP_EUNSUPPORTED,
                               "this SQLite was built without JSON functions, which options need");
    }
    sqlite3_bind_text(row, 1, json, -1, SQLITE_STATIC);
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        nlp_option option;
        if (c->n_options == NLP_MAX_OPTIONS || !read_member(row, &option)) {
            rc = SQLITE_MISMATCH;
            break;
        }
        size_t n = strlen(option.key) + 1;
        option.key = memcpy(block + used, option.key, n);
        used += n;
        if (option.value.type == NLP_TYPE_TEXT || option.value.type == NLP_TYPE_JSON) {
            option.value.as.text = memcpy(block + used, option.value.as.text, option.value.n);
            used += option.value.n;
        }
        c->options[c->n_options++] = option;
    }
    sqlite3_finalize(row);
    if (rc == SQLITE_DONE) return NLP_OK;
    sqlite3_free(c->options_text);
    c->options_text = NULL;
    return nlp_sqlite_fail(err, rc == SQLITE_INTERRUPT ? NLP_ECANCELED : NLP_EINVAL,
                           rc == SQLITE_MISMATCH ? "options must be an object"
                                                 : "options are no JSON object");
}

/* Rows of one statement have the same options text, so it is parsed once. */
nlp_status nlp_sqlite_options(nlp_connection *c, const char *json, const nlp_option **options,
                              size_t *n, nlp_error *err) {
    if (!c->options_text || strcmp(c->options_text, json)) {
        nlp_status status = keep_options(c, json, err);
        if (status != NLP_OK) return status;
    }
    *options = c->options;
    *n = c->n_options;
    return NLP_OK;
}

/* ---- Running ---- */

nlp_status nlp_sqlite_run(nlp_connection *c, const nlp_task_spec *task, const nlp_text *texts,
                          const nlp_value *ids, size_t n, const nlp_arguments *a,
                          const nlp_result **result, nlp_error *err) {
    nlp_request request = {.struct_size = sizeof request,
                           .task = task,
                           .model = a->model,
                           .texts = texts,
                           .ids = ids,
                           .n_inputs = n,
                           .options = a->options,
                           .n_options = a->n_options,
                           .stop = nlp_sqlite_stop(c)};
    return nlp_session_run(c->session, &request, result, err);
}

/* ---- Arguments behind the operands ---- */

nlp_status nlp_sqlite_default_name(const nlp_task_spec *task, const nlp_texts *operands,
                                   const nlp_arguments *a, char *name, nlp_error *err) {
    const char *set = task->model_setting ? nlp_sqlite_setting(task->model_setting) : "";
    return nlp_task_default_model(task, set, operands ? operands->texts : NULL, a->options,
                                  a->n_options, name, err);
}

static nlp_status default_model(nlp_connection *c, const nlp_task_spec *task,
                                const nlp_texts *operands, nlp_arguments *a, nlp_error *err) {
    char name[NLP_MODEL_NAME_BYTES];
    nlp_status status = nlp_sqlite_default_name(task, operands, a, name, err);
    return status == NLP_OK ? nlp_sqlite_model(c, name, &a->model, err) : status;
}

/* Only a call that leaves the model to the settings also takes on_overflow from them. */
static void add_setting(nlp_arguments *a, const nlp_task_spec *task, const char *key) {
    const char *value = nlp_sqlite_setting(key);
    nlp_option option = {
        .key = key,
        .value = {.type = NLP_TYPE_TEXT, .n = (uint32_t)strlen(value), .as.text = value}};
    bool wanted = *value && nlp_options_check(task, &option, 1, NULL) == NLP_OK;
    for (size_t i = 0; i < a->n_options; i++) wanted = wanted && strcmp(a->options[i].key, key);
    if (wanted) a->options[a->n_options++] = option;
}

/* A number behind the operands. */
static nlp_status add_tunable(const nlp_task_spec *task, sqlite3_value *value, nlp_option *tunable,
                              nlp_error *err) {
    int type = sqlite3_value_type(value);
    if (!task->tunable || (type != SQLITE_INTEGER && type != SQLITE_FLOAT))
        return nlp_sqlite_fail(
            err, NLP_EINVAL,
            "behind the operands stand the name of a model and options as JSON, both texts");
    if (tunable->key)
        return nlp_sqlite_fail(err, NLP_EINVAL, "behind the operands stand two numbers");
    *tunable = (nlp_option){.key = task->tunable};
    if (type == SQLITE_INTEGER)
        tunable->value =
            (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = sqlite3_value_int64(value)};
    else
        tunable->value = (nlp_value){.type = NLP_TYPE_REAL, .as.real = sqlite3_value_double(value)};
    return NLP_OK;
}

/* One function a name in SQLite, so what a text is follows from how it begins. */
nlp_status nlp_sqlite_arguments(nlp_connection *c, const nlp_task_spec *task, int argc,
                                sqlite3_value **argv, const nlp_texts *operands, nlp_arguments *a,
                                nlp_error *err) {
    const char *name = NULL;
    nlp_option tunable = {0};
    memset(a, 0, sizeof *a);
    for (int i = 0; i < argc; i++) {
        const nlp_option *options;
        const char *text = (const char *)sqlite3_value_text(argv[i]);
        int type = sqlite3_value_type(argv[i]);
        if (type == SQLITE_NULL) {
            a->is_null = true;
        } else if (type != SQLITE_TEXT) {
            nlp_status status = add_tunable(task, argv[i], &tunable, err);
            if (status != NLP_OK) return status;
        } else if (!text) {
            return nlp_sqlite_out_of_memory(err);
        } else if (*text == '{') {
            nlp_status status = nlp_sqlite_options(c, text, &options, &a->n_options, err);
            if (status != NLP_OK) return status;
            memcpy(a->options, options, a->n_options * sizeof *options);
        } else if (name) {
            return nlp_sqlite_fail(
                err, NLP_EINVAL,
                "two models are named; options are a JSON text that begins with {");
        } else {
            name = text;
        }
    }
    if (a->is_null) return NLP_OK;
    if (tunable.key) a->options[a->n_options++] = tunable;
    if (!name) add_setting(a, task, "on_overflow");
    return name ? nlp_sqlite_model(c, name, &a->model, err)
                : default_model(c, task, operands, a, err);
}
