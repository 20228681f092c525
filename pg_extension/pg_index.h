/* pg_index.h: an index of meanings as its writers and searchers see it. The catalogue is _nlp.indexes; sql/index.sql says what
 * the tables of an index hold. */
#ifndef NLP_PG_INDEX_H
#define NLP_PG_INDEX_H

#include "pg_site.h"

#include "executor/spi.h"

enum { NLP_PG_INDEX_COLUMNS = 8 };

typedef struct nlp_pg_index {
    Oid relation, owner, signatures_oid;
    char *name, *source; /* of the index; of the relation, as it stands in SQL */
    char *chunks, *signatures, *terms, *queue; /* as they stand in SQL */
    bool
        is_pgvector; /* vectors are in pgvector, too: in this table, of this type, nearest by this operator */
    char *vectors, *vector_type, *vector_distance; /* NULL where they are not (any more) */
    Oid vector_type_oid;
    char *keys[NLP_PG_INDEX_COLUMNS], *columns[NLP_PG_INDEX_COLUMNS];
    Oid key_types[NLP_PG_INDEX_COLUMNS];
    char *key_equals[NLP_PG_INDEX_COLUMNS]; /* OPERATOR(schema.=) */
    int n_keys, n_columns;
    char *model, *digest, *config;
    int dims, max_tokens, overlap;
    double recall; /* NaN: not measured */
    bool is_async;
} nlp_pg_index;

/* Of a table, or of the one that it is a partition of; NULL where there is none. Lives in the current context. */
nlp_pg_index *nlp_pg_index_find(Oid relation);
/* The same; throws where there is none. */
nlp_pg_index *nlp_pg_index_of(Oid relation);
/* "b.id, b.lang" and "c.k1, c.k2" */
char *nlp_pg_index_key_columns(const nlp_pg_index *index, const char *prefix);
char *nlp_pg_index_key_numbers(const nlp_pg_index *index, const char *prefix);
/* "c.k1 OPERATOR(pg_catalog.=) b.k1 AND ..." */
char *nlp_pg_index_same_key(const nlp_pg_index *index, const char *a, const char *b);
/* "c.k1 OPERATOR(pg_catalog.=) $1 AND ..." */
char *nlp_pg_index_given_key(const nlp_pg_index *index, const char *prefix);
/* What is indexed of a row, an expression over the row `prefix`, never NULL. */
char *nlp_pg_index_text(const nlp_pg_index *index, const char *prefix);
/* A text as to_tsvector gets it: without punctuation, after which its parser would read one word differently from place to
 * place ("E17", "E17/B", "x=E17"). And its names, each behind a sign that no lexeme of a word has, as a text[]. */
#define NLP_PG_NAME_SIGN '='
Datum nlp_pg_index_words(nlp_text text);
Datum nlp_pg_index_names(nlp_text text);
/* Throws unless the caller owns the relation. */
void nlp_pg_index_check_owner(Oid relation);
/* nlp_pg_index_of for an owner. */
nlp_pg_index *nlp_pg_index_open_own(Oid relation);
/* The index's model, open in `context`. Throws where it is another one by now (55000). */
nlp_model *nlp_pg_index_model_of(const nlp_pg_index *index, MemoryContext context);

/* Throws where the index has its vectors in pgvector, and that is gone. */
void nlp_pg_index_check_vectors(const nlp_pg_index *index);

/* The rights of someone else and a safe search path, until it is given back; an abort gives them back. */
typedef struct nlp_pg_rights {
    Oid user;
    int context, level;
} nlp_pg_rights;
nlp_pg_rights nlp_pg_become(Oid user);
void nlp_pg_give_back(nlp_pg_rights rights);
Oid nlp_pg_extension_owner(void);
/* A setting, for as long as rights are borrowed. Not the user's to choose, since it counts for what runs with them. */
void nlp_pg_set_for_now(const char *setting, const char *value);

/* In an SPI connection: a statement that must succeed; how many rows it touched or found. */
uint64 nlp_pg_execute(const char *sql, int n, const Oid *types, const Datum *values,
                      bool read_only);
/* Makes rows visible to statements of this SPI connection as a relation `name`. */
void nlp_pg_name_rows(const char *name, Tuplestorestate *rows, TupleDesc desc, double n);

/* ---- pg_index_write.c: in an SPI connection, with the rights of the index's owner ---- */
/* The keys of the rows of a relation that has the columns of the table, as a relation in SQL. */
char *nlp_pg_index_keys_from(const nlp_pg_index *index, const char *from);
/* Of these keys, a relation in SQL: what is gone is forgotten, what is other than the index knows it is written. The rows are
 * read now, as they are now: a trigger of the user's may have changed them since, and a key may be there again. */
void nlp_pg_index_write_keys(const nlp_pg_index *index, const char *keys);
/* The same of all keys; how many rows were written. */
uint64 nlp_pg_index_write_all(const nlp_pg_index *index);
void nlp_pg_index_forget_gone(const nlp_pg_index *index);
void nlp_pg_index_forget_all(const nlp_pg_index *index);

/* ---- pg_index_queue.c ---- */
/* How many keys of a relation in SQL were queued. */
uint64 nlp_pg_index_queue_keys(const nlp_pg_index *index, const char *keys);

/* ---- pg_index_worker.c ---- */
typedef enum nlp_pg_index_lock {
    NLP_PG_LOCK_STATISTICS = 1,
    NLP_PG_LOCK_QUEUE = 2
} nlp_pg_index_lock;
/* Until the transaction ends; false where another one has it. */
bool nlp_pg_index_try_lock(Oid relation, nlp_pg_index_lock purpose);
/* This transaction has queued something. */
void nlp_pg_index_want_worker(void);
void nlp_pg_index_worker_init(void);

#endif
