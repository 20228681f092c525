/* generate.c: a text that goes on from a prompt, as the model has it: no template is put around it
 * (nlp_chat does that). */
#include "task/task.h"

static const nlp_column prompt[] = {{"prompt", NLP_TYPE_TEXT}};
/* Ids and finish stand behind what SQL shows. */
static const nlp_column written_columns[] = {NLP_WRITTEN_COLUMNS};
static const nlp_option_spec generate_options[] = {NLP_OPTIONS_OF_WRITING("256"),
                                                   NLP_OPTION_CUT_OR_ERROR, NLP_OPTION_ON_ERROR};

typedef struct generating {
    const nlp_text *prompts;
    nlp_manner manner;
    nlp_draft *drafts; /* of the prompts that did not fail */
    size_t *inputs;    /* their numbers */
    size_t n;
} generating;

static nlp_status begin_input(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                              nlp_error *err) {
    generating *g = job;
    NLP_TRY(nlp_task_begin_draft(call, &g->manner, &g->prompts[i], &g->drafts[g->n], output, err));
    g->inputs[g->n++] = i;
    return NLP_OK;
}

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    size_t n = request->n_inputs;
    generating g = {.prompts = request->texts,
                    .drafts = NLP_PUSH_ZERO(call->scratch, nlp_draft, n),
                    .inputs = NLP_PUSH(call->scratch, size_t, n)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(nlp_task_manner(call, &g.manner, err));
    NLP_TRY(nlp_task_each(call, n, begin_input, &g, outputs, err));
    NLP_TRY(nlp_task_write(call, &g.manner, g.drafts, g.n, err));
    for (size_t i = 0; i < g.n; i++)
        NLP_TRY(nlp_task_written_row(call, &g.drafts[i], &outputs[g.inputs[i]], err));
    return NLP_OK;
}

static nlp_status open_stream(nlp_task_call *call, const nlp_request *request, void **state,
                              nlp_error *err) {
    nlp_manner manner;
    nlp_draft draft;
    nlp_output unused = {0};
    NLP_TRY(nlp_task_manner(call, &manner, err));
    NLP_TRY(nlp_task_begin_draft(call, &manner, request->texts, &draft, &unused, err));
    return nlp_task_stream_open(call, &manner, &draft, state, err);
}

static const nlp_task_spec generate_spec = {.struct_size = sizeof generate_spec,
                                            .name = "generate",
                                            .help = "a text that goes on from a prompt",
                                            .operands = prompt,
                                            .n_operands = 1,
                                            .columns = written_columns,
                                            .n_columns = 3,
                                            .n_shown_columns = 1,
                                            .tunable = "max_tokens",
                                            .model_setting = "generate_model",
                                            .default_model = "smollm2",
                                            .options = generate_options,
                                            .n_options =
                                                sizeof generate_options / sizeof *generate_options};

const nlp_task_vtable nlp_task_generate = {.struct_size = sizeof(nlp_task_vtable),
                                           .spec = &generate_spec,
                                           .run_batch = run,
                                           .stream_open = open_stream,
                                           .stream_next = nlp_task_stream_next};
