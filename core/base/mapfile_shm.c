/* mapfile_shm.c: shared memory, flock, posix_fallocate, and what room there is. */
#include "base/mapfile_shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { ALLOCATE_STEP = 4 << 20, NAME_BYTES = 128, LINE_BYTES = 512 };
enum {
    TMPFS = 0x01021994,
    NFS = 0x6969,
    SMB = 0x517B,
    SMB2 = (int)0xFE534D42,
    CIFS = (int)0xFF534D42,
    FUSE = 0x65735546,
    V9FS = 0x01021997,
    LUSTRE = 0x0BD00BD0
};

static nlp_status fail(nlp_error *err, const char *what, const char *name, int number) {
    nlp_status code = number == ENOENT                       ? NLP_ENOFILE
                      : number == EACCES || number == EPERM  ? NLP_EDENIED
                      : number == ENOSPC || number == ENOMEM ? NLP_ENOMEM
                                                             : NLP_EIO;
    return nlp_fail(err, code, "%s shared memory %s: %s", what, name, strerror(number));
}

nlp_status nlp_shm_look(int fd, nlp_shm_state *state, nlp_error *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) return fail(err, "can't look at", "", errno);
    *state = (nlp_shm_state){.regular = S_ISREG(st.st_mode),
                             .owner = st.st_uid,
                             .mode = st.st_mode & 07777u,
                             .n_links = (uint32_t)st.st_nlink,
                             .n_bytes = (uint64_t)st.st_size,
                             .device = st.st_dev,
                             .inode = st.st_ino,
                             .age_seconds = (int64_t)(time(NULL) - st.st_mtime)};
    return NLP_OK;
}

static nlp_status open_named(const char *name, int flags, int *fd, nlp_shm_state *state,
                             nlp_error *err) {
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "/%s", name);
    *fd = shm_open(full, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*fd < 0) return fail(err, "can't open", name, errno);
    nlp_status status = nlp_shm_look(*fd, state, err);
    if (status == NLP_OK) return NLP_OK;
    close(*fd);
    *fd = -1;
    return status;
}

nlp_status nlp_shm_open_read(const char *name, int *fd, nlp_shm_state *state, nlp_error *err) {
    return open_named(name, O_RDONLY, fd, state, err);
}

nlp_status nlp_shm_open_build(const char *name, int *fd, nlp_shm_state *state, nlp_error *err) {
    nlp_status status = open_named(name, O_RDWR | O_CREAT | O_EXCL, fd, state, err);
    if (status == NLP_OK) { /* the umask may have taken bits away */
        if (fchmod(*fd, 0600) != 0) return fail(err, "can't set the mode of", name, errno);
        return nlp_shm_look(*fd, state, err);
    }
    status = open_named(name, O_RDWR, fd, state, err);
    if (status != NLP_EDENIED) return status;
    return open_named(name, O_RDONLY, fd, state,
                      err); /* published: flock works on a read-only descriptor too */
}

void nlp_shm_unlink(const char *name) {
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "/%s", name);
    shm_unlink(full);
}

bool nlp_lock_try(int fd) {
    int rc;
    do rc = flock(fd, LOCK_EX | LOCK_NB);
    while (rc != 0 && errno == EINTR);
    return rc == 0;
}

nlp_status nlp_shm_allocate(int fd, size_t n_bytes, nlp_poll *poll, nlp_error *err) {
    if (ftruncate(fd, 0) != 0) return fail(err, "can't empty", "", errno);
    for (size_t at = 0; at < n_bytes;) {
        size_t step = n_bytes - at < ALLOCATE_STEP ? n_bytes - at : ALLOCATE_STEP;
        /* returns the error, does not set errno */
        int number = posix_fallocate(fd, (off_t)at, (off_t)step);
        if (number && number != EINTR) return fail(err, "no room in", "", number);
        if (!number) at += step;
        NLP_TRY(nlp_poll_now(poll, err));
    }
    return NLP_OK;
}

nlp_status nlp_shm_map_write(int fd, size_t n_bytes, uint8_t **bytes, nlp_error *err) {
    void *at = nlp_map_aligned(fd, n_bytes, PROT_READ | PROT_WRITE);
    *bytes = NULL;
    if (at == MAP_FAILED) return fail(err, "can't map", "", errno);
    madvise(at, n_bytes, MADV_DONTFORK);
    *bytes = at;
    return NLP_OK;
}

nlp_status nlp_shm_join_pages(uint8_t *bytes, size_t n_bytes, nlp_poll *poll, nlp_error *err) {
    const int collapse = 25; /* MADV_COLLAPSE, since Linux 6.1; others say EINVAL */
    for (size_t at = 0; at + NLP_HUGE_PAGE <= n_bytes; at += NLP_HUGE_PAGE) {
        if (madvise(bytes + at, NLP_HUGE_PAGE, collapse) != 0) return NLP_OK;
        NLP_TRY(nlp_poll_now(poll, err));
    }
    return NLP_OK;
}

void nlp_shm_unmap_write(uint8_t *bytes, size_t n_bytes) {
    if (bytes) munmap(bytes, n_bytes);
}

nlp_status nlp_shm_publish(int fd, uint32_t mode, nlp_error *err) {
    return fchmod(fd, (mode_t)mode) == 0 ? NLP_OK : fail(err, "can't publish", "", errno);
}

void nlp_file_forget(int fd) {
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

typedef struct prefix_filter {
    const char *prefix;
    bool (*visit)(void *context, const char *name);
    void *context;
} prefix_filter;

static bool filter_name(void *context, const char *name) {
    prefix_filter *f = context;
    return strncmp(name, f->prefix, strlen(f->prefix)) ? true : f->visit(f->context, name);
}

void nlp_shm_each(const char *prefix, bool (*visit)(void *context, const char *name),
                  void *context) {
    prefix_filter f = {prefix, visit, context};
    nlp_folder_list(NLP_SHM_FOLDER, filter_name, &f);
}

/* ---- Room ---- */

bool nlp_shm_room(uint64_t *total, uint64_t *available) {
    struct statvfs room;
    struct statfs kind;
    if (statvfs(NLP_SHM_FOLDER, &room) != 0 || statfs(NLP_SHM_FOLDER, &kind) != 0) return false;
    *total = (uint64_t)room.f_frsize * room.f_blocks;
    *available = (uint64_t)room.f_frsize * room.f_bavail;
    return kind.f_type == TMPFS;
}

/* The number in a cgroup file, or behind `key` in one of lines "key number"; fallback where there
 * is none. */
static uint64_t cgroup_number(const char *group, const char *file, const char *key,
                              uint64_t fallback) {
    char path[LINE_BYTES * 2], line[LINE_BYTES];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group, file);
    FILE *in = fopen(path, "re");
    uint64_t number = fallback;
    size_t n_key = key ? strlen(key) : 0;
    while (in && fgets(line, sizeof line, in)) {
        if (key && (strncmp(line, key, n_key) || line[n_key] != ' ')) continue;
        char *end;
        unsigned long long value = strtoull(line + n_key, &end, 10);
        if (end != line + n_key) number = value;
        break;
    }
    if (in) fclose(in);
    return number;
}

static uint64_t room_in(const char *group) {
    uint64_t limit = cgroup_number(group, "memory.max", NULL, UINT64_MAX);
    if (limit == UINT64_MAX) return UINT64_MAX;
    uint64_t used = cgroup_number(group, "memory.stat", "anon", 0) +
                    cgroup_number(group, "memory.stat", "shmem", 0) +
                    cgroup_number(group, "memory.stat", "slab_unreclaimable", 0);
    return used < limit ? limit - used : 0;
}

/* "0::/a/b" in /proc/self/cgroup: the least room of /a/b, /a and the root. */
uint64_t nlp_cgroup_room(void) {
    char line[LINE_BYTES], group[LINE_BYTES] = "";
    FILE *in = fopen("/proc/self/cgroup", "re");
    while (in && fgets(line, sizeof line, in))
        if (!strncmp(line, "0::", 3))
            snprintf(group, sizeof group, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    if (in) fclose(in);
    uint64_t room = UINT64_MAX;
    for (;;) {
        uint64_t here = room_in(group);
        room = here < room ? here : room;
        char *slash = strrchr(group, '/');
        if (!slash) return room;
        *slash = 0;
    }
}

bool nlp_file_is_remote(int fd) {
    static const int kinds[] = {NFS, SMB, SMB2, CIFS, FUSE, V9FS, LUSTRE};
    struct statfs kind;
    if (fstatfs(fd, &kind) != 0) return true;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((uint32_t)kind.f_type == (uint32_t)kinds[i]) return true;
    return false;
}

uint32_t nlp_user(void) {
    return geteuid();
}

void nlp_sleep_ms(uint32_t ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}
