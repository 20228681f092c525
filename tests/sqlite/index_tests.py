"""The virtual table nlp_index, as a specification: what it finds, what transactions do, what it refuses, what damage and
kills leave. Random scripts against a slow oracle: NLP_SCRIPTS=400 of them. Run by tests/sqlite/run."""
import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import check, finish, task_packs  # noqa: E402
from statements import error, one, run_tests  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
LIBRARY, NLP = os.path.join(BUILD, "sqlite", "nlp"), os.path.join(BUILD, "nlp")
N_SCRIPTS = int(os.environ.get("NLP_SCRIPTS", "400"))
FOLDER = tempfile.mkdtemp(prefix="nlp-index-")


def connect(path=":memory:", extension=True, **options):
    db = sqlite3.connect(path, isolation_level=None, **options)
    if extension:
        db.enable_load_extension(True)
        db.load_extension(LIBRARY)
    return db


def rows(db, sql, *values):
    return db.execute(sql, values).fetchall()


def intact(db, name="x"):
    """'' or what the integrity check says."""
    return error(db, f"INSERT INTO {name}({name}) VALUES ('integrity-check')")


NOTES = ["How do I reset my API key?", "The cat sat on the mat.", "Wie setze ich mein Passwort zurück?", "Trains leave from platform nine.",
         "The error code E4512 means that the disk is full.", "Boil the pasta for nine minutes.", None, ""]


def own(options=""):
    """A table with texts of its own."""
    db = connect()
    db.execute(f"CREATE VIRTUAL TABLE x USING nlp_index(body, +tag, lang{options})")
    db.executemany("INSERT INTO x(rowid, body, tag, lang) VALUES (?, ?, ?, ?)",
                   [(i, text, f"tag {i}", "de" if i == 3 else "en") for i, text in enumerate(NOTES, 1)])
    return db


def following(mode, options=""):
    """A table docs and an index that follows it."""
    db = connect()
    db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, title TEXT, body TEXT, lang TEXT COLLATE NOCASE, code TEXT UNIQUE)")
    db.executemany("INSERT INTO docs VALUES (?, ?, ?, ?, ?)", [(i, f"Note {i}", text, "EN", f"c{i}") for i, text in enumerate(NOTES, 1)])
    db.execute(f"CREATE VIRTUAL TABLE x USING nlp_index(docs, title, body, +lang, mode = '{mode}'{options})")
    return db


# ---- What is found

def test_finds_by_meaning_by_words_and_by_both():
    db = own()
    check("by meaning", one(db, "SELECT rowid FROM x('a kitten', 1, 'semantic')") == 2)
    check("by meaning: the score is the cosine", abs(one(db, "SELECT score FROM x('a kitten', 1, 'semantic')") - one(db, "SELECT nlp_cosine(nlp_embed_query('a kitten'), nlp_embed(?))", NOTES[1])) < 2e-3)
    check("by words: another form of one", rows(db, "SELECT rowid FROM x('train leaves', 9, 'text')") == [(4,)])
    check("by words: none", rows(db, "SELECT rowid FROM x('zebra', 9, 'text')") == [])
    check("by words: those that only build sentences count where there are no others", rows(db, "SELECT rowid FROM x('on the mat', 9, 'text')") == [(2,)] and {r for r, in rows(db, "SELECT rowid FROM x('what is the', 9, 'text')")} == {2, 5, 6})
    check("... or where a tokenizer is chosen", {r for r, in rows(own(", tokenize = 'unicode61'"), "SELECT rowid FROM x('the mat', 9, 'text')")} == {2, 5, 6})
    check("by both", one(db, "SELECT rowid FROM x('what is E4512') LIMIT 1") == 5)
    check("what means it stands before what has one of the words", one(db, "SELECT rowid FROM x('a kitten that leaves the code', 1)") == 2)
    ranks = rows(db, "SELECT rowid, dense_rank, text_rank, score FROM x('reset the key')")
    cosines = dict(rows(db, "SELECT rowid, score FROM x('reset the key', 9, 'semantic')"))
    top, low = max(cosines.values()), min(cosines.values())
    check("ranks of both halves", ranks[0][:3] == (1, 1, 1) and [d for _, d, _, _ in ranks] == [1, 2, 3, 4, 5, 6], ranks)
    check("... and the score made of them", all(abs(s - (cosines[row] - low) / (top - low)) < 1e-12 for row, _, t, s in ranks if not t) and 1 < ranks[0][3] <= 3, ranks)
    check("MATCH is the same", rows(db, "SELECT rowid FROM x WHERE x MATCH 'a kitten' AND k = 3") == rows(db, "SELECT rowid FROM x('a kitten', 3)"))
    check("rows without a text are never found", {7, 8}.isdisjoint(r for r, in rows(db, "SELECT rowid FROM x('anything', 99)")))
    check("the user's columns come along", rows(db, "SELECT body, tag, lang FROM x('Passwort', 1)") == [(NOTES[2], "tag 3", "de")])


def test_order_and_number_of_rows():
    db = connect()
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
    db.executemany("INSERT INTO x(body) VALUES (?)", [(f"the same words {i % 7}",) for i in range(60)])
    both = rows(db, "SELECT rowid, score FROM x('the same words', 60)")
    check("best first, ties by rowid", both == sorted(both, key=lambda r: (-r[1], r[0])) and len(both) == 60)
    check("ten without k or LIMIT", len(rows(db, "SELECT * FROM x('words')")) == 10)
    check("LIMIT is k, OFFSET passes over", rows(db, "SELECT rowid FROM x('words') LIMIT 20 OFFSET 5") == rows(db, "SELECT rowid FROM x('words', 25)")[5:])
    check("k and LIMIT", len(rows(db, "SELECT rowid FROM x('words', 30) LIMIT 7")) == 7)
    check("k over all rows", len(rows(db, "SELECT rowid FROM x('words', 1000000000)")) == 60)
    check("ORDER BY score DESC needs no sorting", "ORDER BY" not in str(rows(db, "EXPLAIN QUERY PLAN SELECT rowid FROM x('words') ORDER BY score DESC")))
    check("another order is SQLite's", [r for r, in rows(db, "SELECT rowid FROM x('words', 5) ORDER BY rowid")] == sorted(r for r, in rows(db, "SELECT rowid FROM x('words', 5)")))
    for sql in ("'words', 0", "'words', -1", "'words', 'many'", "'words', 1.5"):
        check(f"k as in x({sql}) is refused", "k is" in error(db, f"SELECT rowid FROM x({sql})"))
    check("weights", rows(db, "SELECT rowid FROM x WHERE x MATCH 'words' AND text_weight = 0 AND k = 5") == rows(db, "SELECT rowid FROM x('words', 5, 'semantic')"))
    check("a weight below 0, an unknown mode", "dense_weight" in error(db, "SELECT 1 FROM x WHERE x MATCH 'a' AND dense_weight = -1") and "hybrid, semantic" in error(db, "SELECT 1 FROM x('a', 1, 'bogus')"))


def test_filters_are_applied_before_the_search():
    db = connect()
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body, lang, year INTEGER)")
    with_transaction(db, lambda: db.executemany("INSERT INTO x VALUES (?, ?, ?)", [(f"cats and dogs, number {i}", "de" if i % 100 == 0 else "en", 1900 + i % 90) for i in range(1500)]))
    def all_are(condition, where, n):
        found = rows(db, f"SELECT rowid, lang, year FROM x WHERE x MATCH 'cats' AND k = 10 AND {where}")
        check(f"k rows where {where}", len(found) == n and all(condition(*r) for r in found), found[:3])
    all_are(lambda i, lang, year: lang == "de", "lang = 'de'", 10)
    all_are(lambda i, lang, year: lang == "de" and year > 1970, "lang = 'de' AND year > 1970", 1)
    all_are(lambda i, lang, year: year in (1901, 1902), "year IN (1901, 1902, 'x')", 10)
    all_are(lambda i, lang, year: year != 1900 and 1899 < year <= 1901, "year <> 1900 AND year BETWEEN 1899 AND 1901", 10)
    all_are(lambda i, lang, year: i in (5, 700, 1499), "rowid IN (5, 700, 1499, 99999)", 3)
    all_are(lambda i, lang, year: i > 1495, "rowid > 1495", 5)
    all_are(lambda i, lang, year: i <= 1400, "rowid <= 1400 AND lang IS NOT NULL", 10)
    all_are(lambda i, lang, year: False, "lang IS NULL", 0)
    all_are(lambda i, lang, year: False, "rowid = 4 AND rowid = 5", 0)
    check("a filter changes no score", rows(db, "SELECT score FROM x('cats', 1, 'semantic') WHERE rowid = 77") == rows(db, "SELECT score FROM (SELECT rowid AS r, score FROM x('cats', 2000, 'semantic')) WHERE r = 77"))
    check("a subquery", len(rows(db, "SELECT rowid FROM x('cats', 4) WHERE rowid IN (SELECT value FROM json_each('[1,2,3,4,5,6]'))")) == 4)


def with_transaction(db, call):
    db.execute("BEGIN")
    call()
    db.execute("COMMIT")


def test_identifiers_do_not_drown():
    db = connect()
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
    text = "the pump of unit {} was inspected, its valve and pressure are described, report {}"
    names = [f"ORA-{i + 31000}" for i in range(150)]
    with_transaction(db, lambda: db.executemany("INSERT INTO x VALUES (?)", [(text.format(i, name),) for i, name in enumerate(names)]))
    for shape in ("{}", "report {}", "what about the pressure and the valve of the pump in {} ?"):
        found = [one(db, "SELECT body FROM x(?, 1)", shape.format(name)) for name in names[::10]]
        check(f"first for {shape}", all(name in body for name, body in zip(names[::10], found)))


def test_queries_of_any_text():
    db = own()
    for query in ("", " ", "...", None):
        check(f"nothing for {query!r}", rows(db, "SELECT rowid FROM x(?)", query) == [])
    for query in ('a " OR b', "NEAR(a b)", "body : cat", "cat*", "^cat -", "{} ; DROP TABLE x", "'", "AND", "x'00'", "\u2603 \U0001F600 cat", "a\u0000b cat"):
        check(f"no syntax: {query!r}", error(db, "SELECT rowid FROM x(?)", query) == "")
    long = "cat and mat " * 9000
    check("a query of 100,000 characters", one(db, "SELECT rowid FROM x(?)", long) == 2)
    check("fts5: the syntax of FTS5 where it is asked for", rows(db, "SELECT rowid FROM x('cat NOT key', 5, 'fts5')") == [(2,)] and "syntax error" in error(db, "SELECT rowid FROM x('cat AND (', 5, 'fts5')"))
    check("a query that is a number", error(db, "SELECT rowid FROM x(12)") == "")


def test_snippets():
    db = connect()
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(title, body, texts = 2)")
    body = "Zürich is big and old. " * 80 + "The lost key is replaced by mail. " + "Nothing else happens here. " * 80
    db.execute("INSERT INTO x VALUES (?, ?)", ("Keys", body))
    db.execute("INSERT INTO x VALUES (?, ?)", (None, "short"))
    snippet, start, end = rows(db, "SELECT snippet, start_pos, end_pos FROM x('lost key', 1)")[0]
    whole = "Keys " + body
    check("a snippet shows the words, at its place", "lost key" in snippet and whole[start - 1:end] == snippet and len(snippet) <= 300, snippet)
    check("a text of one column", rows(db, "SELECT snippet, start_pos, end_pos FROM x('short', 1, 'text')") == [("short", 1, 5)])
    check("no snippet without a search", rows(db, "SELECT snippet, score, start_pos FROM x WHERE rowid = 2") == [(None, None, None)])
    db.execute("INSERT INTO x VALUES ('', ?)", ("word " * 100 + "\U0001F600 needle \u00e9" + " word" * 100,))
    snippet, start, end = rows(db, "SELECT snippet, start_pos, end_pos FROM x('needle', 1, 'text')")[0]
    check("characters, not bytes", (" " + "word " * 100 + "\U0001F600 needle \u00e9" + " word" * 100)[start - 1:end] == snippet)


def test_a_long_text_is_one_row():
    db = connect()
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body, max_tokens = 40, overlap = 5)")
    db.execute("INSERT INTO x VALUES (?)", ("All about engines and fuel. " * 300 + "A recipe for pancakes with syrup. " + "All about engines and fuel. " * 300,))
    db.execute("INSERT INTO x VALUES ('A note on gardens.')")
    check("in many chunks", one(db, "SELECT count(*) FROM x_vec WHERE row = 1") > 50)
    found = rows(db, "SELECT rowid, snippet FROM x('sweet breakfast', 5, 'semantic')")
    check("once in the answer, by its best chunk", [r for r, _ in found] == [1, 2] and "pancakes" in found[0][1], found)
    db.execute("INSERT INTO x VALUES (?)", ("x" * 10**7 + " engines",))
    check("a text of 10 MB", intact(db) == "" and one(db, "SELECT rowid FROM x('gardens', 1)") == 2)


# ---- Writing

def test_plain_table_rules():
    db = own()
    check("SELECT * is the user's columns", rows(db, "SELECT * FROM x WHERE rowid = 2") == [(NOTES[1], "tag 2", "en")])
    db.execute("UPDATE x SET tag = 'new' WHERE rowid = 2")
    calls = one(db, "SELECT forward_passes FROM nlp_stats")
    db.execute("UPDATE x SET tag = 'newer', lang = 'fr' WHERE rowid = 2")
    check("an update of other columns embeds nothing", one(db, "SELECT forward_passes FROM nlp_stats") == calls and rows(db, "SELECT tag FROM x WHERE lang = 'fr'") == [("newer",)])
    db.execute("UPDATE x SET rowid = 20 WHERE rowid = 2")
    check("a row can move", one(db, "SELECT rowid FROM x('a kitten', 1)") == 20 and not rows(db, "SELECT 1 FROM x WHERE rowid = 2"))
    check("a rowid twice is refused", "UNIQUE" in error(db, "INSERT INTO x(rowid, body) VALUES (1, 'y')") and "rowid 1" in error(db, "UPDATE x SET rowid = 1 WHERE rowid = 20"))
    db.execute("UPDATE OR IGNORE x SET rowid = 1 WHERE rowid = 20")
    db.execute("INSERT OR IGNORE INTO x(rowid, body) VALUES (1, 'y')")
    check("OR IGNORE keeps both rows", rows(db, "SELECT body FROM x WHERE rowid IN (1, 20)") == [(NOTES[0],), (NOTES[1],)])
    db.execute("INSERT OR REPLACE INTO x(rowid, body) VALUES (1, 'Planets and stars')")
    check("OR REPLACE", one(db, "SELECT rowid FROM x('astronomy', 1)") == 1 and rows(db, "SELECT rowid FROM x('API', 1, 'text')") == [])
    check("a rowid that is none", "mismatch" in error(db, "INSERT INTO x(rowid, body) VALUES ('abc', 'y')"))
    db.execute("INSERT INTO x(body) VALUES ('last one')")
    check("last_insert_rowid() is the row's", one(db, "SELECT last_insert_rowid()") == one(db, "SELECT max(rowid) FROM x"))
    db.execute("INSERT INTO x(body) VALUES (12)")
    db.execute("INSERT INTO x(body) VALUES (CAST(x'ff61ff' AS TEXT))")
    check("a number, and what is no UTF-8", rows(db, "SELECT rowid FROM x('12', 1, 'text')") and intact(db) == "")
    db.execute("DELETE FROM x")
    check("all deleted", rows(db, "SELECT rowid FROM x('a')") == [] and one(db, "SELECT (SELECT count(*) FROM x_sig) + (SELECT count(*) FROM x_vec)") == 0 and intact(db) == "")


def test_one_batch_a_transaction():
    db = connect()
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
    def calls():
        return one(db, "SELECT calls FROM nlp_stats")
    before = calls()
    with_transaction(db, lambda: [db.execute("INSERT INTO x VALUES (?)", (f"note {i}",)) for i in range(1000)])
    check("1,000 inserts: one call to cut, one to embed", calls() == before + 2)
    before = calls()
    with_transaction(db, lambda: [db.execute("DELETE FROM x WHERE rowid = ?", (i,)) for i in range(1, 501)])
    check("500 deletes: no vector is made", one(db, "SELECT count(*) FROM x_vec") == 500 and calls() <= before + 1)
    before = calls()
    db.execute("BEGIN")
    db.execute("INSERT INTO x VALUES ('a kitten')")
    check("a query in the transaction sees its writes", one(db, "SELECT body FROM x('a kitten', 1)") == "a kitten")
    db.execute("COMMIT")
    check("... and they are embedded once, beside the query and its words", calls() == before + 4)


def test_following_a_table():
    for mode in ("sync", "deferred"):
        db = following(mode)
        def finds(query, row, words):
            found = rows(db, "SELECT rowid, snippet, pending FROM x(?, 1)", query)
            check(f"{mode}: {words}", found and found[0][0] == row and found[0][2] == 0, found)
        finds("a kitten", 2, "rows that were there")
        db.execute("INSERT INTO docs VALUES (50, 'Sky', 'Planets and stars', 'en', 'c50')")
        finds("astronomy", 50, "an insert")
        db.execute("UPDATE docs SET body = 'Bread and butter' WHERE id = 50")
        finds("a bakery", 50, "an update")
        db.execute("UPDATE docs SET id = 51 WHERE id = 50")
        finds("a bakery", 51, "another key")
        db.execute("INSERT OR REPLACE INTO docs VALUES (51, 'Sky', 'Planets and stars', 'en', 'c51')")
        finds("astronomy", 51, "a REPLACE of the same key")
        check(f"{mode}: ... whose old words are gone", rows(db, "SELECT rowid FROM x('butter', 9, 'text')") == [])
        db.execute("UPDATE OR REPLACE docs SET id = 2 WHERE id = 51")
        finds("astronomy", 2, "an UPDATE OR REPLACE")
        check(f"{mode}: ... is whole", intact(db) == "", intact(db))
        db.execute("INSERT INTO docs VALUES (60, 'Sky', 'A volcano erupts', 'en', 'c3') ON CONFLICT (code) DO UPDATE SET body = excluded.body")
        finds("volcano", 3, "an upsert")
        db.execute("DELETE FROM docs WHERE id > 1")
        check(f"{mode}: a delete", [r for r, in rows(db, "SELECT rowid FROM x('planets')")] == [1])
        check(f"{mode}: is whole", intact(db) == "", intact(db))
        check(f"{mode}: its own rows can't be written", "write there" in error(db, "INSERT INTO x(title) VALUES ('x')") and "write there" in error(db, "DELETE FROM x"))
        check(f"{mode}: columns and filters of the table", rows(db, "SELECT title, lang FROM x('key') WHERE lang = 'en'") == [("Note 1", "EN")])
        calls = one(db, "SELECT forward_passes FROM nlp_stats")
        db.execute("UPDATE docs SET lang = 'fr', body = body")
        rows(db, "SELECT rowid FROM x('key', 1, 'text')")
        db.execute("INSERT INTO x(x) VALUES ('sync')")
        check(f"{mode}: what does not change a text embeds nothing", one(db, "SELECT forward_passes FROM nlp_stats") == calls)


def test_a_replaced_row_of_another_key_is_never_shown():
    db = following("deferred")
    db.execute("INSERT OR REPLACE INTO docs VALUES (70, 'Sky', 'Planets', 'en', 'c2')")  # takes row 2 away, and fires no trigger for it
    check("it is in no answer", {r for r, in rows(db, "SELECT rowid FROM x('a cat on a mat', 99)")} == {1, 3, 4, 5, 6, 70, 7, 8} and 2 not in {r for r, in rows(db, "SELECT rowid FROM x('cat', 99, 'text')")})
    check("the check finds it", "rows that are gone" in intact(db), intact(db))
    db.execute("INSERT INTO x(x) VALUES ('rebuild')")
    check("a rebuild mends it", intact(db) == "")


def test_deferred_writes_need_no_extension():
    path = os.path.join(FOLDER, "deferred.db")
    db = connect(path)
    db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)")
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(docs, body)")
    plain = connect(path, extension=False)
    plain.execute("INSERT INTO docs VALUES (1, 'The cat sat on the mat'), (2, 'Trains')")
    plain.execute("UPDATE docs SET body = 'Planets and stars' WHERE id = 2")
    check("rows of a program without the extension", one(db, "SELECT rowid FROM x('kitten', 1)") == 1 and one(db, "SELECT rowid FROM x('astronomy', 1)") == 2)
    plain.execute("BEGIN")
    plain.execute("DELETE FROM docs WHERE id = 1")
    plain.execute("INSERT INTO docs SELECT value + 10, 'note ' || value FROM json_each(?)", (json.dumps(list(range(200))),))
    check("while another writes, a query answers with what there is", rows(db, "SELECT rowid, pending FROM x('kitten', 1)") == [(1, 0)])
    plain.execute("COMMIT")
    found = rows(db, "SELECT rowid, pending FROM x('kitten', 300)")
    check("a query embeds 64 rows at most, and says how many wait", found and found[0][1] == 201 - 64, found[0])
    check("... a deleted row is not shown", 1 not in [r for r, _ in found])
    db.execute("INSERT INTO x(x, k) VALUES ('sync', 100)")
    check("sync does as many as it is told", one(db, "SELECT count(*) FROM x_pending") == 201 - 64 - 100)
    db.execute("INSERT INTO x(x) VALUES ('sync')")
    check("... or all", one(db, "SELECT count(*) FROM x_pending") == 0 and intact(db) == "")
    plain.execute("INSERT INTO docs VALUES (900, 'Bread and butter')")
    plain.close(), db.close()
    db = connect(f"file:{path}?mode=ro", uri=True)
    check("a read-only database answers", rows(db, "SELECT rowid, pending FROM x('butter', 1, 'text')") == [(900, 1)] and len(rows(db, "SELECT rowid FROM x('note', 5, 'semantic')")) == 5)
    db.close()


def test_transactions():
    db = own()
    before = rows(db, "SELECT rowid, score FROM x('a kitten on a train', 99)")
    db.execute("BEGIN")
    db.execute("UPDATE x SET body = 'Planets' WHERE rowid = 2")
    rows(db, "SELECT rowid FROM x('planets')")
    db.execute("DELETE FROM x WHERE rowid = 4")
    db.execute("ROLLBACK")
    check("a rollback", rows(db, "SELECT rowid, score FROM x('a kitten on a train', 99)") == before and intact(db) == "")
    db.execute("SAVEPOINT s")
    db.execute("INSERT INTO x(rowid, body) VALUES (50, 'Planets and stars')")
    db.execute("ROLLBACK TO s")
    db.execute("INSERT INTO x(rowid, body) VALUES (51, 'Planets and stars')")
    db.execute("RELEASE s")
    check("a savepoint that begins the transaction", [r for r, in rows(db, "SELECT rowid FROM x('astronomy', 1)")] == [51] and intact(db) == "")
    db.execute("BEGIN")
    db.execute("UPDATE x SET body = 'Bread and butter' WHERE rowid = 51")
    db.execute("SAVEPOINT s")
    rows(db, "SELECT rowid FROM x('bakery', 1)")  # embeds it inside the savepoint
    db.execute("ROLLBACK TO s")
    db.execute("COMMIT")
    check("what was embedded in a savepoint that is gone is embedded again", one(db, "SELECT rowid FROM x('bakery', 1, 'semantic')") == 51 and intact(db) == "")
    check("a statement that fails leaves nothing", error(db, "INSERT INTO x(rowid, body) VALUES (60, 'one'), (1, 'two')") != "" and not rows(db, "SELECT 1 FROM x WHERE rowid = 60") and intact(db) == "")


class Script:
    """A random script against a plain table with triggers off: rows of an index are those of the oracle."""

    def __init__(self, seed, kind):
        self.random, self.kind = random.Random(seed), kind
        self.db = connect()
        self.db.execute("CREATE TABLE oracle (id INTEGER PRIMARY KEY, body TEXT)")
        if kind == "own":
            self.db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
            self.table, self.key = "x", "rowid"
        else:
            self.db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)")
            self.db.execute(f"CREATE VIRTUAL TABLE x USING nlp_index(docs, body, mode = '{kind}')")
            self.table, self.key = "docs", "id"
        self.savepoints = 0

    def both(self, sql, *values):
        for table, key in ((self.table, self.key), ("oracle", "id")):
            self.db.execute(sql.replace("TABLE", table).replace("KEY", key), values)

    def text(self):
        return " ".join(self.random.choice("cat dog train star bread key note blue".split()) for _ in range(self.random.randint(0, 4))) if self.random.random() > 0.1 else None

    def step(self):
        kind, row = self.random.random(), self.random.randint(1, 12)
        if kind < 0.2:
            self.both("INSERT OR REPLACE INTO TABLE(KEY, body) VALUES (?, ?)", row, self.text())
        elif kind < 0.3:
            values = [v for _ in range(3) for v in (self.random.randint(1, 12), self.text())]
            self.both("INSERT OR REPLACE INTO TABLE(KEY, body) VALUES (?, ?), (?, ?), (?, ?)", *values)
        elif kind < 0.45:
            self.both("UPDATE TABLE SET body = ? WHERE KEY % 3 = ?", self.text(), row % 3)
        elif kind < 0.55:
            self.both("DELETE FROM TABLE WHERE KEY = ?", row)
        elif kind < 0.7:
            self.compare(self.random.choice(("semantic", "hybrid", "text")))
        elif kind < 0.82 and self.savepoints < 4:
            self.savepoints += 1
            self.db.execute(f"SAVEPOINT s{self.savepoints}")
        elif self.savepoints:
            self.end_savepoint()

    def end_savepoint(self):
        which = self.random.randint(1, self.savepoints)
        if self.random.random() < 0.5:
            self.db.execute(f"ROLLBACK TO s{which}")
            self.savepoints = which
        else:
            self.db.execute(f"RELEASE s{which}")
            self.savepoints = which - 1

    def compare(self, mode):
        query = self.random.choice(("cat", "a star", "bread and key"))
        found = rows(self.db, "SELECT rowid, score FROM x(?, 50, ?)", query, mode)
        expected = dict(rows(self.db, "SELECT id, body FROM oracle"))
        if mode == "semantic":
            cosines = {i: one(self.db, "SELECT nlp_cosine(nlp_embed_query(?), nlp_embed(?))", query, body) for i, body in expected.items() if body}
            good = {r for r, _ in found} == set(cosines) and all(abs(s - cosines[r]) < 0.01 for r, s in found)
        elif mode == "text":
            words = [w for w in query.split() if w != "a" and w != "and"]
            good = {r for r, _ in found} == {i for i, body in expected.items() if body and any(w in body.split() for w in words)}
        else:
            good = {r for r, _ in found} == {i for i, body in expected.items() if body}
        if not good:
            raise AssertionError(f"{mode} {query}: {found} of {expected}")

    def run(self):
        begun = self.random.random() < 0.5
        if begun:
            self.db.execute("BEGIN")
        for _ in range(30):
            self.step()
        if self.db.in_transaction:
            self.db.execute(self.random.choice(("COMMIT", "COMMIT", "ROLLBACK")))
        for mode in ("semantic", "text"):
            self.compare(mode)
        self.db.execute("INSERT INTO x(x) VALUES ('sync')")
        self.db.execute("INSERT INTO x(x) VALUES ('integrity-check')")
        self.db.close()


def test_random_scripts():
    failures = []
    for seed in range(N_SCRIPTS):
        try:
            Script(seed, ("own", "sync", "deferred")[seed % 3]).run()
        except (AssertionError, sqlite3.Error) as problem:
            failures.append(f"script {seed}: {problem}")
    check(f"{N_SCRIPTS} random scripts of 30 steps: the index is the table", not failures, failures[:2])


def test_concurrent_writers():
    path = os.path.join(FOLDER, "writers.db")
    db = connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
    problems = []

    def write(n):
        own_db = connect(path, timeout=120)
        try:
            for i in range(25):
                own_db.execute("INSERT INTO x(rowid, body) VALUES (?, ?)", (1000 * n + i, f"writer {n} note {i}"))
                rows(own_db, "SELECT rowid FROM x('note', 3)")
        except sqlite3.Error as problem:
            problems.append(str(problem))
        own_db.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("three writers at once: all rows, and whole", not problems and one(db, "SELECT count(*) FROM x") == 75 == one(db, "SELECT count(DISTINCT row) FROM x_vec") and intact(db) == "", problems[:1])
    db.close()


# ---- Models

def test_another_model_is_refused():
    folder = tempfile.mkdtemp(prefix="nlp-models-", dir=FOLDER)
    source = [os.path.join(p, "minilm.nlp") for p in os.environ["NLP_MODEL_PATH"].split(":") if os.path.exists(os.path.join(p, "minilm.nlp"))][0]
    tiny = os.path.join(folder, "tiny.nlp")
    shutil.copy(source, tiny)
    db = connect()
    before = one(db, "SELECT nlp_config('model_path')")
    one(db, "SELECT nlp_config('model_path', ?)", folder + ":" + (before or os.environ["NLP_MODEL_PATH"]))
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body, model = 'tiny')")
    db.execute("INSERT INTO x VALUES ('The cat sat on the mat')")
    digest = one(db, "SELECT value FROM x_config WHERE key = 'digest'")
    task_packs(NLP, folder)
    made = subprocess.run([NLP, "import", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "models", "bert-uncased"), "--out", os.path.join(folder, "other.nlp"), "--precision", "f32"], capture_output=True, check=False)
    check("another model is at hand", made.returncode == 0, made.stderr)
    os.replace(os.path.join(folder, "other.nlp"), tiny)
    message = error(db, "SELECT rowid FROM x('kitten')")
    now = rows(db, "SELECT digest FROM nlp_models WHERE name = 'tiny'")[0][0]
    check("a query names both digests and the way out", digest in message and now in message and "rebuild" in message, message)
    check("... so does an insert", "rebuild" in error(db, "INSERT INTO x VALUES ('y')"))
    check("words are found without a model", rows(db, "SELECT rowid FROM x('cat', 1, 'text')") == [(1,)])
    db.execute("INSERT INTO x(x) VALUES ('rebuild')")
    check("rebuild takes the new one, with its dimensions", one(db, "SELECT value FROM x_config WHERE key = 'digest'") == now and rows(db, "SELECT rowid FROM x('kitten')") == [(1,)] and intact(db) == "")
    os.remove(tiny)
    check("a model that is gone is named", "tiny" in error(db, "SELECT rowid FROM x('kitten')"))
    one(db, "SELECT nlp_config('model_path', ?)", before)


def test_what_is_refused():
    db = connect()
    db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)")
    db.execute("CREATE TABLE uuids (id TEXT PRIMARY KEY, body TEXT)")
    db.execute("CREATE TABLE pairs (a INTEGER, b INTEGER, body TEXT, PRIMARY KEY (a, b))")
    db.execute("CREATE TABLE bare (body TEXT)")
    db.execute("CREATE VIEW seen AS SELECT * FROM docs")
    db.execute("CREATE VIRTUAL TABLE fts USING fts5(body)")
    cases = [("no argument", "", "name a column"), ("no column of the table", "docs", "name at least one column"), ("an unknown column", "docs, nope", "no column nope"),
             ("a key that is a text", "uuids, body", "INTEGER PRIMARY KEY"), ("a key of two columns", "pairs, body", "INTEGER PRIMARY KEY"), ("no key", "bare, body", "INTEGER PRIMARY KEY"),
             ("a view", "seen, body", "is a view"), ("a virtual table", "fts, body", "virtual table"), ("an unknown option", "a, foo = 3", "has no option foo"),
             ("an unknown model", "a, model = 'nosuch'", "nosuch"), ("a mode", "a, mode = 'sometimes'", "'sync' or 'deferred'"),
             ("chunks too long for the model", "a, max_tokens = 999", "999"), ("an overlap as long as the chunk", "a, max_tokens = 20, overlap = 20", "overlap is 20"),
             ("a number that is none", "a, overlap = much", "overlap is much"), ("a column that an index has", "score", "can't be named score"), ("a tokenizer", "a, tokenize = 'nope'", "tokenizer"),
             ("more texts than columns", "a, texts = 2", "texts is 2"), ("a value without its quote", "a, model = 'b", "unrecognized"), ("a column twice", "a, a", "duplicate")]
    for name, arguments, words in cases:
        message = error(db, f"CREATE VIRTUAL TABLE x USING nlp_index({arguments})")
        check(f"refused: {name}", words in message, message)
    check("nothing is left of them", {n for n, in rows(db, "SELECT name FROM sqlite_master WHERE name LIKE 'x%'")} == set())
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
    check("refused: an unknown command", "integrity-check" in error(db, "INSERT INTO x(x) VALUES ('vacuum')"))


# ---- Other databases, other names

def test_attached_and_renamed():
    db = connect()
    db.execute("ATTACH ? AS other", (os.path.join(FOLDER, "other.db"),))
    db.execute("CREATE TABLE other.docs (id INTEGER PRIMARY KEY, body TEXT)")
    db.execute("CREATE VIRTUAL TABLE other.x USING nlp_index(docs, body)")
    db.execute("INSERT INTO other.docs VALUES (1, 'The cat sat on the mat')")
    check("in an attached database", rows(db, "SELECT rowid FROM other.x('kitten')") == [(1,)] and not rows(db, "SELECT 1 FROM main.sqlite_master"))
    db.execute('ALTER TABLE other.x RENAME TO "odd ""name"')
    db.execute("INSERT INTO other.docs VALUES (2, 'Trains')")
    check("renamed, with its triggers", [r for r, in rows(db, 'SELECT rowid FROM other."odd ""name"(\'railway\')')] == [2, 1])
    db.execute("CREATE VIRTUAL TABLE other.x USING nlp_index(docs, body)")
    check("its old name is free for another", {r for r, in rows(db, "SELECT rowid FROM other.x('railway')")} == {1, 2})
    db.execute("DROP TABLE other.x")
    db.execute("ALTER TABLE other.docs RENAME TO papers")
    db.execute('DROP TABLE other."odd ""name"')
    check("dropped without a rest", [n for n, in rows(db, "SELECT name FROM other.sqlite_master")] == ["papers"])


def test_the_table_is_dropped():
    path = os.path.join(FOLDER, "dropped.db")
    db = connect(path)
    db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)")
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(docs, body)")
    db.execute("DROP TABLE docs")
    db.close()
    db = connect(path)
    check("an index without its table says so", "docs" in error(db, "SELECT rowid FROM x('a')"))
    db.execute("DROP TABLE x")
    check("... and can be dropped", rows(db, "SELECT name FROM sqlite_master") == [])


def test_defensive_mode():
    path = os.path.join(FOLDER, "defensive.db")
    script = f""".load {LIBRARY}
CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT);
CREATE VIRTUAL TABLE x USING nlp_index(docs, body);
CREATE VIRTUAL TABLE y USING nlp_index(docs, body, mode = 'sync');
CREATE VIRTUAL TABLE z USING nlp_index(body);
.dbconfig defensive on
INSERT INTO docs VALUES (1, 'The cat sat on the mat');
UPDATE docs SET body = 'A dog barks' WHERE id = 1;
INSERT INTO z VALUES ('A dog barks');
SELECT 'found', (SELECT rowid FROM x('puppy')), (SELECT rowid FROM y('puppy')), (SELECT rowid FROM z('puppy'));
DELETE FROM x_vec;
DELETE FROM x_sig;
"""
    done = subprocess.run(["sqlite3", path], input=script, capture_output=True, text=True, check=False)
    check("defensive mode: everything works, and nobody writes to shadow tables", "found|1|1|1" in done.stdout and done.stderr.count("may not be modified") == 2, done.stdout + done.stderr)


# ---- Damage

def damaged(sql):
    db = following("sync")
    db.execute(sql)
    return db


def test_damage_is_told_and_mended():
    cases = {"a signature is cut": "UPDATE x_sig SET signatures = substr(signatures, 2)", "a bitmap is cut": "UPDATE x_sig SET valid = x'00'", "rows are cut": "UPDATE x_sig SET rows = zeroblob(1)",
             "a block is a text": "UPDATE x_sig SET signatures = 'abc'", "a block is gone": "DELETE FROM x_sig", "a block has another number": "UPDATE x_sig SET block = -5",
             "a block is far away": "UPDATE x_sig SET block = 9223372036854775807", "bytes are cut": "UPDATE x_vec SET q8 = substr(q8, 9)", "bytes are a number": "UPDATE x_vec SET q8 = 7",
             "a chunk is gone": "DELETE FROM x_vec WHERE row = 2", "all chunks are gone": "DELETE FROM x_vec", "a chunk is of another row": "UPDATE x_vec SET row = 77 WHERE row = 2",
             "a chunk lies nowhere": "UPDATE x_vec SET start = -4", "a chunk has a large number": "UPDATE x_vec SET id = 9223372036854775807 WHERE row = 2",
             "bits are turned": "UPDATE x_sig SET signatures = zeroblob(length(signatures))", "a row is forgotten": "UPDATE x_sig SET rows = zeroblob(8000)",
             "the model is gone": "DELETE FROM x_config WHERE key = 'model'", "the dimensions are wrong": "UPDATE x_config SET value = '12' WHERE key = 'dims'",
             "the dimensions are large": "UPDATE x_config SET value = '4000000000' WHERE key = 'dims'", "a text is gone": "DELETE FROM x_fts WHERE rowid = 2", "a text is another": "UPDATE x_fts SET body = 'zzz' WHERE rowid = 2"}
    for name, sql in cases.items():
        db = damaged(sql)
        check(f"damage: {name}", intact(db) != "", "the check finds nothing")
        for query in ("SELECT rowid, snippet FROM x('a cat', 9)", "SELECT rowid, snippet FROM x('a cat', 9, 'semantic') WHERE lang = 'en'", "INSERT INTO docs(body) VALUES ('new')", "DELETE FROM docs WHERE id = 2", "INSERT INTO x(x) VALUES ('optimize')"):
            error(db, query)  # an error or an answer, no crash
        check(f"... is mended: {name}", error(db, "INSERT INTO x(x) VALUES ('rebuild')") == "" and intact(db) == "" and one(db, "SELECT rowid FROM x('reset the key', 1)") == 1, intact(db))
    db = damaged("UPDATE x_vec SET length = 1 << 60, start = 3")
    check("a place outside of the text", error(db, "SELECT rowid, snippet, start_pos FROM x('a cat', 9)") == "")


def test_random_bytes_in_shadow_tables():
    shuffled, whole = random.Random(5), set()
    for _ in range(150):
        db = following("deferred")
        table, column = shuffled.choice([("x_sig", "valid"), ("x_sig", "rows"), ("x_sig", "signatures"), ("x_vec", "q8"), ("x_vec", "row"), ("x_vec", "start"), ("x_vec", "id"), ("x_sig", "block"), ("x_pending", "id"), ("x_config", "value")])
        size = one(db, f"SELECT coalesce(max(length({column})), 8) FROM {table}")
        value = shuffled.choice([shuffled.randbytes(size), shuffled.randbytes(shuffled.randrange(300)), shuffled.randrange(-2**63, 2**63), "text", shuffled.random()])
        error(db, f"UPDATE OR IGNORE {table} SET {column} = ?", value)
        for sql in ("SELECT rowid, snippet, start_pos, pending FROM x('a cat', 9)", "SELECT rowid FROM x('a cat', 3, 'semantic')", "UPDATE docs SET body = body || ' more'", "INSERT INTO x(x) VALUES ('sync')", "INSERT INTO x(x) VALUES ('integrity-check')", "INSERT INTO x(x) VALUES ('optimize')"):
            error(db, sql)
        whole.add(one(db, "PRAGMA integrity_check"))
        db.close()
    check("150 times random bytes: errors or answers, no crash, and the file stays whole", whole == {"ok"}, str(whole))


# ---- Kills, interrupts, space

KILLED = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.enable_load_extension(True)
db.load_extension(sys.argv[2])
print("ready", flush=True)
n = db.execute("SELECT coalesce(max(rowid), 0) FROM x").fetchone()[0]
while True:
    db.execute("BEGIN")
    for i in range(5):
        n += 1
        db.execute("INSERT INTO x(rowid, body) VALUES (?, ?)", (n, f"note {n} of cats"))
    db.execute("DELETE FROM x WHERE rowid = ?", (n - 7,))
    db.execute("COMMIT")
    print(n, flush=True)
"""


def test_kills_lose_nothing():
    path = os.path.join(FOLDER, "killed.db")
    db = connect(path)
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
    db.close()
    shuffled, committed, bad = random.Random(3), 0, []
    for _ in range(15):
        process = subprocess.Popen([sys.executable, "-c", KILLED, path, LIBRARY], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        committed = max(committed, int(process.stdout.readline()))
        time.sleep(shuffled.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in process.stdout.read().split("\n")[:-1] if line.strip().isdigit()]
        process.wait()
        committed = max([committed] + said)
        db = connect(path)
        last = one(db, "SELECT coalesce(max(rowid), 0) FROM x")
        problem = intact(db)
        if problem or last < committed or last % 5:
            bad.append((problem, last, committed))
        db.close()
    check("15 kills: each commit is whole, and nothing is lost", not bad and committed > 0, bad[:2])


def test_interrupts():
    db = connect(check_same_thread=False)
    db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)")
    with_transaction(db, lambda: db.executemany("INSERT INTO docs(body) VALUES (?)", [(f"note {i} " + "about engines and fuel " * 20,) for i in range(1500)]))
    def interrupt(sql):
        timer = threading.Timer(0.2, db.interrupt)
        timer.start()
        message = error(db, sql)
        timer.join()
        return message
    message = interrupt("CREATE VIRTUAL TABLE x USING nlp_index(docs, body)")
    check("a build can be interrupted, and leaves nothing", "interrupt" in message or "canceled" in message or "stop" in message, message)
    check("... nothing", rows(db, "SELECT name FROM sqlite_master WHERE name <> 'docs'") == [])
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(docs, body, backfill = 0)")
    check("without backfill all rows wait", one(db, "SELECT count(*) FROM x_pending") == 1500)
    db.execute("INSERT INTO x(x, k) VALUES ('sync', 100)")
    interrupt("INSERT INTO x(x) VALUES ('sync')")
    check("an interrupted sync can go on", one(db, "SELECT count(*) FROM x_pending") <= 1400)
    db.execute("INSERT INTO x(x) VALUES ('sync')")
    check("... to its end", intact(db) == "" and one(db, "SELECT count(*) FROM x_pending") == 0)


def test_space_comes_back():
    path = os.path.join(FOLDER, "space.db")
    db = connect(path)
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
    with_transaction(db, lambda: db.executemany("INSERT INTO x(rowid, body) VALUES (?, ?)", [(i, f"note {i}") for i in range(1, 3001)]))
    bytes_ = one(db, "SELECT sum(pgsize) FROM dbstat WHERE name IN ('x_sig', 'x_vec')") if not error(db, "SELECT 1 FROM dbstat LIMIT 1") else 0
    check("bytes a chunk", bytes_ <= 3000 * 1.3 * (48 + 388), bytes_)
    before = rows(db, "SELECT rowid, score FROM x('note 2990', 5, 'semantic')")
    db.execute("DELETE FROM x WHERE rowid <= 2700")
    db.execute("INSERT INTO x(x) VALUES ('optimize')")
    check("optimize closes the gaps", one(db, "SELECT count(*) FROM x_sig") == 1 and one(db, "SELECT max(id) FROM x_vec") == 299 and intact(db) == "")
    check("... and answers are the same", rows(db, "SELECT rowid, score FROM x('note 2990', 5, 'semantic')")[:1] == before[:1])
    size = os.path.getsize(path)
    db.execute("VACUUM")
    check("VACUUM gives the file's space back", os.path.getsize(path) < size / 3, (size, os.path.getsize(path)))
    db.close()


def test_large_indexes_are_searched_by_signatures():
    db = connect()
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body, half)")
    db.execute("INSERT INTO x VALUES ('The cat sat on the mat', 1)")
    shuffled = random.Random(9)
    q8 = bytearray(one(db, "SELECT q8 FROM x_vec"))
    block, signatures = one(db, "SELECT block FROM x_sig"), bytearray(one(db, "SELECT signatures FROM x_sig"))
    db.execute("BEGIN")
    for i in range(1, 12000):  # rows with vectors made by chance: embedding as many would take minutes
        vector = bytes(shuffled.randrange(-127, 128) & 255 for _ in range(384))
        place, bits = i % 1000, 0
        if place == 0:
            put_block(db, block, signatures, 1000)
            block, signatures = block + 1, bytearray(48000)
        for d, value in enumerate(vector):
            bits |= (0 < value < 128) << d
        signatures[48 * place:48 * place + 48] = bits.to_bytes(48, "little")
        db.execute("INSERT INTO x_vec VALUES (?, ?, 0, 1, ?)", (i, i + 1, bytes(q8[:4]) + vector))
        db.execute("INSERT INTO x_content VALUES (?, ?)", (i + 1, i % 2))
        db.execute("INSERT INTO x_fts(rowid, body) VALUES (?, 'x')", (i + 1,))
    put_block(db, block, signatures, 1000)
    db.execute("COMMIT")
    check("12,000 chunks are whole", intact(db) == "", intact(db))
    check("the nearest is found", one(db, "SELECT rowid FROM x('a cat on a mat', 1, 'semantic')") == 1)
    exact = [r for r, in rows(db, "SELECT rowid FROM x('a cat on a mat', 10, 'semantic') WHERE oversample = 12000")]
    found = [r for r, in rows(db, "SELECT rowid FROM x('a cat on a mat', 10, 'semantic')")]
    check("an oversample of all is exact", len(exact) == 10 and found[0] == exact[0] == 1, (exact, found))
    halves = rows(db, "SELECT rowid, half FROM x('a cat on a mat', 10, 'semantic') WHERE half = 0")
    check("a filter is applied in the scan", len(halves) == 10 and all(h == 0 for _, h in halves), halves)
    few = [r for r, in rows(db, "SELECT rowid FROM x('a cat on a mat', 10, 'semantic') WHERE rowid IN (1, 5000, 11000)")]
    check("few rows are compared one by one", sorted(few) == [1, 5000, 11000] and few[0] == 1)
    db.execute("INSERT INTO x(x) VALUES ('optimize')")
    recall = float(one(db, "SELECT value FROM x_config WHERE key = 'recall'"))
    check("the self-test says how good signatures are, and chooses", 0 < recall <= 1 and (one(db, "SELECT value FROM x_config WHERE key = 'encoding'") == "q8") == (recall < 0.95), recall)
    check("... and after it", one(db, "SELECT rowid FROM x('a cat on a mat', 1, 'semantic')") == 1)


def test_the_example():
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "search", "faq.py")
    for query, expected in (("I forgot my passcode", "reset my password"), ("E1077", "error E1077"), ("where is my bill", "get an invoice"), ("PAY-402", "card declined")):
        done = subprocess.run([sys.executable, script, LIBRARY, query], capture_output=True, text=True, env={**os.environ, "FAQ_DB": os.path.join(FOLDER, "faq.db")}, check=False)
        check(f"examples/search: {query}", expected in done.stdout.split("\n")[0], done.stdout + done.stderr)


def put_block(db, block, signatures, n):
    rows_ = b"".join(struct.pack("<q", 1000 * block + i + 1) for i in range(n))
    db.execute("INSERT OR REPLACE INTO x_sig VALUES (?, ?, ?, ?)", (block, b"\xff" * 125, rows_, bytes(signatures)))


run_tests(globals())
shutil.rmtree(FOLDER, ignore_errors=True)
finish()
