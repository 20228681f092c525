/* search.c: beam search as Hugging Face runs it. Of all ways to go on, the best few are looked at in
 * order: one that ends counts only among the first n_beams, the others fill the beams. */
#include <math.h>
#include <string.h>

#include "base/real.h"
#include "generate/desk.h"

typedef struct way { /* to go on */
    size_t from;     /* nlp_hypothesis */
    uint32_t id;
    double score;
} way;

enum { MOST_WAYS = NLP_MAX_BEAMS * 9 };

/* Scores become log p; penalties work on those, as the reference has it. */
static void log_softmax(nlp_writing *w, float *x) {
    uint32_t n = w->sampler.n;
    float gap, *p = w->sampler.probabilities, top = x[nlp_best_token(x, n, &gap)];
    memcpy(p, x, n * sizeof *x);
    w->s.kernels->softmax(p, n);
    /* the largest probability is 1 / sum */
    float log_sum = (float)-nlp_log((double)p[nlp_best_token(p, n, &gap)]);
    for (uint32_t i = 0; i < n; i++) x[i] = x[i] - top - log_sum;
}

static void force(float *x, uint32_t n, uint32_t id) {
    for (uint32_t i = 0; i < n; i++) x[i] = -INFINITY;
    x[id] = 0;
}

/* Best first; of equal ones those that came first stay in front. */
static void insert(way *ways, size_t *n, size_t most, way one) {
    size_t at = *n < most ? (*n)++ : most;
    if (at == most) {
        if (!(one.score > ways[most - 1].score)) return;
        at--;
    }
    for (; at > 0 && one.score > ways[at - 1].score; at--) ways[at] = ways[at - 1];
    ways[at] = one;
}

static size_t find_ways(nlp_writing *w, nlp_slot *slot, float *logits, way *ways, size_t most) {
    uint32_t n_outputs = w->sampler.n, forced = nlp_forced_id(w, slot);
    size_t n = 0;
    for (size_t k = 0; k < slot->n_live; k++, logits += n_outputs) {
        nlp_hypothesis *h = &slot->live[k];
        log_softmax(w, logits);
        nlp_adjust_row(w, slot, h, logits);
        if (forced) force(logits, n_outputs, forced - 1);
        for (uint32_t id = 0; id < n_outputs; id++) {
            double score = h->score + (double)logits[id];
            if (n == most && !(score > ways[most - 1].score)) continue;
            if (logits[id] > -INFINITY) insert(ways, &n, most, (way){k, id, score});
        }
    }
    return n;
}

/* An ending takes its place among the best n_beams. */
static void add_ending(nlp_writing *w, nlp_slot *slot, const way *to_go, size_t n_made) {
    size_t n_beams = w->manner.n_beams;
    double score = to_go->score / nlp_power((double)n_made, (double)w->manner.length_penalty);
    if (slot->n_endings == n_beams) {
        if (w->manner.early_stopping == NLP_STOP_EARLY ||
            !(score > slot->endings[n_beams - 1].score))
            return;
        slot->n_endings--;
    }
    size_t at = slot->n_endings++;
    nlp_ending one = slot->endings[at];
    for (; at > 0 && score > slot->endings[at - 1].score; at--)
        slot->endings[at] = slot->endings[at - 1];
    memcpy(one.ids, slot->live[to_go->from].ids + slot->n_prompt, (n_made - 1) * sizeof *one.ids);
    one.ids[n_made - 1] = (int32_t)to_go->id;
    one.n = n_made;
    one.score = score;
    slot->endings[at] = one;
}

static void follow_way(nlp_slot *slot, nlp_hypothesis *to, const way *to_go) {
    const nlp_hypothesis *from = &slot->live[to_go->from];
    memcpy(to->ids, from->ids, slot->n_ids * sizeof *to->ids);
    to->ids[slot->n_ids] = (int32_t)to_go->id;
    to->score = to_go->score;
    nlp_kv_fork(&to->cache, &from->cache);
}

/* The old hypotheses let go of their caches, so that only what is shared is copied later. */
static void replace_live(nlp_writing *w, nlp_slot *slot, size_t n) {
    nlp_hypothesis *old = slot->live;
    for (size_t i = 0; i < w->manner.n_beams; i++) nlp_kv_cut(&old[i].cache, 0);
    slot->live = slot->next;
    slot->next = old;
    slot->n_live = n;
    slot->n_ids++;
}

/* Whether no hypothesis can still become better than what has ended. */
static bool is_settled(const nlp_writing *w, const nlp_slot *slot, size_t n_made) {
    if (!slot->n_live) return true;
    if (slot->n_endings < w->manner.n_beams) return false;
    if (w->manner.early_stopping == NLP_STOP_EARLY) return true;
    double penalty = (double)w->manner.length_penalty;
    bool any_length = w->manner.early_stopping == NLP_STOP_NEVER && penalty > 0;
    size_t length = any_length ? nlp_draft_max_new(w, slot->draft) : n_made;
    double best = slot->live[0].score / nlp_power((double)length, penalty);
    return !(best > slot->endings[slot->n_endings - 1].score);
}

nlp_status nlp_search_step(nlp_writing *w, nlp_slot *slot, float *logits, bool *done,
                           nlp_error *err) {
    way ways[MOST_WAYS];
    size_t n_beams = w->manner.n_beams, n_live = 0, n_made = slot->n_ids + 1 - slot->n_prompt;
    size_t per_beam = w->rules.n_ends > 1 ? 1 + w->rules.n_ends : 2;
    size_t n = find_ways(w, slot, logits, ways, per_beam * n_beams);
    bool full = n_made == nlp_draft_max_new(w, slot->draft) || slot->n_ids + 1 > slot->limit;
    if (!n)
        return nlp_fail(err, NLP_EINVAL, "no token may come after %zu tokens of a search",
                        n_made - 1);
    for (size_t i = 0; i < n; i++) {
        if (full || nlp_ends_draft(w, slot->draft, ways[i].id)) {
            if (i < n_beams) add_ending(w, slot, &ways[i], n_made);
        } else if (n_live < n_beams) {
            follow_way(slot, &slot->next[n_live++], &ways[i]);
        }
    }
    replace_live(w, slot, n_live);
    *done = full || is_settled(w, slot, n_made);
    return NLP_OK;
}
