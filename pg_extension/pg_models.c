/* pg_models.c: models by name. Those of the model path first, then heads that SQL made (table
 * _nlp.packs). The handle hangs on a memory context, so an abort closes it. */
#include "pg_nlp.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

bool nlp_pg_model_allowed(const char *name);

static void close_model(void *model) {
    nlp_model_close(model);
}

static nlp_model *keep(nlp_model *model, MemoryContextCallback *callback, MemoryContext context) {
    callback->func = close_model;
    callback->arg = model;
    MemoryContextRegisterResetCallback(context, callback);
    return model;
}

/* The bytes of a row of _nlp.packs, in the current context; NULL where there is none or no such
 * table. */
static bytea *stored_pack(const char *name) {
    Datum argument = CStringGetTextDatum(name);
    Oid type = TEXTOID;
    bytea *pack = NULL;
    MemoryContext caller = CurrentMemoryContext;
    Oid schema = get_namespace_oid("_nlp", true);
    if (!OidIsValid(schema) || !OidIsValid(get_relname_relid("packs", schema))) return NULL;
    SPI_connect();
    int rc = SPI_execute_with_args("SELECT _nlp.read_pack($1)", 1, &type, &argument, NULL, true, 1);
    if (rc == SPI_OK_SELECT && SPI_processed == 1) {
        bool is_null;
        Datum bytes = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
        MemoryContext spi = MemoryContextSwitchTo(caller);
        if (!is_null) pack = DatumGetByteaPCopy(bytes);
        MemoryContextSwitchTo(spi);
    }
    SPI_finish();
    return pack;
}

/* Files first: a name made in SQL never shadows one of the model path. */
nlp_model *nlp_pg_model(const char *name, MemoryContext context) {
    nlp_engine *engine = nlp_pg_engine();
    MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof *callback);
    nlp_model *model;
    nlp_error err;
    nlp_stop stop = nlp_pg_stop();
    if (!nlp_pg_model_allowed(name))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("model \"%s\" is not allowed here", name),
                        errhint("a superuser can add it to nlp.allowed_models")));
    nlp_status status = nlp_model_open(engine, name, &stop, &model, &err);
    if (status == NLP_OK) return keep(model, callback, context);
    bytea *pack = status == NLP_ENOMODEL ? stored_pack(name) : NULL;
    if (!pack) nlp_pg_check(status, &err);
    status = nlp_model_open_bytes(engine, name, VARDATA_ANY(pack), VARSIZE_ANY_EXHDR(pack), &stop,
                                  &model, &err);
    nlp_pg_check(status, &err);
    return keep(model, callback, context);
}
