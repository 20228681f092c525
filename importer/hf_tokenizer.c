/* hf_tokenizer.c: tokenizer.json and vocab.txt to the compiled blob. What the runtime cannot do
 * exactly is refused by name: file and key, never content. */
#include "hf_tokenizer.h"

#include <string.h>

#include "json.h"
#include "text/tokenizer_format.h"

#define FILE_NAME "tokenizer.json"

typedef struct piece {
    const char *text;
    size_t n_bytes;
} piece;

typedef struct compiler {
    nlp_arena *arena;
    nlp_tokenizer_header header;
    piece *pieces; /* by id */
    const char *prefix;
    piece added_text[4096];
    nlp_added_token added[4096];
    nlp_template_item single[64], pair[64];
    nlp_error *err;
} compiler;

static nlp_status refuse(const compiler *c, const char *key, const char *what) {
    nlp_fail(c->err, NLP_EUNSUPPORTED, FILE_NAME ": \"%s\" has %s, which nlp does not know yet",
             key, what);
    return NLP_EUNSUPPORTED;
}

/* ---- Vocabulary ---- */

static nlp_status start_pieces(compiler *c, size_t n) {
    if (!n || n > NLP_TOKENIZER_MAX_PIECES)
        return nlp_fail(c->err, NLP_ELIMIT, "a vocabulary of %zu pieces is not possible (1 to %u)",
                        n, NLP_TOKENIZER_MAX_PIECES);
    c->header.n_pieces = (uint32_t)n;
    c->pieces = NLP_PUSH_ZERO(c->arena, piece, n);
    return nlp_arena_status(c->arena, c->err);
}

static nlp_status set_piece(compiler *c, int64_t id, const char *text, size_t n_bytes) {
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

static uint32_t find_piece(const compiler *c, const char *text) {
    for (uint32_t i = 0; i < c->header.n_pieces; i++)
        if (c->pieces[i].n_bytes == strlen(text) &&
            !memcmp(c->pieces[i].text, text, c->pieces[i].n_bytes))
            return i;
    return NLP_NO_ID;
}

/* Ids must be dense: a gap would shift every table behind it. */
static nlp_status read_wordpiece(compiler *c, const json_t *model, const json_t *added) {
    const char *text, *type;
    json_t *id;
    int64_t max_word;
    NLP_TRY(nlp_json_text(model, FILE_NAME, "type", "WordPiece", &type, c->err));
    const json_t *vocab = json_object_get(model, "vocab");
    if (strcmp(type, "WordPiece") || !json_is_object(vocab) || json_object_get(model, "merges"))
        return refuse(c, "model", "a type other than WordPiece");
    size_t n = json_object_size(vocab), n_extra = 0;
    /* added tokens may stand behind the vocabulary */
    for (size_t i = 0; i < json_array_size(added); i++)
        n_extra +=
            json_integer_value(json_object_get(json_array_get(added, i), "id")) >= (json_int_t)n;
    NLP_TRY(start_pieces(c, n + n_extra));
    json_object_foreach((json_t *)(uintptr_t)vocab, text, id) NLP_TRY(
        set_piece(c, json_is_integer(id) ? json_integer_value(id) : -1, text, strlen(text)));
    NLP_TRY(nlp_json_text(model, FILE_NAME, "continuing_subword_prefix", "##", &c->prefix, c->err));
    NLP_TRY(nlp_json_integer(model, FILE_NAME, "max_input_chars_per_word", 100, 1,
                             NLP_TOKENIZER_MAX_WORD, &max_word, c->err));
    c->header.max_word = (uint32_t)max_word;
    NLP_TRY(nlp_json_text(model, FILE_NAME, "unk_token", "[UNK]", &text, c->err));
    c->header.unknown_id = find_piece(c, text);
    if (c->header.unknown_id != NLP_NO_ID) return NLP_OK;
    return nlp_fail(c->err, NLP_EINVAL,
                    FILE_NAME ": the model's unk_token is not in its vocabulary");
}

/* ---- Added tokens ---- */

static nlp_status add_flag(compiler *c, const json_t *token, const char *key, uint32_t flag,
                           uint32_t *flags) {
    bool set;
    NLP_TRY(nlp_json_boolean(token, FILE_NAME, key, false, &set, c->err));
    if (set) *flags |= flag;
    return NLP_OK;
}

static nlp_status read_added_token(compiler *c, const json_t *token) {
    const char *text;
    bool normalized;
    int64_t id;
    uint32_t i = c->header.n_added;
    nlp_added_token *a = &c->added[i];
    if (i == sizeof c->added / sizeof *c->added)
        return refuse(c, "added_tokens", "more than 4096 members");
    NLP_TRY(nlp_json_text(token, FILE_NAME, "content", "", &text, c->err));
    NLP_TRY(nlp_json_integer(token, FILE_NAME, "id", -1, 0, c->header.n_pieces - 1, &id, c->err));
    NLP_TRY(nlp_json_boolean(token, FILE_NAME, "normalized", false, &normalized, c->err));
    if (!*text) return nlp_fail(c->err, NLP_EINVAL, FILE_NAME ": an added token is empty");
    if (id < 0) return nlp_fail(c->err, NLP_EINVAL, FILE_NAME ": an added token has no id");
    if (normalized) return refuse(c, "added_tokens", "a token that is matched after normalisation");
    *a = (nlp_added_token){.id = (uint32_t)id, .text_bytes = (uint32_t)strlen(text)};
    NLP_TRY(add_flag(c, token, "lstrip", NLP_ADDED_LSTRIP, &a->flags));
    NLP_TRY(add_flag(c, token, "rstrip", NLP_ADDED_RSTRIP, &a->flags));
    NLP_TRY(add_flag(c, token, "single_word", NLP_ADDED_SINGLE_WORD, &a->flags));
    NLP_TRY(add_flag(c, token, "special", NLP_ADDED_SPECIAL, &a->flags));
    c->added_text[i] = (piece){text, strlen(text)};
    c->header.n_added++;
    return c->pieces[id].text ? NLP_OK : set_piece(c, id, text, strlen(text));
}

static nlp_status read_added(compiler *c, const json_t *added) {
    for (size_t i = 0; i < json_array_size(added); i++)
        NLP_TRY(read_added_token(c, json_array_get(added, i)));
    return NLP_OK;
}

/* ---- Normaliser, pre-tokenizer, decoder ---- */

static bool type_is(const json_t *component, const char *type) {
    const char *text = json_string_value(json_object_get(component, "type"));
    return text && !strcmp(text, type);
}

static nlp_status read_normalizer(compiler *c, const json_t *normalizer) {
    bool clean, chinese, lower, strip;
    if (!type_is(normalizer, "BertNormalizer"))
        return refuse(c, "normalizer", "a type other than BertNormalizer");
    NLP_TRY(nlp_json_boolean(normalizer, FILE_NAME, "clean_text", true, &clean, c->err));
    NLP_TRY(
        nlp_json_boolean(normalizer, FILE_NAME, "handle_chinese_chars", true, &chinese, c->err));
    NLP_TRY(nlp_json_boolean(normalizer, FILE_NAME, "lowercase", true, &lower, c->err));
    NLP_TRY(nlp_json_boolean(normalizer, FILE_NAME, "strip_accents", lower, &strip, c->err));
    c->header.flags |= (clean ? NLP_TEXT_CLEAN : 0u) | (chinese ? NLP_TEXT_CHINESE : 0u) |
                       (lower ? NLP_TEXT_LOWER : 0u) | (strip ? NLP_TEXT_STRIP_ACCENTS : 0u);
    return NLP_OK;
}

static nlp_status read_decoder(compiler *c, const json_t *decoder) {
    bool cleanup;
    if (!decoder || json_is_null(decoder)) return NLP_OK;
    if (!type_is(decoder, "WordPiece")) return refuse(c, "decoder", "a type other than WordPiece");
    NLP_TRY(nlp_json_boolean(decoder, FILE_NAME, "cleanup", true, &cleanup, c->err));
    if (cleanup) c->header.flags |= NLP_TEXT_CLEANUP;
    return NLP_OK;
}

/* ---- Post-processor ---- */

static nlp_status add_item(compiler *c, nlp_template_item *items, uint32_t *n,
                           nlp_template_item item) {
    if (*n == 64) return refuse(c, "post_processor", "more than 64 items");
    items[(*n)++] = item;
    return NLP_OK;
}

static nlp_status add_special(compiler *c, nlp_template_item *items, uint32_t *n,
                              const json_t *special, uint32_t type_id, const json_t *table) {
    const char *name = json_string_value(json_object_get(special, "id"));
    const json_t *ids = name ? json_object_get(json_object_get(table, name), "ids") : NULL;
    if (!json_array_size(ids))
        return nlp_fail(c->err, NLP_EINVAL, FILE_NAME ": a template's special token is not listed");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));
        if (id < 0 || id >= (json_int_t)c->header.n_pieces)
            return nlp_fail(c->err, NLP_EINVAL,
                            FILE_NAME ": a template's special token has id %lld", (long long)id);
        NLP_TRY(
            add_item(c, items, n, (nlp_template_item){NLP_ITEM_SPECIAL, (uint32_t)id, type_id}));
    }
    return NLP_OK;
}

/* "A" and "B" must come once each and in this order; *seen is how many there were. */
static nlp_status add_sequence(compiler *c, nlp_template_item *items, uint32_t *n,
                               const json_t *sequence, uint32_t type_id, uint32_t *seen) {
    const char *name = json_string_value(json_object_get(sequence, "id"));
    bool expected = name && !strcmp(name, *seen ? "B" : "A") && *seen < 2;
    if (!expected)
        return refuse(c, "post_processor", "a template that is not A, or A and then B, once each");
    uint32_t kind = (*seen)++ ? NLP_ITEM_SECOND : NLP_ITEM_FIRST;
    return add_item(c, items, n, (nlp_template_item){kind, 0, type_id});
}

/* A list of special tokens and n_texts texts, or nothing at all. */
static nlp_status read_template(compiler *c, const json_t *list, const json_t *table,
                                uint32_t n_texts, nlp_template_item *items, uint32_t *n) {
    uint32_t seen = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const json_t *sequence = json_object_get(entry, "Sequence"),
                     *special = json_object_get(entry, "SpecialToken");
        int64_t type_id;
        if (!sequence && !special)
            return refuse(c, "post_processor", "an item that is no Sequence and no SpecialToken");
        NLP_TRY(nlp_json_integer(sequence ? sequence : special, FILE_NAME, "type_id", 0, 0, 1,
                                 &type_id, c->err));
        if (special)
            NLP_TRY(add_special(c, items, n, special, (uint32_t)type_id, table));
        else
            NLP_TRY(add_sequence(c, items, n, sequence, (uint32_t)type_id, &seen));
    }
    if (!*n || seen == n_texts) return NLP_OK;
    return refuse(c, "post_processor", "a template that leaves out a text");
}

/* [CLS] A [SEP] (B [SEP]) from BertProcessing's ["text", id] pairs, or from a vocabulary's own
 * tokens. */
static nlp_status bert_template(compiler *c, uint32_t cls, uint32_t sep) {
    const nlp_template_item items[] = {{NLP_ITEM_SPECIAL, cls, 0},
                                       {NLP_ITEM_FIRST, 0, 0},
                                       {NLP_ITEM_SPECIAL, sep, 0},
                                       {NLP_ITEM_SECOND, 0, 1},
                                       {NLP_ITEM_SPECIAL, sep, 1}};
    if (cls >= c->header.n_pieces || sep >= c->header.n_pieces)
        return nlp_fail(c->err, NLP_EINVAL, "the vocabulary has no [CLS] or no [SEP]");
    memcpy(c->single, items, 3 * sizeof *items);
    memcpy(c->pair, items, sizeof items);
    c->header.n_single = 3, c->header.n_pair = 5;
    return NLP_OK;
}

static nlp_status read_post_processor(compiler *c, const json_t *post) {
    if (type_is(post, "BertProcessing")) {
        json_int_t cls = json_integer_value(json_array_get(json_object_get(post, "cls"), 1));
        json_int_t sep = json_integer_value(json_array_get(json_object_get(post, "sep"), 1));
        return bert_template(c, (uint32_t)cls, (uint32_t)sep);
    }
    if (post && !json_is_null(post) && !type_is(post, "TemplateProcessing"))
        return refuse(c, "post_processor",
                      "a type other than TemplateProcessing and BertProcessing");
    const json_t *table = json_object_get(post, "special_tokens");
    NLP_TRY(read_template(c, json_object_get(post, "single"), table, 1, c->single,
                          &c->header.n_single));
    NLP_TRY(read_template(c, json_object_get(post, "pair"), table, 2, c->pair, &c->header.n_pair));
    if (c->header.n_single) return NLP_OK;
    return add_item(c, c->single, &c->header.n_single, (nlp_template_item){NLP_ITEM_FIRST, 0, 0});
}

/* ---- Writing ---- */

static void fill_slots(const compiler *c, uint32_t *slots, uint32_t n_slots) {
    for (uint32_t i = 0; i < c->header.n_pieces; i++) {
        uint64_t hash =
            nlp_piece_hash(NLP_PIECE_HASH_START, c->pieces[i].text, c->pieces[i].n_bytes);
        uint32_t slot = nlp_piece_slot(hash, n_slots);
        while (slots[slot]) slot = (slot + 1) & (n_slots - 1);
        slots[slot] = i + 1;
    }
}

static void push_text(compiler *c, nlp_buf *blob, size_t start) {
    uint32_t at = 0;
    c->header.text_at = (uint32_t)(blob->n_bytes - start);
    for (uint32_t i = 0; i < c->header.n_pieces; i++) {
        nlp_buf_push(blob, c->pieces[i].text, c->pieces[i].n_bytes);
        at += (uint32_t)c->pieces[i].n_bytes;
    }
    c->header.prefix_at = at;
    c->header.prefix_bytes = (uint32_t)strlen(c->prefix);
    nlp_buf_push(blob, c->prefix, c->header.prefix_bytes);
    at += c->header.prefix_bytes;
    for (uint32_t i = 0; i < c->header.n_added; i++) {
        c->added[i].text_at = at;
        nlp_buf_push(blob, c->added_text[i].text, c->added_text[i].n_bytes);
        at += (uint32_t)c->added_text[i].n_bytes;
    }
    c->header.text_bytes = at;
}

static uint32_t place(nlp_buf *blob, size_t start) {
    nlp_buf_align(blob, 4);
    return (uint32_t)(blob->n_bytes - start);
}

/* Everything that the runtime needs and nothing else, in the layout that it maps. */
static nlp_status write_blob(compiler *c, nlp_buf *blob) {
    nlp_tokenizer_header *h = &c->header;
    size_t start = blob->n_bytes;
    uint32_t n_slots = 64, end = 0;
    while (n_slots < 2 * h->n_pieces) n_slots *= 2;
    uint32_t *slots = NLP_PUSH_ZERO(c->arena, uint32_t, n_slots);
    NLP_TRY(nlp_arena_status(c->arena, c->err));
    for (uint32_t i = 0; i < h->n_pieces; i++)
        if (!c->pieces[i].text)
            return nlp_fail(c->err, NLP_EINVAL, "no piece has the id %u: ids must be dense", i);
    fill_slots(c, slots, n_slots);
    h->magic = NLP_TOKENIZER_MAGIC, h->version = NLP_TOKENIZER_VERSION,
    h->model = NLP_MODEL_WORDPIECE;
    h->n_slots = n_slots;
    h->pad_id = find_piece(c, "[PAD]"), h->mask_id = find_piece(c, "[MASK]");
    nlp_buf_push_zero(blob, sizeof *h);
    h->pieces_at = place(blob, start);
    for (uint32_t i = 0; i < h->n_pieces; i++)
        nlp_buf_push_u32(blob, end += (uint32_t)c->pieces[i].n_bytes);
    h->slots_at = place(blob, start);
    nlp_buf_push(blob, slots, n_slots * sizeof *slots);
    h->single_at = place(blob, start);
    nlp_buf_push(blob, c->single, h->n_single * sizeof *c->single);
    h->pair_at = place(blob, start);
    nlp_buf_push(blob, c->pair, h->n_pair * sizeof *c->pair);
    push_text(c, blob, start);
    h->added_at = place(blob, start);
    nlp_buf_push(blob, c->added, h->n_added * sizeof *c->added);
    NLP_TRY(nlp_buf_status(blob, c->err));
    memcpy(blob->bytes + start, h, sizeof *h);
    return NLP_OK;
}

/* ---- Entries ---- */

static nlp_status compile_json(compiler *c, const json_t *json, nlp_buf *blob) {
    const json_t *added = json_object_get(json, "added_tokens");
    NLP_TRY(read_wordpiece(c, json_object_get(json, "model"), added));
    NLP_TRY(read_added(c, added));
    NLP_TRY(read_normalizer(c, json_object_get(json, "normalizer")));
    if (!type_is(json_object_get(json, "pre_tokenizer"), "BertPreTokenizer"))
        return refuse(c, "pre_tokenizer", "a type other than BertPreTokenizer");
    NLP_TRY(read_decoder(c, json_object_get(json, "decoder")));
    NLP_TRY(read_post_processor(c, json_object_get(json, "post_processor")));
    return write_blob(c, blob);
}

nlp_status nlp_hf_tokenizer_compile(const void *tokenizer_json, size_t n_bytes, nlp_buf *blob,
                                    nlp_error *err) {
    nlp_arena arena;
    json_t *json;
    NLP_TRY(
        nlp_json_parse(tokenizer_json, n_bytes, NLP_JSON_TOKENIZER_BYTES, FILE_NAME, &json, err));
    nlp_arena_init(&arena, blob->mem);
    compiler *c = NLP_PUSH_ZERO(&arena, compiler, 1);
    nlp_status status = nlp_arena_status(&arena, err);
    if (status == NLP_OK) {
        c->arena = &arena, c->err = err;
        status = compile_json(c, json, blob);
    }
    nlp_arena_deinit(&arena);
    json_decref(json);
    return status;
}

static nlp_status read_lines(compiler *c, const char *text, size_t n_bytes) {
    size_t n_lines = 0, at = 0;
    for (size_t i = 0; i < n_bytes; i++) n_lines += text[i] == '\n';
    if (n_bytes && text[n_bytes - 1] != '\n') n_lines++;
    NLP_TRY(start_pieces(c, n_lines));
    for (size_t i = 0; i < n_lines; i++) {
        const char *end = memchr(text + at, '\n', n_bytes - at);
        size_t n = end ? (size_t)(end - text) - at : n_bytes - at;
        NLP_TRY(set_piece(c, (int64_t)i, text + at, n && text[at + n - 1] == '\r' ? n - 1 : n));
        at += n + 1;
    }
    return NLP_OK;
}

/* BERT's special tokens are added tokens: matched in the text as they are. */
static void add_bert_token(compiler *c, const char *text) {
    uint32_t id = find_piece(c, text), i = c->header.n_added;
    if (id == NLP_NO_ID) return;
    c->added[i] = (nlp_added_token){
        .id = id, .text_bytes = (uint32_t)strlen(text), .flags = NLP_ADDED_SPECIAL};
    c->added_text[i] = (piece){text, strlen(text)};
    c->header.n_added++;
}

static nlp_status compile_vocab(compiler *c, const char *text, size_t n_bytes,
                                const nlp_vocab_txt_options *o, nlp_buf *blob) {
    static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    bool strip = o->strip_accents < 0 ? o->lower_case : o->strip_accents > 0;
    NLP_TRY(read_lines(c, text, n_bytes));
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) add_bert_token(c, specials[i]);
    c->prefix = "##";
    c->header.max_word = 100;
    c->header.flags = NLP_TEXT_CLEAN | NLP_TEXT_CLEANUP |
                      (o->chinese_characters ? NLP_TEXT_CHINESE : 0u) |
                      (o->lower_case ? NLP_TEXT_LOWER : 0u) | (strip ? NLP_TEXT_STRIP_ACCENTS : 0u);
    c->header.unknown_id = find_piece(c, "[UNK]");
    if (c->header.unknown_id == NLP_NO_ID)
        return nlp_fail(c->err, NLP_EINVAL, "vocab.txt: there is no [UNK]");
    NLP_TRY(bert_template(c, find_piece(c, "[CLS]"), find_piece(c, "[SEP]")));
    return write_blob(c, blob);
}

nlp_status nlp_vocab_txt_compile(const void *vocab_txt, size_t n_bytes,
                                 const nlp_vocab_txt_options *options, nlp_buf *blob,
                                 nlp_error *err) {
    nlp_arena arena;
    nlp_arena_init(&arena, blob->mem);
    compiler *c = NLP_PUSH_ZERO(&arena, compiler, 1);
    nlp_status status = nlp_arena_status(&arena, err);
    if (status == NLP_OK) {
        c->arena = &arena, c->err = err;
        status = compile_vocab(c, vocab_txt, n_bytes, options, blob);
    }
    nlp_arena_deinit(&arena);
    return status;
}
