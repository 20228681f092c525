/* A program that links the SQLite extension: no file is loaded. Needs minilm in NLP_MODEL_PATH. */
#include <sqlite3.h>
#include <stdlib.h>

#include "nlp_sqlite.h"
#include "test.h"

/* The first cell of a statement as text, "" for NULL and for no row; errors are said. */
static char *cell(sqlite3 *db, const char *sql) {
    static char text[256];
    sqlite3_stmt *s = NULL;
    text[0] = 0;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) == SQLITE_ERROR)
        nlp_test_fail(__FILE__, __LINE__, "%s: %s", sql, sqlite3_errmsg(db));
    else if (sqlite3_column_text(s, 0))
        sqlite3_snprintf(sizeof text, text, "%s", sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    return text;
}

static void test_every_connection_has_the_functions(void) {
    sqlite3 *one, *other;
    CHECK(sqlite3_auto_extension((void (*)(void))sqlite3_nlp_init) == SQLITE_OK);
    CHECK(sqlite3_open(":memory:", &one) == SQLITE_OK);
    CHECK(sqlite3_open(":memory:", &other) == SQLITE_OK);
    CHECK_TEXT(cell(one, "SELECT nlp_sentiment('I love it')"), "positive");
    CHECK_TEXT(cell(other, "SELECT result FROM nlp_map('SELECT ''I hate it''', 'sentiment')"),
               "negative");
    CHECK(sqlite3_close(one) == SQLITE_OK);
    CHECK_TEXT(cell(other, "SELECT length(nlp_embed('x'))"), "1536");
    CHECK(sqlite3_close(other) == SQLITE_OK);
    sqlite3_reset_auto_extension();
}

static void test_one_connection_can_have_them(void) {
    sqlite3 *db;
    char *message = NULL;
    CHECK(sqlite3_open(":memory:", &db) == SQLITE_OK);
    CHECK(sqlite3_nlp_init(db, &message, NULL) == SQLITE_OK);
    CHECK_TEXT(cell(db, "SELECT nlp_token_count('a b')"), "4");
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"every_connection_has_the_functions", test_every_connection_has_the_functions},
        {"one_connection_can_have_them", test_one_connection_can_have_them},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
