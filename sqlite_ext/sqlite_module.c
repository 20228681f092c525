/* sqlite_module.c: the entry point: `.load ./nlp`, or sqlite3_auto_extension(sqlite3_nlp_init) in a
 * program that links us. */
#include <string.h>

#include "sqlite_nlp.h"

SQLITE_EXTENSION_INIT1

/* A library that was loaded stays: engines and segments outlive connections. Linked, it stays anyway. */
#ifdef SQLITE_CORE
enum { DONE = SQLITE_OK };
#else
enum { DONE = SQLITE_OK_LOAD_PERMANENTLY };
#endif

static nlp_connection *connection_open(sqlite3 *db, nlp_error *err) {
    nlp_connection *c = sqlite3_malloc(sizeof *c);
    if (!c) return NULL;
    memset(c, 0, sizeof *c);
    c->db = db;
    c->n_references = 1;
    c->engine = nlp_sqlite_engine(err);
    if (c->engine && nlp_session_open(c->engine, &c->session, err) == NLP_OK) return c;
    sqlite3_free(c);
    return NULL;
}

void nlp_sqlite_release(void *connection) {
    nlp_connection *c = connection;
    if (--c->n_references) return;
    sqlite3_free(c->options_text);
    nlp_model_close(c->stored);
    nlp_session_close(c->session);
    sqlite3_free(c);
}

NLP_API int sqlite3_nlp_init(sqlite3 *db, char **message, const sqlite3_api_routines *api);
NLP_API int sqlite3_nlp_init(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
    nlp_error err = {.message = "out of memory"};
    SQLITE_EXTENSION_INIT2(api);
    nlp_connection *c = connection_open(db, &err);
    if (!c) {
        *message = sqlite3_mprintf("%s", err.message);
        return SQLITE_ERROR;
    }
    int rc = nlp_sqlite_functions(c);
    if (rc == SQLITE_OK) rc = nlp_sqlite_tables(c);
    if (rc == SQLITE_OK) rc = nlp_sqlite_streams(c);
    if (rc == SQLITE_OK) rc = nlp_sqlite_packs(c);
    if (rc == SQLITE_OK) rc = nlp_sqlite_chats(c);
    if (rc == SQLITE_OK) rc = nlp_sqlite_map(c);
    if (rc == SQLITE_OK) rc = nlp_sqlite_columns(c);
    if (rc == SQLITE_OK) rc = nlp_sqlite_indexes(c);
    nlp_sqlite_release(c); /* the functions hold it now */
    if (rc != SQLITE_OK) *message = sqlite3_mprintf("%s", sqlite3_errmsg(db));
    return rc == SQLITE_OK ? DONE : rc;
}
