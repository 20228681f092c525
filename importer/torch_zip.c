/* torch_zip.c: NAME/data.pkl, NAME/data/K for each storage K, all stored and not packed (torch's
 * caffe2/serialize/inline_container.cc). */
#include "torch_zip.h"

#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"
#include "pickle.h"
#include "zip.h"

enum { MOST_STORAGES = 1 << 16, MOST_PROGRAM = 64 << 20 };

typedef struct storage {
    uint64_t key, offset, n_bytes;
} storage;

typedef struct torch_file {
    nlp_zip zip;
    nlp_arena arena;
    nlp_zip_member program;
    bool has_program, has_byte_order;
    storage *storages;
    size_t n_storages, capacity;
} torch_file;

static nlp_status refuse(const torch_file *f, const char *what) {
    return nlp_fail(f->zip.err, NLP_ECORRUPT, "pytorch_model.bin is damaged: %s", what);
}

/* ---- Members ---- */

static bool name_ends(const nlp_zip_member *m, const char *ending) {
    size_t n = strlen(ending);
    return m->name_bytes >= n && !memcmp(m->name + m->name_bytes - n, ending, n);
}

/* "NAME/data/12" -> 12 */
static bool storage_key(const nlp_zip_member *m, uint64_t *key) {
    size_t at = m->name_bytes, n_digits = 0;
    while (at && m->name[at - 1] >= '0' && m->name[at - 1] <= '9') at--, n_digits++;
    if (!n_digits || n_digits > 12 || at < 6 || memcmp(m->name + at - 6, "/data/", 6) != 0)
        return false;
    *key = 0;
    for (; at < m->name_bytes; at++) *key = *key * 10 + (uint64_t)(m->name[at] - '0');
    return true;
}

static nlp_status add_storage(torch_file *f, const nlp_zip_member *m, uint64_t key) {
    if (m->method || m->packed_bytes != m->n_bytes) return refuse(f, "a storage is packed");
    if (f->n_storages == MOST_STORAGES) return refuse(f, "it has too many storages");
    if (f->n_storages == f->capacity) {
        f->capacity = 2 * f->capacity + 256;
        storage *wider = NLP_PUSH(&f->arena, storage, f->capacity);
        NLP_TRY(nlp_arena_status(&f->arena, f->zip.err));
        if (f->n_storages) memcpy(wider, f->storages, f->n_storages * sizeof *wider);
        f->storages = wider;
    }
    storage *s = &f->storages[f->n_storages++];
    *s = (storage){.key = key, .n_bytes = m->n_bytes};
    return nlp_zip_data(&f->zip, m, &s->offset);
}

static nlp_status check_byte_order(torch_file *f, const nlp_zip_member *m) {
    uint8_t *bytes;
    if (f->has_byte_order) return refuse(f, "it has two byte orders");
    f->has_byte_order = true;
    if (m->n_bytes > 8 || m->packed_bytes > 64) return refuse(f, "its byte order is too long");
    NLP_TRY(nlp_zip_load(&f->zip, m, &bytes));
    bool little = m->n_bytes == 6 && !memcmp(bytes, "little", 6);
    nlp_mem_free(f->zip.mem, bytes, (size_t)m->n_bytes + 1);
    return little ? NLP_OK
                  : nlp_fail(f->zip.err, NLP_EUNSUPPORTED,
                             "pytorch_model.bin holds numbers of another byte order");
}

static nlp_status visit(void *context, const nlp_zip_member *m) {
    torch_file *f = context;
    uint64_t key;
    if (storage_key(m, &key)) return add_storage(f, m, key);
    if (name_ends(m, "/byteorder")) return check_byte_order(f, m);
    if (!name_ends(m, "/data.pkl")) return NLP_OK;
    if (f->has_program) return refuse(f, "it has two programs");
    f->program = *m;
    f->has_program = true;
    return NLP_OK;
}

static int by_key(const void *a, const void *b) {
    uint64_t x = ((const storage *)a)->key, y = ((const storage *)b)->key;
    return x < y ? -1 : x > y;
}

static nlp_status sort_storages(torch_file *f) {
    if (!f->n_storages) return NLP_OK;
    qsort(f->storages, f->n_storages, sizeof *f->storages, by_key);
    for (size_t i = 1; i < f->n_storages; i++)
        if (f->storages[i].key == f->storages[i - 1].key)
            return refuse(f, "a storage is there twice");
    return NLP_OK;
}

/* ---- Tensors ---- */

/* The numbers must lie one behind the other: strides of dimensions of one do not count. */
static bool is_contiguous(const nlp_pickle_tensor *t) {
    uint64_t step = 1;
    for (uint32_t i = t->n_dims; i-- > 0;) {
        if (t->shape[i] != 1 && t->stride[i] != step) return false;
        if (__builtin_mul_overflow(step, t->shape[i], &step)) return false;
    }
    return true;
}

static bool count_elements(const nlp_pickle_tensor *t, uint64_t *n) {
    *n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (__builtin_mul_overflow(*n, t->shape[i], n)) return false;
    return true;
}

/* All of it inside its storage, and the storage as long as the program says. */
static nlp_status add_tensor(torch_file *f, nlp_source *source, const nlp_pickle_tensor *t) {
    const storage wanted = {.key = strtoull(t->storage, NULL, 10)};
    const storage *s =
        f->n_storages ? bsearch(&wanted, f->storages, f->n_storages, sizeof *s, by_key) : NULL;
    uint64_t n, end, n_bytes;
    if (!s) return refuse(f, "a storage is missing");
    if (!count_elements(t, &n) || __builtin_add_overflow(t->offset, n, &end) ||
        __builtin_mul_overflow(end, (uint64_t)t->element_bytes, &n_bytes) || n_bytes > s->n_bytes ||
        end > t->storage_elements)
        return refuse(f, "a tensor is longer than its storage");
    if (n && !is_contiguous(t))
        return nlp_fail(f->zip.err, NLP_EUNSUPPORTED,
                        "tensor %.80s is not stored in the order of its rows", t->name);
    nlp_source_tensor *out = nlp_source_push(source);
    if (!out) return nlp_mem_fail(source->mem, sizeof *out, f->zip.err);
    out->name = nlp_arena_text(&source->arena, t->name, strlen(t->name));
    out->dtype = t->dtype;
    out->n_dims = t->n_dims;
    memcpy(out->shape, t->shape, sizeof out->shape);
    out->n_elements = n;
    out->offset = s->offset + t->offset * t->element_bytes;
    out->n_bytes = n * t->element_bytes;
    out->file = source->n_files - 1;
    return nlp_arena_status(&source->arena, f->zip.err);
}

static nlp_status read_program(torch_file *f, nlp_source *source) {
    nlp_pickle pickle;
    uint8_t *program;
    nlp_mem mem;
    if (!f->has_program) return refuse(f, "it has no data.pkl");
    if (f->program.n_bytes > MOST_PROGRAM) return refuse(f, "its data.pkl is too long");
    NLP_TRY(sort_storages(f));
    NLP_TRY(nlp_zip_load(&f->zip, &f->program, &program));
    nlp_mem_init(&mem, NULL, NULL, 16 * (size_t)f->program.n_bytes + (1 << 20));
    nlp_status status = nlp_pickle_read(&pickle, &mem, program, f->program.n_bytes, f->zip.err);
    for (size_t i = 0; i < pickle.n_tensors && status == NLP_OK; i++)
        status = add_tensor(f, source, &pickle.tensors[i]);
    nlp_pickle_close(&pickle);
    nlp_mem_free(f->zip.mem, program, (size_t)f->program.n_bytes + 1);
    return status;
}

nlp_status nlp_torch_add(nlp_source *source, const char *path, nlp_error *err) {
    torch_file f = {.zip = {.mem = source->mem, .err = err}};
    uint8_t magic[2] = {0};
    NLP_TRY(nlp_source_add_file(source, path, &f.zip.n_bytes, err));
    f.zip.fd = source->fds[source->n_files - 1];
    nlp_poll_init(&f.zip.poll, NULL, 0);
    if (f.zip.n_bytes >= 2) NLP_TRY(nlp_file_read(f.zip.fd, 0, magic, 2, NULL, err));
    if (memcmp(magic, "PK", 2) != 0) {
        nlp_fail(err, NLP_EUNSUPPORTED, "%.200s is no zip: it is of the form before torch 1.6",
                 path);
        nlp_hint(err, "load and save it with a newer torch, or convert it to safetensors");
        return NLP_EUNSUPPORTED;
    }
    nlp_arena_init(&f.arena, source->mem);
    nlp_status status = nlp_zip_walk(&f.zip, visit, &f);
    if (status == NLP_OK) status = read_program(&f, source);
    nlp_arena_deinit(&f.arena);
    return status;
}
