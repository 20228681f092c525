/* added_tokens.c: tokens that are matched in the given text ("[MASK]") or in the normalised one before
 * anything else, as the reference does: leftmost, the longest of those that begin at one place. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

/* ---- Controls ---- */

/* "<|end|>" and kin, with full-width bars too: some models have their frames of turns as tokens that are
 * not special. */
static bool is_spelt_as_control(const char *text, size_t n) {
    static const char bar[] = "\xEF\xBD\x9C"; /* U+FF5C */
    if (n > 3 && !memcmp(text, "<|", 2) && !memcmp(text + n - 2, "|>", 2)) return true;
    return n > 8 && *text == '<' && !memcmp(text + 1, bar, 3) && text[n - 1] == '>' &&
           !memcmp(text + n - 4, bar, 3);
}

nlp_status find_controls(nlp_tokenizer *t, nlp_error *err) {
    size_t n_bytes = t->header.n_pieces / 8 + 1;
    t->controls = nlp_mem_zalloc(t->mem, n_bytes);
    if (!t->controls) return nlp_mem_fail(t->mem, n_bytes, err);
    for (uint32_t i = 0; i < t->header.n_added; i++) {
        const nlp_added_token *a = &t->added[i];
        if ((a->flags & NLP_ADDED_SPECIAL) ||
            is_spelt_as_control(t->text + a->text_at, a->text_bytes))
            t->controls[a->id / 8] |= (uint8_t)(1u << a->id % 8);
    }
    return NLP_OK;
}

bool token_is_control(const encoder *e, uint32_t id) {
    for (size_t i = 0; i < e->n_controls; i++)
        if (e->controls[i] == (int32_t)id) return true;
    return e->tokenizer->controls[id / 8] >> id % 8 & 1;
}

/* Whether bytes at .. end - 1 of a stretch came from one part of the frame. */
static bool is_in_frame(const encoder *e, const span *s, size_t at, size_t end) {
    size_t from = s->from ? s->from[at] : s->at + at, to = s->from ? s->to[end - 1] : s->at + end;
    size_t low = 0, high = e->n_frame; /* the first part that ends at or behind `to` */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (e->frame[mid].end < to)
            low = mid + 1;
        else
            high = mid;
    }
    return low < e->n_frame && e->frame[low].start <= from;
}

/* A place where a token may begin. */
typedef struct place {
    const encoder *e;
    const span *text;
    size_t at;
    uint32_t kind;
} place;

static bool may_stand(const place *p, const nlp_added_token *a) {
    if ((a->flags & NLP_ADDED_NORMALIZED) != p->kind) return false;
    return !is_control(p->e, a->id) || is_in_frame(p->e, p->text, p->at, p->at + a->text_bytes);
}

/* ---- Matching ---- */

/* Byte k of an added token, or -1 behind its end. */
static int byte_of(const nlp_tokenizer *t, uint32_t index, size_t k) {
    const nlp_added_token *a = &t->added[index];
    return k < a->text_bytes ? (uint8_t)t->text[a->text_at + k] : -1;
}

/* In a sorted table: the range of tokens that begin like the text narrows byte by byte. */
static const nlp_added_token *longest_sorted(const place *p) {
    const nlp_tokenizer *t = p->e->tokenizer;
    const nlp_added_token *best = NULL;
    const char *text = p->text->bytes + p->at;
    size_t n_bytes = p->text->n_bytes - p->at;
    uint32_t first = 0, end = t->header.n_added;
    for (size_t k = 0; k < n_bytes && first < end; k++) {
        uint32_t low = first, high = end;
        for (uint32_t top = end; low < top;) {
            uint32_t mid = low + (top - low) / 2;
            if (byte_of(t, mid, k) < (uint8_t)text[k])
                low = mid + 1;
            else
                top = mid;
        }
        for (uint32_t bottom = low; bottom < high;) {
            uint32_t mid = bottom + (high - bottom) / 2;
            if (byte_of(t, mid, k) <= (uint8_t)text[k])
                bottom = mid + 1;
            else
                high = mid;
        }
        first = low, end = high;
        const nlp_added_token *a = first < end ? &t->added[first] : NULL;
        if (a && a->text_bytes == k + 1 && may_stand(p, a)) best = a;
    }
    return best;
}

static const nlp_added_token *longest_at(const place *p) {
    const nlp_tokenizer *t = p->e->tokenizer;
    const nlp_added_token *best = NULL;
    if (t->header.model != NLP_MODEL_WORDPIECE) return longest_sorted(p);
    for (uint32_t i = 0; i < t->header.n_added; i++) {
        const nlp_added_token *a = &t->added[i];
        if (a->text_bytes <= p->text->n_bytes - p->at &&
            !memcmp(t->text + a->text_at, p->text->bytes + p->at, a->text_bytes) &&
            (!best || a->text_bytes > best->text_bytes) && may_stand(p, a))
            best = a;
    }
    return best;
}

static bool is_word_character(uint32_t c) {
    nlp_unicode_class class = nlp_unicode_class_of(c);
    return class == NLP_UC_LETTER || class == NLP_UC_MARK_NONSPACING ||
           class == NLP_UC_MARK_OTHER || class == NLP_UC_DECIMAL || class == NLP_UC_NUMBER_OTHER ||
           c == '_';
}

/* Start of the character that ends at `at`. */
static size_t previous(const char *text, size_t at) {
    do at--;
    while (at > 0 && ((uint8_t)text[at] & 0xC0) == 0x80);
    return at;
}

/* single_word: no letter, mark or digit on either side. */
static bool stands_alone(const char *text, size_t start, size_t end, size_t n_bytes) {
    uint32_t c;
    if (start > 0) {
        size_t before = previous(text, start);
        nlp_utf8_decode(text + before, start - before, &c);
        if (is_word_character(c)) return false;
    }
    if (end >= n_bytes) return true;
    nlp_utf8_decode(text + end, n_bytes - end, &c);
    return !is_word_character(c);
}

/* A token with lstrip or rstrip takes the white space beside it into its own range. */
static void strip(const char *text, size_t from, size_t n_bytes, uint32_t flags, size_t *start,
                  size_t *end) {
    uint32_t c;
    while ((flags & NLP_ADDED_LSTRIP) && *start > from) {
        size_t before = previous(text, *start);
        nlp_utf8_decode(text + before, *start - before, &c);
        if (!nlp_unicode_white_space(c)) break;
        *start = before;
    }
    while ((flags & NLP_ADDED_RSTRIP) && *end < n_bytes) {
        size_t n = nlp_utf8_decode(text + *end, n_bytes - *end, &c);
        if (!nlp_unicode_white_space(c)) break;
        *end += n;
    }
}

/* Most bytes begin no added token, and a table of first bytes says so. The next place in at .. end - 1
 * where one may begin, or end. */
static size_t next_start(const nlp_tokenizer *t, const char *text, size_t at, size_t end) {
    if (t->only_start >= 0) {
        const char *found = memchr(text + at, t->only_start, end - at);
        return found ? (size_t)(found - text) : end;
    }
    while (at < end && !t->added_starts[(uint8_t)text[at]]) at++;
    return at;
}

/* Whether a token of `kind` begins at `at` in what stands behind `from`. */
static bool match_at(const place *p, size_t from, added_match *match) {
    const nlp_added_token *token = longest_at(p);
    const span *text = p->text;
    if (!token) return false;
    size_t at = p->at, end = at + token->text_bytes;
    if ((token->flags & NLP_ADDED_SINGLE_WORD) &&
        !stands_alone(text->bytes, at, end, text->n_bytes))
        return false;
    *match = (added_match){.start = at, .end = end, .token = token};
    strip(text->bytes, from, text->n_bytes, token->flags, &match->start, &match->end);
    return true;
}

nlp_status added_token_find(const encoder *e, const span *text, size_t from, uint32_t kind,
                            added_match *match) {
    enum { STEP = 1 << 16, WORK_PER_BYTE = 16 };
    place p = {.e = e, .text = text, .kind = kind};
    *match = (added_match){0};
    for (size_t first = from, end; first < text->n_bytes; first = end) {
        end = text->n_bytes - first > STEP ? first + STEP : text->n_bytes;
        for (p.at = first; (p.at = next_start(e->tokenizer, text->bytes, p.at, end)) < end; p.at++)
            if (match_at(&p, from, match)) return NLP_OK;
        NLP_TRY(nlp_poll_work(e->poll, (end - first) * WORK_PER_BYTE, e->err));
    }
    return NLP_OK;
}
