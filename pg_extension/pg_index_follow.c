/* pg_index_follow.c: an index of meanings follows its table: by triggers behind each statement, and by its owner's refresh and
 * rebuild. */
#include "pg_search.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

/* ---- Triggers ---- */

/* Of the table, or of a partition. */
static void follow_truncate(const nlp_pg_index *index, Oid truncated) {
    if (truncated == index->relation)
        nlp_pg_index_forget_all(index);
    else
        nlp_pg_index_forget_gone(index);
}

static void follow(const nlp_pg_index *index, TriggerEvent event) {
    char *was = TRIGGER_FIRED_BY_INSERT(event) ? NULL : nlp_pg_index_keys_from(index, "nlp_old");
    char *is = TRIGGER_FIRED_BY_DELETE(event) ? NULL : nlp_pg_index_keys_from(index, "nlp_new");
    char *keys = was && is ? psprintf("(SELECT * FROM %s o UNION SELECT * FROM %s n)", was, is)
                 : was     ? was
                           : is;
    if (!index->is_async) {
        nlp_pg_index_write_keys(index, keys);
        return;
    }
    nlp_pg_index_queue_keys(index, keys);
    nlp_pg_index_want_worker();
}

PG_FUNCTION_INFO_V1(nlp_pg_index_changed);
/* AFTER ... FOR EACH STATEMENT, with transition tables nlp_old and nlp_new. */
Datum nlp_pg_index_changed(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("index_changed is called by triggers")));
    TriggerData *trigger = (TriggerData *)fcinfo->context;
    if (!TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("index_changed is called behind statements")));
    nlp_pg_index *index = nlp_pg_index_find(RelationGetRelid(trigger->tg_relation));
    if (!index)
        return PointerGetDatum(
            NULL); /* it was dropped, and a copy of the table kept its triggers */
    SPI_connect();
    if (SPI_register_trigger_data(trigger) < 0) elog(ERROR, "no transition tables");
    nlp_pg_rights before = nlp_pg_become(index->owner);
    if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
        follow_truncate(index, RelationGetRelid(trigger->tg_relation));
    else
        follow(index, trigger->tg_event);
    nlp_pg_give_back(before);
    SPI_finish();
    return PointerGetDatum(NULL);
}

/* ---- Statistics ---- */

/* Never in a user's transaction. Who finds another one at it leaves it to them. */
static void count_terms(const nlp_pg_index *index) {
    if (nlp_pg_index_try_lock(index->relation, NLP_PG_LOCK_STATISTICS))
        nlp_pg_execute(
            psprintf("SELECT _nlp.index_statistics(%s)", quote_literal_cstr(index->name)), 0, NULL,
            NULL, false);
}

/* ---- Refresh and rebuild: for the owner ---- */

/* Below so many all vectors are compared anyway. */
static bool is_measured(const nlp_pg_index *index) {
    return nlp_pg_execute(psprintf("SELECT 1 FROM %s WHERE term = '' AND df > 10000", index->terms),
                          0, NULL, NULL, false) > 0;
}

/* Under a snapshot that sees what this statement has written. */
static double measure(const nlp_pg_index *index) {
    CommandCounterIncrement();
    PushActiveSnapshot(GetTransactionSnapshot());
    double recall = nlp_pg_index_recall(index);
    PopActiveSnapshot();
    return recall;
}

static void set_recall(const nlp_pg_index *index) {
    Oid types[2] = {OIDOID, FLOAT4OID};
    if (!is_measured(index)) return;
    Datum values[2] = {ObjectIdGetDatum(index->relation), Float4GetDatum((float4)measure(index))};
    nlp_pg_rights before = nlp_pg_become(nlp_pg_extension_owner());
    nlp_pg_execute("UPDATE _nlp.indexes SET recall = $2 WHERE relation = $1", 2, types, values,
                   false);
    nlp_pg_give_back(before);
}

/* Nobody writes meanwhile: a row that changed under it would be written twice. */
static uint64 refresh(const nlp_pg_index *index) {
    nlp_pg_execute(psprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", index->source), 0, NULL,
                   NULL, false);
    if (index->is_async)
        nlp_pg_execute(psprintf("DELETE FROM %s", index->queue), 0, NULL, NULL, false);
    uint64 n = nlp_pg_index_write_all(index);
    count_terms(index);
    set_recall(index);
    return n;
}

PG_FUNCTION_INFO_V1(nlp_pg_index_refresh);
Datum nlp_pg_index_refresh(PG_FUNCTION_ARGS) {
    nlp_pg_index *index = nlp_pg_index_open_own(PG_GETARG_OID(0));
    SPI_connect();
    nlp_pg_rights before = nlp_pg_become(index->owner);
    uint64 n = refresh(index);
    nlp_pg_give_back(before);
    SPI_finish();
    PG_RETURN_INT64((int64)n);
}

static void set_model(Oid relation, const char *model) {
    Oid types[2] = {OIDOID, TEXTOID};
    Datum values[2] = {ObjectIdGetDatum(relation), CStringGetTextDatum(model)};
    nlp_pg_rights before = nlp_pg_become(nlp_pg_extension_owner());
    nlp_pg_execute(
        "UPDATE _nlp.indexes i SET model = $2, digest = d.digest, dims = d.dims, recall = NULL "
        "FROM _nlp.index_model($2) d WHERE i.relation = $1",
        2, types, values, false);
    nlp_pg_give_back(before);
}

/* As the extension's owner: a statement over (relation, storage). */
static void for_storage(Oid relation, const char *sql, const char *storage) {
    Oid types[2] = {OIDOID, TEXTOID};
    Datum values[2] = {ObjectIdGetDatum(relation), CStringGetTextDatum(storage)};
    nlp_pg_rights before = nlp_pg_become(nlp_pg_extension_owner());
    nlp_pg_execute(sql, 2, types, values, false);
    nlp_pg_give_back(before);
}

static const char set_storage[] =
    "SELECT _nlp.index_set_storage($1::regclass, _nlp.index_storage($2, dims)) FROM _nlp.indexes WHERE relation = $1";
static const char check_storage[] =
    "SELECT _nlp.index_storage($2, dims) FROM _nlp.indexes WHERE relation = $1";

/* The graph is made last, of all vectors at once. */
static uint64 rebuild(const nlp_pg_index *index, const char *model, const char *storage) {
    nlp_pg_execute(psprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", index->source), 0, NULL,
                   NULL, false);
    nlp_pg_index_forget_all(index);
    set_model(index->relation, model);
    for_storage(index->relation, check_storage, storage);
    for_storage(index->relation, set_storage, "builtin");
    uint64 n = refresh(nlp_pg_index_of(index->relation));
    for_storage(index->relation, set_storage, storage);
    return n;
}

PG_FUNCTION_INFO_V1(nlp_pg_index_rebuild);
/* (relation, model, storage), NULL for those that it has */
Datum nlp_pg_index_rebuild(PG_FUNCTION_ARGS) {
    if (PG_ARGISNULL(0)) PG_RETURN_NULL();
    nlp_pg_index *index = nlp_pg_index_open_own(PG_GETARG_OID(0));
    SPI_connect();
    nlp_pg_rights before = nlp_pg_become(index->owner);
    const char *storage = index->is_pgvector ? "pgvector" : "builtin";
    uint64 n =
        rebuild(index, PG_ARGISNULL(1) ? index->model : text_to_cstring(PG_GETARG_TEXT_PP(1)),
                PG_ARGISNULL(2) ? storage : text_to_cstring(PG_GETARG_TEXT_PP(2)));
    nlp_pg_give_back(before);
    SPI_finish();
    PG_RETURN_INT64((int64)n);
}
