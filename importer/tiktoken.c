/* tiktoken.c: ranks to merges: every cut of a token in two tokens is a merge of its rank, as tiktoken joins
 * whatever neighbours make a token of the lowest rank (its src/lib.rs). */
#include "tiktoken.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base64.h"
#include "spm_bpe.h"

enum { MOST_TOKEN = 512, LLAMA3_SPECIALS = 256 };

typedef struct reader {
    compiler *c;
    const nlp_tiktoken *ranks;
    piece *tokens; /* by rank, in the byte alphabet */
    double *scores;
    bool *whole;
    uint32_t n;
} reader;

bool nlp_tiktoken_is(const char *text, size_t n_bytes) {
    size_t n = 0;
    while (n < n_bytes && n < MOST_TOKEN && text[n] > ' ') n++;
    return n && n + 2 < n_bytes && text[n] == ' ' && text[n + 1] >= '0' && text[n + 1] <= '9';
}

static nlp_status damaged(const reader *r, uint32_t line) {
    return nlp_fail(r->c->err, NLP_EINVAL, "%s: line %u is no token with its rank", r->c->file,
                    line + 1);
}

/* "aGVsbG8= 12": rank 12 must stand in line 12. */
static nlp_status read_line(reader *r, const char *line, size_t n) {
    uint8_t bytes[MOST_TOKEN];
    char letters[2 * MOST_TOKEN], number[16];
    size_t n_token = 0, n_bytes, n_letters = 0;
    while (n_token < n && line[n_token] != ' ') n_token++;
    snprintf(number, sizeof number, "%.*s", n_token < n ? (int)(n - n_token - 1) : 0,
             line + n_token + 1);
    if (n_token == n || n_token > MOST_TOKEN || strtoul(number, NULL, 10) != r->n ||
        !nlp_base64_decode(line, n_token, bytes, &n_bytes) || !n_bytes)
        return damaged(r, r->n);
    for (size_t i = 0; i < n_bytes; i++)
        n_letters += nlp_utf8_encode(nlp_byte_letter(bytes[i]), letters + n_letters);
    r->tokens[r->n] = (piece){nlp_arena_text(r->c->arena, letters, n_letters), n_letters};
    r->scores[r->n] = -(double)r->n;
    r->whole[r->n++] = true;
    return nlp_arena_status(r->c->arena, r->c->err);
}

static nlp_status read_lines(reader *r) {
    const char *text = r->ranks->text;
    size_t n_bytes = r->ranks->n_bytes, capacity = 1;
    for (size_t i = 0; i < n_bytes; i++) capacity += text[i] == '\n';
    r->tokens = NLP_PUSH(r->c->arena, piece, capacity);
    r->scores = NLP_PUSH(r->c->arena, double, capacity);
    r->whole = NLP_PUSH(r->c->arena, bool, capacity);
    NLP_TRY(nlp_arena_status(r->c->arena, r->c->err));
    for (size_t at = 0; at < n_bytes;) {
        const char *end = memchr(text + at, '\n', n_bytes - at);
        size_t n = end ? (size_t)(end - text) - at : n_bytes - at;
        if (n) NLP_TRY(read_line(r, text + at, n));
        at += n + 1;
    }
    return NLP_OK;
}

static nlp_status set_pieces(reader *r) {
    compiler *c = r->c;
    const char *const *specials = r->ranks->specials;
    uint32_t n_specials = 0;
    while (specials && specials[n_specials]) n_specials++;
    NLP_TRY(compiler_start_pieces(c, (size_t)r->n + n_specials));
    for (uint32_t i = 0; i < r->n; i++)
        NLP_TRY(compiler_set_piece(c, i, r->tokens[i].text, r->tokens[i].n_bytes));
    for (uint32_t i = 0; i < n_specials; i++) {
        NLP_TRY(compiler_set_piece(c, r->n + i, specials[i], strlen(specials[i])));
        NLP_TRY(
            compiler_add_token(c, r->n + i, specials[i], strlen(specials[i]), NLP_ADDED_SPECIAL));
    }
    return NLP_OK;
}

static nlp_status add_templates(compiler *c, const char *start) {
    const nlp_template_item first = {NLP_ITEM_FIRST, 0, 0}, second = {NLP_ITEM_SECOND, 0, 0},
                            special = {NLP_ITEM_SPECIAL, start ? compiler_find(c, start) : 0, 0};
    if (start) NLP_TRY(compiler_add_item(c, c->single, &c->header.n_single, special));
    NLP_TRY(compiler_add_item(c, c->single, &c->header.n_single, first));
    if (start) NLP_TRY(compiler_add_item(c, c->pair, &c->header.n_pair, special));
    NLP_TRY(compiler_add_item(c, c->pair, &c->header.n_pair, first));
    if (start) NLP_TRY(compiler_add_item(c, c->pair, &c->header.n_pair, special));
    return compiler_add_item(c, c->pair, &c->header.n_pair, second);
}

static nlp_status compile(reader *r, nlp_buf *blob) {
    compiler *c = r->c;
    piece_index index;
    NLP_TRY(read_lines(r));
    NLP_TRY(set_pieces(r));
    c->header.model = NLP_MODEL_BPE;
    c->header.unknown_id = NLP_NO_ID;
    c->header.max_word = 100;
    c->extension.decoder = NLP_DECODE_BYTES;
    c->extension.flags =
        NLP_BPE_BYTES | NLP_BPE_NO_UNKNOWN | (r->ranks->whole_first ? NLP_BPE_WHOLE_FIRST : 0u);
    NLP_TRY(compiler_add_rule(c, true,
                              (text_rule){.kind = NLP_SPLIT_PATTERN, .flags = r->ranks->pattern}));
    NLP_TRY(compiler_index(c, &index));
    NLP_TRY(compiler_find_bytes(c, &index, true));
    NLP_TRY(spm_merges(c, &(spm_vocabulary){r->tokens, r->scores, r->whole, r->n}));
    NLP_TRY(add_templates(c, r->ranks->start));
    return compiler_write(c, blob);
}

nlp_status nlp_tiktoken_compile(const nlp_tiktoken *ranks, nlp_buf *blob, nlp_error *err) {
    nlp_arena arena;
    compiler *c = compiler_start(&arena, blob->mem, "the file of ranks", err);
    nlp_status status =
        c ? compile(&(reader){.c = c, .ranks = ranks}, blob) : nlp_arena_status(&arena, err);
    nlp_arena_deinit(&arena);
    return status;
}

/* Ten tokens with names among 256 reserved ones (llama3's tokenizer.py). */
nlp_status nlp_tiktoken_compile_llama3(const char *text, size_t n_bytes, nlp_buf *blob,
                                       nlp_error *err) {
    static const struct {
        uint32_t at;
        const char *name;
    } named[] = {{0, "<|begin_of_text|>"},
                 {1, "<|end_of_text|>"},
                 {6, "<|start_header_id|>"},
                 {7, "<|end_header_id|>"},
                 {9, "<|eot_id|>"}};
    char names[LLAMA3_SPECIALS][40];
    const char *specials[LLAMA3_SPECIALS + 1] = {NULL};
    for (uint32_t i = 0, reserved = 0, next = 0; i < LLAMA3_SPECIALS; i++) {
        bool is_named = next < sizeof named / sizeof *named && named[next].at == i;
        if (!is_named)
            snprintf(names[i], sizeof *names, "<|reserved_special_token_%u|>", reserved++);
        specials[i] = is_named ? named[next++].name : names[i];
    }
    const nlp_tiktoken ranks = {text, n_bytes,  NLP_PATTERN_LLAMA3,
                                true, specials, "<|begin_of_text|>"};
    return nlp_tiktoken_compile(&ranks, blob, err);
}
