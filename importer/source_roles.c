/* source_roles.c: roles of a family's table found among the tensors of a source, checked against the
 * config and turned into the pack's order. */
#include <stdio.h>
#include <string.h>

#include "assembly.h"

/* ---- Names ---- */

/* "%u" is the layer; with "%g" before it the group, and "%u" the layer inside the group. */
static void layer_prefix(const assembly *a, uint32_t layer, char out[128]) {
    uint32_t inner = a->config->n_inner ? a->config->n_inner : 1;
    bool grouped = strstr(a->source->layer, "%g") != NULL;
    size_t n = 0;
    for (const char *at = a->source->layer; *at && n + 12 < 128; at++) {
        if (at[0] == '%' && (at[1] == 'u' || at[1] == 'g')) {
            uint32_t number = !grouped ? layer : at[1] == 'g' ? layer / inner : layer % inner;
            n += (size_t)snprintf(out + n, 128 - n, "%u", number);
            at++;
        } else {
            out[n++] = *at;
        }
    }
    out[n] = 0;
}

nlp_source_tensor *assembly_find(const assembly *a, const char *part, uint32_t layer,
                                 bool per_layer, const char *ending) {
    char prefix[128] = "", name[256];
    if (per_layer) layer_prefix(a, layer, prefix);
    while (*part) {
        size_t n = strcspn(part, "|");
        snprintf(name, sizeof name, "%s%.*s%s", prefix, (int)n, part, ending);
        nlp_source_tensor *t = nlp_family_tensor(a->folder->family, &a->folder->source, name);
        if (t) return t;
        part += n + (part[n] == '|');
    }
    return NULL;
}

const nlp_role_source *assembly_source(const assembly *a, const char *role) {
    for (const nlp_role_source *s = a->source->roles; s->role; s++)
        if (!strcmp(s->role, role)) return s;
    return NULL;
}

/* ---- Numbers ---- */

nlp_status assembly_read(const assembly *a, nlp_source_tensor *t, const char *name, uint64_t rows,
                         uint64_t columns, float *out) {
    if (!t) return nlp_fail(a->err, NLP_EINVAL, "the model has no tensor %s", name);
    bool fits = columns ? t->n_dims == 2 && t->shape[0] == rows && t->shape[1] == columns
                        : t->n_elements == rows && t->n_dims <= 2;
    if (!fits)
        return nlp_fail(a->err, NLP_EINVAL,
                        "tensor %s is %llu x %llu, config.json needs %llu x %llu", t->name,
                        (unsigned long long)(t->n_dims ? t->shape[0] : 0),
                        (unsigned long long)(t->n_dims > 1 ? t->shape[1] : 1),
                        (unsigned long long)rows, (unsigned long long)(columns ? columns : 1));
    t->used = true;
    return nlp_source_read(&a->folder->source, t, out, a->options->poll, a->err);
}

void matrix_free(const assembly *a, matrix *m) {
    nlp_mem_free(a->folder->mem, m->w, m->n * m->k * sizeof *m->w);
    nlp_mem_free(a->folder->mem, m->bias, m->n * sizeof *m->bias);
    m->w = m->bias = NULL;
}

nlp_status matrix_alloc(const assembly *a, matrix *m, size_t n, size_t k) {
    size_t n_floats;
    *m = (matrix){.n = n, .k = k};
    if (nlp_mul_overflows(n, k, &n_floats) || nlp_mul_overflows(n_floats, sizeof(float), &n_floats))
        return nlp_fail(a->err, NLP_ELIMIT, "a matrix of %zu x %zu is not possible", n, k);
    m->w = nlp_mem_alloc(a->folder->mem, n_floats);
    m->bias = nlp_mem_zalloc(a->folder->mem, n * sizeof(float));
    return m->w && m->bias ? NLP_OK : nlp_mem_fail(a->folder->mem, n_floats, a->err);
}

/* [in, out] and [out, in, 3] become [out, in] and [out, 3 * in]. */
static void reorder(const float *in, size_t n, size_t k, uint32_t form, float *out) {
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < k; p++)
            if (form & NLP_FORM_TRANSPOSED)
                out[i * k + p] = in[p * n + i];
            else
                out[i * k + p] = in[i * k + p % (k / 3) * 3 + p / (k / 3)];
}

static nlp_status read_neighbours(const assembly *a, nlp_source_tensor *t, size_t n, size_t k,
                                  float *out) {
    if (t->n_dims != 3 || t->shape[0] != n || t->shape[1] != k / 3 || t->shape[2] != 3)
        return nlp_fail(a->err, NLP_EUNSUPPORTED,
                        "%s is no convolution of %zu numbers over 3 tokens", t->name, n);
    t->used = true;
    return nlp_source_read(&a->folder->source, t, out, a->options->poll, a->err);
}

static nlp_status read_reordered(const assembly *a, nlp_source_tensor *t, const char *name,
                                 size_t n, size_t k, uint32_t form, float *out) {
    matrix copy;
    if (!t) return nlp_fail(a->err, NLP_EINVAL, "the model has no tensor %s", name);
    nlp_status status = matrix_alloc(a, &copy, n, k);
    if (status == NLP_OK && (form & NLP_FORM_TRANSPOSED))
        status = assembly_read(a, t, name, k, n, copy.w);
    else if (status == NLP_OK)
        status = read_neighbours(a, t, n, k, copy.w);
    if (status == NLP_OK) reorder(copy.w, n, k, form, out);
    matrix_free(a, &copy);
    return status;
}

/* ---- Roles ---- */

bool assembly_is_tied(const assembly *a) {
    const nlp_role_source *s = assembly_source(a, "output");
    if (!s || !(s->form & NLP_FORM_TIED) || !a->config->spec.n_outputs) return false;
    return a->folder->tied;
}

/* Outputs of one part: queries and keys may differ in number. */
size_t assembly_part_rows(const assembly *a, const nlp_role *role, size_t n_parts, size_t part) {
    const nlp_arch_spec *s = &a->config->spec;
    size_t n = nlp_size_of(s, role->rows);
    if (n_parts == 3 && role->rows == NLP_SIZE_QKV)
        return (size_t)(part ? s->n_kv_heads : s->n_heads) * s->head_dim;
    return n / n_parts;
}

static nlp_status read_bias(const assembly *a, const nlp_role *role, const nlp_role_source *s,
                            uint32_t layer, size_t part, size_t n, float *out) {
    if (s->form & NLP_FORM_NO_BIAS) return NLP_OK;
    const char *name = s->bias ? s->bias : s->parts[part];
    nlp_source_tensor *t = assembly_find(a, name, layer, role->per_layer, s->bias ? "" : ".bias");
    bool wanted = s->bias_key && json_is_true(json_object_get(a->folder->config, s->bias_key));
    if (!t && (s->form & NLP_FORM_ANY_BIAS) && !wanted) return NLP_OK;
    if (!t)
        return nlp_fail(a->err, NLP_EINVAL, "the model has no tensor %s%s", name,
                        s->bias ? "" : ".bias");
    return assembly_read(a, t, name, n, 0, out);
}

static nlp_status read_part(const assembly *a, const nlp_role *role, const nlp_role_source *s,
                            uint32_t layer, size_t part, size_t n, size_t k, float *out) {
    const char *name = s->parts[part];
    const nlp_role_source *words = assembly_source(a, "embedding.word");
    bool tied = !strcmp(role->name, "output") && assembly_is_tied(a);
    nlp_source_tensor *t = tied ? assembly_find(a, words->parts[0], 0, false, ".weight")
                                : assembly_find(a, name, layer, role->per_layer, ".weight");
    nlp_source_tensor *stale = tied ? assembly_find(a, name, 0, false, ".weight") : NULL;
    if (stale) stale->used = true;
    if (s->form & (NLP_FORM_TRANSPOSED | NLP_FORM_NEIGHBOURS))
        return read_reordered(a, t, name, n, k, s->form, out);
    return assembly_read(a, t, name, n, k, out);
}

static void swap_halves(float *rows, size_t n_floats, float *spare) {
    memcpy(spare, rows, n_floats * sizeof *rows);
    memcpy(rows, spare + n_floats / 2, n_floats / 2 * sizeof *rows);
    memcpy(rows + n_floats / 2, spare, n_floats / 2 * sizeof *rows);
}

nlp_status matrix_read(const assembly *a, const nlp_role *role, const nlp_role_source *s,
                       uint32_t layer, matrix *m) {
    size_t n = nlp_size_of(&a->config->spec, role->rows),
           k = nlp_size_of(&a->config->spec, role->columns), n_parts = 0, row = 0;
    while (n_parts < 3 && s->parts[n_parts]) n_parts++;
    if (role->rows == NLP_SIZE_UP && !a->config->spec.gated) n_parts = 1;
    NLP_TRY(matrix_alloc(a, m, n, k));
    for (size_t part = 0; part < n_parts; part++) {
        size_t rows = assembly_part_rows(a, role, n_parts, part);
        NLP_TRY(read_part(a, role, s, layer, part, rows, k, m->w + row * k));
        NLP_TRY(read_bias(a, role, s, layer, part, rows, m->bias + row));
        row += rows;
    }
    if (!(s->form & NLP_FORM_SWAPPED)) return NLP_OK;
    matrix spare;
    nlp_status status = matrix_alloc(a, &spare, n, k);
    if (status == NLP_OK) {
        swap_halves(m->w, n * k, spare.w);
        swap_halves(m->bias, n, spare.w);
    }
    matrix_free(a, &spare);
    return status;
}
