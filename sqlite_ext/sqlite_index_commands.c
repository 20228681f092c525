/* sqlite_index_commands.c: INSERT INTO x(x) VALUES (command). */
#include <string.h>

#include "sqlite_index.h"

enum { PART = 1024 };

/* ---- rebuild ---- */

static void append_texts(const nlp_index *ix, sqlite3_str *sql, const char *between) {
    int n = 0;
    for (int i = 0; i < ix->spec.n_columns; i++)
        if (ix->spec.columns[i].is_text)
            sqlite3_str_appendf(sql, "%s\"%w\"", n++ ? between : "", ix->spec.columns[i].name);
}

static int exec_finished(nlp_index *ix, sqlite3_str *sql) {
    char *text = sqlite3_str_finish(sql);
    int rc = text ? index_exec(ix, text) : SQLITE_NOMEM;
    sqlite3_free(text);
    return rc;
}

static int fts_command(nlp_index *ix, const char *command) {
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_str_appendf(sql, "INSERT INTO $fts(\"%w_fts\") VALUES (%Q)", ix->name, command);
    return exec_finished(ix, sql);
}

/* Words out of the texts; where the index follows a table, texts out of that. */
int index_rebuild_words(nlp_index *ix) {
    int rc = fts_command(ix, "rebuild");
    if (rc != SQLITE_OK || !ix->spec.content) return rc;
    rc = index_exec(ix, "DELETE FROM $fts");
    if (rc != SQLITE_OK) return rc;
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_str_appendall(sql, "INSERT INTO $fts(rowid, ");
    append_texts(ix, sql, ", ");
    sqlite3_str_appendall(sql, ") SELECT $key, ");
    append_texts(ix, sql, ", ");
    sqlite3_str_appendall(sql, " FROM $content");
    return exec_finished(ix, sql);
}

static int read_part(nlp_index *ix, int64_t after, bool is_first, index_ids *ids) {
    sqlite3_stmt *s;
    int rc =
        index_prepare(ix,
                      is_first ? "SELECT $key FROM $content ORDER BY $key LIMIT ?2"
                               : "SELECT $key FROM $content WHERE $key > ?1 ORDER BY $key LIMIT ?2",
                      &s);
    if (rc != SQLITE_OK) return rc;
    if (!is_first) sqlite3_bind_int64(s, 1, after);
    sqlite3_bind_int64(s, 2, PART);
    rc = index_ids_read(ix, s, ids);
    sqlite3_finalize(s);
    return rc;
}

static int embed_all(nlp_index *ix) {
    int64_t after = 0;
    int rc = SQLITE_OK;
    for (bool is_first = true; rc == SQLITE_OK; is_first = false) {
        index_ids ids = {0};
        rc = read_part(ix, after, is_first, &ids);
        if (rc == SQLITE_OK) rc = index_embed(ix, ids.ids, ids.n);
        if (ids.n) after = ids.ids[ids.n - 1];
        bool is_last = ids.n < PART;
        sqlite3_free(ids.ids);
        if (is_last) break;
    }
    return rc;
}

/* What is noted in this transaction is done with it. Without a model nothing is touched: behind the error a
 * transaction may go on. */
int index_rebuild(nlp_index *ix) {
    int rc = index_model_adopt(ix);
    if (rc == SQLITE_OK) rc = index_rebuild_words(ix);
    if (rc == SQLITE_OK)
        rc = index_exec(ix, "DELETE FROM $sig; DELETE FROM $vec; DELETE FROM $pending");
    if (rc == SQLITE_OK) rc = embed_all(ix);
    for (size_t i = 0; rc == SQLITE_OK && i < ix->n_entries; i++)
        if (ix->entries[i].flushed < 0) ix->entries[i].flushed = ix->depth;
    return rc == SQLITE_OK ? index_self_test(ix) : rc;
}

/* ---- sync ---- */

static int sync(nlp_index *ix, sqlite3_value *most) {
    int64_t n, limit = INT64_MAX;
    if (sqlite3_value_type(most) != SQLITE_NULL) {
        limit = sqlite3_value_int64(most);
        if (sqlite3_value_numeric_type(most) != SQLITE_INTEGER || limit < 1)
            return index_fail(ix, SQLITE_ERROR, "k is %s, it must be an integer from 1 on",
                              sqlite3_value_text(most));
    }
    int rc = index_flush(ix);
    return rc == SQLITE_OK ? index_embed_pending(ix, limit, &n) : rc;
}

/* ---- integrity-check ---- */

/* A count of what should not be; more than 0 is an error of these words. */
static int expect_none(nlp_index *ix, const char *sql, const char *table, const char *what) {
    int64_t n;
    int rc = index_number(ix, sql, &n);
    if (rc != SQLITE_OK || !n) return rc;
    char *message = sqlite3_mprintf("%lld %s", n, what);
    if (!message) return SQLITE_NOMEM;
    rc = index_corrupt(ix, table, message);
    sqlite3_free(message);
    return rc;
}

/* Texts that differ from those of the table that the index follows. */
static int check_texts(nlp_index *ix) {
    int n = 0;
    if (!ix->spec.content) return SQLITE_OK;
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_str_appendall(
        sql, "SELECT count(*) FROM $content t JOIN $fts_content f ON f.id = t.$key WHERE 0");
    for (int i = 0; i < ix->spec.n_columns; i++)
        if (ix->spec.columns[i].is_text)
            sqlite3_str_appendf(sql, " OR f.c%d IS NOT t.\"%w\"", n++, ix->spec.columns[i].name);
    char *text = sqlite3_str_finish(sql);
    if (!text) return SQLITE_NOMEM;
    int rc = expect_none(ix, text, "fts", "texts differ from the table's");
    sqlite3_free(text);
    return rc;
}

static int check_rows(nlp_index *ix) {
    int rc = expect_none(
        ix, "SELECT count(*) FROM $content WHERE $key NOT IN (SELECT id FROM $fts_content)", "fts",
        "rows have no text");
    if (rc == SQLITE_OK)
        rc = expect_none(
            ix, "SELECT count(*) FROM $fts_content WHERE id NOT IN (SELECT $key FROM $content)",
            "fts", "texts are of rows that are gone");
    if (rc == SQLITE_OK) rc = check_texts(ix);
    if (rc == SQLITE_OK)
        rc = expect_none(
            ix,
            "SELECT count(*) FROM $vec WHERE row NOT IN (SELECT $key FROM $content) AND row "
            "NOT IN (SELECT id FROM $pending)",
            "vec", "chunks are of rows that are gone");
    return rc;
}

/* Rows without chunks must be such as have none. */
static int check_missing(nlp_index *ix) {
    sqlite3_stmt *s;
    index_ids ids = {0};
    size_t n = 0;
    int rc =
        index_prepare(ix,
                      "SELECT $key FROM $content WHERE $key NOT IN (SELECT row FROM $vec) AND $key "
                      "NOT IN (SELECT id FROM $pending)",
                      &s);
    if (rc == SQLITE_OK) rc = index_ids_read(ix, s, &ids);
    sqlite3_finalize(s);
    if (rc == SQLITE_OK) rc = index_count_pieces(ix, ids.ids, ids.n, &n);
    sqlite3_free(ids.ids);
    return rc == SQLITE_OK && n ? index_corrupt(ix, "vec", "chunks of rows are missing") : rc;
}

/* Signs of the bytes are those of the signature; a byte 0 may be of either. */
static bool same_signs(const uint8_t *signature, const uint8_t *q8, uint32_t dims) {
    for (uint32_t i = 0; i < dims; i++) {
        int8_t value = (int8_t)q8[sizeof(float) + i];
        bool bit = signature[i / 8] >> i % 8 & 1;
        if (value && bit != (value > 0)) return false;
    }
    return true;
}

static int64_t row_at(const uint8_t *rows, int i) {
    uint64_t row = 0;
    for (int byte = 7; byte >= 0; byte--) row = row << 8 | rows[8 * i + byte];
    return (int64_t)row;
}

static int check_place(nlp_index *ix, sqlite3_stmt *of_id, const index_block *block, int i,
                       uint32_t dims) {
    const uint8_t *q8;
    index_chunk chunk;
    bool has_row;
    sqlite3_bind_int64(of_id, 1, block->block * INDEX_BLOCK + i);
    int rc = index_step(ix, of_id, &has_row);
    if (rc == SQLITE_OK && !has_row)
        rc = index_corrupt(ix, "sig", "a signature has no chunk");
    else if (rc == SQLITE_OK)
        rc = index_chunk_read(ix, of_id, dims, &chunk, &q8);
    if (rc == SQLITE_OK &&
        (chunk.row != row_at(block->rows, i) ||
         !same_signs(block->signatures + (size_t)i * nlp_signature_bytes(dims), q8, dims)))
        rc = index_corrupt(ix, "sig", "a signature is not that of its chunk");
    sqlite3_reset(of_id);
    return rc;
}

static int check_block(nlp_index *ix, sqlite3_stmt *of_id, const index_block *block, uint32_t dims,
                       int64_t *n) {
    int rc = SQLITE_OK;
    for (int i = 0; i < INDEX_BLOCK && rc == SQLITE_OK; i++) {
        if (!(block->valid[i / 8] >> i % 8 & 1)) continue;
        rc = check_place(ix, of_id, block, i, dims);
        ++*n;
    }
    return rc == SQLITE_OK && index_stopped(ix) ? SQLITE_INTERRUPT : rc;
}

static int check_signatures(nlp_index *ix, uint32_t dims) {
    sqlite3_stmt *s = NULL, *of_id = NULL;
    index_block block;
    bool has_row;
    int64_t n = 0, n_chunks = 0;
    int rc = index_prepare(ix, "SELECT block, valid, rows, signatures FROM $sig", &s);
    if (rc == SQLITE_OK)
        rc = index_prepare(ix, "SELECT id, row, start, length, q8 FROM $vec WHERE id = ?1", &of_id);
    while (rc == SQLITE_OK && (rc = index_step(ix, s, &has_row)) == SQLITE_OK && has_row) {
        rc = index_block_read(ix, s, dims, &block);
        if (rc == SQLITE_OK) rc = check_block(ix, of_id, &block, dims, &n);
    }
    sqlite3_finalize(s);
    sqlite3_finalize(of_id);
    if (rc == SQLITE_OK) rc = index_number(ix, "SELECT count(*) FROM $vec", &n_chunks);
    if (rc == SQLITE_OK && n != n_chunks) rc = index_corrupt(ix, "sig", "chunks have no signature");
    return rc;
}

static int integrity_check(nlp_index *ix) {
    index_config config;
    int rc = index_flush(ix);
    if (rc == SQLITE_OK) rc = index_config_read(ix, &config);
    if (rc == SQLITE_OK) rc = fts_command(ix, "integrity-check");
    if (rc == SQLITE_OK) rc = check_rows(ix);
    if (rc == SQLITE_OK) rc = check_signatures(ix, config.dims);
    return rc == SQLITE_OK ? check_missing(ix) : rc;
}

/* ---- All ---- */

int index_command(nlp_index *ix, const char *command, int argc, sqlite3_value **argv) {
    int hidden = 2 + ix->spec.n_columns;
    (void)argc;
    if (ix->spec.is_missing)
        return index_fail(ix, SQLITE_ERROR,
                          "%s follows the table %s, which is gone: DROP TABLE \"%w\"", ix->name,
                          ix->spec.content, ix->name);
    if (!sqlite3_stricmp(command, "changed")) return index_note(ix, sqlite3_value_int64(argv[1]));
    if (!sqlite3_stricmp(command, "sync")) return sync(ix, argv[hidden + HIDDEN_K]);
    if (!sqlite3_stricmp(command, "rebuild")) return index_rebuild(ix);
    if (!sqlite3_stricmp(command, "optimize")) return index_optimize(ix);
    if (!sqlite3_stricmp(command, "integrity-check")) return integrity_check(ix);
    return index_fail(ix, SQLITE_ERROR,
                      "%s has no command %s; it has sync, rebuild, optimize, integrity-check",
                      ix->name, command);
}
