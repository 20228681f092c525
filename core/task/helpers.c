/* helpers.c: what the files of tasks share beside the batch pass: one input after the other, tokens
 * under a limit, lists, blanks in a pattern, orders, places in characters, cells. */
#include <string.h>

#include "base/utf8.h"
#include "task/task.h"

/* ---- Inputs ---- */

nlp_status nlp_task_each(nlp_task_call *call, size_t n, nlp_each_fn each, void *job,
                         nlp_output *outputs, nlp_error *err) {
    for (size_t i = 0; i < n; i++) {
        nlp_status status = outputs[i].status = each(call, job, i, &outputs[i], err);
        bool fatal = status == NLP_ECANCELED || status == NLP_ENOMEM;
        if (status != NLP_OK && (fatal || !call->options->on_error_null)) return status;
        if (status != NLP_OK) nlp_error_clear(err);
        NLP_TRY(nlp_poll_work(call->poll, 1 << 12, err));
    }
    return NLP_OK;
}

uint32_t nlp_task_token_limit(const nlp_task_call *call) {
    uint32_t limit = call->model->stack->spec.max_tokens, wanted = call->options->max_tokens;
    return wanted && wanted < limit ? wanted : limit;
}

uint32_t nlp_task_whole_limit(const nlp_task_call *call) {
    return call->options->on_overflow == NLP_OVERFLOW_CHUNK ? 0 : nlp_task_token_limit(call);
}

nlp_status nlp_task_over_limit(const nlp_task_call *call, size_t needs, nlp_error *err) {
    nlp_fail(err, NLP_ELIMIT, "a text needs %zu tokens, the limit is %u", needs,
             nlp_task_token_limit(call));
    nlp_hint(err, "on_overflow 'truncate' cuts it, 'chunk' (where a task has it) uses all of it; "
                  "nlp_would_truncate finds such texts");
    return NLP_ELIMIT;
}

void nlp_task_count_tokens(nlp_task_call *call, const nlp_encoding *e, nlp_output *output) {
    output->n_tokens = (uint32_t)e->n;
    output->truncated = e->truncated;
    output->n_unknown = (uint32_t)e->n_unknown;
    call->counters->tokens += e->n;
    call->counters->unknown_tokens += e->n_unknown;
    call->counters->truncated += e->truncated;
}

nlp_status nlp_task_tokens_of(nlp_task_call *call, const nlp_text *text, const nlp_text *pair,
                              uint32_t limit, nlp_encoding *e, nlp_output *output, nlp_error *err) {
    nlp_overflow overflow = call->options->on_overflow;
    if (pair && !pair->n_bytes) pair = NULL; /* as the reference: no pair */
    nlp_encode_options options = {.max_tokens = limit,
                                  .stop_when_full = overflow != NLP_OVERFLOW_ERROR && !pair,
                                  .cache = call->cache,
                                  .work = call->work,
                                  .truncation = call->truncation};
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, text, pair, &options, call->scratch,
                                 call->poll, e, err));
    if (e->truncated && overflow == NLP_OVERFLOW_ERROR)
        return nlp_task_over_limit(call, e->n_full, err);
    nlp_task_count_tokens(call, e, output);
    return NLP_OK;
}

nlp_status nlp_task_plain_tokens(nlp_task_call *call, nlp_text text, nlp_encoding *e,
                                 nlp_error *err) {
    nlp_encode_options options = {
        .no_special_tokens = true, .cache = call->cache, .work = call->work};
    return nlp_tokenizer_encode(call->model->tokenizer, &text, NULL, &options, call->scratch,
                                call->poll, e, err);
}

nlp_status nlp_task_sum_up(const nlp_output *parts, size_t n, nlp_output *output) {
    for (size_t i = 0; i < n; i++) {
        output->n_tokens += parts[i].n_tokens;
        output->n_unknown += parts[i].n_unknown;
        output->truncated = output->truncated || parts[i].truncated;
        if (output->status == NLP_OK) output->status = parts[i].status;
    }
    return output->status;
}

nlp_status nlp_task_check_head(const nlp_task_call *call, uint32_t head, const char *what,
                               nlp_error *err) {
    const nlp_head_spec *spec = &call->model->head->spec;
    if (spec->struct_size && spec->head == head) return NLP_OK;
    nlp_fail(err, NLP_EUNSUPPORTED, "model %s is no %s", call->model->name, what);
    nlp_hint(err, "nlp inspect shows what a model is; nlp import takes one of any supported type");
    return NLP_EUNSUPPORTED;
}

nlp_label_scorer nlp_task_label_scorer(const nlp_task_model *model) {
    if (nlp_task_chooses(model)) return nlp_task_choose;
    return nlp_task_likens(model) ? nlp_task_liken : nlp_task_infer;
}

/* ---- Lists and patterns ---- */

/* Each text is ended by a byte 0, the last one too. */
nlp_status nlp_task_list(nlp_task_call *call, const nlp_text *operand, nlp_text **texts, size_t *n,
                         nlp_error *err) {
    const char *at = operand->bytes, *end = at + operand->n_bytes;
    size_t count = 0;
    if (at < end && end[-1])
        return nlp_fail(err, NLP_EINVAL, "a list of texts does not end in a byte 0");
    for (const char *c = at; c < end; c++) count += !*c;
    *n = 0;
    *texts = NLP_PUSH(call->scratch, nlp_text, count);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (; at < end; at += (*texts)[(*n)++].n_bytes + 1) (*texts)[*n] = (nlp_text){at, strlen(at)};
    return nlp_poll_work(call->poll, operand->n_bytes, err);
}

/* The blank that stands at the start of a text, NULL for none. */
static nlp_blank *blank_at(const char *text, size_t n_bytes, nlp_blank *blanks, size_t n) {
    for (size_t i = 0; i < n && *text == '{'; i++) {
        size_t n_name = strlen(blanks[i].name);
        if (n_bytes >= n_name + 2 && text[n_name + 1] == '}' &&
            !memcmp(text + 1, blanks[i].name, n_name))
            return &blanks[i];
    }
    return NULL;
}

/* Once with out NULL for the size, once to write. */
static size_t fill(nlp_text pattern, nlp_blank *blanks, size_t n, char *out) {
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) blanks[i].n_found = 0;
    for (size_t at = 0; at < pattern.n_bytes;) {
        nlp_blank *blank = blank_at(pattern.bytes + at, pattern.n_bytes - at, blanks, n);
        if (!blank) {
            if (out) out[n_out] = pattern.bytes[at];
            n_out++, at++;
            continue;
        }
        if (out && blank->value.n_bytes)
            memcpy(out + n_out, blank->value.bytes, blank->value.n_bytes);
        blank->at = n_out;
        blank->n_found++;
        if (nlp_add_overflows(n_out, blank->value.n_bytes, &n_out)) return SIZE_MAX;
        at += strlen(blank->name) + 2;
    }
    return n_out;
}

nlp_status nlp_task_fill_blanks(nlp_task_call *call, nlp_text pattern, nlp_blank *blanks, size_t n,
                                nlp_text *out, nlp_error *err) {
    size_t n_bytes = fill(pattern, blanks, n, NULL);
    char *bytes = NLP_PUSH(call->scratch, char, n_bytes);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    fill(pattern, blanks, n, bytes);
    *out = (nlp_text){bytes, n_bytes};
    return NLP_OK;
}

nlp_status nlp_task_join(nlp_task_call *call, const nlp_text *parts, size_t n, nlp_text *out,
                         nlp_error *err) {
    size_t n_bytes = 1, used = 0;
    for (size_t i = 0; i < n; i++)
        if (nlp_add_overflows(n_bytes, parts[i].n_bytes, &n_bytes)) n_bytes = SIZE_MAX;
    char *bytes = nlp_arena_push(call->scratch, n_bytes, 1);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < n; used += parts[i++].n_bytes)
        if (parts[i].n_bytes) memcpy(bytes + used, parts[i].bytes, parts[i].n_bytes);
    *out = (nlp_text){bytes, used};
    return NLP_OK;
}

size_t nlp_task_merge_neighbours(const nlp_text *texts, size_t n, nlp_text *distinct,
                                 size_t *which) {
    size_t n_distinct = 0;
    for (size_t i = 0; i < n; i++) {
        if (!i || !nlp_text_equal(texts[i - 1], texts[i])) distinct[n_distinct++] = texts[i];
        which[i] = n_distinct - 1;
    }
    return n_distinct;
}

nlp_status nlp_task_hypothesis(nlp_task_call *call, nlp_text pattern, nlp_text label, nlp_text *out,
                               nlp_error *err) {
    nlp_blank blank = {.name = "", .value = label};
    NLP_TRY(nlp_task_fill_blanks(call, pattern, &blank, 1, out, err));
    if (blank.n_found == 1) return NLP_OK;
    return nlp_fail(err, NLP_EINVAL,
                    "option \"hypothesis\" must have {} once, for the label; it has it %zu times",
                    blank.n_found);
}

/* ---- Orders ---- */

static bool goes_before(const float *scores, const float *logits, uint32_t a, uint32_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && logits[a] > logits[b]);
}

/* Merges runs of 1, 2, 4 ... from one half of order into the other. */
static void merge(const float *scores, const float *logits, size_t n, size_t run,
                  const uint32_t *from, uint32_t *to) {
    for (size_t first = 0; first < n; first += 2 * run) {
        size_t middle = first + run < n ? first + run : n, i = first, j = middle,
               end = middle + run < n ? middle + run : n;
        for (size_t k = first; k < end; k++) {
            bool second = i == middle || (j < end && goes_before(scores, logits, from[j], from[i]));
            to[k] = second ? from[j++] : from[i++];
        }
    }
}

void nlp_task_sort(const float *scores, const float *logits, size_t n, uint32_t *order) {
    uint32_t *from = order, *to = order + n;
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t run = 1; run < n; run *= 2) {
        merge(scores, logits, n, run, from, to);
        uint32_t *swap = from;
        from = to, to = swap;
    }
    if (from != order) memcpy(order, from, n * sizeof *order);
}

/* ---- Places and cells ---- */

int64_t nlp_characters_before(nlp_ruler *r, size_t byte) {
    if (byte < r->at) r->at = r->characters = 0;
    r->characters += nlp_utf8_length(r->text.bytes + r->at, byte - r->at);
    r->at = byte;
    return (int64_t)r->characters;
}

nlp_value *nlp_task_row(nlp_task_call *call, nlp_output *output, uint32_t n_rows,
                        uint32_t n_columns) {
    size_t n_cells;
    if (nlp_mul_overflows(n_rows, n_columns, &n_cells)) n_cells = SIZE_MAX;
    nlp_value *cells = NLP_PUSH_ZERO(call->arena, nlp_value, n_cells);
    output->cells = cells;
    output->n_rows = cells ? n_rows : 0;
    return cells;
}

nlp_value nlp_value_text(nlp_text text) {
    return (nlp_value){.type = NLP_TYPE_TEXT, .n = (uint32_t)text.n_bytes, .as.text = text.bytes};
}
nlp_value nlp_value_real(double real) {
    return (nlp_value){.type = NLP_TYPE_REAL, .as.real = (double)(float)real};
}
nlp_value nlp_value_integer(int64_t integer) {
    return (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = integer};
}
