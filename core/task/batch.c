/* batch.c: texts to tokens, tokens to windows, windows to units, units through the encoder on all
 * threads. */
#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "task/task.h"

/* ---- Texts to windows ---- */

typedef struct windows {
    nlp_window *items;
    size_t n, capacity;
    uint32_t *per_text;   /* [n_texts] */
    nlp_word_cache cache; /* of the texts on their way to windows */
} windows;

typedef struct prompt {
    nlp_text text;
    uint32_t n_tokens;
} prompt;

static nlp_status push_window(nlp_task_call *call, windows *w, nlp_window window, nlp_error *err) {
    if (w->n == w->capacity) {
        size_t capacity = w->capacity ? 2 * w->capacity : 64;
        nlp_window *items = NLP_PUSH(call->scratch, nlp_window, capacity);
        NLP_TRY(nlp_arena_status(call->scratch, err));
        if (w->n) memcpy(items, w->items, w->n * sizeof *items);
        w->items = items, w->capacity = capacity;
    }
    w->per_text[window.text]++;
    w->items[w->n++] = window;
    return NLP_OK;
}

static uint32_t token_limit(const nlp_task_call *call) {
    uint32_t limit = call->model->stack->spec.max_tokens, wanted = call->options->max_tokens;
    return wanted && wanted < limit ? wanted : limit;
}

/* The model's prompt for the input type; "document" is also called "passage" and "corpus". */
static nlp_text find_prompt(const nlp_task_call *call) {
    static const char *const document[] = {"document", "passage", "corpus"};
    nlp_span found = {0};
    if (call->options->is_query) found = nlp_pack_pair(call->model->pack, "prompts", "query");
    for (size_t i = 0; !call->options->is_query && !found.bytes && i < 3; i++)
        found = nlp_pack_pair(call->model->pack, "prompts", document[i]);
    return (nlp_text){(const char *)found.bytes, found.n_bytes};
}

static nlp_status read_prompt(nlp_task_call *call, prompt *p, nlp_error *err) {
    nlp_encoding encoding;
    nlp_encode_options plain = {.no_special_tokens = true, .work = call->work};
    *p = (prompt){.text = find_prompt(call)};
    if (!p->text.n_bytes) return NLP_OK;
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, &p->text, NULL, &plain, call->scratch,
                                 call->poll, &encoding, err));
    p->n_tokens = (uint32_t)encoding.n + 1; /* and the token that begins the text */
    return NLP_OK;
}

/* Lower case of every character, as the reference does it before it tokenizes where the model's files
 * say so. */
static nlp_status lower(nlp_task_call *call, nlp_text *text, nlp_error *err) {
    size_t room, n = 0;
    if (nlp_mul_overflows(text->n_bytes, 3 * NLP_UTF8_MAX_BYTES, &room))
        return nlp_fail(err, NLP_ELIMIT, "a text is too long");
    char *out = NLP_PUSH(call->scratch, char, room);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t at = 0; at < text->n_bytes;) {
        uint32_t c, parts[3];
        at += nlp_utf8_decode(text->bytes + at, text->n_bytes - at, &c);
        size_t n_parts = nlp_unicode_lower(c, parts);
        for (size_t i = 0; i < n_parts; i++) n += nlp_utf8_encode(parts[i], out + n);
    }
    *text = (nlp_text){out, n};
    return nlp_poll_work(call->poll, 16 * n, err);
}

/* Prompt and text in one, as the reference does it. */
static nlp_status prepare(nlp_task_call *call, const prompt *p, nlp_text *text, nlp_error *err) {
    size_t total;
    bool lowers = call->model->pooler->spec.lower_text;
    if (!p->text.n_bytes) return lowers ? lower(call, text, err) : NLP_OK;
    if (nlp_add_overflows(p->text.n_bytes, text->n_bytes, &total))
        return nlp_fail(err, NLP_ELIMIT, "a text is too long");
    char *joined = NLP_PUSH(call->scratch, char, total);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    memcpy(joined, p->text.bytes, p->text.n_bytes);
    if (text->n_bytes) memcpy(joined + p->text.n_bytes, text->bytes, text->n_bytes);
    *text = (nlp_text){joined, total};
    return lowers ? lower(call, text, err) : NLP_OK;
}

static nlp_status over_limit(size_t needs, uint32_t limit, nlp_error *err) {
    nlp_fail(err, NLP_ELIMIT, "a text needs %zu tokens, the limit is %u", needs, limit);
    nlp_hint(
        err,
        "use on_overflow 'truncate' or 'chunk', or cut the text (nlp_would_truncate finds such texts)");
    return NLP_ELIMIT;
}

/* Windows of `limit` tokens that overlap by an eighth, each with the text's first and last special
 * token. */
static nlp_status cut_windows(nlp_task_call *call, size_t text, const nlp_encoding *e,
                              uint32_t limit, windows *w, nlp_error *err) {
    size_t body = e->n - 2, room = limit - 2, step = room - room / 8;
    for (size_t first = 0; first == 0 || first + room / 8 < body; first += step) {
        size_t n = body - first < room ? body - first : room;
        int32_t *ids = NLP_PUSH(call->scratch, int32_t, n + 2);
        NLP_TRY(nlp_arena_status(call->scratch, err));
        ids[0] = e->ids[0];
        memcpy(ids + 1, e->ids + 1 + first, n * sizeof *ids);
        ids[n + 1] = e->ids[e->n - 1];
        NLP_TRY(push_window(
            call, w, (nlp_window){.text = text, .ids = ids, .n_tokens = (uint32_t)n + 2}, err));
    }
    return NLP_OK;
}

/* One text becomes one window, or several with on_overflow "chunk". A truncated text needs no
 * more tokens than fit, so the tokenizer may stop early. */
static nlp_status add_text(nlp_task_call *call, const prompt *p, size_t index, nlp_text text,
                           windows *w, nlp_output *output, nlp_error *err) {
    nlp_encoding e;
    uint32_t limit = token_limit(call);
    bool pair = call->options->pair.bytes != NULL,
         chunk = call->options->on_overflow == NLP_OVERFLOW_CHUNK && !pair;
    nlp_encode_options options = {.max_tokens = chunk ? 0 : limit,
                                  .cache = &w->cache,
                                  .work = call->work,
                                  .stop_when_full =
                                      call->options->on_overflow == NLP_OVERFLOW_TRUNCATE && !pair};
    NLP_TRY(prepare(call, p, &text, err));
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, &text, pair ? &call->options->pair : NULL,
                                 &options, call->scratch, call->poll, &e, err));
    if (e.truncated && call->options->on_overflow == NLP_OVERFLOW_ERROR)
        return over_limit(e.n_full, limit, err);
    output->n_tokens = (uint32_t)e.n;
    output->truncated = e.truncated;
    call->counters->tokens += e.n;
    call->counters->unknown_tokens += e.n_unknown;
    call->counters->truncated += e.truncated;
    if (e.n > limit) return cut_windows(call, index, &e, limit, w, err);
    if (!e.n)
        return nlp_fail(err, NLP_EUNSUPPORTED,
                        "the model's tokenizer gives an empty text no token at all");
    return push_window(call, w,
                       (nlp_window){.text = index,
                                    .ids = e.ids,
                                    .type_ids = e.type_ids,
                                    .n_tokens = (uint32_t)e.n,
                                    .n_prompt_tokens = p->n_tokens},
                       err);
}

/* With on_error "null" a bad text costs itself only; cancel and memory end the call whatever was
 * asked. */
static nlp_status make_windows(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                               windows *w, nlp_output *outputs, nlp_error *err) {
    prompt p;
    *w = (windows){.per_text = NLP_PUSH_ZERO(call->scratch, uint32_t, n_texts)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(read_prompt(call, &p, err));
    for (size_t i = 0; i < n_texts; i++) {
        size_t before = w->n;
        outputs[i].status = add_text(call, &p, i, texts[i], w, &outputs[i], err);
        if (outputs[i].status == NLP_OK) continue;
        bool fatal = outputs[i].status == NLP_ECANCELED || outputs[i].status == NLP_ENOMEM;
        if (fatal || !call->options->on_error_null) return outputs[i].status;
        w->n = before;
        w->per_text[i] = 0;
        nlp_error_clear(err);
    }
    return NLP_OK;
}

/* ---- Units ---- */

typedef struct unit_range {
    size_t first, n, n_tokens, longest;
} unit_range;

typedef struct pass {
    nlp_task_call *call;
    const windows *w;
    const unit_range *units;
    nlp_readout_fn readout;
    uint32_t width;
    float *rows;      /* [w->n][width] */
    uint8_t *scratch; /* [threads][scratch_bytes] */
    size_t model_bytes, scratch_bytes;
    size_t longest_unit, most_windows;
    nlp_error *errors; /* [threads] */
} pass;

/* Whole windows, until a unit has NLP_UNIT_TOKENS. */
static size_t cut_units(const windows *w, unit_range *units) {
    size_t n_units = 0;
    for (size_t i = 0; i < w->n; i++) {
        unit_range *u = &units[n_units ? n_units - 1 : 0];
        size_t n = w->items[i].n_tokens;
        if (!n_units || u->n_tokens + n > NLP_UNIT_TOKENS) {
            u = &units[n_units++];
            *u = (unit_range){.first = i};
        }
        u->n++;
        u->n_tokens += n;
        if (n > u->longest) u->longest = n;
    }
    return n_units;
}

static size_t rounded(size_t n) {
    return (n + 63) & ~(size_t)63;
}

/* A seq2seq's readout allocates, so it has one thread. */
static uint32_t threads_of(const nlp_task_call *call, size_t n_units) {
    if (call->model->writer.encoder) return 1;
    return call->threads < n_units ? call->threads : (uint32_t)n_units;
}

/* Scratch of one thread: the encoder's, ids, types, lengths, and the readout's. */
static nlp_status plan_pass(pass *p, size_t n_units, nlp_error *err) {
    size_t longest_text = 0;
    for (size_t i = 0; i < n_units; i++) {
        if (p->units[i].n_tokens > p->longest_unit) p->longest_unit = p->units[i].n_tokens;
        if (p->units[i].longest > longest_text) longest_text = p->units[i].longest;
        if (p->units[i].n > p->most_windows) p->most_windows = p->units[i].n;
    }
    const nlp_task_model *m = p->call->model;
    NLP_TRY(nlp_transformer_plan(m->stack, p->longest_unit, longest_text, longest_text,
                                 &p->model_bytes, err));
    p->model_bytes = rounded(p->model_bytes);
    size_t readout =
        nlp_readout_scratch_floats(m->pooler, m->head, m->stack->spec.hidden_size) * sizeof(float);
    p->scratch_bytes = p->model_bytes + rounded(p->longest_unit * sizeof(int32_t)) +
                       rounded(p->longest_unit) + rounded(p->most_windows * sizeof(uint32_t)) +
                       rounded(2 * readout);
    uint32_t threads = threads_of(p->call, n_units);
    p->scratch = nlp_arena_push(p->call->scratch, threads, p->scratch_bytes);
    p->errors = NLP_PUSH_ZERO(p->call->scratch, nlp_error, threads);
    return nlp_arena_status(p->call->scratch, err);
}

static bool was_stopped(void *context) {
    return nlp_poll_stopped(context);
}

/* One unit on one thread. Thread 0 is the caller's and asks the host; the others look whether it
 * was told to stop. */
static nlp_status run_unit(void *context, uint32_t part, uint32_t thread) {
    pass *p = context;
    const unit_range *u = &p->units[part];
    uint8_t *at = p->scratch + thread * p->scratch_bytes;
    int32_t *ids = (int32_t *)(void *)(at + p->model_bytes);
    uint8_t *types = (uint8_t *)ids + rounded(p->longest_unit * sizeof *ids);
    uint32_t *lengths = (uint32_t *)(void *)(types + rounded(p->longest_unit));
    float *readout_scratch =
        (float *)(void *)((uint8_t *)lengths + rounded(p->most_windows * sizeof *lengths));
    nlp_poll own, *poll = p->call->poll;
    nlp_stop look = {.should_stop = was_stopped, .context = p->call->poll};
    if (thread) nlp_poll_init(poll = &own, &look, p->call->poll->work_per_poll);
    size_t row = 0;
    for (size_t i = 0; i < u->n; row += p->w->items[u->first + i++].n_tokens) {
        const nlp_window *w = &p->w->items[u->first + i];
        memcpy(ids + row, w->ids, w->n_tokens * sizeof *ids);
        if (w->type_ids)
            memcpy(types + row, w->type_ids, w->n_tokens);
        else
            memset(types + row, 0, w->n_tokens);
        lengths[i] = w->n_tokens;
    }
    nlp_unit unit = {.ids = ids,
                     .type_ids = types,
                     .lengths = lengths,
                     .n_texts = u->n,
                     .n_tokens = u->n_tokens};
    const float *hidden;
    uint64_t saved = nlp_fp_enter();
    nlp_status status =
        nlp_transformer_run(p->call->model->stack, p->call->kernels, &unit, at, p->model_bytes,
                            NULL, poll, &hidden, &p->errors[thread]);
    for (size_t i = 0; i < u->n && status == NLP_OK; i++) {
        const nlp_window *w = &p->w->items[u->first + i];
        status = p->readout(p->call, w, hidden, p->rows + (u->first + i) * p->width,
                            readout_scratch, &p->errors[thread]);
        hidden += (size_t)w->n_tokens * p->call->model->stack->spec.hidden_size;
    }
    nlp_fp_restore(saved);
    return status;
}

/* The status is that of the lowest failing unit, whichever thread was faster. */
static nlp_status run_pass(pass *p, size_t n_units, nlp_error *err) {
    uint32_t threads = threads_of(p->call, n_units);
    nlp_status status = nlp_workers_run(p->call->workers, threads, (uint32_t)n_units, run_unit, p,
                                        p->call->poll, err);
    for (uint32_t i = 0; status != NLP_OK && i < threads; i++)
        if (p->errors[i].code == status && err) *err = p->errors[i];
    p->call->counters->forward_passes += n_units;
    return status;
}

/* ---- Rows of texts ---- */

/* A text of several windows gets their mean, in order. */
static void merge_windows(const pass *p, float *rows) {
    for (size_t i = 0; i < p->w->n; i++)
        p->call->kernels->add(rows + p->w->items[i].text * p->width, p->rows + i * p->width,
                              p->width);
    for (size_t i = 0; i < p->w->n; i += p->w->per_text[p->w->items[i].text]) {
        size_t text = p->w->items[i].text;
        if (p->w->per_text[text] > 1)
            p->call->kernels->scale(rows + text * p->width, p->width,
                                    1.0f / (float)p->w->per_text[text]);
    }
}

/* The batch pass that all encoder tasks share: texts in, one row of numbers a text out. */
nlp_status nlp_task_encode(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                           nlp_readout_fn readout, uint32_t width, float **rows,
                           nlp_output *outputs, nlp_error *err) {
    windows w;
    NLP_TRY(make_windows(call, texts, n_texts, &w, outputs, err));
    unit_range *units = NLP_PUSH(call->scratch, unit_range, w.n + 1);
    size_t row_bytes;
    if (nlp_mul_overflows(width, sizeof(float), &row_bytes))
        return nlp_fail(err, NLP_ELIMIT, "a row is too wide");
    float *window_rows = nlp_arena_push(call->scratch, w.n, row_bytes);
    *rows = nlp_arena_push_zero(call->scratch, n_texts, row_bytes);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    pass p = {.call = call,
              .w = &w,
              .units = units,
              .readout = readout,
              .width = width,
              .rows = window_rows};
    size_t n_units = cut_units(&w, units);
    if (!n_units) return NLP_OK;
    NLP_TRY(plan_pass(&p, n_units, err));
    NLP_TRY(run_pass(&p, n_units, err));
    merge_windows(&p, *rows);
    return nlp_task_check_finite(call, *rows, n_texts * width, err);
}

nlp_status nlp_task_check_finite(const nlp_task_call *call, const float *rows, size_t n,
                                 nlp_error *err) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(rows[i]))
            return nlp_fail(err, NLP_ECORRUPT, "model %s computed a number that is not finite",
                            call->model->name);
    return NLP_OK;
}

/* ---- Small helpers of tasks ---- */

nlp_value *nlp_task_row(nlp_task_call *call, nlp_output *output, uint32_t n_rows,
                        uint32_t n_columns) {
    nlp_value *cells = NLP_PUSH_ZERO(call->arena, nlp_value, (size_t)n_rows * n_columns);
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
