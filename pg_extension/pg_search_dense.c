/* pg_search_dense.c: a search by meaning: all signatures are compared, which takes nanoseconds each, and what is nearest by them
 * is compared again by bytes. */
#include "pg_search.h"

#include <math.h>

#include "access/htup_details.h"
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

enum { BLOCK = 1024 };

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
static void scan_signatures(const nlp_pg_index *index, Relation relation, const nlp_query *query,
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

/* At most: of an id and a short varlena. */
static uint64 rows_a_page(const nlp_pg_index *index) {
    size_t row = MAXALIGN(SizeofHeapTupleHeader) + 8 + VARHDRSZ_SHORT +
                 nlp_signature_bytes((uint32_t)index->dims);
    return (BLCKSZ - SizeOfPageHeaderData) / (MAXALIGN(row) + sizeof(ItemIdData)) + 1;
}

/* The nearest by their signatures. */
static nlp_top nearest_signatures(const nlp_pg_index *index, const nlp_query *query, size_t k,
                                  int oversample, const nlp_pg_allowed *allowed) {
    Relation relation = table_open(index->signatures_oid, AccessShareLock);
    uint64 n = (uint64)RelationGetNumberOfBlocks(relation) * rows_a_page(index);
    nlp_top top = {.capacity = nlp_search_candidates(k, (uint64)oversample, n)};
    top.hits =
        MemoryContextAllocHuge(CurrentMemoryContext, Max(top.capacity, 1) * sizeof *top.hits);
    if (n) scan_signatures(index, relation, query, allowed, &top);
    table_close(relation, AccessShareLock);
    return top;
}

/* ---- Bytes ---- */

/* In the current context where it was toasted. */
static const uint8_t *q8_of(const nlp_pg_index *index, HeapTuple row, TupleDesc desc, int column) {
    bool is_null;
    Datum q8 = SPI_getbinval(row, desc, column, &is_null);
    if (is_null) damaged(index);
    bytea *bytes = DatumGetByteaPP(q8);
    if (VARSIZE_ANY_EXHDR(bytes) != nlp_q8_bytes((uint32_t)index->dims)) damaged(index);
    return (const uint8_t *)VARDATA_ANY(bytes);
}

typedef struct comparison { /* of all vectors with n queries, into a top of each */
    const nlp_pg_index *index;
    nlp_query *const *queries;
    nlp_top *tops;
    size_t n;
    const nlp_pg_allowed *allowed;
} comparison;

static bool compare_rows(void *context) {
    const comparison *c = context;
    for (uint64 i = 0; i < SPI_processed; i++) {
        bool is_null;
        HeapTuple row = SPI_tuptable->vals[i];
        int64 id = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null));
        if (!nlp_pg_allows(c->allowed, id)) continue;
        const uint8_t *q8 = q8_of(c->index, row, SPI_tuptable->tupdesc, 2);
        for (size_t q = 0; q < c->n; q++)
            nlp_top_push(&c->tops[q], id, nlp_query_cosine(c->queries[q], q8));
    }
    return true;
}

static void compare_all(comparison c) {
    SPIPlanPtr plan = SPI_prepare(
        psprintf("SELECT id, q8 FROM %s WHERE q8 IS NOT NULL", c.index->chunks), 0, NULL);
    nlp_pg_read_cursor(SPI_cursor_open(NULL, plan, NULL, NULL, true), BLOCK, compare_rows, &c);
}

static nlp_query *prepare(const nlp_pg_index *index, const float *vector) {
    nlp_query *query = palloc(nlp_query_bytes((uint32_t)index->dims));
    nlp_error err;
    nlp_pg_check(nlp_query_prepare(vector, (uint32_t)index->dims, query, &err), &err);
    return query;
}

static nlp_top top_of(size_t capacity) {
    return (nlp_top){.capacity = capacity, .hits = palloc(Max(capacity, 1) * sizeof(nlp_hit))};
}

static nlp_top nearest(const nlp_pg_index *index, nlp_query *query, size_t k, int oversample,
                       const nlp_pg_allowed *allowed) {
    if (isnan(index->recall) || index->recall >= NLP_PG_RECALL)
        return nearest_signatures(index, query, k, oversample, allowed);
    nlp_top top = top_of(nlp_search_candidates(k, (uint64)oversample, UINT64_MAX));
    compare_all((comparison){index, &query, &top, 1, allowed});
    return top;
}

static Datum array_of(const nlp_top *top) {
    Datum *ids = palloc(Max(top->n, 1) * sizeof *ids);
    for (size_t i = 0; i < top->n; i++) ids[i] = Int64GetDatum(top->hits[i].id);
    return PointerGetDatum(
        construct_array(ids, (int)top->n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* a place, q8 */
static nlp_pg_place place_of(const nlp_pg_index *index, const nlp_query *query, HeapTuple row,
                             TupleDesc desc) {
    nlp_pg_place place = nlp_pg_read_place(row, desc);
    place.score = nlp_query_cosine(query, q8_of(index, row, desc, NLP_PG_PLACE_COLUMNS + 1));
    return place;
}

static nlp_pg_places rescore(const nlp_pg_index *index, const nlp_query *query, const nlp_top *top,
                             size_t most) {
    Oid type = INT8ARRAYOID;
    Datum ids = array_of(top);
    uint64 n = nlp_pg_execute(
        psprintf("SELECT " NLP_PG_PLACE ", q8 FROM %s WHERE id = ANY ($1)", index->chunks), 1,
        &type, &ids, true);
    nlp_pg_place *places = palloc(Max(n, 1) * sizeof *places);
    for (uint64 i = 0; i < n; i++)
        places[i] = place_of(index, query, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
    return nlp_pg_best_rows(places, n, most);
}

nlp_pg_places nlp_pg_dense_half(const nlp_pg_index *index, const nlp_value *vector, int k,
                                int oversample, const nlp_pg_allowed *allowed, size_t most) {
    if (vector->type != NLP_TYPE_VECTOR || vector->n != (uint32_t)index->dims) damaged(index);
    nlp_query *query = prepare(index, vector->as.vector);
    nlp_pg_index_check_vectors(index);
    if (index->vectors && allowed->all) {
        nlp_top near = nlp_pg_graph_nearest(index, vector->as.vector,
                                            Max(2 * most, (size_t)k * (size_t)oversample));
        nlp_pg_places places = rescore(index, query, &near, most);
        if (places.n >= (size_t)k) return places; /* else its nearest are chunks of few rows */
    }
    nlp_top top = nearest(index, query, (size_t)k, oversample, allowed);
    return rescore(index, query, &top, most);
}

/* ---- How good signatures are for these vectors ---- */

static int by_id(const void *a, const void *b) {
    const nlp_hit *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static size_t found_again(const nlp_top *exact, nlp_top *candidates) {
    size_t n = 0;
    qsort(candidates->hits, candidates->n, sizeof *candidates->hits, by_id);
    for (size_t i = 0; i < exact->n; i++)
        n += bsearch(&exact->hits[i], candidates->hits, candidates->n, sizeof *candidates->hits,
                     by_id) != NULL;
    return n;
}

/* Vectors of its own as queries; candidates are compared exactly afterwards, so what is among them is found. */
double nlp_pg_index_recall(const nlp_pg_index *index) {
    enum { QUERIES = 20, K = 10 };
    const nlp_pg_allowed all = {.all = true};
    nlp_query *queries[QUERIES];
    nlp_top exact[QUERIES];
    size_t found = 0, wanted = 0;
    float *vector = palloc((size_t)index->dims * sizeof *vector);
    uint64 n =
        nlp_pg_execute(psprintf("SELECT q8 FROM %s WHERE q8 IS NOT NULL ORDER BY hash, id LIMIT %d",
                                index->chunks, QUERIES),
                       0, NULL, NULL, true);
    for (uint64 i = 0; i < n; i++) {
        nlp_q8_decode(q8_of(index, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
                      (uint32_t)index->dims, vector);
        queries[i] = prepare(index, vector), exact[i] = top_of(K);
    }
    compare_all((comparison){index, queries, exact, n, &all});
    for (uint64 i = 0; i < n; i++) {
        nlp_top candidates = nearest_signatures(index, queries[i], K, NLP_PG_OVERSAMPLE, &all);
        found += found_again(&exact[i], &candidates), wanted += exact[i].n;
    }
    return wanted ? (double)found / (double)wanted : 1;
}
