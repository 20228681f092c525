/* pg_distill.c: nlp_distill: a head that answers as a slow model does, on the rows of a query, left in
 * _nlp.packs in the caller's transaction. Revoked from PUBLIC, as nlp_fit. */
#include "pg_nlp.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

static void close_distillation(void *distillation) {
    nlp_distill_close(distillation);
}

/* The model that an option names, else the default one of the task. */
static nlp_model *model_of(const nlp_distill_request *r, const char *key, const char *task_name) {
    char *name = palloc(NLP_MODEL_NAME_BYTES);
    nlp_error err;
    nlp_pg_check(
        nlp_distill_model_name(r->options, r->n_options, key, name, NLP_MODEL_NAME_BYTES, &err),
        &err);
    if (!*name)
        name = nlp_pg_default_model(nlp_task_find(nlp_pg_engine(), task_name), NULL, NULL, 0);
    return nlp_pg_model(name, CurrentMemoryContext);
}

static nlp_distillation *open_distillation(const nlp_distill_request *r) {
    MemoryContextCallback *callback = palloc0(sizeof *callback);
    nlp_distillation *d;
    nlp_error err;
    nlp_pg_check(nlp_distill_open(nlp_pg_engine(), r, &d, &err), &err);
    *callback = (MemoryContextCallback){.func = close_distillation, .arg = d};
    MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
    return d;
}

static bool add_rows(void *distillation) {
    nlp_text texts[NLP_PG_BATCH];
    nlp_error err;
    nlp_stop stop = nlp_pg_stop();
    size_t n = SPI_processed;
    for (size_t i = 0; i < n; i++)
        texts[i] = nlp_pg_column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
    nlp_pg_check(nlp_distill_add(distillation, texts, n, &stop, &err), &err);
    return true;
}

static bool is_text(TupleDesc columns, void *context) {
    (void)context;
    return columns->natts == 1 && nlp_pg_are_texts(columns, 1, 1);
}

PG_FUNCTION_INFO_V1(nlp_pg_distill);
/* What can be wrong with the call is found before the rows are read, and storing comes last. */
Datum nlp_pg_distill(PG_FUNCTION_ARGS) {
    nlp_option options[NLP_PG_MAX_OPTIONS];
    nlp_fit_result result;
    nlp_error err;
    nlp_stop stop = nlp_pg_stop();
    ReturnSetInfo *set = (ReturnSetInfo *)fcinfo->resultinfo;
    InitMaterializedSRF(fcinfo, 0);
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0)),
         *query = text_to_cstring(PG_GETARG_TEXT_PP(1));
    nlp_distill_request r = {.struct_size = sizeof r,
                             .name = name,
                             .labels = nlp_pg_text_list(PG_GETARG_DATUM(2)),
                             .options = options};
    r.n_options = nlp_pg_options(PG_GETARG_JSONB_P(3), options, NLP_PG_MAX_OPTIONS);
    nlp_pg_check_name(name);
    r.teacher = model_of(&r, "teacher", "zero_shot");
    r.base = model_of(&r, "base", "embed");
    nlp_distillation *d = open_distillation(&r);
    nlp_pg_read_query(query, &(nlp_pg_reader){"one text column", is_text, add_rows, d});
    nlp_pg_check(nlp_distill_finish(d, &stop, &result, &err), &err);
    nlp_pg_put_metrics(set, result.metrics, result.n_metrics);
    nlp_pg_store_pack(name, result.pack, result.pack_bytes);
    return (Datum)0;
}
