"""Two sessions at once: a row that another one changes meanwhile is looked at again, in its new form, as with nlp.batch off. Run by
tests/pg/run."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import Session, psql, value  # noqa: E402
from harness import check, finish  # noqa: E402

TABLES = """
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS nlp CASCADE;
CREATE EXTENSION nlp;
DROP TABLE IF EXISTS notes, tags CASCADE;
CREATE TABLE notes (id int PRIMARY KEY, body text, n int) PARTITION BY RANGE (id);
CREATE TABLE notes_1 PARTITION OF notes FOR VALUES FROM (1) TO (6);
CREATE TABLE notes_2 PARTITION OF notes FOR VALUES FROM (6) TO (100);
CREATE TABLE tags (note int, tag text);
INSERT INTO tags SELECT i % 6 + 1, repeat('tag ', i / 6) || i FROM generate_series(1, 18) i;
"""
ROWS = """
DELETE FROM notes;
INSERT INTO notes SELECT i, repeat('word ', i % 4 + 1) || i, 0 FROM generate_series(1, 12) i;
"""
BEFORE = "SELECT count(*) FROM tags"  # the statement that takes a snapshot where one stays
N = "nlp_token_count(body)"
READ = "SELECT id, n, body FROM notes ORDER BY id"

MOVES = "a row that moves to another partition"  # an error without us, too
# what the first session changes before it commits
CHANGES = {
    "a longer text": "UPDATE notes SET body = body || ' and more words' WHERE id IN (2, 7)",
    "a text that no longer passes": "UPDATE notes SET body = 'x' WHERE id IN (3, 7)",
    "a text that is NULL": "UPDATE notes SET body = NULL WHERE id = 3",
    "a row that is gone": "DELETE FROM notes WHERE id IN (3, 7)",
    MOVES: "UPDATE notes SET id = 50 WHERE id = 3",
}

# what the second session waits with
STATEMENTS = {
    "SELECT ... FOR UPDATE": f"SELECT id, {N}, body FROM notes FOR UPDATE",
    "... with a condition": f"SELECT id, {N} FROM notes WHERE {N} > 4 FOR UPDATE",
    "... with two conditions": f"SELECT id, nlp_token_count(body || '!') FROM notes WHERE {N} > 4 AND nlp_token_count(left(body, 9)) > 3 FOR UPDATE",
    "... of a join": f"SELECT id, tag, nlp_token_count(body || tag) FROM notes JOIN tags ON note = id WHERE nlp_token_count(body || ' ' || tag) > 6 FOR UPDATE OF notes",
    "... of a call in a call": "SELECT id, nlp_token_count(nlp_sentiment(body)) FROM notes FOR UPDATE",
    "... in order, limited": f"SELECT id, {N} FROM notes ORDER BY id LIMIT 8 FOR UPDATE",
    "... FOR SHARE": f"SELECT id, {N} FROM notes WHERE {N} > 4 FOR SHARE",
    "UPDATE of a call": f"UPDATE notes SET n = {N}",
    "... with a condition on it": f"UPDATE notes SET n = {N} WHERE {N} > 4",
    "... RETURNING it": f"UPDATE notes SET n = n + 1 WHERE {N} > 4 RETURNING id, {N}",
    "UPDATE ... FROM": f"UPDATE notes SET n = nlp_token_count(body || ' ' || tag) FROM (SELECT note, max(tag) AS tag FROM tags GROUP BY 1) t WHERE note = id AND {N} > 3",
    "UPDATE ... WHERE EXISTS": f"UPDATE notes SET n = {N} WHERE EXISTS (SELECT FROM tags WHERE note = id AND nlp_token_count(tag) > 4)",
    "UPDATE of a sub-select": "UPDATE notes SET n = (SELECT sum(nlp_token_count(tag || body)) FROM tags WHERE note = id)",
    "... with a condition on many rows": "UPDATE notes SET n = (SELECT count(*) FROM tags WHERE note = id AND nlp_token_count(tag) > 4)",
    "DELETE with a condition": f"DELETE FROM notes WHERE {N} > 4",
    "DELETE ... USING": "DELETE FROM notes USING tags WHERE note = id AND nlp_token_count(body || ' ' || tag) > 7",
    "MERGE": f"MERGE INTO notes USING (SELECT note, max(nlp_token_count(tag)) AS m FROM tags GROUP BY 1) t ON note = id WHEN MATCHED AND {N} > 4 THEN UPDATE SET n = m WHEN MATCHED THEN DELETE",
}


def waits(watcher, session):
    """Until a session waits for a lock; False where its statement ended without."""
    ask = f"SELECT cardinality(pg_blocking_pids(pid)) > 0, state <> 'active' AND query NOT LIKE '{BEFORE}%' FROM pg_stat_activity WHERE pid = {session.pid}"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        is_blocked, has_ended = watcher.run(ask)[0].split("|")
        if is_blocked == "t" or has_ended == "t":
            return is_blocked == "t"
        time.sleep(0.005)
    raise RuntimeError("the session neither waits nor ends")


def meet(sessions, batch, level, change, statement):
    """What the second session says, whether it had to wait, and the table afterwards."""
    first, second, watcher = sessions
    watcher.run(ROWS)
    first.run(f"BEGIN; {change}")
    second.run(f"SET nlp.batch = {batch}; BEGIN ISOLATION LEVEL {level}; {BEFORE}")
    second.begin(statement)
    waited = waits(watcher, second)
    first.run("COMMIT")
    said = [line for line in second.end() if not line.startswith("LOCATION")]
    second.run("COMMIT")
    return said if "ORDER BY" in statement else sorted(said), waited, watcher.run(READ)


def check_meetings():
    sessions = [Session() for _ in range(3)]
    for session in sessions:
        session.run("SET client_min_messages = error; SET synchronous_commit = off; SELECT nlp_token_count('warm')")
    n_waited = 0
    for name, statement in STATEMENTS.items():
        plan = value(f"EXPLAIN {statement}")
        check(f"{name}: a batch node", "(nlp batch)" in plan, plan)
        for what, change in CHANGES.items():
            on, off = (meet(sessions, batch, "READ COMMITTED", change, statement) for batch in ("on", "off"))
            n_waited += on[1]
            check(f"{name}, {what}: as with nlp.batch off", on == off and ("ERROR" in str(on[0])) <= (what == MOVES), f"{on} for {off}")
        on, off = (meet(sessions, batch, "REPEATABLE READ", CHANGES["a longer text"], statement) for batch in ("on", "off"))
        # MERGE of PostgreSQL 16.2 overlooks the other's commit, batched or not
        check(f"{name}, in REPEATABLE READ: as with nlp.batch off", on == off and ("MERGE" in statement or on[1] == ("40001" in str(on[0]))), f"{on} for {off}")
    check("nearly all of them had to wait", n_waited > 0.9 * len(STATEMENTS) * len(CHANGES), f"{n_waited} of {len(STATEMENTS) * len(CHANGES)}")


psql("CREATE DATABASE test", "postgres")
_, errors = psql(TABLES)
check("tables", not errors, errors)
check_meetings()
finish()
