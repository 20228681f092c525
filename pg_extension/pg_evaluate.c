/* pg_evaluate.c: nlp_evaluate: a model's labels against those of a query's rows, which are read by a
 * cursor, with the rights of the caller. */
#include "pg_nlp.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

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

static bool add_rows(void *evaluation) {
    nlp_text texts[NLP_PG_BATCH], labels[NLP_PG_BATCH];
    nlp_error err;
    nlp_stop stop = nlp_pg_stop();
    size_t n = SPI_processed;
    for (size_t i = 0; i < n; i++) {
        texts[i] = nlp_pg_column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
        labels[i] = nlp_pg_column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
    }
    nlp_pg_check(nlp_evaluation_add(evaluation, texts, labels, n, &stop, &err), &err);
    return true;
}

static bool are_text_and_label(TupleDesc columns, void *context) {
    (void)context;
    return columns->natts == 2 && nlp_pg_are_texts(columns, 1, 2);
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
    nlp_pg_read_query(query, &(nlp_pg_reader){"two text columns, text and label",
                                              are_text_and_label, add_rows, e});
    nlp_pg_check(nlp_evaluation_finish(e, &metrics, &n, &err), &err);
    nlp_pg_put_metrics(set, metrics, n);
    return (Datum)0;
}
