/* cli_output.c: lines out. Floats have nine digits, so that a float32 reads back to the same value.
 */
#include <string.h>
#include <unistd.h>

#include "cli.h"

enum { FLOAT_DIGITS = 9 };

json_t *cli_json_vector(const float *vector, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(array, json_real((double)vector[i]));
    return array;
}

json_t *cli_json_text(const char *bytes, size_t n_bytes) {
    json_t *text = json_stringn(bytes, n_bytes);
    return text ? text : json_null();
}

void cli_print_json(const cli_record *record, json_t *object) {
    json_t *line = json_object();
    const json_t *id = record && record->object ? json_object_get(record->object, "id") : NULL;
    if (id) json_object_set(line, "id", (json_t *)id);
    json_object_update(line, object);
    json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(FLOAT_DIGITS));
    putchar('\n');
    json_decref(line);
    json_decref(object);
}

void cli_print_error(const cli *app, const cli_record *record, const nlp_error *err) {
    if (app->json)
        cli_print_json(record,
                       json_pack("{s:{s:s, s:s, s:s}}", "error", "code", nlp_status_name(err->code),
                                 "message", err->message, "hint", err->hint));
    else
        cli_report(err);
}

void cli_print_field(const char *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) switch (bytes[i]) {
        case '\t':
            fputs("\\t", stdout);
            break;
        case '\n':
            fputs("\\n", stdout);
            break;
        case '\r':
            fputs("\\r", stdout);
            break;
        case '\\':
            fputs("\\\\", stdout);
            break;
        default:
            putchar(bytes[i]);
        }
}

void cli_print_header(const cli *app, const char *columns) {
    if (!app->json && columns && isatty(STDOUT_FILENO)) puts(columns);
}

void cli_emit_text(cli *app, const cli_record *record, const nlp_output *output) {
    const nlp_value *text = output->cells;
    if (app->json) {
        cli_print_json(record, json_pack("{s:o}", "text", cli_json_text(text->as.text, text->n)));
        return;
    }
    cli_print_field(text->as.text, text->n);
    putchar('\n');
}
