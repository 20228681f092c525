/* pg_fit.c: heads made in SQL: nlp_fit trains one on the rows of a query and leaves it in
 * _nlp.packs, in the caller's transaction. Rights on the table are the install script's business:
 * these functions are revoked from PUBLIC. */
#include "pg_nlp.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

typedef struct corpus {
    nlp_text *texts, *labels;
    size_t n;
} corpus;

/* Rows of the query, texts in the caller's context. */
static corpus read_corpus(const char *query) {
    corpus c = {0};
    MemoryContext caller = CurrentMemoryContext;
    SPI_connect();
    if (SPI_execute(query, true, 0) != SPI_OK_SELECT || SPI_tuptable->tupdesc->natts != 2 ||
        SPI_gettypeid(SPI_tuptable->tupdesc, 1) != TEXTOID ||
        SPI_gettypeid(SPI_tuptable->tupdesc, 2) != TEXTOID)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the query must be a SELECT of two text columns, text and label")));
    MemoryContext spi = MemoryContextSwitchTo(caller);
    c.n = SPI_processed;
    c.texts = MemoryContextAllocHuge(caller, Max(c.n, 1) * sizeof *c.texts);
    c.labels = MemoryContextAllocHuge(caller, Max(c.n, 1) * sizeof *c.labels);
    for (size_t i = 0; i < c.n; i++) {
        nlp_text *at[2] = {&c.texts[i], &c.labels[i]};
        for (int column = 0; column < 2; column++) {
            nlp_text t = nlp_pg_column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column + 1);
            char *copy = t.bytes ? palloc(t.n_bytes + 1) : NULL;
            if (copy) memcpy(copy, t.bytes, t.n_bytes);
            *at[column] = (nlp_text){copy, t.n_bytes};
        }
    }
    MemoryContextSwitchTo(spi);
    SPI_finish();
    return c;
}

void nlp_pg_check_name(const char *name) {
    nlp_model *model;
    nlp_error err;
    nlp_stop stop = nlp_pg_stop();
    if (nlp_model_open(nlp_pg_engine(), name, &stop, &model, &err) != NLP_OK) return;
    nlp_model_close(model);
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("a model \"%s\" lies in the model path", name),
                    errhint("choose another name")));
}

/* Opened once before it is stored: a row of _nlp.packs always is a pack that opens. */
void nlp_pg_store_pack(const char *name, const void *pack, size_t n) {
    nlp_model_info info = {.struct_size = sizeof info};
    nlp_model *model;
    nlp_error err;
    nlp_stop stop = nlp_pg_stop();
    bytea *bytes = palloc(n + VARHDRSZ);
    SET_VARSIZE(bytes, n + VARHDRSZ);
    memcpy(VARDATA(bytes), pack, n);
    nlp_pg_check(
        nlp_model_open_bytes(nlp_pg_engine(), name, VARDATA(bytes), n, &stop, &model, &err), &err);
    nlp_model_get_info(model, &info);
    nlp_model_close(model);
    if (!*info.base_digest)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("only task packs live in a database"),
                        errhint("a base belongs into a folder of nlp.model_path")));
    Oid types[4] = {TEXTOID, TEXTOID, TEXTOID, BYTEAOID};
    Datum values[4] = {CStringGetTextDatum(name), CStringGetTextDatum(info.digest),
                       CStringGetTextDatum(info.base_digest), PointerGetDatum(bytes)};
    SPI_connect();
    SPI_execute_with_args(
        "INSERT INTO _nlp.packs (name, digest, base_digest, bytes, created, by) VALUES ($1, $2, $3, $4, "
        "pg_catalog.now(), pg_catalog.current_user()) ON CONFLICT (name) DO UPDATE SET digest = "
        "EXCLUDED.digest, base_digest = EXCLUDED.base_digest, bytes = EXCLUDED.bytes, created = "
        "EXCLUDED.created, by = EXCLUDED.by",
        4, types, values, NULL, false, 0);
    SPI_finish();
}

static size_t fit_options(FunctionCallInfo fcinfo, int at, nlp_option *options) {
    return PG_NARGS() > at ? nlp_pg_options(PG_GETARG_JSONB_P(at), options, NLP_PG_MAX_OPTIONS) : 0;
}

PG_FUNCTION_INFO_V1(nlp_pg_fit);
/* Training first, storing last: an error leaves nothing behind. */
Datum nlp_pg_fit(PG_FUNCTION_ARGS) {
    nlp_option options[NLP_PG_MAX_OPTIONS];
    nlp_fit_result result;
    nlp_error err;
    ReturnSetInfo *set = (ReturnSetInfo *)fcinfo->resultinfo;
    InitMaterializedSRF(fcinfo, 0);
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0)),
         *query = text_to_cstring(PG_GETARG_TEXT_PP(1));
    char *base = text_to_cstring(PG_GETARG_TEXT_PP(2));
    size_t n_options = fit_options(fcinfo, 3, options);
    nlp_pg_check_name(name);
    corpus c = read_corpus(query);
    nlp_model *model = nlp_pg_model(base, CurrentMemoryContext);
    nlp_stop stop = nlp_pg_stop();
    nlp_pg_check(nlp_fit(nlp_pg_session(), model, name, c.texts, c.labels, c.n, options, n_options,
                         &stop, &result, &err),
                 &err);
    nlp_pg_put_metrics(set, result.metrics, result.n_metrics);
    nlp_pg_store_pack(name, result.pack, result.pack_bytes);
    return (Datum)0;
}

PG_FUNCTION_INFO_V1(nlp_pg_pack_put);
Datum nlp_pg_pack_put(PG_FUNCTION_ARGS) {
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    bytea *bytes = PG_GETARG_BYTEA_PP(1);
    nlp_pg_check_name(name);
    nlp_pg_store_pack(name, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
    PG_RETURN_VOID();
}
