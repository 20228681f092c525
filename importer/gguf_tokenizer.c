/* gguf_tokenizer.c: tokens, their types, scores and merges as GGUF keys. */
#include "gguf_tokenizer.h"

#include <math.h>
#include <string.h>

#include "hf_tokenizer.h"
#include "spm_model.h"

#define KEY(name) "tokenizer.ggml." name

typedef struct reader {
    nlp_gguf *g;
    compiler *c;
    const nlp_gguf_pair *tokens, *types;
    const char *pre;
    uint32_t n;
    bool strips; /* control tokens take the white space behind them */
} reader;

static uint32_t type_of(const reader *r, uint32_t id) {
    double type = r->types ? nlp_gguf_member(r->types, id) : SPM_NORMAL;
    return type >= SPM_NORMAL && type <= SPM_BYTE ? (uint32_t)type : SPM_NORMAL;
}

/* An id beyond the vocabulary means that there is none. */
static uint32_t id_of(const reader *r, const char *key) {
    int64_t id = nlp_gguf_integer(r->g, key, -1);
    return id >= 0 && id < r->n ? (uint32_t)id : NLP_NO_ID;
}

/* ---- Added tokens and templates ---- */

/* Phi-3's writer does not say it. */
static bool strips(nlp_gguf *g) {
    const char *architecture = nlp_gguf_text(g, "general.architecture");
    return architecture && !strcmp(architecture, "phi3");
}

static uint32_t strip_flag(const reader *r, const piece *p) {
    static const char *const plain[] = {"<unk>", "<s>", "<|endoftext|>"};
    if (!r->strips) return 0;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (p->n_bytes == strlen(plain[i]) && !memcmp(p->text, plain[i], p->n_bytes)) return 0;
    return NLP_ADDED_RSTRIP;
}

static nlp_status add_tokens(const reader *r) {
    compiler *c = r->c;
    for (uint32_t id = 0; id < r->n; id++) {
        uint32_t type = type_of(r, id), flags = type == SPM_USER ? 0 : NLP_ADDED_SPECIAL;
        const piece *p = &c->pieces[id];
        if ((type != SPM_UNKNOWN && type != SPM_CONTROL && type != SPM_USER) || !p->n_bytes)
            continue;
        NLP_TRY(compiler_add_token(c, id, p->text, p->n_bytes, flags | strip_flag(r, p)));
    }
    return NLP_OK;
}

static nlp_status add_special(compiler *c, nlp_template_item *items, uint32_t *n, uint32_t id) {
    if (id == NLP_NO_ID) return NLP_OK;
    return compiler_add_item(c, items, n, (nlp_template_item){NLP_ITEM_SPECIAL, id, 0});
}

/* A start before each text, an end behind; between two texts RoBERTa types have two ends. */
static nlp_status add_templates(const reader *r, bool start, bool end, bool roberta) {
    compiler *c = r->c;
    start = nlp_gguf_boolean(r->g, KEY("add_bos_token"), start);
    end = nlp_gguf_boolean(r->g, KEY("add_eos_token"), end);
    uint32_t bos = start ? id_of(r, KEY("bos_token_id")) : NLP_NO_ID,
             eos = end ? id_of(r, KEY("eos_token_id")) : NLP_NO_ID;
    const nlp_template_item first = {NLP_ITEM_FIRST, 0, 0}, second = {NLP_ITEM_SECOND, 0, 0};
    NLP_TRY(add_special(c, c->single, &c->header.n_single, bos));
    NLP_TRY(compiler_add_item(c, c->single, &c->header.n_single, first));
    NLP_TRY(add_special(c, c->single, &c->header.n_single, eos));
    NLP_TRY(add_special(c, c->pair, &c->header.n_pair, bos));
    NLP_TRY(compiler_add_item(c, c->pair, &c->header.n_pair, first));
    NLP_TRY(add_special(c, c->pair, &c->header.n_pair, eos));
    NLP_TRY(add_special(c, c->pair, &c->header.n_pair, roberta ? eos : bos));
    NLP_TRY(compiler_add_item(c, c->pair, &c->header.n_pair, second));
    return add_special(c, c->pair, &c->header.n_pair, eos);
}

static nlp_status read_pieces(const reader *r) {
    const char *text;
    size_t at = 0, n_bytes;
    NLP_TRY(compiler_start_pieces(r->c, r->n));
    for (uint32_t id = 0; nlp_gguf_next_text(r->tokens, &at, &text, &n_bytes); id++)
        NLP_TRY(compiler_set_piece(r->c, id, text, n_bytes));
    return NLP_OK;
}

/* ---- gpt2 ---- */

static nlp_status read_merges(const reader *r) {
    const nlp_gguf_pair *merges = nlp_gguf_find(r->g, KEY("merges"));
    compiler *c = r->c;
    piece_index index;
    const char *text;
    size_t at = 0, n_bytes;
    if (!merges || !merges->is_array || merges->type != NLP_GGUF_STRING)
        return nlp_fail(c->err, NLP_EINVAL, "GGUF: there are no " KEY("merges"));
    NLP_TRY(compiler_index(c, &index));
    NLP_TRY(compiler_find_bytes(c, &index, true));
    NLP_TRY(compiler_start_merges(c, merges->n));
    while (nlp_gguf_next_text(merges, &at, &text, &n_bytes)) {
        const char *blank = n_bytes ? memchr(text, ' ', n_bytes) : NULL;
        if (!blank) return nlp_fail(c->err, NLP_EINVAL, "GGUF: a merge is no pair");
        size_t n_left = (size_t)(blank - text);
        const piece parts[2] = {{text, n_left}, {blank + 1, n_bytes - n_left - 1}};
        NLP_TRY(compiler_add_merge(c, &index, parts));
    }
    return NLP_OK;
}

static bool is_one_of(const char *name, const char *const *names) {
    while (*names && strcmp(*names, name) != 0) names++;
    return *names != NULL;
}

static nlp_status compile_gpt2(reader *r, nlp_buf *blob) {
    static const char *const starts[] = {"llama3",  "llama-v3", "llama-bpe", "falcon3",
                                         "pixtral", "tekken",   NULL},
                             *const roberta[] = {"roberta-bpe", "jina-v1-en", "jina-v2-code",
                                                 "jina-v2-es",  "jina-v2-de", "jina-es",
                                                 "jina-de",     NULL},
                             *const trimmed[] = {"gpt-2",       "phi-2",      "olmo",
                                                 "roberta-bpe", "jina-v1-en", "jina-v2-code",
                                                 NULL},
                             *const composed[] = {"qwen2", "deepseek-r1-qwen", NULL};
    compiler *c = r->c;
    if (!split_pattern_pre(r->pre, c->splits, &c->extension.n_splits, &c->extension.flags))
        return nlp_fail(c->err, NLP_EUNSUPPORTED,
                        "GGUF: " KEY("pre") " \"%.40s\" names no split pattern that nlp knows",
                        r->pre);
    c->header.model = NLP_MODEL_BPE;
    c->header.unknown_id = NLP_NO_ID;
    c->header.max_word = 100;
    c->extension.flags |= NLP_BPE_BYTES | NLP_BPE_NO_UNKNOWN;
    c->extension.decoder = NLP_DECODE_BYTES;
    if (is_one_of(r->pre, trimmed)) c->extension.flags |= NLP_TOKENIZER_TRIM;
    if (is_one_of(r->pre, composed)) /* NFC, which the file does not say */
        NLP_TRY(compiler_add_rule(
            c, false, (text_rule){.kind = NLP_NORMALIZE_FORM, .flags = NLP_UNICODE_COMPOSE}));
    NLP_TRY(read_pieces(r));
    NLP_TRY(add_tokens(r));
    NLP_TRY(read_merges(r));
    bool pairs = is_one_of(r->pre, roberta);
    NLP_TRY(add_templates(r, pairs || is_one_of(r->pre, starts), pairs, pairs));
    return compiler_write(c, blob);
}

/* ---- llama and t5 ---- */

static nlp_status read_scores(const reader *r, spm_model *s) {
    const nlp_gguf_pair *scores = nlp_gguf_find(r->g, KEY("scores")),
                        *charsmap = nlp_gguf_find(r->g, KEY("precompiled_charsmap"));
    const char *text;
    size_t at = 0, n_bytes;
    if (!scores || !scores->is_array || scores->n != r->n || scores->type != NLP_GGUF_F32)
        return nlp_fail(r->c->err, NLP_EINVAL, "GGUF: " KEY("scores") " are not one a token");
    for (; nlp_gguf_next_text(r->tokens, &at, &text, &n_bytes); s->n++) {
        s->pieces[s->n] = (piece){text, n_bytes};
        s->scores[s->n] = (float)nlp_gguf_member(scores, s->n);
        s->kinds[s->n] = (uint8_t)type_of(r, s->n);
        if (!isfinite(s->scores[s->n]))
            return nlp_fail(r->c->err, NLP_EINVAL, "GGUF: score %u is no number", s->n);
    }
    if (charsmap && charsmap->is_array)
        s->charsmap = (piece){(const char *)charsmap->bytes, charsmap->n_bytes};
    return NLP_OK;
}

static nlp_status compile_spm(reader *r, bool unigram, nlp_buf *blob) {
    spm_model s = {.c = r->c};
    uint32_t unknown = id_of(r, KEY("unknown_token_id"));
    NLP_TRY(spm_start(&s, r->n));
    NLP_TRY(read_scores(r, &s));
    s.model = unigram ? SPM_UNIGRAM : SPM_BPE;
    s.byte_fallback = !unigram;
    s.dummy_prefix = nlp_gguf_boolean(r->g, KEY("add_space_prefix"), true);
    s.remove_extra = nlp_gguf_boolean(r->g, KEY("remove_extra_whitespaces"), false);
    NLP_TRY(spm_own_ids(&s));
    NLP_TRY(spm_fill(&s));
    r->c->header.unknown_id = unknown == NLP_NO_ID ? 0 : unknown;
    NLP_TRY(add_tokens(r));
    NLP_TRY(add_templates(r, !unigram, unigram, false));
    return compiler_write(r->c, blob);
}

/* ---- bert ---- */

/* The writer put U+2581 before pieces that begin a word, and took "##" from the others. */
static nlp_status read_bert_pieces(const reader *r) {
    static const char begins[] = "\xE2\x96\x81";
    compiler *c = r->c;
    const char *text;
    size_t at = 0, n_bytes;
    NLP_TRY(compiler_start_pieces(c, r->n));
    for (uint32_t id = 0; nlp_gguf_next_text(r->tokens, &at, &text, &n_bytes); id++) {
        bool special = n_bytes && text[0] == '[' && text[n_bytes - 1] == ']',
             start = n_bytes >= 3 && !memcmp(text, begins, 3);
        if (start) text += 3, n_bytes -= 3;
        if (!start && !special) {
            char *inner = nlp_arena_push(c->arena, n_bytes + 2, 1);
            if (!inner) return nlp_arena_status(c->arena, c->err);
            memcpy(inner, "##", 2);
            memcpy(inner + 2, text, n_bytes);
            text = inner, n_bytes += 2;
        }
        NLP_TRY(compiler_set_piece(c, id, text, n_bytes));
    }
    return NLP_OK;
}

/* The file does not say whether text is made lower; llama.cpp always makes it so. A vocabulary with
 * capital letters was trained on text that keeps them. */
static bool has_capitals(const compiler *c) {
    for (uint32_t id = 0; id < c->header.n_pieces; id++) {
        const piece *p = &c->pieces[id];
        bool special = p->n_bytes && p->text[0] == '[';
        for (size_t i = 0; i < p->n_bytes && !special; i++)
            if (p->text[i] >= 'A' && p->text[i] <= 'Z') return true;
    }
    return false;
}

static nlp_status compile_bert(reader *r, nlp_buf *blob) {
    NLP_TRY(read_bert_pieces(r));
    const nlp_vocab_txt_options options = {
        .lower_case = !has_capitals(r->c), .strip_accents = -1, .chinese_characters = true};
    return hf_compile_wordpiece(r->c, &options, blob);
}

/* ---- Which ---- */

static nlp_status compile(reader *r, nlp_buf *blob) {
    const char *model = nlp_gguf_text(r->g, KEY("model"));
    nlp_error *err = r->c->err;
    r->tokens = nlp_gguf_find(r->g, KEY("tokens"));
    r->types = nlp_gguf_find(r->g, KEY("token_type"));
    r->pre = nlp_gguf_text(r->g, KEY("pre"));
    if (!r->pre) r->pre = "default";
    r->strips = strips(r->g);
    if (!r->tokens || !r->tokens->is_array || r->tokens->type != NLP_GGUF_STRING ||
        r->tokens->n > NLP_TOKENIZER_MAX_PIECES)
        return nlp_fail(err, NLP_EINVAL, "GGUF: there are no " KEY("tokens"));
    r->n = (uint32_t)r->tokens->n;
    if (r->types &&
        (!r->types->is_array || r->types->n != r->n || r->types->type == NLP_GGUF_STRING))
        return nlp_fail(err, NLP_EINVAL, "GGUF: " KEY("token_type") " is not one a token");
    if (!model) model = "";
    if (!strcmp(model, "gpt2")) return compile_gpt2(r, blob);
    if (!strcmp(model, "bert")) return compile_bert(r, blob);
    if (!strcmp(model, "llama")) return compile_spm(r, false, blob);
    if (!strcmp(model, "t5")) return compile_spm(r, true, blob);
    return nlp_fail(err, NLP_EUNSUPPORTED, "GGUF: nlp does not know the tokenizer \"%.40s\"",
                    model);
}

nlp_status nlp_gguf_tokenizer_compile(nlp_gguf *g, nlp_buf *blob, nlp_error *err) {
    nlp_arena arena;
    compiler *c = compiler_start(&arena, blob->mem, "GGUF", err);
    nlp_status status =
        c ? compile(&(reader){.g = g, .c = c}, blob) : nlp_arena_status(&arena, err);
    nlp_arena_deinit(&arena);
    return status;
}
