/* store.h: one copy of a pack's bytes per machine. Knows pack headers, nothing of models. */
#ifndef NLP_ENGINE_STORE_H
#define NLP_ENGINE_STORE_H

#include "base/mem.h"
#include "base/poll.h"
#include "pack/pack_format.h"

typedef enum nlp_backing {
    NLP_BACKING_SHM = 1,
    NLP_BACKING_FILE = 2,
    NLP_BACKING_PRIVATE = 3
} nlp_backing;

typedef struct nlp_store_options {
    nlp_mem *mem; /* for private backing */
    nlp_weight_cache weight_cache;
    const char *shm_prefix;            /* NULL: "nlp-"; tests use their own */
    void (*at_step)(const char *step); /* NULL; tests kill the process at a step */
} nlp_store_options;

typedef struct nlp_mapping {
    const uint8_t *bytes;
    size_t n_bytes;
    nlp_backing backing;
    char note[160];   /* why it is not in shared memory, "" where it is or need not be */
    char segment[80]; /* name of the segment, "" otherwise */
    nlp_mem *mem;     /* of private bytes */
} nlp_mapping;

/* Maps the pack at path: attaches to its segment, or builds it, or falls back to the file or to
 * private memory. The first page and, on a build, the digest are checked; pack_read checks the
 * rest. Polls; any thread. */
nlp_status nlp_store_map(const nlp_store_options *options, const char *path, const nlp_stop *stop,
                         nlp_mapping *mapping, nlp_error *err);
/* A private copy of bytes in memory. */
nlp_status nlp_store_copy(const nlp_store_options *options, const void *bytes, size_t n_bytes,
                          nlp_mapping *mapping, nlp_error *err);
void nlp_store_unmap(nlp_mapping *mapping);
const char *nlp_backing_name(nlp_backing backing);
/* Processes of this user that map the segment or file behind path. 0 where it can't be known. */
uint32_t nlp_store_processes(const char *segment_or_path);

/* For `nlp cache`: visits every segment of ours. find_models gives the comma-separated pack names
 * of a digest, or "". */
nlp_status nlp_store_list(const nlp_store_options *options,
                          const char *(*find_models)(void *context, const char *digest_hex),
                          void *find_context,
                          bool (*visit)(void *context, const nlp_cache_entry *entry), void *context,
                          nlp_error *err);
/* Takes the segment's lock, then unlinks it. */
nlp_status nlp_store_drop(const nlp_store_options *options, const char *segment, nlp_error *err);
/* The segment that a pack would have for this user, whether or not it is there. */
nlp_status nlp_store_segment_of(const nlp_store_options *options, const char *path,
                                char segment[80], nlp_error *err);
/* Hashes the file and, where there is one, the segment. */
nlp_status nlp_store_verify(const nlp_store_options *options, const char *path,
                            const nlp_stop *stop, nlp_error *err);

#endif
