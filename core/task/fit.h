/* fit.h: training a head on vectors that are there already. */
#ifndef NLP_TASK_FIT_H
#define NLP_TASK_FIT_H

#include "task/task.h"

typedef struct nlp_fit_job {
    /* given */
    const char *name, *base_name;
    const uint8_t *base_digest; /* [NLP_SHA256_BYTES] */
    const nlp_text *texts, *labels;
    size_t n;
    const nlp_option *options;
    size_t n_options;
    const float *vectors; /* [n][dims], set before nlp_fit_run */
    uint32_t dims;
    const nlp_kernels *kernels;
    nlp_arena *arena, *scratch; /* results; gone when the call ends */
    /* found */
    const nlp_text *class_names; /* [n_classes] */
    uint32_t n_classes;
    uint32_t *classes;        /* [n] */
    size_t *train, *held_out; /* numbers of rows */
    size_t n_train, n_held_out;
    nlp_metric *metrics;
    size_t n_metrics;
    const void *pack;
    size_t pack_bytes;
} nlp_fit_job;

/* Checks options, texts and labels, and splits off what is held out: before the vectors are
 * computed. */
nlp_status nlp_fit_prepare(nlp_fit_job *job, nlp_poll *poll, nlp_error *err);
/* Trains, measures, and writes the pack. Polls. */
nlp_status nlp_fit_run(nlp_fit_job *job, nlp_poll *poll, nlp_error *err);

#endif
