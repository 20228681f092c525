"""The measuring part of bench/sql."""
import json
import sqlite3
import statistics
import subprocess
import sys
import time

TEXTS, ROUNDS, BUILD, PSQL, SOCKET, FILE = sys.argv[1:7]
LINES = [line for line in open(TEXTS, encoding="utf-8").read().split("\n") if line]


class Server:
    """One session, so that the model is opened once."""

    def __init__(self):
        self.psql = subprocess.Popen([PSQL, "-X", "-q", "-A", "-t", "-h", SOCKET, "-U", "postgres"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, sql):
        self.psql.stdin.write(f"{sql};\n\\echo ==done==\n")
        self.psql.stdin.flush()
        out = []
        while (line := self.psql.stdout.readline().strip()) != "==done==":
            out.append(line)
        return out


def timed(call):
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6 / len(LINES)


def core():
    """Microseconds a text, tokenizer included."""
    out = subprocess.run([f"{BUILD}/nlp", "bench", "encode", "-m", "minilm", "--texts", TEXTS, "--threads", "1", "--rounds", "1", "--seconds", "0.1", "--json"],
                         capture_output=True, text=True, check=True).stdout
    return 1e6 / json.loads(out.splitlines()[-1])["sent_s"]


def main():
    server = Server()
    server.run("SET client_min_messages = error; CREATE EXTENSION nlp; CREATE TABLE texts (body text)")
    rows = "".join(line.replace("\\", "\\\\").replace("\t", " ") + "\n" for line in LINES)
    server.psql.stdin.write(f"COPY texts FROM STDIN;\n{rows}\\.\n")
    server.run("ANALYZE texts; SELECT nlp_sentiment('warm')")
    db = sqlite3.connect(FILE)
    db.enable_load_extension(True)
    db.load_extension(f"{BUILD}/sqlite/nlp")
    db.execute("CREATE TABLE texts (body TEXT)")
    db.executemany("INSERT INTO texts VALUES (?)", [(line,) for line in LINES])
    db.execute("SELECT nlp_sentiment('warm')").fetchall()
    embed, mood = "SELECT count(nlp_embed(body)) FROM texts", "SELECT count(*) FROM (SELECT nlp_sentiment(body), count(*) FROM texts GROUP BY 1) s"
    ways = {"core": core}
    for name, sql in (("embed", embed), ("sentiment", mood)):
        for mode, settings in (("batch off", "SET nlp.batch = off; SET max_parallel_workers_per_gather = 0"), ("batch on", "SET nlp.batch = on; SET max_parallel_workers_per_gather = 0"),
                               ("2 workers", "SET nlp.batch = on; SET max_parallel_workers_per_gather = 2")):
            ways[f"PostgreSQL {name}, {mode}"] = lambda sql=sql, settings=settings: (server.run(settings), timed(lambda: server.run(sql)))[1]
        ways[f"SQLite {name}"] = lambda sql=sql: timed(lambda: db.execute(sql).fetchall())
    ways["SQLite nlp_map, embed"] = lambda: timed(lambda: db.execute("SELECT count(result) FROM nlp_map('SELECT body FROM texts', 'embed')").fetchall())
    found = {name: [] for name in ways}
    for _ in range(int(ROUNDS)):
        for name, way in ways.items():
            found[name].append(way())
    print(f"{len(LINES)} texts, {ROUNDS} rounds\n{'':36} us a row   to the core (range of the rounds)")
    for name, times in found.items():
        ratios = [t / c for t, c in zip(times, found["core"])]
        print(f"{name:36} {statistics.median(times):8.1f}   {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f}), {statistics.median(times) - statistics.median(found['core']):+.1f} us")


main()
