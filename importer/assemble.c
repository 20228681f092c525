/* assemble.c: roles of the family's table, one after the other, from source tensors into the pack's
 * layouts. */
#include "assemble.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/pooling.h"
#include "tensor/quant.h"

typedef struct assembly {
    nlp_model_folder *folder;
    const nlp_assemble_options *options;
    nlp_pack_writer *writer;
    nlp_error *err;
} assembly;

/* Weights of one role as they stand in the source: w [n, k] and bias [n], from up to three tensors.
 */
typedef struct matrix {
    float *w, *bias;
    size_t n, k;
} matrix;

static uint32_t spec_value(const nlp_arch_spec *spec, size_t field) {
    uint32_t value;
    memcpy(&value, (const char *)spec + field, sizeof value);
    return value;
}

/* ---- Reading ---- */

static void source_name(const nlp_role *role, uint32_t layer, size_t part, const char *ending,
                        char *out, size_t n) {
    char prefix[96] = "";
    if (role->per_layer) {
        const char *mark = strstr(role->layer_prefix, "%u");
        snprintf(prefix, sizeof prefix, "%.*s%u%s", (int)(mark - role->layer_prefix),
                 role->layer_prefix, layer, mark + 2);
    }
    snprintf(out, n, "%s%s%s", prefix, role->sources[part], ending);
}

static nlp_status find(const assembly *a, const char *name, uint64_t rows, uint64_t columns,
                       nlp_source_tensor **out) {
    nlp_source_tensor *t = nlp_family_tensor(a->folder->family, &a->folder->source, name);
    *out = t;
    if (!t) return nlp_fail(a->err, NLP_EINVAL, "the model has no tensor %s", name);
    bool fits = columns ? t->n_dims == 2 && t->shape[0] == rows && t->shape[1] == columns
                        : t->n_dims == 1 && t->shape[0] == rows;
    if (fits) return NLP_OK;
    return nlp_fail(a->err, NLP_EINVAL, "tensor %s is %llu x %llu, config.json needs %llu x %llu",
                    name, (unsigned long long)(t->n_dims ? t->shape[0] : 0),
                    (unsigned long long)(t->n_dims > 1 ? t->shape[1] : 1), (unsigned long long)rows,
                    (unsigned long long)(columns ? columns : 1));
}

static nlp_status read_into(const assembly *a, const char *name, uint64_t rows, uint64_t columns,
                            float *out) {
    nlp_source_tensor *t;
    NLP_TRY(find(a, name, rows, columns, &t));
    t->used = true;
    return nlp_source_read(&a->folder->source, t, out, a->options->poll, a->err);
}

static void matrix_free(const assembly *a, matrix *m) {
    nlp_mem_free(a->folder->mem, m->w, m->n * m->k * sizeof *m->w);
    nlp_mem_free(a->folder->mem, m->bias, m->n * sizeof *m->bias);
    m->w = m->bias = NULL;
}

static nlp_status matrix_alloc(const assembly *a, matrix *m, size_t n, size_t k) {
    size_t n_floats;
    *m = (matrix){.n = n, .k = k};
    if (nlp_mul_overflows(n, k, &n_floats) || nlp_mul_overflows(n_floats, sizeof(float), &n_floats))
        return nlp_fail(a->err, NLP_ELIMIT, "a matrix of %zu x %zu is not possible", n, k);
    m->w = nlp_mem_alloc(a->folder->mem, n_floats);
    m->bias = nlp_mem_zalloc(a->folder->mem, n * sizeof(float));
    return m->w && m->bias ? NLP_OK : nlp_mem_fail(a->folder->mem, n_floats, a->err);
}

static nlp_status read_linear(const assembly *a, const nlp_role *role, uint32_t layer, size_t n,
                              matrix *m) {
    size_t parts = role->sources[1] ? 3 : 1, k = spec_value(&a->folder->spec, role->columns),
           part_n = n / parts;
    char name[256];
    NLP_TRY(matrix_alloc(a, m, n, k));
    for (size_t part = 0; part < parts; part++) {
        source_name(role, layer, part, ".weight", name, sizeof name);
        NLP_TRY(read_into(a, name, part_n, k, m->w + part * part_n * k));
        source_name(role, layer, part, ".bias", name, sizeof name);
        if (nlp_family_tensor(a->folder->family, &a->folder->source, name))
            NLP_TRY(read_into(a, name, part_n, 0, m->bias + part * part_n));
    }
    return NLP_OK;
}

/* ---- Writing ---- */

static void *tensor(const assembly *a, const char *name, nlp_dtype dtype, uint32_t layout,
                    nlp_grid grid, uint64_t rows, uint64_t columns) {
    return nlp_pack_writer_tensor(a->writer, name, dtype, layout, grid, rows, columns);
}

static nlp_status write_f32(const assembly *a, const char *name, const matrix *m) {
    void *panels = tensor(a, name, NLP_F32, NLP_TENSOR_PANELS, NLP_GRID_SYMMETRIC, m->n, m->k);
    if (panels) nlp_pack_f32(m->w, m->bias, m->k, m->n, panels);
    return NLP_OK; /* a failure is sticky in the writer */
}

static nlp_status write_norm(const assembly *a, const nlp_role *role, uint32_t layer,
                             const char *pack_name) {
    static const char *const endings[2][2] = {{".weight", ".gamma"}, {".bias", ".beta"}};
    uint32_t width = spec_value(&a->folder->spec, role->columns);
    for (int i = 0; i < 2; i++) {
        char name[256], full[96];
        source_name(role, layer, 0, endings[i][0], name, sizeof name);
        if (!nlp_family_tensor(a->folder->family, &a->folder->source, name))
            source_name(role, layer, 0, endings[i][1], name, sizeof name);
        snprintf(full, sizeof full, "%s.%s", pack_name, i ? "bias" : "gain");
        float *out = tensor(a, full, NLP_F32, NLP_TENSOR_PLAIN, NLP_GRID_SYMMETRIC, 1, width);
        if (out) NLP_TRY(read_into(a, name, width, 0, out));
    }
    return NLP_OK;
}

/* Tables of positions and types are small and stay f32; the words of an i8 pack have a scale a row.
 */
static nlp_status write_table(const assembly *a, const nlp_role *role, const char *pack_name) {
    char name[256];
    uint32_t rows = spec_value(&a->folder->spec, role->rows),
             width = spec_value(&a->folder->spec, role->columns);
    source_name(role, 0, 0, ".weight", name, sizeof name);
    if (!rows) return NLP_OK;
    if (!a->options->calibration || strcmp(pack_name, "embedding.word")) {
        float *out =
            tensor(a, pack_name, NLP_F32, NLP_TENSOR_PLAIN, NLP_GRID_SYMMETRIC, rows, width);
        return out ? read_into(a, name, rows, width, out) : NLP_OK;
    }
    matrix m;
    float *scales =
        tensor(a, pack_name, NLP_S8_ROWS, NLP_TENSOR_S8_ROWS, NLP_GRID_SYMMETRIC, rows, width);
    nlp_status status = matrix_alloc(a, &m, rows, width);
    if (status == NLP_OK) status = read_into(a, name, rows, width, m.w);
    int8_t *q = (int8_t *)scales + ((size_t)rows * sizeof(float) + 63) / 64 * 64;
    for (uint32_t i = 0; scales && status == NLP_OK && i < rows; i++)
        scales[i] = nlp_quantise_s8_row(m.w + (size_t)i * width, width, q + (size_t)i * width);
    matrix_free(a, &m);
    return status;
}

/* ---- i8 ---- */

static bool has_gelu(const assembly *a) {
    return a->folder->spec.activation == NLP_ACT_GELU_ERF ||
           a->folder->spec.activation == NLP_ACT_GELU_TANH;
}

static nlp_grid grid_of(const assembly *a, size_t product) {
    return product == 3 && has_gelu(a) ? NLP_GRID_GELU : NLP_GRID_SYMMETRIC;
}

static const nlp_channel_stats *stats_of(const assembly *a, uint32_t layer, size_t product) {
    return &a->options->calibration->stats[layer * NLP_CALIBRATED_PRODUCTS + product];
}

/* m = 1 / t with t = sqrt(largest input / largest weight) of the channel: half of the range goes to
 * each side. */
static void channel_factors(const nlp_channel_stats *s, const matrix *m, nlp_grid grid,
                            float *factors) {
    for (size_t c = 0; c < m->k; c++) {
        float input = grid == NLP_GRID_GELU ? s->highest[c] + NLP_GELU_OFFSET : s->top[c],
              weight = 1e-9f;
        for (size_t j = 0; j < m->n; j++) {
            float size = fabsf(m->w[j * m->k + c]);
            weight = size > weight ? size : weight;
        }
        float least = grid == NLP_GRID_GELU ? 1e-3f : 1e-5f;
        input = input > least ? input : least;
        factors[c] = sqrtf(weight) / sqrtf(input);
    }
}

/* The factors of attention.out ride on V's columns of the qkv product. They depend on
 * attention.out's own weights. */
static nlp_status value_scale(const assembly *a, uint32_t layer, const nlp_role *roles,
                              float *scale) {
    matrix out;
    size_t d = a->folder->spec.hidden_size;
    const nlp_role *role = roles;
    while (strcmp(role->name, "attention.out")) role++;
    nlp_status status = read_linear(a, role, layer, d, &out);
    for (size_t i = 0; i < 2 * d; i++) scale[i] = 1;
    if (status == NLP_OK)
        channel_factors(stats_of(a, layer, 1), &out, NLP_GRID_SYMMETRIC, scale + 2 * d);
    matrix_free(a, &out);
    return status;
}

/* The factors move range from the activations into the weights, channel by channel, so that one
 * scale a row is enough. */
static nlp_status write_i8(const assembly *a, uint32_t layer, size_t product, const char *pack_name,
                           const matrix *m) {
    char name[96];
    nlp_mem *mem = a->folder->mem;
    const nlp_channel_stats *s = stats_of(a, layer, product);
    nlp_grid grid = grid_of(a, product);
    snprintf(name, sizeof name, "%s.factors", pack_name);
    float *factors = tensor(a, name, NLP_F32, NLP_TENSOR_PLAIN, NLP_GRID_SYMMETRIC, 1, m->k);
    void *panels = tensor(a, pack_name, NLP_I8, NLP_TENSOR_PANELS, grid, m->n, m->k);
    float *mean = nlp_mem_alloc(mem, m->k * sizeof *mean),
          *scale = nlp_mem_alloc(mem, m->n * sizeof *scale);
    nlp_status status = mean && scale ? NLP_OK : nlp_mem_fail(mem, m->k * sizeof *mean, a->err);
    if (status == NLP_OK && (s->width != m->k || !s->n_rows))
        status = nlp_fail(a->err, NLP_EINTERNAL, "calibration saw %zu channels of %s, it has %zu",
                          s->width, pack_name, m->k);
    if (status == NLP_OK && product == 0)
        status = value_scale(a, layer, a->folder->family->roles, scale);
    if (status == NLP_OK && factors && panels) {
        channel_factors(s, m, grid, factors);
        for (size_t c = 0; c < m->k; c++) mean[c] = (float)(s->sum[c] / (double)s->n_rows);
        nlp_pack_i8(&(nlp_pack_i8_args){.w = m->w,
                                        .bias = m->bias,
                                        .k = m->k,
                                        .n = m->n,
                                        .factors = factors,
                                        .output_scale = product == 0 ? scale : NULL,
                                        .input_mean = mean,
                                        .grid = grid},
                    panels);
    }
    nlp_mem_free(mem, mean, m->k * sizeof *mean);
    nlp_mem_free(mem, scale, m->n * sizeof *scale);
    return status;
}

/* Number of the product among the calibrated ones, or -1. */
static int product_of(const nlp_role *role) {
    for (int i = 0; role->per_layer && i < NLP_CALIBRATED_PRODUCTS; i++)
        if (!strcmp(role->name, nlp_calibration_points[i])) return i;
    return -1;
}

/* ---- Roles ---- */

static nlp_status write_linear(const assembly *a, const nlp_role *role, uint32_t layer,
                               const char *pack_name, size_t n) {
    matrix m;
    int product = product_of(role);
    nlp_status status = read_linear(a, role, layer, n, &m);
    if (status == NLP_OK && a->options->calibration && product >= 0)
        status = write_i8(a, layer, (size_t)product, pack_name, &m);
    else if (status == NLP_OK)
        status = write_f32(a, pack_name, &m);
    matrix_free(a, &m);
    return status;
}

static nlp_status write_role(const assembly *a, const nlp_role *role, uint32_t layer) {
    char name[64];
    size_t n = role->rows ? (size_t)role->rows_times * spec_value(&a->folder->spec, role->rows)
                          : a->folder->head.n_labels;
    if (role->per_layer)
        snprintf(name, sizeof name, "layer.%u.%s", layer, role->name);
    else
        snprintf(name, sizeof name, "%s", role->name);
    switch (role->kind) {
    case NLP_ROLE_TABLE:
        return write_table(a, role, name);
    case NLP_ROLE_NORM:
        return write_norm(a, role, layer, name);
    case NLP_ROLE_LINEAR:
        break;
    }
    return write_linear(a, role, layer, name, n);
}

static nlp_status write_roles(const assembly *a, const nlp_role *roles) {
    for (const nlp_role *role = roles; role && role->name; role++)
        for (uint32_t layer = 0; layer < (role->per_layer ? a->folder->spec.n_layers : 1); layer++)
            NLP_TRY(write_role(a, role, layer));
    return NLP_OK;
}

/* A Dense stage lies in a folder of its own: linear.weight, linear.bias. */
static nlp_status write_dense(const assembly *a, uint32_t stage, size_t k) {
    char path[4096], name[32];
    nlp_source source;
    snprintf(path, sizeof path, "%s/%s", a->folder->path, a->folder->dense_folder[stage]);
    nlp_status status = nlp_safetensors_open(&source, a->folder->mem, path, a->err);
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
    snprintf(name, sizeof name, "dense.%u", stage);
    if (status == NLP_OK) status = write_f32(a, name, &m);
    matrix_free(a, &m);
    nlp_safetensors_close(&source);
    return status;
}

static nlp_status write_pipeline(const assembly *a) {
    nlp_pooling_spec *p = &a->folder->pipeline;
    size_t width = a->folder->spec.hidden_size * (size_t)__builtin_popcount(p->pooling);
    if (!p->struct_size) return NLP_OK;
    for (uint32_t i = 0; i < p->n_stages; i++) {
        if (p->stages[i] != NLP_STAGE_DENSE) continue;
        NLP_TRY(write_dense(a, i, width));
        width = p->dims;
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
        if (!a->options->calibration)
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

static const char *tasks_of(const nlp_model_folder *f) {
    bool sentiment =
        f->head.struct_size && f->head.polarity[0] && f->head.n_labels <= NLP_MAX_POLARITIES;
    if (!f->head.struct_size) return "embed,similarity";
    return sentiment ? "classify,sentiment" : "classify";
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
                                        "config_sentence_transformers.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[4096], key[80], hex[NLP_SHA256_HEX_BYTES];
        snprintf(path, sizeof path, "%s/%s", a->folder->path, names[i]);
        nlp_status status = nlp_file_sha256(path, &a->options->poll->stop, hex, a->err);
        if (status == NLP_ENOFILE) continue;
        NLP_TRY(status);
        snprintf(key, sizeof key, "sha256 of %s", names[i]);
        nlp_pack_writer_pair(a->writer, "meta", key, hex);
    }
    return NLP_OK;
}

static void write_texts(const assembly *a) {
    nlp_model_folder *f = a->folder;
    for (uint32_t i = 0; i < f->head.n_labels; i++)
        nlp_pack_writer_string(a->writer, "labels", f->labels[i], strlen(f->labels[i]));
    for (uint32_t i = 0; i + 1 < f->n_prompts; i += 2)
        nlp_pack_writer_pair(a->writer, "prompts", f->prompts[i], f->prompts[i + 1]);
    nlp_pack_writer_pair(a->writer, "meta", "name", a->options->name);
    nlp_pack_writer_pair(a->writer, "meta", "family", f->family->name);
    nlp_pack_writer_pair(a->writer, "meta", "tasks", tasks_of(f));
    nlp_pack_writer_pair(a->writer, "meta", "importer", "nlp " NLP_VERSION);
    write_meta_lines(a->writer, a->options->meta, &f->arena);
}

/* Roles in the order of the family's table: the same folder gives the same bytes. */
nlp_status nlp_assemble(nlp_model_folder *folder, const nlp_assemble_options *options,
                        nlp_pack_writer *writer, nlp_error *err) {
    assembly a = {.folder = folder, .options = options, .writer = writer, .err = err};
    nlp_pack_writer_section(writer, "spec", &folder->spec, sizeof folder->spec);
    nlp_pack_writer_section(writer, "tokenizer", folder->tokenizer.bytes,
                            folder->tokenizer.n_bytes);
    NLP_TRY(write_roles(&a, folder->family->roles));
    if (folder->head.struct_size) {
        NLP_TRY(write_roles(&a, folder->family->head_roles));
        nlp_pack_writer_section(writer, "head", &folder->head, sizeof folder->head);
    }
    NLP_TRY(write_pipeline(&a));
    write_texts(&a);
    NLP_TRY(write_sources(&a));
    return check_leftovers(&a);
}
