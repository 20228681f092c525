/* store.c: one copy of a pack's bytes per machine: a segment of shared memory that is copied once,
 * hashed, made read-only and mapped by everybody; where there is no room, the pack's own file is
 * mapped; else private memory is used.
 *
 * State is in the inode: mode 0600 is being built and mapped by nobody; mode 0400 (0444 of root) is
 * complete and changed by nobody. A builder holds the lock of the open file, which the kernel frees
 * when it dies; partial bytes are never trusted. */
#include "engine/store.h"

#include <stdio.h>
#include <string.h>

#include "base/mapfile_shm.h"
#include "base/uuid.h"
#include "pack/pack.h"

enum {
    SMALL_BYTES = 4 << 20,
    COPY_STEP = 256 * 1024,
    MAX_ROUNDS = 3,
    LOCK_WAIT_MS = 30000,
    KEEP_FREE = 64 << 20
};
static const uint64_t private_limit = (uint64_t)256 << 20;

typedef struct pack_file {
    const nlp_store_options *options;
    const char *path;
    int fd;
    uint64_t n_bytes;
    uint8_t page[NLP_PACK_PAGE_BYTES]; /* the first one */
    nlp_poll poll;
    nlp_error *err;
} pack_file;

const char *nlp_backing_name(nlp_backing backing) {
    return backing == NLP_BACKING_SHM ? "shm" : backing == NLP_BACKING_FILE ? "file" : "private";
}

static void at_step(const pack_file *f, const char *step) {
    if (f->options->at_step) f->options->at_step(step);
}

/* ---- The pack's file ---- */

/* The first page, checked, stays in memory: whatever is attached later must begin with these
 * very bytes. */
static nlp_status open_pack(pack_file *f, const nlp_store_options *options, const char *path,
                            const nlp_stop *stop, nlp_error *err) {
    *f = (pack_file){.options = options, .path = path, .fd = -1, .err = err};
    nlp_poll_init(&f->poll, stop, 0);
    NLP_TRY(nlp_file_open(path, &f->fd, &f->n_bytes, err));
    if (f->n_bytes < sizeof f->page)
        return nlp_fail(err, NLP_ECORRUPT,
                        "the pack is damaged: it is shorter than its first page");
    NLP_TRY(nlp_file_read(f->fd, 0, f->page, sizeof f->page, &f->poll, err));
    NLP_TRY(nlp_pack_check_header(f->page, sizeof f->page, err));
    const nlp_pack_header *h = (const nlp_pack_header *)(const void *)f->page;
    if (h->file_bytes == f->n_bytes) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT,
                    "the pack is damaged: it has %llu bytes, its header says %llu",
                    (unsigned long long)f->n_bytes, (unsigned long long)h->file_bytes);
}

/* For a small pack on a file system that can't be mapped safely. */
static nlp_status read_private(pack_file *f, nlp_mapping *mapping) {
    uint8_t *bytes = nlp_mem_alloc(f->options->mem, (size_t)f->n_bytes);
    if (!bytes) return nlp_mem_fail(f->options->mem, (size_t)f->n_bytes, f->err);
    nlp_status status = nlp_file_read(f->fd, 0, bytes, (size_t)f->n_bytes, &f->poll, f->err);
    if (status != NLP_OK) {
        nlp_mem_free(f->options->mem, bytes, (size_t)f->n_bytes);
        return status;
    }
    *mapping = (nlp_mapping){.bytes = bytes,
                             .n_bytes = (size_t)f->n_bytes,
                             .backing = NLP_BACKING_PRIVATE,
                             .mem = f->options->mem};
    return NLP_OK;
}

/* The file itself, where nobody else can change or cut it. */
static nlp_status map_file(pack_file *f, const char *note, nlp_mapping *mapping) {
    nlp_map map;
    if (nlp_file_is_remote(f->fd)) {
        if (f->n_bytes <= private_limit) {
            NLP_TRY(read_private(f, mapping));
            snprintf(mapping->note, sizeof mapping->note,
                     "the pack lies on a network or user-space file system: private copy");
            return NLP_OK;
        }
        nlp_fail(
            f->err, NLP_EUNSUPPORTED,
            "%s lies on a network or user-space file system, where %llu bytes can't be mapped safely",
            f->path, (unsigned long long)f->n_bytes);
        nlp_hint(f->err, "copy it to a local disk, or give " NLP_SHM_FOLDER " more room");
        return NLP_EUNSUPPORTED;
    }
    NLP_TRY(nlp_file_check_owner(f->path, f->fd, f->err));
    NLP_TRY(nlp_map_file(f->fd, (size_t)f->n_bytes, &map, f->err));
    *mapping =
        (nlp_mapping){.bytes = map.bytes, .n_bytes = map.n_bytes, .backing = NLP_BACKING_FILE};
    snprintf(mapping->note, sizeof mapping->note, "%s", note);
    return NLP_OK;
}

/* ---- Names ---- */

/* The digest makes the name, so a new version of a pack is a new segment and both live side by
 * side. */
static void segment_name(const pack_file *f, uint32_t user, char name[80]) {
    const nlp_pack_header *h = (const nlp_pack_header *)(const void *)f->page;
    char hex[NLP_SHA256_HEX_BYTES], uuid[NLP_UUID_TEXT_BYTES];
    const char *prefix = f->options->shm_prefix ? f->options->shm_prefix : "nlp-";
    nlp_hex(h->digest, sizeof h->digest, hex);
    nlp_uuid_v5(hex, uuid);
    snprintf(name, 80, "%.24s%u-%s", prefix, user, uuid);
}

/* ---- Attaching ---- */

typedef enum attach_result { ATTACHED, ABSENT, UNFINISHED, STALE, FOREIGN } attach_result;

static bool is_published(const nlp_shm_state *s, uint64_t n_bytes) {
    bool own = s->owner == nlp_user() && s->mode == 0400,
         of_root = s->owner == 0 && s->mode == 0444;
    return s->regular && s->n_links <= 1 && s->n_bytes == n_bytes && (own || of_root);
}

/* By the open descriptor, never by name; the first page must be the pack's own. */
static attach_result attach_opened(pack_file *f, int fd, const nlp_shm_state *state,
                                   nlp_mapping *mapping) {
    uint8_t page[NLP_PACK_PAGE_BYTES];
    nlp_map map;
    if (state->owner != nlp_user() && state->owner != 0) return FOREIGN;
    if (!is_published(state, f->n_bytes))
        return state->owner == nlp_user() && state->mode == 0600 ? UNFINISHED : STALE;
    if (nlp_file_read(fd, 0, page, sizeof page, NULL, NULL) != NLP_OK ||
        memcmp(page, f->page, sizeof page))
        return STALE;
    if (nlp_map_file(fd, (size_t)f->n_bytes, &map, NULL) != NLP_OK) return FOREIGN;
    *mapping =
        (nlp_mapping){.bytes = map.bytes, .n_bytes = map.n_bytes, .backing = NLP_BACKING_SHM};
    return ATTACHED;
}

static attach_result attach(pack_file *f, const char *name, nlp_mapping *mapping) {
    nlp_shm_state state;
    int fd;
    nlp_status status = nlp_shm_open_read(name, &fd, &state, NULL);
    if (status != NLP_OK) return status == NLP_ENOFILE ? ABSENT : FOREIGN;
    attach_result result = attach_opened(f, fd, &state, mapping);
    nlp_file_close(fd);
    if (result == ATTACHED) snprintf(mapping->segment, sizeof mapping->segment, "%s", name);
    return result;
}

/* ---- Building ---- */

/* Filling the shared memory would make other programs' requests fail, PostgreSQL's parallel queries
 * first. */
static bool has_room(const pack_file *f, char note[160]) {
    uint64_t total, available, keep;
    if (!nlp_shm_room(&total, &available)) {
        snprintf(note, 160, NLP_SHM_FOLDER " is no tmpfs: the pack's file is mapped");
        return false;
    }
    keep = total / 4 > KEEP_FREE ? total / 4 : KEEP_FREE;
    if (available < f->n_bytes + keep) {
        snprintf(note, 160,
                 NLP_SHM_FOLDER
                 " has %llu MB free of %llu, %llu are needed: the pack's file is mapped",
                 (unsigned long long)(available >> 20), (unsigned long long)(total >> 20),
                 (unsigned long long)((f->n_bytes + keep) >> 20));
        return false;
    }
    if (nlp_cgroup_room() < f->n_bytes + KEEP_FREE) {
        snprintf(note, 160,
                 "the memory limit of this container is near: the pack's file is mapped");
        return false;
    }
    return true;
}

/* Everything but the first page, hashed as it stands in the destination. */
static nlp_status copy_and_hash(pack_file *f, uint8_t *bytes) {
    const nlp_pack_header *h = (const nlp_pack_header *)(const void *)f->page;
    uint8_t digest[NLP_SHA256_BYTES];
    nlp_pack_header blank = *h;
    nlp_sha256 sha;
    memset(blank.digest, 0, sizeof blank.digest);
    memset(blank.meta_digest, 0, sizeof blank.meta_digest);
    nlp_sha256_init(&sha);
    nlp_sha256_update(&sha, &blank, sizeof blank);
    nlp_sha256_update(&sha, f->page + sizeof blank, sizeof f->page - sizeof blank);
    for (uint64_t at = sizeof f->page; at < f->n_bytes; at += COPY_STEP) {
        size_t n = f->n_bytes - at < COPY_STEP ? (size_t)(f->n_bytes - at) : COPY_STEP;
        NLP_TRY(nlp_file_read(f->fd, at, bytes + at, n, &f->poll, f->err));
        nlp_sha256_update(&sha, bytes + at, n);
        if (at < COPY_STEP) at_step(f, "copying");
    }
    nlp_sha256_final(&sha, digest);
    if (!memcmp(digest, h->digest, sizeof digest)) return NLP_OK;
    return nlp_fail(f->err, NLP_ECORRUPT,
                    "the pack is damaged: its bytes have another digest than its header says");
}

/* Under the lock, mode 0600. The first page comes last; the change of mode publishes. */
static nlp_status fill(pack_file *f, int fd) {
    uint8_t *bytes;
    at_step(f, "locked");
    NLP_TRY(nlp_shm_allocate(fd, (size_t)f->n_bytes, &f->poll, f->err));
    at_step(f, "allocated");
    NLP_TRY(nlp_shm_map_write(fd, (size_t)f->n_bytes, &bytes, f->err));
    nlp_status status = copy_and_hash(f, bytes);
    if (status == NLP_OK) status = nlp_shm_join_pages(bytes, (size_t)f->n_bytes, &f->poll, f->err);
    if (status == NLP_OK) {
        at_step(f, "copied");
        memcpy(bytes, f->page, sizeof f->page);
        at_step(f, "first page");
    }
    nlp_shm_unmap_write(bytes, (size_t)f->n_bytes);
    if (status == NLP_OK) status = nlp_shm_publish(fd, nlp_user() ? 0400 : 0444, f->err);
    at_step(f, "published");
    return status;
}

/* The lock of the segment, waiting for another builder; *fd is -1 where it was replaced meanwhile
 * or the wait was too long. */
static nlp_status lock_segment(pack_file *f, const char *name, int *fd, nlp_shm_state *state) {
    nlp_shm_state now;
    uint32_t waited = 0;
    NLP_TRY(nlp_shm_open_build(name, fd, state, f->err));
    at_step(f, "opened");
    bool own = state->owner == nlp_user() && state->regular;
    for (uint32_t pause = 2; own && !nlp_lock_try(*fd) && waited < LOCK_WAIT_MS;
         pause += pause < 10) {
        nlp_sleep_ms(pause);
        waited += pause;
        if (nlp_poll_now(&f->poll, f->err) == NLP_OK) continue;
        nlp_file_close(*fd);
        return NLP_ECANCELED;
    }
    int fresh = -1;
    bool same = own && waited < LOCK_WAIT_MS &&
                nlp_shm_open_read(name, &fresh, &now, NULL) == NLP_OK &&
                now.device == state->device && now.inode == state->inode &&
                nlp_shm_look(*fd, state, NULL) == NLP_OK;
    nlp_file_close(fresh);
    if (same) return NLP_OK;
    nlp_file_close(*fd);
    *fd = -1;
    return NLP_OK;
}

/* One round: NLP_OK with bytes NULL asks for another one. */
static nlp_status build_round(pack_file *f, const char *name, nlp_mapping *mapping) {
    nlp_shm_state state;
    int fd;
    NLP_TRY(lock_segment(f, name, &fd, &state));
    if (fd < 0) return NLP_OK;
    nlp_status status = NLP_OK;
    if (state.mode == 0600) {
        status = fill(f, fd);
        if (status != NLP_OK) nlp_shm_unlink(name); /* while the lock is held */
    } else if (attach_opened(f, fd, &state, mapping) == STALE) {
        nlp_shm_unlink(name);
    }
    nlp_file_close(fd);
    if (status == NLP_OK && !mapping->bytes) attach(f, name, mapping);
    if (mapping->bytes) snprintf(mapping->segment, sizeof mapping->segment, "%s", name);
    return status;
}

/* Room that goes away while building, or a segment that can't be opened, means the file; damage and
 * cancel are errors. */
static nlp_status build(pack_file *f, const char *name, nlp_mapping *mapping) {
    nlp_error why = {0};
    for (int round = 0; round < MAX_ROUNDS && !mapping->bytes; round++) {
        nlp_status status = build_round(f, name, mapping);
        if (status == NLP_ECANCELED || status == NLP_ECORRUPT) return status;
        if (status != NLP_OK && f->err) why = *f->err;
        if (status != NLP_OK) break;
    }
    if (mapping->bytes) {
        nlp_file_forget(f->fd);
        return NLP_OK;
    }
    char note[160];
    snprintf(note, sizeof note, "%.100s: the pack's file is mapped",
             *why.message ? why.message : "another process builds the segment");
    return map_file(f, note, mapping);
}

/* ---- The entries ---- */

/* Root's segment first, since everybody may trust it; then the user's own; else build one if
 * there is room, else the file. */
static nlp_status map_opened(pack_file *f, nlp_mapping *mapping) {
    char of_root[80], own[80], note[160];
    if (f->options->weight_cache == NLP_CACHE_FILE || f->n_bytes < SMALL_BYTES)
        return map_file(f, "", mapping);
    segment_name(f, 0, of_root);
    segment_name(f, nlp_user(), own);
    if (attach(f, of_root, mapping) == ATTACHED) return NLP_OK;
    attach_result result = nlp_user() ? attach(f, own, mapping) : ABSENT;
    if (result == ATTACHED) return NLP_OK;
    if (result == FOREIGN)
        return map_file(f, "the segment's name belongs to another user: the pack's file is mapped",
                        mapping);
    return has_room(f, note) ? build(f, own, mapping) : map_file(f, note, mapping);
}

nlp_status nlp_store_map(const nlp_store_options *options, const char *path, const nlp_stop *stop,
                         nlp_mapping *mapping, nlp_error *err) {
    pack_file f;
    *mapping = (nlp_mapping){0};
    nlp_status status = open_pack(&f, options, path, stop, err);
    if (status == NLP_OK) status = map_opened(&f, mapping);
    nlp_file_close(f.fd);
    return status;
}

nlp_status nlp_store_copy(const nlp_store_options *options, const void *bytes, size_t n_bytes,
                          nlp_mapping *mapping, nlp_error *err) {
    uint8_t *copy = nlp_mem_alloc(options->mem, n_bytes ? n_bytes : 1);
    if (!copy) return nlp_mem_fail(options->mem, n_bytes, err);
    *mapping = (nlp_mapping){
        .bytes = copy, .n_bytes = n_bytes, .backing = NLP_BACKING_PRIVATE, .mem = options->mem};
    memcpy(copy, bytes, n_bytes);
    return NLP_OK;
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

nlp_status nlp_store_segment_of(const nlp_store_options *options, const char *path,
                                char segment[80], nlp_error *err) {
    pack_file f;
    nlp_status status = open_pack(&f, options, path, NULL, err);
    if (status == NLP_OK) segment_name(&f, nlp_user(), segment);
    nlp_file_close(f.fd);
    return status;
}

/* ---- Keeping ---- */

typedef struct listing {
    const char *(*find_models)(void *context, const char *digest_hex);
    void *find_context;
    bool (*visit)(void *context, const nlp_cache_entry *entry);
    void *context;
} listing;

static const char *state_of(int fd, const nlp_shm_state *state, nlp_cache_entry *entry,
                            const listing *l) {
    nlp_pack_header header;
    if (state->owner != nlp_user() && state->owner != 0) return "foreign";
    if (state->mode == 0600) return nlp_lock_try(fd) ? "dead" : "building";
    if (nlp_file_read(fd, 0, &header, sizeof header, NULL, NULL) != NLP_OK ||
        nlp_pack_check_header(&header, sizeof header, NULL) != NLP_OK ||
        header.file_bytes != state->n_bytes)
        return "stale";
    nlp_hex(header.digest, sizeof header.digest, entry->digest);
    entry->models = l->find_models(l->find_context, entry->digest);
    return *entry->models ? "ready" : "orphan";
}

/* By descriptor: the name may be gone or be another segment's when it is shown. */
static bool list_segment(void *context, const char *name) {
    listing *l = context;
    nlp_shm_state state = {0};
    nlp_cache_entry entry = {.name = name, .models = "", .state = "foreign"};
    int fd = -1;
    if (nlp_shm_open_read(name, &fd, &state, NULL) == NLP_OK) {
        entry.bytes = state.n_bytes;
        entry.age_seconds = state.age_seconds;
        entry.processes = nlp_map_count(name);
        entry.state = state_of(fd, &state, &entry, l);
    }
    nlp_file_close(fd); /* frees the lock that state_of may have taken */
    return l->visit(l->context, &entry);
}

nlp_status nlp_store_list(const nlp_store_options *options,
                          const char *(*find_models)(void *context, const char *digest_hex),
                          void *find_context,
                          bool (*visit)(void *context, const nlp_cache_entry *entry), void *context,
                          nlp_error *err) {
    listing l = {find_models, find_context, visit, context};
    (void)err;
    nlp_shm_each(options->shm_prefix ? options->shm_prefix : "nlp-", list_segment, &l);
    return NLP_OK;
}

/* The lock keeps a builder from publishing under a name that is just being removed. Processes
 * that map the segment keep it. */
nlp_status nlp_store_drop(const nlp_store_options *options, const char *segment, nlp_error *err) {
    nlp_shm_state state;
    int fd;
    (void)options;
    nlp_status status = nlp_shm_open_read(segment, &fd, &state, err);
    if (status == NLP_ENOFILE) return NLP_OK;
    NLP_TRY(status);
    if (!nlp_lock_try(fd))
        status = nlp_fail(err, NLP_EMISMATCH, "segment %s is being built", segment);
    else
        nlp_shm_unlink(segment);
    nlp_file_close(fd);
    return status;
}

static nlp_status verify_map(pack_file *f, const nlp_map *map, const char *what) {
    const nlp_pack_header *h = (const nlp_pack_header *)(const void *)f->page;
    uint8_t digest[NLP_SHA256_BYTES];
    NLP_TRY(nlp_pack_digest(map->bytes, map->n_bytes, &f->poll, digest, f->err));
    if (!memcmp(digest, h->digest, sizeof digest)) return NLP_OK;
    return nlp_fail(f->err, NLP_ECORRUPT, "%s has other bytes than its digest says", what);
}

static nlp_status verify_segment(pack_file *f) {
    char name[80];
    nlp_mapping mapping = {0};
    segment_name(f, nlp_user(), name);
    if (attach(f, name, &mapping) != ATTACHED) return NLP_OK;
    nlp_map map = {mapping.bytes, mapping.n_bytes};
    nlp_status status = verify_map(f, &map, "the segment");
    nlp_store_unmap(&mapping);
    return status;
}

nlp_status nlp_store_verify(const nlp_store_options *options, const char *path,
                            const nlp_stop *stop, nlp_error *err) {
    pack_file f;
    nlp_map map = {0};
    nlp_status status = open_pack(&f, options, path, stop, err);
    if (status == NLP_OK) status = nlp_map_file(f.fd, (size_t)f.n_bytes, &map, err);
    if (status == NLP_OK) status = verify_map(&f, &map, "the file");
    if (status == NLP_OK) status = verify_segment(&f);
    nlp_map_close(&map);
    nlp_file_close(f.fd);
    return status;
}
