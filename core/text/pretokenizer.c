/* pretokenizer.c: a normalised text cut into words by the stages of the tokenizer's table; each stage
 * hands its words to the next, the last one to the model. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

#define BLANK_MARK       "\xE2\x96\x81" /* U+2581 */
#define BLANK_MARK_BYTES 3

static nlp_status stage(encoder *e, uint32_t index, span text);

static bool is_full(const encoder *e) {
    return e->tokens->limit && e->tokens->n > e->tokens->limit;
}

/* ---- Words that are not a stretch of the text ---- */

static nlp_status meta_reserve(encoder *e, size_t n) {
    if (n <= e->meta_capacity) return NLP_OK;
    size_t capacity = n + n / 2;
    e->meta_bytes = NLP_PUSH(e->arena, char, capacity);
    e->meta_from = NLP_PUSH(e->arena, uint32_t, capacity);
    e->meta_to = NLP_PUSH(e->arena, uint32_t, capacity);
    e->meta_capacity = capacity;
    return nlp_arena_status(e->arena, e->err);
}

/* Bytes of the given text that byte i of a span came from; for a stretch of it, the whole
 * character. */
static void origin(const encoder *e, const span *s, size_t i, uint32_t *from, uint32_t *to) {
    if (s->from) {
        *from = s->from[i], *to = s->to[i];
        return;
    }
    size_t first = s->at + i, end = first + 1;
    const uint8_t *bytes = (const uint8_t *)e->text;
    while (first > s->at && (bytes[first] & 0xC0) == 0x80) first--;
    while (end < s->at + s->n_bytes && (bytes[end] & 0xC0) == 0x80) end++;
    *from = (uint32_t)first, *to = (uint32_t)end;
}

/* Bytes first .. end - 1 of a span to place n of the rewritten word, with where they came from. */
static void copy_part(encoder *e, const span *s, size_t first, size_t end, size_t n) {
    size_t n_bytes = end - first;
    memcpy(e->meta_bytes + n, s->bytes + first, n_bytes);
    if (s->from) {
        memcpy(e->meta_from + n, s->from + first, n_bytes * sizeof *s->from);
        memcpy(e->meta_to + n, s->to + first, n_bytes * sizeof *s->to);
        return;
    }
    for (size_t i = first, next; i < end; i = next) {
        uint32_t code;
        next = i + nlp_utf8_decode(s->bytes + i, end - i, &code);
        for (size_t k = i; k < next; k++, n++) {
            e->meta_from[n] = (uint32_t)(s->at + i);
            e->meta_to[n] = (uint32_t)(s->at + next);
        }
    }
}

/* A text of our own with the place of byte i of the span. */
static size_t put_text(encoder *e, const span *s, size_t i, const char *text, size_t n) {
    for (; *text; text++, n++) {
        e->meta_bytes[n] = *text;
        origin(e, s, i, &e->meta_from[n], &e->meta_to[n]);
    }
    return n;
}

static size_t count_blanks(const span *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_bytes; i++) n += s->bytes[i] == ' ';
    return n;
}

/* The word with `prefix` before it and, with `marks`, U+2581 in place of each blank. */
static nlp_status rewrite(encoder *e, span s, const char *prefix, bool marks, span *out) {
    size_t n, room;
    if (nlp_mul_overflows(marks ? count_blanks(&s) : 0, BLANK_MARK_BYTES, &room) ||
        nlp_add_overflows(room, s.n_bytes, &room) || nlp_add_overflows(room, strlen(prefix), &room))
        return nlp_fail(e->err, NLP_ELIMIT, "a text is too long");
    NLP_TRY(meta_reserve(e, room));
    n = put_text(e, &s, 0, prefix, 0);
    for (size_t at = 0, end; at < s.n_bytes; at = end + 1) {
        const char *blank = marks ? memchr(s.bytes + at, ' ', s.n_bytes - at) : NULL;
        end = blank ? (size_t)(blank - s.bytes) : s.n_bytes;
        copy_part(e, &s, at, end, n);
        n += end - at;
        if (blank) n = put_text(e, &s, end, BLANK_MARK, n);
        NLP_TRY(nlp_poll_work(e->poll, 64 + 32 * (end - at), e->err));
    }
    *out = (span){.bytes = e->meta_bytes, .n_bytes = n, .from = e->meta_from, .to = e->meta_to};
    return NLP_OK;
}

/* ---- Stages ---- */

static nlp_status by_pattern(encoder *e, uint32_t index, span s) {
    uint32_t pattern = e->tokenizer->splits[index].flags;
    for (size_t at = 0, end; at < s.n_bytes && !is_full(e); at = end) {
        bool is_match;
        end = scan_piece(pattern, s.bytes, s.n_bytes, at, &is_match);
        NLP_TRY(stage(e, index + 1, span_part(s, at, end)));
    }
    return NLP_OK;
}

static bool begins_with_mark(span s, size_t at) {
    return s.n_bytes - at >= BLANK_MARK_BYTES &&
           !memcmp(s.bytes + at, BLANK_MARK, BLANK_MARK_BYTES);
}

/* Where the next mark at or behind `at` begins, or the end. */
static size_t next_mark(span s, size_t at) {
    while (at < s.n_bytes) {
        const char *first = memchr(s.bytes + at, BLANK_MARK[0], s.n_bytes - at);
        if (!first) break;
        at = (size_t)(first - s.bytes);
        if (begins_with_mark(s, at)) return at;
        at++;
    }
    return s.n_bytes;
}

/* U+2581 for blanks and, by the scheme, before the text; then a cut before each. */
static nlp_status metaspace(encoder *e, uint32_t index, span s) {
    uint32_t flags = e->tokenizer->splits[index].flags, from, to;
    if (!s.n_bytes) return NLP_OK;
    origin(e, &s, 0, &from, &to);
    bool wanted = (flags & NLP_METASPACE_ALWAYS) || ((flags & NLP_METASPACE_FIRST) && !from);
    bool has = s.bytes[0] == ' ' || begins_with_mark(s, 0);
    NLP_TRY(rewrite(e, s, wanted && !has ? BLANK_MARK : "", true, &s));
    if (!(flags & NLP_METASPACE_SPLIT)) return stage(e, index + 1, s);
    for (size_t at = 0, end; at < s.n_bytes && !is_full(e); at = end) {
        end = next_mark(s, at + 1);
        NLP_TRY(stage(e, index + 1, span_part(s, at, end)));
    }
    return NLP_OK;
}

static nlp_status prefix(encoder *e, uint32_t index, span s) {
    if (s.n_bytes && s.bytes[0] != ' ') NLP_TRY(rewrite(e, s, " ", false, &s));
    return stage(e, index + 1, s);
}

static nlp_status after_blanks(encoder *e, uint32_t index, span s) {
    for (size_t at = 0, end; at < s.n_bytes && !is_full(e); at = end) {
        const char *blank = memchr(s.bytes + at, ' ', s.n_bytes - at);
        end = blank ? (size_t)(blank - s.bytes) + 1 : s.n_bytes;
        NLP_TRY(stage(e, index + 1, span_part(s, at, end)));
    }
    return NLP_OK;
}

/* What a stage that goes by single characters does with one. */
typedef enum fate { JOIN, ALONE, DROP, OTHER /* a run of its own kind */ } fate;

static bool is_punctuation(uint32_t c) {
    if (c < 128)
        return c > 32 && c < 127 &&
               !((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'));
    return nlp_unicode_class_of(c) == NLP_UC_PUNCTUATION;
}

static bool is_number(uint32_t c) {
    if (c < 128) return c >= '0' && c <= '9';
    nlp_unicode_class class = nlp_unicode_class_of(c);
    return class == NLP_UC_DECIMAL || class == NLP_UC_NUMBER_OTHER;
}

static fate fate_of(const nlp_text_rule *rule, uint32_t c) {
    switch (rule->kind) {
    case NLP_SPLIT_BERT:
        return nlp_unicode_white_space(c) ? DROP : is_punctuation(c) ? ALONE : JOIN;
    case NLP_SPLIT_SPACES:
        return nlp_unicode_white_space(c) ? DROP : JOIN;
    case NLP_SPLIT_PUNCTUATION:
        return is_punctuation(c) ? ALONE : JOIN;
    case NLP_SPLIT_WORDS:
        return nlp_unicode_white_space(c) ? DROP : nlp_unicode_word(c) ? JOIN : OTHER;
    default: /* NLP_SPLIT_DIGITS */
        return !is_number(c) ? JOIN : rule->flags & 1 ? ALONE : OTHER;
    }
}

void find_fates(nlp_tokenizer *t) {
    for (uint32_t i = 0; i < t->extension.n_splits; i++)
        for (uint32_t c = 0; c < 128; c++) t->fates[i][c] = (uint8_t)fate_of(&t->splits[i], c);
}

/* Behind the characters of ASCII from `at` on that have the fate `now`. */
static size_t end_of_run(const span *s, size_t at, const uint8_t *fates, fate now) {
    while (at < s->n_bytes && (uint8_t)s->bytes[at] < 128 && fates[(uint8_t)s->bytes[at]] == now)
        at++;
    return at;
}

static nlp_status by_characters(encoder *e, uint32_t index, span s) {
    const nlp_text_rule *rule = &e->tokenizer->splits[index];
    const uint8_t *fates = e->tokenizer->fates[index];
    size_t first = 0;
    fate before = DROP;
    for (size_t at = 0, end; at <= s.n_bytes && !is_full(e); at = end) {
        uint32_t c = 0;
        fate now = DROP;
        end = at + 1;
        if (at < s.n_bytes) {
            end = at + nlp_utf8_decode(s.bytes + at, s.n_bytes - at, &c);
            now = c < 128 ? (fate)fates[c] : fate_of(rule, c);
            if (now != ALONE) end = end_of_run(&s, end, fates, now);
        }
        if (now == before && now != ALONE) continue;
        if (before != DROP && at > first) NLP_TRY(stage(e, index + 1, span_part(s, first, at)));
        first = at;
        before = now;
    }
    return NLP_OK;
}

static nlp_status stage(encoder *e, uint32_t index, span s) {
    const nlp_tokenizer *t = e->tokenizer;
    if (index == t->extension.n_splits) {
        NLP_TRY(nlp_poll_work(e->poll, 64 + 32 * s.n_bytes, e->err));
        return s.n_bytes ? word_push(e, s) : NLP_OK;
    }
    switch (t->splits[index].kind) {
    case NLP_SPLIT_PATTERN:
        return by_pattern(e, index, s);
    case NLP_SPLIT_METASPACE:
        return metaspace(e, index, s);
    case NLP_SPLIT_PREFIX:
        return prefix(e, index, s);
    case NLP_SPLIT_AFTER_BLANKS:
        return after_blanks(e, index, s);
    default:
        return by_characters(e, index, s);
    }
}

nlp_status split_text(encoder *e, span text) {
    return stage(e, 0, text);
}
