/* normalizer.c: the normalisers of a tokenizer, one after the other over an array of characters,
 * each of which remembers the bytes of the given text that it came from. What an inserted, replaced
 * or removed character remembers follows the reference's rule: a replacement has the place of what it
 * replaces, an insertion that of the character before it. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

/* ---- Changes ---- */

/* A new character: change 0 replaces one, +1 is inserted, -n replaces one and n more. */
typedef struct change {
    uint32_t code;
    int32_t change;
} change;

typedef struct change_list {
    change *items;
    size_t n, capacity;
} change_list;

typedef struct chars {
    norm_char *at;
    size_t n;
} chars;

static nlp_status change_reserve(encoder *e, change_list *l, size_t n) {
    if (l->n + n <= l->capacity) return NLP_OK;
    size_t capacity = l->n + l->n / 2 + n + 64;
    change *items = NLP_PUSH(e->arena, change, capacity);
    NLP_TRY(nlp_arena_status(e->arena, e->err));
    if (l->n) memcpy(items, l->items, l->n * sizeof *items);
    l->items = items, l->capacity = capacity;
    return NLP_OK;
}

static nlp_status apply(encoder *e, const change_list *l, chars *c) {
    norm_char *out = NLP_PUSH(e->arena, norm_char, l->n);
    NLP_TRY(nlp_arena_status(e->arena, e->err));
    size_t old = 0;
    for (size_t i = 0; i < l->n; i++) {
        bool inserted = l->items[i].change > 0;
        norm_char place = {0};
        if (inserted && old)
            place = c->at[old - 1];
        else if (!inserted && old < c->n)
            place = c->at[old];
        out[i] = (norm_char){l->items[i].code, place.from, place.to};
        if (!inserted) old += 1 + (size_t)-l->items[i].change;
    }
    *c = (chars){out, l->n};
    return NLP_OK;
}

/* ---- Unicode forms ---- */

/* Marks behind a starter in the order of their classes; equal ones keep theirs. */
static void order_marks(change *marks, size_t n) {
    for (size_t i = 1; i < n; i++) {
        change mark = marks[i];
        uint8_t class = nlp_unicode_combining(mark.code);
        size_t j = i;
        for (; class && j && nlp_unicode_combining(marks[j - 1].code) > class; j--)
            marks[j] = marks[j - 1];
        marks[j] = mark;
    }
}

static nlp_status decompose(encoder *e, const chars *c, bool compatibility, change_list *out) {
    size_t starter = 0;
    for (size_t i = 0; i < c->n; i++) {
        uint32_t parts[18];
        size_t n = nlp_unicode_decompose(c->at[i].code, compatibility, parts);
        NLP_TRY(change_reserve(e, out, n));
        for (size_t k = 0; k < n; k++) {
            if (!nlp_unicode_combining(parts[k])) {
                order_marks(out->items + starter, out->n - starter);
                starter = out->n;
            }
            out->items[out->n++] = (change){parts[k], k > 0};
        }
        NLP_TRY(nlp_poll_work(e->poll, 64, e->err));
    }
    order_marks(out->items + starter, out->n - starter);
    return NLP_OK;
}

/* Canonical composition in place (Unicode 3.11, D117): a mark joins the last starter unless one of
 * its class or a higher one stands between them. */
static void compose(change_list *l) {
    size_t n = 0, starter = SIZE_MAX;
    uint8_t last = 0; /* class of what stands between; 0: nothing */
    for (size_t i = 0; i < l->n; i++) {
        change c = l->items[i];
        uint8_t class = nlp_unicode_combining(c.code);
        uint32_t joined;
        bool adjacent = starter != SIZE_MAX && (last ? class > last : starter + 1 == n);
        if (adjacent && (joined = nlp_unicode_compose(l->items[starter].code, c.code))) {
            l->items[starter].code = joined;
            l->items[starter].change += c.change - 1;
            continue;
        }
        last = class;
        if (!class) starter = n;
        l->items[n++] = c;
    }
    l->n = n;
}

/* Nothing below U+0300 composes, and nothing below U+00A0 decomposes. */
static bool is_plain(const chars *c, uint32_t limit) {
    for (size_t i = 0; i < c->n; i++)
        if (c->at[i].code >= limit) return false;
    return true;
}

static nlp_status unicode_form(encoder *e, uint32_t flags, chars *c) {
    change_list l = {0};
    bool composes = flags & NLP_UNICODE_COMPOSE, compatibility = flags & NLP_UNICODE_COMPATIBILITY;
    if (is_plain(c, composes && !compatibility ? 0x300 : 0xA0)) return NLP_OK;
    NLP_TRY(decompose(e, c, compatibility, &l));
    if (composes) compose(&l);
    return apply(e, &l, c);
}

/* ---- Single characters ---- */

static nlp_status lower(encoder *e, chars *c) {
    change_list l = {0};
    for (size_t i = 0; i < c->n; i++) {
        uint32_t parts[3];
        size_t n = nlp_unicode_lower(c->at[i].code, parts);
        NLP_TRY(change_reserve(e, &l, n));
        for (size_t k = 0; k < n; k++) l.items[l.n++] = (change){parts[k], k > 0};
    }
    return apply(e, &l, c);
}

/* BERT's accents are the nonspacing marks; the component that stands alone takes all marks. */
static bool is_accent(uint32_t code, bool all) {
    if (code < 0x300) return false;
    nlp_unicode_class class = nlp_unicode_class_of(code);
    return class == NLP_UC_MARK_NONSPACING || (all && class == NLP_UC_MARK_OTHER);
}

/* Tensor2tensor's list of characters to drop, and those that are blanks to it. */
static bool nmt_drops(uint32_t c) {
    return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F ||
           c == 0x8F || c == 0x9F;
}
static bool nmt_blank(uint32_t c) {
    return c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
           (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
           c == 0xFEFF || c == 0xFFFD;
}

static bool clean_drops(uint32_t c) {
    if (c == 0 || c == NLP_REPLACEMENT) return true;
    if (c == '\t' || c == '\n' || c == '\r') return false;
    nlp_unicode_class class = nlp_unicode_class_of(c);
    return class == NLP_UC_CONTROL || class == NLP_UC_FORMAT || class == NLP_UC_PRIVATE;
}

/* Those that only drop or replace single characters, which keep their places. */
static void filter(uint32_t kind, uint32_t flags, chars *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        norm_char x = c->at[i];
        bool drop = kind == NLP_NORMALIZE_STRIP_ACCENTS ? is_accent(x.code, flags & 1)
                    : kind == NLP_NORMALIZE_NMT         ? nmt_drops(x.code)
                                                        : clean_drops(x.code);
        if (drop) continue;
        if (kind == NLP_NORMALIZE_NMT && nmt_blank(x.code)) x.code = ' ';
        if (kind == NLP_NORMALIZE_CLEAN && nlp_unicode_white_space(x.code)) x.code = ' ';
        c->at[n++] = x;
    }
    c->n = n;
}

/* A blank before and behind; both have the character's place, as in the reference. */
static nlp_status chinese(encoder *e, chars *c) {
    change_list l = {0};
    for (size_t i = 0; i < c->n; i++) {
        bool alone = unicode_is_chinese(c->at[i].code);
        NLP_TRY(change_reserve(e, &l, 3));
        if (alone) l.items[l.n++] = (change){' ', 0};
        l.items[l.n++] = (change){c->at[i].code, alone};
        if (alone) l.items[l.n++] = (change){' ', 1};
    }
    return apply(e, &l, c);
}

static void strip(uint32_t flags, chars *c) {
    while ((flags & 1) && c->n && nlp_unicode_white_space(c->at[0].code)) c->at++, c->n--;
    while ((flags & 2) && c->n && nlp_unicode_white_space(c->at[c->n - 1].code)) c->n--;
}

/* ---- Texts ---- */

/* The characters of a rule's text, from the arena. */
static nlp_status rule_text(encoder *e, uint32_t at, uint32_t n_bytes, uint32_t **codes,
                            size_t *n) {
    const char *text = e->tokenizer->text + at;
    *codes = NLP_PUSH(e->arena, uint32_t, n_bytes);
    NLP_TRY(nlp_arena_status(e->arena, e->err));
    *n = 0;
    for (size_t i = 0; i < n_bytes;) i += nlp_utf8_decode(text + i, n_bytes - i, *codes + (*n)++);
    return NLP_OK;
}

static bool stands_at(const chars *c, size_t at, const uint32_t *codes, size_t n) {
    if (n > c->n - at) return false;
    for (size_t i = 0; i < n; i++)
        if (c->at[at + i].code != codes[i]) return false;
    return true;
}

/* Each match becomes b, which has the place of the match's last character. With `runs` a match is two
 * or more a behind each other. */
static nlp_status replace(encoder *e, const nlp_text_rule *r, bool runs, chars *c) {
    uint32_t *a, *b;
    size_t n_a, n_b, n_out = 0, room;
    NLP_TRY(rule_text(e, r->a_at, r->a_bytes, &a, &n_a));
    NLP_TRY(rule_text(e, r->b_at, r->b_bytes, &b, &n_b));
    if (!n_a) return NLP_OK;
    if (nlp_mul_overflows(c->n, n_b > n_a ? n_b : 1, &room))
        return nlp_fail(e->err, NLP_ELIMIT, "a text is too long");
    norm_char *out = NLP_PUSH(e->arena, norm_char, room + 1);
    NLP_TRY(nlp_arena_status(e->arena, e->err));
    for (size_t i = 0; i < c->n;) {
        size_t end = i;
        if (c->at[i].code != a[0]) {
            out[n_out++] = c->at[i++];
            continue;
        }
        while (stands_at(c, end, a, n_a)) {
            end += n_a;
            if (!runs) break;
        }
        if (end - i < (runs ? 2 * n_a : n_a)) {
            out[n_out++] = c->at[i++];
            continue;
        }
        for (size_t k = 0; k < n_b; k++)
            out[n_out++] = (norm_char){b[k], c->at[end - 1].from, c->at[end - 1].to};
        i = end;
    }
    *c = (chars){out, n_out};
    return NLP_OK;
}

static nlp_status prepend(encoder *e, const nlp_text_rule *r, chars *c) {
    uint32_t *a;
    size_t n_a;
    if (!c->n) return NLP_OK;
    NLP_TRY(rule_text(e, r->a_at, r->a_bytes, &a, &n_a));
    norm_char *out = NLP_PUSH(e->arena, norm_char, c->n + n_a);
    NLP_TRY(nlp_arena_status(e->arena, e->err));
    for (size_t i = 0; i < n_a; i++) out[i] = (norm_char){a[i], c->at[0].from, c->at[0].to};
    memcpy(out + n_a, c->at, c->n * sizeof *out);
    *c = (chars){out, c->n + n_a};
    return NLP_OK;
}

/* ---- The precompiled map, as the reference's tokenizers apply it ---- */

/* What a part of old characters becomes; where there are fewer new ones, the last takes the rest. */
static nlp_status push_replacement(encoder *e, change_list *l, size_t n_old, const char *text) {
    size_t n_bytes = strlen(text), n_new = 0, first = l->n;
    for (size_t i = 0; i < n_bytes; n_new++) {
        NLP_TRY(change_reserve(e, l, 1));
        l->items[l->n].change = n_new >= n_old;
        i += nlp_utf8_decode(text + i, n_bytes - i, &l->items[l->n].code);
        l->n++;
    }
    (void)first;
    if (n_new < n_old && l->n) l->items[l->n - 1].change -= (int32_t)(n_old - n_new);
    return NLP_OK;
}

/* A cluster of under six bytes is looked up whole, then each of its characters. */
static nlp_status map_cluster(encoder *e, const norm_char *at, size_t n, change_list *l) {
    char bytes[8];
    size_t n_bytes = 0, used;
    for (size_t i = 0; i < n && n_bytes < 6; i++) {
        char one[NLP_UTF8_MAX_BYTES];
        size_t k = nlp_utf8_encode(at[i].code, one);
        if (n_bytes + k < 6) memcpy(bytes + n_bytes, one, k);
        n_bytes += k;
    }
    const char *text =
        n_bytes < 6 ? charsmap_find(e->tokenizer, bytes, n_bytes, false, &used) : NULL;
    if (text) return push_replacement(e, l, n, text);
    for (size_t i = 0; i < n; i++) {
        n_bytes = nlp_utf8_encode(at[i].code, bytes);
        text = charsmap_find(e->tokenizer, bytes, n_bytes, false, &used);
        if (text) {
            NLP_TRY(push_replacement(e, l, 1, text));
            continue;
        }
        NLP_TRY(change_reserve(e, l, 1));
        l->items[l->n++] = (change){at[i].code, 0};
    }
    return NLP_OK;
}

/* A character of ASCII that the map leaves alone, and that is a cluster of its own: no character of
 * ASCII joins another but in CR LF. */
static bool stays(const nlp_tokenizer *t, const chars *c, size_t i) {
    uint32_t code = c->at[i].code, next = i + 1 < c->n ? c->at[i + 1].code : 0;
    return code < 128 && next < 128 && t->map_keeps[code] && !(code == '\r' && next == '\n');
}

static nlp_status charsmap(encoder *e, chars *c) {
    const nlp_tokenizer *t = e->tokenizer;
    change_list l = {0};
    int32_t state = 0;
    size_t first = 0;
    while (first < c->n && stays(t, c, first)) first++;
    if (first == c->n) return nlp_poll_work(e->poll, 8 * c->n, e->err);
    NLP_TRY(change_reserve(e, &l, c->n));
    for (size_t i = 0, end; i < c->n; i = end) {
        end = i + 1;
        if (stays(t, c, i)) {
            NLP_TRY(change_reserve(e, &l, 1));
            l.items[l.n++] = (change){c->at[i].code, 0};
            state = 0; /* as at a start: the break behind it depends on nothing before it */
            continue;
        }
        while (end < c->n &&
               !nlp_unicode_cluster_break(c->at[end - 1].code, c->at[end].code, &state))
            end++;
        NLP_TRY(map_cluster(e, c->at + i, end - i, &l));
        NLP_TRY(nlp_poll_work(e->poll, 64 * (end - i), e->err));
    }
    return apply(e, &l, c);
}

/* ---- The way of a text ---- */

static nlp_status run_rule(encoder *e, const nlp_text_rule *r, chars *c) {
    switch (r->kind) {
    case NLP_NORMALIZE_FORM:
        return unicode_form(e, r->flags, c);
    case NLP_NORMALIZE_LOWER:
        return lower(e, c);
    case NLP_NORMALIZE_STRIP_ACCENTS:
    case NLP_NORMALIZE_NMT:
    case NLP_NORMALIZE_CLEAN:
        filter(r->kind, r->flags, c);
        return NLP_OK;
    case NLP_NORMALIZE_STRIP:
        strip(r->flags, c);
        return NLP_OK;
    case NLP_NORMALIZE_REPLACE:
    case NLP_NORMALIZE_RUNS:
        return replace(e, r, r->kind == NLP_NORMALIZE_RUNS, c);
    case NLP_NORMALIZE_PREPEND:
        return prepend(e, r, c);
    case NLP_NORMALIZE_CHARSMAP:
        return charsmap(e, c);
    case NLP_NORMALIZE_CHINESE:
        return chinese(e, c);
    default:
        return spm_normalize(e, r, &c->at, &c->n);
    }
}

/* Whether a rule leaves a text of ASCII as it is; where in doubt, no. */
static bool rule_leaves_ascii(const nlp_tokenizer *t, const nlp_text_rule *r, const char *text,
                              size_t n) {
    size_t i = 0;
    switch (r->kind) {
    case NLP_NORMALIZE_FORM:
    case NLP_NORMALIZE_STRIP_ACCENTS:
    case NLP_NORMALIZE_CHINESE:
        return true;
    case NLP_NORMALIZE_LOWER:
        while (i < n && !(text[i] >= 'A' && text[i] <= 'Z')) i++;
        return i == n;
    case NLP_NORMALIZE_STRIP:
        return !n || (!nlp_unicode_white_space((uint8_t)text[0]) &&
                      !nlp_unicode_white_space((uint8_t)text[n - 1]));
    case NLP_NORMALIZE_CHARSMAP: /* only CR joins another character */
        while (i < n && t->map_keeps[(uint8_t)text[i]] && text[i] != '\r') i++;
        return i == n;
    case NLP_NORMALIZE_REPLACE:
    case NLP_NORMALIZE_RUNS: {
        const char *a = t->text + r->a_at;
        size_t n_twice = r->kind == NLP_NORMALIZE_RUNS ? 2 : 1;
        if (r->a_bytes != 1) return !r->a_bytes;
        for (const char *at = text; (at = memchr(at, *a, n - (size_t)(at - text))); at++)
            if (n_twice == 1 || (at + 1 < text + n && at[1] == *a)) return false;
        return true;
    }
    case NLP_NORMALIZE_NMT:
    case NLP_NORMALIZE_CLEAN: /* controls are dropped or become blanks */
        while (i < n && text[i] >= ' ' && text[i] < 0x7F) i++;
        return i == n;
    default:
        return false;
    }
}

/* Most texts have nothing to change: no rule for ASCII, or in other texts nothing to compose, where no
 * byte of U+0300 or above begins below 0xCC. */
static bool leaves_as_is(const encoder *e, size_t from, size_t to) {
    const nlp_tokenizer *t = e->tokenizer;
    const char *text = e->text + from;
    size_t n = to - from;
    bool leaves = nlp_utf8_is_ascii(text, n);
    for (uint32_t i = 0; i < t->extension.n_normalizers && leaves; i++)
        leaves = rule_leaves_ascii(t, &t->normalizers[i], text, n);
    if (leaves) return true;
    for (uint32_t i = 0; i < t->extension.n_normalizers; i++)
        if (t->normalizers[i].kind != NLP_NORMALIZE_FORM ||
            t->normalizers[i].flags != NLP_UNICODE_COMPOSE)
            return false;
    if (t->extension.n_normalizers)
        for (size_t i = from; i < to; i++)
            if ((uint8_t)e->text[i] >= 0xCC) return false;
    return true;
}

enum { WORK_PER_CHARACTER = 16 };

static nlp_status decode(encoder *e, size_t from, size_t to, chars *c) {
    c->at = NLP_PUSH(e->arena, norm_char, nlp_utf8_length(e->text + from, to - from));
    c->n = 0;
    NLP_TRY(nlp_arena_status(e->arena, e->err));
    for (size_t i = from; i < to;) {
        uint32_t code;
        size_t n = nlp_utf8_decode(e->text + i, to - i, &code);
        c->at[c->n++] = (norm_char){code, (uint32_t)i, (uint32_t)(i + n)};
        i += n;
        NLP_TRY(nlp_poll_work(e->poll, WORK_PER_CHARACTER, e->err));
    }
    return NLP_OK;
}

static size_t bytes_of(const chars *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += 1u + (c->at[i].code >= 0x80) + (c->at[i].code >= 0x800) + (c->at[i].code >= 0x10000);
    return n;
}

static nlp_status flatten(encoder *e, const chars *c, span *out) {
    size_t n = 0, room;
    if (nlp_mul_overflows(c->n, NLP_UTF8_MAX_BYTES, &room))
        return nlp_fail(e->err, NLP_ELIMIT, "a text is too long");
    room = bytes_of(c);
    char *bytes = NLP_PUSH(e->arena, char, room + NLP_UTF8_MAX_BYTES);
    uint32_t *from = NLP_PUSH(e->arena, uint32_t, room), *to = NLP_PUSH(e->arena, uint32_t, room);
    NLP_TRY(nlp_arena_status(e->arena, e->err));
    for (size_t i = 0; i < c->n; i++) {
        size_t end = n + nlp_utf8_encode(c->at[i].code, bytes + n);
        for (; n < end; n++) from[n] = c->at[i].from, to[n] = c->at[i].to;
        NLP_TRY(nlp_poll_work(e->poll, WORK_PER_CHARACTER, e->err));
    }
    *out = (span){.bytes = bytes, .n_bytes = n, .from = from, .to = to};
    return NLP_OK;
}

nlp_status normalize_text(encoder *e, size_t from, size_t to, span *out) {
    chars c;
    *out = (span){.bytes = e->text + from, .n_bytes = to - from, .at = from};
    if (leaves_as_is(e, from, to)) return NLP_OK;
    NLP_TRY(decode(e, from, to, &c));
    for (uint32_t i = 0; i < e->tokenizer->extension.n_normalizers; i++)
        NLP_TRY(run_rule(e, &e->tokenizer->normalizers[i], &c));
    return flatten(e, &c, out);
}
