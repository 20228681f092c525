/* nlp_sqlite.h: the SQLite extension for programs that link it (libnlp_sqlite.a) instead of loading a file.
 *
 *     sqlite3_auto_extension((void (*)(void))sqlite3_nlp_init);
 *
 * before any connection is opened gives every connection the functions; for one connection call it with the
 * connection, a place for a message (sqlite3_free it) and NULL. Returns an SQLite code. */
#ifndef NLP_SQLITE_H
#define NLP_SQLITE_H

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;
struct sqlite3_api_routines;
int sqlite3_nlp_init(struct sqlite3 *db, char **message, const struct sqlite3_api_routines *api);

#ifdef __cplusplus
}
#endif
#endif
