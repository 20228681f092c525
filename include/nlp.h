/* nlp.h: the application interface of nlp, transformers inside databases.
 *
 * An *engine* knows where packs lie and keeps opened models. A *model* is an opened pack:
 * read-only, shared by every process of the machine. A *session* owns the scratch memory of one
 * thread of work. A *task* (embed, sentiment, ...) is described by one nlp_task_spec, from which
 * every adapter makes its SQL functions and the command line its commands.
 *
 *     nlp_engine *engine;
 *     nlp_model *model;
 *     nlp_session *session;
 *     const nlp_result *result;
 *     nlp_error err;
 *     nlp_engine_options options;
 *     nlp_engine_options_init(&options);
 *     options.model_path = "/usr/share/nlp/models";
 *     nlp_engine_open(&options, &engine, &err);
 *     nlp_model_open(engine, "minilm", NULL, &model, &err);
 *     nlp_session_open(engine, &session, &err);
 *     nlp_text text = {"how long does the battery last?", 31};
 *     nlp_request request = {.struct_size = sizeof request, .model = model, .texts = &text,
 *                            .task = nlp_task_find(engine, "embed"), .n_inputs = 1};
 *     nlp_session_run(session, &request, &result, &err);
 *     use(result->outputs[0].cells[0].as.vector, result->outputs[0].cells[0].n);
 *
 * Rules that hold everywhere: errors are values (nlp_status, with a text in the caller's nlp_error,
 * which may be NULL); nothing here prints, aborts, exits, jumps or installs a handler; structs
 * begin with struct_size and grow at the end; strings passed in are borrowed for the call. "Any
 * thread" means that calls on one object may run at the same time; "one thread" means that the
 * caller keeps calls on that object apart. */
#ifndef NLP_H
#define NLP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NLP_API __attribute__((visibility("default")))
#else
#define NLP_API
#endif

#define NLP_VERSION "0.1.0"

/* ---- Status and error
 *
 * One list makes the enum, the SQLSTATE table of PostgreSQL, the result codes of SQLite and
 * docs/errors.md. Numbers are pinned. Columns: name, number, SQLSTATE, SQLite result code (its
 * number in sqlite3.h), meaning. */
#define NLP_STATUS_MAP(X)                                                                          \
    X(NLP_OK, 0, "00000", 0, "done")                                                               \
    X(NLP_ECANCELED, 1, "57014", 9, "the caller asked to stop")                                    \
    X(NLP_ENOMEM, 2, "53200", 7, "memory is not to be had, or a memory limit is reached")          \
    X(NLP_EINVAL, 3, "22023", 1, "an argument or option is wrong")                                 \
    X(NLP_ENOMODEL, 4, "42704", 1, "no such model")                                                \
    X(NLP_ELIMIT, 5, "54000", 18, "a text or request is over a limit")                             \
    X(NLP_ENOFILE, 6, "58P01", 1, "a file is missing")                                             \
    X(NLP_ECORRUPT, 7, "XX001", 11, "a pack or file is damaged")                                   \
    X(NLP_EMISMATCH, 8, "55000", 1,                                                                \
      "two things that must belong together do not: model and base, index and model")              \
    X(NLP_EENCODING, 9, "22021", 1, "a text is not valid UTF-8")                                   \
    X(NLP_EIO, 10, "58030", 1, "reading or writing failed")                                        \
    X(NLP_EDENIED, 11, "42501", 1, "the caller may not do this")                                   \
    X(NLP_EUNSUPPORTED, 12, "0A000", 1, "not supported by this model, pack or build")              \
    X(NLP_EINTERNAL, 13, "XX000", 1, "a mistake of nlp itself")

typedef enum nlp_status {
#define NLP_STATUS_ENUM(name, number, sqlstate, sqlite, meaning) name = number,
    NLP_STATUS_MAP(NLP_STATUS_ENUM)
#undef NLP_STATUS_ENUM
} nlp_status;

/* Lives in the caller's memory; reporting allocates nothing. message names the thing and both
 * numbers, never row text; hint says what to type next, and is "" where there is nothing to say. */
typedef struct nlp_error {
    nlp_status code;
    char message[352];
    char hint[256];
} nlp_error;

/* Five letters of SQLSTATE, SQLite's result code, the name ("NLP_EINVAL") and the meaning of a
 * status. Any thread. */
NLP_API const char *nlp_status_sqlstate(nlp_status status);
NLP_API int nlp_status_sqlite(nlp_status status);
NLP_API const char *nlp_status_name(nlp_status status);
NLP_API const char *nlp_status_meaning(nlp_status status);

/* Asked at least every millisecond of work; true ends the call with NLP_ECANCELED. Runs on the
 * calling thread only. Must not jump, throw or call back into nlp. */
typedef struct nlp_stop {
    bool (*should_stop)(void *context);
    void *context;
} nlp_stop;

/* ---- Values ---- */
typedef enum nlp_type {
    NLP_TYPE_NULL = 0,
    NLP_TYPE_TEXT = 1,    /* as.text, n bytes of UTF-8, not terminated */
    NLP_TYPE_REAL = 2,    /* as.real; SQL `real`, a float32 kept in a double */
    NLP_TYPE_INTEGER = 3, /* as.integer */
    NLP_TYPE_BOOLEAN = 4, /* as.boolean */
    NLP_TYPE_VECTOR = 5,  /* as.vector, n float32 */
    NLP_TYPE_IDS = 6,     /* as.ids, n token ids */
    NLP_TYPE_TEXTS = 7, /* of operands: texts in one nlp_text, each ended by a byte 0; of options: a
                           * text, or JSON that is an array of texts */
    NLP_TYPE_JSON = 8   /* only of options: as.text, a JSON array or object */
} nlp_type;

typedef struct nlp_text {
    const char *bytes; /* UTF-8, need not end in 0; NULL is a NULL value and gives a NULL result */
    size_t n_bytes;
} nlp_text;

typedef struct nlp_value {
    nlp_type type;
    uint32_t n;
    union {
        const char *text;
        double real;
        int64_t integer;
        bool boolean;
        const float *vector;
        const int32_t *ids;
    } as;
} nlp_value;

/* ---- Tasks: one table for PostgreSQL, SQLite and the command line ---- */
typedef struct nlp_column {
    const char *name; /* also the SQL argument or column name */
    nlp_type type;
} nlp_column;

typedef struct nlp_option_spec {
    const char *key;           /* options key; `--max-tokens` on the command line */
    nlp_type type;             /* TEXT, REAL, INTEGER, BOOLEAN, TEXTS or JSON */
    const char *values;        /* TEXT: the allowed values, "truncate|error|chunk"; NULL: any */
    double min, max;           /* REAL, INTEGER: the allowed range, both ends included */
    const char *default_value; /* as text; NULL: the model decides */
    const char *help;          /* half a sentence */
} nlp_option_spec;

typedef struct nlp_option {
    const char *key;
    nlp_value value;
} nlp_option;

typedef struct nlp_task_spec {
    uint32_t struct_size;
    const char *name; /* "sentiment_score"; its SQL function is nlp_sentiment_score */
    const char *help; /* one sentence */
    const nlp_column *operands;
    uint32_t n_operands;
    const nlp_column *columns; /* a scalar task has one column and one row per input */
    uint32_t n_columns;
    bool returns_rows;         /* any number of rows per input */
    const char *model_setting; /* that names its model: "embed_model" is nlp.embed_model */
    const char *default_model; /* the starter where the setting is empty; NULL: there is none */
    const nlp_option_spec *options;
    uint32_t n_options;
    uint32_t n_shown_columns; /* in SQL, the first ones; 0: all. Those behind are for programs */
    const char *tunable;      /* option that a number behind the operands sets in SQL, or NULL */
    /* The starter of one call, where that depends on its operands or options, which may be any and are
     * not checked yet; NULL, also as its answer: default_model. */
    const char *(*starter)(const nlp_text *operands /* or NULL */, const nlp_option *options,
                           size_t n_options);
} nlp_task_spec;

/* ---- Engine ---- */
typedef struct nlp_engine nlp_engine;
typedef struct nlp_model nlp_model;
typedef struct nlp_session nlp_session;

typedef enum nlp_weight_cache {
    NLP_CACHE_AUTO = 0,
    NLP_CACHE_SHM = 1,
    NLP_CACHE_FILE = 2
} nlp_weight_cache;

/* The only allocator nlp uses: old == NULL allocates, new_bytes == 0 frees, else resizes. Returns
 * NULL when out of memory; must not jump. */
typedef void *(*nlp_alloc_fn)(void *context, void *old, size_t old_bytes, size_t new_bytes);

typedef struct nlp_engine_options {
    uint32_t struct_size;
    const char *model_path;   /* folders, ':' between them, first match wins; NULL: builtin_path */
    const char *builtin_path; /* of the task packs that came along, searched last; may be NULL */
    nlp_weight_cache weight_cache; /* default NLP_CACHE_AUTO */
    uint32_t threads;              /* threads of one session, default 1 */
    /* scratch bytes of one session, default 1 GiB; more is NLP_ENOMEM with both numbers */
    size_t max_memory;
    /* for tests: highest kernel level, 0 none .. ; default 0xffffffff = what the CPU has */
    uint32_t isa_mask;
    const char *backend;      /* "" (own kernels, equal bits everywhere) or "openblas" */
    const char *path_setting; /* how messages call the model path: "nlp.model_path" ... */
    nlp_alloc_fn alloc;       /* NULL: malloc */
    void *alloc_context;
} nlp_engine_options;

NLP_API void nlp_engine_options_init(nlp_engine_options *options);

/* Opens no file and starts no thread. Close models and sessions first. Any thread. */
NLP_API nlp_status nlp_engine_open(const nlp_engine_options *options, nlp_engine **engine,
                                   nlp_error *err);
NLP_API void nlp_engine_close(nlp_engine *engine); /* NULL is allowed */

/* Changes apply to the models opened afterwards, and to the next run of a session. Any thread. */
NLP_API nlp_status nlp_engine_set_model_path(nlp_engine *engine, const char *model_path,
                                             nlp_error *err);
NLP_API void nlp_engine_set_limits(nlp_engine *engine, uint32_t threads, size_t max_memory);
NLP_API void nlp_engine_set_weight_cache(nlp_engine *engine, nlp_weight_cache weight_cache);

/* The task table, in a fixed order; static memory. nlp_task_find returns NULL for an unknown name.
 * Any thread. */
NLP_API size_t nlp_task_count(const nlp_engine *engine);
NLP_API const nlp_task_spec *nlp_task_at(const nlp_engine *engine, size_t index);
NLP_API const nlp_task_spec *nlp_task_find(const nlp_engine *engine, const char *name);
/* The model of a call that names none: `set`, the value of the task's setting, unless it is NULL or
 * "", else its starter; a starter "en-*" stands for all languages: the second operand takes the place
 * of '*', the option "source" that of "en". NLP_ENOMODEL where there is neither, with the setting and
 * the import to type. Any thread. */
#define NLP_MODEL_NAME_BYTES 160
NLP_API nlp_status nlp_task_default_model(const nlp_task_spec *task, const char *set,
                                          const nlp_text *operands /* or NULL */,
                                          const nlp_option *options, size_t n_options,
                                          char name[NLP_MODEL_NAME_BYTES], nlp_error *err);

/* ---- Models ---- */
/* Finds NAME.nlp in the model path (name: [a-z0-9_.-]{1,63}, optionally '@' and >= 8 hex digits of
 * its SHA-256), maps it once per engine and counts references; a changed file under the same name
 * is seen at the next open. A head's base is opened with it. Unknown: NLP_ENOMODEL, the hint is the
 * `nlp pull` to type. Any thread. */
NLP_API nlp_status nlp_model_open(nlp_engine *engine, const char *name, const nlp_stop *stop,
                                  nlp_model **model, nlp_error *err);
/* The same by a path instead of a name: command line and importer only, never SQL. */
NLP_API nlp_status nlp_model_open_file(nlp_engine *engine, const char *path, const nlp_stop *stop,
                                       nlp_model **model, nlp_error *err);
/* A pack in the caller's memory (a head that lies in a database table). The bytes are copied,
 * checked and hashed. */
NLP_API nlp_status nlp_model_open_bytes(nlp_engine *engine, const char *name, const void *pack,
                                        size_t pack_bytes, const nlp_stop *stop, nlp_model **model,
                                        nlp_error *err);
/* NULL is allowed; the mapping may stay cached in the engine */
NLP_API void nlp_model_close(nlp_model *model);

typedef struct nlp_model_info {
    uint32_t struct_size;
    const char *name, *family, *precision;                 /* "minilm", "bert", "i8" */
    const char *tasks, *languages, *licence, *description; /* comma-separated lists, free text */
    /* lower-case hex of the pack's SHA-256; base_digest "" for a full pack */
    char digest[65], base_digest[65];
    uint32_t dims, max_tokens, n_labels, vocabulary, layers, hidden_size;
    const char *const *labels; /* n_labels strings, or NULL */
    uint64_t file_bytes;
    const char *backing; /* "shm", "file", "private", or "" when only listed and not opened */
    uint32_t processes;  /* that map it on this machine, as far as this user can see; 0 unknown */
    const char *path;    /* of its file, "" for bytes */
    /* "" or why it can't be opened (a listed model whose base is missing ...) */
    const char *problem;
} nlp_model_info;

/* Strings are borrowed: valid while the model is open, or during the callback. Any thread. To know which processes
 * map it takes milliseconds: a struct_size of offsetof(nlp_model_info, backing) leaves that out, and what follows. */
NLP_API void nlp_model_get_info(const nlp_model *model, nlp_model_info *info);
/* The digest alone, at once: what else is known is gathered, processes from all that this user can see. */
NLP_API const char *nlp_model_digest(const nlp_model *model);
/* Visits every pack of the model path, by header only; stops when visit returns false. */
NLP_API nlp_status nlp_model_list(nlp_engine *engine,
                                  bool (*visit)(void *context, const nlp_model_info *info),
                                  void *context, nlp_error *err);

/* ---- Running tasks ---- */
typedef struct nlp_request {
    uint32_t struct_size;
    const nlp_task_spec *task;
    nlp_model *model;
    const nlp_text *texts; /* [n_inputs][n_operands] TEXT operands; IDS operands go through ids */
    const nlp_value *ids;  /* [n_inputs], for tasks whose operand is IDS (detokenize); else NULL */
    size_t n_inputs;
    /* checked against the task's table: an unknown key lists the known ones */
    const nlp_option *options;
    size_t n_options;
    nlp_stop stop; /* should_stop may be NULL */
} nlp_request;

typedef struct nlp_output {
    nlp_status status; /* not NLP_OK only with on_error 'null': cells are NULL values then */
    uint32_t n_rows;
    const nlp_value *cells; /* [n_rows][task->n_columns] */
    double score;           /* sentiment: -1 .. 1; of a label or an answer; NaN for other tasks */
    uint32_t n_tokens;      /* of the input, special tokens included, after truncation */
    bool truncated;
    uint32_t n_unknown; /* tokens of what the vocabulary can't spell, before truncation */
} nlp_output;

typedef struct nlp_result {
    size_t n_inputs;
    const nlp_output *outputs; /* [n_inputs], in input order */
    uint64_t n_tokens, n_truncated;
    uint64_t n_reused; /* inputs that are equal to an earlier one, which was computed for both */
} nlp_result;

/* A session is used by one thread at a time; it grows its scratch to what a request plans, and between
 * requests keeps little of it. */
NLP_API nlp_status nlp_session_open(nlp_engine *engine, nlp_session **session, nlp_error *err);
NLP_API void nlp_session_close(nlp_session *session); /* NULL is allowed */
/* The result and all it points to belong to the session and live until its next run or close. Batch
 * composition never changes a bit of an output. The caller's rounding and flush-to-zero modes are
 * set aside and restored. */
NLP_API nlp_status nlp_session_run(nlp_session *session, const nlp_request *request,
                                   const nlp_result **result, nlp_error *err);
/* One row of an output, cells [task->n_columns], as JSON text: the value of a scalar task, else an object of
 * the columns that SQL shows. Writes at most `capacity` bytes, without a 0 behind them, and returns how many
 * there are in all, as snprintf does. Any thread. */
NLP_API size_t nlp_row_json(const nlp_task_spec *task, const nlp_value *cells, char *json,
                            size_t capacity);
/* The most bytes that the session has held at once. */
NLP_API size_t nlp_session_scratch_bytes(const nlp_session *session);
/* ---- Streams: a text of a task that writes, as its tokens are made ---- */
typedef struct nlp_stream nlp_stream;
typedef struct nlp_piece {
    nlp_text text; /* whole characters, maybe none; until the next call */
    uint32_t step; /* of its token, from 1 */
    bool done;     /* it was the last one */
} nlp_piece;

/* A request of one input that is not NULL. Nothing of it but the model must outlive this call: that
 * stays open as long as the stream. NLP_EUNSUPPORTED where the task does not stream. A stream is used
 * by one thread at a time and has memory of its own, under the engine's limits. */
NLP_API nlp_status nlp_stream_open(nlp_engine *engine, const nlp_request *request,
                                   nlp_stream **stream, nlp_error *err);
/* The next token's piece; all pieces in order are the text that a run gives. After the last one, and
 * after an error, only closing is possible. */
NLP_API nlp_status nlp_stream_next(nlp_stream *stream, const nlp_stop *stop, nlp_piece *piece,
                                   nlp_error *err);
NLP_API void nlp_stream_close(nlp_stream *stream); /* NULL is allowed */

/* Fails with the same words as a run would, without running: for adapters that check options once a
 * statement. */
NLP_API nlp_status nlp_options_check(const nlp_task_spec *task, const nlp_option *options,
                                     size_t n_options, nlp_error *err);

/* Tensors of one pass over given ids, in order: "layer" 0 .. L (0: the embeddings), each product's input
 * by its name, of a decoder "logits", of a seq2seq its first step's and "copy": those of each id as an
 * answer to all. rows [n_rows, width] is borrowed. For tests and calibration. type_ids may be NULL. */
typedef void (*nlp_trace_fn)(void *context, const char *point, uint32_t layer, const float *rows,
                             size_t n_rows, size_t width);
NLP_API nlp_status nlp_session_trace(nlp_session *session, nlp_model *model, const int32_t *ids,
                                     const uint8_t *type_ids, size_t n_ids, const nlp_stop *stop,
                                     nlp_trace_fn trace, void *context, nlp_error *err);

/* How a text goes on from given ids, for tests: options are those of the task "generate", the limit of
 * tokens max_new. NLP_EUNSUPPORTED where the model can't write. What is made belongs to the session,
 * until its next call. */
typedef struct nlp_continuation {
    const int32_t *ids; /* [n_ids] the prompt of a decoder, or the source of a seq2seq */
    size_t n_ids, max_new;
    const nlp_option *options;
    size_t n_options;
    const uint32_t *ends; /* [n_ends] ids that end it in place of the model's own; NULL: its own */
    size_t n_ends;
    uint32_t forced_first; /* id + 1 of a seq2seq's first token; 0: the model's own */
    float *gaps; /* [max_new] distance between the two best scores of each step, or NULL */
    bool wants_probabilities;   /* of the first token only, at a temperature */
    const float *probabilities; /* [n_probabilities] by id */
    size_t n_probabilities;
    const int32_t *made; /* [n_made] tokens, an end token included */
    size_t n_made;
    nlp_text text; /* without special tokens */
    double score;  /* of a search */
} nlp_continuation;
NLP_API nlp_status nlp_session_continue(nlp_session *session, nlp_model *model,
                                        nlp_continuation *continuation, const nlp_stop *stop,
                                        nlp_error *err);

/* ---- Vectors
 *
 * Cosine in the fixed order of 16 lanes. NaN or infinity in a vector, unequal lengths, length 0:
 * NLP_EINVAL. A zero vector has cosine 0 with everything. Any thread. */
NLP_API nlp_status nlp_vector_cosine(const float *a, size_t n_a, const float *b, size_t n_b,
                                     double *cosine, nlp_error *err);

/* ---- Fitting: a small head on frozen vectors
 *
 * Trains a head on `base` from n (text, label) pairs and writes a task pack that names its base by
 * digest. Same texts, labels, options and base give the same bytes on every machine. Option keys:
 * nlp_fit_options_spec(). */
typedef struct nlp_metric {
    const char *name; /* "accuracy", "macro_f1", "recall:negative", "confusion:a -> b" ... */
    double value;
} nlp_metric;

typedef struct nlp_fit_result {
    const void *pack; /* the task pack, pack_bytes long; lives as a result of the session does */
    size_t pack_bytes;
    const nlp_metric *metrics; /* of the held-out part */
    size_t n_metrics;
} nlp_fit_result;

NLP_API const nlp_option_spec *nlp_fit_options_spec(size_t *n_options);
NLP_API nlp_status nlp_fit(nlp_session *session, nlp_model *base, const char *name,
                           const nlp_text *texts, const nlp_text *labels, size_t n,
                           const nlp_option *options, size_t n_options, const nlp_stop *stop,
                           nlp_fit_result *result, nlp_error *err);

/* ---- Distilling: a head that answers as a slow model does
 *
 * A sample of texts is labelled by a teacher, as the task zero_shot does it, and a head is fitted on `base`
 * from that, as by nlp_fit. Texts come in portions of any size; those with the smallest SHA-256 are the
 * sample, equal ones counted once, so it does not depend on their order, and no other text is kept. Option
 * keys: nlp_distill_options_spec(), which has those of fitting, and of the teacher. The models stay open as
 * long as the distillation, which is used by one thread at a time and has memory of its own, under the
 * engine's limits. */
typedef struct nlp_distillation nlp_distillation;
typedef struct nlp_distill_request {
    uint32_t struct_size;
    const char *name; /* of the pack */
    nlp_model *teacher, *base;
    nlp_text labels;           /* as an operand of type NLP_TYPE_TEXTS: each ended by a byte 0 */
    const nlp_option *options; /* teacher and base among them only name what is given above */
    size_t n_options;
} nlp_distill_request;

NLP_API const nlp_option_spec *nlp_distill_options_spec(size_t *n_options);
/* What the option "teacher" or "base" says, for those who open the models; "" where it is not given. */
NLP_API nlp_status nlp_distill_model_name(const nlp_option *options, size_t n_options,
                                          const char *key, char *name, size_t name_bytes,
                                          nlp_error *err);
/* Copies what it needs of the request. NLP_EINVAL for a wrong option, for fewer than 2 labels, empty and
 * equal ones, for a base that is a task pack; NLP_ENOMODEL for a name that a pack can't have. */
NLP_API nlp_status nlp_distill_open(nlp_engine *engine, const nlp_distill_request *request,
                                    nlp_distillation **distillation, nlp_error *err);
/* NLP_EINVAL for a text that is NULL. After an error, only closing is possible. */
NLP_API nlp_status nlp_distill_add(nlp_distillation *distillation, const nlp_text *texts, size_t n,
                                   const nlp_stop *stop, nlp_error *err);
/* Labels, fits and judges. Metrics: agreement (of head and teacher over the held-out texts), rows_seen,
 * rows_sampled, then nlp_fit's. NLP_EINVAL, and no pack, where the agreement is lower than the option
 * min_agreement, where there are too few held-out texts to judge by, or all texts got one label. The result
 * lives until the distillation is closed, which alone is possible afterwards. */
NLP_API nlp_status nlp_distill_finish(nlp_distillation *distillation, const nlp_stop *stop,
                                      nlp_fit_result *result, nlp_error *err);
NLP_API void nlp_distill_close(nlp_distillation *distillation); /* NULL is allowed */

/* ---- Evaluating: a model's labels against those that texts have
 *
 * Texts come in portions of any size; of each, two numbers are kept. The model stays open as long as
 * the evaluation, which is used by one thread at a time and has memory of its own, under the engine's
 * limits. NLP_EUNSUPPORTED where the model has no labels of its own. */
typedef struct nlp_evaluation nlp_evaluation;
NLP_API nlp_status nlp_evaluation_open(nlp_engine *engine, nlp_model *model,
                                       nlp_evaluation **evaluation, nlp_error *err);
/* Classifies n more texts; nothing of them is kept. NLP_EINVAL for one without text or label, or with
 * a label that the model does not know: the message names some of those, the hint some of the
 * model's. After an error, only closing is possible. */
NLP_API nlp_status nlp_evaluation_add(nlp_evaluation *evaluation, const nlp_text *texts,
                                      const nlp_text *labels, size_t n, const nlp_stop *stop,
                                      nlp_error *err);
/* Metrics of all texts so far, named as nlp_fit's; they live until the next call. NLP_EINVAL where
 * there are no texts. */
NLP_API nlp_status nlp_evaluation_finish(nlp_evaluation *evaluation, const nlp_metric **metrics,
                                         size_t *n_metrics, nlp_error *err);
NLP_API void nlp_evaluation_close(nlp_evaluation *evaluation); /* NULL is allowed */

/* ---- Weight cache (one segment per pack in shared memory) ---- */
typedef struct nlp_cache_entry {
    const char *name;   /* of the segment */
    const char *models; /* names of packs in the model path with this digest, comma-separated */
    const char *state;  /* "ready" "building" "dead" "orphan" "stale" "foreign" */
    char digest[65];    /* "" where it can't be known */
    uint64_t bytes;
    uint32_t processes;
    int64_t age_seconds;
} nlp_cache_entry;

NLP_API nlp_status nlp_cache_list(nlp_engine *engine,
                                  bool (*visit)(void *context, const nlp_cache_entry *entry),
                                  void *context, nlp_error *err);
NLP_API nlp_status nlp_cache_warm(nlp_engine *engine, const char *name, const nlp_stop *stop,
                                  nlp_error *err);
/* Hashes pack file and segment again; name NULL: every model of the path. */
NLP_API nlp_status nlp_cache_verify(nlp_engine *engine, const char *name, const nlp_stop *stop,
                                    nlp_error *err);
/* Removes dead, orphan and stale segments, with `all` also ready ones; visit sees each. */
NLP_API nlp_status nlp_cache_prune(nlp_engine *engine, bool all, bool dry_run,
                                   bool (*visit)(void *context, const nlp_cache_entry *entry),
                                   void *context, nlp_error *err);
NLP_API nlp_status nlp_cache_drop(nlp_engine *engine, const char *name, nlp_error *err);

/* ---- What it is and what it has done ---- */
typedef struct nlp_counters {
    uint32_t struct_size;
    uint64_t calls, inputs, forward_passes, tokens, truncated, unknown_tokens, errors, canceled;
} nlp_counters;

NLP_API void nlp_engine_get_counters(const nlp_engine *engine, nlp_counters *counters);
/* "0.1.0", and one line with ISA level, compiler, backend, numerics. Static or engine-owned.
 * Any thread. */
NLP_API const char *nlp_version(void);
NLP_API const char *nlp_build_info(const nlp_engine *engine);
/* Why the environment's NLP_ISA is not what runs ("NLP_ISA=amx is above this CPU ..."); an empty text if
 * it is, or is not set. For a warning, once. Any thread. */
NLP_API void nlp_isa_problem(char *message, size_t size);

#ifdef __cplusplus
}
#endif
#endif
