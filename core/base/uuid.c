/* uuid.c: names of segments. */
#include "base/uuid.h"

#include <string.h>
#include <uuid/uuid.h>

/* nlp's own namespace, drawn once at random; changing it orphans every segment. */
static const unsigned char name_space[16] = {0x5b, 0x0e, 0x6f, 0x41, 0x9d, 0x27, 0x4c, 0x83,
                                             0xa1, 0x5e, 0x30, 0xc8, 0x77, 0x12, 0xe4, 0x9b};

void nlp_uuid_v5(const char *name, char out[NLP_UUID_TEXT_BYTES]) {
    uuid_t uuid;
    uuid_generate_sha1(uuid, name_space, name, strlen(name));
    uuid_unparse_lower(uuid, out);
}
