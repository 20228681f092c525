/* infer.c: how far a text entails sentences made of labels, by a model of inference (NLI). The rules are those
 * of the reference's pipeline (transformers, zero_shot_classification.py): a softmax of the entailments over
 * the labels, or with multi_label (and with one label) of entailment against contradiction, for each label
 * alone. */
#include <string.h>

#include "task/task.h"

static const char usual_hypothesis[] = "This example is {}.";

/* ---- The model's labels ---- */

typedef struct inference {
    uint32_t entailment, contradiction; /* labels */
} inference;

bool nlp_task_entails(nlp_text label) {
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
        if (!nlp_task_entails(call->model->labels[i])) continue;
        *labels = (inference){i, i ? 0 : head->n_labels - 1};
        return NLP_OK;
    }
    nlp_fail(err, NLP_EUNSUPPORTED, "model %s has no label \"entailment\"", call->model->name);
    nlp_hint(
        err,
        "labels of one's own and conditions need a model of inference (NLI), one that writes, or "
        "one of vectors, imported by nlp import");
    return NLP_EUNSUPPORTED;
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

typedef struct pairs { /* of all choices, behind each other */
    nlp_text *texts, *hypotheses;
    nlp_output *outputs;
    size_t n;
} pairs;

static nlp_status make_pairs(nlp_task_call *call, const nlp_label_choice *choices, size_t n,
                             pairs *p, nlp_error *err) {
    nlp_text pattern = {usual_hypothesis, sizeof usual_hypothesis - 1};
    if (call->options->hypothesis.bytes) pattern = call->options->hypothesis;
    size_t n_pairs = 0;
    for (size_t i = 0; i < n; i++) n_pairs += choices[i].n;
    *p = (pairs){.texts = NLP_PUSH(call->scratch, nlp_text, n_pairs),
                 .hypotheses = NLP_PUSH(call->scratch, nlp_text, n_pairs),
                 .outputs = NLP_PUSH_ZERO(call->scratch, nlp_output, n_pairs)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < choices[i].n; k++, p->n++) {
            p->texts[p->n] = choices[i].text;
            NLP_TRY(nlp_task_hypothesis(call, pattern, choices[i].labels[k], &p->hypotheses[p->n],
                                        err));
            NLP_TRY(nlp_poll_work(call->poll, 1 << 10, err));
        }
    return NLP_OK;
}

nlp_status nlp_task_infer(nlp_task_call *call, nlp_label_choice *choices, size_t n,
                          nlp_output *outputs, nlp_error *err) {
    inference labels;
    pairs p;
    float *rows;
    nlp_task_call pass = *call;
    NLP_TRY(find_labels(call, &labels, err));
    NLP_TRY(make_pairs(call, choices, n, &p, err));
    pass.pairs = p.hypotheses;
    pass.truncation = NLP_TRUNCATE_FIRST;
    NLP_TRY(nlp_task_scores(&pass, p.texts, p.n, &rows, p.outputs, err));
    size_t n_classes = call->model->head->spec.n_labels, first = 0;
    for (size_t i = 0; i < n; first += choices[i++].n) {
        /* behind the scores of a row lie its logits */
        const float *logits = rows + (2 * first + 1) * n_classes;
        if (nlp_task_sum_up(p.outputs + first, choices[i].n, &outputs[i]) == NLP_OK)
            score_labels(call, labels, logits, 2 * n_classes, choices[i].n, choices[i].scores,
                         choices[i].margins);
    }
    return NLP_OK;
}
