/* json_write.c: texts with their escapes, numbers in any locale. */
#include "base/json_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json_read.h"

void nlp_json_put(nlp_json_out *out, const char *bytes, size_t n_bytes) {
    size_t room = out->n < out->capacity ? out->capacity - out->n : 0;
    size_t n_fitting = n_bytes < room ? n_bytes : room;
    if (n_fitting) memcpy(out->bytes + out->n, bytes, n_fitting);
    out->n += n_bytes;
}

static void put_escape(nlp_json_out *out, char c) {
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = memchr(plain, c, sizeof plain - 1);
    char text[8];
    int n = found ? snprintf(text, sizeof text, "\\%c", letters[found - plain])
                  : snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    nlp_json_put(out, text, (size_t)n);
}

void nlp_json_put_text(nlp_json_out *out, nlp_text text) {
    size_t first = 0;
    nlp_json_put(out, "\"", 1);
    for (size_t i = 0; i < text.n_bytes; i++) {
        unsigned char c = (unsigned char)text.bytes[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        nlp_json_put(out, text.bytes + first, i - first);
        put_escape(out, (char)c);
        first = i + 1;
    }
    if (text.n_bytes > first) nlp_json_put(out, text.bytes + first, text.n_bytes - first);
    nlp_json_put(out, "\"", 1);
}

/* The host's locale may have another point. */
static nlp_text write_real(char *text, size_t capacity, double real, int digits) {
    int n = snprintf(text, capacity, "%.*g", digits, real);
    for (int i = 0; i < n; i++)
        if (text[i] != 'e' && text[i] != '-' && text[i] != '+' && (text[i] < '0' || text[i] > '9'))
            text[i] = '.';
    return (nlp_text){text, (size_t)n};
}

void nlp_json_put_real(nlp_json_out *out, double real) {
    enum { FEWEST = 6, MOST = 9 };
    char text[32];
    nlp_json number = {.kind = NLP_JSON_NUMBER};
    if (!isfinite(real)) {
        nlp_json_put(out, "null", 4);
        return;
    }
    for (int digits = FEWEST; digits <= MOST; digits++) {
        double back;
        number.text = write_real(text, sizeof text, real, digits);
        if (nlp_json_to_real(&number, &back) && (float)back == (float)real) break;
    }
    nlp_json_put(out, number.text.bytes, number.text.n_bytes);
}

void nlp_json_put_integer(nlp_json_out *out, int64_t integer) {
    char text[32];
    nlp_json_put(out, text, (size_t)snprintf(text, sizeof text, "%" PRId64, integer));
}
