/* write.c: what the tasks that write share: the manner, the room for a prompt, the way to results. */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/json_read.h"
#include "task/task.h"

/* ---- The manner ---- */

static nlp_status check_writer(const nlp_task_call *call, nlp_error *err) {
    const nlp_writer *w = &call->model->writer;
    if (w->decoder && w->decoder->spec.n_outputs && w->generation) return NLP_OK;
    nlp_fail(err, NLP_EUNSUPPORTED, "model %s does not write text", call->model->name);
    nlp_hint(err, "nlp pull smollm2 brings a model that does; nlp import takes any decoder");
    return NLP_EUNSUPPORTED;
}

/* A text, or an array of texts. A stream outlives its options, so texts are copied. */
nlp_status nlp_task_option_texts(nlp_task_call *call, const char *key, const nlp_value *value,
                                 nlp_text **out, size_t *n, nlp_error *err) {
    const nlp_json own = {.kind = NLP_JSON_ARRAY, .n = 1}, *list = &own;
    nlp_json one = {.kind = NLP_JSON_STRING};
    one.text = (nlp_text){nlp_arena_text(call->scratch, value->as.text, value->n), value->n};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    if (value->type == NLP_TYPE_JSON)
        NLP_TRY(nlp_json_read(one.text, key, call->scratch, &list, err));
    *out = NLP_PUSH(call->scratch, nlp_text, list->n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (const nlp_json *s = list == &own ? &one : list->first; s; s = s->next) {
        if (list->kind != NLP_JSON_ARRAY || s->kind != NLP_JSON_STRING)
            return nlp_fail(err, NLP_EINVAL, "option \"%s\" must be a text or an array of texts",
                            key);
        (*out)[(*n)++] = s->text;
    }
    return NLP_OK;
}

static nlp_status read_stops(nlp_task_call *call, nlp_manner *m, nlp_error *err) {
    nlp_text *stops;
    if (call->options->stop.type == NLP_TYPE_NULL) return NLP_OK;
    NLP_TRY(nlp_task_option_texts(call, "stop", &call->options->stop, &stops, &m->n_stops, err));
    m->stops = stops;
    for (size_t i = 0; i < m->n_stops; i++)
        if (!m->stops[i].n_bytes)
            return nlp_fail(err, NLP_EINVAL, "option \"stop\": text %zu of %zu is empty", i + 1,
                            m->n_stops);
    return NLP_OK;
}

/* {"123": -5}: the keys are ids, as nlp_tokens shows them. */
static nlp_status read_biases(nlp_task_call *call, nlp_manner *m, nlp_error *err) {
    const nlp_value *given = &call->options->logit_bias;
    const nlp_json *object;
    uint32_t n_outputs = call->model->writer.decoder->spec.n_outputs;
    if (given->type == NLP_TYPE_NULL) return NLP_OK;
    NLP_TRY(nlp_json_read((nlp_text){given->as.text, given->n}, "logit_bias", call->scratch,
                          &object, err));
    nlp_bias *biases = NLP_PUSH(call->scratch, nlp_bias, object->n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    m->sampling.biases = biases;
    for (const nlp_json *b = object->first; b; b = b->next) {
        double value;
        uint64_t id = 0;
        bool good = b->key.n_bytes > 0 && b->key.n_bytes < 10 && nlp_json_to_real(b, &value);
        for (size_t i = 0; good && i < b->key.n_bytes; i++) {
            good = b->key.bytes[i] >= '0' && b->key.bytes[i] <= '9';
            id = id * 10 + (uint64_t)(b->key.bytes[i] - '0');
        }
        if (object->kind != NLP_JSON_OBJECT || !good || id >= n_outputs)
            return nlp_fail(
                err, NLP_EINVAL,
                "option \"logit_bias\" must be an object of numbers by token ids below %u",
                n_outputs);
        biases[m->sampling.n_biases++] = (nlp_bias){(int32_t)id, (float)value};
    }
    return NLP_OK;
}

static nlp_status check_chance(const nlp_task_options *o, const nlp_manner *m, nlp_error *err) {
    if (o->sampling.temperature <= 0) return NLP_OK;
    if (m->n_beams > 1)
        return nlp_fail(err, NLP_EINVAL,
                        "a search of %u beams leaves nothing to chance: temperature must be 0",
                        m->n_beams);
    if (o->has_seed) return NLP_OK;
    nlp_fail(err, NLP_EINVAL, "temperature %g draws tokens by chance, which needs a seed",
             (double)o->sampling.temperature);
    nlp_hint(err, "add \"seed\": 1 to the options; another seed gives another text");
    return NLP_EINVAL;
}

/* A model's files recommend a search where it was made for one. */
nlp_status nlp_task_manner(nlp_task_call *call, nlp_manner *m, nlp_error *err) {
    const nlp_task_options *o = call->options;
    NLP_TRY(check_writer(call, err));
    const nlp_generation_spec *g = call->model->writer.generation;
    bool by_chance = o->sampling.temperature > 0;
    *m = (nlp_manner){.sampling = o->sampling,
                      .n_beams = o->num_beams               ? o->num_beams
                                 : g->n_beams && !by_chance ? g->n_beams
                                                            : 1,
                      .length_penalty =
                          isnan(o->length_penalty) ? g->length_penalty : (float)o->length_penalty,
                      .early_stopping = (nlp_early_stopping)g->early_stopping,
                      .max_new = o->max_tokens,
                      .min_new = o->has_min_tokens ? o->min_tokens : g->min_tokens,
                      .tokenizer = call->model->written};
    if (o->has_early_stopping) m->early_stopping = o->early_stopping;
    if (!o->has_no_repeat) m->sampling.no_repeat_ngram = g->no_repeat_ngram;
    if (isnan(o->length_penalty) && g->length_penalty == 0) m->length_penalty = 1;
    if (m->n_beams > NLP_MAX_BEAMS) m->n_beams = NLP_MAX_BEAMS;
    NLP_TRY(read_stops(call, m, err));
    NLP_TRY(read_biases(call, m, err));
    return check_chance(o, m, err);
}

/* ---- Constraints ---- */

static nlp_status open_work(nlp_task_call *call, nlp_bound *bound, nlp_error *err) {
    return nlp_constraint_work_open(bound->constraint, call->scratch, &bound->work, err);
}

nlp_status nlp_task_bound_by_schema(nlp_task_call *call, nlp_text schema, nlp_bound *bound,
                                    nlp_error *err) {
    const nlp_vocabulary *vocabulary;
    *bound = (nlp_bound){.text = schema};
    NLP_TRY(nlp_shared_vocabulary_get(call->model->vocabulary, call->poll, &vocabulary, err));
    NLP_TRY(nlp_constraint_open_schema(vocabulary, schema, call->scratch, call->poll,
                                       &bound->constraint, err));
    return open_work(call, bound, err);
}

static nlp_status check_bounds(const nlp_task_options *o, const nlp_manner *m, nlp_error *err) {
    int n = (o->choices.type != NLP_TYPE_NULL) + (o->schema.type != NLP_TYPE_NULL) +
            (o->grammar.bytes != NULL);
    if (n > 1)
        return nlp_fail(err, NLP_EINVAL,
                        "only one of \"choices\", \"schema\" and \"grammar\" can be");
    if (n && m->n_beams > 1)
        return nlp_fail(err, NLP_EINVAL, "a search (num_beams %u) can't be bound by a constraint",
                        m->n_beams);
    if (n && m->n_stops)
        return nlp_fail(err, NLP_EINVAL, "a text that is bound by a constraint has no stop texts");
    return NLP_OK;
}

nlp_status nlp_task_bound(nlp_task_call *call, const nlp_manner *m, nlp_bound *bound,
                          nlp_error *err) {
    const nlp_task_options *o = call->options;
    const nlp_vocabulary *vocabulary;
    nlp_text *choices;
    size_t n_choices = 0;
    *bound = (nlp_bound){0};
    NLP_TRY(check_bounds(o, m, err));
    if (o->schema.type != NLP_TYPE_NULL)
        return nlp_task_bound_by_schema(call, (nlp_text){o->schema.as.text, o->schema.n}, bound,
                                        err);
    if (o->choices.type == NLP_TYPE_NULL && !o->grammar.bytes) return NLP_OK;
    NLP_TRY(nlp_shared_vocabulary_get(call->model->vocabulary, call->poll, &vocabulary, err));
    if (o->grammar.bytes) {
        NLP_TRY(nlp_constraint_open_grammar(vocabulary, o->grammar, call->scratch, call->poll,
                                            &bound->constraint, err));
        return open_work(call, bound, err);
    }
    NLP_TRY(nlp_task_option_texts(call, "choices", &o->choices, &choices, &n_choices, err));
    NLP_TRY(nlp_constraint_open_choices(vocabulary, choices, n_choices, call->scratch, call->poll,
                                        &bound->constraint, err));
    return open_work(call, bound, err);
}

uint64_t nlp_task_stream(const nlp_task_call *call, const nlp_text *prompt) {
    uint8_t seed[8], digest[NLP_SHA256_BYTES];
    uint64_t stream = 0;
    nlp_sha256 sha;
    for (int i = 0; i < 8; i++) seed[i] = (uint8_t)(call->options->seed >> 8 * i);
    nlp_sha256_init(&sha);
    nlp_sha256_update(&sha, seed, sizeof seed);
    nlp_sha256_update(&sha, prompt->bytes, prompt->n_bytes);
    nlp_sha256_final(&sha, digest);
    for (int i = 0; i < 8; i++) stream |= (uint64_t)digest[i] << 8 * i;
    return stream;
}

/* ---- Prompts ---- */

static nlp_status too_long(const nlp_task_call *call, const nlp_manner *m, size_t n, size_t most,
                           nlp_error *err) {
    if (call->model->writer.encoder)
        nlp_fail(err, NLP_ELIMIT, "a text needs %zu tokens, model %s takes %zu", n,
                 call->model->name, most);
    else
        nlp_fail(err, NLP_ELIMIT,
                 "a prompt of %zu tokens and an answer of up to %u are over the %zu positions of "
                 "model %s",
                 n, m->max_new, most, call->model->name);
    nlp_hint(err, "shorten the text, lower max_tokens, or let on_overflow be 'truncate'");
    return NLP_ELIMIT;
}

/* A decoder without a token for beginnings goes on from its end token, as it does in training. */
static nlp_status begin_of_nothing(nlp_task_call *call, nlp_encoding *e, nlp_error *err) {
    const nlp_generation_spec *g = call->model->writer.generation;
    if (!g->n_ends)
        return nlp_fail(err, NLP_EINVAL,
                        "the prompt is empty, and model %s has no token to begin with",
                        call->model->name);
    e->ids = NLP_PUSH(call->scratch, int32_t, 1);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    e->ids[0] = (int32_t)g->ends[0];
    e->n = 1;
    return NLP_OK;
}

/* How many tokens a prompt may have. */
static size_t room_of(const nlp_task_call *call, const nlp_manner *m) {
    const nlp_arch_spec *s = &call->model->writer.decoder->spec;
    size_t positions = s->n_positions - s->position_offset;
    return m->max_new < positions / 2 ? positions - m->max_new : (positions + 1) / 2;
}

/* Prompt and answer share the positions of a decoder; the prompt always has half of them. The answer
 * goes on from the prompt's end, so its beginning is what is cut. */
static nlp_status fit_prompt(nlp_task_call *call, const nlp_manner *m, nlp_encoding *e,
                             nlp_error *err) {
    size_t room = room_of(call, m);
    if (!e->n) NLP_TRY(begin_of_nothing(call, e, err));
    if (e->n <= room) return NLP_OK;
    if (call->options->on_overflow == NLP_OVERFLOW_ERROR)
        return too_long(call, m, e->n, room + m->max_new, err);
    e->ids += e->n - room;
    e->n = room;
    e->truncated = true;
    return NLP_OK;
}

nlp_status nlp_task_begin_draft(nlp_task_call *call, const nlp_manner *m, const nlp_text *text,
                                nlp_draft *draft, nlp_output *output, nlp_error *err) {
    nlp_encoding e;
    bool is_seq2seq = call->model->writer.encoder != NULL;
    uint32_t limit = is_seq2seq ? call->model->stack->spec.max_tokens : 0;
    nlp_encode_options options = {.max_tokens = limit, .cache = call->cache, .work = call->work};
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, text, NULL, &options, call->scratch,
                                 call->poll, &e, err));
    if (e.truncated && call->options->on_overflow == NLP_OVERFLOW_ERROR)
        return too_long(call, m, e.n_full, limit, err);
    if (!is_seq2seq) NLP_TRY(fit_prompt(call, m, &e, err));
    nlp_task_count_tokens(call, &e, output);
    *draft = (nlp_draft){.ids = e.ids, .n_ids = e.n, .stream = nlp_task_stream(call, text)};
    return NLP_OK;
}

nlp_status nlp_task_begin_chat(nlp_task_call *call, const nlp_manner *m,
                               const nlp_chat_request *chat, const nlp_text *text, nlp_draft *draft,
                               nlp_output *output, nlp_error *err) {
    nlp_chat_prompt prompt;
    nlp_chat_request own = *chat;
    size_t room = room_of(call, m);
    if (!call->model->chat) {
        nlp_fail(err, NLP_EUNSUPPORTED, "model %s has no format of chats", call->model->name);
        nlp_hint(err, "import it again with --chat-template NAME, or use nlp_generate");
        return NLP_EUNSUPPORTED;
    }
    bool cut = call->options->on_overflow == NLP_OVERFLOW_TRUNCATE;
    own.max_tokens = cut ? (uint32_t)room : 0;
    NLP_TRY(nlp_chat_encode(call->model->chat, &own, call->scratch, call->poll, &prompt, err));
    if (prompt.n_ids > room) return too_long(call, m, prompt.n_ids, room + m->max_new, err);
    output->n_tokens = (uint32_t)prompt.n_ids;
    output->truncated = prompt.n_dropped > 0;
    call->counters->tokens += prompt.n_ids;
    call->counters->truncated += prompt.n_dropped > 0;
    int32_t end = call->model->chat->end_of_turn;
    *draft = (nlp_draft){.ids = prompt.ids,
                         .n_ids = prompt.n_ids,
                         .also_ends = end >= 0 ? (uint32_t)end + 1 : 0,
                         .stream = nlp_task_stream(call, text)};
    return NLP_OK;
}

/* ---- Results ---- */

static nlp_writing_setup setup_of(nlp_task_call *call, const nlp_manner *manner) {
    return (nlp_writing_setup){.writer = &call->model->writer,
                               .manner = manner,
                               .kernels = call->kernels,
                               .arena = call->scratch,
                               .text_work = call->work,
                               .poll = call->poll};
}

nlp_status nlp_task_write(nlp_task_call *call, const nlp_manner *manner, nlp_draft *drafts,
                          size_t n, nlp_error *err) {
    nlp_writing_setup setup = setup_of(call, manner);
    uint64_t n_passes;
    NLP_TRY(nlp_write(&setup, drafts, n, &n_passes, err));
    call->counters->forward_passes += n_passes;
    for (size_t i = 0; i < n; i++) call->counters->tokens += drafts[i].n_made;
    return NLP_OK;
}

static const char *finish_name(nlp_finish finish) {
    return finish == NLP_FINISH_STOP ? "stop" : "length";
}

/* Texts that were written lie in the call's scratch; results outlive it. */
static nlp_status put_row(nlp_task_call *call, const nlp_draft *draft, nlp_output *output,
                          nlp_error *err) {
    nlp_value *cells = nlp_task_row(call, output, 1, 3);
    char *text = nlp_arena_text(call->arena, draft->text.bytes, draft->text.n_bytes);
    int32_t *ids = NLP_PUSH(call->arena, int32_t, draft->n_made + 1);
    NLP_TRY(nlp_arena_status(call->arena, err));
    memcpy(ids, draft->made, draft->n_made * sizeof *ids);
    const char *finish = finish_name(draft->finish);
    cells[0] = nlp_value_text((nlp_text){text, draft->text.n_bytes});
    cells[1] = (nlp_value){.type = NLP_TYPE_IDS, .n = (uint32_t)draft->n_made, .as.ids = ids};
    cells[2] = nlp_value_text((nlp_text){finish, strlen(finish)});
    return NLP_OK;
}

typedef struct writing_each {
    const nlp_text *texts;
    nlp_begin_fn begin;
    nlp_manner manner;
    nlp_bound bound;
    nlp_draft *drafts; /* of the inputs that did not fail */
    size_t *inputs;    /* their numbers */
    size_t n;
} writing_each;

static nlp_status begin_input(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                              nlp_error *err) {
    writing_each *w = job;
    NLP_TRY(w->begin(call, &w->manner, &w->texts[i], &w->drafts[w->n], output, err));
    w->drafts[w->n].constraint = w->bound.constraint;
    w->drafts[w->n].work = w->bound.work;
    w->inputs[w->n++] = i;
    return NLP_OK;
}

nlp_status nlp_task_write_each(nlp_task_call *call, const nlp_request *request, nlp_begin_fn begin,
                               nlp_output *outputs, nlp_error *err) {
    size_t n = request->n_inputs;
    writing_each w = {.texts = request->texts,
                      .begin = begin,
                      .drafts = NLP_PUSH_ZERO(call->scratch, nlp_draft, n),
                      .inputs = NLP_PUSH(call->scratch, size_t, n)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(nlp_task_manner(call, &w.manner, err));
    NLP_TRY(nlp_task_bound(call, &w.manner, &w.bound, err));
    NLP_TRY(nlp_task_each(call, n, begin_input, &w, outputs, err));
    NLP_TRY(nlp_task_write(call, &w.manner, w.drafts, w.n, err));
    for (size_t i = 0; i < w.n; i++)
        NLP_TRY(put_row(call, &w.drafts[i], &outputs[w.inputs[i]], err));
    return NLP_OK;
}

/* ---- Streams ---- */

typedef struct streaming {
    nlp_writing *writing;
    nlp_draft draft;
    size_t n_given; /* bytes of the text */
    bool done;
    uint64_t n_passes; /* that are counted */
} streaming;

nlp_status nlp_task_stream_open(nlp_task_call *call, const nlp_request *request, nlp_begin_fn begin,
                                void **state, nlp_error *err) {
    streaming *s = NLP_PUSH_ZERO(call->scratch, streaming, 1);
    nlp_manner manner;
    nlp_output unused = {0};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(nlp_task_manner(call, &manner, err));
    if (manner.n_beams > 1)
        return nlp_fail(err, NLP_EINVAL,
                        "a search of %u beams knows its text only at the end: it has no stream",
                        manner.n_beams);
    nlp_bound bound;
    NLP_TRY(nlp_task_bound(call, &manner, &bound, err));
    NLP_TRY(begin(call, &manner, request->texts, &s->draft, &unused, err));
    s->draft.constraint = bound.constraint;
    s->draft.work = bound.work;
    *state = s;
    manner.follow = true;
    nlp_writing_setup setup = setup_of(call, &manner);
    return nlp_writing_open(&setup, &s->draft, 1, &s->writing, err);
}

/* Steps that only read the prompt make no token. */
nlp_status nlp_task_stream_next(nlp_task_call *call, void *state, nlp_piece *piece,
                                nlp_error *err) {
    streaming *s = state;
    size_t n_made = s->draft.n_made;
    if (s->done) return nlp_fail(err, NLP_EINVAL, "the stream has ended");
    while (!s->done && s->draft.n_made == n_made)
        NLP_TRY(nlp_writing_step(s->writing, &s->done, err));
    call->counters->forward_passes += nlp_writing_passes(s->writing) - s->n_passes;
    call->counters->tokens += s->draft.n_made - n_made;
    s->n_passes = nlp_writing_passes(s->writing);
    *piece =
        (nlp_piece){.text = {s->draft.text.bytes + s->n_given, s->draft.n_settled - s->n_given},
                    .step = (uint32_t)s->draft.n_made,
                    .done = s->done};
    s->n_given = s->draft.n_settled;
    return NLP_OK;
}
