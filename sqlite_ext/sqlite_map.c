/* sqlite_map.c: any task by its name. nlp_map(query, task[, model[, options]]) runs a query and gives its rows
 * to a task, 64 at a time: the form of SQLite that shares a model's run among rows. nlp_run(task, text[, model[,
 * options]]) does it for one text. A scalar task's answer is what its function gives, a row of the others a JSON
 * object of its columns. */
#include <string.h>

#include "sqlite_nlp.h"

enum { BATCH = 64, MOST_OPERANDS = 2 };

static nlp_status find_task(nlp_connection *c, sqlite3_value *name, const nlp_task_spec **task,
                            nlp_error *err) {
    const char *text = (const char *)sqlite3_value_text(name);
    *task = text ? nlp_task_find(c->engine, text) : NULL;
    if (*task && (*task)->operands[0].type != NLP_TYPE_IDS) return NLP_OK;
    return nlp_sqlite_fail(
        err, NLP_EINVAL,
        "no such task over texts; tasks are called as their functions, without nlp_");
}

/* ---- Rows of the query ---- */

typedef struct input {
    sqlite3_value *key, *operands[MOST_OPERANDS]; /* copies; key NULL: its number */
    nlp_texts texts;
} input;

typedef struct map_state {
    sqlite3_stmt *query;
    const nlp_task_spec *task;
    bool has_key; /* in front of the operands */
    bool is_done;
    int64_t n_rows;
} map_state;

static void close_state(void *at) {
    map_state *s = at;
    if (s) sqlite3_finalize(s->query);
    sqlite3_free(s);
}

static void clear_inputs(input *inputs, int n) {
    for (int i = 0; i < n; i++) {
        sqlite3_value_free(inputs[i].key);
        for (int k = 0; k < MOST_OPERANDS; k++) sqlite3_value_free(inputs[i].operands[k]);
        sqlite3_free(inputs[i].texts.list);
    }
}

static nlp_status open_query(nlp_connection *c, sqlite3_value **argv, map_state *s,
                             nlp_error *err) {
    const char *sql = (const char *)sqlite3_value_text(argv[0]), *rest = "";
    nlp_status status = find_task(c, argv[1], &s->task, err);
    if (status != NLP_OK) return status;
    if (!sql || sqlite3_prepare_v2(c->db, sql, -1, &s->query, &rest) != SQLITE_OK)
        return sql ? nlp_sqlite_failed(c, err)
                   : nlp_sqlite_fail(err, NLP_EINVAL, "nlp_map needs a query");
    int n = sqlite3_column_count(s->query), n_operands = (int)s->task->n_operands;
    s->has_key = n == n_operands + 1;
    bool reads_only = s->query && sqlite3_stmt_readonly(s->query);
    if (!reads_only || rest[strspn(rest, "; \t\r\n")] || (n != n_operands && !s->has_key))
        return nlp_sqlite_fail(
            err, NLP_EINVAL,
            "the query must be one SELECT of a key, if you like, and then what the task takes");
    return NLP_OK;
}

static nlp_status read_input(nlp_connection *c, const map_state *s, input *in, nlp_error *err) {
    if (s->has_key && !(in->key = sqlite3_value_dup(sqlite3_column_value(s->query, 0))))
        return nlp_sqlite_out_of_memory(err);
    for (int k = 0; k < (int)s->task->n_operands; k++) {
        in->operands[k] = sqlite3_value_dup(sqlite3_column_value(s->query, k + s->has_key));
        if (!in->operands[k]) return nlp_sqlite_out_of_memory(err);
    }
    nlp_status status = nlp_sqlite_texts(c, s->task, in->operands, &in->texts, err);
    if (status == NLP_OK && in->texts.is_null) memset(in->texts.texts, 0, sizeof in->texts.texts);
    return status;
}

static nlp_status read_inputs(nlp_connection *c, map_state *s, input *inputs, int *n,
                              nlp_error *err) {
    while (*n < BATCH && !s->is_done) {
        int rc = sqlite3_step(s->query);
        if (rc == SQLITE_DONE) {
            s->is_done = true;
        } else if (rc == SQLITE_ROW) {
            nlp_status status = read_input(c, s, &inputs[(*n)++], err);
            if (status != NLP_OK) return status;
        } else {
            s->is_done = true;
            return nlp_sqlite_failed(c, err);
        }
    }
    return NLP_OK;
}

/* ---- Answers ---- */

static nlp_status put_answer(const nlp_task_spec *task, const nlp_value *cells, nlp_value *to,
                             nlp_error *err) {
    if (!task->returns_rows)
        return nlp_value_copy(to, cells) ? NLP_OK : nlp_sqlite_out_of_memory(err);
    size_t n = nlp_row_json(task, cells, NULL, 0);
    char *json = sqlite3_malloc64(n + 1);
    if (!json) return nlp_sqlite_out_of_memory(err);
    nlp_row_json(task, cells, json, n);
    *to = (nlp_value){.type = NLP_TYPE_TEXT, .n = (uint32_t)n, .as.text = json};
    return NLP_OK;
}

static nlp_status put_key(const map_state *s, const input *in, int64_t number, nlp_value *to,
                          nlp_error *err) {
    int type = in->key ? sqlite3_value_type(in->key) : SQLITE_INTEGER;
    *to = (nlp_value){.type = NLP_TYPE_NULL};
    if (!s->has_key) number += s->n_rows;
    if (type == SQLITE_INTEGER)
        *to = (nlp_value){.type = NLP_TYPE_INTEGER,
                          .as.integer = in->key ? sqlite3_value_int64(in->key) : number};
    else if (type == SQLITE_FLOAT)
        *to = (nlp_value){.type = NLP_TYPE_REAL, .as.real = sqlite3_value_double(in->key)};
    else if (type != SQLITE_NULL) {
        nlp_text text = nlp_sqlite_text(in->key);
        nlp_value borrowed = {
            .type = NLP_TYPE_TEXT, .n = (uint32_t)text.n_bytes, .as.text = text.bytes};
        if (!nlp_value_copy(to, &borrowed)) return nlp_sqlite_out_of_memory(err);
    }
    return NLP_OK;
}

static nlp_status put_output(const map_state *s, const input *in, int64_t number,
                             const nlp_output *output, nlp_rows *rows, nlp_error *err) {
    nlp_status status = NLP_OK;
    for (uint32_t r = 0; r < output->n_rows && status == NLP_OK; r++) {
        nlp_value *row = nlp_rows_add(rows);
        if (!row) return nlp_sqlite_out_of_memory(err);
        status = put_key(s, in, number, &row[0], err);
        if (status == NLP_OK)
            status = put_answer(s->task, &output->cells[r * s->task->n_columns], &row[1], err);
    }
    return status;
}

/* ---- Runs ---- */

/* Inputs first .. first + n - 1, by the arguments of the first of them. */
static nlp_status run_inputs(nlp_connection *c, map_state *s, const input *inputs, int first, int n,
                             const nlp_arguments *a, nlp_rows *rows, nlp_error *err) {
    nlp_text texts[BATCH * MOST_OPERANDS];
    const nlp_result *result;
    size_t n_operands = s->task->n_operands;
    for (int i = 0; i < n; i++)
        memcpy(texts + (size_t)i * n_operands, inputs[first + i].texts.texts,
               n_operands * sizeof *texts);
    nlp_status status = nlp_sqlite_run(c, s->task, texts, NULL, (size_t)n, a, &result, err);
    for (int i = 0; i < n && status == NLP_OK; i++)
        status = put_output(s, &inputs[first + i], first + i + 1, &result->outputs[i], rows, err);
    return status;
}

/* How many inputs from `first` on have the same model as it: a default may depend on the text. */
static int same_model(const map_state *s, const input *inputs, int first, int n,
                      const nlp_arguments *a) {
    char name[NLP_MODEL_NAME_BYTES], other[NLP_MODEL_NAME_BYTES];
    if (!s->task->starter || nlp_sqlite_default_name(s->task, &inputs[first].texts, a, name, NULL))
        return n - first;
    for (int i = first + 1; i < n; i++)
        if (nlp_sqlite_default_name(s->task, &inputs[i].texts, a, other, NULL) ||
            strcmp(name, other))
            return i - first;
    return n - first;
}

static nlp_status run_batch(nlp_connection *c, map_state *s, int argc, sqlite3_value **argv,
                            const input *inputs, int n, nlp_rows *rows, nlp_error *err) {
    nlp_status status = NLP_OK;
    for (int first = 0, part; first < n && status == NLP_OK; first += part) {
        nlp_arguments a = {0};
        part = 1;
        status = nlp_sqlite_arguments(c, s->task, argc, argv, &inputs[first].texts, &a, err);
        if (status == NLP_OK && !a.is_null) {
            part = same_model(s, inputs, first, n, &a);
            status = run_inputs(c, s, inputs, first, part, &a, rows, err);
        }
        nlp_model_close(a.model);
    }
    return status;
}

static nlp_status fill_map(nlp_connection *c, const nlp_table_kind *kind, int argc,
                           sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err) {
    input inputs[BATCH] = {0};
    map_state *s = *state;
    nlp_status status = NLP_OK;
    (void)kind;
    if (!s) {
        if (!(s = *state = sqlite3_malloc(sizeof *s))) return nlp_sqlite_out_of_memory(err);
        memset(s, 0, sizeof *s);
        status = open_query(c, argv, s, err);
    }
    /* texts without an answer give no row where a task returns rows: go on until there is one */
    while (status == NLP_OK && !s->is_done && !rows->n_rows) {
        int n = 0;
        status = read_inputs(c, s, inputs, &n, err);
        if (status == NLP_OK && n)
            status = run_batch(c, s, argc - 2, argv + 2, inputs, n, rows, err);
        clear_inputs(inputs, n);
        memset(inputs, 0, sizeof inputs);
        s->n_rows += n;
    }
    return status;
}

/* ---- nlp_run ---- */

/* Rows as one JSON array. */
static void result_array(sqlite3_context *context, const nlp_task_spec *task,
                         const nlp_output *output) {
    sqlite3_str *array = sqlite3_str_new(sqlite3_context_db_handle(context));
    sqlite3_str_appendchar(array, 1, '[');
    for (uint32_t r = 0; r < output->n_rows; r++) {
        nlp_value row = {0};
        nlp_error err;
        if (put_answer(task, &output->cells[r * task->n_columns], &row, &err) != NLP_OK) {
            sqlite3_free(sqlite3_str_finish(array));
            nlp_sqlite_error(context, &err);
            return;
        }
        if (r) sqlite3_str_appendchar(array, 1, ',');
        sqlite3_str_append(array, row.as.text, (int)row.n);
        sqlite3_free((void *)(uintptr_t)row.as.text);
    }
    sqlite3_str_appendchar(array, 1, ']');
    nlp_sqlite_result_str(context, array);
}

static void run(sqlite3_context *context, int argc, sqlite3_value **argv) {
    nlp_connection *c = sqlite3_user_data(context);
    const nlp_task_spec *task = NULL;
    const nlp_result *result = NULL;
    nlp_arguments a = {0};
    nlp_texts texts = {0};
    nlp_error err;
    nlp_status status = argc < 2
                            ? nlp_sqlite_fail(&err, NLP_EINVAL, "nlp_run needs a task and a text")
                            : find_task(c, argv[0], &task, &err);
    if (status == NLP_OK && task->n_operands > 1)
        status = nlp_sqlite_fail(&err, NLP_EINVAL,
                                 "the task takes more than a text: nlp_map takes it as columns");
    if (status == NLP_OK) status = nlp_sqlite_texts(c, task, argv + 1, &texts, &err);
    if (status == NLP_OK && !texts.is_null)
        status = nlp_sqlite_arguments(c, task, argc - 2, argv + 2, &texts, &a, &err);
    if (status == NLP_OK && a.model)
        status = nlp_sqlite_run(c, task, texts.texts, NULL, 1, &a, &result, &err);
    if (status != NLP_OK)
        nlp_sqlite_error(context, &err);
    else if (result && task->returns_rows)
        result_array(context, task, result->outputs);
    else if (result)
        nlp_sqlite_result(context, result->outputs->cells);
    sqlite3_free(texts.list);
    nlp_model_close(a.model);
    nlp_sqlite_idle(c);
}

int nlp_sqlite_map(nlp_connection *c) {
    static const nlp_table_kind map = {
        .name = "nlp_map",
        .columns = "key, result, query HIDDEN, task HIDDEN, model HIDDEN, options HIDDEN",
        .n_columns = 2,
        .n_arguments = 4,
        .n_required = 2,
        .direct_only = true, /* it runs SQL that it is given */
        .fill = fill_map,
        .close = close_state};
    int rc = nlp_sqlite_table(c, &map);
    return rc == SQLITE_OK
               ? nlp_sqlite_add(c, "nlp_run", -1, SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, run)
               : rc;
}
