/* pg_functions.c: one path from a SQL call to a task. Which argument is what follows from the names
 * in pg_proc: operands come first, `model`, `options`; any other name is the key of an option. */
#include "pg_site.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

enum { RECENT_BYTES = 64 * 1024 }; /* of a text whose answer a backend keeps */

/* The operands are known by their place, everything behind them by its name: so every overload,
 * and named arguments in any order, end here. */
static void read_names(nlp_pg_site *site, Oid function) {
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    Oid *types;
    char **names, *modes;
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "function %u is gone", function);
    int n = get_func_arg_info(tuple, &types, &names, &modes);
    site->model_at = site->options_at = -1;
    for (int i = 0; i < n && i < NLP_PG_MAX_ARGUMENTS; i++) {
        if (modes && modes[i] != PROARGMODE_IN) continue;
        site->n_arguments++;
        if (i < (int)site->task->n_operands) continue;
        if (!strcmp(names[i], "model"))
            site->model_at = i;
        else if (!strcmp(names[i], "options"))
            site->options_at = i;
        else
            site->option_keys[i] = names[i], site->option_types[i] = types[i];
    }
    ReleaseSysCache(tuple);
}

nlp_pg_site *nlp_pg_site_open(FunctionCallInfo fcinfo, const char *task, MemoryContext context) {
    MemoryContext old = MemoryContextSwitchTo(context);
    nlp_pg_site *site = palloc0(sizeof *site);
    site->task = nlp_task_find(nlp_pg_engine(), task);
    if (!site->task) elog(ERROR, "there is no task \"%s\"", task);
    site->context = context;
    site->memo.context = AllocSetContextCreate(context, "nlp memo", ALLOCSET_SMALL_SIZES);
    read_names(site, fcinfo->flinfo->fn_oid);
    MemoryContextSwitchTo(old);
    return site;
}

nlp_pg_site nlp_pg_site_plain(const char *task) {
    return (nlp_pg_site){.task = nlp_task_find(nlp_pg_engine(), task),
                         .context = CurrentMemoryContext,
                         .model_at = -1,
                         .options_at = -1};
}

nlp_pg_site *nlp_pg_site_of(FunctionCallInfo fcinfo, const char *task) {
    if (!fcinfo->flinfo->fn_extra)
        fcinfo->flinfo->fn_extra = nlp_pg_site_open(fcinfo, task, fcinfo->flinfo->fn_mcxt);
    return fcinfo->flinfo->fn_extra;
}

/* ---- Arguments ---- */

static nlp_value tunable(Datum datum, Oid type) {
    if (type == INT4OID)
        return (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = DatumGetInt32(datum)};
    if (type == BOOLOID)
        return (nlp_value){.type = NLP_TYPE_BOOLEAN, .as.boolean = DatumGetBool(datum)};
    if (type == FLOAT8OID)
        return (nlp_value){.type = NLP_TYPE_REAL, .as.real = DatumGetFloat8(datum)};
    nlp_text t = nlp_pg_text(datum);
    return (nlp_value){.type = NLP_TYPE_TEXT, .n = (uint32_t)t.n_bytes, .as.text = t.bytes};
}

static bool takes(const nlp_task_spec *task, const char *key) {
    for (uint32_t i = 0; i < task->n_options; i++)
        if (!strcmp(task->options[i].key, key)) return true;
    return false;
}

/* The third form of classify has its options as text, so that a literal finds it. */
static Jsonb *options_argument(FunctionCallInfo fcinfo, const nlp_pg_site *site) {
    Datum datum = PG_GETARG_DATUM(site->options_at);
    if (get_fn_expr_argtype(fcinfo->flinfo, site->options_at) != TEXTOID)
        return DatumGetJsonbP(datum);
    return DatumGetJsonbP(
        DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(datum))));
}

static bool has_key(const nlp_option *options, size_t n, const char *key) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(options[i].key, key)) return true;
    return false;
}

size_t nlp_pg_add_settings(const nlp_task_spec *task, nlp_option *options, size_t n) {
    const char *set = nlp_pg_on_overflow();
    nlp_option overflow = {"on_overflow",
                           {.type = NLP_TYPE_TEXT, .n = (uint32_t)strlen(set), .as.text = set}};
    if (*set && !has_key(options, n, "on_overflow") &&
        nlp_options_check(task, &overflow, 1, NULL) == NLP_OK)
        options[n++] = overflow;
    return n;
}

/* Options, then tunable arguments (whose defaults can't be told from what was given: a key of the
 * options wins), then the setting, which only a call without a model takes:
 * what names its model depends on its arguments alone. */
size_t nlp_pg_site_options(FunctionCallInfo fcinfo, const nlp_pg_site *site, nlp_option *options) {
    size_t n = 0;
    if (site->options_at >= 0)
        n = nlp_pg_options(options_argument(fcinfo, site), options, NLP_PG_MAX_OPTIONS);
    size_t n_given = n;
    for (int i = 0; i < site->n_arguments; i++)
        if (site->option_keys[i] && !PG_ARGISNULL(i) &&
            !has_key(options, n_given, site->option_keys[i]))
            options[n++] = (nlp_option){site->option_keys[i],
                                        tunable(PG_GETARG_DATUM(i), site->option_types[i])};
    return site->model_at < 0 ? nlp_pg_add_settings(site->task, options, n) : n;
}

/* The reference is kept for the statement, so a pack that is replaced meanwhile changes no row
 * of it. */
nlp_model *nlp_pg_site_open_model(nlp_pg_site *site, const char *name) {
    if (site->model && !strcmp(site->model_name, name)) return site->model;
    bool known = site->other && !strcmp(site->other_name, name);
    nlp_model *model = known ? site->other : nlp_pg_model(name, site->context);
    char *kept = known ? site->other_name : MemoryContextStrdup(site->context, name);
    site->other = site->model;
    site->other_name = site->model_name;
    site->model = model;
    site->model_name = kept;
    return model;
}

nlp_model *nlp_pg_site_model(FunctionCallInfo fcinfo, nlp_pg_site *site, const nlp_text *operands,
                             const nlp_option *options, size_t n_options) {
    char *named = site->model_at >= 0 ? text_to_cstring(PG_GETARG_TEXT_PP(site->model_at)) : NULL;
    const char *name =
        named ? named : nlp_pg_default_model(site->task, operands, options, n_options);
    if (named && !nlp_pg_equal_bits())
        ereport(
            ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg(
                 "a backend whose results differ between machines can't serve a form that names its model"),
             errhint("RESET nlp.backend in a new session")));
    return nlp_pg_site_open_model(site, name);
}

bool nlp_pg_site_same_model(const nlp_pg_site *site, const nlp_text *first, const nlp_text *row,
                            const nlp_option *options, size_t n_options) {
    const nlp_task_spec *task = site->task;
    if (site->model_at >= 0 || !task->starter || !first || !row->bytes) return true;
    return !strcmp(nlp_pg_default_model(task, first, options, n_options),
                   nlp_pg_default_model(task, row, options, n_options));
}

/* One WARNING a statement, not one a row. */
static void warn_truncated(nlp_pg_site *site, const nlp_result *result) {
    if (!result->n_truncated || site->warned || !takes(site->task, "on_overflow")) return;
    site->warned = true;
    ereport(WARNING,
            (errmsg("a text was longer than the model takes and was cut"),
             errhint("nlp_would_truncate finds such texts; on_overflow 'chunk' uses all of them")));
}

/* nlp.max_generate_tokens, for tasks that write: over it there is an error, never a shorter answer. */
void nlp_pg_check_tokens(const nlp_task_spec *task, const nlp_option *options, size_t n) {
    int64 wanted = 0;
    if (!takes(task, "temperature")) return;
    for (uint32_t i = 0; i < task->n_options; i++)
        if (!strcmp(task->options[i].key, "max_tokens") && task->options[i].default_value)
            wanted = atoll(task->options[i].default_value);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(options[i].key, "max_tokens") && options[i].value.type == NLP_TYPE_INTEGER)
            wanted = options[i].value.as.integer;
    if (wanted > nlp_pg_max_generate_tokens())
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("max_tokens is %lld, nlp.max_generate_tokens is %d",
                               (long long)wanted, nlp_pg_max_generate_tokens()),
                        errhint("give max_tokens, or have a superuser raise the limit")));
}

/* All calls of tasks go through here; nothing of the core is held when anything is thrown. */
nlp_status nlp_pg_site_try(nlp_pg_site *site, nlp_model *model, const nlp_text *texts,
                           const nlp_value *ids, size_t n, const nlp_option *options,
                           size_t n_options, const nlp_result **result, nlp_error *err) {
    nlp_session *session = nlp_pg_session();
    nlp_pg_check_tokens(site->task, options, n_options);
    nlp_request request = {.struct_size = sizeof request,
                           .task = site->task,
                           .model = model,
                           .texts = texts,
                           .ids = ids,
                           .n_inputs = n,
                           .options = options,
                           .n_options = n_options,
                           .stop = nlp_pg_stop()};
    nlp_status status = nlp_session_run(session, &request, result, err);
    if (status == NLP_OK) warn_truncated(site, *result);
    return status;
}

const nlp_result *nlp_pg_site_run(nlp_pg_site *site, nlp_model *model, const nlp_text *texts,
                                  const nlp_value *ids, size_t n, const nlp_option *options,
                                  size_t n_options) {
    const nlp_result *result;
    nlp_error err;
    nlp_status status =
        nlp_pg_site_try(site, model, texts, ids, n, options, n_options, &result, &err);
    nlp_pg_check(status, &err);
    return result;
}

/* Operands of one call: texts, or ids of an int[]. */
typedef struct operands {
    nlp_text texts[2];
    nlp_value ids;
} operands;

static void read_ids(Datum datum, nlp_value *ids) {
    ArrayType *array = DatumGetArrayTypeP(datum);
    if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("token ids are an array of one dimension without NULLs")));
    int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
    *ids = (nlp_value){
        .type = NLP_TYPE_IDS, .n = (uint32_t)n, .as.ids = (const int32_t *)ARR_DATA_PTR(array)};
}

nlp_text nlp_pg_operand(Datum datum, nlp_type type) {
    if (type == NLP_TYPE_TEXTS) return nlp_pg_text_list(datum);
    if (type == NLP_TYPE_JSON) return nlp_pg_json_text(DatumGetJsonbP(datum));
    return nlp_pg_text(datum);
}

static operands read_operands(FunctionCallInfo fcinfo, const nlp_task_spec *task) {
    operands o = {0};
    for (uint32_t i = 0; i < task->n_operands; i++) {
        if (task->operands[i].type == NLP_TYPE_IDS)
            read_ids(PG_GETARG_DATUM(i), &o.ids);
        else
            o.texts[i] = nlp_pg_operand(PG_GETARG_DATUM(i), task->operands[i].type);
    }
    return o;
}

/* ---- The memo of the last answer ---- */

/* All that a result depends on beside text and model: options, tunable arguments, settings. */
static char *options_key(const nlp_option *options, size_t n) {
    StringInfoData key;
    initStringInfo(&key);
    for (size_t i = 0; i < n; i++) {
        const nlp_value *v = &options[i].value;
        appendStringInfo(&key, "%s:%d=", options[i].key, (int)v->type);
        if (v->type == NLP_TYPE_TEXT || v->type == NLP_TYPE_JSON)
            appendStringInfo(&key, "%u:%.*s;", v->n, (int)v->n, v->as.text);
        else if (v->type == NLP_TYPE_REAL)
            appendStringInfo(&key, "%.17g;", v->as.real);
        else if (v->type == NLP_TYPE_BOOLEAN)
            appendStringInfo(&key, "%d;", v->as.boolean);
        else if (v->type == NLP_TYPE_INTEGER)
            appendStringInfo(&key, INT64_FORMAT ";", v->as.integer);
    }
    return key.data;
}

static bool memo_hit(const nlp_pg_site *site, const nlp_text *text, const char *options,
                     const nlp_model *model) {
    return site->memo.valid && site->model == model && site->memo.n_bytes == text->n_bytes &&
           !memcmp(site->memo.text, text->bytes, text->n_bytes) &&
           !strcmp(site->memo.options, options);
}

/* The memo's own context, emptied each time: a long scan keeps one answer, not all. */
static void memo_keep(nlp_pg_site *site, const nlp_text *text, const char *options,
                      const nlp_value *value) {
    MemoryContextReset(site->memo.context);
    MemoryContext old = MemoryContextSwitchTo(site->memo.context);
    site->memo.text = palloc(text->n_bytes + 1);
    memcpy(site->memo.text, text->bytes, text->n_bytes);
    site->memo.n_bytes = text->n_bytes;
    site->memo.options = pstrdup(options);
    site->memo.datum = nlp_pg_datum(value, &site->memo.is_null);
    site->memo.valid = true;
    MemoryContextSwitchTo(old);
}

/* The planner computes a STABLE call on a constant for its estimates, and the executor once more, at a site of its
 * own: the first answer of a site is kept for the first call of another. */
static struct {
    MemoryContext context;
    const nlp_task_spec *task; /* NULL: nothing is kept */
    char digest[65];
    nlp_text text;
    char *options;
    Datum datum;
    bool is_null;
} recent;

static bool recent_hit(const nlp_pg_site *site, const nlp_text *text, const char *options,
                       const nlp_model *model) {
    return recent.task == site->task && !site->memo.valid && recent.text.n_bytes == text->n_bytes &&
           !memcmp(recent.text.bytes, text->bytes, text->n_bytes) &&
           !strcmp(recent.options, options) && !strcmp(recent.digest, nlp_model_digest(model));
}

static void recent_keep(const nlp_pg_site *site, const nlp_text *text, const char *options,
                        const nlp_model *model, const nlp_value *value) {
    if (!recent.context)
        recent.context =
            AllocSetContextCreate(TopMemoryContext, "nlp answer", ALLOCSET_SMALL_SIZES);
    recent.task = NULL;
    MemoryContextReset(recent.context);
    if (text->n_bytes > RECENT_BYTES) return;
    MemoryContext old = MemoryContextSwitchTo(recent.context);
    recent.text = (nlp_text){pnstrdup(text->bytes, text->n_bytes), text->n_bytes};
    recent.options = pstrdup(options);
    recent.datum = nlp_pg_datum(value, &recent.is_null);
    strlcpy(recent.digest, nlp_model_digest(model), sizeof recent.digest);
    MemoryContextSwitchTo(old);
    recent.task = site->task;
}

/* Since another site may take its place while this one's value is in use. */
static Datum recent_copy(FunctionCallInfo fcinfo) {
    int16 length;
    bool by_value;
    get_typlenbyval(get_func_rettype(fcinfo->flinfo->fn_oid), &length, &by_value);
    return datumCopy(recent.datum, by_value, length);
}

/* The memos serve what the planner can't fold: a STABLE call on a constant, beside a column, in ORDER BY. */
static Datum run_scalar(FunctionCallInfo fcinfo, const char *task) {
    nlp_pg_site *site = nlp_pg_site_of(fcinfo, task);
    nlp_option options[NLP_PG_SITE_OPTIONS];
    size_t n_options = nlp_pg_site_options(fcinfo, site, options);
    operands o = read_operands(fcinfo, site->task);
    nlp_model *model = nlp_pg_site_model(fcinfo, site, o.texts, options, n_options);
    bool memo = site->task->n_operands == 1 && o.texts[0].bytes;
    char *key = memo ? options_key(options, n_options) : NULL;
    bool is_null;
    if (memo && memo_hit(site, &o.texts[0], key, model)) {
        if (site->memo.is_null) PG_RETURN_NULL();
        return site->memo.datum;
    }
    if (memo && recent_hit(site, &o.texts[0], key, model)) {
        if (recent.is_null) PG_RETURN_NULL();
        return recent_copy(fcinfo);
    }
    const nlp_result *result = nlp_pg_site_run(site, model, o.texts, &o.ids, 1, options, n_options);
    if (memo && !site->memo.valid)
        recent_keep(site, &o.texts[0], key, model, result->outputs->cells);
    if (memo) memo_keep(site, &o.texts[0], key, result->outputs->cells);
    Datum datum = nlp_pg_datum(result->outputs->cells, &is_null);
    if (is_null) PG_RETURN_NULL();
    return datum;
}

/* ---- Rows ---- */

/* Into the tuplestore at once: the cells belong to the session and are gone with its next run. */
static void put_rows(ReturnSetInfo *set, const nlp_task_spec *task, const nlp_output *output) {
    for (uint32_t r = 0; r < output->n_rows; r++) {
        Datum values[8];
        bool nulls[8];
        for (uint32_t c = 0; c < task->n_columns; c++)
            values[c] = nlp_pg_datum(&output->cells[r * task->n_columns + c], &nulls[c]);
        tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    }
}

/* Of a function that is not strict: NULL for what is no option. */
static bool lacks_argument(FunctionCallInfo fcinfo, const nlp_pg_site *site) {
    for (int i = 0; i < site->n_arguments; i++)
        if (PG_ARGISNULL(i) && !site->option_keys[i]) return true;
    return false;
}

static Datum run_rows(FunctionCallInfo fcinfo, const char *task) {
    nlp_pg_site *site = nlp_pg_site_of(fcinfo, task);
    nlp_option options[NLP_PG_SITE_OPTIONS];
    InitMaterializedSRF(fcinfo, 0);
    if (lacks_argument(fcinfo, site)) return (Datum)0;
    size_t n_options = nlp_pg_site_options(fcinfo, site, options);
    operands o = read_operands(fcinfo, site->task);
    nlp_model *model = nlp_pg_site_model(fcinfo, site, o.texts, options, n_options);
    const nlp_result *result = nlp_pg_site_run(site, model, o.texts, &o.ids, 1, options, n_options);
    put_rows((ReturnSetInfo *)fcinfo->resultinfo, site->task, result->outputs);
    return (Datum)0;
}

/* ---- The functions of the task table; a test compares this list with it ---- */
/* clang-format off */
#define SCALAR_TASKS(X) \
    X(embed) X(embed_query) X(similarity) \
    X(sentiment) X(sentiment_score) X(classify) X(confidence) \
    X(token_count) X(unknown_count) X(tokenize) X(detokenize) X(would_truncate) \
    X(answer) X(zero_shot) X(filter) X(rerank_score) \
    X(generate) X(translate) X(chat) X(summarize) X(extract)
#define ROW_TASKS(X) \
    X(classify_scores) X(tokens) \
    X(entities) X(answer_span) X(fill_mask) X(zero_shot_scores) X(rerank) X(chunk)
/* clang-format on */

#define SCALAR_FUNCTION(name)                                                                      \
    PG_FUNCTION_INFO_V1(nlp_pg_##name);                                                            \
    Datum nlp_pg_##name(PG_FUNCTION_ARGS) {                                                        \
        return run_scalar(fcinfo, #name);                                                          \
    }
#define ROW_FUNCTION(name)                                                                         \
    PG_FUNCTION_INFO_V1(nlp_pg_##name);                                                            \
    Datum nlp_pg_##name(PG_FUNCTION_ARGS) {                                                        \
        return run_rows(fcinfo, #name);                                                            \
    }
SCALAR_TASKS(SCALAR_FUNCTION)
ROW_TASKS(ROW_FUNCTION)

/* ---- Arrays of texts: nlp_embed(text[]), nlp_generate(text[]) ---- */

static void put_batch(nlp_pg_site *site, nlp_model *model, const nlp_text *texts, size_t n,
                      size_t first, const nlp_option *options, size_t n_options,
                      ReturnSetInfo *set) {
    const nlp_result *result = nlp_pg_site_run(site, model, texts, NULL, n, options, n_options);
    for (size_t i = 0; i < n; i++) {
        Datum values[2] = {Int32GetDatum((int32)(first + i + 1)), (Datum)0};
        bool nulls[2] = {false, true};
        values[1] = nlp_pg_datum(result->outputs[i].cells, &nulls[1]);
        tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    }
}

/* In batches, so that cancel and memory do not depend on the length of the array. */
static Datum run_array(FunctionCallInfo fcinfo, const char *task) {
    enum { BATCH = 256 };
    nlp_pg_site *site = nlp_pg_site_of(fcinfo, task);
    nlp_option options[NLP_PG_SITE_OPTIONS];
    Datum *elements;
    bool *nulls;
    int n;
    InitMaterializedSRF(fcinfo, 0);
    size_t n_options = nlp_pg_site_options(fcinfo, site, options);
    ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("texts must be an array of one dimension")));
    deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
    nlp_model *model = nlp_pg_site_model(fcinfo, site, NULL, options, n_options);
    nlp_text *texts = palloc0((Size)Max(n, 1) * sizeof *texts);
    for (int i = 0; i < n; i++)
        if (!nulls[i]) texts[i] = nlp_pg_text(elements[i]);
    for (int i = 0; i < n; i += BATCH) {
        CHECK_FOR_INTERRUPTS();
        put_batch(site, model, texts + i, (size_t)Min(BATCH, n - i), (size_t)i, options, n_options,
                  (ReturnSetInfo *)fcinfo->resultinfo);
    }
    return (Datum)0;
}

#define ARRAY_TASKS(X) X(embed) X(generate)
#define ARRAY_FUNCTION(name)                                                                       \
    PG_FUNCTION_INFO_V1(nlp_pg_##name##_array);                                                    \
    Datum nlp_pg_##name##_array(PG_FUNCTION_ARGS) {                                                \
        return run_array(fcinfo, #name);                                                           \
    }
ARRAY_TASKS(ARRAY_FUNCTION)
