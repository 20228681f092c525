/* greedy.h: the most probable next token, again and again, over a plain cache: how decoders and
 * seq2seqs are checked against their references. */
#ifndef NLP_MODEL_GREEDY_H
#define NLP_MODEL_GREEDY_H

#include "model/transformer.h"

/* The halves of a model that can write: encoder NULL for a decoder alone. */
typedef struct nlp_writer {
    const nlp_stack *encoder, *decoder;
    const nlp_generation_spec *generation;
} nlp_writer;

typedef struct nlp_greedy {
    const nlp_kernels *kernels;
    nlp_arena *arena; /* caches and scratch */
    nlp_poll *poll;
    size_t max_new;      /* most tokens that are made */
    int32_t *ids;        /* [max_new] */
    float *gaps;         /* [max_new] between the two best scores; NULL: not wanted */
    size_t n;            /* made */
    float *first_logits; /* [n_outputs] of the first step; NULL: not wanted */
} nlp_greedy;

/* ids: the prompt of a decoder, or the source of a seq2seq, 1 .. max_tokens of them. Ends at one of
 * the model's end tokens (which is given too), at max_new, or where the positions end. */
nlp_status nlp_greedy_run(const nlp_writer *writer, const int32_t *ids, size_t n_ids,
                          nlp_greedy *greedy, nlp_error *err);

/* Last hidden states of the decoder where it reads the source itself, shifted by its start token: what
 * a seq2seq's classifier stands on. hidden [n_ids, memory_width]: of the encoder; out: [n_ids,
 * hidden_size], inside the arena. */
nlp_status nlp_shifted_states(const nlp_writer *writer, const nlp_kernels *kernels,
                              const int32_t *ids, size_t n_ids, const float *hidden,
                              nlp_arena *arena, nlp_poll *poll, const float **out, nlp_error *err);

#endif
