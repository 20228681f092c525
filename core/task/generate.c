/* generate.c: a text that goes on from a prompt, as the model has it: no template is put around it
 * (nlp_chat does that). */
#include "task/task.h"

static const nlp_column prompt[] = {{"prompt", NLP_TYPE_TEXT}};
/* Ids and finish stand behind what SQL shows. */
static const nlp_column written_columns[] = {NLP_WRITTEN_COLUMNS};
static const nlp_option_spec generate_options[] = {NLP_OPTIONS_OF_WRITING("256"),
                                                   NLP_OPTIONS_OF_FORM, NLP_OPTION_CUT_OR_ERROR,
                                                   NLP_OPTION_ON_ERROR};

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    return nlp_task_write_each(call, request, nlp_task_begin_draft, outputs, err);
}

static nlp_status open_stream(nlp_task_call *call, const nlp_request *request, void **state,
                              nlp_error *err) {
    return nlp_task_stream_open(call, request, nlp_task_begin_draft, state, err);
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
                                           .stream_next = nlp_task_stream_next,
                                           .models = NLP_MODEL_WRITES};
