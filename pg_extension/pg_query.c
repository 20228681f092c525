/* pg_query.c: the rows of a query, read by a cursor, with the rights of the caller. */
#include "pg_nlp.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

bool nlp_pg_are_texts(TupleDesc desc, int first, int n) {
    for (int i = first; i < first + n; i++)
        if (SPI_gettypeid(desc, i) != TEXTOID) return false;
    return true;
}

static Portal open_cursor(const char *query, const nlp_pg_reader *reader) {
    SPIPlanPtr plan = SPI_prepare(query, 0, NULL);
    Portal portal =
        plan && SPI_is_cursor_plan(plan) ? SPI_cursor_open(NULL, plan, NULL, NULL, true) : NULL;
    if (!portal || !reader->accepts(portal->tupDesc, reader->context))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the query must be a SELECT of %s", reader->columns)));
    return portal;
}

/* Copies of texts are gone with each batch. */
void nlp_pg_read_query(const char *query, const nlp_pg_reader *reader) {
    SPI_connect();
    Portal portal = open_cursor(query, reader);
    MemoryContext batch =
        AllocSetContextCreate(CurrentMemoryContext, "nlp query", ALLOCSET_DEFAULT_SIZES);
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        SPI_cursor_fetch(portal, true, NLP_PG_BATCH);
        if (!SPI_processed) break;
        MemoryContext old = MemoryContextSwitchTo(batch);
        reader->use(reader->context);
        MemoryContextSwitchTo(old);
        MemoryContextReset(batch);
        SPI_freetuptable(SPI_tuptable);
    }
    SPI_cursor_close(portal);
    SPI_finish();
}
