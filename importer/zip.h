/* zip.h: the members of a zip archive, for the readers of containers that are zips. */
#ifndef NLP_IMPORTER_ZIP_H
#define NLP_IMPORTER_ZIP_H

#include "base/mem.h"
#include "base/poll.h"

typedef struct nlp_zip_member {
    const char *name; /* borrowed during the visit, not terminated */
    size_t name_bytes;
    uint32_t method, flags, crc, packed_bytes, n_bytes, local_at;
} nlp_zip_member;

typedef struct nlp_zip {
    nlp_mem *mem;
    int fd; /* borrowed */
    uint64_t n_bytes;
    nlp_poll poll;
    nlp_error *err;
} nlp_zip;

/* Members in the order of the directory; a status other than NLP_OK ends the walk and is returned. */
typedef nlp_status (*nlp_zip_visit)(void *context, const nlp_zip_member *member);
nlp_status nlp_zip_walk(nlp_zip *zip, nlp_zip_visit visit, void *context);
/* Where the bytes of a member lie in the file; they are inside it. */
nlp_status nlp_zip_data(nlp_zip *zip, const nlp_zip_member *member, uint64_t *offset);
/* All bytes of a member, unpacked, its checksum held; *bytes has n_bytes + 1 from zip->mem. */
nlp_status nlp_zip_load(nlp_zip *zip, const nlp_zip_member *member, uint8_t **bytes);

#endif
