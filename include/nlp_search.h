/* nlp_search.h: what the indexes of both databases share: vectors as bits and bytes, the best of many, keywords, and both together.
 *
 * Functions over the caller's memory: nothing is allocated, kept or asked to stop, and the same bytes give
 * the same bits on every machine, so that both databases rank the same rows alike. Sizes of rows that were
 * read from a database are checked by the caller, against nlp_signature_bytes and nlp_q8_bytes. Pointers to
 * bytes need no alignment. Any thread. A query by meaning goes
 *
 *     nlp_query_prepare(vector of the query) -> nlp_query_scan(each block of signatures) -> nlp_top_sort
 *     -> nlp_query_cosine(q8 of each that is left) -> nlp_fuse(with the ranks of the keywords). */
#ifndef NLP_SEARCH_H
#define NLP_SEARCH_H

#include "nlp.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NLP_SEARCH_MAX_DIMS 65536u

/* A vector as bits: bit i % 8 of byte i / 8 is x[i] > 0 (as binary_quantize of pgvector); padded with zeros
 * to words of 8 bytes. 48 bytes at 384 dims. */
NLP_API size_t nlp_signature_bytes(uint32_t dims);
NLP_API void nlp_signature_encode(const float *x, uint32_t dims, uint8_t *signature);

/* A vector as bytes: float32 scale = a / 127 with a = max |x|, then dims int8 of x * (127 / a), rounded half
 * to even; a below 1e-30 is taken as 0. 388 bytes at 384 dims. NLP_EINVAL: dims 0 or over the limit, NaN or
 * infinity. */
NLP_API size_t nlp_q8_bytes(uint32_t dims);
NLP_API nlp_status nlp_q8_encode(const float *x, uint32_t dims, uint8_t *q8, nlp_error *err);
NLP_API void nlp_q8_decode(const uint8_t *q8, uint32_t dims, float *x); /* x[i] = int8 * scale */

/* A query's vector, ready to be compared: its signature, and 4095 steps to each side. It lies in the caller's
 * memory, nlp_query_bytes(dims) of it, aligned to 8 bytes. Errors: as nlp_q8_encode. */
typedef struct nlp_query nlp_query;
NLP_API size_t nlp_query_bytes(uint32_t dims);
NLP_API nlp_status nlp_query_prepare(const float *x, uint32_t dims, nlp_query *query,
                                     nlp_error *err);
/* Cosine of the query and a row's q8, -1 .. 1: dot / sqrt(norm * norm) of exact integers; 0 where one is a
 * zero vector. About 0.1 microseconds at 384 dims. */
NLP_API double nlp_query_cosine(const nlp_query *query, const uint8_t *q8);

/* The best of many, in the caller's memory: higher scores first, equal ones by the smaller id, so no order of
 * pushing changes what stays. hits [capacity] is a heap until nlp_top_sort puts the best first. */
typedef struct nlp_hit {
    int64_t id;
    double score;
} nlp_hit;
typedef struct nlp_top {
    nlp_hit *hits;
    size_t n, capacity;
} nlp_top;
NLP_API void nlp_top_push(nlp_top *top, int64_t id, double score);
NLP_API void nlp_top_sort(nlp_top *top);

/* Some signatures, those of a query's dims, and who they belong to. */
typedef struct nlp_signature_block {
    const uint8_t *signatures; /* [n][nlp_signature_bytes(dims)] */
    size_t n;
    const uint8_t *ids;     /* [n] little-endian int64; NULL: first_id, first_id + 1, ... */
    const uint8_t *allowed; /* bit i % 8 of byte i / 8, others are passed over; NULL: all */
    int64_t first_id;
} nlp_signature_block;
/* Pushes each allowed one, with minus its Hamming distance as the score. About 4 ns each at 384 dims: ask to
 * stop between blocks. */
NLP_API void nlp_query_scan(const nlp_query *query, const nlp_signature_block *block, nlp_top *top);
/* How many of n vectors are compared by q8 to find k: all up to 10,000, else max(oversample * k, 256); with
 * oversample 0, the usual, max(32 * k, 2560), which found 96 % of the nearest ten of a million. */
NLP_API uint64_t nlp_search_candidates(uint64_t k, uint64_t oversample, uint64_t n);

/* A word's part of a document's score: log(1 + (N - df + 0.5) / (df + 0.5)) * tf * (k1 + 1) /
 * (tf + k1 * (1 - b + b * len / avg_len)) (Robertson and Zaragoza 2009, Lucene's idf). */
typedef struct nlp_bm25 {
    double n_documents, average_length, k1, b;
} nlp_bm25;
NLP_API double nlp_bm25_idf(double n_documents, double document_frequency);
NLP_API double nlp_bm25_score(const nlp_bm25 *corpus, double document_frequency,
                              double term_frequency, double length);

/* What a query says, as pieces between blanks, brackets and the like, without punctuation around them, different ones only.
 * Returns how many there are, at most `most`. */
typedef enum nlp_word_kind {
    NLP_WORD_LETTERS, /* only these */
    NLP_WORD_NUMBER,  /* of two digits or more */
    NLP_WORD_NAME, /* looks like an identifier: "E4512", "ORA-01555", "pg_class", "1.2.840", "--dry-run" */
    NLP_WORD_MIXED /* "boundary-layer", "and/or" */
} nlp_word_kind;
typedef struct nlp_query_word {
    size_t start, end; /* bytes of the query */
    nlp_word_kind kind;
} nlp_query_word;
NLP_API size_t nlp_query_words(nlp_text query, nlp_query_word *words, size_t most);

/* The next piece of a text from byte *at on that is a name, in lower case: its bytes, into name [NLP_NAME_BYTES]; 0 at
 * the end. Longer ones are passed over. */
#define NLP_NAME_BYTES 256
NLP_API size_t nlp_next_name(nlp_text text, size_t *at, char *name);

/* What the words of a query say. full: the score of a row that holds them all. mass, the sum of their nlp_bm25_idf, is near that
 * of a row of average length with each of them once; where rows are long, the best one's score as it would be with all words
 * tells more: best_mass is the sum over those that it has. part: theirs of the query, beside n_idle words that only build
 * sentences; the more of these there are, the less do the others say. best may be NULL. */
typedef struct nlp_said {
    double full, part;
} nlp_said;
NLP_API nlp_said nlp_said_by(double mass, const nlp_hit *best, double best_mass, size_t n_idle);

/* One ranking of two, by meaning and by words. A row's score is the sum of
 * - by meaning: weight * (cosine - c) / (best cosine - c), c that of the 100th nearest (of the last, where there are fewer);
 * - by words: weight * 2 * share^2, its share of said.full, 1 at most, times said.part: rows that have a few common
 *   words of the query must not pass those that mean it;
 * - for each name of the query that it holds, what is given here times the most that meaning and words can make. Neither
 *   half is to be trusted with these: the model has never seen them, and words around them are many.
 * hits are distinct and best first, weight >= 0. */
#define NLP_NAMED_WHOLE    2.0  /* an identifier, as a piece of its own */
#define NLP_NAMED_WITHIN   1.0  /* within a longer one: KX-200 in KX-200-B */
#define NLP_NAMED_RARE     0.65 /* a number, or a word that the model only knows in pieces */
#define NLP_NAME_MOST_ROWS 50   /* an identifier that more rows have identifies nothing */
#define NLP_RARE_MOST_ROWS 3
typedef struct nlp_half {
    const nlp_hit *hits;
    size_t n;
    double weight;
    nlp_said said; /* by words */
} nlp_half;
typedef struct nlp_fused {
    int64_t id;
    double score;
    uint32_t dense_rank, text_rank; /* from 1; 0: that half does not have it */
} nlp_fused;
/* Writes fused[dense->n + text->n + n_named], best first, equal scores by the ranks, then by the smaller id, and
 * returns how many there are. `named` may have an id several times. */
NLP_API size_t nlp_fuse(const nlp_half *dense, const nlp_half *text, const nlp_hit *named,
                        size_t n_named, nlp_fused *fused);

/* The place of a text that shows best why it was found: the window of at most `most` characters, on borders
 * of words, with most of the query's words; without any, the beginning of what was asked for. Words are
 * compared in lower case and by what they begin with, so that an inflected one is found. */
typedef struct nlp_snippet {
    size_t start, end;          /* bytes */
    int64_t start_pos, end_pos; /* characters from 1, the end included; 1 and 0 where it is empty */
    size_t n_words;             /* different words of the query in it */
} nlp_snippet;
NLP_API void nlp_snippet_find(nlp_text text, size_t from, size_t to /* bytes of text to look in */,
                              nlp_text query, size_t most, nlp_snippet *snippet);

#ifdef __cplusplus
}
#endif

#endif
