/* pack_write.c: a pack from its parts. The same parts give the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "pack/pack.h"

enum { MAX_NAME = 64 };

typedef struct written_section {
    char name[24];
    nlp_buf bytes;
    /* of a string list: entries in bytes are pairs of u32 and text, made into a list at the end */
    uint32_t n_strings;
    bool is_strings;
} written_section;

typedef struct written_tensor {
    nlp_pack_tensor entry;
    void *bytes;
} written_tensor;

struct nlp_pack_writer {
    nlp_mem *mem;
    nlp_pack_header header;
    written_section sections[NLP_PACK_MAX_SECTIONS];
    uint32_t n_sections;
    nlp_buf tensors; /* of written_tensor */
    nlp_buf out;
    nlp_error failure; /* first one; sticky */
};

nlp_status nlp_pack_writer_open(nlp_mem *mem, uint32_t kind, nlp_dtype precision,
                                nlp_pack_writer **writer, nlp_error *err) {
    nlp_pack_writer *w = nlp_mem_zalloc(mem, sizeof *w);
    *writer = w;
    if (!w) return nlp_mem_fail(mem, sizeof *w, err);
    w->mem = mem;
    memcpy(w->header.magic, NLP_PACK_MAGIC, sizeof w->header.magic);
    w->header.version = NLP_PACK_VERSION;
    w->header.byte_order = NLP_PACK_BYTE_ORDER;
    w->header.layout_id = NLP_LAYOUT_ID;
    w->header.numerics = NLP_NUMERICS;
    w->header.kind = kind;
    w->header.precision = (uint32_t)precision;
    w->header.sections_offset = NLP_PACK_PAGE_BYTES;
    nlp_buf_init(&w->tensors, mem);
    nlp_buf_init(&w->out, mem);
    return NLP_OK;
}

static size_t n_tensors(const nlp_pack_writer *w) {
    return w->tensors.n_bytes / sizeof(written_tensor);
}
static written_tensor *tensor_at(const nlp_pack_writer *w, size_t i) {
    return (written_tensor *)(void *)w->tensors.bytes + i;
}

void nlp_pack_writer_close(nlp_pack_writer *w) {
    if (!w) return;
    for (uint32_t i = 0; i < w->n_sections; i++) nlp_buf_deinit(&w->sections[i].bytes);
    for (size_t i = 0; i < n_tensors(w); i++)
        nlp_mem_free(w->mem, tensor_at(w, i)->bytes, (size_t)tensor_at(w, i)->entry.n_bytes);
    nlp_buf_deinit(&w->tensors);
    nlp_buf_deinit(&w->out);
    nlp_mem_free(w->mem, w, sizeof *w);
}

void nlp_pack_writer_base(nlp_pack_writer *w, const uint8_t base_digest[NLP_SHA256_BYTES]) {
    memcpy(w->header.base_digest, base_digest, NLP_SHA256_BYTES);
}

/* A section is made when something is first put into it. */
static written_section *section_named(nlp_pack_writer *w, const char *name) {
    for (uint32_t i = 0; i < w->n_sections; i++)
        if (!strcmp(w->sections[i].name, name)) return &w->sections[i];
    /* two places are kept for the tensor table and the weights */
    if (w->n_sections + 2 >= NLP_PACK_MAX_SECTIONS || strlen(name) >= sizeof w->sections->name) {
        if (w->failure.code == NLP_OK)
            nlp_fail(&w->failure, NLP_ELIMIT, "section %s: too many or too long a name", name);
        return NULL;
    }
    written_section *s = &w->sections[w->n_sections++];
    strncpy(s->name, name, sizeof s->name - 1);
    nlp_buf_init(&s->bytes, w->mem);
    return s;
}

void nlp_pack_writer_section(nlp_pack_writer *w, const char *name, const void *bytes,
                             size_t n_bytes) {
    written_section *s = section_named(w, name);
    if (s) nlp_buf_push(&s->bytes, bytes, n_bytes);
}

void nlp_pack_writer_string(nlp_pack_writer *w, const char *section, const char *text,
                            size_t n_bytes) {
    written_section *s = section_named(w, section);
    if (!s) return;
    s->is_strings = true;
    s->n_strings++;
    nlp_buf_push_u32(&s->bytes, (uint32_t)n_bytes);
    nlp_buf_push(&s->bytes, text, n_bytes);
}

void nlp_pack_writer_pair(nlp_pack_writer *w, const char *section, const char *key,
                          const char *text) {
    nlp_pack_writer_string(w, section, key, strlen(key));
    nlp_pack_writer_string(w, section, text, strlen(text));
}

/* The memory is zeroed, so padding has one value and equal inputs give equal packs. */
void *nlp_pack_writer_tensor(nlp_pack_writer *w, const char *name, nlp_dtype dtype, uint32_t layout,
                             nlp_grid grid, uint64_t rows, uint64_t columns) {
    written_tensor t = {.entry = {.dtype = (uint32_t)dtype,
                                  .layout = layout,
                                  .grid = (uint32_t)grid,
                                  .rows = rows,
                                  .columns = columns}};
    size_t n_bytes;
    if (w->failure.code != NLP_OK) return NULL;
    if (strlen(name) >= MAX_NAME) {
        nlp_fail(&w->failure, NLP_ELIMIT, "tensor %s: the name is too long", name);
        return NULL;
    }
    if (nlp_tensor_bytes(dtype, layout, rows, columns, &n_bytes, &w->failure) != NLP_OK)
        return NULL;
    strncpy(t.entry.name, name, MAX_NAME - 1);
    t.entry.n_bytes = n_bytes;
    t.bytes = nlp_mem_zalloc(w->mem, n_bytes);
    if (!t.bytes) {
        nlp_mem_fail(w->mem, n_bytes, &w->failure);
        return NULL;
    }
    nlp_buf_push(&w->tensors, &t, sizeof t);
    if (nlp_buf_status(&w->tensors, &w->failure) == NLP_OK) return t.bytes;
    nlp_mem_free(w->mem, t.bytes, n_bytes);
    return NULL;
}

/* ---- Finishing ---- */

/* {u32 bytes, text} ... to the list that pack_format.h describes. */
static void push_strings(nlp_buf *out, const written_section *s) {
    nlp_cursor cursor = nlp_cursor_of(s->bytes.bytes, s->bytes.n_bytes);
    uint32_t offset = 4 + 8 * s->n_strings;
    nlp_buf_push_u32(out, s->n_strings);
    for (uint32_t i = 0; i < s->n_strings; i++) {
        uint32_t n_bytes = nlp_read_u32(&cursor);
        nlp_read_bytes(&cursor, n_bytes);
        nlp_buf_push_u32(out, offset);
        nlp_buf_push_u32(out, n_bytes);
        offset += n_bytes;
    }
    cursor = nlp_cursor_of(s->bytes.bytes, s->bytes.n_bytes);
    for (uint32_t i = 0; i < s->n_strings; i++) {
        uint32_t n_bytes = nlp_read_u32(&cursor);
        nlp_buf_push(out, nlp_read_bytes(&cursor, n_bytes), n_bytes);
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const written_tensor *)a)->entry.name, ((const written_tensor *)b)->entry.name);
}

/* Places tensors one behind the other inside the weights section. */
static void place_tensors(nlp_pack_writer *w) {
    uint64_t offset = 0;
    if (n_tensors(w)) qsort(w->tensors.bytes, n_tensors(w), sizeof(written_tensor), by_name);
    for (size_t i = 0; i < n_tensors(w); i++) {
        tensor_at(w, i)->entry.offset = offset;
        offset += (tensor_at(w, i)->entry.n_bytes + NLP_PACK_ALIGNMENT - 1) / NLP_PACK_ALIGNMENT *
                  NLP_PACK_ALIGNMENT;
    }
}

static void begin_section(nlp_buf *out, nlp_pack_section *entry, const char *name) {
    nlp_buf_align(out, NLP_PACK_ALIGNMENT);
    memset(entry, 0, sizeof *entry);
    strncpy(entry->name, name, sizeof entry->name - 1);
    entry->offset = out->n_bytes;
}

/* Sections as they were first named, tensors by name, padding zero: same calls, same bytes. */
static uint32_t push_sections(nlp_pack_writer *w, nlp_pack_section *table) {
    uint32_t n = 0;
    for (; n < w->n_sections; n++) {
        begin_section(&w->out, &table[n], w->sections[n].name);
        if (w->sections[n].is_strings)
            push_strings(&w->out, &w->sections[n]);
        else
            nlp_buf_push(&w->out, w->sections[n].bytes.bytes, w->sections[n].bytes.n_bytes);
        table[n].n_bytes = w->out.n_bytes - table[n].offset;
    }
    begin_section(&w->out, &table[n], "tensors");
    for (size_t i = 0; i < n_tensors(w); i++)
        nlp_buf_push(&w->out, &tensor_at(w, i)->entry, sizeof(nlp_pack_tensor));
    table[n].n_bytes = w->out.n_bytes - table[n].offset;
    begin_section(&w->out, &table[++n], "weights");
    for (size_t i = 0; i < n_tensors(w); i++) {
        nlp_buf_push(&w->out, tensor_at(w, i)->bytes, (size_t)tensor_at(w, i)->entry.n_bytes);
        nlp_buf_align(&w->out, NLP_PACK_ALIGNMENT);
    }
    table[n].n_bytes = w->out.n_bytes - table[n].offset;
    return n + 1;
}

/* Digests last: the meta digest covers the table, the digest all of it. */
nlp_status nlp_pack_writer_finish(nlp_pack_writer *w, const uint8_t **bytes, size_t *n_bytes,
                                  nlp_error *err) {
    nlp_pack_section table[NLP_PACK_MAX_SECTIONS];
    uint32_t n_sections = w->n_sections + 2;
    place_tensors(w);
    w->out.n_bytes = 0;
    nlp_buf_push_zero(&w->out, NLP_PACK_PAGE_BYTES + n_sections * sizeof *table);
    push_sections(w, table);
    for (uint32_t i = 0; i < w->n_sections && w->failure.code == NLP_OK; i++)
        nlp_buf_status(&w->sections[i].bytes, &w->failure);
    if (w->failure.code == NLP_OK) nlp_buf_status(&w->tensors, &w->failure);
    if (w->failure.code == NLP_OK) nlp_buf_status(&w->out, &w->failure);
    if (w->failure.code != NLP_OK) {
        if (err) *err = w->failure;
        return w->failure.code;
    }
    w->header.file_bytes = w->out.n_bytes;
    w->header.n_sections = n_sections;
    memcpy(w->out.bytes, &w->header, sizeof w->header);
    memcpy(w->out.bytes + NLP_PACK_PAGE_BYTES, table, n_sections * sizeof *table);
    nlp_pack_header *header = (nlp_pack_header *)(void *)w->out.bytes;
    nlp_pack_meta_digest(w->out.bytes, header->meta_digest);
    NLP_TRY(nlp_pack_digest(w->out.bytes, w->out.n_bytes, NULL, header->digest, err));
    *bytes = w->out.bytes;
    *n_bytes = w->out.n_bytes;
    return NLP_OK;
}
