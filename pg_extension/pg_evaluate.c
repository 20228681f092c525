/* pg_evaluate.c: nlp_evaluate: a model's labels against those of a query's rows, which are read by a
 * cursor, with the rights of the caller. */
#include "pg_nlp.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

enum { BATCH = 256 };

static void close_evaluation(void *evaluation) {
    nlp_evaluation_close(evaluation);
}

static nlp_evaluation *open_evaluation(nlp_model *model) {
    MemoryContextCallback *callback = palloc0(sizeof *callback);
    nlp_evaluation *e;
    nlp_error err;
    nlp_pg_check(nlp_evaluation_open(nlp_pg_engine(), model, &e, &err), &err);
    *callback = (MemoryContextCallback){.func = close_evaluation, .arg = e};
    MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
    return e;
}

static Portal open_cursor(const char *query) {
    SPIPlanPtr plan = SPI_prepare(query, 0, NULL);
    Portal portal =
        plan && SPI_is_cursor_plan(plan) ? SPI_cursor_open(NULL, plan, NULL, NULL, true) : NULL;
    if (!portal || portal->tupDesc->natts != 2 || SPI_gettypeid(portal->tupDesc, 1) != TEXTOID ||
        SPI_gettypeid(portal->tupDesc, 2) != TEXTOID)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the query must be a SELECT of two text columns, text and label")));
    return portal;
}

/* The rows that the cursor just read. */
static void add_rows(nlp_evaluation *e) {
    nlp_text texts[BATCH], labels[BATCH];
    nlp_error err;
    nlp_stop stop = nlp_pg_stop();
    size_t n = SPI_processed;
    for (size_t i = 0; i < n; i++) {
        texts[i] = nlp_pg_column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
        labels[i] = nlp_pg_column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
    }
    nlp_pg_check(nlp_evaluation_add(e, texts, labels, n, &stop, &err), &err);
}

/* Copies of texts are gone with each batch. */
static void read_query(nlp_evaluation *e, const char *query) {
    SPI_connect();
    Portal portal = open_cursor(query);
    MemoryContext batch =
        AllocSetContextCreate(CurrentMemoryContext, "nlp_evaluate", ALLOCSET_DEFAULT_SIZES);
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        SPI_cursor_fetch(portal, true, BATCH);
        if (!SPI_processed) break;
        MemoryContext old = MemoryContextSwitchTo(batch);
        add_rows(e);
        MemoryContextSwitchTo(old);
        MemoryContextReset(batch);
        SPI_freetuptable(SPI_tuptable);
    }
    SPI_cursor_close(portal);
    SPI_finish();
}

PG_FUNCTION_INFO_V1(nlp_pg_evaluate);
Datum nlp_pg_evaluate(PG_FUNCTION_ARGS) {
    const nlp_metric *metrics;
    size_t n;
    nlp_error err;
    ReturnSetInfo *set = (ReturnSetInfo *)fcinfo->resultinfo;
    InitMaterializedSRF(fcinfo, 0);
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0)),
         *query = text_to_cstring(PG_GETARG_TEXT_PP(1));
    nlp_evaluation *e = open_evaluation(nlp_pg_model(name, CurrentMemoryContext));
    read_query(e, query);
    nlp_pg_check(nlp_evaluation_finish(e, &metrics, &n, &err), &err);
    nlp_pg_put_metrics(set, metrics, n);
    return (Datum)0;
}
