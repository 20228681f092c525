/* sentences.c: one pass from mark to mark. */
#include "text/sentences.h"

#include <string.h>

#include "base/utf8.h"

typedef struct scan {
    nlp_text text;
    size_t start; /* of the sentence that is open; SIZE_MAX: none is */
    nlp_sentence *out;
    size_t n;
} scan;

/* ---- Characters ---- */

static uint32_t at(const scan *s, size_t i, size_t *length) {
    uint32_t code = 0;
    *length = 0;
    if (i < s->text.n_bytes)
        *length = nlp_utf8_decode(s->text.bytes + i, s->text.n_bytes - i, &code);
    return code;
}

static bool is_mark(uint32_t code) {
    return code == '.' || code == '!' || code == '?' || code == 0x2026;
}

static bool is_wide_mark(uint32_t code) { /* of scripts without blanks */
    return code == 0x3002 || code == 0xFF01 || code == 0xFF1F || code == 0xFF61 || code == 0x0964;
}

static bool closes(uint32_t code) {
    static const uint32_t marks[] = {'"',    '\'',   ')',    ']',    0x201D, 0x2019,
                                     0x00BB, 0x300D, 0x300F, 0xFF09, 0x203A};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (code == marks[i]) return true;
    return false;
}

static bool is_blank(uint32_t code) {
    return code && nlp_unicode_white_space(code);
}

static bool is_blank_byte(char byte) { /* a byte of a longer character is none */
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_line_end(uint32_t code) {
    return code == '\n' || code == '\r' || code == 0x2028 || code == 0x2029;
}

/* ---- Full stops that end nothing ---- */

static bool same_letters(const char *a, size_t n, const char *b) {
    for (size_t i = 0; i < n; i++) {
        char c = a[i] >= 'A' && a[i] <= 'Z' ? (char)(a[i] + 32) : a[i];
        if (c != b[i]) return false;
    }
    return !b[n];
}

static bool is_abbreviation(const char *word, size_t n) {
    static const char *const known[] = {
        "mr",  "mrs", "ms",     "dr",  "prof", "st",   "sr",   "jr",   "rev", "gen", "col",  "capt",
        "lt",  "sgt", "vs",     "etc", "e.g",  "i.e",  "cf",   "no",   "vol", "fig", "p",    "pp",
        "al",  "ca",  "approx", "inc", "ltd",  "co",   "corp", "dept", "est", "jan", "feb",  "mar",
        "apr", "jun", "jul",    "aug", "sep",  "sept", "oct",  "nov",  "dec", "mme", "mlle", "bzw",
        "z.b", "usw", "d.h",    "nr",  "sra",  "srta", "dra",  "ud",   "uds", "a.m", "p.m",  "u.s"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (same_letters(word, n, known[i])) return true;
    return false;
}

/* What stands before the full stop at `stop`: a known word, one letter ("J. Smith"), or a number that
 * begins the sentence ("3. Sugar"). */
static bool goes_on(const scan *s, size_t stop) {
    size_t first = stop;
    while (first > s->start && !is_blank_byte(s->text.bytes[first - 1]) &&
           !strchr("(\"'[", s->text.bytes[first - 1]))
        first--;
    const char *word = s->text.bytes + first;
    size_t n = stop - first, digits = 0, length;
    uint32_t code = at(s, first, &length);
    if (!n) return false;
    if (length == n && nlp_unicode_upper_case(code)) return true;
    while (digits < n && word[digits] >= '0' && word[digits] <= '9') digits++;
    return (digits == n && first == s->start) || is_abbreviation(word, n);
}

/* ---- Borders ---- */

static void end_sentence(scan *s, size_t end) {
    if (s->start == SIZE_MAX) return;
    while (end > s->start && is_blank_byte(s->text.bytes[end - 1])) end--;
    s->out[s->n++] = (nlp_sentence){s->start, end};
    s->start = SIZE_MAX;
}

/* From the first mark at i: past all marks and closing quotes. */
static size_t past_marks(const scan *s, size_t i) {
    size_t length;
    for (uint32_t code; code = at(s, i, &length), is_mark(code) || is_wide_mark(code);) i += length;
    for (uint32_t code; code = at(s, i, &length), closes(code);) i += length;
    return i;
}

/* Whether a mark at i, with all that belongs to it up to `behind`, ends its sentence. */
static bool ends_here(const scan *s, size_t i, size_t behind) {
    size_t length;
    uint32_t mark = at(s, i, &length), next = at(s, behind, &length);
    if (is_wide_mark(mark) || behind == s->text.n_bytes) return true;
    if (!is_blank(next)) return false;
    if (mark == '.' && behind == i + 1 && goes_on(s, i)) return false;
    while (is_blank(next)) behind += length, next = at(s, behind, &length);
    return !nlp_unicode_lower_case(next);
}

nlp_status nlp_sentences_find(nlp_text text, nlp_arena *arena, nlp_poll *poll, nlp_sentence **out,
                              size_t *n, nlp_error *err) {
    scan s = {.text = text,
              .start = SIZE_MAX,
              .out = NLP_PUSH(arena, nlp_sentence, text.n_bytes / 2 + 1)};
    NLP_TRY(nlp_arena_status(arena, err));
    for (size_t i = 0, length; i < text.n_bytes; i += length) {
        uint32_t code = at(&s, i, &length);
        if (s.start == SIZE_MAX && !is_blank(code)) s.start = i;
        if (is_line_end(code)) end_sentence(&s, i);
        if (is_mark(code) || is_wide_mark(code)) {
            size_t behind = past_marks(&s, i);
            if (ends_here(&s, i, behind)) end_sentence(&s, behind);
            length = behind - i;
        }
        NLP_TRY(nlp_poll_work(poll, 64, err));
    }
    end_sentence(&s, text.n_bytes);
    *out = s.out;
    *n = s.n;
    return NLP_OK;
}
