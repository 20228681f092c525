/* mapfile_shm.h: POSIX shared memory, locks and the room for it, as plain calls with statuses. Like
 * mapfile.h it knows nothing of packs. Names are without a slash: "nlp-1000-<uuid>". */
#ifndef NLP_BASE_MAPFILE_SHM_H
#define NLP_BASE_MAPFILE_SHM_H

#include "base/mapfile.h"

#define NLP_SHM_FOLDER "/dev/shm"

typedef struct nlp_shm_state {
    bool regular;
    uint32_t owner, mode, n_links; /* mode: the twelve permission bits */
    uint64_t n_bytes, device, inode;
    int64_t age_seconds;
} nlp_shm_state;

/* Read-only, O_NOFOLLOW. NLP_ENOFILE where there is none, NLP_EDENIED where it is somebody else's.
 */
nlp_status nlp_shm_open_read(const char *name, int *fd, nlp_shm_state *state, nlp_error *err);
/* For building: opens or creates it with mode 0600. */
nlp_status nlp_shm_open_build(const char *name, int *fd, nlp_shm_state *state, nlp_error *err);
nlp_status nlp_shm_look(int fd, nlp_shm_state *state, nlp_error *err);
void nlp_shm_unlink(const char *name);
/* An exclusive lock of the open file; the kernel frees it when its holder dies. false: somebody
 * else has it. */
bool nlp_lock_try(int fd);
/* Empties the segment, then takes n_bytes of real memory for it in steps, polling. NLP_ENOMEM where
 * there is no room. */
nlp_status nlp_shm_allocate(int fd, size_t n_bytes, nlp_poll *poll, nlp_error *err);
/* A writable view, not inherited by children. */
nlp_status nlp_shm_map_write(int fd, size_t n_bytes, uint8_t **bytes, nlp_error *err);
/* Makes huge pages of the pages of a writable view, as far as the kernel can: products that stream weights from memory
 * are about 15 % faster. Polls. Its only error is to be stopped. */
nlp_status nlp_shm_join_pages(uint8_t *bytes, size_t n_bytes, nlp_poll *poll, nlp_error *err);
void nlp_shm_unmap_write(uint8_t *bytes, size_t n_bytes);
nlp_status nlp_shm_publish(int fd, uint32_t mode, nlp_error *err);
/* After a file was copied: its page cache is not needed twice. */
void nlp_file_forget(int fd);
/* Names in the shared memory's folder that begin with prefix; stops when visit returns false. */
void nlp_shm_each(const char *prefix, bool (*visit)(void *context, const char *name),
                  void *context);

/* Bytes of the shared memory's file system. false where it is no tmpfs or can't be asked. */
bool nlp_shm_room(uint64_t *total, uint64_t *available);
/* Bytes that this process's memory cgroups still allow, page cache not counted; UINT64_MAX without
 * a limit. */
uint64_t nlp_cgroup_room(void);
/* A network or user-space file system, on which a mapped file can fail at any moment. */
bool nlp_file_is_remote(int fd);
uint32_t nlp_user(void);
void nlp_sleep_ms(uint32_t ms);

#endif
