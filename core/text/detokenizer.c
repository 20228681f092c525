/* detokenizer.c: ids back to a text. Each kind of decoder says what one piece adds; what it adds is what
 * the reference's decoder makes, which is not always the inverse of its encoder. */
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "text/tokenizer_parts.h"

typedef struct decoding {
    const nlp_tokenizer *t;
    nlp_buf out;
    nlp_buf bytes;   /* of byte pieces that wait for the rest of their character */
    bool first;      /* no piece has come yet */
    bool seen_blank; /* SentencePiece: the blank before a text has been taken away */
} decoding;

static const char escaped_blank[] = "\xE2\x96\x81"; /* U+2581 */
enum { ESCAPED_BYTES = 3 };

/* ---- WordPiece ---- */

static bool starts_with(nlp_text piece, const char *text) {
    size_t n = strlen(text);
    return piece.n_bytes >= n && !memcmp(piece.bytes, text, n);
}

/* Marks that the reference's clean-up pulls to the word before. */
static bool pulls_left(nlp_text piece) {
    static const char *const marks[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (starts_with(piece, marks[i])) return true;
    return false;
}

/* A blank before each word, none before "##". */
static void add_wordpiece(decoding *d, nlp_text piece) {
    const nlp_tokenizer *t = d->t;
    size_t n_prefix = t->header.prefix_bytes;
    bool inside = !d->first && n_prefix && piece.n_bytes >= n_prefix &&
                  !memcmp(piece.bytes, t->text + t->header.prefix_at, n_prefix);
    if (inside)
        piece = (nlp_text){piece.bytes + n_prefix, piece.n_bytes - n_prefix};
    else if (!d->first && !((t->header.flags & NLP_TEXT_CLEANUP) && pulls_left(piece)))
        nlp_buf_push(&d->out, " ", 1);
    nlp_buf_push(&d->out, piece.bytes, piece.n_bytes);
}

/* ---- Bytes ---- */

/* The byte of a letter of the byte alphabet, or -1. */
static int byte_of_letter(uint32_t code) {
    uint32_t n =
        code - 0x100; /* the 68 bytes that do not print have letters from there, in order */
    if (code < 0x100) return nlp_byte_letter((uint8_t)code) == code ? (int)code : -1;
    return n < 33 ? (int)n : n < 67 ? (int)(n - 33 + 127) : n == 67 ? 173 : -1;
}

/* The bytes of a piece's letters; a piece with other letters than those of the alphabet stands for itself.
 * out has room for the piece. */
static size_t bytes_of_letters(nlp_text piece, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < piece.n_bytes;) {
        uint32_t code;
        i += nlp_utf8_decode(piece.bytes + i, piece.n_bytes - i, &code);
        int byte = byte_of_letter(code);
        if (byte < 0) {
            memcpy(out, piece.bytes, piece.n_bytes);
            return piece.n_bytes;
        }
        out[n++] = (char)byte;
    }
    return n;
}

static void add_letters(decoding *d, nlp_text piece) {
    size_t start = d->bytes.n_bytes;
    nlp_buf_push_zero(&d->bytes, piece.n_bytes);
    if (d->bytes.failed_bytes) return;
    d->bytes.n_bytes = start + bytes_of_letters(piece, (char *)d->bytes.bytes + start);
}

/* The bytes that wait, as text: what is no UTF-8 becomes U+FFFD, one for each ill-formed part. */
static void flush_lossy(decoding *d) {
    const char *bytes = (const char *)d->bytes.bytes;
    for (size_t i = 0; i < d->bytes.n_bytes;) {
        uint32_t code;
        char out[NLP_UTF8_MAX_BYTES];
        i += nlp_utf8_decode(bytes + i, d->bytes.n_bytes - i, &code);
        nlp_buf_push(&d->out, out, nlp_utf8_encode(code, out));
    }
    d->bytes.n_bytes = 0;
}

/* A run of byte pieces: its text where all of it is UTF-8. Else each byte is one U+FFFD; SentencePiece
 * keeps the characters that are whole. */
static void flush_bytes(decoding *d) {
    const char *bytes = (const char *)d->bytes.bytes;
    size_t n = d->bytes.n_bytes;
    bool whole = d->t->extension.decoder != NLP_DECODE_SENTENCEPIECE;
    if (whole && !nlp_utf8_valid(bytes, n, NULL)) {
        for (size_t i = 0; i < n; i++) nlp_buf_push(&d->out, "\xEF\xBF\xBD", 3);
        d->bytes.n_bytes = 0;
        return;
    }
    for (size_t i = 0; i < n;) {
        uint32_t code;
        size_t length = nlp_utf8_decode(bytes + i, n - i, &code);
        bool bad = code == NLP_REPLACEMENT && !nlp_utf8_valid(bytes + i, length, NULL);
        if (bad) length = 1;
        nlp_buf_push(&d->out, bad ? "\xEF\xBF\xBD" : bytes + i, bad ? 3 : length);
        i += length;
    }
    d->bytes.n_bytes = 0;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of a piece "<0xNN>", or -1. */
static int byte_of_piece(nlp_text piece) {
    if (piece.n_bytes != 6 || memcmp(piece.bytes, "<0x", 3) || piece.bytes[5] != '>') return -1;
    int high = hex_digit(piece.bytes[3]), low = hex_digit(piece.bytes[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* ---- Escaped blanks ---- */

/* U+2581 becomes a blank, or nothing. */
static void add_unescaped(decoding *d, nlp_text piece, bool drop) {
    for (size_t i = 0; i < piece.n_bytes;) {
        bool blank = piece.n_bytes - i >= ESCAPED_BYTES &&
                     !memcmp(piece.bytes + i, escaped_blank, ESCAPED_BYTES);
        if (!blank) nlp_buf_push(&d->out, piece.bytes + i, 1);
        if (blank && !drop) nlp_buf_push(&d->out, " ", 1);
        i += blank ? ESCAPED_BYTES : 1;
    }
}

static bool add_byte_piece(decoding *d, nlp_text piece) {
    int byte = byte_of_piece(piece);
    char letter = (char)byte;
    if (byte < 0) {
        flush_bytes(d);
        return false;
    }
    nlp_buf_push(&d->bytes, &letter, 1);
    return true;
}

/* SentencePiece's own decoder (sentencepiece_processor.cc): one blank at the start of a text is the
 * dummy prefix, or one of each piece until the text begins (decoder_strip 1, 2); unknown pieces show as a mark. */
static void add_sentencepiece(decoding *d, nlp_text piece, uint32_t id) {
    if (add_byte_piece(d, piece)) return;
    if (id == d->t->header.unknown_id) {
        nlp_buf_push(&d->out, " \xE2\x81\x87 ", 5);
        return;
    }
    bool at_start = !d->seen_blank && !d->out.n_bytes && d->t->extension.decoder_strip;
    bool strips = at_start && starts_with(piece, escaped_blank);
    if (strips) piece = (nlp_text){piece.bytes + ESCAPED_BYTES, piece.n_bytes - ESCAPED_BYTES};
    d->seen_blank = d->seen_blank || (strips && d->t->extension.decoder_strip == 1);
    add_unescaped(d, piece, false);
}

/* ---- Others ---- */

/* A piece that ends with the suffix ends a word. */
static void add_suffixed(decoding *d, nlp_text piece, bool last) {
    const nlp_tokenizer *t = d->t;
    size_t n = t->extension.suffix_bytes;
    bool ends = n && piece.n_bytes >= n &&
                !memcmp(piece.bytes + piece.n_bytes - n, t->text + t->extension.suffix_at, n);
    nlp_buf_push(&d->out, piece.bytes, piece.n_bytes - (ends ? n : 0));
    if (ends && !last) nlp_buf_push(&d->out, " ", 1);
}

static void add_piece(decoding *d, uint32_t id, bool last) {
    nlp_text piece = nlp_tokenizer_piece(d->t, (int32_t)id);
    switch (d->t->extension.decoder) {
    case NLP_DECODE_BYTES:
        add_letters(d, piece);
        break;
    case NLP_DECODE_METASPACE:
        add_unescaped(d, piece, d->first && d->t->extension.decoder_strip);
        break;
    case NLP_DECODE_SPM:
        if (!add_byte_piece(d, piece)) add_unescaped(d, piece, false);
        break;
    case NLP_DECODE_SENTENCEPIECE:
        add_sentencepiece(d, piece, id);
        break;
    case NLP_DECODE_SUFFIX:
        add_suffixed(d, piece, last);
        break;
    case NLP_DECODE_PLAIN:
        if (!d->first) nlp_buf_push(&d->out, " ", 1);
        nlp_buf_push(&d->out, piece.bytes, piece.n_bytes);
        break;
    case NLP_DECODE_JOIN:
        nlp_buf_push(&d->out, piece.bytes, piece.n_bytes);
        break;
    default:
        add_wordpiece(d, piece);
    }
    d->first = false;
}

/* What waits at the end; and blanks that the decoder takes from the front. */
static nlp_text finish(decoding *d) {
    uint32_t decoder = d->t->extension.decoder;
    size_t start = 0;
    if (decoder == NLP_DECODE_BYTES) flush_lossy(d);
    if (decoder == NLP_DECODE_SPM || decoder == NLP_DECODE_SENTENCEPIECE) flush_bytes(d);
    while (decoder == NLP_DECODE_SPM && start < d->t->extension.decoder_strip &&
           start < d->out.n_bytes && d->out.bytes[start] == ' ')
        start++;
    if (!d->out.n_bytes) return (nlp_text){"", 0};
    return (nlp_text){(const char *)d->out.bytes + start, d->out.n_bytes - start};
}

static bool is_special(const nlp_tokenizer *t, uint32_t id) {
    for (uint32_t i = 0; i < t->header.n_added; i++)
        if (t->added[i].id == id) return (t->added[i].flags & NLP_ADDED_SPECIAL) != 0;
    return false;
}

nlp_status nlp_tokenizer_decode(const nlp_tokenizer *t, const int32_t *ids, size_t n_ids,
                                bool skip_special, nlp_arena *arena, nlp_text *text,
                                nlp_error *err) {
    decoding d = {.t = t, .first = true};
    nlp_status status = NLP_OK;
    nlp_buf_init(&d.out, arena->mem);
    nlp_buf_init(&d.bytes, arena->mem);
    for (size_t i = 0; i < n_ids && status == NLP_OK; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= t->header.n_pieces)
            status = nlp_fail(err, NLP_EINVAL, "%d is no token id, they are 0 to %u", ids[i],
                              t->header.n_pieces - 1);
        else if (!skip_special || !is_special(t, (uint32_t)ids[i]))
            add_piece(&d, (uint32_t)ids[i], i + 1 == n_ids);
    }
    nlp_text made = finish(&d);
    if (status == NLP_OK) status = nlp_buf_status(&d.bytes, err);
    if (status == NLP_OK) status = nlp_buf_status(&d.out, err);
    if (status == NLP_OK) {
        *text = (nlp_text){nlp_arena_text(arena, made.bytes, made.n_bytes), made.n_bytes};
        status = nlp_arena_status(arena, err);
    }
    nlp_buf_deinit(&d.out);
    nlp_buf_deinit(&d.bytes);
    return status;
}

/* ---- What a token adds ---- */

/* Of added tokens, blanks and line ends are text as others; what is written as a tag steers the model,
 * whether its file calls it special or not. */
static bool steers(const nlp_tokenizer *t, const nlp_added_token *added) {
    const char *text = t->text + added->text_at;
    return (added->flags & NLP_ADDED_SPECIAL) ||
           (*text == '<' && text[added->text_bytes - 1] == '>');
}

/* Tokens that are there for the model, not for the text. */
static void mark_no_text(const nlp_tokenizer *t, bool *no_text) {
    const nlp_tokenizer_header *h = &t->header;
    const uint32_t ids[] = {h->unknown_id, h->pad_id, h->mask_id};
    for (size_t i = 0; i < 3; i++)
        if (ids[i] != NLP_NO_ID) no_text[ids[i]] = true;
    for (uint32_t i = 0; i < h->n_added; i++)
        if (steers(t, &t->added[i])) no_text[t->added[i].id] = true;
    for (uint32_t i = 0; i < h->n_single; i++)
        if (t->single[i].kind == NLP_ITEM_SPECIAL) no_text[t->single[i].id] = true;
    for (uint32_t i = t->n_vocabulary; i < h->n_pieces; i++) no_text[i] = true;
}

/* The decoder's own steps, as if a text had begun; *total: of the bytes up to here. */
static void spell_piece(decoding *d, uint32_t id, char *bytes, uint32_t *total) {
    if (d->t->extension.decoder == NLP_DECODE_BYTES) { /* the most, and the largest vocabularies */
        *total +=
            (uint32_t)bytes_of_letters(nlp_tokenizer_piece(d->t, (int32_t)id), bytes + *total);
        return;
    }
    d->out.n_bytes = d->bytes.n_bytes = 0;
    d->first = false, d->seen_blank = true;
    add_piece(d, id, false);
    const nlp_buf *made = d->bytes.n_bytes ? &d->bytes : &d->out;
    if (made->n_bytes) memcpy(bytes + *total, made->bytes, made->n_bytes);
    *total += (uint32_t)made->n_bytes;
}

static nlp_status spell_pieces(decoding *d, const bool *no_text, char *bytes, uint32_t *ends,
                               nlp_poll *poll, nlp_error *err) {
    uint32_t total = 0;
    for (uint32_t id = 0; id < d->t->header.n_pieces; ends[id++] = total) {
        if (!no_text[id]) spell_piece(d, id, bytes, &total);
        NLP_TRY(nlp_buf_status(&d->out, err));
        NLP_TRY(nlp_buf_status(&d->bytes, err));
        NLP_TRY(nlp_poll_work(poll, 512, err));
    }
    return NLP_OK;
}

/* No piece grows in these decoders, so that their texts are enough room. */
nlp_status nlp_tokenizer_spell(const nlp_tokenizer *t, nlp_arena *arena, nlp_poll *poll,
                               nlp_spellings *out, nlp_error *err) {
    uint32_t decoder = t->extension.decoder, n = t->header.n_pieces;
    if (t->header.model == NLP_MODEL_WORDPIECE || decoder == NLP_DECODE_WORDPIECE ||
        decoder == NLP_DECODE_PLAIN || decoder == NLP_DECODE_SUFFIX)
        return nlp_fail(err, NLP_EUNSUPPORTED,
                        "the tokens of this model have no bytes of their own, so its text can't be "
                        "constrained");
    char *bytes = NLP_PUSH(arena, char, t->piece_ends[n - 1]);
    uint32_t *ends = NLP_PUSH(arena, uint32_t, n);
    bool *no_text = NLP_PUSH_ZERO(arena, bool, n);
    NLP_TRY(nlp_arena_status(arena, err));
    decoding d = {.t = t};
    nlp_buf_init(&d.out, arena->mem);
    nlp_buf_init(&d.bytes, arena->mem);
    mark_no_text(t, no_text);
    nlp_status status = spell_pieces(&d, no_text, bytes, ends, poll, err);
    nlp_buf_deinit(&d.out);
    nlp_buf_deinit(&d.bytes);
    bool drops = decoder != NLP_DECODE_BYTES && t->extension.decoder_strip;
    *out = (nlp_spellings){bytes, ends, n, drops};
    return status;
}
