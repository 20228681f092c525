/* The virtual table nlp_index while files and memory fail: one script is run again and again, and another call of
 * the file system or of an allocator fails each time, once or for good, or the power is cut there. Whatever fails,
 * a statement says so or is right, the connection goes on, nothing leaks, and the index is the table, also in the
 * file when it is opened again. NLP_FAULTS=2000 for more runs of each kind (60). */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "models.h"
#include "nlp_sqlite.h"
#include "test.h"

#define MODEL "model = 'bert-uncased'"

/* x follows docs at once, y follows it when it is asked; z has texts of its own, of which oracle says what they
 * must be. */
static const char *const script[] = {
    "CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)",
    "CREATE TABLE oracle (id INTEGER PRIMARY KEY, body TEXT)",
    "INSERT INTO docs(body) VALUES ('a note on cats'), ('a note on trains'), ('a note on keys')",
    "CREATE VIRTUAL TABLE x USING nlp_index(docs, body, mode = 'sync', " MODEL ")",
    "CREATE VIRTUAL TABLE y USING nlp_index(docs, body, " MODEL ")",
    "CREATE VIRTUAL TABLE z USING nlp_index(body, +lang, max_tokens = 16, overlap = 2, " MODEL ")",
    "INSERT INTO docs(body) VALUES ('a note on stars'), (NULL)",
    "BEGIN",
    "INSERT INTO z(rowid, body, lang) VALUES (1, 'a note on bread', 'en'), (2, 'a note on wine', 'en')",
    "INSERT INTO oracle VALUES (1, 'a note on bread'), (2, 'a note on wine')",
    "INSERT INTO z(rowid, body) SELECT 10 + value, 'a note with the number ' || value || "
    "' that is so long that it becomes more than one chunk of the index which has few tokens' "
    "FROM json_each('[1, 2, 3, 4, 5, 6]')",
    "INSERT INTO oracle SELECT rowid, body FROM z WHERE rowid > 10",
    "SELECT group_concat(rowid) FROM z('bread', 3)",
    "COMMIT",
    "UPDATE docs SET body = 'a note on planets' WHERE id = 2",
    "SELECT group_concat(rowid || ' ' || snippet) FROM y('planets')",
    "UPDATE docs SET body = body || ' and more' WHERE id > 1",
    "DELETE FROM docs WHERE id = 1",
    "SELECT group_concat(rowid || ' ' || coalesce(dense_rank, 0) || ' ' || pending) FROM y('note on keys')",
    "SELECT group_concat(rowid || ' ' || score) FROM x('note on keys', 3, 'semantic')",
    "BEGIN",
    "UPDATE z SET body = 'a note on butter' WHERE rowid IN (1, 12)",
    "UPDATE oracle SET body = 'a note on butter' WHERE id IN (1, 12)",
    "SAVEPOINT s",
    "DELETE FROM z WHERE rowid < 14",
    "SELECT group_concat(rowid) FROM z('note', 3, 'text') WHERE lang IS NULL",
    "SELECT group_concat(rowid) FROM z('butter', 20, 'semantic')",
    "ROLLBACK TO s",
    "UPDATE z SET lang = 'de', rowid = 20 WHERE rowid = 2",
    "UPDATE oracle SET id = 20 WHERE id = 2",
    "COMMIT",
    "BEGIN",
    "DELETE FROM z WHERE rowid = 13",
    "SELECT group_concat(rowid) FROM z('butter', 20, 'semantic')",
    "ROLLBACK",
    "INSERT OR REPLACE INTO docs VALUES (2, 'a note on rivers'), (9, 'a note on ships')",
    "INSERT INTO y(y) VALUES ('sync')",
    "INSERT INTO x(x) VALUES ('rebuild')",
    "DELETE FROM docs WHERE id = 4",
    "INSERT INTO x(x) VALUES ('optimize')",
    "INSERT INTO y(y) VALUES ('integrity-check')",
    "INSERT INTO z(z) VALUES ('optimize')",
    "SELECT group_concat(rowid || ' ' || body || coalesce(lang, '')) FROM z('butter', 20)",
    "ALTER TABLE x RENAME TO w",
    "SELECT group_concat(rowid) FROM w('ships')",
    "DROP TABLE y",
};
enum { N_STATEMENTS = sizeof script / sizeof *script, ANSWER = 1024 };

static char expected[N_STATEMENTS][ANSWER];

/* ---- Running ---- */

/* The first cell of a statement; *rc as SQLite says. */
static void answer(sqlite3 *db, const char *sql, char out[ANSWER], int *rc) {
    sqlite3_stmt *s = NULL;
    *out = 0;
    *rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    for (bool is_first = true; *rc == SQLITE_OK; is_first = false) {
        if (sqlite3_step(s) != SQLITE_ROW) break;
        const char *text = is_first ? (const char *)sqlite3_column_text(s, 0) : NULL;
        if (text) snprintf(out, ANSWER, "%s", text);
    }
    int end = sqlite3_finalize(s);
    if (*rc == SQLITE_OK) *rc = end;
}

static bool is_expected_code(int rc, fault_kind kind) {
    rc &= 0xff;
    if (kind == FAULT_FILES)
        return rc == SQLITE_IOERR || rc == SQLITE_FULL || rc == SQLITE_CANTOPEN;
    return rc == SQLITE_NOMEM;
}

/* Up to the first statement that fails; its number. A statement that does not fail is right. */
static int run_script(sqlite3 *db) {
    for (int i = 0; i < N_STATEMENTS; i++) {
        char out[ANSWER];
        int rc;
        answer(db, script[i], out, &rc);
        if (rc == SQLITE_OK && !strcmp(out, expected[i])) continue;
        if (rc == SQLITE_OK)
            nlp_test_fail(__FILE__, __LINE__, "call %ld failed: %s gives %s instead of %s",
                          nlp_test_fault.at, script[i], out, expected[i]);
        else if (!nlp_test_fault.failed || !is_expected_code(rc, nlp_test_fault.kind))
            nlp_test_fail(__FILE__, __LINE__, "call %ld failed: %s says %d: %s", nlp_test_fault.at,
                          script[i], rc, sqlite3_errmsg(db));
        return i;
    }
    return N_STATEMENTS;
}

typedef struct sweep {
    fault fault;
    const char *journal, *encoding;
    bool is_cut; /* the connection is not used again */
} sweep;

static const char *database(void) {
    static char path[128];
    snprintf(path, sizeof path, "%s/faults.db", nlp_test_folder());
    return path;
}

static void remove_database(void) {
    static const char *const ends[] = {"", "-journal", "-wal", "-shm"};
    for (int i = 0; i < 4; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s%s", database(), ends[i]);
        unlink(path);
    }
}

static sqlite3 *open_database(const sweep *s, int *rc) {
    sqlite3 *db = NULL;
    char sql[64], mode[ANSWER], *message = NULL;
    *rc = sqlite3_open(database(), &db);
    snprintf(sql, sizeof sql, "PRAGMA encoding = '%s'", s->encoding);
    if (*rc == SQLITE_OK) answer(db, sql, mode, rc);
    snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s", s->journal);
    if (*rc == SQLITE_OK) *rc = sqlite3_nlp_init(db, &message, NULL);
    sqlite3_free(message);
    if (*rc == SQLITE_OK) answer(db, sql, mode, rc);
    return db;
}

/* ---- What must hold afterwards ---- */

static void expect(sqlite3 *db, const char *sql, const char *what, const char *when) {
    char out[ANSWER];
    int rc;
    answer(db, sql, out, &rc);
    if (rc == SQLITE_OK && !strcmp(out, what)) return;
    nlp_test_fail(__FILE__, __LINE__, "%s call %ld failed: %s gives %s%s instead of %s", when,
                  nlp_test_fault.at, sql, out, rc == SQLITE_OK ? "" : sqlite3_errmsg(db), what);
}

static bool has_table(sqlite3 *db, const char *name) {
    char sql[128], out[ANSWER];
    int rc;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM sqlite_master WHERE name = '%s'", name);
    answer(db, sql, out, &rc);
    return rc == SQLITE_OK && *out == '1';
}

/* Each row of its table once, or nothing of it at all. */
static void expect_whole(sqlite3 *db, const char *name, const char *rows, const char *when) {
    char sql[512];
    if (!has_table(db, name)) {
        snprintf(sql, sizeof sql, "SELECT count(*) FROM sqlite_master WHERE name GLOB '%s_*'",
                 name);
        expect(db, sql, "0", when);
        return;
    }
    snprintf(sql, sizeof sql, "INSERT INTO %s(%s) VALUES ('integrity-check')", name, name);
    expect(db, sql, "", when);
    snprintf(
        sql, sizeof sql,
        "SELECT (count(*) - count(DISTINCT rowid)) || ' ' || (count(*) - (SELECT count(*) FROM "
        "%s WHERE body IS NOT NULL)) FROM %s('note', 1000, 'semantic')",
        rows, name);
    expect(db, sql, "0 0", when);
}

static void expect_index_is_table(sqlite3 *db, const char *when) {
    static const char *const followers[] = {"x", "w", "y"};
    expect(db, "PRAGMA integrity_check", "ok", when);
    for (int i = 0; i < 3; i++) expect_whole(db, followers[i], "docs", when);
    expect_whole(db, "z", "oracle", when);
    if (has_table(db, "z"))
        expect(
            db,
            "SELECT ((SELECT count(*) FROM z) - (SELECT count(*) FROM oracle)) || ' ' || count(*) "
            "FROM oracle LEFT JOIN z ON z.rowid = id WHERE z.body IS NOT oracle.body",
            "0 0", when);
}

/* The connection goes on where the script ended. */
static void expect_usable(sqlite3 *db) {
    static const char when[] = "on the same connection, after";
    char out[ANSWER];
    int rc; /* SQLite may say once more what it could not read */
    answer(db, "SELECT count(*) FROM sqlite_master", out, &rc);
    if (!sqlite3_get_autocommit(db)) expect(db, "ROLLBACK", "", when);
    expect_index_is_table(db, when);
    if (has_table(db, "docs"))
        expect(db, "INSERT INTO docs(body) VALUES ('a note after the fault')", "", when);
    expect_index_is_table(db, "and with another row, after");
}

/* ---- Sweeps ---- */

static void reopen(const sweep *s) {
    int rc;
    sqlite3 *db = open_database(s, &rc);
    if (rc == SQLITE_OK)
        expect_index_is_table(db, "in the file, after");
    else
        nlp_test_fail(__FILE__, __LINE__, "after call %ld failed the file can't be opened: %s",
                      s->fault.at, sqlite3_errmsg(db));
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

/* One run; whether the fault came. */
static bool run_with_fault(const sweep *s, long at) {
    int rc;
    remove_database();
    sqlite3_int64 memory = sqlite3_memory_used();
    nlp_test_fault = s->fault;
    nlp_test_fault.at = at;
    sqlite3 *db = open_database(s, &rc);
    if (rc == SQLITE_OK) run_script(db);
    bool came = nlp_test_fault.failed > 0;
    if (!s->is_cut) nlp_test_fault.kind = FAULT_NONE;
    if (!s->is_cut && rc == SQLITE_OK) expect_usable(db);
    CHECK(sqlite3_close(db) == SQLITE_OK);
    nlp_test_fault.kind = FAULT_NONE;
    if (sqlite3_memory_used() != memory)
        nlp_test_fail(__FILE__, __LINE__, "call %ld failed: %lld bytes more are held", at,
                      (long long)(sqlite3_memory_used() - memory));
    reopen(s);
    return came;
}

/* Without a fault: what statements answer, and how many calls there are. */
static long count_calls(const sweep *s) {
    int rc = SQLITE_OK;
    remove_database();
    nlp_test_fault = (fault){.kind = s->fault.kind};
    sqlite3 *db = open_database(s, &rc);
    for (int i = 0; i < N_STATEMENTS && rc == SQLITE_OK; i++)
        answer(db, script[i], expected[i], &rc);
    if (rc != SQLITE_OK)
        nlp_test_fail(__FILE__, __LINE__, "without a fault: %s", sqlite3_errmsg(db));
    long n = nlp_test_fault.n;
    nlp_test_fault = (fault){0};
    expect_index_is_table(db, "without a fault, as if");
    CHECK(sqlite3_close(db) == SQLITE_OK);
    return n;
}

/* Another call fails each time, from the first to the last. */
static void run_sweep(sweep s) {
    const char *asked = getenv("NLP_FAULTS");
    long n_runs = asked ? atol(asked) : 60, n_calls = count_calls(&s), came = 0;
    if (n_runs < 1 || n_runs > n_calls) n_runs = n_calls;
    for (long i = 0; i < n_runs; i++) came += run_with_fault(&s, 1 + n_calls * i / n_runs);
    CHECK(came == n_runs);
}

static void sweep_files(const char *journal, bool lasts, bool is_cut, int code) {
    run_sweep((sweep){.fault = {.kind = FAULT_FILES, .lasts = lasts, .write_code = code},
                      .journal = journal,
                      .encoding = "UTF-8",
                      .is_cut = is_cut});
}

static void sweep_memory(fault_kind kind, bool lasts, const char *encoding) {
    run_sweep((sweep){
        .fault = {.kind = kind, .lasts = lasts}, .journal = "DELETE", .encoding = encoding});
}

static void test_an_io_error_rolls_back(void) {
    sweep_files("DELETE", false, false, SQLITE_IOERR_WRITE);
    sweep_files("WAL", false, false, SQLITE_IOERR_WRITE);
}

static void test_io_errors_for_good_roll_back(void) {
    sweep_files("DELETE", true, false, SQLITE_IOERR_WRITE);
    sweep_files("WAL", true, false, SQLITE_IOERR_WRITE);
}

static void test_a_full_disk_rolls_back(void) {
    sweep_files("DELETE", false, false, SQLITE_FULL);
    sweep_files("WAL", false, false, SQLITE_FULL);
}

static void test_a_power_cut_leaves_whole_transactions(void) {
    sweep_files("DELETE", true, true, SQLITE_IOERR_WRITE);
    sweep_files("WAL", true, true, SQLITE_IOERR_WRITE);
}

static void test_no_memory_of_sqlite(void) {
    sweep_memory(FAULT_SQLITE_MEMORY, false, "UTF-8");
    sweep_memory(FAULT_SQLITE_MEMORY, true, "UTF-8");
}

static void test_no_memory_of_the_core(void) {
    sweep_memory(FAULT_CORE_MEMORY, false, "UTF-8");
    sweep_memory(FAULT_CORE_MEMORY, true, "UTF-8");
}

/* Every text that is read may need memory. */
static void test_no_memory_in_a_database_of_utf_16(void) {
    sweep_memory(FAULT_SQLITE_MEMORY, false, "UTF-16");
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"an_io_error_rolls_back", test_an_io_error_rolls_back},
        {"io_errors_for_good_roll_back", test_io_errors_for_good_roll_back},
        {"a_full_disk_rolls_back", test_a_full_disk_rolls_back},
        {"a_power_cut_leaves_whole_transactions", test_a_power_cut_leaves_whole_transactions},
        {"no_memory_of_sqlite", test_no_memory_of_sqlite},
        {"no_memory_of_the_core", test_no_memory_of_the_core},
        {"no_memory_in_a_database_of_utf_16", test_no_memory_in_a_database_of_utf_16},
    };
    if (!nlp_test_install_faults() || !nlp_test_pack("bert-uncased")) return 1;
    setenv("NLP_MODEL_PATH", nlp_test_folder(), 1);
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
