/* constraint.h: what a generated text may be: one of some choices, a value of a JSON schema, or a text
 * of a grammar. All three are one compiled form over bytes, and a vocabulary says which tokens stay
 * within it.
 *
 *     nlp_vocabulary_open(tokenizer, arena, poll, &vocabulary, err);
 *     nlp_constraint_open_schema(vocabulary, schema, arena, poll, &constraint, err);
 *     nlp_constraint_work_open(constraint, arena, &work, err);     one a thread
 *     nlp_constraint_begin(constraint, true, &state);              one a text (or beam)
 *     while (!nlp_constraint_must_end(&state)) {
 *         choose a token; where !nlp_constraint_takes(work, &state, token), mask the logits and choose
 *         again; where !nlp_constraint_fits(work, &state, token, n_left), or the mask leaves none, write
 *         nlp_constraint_closing and stop; else nlp_constraint_advance(work, &state, token);
 *     }
 *
 * A text so written is always valid: from every state that is reached there is an end, and every end can
 * be spelt. Where a bound is reached (nesting, parses at once), fewer tokens may follow, in the end none
 * but the closing. */
#ifndef NLP_GENERATE_CONSTRAINT_H
#define NLP_GENERATE_CONSTRAINT_H

#include "generate/vocabulary.h"

/* Immutable; in the arena it was opened with. Any thread. */
typedef struct nlp_constraint nlp_constraint;
/* Scratch and caches over one constraint. One thread. */
typedef struct nlp_constraint_work nlp_constraint_work;

#define NLP_CONSTRAINT_WORDS 2048
/* Tokens of a closing of a text that has just begun, at most. */
#define NLP_CONSTRAINT_MAX_CLOSING ((1u << 16) + 1)

/* Where a text is: the parses that it may be in. Flat; copied by nlp_constraint_copy or as a struct. */
typedef struct nlp_constraint_state {
    uint16_t n_tops, n_cells; /* places in the grammar, and stack cells that they stand on */
    bool may_end;
    bool drops_blank; /* at the start: a blank that comes first is no part of the text */
    uint32_t words[NLP_CONSTRAINT_WORDS];
} nlp_constraint_state;

/* Texts are borrowed for the call. NLP_EINVAL says what is wrong with one and where, NLP_ELIMIT which
 * bound it is over, NLP_EENCODING the first byte that is no UTF-8. poll may be NULL. */
nlp_status nlp_constraint_open_choices(const nlp_vocabulary *vocabulary, const nlp_text *choices,
                                       size_t n_choices, nlp_arena *arena, nlp_poll *poll,
                                       const nlp_constraint **constraint, nlp_error *err);
nlp_status nlp_constraint_open_schema(const nlp_vocabulary *vocabulary, nlp_text schema,
                                      nlp_arena *arena, nlp_poll *poll,
                                      const nlp_constraint **constraint, nlp_error *err);
nlp_status nlp_constraint_open_grammar(const nlp_vocabulary *vocabulary, nlp_text grammar,
                                       nlp_arena *arena, nlp_poll *poll,
                                       const nlp_constraint **constraint, nlp_error *err);

/* All the memory that running takes: about 2 MiB, and 4 bytes a token. */
nlp_status nlp_constraint_work_open(const nlp_constraint *constraint, nlp_arena *arena,
                                    nlp_constraint_work **work, nlp_error *err);

/* alone: the text's tokens will be decoded without those before, so that a decoder which takes away the
 * blank before a text takes it from here. */
void nlp_constraint_begin(const nlp_constraint *constraint, bool alone,
                          nlp_constraint_state *state);
void nlp_constraint_copy(nlp_constraint_state *to, const nlp_constraint_state *from);
/* Whether the text may end here, and whether nothing else may follow. The end's token is the caller's. */
bool nlp_constraint_may_end(const nlp_constraint_state *state);
bool nlp_constraint_must_end(const nlp_constraint_state *state);
/* Whether the token may follow; no mask is made. Any id; those without a text never do. */
bool nlp_constraint_takes(nlp_constraint_work *work, const nlp_constraint_state *state,
                          int32_t token);
/* Goes on behind the token. false, and the state as it was, where it may not follow. */
bool nlp_constraint_advance(nlp_constraint_work *work, nlp_constraint_state *state, int32_t token);
/* Whether the token may follow and, with the closing behind it, takes at most n_left tokens. */
bool nlp_constraint_fits(nlp_constraint_work *work, const nlp_constraint_state *state,
                         int32_t token, size_t n_left);
/* -INFINITY for every token that may not follow, the end's too; *n_kept (may be NULL): those that may.
 * logits: [n_logits], more or fewer than the vocabulary. */
nlp_status nlp_constraint_mask(nlp_constraint_work *work, const nlp_constraint_state *state,
                               float *logits, size_t n_logits, size_t *n_kept, nlp_poll *poll,
                               nlp_error *err);
/* The tokens of a shortest way to the end: their number, of which `capacity` are written. Counting stops
 * above the capacity. */
size_t nlp_constraint_closing(nlp_constraint_work *work, const nlp_constraint_state *state,
                              int32_t *ids, size_t capacity);
/* Bytes of that way; never fewer than its tokens. */
size_t nlp_constraint_closing_bytes(const nlp_constraint *constraint,
                                    const nlp_constraint_state *state);

#endif
