/* tokenizer_format.h: the compiled tokenizer of a pack (section "tokenizer"), used in place.
 * Little-endian; offsets from the blob's start; every table 4-byte aligned. Written by
 * importer/hf_tokenizer.c, checked whole by tokenizer.c.
 *
 *   header
 *   piece_ends    u32 [n_pieces]        end of each piece in `text`; piece 0 begins at 0
 *   slots         u32 [n_slots]         open-addressing table of pieces: id + 1, 0 is empty; a
 * power of two, never full added         nlp_added_token []    matched in the raw text, leftmost
 * and longest first single, pair  nlp_template_item []  what surrounds one text, or two text bytes
 * all pieces, then prefix and added tokens */
#ifndef NLP_TEXT_TOKENIZER_FORMAT_H
#define NLP_TEXT_TOKENIZER_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define NLP_TOKENIZER_MAGIC           0x4b4f544eu /* "NTOK" */
#define NLP_TOKENIZER_VERSION         1u
#define NLP_TOKENIZER_MAX_PIECES      (1u << 20)
#define NLP_TOKENIZER_MAX_PIECE_BYTES 8192u
#define NLP_TOKENIZER_MAX_WORD        1024u /* most characters of a word that is looked up */
#define NLP_NO_ID                     0xffffffffu

enum { NLP_MODEL_WORDPIECE = 1 };
enum { /* BertNormalizer and the WordPiece decoder */
       NLP_TEXT_CLEAN = 1,
       NLP_TEXT_CHINESE = 2,
       NLP_TEXT_STRIP_ACCENTS = 4,
       NLP_TEXT_LOWER = 8,
       NLP_TEXT_CLEANUP = 16
};
enum {
    NLP_ADDED_LSTRIP = 1,
    NLP_ADDED_RSTRIP = 2,
    NLP_ADDED_SINGLE_WORD = 4,
    NLP_ADDED_SPECIAL = 8
};
enum { NLP_ITEM_SPECIAL = 0, NLP_ITEM_FIRST = 1, NLP_ITEM_SECOND = 2 };

typedef struct nlp_added_token {
    uint32_t id, text_at, text_bytes, flags;
} nlp_added_token;

typedef struct nlp_template_item {
    uint32_t kind, id, type_id; /* id of a special token */
} nlp_template_item;

typedef struct nlp_tokenizer_header {
    uint32_t magic, version, model, flags;
    uint32_t n_pieces, n_slots, n_added, n_single, n_pair;
    uint32_t unknown_id, pad_id, mask_id; /* NLP_NO_ID: none; unknown_id must be there */
    uint32_t max_word;                    /* characters; a longer word is unknown */
    uint32_t prefix_at, prefix_bytes;     /* of pieces inside a word: "##" */
    uint32_t pieces_at, slots_at, added_at, single_at, pair_at, text_at, text_bytes;
} nlp_tokenizer_header;

/* The hash of the slots: prefixes extend each other byte by byte. */
#define NLP_PIECE_HASH_START 0xcbf29ce484222325u
static inline uint64_t nlp_piece_hash(uint64_t hash, const void *bytes, size_t n) {
    const uint8_t *at = (const uint8_t *)bytes;
    for (size_t i = 0; i < n; i++) hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}
static inline uint32_t nlp_piece_slot(uint64_t hash, uint32_t n_slots) {
    return (uint32_t)(hash ^ hash >> 29) & (n_slots - 1);
}

#endif
