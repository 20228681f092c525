/* pg_search_dense.c: a search by meaning: all signatures are compared, which takes nanoseconds each, and what is nearest by them
 * is compared again by bytes. */
#include "pg_search.h"

#include <math.h>

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

enum { BLOCK = 1024, ROWS_A_PAGE = 70 };

typedef struct block {
    uint8_t *signatures, *ids, *allowed;
    size_t n, signature_bytes;
} block;

static _Noreturn void damaged(const nlp_pg_index *index) {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("the index on %s holds a vector of another size", index->source),
                    errhint("SELECT nlp_index_rebuild('%s')", index->source)));
    pg_unreachable();
}

/* ---- Signatures ---- */

static void compare(const nlp_query *query, block *b, bool all, nlp_top *top) {
    CHECK_FOR_INTERRUPTS();
    nlp_query_scan(query,
                   &(nlp_signature_block){.signatures = b->signatures,
                                          .n = b->n,
                                          .ids = b->ids,
                                          .allowed = all ? NULL : b->allowed},
                   top);
    memset(b->allowed, 0, BLOCK / 8);
    b->n = 0;
}

static void add(block *b, const nlp_pg_index *index, TupleTableSlot *slot,
                const nlp_pg_allowed *allowed) {
    bool is_null;
    int64 id = DatumGetInt64(slot_getattr(slot, 1, &is_null));
    bytea *signature = DatumGetByteaPP(slot_getattr(slot, 2, &is_null));
    if (VARSIZE_ANY_EXHDR(signature) != b->signature_bytes) damaged(index);
    memcpy(b->signatures + b->n * b->signature_bytes, VARDATA_ANY(signature), b->signature_bytes);
    for (int i = 0; i < 8; i++) b->ids[b->n * 8 + (size_t)i] = (uint8_t)((uint64)id >> 8 * i);
    if (nlp_pg_allows(allowed, id)) b->allowed[b->n / 8] |= (uint8_t)(1u << b->n % 8);
    b->n++;
}

/* The narrow table, past the executor: it costs three times as much to ask it row by row. */
static void scan(const nlp_pg_index *index, Relation relation, const nlp_query *query,
                 const nlp_pg_allowed *allowed, nlp_top *top) {
    block b = {.signature_bytes = nlp_signature_bytes((uint32_t)index->dims)};
    TableScanDesc rows = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
    TupleTableSlot *slot = table_slot_create(relation, NULL);
    b.signatures = palloc(BLOCK * b.signature_bytes);
    b.ids = palloc(BLOCK * 8), b.allowed = palloc0(BLOCK / 8);
    while (table_scan_getnextslot(rows, ForwardScanDirection, slot)) {
        add(&b, index, slot, allowed);
        if (b.n == BLOCK) compare(query, &b, allowed->all, top);
    }
    compare(query, &b, allowed->all, top);
    ExecDropSingleTupleTableSlot(slot);
    table_endscan(rows);
}

/* ---- Bytes ---- */

static Datum array_of(const nlp_top *top) {
    Datum *ids = palloc(Max(top->n, 1) * sizeof *ids);
    for (size_t i = 0; i < top->n; i++) ids[i] = Int64GetDatum(top->hits[i].id);
    return PointerGetDatum(
        construct_array(ids, (int)top->n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* id, doc, start_pos, end_pos, q8 */
static nlp_pg_place place_of(const nlp_pg_index *index, const nlp_query *query, HeapTuple row,
                             TupleDesc desc) {
    bool is_null;
    Datum q8 = SPI_getbinval(row, desc, 5, &is_null);
    nlp_pg_place place = nlp_pg_read_place(row, desc);
    if (is_null) damaged(index);
    bytea *bytes = DatumGetByteaPP(q8);
    if (VARSIZE_ANY_EXHDR(bytes) != nlp_q8_bytes((uint32_t)index->dims)) damaged(index);
    place.score = nlp_query_cosine(query, (const uint8_t *)VARDATA_ANY(bytes));
    return place;
}

static nlp_pg_places rescore(const nlp_pg_index *index, const nlp_query *query, const nlp_top *top,
                             size_t most) {
    Oid type = INT8ARRAYOID;
    Datum ids = array_of(top);
    uint64 n = nlp_pg_execute(
        psprintf("SELECT id, doc, start_pos, end_pos, q8 FROM %s WHERE id = ANY ($1)",
                 index->chunks),
        1, &type, &ids, true);
    nlp_pg_place *places = palloc(Max(n, 1) * sizeof *places);
    for (uint64 i = 0; i < n; i++)
        places[i] = place_of(index, query, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
    return nlp_pg_best_rows(places, n, most);
}

/* A row of many chunks takes many places among the candidates, hence the room that is left for them. */
nlp_pg_places nlp_pg_dense_half(const nlp_pg_index *index, const nlp_value *vector, int oversample,
                                const nlp_pg_allowed *allowed, size_t most) {
    Relation relation = table_open(index->signatures_oid, AccessShareLock);
    uint64 n = (uint64)RelationGetNumberOfBlocks(relation) * ROWS_A_PAGE;
    bool trusted = isnan(index->recall) || index->recall >= 0.95;
    nlp_top top = {.capacity = trusted ? nlp_search_candidates(most, (uint64)oversample, n) : n};
    nlp_query *query = palloc(nlp_query_bytes((uint32_t)index->dims));
    nlp_error err;
    if (vector->type != NLP_TYPE_VECTOR || vector->n != (uint32_t)index->dims) damaged(index);
    nlp_pg_check(nlp_query_prepare(vector->as.vector, vector->n, query, &err), &err);
    top.hits =
        MemoryContextAllocHuge(CurrentMemoryContext, Max(top.capacity, 1) * sizeof *top.hits);
    if (n) scan(index, relation, query, allowed, &top);
    table_close(relation, AccessShareLock);
    return rescore(index, query, &top, most);
}
