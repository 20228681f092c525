/* pg_vector.c: vectors as real[]: cosine, centroid, dims; and what nlp says of itself. */
#include "pg_nlp.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* The numbers of a real[]; throws for NULLs and several dimensions. */
static const float *vector_of(ArrayType *array, size_t *n) {
    if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("a vector is an array of one dimension without NULLs")));
    *n = (size_t)ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
    return (const float *)ARR_DATA_PTR(array);
}

PG_FUNCTION_INFO_V1(nlp_pg_cosine);
Datum nlp_pg_cosine(PG_FUNCTION_ARGS) {
    size_t n_a, n_b;
    double cosine;
    nlp_error err;
    const float *a = vector_of(PG_GETARG_ARRAYTYPE_P(0), &n_a),
                *b = vector_of(PG_GETARG_ARRAYTYPE_P(1), &n_b);
    nlp_pg_check(nlp_vector_cosine(a, n_a, b, n_b, &cosine, &err), &err);
    PG_RETURN_FLOAT4((float4)cosine);
}

/* ---- nlp_centroid: state is float8[]: the count, then the sums ---- */

PG_FUNCTION_INFO_V1(nlp_pg_centroid_step);
/* Sums in double; the state grows in the aggregate's own context. */
Datum nlp_pg_centroid_step(PG_FUNCTION_ARGS) {
    size_t n;
    MemoryContext aggregate;
    if (!AggCheckCallContext(fcinfo, &aggregate))
        elog(ERROR, "nlp_centroid_step called outside an aggregate");
    if (PG_ARGISNULL(1)) {
        if (PG_ARGISNULL(0)) PG_RETURN_NULL();
        PG_RETURN_DATUM(PG_GETARG_DATUM(0));
    }
    const float *v = vector_of(PG_GETARG_ARRAYTYPE_P(1), &n);
    ArrayType *state = PG_ARGISNULL(0) ? NULL : PG_GETARG_ARRAYTYPE_P(0);
    if (!state) {
        MemoryContext old = MemoryContextSwitchTo(aggregate);
        Datum *zeros = palloc0((n + 1) * sizeof *zeros);
        for (size_t i = 0; i <= n; i++) zeros[i] = Float8GetDatum(0);
        state = construct_array(zeros, (int)n + 1, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
                                TYPALIGN_DOUBLE);
        MemoryContextSwitchTo(old);
    }
    float8 *sums = (float8 *)ARR_DATA_PTR(state);
    if (n + 1 != (size_t)ArrayGetNItems(ARR_NDIM(state), ARR_DIMS(state)))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the vectors have different numbers of dimensions")));
    sums[0] += 1;
    for (size_t i = 0; i < n; i++) sums[i + 1] += (float8)v[i];
    PG_RETURN_ARRAYTYPE_P(state);
}

PG_FUNCTION_INFO_V1(nlp_pg_centroid_final);
Datum nlp_pg_centroid_final(PG_FUNCTION_ARGS) {
    if (PG_ARGISNULL(0)) PG_RETURN_NULL();
    ArrayType *state = PG_GETARG_ARRAYTYPE_P(0);
    int n = ArrayGetNItems(ARR_NDIM(state), ARR_DIMS(state)) - 1;
    const float8 *sums = (const float8 *)ARR_DATA_PTR(state);
    float *mean = palloc((Size)Max(n, 1) * sizeof *mean);
    for (int i = 0; i < n; i++) mean[i] = (float)(sums[i + 1] / sums[0]);
    return nlp_pg_real_array(mean, (size_t)n);
}

/* ---- About models and nlp ---- */

PG_FUNCTION_INFO_V1(nlp_pg_dims);
Datum nlp_pg_dims(PG_FUNCTION_ARGS) {
    nlp_model_info info = {.struct_size = sizeof info};
    const nlp_task_spec *embed = nlp_task_find(nlp_pg_engine(), "embed");
    const char *name = PG_NARGS() > 0 ? text_to_cstring(PG_GETARG_TEXT_PP(0))
                                      : nlp_pg_default_model(embed, NULL, NULL, 0);
    nlp_model_get_info(nlp_pg_model(name, CurrentMemoryContext), &info);
    PG_RETURN_INT32((int32)info.dims);
}

PG_FUNCTION_INFO_V1(nlp_pg_version);
Datum nlp_pg_version(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    PG_RETURN_TEXT_P(cstring_to_text(nlp_version()));
}

PG_FUNCTION_INFO_V1(nlp_pg_build_info);
Datum nlp_pg_build_info(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    PG_RETURN_TEXT_P(cstring_to_text(nlp_build_info(nlp_pg_engine())));
}

PG_FUNCTION_INFO_V1(nlp_pg_task_names);
Datum nlp_pg_task_names(PG_FUNCTION_ARGS) {
    ReturnSetInfo *set = (ReturnSetInfo *)fcinfo->resultinfo;
    nlp_engine *engine = nlp_pg_engine();
    InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
    for (size_t i = 0; i < nlp_task_count(engine); i++) {
        Datum value = CStringGetTextDatum(nlp_task_at(engine, i)->name);
        bool is_null = false;
        tuplestore_putvalues(set->setResult, set->setDesc, &value, &is_null);
    }
    return (Datum)0;
}

/* ---- Views ---- */

/* Rows are collected first: the visitor runs inside the core and must not throw. */
enum { LISTED = 256, TEXTS = 11 };

typedef struct listed_model {
    char texts[TEXTS][512];
    int64_t numbers[4];
} listed_model;

typedef struct listing {
    listed_model *models; /* [LISTED] */
    size_t n;
} listing;

static bool list_model(void *context, const nlp_model_info *info) {
    listing *l = context;
    const char *texts[TEXTS] = {info->name,    info->digest,    info->base_digest, info->family,
                                info->tasks,   info->languages, info->licence,     info->precision,
                                info->backing, info->path,      info->problem};
    listed_model *m = &l->models[l->n++];
    for (int i = 0; i < TEXTS; i++) snprintf(m->texts[i], sizeof m->texts[i], "%s", texts[i]);
    m->numbers[0] = info->dims, m->numbers[1] = info->max_tokens;
    m->numbers[2] = (int64_t)info->file_bytes, m->numbers[3] = info->processes;
    return l->n < LISTED;
}

PG_FUNCTION_INFO_V1(nlp_pg_models);
/* At most 256 are shown; a folder of more packs than that is no model path. */
Datum nlp_pg_models(PG_FUNCTION_ARGS) {
    ReturnSetInfo *set = (ReturnSetInfo *)fcinfo->resultinfo;
    listing l = {.models = palloc0(LISTED * sizeof *l.models)};
    nlp_error err;
    nlp_engine *engine = nlp_pg_engine();
    InitMaterializedSRF(fcinfo, 0);
    nlp_pg_check(nlp_model_list(engine, list_model, &l, &err), &err);
    for (size_t i = 0; i < l.n; i++) {
        Datum values[TEXTS + 4];
        bool nulls[TEXTS + 4] = {false};
        for (int c = 0; c < TEXTS; c++)
            values[c] = nlp_pg_text_datum(l.models[i].texts[c], strlen(l.models[i].texts[c]));
        for (int c = 0; c < 4; c++) values[TEXTS + c] = Int64GetDatum(l.models[i].numbers[c]);
        tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    }
    return (Datum)0;
}

PG_FUNCTION_INFO_V1(nlp_pg_pack_info);
Datum nlp_pg_pack_info(PG_FUNCTION_ARGS) {
    ReturnSetInfo *set = (ReturnSetInfo *)fcinfo->resultinfo;
    nlp_model_info info = {.struct_size = sizeof info};
    bool nulls[3] = {false};
    InitMaterializedSRF(fcinfo, 0);
    nlp_model_get_info(nlp_pg_model(text_to_cstring(PG_GETARG_TEXT_PP(0)), CurrentMemoryContext),
                       &info);
    Datum values[3] = {CStringGetTextDatum(info.tasks), CStringGetTextDatum(info.languages),
                       CStringGetTextDatum(info.licence)};
    tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    return (Datum)0;
}

PG_FUNCTION_INFO_V1(nlp_pg_stats);
Datum nlp_pg_stats(PG_FUNCTION_ARGS) {
    ReturnSetInfo *set = (ReturnSetInfo *)fcinfo->resultinfo;
    uint64 counters[NLP_PG_COUNTERS];
    bool nulls[NLP_PG_COUNTERS] = {false};
    Datum values[NLP_PG_COUNTERS];
    nlp_pg_counters(counters);
    InitMaterializedSRF(fcinfo, 0);
    for (int i = 0; i < NLP_PG_COUNTERS; i++) values[i] = Int64GetDatum((int64)counters[i]);
    tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    return (Datum)0;
}

PG_FUNCTION_INFO_V1(nlp_pg_scratch);
Datum nlp_pg_scratch(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    PG_RETURN_INT64((int64)nlp_pg_scratch_bytes());
}
