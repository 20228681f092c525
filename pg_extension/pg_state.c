/* pg_state.c: settings (nlp.*), and the one engine and session of this backend. */
#include "pg_batch.h"

#include <unistd.h>

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

static char *model_path, *on_overflow, *backend, *allowed_models;
/* nlp.<task>_model, by the names that the task table has for them */
static struct {
    const char *key, *name, *help;
    char *value;
} model_settings[] = {
    {"embed_model", "nlp.embed_model", "Model of nlp_embed where none is named.", NULL},
    {"sentiment_model", "nlp.sentiment_model", "Model of nlp_sentiment where none is named.", NULL},
    {"classify_model", "nlp.classify_model", "Model of nlp_classify where none is named.", NULL},
    {"zero_shot_model", "nlp.zero_shot_model",
     "Model of nlp_classify with labels where none is named.", NULL},
    {"filter_model", "nlp.filter_model", "Model of nlp_filter where none is named.", NULL},
    {"entities_model", "nlp.entities_model", "Model of nlp_entities where none is named.", NULL},
    {"answer_model", "nlp.answer_model", "Model of nlp_answer where none is named.", NULL},
    {"fill_mask_model", "nlp.fill_mask_model", "Model of nlp_fill_mask where none is named.", NULL},
    {"rerank_model", "nlp.rerank_model", "Model of nlp_rerank where none is named.", NULL},
    {"generate_model", "nlp.generate_model", "Model of nlp_generate where none is named.", NULL},
    {"chat_model", "nlp.chat_model", "Model of nlp_chat where none is named.", NULL},
    {"translate_model", "nlp.translate_model", "Model of nlp_translate where none is named.", NULL},
    {"summarize_model", "nlp.summarize_model", "Model of nlp_summarize where none is named.", NULL},
    {"extract_model", "nlp.extract_model", "Model of nlp_extract where none is named.", NULL},
};
static int threads, max_threads, max_memory_mb, max_generate_tokens, weight_cache;
bool nlp_pg_batch_is_on, nlp_pg_parallel_is_on;
int nlp_pg_batch_tokens;

static nlp_engine *engine;
static nlp_session *session;
static char *engine_backend; /* the one that `engine` was opened with */

static const struct config_enum_entry weight_cache_names[] = {{"auto", NLP_CACHE_AUTO, false},
                                                              {"shm", NLP_CACHE_SHM, false},
                                                              {"file", NLP_CACHE_FILE, false},
                                                              {NULL, 0, false}};

/* ---- Settings ---- */

static bool check_on_overflow(char **value, void **extra, GucSource source) {
    (void)extra, (void)source;
    return !**value || !strcmp(*value, "truncate") || !strcmp(*value, "error") ||
           !strcmp(*value, "chunk");
}

static bool check_backend(char **value, void **extra, GucSource source) {
    (void)extra, (void)source;
    return !**value || !strcmp(*value, "openblas");
}

static void assign_model_path(const char *value, void *extra) {
    (void)extra;
    if (engine) nlp_engine_set_model_path(engine, value, NULL);
}

static void text_setting(const char *name, const char *help, char **variable, const char *fallback,
                         GucContext context, GucStringCheckHook check, GucStringAssignHook assign) {
    DefineCustomStringVariable(name, help, NULL, variable, fallback, context, 0, check, assign,
                               NULL);
}

void nlp_pg_settings_init(void) {
    /* PGC_SIGHUP, not PGC_POSTMASTER: a library that loads on first use can't have a postmaster
     * setting */
    text_setting("nlp.model_path", "Folders of model packs, ':' between them.", &model_path,
                 NLP_INSTALLED_MODELS, PGC_SIGHUP, NULL, assign_model_path);
    for (size_t i = 0; i < lengthof(model_settings); i++)
        text_setting(model_settings[i].name, model_settings[i].help, &model_settings[i].value, "",
                     PGC_USERSET, NULL, NULL);
    text_setting("nlp.on_overflow",
                 "What a text over the token limit gets: truncate, error or chunk.", &on_overflow,
                 "", PGC_USERSET, check_on_overflow, NULL);
    text_setting("nlp.backend", "Compute backend where no model is named: '' or openblas.",
                 &backend, "", PGC_USERSET, check_backend, NULL);
    text_setting("nlp.allowed_models",
                 "Models that may be used, commas between them; '' allows all.", &allowed_models,
                 "", PGC_SUSET, NULL, NULL);
    DefineCustomBoolVariable("nlp.batch", "Run the calls of many rows together.", NULL,
                             &nlp_pg_batch_is_on, true, PGC_USERSET, 0, NULL, NULL, NULL);
    DefineCustomBoolVariable("nlp.parallel", "Plan workers for small tables, too.", NULL,
                             &nlp_pg_parallel_is_on, true, PGC_USERSET, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("nlp.batch_tokens", "Tokens of texts that go through a model together.",
                            NULL, &nlp_pg_batch_tokens, 16384, 1, 1 << 24, PGC_USERSET, 0, NULL,
                            NULL, NULL);
    DefineCustomIntVariable("nlp.threads", "Threads of one call.", NULL, &threads, 1, 1, 256,
                            PGC_USERSET, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("nlp.max_threads", "Limit of nlp.threads.", NULL, &max_threads, 8, 1,
                            256, PGC_SUSET, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("nlp.max_memory", "Scratch memory of one backend.", NULL,
                            &max_memory_mb, 1024, 1, 1 << 20, PGC_SUSET, GUC_UNIT_MB, NULL, NULL,
                            NULL);
    DefineCustomIntVariable("nlp.max_generate_tokens",
                            "The most tokens of one text that is written.", NULL,
                            &max_generate_tokens, 4096, 1, 1 << 24, PGC_SUSET, 0, NULL, NULL, NULL);
    DefineCustomEnumVariable("nlp.weight_cache", "Where weights lie: auto, shm or file.", NULL,
                             &weight_cache, NLP_CACHE_AUTO, weight_cache_names, PGC_SUSET, 0, NULL,
                             NULL, NULL);
    MarkGUCPrefixReserved("nlp");
}

/* ---- Engine and session ---- */

static void open_engine(void) {
    nlp_engine_options options;
    nlp_error err;
    nlp_engine_options_init(&options);
    options.model_path = model_path;
    options.builtin_path = access(NLP_INSTALLED_MODELS "/catalogue.json", R_OK) == 0
                               ? NLP_INSTALLED_MODELS
                               : NLP_SOURCE_MODELS;
    options.weight_cache = (nlp_weight_cache)weight_cache;
    options.backend = backend;
    options.path_setting = "nlp.model_path";
    engine_backend = MemoryContextStrdup(TopMemoryContext, backend);
    nlp_pg_check(nlp_engine_open(&options, &engine, &err), &err);
    nlp_isa_problem(err.message, sizeof err.message);
    if (*err.message) ereport(WARNING, errmsg("%s", err.message));
}

nlp_engine *nlp_pg_engine(void) {
    if (!engine) open_engine();
    nlp_engine_set_limits(engine, (uint32_t)Min(threads, max_threads), (size_t)max_memory_mb << 20);
    nlp_engine_set_weight_cache(engine, (nlp_weight_cache)weight_cache);
    return engine;
}

nlp_session *nlp_pg_session(void) {
    nlp_error err;
    if (!session) nlp_pg_check(nlp_session_open(nlp_pg_engine(), &session, &err), &err);
    return session;
}

static bool should_stop(void *context) {
    (void)context;
    return InterruptPending && (QueryCancelPending || ProcDiePending);
}

nlp_stop nlp_pg_stop(void) {
    return (nlp_stop){.should_stop = should_stop};
}

char *nlp_pg_default_model(const nlp_task_spec *task, const nlp_text *operands,
                           const nlp_option *options, size_t n_options) {
    char *name = palloc(NLP_MODEL_NAME_BYTES);
    const char *set = "";
    nlp_error err;
    for (size_t i = 0; i < lengthof(model_settings); i++)
        if (task->model_setting && !strcmp(task->model_setting, model_settings[i].key))
            set = model_settings[i].value;
    nlp_pg_check(nlp_task_default_model(task, set, operands, options, n_options, name, &err), &err);
    return name;
}

const char *nlp_pg_on_overflow(void) {
    return on_overflow;
}
int nlp_pg_max_generate_tokens(void) {
    return max_generate_tokens;
}
size_t nlp_pg_scratch_bytes(void) {
    return session ? nlp_session_scratch_bytes(session) : 0;
}

static uint64 of_workers[NLP_PG_COUNTERS];

void nlp_pg_counters(uint64 counters[NLP_PG_COUNTERS]) {
    nlp_counters k;
    nlp_engine_get_counters(nlp_pg_engine(), &k);
    uint64 own[NLP_PG_COUNTERS] = {k.calls,     k.inputs,         k.forward_passes, k.tokens,
                                   k.truncated, k.unknown_tokens, k.errors,         k.canceled};
    for (int i = 0; i < NLP_PG_COUNTERS; i++) counters[i] = own[i] + of_workers[i];
}
void nlp_pg_count(int i, uint64 more) {
    of_workers[i] += more;
}
bool nlp_pg_equal_bits(void) {
    return !engine_backend || !*engine_backend;
}

/* nlp.allowed_models: names with commas; pg_models.c asks. */
bool nlp_pg_model_allowed(const char *name);
bool nlp_pg_model_allowed(const char *name) {
    size_t n = strcspn(name, "@");
    if (!*allowed_models) return true;
    for (const char *at = allowed_models; *at; at += strspn(at, ", ")) {
        size_t length = strcspn(at, ", ");
        if (length == n && !strncmp(at, name, n)) return true;
        at += length;
    }
    return false;
}
