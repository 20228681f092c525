/* sampling.h: from the scores of the vocabulary to the next token. The order is that of Hugging Face:
 * penalties and biases, what may not come, then temperature, top_k, top_p, min_p, and the draw. All
 * is a pure function of its arguments. */
#ifndef NLP_GENERATE_SAMPLING_H
#define NLP_GENERATE_SAMPLING_H

#include "base/arena.h"
#include "model/spec.h"
#include "tensor/kernels.h"

typedef struct nlp_bias {
    int32_t id;
    float value; /* added to the score */
} nlp_bias;

typedef struct nlp_sampling {
    float temperature; /* 0: the best token, no chance */
    uint32_t top_k;    /* 0: all */
    float top_p;       /* 1: all */
    float min_p;       /* 0: all */
    float repetition_penalty /* 1: none; prompt and text count */, presence_penalty,
        frequency_penalty;    /* 0: none; only the text that was made counts */
    uint32_t no_repeat_ngram; /* 0: repeats are free */
    const nlp_bias *biases;
    size_t n_biases;
} nlp_sampling;

extern const nlp_sampling nlp_plain_sampling; /* the best token, no filters */

/* Tokens that a decoder has read and made: a prompt, then the text. */
typedef struct nlp_history {
    const int32_t *ids;
    size_t n, n_prompt;
} nlp_history;

/* Scratch of one thread for a vocabulary; opened in an arena, and then used for any row. */
typedef struct nlp_sampler {
    const nlp_kernels *kernels;
    uint32_t n;     /* scores of a row */
    uint32_t *seen; /* [n] the last stamp, and how often with it */
    uint32_t *count;
    uint32_t stamp;
    float *probabilities; /* [n] */
    uint32_t *order;      /* [n] */
} nlp_sampler;

size_t nlp_sampler_bytes(uint32_t n_outputs);
nlp_status nlp_sampler_open(nlp_sampler *sampler, const nlp_kernels *kernels, uint32_t n_outputs,
                            nlp_arena *arena, nlp_error *err);

/* Penalties, biases, repeats, and the model's own rules: ids it never chooses, ids that it forces or
 * that may not come yet. logits [n_outputs], in place. */
void nlp_adjust_scores(nlp_sampler *sampler, const nlp_sampling *sampling,
                       const nlp_generation_spec *rules, const nlp_history *history, float *logits);

/* What may be drawn at temperature > 0: ids [n] and their probabilities, of which only the proportions
 * count; best first unless all of the vocabulary is left. In the sampler and in logits (which are
 * used up), until the sampler's next use. */
typedef struct nlp_candidates {
    const uint32_t *ids; /* NULL: all, by number */
    const float *probabilities;
    size_t n;
} nlp_candidates;
nlp_candidates nlp_sampling_candidates(nlp_sampler *sampler, const nlp_sampling *sampling,
                                       float *logits);
/* The candidate at `u`, 0 <= u < 1, of the sum of probabilities. */
uint32_t nlp_draw(const nlp_candidates *candidates, double u);

/* The first of the best; *gap: how far the second lies behind it. */
uint32_t nlp_best_token(const float *logits, uint32_t n, float *gap);

#endif
