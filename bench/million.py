"""A query over a million vectors: nlp_index beside sqlite-vec, in one file each, one thread. Vectors are those of real texts with
noise; they are put into the tables of the index as embedding would leave them."""
import os
import shutil
import sqlite3
import statistics
import struct
import tempfile
import time

import numpy as np
import sqlite_vec

from search_engines import connect

NOISE, QUERIES, PART = 0.5, 50, 10000


def embed(db, texts, function):
    return np.stack([np.frombuffer(db.execute(f"SELECT {function}(?)", (text,)).fetchone()[0], dtype="<f4") for text in texts])


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def make_vectors(base, n, random):
    """n vectors: copies of the real ones, each with noise of half their length."""
    out = np.empty((n, base.shape[1]), dtype=np.float32)
    for at in range(0, n, PART):
        rows = base[np.arange(at, min(at + PART, n)) % len(base)]
        out[at:at + PART] = unit(rows + random.normal(0, NOISE / np.sqrt(base.shape[1]), rows.shape).astype(np.float32))
    return out


def fill_index(path, build, vectors):
    db = connect(build, path)
    db.execute("CREATE VIRTUAL TABLE x USING nlp_index(body)")
    db.execute("BEGIN")
    for at in range(0, len(vectors), 1000):
        part = vectors[at:at + 1000]
        scale = np.abs(part).max(axis=1, keepdims=True) / np.float32(127)
        q8 = np.rint(part * (np.float32(127) / (scale * np.float32(127)))).astype(np.int8)
        db.executemany("INSERT INTO x_vec VALUES (?, ?, 0, 0, ?)", [(at + i, at + i, struct.pack("<f", scale[i, 0]) + q8[i].tobytes()) for i in range(len(part))])
        signatures = np.packbits(part > 0, axis=1, bitorder="little").tobytes()
        valid = np.packbits(np.arange(1000) < len(part), bitorder="little").tobytes()
        db.execute("INSERT INTO x_sig VALUES (?, ?, ?, ?)", (at // 1000, valid, np.arange(at, at + 1000, dtype="<i8").tobytes(), signatures.ljust(1000 * len(signatures) // len(part), b"\0")))
    db.execute("INSERT INTO x_content SELECT row FROM x_vec")
    db.execute("COMMIT")
    db.close()
    return connect(build, path)


def fill_rival(path, vectors):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    db.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{vectors.shape[1]}] distance_metric=cosine)")
    db.execute("BEGIN")
    for at in range(0, len(vectors), PART):
        db.executemany("INSERT INTO v(rowid, e) VALUES (?, ?)", [(at + i, x.tobytes()) for i, x in enumerate(vectors[at:at + PART])])
    db.execute("COMMIT")
    return db


def timed(call, queries):
    """Answers, and the median milliseconds of CPU: other programs may run."""
    answers, times = [], []
    for query in queries:
        start = time.process_time()
        answers.append(call(query))
        times.append(1000 * (time.process_time() - start))
    return answers, statistics.median(times)


def recall(found, exact):
    return float(np.mean([len(set(f) & set(e)) / len(e) for f, e in zip(found, exact)]))


def postgres(arguments, vectors, queries, exact):
    from search_postgres import Session, fill, timed as timed_there
    session = Session(*arguments.postgres)
    fill(session, *arguments.postgres, vectors)
    embedding = statistics.median(timed_there(session, "SELECT nlp_embed_query({0}) IS NULL", queries)[1])
    found, times = timed_there(session, "SELECT id FROM nlp_search('big', {0}, 10, 'semantic')", queries)
    print(f"PostgreSQL                  {statistics.median(times) - embedding:8.1f} ms without it   recall@10 {recall(found, exact):.3f}", flush=True)
    version = session.run("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
    if not version:
        return
    session.run("CREATE EXTENSION IF NOT EXISTS vector; SET max_parallel_maintenance_workers = 0; SET maintenance_work_mem = '1GB'")
    start = session.cpu_ms()
    session.run("SELECT _nlp.index_set_storage('big', 'pgvector')")
    build = (session.cpu_ms() - start) / 1000
    found, times = timed_there(session, "SELECT id FROM nlp_search('big', {0}, 10, 'semantic')", queries)
    print(f"... storage pgvector {version[0]:6} {statistics.median(times) - embedding:8.1f} ms without it   recall@10 {recall(found, exact):.3f}   its graph: {build:.0f} s of CPU", flush=True)


def million(arguments):
    with open(arguments.million, encoding="utf-8") as file:
        texts = list(dict.fromkeys(line.strip() for line in file if line.strip()))
    random, work = np.random.default_rng(1), tempfile.mkdtemp(prefix="nlp-million-")
    queries, texts = texts[:QUERIES], texts[QUERIES:QUERIES + 20000]
    db = connect(arguments.build)
    vectors = make_vectors(embed(db, texts, "nlp_embed"), arguments.vectors, random)
    wanted = embed(db, queries, "nlp_embed_query")
    print(f"{len(vectors)} vectors of {vectors.shape[1]} dims out of {len(texts)} texts, {len(queries)} queries, CPU milliseconds, median", flush=True)
    exact = [np.argsort(-(vectors @ q), kind="stable")[:10].tolist() for q in wanted]
    try:
        index = fill_index(os.path.join(work, "index.db"), arguments.build, vectors)
        embedding = timed(lambda q: index.execute("SELECT nlp_embed_query(?)", (q,)).fetchone(), queries)[1]
        print(f"embedding of the query      {embedding:8.1f} ms", flush=True)
        index.execute("INSERT INTO x(x) VALUES ('optimize')")  # it measures itself
        print("its own choice: " + ", ".join(f"{k} {v}" for k, v in index.execute("SELECT key, value FROM x_config WHERE key IN ('recall', 'oversample', 'encoding')")), flush=True)
        for oversample in (None, 32, 128, 256, 512):
            sql = "SELECT rowid FROM x WHERE x MATCH ? AND k = 10 AND mode = 'semantic' AND oversample = ?"
            found, ms = timed(lambda q: [r for r, in index.execute(sql, (q, oversample))], queries)
            print(f"nlp_index, oversample {oversample or '':4}  {ms - embedding:8.1f} ms without it   recall@10 {recall(found, exact):.3f}", flush=True)
        index.close()
        rival = fill_rival(os.path.join(work, "rival.db"), vectors)
        found, ms = timed(lambda q: [r for r, in rival.execute("SELECT rowid FROM v WHERE e MATCH ? AND k = 10", (q.tobytes(),))], wanted[:10])
        print(f"sqlite-vec {sqlite_vec.__version__}, float      {ms:8.1f} ms              recall@10 {recall(found, exact):.3f}", flush=True)
        if arguments.postgres:
            postgres(arguments, vectors, queries, exact)
    finally:
        shutil.rmtree(work)
