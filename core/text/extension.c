/* extension.c: the tables of a tokenizer that is not WordPiece, checked like a stranger's file. */
#include <math.h>
#include <string.h>

#include "text/tokenizer_parts.h"

typedef struct opening {
    nlp_tokenizer *t;
    const uint8_t *blob;
    size_t n_bytes;
    nlp_error *err;
} opening;

static nlp_status corrupt(const opening *o, const char *what) {
    return nlp_fail(o->err, NLP_ECORRUPT, "the pack's tokenizer is damaged: %s", what);
}

/* A table of n entries at `at`; NULL (and *bad) where it does not fit. at 0 is "absent" for optional
 * ones. */
static const void *table(const opening *o, uint32_t at, size_t n, size_t size, size_t alignment,
                         bool *bad) {
    size_t bytes;
    if (at && !(at % alignment) && at <= o->n_bytes && !nlp_mul_overflows(n, size, &bytes) &&
        bytes <= o->n_bytes - at)
        return o->blob + at;
    *bad = *bad || at || n;
    return NULL;
}

static bool text_is_inside(const nlp_tokenizer *t, uint32_t at, uint32_t n) {
    return at <= t->header.text_bytes && n <= t->header.text_bytes - at;
}

/* As many as t->fates has rows. */
static nlp_status check_rules(const opening *o, const nlp_text_rule *rules, uint32_t n,
                              uint32_t first, uint32_t last) {
    if (n > NLP_TOKENIZER_MAX_RULES) return corrupt(o, "it has too many rules");
    for (uint32_t i = 0; i < n; i++)
        if (rules[i].kind < first || rules[i].kind > last ||
            !text_is_inside(o->t, rules[i].a_at, rules[i].a_bytes) ||
            !text_is_inside(o->t, rules[i].b_at, rules[i].b_bytes) || rules[i].a_bytes > 1024 ||
            rules[i].b_bytes > 1024)
            return corrupt(o, "a rule is not possible");
    return NLP_OK;
}

/* One stage at most may rewrite a word: they share a buffer. Patterns are known ones. */
static nlp_status check_splits(const opening *o) {
    uint32_t n_rewriting = 0;
    for (uint32_t i = 0; i < o->t->extension.n_splits; i++) {
        const nlp_text_rule *r = &o->t->splits[i];
        n_rewriting += r->kind == NLP_SPLIT_METASPACE || r->kind == NLP_SPLIT_PREFIX;
        if (r->kind == NLP_SPLIT_PATTERN &&
            (r->flags < NLP_PATTERN_GPT2 || r->flags > NLP_PATTERN_THREE_DIGITS))
            return corrupt(o, "a split pattern is unknown");
    }
    return n_rewriting < 2 ? NLP_OK : corrupt(o, "two stages rewrite a word");
}

/* Ids of pieces, and one empty slot, so that a search ends. */
static nlp_status check_merges(const opening *o) {
    const nlp_tokenizer *t = o->t;
    uint32_t n = t->extension.n_merge_slots, n_empty = 0;
    if (n & (n - 1)) return corrupt(o, "its merges are no power of two");
    for (uint32_t i = 0; i < n; i++) {
        const nlp_merge *m = &t->merges[i];
        n_empty += m->left == NLP_NO_ID;
        if (m->left != NLP_NO_ID && (m->left >= t->header.n_pieces ||
                                     m->right >= t->header.n_pieces || m->id >= t->header.n_pieces))
            return corrupt(o, "a merge names no piece");
    }
    return !n || n_empty ? NLP_OK : corrupt(o, "its merges are full");
}

static nlp_status check_values(const opening *o) {
    const nlp_tokenizer *t = o->t;
    const nlp_tokenizer_extension *x = &t->extension;
    for (uint32_t i = 0; i < x->n_trie; i++)
        if (t->trie[i].value > x->n_scores || t->trie[i].check > x->n_trie)
            return corrupt(o, "its trie names no piece");
    for (uint32_t i = 0; i < x->n_scores; i++) {
        if (!isfinite(t->scores[i])) return corrupt(o, "a score is no number");
        if (t->map && t->map[i] != NLP_NO_ID && t->map[i] >= t->header.n_pieces)
            return corrupt(o, "a piece has no place in its vocabulary");
    }
    if (!t->map && x->n_scores > t->header.n_pieces)
        return corrupt(o, "it has more scores than pieces");
    return NLP_OK;
}

static bool is_beyond(const nlp_tokenizer *t, uint32_t id) {
    return id != NLP_NO_ID && id >= t->n_vocabulary;
}

static bool template_is_beyond(const nlp_tokenizer *t, const nlp_template_item *items, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (items[i].kind == NLP_ITEM_SPECIAL && is_beyond(t, items[i].id)) return true;
    return false;
}

/* The cutter's own pieces stand behind the vocabulary, and nothing that a text becomes names one. */
static nlp_status check_sides(const opening *o) {
    nlp_tokenizer *t = o->t;
    const nlp_tokenizer_header *h = &t->header;
    uint32_t n = h->n_pieces;
    /* only the merging of characters turns them into ids of the vocabulary */
    bool bad = t->sides && (h->model != NLP_MODEL_BPE || t->whole ||
                            (t->extension.flags & NLP_BPE_WHOLE_FIRST));
    while (t->sides && n && t->sides[n - 1] == NLP_SIDE_CUTTER) n--;
    t->n_vocabulary = n;
    for (uint32_t i = 0; t->sides && i < n; i++) bad = bad || t->sides[i] == NLP_SIDE_CUTTER;
    for (uint32_t i = 0; i < h->n_added; i++) bad = bad || is_beyond(t, t->added[i].id);
    bad = bad || template_is_beyond(t, t->single, h->n_single) ||
          template_is_beyond(t, t->pair, h->n_pair) || is_beyond(t, h->unknown_id);
    return bad ? corrupt(o, "a piece of the cutter is in its vocabulary") : NLP_OK;
}

static nlp_status check_model(const opening *o) {
    const nlp_tokenizer *t = o->t;
    const nlp_tokenizer_extension *x = &t->extension;
    bool bytes = (x->flags & (NLP_BPE_BYTES | NLP_BPE_FALLBACK)) != 0;
    for (size_t i = 0; t->bytes && i < 256; i++)
        if (t->bytes[i] != NLP_NO_ID && t->bytes[i] >= t->header.n_pieces)
            return corrupt(o, "a byte names no piece");
    if (bytes && !t->bytes) return corrupt(o, "it has no bytes");
    if (t->header.model == NLP_MODEL_UNIGRAM && (!t->trie || !t->scores || !x->n_trie))
        return corrupt(o, "it has no trie");
    if (t->kinds && !x->n_trie) return corrupt(o, "it has kinds of pieces and no trie");
    if (t->header.unknown_id == NLP_NO_ID && !(x->flags & NLP_BPE_NO_UNKNOWN))
        return corrupt(o, "it has no unknown token");
    if (!isfinite(x->unknown_score) || !isfinite(x->user_score) ||
        !text_is_inside(t, x->suffix_at, x->suffix_bytes) || x->suffix_bytes > 64 ||
        t->header.prefix_bytes > 64 || x->decoder > NLP_DECODE_SENTENCEPIECE)
        return corrupt(o, "a number of its model is not possible");
    if (t->charsmap && !charsmap_is_sound(t->charsmap, x->charsmap_bytes))
        return corrupt(o, "its map of characters");
    return NLP_OK;
}

static void find_kept(nlp_tokenizer *t) {
    for (size_t i = 0; i < 128; i++) {
        char c = (char)i;
        size_t used;
        t->map_keeps[i] = !charsmap_find(t, &c, 1, false, &used);
    }
}

/* Rules and splits refer to the header's text, so that is checked before. */
nlp_status extension_open(nlp_tokenizer *t, const void *blob, size_t n_bytes, nlp_error *err) {
    opening o = {t, blob, n_bytes, err};
    nlp_tokenizer_extension *x = &t->extension;
    bool bad = false;
    size_t at = sizeof(nlp_tokenizer_header);
    if (n_bytes - at < sizeof *x) return corrupt(&o, "it is too short");
    memcpy(x, o.blob + at, sizeof *x);
    if (x->extension_bytes != sizeof *x)
        return nlp_fail(err, NLP_EUNSUPPORTED,
                        "the pack's tokenizer says more than this library knows");
    t->normalizers =
        table(&o, x->normalizers_at, x->n_normalizers, sizeof *t->normalizers, 4, &bad);
    t->splits = table(&o, x->splits_at, x->n_splits, sizeof *t->splits, 4, &bad);
    t->merges = table(&o, x->merges_at, x->n_merge_slots, sizeof *t->merges, 4, &bad);
    t->trie = table(&o, x->trie_at, x->n_trie, sizeof *t->trie, 4, &bad);
    t->scores = table(&o, x->scores_at, x->n_scores, sizeof *t->scores, 8, &bad);
    t->charsmap = table(&o, x->charsmap_at, x->charsmap_bytes, 1, 4, &bad);
    if (x->bytes_at) t->bytes = table(&o, x->bytes_at, 256, sizeof *t->bytes, 4, &bad);
    if (x->map_at) t->map = table(&o, x->map_at, x->n_scores, sizeof *t->map, 4, &bad);
    if (x->kinds_at) t->kinds = table(&o, x->kinds_at, x->n_scores, 1, 1, &bad);
    if (x->whole_at) t->whole = table(&o, x->whole_at, t->header.n_pieces, 1, 1, &bad);
    if (x->sides_at) t->sides = table(&o, x->sides_at, t->header.n_pieces, 1, 1, &bad);
    if (bad) return corrupt(&o, "a table lies out of place");
    NLP_TRY(
        check_rules(&o, t->normalizers, x->n_normalizers, NLP_NORMALIZE_FORM, NLP_NORMALIZE_SPM));
    NLP_TRY(check_rules(&o, t->splits, x->n_splits, NLP_SPLIT_PATTERN, NLP_SPLIT_AFTER_BLANKS));
    NLP_TRY(check_splits(&o));
    NLP_TRY(check_merges(&o));
    NLP_TRY(check_values(&o));
    NLP_TRY(check_sides(&o));
    NLP_TRY(check_model(&o));
    find_kept(t);
    find_fates(t);
    return NLP_OK;
}
