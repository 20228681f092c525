/* vocabulary.h: the tokens of a tokenizer by the bytes that they add to a text, as a trie: which of them
 * a constraint lets through, and how bytes are spelt by tokens. Immutable once opened; any thread. */
#ifndef NLP_GENERATE_VOCABULARY_H
#define NLP_GENERATE_VOCABULARY_H

#include "base/thread.h"
#include "text/tokenizer.h"

#define NLP_VOCABULARY_MAX_TOKEN_BYTES 64 /* longer tokens are never written */

/* A node of the trie. Nodes lie in depth-first order: behind a node come its descendants, up to `end`. */
typedef struct nlp_vocabulary_node {
    uint8_t byte, depth;      /* the root's children have depth 1 */
    uint32_t end;             /* index of the first node that is no descendant */
    uint32_t first, n_tokens; /* tokens that end here: order[first ..) */
} nlp_vocabulary_node;

typedef struct nlp_vocabulary {
    nlp_spellings spellings;
    uint32_t *order; /* ids sorted by their bytes; those without are not there */
    nlp_vocabulary_node *nodes;
    uint32_t n_nodes, n_tokens;
    int32_t starts[256]; /* the root's child of each byte, -1: none */
    bool has_byte[256];  /* the byte is a token */
    /* A vocabulary of bytes: all that go on in a character are tokens, and a character can be spelt if
     * its bytes are. In others it can be if it is a token itself, and tokens that are no whole characters
     * are left out. */
    bool is_bytes;
} nlp_vocabulary;

/* Everything lies in the arena; the tokenizer may go. */
nlp_status nlp_vocabulary_open(const nlp_tokenizer *tokenizer, nlp_arena *arena, nlp_poll *poll,
                               const nlp_vocabulary **vocabulary, nlp_error *err);
/* One that all calls of a model share, made by the first that needs it. */
typedef struct nlp_shared_vocabulary {
    nlp_mutex lock;
    nlp_mem mem;
    nlp_arena arena;
    const nlp_tokenizer *tokenizer;
    const nlp_vocabulary *made; /* NULL: not yet */
} nlp_shared_vocabulary;
/* Makes nothing. The tokenizer outlives it. Outside the
 * budgets of sessions: about 80 bytes a token. */
void nlp_shared_vocabulary_init(nlp_shared_vocabulary *shared, const nlp_tokenizer *tokenizer,
                                nlp_alloc_fn alloc, void *alloc_context);
void nlp_shared_vocabulary_deinit(nlp_shared_vocabulary *shared);
/* Any thread; a second one waits for the first. A call that fails or is stopped leaves it to the next. */
nlp_status nlp_shared_vocabulary_get(nlp_shared_vocabulary *shared, nlp_poll *poll,
                                     const nlp_vocabulary **vocabulary, nlp_error *err);
/* Whether a token of this text is in the trie. */
bool nlp_vocabulary_has(const nlp_vocabulary *vocabulary, nlp_text text);
/* Whether a text may have the character; never U+0000, which no SQL text has. */
bool nlp_vocabulary_spells(const nlp_vocabulary *vocabulary, uint32_t code_point);
/* The longest token that begins these bytes and its length; -1 where there is none. */
int32_t nlp_vocabulary_longest(const nlp_vocabulary *vocabulary, const char *bytes, size_t n_bytes,
                               size_t *length);

static inline nlp_text nlp_vocabulary_text(const nlp_vocabulary *v, uint32_t id) {
    uint32_t start = id ? v->spellings.ends[id - 1] : 0;
    return (nlp_text){v->spellings.bytes + start, v->spellings.ends[id] - start};
}

#endif
