/* ctranslate2.c: CTranslate2's container, version 2 (its src/models/model.cc), of OpenNMT's Transformers:
 * a list of named variables, and two vocabularies of one token a line. Text is split at white space. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mapfile.h"
#include "container.h"
#include "hf_tokenizer.h"

enum {
    VERSION = 2,
    MOST_VARIABLES = 1 << 16,
    MOST_LAYERS = 64,
    POSITIONS = 512,
    MOST_VOCABULARY = 16 << 20,
    WINDOW = 4096 /* more than what stands before any variable's numbers */
};

/* What the name of a specification fixes. */
static const struct specification {
    const char *name;
    int heads;
} specifications[] = {{"TransformerBase", 8}, {"TransformerBig", 16}};

typedef struct reader {
    nlp_model_folder *f;
    nlp_cursor c; /* over the window */
    uint8_t window[WINDOW];
    uint64_t at, n_bytes; /* of the window's first byte, of the file */
    nlp_error *err;
    int heads;
} reader;

static nlp_status damaged(const reader *r, const char *what) {
    return nlp_fail(r->err, NLP_ECORRUPT, "the CTranslate2 model is damaged: %s", what);
}

static bool file_of(const char *path, const char *name, char out[4096]) {
    struct stat st;
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    const char *slash = strrchr(path, '/');
    int n = folder ? (int)strlen(path) : slash ? (int)(slash - path) : 0;
    return (size_t)snprintf(out, 4096, "%.*s%s%s", n, path, n ? "/" : "", name) < 4096;
}

/* The version, then the specification's name: nothing else begins so. */
static bool knows(const char *path) {
    char file[4096];
    uint8_t head[24];
    uint64_t n_bytes;
    uint32_t version;
    if (!file_of(path, "model.bin", file) || !nlp_container_peek(file, head, sizeof head, &n_bytes))
        return false;
    memcpy(&version, head, sizeof version);
    return version >= 1 && version < 16 && !memcmp(head + 6, "Transformer", 11);
}

/* ---- Variables ---- */

/* The window goes to where the cursor is and `ahead` bytes further. */
static nlp_status move_window(reader *r, uint64_t ahead) {
    const nlp_source *source = &r->f->source;
    r->at += (r->c.at ? (uint64_t)(r->c.at - r->window) : 0) + ahead;
    size_t n = r->n_bytes - r->at < WINDOW ? (size_t)(r->n_bytes - r->at) : WINDOW;
    r->c = nlp_cursor_of(r->window, n);
    return nlp_file_read(source->fds[source->n_files - 1], r->at, r->window, n, NULL, r->err);
}

/* u16 length, the end's zero included. */
static const char *read_text(reader *r) {
    size_t n = nlp_read_u16(&r->c);
    const char *text = n && n < 256 ? nlp_read_bytes(&r->c, n) : NULL;
    return text && !text[n - 1] && strlen(text) == n - 1 ? text : NULL;
}

static bool cut_ending(char *name, const char *ending) {
    size_t n = strlen(name), n_ending = strlen(ending);
    if (n < n_ending || strcmp(name + n - n_ending, ending) != 0) return false;
    name[n - n_ending] = 0;
    return true;
}

/* "a/layer_norm/gamma" -> "a/layer_norm.weight" */
static const char *plain_name(nlp_arena *arena, const char *text) {
    char name[256];
    snprintf(name, sizeof name, "%s", text);
    const char *ending = cut_ending(name, "/gamma") || cut_ending(name, "/weight") ? ".weight"
                         : cut_ending(name, "/beta") || cut_ending(name, "/bias")  ? ".bias"
                                                                                   : "";
    return nlp_arena_format(arena, "%s%s", name, ending);
}

static nlp_status read_variable(reader *r) {
    nlp_source *source = &r->f->source;
    const char *name = read_text(r);
    nlp_source_tensor *t = name ? nlp_source_push(source) : NULL;
    if (!name) return damaged(r, "a name is none");
    if (!t) return nlp_mem_fail(source->mem, sizeof *t, r->err);
    t->name = plain_name(&source->arena, name);
    t->n_dims = nlp_read_u8(&r->c);
    t->n_elements = 1;
    if (t->n_dims > 2) return damaged(r, "a variable has more than two dimensions");
    for (uint32_t i = 0; i < t->n_dims; i++) t->n_elements *= t->shape[i] = nlp_read_u32(&r->c);
    uint32_t item = nlp_read_u8(&r->c), n = nlp_read_u32(&r->c);
    if (item != sizeof(float))
        return nlp_fail(
            r->err, NLP_EUNSUPPORTED,
            "CTranslate2: %.80s has items of %u bytes; convert the model without quantising",
            t->name, item);
    t->n_bytes = (uint64_t)n * item;
    t->offset = r->at + (uint64_t)(r->c.at - r->window);
    t->file = source->n_files - 1;
    if (r->c.failed || t->n_elements != n || t->n_bytes > r->n_bytes - t->offset)
        return damaged(r, "a variable is cut or has another size than its shape");
    NLP_TRY(nlp_arena_status(&source->arena, r->err));
    return move_window(r, t->n_bytes);
}

static nlp_status read_header(reader *r) {
    NLP_TRY(move_window(r, 0));
    uint32_t version = nlp_read_u32(&r->c);
    if (version != VERSION)
        return nlp_fail(r->err, NLP_EUNSUPPORTED,
                        "CTranslate2: a container of version %u, nlp reads version %d", version,
                        VERSION);
    const char *name = read_text(r);
    for (size_t i = 0; name && i < sizeof specifications / sizeof *specifications; i++)
        if (!strcmp(name, specifications[i].name)) r->heads = specifications[i].heads;
    if (!r->heads)
        return nlp_fail(r->err, NLP_EUNSUPPORTED,
                        "CTranslate2: nlp does not know the specification \"%.40s\"",
                        name ? name : "");
    nlp_read_u32(&r->c); /* its revision */
    uint32_t n = nlp_read_u32(&r->c);
    if (n > MOST_VARIABLES) return damaged(r, "it has too many variables");
    for (uint32_t i = 0; i < n; i++) NLP_TRY(read_variable(r));
    return r->c.failed ? damaged(r, "it is cut") : NLP_OK;
}

static nlp_status read_variables(nlp_model_folder *f, const char *path, int *heads,
                                 nlp_error *err) {
    reader r = {.f = f, .err = err};
    NLP_TRY(nlp_source_add_file(&f->source, path, &r.n_bytes, err));
    nlp_status status = read_header(&r);
    *heads = r.heads;
    return status;
}

/* ---- Vocabularies ---- */

/* One token a line; <unk> behind them where there is none. The caller json_decref's *vocabulary. */
static nlp_status read_lines(nlp_model_folder *f, const char *path, json_t **vocabulary,
                             nlp_error *err) {
    uint8_t *bytes;
    size_t n_bytes, id = 0;
    NLP_TRY(nlp_file_load(path, MOST_VOCABULARY, f->mem, &bytes, &n_bytes, err));
    const char *text = (const char *)bytes;
    json_t *all = *vocabulary = json_object();
    nlp_status status = NLP_OK;
    for (size_t at = 0; at < n_bytes && status == NLP_OK; id++) {
        const char *end = memchr(text + at, '\n', n_bytes - at);
        size_t n = end ? (size_t)(end - text) - at : n_bytes - at;
        char *line = nlp_arena_text(&f->arena, text + at, n);
        at += n + 1;
        if (!line || json_object_get(all, line) ||
            json_object_set_new(all, line, json_integer((json_int_t)id)) != 0)
            status =
                nlp_fail(err, NLP_EINVAL, "%.200s: line %zu is no token of its own", path, id + 1);
    }
    if (status == NLP_OK && !json_object_get(all, "<unk>"))
        json_object_set_new(all, "<unk>", json_integer((json_int_t)id));
    nlp_mem_free(f->mem, bytes, n_bytes + 1);
    return status;
}

static nlp_status compile_words(json_t *vocabulary, nlp_buf *blob, nlp_error *err) {
    json_t *json = json_pack("{s:{s:s, s:O, s:s}, s:{s:s}, s:[]}", "model", "type", "WordLevel",
                             "vocab", vocabulary, "unk_token", "<unk>", "pre_tokenizer", "type",
                             "WhitespaceSplit", "added_tokens");
    json_t *added = json_object_get(json, "added_tokens");
    static const char *const specials[] = {"<blank>", "<s>", "</s>"};
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
        json_t *id = json_object_get(vocabulary, specials[i]);
        if (id)
            json_array_append_new(added, json_pack("{s:s, s:O, s:b}", "content", specials[i], "id",
                                                   id, "special", 1));
    }
    nlp_status status = json ? nlp_hf_tokenizer_build(json, "the vocabulary", blob, err)
                             : nlp_fail(err, NLP_ENOMEM, "out of memory for the vocabulary");
    json_decref(json);
    return status;
}

/* id of a special token, or -1 */
static nlp_status read_vocabulary(nlp_model_folder *f, const char *name, nlp_buf *blob,
                                  json_int_t *start, json_int_t *end, nlp_error *err) {
    char path[4096];
    json_t *vocabulary = NULL;
    if (!file_of(f->path, name, path)) return nlp_fail(err, NLP_EINVAL, "the path is too long");
    nlp_status status = read_lines(f, path, &vocabulary, err);
    if (status == NLP_OK) status = compile_words(vocabulary, blob, err);
    const json_t *first = json_object_get(vocabulary, "<s>"),
                 *last = json_object_get(vocabulary, "</s>");
    *start = first ? json_integer_value(first) : -1;
    *end = last ? json_integer_value(last) : -1;
    json_decref(vocabulary);
    return status;
}

/* ---- All of it ---- */

static int count_layers(const nlp_source *source, const char *half) {
    char name[64];
    int n = 0;
    for (; n < MOST_LAYERS; n++) {
        snprintf(name, sizeof name, "%s/layer_%d/ffn/linear_0.weight", half, n);
        if (!nlp_source_find(source, name)) break;
    }
    return n;
}

static json_int_t size_of(const nlp_source *source, const char *name, size_t dimension) {
    const nlp_source_tensor *t = nlp_source_find(source, name);
    return t ? (json_int_t)t->shape[dimension] : 0;
}

static nlp_status read(nlp_model_folder *f, nlp_error *err) {
    char path[4096];
    int heads = 0;
    json_int_t start = -1, end = -1;
    if (!file_of(f->path, "model.bin", path))
        return nlp_fail(err, NLP_EINVAL, "the path is too long");
    NLP_TRY(read_variables(f, path, &heads, err));
    NLP_TRY(read_vocabulary(f, "source_vocabulary.txt", &f->tokenizer, &start, &end, err));
    NLP_TRY(read_vocabulary(f, "target_vocabulary.txt", &f->decoder_tokenizer, &start, &end, err));
    const nlp_source *s = &f->source;
    f->config = json_pack("{s:s, s:[s], s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:I, s:I}",
                          "model_type", "opennmt", "architectures", "OpenNMTModel",
                          "source_vocab_size", size_of(s, "encoder/embeddings.weight", 0),
                          "target_vocab_size", size_of(s, "decoder/embeddings.weight", 0),
                          "d_model", size_of(s, "encoder/embeddings.weight", 1), "ffn_dim",
                          size_of(s, "encoder/layer_0/ffn/linear_0.weight", 0), "num_heads", heads,
                          "encoder_layers", count_layers(s, "encoder"), "decoder_layers",
                          count_layers(s, "decoder"), "max_position_embeddings", POSITIONS,
                          "decoder_start_token_id", start, "eos_token_id", end);
    return f->config ? NLP_OK : nlp_fail(err, NLP_ENOMEM, "out of memory for the model's config");
}

const nlp_container nlp_container_ctranslate2 = {"CTranslate2", true, knows, read};
