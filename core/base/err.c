/* err.c: statuses and messages. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct status_row {
    const char *name, *sqlstate, *meaning;
    int sqlite;
} status_row;

static const status_row status_table[] = {
#define NLP_STATUS_ROW(name, number, sqlstate, sqlite, meaning)                                    \
    [number] = {#name, sqlstate, meaning, sqlite},
    NLP_STATUS_MAP(NLP_STATUS_ROW)
#undef NLP_STATUS_ROW
};

static const status_row *row_of(nlp_status status) {
    size_t n = sizeof status_table / sizeof *status_table;
    return &status_table[(size_t)status < n ? (size_t)status : (size_t)NLP_EINTERNAL];
}

const char *nlp_status_name(nlp_status status) {
    return row_of(status)->name;
}
const char *nlp_status_sqlstate(nlp_status status) {
    return row_of(status)->sqlstate;
}
const char *nlp_status_meaning(nlp_status status) {
    return row_of(status)->meaning;
}
int nlp_status_sqlite(nlp_status status) {
    return row_of(status)->sqlite;
}

void nlp_error_clear(nlp_error *err) {
    if (!err) return;
    err->code = NLP_OK;
    err->message[0] = err->hint[0] = 0;
}

nlp_status nlp_fail(nlp_error *err, nlp_status code, const char *format, ...) {
    if (!err) return code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    err->code = code;
    err->hint[0] = 0;
    return code;
}

void nlp_hint(nlp_error *err, const char *format, ...) {
    if (!err) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->hint, sizeof err->hint, format, arguments);
    va_end(arguments);
}

void nlp_error_prefix(nlp_error *err, const char *format, ...) {
    if (!err) return;
    char message[sizeof err->message];
    memcpy(message, err->message, sizeof message);
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n + 3 >= sizeof err->message) return;
    snprintf(err->message + n, sizeof err->message - (size_t)n, ": %.*s",
             (int)(sizeof message - (size_t)n - 3), message);
}
