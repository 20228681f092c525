/* desk.h: what the files of a writing share: drafts in their slots, and the memory of a step. */
#ifndef NLP_GENERATE_DESK_H
#define NLP_GENERATE_DESK_H

#include "generate/lookup.h"
#include "generate/writing.h"

/* Rows of one step: drafts times beams. */
enum { NLP_STEP_ROWS = 16 };

/* One way in which a draft may go on. */
typedef struct nlp_hypothesis {
    nlp_kv_cache cache;
    int32_t *ids; /* [limit + 1] what the decoder has read or will read */
    double score; /* of a search: the sum of log p */
} nlp_hypothesis;

/* A hypothesis that has ended. */
typedef struct nlp_ending {
    int32_t *ids; /* [n] what was made */
    size_t n;
    double score; /* by length */
} nlp_ending;

typedef struct nlp_slot {
    nlp_draft *draft;            /* NULL: free */
    nlp_hypothesis *live, *next; /* [n_beams] now, and after a step */
    size_t n_live;               /* 1 until the prompt is read */
    size_t n_ids, n_read;        /* tokens of each, and how many of them the cache holds */
    size_t n_prompt, limit;      /* limit: tokens that the decoder may read */
    nlp_ending *endings;         /* [n_beams], best first */
    size_t n_endings;
    nlp_constraint_state *state; /* of a draft under a constraint */
    nlp_trust trust;             /* in guesses */
    nlp_memory memory;
    float *memory_rows;
} nlp_slot;

struct nlp_writing {
    nlp_writing_setup s;
    nlp_manner manner;
    nlp_generation_spec rules; /* the model's, with the caller's minimum */
    nlp_draft *drafts;
    size_t n_drafts, n_seated, n_done;
    size_t n_slots, longest, longest_source; /* tokens of a history, of a source */
    size_t n_blocks;                         /* of the pool */
    nlp_slot *slots;
    nlp_kv_pool pool;
    nlp_sampler sampler;
    uint64_t n_passes;
    nlp_kv_cache prefix; /* what all prompts begin with */
    /* one step */
    nlp_unit unit;
    int32_t *ids;
    uint32_t *lengths;
    nlp_kv_cache **caches;
    nlp_memory *memories;
    float *hidden, *logits; /* [NLP_STEP_ROWS][hidden_size], [..][n_outputs] */
    void *scratch, *output_scratch, *source_scratch, *memory_scratch;
    size_t scratch_bytes, source_bytes;
};

/* desk.c: sizes, and where everything lies. */
nlp_status nlp_desk_open(nlp_writing *w, nlp_error *err);
uint32_t nlp_draft_max_new(const nlp_writing *w, const nlp_draft *draft);
size_t nlp_draft_limit(const nlp_writing *w, const nlp_draft *draft); /* of slot.limit */

/* text_so_far.c: draft->text after its tokens so far; *stopped: a stop string came, which ends it. */
nlp_status nlp_draft_read(nlp_writing *w, nlp_draft *draft, const int32_t *made, size_t n,
                          bool *stopped, nlp_error *err);

/* search.c: one step of a beam search over logits [n_live][n_outputs], which are used up: the slot's
 * hypotheses are replaced, its endings added to; *done: the best ending is the draft's. */
nlp_status nlp_search_step(nlp_writing *w, nlp_slot *slot, float *logits, bool *done,
                           nlp_error *err);

/* constrained.c: the next token of a draft under a constraint, behind which the text has at most n_left
 * tokens, this one included; the slot's state goes on. */
typedef struct nlp_choice {
    uint32_t id;
    bool ends;   /* it is an end token */
    bool closes; /* no token: the text is closed in the shortest way */
} nlp_choice;
nlp_status nlp_choose_within(nlp_writing *w, nlp_slot *slot, float *logits, size_t n_left,
                             nlp_choice *choice, nlp_error *err);
/* All tokens of a draft that is closed here, from the writing's arena. */
nlp_status nlp_close_text(nlp_writing *w, const nlp_slot *slot, const int32_t **ids, size_t *n,
                          nlp_error *err);

/* Penalties and rules on the scores behind one hypothesis: logits [n_outputs], in place. */
void nlp_adjust_row(nlp_writing *w, const nlp_slot *slot, const nlp_hypothesis *h, float *logits);
bool nlp_ends_draft(const nlp_writing *w, const nlp_draft *draft, uint32_t id);
/* What the model's files force at a place of a seq2seq's answer: an id + 1, or 0. */
uint32_t nlp_forced_id(const nlp_writing *w, const nlp_slot *slot);

#endif
