/* liken.c: labels by the likeness of their vectors to a text's. That is similarity, no inference: a text
 * is near to what it speaks of, whatever it says about it. */
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "task/task.h"

/* Measured with all-MiniLM-L6-v2 on the 77 intents of banking77: with this scale the softmax over the
 * labels is as sure as it is right (0.66 and 0.61, and the least cross entropy of five scales); with this
 * middle a cosine tells a text's own label from another best. */
static const float scale = 0.05f, middle = 0.4f;

bool nlp_task_likens(const nlp_task_model *model) {
    return !model->head->spec.struct_size && !model->writer.encoder &&
           model->pooler->spec.struct_size;
}

nlp_status nlp_task_check_likens(const nlp_task_call *call, const char *option, nlp_error *err) {
    if (nlp_task_likens(call->model)) return NLP_OK;
    nlp_fail(err, NLP_EUNSUPPORTED, "model %s is no model of vectors", call->model->name);
    nlp_hint(err,
             "option \"%s\" goes by the similarity of vectors: name minilm, or another embedder",
             option);
    return NLP_EUNSUPPORTED;
}

typedef struct likening {
    nlp_task_call *call;
    nlp_label_choice *choices;
    size_t n;
    nlp_text *labels; /* [n_labels] distinct ones, as they are embedded */
    size_t n_labels;
    uint32_t *index;     /* numbers of the labels of all choices, behind each other */
    float *texts, *rows; /* vectors of length 1, of choices and labels */
    uint32_t dims;
    nlp_output *text_outputs, *label_outputs;
} likening;

/* ---- Distinct labels ---- */

/* Slots hold number + 1. */
static uint32_t number_of(likening *l, nlp_text label, uint32_t *slots, size_t n_slots) {
    size_t slot = nlp_hash_bytes(label.bytes, label.n_bytes) & (n_slots - 1);
    while (slots[slot] && !nlp_text_equal(l->labels[slots[slot] - 1], label))
        slot = (slot + 1) & (n_slots - 1);
    if (!slots[slot]) {
        l->labels[l->n_labels++] = label;
        slots[slot] = (uint32_t)l->n_labels;
    }
    return slots[slot] - 1;
}

static nlp_status find_distinct(likening *l, nlp_error *err) {
    nlp_arena *scratch = l->call->scratch;
    size_t total = 0, n_slots = 16, at = 0;
    for (size_t i = 0; i < l->n; i++) total += l->choices[i].n;
    if (total > UINT32_MAX / 4)
        return nlp_fail(err, NLP_ELIMIT, "%zu labels in one call are too many", total);
    while (n_slots < 2 * total) n_slots *= 2;
    l->labels = NLP_PUSH(scratch, nlp_text, total);
    l->index = NLP_PUSH(scratch, uint32_t, total);
    uint32_t *slots = NLP_PUSH_ZERO(scratch, uint32_t, n_slots);
    NLP_TRY(nlp_arena_status(scratch, err));
    for (size_t i = 0; i < l->n; i++)
        for (size_t k = 0; k < l->choices[i].n; k++) {
            nlp_text label = l->choices[i].labels[k];
            l->index[at++] = number_of(l, label, slots, n_slots);
            NLP_TRY(nlp_poll_work(l->call->poll, 64 + label.n_bytes, err));
        }
    return NLP_OK;
}

/* ---- Vectors ---- */

/* Labels are documents to a text that is a query. */
static nlp_status embed(likening *l, const nlp_text *texts, size_t n, bool is_query, float **rows,
                        nlp_output **outputs, nlp_error *err) {
    nlp_task_options options = *l->call->options;
    nlp_task_call own = *l->call;
    options.is_query = is_query;
    own.options = &options;
    *outputs = NLP_PUSH_ZERO(l->call->scratch, nlp_output, n);
    NLP_TRY(nlp_arena_status(l->call->scratch, err));
    NLP_TRY(nlp_task_embed_all(&own, texts, n, rows, &l->dims, *outputs, err));
    for (size_t i = 0; i < n; i++) nlp_normalize(l->call->kernels, *rows + i * l->dims, l->dims);
    return NLP_OK;
}

static nlp_status embed_labels(likening *l, nlp_error *err) {
    nlp_text pattern = l->call->options->hypothesis;
    for (size_t i = 0; pattern.bytes && i < l->n_labels; i++)
        NLP_TRY(nlp_task_hypothesis(l->call, pattern, l->labels[i], &l->labels[i], err));
    return embed(l, l->labels, l->n_labels, false, &l->rows, &l->label_outputs, err);
}

static nlp_status embed_texts(likening *l, nlp_error *err) {
    nlp_text *texts = NLP_PUSH(l->call->scratch, nlp_text, l->n);
    NLP_TRY(nlp_arena_status(l->call->scratch, err));
    for (size_t i = 0; i < l->n; i++) texts[i] = l->choices[i].text;
    return embed(l, texts, l->n, l->call->options->is_query, &l->texts, &l->text_outputs, err);
}

/* ---- Scores ---- */

/* What became of the text and the labels of a choice; tokens are those of the text. */
static nlp_status sum_up(const likening *l, size_t i, const uint32_t *index, nlp_output *output) {
    nlp_task_sum_up(&l->text_outputs[i], 1, output);
    for (size_t k = 0; k < l->choices[i].n; k++) {
        const nlp_output *label = &l->label_outputs[index[k]];
        output->truncated = output->truncated || label->truncated;
        if (output->status == NLP_OK) output->status = label->status;
    }
    return output->status;
}

static nlp_status score(const likening *l, size_t i, const uint32_t *index, nlp_error *err) {
    const nlp_kernels *kernels = l->call->kernels;
    nlp_label_choice *c = &l->choices[i];
    bool alone = l->call->options->multi_label || c->n == 1;
    for (size_t k = 0; k < c->n; k++) {
        float cosine =
            kernels->dot(l->texts + i * l->dims, l->rows + (size_t)index[k] * l->dims, l->dims);
        float both[2] = {middle / scale, cosine / scale};
        c->margins[k] = both[1];
        if (alone) kernels->softmax(both, 2);
        c->scores[k] = both[1];
        NLP_TRY(nlp_poll_work(l->call->poll, l->dims, err));
    }
    if (!alone) kernels->softmax(c->scores, c->n);
    return NLP_OK;
}

nlp_status nlp_task_liken(nlp_task_call *call, nlp_label_choice *choices, size_t n,
                          nlp_output *outputs, nlp_error *err) {
    likening l = {.call = call, .choices = choices, .n = n};
    NLP_TRY(find_distinct(&l, err));
    const uint32_t *index = l.index;
    NLP_TRY(embed_labels(&l, err));
    NLP_TRY(embed_texts(&l, err));
    for (size_t i = 0; i < n; index += choices[i++].n)
        if (sum_up(&l, i, index, &outputs[i]) == NLP_OK) NLP_TRY(score(&l, i, index, err));
    return NLP_OK;
}
