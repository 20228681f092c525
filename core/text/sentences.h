/* sentences.h: where the sentences of a text begin and end, by its marks and blanks alone: no model, no
 * language. Linear time. Any thread. */
#ifndef NLP_TEXT_SENTENCES_H
#define NLP_TEXT_SENTENCES_H

#include "base/arena.h"
#include "base/poll.h"

typedef struct nlp_sentence {
    size_t start, end; /* bytes of the text, without blanks around them */
} nlp_sentence;

/* A line end ends a sentence; so does a mark (. ! ? and kin) with its closing quotes, where a blank
 * follows and what comes then does not go on in small letters. A full stop behind an abbreviation, a
 * single letter or a number that begins a line ends none; marks of Chinese and Japanese need no blank.
 * *out [*n], from the arena; text is valid UTF-8. */
nlp_status nlp_sentences_find(nlp_text text, nlp_arena *arena, nlp_poll *poll, nlp_sentence **out,
                              size_t *n, nlp_error *err);

#endif
