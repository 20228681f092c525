/* pg_index_write.c: rows into an index of meanings: by the triggers of its table, by refresh, and out of the queue. All three say
 * which keys there were and which rows there are; here those that are gone are forgotten, and of those that are other than the
 * index knows them the chunks are made anew. Chunks whose text is as it was keep their vectors. */
#include "pg_search.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

enum { ROWS = 16, EMBED_AT_ONCE = 512 };

typedef struct chunk {
    uint64 row; /* of the batch */
    int32 seq, start_pos, end_pos;
    nlp_text text; /* NULL: the row has none, and is only known */
    uint64 hash;
    bytea *q8, *signature; /* NULL: to be made */
} chunk;

typedef struct writer {
    const nlp_pg_index *index;
    nlp_pg_site chunking, embedding;
    nlp_model *model;
    SPIPlanPtr known, forget, insert;
    uint64 written;
    chunk *chunks;
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

static nlp_text copy_text(const nlp_value *value) {
    char *copy = MemoryContextAllocHuge(CurrentMemoryContext, (Size)value->n + 1);
    memcpy(copy, value->as.text, value->n);
    return (nlp_text){copy, value->n};
}

/* Cells of the task chunk: ord, chunk, tokens, start_pos, end_pos. */
static void add_chunks(writer *w, uint64 row, const nlp_output *output) {
    for (uint32_t i = 0; i < output->n_rows; i++) {
        const nlp_value *cells = &output->cells[i * w->chunking.task->n_columns];
        chunk *c = add_chunk(w);
        c->row = row, c->seq = (int32)i;
        c->start_pos = (int32)cells[3].as.integer, c->end_pos = (int32)cells[4].as.integer;
        c->text = copy_text(&cells[1]);
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
    w->known =
        prepare(psprintf("SELECT c.hash, c.q8, s.signature FROM %s c JOIN %s s USING (id) WHERE %s",
                         index->chunks, index->signatures, key),
                k, types);
    w->forget = prepare(
        psprintf(
            "WITH gone AS (DELETE FROM %s c WHERE %s RETURNING c.id) DELETE FROM %s s USING gone WHERE s.id = gone.id",
            index->chunks, key, index->signatures),
        k, types);
    initStringInfo(&holders);
    for (int i = 0; i < k; i++) appendStringInfo(&holders, "$%d, ", i + 1);
    /* the first chunk of a row lends its id to the row */
    w->insert = prepare(
        psprintf(
            "WITH number AS (SELECT nextval(pg_get_serial_sequence(%s, 'id')) AS id), "
            "made AS (INSERT INTO %s (id, doc, %s, seq, start_pos, end_pos, row_hash, hash, tsv, q8) OVERRIDING SYSTEM VALUE "
            "SELECT id, coalesce($%d, id), %s$%d, $%d, $%d, $%d, $%d, to_tsvector(%s::regconfig, $%d) || array_to_tsvector($%d), $%d FROM number RETURNING id, doc), "
            "signed AS (INSERT INTO %s SELECT id, $%d FROM made WHERE $%d IS NOT NULL) SELECT doc, id FROM made",
            quote_literal_cstr(index->chunks), index->chunks, nlp_pg_index_key_numbers(index, ""),
            k + 9, holders.data, k + 1, k + 2, k + 3, k + 4, k + 5,
            quote_literal_cstr(index->config), k + 6, k + 10, k + 7, index->signatures, k + 8,
            k + 8),
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

static void insert(writer *w, const chunk *c, Datum *keys, Datum row_hash, Datum *doc) {
    int k = w->index->n_keys;
    Datum values[NLP_PG_INDEX_COLUMNS + 10];
    char nulls[NLP_PG_INDEX_COLUMNS + 11];
    nlp_text text = c->text.bytes ? c->text : (nlp_text){"", 0};
    bool is_null;
    memset(nulls, ' ', sizeof nulls);
    memcpy(values, keys, (size_t)k * sizeof *keys);
    values[k] = Int32GetDatum(c->seq);
    values[k + 1] = Int32GetDatum(c->start_pos), values[k + 2] = Int32GetDatum(c->end_pos);
    values[k + 3] = row_hash, values[k + 4] = Int64GetDatum((int64)c->hash);
    values[k + 5] = nlp_pg_index_words(text), values[k + 9] = nlp_pg_index_names(text);
    values[k + 6] = PointerGetDatum(c->q8), values[k + 7] = PointerGetDatum(c->signature);
    if (!c->q8) nulls[k + 6] = nulls[k + 7] = 'n';
    values[k + 8] = *doc;
    if (!c->seq) nulls[k + 8] = 'n';
    run(w->insert, values, nulls, SPI_OK_SELECT);
    *doc = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    SPI_freetuptable(SPI_tuptable);
}

/* ---- A batch of rows: keys, text, hash ---- */

static bool write_batch(void *context) {
    writer *w = context;
    SPITupleTable *rows = SPI_tuptable;
    uint64 n = SPI_processed;
    int k = w->index->n_keys;
    nlp_text *texts = palloc(n * sizeof *texts);
    Datum keys[NLP_PG_INDEX_COLUMNS], doc = (Datum)0;
    bool is_null;
    w->chunks = NULL, w->n = w->capacity = 0;
    for (uint64 i = 0; i < n; i++) texts[i] = nlp_pg_column(rows->vals[i], rows->tupdesc, k + 1);
    cut(w, texts, n);
    for (size_t first = 0, end; first < w->n; first = end) {
        for (end = first; end < w->n && w->chunks[end].row == w->chunks[first].row;) end++;
        read_keys(w, rows->vals[w->chunks[first].row], rows->tupdesc, keys);
        reuse(w, w->chunks + first, w->chunks + end, keys);
        run(w->forget, keys, NULL, SPI_OK_DELETE);
    }
    for (size_t at = 0; at < w->n;) at = embed_some(w, at);
    for (size_t i = 0; i < w->n; i++) {
        HeapTuple row = rows->vals[w->chunks[i].row];
        read_keys(w, row, rows->tupdesc, keys);
        insert(w, &w->chunks[i], keys, SPI_getbinval(row, rows->tupdesc, k + 2, &is_null), &doc);
    }
    w->written += n;
    return true;
}

/* was: a relation of keys k1 .. kn; is: one of the keys that are still there, NULL for none. */
static void forget(const nlp_pg_index *index, const char *was, const char *is) {
    char *gone = is ? psprintf(" AND NOT EXISTS (SELECT FROM %s AS n WHERE %s)", is,
                               nlp_pg_index_same_key(index, "n.", "o."))
                    : "";
    nlp_pg_execute(
        psprintf(
            "WITH gone AS (DELETE FROM %s c USING %s AS o WHERE %s%s RETURNING c.id) DELETE FROM %s s USING gone WHERE s.id = gone.id",
            index->chunks, was, nlp_pg_index_same_key(index, "c.", "o."), gone, index->signatures),
        0, NULL, NULL, false);
}

/* rows: a relation of keys and txt. Those that are as the index knows them are passed over; how many are not. */
static uint64 write_changed(const nlp_pg_index *index, const char *rows) {
    writer w = {.index = index,
                .chunking = nlp_pg_site_plain("chunk"),
                .embedding = nlp_pg_site_plain("embed")};
    char *hash = nlp_pg_index_hash("n.txt");
    w.model = nlp_pg_index_model_of(index, CurrentMemoryContext);
    prepare_all(&w);
    char *sql = psprintf(
        "SELECT %s, n.txt, %s FROM %s AS n LEFT JOIN %s c ON %s AND c.seq = 0 WHERE c.row_hash IS DISTINCT FROM %s",
        nlp_pg_index_key_numbers(index, "n."), hash, rows, index->chunks,
        nlp_pg_index_same_key(index, "c.", "n."), hash);
    nlp_pg_read_cursor(SPI_cursor_open(NULL, prepare(sql, 0, NULL), NULL, NULL, false), ROWS,
                       write_batch, &w);
    return w.written;
}

/* Of the rows of `from`, which has the columns of the table: keys alone, or with the text. */
static char *keys_from(const nlp_pg_index *index, const char *from) {
    return psprintf("(SELECT %s FROM %s b)", nlp_pg_index_key_columns(index, "b."), from);
}

static char *rows_from(const nlp_pg_index *index, const char *from) {
    return psprintf("(SELECT %s, %s AS txt FROM %s b)", nlp_pg_index_key_columns(index, "b."),
                    nlp_pg_index_text(index, "b."), from);
}

/* ---- Statistics ---- */

/* Never in a user's transaction. Who finds another one at it leaves it to them. */
static void count_terms(const nlp_pg_index *index) {
    if (nlp_pg_index_try_lock(index->relation, NLP_PG_LOCK_STATISTICS))
        nlp_pg_execute(
            psprintf("SELECT _nlp.index_statistics(%s)", quote_literal_cstr(index->name)), 0, NULL,
            NULL, false);
}

/* ---- Triggers ---- */

static uint64 queue_keys(const nlp_pg_index *index, const char *keys) {
    return nlp_pg_execute(psprintf("INSERT INTO %s (%s) SELECT %s FROM %s q", index->queue,
                                   nlp_pg_index_key_numbers(index, ""),
                                   nlp_pg_index_key_numbers(index, "q."), keys),
                          0, NULL, NULL, false);
}

static char *known_keys(const nlp_pg_index *index) {
    return psprintf("(SELECT %s FROM %s WHERE seq = 0)", nlp_pg_index_key_numbers(index, ""),
                    index->chunks);
}

static void forget_all(const nlp_pg_index *index, Oid truncated) {
    if (truncated != index->relation)
        forget(index, known_keys(index), keys_from(index, index->source));
    else
        nlp_pg_execute(
            psprintf("TRUNCATE %s, %s, %s", index->chunks, index->signatures, index->terms), 0,
            NULL, NULL, false);
}

/* Of these keys: what is gone is forgotten, what is other than the index knows it is written. The rows are read now, as they are
 * now: a trigger of the user's may have changed them since, and a key may be there again. */
static void work(const nlp_pg_index *index, const char *keys) {
    forget(index, keys, keys_from(index, index->source));
    write_changed(index, psprintf("(SELECT r.* FROM %s r WHERE EXISTS (SELECT FROM %s q WHERE %s))",
                                  rows_from(index, index->source), keys,
                                  nlp_pg_index_same_key(index, "q.", "r.")));
}

static void follow(const nlp_pg_index *index, TriggerEvent event) {
    char *was = TRIGGER_FIRED_BY_INSERT(event) ? NULL : keys_from(index, "nlp_old");
    char *is = TRIGGER_FIRED_BY_DELETE(event) ? NULL : keys_from(index, "nlp_new");
    char *keys = was && is ? psprintf("(SELECT * FROM %s o UNION SELECT * FROM %s n)", was, is)
                 : was     ? was
                           : is;
    if (!index->is_async) {
        work(index, keys);
        return;
    }
    queue_keys(index, keys);
    nlp_pg_index_want_worker();
}

PG_FUNCTION_INFO_V1(nlp_pg_index_changed);
/* AFTER ... FOR EACH STATEMENT, with transition tables nlp_old and nlp_new. */
Datum nlp_pg_index_changed(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("index_changed is called by triggers")));
    TriggerData *trigger = (TriggerData *)fcinfo->context;
    if (!TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("index_changed is called behind statements")));
    nlp_pg_index *index = nlp_pg_index_find(RelationGetRelid(trigger->tg_relation));
    if (!index)
        return PointerGetDatum(
            NULL); /* it was dropped, and a copy of the table kept its triggers */
    SPI_connect();
    if (SPI_register_trigger_data(trigger) < 0) elog(ERROR, "no transition tables");
    nlp_pg_rights before = nlp_pg_become(index->owner);
    if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
        forget_all(index, RelationGetRelid(trigger->tg_relation));
    else
        follow(index, trigger->tg_event);
    nlp_pg_give_back(before);
    SPI_finish();
    return PointerGetDatum(NULL);
}

/* ---- Refresh, rebuild, queue: for the owner ---- */

static nlp_pg_index *open_own(Oid relation) {
    nlp_pg_index *index = nlp_pg_index_of(relation);
    nlp_pg_index_check_owner(index->relation);
    return index;
}

/* Below so many all vectors are compared anyway. */
static bool is_measured(const nlp_pg_index *index) {
    return nlp_pg_execute(psprintf("SELECT 1 FROM %s WHERE term = '' AND df > 10000", index->terms),
                          0, NULL, NULL, false) > 0;
}

/* Under a snapshot that sees what this statement has written. */
static double measure(const nlp_pg_index *index) {
    CommandCounterIncrement();
    PushActiveSnapshot(GetTransactionSnapshot());
    double recall = nlp_pg_index_recall(index);
    PopActiveSnapshot();
    return recall;
}

static void set_recall(const nlp_pg_index *index) {
    Oid types[2] = {OIDOID, FLOAT4OID};
    if (!is_measured(index)) return;
    Datum values[2] = {ObjectIdGetDatum(index->relation), Float4GetDatum((float4)measure(index))};
    nlp_pg_rights before = nlp_pg_become(nlp_pg_extension_owner());
    nlp_pg_execute("UPDATE _nlp.indexes SET recall = $2 WHERE relation = $1", 2, types, values,
                   false);
    nlp_pg_give_back(before);
}

/* Nobody writes meanwhile: a row that changed under it would be written twice. */
static uint64 refresh(const nlp_pg_index *index) {
    nlp_pg_execute(psprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", index->source), 0, NULL,
                   NULL, false);
    if (index->is_async)
        nlp_pg_execute(psprintf("DELETE FROM %s", index->queue), 0, NULL, NULL, false);
    forget(index, known_keys(index), keys_from(index, index->source));
    uint64 n = write_changed(index, rows_from(index, index->source));
    count_terms(index);
    set_recall(index);
    return n;
}

PG_FUNCTION_INFO_V1(nlp_pg_index_refresh);
Datum nlp_pg_index_refresh(PG_FUNCTION_ARGS) {
    nlp_pg_index *index = open_own(PG_GETARG_OID(0));
    SPI_connect();
    nlp_pg_rights before = nlp_pg_become(index->owner);
    uint64 n = refresh(index);
    nlp_pg_give_back(before);
    SPI_finish();
    PG_RETURN_INT64((int64)n);
}

static void set_model(Oid relation, const char *model) {
    Oid types[2] = {OIDOID, TEXTOID};
    Datum values[2] = {ObjectIdGetDatum(relation), CStringGetTextDatum(model)};
    nlp_pg_rights before = nlp_pg_become(nlp_pg_extension_owner());
    nlp_pg_execute(
        "UPDATE _nlp.indexes i SET model = $2, digest = d.digest, dims = d.dims, recall = NULL "
        "FROM _nlp.index_model($2) d WHERE i.relation = $1",
        2, types, values, false);
    nlp_pg_give_back(before);
}

PG_FUNCTION_INFO_V1(nlp_pg_index_rebuild);
/* (relation, model or NULL for the one it has) */
Datum nlp_pg_index_rebuild(PG_FUNCTION_ARGS) {
    if (PG_ARGISNULL(0)) PG_RETURN_NULL();
    nlp_pg_index *index = open_own(PG_GETARG_OID(0));
    SPI_connect();
    nlp_pg_rights before = nlp_pg_become(index->owner);
    nlp_pg_execute(psprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", index->source), 0, NULL,
                   NULL, false);
    forget_all(index, index->relation);
    set_model(index->relation,
              PG_ARGISNULL(1) ? index->model : text_to_cstring(PG_GETARG_TEXT_PP(1)));
    uint64 n = refresh(nlp_pg_index_of(index->relation));
    nlp_pg_give_back(before);
    SPI_finish();
    PG_RETURN_INT64((int64)n);
}

/* The next n keys of the queue, taken out of it, as rows "nlp_claimed"; NULL: there are none. */
static Tuplestorestate *claim(const nlp_pg_index *index, int n) {
    Oid type = INT4OID;
    Datum most = Int32GetDatum(n);
    uint64 claimed = nlp_pg_execute(
        psprintf(
            "DELETE FROM %s WHERE ctid IN (SELECT q.ctid FROM %s q WHERE q.next_try <= clock_timestamp() ORDER BY q.next_try, q.ctid LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING %s",
            index->queue, index->queue, nlp_pg_index_key_numbers(index, "")),
        1, &type, &most, false);
    if (!claimed) return NULL;
    Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
    for (uint64 i = 0; i < claimed; i++) tuplestore_puttuple(rows, SPI_tuptable->vals[i]);
    nlp_pg_name_rows("nlp_claimed", rows, SPI_tuptable->tupdesc, (double)claimed);
    return rows;
}

/* A key may stand in the queue many times. */
static bool take(const nlp_pg_index *index, int n) {
    Tuplestorestate *rows = claim(index, n);
    if (!rows) return false;
    work(index, "nlp_claimed");
    tuplestore_end(rows);
    return true;
}

typedef enum outcome { EMPTY, DONE, FAILED } outcome;

/* In a subtransaction: what fails leaves the queue as it was, and its message in the caller's context. A cancel is no failure. */
static outcome try_rows(const nlp_pg_index *index, int n, char **message) {
    MemoryContext caller = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    volatile outcome result = FAILED;
    BeginInternalSubTransaction(NULL);
    MemoryContextSwitchTo(caller);
    PG_TRY();
    {
        SPI_connect();
        result = take(index, n) ? DONE : EMPTY;
        SPI_finish();
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(caller);
        ErrorData *error = CopyErrorData();
        if (error->sqlerrcode == ERRCODE_QUERY_CANCELED) PG_RE_THROW();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        *message = error->message;
    }
    PG_END_TRY();
    MemoryContextSwitchTo(caller);
    CurrentResourceOwner = owner;
    return result;
}

/* The first row of the queue: it waits, longer each time, and after eight times for good. */
static void postpone(const nlp_pg_index *index, const char *message) {
    Oid type = TEXTOID;
    Datum why = CStringGetTextDatum(message);
    nlp_pg_execute(
        psprintf(
            "UPDATE %s SET attempts = attempts + 1, last_error = left($1, 500), next_try = CASE WHEN attempts >= 7 THEN 'infinity' "
            "ELSE clock_timestamp() + interval '5 s' * 3 ^ attempts END "
            "WHERE ctid = (SELECT q.ctid FROM %s q WHERE q.next_try <= clock_timestamp() ORDER BY q.next_try, q.ctid LIMIT 1)",
            index->queue, index->queue),
        1, &type, &why, false);
}

/* Together, or where that fails one by one, so that no row holds up another. Whether there were any. */
static bool work_off(const nlp_pg_index *index, int n) {
    char *message;
    outcome together = try_rows(index, n, &message);
    for (int i = 0; together == FAILED && i < n; i++) {
        outcome alone = try_rows(index, 1, &message);
        if (alone == EMPTY) break;
        if (alone == FAILED) postpone(index, message);
    }
    return together != EMPTY;
}

PG_FUNCTION_INFO_V1(nlp_pg_index_step);
/* (relation, n): the next n rows of the queue; whether there were any. NULL where someone else is at it. The model is opened first: if
 * it is another one by now, no row is to blame. The table is locked before the queue, as by those who alter it. */
Datum nlp_pg_index_step(PG_FUNCTION_ARGS) {
    nlp_pg_index *index = open_own(PG_GETARG_OID(0));
    if (!index->is_async) PG_RETURN_NULL();
    nlp_pg_index_model_of(index, CurrentMemoryContext);
    SPI_connect();
    nlp_pg_rights before = nlp_pg_become(index->owner);
    nlp_pg_execute(psprintf("LOCK TABLE %s IN ACCESS SHARE MODE", index->source), 0, NULL, NULL,
                   false);
    bool is_mine = nlp_pg_index_try_lock(index->relation, NLP_PG_LOCK_QUEUE);
    bool any = is_mine && work_off(index, PG_GETARG_INT32(1));
    nlp_pg_give_back(before);
    SPI_finish();
    if (!is_mine) PG_RETURN_NULL();
    PG_RETURN_BOOL(any);
}

PG_FUNCTION_INFO_V1(nlp_pg_index_queue_all);
/* All rows of a table whose index of mode async is new. */
Datum nlp_pg_index_queue_all(PG_FUNCTION_ARGS) {
    nlp_pg_index *index = open_own(PG_GETARG_OID(0));
    SPI_connect();
    nlp_pg_rights before = nlp_pg_become(index->owner);
    uint64 n = queue_keys(index, keys_from(index, index->source));
    nlp_pg_give_back(before);
    SPI_finish();
    nlp_pg_index_want_worker();
    PG_RETURN_INT64((int64)n);
}
