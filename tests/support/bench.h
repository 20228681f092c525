/* bench.h: a model on an engine and a session, and calls of its tasks. Opening and closing report what
 * fails as a failure of the test. */
#ifndef NLP_TEST_BENCH_H
#define NLP_TEST_BENCH_H

#include "failing.h"
#include "models.h"

typedef struct bench {
    nlp_engine *engine;
    nlp_session *session;
    nlp_model *model;
    nlp_error err;
    const nlp_result *result; /* of the last call */
} bench;

/* NAME of tests/data/models as an f32 pack. */
bench bench_open(const char *name);
/* The same over an allocator, NULL for malloc; close on failure too. */
nlp_status bench_try_open(bench *b, const char *name, nlp_failing *allocations);
/* The model `source` of tests/data/models under other labels, as `name`. */
bench bench_open_as(const char *name, const char *source, const char *const *labels,
                    size_t n_labels);
bench bench_open_nli(void);    /* one whose labels are those of an NLI model */
bench bench_open_talker(void); /* a small decoder that chats */
/* One whose vectors are means of its tokens' states; prompts "query: " and "passage: ". */
bench bench_open_mean(void);
void bench_close(bench *b);

nlp_option bench_text(const char *key, const char *text);
nlp_option bench_whole(const char *key, int64_t number);
nlp_option bench_flag(const char *key);
nlp_status bench_run_texts(bench *b, const char *task, const nlp_text *texts, size_t n_inputs,
                           const nlp_option *options, size_t n_options);
/* One input; second may be NULL. */
nlp_status bench_run(bench *b, const char *task, const char *first, const char *second,
                     const nlp_option *options, size_t n_options);
/* One input whose second text is a list, with '|' between its texts. */
nlp_status bench_run_list(bench *b, const char *task, const char *first, const char *list,
                          const nlp_option *options, size_t n_options);

const nlp_value *bench_cell(const bench *b, uint32_t row, uint32_t n_columns, uint32_t column);
bool bench_is_text(const nlp_value *value, const char *text);
/* Words of many kinds, so that windows cut some of them. The caller frees it. */
char *bench_long_text(size_t n_words);
/* Each allocation of a call fails once, model and session open: a clean status, and under ASan no leak. */
void bench_fail_each_allocation(const char *model, const char *task, const nlp_text *texts,
                                const nlp_option *options, size_t n_options);

#endif
