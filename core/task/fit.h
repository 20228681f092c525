/* fit.h: training a head on vectors that are there already. */
#ifndef NLP_TASK_FIT_H
#define NLP_TASK_FIT_H

#include "task/task.h"

enum { NLP_MAX_FIT_HIDDEN = 4096 };
/* The options of fitting; distilling takes them too, and holds out more. */
/* clang-format off */
#define NLP_FIT_OPTIONS(holdout_default)                                                          \
    { "task", NLP_TYPE_TEXT, "classify|sentiment", 0, 0, "classify",                              \
      "sentiment: labels must mean positive, negative, neutral" },                                \
    { "holdout", NLP_TYPE_REAL, NULL, 0, 0.9, holdout_default,                                    \
      "part of the texts that is held out to measure on" },                                       \
    { "l2", NLP_TYPE_REAL, NULL, 0, 1000, "0.00001",                                              \
      "strength of the regularisation; with hidden the default is 0.003" },                       \
    { "epochs", NLP_TYPE_INTEGER, NULL, 1, 100000, "300",                                         \
      "passes over all texts; with hidden the default is 30" },                                   \
    { "hidden", NLP_TYPE_INTEGER, NULL, 0, NLP_MAX_FIT_HIDDEN, "0",                               \
      "width of a hidden layer between vectors and labels; 0: none, a logistic head" },           \
    { "center", NLP_TYPE_BOOLEAN, NULL, 0, 0, "true",                                             \
      "learn from vectors less their mean: the same optimum in fewer steps" },                    \
    { "patience", NLP_TYPE_INTEGER, NULL, 0, 100000, "0",                                         \
      "stop after so many steps without a lower loss of the held-out texts; 0: never" },          \
    { "class_weight", NLP_TYPE_TEXT, "none|balanced", 0, 0, "none",                               \
      "balanced: rare labels count as much as frequent ones" },                                   \
    { "description", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "a sentence for the pack's card" },         \
    { "languages", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "languages of the texts: en,fr" },            \
    { "licence", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "licence of the pack" },                        \
    { "source", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "where the texts come from" }
/* clang-format on */

typedef struct nlp_fit_job {
    /* given */
    const char *name, *base_name;
    const uint8_t *base_digest; /* [NLP_SHA256_BYTES] */
    const nlp_text *texts, *labels;
    size_t n;
    const nlp_option *options;
    size_t n_options;
    const char
        *teacher; /* the model that gave the labels, for the card; NULL: they came with the texts */
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
    double accuracy; /* of the held-out rows */
    const void *pack;
    size_t pack_bytes;
} nlp_fit_job;

/* Checks options, texts and labels, and splits off what is held out: before the vectors are
 * computed. */
nlp_status nlp_fit_prepare(nlp_fit_job *job, nlp_poll *poll, nlp_error *err);
/* Trains, measures, and writes the pack. Polls. */
nlp_status nlp_fit_run(nlp_fit_job *job, nlp_poll *poll, nlp_error *err);

/* For those who know the labels before they know which text has which: NLP_EINVAL where the option task
 * does not allow one of class_names. */
nlp_status nlp_fit_check_labels(const nlp_fit_job *job, nlp_error *err);
/* Whether a text of this SHA-256 is among the held-out part: it does not depend on the other rows, but
 * that every label keeps a text to learn from. Looks at the first NLP_FIT_SPLIT_BYTES of it. */
enum { NLP_FIT_SPLIT_BYTES = 4 };
bool nlp_fit_holds_out(const uint8_t *digest, double part);

#endif
