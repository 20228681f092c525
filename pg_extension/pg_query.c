/* pg_query.c: the text columns of a query, read by a cursor, with the rights of the caller. */
#include "pg_nlp.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

static bool has_columns(TupleDesc desc, int n_columns) {
    if (desc->natts != n_columns) return false;
    for (int i = 1; i <= n_columns; i++)
        if (SPI_gettypeid(desc, i) != TEXTOID) return false;
    return true;
}

static Portal open_cursor(const char *query, int n_columns, const char *columns) {
    SPIPlanPtr plan = SPI_prepare(query, 0, NULL);
    Portal portal =
        plan && SPI_is_cursor_plan(plan) ? SPI_cursor_open(NULL, plan, NULL, NULL, true) : NULL;
    if (!portal || !has_columns(portal->tupDesc, n_columns))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the query must be a SELECT of %s", columns)));
    return portal;
}

/* Copies of texts are gone with each batch. */
void nlp_pg_read_query(const char *query, int n_columns, const char *columns,
                       void (*use)(void *context), void *context) {
    SPI_connect();
    Portal portal = open_cursor(query, n_columns, columns);
    MemoryContext batch =
        AllocSetContextCreate(CurrentMemoryContext, "nlp query", ALLOCSET_DEFAULT_SIZES);
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        SPI_cursor_fetch(portal, true, NLP_PG_BATCH);
        if (!SPI_processed) break;
        MemoryContext old = MemoryContextSwitchTo(batch);
        use(context);
        MemoryContextSwitchTo(old);
        MemoryContextReset(batch);
        SPI_freetuptable(SPI_tuptable);
    }
    SPI_cursor_close(portal);
    SPI_finish();
}
