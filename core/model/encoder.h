/* encoder.h: the forward pass of an encoder over a bound pack. Texts of a batch lie behind each
 * other without padding; a batch goes through all layers in units of whole texts of about
 * NLP_UNIT_TOKENS tokens. Plan, then run: running allocates nothing. Bits do not depend on units,
 * batch mates or threads. */
#ifndef NLP_MODEL_ENCODER_H
#define NLP_MODEL_ENCODER_H

#include "model/binding.h"

#define NLP_UNIT_TOKENS 256

/* Ids of whole texts. Every id < vocabulary, every length in 1 .. n_positions: checked by the
 * caller (engine/session). */
typedef struct nlp_unit {
    const int32_t *ids;      /* [n_tokens] */
    const uint8_t *type_ids; /* [n_tokens] or NULL: zeros */
    const uint32_t *lengths; /* [n_texts], sum n_tokens */
    size_t n_texts, n_tokens;
} nlp_unit;

typedef struct nlp_encoder_hooks {
    /* nlp.h; NULL: none. Points: "layer" and, for calibration, each product's f32 input */
    nlp_trace_fn trace;
    void *trace_context;
} nlp_encoder_hooks;

/* Exact scratch bytes for units of at most n_tokens tokens whose longest text has max_text_tokens.
 */
nlp_status nlp_encoder_plan(const nlp_encoder *encoder, size_t n_tokens, size_t max_text_tokens,
                            size_t *scratch_bytes, nlp_error *err);
/* *hidden: [n_tokens, hidden_size] last hidden states, inside scratch (64-byte aligned), until the
 * next run on it. */
nlp_status nlp_encoder_run(const nlp_encoder *encoder, const nlp_kernels *kernels,
                           const nlp_unit *unit, void *scratch, size_t scratch_bytes,
                           const nlp_encoder_hooks *hooks /* or NULL */, nlp_poll *poll,
                           const float **hidden, nlp_error *err);

#endif
