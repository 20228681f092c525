"""Cancels at random moments: the session stays usable, memory stays flat; how long a cancel takes is printed. NLP_CANCELS=500 for
all of them. Run by tests/pg/run."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import MODELS, NLP, Session, psql, value  # noqa: E402
from harness import ROOT, check, finish, task_packs  # noqa: E402

N = int(os.environ.get("NLP_CANCELS", "60"))
WORK = {
    "embed": "SELECT count(nlp_embed(body)) FROM texts",
    "a batch of labels": "SELECT nlp_sentiment(body), count(*) FROM texts GROUP BY 1",
    "generate": "SELECT nlp_generate(repeat('word ', 40), 'writer', max_tokens => 2000)",
    "tokenize 1 MB": "SELECT count(nlp_token_count(repeat('some words of a text, ', 45000) || i)) FROM generate_series(1, 50) i",
    "map": "SELECT count(*) FROM nlp_map('SELECT id, body FROM texts', 'embed')",
    "column job": "CALL nlp_embed_column('texts', 'body', 'emb', batch_size => 64, commit_every => 64)",
    "fit": "SELECT * FROM nlp_fit('fitted', 'SELECT body, (id % 2)::text FROM texts', 'minilm')",
}


def cancel_at(session, other, sql, after):
    """Milliseconds from the cancel to the prompt; None: the statement was done before."""
    session.begin(sql)
    time.sleep(after)
    start = time.perf_counter()
    other.run(f"SELECT pg_cancel_backend({session.pid})")
    lines = session.end()
    return (time.perf_counter() - start) * 1000 if any("57014" in line for line in lines) else None


def check_cancels():
    session, other = Session(), Session()
    random.seed(7)
    for sql in WORK.values():  # everything is loaded and has its room
        session.run(sql)
    session.run("UPDATE texts SET emb = NULL; SELECT nlp_drop_model('fitted')")
    sizes, times = [], []
    for i in range(N):
        sizes.append(session.memory())
        took = cancel_at(session, other, list(WORK.values())[i % len(WORK)], random.uniform(0.001, 0.25))
        times += [took] if took is not None else []
    # what calls needed most stays for a while, so the least counts: a leak raises that too
    growth = min(sizes[-N // 3:]) - min(sizes[N // 3:-N // 3])
    times.sort()
    check(f"{N} cancels at random moments: {len(times)} met a running statement", len(times) > N * 0.7, f"median {times[len(times) // 2]:.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms, longest {times[-1]:.1f} ms")
    check("... the session is usable", session.run("SELECT nlp_sentiment('I love it')") == ["positive"])
    check("... and its memory is flat", growth <= 4096, f"{growth} KiB more in the last third than in the second")


def check_opening():
    """A new session is cancelled while it loads the library and opens a model."""
    other = Session()
    n_usable = 0
    for i in range(max(N // 10, 5)):
        session = Session()
        cancel_at(session, other, "SELECT nlp_embed('x') IS NULL", i * 0.002)
        n_usable += session.run("SELECT nlp_sentiment('I love it')") == ["positive"]
        session.process.stdin.close()
        session.process.wait()
    check("cancels while a model is opened", n_usable == max(N // 10, 5), f"{n_usable} sessions usable")


def check_soak():
    """One backend that embeds and fails for long keeps its size."""
    session = Session()
    session.run("SELECT nlp_embed('x') IS NULL; SELECT count(nlp_embed('text ' || i)) FROM generate_series(1, 2000) i")
    fail = "DO $$ BEGIN FOR i IN 1..%d LOOP BEGIN PERFORM nlp_embed('x', 'nosuch'); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$"
    session.run(fail % 1000)
    before = session.memory()
    n = N * 40
    session.run(f"SELECT count(nlp_embed('text ' || i)) FROM generate_series(1, {n}) i")
    session.run(fail % n)
    growth = session.memory() - before
    check(f"{n} embeds and {n} errors in subtransactions in one backend", growth <= 1024, f"{growth} KiB more")


psql("CREATE DATABASE test", "postgres")
task_packs(NLP, MODELS)
_, err = psql("""SET client_min_messages = warning; DROP EXTENSION IF EXISTS nlp CASCADE; CREATE EXTENSION nlp; DROP TABLE IF EXISTS reviews, texts CASCADE;
CREATE TABLE reviews (id int PRIMARY KEY, body text);
\\copy reviews FROM '%s'
CREATE TABLE texts (id int PRIMARY KEY, body text, emb real[]);
INSERT INTO texts SELECT i, i || ' ' || r.body FROM generate_series(1, 1000) i JOIN reviews r ON r.id = i %% 400 + 1""" % os.path.join(ROOT, "examples/reviews/reviews.tsv"))
check("tables", not err, err)
for group in (check_cancels, check_opening, check_soak):
    group()
value("DROP TABLE texts")
finish()
