/* sqlite_settings.c: the engine of this process and its settings (nlp_config). $NLP_MODEL_PATH,
 * else the installed folder and the user's own. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sqlite_nlp.h"

typedef struct setting {
    const char *key;
    char value[1024];
} setting;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static nlp_engine *engine; /* under lock; lives as long as the process */
static setting settings[] = {
    {"model_path", ""},      {"embed_model", ""},     {"sentiment_model", ""},
    {"classify_model", ""},  {"entities_model", ""},  {"answer_model", ""},
    {"fill_mask_model", ""}, {"rerank_model", ""},    {"generate_model", ""},
    {"chat_model", ""},      {"translate_model", ""}, {"summarize_model", ""},
    {"extract_model", ""},   {"zero_shot_model", ""}, {"filter_model", ""},
    {"on_overflow", ""},     {"threads", ""},         {"max_memory", ""},
    {"weight_cache", ""},    {"backend", ""}};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

static setting *find(const char *key) {
    for (int i = 0; i < N_SETTINGS; i++)
        if (!strcmp(settings[i].key, key)) return &settings[i];
    return NULL;
}

const char *nlp_sqlite_setting_at(int index) {
    return index < N_SETTINGS ? settings[index].key : NULL;
}

const char *nlp_sqlite_setting(const char *key) {
    const setting *s = find(key);
    return s ? s->value : "";
}

static void default_path(char *out, size_t n) {
    const char *path = getenv("NLP_MODEL_PATH"), *home = getenv("HOME");
    if (path && *path)
        snprintf(out, n, "%s", path);
    else
        snprintf(out, n, "%s:%s/.local/share/nlp/models", NLP_INSTALLED_MODELS,
                 home ? home : "/nonexistent");
}

static void open_engine(nlp_error *err) {
    nlp_engine_options options;
    char problem[160];
    nlp_engine_options_init(&options);
    default_path(find("model_path")->value, sizeof settings->value);
    options.model_path = find("model_path")->value;
    options.builtin_path = access(NLP_INSTALLED_MODELS "/catalogue.json", R_OK) == 0
                               ? NLP_INSTALLED_MODELS
                               : NLP_SOURCE_MODELS;
    options.path_setting = "the model path (NLP_MODEL_PATH, nlp_config('model_path'))";
    if (nlp_engine_open(&options, &engine, err) != NLP_OK) engine = NULL;
    nlp_isa_problem(problem, sizeof problem);
    if (*problem) sqlite3_log(SQLITE_WARNING, "%s", problem);
}

/* One a process: connections of one program share models, threads and the weight cache. */
nlp_engine *nlp_sqlite_engine(nlp_error *err) {
    pthread_mutex_lock(&lock);
    if (!engine) open_engine(err);
    pthread_mutex_unlock(&lock);
    return engine;
}

static nlp_status bad(nlp_error *err, const char *key, const char *wants) {
    snprintf(err->message, sizeof err->message, "nlp_config: %s takes %s", key, wants);
    err->hint[0] = 0;
    return err->code = NLP_EINVAL;
}

/* What a new value means for the engine; checked before it is kept. */
static nlp_status apply(const char *key, const char *value, nlp_error *err) {
    char *end;
    unsigned long long number = strtoull(value, &end, 10);
    bool is_number = *value && !*end;
    if (!strcmp(key, "model_path")) return nlp_engine_set_model_path(engine, value, err);
    if (!strcmp(key, "on_overflow") && *value && strcmp(value, "truncate") &&
        strcmp(value, "error") && strcmp(value, "chunk"))
        return bad(err, key, "truncate, error or chunk");
    if (!strcmp(key, "backend") && *value)
        return bad(err, key, "'' here: other backends are not offered in SQLite");
    if (!strcmp(key, "weight_cache")) {
        bool shm = !strcmp(value, "shm"), file = !strcmp(value, "file");
        if (!shm && !file && strcmp(value, "auto")) return bad(err, key, "auto, shm or file");
        nlp_engine_set_weight_cache(engine, shm    ? NLP_CACHE_SHM
                                            : file ? NLP_CACHE_FILE
                                                   : NLP_CACHE_AUTO);
    }
    bool threads = !strcmp(key, "threads");
    if (!threads && strcmp(key, "max_memory")) return NLP_OK;
    if (!is_number || !number || (threads && number > 256))
        return bad(err, key, threads ? "1 to 256" : "a number of bytes");
    const char *other = nlp_sqlite_setting(threads ? "max_memory" : "threads");
    unsigned long long kept = *other ? strtoull(other, NULL, 10) : 0;
    nlp_engine_set_limits(engine, (uint32_t)(threads ? number : kept),
                          (size_t)(threads ? kept : number));
    return NLP_OK;
}

nlp_status nlp_sqlite_set(const char *key, const char *value, nlp_error *err) {
    setting *s = find(key);
    if (!s) return bad(err, "that key", "is unknown; nlp_config() lists the keys; it");
    if (strlen(value) >= sizeof s->value) return bad(err, key, "less than 1024 bytes");
    pthread_mutex_lock(&lock);
    nlp_status status = apply(key, value, err);
    if (status == NLP_OK) snprintf(s->value, sizeof s->value, "%s", value);
    pthread_mutex_unlock(&lock);
    return status;
}
