/* utf8.c: decoding by Unicode table 3-7, properties by utf8proc. */
#include "base/utf8.h"

#include <string.h>
#include <utf8proc.h>

/* Length of the well-formed sequence a first byte promises (0: none) and the range of its second
 * byte. */
static size_t sequence_of(uint8_t first, uint8_t *low, uint8_t *high) {
    *low = 0x80, *high = 0xBF;
    if (first < 0x80) return 1;
    if (first < 0xC2) return 0;
    if (first < 0xE0) return 2;
    if (first < 0xF0) {
        if (first == 0xE0) *low = 0xA0;
        if (first == 0xED) *high = 0x9F; /* no surrogates */
        return 3;
    }
    if (first > 0xF4) return 0;
    if (first == 0xF0) *low = 0x90;
    if (first == 0xF4) *high = 0x8F;
    return 4;
}

/* Decodes; *valid false leaves the length of the maximal ill-formed part. */
static size_t decode(const uint8_t *at, size_t n_bytes, uint32_t *code_point, bool *valid) {
    static const uint8_t first_bits[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint8_t low, high;
    size_t n = sequence_of(at[0], &low, &high);
    *valid = false;
    if (!n) return 1;
    uint32_t value = at[0] & first_bits[n];
    for (size_t i = 1; i < n; i++, low = 0x80, high = 0xBF) {
        if (i >= n_bytes || at[i] < low || at[i] > high) return i;
        value = value << 6 | (at[i] & 0x3F);
    }
    *code_point = value;
    *valid = true;
    return n;
}

int nlp_text_by_bytes(const void *a, const void *b) {
    const nlp_text *x = a, *y = b;
    size_t n = x->n_bytes < y->n_bytes ? x->n_bytes : y->n_bytes;
    int order = n ? memcmp(x->bytes, y->bytes, n) : 0;
    return order ? order : (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

size_t nlp_utf8_fit(nlp_text text, size_t most) {
    size_t n = most;
    if (text.n_bytes <= most) return text.n_bytes;
    while (n && ((uint8_t)text.bytes[n] & 0xC0) == 0x80) n--;
    return n;
}

size_t nlp_utf8_decode_any(const char *text, size_t n_bytes, uint32_t *code_point) {
    bool valid;
    size_t n = decode((const uint8_t *)text, n_bytes, code_point, &valid);
    if (!valid) *code_point = NLP_REPLACEMENT;
    return n;
}

size_t nlp_utf8_encode_any(uint32_t c, char out[NLP_UTF8_MAX_BYTES]) {
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = NLP_REPLACEMENT;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0xF00u >> n) | c);
    return n;
}

/* Bytes of ASCII at the start of a text, found eight at a time; may stop up to seven early. */
static size_t ascii_prefix(const uint8_t *at, size_t n_bytes) {
    size_t i = 0;
    for (uint64_t eight; n_bytes - i >= sizeof eight; i += sizeof eight) {
        memcpy(&eight, at + i, sizeof eight);
        if (eight & 0x8080808080808080u) break;
    }
    return i;
}

bool nlp_utf8_valid(const char *text, size_t n_bytes, size_t *bad_at) {
    const uint8_t *at = (const uint8_t *)text;
    uint32_t code_point;
    bool valid = true;
    size_t i = 0;
    while (i < n_bytes && valid) {
        if (at[i] < 0x80) {
            size_t n = ascii_prefix(at + i, n_bytes - i);
            i += n ? n : 1;
        } else {
            size_t n = decode(at + i, n_bytes - i, &code_point, &valid);
            if (valid) i += n;
        }
    }
    if (!valid && bad_at) *bad_at = i;
    return valid;
}

bool nlp_utf8_is_ascii(const char *text, size_t n_bytes) {
    const uint8_t *at = (const uint8_t *)text;
    size_t i = ascii_prefix(at, n_bytes);
    while (i < n_bytes && at[i] < 0x80) i++;
    return i == n_bytes;
}

size_t nlp_utf8_length(const char *text, size_t n_bytes) {
    size_t length = 0;
    uint32_t code_point;
    for (size_t i = 0; i < n_bytes; length++)
        i += nlp_utf8_decode(text + i, n_bytes - i, &code_point);
    return length;
}

/* The tokenizers ask only for these classes, not for the thirty of Unicode. */
nlp_unicode_class nlp_unicode_class_of(uint32_t code_point) {
    static const nlp_unicode_class classes[] = {
        [UTF8PROC_CATEGORY_CN] = NLP_UC_UNASSIGNED,
        [UTF8PROC_CATEGORY_LU] = NLP_UC_LETTER,
        [UTF8PROC_CATEGORY_LL] = NLP_UC_LETTER,
        [UTF8PROC_CATEGORY_LT] = NLP_UC_LETTER,
        [UTF8PROC_CATEGORY_LM] = NLP_UC_LETTER,
        [UTF8PROC_CATEGORY_LO] = NLP_UC_LETTER,
        [UTF8PROC_CATEGORY_MN] = NLP_UC_MARK_NONSPACING,
        [UTF8PROC_CATEGORY_MC] = NLP_UC_MARK_OTHER,
        [UTF8PROC_CATEGORY_ME] = NLP_UC_MARK_OTHER,
        [UTF8PROC_CATEGORY_ND] = NLP_UC_DECIMAL,
        [UTF8PROC_CATEGORY_NL] = NLP_UC_NUMBER_OTHER,
        [UTF8PROC_CATEGORY_NO] = NLP_UC_NUMBER_OTHER,
        [UTF8PROC_CATEGORY_PC] = NLP_UC_PUNCTUATION,
        [UTF8PROC_CATEGORY_PD] = NLP_UC_PUNCTUATION,
        [UTF8PROC_CATEGORY_PS] = NLP_UC_PUNCTUATION,
        [UTF8PROC_CATEGORY_PE] = NLP_UC_PUNCTUATION,
        [UTF8PROC_CATEGORY_PI] = NLP_UC_PUNCTUATION,
        [UTF8PROC_CATEGORY_PF] = NLP_UC_PUNCTUATION,
        [UTF8PROC_CATEGORY_PO] = NLP_UC_PUNCTUATION,
        [UTF8PROC_CATEGORY_SM] = NLP_UC_SYMBOL,
        [UTF8PROC_CATEGORY_SC] = NLP_UC_SYMBOL,
        [UTF8PROC_CATEGORY_SK] = NLP_UC_SYMBOL,
        [UTF8PROC_CATEGORY_SO] = NLP_UC_SYMBOL,
        [UTF8PROC_CATEGORY_ZS] = NLP_UC_SPACE,
        [UTF8PROC_CATEGORY_ZL] = NLP_UC_SPACE,
        [UTF8PROC_CATEGORY_ZP] = NLP_UC_SPACE,
        [UTF8PROC_CATEGORY_CC] = NLP_UC_CONTROL,
        [UTF8PROC_CATEGORY_CF] = NLP_UC_FORMAT,
        [UTF8PROC_CATEGORY_CS] = NLP_UC_SURROGATE,
        [UTF8PROC_CATEGORY_CO] = NLP_UC_PRIVATE,
    };
    if (code_point > 0x10FFFF) return NLP_UC_UNASSIGNED;
    return classes[utf8proc_category((utf8proc_int32_t)code_point)];
}

bool nlp_unicode_white_space(uint32_t c) {
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

size_t nlp_unicode_lower(uint32_t code_point, uint32_t out[3]) {
    if (code_point == 0x130) { /* the one character whose lower case is two, by SpecialCasing */
        out[0] = 'i', out[1] = 0x307;
        return 2;
    }
    out[0] = code_point > 0x10FFFF ? code_point
                                   : (uint32_t)utf8proc_tolower((utf8proc_int32_t)code_point);
    return 1;
}

size_t nlp_unicode_decompose(uint32_t code_point, bool compatibility, uint32_t out[18]) {
    utf8proc_int32_t buffer[18];
    int last_boundclass = 0;
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (compatibility) options |= UTF8PROC_COMPAT;
    utf8proc_ssize_t n = -1;
    if (code_point <= 0x10FFFF)
        n = utf8proc_decompose_char((utf8proc_int32_t)code_point, buffer, 18, options,
                                    &last_boundclass);
    if (n < 1 || n > 18) {
        out[0] = code_point;
        return 1;
    }
    for (utf8proc_ssize_t i = 0; i < n; i++) out[i] = (uint32_t)buffer[i];
    return (size_t)n;
}

uint8_t nlp_unicode_combining(uint32_t code_point) {
    if (code_point > 0x10FFFF) return 0;
    return (uint8_t)utf8proc_get_property((utf8proc_int32_t)code_point)->combining_class;
}

uint32_t nlp_unicode_compose(uint32_t first, uint32_t second) {
    utf8proc_int32_t pair[2] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second};
    utf8proc_ssize_t n =
        utf8proc_normalize_utf32(pair, 2, (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    return n == 1 ? (uint32_t)pair[0] : 0;
}

bool nlp_unicode_cluster_break(uint32_t before, uint32_t code_point, int32_t *state) {
    return utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)code_point,
                                            state);
}

static utf8proc_category_t category_of(uint32_t code_point) {
    return utf8proc_category((utf8proc_int32_t)code_point);
}

bool nlp_unicode_upper_case(uint32_t code_point) {
    return category_of(code_point) == UTF8PROC_CATEGORY_LU;
}
bool nlp_unicode_title_case(uint32_t code_point) {
    return category_of(code_point) == UTF8PROC_CATEGORY_LT;
}
bool nlp_unicode_lower_case(uint32_t code_point) {
    return category_of(code_point) == UTF8PROC_CATEGORY_LL;
}

bool nlp_unicode_word(uint32_t c) {
    switch (category_of(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        break;
    }
    return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
           (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
           (c >= 0x1F170 && c <= 0x1F189);
}
