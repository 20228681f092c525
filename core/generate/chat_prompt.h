/* chat_prompt.h: a conversation as the ids that a model was trained on. A pack names one of the known formats
 * (chat_formats.c), which puts a frame around each message; no template runs. Frames become control
 * tokens, what people wrote never does: "<|im_end|>" in a message is ordinary text. All else is as the
 * reference has it: ids are those of the rendered text as a whole. Any thread. */
#ifndef NLP_GENERATE_CHAT_PROMPT_H
#define NLP_GENERATE_CHAT_PROMPT_H

#include "model/spec.h"
#include "pack/pack.h"
#include "text/tokenizer.h"

typedef enum nlp_chat_role {
    NLP_CHAT_SYSTEM,
    NLP_CHAT_USER,
    NLP_CHAT_ASSISTANT,
    NLP_CHAT_N_ROLES
} nlp_chat_role;

typedef struct nlp_chat_message {
    nlp_chat_role role;
    nlp_text content;
} nlp_chat_message;

/* NLP_EINVAL that lists the known ones. */
nlp_status nlp_chat_role_find(nlp_text name, nlp_chat_role *role, nlp_error *err);

typedef struct nlp_chat_format nlp_chat_format;

/* NULL where there is none of this name; the name of format `index`, NULL behind the last. */
const nlp_chat_format *nlp_chat_format_find(nlp_text name);
const char *nlp_chat_format_name(size_t index);

enum { NLP_CHAT_MAX_CONTROLS = 24 };

/* How a model's chats are written. Texts without bytes: the model has none. */
typedef struct nlp_chat {
    const nlp_chat_format *format;
    const nlp_tokenizer *tokenizer; /* borrowed */
    nlp_text begin, end;            /* its tokens before and behind a text, as frames spell them */
    nlp_text system;                /* said first where a chat brings no system text */
    nlp_text no_thinking;           /* said last to have the answer at once */
    int32_t end_of_turn;            /* ends an answer, beside the model's own ends; -1: none */
    int32_t controls[NLP_CHAT_MAX_CONTROLS]; /* what frames consist of */
    uint32_t n_controls;
} nlp_chat;

/* From the pack's section "meta": "chat template" names the format; "chat begin", "chat system" and "chat
 * no thinking" are the texts. From the arena; *chat NULL where the pack names no known format. */
nlp_status nlp_chat_open(const nlp_pack *pack, const nlp_tokenizer *tokenizer,
                         const nlp_generation_spec *generation, nlp_arena *arena,
                         const nlp_chat **chat, nlp_error *err);

typedef struct nlp_chat_request {
    const nlp_chat_message *messages; /* [n_messages], the last one a user's */
    size_t n_messages;
    uint32_t max_tokens; /* of the prompt; 0: no limit */
    bool no_thinking;    /* no effect on a model that has no such text */
} nlp_chat_request;

typedef struct nlp_chat_prompt {
    nlp_text text;
    const nlp_byte_range *frame; /* [n_frame] the parts of the text that nobody wrote */
    size_t n_frame;
    const int32_t *ids; /* [n_ids] */
    size_t n_ids;
    size_t n_dropped; /* messages left out, the oldest ones */
} nlp_chat_prompt;

/* The text of all messages and the frame for an answer, without ids. NLP_EINVAL for messages that the
 * format can't have: none at all, a last one that is no user's, roles in an order that it refuses. */
nlp_status nlp_chat_render(const nlp_chat *chat, const nlp_chat_request *request, nlp_arena *arena,
                           nlp_chat_prompt *prompt, nlp_error *err);
/* The same with ids. Above max_tokens the oldest turns go, each a user's message with what follows it;
 * a first system message and the last message stay: NLP_ELIMIT with both numbers where those alone are
 * too long. */
nlp_status nlp_chat_encode(const nlp_chat *chat, const nlp_chat_request *request, nlp_arena *arena,
                           nlp_poll *poll, nlp_chat_prompt *prompt, nlp_error *err);

#endif
