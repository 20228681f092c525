/* spm_text.c: SentencePiece's own normaliser (src/normalizer.cc): the longest entry of the map at each
 * place, runs of blanks joined, blanks escaped, a blank put before the text. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

enum { ESCAPED_BLANK = 0x2581, MOST_KEY_BYTES = 64 };

typedef char spm_key[MOST_KEY_BYTES + NLP_UTF8_MAX_BYTES];

typedef struct spm {
    encoder *e;
    uint32_t flags;
    norm_char *out;
    size_t n, capacity;
} spm;

static nlp_status push(spm *s, uint32_t code, const norm_char *first, const norm_char *last) {
    if (s->n == s->capacity) {
        size_t capacity = 2 * s->capacity + 64;
        norm_char *out = NLP_PUSH(s->e->arena, norm_char, capacity);
        NLP_TRY(nlp_arena_status(s->e->arena, s->e->err));
        if (s->n) memcpy(out, s->out, s->n * sizeof *out);
        s->out = out, s->capacity = capacity;
    }
    if (code == ' ' && (s->flags & NLP_SPM_ESCAPE)) code = ESCAPED_BLANK;
    s->out[s->n++] = (norm_char){code, first->from, last->to};
    return NLP_OK;
}

/* Bytes of the longest user-defined piece at the start of a key: those are never normalised. */
static size_t user_piece(const nlp_tokenizer *t, const char *key, size_t n_bytes) {
    size_t longest = 0;
    uint32_t state = 0;
    for (size_t i = 0; t->kinds && i < n_bytes; i++) {
        uint32_t child = t->trie[state].base + (uint8_t)key[i];
        if (child >= t->extension.n_trie || t->trie[child].check != state + 1) break;
        state = child;
        if (t->trie[state].value && t->kinds[t->trie[state].value - 1] == NLP_PIECE_USER_DEFINED)
            longest = i + 1;
    }
    return longest;
}

/* The replacement at a place: a text, and how many characters it takes. Without an entry the
 * character itself, or a user-defined piece, in `key`. */
static nlp_text entry_at(const spm *s, const norm_char *at, size_t n, spm_key key,
                         size_t *n_chars) {
    size_t ends[MOST_KEY_BYTES + 1], n_bytes = 0, k = 0, used = 0;
    for (; k < n && k < MOST_KEY_BYTES && n_bytes < MOST_KEY_BYTES; k++)
        ends[k] = n_bytes += nlp_utf8_encode(at[k].code, key + n_bytes);
    const char *text = NULL;
    used = user_piece(s->e->tokenizer, key, n_bytes);
    if (!used) text = charsmap_find(s->e->tokenizer, key, n_bytes, true, &used);
    *n_chars = 1;
    while (used && *n_chars < k && ends[*n_chars - 1] < used) (*n_chars)++;
    return text ? (nlp_text){text, strlen(text)} : (nlp_text){key, ends[*n_chars - 1]};
}

static bool is_blank(nlp_text text) {
    return text.n_bytes == 1 && *text.bytes == ' ';
}

static nlp_status push_text(spm *s, nlp_text text, const norm_char *first, const norm_char *last,
                            bool *blank_before) {
    while (*blank_before && text.n_bytes && *text.bytes == ' ') text.bytes++, text.n_bytes--;
    if (text.n_bytes) *blank_before = text.bytes[text.n_bytes - 1] == ' ';
    for (size_t i = 0; i < text.n_bytes;) {
        uint32_t code;
        i += nlp_utf8_decode(text.bytes + i, text.n_bytes - i, &code);
        NLP_TRY(push(s, code, first, last));
    }
    return NLP_OK;
}

static bool ends_in_blank(const spm *s) {
    uint32_t last = s->n ? s->out[s->n - 1].code : 0;
    return last == ' ' || ((s->flags & NLP_SPM_ESCAPE) && last == ESCAPED_BLANK);
}

nlp_status spm_normalize(encoder *e, const nlp_text_rule *rule, norm_char **chars, size_t *n) {
    spm s = {.e = e, .flags = rule->flags};
    const norm_char *at = *chars, *end = *chars + *n;
    bool removes = rule->flags & NLP_SPM_REMOVE_EXTRA, dummy = rule->flags & NLP_SPM_DUMMY_PREFIX,
         behind = rule->flags & NLP_SPM_SUFFIX, blank_before = removes;
    spm_key key;
    size_t k;
    while (removes && at < end && is_blank(entry_at(&s, at, (size_t)(end - at), key, &k))) at += k;
    if (at == end) {
        *n = 0;
        return NLP_OK;
    }
    if (dummy && !behind) NLP_TRY(push(&s, ' ', at, at));
    while (at < end) {
        nlp_text text = entry_at(&s, at, (size_t)(end - at), key, &k);
        NLP_TRY(push_text(&s, text, at, at + k - 1, &blank_before));
        if (!removes) blank_before = false;
        at += k;
        NLP_TRY(nlp_poll_work(e->poll, 128, e->err));
    }
    while (removes && ends_in_blank(&s)) s.n--;
    if (dummy && behind) NLP_TRY(push(&s, ' ', end - 1, end - 1));
    *chars = s.out, *n = s.n;
    return NLP_OK;
}
