"""Interrupts at random moments: the connection stays usable, memory stays flat; how long an interrupt takes is printed.
NLP_CANCELS=500 for all of them. Run by tests/sqlite/run."""
import os
import random
import sqlite3
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import check, finish, task_packs  # noqa: E402
from statements import interrupt_after, is_interrupt  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
LIBRARY, NLP = os.path.join(BUILD, "sqlite", "nlp"), os.path.join(BUILD, "nlp")
N = int(os.environ.get("NLP_CANCELS", "60"))
FOLDER = tempfile.mkdtemp(prefix="nlp-cancel-")
WORK = {
    "embed": "SELECT count(nlp_embed(body)) FROM texts",
    "generate": "SELECT count(nlp_generate(body, 'writer', '{\"max_tokens\": 2000}')) FROM texts",
    "tokenize 1 MB": "SELECT count(nlp_token_count(x || id)) FROM long, texts WHERE id <= 60",
    "each": "SELECT count(embedding) FROM nlp_embed_each((SELECT json_group_array(body) FROM texts))",
    "map": "SELECT count(*) FROM nlp_map('SELECT id, body FROM texts', 'embed')",
    "column job": "SELECT nlp_embed_column('texts', 'body', 'emb')",
    "fit": "SELECT count(*) FROM nlp_fit('fitted', 'SELECT body, CAST(id % 2 AS TEXT) FROM texts', 'minilm')",
}


def connect():
    db = sqlite3.connect(os.path.join(FOLDER, "file.db"), check_same_thread=False, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(LIBRARY)
    return db


def interrupt_at(db, sql, after):
    """Milliseconds from the interrupt to the error; None: the statement was done before."""
    said, took = interrupt_after(db, sql, after)
    return took if is_interrupt(said) else None


def memory():
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Clean", "Private_Dirty")))


def check_interrupts(db):
    random.seed(7)
    for sql in WORK.values():  # everything is loaded and has its room
        db.execute(sql).fetchall()
    db.execute("UPDATE texts SET emb = NULL")
    db.execute("DELETE FROM nlp_jobs")
    db.execute("SELECT nlp_drop_model('fitted')").fetchall()
    sizes, times = [], []
    for i in range(N):
        sizes.append(memory())
        took = interrupt_at(db, list(WORK.values())[i % len(WORK)], random.uniform(0.001, 0.25))
        times += [took] if took is not None else []
    # what calls needed most stays for a while, so the least counts: a leak raises that too
    growth = min(sizes[-N // 3:]) - min(sizes[N // 3:-N // 3])
    times.sort()
    check(f"{N} interrupts at random moments: {len(times)} met a running statement", len(times) > N * 0.7, f"median {times[len(times) // 2]:.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms, longest {times[-1]:.1f} ms")
    check("... the connection is usable", db.execute("SELECT nlp_sentiment('I love it')").fetchone() == ("positive",))
    check("... and memory is flat", growth <= 4096, f"{growth} KiB more in the last third than in the second")
    check("... a column job says what it did", db.execute("SELECT rows_done FROM nlp_progress").fetchone() == db.execute("SELECT count(emb) FROM texts").fetchone())


def check_soak(db):
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT count(nlp_embed('text ' || i)) FROM n"
    db.execute(count % 2000).fetchall()
    before = memory()
    db.execute(count % (N * 40)).fetchall()
    for _ in range(N * 40):
        try:
            db.execute("SELECT nlp_embed('x', 'nosuch')").fetchall()
        except sqlite3.Error:
            pass
    growth = memory() - before
    check(f"{N * 40} embeds and {N * 40} errors", growth <= 1024, f"{growth} KiB more")


os.environ["NLP_MODEL_PATH"] = FOLDER + ":" + os.environ["NLP_MODEL_PATH"]
task_packs(NLP, FOLDER)
DB = connect()
DB.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, body TEXT, emb BLOB)")
DB.execute("CREATE TABLE long AS SELECT ? AS x", ("some words of a text, " * 45000,))
DB.executemany("INSERT INTO texts VALUES (?, ?, NULL)", [(i, f"{i} " + "words of a longer text to be computed " * (i % 9 + 1)) for i in range(1, 1001)])
check_interrupts(DB)
check_soak(DB)
finish()
