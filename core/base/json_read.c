/* json_read.c: one pass with an explicit stack of the arrays and objects that are open. */
#include "base/json_read.h"

#include <string.h>

#include "base/utf8.h"

typedef struct reader {
    const char *bytes, *name;
    size_t n, at;
    nlp_arena *arena;
    nlp_error *err;
    nlp_json *open[NLP_JSON_MAX_DEPTH], *last[NLP_JSON_MAX_DEPTH]; /* and their newest members */
    size_t depth;
    nlp_json *root;
} reader;

static nlp_status fail_at(const reader *r, size_t at, const char *what) {
    return nlp_fail(r->err, NLP_EINVAL, "the %s is no JSON: %s at byte %zu", r->name, what, at);
}

static int peek(const reader *r) {
    return r->at < r->n ? (uint8_t)r->bytes[r->at] : -1;
}

static int skip_space(reader *r) {
    while (r->at < r->n && (r->bytes[r->at] == ' ' || r->bytes[r->at] == '\t' ||
                            r->bytes[r->at] == '\n' || r->bytes[r->at] == '\r'))
        r->at++;
    return peek(r);
}

/* ---- Strings ---- */

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind \u, or -1. */
static int32_t hex4(const char *bytes, size_t n) {
    int32_t code = 0;
    if (n < 4) return -1;
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_value(bytes[i]);
        if (digit < 0) return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* One escape at *at, which is behind the backslash. */
static nlp_status decode_escape(const reader *r, size_t *at, size_t end, char *out, size_t *n_out) {
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *letter = memchr(letters, r->bytes[*at], sizeof letters - 1);
    if (letter) {
        out[(*n_out)++] = values[letter - letters];
        ++*at;
        return NLP_OK;
    }
    const char *digits = r->bytes + *at + 1;
    size_t left = end - *at - 1;
    int32_t code = r->bytes[*at] == 'u' ? hex4(digits, left) : -1;
    if (code <= 0) return fail_at(r, *at - 1, code ? "an unknown escape" : "an escaped U+0000");
    *at += 5;
    if (code >= 0xD800 && code < 0xE000) {
        int32_t low = left >= 10 && digits[4] == '\\' && digits[5] == 'u' ? hex4(digits + 6, 4) : 0;
        if (code >= 0xDC00 || low < 0xDC00 || low >= 0xE000)
            return fail_at(r, *at - 6, "half of a surrogate pair");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        *at += 6;
    }
    *n_out += nlp_utf8_encode((uint32_t)code, out + *n_out);
    return NLP_OK;
}

/* Bytes start .. end - 1 are between the quotes; a decoded string is never longer. */
static nlp_status decode_string(reader *r, size_t start, size_t end, nlp_text *out) {
    char *text = nlp_arena_push(r->arena, end - start, 1);
    size_t n = 0;
    NLP_TRY(nlp_arena_status(r->arena, r->err));
    for (size_t i = start; i < end;) {
        if (r->bytes[i] != '\\') {
            text[n++] = r->bytes[i++];
            continue;
        }
        i++;
        NLP_TRY(decode_escape(r, &i, end, text, &n));
    }
    *out = (nlp_text){text, n};
    return NLP_OK;
}

static nlp_status read_string(reader *r, nlp_text *out) {
    size_t start = ++r->at;
    bool escapes = false;
    for (; r->at < r->n && r->bytes[r->at] != '"'; r->at++) {
        if ((uint8_t)r->bytes[r->at] < 0x20)
            return fail_at(r, r->at, "a control character in a string");
        if (r->bytes[r->at] != '\\') continue;
        escapes = true;
        if (++r->at == r->n) break;
    }
    if (r->at >= r->n) return fail_at(r, start - 1, "a string without an end");
    size_t end = r->at++;
    *out = (nlp_text){r->bytes + start, end - start};
    return escapes ? decode_string(r, start, end, out) : NLP_OK;
}

/* ---- Numbers and words ---- */

static size_t skip_digits(reader *r) {
    size_t start = r->at;
    while (peek(r) >= '0' && peek(r) <= '9') r->at++;
    return r->at - start;
}

static nlp_status read_number(reader *r, nlp_json *value) {
    size_t start = r->at;
    if (peek(r) == '-') r->at++;
    bool zero = peek(r) == '0';
    size_t n_digits = skip_digits(r);
    bool sound = n_digits == 1 || (n_digits > 1 && !zero);
    if (sound && peek(r) == '.') r->at++, sound = skip_digits(r) > 0;
    if (sound && (peek(r) == 'e' || peek(r) == 'E')) {
        r->at++;
        if (peek(r) == '+' || peek(r) == '-') r->at++;
        sound = skip_digits(r) > 0;
    }
    value->kind = NLP_JSON_NUMBER;
    value->text = (nlp_text){r->bytes + start, r->at - start};
    return sound ? NLP_OK : fail_at(r, start, "a malformed number");
}

static nlp_status read_word(reader *r, nlp_json *value) {
    static const struct {
        const char *word;
        nlp_json_kind kind;
    } words[] = {{"null", NLP_JSON_NULL}, {"false", NLP_JSON_FALSE}, {"true", NLP_JSON_TRUE}};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(words[i].word);
        if (r->n - r->at < n || memcmp(r->bytes + r->at, words[i].word, n) != 0) continue;
        value->kind = words[i].kind;
        value->text = (nlp_text){r->bytes + r->at, n};
        r->at += n;
        return NLP_OK;
    }
    return fail_at(r, r->at, r->at < r->n ? "no value" : "the end instead of a value");
}

/* ---- Arrays and objects ---- */

static nlp_status open_members(reader *r, nlp_json *value, bool object) {
    if (r->depth == NLP_JSON_MAX_DEPTH)
        return nlp_fail(r->err, NLP_ELIMIT, "the %s nests deeper than %d levels at byte %zu",
                        r->name, NLP_JSON_MAX_DEPTH, r->at);
    value->kind = object ? NLP_JSON_OBJECT : NLP_JSON_ARRAY;
    r->open[r->depth] = value;
    r->last[r->depth++] = NULL;
    r->at++;
    return NLP_OK;
}

static bool in_object(const reader *r) {
    return r->depth && r->open[r->depth - 1]->kind == NLP_JSON_OBJECT;
}

static nlp_status check_keys(reader *r, const nlp_json *object) {
    const nlp_json **sorted = object->n > 1 ? nlp_json_sorted(object, r->arena) : NULL;
    NLP_TRY(nlp_arena_status(r->arena, r->err));
    for (uint32_t i = 1; sorted && i < object->n; i++) {
        nlp_text a = sorted[i - 1]->key, b = sorted[i]->key;
        if (nlp_text_equal(a, b))
            return nlp_fail(r->err, NLP_EINVAL,
                            "the %s has the key of the value at byte %zu twice in an object",
                            r->name,
                            sorted[i]->at > sorted[i - 1]->at ? sorted[i]->at : sorted[i - 1]->at);
    }
    return NLP_OK;
}

/* Closes what ends here; *more: another member follows. */
static nlp_status close_members(reader *r, bool *more) {
    for (*more = false; r->depth; r->depth--) {
        nlp_json *value = r->open[r->depth - 1];
        bool object = in_object(r);
        int c = skip_space(r);
        if (c == (object ? '}' : ']')) {
            r->at++;
            value->text = (nlp_text){r->bytes + value->at, r->at - value->at};
            if (object) NLP_TRY(check_keys(r, value));
            continue;
        }
        if (value->n && c != ',')
            return fail_at(r, r->at, object ? "neither ',' nor '}'" : "neither ',' nor ']'");
        if (value->n) r->at++;
        *more = true;
        return NLP_OK;
    }
    return NLP_OK;
}

static nlp_status read_key(reader *r, nlp_text *key) {
    if (skip_space(r) != '"') return fail_at(r, r->at, "no key");
    NLP_TRY(read_string(r, key));
    if (skip_space(r) != ':') return fail_at(r, r->at, "no ':' behind a key");
    r->at++;
    return NLP_OK;
}

static nlp_status read_value(reader *r) {
    nlp_json *value = NLP_PUSH_ZERO(r->arena, nlp_json, 1);
    NLP_TRY(nlp_arena_status(r->arena, r->err));
    if (in_object(r)) NLP_TRY(read_key(r, &value->key));
    int c = skip_space(r);
    value->at = r->at;
    if (r->depth) {
        nlp_json *parent = r->open[r->depth - 1], **last = &r->last[r->depth - 1];
        *(*last ? &(*last)->next : &parent->first) = value;
        *last = value;
        parent->n++;
    } else
        r->root = value;
    if (c == '{' || c == '[') return open_members(r, value, c == '{');
    value->kind = NLP_JSON_STRING;
    if (c == '"') return read_string(r, &value->text);
    return c == '-' || (c >= '0' && c <= '9') ? read_number(r, value) : read_word(r, value);
}

nlp_status nlp_json_read(nlp_text text, const char *name, nlp_arena *arena, const nlp_json **root,
                         nlp_error *err) {
    reader r = {.bytes = text.bytes, .name = name, .n = text.n_bytes, .arena = arena, .err = err};
    size_t bad_at;
    if (!nlp_utf8_valid(text.bytes, text.n_bytes, &bad_at))
        return nlp_fail(err, NLP_EENCODING, "the %s is not valid UTF-8 at byte %zu", name, bad_at);
    for (bool more = true; more;) {
        NLP_TRY(read_value(&r));
        NLP_TRY(close_members(&r, &more));
    }
    if (skip_space(&r) >= 0) return fail_at(&r, r.at, "more than one value");
    *root = r.root;
    return NLP_OK;
}

/* ---- Looking at it ---- */

const nlp_json *nlp_json_member(const nlp_json *object, const char *key) {
    size_t n = strlen(key);
    for (const nlp_json *m = object->first; m; m = m->next)
        if (m->key.n_bytes == n && !memcmp(m->key.bytes, key, n)) return m;
    return NULL;
}

static bool key_before(const nlp_json *a, const nlp_json *b) {
    if (a->key.n_bytes != b->key.n_bytes) return a->key.n_bytes < b->key.n_bytes;
    return memcmp(a->key.bytes, b->key.bytes, a->key.n_bytes) < 0;
}

/* Heap: the greater ones sink from `at`. */
static void sift_down(const nlp_json **heap, size_t at, size_t n) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && key_before(heap[child], heap[child + 1])) child++;
        if (!key_before(heap[at], heap[child])) return;
        const nlp_json *swap = heap[at];
        heap[at] = heap[child], heap[child] = swap;
    }
}

const nlp_json **nlp_json_sorted(const nlp_json *object, nlp_arena *arena) {
    size_t n = 0;
    const nlp_json **sorted = NLP_PUSH(arena, const nlp_json *, object->n);
    if (!sorted) return NULL;
    for (const nlp_json *m = object->first; m; m = m->next) sorted[n++] = m;
    for (size_t i = n / 2; i-- > 0;) sift_down(sorted, i, n);
    while (n > 1) {
        const nlp_json *greatest = sorted[0];
        sorted[0] = sorted[--n], sorted[n] = greatest;
        sift_down(sorted, 0, n);
    }
    return sorted;
}

bool nlp_json_to_integer(const nlp_json *number, int64_t *out) {
    if (number->kind != NLP_JSON_NUMBER) return false;
    bool negative = *number->text.bytes == '-';
    int64_t value = 0;
    for (size_t i = negative; i < number->text.n_bytes; i++) {
        int digit = number->text.bytes[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return false; /* summed below zero, where there is one more */
    }
    if (!negative && value == INT64_MIN) return false;
    *out = negative ? value : -value;
    return true;
}

bool nlp_json_to_real(const nlp_json *number, double *out) {
    if (number->kind != NLP_JSON_NUMBER) return false;
    uint64_t digits = 0;
    int64_t power = 0, written = 0;
    bool negative = *number->text.bytes == '-', fraction = false;
    size_t i = negative, n = number->text.n_bytes;
    for (; i < n && (number->text.bytes[i] | 0x20) != 'e'; i++) {
        if (number->text.bytes[i] == '.') {
            fraction = true;
            continue;
        }
        bool kept = digits < (uint64_t)1000000000000000000;
        if (kept) digits = digits * 10 + (uint64_t)(number->text.bytes[i] - '0');
        power += kept ? (fraction ? -1 : 0) : (fraction ? 0 : 1);
    }
    bool minus = i + 1 < n && number->text.bytes[i + 1] == '-';
    for (i++; i < n; i++)
        if (number->text.bytes[i] >= '0' && written < 100000)
            written = written * 10 + (number->text.bytes[i] - '0');
    power += minus ? -written : written;
    double scale = 1, value = (double)digits;
    int64_t size = power < 0 ? -power : power;
    for (int64_t k = 0; k < size && k < 400; k++) scale *= 10;
    *out = (power < 0 ? value / scale : digits ? value * scale : 0) * (negative ? -1 : 1);
    return true;
}
