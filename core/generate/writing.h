/* writing.h: texts that a decoder or a seq2seq makes, many at once. Texts in the making sit in slots; a
 * step reads one token of each (and parts of the prompts of new ones) in one pass over the weights,
 * and a slot whose text is done goes to the next draft. What a text becomes does not depend on the
 * others, on the slots, or on the steps at which it was read. */
#ifndef NLP_GENERATE_WRITING_H
#define NLP_GENERATE_WRITING_H

#include "generate/constraint.h"
#include "generate/sampling.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

#define NLP_MAX_BEAMS 16

/* The halves of a model that can write: encoder NULL for a decoder alone. */
typedef struct nlp_writer {
    const nlp_stack *encoder, *decoder;
    const nlp_generation_spec *generation;
} nlp_writer;

/* When a search in which n_beams texts have ended goes on: while the best of the others is better at
 * its present length; not at all; or while it could become better at any length. */
typedef enum nlp_early_stopping {
    NLP_STOP_BY_SCORE,
    NLP_STOP_EARLY,
    NLP_STOP_NEVER
} nlp_early_stopping;

/* How the texts of a call are written. */
typedef struct nlp_manner {
    nlp_sampling sampling;
    uint32_t n_beams;     /* 1: no search */
    float length_penalty; /* of a search: the sum of log p is divided by length^penalty */
    nlp_early_stopping early_stopping;
    uint32_t max_new, min_new;
    const nlp_text *stops; /* a text ends before the first of them */
    size_t n_stops;
    const nlp_tokenizer *tokenizer; /* of what is written; NULL: only ids are wanted */
    /* [n_ends] ids that end a text in place of the model's own, for tests; NULL: its own */
    const uint32_t *ends;
    size_t n_ends;
    bool guess;  /* the text will copy from its prompt: read ahead what it may become */
    bool follow; /* the text is kept up to date at each step, for a stream */
} nlp_manner;

typedef enum nlp_finish { NLP_FINISH_NONE, NLP_FINISH_STOP, NLP_FINISH_LENGTH } nlp_finish;

/* One text. */
typedef struct nlp_draft {
    const int32_t
        *ids; /* [n_ids] the prompt of a decoder, or the source of a seq2seq, at least one */
    size_t n_ids;
    uint64_t stream;  /* of random numbers */
    uint32_t max_new; /* below the manner's; 0: that */
    /* what the text may be, and its scratch; drafts of one call may share both. NULL: anything */
    const nlp_constraint *constraint;
    nlp_constraint_work *work;
    uint32_t also_ends;    /* id + 1 that ends the text beside the model's ends; 0: none */
    uint32_t forced_first; /* id + 1 of the first token (a target language); 0: the model's own */
    float *gaps;         /* [max_new] between the two best scores of each step; NULL: not wanted */
    float *first_logits; /* [n_outputs] of the first step, as they come; NULL: not wanted */
    /* made by the writing: */
    const int32_t *made; /* [n_made] tokens, an end token included */
    size_t n_made;
    nlp_text text;    /* without end tokens and stop strings */
    size_t n_settled; /* bytes of text that no later token changes: whole characters */
    double score;     /* of a search */
    nlp_finish finish;
} nlp_draft;

typedef struct nlp_writing nlp_writing;

typedef struct nlp_writing_setup {
    const nlp_writer *writer;
    const nlp_manner *manner;
    const nlp_kernels *kernels;
    nlp_arena *arena; /* results and all working memory: planned within its budget, taken at once */
    nlp_arena *text_work; /* reset with each text that is looked at */
    nlp_poll *poll;
} nlp_writing_setup;

/* Plans slots and caches within the memory that the arena's budget leaves; NLP_ENOMEM with both
 * numbers where not even one text fits, NLP_ELIMIT where a prompt is over the model's positions.
 * drafts are borrowed. */
nlp_status nlp_writing_open(const nlp_writing_setup *setup, nlp_draft *drafts, size_t n,
                            nlp_writing **writing, nlp_error *err);
/* One step; *done where all drafts have finished. A step that was stopped may not be repeated. */
nlp_status nlp_writing_step(nlp_writing *writing, bool *done, nlp_error *err);
/* Passes over the weights so far, for counters. */
uint64_t nlp_writing_passes(const nlp_writing *writing);
/* All steps. *n_passes (may be NULL): of them. */
nlp_status nlp_write(const nlp_writing_setup *setup, nlp_draft *drafts, size_t n,
                     uint64_t *n_passes, nlp_error *err);

#endif
