/* hf_tokenizer.c: tokenizer.json and vocab.txt to the compiled blob: models and added tokens. What the
 * runtime cannot do exactly is refused by name: file and key, never content. */
#include "hf_tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "json.h"
#include "text/tokenizer_parts.h"
#include "tokenizer_compiler.h"

#define FILE_NAME "tokenizer.json"

/* ---- Vocabulary ---- */

/* Added tokens may stand behind the vocabulary: as many more pieces. */
static size_t extra_ids(const json_t *added, size_t n) {
    size_t most = n;
    for (size_t i = 0; i < json_array_size(added); i++) {
        json_int_t id = json_integer_value(json_object_get(json_array_get(added, i), "id"));
        if (id >= (json_int_t)most && id < (json_int_t)NLP_TOKENIZER_MAX_PIECES)
            most = (size_t)id + 1;
    }
    return most;
}

/* {"piece": id}. Ids must be dense: a gap would shift every table behind it. */
static nlp_status read_vocabulary(compiler *c, const json_t *model, const json_t *added) {
    const char *text;
    size_t n_bytes;
    json_t *id;
    json_t *vocab = json_object_get(model, "vocab");
    if (!json_is_object(vocab))
        return compiler_refuse(c, "model", "a vocabulary that is no object");
    NLP_TRY(compiler_start_pieces(c, extra_ids(added, json_object_size(vocab))));
    json_object_keylen_foreach(vocab, text, n_bytes, id) NLP_TRY(
        compiler_set_piece(c, json_is_integer(id) ? json_integer_value(id) : -1, text, n_bytes));
    return NLP_OK;
}

/* unk_token: the id of a text; null where there is none. */
static nlp_status read_unknown(compiler *c, const json_t *model, const char *fallback) {
    const char *text;
    NLP_TRY(nlp_json_text(model, c->file, "unk_token", fallback, &text, c->err));
    c->header.unknown_id = text ? compiler_find(c, text) : NLP_NO_ID;
    if (text && c->header.unknown_id == NLP_NO_ID)
        return nlp_fail(c->err, NLP_EINVAL, "%s: the model's unk_token is not in its vocabulary",
                        c->file);
    if (!text) c->extension.flags |= NLP_BPE_NO_UNKNOWN;
    return NLP_OK;
}

static nlp_status read_wordpiece(compiler *c, const json_t *model, const json_t *added) {
    int64_t max_word;
    NLP_TRY(read_vocabulary(c, model, added));
    NLP_TRY(nlp_json_text(model, c->file, "continuing_subword_prefix", "##", &c->prefix, c->err));
    NLP_TRY(nlp_json_integer(model, c->file, "max_input_chars_per_word", 100, 1,
                             NLP_TOKENIZER_MAX_WORD, &max_word, c->err));
    c->header.max_word = (uint32_t)max_word;
    return read_unknown(c, model, "[UNK]");
}

/* ---- BPE ---- */

/* "a b", or ["a", "b"]. */
static nlp_status merge_parts(const compiler *c, const json_t *entry, piece parts[2]) {
    const char *text = json_string_value(entry), *blank = text ? strchr(text, ' ') : NULL;
    if (blank) {
        parts[0] = (piece){text, (size_t)(blank - text)};
        parts[1] = (piece){blank + 1, json_string_length(entry) - parts[0].n_bytes - 1};
        return NLP_OK;
    }
    for (size_t i = 0; i < 2; i++) {
        const json_t *part = json_array_get(entry, i);
        parts[i] = (piece){json_string_value(part), json_string_length(part)};
    }
    if (parts[0].text && parts[1].text && json_array_size(entry) == 2) return NLP_OK;
    return nlp_fail(c->err, NLP_EINVAL, "%s: \"merges\" has something that is no pair", c->file);
}

static nlp_status read_merges(compiler *c, const json_t *merges, const piece_index *index) {
    size_t n = json_array_size(merges);
    NLP_TRY(compiler_start_merges(c, n));
    for (size_t i = 0; i < n; i++) {
        piece parts[2];
        NLP_TRY(merge_parts(c, json_array_get(merges, i), parts));
        NLP_TRY(compiler_add_merge(c, index, parts));
    }
    return NLP_OK;
}

static nlp_status read_flag(compiler *c, const json_t *model, const char *key, uint32_t flag) {
    bool set;
    NLP_TRY(nlp_json_boolean(model, c->file, key, false, &set, c->err));
    if (set) c->extension.flags |= flag;
    return NLP_OK;
}

static nlp_status read_bpe(compiler *c, const json_t *model, const json_t *added) {
    const json_t *dropout = json_object_get(model, "dropout");
    if (dropout && !json_is_null(dropout) && json_number_value(dropout) != 0)
        return compiler_refuse(c, "model", "a dropout");
    NLP_TRY(read_vocabulary(c, model, added));
    NLP_TRY(read_unknown(c, model, NULL));
    NLP_TRY(nlp_json_text(model, c->file, "continuing_subword_prefix", "", &c->prefix, c->err));
    NLP_TRY(nlp_json_text(model, c->file, "end_of_word_suffix", "", &c->suffix, c->err));
    if (strlen(c->prefix) > 64 || strlen(c->suffix) > 64)
        return compiler_refuse(c, "model", "a prefix or suffix of over 64 bytes");
    NLP_TRY(read_flag(c, model, "byte_fallback", NLP_BPE_FALLBACK));
    NLP_TRY(read_flag(c, model, "fuse_unk", NLP_BPE_FUSE_UNKNOWN));
    return read_flag(c, model, "ignore_merges", NLP_BPE_WHOLE_FIRST);
}

/* Behind the pre-tokenizer, which says whether symbols are bytes. */
static nlp_status finish_bpe(compiler *c, const json_t *model) {
    piece_index index;
    bool letters = c->extension.flags & NLP_BPE_BYTES;
    NLP_TRY(compiler_index(c, &index));
    if (letters || (c->extension.flags & NLP_BPE_FALLBACK))
        NLP_TRY(compiler_find_bytes(c, &index, letters));
    return read_merges(c, json_object_get(model, "merges"), &index);
}

/* ---- Unigram and WordLevel ---- */

static nlp_status read_scored_piece(compiler *c, const json_t *entry, uint32_t i) {
    const json_t *text = json_array_get(entry, 0), *score = json_array_get(entry, 1);
    if (!json_is_string(text) || !json_is_number(score) || !isfinite(json_number_value(score)))
        return nlp_fail(c->err, NLP_EINVAL, "%s: piece %u is no text with a score", c->file, i);
    c->scores[i] = json_number_value(score);
    return compiler_set_piece(c, i, json_string_value(text), json_string_length(text));
}

static nlp_status read_unigram(compiler *c, const json_t *model, const json_t *added) {
    const json_t *vocab = json_object_get(model, "vocab");
    size_t n = json_array_size(vocab);
    int64_t unknown;
    double least = 0;
    NLP_TRY(compiler_start_pieces(c, extra_ids(added, n)));
    c->scores = NLP_PUSH(c->arena, double, n);
    NLP_TRY(nlp_arena_status(c->arena, c->err));
    for (uint32_t i = 0; i < n; i++) {
        NLP_TRY(read_scored_piece(c, json_array_get(vocab, i), i));
        if (!i || c->scores[i] < least) least = c->scores[i];
    }
    NLP_TRY(nlp_json_integer(model, c->file, "unk_id", -1, 0, (int64_t)n - 1, &unknown, c->err));
    if (unknown < 0) return compiler_refuse(c, "model", "no unk_id");
    c->header.unknown_id = (uint32_t)unknown;
    c->keys = c->pieces;
    c->n_keys = (uint32_t)n;
    c->extension.unknown_score = least - 10;
    return read_flag(c, model, "byte_fallback", NLP_BPE_FALLBACK);
}

static nlp_status finish_unigram(compiler *c) {
    piece_index index;
    if (!(c->extension.flags & NLP_BPE_FALLBACK)) return NLP_OK;
    NLP_TRY(compiler_index(c, &index));
    return compiler_find_bytes(c, &index, false);
}

/* ---- Which model ---- */

/* Files of old versions do not name it. */
static uint32_t model_of(const json_t *model) {
    static const struct {
        const char *type;
        uint32_t model;
    } types[] = {{"WordPiece", NLP_MODEL_WORDPIECE},
                 {"BPE", NLP_MODEL_BPE},
                 {"Unigram", NLP_MODEL_UNIGRAM},
                 {"WordLevel", NLP_MODEL_WORDLEVEL}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (hf_type_is(model, types[i].type)) return types[i].model;
    if (json_object_get(model, "type")) return 0;
    if (json_object_get(model, "merges")) return NLP_MODEL_BPE;
    if (json_object_get(model, "unk_id")) return NLP_MODEL_UNIGRAM;
    return json_object_get(model, "continuing_subword_prefix") ? NLP_MODEL_WORDPIECE : 0;
}

static nlp_status read_model(compiler *c, const json_t *model, const json_t *added) {
    c->header.model = model_of(model);
    c->header.max_word = 100;
    switch (c->header.model) {
    case NLP_MODEL_WORDPIECE:
        return read_wordpiece(c, model, added);
    case NLP_MODEL_BPE:
        return read_bpe(c, model, added);
    case NLP_MODEL_UNIGRAM:
        return read_unigram(c, model, added);
    case NLP_MODEL_WORDLEVEL:
        NLP_TRY(read_vocabulary(c, model, added));
        return read_unknown(c, model, NULL);
    default:
        return compiler_refuse(c, "model", "a type that is not in docs/models.md");
    }
}

/* ---- Added tokens ---- */

static nlp_status add_flag(const compiler *c, const json_t *token, const char *key, uint32_t flag,
                           uint32_t *flags) {
    bool set;
    NLP_TRY(nlp_json_boolean(token, c->file, key, false, &set, c->err));
    if (set) *flags |= flag;
    return NLP_OK;
}

static nlp_status read_added_token(compiler *c, const json_t *token) {
    const json_t *content = json_object_get(token, "content");
    const char *text = json_string_value(content);
    uint32_t flags = 0;
    int64_t id;
    NLP_TRY(nlp_json_integer(token, c->file, "id", -1, 0, c->header.n_pieces - 1, &id, c->err));
    if (!text || !*text)
        return nlp_fail(c->err, NLP_EINVAL, "%s: an added token is empty", c->file);
    if (id < 0) return nlp_fail(c->err, NLP_EINVAL, "%s: an added token has no id", c->file);
    NLP_TRY(add_flag(c, token, "normalized", NLP_ADDED_NORMALIZED, &flags));
    NLP_TRY(add_flag(c, token, "lstrip", NLP_ADDED_LSTRIP, &flags));
    NLP_TRY(add_flag(c, token, "rstrip", NLP_ADDED_RSTRIP, &flags));
    NLP_TRY(add_flag(c, token, "single_word", NLP_ADDED_SINGLE_WORD, &flags));
    NLP_TRY(add_flag(c, token, "special", NLP_ADDED_SPECIAL, &flags));
    if ((flags & NLP_ADDED_NORMALIZED) && c->header.model == NLP_MODEL_WORDPIECE)
        return compiler_refuse(c, "added_tokens", "a token that is matched after normalisation");
    NLP_TRY(compiler_add_token(c, (uint32_t)id, text, json_string_length(content), flags));
    if (c->pieces[id].text) return NLP_OK;
    return compiler_set_piece(c, id, text, json_string_length(content));
}

static nlp_status read_added(compiler *c, const json_t *added) {
    for (size_t i = 0; i < json_array_size(added); i++)
        NLP_TRY(read_added_token(c, json_array_get(added, i)));
    return NLP_OK;
}

/* What normalising makes of the tokens that are matched in normalised text: the runtime's own
 * normaliser, on a copy of the tokenizer that has no tokens yet. */
static nlp_status normalise_added(compiler *c) {
    compiler bare = *c;
    nlp_buf blob;
    nlp_tokenizer *t = NULL;
    bool any = false;
    for (uint32_t i = 0; i < c->header.n_added; i++)
        any = any || (c->added[i].flags & NLP_ADDED_NORMALIZED);
    if (!any || !c->extension.n_normalizers) return NLP_OK;
    bare.header.n_added = 0;
    bare.n_merges = 0;
    bare.extension.flags &= ~(uint32_t)NLP_BPE_BYTES;
    nlp_buf_init(&blob, c->arena->mem);
    nlp_status status = compiler_write(&bare, &blob);
    if (status == NLP_OK)
        status = nlp_tokenizer_open(blob.bytes, blob.n_bytes, c->arena->mem, &t, c->err);
    for (uint32_t i = 0; status == NLP_OK && i < c->header.n_added; i++) {
        span s;
        piece *text = &c->added_text[i];
        if (!(c->added[i].flags & NLP_ADDED_NORMALIZED)) continue;
        encoder e = {.tokenizer = t, .text = text->text, .arena = c->arena, .err = c->err};
        status = normalize_text(&e, 0, text->n_bytes, &s);
        if (status == NLP_OK && s.n_bytes)
            *text = (piece){s.bytes, s.n_bytes}, c->added[i].text_bytes = (uint32_t)s.n_bytes;
    }
    nlp_tokenizer_close(t);
    nlp_buf_deinit(&blob);
    return status;
}

/* ---- Entries ---- */

static nlp_status compile_json(compiler *c, const json_t *json, const nlp_hf_options *o,
                               nlp_buf *blob) {
    const json_t *added = json_object_get(json, "added_tokens"),
                 *model = json_object_get(json, "model");
    NLP_TRY(read_model(c, model, added));
    NLP_TRY(read_added(c, added));
    NLP_TRY(hf_read_normalizer(c, json_object_get(json, "normalizer")));
    NLP_TRY(hf_read_pre_tokenizer(c, json_object_get(json, "pre_tokenizer")));
    NLP_TRY(hf_read_decoder(c, json_object_get(json, "decoder")));
    NLP_TRY(
        hf_read_post_processor(c, o && o->bare ? NULL : json_object_get(json, "post_processor")));
    if (o && o->drop_unknown && c->header.unknown_id != NLP_NO_ID)
        c->header.flags |= NLP_TEXT_DROP_UNKNOWN;
    if (c->header.model == NLP_MODEL_BPE) NLP_TRY(finish_bpe(c, model));
    if (c->header.model == NLP_MODEL_UNIGRAM) NLP_TRY(finish_unigram(c));
    NLP_TRY(normalise_added(c));
    return compiler_write(c, blob);
}

static nlp_status build(const json_t *json, const char *file, const nlp_hf_options *options,
                        bool has_nul, nlp_buf *blob, nlp_error *err) {
    nlp_arena arena;
    compiler *c = compiler_start(&arena, blob->mem, file, err);
    if (c) c->has_nul = has_nul;
    nlp_status status = c ? compile_json(c, json, options, blob) : nlp_arena_status(&arena, err);
    nlp_arena_deinit(&arena);
    return status;
}

nlp_status nlp_hf_tokenizer_build(const json_t *json, const char *file, nlp_buf *blob,
                                  nlp_error *err) {
    return build(json, file, NULL, false, blob, err);
}

nlp_status nlp_hf_tokenizer_compile(const void *tokenizer_json, size_t n_bytes,
                                    const nlp_hf_options *options, nlp_buf *blob, nlp_error *err) {
    json_t *json;
    bool has_nul = false;
    NLP_TRY(nlp_json_parse_vocabulary(tokenizer_json, n_bytes, FILE_NAME, &has_nul, &json, err));
    nlp_status status = build(json, FILE_NAME, options, has_nul, blob, err);
    json_decref(json);
    return status;
}

static nlp_status read_lines(compiler *c, const char *text, size_t n_bytes) {
    size_t n_lines = 0, at = 0;
    for (size_t i = 0; i < n_bytes; i++) n_lines += text[i] == '\n';
    if (n_bytes && text[n_bytes - 1] != '\n') n_lines++;
    NLP_TRY(compiler_start_pieces(c, n_lines));
    for (size_t i = 0; i < n_lines; i++) {
        const char *end = memchr(text + at, '\n', n_bytes - at);
        size_t n = end ? (size_t)(end - text) - at : n_bytes - at;
        NLP_TRY(compiler_set_piece(c, (int64_t)i, text + at,
                                   n && text[at + n - 1] == '\r' ? n - 1 : n));
        at += n + 1;
    }
    return NLP_OK;
}

nlp_status hf_compile_wordpiece(compiler *c, const nlp_vocab_txt_options *o, nlp_buf *blob) {
    static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    bool strip = o->strip_accents < 0 ? o->lower_case : o->strip_accents > 0;
    /* added tokens: matched in the text as they are */
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
        NLP_TRY(compiler_add_special(c, specials[i]));
    c->prefix = "##";
    c->header.model = NLP_MODEL_WORDPIECE;
    c->header.max_word = 100;
    c->header.flags = NLP_TEXT_CLEAN | NLP_TEXT_CLEANUP |
                      (o->chinese_characters ? NLP_TEXT_CHINESE : 0u) |
                      (o->lower_case ? NLP_TEXT_LOWER : 0u) | (strip ? NLP_TEXT_STRIP_ACCENTS : 0u);
    c->header.unknown_id = compiler_find(c, "[UNK]");
    if (c->header.unknown_id == NLP_NO_ID)
        return nlp_fail(c->err, NLP_EINVAL, "%s: there is no [UNK]", c->file);
    NLP_TRY(hf_bert_template(c, compiler_find(c, "[CLS]"), compiler_find(c, "[SEP]")));
    return compiler_write(c, blob);
}

nlp_status nlp_vocab_txt_compile(const void *vocab_txt, size_t n_bytes,
                                 const nlp_vocab_txt_options *options, nlp_buf *blob,
                                 nlp_error *err) {
    nlp_arena arena;
    compiler *c = compiler_start(&arena, blob->mem, "vocab.txt", err);
    nlp_status status = c ? read_lines(c, vocab_txt, n_bytes) : nlp_arena_status(&arena, err);
    if (status == NLP_OK) status = hf_compile_wordpiece(c, options, blob);
    nlp_arena_deinit(&arena);
    return status;
}
