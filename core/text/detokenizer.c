/* detokenizer.c: ids back to a text by the WordPiece decoder: a blank before each word, none before
 * "##", and none before the marks that the reference's clean-up pulls to the word before. */
#include <string.h>

#include "base/buf.h"
#include "text/tokenizer_parts.h"

static bool is_special(const nlp_tokenizer *t, uint32_t id) {
    for (uint32_t i = 0; i < t->header.n_added; i++)
        if (t->added[i].id == id) return (t->added[i].flags & NLP_ADDED_SPECIAL) != 0;
    return false;
}

static bool starts_with(nlp_text piece, const char *text) {
    size_t n = strlen(text);
    return piece.n_bytes >= n && !memcmp(piece.bytes, text, n);
}

static bool pulls_left(nlp_text piece) {
    static const char *const marks[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (starts_with(piece, marks[i])) return true;
    return false;
}

static void push_piece(const nlp_tokenizer *t, nlp_text piece, bool first, nlp_buf *out) {
    size_t n_prefix = t->header.prefix_bytes;
    bool inside = !first && n_prefix && piece.n_bytes >= n_prefix &&
                  !memcmp(piece.bytes, t->text + t->header.prefix_at, n_prefix);
    if (inside)
        piece = (nlp_text){piece.bytes + n_prefix, piece.n_bytes - n_prefix};
    else if (!first && !((t->header.flags & NLP_TEXT_CLEANUP) && pulls_left(piece)))
        nlp_buf_push(out, " ", 1);
    nlp_buf_push(out, piece.bytes, piece.n_bytes);
}

/* The reference's decoder is not the inverse of its encoder; this is its decoder. */
nlp_status nlp_tokenizer_decode(const nlp_tokenizer *t, const int32_t *ids, size_t n_ids,
                                bool skip_special, nlp_arena *arena, nlp_text *text,
                                nlp_error *err) {
    nlp_buf out;
    nlp_status status = NLP_OK;
    bool first = true;
    nlp_buf_init(&out, arena->mem);
    for (size_t i = 0; i < n_ids && status == NLP_OK; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= t->header.n_pieces) {
            status = nlp_fail(err, NLP_EINVAL, "%d is no token id, they are 0 to %u", ids[i],
                              t->header.n_pieces - 1);
        } else if (!skip_special || !is_special(t, (uint32_t)ids[i])) {
            push_piece(t, nlp_tokenizer_piece(t, ids[i]), first, &out);
            first = false;
        }
    }
    if (status == NLP_OK) status = nlp_buf_status(&out, err);
    *text = (nlp_text){nlp_arena_text(arena, (const char *)out.bytes, out.n_bytes), out.n_bytes};
    nlp_buf_deinit(&out);
    return status == NLP_OK ? nlp_arena_status(arena, err) : status;
}
