/* tokenizer_parts.h: what the files of core/text share: the opened tokenizer, a growing list of
 * tokens, a word. */
#ifndef NLP_TEXT_TOKENIZER_PARTS_H
#define NLP_TEXT_TOKENIZER_PARTS_H

#include "text/tokenizer.h"
#include "text/tokenizer_format.h"

struct nlp_tokenizer {
    nlp_mem *mem;
    nlp_tokenizer_header header;
    const uint32_t *piece_ends, *slots;
    const nlp_added_token *added;
    const nlp_template_item *single, *pair;
    const char *text;
    uint32_t longest_piece; /* bytes */
    uint64_t prefix_hash;
    uint32_t n_special_single, n_special_pair;
    bool added_starts[256]; /* first bytes of added tokens */
};

/* Tokens of one text, growing in the call's arena; sticky failure there. */
typedef struct token_list {
    nlp_arena *arena;
    int32_t *ids;
    uint32_t *start, *end;
    size_t n, capacity;
    size_t n_unknown;
    size_t limit; /* stop once n is over it; 0: never */
} token_list;

/* false when out of memory */
bool token_push(token_list *list, uint32_t id, size_t start, size_t end);

/* A normalised word: its bytes, and for each character where its bytes end and which bytes of the
 * text it came from. Characters beyond the capacity are counted, not kept: such a word is unknown
 * anyway. */
typedef struct word {
    char bytes[4 * NLP_TOKENIZER_MAX_WORD];
    uint16_t ends[NLP_TOKENIZER_MAX_WORD];
    uint32_t from[NLP_TOKENIZER_MAX_WORD], to[NLP_TOKENIZER_MAX_WORD];
    size_t n_chars;
    uint32_t last_to; /* of the last character, kept or not */
} word;

/* bert_words.c: normalises and splits text[from .. to) and hands each word to wordpiece_push. */
nlp_status bert_words(const nlp_tokenizer *tokenizer, const char *text, size_t from, size_t to,
                      word *scratch, token_list *tokens, nlp_poll *poll, nlp_error *err);
/* wordpiece.c: the pieces of a word, or one unknown token. */
bool wordpiece_push(const nlp_tokenizer *tokenizer, const word *word, token_list *tokens);
/* added_tokens.c: the next added token at or after `from`; token NULL where there is none. Its span
 * includes the white space that it strips. */
typedef struct added_match {
    size_t start, end;
    const nlp_added_token *token;
} added_match;
nlp_status added_token_find(const nlp_tokenizer *tokenizer, const nlp_text *text, size_t from,
                            added_match *match, nlp_poll *poll, nlp_error *err);

#endif
