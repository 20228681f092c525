/* writing.c: the steps of a writing. A step seats drafts in free slots, reads what has not been read (a
 * token of each text in the making, and as much of new prompts as fits a unit), and gives each text
 * that has been read to its end its next token. */
#include "generate/writing.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "generate/desk.h"

enum {
    GUESS_ROWS =
        8, /* of one step with guesses: with more the weights are no longer what takes time */
    GUESS_SLOTS = 2
};

static bool is_seq2seq(const nlp_writing *w) {
    return w->s.writer->encoder != NULL;
}

/* ---- Beginnings ---- */

/* What all prompts have in common is read once; at least a token of each is left to read alone. */
static size_t common_prefix(const nlp_draft *drafts, size_t n_drafts) {
    size_t n = drafts[0].n_ids - 1;
    for (size_t i = 1; i < n_drafts; i++) {
        size_t k = 0, most = drafts[i].n_ids - 1 < n ? drafts[i].n_ids - 1 : n;
        while (k < most && drafts[i].ids[k] == drafts[0].ids[k]) k++;
        n = k;
    }
    return n;
}

/* Runs the unit that has been laid out; hidden states stay in the scratch. */
static nlp_status run_unit(nlp_writing *w, const float **hidden, nlp_error *err) {
    nlp_unit *u = &w->unit;
    u->ids = w->ids, u->lengths = w->lengths;
    u->caches = w->caches;
    u->memories = is_seq2seq(w) ? w->memories : NULL;
    w->n_passes++;
    for (size_t i = 0; i < u->n_texts; i++)
        NLP_TRY(nlp_kv_reserve(w->caches[i], w->lengths[i], err));
    return nlp_transformer_run(w->s.writer->decoder, w->s.kernels, u, w->scratch, w->scratch_bytes,
                               NULL, w->s.poll, hidden, err);
}

static void begin_unit(nlp_writing *w) {
    w->unit = (nlp_unit){0};
}

/* The next n ids of a history go into the unit. */
static void add_to_unit(nlp_writing *w, nlp_kv_cache *cache, const int32_t *ids, size_t n,
                        const nlp_memory *memory) {
    nlp_unit *u = &w->unit;
    memcpy(w->ids + u->n_tokens, ids, n * sizeof *ids);
    w->lengths[u->n_texts] = (uint32_t)n;
    w->caches[u->n_texts] = cache;
    w->memories[u->n_texts] = *memory;
    u->n_tokens += n;
    u->n_texts++;
}

static nlp_status read_prefix(nlp_writing *w, nlp_error *err) {
    static const nlp_memory none;
    size_t n = w->n_drafts > 1 && !is_seq2seq(w) ? common_prefix(w->drafts, w->n_drafts) : 0;
    uint32_t limit = w->s.writer->decoder->spec.rope_switch;
    const float *hidden;
    if (n < NLP_KV_BLOCK || (limit && w->longest > limit)) return NLP_OK;
    for (size_t at = 0, part; at < n; at += part) {
        part = n - at < NLP_UNIT_TOKENS ? n - at : NLP_UNIT_TOKENS;
        begin_unit(w);
        add_to_unit(w, &w->prefix, w->drafts[0].ids + at, part, &none);
        NLP_TRY(run_unit(w, &hidden, err));
    }
    return NLP_OK;
}

/* ---- Sources of a seq2seq ---- */

/* Encodes the sources of n slots in one unit (a long one alone), and keeps what the decoder sees of
 * them. */
static nlp_status encode_unit(nlp_writing *w, nlp_slot *const *seated, size_t n, nlp_error *err) {
    const nlp_writer *writer = w->s.writer;
    nlp_unit u = {.ids = n == 1 ? seated[0]->draft->ids : w->ids, .lengths = w->lengths};
    const float *hidden;
    for (; u.n_texts < n; u.n_tokens += w->lengths[u.n_texts++]) {
        const nlp_draft *draft = seated[u.n_texts]->draft;
        w->lengths[u.n_texts] = (uint32_t)draft->n_ids;
        if (n > 1) memcpy(w->ids + u.n_tokens, draft->ids, draft->n_ids * sizeof *draft->ids);
    }
    NLP_TRY(nlp_transformer_run(writer->encoder, w->s.kernels, &u, w->source_scratch,
                                w->source_bytes, NULL, w->s.poll, &hidden, err));
    w->n_passes++;
    for (size_t i = 0; i < n; hidden += w->lengths[i++] * writer->encoder->spec.hidden_size) {
        seated[i]->memory.n_tokens = w->lengths[i];
        NLP_TRY(nlp_memory_make(writer->decoder, w->s.kernels, hidden, &seated[i]->memory,
                                seated[i]->memory_rows, w->memory_scratch, w->s.poll, err));
    }
    return NLP_OK;
}

static nlp_status encode_sources(nlp_writing *w, nlp_slot *const *seated, size_t n,
                                 nlp_error *err) {
    for (size_t first = 0, end; first < n; first = end) {
        size_t n_tokens = seated[first]->draft->n_ids;
        for (end = first + 1; end < n; n_tokens += seated[end++]->draft->n_ids)
            if (n_tokens + seated[end]->draft->n_ids > NLP_UNIT_TOKENS) break;
        NLP_TRY(encode_unit(w, seated + first, end - first, err));
    }
    return NLP_OK;
}

/* ---- Seats ---- */

static void seat(const nlp_writing *w, nlp_slot *slot, nlp_draft *draft) {
    nlp_hypothesis *first = &slot->live[0];
    slot->draft = draft;
    slot->n_live = 1;
    slot->limit = nlp_draft_limit(w, draft);
    slot->n_endings = 0;
    first->score = 0;
    if (draft->constraint) nlp_constraint_begin(draft->constraint, true, slot->state);
    nlp_trust_begin(&slot->trust);
    nlp_kv_fork(&first->cache, &w->prefix);
    slot->n_read = w->prefix.n;
    slot->n_ids = is_seq2seq(w) ? 1 : draft->n_ids;
    slot->n_prompt = slot->n_ids;
    if (is_seq2seq(w)) /* NLP_NO_WORD where there is none */
        first->ids[0] = (int32_t)w->rules.start - 1;
    else
        memcpy(first->ids, draft->ids, draft->n_ids * sizeof *draft->ids);
}

static nlp_status seat_drafts(nlp_writing *w, nlp_error *err) {
    nlp_slot *seated[NLP_STEP_ROWS];
    size_t n = 0;
    for (size_t i = 0; i < w->n_slots && w->n_seated < w->n_drafts; i++) {
        if (w->slots[i].draft) continue;
        seat(w, &w->slots[i], &w->drafts[w->n_seated++]);
        seated[n++] = &w->slots[i];
    }
    return n && is_seq2seq(w) ? encode_sources(w, seated, n, err) : NLP_OK;
}

static void leave_seat(nlp_writing *w, nlp_slot *slot) {
    for (size_t i = 0; i < w->manner.n_beams; i++) {
        nlp_kv_cut(&slot->live[i].cache, 0);
        if (slot->next) nlp_kv_cut(&slot->next[i].cache, 0);
    }
    slot->draft = NULL;
    w->n_done++;
}

/* ---- Reading ---- */

/* Rotary positions of long texts change their table: then all is read again. */
static void begin_again_at_switch(const nlp_writing *w, nlp_slot *slot) {
    uint32_t limit = w->s.writer->decoder->spec.rope_switch;
    if (!limit || slot->n_read > limit || slot->n_ids <= limit || !slot->n_read) return;
    for (size_t i = 0; i < slot->n_live; i++) nlp_kv_cut(&slot->live[i].cache, 0);
    slot->n_read = 0;
}

/* A slot that was read to its end: where in the unit the last token of each hypothesis stands, or that
 * of its only one and the guessed tokens behind it. */
typedef struct reading {
    nlp_slot *slot;
    size_t n_rows, rows[NLP_STEP_ROWS];
    int32_t guess[GUESS_ROWS];
} reading;

/* Most guesses of a slot, by what a step may hold. */
static size_t room_to_guess(const nlp_writing *w, const nlp_slot *slot) {
    const nlp_arch_spec *spec = &w->s.writer->decoder->spec;
    size_t n_live = w->n_seated - w->n_done;
    bool can = w->manner.guess && w->manner.n_beams == 1 && !w->manner.follow && !is_seq2seq(w) &&
               !spec->recurrence && !spec->rope_switch;
    size_t room = can && n_live <= GUESS_SLOTS ? GUESS_ROWS / n_live - 1 : 0;
    size_t left = slot->limit - slot->n_ids; /* that the decoder may read */
    return room < left ? room : left;
}

/* Guesses stand behind the ids of the slot, where chosen tokens go over them. */
static size_t guess_ahead(const nlp_writing *w, nlp_slot *slot, int32_t *guess) {
    size_t most = room_to_guess(w, slot);
    int32_t *ids = slot->live[0].ids;
    if (!most) return 0;
    size_t n = nlp_look_up(ids, slot->n_ids, guess, nlp_trust_most(&slot->trust, most));
    memcpy(ids + slot->n_ids, guess, n * sizeof *guess);
    return n;
}

/* Lays out the next `part` ids of each hypothesis; r gets the places of the last, and of guesses. */
static void lay_out_slot(nlp_writing *w, nlp_slot *slot, size_t part, reading *r) {
    bool is_end = slot->n_read + part == slot->n_ids;
    size_t n_guess = is_end ? guess_ahead(w, slot, r->guess) : 0;
    r->slot = slot;
    r->n_rows = 0;
    for (size_t k = 0; k < slot->n_live; k++) {
        nlp_hypothesis *h = &slot->live[k];
        add_to_unit(w, &h->cache, h->ids + slot->n_read, part + n_guess, &slot->memory);
        for (size_t g = n_guess + 1; g-- > 0;) r->rows[r->n_rows++] = w->unit.n_tokens - 1 - g;
    }
    slot->n_read += part;
}

/* Lays out what slots have unread; `readings` gets those that will be read to their end. */
static size_t lay_out_unit(nlp_writing *w, reading *readings) {
    size_t n = 0, rows_after = 0;
    begin_unit(w);
    for (size_t i = 0; i < w->n_slots; i++)
        rows_after += w->slots[i].draft ? w->slots[i].n_live + room_to_guess(w, &w->slots[i]) : 0;
    for (size_t i = 0; i < w->n_slots; i++) {
        nlp_slot *slot = &w->slots[i];
        if (!slot->draft) continue;
        begin_again_at_switch(w, slot);
        /* each of those behind has room for a token of its own and its guesses */
        size_t guesses = room_to_guess(w, slot);
        rows_after -= slot->n_live + guesses;
        size_t unread = slot->n_ids - slot->n_read;
        size_t room = (NLP_UNIT_TOKENS - w->unit.n_tokens - rows_after - guesses) / slot->n_live;
        lay_out_slot(w, slot, unread < room ? unread : room, &readings[n]);
        if (slot->n_read == slot->n_ids) n++;
    }
    return n;
}

/* Scores of the vocabulary behind the last tokens: w->logits, slot by slot. */
static nlp_status score_rows(nlp_writing *w, const reading *readings, size_t n, const float *hidden,
                             nlp_error *err) {
    const nlp_stack *decoder = w->s.writer->decoder;
    size_t d = decoder->spec.hidden_size, n_rows = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < readings[i].n_rows; k++)
            memcpy(w->hidden + n_rows++ * d, hidden + readings[i].rows[k] * d, d * sizeof *hidden);
    if (!n_rows) return NLP_OK;
    NLP_TRY(nlp_output_run(decoder, w->s.kernels, w->hidden, n_rows, w->logits, w->output_scratch,
                           w->s.poll, err));
    if (isfinite(w->s.kernels->max_abs(w->logits, n_rows * decoder->spec.n_outputs))) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT, "the model computed a score that is not finite");
}

/* ---- Choosing ---- */

static bool is_end(const nlp_generation_spec *g, uint32_t id) {
    for (uint32_t i = 0; i < g->n_ends; i++)
        if (g->ends[i] == id) return true;
    return false;
}

bool nlp_ends_draft(const nlp_writing *w, const nlp_draft *draft, uint32_t id) {
    return id + 1 == draft->also_ends || is_end(&w->rules, id);
}

uint32_t nlp_forced_id(const nlp_writing *w, const nlp_slot *slot) {
    size_t n_made = slot->n_ids - slot->n_prompt;
    if (!is_seq2seq(w)) return 0;
    if (!n_made && slot->draft->forced_first) return slot->draft->forced_first;
    if (!n_made && w->rules.forced_first) return w->rules.forced_first;
    return n_made + 1 == nlp_draft_max_new(w, slot->draft) ? w->rules.forced_last : 0;
}

void nlp_adjust_row(nlp_writing *w, const nlp_slot *slot, const nlp_hypothesis *h, float *logits) {
    nlp_history history = {h->ids, slot->n_ids, slot->n_prompt};
    nlp_adjust_scores(&w->sampler, &w->manner.sampling, &w->rules, &history, logits);
    if (slot->draft->also_ends && slot->n_ids - slot->n_prompt < w->rules.min_tokens)
        logits[slot->draft->also_ends - 1] = -INFINITY;
}

/* The next token of a draft that is not searched. */
static uint32_t choose(nlp_writing *w, nlp_slot *slot, float *logits) {
    const nlp_sampling *p = &w->manner.sampling;
    size_t n_made = slot->n_ids - slot->n_prompt;
    uint32_t n = w->s.writer->decoder->spec.n_outputs, forced = nlp_forced_id(w, slot);
    float gap;
    nlp_adjust_row(w, slot, &slot->live[0], logits);
    uint32_t best = nlp_best_token(logits, n, &gap);
    if (slot->draft->gaps) slot->draft->gaps[n_made] = gap;
    if (forced) return forced - 1;
    if (p->temperature <= 0) return best;
    nlp_candidates c = nlp_sampling_candidates(&w->sampler, p, logits);
    return nlp_draw(&c, nlp_random_real(slot->draft->stream, n_made));
}

/* A draft's results move out of its slot. */
static nlp_status finish(nlp_writing *w, nlp_slot *slot, const int32_t *made, size_t n,
                         nlp_finish how, nlp_error *err) {
    nlp_draft *draft = slot->draft;
    int32_t *ids = NLP_PUSH(w->s.arena, int32_t, n + 1);
    bool stopped;
    NLP_TRY(nlp_arena_status(w->s.arena, err));
    memcpy(ids, made, n * sizeof *made);
    draft->made = ids;
    draft->n_made = n;
    draft->finish = how;
    NLP_TRY(nlp_draft_read(w, draft, ids, n, &stopped, err));
    if (stopped) draft->finish = NLP_FINISH_STOP; /* with the last token that it could have */
    leave_seat(w, slot);
    return NLP_OK;
}

static nlp_status go_on(nlp_writing *w, nlp_slot *slot, float *logits, nlp_error *err) {
    nlp_hypothesis *h = &slot->live[0];
    uint32_t id = choose(w, slot, logits);
    h->ids[slot->n_ids++] = (int32_t)id;
    const int32_t *made = h->ids + slot->n_prompt;
    size_t n_made = slot->n_ids - slot->n_prompt;
    bool stopped = false, ended = nlp_ends_draft(w, slot->draft, id);
    bool full = n_made == nlp_draft_max_new(w, slot->draft) || slot->n_ids > slot->limit;
    slot->draft->n_made = n_made;
    if (!ended && !full && (w->manner.n_stops || w->manner.follow))
        NLP_TRY(nlp_draft_read(w, slot->draft, made, n_made, &stopped, err));
    if (!ended && !full && !stopped) return NLP_OK;
    return finish(w, slot, made, n_made, ended || stopped ? NLP_FINISH_STOP : NLP_FINISH_LENGTH,
                  err);
}

/* The same under a constraint: a text that has all of it ends, one that has no room for more is
 * closed. */
static nlp_status go_on_within(nlp_writing *w, nlp_slot *slot, float *logits, nlp_error *err) {
    nlp_choice choice;
    size_t n_made = slot->n_ids - slot->n_prompt, n;
    size_t n_left = nlp_draft_max_new(w, slot->draft) - n_made,
           n_places = slot->limit + 1 - slot->n_ids;
    const int32_t *made = slot->live[0].ids + slot->n_prompt;
    bool stopped;
    NLP_TRY(
        nlp_choose_within(w, slot, logits, n_left < n_places ? n_left : n_places, &choice, err));
    if (choice.closes) {
        NLP_TRY(nlp_close_text(w, slot, &made, &n, err));
        return finish(w, slot, made, n, NLP_FINISH_LENGTH, err);
    }
    slot->live[0].ids[slot->n_ids++] = (int32_t)choice.id;
    slot->draft->n_made = ++n_made;
    bool full = n_left == 1 || n_places == 1; /* and then it may end here */
    if (choice.ends || full || nlp_constraint_must_end(slot->state))
        return finish(w, slot, made, n_made, NLP_FINISH_STOP, err);
    if (w->manner.follow) NLP_TRY(nlp_draft_read(w, slot->draft, made, n_made, &stopped, err));
    return NLP_OK;
}

static nlp_status search_on(nlp_writing *w, nlp_slot *slot, float *logits, nlp_error *err) {
    bool done;
    NLP_TRY(nlp_search_step(w, slot, logits, &done, err));
    if (!done) return NLP_OK;
    const nlp_ending *best = &slot->endings[0];
    bool ended = best->n && nlp_ends_draft(w, slot->draft, (uint32_t)best->ids[best->n - 1]);
    slot->draft->score = best->score;
    return finish(w, slot, best->ids, best->n, ended ? NLP_FINISH_STOP : NLP_FINISH_LENGTH, err);
}

/* A token behind each row: the first, and those behind guesses that came true. What was read of the
 * others is forgotten. */
static nlp_status write_on(nlp_writing *w, const reading *r, float *logits, nlp_error *err) {
    nlp_slot *slot = r->slot;
    uint32_t n_outputs = w->s.writer->decoder->spec.n_outputs;
    size_t n_read = slot->n_ids, n_guess = r->n_rows - 1, n_right = 0;
    for (;; logits += n_outputs, n_right++) {
        NLP_TRY(slot->draft->constraint ? go_on_within(w, slot, logits, err)
                                        : go_on(w, slot, logits, err));
        if (!slot->draft) return NLP_OK;
        NLP_TRY(nlp_poll_work(w->s.poll, (uint64_t)4 * n_outputs, err));
        if (n_right == n_guess || slot->live[0].ids[n_read + n_right] != r->guess[n_right]) break;
    }
    if (!n_guess) return NLP_OK;
    nlp_trust_learn(&slot->trust, n_guess, n_right);
    slot->n_read = n_read + n_right;
    nlp_kv_cut(&slot->live[0].cache, slot->n_read);
    return NLP_OK;
}

/* ---- The whole ---- */

nlp_status nlp_writing_step(nlp_writing *w, bool *done, nlp_error *err) {
    reading readings[NLP_STEP_ROWS];
    const float *hidden;
    uint32_t n_outputs = w->s.writer->decoder->spec.n_outputs;
    *done = w->n_done == w->n_drafts;
    if (*done) return NLP_OK;
    if (!w->n_seated) NLP_TRY(read_prefix(w, err));
    NLP_TRY(seat_drafts(w, err));
    size_t n = lay_out_unit(w, readings);
    NLP_TRY(run_unit(w, &hidden, err));
    NLP_TRY(score_rows(w, readings, n, hidden, err));
    float *logits = w->logits;
    for (size_t i = 0; i < n; logits += readings[i++].n_rows * n_outputs) {
        nlp_slot *slot = readings[i].slot;
        if (slot->draft->first_logits && slot->n_ids == slot->n_prompt)
            memcpy(slot->draft->first_logits, logits, n_outputs * sizeof *logits);
        NLP_TRY(w->manner.n_beams > 1 ? search_on(w, slot, logits, err)
                                      : write_on(w, &readings[i], logits, err));
        NLP_TRY(nlp_poll_work(w->s.poll, (uint64_t)4 * n_outputs, err));
    }
    *done = w->n_done == w->n_drafts;
    return NLP_OK;
}

nlp_status nlp_writing_open(const nlp_writing_setup *setup, nlp_draft *drafts, size_t n,
                            nlp_writing **writing, nlp_error *err) {
    nlp_writing *w = nlp_arena_push_zero(setup->arena, 1, sizeof *w);
    NLP_TRY(nlp_arena_status(setup->arena, err));
    w->s = *setup;
    w->manner = *setup->manner;
    w->rules = *setup->writer->generation;
    w->rules.min_tokens = w->manner.min_new;
    if (w->manner.ends && w->manner.n_ends <= sizeof w->rules.ends / sizeof *w->rules.ends) {
        w->rules.n_ends = (uint32_t)w->manner.n_ends;
        memcpy(w->rules.ends, w->manner.ends, w->manner.n_ends * sizeof *w->manner.ends);
    }
    w->drafts = drafts;
    w->n_drafts = n;
    *writing = w;
    if (w->manner.n_beams < 1 || w->manner.n_beams > NLP_MAX_BEAMS || !w->manner.max_new)
        return nlp_fail(err, NLP_EINVAL, "%u beams and %u tokens are not 1 to %d and at least 1",
                        w->manner.n_beams, w->manner.max_new, NLP_MAX_BEAMS);
    return n ? nlp_desk_open(w, err) : NLP_OK;
}

uint64_t nlp_writing_passes(const nlp_writing *w) {
    return w->n_passes;
}

nlp_status nlp_write(const nlp_writing_setup *setup, nlp_draft *drafts, size_t n,
                     uint64_t *n_passes, nlp_error *err) {
    nlp_writing *w;
    bool done = !n;
    NLP_TRY(nlp_writing_open(setup, drafts, n, &w, err));
    while (!done) NLP_TRY(nlp_writing_step(w, &done, err));
    if (n_passes) *n_passes = w->n_passes;
    return NLP_OK;
}
