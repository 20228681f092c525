/* store.c: one copy of a pack's bytes per machine. A pack that may not or need not lie in shared
 * memory is mapped from its file, read-only and shared, where nobody else can change it (S14);
 * small files on odd file systems are read into private memory. */
#include "engine/store.h"

#include <stdio.h>
#include <string.h>

#include "base/mapfile.h"
#include "pack/pack.h"

const char *nlp_backing_name(nlp_backing backing) {
    return backing == NLP_BACKING_SHM ? "shm" : backing == NLP_BACKING_FILE ? "file" : "private";
}

nlp_status nlp_store_copy(const nlp_store_options *o, const void *bytes, size_t n_bytes,
                          nlp_mapping *mapping, nlp_error *err) {
    uint8_t *copy = nlp_mem_alloc(o->mem, n_bytes ? n_bytes : 1);
    *mapping = (nlp_mapping){
        .bytes = copy, .n_bytes = n_bytes, .backing = NLP_BACKING_PRIVATE, .mem = o->mem};
    if (!copy) return nlp_mem_fail(o->mem, n_bytes, err);
    memcpy(copy, bytes, n_bytes);
    return NLP_OK;
}

static nlp_status map_file(int fd, const char *path, uint64_t n_bytes, nlp_mapping *mapping,
                           nlp_error *err) {
    uint8_t page[sizeof(nlp_pack_header)];
    nlp_map map;
    NLP_TRY(nlp_file_check_owner(path, fd, err));
    if (n_bytes < sizeof page)
        return nlp_fail(err, NLP_ECORRUPT, "the pack is damaged: it is shorter than its header");
    NLP_TRY(nlp_file_read(fd, 0, page, sizeof page, NULL, err));
    NLP_TRY(nlp_pack_check_header(page, sizeof page, err));
    NLP_TRY(nlp_map_file(fd, (size_t)n_bytes, &map, err));
    *mapping =
        (nlp_mapping){.bytes = map.bytes, .n_bytes = map.n_bytes, .backing = NLP_BACKING_FILE};
    return NLP_OK;
}

nlp_status nlp_store_map(const nlp_store_options *o, const char *path, const nlp_stop *stop,
                         nlp_mapping *mapping, nlp_error *err) {
    int fd;
    uint64_t n_bytes;
    (void)o, (void)stop;
    NLP_TRY(nlp_file_open(path, &fd, &n_bytes, err));
    nlp_status status = map_file(fd, path, n_bytes, mapping, err);
    nlp_file_close(fd);
    return status;
}

void nlp_store_unmap(nlp_mapping *mapping) {
    nlp_map map = {mapping->bytes, mapping->n_bytes};
    if (mapping->backing == NLP_BACKING_PRIVATE)
        nlp_mem_free(mapping->mem, (void *)(uintptr_t)mapping->bytes,
                     mapping->n_bytes ? mapping->n_bytes : 1);
    else
        nlp_map_close(&map);
    *mapping = (nlp_mapping){0};
}

uint32_t nlp_store_processes(const char *segment_or_path) {
    return nlp_map_count(segment_or_path);
}
