/* pg_convert.c: PostgreSQL's values to the core's and back. */
#include "pg_nlp.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* The core takes UTF-8; in a UTF-8 database nothing is copied. */
nlp_text nlp_pg_text(Datum datum) {
    text *t = DatumGetTextPP(datum);
    int n = (int)VARSIZE_ANY_EXHDR(t);
    char *utf8 = pg_server_to_any(VARDATA_ANY(t), n, PG_UTF8);
    return (nlp_text){utf8, utf8 == VARDATA_ANY(t) ? (size_t)n : strlen(utf8)};
}

nlp_text nlp_pg_text_list(Datum datum) {
    ArrayType *array = DatumGetArrayTypeP(datum);
    Datum *elements;
    bool *nulls;
    int n;
    StringInfoData list;
    if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("a list of texts is an array of one dimension without NULLs")));
    deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
    initStringInfo(&list);
    for (int i = 0; i < n; i++) {
        nlp_text t = nlp_pg_text(elements[i]);
        appendBinaryStringInfo(&list, t.bytes, (int)t.n_bytes);
        appendStringInfoChar(&list, 0);
    }
    return (nlp_text){list.data, (size_t)list.len};
}

Datum nlp_pg_text_datum(const char *bytes, size_t n) {
    char *server = pg_any_to_server(bytes, (int)n, PG_UTF8);
    return PointerGetDatum(
        cstring_to_text_with_len(server, server == bytes ? (int)n : (int)strlen(server)));
}

Datum nlp_pg_real_array(const float *values, size_t n) {
    Datum *elements = palloc(Max(n, 1) * sizeof *elements);
    for (size_t i = 0; i < n; i++) elements[i] = Float4GetDatum(values[i]);
    return PointerGetDatum(
        construct_array(elements, (int)n, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
}

static Datum int_array(const int32_t *values, size_t n) {
    Datum *elements = palloc(Max(n, 1) * sizeof *elements);
    for (size_t i = 0; i < n; i++) elements[i] = Int32GetDatum(values[i]);
    return PointerGetDatum(
        construct_array(elements, (int)n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* A value of the core as a new Datum of the current context. */
static Datum json_datum(const char *bytes, size_t n) {
    Datum whole = nlp_pg_text_datum(bytes, n);
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(whole)));
}

Datum nlp_pg_datum(const nlp_value *value, bool *is_null) {
    *is_null = value->type == NLP_TYPE_NULL;
    switch (value->type) {
    case NLP_TYPE_TEXT:
        return nlp_pg_text_datum(value->as.text, value->n);
    case NLP_TYPE_JSON:
        return json_datum(value->as.text, value->n);
    case NLP_TYPE_REAL:
        return Float4GetDatum((float4)value->as.real);
    case NLP_TYPE_INTEGER:
        return Int32GetDatum((int32)value->as.integer);
    case NLP_TYPE_BOOLEAN:
        return BoolGetDatum(value->as.boolean);
    case NLP_TYPE_VECTOR:
        return nlp_pg_real_array(value->as.vector, value->n);
    case NLP_TYPE_IDS:
        return int_array(value->as.ids, value->n);
    case NLP_TYPE_TEXTS: /* only an operand */
    case NLP_TYPE_NULL:
        break;
    }
    return (Datum)0;
}

nlp_text nlp_pg_json_text(Jsonb *jsonb) {
    char *text = JsonbToCString(NULL, &jsonb->root, (int)VARSIZE(jsonb));
    char *utf8 = pg_server_to_any(text, (int)strlen(text), PG_UTF8);
    return (nlp_text){utf8, strlen(utf8)};
}

/* ---- Options ---- */

/* An array or object goes on as JSON text. */
static nlp_value json_value(JsonbValue *v) {
    nlp_text text = nlp_pg_json_text(JsonbValueToJsonb(v));
    return (nlp_value){.type = NLP_TYPE_JSON, .n = (uint32_t)text.n_bytes, .as.text = text.bytes};
}

/* A whole number of 64 bits stays whole: a seed loses no digit. */
static nlp_value number_value(Numeric numeric) {
    Datum number = NumericGetDatum(numeric);
    char *end, *text = DatumGetCString(DirectFunctionCall1(numeric_out, number));
    errno = 0;
    int64 whole = strtoll(text, &end, 10);
    if (end != text && !*end && !errno)
        return (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = whole};
    return (nlp_value){.type = NLP_TYPE_REAL,
                       .as.real = DatumGetFloat8(DirectFunctionCall1(numeric_float8, number))};
}

static nlp_value value_of(JsonbValue *v) {
    nlp_value out = {.type = NLP_TYPE_NULL};
    if (v->type == jbvString) {
        char *utf8 = pg_server_to_any(v->val.string.val, v->val.string.len, PG_UTF8);
        size_t n = utf8 == v->val.string.val ? (size_t)v->val.string.len : strlen(utf8);
        out = (nlp_value){.type = NLP_TYPE_TEXT, .n = (uint32_t)n, .as.text = utf8};
    } else if (v->type == jbvBool) {
        out = (nlp_value){.type = NLP_TYPE_BOOLEAN, .as.boolean = v->val.boolean};
    } else if (v->type == jbvNumeric) {
        out = number_value(v->val.numeric);
    } else if (v->type == jbvBinary) {
        out = json_value(v);
    }
    return out;
}

/* Keys and texts are copies in the current context. */
size_t nlp_pg_options(Jsonb *jsonb, nlp_option *options, size_t capacity) {
    JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
    JsonbValue v;
    JsonbIteratorToken token;
    size_t n = 0;
    if (!JB_ROOT_IS_OBJECT(jsonb))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("options must be a JSON object")));
    while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
        if (token != WJB_KEY) continue;
        char *key = pnstrdup(v.val.string.val, (Size)v.val.string.len);
        JsonbIteratorNext(&it, &v, true);
        if (n == capacity)
            ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                            errmsg("more than %zu options", capacity)));
        options[n++] = (nlp_option){.key = key, .value = value_of(&v)};
    }
    return n;
}

nlp_text nlp_pg_column(HeapTuple row, TupleDesc desc, int column) {
    bool is_null;
    Datum datum = SPI_getbinval(row, desc, column, &is_null);
    return is_null ? (nlp_text){0} : nlp_pg_text(datum);
}

void nlp_pg_put_metrics(ReturnSetInfo *set, const nlp_metric *metrics, size_t n) {
    for (size_t i = 0; i < n; i++) {
        Datum values[2] = {nlp_pg_text_datum(metrics[i].name, strlen(metrics[i].name)),
                           Float8GetDatum(metrics[i].value)};
        bool nulls[2] = {false, false};
        tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    }
}
