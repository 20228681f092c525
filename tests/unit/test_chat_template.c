/* What the importer takes from a chat template: the format by its marks, and texts beside others. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "chat_template.h"
#include "test.h"

static nlp_mem mem;

#define NONE_FIRST "{% if messages[0]['role'] != 'system' %}"
#define ELSE_OF    "{%- if messages[0].role == \"system\" %}{{- 'x' }}{%- else %}\n    "
#define PLAIN      "{% for m in messages %}{{ '<|im_start|>' + m.role }}{% endfor %}"

static const struct taken {
    const char *template, *begin, *system, *no_thinking;
} taken[] = {
    {PLAIN, NULL, NULL, NULL},
    {"{{ bos_token }}" PLAIN, "<s>", NULL, NULL},
    {NONE_FIRST "{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}", NULL, "Be kind.", NULL},
    {NONE_FIRST "{{ '<|im_start|>system\\nIt\\'s\\tme\\\\.<|im_end|>\\n' }}", NULL, "It's\tme\\.",
     NULL},
    {ELSE_OF "{{- \"<|im_start|>system\\nI'm here.<|im_end|>\\n\" }}", NULL, "I'm here.", NULL},
    {NONE_FIRST "<|im_start|>system\nraw \\n text<|im_end|>\n", NULL, "raw \\n text", NULL},
    /* a branch with tools before it, as Qwen's */
    {"{% if tools %}{{- '<|im_start|>system\\n' }}{{- 'x<|im_end|>' }}" ELSE_OF
     "{{- '<|im_start|>system\\nyes<|im_end|>\\n' }}",
     NULL, "yes", NULL},
    /* no literal, no branch for chats without a system text, not the first in it, not a whole one */
    {NONE_FIRST "{{ '<|im_start|>system\\n' + x + '<|im_end|>\\n' }}", NULL, NULL, NULL},
    {NONE_FIRST "<|im_start|>system\n{{ x }}<|im_end|>\n", NULL, NULL, NULL},
    {"{% if messages[0]['role'] == 'system' %}{{ '<|im_start|>system\\na<|im_end|>' }}", NULL, NULL,
     NULL},
    {"{% if tools %}{{- 'x' }}{%- else %}{{ '<|im_start|>system\\na<|im_end|>' }}", NULL, NULL,
     NULL},
    {"{{ '<|im_start|>system\\na<|im_end|>' }}", NULL, NULL, NULL},
    {NONE_FIRST "{{ x + '<|im_start|>system\\na<|im_end|>' }}", NULL, NULL, NULL},
    {NONE_FIRST "{{ '<|im_start|>system\\n\\x41<|im_end|>' }}", NULL, NULL, NULL},
    {NONE_FIRST "{{ '<|im_start|>system\\n<|im_end|>' }}", NULL, NULL, NULL},
    {NONE_FIRST "{{ '<|im_start|>system\\nno end", NULL, NULL, NULL},
    {NONE_FIRST "{{ '<|im_start|>system", NULL, NULL, NULL},
    {PLAIN "{% if enable_thinking is defined and enable_thinking is false %}\n"
           "    {{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}",
     NULL, NULL, "<think>\n\n</think>\n\n"},
    {PLAIN "{% if enable_thinking is false %}{{- x }}{% endif %}", NULL, NULL, NULL},
    {PLAIN "{% if enable_thinking is false %}", NULL, NULL, NULL},
};

static void check_text(const char *got, const char *want) {
    if (want)
        CHECK_TEXT(got, want);
    else
        CHECK(got == NULL);
}

static void check_taken(const struct taken *row) {
    nlp_error err;
    nlp_model_folder f = {.mem = &mem, .is_file = true};
    nlp_arena_init(&f.arena, &mem);
    f.tokenizer_config =
        json_pack("{s:s, s:{s:s}}", "chat_template", row->template, "bos_token", "content", "<s>");
    CHECK_STATUS(nlp_chat_template_read(&f, NULL, &err), NLP_OK, &err);
    check_text(f.chat_template, "chatml");
    check_text(f.chat_begin, row->begin);
    check_text(f.chat_system, row->system);
    check_text(f.chat_no_thinking, row->no_thinking);
    json_decref(f.tokenizer_config);
    nlp_arena_deinit(&f.arena);
}

static void test_texts_are_taken_by_marks(void) {
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) check_taken(&taken[i]);
}

/* A template of nothing but marks takes no longer than another. */
static void test_hostile_templates_end(void) {
    static const char mark[] = "{%if%}<|im_start|>system\n";
    enum { N = 100000 };
    char *text = malloc(N * (sizeof mark - 1) + 1);
    for (size_t i = 0; i < N; i++) memcpy(text + i * (sizeof mark - 1), mark, sizeof mark);
    const struct taken row = {text, NULL, NULL, NULL};
    check_taken(&row);
    free(text);
}

static void recognise(const char *template, const char *name) {
    nlp_error err;
    nlp_model_folder f = {.mem = &mem, .is_file = true};
    nlp_arena_init(&f.arena, &mem);
    f.tokenizer_config = json_pack("{s:s}", "chat_template", template);
    CHECK_STATUS(nlp_chat_template_read(&f, NULL, &err), NLP_OK, &err);
    CHECK_TEXT(f.chat_template, name);
    json_decref(f.tokenizer_config);
    nlp_arena_deinit(&f.arena);
}

static void test_kin_are_told_apart(void) {
    recognise("[SYSTEM_PROMPT] [INST] ", "mistral-v7");
    recognise("'[SYSTEM_PROMPT]' + x '[INST]'", "mistral-v7-tekken");
    recognise("'<|user|>' + '\\n' + message['content'] + '<|end|>' '<|assistant|>'", "phi3");
    recognise("'<|assistant|>' '<|' + role + '|>' + message['content'] + '<|end|>'", "phi4-mini");
    recognise("'<|assistant|>' '<|system|>' + system_message '<|end|>'", "phi4-mini");
    recognise("'<|user|>\\n' + message['content'] + eos_token '<|assistant|>'", "zephyr");
    recognise("'<|user|>\\n' + message['content'] + '\\n' '<|assistant|>'", "tulu");
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"texts_are_taken_by_marks", test_texts_are_taken_by_marks},
        {"hostile_templates_end", test_hostile_templates_end},
        {"kin_are_told_apart", test_kin_are_told_apart},
    };
    nlp_mem_init(&mem, NULL, NULL, 0);
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
