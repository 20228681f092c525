/* desk.c: the plan of a writing: how many drafts go side by side within the memory that is left, and
 * where everything lies. The same function counts and places. */
#include "generate/desk.h"

#include <string.h>

/* ---- Sizes ---- */

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

static const nlp_arch_spec *decoder_spec(const nlp_writing *w) {
    return &w->s.writer->decoder->spec;
}

static size_t positions(const nlp_arch_spec *s) {
    return s->n_positions - s->position_offset;
}

static size_t prompt_tokens(const nlp_writing *w, const nlp_draft *draft) {
    return w->s.writer->encoder ? 1 : draft->n_ids;
}

uint32_t nlp_draft_max_new(const nlp_writing *w, const nlp_draft *draft) {
    bool own = draft->max_new && draft->max_new < w->manner.max_new;
    return own ? draft->max_new : w->manner.max_new;
}

size_t nlp_draft_limit(const nlp_writing *w, const nlp_draft *draft) {
    return least(prompt_tokens(w, draft) + nlp_draft_max_new(w, draft), positions(decoder_spec(w)));
}

static nlp_status check_drafts(nlp_writing *w, nlp_error *err) {
    const nlp_stack *reader = w->s.writer->encoder ? w->s.writer->encoder : w->s.writer->decoder;
    size_t limit = positions(&reader->spec);
    for (size_t i = 0; i < w->n_drafts; i++) {
        const nlp_draft *draft = &w->drafts[i];
        if (!draft->n_ids || draft->n_ids > limit)
            return nlp_fail(err, draft->n_ids ? NLP_ELIMIT : NLP_EINVAL,
                            "a prompt of %zu tokens, where the model takes 1 to %zu", draft->n_ids,
                            limit);
        w->longest = most(w->longest, nlp_draft_limit(w, draft));
        if (w->s.writer->encoder) w->longest_source = most(w->longest_source, draft->n_ids);
    }
    return NLP_OK;
}

/* Each hypothesis may have a whole history of its own, and one block that is being copied; the prefix
 * lies beside them. */
static void plan_blocks(nlp_writing *w) {
    size_t each = nlp_kv_blocks(w->longest);
    w->n_blocks = (each + 1) * w->manner.n_beams * w->n_slots + each;
    if (decoder_spec(w)->recurrence) w->n_blocks = 0;
}

/* ---- Places ---- */

/* One array behind the others; base NULL only counts. */
typedef struct shelf {
    uint8_t *base;
    size_t used;
    bool overflow;
} shelf;

static void *place(shelf *s, size_t n, size_t size) {
    size_t n_bytes, at = s->used;
    if (nlp_mul_overflows(n, size, &n_bytes) || nlp_add_overflows(n_bytes, 63, &n_bytes) ||
        nlp_add_overflows(at, n_bytes & ~(size_t)63, &s->used))
        s->overflow = true;
    return s->base && !s->overflow ? s->base + at : NULL;
}

#define PLACE(shelf, type, n) ((type *)place((shelf), (n), sizeof(type)))

static void place_hypotheses(const nlp_writing *w, nlp_hypothesis **out, shelf *s) {
    nlp_hypothesis *all = PLACE(s, nlp_hypothesis, w->manner.n_beams);
    for (size_t i = 0; i < w->manner.n_beams; i++) {
        int32_t *ids = PLACE(s, int32_t, w->longest + 1);
        if (all) all[i] = (nlp_hypothesis){.ids = ids};
    }
    *out = all;
}

static bool any_constraint(const nlp_writing *w) {
    for (size_t i = 0; i < w->n_drafts; i++)
        if (w->drafts[i].constraint) return true;
    return false;
}

static void place_slot(const nlp_writing *w, nlp_slot *slot, shelf *s) {
    size_t n_beams = w->manner.n_beams;
    place_hypotheses(w, &slot->live, s);
    if (any_constraint(w)) slot->state = PLACE(s, nlp_constraint_state, 1);
    if (n_beams == 1) return;
    place_hypotheses(w, &slot->next, s);
    slot->endings = PLACE(s, nlp_ending, n_beams);
    for (size_t i = 0; i < n_beams; i++) {
        int32_t *ids = PLACE(s, int32_t, w->longest + 1);
        if (slot->endings) slot->endings[i] = (nlp_ending){.ids = ids};
    }
}

static void place_memory(const nlp_writing *w, nlp_slot *slot, shelf *s) {
    const nlp_stack *decoder = w->s.writer->decoder;
    if (w->s.writer->encoder)
        slot->memory_rows = PLACE(s, float, nlp_memory_floats(decoder, w->longest_source));
}

/* Memory of a step, whatever is in it. */
static void place_step(nlp_writing *w, shelf *s) {
    const nlp_stack *decoder = w->s.writer->decoder;
    const nlp_arch_spec *spec = &decoder->spec;
    w->ids = PLACE(s, int32_t, NLP_UNIT_TOKENS);
    w->lengths = PLACE(s, uint32_t, NLP_STEP_ROWS);
    w->caches = PLACE(s, nlp_kv_cache *, NLP_STEP_ROWS);
    w->memories = PLACE(s, nlp_memory, NLP_STEP_ROWS);
    w->hidden = PLACE(s, float, NLP_STEP_ROWS *(size_t)spec->hidden_size);
    w->logits = PLACE(s, float, NLP_STEP_ROWS *(size_t)spec->n_outputs);
    w->scratch = place(s, w->scratch_bytes, 1);
    w->output_scratch = place(s, nlp_output_scratch(decoder, NLP_STEP_ROWS), 1);
    if (!w->s.writer->encoder) return;
    w->source_scratch = place(s, w->source_bytes, 1);
    w->memory_scratch = place(s, nlp_memory_scratch(decoder, w->longest_source), 1);
}

static void place_all(nlp_writing *w, shelf *s) {
    w->slots = PLACE(s, nlp_slot, w->n_slots);
    nlp_slot none = {0};
    if (w->slots) memset(w->slots, 0, w->n_slots * sizeof *w->slots);
    for (size_t i = 0; i < w->n_slots; i++) {
        nlp_slot *slot = w->slots ? &w->slots[i] : &none;
        place_slot(w, slot, s);
        place_memory(w, slot, s);
    }
    place_step(w, s);
}

/* What the plan cannot place itself: caches, blocks and the sampler take their own. */
static size_t other_bytes(const nlp_writing *w) {
    nlp_kv_shape shape = nlp_kv_shape_of(w->s.writer->decoder);
    size_t n_caches = (w->manner.n_beams > 1 ? 2 * w->manner.n_beams : 1) * w->n_slots + 1;
    size_t bytes, caches, cache = nlp_kv_cache_bytes(&shape, w->longest);
    size_t pool = nlp_kv_pool_bytes(&shape, w->n_blocks);
    if (cache == SIZE_MAX || pool == SIZE_MAX ||
        nlp_mul_overflows(n_caches, cache + 128, &caches) ||
        nlp_add_overflows(pool + 256, caches, &bytes))
        return SIZE_MAX;
    return bytes + nlp_sampler_bytes(w->s.writer->decoder->spec.n_outputs);
}

static size_t count_bytes(nlp_writing *w) {
    shelf counter = {0};
    size_t total;
    plan_blocks(w);
    place_all(w, &counter);
    if (counter.overflow || nlp_add_overflows(counter.used, other_bytes(w), &total))
        return SIZE_MAX;
    return total;
}

/* ---- Opening ---- */

static nlp_status plan_passes(nlp_writing *w, nlp_error *err) {
    const nlp_writer *writer = w->s.writer;
    size_t unit = NLP_UNIT_TOKENS, source = most(w->longest_source, NLP_UNIT_TOKENS);
    NLP_TRY(nlp_transformer_plan(writer->decoder, unit, least(unit, w->longest),
                                 most(w->longest, w->longest_source), &w->scratch_bytes, err));
    if (!writer->encoder) return NLP_OK;
    return nlp_transformer_plan(writer->encoder, source, source, source, &w->source_bytes, err);
}

static size_t memory_left(const nlp_mem *mem) {
    if (!mem->budget_bytes) return SIZE_MAX;
    return mem->budget_bytes > mem->used_bytes ? mem->budget_bytes - mem->used_bytes : 0;
}

/* As many slots as there is use and memory for. */
static nlp_status plan_slots(nlp_writing *w, size_t *bytes, nlp_error *err) {
    size_t left = memory_left(w->s.arena->mem);
    w->n_slots = least(NLP_STEP_ROWS / w->manner.n_beams, w->n_drafts);
    for (*bytes = count_bytes(w); *bytes > left && w->n_slots > 1; *bytes = count_bytes(w))
        w->n_slots--;
    if (*bytes <= left) return NLP_OK;
    nlp_fail(err, NLP_ENOMEM,
             "a text of %zu tokens needs %zu bytes, and the memory limit leaves %zu", w->longest,
             *bytes, left);
    nlp_hint(err, "lower max_tokens, or raise the limit (max_memory)");
    return NLP_ENOMEM;
}

static nlp_status open_caches(nlp_writing *w, nlp_error *err) {
    nlp_kv_shape shape = nlp_kv_shape_of(w->s.writer->decoder);
    nlp_arena *arena = w->s.arena;
    NLP_TRY(nlp_kv_pool_open(&w->pool, &shape, w->n_blocks, arena, err));
    NLP_TRY(nlp_kv_cache_open(&w->prefix, &w->pool, w->longest, arena, err));
    for (size_t i = 0; i < w->n_slots; i++)
        for (size_t k = 0; k < w->manner.n_beams; k++) {
            nlp_slot *slot = &w->slots[i];
            NLP_TRY(nlp_kv_cache_open(&slot->live[k].cache, &w->pool, w->longest, arena, err));
            if (slot->next)
                NLP_TRY(nlp_kv_cache_open(&slot->next[k].cache, &w->pool, w->longest, arena, err));
        }
    return NLP_OK;
}

nlp_status nlp_desk_open(nlp_writing *w, nlp_error *err) {
    size_t bytes;
    shelf count = {0}, real = {0};
    NLP_TRY(check_drafts(w, err));
    NLP_TRY(plan_passes(w, err));
    NLP_TRY(plan_slots(w, &bytes, err));
    NLP_TRY(nlp_arena_reserve(w->s.arena, bytes, err));
    place_all(w, &count);
    real.base = nlp_arena_push(w->s.arena, count.used, 1);
    NLP_TRY(nlp_arena_status(w->s.arena, err));
    place_all(w, &real);
    NLP_TRY(open_caches(w, err));
    return nlp_sampler_open(&w->sampler, w->s.kernels, w->s.writer->decoder->spec.n_outputs,
                            w->s.arena, err);
}
