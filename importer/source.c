/* source.c: tensors by name, and their numbers. */
#include "source.h"

#include <math.h>
#include <string.h>

#include "base/mapfile.h"
#include "tensor/quant.h"

void nlp_source_init(nlp_source *s, nlp_mem *mem) {
    *s = (nlp_source){.mem = mem};
    nlp_arena_init(&s->arena, mem);
}

void nlp_source_close(nlp_source *s) {
    for (int i = 0; i < s->n_files; i++) nlp_file_close(s->fds[i]);
    nlp_mem_free(s->mem, s->tensors, s->capacity * sizeof *s->tensors);
    nlp_arena_deinit(&s->arena);
    s->tensors = NULL;
    s->n_files = 0;
    s->n_tensors = s->capacity = 0;
}

nlp_status nlp_source_add_file(nlp_source *s, const char *path, uint64_t *n_bytes, nlp_error *err) {
    if (s->n_files == NLP_SOURCE_MAX_FILES)
        return nlp_fail(err, NLP_ELIMIT, "more than %d files of weights", NLP_SOURCE_MAX_FILES);
    NLP_TRY(nlp_file_open(path, &s->fds[s->n_files], n_bytes, err));
    s->paths[s->n_files++] = nlp_arena_text(&s->arena, path, strlen(path));
    return nlp_arena_status(&s->arena, err);
}

nlp_source_tensor *nlp_source_push(nlp_source *s) {
    if (s->n_tensors == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 256;
        nlp_source_tensor *tensors = nlp_mem_alloc(s->mem, capacity * sizeof *tensors);
        if (!tensors) return NULL;
        if (s->n_tensors) memcpy(tensors, s->tensors, s->n_tensors * sizeof *tensors);
        nlp_mem_free(s->mem, s->tensors, s->capacity * sizeof *s->tensors);
        s->tensors = tensors, s->capacity = capacity;
    }
    return memset(&s->tensors[s->n_tensors++], 0, sizeof *s->tensors);
}

nlp_source_tensor *nlp_source_find(const nlp_source *s, const char *name) {
    for (size_t i = 0; i < s->n_tensors; i++)
        if (!strcmp(s->tensors[i].name, name)) return &s->tensors[i];
    return NULL;
}

/* ---- Numbers ---- */

static const struct {
    uint8_t elements_by_32; /* 0: single numbers */
    uint16_t bytes;
} blocks[] = {
    [NLP_SOURCE_F32] = {0, 4},      [NLP_SOURCE_F16] = {0, 2},    [NLP_SOURCE_BF16] = {0, 2},
    [NLP_SOURCE_F64] = {0, 8},      [NLP_SOURCE_Q4_0] = {1, 18},  [NLP_SOURCE_Q4_1] = {1, 20},
    [NLP_SOURCE_Q5_0] = {1, 22},    [NLP_SOURCE_Q5_1] = {1, 24},  [NLP_SOURCE_Q8_0] = {1, 34},
    [NLP_SOURCE_Q2_K] = {8, 84},    [NLP_SOURCE_Q3_K] = {8, 110}, [NLP_SOURCE_Q4_K] = {8, 144},
    [NLP_SOURCE_Q5_K] = {8, 176},   [NLP_SOURCE_Q6_K] = {8, 210}, [NLP_SOURCE_IQ4_NL] = {1, 18},
    [NLP_SOURCE_IQ4_XS] = {8, 136}, [NLP_SOURCE_MXFP4] = {1, 17}, [NLP_SOURCE_S8] = {0, 1},
    [NLP_SOURCE_I8] = {0, 0},       [NLP_SOURCE_OTHER] = {0, 0}};

uint32_t nlp_source_block_elements(nlp_source_dtype dtype) {
    return blocks[dtype].elements_by_32 ? 32u * blocks[dtype].elements_by_32 : 1;
}
uint32_t nlp_source_block_bytes(nlp_source_dtype dtype) {
    return blocks[dtype].bytes;
}

static float single(const nlp_source_tensor *t, const uint8_t *at) {
    uint16_t half;
    float number;
    double wide;
    switch (t->dtype) {
    case NLP_SOURCE_F16:
        memcpy(&half, at, 2);
        return nlp_f32_from_f16(half);
    case NLP_SOURCE_BF16:
        memcpy(&half, at, 2);
        return nlp_f32_from_bf16(half);
    case NLP_SOURCE_F64:
        memcpy(&wide, at, 8);
        return (float)wide;
    case NLP_SOURCE_S8:
        return (float)(int8_t)*at * t->scale;
    default:
        memcpy(&number, at, 4);
        return number;
    }
}

/* A weight that is no number would spread to every result, so it is refused by name. */
static nlp_status decode(const nlp_source_tensor *t, const uint8_t *bytes, size_t n_blocks,
                         float *out, nlp_error *err) {
    size_t elements = nlp_source_block_elements(t->dtype), size = nlp_source_block_bytes(t->dtype);
    for (size_t i = 0; i < n_blocks; i++) {
        if (elements == 1)
            out[i] = single(t, bytes + i * size);
        else
            nlp_block_decode(t->dtype, bytes + i * size, out + i * elements);
        for (size_t k = 0; k < elements; k++)
            if (!isfinite(out[i * elements + k]))
                return nlp_fail(err, NLP_ECORRUPT, "tensor %.80s holds a number that is not finite",
                                t->name);
    }
    return NLP_OK;
}

/* In steps of whole blocks. */
static nlp_status read_stored(const nlp_source *s, const nlp_source_tensor *t, float *out,
                              nlp_poll *poll, nlp_error *err) {
    enum { CHUNK = 1 << 18 };
    size_t size = nlp_source_block_bytes(t->dtype), elements = nlp_source_block_elements(t->dtype);
    if (!size)
        return nlp_fail(err, NLP_EUNSUPPORTED,
                        "tensor %.80s is of a type that nlp does not read as weights", t->name);
    size_t step = CHUNK / size * size;
    uint8_t *chunk = nlp_mem_alloc(s->mem, step);
    nlp_status status = chunk ? NLP_OK : nlp_mem_fail(s->mem, step, err);
    for (uint64_t at = 0; at < t->n_bytes && status == NLP_OK; at += step) {
        size_t n_bytes = t->n_bytes - at < step ? (size_t)(t->n_bytes - at) : step;
        status = nlp_file_read(s->fds[t->file], t->offset + at, chunk, n_bytes, poll, err);
        if (status == NLP_OK)
            status = decode(t, chunk, n_bytes / size, out + at / size * elements, err);
    }
    nlp_mem_free(s->mem, chunk, step);
    return status;
}

/* ---- What writers changed ---- */

/* Of a head of d rows, row 2j + c was row c * d/2 + j: llama.cpp's and Meta's order. */
static nlp_status turn_back(const nlp_source_tensor *t, const float *stored, float *out,
                            nlp_error *err) {
    size_t rows = (size_t)t->shape[0], width = t->n_dims > 1 ? (size_t)t->shape[1] : 1,
           dim = rows / t->turned_heads;
    if (rows % t->turned_heads || dim % 2)
        return nlp_fail(err, NLP_EINVAL, "tensor %.80s has %zu rows for %u heads", t->name, rows,
                        t->turned_heads);
    for (size_t row = 0; row < rows; row++) {
        size_t in_head = row % dim, was = row - in_head + in_head % 2 * (dim / 2) + in_head / 2;
        memcpy(out + was * width, stored + row * width, width * sizeof *out);
    }
    return NLP_OK;
}

/* The shape is [in, out], the file has [out, in]. */
static void swap_dimensions(const nlp_source_tensor *t, const float *stored, float *out) {
    size_t rows = (size_t)t->shape[0], columns = (size_t)t->shape[1];
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < columns; k++) out[i * columns + k] = stored[k * rows + i];
}

/* A table whose tokens share rows. */
static nlp_status read_gathered(const nlp_source *s, const nlp_source_tensor *t, float *out,
                                nlp_poll *poll, nlp_error *err) {
    size_t width = (size_t)t->shape[1], n_bytes;
    if (nlp_mul_overflows((size_t)t->stored_rows, width * sizeof(float), &n_bytes))
        return nlp_fail(err, NLP_ELIMIT, "tensor %.80s is too large", t->name);
    float *stored = nlp_mem_alloc(s->mem, n_bytes);
    if (!stored) return nlp_mem_fail(s->mem, n_bytes, err);
    nlp_status status = read_stored(s, t, stored, poll, err);
    for (uint64_t i = 0; i < t->shape[0] && status == NLP_OK; i++) {
        const float *row = stored + (t->gather ? t->gather[i] : i) * width;
        for (size_t k = 0; k < width; k++)
            out[i * width + k] = row[k] * (t->row_scales ? t->row_scales[i] : 1);
    }
    nlp_mem_free(s->mem, stored, n_bytes);
    return status;
}

nlp_status nlp_source_read(const nlp_source *s, const nlp_source_tensor *t, float *out,
                           nlp_poll *poll, nlp_error *err) {
    if (t->stored_rows) return read_gathered(s, t, out, poll, err);
    NLP_TRY(read_stored(s, t, out, poll, err));
    for (uint64_t i = 0; t->minus_one && i < t->n_elements; i++) out[i] -= 1;
    if (!t->turned_heads && !t->transposed) return NLP_OK;
    size_t n_bytes = (size_t)t->n_elements * sizeof(float);
    float *stored = nlp_mem_alloc(s->mem, n_bytes);
    if (!stored) return nlp_mem_fail(s->mem, n_bytes, err);
    memcpy(stored, out, n_bytes);
    nlp_status status = NLP_OK;
    if (t->turned_heads)
        status = turn_back(t, stored, out, err);
    else
        swap_dimensions(t, stored, out);
    nlp_mem_free(s->mem, stored, n_bytes);
    return status;
}

nlp_status nlp_source_read_bytes(const nlp_source *s, const nlp_source_tensor *t, uint8_t *out,
                                 nlp_poll *poll, nlp_error *err) {
    return nlp_file_read(s->fds[t->file], t->offset, out, (size_t)t->n_bytes, poll, err);
}
