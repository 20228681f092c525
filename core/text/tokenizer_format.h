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
#define NLP_TOKENIZER_MAX_RULES       16u   /* normalisers, or pre-tokenizers */
#define NLP_NO_ID                     0xffffffffu

enum {
    NLP_MODEL_WORDPIECE = 1, /* with BERT's normaliser and pre-tokenizer */
    NLP_MODEL_BPE = 2,
    NLP_MODEL_UNIGRAM = 3,
    NLP_MODEL_WORDLEVEL = 4
};
enum { /* BertNormalizer and the WordPiece decoder */
       NLP_TEXT_CLEAN = 1,
       NLP_TEXT_CHINESE = 2,
       NLP_TEXT_STRIP_ACCENTS = 4,
       NLP_TEXT_LOWER = 8,
       NLP_TEXT_CLEANUP = 16,
       NLP_TEXT_DROP_UNKNOWN = 32 /* of every model: unknown tokens are left out (model2vec) */
};
enum {                                /* of the extension */
       NLP_BPE_BYTES = 1,             /* symbols are bytes; else characters */
       NLP_BPE_FALLBACK = 2,          /* a character without a piece becomes its bytes' pieces */
       NLP_BPE_FUSE_UNKNOWN = 4,      /* neighbouring unknown tokens are one */
       NLP_BPE_WHOLE_FIRST = 8,       /* a word that is a piece is that piece ("ignore_merges") */
       NLP_UNIGRAM_FLOAT = 16,        /* sums in float over the whole text, as SentencePiece */
       NLP_TOKENIZER_TRIM = 32,       /* offsets leave out white space at a token's ends */
       NLP_TOKENIZER_TRIM_FIRST = 64, /* ... but not the blank put before a text */
       NLP_BPE_NO_UNKNOWN = 128,      /* a symbol that has no piece is left out */
       NLP_TOKENIZER_BY_TEXT = 256    /* what the model can't cut may be a piece, by its text */
};
enum {                         /* normalisers, in the order of the table; a and b are texts */
       NLP_NORMALIZE_FORM = 1, /* flags: NLP_FORM_* */
       NLP_NORMALIZE_LOWER = 2,
       NLP_NORMALIZE_STRIP_ACCENTS = 3, /* flags: 1 all marks; else nonspacing ones */
       NLP_NORMALIZE_STRIP = 4,         /* flags: 1 left, 2 right */
       NLP_NORMALIZE_REPLACE = 5,       /* a by b */
       NLP_NORMALIZE_RUNS = 6,          /* two or more of a by b */
       NLP_NORMALIZE_PREPEND = 7,       /* a, unless the text is empty */
       NLP_NORMALIZE_CHARSMAP = 8,      /* as the reference's tokenizers apply it */
       NLP_NORMALIZE_NMT = 9,
       NLP_NORMALIZE_CLEAN = 10,   /* BERT's: controls dropped, white space to blanks */
       NLP_NORMALIZE_CHINESE = 11, /* BERT's: blanks around Chinese characters */
       NLP_NORMALIZE_SPM = 12      /* SentencePiece's whole normaliser; flags: NLP_SPM_* */
};
enum { NLP_UNICODE_COMPOSE = 1, NLP_UNICODE_COMPATIBILITY = 2 };
enum {
    NLP_SPM_DUMMY_PREFIX = 1,
    NLP_SPM_REMOVE_EXTRA = 2,
    NLP_SPM_ESCAPE = 4,
    NLP_SPM_SUFFIX = 8 /* the dummy blank goes behind */
};
enum {                        /* pre-tokenizers */
       NLP_SPLIT_PATTERN = 1, /* flags: NLP_PATTERN_* */
       NLP_SPLIT_BERT = 2,
       NLP_SPLIT_METASPACE = 3, /* flags: NLP_METASPACE_* */
       NLP_SPLIT_WORDS = 4,     /* "Whitespace": runs of word characters, runs of others */
       NLP_SPLIT_SPACES = 5,    /* "WhitespaceSplit" */
       NLP_SPLIT_PUNCTUATION = 6,
       NLP_SPLIT_DIGITS = 7,      /* flags: 1 one by one */
       NLP_SPLIT_PREFIX = 8,      /* a blank before a text that has none */
       NLP_SPLIT_AFTER_BLANKS = 9 /* Gemma's: behind each blank */
};
enum { NLP_METASPACE_FIRST = 1, NLP_METASPACE_ALWAYS = 2, NLP_METASPACE_SPLIT = 4 };
enum { /* known split patterns: text/scanner.c */
       NLP_PATTERN_GPT2 = 1,
       NLP_PATTERN_LLAMA3 = 2,
       NLP_PATTERN_QWEN2 = 3,
       NLP_PATTERN_O200K = 4,
       NLP_PATTERN_TEKKEN = 5,
       NLP_PATTERN_NEWLINES = 6,     /* DeepSeek's stages from here on */
       NLP_PATTERN_LETTERS = 7,      /* \\s?\\p{L}+ */
       NLP_PATTERN_CASED = 8,        /* \\s?[cased letters]+ */
       NLP_PATTERN_PUNCTUATION = 9,  /* \\s?\\p{P}+ */
       NLP_PATTERN_ASCII_MARKS = 10, /* \\s?[marks of ASCII and full width]+ */
       NLP_PATTERN_LAST_SPACE = 11,  /* \\s+$ */
       NLP_PATTERN_CJK = 12,
       NLP_PATTERN_NUMBERS = 13,       /* \\p{N}+ */
       NLP_PATTERN_NUMBER = 14,        /* \\p{N} */
       NLP_PATTERN_THREE_NUMBERS = 15, /* \\p{N}{1,3} */
       NLP_PATTERN_KANA = 16,
       NLP_PATTERN_DEEPSEEK3 = 17,
       NLP_PATTERN_THREE_DIGITS = 18 /* [0-9][0-9][0-9]: Falcon */
};
enum { /* decoders */
       NLP_DECODE_WORDPIECE = 0,
       NLP_DECODE_BYTES = 1,        /* pieces are bytes in the byte alphabet */
       NLP_DECODE_METASPACE = 2,    /* U+2581 is a blank, none before the first */
       NLP_DECODE_SPM = 3,          /* U+2581 is a blank, <0xNN> are bytes */
       NLP_DECODE_PLAIN = 4,        /* pieces with blanks between */
       NLP_DECODE_SUFFIX = 5,       /* a piece with the end-of-word suffix ends a word */
       NLP_DECODE_JOIN = 6,         /* pieces behind each other */
       NLP_DECODE_SENTENCEPIECE = 7 /* as SPM, by SentencePiece's own rules */
};

enum {
    NLP_ADDED_LSTRIP = 1,
    NLP_ADDED_RSTRIP = 2,
    NLP_ADDED_SINGLE_WORD = 4,
    NLP_ADDED_SPECIAL = 8
};
enum {
    NLP_PIECE_NORMAL = 0,
    NLP_PIECE_USER_DEFINED = 1,
    NLP_PIECE_UNUSED = 2
}; /* of SentencePiece */
/* Where one file cuts the text and another gives the ids: which of them has a piece. */
enum { NLP_SIDE_BOTH = 0, NLP_SIDE_VOCABULARY = 1, NLP_SIDE_CUTTER = 2 };
enum { NLP_ITEM_SPECIAL = 0, NLP_ITEM_FIRST = 1, NLP_ITEM_SECOND = 2 };

typedef struct nlp_added_token {
    uint32_t id, text_at, text_bytes, flags;
} nlp_added_token;

typedef struct nlp_template_item {
    uint32_t kind, id, type_id; /* id of a special token */
} nlp_template_item;

/* NLP_ADDED_NORMALIZED in flags: matched in the normalised text. */
enum { NLP_ADDED_NORMALIZED = 16 };

typedef struct nlp_text_rule { /* of a normaliser or a pre-tokenizer */
    uint32_t kind, flags;
    uint32_t a_at, a_bytes, b_at, b_bytes; /* in `text` */
} nlp_text_rule;

typedef struct nlp_merge { /* slot of an open-addressing table; left NLP_NO_ID: empty */
    uint32_t left, right, rank, id;
} nlp_merge;

typedef struct nlp_trie_unit { /* child of state s by byte c: base + c, if its check is s + 1 */
    uint32_t base, check;
    uint32_t value; /* id + 1 of the piece that ends here; 0: none */
} nlp_trie_unit;

/* Behind the header where the model is not WordPiece. */
typedef struct nlp_tokenizer_extension {
    uint32_t extension_bytes; /* sizeof: later versions append */
    uint32_t flags;
    uint32_t decoder; /* NLP_DECODE_* */
    /* blanks put before a text, that decoding takes away; of NLP_DECODE_SENTENCEPIECE 1: one, 2: one
     * of each piece until the text begins */
    uint32_t decoder_strip;
    uint32_t n_normalizers, normalizers_at; /* nlp_text_rule */
    uint32_t n_splits, splits_at;           /* nlp_text_rule */
    uint32_t n_merge_slots, merges_at;      /* a power of two, or 0 */
    uint32_t bytes_at;            /* u32 [256]: piece of each byte, NLP_NO_ID: none; 0: none */
    uint32_t n_trie, trie_at;     /* nlp_trie_unit; state 0 is the root */
    uint32_t n_scores, scores_at; /* f64, by value of the trie */
    uint32_t map_at;   /* u32 [n_scores]: id of a trie's value (NLP_NO_ID: unknown); 0: itself */
    uint32_t kinds_at; /* u8 [n_scores]: NLP_PIECE_*; 0: none */
    uint32_t charsmap_at, charsmap_bytes;
    uint32_t
        whole_at; /* u8 [n_pieces]: 1 where merging the piece's text gives the piece; 0: none */
    uint32_t suffix_at, suffix_bytes; /* end of a word */
    double unknown_score, user_score; /* of a character that is no piece, of a user-defined byte */
    uint32_t language_code; /* 1: ">>xxx<<" at the start of a text is one token (Marian) */
    uint32_t sides_at;      /* of BPE, u8 [n_pieces]: NLP_SIDE_*; 0: none */
    uint32_t reserved[12];
} nlp_tokenizer_extension;

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

static inline uint32_t nlp_merge_slot(uint32_t left, uint32_t right) {
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(key >> 32);
}
/* The byte alphabet of byte-level BPE: bytes that print stand for themselves, the others for U+0100
 * and on, in their order (GPT-2's encoder.py). Returns the code point. */
static inline uint32_t nlp_byte_letter(uint8_t byte) {
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174) return byte;
    if (byte <= 32) return 256u + byte;
    return byte <= 160 ? 256u + 33 + byte - 127 : 256u + 67;
}

#endif
