/* hf_components.c: normalizer, pre_tokenizer, post_processor and decoder of tokenizer.json. What the
 * runtime cannot do exactly is refused by name: file and key, never content. */
#include <string.h>

#include "base64.h"
#include "json.h"
#include "tokenizer_compiler.h"

bool hf_type_is(const json_t *component, const char *type) {
    const char *text = json_string_value(json_object_get(component, "type"));
    return text && !strcmp(text, type);
}

static nlp_status read_switch(const compiler *c, const json_t *object, const char *key,
                              bool fallback, bool *out) {
    return nlp_json_boolean(object, c->file, key, fallback, out, c->err);
}

static piece text_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return (piece){json_string_value(value), json_string_length(value)};
}

/* ---- Normalizers ---- */

static nlp_status add(compiler *c, uint32_t kind, uint32_t flags) {
    return compiler_add_rule(c, false, (text_rule){.kind = kind, .flags = flags});
}

/* WordPiece has it in one pass with its pre-tokenizer; elsewhere it is a row of rules. */
static nlp_status read_bert_normalizer(compiler *c, const json_t *n) {
    bool clean, chinese, lower, strip;
    NLP_TRY(read_switch(c, n, "clean_text", true, &clean));
    NLP_TRY(read_switch(c, n, "handle_chinese_chars", true, &chinese));
    NLP_TRY(read_switch(c, n, "lowercase", true, &lower));
    NLP_TRY(read_switch(c, n, "strip_accents", lower, &strip));
    if (c->header.model == NLP_MODEL_WORDPIECE) {
        c->header.flags |= (clean ? NLP_TEXT_CLEAN : 0u) | (chinese ? NLP_TEXT_CHINESE : 0u) |
                           (lower ? NLP_TEXT_LOWER : 0u) | (strip ? NLP_TEXT_STRIP_ACCENTS : 0u);
        return NLP_OK;
    }
    if (clean) NLP_TRY(add(c, NLP_NORMALIZE_CLEAN, 0));
    if (chinese) NLP_TRY(add(c, NLP_NORMALIZE_CHINESE, 0));
    if (strip) {
        NLP_TRY(add(c, NLP_NORMALIZE_FORM, 0));
        NLP_TRY(add(c, NLP_NORMALIZE_STRIP_ACCENTS, 0));
    }
    return lower ? add(c, NLP_NORMALIZE_LOWER, 0) : NLP_OK;
}

static bool is_literal(piece pattern) {
    return pattern.text && !strpbrk(pattern.text, "\\.[]{}()*+?^$|");
}

/* A literal text, or two and more blanks; there is no pattern engine. */
static nlp_status read_replace(compiler *c, const json_t *n) {
    const json_t *pattern = json_object_get(n, "pattern");
    piece literal = text_of(pattern, "String"), expression = text_of(pattern, "Regex");
    text_rule rule = {.kind = NLP_NORMALIZE_REPLACE, .a = literal, .b = text_of(n, "content")};
    if (!literal.text && expression.text && !strcmp(expression.text, " {2,}")) {
        rule.kind = NLP_NORMALIZE_RUNS;
        rule.a = (piece){" ", 1};
    } else if (!literal.text && is_literal(expression)) {
        rule.a = expression;
    } else if (!literal.text) {
        return compiler_refuse(c, "normalizer", "a Replace with a pattern");
    }
    if (!rule.a.n_bytes || !rule.b.text || rule.a.n_bytes > 1024 || rule.b.n_bytes > 1024)
        return compiler_refuse(c, "normalizer", "a Replace of no text, or of a long one");
    return compiler_add_rule(c, false, rule);
}

static nlp_status read_precompiled(compiler *c, const json_t *n) {
    piece text = text_of(n, "precompiled_charsmap");
    size_t n_bytes;
    if (!text.n_bytes) return NLP_OK;
    if (c->charsmap || text.n_bytes > NLP_MOST_CHARSMAP)
        return compiler_refuse(c, "normalizer", "more than one Precompiled, or too large a one");
    uint8_t *bytes = NLP_PUSH(c->arena, uint8_t, text.n_bytes);
    NLP_TRY(nlp_arena_status(c->arena, c->err));
    if (!nlp_base64_decode(text.text, text.n_bytes, bytes, &n_bytes))
        return nlp_fail(c->err, NLP_EINVAL, "%s: \"precompiled_charsmap\" is not base64", c->file);
    c->charsmap = bytes;
    c->extension.charsmap_bytes = (uint32_t)n_bytes;
    return add(c, NLP_NORMALIZE_CHARSMAP, 0);
}

static nlp_status read_strip(compiler *c, const json_t *n) {
    bool left, right;
    NLP_TRY(read_switch(c, n, "strip_left", true, &left));
    NLP_TRY(read_switch(c, n, "strip_right", true, &right));
    return add(c, NLP_NORMALIZE_STRIP, (left ? 1u : 0u) | (right ? 2u : 0u));
}

static nlp_status read_one_normalizer(compiler *c, const json_t *n) {
    static const struct {
        const char *type;
        uint32_t kind, flags;
    } plain[] = {{"NFC", NLP_NORMALIZE_FORM, NLP_UNICODE_COMPOSE},
                 {"NFD", NLP_NORMALIZE_FORM, 0},
                 {"NFKC", NLP_NORMALIZE_FORM, NLP_UNICODE_COMPOSE | NLP_UNICODE_COMPATIBILITY},
                 {"NFKD", NLP_NORMALIZE_FORM, NLP_UNICODE_COMPATIBILITY},
                 {"Lowercase", NLP_NORMALIZE_LOWER, 0},
                 {"StripAccents", NLP_NORMALIZE_STRIP_ACCENTS, 1},
                 {"Nmt", NLP_NORMALIZE_NMT, 0}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (hf_type_is(n, plain[i].type)) return add(c, plain[i].kind, plain[i].flags);
    if (hf_type_is(n, "BertNormalizer")) return read_bert_normalizer(c, n);
    if (hf_type_is(n, "Replace")) return read_replace(c, n);
    if (hf_type_is(n, "Precompiled")) return read_precompiled(c, n);
    if (hf_type_is(n, "Strip")) return read_strip(c, n);
    if (!hf_type_is(n, "Prepend"))
        return compiler_refuse(c, "normalizer", "a type that is not in docs/models.md");
    return compiler_add_rule(
        c, false, (text_rule){.kind = NLP_NORMALIZE_PREPEND, .a = text_of(n, "prepend")});
}

/* Members of a Sequence, or the component itself; one level deep, as published files have it. */
typedef nlp_status (*read_fn)(compiler *c, const json_t *component);
static nlp_status each(compiler *c, const json_t *component, const char *members, read_fn read) {
    const json_t *list = json_object_get(component, members);
    if (!component || json_is_null(component)) return NLP_OK;
    if (!hf_type_is(component, "Sequence")) return read(c, component);
    for (size_t i = 0; i < json_array_size(list); i++) NLP_TRY(read(c, json_array_get(list, i)));
    return NLP_OK;
}

nlp_status hf_read_normalizer(compiler *c, const json_t *normalizer) {
    NLP_TRY(each(c, normalizer, "normalizers", read_one_normalizer));
    if (c->header.model != NLP_MODEL_WORDPIECE || !c->extension.n_normalizers) return NLP_OK;
    return compiler_refuse(c, "normalizer",
                           "a WordPiece model with a type other than BertNormalizer");
}

/* ---- Pre-tokenizers ---- */

static nlp_status add_split(compiler *c, uint32_t kind, uint32_t flags) {
    return compiler_add_rule(c, true, (text_rule){.kind = kind, .flags = flags});
}

/* The 256 letters of the byte alphabet must be pieces, but for bytes that no text has. */
static nlp_status read_byte_level(compiler *c, const json_t *p) {
    bool prefix, pattern;
    NLP_TRY(read_switch(c, p, "add_prefix_space", true, &prefix));
    NLP_TRY(read_switch(c, p, "use_regex", true, &pattern));
    if (c->header.model != NLP_MODEL_BPE)
        return compiler_refuse(c, "pre_tokenizer", "ByteLevel without a BPE model");
    c->extension.flags |= NLP_BPE_BYTES;
    if (prefix) NLP_TRY(add_split(c, NLP_SPLIT_PREFIX, 0));
    return pattern ? add_split(c, NLP_SPLIT_PATTERN, NLP_PATTERN_GPT2) : NLP_OK;
}

static nlp_status read_split(compiler *c, const json_t *p) {
    const json_t *pattern = json_object_get(p, "pattern");
    const char *behavior = text_of(p, "behavior").text, *literal = text_of(pattern, "String").text,
               *expression = text_of(pattern, "Regex").text;
    bool invert;
    NLP_TRY(read_switch(c, p, "invert", false, &invert));
    if (!behavior) behavior = "";
    if (literal && !strcmp(literal, " ") && !strcmp(behavior, "MergedWithPrevious") && !invert)
        return add_split(c, NLP_SPLIT_AFTER_BLANKS, 0);
    uint32_t known = split_pattern_find(expression ? expression : literal ? literal : "");
    /* a pattern that matches everything: its matches kept are its matches isolated */
    bool total = known && known <= NLP_PATTERN_TEKKEN;
    bool isolated = !strcmp(behavior, "Isolated") && !invert,
         kept = !strcmp(behavior, "Removed") && invert && total;
    if (!known || !(isolated || kept))
        return compiler_refuse(c, "pre_tokenizer",
                               "a Split whose pattern or behaviour is not known");
    return add_split(c, NLP_SPLIT_PATTERN, known);
}

/* Two spellings: add_prefix_space, and prepend_scheme with split. */
static nlp_status read_metaspace(compiler *c, const json_t *p) {
    bool prefix, split;
    const char *scheme = text_of(p, "prepend_scheme").text, *mark = text_of(p, "replacement").text;
    NLP_TRY(read_switch(c, p, "add_prefix_space", true, &prefix));
    NLP_TRY(read_switch(c, p, "split", true, &split));
    if (mark && strcmp(mark, "\xE2\x96\x81"))
        return compiler_refuse(c, "pre_tokenizer", "a Metaspace with a mark other than U+2581");
    uint32_t flags = split ? NLP_METASPACE_SPLIT : 0;
    if (scheme ? !strcmp(scheme, "always") : prefix) flags |= NLP_METASPACE_ALWAYS;
    if (scheme && !strcmp(scheme, "first")) flags |= NLP_METASPACE_FIRST;
    return add_split(c, NLP_SPLIT_METASPACE, flags);
}

static nlp_status read_punctuation(compiler *c, const json_t *p) {
    const char *behavior = text_of(p, "behavior").text;
    if (behavior && strcmp(behavior, "Isolated"))
        return compiler_refuse(c, "pre_tokenizer", "a Punctuation that is not Isolated");
    return add_split(c, NLP_SPLIT_PUNCTUATION, 0);
}

static nlp_status read_digits(compiler *c, const json_t *p) {
    bool individual;
    NLP_TRY(read_switch(c, p, "individual_digits", false, &individual));
    return add_split(c, NLP_SPLIT_DIGITS, individual);
}

static nlp_status read_one_pre_tokenizer(compiler *c, const json_t *p) {
    if (hf_type_is(p, "ByteLevel")) return read_byte_level(c, p);
    if (hf_type_is(p, "Split")) return read_split(c, p);
    if (hf_type_is(p, "Metaspace")) return read_metaspace(c, p);
    if (hf_type_is(p, "Punctuation")) return read_punctuation(c, p);
    if (hf_type_is(p, "Digits")) return read_digits(c, p);
    if (hf_type_is(p, "Whitespace")) return add_split(c, NLP_SPLIT_WORDS, 0);
    if (hf_type_is(p, "WhitespaceSplit")) return add_split(c, NLP_SPLIT_SPACES, 0);
    if (hf_type_is(p, "BertPreTokenizer")) return add_split(c, NLP_SPLIT_BERT, 0);
    return compiler_refuse(c, "pre_tokenizer", "a type that is not in docs/models.md");
}

nlp_status hf_read_pre_tokenizer(compiler *c, const json_t *pre_tokenizer) {
    if (c->header.model == NLP_MODEL_WORDPIECE && !hf_type_is(pre_tokenizer, "BertPreTokenizer"))
        return compiler_refuse(c, "pre_tokenizer",
                               "a WordPiece model with a type other than BertPreTokenizer");
    return each(c, pre_tokenizer, "pretokenizers", read_one_pre_tokenizer);
}

/* ---- Decoders ---- */

/* Replace U+2581 by a blank, ByteFallback, Fuse, and where the text had one put before it Strip. */
static nlp_status read_decoder_part(compiler *c, const json_t *d) {
    piece mark = text_of(json_object_get(d, "pattern"), "String");
    if (hf_type_is(d, "Replace") && mark.text && !strcmp(mark.text, "\xE2\x96\x81")) return NLP_OK;
    if (hf_type_is(d, "ByteFallback") || hf_type_is(d, "Fuse")) return NLP_OK;
    if (hf_type_is(d, "Strip")) {
        c->extension.decoder_strip = (uint32_t)json_integer_value(json_object_get(d, "start"));
        return NLP_OK;
    }
    return compiler_refuse(c, "decoder", "a part that is not in docs/models.md");
}

nlp_status hf_read_decoder(compiler *c, const json_t *d) {
    bool cleanup;
    c->extension.decoder = NLP_DECODE_PLAIN;
    if (!d || json_is_null(d)) return NLP_OK;
    if (hf_type_is(d, "WordPiece")) {
        NLP_TRY(read_switch(c, d, "cleanup", true, &cleanup));
        if (cleanup) c->header.flags |= NLP_TEXT_CLEANUP;
        c->extension.decoder = NLP_DECODE_WORDPIECE;
        return NLP_OK;
    }
    if (c->header.model == NLP_MODEL_WORDPIECE)
        return compiler_refuse(c, "decoder", "a WordPiece model with another type");
    if (hf_type_is(d, "Sequence")) {
        c->extension.decoder = NLP_DECODE_SPM;
        return each(c, d, "decoders", read_decoder_part);
    }
    const char *scheme = text_of(d, "prepend_scheme").text;
    bool old_prefix = !json_is_false(json_object_get(d, "add_prefix_space"));
    c->extension.decoder_strip = scheme ? strcmp(scheme, "never") != 0 : old_prefix;
    c->extension.decoder = hf_type_is(d, "ByteLevel")    ? NLP_DECODE_BYTES
                           : hf_type_is(d, "Metaspace")  ? NLP_DECODE_METASPACE
                           : hf_type_is(d, "BPEDecoder") ? NLP_DECODE_SUFFIX
                           : hf_type_is(d, "Fuse")       ? NLP_DECODE_JOIN
                                                         : UINT32_MAX;
    if (c->extension.decoder == UINT32_MAX)
        return compiler_refuse(c, "decoder", "a type that is not in docs/models.md");
    return NLP_OK;
}

/* ---- Post-processors ---- */

static nlp_status add_special(compiler *c, nlp_template_item *items, uint32_t *n,
                              const json_t *special, uint32_t type_id, const json_t *table) {
    const char *name = json_string_value(json_object_get(special, "id"));
    const json_t *ids = name ? json_object_get(json_object_get(table, name), "ids") : NULL;
    if (!json_array_size(ids))
        return nlp_fail(c->err, NLP_EINVAL, "%s: a template's special token is not listed",
                        c->file);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));
        if (id < 0 || id >= (json_int_t)c->header.n_pieces)
            return nlp_fail(c->err, NLP_EINVAL, "%s: a template's special token has id %lld",
                            c->file, (long long)id);
        NLP_TRY(compiler_add_item(c, items, n,
                                  (nlp_template_item){NLP_ITEM_SPECIAL, (uint32_t)id, type_id}));
    }
    return NLP_OK;
}

/* "A" and "B" must come once each and in this order; *seen is how many there were. */
static nlp_status add_sequence(compiler *c, nlp_template_item *items, uint32_t *n,
                               const json_t *sequence, uint32_t type_id, uint32_t *seen) {
    const char *name = json_string_value(json_object_get(sequence, "id"));
    bool expected = name && !strcmp(name, *seen ? "B" : "A") && *seen < 2;
    if (!expected)
        return compiler_refuse(c, "post_processor",
                               "a template that is not A, or A and then B, once each");
    uint32_t kind = (*seen)++ ? NLP_ITEM_SECOND : NLP_ITEM_FIRST;
    return compiler_add_item(c, items, n, (nlp_template_item){kind, 0, type_id});
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
            return compiler_refuse(c, "post_processor",
                                   "an item that is no Sequence and no SpecialToken");
        NLP_TRY(nlp_json_integer(sequence ? sequence : special, c->file, "type_id", 0, 0, 1,
                                 &type_id, c->err));
        if (special)
            NLP_TRY(add_special(c, items, n, special, (uint32_t)type_id, table));
        else
            NLP_TRY(add_sequence(c, items, n, sequence, (uint32_t)type_id, &seen));
    }
    if (!*n || seen == n_texts) return NLP_OK;
    return compiler_refuse(c, "post_processor", "a template that leaves out a text");
}

/* [CLS] A [SEP] (B [SEP]) from BertProcessing's ["text", id] pairs, or from a vocabulary's own
 * tokens. */
nlp_status hf_bert_template(compiler *c, uint32_t cls, uint32_t sep) {
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

/* ["text", id] of a RobertaProcessing or BertProcessing. */
static uint32_t special_id(const json_t *post, const char *key) {
    return (uint32_t)json_integer_value(json_array_get(json_object_get(post, key), 1));
}

/* <s> A </s> and <s> A </s></s> B </s>, all of type 0. */
static nlp_status roberta_template(compiler *c, uint32_t cls, uint32_t sep) {
    const nlp_template_item items[] = {{NLP_ITEM_SPECIAL, cls, 0}, {NLP_ITEM_FIRST, 0, 0},
                                       {NLP_ITEM_SPECIAL, sep, 0}, {NLP_ITEM_SPECIAL, sep, 0},
                                       {NLP_ITEM_SECOND, 0, 0},    {NLP_ITEM_SPECIAL, sep, 0}};
    if (cls >= c->header.n_pieces || sep >= c->header.n_pieces)
        return nlp_fail(c->err, NLP_EINVAL, "the vocabulary has no <s> or no </s>");
    memcpy(c->single, items, 3 * sizeof *items);
    memcpy(c->pair, items, sizeof items);
    c->header.n_single = 3, c->header.n_pair = 6;
    return NLP_OK;
}

static nlp_status read_trimming(compiler *c, const json_t *post) {
    bool trim, prefix;
    NLP_TRY(read_switch(c, post, "trim_offsets", true, &trim));
    NLP_TRY(read_switch(c, post, "add_prefix_space", true, &prefix));
    if (trim) c->extension.flags |= NLP_TOKENIZER_TRIM;
    if (trim && prefix) c->extension.flags |= NLP_TOKENIZER_TRIM_FIRST;
    return NLP_OK;
}

static nlp_status read_one_post_processor(compiler *c, const json_t *post) {
    if (hf_type_is(post, "ByteLevel")) return read_trimming(c, post);
    if (hf_type_is(post, "BertProcessing"))
        return hf_bert_template(c, special_id(post, "cls"), special_id(post, "sep"));
    if (hf_type_is(post, "RobertaProcessing")) {
        NLP_TRY(read_trimming(c, post));
        return roberta_template(c, special_id(post, "cls"), special_id(post, "sep"));
    }
    if (!hf_type_is(post, "TemplateProcessing"))
        return compiler_refuse(c, "post_processor", "a type that is not in docs/models.md");
    const json_t *table = json_object_get(post, "special_tokens");
    NLP_TRY(read_template(c, json_object_get(post, "single"), table, 1, c->single,
                          &c->header.n_single));
    return read_template(c, json_object_get(post, "pair"), table, 2, c->pair, &c->header.n_pair);
}

/* Without a template a text stands alone, and two follow each other. */
nlp_status hf_read_post_processor(compiler *c, const json_t *post) {
    NLP_TRY(each(c, post, "processors", read_one_post_processor));
    if (!c->header.n_single)
        NLP_TRY(compiler_add_item(c, c->single, &c->header.n_single,
                                  (nlp_template_item){NLP_ITEM_FIRST, 0, 0}));
    if (c->header.n_pair || c->header.model == NLP_MODEL_WORDPIECE) return NLP_OK;
    NLP_TRY(compiler_add_item(c, c->pair, &c->header.n_pair,
                              (nlp_template_item){NLP_ITEM_FIRST, 0, 0}));
    return compiler_add_item(c, c->pair, &c->header.n_pair,
                             (nlp_template_item){NLP_ITEM_SECOND, 0, 1});
}
