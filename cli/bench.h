/* bench.h: what the files of `nlp bench` share: texts that are made up, rounds, one form of output. */
#ifndef NLP_CLI_BENCH_H
#define NLP_CLI_BENCH_H

#include "cli.h"

enum { BENCH_MAX_TEXTS = 4096, BENCH_MAX_ROUNDS = 64, BENCH_TEXT_BYTES = 8 * 512 };

typedef struct bench_workload {
    char name[64];
    const nlp_task_spec *task;
    nlp_text *texts; /* [BENCH_MAX_TEXTS] */
    char *storage;   /* of texts that are made: BENCH_TEXT_BYTES for each */
    size_t n_texts, capacity;
} bench_workload;

/* --seconds and --rounds. Prints what is wrong. */
bool bench_rounds(const cli *app, double *seconds, long *n_rounds);
/* A JSON line: the rounds' figures in tokens a second and their median. */
void bench_print(const cli *app, const nlp_model *model, const char *workload, const double *rounds,
                 size_t n_rounds, double tokens_per_text);

/* One workload over all rounds; prints its lines. A status of the command line. */
typedef int (*bench_measure)(cli *app, nlp_model *model, const bench_workload *w);
/* bench_write.c: prompts and the tokens written behind them, each in a line of its own. */
int bench_measure_writing(cli *app, nlp_model *model, const bench_workload *w);

#endif
