/* pg_nlp.h: what the files of the PostgreSQL adapter share. The adapter knows nlp.h and the server,
 * no core header.
 *
 * Order inside a call: what may throw (arguments, allocations) runs before a handle of the core is
 * taken; a callback of the memory context closes handles if the query is aborted; errors are thrown
 * only after the core has returned. */
#ifndef NLP_PG_NLP_H
#define NLP_PG_NLP_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "utils/jsonb.h"
#include "utils/portal.h"

#include "nlp.h"

enum { NLP_PG_MAX_OPTIONS = 32, NLP_PG_MAX_ARGUMENTS = 8 };

/* ---- pg_state.c: settings, the backend's engine and session ---- */
void nlp_pg_settings_init(void);
nlp_engine *nlp_pg_engine(void);   /* opened on first use; throws */
nlp_session *nlp_pg_session(void); /* one a backend; throws */
nlp_stop nlp_pg_stop(void);        /* only reads InterruptPending */
/* Throws where there is none. operands: NULL, or what it may depend on. */
char *nlp_pg_default_model(const nlp_task_spec *task, const nlp_text *operands,
                           const nlp_option *options, size_t n_options);
const char *nlp_pg_on_overflow(void); /* "" where it is not set */
int nlp_pg_max_generate_tokens(void);
size_t nlp_pg_scratch_bytes(void); /* of this backend, the most so far */
/* What was done so far, in the order of nlp_stats: by this backend, and by workers that told it. */
enum { NLP_PG_COUNTERS = 8 };
void nlp_pg_counters(uint64 counters[NLP_PG_COUNTERS]);
/* That a worker did so much of kind i. */
void nlp_pg_count(int i, uint64 more);
bool nlp_pg_equal_bits(
    void); /* false for a backend whose bits differ: refused where the model is named */

/* ---- pg_error.c ---- */
_Noreturn void nlp_pg_throw(const nlp_error *err);
/* Throws for a status that is not NLP_OK; a cancel becomes the query's own. */
void nlp_pg_check(nlp_status status, const nlp_error *err);

/* ---- pg_convert.c ---- */
/* UTF-8; detoasted and converted into the current memory context */
nlp_text nlp_pg_text(Datum datum);
/* A text[] as an operand of type NLP_TYPE_TEXTS; throws for what is no list of texts. */
nlp_text nlp_pg_text_list(Datum datum);
nlp_text nlp_pg_json_text(Jsonb *jsonb); /* as text, UTF-8 */
Datum nlp_pg_datum(const nlp_value *value, bool *is_null);
Datum nlp_pg_text_datum(const char *bytes, size_t n);
size_t nlp_pg_options(Jsonb *jsonb, nlp_option *options,
                      size_t capacity); /* texts lie in the current context */
Datum nlp_pg_real_array(const float *values, size_t n);
/* A text column of a row that SPI read, from 1; a NULL has no bytes, and the core says which row that was. */
nlp_text nlp_pg_column(HeapTuple row, TupleDesc desc, int column);
/* Rows (metric, value). */
void nlp_pg_put_metrics(ReturnSetInfo *set, const nlp_metric *metrics, size_t n);

/* ---- pg_query.c ---- */
enum { NLP_PG_BATCH = 256 };
typedef struct nlp_pg_reader {
    const char *columns; /* how messages call them: "one text column" */
    bool (*accepts)(TupleDesc columns, void *context);
    bool (*use)(void *context); /* the rows in SPI_tuptable, NLP_PG_BATCH at most */
    void *context;
} nlp_pg_reader;
/* Fetches the rest of a cursor, `at_once` rows at a time, and closes it. `use` finds them in SPI_tuptable and has a context of its
 * own for each part; false: no more are wanted. */
void nlp_pg_read_cursor(Portal portal, long at_once, bool (*use)(void *context), void *context);
/* Runs a SELECT, read-only. Throws where it is none of such columns. */
void nlp_pg_read_query(const char *query, const nlp_pg_reader *reader);
/* Whether n columns, from number `first` on, from 1, are of the type text. */
bool nlp_pg_are_texts(TupleDesc columns, int first, int n);

/* ---- pg_fit.c: heads made in SQL ---- */
/* Throws where the model path has a model of that name: what is made in SQL shadows no file. */
void nlp_pg_check_name(const char *name);
/* Into _nlp.packs, with the rights of the caller, under a name that was checked. */
void nlp_pg_store_pack(const char *name, const void *pack, size_t n);

/* ---- pg_models.c: models by name, from files and from _nlp.packs ---- */
/* The handle is closed when the memory context goes. Throws; counts against nlp.allowed_models. */
nlp_model *nlp_pg_model(const char *name, MemoryContext context);

#endif
