/* zero_shot.c: which of the caller's labels a text has. The model decides how: a decoder chooses one
 * (choose.c), a model of vectors takes the nearest (liken.c), one of inference (NLI) says how far the text
 * entails "This example is LABEL." (infer.c). */
#include "task/task.h"

static const nlp_column text_and_labels[] = {{"text", NLP_TYPE_TEXT}, {"labels", NLP_TYPE_TEXTS}};
static const nlp_column label_column[] = {{"label", NLP_TYPE_TEXT}};
static const nlp_column score_columns[] = {{"label", NLP_TYPE_TEXT}, {"score", NLP_TYPE_REAL}};
static const nlp_option_spec zero_shot_options[] = {
    {"multi_label", NLP_TYPE_BOOLEAN, NULL, 0, 0, "false", "each label for itself, from 0 to 1"},
    {"hypothesis", NLP_TYPE_TEXT, NULL, 0, 0, NULL,
     "the sentence that a label makes, in place of {}; for NLI \"This example is {}.\""},
    NLP_OPTION_CUT_OR_ERROR,
    NLP_OPTION_ON_ERROR,
    NLP_OPTION_MAX_TOKENS};

/* ---- Labels ---- */

typedef struct question { /* one input: a text and its labels */
    nlp_text *labels;
    size_t n;
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

static nlp_status check_choosing(const nlp_task_call *call, nlp_error *err) {
    bool given = call->options->hypothesis.bytes;
    if (!given && !call->options->multi_label) return NLP_OK;
    return nlp_fail(err, NLP_EUNSUPPORTED,
                    "model %s chooses one of the labels: option \"%s\" needs a model of inference "
                    "(NLI) or of vectors",
                    call->model->name, given ? "hypothesis" : "multi_label");
}

static nlp_status score_lists(nlp_task_call *call, asking *a, nlp_label_scorer scorer,
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

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    nlp_label_scorer scorer = nlp_task_label_scorer(call->model);
    asking a = {.request = request,
                .questions = NLP_PUSH_ZERO(call->scratch, question, request->n_inputs)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    if (scorer == nlp_task_choose) NLP_TRY(check_choosing(call, err));
    NLP_TRY(nlp_task_each(call, request->n_inputs, read_labels, &a, outputs, err));
    return score_lists(call, &a, scorer, outputs, err);
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

const nlp_task_vtable nlp_task_zero_shot = {.struct_size = sizeof(nlp_task_vtable),
                                            .spec = &label_spec,
                                            .run_batch = run,
                                            .models = NLP_LABEL_SCORERS};
const nlp_task_vtable nlp_task_zero_shot_scores = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &scores_spec, .run_batch = run};
