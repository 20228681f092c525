/* snippet.c: the place of a text that shows best why it was found. One pass over the words of the text; of
 * those that the query has, the last ones are kept as long as they fit into one window. */
#include "base/utf8.h"
#include "search/search.h"

enum { WORDS = 32, LETTERS = 24, RECENT = 64, COMMON = 4 };

typedef struct word {
    uint32_t letters[LETTERS]; /* in lower case; longer words are cut */
    size_t n, start, end;      /* bytes */
    size_t first;              /* characters of the region before it, */
    size_t behind;             /* and up to its end */
    bool has_digit;
} word;

/* Words of a text one by one. */
typedef struct reader {
    nlp_text text;
    size_t at, to, n_characters;
} reader;

typedef struct found {
    size_t start, end, first, behind;
    uint32_t which; /* a bit of the query's word */
} found;

typedef struct search {
    word words[WORDS]; /* of the query */
    size_t n_words, most;
    found recent[RECENT]; /* a ring: oldest .. newest - 1 */
    size_t oldest, newest;
    size_t start, end, n_characters; /* the best window so far */
    uint32_t n_different;
} search;

/* Scripts without blanks between words: each character is one. */
static bool stands_alone(uint32_t code) {
    return (code >= 0x2E80 && code <= 0x9FFF) || (code >= 0xF900 && code <= 0xFAFF) ||
           (code >= 0x20000 && code <= 0x3FFFF);
}

static void add_letter(word *w, uint32_t code) {
    uint32_t lower[3];
    size_t n = nlp_unicode_lower(code, lower);
    for (size_t i = 0; i < n && w->n < LETTERS; i++) w->letters[w->n++] = lower[i];
    w->has_digit = w->has_digit || nlp_unicode_class_of(code) == NLP_UC_DECIMAL;
}

static bool next_word(reader *r, word *w) {
    *w = (word){.n = 0};
    while (r->at < r->to) {
        uint32_t code;
        size_t length = nlp_utf8_decode(r->text.bytes + r->at, r->to - r->at, &code);
        bool alone = stands_alone(code), is_word = nlp_unicode_word(code);
        if (w->n && (!is_word || alone)) return true;
        if (is_word && !w->n) w->start = r->at, w->first = r->n_characters;
        r->at += length;
        r->n_characters++;
        if (!is_word) continue;
        add_letter(w, code);
        w->end = r->at, w->behind = r->n_characters;
        if (alone) return true;
    }
    return w->n > 0;
}

/* Equal, or of one stem as far as endings of up to 4 letters tell; numbers only as they are. */
static bool same_word(const word *a, const word *b) {
    size_t n = a->n < b->n ? a->n : b->n, longer = a->n < b->n ? b->n : a->n, common = 0;
    while (common < n && a->letters[common] == b->letters[common]) common++;
    if (common == longer) return true;
    return !a->has_digit && !b->has_digit && common >= COMMON && common + COMMON >= longer;
}

static void read_query(search *s, nlp_text query) {
    reader r = {.text = query, .to = query.n_bytes};
    word w;
    while (s->n_words < WORDS && next_word(&r, &w)) {
        bool known = false;
        for (size_t i = 0; i < s->n_words; i++) known = known || same_word(&s->words[i], &w);
        if (!known) s->words[s->n_words++] = w;
    }
}

static uint32_t which_word(const search *s, const word *w) {
    for (size_t i = 0; i < s->n_words; i++)
        if (same_word(&s->words[i], w)) return 1u << i;
    return 0;
}

/* The window that ends with the newest word, if it has more different ones than the best. */
static void weigh(search *s) {
    const found *last = &s->recent[(s->newest - 1) % RECENT];
    uint32_t seen = 0;
    while (last->behind - s->recent[s->oldest % RECENT].first > s->most &&
           s->oldest + 1 < s->newest)
        s->oldest++;
    for (size_t i = s->oldest; i < s->newest; i++) seen |= s->recent[i % RECENT].which;
    const found *first = &s->recent[s->oldest % RECENT];
    uint32_t n = (uint32_t)__builtin_popcount(seen);
    if (n <= s->n_different || last->behind - first->first > s->most) return;
    s->n_different = n;
    s->start = first->start, s->end = last->end, s->n_characters = last->behind - first->first;
}

static void look(search *s, nlp_text text, size_t from, size_t to) {
    reader r = {.text = text, .at = from, .to = to};
    word w;
    while (s->n_different < s->n_words && next_word(&r, &w)) {
        uint32_t which = which_word(s, &w);
        if (!which) continue;
        if (s->newest - s->oldest == RECENT) s->oldest++;
        s->recent[s->newest++ % RECENT] = (found){w.start, w.end, w.first, w.behind, which};
        weigh(s);
    }
}

/* ---- The words around it ---- */

static size_t character_before(nlp_text text, size_t at) {
    do at--;
    while (at && ((uint8_t)text.bytes[at] & 0xC0) == 0x80);
    return at;
}

static bool is_blank_at(nlp_text text, size_t at) {
    uint32_t code;
    nlp_utf8_decode(text.bytes + at, text.n_bytes - at, &code);
    return nlp_unicode_white_space(code);
}

/* Up to n characters more before the window, from behind a blank on. */
static void widen_left(search *s, nlp_text text, size_t from, size_t n) {
    size_t at = s->start, good = at, used = 0, i = 0;
    while (i < n && at > from) {
        at = character_before(text, at);
        i++;
        if (at == from || is_blank_at(text, character_before(text, at))) good = at, used = i;
    }
    s->start = good, s->n_characters += used;
}

static void widen_right(search *s, nlp_text text, size_t to) {
    size_t at = s->end, good = at, n = s->n_characters, used = n;
    while (n < s->most && at < to) {
        uint32_t code;
        at += nlp_utf8_decode(text.bytes + at, to - at, &code);
        n++;
        if (at == to || is_blank_at(text, at)) good = at, used = n;
    }
    /* one word that is longer than all room is cut */
    if (good == s->start) good = at, used = n;
    s->end = good, s->n_characters = used;
}

static void trim(search *s, nlp_text text) {
    while (s->end > s->start && is_blank_at(text, character_before(text, s->end))) {
        s->end = character_before(text, s->end);
        s->n_characters--;
    }
    while (s->start < s->end && is_blank_at(text, s->start)) {
        uint32_t code;
        s->start += nlp_utf8_decode(text.bytes + s->start, s->end - s->start, &code);
        s->n_characters--;
    }
}

void nlp_snippet_find(nlp_text text, size_t from, size_t to, nlp_text query, size_t most,
                      nlp_snippet *snippet) {
    search s = {.most = most};
    to = to < text.n_bytes ? to : text.n_bytes;
    from = from < to ? from : to;
    s.start = s.end = from;
    read_query(&s, query);
    look(&s, text, from, to);
    widen_left(&s, text, from, (most - s.n_characters) / 3);
    widen_right(&s, text, to);
    widen_left(&s, text, from, most - s.n_characters);
    trim(&s, text);
    int64_t before = (int64_t)nlp_utf8_length(text.bytes, s.start);
    *snippet = (nlp_snippet){.start = s.start,
                             .end = s.end,
                             .start_pos = before + 1,
                             .end_pos = before + (int64_t)s.n_characters,
                             .n_words = s.n_different};
}
