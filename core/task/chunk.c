/* chunk.c: a text in pieces of at most so many tokens. The text is cut into atoms, which stay whole where
 * they can: sentences, paragraphs, or tokens. What an atom needs is first guessed from the tokens of the
 * whole text; each piece is then tokenized alone, since that is how it will be used and a token may look
 * different without its neighbours. */
#include <string.h>

#include "base/utf8.h"
#include "task/task.h"
#include "text/sentences.h"

enum { USUAL_OVERLAP = 32 };

static const nlp_column one_text[] = {{"text", NLP_TYPE_TEXT}};
static const nlp_column chunk_columns[] = {{"ord", NLP_TYPE_INTEGER},
                                           {"chunk", NLP_TYPE_TEXT},
                                           {"tokens", NLP_TYPE_INTEGER},
                                           {"start_pos", NLP_TYPE_INTEGER},
                                           {"end_pos", NLP_TYPE_INTEGER}};
static const nlp_option_spec chunk_options[] = {
    {"max_tokens", NLP_TYPE_INTEGER, NULL, 1, 1048576, "256",
     "most tokens of a chunk, special ones not counted"},
    {"overlap", NLP_TYPE_INTEGER, NULL, 0, 1048576, NULL,
     "most tokens of the chunk before that a chunk begins with (default: 32, or an eighth)"},
    {"by", NLP_TYPE_TEXT, "sentence|paragraph|token", 0, 0, "sentence",
     "what stays whole where it fits"},
    NLP_OPTION_ON_ERROR};

typedef struct atom {
    size_t start;    /* byte; it goes up to the next atom, its last one to the end of the text */
    size_t n_tokens; /* guessed */
    bool breaks;     /* no chunk has this one and the one before */
} atom;

typedef struct piece { /* of the text, without blanks around it */
    size_t start, end, n_tokens;
} piece;

typedef struct chunking {
    nlp_task_call *call;
    nlp_text text;
    nlp_encoding whole;
    atom *atoms;
    size_t n, capacity;
    bool breaks; /* the next atom does */
    piece *chunks;
    size_t n_chunks, chunk_capacity;
    nlp_encoding alone; /* of the last piece that was counted, in `counting` */
    nlp_arena counting;
} chunking;

/* ---- Characters ---- */

static bool begins_character(const chunking *c, size_t at) {
    return ((uint8_t)c->text.bytes[at] & 0xC0) != 0x80;
}

static bool is_blank(const chunking *c, size_t at, size_t *length) {
    uint32_t code;
    *length = nlp_utf8_decode(c->text.bytes + at, c->text.n_bytes - at, &code);
    return nlp_unicode_white_space(code);
}

static size_t past_blanks(const chunking *c, size_t at, size_t end) {
    for (size_t length; at < end && is_blank(c, at, &length);) at += length;
    return at;
}

static size_t before(const chunking *c, size_t at) { /* where the character before begins */
    do at--;
    while (!begins_character(c, at));
    return at;
}

static size_t without_blanks(const chunking *c, size_t start, size_t end) {
    for (size_t length; end > start && is_blank(c, before(c, end), &length);) end = before(c, end);
    return end;
}

/* ---- Atoms ---- */

/* A part of the text and its tokens first .. last - 1. */
typedef struct part {
    size_t start, end, first, last;
} part;

static size_t tokens_until(const chunking *c, size_t token, size_t byte) {
    while (token < c->whole.n && c->whole.start[token] < byte) token++;
    return token;
}

static nlp_status add_atom(chunking *c, size_t start, size_t n_tokens, nlp_error *err) {
    nlp_arena *scratch = c->call->scratch;
    c->atoms = nlp_arena_grow(scratch, c->atoms, c->n, &c->capacity, sizeof *c->atoms);
    NLP_TRY(nlp_arena_status(scratch, err));
    c->atoms[c->n++] = (atom){start, n_tokens, c->breaks};
    c->breaks = false;
    return nlp_poll_work(c->call->poll, 64, err);
}

/* An atom begins where a token does, with what is no blank: blanks go with the atom before. */
static nlp_status add_tokens(chunking *c, part p, nlp_error *err) {
    size_t start = p.start, first = p.first;
    for (size_t i = p.first + 1; i < p.last; i++) {
        size_t next = c->whole.start[i];
        NLP_TRY(nlp_poll_work(c->call->poll, 16, err));
        if (next <= start || next >= p.end || !begins_character(c, next)) continue;
        next = past_blanks(c, next, p.end);
        if (next == p.end) break;
        NLP_TRY(add_atom(c, start, i - first, err));
        start = next, first = i;
    }
    return add_atom(c, start, p.last - first, err);
}

static nlp_status add_sentences(chunking *c, part p, nlp_error *err);

/* What is too long as a whole is cut into smaller parts, which share no chunk with their neighbours. */
static nlp_status add_part(chunking *c, part p, nlp_status (*cut)(chunking *, part, nlp_error *),
                           nlp_error *err) {
    bool fits = p.last - p.first <= c->call->options->max_tokens;
    if (fits) return add_atom(c, p.start, p.last - p.first, err);
    c->breaks = true;
    NLP_TRY(cut(c, p, err));
    c->breaks = true;
    return NLP_OK;
}

static nlp_status add_sentences(chunking *c, part p, nlp_error *err) {
    nlp_sentence *sentences;
    size_t n, last = p.first;
    nlp_text text = {c->text.bytes + p.start, p.end - p.start};
    NLP_TRY(nlp_sentences_find(text, c->call->scratch, c->call->poll, &sentences, &n, err));
    for (size_t i = 0; i < n; i++) {
        size_t start = p.start + sentences[i].start, end = p.start + sentences[i].end;
        size_t first = tokens_until(c, last, start);
        last = tokens_until(c, first, end);
        NLP_TRY(add_part(c, (part){start, end, first, last}, add_tokens, err));
    }
    return NLP_OK;
}

/* Whether the blanks from `at` on, up to *behind, hold a line without anything in it. */
static bool blank_line(const chunking *c, size_t at, size_t end, size_t *behind) {
    size_t n_ends = 0, length;
    for (*behind = at; *behind < end && is_blank(c, *behind, &length); *behind += length) {
        uint32_t code;
        nlp_utf8_decode(c->text.bytes + *behind, end - *behind, &code);
        bool next_ends = *behind + 1 < end && c->text.bytes[*behind + 1] == '\n';
        n_ends += code == '\n' || (code == '\r' && !next_ends) || code == 0x2028;
        if (code == 0x2029) n_ends += 2; /* the separator of paragraphs */
    }
    return n_ends > 1;
}

static nlp_status add_paragraphs(chunking *c, part p, nlp_error *err) {
    size_t start = p.start, last = p.first;
    for (size_t at = p.start, behind, length; at < p.end; at = behind) {
        NLP_TRY(nlp_poll_work(c->call->poll, 64, err));
        bool cuts = blank_line(c, at, p.end, &behind);
        if (behind == at) behind += is_blank(c, at, &length) ? 0 : length;
        if (!cuts && behind < p.end) continue;
        size_t end = cuts ? at : p.end, first = tokens_until(c, last, start);
        last = tokens_until(c, first, end);
        NLP_TRY(add_part(c, (part){start, end, first, last}, add_sentences, err));
        start = behind;
    }
    return NLP_OK;
}

static nlp_status find_atoms(chunking *c, nlp_error *err) {
    static nlp_status (*const cuts[])(chunking *, part,
                                      nlp_error *) = {[NLP_BY_SENTENCE] = add_sentences,
                                                      [NLP_BY_PARAGRAPH] = add_paragraphs,
                                                      [NLP_BY_TOKEN] = add_tokens};
    part p = {.start = past_blanks(c, 0, c->text.n_bytes), .last = c->whole.n};
    p.end = without_blanks(c, p.start, c->text.n_bytes);
    NLP_TRY(nlp_poll_work(c->call->poll, c->text.n_bytes << 4, err));
    return p.start < p.end ? cuts[c->call->options->by](c, p, err) : NLP_OK;
}

/* ---- Chunks ---- */

static piece piece_of(const chunking *c, size_t first, size_t end) {
    size_t start = c->atoms[first].start;
    size_t behind = end < c->n ? c->atoms[end].start : c->text.n_bytes;
    start = past_blanks(c, start, behind);
    return (piece){.start = start, .end = without_blanks(c, start, behind)};
}

static nlp_status count(chunking *c, piece *p, nlp_error *err) {
    nlp_text text = {c->text.bytes + p->start, p->end - p->start};
    nlp_encode_options options = {.no_special_tokens = true, .work = c->call->work};
    nlp_arena_reset(&c->counting);
    NLP_TRY(nlp_tokenizer_encode(c->call->model->tokenizer, &text, NULL, &options, &c->counting,
                                 c->call->poll, &c->alone, err));
    p->n_tokens = c->alone.n;
    return nlp_poll_work(c->call->poll, 1 << 10, err);
}

/* As much of one atom as fits. Its rest stays the atom. */
static nlp_status cut_atom(chunking *c, atom *a, piece *p, nlp_error *err) {
    size_t most = c->call->options->max_tokens, length;
    while (p->n_tokens > most) {
        is_blank(c, p->start, &length);
        if (length == p->end - p->start)
            return nlp_fail(err, NLP_ELIMIT, "one character has %zu tokens, max_tokens is %zu",
                            p->n_tokens, most);
        size_t behind = p->start + c->alone.start[most];
        while (behind > p->start && behind < p->end && !begins_character(c, behind)) behind--;
        if (behind == p->start || behind >= p->end) behind = p->start + length;
        a->start = behind;
        *p = (piece){.start = p->start, .end = without_blanks(c, p->start, behind)};
        NLP_TRY(count(c, p, err));
    }
    return NLP_OK;
}

/* From the atom `first` on; those before `done` were in a chunk already, and one more has to be. */
static size_t reach(const chunking *c, size_t first, size_t done) {
    size_t sum = 0, end = done + 1;
    for (size_t i = first; i < end; i++) sum += c->atoms[i].n_tokens;
    while (end < c->n && !c->atoms[end].breaks &&
           sum + c->atoms[end].n_tokens <= c->call->options->max_tokens)
        sum += c->atoms[end++].n_tokens;
    return end;
}

/* The usual 32 tokens would fill short chunks. */
static uint32_t overlap_of(const nlp_task_options *o) {
    uint32_t eighth = o->max_tokens / 8;
    return o->has_overlap ? o->overlap : eighth < USUAL_OVERLAP ? eighth : USUAL_OVERLAP;
}

/* Where the chunk begins whose first new atom is `done`: as many atoms before as the overlap and that one
 * leave room for. */
static size_t step_back(const chunking *c, size_t first, size_t done) {
    const nlp_task_options *o = c->call->options;
    size_t needs = c->atoms[done].n_tokens, at = done;
    size_t room = needs < o->max_tokens ? o->max_tokens - needs : 0, overlap = overlap_of(o);
    if (overlap < room) room = overlap;
    for (; at > first + 1 && !c->atoms[at].breaks && c->atoms[at - 1].n_tokens <= room; at--)
        room -= c->atoms[at - 1].n_tokens;
    return at;
}

/* What was guessed too low gives way: new atoms, then the overlap, then the end of the only atom. */
static nlp_status settle(chunking *c, size_t *first, size_t *done, piece *p, nlp_error *err) {
    size_t end = reach(c, *first, *done), most = c->call->options->max_tokens;
    for (;;) {
        *p = piece_of(c, *first, end);
        NLP_TRY(count(c, p, err));
        size_t excess = p->n_tokens > most ? p->n_tokens - most : 0;
        if (!excess) break;
        if (end == *done + 1 && *first == *done) return cut_atom(c, &c->atoms[*done], p, err);
        if (end == *done + 1) ++*first;
        while (excess && end > *done + 1) {
            size_t gone = c->atoms[--end].n_tokens;
            excess -= gone < excess ? gone : excess;
        }
    }
    *done = end;
    return NLP_OK;
}

static nlp_status find_chunks(chunking *c, nlp_error *err) {
    nlp_arena *scratch = c->call->scratch;
    for (size_t first = 0, done = 0; done < c->n;) {
        piece p;
        size_t before_it = done;
        NLP_TRY(settle(c, &first, &done, &p, err));
        c->chunks =
            nlp_arena_grow(scratch, c->chunks, c->n_chunks, &c->chunk_capacity, sizeof *c->chunks);
        NLP_TRY(nlp_arena_status(scratch, err));
        c->chunks[c->n_chunks++] = p;
        if (done == c->n) break;
        first = done == before_it ? done : step_back(c, first, done);
    }
    return NLP_OK;
}

/* ---- The task ---- */

/* Starts rise from chunk to chunk, and so do ends: a ruler for each. */
static nlp_status put_chunks(const chunking *c, nlp_output *output, nlp_error *err) {
    nlp_ruler starts = {.text = c->text}, ends = {.text = c->text};
    if (c->n_chunks > UINT32_MAX)
        return nlp_fail(err, NLP_ELIMIT, "%zu chunks of one text are too many", c->n_chunks);
    nlp_value *cells = nlp_task_row(c->call, output, (uint32_t)c->n_chunks, 5);
    NLP_TRY(nlp_arena_status(c->call->arena, err));
    for (size_t i = 0; i < c->n_chunks; i++, cells += 5) {
        const piece *p = &c->chunks[i];
        cells[0] = nlp_value_integer((int64_t)i + 1);
        cells[1] = nlp_value_text((nlp_text){c->text.bytes + p->start, p->end - p->start});
        cells[2] = nlp_value_integer((int64_t)p->n_tokens);
        cells[3] = nlp_value_integer(nlp_characters_before(&starts, p->start) + 1);
        cells[4] = nlp_value_integer(nlp_characters_before(&ends, p->end));
        NLP_TRY(nlp_poll_work(c->call->poll, 16 * (p->end - p->start), err));
    }
    return NLP_OK;
}

static nlp_status chunk_one(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                            nlp_error *err) {
    chunking c = {.call = call, .text = ((const nlp_request *)job)->texts[i]};
    nlp_encode_options options = {
        .no_special_tokens = true, .cache = call->cache, .work = call->work};
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, &c.text, NULL, &options, call->scratch,
                                 call->poll, &c.whole, err));
    nlp_task_count_tokens(call, &c.whole, output);
    NLP_TRY(find_atoms(&c, err));
    /* what counting leaves is gone with the next piece: with a large overlap it is much more than the
     * text */
    nlp_arena_init(&c.counting, call->scratch->mem);
    nlp_status status = find_chunks(&c, err);
    nlp_arena_deinit(&c.counting);
    return status == NLP_OK ? put_chunks(&c, output, err) : status;
}

static nlp_status run(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                      nlp_error *err) {
    const nlp_task_options *o = call->options;
    nlp_request *job = NLP_PUSH(call->scratch, nlp_request, 1);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    *job = *request;
    if (overlap_of(o) >= o->max_tokens)
        return nlp_fail(err, NLP_EINVAL,
                        "overlap is %u, it must be less than max_tokens, which is %u", o->overlap,
                        o->max_tokens);
    return nlp_task_each(call, request->n_inputs, chunk_one, job, outputs, err);
}

static const nlp_task_spec chunk_spec = {.struct_size = sizeof(nlp_task_spec),
                                         .name = "chunk",
                                         .help = "a text in pieces of limited tokens",
                                         .operands = one_text,
                                         .n_operands = 1,
                                         .columns = chunk_columns,
                                         .n_columns = 5,
                                         .returns_rows = true,
                                         .tunable = "max_tokens",
                                         .model_setting = "embed_model",
                                         .default_model = "minilm",
                                         .options = chunk_options,
                                         .n_options = sizeof chunk_options / sizeof *chunk_options};

const nlp_task_vtable nlp_task_chunk = {.struct_size = sizeof(nlp_task_vtable),
                                        .spec = &chunk_spec,
                                        .run_batch = run,
                                        .models = NLP_MODEL_ANY};
