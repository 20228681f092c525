/* sqlite_tables.c: table-valued functions: those tasks that return rows, nlp_embed_each,
 * nlp_models, nlp_stats. One module serves them all: a kind names its columns and makes some rows
 * at a time. */
#include <stdlib.h>
#include <string.h>

#include "sqlite_nlp.h"

typedef struct table_data {
    nlp_connection *c;
    const nlp_table_kind *kind;
} table_data;

typedef struct table {
    sqlite3_vtab base;
    table_data *data;
} table;

typedef struct cursor {
    sqlite3_vtab_cursor base;
    nlp_rows rows;
    int row;
    int64_t rowid;
    void *state;
    sqlite3_value *arguments[8];
    int n_arguments;
} cursor;

/* ---- Rows ---- */

static void free_value(nlp_value *value) {
    bool owned = value->type == NLP_TYPE_TEXT || value->type == NLP_TYPE_VECTOR ||
                 value->type == NLP_TYPE_IDS;
    if (owned) sqlite3_free((void *)(uintptr_t)value->as.text);
}

static void rows_clear(nlp_rows *rows) {
    for (int i = 0; i < rows->n_rows * rows->n_columns; i++) free_value(&rows->cells[i]);
    sqlite3_free(rows->cells);
    rows->cells = NULL;
    rows->n_rows = 0;
}

nlp_value *nlp_rows_add(nlp_rows *rows) {
    size_t n = (size_t)(rows->n_rows + 1) * (size_t)rows->n_columns;
    if ((rows->n_rows & (rows->n_rows - 1)) ==
        0) { /* room for twice as many at each power of two */
        size_t capacity = rows->n_rows ? 2 * n : n;
        nlp_value *cells = sqlite3_realloc64(rows->cells, capacity * sizeof *cells);
        if (!cells) return NULL;
        rows->cells = cells;
    }
    nlp_value *row = rows->cells + n - (size_t)rows->n_columns;
    memset(row, 0, (size_t)rows->n_columns * sizeof *row);
    rows->n_rows++;
    return row;
}

/* The three kinds that point to something have the same pointer in the union. */
bool nlp_value_copy(nlp_value *to, const nlp_value *from) {
    size_t bytes = from->type == NLP_TYPE_TEXT ? from->n
                   : from->type == NLP_TYPE_VECTOR || from->type == NLP_TYPE_IDS
                       ? 4 * (size_t)from->n
                       : 0;
    *to = *from;
    if (from->type != NLP_TYPE_TEXT && from->type != NLP_TYPE_VECTOR && from->type != NLP_TYPE_IDS)
        return true;
    char *copy = sqlite3_malloc64(bytes + 1);
    if (!copy) {
        to->type = NLP_TYPE_NULL;
        return false;
    }
    if (bytes) memcpy(copy, from->as.text, bytes);
    to->as.text = copy;
    return true;
}

nlp_value nlp_value_of_text(const char *text) {
    nlp_value value,
        borrowed = {.type = NLP_TYPE_TEXT, .n = (uint32_t)strlen(text), .as.text = text};
    nlp_value_copy(&value, &borrowed);
    return value;
}

/* ---- The module ---- */

/* Eponymous only: there is no xCreate, so nobody can make a table of it that stays. */
static int table_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **message) {
    table_data *data = aux;
    (void)argc, (void)argv, (void)message;
    char *sql = sqlite3_mprintf("CREATE TABLE x(%s)", data->kind->columns);
    int rc = sql ? sqlite3_declare_vtab(db, sql) : SQLITE_NOMEM;
    sqlite3_free(sql);
    if (rc != SQLITE_OK) return rc;
    sqlite3_vtab_config(db,
                        data->kind->direct_only ? SQLITE_VTAB_DIRECTONLY : SQLITE_VTAB_INNOCUOUS);
    table *t = sqlite3_malloc(sizeof *t);
    if (!t) return SQLITE_NOMEM;
    memset(t, 0, sizeof *t);
    t->data = data;
    *out = &t->base;
    return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *vtab) {
    sqlite3_free(vtab);
    return SQLITE_OK;
}

/* Arguments are equalities on the hidden columns; they go to filter in order, none left out before
 * the last. */
static int table_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info) {
    const nlp_table_kind *kind = ((table *)vtab)->data->kind;
    int found[8] = {-1, -1, -1, -1, -1, -1, -1, -1}, n = 0;
    bool unusable = false;
    for (int i = 0; i < info->nConstraint; i++) {
        int argument = info->aConstraint[i].iColumn - kind->n_columns;
        if (argument < 0 || info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
        if (info->aConstraint[i].usable)
            found[argument] = i;
        else
            unusable = true;
    }
    while (n < kind->n_arguments && found[n] >= 0) {
        info->aConstraintUsage[found[n]].argvIndex = n + 1;
        info->aConstraintUsage[found[n]].omit = 1;
        n++;
    }
    if (n < kind->n_required && unusable) return SQLITE_CONSTRAINT;
    info->idxNum = n;
    info->estimatedCost = 1e6;
    info->estimatedRows = 100;
    return SQLITE_OK;
}

static int table_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    cursor *cu = sqlite3_malloc(sizeof *cu);
    (void)vtab;
    if (!cu) return SQLITE_NOMEM;
    memset(cu, 0, sizeof *cu);
    *out = &cu->base;
    return SQLITE_OK;
}

static void cursor_clear(cursor *cu) {
    rows_clear(&cu->rows);
    for (int i = 0; i < cu->n_arguments; i++) sqlite3_value_free(cu->arguments[i]);
    const nlp_table_kind *kind = ((table *)cu->base.pVtab)->data->kind;
    (kind->close ? kind->close : sqlite3_free)(cu->state);
    cu->state = NULL;
    cu->n_arguments = cu->row = 0;
}

static int table_close(sqlite3_vtab_cursor *base) {
    cursor_clear((cursor *)base);
    sqlite3_free(base);
    return SQLITE_OK;
}

/* A table makes some rows at a time, so that LIMIT stops the work and interrupt finds a place to
 * stop. */
static int refill(cursor *cu) {
    table *t = (table *)cu->base.pVtab;
    const nlp_table_kind *kind = t->data->kind;
    nlp_error err = {.code = NLP_OK};
    rows_clear(&cu->rows);
    cu->row = 0;
    cu->rows.n_columns = kind->n_columns;
    nlp_status status =
        kind->fill(t->data->c, kind, cu->n_arguments, cu->arguments, &cu->state, &cu->rows, &err);
    nlp_sqlite_idle(t->data->c);
    if (status == NLP_OK) return SQLITE_OK;
    sqlite3_free(t->base.zErrMsg);
    t->base.zErrMsg = nlp_sqlite_message(&err);
    return nlp_status_sqlite(status);
}

/* Arguments are copied: the cursor outlives the values that it was given. */
static int table_filter(sqlite3_vtab_cursor *base, int n, const char *text, int argc,
                        sqlite3_value **argv) {
    cursor *cu = (cursor *)base;
    table *t = (table *)base->pVtab;
    (void)n, (void)text;
    cursor_clear(cu);
    cu->rowid = 0;
    if (argc < t->data->kind->n_required) {
        sqlite3_free(t->base.zErrMsg);
        t->base.zErrMsg =
            sqlite3_mprintf("%s needs %d argument%s", t->data->kind->name,
                            t->data->kind->n_required, t->data->kind->n_required > 1 ? "s" : "");
        return SQLITE_ERROR;
    }
    for (; cu->n_arguments < argc; cu->n_arguments++)
        if (!(cu->arguments[cu->n_arguments] = sqlite3_value_dup(argv[cu->n_arguments])))
            return SQLITE_NOMEM;
    return refill(cu);
}

static int table_next(sqlite3_vtab_cursor *base) {
    cursor *cu = (cursor *)base;
    cu->rowid++;
    return ++cu->row < cu->rows.n_rows ? SQLITE_OK : refill(cu);
}

static int table_eof(sqlite3_vtab_cursor *base) {
    return ((cursor *)base)->row >= ((cursor *)base)->rows.n_rows;
}

static int table_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
    cursor *cu = (cursor *)base;
    int argument = column - cu->rows.n_columns;
    if (argument < 0)
        nlp_sqlite_result(context, &cu->rows.cells[cu->row * cu->rows.n_columns + column]);
    else if (argument < cu->n_arguments)
        sqlite3_result_value(context, cu->arguments[argument]);
    return SQLITE_OK;
}

static int table_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
    *rowid = ((cursor *)base)->rowid;
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .xConnect = table_connect,
    .xBestIndex = table_best_index,
    .xDisconnect = table_disconnect,
    .xOpen = table_open,
    .xClose = table_close,
    .xFilter = table_filter,
    .xNext = table_next,
    .xEof = table_eof,
    .xColumn = table_column,
    .xRowid = table_rowid,
};

static void free_kind(const nlp_table_kind *kind) {
    if (!kind || !kind->is_owned) return;
    sqlite3_free((void *)(uintptr_t)kind->name);
    sqlite3_free((void *)(uintptr_t)kind->columns);
    sqlite3_free((void *)(uintptr_t)kind);
}

static void free_table_data(void *aux) {
    table_data *data = aux;
    free_kind(data->kind);
    nlp_sqlite_release(data->c);
    sqlite3_free(data);
}

int nlp_sqlite_table(nlp_connection *c, const nlp_table_kind *kind) {
    table_data *data = sqlite3_malloc(sizeof *data);
    if (!data) {
        free_kind(kind);
        return SQLITE_NOMEM;
    }
    *data = (table_data){c, kind};
    c->n_references++;
    return sqlite3_create_module_v2(c->db, kind->name, &module, data, free_table_data);
}

/* ---- Tasks that return rows ---- */

static nlp_status copy_output(const nlp_task_spec *task, const nlp_output *output, nlp_rows *rows,
                              nlp_error *err) {
    for (uint32_t r = 0; r < output->n_rows; r++) {
        nlp_value *row = nlp_rows_add(rows);
        for (int i = 0; row && i < rows->n_columns; i++)
            if (!nlp_value_copy(&row[i], &output->cells[r * task->n_columns + (uint32_t)i]))
                row = NULL;
        if (!row) return nlp_sqlite_out_of_memory(err);
    }
    return NLP_OK;
}

static nlp_status run_task(nlp_connection *c, const nlp_task_spec *task, const nlp_texts *texts,
                           const nlp_arguments *a, nlp_rows *rows, nlp_error *err) {
    const nlp_result *result;
    nlp_status status = nlp_sqlite_run(c, task, texts->texts, NULL, 1, a, &result, err);
    return status == NLP_OK ? copy_output(task, result->outputs, rows, err) : status;
}

/* All rows of an input at once; the state only says that they were made. */
static nlp_status fill_task(nlp_connection *c, const nlp_table_kind *kind, int argc,
                            sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err) {
    nlp_arguments a = {0};
    nlp_texts texts;
    int n = (int)kind->task->n_operands;
    if (*state) return NLP_OK;
    if (!(*state = sqlite3_malloc(1))) return nlp_sqlite_out_of_memory(err);
    nlp_status status = nlp_sqlite_texts(c, kind->task, argv, &texts, err);
    if (status == NLP_OK && !texts.is_null)
        status = nlp_sqlite_arguments(c, kind->task, argc - n, argv + n, &texts, &a, err);
    if (status == NLP_OK && !texts.is_null && !a.is_null)
        status = run_task(c, kind->task, &texts, &a, rows, err);
    sqlite3_free(texts.list);
    nlp_model_close(a.model);
    return status;
}

/* Columns of the task, then its hidden arguments. */
static int add_task_table(nlp_connection *c, const nlp_task_spec *task) {
    sqlite3_str *columns = sqlite3_str_new(c->db);
    uint32_t n_shown = task->n_shown_columns ? task->n_shown_columns : task->n_columns;
    for (uint32_t i = 0; i < n_shown; i++)
        sqlite3_str_appendf(columns, "%s, ", task->columns[i].name);
    for (uint32_t i = 0; i < task->n_operands; i++)
        sqlite3_str_appendf(columns, "%s HIDDEN, ", task->operands[i].name);
    sqlite3_str_appendall(columns, "model HIDDEN, options HIDDEN");
    if (task->tunable) sqlite3_str_appendf(columns, ", %s HIDDEN", task->tunable);
    nlp_table_kind *kind = sqlite3_malloc(sizeof *kind);
    char *text = sqlite3_str_finish(columns), *name = sqlite3_mprintf("nlp_%s", task->name);
    if (!kind || !text || !name) {
        sqlite3_free(kind);
        sqlite3_free(text);
        sqlite3_free(name);
        return SQLITE_NOMEM;
    }
    *kind = (nlp_table_kind){.name = name,
                             .columns = text,
                             .n_columns = (int)n_shown,
                             .n_arguments = (int)task->n_operands + 2 + (task->tunable != NULL),
                             .n_required = (int)task->n_operands,
                             .fill = fill_task,
                             .task = task,
                             .is_owned = true};
    return nlp_sqlite_table(c, kind);
}

/* ---- nlp_embed_each ---- */

enum { EACH_BATCH = 64 };

typedef struct each_state {
    int64_t next; /* element */
} each_state;

/* Elements next .. next + EACH_BATCH - 1 of the array; texts are copies that the caller frees. */
static nlp_status read_elements(nlp_connection *c, sqlite3_value *array, int64_t next,
                                nlp_text *texts, int *n, nlp_error *err) {
    sqlite3_stmt *s;
    const char *sql = "SELECT atom, type FROM json_each(?1) WHERE key >= ?2 LIMIT ?3";
    int rc = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_value(s, 1, array);
        sqlite3_bind_int64(s, 2, next);
        sqlite3_bind_int(s, 3, EACH_BATCH);
        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
            const char *bytes = (const char *)sqlite3_column_text(s, 0);
            size_t n_bytes = (size_t)sqlite3_column_bytes(s, 0);
            texts[*n] = (nlp_text){0};
            if (bytes) {
                char *copy = sqlite3_malloc64(n_bytes + 1);
                if (!copy) break;
                memcpy(copy, bytes, n_bytes);
                texts[*n] = (nlp_text){copy, n_bytes};
            }
            ++*n;
        }
        sqlite3_finalize(s);
    }
    if (rc == SQLITE_DONE) return NLP_OK;
    if (rc == SQLITE_ROW || rc == SQLITE_NOMEM) return nlp_sqlite_out_of_memory(err);
    return nlp_sqlite_fail(err, rc == SQLITE_INTERRUPT ? NLP_ECANCELED : NLP_EINVAL,
                           "nlp_embed_each takes a JSON array of texts");
}

/* Batches of one statement see the same model, since the connection keeps it open. */
static nlp_status embed_batch(nlp_connection *c, const nlp_task_spec *task, int argc,
                              sqlite3_value **argv, const nlp_text *texts, int n, int64_t first,
                              nlp_rows *rows, nlp_error *err) {
    nlp_arguments a = {0};
    const nlp_result *result;
    nlp_status status = nlp_sqlite_arguments(c, task, argc - 1, argv + 1, NULL, &a, err);
    if (status == NLP_OK && !a.is_null) {
        status = nlp_sqlite_run(c, task, texts, NULL, (size_t)n, &a, &result, err);
        for (int i = 0; status == NLP_OK && i < n; i++) {
            nlp_value *row = nlp_rows_add(rows);
            if (!row || !nlp_value_copy(&row[1], result->outputs[i].cells))
                status = nlp_sqlite_out_of_memory(err);
            if (row) row[0] = (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = first + i + 1};
        }
    }
    nlp_model_close(a.model);
    return status;
}

/* The place in the array is all the state there is. */
static nlp_status fill_each(nlp_connection *c, const nlp_table_kind *kind, int argc,
                            sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err) {
    nlp_text texts[EACH_BATCH];
    int n = 0;
    each_state *s = *state ? *state : sqlite3_malloc(sizeof *s);
    (void)kind;
    if (!s) return nlp_sqlite_out_of_memory(err);
    if (!*state) *s = (each_state){0};
    *state = s;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return NLP_OK;
    nlp_status status = read_elements(c, argv[0], s->next, texts, &n, err);
    if (status == NLP_OK && n)
        status = embed_batch(c, nlp_task_find(c->engine, "embed"), argc, argv, texts, n, s->next,
                             rows, err);
    for (int i = 0; i < n; i++) sqlite3_free((void *)(uintptr_t)texts[i].bytes);
    s->next += n;
    return status;
}

/* ---- nlp_models, nlp_stats ---- */

static bool add_model(void *context, const nlp_model_info *info) {
    nlp_value *row = nlp_rows_add(context);
    if (!row) return false;
    const char *texts[] = {info->name,    info->digest,    info->base_digest, info->family,
                           info->tasks,   info->languages, info->licence,     info->precision,
                           info->backing, info->path,      info->problem};
    int64_t numbers[] = {info->dims, info->max_tokens, (int64_t)info->file_bytes, info->processes};
    for (size_t i = 0; i < 11; i++) row[i] = nlp_value_of_text(texts[i]);
    for (size_t i = 0; i < 4; i++)
        row[11 + i] = (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = numbers[i]};
    return true;
}

static nlp_status fill_models(nlp_connection *c, const nlp_table_kind *kind, int argc,
                              sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err) {
    (void)kind, (void)argc, (void)argv;
    if (*state) return NLP_OK;
    if (!(*state = sqlite3_malloc(1))) return nlp_sqlite_out_of_memory(err);
    nlp_status status = nlp_model_list(c->engine, add_model, rows, err);
    return status == NLP_OK ? nlp_sqlite_list_packs(c, add_model, rows, err) : status;
}

static nlp_status fill_stats(nlp_connection *c, const nlp_table_kind *kind, int argc,
                             sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err) {
    nlp_counters k;
    (void)kind, (void)argc, (void)argv;
    if (*state) return NLP_OK;
    nlp_value *row = nlp_rows_add(rows);
    if (!(*state = sqlite3_malloc(1)) || !row) return nlp_sqlite_out_of_memory(err);
    nlp_engine_get_counters(c->engine, &k);
    uint64_t numbers[] = {k.calls,     k.inputs,         k.forward_passes, k.tokens,
                          k.truncated, k.unknown_tokens, k.errors,         k.canceled};
    for (size_t i = 0; i < 8; i++)
        row[i] = (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = (int64_t)numbers[i]};
    return NLP_OK;
}

/* ---- nlp_memory ---- */

static bool add_memory(nlp_rows *rows, const char *kind, const char *name, const char *backing,
                       uint64_t bytes, uint32_t processes) {
    nlp_value *row = nlp_rows_add(rows);
    if (!row) return false;
    row[0] = nlp_value_of_text(kind), row[1] = nlp_value_of_text(name);
    row[2] = nlp_value_of_text(backing);
    row[3] = (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = (int64_t)bytes};
    row[4] = (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = processes};
    return true;
}

/* What this process has opened. */
static bool add_weights(void *context, const nlp_model_info *info) {
    return !*info->backing || add_memory(context, "weights", info->name, info->backing,
                                         info->file_bytes, info->processes);
}

static nlp_status fill_memory(nlp_connection *c, const nlp_table_kind *kind, int argc,
                              sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err) {
    (void)kind, (void)argc, (void)argv;
    if (*state) return NLP_OK;
    if (!(*state = sqlite3_malloc(1))) return nlp_sqlite_out_of_memory(err);
    nlp_status status = nlp_model_list(c->engine, add_weights, rows, err);
    if (status == NLP_OK &&
        !add_memory(rows, "scratch", "", "private", nlp_session_scratch_bytes(c->session), 1))
        status = nlp_sqlite_out_of_memory(err);
    return status;
}

int nlp_sqlite_tables(nlp_connection *c) {
    static const nlp_table_kind each = {
        .name = "nlp_embed_each",
        .columns = "ord, embedding, texts HIDDEN, model HIDDEN, options HIDDEN",
        .n_columns = 2,
        .n_arguments = 3,
        .n_required = 1,
        .fill = fill_each};
    static const nlp_table_kind models = {
        .name = "nlp_models",
        .columns =
            "name, digest, base_digest, family, tasks, languages, licence, precision, backing, path, problem, "
            "dims, max_tokens, bytes, processes",
        .n_columns = 15,
        .direct_only = true,
        .fill = fill_models};
    static const nlp_table_kind stats = {
        .name = "nlp_stats",
        .columns =
            "calls, inputs, forward_passes, tokens, truncated, unknown_tokens, errors, canceled",
        .n_columns = 8,
        .direct_only = true,
        .fill = fill_stats};
    static const nlp_table_kind memory = {.name = "nlp_memory",
                                          .columns = "kind, name, backing, bytes, processes",
                                          .n_columns = 5,
                                          .direct_only = true,
                                          .fill = fill_memory};
    const nlp_table_kind *const kinds[] = {&each, &models, &stats, &memory};
    int rc = SQLITE_OK;
    for (size_t i = 0; i < 4 && rc == SQLITE_OK; i++) rc = nlp_sqlite_table(c, kinds[i]);
    for (size_t i = 0; i < nlp_task_count(c->engine) && rc == SQLITE_OK; i++)
        if (nlp_task_at(c->engine, i)->returns_rows)
            rc = add_task_table(c, nlp_task_at(c->engine, i));
    return rc;
}
