/* extract.c: what a text says, in the form of a JSON schema: valid by construction, whatever the model
 * would like to write. */
#include <string.h>

#include "base/utf8.h"
#include "task/task.h"

static const nlp_column text_and_schema[] = {{"text", NLP_TYPE_TEXT}, {"schema", NLP_TYPE_JSON}};
static const nlp_column value_column[] = {{"value", NLP_TYPE_JSON}};
static const nlp_option_spec extract_options[] = {NLP_OPTIONS_OF_WRITING("256"),
                                                  NLP_OPTION_CUT_OR_ERROR, NLP_OPTION_ON_ERROR};

/* Without an example: a small model copies from one. */
static const char before_text[] = "Text: ", before_schema[] = "\nSchema: ",
                  before_answer[] = "\nWrite what the text says as JSON of this schema.";

typedef struct extracting {
    const nlp_text *texts; /* [n][text, schema] */
    nlp_manner manner;
    nlp_bound *bounds; /* [n] the first n_bounds: distinct schemas */
    size_t n_bounds;
    nlp_draft *drafts;
    size_t *inputs;
    size_t n;
} extracting;

static nlp_status find_bound(nlp_task_call *call, extracting *x, nlp_text schema,
                             const nlp_bound **out, nlp_error *err) {
    for (size_t i = 0; i < x->n_bounds; i++)
        if (nlp_text_equal(x->bounds[i].text, schema)) {
            *out = &x->bounds[i];
            return NLP_OK;
        }
    NLP_TRY(nlp_task_bound_by_schema(call, schema, &x->bounds[x->n_bounds], err));
    *out = &x->bounds[x->n_bounds++];
    return NLP_OK;
}

static nlp_status request_of(nlp_task_call *call, nlp_text text, nlp_text schema, nlp_text *out,
                             nlp_error *err) {
    const nlp_text parts[] = {{before_text, sizeof before_text - 1},
                              text,
                              {before_schema, sizeof before_schema - 1},
                              schema,
                              {before_answer, sizeof before_answer - 1}};
    return nlp_task_join(call, parts, 5, out, err);
}

/* A model of chats is asked, another one goes on from the request. */
static nlp_status begin_input(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                              nlp_error *err) {
    extracting *x = job;
    nlp_draft *draft = &x->drafts[x->n];
    const nlp_text *operands = &x->texts[2 * i];
    const nlp_bound *bound;
    nlp_text ask;
    NLP_TRY(find_bound(call, x, operands[1], &bound, err));
    NLP_TRY(request_of(call, operands[0], operands[1], &ask, err));
    nlp_chat_message message = {NLP_CHAT_USER, ask};
    nlp_chat_request chat = {.messages = &message, .n_messages = 1, .no_thinking = true};
    NLP_TRY(call->model->chat
                ? nlp_task_begin_chat(call, &x->manner, &chat, &ask, draft, output, err)
                : nlp_task_begin_draft(call, &x->manner, &ask, draft, output, err));
    draft->constraint = bound->constraint;
    draft->work = bound->work;
    x->inputs[x->n++] = i;
    return NLP_OK;
}

static nlp_status put_value(nlp_task_call *call, const nlp_draft *draft, nlp_output *output,
                            nlp_error *err) {
    nlp_value *cells = nlp_task_row(call, output, 1, 1);
    char *text = nlp_arena_text(call->arena, draft->text.bytes, draft->text.n_bytes);
    NLP_TRY(nlp_arena_status(call->arena, err));
    cells[0] =
        (nlp_value){.type = NLP_TYPE_JSON, .n = (uint32_t)draft->text.n_bytes, .as.text = text};
    return NLP_OK;
}

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    size_t n = request->n_inputs;
    extracting x = {.texts = request->texts,
                    .bounds = NLP_PUSH_ZERO(call->scratch, nlp_bound, n),
                    .drafts = NLP_PUSH_ZERO(call->scratch, nlp_draft, n),
                    .inputs = NLP_PUSH(call->scratch, size_t, n)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(nlp_task_manner(call, &x.manner, err));
    x.manner.guess = true;
    if (x.manner.n_beams > 1 || x.manner.n_stops)
        return nlp_fail(err, NLP_EINVAL,
                        "nlp_extract is bound by its schema: it takes no stop and no num_beams");
    NLP_TRY(nlp_task_each(call, n, begin_input, &x, outputs, err));
    NLP_TRY(nlp_task_write(call, &x.manner, x.drafts, x.n, err));
    for (size_t i = 0; i < x.n; i++)
        NLP_TRY(put_value(call, &x.drafts[i], &outputs[x.inputs[i]], err));
    return NLP_OK;
}

static const nlp_task_spec extract_spec = {.struct_size = sizeof extract_spec,
                                           .name = "extract",
                                           .help = "what a text says, as JSON of a schema",
                                           .operands = text_and_schema,
                                           .n_operands = 2,
                                           .columns = value_column,
                                           .n_columns = 1,
                                           .model_setting = "extract_model",
                                           .default_model = "smollm2",
                                           .options = extract_options,
                                           .n_options =
                                               sizeof extract_options / sizeof *extract_options};

const nlp_task_vtable nlp_task_extract = {.struct_size = sizeof(nlp_task_vtable),
                                          .spec = &extract_spec,
                                          .run_batch = run,
                                          .models = NLP_MODEL_WRITES};
