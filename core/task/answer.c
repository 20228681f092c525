/* answer.c: where in a context the answer to a question stands, by a head of two scores a token: start
 * and end. As in the reference (transformers' question answering): softmax of the starts and of the
 * ends over the context and the first token, which stands for "no answer"; the best product of a start
 * and an end that is not before it, nor max_answer_tokens behind. A long context goes through the
 * model in overlapping windows, each behind the whole question; the best of all windows is the answer,
 * and the smallest "no answer" of all is what it must not be below. */
#include <math.h>
#include <string.h>

#include "task/task.h"

static const nlp_column question_and_context[] = {{"question", NLP_TYPE_TEXT},
                                                  {"context", NLP_TYPE_TEXT}};
static const nlp_column answer_column[] = {{"answer", NLP_TYPE_TEXT}};
/* null_score stands behind what SQL shows. */
static const nlp_column span_columns[] = {{"answer", NLP_TYPE_TEXT},
                                          {"score", NLP_TYPE_REAL},
                                          {"start_pos", NLP_TYPE_INTEGER},
                                          {"end_pos", NLP_TYPE_INTEGER},
                                          {"null_score", NLP_TYPE_REAL}};
static const nlp_option_spec answer_options[] = {
    {"max_answer_tokens", NLP_TYPE_INTEGER, NULL, 1, 4096, "15", "tokens of the longest answer"},
    {"threshold", NLP_TYPE_REAL, NULL, 0, 1, NULL, "below this score there is no answer"},
    {"sentence", NLP_TYPE_BOOLEAN, NULL, 0, 0, "false",
     "the nearest sentence, by a model of vectors"},
    NLP_OPTION_WINDOWS,
    NLP_OPTION_ON_ERROR,
    NLP_OPTION_MAX_TOKENS};

enum { STRIDE = 128 }; /* most tokens that two windows share */

typedef struct asked { /* one question and its context */
    nlp_encoding e;
    size_t first, n_context;        /* tokens of the context */
    size_t first_window, n_windows; /* none: it has no context */
} asked;

typedef struct asking {
    const nlp_text *texts; /* [n][2] */
    asked *asked;          /* [n] */
    nlp_windows windows;
} asking;

typedef struct span_found {
    double score, null_score;
    size_t start, end; /* tokens of the encoding */
} span_found;

/* ---- Windows ---- */

/* The question, n tokens of the context from `from` on, and what ends the pair. */
static nlp_status push_part(nlp_task_call *call, asking *a, const asked *q, size_t from, size_t n,
                            nlp_error *err) {
    size_t behind = q->first + q->n_context, total = q->e.n - q->n_context + n;
    int32_t *ids = NLP_PUSH(call->scratch, int32_t, total);
    uint8_t *types = NLP_PUSH(call->scratch, uint8_t, total);
    uint32_t *places = NLP_PUSH(call->scratch, uint32_t, n + 1);
    float *out = nlp_arena_push(call->scratch, n + 1, 2 * sizeof *out);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    const size_t parts[3][2] = {{0, q->first}, {q->first + from, n}, {behind, q->e.n - behind}};
    for (size_t i = 0, at = 0; i < 3; at += parts[i++][1]) {
        memcpy(ids + at, q->e.ids + parts[i][0], parts[i][1] * sizeof *ids);
        memcpy(types + at, q->e.type_ids + parts[i][0], parts[i][1]);
    }
    places[0] = 0;
    for (size_t i = 0; i < n; i++) places[i + 1] = (uint32_t)(q->first + i);
    nlp_window window = {.text = from,
                         .ids = ids,
                         .type_ids = types,
                         .n_tokens = (uint32_t)total,
                         .places = places,
                         .n_places = (uint32_t)n + 1,
                         .out = out};
    return nlp_windows_push(call, &a->windows, window, err);
}

static nlp_status push_parts(nlp_task_call *call, asking *a, asked *q, nlp_error *err) {
    size_t limit = nlp_task_token_limit(call), n_rest = q->e.n - q->n_context;
    q->first_window = a->windows.n;
    if (!q->n_context && !q->e.truncated) return NLP_OK;
    if (limit <= n_rest) {
        nlp_fail(err, NLP_ELIMIT,
                 "a question needs %zu tokens and leaves none of %zu for its context", n_rest,
                 limit);
        nlp_hint(err, "ask a shorter question");
        return NLP_ELIMIT;
    }
    size_t room = limit - n_rest < q->n_context ? limit - n_rest : q->n_context;
    size_t step = room - (room / 2 < STRIDE ? room / 2 : STRIDE);
    for (size_t from = 0;; from += step) {
        bool last = from + room >= q->n_context;
        if (last) from = q->n_context - room;
        NLP_TRY(push_part(call, a, q, from, room, err));
        q->n_windows++;
        if (last) return NLP_OK;
    }
}

static nlp_status tokenize(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                           nlp_error *err) {
    asking *a = job;
    asked *q = &a->asked[i];
    const nlp_text *texts = &a->texts[2 * i];
    NLP_TRY(nlp_task_tokens_of(call, &texts[0], &texts[1], nlp_task_whole_limit(call), &q->e,
                               output, err));
    for (size_t k = 0; k < q->e.n; k++) {
        if (q->e.sequence[k] != 1) continue;
        if (!q->n_context) q->first = k;
        q->n_context++;
    }
    return push_parts(call, a, q, err);
}

/* ---- Spans ---- */

/* The best span of one window; starts and ends [n + 1] are probabilities, 0 of the first token. The
 * earliest of equal ones. */
static void find_span(const float *starts, const float *ends, size_t n, size_t most, size_t first,
                      span_found *best) {
    for (size_t s = 1; s <= n; s++)
        for (size_t e = s; e <= n && e < s + most; e++) {
            double score = (double)starts[s] * (double)ends[e];
            if (score <= best->score) continue;
            best->score = score;
            best->start = first + s - 1;
            best->end = first + e - 1;
        }
}

static nlp_status read_window(nlp_task_call *call, const nlp_window *window, const asked *q,
                              float *scratch, span_found *best, nlp_error *err) {
    size_t n = window->n_places;
    float *starts = scratch, *ends = scratch + n;
    NLP_TRY(nlp_task_check_finite(call, window->out, 2 * n, err));
    for (size_t i = 0; i < n; i++) {
        starts[i] = window->out[2 * i];
        ends[i] = window->out[2 * i + 1];
    }
    call->kernels->softmax(starts, n);
    call->kernels->softmax(ends, n);
    double null_score = (double)starts[0] * (double)ends[0];
    if (null_score < best->null_score) best->null_score = null_score;
    find_span(starts, ends, n - 1, call->options->max_answer_tokens, q->first + window->text, best);
    return nlp_poll_work(call->poll, (uint64_t)n * call->options->max_answer_tokens, err);
}

/* Without a token of a context there is only the first token to choose: no answer, and certain. */
static nlp_status find_answer(nlp_task_call *call, const asking *a, size_t i, span_found *best,
                              nlp_error *err) {
    const asked *q = &a->asked[i];
    float *scratch = nlp_arena_push(call->scratch, q->n_context + 1, 2 * sizeof *scratch);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    *best = (span_found){.score = 0, .null_score = 1};
    for (size_t k = 0; k < q->n_windows; k++)
        NLP_TRY(read_window(call, &a->windows.items[q->first_window + k], q, scratch, best, err));
    return NLP_OK;
}

static bool has_answer(const nlp_task_call *call, const span_found *best) {
    return best->score > 0 && best->null_score <= best->score &&
           !(best->score < call->options->threshold); /* NaN: not set */
}

/* A run of bytes of the context as an answer, with its places where the task has them; end 0: there is
 * none. */
static nlp_value *put_place(nlp_task_call *call, nlp_text context, size_t start, size_t end,
                            uint32_t n_columns, nlp_output *output) {
    nlp_value *cells = nlp_task_row(call, output, 1, n_columns);
    if (!cells || !end) return cells;
    nlp_ruler ruler = {.text = context};
    cells[0] = nlp_value_text((nlp_text){context.bytes + start, end > start ? end - start : 0});
    if (n_columns == 1) return cells;
    cells[2] = nlp_value_integer(nlp_characters_before(&ruler, start) + 1);
    cells[3] = nlp_value_integer(nlp_characters_before(&ruler, end));
    return cells;
}

static nlp_status put_span(nlp_task_call *call, const asking *a, size_t i, uint32_t n_columns,
                           nlp_output *output, nlp_error *err) {
    span_found best;
    const nlp_encoding *e = &a->asked[i].e;
    NLP_TRY(find_answer(call, a, i, &best, err));
    bool found = has_answer(call, &best);
    nlp_value *cells = put_place(call, a->texts[2 * i + 1], found ? e->start[best.start] : 0,
                                 found ? e->end[best.end] : 0, n_columns, output);
    NLP_TRY(nlp_arena_status(call->arena, err));
    output->score = best.score;
    if (n_columns == 1) return NLP_OK;
    cells[1] = nlp_value_real(best.score);
    cells[4] = nlp_value_real(best.null_score);
    return NLP_OK;
}

/* ---- By similarity ---- */

static nlp_status run_sentences(nlp_task_call *call, const nlp_request *request,
                                nlp_output *outputs, nlp_error *err) {
    size_t n = request->n_inputs;
    uint32_t n_columns = request->task->n_columns;
    nlp_nearest *found = NLP_PUSH_ZERO(call->scratch, nlp_nearest, n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(nlp_task_nearest(call, request->texts, n, found, outputs, err));
    for (size_t i = 0; i < n; i++) {
        if (outputs[i].status != NLP_OK) continue;
        bool near = !(found[i].score < call->options->threshold); /* NaN: not set */
        nlp_value *cells = put_place(call, request->texts[2 * i + 1], found[i].start,
                                     near ? found[i].end : 0, n_columns, &outputs[i]);
        NLP_TRY(nlp_arena_status(call->arena, err));
        outputs[i].score = found[i].score;
        if (n_columns > 1) cells[1] = nlp_value_real(found[i].score);
    }
    return NLP_OK;
}

/* ---- Running ---- */

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    if (call->options->sentence) return run_sentences(call, request, outputs, err);
    NLP_TRY(nlp_task_check_head(call, NLP_HEAD_SPAN, "model that finds answers", err));
    asking a = {.texts = request->texts,
                .asked = NLP_PUSH_ZERO(call->scratch, asked, request->n_inputs)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    nlp_task_call pass = *call;
    pass.truncation = NLP_TRUNCATE_SECOND; /* a question is asked whole */
    NLP_TRY(nlp_task_each(&pass, request->n_inputs, tokenize, &a, outputs, err));
    NLP_TRY(nlp_task_run(call, &a.windows, nlp_task_read_places, err));
    for (size_t i = 0; i < request->n_inputs; i++)
        if (outputs[i].status == NLP_OK)
            NLP_TRY(put_span(call, &a, i, request->task->n_columns, &outputs[i], err));
    return NLP_OK;
}

#define SPEC(name_, help_, columns_, n_, n_shown_, rows_)                                          \
    {                                                                                              \
        .struct_size = sizeof(nlp_task_spec), .name = name_, .help = help_,                        \
        .operands = question_and_context, .n_operands = 2, .columns = columns_, .n_columns = n_,   \
        .n_shown_columns = n_shown_, .returns_rows = rows_, .model_setting = "answer_model",       \
        .options = answer_options, .n_options = sizeof answer_options / sizeof *answer_options     \
    }
static const nlp_task_spec answer_spec =
    SPEC("answer", "the answer to a question, out of a context", answer_column, 1, 1, false);
static const nlp_task_spec span_spec =
    SPEC("answer_span", "the same with its score and place", span_columns, 5, 4, true);

const nlp_task_vtable nlp_task_answer = {.struct_size = sizeof(nlp_task_vtable),
                                         .spec = &answer_spec,
                                         .run_batch = run,
                                         .models = NLP_MODEL_SPANS | NLP_MODEL_LIKENS};
const nlp_task_vtable nlp_task_answer_span = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &span_spec, .run_batch = run};
