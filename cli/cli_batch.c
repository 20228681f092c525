/* cli_batch.c: inputs through a task in batches. A batch that fails is run again input by input, so
 * that one bad line costs only itself. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { BATCH_RECORDS = 1024, BYTES_PER_TOKEN = 4 };

typedef struct batch {
    cli_record records[BATCH_RECORDS];
    nlp_text texts[2 * BATCH_RECORDS], packed[BATCH_RECORDS];
    char *lists[BATCH_RECORDS]; /* of operands that are lists; owned */
    size_t n;
    bool failed; /* an input of any batch failed */
} batch;

nlp_status cli_run(cli *app, const nlp_task_spec *task, nlp_model *model, const nlp_text *texts,
                   size_t n_inputs, const nlp_result **result, nlp_error *err) {
    nlp_request request = {.struct_size = sizeof request,
                           .task = task,
                           .model = model,
                           .texts = texts,
                           .n_inputs = n_inputs,
                           .options = app->options,
                           .n_options = app->n_options,
                           .stop = cli_stop};
    return nlp_session_run(app->session, &request, result, err);
}

static void free_lists(batch *b) {
    for (size_t i = 0; i < b->n; i++) {
        free(b->lists[i]);
        b->lists[i] = NULL;
    }
}

static void line_problem(cli_record *record, const char *message) {
    record->problem.code = NLP_EINVAL;
    snprintf(record->problem.message, sizeof record->problem.message, "%s", message);
}

static bool wants_list(const cli_job *job) {
    return job->task->n_operands == 2 && job->task->operands[1].type == NLP_TYPE_TEXTS;
}

/* What stands behind the first tab of a plain line: one text, or several with tabs between. */
static void split_line(cli_record *record, const cli_job *job, char **list, nlp_text *texts) {
    const char *tab = memchr(record->line, '\t', record->n_bytes);
    if (!tab) {
        line_problem(record, "the line has no tab between its texts");
        return;
    }
    size_t n_first = (size_t)(tab - record->line), n_rest = record->n_bytes - n_first - 1;
    texts[0] = (nlp_text){record->line, n_first};
    texts[1] = (nlp_text){tab + 1, n_rest};
    if (!wants_list(job)) return;
    if (!(*list = malloc(n_rest + 1))) {
        line_problem(record, "out of memory");
        return;
    }
    for (size_t i = 0; i < n_rest; i++) (*list)[i] = tab[1 + i] == '\t' ? 0 : tab[1 + i];
    (*list)[n_rest] = 0;
    texts[1] = (nlp_text){*list, n_rest + 1};
}

static bool wants_json(const cli_job *job) {
    return job->task->operands[0].type == NLP_TYPE_JSON;
}

/* A member as JSON text, or the line as a JSON string; *kept owns it. */
static nlp_text json_operand(cli_record *record, const char *key, char **kept) {
    const json_t *member = json_object_get(record->object, key);
    json_t *own = NULL;
    if (!record->object) member = own = cli_json_text(record->line, record->n_bytes);
    if (!member) return cli_record_text(record, key); /* says what is missing */
    *kept = json_dumps(member, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(own);
    return (nlp_text){*kept ? *kept : "", *kept ? strlen(*kept) : 0};
}

/* The operands of one record: members of its object, or its line, cut at a tab where there are two.
 */
static void read_operands(cli_record *record, const cli_job *job, char **list, nlp_text *texts) {
    uint32_t n = job->task->n_operands;
    bool brings_second = !job->second || json_object_get(record->object, job->keys[1]);
    if (n == 2 && !record->object && !job->list && brings_second &&
        record->problem.code == NLP_OK) {
        split_line(record, job, list, texts);
        return;
    }
    texts[0] = wants_json(job) ? json_operand(record, job->keys[0], list)
                               : cli_record_text(record, job->keys[0]);
    if (n < 2) return;
    if (!brings_second) {
        texts[1] = (nlp_text){job->second, strlen(job->second)};
        return;
    }
    if (!wants_list(job)) {
        texts[1] = cli_record_text(record, job->keys[1]);
        return;
    }
    texts[1] = (nlp_text){0};
    *list = cli_record_list(record, job->keys[1], job->list, &texts[1].n_bytes);
    texts[1].bytes = *list;
}

/* The job of one record: a JSON line may bring the list that makes it another one. */
static const cli_job *job_of(const cli_job *job, const cli_record *record) {
    bool other = job->with_list && record->object &&
                 json_object_get(record->object, job->with_list->keys[1]);
    return other ? job->with_list : job;
}

/* Members of a JSON line that are options of this one input: {"text": ..., "pair": ...}. */
static const char *const record_options[] = {"pair", "input_type"};
enum { N_RECORD_OPTIONS = sizeof record_options / sizeof *record_options };

static bool takes_option(const nlp_task_spec *task, const char *key) {
    for (uint32_t i = 0; i < task->n_options; i++)
        if (!strcmp(task->options[i].key, key)) return true;
    return false;
}

/* How many options the record adds to those of the command line. */
static size_t add_record_options(cli *app, const nlp_task_spec *task, const cli_record *record) {
    size_t before = app->n_options;
    for (int i = 0; i < N_RECORD_OPTIONS; i++) {
        const json_t *value = json_object_get(record->object, record_options[i]);
        if (!json_is_string(value) || !takes_option(task, record_options[i]) ||
            app->n_options == CLI_MAX_OPTIONS)
            continue;
        app->options[app->n_options++] = (nlp_option){record_options[i],
                                                      {.type = NLP_TYPE_TEXT,
                                                       .n = (uint32_t)json_string_length(value),
                                                       .as.text = json_string_value(value)}};
    }
    return app->n_options - before;
}

static void emit_failure(cli *app, batch *b, const cli_record *record, const nlp_error *err) {
    cli_print_error(app, record, err);
    b->failed = true;
}

static void emit_output(cli *app, batch *b, const cli_job *job, const cli_record *record,
                        const nlp_output *output) {
    if (output->status == NLP_OK) {
        job->emit(app, record, output);
        return;
    }
    nlp_error err = {.code = output->status};
    snprintf(err.message, sizeof err.message, "%s", nlp_status_meaning(output->status));
    emit_failure(app, b, record, &err);
}

/* The model of a job that few records ask for is opened when one does. */
static nlp_status run_record(cli *app, const cli_job *job, const nlp_text *texts,
                             const nlp_result **result, nlp_error *err) {
    if (job->model) return cli_run(app, job->task, job->model, texts, 1, result, err);
    nlp_model *model = cli_open_default(app, job->task, texts);
    *err = (nlp_error){.code = NLP_ENOMODEL, .message = "the model can't be opened"};
    nlp_status status = model ? cli_run(app, job->task, model, texts, 1, result, err) : err->code;
    nlp_model_close(model);
    return status;
}

/* Records first .. end - 1 one by one, after they have failed together. NLP_ECANCELED ends it. */
static nlp_status run_singly(cli *app, batch *b, const cli_job *jobs, size_t first, size_t end) {
    for (size_t i = first; i < end; i++) {
        const nlp_result *result;
        const cli_job *job = job_of(jobs, &b->records[i]);
        nlp_error err = b->records[i].problem;
        nlp_status status = err.code;
        size_t n_own = add_record_options(app, job->task, &b->records[i]);
        if (status == NLP_OK) status = run_record(app, job, b->texts + 2 * i, &result, &err);
        if (status != NLP_OK && status != NLP_ECANCELED) emit_failure(app, b, &b->records[i], &err);
        if (status == NLP_OK) emit_output(app, b, job, &b->records[i], result->outputs);
        app->n_options -= n_own; /* behind the output: --logits asks again with them */
        if (status == NLP_ECANCELED) return status;
    }
    return NLP_OK;
}

/* Two places a record become the task's operands. */
static const nlp_text *pack_operands(batch *b, uint32_t n_operands) {
    if (n_operands == 2) return b->texts;
    for (size_t i = 0; i < b->n; i++) b->packed[i] = b->texts[2 * i];
    return b->packed;
}

/* Where the records end whose model is that of the first. */
static size_t end_of_model(const cli *app, const batch *b, const cli_job *job, size_t first) {
    char name[NLP_MODEL_NAME_BYTES], other[NLP_MODEL_NAME_BYTES];
    size_t end = first + 1;
    cli_default_name(app, job->task, b->texts + 2 * first, name);
    if (!*name) return b->n;
    for (; end < b->n; end++) {
        cli_default_name(app, job->task, b->texts + 2 * end, other);
        if (strcmp(name, other) != 0) break;
    }
    return end;
}

static void emit_failures(cli *app, batch *b, size_t first, size_t end, const nlp_error *err) {
    for (size_t i = first; i < end; i++) emit_failure(app, b, &b->records[i], err);
}

/* A failing line is run again alone, so that it costs only itself. */
static nlp_status run_together(cli *app, batch *b, const cli_job *job, const nlp_text *texts,
                               size_t first, size_t end) {
    const nlp_result *result;
    nlp_error err = {.code = NLP_ENOMODEL, .message = "the model can't be opened"};
    nlp_model *own = job->model ? NULL : cli_open_default(app, job->task, b->texts + 2 * first);
    nlp_model *model = job->model ? job->model : own;
    if (!model) {
        emit_failures(app, b, first, end, &err);
        return NLP_OK;
    }
    nlp_status status = cli_run(app, job->task, model, texts + first * job->task->n_operands,
                                end - first, &result, &err);
    for (size_t i = first; status == NLP_OK && i < end; i++)
        emit_output(app, b, job, &b->records[i], &result->outputs[i - first]);
    nlp_model_close(own);
    if (status == NLP_OK || status == NLP_ECANCELED) return status;
    return run_singly(app, b, job, first, end);
}

/* Records of one batch that are alike go through their model together. */
static nlp_status run_batch(cli *app, batch *b, const cli_job *job) {
    /* and alike: no record has options of its own; --logits asks again for each, and the session holds
     * one result */
    bool all_good = !cli_flag_value(app, "logits");
    for (size_t i = 0; i < b->n; i++) {
        const cli_job *own = job_of(job, &b->records[i]);
        read_operands(&b->records[i], own, &b->lists[i], b->texts + 2 * i);
        size_t n_own = add_record_options(app, own->task, &b->records[i]);
        app->n_options -= n_own;
        all_good = all_good && !n_own && own == job && b->records[i].problem.code == NLP_OK;
    }
    if (!all_good) return run_singly(app, b, job, 0, b->n);
    const nlp_text *texts = pack_operands(b, job->task->n_operands);
    nlp_status status = NLP_OK;
    for (size_t first = 0, end; status == NLP_OK && first < b->n; first = end) {
        end = end_of_model(app, b, job, first);
        status = run_together(app, b, job, texts, first, end);
    }
    return status;
}

int cli_run_task(cli *app, const char *task_name, cli_job job) {
    char name[NLP_MODEL_NAME_BYTES];
    job.task = nlp_task_find(app->engine, task_name);
    cli_default_name(app, job.task, NULL, name);
    /* else each run of inputs opens its own */
    if (!*name) job.model = cli_open_model(app, app->model_name, job.task);
    if (!*name && !job.model) return CLI_ENVIRONMENT;
    if (!job.keys[0]) job.keys[0] = "text";
    int status = cli_run_job(app, &job);
    nlp_model_close(job.model);
    return status;
}

/* Options of the other job may be for the lines that will ask for it. */
static bool options_fit(const cli *app, const cli_job *job, nlp_error *err) {
    nlp_error other;
    return nlp_options_check(job->task, app->options, app->n_options, err) == NLP_OK ||
           (job->with_list && nlp_options_check(job->with_list->task, app->options, app->n_options,
                                                &other) == NLP_OK);
}

/* Lines are collected until a batch is worth it, and answered in their order. */
int cli_run_job(cli *app, const cli_job *job) {
    nlp_error err;
    cli_input *input;
    cli_progress progress;
    size_t n_done = 0;
    if (!options_fit(app, job, &err)) {
        cli_report(&err);
        return CLI_USAGE;
    }
    batch *b = calloc(1, sizeof *b);
    if (!b || cli_input_open(app, &input) != CLI_DONE) return CLI_ENVIRONMENT;
    cli_print_header(app, job->columns);
    cli_progress_start(&progress);
    nlp_status status = NLP_OK;
    size_t most = job->batch ? job->batch : BATCH_RECORDS;
    while (status == NLP_OK && (b->n = cli_input_next(input, b->records, most,
                                                      app->batch_tokens * BYTES_PER_TOKEN)) > 0) {
        status = run_batch(app, b, job);
        free_lists(b);
        fflush(stdout);
        n_done += b->n;
    }
    cli_progress_end(&progress);
    if (status == NLP_ECANCELED || cli_stop.should_stop(NULL))
        fprintf(stderr, "nlp: stopped after %zu inputs\n", n_done);
    cli_input_close(input);
    bool failed = b->failed || status != NLP_OK;
    free(b);
    return failed ? CLI_INPUT_FAILED : CLI_DONE;
}
