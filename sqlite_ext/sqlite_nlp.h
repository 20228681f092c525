/* sqlite_nlp.h: what the files of the SQLite adapter share. The adapter knows nlp.h and SQLite, no
 * core header. One engine a process, shared by its connections; one session a connection. */
#ifndef NLP_SQLITE_NLP_H
#define NLP_SQLITE_NLP_H

#include <sqlite3ext.h>

#include "nlp.h"

SQLITE_EXTENSION_INIT3

enum { NLP_MAX_OPTIONS = 32 };

/* State of one connection, shared by all functions and tables of it. */
typedef struct nlp_connection {
    sqlite3 *db;
    nlp_engine *engine;
    nlp_session *session;
    sqlite3_stmt *poll; /* SELECT 1, while a call runs: sees interrupts and progress handlers */
    char *options_text; /* the JSON that `options` was made from */
    nlp_option options[NLP_MAX_OPTIONS];
    size_t n_options;
    nlp_model *stored; /* the last model that came from the table nlp_packs */
    char stored_name[128], stored_digest[65];
    int n_references;
} nlp_connection;

/* sqlite_settings.c: the process's engine and its settings. */
/* opened on first use; never closed: the library stays loaded */
nlp_engine *nlp_sqlite_engine(nlp_error *err);
/* "" where it is not set; "on_overflow", "embed_model" ... */
const char *nlp_sqlite_setting(const char *key);
nlp_status nlp_sqlite_set(const char *key, const char *value, nlp_error *err);
const char *nlp_sqlite_setting_at(int index); /* keys, for nlp_config(); NULL past the last */

/* sqlite_call.c */
nlp_stop nlp_sqlite_stop(nlp_connection *c);
/* Ends every call: an open statement would keep sqlite3_close from closing. */
void nlp_sqlite_idle(nlp_connection *c);
/* Puts message and hint, and the code of the status, into the context. */
void nlp_sqlite_error(sqlite3_context *context, const nlp_error *err);
char *nlp_sqlite_message(const nlp_error *err); /* for a table's zErrMsg; sqlite3_malloc */
/* An error without a hint; the code is returned. */
nlp_status nlp_sqlite_fail(nlp_error *err, nlp_status code, const char *message);
/* What the connection's last call of SQLite said. */
nlp_status nlp_sqlite_failed(nlp_connection *c, nlp_error *err);
nlp_status nlp_sqlite_out_of_memory(nlp_error *err);

/* What stands behind the operands: a text that begins with '{' is options, another text the model, a
 * number the task's tunable. */
typedef struct nlp_arguments {
    nlp_model *model; /* close it */
    bool is_null;     /* the model was given as NULL: the answer is NULL */
    nlp_option options[NLP_MAX_OPTIONS + 2];
    size_t n_options;
} nlp_arguments;
/* A model by name: of the model path, else of the table nlp_packs of this database. */
nlp_status nlp_sqlite_model(nlp_connection *c, const char *name, nlp_model **model, nlp_error *err);
nlp_text nlp_sqlite_text(sqlite3_value *value); /* bytes NULL for NULL */

/* Texts of a JSON array as an operand of type NLP_TYPE_TEXTS; messages name the function by verb and operand.
 * sqlite3_free *list, also after an error. */
nlp_status nlp_sqlite_list(nlp_connection *c, const char *verb, const char *operand,
                           sqlite3_value *value, char **list, size_t *n_bytes, nlp_error *err);
/* Operands that are texts or lists of them (JSON arrays). */
typedef struct nlp_texts {
    nlp_text texts[2];
    char *list; /* sqlite3_free it; NULL: none */
    bool is_null;
} nlp_texts;
nlp_status nlp_sqlite_texts(nlp_connection *c, const nlp_task_spec *task, sqlite3_value **argv,
                            nlp_texts *texts, nlp_error *err);
/* operands, or NULL: what a default model may depend on. */
nlp_status nlp_sqlite_arguments(nlp_connection *c, const nlp_task_spec *task, int argc,
                                sqlite3_value **argv, const nlp_texts *operands,
                                nlp_arguments *arguments, nlp_error *err);
/* The model of a call that names none, by the settings and what it asks; name
 * [NLP_MODEL_NAME_BYTES]. operands: as above. */
nlp_status nlp_sqlite_default_name(const nlp_task_spec *task, const nlp_texts *operands,
                                   const nlp_arguments *arguments, char *name, nlp_error *err);
/* A task over n inputs: texts, or ids where it takes those (else NULL). The result belongs to the
 * session, until its next run. */
nlp_status nlp_sqlite_run(nlp_connection *c, const nlp_task_spec *task, const nlp_text *texts,
                          const nlp_value *ids, size_t n, const nlp_arguments *arguments,
                          const nlp_result **result, nlp_error *err);
/* Options of a JSON text, kept by the connection until the next one. */
nlp_status nlp_sqlite_options(nlp_connection *c, const char *json, const nlp_option **options,
                              size_t *n, nlp_error *err);

/* sqlite_functions.c, sqlite_tables.c, sqlite_packs.c: registering; SQLite codes. */
int nlp_sqlite_functions(nlp_connection *c);
/* A function that is no task; flags as SQLite's, beside the encoding. */
int nlp_sqlite_add(nlp_connection *c, const char *name, int n_arguments, int flags,
                   void (*call)(sqlite3_context *, int, sqlite3_value **));
int nlp_sqlite_tables(nlp_connection *c);
int nlp_sqlite_packs(nlp_connection *c);
int nlp_sqlite_streams(nlp_connection *c); /* sqlite_stream.c */
int nlp_sqlite_chats(nlp_connection *c);   /* sqlite_chat.c */
int nlp_sqlite_map(nlp_connection *c);     /* sqlite_map.c */
int nlp_sqlite_columns(nlp_connection *c); /* sqlite_column.c */
int nlp_sqlite_indexes(nlp_connection *c); /* sqlite_index.c */
/* sqlite_packs.c: the heads that live in this database, with backing "table"; false ends it. */
nlp_status nlp_sqlite_list_packs(nlp_connection *c,
                                 bool (*visit)(void *context, const nlp_model_info *info),
                                 void *context, nlp_error *err);
void nlp_sqlite_result(sqlite3_context *context, const nlp_value *value);
/* A finished text, which is freed; out of memory where it could not grow. */
void nlp_sqlite_result_str(sqlite3_context *context, sqlite3_str *str);
void nlp_sqlite_release(void *connection); /* xDestroy of everything that holds the connection */

/* ---- Tables whose rows are made some at a time ---- */
typedef struct nlp_rows {
    nlp_value *cells; /* [n_rows][n_columns]; texts, vectors and ids are owned copies */
    int n_rows, n_columns;
} nlp_rows;

typedef struct nlp_table_kind {
    const char *name;
    /* declared columns, then hidden arguments: "ord, embedding, texts HIDDEN, ..." */
    const char *columns;
    int n_columns, n_arguments, n_required;
    bool direct_only;
    /* Makes the next rows; none: the end. *state is the cursor's own, freed by sqlite3_free when it
     * closes. */
    nlp_status (*fill)(nlp_connection *c, const struct nlp_table_kind *kind, int argc,
                       sqlite3_value **argv, void **state, nlp_rows *rows, nlp_error *err);
    void (*close)(void *state); /* of a state that holds more than memory; NULL: sqlite3_free */
    const nlp_task_spec *task;
    bool is_owned; /* it and its texts are of sqlite3_malloc, and freed with the table */
} nlp_table_kind;
int nlp_sqlite_table(nlp_connection *c, const nlp_table_kind *kind); /* kind: static, or owned */
/* Appends one row of NULL values and returns it; NULL when out of memory. */
nlp_value *nlp_rows_add(nlp_rows *rows);
bool nlp_value_copy(nlp_value *to, const nlp_value *from); /* owns what it points to */
nlp_value nlp_value_of_text(const char *text);             /* an owned copy */

#endif
