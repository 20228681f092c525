/* query_words.c: what a query says, piece by piece, and which pieces name something; names in documents. */
#include <string.h>

#include "base/utf8.h"
#include "search/search.h"

enum { DIGITS = 4, CHARACTERS = 4 }; /* of a number, and of a name in parts, at least */

typedef struct features {
    size_t n_letters, n_digits;
    size_t n_parts;   /* letters or digits, and before them punctuation that is no hyphen */
    bool has_capital; /* behind a small letter */
    bool has_underscore;
    bool
        has_sign; /* of a flag, a path, a variable or an account before it: "--dry-run", "/tmp", "$HOME", "@ada" */
    bool has_others; /* than letters and digits */
} features;

/* The next character from `at` on; 0 at the end. */
static size_t next_character(nlp_text text, size_t at, uint32_t *code) {
    return at < text.n_bytes ? nlp_utf8_decode(text.bytes + at, text.n_bytes - at, code) : 0;
}

static bool has_sign_before(nlp_text query, size_t at) {
    const char *signs = "/\\@#$%";
    if (at >= 2 && query.bytes[at - 1] == '-' && query.bytes[at - 2] == '-') return true;
    return at && query.bytes[at - 1] && strchr(signs, query.bytes[at - 1]);
}

static features features_of(nlp_text query, const nlp_query_word *w) {
    features f = {.has_sign = has_sign_before(query, w->start)};
    bool was_small = false, was_break = false;
    uint32_t code = 0;
    for (size_t at = w->start, n; at < w->end && (n = next_character(query, at, &code)); at += n) {
        bool is_digit = nlp_unicode_class_of(code) == NLP_UC_DECIMAL;
        bool is_word = nlp_unicode_word(code) && code != '_';
        f.n_digits += is_digit;
        f.n_letters += is_word && !is_digit;
        f.has_others = f.has_others || !is_word;
        f.has_underscore = f.has_underscore || code == '_';
        f.n_parts += is_word && was_break;
        f.has_capital = f.has_capital || (was_small && nlp_unicode_upper_case(code));
        was_small = nlp_unicode_lower_case(code);
        was_break = code < 128 && code && strchr(".:/\\#@~+", (int)code);
    }
    return f;
}

/* "boundary-layer", "i.e", "3.5" and "and/or" name nothing. */
static bool is_name(const features *f) {
    size_t n = f->n_letters + f->n_digits;
    if (f->has_underscore || f->has_capital || f->n_digits >= DIGITS) return n > 0;
    if (f->has_sign && f->n_letters > 1) return true;
    if (f->n_digits) return f->n_letters || f->n_parts > 1 || (f->n_parts && n >= CHARACTERS);
    return f->n_parts && n > CHARACTERS + CHARACTERS / 2;
}

static nlp_word_kind kind_of(nlp_text query, const nlp_query_word *w) {
    features f = features_of(query, w);
    if (is_name(&f)) return NLP_WORD_NAME;
    if (f.n_digits > 1 && !f.n_letters) return NLP_WORD_NUMBER;
    return f.n_digits || f.has_others ? NLP_WORD_MIXED : NLP_WORD_LETTERS;
}

static bool is_known(nlp_text query, const nlp_query_word *words, size_t n, nlp_query_word w) {
    nlp_text text = {query.bytes + w.start, w.end - w.start};
    for (size_t i = 0; i < n; i++)
        if (nlp_text_equal(text,
                           (nlp_text){query.bytes + words[i].start, words[i].end - words[i].start}))
            return true;
    return false;
}

static bool is_digit_at(nlp_text text, size_t at) {
    return at < text.n_bytes && text.bytes[at] >= '0' && text.bytes[at] <= '9';
}

/* Signs that stand between pieces though no blank does; a comma within a number does not. */
static bool separates(nlp_text text, size_t at, uint32_t code) {
    if (!code || nlp_unicode_white_space(code)) return true;
    if (code == ',') return !at || !is_digit_at(text, at - 1) || !is_digit_at(text, at + 1);
    return code < 128 && strchr("=()[]{}<>;\"`|*!?", (int)code);
}

/* The next piece, from its first letter or digit to its last; empty at the end. */
static nlp_query_word next_piece(nlp_text text, size_t *at) {
    nlp_query_word w = {0};
    uint32_t code = 0;
    for (size_t n; (n = next_character(text, *at, &code)); *at += n) {
        bool is_end = separates(text, *at, code);
        if (is_end && w.end) return w;
        if (is_end || !nlp_unicode_word(code)) continue;
        if (!w.end) w.start = *at;
        w.end = *at + n;
    }
    return w;
}

size_t nlp_query_words(nlp_text query, nlp_query_word *words, size_t most) {
    size_t n = 0, at = 0;
    while (n < most) {
        nlp_query_word w = next_piece(query, &at);
        if (!w.end) return n;
        if (is_known(query, words, n, w)) continue;
        w.kind = kind_of(query, &w);
        words[n++] = w;
    }
    return n;
}

/* ---- Names in documents ---- */

/* 0 where it has no room. */
static size_t lower(nlp_text text, const nlp_query_word *w, char *name) {
    size_t n = 0;
    uint32_t code = 0, small[3];
    for (size_t at = w->start, bytes; at < w->end; at += bytes) {
        bytes = next_character(text, at, &code);
        size_t n_small = nlp_unicode_lower(code, small);
        for (size_t i = 0; i < n_small; i++) {
            if (n + NLP_UTF8_MAX_BYTES > NLP_NAME_BYTES) return 0;
            n += nlp_utf8_encode(small[i], name + n);
        }
    }
    return n;
}

size_t nlp_next_name(nlp_text text, size_t *at, char *name) {
    for (;;) {
        nlp_query_word w = next_piece(text, at);
        if (!w.end) return 0;
        size_t n = kind_of(text, &w) == NLP_WORD_NAME ? lower(text, &w, name) : 0;
        if (n) return n;
    }
}
