/* summarize.c: a text in fewer words. A model of chats is asked for it, a seq2seq was trained for it; a
 * long text is summed up in parts of whole sentences, and then the sums together. A model of vectors
 * picks some of the sentences (pick.c); where no model is named, it is taken for long texts. */
#include <string.h>

#include "task/task.h"
#include "text/sentences.h"

enum {
    MOST_TOKENS = 1024, /* of a part, however long the model's context is */
    MOST_ROUNDS = 8,
    LONG_BYTES = 4096 /* a longer text has no room in one part */
};

static const nlp_column one_text[] = {{"text", NLP_TYPE_TEXT}};
static const nlp_option_spec summarize_options[] = {
    NLP_OPTIONS_OF_WRITING("128"),
    NLP_OPTION_ON_ERROR,
    {"extractive", NLP_TYPE_BOOLEAN, NULL, 0, 0, NULL,
     "sentences of the text, by a model of vectors"}};

static const char request_text[] = "Summarize this text in one or two short sentences:\n\n";

/* What one input is at the moment. */
typedef struct summary {
    nlp_text text;   /* itself, then the sums of its parts */
    size_t first, n; /* its parts of this round */
    size_t n_full;   /* its tokens when this round began */
    bool done;
} summary;

typedef struct summing {
    nlp_manner manner;
    size_t room; /* tokens of a part */
    summary *summaries;
    nlp_draft *drafts;
    size_t n_drafts, capacity;
} summing;

/* ---- Parts ---- */

static nlp_text prompt_of(const nlp_task_call *call) {
    nlp_span found = nlp_pack_pair(call->model->pack, "prompts", "summarization");
    return (nlp_text){(const char *)found.bytes, found.n_bytes};
}

static nlp_status make_draft(nlp_task_call *call, const summing *s, nlp_text part, nlp_draft *draft,
                             nlp_output *output, nlp_error *err) {
    const nlp_text ask = {request_text, sizeof request_text - 1};
    const nlp_text parts[] = {call->model->writer.encoder ? prompt_of(call) : ask, part};
    nlp_text whole;
    NLP_TRY(nlp_task_join(call, parts, 2, &whole, err));
    if (call->model->writer.encoder)
        return nlp_task_begin_draft(call, &s->manner, &whole, draft, output, err);
    nlp_chat_message message = {NLP_CHAT_USER, whole};
    nlp_chat_request chat = {.messages = &message, .n_messages = 1, .no_thinking = true};
    return nlp_task_begin_chat(call, &s->manner, &chat, &whole, draft, output, err);
}

static nlp_status push_draft(nlp_task_call *call, summing *s, nlp_text part, nlp_output *output,
                             nlp_error *err) {
    s->drafts =
        nlp_arena_grow(call->scratch, s->drafts, s->n_drafts, &s->capacity, sizeof *s->drafts);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(make_draft(call, s, part, &s->drafts[s->n_drafts], output, err));
    s->n_drafts++;
    return NLP_OK;
}

static nlp_status count_tokens(nlp_task_call *call, nlp_text text, size_t *n, nlp_error *err) {
    nlp_encoding e;
    NLP_TRY(nlp_task_plain_tokens(call, text, &e, err));
    *n = e.n;
    return NLP_OK;
}

/* A text without ends of sentences, a room's tokens at a time. */
static nlp_status cut_tokens(nlp_task_call *call, summing *s, nlp_text text, nlp_output *output,
                             nlp_error *err) {
    nlp_encoding e;
    NLP_TRY(nlp_task_plain_tokens(call, text, &e, err));
    for (size_t k = 0, end; k < e.n; k = end) {
        end = e.n - k < s->room ? e.n : k + s->room;
        nlp_text part = {text.bytes + e.start[k], e.end[end - 1] - e.start[k]};
        NLP_TRY(push_draft(call, s, part, output, err));
    }
    return NLP_OK;
}

/* A run of sentences that have room together, or one that has none alone. */
static nlp_status push_run(nlp_task_call *call, summing *s, nlp_text run, size_t n_tokens,
                           nlp_output *output, nlp_error *err) {
    if (!run.n_bytes) return NLP_OK;
    return n_tokens > s->room + 1 ? cut_tokens(call, s, run, output, err)
                                  : push_draft(call, s, run, output, err);
}

/* Whole sentences, as many as have room. */
static nlp_status cut_parts(nlp_task_call *call, summing *s, const summary *sum, nlp_output *output,
                            nlp_error *err) {
    nlp_sentence *sentences;
    size_t n_sentences, start = 0, used = 0;
    NLP_TRY(
        nlp_sentences_find(sum->text, call->scratch, call->poll, &sentences, &n_sentences, err));
    for (size_t i = 0; i < n_sentences; i++) {
        size_t n;
        nlp_text one = {sum->text.bytes + sentences[i].start,
                        sentences[i].end - sentences[i].start};
        NLP_TRY(count_tokens(call, one, &n, err));
        if (used && used + n > s->room) {
            nlp_text part = {sum->text.bytes + start, sentences[i - 1].end - start};
            NLP_TRY(push_run(call, s, part, used, output, err));
            start = sentences[i].start, used = 0;
        }
        used += n + 1;
    }
    nlp_text rest = {sum->text.bytes + start, sum->text.n_bytes - start};
    return push_run(call, s, rest, used, output, err);
}

/* ---- Rounds ---- */

static nlp_status begin_input(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                              nlp_error *err) {
    summing *s = job;
    summary *sum = &s->summaries[i];
    nlp_output unused = {0};
    if (sum->done) return output->status;
    sum->first = s->n_drafts;
    NLP_TRY(count_tokens(call, sum->text, &sum->n_full, err));
    nlp_status status = sum->n_full <= s->room ? push_draft(call, s, sum->text, &unused, err)
                                               : cut_parts(call, s, sum, &unused, err);
    sum->n = s->n_drafts - sum->first;
    if (!output->n_tokens) output->n_tokens = (uint32_t)sum->n_full;
    if (status == NLP_OK) return NLP_OK;
    s->n_drafts = sum->first;
    sum->done = true;
    return status;
}

static nlp_text trimmed(nlp_text text) {
    while (text.n_bytes && strchr(" \n\t\r", *text.bytes)) text.bytes++, text.n_bytes--;
    while (text.n_bytes && strchr(" \n\t\r", text.bytes[text.n_bytes - 1])) text.n_bytes--;
    return text;
}

/* The sums of the parts in their order; one part, or a round that made nothing shorter, is the end. */
static nlp_status end_round(nlp_task_call *call, const summing *s, summary *sum, size_t round,
                            nlp_error *err) {
    size_t n = 0, used = 0, n_now;
    for (size_t i = 0; i < sum->n; i++) n += s->drafts[sum->first + i].text.n_bytes + 1;
    char *joined = nlp_arena_push(call->arena, n + 1, 1);
    NLP_TRY(nlp_arena_status(call->arena, err));
    for (size_t i = 0; i < sum->n; i++) {
        nlp_text part = trimmed(s->drafts[sum->first + i].text);
        if (used) joined[used++] = '\n';
        memcpy(joined + used, part.bytes, part.n_bytes);
        used += part.n_bytes;
    }
    sum->text = (nlp_text){joined, used};
    NLP_TRY(count_tokens(call, sum->text, &n_now, err));
    sum->done = sum->n == 1 || n_now >= sum->n_full || round + 1 == MOST_ROUNDS;
    return NLP_OK;
}

static nlp_status run_rounds(nlp_task_call *call, summing *s, size_t n, nlp_output *outputs,
                             nlp_error *err) {
    for (size_t round = 0; round < MOST_ROUNDS; round++) {
        s->n_drafts = s->capacity = 0;
        NLP_TRY(nlp_task_each(call, n, begin_input, s, outputs, err));
        if (!s->n_drafts) return NLP_OK;
        NLP_TRY(nlp_task_write(call, &s->manner, s->drafts, s->n_drafts, err));
        for (size_t i = 0; i < n; i++)
            if (!s->summaries[i].done) NLP_TRY(end_round(call, s, &s->summaries[i], round, err));
    }
    return NLP_OK;
}

/* What the frame of a request leaves. */
static nlp_status find_room(nlp_task_call *call, summing *s, nlp_error *err) {
    nlp_draft empty;
    nlp_output unused = {0};
    NLP_TRY(make_draft(call, s, (nlp_text){"", 0}, &empty, &unused, err));
    const nlp_arch_spec *spec = &call->model->writer.decoder->spec;
    size_t positions = spec->n_positions - spec->position_offset;
    size_t room = s->manner.max_new < positions / 2 ? positions - s->manner.max_new : positions / 2;
    if (call->model->writer.encoder) room = call->model->stack->spec.max_tokens;
    room = room > empty.n_ids + 16 ? room - empty.n_ids : 16;
    s->room = room < MOST_TOKENS ? room : MOST_TOKENS;
    return NLP_OK;
}

/* By a model that writes. */
static nlp_status write_all(nlp_task_call *call, nlp_text *texts, size_t n, nlp_output *outputs,
                            nlp_error *err) {
    summing s = {.summaries = NLP_PUSH_ZERO(call->scratch, summary, n)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(nlp_task_manner(call, &s.manner, err));
    s.manner.guess = true;
    NLP_TRY(find_room(call, &s, err));
    for (size_t i = 0; i < n; i++) {
        s.summaries[i].text = texts[i];
        s.summaries[i].done = !texts[i].n_bytes; /* of nothing there is no sum */
    }
    NLP_TRY(run_rounds(call, &s, n, outputs, err));
    for (size_t i = 0; i < n; i++) texts[i] = s.summaries[i].text;
    return NLP_OK;
}

/* ---- Which form ---- */

/* An option that only a model that writes can follow; NULL: there is none. */
static const char *option_of_writing(const nlp_option *options, size_t n) {
    static const char *const others[] = {"max_tokens", "on_error", "extractive"};
    for (size_t i = 0; i < n; i++) {
        bool other = options[i].value.type == NLP_TYPE_NULL;
        for (size_t k = 0; k < sizeof others / sizeof *others; k++)
            other = other || !strcmp(options[i].key, others[k]);
        if (!other) return options[i].key;
    }
    return NULL;
}

/* Who says how the text should be written wants one that is written, however long his own is. */
static const char *starter(const nlp_text *operands, const nlp_option *options, size_t n) {
    bool picks = operands && operands->n_bytes > LONG_BYTES && !option_of_writing(options, n);
    for (size_t i = 0; i < n; i++)
        if (options[i].value.type == NLP_TYPE_BOOLEAN && !strcmp(options[i].key, "extractive"))
            picks = options[i].value.as.boolean;
    return picks ? "minilm" : NULL;
}

static bool asks_to_pick(const nlp_task_call *call) {
    const nlp_task_model *m = call->model;
    if (call->options->has_extractive) return call->options->extractive;
    return nlp_task_likens(m) && !nlp_task_chooses(m);
}

static nlp_status check_picking(const nlp_task_call *call, const nlp_request *request,
                                nlp_error *err) {
    const char *key = option_of_writing(request->options, request->n_options);
    NLP_TRY(nlp_task_check_likens(call, "extractive", err));
    if (!key) return NLP_OK;
    nlp_fail(err, NLP_EINVAL,
             "option \"%s\" says how a text is written, but model %s picks sentences of the text",
             key, call->model->name);
    nlp_hint(err, "leave the option out, or name a model that writes");
    return NLP_EINVAL;
}

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    size_t n = request->n_inputs;
    bool picks = asks_to_pick(call);
    nlp_text *texts = NLP_PUSH(call->scratch, nlp_text, n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    if (picks) NLP_TRY(check_picking(call, request, err));
    for (size_t i = 0; i < n; i++) texts[i] = trimmed(request->texts[i]);
    NLP_TRY(picks ? nlp_task_pick(call, texts, n, texts, outputs, err)
                  : write_all(call, texts, n, outputs, err));
    for (size_t i = 0; i < n; i++) {
        nlp_value *cells = nlp_task_row(call, &outputs[i], 1, 1);
        NLP_TRY(nlp_arena_status(call->arena, err));
        cells[0] = nlp_value_text(texts[i]);
    }
    return NLP_OK;
}

static const nlp_task_spec summarize_spec = {.struct_size = sizeof summarize_spec,
                                             .name = "summarize",
                                             .help = "a text in fewer words",
                                             .operands = one_text,
                                             .n_operands = 1,
                                             .columns = one_text,
                                             .n_columns = 1,
                                             .tunable = "max_tokens",
                                             .model_setting = "summarize_model",
                                             .default_model = "smollm2",
                                             .starter = starter,
                                             .options = summarize_options,
                                             .n_options = sizeof summarize_options /
                                                          sizeof *summarize_options};

const nlp_task_vtable nlp_task_summarize = {.struct_size = sizeof(nlp_task_vtable),
                                            .spec = &summarize_spec,
                                            .run_batch = run,
                                            .models = NLP_MODEL_CARRIES | NLP_MODEL_CHATS |
                                                      NLP_MODEL_LIKENS};
