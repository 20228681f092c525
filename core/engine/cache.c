/* cache.c: the weight cache as people see it: names of models to segments and back. */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

/* ---- Which models have a digest ---- */

typedef struct digest_search {
    const char *digest;
    char names[512];
} digest_search;

static bool add_name(void *context, const nlp_model_info *info) {
    digest_search *s = context;
    size_t n = strlen(s->names);
    if (!strcmp(info->digest, s->digest))
        snprintf(s->names + n, sizeof s->names - n, "%s%s", n ? "," : "", info->name);
    return true;
}

typedef struct finder {
    nlp_engine *engine;
    digest_search search;
} finder;

static const char *find_models(void *context, const char *digest_hex) {
    finder *f = context;
    f->search = (digest_search){.digest = digest_hex};
    nlp_model_list(f->engine, add_name, &f->search, NULL);
    return f->search.names;
}

nlp_status nlp_cache_list(nlp_engine *engine,
                          bool (*visit)(void *context, const nlp_cache_entry *entry), void *context,
                          nlp_error *err) {
    finder f = {.engine = engine};
    return nlp_store_list(&engine->store, find_models, &f, visit, context, err);
}

/* ---- Pruning ---- */

typedef struct pruning {
    nlp_engine *engine;
    bool all, dry_run;
    bool (*visit)(void *context, const nlp_cache_entry *entry);
    void *context;
    nlp_status status;
    nlp_error *err;
} pruning;

static bool prune_entry(void *context, const nlp_cache_entry *entry) {
    pruning *p = context;
    bool ready = !strcmp(entry->state, "ready"), busy = !strcmp(entry->state, "building");
    if (busy || !strcmp(entry->state, "foreign") || (ready && !p->all)) return true;
    if (!p->dry_run) p->status = nlp_store_drop(&p->engine->store, entry->name, p->err);
    return p->visit(p->context, entry) && p->status == NLP_OK;
}

nlp_status nlp_cache_prune(nlp_engine *engine, bool all, bool dry_run,
                           bool (*visit)(void *context, const nlp_cache_entry *entry),
                           void *context, nlp_error *err) {
    pruning p = {.engine = engine,
                 .all = all,
                 .dry_run = dry_run,
                 .visit = visit,
                 .context = context,
                 .err = err};
    NLP_TRY(nlp_cache_list(engine, prune_entry, &p, err));
    return p.status;
}

/* ---- One model ---- */

nlp_status nlp_cache_warm(nlp_engine *engine, const char *name, const nlp_stop *stop,
                          nlp_error *err) {
    nlp_model *model;
    NLP_TRY(nlp_model_open(engine, name, stop, &model, err));
    nlp_model_close(model);
    return NLP_OK;
}

nlp_status nlp_cache_drop(nlp_engine *engine, const char *name, nlp_error *err) {
    char path[NLP_PATH_BYTES], segment[80];
    NLP_TRY(nlp_model_path_find(engine, name, path, err));
    NLP_TRY(nlp_store_segment_of(&engine->store, path, segment, err));
    return nlp_store_drop(&engine->store, segment, err);
}

typedef struct verification {
    nlp_engine *engine;
    const nlp_stop *stop;
    nlp_status status;
    nlp_error *err;
} verification;

static bool verify_path(void *context, const char *path, const char *name) {
    verification *v = context;
    (void)name;
    v->status = nlp_store_verify(&v->engine->store, path, v->stop, v->err);
    if (v->status != NLP_OK) nlp_error_prefix(v->err, "%s", path);
    return v->status == NLP_OK;
}

nlp_status nlp_cache_verify(nlp_engine *engine, const char *name, const nlp_stop *stop,
                            nlp_error *err) {
    char path[NLP_PATH_BYTES];
    verification v = {.engine = engine, .stop = stop, .err = err};
    if (!name) {
        nlp_model_path_each(engine, verify_path, &v);
        return v.status;
    }
    NLP_TRY(nlp_model_path_find(engine, name, path, err));
    verify_path(&v, path, name);
    return v.status;
}
