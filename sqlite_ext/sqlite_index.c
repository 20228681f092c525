/* sqlite_index.c: the virtual table nlp_index: text in, ranked answers out.
 *
 *     CREATE VIRTUAL TABLE docs_idx USING nlp_index(docs, title, body, model='minilm');
 *     SELECT rowid, score, snippet FROM docs_idx('how do I reset my key') LIMIT 10;
 *
 * Rows that change are noted and embedded as one batch before the transaction ends (xSync) or reads them. SQLite
 * calls xSavepoint with every statement that a trigger or several rows belong to, so nothing is embedded there:
 * marks remember what was noted by then. What was embedded inside a savepoint that is rolled back is noted again. */
#include <string.h>

#include "sqlite_index.h"

/* ---- Opening ---- */

static void free_index(nlp_index *ix) {
    index_spec_free(&ix->spec);
    sqlite3_free(ix->base.zErrMsg);
    sqlite3_free(ix->schema);
    sqlite3_free(ix->name);
    sqlite3_free(ix->entries);
    sqlite3_free(ix->marks);
    sqlite3_free(ix);
}

/* Tables of the same name would be columns of it. */
static int check_name(nlp_index *ix) {
    static const char *const taken[] = {
        "k",       "mode",      "oversample", "dense_weight", "text_weight", "pending", "score",
        "snippet", "start_pos", "end_pos",    "dense_rank",   "text_rank",   "rank",    "rowid"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        if (!sqlite3_stricmp(ix->name, taken[i]))
            return index_fail(ix, SQLITE_ERROR, "an index can't be named %s: it has such a column",
                              taken[i]);
        for (int c = 0; c < ix->spec.n_columns; c++)
            if (!sqlite3_stricmp(ix->spec.columns[c].name, taken[i]))
                return index_fail(ix, SQLITE_ERROR,
                                  "a column can't be named %s: an index has such a column",
                                  taken[i]);
    }
    return SQLITE_OK;
}

static int open_index(nlp_index *ix, int argc, const char *const *argv, bool is_new) {
    ix->schema = sqlite3_mprintf("%s", argv[1]);
    ix->name = sqlite3_mprintf("%s", argv[2]);
    if (!ix->schema || !ix->name) return SQLITE_NOMEM;
    int rc = index_spec_read(ix, argc, argv, is_new);
    if (rc == SQLITE_OK) rc = check_name(ix);
    if (rc == SQLITE_OK) rc = index_declare(ix);
    if (rc == SQLITE_OK) rc = sqlite3_vtab_config(ix->c->db, SQLITE_VTAB_CONSTRAINT_SUPPORT, 1);
    return rc;
}

/* All rows wait, and none is embedded yet. */
static int make_pending(nlp_index *ix) {
    int rc = index_rebuild_words(ix);
    if (rc == SQLITE_OK) rc = index_model_adopt(ix);
    return rc == SQLITE_OK ? index_exec(ix, "INSERT INTO $pending SELECT $key FROM $content") : rc;
}

static int fill(nlp_index *ix) {
    if (!ix->spec.content) return index_model_adopt(ix);
    int rc = index_create_triggers(ix);
    if (rc != SQLITE_OK || !ix->spec.no_backfill) return rc == SQLITE_OK ? index_rebuild(ix) : rc;
    return make_pending(ix);
}

static int make_index(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                      char **message, bool is_new) {
    nlp_index *ix = sqlite3_malloc(sizeof *ix);
    (void)db;
    if (!ix) return SQLITE_NOMEM;
    memset(ix, 0, sizeof *ix);
    ix->c = aux;
    int rc = open_index(ix, argc, argv, is_new);
    if (rc == SQLITE_OK && is_new) rc = index_create_tables(ix);
    if (rc == SQLITE_OK && is_new) rc = fill(ix);
    nlp_sqlite_idle(ix->c);
    if (rc == SQLITE_OK) {
        *out = &ix->base;
        return rc;
    }
    *message = ix->base.zErrMsg;
    ix->base.zErrMsg = NULL;
    free_index(ix);
    return rc;
}

static int create(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                  char **message) {
    return make_index(db, aux, argc, argv, out, message, true);
}

static int connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                   char **message) {
    return make_index(db, aux, argc, argv, out, message, false);
}

static int disconnect(sqlite3_vtab *vtab) {
    free_index((nlp_index *)vtab);
    return SQLITE_OK;
}

static int destroy(sqlite3_vtab *vtab) {
    int rc = index_drop_tables((nlp_index *)vtab);
    if (rc == SQLITE_OK) free_index((nlp_index *)vtab);
    return rc;
}

static int rename_index(sqlite3_vtab *vtab, const char *name) {
    return index_rename_tables((nlp_index *)vtab, name);
}

/* x_pending is none: under SQLITE_DBCONFIG_DEFENSIVE a trigger may not write to a shadow table. */
static int is_shadow(const char *name) {
    static const char *const names[] = {"vec", "sig", "config", "content"};
    for (int i = 0; i < 4; i++)
        if (!sqlite3_stricmp(name, names[i])) return 1;
    return 0;
}

/* ---- Transactions ---- */

static int begin(sqlite3_vtab *vtab) {
    nlp_index *ix = (nlp_index *)vtab;
    ix->n_entries = 0, ix->depth = 0;
    return SQLITE_OK;
}

/* May fail, and then the transaction does. Only ordinary tables are written: FTS5 would be locked. */
static int sync_index(sqlite3_vtab *vtab) {
    nlp_index *ix = (nlp_index *)vtab;
    int rc = index_flush(ix);
    nlp_sqlite_idle(ix->c);
    return rc;
}

/* Commit and rollback. */
static int end(sqlite3_vtab *vtab) {
    nlp_index *ix = (nlp_index *)vtab;
    ix->n_entries = 0, ix->depth = 0;
    return SQLITE_OK;
}

/* Savepoints that were open before the table took part are set with the first one that it sees. */
static int savepoint(sqlite3_vtab *vtab, int n) {
    nlp_index *ix = (nlp_index *)vtab;
    if (n >= ix->n_marks) {
        size_t *marks = sqlite3_realloc64(ix->marks, ((size_t)n + 8) * sizeof *marks);
        if (!marks) return SQLITE_NOMEM;
        ix->marks = marks, ix->n_marks = n + 8;
    }
    for (int i = ix->depth < n ? ix->depth : n; i <= n; i++) ix->marks[i] = ix->n_entries;
    ix->depth = n + 1;
    return SQLITE_OK;
}

static int release(sqlite3_vtab *vtab, int n) {
    nlp_index *ix = (nlp_index *)vtab;
    for (size_t i = 0; i < ix->n_entries; i++)
        if (ix->entries[i].flushed > n) ix->entries[i].flushed = n;
    ix->depth = n;
    return SQLITE_OK;
}

/* n is -1 where a savepoint outside BEGIN, which began the transaction, is rolled back to. */
static int rollback_to(sqlite3_vtab *vtab, int n) {
    nlp_index *ix = (nlp_index *)vtab;
    size_t kept = n < 0 || n >= ix->depth ? 0 : ix->marks[n];
    if (kept < ix->n_entries) ix->n_entries = kept;
    for (size_t i = 0; i < ix->n_entries; i++)
        if (ix->entries[i].flushed > n) ix->entries[i].flushed = -1;
    ix->depth = n + 1;
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .iVersion = 3,
    .xCreate = create,
    .xConnect = connect,
    .xBestIndex = index_best,
    .xDisconnect = disconnect,
    .xDestroy = destroy,
    .xOpen = index_open,
    .xClose = index_close,
    .xFilter = index_filter,
    .xNext = index_next,
    .xEof = index_eof,
    .xColumn = index_column_of,
    .xRowid = index_rowid,
    .xUpdate = index_update,
    .xBegin = begin,
    .xSync = sync_index,
    .xCommit = end,
    .xRollback = end,
    .xRename = rename_index,
    .xSavepoint = savepoint,
    .xRelease = release,
    .xRollbackTo = rollback_to,
    .xShadowName = is_shadow,
};

int nlp_sqlite_indexes(nlp_connection *c) {
    c->n_references++;
    return sqlite3_create_module_v2(c->db, "nlp_index", &module, c, nlp_sqlite_release);
}
