/* cli.h: what the files of the command line share. `nlp` is the third adapter: it knows nlp.h and
 * nlp_import.h, no core header. One table of commands (nlp.c) drives parsing, `nlp` alone and `nlp
 * <command> --help`. */
#ifndef NLP_CLI_H
#define NLP_CLI_H

#include <jansson.h>
#include <stdio.h>

#include "nlp.h"

enum { CLI_DONE = 0, CLI_INPUT_FAILED = 1, CLI_USAGE = 2, CLI_ENVIRONMENT = 3 };
enum { CLI_MAX_OPTIONS = 32, CLI_MAX_FLAGS = 16, CLI_PATH_BYTES = 4096 };

typedef struct cli_flag {
    const char *name;       /* "out": --out */
    const char *value_name; /* NULL: a switch */
    const char *help;
} cli_flag;

typedef struct cli cli;

typedef struct cli_command {
    const char *name, *arguments, *help;
    const char *task; /* its options are accepted and its default model is used; NULL: none */
    int (*run)(cli *app);
    const cli_flag *flags;  /* ended by a NULL name; NULL: none */
    const char *other_task; /* whose options are accepted too; NULL: none */
} cli_command;

struct cli {
    const cli_command *command;
    nlp_engine *engine;
    nlp_session *session;
    const char *model_name;          /* -m, or NULL */
    char model_path[CLI_PATH_BYTES]; /* folders, ':' between them */
    bool json;
    uint32_t threads;
    size_t batch_tokens;
    const char *flag_values[CLI_MAX_FLAGS]; /* by index in command->flags; a switch has "" */
    nlp_option options[CLI_MAX_OPTIONS];
    size_t n_options;
    json_t *options_json; /* owner of the texts of --options */
    json_t *kept_texts;   /* arrays and objects of options, as texts */
    char **arguments;     /* what is neither option nor value */
    int n_arguments;
};

/* ---- nlp.c, cli_args.c: commands and options ---- */
extern const cli_command cli_commands[];
const cli_command *cli_command_find(const char *name);
/* Fills app from argv (behind the command's name). Prints what is wrong; CLI_DONE or CLI_USAGE. */
int cli_parse(cli *app, int argc, char **argv);
void cli_print_commands(FILE *out);
void cli_print_help(const cli *app);
/* Value of a flag of the command, "" for a switch, NULL where it was not given. */
const char *cli_flag_value(const cli *app, const char *name);
/* A whole number in min .. max, or a message that names the flag. */
bool cli_whole_number(const char *flag, const char *text, long min, long max, long *out);

/* ---- cli_env.c: engine, models, folders, messages ---- */
int cli_open_engine(cli *app);    /* with the default model path */
int cli_apply_settings(cli *app); /* what cli_parse found, and a session */
/* The named model, or the default of the task (its environment variable NLP_<X>_MODEL, then its
 * starter). Prints on failure; NULL then. */
nlp_model *cli_open_model(cli *app, const char *name, const nlp_task_spec *task);
/* The same where no model is named for an input of these operands. The name of the default: *name
 * [NLP_MODEL_NAME_BYTES], "" where another input has no other. */
nlp_model *cli_open_default(cli *app, const nlp_task_spec *task, const nlp_text *operands);
void cli_default_name(const cli *app, const nlp_task_spec *task, const nlp_text *operands,
                      char *name);
/* The first folder of the model path that can be written, made if it is missing; false where there
 * is none. */
bool cli_writable_folder(const cli *app, char *out, size_t out_bytes);
/* NAME.nlp in that folder for a name, the path itself for a path. Prints on failure. */
bool cli_pack_path(const cli *app, const char *name_or_path, char *out, size_t out_bytes);
const char *cli_builtin_path(
    void); /* the folder of the task packs and the catalogue that came with the program */
/* Prints "nlp: message" and the hint; returns CLI_ENVIRONMENT. */
int cli_report(const nlp_error *err);
bool cli_make_folder(const char *path);   /* with its parents; true where it exists then */
void cli_remove_folder(const char *path); /* with all in it */
/* Runs a program found in PATH, its output going to standard error; its exit status, -1 where it
 * can't be started. */
int cli_spawn(char *const argv[]);
extern const nlp_stop cli_stop; /* true once Ctrl-C was pressed */
void cli_catch_interrupt(void);
void cli_forget_interrupt(void); /* what Ctrl-C has stopped is over */
bool cli_await_input(void);      /* false: Ctrl-C came, before or while it waited */
bool cli_terminated(void);       /* asked to end, not only to stop */
double cli_seconds(void);        /* monotonic */

/* A bar on standard error, where that is a terminal and the work takes more than 2 s. */
typedef struct cli_progress {
    double started, drawn_at;
} cli_progress;
void cli_progress_start(cli_progress *progress);
void cli_progress_show(void *progress, const char *step, double fraction);
void cli_progress_end(cli_progress *progress);

/* ---- cli_input.c: texts from arguments, files, standard input ---- */
typedef struct cli_record {
    json_t *object; /* --json: the whole line; NULL in plain mode */
    const char *line;
    size_t n_bytes;
    nlp_error problem; /* code NLP_OK, or what is wrong with the line itself */
} cli_record;

typedef struct cli_input cli_input;
int cli_input_open(cli *app, cli_input **input);
void cli_input_close(cli_input *input);
/* Up to max records, or about max_bytes of them; 0 at the end. They live until the next call. */
size_t cli_input_next(cli_input *input, cli_record *records, size_t max, size_t max_bytes);
/* The text of a record: its line, or the JSON member `key`. Sets record->problem where there is
 * none. */
nlp_text cli_record_text(cli_record *record, const char *key);

/* The operand of type NLP_TYPE_TEXTS: an array of texts under `key`, else `list` with commas between
 * (NULL: none). Allocated; NULL, and record->problem, where there is no good one. */
char *cli_record_list(cli_record *record, const char *key, const char *list, size_t *n_bytes);

/* ---- cli_output.c: one line an input ---- */
json_t *cli_json_vector(const float *vector, size_t n);
json_t *cli_json_text(const char *bytes, size_t n_bytes);
/* Prints the object with the record's id; takes the reference. */
void cli_print_json(const cli_record *record, json_t *object);
void cli_print_error(const cli *app, const cli_record *record, const nlp_error *err);
/* A text for tab-separated output: tab, line end and backslash escaped. */
void cli_print_field(const char *bytes, size_t n_bytes);
/* The first cell of an output, a text: a field of a plain line, or the member "text". */
void cli_emit_text(cli *app, const cli_record *record, const nlp_output *output);
/* A header line, when standard output is a terminal and the output is plain. */
void cli_print_header(const cli *app, const char *columns);

/* ---- cli_batch.c: inputs through a task in batches ---- */
/* Inputs of a batch whose texts take long: results are printed when a batch is done. */
enum { CLI_WRITTEN = 64 };

typedef struct cli_job {
    const nlp_task_spec *task;
    nlp_model *model;
    /* JSON keys of the operands; plain lines have one operand, or two with a tab between */
    const char *keys[2];
    const char *columns; /* header of plain output */
    /* Called for each input that worked, in order. */
    void (*emit)(cli *app, const cli_record *record, const nlp_output *output);
    size_t batch; /* most inputs of a batch; 0: as many as --batch-tokens says */
    const char
        *second; /* the second operand of inputs that bring none; NULL: a tab comes before it */
    const char *list; /* the list of inputs that bring none, commas between; NULL: none */
    /* what is run for a JSON line that has its second key; NULL: this job */
    const struct cli_job *with_list;
} cli_job;
/* Reads all inputs of the command and runs the task over them; an input that fails is reported, the
 * rest goes on. */
int cli_run_job(cli *app, const cli_job *job);
/* The same over the task's model: the command's, or the task's default. */
int cli_run_task(cli *app, const char *task_name, cli_job job);
/* One request with the command's options; the result lives in the session. */
nlp_status cli_run(cli *app, const nlp_task_spec *task, nlp_model *model, const nlp_text *texts,
                   size_t n_inputs, const nlp_result **result, nlp_error *err);

/* ---- commands ---- */
int cmd_embed(cli *app);
int cmd_tokens(cli *app);
int cmd_sentiment(cli *app);
int cmd_classify(cli *app);
int cmd_similarity(cli *app);
int cmd_filter(cli *app);
int cmd_entities(cli *app);
int cmd_answer(cli *app);
int cmd_fill_mask(cli *app);
int cmd_rerank(cli *app);
int cmd_chunk(cli *app);
int cmd_generate(cli *app);
int cmd_chat(cli *app);
int cmd_translate(cli *app);
int cmd_summarize(cli *app);
int cmd_extract(cli *app);
int cmd_trace(cli *app);
int cmd_fit(cli *app);
int cmd_distill(cli *app);
int cmd_evaluate(cli *app);
int cmd_import(cli *app);
int cmd_pull(cli *app);
int cmd_inspect(cli *app);
int cmd_models(cli *app);
int cmd_cache(cli *app);
int cmd_bench(cli *app);
int cmd_selftest(cli *app);
int cmd_doctor(cli *app);

#endif
