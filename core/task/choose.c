/* choose.c: which of given labels a decoder would answer with. It is asked in the format of its chats, the
 * text first and the question last; a label's score is the probability of all its tokens and of the end
 * behind them, among the labels. So the answer is always one of them, and the one with the best score. */
#include <string.h>

#include "base/utf8.h"
#include "generate/likelihood.h"
#include "task/task.h"

bool nlp_task_chooses(const nlp_task_model *model) {
    const nlp_writer *w = &model->writer;
    return !model->head->spec.struct_size && !w->encoder && w->decoder &&
           w->decoder->spec.n_outputs && w->generation;
}

typedef struct choosing {
    nlp_label_choice *choices;
    nlp_question *questions; /* of the inputs that did not fail */
    size_t *inputs, n;
} choosing;

/* ---- Labels ---- */

/* What ends an answer; -1: the model has no such token. */
static int32_t end_id(const nlp_task_model *m) {
    if (m->chat && m->chat->end_of_turn >= 0) return m->chat->end_of_turn;
    return m->writer.generation->n_ends ? (int32_t)m->writer.generation->ends[0] : -1;
}

static nlp_status encode_label(nlp_task_call *call, nlp_text label, size_t number,
                               nlp_answer *answer, nlp_error *err) {
    nlp_encoding e;
    int32_t end = end_id(call->model);
    nlp_encode_options options = {.no_special_tokens = true,
                                  .plain_text = true,
                                  .max_tokens = NLP_ANSWER_MAX_TOKENS,
                                  .work = call->work};
    NLP_TRY(nlp_tokenizer_encode(call->model->written, &label, NULL, &options, call->scratch,
                                 call->poll, &e, err));
    if (!e.n) return nlp_fail(err, NLP_EINVAL, "label %zu is empty", number);
    if (e.n_full >= NLP_ANSWER_MAX_TOKENS)
        return nlp_fail(err, NLP_ELIMIT, "label %zu has %zu tokens, at most %d are possible",
                        number, e.n_full, NLP_ANSWER_MAX_TOKENS - 1);
    int32_t *ids = NLP_PUSH(call->scratch, int32_t, e.n + 1);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    memcpy(ids, e.ids, e.n * sizeof *ids);
    ids[e.n] = end;
    *answer = (nlp_answer){.ids = ids, .n_ids = e.n + (end >= 0)};
    return NLP_OK;
}

static nlp_status encode_labels(nlp_task_call *call, const nlp_label_choice *c, nlp_question *q,
                                size_t *longest, nlp_error *err) {
    *longest = 0;
    q->n_answers = c->n;
    q->answers = NLP_PUSH(call->scratch, nlp_answer, c->n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < c->n; i++) {
        NLP_TRY(encode_label(call, c->labels[i], i + 1, &q->answers[i], err));
        if (q->answers[i].n_ids > *longest) *longest = q->answers[i].n_ids;
    }
    return NLP_OK;
}

/* ---- Prompts ---- */

static nlp_text literal(const char *text) {
    return (nlp_text){text, strlen(text)};
}

static size_t put_labels(const nlp_label_choice *c, nlp_text *parts) {
    size_t n = 0;
    parts[n++] = literal("\nWhich of these describes the text: ");
    for (size_t i = 0; i < c->n; i++) {
        if (i) parts[n++] = literal(", ");
        parts[n++] = c->labels[i];
    }
    parts[n++] = literal("?");
    return n;
}

static size_t put_condition(const nlp_label_choice *c, nlp_text *parts) {
    parts[0] = literal("\nIs it true that ");
    parts[1] = c->condition;
    parts[2] = literal("? Answer yes or no.");
    return 3;
}

/* Of some wordings the one that told labels apart best with a small model. A model without chats goes on
 * in a new line. */
static nlp_status render(nlp_task_call *call, const nlp_label_choice *c, nlp_text text,
                         nlp_text *out, nlp_error *err) {
    nlp_text *parts = NLP_PUSH(call->scratch, nlp_text, 2 * c->n + 6);
    size_t n = 0;
    NLP_TRY(nlp_arena_status(call->scratch, err));
    parts[n++] = literal("Text: ");
    parts[n++] = text;
    n += c->condition.bytes ? put_condition(c, parts + n) : put_labels(c, parts + n);
    if (!call->model->chat) parts[n++] = literal("\n");
    return nlp_task_join(call, parts, n, out, err);
}

static nlp_status encode_prompt(nlp_task_call *call, const nlp_label_choice *c, nlp_text text,
                                nlp_question *q, nlp_error *err) {
    nlp_text ask;
    NLP_TRY(render(call, c, text, &ask, err));
    if (call->model->chat) {
        nlp_chat_prompt prompt;
        nlp_chat_message message = {NLP_CHAT_USER, ask};
        nlp_chat_request chat = {.messages = &message, .n_messages = 1, .no_thinking = true};
        NLP_TRY(nlp_chat_encode(call->model->chat, &chat, call->scratch, call->poll, &prompt, err));
        q->ids = prompt.ids, q->n_ids = prompt.n_ids;
        return NLP_OK;
    }
    nlp_encoding e;
    nlp_encode_options options = {.cache = call->cache, .work = call->work};
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, &ask, NULL, &options, call->scratch,
                                 call->poll, &e, err));
    q->ids = e.ids, q->n_ids = e.n;
    return NLP_OK;
}

/* The text's first tokens, whole characters. */
static nlp_text first_tokens(nlp_text text, const nlp_encoding *e, size_t n) {
    return (nlp_text){text.bytes, nlp_utf8_fit(text, n ? e->end[n - 1] : 0)};
}

/* The end of a text that is too long goes, since what stands behind it is the question. Where tokens join
 * over the cut it takes another look. */
static nlp_status cut_text(nlp_task_call *call, const nlp_label_choice *c, size_t room,
                           nlp_question *q, nlp_error *err) {
    nlp_encoding e;
    nlp_encode_options options = {.max_tokens = (uint32_t)room,
                                  .no_special_tokens = true,
                                  .stop_when_full = true,
                                  .plain_text = true,
                                  .work = call->work};
    NLP_TRY(encode_prompt(call, c, (nlp_text){"", 0}, q, err));
    if (q->n_ids > room)
        return nlp_fail(err, NLP_ELIMIT,
                        "the labels and their question need %zu tokens, the limit "
                        "leaves %zu",
                        q->n_ids, room);
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, &c->text, NULL, &options, call->scratch,
                                 call->poll, &e, err));
    size_t n = room - q->n_ids < e.n ? room - q->n_ids : e.n;
    for (;;) {
        NLP_TRY(encode_prompt(call, c, first_tokens(c->text, &e, n), q, err));
        if (q->n_ids <= room) return NLP_OK;
        n = n > q->n_ids - room ? n - (q->n_ids - room) : 0;
    }
}

static nlp_status begin_input(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                              nlp_error *err) {
    choosing *x = job;
    const nlp_label_choice *c = &x->choices[i];
    nlp_question *q = &x->questions[x->n];
    size_t limit = nlp_likelihood_positions(call->model->writer.decoder), longest;
    if (output->status != NLP_OK) return output->status;
    if (nlp_task_token_limit(call) < limit) limit = nlp_task_token_limit(call);
    NLP_TRY(encode_labels(call, c, q, &longest, err));
    if (longest >= limit)
        return nlp_fail(err, NLP_ELIMIT, "a label needs %zu tokens, the limit is %zu", longest,
                        limit);
    NLP_TRY(encode_prompt(call, c, c->text, q, err));
    output->truncated = q->n_ids > limit - longest;
    if (output->truncated && call->options->on_overflow == NLP_OVERFLOW_ERROR)
        return nlp_task_over_limit(call, q->n_ids + longest, err);
    if (output->truncated) NLP_TRY(cut_text(call, c, limit - longest, q, err));
    output->n_tokens = (uint32_t)q->n_ids;
    call->counters->tokens += q->n_ids;
    call->counters->truncated += output->truncated;
    x->inputs[x->n++] = i;
    return NLP_OK;
}

/* ---- Scores ---- */

static void put_scores(const nlp_task_call *call, const nlp_question *q, nlp_label_choice *c) {
    double best = q->answers[0].log_p;
    for (size_t i = 1; i < c->n; i++)
        if (q->answers[i].log_p > best) best = q->answers[i].log_p;
    for (size_t i = 0; i < c->n; i++) {
        c->margins[i] = (float)q->answers[i].log_p;
        c->scores[i] = (float)(q->answers[i].log_p - best);
    }
    call->kernels->softmax(c->scores, c->n);
}

nlp_status nlp_task_choose(nlp_task_call *call, nlp_label_choice *choices, size_t n,
                           nlp_output *outputs, nlp_error *err) {
    choosing x = {.choices = choices,
                  .questions = NLP_PUSH_ZERO(call->scratch, nlp_question, n),
                  .inputs = NLP_PUSH(call->scratch, size_t, n)};
    nlp_likelihood_setup setup = {.decoder = call->model->writer.decoder,
                                  .kernels = call->kernels,
                                  .arena = call->scratch,
                                  .poll = call->poll};
    uint64_t n_passes;
    NLP_TRY(nlp_arena_status(call->scratch, err));
    if (call->options->on_overflow == NLP_OVERFLOW_CHUNK)
        return nlp_fail(err, NLP_EINVAL,
                        "a model that writes can't choose a label for parts of a "
                        "text: on_overflow is 'truncate' or 'error'");
    NLP_TRY(nlp_task_each(call, n, begin_input, &x, outputs, err));
    NLP_TRY(nlp_likelihood(&setup, x.questions, x.n, &n_passes, err));
    call->counters->forward_passes += n_passes;
    for (size_t i = 0; i < x.n; i++) put_scores(call, &x.questions[i], &choices[x.inputs[i]]);
    return NLP_OK;
}
