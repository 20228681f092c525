"""Cancels at random moments: the session stays usable, memory stays flat; how long a cancel takes is printed. Many embeds and errors in
one backend: it keeps its size. NLP_CANCELS=500 and NLP_EMBEDS=1000000 for all of them. Run by tests/pg/run."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import MODELS, NLP, Session, psql, value  # noqa: E402
from harness import DATA, ROOT, check, finish, import_pack, task_packs  # noqa: E402

N = int(os.environ.get("NLP_CANCELS", "60"))
N_EMBEDS = int(os.environ.get("NLP_EMBEDS", "50000"))
WORK = {
    "embed": "SELECT count(nlp_embed(body)) FROM texts",
    "a batch of labels": "SELECT nlp_sentiment(body), count(*) FROM texts GROUP BY 1",
    "generate": "SELECT count(nlp_generate(body, 'writer', max_tokens => 2000)) FROM texts",
    "tokenize 1 MB": "SELECT count(nlp_token_count(repeat('some words of a text, ', 45000) || i)) FROM generate_series(1, 50) i",
    "map": "SELECT count(*) FROM nlp_map('SELECT id, body FROM texts', 'embed')",
    "column job": "CALL nlp_embed_column('texts', 'body', 'emb', batch_size => 64, commit_every => 64)",
    "fit": "SELECT * FROM nlp_fit('fitted', 'SELECT body, (id % 2)::text FROM texts', 'minilm')",
}


def open_session():
    session = Session()
    session.run("SET jit = off")  # LLVM keeps what it has compiled
    return session


def cancel_at(session, sql, after):
    """Milliseconds from the cancel to the prompt, on the clock and of computing, which other processes do not make longer; None: the
    statement was done before."""
    session.begin(sql)
    time.sleep(after)
    start, cpu = time.perf_counter(), session.cpu()
    session.cancel()
    lines = session.end()
    return ((time.perf_counter() - start) * 1000, session.cpu() - cpu) if any("57014" in line for line in lines) else None


def spread(times):
    times = sorted(times)
    return f"median {times[len(times) // 2]:.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms, longest {times[-1]:.1f} ms"


def check_cancels():
    session = open_session()
    random.seed(7)
    for sql in WORK.values():  # everything is loaded and has its room
        session.run(sql)
    session.run("UPDATE texts SET emb = NULL; SELECT nlp_drop_model('fitted')")
    sizes, times = [], []
    for i in range(N):
        sizes.append(session.memory())
        took = cancel_at(session, list(WORK.values())[i % len(WORK)], random.uniform(0.001, 0.25))
        times += [took] if took is not None else []
    # what calls needed most stays for a while, so the least counts: a leak raises that too
    growth = min(sizes[-N // 3:]) - min(sizes[N // 3:-N // 3])
    check(f"{N} cancels at random moments: {len(times)} met a running statement", len(times) > N * 0.7, f"{spread([t for t, _ in times])}; computing: {spread([c for _, c in times])}")
    check("... the session is usable", session.run("SELECT nlp_sentiment('I love it')") == ["positive"])
    check("... and its memory is flat", growth <= 1024, f"{growth} KiB more in the last third than in the second")


def check_opening():
    """A new session is cancelled while it loads the library and opens a model."""
    n_usable = 0
    for i in range(max(N // 10, 5)):
        session = Session()
        cancel_at(session, "SELECT nlp_embed('x') IS NULL", i * 0.002)
        n_usable += session.run("SELECT nlp_sentiment('I love it')") == ["positive"]
        session.process.stdin.close()
        session.process.wait()
    check("cancels while a model is opened", n_usable == max(N // 10, 5), f"{n_usable} sessions usable")


def check_soak():
    """One backend that embeds and fails for long keeps its size."""
    session = open_session()
    embed = "SELECT count(nlp_embed('text ' || i, 'small')) FROM (SELECT generate_series(1, %d) i) s"
    fail = "DO $$ BEGIN FOR i IN 1..%d LOOP BEGIN PERFORM nlp_embed('x', 'nosuch'); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$"
    n_errors = max(N_EMBEDS // 100, 1000)
    for name, n, sql in (("embeds in batches", N_EMBEDS, embed), ("embeds one by one", N_EMBEDS, "SET nlp.batch = off; " + embed), ("errors in subtransactions", n_errors, fail)):
        session.run(sql % 20000)  # the cache of words is full, buffers have their size
        before = session.memory()
        session.run(sql % n)
        growth = session.memory() - before
        check(f"{n} {name} in one backend: no more memory", growth <= 1024, f"{growth} KiB more")


psql("CREATE DATABASE test", "postgres")
task_packs(NLP, MODELS)
import_pack(NLP, os.path.join(DATA, "models", "sharp-bert"), os.path.join(MODELS, "small.nlp"))
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
