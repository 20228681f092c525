/* gguf.c: a header read with every count held against the bytes that remain. */
#include "gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"

/* Keys and tensors' places come first: never more than this, of which vocabularies are the most. */
#define MOST_HEADER ((size_t)64 << 20)
enum { MOST_PAIRS = 1 << 16, MOST_TENSORS = 1 << 17, MOST_KEY = 65535, MOST_NAME = 256 };

typedef struct reader {
    nlp_gguf *g;
    nlp_source *source;
    nlp_cursor c;          /* over the header */
    const uint8_t *header; /* the file's first bytes */
    uint64_t n_bytes;      /* of the file */
    nlp_error *err;
} reader;

static nlp_status damaged(const reader *r, const char *what) {
    return nlp_fail(r->err, NLP_ECORRUPT, "the GGUF file is damaged: %s", what);
}

/* ---- Pairs ---- */

static size_t size_of(nlp_gguf_type type) {
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return sizes[type];
}

static nlp_status read_name(reader *r, size_t most, const char **name) {
    uint64_t n = nlp_read_u64(&r->c);
    const char *bytes = n <= most ? nlp_read_bytes(&r->c, (size_t)n) : NULL;
    if (!bytes || memchr(bytes, 0, (size_t)n)) return damaged(r, "a name is too long or cut");
    *name = nlp_arena_text(&r->g->arena, bytes, (size_t)n);
    return nlp_arena_status(&r->g->arena, r->err);
}

/* Texts of an array are walked once here, so that later walks stay inside. */
static nlp_status skip_texts(reader *r, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        uint64_t length = nlp_read_u64(&r->c);
        if (length > r->c.n_left || !nlp_read_bytes(&r->c, (size_t)length))
            return damaged(r, "a text is cut");
    }
    return NLP_OK;
}

static nlp_status read_members(reader *r, nlp_gguf_pair *p) {
    size_t n_bytes;
    p->bytes = r->c.at;
    if (p->type > NLP_GGUF_F64 || p->type == NLP_GGUF_ARRAY)
        return nlp_fail(r->err, NLP_EUNSUPPORTED,
                        "GGUF: \"%.80s\" is of a type that nlp does not read", p->key);
    if (p->type == NLP_GGUF_STRING) {
        NLP_TRY(skip_texts(r, p->n));
    } else if (p->n > r->c.n_left || nlp_mul_overflows((size_t)p->n, size_of(p->type), &n_bytes) ||
               !nlp_read_bytes(&r->c, n_bytes)) {
        return damaged(r, "a list is longer than the file");
    }
    p->n_bytes = (size_t)(r->c.at - p->bytes);
    return NLP_OK;
}

static nlp_status read_pair(reader *r, nlp_gguf_pair *p) {
    NLP_TRY(read_name(r, MOST_KEY, &p->key));
    p->type = (nlp_gguf_type)nlp_read_u32(&r->c);
    p->n = 1;
    p->is_array = p->type == NLP_GGUF_ARRAY;
    if (p->is_array) {
        p->type = (nlp_gguf_type)nlp_read_u32(&r->c);
        p->n = nlp_read_u64(&r->c);
    }
    return r->c.failed ? damaged(r, "a key is cut") : read_members(r, p);
}

/* ---- Tensors ---- */

/* Types that are not read (IQ2, IQ3, TQ1 ... and whole numbers) are refused when a role asks for
 * them. */
static nlp_source_dtype dtype_of(uint32_t type) {
    static const struct {
        uint32_t type;
        nlp_source_dtype dtype;
    } types[] = {{0, NLP_SOURCE_F32},     {1, NLP_SOURCE_F16},   {30, NLP_SOURCE_BF16},
                 {28, NLP_SOURCE_F64},    {2, NLP_SOURCE_Q4_0},  {3, NLP_SOURCE_Q4_1},
                 {6, NLP_SOURCE_Q5_0},    {7, NLP_SOURCE_Q5_1},  {8, NLP_SOURCE_Q8_0},
                 {10, NLP_SOURCE_Q2_K},   {11, NLP_SOURCE_Q3_K}, {12, NLP_SOURCE_Q4_K},
                 {13, NLP_SOURCE_Q5_K},   {14, NLP_SOURCE_Q6_K}, {20, NLP_SOURCE_IQ4_NL},
                 {23, NLP_SOURCE_IQ4_XS}, {39, NLP_SOURCE_MXFP4}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type) return types[i].dtype;
    return NLP_SOURCE_OTHER;
}

/* Dimensions come innermost first; sizes must be whole blocks along the innermost. */
static nlp_status read_shape(reader *r, nlp_source_tensor *t) {
    size_t n = 1;
    t->n_dims = nlp_read_u32(&r->c);
    if (!t->n_dims || t->n_dims > 4) return damaged(r, "a tensor has no possible dimensions");
    for (uint32_t i = t->n_dims; i-- > 0;) {
        t->shape[i] = nlp_read_u64(&r->c);
        if (!t->shape[i] || t->shape[i] > SIZE_MAX || nlp_mul_overflows(n, (size_t)t->shape[i], &n))
            return damaged(r, "a tensor's size is not possible");
    }
    t->n_elements = n;
    return NLP_OK;
}

static nlp_status read_tensor(reader *r) {
    nlp_source_tensor *t = nlp_source_push(r->source);
    const char *name;
    size_t n_bytes;
    if (!t) return nlp_mem_fail(r->source->mem, sizeof *t, r->err);
    t->name = "";
    NLP_TRY(read_name(r, MOST_NAME, &name));
    t->name = nlp_arena_text(&r->source->arena, name, strlen(name));
    NLP_TRY(nlp_arena_status(&r->source->arena, r->err));
    NLP_TRY(read_shape(r, t));
    uint32_t type = nlp_read_u32(&r->c);
    t->offset = nlp_read_u64(&r->c);
    if (r->c.failed) return damaged(r, "a tensor's entry is cut");
    t->dtype = dtype_of(type);
    uint32_t elements = nlp_source_block_elements(t->dtype);
    if (t->shape[t->n_dims - 1] % elements)
        return damaged(r, "a tensor's rows are no whole blocks");
    if (nlp_mul_overflows((size_t)t->n_elements / elements, nlp_source_block_bytes(t->dtype),
                          &n_bytes))
        return damaged(r, "a tensor's size is not possible");
    t->n_bytes = n_bytes;
    t->file = r->source->n_files - 1;
    return NLP_OK;
}

static int by_offset(const void *a, const void *b, void *context) {
    const nlp_source_tensor *t = context, *x = &t[*(const uint32_t *)a],
                            *y = &t[*(const uint32_t *)b];
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}
static int by_name(const void *a, const void *b, void *context) {
    const nlp_source_tensor *t = context;
    return strcmp(t[*(const uint32_t *)a].name, t[*(const uint32_t *)b].name);
}

/* No two tensors share a byte or a name. */
static nlp_status check_apart(reader *r) {
    nlp_source_tensor *t = r->source->tensors;
    uint32_t n = (uint32_t)r->source->n_tensors, *order = NLP_PUSH(&r->g->arena, uint32_t, n);
    NLP_TRY(nlp_arena_status(&r->g->arena, r->err));
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    qsort_r(order, n, sizeof *order, by_offset, t);
    for (uint32_t i = 1; i < n; i++)
        if (t[order[i - 1]].offset + t[order[i - 1]].n_bytes > t[order[i]].offset)
            return nlp_fail(r->err, NLP_ECORRUPT, "GGUF: tensors %.60s and %.60s overlap",
                            t[order[i - 1]].name, t[order[i]].name);
    qsort_r(order, n, sizeof *order, by_name, t);
    for (uint32_t i = 1; i < n; i++)
        if (!strcmp(t[order[i - 1]].name, t[order[i]].name))
            return nlp_fail(r->err, NLP_ECORRUPT, "GGUF: two tensors are called %.60s",
                            t[order[i]].name);
    return NLP_OK;
}

/* Offsets count from the aligned end of the header. */
static nlp_status place_tensors(reader *r) {
    uint64_t alignment = (uint64_t)nlp_gguf_integer(r->g, "general.alignment", 32);
    uint64_t header = (uint64_t)(r->c.at - r->header);
    if (!alignment || alignment > 1 << 20 || alignment & (alignment - 1))
        return damaged(r, "its alignment is no power of two");
    uint64_t start = (header + alignment - 1) / alignment * alignment;
    uint64_t room = start <= r->n_bytes ? r->n_bytes - start : 0;
    for (size_t i = 0; i < r->source->n_tensors; i++) {
        nlp_source_tensor *t = &r->source->tensors[i];
        if (t->offset % alignment || t->offset > room || t->n_bytes > room - t->offset)
            return nlp_fail(r->err, NLP_ECORRUPT, "GGUF: tensor %.80s lies outside the file",
                            t->name);
        t->offset += start;
    }
    return check_apart(r);
}

static nlp_status read_header(reader *r) {
    const char *magic = nlp_read_bytes(&r->c, 4);
    uint32_t version = nlp_read_u32(&r->c);
    uint64_t n_tensors = nlp_read_u64(&r->c), n_pairs = nlp_read_u64(&r->c);
    if (!magic || memcmp(magic, "GGUF", 4)) return damaged(r, "it does not begin with GGUF");
    if (version != 2 && version != 3)
        return nlp_fail(r->err, NLP_EUNSUPPORTED, "GGUF version %u is not known, 2 and 3 are",
                        version);
    /* a pair has 13 bytes at least, a tensor 32 */
    if (n_pairs > MOST_PAIRS || n_tensors > MOST_TENSORS || n_pairs > r->c.n_left / 13 ||
        n_tensors > r->c.n_left / 32)
        return damaged(r, "it says that it holds more than it has bytes for");
    r->g->pairs = NLP_PUSH_ZERO(&r->g->arena, nlp_gguf_pair, (size_t)n_pairs);
    NLP_TRY(nlp_arena_status(&r->g->arena, r->err));
    for (; r->g->n_pairs < n_pairs; r->g->n_pairs++)
        NLP_TRY(read_pair(r, &r->g->pairs[r->g->n_pairs]));
    for (uint64_t i = 0; i < n_tensors; i++) NLP_TRY(read_tensor(r));
    return place_tensors(r);
}

nlp_status nlp_gguf_open(nlp_gguf *g, nlp_source *source, const char *path, nlp_error *err) {
    reader r = {.g = g, .source = source, .err = err};
    memset(g, 0, sizeof *g);
    nlp_arena_init(&g->arena, source->mem);
    NLP_TRY(nlp_source_add_file(source, path, &r.n_bytes, err));
    size_t n = r.n_bytes < MOST_HEADER ? (size_t)r.n_bytes : MOST_HEADER;
    uint8_t *header = NLP_PUSH(&g->arena, uint8_t, n);
    NLP_TRY(nlp_arena_status(&g->arena, err));
    NLP_TRY(nlp_file_read(source->fds[source->n_files - 1], 0, header, n, NULL, err));
    r.header = header;
    r.c = nlp_cursor_of(header, n);
    return read_header(&r);
}

void nlp_gguf_close(nlp_gguf *g) {
    nlp_arena_deinit(&g->arena);
    g->n_pairs = 0;
}

/* ---- Values ---- */

const nlp_gguf_pair *nlp_gguf_find(const nlp_gguf *g, const char *key) {
    for (size_t i = 0; i < g->n_pairs; i++)
        if (!strcmp(g->pairs[i].key, key)) return &g->pairs[i];
    return NULL;
}

double nlp_gguf_member(const nlp_gguf_pair *p, uint64_t index) {
    size_t size = size_of(p->type);
    nlp_cursor c = nlp_cursor_of(p->bytes + index * size, size);
    switch (p->type) {
    case NLP_GGUF_U8:
    case NLP_GGUF_BOOL:
        return nlp_read_u8(&c);
    case NLP_GGUF_I8:
        return (int8_t)nlp_read_u8(&c);
    case NLP_GGUF_U16:
        return nlp_read_u16(&c);
    case NLP_GGUF_I16:
        return (int16_t)nlp_read_u16(&c);
    case NLP_GGUF_U32:
        return nlp_read_u32(&c);
    case NLP_GGUF_I32:
        return (int32_t)nlp_read_u32(&c);
    case NLP_GGUF_F32:
        return (double)nlp_read_f32(&c);
    case NLP_GGUF_U64:
        return (double)nlp_read_u64(&c);
    case NLP_GGUF_I64:
        return (double)(int64_t)nlp_read_u64(&c);
    case NLP_GGUF_F64: {
        uint64_t bits = nlp_read_u64(&c);
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    default:
        return 0;
    }
}

double nlp_gguf_real(const nlp_gguf *g, const char *key, double fallback) {
    const nlp_gguf_pair *p = nlp_gguf_find(g, key);
    return p && !p->is_array && p->type != NLP_GGUF_STRING ? nlp_gguf_member(p, 0) : fallback;
}

int64_t nlp_gguf_integer(const nlp_gguf *g, const char *key, int64_t fallback) {
    double value = nlp_gguf_real(g, key, (double)fallback);
    return value >= -9e15 && value <= 9e15 ? (int64_t)value : fallback;
}

bool nlp_gguf_boolean(const nlp_gguf *g, const char *key, bool fallback) {
    return nlp_gguf_real(g, key, fallback) != 0;
}

bool nlp_gguf_next_text(const nlp_gguf_pair *p, size_t *at, const char **text, size_t *n_bytes) {
    nlp_cursor c = nlp_cursor_of(p->bytes + *at, p->n_bytes - *at);
    if (p->type != NLP_GGUF_STRING || *at >= p->n_bytes) return false;
    *n_bytes = (size_t)nlp_read_u64(&c);
    *text = nlp_read_bytes(&c, *n_bytes);
    *at += 8 + *n_bytes;
    return *text != NULL;
}

const char *nlp_gguf_text(nlp_gguf *g, const char *key) {
    const nlp_gguf_pair *p = nlp_gguf_find(g, key);
    const char *text;
    size_t at = 0, n_bytes;
    if (!p || p->is_array || !nlp_gguf_next_text(p, &at, &text, &n_bytes)) return NULL;
    return nlp_arena_text(&g->arena, text, n_bytes);
}
