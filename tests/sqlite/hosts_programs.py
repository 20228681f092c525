"""Programs that load SQLite extensions by an option: sqlite-utils on its command line, Datasette answering a request. Arguments: the
library, the program's module. Run by tests/sqlite/hosts."""
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import check, finish  # noqa: E402

LIBRARY, MODULE = sys.argv[1:3]
FOLDER = tempfile.mkdtemp(prefix="nlp-programs-")
FILE = os.path.join(FOLDER, "reviews.db")
QUERY = "SELECT id, nlp_sentiment(body) AS mood, length(nlp_embed(body)) AS bytes FROM reviews ORDER BY id"
ROWS = [{"id": 1, "mood": "positive", "bytes": 1536}, {"id": 2, "mood": "negative", "bytes": 1536}]


def run(*arguments):
    """What the program prints, as JSON where it is."""
    done = subprocess.run([sys.executable, "-m", MODULE, *arguments], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return done.stdout + done.stderr


def check_sqlite_utils():
    def query(sql, *more):
        return run("query", FILE, sql, "--load-extension", LIBRARY, *more)

    found = query(QUERY)
    check("sqlite-utils query", found == ROWS, found)
    found = query("SELECT nlp_sentiment(:text) AS mood", "-p", "text", "I hate it")
    check("... with a parameter", found == [{"mood": "negative"}], found)
    found = query("SELECT key, result FROM nlp_map('SELECT id, body FROM reviews', 'sentiment')")
    check("... nlp_map", found == [{"key": r["id"], "result": r["mood"]} for r in ROWS], found)
    found = query("SELECT nlp_embed('x', 'nosuch')")
    check("... an error has its words", "nlp pull nosuch" in str(found), found)
    found = query("UPDATE reviews SET mood = nlp_sentiment(body)")
    check("... a write", sqlite3.connect(FILE).execute("SELECT mood FROM reviews ORDER BY id").fetchall() == [("positive",), ("negative",)], found)
    found = run("memory", "SELECT nlp_token_count('a b') AS n", "--load-extension", LIBRARY)
    check("sqlite-utils memory", found == [{"n": 4}], found)


def check_datasette():
    def get(sql, *more):
        address = "/reviews.json?" + urllib.parse.urlencode({"sql": sql, "_shape": "array"})
        return run(FILE, "--load-extension", LIBRARY, "--get", address, *more)

    found = get(QUERY)
    check("datasette --get: a query", found == ROWS, found)
    found = get("SELECT key, result FROM nlp_map('SELECT id, body FROM reviews', 'sentiment')")
    check("... nlp_map", found == [{"key": r["id"], "result": r["mood"]} for r in ROWS], found)
    found = get("SELECT nlp_embed('x', 'nosuch')")
    check("... an error has its words", "nlp pull nosuch" in str(found), found)
    found = get("SELECT count(nlp_embed('text ' || i)) AS n FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)", "--setting", "sql_time_limit_ms", "300")
    check("... its limit of time ends a call", "interrupted" in str(found).lower(), found)


with sqlite3.connect(FILE) as db:
    db.execute("CREATE TABLE reviews (id INTEGER PRIMARY KEY, body TEXT, mood TEXT)")
    db.executemany("INSERT INTO reviews VALUES (?, ?, NULL)", [(1, "I love it"), (2, "It is terrible")])
db.close()
{"sqlite_utils": check_sqlite_utils, "datasette": check_datasette}[MODULE]()
shutil.rmtree(FOLDER)
finish()
