/* batch.c: texts to tokens, tokens to windows, windows to units, units through the encoder on all
 * threads. */
#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "task/task.h"

/* ---- Texts to windows ---- */

typedef struct prompt {
    nlp_text text;
    uint32_t n_tokens;
} prompt;

/* What turning texts into windows works with. */
typedef struct tokenizing {
    const nlp_text *texts;
    nlp_windows w;
    uint32_t *per_text; /* [n_texts] windows */
    prompt prompt;
} tokenizing;

nlp_status nlp_windows_push(nlp_task_call *call, nlp_windows *w, nlp_window window,
                            nlp_error *err) {
    w->items = nlp_arena_grow(call->scratch, w->items, w->n, &w->capacity, sizeof *w->items);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    w->items[w->n++] = window;
    return NLP_OK;
}

static nlp_status push_window(nlp_task_call *call, tokenizing *t, nlp_window window,
                              nlp_error *err) {
    t->per_text[window.text]++;
    return nlp_windows_push(call, &t->w, window, err);
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

static void cut_characters(nlp_text *text, size_t n_characters) {
    size_t at = 0;
    for (uint32_t c; n_characters && at < text->n_bytes; n_characters--)
        at += nlp_utf8_decode(text->bytes + at, text->n_bytes - at, &c);
    text->n_bytes = at;
}

/* Prompt and text in one, as the reference does it. */
static nlp_status prepare(nlp_task_call *call, const prompt *p, nlp_text *text, nlp_error *err) {
    size_t total, most = call->model->pooler->spec.max_characters;
    if (most && text->n_bytes > most) cut_characters(text, most);
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

/* Tokens of a text that n overlapping windows read to its end; n = 0: no limit, 0. */
static uint32_t tokens_of_windows(uint32_t n, uint32_t limit) {
    uint32_t room = limit - 2;
    return n ? 2 + room + (n - 1) * (room - room / 8) : 0;
}

/* Windows of `limit` tokens that overlap by an eighth, each with the text's first and last special
 * token. */
static nlp_status cut_windows(nlp_task_call *call, size_t text, const nlp_encoding *e,
                              uint32_t limit, tokenizing *t, nlp_error *err) {
    size_t body = e->n - 2, room = limit - 2, step = room - room / 8;
    for (size_t first = 0; first == 0 || first + room / 8 < body; first += step) {
        size_t n = body - first < room ? body - first : room;
        int32_t *ids = NLP_PUSH(call->scratch, int32_t, n + 2);
        NLP_TRY(nlp_arena_status(call->scratch, err));
        ids[0] = e->ids[0];
        memcpy(ids + 1, e->ids + 1 + first, n * sizeof *ids);
        ids[n + 1] = e->ids[e->n - 1];
        NLP_TRY(push_window(
            call, t, (nlp_window){.text = text, .ids = ids, .n_tokens = (uint32_t)n + 2}, err));
    }
    return NLP_OK;
}

static const nlp_text *pair_of(const nlp_task_call *call, size_t index) {
    if (call->pairs) return &call->pairs[index];
    return call->options->pair.bytes ? &call->options->pair : NULL;
}

/* One text becomes one window, or several with on_overflow "chunk". A truncated text needs no
 * more tokens than fit, so the tokenizer may stop early. With on_error "null" a bad text leaves none. */
static nlp_status add_text(nlp_task_call *call, void *job, size_t index, nlp_output *output,
                           nlp_error *err) {
    tokenizing *t = job;
    nlp_text text = t->texts[index];
    nlp_encoding e;
    uint32_t limit = nlp_task_token_limit(call), most = limit;
    NLP_TRY(prepare(call, &t->prompt, &text, err));
    const nlp_text *pair = pair_of(call, index);
    if (call->options->on_overflow == NLP_OVERFLOW_CHUNK && !pair)
        most = tokens_of_windows(call->options->max_windows, limit);
    NLP_TRY(nlp_task_tokens_of(call, &text, pair, most, &e, output, err));
    if (e.n > limit) return cut_windows(call, index, &e, limit, t, err);
    if (!e.n && call->model->stack->spec.kind == NLP_KIND_STATIC) return NLP_OK; /* a zero vector */
    if (!e.n)
        return nlp_fail(err, NLP_EUNSUPPORTED,
                        "the model's tokenizer gives an empty text no token at all");
    return push_window(call, t,
                       (nlp_window){.text = index,
                                    .ids = e.ids,
                                    .type_ids = e.type_ids,
                                    .n_tokens = (uint32_t)e.n,
                                    .n_prompt_tokens = t->prompt.n_tokens},
                       err);
}

/* ---- Units ---- */

typedef struct unit_range {
    size_t first, n, n_tokens, longest;
} unit_range;

typedef struct pass {
    nlp_task_call *call;
    const nlp_windows *w;
    unit_range *units;
    nlp_readout_fn readout;
    uint8_t *scratch; /* [threads][scratch_bytes] */
    size_t model_bytes, scratch_bytes;
    size_t longest_unit, most_windows;
    nlp_error *errors; /* [threads] */
} pass;

/* Whole windows, until a unit has NLP_UNIT_TOKENS. */
static size_t cut_units(const nlp_windows *w, unit_range *units) {
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

/* Parts of a readout's scratch: of heads and poolers, then of outputs. */
static size_t head_bytes(const nlp_task_model *m) {
    size_t n = nlp_readout_scratch_floats(m->pooler, m->head, m->stack->spec.hidden_size);
    return rounded(2 * n * sizeof(float));
}

static size_t output_bytes(const nlp_task_model *m) {
    const nlp_arch_spec *spec = &m->stack->spec;
    if (!spec->n_outputs) return 0;
    return rounded(spec->hidden_size * sizeof(float)) + rounded(spec->n_outputs * sizeof(float)) +
           rounded(nlp_output_scratch(m->stack, 1));
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
    p->scratch_bytes = p->model_bytes + rounded(p->longest_unit * sizeof(int32_t)) +
                       rounded(p->longest_unit) + rounded(p->most_windows * sizeof(uint32_t)) +
                       head_bytes(m) + output_bytes(m);
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
    nlp_task_call mine = *p->call; /* for the readout: with this thread's poll */
    mine.poll = poll;
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
        status = p->readout(&mine, w, hidden, readout_scratch, &p->errors[thread]);
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

nlp_status nlp_task_run(nlp_task_call *call, const nlp_windows *w, nlp_readout_fn readout,
                        nlp_error *err) {
    pass p = {.call = call,
              .w = w,
              .units = NLP_PUSH(call->scratch, unit_range, w->n + 1),
              .readout = readout};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    size_t n_units = cut_units(w, p.units);
    if (!n_units) return NLP_OK;
    NLP_TRY(plan_pass(&p, n_units, err));
    return run_pass(&p, n_units, err);
}

nlp_status nlp_task_read_places(const nlp_task_call *call, const nlp_window *window,
                                const float *hidden, float *scratch, nlp_error *err) {
    const nlp_head *head = call->model->head;
    size_t width = call->model->stack->spec.hidden_size;
    for (uint32_t i = 0; i < window->n_places; i++)
        NLP_TRY(nlp_head_run(head, call->kernels, hidden + window->places[i] * width,
                             window->out + (size_t)i * head->spec.n_labels, scratch, call->poll,
                             err));
    return NLP_OK;
}

/* The row is copied, since outputs may scale it in place. */
nlp_status nlp_task_outputs(const nlp_task_call *call, const float *row, float *scratch,
                            const float **logits, nlp_error *err) {
    const nlp_stack *stack = call->model->stack;
    size_t row_bytes = stack->spec.hidden_size * sizeof(float);
    uint8_t *at = (uint8_t *)scratch + head_bytes(call->model);
    float *copy = (float *)(void *)at, *out = (float *)(void *)(at += rounded(row_bytes));
    at += rounded(stack->spec.n_outputs * sizeof(float));
    memcpy(copy, row, row_bytes);
    *logits = out;
    return nlp_output_run(stack, call->kernels, copy, 1, out, at, call->poll, err);
}

/* ---- Rows of texts ---- */

/* A text of several windows gets their mean, in order. */
static void merge_windows(const nlp_task_call *call, const tokenizing *t, size_t width,
                          float *rows) {
    for (size_t i = 0; i < t->w.n; i++)
        call->kernels->add(rows + t->w.items[i].text * width, t->w.items[i].out, width);
    for (size_t i = 0; i < t->w.n; i += t->per_text[t->w.items[i].text]) {
        size_t text = t->w.items[i].text;
        if (t->per_text[text] > 1)
            call->kernels->scale(rows + text * width, width, 1.0f / (float)t->per_text[text]);
    }
}

/* The batch pass that encoder tasks share: texts in, one row of numbers a text out. */
nlp_status nlp_task_encode(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                           nlp_readout_fn readout, uint32_t width, float **rows,
                           nlp_output *outputs, nlp_error *err) {
    tokenizing t = {.texts = texts, .per_text = NLP_PUSH_ZERO(call->scratch, uint32_t, n_texts)};
    size_t row_bytes;
    if (nlp_mul_overflows(width, sizeof(float), &row_bytes))
        return nlp_fail(err, NLP_ELIMIT, "a row is too wide");
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(read_prompt(call, &t.prompt, err));
    NLP_TRY(nlp_task_each(call, n_texts, add_text, &t, outputs, err));
    float *window_rows = nlp_arena_push(call->scratch, t.w.n, row_bytes);
    *rows = nlp_arena_push_zero(call->scratch, n_texts, row_bytes);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < t.w.n; i++) t.w.items[i].out = window_rows + i * width;
    NLP_TRY(nlp_task_run(call, &t.w, readout, err));
    merge_windows(call, &t, width, *rows);
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
