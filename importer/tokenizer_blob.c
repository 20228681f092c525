/* tokenizer_blob.c: a compiled tokenizer from what a reader found: the tables of
 * core/text/tokenizer_format.h, in the layout that the runtime maps. The same tokenizer gives the same
 * bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"
#include "tokenizer_compiler.h"

compiler *compiler_start(nlp_arena *arena, nlp_mem *mem, const char *file, nlp_error *err) {
    nlp_arena_init(arena, mem);
    compiler *c = NLP_PUSH_ZERO(arena, compiler, 1);
    if (c) c->arena = arena, c->err = err, c->file = file;
    return c;
}

nlp_status compiler_refuse(const compiler *c, const char *key, const char *what) {
    return nlp_fail(c->err, NLP_EUNSUPPORTED, "%s: \"%s\" has %s, which nlp does not know yet",
                    c->file, key, what);
}

/* ---- Pieces ---- */

nlp_status compiler_start_pieces(compiler *c, size_t n) {
    if (!n || n > NLP_TOKENIZER_MAX_PIECES)
        return nlp_fail(c->err, NLP_ELIMIT, "a vocabulary of %zu pieces is not possible (1 to %u)",
                        n, NLP_TOKENIZER_MAX_PIECES);
    c->header.n_pieces = (uint32_t)n;
    c->pieces = NLP_PUSH_ZERO(c->arena, piece, n);
    return nlp_arena_status(c->arena, c->err);
}

nlp_status compiler_set_piece(compiler *c, int64_t id, const char *text, size_t n_bytes) {
    if (id < 0 || id >= c->header.n_pieces)
        return nlp_fail(c->err, NLP_EINVAL,
                        "a piece has id %lld, the vocabulary has %u pieces: ids must be dense",
                        (long long)id, c->header.n_pieces);
    if (n_bytes > NLP_TOKENIZER_MAX_PIECE_BYTES)
        return nlp_fail(c->err, NLP_ELIMIT, "piece %lld has %zu bytes, at most %u are possible",
                        (long long)id, n_bytes, NLP_TOKENIZER_MAX_PIECE_BYTES);
    if (c->pieces[id].text)
        return nlp_fail(c->err, NLP_EINVAL, "two pieces have the id %lld", (long long)id);
    c->pieces[id] = (piece){text, n_bytes};
    return NLP_OK;
}

uint32_t compiler_find(const compiler *c, const char *text) {
    size_t n = strlen(text);
    for (uint32_t i = 0; i < c->header.n_pieces; i++)
        if (c->pieces[i].n_bytes == n && !memcmp(c->pieces[i].text, text, n)) return i;
    return NLP_NO_ID;
}

/* A power of two of slots, at most half of them full. */
static void fill_slots(const compiler *c, uint32_t *slots, uint32_t n_slots) {
    for (uint32_t i = 0; i < c->header.n_pieces; i++) {
        if (!c->pieces[i].text) continue;
        uint64_t hash =
            nlp_piece_hash(NLP_PIECE_HASH_START, c->pieces[i].text, c->pieces[i].n_bytes);
        uint32_t slot = nlp_piece_slot(hash, n_slots);
        while (slots[slot]) slot = (slot + 1) & (n_slots - 1);
        slots[slot] = i + 1;
    }
}

nlp_status compiler_index(const compiler *c, piece_index *index) {
    index->n_slots = 64;
    while (index->n_slots < 2 * c->header.n_pieces) index->n_slots *= 2;
    index->slots = NLP_PUSH_ZERO(c->arena, uint32_t, index->n_slots);
    NLP_TRY(nlp_arena_status(c->arena, c->err));
    fill_slots(c, index->slots, index->n_slots);
    return NLP_OK;
}

uint32_t compiler_lookup(const compiler *c, const piece_index *index, const char *text, size_t n) {
    uint64_t hash = nlp_piece_hash(NLP_PIECE_HASH_START, text, n);
    uint32_t slot = nlp_piece_slot(hash, index->n_slots);
    for (; index->slots[slot]; slot = (slot + 1) & (index->n_slots - 1)) {
        const piece *p = &c->pieces[index->slots[slot] - 1];
        if (p->n_bytes == n && !memcmp(p->text, text, n)) return index->slots[slot] - 1;
    }
    return NLP_NO_ID;
}

/* ---- Lists ---- */

nlp_status compiler_add_token(compiler *c, uint32_t id, const char *text, size_t n_bytes,
                              uint32_t flags) {
    uint32_t i = c->header.n_added;
    if (i == c->added_capacity) {
        uint32_t capacity = 2 * i + 64;
        nlp_added_token *added = NLP_PUSH(c->arena, nlp_added_token, capacity);
        piece *texts = NLP_PUSH(c->arena, piece, capacity);
        NLP_TRY(nlp_arena_status(c->arena, c->err));
        if (i) {
            memcpy(added, c->added, i * sizeof *added);
            memcpy(texts, c->added_text, i * sizeof *texts);
        }
        c->added = added, c->added_text = texts, c->added_capacity = capacity;
    }
    c->added[i] = (nlp_added_token){.id = id, .text_bytes = (uint32_t)n_bytes, .flags = flags};
    c->added_text[i] = (piece){text, n_bytes};
    c->header.n_added++;
    return NLP_OK;
}

nlp_status compiler_add_special(compiler *c, const char *text) {
    uint32_t id = compiler_find(c, text);
    return id == NLP_NO_ID ? NLP_OK
                           : compiler_add_token(c, id, text, strlen(text), NLP_ADDED_SPECIAL);
}

nlp_status compiler_add_rule(compiler *c, bool is_split, text_rule rule) {
    uint32_t *n = is_split ? &c->extension.n_splits : &c->extension.n_normalizers;
    if (*n == NLP_MOST_RULES)
        return compiler_refuse(c, is_split ? "pre_tokenizer" : "normalizer", "too many parts");
    (is_split ? c->splits : c->normalizers)[(*n)++] = rule;
    return NLP_OK;
}

nlp_status compiler_add_item(compiler *c, nlp_template_item *items, uint32_t *n,
                             nlp_template_item item) {
    if (*n == NLP_MOST_ITEMS) return compiler_refuse(c, "post_processor", "more than 64 items");
    items[(*n)++] = item;
    return NLP_OK;
}

/* ---- Writing ---- */

static uint32_t place(nlp_buf *blob, size_t start, size_t alignment) {
    nlp_buf_align(blob, alignment);
    return (uint32_t)(blob->n_bytes - start);
}

/* Rules' texts go behind the others; their places are set here. */
static uint32_t push_rule_text(nlp_buf *blob, piece text, uint32_t *at) {
    uint32_t place_of_it = *at;
    nlp_buf_push(blob, text.text, text.n_bytes);
    *at += (uint32_t)text.n_bytes;
    return place_of_it;
}

static void push_text(compiler *c, nlp_buf *blob, size_t start, nlp_text_rule *rules) {
    uint32_t at = 0, n_normalizers = c->extension.n_normalizers;
    c->header.text_at = place(blob, start, 4);
    for (uint32_t i = 0; i < c->header.n_pieces; i++) push_rule_text(blob, c->pieces[i], &at);
    c->header.prefix_bytes = (uint32_t)strlen(c->prefix);
    c->header.prefix_at = push_rule_text(blob, (piece){c->prefix, c->header.prefix_bytes}, &at);
    for (uint32_t i = 0; i < c->header.n_added; i++)
        c->added[i].text_at = push_rule_text(blob, c->added_text[i], &at);
    if (c->suffix) {
        c->extension.suffix_bytes = (uint32_t)strlen(c->suffix);
        c->extension.suffix_at =
            push_rule_text(blob, (piece){c->suffix, c->extension.suffix_bytes}, &at);
    }
    for (uint32_t i = 0; rules && i < n_normalizers + c->extension.n_splits; i++) {
        const text_rule *r = i < n_normalizers ? &c->normalizers[i] : &c->splits[i - n_normalizers];
        rules[i] = (nlp_text_rule){.kind = r->kind,
                                   .flags = r->flags,
                                   .a_bytes = (uint32_t)r->a.n_bytes,
                                   .b_bytes = (uint32_t)r->b.n_bytes};
        rules[i].a_at = push_rule_text(blob, r->a, &at);
        rules[i].b_at = push_rule_text(blob, r->b, &at);
    }
    c->header.text_bytes = at;
}

static int compare_added(const void *a, const void *b, void *context) {
    const piece *texts = context, *x = &texts[*(const uint32_t *)a],
                *y = &texts[*(const uint32_t *)b];
    size_t n = x->n_bytes < y->n_bytes ? x->n_bytes : y->n_bytes;
    int order = memcmp(x->text, y->text, n);
    return order ? order : x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

static nlp_status sort_added(compiler *c) {
    uint32_t n = c->header.n_added;
    uint32_t *order = NLP_PUSH(c->arena, uint32_t, n);
    nlp_added_token *added = NLP_PUSH(c->arena, nlp_added_token, n);
    piece *texts = NLP_PUSH(c->arena, piece, n);
    NLP_TRY(nlp_arena_status(c->arena, c->err));
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    qsort_r(order, n, sizeof *order, compare_added, c->added_text);
    for (uint32_t i = 0; i < n; i++)
        added[i] = c->added[order[i]], texts[i] = c->added_text[order[i]];
    c->added = added, c->added_text = texts;
    return NLP_OK;
}

static nlp_status push_merges(compiler *c, nlp_buf *blob, size_t start) {
    nlp_tokenizer_extension *x = &c->extension;
    if (!c->n_merges) return NLP_OK;
    if (c->n_merges > 1u << 24) return nlp_fail(c->err, NLP_ELIMIT, "there are too many merges");
    for (x->n_merge_slots = 64; x->n_merge_slots < 2 * c->n_merges;) x->n_merge_slots *= 2;
    nlp_merge *slots = NLP_PUSH(c->arena, nlp_merge, x->n_merge_slots);
    NLP_TRY(nlp_arena_status(c->arena, c->err));
    for (uint32_t i = 0; i < x->n_merge_slots; i++) slots[i] = (nlp_merge){NLP_NO_ID, 0, 0, 0};
    for (size_t i = 0; i < c->n_merges; i++) {
        const merge_rule *m = &c->merges[i];
        uint32_t slot = nlp_merge_slot(m->left, m->right) & (x->n_merge_slots - 1);
        while (slots[slot].left != NLP_NO_ID &&
               (slots[slot].left != m->left || slots[slot].right != m->right))
            slot = (slot + 1) & (x->n_merge_slots - 1);
        if (slots[slot].left == NLP_NO_ID || slots[slot].rank > m->rank)
            slots[slot] = (nlp_merge){m->left, m->right, m->rank, m->id};
    }
    x->merges_at = place(blob, start, 4);
    nlp_buf_push(blob, slots, x->n_merge_slots * sizeof *slots);
    return NLP_OK;
}

static nlp_status push_trie(compiler *c, nlp_buf *blob, size_t start) {
    nlp_tokenizer_extension *x = &c->extension;
    nlp_trie_unit *units;
    if (!c->n_keys) return NLP_OK;
    NLP_TRY(double_array_build(c->keys, c->n_keys, c->arena, &units, &x->n_trie, c->err));
    x->trie_at = place(blob, start, 4);
    nlp_buf_push(blob, units, x->n_trie * sizeof *units);
    x->n_scores = c->n_keys;
    x->scores_at = place(blob, start, 8);
    nlp_buf_push(blob, c->scores, c->n_keys * sizeof *c->scores);
    if (c->map) {
        x->map_at = place(blob, start, 4);
        nlp_buf_push(blob, c->map, c->n_keys * sizeof *c->map);
    }
    if (c->kinds) {
        x->kinds_at = place(blob, start, 4);
        nlp_buf_push(blob, c->kinds, c->n_keys);
    }
    return NLP_OK;
}

/* Tables of the extension; those that hold places in the text are filled in by the caller. */
static nlp_status push_extension(compiler *c, nlp_buf *blob, size_t start) {
    nlp_tokenizer_extension *x = &c->extension;
    x->extension_bytes = sizeof *x;
    x->normalizers_at = place(blob, start, 4);
    nlp_buf_push_zero(blob, (x->n_normalizers + x->n_splits) * sizeof(nlp_text_rule));
    x->splits_at = x->normalizers_at + x->n_normalizers * (uint32_t)sizeof(nlp_text_rule);
    NLP_TRY(push_merges(c, blob, start));
    if (c->has_bytes) {
        x->bytes_at = place(blob, start, 4);
        nlp_buf_push(blob, c->bytes, sizeof c->bytes);
    }
    NLP_TRY(push_trie(c, blob, start));
    if (x->charsmap_bytes) {
        if (!charsmap_is_sound(c->charsmap, x->charsmap_bytes))
            return nlp_fail(c->err, NLP_ECORRUPT, "%s: the precompiled charsmap is damaged",
                            c->file);
        x->charsmap_at = place(blob, start, 4);
        nlp_buf_push(blob, c->charsmap, x->charsmap_bytes);
    }
    if (c->sides) {
        x->sides_at = place(blob, start, 4);
        nlp_buf_push(blob, c->sides, c->header.n_pieces);
    }
    if (c->header.model == NLP_MODEL_BPE && (x->flags & NLP_BPE_BYTES)) {
        x->whole_at = place(blob, start, 4);
        nlp_buf_push_zero(blob, c->header.n_pieces);
    }
    return NLP_OK;
}

/* ---- Pieces that merging gives whole ---- */

/* The bytes that a piece in the byte alphabet stands for; 0 where it has another letter. */
static size_t bytes_of_piece(nlp_text spelling, char *out, size_t room) {
    size_t n = 0;
    for (size_t i = 0; i < spelling.n_bytes;) {
        uint32_t c, byte = 0;
        i += nlp_utf8_decode(spelling.bytes + i, spelling.n_bytes - i, &c);
        while (byte < 256 && nlp_byte_letter((uint8_t)byte) != c) byte++;
        if (byte == 256 || n == room) return 0;
        out[n++] = (char)byte;
    }
    return n;
}

/* Marks the pieces whose text merges into just them: a word that is such a piece needs no merging. */
static nlp_status mark_whole(const compiler *c, uint8_t *blob, size_t n_bytes, uint8_t *whole) {
    nlp_tokenizer *t;
    nlp_arena arena;
    char bytes[NLP_TOKENIZER_MAX_WORD];
    nlp_status status = nlp_tokenizer_open(blob, n_bytes, c->arena->mem, &t, c->err);
    nlp_arena_init(&arena, c->arena->mem);
    token_list list = {.arena = &arena};
    encoder e = {.tokenizer = t, .text = bytes, .tokens = &list, .arena = &arena, .err = c->err};
    for (uint32_t i = 0; status == NLP_OK && i < c->header.n_pieces; i++) {
        size_t n = bytes_of_piece(nlp_tokenizer_piece(t, (int32_t)i), bytes, sizeof bytes);
        list.n = 0;
        if (n) status = bpe_push(&e, (span){.bytes = bytes, .n_bytes = n});
        whole[i] = n && list.n == 1 && list.ids[0] == (int32_t)i;
    }
    nlp_arena_deinit(&arena);
    nlp_tokenizer_close(t);
    return status;
}

/* ---- The blob ---- */

static void name_special_ids(compiler *c) {
    static const char *const pads[] = {"[PAD]", "<pad>"}, *const masks[] = {"[MASK]", "<mask>"};
    c->header.pad_id = c->header.mask_id = NLP_NO_ID;
    for (size_t i = 0; i < 2; i++) {
        if (c->header.pad_id == NLP_NO_ID) c->header.pad_id = compiler_find(c, pads[i]);
        if (c->header.mask_id == NLP_NO_ID) c->header.mask_id = compiler_find(c, masks[i]);
    }
}

static void push_pieces(compiler *c, nlp_buf *blob, size_t start, const piece_index *index) {
    nlp_tokenizer_header *h = &c->header;
    uint32_t end = 0;
    h->pieces_at = place(blob, start, 4);
    for (uint32_t i = 0; i < h->n_pieces; i++)
        nlp_buf_push_u32(blob, end += (uint32_t)c->pieces[i].n_bytes);
    h->slots_at = place(blob, start, 4);
    nlp_buf_push(blob, index->slots, h->n_slots * sizeof *index->slots);
    h->single_at = place(blob, start, 4);
    nlp_buf_push(blob, c->single, h->n_single * sizeof *c->single);
    h->pair_at = place(blob, start, 4);
    nlp_buf_push(blob, c->pair, h->n_pair * sizeof *c->pair);
}

static nlp_status put_nuls_back(compiler *c) {
    for (uint32_t i = 0; c->has_nul && i < c->header.n_pieces; i++) {
        piece *p = &c->pieces[i];
        char *text = nlp_arena_text(c->arena, p->text ? p->text : "", p->n_bytes);
        size_t n = 0;
        if (!text) break;
        for (size_t k = 0; k < p->n_bytes; n++) {
            bool nul = p->n_bytes - k >= 3 && !memcmp(p->text + k, "\xEF\xBF\xBF", 3);
            text[n] = nul ? 0 : p->text[k];
            k += nul ? 3 : 1;
        }
        if (n < p->n_bytes) *p = (piece){text, n};
    }
    c->has_nul = false;
    return nlp_arena_status(c->arena, c->err);
}

/* Everything that the runtime needs and nothing else, in the layout that it maps. */
nlp_status compiler_write(compiler *c, nlp_buf *blob) {
    nlp_tokenizer_header *h = &c->header;
    bool extended = h->model != NLP_MODEL_WORDPIECE;
    nlp_text_rule rules[2 * NLP_MOST_RULES];
    size_t start = blob->n_bytes;
    piece_index index;
    NLP_TRY(put_nuls_back(c));
    NLP_TRY(compiler_index(c, &index));
    for (uint32_t i = 0; i < h->n_pieces; i++)
        if (!c->pieces[i].text && !c->sparse)
            return nlp_fail(c->err, NLP_EINVAL, "no piece has the id %u: ids must be dense", i);
    if (!c->prefix) c->prefix = "";
    h->magic = NLP_TOKENIZER_MAGIC, h->version = NLP_TOKENIZER_VERSION;
    h->n_slots = index.n_slots;
    name_special_ids(c);
    if (extended) NLP_TRY(sort_added(c));
    nlp_buf_push_zero(blob, sizeof *h + (extended ? sizeof c->extension : 0));
    push_pieces(c, blob, start, &index);
    if (extended) NLP_TRY(push_extension(c, blob, start));
    push_text(c, blob, start, extended ? rules : NULL);
    h->added_at = place(blob, start, 4);
    nlp_buf_push(blob, c->added, h->n_added * sizeof *c->added);
    NLP_TRY(nlp_buf_status(blob, c->err));
    memcpy(blob->bytes + start, h, sizeof *h);
    if (!extended) return NLP_OK;
    nlp_tokenizer_extension *x = &c->extension;
    memcpy(blob->bytes + start + sizeof *h, x, sizeof *x);
    memcpy(blob->bytes + start + x->normalizers_at, rules,
           (x->n_normalizers + x->n_splits) * sizeof *rules);
    if (!x->whole_at) return NLP_OK;
    return mark_whole(c, blob->bytes + start, blob->n_bytes - start,
                      blob->bytes + start + x->whole_at);
}
