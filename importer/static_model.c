/* static_model.c: a folder of a static embedding model as a config for the family "static". Two kinds of
 * files: model2vec's has a tensor `embeddings`, and where the vocabulary shares rows `mapping` and
 * `weights`; its encoder drops unknown tokens and cuts the text before it tokenizes (model2vec's
 * model.py). sentence-transformers' StaticEmbedding has `embedding.weight` and does neither. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mapfile.h"
#include "base/utf8.h"
#include "container.h"
#include "hf_tokenizer.h"
#include "json.h"
#include "nn/pooling.h"
#include "safetensors.h"
#include "text/tokenizer.h"

enum { MOST_TOKENS = 1 << 20, DEFAULT_TOKENS = 512 };

/* Where the weights and the tokenizer lie: the folder itself, or the first module's. */
static const char *const subfolders[] = {"", "/0_StaticEmbedding", NULL};

static bool join(const char *folder, const char *sub, const char *name, char path[4096]) {
    return (size_t)snprintf(path, 4096, "%s%s/%s", folder, sub, name) < 4096;
}

static const char *find_subfolder(const char *folder) {
    char path[4096];
    struct stat st;
    for (size_t i = 0; subfolders[i]; i++)
        if (join(folder, subfolders[i], "model.safetensors", path) && !stat(path, &st))
            return subfolders[i];
    return NULL;
}

/* The names of the tensors stand in the header, which begins behind its length. */
static bool header_names(const char *path, const char *tensor) {
    char bytes[4096 + 1] = "";
    struct stat st;
    uint64_t n_bytes;
    size_t n = stat(path, &st) == 0 && st.st_size < 4096 ? (size_t)st.st_size : 4096;
    if (n < 16 || !nlp_container_peek(path, bytes, n, &n_bytes)) return false;
    for (size_t i = 8; i < n; i++)
        if (!bytes[i]) bytes[i] = ' ';
    return strstr(bytes + 8, tensor) != NULL;
}

static bool knows(const char *path) {
    char file[4096];
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return false;
    const char *sub = find_subfolder(path);
    if (!sub || !join(path, sub, "model.safetensors", file)) return false;
    return header_names(file, "\"embeddings\":") || header_names(file, "\"embedding.weight\":");
}

/* ---- Tensors ---- */

static nlp_status read_mapping(nlp_source *source, const nlp_source_tensor *t, uint64_t n_rows,
                               const uint32_t **rows, nlp_error *err) {
    size_t size = t->n_elements ? (size_t)(t->n_bytes / t->n_elements) : 0;
    uint8_t *bytes = nlp_mem_alloc(source->mem, (size_t)t->n_bytes + 1);
    uint32_t *out = NLP_PUSH(&source->arena, uint32_t, t->n_elements);
    if (!bytes || !out) {
        nlp_mem_free(source->mem, bytes, (size_t)t->n_bytes + 1);
        return nlp_mem_fail(source->mem, (size_t)t->n_bytes, err);
    }
    nlp_status status = nlp_source_read_bytes(source, t, bytes, NULL, err);
    for (uint64_t i = 0; i < t->n_elements && status == NLP_OK; i++) {
        int64_t row = 0;
        int32_t narrow;
        memcpy(&narrow, bytes + i * size, size == 4 ? 4 : 0);
        if (size == 8) memcpy(&row, bytes + i * size, 8);
        row = size == 4 ? narrow : row;
        if ((size != 4 && size != 8) || row < 0 || (uint64_t)row >= n_rows)
            status = nlp_fail(err, NLP_ECORRUPT,
                              "tensor mapping gives token %llu row %lld, there are %llu rows",
                              (unsigned long long)i, (long long)row, (unsigned long long)n_rows);
        out[i] = (uint32_t)row;
    }
    nlp_mem_free(source->mem, bytes, (size_t)t->n_bytes + 1);
    *rows = out;
    return status;
}

/* v[token] = weights[token] * embeddings[mapping[token]]: done when the table is read. */
static nlp_status fold(nlp_source *source, nlp_source_tensor *table, nlp_error *err) {
    nlp_source_tensor *mapping = nlp_source_find(source, "mapping"),
                      *weights = nlp_source_find(source, "weights");
    uint64_t n_rows = table->shape[0], n_tokens = mapping   ? mapping->n_elements
                                                  : weights ? weights->n_elements
                                                            : n_rows;
    if (n_tokens > MOST_TOKENS || (weights && weights->n_elements != n_tokens) ||
        (!mapping && n_tokens != n_rows))
        return nlp_fail(err, NLP_ECORRUPT,
                        "tensors embeddings, mapping and weights have %llu, %llu and %llu rows",
                        (unsigned long long)n_rows,
                        (unsigned long long)(mapping ? mapping->n_elements : 0),
                        (unsigned long long)(weights ? weights->n_elements : 0));
    if (mapping) NLP_TRY(read_mapping(source, mapping, n_rows, &table->gather, err));
    if (weights) {
        float *scales = NLP_PUSH(&source->arena, float, n_tokens);
        NLP_TRY(nlp_arena_status(&source->arena, err));
        NLP_TRY(nlp_source_read(source, weights, scales, NULL, err));
        table->row_scales = scales;
    }
    if (mapping) mapping->used = true;
    if (weights) weights->used = true;
    table->stored_rows = n_rows;
    table->shape[0] = n_tokens;
    table->n_elements = n_tokens * table->shape[1];
    return NLP_OK;
}

static nlp_status find_table(nlp_source *source, nlp_source_tensor **table, bool *is_model2vec,
                             nlp_error *err) {
    nlp_source_tensor *own = nlp_source_find(source, "embeddings");
    nlp_source_tensor *t = own ? own : nlp_source_find(source, "embedding.weight");
    if (!t || t->n_dims != 2 || !t->shape[1] || t->shape[1] > 1 << 16)
        return nlp_fail(err, NLP_EINVAL, "the model has no matrix embeddings or embedding.weight");
    if (t->dtype == NLP_SOURCE_I8)
        t->dtype = NLP_SOURCE_S8, t->scale = 1; /* model2vec's int8 has no scale */
    t->name = "embeddings.weight";
    *table = t;
    *is_model2vec = own != NULL;
    return NLP_OK;
}

/* ---- Tokenizer ---- */

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The median length of the vocabulary's pieces, in characters, cut to a whole number. */
static nlp_status median_length(nlp_model_folder *f, uint32_t *median, nlp_error *err) {
    nlp_tokenizer *t;
    nlp_tokenizer_info info;
    NLP_TRY(nlp_tokenizer_open(f->tokenizer.bytes, f->tokenizer.n_bytes, f->mem, &t, err));
    nlp_tokenizer_get_info(t, &info);
    uint32_t n = info.vocabulary, *lengths = NLP_PUSH(&f->arena, uint32_t, n);
    for (uint32_t i = 0; lengths && i < n; i++) {
        nlp_text piece = nlp_tokenizer_piece(t, (int32_t)i);
        lengths[i] = (uint32_t)nlp_utf8_length(piece.bytes, piece.n_bytes);
    }
    nlp_tokenizer_close(t);
    NLP_TRY(nlp_arena_status(&f->arena, err));
    qsort(lengths, n, sizeof *lengths, by_size);
    *median = n % 2 ? lengths[n / 2] : (lengths[n / 2 - 1] + lengths[n / 2]) / 2;
    return NLP_OK;
}

static nlp_status read_tokenizer(nlp_model_folder *f, const char *sub, bool drop_unknown,
                                 nlp_error *err) {
    char path[4096];
    uint8_t *bytes;
    size_t n_bytes;
    const nlp_hf_options options = {.bare = true, .drop_unknown = drop_unknown};
    if (!join(f->path, sub, "tokenizer.json", path))
        return nlp_fail(err, NLP_EINVAL, "the path is too long");
    NLP_TRY(nlp_file_load(path, NLP_JSON_TOKENIZER_BYTES, f->mem, &bytes, &n_bytes, err));
    nlp_status status = nlp_hf_tokenizer_compile(bytes, n_bytes, &options, &f->tokenizer, err);
    nlp_mem_free(f->mem, bytes, n_bytes + 1);
    return status;
}

/* ---- All of it ---- */

/* Of sentence-transformers: a module of that type. */
static nlp_status has_normalize(nlp_model_folder *f, bool *normalize, nlp_error *err) {
    json_t *modules;
    *normalize = false;
    NLP_TRY(nlp_model_folder_json(f, "modules.json", NLP_JSON_CONFIG_BYTES, &modules, err));
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const char *type = json_string_value(json_object_get(json_array_get(modules, i), "type"));
        if (type && strstr(type, "Normalize")) *normalize = true;
    }
    json_decref(modules);
    return NLP_OK;
}

static nlp_status read_config(nlp_model_folder *f, const nlp_source_tensor *table,
                              bool is_model2vec, nlp_error *err) {
    json_t *config;
    int64_t limit;
    bool normalize;
    uint32_t median = 0;
    uint64_t most;
    NLP_TRY(nlp_model_folder_json(f, "config.json", NLP_JSON_CONFIG_BYTES, &config, err));
    nlp_status status = nlp_json_integer(config, "config.json", "max_length", DEFAULT_TOKENS, 1,
                                         MOST_TOKENS, &limit, err);
    if (status == NLP_OK)
        status = nlp_json_boolean(config, "config.json", "normalize", false, &normalize, err);
    json_decref(config);
    NLP_TRY(status);
    if (!is_model2vec) NLP_TRY(has_normalize(f, &normalize, err));
    if (is_model2vec) NLP_TRY(median_length(f, &median, err));
    most = median * (uint64_t)limit;
    f->pipeline =
        (nlp_pooling_spec){.struct_size = sizeof f->pipeline,
                           .pooling = NLP_POOL_MEAN,
                           .max_characters = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX,
                           .n_stages = normalize,
                           .stages = {NLP_STAGE_NORMALIZE}};
    f->config = json_pack("{s:s, s:I, s:I, s:I}", "model_type", "static", "vocab_size",
                          (json_int_t)table->shape[0], "hidden_size", (json_int_t)table->shape[1],
                          "max_position_embeddings", (json_int_t)limit);
    return f->config ? NLP_OK : nlp_fail(err, NLP_ENOMEM, "out of memory for the model's config");
}

static nlp_status read(nlp_model_folder *f, nlp_error *err) {
    char path[4096];
    nlp_source_tensor *table = NULL;
    bool is_model2vec = false;
    const char *sub = find_subfolder(f->path);
    if (!sub || !join(f->path, sub, "model.safetensors", path))
        return nlp_fail(err, NLP_ENOFILE, "%s has no model.safetensors", f->path);
    NLP_TRY(nlp_safetensors_add(&f->source, path, err));
    NLP_TRY(find_table(&f->source, &table, &is_model2vec, err));
    NLP_TRY(fold(&f->source, table, err));
    NLP_TRY(read_tokenizer(f, sub, is_model2vec, err));
    return read_config(f, table, is_model2vec, err);
}

const nlp_container nlp_container_static = {"static embeddings", false, knows, read};
