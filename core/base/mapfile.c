/* mapfile.c: plain files. Shared memory and locks: mapfile_shm.c. */
#include "base/mapfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_BYTES = 256 * 1024, PATH_BYTES = 4096 };

static nlp_status fail_errno(nlp_error *err, const char *what, const char *path, int number) {
    nlp_status code = number == ENOENT || number == ENOTDIR ? NLP_ENOFILE
                      : number == EACCES || number == EPERM ? NLP_EDENIED
                                                            : NLP_EIO;
    return nlp_fail(err, code, "%s %s: %s", what, path, strerror(number));
}

/* O_NOFOLLOW and O_NONBLOCK: a name must not lead elsewhere, and opening a pipe must not wait. */
nlp_status nlp_file_open(const char *path, int *fd, uint64_t *n_bytes, nlp_error *err) {
    struct stat st;
    *fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) {
        if (errno == ELOOP) return nlp_fail(err, NLP_EDENIED, "%s is a symbolic link", path);
        return fail_errno(err, "can't open", path, errno);
    }
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *n_bytes = (uint64_t)st.st_size;
        return NLP_OK;
    }
    nlp_file_close(*fd);
    *fd = -1;
    return nlp_fail(err, NLP_EINVAL, "%s is no regular file", path);
}

void nlp_file_close(int fd) {
    if (fd >= 0) close(fd);
}

/* In steps, so that a slow disk can be interrupted; a file that shrank while it is read ends in
 * an error, not in a fault. */
nlp_status nlp_file_read(int fd, uint64_t offset, void *out, size_t n_bytes, nlp_poll *poll,
                         nlp_error *err) {
    uint8_t *at = out;
    for (size_t done = 0; done < n_bytes;) {
        size_t step = n_bytes - done < STEP_BYTES ? n_bytes - done : STEP_BYTES;
        ssize_t got = pread(fd, at + done, step, (off_t)(offset + done));
        if (got < 0 && errno != EINTR)
            return nlp_fail(err, NLP_EIO, "reading failed: %s", strerror(errno));
        if (got == 0)
            return nlp_fail(err, NLP_ECORRUPT, "the file ends at byte %llu, %llu were expected",
                            (unsigned long long)(offset + done),
                            (unsigned long long)(offset + n_bytes));
        if (got > 0) done += (size_t)got;
        NLP_TRY(nlp_poll_now(poll, err));
    }
    return NLP_OK;
}

/* One byte more than the file, a zero, so that texts are terminated. */
nlp_status nlp_file_load(const char *path, uint64_t max_bytes, nlp_mem *mem, uint8_t **bytes,
                         size_t *n_bytes, nlp_error *err) {
    int fd;
    uint64_t size;
    NLP_TRY(nlp_file_open(path, &fd, &size, err));
    nlp_status status = NLP_OK;
    *bytes = NULL;
    *n_bytes = (size_t)size;
    if (size > max_bytes)
        status = nlp_fail(err, NLP_ELIMIT, "%s has %llu bytes, at most %llu are read", path,
                          (unsigned long long)size, (unsigned long long)max_bytes);
    else if (!(*bytes = nlp_mem_alloc(mem, (size_t)size + 1)))
        status = nlp_mem_fail(mem, (size_t)size + 1, err);
    if (status == NLP_OK) status = nlp_file_read(fd, 0, *bytes, (size_t)size, NULL, err);
    nlp_file_close(fd);
    if (status == NLP_OK) {
        (*bytes)[size] = 0;
        return NLP_OK;
    }
    nlp_mem_free(mem, *bytes, (size_t)size + 1);
    *bytes = NULL;
    return status;
}

/* ---- Looking ---- */

void nlp_folder_list(const char *folder, bool (*visit)(void *context, const char *name),
                     void *context) {
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)) && visit(context, entry->d_name)) {
    }
    if (dir) closedir(dir);
}

nlp_status nlp_file_identify(const char *path, nlp_file_identity *identity, nlp_error *err) {
    struct stat st;
    if (stat(path, &st) != 0) return fail_errno(err, "can't open", path, errno);
    *identity = (nlp_file_identity){.device = st.st_dev,
                                    .inode = st.st_ino,
                                    .n_bytes = (uint64_t)st.st_size,
                                    .modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 +
                                                   st.st_mtim.tv_nsec};
    return NLP_OK;
}

static bool others_may_write(const struct stat *st) {
    return (st->st_mode & (S_IWGRP | S_IWOTH)) || (st->st_uid != 0 && st->st_uid != geteuid());
}

/* A mapped file that somebody else can shorten would end this process by SIGBUS, and one that he
 * can write to would change results under a running query. */
nlp_status nlp_file_check_owner(const char *path, int fd, nlp_error *err) {
    char folder[PATH_BYTES];
    struct stat st;
    if (fstat(fd, &st) != 0) return fail_errno(err, "can't look at", path, errno);
    if (others_may_write(&st)) {
        nlp_fail(err, NLP_EDENIED,
                 "%s may be changed by others than root and uid %u (mode %03o, owner %u)", path,
                 (unsigned)geteuid(), (unsigned)st.st_mode & 0777, (unsigned)st.st_uid);
        nlp_hint(err, "chmod go-w, and chown to root or to the user that runs this process");
        return NLP_EDENIED;
    }
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) *(slash == folder ? slash + 1 : slash) = 0;
    if (stat(slash ? folder : ".", &st) != 0)
        return fail_errno(err, "can't look at", folder, errno);
    if (!others_may_write(&st) || (st.st_mode & S_ISVTX)) return NLP_OK;
    nlp_fail(err, NLP_EDENIED,
             "the folder of %s may be changed by others than root and uid %u (mode %03o, owner %u)",
             path, (unsigned)geteuid(), (unsigned)st.st_mode & 0777, (unsigned)st.st_uid);
    nlp_hint(err, "chmod go-w, and chown to root or to the user that runs this process");
    return NLP_EDENIED;
}

/* ---- Writing ---- */

static nlp_status write_all(int fd, const uint8_t *at, size_t n_bytes, const char *path,
                            nlp_error *err) {
    while (n_bytes) {
        ssize_t put = write(fd, at, n_bytes < (size_t)1 << 30 ? n_bytes : (size_t)1 << 30);
        if (put < 0 && errno != EINTR) return fail_errno(err, "can't write", path, errno);
        if (put > 0) at += put, n_bytes -= (size_t)put;
    }
    return NLP_OK;
}

/* The name itself must reach the disk too. */
static void sync_folder(const char *path) {
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder) *slash = 0;
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

/* Into place by link where nothing may be replaced (link fails on an existing name), else by
 * rename. */
static nlp_status put_in_place(const char *temporary, const char *path, bool replace,
                               nlp_error *err) {
    int rc = replace ? rename(temporary, path) : link(temporary, path);
    if (rc == 0) {
        if (!replace) unlink(temporary);
        sync_folder(path);
        return NLP_OK;
    }
    int number = errno;
    if (number == EEXIST) {
        nlp_fail(err, NLP_EINVAL, "%s exists already", path);
        nlp_hint(err, "give --replace, or another name");
        return NLP_EINVAL;
    }
    return fail_errno(err, "can't write", path, number);
}

/* Whole or not at all: a temporary file beside the target, on disk before it gets the name. */
nlp_status nlp_file_write(const char *path, const void *bytes, size_t n_bytes, bool replace,
                          nlp_error *err) {
    char temporary[PATH_BYTES];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary)
        return nlp_fail(err, NLP_EINVAL, "the path is too long");
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return fail_errno(err, "can't write", path, errno);
    nlp_status status = write_all(fd, bytes, n_bytes, path, err);
    if (status == NLP_OK && (fsync(fd) != 0 || fchmod(fd, 0444) != 0))
        status = fail_errno(err, "can't write", path, errno);
    close(fd);
    if (status == NLP_OK) status = put_in_place(temporary, path, replace, err);
    if (status != NLP_OK) unlink(temporary);
    return status;
}

/* ---- Maps ---- */

/* The kernel chooses such an address by itself only where the file system is told to use huge pages. Too large a piece
 * is reserved, the file mapped over its middle, and what is left at both ends given back. */
void *nlp_map_aligned(int fd, size_t n_bytes, int protection) {
    const size_t huge = NLP_HUGE_PAGE, page = (size_t)sysconf(_SC_PAGESIZE);
    size_t n = (n_bytes + page - 1) / page * page;
    if (n < huge) return mmap(NULL, n_bytes, protection, MAP_SHARED, fd, 0);
    const int reserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint8_t *room = mmap(NULL, n + huge, PROT_NONE, reserve, -1, 0);
    if (room == MAP_FAILED) return mmap(NULL, n_bytes, protection, MAP_SHARED, fd, 0);
    size_t before = (huge - (uintptr_t)room % huge) % huge;
    if (before) munmap(room, before);
    if (before < huge) munmap(room + before + n, huge - before);
    void *at = mmap(room + before, n_bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0);
    int number = errno;
    if (at == MAP_FAILED) munmap(room + before, n);
    errno = number;
    return at;
}

nlp_status nlp_map_file(int fd, size_t n_bytes, nlp_map *map, nlp_error *err) {
    *map = (nlp_map){0};
    if (!n_bytes) return nlp_fail(err, NLP_ECORRUPT, "the file is empty");
    void *at = nlp_map_aligned(fd, n_bytes, PROT_READ);
    if (at == MAP_FAILED)
        return nlp_fail(err, NLP_ENOMEM, "can't map %zu bytes: %s", n_bytes, strerror(errno));
    *map = (nlp_map){.bytes = at, .n_bytes = n_bytes};
    return NLP_OK;
}

void nlp_map_close(nlp_map *map) {
    if (map->bytes) munmap((void *)(uintptr_t)map->bytes, map->n_bytes);
    *map = (nlp_map){0};
}

static bool maps_file(const char *maps_path, const char *path) {
    char line[PATH_BYTES + 128];
    bool found = false;
    FILE *maps = fopen(maps_path, "re");
    while (maps && !found && fgets(line, sizeof line, maps)) found = strstr(line, path) != NULL;
    if (maps) fclose(maps);
    return found;
}

uint32_t nlp_map_count(const char *path) {
    uint32_t n = 0;
    DIR *proc = *path ? opendir("/proc") : NULL;
    struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        char maps_path[64];
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
        snprintf(maps_path, sizeof maps_path, "/proc/%.20s/maps", entry->d_name);
        n += maps_file(maps_path, path);
    }
    if (proc) closedir(proc);
    return n;
}
