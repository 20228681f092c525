/* pg_window.c: nlp_<task>_w(...) OVER (...): what the scalar form gives, of many rows a run. A window
 * function sees the rows that follow, so the texts of up to 64 of them go through the model together.
 * The frame is not looked at: under every OVER clause a row gets what it would get alone. */
#include "pg_site.h"

#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "windowapi.h"

enum {
    BATCH_ROWS = 64,
    BATCH_BYTES = 1 << 20, /* of texts: long ones need no company, but memory */
    MOST_OPERANDS = 2
};

/* The results at hand; zeroed where another partition begins. */
typedef struct batch {
    int64 first; /* row of the partition */
    int n;
    Datum values[BATCH_ROWS]; /* lie in the memo's context, which the next batch empties */
    bool nulls[BATCH_ROWS];
} batch;

/* An argument of the row so many rows ahead of the current one, gone with the next one that is read;
 * false behind the end of the partition. */
static bool argument_at(FunctionCallInfo fcinfo, int at, int ahead, NullableDatum *out) {
    bool is_out;
    out->value = WinGetFuncArgInPartition(PG_WINDOW_OBJECT(), at, ahead, WINDOW_SEEK_CURRENT, false,
                                          &out->isnull, &is_out);
    return !is_out;
}

/* The current row's arguments behind the text, copied to where the code of all forms looks for them: a
 * window function is called with none. false where one is NULL, which makes the row NULL as a strict
 * function would. */
static bool take_arguments(FunctionCallInfo fcinfo, const nlp_pg_site *site) {
    for (int i = 1; i < site->n_arguments; i++) {
        int16 length;
        bool by_value;
        NullableDatum *argument = &fcinfo->args[i];
        argument_at(fcinfo, i, 0, argument);
        if (argument->isnull) return false;
        get_typlenbyval(get_fn_expr_argtype(fcinfo->flinfo, i), &length, &by_value);
        argument->value = datumCopy(argument->value, by_value, length);
    }
    return true;
}

/* Whether a later row has the arguments of the current one, byte for byte. */
static bool same_arguments(FunctionCallInfo fcinfo, const nlp_pg_site *site, int ahead) {
    for (int i = 1; i < site->n_arguments; i++) {
        int16 length;
        bool by_value;
        NullableDatum argument;
        if (get_fn_expr_arg_stable(fcinfo->flinfo, i)) continue;
        if (!argument_at(fcinfo, i, ahead, &argument) || argument.isnull) return false;
        get_typlenbyval(get_fn_expr_argtype(fcinfo->flinfo, i), &length, &by_value);
        if (!datumIsEqual(argument.value, fcinfo->args[i].value, by_value, length)) return false;
    }
    return true;
}

/* A text without bytes is NULL. */
static nlp_text copied_text(NullableDatum argument, nlp_type type) {
    if (argument.isnull) return (nlp_text){0};
    nlp_text text = nlp_pg_operand(argument.value, type);
    return (nlp_text){pnstrdup(text.bytes, text.n_bytes), text.n_bytes};
}

/* Texts of the rows from the current one on that can share a run; all their other arguments are the
 * same. *first: the first that is not NULL. */
static int read_rows(FunctionCallInfo fcinfo, const nlp_pg_site *site, const nlp_option *options,
                     size_t n_options, nlp_text *texts, nlp_text **first) {
    const nlp_task_spec *task = site->task;
    nlp_text second = {0};
    size_t n_bytes = 0;
    int n = 0;
    *first = NULL;
    if (task->n_operands > 1) second = nlp_pg_operand(PG_GETARG_DATUM(1), task->operands[1].type);
    for (; n < BATCH_ROWS && n_bytes < BATCH_BYTES; n++) {
        NullableDatum argument;
        if (n && !same_arguments(fcinfo, site, n)) break;
        if (!argument_at(fcinfo, 0, n, &argument)) break;
        nlp_text *row = texts + (size_t)n * task->n_operands;
        row[0] = copied_text(argument, task->operands[0].type);
        if (task->n_operands > 1) row[1] = second;
        if (!nlp_pg_site_same_model(site, *first, row, options, n_options)) break;
        n_bytes += row->n_bytes;
        if (!*first && row->bytes) *first = row;
    }
    return n;
}

static void run_batch(FunctionCallInfo fcinfo, nlp_pg_site *site, batch *b) {
    nlp_text texts[BATCH_ROWS * MOST_OPERANDS], *first;
    nlp_option options[NLP_PG_SITE_OPTIONS];
    size_t n_options = nlp_pg_site_options(fcinfo, site, options);
    b->n = read_rows(fcinfo, site, options, n_options, texts, &first);
    if (!first) return;
    nlp_model *model = nlp_pg_site_model(fcinfo, site, first, options, n_options);
    const nlp_result *result =
        nlp_pg_site_run(site, model, texts, NULL, (size_t)b->n, options, n_options);
    for (int i = 0; i < b->n; i++)
        b->values[i] = nlp_pg_datum(result->outputs[i].cells, &b->nulls[i]);
}

/* Rows without a text need no model, as in the scalar form, which is not called for them. */
static void fill(FunctionCallInfo fcinfo, nlp_pg_site *site, batch *b) {
    MemoryContextReset(site->memo.context);
    MemoryContext old = MemoryContextSwitchTo(site->memo.context);
    b->n = 1;
    memset(b->nulls, true, sizeof b->nulls);
    if (take_arguments(fcinfo, site)) run_batch(fcinfo, site, b);
    MemoryContextSwitchTo(old);
}

/* The mark tells the server that no row before it will be read again, so it keeps few. */
static Datum run_window(FunctionCallInfo fcinfo, const char *task) {
    WindowObject window = PG_WINDOW_OBJECT();
    if (!WindowObjectIsValid(window)) elog(ERROR, "nlp_%s_w is a window function", task);
    nlp_pg_site *site = nlp_pg_site_of(fcinfo, task);
    batch *b = WinGetPartitionLocalMemory(window, sizeof *b);
    int64 row = WinGetCurrentPosition(window);
    if (row < b->first || row >= b->first + b->n) {
        fill(fcinfo, site, b);
        b->first = row;
        WinSetMarkPosition(window, row);
    }
    if (b->nulls[row - b->first]) PG_RETURN_NULL();
    return b->values[row - b->first];
}

/* Scalar tasks whose first operand is the text of a row; a second one is the same for a batch. */
/* clang-format off */
#define WINDOW_TASKS(X) \
    X(embed) X(embed_query) \
    X(sentiment) X(sentiment_score) X(classify) X(confidence) X(zero_shot) X(filter) \
    X(generate) X(translate) X(summarize) X(extract)
/* clang-format on */
#define WINDOW_FUNCTION(name)                                                                      \
    PG_FUNCTION_INFO_V1(nlp_pg_##name##_w);                                                        \
    Datum nlp_pg_##name##_w(PG_FUNCTION_ARGS) {                                                    \
        return run_window(fcinfo, #name);                                                          \
    }
WINDOW_TASKS(WINDOW_FUNCTION)
