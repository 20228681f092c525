/* greedy.c: prompt, then one token a step. */
#include "model/greedy.h"

#include <math.h>
#include <string.h>

typedef struct run {
    const nlp_writer *writer;
    nlp_greedy *g;
    nlp_error *err;
    nlp_kv_pool pool;
    nlp_kv_cache cache;
    nlp_memory memory;
    int32_t *ids; /* all that the decoder has read or will read */
    size_t n_ids, n_read, capacity;
    float *hidden, *logits; /* of the last row */
    void *scratch, *output_scratch;
    size_t scratch_bytes;
} run;

/* ---- Setting up ---- */

static nlp_status encode_source(run *r, const int32_t *ids, size_t n_ids) {
    const nlp_stack *encoder = r->writer->encoder, *decoder = r->writer->decoder;
    nlp_greedy *g = r->g;
    const float *hidden;
    size_t bytes;
    uint32_t length = (uint32_t)n_ids;
    nlp_unit unit = {.ids = ids, .lengths = &length, .n_texts = 1, .n_tokens = n_ids};
    NLP_TRY(nlp_transformer_plan(encoder, n_ids, n_ids, n_ids, &bytes, r->err));
    void *scratch = nlp_arena_push(g->arena, bytes, 1);
    float *rows = NLP_PUSH(g->arena, float, nlp_memory_floats(decoder, n_ids));
    void *more = nlp_arena_push(g->arena, nlp_memory_scratch(decoder, n_ids), 1);
    NLP_TRY(nlp_arena_status(g->arena, r->err));
    NLP_TRY(nlp_transformer_run(encoder, g->kernels, &unit, scratch, bytes, NULL, g->poll, &hidden,
                                r->err));
    r->memory.n_tokens = n_ids;
    return nlp_memory_make(decoder, g->kernels, hidden, &r->memory, rows, more, g->poll, r->err);
}

static nlp_status prepare(run *r, const int32_t *ids, size_t n_ids) {
    const nlp_arch_spec *s = &r->writer->decoder->spec;
    nlp_arena *arena = r->g->arena;
    size_t limit = s->n_positions - s->position_offset;
    r->capacity = n_ids + r->g->max_new < limit ? n_ids + r->g->max_new : limit;
    if (n_ids > r->capacity)
        return nlp_fail(r->err, NLP_ELIMIT, "%zu tokens are over the model's %zu positions", n_ids,
                        limit);
    nlp_kv_shape shape = nlp_kv_shape_of(r->writer->decoder);
    NLP_TRY(nlp_kv_pool_open(&r->pool, &shape, nlp_kv_blocks(r->capacity), arena, r->err));
    NLP_TRY(nlp_kv_cache_open(&r->cache, &r->pool, r->capacity, arena, r->err));
    size_t keys = r->capacity > r->memory.n_tokens ? r->capacity : r->memory.n_tokens;
    NLP_TRY(nlp_transformer_plan(r->writer->decoder, r->capacity, r->capacity, keys,
                                 &r->scratch_bytes, r->err));
    r->scratch = nlp_arena_push(arena, r->scratch_bytes, 1);
    r->output_scratch = nlp_arena_push(arena, nlp_output_scratch(r->writer->decoder, 1), 1);
    r->hidden = NLP_PUSH(arena, float, s->hidden_size);
    r->logits = NLP_PUSH(arena, float, s->n_outputs);
    r->ids = NLP_PUSH(arena, int32_t, r->capacity + 1);
    NLP_TRY(nlp_arena_status(arena, r->err));
    memcpy(r->ids, ids, n_ids * sizeof *ids);
    r->n_ids = n_ids;
    return NLP_OK;
}

/* ---- One step ---- */

/* Ids that have not been read go through the decoder; the scores after the last are left in
 * r->logits. Where rotary positions change their table all is read again. */
static nlp_status read_ids(run *r) {
    const nlp_stack *decoder = r->writer->decoder;
    uint32_t limit = decoder->spec.rope_switch;
    if (limit && r->n_read <= limit && r->n_ids > limit) nlp_kv_cut(&r->cache, r->n_read = 0);
    nlp_kv_cache *caches[] = {&r->cache};
    uint32_t length = (uint32_t)(r->n_ids - r->n_read);
    nlp_unit unit = {.ids = r->ids + r->n_read,
                     .lengths = &length,
                     .n_texts = 1,
                     .n_tokens = length,
                     .caches = caches,
                     .memories = r->writer->encoder ? &r->memory : NULL};
    const float *hidden;
    NLP_TRY(nlp_kv_reserve(&r->cache, length, r->err));
    NLP_TRY(nlp_transformer_run(decoder, r->g->kernels, &unit, r->scratch, r->scratch_bytes, NULL,
                                r->g->poll, &hidden, r->err));
    r->n_read = r->n_ids;
    memcpy(r->hidden, hidden + (size_t)(length - 1) * decoder->spec.hidden_size,
           decoder->spec.hidden_size * sizeof *hidden);
    return nlp_output_run(decoder, r->g->kernels, r->hidden, 1, r->logits, r->output_scratch,
                          r->g->poll, r->err);
}

/* Ids that a model never chooses, and those behind its vocabulary. */
static void suppress(const run *r) {
    const nlp_generation_spec *g = r->writer->generation;
    uint32_t n = r->writer->decoder->spec.n_outputs;
    for (uint32_t i = 0; i < g->n_suppressed; i++) r->logits[g->suppressed[i]] = -INFINITY;
    for (uint32_t i = g->n_vocabulary ? g->n_vocabulary : n; i < n; i++) r->logits[i] = -INFINITY;
}

/* The first of the best, and how far the second lies behind it. */
static uint32_t best_of(const float *logits, uint32_t n, float *gap) {
    uint32_t best = 0;
    float second = -INFINITY;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            second = logits[best], best = i;
        else if (logits[i] > second)
            second = logits[i];
    *gap = logits[best] - second;
    return best;
}

static bool is_end(const nlp_generation_spec *g, uint32_t id) {
    for (uint32_t i = 0; i < g->n_ends; i++)
        if (g->ends[i] == id) return true;
    return false;
}

/* What the model's files force at the first and the last place of a seq2seq's answer. */
static uint32_t choose(const run *r, uint32_t best) {
    const nlp_generation_spec *g = r->writer->generation;
    if (!r->writer->encoder) return best;
    if (!r->g->n && g->forced_first) return g->forced_first - 1;
    if (r->g->n + 1 == r->g->max_new && g->forced_last) return g->forced_last - 1;
    return best;
}

static nlp_status write(run *r) {
    nlp_greedy *g = r->g;
    uint32_t n = r->writer->decoder->spec.n_outputs;
    for (bool ended = false; !ended && g->n < g->max_new && r->n_ids <= r->capacity;) {
        float gap;
        NLP_TRY(read_ids(r));
        if (!g->n && g->first_logits) memcpy(g->first_logits, r->logits, n * sizeof(float));
        suppress(r);
        uint32_t id = choose(r, best_of(r->logits, n, &gap));
        if (g->gaps) g->gaps[g->n] = gap;
        g->ids[g->n++] = (int32_t)id;
        ended = is_end(r->writer->generation, id);
        if (r->n_ids == r->capacity) break;
        r->ids[r->n_ids++] = (int32_t)id;
    }
    return NLP_OK;
}

nlp_status nlp_greedy_run(const nlp_writer *writer, const int32_t *ids, size_t n_ids,
                          nlp_greedy *greedy, nlp_error *err) {
    run r = {.writer = writer, .g = greedy, .err = err};
    int32_t start = (int32_t)writer->generation->start - 1; /* NLP_NO_WORD where there is none */
    greedy->n = 0;
    if (writer->encoder) NLP_TRY(encode_source(&r, ids, n_ids));
    NLP_TRY(writer->encoder ? prepare(&r, &start, 1) : prepare(&r, ids, n_ids));
    return write(&r);
}

nlp_status nlp_shifted_states(const nlp_writer *writer, const nlp_kernels *kernels,
                              const int32_t *ids, size_t n_ids, const float *hidden,
                              nlp_arena *arena, nlp_poll *poll, const float **out, nlp_error *err) {
    const nlp_stack *d = writer->decoder;
    size_t bytes;
    uint32_t length = (uint32_t)n_ids;
    nlp_memory memory = {.n_tokens = n_ids};
    NLP_TRY(nlp_transformer_plan(d, n_ids, n_ids, n_ids, &bytes, err));
    int32_t *shifted = NLP_PUSH(arena, int32_t, n_ids);
    void *scratch = nlp_arena_push(arena, bytes, 1),
         *more = nlp_arena_push(arena, nlp_memory_scratch(d, n_ids), 1);
    float *rows = NLP_PUSH(arena, float, nlp_memory_floats(d, n_ids));
    NLP_TRY(nlp_arena_status(arena, err));
    shifted[0] = (int32_t)writer->generation->start - 1;
    memcpy(shifted + 1, ids, (n_ids - 1) * sizeof *ids);
    NLP_TRY(nlp_memory_make(d, kernels, hidden, &memory, rows, more, poll, err));
    nlp_unit unit = {
        .ids = shifted, .lengths = &length, .n_texts = 1, .n_tokens = n_ids, .memories = &memory};
    return nlp_transformer_run(d, kernels, &unit, scratch, bytes, NULL, poll, out, err);
}
