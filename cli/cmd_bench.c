/* cmd_bench.c: `nlp bench`: our own speed as JSON lines, in the form that bench/compare puts beside
 * other engines'. Times are wall time of whole calls, tokenizer included; the median of the rounds
 * is what counts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* Words that are one token each in BERT's vocabulary, so that a text of n - 2 words has n tokens.
 */
static const char *const words[] = {
    "time",     "year",    "people",   "way",    "day",        "man",    "thing",   "woman",
    "life",     "child",   "world",    "school", "state",      "family", "student", "group",
    "country",  "problem", "hand",     "part",   "place",      "case",   "week",    "company",
    "system",   "program", "question", "work",   "government", "number", "night",   "point",
    "home",     "water",   "room",     "mother", "area",       "money",  "story",   "fact",
    "month",    "lot",     "right",    "study",  "book",       "eye",    "job",     "word",
    "business", "issue",   "side",     "kind",   "head",       "house",  "service", "friend",
    "father",   "power",   "hour",     "game",   "line",       "end",    "member"};

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void make_text(bench_workload *w, size_t n_tokens, uint32_t *random) {
    char *text = w->storage + w->n_texts * BENCH_TEXT_BYTES;
    size_t n = 0;
    for (size_t i = 2; i < n_tokens; i++)
        n += (size_t)snprintf(text + n, BENCH_TEXT_BYTES - n, "%s%s", i > 2 ? " " : "",
                              words[next_random(random) % (sizeof words / sizeof *words)]);
    w->texts[w->n_texts++] = (nlp_text){text, n};
}

/* "32x8": 8 texts of 32 tokens. "ragged": 32 texts of 6 to 32 tokens. */
static bool make_shape(bench_workload *w, const char *shape) {
    uint32_t random = 1;
    unsigned n_tokens, n_texts;
    char extra;
    snprintf(w->name, sizeof w->name, "%s", shape);
    if (!strcmp(shape, "ragged")) {
        for (unsigned i = 0; i < 32; i++) make_text(w, 6 + i * 37 % 27, &random);
        return true;
    }
    if (sscanf(shape, "%ux%u%c", &n_tokens, &n_texts, &extra) != 2 || n_tokens < 2 ||
        n_tokens > 512 || !n_texts || n_texts > BENCH_MAX_TEXTS) {
        fprintf(stderr, "nlp: --shapes takes TOKENSxTEXTS (up to 512x%d) and ragged, not %s\n",
                BENCH_MAX_TEXTS, shape);
        return false;
    }
    while (n_texts--) make_text(w, n_tokens, &random);
    return true;
}

/* The whole file, terminated; NULL where it can't be read. */
static char *read_whole(const char *path, size_t *n) {
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    size_t capacity = 1 << 16, n_read = 1;
    for (*n = 0; file && n_read; *n += n_read) {
        char *longer = realloc(bytes, capacity *= 2);
        if (!longer) break;
        bytes = longer;
        n_read = fread(bytes + *n, 1, capacity - *n - 1, file);
    }
    if (bytes) bytes[*n] = 0;
    if (file) fclose(file);
    return bytes;
}

/* The first lines of a file, of any length; they take the place of the storage for made texts. */
static bool read_texts(bench_workload *w, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t n_bytes;
    char *bytes = read_whole(path, &n_bytes);
    snprintf(w->name, sizeof w->name, "%.60s", slash ? slash + 1 : path);
    free(w->storage);
    w->storage = bytes;
    for (size_t at = 0, end; bytes && w->n_texts < BENCH_MAX_TEXTS && at < n_bytes; at = end + 1) {
        const char *line_break = memchr(bytes + at, '\n', n_bytes - at);
        end = line_break ? (size_t)(line_break - bytes) : n_bytes;
        size_t n = end - at;
        if (n && bytes[at + n - 1] == '\r') n--;
        w->texts[w->n_texts++] = (nlp_text){bytes + at, n};
    }
    if (!w->n_texts) fprintf(stderr, "nlp: no lines in %s\n", path);
    return w->n_texts > 0;
}

/* ---- Measuring ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool run_once(cli *app, nlp_model *model, const bench_workload *w, uint64_t *n_tokens) {
    enum { CALL = 1024 };
    for (size_t i = 0; i < w->n_texts; i += CALL) {
        size_t n = w->n_texts - i < CALL ? w->n_texts - i : CALL;
        const nlp_result *result;
        nlp_error err;
        if (cli_run(app, w->task, model, w->texts + i, n, &result, &err) != NLP_OK) {
            cli_report(&err);
            return false;
        }
        *n_tokens += result->n_tokens;
    }
    return true;
}

/* Tokens a second of one round of about `seconds`. */
static double run_round(cli *app, nlp_model *model, const bench_workload *w, double seconds) {
    uint64_t n_tokens = 0;
    double started = cli_seconds(), now = started;
    while (now - started < seconds) {
        if (!run_once(app, model, w, &n_tokens)) return NAN;
        now = cli_seconds();
    }
    return (double)n_tokens / (now - started);
}

void bench_print(const cli *app, const nlp_model *model, const char *workload, const double *rounds,
                 size_t n_rounds, double tokens_per_text) {
    nlp_model_info info = {.struct_size = sizeof info};
    nlp_model_get_info(model, &info);
    double sorted[BENCH_MAX_ROUNDS];
    memcpy(sorted, rounds, n_rounds * sizeof *rounds);
    qsort(sorted, n_rounds, sizeof *sorted, by_value);
    double median = sorted[n_rounds / 2];
    json_t *list = json_array();
    for (size_t i = 0; i < n_rounds; i++) json_array_append_new(list, json_real(rounds[i]));
    cli_print_json(NULL,
                   json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:f, s:f}", "engine", "nlp",
                             "version", NLP_VERSION, "build", nlp_build_info(app->engine), "model",
                             info.name, "precision", info.precision, "workload", workload,
                             "threads", (int)app->threads, "rounds", list, "tok_s", median,
                             "sent_s", median / tokens_per_text));
    fflush(stdout);
}

bool bench_rounds(const cli *app, double *seconds, long *n_rounds) {
    const char *seconds_text = cli_flag_value(app, "seconds"),
               *rounds_text = cli_flag_value(app, "rounds");
    *seconds = seconds_text ? strtod(seconds_text, NULL) : 1;
    *n_rounds = 5;
    if (!(*seconds > 0)) {
        fprintf(stderr, "nlp: --seconds takes a number above 0, not %s\n", seconds_text);
        return false;
    }
    return !rounds_text || cli_whole_number("rounds", rounds_text, 1, BENCH_MAX_ROUNDS, n_rounds);
}

static int measure(cli *app, nlp_model *model, const bench_workload *w) {
    double rounds[BENCH_MAX_ROUNDS], seconds;
    long n_rounds;
    uint64_t n_tokens = 0;
    if (!bench_rounds(app, &seconds, &n_rounds)) return CLI_USAGE;
    if (!run_once(app, model, w, &n_tokens)) return CLI_ENVIRONMENT;
    for (long i = 0; i < n_rounds; i++) {
        rounds[i] = run_round(app, model, w, seconds);
        if (isnan(rounds[i])) return CLI_ENVIRONMENT;
    }
    bench_print(app, model, w->name, rounds, (size_t)n_rounds,
                (double)n_tokens / (double)w->n_texts);
    return CLI_DONE;
}

static int each_shape(cli *app, nlp_model *model, bench_workload *w, const char *shapes,
                      bench_measure measure_one) {
    char list[256], *rest;
    int status = CLI_DONE;
    snprintf(list, sizeof list, "%s", shapes);
    for (char *shape = strtok_r(list, ",", &rest); shape && status == CLI_DONE;
         shape = strtok_r(NULL, ",", &rest)) {
        w->n_texts = 0;
        status = make_shape(w, shape) ? measure_one(app, model, w) : CLI_USAGE;
    }
    return status;
}

/* Milliseconds from nothing to the first vector in a new engine, as a new connection has it. */
static int bench_attach(cli *app, const char *name) {
    double times[9];
    enum { N = sizeof times / sizeof *times };
    nlp_text text = {"attach", 6};
    for (int i = 0; i < N; i++) {
        cli fresh = *app;
        const nlp_result *result;
        nlp_error err = {0};
        double started = cli_seconds();
        if (cli_open_engine(&fresh) != CLI_DONE || cli_apply_settings(&fresh) != CLI_DONE)
            return CLI_ENVIRONMENT;
        const nlp_task_spec *task = nlp_task_find(fresh.engine, "embed");
        nlp_model *model = cli_open_model(&fresh, name, task);
        bool good = model && cli_run(&fresh, task, model, &text, 1, &result, &err) == NLP_OK;
        times[i] = 1e3 * (cli_seconds() - started);
        nlp_model_close(model);
        nlp_session_close(fresh.session);
        nlp_engine_close(fresh.engine);
        if (!good) return err.code == NLP_OK ? CLI_ENVIRONMENT : cli_report(&err);
    }
    qsort(times, N, sizeof *times, by_value);
    cli_print_json(NULL, json_pack("{s:s, s:s, s:f, s:f}", "engine", "nlp", "workload", "attach",
                                   "ms", times[N / 2], "best_ms", times[0]));
    return CLI_DONE;
}

static const struct {
    const char *name, *task, *model_of, *shapes;
    bench_measure measure;
} kinds[] = {
    {"encode", "embed", "embed", "16x1,32x1,128x1,32x32,ragged", measure},
    {"tokenize", "token_count", "embed", "16x1,32x1,128x1,32x32,ragged", measure},
    {"decode", "generate", "generate", "128x1", bench_measure_writing},
    {"batch-decode", "generate", "generate", "128x16", bench_measure_writing},
};

static int bench_kind(cli *app, size_t kind) {
    const char *file = cli_flag_value(app, "texts"), *shapes = cli_flag_value(app, "shapes");
    bench_workload w = {.task = nlp_task_find(app->engine, kinds[kind].task)};
    nlp_model *model =
        cli_open_model(app, app->model_name, nlp_task_find(app->engine, kinds[kind].model_of));
    int status = CLI_ENVIRONMENT;
    w.texts = calloc(BENCH_MAX_TEXTS, sizeof *w.texts);
    w.storage = malloc((size_t)BENCH_MAX_TEXTS * BENCH_TEXT_BYTES);
    bool ready = model && w.texts && w.storage;
    if (ready && !file)
        status =
            each_shape(app, model, &w, shapes ? shapes : kinds[kind].shapes, kinds[kind].measure);
    else if (ready && read_texts(&w, file))
        status = kinds[kind].measure(app, model, &w);
    free(w.texts);
    free(w.storage);
    nlp_model_close(model);
    return status;
}

int cmd_bench(cli *app) {
    const char *what = app->n_arguments ? app->arguments[0] : "encode";
    if (!strcmp(what, "attach")) return bench_attach(app, app->model_name);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(what, kinds[i].name)) return bench_kind(app, i);
    fputs("nlp: bench takes encode, tokenize, decode, batch-decode or attach\n", stderr);
    return CLI_USAGE;
}
