/* writer.h: texts of random tokens under a constraint, written as a generating task writes them. */
#ifndef NLP_TEST_WRITER_H
#define NLP_TEST_WRITER_H

#include "generate/constraint.h"
#include "random.h"

/* The tokenizer of a model in tests/data/models, and its vocabulary; opened once, for the whole process. */
const nlp_tokenizer *nlp_test_tokenizer(const char *model);
const nlp_vocabulary *nlp_test_vocabulary(const char *model);

typedef struct nlp_writing {
    const nlp_vocabulary *vocabulary;
    const nlp_constraint *constraint;
    nlp_constraint_work *work;
    nlp_random *random;
    size_t max_tokens;
    bool alone;     /* see nlp_constraint_begin */
    int32_t *ids;   /* [NLP_CONSTRAINT_MAX_CLOSING] */
    size_t n;       /* written */
    size_t n_least; /* what the shortest text takes */
} nlp_writing;

/* Random tokens that may follow, then the closing where max_tokens comes near. */
void nlp_test_write(nlp_writing *writing);
/* The bytes of the ids one after the other, terminated; for the test to free. */
char *nlp_test_spelt(const nlp_vocabulary *vocabulary, const int32_t *ids, size_t n);

#endif
