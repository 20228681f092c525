/* zero_shot.c: which of the caller's labels a text has. A decoder chooses one (choose.c), a model of
 * vectors takes the nearest (liken.c). A model of inference (NLI) says how far the text entails "This
 * example is LABEL.", by the rules of the reference's pipeline (transformers,
 * zero_shot_classification.py): a softmax of the entailments over the labels, or with multi_label (and
 * with one label) of entailment against contradiction, for each label alone. */
#include <string.h>

#include "task/task.h"

static const nlp_column text_and_labels[] = {{"text", NLP_TYPE_TEXT}, {"labels", NLP_TYPE_TEXTS}};
static const nlp_column label_column[] = {{"label", NLP_TYPE_TEXT}};
static const nlp_column score_columns[] = {{"label", NLP_TYPE_TEXT}, {"score", NLP_TYPE_REAL}};
static const char usual_hypothesis[] = "This example is {}.";
static const nlp_option_spec zero_shot_options[] = {
    {"multi_label", NLP_TYPE_BOOLEAN, NULL, 0, 0, "false", "each label for itself, from 0 to 1"},
    {"hypothesis", NLP_TYPE_TEXT, NULL, 0, 0, NULL,
     "the sentence that a label makes, in place of {}; for NLI \"This example is {}.\""},
    NLP_OPTION_CUT_OR_ERROR,
    NLP_OPTION_ON_ERROR,
    NLP_OPTION_MAX_TOKENS};

/* ---- The model's labels ---- */

typedef struct inference {
    uint32_t entailment, contradiction; /* labels */
} inference;

static bool begins_entail(nlp_text label) {
    static const char word[] = "entail";
    if (label.n_bytes < sizeof word - 1) return false;
    for (size_t i = 0; i + 1 < sizeof word; i++)
        if ((label.bytes[i] | 0x20) != word[i]) return false;
    return true;
}

/* As the reference chooses: contradiction is the first label, or the last where that is
 * entailment. */
static nlp_status find_labels(const nlp_task_call *call, inference *labels, nlp_error *err) {
    const nlp_head_spec *head = &call->model->head->spec;
    bool classifies = head->struct_size && head->head == NLP_HEAD_SEQUENCE && head->n_labels > 1;
    for (uint32_t i = 0; classifies && i < head->n_labels; i++) {
        if (!begins_entail(call->model->labels[i])) continue;
        *labels = (inference){i, i ? 0 : head->n_labels - 1};
        return NLP_OK;
    }
    nlp_fail(err, NLP_EUNSUPPORTED, "model %s has no label \"entailment\"", call->model->name);
    nlp_hint(err, "labels of one's own need a model of inference (NLI), one that writes, or one of "
                  "vectors, imported by nlp import");
    return NLP_EUNSUPPORTED;
}

/* ---- Pairs of texts and hypotheses ---- */

typedef struct question { /* one input: a text and its labels */
    nlp_text *labels;
    size_t n, first; /* place of its first pair */
} question;

typedef struct asking {
    const nlp_request *request;
    question *questions;
} asking;

static nlp_status read_labels(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                              nlp_error *err) {
    const asking *a = job;
    question *q = &a->questions[i];
    (void)output;
    NLP_TRY(nlp_task_list(call, &a->request->texts[2 * i + 1], &q->labels, &q->n, err));
    if (q->n) return NLP_OK;
    return nlp_fail(err, NLP_EINVAL, "a list of labels is empty");
}

/* ---- Scores ---- */

/* logits [n][n_classes] with a stride; scores [n] and what tells equal ones apart, margins [n]. */
static void score_labels(const nlp_task_call *call, inference labels, const float *logits,
                         size_t stride, size_t n, float *scores, float *margins) {
    bool alone = call->options->multi_label || n == 1;
    for (size_t i = 0; i < n; i++) {
        float both[2] = {logits[i * stride + labels.contradiction],
                         logits[i * stride + labels.entailment]};
        margins[i] = alone ? both[1] - both[0] : both[1];
        if (alone) call->kernels->softmax(both, 2);
        scores[i] = both[1];
    }
    if (!alone) call->kernels->softmax(scores, n);
}

static nlp_status put_scores(nlp_task_call *call, const question *q, const float *scores,
                             const uint32_t *order, bool all, nlp_output *output, nlp_error *err) {
    size_t n = all ? q->n : 1;
    nlp_value *cells = nlp_task_row(call, output, (uint32_t)n, all ? 2 : 1);
    NLP_TRY(nlp_arena_status(call->arena, err));
    output->score = (double)scores[order[0]];
    for (size_t i = 0; i < n; i++) {
        nlp_text label = q->labels[order[i]];
        *cells++ = nlp_value_text(label);
        if (all) *cells++ = nlp_value_real((double)scores[order[i]]);
    }
    return NLP_OK;
}

static nlp_status put_ranked(nlp_task_call *call, const question *q, const float *scores,
                             const float *margins, bool all, nlp_output *output, nlp_error *err) {
    uint32_t *order = nlp_arena_push(call->scratch, q->n, 2 * sizeof *order);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    nlp_task_sort(scores, margins, q->n, order);
    return put_scores(call, q, scores, order, all, output, err);
}

static nlp_status put_question(nlp_task_call *call, const question *q, inference labels,
                               const float *rows, bool all, nlp_output *output, nlp_error *err) {
    size_t n_classes = call->model->head->spec.n_labels;
    float *scores = NLP_PUSH(call->scratch, float, q->n),
          *margins = NLP_PUSH(call->scratch, float, q->n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    /* behind the scores of a row lie its logits */
    const float *logits = rows + (2 * q->first + 1) * n_classes;
    score_labels(call, labels, logits, 2 * n_classes, q->n, scores, margins);
    return put_ranked(call, q, scores, margins, all, output, err);
}

static nlp_status score_questions(nlp_task_call *call, asking *a, size_t n_pairs, inference labels,
                                  nlp_output *outputs, nlp_error *err) {
    nlp_text pattern = {usual_hypothesis, sizeof usual_hypothesis - 1};
    if (call->options->hypothesis.bytes) pattern = call->options->hypothesis;
    nlp_text *texts = NLP_PUSH(call->scratch, nlp_text, n_pairs),
             *hypotheses = NLP_PUSH(call->scratch, nlp_text, n_pairs);
    nlp_output *pairs = NLP_PUSH_ZERO(call->scratch, nlp_output, n_pairs);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < a->request->n_inputs; i++) {
        question *q = &a->questions[i];
        for (size_t k = 0; k < q->n; k++) {
            texts[q->first + k] = a->request->texts[2 * i];
            NLP_TRY(
                nlp_task_hypothesis(call, pattern, q->labels[k], &hypotheses[q->first + k], err));
            NLP_TRY(nlp_poll_work(call->poll, 1 << 10, err));
        }
    }
    float *rows;
    nlp_task_call pass = *call;
    pass.pairs = hypotheses;
    pass.truncation = NLP_TRUNCATE_FIRST;
    NLP_TRY(nlp_task_scores(&pass, texts, n_pairs, &rows, pairs, err));
    bool all = a->request->task->n_columns == 2;
    for (size_t i = 0; i < a->request->n_inputs; i++) {
        const question *q = &a->questions[i];
        if (nlp_task_sum_up(pairs + q->first, q->n, &outputs[i]) == NLP_OK)
            NLP_TRY(put_question(call, q, labels, rows, all, &outputs[i], err));
    }
    return NLP_OK;
}

/* ---- Labels without inference ---- */

static nlp_status check_choosing(const nlp_task_call *call, nlp_error *err) {
    bool given = call->options->hypothesis.bytes;
    if (!given && !call->options->multi_label) return NLP_OK;
    return nlp_fail(err, NLP_EUNSUPPORTED,
                    "model %s chooses one of the labels: option \"%s\" needs a model of inference "
                    "(NLI) or of vectors",
                    call->model->name, given ? "hypothesis" : "multi_label");
}

/* Decoders, and models of vectors, which take all labels of a text at once. */
typedef nlp_status (*label_scorer)(nlp_task_call *call, nlp_label_choice *choices, size_t n,
                                   nlp_output *outputs, nlp_error *err);

static nlp_status score_lists(nlp_task_call *call, asking *a, label_scorer scorer,
                              nlp_output *outputs, nlp_error *err) {
    size_t n = a->request->n_inputs;
    nlp_label_choice *choices = NLP_PUSH_ZERO(call->scratch, nlp_label_choice, n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < n; i++) {
        const question *q = &a->questions[i];
        choices[i] = (nlp_label_choice){.text = a->request->texts[2 * i],
                                        .labels = q->labels,
                                        .n = q->n,
                                        .scores = NLP_PUSH(call->scratch, float, q->n),
                                        .margins = NLP_PUSH(call->scratch, float, q->n)};
        NLP_TRY(nlp_arena_status(call->scratch, err));
    }
    NLP_TRY(scorer(call, choices, n, outputs, err));
    bool all = a->request->task->n_columns == 2;
    for (size_t i = 0; i < n; i++)
        if (outputs[i].status == NLP_OK)
            NLP_TRY(put_ranked(call, &a->questions[i], choices[i].scores, choices[i].margins, all,
                               &outputs[i], err));
    return NLP_OK;
}

/* ---- All three ---- */

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    inference labels;
    size_t n_pairs = 0;
    label_scorer scorer = nlp_task_likens(call->model) ? nlp_task_liken : NULL;
    if (nlp_task_chooses(call->model)) scorer = nlp_task_choose;
    asking a = {.request = request,
                .questions = NLP_PUSH_ZERO(call->scratch, question, request->n_inputs)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    if (scorer == nlp_task_choose) NLP_TRY(check_choosing(call, err));
    if (!scorer) NLP_TRY(find_labels(call, &labels, err));
    NLP_TRY(nlp_task_each(call, request->n_inputs, read_labels, &a, outputs, err));
    if (scorer) return score_lists(call, &a, scorer, outputs, err);
    for (size_t i = 0; i < request->n_inputs; i++) {
        a.questions[i].first = n_pairs;
        n_pairs += a.questions[i].n;
    }
    return score_questions(call, &a, n_pairs, labels, outputs, err);
}

#define SPEC(name_, help_, columns_, n_, rows_)                                                    \
    {                                                                                              \
        .struct_size = sizeof(nlp_task_spec), .name = name_, .help = help_,                        \
        .operands = text_and_labels, .n_operands = 2, .columns = columns_, .n_columns = n_,        \
        .returns_rows = rows_, .model_setting = "zero_shot_model", .default_model = "minilm",      \
        .options = zero_shot_options,                                                              \
        .n_options = sizeof zero_shot_options / sizeof *zero_shot_options                          \
    }
static const nlp_task_spec label_spec =
    SPEC("zero_shot", "which of the given labels a text has", label_column, 1, false);
static const nlp_task_spec scores_spec = SPEC(
    "zero_shot_scores", "every given label with its score, best first", score_columns, 2, true);

const nlp_task_vtable nlp_task_zero_shot = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &label_spec, .run_batch = run};
const nlp_task_vtable nlp_task_zero_shot_scores = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &scores_spec, .run_batch = run};
