"""One host of SQLite after another: Python's sqlite3, pysqlite3, apsw of several versions. Arguments: the library, the host's module, a
file of vectors that all hosts must give (written by the first one). Run by tests/sqlite/hosts."""
import importlib
import os
import shutil
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import check, finish  # noqa: E402

LIBRARY, HOST, SAME = sys.argv[1:4]
MODULE = importlib.import_module("pysqlite3.dbapi2" if HOST == "pysqlite3" else HOST)
FOLDER = tempfile.mkdtemp(prefix="nlp-hosts-")


class Connection:
    """The few things that the tests need, in each module's words. Outside of BEGIN each statement commits."""

    def __init__(self, path=":memory:", read_only=False):
        if HOST == "apsw":
            flags = MODULE.SQLITE_OPEN_READONLY if read_only else MODULE.SQLITE_OPEN_READWRITE | MODULE.SQLITE_OPEN_CREATE
            self.db = MODULE.Connection(path, flags=flags)
            self.db.enableloadextension(True)
            self.db.loadextension(LIBRARY)
        else:
            name = f"file:{path}?mode=ro" if read_only else path
            self.db = MODULE.connect(name, uri=read_only, isolation_level=None, check_same_thread=False)
            self.db.enable_load_extension(True)
            self.db.load_extension(LIBRARY)

    def rows(self, sql, *values):
        return list((self.db.cursor() if HOST == "apsw" else self.db).execute(sql, values))

    def one(self, sql, *values):
        return self.rows(sql, *values)[0][0]

    def error(self, sql, *values):
        try:
            self.rows(sql, *values)
            return ""
        except MODULE.Error as problem:
            return str(problem) or type(problem).__name__

    def limit_length(self, n):
        """False where the host has no word for it."""
        if HOST == "apsw":
            self.db.limit(MODULE.SQLITE_LIMIT_LENGTH, n)
        elif hasattr(self.db, "setlimit"):
            self.db.setlimit(MODULE.SQLITE_LIMIT_LENGTH, n)
        return HOST == "apsw" or hasattr(self.db, "setlimit")

    def backup_to(self, other):
        if HOST == "apsw":
            with other.db.backup("main", self.db, "main") as backup:
                backup.step()
        else:
            self.db.backup(other.db)

    def close(self):
        self.db.close()


def path_of(name):
    return os.path.join(FOLDER, name)


def check_basics():
    db = Connection()
    vectors = b"".join(db.one("SELECT nlp_embed(?)", text) for text in ("hello world", "", "日本語", "long " * 400))
    if not os.path.exists(SAME):
        with open(SAME, "wb") as file:
            file.write(vectors)
    with open(SAME, "rb") as file:
        check("the vectors of all hosts", file.read() == vectors)
    check("a task, a table", db.one("SELECT nlp_sentiment('I love it')") == "positive" and len(db.rows("SELECT * FROM nlp_tokens('a b')")) == 4)
    check("nlp_map", db.rows("SELECT * FROM nlp_map('SELECT 7, ''I love it''', 'sentiment')") == [(7, "positive")])
    check("errors have their words", "nlp pull" in db.error("SELECT nlp_embed('x', 'nosuch')"), db.error("SELECT nlp_embed('x', 'nosuch')"))
    db.close()


def check_schema():
    db = Connection(path_of("schema.db"))
    for sql in ("CREATE TABLE d (body, emb AS (nlp_embed(body, 'minilm')) STORED, mood)", "CREATE INDEX i ON d (nlp_sentiment(body, 'sentiment'))", "CREATE VIEW v AS SELECT body, nlp_sentiment(body) AS mood FROM d",
                "CREATE TRIGGER t AFTER INSERT ON d BEGIN UPDATE d SET mood = nlp_sentiment(new.body) WHERE rowid = new.rowid; END"):
        db.rows(sql)
    for trusted in ("ON", "OFF"):
        db.rows(f"PRAGMA trusted_schema = {trusted}")
        db.rows("INSERT INTO d (body) VALUES ('I love it'), ('It is terrible')")
        check(f"trigger, view, generated column, index, trusted_schema {trusted}", db.one("SELECT count(*) FROM v JOIN d USING (body) WHERE v.mood = d.mood AND length(emb) = 1536 AND nlp_sentiment(body, 'sentiment') = 'positive'") >= 1)
        db.rows("DROP VIEW IF EXISTS w")
        db.rows("CREATE VIEW w AS SELECT * FROM nlp_map('SELECT 1', 'sentiment')")
        check(f"what runs SQL is not for schemas, trusted_schema {trusted}", "unsafe use" in db.error("SELECT * FROM w"), db.error("SELECT * FROM w"))
    db.rows("VACUUM")
    check("VACUUM, integrity_check", db.one("PRAGMA integrity_check") == "ok" and db.one("SELECT count(*) FROM d WHERE mood = 'negative'") == 2)
    db.close()


def check_files():
    db = Connection(path_of("file.db"))
    db.rows("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, label TEXT, emb BLOB)")
    for i in range(40):
        db.rows("INSERT INTO t VALUES (?, ?, ?, NULL)", i, f"the invoice number {i}" if i % 2 else f"a game of football {i}", "money" if i % 2 else "sport")
    db.rows("SELECT * FROM nlp_fit('kinds', 'SELECT body, label FROM t', 'minilm')")
    check("a head in the file", db.one("SELECT nlp_classify('my invoice', 'kinds')") == "money")
    check("a column job", db.one("SELECT nlp_embed_column('t', 'body', 'emb')") == 40)
    copy = Connection(path_of("copy.db"))
    db.backup_to(copy)
    check("the backup API takes all with it", copy.one("SELECT nlp_classify('my invoice', 'kinds')") == "money" and copy.one("SELECT count(*) FROM t WHERE emb = nlp_embed(body)") == 40)
    copy.close()
    reader = Connection(path_of("copy.db"), read_only=True)
    check("a file that is read only", reader.one("SELECT nlp_classify('my invoice', 'kinds')") == "money" and len(reader.rows("SELECT * FROM nlp_progress")) == 1)
    check("... can't be written", all("read" in reader.error(sql) for sql in ("SELECT * FROM nlp_fit('more', 'SELECT body, label FROM t', 'minilm')", "SELECT nlp_embed_column('t', 'body', 'emb')")), reader.error("SELECT nlp_embed_column('t', 'body', 'emb')"))
    reader.close()
    memory = Connection()
    memory.rows("ATTACH ? AS other", path_of("copy.db"))
    check("ATTACH", memory.one("SELECT count(*) FROM other.t WHERE nlp_sentiment(body) IS NOT NULL") == 40 and len(memory.rows("SELECT * FROM nlp_map('SELECT id, body FROM other.t', 'token_count')")) == 40)
    memory.close()
    db.close()


def check_wal():
    writer = Connection(path_of("wal.db"))
    writer.rows("PRAGMA journal_mode = WAL")
    writer.rows("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, emb BLOB)")
    for i in range(200):
        writer.rows("INSERT INTO t VALUES (?, ?, NULL)", i, f"text number {i} of some words")
    seen, stop, problems = [], threading.Event(), []

    def read():
        reader = Connection(path_of("wal.db"))
        while not stop.is_set():
            try:
                n, right = reader.rows("SELECT count(emb), total(emb = nlp_embed(body)) FROM t WHERE id % 20 = 0")[0]
                seen.append(n)
                if n != right:
                    problems.append((n, right))
            except MODULE.Error as problem:
                problems.append(problem)
        reader.close()

    thread = threading.Thread(target=read)
    thread.start()
    writer.rows("BEGIN IMMEDIATE")
    done = writer.one("SELECT nlp_embed_column('t', 'body', 'emb')")
    writer.rows("COMMIT")
    stop.set()
    thread.join()
    check("a reader goes on while a writer embeds, in WAL", not problems and done == 200 and set(seen) <= {0, 10}, f"{len(seen)} reads, {problems[:2]}")
    writer.close()


def check_limits():
    db = Connection()
    if not db.limit_length(1000):
        return
    check("a host's limit on lengths", db.error("SELECT nlp_embed('x')") != "" and db.one("SELECT nlp_sentiment('I love it')") == "positive", db.error("SELECT nlp_embed('x')"))
    db.close()


version = MODULE.sqlitelibversion() if HOST == "apsw" else MODULE.sqlite_version
check(f"{HOST}, SQLite {version}", True)
for group in (check_basics, check_schema, check_files, check_wal, check_limits):
    group()
shutil.rmtree(FOLDER)
finish()
