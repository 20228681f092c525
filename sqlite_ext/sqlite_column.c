/* sqlite_column.c: nlp_embed_column(table, source, target[, model[, options]]) fills a column of vectors, some rows
 * at a time, each part in a savepoint with the count of what is done: killed in the middle, it goes on where it
 * was when it is called again. nlp_progress shows the counts, which lie in the table nlp_jobs of the same file. */
#include <string.h>

#include "sqlite_nlp.h"

enum { PART = 64 };

static const char create_jobs[] =
    "CREATE TABLE IF NOT EXISTS main.nlp_jobs(relation TEXT, source TEXT, target TEXT, model TEXT, "
    "digest TEXT, rows_done INTEGER, rows_total INTEGER, started TEXT, updated TEXT, finished TEXT, "
    "PRIMARY KEY(relation, target)) WITHOUT ROWID";

typedef struct column_job {
    nlp_connection *c;
    const char *table, *source, *target;
    nlp_arguments arguments; /* model and options */
    nlp_model_info model;
    int64_t n_todo, n_all; /* rows with a text: without a vector, and all */
    int64_t next;          /* the rowid from which on rows are read */
    int64_t n_done;        /* by this call */
} column_job;

/* The rows of a part; the values are copies. */
typedef struct part {
    int n;
    int64_t rowids[PART];
    sqlite3_value *values[PART];
    nlp_text texts[PART];
} part;

/* ---- SQL ---- */

/* Of a text that is freed; NULL after an error. Columns are written t."name": an unknown name in quotes alone
 * would be taken for a string. */
static sqlite3_stmt *prepare(const column_job *j, char *sql, nlp_error *err) {
    sqlite3_stmt *s = NULL;
    if (!sql)
        nlp_sqlite_out_of_memory(err);
    else if (sqlite3_prepare_v2(j->c->db, sql, -1, &s, NULL) != SQLITE_OK)
        nlp_sqlite_failed(j->c, err);
    sqlite3_free(sql);
    return s;
}

/* Steps a statement to its end and finalizes it. */
static nlp_status finish(const column_job *j, sqlite3_stmt *s, nlp_error *err) {
    int rc = s ? sqlite3_step(s) : SQLITE_ERROR;
    if (!s) return err->code;
    sqlite3_finalize(s);
    return rc == SQLITE_DONE ? NLP_OK : nlp_sqlite_failed(j->c, err);
}

static nlp_status execute(const column_job *j, const char *sql, nlp_error *err) {
    return sqlite3_exec(j->c->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? NLP_OK
               : nlp_sqlite_failed(j->c, err);
}

/* ---- Beginning ---- */

static nlp_status count_rows(column_job *j, nlp_error *err) {
    sqlite3_stmt *s = prepare(
        j,
        sqlite3_mprintf("SELECT count(*) FILTER (WHERE t.\"%w\" IS NULL), count(*) FROM \"%w\" t "
                        "WHERE t.\"%w\" IS NOT NULL AND t.rowid IS NOT NULL",
                        j->target, j->table, j->source),
        err);
    if (!s) return err->code;
    int rc = sqlite3_step(s);
    j->n_todo = sqlite3_column_int64(s, 0), j->n_all = sqlite3_column_int64(s, 1);
    sqlite3_finalize(s);
    return rc == SQLITE_ROW ? NLP_OK : nlp_sqlite_failed(j->c, err);
}

/* Vectors of two models never mix. */
static nlp_status check_digest(const column_job *j, nlp_error *err) {
    sqlite3_stmt *s = prepare(
        j,
        sqlite3_mprintf("SELECT digest FROM main.nlp_jobs WHERE relation = %Q AND target = %Q",
                        j->table, j->target),
        err);
    if (!s) return err->code;
    bool differs = sqlite3_step(s) == SQLITE_ROW && j->n_todo < j->n_all &&
                   strcmp((const char *)sqlite3_column_text(s, 0), j->model.digest) != 0;
    char *message = differs ? sqlite3_mprintf("%lld rows have vectors of model %.16s, but %s is "
                                              "%.16s now: set the column to NULL to begin anew",
                                              j->n_all - j->n_todo, sqlite3_column_text(s, 0),
                                              j->model.name, j->model.digest)
                            : NULL;
    sqlite3_finalize(s);
    if (!differs) return NLP_OK;
    nlp_sqlite_fail(err, NLP_EMISMATCH, message ? message : "another model");
    sqlite3_free(message);
    return err->code;
}

static nlp_status begin_job(column_job *j, nlp_error *err) {
    nlp_status status = execute(j, create_jobs, err);
    if (status == NLP_OK) status = count_rows(j, err);
    if (status == NLP_OK) status = check_digest(j, err);
    if (status != NLP_OK) return status;
    return finish(j,
                  prepare(j,
                          sqlite3_mprintf("INSERT OR REPLACE INTO main.nlp_jobs VALUES(%Q, %Q, %Q, "
                                          "%Q, %Q, %lld, %lld, datetime(), datetime(), NULL)",
                                          j->table, j->source, j->target, j->model.name,
                                          j->model.digest, j->n_all - j->n_todo, j->n_all),
                          err),
                  err);
}

/* ---- Parts ---- */

static nlp_status read_part(column_job *j, part *p, nlp_error *err) {
    int rc = SQLITE_DONE;
    sqlite3_stmt *s = prepare(
        j,
        sqlite3_mprintf(
            "SELECT t.rowid, t.\"%w\" FROM \"%w\" t WHERE t.rowid >= %lld AND t.\"%w\" IS NULL "
            "AND t.\"%w\" IS NOT NULL ORDER BY t.rowid LIMIT %d",
            j->source, j->table, j->next, j->target, j->source, PART),
        err);
    if (!s) return err->code;
    while (p->n < PART && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        int64_t rowid = p->rowids[p->n] = sqlite3_column_int64(s, 0);
        j->next = rowid < INT64_MAX ? rowid + 1 : rowid;
        sqlite3_value *copy = p->values[p->n] = sqlite3_value_dup(sqlite3_column_value(s, 1));
        if (!copy) break;
        p->texts[p->n++] = nlp_sqlite_text(copy);
    }
    sqlite3_finalize(s);
    if (rc == SQLITE_DONE || p->n == PART) return NLP_OK;
    return rc == SQLITE_ROW ? nlp_sqlite_out_of_memory(err) : nlp_sqlite_failed(j->c, err);
}

static void clear_part(part *p) {
    for (int i = 0; i < PART; i++) sqlite3_value_free(p->values[i]);
}

static nlp_status write_part(column_job *j, const part *p, const nlp_result *result,
                             nlp_error *err) {
    sqlite3_stmt *s = prepare(
        j, sqlite3_mprintf("UPDATE \"%w\" SET \"%w\" = ?1 WHERE rowid = ?2", j->table, j->target),
        err);
    int rc = SQLITE_DONE;
    if (!s) return err->code;
    for (int i = 0; i < p->n && rc == SQLITE_DONE; i++) {
        const nlp_value *vector = result->outputs[i].cells;
        rc = vector->type != NLP_TYPE_VECTOR
                 ? sqlite3_bind_null(s, 1)
                 : sqlite3_bind_blob64(s, 1, vector->as.vector, 4 * (sqlite3_uint64)vector->n,
                                       SQLITE_STATIC);
        if (rc != SQLITE_OK) break; /* too big for the host */
        sqlite3_bind_int64(s, 2, p->rowids[i]);
        rc = sqlite3_step(s);
        sqlite3_reset(s);
    }
    sqlite3_finalize(s);
    if (rc != SQLITE_DONE) return nlp_sqlite_failed(j->c, err);
    return finish(j,
                  prepare(j,
                          sqlite3_mprintf("UPDATE main.nlp_jobs SET rows_done = rows_done + %d, "
                                          "rows_total = max(rows_total, rows_done + %d), updated = "
                                          "datetime() WHERE relation = %Q AND target = %Q",
                                          p->n, p->n, j->table, j->target),
                          err),
                  err);
}

/* *n: rows of it; 0: there are none left. */
static nlp_status run_part(column_job *j, int *n, nlp_error *err) {
    part p = {0};
    const nlp_result *result;
    const nlp_task_spec *task = nlp_task_find(j->c->engine, "embed");
    nlp_status status = read_part(j, &p, err);
    if (status == NLP_OK && p.n)
        status =
            nlp_sqlite_run(j->c, task, p.texts, NULL, (size_t)p.n, &j->arguments, &result, err);
    if (status == NLP_OK && p.n) status = write_part(j, &p, result, err);
    clear_part(&p);
    *n = p.n;
    return status;
}

static nlp_status run_parts(column_job *j, nlp_error *err) {
    int n = 1;
    while (n) {
        nlp_status status = execute(j, "SAVEPOINT nlp_column", err);
        if (status == NLP_OK) status = run_part(j, &n, err);
        if (status != NLP_OK) {
            sqlite3_exec(j->c->db, "ROLLBACK TO nlp_column; RELEASE nlp_column", NULL, NULL, NULL);
            return status;
        }
        if ((status = execute(j, "RELEASE nlp_column", err)) != NLP_OK) return status;
        j->n_done += n;
    }
    return finish(
        j,
        prepare(j,
                sqlite3_mprintf("UPDATE main.nlp_jobs SET finished = datetime(), updated = "
                                "datetime() WHERE relation = %Q AND target = %Q",
                                j->table, j->target),
                err),
        err);
}

/* The number of rows that got a vector. */
static void embed_column(sqlite3_context *context, int argc, sqlite3_value **argv) {
    column_job j = {.c = sqlite3_user_data(context),
                    .model = {.struct_size = sizeof j.model},
                    .next = INT64_MIN};
    nlp_error err;
    nlp_status status = NLP_OK;
    for (int i = 0; i < 3; i++)
        if (i >= argc || sqlite3_value_type(argv[i]) != SQLITE_TEXT) status = NLP_EINVAL;
    if (status == NLP_OK) {
        j.table = (const char *)sqlite3_value_text(argv[0]);
        j.source = (const char *)sqlite3_value_text(argv[1]);
        j.target = (const char *)sqlite3_value_text(argv[2]);
        status = nlp_sqlite_arguments(j.c, nlp_task_find(j.c->engine, "embed"), argc - 3, argv + 3,
                                      NULL, &j.arguments, &err);
    } else {
        nlp_sqlite_fail(&err, status, "nlp_embed_column needs a table and two of its columns");
    }
    if (status == NLP_OK && !j.arguments.is_null) {
        nlp_model_get_info(j.arguments.model, &j.model);
        status = begin_job(&j, &err);
        if (status == NLP_OK) status = run_parts(&j, &err);
    }
    nlp_model_close(j.arguments.model);
    nlp_sqlite_idle(j.c);
    if (status != NLP_OK)
        nlp_sqlite_error(context, &err);
    else if (!j.arguments.is_null)
        sqlite3_result_int64(context, j.n_done);
}

/* ---- nlp_progress ---- */

static nlp_value cell(sqlite3_stmt *s, int column) {
    if (sqlite3_column_type(s, column) == SQLITE_INTEGER)
        return (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = sqlite3_column_int64(s, column)};
    const char *text = (const char *)sqlite3_column_text(s, column);
    return text ? nlp_value_of_text(text) : (nlp_value){.type = NLP_TYPE_NULL};
}

/* A file without jobs has no such table. */
static nlp_status fill_progress(nlp_connection *c, const nlp_table_kind *kind, int argc,
                                sqlite3_value **argv, void **state, nlp_rows *rows,
                                nlp_error *err) {
    sqlite3_stmt *s;
    (void)argc, (void)argv;
    if (*state) return NLP_OK;
    if (!(*state = sqlite3_malloc(1))) return nlp_sqlite_out_of_memory(err);
    if (sqlite3_table_column_metadata(c->db, "main", "nlp_jobs", NULL, NULL, NULL, NULL, NULL,
                                      NULL) != SQLITE_OK)
        return NLP_OK;
    if (sqlite3_prepare_v2(
            c->db,
            "SELECT relation, source, target, model, rows_done, rows_total, started, "
            "updated, finished FROM main.nlp_jobs",
            -1, &s, NULL) != SQLITE_OK)
        return nlp_sqlite_failed(c, err);
    nlp_value *row = NULL;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW && (row = nlp_rows_add(rows)))
        for (int i = 0; i < kind->n_columns; i++) row[i] = cell(s, i);
    sqlite3_finalize(s);
    return rc == SQLITE_DONE ? NLP_OK : nlp_sqlite_failed(c, err);
}

int nlp_sqlite_columns(nlp_connection *c) {
    static const nlp_table_kind progress = {
        .name = "nlp_progress",
        .columns =
            "relation, source, target, model, rows_done, rows_total, started, updated, finished",
        .n_columns = 9,
        .direct_only = true,
        .fill = fill_progress};
    int rc = nlp_sqlite_table(c, &progress);
    return rc == SQLITE_OK
               ? nlp_sqlite_add(c, "nlp_embed_column", -1, SQLITE_DIRECTONLY, embed_column)
               : rc;
}
