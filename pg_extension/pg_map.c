/* pg_map.c: any task by its name: nlp_run and nlp_run_rows over a text, nlp_map over the rows of a query.
 * Answers are JSON, since each task has columns of its own. */
#include "pg_site.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

enum { MOST_OPERANDS = 2 };

typedef struct job {
    nlp_pg_site site;
    char *model; /* that was named, or NULL */
    nlp_option options[NLP_PG_SITE_OPTIONS];
    size_t n_options;
    bool has_key; /* in front of the operands */
    int64 n_rows;
    ReturnSetInfo *set;
} job;

/* ---- The call ---- */

/* The name, if there is such a task. */
static const char *task_named(const char *name) {
    if (!nlp_task_find(nlp_pg_engine(), name))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no task \"%s\"", name),
                 errhint("SELECT * FROM _nlp.task_names() lists them")));
    return name;
}

/* Arguments: the task, what is read (left to the caller), a model or NULL, options. */
static void open_job(FunctionCallInfo fcinfo, int task_at, int model_at, job *j) {
    *j = (job){.site = nlp_pg_site_plain(task_named(text_to_cstring(PG_GETARG_TEXT_PP(task_at)))),
               .set = (ReturnSetInfo *)fcinfo->resultinfo};
    if (!PG_ARGISNULL(model_at)) j->model = text_to_cstring(PG_GETARG_TEXT_PP(model_at));
    if (!PG_ARGISNULL(model_at + 1))
        j->n_options =
            nlp_pg_options(PG_GETARG_JSONB_P(model_at + 1), j->options, NLP_PG_MAX_OPTIONS);
    if (!j->model) j->n_options = nlp_pg_add_settings(j->site.task, j->options, j->n_options);
}

static nlp_model *model_of(job *j, const nlp_text *operands) {
    const char *name = j->model
                           ? j->model
                           : nlp_pg_default_model(j->site.task, operands, j->options, j->n_options);
    return nlp_pg_site_open_model(&j->site, name);
}

/* As jsonb, in the current context. */
static Datum row_datum(const nlp_task_spec *task, const nlp_value *cells) {
    size_t n = nlp_row_json(task, cells, NULL, 0);
    char *json = palloc(n + 1);
    bool is_null;
    nlp_row_json(task, cells, json, n);
    return nlp_pg_datum(&(nlp_value){.type = NLP_TYPE_JSON, .n = (uint32_t)n, .as.text = json},
                        &is_null);
}

/* ---- nlp_map ---- */

static void put(job *j, Datum key, bool no_key, const nlp_value *cells) {
    Datum values[2] = {key, cells ? row_datum(j->site.task, cells) : (Datum)0};
    bool nulls[2] = {no_key, !cells};
    tuplestore_putvalues(j->set->setResult, j->set->setDesc, values, nulls);
}

static bool is_scalar_null(const nlp_task_spec *task, const nlp_output *output) {
    return !task->returns_rows && output->cells->type == NLP_TYPE_NULL;
}

/* A row's key: its first column as text, or its number. */
static Datum key_of(job *j, uint64 row, bool *is_null) {
    if (!j->has_key) {
        *is_null = false;
        return CStringGetTextDatum(psprintf(INT64_FORMAT, j->n_rows + (int64)row + 1));
    }
    char *key = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1);
    *is_null = !key;
    return key ? CStringGetTextDatum(key) : (Datum)0;
}

/* Rows first .. first + n - 1 of the batch at hand. */
static void run_rows(job *j, const nlp_text *texts, uint64 first, size_t n) {
    const nlp_task_spec *task = j->site.task;
    const nlp_text *operands = texts + first * task->n_operands;
    nlp_model *model = model_of(j, operands);
    const nlp_result *result =
        nlp_pg_site_run(&j->site, model, operands, NULL, n, j->options, j->n_options);
    for (size_t i = 0; i < n; i++) {
        const nlp_output *output = &result->outputs[i];
        bool no_key;
        Datum key = key_of(j, first + i, &no_key);
        if (is_scalar_null(task, output)) put(j, key, no_key, NULL);
        for (uint32_t r = 0; r < output->n_rows && !is_scalar_null(task, output); r++)
            put(j, key, no_key, &output->cells[r * task->n_columns]);
    }
}

static nlp_text operand_of(const job *j, uint64 row, uint32_t i) {
    bool is_null;
    Datum datum = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
                                (int)i + 1 + j->has_key, &is_null);
    return is_null ? (nlp_text){0} : nlp_pg_operand(datum, j->site.task->operands[i].type);
}

/* Rows whose default model is the same go through it together. */
static bool use_batch(void *context) {
    job *j = context;
    uint32_t n_operands = j->site.task->n_operands;
    uint64 first = 0, n = SPI_processed;
    nlp_text *texts = palloc(n * n_operands * sizeof *texts);
    for (uint64 row = 0; row < n; row++) {
        nlp_text *operands = texts + row * n_operands;
        for (uint32_t i = 0; i < n_operands; i++) operands[i] = operand_of(j, row, i);
        if (j->model || row == first ||
            nlp_pg_site_same_model(&j->site, texts + first * n_operands, operands, j->options,
                                   j->n_options))
            continue;
        run_rows(j, texts, first, row - first);
        first = row;
    }
    run_rows(j, texts, first, n - first);
    j->n_rows += (int64)n;
    return true;
}

static bool is_operand(Oid type, nlp_type wanted) {
    return type == (wanted == NLP_TYPE_TEXTS  ? TEXTARRAYOID
                    : wanted == NLP_TYPE_JSON ? JSONBOID
                                              : TEXTOID);
}

static bool accepts(TupleDesc columns, void *context) {
    job *j = context;
    const nlp_task_spec *task = j->site.task;
    int n = (int)task->n_operands;
    j->has_key = columns->natts == n + 1;
    if (columns->natts != n && !j->has_key) return false;
    for (int i = 0; i < n; i++)
        if (!is_operand(SPI_gettypeid(columns, i + 1 + j->has_key), task->operands[i].type))
            return false;
    return true;
}

/* "a key if you like, then question (text) and context (text)" */
static char *columns_of(const nlp_task_spec *task) {
    StringInfoData text;
    initStringInfo(&text);
    appendStringInfoString(&text, "a key, if you like, then ");
    for (uint32_t i = 0; i < task->n_operands; i++)
        appendStringInfo(&text, "%s%s (%s)", i ? " and " : "", task->operands[i].name,
                         task->operands[i].type == NLP_TYPE_TEXTS  ? "text[]"
                         : task->operands[i].type == NLP_TYPE_JSON ? "jsonb"
                                                                   : "text");
    return text.data;
}

static void check_texts(const nlp_task_spec *task, uint32_t most) {
    if (task->n_operands > most || task->operands[0].type == NLP_TYPE_IDS)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("task \"%s\" takes something else than a text", task->name),
                        errhint(most == 1 ? "nlp_map takes what it needs as columns of a query"
                                          : "call nlp_%s itself",
                                task->name)));
}

PG_FUNCTION_INFO_V1(nlp_pg_map);
/* (query, task, model, options) -> rows (key, result) */
Datum nlp_pg_map(PG_FUNCTION_ARGS) {
    job j;
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("nlp_map needs a query and a task")));
    InitMaterializedSRF(fcinfo, 0);
    open_job(fcinfo, 1, 2, &j);
    check_texts(j.site.task, MOST_OPERANDS);
    nlp_pg_read_query(text_to_cstring(PG_GETARG_TEXT_PP(0)),
                      &(nlp_pg_reader){columns_of(j.site.task), accepts, use_batch, &j});
    return (Datum)0;
}

/* ---- nlp_run, nlp_run_rows: (task, text, model, options) ---- */

static const nlp_output *run_one(FunctionCallInfo fcinfo, job *j) {
    open_job(fcinfo, 0, 2, j);
    check_texts(j->site.task, 1);
    nlp_text text = nlp_pg_operand(PG_GETARG_DATUM(1), NLP_TYPE_TEXT);
    return nlp_pg_site_run(&j->site, model_of(j, &text), &text, NULL, 1, j->options, j->n_options)
        ->outputs;
}

PG_FUNCTION_INFO_V1(nlp_pg_run);
/* A task of rows gives an array of them. */
Datum nlp_pg_run(PG_FUNCTION_ARGS) {
    job j;
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) PG_RETURN_NULL();
    const nlp_output *output = run_one(fcinfo, &j);
    const nlp_task_spec *task = j.site.task;
    StringInfoData array;
    bool is_null;
    if (is_scalar_null(task, output)) PG_RETURN_NULL();
    if (!task->returns_rows) return row_datum(task, output->cells);
    initStringInfo(&array);
    for (uint32_t r = 0; r < output->n_rows; r++) {
        const nlp_value *cells = &output->cells[r * task->n_columns];
        size_t n = nlp_row_json(task, cells, NULL, 0);
        appendStringInfoChar(&array, r ? ',' : '[');
        enlargeStringInfo(&array, (int)n + 1);
        nlp_row_json(task, cells, array.data + array.len, n);
        array.len += (int)n;
    }
    appendStringInfoString(&array, output->n_rows ? "]" : "[]");
    return nlp_pg_datum(
        &(nlp_value){.type = NLP_TYPE_JSON, .n = (uint32_t)array.len, .as.text = array.data},
        &is_null);
}

PG_FUNCTION_INFO_V1(nlp_pg_run_rows);
Datum nlp_pg_run_rows(PG_FUNCTION_ARGS) {
    job j;
    InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) return (Datum)0;
    const nlp_output *output = run_one(fcinfo, &j);
    for (uint32_t r = 0; r < output->n_rows; r++) {
        Datum value = row_datum(j.site.task, &output->cells[r * j.site.task->n_columns]);
        bool is_null = is_scalar_null(j.site.task, output);
        tuplestore_putvalues(j.set->setResult, j.set->setDesc, &value, &is_null);
    }
    return (Datum)0;
}
