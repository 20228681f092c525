/* model_info.c: what is known of an opened model, and of the packs that lie in the model path. */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

static const char *meta_text(const nlp_pack *pack, nlp_arena *arena, const char *key) {
    nlp_span s = nlp_pack_pair(pack, "meta", key);
    const char *text = s.n_bytes ? nlp_arena_text(arena, (const char *)s.bytes, s.n_bytes) : "";
    return text ? text : "";
}

static const char *precision_name(uint32_t precision) {
    static const char *const names[] = {"f32", "i8", "i16", "q4", "", "q4m"};
    return precision < sizeof names / sizeof *names ? names[precision] : "?";
}

/* ---- Tasks: what a model is decides which it can run ---- */

static uint32_t kinds_of_head(const nlp_pack *pack, const nlp_head_spec *head) {
    static const uint32_t of_tokens[] = {NLP_MODEL_TAGS, NLP_MODEL_SPANS, NLP_MODEL_FILLS};
    uint32_t kinds = NLP_MODEL_ANY | NLP_MODEL_LABELS;
    if (head->head >= NLP_HEAD_TOKENS && head->head <= NLP_HEAD_WORDS)
        return NLP_MODEL_ANY | of_tokens[head->head - NLP_HEAD_TOKENS];
    if (nlp_task_feels(head)) kinds |= NLP_MODEL_FEELS;
    if (head->head != NLP_HEAD_SEQUENCE) return kinds;
    if (head->n_labels == 1) return kinds | NLP_MODEL_SCORES;
    for (uint32_t i = 0; i < nlp_pack_strings_count(pack, "labels"); i++) {
        nlp_span s = nlp_pack_string(pack, "labels", i);
        if (nlp_task_entails((nlp_text){(const char *)s.bytes, s.n_bytes}))
            kinds |= NLP_MODEL_INFERS;
    }
    return kinds;
}

/* NLP_MODEL_*; 0 of a task pack without a head, which is what its base is. */
static uint32_t kinds_of(const nlp_pack *pack) {
    nlp_head_spec head = {0};
    nlp_arch_spec spec = {0}, decoder = {0};
    if (nlp_section_read(pack, "head", &head, sizeof head, NULL) != NLP_OK) return 0;
    if (head.struct_size) return kinds_of_head(pack, &head);
    if (pack->header->kind != NLP_PACK_FULL || nlp_spec_read(pack, "spec", &spec, NULL) != NLP_OK)
        return 0;
    bool carries = spec.kind == NLP_KIND_SEQ2SEQ &&
                   nlp_spec_read(pack, "decoder.spec", &decoder, NULL) == NLP_OK &&
                   decoder.n_outputs;
    bool chats =
        (carries || spec.n_outputs) && nlp_pack_pair(pack, "meta", "chat template").n_bytes;
    uint32_t kinds = NLP_MODEL_ANY | (chats ? NLP_MODEL_CHATS : 0);
    if (carries) return kinds | NLP_MODEL_WRITES | NLP_MODEL_CARRIES;
    if (spec.n_outputs) kinds |= NLP_MODEL_WRITES | NLP_MODEL_CHOOSES;
    if (spec.kind != NLP_KIND_SEQ2SEQ && nlp_pack_section_find(pack, "pipeline").n_bytes)
        kinds |= NLP_MODEL_LIKENS;
    return kinds | NLP_MODEL_EMBEDS;
}

/* A task of an earlier plugin does not say. */
static bool can_run(uint32_t kinds, const nlp_task_vtable *task) {
    return task->struct_size > offsetof(nlp_task_vtable, models) && (task->models & kinds);
}

/* Names of the tasks that such a model can run, in the order of their list. */
static const char *tasks_of(const nlp_engine *engine, uint32_t kinds, nlp_arena *arena) {
    char names[1024];
    size_t n = 0;
    for (size_t i = 0; i < engine->n_tasks; i++) {
        const char *name = engine->tasks[i]->spec->name;
        if (!can_run(kinds, engine->tasks[i]) || n + strlen(name) + 2 > sizeof names) continue;
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? "," : "", name);
    }
    const char *text = n ? nlp_arena_text(arena, names, n) : "";
    return text ? text : "";
}

/* From the header and the small sections: listing a folder reads no weights. */
void nlp_model_info_of_pack(const nlp_engine *engine, const nlp_pack *pack, nlp_arena *arena,
                            nlp_model_info *info) {
    nlp_arch_spec spec;
    info->precision = precision_name(pack->header->precision);
    info->family = meta_text(pack, arena, "family");
    info->tasks = tasks_of(engine, kinds_of(pack), arena);
    info->languages = meta_text(pack, arena, "languages");
    info->licence = meta_text(pack, arena, "licence");
    info->description = meta_text(pack, arena, "description");
    info->file_bytes = pack->n_bytes;
    info->n_labels = nlp_pack_strings_count(pack, "labels");
    nlp_hex(pack->header->digest, NLP_SHA256_BYTES, info->digest);
    info->base_digest[0] = 0;
    if (pack->header->kind == NLP_PACK_TASK)
        nlp_hex(pack->header->base_digest, NLP_SHA256_BYTES, info->base_digest);
    if (pack->header->kind != NLP_PACK_FULL || nlp_spec_read(pack, "spec", &spec, NULL) != NLP_OK)
        return;
    nlp_pooler pooler;
    info->vocabulary = spec.vocabulary;
    info->layers = spec.n_layers;
    info->hidden_size = spec.hidden_size;
    info->max_tokens = spec.max_tokens;
    if (nlp_pooler_bind(pack, spec.hidden_size, &pooler, NULL) == NLP_OK)
        info->dims = nlp_pool_dims(&pooler, spec.hidden_size, NULL);
}

/* A task pack has the sizes of its base, its languages where it names none, and its tasks without a head
 * of its own. */
static void take_from_base(nlp_model_info *info, const nlp_model_info *base) {
    if (!*info->languages) info->languages = base->languages;
    if (!*info->tasks) info->tasks = base->tasks;
    info->dims = base->dims;
    info->max_tokens = base->max_tokens;
    info->vocabulary = base->vocabulary;
    info->layers = base->layers;
    info->hidden_size = base->hidden_size;
}

static void add_base(const nlp_model *base, nlp_model_info *info) {
    nlp_model_info of_base = {.struct_size = offsetof(nlp_model_info, backing)};
    nlp_model_get_info(base, &of_base);
    take_from_base(info, &of_base);
}

static void add_mapping(nlp_model_info *info, const nlp_model *m) {
    info->backing = nlp_backing_name(m->mapping.backing);
    info->processes = nlp_store_processes(*m->mapping.segment ? m->mapping.segment : info->path);
}

const char *nlp_model_digest(const nlp_model *model) {
    return model->digest;
}

/* Its texts stay in the model's arena, so they are made once, and again when more tasks are known. */
static nlp_model_info described(nlp_model *m) {
    nlp_mutex_lock(&m->engine->lock);
    if (m->n_tasks_described != m->engine->n_tasks)
        nlp_model_info_of_pack(m->engine, &m->pack, &m->arena, &m->description);
    m->n_tasks_described = m->engine->n_tasks;
    nlp_model_info copy = m->description;
    nlp_mutex_unlock(&m->engine->lock);
    return copy;
}

/* Copies no more than the struct that the caller was compiled with, and gathers no more. */
void nlp_model_get_info(const nlp_model *model, nlp_model_info *info) {
    nlp_model *m = (nlp_model *)(uintptr_t)model;
    nlp_model_info full = described(m);
    size_t n =
        info->struct_size && info->struct_size < sizeof full ? info->struct_size : sizeof full;
    full.name = m->name;
    full.path = m->path ? m->path : "";
    full.labels = m->label_texts;
    if (!full.labels) full.n_labels = 0; /* labels of no head */
    if (n > offsetof(nlp_model_info, backing)) add_mapping(&full, m);
    full.problem = m->mapping.note;
    if (m->base) add_base(m->base, &full);
    full.struct_size = (uint32_t)n;
    memcpy(info, &full, n);
}

/* ---- Listing ---- */

typedef struct listing {
    nlp_engine *engine;
    bool (*visit)(void *context, const nlp_model_info *info);
    void *context;
    nlp_arena arena;
} listing;

/* Fills `info` from a pack's own file, without a segment. */
static nlp_status describe_file(listing *l, const char *path, nlp_model_info *info,
                                nlp_error *err) {
    nlp_mapping mapping;
    nlp_pack pack;
    nlp_store_options file_only = l->engine->store;
    file_only.weight_cache = NLP_CACHE_FILE;
    NLP_TRY(nlp_store_map(&file_only, path, NULL, &mapping, err));
    nlp_status status = nlp_pack_open(mapping.bytes, mapping.n_bytes, &pack, err);
    if (status == NLP_OK) nlp_model_info_of_pack(l->engine, &pack, &l->arena, info);
    nlp_store_unmap(&mapping);
    return status;
}

static nlp_status describe_base(listing *l, nlp_model_info *info, nlp_error *err) {
    char path[NLP_PATH_BYTES];
    nlp_model_info base = {.struct_size = sizeof base};
    if (!nlp_model_path_find_digest(l->engine, info->base_digest, path)) {
        nlp_fail(err, NLP_ENOMODEL, "its base %.16s is not in the model path", info->base_digest);
        return NLP_ENOMODEL;
    }
    NLP_TRY(describe_file(l, path, &base, err));
    take_from_base(info, &base);
    return NLP_OK;
}

/* A file of a name that an earlier folder has already is never opened by that name. */
static bool is_shadowed(const listing *l, const char *path, const char *name) {
    char first[NLP_PATH_BYTES];
    return nlp_model_path_find(l->engine, name, first, NULL) == NLP_OK && strcmp(first, path) != 0;
}

/* A pack that cannot be read is listed too, with its problem: that is when people look. */
static bool list_file(void *context, const char *path, const char *name) {
    listing *l = context;
    nlp_error err;
    nlp_model_info info = {.struct_size = sizeof info,
                           .name = name,
                           .path = path,
                           .family = "",
                           .precision = "",
                           .tasks = "",
                           .languages = "",
                           .licence = "",
                           .description = "",
                           .backing = "",
                           .problem = ""};
    if (is_shadowed(l, path, name)) return true;
    nlp_status status = describe_file(l, path, &info, &err);
    if (status == NLP_OK && *info.base_digest) status = describe_base(l, &info, &err);
    if (status != NLP_OK) info.problem = nlp_arena_format(&l->arena, "%s", err.message);
    if (!info.problem) info.problem = "";
    for (nlp_model *m = l->engine->models; m; m = m->next)
        if (m->path && !strcmp(m->path, path) && m->mapping.bytes) add_mapping(&info, m);
    bool go_on = l->visit(l->context, &info);
    nlp_arena_reset(&l->arena);
    return go_on;
}

nlp_status nlp_model_list(nlp_engine *engine,
                          bool (*visit)(void *context, const nlp_model_info *info), void *context,
                          nlp_error *err) {
    nlp_mem mem;
    listing l = {.engine = engine, .visit = visit, .context = context};
    (void)err;
    nlp_mem_init(&mem, engine->alloc, engine->alloc_context, 0);
    nlp_arena_init(&l.arena, &mem);
    nlp_model_path_each(engine, list_file, &l);
    nlp_arena_deinit(&l.arena);
    return NLP_OK;
}
