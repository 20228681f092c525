/* pg_index_write.c: rows into an index of meanings: for the triggers of its table, refresh, and the queue. All three say which keys
 * there were and which rows there are; here those that are gone are forgotten, and of those that are other than the index knows
 * them the chunks are made anew. Chunks whose text is as it was keep their vectors. */
#include "pg_search.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

/* A batch has as many rows or, where they are large, as many bytes. */
enum { ROWS = 16, BYTES = 1 << 20, EMBED_AT_ONCE = 512 };

typedef struct chunk {
    uint64 row; /* of the batch */
    int32 seq, start_pos, end_pos;
    nlp_text text; /* a part of the row's; NULL: it has none, and is only known */
    uint64 hash;
    bytea *q8, *signature; /* NULL: to be made */
} chunk;

typedef struct writer {
    const nlp_pg_index *index;
    nlp_pg_site chunking, embedding;
    nlp_model *model;
    SPIPlanPtr known, forget, insert;
    uint64 written;
    SPITupleTable *rows[ROWS]; /* one row each: keys, text, hash that the index knows */
    int64 hashes[ROWS];        /* of the texts */
    size_t n_rows, n_bytes;
    chunk *chunks; /* of these rows */
    size_t n, capacity;
} writer;

/* ---- Texts to chunks ---- */

static chunk *add_chunk(writer *w) {
    if (w->n == w->capacity) {
        w->capacity = Max(64, 2 * w->capacity);
        w->chunks = w->chunks ? repalloc_huge(w->chunks, w->capacity * sizeof *w->chunks)
                              : palloc(w->capacity * sizeof *w->chunks);
    }
    w->chunks[w->n] = (chunk){0};
    return &w->chunks[w->n++];
}

/* Cells of the task chunk: ord, chunk, tokens, start_pos, end_pos; a chunk is a part of the text that was given. */
static void add_chunks(writer *w, uint64 row, const nlp_output *output) {
    for (uint32_t i = 0; i < output->n_rows; i++) {
        const nlp_value *cells = &output->cells[i * w->chunking.task->n_columns];
        chunk *c = add_chunk(w);
        c->row = row, c->seq = (int32)i;
        c->start_pos = (int32)cells[3].as.integer, c->end_pos = (int32)cells[4].as.integer;
        c->text = (nlp_text){cells[1].as.text, cells[1].n};
        c->hash =
            hash_bytes_extended((const unsigned char *)c->text.bytes, (int)c->text.n_bytes, 0);
    }
    if (!output->n_rows) add_chunk(w)->row = row;
}

static void cut(writer *w, const nlp_text *texts, uint64 n) {
    nlp_option options[2] = {
        {"max_tokens", {NLP_TYPE_INTEGER, 0, {.integer = w->index->max_tokens}}},
        {"overlap", {NLP_TYPE_INTEGER, 0, {.integer = w->index->overlap}}}};
    const nlp_result *result =
        nlp_pg_site_run(&w->chunking, w->model, texts, NULL, n, options, lengthof(options));
    for (uint64 i = 0; i < n; i++) add_chunks(w, i, &result->outputs[i]);
}

/* ---- Chunks to vectors ---- */

static bytea *bytes_of(size_t n) {
    bytea *bytes = palloc(n + VARHDRSZ);
    SET_VARSIZE(bytes, n + VARHDRSZ);
    return bytes;
}

static void encode(writer *w, chunk *c, const nlp_value *vector) {
    uint32_t dims = (uint32_t)w->index->dims;
    nlp_error err;
    if (vector->type != NLP_TYPE_VECTOR || vector->n != dims)
        elog(ERROR, "a vector of %u numbers where the index has %u", vector->n, dims);
    c->q8 = bytes_of(nlp_q8_bytes(dims));
    c->signature = bytes_of(nlp_signature_bytes(dims));
    nlp_pg_check(nlp_q8_encode(vector->as.vector, dims, (uint8_t *)VARDATA(c->q8), &err), &err);
    nlp_signature_encode(vector->as.vector, dims, (uint8_t *)VARDATA(c->signature));
}

/* Those from `at` on that have no vector yet, as many as go together; behind the last of them. */
static size_t embed_some(writer *w, size_t at) {
    nlp_text texts[EMBED_AT_ONCE];
    chunk *which[EMBED_AT_ONCE];
    size_t n = 0;
    for (; at < w->n && n < EMBED_AT_ONCE; at++)
        if (w->chunks[at].text.bytes && !w->chunks[at].q8)
            which[n] = &w->chunks[at], texts[n++] = w->chunks[at].text;
    if (!n) return at;
    const nlp_result *result = nlp_pg_site_run(&w->embedding, w->model, texts, NULL, n, NULL, 0);
    for (size_t i = 0; i < n; i++) encode(w, which[i], result->outputs[i].cells);
    return at;
}

/* ---- The tables ---- */

static SPIPlanPtr prepare(const char *sql, int n, Oid *types) {
    SPIPlanPtr plan = SPI_prepare(sql, n, types);
    if (!plan) elog(ERROR, "%s: %s", SPI_result_code_string(SPI_result), sql);
    return plan;
}

static void run(SPIPlanPtr plan, Datum *values, const char *nulls, int expected) {
    int rc = SPI_execute_plan(plan, values, nulls, false, 0);
    if (rc != expected) elog(ERROR, "writing an index: %s", SPI_result_code_string(rc));
}

/* Parts of a statement that writes chunks, "gone" or "made", where there are vectors beside them. */
static const char *forgotten_vectors(const nlp_pg_index *index) {
    if (!index->vectors) return "";
    return psprintf(
        ", forgotten AS (DELETE FROM %s v USING gone WHERE v.id = gone.id RETURNING v.id)",
        index->vectors);
}

static const char *made_vector(const nlp_pg_index *index, int q8) {
    if (!index->vectors) return "";
    return psprintf(
        ", placed AS (INSERT INTO %s SELECT id, _nlp.index_q8_steps($%d)::%s FROM made WHERE $%d IS NOT NULL)",
        index->vectors, q8, index->vector_type, q8);
}

static void prepare_all(writer *w) {
    const nlp_pg_index *index = w->index;
    Oid types[NLP_PG_INDEX_COLUMNS + 10] = {0};
    static const Oid rest[] = {INT4OID, INT4OID,  INT4OID,  INT8OID, INT8OID,
                               TEXTOID, BYTEAOID, BYTEAOID, INT8OID, TEXTARRAYOID};
    StringInfoData holders;
    int k = index->n_keys;
    memcpy(types, index->key_types, (size_t)k * sizeof *types);
    memcpy(types + k, rest, sizeof rest);
    char *key = nlp_pg_index_given_key(index, "c.");
    nlp_pg_index_check_vectors(index);
    w->known =
        prepare(psprintf("SELECT c.hash, c.q8, s.signature FROM %s c JOIN %s s USING (id) WHERE %s",
                         index->chunks, index->signatures, key),
                k, types);
    w->forget = prepare(
        psprintf(
            "WITH gone AS (DELETE FROM %s c WHERE %s RETURNING c.id)%s DELETE FROM %s s USING gone WHERE s.id = gone.id",
            index->chunks, key, forgotten_vectors(index), index->signatures),
        k, types);
    initStringInfo(&holders);
    for (int i = 0; i < k; i++) appendStringInfo(&holders, "$%d, ", i + 1);
    /* the first chunk of a row lends its id to the row */
    w->insert = prepare(
        psprintf(
            "WITH number AS (SELECT nextval(pg_get_serial_sequence(%s, 'id')) AS id), "
            "made AS (INSERT INTO %s (id, doc, %s, seq, start_pos, end_pos, row_hash, hash, tsv, q8) OVERRIDING SYSTEM VALUE "
            "SELECT id, coalesce($%d, id), %s$%d, $%d, $%d, $%d, $%d, to_tsvector(%s::regconfig, $%d) || array_to_tsvector($%d), $%d FROM number RETURNING id, doc), "
            "signed AS (INSERT INTO %s SELECT id, $%d FROM made WHERE $%d IS NOT NULL)%s SELECT doc, id FROM made",
            quote_literal_cstr(index->chunks), index->chunks, nlp_pg_index_key_numbers(index, ""),
            k + 9, holders.data, k + 1, k + 2, k + 3, k + 4, k + 5,
            quote_literal_cstr(index->config), k + 6, k + 10, k + 7, index->signatures, k + 8,
            k + 8, made_vector(index, k + 7)),
        k + (int)lengthof(rest), types);
}

static void read_keys(const writer *w, HeapTuple row, TupleDesc desc, Datum *keys) {
    for (int i = 0; i < w->index->n_keys; i++) {
        bool is_null;
        keys[i] = SPI_getbinval(row, desc, i + 1, &is_null);
        if (is_null)
            ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
                            errmsg("a row of %s has no key", w->index->source)));
    }
}

/* Vectors of a row's chunks that were there, for those whose text has stayed. In the caller's context. */
static void reuse(writer *w, chunk *first, chunk *end, Datum *keys) {
    MemoryContext caller = CurrentMemoryContext;
    run(w->known, keys, NULL, SPI_OK_SELECT);
    for (uint64 i = 0; i < SPI_processed; i++) {
        Datum values[3];
        bool nulls[3];
        heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
        for (chunk *c = first; c < end; c++) {
            if (c->q8 || nulls[1] || c->hash != (uint64)DatumGetInt64(values[0])) continue;
            MemoryContextSwitchTo(caller);
            c->q8 = DatumGetByteaPCopy(values[1]), c->signature = DatumGetByteaPCopy(values[2]);
        }
    }
    SPI_freetuptable(SPI_tuptable);
    MemoryContextSwitchTo(caller);
}

static void insert(writer *w, const chunk *c, Datum *keys, Datum *doc) {
    int k = w->index->n_keys;
    Datum values[NLP_PG_INDEX_COLUMNS + 10];
    char nulls[NLP_PG_INDEX_COLUMNS + 11];
    nlp_text text = c->text.bytes ? c->text : (nlp_text){"", 0};
    bool is_null;
    memset(nulls, ' ', sizeof nulls);
    memcpy(values, keys, (size_t)k * sizeof *keys);
    values[k] = Int32GetDatum(c->seq);
    values[k + 1] = Int32GetDatum(c->start_pos), values[k + 2] = Int32GetDatum(c->end_pos);
    values[k + 3] = Int64GetDatum(w->hashes[c->row]), values[k + 4] = Int64GetDatum((int64)c->hash);
    values[k + 5] = nlp_pg_index_words(text), values[k + 9] = nlp_pg_index_names(text);
    values[k + 6] = PointerGetDatum(c->q8), values[k + 7] = PointerGetDatum(c->signature);
    if (!c->q8) nulls[k + 6] = nulls[k + 7] = 'n';
    values[k + 8] = *doc;
    if (!c->seq) nulls[k + 8] = 'n';
    run(w->insert, values, nulls, SPI_OK_SELECT);
    *doc = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    SPI_freetuptable(SPI_tuptable);
    pfree(DatumGetPointer(values[k + 5]));
    pfree(DatumGetPointer(values[k + 9]));
}

/* ---- Batches of rows ---- */

static void cut_rows(writer *w) {
    nlp_text texts[ROWS];
    w->chunks = NULL, w->n = w->capacity = 0;
    for (size_t i = 0; i < w->n_rows; i++)
        texts[i] = nlp_pg_column(w->rows[i]->vals[0], w->rows[i]->tupdesc, w->index->n_keys + 1);
    cut(w, texts, w->n_rows);
}

/* What the index has of these rows goes; vectors of texts that stay are kept first. */
static void replace(writer *w) {
    Datum keys[NLP_PG_INDEX_COLUMNS];
    for (size_t first = 0, end; first < w->n; first = end) {
        for (end = first; end < w->n && w->chunks[end].row == w->chunks[first].row;) end++;
        const SPITupleTable *row = w->rows[w->chunks[first].row];
        read_keys(w, row->vals[0], row->tupdesc, keys);
        reuse(w, w->chunks + first, w->chunks + end, keys);
        run(w->forget, keys, NULL, SPI_OK_DELETE);
    }
}

static void insert_all(writer *w) {
    Datum keys[NLP_PG_INDEX_COLUMNS], doc = (Datum)0;
    for (size_t i = 0; i < w->n; i++) {
        const SPITupleTable *row = w->rows[w->chunks[i].row];
        read_keys(w, row->vals[0], row->tupdesc, keys);
        insert(w, &w->chunks[i], keys, &doc);
    }
}

/* The model is opened for the first row that needs it: what only goes, or keeps its texts, goes without. */
static void write_batch(writer *w) {
    if (!w->model) w->model = nlp_pg_index_model_of(w->index, CurrentMemoryContext);
    MemoryContext part =
        AllocSetContextCreate(CurrentMemoryContext, "nlp index batch", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(part);
    cut_rows(w);
    replace(w);
    for (size_t at = 0; at < w->n;) at = embed_some(w, at);
    insert_all(w);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(part);
    for (size_t i = 0; i < w->n_rows; i++) SPI_freetuptable(w->rows[i]);
    w->written += w->n_rows;
    w->n_rows = w->n_bytes = 0;
}

/* As hashtextextended(text COLLATE "C", 0), of the bytes as the server has them. */
static int64 hash_of(Datum datum) {
    text *whole = DatumGetTextPP(datum);
    return (int64)hash_bytes_extended((const unsigned char *)VARDATA_ANY(whole),
                                      (int)VARSIZE_ANY_EXHDR(whole), 0);
}

/* Whether the row that was read is as the index knows it; else it goes into the batch. */
static bool is_known(writer *w, SPITupleTable *row) {
    bool is_null;
    int k = w->index->n_keys;
    int64 hash = hash_of(SPI_getbinval(row->vals[0], row->tupdesc, k + 1, &is_null));
    Datum known = SPI_getbinval(row->vals[0], row->tupdesc, k + 2, &is_null);
    if (!is_null && DatumGetInt64(known) == hash) return true;
    w->hashes[w->n_rows] = hash;
    w->rows[w->n_rows++] = row;
    w->n_bytes += row->vals[0]->t_len;
    return false;
}

/* One by one, since a row may be as large as a whole batch. */
static void write_rows(writer *w, Portal rows) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        SPI_cursor_fetch(rows, true, 1);
        if (!SPI_processed) break;
        if (is_known(w, SPI_tuptable)) SPI_freetuptable(SPI_tuptable);
        if (w->n_rows == ROWS || w->n_bytes >= BYTES) write_batch(w);
    }
    if (w->n_rows) write_batch(w);
    SPI_cursor_close(rows);
}

/* was: a relation of keys k1 .. kn; is: one of the keys that are still there, NULL for none. */
static void forget(const nlp_pg_index *index, const char *was, const char *is) {
    char *gone = is ? psprintf(" AND NOT EXISTS (SELECT FROM %s AS n WHERE %s)", is,
                               nlp_pg_index_same_key(index, "n.", "o."))
                    : "";
    nlp_pg_execute(
        psprintf(
            "WITH gone AS (DELETE FROM %s c USING %s AS o WHERE %s%s RETURNING c.id)%s DELETE FROM %s s USING gone WHERE s.id = gone.id",
            index->chunks, was, nlp_pg_index_same_key(index, "c.", "o."), gone,
            forgotten_vectors(index), index->signatures),
        0, NULL, NULL, false);
}

/* rows: a relation of keys and txt. Those that are as the index knows them are passed over; how many are not. */
static uint64 write_changed(const nlp_pg_index *index, const char *rows) {
    writer w = {.index = index,
                .chunking = nlp_pg_site_plain("chunk"),
                .embedding = nlp_pg_site_plain("embed")};
    prepare_all(&w);
    char *sql =
        psprintf("SELECT %s, n.txt, c.row_hash FROM %s AS n LEFT JOIN %s c ON %s AND c.seq = 0",
                 nlp_pg_index_key_numbers(index, "n."), rows, index->chunks,
                 nlp_pg_index_same_key(index, "c.", "n."));
    write_rows(&w, SPI_cursor_open(NULL, prepare(sql, 0, NULL), NULL, NULL, false));
    return w.written;
}

/* Of the rows of `from`, which has the columns of the table: keys alone, or with the text. */
char *nlp_pg_index_keys_from(const nlp_pg_index *index, const char *from) {
    return psprintf("(SELECT %s FROM %s b)", nlp_pg_index_key_columns(index, "b."), from);
}

static char *rows_from(const nlp_pg_index *index, const char *from) {
    return psprintf("(SELECT %s, %s AS txt FROM %s b)", nlp_pg_index_key_columns(index, "b."),
                    nlp_pg_index_text(index, "b."), from);
}

static char *known_keys(const nlp_pg_index *index) {
    return psprintf("(SELECT %s FROM %s WHERE seq = 0)", nlp_pg_index_key_numbers(index, ""),
                    index->chunks);
}

/* ---- What others ask for ---- */

void nlp_pg_index_write_keys(const nlp_pg_index *index, const char *keys) {
    forget(index, keys, nlp_pg_index_keys_from(index, index->source));
    write_changed(index, psprintf("(SELECT r.* FROM %s r WHERE EXISTS (SELECT FROM %s q WHERE %s))",
                                  rows_from(index, index->source), keys,
                                  nlp_pg_index_same_key(index, "q.", "r.")));
}

uint64 nlp_pg_index_write_all(const nlp_pg_index *index) {
    nlp_pg_index_forget_gone(index);
    return write_changed(index, rows_from(index, index->source));
}

void nlp_pg_index_forget_gone(const nlp_pg_index *index) {
    forget(index, known_keys(index), nlp_pg_index_keys_from(index, index->source));
}

void nlp_pg_index_forget_all(const nlp_pg_index *index) {
    nlp_pg_execute(psprintf("TRUNCATE %s, %s, %s%s%s", index->chunks, index->signatures,
                            index->terms, index->vectors ? ", " : "",
                            index->vectors ? index->vectors : ""),
                   0, NULL, NULL, false);
}
