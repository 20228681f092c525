/* added_tokens.c: tokens that are matched in the given text ("[MASK]") or in the normalised one before
 * anything else, as the reference does: leftmost, the longest of those that begin at one place. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

/* Byte k of an added token, or -1 behind its end. */
static int byte_of(const nlp_tokenizer *t, uint32_t index, size_t k) {
    const nlp_added_token *a = &t->added[index];
    return k < a->text_bytes ? (uint8_t)t->text[a->text_at + k] : -1;
}

/* In a sorted table: the range of tokens that begin like the text narrows byte by byte. */
static const nlp_added_token *longest_sorted(const nlp_tokenizer *t, const char *text,
                                             size_t n_bytes, uint32_t kind) {
    const nlp_added_token *best = NULL;
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
        if (a && a->text_bytes == k + 1 && (a->flags & NLP_ADDED_NORMALIZED) == kind) best = a;
    }
    return best;
}

static const nlp_added_token *longest_at(const nlp_tokenizer *t, const char *text, size_t n_bytes,
                                         uint32_t kind) {
    const nlp_added_token *best = NULL;
    if (t->header.model != NLP_MODEL_WORDPIECE) return longest_sorted(t, text, n_bytes, kind);
    for (uint32_t i = 0; i < t->header.n_added; i++) {
        const nlp_added_token *a = &t->added[i];
        if ((a->flags & NLP_ADDED_NORMALIZED) == kind && a->text_bytes <= n_bytes &&
            !memcmp(t->text + a->text_at, text, a->text_bytes) &&
            (!best || a->text_bytes > best->text_bytes))
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
static bool match_at(const nlp_tokenizer *t, const nlp_text *text, size_t from, size_t at,
                     uint32_t kind, added_match *match) {
    const nlp_added_token *token = longest_at(t, text->bytes + at, text->n_bytes - at, kind);
    if (!token) return false;
    size_t end = at + token->text_bytes;
    if ((token->flags & NLP_ADDED_SINGLE_WORD) &&
        !stands_alone(text->bytes, at, end, text->n_bytes))
        return false;
    *match = (added_match){.start = at, .end = end, .token = token};
    strip(text->bytes, from, text->n_bytes, token->flags, &match->start, &match->end);
    return true;
}

nlp_status added_token_find(const nlp_tokenizer *t, const nlp_text *text, size_t from,
                            uint32_t kind, added_match *match, nlp_poll *poll, nlp_error *err) {
    enum { STEP = 1 << 16, WORK_PER_BYTE = 16 };
    *match = (added_match){0};
    for (size_t first = from, end; first < text->n_bytes; first = end) {
        end = text->n_bytes - first > STEP ? first + STEP : text->n_bytes;
        for (size_t at = first; (at = next_start(t, text->bytes, at, end)) < end; at++)
            if (match_at(t, text, from, at, kind, match)) return NLP_OK;
        NLP_TRY(nlp_poll_work(poll, (end - first) * WORK_PER_BYTE, err));
    }
    return NLP_OK;
}
