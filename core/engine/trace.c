/* trace.c: what tests and an import's measurements see of a model: the tensors of one pass over given
 * ids, and how a text goes on from them. */
#include <string.h>

#include "engine/engine.h"

static nlp_status check_ids(const nlp_stack *e, const int32_t *ids, const uint8_t *type_ids,
                            size_t n, nlp_error *err) {
    size_t limit = e->spec.n_positions - e->spec.position_offset;
    if (!n || n > limit)
        return nlp_fail(err, NLP_EINVAL, "%zu ids can't be traced, 1 to %zu are possible", n,
                        limit);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= e->spec.vocabulary ||
            (type_ids && type_ids[i] >= (e->spec.n_types ? e->spec.n_types : 1)))
            return nlp_fail(err, NLP_EINVAL, "id %d at place %zu is none of the model's", ids[i],
                            i);
    return NLP_OK;
}

/* Scores of the vocabulary at every place. */
static nlp_status trace_logits(nlp_session *s, const nlp_stack *stack, const char *point,
                               const float *hidden, size_t n, const nlp_hooks *hooks,
                               nlp_poll *poll, nlp_error *err) {
    size_t d = stack->spec.hidden_size, n_outputs = stack->spec.n_outputs;
    float *rows = NLP_PUSH(&s->scratch, float, n *d),
          *logits = nlp_arena_push(&s->scratch, n, n_outputs * sizeof *logits);
    void *scratch = nlp_arena_push(&s->scratch, nlp_output_scratch(stack, n), 1);
    NLP_TRY(nlp_arena_status(&s->scratch, err));
    memcpy(rows, hidden, n * d * sizeof *rows);
    NLP_TRY(nlp_output_run(stack, s->engine->kernels, rows, n, logits, scratch, poll, err));
    hooks->trace(hooks->trace_context, point, 0, logits, n, n_outputs);
    return NLP_OK;
}

/* Of a seq2seq: the scores of each token of the text as an answer to itself, which is how an import
 * measures a precision. A recurrence can't read a text at once. */
static nlp_status trace_copy(nlp_session *s, const nlp_writer *writer, const int32_t *ids,
                             const float *hidden, size_t n, const nlp_hooks *hooks, nlp_poll *poll,
                             nlp_error *err) {
    const nlp_arch_spec *spec = &writer->decoder->spec;
    if (!spec->n_outputs || spec->recurrence || n > spec->n_positions - spec->position_offset)
        return NLP_OK;
    uint32_t length = (uint32_t)n;
    nlp_unit source = {.ids = ids, .lengths = &length, .n_texts = 1, .n_tokens = n};
    NLP_TRY(nlp_shifted_states(writer->decoder, (int32_t)writer->generation->start - 1,
                               s->engine->kernels, &source, hidden, &s->scratch, poll, &hidden,
                               err));
    return trace_logits(s, writer->decoder, "copy", hidden, n, hooks, poll, err);
}

/* One draft, alone. */
static nlp_status write_draft(nlp_session *s, const nlp_writer *writer, const nlp_manner *manner,
                              nlp_draft *draft, nlp_poll *poll, nlp_error *err) {
    nlp_writing_setup setup = {.writer = writer,
                               .manner = manner,
                               .kernels = s->engine->kernels,
                               .arena = &s->scratch,
                               .text_work = &s->work,
                               .poll = poll};
    return nlp_write(&setup, draft, 1, NULL, err);
}

/* Of a seq2seq: the scores of the first token that it would write. */
static nlp_status trace_first_logits(nlp_session *s, const nlp_writer *writer, const int32_t *ids,
                                     size_t n, const nlp_hooks *hooks, nlp_poll *poll,
                                     nlp_error *err) {
    size_t n_outputs = writer->decoder->spec.n_outputs;
    nlp_manner manner = {.sampling = nlp_plain_sampling, .n_beams = 1, .max_new = 1};
    float *logits = NLP_PUSH(&s->scratch, float, n_outputs);
    nlp_draft draft = {.ids = ids, .n_ids = n, .first_logits = logits};
    NLP_TRY(nlp_arena_status(&s->scratch, err));
    if (!n_outputs) return NLP_OK;
    NLP_TRY(write_draft(s, writer, &manner, &draft, poll, err));
    hooks->trace(hooks->trace_context, "logits", 0, logits, 1, n_outputs);
    return NLP_OK;
}

/* One text, no batch, no tokenizer: the ids are the caller's, so they are checked here. */
nlp_status nlp_session_trace(nlp_session *s, nlp_model *model, const int32_t *ids,
                             const uint8_t *type_ids, size_t n_ids, const nlp_stop *stop,
                             nlp_trace_fn trace, void *context, nlp_error *err) {
    const nlp_stack *e = model->task.stack;
    uint32_t length = (uint32_t)n_ids;
    size_t bytes;
    const float *hidden;
    nlp_poll poll = nlp_session_begin(s, stop);
    NLP_TRY(check_ids(e, ids, type_ids, n_ids, err));
    NLP_TRY(nlp_transformer_plan(e, n_ids, n_ids, n_ids, &bytes, err));
    void *scratch = nlp_arena_push(&s->scratch, bytes, 1);
    NLP_TRY(nlp_arena_status(&s->scratch, err));
    nlp_unit unit = {
        .ids = ids, .type_ids = type_ids, .lengths = &length, .n_texts = 1, .n_tokens = n_ids};
    nlp_hooks hooks = {.trace = trace, .trace_context = context};
    uint64_t saved = nlp_fp_enter();
    nlp_status status = nlp_transformer_run(e, s->engine->kernels, &unit, scratch, bytes, &hooks,
                                            &poll, &hidden, err);
    if (status == NLP_OK && e->spec.n_outputs)
        status = trace_logits(s, e, "logits", hidden, n_ids, &hooks, &poll, err);
    const nlp_writer *writer = &model->task.writer;
    if (status == NLP_OK && writer->encoder)
        status = trace_copy(s, writer, ids, hidden, n_ids, &hooks, &poll, err);
    if (status == NLP_OK && writer->encoder)
        status = trace_first_logits(s, writer, ids, n_ids, &hooks, &poll, err);
    nlp_fp_restore(saved);
    return status;
}

/* What may be drawn as the first token, by its id. */
static nlp_status first_probabilities(nlp_session *s, const nlp_writer *writer,
                                      const nlp_manner *manner, nlp_draft *draft,
                                      nlp_continuation *c, nlp_poll *poll, nlp_error *err) {
    uint32_t n = writer->decoder->spec.n_outputs;
    nlp_manner one = *manner;
    nlp_sampler sampler;
    nlp_history history = {draft->ids, draft->n_ids, draft->n_ids};
    float *logits = draft->first_logits = NLP_PUSH(&s->scratch, float, n);
    NLP_TRY(nlp_arena_status(&s->scratch, err));
    one.max_new = 1;
    NLP_TRY(write_draft(s, writer, &one, draft, poll, err));
    NLP_TRY(nlp_sampler_open(&sampler, s->engine->kernels, n, &s->scratch, err));
    nlp_adjust_scores(&sampler, &manner->sampling, writer->generation, &history, logits);
    nlp_candidates found = nlp_sampling_candidates(&sampler, &manner->sampling, logits);
    double sum = 0;
    for (size_t i = 0; i < found.n; i++) sum += (double)found.probabilities[i];
    float *all = NLP_PUSH_ZERO(&s->arena, float, n);
    NLP_TRY(nlp_arena_status(&s->arena, err));
    for (size_t i = 0; i < found.n; i++)
        all[found.ids ? found.ids[i] : i] = (float)((double)found.probabilities[i] / sum);
    c->probabilities = all;
    c->n_probabilities = n;
    return NLP_OK;
}

nlp_status nlp_session_continue(nlp_session *s, nlp_model *model, nlp_continuation *c,
                                const nlp_stop *stop, nlp_error *err) {
    nlp_call_parts parts;
    const nlp_writer *writer = &model->task.writer;
    nlp_manner manner;
    nlp_draft draft = {
        .ids = c->ids, .n_ids = c->n_ids, .gaps = c->gaps, .forced_first = c->forced_first};
    nlp_task_call call = nlp_session_call(s, stop, &parts);
    call.model = &model->task;
    NLP_TRY(nlp_task_options_read(nlp_task_find(s->engine, "generate"), c->options, c->n_options,
                                  &parts.options, err));
    NLP_TRY(nlp_task_manner(&call, &manner, err));
    NLP_TRY(check_ids(model->task.stack, c->ids, NULL, c->n_ids, err));
    manner.max_new = (uint32_t)c->max_new;
    manner.ends = c->ends, manner.n_ends = c->n_ends;
    uint64_t saved = nlp_fp_enter();
    nlp_status status = c->wants_probabilities
                            ? first_probabilities(s, writer, &manner, &draft, c, call.poll, err)
                            : write_draft(s, writer, &manner, &draft, call.poll, err);
    nlp_fp_restore(saved);
    if (status != NLP_OK) return status;
    c->made = draft.made;
    c->n_made = draft.n_made;
    c->text = draft.text;
    c->score = draft.score;
    return NLP_OK;
}
