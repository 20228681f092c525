/* classify.c: labels and scores of a classifier: classify, classify_scores, confidence, sentiment,
 * sentiment_score. The model is a fine-tuned one (its head stands on the first hidden state), a
 * task pack (its head takes the base's vector), or a decoder that is given choices (choose.c). */
#include <math.h>
#include <string.h>

#include "task/task.h"

static const nlp_column one_text[] = {{"text", NLP_TYPE_TEXT}};
static const nlp_column label_column[] = {{"label", NLP_TYPE_TEXT}},
                        score_column[] = {{"score", NLP_TYPE_REAL}};
static const nlp_column score_columns[] = {{"label", NLP_TYPE_TEXT}, {"score", NLP_TYPE_REAL}};
static const nlp_option_spec sentiment_options[] = {NLP_OPTION_THRESHOLD, NLP_OPTION_OWN_OVERFLOW,
                                                    NLP_OPTION_ON_ERROR, NLP_OPTION_MAX_TOKENS};
#define CLASSIFY_OPTIONS                                                                           \
    NLP_OPTION_OWN_OVERFLOW, NLP_OPTION_ON_ERROR, NLP_OPTION_MAX_TOKENS, NLP_OPTION_PAIR, {        \
        "choices", NLP_TYPE_TEXTS, NULL, 0, 0, NULL,                                               \
            "the labels that a model which writes chooses from"                                    \
    }
static const nlp_option_spec plain_options[] = {CLASSIFY_OPTIONS};
static const nlp_option_spec scores_options[] = {CLASSIFY_OPTIONS, NLP_OPTION_RAW};

/* ---- Scores ---- */

/* A seq2seq classifies by its decoder's state: the source goes to both halves. Such models run on one
 * thread (batch.c), so memory may come from the call's allocator. */
static nlp_status read_decoder(const nlp_task_call *call, const nlp_window *window,
                               const float *hidden, float *row, nlp_error *err) {
    const nlp_task_model *m = call->model;
    nlp_arena arena;
    const float *states;
    size_t width = m->writer.decoder->spec.hidden_size;
    nlp_arena_init(&arena, call->scratch->mem);
    nlp_unit source = {.ids = window->ids,
                       .lengths = &window->n_tokens,
                       .n_texts = 1,
                       .n_tokens = window->n_tokens};
    nlp_status status =
        nlp_shifted_states(m->writer.decoder, (int32_t)m->writer.generation->start - 1,
                           call->kernels, &source, hidden, &arena, call->poll, &states, err);
    if (status == NLP_OK) {
        const float *read =
            nlp_head_row(m->head, call->kernels, states, window->n_tokens, width, row);
        if (read != row) memcpy(row, read, width * sizeof *row);
    }
    nlp_arena_deinit(&arena);
    return status;
}

/* Of one text: its row of class scores. */
static nlp_status read_out(const nlp_task_call *call, const nlp_window *window, const float *hidden,
                           float *scratch, nlp_error *err) {
    const nlp_task_model *m = call->model;
    float *out = window->out;
    uint32_t hidden_size = m->stack->spec.hidden_size;
    const float *row = hidden;
    float *rest = scratch + nlp_readout_scratch_floats(m->pooler, m->head, hidden_size);
    if (m->head->spec.head == NLP_HEAD_SEQUENCE && m->writer.encoder) {
        NLP_TRY(read_decoder(call, window, hidden, rest, err));
        row = rest;
    } else if (m->head->spec.head == NLP_HEAD_SEQUENCE) {
        row = nlp_head_row(m->head, call->kernels, hidden, window->n_tokens, hidden_size, rest);
    } else {
        nlp_pool_options options = {.n_prompt_tokens = window->n_prompt_tokens};
        NLP_TRY(nlp_pool_text(m->pooler, call->kernels, hidden_size, hidden, window->n_tokens,
                              &options, rest, scratch, err));
        row = rest;
    }
    NLP_TRY(nlp_head_run(m->head, call->kernels, row, out, scratch, call->poll, err));
    memcpy(out + m->head->spec.n_labels, out, m->head->spec.n_labels * sizeof *out);
    if (!call->options->raw) nlp_head_scores(m->head, call->kernels, out);
    return NLP_OK;
}

nlp_status nlp_task_scores(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                           float **scores, nlp_output *outputs, nlp_error *err) {
    uint32_t kind = call->model->head->spec.head;
    if (kind < NLP_HEAD_SEQUENCE || kind > NLP_HEAD_VECTOR_MLP) {
        nlp_fail(err, NLP_EUNSUPPORTED, "model %s has no classifier", call->model->name);
        nlp_hint(err, "name a classifier, or make one with nlp_fit");
        return NLP_EUNSUPPORTED;
    }
    return nlp_task_encode(call, texts, n_texts, read_out, 2 * call->model->head->spec.n_labels,
                           scores, outputs, err);
}

/* Scores that round to the same number are told apart by their logits, which stand behind them. */
static bool is_better(const float *scores, uint32_t n, uint32_t a, uint32_t b) {
    const float *logits = scores + n;
    return scores[a] > scores[b] || (scores[a] == scores[b] && logits[a] > logits[b]);
}

static uint32_t best_of(const float *scores, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (is_better(scores, n, i, best)) best = i;
    return best;
}

/* Labels, the model's or the caller's, and each text's row of scores. */
typedef struct scoring {
    const nlp_text *labels;
    uint32_t n;
    float *rows; /* [n_inputs][2][n]: scores, and what tells equal ones apart */
} scoring;

/* ---- Choices of a decoder ---- */

static nlp_status read_choices(nlp_task_call *call, scoring *s, nlp_error *err) {
    const nlp_value *given = &call->options->choices;
    const nlp_task_model *m = call->model;
    nlp_text *labels = NULL;
    size_t n = 0;
    if (given->type != NLP_TYPE_NULL)
        NLP_TRY(nlp_task_option_texts(call, "choices", given, &labels, &n, err));
    if (!n || n > UINT32_MAX / 2) {
        nlp_fail(err, NLP_EINVAL, "model %s writes and has no labels of its own", m->name);
        nlp_hint(err, "give it some: a list of labels, or the option choices");
        return NLP_EINVAL;
    }
    if (call->options->pair.bytes)
        return nlp_fail(err, NLP_EINVAL, "option \"pair\" is for models of pairs, %s writes",
                        m->name);
    for (size_t i = 0; i < n; i++) /* results outlive the scratch */
        labels[i].bytes = nlp_arena_text(call->arena, labels[i].bytes, labels[i].n_bytes);
    s->labels = labels;
    s->n = (uint32_t)n;
    return nlp_arena_status(call->arena, err);
}

/* raw: log p of each label, which the margins are. */
static nlp_status choose(nlp_task_call *call, const nlp_request *request, scoring *s,
                         nlp_output *outputs, nlp_error *err) {
    size_t n = request->n_inputs;
    NLP_TRY(read_choices(call, s, err));
    nlp_label_choice *choices = NLP_PUSH_ZERO(call->scratch, nlp_label_choice, n);
    s->rows = nlp_arena_push_zero(call->scratch, n, 2 * s->n * sizeof *s->rows);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < n; i++) {
        float *row = s->rows + 2 * i * s->n;
        choices[i] = (nlp_label_choice){.text = request->texts[i],
                                        .labels = s->labels,
                                        .n = s->n,
                                        .scores = row,
                                        .margins = row + s->n};
    }
    NLP_TRY(nlp_task_choose(call, choices, n, outputs, err));
    for (size_t i = 0; call->options->raw && i < n; i++)
        memcpy(choices[i].scores, choices[i].margins, s->n * sizeof *s->rows);
    return NLP_OK;
}

/* Windows of the length that the head was trained on, unless the caller wants something else: the first
 * 32, about six pages, so that a row of megabytes costs no minute; 'chunk' is for all of a text. */
static void read_parts(const nlp_head *head, nlp_task_options *options) {
    uint32_t window = options->pair.bytes ? 0 : head->spec.window;
    if (!options->has_overflow && window) {
        options->on_overflow = NLP_OVERFLOW_CHUNK;
        options->max_windows = 32;
    }
    if (options->on_overflow != NLP_OVERFLOW_CHUNK || !window) return;
    if (!options->max_tokens || options->max_tokens > window) options->max_tokens = window;
}

static nlp_status find_scores(nlp_task_call *call, const nlp_request *request, scoring *s,
                              nlp_output *outputs, nlp_error *err) {
    const nlp_task_model *m = call->model;
    if (nlp_task_chooses(m)) return choose(call, request, s, outputs, err);
    if (call->options->choices.type != NLP_TYPE_NULL)
        return nlp_fail(err, NLP_EINVAL, "option \"choices\" is for models that write, %s does not",
                        m->name);
    *s = (scoring){.labels = m->labels, .n = m->head->spec.n_labels};
    nlp_task_options options = *call->options;
    nlp_task_call own = *call;
    read_parts(m->head, &options);
    own.options = &options;
    return nlp_task_scores(&own, request->texts, request->n_inputs, &s->rows, outputs, err);
}

/* ---- The best label, its score ---- */

/* Runs the classifier and hands each good text to `put` with its one cell. */
typedef void (*put_fn)(const nlp_task_call *call, const scoring *s, const float *scores,
                       nlp_output *output, nlp_value *cell);

static nlp_status run_scalar(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                             put_fn put, nlp_error *err) {
    scoring s = {0};
    NLP_TRY(find_scores(call, request, &s, outputs, err));
    for (size_t i = 0; i < request->n_inputs; i++) {
        nlp_value *cell = nlp_task_row(call, &outputs[i], 1, 1);
        if (cell && outputs[i].status == NLP_OK)
            put(call, &s, s.rows + i * 2 * s.n, &outputs[i], cell);
    }
    return nlp_arena_status(call->arena, err);
}

static void put_label(const nlp_task_call *call, const scoring *s, const float *scores,
                      nlp_output *output, nlp_value *cell) {
    uint32_t best = best_of(scores, s->n);
    (void)call;
    output->score = (double)scores[best];
    *cell = nlp_value_text(s->labels[best]);
}

static void put_confidence(const nlp_task_call *call, const scoring *s, const float *scores,
                           nlp_output *output, nlp_value *cell) {
    (void)call;
    output->score = (double)scores[best_of(scores, s->n)];
    *cell = nlp_value_real(output->score);
}

static nlp_status run_classify(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                               nlp_error *err) {
    return run_scalar(call, request, outputs, put_label, err);
}

static nlp_status run_confidence(nlp_task_call *call, const nlp_request *request,
                                 nlp_output *outputs, nlp_error *err) {
    return run_scalar(call, request, outputs, put_confidence, err);
}

/* ---- classify_scores: a row a label, best first ---- */

static nlp_status run_scores(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                             nlp_error *err) {
    scoring s = {0};
    NLP_TRY(find_scores(call, request, &s, outputs, err));
    uint32_t n = s.n;
    uint32_t *order = nlp_arena_push(call->scratch, n, 2 * sizeof *order);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < request->n_inputs; i++) {
        const float *row = s.rows + 2 * i * n;
        if (outputs[i].status != NLP_OK) continue;
        nlp_value *cells = nlp_task_row(call, &outputs[i], n, 2);
        NLP_TRY(nlp_arena_status(call->arena, err));
        nlp_task_sort(row, row + n, n, order);
        for (uint32_t k = 0; k < n; k++) {
            uint32_t label = call->options->raw ? k : order[k];
            cells[2 * k] = nlp_value_text(s.labels[label]);
            cells[2 * k + 1] = nlp_value_real((double)row[label]);
        }
    }
    return NLP_OK;
}

/* ---- sentiment: labels with a polarity ---- */

static double polarity_score(const nlp_task_call *call, const float *scores) {
    const nlp_head_spec *head = &call->model->head->spec;
    double score = 0;
    for (uint32_t i = 0; i < head->n_labels && i < NLP_MAX_POLARITIES; i++)
        score += head->polarity[i] == NLP_POLARITY_POSITIVE   ? (double)scores[i]
                 : head->polarity[i] == NLP_POLARITY_NEGATIVE ? -(double)scores[i]
                                                              : 0;
    return score;
}

static nlp_text polarity_name(uint32_t polarity) {
    static const char *const names[] = {"", "negative", "neutral", "positive"};
    return (nlp_text){names[polarity], strlen(names[polarity])};
}

static void put_sentiment(const nlp_task_call *call, const scoring *s, const float *scores,
                          nlp_output *output, nlp_value *cell) {
    (void)s;
    const nlp_head_spec *head = &call->model->head->spec;
    uint32_t best = best_of(scores, head->n_labels), polarity = head->polarity[best];
    output->score = (double)(float)polarity_score(call, scores);
    if ((double)scores[best] < call->options->threshold)
        polarity = NLP_POLARITY_NEUTRAL; /* NaN: never */
    *cell = nlp_value_text(polarity_name(polarity));
}

static void put_sentiment_score(const nlp_task_call *call, const scoring *s, const float *scores,
                                nlp_output *output, nlp_value *cell) {
    (void)s;
    output->score = (double)(float)polarity_score(call, scores);
    *cell = nlp_value_real(output->score);
}

bool nlp_task_feels(const nlp_head_spec *head) {
    bool all = head->struct_size && head->n_labels <= NLP_MAX_POLARITIES;
    for (uint32_t i = 0; all && i < head->n_labels; i++)
        all = head->polarity[i] != NLP_POLARITY_NONE;
    return all;
}

static nlp_status check_polarity(const nlp_task_call *call, nlp_error *err) {
    if (nlp_task_feels(&call->model->head->spec)) return NLP_OK;
    nlp_fail(err, NLP_EUNSUPPORTED, "model %s has no labels that mean a sentiment",
             call->model->name);
    nlp_hint(err, "nlp_classify gives its labels as they are; the starter model is 'sentiment'");
    return NLP_EUNSUPPORTED;
}

static nlp_status run_sentiment(nlp_task_call *call, const nlp_request *request,
                                nlp_output *outputs, nlp_error *err) {
    NLP_TRY(check_polarity(call, err));
    return run_scalar(call, request, outputs, put_sentiment, err);
}

static nlp_status run_sentiment_score(nlp_task_call *call, const nlp_request *request,
                                      nlp_output *outputs, nlp_error *err) {
    NLP_TRY(check_polarity(call, err));
    return run_scalar(call, request, outputs, put_sentiment_score, err);
}

/* ---- The table ---- */

#define SPEC(name_, help_, columns_, n_columns_, rows_, setting_, model_, options_)                \
    {                                                                                              \
        .struct_size = sizeof(nlp_task_spec), .name = name_, .help = help_, .operands = one_text,  \
        .n_operands = 1, .columns = columns_, .n_columns = n_columns_, .returns_rows = rows_,      \
        .model_setting = setting_, .default_model = model_, .options = options_,                   \
        .n_options = sizeof options_ / sizeof *options_                                            \
    }
static const nlp_task_spec sentiment_spec =
    SPEC("sentiment", "positive or negative", label_column, 1, false, "sentiment_model",
         "sentiment", sentiment_options);
static const nlp_task_spec sentiment_score_spec =
    SPEC("sentiment_score", "sentiment from -1 to 1", score_column, 1, false, "sentiment_model",
         "sentiment", sentiment_options);
static const nlp_task_spec classify_spec =
    SPEC("classify", "the label of a text", label_column, 1, false, "classify_model", "sentiment",
         plain_options);
static const nlp_task_spec confidence_spec =
    SPEC("confidence", "the score of the best label", score_column, 1, false, "classify_model",
         "sentiment", plain_options);
static const nlp_task_spec scores_spec =
    SPEC("classify_scores", "every label with its score, best first", score_columns, 2, true,
         "classify_model", "sentiment", scores_options);

const nlp_task_vtable nlp_task_sentiment = {.struct_size = sizeof(nlp_task_vtable),
                                            .spec = &sentiment_spec,
                                            .run_batch = run_sentiment,
                                            .models = NLP_MODEL_FEELS};
const nlp_task_vtable nlp_task_sentiment_score = {.struct_size = sizeof(nlp_task_vtable),
                                                  .spec = &sentiment_score_spec,
                                                  .run_batch = run_sentiment_score};
const nlp_task_vtable nlp_task_classify = {.struct_size = sizeof(nlp_task_vtable),
                                           .spec = &classify_spec,
                                           .run_batch = run_classify,
                                           .models = NLP_MODEL_LABELS | NLP_MODEL_CHOOSES};
const nlp_task_vtable nlp_task_classify_scores = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &scores_spec, .run_batch = run_scores};
const nlp_task_vtable nlp_task_confidence = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &confidence_spec, .run_batch = run_confidence};
