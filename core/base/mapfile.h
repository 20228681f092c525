/* mapfile.h: files and shared memory as descriptors and read-only maps. The only home of open,
 * mmap, shm_open, flock, fallocate. Knows nothing of packs: the rules of the store stand in
 * engine/store.c. */
#ifndef NLP_BASE_MAPFILE_H
#define NLP_BASE_MAPFILE_H

#include "base/mem.h"
#include "base/poll.h"

#define NLP_HUGE_PAGE ((size_t)2 << 20) /* of x86-64, and of AArch64 with pages of 4 KB */

typedef struct nlp_map {
    const uint8_t *bytes;
    size_t n_bytes;
} nlp_map;

/* Opens a regular file for reading (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK); *n_bytes is its size.
 * Close with nlp_file_close. NLP_ENOFILE where it does not exist. */
nlp_status nlp_file_open(const char *path, int *fd, uint64_t *n_bytes, nlp_error *err);
void nlp_file_close(int fd); /* -1 is allowed */
/* Reads exactly n_bytes at offset, in steps of 256 KiB, polling between them (poll may be NULL). */
nlp_status nlp_file_read(int fd, uint64_t offset, void *out, size_t n_bytes, nlp_poll *poll,
                         nlp_error *err);
/* The whole of a regular file of at most max_bytes into memory of mem (*n_bytes + 1 bytes, a 0
 * behind the last). */
nlp_status nlp_file_load(const char *path, uint64_t max_bytes, nlp_mem *mem, uint8_t **bytes,
                         size_t *n_bytes, nlp_error *err);
/* Writes a file whole or not at all: temporary file beside it, fsync, mode 0444, rename, fsync of
 * the folder. Without replace an existing file is NLP_EINVAL. */
nlp_status nlp_file_write(const char *path, const void *bytes, size_t n_bytes, bool replace,
                          nlp_error *err);
/* Names of a folder's entries, in no order; stops when visit returns false. A missing folder has
 * none. */
void nlp_folder_list(const char *folder, bool (*visit)(void *context, const char *name),
                     void *context);
/* What tells one version of a file from another without reading it. */
typedef struct nlp_file_identity {
    uint64_t device, inode, n_bytes;
    int64_t modified_ns;
} nlp_file_identity;
nlp_status nlp_file_identify(const char *path, nlp_file_identity *identity, nlp_error *err);
/* NLP_EDENIED with the reason where others than root and this user could change the file or its
 * folder. */
nlp_status nlp_file_check_owner(const char *path, int fd, nlp_error *err);
/* Read-only and shared, at an address that huge pages can have. */
nlp_status nlp_map_file(int fd, size_t n_bytes, nlp_map *map, nlp_error *err);
/* mmap of a whole file at such an address. MAP_FAILED with errno. */
void *nlp_map_aligned(int fd, size_t n_bytes, int protection);
void nlp_map_close(nlp_map *map);
/* Processes, as far as this user can see them, that map a file with this path; 0 where it can't be
 * known. */
uint32_t nlp_map_count(const char *path);

#endif
