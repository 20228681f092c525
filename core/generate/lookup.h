/* lookup.h: guessing the next tokens of a text that copies from itself or its prompt: what followed
 * when its last tokens came before (prompt lookup decoding). A guess only saves time: each token is
 * chosen as if there had been none. */
#ifndef NLP_GENERATE_LOOKUP_H
#define NLP_GENERATE_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

/* What followed the last three of ids [n] when they came before, latest first: up to `most` ids in
 * `guess`, their number returned. */
size_t nlp_look_up(const int32_t *ids, size_t n, int32_t *guess, size_t most);

/* How far guesses of one text are believed: more tokens the more came true, none for a while after
 * too many did not. */
typedef struct nlp_trust {
    uint32_t most, pause;
} nlp_trust;
void nlp_trust_begin(nlp_trust *trust);
/* Most tokens to guess in this step, up to `room`. */
size_t nlp_trust_most(nlp_trust *trust, size_t room);
/* Of n guessed tokens the first n_right came true. */
void nlp_trust_learn(nlp_trust *trust, size_t n, size_t n_right);

#endif
