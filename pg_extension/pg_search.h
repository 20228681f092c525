/* pg_search.h: the halves of a search and what they find. */
#ifndef NLP_PG_SEARCH_H
#define NLP_PG_SEARCH_H

#include "pg_index.h"

#include "nlp_search.h"

/* The chunk of a row that a half found best. */
typedef struct nlp_pg_place {
    int64 doc; /* the row */
    int64 chunk;
    int32 start_pos, end_pos;
    uint64 hash; /* of its text */
    double score;
} nlp_pg_place;

typedef struct nlp_pg_places { /* best first, one a row, equal ones by doc */
    nlp_pg_place *places;
    size_t n;
} nlp_pg_places;

typedef struct nlp_pg_allowed { /* chunks that may be found */
    int64 *ids;                 /* ascending */
    size_t n;
    bool all;
} nlp_pg_allowed;
bool nlp_pg_allows(const nlp_pg_allowed *allowed, int64 chunk);

/* Columns of the table of chunks that a place is read from, the first ones of a row. Without a score. */
#define NLP_PG_PLACE "id, doc, start_pos, end_pos, hash"
enum { NLP_PG_PLACE_COLUMNS = 5 };
nlp_pg_place nlp_pg_read_place(HeapTuple row, TupleDesc desc);

/* The best chunk of each row of n places in any order, and of those the `most` best. Reorders `places`. */
nlp_pg_places nlp_pg_best_rows(nlp_pg_place *places, size_t n, size_t most);

#define NLP_PG_OVERSAMPLE                                                                          \
    0 /* candidates by signatures for each row that is wanted: the usual number */
#define NLP_PG_RECALL 0.95 /* an index whose signatures find less compares all bytes */

/* In an SPI connection, with the rights of the index's owner. */
nlp_pg_places nlp_pg_dense_half(const nlp_pg_index *index, const nlp_value *vector, int k,
                                int oversample, const nlp_pg_allowed *allowed, size_t most);
/* *said is untouched where the query has no words. */
nlp_pg_places nlp_pg_text_half(const nlp_pg_index *index, nlp_text query,
                               const nlp_pg_allowed *allowed, size_t most, nlp_said *said);
/* Of an index whose vectors are in pgvector: about the n nearest chunks, in any order, without a score. */
nlp_top nlp_pg_graph_nearest(const nlp_pg_index *index, const float *vector, size_t n);
/* Of the 10 nearest of some of its vectors, the part that signatures find. */
double nlp_pg_index_recall(const nlp_pg_index *index);
/* Rows that hold names of the query: identifiers, numbers, and words that the model only knows in pieces. */
typedef struct nlp_pg_named {
    nlp_pg_places rows;
    nlp_hit *hits; /* as nlp_fuse takes them */
    size_t n;
} nlp_pg_named;
nlp_pg_named nlp_pg_named_rows(const nlp_pg_index *index, nlp_text query,
                               const nlp_pg_allowed *allowed);

#endif
