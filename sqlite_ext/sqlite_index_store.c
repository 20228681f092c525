/* sqlite_index_store.c: where vectors lie. The id of a chunk is its place: id / 1000 is its row of x_sig, the
 * rest its place there. Places are not used again until 'optimize', so ids only grow. One block is held while
 * its chunks change; a block is updated with as many bytes as it had, of which SQLite writes only the pages
 * that differ. */
#include <string.h>

#include "sqlite_index.h"

static const int64_t last_id = (int64_t)1 << 52;

/* ---- Reading ---- */

int index_block_read(nlp_index *ix, sqlite3_stmt *s, uint32_t dims, index_block *block) {
    int width = INDEX_BLOCK * (int)nlp_signature_bytes(dims);
    block->block = sqlite3_column_int64(s, 0);
    block->valid = sqlite3_column_blob(s, 1);
    block->rows = sqlite3_column_blob(s, 2);
    block->signatures = sqlite3_column_blob(s, 3);
    if (sqlite3_column_bytes(s, 1) != INDEX_BITMAP || sqlite3_column_bytes(s, 2) != INDEX_ROWS ||
        sqlite3_column_bytes(s, 3) != width || block->block < 0 ||
        block->block > last_id / INDEX_BLOCK)
        return index_corrupt(ix, "sig", "a block has a wrong size");
    return block->valid && block->rows && block->signatures ? SQLITE_OK : SQLITE_NOMEM;
}

int index_chunk_read(nlp_index *ix, sqlite3_stmt *s, uint32_t dims, index_chunk *chunk,
                     const uint8_t **q8) {
    *chunk = (index_chunk){.id = sqlite3_column_int64(s, 0),
                           .row = sqlite3_column_int64(s, 1),
                           .start = sqlite3_column_int64(s, 2),
                           .length = sqlite3_column_int64(s, 3)};
    *q8 = sqlite3_column_blob(s, 4);
    if ((size_t)sqlite3_column_bytes(s, 4) != nlp_q8_bytes(dims) || chunk->start < 0 ||
        chunk->length < 0)
        return index_corrupt(ix, "vec", "a chunk has a wrong size");
    return *q8 ? SQLITE_OK : SQLITE_NOMEM;
}

/* From the bitmaps, which stand at the beginning of rows: x_vec would be read whole. */
int index_count_chunks(nlp_index *ix, int64_t *n) {
    sqlite3_stmt *s;
    bool has_row;
    *n = 0;
    int rc = index_prepare(ix, "SELECT valid FROM $sig", &s);
    while (rc == SQLITE_OK && (rc = index_step(ix, s, &has_row)) == SQLITE_OK && has_row) {
        const uint8_t *valid = sqlite3_column_blob(s, 0);
        if (sqlite3_column_bytes(s, 0) != INDEX_BITMAP)
            rc = index_corrupt(ix, "sig", "a bitmap has a wrong size");
        for (int i = 0; rc == SQLITE_OK && i < INDEX_BITMAP; i++)
            *n += __builtin_popcount(valid[i]);
    }
    sqlite3_finalize(s);
    return rc;
}

/* ---- The block that is held ---- */

static size_t signatures_bytes(const index_store *st) {
    return INDEX_BLOCK * nlp_signature_bytes(st->dims);
}

static bool is_empty(const index_store *st) {
    for (int i = 0; i < INDEX_BITMAP; i++)
        if (st->valid[i]) return false;
    return true;
}

/* A new block only becomes a row here: blobs are of full size from the start. */
static int write_block(index_store *st) {
    if (st->block < 0 || !st->is_changed) return SQLITE_OK;
    sqlite3_stmt *s = is_empty(st) ? st->drop_block : st->is_new ? st->add_block : st->set_block;
    sqlite3_bind_int64(s, 1, st->block);
    if (s != st->drop_block) {
        sqlite3_bind_blob(s, 2, st->valid, INDEX_BITMAP, SQLITE_STATIC);
        sqlite3_bind_blob(s, 3, st->rows, INDEX_ROWS, SQLITE_STATIC);
        sqlite3_bind_blob64(s, 4, st->signatures, signatures_bytes(st), SQLITE_STATIC);
    }
    st->is_changed = false;
    int rc = sqlite3_step(s);
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? SQLITE_OK : index_sql_failed(st->ix, rc);
}

static void clear_block(index_store *st) {
    memset(st->valid, 0, sizeof st->valid);
    memset(st->rows, 0, sizeof st->rows);
    memset(st->signatures, 0, signatures_bytes(st));
}

static int load_block(index_store *st, int64_t block) {
    sqlite3_stmt *s = st->get_block;
    index_block found;
    bool has_row;
    sqlite3_bind_int64(s, 1, block);
    int rc = index_step(st->ix, s, &has_row);
    if (rc == SQLITE_OK && has_row) rc = index_block_read(st->ix, s, st->dims, &found);
    if (rc == SQLITE_OK && has_row) {
        memcpy(st->valid, found.valid, INDEX_BITMAP);
        memcpy(st->rows, found.rows, INDEX_ROWS);
        memcpy(st->signatures, found.signatures, signatures_bytes(st));
    } else if (rc == SQLITE_OK) {
        clear_block(st);
    }
    st->is_new = !has_row;
    sqlite3_reset(s);
    return rc;
}

static int hold(index_store *st, int64_t block) {
    if (st->block == block) return SQLITE_OK;
    int rc = write_block(st);
    st->block = -1;
    if (rc == SQLITE_OK) rc = load_block(st, block);
    if (rc == SQLITE_OK) st->block = block;
    return rc;
}

/* ---- Writing ---- */

/* All statements are made before the first write: once the held block differs from the table, nothing but a step of
 * a statement that writes stands between it and the table, and an interrupt of such a step rolls the transaction
 * back. An interrupt that came while SQL was being compiled would leave chunks without signatures in a transaction
 * that goes on. */
int index_store_open(nlp_index *ix, uint32_t dims, index_store *st) {
    const struct {
        sqlite3_stmt **s;
        const char *sql;
    } statements[] = {
        {&st->insert, "INSERT INTO $vec(id, row, start, length, q8) VALUES (?1, ?2, ?3, ?4, ?5)"},
        {&st->remove, "DELETE FROM $vec WHERE id = ?1"},
        {&st->of_row, "SELECT id FROM $vec WHERE row = ?1 ORDER BY id LIMIT 1"},
        {&st->get_block, "SELECT block, valid, rows, signatures FROM $sig WHERE block = ?1"},
        {&st->add_block,
         "INSERT INTO $sig(block, valid, rows, signatures) VALUES (?1, ?2, ?3, ?4)"},
        {&st->set_block, "UPDATE $sig SET valid = ?2, rows = ?3, signatures = ?4 WHERE block = ?1"},
        {&st->drop_block, "DELETE FROM $sig WHERE block = ?1"},
    };
    memset(st, 0, sizeof *st);
    st->ix = ix, st->dims = dims, st->next = st->block = -1;
    st->signatures = sqlite3_malloc64(signatures_bytes(st));
    st->q8 = sqlite3_malloc64(nlp_q8_bytes(dims));
    int rc = st->signatures && st->q8 ? SQLITE_OK : SQLITE_NOMEM;
    for (size_t i = 0; i < sizeof statements / sizeof *statements && rc == SQLITE_OK; i++)
        rc = index_prepare(ix, statements[i].sql, statements[i].s);
    return rc;
}

static void free_store(index_store *st) {
    sqlite3_stmt *const statements[] = {st->insert,    st->remove,    st->of_row,    st->get_block,
                                        st->add_block, st->set_block, st->drop_block};
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        sqlite3_finalize(statements[i]);
    sqlite3_free(st->signatures);
    sqlite3_free(st->q8);
}

/* Behind an error too the block that is held is written, since its chunks are, unless the error rolled them back.
 * The first error stands. */
int index_store_close(index_store *st, int rc) {
    sqlite3_vtab *vtab = &st->ix->base;
    bool is_undone = sqlite3_txn_state(st->ix->c->db, st->ix->schema) != SQLITE_TXN_WRITE;
    char *message = vtab->zErrMsg;
    vtab->zErrMsg = NULL;
    int written = rc != SQLITE_OK && is_undone ? SQLITE_OK : write_block(st);
    if (rc != SQLITE_OK || !vtab->zErrMsg) {
        sqlite3_free(vtab->zErrMsg);
        vtab->zErrMsg = message;
    } else {
        sqlite3_free(message);
    }
    free_store(st);
    return rc == SQLITE_OK ? written : rc;
}

static int remove_chunk(index_store *st, int64_t id) {
    int64_t block = id / INDEX_BLOCK, place = id % INDEX_BLOCK;
    if (id < 0 || id > last_id) return index_corrupt(st->ix, "vec", "a chunk has an impossible id");
    int rc = hold(st, block);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(st->remove, 1, id);
    rc = sqlite3_step(st->remove);
    sqlite3_reset(st->remove);
    if (rc != SQLITE_DONE) return index_sql_failed(st->ix, rc);
    st->valid[place / 8] &= (uint8_t) ~(1u << place % 8);
    st->is_changed = st->is_changed || !st->is_new;
    return SQLITE_OK;
}

int index_store_remove(index_store *st, int64_t row) {
    for (;;) {
        bool has_row;
        sqlite3_bind_int64(st->of_row, 1, row);
        int rc = index_step(st->ix, st->of_row, &has_row);
        int64_t id = has_row ? sqlite3_column_int64(st->of_row, 0) : 0;
        sqlite3_reset(st->of_row);
        if (rc != SQLITE_OK || !has_row) return rc;
        rc = remove_chunk(st, id);
        if (rc != SQLITE_OK) return rc;
    }
}

/* Behind both the last chunk and the last block, which a stranger may have made differ. */
static int find_next(index_store *st) {
    int64_t chunk;
    if (st->next >= 0) return SQLITE_OK;
    int rc = index_number(st->ix, "SELECT coalesce(max(id) + 1, 0) FROM $vec", &chunk);
    if (rc != SQLITE_OK) return rc;
    if (chunk < 0 || chunk >= last_id)
        return index_corrupt(st->ix, "vec", "a chunk has an impossible id");
    st->next = chunk;
    return SQLITE_OK;
}

static int insert_chunk(index_store *st, int64_t row, int64_t start, int64_t length) {
    sqlite3_bind_int64(st->insert, 1, st->next);
    sqlite3_bind_int64(st->insert, 2, row);
    sqlite3_bind_int64(st->insert, 3, start);
    sqlite3_bind_int64(st->insert, 4, length);
    sqlite3_bind_blob64(st->insert, 5, st->q8, nlp_q8_bytes(st->dims), SQLITE_STATIC);
    int rc = sqlite3_step(st->insert);
    sqlite3_reset(st->insert);
    return rc == SQLITE_DONE ? SQLITE_OK : index_sql_failed(st->ix, rc);
}

int index_store_add(index_store *st, int64_t row, int64_t start, int64_t length,
                    const float *vector) {
    nlp_error err;
    if (nlp_q8_encode(vector, st->dims, st->q8, &err) != NLP_OK)
        return index_nlp_failed(st->ix, &err);
    int rc = find_next(st);
    if (rc == SQLITE_OK) rc = hold(st, st->next / INDEX_BLOCK);
    if (rc == SQLITE_OK) rc = insert_chunk(st, row, start, length);
    if (rc != SQLITE_OK) return rc;
    int64_t place = st->next++ % INDEX_BLOCK;
    st->valid[place / 8] |= (uint8_t)(1u << place % 8);
    for (int byte = 0; byte < 8; byte++)
        st->rows[8 * place + byte] = (uint8_t)((uint64_t)row >> 8 * byte);
    nlp_signature_encode(vector, st->dims,
                         st->signatures + (size_t)place * nlp_signature_bytes(st->dims));
    st->is_changed = true;
    return SQLITE_OK;
}
