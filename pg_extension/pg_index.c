/* pg_index.c: what there is of an index of meanings, the pieces of SQL that speak of its keys and texts, and the verbs that make
 * and drop one. */
#include "pg_index.h"

#include <math.h>

#include "nlp_search.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

enum { ROOM_AROUND = 8 }; /* for special tokens and a prompt */

/* ---- Rights ---- */

void nlp_pg_set_for_now(const char *setting, const char *value) {
    set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

Oid nlp_pg_extension_owner(void) {
    HeapTuple tuple =
        SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(get_namespace_oid("nlp_index", false)));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "schema nlp_index is gone");
    Oid owner = ((Form_pg_namespace)GETSTRUCT(tuple))->nspowner;
    ReleaseSysCache(tuple);
    return owner;
}

nlp_pg_rights nlp_pg_become(Oid user) {
    nlp_pg_rights before;
    GetUserIdAndSecContext(&before.user, &before.context);
    before.level = NewGUCNestLevel();
    SetUserIdAndSecContext(user, before.context | SECURITY_LOCAL_USERID_CHANGE |
                                     SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
    nlp_pg_set_for_now("search_path", "pg_catalog, pg_temp");
    nlp_pg_set_for_now("default_tablespace", "");
    nlp_pg_set_for_now("default_table_access_method", "heap");
    return before;
}

void nlp_pg_give_back(nlp_pg_rights before) {
    AtEOXact_GUC(false, before.level);
    SetUserIdAndSecContext(before.user, before.context);
}

static Oid owner_of(Oid relation) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    if (!HeapTupleIsValid(tuple)) return InvalidOid;
    Oid owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

void nlp_pg_index_check_owner(Oid relation) {
    Oid owner = owner_of(relation);
    if (!OidIsValid(owner))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("there is no such table")));
    if (!has_privs_of_role(GetUserId(), owner))
        ereport(
            ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
             errmsg("%s belongs to user \"%s\"", get_rel_name(relation),
                    GetUserNameFromId(owner, false)),
             errhint("an index of meanings is made, refreshed and dropped by the table's owner")));
}

/* ---- Statements ---- */

uint64 nlp_pg_execute(const char *sql, int n, const Oid *types, const Datum *values,
                      bool read_only) {
    int rc = SPI_execute_with_args(sql, n, (Oid *)types, (Datum *)values, NULL, read_only, 0);
    if (rc < 0) elog(ERROR, "%s: %s", SPI_result_code_string(rc), sql);
    return SPI_processed;
}

void nlp_pg_name_rows(const char *name, Tuplestorestate *rows, TupleDesc desc, double n) {
    EphemeralNamedRelation relation = palloc0(sizeof *relation);
    relation->md.name = pstrdup(name);
    relation->md.tupdesc = desc;
    relation->md.enrtype = ENR_NAMED_TUPLESTORE;
    relation->md.enrtuples = n;
    relation->reldata = rows;
    if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
        elog(ERROR, "rows \"%s\" could not be named", name);
}

/* ---- The catalogue ---- */

static int names_of(Datum array, char **names) {
    Datum *elements;
    int n;
    deconstruct_array(DatumGetArrayTypeP(array), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
                      &elements, NULL, &n);
    for (int i = 0; i < n && i < NLP_PG_INDEX_COLUMNS; i++)
        names[i] = pstrdup(NameStr(*DatumGetName(elements[i])));
    return Min(n, NLP_PG_INDEX_COLUMNS);
}

static char *table_of(const char *name, const char *suffix) {
    return psprintf("nlp_index.%s", quote_identifier(psprintf("%s%s", name, suffix)));
}

/* The index's own key has the type that the table's had; another one by now would be read as what it is not. */
static void check_key(const nlp_pg_index *index, int i, Oid chunks) {
    Oid type = get_atttype(chunks, get_attnum(chunks, psprintf("k%d", i + 1)));
    if (type != index->key_types[i])
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("key \"%s\" of %s is not of the type that its index has",
                               index->keys[i], index->source),
                        errhint("SELECT nlp_index_drop('%s'), and make it again", index->source)));
}

static void find_keys(nlp_pg_index *index) {
    Oid chunks = get_relname_relid(psprintf("%s_chunks", index->name),
                                   get_namespace_oid("nlp_index", false));
    for (int i = 0; i < index->n_keys; i++) {
        Oid type = get_atttype(index->relation, get_attnum(index->relation, index->keys[i]));
        if (!OidIsValid(type) || !OidIsValid(chunks))
            elog(ERROR, "the index on %s is not whole", index->source);
        index->key_types[i] = getBaseType(type);
        check_key(index, i, chunks);
        Oid equals = lookup_type_cache(index->key_types[i], TYPECACHE_EQ_OPR)->eq_opr;
        if (!OidIsValid(equals))
            elog(ERROR, "key \"%s\" of %s cannot be compared", index->keys[i], index->source);
        index->key_equals[i] = psprintf("OPERATOR(pg_catalog.%s)", get_opname(equals));
    }
}

/* Columns in the order of the table. */
static void fill(nlp_pg_index *index, HeapTuple row, TupleDesc desc) {
    enum {
        RELATION = 1,
        NAME,
        COLUMNS,
        KEYS,
        MODEL,
        DIGEST,
        DIMS,
        MAX_TOKENS,
        OVERLAP,
        CONFIG,
        MODE,
        STORAGE,
        RECALL
    };
    bool is_null;
#define CELL(column) SPI_getbinval(row, desc, column, &is_null)
    index->relation = DatumGetObjectId(CELL(RELATION));
    index->name = SPI_getvalue(row, desc, NAME);
    index->n_columns = names_of(CELL(COLUMNS), index->columns);
    index->n_keys = names_of(CELL(KEYS), index->keys);
    index->model = SPI_getvalue(row, desc, MODEL);
    index->digest = SPI_getvalue(row, desc, DIGEST);
    index->dims = DatumGetInt32(CELL(DIMS));
    index->max_tokens = DatumGetInt32(CELL(MAX_TOKENS));
    index->overlap = DatumGetInt32(CELL(OVERLAP));
    index->config = SPI_getvalue(row, desc, CONFIG);
    index->is_async = !strcmp(SPI_getvalue(row, desc, MODE), "async");
    index->is_pgvector = !strcmp(SPI_getvalue(row, desc, STORAGE), "pgvector");
    Datum recall = CELL(RECALL);
    index->recall = is_null ? (double)NAN : (double)DatumGetFloat4(recall);
#undef CELL
}

/* Of NAME_vectors, if it is there with its column: a dump may come back without pgvector, which may also be dropped. */
static void find_vectors(nlp_pg_index *index) {
    char *name = psprintf("%s_vectors", index->name);
    Oid vectors = get_relname_relid(name, get_namespace_oid("nlp_index", false));
    AttrNumber column = OidIsValid(vectors) ? get_attnum(vectors, "emb") : InvalidAttrNumber;
    if (column == InvalidAttrNumber) return;
    index->vector_type_oid = get_atttype(vectors, column);
    HeapTuple type = SearchSysCache1(TYPEOID, ObjectIdGetDatum(index->vector_type_oid));
    if (!HeapTupleIsValid(type)) return;
    const char *schema = get_namespace_name(((Form_pg_type)GETSTRUCT(type))->typnamespace);
    ReleaseSysCache(type);
    index->vectors = table_of(index->name, "_vectors");
    index->vector_type = format_type_be_qualified(index->vector_type_oid);
    index->vector_distance = psprintf("OPERATOR(%s.<=>)", quote_identifier(schema));
}

void nlp_pg_index_check_vectors(const nlp_pg_index *index) {
    if (!index->is_pgvector || index->vectors) return;
    ereport(
        ERROR,
        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
         errmsg(
             "the index on %s has storage \"pgvector\", and its vectors are gone with the extension vector",
             index->source),
         errhint(
             "SELECT nlp_index_rebuild('%s', storage => 'builtin'), or CREATE EXTENSION vector and SELECT nlp_index_rebuild('%s')",
             index->source, index->source)));
}

static void complete(nlp_pg_index *index) {
    index->owner = owner_of(index->relation);
    index->source = quote_qualified_identifier(
        get_namespace_name(get_rel_namespace(index->relation)), get_rel_name(index->relation));
    index->chunks = table_of(index->name, "_chunks");
    index->signatures = table_of(index->name, "_signatures");
    index->terms = table_of(index->name, "_terms");
    index->queue = table_of(index->name, "_queue");
    index->signatures_oid = get_relname_relid(psprintf("%s_signatures", index->name),
                                              get_namespace_oid("nlp_index", false));
    find_keys(index);
    if (index->is_pgvector) find_vectors(index);
}

/* Not read-only: what this very statement has changed in it counts. */
nlp_pg_index *nlp_pg_index_find(Oid relation) {
    Oid type = REGCLASSOID;
    Datum wanted = ObjectIdGetDatum(relation);
    MemoryContext caller = CurrentMemoryContext;
    nlp_pg_index *index = NULL;
    SPI_connect();
    if (nlp_pg_execute("SELECT * FROM _nlp.read_index($1)", 1, &type, &wanted, false)) {
        MemoryContext spi = MemoryContextSwitchTo(caller);
        index = palloc0(sizeof *index);
        fill(index, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
        if (get_rel_name(index->relation))
            complete(index); /* of this very snapshot; it may be gone by now */
        else
            index = NULL;
        MemoryContextSwitchTo(spi);
    }
    SPI_finish();
    return index;
}

nlp_pg_index *nlp_pg_index_of(Oid relation) {
    nlp_pg_index *index = nlp_pg_index_find(relation);
    char *name = get_rel_name(relation);
    if (!name) ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("there is no such table")));
    if (!index)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("table \"%s\" has no index of meanings", name),
                        errhint("SELECT nlp_index_create('%s', 'COLUMN') makes one", name)));
    return index;
}

nlp_pg_index *nlp_pg_index_open_own(Oid relation) {
    nlp_pg_index *index = nlp_pg_index_of(relation);
    nlp_pg_index_check_owner(index->relation);
    return index;
}

nlp_model *nlp_pg_index_model_of(const nlp_pg_index *index, MemoryContext context) {
    nlp_model_info info = {.struct_size = sizeof info};
    nlp_model *model = nlp_pg_model(index->model, context);
    nlp_model_get_info(model, &info);
    if (!nlp_pg_equal_bits())
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("an index of meanings takes no nlp.backend whose bits differ")));
    if (strcmp(info.digest, index->digest))
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("the index on %s was made with model %s of digest %s, which is %s now",
                        index->source, index->model, index->digest, info.digest),
                 errhint("bring back %s@%.16s, or SELECT nlp_index_rebuild('%s')", index->model,
                         index->digest, index->source)));
    return model;
}

/* ---- Pieces of SQL ---- */

static void separate(StringInfo sql, int i, const char *separator) {
    if (i) appendStringInfoString(sql, separator);
}

char *nlp_pg_index_key_columns(const nlp_pg_index *index, const char *prefix) {
    StringInfoData sql;
    initStringInfo(&sql);
    for (int i = 0; i < index->n_keys; i++) {
        separate(&sql, i, ", ");
        appendStringInfo(&sql, "%s%s::%s AS k%d", prefix, quote_identifier(index->keys[i]),
                         format_type_be_qualified(index->key_types[i]), i + 1);
    }
    return sql.data;
}

char *nlp_pg_index_key_numbers(const nlp_pg_index *index, const char *prefix) {
    StringInfoData sql;
    initStringInfo(&sql);
    for (int i = 0; i < index->n_keys; i++) {
        separate(&sql, i, ", ");
        appendStringInfo(&sql, "%sk%d", prefix, i + 1);
    }
    return sql.data;
}

char *nlp_pg_index_same_key(const nlp_pg_index *index, const char *a, const char *b) {
    StringInfoData sql;
    initStringInfo(&sql);
    for (int i = 0; i < index->n_keys; i++) {
        separate(&sql, i, " AND ");
        appendStringInfo(&sql, "%sk%d %s %sk%d", a, i + 1, index->key_equals[i], b, i + 1);
    }
    return sql.data;
}

char *nlp_pg_index_given_key(const nlp_pg_index *index, const char *prefix) {
    StringInfoData sql;
    initStringInfo(&sql);
    for (int i = 0; i < index->n_keys; i++) {
        separate(&sql, i, " AND ");
        appendStringInfo(&sql, "%sk%d %s $%d", prefix, i + 1, index->key_equals[i], i + 1);
    }
    return sql.data;
}

char *nlp_pg_index_text(const nlp_pg_index *index, const char *prefix) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfoString(&sql, "pg_catalog.concat_ws(' '");
    for (int i = 0; i < index->n_columns; i++)
        appendStringInfo(&sql, ", %s%s::pg_catalog.text", prefix,
                         quote_identifier(index->columns[i]));
    appendStringInfoChar(&sql, ')');
    return sql.data;
}

/* ---- Words ---- */

/* Of ASCII; other letters are bytes above it. */
static bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (uint8_t)c >= 0x80;
}

Datum nlp_pg_index_words(nlp_text text) {
    char *words = palloc(Max(text.n_bytes, 1));
    for (size_t i = 0; i < text.n_bytes; i++)
        words[i] = is_letter_or_digit(text.bytes[i]) ? text.bytes[i] : ' ';
    Datum datum = nlp_pg_text_datum(words, text.n_bytes);
    pfree(words);
    return datum;
}

Datum nlp_pg_index_names(nlp_text text) {
    char name[1 + NLP_NAME_BYTES] = {NLP_PG_NAME_SIGN};
    ArrayBuildState *names = initArrayResult(TEXTOID, CurrentMemoryContext, false);
    for (size_t at = 0, n; (n = nlp_next_name(text, &at, name + 1));)
        accumArrayResult(names, nlp_pg_text_datum(name, n + 1), false, TEXTOID,
                         CurrentMemoryContext);
    return makeArrayResult(names, CurrentMemoryContext);
}

/* ---- Making and dropping ---- */

PG_FUNCTION_INFO_V1(nlp_pg_index_model);
/* _nlp.index_model(model) -> digest, dims of its vectors, room for a chunk's own tokens */
Datum nlp_pg_index_model(PG_FUNCTION_ARGS) {
    nlp_model_info info = {.struct_size = sizeof info};
    TupleDesc desc;
    bool nulls[3] = {false, false, false};
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    nlp_model_get_info(nlp_pg_model(name, CurrentMemoryContext), &info);
    if (!strstr(info.tasks, "embed") || !info.dims)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("model \"%s\" gives no vectors of texts", name)));
    int room = (int)info.max_tokens > 2 * ROOM_AROUND ? (int)info.max_tokens - ROOM_AROUND
                                                      : (int)info.max_tokens;
    Datum values[3] = {CStringGetTextDatum(info.digest), Int32GetDatum((int)info.dims),
                       Int32GetDatum(room)};
    get_call_result_type(fcinfo, NULL, &desc);
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* The call `_nlp.<verb>($1, ...)` of all arguments as they are. */
static char *namesake(FunctionCallInfo fcinfo, Oid *types, Datum *values, char *nulls) {
    StringInfoData sql;
    int n = PG_NARGS();
    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT _nlp.%s(",
                     get_func_name(fcinfo->flinfo->fn_oid) + strlen("nlp_"));
    for (int i = 0; i < n; i++) {
        separate(&sql, i, ", ");
        appendStringInfo(&sql, "$%d", i + 1);
        types[i] = get_fn_expr_argtype(fcinfo->flinfo, i);
        values[i] = PG_ARGISNULL(i) ? (Datum)0 : PG_GETARG_DATUM(i);
        nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
    }
    appendStringInfoChar(&sql, ')');
    return sql.data;
}

PG_FUNCTION_INFO_V1(nlp_pg_index_verb);
/* nlp_index_create, nlp_index_drop: the namesake in _nlp with the rights of the extension's owner, for a caller who owns the
 * table. */
Datum nlp_pg_index_verb(PG_FUNCTION_ARGS) {
    Oid types[FUNC_MAX_ARGS];
    Datum values[FUNC_MAX_ARGS];
    char nulls[FUNC_MAX_ARGS + 1] = "";
    bool is_null;
    if (PG_ARGISNULL(0)) PG_RETURN_NULL();
    nlp_pg_index_check_owner(PG_GETARG_OID(0));
    char *sql = namesake(fcinfo, types, values, nulls);
    SPI_connect();
    nlp_pg_rights before = nlp_pg_become(nlp_pg_extension_owner());
    if (SPI_execute_with_args(sql, PG_NARGS(), types, values, nulls, false, 0) != SPI_OK_SELECT)
        elog(ERROR, "%s failed", sql);
    Datum result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    nlp_pg_give_back(before);
    SPI_finish();
    if (is_null) PG_RETURN_NULL();
    return result; /* a number or a boolean, by value */
}

PG_FUNCTION_INFO_V1(nlp_pg_index_rows);
/* Of a table, as its owner sees it: another user's look runs nothing of the owner's. */
Datum nlp_pg_index_rows(PG_FUNCTION_ARGS) {
    nlp_pg_index *index = nlp_pg_index_of(PG_GETARG_OID(0));
    bool is_null;
    nlp_pg_index_check_owner(index->relation);
    SPI_connect();
    nlp_pg_rights before = nlp_pg_become(index->owner);
    nlp_pg_execute(psprintf("SELECT count(*) FROM %s", index->source), 0, NULL, NULL, true);
    int64 n =
        DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
    nlp_pg_give_back(before);
    SPI_finish();
    PG_RETURN_INT64(n);
}
