/* llama2c.c: the .bin of llama2.c (version 0 of its export.py): seven numbers and f32 tensors in a fixed
 * order; beside it the vocabulary, tokN.bin for N pieces, or tokenizer.bin. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mapfile.h"
#include "container.h"
#include "spm_model.h"

enum { HEADER_BYTES = 28, MOST_LAYERS = 512, MOST_SIZE = 1 << 20, N_BYTE_PIECES = 256 };

typedef struct header {
    uint32_t dim, hidden, layers, heads, kv_heads, vocabulary, positions;
    bool tied; /* a negative vocabulary says that the output has a matrix of its own */
} header;

static bool parse(const uint8_t bytes[HEADER_BYTES], header *h) {
    int32_t numbers[7];
    memcpy(numbers, bytes, sizeof numbers);
    h->tied = numbers[5] > 0;
    if (!h->tied && numbers[5] > -MOST_SIZE) numbers[5] = -numbers[5];
    for (size_t i = 0; i < 7; i++)
        if (numbers[i] <= 0 || numbers[i] > MOST_SIZE) return false;
    h->dim = (uint32_t)numbers[0], h->hidden = (uint32_t)numbers[1];
    h->layers = (uint32_t)numbers[2], h->heads = (uint32_t)numbers[3];
    h->kv_heads = (uint32_t)numbers[4], h->vocabulary = (uint32_t)numbers[5];
    h->positions = (uint32_t)numbers[6];
    return h->layers <= MOST_LAYERS && h->dim % h->heads == 0 && h->kv_heads <= h->heads &&
           h->heads % h->kv_heads == 0 && h->dim / h->heads % 2 == 0;
}

/* ---- Tensors ---- */

typedef struct part {
    const char *name;       /* "%u" is the layer; NULL: nothing that is wanted */
    uint64_t rows, columns; /* columns 0: one dimension */
    bool per_layer;
    uint32_t turned_heads;
} part;

enum { N_PARTS = 14 };

static void parts_of(const header *h, part parts[N_PARTS]) {
    uint64_t d = h->dim, f = h->hidden, kv = d / h->heads * h->kv_heads, half = d / h->heads / 2;
    const part all[N_PARTS] = {
        {"model.embed_tokens.weight", h->vocabulary, d, false, 0},
        {"model.layers.%u.input_layernorm.weight", d, 0, true, 0},
        {"model.layers.%u.self_attn.q_proj.weight", d, d, true, h->heads},
        {"model.layers.%u.self_attn.k_proj.weight", kv, d, true, h->kv_heads},
        {"model.layers.%u.self_attn.v_proj.weight", kv, d, true, 0},
        {"model.layers.%u.self_attn.o_proj.weight", d, d, true, 0},
        {"model.layers.%u.post_attention_layernorm.weight", d, 0, true, 0},
        {"model.layers.%u.mlp.gate_proj.weight", f, d, true, 0},
        {"model.layers.%u.mlp.down_proj.weight", d, f, true, 0},
        {"model.layers.%u.mlp.up_proj.weight", f, d, true, 0},
        {"model.norm.weight", d, 0, false, 0},
        {NULL, h->positions, half, false, 0}, /* cosines and sines of the positions */
        {NULL, h->positions, half, false, 0},
        {"lm_head.weight", h->tied ? 0 : h->vocabulary, d, false, 0}};
    memcpy(parts, all, sizeof all);
}

/* Bytes of a whole file with this header; sizes are small enough that nothing overflows. */
static uint64_t bytes_of(const header *h) {
    part parts[N_PARTS];
    uint64_t n_floats = 0;
    parts_of(h, parts);
    for (size_t i = 0; i < N_PARTS; i++)
        n_floats += parts[i].rows * (parts[i].columns ? parts[i].columns : 1) *
                    (parts[i].per_layer ? h->layers : 1);
    return HEADER_BYTES + n_floats * sizeof(float);
}

static bool knows(const char *path) {
    uint8_t bytes[HEADER_BYTES];
    uint64_t n_bytes;
    header h;
    return nlp_container_peek(path, bytes, sizeof bytes, &n_bytes) && parse(bytes, &h) &&
           bytes_of(&h) == n_bytes;
}

static nlp_status push_tensor(nlp_source *source, const part *p, uint32_t layer, uint64_t *offset,
                              nlp_error *err) {
    nlp_source_tensor *t = nlp_source_push(source);
    if (!t) return nlp_mem_fail(source->mem, sizeof *t, err);
    const char *mark = strstr(p->name, "%u");
    t->name = mark ? nlp_arena_format(&source->arena, "%.*s%u%s", (int)(mark - p->name), p->name,
                                      layer, mark + 2)
                   : p->name;
    t->dtype = NLP_SOURCE_F32;
    t->n_dims = p->columns ? 2 : 1;
    t->shape[0] = p->rows, t->shape[1] = p->columns;
    t->n_elements = p->rows * (p->columns ? p->columns : 1);
    t->n_bytes = t->n_elements * sizeof(float);
    t->offset = *offset;
    t->turned_heads = p->turned_heads;
    t->file = source->n_files - 1;
    *offset += t->n_bytes;
    return nlp_arena_status(&source->arena, err);
}

static nlp_status list_tensors(nlp_source *source, const header *h, nlp_error *err) {
    part parts[N_PARTS];
    uint64_t offset = HEADER_BYTES;
    parts_of(h, parts);
    for (size_t i = 0; i < N_PARTS; i++)
        for (uint32_t layer = 0; layer < (parts[i].per_layer ? h->layers : 1); layer++) {
            if (parts[i].name && parts[i].rows)
                NLP_TRY(push_tensor(source, &parts[i], layer, &offset, err));
            else
                offset += parts[i].rows * parts[i].columns * sizeof(float);
        }
    return NLP_OK;
}

/* ---- Vocabulary ---- */

/* The writer has put blanks for U+2581, and lines around the two control pieces. */
static nlp_status restore_piece(compiler *c, uint32_t id, const char *bytes, size_t n, piece *out) {
    nlp_buf text;
    if (id == 1 || id == 2) {
        *out = (piece){id == 1 ? "<s>" : "</s>", id == 1 ? 3 : 4};
        return NLP_OK;
    }
    nlp_buf_init(&text, c->arena->mem);
    for (size_t i = 0; i < n; i++)
        nlp_buf_push(&text, bytes[i] == ' ' ? "\xE2\x96\x81" : bytes + i, bytes[i] == ' ' ? 3 : 1);
    nlp_status status = nlp_buf_status(&text, c->err);
    *out = (piece){nlp_arena_text(c->arena, (const char *)text.bytes, text.n_bytes), text.n_bytes};
    nlp_buf_deinit(&text);
    return status == NLP_OK ? nlp_arena_status(c->arena, c->err) : status;
}

static nlp_status read_pieces(spm_model *s, uint32_t n, const uint8_t *bytes, size_t n_bytes) {
    nlp_cursor c = nlp_cursor_of(bytes, n_bytes);
    nlp_read_u32(&c); /* the longest piece */
    NLP_TRY(spm_start(s, n));
    for (; s->n < n; s->n++) {
        uint32_t bits = nlp_read_u32(&c), length = nlp_read_u32(&c);
        const char *text = length <= c.n_left ? nlp_read_bytes(&c, length) : NULL;
        memcpy(&s->scores[s->n], &bits, sizeof bits);
        if (!text || !isfinite(s->scores[s->n]))
            return nlp_fail(s->c->err, NLP_ECORRUPT, "the vocabulary ends at piece %u of %u", s->n,
                            n);
        NLP_TRY(restore_piece(s->c, s->n, text, length, &s->pieces[s->n]));
        s->kinds[s->n] = s->n == 0                  ? SPM_UNKNOWN
                         : s->n < 3                 ? SPM_CONTROL
                         : s->n < 3 + N_BYTE_PIECES ? SPM_BYTE
                                                    : SPM_NORMAL;
    }
    return NLP_OK;
}

static nlp_status compile_pieces(compiler *c, uint32_t n, const uint8_t *bytes, size_t n_bytes,
                                 nlp_buf *blob) {
    spm_model s = {.c = c};
    const nlp_template_item start = {NLP_ITEM_SPECIAL, 1, 0}, first = {NLP_ITEM_FIRST, 0, 0},
                            second = {NLP_ITEM_SECOND, 0, 0};
    NLP_TRY(read_pieces(&s, n, bytes, n_bytes));
    s.model = SPM_BPE;
    s.byte_fallback = true;
    s.remove_extra = false;
    NLP_TRY(spm_own_ids(&s));
    NLP_TRY(spm_fill(&s));
    c->header.unknown_id = 0;
    NLP_TRY(compiler_add_token(c, 1, "<s>", 3, NLP_ADDED_SPECIAL));
    NLP_TRY(compiler_add_token(c, 2, "</s>", 4, NLP_ADDED_SPECIAL));
    NLP_TRY(compiler_add_item(c, c->single, &c->header.n_single, start));
    NLP_TRY(compiler_add_item(c, c->single, &c->header.n_single, first));
    NLP_TRY(compiler_add_item(c, c->pair, &c->header.n_pair, start));
    NLP_TRY(compiler_add_item(c, c->pair, &c->header.n_pair, first));
    NLP_TRY(compiler_add_item(c, c->pair, &c->header.n_pair, second));
    return compiler_write(c, blob);
}

static nlp_status load_vocabulary(nlp_model_folder *f, uint32_t n, uint8_t **bytes, size_t *n_bytes,
                                  nlp_error *err) {
    const char *slash = strrchr(f->path, '/');
    int n_folder = slash ? (int)(slash - f->path) + 1 : 0;
    char path[4096];
    for (size_t i = 0; i < 2; i++) {
        char name[32] = "tokenizer.bin";
        if (!i) snprintf(name, sizeof name, "tok%u.bin", n);
        if ((size_t)snprintf(path, sizeof path, "%.*s%s", n_folder, f->path, name) >= sizeof path)
            return nlp_fail(err, NLP_EINVAL, "the path is too long");
        nlp_status status = nlp_file_load(path, 64 << 20, f->mem, bytes, n_bytes, err);
        if (status != NLP_ENOFILE) return status;
    }
    return nlp_fail(err, NLP_ENOFILE,
                    "beside the model is no vocabulary: tok%u.bin or tokenizer.bin", n);
}

static nlp_status read_vocabulary(nlp_model_folder *f, uint32_t n, nlp_error *err) {
    uint8_t *bytes;
    size_t n_bytes;
    NLP_TRY(load_vocabulary(f, n, &bytes, &n_bytes, err));
    nlp_arena arena;
    compiler *c = compiler_start(&arena, f->mem, "the vocabulary", err);
    nlp_status status =
        c ? compile_pieces(c, n, bytes, n_bytes, &f->tokenizer) : nlp_arena_status(&arena, err);
    nlp_arena_deinit(&arena);
    nlp_mem_free(f->mem, bytes, n_bytes + 1);
    return status;
}

/* ---- The container ---- */

static nlp_status read(nlp_model_folder *f, nlp_error *err) {
    uint8_t bytes[HEADER_BYTES];
    uint64_t n_bytes;
    header h;
    NLP_TRY(nlp_source_add_file(&f->source, f->path, &n_bytes, err));
    NLP_TRY(nlp_file_read(f->source.fds[f->source.n_files - 1], 0, bytes, sizeof bytes, NULL, err));
    if (!parse(bytes, &h) || bytes_of(&h) != n_bytes)
        return nlp_fail(err, NLP_ECORRUPT, "the file is no model of llama2.c");
    NLP_TRY(list_tensors(&f->source, &h, err));
    f->config = json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:b, s:i}",
                          "model_type", "llama", "architectures", "LlamaForCausalLM", "hidden_size",
                          (int)h.dim, "intermediate_size", (int)h.hidden, "num_hidden_layers",
                          (int)h.layers, "num_attention_heads", (int)h.heads, "num_key_value_heads",
                          (int)h.kv_heads, "vocab_size", (int)h.vocabulary,
                          "max_position_embeddings", (int)h.positions, "rms_norm_eps", 1e-5,
                          "rope_theta", 10000.0, "tie_word_embeddings", h.tied, "eos_token_id", 2);
    if (!f->config) return nlp_fail(err, NLP_ENOMEM, "out of memory for the model's config");
    return read_vocabulary(f, h.vocabulary, err);
}

const nlp_container nlp_container_llama2c = {"llama2.c", true, knows, read};
