/* chat_template.c: marks of the formats, in the order in which they are tried, since some formats have the
 * marks of others. */
#include "chat_template.h"

#include <stdio.h>
#include <string.h>

#include "base/mapfile.h"
#include "json.h"

enum { MOST_MARKS = 3 };

static const struct format {
    const char *name;
    const char *marks[MOST_MARKS]; /* all of them must be there */
    const char *without;           /* and this one not; NULL: none */
} formats[] = {
    {"phi4", {"<|im_start|>", "<|im_sep|>"}, NULL},
    {"chatml", {"<|im_start|>"}, "<end_of_utterance>"},
    {"mistral-v7-tekken", {"[INST]", "[SYSTEM_PROMPT]"}, "[SYSTEM_PROMPT] "},
    {"mistral-v7", {"[INST]", "[SYSTEM_PROMPT]"}, NULL},
    {"mistral-v1", {"[INST]", "' [INST] ' + system_message"}, NULL},
    {"mistral-tekken", {"[INST]", "[AVAILABLE_TOOLS]", "\"[INST]\""}, NULL},
    {"mistral-v3", {"[INST]", "[AVAILABLE_TOOLS]"}, NULL},
    {"llama2", {"[INST]", "<<SYS>>"}, NULL},
    {"phi4-mini", {"<|end|>", "'|>' + message['content'] + '<|end|>'"}, NULL},
    {"phi4-mini", {"<|end|>", "'<|system|>' + system_message"}, NULL},
    {"phi3", {"<|assistant|>", "<|end|>"}, NULL},
    {"tulu", {"<|user|>", "<|assistant|>", "'<|user|>\\n' + message['content'] + '\\n'"}, NULL},
    {"zephyr", {"<|user|>", "<|assistant|>"}, NULL},
    {"gemma", {"<start_of_turn>"}, NULL},
    {"llama3", {"<|start_header_id|>", "<|end_header_id|>"}, NULL},
    {"granite", {"<|start_of_role|>"}, NULL},
    {"deepseek",
     {"<\uFF5CUser\uFF5C>", "<\uFF5CAssistant\uFF5C>", "<\uFF5Cend\u2581of\u2581sentence\uFF5C>"},
     NULL},
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

static bool has(nlp_text text, const char *mark) {
    return memmem(text.bytes, text.n_bytes, mark, strlen(mark)) != NULL;
}

static bool matches(const struct format *format, nlp_text text) {
    for (size_t i = 0; i < MOST_MARKS && format->marks[i]; i++)
        if (!has(text, format->marks[i])) return false;
    return !format->without || !has(text, format->without);
}

static void list_names(char out[256]) {
    size_t n = 0;
    for (size_t i = 0; i < N_FORMATS; i++)
        if (!i || strcmp(formats[i].name, formats[i - 1].name) != 0)
            n += (size_t)snprintf(out + n, 256 - n, "%s, ", formats[i].name);
    snprintf(out + n, 256 - n, "or none");
}

const char *nlp_chat_template_name(size_t index) {
    return index < N_FORMATS ? formats[index].name : NULL;
}

static nlp_status recognise(nlp_model_folder *f, nlp_text text, nlp_error *err) {
    char names[256];
    for (size_t i = 0; i < N_FORMATS && !f->chat_template; i++)
        if (matches(&formats[i], text)) f->chat_template = formats[i].name;
    if (f->chat_template) return nlp_chat_texts_read(f, text, err);
    list_names(names);
    nlp_fail(err, NLP_EUNSUPPORTED, "the model's chat template is none that nlp knows");
    nlp_hint(err, "say with --chat-template which it is: %s", names);
    return NLP_EUNSUPPORTED;
}

static nlp_status take_given(nlp_model_folder *f, const char *given, nlp_error *err) {
    char names[256];
    if (!strcmp(given, "none")) return NLP_OK;
    for (size_t i = 0; i < N_FORMATS; i++)
        if (!strcmp(given, formats[i].name)) f->chat_template = formats[i].name;
    if (f->chat_template) return NLP_OK;
    list_names(names);
    return nlp_fail(err, NLP_EINVAL, "--chat-template is %s, not %.32s", names, given);
}

/* A text, or the one called "default" of a list of {name, template}. */
static const json_t *default_template(const json_t *config) {
    const json_t *value = json_object_get(config, "chat_template");
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *entry = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && !strcmp(name, "default")) return json_object_get(entry, "template");
    }
    return json_is_null(value) ? NULL : value;
}

static nlp_status load_file(nlp_model_folder *f, uint8_t **bytes, size_t *n_bytes, nlp_error *err) {
    char path[4096];
    if (f->is_file) return NLP_ENOFILE;
    snprintf(path, sizeof path, "%s/chat_template.jinja", f->path);
    return nlp_file_load(path, NLP_JSON_CONFIG_BYTES, f->mem, bytes, n_bytes, err);
}

nlp_status nlp_chat_template_read(nlp_model_folder *f, const char *given, nlp_error *err) {
    uint8_t *bytes;
    size_t n_bytes;
    if (given) return take_given(f, given, err);
    nlp_status status = load_file(f, &bytes, &n_bytes, err);
    if (status == NLP_OK) {
        status = recognise(f, (nlp_text){(const char *)bytes, n_bytes}, err);
        nlp_mem_free(f->mem, bytes, n_bytes + 1);
        return status;
    }
    if (status != NLP_ENOFILE) return status;
    const json_t *text = default_template(f->tokenizer_config);
    if (!text) return NLP_OK;
    return recognise(f, (nlp_text){json_string_value(text), json_string_length(text)}, err);
}
