"""The virtual table nlp_index when something stops it: a full disk, interrupts, kills, other processes. Nothing is lost, nothing is
there twice. How long interrupts take is printed. Run by tests/sqlite/run."""
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import check, finish  # noqa: E402
from statements import error, interrupt_after, is_interrupt, one, run_tests  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
LIBRARY = os.path.join(BUILD, "sqlite", "nlp")
N_KILLS = int(os.environ.get("NLP_KILLS", "6"))
N_INTERRUPTS = int(os.environ.get("NLP_CANCELS", "25"))
FOLDER = tempfile.mkdtemp(prefix="nlp-faults-")


def connect(path, **options):
    db = sqlite3.connect(path, isolation_level=None, **options)
    db.enable_load_extension(True)
    db.load_extension(LIBRARY)
    return db


def file_of(name):
    return os.path.join(FOLDER, name + ".db")


def with_docs(name, mode, n, **options):
    """A table docs of n rows and an index x that follows it."""
    db = connect(file_of(name), **options)
    db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)")
    add_docs(db, n)
    db.execute(f"CREATE VIRTUAL TABLE x USING nlp_index(docs, body, mode = '{mode}')")
    return db


def add_docs(db, n):
    db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO docs(body) SELECT 'note ' || i || ' about engines, fuel and the sea' FROM n", (n,))


def problem(db, table="docs", key="id"):
    """'' where each row of the table is found once, and all parts agree."""
    db.execute("INSERT INTO x(x) VALUES ('sync')")
    n, found, different = one(db, f"SELECT count(*) FROM {table}"), *db.execute("SELECT count(*), count(DISTINCT rowid) FROM x('note', 100000, 'semantic')").fetchone()
    said = [error(db, "INSERT INTO x(x) VALUES ('integrity-check')"), one(db, "PRAGMA integrity_check")]
    return "" if n == found == different and said == ["", "ok"] else f"{n} rows, {found} found, {different} of them different; {said}"


# ---- A full disk

def test_a_full_disk():
    for mode in ("sync", "deferred"):
        db = with_docs("full-" + mode, mode, 300)
        before = db.execute("SELECT rowid, score FROM x('engines', 20)").fetchall()
        pages = one(db, "PRAGMA page_count")
        one(db, f"PRAGMA max_page_count = {pages + 8}")
        check(f"{mode}: a large INSERT ... SELECT says that the disk is full", "full" in error(db, "INSERT INTO docs(body) SELECT a.body || b.id FROM docs a, docs b LIMIT 20000"))
        check(f"{mode}: nothing of it is there", db.execute("SELECT rowid, score FROM x('engines', 20)").fetchall() == before and problem(db) == "", problem(db))
        one(db, "PRAGMA max_page_count = 100000")
        add_docs(db, 200)
        db.execute("INSERT INTO x(x) VALUES ('rebuild')")
        check(f"{mode}: with room again, everything works", one(db, "SELECT count(*) FROM docs") == 500 and problem(db) == "", problem(db))
        db.close()


def test_a_build_without_room():
    db = connect(file_of("build"))
    db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)")
    add_docs(db, 300)
    one(db, f"PRAGMA max_page_count = {one(db, 'PRAGMA page_count') + 40}")
    create = "CREATE VIRTUAL TABLE x USING nlp_index(docs, body)"
    check("a build without room says so", "full" in error(db, create), error(db, create))
    check("... and leaves nothing", db.execute("SELECT name FROM sqlite_master").fetchall() == [("docs",)])
    one(db, "PRAGMA max_page_count = 100000")
    db.execute(create)
    check("... and is made when there is room", problem(db) == "", problem(db))
    db.execute("DROP TABLE x")
    db.execute("VACUUM")
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(docs, body, backfill = 0)")
    one(db, f"PRAGMA max_page_count = {one(db, 'PRAGMA page_count') + 8}")
    for command in ("rebuild", "sync"):
        check(f"{command} without room says so, and all rows wait as before", "full" in error(db, f"INSERT INTO x(x) VALUES ('{command}')") and one(db, "SELECT count(*) FROM x_pending") == 300)
    one(db, "PRAGMA max_page_count = 100000")
    db.execute("INSERT INTO x(x) VALUES ('sync')")
    check("with room again they are embedded", problem(db) == "", problem(db))
    db.execute("UPDATE docs SET body = 'note ' || id WHERE id <= 60")
    fresh = one(db, "SELECT count(*) FROM x_pending")
    one(db, f"PRAGMA max_page_count = {one(db, 'PRAGMA page_count')}")
    add = error(db, "INSERT INTO docs(body) SELECT body FROM docs")
    check("rows that wait are not lost by it", "full" in add and fresh == 60 and one(db, "SELECT count(*) FROM x_pending") == 60, add)
    one(db, "PRAGMA max_page_count = 100000")
    check("... and are embedded later", problem(db) == "" and not db.in_transaction, problem(db))
    db.close()


# ---- Interrupts

def interrupted_in(db, sql, after):
    """Milliseconds from the interrupt to the error; None: the statement was done before."""
    said, took = interrupt_after(db, sql, after)
    if said and not is_interrupt(said):
        check(f"an interrupt says so, not {said}", False)
    return took if said else None


def interrupt_often(db, name, sql, longest, before=()):
    times = []
    shuffled = random.Random(name)
    for _ in range(N_INTERRUPTS):
        for statement in before:
            db.execute(statement)
        times.append(interrupted_in(db, sql, shuffled.uniform(0.001, longest)))
        if db.in_transaction:
            check(f"{name}: no transaction stays open", False)
            db.execute("ROLLBACK")
    times = sorted(t for t in times if t is not None)
    check(f"{name}: {len(times)} of {N_INTERRUPTS} interrupts met it", times, f"median {times[len(times) // 2]:.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms" if times else "")


def test_interrupts_leave_the_index_whole():
    db = with_docs("interrupts", "deferred", 600, check_same_thread=False)
    change = ("UPDATE docs SET body = 'note ' || random() || ' about engines, fuel and the sea' WHERE id <= 60",)
    for name, sql, longest, before in (("rebuild", "INSERT INTO x(x) VALUES ('rebuild')", 0.3, ()), ("sync", "INSERT INTO x(x) VALUES ('sync')", 0.05, change),
                                       ("a query that embeds", "SELECT count(*) FROM x('note', 9)", 0.05, change)):
        interrupt_often(db, name, sql, longest, before)
        check(f"{name}: the index is whole", problem(db) == "", problem(db))
    db.close()


def stop_at(db, sql, n):
    """What a statement says whose n-th call of the progress handler, one in 20 steps, ends it; and whether it came to that call."""
    left = [n]

    def handler():
        left[0] -= 1
        return left[0] == 0

    db.set_progress_handler(handler, 20)
    said = error(db, sql)
    db.set_progress_handler(None, 0)
    return said, left[0] <= 0


def interrupt_at(db, sql, n):
    """As stop_at, but by an interrupt, which holds until no statement runs: whatever is done behind the error meets it too."""
    left = [n]

    def handler():
        left[0] -= 1
        if left[0] == 0:
            db.interrupt()

    db.set_progress_handler(handler, 20)
    said = error(db, sql)
    db.set_progress_handler(None, 0)
    return said, left[0] <= 0


def test_progress_handlers_leave_the_index_whole():
    db = with_docs("progress", "deferred", 40)
    change = ("DELETE FROM docs WHERE id % 7 = 0", "INSERT INTO docs SELECT 7 * value, 'note again' FROM json_each('[1, 2, 3, 4, 5]')", "UPDATE docs SET body = body || '.' WHERE id % 5 = 0")
    for name, sql in (("sync", "INSERT INTO x(x) VALUES ('sync')"), ("rebuild", "INSERT INTO x(x) VALUES ('rebuild')"), ("optimize", "INSERT INTO x(x) VALUES ('optimize')"),
                      ("integrity-check", "INSERT INTO x(x) VALUES ('integrity-check')"), ("a query that embeds", "SELECT count(*) FROM x('note', 9)")):
        n, stopped, problems = 1, 0, []
        while True:
            for statement in change:
                db.execute(statement)
            said, reached = stop_at(db, sql, n)
            problems += [p for p in (problem(db), "a transaction is open" if db.in_transaction else "", said if said and "interrupted" not in said and "canceled" not in said else "") if p]
            if not reached:
                break
            stopped, n = stopped + (said != ""), n + 1 + n // 4  # FTS5 passes over a stop within its PRAGMA data_version
        check(f"{name}, stopped at {stopped} places: the index is whole", stopped and not problems, problems[:2])
    db.close()


def test_a_query_stopped_at_each_place_of_a_transaction():
    for way in (stop_at, interrupt_at):
        db = connect(file_of(way.__name__))
        db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
        db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)")
        n, stopped, went_on, problems = 1, 0, 0, []
        while True:
            db.execute("BEGIN")
            for table, key in (("x", "rowid"), ("docs", "id")):
                db.executemany(f"INSERT OR REPLACE INTO {table}({key}, body) VALUES (?, ?)", ((j + n % 5, f"note {j} {n} about engines") for j in range(8)))
            said, reached = way(db, "SELECT count(*) FROM x('note', 5)", n)
            if db.in_transaction:
                went_on += said != ""
                db.execute("COMMIT")
            problems += [p for p in (problem(db), said if said and not is_interrupt(said) else "") if p]
            if not reached:
                break
            stopped, n = stopped + (said != ""), n + 1 + n // 24
        check(f"{way.__name__}: a query stopped at {stopped} places, {went_on} times its transaction went on: the index is the table", stopped >= went_on > 0 and not problems, problems[:2])
        db.close()


def test_interrupts_in_a_transaction():
    db = connect(file_of("within"), check_same_thread=False)
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
    db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)")
    shuffled, problems, stopped = random.Random(4), [], 0
    for i in range(N_INTERRUPTS):
        db.execute("BEGIN")
        for j in range(40):
            for table, key in (("x", "rowid"), ("docs", "id")):
                db.execute(f"INSERT OR REPLACE INTO {table}({key}, body) VALUES (?, ?)", (j + 20 * (i % 3), f"note {i} {j} about engines and fuel"))
        stopped += interrupted_in(db, "SELECT count(*) FROM x('note', 5)", shuffled.uniform(0.001, 0.06)) is not None
        if db.in_transaction:  # an interrupted write rolls back, an interrupted query does not
            db.execute("COMMIT")
        problems += [problem(db)] if problem(db) else []
    check(f"{stopped} queries that read their transaction's writes were interrupted: the index is the table", stopped and not problems, problems[:1])
    db.close()


def fill_by_hand(db, n):
    """n rows with vectors of some hundreds that are made by chance: embedding as many would take minutes."""
    shuffled = random.Random(9)
    scale = bytes(one(db, "SELECT q8 FROM x_vec"))[:4]
    vectors = [bytes(shuffled.randrange(-127, 128) & 255 for _ in range(384)) for _ in range(500)]
    signatures = [sum((0 < value < 128) << d for d, value in enumerate(v)).to_bytes(48, "little") for v in vectors]
    db.execute("BEGIN")
    db.execute("DELETE FROM x_sig")
    db.execute("DELETE FROM x_vec")
    db.executemany("INSERT INTO x_vec VALUES (?, ?, 0, 1, ?)", ((i, i + 1, scale + vectors[i * 7 % 500]) for i in range(n)))
    db.executemany("INSERT OR REPLACE INTO x_content(id) VALUES (?)", ((i + 1,) for i in range(n)))
    db.executemany("INSERT INTO x_fts(rowid, body) VALUES (?, 'x')", ((i + 1,) for i in range(1, n)))
    for block in range(n // 1000):
        places = range(1000 * block, 1000 * block + 1000)
        db.execute("INSERT INTO x_sig VALUES (?, ?, ?, ?)", (block, b"\xff" * 125, b"".join(struct.pack("<q", i + 1) for i in places), b"".join(signatures[i * 7 % 500] for i in places)))
    db.execute("COMMIT")


def test_a_large_search_is_interruptible():
    db = connect(file_of("large"), check_same_thread=False)
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
    db.execute("INSERT INTO x VALUES ('The cat sat on the mat')")
    fill_by_hand(db, 200000)
    check("200,000 rows are searched", one(db, "SELECT count(*) FROM x('a kitten', 10, 'semantic')") == 10)
    interrupt_often(db, "searches by signatures", "SELECT count(score) FROM json_each('[1,2,3,4,5,6,7,8,9,10]') j, x('a kitten ' || j.value, 10, 'semantic')", 0.08)
    interrupt_often(db, "a search that compares all", "SELECT count(*) FROM x WHERE x MATCH 'a kitten' AND mode = 'semantic' AND oversample = 20000", 0.1)
    interrupt_often(db, "a check of all", "INSERT INTO x(x) VALUES ('integrity-check')", 0.3)
    check("200,000 rows are whole", error(db, "INSERT INTO x(x) VALUES ('integrity-check')") == "")
    db.close()


# ---- Kills

KILLED = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
db.enable_load_extension(True)
db.load_extension(sys.argv[2])
print("ready", flush=True)
n = db.execute("SELECT n FROM done").fetchone()[0]
while True:
    n += 1
    db.execute("BEGIN")
    db.execute("UPDATE docs SET body = 'note ' || id || ' of round ' || ? WHERE id % 5 = ? % 5", (n, n))
    db.execute("DELETE FROM docs WHERE id = ?", (n % 300,))
    db.execute("INSERT OR REPLACE INTO docs VALUES (?, 'a new note')", ((n + 100) % 300,))
    db.execute("UPDATE done SET n = ?", (n,))
    db.execute("COMMIT")
    print(n, flush=True)
    for sql in sys.argv[3:]:
        db.execute(sql).fetchall()
"""
PHASES = {"commit": ("sync", ()), "deferred sync": ("deferred", ("INSERT INTO x(x) VALUES ('sync')",)), "sync in parts": ("deferred", ("INSERT INTO x(x, k) VALUES ('sync', 20)",) * 3),
          "query": ("deferred", ("SELECT rowid FROM x('note', 3)",)), "rebuild": ("deferred", ("INSERT INTO x(x) VALUES ('rebuild')",)),
          "optimize": ("sync", ("INSERT INTO x(x) VALUES ('optimize')",))}


def kill_once(path, statements, after):
    """The last round that it said was committed."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, path, LIBRARY, *statements], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    first = int(process.stdout.readline())
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    said = [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    return max([first] + said)


def test_kills_in_every_phase():
    for phase, (mode, statements) in PHASES.items():
        for journal in ("DELETE", "WAL"):
            db = with_docs("killed-" + journal + phase.replace(" ", ""), mode, 300)
            one(db, f"PRAGMA journal_mode = {journal}")
            db.execute("CREATE TABLE done AS SELECT 0 AS n")
            db.close()
            shuffled, problems = random.Random(phase + journal), []
            for _ in range(N_KILLS):
                path = file_of("killed-" + journal + phase.replace(" ", ""))
                committed = kill_once(path, statements, shuffled.uniform(0, 0.15))
                db = connect(path)
                now = one(db, "SELECT n FROM done")
                if problem(db) or not committed <= now <= committed + 1:
                    problems.append((problem(db), committed, now))
                db.close()
            check(f"{N_KILLS} kills, {phase}, {journal}: nothing is lost, nothing is there twice", not problems, problems[:2])


# ---- Other processes

WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=120)
db.enable_load_extension(True)
db.load_extension(sys.argv[2])
for i in range(15):
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO docs VALUES (?, ?)", (int(sys.argv[3]) + i, f"note {i} of a writer"))
    db.execute("UPDATE docs SET body = body || '.' WHERE id = ?", (int(sys.argv[3]) + i // 2,))
    db.execute("COMMIT")
    db.execute("SELECT rowid FROM x('note', 3)").fetchall()
"""


def test_two_processes_write_at_once():
    for mode in ("sync", "deferred"):
        for journal in ("DELETE", "WAL"):
            db = with_docs("two-" + mode + journal, mode, 10)
            one(db, f"PRAGMA journal_mode = {journal}")
            writers = [subprocess.Popen([sys.executable, "-c", WRITER, file_of("two-" + mode + journal), LIBRARY, str(n)], stderr=subprocess.PIPE, text=True) for n in (1000, 2000)]
            said = [writer.communicate()[1] for writer in writers]
            check(f"{mode}, {journal}: two processes write at once", said == ["", ""] and one(db, "SELECT count(*) FROM docs") == 40 and problem(db) == "", (said, problem(db)))
            db.close()


def test_a_reader_keeps_its_snapshot():
    for mode in ("sync", "deferred"):
        db = with_docs("snapshot-" + mode, mode, 30)
        one(db, "PRAGMA journal_mode = WAL")
        db.execute("UPDATE docs SET body = 'a note that waits' WHERE id = 3")
        reader = connect(file_of("snapshot-" + mode))
        reader.execute("BEGIN")
        one(reader, "SELECT count(*) FROM docs")
        queries = ["SELECT rowid, score, snippet FROM x('note about fuel', 9)", "SELECT rowid, score FROM x('note 7', 9, 'text')", "SELECT rowid, body FROM x('sea', 40, 'semantic')"]
        seen = [reader.execute(sql).fetchall() for sql in queries] if mode == "sync" else None
        db.execute("UPDATE docs SET body = 'fuel and fuel' WHERE id < 9")
        db.execute("DELETE FROM docs WHERE id > 20")
        db.execute("INSERT INTO x(x) VALUES ('sync')")
        db.execute("INSERT INTO x(x) VALUES ('optimize')")
        now = [reader.execute(sql).fetchall() for sql in queries]
        check(f"{mode}: a reader sees what its snapshot has", {r for r, *_ in now[2]} <= set(range(1, 31)) and len(now[2]) == (30 if mode == "sync" else 29) and (seen is None or seen == now), len(now[2]))
        if mode == "deferred":
            check("... and how many rows wait in it", one(reader, "SELECT pending FROM x('note', 1)") == 1)
        reader.execute("COMMIT")
        check(f"{mode}: behind it, what is there now", {r for r, in reader.execute("SELECT rowid FROM x('note', 40, 'semantic')")} == set(range(1, 21)) and problem(reader) == "")
        reader.close(), db.close()


# ---- What a query writes

def test_a_query_writes_all_or_nothing():
    db = with_docs("query", "deferred", 20)
    db.execute("CREATE TABLE found (id INTEGER)")
    db.execute("UPDATE docs SET body = 'note on kittens' WHERE id = 7")
    db.execute("INSERT INTO found SELECT rowid FROM x('a cat', 1)")
    check("within a statement that writes", one(db, "SELECT id FROM found") == 7 and one(db, "SELECT count(*) FROM x_pending") == 0 and not db.in_transaction)
    db.execute("UPDATE docs SET body = 'note on puppies' WHERE id = 7")
    cursor = db.execute("SELECT id FROM docs ORDER BY id")
    cursor.fetchone()
    check("while another query is read", one(db, "SELECT rowid FROM x('a dog', 1)") == 7 and len(cursor.fetchall()) == 19 and not db.in_transaction)
    db.execute("UPDATE docs SET body = 'note on trains' WHERE id = 7")
    other = connect(file_of("query"), timeout=0)
    cursor = other.execute("SELECT id FROM docs ORDER BY id")
    cursor.fetchone()
    db.execute("PRAGMA busy_timeout = 10")
    check("where another program reads, it answers without what waits", db.execute("SELECT rowid, pending FROM x('railway', 1)").fetchall()[0][1] == 1 and not db.in_transaction)
    cursor.fetchall()
    check("... and then with it", db.execute("SELECT rowid, pending FROM x('railway', 1)").fetchall() == [(7, 0)] and problem(db) == "", problem(db))
    other.close(), db.close()


def test_a_rebuild_without_its_model_changes_nothing():
    folder = tempfile.mkdtemp(dir=FOLDER)
    source = [os.path.join(p, "minilm.nlp") for p in os.environ["NLP_MODEL_PATH"].split(":") if os.path.exists(os.path.join(p, "minilm.nlp"))][0]
    shutil.copy(source, os.path.join(folder, "gone.nlp"))
    db = connect(file_of("gone"))
    path = one(db, "SELECT nlp_config('model_path')")
    one(db, "SELECT nlp_config('model_path', ?)", folder + ":" + (path or os.environ["NLP_MODEL_PATH"]))
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body, model = 'gone')")
    db.execute("INSERT INTO x(body) VALUES ('note one'), ('note two')")
    before = db.execute("SELECT * FROM x_vec").fetchall()
    os.remove(os.path.join(folder, "gone.nlp"))
    db.execute("BEGIN")
    check("a rebuild names the model that is missing", "gone" in error(db, "INSERT INTO x(x) VALUES ('rebuild')"))
    db.execute("COMMIT")
    check("... and nothing is changed, in a transaction that goes on", db.execute("SELECT * FROM x_vec").fetchall() == before)
    check("a row that can't be embedded is not inserted", "gone" in error(db, "INSERT INTO x(body) VALUES ('note three')") and one(db, "SELECT count(*) FROM x") == 2)
    one(db, "SELECT nlp_config('model_path', ?)", path)
    db.close()


def test_queries_without_a_blank():
    db = with_docs("queries", "sync", 20)
    for mode in ("hybrid", "semantic", "text"):
        for query in ("x" * 100000, "\u00e9" * 100000, '"' * 100000, "a-" * 50000, "(" * 100000):
            check(f"{mode}: 100,000 times {query[:2]}", error(db, "SELECT rowid, snippet FROM x(?, 5, ?)", query, mode) == "")
    check("fts5: a long query is FTS5's matter", isinstance(error(db, "SELECT rowid FROM x(?, 5, 'fts5')", "(" * 100000), str) and problem(db) == "")
    db.close()


run_tests(globals())
shutil.rmtree(FOLDER, ignore_errors=True)
finish()
