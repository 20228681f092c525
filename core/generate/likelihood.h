/* likelihood.h: how probable a decoder holds given answers to be. A prompt is read once, and its answers go
 * on from shares of its cache, many in one pass. What an answer gets does not depend on other prompts, nor
 * on the passes in which they were read. */
#ifndef NLP_GENERATE_LIKELIHOOD_H
#define NLP_GENERATE_LIKELIHOOD_H

#include "model/transformer.h"

#define NLP_ANSWER_MAX_TOKENS NLP_UNIT_TOKENS

typedef struct nlp_answer {
    const int32_t *ids; /* [n_ids] 1 to NLP_ANSWER_MAX_TOKENS of them; borrowed, as below */
    size_t n_ids;
    double log_p; /* made: of all its tokens behind the prompt */
} nlp_answer;

typedef struct nlp_question {
    const int32_t *ids; /* [n_ids] the prompt, at least one token */
    size_t n_ids;
    nlp_answer *answers; /* [n_answers] */
    size_t n_answers;
} nlp_question;

typedef struct nlp_likelihood_setup {
    const nlp_stack *decoder; /* has outputs; reads no encoder */
    const nlp_kernels *kernels;
    nlp_arena *arena; /* all working memory */
    nlp_poll *poll;
} nlp_likelihood_setup;

/* Most tokens of a prompt with an answer. Behind the place where positions change their table all would
 * have to be read anew. */
size_t nlp_likelihood_positions(const nlp_stack *decoder);
/* Fills the answers of all questions; *n_passes: over the weights. One thread. NLP_ENOMEM where the longest
 * prompt has no room in the arena's budget, NLP_ELIMIT where a prompt with an answer is over the model's
 * positions, NLP_ECORRUPT where the model computes what is no number. */
nlp_status nlp_likelihood(const nlp_likelihood_setup *setup, nlp_question *questions, size_t n,
                          uint64_t *n_passes, nlp_error *err);

#endif
