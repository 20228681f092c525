/* query_words.c: what a query says, piece by piece, and which pieces name something. */
#include <string.h>

#include "base/utf8.h"
#include "search/search.h"

enum { DIGITS = 4, CHARACTERS = 4 }; /* of a number, and of a name in parts, at least */

typedef struct features {
    size_t n_letters, n_digits;
    bool has_part;    /* a letter or digit, and before it punctuation that is no hyphen */
    bool has_capital; /* behind a small letter */
    bool has_underscore;
} features;

/* The next character from `at` on; 0 at the end. */
static size_t next_character(nlp_text text, size_t at, uint32_t *code) {
    return at < text.n_bytes ? nlp_utf8_decode(text.bytes + at, text.n_bytes - at, code) : 0;
}

static features features_of(nlp_text query, const nlp_query_word *w) {
    features f = {0};
    bool was_small = false, was_break = false;
    uint32_t code = 0;
    for (size_t at = w->start, n; at < w->end && (n = next_character(query, at, &code)); at += n) {
        bool is_digit = nlp_unicode_class_of(code) == NLP_UC_DECIMAL;
        bool is_word = nlp_unicode_word(code) && code != '_';
        f.n_digits += is_digit;
        f.n_letters += is_word && !is_digit;
        f.has_underscore = f.has_underscore || code == '_';
        f.has_part = f.has_part || (is_word && was_break);
        f.has_capital = f.has_capital || (was_small && nlp_unicode_upper_case(code));
        was_small = nlp_unicode_lower_case(code);
        was_break = code == '.' || code == ':' || code == '/' || code == '#' || code == '@';
    }
    return f;
}

/* "boundary-layer", "i.e", "3.5" and "and/or" name nothing. */
static bool is_identifier(const features *f) {
    size_t n = f->n_letters + f->n_digits;
    if (f->has_underscore || f->has_capital || f->n_digits >= DIGITS) return n > 0;
    if (f->n_digits) return f->n_letters > 0 || (f->has_part && n >= CHARACTERS);
    return f->has_part && n > CHARACTERS + CHARACTERS / 2;
}

static bool is_known(nlp_text query, const nlp_query_word *words, size_t n, nlp_query_word w) {
    nlp_text text = {query.bytes + w.start, w.end - w.start};
    for (size_t i = 0; i < n; i++)
        if (nlp_text_equal(text,
                           (nlp_text){query.bytes + words[i].start, words[i].end - words[i].start}))
            return true;
    return false;
}

/* The next piece between blanks, from its first letter or digit to its last; empty at the end. */
static nlp_query_word next_piece(nlp_text query, size_t *at) {
    nlp_query_word w = {0};
    uint32_t code = 0;
    for (size_t n; (n = next_character(query, *at, &code)); *at += n) {
        bool is_blank = nlp_unicode_white_space(code) || code == 0;
        if (is_blank && w.end) return w;
        if (is_blank || !nlp_unicode_word(code)) continue;
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
        features f = features_of(query, &w);
        w.is_identifier = is_identifier(&f);
        words[n++] = w;
    }
    return n;
}
