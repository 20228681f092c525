/* chat_formats.h: what a format consists of. */
#ifndef NLP_GENERATE_CHAT_FORMATS_H
#define NLP_GENERATE_CHAT_FORMATS_H

#include "generate/chat_prompt.h"

/* In the texts of a frame: the model's tokens before and behind a text. */
#define NLP_CHAT_BEGIN "\1"
#define NLP_CHAT_END   "\2"

enum {
    NLP_CHAT_TRIM_SYSTEM = 1,
    NLP_CHAT_TRIM_USER = 2,
    NLP_CHAT_TRIM_ASSISTANT = 4,
    NLP_CHAT_TRIM_TURN = 8,    /* a user's: with the system text that it carries */
    NLP_CHAT_ALTERNATES = 16,  /* user and assistant in turn, a user first */
    NLP_CHAT_SYSTEM_FIRST = 32 /* a system message can only be the first one */
};

typedef enum nlp_chat_system_place {
    NLP_CHAT_OWN_TURN,
    NLP_CHAT_IN_FIRST_USER, /* inside that frame, before the content */
    NLP_CHAT_IN_LAST_USER
} nlp_chat_system_place;

typedef struct nlp_chat_frame {
    const char *before, *after;
} nlp_chat_frame;

struct nlp_chat_format {
    const char *name;
    const char *begin,
        *end; /* where the model does not say; begin NULL: it must say that it has one */
    nlp_chat_frame turns[NLP_CHAT_N_ROLES];
    const char *prompt; /* before an answer */
    const char *end_of_turn;
    nlp_chat_system_place system_place;
    uint32_t flags;
};

/* Whether each user's frame brings the token before a text itself. */
static inline bool nlp_chat_frames_begin(const nlp_chat_format *format) {
    return *format->turns[NLP_CHAT_USER].before == *NLP_CHAT_BEGIN;
}

#endif
