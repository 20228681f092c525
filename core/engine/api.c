/* api.c: opening an engine, its settings, counters and version. */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"
#include "tensor/cpu.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

enum { MAX_THREADS = 256 };
static const size_t default_memory = (size_t)1 << 30;

const char *nlp_version(void) {
    return NLP_VERSION;
}

void nlp_engine_options_init(nlp_engine_options *options) {
    *options = (nlp_engine_options){.struct_size = sizeof *options,
                                    .threads = 1,
                                    .max_memory = default_memory,
                                    .isa_mask = UINT32_MAX,
                                    .path_setting = "NLP_MODEL_PATH"};
}

/* A copy in the engine's memory; NULL stays NULL. */
static nlp_status copy_text(nlp_engine *engine, const char *text, char **out, nlp_error *err) {
    size_t n = text ? strlen(text) + 1 : 0;
    *out = NULL;
    if (!text) return NLP_OK;
    *out = nlp_mem_alloc(&engine->mem, n);
    if (!*out) return nlp_mem_fail(&engine->mem, n, err);
    memcpy(*out, text, n);
    return NLP_OK;
}

static void free_text(nlp_engine *engine, char *text) {
    if (text) nlp_mem_free(&engine->mem, text, strlen(text) + 1);
}

static nlp_status check_backend(const char *backend, nlp_error *err) {
    if (!backend || !*backend) return NLP_OK;
    if (strcmp(backend, "openblas"))
        return nlp_fail(err, NLP_EINVAL,
                        "there is no backend \"%.32s\"; \"\" and openblas are possible", backend);
    return nlp_openblas_load(err);
}

/* Kernels are chosen here, once for the engine's life. */
static nlp_status fill(nlp_engine *engine, const nlp_engine_options *o, nlp_error *err) {
    engine->kernels = nlp_kernels_select(o->isa_mask);
    nlp_engine_set_limits(engine, o->threads, o->max_memory);
    engine->store = (nlp_store_options){.mem = &engine->mem, .weight_cache = o->weight_cache};
    snprintf(engine->path_setting, sizeof engine->path_setting, "%s",
             o->path_setting ? o->path_setting : "model_path");
    snprintf(engine->build_info, sizeof engine->build_info,
             "nlp %s, isa %s, numerics %u, backend %s, %s", NLP_VERSION, engine->kernels->name,
             NLP_NUMERICS, o->backend && *o->backend ? o->backend : "own", COMPILER);
    NLP_TRY(check_backend(o->backend, err));
    NLP_TRY(copy_text(engine, o->model_path ? o->model_path : "", &engine->model_path, err));
    NLP_TRY(copy_text(engine, o->builtin_path, &engine->builtin_path, err));
    NLP_TRY(nlp_workers_open(&engine->mem, MAX_THREADS, &engine->workers, err));
    engine->host = (nlp_host_api){.struct_size = sizeof engine->host,
                                  .abi_min = NLP_PLUGIN_ABI,
                                  .abi_max = NLP_PLUGIN_ABI,
                                  .add = nlp_registry_add,
                                  .fail = nlp_fail,
                                  .context = engine};
    return nlp_builtins_add(&engine->host, err);
}

/* Opens no file and starts no thread: a library that a database loads must cost nothing until it
 * is asked. What a caller's shorter, older struct does not say keeps its default. */
nlp_status nlp_engine_open(const nlp_engine_options *options, nlp_engine **engine, nlp_error *err) {
    nlp_engine_options o;
    nlp_mem mem;
    nlp_engine_options_init(&o);
    memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    nlp_mem_init(&mem, o.alloc, o.alloc_context, 0);
    *engine = nlp_mem_zalloc(&mem, sizeof **engine);
    if (!*engine) return nlp_mem_fail(&mem, sizeof **engine, err);
    (*engine)->mem = mem;
    (*engine)->alloc = o.alloc;
    (*engine)->alloc_context = o.alloc_context;
    nlp_mutex_init(&(*engine)->lock);
    nlp_status status = fill(*engine, &o, err);
    if (status == NLP_OK) return NLP_OK;
    nlp_engine_close(*engine);
    *engine = NULL;
    return status;
}

void nlp_isa_problem(char *message, size_t size) {
    const char *name, *own = nlp_level_names[nlp_cpu_level()];
    uint32_t wanted = nlp_wanted_level(&name);
    char known[80] = "base";
    for (size_t i = 1, n = strlen(known); i < NLP_N_LEVELS && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, ", %s", nlp_level_names[i]);
    *message = 0;
    if (name && wanted == NLP_N_LEVELS)
        snprintf(message, size, "NLP_ISA=%.32s is none of %s; %s is used", name, known, own);
    else if (name && wanted > nlp_cpu_level())
        snprintf(message, size, "NLP_ISA=%s is above what this CPU can run; %s is used", name, own);
}

void nlp_engine_close(nlp_engine *engine) {
    if (!engine) return;
    nlp_models_sweep(engine, true);
    nlp_workers_close(engine->workers);
    free_text(engine, engine->model_path);
    free_text(engine, engine->builtin_path);
    nlp_mutex_deinit(&engine->lock);
    nlp_mem mem = engine->mem;
    nlp_mem_free(&mem, engine, sizeof *engine);
}

nlp_status nlp_engine_set_model_path(nlp_engine *engine, const char *model_path, nlp_error *err) {
    char *copy;
    nlp_mutex_lock(&engine->lock);
    nlp_status status = copy_text(engine, model_path ? model_path : "", &copy, err);
    if (status == NLP_OK) {
        free_text(engine, engine->model_path);
        engine->model_path = copy;
    }
    nlp_mutex_unlock(&engine->lock);
    return status;
}

void nlp_engine_set_limits(nlp_engine *engine, uint32_t threads, size_t max_memory) {
    nlp_mutex_lock(&engine->lock);
    engine->threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    engine->max_memory = max_memory ? max_memory : default_memory;
    nlp_mutex_unlock(&engine->lock);
}

void nlp_engine_set_weight_cache(nlp_engine *engine, nlp_weight_cache weight_cache) {
    nlp_mutex_lock(&engine->lock);
    engine->store.weight_cache = weight_cache;
    nlp_mutex_unlock(&engine->lock);
}

const char *nlp_build_info(const nlp_engine *engine) {
    return engine->build_info;
}

void nlp_engine_get_counters(const nlp_engine *engine, nlp_counters *counters) {
    nlp_engine *e = (nlp_engine *)(uintptr_t)engine;
    nlp_mutex_lock(&e->lock);
    *counters = e->counters;
    nlp_mutex_unlock(&e->lock);
    counters->struct_size = sizeof *counters;
}
