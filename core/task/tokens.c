/* tokens.c: what the tokenizer does: token_count, unknown_count, tokenize, tokens, detokenize, would_truncate. */
#include <string.h>

#include "task/task.h"

static const nlp_column one_text[] = {{"text", NLP_TYPE_TEXT}},
                        ids_operand[] = {{"ids", NLP_TYPE_IDS}};
static const nlp_column count_column[] = {{"tokens", NLP_TYPE_INTEGER}},
                        ids_column[] = {{"ids", NLP_TYPE_IDS}};
static const nlp_column text_column[] = {{"text", NLP_TYPE_TEXT}},
                        unknown_column[] = {{"unknown", NLP_TYPE_INTEGER}},
                        flag_column[] = {{"truncated", NLP_TYPE_BOOLEAN}};
static const nlp_column token_columns[] = {{"ord", NLP_TYPE_INTEGER},
                                           {"id", NLP_TYPE_INTEGER},
                                           {"token", NLP_TYPE_TEXT},
                                           {"start_pos", NLP_TYPE_INTEGER},
                                           {"end_pos", NLP_TYPE_INTEGER}};
static const nlp_option_spec count_options[] = {NLP_OPTION_ON_ERROR, NLP_OPTION_SPECIAL};
static const nlp_option_spec unknown_options[] = {NLP_OPTION_ON_ERROR};
static const nlp_option_spec token_options[] = {NLP_OPTION_ON_OVERFLOW, NLP_OPTION_ON_ERROR,
                                                NLP_OPTION_MAX_TOKENS, NLP_OPTION_SPECIAL,
                                                NLP_OPTION_PAIR};
static const nlp_option_spec truncate_options[] = {NLP_OPTION_ON_ERROR, NLP_OPTION_MAX_TOKENS};

/* Ids of one text; limit 0: as many as it has. */
static nlp_status encode(nlp_task_call *call, const nlp_text *text, uint32_t limit, nlp_encoding *e,
                         nlp_output *output, nlp_error *err) {
    const nlp_text *pair = call->options->pair.bytes ? &call->options->pair : NULL;
    nlp_encode_options options = {.max_tokens = limit,
                                  .no_special_tokens = !call->options->special_tokens,
                                  .cache = call->cache,
                                  .work = call->work};
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, text, pair, &options, call->scratch,
                                 call->poll, e, err));
    if (e->truncated && call->options->on_overflow == NLP_OVERFLOW_ERROR)
        return nlp_task_over_limit(call, e->n_full, err);
    nlp_task_count_tokens(call, e, output);
    return NLP_OK;
}

typedef nlp_status (*put_fn)(nlp_task_call *call, const nlp_text *text, const nlp_encoding *e,
                             nlp_output *output, nlp_error *err);

typedef struct token_job {
    const nlp_text *texts;
    uint32_t limit;
    put_fn put;
} token_job;

static nlp_status run_one(nlp_task_call *call, void *context, size_t i, nlp_output *output,
                          nlp_error *err) {
    const token_job *job = context;
    nlp_encoding e;
    NLP_TRY(encode(call, &job->texts[i], job->limit, &e, output, err));
    return job->put(call, &job->texts[i], &e, output, err);
}

static nlp_status run_each(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                           uint32_t limit, put_fn put, nlp_error *err) {
    token_job job = {request->texts, limit, put};
    return nlp_task_each(call, request->n_inputs, run_one, &job, outputs, err);
}

static nlp_status put_count(nlp_task_call *call, const nlp_text *text, const nlp_encoding *e,
                            nlp_output *output, nlp_error *err) {
    (void)text;
    nlp_value *cell = nlp_task_row(call, output, 1, 1);
    if (cell) *cell = nlp_value_integer((int64_t)e->n_full);
    return nlp_arena_status(call->arena, err);
}

/* Of all that the text has, as put_count. */
static nlp_status put_unknown(nlp_task_call *call, const nlp_text *text, const nlp_encoding *e,
                              nlp_output *output, nlp_error *err) {
    (void)text;
    nlp_value *cell = nlp_task_row(call, output, 1, 1);
    if (cell) *cell = nlp_value_integer((int64_t)e->n_unknown);
    return nlp_arena_status(call->arena, err);
}

static nlp_status put_ids(nlp_task_call *call, const nlp_text *text, const nlp_encoding *e,
                          nlp_output *output, nlp_error *err) {
    (void)text;
    nlp_value *cell = nlp_task_row(call, output, 1, 1);
    int32_t *ids = NLP_PUSH(call->arena, int32_t, e->n);
    NLP_TRY(nlp_arena_status(call->arena, err));
    if (e->n) memcpy(ids, e->ids, e->n * sizeof *ids);
    *cell = (nlp_value){.type = NLP_TYPE_IDS, .n = (uint32_t)e->n, .as.ids = ids};
    return NLP_OK;
}

static nlp_status put_truncated(nlp_task_call *call, const nlp_text *text, const nlp_encoding *e,
                                nlp_output *output, nlp_error *err) {
    (void)text;
    nlp_value *cell = nlp_task_row(call, output, 1, 1);
    if (cell)
        *cell = (nlp_value){.type = NLP_TYPE_BOOLEAN,
                            .as.boolean = e->n_full > nlp_task_token_limit(call)};
    return nlp_arena_status(call->arena, err);
}

/* Places in characters from 1, the end included, as SQL's substring counts. */
static nlp_status put_tokens(nlp_task_call *call, const nlp_text *text, const nlp_encoding *e,
                             nlp_output *output, nlp_error *err) {
    nlp_value *cells = nlp_task_row(call, output, (uint32_t)e->n, 5);
    NLP_TRY(nlp_arena_status(call->arena, err));
    nlp_ruler rulers[2] = {{.text = *text}, {.text = call->options->pair}};
    for (size_t i = 0; i < e->n; i++, cells += 5) {
        cells[0] = nlp_value_integer((int64_t)i + 1);
        cells[1] = nlp_value_integer(e->ids[i]);
        cells[2] = nlp_value_text(nlp_tokenizer_piece(call->model->tokenizer, e->ids[i]));
        if (e->sequence[i] < 0) continue;
        nlp_ruler *r = &rulers[e->sequence[i]];
        cells[3] = nlp_value_integer(nlp_characters_before(r, e->start[i]) + 1);
        cells[4] = nlp_value_integer(nlp_characters_before(r, e->end[i]));
    }
    return NLP_OK;
}

static nlp_status run_count(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                            nlp_error *err) {
    return run_each(call, request, outputs, 0, put_count, err);
}
static nlp_status run_unknown(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                              nlp_error *err) {
    return run_each(call, request, outputs, 0, put_unknown, err);
}
static nlp_status run_tokenize(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                               nlp_error *err) {
    return run_each(call, request, outputs, nlp_task_token_limit(call), put_ids, err);
}
static nlp_status run_tokens(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                             nlp_error *err) {
    return run_each(call, request, outputs, nlp_task_token_limit(call), put_tokens, err);
}
static nlp_status run_would_truncate(nlp_task_call *call, const nlp_request *request,
                                     nlp_output *outputs, nlp_error *err) {
    return run_each(call, request, outputs, 0, put_truncated, err);
}

/* Ids come from a user's array: each is checked against the vocabulary. */
static nlp_status run_detokenize(nlp_task_call *call, const nlp_request *request,
                                 nlp_output *outputs, nlp_error *err) {
    for (size_t i = 0; i < request->n_inputs; i++) {
        nlp_text text;
        const nlp_value *ids = &request->ids[i];
        nlp_value *cell = nlp_task_row(call, &outputs[i], 1, 1);
        NLP_TRY(nlp_arena_status(call->arena, err));
        if (ids->type == NLP_TYPE_NULL) continue;
        NLP_TRY(nlp_tokenizer_decode(call->model->tokenizer, ids->as.ids, ids->n, true, call->arena,
                                     &text, err));
        *cell = nlp_value_text(text);
        NLP_TRY(nlp_poll_work(call->poll, (uint64_t)ids->n << 6, err));
    }
    return NLP_OK;
}

#define SPEC(name_, help_, operand_, columns_, n_, rows_, options_)                                \
    {                                                                                              \
        .struct_size = sizeof(nlp_task_spec), .name = name_, .help = help_, .operands = operand_,  \
        .n_operands = 1, .columns = columns_, .n_columns = n_, .returns_rows = rows_,              \
        .model_setting = "embed_model", .default_model = "minilm", .options = options_,            \
        .n_options = sizeof options_ / sizeof *options_                                            \
    }
static const nlp_task_spec count_spec =
    SPEC("token_count", "tokens of a text, special ones included", one_text, count_column, 1, false,
         count_options);
static const nlp_task_spec unknown_spec =
    SPEC("unknown_count", "tokens of a text that stand for what the model's vocabulary can't spell",
         one_text, unknown_column, 1, false, unknown_options);
static const nlp_task_spec tokenize_spec =
    SPEC("tokenize", "token ids of a text", one_text, ids_column, 1, false, token_options);
static const nlp_task_spec tokens_spec = SPEC("tokens", "tokens of a text with their places",
                                              one_text, token_columns, 5, true, token_options);
static const nlp_task_spec detokenize_spec = {.struct_size = sizeof(nlp_task_spec),
                                              .name = "detokenize",
                                              .help =
                                                  "the text of token ids, special ones left out",
                                              .operands = ids_operand,
                                              .n_operands = 1,
                                              .columns = text_column,
                                              .n_columns = 1,
                                              .model_setting = "embed_model",
                                              .default_model = "minilm"};
static const nlp_task_spec truncate_spec =
    SPEC("would_truncate", "whether a text is over the token limit", one_text, flag_column, 1,
         false, truncate_options);

const nlp_task_vtable nlp_task_token_count = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &count_spec, .run_batch = run_count};
const nlp_task_vtable nlp_task_unknown_count = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &unknown_spec, .run_batch = run_unknown};
const nlp_task_vtable nlp_task_tokenize = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &tokenize_spec, .run_batch = run_tokenize};
const nlp_task_vtable nlp_task_tokens = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &tokens_spec, .run_batch = run_tokens};
const nlp_task_vtable nlp_task_detokenize = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &detokenize_spec, .run_batch = run_detokenize};
const nlp_task_vtable nlp_task_would_truncate = {.struct_size = sizeof(nlp_task_vtable),
                                                 .spec = &truncate_spec,
                                                 .run_batch = run_would_truncate};
