/* sqlite_index_schema.c: SQL of an index, its shadow tables, triggers and settings. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sqlite_index.h"

/* ---- Errors ---- */

int index_fail(nlp_index *ix, int rc, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *message = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    sqlite3_free(ix->base.zErrMsg);
    ix->base.zErrMsg = message;
    return rc;
}

int index_sql_failed(nlp_index *ix, int rc) {
    return rc == SQLITE_NOMEM ? rc : index_fail(ix, rc, "%s", sqlite3_errmsg(ix->c->db));
}

int index_nlp_failed(nlp_index *ix, const nlp_error *err) {
    sqlite3_free(ix->base.zErrMsg);
    ix->base.zErrMsg = nlp_sqlite_message(err);
    return nlp_status_sqlite(err->code);
}

int index_corrupt(nlp_index *ix, const char *table, const char *what) {
    return index_fail(
        ix, SQLITE_CORRUPT_VTAB,
        "%s_%s is damaged: %s; INSERT INTO \"%w\"(\"%w\") VALUES ('rebuild') mends it", ix->name,
        table, what, ix->name, ix->name);
}

/* ---- SQL ---- */

static void append_name(const nlp_index *ix, sqlite3_str *out, const char *word, int n) {
    const char *content = ix->spec.content;
    if (n == 3 && !memcmp(word, "key", 3))
        sqlite3_str_appendf(out, "\"%w\"", ix->spec.key);
    else if (n == 7 && !memcmp(word, "content", 7) && content)
        sqlite3_str_appendf(out, "\"%w\".\"%w\"", ix->schema, content);
    else
        sqlite3_str_appendf(out, "\"%w\".\"%w_%.*s\"", ix->schema, ix->name, n, word);
}

static char *expand(const nlp_index *ix, const char *sql) {
    sqlite3_str *out = sqlite3_str_new(ix->c->db);
    for (const char *at = sql; *at;) {
        int n = (int)strcspn(at, "$");
        sqlite3_str_append(out, at, n);
        at += n;
        if (!*at) break;
        n = (int)strspn(++at, "abcdefghijklmnopqrstuvwxyz_");
        append_name(ix, out, at, n);
        at += n;
    }
    return sqlite3_str_finish(out);
}

int index_prepare(nlp_index *ix, const char *sql, sqlite3_stmt **s) {
    char *text = expand(ix, sql);
    *s = NULL;
    if (!text) return SQLITE_NOMEM;
    int rc = sqlite3_prepare_v2(ix->c->db, text, -1, s, NULL);
    sqlite3_free(text);
    return rc == SQLITE_OK ? rc : index_sql_failed(ix, rc);
}

int index_exec(nlp_index *ix, const char *sql) {
    char *text = expand(ix, sql);
    if (!text) return SQLITE_NOMEM;
    int rc = sqlite3_exec(ix->c->db, text, NULL, NULL, NULL);
    sqlite3_free(text);
    return rc == SQLITE_OK ? rc : index_sql_failed(ix, rc);
}

int index_step(nlp_index *ix, sqlite3_stmt *s, bool *has_row) {
    int rc = sqlite3_step(s);
    *has_row = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : index_sql_failed(ix, rc);
}

int index_finish(nlp_index *ix, sqlite3_stmt **s) {
    int rc = SQLITE_ROW;
    while (*s && rc == SQLITE_ROW) rc = sqlite3_step(*s);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) index_sql_failed(ix, rc);
    sqlite3_finalize(*s);
    *s = NULL;
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int index_number(nlp_index *ix, const char *sql, int64_t *number) {
    sqlite3_stmt *s;
    bool has_row = false;
    *number = 0;
    int rc = index_prepare(ix, sql, &s);
    if (rc == SQLITE_OK) rc = index_step(ix, s, &has_row);
    if (has_row) *number = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return rc;
}

/* ---- Shadow tables ---- */

/* The names of columns, each in `format` with two names of it, ", " between them. */
static void append_columns(const nlp_index *ix, sqlite3_str *sql, bool texts, const char *before,
                           bool with_type) {
    bool is_first = true;
    for (int i = 0; i < ix->spec.n_columns; i++) {
        const index_column *column = &ix->spec.columns[i];
        if (column->is_text != texts) continue;
        sqlite3_str_appendf(sql, "%s%s\"%w\"%s%s", is_first ? "" : ", ", before, column->name,
                            with_type ? " " : "", with_type ? column->type : "");
        is_first = false;
    }
}

static int exec_finished(nlp_index *ix, sqlite3_str *sql) {
    char *text = sqlite3_str_finish(sql);
    if (!text) return SQLITE_NOMEM;
    int rc = sqlite3_exec(ix->c->db, text, NULL, NULL, NULL);
    sqlite3_free(text);
    return rc == SQLITE_OK ? rc : index_sql_failed(ix, rc);
}

static int create_texts(nlp_index *ix) {
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_str_appendf(sql, "CREATE VIRTUAL TABLE \"%w\".\"%w_fts\" USING fts5(", ix->schema,
                        ix->name);
    append_columns(ix, sql, true, "", false);
    sqlite3_str_appendf(sql, ", tokenize=%Q)",
                        ix->spec.tokenize ? ix->spec.tokenize : "porter unicode61");
    return exec_finished(ix, sql);
}

static int create_content(nlp_index *ix) {
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_str_appendf(sql, "CREATE TABLE \"%w\".\"%w_content\"(id INTEGER PRIMARY KEY",
                        ix->schema, ix->name);
    for (int i = 0; i < ix->spec.n_columns; i++)
        if (!ix->spec.columns[i].is_text)
            sqlite3_str_appendf(sql, ", \"%w\" %s", ix->spec.columns[i].name,
                                ix->spec.columns[i].type);
    sqlite3_str_appendall(sql, ")");
    return exec_finished(ix, sql);
}

/* The index over rows is that of UNIQUE: one with a name would keep it when the table is renamed. */
int index_create_tables(nlp_index *ix) {
    int rc = create_texts(ix);
    if (rc == SQLITE_OK && !ix->spec.content) rc = create_content(ix);
    if (rc == SQLITE_OK)
        rc = index_exec(ix, "CREATE TABLE $vec(id INTEGER PRIMARY KEY, row INTEGER NOT NULL, start "
                            "INTEGER NOT NULL, length INTEGER NOT NULL, q8 BLOB NOT NULL, UNIQUE "
                            "(row, id))");
    if (rc == SQLITE_OK)
        rc =
            index_exec(ix, "CREATE TABLE $sig(block INTEGER PRIMARY KEY, valid BLOB NOT NULL, rows "
                           "BLOB NOT NULL, signatures BLOB NOT NULL);"
                           "CREATE TABLE $pending(id INTEGER PRIMARY KEY);"
                           "CREATE TABLE $config(key TEXT PRIMARY KEY, value) WITHOUT ROWID");
    return rc;
}

/* ---- Triggers
 *
 * They write to FTS5 and either note the row in x_pending, which works from any program, or hand it to the
 * virtual table. No statement in them meets a conflict: the outer statement's OR REPLACE or OR FAIL would
 * hold for it. Rows that a REPLACE takes away fire no trigger of DELETE; where they had the same key the
 * insert comes here, others are found by 'integrity-check', and left out of answers. */

static void append_removal(const nlp_index *ix, sqlite3_str *sql, const char *which) {
    sqlite3_str_appendf(sql, "DELETE FROM \"%w_fts\" WHERE rowid = %s.\"%w\"; ", ix->name, which,
                        ix->spec.key);
}

static void append_text(const nlp_index *ix, sqlite3_str *sql) {
    append_removal(ix, sql, "new");
    sqlite3_str_appendf(sql, "INSERT INTO \"%w_fts\"(rowid, ", ix->name);
    append_columns(ix, sql, true, "", false);
    sqlite3_str_appendf(sql, ") VALUES (new.\"%w\", ", ix->spec.key);
    append_columns(ix, sql, true, "new.", false);
    sqlite3_str_appendall(sql, "); ");
}

static void append_note(const nlp_index *ix, sqlite3_str *sql, const char *which) {
    if (ix->spec.is_deferred)
        sqlite3_str_appendf(
            sql,
            "INSERT INTO \"%w_pending\"(id) SELECT %s.\"%w\" WHERE NOT EXISTS (SELECT 1 "
            "FROM \"%w_pending\" WHERE id = %s.\"%w\"); ",
            ix->name, which, ix->spec.key, ix->name, which, ix->spec.key);
    else
        sqlite3_str_appendf(sql,
                            "INSERT INTO \"%w\"(\"%w\", rowid) VALUES ('changed', %s.\"%w\"); ",
                            ix->name, ix->name, which, ix->spec.key);
}

static sqlite3_str *begin_trigger(const nlp_index *ix, const char *suffix, const char *event) {
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_str_appendf(sql, "CREATE TRIGGER \"%w\".\"%w_%s\" AFTER %s ON \"%w\" ", ix->schema,
                        ix->name, suffix, event, ix->spec.content);
    return sql;
}

static int create_insert_and_delete(nlp_index *ix) {
    sqlite3_str *sql = begin_trigger(ix, "insert", "INSERT");
    sqlite3_str_appendall(sql, "BEGIN ");
    append_text(ix, sql), append_note(ix, sql, "new");
    sqlite3_str_appendall(sql, "END");
    int rc = exec_finished(ix, sql);
    if (rc != SQLITE_OK) return rc;
    sql = begin_trigger(ix, "delete", "DELETE");
    sqlite3_str_appendall(sql, "BEGIN ");
    append_removal(ix, sql, "old"), append_note(ix, sql, "old");
    sqlite3_str_appendall(sql, "END");
    return exec_finished(ix, sql);
}

/* Only where a text or the key really changes. */
int index_create_triggers(nlp_index *ix) {
    int rc = create_insert_and_delete(ix);
    if (rc != SQLITE_OK) return rc;
    sqlite3_str *sql = begin_trigger(ix, "update", "UPDATE");
    sqlite3_str_appendf(sql, "WHEN old.\"%w\" IS NOT new.\"%w\"", ix->spec.key, ix->spec.key);
    for (int i = 0; i < ix->spec.n_columns; i++)
        if (ix->spec.columns[i].is_text)
            sqlite3_str_appendf(sql, " OR old.\"%w\" IS NOT new.\"%w\"", ix->spec.columns[i].name,
                                ix->spec.columns[i].name);
    sqlite3_str_appendall(sql, " BEGIN ");
    append_removal(ix, sql, "old"), append_text(ix, sql);
    append_note(ix, sql, "old"), append_note(ix, sql, "new");
    sqlite3_str_appendall(sql, "END");
    return exec_finished(ix, sql);
}

/* ---- Dropping and renaming ---- */

static const char *const events[] = {"insert", "delete", "update"};

static int drop_triggers(nlp_index *ix) {
    int rc = SQLITE_OK;
    for (int i = 0; i < 3 && rc == SQLITE_OK; i++) {
        sqlite3_str *sql = sqlite3_str_new(ix->c->db);
        sqlite3_str_appendf(sql, "DROP TRIGGER IF EXISTS \"%w\".\"%w_%s\"", ix->schema, ix->name,
                            events[i]);
        rc = exec_finished(ix, sql);
    }
    return rc;
}

int index_drop_tables(nlp_index *ix) {
    int rc = ix->spec.content ? drop_triggers(ix) : index_exec(ix, "DROP TABLE IF EXISTS $content");
    if (rc == SQLITE_OK)
        rc = index_exec(
            ix, "DROP TABLE IF EXISTS $fts; DROP TABLE IF EXISTS $vec; DROP TABLE IF EXISTS "
                "$sig; DROP TABLE IF EXISTS $pending; DROP TABLE IF EXISTS $config");
    return rc;
}

static int rename_table(nlp_index *ix, const char *part, const char *name) {
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_str_appendf(sql, "ALTER TABLE \"%w\".\"%w_%s\" RENAME TO \"%w_%s\"", ix->schema,
                        ix->name, part, name, part);
    return exec_finished(ix, sql);
}

int index_rename_tables(nlp_index *ix, const char *name) {
    static const char *const parts[] = {"fts", "vec", "sig", "pending", "config", "content"};
    int rc = ix->spec.content ? drop_triggers(ix) : SQLITE_OK;
    for (int i = 0; i < 6 - (ix->spec.content != NULL) && rc == SQLITE_OK; i++)
        rc = rename_table(ix, parts[i], name);
    if (rc != SQLITE_OK) return rc;
    char *copy = sqlite3_mprintf("%s", name);
    if (!copy) return SQLITE_NOMEM;
    sqlite3_free(ix->name);
    ix->name = copy;
    return ix->spec.content && !ix->spec.is_missing ? index_create_triggers(ix) : SQLITE_OK;
}

/* ---- Settings ---- */

static void read_setting(index_config *config, const char *key, const char *value) {
    if (!strcmp(key, "model"))
        sqlite3_snprintf(sizeof config->model, config->model, "%s", value);
    else if (!strcmp(key, "digest"))
        sqlite3_snprintf(sizeof config->digest, config->digest, "%s", value);
    else if (!strcmp(key, "dims"))
        config->dims = (uint32_t)strtoul(value, NULL, 10);
    else if (!strcmp(key, "oversample"))
        config->oversample = strtoll(value, NULL, 10);
    else if (!strcmp(key, "encoding"))
        config->is_exact = !strcmp(value, "q8");
}

int index_config_read(nlp_index *ix, index_config *config) {
    sqlite3_stmt *s;
    bool has_row;
    memset(config, 0, sizeof *config);
    int rc = index_prepare(ix, "SELECT key, value FROM $config", &s);
    while (rc == SQLITE_OK && (rc = index_step(ix, s, &has_row)) == SQLITE_OK && has_row) {
        const char *key = (const char *)sqlite3_column_text(s, 0);
        const char *value = (const char *)sqlite3_column_text(s, 1);
        if (key && value) read_setting(config, key, value);
    }
    sqlite3_finalize(s);
    if (rc != SQLITE_OK) return rc;
    if (!*config->model || strlen(config->digest) != 64 || !config->dims ||
        config->dims > NLP_SEARCH_MAX_DIMS)
        return index_corrupt(ix, "config", "it does not say which model made the vectors");
    if (config->oversample < 1 || config->oversample > INDEX_OVERSAMPLE << 10)
        config->oversample = INDEX_OVERSAMPLE;
    return SQLITE_OK;
}

int index_config_write(nlp_index *ix, const char *key, const char *value) {
    sqlite3_stmt *s;
    int rc = index_prepare(ix, "INSERT OR REPLACE INTO $config VALUES (?1, ?2)", &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, value, -1, SQLITE_STATIC);
    return index_finish(ix, &s);
}

/* ---- The model ---- */

int index_model_open(nlp_index *ix, const index_config *config, nlp_model **model) {
    nlp_error err;
    nlp_model_info info = {.struct_size = INDEX_INFO_BYTES};
    if (nlp_sqlite_model(ix->c, config->model, model, &err) != NLP_OK)
        return index_nlp_failed(ix, &err);
    nlp_model_get_info(*model, &info);
    if (!strcmp(info.digest, config->digest) && info.dims == config->dims) return SQLITE_OK;
    int rc = index_fail(
        ix, SQLITE_ERROR,
        "the vectors of %s are of %s with digest %s, but %s has digest %s now; INSERT "
        "INTO \"%w\"(\"%w\") VALUES ('rebuild') makes them anew",
        ix->name, config->model, config->digest, config->model, info.digest, ix->name, ix->name);
    nlp_model_close(*model);
    *model = NULL;
    return rc;
}

/* The name that CREATE gave, else the one that is set for nlp_embed now. */
static int model_name(nlp_index *ix, char name[NLP_MODEL_NAME_BYTES]) {
    const nlp_task_spec *task = nlp_task_find(ix->c->engine, "embed");
    nlp_error err;
    if (ix->spec.model) {
        sqlite3_snprintf(NLP_MODEL_NAME_BYTES, name, "%s", ix->spec.model);
        return SQLITE_OK;
    }
    nlp_arguments none = {0};
    return nlp_sqlite_default_name(task, NULL, &none, name, &err) == NLP_OK
               ? SQLITE_OK
               : index_nlp_failed(ix, &err);
}

static int write_identity(nlp_index *ix, const char *name, const nlp_model_info *info) {
    char number[24];
    int rc = index_config_write(ix, "format", "1");
    sqlite3_snprintf(sizeof number, number, "%u", info->dims);
    if (rc == SQLITE_OK) rc = index_config_write(ix, "model", name);
    if (rc == SQLITE_OK) rc = index_config_write(ix, "digest", info->digest);
    if (rc == SQLITE_OK) rc = index_config_write(ix, "dims", number);
    if (rc == SQLITE_OK) rc = index_config_write(ix, "encoding", "sig");
    return rc;
}

int index_model_adopt(nlp_index *ix) {
    char name[NLP_MODEL_NAME_BYTES];
    nlp_model *model;
    nlp_error err;
    nlp_model_info info = {.struct_size = INDEX_INFO_BYTES};
    int rc = model_name(ix, name);
    if (rc != SQLITE_OK) return rc;
    if (nlp_sqlite_model(ix->c, name, &model, &err) != NLP_OK) return index_nlp_failed(ix, &err);
    nlp_model_get_info(model, &info);
    index_limit limit;
    if (!info.dims || info.dims > NLP_SEARCH_MAX_DIMS)
        rc = index_fail(ix, SQLITE_ERROR, "model %s gives no vectors", name);
    if (rc == SQLITE_OK) rc = index_limits(ix, &info, &limit);
    if (rc == SQLITE_OK) rc = write_identity(ix, name, &info);
    nlp_model_close(model);
    return rc;
}
