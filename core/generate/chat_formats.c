/* chat_formats.c: the known formats, as the templates that their models are published with render them.
 * The names are those that the importer finds by its marks (importer/chat_template.c). */
#include "generate/chat_formats.h"

#include <string.h>

#define BEGIN NLP_CHAT_BEGIN
#define END   NLP_CHAT_END

#define USER_LED   (NLP_CHAT_ALTERNATES | NLP_CHAT_SYSTEM_FIRST)
#define TRIM_WORDS (NLP_CHAT_TRIM_USER | NLP_CHAT_TRIM_ASSISTANT)

/* The frame of a role whose name stands in it. */
#define NAMED(before, between, after)                                                              \
    {                                                                                              \
        {before "system" between, after}, {before "user" between, after}, {                        \
            before "assistant" between, after                                                      \
        }                                                                                          \
    }

static const nlp_chat_format formats[] = {
    {.name = "phi4",
     .turns = NAMED("<|im_start|>", "<|im_sep|>", "<|im_end|>"),
     .prompt = "<|im_start|>assistant<|im_sep|>",
     .end_of_turn = "<|im_end|>"},
    {.name = "chatml",
     .turns = NAMED("<|im_start|>", "\n", "<|im_end|>\n"),
     .prompt = "<|im_start|>assistant\n",
     .end_of_turn = "<|im_end|>"},
    {.name = "mistral-v1",
     .begin = "<s>",
     .end = "</s>",
     .turns = {{"", "\n\n"}, {" [INST] ", " [/INST]"}, {" ", END}},
     .prompt = "",
     .end_of_turn = END,
     .system_place = NLP_CHAT_IN_FIRST_USER,
     .flags = USER_LED},
    {.name = "mistral-v3",
     .begin = "<s>",
     .end = "</s>",
     .turns = {{"", "\n\n"}, {"[INST] ", "[/INST]"}, {" ", END}},
     .prompt = "",
     .end_of_turn = END,
     .system_place = NLP_CHAT_IN_LAST_USER,
     .flags = USER_LED | NLP_CHAT_TRIM_ASSISTANT},
    {.name = "mistral-tekken",
     .begin = "<s>",
     .end = "</s>",
     .turns = {{"", "\n\n"}, {"[INST]", "[/INST]"}, {"", END}},
     .prompt = "",
     .end_of_turn = END,
     .system_place = NLP_CHAT_IN_LAST_USER,
     .flags = USER_LED},
    {.name = "mistral-v7",
     .begin = "<s>",
     .end = "</s>",
     .turns = {{"[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"}, {"[INST] ", "[/INST]"}, {" ", END}},
     .prompt = "",
     .end_of_turn = END,
     .flags = USER_LED},
    {.name = "mistral-v7-tekken",
     .begin = "<s>",
     .end = "</s>",
     .turns = {{"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"}, {"[INST]", "[/INST]"}, {"", END}},
     .prompt = "",
     .end_of_turn = END,
     .flags = USER_LED},
    {.name = "llama2",
     .begin = "<s>",
     .end = "</s>",
     .turns = {{"<<SYS>>\n", "\n<</SYS>>\n\n"}, {BEGIN "[INST] ", " [/INST]"}, {" ", " " END}},
     .prompt = "",
     .end_of_turn = END,
     .system_place = NLP_CHAT_IN_FIRST_USER,
     .flags = USER_LED | TRIM_WORDS | NLP_CHAT_TRIM_TURN},
    {.name = "phi3",
     .turns = NAMED("<|", "|>\n", "<|end|>\n"),
     .prompt = "<|assistant|>\n",
     .end_of_turn = "<|end|>"},
    {.name = "phi4-mini",
     .turns = NAMED("<|", "|>", "<|end|>"),
     .prompt = "<|assistant|>",
     .end_of_turn = "<|end|>"},
    {.name = "tulu", /* OLMo 2 and Falcon 3 too */
     .end = "<|endoftext|>",
     .turns = {{"<|system|>\n", "\n"}, {"<|user|>\n", "\n"}, {"<|assistant|>\n", END "\n"}},
     .prompt = "<|assistant|>\n",
     .end_of_turn = END},
    {.name = "zephyr",
     .end = "</s>",
     .turns = NAMED("<|", "|>\n", END "\n"),
     .prompt = "<|assistant|>\n",
     .end_of_turn = END},
    {.name = "gemma",
     .begin = "<bos>",
     .turns = {{"", "\n\n"},
               {"<start_of_turn>user\n", "<end_of_turn>\n"},
               {"<start_of_turn>model\n", "<end_of_turn>\n"}},
     .prompt = "<start_of_turn>model\n",
     .end_of_turn = "<end_of_turn>",
     .system_place = NLP_CHAT_IN_FIRST_USER,
     .flags = USER_LED | TRIM_WORDS},
    {.name = "llama3",
     .begin = "<|begin_of_text|>",
     .turns = NAMED("<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"),
     .prompt = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .end_of_turn = "<|eot_id|>",
     .flags = TRIM_WORDS | NLP_CHAT_TRIM_SYSTEM},
    {.name = "granite",
     .turns = NAMED("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>\n"),
     .prompt = "<|start_of_role|>assistant<|end_of_role|>",
     .end_of_turn = "<|end_of_text|>"},
    {.name = "deepseek", /* with full-width bars and U+2581 */
     .begin = "<\uFF5Cbegin\u2581of\u2581sentence\uFF5C>",
     .end = "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
     .turns = {{"", ""}, {"<\uFF5CUser\uFF5C>", ""}, {"<\uFF5CAssistant\uFF5C>", END}},
     .prompt = "<\uFF5CAssistant\uFF5C>",
     .end_of_turn = END,
     .flags = NLP_CHAT_SYSTEM_FIRST},
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

const nlp_chat_format *nlp_chat_format_find(nlp_text name) {
    for (size_t i = 0; i < N_FORMATS; i++)
        if (strlen(formats[i].name) == name.n_bytes &&
            !memcmp(formats[i].name, name.bytes, name.n_bytes))
            return &formats[i];
    return NULL;
}

const char *nlp_chat_format_name(size_t index) {
    return index < N_FORMATS ? formats[index].name : NULL;
}
