/* nearest.c: the sentence of a context whose vector is nearest to a question's: what a model of vectors
 * can say to it. It finds where an answer may stand, not what it is. */
#include "task/task.h"
#include "text/sentences.h"

typedef struct nearing {
    const nlp_text *texts; /* [n][question, context] */
    nlp_label_choice *choices;
    size_t *inputs; /* of the choices: contexts that have sentences */
    size_t n;
} nearing;

static nlp_status find_sentences(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                                 nlp_error *err) {
    nearing *x = job;
    nlp_text context = x->texts[2 * i + 1];
    nlp_sentence *sentences;
    size_t n;
    (void)output;
    NLP_TRY(nlp_sentences_find(context, call->scratch, call->poll, &sentences, &n, err));
    if (!n) return NLP_OK;
    nlp_text *labels = NLP_PUSH(call->scratch, nlp_text, n);
    float *numbers = nlp_arena_push(call->scratch, n, 2 * sizeof *numbers);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t k = 0; k < n; k++)
        labels[k] =
            (nlp_text){context.bytes + sentences[k].start, sentences[k].end - sentences[k].start};
    x->choices[x->n] = (nlp_label_choice){.text = x->texts[2 * i],
                                          .labels = labels,
                                          .n = n,
                                          .scores = numbers,
                                          .margins = numbers + n};
    x->inputs[x->n++] = i;
    return NLP_OK;
}

/* The first of equally near ones. */
static nlp_nearest best_of(const nlp_label_choice *c, nlp_text context) {
    size_t best = 0;
    for (size_t k = 1; k < c->n; k++)
        if (c->margins[k] > c->margins[best]) best = k;
    size_t start = (size_t)(c->labels[best].bytes - context.bytes);
    return (nlp_nearest){start, start + c->labels[best].n_bytes, (double)c->scores[best]};
}

nlp_status nlp_task_nearest(nlp_task_call *call, const nlp_text *texts, size_t n,
                            nlp_nearest *found, nlp_output *outputs, nlp_error *err) {
    nlp_task_options options = *call->options;
    nlp_task_call own = *call;
    nearing x = {.texts = texts,
                 .choices = NLP_PUSH_ZERO(call->scratch, nlp_label_choice, n),
                 .inputs = NLP_PUSH(call->scratch, size_t, n)};
    nlp_output *parts = NLP_PUSH_ZERO(call->scratch, nlp_output, n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(nlp_task_check_likens(call, "sentence", err));
    options.multi_label = true; /* each sentence has a score of its own */
    options.is_query = true;
    own.options = &options;
    NLP_TRY(nlp_task_each(&own, n, find_sentences, &x, outputs, err));
    NLP_TRY(nlp_task_liken(&own, x.choices, x.n, parts, err));
    for (size_t k = 0; k < x.n; k++) {
        size_t i = x.inputs[k];
        if (nlp_task_sum_up(&parts[k], 1, &outputs[i]) == NLP_OK)
            found[i] = best_of(&x.choices[k], texts[2 * i + 1]);
    }
    return NLP_OK;
}
