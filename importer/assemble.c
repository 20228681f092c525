/* assemble.c: roles of the family's table, one after the other, from source tensors into the pack's
 * layouts. */
#include "assemble.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "assembly.h"
#include "nn/pooling.h"
#include "tensor/quant.h"
#include "weight_files.h"

/* ---- Writing ---- */

void *assembly_tensor(const assembly *a, const char *name, nlp_dtype dtype, uint32_t layout,
                      nlp_grid grid, uint64_t rows, uint64_t columns) {
    char full[96];
    snprintf(full, sizeof full, "%s%s", a->prefix, name);
    return nlp_pack_writer_tensor(a->writer, full, dtype, layout, grid, rows, columns);
}

static float *plain(const assembly *a, const char *name, uint64_t rows, uint64_t columns) {
    return assembly_tensor(a, name, NLP_F32, NLP_TENSOR_PLAIN, NLP_GRID_SYMMETRIC, rows, columns);
}

void assembly_write_f32(const assembly *a, const char *name, const matrix *m) {
    void *panels =
        assembly_tensor(a, name, NLP_F32, NLP_TENSOR_PANELS, NLP_GRID_SYMMETRIC, m->n, m->k);
    if (panels) nlp_pack_f32(m->w, m->bias, m->k, m->n, panels);
}

static nlp_source_tensor *norm_part(const assembly *a, const nlp_role_source *s, uint32_t layer,
                                    bool per_layer, bool bias) {
    static const char *const endings[2][2] = {{".weight", ".gamma"}, {".bias", ".beta"}};
    nlp_source_tensor *t = assembly_find(a, s->parts[0], layer, per_layer, endings[bias][0]);
    return t ? t : assembly_find(a, s->parts[0], layer, per_layer, endings[bias][1]);
}

/* A LayerNorm without a bias is written with zeros: the runtime knows one LayerNorm. */
static nlp_status write_norm(const assembly *a, const char *name, uint32_t width,
                             const nlp_role_source *s, uint32_t layer, bool per_layer, bool rms) {
    char full[96];
    snprintf(full, sizeof full, "%s.gain", name);
    float *gain = plain(a, full, 1, width);
    if (gain)
        NLP_TRY(assembly_read(a, norm_part(a, s, layer, per_layer, false), s->parts[0], width, 0,
                              gain));
    for (uint32_t i = 0; gain && (s->form & NLP_FORM_PLUS_ONE) && i < width; i++) gain[i] += 1;
    if (rms) return NLP_OK;
    snprintf(full, sizeof full, "%s.bias", name);
    float *bias = plain(a, full, 1, width);
    if (!bias) return NLP_OK; /* a failure is sticky in the writer */
    memset(bias, 0, width * sizeof *bias);
    nlp_source_tensor *stored = norm_part(a, s, layer, per_layer, true);
    if ((s->form & NLP_FORM_NO_BIAS) || (!stored && (s->form & NLP_FORM_ANY_BIAS))) return NLP_OK;
    return assembly_read(a, stored, s->parts[0], width, 0, bias);
}

/* Words of a pack that is not f32: s8 with a scale a row. */
static nlp_status write_words(const assembly *a, const char *name, nlp_source_tensor *t,
                              uint32_t rows, uint32_t width) {
    matrix m;
    float *scales =
        assembly_tensor(a, name, NLP_S8_ROWS, NLP_TENSOR_S8_ROWS, NLP_GRID_SYMMETRIC, rows, width);
    nlp_status status = matrix_alloc(a, &m, rows, width);
    if (status == NLP_OK) status = assembly_read(a, t, name, rows, width, m.w);
    int8_t *q = (int8_t *)scales + ((size_t)rows * sizeof(float) + 63) / 64 * 64;
    for (uint32_t i = 0; scales && status == NLP_OK && i < rows; i++)
        scales[i] = nlp_quantise_s8_row(m.w + (size_t)i * width, width, q + (size_t)i * width);
    matrix_free(a, &m);
    return status;
}

/* Tables of positions and types are small and stay f32. A tied model has its words once, as the panels
 * of its output: a column of i16 panels is what a row of s8 would be. */
static nlp_status write_table(const assembly *a, const nlp_role *role, const nlp_role_source *s) {
    uint32_t rows = nlp_size_of(&a->config->spec, role->rows),
             width = nlp_size_of(&a->config->spec, role->columns);
    bool words = !strcmp(role->name, "embedding.word");
    if (words && assembly_is_tied(a) && a->config->spec.n_outputs == rows &&
        !a->config->spec.embedding_width)
        return NLP_OK;
    nlp_source_tensor *t = assembly_find(a, s->parts[0], 0, false, ".weight");
    if (!t) return nlp_fail(a->err, NLP_EINVAL, "the model has no tensor %s.weight", s->parts[0]);
    if (words && a->options->precision != NLP_F32)
        return write_words(a, role->name, t, rows, width);
    float *out = plain(a, role->name, rows, width);
    return out ? assembly_read(a, t, s->parts[0], rows, width, out) : NLP_OK;
}

static void write_panels(const assembly *a, const char *name, nlp_dtype dtype, const matrix *m) {
    void *panels =
        assembly_tensor(a, name, dtype, NLP_TENSOR_PANELS, NLP_GRID_SYMMETRIC, m->n, m->k);
    if (panels && dtype == NLP_I16)
        nlp_pack_i16(m->w, m->bias, m->k, m->n, panels);
    else if (panels)
        nlp_pack_q4(dtype, m->w, m->bias, m->k, m->n, panels);
}

static nlp_status write_linear(const assembly *a, const nlp_role *role, const nlp_role_source *s,
                               uint32_t layer, const char *name) {
    matrix m;
    nlp_dtype dtype = assembly_precision(a, role, s, layer);
    nlp_status status = matrix_read(a, role, s, layer, &m);
    if (status == NLP_OK && dtype == NLP_I8)
        status = quantise_i8_write(a, layer, (size_t)quantise_i8_product(role), name, &m);
    else if (status == NLP_OK && dtype == NLP_F32)
        assembly_write_f32(a, name, &m);
    else if (status == NLP_OK)
        write_panels(a, name, dtype, &m);
    matrix_free(a, &m);
    return status;
}

/* ---- Roles ---- */

static nlp_status write_role(const assembly *a, const nlp_role *role, const nlp_role_source *s,
                             uint32_t layer) {
    char name[64];
    if (role->per_layer)
        snprintf(name, sizeof name, "layer.%u.%s", layer, role->name);
    else
        snprintf(name, sizeof name, "%s", role->name);
    if ((s->form & NLP_FORM_NOT_FIRST) && !layer) return NLP_OK;
    if ((s->form & NLP_FORM_OPTIONAL) &&
        !assembly_find(a, s->parts[0], layer, role->per_layer, ".weight"))
        return NLP_OK;
    switch (role->kind) {
    case NLP_ROLE_TABLE:
        return write_table(a, role, s);
    case NLP_ROLE_NORM:
        return write_norm(a, name, nlp_size_of(&a->config->spec, role->columns), s, layer,
                          role->per_layer, a->config->spec.norm == NLP_NORM_RMS);
    case NLP_ROLE_LINEAR:
        return write_linear(a, role, s, layer, name);
    case NLP_ROLE_PLAIN:
        break;
    }
    return NLP_OK; /* computed_roles.c */
}

/* Role by role, and in a role layer by layer: the same folder gives the same bytes. */
static nlp_status write_stack(const assembly *a) {
    for (const nlp_role_source *s = a->source->roles; s->role; s++) {
        const nlp_role *role = nlp_role_find(s->role);
        if (!role) return nlp_fail(a->err, NLP_EINTERNAL, "there is no role %s", s->role);
        if (assembly_computes_positions(a) && !strcmp(s->role, "embedding.position")) continue;
        if (!nlp_size_of(&a->config->spec, role->rows) ||
            !nlp_size_of(&a->config->spec, role->columns))
            continue;
        for (uint32_t layer = 0; layer < (role->per_layer ? a->config->n_own : 1); layer++)
            NLP_TRY(write_role(a, role, s, layer));
    }
    return computed_roles_write(a);
}

static nlp_status write_sections(const assembly *a) {
    char name[32];
    snprintf(name, sizeof name, "%sspec", a->prefix);
    nlp_pack_writer_section(a->writer, name, &a->config->spec, sizeof a->config->spec);
    snprintf(name, sizeof name, "%slayers", a->prefix);
    if (a->config->layers)
        nlp_pack_writer_section(a->writer, name, a->config->layers,
                                a->config->spec.n_layers * sizeof *a->config->layers);
    return NLP_OK;
}

/* ---- Heads and pipelines ---- */

static nlp_status write_head_linear(const assembly *a, const char *name, const char *source,
                                    const char *bias, size_t n, size_t k) {
    matrix m;
    nlp_status status = matrix_alloc(a, &m, n, k);
    nlp_source_tensor *w = assembly_find(a, source, 0, false, ".weight"),
                      *b = bias ? assembly_find(a, bias, 0, false, "")
                                : assembly_find(a, source, 0, false, ".bias");
    if (status == NLP_OK) status = assembly_read(a, w, source, n, k, m.w);
    if (status == NLP_OK && b) status = assembly_read(a, b, source, n, 0, m.bias);
    if (status == NLP_OK) assembly_write_f32(a, name, &m);
    matrix_free(a, &m);
    return status;
}

nlp_status assembly_write_head(const assembly *a) {
    const nlp_head_spec *head = &a->folder->head;
    const nlp_head_source *s = a->folder->head_source;
    size_t d = a->config->spec.hidden_size, width = head->hidden_size ? head->hidden_size : d;
    if (!head->struct_size) return NLP_OK;
    if (head->hidden_size) NLP_TRY(write_head_linear(a, "hidden", s->hidden, NULL, width, d));
    nlp_role_source norm = {"head.norm", {s->norm}, NLP_FORM_PLAIN, NULL, NULL};
    if (head->norm && !norm_part(a, &norm, 0, false, true)) norm.form = NLP_FORM_NO_BIAS;
    if (head->norm) NLP_TRY(write_norm(a, "head.norm", (uint32_t)width, &norm, 0, false, false));
    const char *classifier = s->classifier;
    if (head->head == NLP_HEAD_WORDS && !assembly_find(a, classifier, 0, false, ".weight"))
        classifier = assembly_source(a, "embedding.word")->parts[0];
    NLP_TRY(write_head_linear(a, "classifier", classifier, s->bias, head->n_labels, width));
    nlp_pack_writer_section(a->writer, "head", head, sizeof *head);
    return NLP_OK;
}

/* A Dense stage lies in a folder of its own: linear.weight, linear.bias. */
static nlp_status write_dense(const assembly *a, uint32_t stage, size_t k, size_t *n) {
    char path[4096], name[32];
    nlp_source source;
    snprintf(path, sizeof path, "%s/%s", a->folder->path, a->folder->dense_folder[stage]);
    nlp_source_init(&source, a->folder->mem);
    nlp_status status = nlp_weight_files_open(&source, path, a->err);
    nlp_source_tensor *w = nlp_source_find(&source, "linear.weight"),
                      *b = nlp_source_find(&source, "linear.bias");
    matrix m = {0};
    if (status == NLP_OK &&
        (!w || w->n_dims != 2 || w->shape[1] != k || (b && b->n_elements != w->shape[0])))
        status = nlp_fail(a->err, NLP_EINVAL, "the Dense module %s does not take %zu numbers",
                          a->folder->dense_folder[stage], k);
    if (status == NLP_OK) status = matrix_alloc(a, &m, (size_t)w->shape[0], k);
    if (status == NLP_OK) status = nlp_source_read(&source, w, m.w, NULL, a->err);
    if (status == NLP_OK && b) status = nlp_source_read(&source, b, m.bias, NULL, a->err);
    *n = m.n;
    snprintf(name, sizeof name, "dense.%u", stage);
    if (status == NLP_OK) assembly_write_f32(a, name, &m);
    matrix_free(a, &m);
    nlp_source_close(&source);
    return status;
}

static nlp_status write_pipeline(const assembly *a) {
    nlp_pooling_spec *p = &a->folder->pipeline;
    size_t width = a->config->spec.hidden_size * (size_t)__builtin_popcount(p->pooling);
    if (!p->struct_size) return NLP_OK;
    for (uint32_t i = 0; i < p->n_stages; i++) {
        if (p->stages[i] != NLP_STAGE_DENSE) continue;
        NLP_TRY(write_dense(a, i, width, &width));
    }
    nlp_pack_writer_section(a->writer, "pipeline", p, sizeof *p);
    return NLP_OK;
}

/* ---- What is left over, and the texts ---- */

static nlp_status check_leftovers(const assembly *a) {
    for (size_t i = 0; i < a->folder->source.n_tensors; i++) {
        const nlp_source_tensor *t = &a->folder->source.tensors[i];
        if (t->used) continue;
        if (!nlp_family_drops(a->folder->family, t->name))
            return nlp_fail(a->err, NLP_EUNSUPPORTED,
                            "tensor %.80s has no place in a model of type %s", t->name,
                            a->folder->family->name);
        if (a->options->precision == NLP_F32) /* made first, and always */
            nlp_model_folder_note(a->folder, "not needed: %.60s\n", t->name);
    }
    return NLP_OK;
}

static void write_meta_lines(nlp_pack_writer *writer, const char *meta, nlp_arena *arena) {
    while (meta && *meta) {
        size_t n = strcspn(meta, "\n"), n_key = strcspn(meta, "=");
        char *key = n_key < n ? nlp_arena_text(arena, meta, n_key) : NULL;
        char *text = key ? nlp_arena_text(arena, meta + n_key + 1, n - n_key - 1) : NULL;
        if (text) nlp_pack_writer_pair(writer, "meta", key, text);
        meta += n + (meta[n] == '\n');
    }
}

static bool has_entailment(const nlp_model_folder *f) {
    for (uint32_t i = 0; f->labels && i < f->head.n_labels; i++)
        if (!strncasecmp(f->labels[i], "entail", 6)) return true;
    return false;
}

static const char *tasks_of(const nlp_model_folder *f) {
    static const char *const of_tokens[] = {"entities", "answer", "fill_mask"};
    const nlp_head_spec *head = &f->head;
    if (f->family->decoder && f->decoder.spec.n_outputs) return "generate,translate,summarize";
    if (!head->struct_size && f->stack.spec.n_outputs && !f->pipeline.struct_size)
        return f->chat_template ? "generate,chat,summarize,extract,embed,similarity"
                                : "generate,summarize,extract,embed,similarity";
    if (!head->struct_size) return "embed,similarity";
    if (head->head >= NLP_HEAD_TOKENS) return of_tokens[head->head - NLP_HEAD_TOKENS];
    if (head->polarity[0] && head->n_labels <= NLP_MAX_POLARITIES) return "classify,sentiment";
    if (head->n_labels == 1) return "classify,rerank";
    return has_entailment(f) ? "classify,zero_shot" : "classify";
}

static nlp_status write_source(const assembly *a, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char key[80], hex[NLP_SHA256_HEX_BYTES];
    nlp_status status = nlp_file_sha256(path, &a->options->poll->stop, hex, a->err);
    if (status == NLP_ENOFILE) return NLP_OK;
    NLP_TRY(status);
    snprintf(key, sizeof key, "sha256 of %.60s", name);
    nlp_pack_writer_pair(a->writer, "meta", key, hex);
    return NLP_OK;
}

/* Where the weights come from, file by file. */
static nlp_status write_sources(const assembly *a) {
    static const char *const names[] = {"config.json",
                                        "model.safetensors",
                                        "model.safetensors.index.json",
                                        "tokenizer.json",
                                        "vocab.txt",
                                        "tokenizer_config.json",
                                        "modules.json",
                                        "sentence_bert_config.json",
                                        "config_sentence_transformers.json",
                                        "chat_template.jinja"};
    const nlp_source *source = &a->folder->source;
    for (int i = 0; a->folder->is_file && i < source->n_files; i++)
        NLP_TRY(write_source(a, source->paths[i]));
    for (size_t i = 0; !a->folder->is_file && i < sizeof names / sizeof *names; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", a->folder->path, names[i]);
        NLP_TRY(write_source(a, path));
    }
    return NLP_OK;
}

void assembly_write_texts(const assembly *a) {
    nlp_model_folder *f = a->folder;
    for (uint32_t i = 0; f->labels && i < f->head.n_labels; i++)
        nlp_pack_writer_string(a->writer, "labels", f->labels[i], strlen(f->labels[i]));
    for (uint32_t i = 0; i + 1 < f->n_prompts; i += 2)
        nlp_pack_writer_pair(a->writer, "prompts", f->prompts[i], f->prompts[i + 1]);
    nlp_pack_writer_pair(a->writer, "meta", "name", a->options->name);
    nlp_pack_writer_pair(a->writer, "meta", "family", f->family->name);
    nlp_pack_writer_pair(a->writer, "meta", "tasks", tasks_of(f));
    nlp_pack_writer_pair(a->writer, "meta", "importer", "nlp " NLP_VERSION);
    if (f->chat_template)
        nlp_pack_writer_pair(a->writer, "meta", "chat template", f->chat_template);
    if (f->chat_begin) nlp_pack_writer_pair(a->writer, "meta", "chat begin", f->chat_begin);
    if (f->chat_system) nlp_pack_writer_pair(a->writer, "meta", "chat system", f->chat_system);
    if (f->chat_no_thinking)
        nlp_pack_writer_pair(a->writer, "meta", "chat no thinking", f->chat_no_thinking);
    write_meta_lines(a->writer, a->options->meta, &f->arena);
}

nlp_status nlp_assemble(nlp_model_folder *folder, const nlp_assemble_options *options,
                        nlp_pack_writer *writer, nlp_error *err) {
    assembly a = {.folder = folder,
                  .options = options,
                  .writer = writer,
                  .err = err,
                  .source = &folder->family->stack,
                  .config = &folder->stack,
                  .prefix = ""};
    NLP_TRY(write_sections(&a));
    nlp_pack_writer_section(writer, "tokenizer", folder->tokenizer.bytes,
                            folder->tokenizer.n_bytes);
    if (folder->decoder_tokenizer.n_bytes)
        nlp_pack_writer_section(writer, "decoder.tokenizer", folder->decoder_tokenizer.bytes,
                                folder->decoder_tokenizer.n_bytes);
    NLP_TRY(write_stack(&a));
    NLP_TRY(assembly_write_head(&a));
    if (folder->family->decoder) {
        assembly decoder = a;
        decoder.source = folder->family->decoder;
        decoder.config = &folder->decoder;
        decoder.prefix = "decoder.";
        NLP_TRY(write_sections(&decoder));
        NLP_TRY(write_stack(&decoder));
    }
    if (folder->generation.struct_size)
        nlp_pack_writer_section(writer, "generation", &folder->generation,
                                sizeof folder->generation);
    NLP_TRY(write_pipeline(&a));
    assembly_write_texts(&a);
    NLP_TRY(write_sources(&a));
    return check_leftovers(&a);
}
