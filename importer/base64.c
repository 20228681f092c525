/* base64.c: four letters are three bytes. */
#include "base64.h"

static int value_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool nlp_base64_decode(const char *text, size_t n_text, uint8_t *out, size_t *n_bytes) {
    uint32_t bits = 0, n_bits = 0;
    *n_bytes = 0;
    while (n_text && text[n_text - 1] == '=') n_text--;
    for (size_t i = 0; i < n_text; i++) {
        int value = value_of(text[i]);
        if (value < 0) return false;
        bits = (bits << 6 | (uint32_t)value) & 0xFFFFFF;
        n_bits += 6;
        if (n_bits < 8) continue;
        n_bits -= 8;
        out[(*n_bytes)++] = (uint8_t)(bits >> n_bits);
    }
    return n_bits < 6;
}
