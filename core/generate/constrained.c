/* constrained.c: the next token of a draft that must stay within a constraint. The best token is looked at
 * before any mask is made, since it mostly may follow; where the rest of the text would not have room
 * behind a token, the text is closed at once. */
#include <math.h>

#include "base/random.h"
#include "generate/desk.h"

/* Ends may be chosen where the text may end. */
static void hide_ends(const nlp_writing *w, const nlp_draft *draft, float *logits) {
    for (uint32_t i = 0; i < w->rules.n_ends; i++) logits[w->rules.ends[i]] = -INFINITY;
    if (draft->also_ends) logits[draft->also_ends - 1] = -INFINITY;
}

/* The best score of an end token and its id; -INFINITY where none may be chosen. */
typedef struct end_score {
    uint32_t id;
    float score;
} end_score;

static end_score best_end(const nlp_writing *w, const nlp_slot *slot, const float *logits) {
    end_score best = {0, -INFINITY};
    if (!nlp_constraint_may_end(slot->state)) return best;
    for (uint32_t i = 0; i <= w->rules.n_ends; i++) {
        bool own = i == w->rules.n_ends;
        if (own && !slot->draft->also_ends) break;
        uint32_t id = own ? slot->draft->also_ends - 1 : w->rules.ends[i];
        if (logits[id] > best.score) best = (end_score){id, logits[id]};
    }
    return best;
}

/* Only what may follow keeps its score. */
static nlp_status mask(nlp_writing *w, nlp_slot *slot, float *logits, end_score end, bool *none,
                       nlp_error *err) {
    size_t n_kept;
    NLP_TRY(nlp_constraint_mask(slot->draft->work, slot->state, logits, w->sampler.n, &n_kept,
                                w->s.poll, err));
    if (end.score > -INFINITY) logits[end.id] = end.score;
    *none = !n_kept && !(end.score > -INFINITY);
    return NLP_OK;
}

/* By chance all that may follow has to be known first. */
static nlp_status draw(nlp_writing *w, nlp_slot *slot, float *logits, end_score end,
                       nlp_choice *choice, nlp_error *err) {
    NLP_TRY(mask(w, slot, logits, end, &choice->closes, err));
    if (choice->closes) return NLP_OK;
    nlp_candidates c = nlp_sampling_candidates(&w->sampler, &w->manner.sampling, logits);
    choice->id = nlp_draw(&c, nlp_random_real(slot->draft->stream, slot->n_ids - slot->n_prompt));
    return NLP_OK;
}

static nlp_status take_best(nlp_writing *w, nlp_slot *slot, float *logits, end_score end,
                            nlp_choice *choice, nlp_error *err) {
    float gap;
    choice->id = nlp_best_token(logits, w->sampler.n, &gap);
    bool is_end = end.score > -INFINITY && choice->id == end.id;
    if (is_end || nlp_constraint_takes(slot->draft->work, slot->state, (int32_t)choice->id))
        return NLP_OK;
    NLP_TRY(mask(w, slot, logits, end, &choice->closes, err));
    choice->id = nlp_best_token(logits, w->sampler.n, &gap);
    return NLP_OK;
}

nlp_status nlp_choose_within(nlp_writing *w, nlp_slot *slot, float *logits, size_t n_left,
                             nlp_choice *choice, nlp_error *err) {
    nlp_constraint_work *work = slot->draft->work;
    *choice = (nlp_choice){0};
    nlp_adjust_row(w, slot, &slot->live[0], logits);
    end_score end = best_end(w, slot, logits);
    hide_ends(w, slot->draft, logits);
    if (end.score > -INFINITY) logits[end.id] = end.score;
    NLP_TRY(w->manner.sampling.temperature > 0 ? draw(w, slot, logits, end, choice, err)
                                               : take_best(w, slot, logits, end, choice, err));
    if (choice->closes) return NLP_OK;
    choice->ends = end.score > -INFINITY && choice->id == end.id;
    if (choice->ends) return NLP_OK;
    choice->closes = !nlp_constraint_fits(work, slot->state, (int32_t)choice->id, n_left) ||
                     !nlp_constraint_advance(work, slot->state, (int32_t)choice->id);
    return NLP_OK;
}

nlp_status nlp_close_text(nlp_writing *w, const nlp_slot *slot, const int32_t **ids, size_t *n,
                          nlp_error *err) {
    const nlp_draft *draft = slot->draft;
    size_t n_made = slot->n_ids - slot->n_prompt;
    size_t capacity = nlp_constraint_closing_bytes(draft->constraint, slot->state) + 1;
    int32_t *all = NLP_PUSH(w->s.arena, int32_t, n_made + capacity);
    NLP_TRY(nlp_arena_status(w->s.arena, err));
    for (size_t i = 0; i < n_made; i++) all[i] = slot->live[0].ids[slot->n_prompt + i];
    *n = n_made + nlp_constraint_closing(draft->work, slot->state, all + n_made, capacity);
    *ids = all;
    return NLP_OK;
}
