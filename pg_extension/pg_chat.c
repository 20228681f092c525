/* pg_chat.c: conversations that are kept: nlp_chat_create, nlp_chat_send, nlp_chat_history. Each
 * role has one ordinary table in the schema nlp_chats, named like the role and owned by it; all
 * reading and writing is done with the caller's own rights. Only making the table is not, see
 * create_table. The owner may alter it, so what is read is cast to the types that are expected. */
#include "pg_site.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

static const char schema_name[] = "nlp_chats";

/* ---- The caller's table ---- */

static Oid owner_of_schema(void) {
    HeapTuple tuple =
        SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(get_namespace_oid(schema_name, false)));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "schema %s is gone", schema_name);
    Oid owner = ((Form_pg_namespace)GETSTRUCT(tuple))->nspowner;
    ReleaseSysCache(tuple);
    return owner;
}

/* InvalidOid where there is no table of that name. */
static Oid owner_of_table(const char *name) {
    Oid table = get_relname_relid(name, get_namespace_oid(schema_name, false));
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
    if (!HeapTupleIsValid(tuple)) return InvalidOid;
    Oid owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

/* The caller's table as it stands in SQL, NULL where it has none yet. One of another owner is not
 * the caller's, whatever its name. */
static char *find_table(void) {
    char *name = GetUserNameFromId(GetUserId(), false);
    Oid owner = owner_of_table(name);
    if (!OidIsValid(owner)) return NULL;
    if (owner != GetUserId())
        ereport(
            ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("%s belongs to user \"%s\", not to user \"%s\"",
                    quote_qualified_identifier(schema_name, name), GetUserNameFromId(owner, false),
                    name),
             errhint(
                 "a superuser can rename it, or give a table back by ALTER TABLE ... OWNER TO")));
    return quote_qualified_identifier(schema_name, name);
}

/* Not the user's to choose, since it runs with the rights of another. */
static void set_for_now(const char *setting, const char *value) {
    set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static void execute_utility(const char *sql) {
    int rc = SPI_execute(sql, false, 0);
    if (rc != SPI_OK_UTILITY)
        elog(ERROR, "making a table of chats: %s", SPI_result_code_string(rc));
}

/* Ordinary roles can't create in the schema, so for this DDL alone its owner does. Every name in it
 * is given whole, and no setting of the caller's says where it is made. An abort switches back. */
static void create_table(const char *table, const char *role) {
    Oid user, owner = owner_of_schema();
    int context, level = NewGUCNestLevel();
    GetUserIdAndSecContext(&user, &context);
    SetUserIdAndSecContext(owner,
                           context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
    set_for_now("search_path", "pg_catalog, pg_temp");
    set_for_now("default_tablespace", "");
    execute_utility(
        psprintf("CREATE TABLE %s (session pg_catalog.uuid, seq pg_catalog.int4, "
                 "role pg_catalog.text NOT NULL, content pg_catalog.text, model pg_catalog.text, "
                 "at pg_catalog.timestamptz NOT NULL, PRIMARY KEY (session, seq))",
                 table));
    execute_utility(psprintf("ALTER TABLE %s OWNER TO %s", table, quote_identifier(role)));
    AtEOXact_GUC(false, level);
    SetUserIdAndSecContext(user, context);
}

/* In an SPI connection. Of two first calls at once the second waits here, on the role, and finds
 * the table of the first. */
static char *need_table(void) {
    char *table = find_table();
    if (table) return table;
    LockSharedObject(AuthIdRelationId, GetUserId(), 0, ShareUpdateExclusiveLock);
    if ((table = find_table())) return table;
    char *role = GetUserNameFromId(GetUserId(), false);
    create_table(quote_qualified_identifier(schema_name, role), role);
    return find_table();
}

/* The same words for one that never was and one of another user: nothing is told of others. */
static _Noreturn void unknown_session(Datum session) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_OBJECT),
             errmsg("there is no chat session %s of user \"%s\"",
                    DatumGetCString(DirectFunctionCall1(uuid_out, session)),
                    GetUserNameFromId(GetUserId(), false)),
             errhint("sessions belong to the user who began them; nlp_chat_create() begins one")));
    pg_unreachable();
}

static char *table_of(Datum session) {
    char *table = find_table();
    if (!table) unknown_session(session);
    return table;
}

/* ---- nlp_chat_create ---- */

/* A model that is missing, or that holds no chats, is found before anything is stored. */
static void check_model(const char *name) {
    nlp_model_info info = {.struct_size = sizeof info};
    nlp_model_get_info(nlp_pg_model(name, CurrentMemoryContext), &info);
    if (!strstr(info.tasks, "chat"))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("model %s has no format of chats", name),
                        errhint("import it again with --chat-template NAME")));
}

PG_FUNCTION_INFO_V1(nlp_pg_chat_create);
/* The default model is resolved now: a conversation stays with the model that it began with. */
Datum nlp_pg_chat_create(PG_FUNCTION_ARGS) {
    const nlp_task_spec *task = nlp_task_find(nlp_pg_engine(), "chat");
    char *model = PG_ARGISNULL(1) ? nlp_pg_default_model(task, NULL, NULL, 0)
                                  : text_to_cstring(PG_GETARG_TEXT_PP(1));
    Oid types[2] = {TEXTOID, TEXTOID};
    Datum values[2] = {PG_ARGISNULL(0) ? (Datum)0 : PG_GETARG_DATUM(0), CStringGetTextDatum(model)};
    bool is_null;
    check_model(model);
    SPI_connect();
    char *sql = psprintf("INSERT INTO %s (session, seq, role, content, model, at) "
                         "VALUES (pg_catalog.gen_random_uuid(), 0, 'system', $1, $2, "
                         "pg_catalog.clock_timestamp()) RETURNING session::pg_catalog.uuid",
                         need_table());
    int rc = SPI_execute_with_args(sql, 2, types, values, PG_ARGISNULL(0) ? "n " : "  ", false, 0);
    if (rc != SPI_OK_INSERT_RETURNING || SPI_processed != 1)
        elog(ERROR, "a chat session was not stored");
    Datum session = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    if (is_null) elog(ERROR, "a chat session was not stored"); /* a trigger of the owner's */
    session = SPI_datumTransfer(session, false, UUID_LEN);
    SPI_finish();
    return session;
}

/* ---- nlp_chat_send ---- */

enum { MESSAGES, MODEL, LAST_SEQ, SAID_AT, N_COLUMNS };

/* Another send of the same session waits here until our transaction ends. Reading is a statement of
 * its own, since it must see what that one stored. */
static void lock_session(const char *table, Datum session) {
    Oid type = UUIDOID;
    char *sql = psprintf("SELECT 1 FROM %s WHERE session OPERATOR(pg_catalog.=) $1 "
                         "AND seq OPERATOR(pg_catalog.=) 0 FOR UPDATE",
                         table);
    SPI_execute_with_args(sql, 1, &type, &session, NULL, false, 0);
    if (SPI_processed != 1) unknown_session(session);
}

/* The conversation with the new text behind it, as the task takes it; all in the caller's
 * context. */
static void read_turn(const char *table, Datum session, Datum said, Datum *turn) {
    Oid types[2] = {UUIDOID, TEXTOID};
    Datum values[2] = {session, said};
    SPI_connect();
    lock_session(table, session);
    char *sql = psprintf(
        "SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('role', "
        "role::pg_catalog.text, 'content', content::pg_catalog.text) ORDER BY seq) "
        "FILTER (WHERE content IS NOT NULL), '[]'::pg_catalog.jsonb) "
        "OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('role', 'user', 'content', $2), "
        "pg_catalog.max(model::pg_catalog.text), pg_catalog.max(seq::pg_catalog.int4), "
        "pg_catalog.clock_timestamp() "
        "FROM %s WHERE session OPERATOR(pg_catalog.=) $1",
        table);
    SPI_execute_with_args(sql, 2, types, values, NULL, false, 0);
    TupleDesc desc = SPI_tuptable->tupdesc;
    for (int i = 0; i < N_COLUMNS; i++) {
        bool is_null;
        Datum value = SPI_getbinval(SPI_tuptable->vals[0], desc, i + 1, &is_null);
        if (is_null) unknown_session(session); /* the row that begins it has lost its model */
        Form_pg_attribute column = TupleDescAttr(desc, i);
        turn[i] = SPI_datumTransfer(value, column->attbyval, column->attlen);
    }
    SPI_finish();
}

static void store_turn(const char *table, Datum session, Datum said, const Datum *turn,
                       Datum answer) {
    int32 last = DatumGetInt32(turn[LAST_SEQ]);
    Oid types[6] = {UUIDOID, INT4OID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
    Datum values[6] = {session,      Int32GetDatum(last + 1), Int32GetDatum(last + 2), said, answer,
                       turn[SAID_AT]};
    char *sql = psprintf("INSERT INTO %s (session, seq, role, content, at) VALUES "
                         "($1, $2, 'user', $4, $6), "
                         "($1, $3, 'assistant', $5, pg_catalog.clock_timestamp())",
                         table);
    SPI_connect();
    SPI_execute_with_args(sql, 6, types, values, NULL, false, 0);
    SPI_finish();
}

/* What is said is the end of the operand, no option; and the session names the model, so the
 * settings of calls without one have no say. */
static nlp_pg_site *site_of_send(FunctionCallInfo fcinfo) {
    nlp_pg_site *site = nlp_pg_site_of(fcinfo, "chat");
    site->option_keys[1] = NULL;
    site->model_at = 0;
    return site;
}

PG_FUNCTION_INFO_V1(nlp_pg_chat_send);
/* The answer first, storing last: an error, or a NULL that was asked for instead of one (on_error),
 * leaves the conversation as it was. */
Datum nlp_pg_chat_send(PG_FUNCTION_ARGS) {
    nlp_pg_site *site = site_of_send(fcinfo);
    Datum session = PG_GETARG_DATUM(0), said = PG_GETARG_DATUM(1), turn[N_COLUMNS];
    nlp_option options[NLP_PG_SITE_OPTIONS];
    bool is_null;
    size_t n_options = nlp_pg_site_options(fcinfo, site, options);
    char *table = table_of(session);
    read_turn(table, session, said, turn);
    nlp_text messages = nlp_pg_json_text(DatumGetJsonbP(turn[MESSAGES]));
    nlp_model *model = nlp_pg_site_open_model(site, TextDatumGetCString(turn[MODEL]));
    const nlp_result *result = nlp_pg_site_run(site, model, &messages, NULL, 1, options, n_options);
    Datum answer = nlp_pg_datum(result->outputs->cells, &is_null);
    if (is_null) PG_RETURN_NULL();
    store_turn(table, session, said, turn, answer);
    return answer;
}

/* ---- nlp_chat_history ---- */

PG_FUNCTION_INFO_V1(nlp_pg_chat_history);
/* Row 0 is a message only where it has a text. */
Datum nlp_pg_chat_history(PG_FUNCTION_ARGS) {
    ReturnSetInfo *set = (ReturnSetInfo *)fcinfo->resultinfo;
    Oid type = UUIDOID;
    Datum session = PG_GETARG_DATUM(0);
    InitMaterializedSRF(fcinfo, 0);
    char *sql = psprintf(
        "SELECT seq::pg_catalog.int4, role::pg_catalog.text, content::pg_catalog.text, "
        "at::pg_catalog.timestamptz FROM %s WHERE session OPERATOR(pg_catalog.=) $1 ORDER BY seq",
        table_of(session));
    SPI_connect();
    SPI_execute_with_args(sql, 1, &type, &session, NULL, true, 0);
    if (!SPI_processed) unknown_session(session);
    for (uint64 i = 0; i < SPI_processed; i++) {
        Datum values[4];
        bool nulls[4];
        heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
        if (!nulls[2]) tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    }
    SPI_finish();
    return (Datum)0;
}
