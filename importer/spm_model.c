/* spm_model.c: pieces, scores and switches of a SentencePiece model as the compiled tokenizer has them. */
#include "spm_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "spm_bpe.h"

nlp_status spm_start(spm_model *s, uint32_t n) {
    s->capacity = n;
    s->model = SPM_UNIGRAM;
    s->dummy_prefix = s->remove_extra = s->escape = true;
    s->pieces = NLP_PUSH_ZERO(s->c->arena, piece, n);
    s->scores = NLP_PUSH_ZERO(s->c->arena, float, n);
    s->kinds = NLP_PUSH_ZERO(s->c->arena, uint8_t, n);
    return nlp_arena_status(s->c->arena, s->c->err);
}

nlp_status spm_own_ids(spm_model *s) {
    NLP_TRY(compiler_start_pieces(s->c, s->n));
    for (uint32_t i = 0; i < s->n; i++)
        NLP_TRY(compiler_set_piece(s->c, i, s->pieces[i].text, s->pieces[i].n_bytes));
    return NLP_OK;
}

/* Pieces that text can be: the trie holds the others under a text that no text has, so that values
 * stay piece numbers. */
static nlp_status fill_unigram(spm_model *s) {
    compiler *c = s->c;
    piece *keys = NLP_PUSH_ZERO(c->arena, piece, s->n);
    c->scores = NLP_PUSH(c->arena, double, s->n);
    c->kinds = NLP_PUSH_ZERO(c->arena, uint8_t, s->n);
    NLP_TRY(nlp_arena_status(c->arena, c->err));
    float least = INFINITY, most = -INFINITY;
    for (uint32_t i = 0; i < s->n; i++) {
        uint8_t kind = s->kinds[i];
        if (s->pieces[i].n_bytes > NLP_TOKENIZER_MAX_PIECE_BYTES)
            return nlp_fail(c->err, NLP_ELIMIT,
                            "the tokenizer's piece %u has %zu bytes, at most %d", i,
                            s->pieces[i].n_bytes, NLP_TOKENIZER_MAX_PIECE_BYTES);
        c->scores[i] = (double)s->scores[i];
        if (kind == SPM_NORMAL || kind == SPM_USER || kind == SPM_UNUSED) keys[i] = s->pieces[i];
        if (kind == SPM_USER) c->kinds[i] = NLP_PIECE_USER_DEFINED;
        if (kind == SPM_UNUSED) c->kinds[i] = NLP_PIECE_UNUSED;
        if (kind != SPM_NORMAL) continue;
        least = s->scores[i] < least ? s->scores[i] : least;
        most = s->scores[i] > most ? s->scores[i] : most;
    }
    c->keys = keys;
    c->n_keys = s->n;
    c->extension.flags |= NLP_UNIGRAM_FLOAT;
    c->extension.unknown_score = isfinite(least) ? (double)(least - 10.0f) : 0;
    c->extension.user_score = isfinite(most) ? (double)most : 0;
    c->header.model = NLP_MODEL_UNIGRAM;
    return NLP_OK;
}

/* Pieces that are said to be bytes are called "<0x00>" to "<0xFF>", in just these letters. */
static nlp_status check_byte_names(const spm_model *s) {
    char name[8];
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->kinds[i] != SPM_BYTE) continue;
        uint32_t byte = 0;
        do snprintf(name, sizeof name, "<0x%02X>", byte);
        while ((s->pieces[i].n_bytes != 6 || memcmp(s->pieces[i].text, name, 6) != 0) &&
               ++byte < 256);
        if (byte == 256)
            return nlp_fail(s->c->err, NLP_ECORRUPT,
                            "the tokenizer's piece %u stands for a byte, but is not called <0x00> "
                            "to <0xFF>",
                            i);
    }
    return NLP_OK;
}

static nlp_status fill_pieces(spm_model *s) {
    compiler *c = s->c;
    NLP_TRY(check_byte_names(s));
    c->header.max_word = 100;
    if (s->byte_fallback) {
        piece_index index;
        NLP_TRY(compiler_index(c, &index));
        NLP_TRY(compiler_find_bytes(c, &index, false));
        c->extension.flags |= NLP_BPE_FALLBACK;
    }
    if (s->model == SPM_UNIGRAM) return fill_unigram(s);
    c->header.model = NLP_MODEL_BPE;
    c->extension.flags |= NLP_BPE_FUSE_UNKNOWN;
    double *scores = NLP_PUSH(c->arena, double, s->n);
    bool *whole = NLP_PUSH(c->arena, bool, s->n);
    NLP_TRY(nlp_arena_status(c->arena, c->err));
    for (uint32_t i = 0; i < s->n; i++) {
        scores[i] = (double)s->scores[i];
        whole[i] = s->kinds[i] == SPM_NORMAL || s->kinds[i] == SPM_USER;
    }
    return spm_merges(c, &(spm_vocabulary){s->pieces, scores, whole, s->n});
}

static nlp_status fill_normaliser(spm_model *s) {
    compiler *c = s->c;
    uint32_t flags = (s->dummy_prefix ? NLP_SPM_DUMMY_PREFIX : 0u) |
                     (s->remove_extra ? NLP_SPM_REMOVE_EXTRA : 0u) |
                     (s->escape ? NLP_SPM_ESCAPE : 0u) | (s->suffix ? NLP_SPM_SUFFIX : 0u);
    if (s->charsmap.n_bytes > NLP_MOST_CHARSMAP)
        return nlp_fail(c->err, NLP_ELIMIT,
                        "the SentencePiece model's map of characters is too large");
    c->charsmap = (const uint8_t *)s->charsmap.text;
    c->extension.charsmap_bytes = (uint32_t)s->charsmap.n_bytes;
    c->extension.decoder = NLP_DECODE_SENTENCEPIECE;
    c->extension.decoder_strip = s->remove_extra ? 2 : s->dummy_prefix;
    return compiler_add_rule(c, false, (text_rule){.kind = NLP_NORMALIZE_SPM, .flags = flags});
}

nlp_status spm_fill(spm_model *s) {
    NLP_TRY(fill_pieces(s));
    return fill_normaliser(s);
}
