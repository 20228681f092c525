/* bench_write.c: the speed of writing. A run that makes one token is the time of the prompts; what a
 * run of many tokens takes longer is the time of the others. */
#include <math.h>

#include "bench.h"

enum { N_NEW = 128 };

typedef struct writing_times {
    double first, all; /* seconds until the first token, and until the last */
    uint64_t n_prompt; /* tokens of all prompts */
    size_t n_runs;
} writing_times;

/* Seconds; NaN where it failed. No text ends before its n_new tokens. */
static double run_for(cli *app, nlp_model *model, const bench_workload *w, int64_t n_new,
                      uint64_t *n_prompt) {
    nlp_value tokens = {.type = NLP_TYPE_INTEGER, .as.integer = n_new};
    nlp_option options[] = {{"max_tokens", tokens}, {"min_tokens", tokens}};
    nlp_request request = {.struct_size = sizeof request,
                           .task = w->task,
                           .model = model,
                           .texts = w->texts,
                           .n_inputs = w->n_texts,
                           .options = options,
                           .n_options = 2,
                           .stop = cli_stop};
    const nlp_result *result;
    nlp_error err;
    double started = cli_seconds();
    if (nlp_session_run(app->session, &request, &result, &err) != NLP_OK) {
        cli_report(&err);
        return NAN;
    }
    *n_prompt = result->n_tokens;
    return cli_seconds() - started;
}

static writing_times run_round(cli *app, nlp_model *model, const bench_workload *w,
                               double seconds) {
    writing_times t = {0};
    while (t.first + t.all < seconds) {
        t.first += run_for(app, model, w, 1, &t.n_prompt);
        t.all += run_for(app, model, w, N_NEW, &t.n_prompt);
        t.n_runs++;
    }
    return t;
}

int bench_measure_writing(cli *app, nlp_model *model, const bench_workload *w) {
    double prompts[BENCH_MAX_ROUNDS], writing[BENCH_MAX_ROUNDS], seconds, per_prompt = 1;
    long n_rounds;
    char name[80];
    uint64_t n_prompt;
    if (!bench_rounds(app, &seconds, &n_rounds)) return CLI_USAGE;
    if (isnan(run_for(app, model, w, 1, &n_prompt))) return CLI_ENVIRONMENT;
    for (long i = 0; i < n_rounds; i++) {
        writing_times t = run_round(app, model, w, seconds);
        if (isnan(t.first + t.all)) return CLI_ENVIRONMENT;
        double n_runs = (double)t.n_runs, n_written = (double)(w->n_texts * (N_NEW - 1));
        prompts[i] = n_runs * (double)t.n_prompt / t.first;
        writing[i] = n_runs * n_written / (t.all - t.first);
        per_prompt = (double)t.n_prompt / (double)w->n_texts;
    }
    snprintf(name, sizeof name, "prompt %s", w->name);
    bench_print(app, model, name, prompts, (size_t)n_rounds, per_prompt);
    snprintf(name, sizeof name, "decode %s", w->name);
    bench_print(app, model, name, writing, (size_t)n_rounds, N_NEW);
    return CLI_DONE;
}
