/* sqlite_functions.c: scalar functions: one for each scalar task of the engine's table, and those
 * on vectors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlite_nlp.h"

typedef struct task_function {
    nlp_connection *c;
    const nlp_task_spec *task;
} task_function;

static void free_task_function(void *data) {
    task_function *f = data;
    nlp_sqlite_release(f->c);
    sqlite3_free(f);
}

/* ---- Results ---- */

static void result_ids(sqlite3_context *context, const nlp_value *value) {
    sqlite3_str *json = sqlite3_str_new(sqlite3_context_db_handle(context));
    sqlite3_str_appendchar(json, 1, '[');
    for (uint32_t i = 0; i < value->n; i++)
        sqlite3_str_appendf(json, i ? ",%d" : "%d", value->as.ids[i]);
    sqlite3_str_appendchar(json, 1, ']');
    int n = sqlite3_str_length(json);
    char *text = sqlite3_str_finish(json);
    if (text)
        sqlite3_result_text(context, text, n, sqlite3_free);
    else
        sqlite3_result_error_nomem(context);
}

/* Everything is copied: what the value points to belongs to the session. */
void nlp_sqlite_result(sqlite3_context *context, const nlp_value *value) {
    switch (value->type) {
    case NLP_TYPE_JSON:
    case NLP_TYPE_TEXT:
        sqlite3_result_text(context, value->as.text, (int)value->n, SQLITE_TRANSIENT);
        break;
    case NLP_TYPE_REAL:
        sqlite3_result_double(context, value->as.real);
        break;
    case NLP_TYPE_INTEGER:
        sqlite3_result_int64(context, value->as.integer);
        break;
    case NLP_TYPE_BOOLEAN:
        sqlite3_result_int(context, value->as.boolean);
        break;
    case NLP_TYPE_VECTOR:
        sqlite3_result_blob64(context, value->as.vector, value->n * sizeof(float),
                              SQLITE_TRANSIENT);
        break;
    case NLP_TYPE_IDS:
        result_ids(context, value);
        break;
    case NLP_TYPE_TEXTS: /* only an operand */
    case NLP_TYPE_NULL:
        sqlite3_result_null(context);
        break;
    }
}

/* ---- Tasks ---- */

/* Operands of one call: texts, or ids given as a JSON array. */
typedef struct operands {
    nlp_texts texts;
    nlp_value ids;
    int32_t *id_storage;
} operands;

/* By hand and not by json_each: a call a token row would cost more than the task. */
static bool parse_ids(const char *json, operands *o) {
    size_t n = strlen(json), capacity = n / 2 + 1;
    o->id_storage = sqlite3_malloc64(capacity * sizeof(int32_t));
    if (!o->id_storage || *json != '[') return false;
    o->ids = (nlp_value){.type = NLP_TYPE_IDS, .as.ids = o->id_storage};
    for (const char *at = json + 1 + strspn(json + 1, " \t\r\n"); *at && *at != ']';) {
        char *end;
        long id = strtol(at, &end, 10);
        if (end == at || id < INT32_MIN || id > INT32_MAX) return false;
        o->id_storage[o->ids.n++] = (int32_t)id;
        at = end + strspn(end, " \t\r\n");
        if (*at == ',')
            at++;
        else if (*at != ']')
            return false;
    }
    return true;
}

static nlp_status read_operands(nlp_connection *c, const nlp_task_spec *task, sqlite3_value **argv,
                                operands *o, nlp_error *err) {
    memset(o, 0, sizeof *o);
    nlp_status status = nlp_sqlite_texts(c, task, argv, &o->texts, err);
    bool wants_ids = task->operands[0].type == NLP_TYPE_IDS;
    if (status != NLP_OK || o->texts.is_null || !wants_ids || parse_ids(o->texts.texts[0].bytes, o))
        return status;
    snprintf(err->message, sizeof err->message, "nlp_%s takes a JSON array of token ids",
             task->name);
    err->hint[0] = 0;
    return err->code = NLP_EINVAL;
}

static nlp_status answer_call(sqlite3_context *context, const task_function *f, int argc,
                              sqlite3_value **argv, const operands *o, nlp_arguments *a,
                              nlp_error *err) {
    const nlp_result *result;
    nlp_status status = nlp_sqlite_arguments(f->c, f->task, argc, argv, &o->texts, a, err);
    if (status != NLP_OK || a->is_null) return status;
    status = nlp_sqlite_run(f->c, f->task, o->texts.texts, &o->ids, 1, a, &result, err);
    if (status == NLP_OK) nlp_sqlite_result(context, result->outputs->cells);
    return status;
}

/* One function for every scalar task: what differs stands in the task's table. */
static void call_task(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const task_function *f = sqlite3_user_data(context);
    int n_operands = (int)f->task->n_operands;
    operands o;
    nlp_arguments a = {0};
    nlp_error err = {.code = NLP_EINVAL};
    if (argc < n_operands || argc > n_operands + 2 + (f->task->tunable != NULL)) {
        snprintf(err.message, sizeof err.message,
                 "nlp_%s takes %d operand%s, then a model and options", f->task->name, n_operands,
                 n_operands > 1 ? "s" : "");
        nlp_sqlite_error(context, &err);
        return;
    }
    nlp_status status = read_operands(f->c, f->task, argv, &o, &err);
    if (status == NLP_OK && !o.texts.is_null)
        status = answer_call(context, f, argc - n_operands, argv + n_operands, &o, &a, &err);
    if (status != NLP_OK) nlp_sqlite_error(context, &err);
    sqlite3_free(o.id_storage);
    sqlite3_free(o.texts.list);
    nlp_model_close(a.model);
    nlp_sqlite_idle(f->c);
}

/* ---- Vectors ---- */

static bool read_vector(sqlite3_context *context, sqlite3_value *value, const float **vector,
                        size_t *n) {
    int bytes = sqlite3_value_bytes(value);
    *vector = sqlite3_value_blob(value);
    *n = (size_t)bytes / sizeof(float);
    if (sqlite3_value_type(value) == SQLITE_BLOB && bytes % (int)sizeof(float) == 0) return true;
    char *message = sqlite3_mprintf(
        "a vector is a BLOB of 4-byte floats; this one is %s of %d bytes",
        sqlite3_value_type(value) == SQLITE_BLOB ? "a BLOB" : "no BLOB, it is", bytes);
    sqlite3_result_error(context, message ? message : "no vector", -1);
    sqlite3_free(message);
    return false;
}

static void cosine(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const float *a, *b;
    size_t n_a, n_b;
    double result;
    nlp_error err;
    (void)argc;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL)
        return;
    if (!read_vector(context, argv[0], &a, &n_a) || !read_vector(context, argv[1], &b, &n_b))
        return;
    if (nlp_vector_cosine(a, n_a, b, n_b, &result, &err) == NLP_OK)
        sqlite3_result_double(context, result);
    else
        nlp_sqlite_error(context, &err);
}

void nlp_sqlite_result_str(sqlite3_context *context, sqlite3_str *str) {
    char *text = sqlite3_str_finish(str);
    if (text)
        sqlite3_result_text(context, text, -1, sqlite3_free);
    else
        sqlite3_result_error_nomem(context);
}

static void vector_to_json(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const float *v;
    size_t n;
    (void)argc;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || !read_vector(context, argv[0], &v, &n))
        return;
    sqlite3_str *json = sqlite3_str_new(sqlite3_context_db_handle(context));
    sqlite3_str_appendchar(json, 1, '[');
    for (size_t i = 0; i < n; i++) {
        char number[40];
        snprintf(number, sizeof number, i ? ",%.9g" : "%.9g", (double)v[i]);
        sqlite3_str_appendall(json, number);
    }
    sqlite3_str_appendchar(json, 1, ']');
    nlp_sqlite_result_str(context, json);
}

static void json_to_vector(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const char *at = (const char *)sqlite3_value_text(argv[0]);
    (void)argc;
    if (!at) return;
    size_t n = 0, capacity = strlen(at) / 2 + 1;
    float *v = sqlite3_malloc64(capacity * sizeof *v);
    bool good = v && *at == '[';
    for (at += good; good && *at && *at != ']';) {
        char *end;
        v[n++] = strtof(at, &end);
        good = end != at && (*end == ',' || *end == ']' || *end == ' ');
        at = end + strspn(end, " ,");
    }
    if (good)
        sqlite3_result_blob64(context, v, n * sizeof *v, sqlite3_free);
    else
        sqlite3_result_error(context, "nlp_vector takes a JSON array of numbers", -1);
    if (!good) sqlite3_free(v);
}

/* ---- nlp_centroid ---- */

typedef struct centroid {
    double *sum;
    size_t n;
    int64_t count;
} centroid;

static void centroid_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const float *v;
    size_t n;
    (void)argc;
    centroid *s = sqlite3_aggregate_context(context, sizeof *s);
    if (!s || sqlite3_value_type(argv[0]) == SQLITE_NULL || !read_vector(context, argv[0], &v, &n))
        return;
    if (!s->sum) {
        s->sum = sqlite3_malloc64(n * sizeof *s->sum + 1);
        if (!s->sum) {
            sqlite3_result_error_nomem(context);
            return;
        }
        memset(s->sum, 0, n * sizeof *s->sum);
        s->n = n;
    }
    if (n != s->n) {
        sqlite3_result_error(context,
                             "nlp_centroid: the vectors have different numbers of dimensions", -1);
        return;
    }
    for (size_t i = 0; i < n; i++) s->sum[i] += (double)v[i];
    s->count++;
}

static void centroid_final(sqlite3_context *context) {
    centroid *s = sqlite3_aggregate_context(context, 0);
    if (!s || !s->count) {
        if (s) sqlite3_free(s->sum);
        return;
    }
    float *mean = sqlite3_malloc64(s->n * sizeof *mean + 1);
    if (mean) {
        for (size_t i = 0; i < s->n; i++) mean[i] = (float)(s->sum[i] / (double)s->count);
        sqlite3_result_blob64(context, mean, s->n * sizeof *mean, sqlite3_free);
    } else {
        sqlite3_result_error_nomem(context);
    }
    sqlite3_free(s->sum);
    s->sum = NULL;
}

/* ---- nlp_summarize_agg: the texts of a group, a line each, summed up together ---- */

typedef struct joined_texts {
    char *bytes;
    size_t n, capacity;
} joined_texts;

static void join_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    joined_texts *all = sqlite3_aggregate_context(context, sizeof *all);
    nlp_text text = nlp_sqlite_text(argv[0]);
    (void)argc;
    if (!all || !text.bytes) return;
    if (all->n + text.n_bytes + 1 > all->capacity) {
        size_t capacity = 2 * (all->n + text.n_bytes + 1);
        char *bytes = sqlite3_realloc64(all->bytes, capacity);
        if (!bytes) {
            sqlite3_result_error_nomem(context);
            return;
        }
        all->bytes = bytes, all->capacity = capacity;
    }
    if (all->n) all->bytes[all->n++] = '\n';
    memcpy(all->bytes + all->n, text.bytes, text.n_bytes);
    all->n += text.n_bytes;
}

static void join_summary(sqlite3_context *context) {
    nlp_connection *c = sqlite3_user_data(context);
    joined_texts *all = sqlite3_aggregate_context(context, 0);
    const nlp_task_spec *task = nlp_task_find(c->engine, "summarize");
    nlp_arguments a = {0};
    nlp_error err;
    if (!all || !all->n) {
        if (all) sqlite3_free(all->bytes);
        return;
    }
    nlp_texts text = {.texts = {{all->bytes, all->n}}};
    const nlp_result *result;
    nlp_status status = nlp_sqlite_arguments(c, task, 0, NULL, &text, &a, &err);
    if (status == NLP_OK) status = nlp_sqlite_run(c, task, text.texts, NULL, 1, &a, &result, &err);
    if (status == NLP_OK)
        nlp_sqlite_result(context, result->outputs->cells);
    else
        nlp_sqlite_error(context, &err);
    sqlite3_free(all->bytes);
    nlp_model_close(a.model);
    nlp_sqlite_idle(c);
}

/* ---- About nlp ---- */

static void dims(sqlite3_context *context, int argc, sqlite3_value **argv) {
    nlp_connection *c = sqlite3_user_data(context);
    nlp_arguments a;
    nlp_error err;
    nlp_model_info info = {.struct_size = sizeof info};
    if (nlp_sqlite_arguments(c, nlp_task_find(c->engine, "embed"), argc, argv, NULL, &a, &err) !=
        NLP_OK) {
        nlp_sqlite_error(context, &err);
        return;
    }
    if (a.is_null) return;
    nlp_model_get_info(a.model, &info);
    sqlite3_result_int64(context, info.dims);
    nlp_model_close(a.model);
    nlp_sqlite_idle(c);
}

static void version(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc, (void)argv;
    sqlite3_result_text(context, nlp_version(), -1, SQLITE_STATIC);
}

static void build_info(sqlite3_context *context, int argc, sqlite3_value **argv) {
    nlp_connection *c = sqlite3_user_data(context);
    (void)argc, (void)argv;
    sqlite3_result_text(context, nlp_build_info(c->engine), -1, SQLITE_TRANSIENT);
}

static void config(sqlite3_context *context, int argc, sqlite3_value **argv) {
    nlp_error err;
    const char *key = (const char *)sqlite3_value_text(argv[0]);
    const char *value = argc > 1 ? (const char *)sqlite3_value_text(argv[1]) : NULL;
    if (!key) return;
    if (argc > 1 && nlp_sqlite_set(key, value ? value : "", &err) != NLP_OK) {
        nlp_sqlite_error(context, &err);
        return;
    }
    sqlite3_result_text(context, nlp_sqlite_setting(key), -1, SQLITE_TRANSIENT);
}

/* ---- Registering ---- */

int nlp_sqlite_add(nlp_connection *c, const char *name, int n_arguments, int flags,
                   void (*call)(sqlite3_context *, int, sqlite3_value **)) {
    c->n_references++;
    return sqlite3_create_function_v2(c->db, name, n_arguments, SQLITE_UTF8 | flags, c, call, NULL,
                                      NULL, nlp_sqlite_release);
}

static int add_task(nlp_connection *c, const nlp_task_spec *task) {
    char name[64];
    task_function *f = sqlite3_malloc(sizeof *f);
    if (!f) return SQLITE_NOMEM;
    *f = (task_function){c, task};
    c->n_references++;
    snprintf(name, sizeof name, "nlp_%s", task->name);
    return sqlite3_create_function_v2(c->db, name, -1,
                                      SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, f,
                                      call_task, NULL, NULL, free_task_function);
}

int nlp_sqlite_functions(nlp_connection *c) {
    static const struct {
        const char *name;
        int n_arguments, flags;
        void (*call)(sqlite3_context *, int, sqlite3_value **);
    } functions[] = {
        {"nlp_cosine", 2, SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, cosine},
        {"nlp_vector_to_json", 1, SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, vector_to_json},
        {"nlp_vector", 1, SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, json_to_vector},
        {"nlp_dims", -1, SQLITE_INNOCUOUS, dims},
        {"nlp_version", 0, SQLITE_INNOCUOUS, version},
        {"nlp_build_info", 0, SQLITE_INNOCUOUS, build_info},
        {"nlp_config", 1, SQLITE_DIRECTONLY, config},
        {"nlp_config", 2, SQLITE_DIRECTONLY, config},
    };
    int rc = SQLITE_OK;
    for (size_t i = 0; i < sizeof functions / sizeof *functions && rc == SQLITE_OK; i++)
        rc = nlp_sqlite_add(c, functions[i].name, functions[i].n_arguments, functions[i].flags,
                            functions[i].call);
    for (size_t i = 0; i < nlp_task_count(c->engine) && rc == SQLITE_OK; i++)
        if (!nlp_task_at(c->engine, i)->returns_rows) rc = add_task(c, nlp_task_at(c->engine, i));
    if (rc != SQLITE_OK) return rc;
    c->n_references++;
    rc = sqlite3_create_function_v2(c->db, "nlp_summarize_agg", 1, SQLITE_UTF8 | SQLITE_INNOCUOUS,
                                    c, NULL, join_step, join_summary, nlp_sqlite_release);
    if (rc != SQLITE_OK) return rc;
    c->n_references++;
    return sqlite3_create_function_v2(c->db, "nlp_centroid", 1,
                                      SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, c,
                                      NULL, centroid_step, centroid_final, nlp_sqlite_release);
}
