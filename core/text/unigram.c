/* unigram.c: the most probable pieces of a word (Kudo 2018): forward Viterbi over a trie of pieces,
 * where the first of equal paths stays. Tokenizers of the reference sum in double, word by word;
 * SentencePiece's own sums in float over the whole text. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

typedef struct node { /* the best way to a byte */
    double score;
    uint32_t from; /* byte where its last piece begins; UINT32_MAX: not reached */
    uint32_t value;
} node;

typedef struct unigram_work {
    node *nodes;    /* [capacity] */
    uint32_t *ends; /* of the pieces, last first */
    size_t capacity;
} unigram_work;

#define UNREACHED UINT32_MAX
#define UNKNOWN   UINT32_MAX /* value of a character that is no piece */

static nlp_status reserve(encoder *e, size_t n) {
    unigram_work *w = e->unigram;
    if (!w) {
        w = e->unigram = NLP_PUSH_ZERO(e->arena, unigram_work, 1);
        NLP_TRY(nlp_arena_status(e->arena, e->err));
    }
    if (n <= w->capacity) return NLP_OK;
    w->capacity = n + n / 2;
    w->nodes = NLP_PUSH(e->arena, node, w->capacity);
    w->ends = NLP_PUSH(e->arena, uint32_t, w->capacity);
    return nlp_arena_status(e->arena, e->err);
}

/* A candidate's score; SentencePiece's is rounded to float before it is compared. */
static void offer(const nlp_tokenizer *t, node *to, uint32_t from, double sum, uint32_t value) {
    if (t->extension.flags & NLP_UNIGRAM_FLOAT) sum = (double)(float)sum;
    if (to->from != UNREACHED && !(sum > to->score)) return;
    *to = (node){sum, from, value};
}

/* User-defined pieces of SentencePiece win over all others. */
static double score_of(const nlp_tokenizer *t, uint32_t value, size_t n_bytes) {
    if (t->kinds && t->kinds[value] == NLP_PIECE_USER_DEFINED)
        return (double)n_bytes * t->extension.user_score - 0.1;
    return t->scores[value];
}

static bool value_is_control(const encoder *e, uint32_t value) {
    uint32_t id = e->tokenizer->map ? e->tokenizer->map[value] : value;
    return id != NLP_NO_ID && is_control(e, id);
}

/* All pieces that begin at a byte: *single where one of them is the single character there. The bytes
 * that were looked at. */
static size_t offer_pieces(const encoder *e, const span *word, size_t at, size_t n_char,
                           node *nodes, bool *single) {
    const nlp_tokenizer *t = e->tokenizer;
    uint32_t state = 0;
    double so_far = nodes[at].score;
    size_t left = word->n_bytes - at, i = at,
           end = at + (left < NLP_TOKENIZER_MAX_PIECE_BYTES ? left : NLP_TOKENIZER_MAX_PIECE_BYTES);
    *single = false;
    for (; i < end; i++) {
        uint32_t child = t->trie[state].base + (uint8_t)word->bytes[i];
        if (child >= t->extension.n_trie || t->trie[child].check != state + 1) break;
        state = child;
        if (!t->trie[state].value) continue;
        uint32_t value = t->trie[state].value - 1;
        size_t n = i + 1 - at;
        if (t->kinds && t->kinds[value] == NLP_PIECE_UNUSED) continue;
        if (e->plain && value_is_control(e, value)) continue;
        offer(t, &nodes[i + 1], (uint32_t)at, score_of(t, value, n) + so_far, value);
        *single = *single || n == n_char;
    }
    return i - at;
}

static nlp_status find_path(encoder *e, const span *word) {
    const nlp_tokenizer *t = e->tokenizer;
    node *nodes = e->unigram->nodes;
    for (size_t i = 0; i <= word->n_bytes; i++) nodes[i] = (node){0, UNREACHED, UNKNOWN};
    nodes[0].from = 0;
    for (size_t at = 0, end; at < word->n_bytes; at = end) {
        uint32_t code;
        bool single;
        end = at + nlp_utf8_decode(word->bytes + at, word->n_bytes - at, &code);
        size_t n_seen = offer_pieces(e, word, at, end - at, nodes, &single);
        if (!single)
            offer(t, &nodes[end], (uint32_t)at, t->extension.unknown_score + nodes[at].score,
                  UNKNOWN);
        NLP_TRY(nlp_poll_work(e->poll, 64 + n_seen, e->err));
    }
    return NLP_OK;
}

static bool push_unknown(encoder *e, const span *word, size_t first, size_t end) {
    const nlp_tokenizer *t = e->tokenizer;
    bool bytes = t->extension.flags & NLP_BPE_FALLBACK;
    for (size_t i = first; bytes && i < end; i++)
        bytes = t->bytes[(uint8_t)word->bytes[i]] != NLP_NO_ID;
    for (size_t i = first; bytes && i < end; i++) /* each has the place of the whole run */
        if (!span_token(e, word, first, end, t->bytes[(uint8_t)word->bytes[i]])) return false;
    if (bytes) return true;
    uint32_t id = piece_of_unknown(e, word->bytes + first, end - first);
    e->tokens->n_unknown += id == t->header.unknown_id;
    return span_token(e, word, first, end, id);
}

/* A value that is unknown, or that the vocabulary of another file does not have. */
static bool push_piece(encoder *e, const span *word, size_t first, size_t end, uint32_t value) {
    const nlp_tokenizer *t = e->tokenizer;
    uint32_t id = value == UNKNOWN ? NLP_NO_ID : t->map ? t->map[value] : value;
    if (value == UNKNOWN) return push_unknown(e, word, first, end);
    if (id != NLP_NO_ID) return span_token(e, word, first, end, id);
    e->tokens->n_unknown++;
    return span_token(e, word, first, end, t->header.unknown_id);
}

/* Neighbouring unknown characters are one token. */
nlp_status unigram_push(encoder *e, span word) {
    NLP_TRY(reserve(e, word.n_bytes + 1));
    NLP_TRY(find_path(e, &word));
    const node *nodes = e->unigram->nodes;
    uint32_t *ends = e->unigram->ends;
    size_t n = 0;
    for (size_t at = word.n_bytes; at > 0; at = nodes[at].from) {
        bool fuses = n && nodes[at].value == UNKNOWN && nodes[ends[n - 1]].value == UNKNOWN;
        if (!fuses) ends[n++] = (uint32_t)at;
    }
    size_t first = 0;
    while (n) {
        size_t end = ends[--n];
        if (!push_piece(e, &word, first, end, nodes[end].value))
            return nlp_arena_status(e->tokens->arena, e->err);
        first = end;
    }
    return NLP_OK;
}
