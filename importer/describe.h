/* describe.h: what the files that describe a pack share. */
#ifndef NLP_IMPORTER_DESCRIBE_H
#define NLP_IMPORTER_DESCRIBE_H

#include "pack/pack.h"

typedef struct teller {
    void (*fact)(void *context, const char *group, const char *key, const char *value);
    void *context;
} teller;

void tell(const teller *t, const char *group, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The spec in the field's words, of a seq2seq's decoder too, pooling, head and generation. */
void describe_model(const teller *t, const nlp_pack *pack);
/* The parts of a compiled tokenizer; nothing where the pack has no such section. */
void describe_tokenizer(const teller *t, const nlp_pack *pack, const char *section);

#endif
