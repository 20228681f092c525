/* cli_input.c: inputs of a command: arguments (a name of a regular file is a file, anything else is
 * text), or standard input. One text a line, or with --json one object a line. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

enum { MAX_BATCH = 4096 };

struct cli_input {
    cli *app;
    int next_argument;
    FILE *file; /* open now, or NULL */
    bool stdin_read;
    char *lines[MAX_BATCH]; /* of the last batch, owned */
    json_t *objects[MAX_BATCH];
    size_t n_lines;
};

int cli_input_open(cli *app, cli_input **input) {
    *input = calloc(1, sizeof **input);
    if (!*input) return CLI_ENVIRONMENT;
    (*input)->app = app;
    if (!app->n_arguments && isatty(STDIN_FILENO))
        fputs("nlp: reading lines from the keyboard; Ctrl-D ends\n", stderr);
    return CLI_DONE;
}

static void free_batch(cli_input *input) {
    for (size_t i = 0; i < input->n_lines; i++) {
        free(input->lines[i]);
        json_decref(input->objects[i]);
    }
    input->n_lines = 0;
}

void cli_input_close(cli_input *input) {
    if (!input) return;
    free_batch(input);
    if (input->file && input->file != stdin) fclose(input->file);
    free(input);
}

static bool is_file(const char *name) {
    struct stat st;
    return stat(name, &st) == 0 && (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode));
}

/* The next line, allocated; -1 at the end of everything. */
static ssize_t next_line(cli_input *input, char **line) {
    cli *app = input->app;
    for (;;) {
        if (input->file) {
            size_t capacity = 0;
            *line = NULL;
            ssize_t n = getline(line, &capacity, input->file);
            if (n > 0 && (*line)[n - 1] == '\n') n--;
            if (n > 0 && (*line)[n - 1] == '\r') n--;
            if (n >= 0) return n;
            free(*line);
            if (input->file != stdin) fclose(input->file);
            input->file = NULL;
        } else if (input->next_argument < app->n_arguments) {
            const char *argument = app->arguments[input->next_argument++];
            if (!is_file(argument))
                return (*line = strdup(argument)) ? (ssize_t)strlen(argument) : -1;
            input->file = fopen(argument, "r");
            if (!input->file) fprintf(stderr, "nlp: %s can't be read\n", argument);
        } else if (!app->n_arguments && !input->stdin_read) {
            input->stdin_read = true;
            input->file = stdin;
        } else {
            return -1;
        }
    }
}

static void set_problem(cli_record *record, nlp_status code, const char *message) {
    record->problem.code = code;
    snprintf(record->problem.message, sizeof record->problem.message, "%s", message);
    record->problem.hint[0] = 0;
}

static void parse_record(cli_record *record) {
    json_error_t problem;
    record->object = json_loadb(record->line, record->n_bytes,
                                JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    if (json_is_object(record->object)) return;
    json_decref(record->object);
    record->object = NULL;
    bool encoding = json_error_code(&problem) == json_error_invalid_utf8;
    set_problem(record, encoding ? NLP_EENCODING : NLP_EINVAL,
                encoding ? "the line is not valid UTF-8" : "the line is not a JSON object");
}

size_t cli_input_next(cli_input *input, cli_record *records, size_t max, size_t max_bytes) {
    size_t n = 0, n_bytes = 0;
    free_batch(input);
    while (n < max && n < MAX_BATCH && n_bytes < max_bytes && !cli_stop.should_stop(NULL)) {
        char *line;
        ssize_t length = next_line(input, &line);
        if (length < 0) break;
        cli_record *record = &records[n];
        *record = (cli_record){.line = line, .n_bytes = (size_t)length};
        if (input->app->json) parse_record(record);
        input->lines[n] = line;
        input->objects[n] = record->object;
        input->n_lines = ++n;
        n_bytes += (size_t)length;
    }
    return n;
}

nlp_text cli_record_text(cli_record *record, const char *key) {
    if (record->problem.code != NLP_OK) return (nlp_text){0};
    if (!record->object) return (nlp_text){record->line, record->n_bytes};
    const json_t *member = json_object_get(record->object, key);
    if (json_is_string(member))
        return (nlp_text){json_string_value(member), json_string_length(member)};
    char message[96];
    snprintf(message, sizeof message, "the object has no text \"%s\"", key);
    set_problem(record, NLP_EINVAL, message);
    return (nlp_text){0};
}

static char *no_list(cli_record *record, const char *key) {
    char message[96];
    snprintf(message, sizeof message, "there is no list of texts \"%s\"", key);
    set_problem(record, NLP_EINVAL, message);
    return NULL;
}

/* Texts of an array behind each other, each ended by a byte 0; NULL where one is no text. */
static char *join_array(const json_t *array, size_t *n_bytes) {
    size_t i, room = 1;
    const json_t *member;
    json_array_foreach(array, i, member) room += json_string_length(member) + 1;
    char *out = malloc(room);
    *n_bytes = 0;
    if (out) json_array_foreach(array, i, member) {
            size_t n = json_string_length(member);
            if (!json_is_string(member) || strlen(json_string_value(member)) != n) {
                free(out);
                return NULL;
            }
            memcpy(out + *n_bytes, json_string_value(member), n + 1);
            *n_bytes += n + 1;
        }
    return out;
}

char *cli_record_list(cli_record *record, const char *key, const char *list, size_t *n_bytes) {
    if (record->problem.code != NLP_OK) return NULL;
    const json_t *member = record->object ? json_object_get(record->object, key) : NULL;
    if (member || !list) {
        char *out = json_is_array(member) ? join_array(member, n_bytes) : NULL;
        return out ? out : no_list(record, key);
    }
    *n_bytes = strlen(list) + 1;
    char *out = malloc(*n_bytes);
    if (out)
        for (size_t i = 0; i < *n_bytes; i++) out[i] = list[i] == ',' ? 0 : list[i];
    return out ? out : no_list(record, key);
}
