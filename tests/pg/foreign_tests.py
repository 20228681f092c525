"""Tables of another server, by postgres_fdw in a loop to this one: calls over them, over partitions of them, on the far side in a view.
Run by tests/pg/run."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import SOCKET, psql, value  # noqa: E402
from harness import check, finish  # noqa: E402

FAR = """
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS nlp CASCADE;
CREATE EXTENSION nlp;
CREATE TABLE notes (id int, body text, n int);
INSERT INTO notes SELECT i, CASE WHEN i % 9 > 0 THEN repeat('word ', i % 5) || i END, 0 FROM generate_series(101, 200) i;
CREATE VIEW felt AS SELECT id, body, nlp_sentiment(body) AS mood FROM notes;
"""
NEAR = f"""
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS nlp CASCADE;
DROP EXTENSION IF EXISTS postgres_fdw CASCADE;
DROP TABLE IF EXISTS notes CASCADE;
CREATE EXTENSION nlp;
CREATE EXTENSION postgres_fdw;
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{SOCKET}', dbname 'far', async_capable 'true', extensions 'nlp');
CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user 'postgres');
CREATE TABLE notes (id int, body text, n int) PARTITION BY RANGE (id);
CREATE TABLE notes_near PARTITION OF notes FOR VALUES FROM (1) TO (101);
CREATE FOREIGN TABLE notes_far PARTITION OF notes FOR VALUES FROM (101) TO (300) SERVER far OPTIONS (table_name 'notes');
CREATE FOREIGN TABLE felt (id int, body text, mood text) SERVER far;
INSERT INTO notes SELECT i, 'near ' || repeat('text ', i % 4), 0 FROM generate_series(1, 100) i;
"""
N, NAMED = "nlp_token_count(body)", "nlp_token_count(body, 'minilm')"

# name, statement, whether the rows are ours to compute: without a model's name a call is not sent to the far side
READS = [
    ("a select list", f"SELECT id, {N} FROM notes", True),
    ("a select list of the far table", f"SELECT id, {N} FROM notes_far", True),
    ("WHERE", f"SELECT id FROM notes WHERE {N} > 5", True),
    ("WHERE with a model's name", f"SELECT id FROM notes_far WHERE {NAMED} > 5", False),
    ("GROUP BY", f"SELECT {N}, count(*) FROM notes GROUP BY 1", True),
    ("an aggregate's argument", f"SELECT sum({N}), sum({NAMED}) FROM notes", True),
    ("ORDER BY, LIMIT", f"SELECT id, {N} FROM notes ORDER BY id DESC LIMIT 20", True),
    ("a join of far tables", "SELECT a.id, nlp_token_count(a.body || b.mood) FROM notes_far a JOIN felt b USING (id)", True),
    ("a column that the far side computes", "SELECT id, mood FROM felt", False),
    ("one beside ours", f"SELECT id, mood, nlp_token_count(mood || body) FROM felt WHERE {N} > 4", True),
    ("FOR UPDATE", f"SELECT id, {N} FROM notes WHERE {N} > 5 FOR UPDATE", True),
]
WRITES = [
    ("UPDATE of all partitions", f"UPDATE notes SET n = {N} WHERE {N} > 5"),
    ("UPDATE of the far one", f"UPDATE notes_far SET n = {N}"),
    ("UPDATE on the far side", f"UPDATE notes_far SET n = {NAMED} WHERE {NAMED} > 5"),
    ("UPDATE ... RETURNING", f"UPDATE notes_far SET n = {NAMED} RETURNING id, n, {N}"),
    ("DELETE", f"DELETE FROM notes WHERE {N} > 5"),
    ("DELETE on the far side", f"DELETE FROM notes_far WHERE {NAMED} > 5"),
    ("INSERT ... SELECT", f"INSERT INTO notes SELECT id % 100 + 101, body, {N} FROM notes ORDER BY id"),
]


def rows(batch, statement):
    out, err = psql(f"SET nlp.batch = {batch}; {statement}")
    return sorted(out.split("\n")) if not err else [err]


def check_reads():
    for name, statement, batched in READS:
        plan = value(f"EXPLAIN (VERBOSE) {statement}")
        check(f"{name}: {'a' if batched else 'no'} batch node", ("(nlp batch)" in plan) == batched, plan)
        on, off = rows("on", statement), rows("off", statement)
        check(f"{name}: equal rows", on == off and "ERROR" not in on[0] and on[0] != "", f"{on[:3]} for {off[:3]}")
    check("the far side's column is the function's", value("SELECT count(*), bool_and(mood IS NOT DISTINCT FROM nlp_sentiment(body)) FROM felt") == "100|t")


def check_writes():
    read = "; SELECT 'row', * FROM notes ORDER BY 2, 3, 4; ROLLBACK"
    for name, statement in WRITES:
        on, off = rows("on", "BEGIN; " + statement + read), rows("off", "BEGIN; " + statement + read)
        check(f"{name}: the same table", on == off and len(on) > 50 and on != rows("on", "BEGIN" + read), f"{on[:3]} for {off[:3]}")


for database, tables in (("far", FAR), ("test", NEAR)):
    psql(f"DROP DATABASE IF EXISTS far; CREATE DATABASE {database}" if database == "far" else "CREATE DATABASE test", "postgres")
    _, errors = psql(tables, database)
    check(f"tables of {database}", not errors, errors)
check_reads()
check_writes()
finish()
