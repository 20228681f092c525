/* safetensors.c: headers checked whole before anything is read. */
#include "safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mapfile.h"
#include "json.h"
#include "tensor/quant.h"

/* ---- Header ---- */

static nlp_status bad(nlp_error *err, const char *file, const char *name, const char *what) {
    return nlp_fail(err, NLP_ECORRUPT, "%s: tensor %.80s %s", file, name, what);
}

typedef struct dtype_row {
    const char *name;
    nlp_source_dtype dtype;
    unsigned bits;
} dtype_row;

static const dtype_row *dtype_named(const char *name) {
    static const dtype_row rows[] = {
        {"F32", NLP_SOURCE_F32, 32},   {"F16", NLP_SOURCE_F16, 16},   {"BF16", NLP_SOURCE_BF16, 16},
        {"F64", NLP_SOURCE_F64, 64},   {"I64", NLP_SOURCE_OTHER, 64}, {"I32", NLP_SOURCE_OTHER, 32},
        {"U8", NLP_SOURCE_OTHER, 8},   {"I8", NLP_SOURCE_I8, 8},      {"BOOL", NLP_SOURCE_OTHER, 8},
        {"I16", NLP_SOURCE_OTHER, 16}, {"U16", NLP_SOURCE_OTHER, 16}, {"U32", NLP_SOURCE_OTHER, 32},
        {"U64", NLP_SOURCE_OTHER, 64}};
    for (size_t i = 0; name && i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, name)) return &rows[i];
    return NULL;
}

static nlp_status read_shape(const json_t *shape, const char *file, nlp_source_tensor *t,
                             nlp_error *err) {
    if (!json_is_array(shape) || json_array_size(shape) > NLP_SOURCE_MAX_DIMS)
        return bad(err, file, t->name, "has no shape of at most 8 dimensions");
    t->n_dims = (uint32_t)json_array_size(shape);
    t->n_elements = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        const json_t *dim = json_array_get(shape, i);
        json_int_t value = json_is_integer(dim) ? json_integer_value(dim) : -1;
        if (value < 0 || __builtin_mul_overflow(t->n_elements, (uint64_t)value, &t->n_elements))
            return bad(err, file, t->name, "has a shape whose product overflows");
        t->shape[i] = (uint64_t)value;
    }
    return NLP_OK;
}

/* Sizes are checked against the shape here, once, so that reading can't leave the file. */
static nlp_status read_tensor(const json_t *entry, const char *file, uint64_t data_bytes,
                              nlp_source_tensor *t, nlp_error *err) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    const dtype_row *dtype = dtype_named(json_string_value(json_object_get(entry, "dtype")));
    uint64_t n_bits;
    if (!json_is_integer(first) || !json_is_integer(last) || json_array_size(offsets) != 2 ||
        json_integer_value(first) < 0 || json_integer_value(last) < json_integer_value(first))
        return bad(err, file, t->name, "has no pair of offsets");
    if (!dtype) return bad(err, file, t->name, "has a data type that nlp does not read");
    NLP_TRY(read_shape(json_object_get(entry, "shape"), file, t, err));
    t->dtype = dtype->dtype;
    t->offset = (uint64_t)json_integer_value(first);
    t->n_bytes = (uint64_t)json_integer_value(last) - t->offset;
    if (t->offset > data_bytes || t->n_bytes > data_bytes - t->offset)
        return bad(err, file, t->name, "lies outside the file");
    if (__builtin_mul_overflow(t->n_elements, (uint64_t)dtype->bits, &n_bits) ||
        n_bits / 8 != t->n_bytes)
        return bad(err, file, t->name, "has a size that its shape contradicts");
    return NLP_OK;
}

static int by_offset(const void *a, const void *b) {
    const nlp_source_tensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

static nlp_status check_cover(nlp_source_tensor *tensors, size_t n, const char *file,
                              uint64_t data_bytes, nlp_error *err) {
    uint64_t end = 0;
    if (n) qsort(tensors, n, sizeof *tensors, by_offset);
    for (size_t i = 0; i < n; i++) {
        if (tensors[i].offset != end)
            return bad(err, file, tensors[i].name, "overlaps another or leaves a hole");
        end += tensors[i].n_bytes;
    }
    if (end == data_bytes) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT, "%s: tensors end at byte %llu of %llu", file,
                    (unsigned long long)end, (unsigned long long)data_bytes);
}

static nlp_status make_room(nlp_source *s, size_t n, nlp_error *err) {
    size_t capacity = s->n_tensors + n;
    if (capacity <= s->capacity) return NLP_OK;
    if (capacity > 1 << 20)
        return nlp_fail(err, NLP_ELIMIT, "a model of %zu tensors is not possible", capacity);
    void *tensors = nlp_mem_resize(s->mem, s->tensors, s->capacity * sizeof *s->tensors,
                                   capacity * sizeof *s->tensors);
    if (!tensors) return nlp_mem_fail(s->mem, capacity * sizeof *s->tensors, err);
    s->tensors = tensors;
    s->capacity = capacity;
    return NLP_OK;
}

static nlp_status add_tensors(nlp_source *s, const json_t *header, const char *file,
                              uint64_t data_at, uint64_t data_bytes, nlp_error *err) {
    const char *name;
    json_t *entry;
    if (!json_is_object(header))
        return nlp_fail(err, NLP_ECORRUPT, "%s: its header is no JSON object", file);
    NLP_TRY(make_room(s, json_object_size(header), err));
    size_t first = s->n_tensors;
    json_object_foreach((json_t *)(uintptr_t)header, name, entry) {
        if (!strcmp(name, "__metadata__")) continue;
        nlp_source_tensor *t = &s->tensors[s->n_tensors];
        *t = (nlp_source_tensor){.name = nlp_arena_text(&s->arena, name, strlen(name)),
                                 .file = s->n_files - 1};
        NLP_TRY(nlp_arena_status(&s->arena, err));
        NLP_TRY(read_tensor(entry, file, data_bytes, t, err));
        if (first && nlp_source_find(s, t->name)) return bad(err, file, t->name, "is in two files");
        s->n_tensors++;
    }
    NLP_TRY(check_cover(s->tensors + first, s->n_tensors - first, file, data_bytes, err));
    for (size_t i = first; i < s->n_tensors; i++) s->tensors[i].offset += data_at;
    return NLP_OK;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The header's length is the first thing a hostile file lies about: it is held against the
 * file's size and a cap before anything is read. */
nlp_status nlp_safetensors_add(nlp_source *s, const char *path, nlp_error *err) {
    uint64_t file_bytes, header_bytes = 0;
    const char *file = base_name(path);
    NLP_TRY(nlp_source_add_file(s, path, &file_bytes, err));
    int fd = s->fds[s->n_files - 1];
    if (file_bytes >= 8) NLP_TRY(nlp_file_read(fd, 0, &header_bytes, 8, NULL, err));
    if (file_bytes < 8 || header_bytes > file_bytes - 8 || header_bytes > NLP_JSON_HEADER_BYTES ||
        !header_bytes)
        return nlp_fail(err, NLP_ECORRUPT,
                        "%s: its header of %llu bytes does not fit the file's %llu", file,
                        (unsigned long long)header_bytes, (unsigned long long)file_bytes);
    char *text = nlp_mem_alloc(s->mem, header_bytes);
    json_t *header = NULL;
    if (!text) return nlp_mem_fail(s->mem, header_bytes, err);
    nlp_status status = nlp_file_read(fd, 8, text, header_bytes, NULL, err);
    if (status == NLP_OK && *text != '{')
        status = nlp_fail(err, NLP_ECORRUPT, "%s: its header is no JSON object", file);
    if (status == NLP_OK)
        status = nlp_json_parse(text, header_bytes, NLP_JSON_HEADER_BYTES, file, &header, err);
    if (status == NLP_OK)
        status = add_tensors(s, header, file, 8 + header_bytes, file_bytes - 8 - header_bytes, err);
    json_decref(header);
    nlp_mem_free(s->mem, text, header_bytes);
    return status;
}
