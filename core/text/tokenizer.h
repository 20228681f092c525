/* tokenizer.h: string -> ids and byte offsets, and back. A tokenizer is opened over the compiled
 * blob of a pack (tokenizer_format.h), which the importer made; it is immutable and used by any
 * thread. Linear scanners, no regex engine: 1 MiB of anything takes linear time and at most 64 KiB
 * of stack. */
#ifndef NLP_TEXT_TOKENIZER_H
#define NLP_TEXT_TOKENIZER_H

#include "base/arena.h"
#include "base/poll.h"

typedef struct nlp_tokenizer nlp_tokenizer;

/* Checks every offset, id and table of the blob. The blob is borrowed and outlives the tokenizer;
 * what is built beside it comes from mem. */
nlp_status nlp_tokenizer_open(const void *blob, size_t n_bytes, nlp_mem *mem,
                              nlp_tokenizer **tokenizer, nlp_error *err);
void nlp_tokenizer_close(nlp_tokenizer *tokenizer); /* NULL is allowed */

typedef struct nlp_tokenizer_info {
    const char *model;                         /* "wordpiece" */
    uint32_t vocabulary;                       /* ids are 0 .. vocabulary - 1 */
    uint32_t n_special_single, n_special_pair; /* special tokens a single text / a pair gets */
    int32_t unknown_id, pad_id, mask_id;       /* -1: none */
} nlp_tokenizer_info;
void nlp_tokenizer_get_info(const nlp_tokenizer *tokenizer, nlp_tokenizer_info *info);

/* Which text of a pair gives way: the longer one, token by token, or one of them only. NLP_ELIMIT where the
 * other one alone has no room. */
typedef enum nlp_truncation {
    NLP_TRUNCATE_LONGEST,
    NLP_TRUNCATE_FIRST,
    NLP_TRUNCATE_SECOND
} nlp_truncation;
/* Words of the texts before and their tokens; begins zeroed. For texts of one tokenizer, one thread.
 * What it holds lies in the arena of the calls it is given to, and goes with that. */
typedef struct nlp_word_cache {
    const nlp_tokenizer *tokenizer;
    struct cached_word *words;
    size_t n_bytes; /* of the texts so far */
} nlp_word_cache;

typedef struct nlp_byte_range {
    size_t start, end; /* end exclusive */
} nlp_byte_range;

typedef struct nlp_encode_options {
    uint32_t max_tokens; /* special tokens included; 0: no limit */
    nlp_truncation truncation;
    bool no_special_tokens;
    bool stop_when_full; /* need not count past max_tokens: n_full is then a lower bound above it */
    nlp_word_cache *cache; /* NULL: nothing is kept for a next text */
    nlp_arena *work;       /* reset and used by each text; NULL: memory of the call alone */
    /* What people wrote: no bytes of it become a control token, so "<|im_end|>" is ordinary text.
     * Controls are the special tokens, those spelt <|...|>, and `controls`. In `frame` (parts of the
     * first text, in their order) they are matched as ever: that is what a program wrote. Words go on
     * over a border of the two. */
    bool plain_text;
    const nlp_byte_range *frame;
    size_t n_frame;
    const int32_t *controls;
    size_t n_controls;
} nlp_encode_options;

/* Arrays of n, from the arena given. */
typedef struct nlp_encoding {
    int32_t *ids;
    /* byte offsets into the text (or the pair's second text), end exclusive; 0, 0 for special */
    uint32_t *start, *end;
    uint8_t *type_ids; /* segment: 0 or 1 */
    int8_t *sequence;  /* 0 text, 1 second text, -1 special token */
    size_t n;
    size_t n_full; /* tokens without truncation, special tokens included */
    size_t n_unknown;
    bool truncated;
} nlp_encoding;

/* text must be valid UTF-8 (NLP_EENCODING with the offset otherwise). pair NULL: single text.
 * Options NULL: defaults. */
nlp_status nlp_tokenizer_encode(const nlp_tokenizer *tokenizer, const nlp_text *text,
                                const nlp_text *pair, const nlp_encode_options *options,
                                nlp_arena *arena, nlp_poll *poll, nlp_encoding *encoding,
                                nlp_error *err);
/* Text of ids, special tokens left out if skip_special; an id out of range is NLP_EINVAL.
 * Terminated, from the arena. */
nlp_status nlp_tokenizer_decode(const nlp_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                bool skip_special, nlp_arena *arena, nlp_text *text,
                                nlp_error *err);
/* Whether the id is one of the tokens that are matched in a text before anything else. */
bool nlp_tokenizer_is_added(const nlp_tokenizer *tokenizer, int32_t id);
/* The piece that is spelt so in the vocabulary, or -1. */
int32_t nlp_tokenizer_find(const nlp_tokenizer *tokenizer, nlp_text spelling);
/* What each token adds in the middle of a text, byte for byte: token i has the bytes from ends[i - 1]
 * (0 for the first) up to ends[i]. None: tokens that are no text (unknown, padding, mask, of a
 * template), and added ones that are special or written as "<tag>". */
typedef struct nlp_spellings {
    const char *bytes;
    const uint32_t *ends; /* [n] */
    uint32_t n;
    /* a blank that begins a text is taken away when the text is decoded alone */
    bool drops_blank;
} nlp_spellings;
/* From the arena. NLP_EUNSUPPORTED where what a token adds depends on its neighbours (WordPiece). */
nlp_status nlp_tokenizer_spell(const nlp_tokenizer *tokenizer, nlp_arena *arena, nlp_poll *poll,
                               nlp_spellings *out, nlp_error *err);
/* The vocabulary's own spelling ("##ing"); borrowed. id must be in range. */
nlp_text nlp_tokenizer_piece(const nlp_tokenizer *tokenizer, int32_t id);

#endif
