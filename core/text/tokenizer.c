/* tokenizer.c: opening the blob, and the way of a text: added tokens, words, pieces, truncation,
 * template. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

/* ---- Opening ---- */

static nlp_status corrupt(nlp_error *err, const char *what) {
    return nlp_fail(err, NLP_ECORRUPT, "the pack's tokenizer is damaged: %s", what);
}

/* A table of n entries of `size` bytes at `at`; NULL where it does not fit. */
static const void *table(const void *blob, size_t n_bytes, uint32_t at, uint32_t n, size_t size) {
    size_t bytes;
    if (at % 4 || at > n_bytes || nlp_mul_overflows(n, size, &bytes) || bytes > n_bytes - at)
        return NULL;
    return (const uint8_t *)blob + at;
}

/* Ends ascend, so every piece lies in the text; one slot at least is empty, so a search ends. */
static nlp_status check_pieces(nlp_tokenizer *t, nlp_error *err) {
    const nlp_tokenizer_header *h = &t->header;
    uint32_t start = 0, n_empty = 0;
    for (uint32_t i = 0; i < h->n_pieces; start = t->piece_ends[i++]) {
        uint32_t length = t->piece_ends[i] - start;
        if (t->piece_ends[i] < start || t->piece_ends[i] > h->text_bytes ||
            length > NLP_TOKENIZER_MAX_PIECE_BYTES)
            return corrupt(err, "a piece lies out of place");
        if (length > t->longest_piece) t->longest_piece = length;
    }
    for (uint32_t i = 0; i < h->n_slots; i++) {
        if (t->slots[i] > h->n_pieces) return corrupt(err, "a slot names no piece");
        n_empty += !t->slots[i];
    }
    return n_empty ? NLP_OK : corrupt(err, "its table is full");
}

static bool added_are_ordered(const nlp_tokenizer *t, uint32_t i) {
    const nlp_added_token *a = &t->added[i - 1], *b = &t->added[i];
    uint32_t n = a->text_bytes < b->text_bytes ? a->text_bytes : b->text_bytes;
    int order = memcmp(t->text + a->text_at, t->text + b->text_at, n);
    return order < 0 || (order == 0 && a->text_bytes <= b->text_bytes);
}

static int find_only_start(const nlp_tokenizer *t) {
    int found = -1;
    for (int i = 0; i < 256; i++) {
        if (t->added_starts[i] && found >= 0) return -1;
        if (t->added_starts[i]) found = i;
    }
    return found;
}

static nlp_status check_added(nlp_tokenizer *t, nlp_error *err) {
    for (uint32_t i = 0; i < t->header.n_added; i++) {
        const nlp_added_token *a = &t->added[i];
        if (a->id >= t->header.n_pieces || !a->text_bytes || a->text_at > t->header.text_bytes ||
            a->text_bytes > t->header.text_bytes - a->text_at)
            return corrupt(err, "an added token lies out of place");
        t->added_starts[(uint8_t)t->text[a->text_at]] = true;
        t->has_normalized = t->has_normalized || (a->flags & NLP_ADDED_NORMALIZED);
        if (i && t->header.model != NLP_MODEL_WORDPIECE && !added_are_ordered(t, i))
            return corrupt(err, "its added tokens are not sorted");
    }
    t->only_start = find_only_start(t);
    return find_controls(t, err);
}

/* Every template has the first text once, the pair's also the second, in that order. */
static nlp_status check_template(const nlp_tokenizer *t, const nlp_template_item *items, uint32_t n,
                                 uint32_t n_texts, uint32_t *n_special, nlp_error *err) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (items[i].type_id > 1 || items[i].kind > NLP_ITEM_SECOND ||
            (items[i].kind == NLP_ITEM_SPECIAL && items[i].id >= t->header.n_pieces) ||
            (items[i].kind != NLP_ITEM_SPECIAL && items[i].kind != ++seen))
            return corrupt(err, "a template is not possible");
        *n_special += items[i].kind == NLP_ITEM_SPECIAL;
    }
    return seen == n_texts ? NLP_OK : corrupt(err, "a template leaves out a text");
}

/* Counts first: every size below is a product of them. */
static nlp_status check_header(const nlp_tokenizer_header *h, nlp_error *err) {
    if (h->magic != NLP_TOKENIZER_MAGIC || h->version != NLP_TOKENIZER_VERSION ||
        h->model < NLP_MODEL_WORDPIECE || h->model > NLP_MODEL_WORDLEVEL)
        return nlp_fail(err, NLP_EUNSUPPORTED,
                        "the pack's tokenizer is of a kind that this library does not know");
    if (!h->n_pieces || h->n_pieces > NLP_TOKENIZER_MAX_PIECES || !h->n_slots ||
        (h->n_slots & (h->n_slots - 1)) || h->n_slots > 4 * NLP_TOKENIZER_MAX_PIECES ||
        h->n_added > NLP_TOKENIZER_MAX_PIECES || h->n_single > 64 || h->n_pair > 64)
        return corrupt(err, "a count is not possible");
    bool may_lack = h->unknown_id == NLP_NO_ID && h->model != NLP_MODEL_WORDPIECE;
    if ((h->unknown_id >= h->n_pieces && !may_lack) ||
        (h->pad_id != NLP_NO_ID && h->pad_id >= h->n_pieces) ||
        (h->mask_id != NLP_NO_ID && h->mask_id >= h->n_pieces) || !h->max_word ||
        h->max_word > NLP_TOKENIZER_MAX_WORD)
        return corrupt(err, "an id or limit is not possible");
    if (h->prefix_bytes > h->text_bytes || h->prefix_at > h->text_bytes - h->prefix_bytes)
        return corrupt(err, "its prefix lies out of place");
    return NLP_OK;
}

/* After this no place of the blob is checked again. */
static nlp_status open_tables(nlp_tokenizer *t, const void *blob, size_t n_bytes, nlp_error *err) {
    if (n_bytes < sizeof t->header) return corrupt(err, "it is cut");
    memcpy(&t->header, blob, sizeof t->header);
    const nlp_tokenizer_header *h = &t->header;
    NLP_TRY(check_header(h, err));
    t->n_vocabulary = h->n_pieces;
    t->piece_ends = table(blob, n_bytes, h->pieces_at, h->n_pieces, sizeof *t->piece_ends);
    t->slots = table(blob, n_bytes, h->slots_at, h->n_slots, sizeof *t->slots);
    t->added = table(blob, n_bytes, h->added_at, h->n_added, sizeof *t->added);
    t->single = table(blob, n_bytes, h->single_at, h->n_single, sizeof *t->single);
    t->pair = table(blob, n_bytes, h->pair_at, h->n_pair, sizeof *t->pair);
    t->text = table(blob, n_bytes, h->text_at, h->text_bytes, 1);
    if (!t->piece_ends || !t->slots || !t->added || !t->single || !t->pair || !t->text)
        return corrupt(err, "a table lies out of place");
    NLP_TRY(check_pieces(t, err));
    NLP_TRY(check_added(t, err));
    NLP_TRY(check_template(t, t->single, h->n_single, 1, &t->n_special_single, err));
    if (h->n_pair) NLP_TRY(check_template(t, t->pair, h->n_pair, 2, &t->n_special_pair, err));
    t->prefix_hash = nlp_piece_hash(NLP_PIECE_HASH_START, t->text + h->prefix_at, h->prefix_bytes);
    return h->model == NLP_MODEL_WORDPIECE ? NLP_OK : extension_open(t, blob, n_bytes, err);
}

nlp_status nlp_tokenizer_open(const void *blob, size_t n_bytes, nlp_mem *mem,
                              nlp_tokenizer **tokenizer, nlp_error *err) {
    nlp_tokenizer *t = nlp_mem_zalloc(mem, sizeof *t);
    *tokenizer = NULL;
    if (!t) return nlp_mem_fail(mem, sizeof *t, err);
    t->mem = mem;
    nlp_status status = open_tables(t, blob, n_bytes, err);
    if (status == NLP_OK)
        *tokenizer = t;
    else
        nlp_tokenizer_close(t);
    return status;
}

void nlp_tokenizer_close(nlp_tokenizer *t) {
    if (!t) return;
    nlp_mem_free(t->mem, t->controls, t->header.n_pieces / 8 + 1);
    nlp_mem_free(t->mem, t, sizeof *t);
}

static int32_t id_or_none(uint32_t id) {
    return id == NLP_NO_ID ? -1 : (int32_t)id;
}

void nlp_tokenizer_get_info(const nlp_tokenizer *t, nlp_tokenizer_info *info) {
    static const char *const names[] = {"", "wordpiece", "bpe", "unigram", "wordlevel"};
    *info = (nlp_tokenizer_info){.model = names[t->header.model],
                                 .vocabulary = t->n_vocabulary,
                                 .n_special_single = t->n_special_single,
                                 .n_special_pair = t->n_special_pair,
                                 .unknown_id = id_or_none(t->header.unknown_id),
                                 .pad_id = id_or_none(t->header.pad_id),
                                 .mask_id = id_or_none(t->header.mask_id)};
}

bool nlp_tokenizer_is_added(const nlp_tokenizer *t, int32_t id) {
    for (uint32_t i = 0; i < t->header.n_added; i++)
        if (t->added[i].id == (uint32_t)id) return true;
    return false;
}

int32_t nlp_tokenizer_find(const nlp_tokenizer *t, nlp_text spelling) {
    uint32_t id = spelling.n_bytes ? piece_find(t, spelling.bytes, spelling.n_bytes) : NLP_NO_ID;
    return id < t->n_vocabulary ? (int32_t)id : -1;
}

nlp_text nlp_tokenizer_piece(const nlp_tokenizer *t, int32_t id) {
    uint32_t start = id ? t->piece_ends[id - 1] : 0;
    return (nlp_text){t->text + start, t->piece_ends[id] - start};
}

/* ---- Encoding ---- */

/* Three arrays that double together; the old ones stay in the arena until it is reset. */
bool token_push(token_list *list, uint32_t id, size_t start, size_t end) {
    if (id + 1 == list->dropped) return true;
    if (list->n == list->capacity) {
        size_t first = list->usual > 64 ? list->usual : 64;
        size_t capacity = list->capacity ? 2 * list->capacity : first;
        int32_t *ids = NLP_PUSH(list->arena, int32_t, capacity);
        uint32_t *starts = NLP_PUSH(list->arena, uint32_t, capacity),
                 *ends = NLP_PUSH(list->arena, uint32_t, capacity);
        if (!ids || !starts || !ends) return false;
        if (list->n) {
            memcpy(ids, list->ids, list->n * sizeof *ids);
            memcpy(starts, list->start, list->n * sizeof *starts);
            memcpy(ends, list->end, list->n * sizeof *ends);
        }
        list->ids = ids, list->start = starts, list->end = ends, list->capacity = capacity;
    }
    list->ids[list->n] = (int32_t)id;
    list->start[list->n] = (uint32_t)start;
    list->end[list->n++] = (uint32_t)end;
    return true;
}

/* Validity in steps, polling: a step ends at the beginning of a character. */
static nlp_status check_utf8(const nlp_text *text, nlp_poll *poll, nlp_error *err) {
    enum { STEP = 1 << 18, WORK = 1 << 20 };
    for (size_t at = 0, end; at < text->n_bytes; at = end) {
        size_t bad;
        end = text->n_bytes - at < STEP ? text->n_bytes : at + STEP;
        for (int back = 0;
             end < text->n_bytes && back < 3 && ((uint8_t)text->bytes[end] & 0xC0) == 0x80; back++)
            end--;
        if (!nlp_utf8_valid(text->bytes + at, end - at, &bad))
            return nlp_fail(err, NLP_EENCODING, "a text is not valid UTF-8 at byte %zu", at + bad);
        NLP_TRY(nlp_poll_work(poll, WORK, err));
    }
    return NLP_OK;
}

/* ---- Pieces and words ---- */

/* ASCII that stands for itself in the byte alphabet and is no white space. */
static bool is_printing(char c) {
    return (uint8_t)c > ' ' && (uint8_t)c < 0x7F;
}

uint32_t piece_find(const nlp_tokenizer *t, const char *bytes, size_t n_bytes) {
    uint64_t hash = nlp_piece_hash(NLP_PIECE_HASH_START, bytes, n_bytes);
    uint32_t mask = t->header.n_slots - 1;
    for (uint32_t slot = nlp_piece_slot(hash, t->header.n_slots); t->slots[slot];
         slot = (slot + 1) & mask) {
        uint32_t id = t->slots[slot] - 1, start = id ? t->piece_ends[id - 1] : 0;
        if (t->piece_ends[id] - start == n_bytes && same_bytes(t->text + start, bytes, n_bytes))
            return id;
    }
    return NLP_NO_ID;
}

uint32_t piece_of_unknown(const encoder *e, const char *bytes, size_t n_bytes) {
    const nlp_tokenizer *t = e->tokenizer;
    bool by_text = t->extension.flags & NLP_TOKENIZER_BY_TEXT;
    uint32_t id = by_text ? piece_find(t, bytes, n_bytes) : NLP_NO_ID;
    bool is_foreign = id != NLP_NO_ID && t->sides && t->sides[id] == NLP_SIDE_CUTTER;
    return id == NLP_NO_ID || is_foreign || is_control(e, id) ? t->header.unknown_id : id;
}

uint32_t piece_find_bytes(const nlp_tokenizer *t, const char *bytes, size_t n_bytes) {
    char key[2 * NLP_TOKENIZER_MAX_WORD + NLP_UTF8_MAX_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; i++)
        if (is_printing(bytes[i]))
            key[n++] = bytes[i];
        else
            n += nlp_utf8_encode(nlp_byte_letter((uint8_t)bytes[i]), key + n);
    return piece_find(t, key, n);
}

bool span_token(encoder *e, const span *word, size_t first, size_t end, uint32_t id) {
    if (e->recording) cached_word_add(e->recording, id, first, end);
    if (word->from) return token_push(e->tokens, id, word->from[first], word->to[end - 1]);
    const uint8_t *bytes = (const uint8_t *)e->text;
    size_t from = word->at + first, to = word->at + end;
    while (from > word->at && (bytes[from] & 0xC0) == 0x80) from--;
    while (to < word->at + word->n_bytes && (bytes[to] & 0xC0) == 0x80) to++;
    return token_push(e->tokens, id, from, to);
}

static nlp_status whole_word_push(encoder *e, const span *word) {
    uint32_t id = piece_find(e->tokenizer, word->bytes, word->n_bytes);
    if (id == NLP_NO_ID || is_control(e, id)) {
        id = e->tokenizer->header.unknown_id;
        e->tokens->n_unknown++;
        if (id == NLP_NO_ID) return NLP_OK;
    }
    return span_token(e, word, 0, word->n_bytes, id) ? NLP_OK
                                                     : nlp_arena_status(e->tokens->arena, e->err);
}

static nlp_status model_push(encoder *e, const span *word) {
    if (e->tokenizer->header.model == NLP_MODEL_BPE) return bpe_push(e, *word);
    if (e->tokenizer->header.model == NLP_MODEL_UNIGRAM) return unigram_push(e, *word);
    return whole_word_push(e, word);
}

static nlp_status push_cached(encoder *e, const span *word, const cached_word *c) {
    e->tokens->n_unknown += c->n_unknown;
    for (size_t i = 0; i < c->n_tokens; i++)
        if (!span_token(e, word, c->first[i], c->end[i], c->ids[i]))
            return nlp_arena_status(e->tokens->arena, e->err);
    return NLP_OK;
}

nlp_status word_push(encoder *e, span word) {
    if (!e->cache->words || word.n_bytes > CACHED_BYTES) return model_push(e, &word);
    cached_word *c;
    if (word_cache_find(e->cache, word.bytes, word.n_bytes, &c)) return push_cached(e, &word, c);
    size_t n_unknown = e->tokens->n_unknown;
    e->recording = c;
    nlp_status status = model_push(e, &word);
    e->recording = NULL;
    if (status == NLP_OK)
        cached_word_finish(c, word.bytes, word.n_bytes, e->tokens->n_unknown - n_unknown);
    return status;
}

/* ---- Texts of all models but WordPiece ---- */

/* Added tokens that are matched in normalised text cut it once more. */
static nlp_status encode_segment(encoder *e, size_t from, size_t to) {
    span s;
    added_match next = {0};
    NLP_TRY(normalize_text(e, from, to, &s));
    for (size_t at = 0; e->tokenizer->has_normalized; at = next.end) {
        NLP_TRY(added_token_find(e, &s, at, NLP_ADDED_NORMALIZED, &next));
        NLP_TRY(split_text(e, span_part(s, at, next.token ? next.start : s.n_bytes)));
        if (!next.token) return NLP_OK;
        if (!span_token(e, &s, next.start, next.end, next.token->id))
            return nlp_arena_status(e->tokens->arena, e->err);
    }
    return split_text(e, s);
}

/* Marian's ">>xxx<<" at the start of a text is a piece of its own; what stands behind it is the
 * text. */
static size_t language_code(encoder *e, const nlp_text *text, nlp_status *status) {
    if (e->plain || !e->tokenizer->extension.language_code || text->n_bytes < 5 ||
        memcmp(text->bytes, ">>", 2))
        return 0;
    for (size_t i = text->n_bytes - 1; i > 2; i--) {
        if (memcmp(text->bytes + i - 1, "<<", 2)) continue;
        uint32_t id = piece_find(e->tokenizer, text->bytes, i + 1);
        if (id == NLP_NO_ID || id >= e->tokenizer->n_vocabulary)
            id = e->tokenizer->header.unknown_id;
        if (!token_push(e->tokens, id, 0, i + 1))
            *status = nlp_arena_status(e->tokens->arena, e->err);
        return i + 1;
    }
    return 0;
}

static nlp_status encode_segments(encoder *e, const nlp_text *text) {
    added_match next;
    nlp_status status = NLP_OK;
    const span whole = {.bytes = text->bytes, .n_bytes = text->n_bytes};
    size_t at = language_code(e, text, &status);
    for (; status == NLP_OK; at = next.end) {
        NLP_TRY(added_token_find(e, &whole, at, 0, &next));
        size_t end = next.token ? next.start : text->n_bytes;
        if (end > at) NLP_TRY(encode_segment(e, at, end));
        if (!next.token) return NLP_OK;
        if (!token_push(e->tokens, next.token->id, next.start, next.end))
            return nlp_arena_status(e->tokens->arena, e->err);
        if (e->tokens->limit && e->tokens->n > e->tokens->limit) return NLP_OK;
    }
    return status;
}

/* White space at a piece's start (or end, read backwards): blanks are U+0120 in the byte alphabet. */
static size_t blank_characters(nlp_text piece, bool backwards) {
    size_t n = 0, at = backwards ? piece.n_bytes : 0;
    while (backwards ? at > 0 : at < piece.n_bytes) {
        uint32_t c;
        size_t first = at;
        if (backwards) do
                first--;
            while (first > 0 && ((uint8_t)piece.bytes[first] & 0xC0) == 0x80);
        size_t n_bytes = nlp_utf8_decode(piece.bytes + first, piece.n_bytes - first, &c);
        if (c != 0x120 && !nlp_unicode_white_space(c)) break;
        at = backwards ? first : at + n_bytes;
        n++;
    }
    return n;
}

/* Most pieces begin with a letter, or with one blank and a letter. */
static size_t blanks_before(nlp_text piece) {
    if (piece.n_bytes && is_printing(piece.bytes[0])) return 0;
    if (piece.n_bytes > 2 && !memcmp(piece.bytes, "\xC4\xA0", 2) && is_printing(piece.bytes[2]))
        return 1;
    return blank_characters(piece, false);
}

/* ByteLevel's trim_offsets, as the reference's process_offsets does it. */
static void trim_offsets(const nlp_tokenizer *t, token_list *l) {
    bool keep_first = t->extension.flags & NLP_TOKENIZER_TRIM_FIRST;
    for (size_t i = 0; i < l->n; i++) {
        nlp_text piece = nlp_tokenizer_piece(t, l->ids[i]);
        size_t before = blanks_before(piece), behind = 0;
        if (piece.n_bytes && !is_printing(piece.bytes[piece.n_bytes - 1]))
            behind = blank_characters(piece, true);
        if (before && keep_first && (!i || !l->start[i])) before--;
        size_t start = l->start[i] + before;
        l->start[i] = start < l->end[i] ? (uint32_t)start : l->end[i];
        if (behind && l->end[i] >= behind) {
            size_t end = l->end[i] - behind;
            l->end[i] = end > l->start[i] ? (uint32_t)end : l->start[i];
        }
    }
}

/* Memory that is kept from text to text is not asked for, and given back, for each. */
static nlp_status encode_any(encoder *e, const nlp_text *text) {
    nlp_arena own;
    nlp_arena_init(&own, e->tokens->arena->mem);
    if (e->arena)
        nlp_arena_reset(e->arena);
    else
        e->arena = &own;
    nlp_status status = encode_segments(e, text);
    if (status == NLP_OK && (e->tokenizer->extension.flags & NLP_TOKENIZER_TRIM))
        trim_offsets(e->tokenizer, e->tokens);
    nlp_arena_deinit(&own);
    return status;
}

/* Added tokens cut the text; between them words are found and split. */
static nlp_status encode_wordpiece(encoder *e, const nlp_text *text) {
    added_match next;
    token_list *tokens = e->tokens;
    const span whole = {.bytes = text->bytes, .n_bytes = text->n_bytes};
    bert_word *scratch = NLP_PUSH(tokens->arena, bert_word, 1);
    NLP_TRY(nlp_arena_status(tokens->arena, e->err));
    for (size_t at = 0;; at = next.end) {
        NLP_TRY(added_token_find(e, &whole, at, 0, &next));
        NLP_TRY(bert_words(e, at, next.token ? next.start : text->n_bytes, scratch));
        if (!next.token) return NLP_OK;
        if (!token_push(tokens, next.token->id, next.start, next.end))
            return nlp_arena_status(tokens->arena, e->err);
        if (tokens->limit && tokens->n > tokens->limit) return NLP_OK;
    }
}

/* Each text begins with an encoder of its own: what the one before found room for is gone. */
static nlp_status encode_text(encoder e, const nlp_text *text, token_list *tokens) {
    e.text = text->bytes;
    e.tokens = tokens;
    tokens->usual = text->n_bytes / 4;
    if (tokens->limit && tokens->usual > tokens->limit) tokens->usual = tokens->limit;
    if (text->n_bytes > INT32_MAX)
        return nlp_fail(e.err, NLP_ELIMIT, "a text has %zu bytes, at most %d are possible",
                        text->n_bytes, INT32_MAX);
    NLP_TRY(check_utf8(text, e.poll, e.err));
    NLP_TRY(word_cache_prepare(e.cache, e.tokenizer, text->n_bytes, tokens->arena, e.err));
    return e.tokenizer->header.model == NLP_MODEL_WORDPIECE ? encode_wordpiece(&e, text)
                                                            : encode_any(&e, text);
}

/* Longest first, as the reference does it: only the longer one gives way, or both end at half. */
static void truncate_pair(size_t budget, size_t *a, size_t *b) {
    size_t shorter = *a < *b ? *a : *b, longer = *a < *b ? *b : *a;
    bool swap = *a > *b;
    if (shorter + longer <= budget) return;
    longer = shorter > budget ? shorter : budget - shorter > shorter ? budget - shorter : shorter;
    if (shorter + longer > budget) {
        shorter = budget / 2;
        longer = shorter + budget % 2;
    }
    *a = swap ? longer : shorter;
    *b = swap ? shorter : longer;
}

/* n: tokens of the two texts; too many for the limit. */
static nlp_status truncate_texts(const nlp_encode_options *o, bool is_pair, size_t n_special,
                                 size_t n[2], nlp_error *err) {
    size_t room = o->max_tokens - n_special;
    int cut = is_pair && o->truncation == NLP_TRUNCATE_SECOND;
    if (is_pair && o->truncation == NLP_TRUNCATE_LONGEST) {
        truncate_pair(room, &n[0], &n[1]);
        return NLP_OK;
    }
    if (n[!cut] > room)
        return nlp_fail(err, NLP_ELIMIT, "the %s text alone needs %zu tokens, the limit is %u",
                        cut ? "first" : "second", n_special + n[!cut], o->max_tokens);
    n[cut] = room - n[!cut];
    return NLP_OK;
}

static void put(nlp_encoding *e, int32_t id, uint32_t start, uint32_t end, uint32_t type_id,
                int sequence) {
    e->ids[e->n] = id;
    e->start[e->n] = start;
    e->end[e->n] = end;
    e->type_ids[e->n] = (uint8_t)type_id;
    e->sequence[e->n++] = (int8_t)sequence;
}

static void put_text(nlp_encoding *e, const token_list *tokens, size_t n, uint32_t type_id,
                     int sequence) {
    if (!n) return;
    memcpy(e->ids + e->n, tokens->ids, n * sizeof *e->ids);
    memcpy(e->start + e->n, tokens->start, n * sizeof *e->start);
    memcpy(e->end + e->n, tokens->end, n * sizeof *e->end);
    memset(e->type_ids + e->n, (int)type_id, n);
    memset(e->sequence + e->n, sequence, n);
    e->n += n;
}

static void apply_template(const nlp_template_item *items, uint32_t n_items, bool special,
                           const token_list lists[2], const size_t n[2], nlp_encoding *e) {
    for (uint32_t i = 0; i < n_items; i++) {
        const nlp_template_item *item = &items[i];
        if (item->kind != NLP_ITEM_SPECIAL)
            put_text(e, &lists[item->kind - 1], n[item->kind - 1], item->type_id,
                     (int)item->kind - 1);
        else if (special)
            put(e, (int32_t)item->id, 0, 0, item->type_id, -1);
    }
}

/* Truncation, then the template puts special tokens around what is left. */
static nlp_status assemble(const nlp_tokenizer *t, bool is_pair, const nlp_encode_options *o,
                           const token_list lists[2], nlp_arena *arena, nlp_encoding *e,
                           nlp_error *err) {
    size_t n[2] = {lists[0].n, lists[1].n};
    size_t n_special = o->no_special_tokens ? 0 : is_pair ? t->n_special_pair : t->n_special_single;
    *e = (nlp_encoding){.n_full = n[0] + n[1] + n_special,
                        .n_unknown = lists[0].n_unknown + lists[1].n_unknown};
    if (o->max_tokens && o->max_tokens < n_special)
        return nlp_fail(err, NLP_EINVAL, "max_tokens is %u, special tokens alone are %zu",
                        o->max_tokens, n_special);
    e->truncated = o->max_tokens && e->n_full > o->max_tokens;
    if (e->truncated) NLP_TRY(truncate_texts(o, is_pair, n_special, n, err));
    size_t total = n[0] + n[1] + n_special;
    e->ids = NLP_PUSH(arena, int32_t, total);
    e->start = NLP_PUSH(arena, uint32_t, total);
    e->end = NLP_PUSH(arena, uint32_t, total);
    e->type_ids = NLP_PUSH(arena, uint8_t, total);
    e->sequence = NLP_PUSH(arena, int8_t, total);
    NLP_TRY(nlp_arena_status(arena, err));
    apply_template(is_pair ? t->pair : t->single, is_pair ? t->header.n_pair : t->header.n_single,
                   !o->no_special_tokens, lists, n, e);
    return NLP_OK;
}

nlp_status nlp_tokenizer_encode(const nlp_tokenizer *t, const nlp_text *text, const nlp_text *pair,
                                const nlp_encode_options *options, nlp_arena *arena, nlp_poll *poll,
                                nlp_encoding *encoding, nlp_error *err) {
    static const nlp_encode_options defaults;
    const nlp_encode_options *o = options ? options : &defaults;
    bool drops = t->header.flags & NLP_TEXT_DROP_UNKNOWN;
    token_list lists[2] = {{.arena = arena}, {.arena = arena}};
    lists[0].dropped = lists[1].dropped = drops ? t->header.unknown_id + 1 : 0;
    nlp_word_cache own = {0};
    /* a kept word may be a control token, so plain texts keep their own */
    encoder e = {.tokenizer = t,
                 .cache = o->cache && !o->plain_text ? o->cache : &own,
                 .arena = o->work,
                 .plain = o->plain_text,
                 .frame = o->frame,
                 .n_frame = o->n_frame,
                 .controls = o->controls,
                 .n_controls = o->n_controls,
                 .poll = poll,
                 .err = err};
    if (pair && !t->header.n_pair)
        return nlp_fail(err, NLP_EUNSUPPORTED, "the model's tokenizer takes no pair of texts");
    if (o->stop_when_full) lists[0].limit = lists[1].limit = o->max_tokens;
    NLP_TRY(encode_text(e, text, &lists[0]));
    e.n_frame = 0;
    if (pair) NLP_TRY(encode_text(e, pair, &lists[1]));
    return assemble(t, pair != NULL, o, lists, arena, encoding, err);
}
