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

void nlp_pg_read_cursor(Portal portal, long at_once, bool (*use)(void *context), void *context) {
    MemoryContext part =
        AllocSetContextCreate(CurrentMemoryContext, "nlp cursor", ALLOCSET_DEFAULT_SIZES);
    for (bool more = true; more;) {
        CHECK_FOR_INTERRUPTS();
        SPI_cursor_fetch(portal, true, at_once);
        SPITupleTable *rows = SPI_tuptable;
        if (!SPI_processed) break;
        MemoryContext old = MemoryContextSwitchTo(part);
        more = use(context);
        MemoryContextSwitchTo(old);
        MemoryContextReset(part);
        SPI_freetuptable(rows);
    }
    SPI_cursor_close(portal);
    MemoryContextDelete(part);
}

void nlp_pg_read_query(const char *query, const nlp_pg_reader *reader) {
    SPI_connect();
    nlp_pg_read_cursor(open_cursor(query, reader), NLP_PG_BATCH, reader->use, reader->context);
    SPI_finish();
}
