/* fill_mask.c: what may stand where the text says [MASK], by a head whose scores are the vocabulary.
 * A text with several masks gets rows for each, in their order, the other masks staying open. */
#include <string.h>

#include "task/task.h"

static const nlp_column one_text[] = {{"text", NLP_TYPE_TEXT}};
/* The id stands behind what SQL shows. */
static const nlp_column mask_columns[] = {{"token", NLP_TYPE_TEXT},
                                          {"score", NLP_TYPE_REAL},
                                          {"sequence", NLP_TYPE_TEXT},
                                          {"id", NLP_TYPE_INTEGER}};
static const nlp_option_spec mask_options[] = {NLP_OPTION_K(1000, "5"), NLP_OPTION_CUT_OR_ERROR,
                                               NLP_OPTION_ON_ERROR, NLP_OPTION_MAX_TOKENS};

typedef struct masked {
    nlp_encoding e;
    nlp_window window; /* out [n_places][n_labels]; n_places 0: the text failed */
} masked;

typedef struct masking {
    const nlp_text *texts;
    masked *masked; /* [n] */
    nlp_windows windows;
    int32_t mask_id;
} masking;

static nlp_status no_mask(const nlp_task_call *call, const masking *m, const nlp_encoding *e,
                          nlp_error *err) {
    nlp_text piece = nlp_tokenizer_piece(call->model->tokenizer, m->mask_id);
    if (e->truncated)
        return nlp_fail(err, NLP_ELIMIT,
                        "a text has no mask in the %zu tokens that the model takes of its %zu",
                        e->n, e->n_full);
    return nlp_fail(err, NLP_EINVAL, "a text has no mask; that of model %s is %.*s",
                    call->model->name, (int)piece.n_bytes, piece.bytes);
}

static nlp_status tokenize(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                           nlp_error *err) {
    masking *m = job;
    masked *one = &m->masked[i];
    nlp_encoding *e = &one->e;
    NLP_TRY(
        nlp_task_tokens_of(call, &m->texts[i], NULL, nlp_task_token_limit(call), e, output, err));
    uint32_t *places = NLP_PUSH(call->scratch, uint32_t, e->n), n = 0;
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t k = 0; k < e->n; k++)
        if (e->ids[k] == m->mask_id) places[n++] = (uint32_t)k;
    if (!n) return no_mask(call, m, e, err);
    float *out = nlp_arena_push(call->scratch, n, call->model->head->spec.n_labels * sizeof *out);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    one->window = (nlp_window){.text = i,
                               .ids = e->ids,
                               .type_ids = e->type_ids,
                               .n_tokens = (uint32_t)e->n,
                               .places = places,
                               .n_places = n,
                               .out = out};
    return nlp_windows_push(call, &m->windows, one->window, err);
}

/* The k best of n, best first, the lower id of equal ones; best [k]. A row of the model's table that
 * the tokenizer has no piece for can't be shown. */
static uint32_t find_best(const float *scores, uint32_t n, uint32_t k, uint32_t *best) {
    uint32_t n_best = 0;
    for (uint32_t id = 0; id < n; id++) {
        if (n_best == k && scores[id] <= scores[best[k - 1]]) continue;
        uint32_t at = n_best < k ? n_best++ : k - 1;
        for (; at > 0 && scores[id] > scores[best[at - 1]]; at--) best[at] = best[at - 1];
        best[at] = id;
    }
    return n_best;
}

/* The text with one token in place of a mask, as the tokenizer reads its ids back. */
static nlp_status put_candidate(nlp_task_call *call, const masked *one, uint32_t place, uint32_t id,
                                nlp_value *cells, nlp_error *err) {
    const nlp_tokenizer *tokenizer = call->model->tokenizer;
    int32_t *ids = NLP_PUSH(call->scratch, int32_t, one->e.n);
    size_t n = 0;
    nlp_text sequence;
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < one->e.n; i++)
        if (one->e.sequence[i] >= 0) ids[n++] = i == place ? (int32_t)id : one->e.ids[i];
    bool other_masks = one->window.n_places > 1; /* are special tokens too */
    NLP_TRY(nlp_tokenizer_decode(tokenizer, ids, n, !other_masks, call->arena, &sequence, err));
    cells[0] = nlp_value_text(nlp_tokenizer_piece(tokenizer, (int32_t)id));
    cells[2] = nlp_value_text(sequence);
    cells[3] = nlp_value_integer(id);
    return nlp_poll_work(call->poll, (uint64_t)n << 6, err);
}

static nlp_status fill_masks(nlp_task_call *call, const masked *one, nlp_output *output,
                             nlp_error *err) {
    const nlp_window *w = &one->window;
    uint32_t n_labels = call->model->head->spec.n_labels, k = call->options->k;
    nlp_tokenizer_info info;
    nlp_tokenizer_get_info(call->model->tokenizer, &info);
    uint32_t n = info.vocabulary < n_labels ? info.vocabulary : n_labels;
    if (k > n) k = n;
    uint32_t *best = NLP_PUSH(call->scratch, uint32_t, k);
    nlp_value *cells = nlp_task_row(call, output, w->n_places * k, 4);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(nlp_arena_status(call->arena, err));
    for (uint32_t i = 0; i < w->n_places; i++) {
        float *scores = w->out + (size_t)i * n_labels;
        NLP_TRY(nlp_task_check_finite(call, scores, n_labels, err));
        call->kernels->softmax(scores, n_labels);
        find_best(scores, n, k, best);
        NLP_TRY(nlp_poll_work(call->poll, (uint64_t)n_labels << 3, err));
        for (uint32_t c = 0; c < k; c++, cells += 4) {
            NLP_TRY(put_candidate(call, one, w->places[i], best[c], cells, err));
            cells[1] = nlp_value_real((double)scores[best[c]]);
        }
    }
    return NLP_OK;
}

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    NLP_TRY(nlp_task_check_head(call, NLP_HEAD_WORDS, "model that fills masks", err));
    nlp_tokenizer_info info;
    nlp_tokenizer_get_info(call->model->tokenizer, &info);
    masking m = {.texts = request->texts,
                 .masked = NLP_PUSH_ZERO(call->scratch, masked, request->n_inputs),
                 .mask_id = info.mask_id};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    if (info.mask_id < 0)
        return nlp_fail(err, NLP_EUNSUPPORTED, "model %s has no token for a mask",
                        call->model->name);
    NLP_TRY(nlp_task_each(call, request->n_inputs, tokenize, &m, outputs, err));
    NLP_TRY(nlp_task_run(call, &m.windows, nlp_task_read_places, err));
    for (size_t i = 0; i < request->n_inputs; i++)
        if (outputs[i].status == NLP_OK) NLP_TRY(fill_masks(call, &m.masked[i], &outputs[i], err));
    return NLP_OK;
}

static const nlp_task_spec mask_spec = {.struct_size = sizeof mask_spec,
                                        .name = "fill_mask",
                                        .help = "what may stand in the place of a mask",
                                        .operands = one_text,
                                        .n_operands = 1,
                                        .columns = mask_columns,
                                        .n_columns = 4,
                                        .n_shown_columns = 3,
                                        .returns_rows = true,
                                        .tunable = "k",
                                        .model_setting = "fill_mask_model",
                                        .options = mask_options,
                                        .n_options = sizeof mask_options / sizeof *mask_options};

const nlp_task_vtable nlp_task_fill_mask = {.struct_size = sizeof(nlp_task_vtable),
                                            .spec = &mask_spec,
                                            .run_batch = run,
                                            .models = NLP_MODEL_FILLS};
