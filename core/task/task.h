/* task.h: what a task works with: the opened model, the parsed options, and the batch pass from
 * texts to one row of numbers a text. A task file includes this header and no sibling. */
#ifndef NLP_TASK_TASK_H
#define NLP_TASK_TASK_H

#include "base/workers.h"
#include "model/greedy.h"
#include "model/readout.h"
#include "nlp_plugin.h"
#include "text/tokenizer.h"

/* An opened pack, or a task pack over its base. */
typedef struct nlp_task_model {
    const char *name;
    const nlp_tokenizer *tokenizer; /* of the base for a task pack; so are stack and pooler */
    const nlp_stack *stack;
    nlp_writer writer; /* the model can write where its decoder has outputs */
    const nlp_pooler *pooler;
    const nlp_head *head;   /* spec.struct_size 0: none */
    const nlp_text *labels; /* [head->spec.n_labels] */
    const nlp_pack *pack;   /* prompts */
} nlp_task_model;

typedef enum nlp_overflow {
    NLP_OVERFLOW_TRUNCATE,
    NLP_OVERFLOW_ERROR,
    NLP_OVERFLOW_CHUNK
} nlp_overflow;

typedef struct nlp_task_options { /* of one call; zero is the default but where said */
    nlp_overflow on_overflow;
    bool on_error_null;
    bool normalize; /* default true */
    uint32_t pooling, dimensions, max_tokens;
    bool is_query;
    double threshold; /* NaN: not set */
    bool raw;
    bool special_tokens; /* default true */
    nlp_text pair;       /* bytes NULL: none */
} nlp_task_options;

struct nlp_task_call {
    const nlp_task_model *model;
    const nlp_task_options *options;
    const nlp_kernels *kernels;
    nlp_arena *arena;   /* results */
    nlp_arena *scratch; /* gone when the call ends */
    nlp_arena *work;    /* the tokenizer's, gone with the next text */
    nlp_workers *workers;
    uint32_t threads;
    nlp_poll *poll;
    nlp_counters *counters;
};

/* ---- options.c: the one table of options; a task lists those it takes ---- */
#define NLP_OPTION_ON_OVERFLOW                                                                     \
    {                                                                                              \
        "on_overflow", NLP_TYPE_TEXT, "truncate|error|chunk", 0, 0, "truncate",                    \
            "what a text over the token limit gets"                                                \
    }
#define NLP_OPTION_ON_ERROR                                                                        \
    { "on_error", NLP_TYPE_TEXT, "raise|null", 0, 0, "raise", "null: a failing text gives NULL" }
#define NLP_OPTION_NORMALIZE                                                                       \
    { "normalize", NLP_TYPE_BOOLEAN, NULL, 0, 0, "true", "vectors of length 1" }
#define NLP_OPTION_POOLING                                                                         \
    {                                                                                              \
        "pooling", NLP_TYPE_TEXT, "mean|cls|max|last", 0, 0, NULL,                                 \
            "other than the model's own pooling"                                                   \
    }
#define NLP_OPTION_INPUT_TYPE                                                                      \
    {                                                                                              \
        "input_type", NLP_TYPE_TEXT, "document|query", 0, 0, "document",                           \
            "which of the model's prompts goes before the text"                                    \
    }
#define NLP_OPTION_DIMENSIONS                                                                      \
    {                                                                                              \
        "dimensions", NLP_TYPE_INTEGER, NULL, 1, 65536, NULL,                                      \
            "only the first numbers of the vector (Matryoshka)"                                    \
    }
#define NLP_OPTION_MAX_TOKENS                                                                      \
    {                                                                                              \
        "max_tokens", NLP_TYPE_INTEGER, NULL, 3, 1048576, NULL,                                    \
            "a lower token limit than the model's"                                                 \
    }
#define NLP_OPTION_THRESHOLD                                                                       \
    { "threshold", NLP_TYPE_REAL, NULL, 0, 1, NULL, "below this score the answer is neutral" }
#define NLP_OPTION_RAW                                                                             \
    {                                                                                              \
        "raw", NLP_TYPE_BOOLEAN, NULL, 0, 0, "false",                                              \
            "scores before softmax or sigmoid, in the order of the labels"                         \
    }
#define NLP_OPTION_PAIR                                                                            \
    { "pair", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "second text of a model for pairs" }
#define NLP_OPTION_SPECIAL                                                                         \
    {                                                                                              \
        "special_tokens", NLP_TYPE_BOOLEAN, NULL, 0, 0, "true",                                    \
            "with the tokens that the model adds"                                                  \
    }

/* Checks against the task's table and fills *options. */
nlp_status nlp_task_options_read(const nlp_task_spec *task, const nlp_option *given, size_t n_given,
                                 nlp_task_options *options, nlp_error *err);
/* One option against any table of specs: known key, type, range. NULL values are as if not given.
 */
nlp_status nlp_option_check(const char *of, const nlp_option_spec *specs, size_t n_specs,
                            const nlp_option *option, const nlp_option_spec **spec, nlp_error *err);

/* ---- batch.c: texts through the encoder ---- */
/* Part of a text that fits the model: all of it, or one of several overlapping windows (on_overflow
 * 'chunk'). */
typedef struct nlp_window {
    size_t text;
    const int32_t *ids;
    const uint8_t *type_ids;
    uint32_t n_tokens, n_prompt_tokens;
} nlp_window;

/* From the hidden states of one window to its row of numbers. Runs on any thread; scratch is
 * nlp_readout_scratch_floats long. */
typedef nlp_status (*nlp_readout_fn)(const nlp_task_call *call, const nlp_window *window,
                                     const float *hidden, float *out, float *scratch,
                                     nlp_error *err);

/* Tokenises texts, runs them in units of whole windows on all threads and leaves one row [width] a
 * text in *rows: the readout of its window, or the mean over its windows. outputs [n_texts] get
 * status, n_tokens and truncated; a text that failed (on_error 'null') has a row of zeros. Bits of
 * a row do not depend on the other texts or on threads. */
nlp_status nlp_task_encode(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                           nlp_readout_fn readout, uint32_t width, float **rows,
                           nlp_output *outputs, nlp_error *err);

/* NLP_ECORRUPT that names the model where a number is not finite. */
nlp_status nlp_task_check_finite(const nlp_task_call *call, const float *rows, size_t n,
                                 nlp_error *err);

/* Pooled vectors of texts by the options: [n_texts][*dims]. */
nlp_status nlp_task_embed(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                          float **vectors, uint32_t *dims, nlp_output *outputs, nlp_error *err);
/* Scores (or, with raw, logits) of a classifier, and its logits: [n_texts][2][n_labels].
 * NLP_EUNSUPPORTED where the model has no head. */
nlp_status nlp_task_scores(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                           float **scores, nlp_output *outputs, nlp_error *err);

/* One row of n cells for output, all NULL values; NULL when out of memory. */
nlp_value *nlp_task_row(nlp_task_call *call, nlp_output *output, uint32_t n_rows,
                        uint32_t n_columns);
nlp_value nlp_value_text(nlp_text text);
nlp_value nlp_value_real(double real);
nlp_value nlp_value_integer(int64_t integer);

/* ---- The built-in tasks, one file each; listed in engine/builtins.c ---- */
extern const nlp_task_vtable nlp_task_embed_text, nlp_task_embed_query, nlp_task_similarity,
    nlp_task_sentiment, nlp_task_sentiment_score, nlp_task_classify, nlp_task_classify_scores,
    nlp_task_confidence, nlp_task_token_count, nlp_task_tokenize, nlp_task_tokens,
    nlp_task_detokenize, nlp_task_would_truncate;

#endif
