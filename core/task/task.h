/* task.h: what a task works with: the opened model, the parsed options, and the batch pass from
 * texts to one row of numbers a text. A task file includes this header and no sibling. */
#ifndef NLP_TASK_TASK_H
#define NLP_TASK_TASK_H

#include "base/workers.h"
#include "generate/chat_prompt.h"
#include "generate/writing.h"
#include "model/readout.h"
#include "nlp_plugin.h"
#include "text/tokenizer.h"

/* An opened pack, or a task pack over its base. */
typedef struct nlp_task_model {
    const char *name;
    const nlp_tokenizer *tokenizer;    /* of the base for a task pack; so are stack and pooler */
    const nlp_tokenizer *written;      /* of what the model writes: its own, or its decoder's */
    nlp_shared_vocabulary *vocabulary; /* of `written` */
    const nlp_stack *stack;
    nlp_writer writer; /* the model can write where its decoder has outputs */
    const nlp_pooler *pooler;
    const nlp_head *head;   /* spec.struct_size 0: none */
    const nlp_text *labels; /* [head->spec.n_labels] */
    const nlp_pack *pack;   /* prompts */
    const nlp_chat *chat;   /* how its chats are written; NULL: it has no known format */
} nlp_task_model;

typedef enum nlp_overflow {
    NLP_OVERFLOW_TRUNCATE,
    NLP_OVERFLOW_ERROR,
    NLP_OVERFLOW_CHUNK
} nlp_overflow;

typedef enum nlp_cut { /* where a text is cut into chunks */
                       NLP_BY_SENTENCE,
                       NLP_BY_PARAGRAPH,
                       NLP_BY_TOKEN
} nlp_cut;

typedef struct nlp_task_options { /* of one call; zero is the default but where said */
    nlp_overflow on_overflow;     /* default: what the task's table says */
    bool has_overflow;            /* it was given */
    bool on_error_null;
    bool normalize; /* default true */
    uint32_t pooling, dimensions, max_tokens;
    uint32_t max_windows; /* of 'chunk': what is behind them is cut; 0: all */
    bool is_query;
    double threshold; /* NaN: not set */
    bool raw;
    bool special_tokens;           /* default true */
    nlp_text pair;                 /* bytes NULL: none */
    nlp_aggregation aggregation;   /* default: what the model says */
    uint32_t k, max_answer_tokens; /* default: what the task's table says */
    bool multi_label, sigmoid, sentence;
    bool has_overlap;
    bool has_extractive, extractive;
    uint32_t overlap;
    nlp_cut by;
    /* of writing; what is not given is the model's own */
    nlp_sampling sampling;
    uint32_t min_tokens, num_beams;
    double length_penalty; /* NaN: not given */
    bool has_early_stopping;
    nlp_early_stopping early_stopping;
    bool has_seed, has_no_repeat, has_min_tokens;
    uint64_t seed;
    nlp_value stop, choices; /* a text, or JSON: an array of texts */
    nlp_value schema;        /* JSON */
    nlp_text grammar;
    nlp_value logit_bias; /* JSON: an object of numbers by token ids */
    nlp_text hypothesis, prompt, instruction, yes, no, source; /* bytes NULL: the task's own */
} nlp_task_options;

struct nlp_task_call {
    const nlp_task_model *model;
    const nlp_task_options *options;
    const nlp_kernels *kernels;
    nlp_arena *arena;      /* results */
    nlp_arena *scratch;    /* gone when the call ends */
    nlp_arena *work;       /* the tokenizer's, gone with the next text */
    nlp_word_cache *cache; /* words of the call's texts; lies in scratch */
    nlp_workers *workers;
    uint32_t threads;
    nlp_poll *poll;
    nlp_counters *counters;
    /* second texts of nlp_task_encode's [n_texts]; NULL: options->pair for all of them, or none */
    const nlp_text *pairs;
    nlp_truncation truncation; /* of a text and its pair */
    const void *job;           /* the running task's own, for its readout */
};

/* ---- options.c: the one table of options; a task lists those it takes ---- */
#define NLP_OPTION_ON_OVERFLOW                                                                     \
    {                                                                                              \
        "on_overflow", NLP_TYPE_TEXT, "truncate|error|chunk", 0, 0, "truncate",                    \
            "what a text over the token limit gets"                                                \
    }
/* For classifiers: a task pack may say how it reads long texts (nlp_head_spec.window). */
#define NLP_OPTION_OWN_OVERFLOW                                                                    \
    {                                                                                              \
        "on_overflow", NLP_TYPE_TEXT, "truncate|error|chunk", 0, 0, NULL,                          \
            "what a text over the token limit gets; not given: truncate, or chunk where the "      \
            "model was trained on parts of texts"                                                  \
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
#define NLP_OPTION_K(most, default_)                                                               \
    { "k", NLP_TYPE_INTEGER, NULL, 1, most, default_, "how many of the best" }
/* For tasks that can't make one answer of several windows. */
#define NLP_OPTION_CUT_OR_ERROR                                                                    \
    {                                                                                              \
        "on_overflow", NLP_TYPE_TEXT, "truncate|error", 0, 0, "truncate",                          \
            "what a text over the token limit gets"                                                \
    }
/* For tasks that find places in a text: all of it is looked through. */
#define NLP_OPTION_WINDOWS                                                                         \
    {                                                                                              \
        "on_overflow", NLP_TYPE_TEXT, "truncate|error|chunk", 0, 0, "chunk",                       \
            "what a text over the token limit gets; chunk: overlapping windows"                    \
    }
#define NLP_OPTION_SPECIAL                                                                         \
    {                                                                                              \
        "special_tokens", NLP_TYPE_BOOLEAN, NULL, 0, 0, "true",                                    \
            "with the tokens that the model adds"                                                  \
    }

/* For tasks that write. Penalties go first, then temperature, top_k, top_p and min_p in this order. */
/* clang-format off */
#define NLP_OPTIONS_OF_WRITING(most_tokens)                                                       \
    { "max_tokens", NLP_TYPE_INTEGER, NULL, 1, 1048576, most_tokens,                              \
      "most tokens that are written" },                                                           \
    { "min_tokens", NLP_TYPE_INTEGER, NULL, 0, 1048576, NULL, "least tokens that are written" },  \
    { "temperature", NLP_TYPE_REAL, NULL, 0, 100, NULL,                                           \
      "scores are divided by it; 0: always the most probable token" },                            \
    { "top_k", NLP_TYPE_INTEGER, NULL, 0, 1048576, NULL, "draw from the k best; 0: from all" },   \
    { "top_p", NLP_TYPE_REAL, NULL, 0.000001, 1, NULL,                                            \
      "draw from the fewest tokens of this probability together" },                               \
    { "min_p", NLP_TYPE_REAL, NULL, 0, 1, NULL,                                                   \
      "draw from tokens of this part of the best one's probability" },                            \
    { "repetition_penalty", NLP_TYPE_REAL, NULL, 0.01, 100, NULL,                                 \
      "above 1: tokens of prompt and text become less probable" },                                \
    { "presence_penalty", NLP_TYPE_REAL, NULL, -100, 100, NULL,                                   \
      "taken from the score of each token of the text" },                                         \
    { "frequency_penalty", NLP_TYPE_REAL, NULL, -100, 100, NULL,                                  \
      "taken from it for each time that it came" },                                               \
    { "seed", NLP_TYPE_INTEGER, NULL, -9.2e18, 9.2e18, NULL,                                      \
      "of chance, for temperature > 0: same seed and prompt, same text" },                        \
    { "stop", NLP_TYPE_TEXTS, NULL, 0, 0, NULL, "texts before which the answer ends" },           \
    { "logit_bias", NLP_TYPE_JSON, NULL, 0, 0, NULL,                                               \
      "numbers by token ids, added to their scores" },                                             \
    { "num_beams", NLP_TYPE_INTEGER, NULL, 1, NLP_MAX_BEAMS, NULL,                                \
      "above 1: search for the most probable text" },                                             \
    { "early_stopping", NLP_TYPE_TEXT, "true|false|never", 0, 0, NULL,                            \
      "true: a search ends with its first num_beams texts" },                                     \
    { "length_penalty", NLP_TYPE_REAL, NULL, -10, 10, NULL,                                       \
      "of a search: above 0 longer texts are preferred" },                                        \
    { "no_repeat_ngram_size", NLP_TYPE_INTEGER, NULL, 0, 100, NULL,                               \
      "no run of so many tokens comes twice" }
/* For those of them whose answer may be bound to a form. */
#define NLP_OPTIONS_OF_FORM                                                                        \
    { "choices", NLP_TYPE_TEXTS, NULL, 0, 0, NULL, "the answer is one of these texts" },           \
    { "schema", NLP_TYPE_JSON, NULL, 0, 0, NULL, "the answer is JSON of this schema" },            \
    { "grammar", NLP_TYPE_TEXT, NULL, 0, 0, NULL, "the answer is a text of this grammar (GBNF)" }
/* clang-format on */

/* Checks against the task's table and fills *options. */
nlp_status nlp_task_options_read(const nlp_task_spec *task, const nlp_option *given, size_t n_given,
                                 nlp_task_options *options, nlp_error *err);
/* One option against any table of specs: known key, type, range. NULL values are as if not given.
 */
nlp_status nlp_option_check(const char *of, const nlp_option_spec *specs, size_t n_specs,
                            const nlp_option *option, const nlp_option_spec **spec, nlp_error *err);

/* ---- batch.c: texts through the encoder ---- */
/* A run of tokens that fits the model: a text, or one of several overlapping parts of it. What a
 * task lets nlp_task_run read is said in `places`; nlp_task_encode reads the window as a whole. */
typedef struct nlp_window {
    size_t text;
    const int32_t *ids;
    const uint8_t *type_ids; /* or NULL: zeros */
    uint32_t n_tokens, n_prompt_tokens;
    const uint32_t *places; /* [n_places] numbers of tokens */
    uint32_t n_places;
    float *out; /* what the readout writes */
} nlp_window;

typedef struct nlp_windows { /* growing in the call's scratch; {0} is empty */
    nlp_window *items;
    size_t n, capacity;
} nlp_windows;
nlp_status nlp_windows_push(nlp_task_call *call, nlp_windows *windows, nlp_window window,
                            nlp_error *err);

/* From the hidden states of one window to its numbers. Runs on any thread; scratch is twice
 * nlp_readout_scratch_floats long, and behind that lies what nlp_task_outputs needs. */
typedef nlp_status (*nlp_readout_fn)(const nlp_task_call *call, const nlp_window *window,
                                     const float *hidden, float *scratch, nlp_error *err);

/* Runs windows in units of whole ones on all threads. Bits of a window do not depend on the others
 * or on threads. */
nlp_status nlp_task_run(nlp_task_call *call, const nlp_windows *windows, nlp_readout_fn readout,
                        nlp_error *err);
/* The readout of heads that stand on every token: out [n_places, n_labels] of logits. */
nlp_status nlp_task_read_places(const nlp_task_call *call, const nlp_window *window,
                                const float *hidden, float *scratch, nlp_error *err);

/* Scores of the vocabulary behind one row of hidden states: [n_outputs] inside a readout's scratch.
 * Only where the model's stack has outputs. */
nlp_status nlp_task_outputs(const nlp_task_call *call, const float *row, float *scratch,
                            const float **logits, nlp_error *err);

/* Tokenises texts, runs them and leaves one row [width] a text in *rows: the readout of its window,
 * or the mean over its windows (on_overflow 'chunk'). outputs [n_texts] get status, n_tokens and
 * truncated; a text that failed (on_error 'null') has a row of zeros. */
nlp_status nlp_task_encode(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                           nlp_readout_fn readout, uint32_t width, float **rows,
                           nlp_output *outputs, nlp_error *err);

/* The readout of vectors, by the options. */
nlp_status nlp_task_pool_window(const nlp_task_call *call, const nlp_window *window,
                                const float *hidden, float *scratch, nlp_error *err);

/* NLP_ECORRUPT that names the model where a number is not finite. */
nlp_status nlp_task_check_finite(const nlp_task_call *call, const float *rows, size_t n,
                                 nlp_error *err);

/* Pooled vectors of texts by the options: [n_texts][*dims]. */
nlp_status nlp_task_embed(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                          float **vectors, uint32_t *dims, nlp_output *outputs, nlp_error *err);
/* The same, some hundreds at a time: scratch holds the vectors and no more. */
nlp_status nlp_task_embed_all(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                              float **vectors, uint32_t *dims, nlp_output *outputs, nlp_error *err);
/* Scores (or, with raw, logits) of a classifier, and its logits: [n_texts][2][n_labels].
 * NLP_EUNSUPPORTED where the model has no head. */
nlp_status nlp_task_scores(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                           float **scores, nlp_output *outputs, nlp_error *err);

/* ---- write.c: what the tasks that write share ---- */
/* From the options and what the model's files recommend. */
nlp_status nlp_task_manner(nlp_task_call *call, nlp_manner *manner, nlp_error *err);
/* The stream of random numbers of a prompt. */
uint64_t nlp_task_stream(const nlp_task_call *call, const nlp_text *prompt);
/* Of a schema, the constraint and its scratch; equal texts of a call share them. */
typedef struct nlp_bound {
    nlp_text text;
    const nlp_constraint *constraint;
    nlp_constraint_work *work;
} nlp_bound;
nlp_status nlp_task_bound_by_schema(nlp_task_call *call, nlp_text schema, nlp_bound *bound,
                                    nlp_error *err);
/* By the options choices, schema or grammar; constraint NULL where none is given. */
nlp_status nlp_task_bound(nlp_task_call *call, const nlp_manner *manner, nlp_bound *bound,
                          nlp_error *err);
/* The texts of an option: one, or a JSON array of them. In the call's scratch, copied. */
nlp_status nlp_task_option_texts(nlp_task_call *call, const char *key, const nlp_value *value,
                                 nlp_text **texts, size_t *n, nlp_error *err);
/* Begins a draft: the ids of a prompt or source that fit the model (by on_overflow; *output says what
 * was cut), and its stream of random numbers. What is cut of a decoder's prompt is its beginning. */
nlp_status nlp_task_begin_draft(nlp_task_call *call, const nlp_manner *manner, const nlp_text *text,
                                nlp_draft *draft, nlp_output *output, nlp_error *err);
/* The same for a chat, whose oldest turns are left out where there is no room; text: what chance
 * depends on. NLP_EUNSUPPORTED where the model has no format of chats. */
nlp_status nlp_task_begin_chat(nlp_task_call *call, const nlp_manner *manner,
                               const nlp_chat_request *chat, const nlp_text *text, nlp_draft *draft,
                               nlp_output *output, nlp_error *err);
/* Runs drafts and counts. */
nlp_status nlp_task_write(nlp_task_call *call, const nlp_manner *manner, nlp_draft *drafts,
                          size_t n, nlp_error *err);

/* How a task makes a draft of an input: nlp_task_begin_draft, or its own. */
typedef nlp_status (*nlp_begin_fn)(nlp_task_call *call, const nlp_manner *manner,
                                   const nlp_text *text, nlp_draft *draft, nlp_output *output,
                                   nlp_error *err);
/* The whole of a task with one draft an input, and the columns below. */
#define NLP_WRITTEN_COLUMNS                                                                        \
    {"text", NLP_TYPE_TEXT}, {"ids", NLP_TYPE_IDS}, {                                              \
        "finish", NLP_TYPE_TEXT                                                                    \
    }
nlp_status nlp_task_write_each(nlp_task_call *call, const nlp_request *request, nlp_begin_fn begin,
                               nlp_output *outputs, nlp_error *err);
/* The two halves of its stream. */
nlp_status nlp_task_stream_open(nlp_task_call *call, const nlp_request *request, nlp_begin_fn begin,
                                void **state, nlp_error *err);
nlp_status nlp_task_stream_next(nlp_task_call *call, void *state, nlp_piece *piece, nlp_error *err);

/* ---- choose.c: labels that a decoder chooses from ---- */
/* Whether the model has no labels of its own, but writes. */
bool nlp_task_chooses(const nlp_task_model *model);
typedef struct nlp_label_choice {
    nlp_text text;
    nlp_text condition;     /* for decoders: what may be true of it; NULL: the labels describe it */
    const nlp_text *labels; /* [n] at least one */
    size_t n;
    /* [n] the caller's, made here: probabilities among the labels, and log p, which tells equal ones
     * apart */
    float *scores, *margins;
} nlp_label_choice;
/* All inputs whose status is good; outputs [n] get status, n_tokens and truncated. NLP_EINVAL for a label
 * without tokens, NLP_ELIMIT for one that is too long. */
nlp_status nlp_task_choose(nlp_task_call *call, nlp_label_choice *choices, size_t n,
                           nlp_output *outputs, nlp_error *err);

/* ---- liken.c: labels by the likeness of vectors ---- */
/* Whether the model is one of vectors: no head, no decoder, but pooling. */
bool nlp_task_likens(const nlp_task_model *model);
/* As nlp_task_choose: scores are a softmax over the labels' cosines, or with multi_label, and where a choice
 * has one label, each from 0 to 1 for itself; margins rise with the cosine. With the option hypothesis
 * labels stand in its sentence. A label is embedded once a call. */
nlp_status nlp_task_liken(nlp_task_call *call, nlp_label_choice *choices, size_t n,
                          nlp_output *outputs, nlp_error *err);

/* NLP_EUNSUPPORTED, for the option that asks for such a model, unless it is one. */
nlp_status nlp_task_check_likens(const nlp_task_call *call, const char *option, nlp_error *err);

/* ---- match.c: queries and documents by the vectors of both and of their tokens ---- */
/* Whether a model's token states can be compared: it is one of vectors, which are their means. */
bool nlp_task_matches(const nlp_task_model *model);
typedef struct nlp_match_pairs {
    const nlp_text *queries, *documents; /* [n]; equal queries had best be neighbours */
    size_t n;
    float *scores;       /* [n], 1 for equal texts, made here */
    nlp_output *outputs; /* [n], which get status, n_tokens and truncated */
} nlp_match_pairs;
nlp_status nlp_task_match(nlp_task_call *call, nlp_match_pairs *pairs, nlp_error *err);

/* ---- infer.c: labels by a model of inference ---- */
/* Whether a label says that one text follows from another: "entailment", in any case. */
bool nlp_task_entails(nlp_text label);
/* As nlp_task_liken; NLP_EUNSUPPORTED where the model has no label "entailment". */
nlp_status nlp_task_infer(nlp_task_call *call, nlp_label_choice *choices, size_t n,
                          nlp_output *outputs, nlp_error *err);

/* ---- nearest.c: the sentence of a context nearest to a question ---- */
typedef struct nlp_nearest {
    size_t start, end; /* bytes of the context; end 0: it has no sentence */
    double score;      /* 0 to 1, as nlp_task_liken's for itself */
} nlp_nearest;
/* Of texts [n][question, context] the sentence nearest to the question; found [n] is zeroed by the caller,
 * outputs [n] get status, n_tokens and truncated. NLP_EUNSUPPORTED unless the model is one of vectors. */
nlp_status nlp_task_nearest(nlp_task_call *call, const nlp_text *texts, size_t n,
                            nlp_nearest *found, nlp_output *outputs, nlp_error *err);

/* ---- classify.c ---- */
/* Whether the head's labels are all positive, negative or neutral. */
bool nlp_task_feels(const nlp_head_spec *head);

/* ---- pick.c: a text in fewer of its own sentences ---- */
/* Of texts [n] whole sentences that have max_tokens tokens or fewer together, in their order, a blank
 * between; where not even one fits, the beginning of the best. The model is one of vectors. picked [n], in
 * the call's arena; outputs [n] get status and n_tokens. */
nlp_status nlp_task_pick(nlp_task_call *call, const nlp_text *texts, size_t n, nlp_text *picked,
                         nlp_output *outputs, nlp_error *err);

/* ---- measure.c: how good a classification is ---- */
typedef struct nlp_outcomes {
    const nlp_text *labels; /* [n_labels] */
    uint32_t n_labels;
    const uint32_t *actual, *predicted; /* [n] numbers of labels */
    size_t n;
    const nlp_metric *more; /* [n_more] what the caller knows, behind macro_f1 */
    size_t n_more;
} nlp_outcomes;
/* accuracy, macro_f1, the caller's; recall, precision, f1 and support of every label that occurs; the
 * NLP_MAX_CONFUSIONS most frequent confusions. In arena; a ratio of nothing is 0. */
enum { NLP_MAX_CONFUSIONS = 50 };
nlp_status nlp_task_measure(const nlp_outcomes *o, nlp_arena *arena, nlp_arena *scratch,
                            nlp_metric **metrics, size_t *n_metrics, nlp_error *err);

/* ---- helpers.c ---- */
/* The one of the three above that the model is for, one of NLP_LABEL_SCORERS. */
#define NLP_LABEL_SCORERS (NLP_MODEL_INFERS | NLP_MODEL_CHOOSES | NLP_MODEL_LIKENS)
typedef nlp_status (*nlp_label_scorer)(nlp_task_call *call, nlp_label_choice *choices, size_t n,
                                       nlp_output *outputs, nlp_error *err);
nlp_label_scorer nlp_task_label_scorer(const nlp_task_model *model);
/* One input's part of a task, which may fail: its status goes to outputs[i].status, and ends the
 * call unless on_error is 'null'. Cancel and memory end it always. */
typedef nlp_status (*nlp_each_fn)(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                                  nlp_error *err);
nlp_status nlp_task_each(nlp_task_call *call, size_t n, nlp_each_fn each, void *job,
                         nlp_output *outputs, nlp_error *err);
/* The model's limit, or a lower one that the options name; special tokens included. */
uint32_t nlp_task_token_limit(const nlp_task_call *call);
/* The same for a task that reads a text in windows: 0, none, with 'chunk'. */
uint32_t nlp_task_whole_limit(const nlp_task_call *call);
/* NLP_ELIMIT with both numbers. */
nlp_status nlp_task_over_limit(const nlp_task_call *call, size_t needs, nlp_error *err);
/* Ids of a text or pair (NULL: none), in the call's scratch: at most `limit` of them, or an error, as
 * on_overflow says; limit 0: all of them. Counts them. */
nlp_status nlp_task_tokens_of(nlp_task_call *call, const nlp_text *text, const nlp_text *pair,
                              uint32_t limit, nlp_encoding *encoding, nlp_output *output,
                              nlp_error *err);
/* All tokens of a text but special ones, in the call's scratch; not counted. */
nlp_status nlp_task_plain_tokens(nlp_task_call *call, nlp_text text, nlp_encoding *encoding,
                                 nlp_error *err);
/* Into output and counters. */
void nlp_task_count_tokens(nlp_task_call *call, const nlp_encoding *encoding, nlp_output *output);
/* What n passes for one output needed; the status of the first that failed, which it returns. */
nlp_status nlp_task_sum_up(const nlp_output *parts, size_t n, nlp_output *output);
/* NLP_EUNSUPPORTED that says what the model is not, unless its head is of this kind. */
nlp_status nlp_task_check_head(const nlp_task_call *call, uint32_t head, const char *what,
                               nlp_error *err);

/* Texts of an operand of type NLP_TYPE_TEXTS, in the call's scratch; NLP_EINVAL where the list is
 * not well formed. */
nlp_status nlp_task_list(nlp_task_call *call, const nlp_text *operand, nlp_text **texts, size_t *n,
                         nlp_error *err);
/* Replaces "{name}" of each of n names by its value, in one pass: what stands in a value is not
 * looked at. In the call's scratch. */
typedef struct nlp_blank {
    const char *name;
    nlp_text value;
    size_t n_found, at; /* at: byte of the last one in the result */
} nlp_blank;
nlp_status nlp_task_fill_blanks(nlp_task_call *call, nlp_text pattern, nlp_blank *blanks, size_t n,
                                nlp_text *out, nlp_error *err);
/* Texts behind each other, in the call's scratch. */
nlp_status nlp_task_join(nlp_task_call *call, const nlp_text *parts, size_t n, nlp_text *out,
                         nlp_error *err);
/* Equal texts that stand beside each other are one: their number, those [n], and which of them each is. */
size_t nlp_task_merge_neighbours(const nlp_text *texts, size_t n, nlp_text *distinct,
                                 size_t *which);
/* The pattern with a label in place of {}; NLP_EINVAL unless it has that once. */
nlp_status nlp_task_hypothesis(nlp_task_call *call, nlp_text pattern, nlp_text label, nlp_text *out,
                               nlp_error *err);
/* order [2 n]: its first n are the numbers of scores [n], best first, equal ones in their order; logits
 * [n] tell apart what rounds to the same score. */
void nlp_task_sort(const float *scores, const float *logits, size_t n, uint32_t *order);

/* Bytes to characters: places that mostly rise are counted in one pass over the text. */
typedef struct nlp_ruler {
    nlp_text text;
    size_t at, characters;
} nlp_ruler;
int64_t nlp_characters_before(nlp_ruler *ruler, size_t byte);

/* One row of n cells for output, all NULL values; NULL when out of memory. */
nlp_value *nlp_task_row(nlp_task_call *call, nlp_output *output, uint32_t n_rows,
                        uint32_t n_columns);
nlp_value nlp_value_text(nlp_text text);
nlp_value nlp_value_real(double real);
nlp_value nlp_value_integer(int64_t integer);

/* ---- The built-in tasks, one file each; listed in engine/builtins.c ---- */
extern const nlp_task_vtable nlp_task_embed_text, nlp_task_embed_query, nlp_task_similarity,
    nlp_task_sentiment, nlp_task_sentiment_score, nlp_task_classify, nlp_task_classify_scores,
    nlp_task_confidence, nlp_task_token_count, nlp_task_unknown_count, nlp_task_tokenize,
    nlp_task_tokens, nlp_task_detokenize, nlp_task_would_truncate, nlp_task_entities,
    nlp_task_answer, nlp_task_answer_span, nlp_task_fill_mask, nlp_task_zero_shot,
    nlp_task_zero_shot_scores, nlp_task_rerank_score, nlp_task_rerank, nlp_task_generate,
    nlp_task_translate, nlp_task_chat, nlp_task_summarize, nlp_task_extract, nlp_task_chunk,
    nlp_task_filter;

#endif
