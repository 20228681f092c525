/* model_path.c: names to files. SQL gives names, never paths, so a name holds nothing that a path
 * could be made of. */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

enum { MAX_NAME = 63, MIN_HEX = 8 };

static bool name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}
static bool hex_character(char c) {
    return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9');
}

/* "minilm" or "minilm@1a2b3c4d"; *at is where the '@' stands, or the end. */
static bool parse_name(const char *name, size_t *at) {
    size_t n = 0, n_hex = 0;
    while (name_character(name[n])) n++;
    *at = n;
    if (!n || n > MAX_NAME || *name == '.') return false;
    if (!name[n]) return true;
    if (name[n] != '@') return false;
    while (hex_character(name[n + 1 + n_hex])) n_hex++;
    return !name[n + 1 + n_hex] && n_hex >= MIN_HEX && n_hex <= 64;
}

static nlp_status bad_name(const char *name, nlp_error *err) {
    nlp_fail(err, NLP_ENOMODEL, "\"%.64s\" is no name of a model", name);
    if (*name == '{')
        nlp_hint(err, "options go by name here: write options => '...'");
    else
        nlp_hint(
            err,
            "a name has up to 63 of a-z, 0-9, '_', '.', '-', and may be pinned as NAME@HEX with 8 or more digits");
    return NLP_ENOMODEL;
}

nlp_status nlp_model_name_check(const char *name, nlp_error *err) {
    size_t at;
    return parse_name(name, &at) && !name[at] ? NLP_OK : bad_name(name, err);
}

/* ---- Folders ---- */

typedef bool (*folder_fn)(void *context, const char *folder);

/* The folder of the task packs that came with the program is always last, so a user's own pack
 * of that name wins. */
static void each_folder(const nlp_engine *engine, folder_fn visit, void *context) {
    char folder[NLP_PATH_BYTES];
    bool go_on = true;
    for (const char *at = engine->model_path; *at && go_on;) {
        size_t n = strcspn(at, ":");
        if (n && n < sizeof folder) {
            memcpy(folder, at, n);
            folder[n] = 0;
            go_on = visit(context, folder);
        }
        at += n + (at[n] == ':');
    }
    if (go_on && engine->builtin_path) visit(context, engine->builtin_path);
}

typedef struct pack_visitor {
    bool (*visit)(void *context, const char *path, const char *name);
    void *context;
    const char *folder;
    bool go_on;
} pack_visitor;

static bool on_entry(void *context, const char *entry) {
    pack_visitor *v = context;
    char path[NLP_PATH_BYTES], name[128];
    size_t n = strlen(entry);
    if (n < 5 || n >= sizeof name || strcmp(entry + n - 4, ".nlp") || *entry == '.') return true;
    snprintf(name, sizeof name, "%.*s", (int)(n - 4), entry);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", v->folder, entry) >= sizeof path) return true;
    return v->go_on = v->visit(v->context, path, name);
}

static bool on_folder(void *context, const char *folder) {
    pack_visitor *v = context;
    v->folder = folder;
    nlp_folder_list(folder, on_entry, v);
    return v->go_on;
}

void nlp_model_path_each(nlp_engine *engine,
                         bool (*visit)(void *context, const char *path, const char *name),
                         void *context) {
    pack_visitor v = {.visit = visit, .context = context, .go_on = true};
    each_folder(engine, on_folder, &v);
}

/* ---- Finding ---- */

static bool digest_of_file(const char *path, char hex[NLP_SHA256_HEX_BYTES]) {
    nlp_pack_header header;
    int fd;
    uint64_t n_bytes;
    if (nlp_file_open(path, &fd, &n_bytes, NULL) != NLP_OK) return false;
    bool good = nlp_file_read(fd, 0, &header, sizeof header, NULL, NULL) == NLP_OK &&
                nlp_pack_check_header(&header, sizeof header, NULL) == NLP_OK;
    nlp_file_close(fd);
    if (good) nlp_hex(header.digest, sizeof header.digest, hex);
    return good;
}

typedef struct search {
    const char *name, *pin; /* pin: hex prefix or "" */
    char *path;
    bool found;
} search;

static bool try_folder(void *context, const char *folder) {
    search *s = context;
    nlp_file_identity identity;
    size_t n = (size_t)snprintf(s->path, NLP_PATH_BYTES, "%s/%s.nlp", folder, s->name);
    s->found = n < NLP_PATH_BYTES && nlp_file_identify(s->path, &identity, NULL) == NLP_OK;
    return !s->found;
}

static bool try_digest(void *context, const char *path, const char *name) {
    search *s = context;
    char hex[NLP_SHA256_HEX_BYTES];
    size_t n_name = strlen(s->name);
    bool name_fits =
        !n_name || (!strncmp(name, s->name, n_name) && (!name[n_name] || name[n_name] == '@'));
    if (!name_fits || !digest_of_file(path, hex) || strncmp(hex, s->pin, strlen(s->pin)))
        return true;
    snprintf(s->path, NLP_PATH_BYTES, "%s", path);
    s->found = true;
    return false;
}

void nlp_model_path_digest(nlp_engine *engine, const char *name, char hex[NLP_SHA256_HEX_BYTES]) {
    char path[NLP_PATH_BYTES];
    bool found = nlp_model_path_find(engine, name, path, NULL) == NLP_OK;
    if (!found || !digest_of_file(path, hex)) *hex = 0;
}

bool nlp_model_path_find_digest(nlp_engine *engine, const char *digest_hex,
                                char path[NLP_PATH_BYTES]) {
    search s = {.name = "", .pin = digest_hex, .path = path};
    nlp_model_path_each(engine, try_digest, &s);
    return s.found;
}

static nlp_status not_found(const nlp_engine *engine, const char *name, size_t n_name,
                            nlp_error *err) {
    nlp_fail(err, NLP_ENOMODEL, "there is no model \"%.96s\" in %s (%.150s)", name,
             engine->path_setting, *engine->model_path ? engine->model_path : "which is empty");
    nlp_hint(err,
             "nlp pull %.*s fetches a model of the catalogue, `nlp models` lists what is there",
             (int)n_name, name);
    return NLP_ENOMODEL;
}

nlp_status nlp_model_path_find(nlp_engine *engine, const char *name, char path[NLP_PATH_BYTES],
                               nlp_error *err) {
    char plain[MAX_NAME + 1];
    size_t at;
    if (!parse_name(name, &at)) return bad_name(name, err);
    memcpy(plain, name, at);
    plain[at] = 0;
    search s = {.name = plain, .pin = name[at] ? name + at + 1 : "", .path = path};
    if (name[at])
        nlp_model_path_each(engine, try_digest, &s);
    else
        each_folder(engine, try_folder, &s);
    return s.found ? NLP_OK : not_found(engine, name, at, err);
}
