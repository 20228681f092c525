/* cli_env.c: what the command line takes from its surroundings: the model path, folders, terminals,
 * Ctrl-C, programs. */
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

extern char **environ;

static atomic_bool interrupted;

static bool was_interrupted(void *context) {
    (void)context;
    return atomic_load_explicit(&interrupted, memory_order_relaxed);
}

const nlp_stop cli_stop = {.should_stop = was_interrupted};

static atomic_bool terminated;

static void on_interrupt(int signal_number) {
    if (signal_number == SIGTERM) atomic_store_explicit(&terminated, true, memory_order_relaxed);
    atomic_store_explicit(&interrupted, true, memory_order_relaxed);
}

void cli_forget_interrupt(void) {
    bool stays = atomic_load_explicit(&terminated, memory_order_relaxed);
    atomic_store_explicit(&interrupted, stays, memory_order_relaxed);
}

bool cli_terminated(void) {
    return atomic_load_explicit(&terminated, memory_order_relaxed);
}

void cli_catch_interrupt(void) {
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_DFL);
}

/* With the signals held back but while it waits, so that none falls between a look and the wait. */
bool cli_await_input(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    sigset_t ours, before;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ours, &before);
    int n = was_interrupted(NULL) ? -1 : ppoll(&input, 1, NULL, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return n >= 0;
}

double cli_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- Model path ---- */

const char *cli_builtin_path(void) {
    return access(NLP_INSTALLED_MODELS "/catalogue.json", R_OK) == 0 ? NLP_INSTALLED_MODELS
                                                                     : NLP_SOURCE_MODELS;
}

static void default_model_path(char *out, size_t out_bytes) {
    const char *path = getenv("NLP_MODEL_PATH"), *home = getenv("HOME");
    if (path && *path)
        snprintf(out, out_bytes, "%s", path);
    else
        snprintf(out, out_bytes, "%s:%s/.local/share/nlp/models", NLP_INSTALLED_MODELS,
                 home ? home : "/nonexistent");
}

int cli_open_engine(cli *app) {
    nlp_error err;
    nlp_engine_options options;
    nlp_engine_options_init(&options);
    default_model_path(app->model_path, sizeof app->model_path);
    options.model_path = app->model_path;
    options.builtin_path = cli_builtin_path();
    options.path_setting = "NLP_MODEL_PATH";
    options.backend = getenv("NLP_BACKEND");
    const char *cache = getenv("NLP_WEIGHT_CACHE");
    if (cache && !strcmp(cache, "shm")) options.weight_cache = NLP_CACHE_SHM;
    if (cache && !strcmp(cache, "file")) options.weight_cache = NLP_CACHE_FILE;
    if (nlp_engine_open(&options, &app->engine, &err) != NLP_OK) return cli_report(&err);
    nlp_isa_problem(err.message, sizeof err.message);
    if (*err.message) fprintf(stderr, "nlp: %s\n", err.message);
    return CLI_DONE;
}

int cli_apply_settings(cli *app) {
    nlp_error err;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!app->threads) app->threads = cores > 0 ? (uint32_t)cores : 1;
    if (!app->batch_tokens) app->batch_tokens = 4096;
    nlp_engine_set_limits(app->engine, app->threads, (size_t)4 << 30);
    if (nlp_engine_set_model_path(app->engine, app->model_path, &err) != NLP_OK ||
        nlp_session_open(app->engine, &app->session, &err) != NLP_OK)
        return cli_report(&err);
    return CLI_DONE;
}

/* NLP_SENTIMENT_MODEL for the setting "sentiment_model". */
static const char *model_from_environment(const nlp_task_spec *task) {
    char name[80] = "NLP_";
    size_t n = 4;
    for (const char *c = task->model_setting ? task->model_setting : ""; *c && n + 1 < sizeof name;
         c++)
        name[n++] = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    name[n] = 0;
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool is_pack_path(const char *name) {
    size_t n = strlen(name);
    return strchr(name, '/') || (n > 4 && !strcmp(name + n - 4, ".nlp"));
}

nlp_model *cli_open_model(cli *app, const char *name, const nlp_task_spec *task) {
    nlp_error err;
    nlp_model *model = NULL;
    if (!name && task) name = model_from_environment(task);
    if (!name && task) name = task->default_model;
    if (!name) {
        fprintf(stderr,
                "nlp: which model? Name one by -m; `nlp models` lists those that are here\n");
        return NULL;
    }
    nlp_status status = is_pack_path(name)
                            ? nlp_model_open_file(app->engine, name, &cli_stop, &model, &err)
                            : nlp_model_open(app->engine, name, &cli_stop, &model, &err);
    if (status != NLP_OK) cli_report(&err);
    return status == NLP_OK ? model : NULL;
}

void cli_default_name(const cli *app, const nlp_task_spec *task, const nlp_text *operands,
                      char *name) {
    nlp_error unused;
    *name = 0;
    if (app->model_name || !task->starter || model_from_environment(task)) return;
    nlp_task_default_model(task, NULL, operands, app->options, app->n_options, name, &unused);
}

nlp_model *cli_open_default(cli *app, const nlp_task_spec *task, const nlp_text *operands) {
    char name[NLP_MODEL_NAME_BYTES];
    cli_default_name(app, task, operands, name);
    return cli_open_model(app, *name ? name : app->model_name, task);
}

/* ---- Folders ---- */

bool cli_make_folder(const char *path) {
    char part[CLI_PATH_BYTES];
    snprintf(part, sizeof part, "%s", path);
    for (char *c = part + 1; *c; c++) {
        if (*c != '/') continue;
        *c = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST) return false;
        *c = '/';
    }
    return mkdir(part, 0755) == 0 || errno == EEXIST;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st, (void)kind, (void)walk;
    return remove(path);
}

void cli_remove_folder(const char *path) {
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

bool cli_writable_folder(const cli *app, char *out, size_t out_bytes) {
    for (const char *at = app->model_path; *at;) {
        size_t n = strcspn(at, ":");
        if (n && n < out_bytes) {
            memcpy(out, at, n);
            out[n] = 0;
            if (cli_make_folder(out) && access(out, W_OK) == 0) return true;
        }
        at += n + (at[n] == ':');
    }
    fprintf(stderr,
            "nlp: no folder of the model path can be written: %s\n"
            "hint: set NLP_MODEL_PATH, or give --model-path\n",
            app->model_path);
    return false;
}

bool cli_pack_path(const cli *app, const char *name_or_path, char *out, size_t out_bytes) {
    char folder[CLI_PATH_BYTES];
    if (is_pack_path(name_or_path))
        return (size_t)snprintf(out, out_bytes, "%s", name_or_path) < out_bytes;
    return cli_writable_folder(app, folder, sizeof folder) &&
           (size_t)snprintf(out, out_bytes, "%s/%s.nlp", folder, name_or_path) < out_bytes;
}

/* ---- Messages, programs, progress ---- */

int cli_report(const nlp_error *err) {
    fprintf(stderr, "nlp: %s\n", err->message);
    if (*err->hint) fprintf(stderr, "hint: %s\n", err->hint);
    return CLI_ENVIRONMENT;
}

int cli_spawn(char *const argv[]) {
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    int failed = posix_spawnp(&child, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) return -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void cli_progress_start(cli_progress *progress) {
    *progress = (cli_progress){.started = cli_seconds()};
}

void cli_progress_show(void *context, const char *step, double fraction) {
    enum { WIDTH = 30 };
    cli_progress *progress = context;
    double now = cli_seconds();
    if (!isatty(STDERR_FILENO) || now - progress->started < 2 || now - progress->drawn_at < 0.1)
        return;
    char bar[WIDTH + 1];
    int n_full = (int)(fraction * WIDTH);
    for (int i = 0; i < WIDTH; i++) bar[i] = i < n_full ? '#' : '.';
    bar[WIDTH] = 0;
    fprintf(stderr, "\r%-24.24s [%s] %3d %%", step, bar, (int)(100 * fraction));
    progress->drawn_at = now;
}

void cli_progress_end(cli_progress *progress) {
    if (progress->drawn_at > 0) fputs("\r\033[K", stderr);
}
