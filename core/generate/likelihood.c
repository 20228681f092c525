/* likelihood.c: the passes of likelihood.h. Short prompts go through the decoder together, then the answers
 * to all of them. A prompt's last token is left to its answers: the scores behind it are those of an
 * answer's first token. */
#include "generate/likelihood.h"

#include <math.h>
#include <string.h>

#include "base/real.h"
#include "generate/sampling.h"

enum {
    LANES = 16,      /* prompts of a pass, and answers of one */
    SCORED_ROWS = 16 /* at a time */
};

typedef struct weighing {
    nlp_likelihood_setup s;
    size_t longest, longest_answer, n_outputs;
    nlp_kv_pool pool;
    nlp_kv_cache prompts[LANES], answers[LANES];
    /* one pass */
    nlp_unit unit;
    int32_t ids[NLP_UNIT_TOKENS];
    uint32_t lengths[LANES];
    nlp_kv_cache *caches[LANES];
    /* what stands behind each token that is read, and in which answer */
    int32_t targets[NLP_UNIT_TOKENS];
    nlp_answer *owners[NLP_UNIT_TOKENS];
    float *hidden, *logits; /* [SCORED_ROWS][hidden_size], [..][n_outputs] */
    void *scratch, *output_scratch;
    size_t scratch_bytes;
    uint64_t n_passes;
} weighing;

/* ---- Memory ---- */

size_t nlp_likelihood_positions(const nlp_stack *decoder) {
    const nlp_arch_spec *s = &decoder->spec;
    size_t positions = s->n_positions - s->position_offset;
    return s->rope_switch && s->rope_switch < positions ? s->rope_switch : positions;
}

static nlp_status measure(weighing *w, const nlp_question *questions, size_t n, nlp_error *err) {
    size_t positions = nlp_likelihood_positions(w->s.decoder);
    for (size_t i = 0; i < n; i++) {
        const nlp_question *q = &questions[i];
        for (size_t k = 0; k < q->n_answers; k++) {
            size_t n_answer = q->answers[k].n_ids, total = q->n_ids + n_answer;
            if (n_answer > NLP_ANSWER_MAX_TOKENS || total > positions)
                return nlp_fail(err, NLP_ELIMIT,
                                "a prompt of %zu tokens and an answer of %zu are over %zu "
                                "positions, or the answer over %d tokens",
                                q->n_ids, n_answer, positions, NLP_ANSWER_MAX_TOKENS);
            if (total > w->longest) w->longest = total;
            if (n_answer > w->longest_answer) w->longest_answer = n_answer;
        }
    }
    return NLP_OK;
}

/* Prompts that are read together need no more blocks than a pass has tokens, and one that is not full
 * each; an answer copies the last block of its prompt and goes on behind it. */
static nlp_status open_caches(weighing *w, nlp_error *err) {
    nlp_kv_shape shape = nlp_kv_shape_of(w->s.decoder);
    size_t together = NLP_UNIT_TOKENS / NLP_KV_BLOCK + LANES, alone = nlp_kv_blocks(w->longest);
    size_t n_blocks =
        (together > alone ? together : alone) + LANES * (nlp_kv_blocks(w->longest_answer) + 1);
    NLP_TRY(nlp_kv_pool_open(&w->pool, &shape, n_blocks, w->s.arena, err));
    for (size_t i = 0; i < LANES; i++) {
        NLP_TRY(nlp_kv_cache_open(&w->prompts[i], &w->pool, w->longest, w->s.arena, err));
        NLP_TRY(nlp_kv_cache_open(&w->answers[i], &w->pool, w->longest, w->s.arena, err));
    }
    return NLP_OK;
}

static nlp_status open_weighing(weighing *w, nlp_error *err) {
    const nlp_stack *decoder = w->s.decoder;
    size_t unit = w->longest < NLP_UNIT_TOKENS ? w->longest : NLP_UNIT_TOKENS;
    w->n_outputs = decoder->spec.n_outputs;
    NLP_TRY(open_caches(w, err));
    NLP_TRY(
        nlp_transformer_plan(decoder, NLP_UNIT_TOKENS, unit, w->longest, &w->scratch_bytes, err));
    w->scratch = nlp_arena_push(w->s.arena, w->scratch_bytes, 1);
    w->output_scratch = nlp_arena_push(w->s.arena, nlp_output_scratch(decoder, SCORED_ROWS), 1);
    w->hidden =
        nlp_arena_push(w->s.arena, decoder->spec.hidden_size, SCORED_ROWS * sizeof *w->hidden);
    w->logits = nlp_arena_push(w->s.arena, w->n_outputs, SCORED_ROWS * sizeof *w->logits);
    return nlp_arena_status(w->s.arena, err);
}

/* ---- Passes ---- */

static void add_to_unit(weighing *w, nlp_kv_cache *cache, const int32_t *ids, size_t n) {
    nlp_unit *u = &w->unit;
    memcpy(w->ids + u->n_tokens, ids, n * sizeof *ids);
    w->lengths[u->n_texts] = (uint32_t)n;
    w->caches[u->n_texts++] = cache;
    u->n_tokens += n;
}

/* Runs what was added, and begins anew. */
static nlp_status run_unit(weighing *w, const float **hidden, nlp_error *err) {
    nlp_unit u = w->unit;
    u.ids = w->ids, u.lengths = w->lengths, u.caches = w->caches;
    w->unit = (nlp_unit){0};
    w->n_passes++;
    for (size_t i = 0; i < u.n_texts; i++)
        NLP_TRY(nlp_kv_reserve(w->caches[i], w->lengths[i], err));
    return nlp_transformer_run(w->s.decoder, w->s.kernels, &u, w->scratch, w->scratch_bytes, NULL,
                               w->s.poll, hidden, err);
}

/* Prompts of a group, each but its last token: several in one pass, or a long one in several. */
static nlp_status read_prompts(weighing *w, const nlp_question *questions, size_t n,
                               nlp_error *err) {
    const float *hidden;
    for (size_t i = 0; i < n; i++) {
        size_t n_ids = questions[i].n_ids - 1;
        nlp_kv_cut(&w->prompts[i], 0);
        for (size_t at = 0, part; at < n_ids; at += part) {
            part = n_ids - at < NLP_UNIT_TOKENS ? n_ids - at : NLP_UNIT_TOKENS;
            add_to_unit(w, &w->prompts[i], questions[i].ids + at, part);
            if (n == 1) NLP_TRY(run_unit(w, &hidden, err));
        }
    }
    return w->unit.n_tokens ? run_unit(w, &hidden, err) : NLP_OK;
}

/* log p of a token by the scores of the vocabulary, which are used up. */
static double log_p(const weighing *w, float *logits, int32_t target) {
    float gap, score = logits[target];
    uint32_t best = nlp_best_token(logits, (uint32_t)w->n_outputs, &gap);
    float top = logits[best];
    w->s.kernels->softmax(logits, w->n_outputs);
    return (double)score - (double)top + nlp_log((double)logits[best]);
}

/* Each row of the unit has a target. */
static nlp_status score_unit(weighing *w, size_t n_rows, const float *hidden, nlp_error *err) {
    size_t d = w->s.decoder->spec.hidden_size;
    for (size_t at = 0, n; at < n_rows; at += n) {
        n = n_rows - at < SCORED_ROWS ? n_rows - at : SCORED_ROWS;
        memcpy(w->hidden, hidden + at * d, n * d * sizeof *hidden);
        NLP_TRY(nlp_output_run(w->s.decoder, w->s.kernels, w->hidden, n, w->logits,
                               w->output_scratch, w->s.poll, err));
        if (!isfinite(w->s.kernels->max_abs(w->logits, n * w->n_outputs)))
            return nlp_fail(err, NLP_ECORRUPT, "the model computed a score that is not finite");
        for (size_t i = 0; i < n; i++) {
            w->owners[at + i]->log_p += log_p(w, w->logits + i * w->n_outputs, w->targets[at + i]);
            NLP_TRY(nlp_poll_work(w->s.poll, (uint64_t)4 * w->n_outputs, err));
        }
    }
    return NLP_OK;
}

static nlp_status run_answers(weighing *w, nlp_error *err) {
    const float *hidden;
    size_t n_rows = w->unit.n_tokens;
    if (!n_rows) return NLP_OK;
    NLP_TRY(run_unit(w, &hidden, err));
    return score_unit(w, n_rows, hidden, err);
}

/* Reads the prompt's last token and the answer's but its last one. */
static void add_answer(weighing *w, const nlp_question *q, const nlp_kv_cache *prompt,
                       nlp_answer *answer) {
    int32_t ids[NLP_ANSWER_MAX_TOKENS];
    nlp_kv_cache *cache = &w->answers[w->unit.n_texts];
    size_t at = w->unit.n_tokens;
    ids[0] = q->ids[q->n_ids - 1];
    memcpy(ids + 1, answer->ids, (answer->n_ids - 1) * sizeof *ids);
    memcpy(w->targets + at, answer->ids, answer->n_ids * sizeof *ids);
    for (size_t i = 0; i < answer->n_ids; i++) w->owners[at + i] = answer;
    answer->log_p = 0;
    nlp_kv_fork(cache, prompt);
    add_to_unit(w, cache, ids, answer->n_ids);
}

static nlp_status weigh_group(weighing *w, nlp_question *questions, size_t n, nlp_error *err) {
    NLP_TRY(read_prompts(w, questions, n, err));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < questions[i].n_answers; k++) {
            nlp_answer *answer = &questions[i].answers[k];
            if (w->unit.n_texts == LANES || w->unit.n_tokens + answer->n_ids > NLP_UNIT_TOKENS)
                NLP_TRY(run_answers(w, err));
            add_answer(w, &questions[i], &w->prompts[i], answer);
        }
    NLP_TRY(run_answers(w, err));
    for (size_t i = 0; i < LANES; i++) {
        nlp_kv_cut(&w->prompts[i], 0);
        nlp_kv_cut(&w->answers[i], 0);
    }
    return NLP_OK;
}

nlp_status nlp_likelihood(const nlp_likelihood_setup *setup, nlp_question *questions, size_t n,
                          uint64_t *n_passes, nlp_error *err) {
    weighing *w = nlp_arena_push_zero(setup->arena, 1, sizeof *w);
    *n_passes = 0;
    NLP_TRY(nlp_arena_status(setup->arena, err));
    w->s = *setup;
    NLP_TRY(measure(w, questions, n, err));
    if (!w->longest) return NLP_OK;
    NLP_TRY(open_weighing(w, err));
    for (size_t first = 0, end; first < n; first = end) {
        size_t n_tokens = questions[first].n_ids;
        for (end = first + 1; end < n && end - first < LANES; n_tokens += questions[end++].n_ids)
            if (n_tokens + questions[end].n_ids > NLP_UNIT_TOKENS) break;
        NLP_TRY(weigh_group(w, questions + first, end - first, err));
    }
    *n_passes = w->n_passes;
    return NLP_OK;
}
