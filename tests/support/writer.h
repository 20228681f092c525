/* writer.h: texts of random tokens under a constraint, written as a generating task writes them. */
#ifndef NLP_TEST_WRITER_H
#define NLP_TEST_WRITER_H

#include "generate/constraint.h"
#include "random.h"

/* The tokenizer of a model in tests/data/models, and its vocabulary; opened once, for the whole process. */
const nlp_tokenizer *nlp_test_tokenizer(const char *model);
const nlp_vocabulary *nlp_test_vocabulary(const char *model);

/* A constraint and what it runs with. */
typedef struct nlp_constrained {
    const nlp_vocabulary *vocabulary;
    nlp_arena arena;
    const nlp_constraint *constraint;
    nlp_constraint_work *work; /* NULL: it did not open */
    nlp_constraint_state state;
} nlp_constrained;

/* nlp_constraint_open_schema or _grammar. */
typedef nlp_status (*nlp_constraint_open_fn)(const nlp_vocabulary *, nlp_text, nlp_arena *,
                                             nlp_poll *, const nlp_constraint **, nlp_error *);
nlp_status nlp_constrained_open(nlp_constrained *c, nlp_constraint_open_fn open, const char *model,
                                nlp_text text, nlp_error *err);
/* A grammar that must open. */
void nlp_constrained_grammar(nlp_constrained *c, const char *model, const char *text);
nlp_status nlp_constrained_choices(nlp_constrained *c, const char *model, const nlp_text *choices,
                                   size_t n, nlp_error *err);
void nlp_constrained_close(nlp_constrained *c);
/* Goes on byte by byte, up to the first one that may not follow. */
bool nlp_constrained_feed(nlp_constrained *c, const char *text);
/* From the beginning: whether the text may be all. */
bool nlp_constrained_accepts(nlp_constrained *c, const char *text);
/* The text opens and takes the one list, not the other; both end in NULL. */
void nlp_constrained_check(nlp_constraint_open_fn open, const char *model, const char *text,
                           const char *const *taken, const char *const *refused);
/* Opens, or not, with that status; the message is in err. */
void nlp_constrained_refuses(nlp_constraint_open_fn open, const char *model, nlp_text text,
                             nlp_status expected, nlp_error *err);

typedef struct nlp_test_writing {
    const nlp_vocabulary *vocabulary;
    const nlp_constraint *constraint;
    nlp_constraint_work *work;
    nlp_random *random;
    size_t max_tokens;
    bool alone;     /* see nlp_constraint_begin */
    int32_t *ids;   /* [NLP_CONSTRAINT_MAX_CLOSING] */
    size_t n;       /* written */
    size_t n_least; /* what the shortest text takes */
} nlp_test_writing;

/* Random tokens that may follow, then the closing where max_tokens comes near. */
void nlp_test_write(nlp_test_writing *writing);
/* The bytes of the ids one after the other, terminated; for the test to free. */
char *nlp_test_spelt(const nlp_vocabulary *vocabulary, const int32_t *ids, size_t n);
/* What the model's decoder makes of them; the same. */
char *nlp_test_decoded(const char *model, const int32_t *ids, size_t n);

#endif
