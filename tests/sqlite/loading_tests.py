"""The extension twice in one process and on one connection, and under limits that a host has lowered. Run by tests/sqlite/run."""
import os
import shutil
import sqlite3
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import check, finish  # noqa: E402
from statements import PROBLEMS, error, one  # noqa: E402

LIBRARY = os.path.join(os.path.abspath(sys.argv[1]), "sqlite", "nlp.so")
FOLDER = tempfile.mkdtemp(prefix="nlp-loading-")
OTHER = shutil.copy(LIBRARY, os.path.join(FOLDER, "nlp.so"))  # an image of its own, as another version would be


def connect(*libraries):
    db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    db.enable_load_extension(True)
    for library in libraries:
        db.load_extension(library)
    return db


# what a connection is asked for: all kinds of functions and tables
CALLS = [
    "SELECT hex(nlp_embed('the same bits'))",
    "SELECT nlp_sentiment('I love it'), nlp_token_count('a b')",
    "SELECT group_concat(token, ' ') FROM nlp_tokens('a b')",
    "SELECT group_concat(key || result) FROM nlp_map('SELECT 7, ''I love it'' UNION ALL SELECT 8, ''I hate it''', 'sentiment')",
    "SELECT count(embedding) FROM nlp_embed_each('[\"a\", \"b\"]')",
    "SELECT document FROM nlp_rerank('a dog', '[\"a tax form\", \"an animal\"]')",
    "SELECT nlp_embed_column('notes', 'body', 'emb')",
    "SELECT count(*) FROM nlp_fit('kinds', 'SELECT body, CAST(id % 2 AS TEXT) FROM notes', 'minilm', '{\"epochs\": 2}')",
    "SELECT nlp_classify('note', 'kinds') IS NOT NULL",
    "SELECT count(*) FROM nlp_evaluate('kinds', 'SELECT body, CAST(id % 2 AS TEXT) FROM notes')",
    "SELECT count(*) > 0 FROM nlp_models WHERE name = 'minilm'",
    "SELECT count(*) FROM nlp_progress",
    "SELECT length(nlp_centroid(nlp_embed(value))) FROM json_each('[\"a\", \"b\"]')",
    "SELECT typeof(nlp_pack('kinds')) IN ('blob', 'null')",
    "SELECT count(nlp_drop_model('kinds')) < 2",
]


def make_notes(db):
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, emb BLOB)")
    db.executemany("INSERT INTO notes VALUES (?, ?, NULL)", [(i, f"note {i} of {'many' if i % 2 else 'few'}") for i in range(40)])


def answers(db):
    """What the calls give, errors too, on the tables of a connection as they were first."""
    db.execute("DROP TABLE IF EXISTS notes")
    db.execute("DROP TABLE IF EXISTS nlp_jobs")
    make_notes(db)
    found = []
    for sql in CALLS:
        try:
            found.append(db.execute(sql).fetchall())
        except PROBLEMS as problem:
            found.append(f"error: {problem or type(problem).__name__}")
    return found


def check_two_images(expected):
    first, second = connect(LIBRARY), connect(OTHER)
    check("two images of the library, a connection each", answers(first) == expected and answers(second) == expected)
    results = []
    threads = [threading.Thread(target=lambda db=db: results.append([answers(db) for _ in range(3)])) for db in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("... at work at the same time", results == [[expected] * 3] * 2)
    with open("/proc/self/maps", encoding="ascii") as file:
        maps = file.read()
    check("... each with code of its own, the weights once", LIBRARY in maps and OTHER in maps and len({line.split()[-1] for line in maps.splitlines() if "minilm" in line or "/dev/shm/nlp" in line}) <= 3, [line for line in maps.splitlines() if "nlp" in line][:4])
    first.close()
    check("... and one goes on when the other is closed", answers(second) == expected)
    second.close()


def check_one_connection(expected):
    for name, libraries in {"the library twice on one connection": (LIBRARY, LIBRARY), "two images on one connection": (LIBRARY, OTHER), "three times": (OTHER, LIBRARY, OTHER)}.items():
        db = connect(*libraries)
        check(name, answers(db) == expected)
        db.close()
    db = connect(LIBRARY)
    cursor = db.execute("SELECT token FROM nlp_tokens('one two three')")
    seen = [cursor.fetchone()[0]]
    refused = error(db, "SELECT load_extension(?)", OTHER)  # functions in use can't be replaced
    seen += [token for token, in cursor]
    check("while a statement runs: it ends as it began", seen == ["[CLS]", "one", "two", "three", "[SEP]"] and "active statements" in refused, f"{seen} {refused}")
    check("... and the connection goes on", answers(db) == expected)
    db.close()


LIMITS = {
    "LENGTH": (1000, 100, 10), "SQL_LENGTH": (100, 20), "COLUMN": (5, 2, 1), "EXPR_DEPTH": (3, 1), "COMPOUND_SELECT": (1,), "VDBE_OP": (50, 10), "FUNCTION_ARG": (3, 1, 0),
    "ATTACHED": (0,), "LIKE_PATTERN_LENGTH": (1,), "VARIABLE_NUMBER": (3, 1, 0), "TRIGGER_DEPTH": (1, 0), "WORKER_THREADS": (0,),
}


def is_answer_or_error(found, expected):
    return all(got == right or isinstance(got, str) and got.startswith("error: ") and len(got) > len("error: ") for got, right in zip(found, expected))


def check_limits(expected):
    """A call gives what it gives without the limit, or an error, and all is well when the limit is lifted."""
    for name, values in LIMITS.items():
        limit = getattr(sqlite3, f"SQLITE_LIMIT_{name}")
        for n in values:
            db = connect(LIBRARY)
            make_notes(db)
            before = db.setlimit(limit, n)
            found = [error(db, sql) for sql in CALLS]
            db.setlimit(limit, before)
            check(f"{name} lowered to {n}: {sum(map(bool, found))} of {len(CALLS)} calls are errors, then none", answers(db) == expected, [a for a, b in zip(answers(db), expected) if a != b][:2])
            db.close()


def check_limited_answers(expected):
    for name, n in (("LENGTH", 5000), ("COLUMN", 40), ("VARIABLE_NUMBER", 20), ("EXPR_DEPTH", 20), ("VDBE_OP", 2000), ("FUNCTION_ARG", 8)):
        db = connect(LIBRARY)
        db.setlimit(getattr(sqlite3, f"SQLITE_LIMIT_{name}"), n)
        found = answers(db)
        check(f"{name} of {n}: right answers or errors", is_answer_or_error(found, expected) and sum(got == right for got, right in zip(found, expected)) >= 9, [(f, r) for f, r in zip(found, expected) if f != r])
        db.close()
    db = connect(LIBRARY)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000)
    check("a vector over the limit of lengths says so", "too big" in error(db, "SELECT nlp_embed('x')"), error(db, "SELECT nlp_embed('x')"))
    check("... a shorter one is given", len(one(db, "SELECT nlp_embed('x', '{\"dimensions\": 100}')")) == 400)
    make_notes(db)
    refused = error(db, "SELECT nlp_embed_column('notes', 'body', 'emb')")
    check("... a column job stops, and says what it did", "too big" in refused and db.execute("SELECT count(emb), (SELECT rows_done FROM nlp_progress) FROM notes").fetchone() == (0, 0), refused)
    refused = error(db, "SELECT * FROM nlp_fit('kinds', 'SELECT body, CAST(id % 2 AS TEXT) FROM notes', 'minilm')")
    check("... a head is not stored", "too big" in refused, refused)
    check("... a list of texts over it, too", error(db, "SELECT count(*) FROM nlp_embed_each(?)", "x" * 2000) != "")
    db.close()


def check_loading_under_limits():
    for name, n in (("COLUMN", 1), ("FUNCTION_ARG", 0), ("SQL_LENGTH", 60), ("LENGTH", 300), ("VARIABLE_NUMBER", 2)):
        limit = getattr(sqlite3, f"SQLITE_LIMIT_{name}")
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.enable_load_extension(True)
        before = db.setlimit(limit, n)
        try:
            db.load_extension(LIBRARY)
            loaded = ""
        except sqlite3.Error as problem:
            loaded = str(problem)
        db.setlimit(limit, before)
        if loaded:
            db.load_extension(LIBRARY)
        check(f"loaded with {name} of {n}: works when it is lifted", one(db, "SELECT nlp_sentiment('I love it')") == "positive", loaded)
        db.close()


reference = connect(LIBRARY)
EXPECTED = answers(reference)
check("all calls have answers", not any(isinstance(a, str) for a in EXPECTED), [a for a in EXPECTED if isinstance(a, str)])
check("... the same when asked again", answers(reference) == EXPECTED, [a for a, b in zip(answers(reference), EXPECTED) if a != b][:2])
reference.close()
check_two_images(EXPECTED)
check_one_connection(EXPECTED)
check_limits(EXPECTED)
check_limited_answers(EXPECTED)
check_loading_under_limits()
shutil.rmtree(FOLDER)
finish()
