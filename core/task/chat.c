/* chat.c: the next answer of a conversation, in the format that the model was trained on. */
#include <string.h>

#include "base/json_read.h"
#include "task/task.h"

static const nlp_column messages_column[] = {{"messages", NLP_TYPE_JSON}};
static const nlp_column written_columns[] = {NLP_WRITTEN_COLUMNS};
static const nlp_option_spec chat_options[] = {NLP_OPTIONS_OF_WRITING("256"), NLP_OPTIONS_OF_FORM,
                                               NLP_OPTION_CUT_OR_ERROR, NLP_OPTION_ON_ERROR};

static nlp_status wrong_shape(nlp_error *err, size_t i) {
    nlp_fail(err, NLP_EINVAL, "message %zu is no object with the texts \"role\" and \"content\"",
             i + 1);
    nlp_hint(err, "messages look so: [{\"role\": \"user\", \"content\": \"Hello\"}]");
    return NLP_EINVAL;
}

static nlp_status read_message(const nlp_json *json, size_t i, nlp_chat_message *message,
                               nlp_error *err) {
    const nlp_json *role = nlp_json_member(json, "role"),
                   *content = nlp_json_member(json, "content");
    bool good =
        role && role->kind == NLP_JSON_STRING && content && content->kind == NLP_JSON_STRING;
    if (!good) return wrong_shape(err, i);
    message->content = content->text;
    return nlp_chat_role_find(role->text, &message->role, err);
}

/* A string alone is what a user says. */
static nlp_status read_messages(nlp_task_call *call, nlp_text text, nlp_chat_request *request,
                                nlp_error *err) {
    const nlp_json *root;
    size_t n = 0;
    NLP_TRY(nlp_json_read(text, "list of messages", call->scratch, &root, err));
    bool is_list = root->kind == NLP_JSON_ARRAY;
    if (!is_list && root->kind != NLP_JSON_STRING) return wrong_shape(err, 0);
    nlp_chat_message *messages = NLP_PUSH(call->scratch, nlp_chat_message, is_list ? root->n : 1);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    if (!is_list) messages[n++] = (nlp_chat_message){NLP_CHAT_USER, root->text};
    for (const nlp_json *m = is_list ? root->first : NULL; m; m = m->next, n++)
        NLP_TRY(read_message(m, n, &messages[n], err));
    request->messages = messages;
    request->n_messages = n;
    return NLP_OK;
}

static nlp_status begin_draft(nlp_task_call *call, const nlp_manner *manner, const nlp_text *text,
                              nlp_draft *draft, nlp_output *output, nlp_error *err) {
    nlp_chat_request request = {0};
    NLP_TRY(read_messages(call, *text, &request, err));
    return nlp_task_begin_chat(call, manner, &request, text, draft, output, err);
}

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    return nlp_task_write_each(call, request, begin_draft, outputs, err);
}

static nlp_status open_stream(nlp_task_call *call, const nlp_request *request, void **state,
                              nlp_error *err) {
    return nlp_task_stream_open(call, request, begin_draft, state, err);
}

static const nlp_task_spec chat_spec = {.struct_size = sizeof chat_spec,
                                        .name = "chat",
                                        .help = "the next answer of a conversation",
                                        .operands = messages_column,
                                        .n_operands = 1,
                                        .columns = written_columns,
                                        .n_columns = 3,
                                        .n_shown_columns = 1,
                                        .tunable = "max_tokens",
                                        .model_setting = "chat_model",
                                        .default_model = "smollm2",
                                        .options = chat_options,
                                        .n_options = sizeof chat_options / sizeof *chat_options};

const nlp_task_vtable nlp_task_chat = {.struct_size = sizeof(nlp_task_vtable),
                                       .spec = &chat_spec,
                                       .run_batch = run,
                                       .stream_open = open_stream,
                                       .stream_next = nlp_task_stream_next,
                                       .models = NLP_MODEL_CHATS};
