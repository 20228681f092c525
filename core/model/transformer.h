/* transformer.h: the forward pass over a bound stack: encoders, decoders and both halves of a
 * seq2seq, by the switches of the spec. Texts of a unit lie behind each other without padding. Plan,
 * then run: running allocates nothing. Bits do not depend on units, batch mates or threads. */
#ifndef NLP_MODEL_TRANSFORMER_H
#define NLP_MODEL_TRANSFORMER_H

#include "model/binding.h"
#include "nn/kv_cache.h"

#define NLP_UNIT_TOKENS 256
#define NLP_NO_WORD     (-1) /* an id: zeros in place of the word's row */

/* Whole texts, or with caches the next tokens of them. Every id < vocabulary, and no text longer
 * than max_tokens: checked by the caller. */
typedef struct nlp_unit {
    const int32_t *ids;      /* [n_tokens] */
    const uint8_t *type_ids; /* [n_tokens] or NULL: zeros */
    const uint32_t *lengths; /* [n_texts], each at least 1, sum n_tokens */
    size_t n_texts, n_tokens;
    /* [n_texts]: the rows continue a cache and are added to it (the caller has reserved their
     * room). NULL: texts stand alone */
    nlp_kv_cache *const *caches;
    const nlp_memory *memories; /* [n_texts] of a decoder with cross attention, else NULL */
} nlp_unit;

typedef struct nlp_hooks {
    /* nlp.h; NULL: none. Points: "layer" and, for calibration, each product's f32 input */
    nlp_trace_fn trace;
    void *trace_context;
} nlp_hooks;

/* Exact scratch bytes for units of at most n_tokens tokens in all, max_text_tokens of one text, and
 * max_keys keys that a token sees (cached ones and its memory included). */
nlp_status nlp_transformer_plan(const nlp_stack *stack, size_t n_tokens, size_t max_text_tokens,
                                size_t max_keys, size_t *scratch_bytes, nlp_error *err);
/* *hidden: [n_tokens, hidden_size] last hidden states, final norm included, inside scratch (64-byte
 * aligned), until the next run on it. */
nlp_status nlp_transformer_run(const nlp_stack *stack, const nlp_kernels *kernels,
                               const nlp_unit *unit, void *scratch, size_t scratch_bytes,
                               const nlp_hooks *hooks /* or NULL */, nlp_poll *poll,
                               const float **hidden, nlp_error *err);

/* What the cache of a decoder keeps of a token. */
nlp_kv_shape nlp_kv_shape_of(const nlp_stack *decoder);

/* Keys and values of every cross attention of a decoder for one text: hidden [n_tokens,
 * memory_width] of its encoder; rows: nlp_memory_floats of them; scratch: nlp_memory_scratch. */
size_t nlp_memory_floats(const nlp_stack *decoder, size_t n_tokens);
size_t nlp_memory_scratch(const nlp_stack *decoder, size_t n_tokens);
nlp_status nlp_memory_make(const nlp_stack *decoder, const nlp_kernels *kernels,
                           const float *hidden, nlp_memory *memory, float *rows, void *scratch,
                           nlp_poll *poll, nlp_error *err);

/* Last hidden states of a decoder where it reads the source itself (one text), shifted by its start
 * token: what a seq2seq's classifier stands on. hidden [n_tokens, memory_width]: of the encoder; out:
 * [n_tokens, hidden_size], inside the arena. */
nlp_status nlp_shifted_states(const nlp_stack *decoder, int32_t start, const nlp_kernels *kernels,
                              const nlp_unit *source, const float *hidden, nlp_arena *arena,
                              nlp_poll *poll, const float **out, nlp_error *err);

/* Scores of the vocabulary after n rows of last hidden states: logits [n, n_outputs]. The rows are
 * scaled in place where the spec says so; scratch: nlp_output_scratch bytes. */
size_t nlp_output_scratch(const nlp_stack *stack, size_t n);
nlp_status nlp_output_run(const nlp_stack *stack, const nlp_kernels *kernels, float *hidden,
                          size_t n, float *logits, void *scratch, nlp_poll *poll, nlp_error *err);

#endif
