/* sqlite_index.h: what the files of the virtual table nlp_index share. Its parts:
 *
 *   sqlite_index.c           the module: creating, opening, dropping, transactions and savepoints
 *   sqlite_index_spec.c      what CREATE VIRTUAL TABLE asks for
 *   sqlite_index_schema.c    SQL, shadow tables, triggers, settings of an index
 *   sqlite_index_store.c     vectors: blocks of 1,000 signatures, and bytes of each
 *   sqlite_index_embed.c     rows to chunks to vectors
 *   sqlite_index_write.c     INSERT, UPDATE, DELETE, and what they leave to be embedded
 *   sqlite_index_commands.c  sync, rebuild, integrity-check
 *   sqlite_index_upkeep.c    optimize, and how good the signatures are
 *   sqlite_index_plan.c      which constraints a query hands over; the rows that they allow
 *   sqlite_index_words.c     the words of a query
 *   sqlite_index_names.c     what they weigh, and rows that hold its names
 *   sqlite_index_search.c    both halves and their fusion
 *   sqlite_index_cursor.c    rows and columns
 *
 * Shadow tables of an index x, all ordinary but x_fts:
 *
 *   x_fts      FTS5 with the texts of all rows; its text is what is cut into chunks
 *   x_content  only where the texts are the index's own: the columns that are no text
 *   x_vec      a chunk: id, row, start and length (bytes of the row's text), q8
 *   x_sig      1,000 chunks: of ids block * 1000 ..., which are valid, their rows, their signatures
 *   x_pending  rows whose chunks are not made yet
 *   x_config   format, model and digest, dims, encoding, recall
 *
 * Functions return SQLite codes; what they say lies in the table's zErrMsg. One thread. */
#ifndef NLP_SQLITE_INDEX_H
#define NLP_SQLITE_INDEX_H

#include <stddef.h>

#include "nlp_search.h"
#include "sqlite_nlp.h"

enum {
    INDEX_COLUMNS = 64,
    INDEX_BLOCK = 1000, /* chunks of a row of x_sig */
    INDEX_BITMAP = INDEX_BLOCK / 8,
    INDEX_ROWS = INDEX_BLOCK * 8,
    INDEX_OVERSAMPLE = 32, /* at first */
    INDEX_INFO_BYTES =
        offsetof(nlp_model_info, backing), /* of a model: what it is, not who maps it */
    INDEX_WORDS = 64,                      /* of a query that FTS5 gets */
};

/* Hidden columns, in the order of their declaration, behind those of the user. */
enum {
    HIDDEN_QUERY, /* named as the table */
    HIDDEN_K,
    HIDDEN_MODE,
    HIDDEN_OVERSAMPLE,
    HIDDEN_DENSE_WEIGHT,
    HIDDEN_TEXT_WEIGHT,
    HIDDEN_PENDING,
    HIDDEN_SCORE,
    HIDDEN_SNIPPET,
    HIDDEN_START,
    HIDDEN_END,
    HIDDEN_DENSE_RANK,
    HIDDEN_TEXT_RANK,
    N_HIDDEN
};

typedef struct index_column {
    char *name, *type, *collation; /* type "" where there is none */
    bool is_text;
} index_column;

typedef struct index_spec {
    char *content;   /* table that the index follows; NULL: the texts are its own */
    char *key;       /* its INTEGER PRIMARY KEY; "id" of x_content */
    bool is_missing; /* that table is gone */
    index_column columns[INDEX_COLUMNS];
    int n_columns;
    char *model, *tokenize; /* model NULL: by the settings */
    bool is_deferred, has_mode, no_backfill;
    int n_texts;             /* of the index's own */
    int max_tokens, overlap; /* -1: by the model */
    int sync_limit;          /* pending rows that a query embeds */
} index_spec;

typedef struct index_config {
    char model[NLP_MODEL_NAME_BYTES], digest[65];
    uint32_t dims;
    int64_t oversample; /* that found 95 % of the nearest in the self-test */
    bool is_exact;      /* none did: signatures are too coarse here */
} index_config;

/* A row to embed, and the savepoint depth at which that was done; -1: not yet. */
typedef struct index_entry {
    int64_t row;
    int flushed;
} index_entry;

typedef struct nlp_index {
    sqlite3_vtab base;
    nlp_connection *c;
    char *schema, *name;
    index_spec spec;
    /* of this transaction */
    index_entry *entries;
    size_t n_entries, capacity;
    size_t *marks; /* n_entries when savepoint i was set */
    int depth, n_marks;
} nlp_index;

/* ---- sqlite_index_spec.c ---- */
int index_spec_read(nlp_index *ix, int argc, const char *const *argv, bool is_new);
void index_spec_free(index_spec *spec);
int index_declare(nlp_index *ix);

/* ---- sqlite_index_schema.c ---- */
int index_fail(nlp_index *ix, int rc, const char *format, ...); /* sqlite3_mprintf's; returns rc */
int index_sql_failed(nlp_index *ix, int rc);                    /* with SQLite's own words */
int index_nlp_failed(nlp_index *ix, const nlp_error *err);
int index_corrupt(nlp_index *ix, const char *table, const char *what);
/* SQL with $name for the shadow table x_name, $content for the rows' table, $key for its key. */
int index_prepare(nlp_index *ix, const char *sql, sqlite3_stmt **s);
int index_exec(nlp_index *ix, const char *sql);
/* The first column of the first row, 0 where there is none. */
int index_number(nlp_index *ix, const char *sql, int64_t *number);
/* Steps a statement to its end and finalizes it; *s becomes NULL. */
int index_finish(nlp_index *ix, sqlite3_stmt **s);
/* SQLITE_OK where the step gave a row or the end; *has_row says which. */
int index_step(nlp_index *ix, sqlite3_stmt *s, bool *has_row);
int index_create_tables(nlp_index *ix);
int index_create_triggers(nlp_index *ix);
int index_drop_tables(nlp_index *ix);
int index_rename_tables(nlp_index *ix, const char *name);
int index_config_read(nlp_index *ix, index_config *config);
int index_config_write(nlp_index *ix, const char *key, const char *value);
/* Opens the model of the index; another digest than that of its vectors is refused. */
int index_model_open(nlp_index *ix, const index_config *config, nlp_model **model);
/* Opens it as it is now and writes down what it is. */
int index_model_adopt(nlp_index *ix);

/* ---- sqlite_index_store.c ---- */
typedef struct index_store {
    nlp_index *ix;
    uint32_t dims;
    int64_t next;                                                 /* id; -1: not looked up */
    sqlite3_stmt *insert, *remove, *of_row;                       /* of x_vec */
    sqlite3_stmt *get_block, *add_block, *set_block, *drop_block; /* of x_sig */
    int64_t block;                                                /* that is held; -1: none */
    bool is_new, is_changed;
    uint8_t valid[INDEX_BITMAP], rows[INDEX_ROWS];
    uint8_t *signatures, *q8;
} index_store;
int index_store_open(nlp_index *ix, uint32_t dims, index_store *store);
int index_store_remove(index_store *store, int64_t row);
int index_store_add(index_store *store, int64_t row, int64_t start, int64_t length,
                    const float *vector);
/* Writes what is held and ends it, also behind an error; that error, or what writing says. */
int index_store_close(index_store *store, int rc);
/* One block as it lies in the table; blobs belong to the statement. */
typedef struct index_block {
    int64_t block;
    const uint8_t *valid, *rows, *signatures;
} index_block;
int index_block_read(nlp_index *ix, sqlite3_stmt *s, uint32_t dims, index_block *block);
/* A chunk of "SELECT id, row, start, length, q8". */
typedef struct index_chunk {
    int64_t id, row, start, length;
    double score;
} index_chunk;
int index_chunk_read(nlp_index *ix, sqlite3_stmt *s, uint32_t dims, index_chunk *chunk,
                     const uint8_t **q8);
int index_count_chunks(nlp_index *ix, int64_t *n);

/* ---- sqlite_index_embed.c ---- */
typedef struct index_limit {
    int64_t tokens, overlap; /* of a chunk */
} index_limit;
int index_limits(nlp_index *ix, const nlp_model_info *info, index_limit *limit);
/* Makes the chunks of rows anew; those without a text have none afterwards. */
int index_embed(nlp_index *ix, const int64_t *rows, size_t n);
int index_count_pieces(nlp_index *ix, const int64_t *rows, size_t n, size_t *n_pieces);
/* Embeds pending rows, at most `most`. *n: how many. */
int index_embed_pending(nlp_index *ix, int64_t most, int64_t *n);
/* The texts of a row, joined by a blank; sqlite3_free *bytes. NULL: no such row, or no text. */
int index_row_text(nlp_index *ix, sqlite3_stmt *s, int64_t row, nlp_text *text);
int index_row_text_prepare(nlp_index *ix, sqlite3_stmt **s);
bool index_stopped(nlp_index *ix); /* asks the host */

/* ---- sqlite_index_write.c ---- */
int index_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid);
int index_note(nlp_index *ix, int64_t row); /* to be embedded before the transaction ends */
int index_flush(nlp_index *ix);

/* ---- sqlite_index_commands.c ---- */
int index_command(nlp_index *ix, const char *command, int argc, sqlite3_value **argv);
int index_rebuild(nlp_index *ix);
int index_rebuild_words(nlp_index *ix); /* FTS5 */

/* ---- sqlite_index_upkeep.c ---- */
int index_optimize(nlp_index *ix); /* closes gaps between chunks */
/* Compares the nearest by signatures with the nearest, of a sample of its own chunks, and writes down which
 * oversample will do, if any, and what it finds. */
int index_self_test(nlp_index *ix);

/* ---- sqlite_index_plan.c ---- */
typedef struct index_ids { /* sorted, each once */
    int64_t *ids;
    size_t n;
} index_ids;
typedef struct index_request {
    sqlite3_value *query;  /* borrowed; NULL: none */
    int64_t k, oversample; /* oversample 0: as the index found good */
    char mode;             /* 'h'ybrid, 's'emantic, 't'ext, 'f'ts5 */
    double dense_weight, text_weight;
    bool has_rowid;
    int64_t rowid;
    bool is_filtered; /* only rows of `allowed` */
    index_ids allowed;
} index_request;
int index_best(sqlite3_vtab *vtab, sqlite3_index_info *info);
int index_request_read(nlp_index *ix, const char *plan, int argc, sqlite3_value **argv,
                       index_request *request);
void index_request_free(index_request *request);
bool index_ids_have(const index_ids *ids, int64_t id);
/* Ids of a statement's first column. */
int index_ids_read(nlp_index *ix, sqlite3_stmt *s, index_ids *ids);

/* ---- sqlite_index_words.c ---- */
/* Without those that only build sentences, *n_idle of them, if others remain. */
size_t index_query_words(const nlp_index *ix, nlp_text query, nlp_query_word *words, size_t most,
                         size_t *n_idle);
/* FTS5's syntax for any of them; sqlite3_free it. NULL: out of memory. */
char *index_match_any(nlp_text query, const nlp_query_word *words, size_t n);

/* ---- sqlite_index_names.c ---- */
typedef struct index_named {
    nlp_hit *hits; /* as nlp_fuse takes them; sqlite3_free it */
    size_t n, capacity;
    nlp_said said;
} index_named;
/* best: by words, NULL: none; model: that of the index. */
int index_find_names(nlp_index *ix, const index_request *request, nlp_model *model, nlp_text query,
                     const nlp_hit *best, index_named *found);

/* ---- sqlite_index_search.c ---- */
typedef struct index_row {
    int64_t row, start, length; /* of the chunk nearest to the query; length -1: none is known */
    double score;
    uint32_t dense_rank, text_rank;
} index_row;
int index_search(nlp_index *ix, const index_request *request, index_row **rows, size_t *n);

/* ---- sqlite_index_cursor.c ---- */
int index_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **cursor);
int index_close(sqlite3_vtab_cursor *cursor);
int index_filter(sqlite3_vtab_cursor *cursor, int n, const char *plan, int argc,
                 sqlite3_value **argv);
int index_next(sqlite3_vtab_cursor *cursor);
int index_eof(sqlite3_vtab_cursor *cursor);
int index_column_of(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column);
int index_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid);

#endif
