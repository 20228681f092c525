/* translate.c: a text into another language, sentence by sentence: translators are made for sentences, and
 * those of all texts of a call are written together. What stands between sentences stays. */
#include <string.h>

#include "base/utf8.h"
#include "task/task.h"
#include "text/sentences.h"

static const nlp_column text_and_target[] = {{"text", NLP_TYPE_TEXT}, {"target", NLP_TYPE_TEXT}};
static const nlp_column one_text[] = {{"text", NLP_TYPE_TEXT}};
static const nlp_option_spec translate_options[] = {
    {"source", NLP_TYPE_TEXT, NULL, 0, 0, "auto",
     "language of the text; auto: as the model has it"},
    NLP_OPTIONS_OF_WRITING(NULL),
    NLP_OPTION_ON_ERROR};

/* How a model is told the languages. */
typedef struct route {
    nlp_text prompt;       /* goes before each sentence, "translate English to German: " */
    int32_t source;        /* token in place of the first one; -1: what the tokenizer has */
    uint32_t forced_first; /* id + 1 of the answer's first token; 0: none */
} route;

typedef struct part { /* of a text: a sentence, or a piece of a long one */
    size_t text;
    size_t start, end;
    nlp_draft *draft;
} part;

typedef struct translating {
    const nlp_text *texts; /* [n][text, target] */
    nlp_manner manner;
    part *parts;
    size_t n_parts, capacity;
    nlp_draft *drafts; /* [n_parts] */
} translating;

/* ---- Languages ---- */

/* A token that stands for a language: "<code>" itself, or as M2M100, mBART and Marian write it. */
static int32_t language_token(const nlp_task_call *call, const nlp_tokenizer *tokenizer,
                              nlp_text code) {
    static const char *const spellings[] = {"%.*s", "__%.*s__", "%.*s_XX", ">>%.*s<<"};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        char *name = nlp_arena_format(call->scratch, spellings[i], (int)code.n_bytes, code.bytes);
        int32_t id = name ? nlp_tokenizer_find(tokenizer, (nlp_text){name, strlen(name)}) : -1;
        if (id >= 0) return id;
    }
    return -1;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether a piece is spelt as languages are: "__fr__", "fr_XX", "fra_Latn", ">>fra<<". */
static bool looks_like_language(nlp_text piece) {
    size_t n = piece.n_bytes;
    const char *p = piece.bytes;
    if (n >= 6 && !memcmp(p, "__", 2) && !memcmp(p + n - 2, "__", 2)) return is_letter(p[2]);
    if (n >= 6 && !memcmp(p, ">>", 2) && !memcmp(p + n - 2, "<<", 2)) return is_letter(p[2]);
    if (n == 5 && !memcmp(p + 2, "_XX", 3)) return is_letter(p[0]);
    return n == 8 && p[3] == '_' && is_letter(p[0]) && p[4] >= 'A' && p[4] <= 'Z' &&
           is_letter(p[7]);
}

static const char *languages_of_tokens(const nlp_task_call *call) {
    nlp_tokenizer_info info;
    char list[200];
    size_t n = 0;
    nlp_tokenizer_get_info(call->model->tokenizer, &info);
    for (uint32_t id = 0; id < info.vocabulary; id++) {
        nlp_text piece = nlp_tokenizer_piece(call->model->tokenizer, (int32_t)id);
        if (!looks_like_language(piece)) continue;
        if (n + piece.n_bytes + 8 > sizeof list) {
            memcpy(list + n, " ...", 4);
            return nlp_arena_text(call->scratch, list, n + 4);
        }
        if (n) list[n++] = ',', list[n++] = ' ';
        memcpy(list + n, piece.bytes, piece.n_bytes);
        n += piece.n_bytes;
    }
    return nlp_arena_text(call->scratch, list, n);
}

/* "en, fr": a model of one pair says its languages in this order. */
typedef struct pair {
    nlp_text source, target; /* bytes NULL: not said */
} pair;

static pair languages_of_pair(const nlp_task_call *call) {
    nlp_span meta = nlp_pack_pair(call->model->pack, "meta", "languages");
    const char *text = (const char *)meta.bytes, *comma = NULL;
    pair p = {0};
    if (text) comma = memchr(text, ',', meta.n_bytes);
    if (!comma) return p;
    p.source = (nlp_text){text, (size_t)(comma - text)};
    p.target = (nlp_text){comma + 1, meta.n_bytes - p.source.n_bytes - 1};
    while (p.target.n_bytes && *p.target.bytes == ' ') p.target.bytes++, p.target.n_bytes--;
    return p;
}

static nlp_status other_target(const nlp_task_call *call, nlp_text target, const char *has,
                               nlp_error *err) {
    nlp_fail(err, NLP_EINVAL, "model %s does not translate to \"%.*s\"; it has: %s",
             call->model->name, (int)(target.n_bytes < 40 ? target.n_bytes : 40), target.bytes,
             has ? has : "");
    nlp_hint(err, "name another model: nlp pull --list shows those of the catalogue, nlp import "
                  "takes any");
    return NLP_EINVAL;
}

static nlp_status route_by_pair(const nlp_task_call *call, nlp_text target, nlp_error *err) {
    pair p = languages_of_pair(call);
    nlp_text source = call->options->source;
    bool any_source = !source.bytes || nlp_text_equal(source, (nlp_text){"auto", 4});
    if (!p.target.bytes) return NLP_OK; /* the model does not say its languages */
    if (!nlp_text_equal(target, p.target))
        return other_target(call, target,
                            nlp_arena_text(call->scratch, p.target.bytes, p.target.n_bytes), err);
    if (any_source || nlp_text_equal(source, p.source)) return NLP_OK;
    return nlp_fail(err, NLP_EINVAL, "model %s translates from %.*s, not from \"%.*s\"",
                    call->model->name, (int)p.source.n_bytes, p.source.bytes,
                    (int)(source.n_bytes < 40 ? source.n_bytes : 40), source.bytes);
}

/* T5's files name prompts by their languages. */
static nlp_text prompt_of(const nlp_task_call *call, nlp_text source, nlp_text target) {
    const char *key =
        nlp_arena_format(call->scratch, "translation_%.*s_to_%.*s", (int)source.n_bytes,
                         source.bytes, (int)target.n_bytes, target.bytes);
    nlp_span found = key ? nlp_pack_pair(call->model->pack, "prompts", key) : (nlp_span){0};
    return (nlp_text){(const char *)found.bytes, found.n_bytes};
}

static nlp_status source_token(const nlp_task_call *call, route *r, nlp_error *err) {
    nlp_text source = call->options->source;
    if (!source.bytes || nlp_text_equal(source, (nlp_text){"auto", 4})) return NLP_OK;
    r->source = language_token(call, call->model->tokenizer, source);
    if (r->source >= 0) return NLP_OK;
    return nlp_fail(err, NLP_EINVAL, "model %s has no language \"%.*s\"; it has: %s",
                    call->model->name, (int)(source.n_bytes < 40 ? source.n_bytes : 40),
                    source.bytes, languages_of_tokens(call));
}

/* A token in Marian's spelling goes before the text, one of the others begins the answer. */
static nlp_status find_route(const nlp_task_call *call, nlp_text target, route *r, nlp_error *err) {
    nlp_text from = call->options->source;
    nlp_text english = {"en", 2};
    *r = (route){.source = -1};
    if (!from.bytes || nlp_text_equal(from, (nlp_text){"auto", 4})) from = english;
    r->prompt = prompt_of(call, from, target);
    if (r->prompt.bytes) return NLP_OK;
    int32_t token = target.n_bytes ? language_token(call, call->model->tokenizer, target) : -1;
    nlp_text piece =
        token >= 0 ? nlp_tokenizer_piece(call->model->tokenizer, token) : (nlp_text){0};
    if (piece.n_bytes && *piece.bytes == '>') {
        char *prompt = nlp_arena_format(call->scratch, "%.*s ", (int)piece.n_bytes, piece.bytes);
        r->prompt = (nlp_text){prompt, piece.n_bytes + 1};
        return nlp_arena_status(call->scratch, err);
    }
    if (piece.n_bytes && looks_like_language(piece)) {
        r->forced_first = (uint32_t)token + 1;
        return source_token(call, r, err);
    }
    const char *has = languages_of_tokens(call);
    return has && *has ? other_target(call, target, has, err) : route_by_pair(call, target, err);
}

/* ---- Parts ---- */

static nlp_status push_part(nlp_task_call *call, translating *t, part one, nlp_error *err) {
    t->parts = nlp_arena_grow(call->scratch, t->parts, t->n_parts, &t->capacity, sizeof *t->parts);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    t->parts[t->n_parts++] = one;
    return NLP_OK;
}

/* The blank next to the middle of a part that is too long, or its middle. */
static size_t middle_of(const char *text, size_t start, size_t end) {
    size_t middle = start + (end - start) / 2;
    for (size_t off = 0; off < (end - start) / 2; off++) {
        if (text[middle + off] == ' ') return middle + off;
        if (text[middle - off] == ' ') return middle - off;
    }
    while (middle > start + 1 && ((uint8_t)text[middle] & 0xC0) == 0x80) middle--;
    return middle;
}

/* Its ids, where the model takes them whole. */
static nlp_status encode_part(nlp_task_call *call, const translating *t, const route *r,
                              const part *p, nlp_encoding *e, nlp_error *err) {
    const nlp_text *text = &t->texts[2 * p->text];
    size_t n = p->end - p->start, n_prompt = r->prompt.n_bytes;
    nlp_text whole = {text->bytes + p->start, n};
    uint32_t limit = call->model->stack->spec.max_tokens;
    nlp_encode_options options = {.max_tokens = limit, .cache = call->cache, .work = call->work};
    if (n_prompt) {
        char *joined = nlp_arena_push(call->scratch, n_prompt + n, 1);
        NLP_TRY(nlp_arena_status(call->scratch, err));
        memcpy(joined, r->prompt.bytes, n_prompt);
        memcpy(joined + n_prompt, whole.bytes, n);
        whole = (nlp_text){joined, n_prompt + n};
    }
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, &whole, NULL, &options, call->scratch,
                                 call->poll, e, err));
    if (r->source >= 0 && e->n) e->ids[0] = r->source;
    return NLP_OK;
}

/* An answer that is far longer than its source has gone astray; Bergamot's engine has 2.5. */
static uint32_t most_tokens(const nlp_task_call *call, size_t n_source) {
    bool is_bergamot = call->model->writer.decoder->spec.recurrence != 0;
    return (uint32_t)(is_bergamot ? n_source * 5 / 2 : 3 * n_source + 16);
}

/* A part that is too long for the model is halved until it is not. */
static nlp_status add_part(nlp_task_call *call, translating *t, const route *r, part p,
                           nlp_output *output, nlp_error *err) {
    part open[64];
    size_t n_open = 1;
    open[0] = p;
    while (n_open) {
        nlp_encoding e;
        p = open[--n_open];
        NLP_TRY(encode_part(call, t, r, &p, &e, err));
        if (e.truncated && p.end - p.start > 1 && n_open + 2 <= 64) {
            size_t middle = middle_of(t->texts[2 * p.text].bytes, p.start, p.end);
            open[n_open++] = (part){.text = p.text, .start = middle, .end = p.end};
            open[n_open++] = (part){.text = p.text, .start = p.start, .end = middle};
            continue;
        }
        p.draft = NLP_PUSH_ZERO(call->scratch, nlp_draft, 1);
        NLP_TRY(nlp_arena_status(call->scratch, err));
        nlp_text source = {t->texts[2 * p.text].bytes + p.start, p.end - p.start};
        *p.draft = (nlp_draft){.ids = e.ids,
                               .stream = nlp_task_stream(call, &source),
                               .n_ids = e.n,
                               .max_new = most_tokens(call, e.n),
                               .forced_first = r->forced_first};
        output->n_tokens += (uint32_t)e.n;
        call->counters->tokens += e.n;
        NLP_TRY(push_part(call, t, p, err));
    }
    return NLP_OK;
}

static nlp_status add_text(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                           nlp_error *err) {
    translating *t = job;
    nlp_sentence *sentences;
    size_t n, n_parts = t->n_parts;
    route r;
    nlp_status status = find_route(call, t->texts[2 * i + 1], &r, err);
    if (status == NLP_OK)
        status =
            nlp_sentences_find(t->texts[2 * i], call->scratch, call->poll, &sentences, &n, err);
    for (size_t k = 0; status == NLP_OK && k < n; k++)
        status = add_part(call, t, &r, (part){i, sentences[k].start, sentences[k].end, NULL},
                          output, err);
    if (status != NLP_OK) t->n_parts = n_parts;
    return status;
}

/* ---- Results ---- */

static nlp_status write_parts(nlp_task_call *call, translating *t, nlp_error *err) {
    t->drafts = NLP_PUSH(call->scratch, nlp_draft, t->n_parts);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < t->n_parts; i++) t->drafts[i] = *t->parts[i].draft;
    return nlp_task_write(call, &t->manner, t->drafts, t->n_parts, err);
}

/* Parts first .. end - 1 of one text, with what stands before, between and behind them. */
static nlp_status join_parts(nlp_task_call *call, const translating *t, size_t text, size_t first,
                             size_t end, nlp_output *output, nlp_error *err) {
    nlp_text source = t->texts[2 * text];
    size_t n = source.n_bytes, at = 0, used = 0;
    for (size_t i = first; i < end; i++) n += t->drafts[i].text.n_bytes + 1;
    char *out = nlp_arena_push(call->arena, n + 1, 1);
    nlp_value *cells = nlp_task_row(call, output, 1, 1);
    NLP_TRY(nlp_arena_status(call->arena, err));
    for (size_t i = first; i < end; i++) {
        const part *p = &t->parts[i];
        nlp_text written = t->drafts[i].text;
        memcpy(out + used, source.bytes + at, p->start - at);
        used += p->start - at;
        memcpy(out + used, written.bytes, written.n_bytes);
        used += written.n_bytes;
        at = p->end;
    }
    memcpy(out + used, source.bytes + at, source.n_bytes - at);
    used += source.n_bytes - at;
    cells[0] = nlp_value_text((nlp_text){out, used});
    return NLP_OK;
}

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    translating t = {.texts = request->texts};
    NLP_TRY(nlp_task_manner(call, &t.manner, err));
    if (!call->model->writer.encoder)
        return nlp_fail(err, NLP_EUNSUPPORTED, "model %s is no translator", call->model->name);
    if (!t.manner.max_new) t.manner.max_new = 1 << 14; /* each part has its own limit */
    NLP_TRY(nlp_task_each(call, request->n_inputs, add_text, &t, outputs, err));
    NLP_TRY(write_parts(call, &t, err));
    for (size_t i = 0, first = 0, end; i < request->n_inputs; i++, first = end) {
        for (end = first; end < t.n_parts && t.parts[end].text == i;) end++;
        if (outputs[i].status == NLP_OK)
            NLP_TRY(join_parts(call, &t, i, first, end, &outputs[i], err));
    }
    return NLP_OK;
}

static const nlp_task_spec translate_spec = {.struct_size = sizeof translate_spec,
                                             .name = "translate",
                                             .help = "a text in another language",
                                             .operands = text_and_target,
                                             .n_operands = 2,
                                             .columns = one_text,
                                             .n_columns = 1,
                                             .model_setting = "translate_model",
                                             .default_model = "en-*",
                                             .options = translate_options,
                                             .n_options = sizeof translate_options /
                                                          sizeof *translate_options};

const nlp_task_vtable nlp_task_translate = {.struct_size = sizeof(nlp_task_vtable),
                                            .spec = &translate_spec,
                                            .run_batch = run,
                                            .models = NLP_MODEL_CARRIES};
