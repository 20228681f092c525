/* pg_index_queue.c: the queue of an index of mode async: keys whose rows are to be embedded, taken out of it in batches by the
 * worker or nlp_index_run. */
#include "pg_index.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

uint64 nlp_pg_index_queue_keys(const nlp_pg_index *index, const char *keys) {
    return nlp_pg_execute(psprintf("INSERT INTO %s (%s) SELECT %s FROM %s q", index->queue,
                                   nlp_pg_index_key_numbers(index, ""),
                                   nlp_pg_index_key_numbers(index, "q."), keys),
                          0, NULL, NULL, false);
}

/* ---- Taking rows out ---- */

/* The next n keys of the queue, taken out of it wherever they stand, so that a row which was given up goes with its next write;
 * as rows "nlp_claimed". NULL: there are none. */
static Tuplestorestate *claim(const nlp_pg_index *index, int n) {
    Oid type = INT4OID;
    Datum most = Int32GetDatum(n);
    uint64 claimed = nlp_pg_execute(
        psprintf(
            "WITH due AS (SELECT %s FROM %s WHERE next_try <= clock_timestamp() ORDER BY next_try, ctid LIMIT $1 FOR UPDATE SKIP LOCKED) "
            "DELETE FROM %s q USING due WHERE %s RETURNING %s",
            nlp_pg_index_key_numbers(index, ""), index->queue, index->queue,
            nlp_pg_index_same_key(index, "q.", "due."), nlp_pg_index_key_numbers(index, "q.")),
        1, &type, &most, false);
    if (!claimed) return NULL;
    Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
    for (uint64 i = 0; i < claimed; i++) tuplestore_puttuple(rows, SPI_tuptable->vals[i]);
    nlp_pg_name_rows("nlp_claimed", rows, SPI_tuptable->tupdesc, (double)claimed);
    return rows;
}

static bool take(const nlp_pg_index *index, int n) {
    Tuplestorestate *rows = claim(index, n);
    if (!rows) return false;
    nlp_pg_index_write_keys(index, "nlp_claimed");
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
/* (relation, n): the next n rows of the queue; whether there were any. NULL where someone else is at it. The table is locked before the
 * queue, as by those who alter it, and as a writer does, so that no rebuild changes the index under it; only then the index is read. The
 * model is opened before any row: if it is another one by now, no row is to blame. */
Datum nlp_pg_index_step(PG_FUNCTION_ARGS) {
    nlp_pg_index *index = nlp_pg_index_open_own(PG_GETARG_OID(0));
    if (!index->is_async) PG_RETURN_NULL();
    LockRelationOid(index->relation, RowExclusiveLock);
    index = nlp_pg_index_open_own(index->relation);
    nlp_pg_index_check_vectors(index);
    nlp_pg_index_model_of(index, CurrentMemoryContext);
    SPI_connect();
    nlp_pg_rights before = nlp_pg_become(index->owner);
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
    nlp_pg_index *index = nlp_pg_index_open_own(PG_GETARG_OID(0));
    SPI_connect();
    nlp_pg_rights before = nlp_pg_become(index->owner);
    uint64 n = nlp_pg_index_queue_keys(index, nlp_pg_index_keys_from(index, index->source));
    nlp_pg_give_back(before);
    SPI_finish();
    nlp_pg_index_want_worker();
    PG_RETURN_INT64((int64)n);
}
