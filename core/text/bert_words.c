/* bert_words.c: BertNormalizer and BertPreTokenizer in one pass, as the reference's fast tokenizer
 * does it: clean, space around Chinese characters, strip accents, lower case; then split on white
 * space, punctuation alone. Each character remembers the bytes of the text that it came from. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

typedef struct splitter {
    encoder *encoder;
    const nlp_tokenizer *tokenizer;
    bert_word *word;
    nlp_word_cache *cache;
    token_list *tokens;
    bool failed; /* out of memory */
} splitter;

static void end_word(splitter *s) {
    if (!s->word->n_chars) return;
    s->failed = !wordpiece_push(s->encoder, s->word) || s->failed;
    s->word->n_chars = 0;
}

/* A word longer than the longest possible one is only counted; it will be unknown. */
static void add_character(splitter *s, uint32_t code_point, size_t from, size_t to) {
    bert_word *w = s->word;
    size_t i = w->n_chars++;
    w->last_to = (uint32_t)to;
    if (i >= NLP_TOKENIZER_MAX_WORD) return;
    size_t at = i ? w->ends[i - 1] : 0;
    w->ends[i] = (uint16_t)(at + nlp_utf8_encode(code_point, w->bytes + at));
    w->from[i] = (uint32_t)from;
    w->to[i] = (uint32_t)to;
}

static bool ascii_punctuation(uint32_t c) {
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
           (c >= 123 && c <= 126);
}

static bool is_punctuation(uint32_t c) {
    return c < 128 ? ascii_punctuation(c) : nlp_unicode_class_of(c) == NLP_UC_PUNCTUATION;
}

/* A character as it leaves the normaliser. */
static void split(splitter *s, uint32_t c, size_t from, size_t to) {
    if (nlp_unicode_white_space(c)) {
        end_word(s);
    } else if (is_punctuation(c)) {
        end_word(s);
        add_character(s, c, from, to);
        end_word(s);
    } else {
        add_character(s, c, from, to);
    }
}

/* 2B920 is the reference's own slip for 2B820. */
bool unicode_is_chinese(uint32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static bool is_dropped(uint32_t c) {
    if (c == 0 || c == NLP_REPLACEMENT) return true;
    if (c == '\t' || c == '\n' || c == '\r') return false;
    nlp_unicode_class class = nlp_unicode_class_of(c);
    return class == NLP_UC_CONTROL || class == NLP_UC_FORMAT || class == NLP_UC_PRIVATE;
}

static void lower_and_split(splitter *s, uint32_t c, size_t from, size_t to) {
    uint32_t lower[3] = {c};
    size_t n = s->tokenizer->header.flags & NLP_TEXT_LOWER ? nlp_unicode_lower(c, lower) : 1;
    for (size_t i = 0; i < n; i++) split(s, lower[i], from, to);
}

/* Lower case comes behind decomposition, as in the reference: the two do not commute for every
 * letter. */
static void normalise(splitter *s, uint32_t c, size_t from, size_t to) {
    uint32_t flags = s->tokenizer->header.flags, parts[18] = {c};
    if (flags & NLP_TEXT_CLEAN) {
        if (is_dropped(c)) return;
        if (nlp_unicode_white_space(c)) c = parts[0] = ' ';
    }
    bool alone = (flags & NLP_TEXT_CHINESE) && unicode_is_chinese(c);
    if (alone) end_word(s);
    size_t n = flags & NLP_TEXT_STRIP_ACCENTS ? nlp_unicode_decompose(c, false, parts) : 1;
    for (size_t i = 0; i < n; i++) {
        if ((flags & NLP_TEXT_STRIP_ACCENTS) &&
            nlp_unicode_class_of(parts[i]) == NLP_UC_MARK_NONSPACING)
            continue;
        lower_and_split(s, parts[i], from, to);
    }
    if (alone) end_word(s);
}

/* ---- ASCII needs no tables of Unicode ---- */

static bool is_letter_or_digit(uint8_t c) {
    uint8_t small = c | 32;
    return (small >= 'a' && small <= 'z') || (c >= '0' && c <= '9');
}

/* Letters and digits join the word, blanks and punctuation end it. */
static void normalise_ascii(splitter *s, uint8_t c, size_t at) {
    uint32_t flags = s->tokenizer->header.flags;
    if (c >= 'A' && c <= 'Z' && (flags & NLP_TEXT_LOWER)) c = (uint8_t)(c + 32);
    if (is_letter_or_digit(c))
        add_character(s, c, at, at + 1);
    else if (c == ' ')
        end_word(s);
    else if (ascii_punctuation(c))
        split(s, c, at, at + 1);
    else
        normalise(s, c, at, at + 1);
}

/* Whether a word surely ends before a byte: others may be dropped, or join it. */
static bool ends_word(uint8_t c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || ascii_punctuation(c);
}

static void push_known(splitter *s, const cached_word *c, size_t at) {
    s->tokens->n_unknown += c->n_unknown;
    for (size_t i = 0; i < c->n_tokens && !s->failed; i++)
        s->failed = !token_push(s->tokens, c->ids[i], at + c->first[i], at + c->end[i]);
}

/* A piece is what the longest match finds first, and most words are one. */
static void push_new(splitter *s, const char *word, size_t n, size_t at) {
    uint32_t id = piece_find(s->tokenizer, word, n);
    if (id != NLP_NO_ID && !is_control(s->encoder, id)) {
        s->failed = !token_push(s->tokens, id, at, at + n);
        return;
    }
    for (size_t i = 0; i < n; i++) add_character(s, (uint8_t)word[i], at + i, at + i + 1);
    end_word(s);
}

/* A word of ASCII, each byte of which came from one byte of the text, from `at` on. */
static void push_ascii(splitter *s, const char *word, size_t n, size_t at) {
    const token_list *l = s->tokens;
    size_t first = l->n, n_unknown = l->n_unknown;
    if (!s->cache->words || n > CACHED_BYTES) {
        push_new(s, word, n, at);
        return;
    }
    cached_word *c;
    if (word_cache_find(s->cache, word, n, &c)) {
        push_known(s, c, at);
        return;
    }
    push_new(s, word, n, at);
    if (s->failed) return;
    for (size_t i = first; i < l->n; i++)
        cached_word_add(c, (uint32_t)l->ids[i], l->start[i] - at, l->end[i] - at);
    cached_word_finish(c, word, n, l->n_unknown - n_unknown);
}

/* Most words are letters and digits of ASCII alone. Returns the bytes of such a word, or 0 and has done
 * nothing. */
static size_t ascii_word(splitter *s, const char *text, size_t at, size_t to) {
    enum { MOST = 64 };
    char word[MOST];
    size_t n = 0;
    uint8_t by_case = s->tokenizer->header.flags & NLP_TEXT_LOWER ? 32 : 0;
    for (; n < MOST && at + n < to && is_letter_or_digit((uint8_t)text[at + n]); n++) {
        uint8_t c = (uint8_t)text[at + n];
        word[n] = (char)(c >= 'A' ? c | by_case : c);
    }
    bool ends = at + n == to || (n < MOST && ends_word((uint8_t)text[at + n]));
    if (!n || !ends || n > s->tokenizer->header.max_word) return 0;
    push_ascii(s, word, n, at);
    return n;
}

/* A word of ASCII or one character from `at` on; returns its bytes. */
static size_t step(splitter *s, const char *text, size_t at, size_t to) {
    uint32_t c = (uint8_t)text[at];
    size_t n = s->word->n_chars ? 0 : ascii_word(s, text, at, to);
    if (n) return n;
    if (c < 128) {
        normalise_ascii(s, (uint8_t)c, at);
        return 1;
    }
    n = nlp_utf8_decode(text + at, to - at, &c);
    normalise(s, c, at, at + n);
    return n;
}

/* Linear in the bytes, and polled: a megabyte of anything is some milliseconds. */
nlp_status bert_words(encoder *e, size_t from, size_t to, bert_word *scratch) {
    enum { POLL_BYTES = 4096, WORK_PER_BYTE = 64 };
    token_list *tokens = e->tokens;
    splitter s = {.encoder = e,
                  .tokenizer = e->tokenizer,
                  .word = scratch,
                  .cache = e->cache,
                  .tokens = tokens};
    scratch->n_chars = 0;
    for (size_t at = from, polled = from; at < to && !s.failed;) {
        at += step(&s, e->text, at, to);
        if (tokens->limit && tokens->n > tokens->limit) break;
        if (at - polled < POLL_BYTES) continue;
        NLP_TRY(nlp_poll_work(e->poll, (at - polled) * WORK_PER_BYTE, e->err));
        polled = at;
    }
    end_word(&s);
    return s.failed ? nlp_arena_status(tokens->arena, e->err) : NLP_OK;
}
