"""PostgreSQL as an engine of bench/search, and a million vectors in its tables: one psql session, its CPU time from /proc."""
import subprocess

import numpy as np

PART = 10000


def literal(text):
    return "'" + text.replace("'", "''") + "'"


class Session:
    def __init__(self, psql, socket):
        self.process = subprocess.Popen([psql, "-X", "-q", "-A", "-t", "-h", socket, "-U", "postgres", "-d", "postgres"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8")
        self.pid = int(self.run("SELECT pg_backend_pid()")[0])

    def run(self, sql):
        self.process.stdin.write(sql + ";\n\\echo END OF ROWS\n")
        self.process.stdin.flush()
        rows = []
        while (line := self.process.stdout.readline().rstrip("\n")) != "END OF ROWS":
            rows.append(line)
        return rows

    def cpu_ms(self):
        with open(f"/proc/{self.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e6


class Postgres:
    name, modes = "postgres", ("text", "semantic", "hybrid")

    def __init__(self, psql, socket, model):
        self.session, self.model = Session(psql, socket), model

    def build(self, documents):
        self.session.run("SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS nlp; DROP TABLE IF EXISTS docs; "
                         "CREATE TABLE docs (number int PRIMARY KEY, id text, title text, body text)")
        self.session.run("INSERT INTO docs VALUES " + ", ".join(f"({n}, {literal(d)}, {literal(title)}, {literal(body)})" for n, (d, title, body) in enumerate(documents, 1)))
        self.session.run(f"SELECT nlp_index_create('docs', ARRAY['title', 'body']::name[], {literal(self.model)})")

    def search(self, query, mode, k):
        return self.session.run(f"SELECT d.id FROM nlp_search('docs', {literal(query)}, {k}, '{mode}') s JOIN docs d ON d.number = s.id ORDER BY s.score DESC, s.id")


def fill(session, psql, socket, vectors):
    """The vectors into the tables of an index of empty texts, as embedding would leave them."""
    n = len(vectors)
    session.run("SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS nlp; DROP TABLE IF EXISTS big; CREATE TABLE big (id int PRIMARY KEY, body text); SELECT nlp_index_create('big', 'body'); "
                f"SET session_replication_role = replica; INSERT INTO big SELECT i, '' FROM generate_series(0, {n - 1}) i; RESET session_replication_role")
    for table in ("big_chunks (id, doc, k1, seq, start_pos, end_pos, row_hash, hash, tsv, q8)", "big_signatures"):
        command = [psql, "-X", "-q", "-h", socket, "-U", "postgres", "-d", "postgres", "-c", f"COPY nlp_index.{table} FROM stdin"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as copy:
            for at in range(0, n, PART):
                copy.stdin.write("".join(rows_of(table, at, vectors[at:at + PART])))
            copy.stdin.close()
    for table in ("big_chunks", "big_signatures"):
        session.run(f"VACUUM ANALYZE nlp_index.{table}")


def rows_of(table, first, part):
    if table == "big_signatures":
        signatures = np.packbits(part > 0, axis=1, bitorder="little")
        return [f"{first + i}\t\\\\x{row.tobytes().hex()}\n" for i, row in enumerate(signatures)]
    most = np.abs(part).max(axis=1, keepdims=True)
    q8, scale = np.rint(part * (np.float32(127) / most)).astype(np.int8), (most / np.float32(127)).astype("<f4")
    return [f"{first + i}\t{first + i}\t{first + i}\t0\t0\t0\t0\t{first + i}\t\t\\\\x{scale[i].tobytes().hex()}{row.tobytes().hex()}\n" for i, row in enumerate(q8)]


def timed(session, sql, queries):
    """Answers, and the CPU milliseconds of each."""
    answers, times = [], []
    for query in queries:
        start = session.cpu_ms()
        answers.append([int(row) for row in session.run(sql.format(literal(query))) if row.isdigit()])
        times.append(session.cpu_ms() - start)
    return answers, times
