/* sqlite_index_search.c: both halves of a search, and what becomes of them. By meaning: the nearest chunks by
 * signatures, compared again by q8, the best of each row; few chunks are all compared. By words: FTS5's bm25
 * over the words of the query, any of them. */
#include <stdlib.h>
#include <string.h>

#include "sqlite_index.h"

enum {
    FEW_ROWS = 1000,   /* of a filter: their chunks are read by row */
    FEWEST_ROWS = 100, /* of a half, if there are as many, and 5 * k */
    KEPT = 20000,      /* chunks in memory before only the best stay */
    BLOCKS_PER_POLL = 16,
    MANY = 1000,       /* wanted rows: then it is worth counting how many there are */
    BITS_PER_ROW = 64, /* a set of rows may be a bitmap if it is not much larger than the list */
};

/* Rows that count: those of the filter, without those whose chunks are old. */
typedef struct row_set {
    const index_request *request;
    index_ids pending;
    uint8_t *bitmap; /* of request->allowed, from `first` on; NULL: search the list */
    int64_t first;
    uint64_t n_bits;
} row_set;

typedef struct dense {
    nlp_index *ix;
    const index_request *request;
    index_config config;
    row_set rows;
    nlp_model *model;
    nlp_query *query;
    index_chunk *chunks; /* [n] of `capacity` */
    size_t n, capacity, wanted;
} dense;

/* ---- Rows that count ---- */

static int make_bitmap(row_set *set) {
    const index_ids *ids = &set->request->allowed;
    uint64_t range = (uint64_t)ids->ids[ids->n - 1] - (uint64_t)ids->ids[0];
    if (range / BITS_PER_ROW > ids->n) return SQLITE_OK;
    set->first = ids->ids[0], set->n_bits = range + 1;
    set->bitmap = sqlite3_malloc64(range / 8 + 1);
    if (!set->bitmap) return SQLITE_NOMEM;
    memset(set->bitmap, 0, range / 8 + 1);
    for (size_t i = 0; i < ids->n; i++) {
        uint64_t at = (uint64_t)ids->ids[i] - (uint64_t)set->first;
        set->bitmap[at / 8] |= (uint8_t)(1u << at % 8);
    }
    return SQLITE_OK;
}

static int open_set(nlp_index *ix, const index_request *request, row_set *set) {
    sqlite3_stmt *s;
    *set = (row_set){.request = request};
    int rc = index_prepare(ix, "SELECT id FROM $pending", &s);
    if (rc == SQLITE_OK) rc = index_ids_read(ix, s, &set->pending);
    sqlite3_finalize(s);
    if (rc == SQLITE_OK && request->allowed.n > FEW_ROWS) rc = make_bitmap(set);
    return rc;
}

static void close_set(row_set *set) {
    sqlite3_free(set->pending.ids);
    sqlite3_free(set->bitmap);
}

static bool row_counts(const row_set *set, int64_t row) {
    uint64_t at = (uint64_t)row - (uint64_t)set->first;
    if (set->pending.n && index_ids_have(&set->pending, row)) return false;
    if (!set->request->is_filtered) return true;
    if (!set->bitmap) return index_ids_have(&set->request->allowed, row);
    return at < set->n_bits && set->bitmap[at / 8] >> at % 8 & 1;
}

/* ---- The best chunk of each row ---- */

static int by_row(const void *a, const void *b) {
    const index_chunk *x = a, *y = b;
    if (x->row != y->row) return x->row > y->row ? 1 : -1;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_score(const void *a, const void *b) {
    const index_chunk *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return by_row(a, b);
}

static void keep_best(dense *d) {
    size_t n = 0;
    if (d->n) qsort(d->chunks, d->n, sizeof *d->chunks, by_row);
    for (size_t i = 0; i < d->n; i++)
        if (!n || d->chunks[i].row != d->chunks[n - 1].row) d->chunks[n++] = d->chunks[i];
    if (n) qsort(d->chunks, n, sizeof *d->chunks, by_score);
    d->n = n < d->wanted ? n : d->wanted;
}

static int add_chunk(dense *d, sqlite3_stmt *s) {
    const uint8_t *q8;
    index_chunk chunk;
    int rc = index_chunk_read(d->ix, s, d->config.dims, &chunk, &q8);
    if (rc != SQLITE_OK || !row_counts(&d->rows, chunk.row)) return rc;
    chunk.score = nlp_query_cosine(d->query, q8);
    if (d->n == d->capacity) keep_best(d);
    if (d->n == d->capacity) {
        size_t capacity = d->capacity ? 2 * d->capacity : KEPT;
        index_chunk *chunks = sqlite3_realloc64(d->chunks, capacity * sizeof *chunks);
        if (!chunks) return SQLITE_NOMEM;
        d->chunks = chunks, d->capacity = capacity;
    }
    d->chunks[d->n++] = chunk;
    return SQLITE_OK;
}

static int add_chunks(dense *d, sqlite3_stmt *s) {
    bool has_row;
    int rc;
    while ((rc = index_step(d->ix, s, &has_row)) == SQLITE_OK && has_row)
        if ((rc = add_chunk(d, s)) != SQLITE_OK) return rc;
    return rc;
}

/* ---- Chunks that come into question ---- */

static int compare_all(dense *d) {
    sqlite3_stmt *s;
    int rc = index_prepare(d->ix, "SELECT id, row, start, length, q8 FROM $vec", &s);
    if (rc == SQLITE_OK) rc = add_chunks(d, s);
    sqlite3_finalize(s);
    return rc;
}

/* Each by its number: of a row, or of a chunk. */
static int compare_some(dense *d, const char *sql, const int64_t *ids, size_t stride, size_t n) {
    sqlite3_stmt *s;
    int rc = index_prepare(d->ix, sql, &s);
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        sqlite3_bind_int64(s, 1, ids[i * stride]);
        rc = add_chunks(d, s);
        sqlite3_reset(s);
    }
    sqlite3_finalize(s);
    return rc;
}

static int64_t row_at(const uint8_t *rows, int i) {
    uint64_t row = 0;
    for (int byte = 7; byte >= 0; byte--) row = row << 8 | rows[8 * i + byte];
    return (int64_t)row;
}

static void scan_block(const dense *d, const index_block *found, nlp_top *top) {
    uint8_t allowed[INDEX_BITMAP];
    bool is_plain = !d->rows.request->is_filtered && !d->rows.pending.n;
    memcpy(allowed, found->valid, sizeof allowed);
    for (int i = 0; i < INDEX_BLOCK && !is_plain; i++)
        if (allowed[i / 8] >> i % 8 & 1 && !row_counts(&d->rows, row_at(found->rows, i)))
            allowed[i / 8] &= (uint8_t) ~(1u << i % 8);
    nlp_signature_block block = {.signatures = found->signatures,
                                 .n = INDEX_BLOCK,
                                 .allowed = allowed,
                                 .first_id = found->block * INDEX_BLOCK};
    nlp_query_scan(d->query, &block, top);
}

static int scan_signatures(const dense *d, nlp_top *top) {
    sqlite3_stmt *s;
    bool has_row;
    int rc = index_prepare(d->ix, "SELECT block, valid, rows, signatures FROM $sig", &s);
    for (int n = 1;
         rc == SQLITE_OK && (rc = index_step(d->ix, s, &has_row)) == SQLITE_OK && has_row; n++) {
        index_block block;
        rc = index_block_read(d->ix, s, d->config.dims, &block);
        if (rc == SQLITE_OK) scan_block(d, &block, top);
        if (rc == SQLITE_OK && n % BLOCKS_PER_POLL == 0 && index_stopped(d->ix))
            rc = SQLITE_INTERRUPT;
    }
    sqlite3_finalize(s);
    return rc;
}

static int by_id(const void *a, const void *b) {
    int64_t x = ((const nlp_hit *)a)->id, y = ((const nlp_hit *)b)->id;
    return (x > y) - (x < y);
}

/* The n nearest by signatures, in the order in which they lie in the file. */
static int compare_nearest(dense *d, size_t n, size_t *found) {
    nlp_top top = {.hits = sqlite3_malloc64(n * sizeof *top.hits), .capacity = n};
    if (!top.hits) return SQLITE_NOMEM;
    int rc = scan_signatures(d, &top);
    qsort(top.hits, top.n, sizeof *top.hits, by_id);
    if (rc == SQLITE_OK)
        rc = compare_some(d, "SELECT id, row, start, length, q8 FROM $vec WHERE id = ?1",
                          &top.hits->id, sizeof *top.hits / sizeof top.hits->id, top.n);
    *found = top.n;
    sqlite3_free(top.hits);
    return rc;
}

static uint64_t candidates(const dense *d, int64_t n_chunks) {
    int64_t own = d->config.oversample, asked = d->request->oversample;
    if (!asked && own > INDEX_OVERSAMPLE) asked = own;
    return nlp_search_candidates((uint64_t)d->request->k, (uint64_t)asked, (uint64_t)n_chunks);
}

/* Where rows have many chunks, more of them are looked at until there are enough rows. */
static int search_signatures(dense *d, int64_t n_chunks) {
    uint64_t n = candidates(d, n_chunks);
    for (;;) {
        size_t found;
        if (n < d->wanted) n = d->wanted;
        d->n = 0;
        int rc = compare_nearest(d, n, &found);
        keep_best(d);
        if (rc != SQLITE_OK || d->n >= d->wanted || found < n) return rc;
        n = 4 * n < (uint64_t)n_chunks ? 4 * n : (uint64_t)n_chunks;
    }
}

static int search_chunks(dense *d) {
    const index_request *r = d->request;
    int64_t n_chunks;
    int rc = index_count_chunks(d->ix, &n_chunks);
    if (rc != SQLITE_OK || !n_chunks) return rc;
    uint64_t all = candidates(d, n_chunks);
    if (d->wanted > (size_t)n_chunks) d->wanted = (size_t)n_chunks;
    if (r->is_filtered && r->allowed.n <= FEW_ROWS)
        rc = compare_some(d, "SELECT id, row, start, length, q8 FROM $vec WHERE row = ?1",
                          r->allowed.ids, 1, r->allowed.n);
    else if (all == (uint64_t)n_chunks || d->config.is_exact)
        rc = compare_all(d);
    else
        return search_signatures(d, n_chunks);
    keep_best(d);
    return rc;
}

/* ---- The query ---- */

static int prepare_query(dense *d, nlp_text text) {
    nlp_arguments a = {0};
    const nlp_result *result = NULL;
    nlp_error err;
    int rc = index_model_open(d->ix, &d->config, &d->model);
    a.model = d->model;
    if (rc != SQLITE_OK) return rc;
    a.options[0] =
        (nlp_option){"on_overflow", {.type = NLP_TYPE_TEXT, .n = 8, .as.text = "truncate"}};
    a.n_options = 1;
    nlp_status status = nlp_sqlite_run(d->ix->c, nlp_task_find(d->ix->c->engine, "embed_query"),
                                       &text, NULL, 1, &a, &result, &err);
    d->query = sqlite3_malloc64(nlp_query_bytes(d->config.dims));
    if (status != NLP_OK)
        rc = index_nlp_failed(d->ix, &err);
    else if (!d->query)
        rc = SQLITE_NOMEM;
    else if (result->outputs->cells->n != d->config.dims)
        rc = index_fail(d->ix, SQLITE_ERROR, "the model gives %u dims, the index has %u",
                        result->outputs->cells->n, d->config.dims);
    else if (nlp_query_prepare(result->outputs->cells->as.vector, d->config.dims, d->query, &err) !=
             NLP_OK)
        rc = index_nlp_failed(d->ix, &err);
    return rc;
}

static bool is_refused_write(int rc) {
    return (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED ||
           (rc & 0xff) == SQLITE_READONLY;
}

/* What a query writes outside of a transaction: SQLite would commit each of our statements by itself. Where the
 * query is part of a statement that writes no savepoint can be set, and what is written is of that statement. */
static int begin_writing(nlp_index *ix, sqlite3_stmt **undo) {
    *undo = NULL;
    if (!sqlite3_get_autocommit(ix->c->db)) return SQLITE_OK;
    int rc = index_prepare(ix, "DELETE FROM $pending WHERE 0", undo);
    if (rc == SQLITE_OK) rc = sqlite3_exec(ix->c->db, "SAVEPOINT nlp_index", NULL, NULL, NULL);
    if (rc == SQLITE_OK) return rc;
    sqlite3_finalize(*undo);
    *undo = NULL;
    return rc == SQLITE_BUSY ? SQLITE_OK : rc;
}

/* Behind an interrupt no other statement runs, but one that would write is undone, and the transaction with it. */
static int end_writing(nlp_index *ix, sqlite3_stmt *undo, int rc) {
    if (!undo) return rc;
    if (rc == SQLITE_OK) rc = sqlite3_exec(ix->c->db, "RELEASE nlp_index", NULL, NULL, NULL);
    if (rc != SQLITE_OK) sqlite3_exec(ix->c->db, "ROLLBACK", NULL, NULL, NULL);
    if (!sqlite3_get_autocommit(ix->c->db)) sqlite3_step(undo);
    sqlite3_finalize(undo);
    return rc;
}

static int embed_waiting(nlp_index *ix) {
    sqlite3_stmt *undo;
    int64_t n;
    int rc = begin_writing(ix, &undo);
    if (rc == SQLITE_OK) rc = index_embed_pending(ix, ix->spec.sync_limit, &n);
    return end_writing(ix, undo, rc);
}

/* A transaction reads its own writes. Rows that wait are embedded here up to a limit, if this program may write. */
static int catch_up(nlp_index *ix) {
    int64_t n = 0;
    int rc = index_flush(ix);
    if (rc != SQLITE_OK || !ix->spec.sync_limit || sqlite3_db_readonly(ix->c->db, ix->schema))
        return rc;
    rc = index_number(ix, "SELECT EXISTS (SELECT 1 FROM $pending)", &n);
    if (rc == SQLITE_OK && n) rc = embed_waiting(ix);
    return is_refused_write(rc) ? SQLITE_OK : rc;
}

static int search_dense(dense *d, nlp_text query) {
    int rc = catch_up(d->ix);
    if (rc == SQLITE_OK) rc = index_config_read(d->ix, &d->config);
    if (rc == SQLITE_OK) rc = prepare_query(d, query);
    if (rc == SQLITE_OK) rc = open_set(d->ix, d->request, &d->rows);
    return rc == SQLITE_OK ? search_chunks(d) : rc;
}

static void end_dense(dense *d) {
    close_set(&d->rows);
    sqlite3_free(d->query);
    nlp_model_close(d->model);
    sqlite3_free(d->chunks);
}

/* ---- Words ---- */

static int collect_words(nlp_index *ix, const index_request *r, const char *match, nlp_top *top) {
    sqlite3_stmt *s;
    bool has_row;
    int rc = index_prepare(ix, "SELECT rowid, rank FROM $fts(?1)", &s);
    if (rc == SQLITE_OK) sqlite3_bind_text(s, 1, match, -1, SQLITE_STATIC);
    while (rc == SQLITE_OK && (rc = index_step(ix, s, &has_row)) == SQLITE_OK && has_row) {
        int64_t row = sqlite3_column_int64(s, 0);
        if (!r->is_filtered || index_ids_have(&r->allowed, row))
            nlp_top_push(top, row, -sqlite3_column_double(s, 1));
    }
    sqlite3_finalize(s);
    nlp_top_sort(top);
    return rc;
}

/* In the mode 'fts5' the query is FTS5's own syntax. */
static int search_words(nlp_index *ix, const index_request *r, nlp_text query, nlp_top *top) {
    nlp_query_word words[INDEX_WORDS];
    size_t n_idle, n = index_query_words(ix, query, words, INDEX_WORDS, &n_idle);
    if (r->mode == 'f') return collect_words(ix, r, query.bytes, top);
    if (!n) return SQLITE_OK;
    char *match = index_match_any(query, words, n);
    int rc = match ? collect_words(ix, r, match, top) : SQLITE_NOMEM;
    sqlite3_free(match);
    return rc;
}

/* ---- Both ---- */

typedef struct search {
    nlp_index *ix;
    const index_request *request;
    dense dense;
    nlp_top words;
    index_named named;
    nlp_hit *dense_hits;
    nlp_fused *fused;
    size_t n_fused;
} search;

static int find_names(search *s, nlp_text query) {
    const nlp_hit *best = s->words.n ? s->words.hits : NULL;
    return index_find_names(s->ix, s->request, s->dense.model, query, best, &s->named);
}

static int fuse(search *s) {
    const index_request *r = s->request;
    size_t n = s->dense.n + s->words.n + s->named.n;
    s->dense_hits = sqlite3_malloc64((s->dense.n + 1) * sizeof *s->dense_hits);
    s->fused = sqlite3_malloc64((n + 1) * sizeof *s->fused);
    if (!s->dense_hits || !s->fused) return SQLITE_NOMEM;
    for (size_t i = 0; i < s->dense.n; i++)
        s->dense_hits[i] = (nlp_hit){s->dense.chunks[i].row, s->dense.chunks[i].score};
    nlp_half dense_half = {s->dense_hits, s->dense.n, r->dense_weight, {0, 0}},
             text_half = {s->words.hits, s->words.n, r->text_weight, s->named.said};
    s->n_fused = nlp_fuse(&dense_half, &text_half, s->named.hits, s->named.n, s->fused);
    return SQLITE_OK;
}

/* One half alone keeps its own scores and order: cosines, or bm25. */
static double score_of(const search *s, const nlp_fused *f) {
    if (s->request->mode == 'h') return f->score;
    return s->request->mode == 's' ? s->dense.chunks[f->dense_rank - 1].score
                                   : s->words.hits[f->text_rank - 1].score;
}

/* Rows that are gone from the table that the index follows are left out. */
static int list_rows(search *s, index_row **rows, size_t *n) {
    sqlite3_stmt *exists;
    uint64_t k = (uint64_t)s->request->k;
    size_t most = k < s->n_fused ? (size_t)k : s->n_fused;
    int rc = index_prepare(s->ix, "SELECT 1 FROM $content WHERE $key = ?1", &exists);
    *rows = sqlite3_malloc64((most + 1) * sizeof **rows);
    if (!*rows) rc = SQLITE_NOMEM;
    for (size_t i = 0; i < s->n_fused && *n < most && rc == SQLITE_OK; i++) {
        const nlp_fused *f = &s->fused[i];
        bool has_row;
        sqlite3_bind_int64(exists, 1, f->id);
        rc = index_step(s->ix, exists, &has_row);
        sqlite3_reset(exists);
        if (!has_row) continue;
        const index_chunk *chunk = f->dense_rank ? &s->dense.chunks[f->dense_rank - 1] : NULL;
        (*rows)[(*n)++] = (index_row){.row = f->id,
                                      .start = chunk ? chunk->start : 0,
                                      .length = chunk ? chunk->length : -1,
                                      .score = score_of(s, f),
                                      .dense_rank = f->dense_rank,
                                      .text_rank = f->text_rank};
    }
    sqlite3_finalize(exists);
    return rc;
}

/* How many rows a half gives: of no use are more than there are. */
static int choose_wanted(search *s) {
    uint64_t k = (uint64_t)s->request->k, wanted = k;
    int64_t n = INT64_MAX;
    int rc = SQLITE_OK;
    if (s->request->mode == 'h' && __builtin_mul_overflow(k, (uint64_t)5, &wanted)) wanted = k;
    if (s->request->mode == 'h' && wanted < FEWEST_ROWS) wanted = FEWEST_ROWS;
    if (wanted > MANY) rc = index_number(s->ix, "SELECT count(*) FROM $content", &n);
    if (rc != SQLITE_OK) return rc;
    if (wanted > (uint64_t)n) wanted = (uint64_t)n;
    s->dense.wanted = s->words.capacity = wanted;
    s->words.hits = sqlite3_malloc64((wanted + 1) * sizeof *s->words.hits);
    return s->words.hits ? SQLITE_OK : SQLITE_NOMEM;
}

static int run(search *s, nlp_text query) {
    char mode = s->request->mode;
    int rc = choose_wanted(s);
    if (rc == SQLITE_OK && (mode == 'h' || mode == 's')) rc = search_dense(&s->dense, query);
    if (rc == SQLITE_OK && mode != 's') rc = search_words(s->ix, s->request, query, &s->words);
    if (rc == SQLITE_OK && mode == 'h') rc = find_names(s, query);
    return rc == SQLITE_OK ? fuse(s) : rc;
}

int index_search(nlp_index *ix, const index_request *request, index_row **rows, size_t *n) {
    nlp_query_word word;
    nlp_text query = nlp_sqlite_text(request->query);
    *rows = NULL, *n = 0;
    if (!query.bytes || (request->mode != 'f' && !nlp_query_words(query, &word, 1)))
        return SQLITE_OK;
    search s = {.ix = ix, .request = request, .dense = {.ix = ix, .request = request}};
    int rc = run(&s, query);
    if (rc == SQLITE_OK) rc = list_rows(&s, rows, n);
    end_dense(&s.dense);
    sqlite3_free(s.words.hits);
    sqlite3_free(s.named.hits);
    sqlite3_free(s.dense_hits);
    sqlite3_free(s.fused);
    return rc;
}
