/* match.c: how well a document answers a query by the vectors of both and of their tokens: half the cosine
 * of the two, and half how well the query's tokens are matched, each by the one of the document that is
 * nearest to it (late interaction: Khattab and Zaharia, 2020). A token counts the less, the more it is like
 * another one of the query: what all of its words have in common, the vectors say already. */
#include <string.h>

#include "base/utf8.h"
#include "task/task.h"

enum {
    MOST_TOKENS = 128, /* of a query that are matched */
    MOST_QUERIES = 64, /* of a pass: their tokens' states lie in memory together */
    MOST_PAIRS = 512
};

typedef struct query {
    const float *vector; /* [width] of length 1 */
    float *states;       /* [n, width] of length 1 */
    float *weights;      /* [n] that sum up to 1 */
    uint32_t n;
} query;

typedef struct matching {
    query *queries;
    size_t *query_of; /* of the documents of a pass */
} matching;

/* The vector must be the mean of the states, else they lie in no space together. */
bool nlp_task_matches(const nlp_task_model *model) {
    const nlp_pooling_spec *spec = &model->pooler->spec;
    bool plain = nlp_task_likens(model) && spec->pooling == NLP_POOL_MEAN &&
                 model->stack->spec.kind != NLP_KIND_STATIC;
    for (uint32_t i = 0; plain && i < spec->n_stages; i++)
        plain = spec->stages[i] == NLP_STAGE_NORMALIZE;
    return plain && spec->dims == model->stack->spec.hidden_size;
}

/* ---- Readouts ---- */

/* Neither of a prompt nor added by the tokenizer, as special ones are. */
static bool is_of_text(const nlp_task_call *call, const nlp_window *window, uint32_t i) {
    return i >= window->n_prompt_tokens &&
           !nlp_tokenizer_is_added(call->model->tokenizer, window->ids[i]);
}

static nlp_status read_query(const nlp_task_call *call, const nlp_window *window,
                             const float *hidden, float *scratch, nlp_error *err) {
    query *q = &((const matching *)call->job)->queries[window->text];
    size_t width = call->model->stack->spec.hidden_size;
    NLP_TRY(nlp_task_pool_window(call, window, hidden, scratch, err));
    nlp_normalize(call->kernels, window->out, width);
    for (uint32_t i = 0; i < window->n_tokens && q->n < MOST_TOKENS; i++) {
        if (!is_of_text(call, window, i)) continue;
        float *state = q->states + q->n++ * width;
        memcpy(state, hidden + i * width, width * sizeof *state);
        nlp_normalize(call->kernels, state, width);
    }
    return NLP_OK;
}

/* out: the cosine, then of each token of the query its nearest one's. */
static nlp_status read_document(const nlp_task_call *call, const nlp_window *window,
                                const float *hidden, float *scratch, nlp_error *err) {
    const matching *m = call->job;
    const query *q = &m->queries[m->query_of[window->text]];
    const nlp_task_model *model = call->model;
    size_t width = model->stack->spec.hidden_size;
    float *vector = scratch + nlp_readout_scratch_floats(model->pooler, model->head,
                                                         model->stack->spec.hidden_size);
    float *state = vector + width, *nearest = window->out + 1;
    nlp_window whole = *window;
    whole.out = vector;
    NLP_TRY(nlp_task_pool_window(call, &whole, hidden, scratch, err));
    nlp_normalize(call->kernels, vector, width);
    window->out[0] = call->kernels->dot(q->vector, vector, width);
    memset(nearest, 0, MOST_TOKENS * sizeof *nearest);
    for (uint32_t i = 0; i < window->n_tokens; i++) {
        if (!is_of_text(call, window, i)) continue;
        memcpy(state, hidden + i * width, width * sizeof *state);
        nlp_normalize(call->kernels, state, width);
        for (uint32_t k = 0; k < q->n; k++) {
            float cosine = call->kernels->dot(q->states + k * width, state, width);
            if (cosine > nearest[k]) nearest[k] = cosine;
        }
        NLP_TRY(nlp_poll_work(call->poll, (uint64_t)width * (q->n + 2), err));
    }
    return NLP_OK;
}

/* ---- A pass ---- */

static nlp_status weigh(nlp_task_call *call, query *q, nlp_error *err) {
    size_t width = call->model->stack->spec.hidden_size;
    float sum = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        float likest = 0;
        for (uint32_t k = 0; k < q->n; k++) {
            float cosine = call->kernels->dot(q->states + i * width, q->states + k * width, width);
            if (k != i && cosine > likest) likest = cosine;
        }
        q->weights[i] = likest < 1 ? 1 - likest : 0;
        sum += q->weights[i];
        NLP_TRY(nlp_poll_work(call->poll, (uint64_t)width * q->n, err));
    }
    for (uint32_t i = 0; i < q->n; i++) /* a query of one word again and again has no weights */
        q->weights[i] = sum > 1e-6f ? q->weights[i] / sum : 1.0f / (float)q->n;
    return NLP_OK;
}

static nlp_status read_queries(nlp_task_call *call, matching *m, const nlp_text *texts, size_t n,
                               nlp_output *outputs, nlp_error *err) {
    uint32_t width = call->model->stack->spec.hidden_size;
    nlp_task_options options = *call->options;
    nlp_task_call asking = *call;
    float *rows;
    for (size_t i = 0; i < n; i++) {
        m->queries[i].states = nlp_arena_push(call->scratch, MOST_TOKENS, width * sizeof(float));
        m->queries[i].weights = NLP_PUSH(call->scratch, float, MOST_TOKENS);
    }
    NLP_TRY(nlp_arena_status(call->scratch, err));
    options.is_query = true;
    asking.options = &options;
    NLP_TRY(nlp_task_encode(&asking, texts, n, read_query, width, &rows, outputs, err));
    for (size_t i = 0; i < n; i++) {
        m->queries[i].vector = rows + i * width;
        NLP_TRY(weigh(call, &m->queries[i], err));
    }
    return NLP_OK;
}

static float score_of(const query *q, const float *row) {
    float matched = 0;
    for (uint32_t k = 0; k < q->n; k++) matched += q->weights[k] * row[1 + k];
    return q->n ? (row[0] + matched) / 2 : row[0];
}

/* Pairs of which neighbours with the same query share it. */
static nlp_status run_pass(nlp_task_call *call, nlp_match_pairs *pairs, size_t first, size_t n,
                           nlp_error *err) {
    nlp_text *queries = NLP_PUSH(call->scratch, nlp_text, n);
    matching m = {.queries = NLP_PUSH_ZERO(call->scratch, query, n),
                  .query_of = NLP_PUSH(call->scratch, size_t, n)};
    nlp_output *outputs = NLP_PUSH_ZERO(call->scratch, nlp_output, n);
    float *rows;
    NLP_TRY(nlp_arena_status(call->scratch, err));
    size_t n_queries = nlp_task_merge_neighbours(pairs->queries + first, n, queries, m.query_of);
    call->job = &m;
    NLP_TRY(read_queries(call, &m, queries, n_queries, outputs, err));
    NLP_TRY(nlp_task_encode(call, pairs->documents + first, n, read_document, 1 + MOST_TOKENS,
                            &rows, pairs->outputs + first, err));
    for (size_t i = 0; i < n; i++) {
        nlp_task_sum_up(&outputs[m.query_of[i]], 1, &pairs->outputs[first + i]);
        pairs->scores[first + i] =
            score_of(&m.queries[m.query_of[i]], rows + i * (1 + MOST_TOKENS));
    }
    return NLP_OK;
}

static size_t end_of_pass(const nlp_match_pairs *pairs, size_t first) {
    size_t end = first + 1;
    for (size_t n_queries = 1; end < pairs->n && end - first < MOST_PAIRS; end++)
        if (!nlp_text_equal(pairs->queries[end], pairs->queries[end - 1]) &&
            ++n_queries > MOST_QUERIES)
            break;
    return end;
}

/* Memory of a pass is gone with it. */
nlp_status nlp_task_match(nlp_task_call *call, nlp_match_pairs *pairs, nlp_error *err) {
    for (size_t first = 0, end; first < pairs->n; first = end) {
        nlp_task_call own = *call;
        nlp_arena scratch;
        nlp_word_cache words = {0};
        end = end_of_pass(pairs, first);
        nlp_arena_init(&scratch, call->scratch->mem);
        own.scratch = &scratch, own.cache = &words;
        nlp_status status = run_pass(&own, pairs, first, end - first, err);
        nlp_arena_deinit(&scratch);
        NLP_TRY(status);
    }
    return NLP_OK;
}
