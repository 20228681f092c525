/* sqlite_index_embed.c: rows to chunks to vectors. Some rows go together: their texts are cut by the task
 * chunk, the pieces embedded in one call, and only then old chunks are removed and the tables written, so that an
 * interrupt or an error in between leaves them as they were, in a transaction that may go on. */
#include <string.h>

#include "sqlite_index.h"

enum {
    PART_ROWS = 1024,     /* of one call of the model, */
    PART_BYTES = 8 << 20, /* unless their texts are long */
    PART_CHUNKS = 2048,
    ROOM = 8, /* tokens that a chunk leaves to special ones and to a prompt */
    USUAL_TOKENS = 256,
    USUAL_OVERLAP = 32,
};

typedef struct piece {
    int64_t row;
    nlp_text text; /* inside a text of the part */
    size_t start;  /* byte in it */
} piece;

typedef struct part {
    nlp_index *ix;
    nlp_arguments chunking, embedding;
    uint32_t dims;
    const int64_t *rows;
    size_t n; /* rows */
    nlp_text *texts;
    piece *pieces;
    size_t n_pieces, capacity;
    index_store store;
} part;

bool index_stopped(nlp_index *ix) {
    nlp_stop stop = nlp_sqlite_stop(ix->c);
    return stop.should_stop(stop.context);
}

/* ---- Texts ---- */

int index_row_text_prepare(nlp_index *ix, sqlite3_stmt **s) {
    return index_prepare(ix, "SELECT * FROM $fts_content WHERE id = ?1", s);
}

/* Columns behind the id, a blank between them: a line end would be the end of a sentence, and keep a title out of
 * the chunk of what it stands above. As concat_ws does, NULL is left out and '' is not. */
static int join_columns(sqlite3_stmt *s, nlp_text *text) {
    size_t n = 0;
    int n_columns = sqlite3_column_count(s);
    for (int i = 1; i < n_columns; i++) {
        if (sqlite3_column_type(s, i) == SQLITE_NULL) continue;
        if (!sqlite3_column_text(s, i)) return SQLITE_NOMEM;
        n += (size_t)sqlite3_column_bytes(s, i) + 1;
    }
    if (!n) return SQLITE_OK;
    char *out = sqlite3_malloc64(n);
    if (!out) return SQLITE_NOMEM;
    *text = (nlp_text){out, n - 1};
    for (int i = 1; i < n_columns; i++) {
        if (sqlite3_column_type(s, i) == SQLITE_NULL) continue;
        size_t bytes = (size_t)sqlite3_column_bytes(s, i);
        memcpy(out, sqlite3_column_text(s, i), bytes);
        out[bytes] = ' ';
        out += bytes + 1;
    }
    return SQLITE_OK;
}

int index_row_text(nlp_index *ix, sqlite3_stmt *s, int64_t row, nlp_text *text) {
    bool has_row;
    *text = (nlp_text){0};
    sqlite3_bind_int64(s, 1, row);
    int rc = index_step(ix, s, &has_row);
    if (rc == SQLITE_OK && has_row) rc = join_columns(s, text);
    sqlite3_reset(s);
    return rc;
}

/* As many rows from `rows` on as go together: p->n. */
static int read_texts(part *p, size_t n) {
    sqlite3_stmt *s;
    size_t bytes = 0;
    int rc = index_row_text_prepare(p->ix, &s);
    for (p->n = 0; rc == SQLITE_OK && p->n < n && bytes < PART_BYTES; p->n++) {
        rc = index_row_text(p->ix, s, p->rows[p->n], &p->texts[p->n]);
        bytes += p->texts[p->n].n_bytes;
    }
    sqlite3_finalize(s);
    return rc;
}

/* ---- Chunks ---- */

/* Equal texts are cut once: the pieces of one may lie in another. */
static size_t place_of(const part *p, size_t i, const char *at) {
    const nlp_text *text = &p->texts[i];
    for (size_t j = 0; j < p->n && !(at >= text->bytes && at <= text->bytes + text->n_bytes); j++)
        text = &p->texts[j];
    return (size_t)(at - text->bytes);
}

static int add_pieces(part *p, size_t i, const nlp_output *output) {
    for (uint32_t r = 0; output->status == NLP_OK && r < output->n_rows; r++) {
        const nlp_value *chunk = &output->cells[5 * r + 1];
        if (p->n_pieces == p->capacity) {
            size_t capacity = p->capacity ? 2 * p->capacity : 256;
            piece *pieces = sqlite3_realloc64(p->pieces, capacity * sizeof *pieces);
            if (!pieces) return SQLITE_NOMEM;
            p->pieces = pieces, p->capacity = capacity;
        }
        p->pieces[p->n_pieces++] = (piece){.row = p->rows[i],
                                           .text = {chunk->as.text, chunk->n},
                                           .start = place_of(p, i, chunk->as.text)};
    }
    return SQLITE_OK;
}

/* A text that is no UTF-8 has no chunks; it is still found by its words. */
static int cut(part *p) {
    const nlp_result *result;
    nlp_error err;
    int rc = SQLITE_OK;
    if (nlp_sqlite_run(p->ix->c, nlp_task_find(p->ix->c->engine, "chunk"), p->texts, NULL, p->n,
                       &p->chunking, &result, &err) != NLP_OK)
        return index_nlp_failed(p->ix, &err);
    for (size_t i = 0; i < p->n && rc == SQLITE_OK; i++) rc = add_pieces(p, i, &result->outputs[i]);
    return rc;
}

/* ---- Vectors ---- */

static int store_vectors(part *p, const piece *pieces, size_t n, const nlp_result *result) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        const nlp_value *vector = result->outputs[i].cells;
        if (result->outputs[i].status != NLP_OK || vector->type != NLP_TYPE_VECTOR) continue;
        if (vector->n != p->dims)
            return index_fail(p->ix, SQLITE_ERROR, "the model gives %u dims, the index has %u",
                              vector->n, p->dims);
        rc = index_store_add(&p->store, pieces[i].row, (int64_t)pieces[i].start,
                             (int64_t)pieces[i].text.n_bytes, vector->as.vector);
    }
    return rc;
}

static int remove_rows(part *p) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < p->n && rc == SQLITE_OK; i++)
        rc = index_store_remove(&p->store, p->rows[i]);
    return rc;
}

/* Old chunks go when the first vectors are there. */
static int embed_pieces(part *p, size_t at, size_t n, nlp_text *texts) {
    const nlp_result *result = NULL;
    const piece *pieces = p->pieces + at;
    nlp_error err;
    for (size_t i = 0; i < n; i++) texts[i] = pieces[i].text;
    if (n && nlp_sqlite_run(p->ix->c, nlp_task_find(p->ix->c->engine, "embed"), texts, NULL, n,
                            &p->embedding, &result, &err) != NLP_OK)
        return index_nlp_failed(p->ix, &err);
    int rc = at ? SQLITE_OK : remove_rows(p);
    return rc == SQLITE_OK ? store_vectors(p, pieces, n, result) : rc;
}

static int write_part(part *p) {
    size_t most = p->n_pieces < PART_CHUNKS ? p->n_pieces : PART_CHUNKS;
    nlp_text *texts = sqlite3_malloc64((most + 1) * sizeof *texts);
    int rc = index_store_open(p->ix, p->dims, &p->store);
    if (!texts) rc = SQLITE_NOMEM;
    for (size_t at = 0; rc == SQLITE_OK && (!at || at < p->n_pieces); at += PART_CHUNKS) {
        size_t n = p->n_pieces - at < PART_CHUNKS ? p->n_pieces - at : PART_CHUNKS;
        rc = embed_pieces(p, at, n, texts);
    }
    sqlite3_free(texts);
    return index_store_close(&p->store, rc);
}

/* ---- Options ---- */

static nlp_option integer_option(const char *key, int64_t value) {
    return (nlp_option){key, {.type = NLP_TYPE_INTEGER, .as.integer = value}};
}

static nlp_option text_option(const char *key, const char *value) {
    return (nlp_option){key,
                        {.type = NLP_TYPE_TEXT, .n = (uint32_t)strlen(value), .as.text = value}};
}

/* A chunk must fit into the model with what is put around it. */
int index_limits(nlp_index *ix, const nlp_model_info *info, index_limit *limit) {
    const index_spec *spec = &ix->spec;
    int64_t most = info->max_tokens > 2 * ROOM ? info->max_tokens - ROOM : info->max_tokens;
    int64_t usual = most < USUAL_TOKENS ? most : USUAL_TOKENS;
    limit->tokens = spec->max_tokens > 0 ? spec->max_tokens : usual;
    int64_t eighth = limit->tokens / 8;
    limit->overlap = spec->overlap >= 0       ? spec->overlap
                     : eighth < USUAL_OVERLAP ? eighth
                                              : USUAL_OVERLAP;
    if (limit->tokens > most)
        return index_fail(ix, SQLITE_ERROR, "max_tokens is %lld, but %s has room for %lld",
                          limit->tokens, info->name, most);
    if (limit->overlap >= limit->tokens)
        return index_fail(ix, SQLITE_ERROR,
                          "overlap is %lld, it must be less than max_tokens, which is %lld",
                          limit->overlap, limit->tokens);
    return SQLITE_OK;
}

static int set_options(part *p, nlp_model *model) {
    nlp_model_info info = {.struct_size = INDEX_INFO_BYTES};
    index_limit limit;
    nlp_model_get_info(model, &info);
    int rc = index_limits(p->ix, &info, &limit);
    p->chunking = p->embedding = (nlp_arguments){.model = model};
    p->chunking.options[0] = integer_option("max_tokens", limit.tokens);
    p->chunking.options[1] = integer_option("overlap", limit.overlap);
    p->chunking.options[2] = text_option("on_error", "null");
    p->chunking.n_options = 3;
    p->embedding.options[0] = text_option("on_error", "null");
    p->embedding.n_options = 1;
    p->dims = info.dims;
    return rc;
}

/* Chunks that rows would have now: what 'integrity-check' expects. */
int index_count_pieces(nlp_index *ix, const int64_t *rows, size_t n, size_t *n_pieces) {
    part p = {.ix = ix, .rows = rows};
    index_config config;
    nlp_model *model = NULL;
    *n_pieces = 0;
    int rc = index_config_read(ix, &config);
    if (rc == SQLITE_OK) rc = index_model_open(ix, &config, &model);
    if (rc == SQLITE_OK) rc = set_options(&p, model);
    p.texts = sqlite3_malloc64((n + 1) * sizeof *p.texts);
    if (!p.texts) rc = SQLITE_NOMEM;
    if (p.texts) memset(p.texts, 0, (n + 1) * sizeof *p.texts);
    for (size_t done = 0; rc == SQLITE_OK && done < n; done += p.n) {
        p.rows = rows + done;
        rc = read_texts(&p, n - done);
        if (rc == SQLITE_OK) rc = cut(&p);
        for (size_t i = 0; i < p.n; i++) sqlite3_free((void *)(uintptr_t)p.texts[i].bytes);
    }
    *n_pieces = p.n_pieces;
    sqlite3_free(p.texts);
    sqlite3_free(p.pieces);
    nlp_model_close(model);
    return rc;
}

static int embed_part(part *p, size_t n) {
    memset(p->texts, 0, PART_ROWS * sizeof *p->texts);
    p->n_pieces = 0;
    int rc = read_texts(p, n < PART_ROWS ? n : PART_ROWS);
    if (rc == SQLITE_OK) rc = cut(p);
    if (rc == SQLITE_OK) rc = write_part(p);
    for (size_t i = 0; i < p->n; i++) sqlite3_free((void *)(uintptr_t)p->texts[i].bytes);
    return rc;
}

static int embed_all(part *p, const int64_t *rows, size_t n) {
    int rc = SQLITE_OK;
    p->texts = sqlite3_malloc64(PART_ROWS * sizeof *p->texts);
    if (!p->texts) return SQLITE_NOMEM;
    for (size_t at = 0; at < n && rc == SQLITE_OK; at += p->n) {
        p->rows = rows + at;
        rc = index_stopped(p->ix) ? SQLITE_INTERRUPT : embed_part(p, n - at);
    }
    sqlite3_free(p->texts);
    sqlite3_free(p->pieces);
    return rc;
}

/* The caller's last_insert_rowid() stays: it is asked for what was inserted into a table of theirs. */
int index_embed(nlp_index *ix, const int64_t *rows, size_t n) {
    part p = {.ix = ix};
    index_config config;
    nlp_model *model = NULL;
    sqlite3_int64 last = sqlite3_last_insert_rowid(ix->c->db);
    if (!n) return SQLITE_OK;
    int rc = index_config_read(ix, &config);
    if (rc == SQLITE_OK) rc = index_model_open(ix, &config, &model);
    if (rc == SQLITE_OK) rc = set_options(&p, model);
    if (rc == SQLITE_OK) rc = embed_all(&p, rows, n);
    nlp_model_close(model);
    sqlite3_set_last_insert_rowid(ix->c->db, last);
    return rc;
}

/* ---- Rows that wait ---- */

static int forget_pending(nlp_index *ix, const index_ids *ids) {
    sqlite3_stmt *s;
    int rc = index_prepare(ix, "DELETE FROM $pending WHERE id = ?1", &s);
    for (size_t i = 0; i < ids->n && rc == SQLITE_OK; i++) {
        sqlite3_bind_int64(s, 1, ids->ids[i]);
        if ((rc = sqlite3_step(s)) == SQLITE_DONE)
            rc = SQLITE_OK;
        else
            rc = index_sql_failed(ix, rc);
        sqlite3_reset(s);
    }
    sqlite3_finalize(s);
    return rc;
}

static int next_pending(nlp_index *ix, int64_t most, index_ids *ids) {
    sqlite3_stmt *s;
    int rc = index_prepare(ix, "SELECT id FROM $pending ORDER BY id LIMIT ?1", &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, most);
    rc = index_ids_read(ix, s, ids);
    sqlite3_finalize(s);
    return rc;
}

int index_embed_pending(nlp_index *ix, int64_t most, int64_t *n) {
    int rc = SQLITE_OK;
    for (*n = 0; rc == SQLITE_OK && *n < most;) {
        index_ids ids = {0};
        int64_t some = most - *n < PART_ROWS ? most - *n : PART_ROWS;
        rc = next_pending(ix, some, &ids);
        if (rc == SQLITE_OK && ids.n) rc = index_embed(ix, ids.ids, ids.n);
        if (rc == SQLITE_OK && ids.n) rc = forget_pending(ix, &ids);
        *n += (int64_t)ids.n;
        sqlite3_free(ids.ids);
        if (ids.n < (size_t)some) break;
    }
    return rc;
}
