/* sqlite_packs.c: heads that are made in SQL and live in the database: nlp_fit, nlp_distill, nlp_evaluate, nlp_pack,
 * nlp_pack_put, nlp_drop_model. All of them read or write the table nlp_packs or run a query, and are
 * for direct use only, never from a schema. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlite_nlp.h"

/* ---- The table ---- */

static const char create_table[] =
    "CREATE TABLE IF NOT EXISTS main.nlp_packs(name TEXT PRIMARY KEY, digest TEXT NOT NULL, "
    "base_digest TEXT NOT NULL, bytes BLOB NOT NULL, created TEXT NOT NULL) WITHOUT ROWID";

/* The table is made when the first head is: opening a database with this extension writes
 * nothing. */
static nlp_status insert_pack(nlp_connection *c, const char *name, const nlp_model_info *info,
                              const void *bytes, size_t n, nlp_error *err) {
    sqlite3_stmt *s;
    if (sqlite3_exec(c->db, create_table, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(
            c->db, "INSERT OR REPLACE INTO main.nlp_packs VALUES(?1, ?2, ?3, ?4, datetime('now'))",
            -1, &s, NULL) != SQLITE_OK)
        return nlp_sqlite_failed(c, err);
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, info->digest, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, info->base_digest, -1, SQLITE_STATIC);
    int rc = sqlite3_bind_blob64(s, 4, bytes, n, SQLITE_STATIC); /* or too big for the host */
    if (rc == SQLITE_OK) rc = sqlite3_step(s);
    sqlite3_finalize(s);
    return rc == SQLITE_DONE ? NLP_OK : nlp_sqlite_failed(c, err);
}

/* A name made in SQL shadows no file. */
static nlp_status check_name(nlp_connection *c, const char *name, nlp_error *err) {
    nlp_model *model;
    nlp_stop stop = nlp_sqlite_stop(c);
    if (nlp_model_open(c->engine, name, &stop, &model, NULL) != NLP_OK) return NLP_OK;
    nlp_model_close(model);
    return nlp_sqlite_fail(err, NLP_EINVAL,
                           "a model of that name lies in the model path; choose another name");
}

static nlp_status put_pack(nlp_connection *c, const char *name, const void *bytes, size_t n,
                           nlp_error *err) {
    nlp_model *model;
    nlp_model_info info = {.struct_size = sizeof info};
    nlp_stop stop = nlp_sqlite_stop(c);
    nlp_status status = check_name(c, name, err);
    if (status == NLP_OK)
        status = nlp_model_open_bytes(c->engine, name, bytes, n, &stop, &model, err);
    if (status != NLP_OK) return status;
    nlp_model_get_info(model, &info);
    status = *info.base_digest
                 ? insert_pack(c, name, &info, bytes, n, err)
                 : nlp_sqlite_fail(
                       err, NLP_EINVAL,
                       "only task packs live in a database; a base belongs into the model path");
    nlp_model_close(model);
    return status;
}

/* A head whose base is missing is listed with that problem. */
static bool list_pack(nlp_connection *c, const char *name, const char *digest,
                      bool (*visit)(void *context, const nlp_model_info *info), void *context) {
    nlp_model *model = NULL;
    nlp_error err = {.message = ""};
    nlp_model_info info = {.struct_size = sizeof info};
    if (nlp_sqlite_model(c, name, &model, &err) == NLP_OK)
        nlp_model_get_info(model, &info);
    else
        info = (nlp_model_info){.family = "", .tasks = "", .languages = "", .licence = ""};
    snprintf(info.digest, sizeof info.digest, "%s", digest);
    info.name = name;
    info.precision = "f32";
    info.backing = "table";
    info.path = "";
    info.problem = err.message;
    bool go_on = visit(context, &info);
    nlp_model_close(model);
    return go_on;
}

nlp_status nlp_sqlite_list_packs(nlp_connection *c,
                                 bool (*visit)(void *context, const nlp_model_info *info),
                                 void *context, nlp_error *err) {
    sqlite3_stmt *s;
    int rc;
    if (sqlite3_table_column_metadata(c->db, "main", "nlp_packs", NULL, NULL, NULL, NULL, NULL,
                                      /* no head was made here */
                                      NULL) != SQLITE_OK)
        return NLP_OK;
    if (sqlite3_prepare_v2(c->db, "SELECT name, digest FROM main.nlp_packs ORDER BY name", -1, &s,
                           NULL) != SQLITE_OK)
        return nlp_sqlite_failed(c, err);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW &&
           list_pack(c, (const char *)sqlite3_column_text(s, 0),
                     (const char *)sqlite3_column_text(s, 1), visit, context))
        continue;
    sqlite3_finalize(s);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? NLP_OK : nlp_sqlite_failed(c, err);
}

/* ---- nlp_fit ---- */

typedef struct corpus {
    nlp_text *texts, *labels;
    size_t n, capacity;
} corpus;

static void free_corpus(corpus *k) {
    for (size_t i = 0; i < k->n; i++) {
        sqlite3_free((void *)(uintptr_t)k->texts[i].bytes);
        sqlite3_free((void *)(uintptr_t)k->labels[i].bytes);
    }
    sqlite3_free(k->texts);
    sqlite3_free(k->labels);
}

/* SQLite's own memory is gone with the next step of the statement. */
static nlp_text copy_column(sqlite3_stmt *s, int column) {
    const char *bytes = (const char *)sqlite3_column_text(s, column);
    size_t n = (size_t)sqlite3_column_bytes(s, column);
    char *copy = bytes ? sqlite3_malloc64(n + 1) : NULL;
    if (copy) memcpy(copy, bytes, n);
    return (nlp_text){copy, copy ? n : 0};
}

static bool add_row(corpus *k, sqlite3_stmt *s) {
    if (k->n == k->capacity) {
        size_t capacity = k->capacity ? 2 * k->capacity : 1024;
        nlp_text *texts = sqlite3_realloc64(k->texts, capacity * sizeof *texts);
        if (texts) k->texts = texts;
        nlp_text *labels = sqlite3_realloc64(k->labels, capacity * sizeof *labels);
        if (labels) k->labels = labels;
        if (!texts || !labels) return false;
        k->capacity = capacity;
    }
    k->texts[k->n] = copy_column(s, 0);
    k->labels[k->n++] = copy_column(s, 1);
    return true;
}

static nlp_status open_query(nlp_connection *c, const char *query, int n_columns, sqlite3_stmt **s,
                             nlp_error *err) {
    if (sqlite3_prepare_v2(c->db, query, -1, s, NULL) != SQLITE_OK)
        return nlp_sqlite_failed(c, err);
    if (*s && sqlite3_column_count(*s) == n_columns && sqlite3_stmt_readonly(*s)) return NLP_OK;
    sqlite3_finalize(*s);
    return nlp_sqlite_fail(err, NLP_EINVAL,
                           n_columns == 2 ? "the query must read two columns, text and label"
                                          : "the query must read one column, the text");
}

/* At most `most` rows; fewer are the last ones. */
static nlp_status read_rows(nlp_connection *c, sqlite3_stmt *s, size_t most, corpus *k,
                            nlp_error *err) {
    int rc = SQLITE_ROW;
    while (k->n < most && (rc = sqlite3_step(s)) == SQLITE_ROW)
        if (!add_row(k, s)) return nlp_sqlite_out_of_memory(err);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? NLP_OK : nlp_sqlite_failed(c, err);
}

static nlp_status read_corpus(nlp_connection *c, const char *query, corpus *k, nlp_error *err) {
    sqlite3_stmt *s;
    nlp_status status = open_query(c, query, 2, &s, err);
    if (status != NLP_OK) return status;
    status = read_rows(c, s, SIZE_MAX, k, err);
    sqlite3_finalize(s);
    return status;
}

static nlp_status add_metrics(const nlp_metric *metrics, size_t n, nlp_rows *rows, nlp_error *err) {
    for (size_t i = 0; i < n; i++) {
        nlp_value *row = nlp_rows_add(rows);
        if (!row) return nlp_sqlite_out_of_memory(err);
        row[0] = nlp_value_of_text(metrics[i].name);
        row[1] = (nlp_value){.type = NLP_TYPE_REAL, .as.real = metrics[i].value};
    }
    return NLP_OK;
}

/* The head is stored before the metrics are shown: rows that were seen are in the database. */
static nlp_status fit(nlp_connection *c, const char *name, const corpus *k, int argc,
                      sqlite3_value **argv, nlp_rows *rows, nlp_error *err) {
    nlp_arguments a;
    nlp_fit_result result;
    nlp_stop stop = nlp_sqlite_stop(c);
    nlp_status status =
        nlp_sqlite_arguments(c, nlp_task_find(c->engine, "embed"), argc, argv, NULL, &a, err);
    if (status != NLP_OK || a.is_null) return status;
    size_t n_options = a.n_options; /* on_overflow of the settings is no option of fitting */
    while (n_options && !strcmp(a.options[n_options - 1].key, "on_overflow")) n_options--;
    status = nlp_fit(c->session, a.model, name, k->texts, k->labels, k->n, a.options, n_options,
                     &stop, &result, err);
    if (status == NLP_OK) status = put_pack(c, name, result.pack, result.pack_bytes, err);
    if (status == NLP_OK) status = add_metrics(result.metrics, result.n_metrics, rows, err);
    nlp_model_close(a.model);
    return status;
}

static nlp_status fill_fit(nlp_connection *c, const nlp_table_kind *kind, int argc,
                           sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err) {
    corpus k = {0};
    const char *name = (const char *)sqlite3_value_text(argv[0]),
               *query = (const char *)sqlite3_value_text(argv[1]);
    (void)kind;
    if (*state) return NLP_OK;
    if (!(*state = sqlite3_malloc(1))) return nlp_sqlite_out_of_memory(err);
    if (!name || !query)
        return nlp_sqlite_fail(err, NLP_EINVAL, "nlp_fit takes a name and a query");
    nlp_status status = read_corpus(c, query, &k, err);
    if (status == NLP_OK) status = fit(c, name, &k, argc - 2, argv + 2, rows, err);
    free_corpus(&k);
    return status;
}

/* ---- nlp_distill ---- */

/* The model that an option names, else the default one of the task. */
static nlp_status model_of(nlp_connection *c, const nlp_distill_request *r, const char *key,
                           const char *task_name, nlp_model **model, nlp_error *err) {
    char name[NLP_MODEL_NAME_BYTES];
    const nlp_arguments none = {0};
    const nlp_task_spec *task = nlp_task_find(c->engine, task_name);
    nlp_status status =
        nlp_distill_model_name(r->options, r->n_options, key, name, sizeof name, err);
    if (status == NLP_OK && !*name) status = nlp_sqlite_default_name(task, NULL, &none, name, err);
    return status == NLP_OK ? nlp_sqlite_model(c, name, model, err) : status;
}

/* A row's text is SQLite's own until the next step, and what stays of it is the core's. */
static nlp_status distill_rows(nlp_connection *c, sqlite3_stmt *s, nlp_distillation *d,
                               nlp_error *err) {
    nlp_stop stop = nlp_sqlite_stop(c);
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *bytes = (const char *)sqlite3_column_text(s, 0);
        nlp_text text = {bytes, (size_t)sqlite3_column_bytes(s, 0)};
        nlp_status status = nlp_distill_add(d, &text, 1, &stop, err);
        if (status != NLP_OK) return status;
    }
    return rc == SQLITE_DONE ? NLP_OK : nlp_sqlite_failed(c, err);
}

static nlp_status distill(nlp_connection *c, const nlp_distill_request *r, const char *query,
                          nlp_rows *rows, nlp_error *err) {
    nlp_distillation *d = NULL;
    sqlite3_stmt *s = NULL;
    nlp_fit_result result;
    nlp_stop stop = nlp_sqlite_stop(c);
    nlp_status status = nlp_distill_open(c->engine, r, &d, err);
    if (status == NLP_OK) status = open_query(c, query, 1, &s, err);
    if (status == NLP_OK) {
        status = distill_rows(c, s, d, err);
        sqlite3_finalize(s);
    }
    if (status == NLP_OK) status = nlp_distill_finish(d, &stop, &result, err);
    if (status == NLP_OK) status = put_pack(c, r->name, result.pack, result.pack_bytes, err);
    if (status == NLP_OK) status = add_metrics(result.metrics, result.n_metrics, rows, err);
    nlp_distill_close(d);
    return status;
}

/* Options and models of a request whose name and labels are there. */
static nlp_status distill_request(nlp_connection *c, nlp_distill_request *r, const char *options,
                                  const char *query, nlp_rows *rows, nlp_error *err) {
    nlp_status status = check_name(c, r->name, err);
    if (status == NLP_OK && options)
        status = nlp_sqlite_options(c, options, &r->options, &r->n_options, err);
    if (status == NLP_OK) status = model_of(c, r, "teacher", "zero_shot", &r->teacher, err);
    if (status == NLP_OK) status = model_of(c, r, "base", "embed", &r->base, err);
    if (status == NLP_OK) status = distill(c, r, query, rows, err);
    nlp_model_close(r->base);
    nlp_model_close(r->teacher);
    return status;
}

static nlp_status fill_distill(nlp_connection *c, const nlp_table_kind *kind, int argc,
                               sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err) {
    nlp_distill_request r = {.struct_size = sizeof r,
                             .name = (const char *)sqlite3_value_text(argv[0])};
    const char *query = (const char *)sqlite3_value_text(argv[1]),
               *options = argc > 3 ? (const char *)sqlite3_value_text(argv[3]) : NULL;
    char *list;
    (void)kind;
    if (*state) return NLP_OK;
    if (!(*state = sqlite3_malloc(1))) return nlp_sqlite_out_of_memory(err);
    if (!r.name || !query || sqlite3_value_type(argv[2]) == SQLITE_NULL)
        return nlp_sqlite_fail(err, NLP_EINVAL, "nlp_distill takes a name, a query and labels");
    nlp_status status =
        nlp_sqlite_list(c, "distill", "labels", argv[2], &list, &r.labels.n_bytes, err);
    r.labels.bytes = list;
    if (status == NLP_OK) status = distill_request(c, &r, options, query, rows, err);
    sqlite3_free(list);
    return status;
}

/* ---- nlp_evaluate ---- */

/* Some hundreds of texts are held at a time. */
static nlp_status evaluate_rows(nlp_connection *c, sqlite3_stmt *s, nlp_evaluation *e,
                                nlp_error *err) {
    enum { BATCH = 256 };
    nlp_stop stop = nlp_sqlite_stop(c);
    for (;;) {
        corpus k = {0};
        nlp_status status = read_rows(c, s, BATCH, &k, err);
        size_t n = k.n;
        if (status == NLP_OK) status = nlp_evaluation_add(e, k.texts, k.labels, n, &stop, err);
        free_corpus(&k);
        if (status != NLP_OK || n < BATCH) return status;
    }
}

static nlp_status evaluate(nlp_connection *c, nlp_model *model, const char *query, nlp_rows *rows,
                           nlp_error *err) {
    nlp_evaluation *e = NULL;
    sqlite3_stmt *s = NULL;
    const nlp_metric *metrics;
    size_t n;
    nlp_status status = nlp_evaluation_open(c->engine, model, &e, err);
    if (status == NLP_OK) status = open_query(c, query, 2, &s, err);
    if (status == NLP_OK) {
        status = evaluate_rows(c, s, e, err);
        sqlite3_finalize(s);
    }
    if (status == NLP_OK) status = nlp_evaluation_finish(e, &metrics, &n, err);
    if (status == NLP_OK) status = add_metrics(metrics, n, rows, err);
    nlp_evaluation_close(e);
    return status;
}

static nlp_status fill_evaluate(nlp_connection *c, const nlp_table_kind *kind, int argc,
                                sqlite3_value **argv, void **state, nlp_rows *rows,
                                nlp_error *err) {
    nlp_model *model;
    const char *name = (const char *)sqlite3_value_text(argv[0]),
               *query = (const char *)sqlite3_value_text(argv[1]);
    (void)kind, (void)argc;
    if (*state) return NLP_OK;
    if (!(*state = sqlite3_malloc(1))) return nlp_sqlite_out_of_memory(err);
    if (!name || !query)
        return nlp_sqlite_fail(err, NLP_EINVAL, "nlp_evaluate takes a model and a query");
    nlp_status status = nlp_sqlite_model(c, name, &model, err);
    if (status != NLP_OK) return status;
    status = evaluate(c, model, query, rows, err);
    nlp_model_close(model);
    return status;
}

/* ---- nlp_pack, nlp_pack_put, nlp_drop_model ---- */

static void pack(sqlite3_context *context, int argc, sqlite3_value **argv) {
    nlp_connection *c = sqlite3_user_data(context);
    sqlite3_stmt *s;
    (void)argc;
    if (sqlite3_prepare_v2(c->db, "SELECT bytes FROM main.nlp_packs WHERE name = ?1", -1, &s,
                           NULL) != SQLITE_OK)
        return;
    sqlite3_bind_value(s, 1, argv[0]);
    if (sqlite3_step(s) == SQLITE_ROW) sqlite3_result_value(context, sqlite3_column_value(s, 0));
    sqlite3_finalize(s);
}

static void pack_put(sqlite3_context *context, int argc, sqlite3_value **argv) {
    nlp_connection *c = sqlite3_user_data(context);
    nlp_error err = {.code = NLP_EINVAL, .message = "nlp_pack_put takes a name and a pack's bytes"};
    const char *name = (const char *)sqlite3_value_text(argv[0]);
    const void *bytes = sqlite3_value_blob(argv[1]);
    (void)argc;
    if (!name || !bytes ||
        put_pack(c, name, bytes, (size_t)sqlite3_value_bytes(argv[1]), &err) != NLP_OK)
        nlp_sqlite_error(context, &err);
    else
        sqlite3_result_value(context, argv[0]);
    nlp_sqlite_idle(c);
}

static void drop_model(sqlite3_context *context, int argc, sqlite3_value **argv) {
    nlp_connection *c = sqlite3_user_data(context);
    sqlite3_stmt *s;
    nlp_error err = {.code = NLP_ENOMODEL,
                     .message = "there is no model of that name in nlp_packs"};
    bool good = false;
    (void)argc;
    if (sqlite3_prepare_v2(c->db, "DELETE FROM main.nlp_packs WHERE name = ?1", -1, &s, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_value(s, 1, argv[0]);
        good = sqlite3_step(s) == SQLITE_DONE && sqlite3_changes(c->db) > 0;
        sqlite3_finalize(s);
    }
    if (good)
        sqlite3_result_value(context, argv[0]);
    else
        nlp_sqlite_error(context, &err);
}

int nlp_sqlite_packs(nlp_connection *c) {
    static const nlp_table_kind fit_table = {
        .name = "nlp_fit",
        .columns = "metric, value, name HIDDEN, query HIDDEN, base_model HIDDEN, options HIDDEN",
        .n_columns = 2,
        .n_arguments = 4,
        .n_required = 2,
        .direct_only = true,
        .fill = fill_fit};
    static const nlp_table_kind distill_table = {
        .name = "nlp_distill",
        .columns = "metric, value, name HIDDEN, query HIDDEN, labels HIDDEN, options HIDDEN",
        .n_columns = 2,
        .n_arguments = 4,
        .n_required = 3,
        .direct_only = true,
        .fill = fill_distill};
    static const nlp_table_kind evaluate_table = {.name = "nlp_evaluate",
                                                  .columns =
                                                      "metric, value, model HIDDEN, query HIDDEN",
                                                  .n_columns = 2,
                                                  .n_arguments = 2,
                                                  .n_required = 2,
                                                  .direct_only = true,
                                                  .fill = fill_evaluate};
    int rc = nlp_sqlite_table(c, &fit_table);
    if (rc == SQLITE_OK) rc = nlp_sqlite_table(c, &distill_table);
    if (rc == SQLITE_OK) rc = nlp_sqlite_table(c, &evaluate_table);
    if (rc == SQLITE_OK) rc = nlp_sqlite_add(c, "nlp_pack", 1, SQLITE_DIRECTONLY, pack);
    if (rc == SQLITE_OK) rc = nlp_sqlite_add(c, "nlp_pack_put", 2, SQLITE_DIRECTONLY, pack_put);
    return rc == SQLITE_OK ? nlp_sqlite_add(c, "nlp_drop_model", 1, SQLITE_DIRECTONLY, drop_model)
                           : rc;
}
