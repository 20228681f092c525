/* pg_stream.c: nlp_generate_stream: one row as each token is made. The function gives a value a call; the SQL
 * function around it is inlined, so that a cursor or a LIMIT ends the work. */
#include "pg_site.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/memutils.h"

typedef struct pg_stream {
    nlp_stream *stream; /* closed with the memory context */
    TupleDesc row;
    bool done;
} pg_stream;

static void close_stream(void *state) {
    nlp_stream_close(((pg_stream *)state)->stream);
}

/* What may throw comes before the stream is there. */
static pg_stream *open_stream(FunctionCallInfo fcinfo, const char *task, MemoryContext context) {
    nlp_pg_site *site = nlp_pg_site_open(fcinfo, task, context);
    nlp_option options[NLP_PG_SITE_OPTIONS];
    nlp_error err;
    size_t n_options = nlp_pg_site_options(fcinfo, site, options);
    nlp_pg_check_tokens(site->task, options, n_options);
    nlp_text text = nlp_pg_text(PG_GETARG_DATUM(0));
    nlp_model *model = nlp_pg_site_model(fcinfo, site, NULL, options, n_options);
    pg_stream *s = palloc0(sizeof *s);
    MemoryContextCallback *callback = palloc0(sizeof *callback);
    if (get_call_result_type(fcinfo, NULL, &s->row) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "a stream is a set of rows");
    s->row = BlessTupleDesc(s->row);
    nlp_request request = {.struct_size = sizeof request,
                           .task = site->task,
                           .model = model,
                           .texts = &text,
                           .n_inputs = 1,
                           .options = options,
                           .n_options = n_options,
                           .stop = nlp_pg_stop()};
    *callback = (MemoryContextCallback){.func = close_stream, .arg = s};
    MemoryContextRegisterResetCallback(context, callback);
    nlp_pg_check(nlp_stream_open(nlp_pg_engine(), &request, &s->stream, &err), &err);
    return s;
}

static Datum next_row(pg_stream *s) {
    nlp_piece piece;
    nlp_error err;
    nlp_stop stop = nlp_pg_stop();
    nlp_pg_check(nlp_stream_next(s->stream, &stop, &piece, &err), &err);
    s->done = piece.done;
    Datum values[3] = {
        Int32GetDatum((int32)piece.step),
        nlp_pg_text_datum(piece.text.bytes ? piece.text.bytes : "", piece.text.n_bytes),
        BoolGetDatum(piece.done)};
    bool nulls[3] = {false};
    return HeapTupleGetDatum(heap_form_tuple(s->row, values, nulls));
}

static Datum run_stream(FunctionCallInfo fcinfo, const char *task) {
    FuncCallContext *calls;
    if (SRF_IS_FIRSTCALL()) {
        calls = SRF_FIRSTCALL_INIT();
        MemoryContext old = MemoryContextSwitchTo(calls->multi_call_memory_ctx);
        calls->user_fctx = open_stream(fcinfo, task, calls->multi_call_memory_ctx);
        MemoryContextSwitchTo(old);
    }
    calls = SRF_PERCALL_SETUP();
    pg_stream *s = calls->user_fctx;
    if (s->done) SRF_RETURN_DONE(calls);
    Datum row = next_row(s);
    SRF_RETURN_NEXT(calls, row);
}

PG_FUNCTION_INFO_V1(nlp_pg_generate_stream);
Datum nlp_pg_generate_stream(PG_FUNCTION_ARGS) {
    return run_stream(fcinfo, "generate");
}
