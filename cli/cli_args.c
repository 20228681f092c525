/* cli_args.c: options of the command line. A task's options come from its table in the core, so
 * they have the names and ranges that SQL has: max_tokens is --max-tokens. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const cli_flag common_flags[] = {
    {"model", "NAME", "a pack of the model path, NAME@HEX, or a pack's path (also -m)"},
    {"model-path", "LIST", "folders of packs, ':' between them (default: $NLP_MODEL_PATH)"},
    {"json", NULL, "JSON lines in and out"},
    {"threads", "N", "threads (default: the cores of this machine)"},
    {"batch-tokens", "N", "about how many tokens go into one batch (default 4096)"},
    {"options", "JSON", "options as a JSON object, as in SQL"},
    {0},
};

void cli_print_commands(FILE *out) {
    fputs("nlp: transformers inside databases\n\n"
          "Usage: nlp COMMAND [options] [TEXT | FILE...]\n\n",
          out);
    for (const cli_command *command = cli_commands; command->name; command++)
        fprintf(out, "  %-11s %s\n", command->name, command->help);
    fputs("\n`nlp COMMAND --help` explains one of them, `nlp --version` prints the version.\n",
          out);
}

/* Options of the command beside its flags: of its task (or the other one), or of fitting and
 * distilling. */
static const nlp_option_spec *option_specs(const cli *app, bool other, size_t *n) {
    if (app->command->run == cmd_fit && !other) return nlp_fit_options_spec(n);
    if (app->command->run == cmd_distill && !other) return nlp_distill_options_spec(n);
    const char *name = other ? app->command->other_task : app->command->task;
    const nlp_task_spec *task = name ? nlp_task_find(app->engine, name) : NULL;
    *n = task ? task->n_options : 0;
    return task ? task->options : NULL;
}

static void print_option(const char *name, const char *value_name, const char *help) {
    char left[80];
    snprintf(left, sizeof left, "--%s%s%s", name, value_name ? " " : "",
             value_name ? value_name : "");
    for (char *c = left; *c && *c != ' '; c++)
        if (*c == '_') *c = '-';
    printf("  %-28s %s\n", left, help);
}

static const char *value_name_of(const nlp_option_spec *spec) {
    if (spec->values) return spec->values;
    if (spec->type == NLP_TYPE_BOOLEAN) return "true|false";
    if (spec->type == NLP_TYPE_JSON) return "JSON";
    bool is_text = spec->type == NLP_TYPE_TEXT || spec->type == NLP_TYPE_TEXTS;
    return is_text ? "TEXT" : "NUMBER";
}

static const nlp_option_spec *find_key(const cli *app, const char *key, bool other) {
    size_t n_specs;
    const nlp_option_spec *specs = option_specs(app, other, &n_specs);
    for (size_t i = 0; i < n_specs; i++)
        if (!strcmp(specs[i].key, key)) return &specs[i];
    return NULL;
}

static void print_options(const cli *app, bool other) {
    size_t n_specs;
    const nlp_option_spec *specs = option_specs(app, other, &n_specs);
    for (size_t i = 0; i < n_specs; i++)
        if (!other || !find_key(app, specs[i].key, false))
            print_option(specs[i].key, value_name_of(&specs[i]), specs[i].help);
}

void cli_print_help(const cli *app) {
    const cli_command *command = app->command;
    printf("Usage: nlp %s [options] %s\n\n%s\n\nOptions:\n", command->name, command->arguments,
           command->help);
    for (const cli_flag *flag = command->flags; flag && flag->name; flag++)
        print_option(flag->name, flag->value_name, flag->help);
    print_options(app, false);
    print_options(app, true);
    for (const cli_flag *flag = common_flags; flag->name; flag++)
        print_option(flag->name, flag->value_name, flag->help);
}

const char *cli_flag_value(const cli *app, const char *name) {
    for (int i = 0; app->command->flags && app->command->flags[i].name; i++)
        if (!strcmp(app->command->flags[i].name, name)) return app->flag_values[i];
    return NULL;
}

static int usage(const char *name, const char *what) {
    fprintf(stderr, "nlp: --%s %s\n", name, what);
    return CLI_USAGE;
}

bool cli_whole_number(const char *flag, const char *text, long min, long max, long *out) {
    char *end;
    *out = strtol(text, &end, 10);
    if (end != text && !*end && *out >= min && *out <= max) return true;
    fprintf(stderr, "nlp: --%s takes a whole number from %ld to %ld\n", flag, min, max);
    return false;
}

static int add_option(cli *app, const char *key, nlp_value value) {
    if (app->n_options == CLI_MAX_OPTIONS) return usage(key, "is one option too many");
    app->options[app->n_options++] = (nlp_option){.key = key, .value = value};
    return CLI_DONE;
}

static nlp_value text_value(const char *text) {
    return (nlp_value){.type = NLP_TYPE_TEXT, .n = (uint32_t)strlen(text), .as.text = text};
}

static int add_number(cli *app, const nlp_option_spec *spec, const char *text) {
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end) return usage(spec->key, "takes a number");
    nlp_value value = {.type = NLP_TYPE_REAL, .as.real = number};
    errno = 0;
    long long whole = strtoll(text, &end, 10);
    if (spec->type == NLP_TYPE_INTEGER && !*end && !errno)
        value = (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = whole};
    return add_option(app, spec->key, value);
}

static nlp_value json_value(const char *text) {
    nlp_value value = text_value(text);
    value.type = NLP_TYPE_JSON;
    return value;
}

/* An option that takes arrays or objects takes their JSON; a list of one text may be the text. */
static int add_task_option(cli *app, const nlp_option_spec *spec, const char *text) {
    if (spec->type == NLP_TYPE_JSON || (spec->type == NLP_TYPE_TEXTS && *text == '['))
        return add_option(app, spec->key, json_value(text));
    if (spec->type == NLP_TYPE_TEXT || spec->type == NLP_TYPE_TEXTS)
        return add_option(app, spec->key, text_value(text));
    if (spec->type != NLP_TYPE_BOOLEAN) return add_number(app, spec, text);
    bool yes = !strcmp(text, "true") || !strcmp(text, "1");
    if (!yes && strcmp(text, "false") && strcmp(text, "0"))
        return usage(spec->key, "takes true or false");
    return add_option(app, spec->key, (nlp_value){.type = NLP_TYPE_BOOLEAN, .as.boolean = yes});
}

/* The text of an array or object lives as long as the options do. */
static const char *keep_json(cli *app, const json_t *member) {
    char *text = json_dumps(member, JSON_COMPACT);
    if (!app->kept_texts) app->kept_texts = json_array();
    if (text) json_array_append_new(app->kept_texts, json_string(text));
    free(text);
    size_t n = json_array_size(app->kept_texts);
    return text ? json_string_value(json_array_get(app->kept_texts, n - 1)) : "";
}

static int add_json_option(cli *app, const char *key, const json_t *member) {
    nlp_value value;
    if (json_is_string(member))
        value = text_value(json_string_value(member));
    else if (json_is_boolean(member))
        value = (nlp_value){.type = NLP_TYPE_BOOLEAN, .as.boolean = json_is_true(member)};
    else if (json_is_integer(member))
        value = (nlp_value){.type = NLP_TYPE_INTEGER, .as.integer = json_integer_value(member)};
    else if (json_is_real(member))
        value = (nlp_value){.type = NLP_TYPE_REAL, .as.real = json_real_value(member)};
    else if (json_is_null(member))
        value = (nlp_value){.type = NLP_TYPE_NULL};
    else
        value = json_value(keep_json(app, member));
    return add_option(app, key, value);
}

static int add_options_json(cli *app, const char *text) {
    if (app->options_json) return usage("options", "may be given once");
    app->options_json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(app->options_json)) return usage("options", "takes a JSON object");
    const char *key;
    json_t *member;
    json_object_foreach(app->options_json, key, member) {
        int status = add_json_option(app, key, member);
        if (status != CLI_DONE) return status;
    }
    return CLI_DONE;
}

static int set_common(cli *app, const char *name, const char *value) {
    long number;
    if (!strcmp(name, "json"))
        app->json = true;
    else if (!strcmp(name, "model"))
        app->model_name = value;
    else if (!strcmp(name, "model-path"))
        snprintf(app->model_path, sizeof app->model_path, "%s", value);
    else if (!strcmp(name, "options"))
        return add_options_json(app, value);
    else if (!cli_whole_number(name, value, 1, 1000000, &number))
        return CLI_USAGE;
    else if (!strcmp(name, "threads"))
        app->threads = (uint32_t)number;
    else
        app->batch_tokens = (size_t)number;
    return CLI_DONE;
}

static const cli_flag *find_flag(const cli_flag *flags, const char *name) {
    for (; flags && flags->name; flags++)
        if (!strcmp(flags->name, name)) return flags;
    return NULL;
}

static const nlp_option_spec *find_spec(const cli *app, const char *name) {
    char key[64];
    size_t n = 0;
    for (; name[n] && n + 1 < sizeof key; n++) key[n] = name[n] == '-' ? '_' : name[n];
    key[n] = 0;
    const nlp_option_spec *spec = find_key(app, key, false);
    return spec ? spec : find_key(app, key, true);
}

/* One "--name"; value is what stands behind '=' or in the next argument. *used says that the value
 * was taken. */
static int set_long(cli *app, const char *name, const char *value, bool *used) {
    const cli_flag *own = find_flag(app->command->flags, name);
    const cli_flag *common = own ? NULL : find_flag(common_flags, name);
    const nlp_option_spec *spec = own || common ? NULL : find_spec(app, name);
    if (!own && !common && !spec) {
        fprintf(stderr, "nlp: no option --%s; `nlp %s --help` lists the options\n", name,
                app->command->name);
        return CLI_USAGE;
    }
    *used = spec || (own ? own : common)->value_name;
    if (*used && !value) return usage(name, "needs a value");
    if (own) app->flag_values[own - app->command->flags] = *used ? value : "";
    if (own) return CLI_DONE;
    return common ? set_common(app, name, value) : add_task_option(app, spec, value);
}

static int parse_long(cli *app, const char *argument, const char *next, bool *next_used) {
    char name[64];
    size_t n = strcspn(argument, "=");
    if (n >= sizeof name) n = sizeof name - 1;
    memcpy(name, argument, n);
    name[n] = 0;
    bool inlined = argument[n] == '=', used = false;
    int status = set_long(app, name, inlined ? argument + n + 1 : next, &used);
    if (status == CLI_DONE && inlined && !used) return usage(name, "takes no value");
    *next_used = used && !inlined;
    return status;
}

int cli_parse(cli *app, int argc, char **argv) {
    bool only_arguments = false;
    app->arguments = argv;
    for (int i = 0; i < argc; i++) {
        bool next_used = false;
        int status = CLI_DONE;
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (!only_arguments && !strcmp(argv[i], "--"))
            only_arguments = true;
        else if (!only_arguments && !strncmp(argv[i], "--", 2))
            status = parse_long(app, argv[i] + 2, next, &next_used);
        else if (!only_arguments && !strcmp(argv[i], "-m"))
            status = parse_long(app, "model", next, &next_used);
        else
            app->arguments[app->n_arguments++] = argv[i];
        if (status != CLI_DONE) return status;
        i += next_used;
    }
    return CLI_DONE;
}
