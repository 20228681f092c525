/* filter.c: whether a condition is true of a text. A model of inference (NLI) says whether the text entails it
 * (infer.c), a decoder whether its answer is yes or no (choose.c), a model of vectors only how near the two are
 * (liken.c). */
#include <math.h>

#include "task/task.h"

static const nlp_column text_and_condition[] = {{"text", NLP_TYPE_TEXT},
                                                {"condition", NLP_TYPE_TEXT}};
static const nlp_column match_column[] = {{"matches", NLP_TYPE_BOOLEAN}};
static const double usual_threshold = 0.5;
static const nlp_option_spec filter_options[] = {
    {"threshold", NLP_TYPE_REAL, NULL, 0, 1, NULL,
     "from this probability on it is true (default 0.5)"},
    NLP_OPTION_CUT_OR_ERROR,
    NLP_OPTION_ON_ERROR,
    NLP_OPTION_MAX_TOKENS};

/* The condition is the only label, and the sentence itself; a decoder chooses between two answers. */
static nlp_status make_choices(nlp_task_call *call, const nlp_request *request,
                               nlp_label_scorer scorer, nlp_label_choice **choices,
                               nlp_error *err) {
    static const nlp_text answers[] = {{"yes", 3}, {"no", 2}};
    bool asks = scorer == nlp_task_choose;
    size_t n = request->n_inputs, n_labels = asks ? 2 : 1;
    float *numbers = nlp_arena_push(call->scratch, n, 2 * n_labels * sizeof *numbers);
    *choices = NLP_PUSH_ZERO(call->scratch, nlp_label_choice, n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < n; i++, numbers += 2 * n_labels) {
        const nlp_text *texts = request->texts + 2 * i;
        (*choices)[i] = (nlp_label_choice){.text = texts[0],
                                           .labels = asks ? answers : &texts[1],
                                           .n = n_labels,
                                           .scores = numbers,
                                           .margins = numbers + n_labels};
        if (asks) (*choices)[i].condition = texts[1];
    }
    return NLP_OK;
}

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    nlp_label_choice *choices;
    nlp_label_scorer scorer = nlp_task_label_scorer(call->model);
    nlp_task_options options = *call->options;
    nlp_task_call own = *call;
    options.hypothesis = (nlp_text){"{}", 2};
    own.options = &options;
    double threshold = isnan(options.threshold) ? usual_threshold : options.threshold;
    NLP_TRY(make_choices(call, request, scorer, &choices, err));
    NLP_TRY(scorer(&own, choices, request->n_inputs, outputs, err));
    for (size_t i = 0; i < request->n_inputs; i++) {
        if (outputs[i].status != NLP_OK) continue;
        nlp_value *cell = nlp_task_row(call, &outputs[i], 1, 1);
        NLP_TRY(nlp_arena_status(call->arena, err));
        outputs[i].score = (double)choices[i].scores[0];
        *cell = (nlp_value){.type = NLP_TYPE_BOOLEAN, .as.boolean = outputs[i].score >= threshold};
    }
    return NLP_OK;
}

static const nlp_task_spec filter_spec = {.struct_size = sizeof(nlp_task_spec),
                                          .name = "filter",
                                          .help = "whether a condition is true of a text",
                                          .operands = text_and_condition,
                                          .n_operands = 2,
                                          .columns = match_column,
                                          .n_columns = 1,
                                          .tunable = "threshold",
                                          .model_setting = "filter_model",
                                          .default_model = "minilm",
                                          .options = filter_options,
                                          .n_options =
                                              sizeof filter_options / sizeof *filter_options};

const nlp_task_vtable nlp_task_filter = {.struct_size = sizeof(nlp_task_vtable),
                                         .spec = &filter_spec,
                                         .run_batch = run,
                                         .models = NLP_LABEL_SCORERS};
