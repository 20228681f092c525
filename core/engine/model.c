/* model.c: packs as opened models: mapped, checked, bound, counted, cached. Everything under the
 * engine's lock, since it is short; a build of a shared segment is the exception that the lock must
 * not be held for: nlp_store_map runs outside. */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

/* ---- Freeing ---- */

static void free_text(nlp_engine *engine, char *text) {
    if (text) nlp_mem_free(&engine->mem, text, strlen(text) + 1);
}

static void model_free(nlp_model *m) {
    nlp_engine *engine = m->engine;
    if (m->base) m->base->n_references--;
    if (m->task.vocabulary == &m->vocabulary) nlp_shared_vocabulary_deinit(&m->vocabulary);
    nlp_tokenizer_close(m->tokenizer);
    nlp_tokenizer_close(m->decoder_tokenizer);
    nlp_arena_deinit(&m->arena);
    nlp_store_unmap(&m->mapping);
    free_text(engine, m->path);
    free_text(engine, m->name);
    nlp_mem_free(&engine->mem, m, sizeof *m);
}

static bool still_there(const nlp_model *m) {
    nlp_file_identity now;
    return m->from_bytes || (nlp_file_identify(m->path, &now, NULL) == NLP_OK &&
                             !memcmp(&now, &m->identity, sizeof now));
}

/* Task packs before their bases: a base is free only when its last head is gone. */
void nlp_models_sweep(nlp_engine *engine, bool all) {
    for (bool freed = true; freed;) {
        freed = false;
        for (nlp_model **at = &engine->models; *at;) {
            nlp_model *m = *at;
            if (m->n_references || (!all && still_there(m))) {
                at = &m->next;
                continue;
            }
            *at = m->next;
            model_free(m);
            freed = true;
        }
    }
}

/* ---- Binding ---- */

static nlp_status copy_text(nlp_engine *engine, const char *text, char **out, nlp_error *err) {
    size_t n = strlen(text) + 1;
    *out = nlp_mem_alloc(&engine->mem, n);
    if (!*out) return nlp_mem_fail(&engine->mem, n, err);
    memcpy(*out, text, n);
    return NLP_OK;
}

static nlp_status bind_labels(nlp_model *m, nlp_error *err) {
    uint32_t n = nlp_pack_strings_count(&m->pack, "labels");
    nlp_text *labels = NLP_PUSH(&m->arena, nlp_text, n);
    m->label_texts = NLP_PUSH(&m->arena, const char *, n);
    NLP_TRY(nlp_arena_status(&m->arena, err));
    for (uint32_t i = 0; i < n; i++) {
        nlp_span s = nlp_pack_string(&m->pack, "labels", i);
        labels[i] = (nlp_text){(const char *)s.bytes, s.n_bytes};
        m->label_texts[i] = nlp_arena_text(&m->arena, labels[i].bytes, labels[i].n_bytes);
    }
    m->task.labels = labels;
    return nlp_arena_status(&m->arena, err);
}

static bool ids_are_below(const uint32_t *ids, uint32_t n, uint32_t limit) {
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] >= limit) return false;
    return true;
}

/* A decoder with an output, or the two halves of a seq2seq. */
static nlp_status bind_writer(nlp_model *m, nlp_error *err) {
    nlp_generation_spec *g = &m->generation;
    NLP_TRY(nlp_section_read(&m->pack, "generation", g, sizeof *g, err));
    if (m->stack->spec.kind == NLP_KIND_SEQ2SEQ)
        NLP_TRY(nlp_stack_bind(&m->pack, "decoder.", &m->arena, &m->decoder, err));
    const nlp_stack *writer = m->decoder ? m->decoder : m->stack;
    uint32_t n = writer->spec.vocabulary;
    m->task.writer = (nlp_writer){m->decoder ? m->stack : NULL, writer, g};
    if (!g->struct_size && !m->decoder && !writer->spec.n_outputs) return NLP_OK;
    if (m->decoder && writer->spec.memory_width != m->stack->spec.hidden_size)
        return nlp_fail(err, NLP_ECORRUPT, "the decoder sees %u numbers, the encoder gives %u",
                        writer->spec.memory_width, m->stack->spec.hidden_size);
    if (g->n_ends > 8 || g->n_suppressed > 7 || !ids_are_below(g->ends, g->n_ends, n) ||
        !ids_are_below(g->suppressed, g->n_suppressed, n) || g->start > writer->spec.vocabulary ||
        g->forced_first > n || g->forced_last > n || g->early_stopping > NLP_STOP_NEVER)
        return nlp_fail(err, NLP_ECORRUPT,
                        "the pack's generation names an id or a rule that is not there");
    return NLP_OK;
}

/* A vocabulary must not be larger than the table of words behind it. */
static nlp_status open_tokenizer(nlp_model *m, const char *section, uint32_t vocabulary,
                                 nlp_tokenizer **tokenizer, nlp_error *err) {
    nlp_span blob = nlp_pack_section_find(&m->pack, section);
    nlp_tokenizer_info info;
    NLP_TRY(nlp_tokenizer_open(blob.bytes, blob.n_bytes, &m->engine->mem, tokenizer, err));
    nlp_tokenizer_get_info(*tokenizer, &info);
    if (info.vocabulary <= vocabulary) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT, "the %s has %u pieces, the model %u", section,
                    info.vocabulary, vocabulary);
}

/* A head on a seq2seq's text reads its decoder's states, at the places of the encoder's. */
static nlp_status check_read_decoder(const nlp_model *m, nlp_error *err) {
    const nlp_writer *w = &m->task.writer;
    if (!w->encoder || m->head.spec.head != NLP_HEAD_SEQUENCE) return NLP_OK;
    const nlp_arch_spec *encoder = &w->encoder->spec, *decoder = &w->decoder->spec;
    if (decoder->hidden_size == encoder->hidden_size &&
        decoder->n_positions - decoder->position_offset >= encoder->max_tokens)
        return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT,
                    "a head on a decoder of %u numbers and %u positions, where the encoder has %u "
                    "and %u",
                    decoder->hidden_size, decoder->n_positions, encoder->hidden_size,
                    encoder->max_tokens);
}

/* Everything that a full pack says is checked against everything else here; running looks at
 * none of it again. */
static nlp_status bind_full(nlp_model *m, nlp_error *err) {
    NLP_TRY(nlp_stack_bind(&m->pack, "", &m->arena, &m->stack, err));
    NLP_TRY(open_tokenizer(m, "tokenizer", m->stack->spec.vocabulary, &m->tokenizer, err));
    NLP_TRY(nlp_pooler_bind(&m->pack, m->stack->spec.hidden_size, &m->pooler, err));
    NLP_TRY(nlp_head_bind(&m->pack, m->stack->spec.hidden_size, &m->head, err));
    m->task = (nlp_task_model){
        .tokenizer = m->tokenizer, .stack = m->stack, .pooler = &m->pooler, .pack = &m->pack};
    NLP_TRY(bind_writer(m, err));
    NLP_TRY(check_read_decoder(m, err));
    if (m->decoder && nlp_pack_section_find(&m->pack, "decoder.tokenizer").n_bytes)
        NLP_TRY(open_tokenizer(m, "decoder.tokenizer", m->decoder->spec.vocabulary,
                               &m->decoder_tokenizer, err));
    m->task.written = m->decoder_tokenizer ? m->decoder_tokenizer : m->tokenizer;
    nlp_shared_vocabulary_init(&m->vocabulary, m->task.written, m->engine->alloc,
                               m->engine->alloc_context);
    m->task.vocabulary = &m->vocabulary;
    return nlp_chat_open(&m->pack, m->tokenizer, &m->generation, &m->arena, &m->task.chat, err);
}

/* A head on the base's vector, or on its hidden states: then it is the pack that says how wide. */
static nlp_status bind_task(nlp_model *m, nlp_error *err) {
    const nlp_task_model *base = &m->base->task;
    nlp_head_spec spec = {0};
    uint32_t hidden_size = base->stack->spec.hidden_size;
    m->task = *base;
    NLP_TRY(nlp_section_read(&m->pack, "head", &spec, sizeof spec, err));
    bool of_vector = spec.head == NLP_HEAD_VECTOR_LINEAR || spec.head == NLP_HEAD_VECTOR_MLP;
    uint32_t width = of_vector ? nlp_pool_dims(base->pooler, hidden_size, NULL) : hidden_size;
    NLP_TRY(nlp_head_bind(&m->pack, width, &m->head, err));
    NLP_TRY(nlp_adapters_bind(&m->pack, base->stack, &m->arena, &m->task.stack, err));
    bool adapts = m->task.stack != base->stack;
    if (base->writer.encoder == base->stack) m->task.writer.encoder = m->task.stack;
    if (base->writer.decoder == base->stack) m->task.writer.decoder = m->task.stack;
    NLP_TRY(check_read_decoder(m, err));
    if (m->head.spec.struct_size ? m->head.spec.head != NLP_HEAD_WORDS : adapts) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT,
                    "a task pack needs adapters, or a head of classes, tags or spans");
}

static nlp_status bind_model(nlp_model *m, nlp_error *err) {
    NLP_TRY(nlp_pack_open(m->mapping.bytes, m->mapping.n_bytes, &m->pack, err));
    nlp_hex(m->pack.header->digest, NLP_SHA256_BYTES, m->digest);
    if (m->pack.header->kind == NLP_PACK_TASK)
        nlp_hex(m->pack.header->base_digest, NLP_SHA256_BYTES, m->base_digest);
    NLP_TRY(m->base ? bind_task(m, err) : bind_full(m, err));
    m->task.name = m->name;
    m->task.head = &m->head;
    return m->head.spec.struct_size ? bind_labels(m, err) : NLP_OK;
}

/* ---- The base of a task pack ---- */

/* The name that the task pack knows its base by; "minilm" where it says none. */
static void name_of_base(const nlp_pack *pack, char name[64]) {
    nlp_span known = nlp_pack_pair(pack, "meta", "base");
    bool given = known.bytes && known.n_bytes && known.n_bytes < 64;
    snprintf(name, 64, "%.*s", given ? (int)known.n_bytes : 6,
             given ? (const char *)known.bytes : "minilm");
}

/* present: digest of the pack that has the base's name now, or "". */
static nlp_status no_base(const char *name, const char *base, const char *wanted,
                          const char *present, nlp_error *err) {
    if (*present)
        nlp_fail(err, NLP_ENOMODEL,
                 "model %s stands on %s with digest %.16s, the %s in the model path has %.16s",
                 name, base, wanted, base, present);
    else
        nlp_fail(err, NLP_ENOMODEL,
                 "model %s stands on %s with digest %.16s, which is not in the model path", name,
                 base, wanted);
    nlp_hint(err,
             "nlp pull %s; a base of another precision or version has another digest: fit or "
             "import the task pack again then",
             base);
    return NLP_ENOMODEL;
}

static nlp_status open_file(nlp_engine *engine, const char *path, bool as_base,
                            const nlp_stop *stop, nlp_model **model, nlp_error *err);

/* The base of a task pack, with one reference, or NULL for a full pack. A base that is open
 * already serves all its heads, whatever file it came from: the digest is its identity. */
static nlp_status open_base(nlp_engine *engine, const void *bytes, size_t n_bytes, const char *name,
                            const nlp_stop *stop, nlp_model **base, nlp_error *err) {
    char path[NLP_PATH_BYTES], hex[NLP_SHA256_HEX_BYTES], present[NLP_SHA256_HEX_BYTES] = "",
                                                          base_name[64];
    nlp_pack pack;
    *base = NULL;
    NLP_TRY(nlp_pack_open(bytes, n_bytes, &pack, err));
    if (pack.header->kind != NLP_PACK_TASK) return NLP_OK;
    nlp_hex(pack.header->base_digest, NLP_SHA256_BYTES, hex);
    nlp_mutex_lock(&engine->lock);
    for (nlp_model *m = engine->models; m && !*base; m = m->next)
        if (!strcmp(m->digest, hex)) (*base = m)->n_references++;
    bool found = *base || nlp_model_path_find_digest(engine, hex, path);
    name_of_base(&pack, base_name);
    if (!found) nlp_model_path_digest(engine, base_name, present);
    nlp_mutex_unlock(&engine->lock);
    if (!found) return no_base(name, base_name, hex, present, err);
    if (!*base) NLP_TRY(open_file(engine, path, true, stop, base, err));
    if (!(*base)->base) return NLP_OK;
    nlp_model_close(*base);
    *base = NULL;
    return nlp_fail(err, NLP_ECORRUPT, "the base of model %s is itself a task pack", name);
}

/* ---- Opening ---- */

/* An opened model, with one more reference; NULL where there is none. Under the lock. */
static nlp_model *find_file(nlp_engine *engine, const char *path,
                            const nlp_file_identity *identity) {
    for (nlp_model *m = engine->models; m; m = m->next) {
        if (!m->path || strcmp(m->path, path) || memcmp(&m->identity, identity, sizeof *identity))
            continue;
        m->n_references++;
        return m;
    }
    return NULL;
}

/* Heads of equal bytes are one model, under whatever names they are stored. */
static nlp_model *find_bytes(nlp_engine *engine, const char *digest) {
    for (nlp_model *m = engine->models; m; m = m->next) {
        if (!m->from_bytes || strcmp(m->digest, digest)) continue;
        m->n_references++;
        return m;
    }
    return NULL;
}

/* A model over a mapping, which it takes over; the base's reference too. */
static nlp_status make_model(nlp_engine *engine, const char *name, const char *path,
                             nlp_mapping *mapping, nlp_model *base,
                             const nlp_file_identity *identity, nlp_model **out, nlp_error *err) {
    nlp_mutex_lock(&engine->lock);
    nlp_model *m = nlp_mem_zalloc(&engine->mem, sizeof *m);
    nlp_status status = m ? NLP_OK : nlp_mem_fail(&engine->mem, sizeof *m, err);
    if (m) {
        m->engine = engine;
        m->mapping = *mapping;
        m->base = base;
        m->n_references = 1;
        m->from_bytes = !path;
        if (identity) m->identity = *identity;
        nlp_arena_init(&m->arena, &engine->mem);
        status = copy_text(engine, name, &m->name, err);
        if (status == NLP_OK && path) status = copy_text(engine, path, &m->path, err);
        if (status == NLP_OK) status = bind_model(m, err);
        if (status == NLP_OK) {
            m->next = engine->models;
            engine->models = m;
        } else {
            model_free(m);
        }
    } else {
        nlp_store_unmap(mapping);
        if (base) base->n_references--;
    }
    nlp_mutex_unlock(&engine->lock);
    *out = status == NLP_OK ? m : NULL;
    return status;
}

static void name_of_path(const char *path, char name[128]) {
    const char *slash = strrchr(path, '/');
    snprintf(name, 128, "%s", slash ? slash + 1 : path);
    char *ending = strstr(name, ".nlp");
    if (ending) *ending = 0;
}

/* Before its own base is looked for: packs that name each other end here. */
static nlp_status check_is_full(const void *bytes, size_t n_bytes, nlp_error *err) {
    nlp_pack pack;
    NLP_TRY(nlp_pack_open(bytes, n_bytes, &pack, err));
    if (pack.header->kind != NLP_PACK_TASK) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT, "a task pack stands on it, and it is itself a task pack");
}

/* The lock is not held while the store maps the file: another process may be building the
 * segment for seconds. */
static nlp_status open_file(nlp_engine *engine, const char *path, bool as_base,
                            const nlp_stop *stop, nlp_model **model, nlp_error *err) {
    nlp_file_identity identity;
    nlp_mapping mapping;
    nlp_model *base;
    char name[128];
    *model = NULL;
    NLP_TRY(nlp_file_identify(path, &identity, err));
    nlp_mutex_lock(&engine->lock);
    nlp_models_sweep(engine, false);
    *model = find_file(engine, path, &identity);
    nlp_store_options store = engine->store;
    nlp_mutex_unlock(&engine->lock);
    if (*model) return NLP_OK;
    name_of_path(path, name);
    nlp_status status = nlp_store_map(&store, path, stop, &mapping, err);
    if (status == NLP_OK) {
        if (as_base) status = check_is_full(mapping.bytes, mapping.n_bytes, err);
        if (status == NLP_OK)
            status = open_base(engine, mapping.bytes, mapping.n_bytes, name, stop, &base, err);
        if (status == NLP_OK)
            return make_model(engine, name, path, &mapping, base, &identity, model, err);
        nlp_store_unmap(&mapping);
    }
    if (status != NLP_ENOMODEL && status != NLP_ECANCELED) nlp_error_prefix(err, "model %s", name);
    return status;
}

nlp_status nlp_model_open_file(nlp_engine *engine, const char *path, const nlp_stop *stop,
                               nlp_model **model, nlp_error *err) {
    return open_file(engine, path, false, stop, model, err);
}

nlp_status nlp_model_open(nlp_engine *engine, const char *name, const nlp_stop *stop,
                          nlp_model **model, nlp_error *err) {
    char path[NLP_PATH_BYTES];
    *model = NULL;
    nlp_mutex_lock(&engine->lock);
    nlp_status status = nlp_model_path_find(engine, name, path, err);
    nlp_mutex_unlock(&engine->lock);
    return status == NLP_OK ? nlp_model_open_file(engine, path, stop, model, err) : status;
}

/* These bytes came out of a table that its users can write to, so unlike a file they are hashed
 * at every open that is not cached. */
nlp_status nlp_model_open_bytes(nlp_engine *engine, const char *name, const void *pack,
                                size_t pack_bytes, const nlp_stop *stop, nlp_model **model,
                                nlp_error *err) {
    nlp_mapping mapping;
    nlp_model *base;
    nlp_pack view;
    uint8_t digest[NLP_SHA256_BYTES];
    char hex[NLP_SHA256_HEX_BYTES];
    nlp_poll poll;
    *model = NULL;
    NLP_TRY(nlp_store_copy(&engine->store, pack, pack_bytes, &mapping, err));
    nlp_poll_init(&poll, stop, 0);
    nlp_status status = nlp_pack_open(mapping.bytes, mapping.n_bytes, &view, err);
    if (status == NLP_OK)
        status = nlp_pack_digest(mapping.bytes, mapping.n_bytes, &poll, digest, err);
    if (status == NLP_OK && memcmp(digest, view.header->digest, sizeof digest))
        status = nlp_fail(err, NLP_ECORRUPT,
                          "model %s: the pack's bytes have another digest than it says", name);
    if (status == NLP_OK) {
        nlp_hex(digest, sizeof digest, hex);
        nlp_mutex_lock(&engine->lock);
        *model = find_bytes(engine, hex);
        nlp_mutex_unlock(&engine->lock);
    }
    if (status == NLP_OK && !*model)
        status = open_base(engine, mapping.bytes, mapping.n_bytes, name, stop, &base, err);
    if (status == NLP_OK && !*model)
        return make_model(engine, name, NULL, &mapping, base, NULL, model, err);
    nlp_store_unmap(&mapping);
    return status;
}

void nlp_model_close(nlp_model *model) {
    if (!model) return;
    nlp_mutex_lock(&model->engine->lock);
    model->n_references--;
    nlp_mutex_unlock(&model->engine->lock);
}
