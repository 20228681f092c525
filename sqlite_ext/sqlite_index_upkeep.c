/* sqlite_index_upkeep.c: what an index does for itself: gaps that deleted chunks leave are closed, and it is
 * measured how well signatures find. */
#include <stdlib.h>
#include <string.h>

#include "sqlite_index.h"

enum { SAMPLE = 32, NEAREST = 10, MOST_OVERSAMPLE = 512, TOO_FEW = 10000 };
static const double good_recall = 0.95;

/* ---- Closing gaps: chunks move to the first places, in their order ---- */

typedef struct moving {
    nlp_index *ix;
    uint32_t dims;
    size_t width; /* of a signature */
    int64_t next; /* id of the next one that moves */
    uint8_t valid[INDEX_BITMAP], rows[INDEX_ROWS];
    uint8_t *signatures; /* of the block that is being filled */
    sqlite3_stmt *move, *put;
} moving;

static int step_done(nlp_index *ix, sqlite3_stmt *s) {
    int rc = sqlite3_step(s);
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? SQLITE_OK : index_sql_failed(ix, rc);
}

static int put_block(moving *m, int64_t block) {
    sqlite3_bind_int64(m->put, 1, block);
    sqlite3_bind_blob(m->put, 2, m->valid, INDEX_BITMAP, SQLITE_STATIC);
    sqlite3_bind_blob(m->put, 3, m->rows, INDEX_ROWS, SQLITE_STATIC);
    sqlite3_bind_blob64(m->put, 4, m->signatures, INDEX_BLOCK * m->width, SQLITE_STATIC);
    int rc = step_done(m->ix, m->put);
    memset(m->valid, 0, sizeof m->valid);
    memset(m->rows, 0, sizeof m->rows);
    memset(m->signatures, 0, INDEX_BLOCK * m->width);
    return rc;
}

static int move_chunk(moving *m, const index_block *block, int i) {
    int64_t id = block->block * INDEX_BLOCK + i;
    size_t place = (size_t)(m->next % INDEX_BLOCK);
    int rc = SQLITE_OK;
    m->valid[place / 8] |= (uint8_t)(1u << place % 8);
    memcpy(m->rows + 8 * place, block->rows + 8 * i, 8);
    memcpy(m->signatures + place * m->width, block->signatures + (size_t)i * m->width, m->width);
    if (id != m->next) {
        sqlite3_bind_int64(m->move, 1, id);
        sqlite3_bind_int64(m->move, 2, m->next);
        rc = step_done(m->ix, m->move);
    }
    m->next++;
    return rc == SQLITE_OK && m->next % INDEX_BLOCK == 0 ? put_block(m, m->next / INDEX_BLOCK - 1)
                                                         : rc;
}

static int move_block(moving *m, sqlite3_stmt *s) {
    index_block block;
    int rc = index_block_read(m->ix, s, m->dims, &block);
    for (int i = 0; i < INDEX_BLOCK && rc == SQLITE_OK; i++)
        if (block.valid[i / 8] >> i % 8 & 1) rc = move_chunk(m, &block, i);
    return rc == SQLITE_OK && index_stopped(m->ix) ? SQLITE_INTERRUPT : rc;
}

/* A block that is read is not changed before it was read to its end: chunks only move to the front, and a full
 * block is put where it was or before. The statement holds its own copy. */
static int move_all(moving *m) {
    bool has_row = true;
    int rc = SQLITE_OK;
    for (int64_t at = 0; rc == SQLITE_OK && has_row;) {
        sqlite3_stmt *s;
        rc =
            index_prepare(m->ix,
                          "SELECT block, valid, rows, signatures FROM $sig WHERE block >= ?1 ORDER "
                          "BY block LIMIT 1",
                          &s);
        if (rc != SQLITE_OK) return rc;
        sqlite3_bind_int64(s, 1, at);
        rc = index_step(m->ix, s, &has_row);
        if (has_row) at = sqlite3_column_int64(s, 0) + 1;
        if (rc == SQLITE_OK && has_row) rc = move_block(m, s);
        sqlite3_finalize(s);
    }
    if (rc == SQLITE_OK && m->next % INDEX_BLOCK) rc = put_block(m, m->next / INDEX_BLOCK);
    return rc;
}

static int drop_rest(const moving *m) {
    sqlite3_stmt *s;
    int rc = index_prepare(m->ix, "DELETE FROM $sig WHERE block >= ?1", &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, (m->next + INDEX_BLOCK - 1) / INDEX_BLOCK);
    return index_finish(m->ix, &s);
}

static int close_gaps(nlp_index *ix, uint32_t dims) {
    moving *m = sqlite3_malloc(sizeof *m);
    if (!m) return SQLITE_NOMEM;
    memset(m, 0, sizeof *m);
    m->ix = ix, m->dims = dims, m->width = nlp_signature_bytes(dims);
    m->signatures = sqlite3_malloc64(INDEX_BLOCK * m->width);
    int rc = m->signatures ? SQLITE_OK : SQLITE_NOMEM;
    if (rc == SQLITE_OK) memset(m->signatures, 0, INDEX_BLOCK * m->width);
    if (rc == SQLITE_OK) rc = index_prepare(ix, "UPDATE $vec SET id = ?2 WHERE id = ?1", &m->move);
    if (rc == SQLITE_OK)
        rc = index_prepare(
            ix,
            "INSERT OR REPLACE INTO $sig(block, valid, rows, signatures) VALUES (?1, ?2, "
            "?3, ?4)",
            &m->put);
    if (rc == SQLITE_OK) rc = move_all(m);
    if (rc == SQLITE_OK) rc = drop_rest(m);
    sqlite3_finalize(m->move);
    sqlite3_finalize(m->put);
    sqlite3_free(m->signatures);
    sqlite3_free(m);
    return rc;
}

static int optimize_words(nlp_index *ix) {
    char *sql = sqlite3_mprintf("INSERT INTO $fts(\"%w_fts\") VALUES ('optimize')", ix->name);
    int rc = sql ? index_exec(ix, sql) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return rc;
}

int index_optimize(nlp_index *ix) {
    index_config config;
    int rc = index_flush(ix);
    if (rc == SQLITE_OK) rc = index_config_read(ix, &config);
    if (rc == SQLITE_OK) rc = close_gaps(ix, config.dims);
    if (rc == SQLITE_OK) rc = optimize_words(ix);
    return rc == SQLITE_OK ? index_self_test(ix) : rc;
}

/* ---- The self-test ---- */

/* A chunk as a query: its nearest of all, and its nearest by signatures. */
typedef struct trial {
    nlp_query *query;
    nlp_hit exact_hits[NEAREST], *near_hits;
    nlp_top exact, near;
} trial;

static void end_trials(trial *trials) {
    for (int i = 0; trials && i < SAMPLE; i++) {
        sqlite3_free(trials[i].query);
        sqlite3_free(trials[i].near_hits);
    }
    sqlite3_free(trials);
}

static int make_trial(nlp_index *ix, trial *t, uint32_t dims, const uint8_t *q8) {
    float *x = sqlite3_malloc64(dims * sizeof *x);
    t->query = sqlite3_malloc64(nlp_query_bytes(dims));
    t->near_hits = sqlite3_malloc64(NEAREST * MOST_OVERSAMPLE * sizeof *t->near_hits);
    t->exact = (nlp_top){.hits = t->exact_hits, .capacity = NEAREST};
    t->near = (nlp_top){.hits = t->near_hits, .capacity = NEAREST * MOST_OVERSAMPLE};
    int rc = x && t->query && t->near_hits ? SQLITE_OK : SQLITE_NOMEM;
    if (rc == SQLITE_OK) nlp_q8_decode(q8, dims, x);
    if (rc == SQLITE_OK && nlp_query_prepare(x, dims, t->query, NULL) != NLP_OK)
        rc = index_corrupt(ix, "vec", "a vector holds no numbers");
    sqlite3_free(x);
    return rc;
}

/* Chunks at equal distances. */
static int choose_trials(nlp_index *ix, trial *trials, uint32_t dims) {
    sqlite3_stmt *s;
    bool has_row = true;
    int64_t last;
    int rc = index_number(ix, "SELECT max(id) FROM $vec", &last);
    if (rc == SQLITE_OK)
        rc = index_prepare(
            ix, "SELECT id, row, start, length, q8 FROM $vec WHERE id >= ?1 ORDER BY id LIMIT 1",
            &s);
    for (int i = 0; i < SAMPLE && rc == SQLITE_OK && has_row; i++) {
        const uint8_t *q8;
        index_chunk chunk;
        sqlite3_bind_int64(s, 1, last / SAMPLE * i);
        rc = index_step(ix, s, &has_row);
        if (rc == SQLITE_OK && has_row) rc = index_chunk_read(ix, s, dims, &chunk, &q8);
        if (rc == SQLITE_OK && has_row) rc = make_trial(ix, &trials[i], dims, q8);
        sqlite3_reset(s);
    }
    sqlite3_finalize(s);
    return rc;
}

static int find_exact(nlp_index *ix, trial *trials, uint32_t dims) {
    sqlite3_stmt *s;
    bool has_row;
    int64_t n = 0;
    int rc = index_prepare(ix, "SELECT id, row, start, length, q8 FROM $vec", &s);
    while (rc == SQLITE_OK && (rc = index_step(ix, s, &has_row)) == SQLITE_OK && has_row) {
        const uint8_t *q8;
        index_chunk chunk;
        rc = index_chunk_read(ix, s, dims, &chunk, &q8);
        for (int i = 0; rc == SQLITE_OK && i < SAMPLE; i++)
            nlp_top_push(&trials[i].exact, chunk.id, nlp_query_cosine(trials[i].query, q8));
        if (++n % 64 == 0 && index_stopped(ix)) rc = SQLITE_INTERRUPT;
    }
    sqlite3_finalize(s);
    return rc;
}

static int find_near(nlp_index *ix, trial *trials, uint32_t dims) {
    sqlite3_stmt *s;
    bool has_row;
    int rc = index_prepare(ix, "SELECT block, valid, rows, signatures FROM $sig", &s);
    while (rc == SQLITE_OK && (rc = index_step(ix, s, &has_row)) == SQLITE_OK && has_row) {
        index_block found;
        rc = index_block_read(ix, s, dims, &found);
        if (rc != SQLITE_OK) break;
        nlp_signature_block block = {.signatures = found.signatures,
                                     .n = INDEX_BLOCK,
                                     .allowed = found.valid,
                                     .first_id = found.block * INDEX_BLOCK};
        for (int i = 0; i < SAMPLE; i++) nlp_query_scan(trials[i].query, &block, &trials[i].near);
        if (index_stopped(ix)) rc = SQLITE_INTERRUPT;
    }
    sqlite3_finalize(s);
    return rc;
}

/* The nearest of all are found where they are among the first by signatures. */
static double recall_of(const trial *trials, int64_t oversample) {
    size_t found = 0, all = 0, most = NEAREST * (size_t)oversample;
    for (int i = 0; i < SAMPLE; i++)
        for (size_t j = 0; j < trials[i].exact.n; j++, all++)
            for (size_t k = 0; k < trials[i].near.n && k < most; k++)
                found += trials[i].near.hits[k].id == trials[i].exact.hits[j].id;
    return all ? (double)found / (double)all : 1;
}

/* The smallest that is good, or the largest. */
static void choose_oversample(trial *trials, int64_t *oversample, double *recall) {
    for (int i = 0; i < SAMPLE; i++) nlp_top_sort(&trials[i].near);
    for (*oversample = INDEX_OVERSAMPLE;; *oversample *= 2) {
        *recall = recall_of(trials, *oversample);
        if (*recall >= good_recall || *oversample == MOST_OVERSAMPLE) return;
    }
}

static int measure(nlp_index *ix, uint32_t dims, int64_t *oversample, double *recall) {
    trial *trials = sqlite3_malloc(SAMPLE * (int)sizeof *trials);
    if (!trials) return SQLITE_NOMEM;
    memset(trials, 0, SAMPLE * sizeof *trials);
    int rc = choose_trials(ix, trials, dims);
    if (rc == SQLITE_OK && !trials[SAMPLE - 1].query)
        rc = index_corrupt(ix, "vec", "there are fewer chunks than signatures");
    if (rc == SQLITE_OK) rc = find_exact(ix, trials, dims);
    if (rc == SQLITE_OK) rc = find_near(ix, trials, dims);
    if (rc == SQLITE_OK) choose_oversample(trials, oversample, recall);
    end_trials(trials);
    return rc;
}

static int write_test(nlp_index *ix, int64_t oversample, double recall) {
    char text[24];
    sqlite3_snprintf(sizeof text, text, "%.4f", recall);
    int rc = index_config_write(ix, "recall", text);
    sqlite3_snprintf(sizeof text, text, "%lld", oversample);
    if (rc == SQLITE_OK) rc = index_config_write(ix, "oversample", text);
    if (rc != SQLITE_OK) return rc;
    return index_config_write(ix, "encoding", recall < good_recall ? "q8" : "sig");
}

/* A small index compares all its vectors anyway. */
int index_self_test(nlp_index *ix) {
    index_config config;
    int64_t n = 0, oversample = INDEX_OVERSAMPLE;
    double recall = 1;
    int rc = index_config_read(ix, &config);
    if (rc == SQLITE_OK) rc = index_count_chunks(ix, &n);
    if (rc == SQLITE_OK && n > TOO_FEW) rc = measure(ix, config.dims, &oversample, &recall);
    return rc == SQLITE_OK ? write_test(ix, oversample, recall) : rc;
}
