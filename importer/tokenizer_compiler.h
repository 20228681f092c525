/* tokenizer_compiler.h: what the readers of tokenizer files fill, and tokenizer_blob.c writes as the
 * compiled tokenizer of a pack (core/text/tokenizer_format.h). */
#ifndef NLP_IMPORTER_TOKENIZER_COMPILER_H
#define NLP_IMPORTER_TOKENIZER_COMPILER_H

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "text/tokenizer_format.h"

enum { NLP_MOST_RULES = 16, NLP_MOST_ITEMS = 64, NLP_MOST_CHARSMAP = 16 << 20 };

typedef struct piece {
    const char *text;
    size_t n_bytes;
} piece;

/* A rule of a normaliser or a pre-tokenizer with its texts. */
typedef struct text_rule {
    uint32_t kind, flags;
    piece a, b;
} text_rule;

typedef struct merge_rule {
    uint32_t left, right, rank, id;
} merge_rule;

typedef struct compiler {
    nlp_arena *arena;
    nlp_error *err;
    const char *file; /* that messages name */
    nlp_tokenizer_header header;
    nlp_tokenizer_extension extension;
    piece *pieces; /* by id; text NULL: not there (yet) */
    const char *prefix, *suffix;
    nlp_added_token *added;
    piece *added_text;
    uint32_t added_capacity;
    nlp_template_item single[NLP_MOST_ITEMS], pair[NLP_MOST_ITEMS];
    text_rule normalizers[NLP_MOST_RULES], splits[NLP_MOST_RULES];
    merge_rule *merges;
    size_t n_merges;
    bool has_bytes;
    uint32_t bytes[256];
    /* of Unigram: keys of the trie, their scores, and where given the id of each */
    const piece *keys;
    double *scores;
    uint32_t *map;
    uint8_t *kinds;
    uint32_t n_keys;
    const uint8_t *charsmap;
    uint8_t *sides; /* by id: NLP_SIDE_*; NULL: none */
    bool has_nul;   /* U+FFFF in texts stands for U+0000: json.h */
    bool sparse;    /* ids without a piece are allowed: they are never made */
} compiler;

/* ---- tokenizer_blob.c ---- */

/* An empty compiler in an arena that it opens, and that the caller closes; messages name `file`. NULL
 * when out of memory: the arena's status says it. */
compiler *compiler_start(nlp_arena *arena, nlp_mem *mem, const char *file, nlp_error *err);
nlp_status compiler_refuse(const compiler *c, const char *key, const char *what);
nlp_status compiler_start_pieces(compiler *c, size_t n);
nlp_status compiler_set_piece(compiler *c, int64_t id, const char *text, size_t n_bytes);
/* Linear; for a few special tokens. NLP_NO_ID where there is none. */
uint32_t compiler_find(const compiler *c, const char *text);
nlp_status compiler_add_token(compiler *c, uint32_t id, const char *text, size_t n_bytes,
                              uint32_t flags);
/* The same for a piece by its text, where there is one. */
nlp_status compiler_add_special(compiler *c, const char *text);
nlp_status compiler_add_rule(compiler *c, bool is_split, text_rule rule);
nlp_status compiler_add_item(compiler *c, nlp_template_item *items, uint32_t *n,
                             nlp_template_item item);
/* id of a text among the pieces, fast: an index made once. */
typedef struct piece_index {
    uint32_t *slots;
    uint32_t n_slots;
} piece_index;
nlp_status compiler_index(const compiler *c, piece_index *index);
uint32_t compiler_lookup(const compiler *c, const piece_index *index, const char *text, size_t n);
/* Appends the finished blob. */
nlp_status compiler_write(compiler *c, nlp_buf *blob);

/* ---- tokenizer_merges.c ---- */

/* Room for n merges; each that is added has the next rank. */
nlp_status compiler_start_merges(compiler *c, size_t n);
nlp_status compiler_add_merge(compiler *c, const piece_index *index, const piece parts[2]);
/* Pieces of the 256 bytes: letters of the byte alphabet, of which none may lack, or "<0xNN>". */
nlp_status compiler_find_bytes(compiler *c, const piece_index *index, bool letters);

/* ---- double_array.c ---- */

/* A trie over n keys; value of key i is i + 1. Units come from the arena. */
nlp_status double_array_build(const piece *keys, uint32_t n, nlp_arena *arena,
                              nlp_trie_unit **units, uint32_t *n_units, nlp_error *err);

/* ---- hf_tokenizer.c ---- */

struct nlp_vocab_txt_options;
/* BERT's tokenizer over pieces that are there already. */
nlp_status hf_compile_wordpiece(compiler *c, const struct nlp_vocab_txt_options *options,
                                nlp_buf *blob);

/* ---- hf_components.c: parts of tokenizer.json ---- */

nlp_status hf_read_normalizer(compiler *c, const json_t *normalizer);
nlp_status hf_read_pre_tokenizer(compiler *c, const json_t *pre_tokenizer);
nlp_status hf_read_decoder(compiler *c, const json_t *decoder);
nlp_status hf_read_post_processor(compiler *c, const json_t *post_processor);
/* [CLS] A [SEP], and with B [SEP] for pairs. */
nlp_status hf_bert_template(compiler *c, uint32_t cls, uint32_t sep);
bool hf_type_is(const json_t *component, const char *type);

/* ---- split_patterns.c ---- */

/* NLP_PATTERN_* of a pattern's text, or 0. */
uint32_t split_pattern_find(const char *text);
/* Stages of a GGUF file's `pre` name; false where it is unknown. */
bool split_pattern_pre(const char *name, text_rule rules[NLP_MOST_RULES], uint32_t *n_rules,
                       uint32_t *flags);

#endif
