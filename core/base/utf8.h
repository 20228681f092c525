/* utf8.h: UTF-8 and the Unicode properties that tokenizers need. The only home of utf8proc. Any
 * thread. */
#ifndef NLP_BASE_UTF8_H
#define NLP_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "nlp.h"

#define NLP_UTF8_MAX_BYTES 4
#define NLP_REPLACEMENT    0xFFFDu

/* Decodes the code point at text[0 .. n_bytes), n_bytes >= 1, and returns its length in bytes.
 * Invalid, overlong, surrogate or cut: *code_point = NLP_REPLACEMENT, length = the maximal
 * ill-formed part (Unicode 3.9, "best practice"). */
static inline size_t nlp_utf8_decode(const char *text, size_t n_bytes, uint32_t *code_point);
/* Writes 1..4 bytes; a surrogate or a value above 10FFFF becomes NLP_REPLACEMENT. */
static inline size_t nlp_utf8_encode(uint32_t code_point, char out[NLP_UTF8_MAX_BYTES]);
/* true if valid; otherwise *bad_at (may be NULL) is the offset of the first bad byte. */
bool nlp_utf8_valid(const char *text, size_t n_bytes, size_t *bad_at);
bool nlp_utf8_is_ascii(const char *text, size_t n_bytes);
/* Byte for byte. */
static inline bool nlp_text_equal(nlp_text a, nlp_text b) {
    return a.n_bytes == b.n_bytes && (!a.n_bytes || !memcmp(a.bytes, b.bytes, a.n_bytes));
}
/* For qsort and bsearch over nlp_text, or over structs that begin with one: by bytes, a text before those
 * that it begins. */
int nlp_text_by_bytes(const void *a, const void *b);
/* How many of a text's first bytes are whole characters and at most `most`. */
size_t nlp_utf8_fit(nlp_text text, size_t most);
/* Code points in a text; each ill-formed part counts as one. */
size_t nlp_utf8_length(const char *text, size_t n_bytes);

typedef enum nlp_unicode_class { /* general categories, grouped as tokenizers ask for them */
                                 NLP_UC_LETTER,
                                 NLP_UC_MARK_NONSPACING,
                                 NLP_UC_MARK_OTHER,
                                 NLP_UC_DECIMAL,
                                 NLP_UC_NUMBER_OTHER,
                                 NLP_UC_PUNCTUATION,
                                 NLP_UC_SYMBOL,
                                 NLP_UC_SPACE /* Z* */,
                                 NLP_UC_CONTROL /* Cc */,
                                 NLP_UC_FORMAT /* Cf */,
                                 NLP_UC_PRIVATE /* Co */,
                                 NLP_UC_SURROGATE,
                                 NLP_UC_UNASSIGNED
} nlp_unicode_class;

nlp_unicode_class nlp_unicode_class_of(uint32_t code_point);
bool nlp_unicode_white_space(uint32_t code_point); /* the White_Space property */
/* Full lower-case mapping of one code point without context: 1..3 code points, returns their
 * number. */
size_t nlp_unicode_lower(uint32_t code_point, uint32_t out[3]);
/* Full canonical decomposition of one code point (Hangul too), at most 18; returns their number. */
size_t nlp_unicode_decompose(uint32_t code_point, bool compatibility, uint32_t out[18]);
uint8_t nlp_unicode_combining(uint32_t code_point); /* canonical combining class */
/* The primary composite of two code points, or 0 (Hangul too). */
uint32_t nlp_unicode_compose(uint32_t first, uint32_t second);
/* Whether a grapheme cluster (UAX 29) ends between two neighbours; *state begins as 0. */
bool nlp_unicode_cluster_break(uint32_t before, uint32_t code_point, int32_t *state);
bool nlp_unicode_upper_case(uint32_t code_point); /* Lu */
bool nlp_unicode_title_case(uint32_t code_point); /* Lt */
bool nlp_unicode_lower_case(uint32_t code_point); /* Ll */
/* \\w: Alphabetic, marks, digits, connectors, joiners. */
bool nlp_unicode_word(uint32_t code_point);

/* ---- ASCII is most of all text and needs no call ---- */
size_t nlp_utf8_decode_any(const char *text, size_t n_bytes, uint32_t *code_point);
size_t nlp_utf8_encode_any(uint32_t code_point, char out[NLP_UTF8_MAX_BYTES]);

static inline size_t nlp_utf8_decode(const char *text, size_t n_bytes, uint32_t *code_point) {
    if ((uint8_t)*text >= 0x80) return nlp_utf8_decode_any(text, n_bytes, code_point);
    *code_point = (uint8_t)*text;
    return 1;
}
static inline size_t nlp_utf8_encode(uint32_t code_point, char out[NLP_UTF8_MAX_BYTES]) {
    if (code_point >= 0x80) return nlp_utf8_encode_any(code_point, out);
    out[0] = (char)code_point;
    return 1;
}

#endif
