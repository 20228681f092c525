/* text_so_far.c: tokens of a draft as text: where a stop string ends it, and how much of it is sure to
 * stay. */
#include <string.h>

#include "generate/desk.h"

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD: a character that is not whole */

/* The place of the first stop string, or the end of the text. */
static size_t find_stop(const nlp_manner *m, nlp_text text, bool *found) {
    size_t first = text.n_bytes;
    *found = false;
    for (size_t i = 0; i < m->n_stops; i++) {
        const char *at = memmem(text.bytes, text.n_bytes, m->stops[i].bytes, m->stops[i].n_bytes);
        if (!at || (size_t)(at - text.bytes) >= first) continue;
        first = (size_t)(at - text.bytes);
        *found = true;
    }
    return first;
}

/* Bytes at the end of the text that may be the beginning of a stop string. */
static size_t begun_stop(const nlp_manner *m, nlp_text text) {
    size_t most = 0;
    for (size_t i = 0; i < m->n_stops; i++) {
        nlp_text stop = m->stops[i];
        size_t n = stop.n_bytes - 1 < text.n_bytes ? stop.n_bytes - 1 : text.n_bytes;
        for (; n > most; n--)
            if (!memcmp(text.bytes + text.n_bytes - n, stop.bytes, n)) most = n;
    }
    return most;
}

static size_t begun_character(nlp_text text) {
    size_t n = 0, width = sizeof replacement - 1;
    while (text.n_bytes - n >= width &&
           !memcmp(text.bytes + text.n_bytes - n - width, replacement, width))
        n += width;
    return n;
}

/* End tokens are no text, and a model may have more rows of outputs than its tokenizer has tokens:
 * those say nothing. */
static bool is_text(const nlp_writing *w, const nlp_draft *draft, const nlp_tokenizer_info *info,
                    int32_t id) {
    return (uint32_t)id < info->vocabulary && !nlp_ends_draft(w, draft, (uint32_t)id);
}

static nlp_status text_ids(const nlp_writing *w, const nlp_draft *draft, const int32_t **ids,
                           size_t *n, nlp_arena *arena, nlp_error *err) {
    nlp_tokenizer_info info;
    size_t n_known = 0;
    nlp_tokenizer_get_info(w->manner.tokenizer, &info);
    for (size_t i = 0; i < *n; i++) n_known += is_text(w, draft, &info, (*ids)[i]);
    if (n_known == *n) return NLP_OK;
    int32_t *known = NLP_PUSH(arena, int32_t, n_known + 1);
    NLP_TRY(nlp_arena_status(arena, err));
    size_t k = 0;
    for (size_t i = 0; i < *n; i++)
        if (is_text(w, draft, &info, (*ids)[i])) known[k++] = (*ids)[i];
    *ids = known, *n = n_known;
    return NLP_OK;
}

/* A text in SQL has no byte 0, though a vocabulary of bytes does. */
static nlp_text without_zeros(nlp_text text, nlp_arena *arena) {
    if (!memchr(text.bytes, 0, text.n_bytes)) return text;
    char *out = nlp_arena_push(arena, text.n_bytes + 1, 1);
    size_t n = 0;
    for (size_t i = 0; out && i < text.n_bytes; i++)
        if (text.bytes[i]) out[n++] = text.bytes[i];
    return (nlp_text){out, n};
}

static bool is_byte_piece(nlp_text piece) {
    return piece.n_bytes == 6 && !memcmp(piece.bytes, "<0x", 3) && piece.bytes[5] == '>';
}

/* Bytes at the end of the text whose characters the next byte piece may change: those of a run of byte
 * pieces, which stand for characters together or for none. */
static nlp_status open_bytes(const nlp_writing *w, const int32_t *ids, size_t n, nlp_text text,
                             nlp_arena *arena, size_t *unsure, nlp_error *err) {
    size_t n_sure = n;
    nlp_text sure;
    *unsure = 0;
    while (n_sure && is_byte_piece(nlp_tokenizer_piece(w->manner.tokenizer, ids[n_sure - 1])))
        n_sure--;
    if (n_sure == n) return NLP_OK;
    NLP_TRY(nlp_tokenizer_decode(w->manner.tokenizer, ids, n_sure, true, arena, &sure, err));
    sure = without_zeros(sure, arena);
    *unsure = text.n_bytes > sure.n_bytes ? text.n_bytes - sure.n_bytes : 0;
    return NLP_OK;
}

nlp_status nlp_draft_read(nlp_writing *w, nlp_draft *draft, const int32_t *made, size_t n,
                          bool *stopped, nlp_error *err) {
    const nlp_manner *m = &w->manner;
    bool last = draft->finish != NLP_FINISH_NONE;
    nlp_text text;
    *stopped = false;
    if (!m->tokenizer) return NLP_OK;
    nlp_arena *arena = last ? w->s.arena : w->s.text_work;
    if (!last) nlp_arena_reset(arena);
    NLP_TRY(text_ids(w, draft, &made, &n, arena, err));
    NLP_TRY(nlp_tokenizer_decode(m->tokenizer, made, n, true, arena, &text, err));
    text = without_zeros(text, arena);
    NLP_TRY(nlp_arena_status(arena, err));
    size_t bytes = 0;
    if (!last) NLP_TRY(open_bytes(w, made, n, text, arena, &bytes, err));
    text.n_bytes = find_stop(m, text, stopped);
    draft->text = text;
    size_t stop = begun_stop(m, text), character = begun_character(text);
    size_t unsure = stop > character ? stop : character;
    if (bytes > unsure) unsure = bytes;
    draft->n_settled = text.n_bytes - (last || *stopped ? 0 : unsure);
    return nlp_poll_work(w->s.poll, (uint64_t)n << 6, err);
}
