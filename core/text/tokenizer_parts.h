/* tokenizer_parts.h: what the files of core/text share: the opened tokenizer, a growing list of
 * tokens, a word. */
#ifndef NLP_TEXT_TOKENIZER_PARTS_H
#define NLP_TEXT_TOKENIZER_PARTS_H

#include <string.h>

#include "text/tokenizer.h"
#include "text/tokenizer_format.h"

/* ---- Short stretches of bytes: loads that overlap at the end, instead of calls ---- */

static inline uint64_t nlp_load8(const char *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline uint32_t nlp_load4(const char *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline bool same_bytes(const char *a, const char *b, size_t n) {
    if (n < 4) return !n || (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
    if (n < 8) return nlp_load4(a) == nlp_load4(b) && nlp_load4(a + n - 4) == nlp_load4(b + n - 4);
    for (size_t i = 0; i + 8 < n; i += 8)
        if (nlp_load8(a + i) != nlp_load8(b + i)) return false;
    return nlp_load8(a + n - 8) == nlp_load8(b + n - 8);
}

struct nlp_tokenizer {
    nlp_mem *mem;
    nlp_tokenizer_header header;
    const uint32_t *piece_ends, *slots;
    const nlp_added_token *added;
    const nlp_template_item *single, *pair;
    const char *text;
    uint32_t longest_piece; /* bytes */
    uint32_t n_vocabulary;  /* pieces that a text can become; those behind are the cutter's own */
    uint64_t prefix_hash;
    uint32_t n_special_single, n_special_pair;
    bool added_starts[256];         /* first bytes of added tokens */
    int only_start;                 /* the one such byte; -1: none or several */
    uint8_t *controls;              /* bit i: piece i is a control token */
    const nlp_added_token **sorted; /* [n_added] by their texts */
    bool has_raw, has_normalized;   /* added tokens of either kind */
    /* of all models but WordPiece */
    nlp_tokenizer_extension extension;
    const nlp_text_rule *normalizers, *splits;
    const nlp_merge *merges;
    const uint32_t *bytes, *map;
    const nlp_trie_unit *trie;
    const double *scores;
    const uint8_t *kinds, *whole, *sides;
    const uint8_t *charsmap;
    bool map_keeps[128]; /* characters of ASCII that the map says nothing of */
    uint8_t fates[NLP_TOKENIZER_MAX_RULES][128]; /* of ASCII in each split by characters */
};

/* Tokens of one text, growing in the call's arena; sticky failure there. */
typedef struct token_list {
    nlp_arena *arena;
    int32_t *ids;
    uint32_t *start, *end;
    size_t n, capacity;
    size_t n_unknown;
    uint32_t dropped; /* id + 1 that is never kept; 0: none */
    size_t limit;     /* stop once n is over it; 0: never */
    size_t usual;     /* room to begin with: doubling leaves as much behind as it keeps */
} token_list;

/* false when out of memory */
bool token_push(token_list *list, uint32_t id, size_t start, size_t end);

/* A normalised word: its bytes, and for each character where its bytes end and which bytes of the
 * text it came from. Characters beyond the capacity are counted, not kept: such a word is unknown
 * anyway. */
typedef struct bert_word {
    char bytes[4 * NLP_TOKENIZER_MAX_WORD];
    uint16_t ends[NLP_TOKENIZER_MAX_WORD];
    uint32_t from[NLP_TOKENIZER_MAX_WORD], to[NLP_TOKENIZER_MAX_WORD];
    size_t n_chars;
    uint32_t last_to; /* of the last character, kept or not */
} bert_word;

/* A stretch of normalised text. Where `from` is NULL it is a stretch of the given text itself, whose
 * byte 0 is byte `at` there; else byte i came from bytes from[i] .. to[i] of it. */
typedef struct span {
    const char *bytes;
    size_t n_bytes;
    const uint32_t *from, *to;
    size_t at;
} span;

/* Characters of a text on their way through the normalisers. */
typedef struct norm_char {
    uint32_t code, from, to;
} norm_char;

/* A word and its tokens; n_bytes 0: none. */
enum { CACHED_BYTES = 24, CACHED_TOKENS = 6 };
typedef struct cached_word {
    char bytes[CACHED_BYTES];
    uint32_t ids[CACHED_TOKENS];
    uint8_t first[CACHED_TOKENS], end[CACHED_TOKENS]; /* bytes of the word */
    uint8_t n_bytes, n_tokens, n_unknown;
    uint8_t used_last; /* of a pair's first: 1 where it was used behind the second */
} cached_word;

/* word_cache.c: gives the cache its memory once texts of some kilobytes have come. */
nlp_status word_cache_prepare(nlp_word_cache *cache, const nlp_tokenizer *t, size_t n_bytes,
                              nlp_arena *arena, nlp_error *err);
/* Whether a word of 1 to CACHED_BYTES bytes is there. Where it is not, *place is emptied for it. */
bool word_cache_find(nlp_word_cache *cache, const char *bytes, size_t n_bytes, cached_word **place);
/* The tokens of a new word one after the other, then the word itself. */
void cached_word_add(cached_word *c, uint32_t id, size_t first, size_t end);
void cached_word_finish(cached_word *c, const char *bytes, size_t n_bytes, size_t n_unknown);

/* What one call of the tokenizer works with; from the call's arena, reused from word to word. */
typedef struct encoder {
    const nlp_tokenizer *tokenizer;
    const char *text; /* the given one */
    token_list *tokens;
    nlp_arena *arena;
    nlp_poll *poll;
    nlp_error *err;
    struct bpe_work *bpe;
    struct unigram_work *unigram;
    bool plain; /* the text is people's own, but for its frame */
    const nlp_byte_range *frame;
    size_t n_frame;
    const int32_t *controls;
    size_t n_controls;
    nlp_word_cache *cache;  /* without words: none */
    cached_word *recording; /* the word whose tokens are kept as they come; NULL: none */
    char *meta_bytes;       /* of Metaspace: a word with its blanks replaced */
    uint32_t *meta_from, *meta_to;
    size_t meta_capacity;
} encoder;

/* wordpiece.c: the pieces of a word, or one unknown token. */
bool wordpiece_push(encoder *e, const bert_word *word);
/* bert_words.c: normalises and splits text[from .. to) and hands each word to wordpiece_push. */
nlp_status bert_words(encoder *e, size_t from, size_t to, bert_word *scratch);
/* normalizer.c: text[from .. to) through the normalisers; *out is the text itself where they change
 * nothing. */
nlp_status normalize_text(encoder *e, size_t from, size_t to, span *out);
/* charsmap.c: the first (shortest) or the longest entry at the start of bytes; NULL where there is
 * none. *used: its length. The replacement is terminated. */
const char *charsmap_find(const nlp_tokenizer *t, const char *bytes, size_t n_bytes, bool longest,
                          size_t *used);
bool charsmap_is_sound(const uint8_t *map, size_t n_bytes);
/* spm_text.c: SentencePiece's normaliser over characters. */
nlp_status spm_normalize(encoder *e, const nlp_text_rule *rule, norm_char **chars, size_t *n);
/* pretokenizer.c: fills t->fates. */
void find_fates(nlp_tokenizer *t);
/* pretokenizer.c: words of a normalised text go to the model. */
nlp_status split_text(encoder *e, span text);
/* scanner.c: end of the piece that begins at `at`; *is_match: false for what the pattern skips. */
size_t scan_piece(uint32_t pattern, const char *bytes, size_t n_bytes, size_t at, bool *is_match);
/* The models: pieces of one word. */
nlp_status bpe_push(encoder *e, span word);
nlp_status unigram_push(encoder *e, span word);
nlp_status word_push(encoder *e, span word);

/* Bytes first .. end - 1 of a span. */
static inline span span_part(span s, size_t first, size_t end) {
    return (span){.bytes = s.bytes + first,
                  .n_bytes = end - first,
                  .from = s.from ? s.from + first : NULL,
                  .to = s.to ? s.to + first : NULL,
                  .at = s.at + first};
}
/* A token over bytes first .. end - 1 of a word; false when out of memory. */
bool span_token(encoder *e, const span *word, size_t first, size_t end, uint32_t id);
/* The piece with this text, or NLP_NO_ID; of bytes: spelt in the byte alphabet. */
uint32_t piece_find(const nlp_tokenizer *t, const char *bytes, size_t n_bytes);
uint32_t piece_find_bytes(const nlp_tokenizer *t, const char *bytes, size_t n_bytes);
/* Where a vocabulary file gives the ids: the id of a stretch that the model can't cut, by its text; else
 * the unknown id. */
uint32_t piece_of_unknown(const encoder *e, const char *bytes, size_t n_bytes);
/* 4E00 to 9FFF and its extensions, as BERT has them. */
bool unicode_is_chinese(uint32_t code_point);
/* extension.c: what stands behind the header of a tokenizer that is not WordPiece. */
nlp_status extension_open(nlp_tokenizer *t, const void *blob, size_t n_bytes, nlp_error *err);

/* added_tokens.c: whether no bytes of a plain text may become this token. */
bool token_is_control(const encoder *e, uint32_t id);
static inline bool is_control(const encoder *e, uint32_t id) {
    return e->plain && token_is_control(e, id);
}
/* Fills t->controls. */
nlp_status find_controls(nlp_tokenizer *t, nlp_error *err);
/* The next added token of `kind` (NLP_ADDED_NORMALIZED or 0) at or after `from` in a stretch of text;
 * token NULL where there is none. Its place includes the white space that it strips. */
typedef struct added_match {
    size_t start, end;
    const nlp_added_token *token;
} added_match;
nlp_status added_token_find(const encoder *e, const span *text, size_t from, uint32_t kind,
                            added_match *match);

#endif
