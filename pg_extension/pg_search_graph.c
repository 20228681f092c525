/* pg_search_graph.c: candidates of a search by meaning out of a graph of pgvector (HNSW), for indexes of storage "pgvector". Only
 * candidates: they are compared by bytes afterwards as all others are, so a row has the same score in either storage. pgvector
 * is not linked; its type and operator are known by name. */
#include "pg_search.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

enum { SCALE_BYTES = 4, MOST_BEAM = 1000 /* of hnsw.ef_search */ };

PG_FUNCTION_INFO_V1(nlp_pg_index_q8_steps);
/* The whole numbers of a q8, -127 .. 127, without its scale: the cosine does without, and halfvec holds them exactly. */
Datum nlp_pg_index_q8_steps(PG_FUNCTION_ARGS) {
    bytea *q8 = PG_GETARG_BYTEA_PP(0);
    int n = (int)VARSIZE_ANY_EXHDR(q8) - SCALE_BYTES;
    const int8 *steps = (const int8 *)VARDATA_ANY(q8) + SCALE_BYTES;
    if (n < 1)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("a vector of an index is empty"),
                        errhint("nlp_index_rebuild makes them anew")));
    float *x = palloc((size_t)n * sizeof *x);
    for (int i = 0; i < n; i++) x[i] = steps[i];
    PG_RETURN_DATUM(nlp_pg_real_array(x, (size_t)n));
}

/* Its largest number made 1, so that halfvec holds any model's. As pgvector's type, whose library is loaded behind this. */
static Datum query_of(const nlp_pg_index *index, const float *vector) {
    Oid type = FLOAT4ARRAYOID;
    bool is_null;
    float most = 0, *x = palloc((size_t)index->dims * sizeof *x);
    for (int i = 0; i < index->dims; i++) most = Max(most, fabsf(vector[i]));
    for (int i = 0; i < index->dims; i++) x[i] = most > 0 ? vector[i] / most : 0;
    Datum array = nlp_pg_real_array(x, (size_t)index->dims);
    nlp_pg_execute(psprintf("SELECT $1::%s", index->vector_type), 1, &type, &array, true);
    return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
}

/* The scan goes on where rows that are gone leave too few, since pgvector 0.8.0. */
static void widen_beam(size_t n) {
    nlp_pg_set_for_now("hnsw.ef_search", psprintf("%d", (int)Min(n, MOST_BEAM)));
    if (GetConfigOption("hnsw.iterative_scan", true, false))
        nlp_pg_set_for_now("hnsw.iterative_scan", "relaxed_order");
}

nlp_top nlp_pg_graph_nearest(const nlp_pg_index *index, const float *vector, size_t n) {
    Datum query = query_of(index, vector);
    bool is_null;
    widen_beam(n);
    uint64 found = nlp_pg_execute(psprintf("SELECT id FROM %s ORDER BY emb %s $1 LIMIT %zu",
                                           index->vectors, index->vector_distance, n),
                                  1, &index->vector_type_oid, &query, true);
    nlp_top top = {.capacity = n, .hits = palloc(Max(found, 1) * sizeof *top.hits)};
    for (uint64 i = 0; i < found; i++)
        top.hits[top.n++].id =
            DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
    return top;
}
