"""All ways to run a task over the rows of a table give equal rows: a plain call in batches, one by one, by workers, the window form,
nlp_map, the form for arrays, nlp_run. Run by tests/pg/run."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import MODELS, NLP, psql, value  # noqa: E402
from harness import check, finish, task_packs  # noqa: E402

SETUP = """
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS nlp CASCADE;
CREATE EXTENSION nlp;
DROP TABLE IF EXISTS notes CASCADE;
CREATE TABLE notes (id int PRIMARY KEY, body text);
INSERT INTO notes SELECT i, CASE WHEN i % 13 = 0 THEN NULL WHEN i % 11 = 0 THEN '' ELSE repeat('a good word, ', i % 7) || 'number ' || i % 30 END
  FROM generate_series(1, 150) i;
"""
WORKERS = "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; "
TEXT = "result #>> '{}'"
VECTOR = "(SELECT array_agg(x::real ORDER BY at) FROM jsonb_array_elements_text(result) WITH ORDINALITY e (x, at))"

# task, what follows the text in a call, the same for nlp_map: further columns, and what follows the task; how its result is read
TASKS = [
    ("embed", "", "", "", VECTOR),
    ("embed", ", 'minilm', '{\"dimensions\": 16}'", "", ", 'minilm', '{\"dimensions\": 16}'", VECTOR),
    ("embed_query", "", "", "", VECTOR),
    ("sentiment", "", "", "", TEXT),
    ("sentiment_score", ", 'sentiment'", "", ", 'sentiment'", f"({TEXT})::real"),
    ("classify", "", "", "", TEXT),
    ("confidence", "", "", "", f"({TEXT})::real"),
    ("zero_shot", ", ARRAY['sport', 'numbers']", ", ARRAY[''sport'', ''numbers'']", "", TEXT),
    ("filter", ", 'a number'", ", ''a number''", "", f"({TEXT})::boolean"),
    ("similarity", ", 'a number'", ", ''a number''", "", f"({TEXT})::real"),
    ("rerank_score", ", 'a number'", ", ''a number''", "", f"({TEXT})::real"),
    ("token_count", "", "", "", f"({TEXT})::int"),
    ("generate", ", 'writer', '{\"max_tokens\": 4}'", "", ", 'writer', '{\"max_tokens\": 4}'", TEXT),
    ("summarize", ", 'minilm', '{\"max_tokens\": 8}'", "", ", 'minilm', '{\"max_tokens\": 8}'", TEXT),
]
WINDOWS = ("embed", "embed_query", "sentiment", "sentiment_score", "classify", "confidence", "zero_shot", "filter", "generate", "summarize")
ARRAYS = {"embed": "embedding", "generate": "text"}


def ways(task, rest, columns, map_rest, read):
    """Statements that give (id, value), by their names."""
    plain = f"SELECT id, nlp_{task}(body{rest}) FROM notes"
    by_map = f"SELECT key::int, {read} FROM nlp_map('SELECT id, body{columns} FROM notes', '{task}'{map_rest})"
    found = {"one by one": "SET nlp.batch = off; " + plain, "in batches": plain, "by workers": WORKERS + plain, "nlp_map": by_map}
    if task in WINDOWS:
        found["the window form"] = f"SELECT id, nlp_{task}_w(body{rest}) OVER () FROM notes"
    if task in ARRAYS:
        found["the form for arrays"] = f"SELECT ord, {ARRAYS[task]} FROM nlp_{task}((SELECT array_agg(body ORDER BY id) FROM notes){rest})"
    if not columns:
        found["nlp_run"] = f"SELECT id, {read} FROM (SELECT id, nlp_run('{task}', body{map_rest}) AS result FROM notes) s"
    return found


def rows(statement):
    out, err = psql("SET client_min_messages = error; " + statement)
    return sorted(out.split("\n")) if not err else [err]


def check_ways():
    for task, rest, *more in TASKS:
        statements = ways(task, rest, *more)
        expected = rows(statements.pop("one by one"))
        check(f"nlp_{task}(body{rest}): rows", len(expected) == 150 and sum(row.endswith("|") for row in expected) >= 11, str(expected[:3]))
        for way, statement in statements.items():
            found = rows(statement)
            check(f"nlp_{task}(body{rest}): equal rows, {way}", found == expected, f"{[r for r in found if r not in expected][:2]} for {[r for r in expected if r not in found][:2]}")


def check_rows_of_tasks():
    """A task that gives rows: joined to a table, by nlp_map, by nlp_run_rows."""
    expected = value("SELECT n.id, ord, token FROM notes n, nlp_tokens(body) ORDER BY 1, 2")
    check("nlp_tokens: rows", len(expected.split("\n")) > 500)
    by_map = "SELECT key::int, (result->>'ord')::int, result->>'token' FROM nlp_map('SELECT id, body FROM notes', 'tokens') WHERE result IS NOT NULL ORDER BY 1, 2"
    by_run = "SELECT id, (r->>'ord')::int, r->>'token' FROM notes, nlp_run_rows('tokens', body) r ORDER BY 1, 2"
    for way, statement in (("nlp_map", by_map), ("nlp_run_rows", by_run)):
        check(f"nlp_tokens: equal rows, {way}", value(statement) == expected, value(statement)[:200])


psql("CREATE DATABASE test", "postgres")
task_packs(NLP, MODELS)
_, errors = psql(SETUP)
check("tables", not errors, errors)
check_ways()
check_rows_of_tasks()
finish()
