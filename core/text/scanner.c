/* scanner.c: the split patterns of published tokenizers as hand-written scanners. The importer
 * compares a pattern's text with the known ones and stores its number; there is no pattern engine.
 * Each scanner looks at a character a bounded number of times, so a text takes linear time. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

enum { /* what a character is; several at once */
       LETTER = 1,
       NUMBER = 2,
       SPACE = 4,
       NEWLINE = 8,
       MARK = 16,
       UPPER = 32, /* Lu, Lt */
       LOWER = 64, /* Ll */
       PUNCTUATION = 128,
       SYMBOL = 256
};

/* The classes of ASCII, by code. */
static const uint16_t ascii[128] = {
    0,   0,   0,   0,   0,   0,   0,   0,   0,   4,   12,  4,   4,   12, 0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   4,  128, 128, 128, 256, 128,
    128, 128, 128, 128, 128, 256, 128, 128, 128, 128, 2,   2,   2,   2,  2,   2,   2,   2,   2,
    2,   128, 128, 256, 256, 256, 128, 128, 33,  33,  33,  33,  33,  33, 33,  33,  33,  33,  33,
    33,  33,  33,  33,  33,  33,  33,  33,  33,  33,  33,  33,  33,  33, 33,  128, 128, 128, 256,
    128, 256, 65,  65,  65,  65,  65,  65,  65,  65,  65,  65,  65,  65, 65,  65,  65,  65,  65,
    65,  65,  65,  65,  65,  65,  65,  65,  65,  128, 256, 128, 256, 0,
};

typedef struct scanner {
    const char *bytes;
    size_t n;
} scanner;

typedef struct character {
    uint32_t code;
    size_t end; /* behind it */
    unsigned class;
} character;

/* Of a character beyond ASCII. */
static unsigned class_of(uint32_t c) {
    unsigned space = nlp_unicode_white_space(c) ? SPACE : 0;
    switch (nlp_unicode_class_of(c)) {
    case NLP_UC_LETTER:
        if (nlp_unicode_lower_case(c)) return LETTER | LOWER;
        return LETTER | (nlp_unicode_upper_case(c) || nlp_unicode_title_case(c) ? UPPER : 0u);
    case NLP_UC_MARK_NONSPACING:
    case NLP_UC_MARK_OTHER:
        return MARK;
    case NLP_UC_DECIMAL:
    case NLP_UC_NUMBER_OTHER:
        return NUMBER;
    case NLP_UC_PUNCTUATION:
        return PUNCTUATION;
    case NLP_UC_SYMBOL:
        return SYMBOL;
    default:
        return space;
    }
}

/* Behind the end there is a character of no class. */
static inline character at(const scanner *s, size_t i) {
    character c = {.end = i};
    if (i >= s->n) return c;
    c.end = i + nlp_utf8_decode(s->bytes + i, s->n - i, &c.code);
    c.class = c.code < 128 ? ascii[c.code] : class_of(c.code);
    return c;
}

/* End of the run of characters that have one of `any` and none of `none`, at most `most` of them. */
static inline size_t run(const scanner *s, size_t i, unsigned any, unsigned none, size_t most) {
    for (; most && i < s->n; most--) {
        character c = at(s, i);
        if ((any && !(c.class & any)) || (c.class & none)) break;
        i = c.end;
    }
    return i;
}

/* ---- Parts of the patterns ---- */

/* 's 't 're 've 'm 'll 'd; with any_case also in capitals, and U+017F for s. */
static size_t contraction(const scanner *s, size_t i, bool any_case) {
    static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (i >= s->n || s->bytes[i] != '\'') return i;
    for (size_t k = 0; k < sizeof endings / sizeof *endings; k++) {
        size_t n = strlen(endings[k]), same = 0;
        for (; same < n && i + 1 + same < s->n; same++) {
            char c = s->bytes[i + 1 + same];
            if (any_case && c >= 'A' && c <= 'Z') c = (char)(c + 32);
            if (c != endings[k][same]) break;
        }
        if (same == n) return i + 1 + n;
    }
    if (any_case && i + 2 < s->n && !memcmp(s->bytes + i + 1, "\xC5\xBF", 2)) return i + 3;
    return i;
}

/* A blank before a run counts to it. */
static size_t blank_and_run(const scanner *s, size_t i, unsigned any, unsigned none) {
    size_t first = i < s->n && s->bytes[i] == ' ' ? i + 1 : i;
    size_t end = run(s, first, any, none, SIZE_MAX);
    return end > first ? end : i;
}

/* White space: up to the last line break of the run; else all but its last character, which goes to
 * the next word; else all. */
static size_t spaces(const scanner *s, size_t i, bool by_lines) {
    size_t last = i, end = i, line = i;
    while (end < s->n) {
        character c = at(s, end);
        if (!(c.class & SPACE)) break;
        last = end;
        end = c.end;
        if (c.class & NEWLINE) line = end;
    }
    if (by_lines && line > i) return line;
    return end < s->n && last > i ? last : end;
}

static size_t marks_and_lines(const scanner *s, size_t i, bool slash) {
    size_t end = blank_and_run(s, i, 0, SPACE | LETTER | NUMBER);
    if (end == i) return i;
    while (end < s->n &&
           (s->bytes[end] == '\r' || s->bytes[end] == '\n' || (slash && s->bytes[end] == '/')))
        end++;
    return end;
}

/* ---- Whole patterns ---- */

/* The first character behind a blank decides which of the runs it is, and most are letters. */
static size_t gpt2(const scanner *s, size_t i) {
    size_t first = s->bytes[i] == ' ' ? i + 1 : i, end = run(s, first, LETTER, 0, SIZE_MAX);
    if (end > first) return end;
    end = contraction(s, i, false);
    if (end == i) end = blank_and_run(s, i, NUMBER, 0);
    if (end == i) end = blank_and_run(s, i, 0, SPACE | LETTER | NUMBER);
    return end > i ? end : spaces(s, i, false);
}

/* Letters with one character before them that is no letter, number or line break. */
static size_t llama3(const scanner *s, size_t i, size_t most_digits) {
    size_t end = s->bytes[i] == '\'' ? contraction(s, i, true) : i;
    if (end > i) return end;
    character c = at(s, i);
    size_t first = c.class & (LETTER | NUMBER | NEWLINE) ? i : c.end;
    end = run(s, first, LETTER, 0, SIZE_MAX);
    if (end > first) return end;
    end = run(s, i, NUMBER, 0, most_digits);
    if (end == i) end = marks_and_lines(s, i, false);
    return end > i ? end : spaces(s, i, true);
}

/* [Lu Lt Lm Lo M]* then [Ll Lm Lo M]+ from `first` on: the capitals give characters back until one
 * can begin the second run. `first` where there is none. */
static size_t capitals_then_small(const scanner *s, size_t first) {
    size_t capitals = first, both_end = first;
    while (capitals < s->n) {
        character c = at(s, capitals);
        if (!(c.class & (LETTER | MARK)) || (c.class & LOWER)) break;
        capitals = c.end;
        if (!(c.class & UPPER)) both_end = c.end;
    }
    size_t end = run(s, capitals, LETTER | MARK, UPPER, SIZE_MAX);
    return end > capitals ? end : both_end;
}

static size_t capitals(const scanner *s, size_t first) {
    size_t end = run(s, first, LETTER | MARK, LOWER, SIZE_MAX);
    return end > first ? run(s, end, LETTER | MARK, UPPER, SIZE_MAX) : first;
}

static size_t cased_word(const scanner *s, size_t i) {
    character c = at(s, i);
    size_t after = c.class & (LETTER | NUMBER | NEWLINE) ? i : c.end, end;
    if ((end = capitals_then_small(s, after)) > after) return end;
    if (after > i && (end = capitals_then_small(s, i)) > i) return end;
    if ((end = capitals(s, after)) > after) return end;
    return after > i ? capitals(s, i) : i;
}

static size_t o200k(const scanner *s, size_t i, bool contractions, size_t most_digits) {
    size_t end = cased_word(s, i);
    if (end > i) return contractions ? contraction(s, end, true) : end;
    end = run(s, i, NUMBER, 0, most_digits);
    if (end == i) end = marks_and_lines(s, i, true);
    return end > i ? end : spaces(s, i, true);
}

/* ---- DeepSeek's stages: what a stage does not match is left to the next ---- */

static bool in_ranges(uint32_t c, const uint32_t (*ranges)[2], size_t n) {
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

static bool stage_takes(uint32_t pattern, const character *c) {
    static const uint32_t marks[][2] = {{'!', '/'},       {':', '~'},       {0xFF01, 0xFF0F},
                                        {0xFF1A, 0xFF5E}, {0x2018, 0x201F}, {0x3000, 0x3002}};
    static const uint32_t cjk[][2] = {{0x0800, 0x9FA5}, {0xAC00, 0xD7FF}},
                          kana[][2] = {{0x4E00, 0x9FA5}, {0x3040, 0x30FF}};
    switch (pattern) {
    case NLP_PATTERN_NEWLINES:
        return c->class & NEWLINE;
    case NLP_PATTERN_LETTERS:
        return c->class & LETTER;
    case NLP_PATTERN_CASED:
        return c->class & (UPPER | LOWER);
    case NLP_PATTERN_PUNCTUATION:
        return c->class & PUNCTUATION;
    case NLP_PATTERN_ASCII_MARKS:
        return in_ranges(c->code, marks, sizeof marks / sizeof *marks);
    case NLP_PATTERN_CJK:
        return in_ranges(c->code, cjk, sizeof cjk / sizeof *cjk);
    case NLP_PATTERN_KANA:
        return in_ranges(c->code, kana, sizeof kana / sizeof *kana);
    case NLP_PATTERN_THREE_DIGITS:
        return c->code >= '0' && c->code <= '9';
    default:
        return c->class & NUMBER;
    }
}

static size_t most_of(uint32_t pattern) {
    if (pattern == NLP_PATTERN_NEWLINES || pattern == NLP_PATTERN_NUMBER) return 1;
    return pattern == NLP_PATTERN_THREE_NUMBERS || pattern == NLP_PATTERN_THREE_DIGITS ? 3
                                                                                       : SIZE_MAX;
}

static size_t deepseek3(const scanner *s, size_t i) {
    character c = at(s, i);
    if (c.code < 128 && (c.class & (PUNCTUATION | SYMBOL))) {
        size_t end = c.end;
        while (end < s->n && ((s->bytes[end] | 32) >= 'a' && (s->bytes[end] | 32) <= 'z')) end++;
        if (end > c.end) return end;
    }
    size_t first = c.class & (LETTER | PUNCTUATION | SYMBOL | NEWLINE) ? i : c.end;
    size_t end = run(s, first, LETTER | MARK, 0, SIZE_MAX);
    if (end > first) return end;
    if (first > i && (end = run(s, i, LETTER | MARK, 0, SIZE_MAX)) > i) return end;
    end = blank_and_run(s, i, PUNCTUATION | SYMBOL, 0);
    if (end > i) {
        while (end < s->n && (s->bytes[end] == '\r' || s->bytes[end] == '\n')) end++;
        return end;
    }
    return spaces(s, i, true);
}

/* End of a stage's match at i, or i. */
static size_t stage(const scanner *s, uint32_t pattern, size_t i) {
    bool blank = pattern == NLP_PATTERN_LETTERS || pattern == NLP_PATTERN_CASED ||
                 pattern == NLP_PATTERN_PUNCTUATION || pattern == NLP_PATTERN_ASCII_MARKS;
    if (pattern == NLP_PATTERN_DEEPSEEK3) return deepseek3(s, i);
    if (pattern == NLP_PATTERN_LAST_SPACE) {
        size_t end = run(s, i, SPACE, 0, SIZE_MAX);
        return end == s->n ? end : i;
    }
    character c = at(s, i);
    size_t first = i, most = most_of(pattern), taken = 0;
    if (blank && (c.class & SPACE)) {
        character next = at(s, c.end);
        if (c.end < s->n && stage_takes(pattern, &next)) first = c.end;
    }
    size_t end = first;
    for (; taken < most && end < s->n; taken++) {
        c = at(s, end);
        if (!stage_takes(pattern, &c)) break;
        end = c.end;
    }
    if (!taken || (pattern == NLP_PATTERN_THREE_DIGITS && taken < 3)) return i;
    return end;
}

/* Trailing white space is looked for once a run, not once a character. */
static size_t next_match(const scanner *s, uint32_t pattern, size_t i) {
    while (i < s->n) {
        character c = at(s, i);
        if (pattern == NLP_PATTERN_LAST_SPACE && (c.class & SPACE)) {
            size_t end = run(s, i, SPACE, 0, SIZE_MAX);
            if (end == s->n) return i;
            i = end;
            continue;
        }
        if (stage(s, pattern, i) > i) return i;
        i = c.end;
    }
    return i;
}

size_t scan_piece(uint32_t pattern, const char *bytes, size_t n_bytes, size_t i, bool *is_match) {
    scanner s = {bytes, n_bytes};
    *is_match = true;
    switch (pattern) {
    case NLP_PATTERN_GPT2:
        return gpt2(&s, i);
    case NLP_PATTERN_LLAMA3:
        return llama3(&s, i, 3);
    case NLP_PATTERN_QWEN2:
        return llama3(&s, i, 1);
    case NLP_PATTERN_O200K:
        return o200k(&s, i, true, 3);
    case NLP_PATTERN_TEKKEN:
        return o200k(&s, i, false, 1);
    default:
        break;
    }
    size_t end = stage(&s, pattern, i);
    *is_match = end > i;
    return *is_match ? end : next_match(&s, pattern, i);
}
