/* container.c: the list. */
#include "container.h"

#include <sys/stat.h>

#include "base/mapfile.h"

static const nlp_container *const containers[] = {&nlp_container_ctranslate2, &nlp_container_gguf,
                                                  &nlp_container_llama2c,     &nlp_container_marian,
                                                  &nlp_container_static,      NULL};

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
