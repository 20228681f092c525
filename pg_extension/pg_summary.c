/* pg_summary.c: nlp_summarize_agg: the texts of a group, a line each, summed up together. */
#include "pg_site.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(nlp_pg_join_step);
/* The state lives as long as the group does. */
Datum nlp_pg_join_step(PG_FUNCTION_ARGS) {
    MemoryContext group;
    StringInfo all = PG_ARGISNULL(0) ? NULL : (StringInfo)PG_GETARG_POINTER(0);
    if (!AggCheckCallContext(fcinfo, &group)) elog(ERROR, "nlp_summarize_agg is an aggregate");
    if (!all) {
        MemoryContext old = MemoryContextSwitchTo(group);
        all = makeStringInfo();
        MemoryContextSwitchTo(old);
    }
    if (!PG_ARGISNULL(1)) {
        text *one = PG_GETARG_TEXT_PP(1);
        if (all->len) appendStringInfoChar(all, '\n');
        appendBinaryStringInfo(all, VARDATA_ANY(one), (int)VARSIZE_ANY_EXHDR(one));
    }
    PG_RETURN_POINTER(all);
}

PG_FUNCTION_INFO_V1(nlp_pg_join_summary);
/* NULL where the group has no text. */
Datum nlp_pg_join_summary(PG_FUNCTION_ARGS) {
    StringInfo all = PG_ARGISNULL(0) ? NULL : (StringInfo)PG_GETARG_POINTER(0);
    const nlp_task_spec *task = nlp_task_find(nlp_pg_engine(), "summarize");
    const nlp_result *result;
    nlp_error err;
    if (!all || !all->len) PG_RETURN_NULL();
    nlp_text text = nlp_pg_text(PointerGetDatum(cstring_to_text_with_len(all->data, all->len)));
    nlp_model *model =
        nlp_pg_model(nlp_pg_default_model(task, &text, NULL, 0), CurrentMemoryContext);
    nlp_session *session = nlp_pg_session();
    nlp_request request = {.struct_size = sizeof request,
                           .task = task,
                           .model = model,
                           .texts = &text,
                           .n_inputs = 1,
                           .stop = nlp_pg_stop()};
    nlp_pg_check(nlp_session_run(session, &request, &result, &err), &err);
    const nlp_value *sum = result->outputs->cells;
    return nlp_pg_text_datum(sum->as.text, sum->n);
}
