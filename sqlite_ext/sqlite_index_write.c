/* sqlite_index_write.c: INSERT, UPDATE, DELETE. Texts go to FTS5 and other columns to x_content at once; that a
 * row has to be embedded is only noted, and done as one batch before the transaction ends or is read. What is
 * noted is a row's number, not its text: embedding makes the chunks equal to what the row says then. */
#include <stdlib.h>
#include <string.h>

#include "sqlite_index.h"

/* ---- Notes ---- */

int index_note(nlp_index *ix, int64_t row) {
    if (ix->n_entries == ix->capacity) {
        size_t capacity = ix->capacity ? 2 * ix->capacity : 64;
        index_entry *entries = sqlite3_realloc64(ix->entries, capacity * sizeof *entries);
        if (!entries) return SQLITE_NOMEM;
        ix->entries = entries, ix->capacity = capacity;
    }
    ix->entries[ix->n_entries++] = (index_entry){row, -1};
    return SQLITE_OK;
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Rows that are noted and not embedded yet, each once. */
static int list_noted(const nlp_index *ix, index_ids *ids) {
    size_t n = 0;
    ids->ids = sqlite3_malloc64((ix->n_entries + 1) * sizeof *ids->ids);
    if (!ids->ids) return SQLITE_NOMEM;
    for (size_t i = 0; i < ix->n_entries; i++)
        if (ix->entries[i].flushed < 0) ids->ids[n++] = ix->entries[i].row;
    qsort(ids->ids, n, sizeof *ids->ids, by_number);
    for (size_t i = 0; i < n; i++)
        if (!i || ids->ids[i] != ids->ids[i - 1]) ids->ids[ids->n++] = ids->ids[i];
    return SQLITE_OK;
}

int index_flush(nlp_index *ix) {
    index_ids ids = {0};
    if (!ix->n_entries) return SQLITE_OK;
    int rc = list_noted(ix, &ids);
    if (rc == SQLITE_OK) rc = index_embed(ix, ids.ids, ids.n);
    sqlite3_free(ids.ids);
    for (size_t i = 0; rc == SQLITE_OK && i < ix->n_entries; i++)
        if (ix->entries[i].flushed < 0) ix->entries[i].flushed = ix->depth;
    return rc;
}

/* ---- Rows ---- */

static int run_with_id(nlp_index *ix, const char *sql, int64_t id) {
    sqlite3_stmt *s;
    int rc = index_prepare(ix, sql, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, id);
    return index_finish(ix, &s);
}

static int delete_row(nlp_index *ix, int64_t id) {
    int rc = run_with_id(ix, "DELETE FROM $fts WHERE rowid = ?1", id);
    if (rc == SQLITE_OK) rc = run_with_id(ix, "DELETE FROM $content WHERE id = ?1", id);
    return rc == SQLITE_OK ? index_note(ix, id) : rc;
}

/* NULL: the next one. */
static int read_id(nlp_index *ix, sqlite3_value *value, const int64_t **id, int64_t *place) {
    *id = NULL;
    if (sqlite3_value_type(value) == SQLITE_NULL) return SQLITE_OK;
    if (sqlite3_value_numeric_type(value) != SQLITE_INTEGER)
        return index_fail(ix, SQLITE_MISMATCH, "a rowid of %s must be an integer", ix->name);
    *place = sqlite3_value_int64(value);
    *id = place;
    return SQLITE_OK;
}

/* Into one of the two tables: the columns of its kind. */
static int insert_columns(nlp_index *ix, bool texts, const int64_t *id, sqlite3_value **columns) {
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_stmt *s = NULL;
    int n = 1;
    sqlite3_str_appendf(sql, "INSERT INTO %s(%s", texts ? "$fts" : "$content",
                        texts ? "rowid" : "id");
    for (int i = 0; i < ix->spec.n_columns; i++)
        if (ix->spec.columns[i].is_text == texts)
            sqlite3_str_appendf(sql, ", \"%w\"", ix->spec.columns[i].name), n++;
    sqlite3_str_appendall(sql, ") VALUES (?1");
    for (int i = 2; i <= n; i++) sqlite3_str_appendf(sql, ", ?%d", i);
    sqlite3_str_appendall(sql, ")");
    char *text = sqlite3_str_finish(sql);
    int rc = text ? index_prepare(ix, text, &s) : SQLITE_NOMEM;
    sqlite3_free(text);
    if (rc != SQLITE_OK) return rc;
    if (id) sqlite3_bind_int64(s, 1, *id);
    for (int i = 0, at = 2; i < ix->spec.n_columns; i++)
        if (ix->spec.columns[i].is_text == texts) sqlite3_bind_value(s, at++, columns[i]);
    return index_finish(ix, &s);
}

static int insert_row(nlp_index *ix, const int64_t *id, sqlite3_value **columns,
                      sqlite3_int64 *rowid) {
    int rc = SQLITE_OK;
    bool replaces = sqlite3_vtab_on_conflict(ix->c->db) == SQLITE_REPLACE;
    if (replaces && id) rc = delete_row(ix, *id);
    if (rc == SQLITE_OK) rc = insert_columns(ix, false, id, columns);
    if (rc != SQLITE_OK) return rc;
    int64_t made = sqlite3_last_insert_rowid(ix->c->db);
    rc = insert_columns(ix, true, &made, columns);
    *rowid = made;
    return rc == SQLITE_OK ? index_note(ix, made) : rc;
}

/* Out of memory, texts differ: what that leads to fails by itself. */
static bool same_text(sqlite3_value *value, sqlite3_stmt *s, int column) {
    if (sqlite3_value_type(value) != SQLITE_TEXT || sqlite3_column_type(s, column) != SQLITE_TEXT)
        return false;
    const unsigned char *a = sqlite3_value_text(value), *b = sqlite3_column_text(s, column);
    int n = sqlite3_value_bytes(value);
    return a && b && sqlite3_column_bytes(s, column) == n && !memcmp(a, b, (size_t)n);
}

/* Whether new values of the texts are those that the row has: then nothing is to be embedded. */
static int same_texts(nlp_index *ix, int64_t id, sqlite3_value **columns, bool *same) {
    sqlite3_stmt *s;
    bool has_row;
    int rc = index_row_text_prepare(ix, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, id);
    rc = index_step(ix, s, &has_row);
    *same = has_row;
    for (int i = 0, at = 1; has_row && i < ix->spec.n_columns; i++) {
        if (ix->spec.columns[i].is_text) *same = *same && same_text(columns[i], s, at++);
    }
    sqlite3_finalize(s);
    return rc;
}

static int has_row_of(nlp_index *ix, int64_t id, bool *has_row) {
    sqlite3_stmt *s;
    int rc = index_prepare(ix, "SELECT 1 FROM $content WHERE id = ?1", &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, id);
    rc = index_step(ix, s, has_row);
    sqlite3_finalize(s);
    return rc;
}

/* A conflict is found before the old row is gone: OR IGNORE goes on behind the error. */
static int move_row(nlp_index *ix, int64_t id, const int64_t *to, sqlite3_value **columns,
                    sqlite3_int64 *rowid) {
    bool is_taken = false;
    int rc = SQLITE_OK;
    if (to && *to != id && sqlite3_vtab_on_conflict(ix->c->db) != SQLITE_REPLACE)
        rc = has_row_of(ix, *to, &is_taken);
    if (is_taken)
        rc = index_fail(ix, SQLITE_CONSTRAINT, "%s has a row with rowid %lld", ix->name, *to);
    if (rc == SQLITE_OK) rc = delete_row(ix, id);
    return rc == SQLITE_OK ? insert_row(ix, to, columns, rowid) : rc;
}

static int update_row(nlp_index *ix, int64_t id, const int64_t *to, sqlite3_value **columns,
                      sqlite3_int64 *rowid) {
    bool same = false;
    int rc = to && *to == id ? same_texts(ix, id, columns, &same) : SQLITE_OK;
    if (rc != SQLITE_OK) return rc;
    if (!same) return move_row(ix, id, to, columns, rowid);
    rc = run_with_id(ix, "DELETE FROM $content WHERE id = ?1", id);
    return rc == SQLITE_OK ? insert_columns(ix, false, to, columns) : rc;
}

static int write_row(nlp_index *ix, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
    if (ix->spec.content)
        return index_fail(ix, SQLITE_READONLY, "%s follows the table %s: write there", ix->name,
                          ix->spec.content);
    if (argc == 1) return delete_row(ix, sqlite3_value_int64(argv[0]));
    const int64_t *id;
    int64_t place;
    int rc = read_id(ix, argv[1], &id, &place);
    if (rc != SQLITE_OK) return rc;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return insert_row(ix, id, argv + 2, rowid);
    return update_row(ix, sqlite3_value_int64(argv[0]), id, argv + 2, rowid);
}

/* A command is an INSERT with a word in the column that is named as the table. */
int index_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
    nlp_index *ix = (nlp_index *)vtab;
    int hidden = 2 + ix->spec.n_columns, rc;
    bool is_insert = argc > 1 && sqlite3_value_type(argv[0]) == SQLITE_NULL;
    if (is_insert && sqlite3_value_type(argv[hidden]) != SQLITE_NULL) {
        const char *command = (const char *)sqlite3_value_text(argv[hidden]);
        rc = command ? index_command(ix, command, argc, argv) : SQLITE_NOMEM;
    } else {
        rc = write_row(ix, argc, argv, rowid);
    }
    nlp_sqlite_idle(ix->c);
    return rc;
}
