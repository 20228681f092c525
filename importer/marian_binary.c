/* marian_binary.c: Marian's binary models (marian-dev: src/common/binary.cpp) with int8 matrices as intgemm
 * stores them, and the SentencePiece file beside them; as a config for the family "bergamot". What the
 * configuration in the file says otherwise is refused by name. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mapfile.h"
#include "container.h"
#include "sentencepiece.h"

enum {
    VERSION = 1,
    TYPE_F32 = 0x404,
    TYPE_I8 = 0x101,
    TYPE_INTGEMM8 = 0x4101,
    MOST_TENSORS = 4096,
    MOST_NAME = 256,
    HEADER_BYTES = 32,
    MOST_HEADER = 1 << 20,
    POSITIONS = 1024
};

/* ---- Which file ---- */

static bool is_binary(const char *path) {
    uint64_t head[6], n_bytes;
    return nlp_container_peek(path, head, sizeof head, &n_bytes) && head[0] == VERSION && head[1] &&
           head[1] <= MOST_TENSORS && head[2] && head[2] <= MOST_NAME &&
           (head[3] == TYPE_F32 || head[3] == TYPE_I8 || head[3] == TYPE_INTGEMM8) &&
           n_bytes > 16 + head[1] * HEADER_BYTES;
}

static bool knows(const char *path) {
    nlp_container_place place;
    return nlp_container_locate(path, ".bin", is_binary, &place);
}

/* ---- Tensors ---- */

typedef struct item {
    uint64_t name_bytes, type, n_dims, n_bytes;
    const char *name; /* terminated */
    int32_t shape[4];
    uint64_t offset;
} item;

typedef struct reader {
    nlp_model_folder *f;
    nlp_cursor c;
    uint64_t file_bytes;
    item *items;
    uint64_t n;
    char *yml; /* terminated, from the arena */
    nlp_error *err;
} reader;

static nlp_status damaged(const reader *r, const char *what) {
    return nlp_fail(r->err, NLP_ECORRUPT, "the Marian model is damaged: %s", what);
}

static nlp_status read_names(reader *r) {
    for (uint64_t i = 0; i < r->n; i++) {
        item *t = &r->items[i];
        const char *name =
            t->name_bytes <= MOST_NAME ? nlp_read_bytes(&r->c, (size_t)t->name_bytes) : NULL;
        if (!name || !t->name_bytes || name[t->name_bytes - 1])
            return damaged(r, "a name is cut or not terminated");
        t->name = nlp_arena_text(&r->f->source.arena, name, strlen(name));
    }
    return nlp_arena_status(&r->f->source.arena, r->err);
}

static nlp_status read_shapes(reader *r) {
    for (uint64_t i = 0; i < r->n; i++) {
        item *t = &r->items[i];
        if (t->n_dims > 4) return damaged(r, "a tensor has more than four dimensions");
        for (uint64_t k = 0; k < t->n_dims; k++) {
            t->shape[k] = (int32_t)nlp_read_u32(&r->c);
            if (t->shape[k] <= 0 || t->shape[k] > 1 << 24)
                return damaged(r, "a shape is not possible");
        }
    }
    return r->c.failed ? damaged(r, "it is cut") : NLP_OK;
}

/* Headers of four numbers, then all names, all shapes, padding, all data. */
static nlp_status read_items(reader *r) {
    if (nlp_read_u64(&r->c) != VERSION) return damaged(r, "it is of another version");
    r->n = nlp_read_u64(&r->c);
    if (!r->n || r->n > MOST_TENSORS) return damaged(r, "its number of tensors is not possible");
    r->items = NLP_PUSH_ZERO(&r->f->source.arena, item, r->n);
    NLP_TRY(nlp_arena_status(&r->f->source.arena, r->err));
    for (uint64_t i = 0; i < r->n; i++) {
        item *t = &r->items[i];
        t->name_bytes = nlp_read_u64(&r->c), t->type = nlp_read_u64(&r->c);
        t->n_dims = nlp_read_u64(&r->c), t->n_bytes = nlp_read_u64(&r->c);
    }
    NLP_TRY(read_names(r));
    NLP_TRY(read_shapes(r));
    uint64_t padding = nlp_read_u64(&r->c), at;
    if (r->c.failed || padding > 4096) return damaged(r, "its padding is not possible");
    at = r->file_bytes < MOST_HEADER ? r->file_bytes - r->c.n_left : MOST_HEADER - r->c.n_left;
    at += padding;
    for (uint64_t i = 0; i < r->n; i++) {
        if (at > r->file_bytes || r->items[i].n_bytes > r->file_bytes - at)
            return damaged(r, "a tensor lies outside it");
        r->items[i].offset = at;
        at += r->items[i].n_bytes;
    }
    return at == r->file_bytes ? NLP_OK : damaged(r, "there is something behind its tensors");
}

/* "encoder_l1_self_Wq" -> "encoder.layers.0.self_q.weight"; NULL out of memory. */
static const char *plain_name(nlp_arena *arena, const char *name) {
    char half[8] = "", base[MOST_NAME];
    unsigned layer = 0;
    int n = 0;
    bool in_layer = sscanf(name, "%7[a-z]_l%3u_%n", half, &layer, &n) == 2 && n && layer;
    snprintf(base, sizeof base, "%s", name + (in_layer ? n : 0));
    char *last = strrchr(base, '_');
    size_t length = strlen(base);
    const char *ending = "";
    if (length > 9 && !strcmp(base + length - 9, "_ln_scale")) {
        base[length - 9] = 0, ending = ".ln.weight";
    } else if (length > 8 && !strcmp(base + length - 8, "_ln_bias")) {
        base[length - 8] = 0, ending = ".ln.bias";
    } else if (in_layer && last && (last[1] == 'W' || last[1] == 'b')) {
        ending = last[1] == 'W' ? ".weight" : ".bias";
        if (last[2])
            memmove(last + 1, last + 2, strlen(last + 2) + 1);
        else
            *last = 0;
    }
    if (!strcmp(base, "Wemb")) ending = ".weight";
    return in_layer ? nlp_arena_format(arena, "%s.layers.%u.%s%s", half, layer - 1, base, ending)
                    : nlp_arena_format(arena, "%s%s", base, ending);
}

/* The scale stands behind the last number of an int8 matrix: w = q / scale. */
static nlp_status read_scale(const reader *r, const item *t, uint64_t n, float *scale) {
    const nlp_source *source = &r->f->source;
    if (t->n_bytes < n + sizeof *scale) return damaged(r, "a matrix has no scale");
    NLP_TRY(nlp_file_read(source->fds[source->n_files - 1], t->offset + n, scale, sizeof *scale,
                          NULL, r->err));
    if (!isfinite(*scale) || !(*scale > 0)) return damaged(r, "a matrix has a scale that is none");
    *scale = 1 / *scale;
    return NLP_OK;
}

static nlp_status push_tensor(reader *r, const item *t) {
    nlp_source *source = &r->f->source;
    bool i8 = t->type == TYPE_INTGEMM8, words = !strcmp(t->name, "Wemb");
    uint64_t n = 1;
    if (t->type != TYPE_F32 && !i8)
        return nlp_fail(r->err, NLP_EUNSUPPORTED,
                        "tensor %.80s is of type 0x%llx, which nlp does not "
                        "know",
                        t->name, (unsigned long long)t->type);
    if (t->n_dims != 2) return damaged(r, "a tensor is no matrix");
    for (uint64_t i = 0; i < t->n_dims; i++) n *= (uint64_t)t->shape[i];
    nlp_source_tensor *out = nlp_source_push(source);
    if (!out) return nlp_mem_fail(source->mem, sizeof *out, r->err);
    out->name = plain_name(&source->arena, t->name);
    out->dtype = i8 ? NLP_SOURCE_S8 : NLP_SOURCE_F32;
    out->n_elements = n;
    out->n_bytes = n * (i8 ? 1 : sizeof(float));
    out->offset = t->offset;
    out->file = source->n_files - 1;
    if (out->n_bytes > t->n_bytes) return damaged(r, "a tensor is shorter than its shape");
    bool vector = t->shape[0] == 1;
    out->n_dims = vector ? 1 : 2;
    out->shape[0] = (uint64_t)t->shape[vector || !words], out->shape[1] = (uint64_t)t->shape[words];
    if (vector) out->shape[1] = 0;
    /* matrices are [in, out]; those of int8 lie as [out][in] */
    out->transposed = !vector && !words && !i8;
    if (i8) NLP_TRY(read_scale(r, t, n, &out->scale));
    return nlp_arena_status(&source->arena, r->err);
}

static nlp_status read_yml(reader *r, const item *t) {
    const nlp_source *source = &r->f->source;
    if (t->n_bytes > 1 << 16) return damaged(r, "its configuration is too long");
    r->yml = NLP_PUSH_ZERO(&r->f->arena, char, t->n_bytes + 2);
    NLP_TRY(nlp_arena_status(&r->f->arena, r->err));
    r->yml[0] = '\n'; /* so that every line begins behind one */
    return nlp_file_read(source->fds[source->n_files - 1], t->offset, r->yml + 1,
                         (size_t)t->n_bytes, NULL, r->err);
}

/* Scales of activations are for engines whose activations are static; ours are not. */
static nlp_status list_tensors(reader *r) {
    for (uint64_t i = 0; i < r->n; i++) {
        const item *t = &r->items[i];
        if (strstr(t->name, "_QuantMultA")) continue;
        NLP_TRY(strcmp(t->name, "special:model.yml") ? push_tensor(r, t) : read_yml(r, t));
    }
    return r->yml ? NLP_OK : damaged(r, "it has no configuration");
}

/* ---- Configuration ---- */

/* The value of a key at the start of a line, without quotes; "" where there is none. */
static void yml_value(const reader *r, const char *key, char out[64]) {
    char line[96];
    out[0] = 0;
    snprintf(line, sizeof line, "\n%s: ", key);
    const char *at = strstr(r->yml, line);
    if (!at) return;
    at += strlen(line);
    size_t n = strcspn(at, "\n");
    while (n && (*at == '"' || *at == ' ')) at++, n--;
    while (n && (at[n - 1] == '"' || at[n - 1] == ' ')) n--;
    snprintf(out, 64, "%.*s", (int)(n < 63 ? n : 63), at);
}

static nlp_status check_demands(const reader *r) {
    static const struct {
        const char *key, *value;
    } demands[] = {{"type", "transformer"},
                   {"dec-cell", "ssru"},
                   {"transformer-decoder-autoreg", "rnn"},
                   {"dec-cell-high-depth", "1"},
                   {"transformer-ffn-activation", "relu"},
                   {"transformer-ffn-depth", "2"},
                   {"transformer-preprocess", ""},
                   {"transformer-postprocess", "dan"},
                   {"transformer-postprocess-emb", "d"},
                   {"transformer-postprocess-top", ""},
                   {"transformer-no-projection", "false"},
                   {"transformer-train-position-embeddings", "false"},
                   {"tied-embeddings-all", "true"},
                   {"output-omit-bias", "false"},
                   {"right-left", "false"},
                   {"ulr", "false"}};
    for (size_t i = 0; i < sizeof demands / sizeof *demands; i++) {
        char value[64];
        yml_value(r, demands[i].key, value);
        if (strcmp(value, demands[i].value) != 0)
            return nlp_fail(r->err, NLP_EUNSUPPORTED,
                            "the Marian model says %s: %s, nlp knows only \"%s\"", demands[i].key,
                            value, demands[i].value);
    }
    return NLP_OK;
}

static nlp_status make_config(reader *r) {
    static const char *const sizes[] = {"dim-emb", "enc-depth", "dec-depth", "transformer-heads",
                                        "transformer-dim-ffn"};
    const nlp_source_tensor *words = nlp_source_find(&r->f->source, "Wemb.weight");
    NLP_TRY(check_demands(r));
    json_t *config = r->f->config =
        json_pack("{s:s, s:[s], s:I, s:i, s:i, s:[[i]]}", "model_type", "bergamot", "architectures",
                  "BergamotMTModel", "vocab_size", (json_int_t)(words ? words->shape[0] : 0),
                  "max_position_embeddings", POSITIONS, "eos_token_id", 0, "bad_words_ids", 1);
    if (!config) return nlp_fail(r->err, NLP_ENOMEM, "out of memory for the model's config");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char value[64];
        yml_value(r, sizes[i], value);
        json_object_set_new(config, sizes[i], json_integer(strtol(value, NULL, 10)));
    }
    return NLP_OK;
}

/* ---- All of it ---- */

static nlp_status read_model(nlp_model_folder *f, const char *path, nlp_error *err) {
    reader r = {.f = f, .err = err};
    NLP_TRY(nlp_source_add_file(&f->source, path, &r.file_bytes, err));
    size_t n = r.file_bytes < MOST_HEADER ? (size_t)r.file_bytes : MOST_HEADER;
    uint8_t *bytes = nlp_mem_alloc(f->mem, n);
    if (!bytes) return nlp_mem_fail(f->mem, n, err);
    nlp_status status = nlp_file_read(f->source.fds[f->source.n_files - 1], 0, bytes, n, NULL, err);
    r.c = nlp_cursor_of(bytes, n);
    if (status == NLP_OK) status = read_items(&r);
    nlp_mem_free(f->mem, bytes, n);
    if (status == NLP_OK) status = list_tensors(&r);
    return status == NLP_OK ? make_config(&r) : status;
}

static nlp_status read_vocabulary(nlp_model_folder *f, const char *folder, nlp_error *err) {
    char path[4096];
    uint8_t *bytes;
    size_t n_bytes;
    if (!nlp_container_find(folder, ".spm", NULL, path))
        return nlp_fail(err, NLP_ENOFILE, "beside the Marian model must be one vocabulary, *.spm");
    NLP_TRY(nlp_file_load(path, 64 << 20, f->mem, &bytes, &n_bytes, err));
    const nlp_spm_files files = {.model = bytes, .model_bytes = n_bytes};
    nlp_status status = nlp_sentencepiece_compile(&files, NLP_SPM_END, &f->tokenizer, err);
    nlp_mem_free(f->mem, bytes, n_bytes + 1);
    return status;
}

static nlp_status read(nlp_model_folder *f, nlp_error *err) {
    nlp_container_place place;
    if (!nlp_container_locate(f->path, ".bin", is_binary, &place))
        return nlp_fail(err, NLP_ECORRUPT, "%s is no Marian model", f->path);
    NLP_TRY(read_model(f, place.file, err));
    return read_vocabulary(f, place.folder, err);
}

const nlp_container nlp_container_marian = {"Marian", true, knows, read};
