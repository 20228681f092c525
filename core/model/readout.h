/* readout.h: from the hidden states of one text to a vector (pooling pipeline) or to class scores
 * (head). */
#ifndef NLP_MODEL_READOUT_H
#define NLP_MODEL_READOUT_H

#include "model/binding.h"
#include "nn/pooling.h"

/* What a caller may change about a pack's pipeline. */
typedef struct nlp_pool_options {
    /* NLP_POOL_* instead of the pack's; 0: the pack's, or mean where it has none */
    uint32_t pooling;
    uint32_t dimensions;    /* Matryoshka cut, then normalised again; 0: all */
    bool no_normalize;      /* leave the final normalisation out */
    size_t n_prompt_tokens; /* tokens of a prompt, left out of pooling where the pack says so */
} nlp_pool_options;

/* Floats of scratch of nlp_pool_text and nlp_head_run. */
size_t nlp_readout_scratch_floats(const nlp_pooler *pooler, const nlp_head *head,
                                  uint32_t hidden_size);
/* Numbers that nlp_pool_text writes; never more than nlp_readout_max_dims. */
uint32_t nlp_pool_dims(const nlp_pooler *pooler, uint32_t hidden_size,
                       const nlp_pool_options *options);

/* hidden [n_tokens, hidden_size] -> out [nlp_pool_dims]. */
nlp_status nlp_pool_text(const nlp_pooler *pooler, const nlp_kernels *kernels, uint32_t hidden_size,
                         const float *hidden, size_t n_tokens, const nlp_pool_options *options,
                         float *out, float *scratch, nlp_error *err);

/* The row that a SEQUENCE head reads of hidden [n_tokens, width]; it may lie in mean [width]. */
const float *nlp_head_row(const nlp_head *head, const nlp_kernels *kernels, const float *hidden,
                          size_t n_tokens, size_t width, float *mean);
/* One input row (a token's hidden state, or the base's vector for a task pack) -> logits [n_labels].
 */
nlp_status nlp_head_run(const nlp_head *head, const nlp_kernels *kernels, const float *row,
                        float *logits, float *scratch, nlp_poll *poll, nlp_error *err);
/* Logits to scores in place, by the head's score function. */
void nlp_head_scores(const nlp_head *head, const nlp_kernels *kernels, float *logits);

#endif
