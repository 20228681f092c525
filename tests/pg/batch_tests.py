"""Many rows a run: every shape of a statement gives the rows that it gives with nlp.batch off. Run by tests/pg/run."""
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import MODELS, psql, value  # noqa: E402
from harness import ROOT, check, finish  # noqa: E402

SETUP = """
DROP EXTENSION IF EXISTS nlp CASCADE;
CREATE EXTENSION nlp;
DROP TABLE IF EXISTS reviews, docs, parts, secrets CASCADE;
CREATE TABLE reviews (id int PRIMARY KEY, body text);
\\copy reviews FROM '%s'
CREATE TABLE docs (id int PRIMARY KEY, body text, title text, kind int, created timestamptz);
INSERT INTO docs SELECT i, CASE WHEN i %% 97 = 0 THEN NULL WHEN i %% 89 = 0 THEN '' WHEN i %% 83 = 0 THEN repeat('very long ', 300)
    ELSE left(r.body, 20 + i * 7 %% 90) END, 'Title ' || i %% 50, i %% 7, '2026-01-01'::timestamptz + i * interval '1 hour'
  FROM generate_series(1, 600) i JOIN reviews r ON r.id = i %% 400 + 1;
CREATE TABLE parts (LIKE docs) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (200);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (200) TO (1000);
INSERT INTO parts SELECT * FROM docs;
CREATE VIEW safe WITH (security_barrier) AS SELECT id, body, kind FROM docs WHERE nlp_token_count(body) > 10;
ANALYZE;
"""
F = "nlp_token_count(body)"  # as any scalar task, and quick

# name, statement, whether EXPLAIN shows a batch node
SHAPES = [
    ("a select list", f"SELECT id, {F} FROM docs", True),
    ("a model", "SELECT id, nlp_sentiment_score(body) FROM docs WHERE id < 100", True),
    ("an expression around a call", f"SELECT concat(upper({F}::text), 'x'), id + 1 FROM docs", True),
    ("the same call twice", f"SELECT {F}, {F} + 1 FROM docs", True),
    ("two texts", "SELECT id, nlp_similarity(body, title) FROM docs WHERE id < 60", True),
    ("a text that is computed", "SELECT id, nlp_token_count(title || ': ' || body) FROM docs", True),
    ("a call in a call", "SELECT id, nlp_token_count(nlp_sentiment(body)) FROM docs WHERE id < 60", True),
    ("WHERE", f"SELECT id FROM docs WHERE {F} = 12", True),
    ("a cheap condition first", f"SELECT id FROM docs WHERE kind = 3 AND {F} > 12", True),
    ("WHERE and SELECT", f"SELECT id, {F} FROM docs WHERE {F} > 12", True),
    ("two conditions", f"SELECT id FROM docs WHERE {F} > 8 AND nlp_token_count(left(body, 9)) > 4", True),
    ("avg", f"SELECT avg({F}) FROM docs", True),
    ("FILTER", f"SELECT count(*) FILTER (WHERE {F} > 12) FROM docs", True),
    ("an argument behind FILTER", f"SELECT sum({F}) FILTER (WHERE kind = 2) FROM docs", False),
    ("GROUP BY", f"SELECT {F}, count(*) FROM docs GROUP BY 1", True),
    ("GROUP BY, sorted", f"SELECT {F}, count(*) FROM docs GROUP BY 1 ORDER BY 1", True),
    ("GROUP BY a condition", f"SELECT {F} > 12, count(*) FROM docs GROUP BY 1", True),
    ("HAVING", "SELECT kind, nlp_token_count(string_agg(title, ' ' ORDER BY id)) FROM docs GROUP BY kind HAVING nlp_token_count(min(title)) > 2", True),
    ("grouping sets", f"SELECT kind, {F}, count(*) FROM docs GROUP BY GROUPING SETS (1, 2)", True),
    ("ORDER BY a column, LIMIT", f"SELECT id, {F} FROM docs ORDER BY created LIMIT 5", True),
    ("ORDER BY the call, LIMIT", f"SELECT id, {F} FROM docs ORDER BY {F}, id LIMIT 5", True),
    ("DISTINCT", f"SELECT DISTINCT {F} FROM docs", True),
    ("DISTINCT ON", f"SELECT DISTINCT ON ({F}) {F}, id FROM docs ORDER BY {F}, id", True),
    ("a window", f"SELECT id, max({F}) OVER (PARTITION BY kind) FROM docs", True),
    ("an inlined CTE", f"WITH c AS (SELECT id, {F} AS n FROM docs) SELECT n, count(*) FROM c GROUP BY n", True),
    ("a materialized CTE", f"WITH c AS MATERIALIZED (SELECT id, {F} AS n FROM docs) SELECT a.id FROM c a JOIN c b USING (n) WHERE a.id < 20 AND b.id = 3", True),
    ("a sub-select", f"SELECT n FROM (SELECT {F} AS n, id FROM docs OFFSET 0) s WHERE n > 12", True),
    ("UNION ALL", f"SELECT {F} FROM docs UNION ALL SELECT nlp_token_count(title) FROM docs", True),
    ("LATERAL", "SELECT d.id, l.n FROM docs d, LATERAL (SELECT nlp_token_count(d.body) AS n) l", True),
    ("an inner join", "SELECT a.id, nlp_token_count(a.body || b.title) FROM docs a JOIN docs b ON a.id = b.id + 1", True),
    ("an inner join on the call", "SELECT a.id FROM docs a JOIN docs b ON a.id = b.id + 1 AND nlp_token_count(a.title || b.title) > 4", True),
    ("a left join", "SELECT a.id, nlp_token_count(b.body) FROM docs a LEFT JOIN docs b ON b.id = a.id * 2", True),
    ("a left join, a condition above", "SELECT a.id FROM docs a LEFT JOIN docs b ON b.id = a.id * 2 WHERE coalesce(nlp_token_count(b.title), 0) < 4", False),
    ("a left join, a condition in ON", "SELECT a.id, b.id FROM docs a LEFT JOIN docs b ON b.id = a.id * 2 AND nlp_token_count(a.title || b.title) > 5", False),
    ("a semi join", f"SELECT id FROM docs a WHERE EXISTS (SELECT FROM docs b WHERE b.kind = a.id AND nlp_token_count(b.title) > 3)", True),
    ("partitions", f"SELECT {F}, count(*) FROM parts GROUP BY 1", True),
    ("partitions, in order", f"SELECT id, {F} FROM parts ORDER BY id LIMIT 250", True),
    ("a nested loop with rescans", "SELECT a.id, b.n FROM docs a, LATERAL (SELECT nlp_token_count(b.body || a.title) AS n FROM docs b WHERE b.kind = a.kind ORDER BY b.id LIMIT 2) b WHERE a.id < 40", True),
    ("a sub-query that looks out", "SELECT id, (SELECT max(nlp_token_count(b.title)) FROM docs b WHERE b.id < a.kind + 2) FROM docs a", True),
    ("a call on a sub-query", "SELECT id, nlp_token_count((SELECT title FROM docs b WHERE b.id = a.kind + 1)) FROM docs a", False),
    ("CASE", f"SELECT id, CASE WHEN kind = 1 THEN {F} END FROM docs", False),
    ("COALESCE", f"SELECT id, coalesce({F}, 0) FROM docs", False),
    ("OR", f"SELECT id FROM docs WHERE kind = 2 OR {F} > 15", False),
    ("options that vary", "SELECT id, nlp_embed(body, options => jsonb_build_object('normalize', kind = 1)) FROM docs WHERE id < 40", False),
    ("a constant", "SELECT id, nlp_token_count('the same for all') FROM docs", False),
    ("beside a function of sets", f"SELECT generate_series(1, 2), {F} FROM docs", True),
    ("a function of sets of ours", "SELECT d.id, t.token FROM docs d, LATERAL nlp_tokens(title) t", False),
    ("a volatile neighbour", f"SELECT id, {F}, random() < 2 FROM docs", True),
    ("a system column and a whole row", f"SELECT tableoid::regclass, d, {F} FROM docs d", True),
    ("a security barrier", "SELECT id, nlp_token_count(body) FROM safe WHERE length(body) > 5", True),
    ("VALUES", "SELECT nlp_token_count(x) FROM (VALUES ('a b'), (NULL), ('c')) v (x)", True),
    ("a recursive query", "WITH RECURSIVE r AS (SELECT 1 AS n, 'a'::text AS t UNION ALL SELECT n + nlp_token_count(t), t || ' b' FROM r WHERE n < 200) SELECT * FROM r", True),
]

ONE_ROW = ("avg", "FILTER", "an argument behind FILTER")
MODES = {
    "one plan": "",
    "workers": "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;",
    "jit": "SET jit = on; SET jit_above_cost = 0; SET jit_inline_above_cost = 0; SET jit_optimize_above_cost = 0;",
    "tokens one by one": "SET nlp.batch_tokens = 1;",
    "hashes": "SET enable_sort = off; SET enable_nestloop = off;",
    "sorts": "SET enable_hashagg = off; SET enable_hashjoin = off;",
}


def rows(settings, statement):
    out, err = psql(f"SET client_min_messages = error; {settings} {statement};")
    return sorted(out.split("\n")) if not err else [err]


def check_shapes():
    for name, statement, batched in SHAPES:
        plain = rows("SET nlp.batch = off;", statement)
        plan = value(f"EXPLAIN (VERBOSE) {statement}")
        check(f"{name}: {'a' if batched else 'no'} batch node", ("(nlp batch)" in plan) == batched, plan)
        for mode, settings in MODES.items():
            found = rows(settings, statement)
            check(f"{name}: equal rows, {mode}", found == plain and len(plain) > 1 - (name in ONE_ROW) and "ERROR" not in plain[0], str([x for x in found if x not in plain][:3]) + " for " + str(plain[:3]))
        twice = f"PREPARE p AS {statement}; EXECUTE p; EXECUTE p"
        check(f"{name}: equal rows, prepared", rows("SET plan_cache_mode = force_generic_plan;", twice) == rows("SET nlp.batch = off;", twice))


def inputs(statement):
    """How many texts went through a model in this backend."""
    out, err = psql(f"SET client_min_messages = error; SET max_parallel_workers_per_gather = 0; CREATE TEMP TABLE before AS SELECT inputs FROM nlp_stats; {statement}; SELECT 'n=' || s.inputs - b.inputs FROM nlp_stats s, before b;")
    return out.split("n=")[-1] + err


def check_counts():
    def counts(name, statement, n):
        found = inputs(statement)
        check(f"{name}: {n} texts go through the model", found == str(n), found)

    counts("ORDER BY created LIMIT 5", f"SELECT id, {F} FROM docs WHERE body <> '' ORDER BY created LIMIT 5", 5)
    counts("the call in SELECT and WHERE", f"SELECT id, {F} FROM docs WHERE id <= 50 AND {F} > 3", 50)
    counts("a constant that the planner looks at, too", "SELECT id FROM docs WHERE title = nlp_sentiment('I love it')", 1)
    check("a memo knows all arguments", value("SET nlp.batch = off; SELECT count(DISTINCT n) FROM (SELECT array_length(nlp_embed('x', options => jsonb_build_object('dimensions', i)), 1) AS n FROM generate_series(1, 5) i) s") == "5")
    counts("two constants", "SELECT nlp_sentiment('I love it'), nlp_sentiment('I hate it') FROM docs WHERE id < 5", 2)
    there = int(value("SELECT count(*) FROM docs WHERE body IS NOT NULL"))
    passing = int(value(f"SELECT count(*) FROM docs WHERE {F} > 12"))
    counts("a second condition, for rows that pass the first", f"SELECT count(*) FROM docs WHERE {F} > 12 AND nlp_token_count(title) < 100", there + passing)
    counts("a cursor that stops early", f"BEGIN; DECLARE c CURSOR FOR SELECT {F} FROM docs WHERE body <> ''; FETCH 3 FROM c; COMMIT", 8)
    counts("a parameter", "PREPARE p(text) AS SELECT id, nlp_token_count(body, $1) FROM docs WHERE id <= 20; EXECUTE p('minilm'); EXECUTE p('minilm')", 40)
    prepared = rows("SET plan_cache_mode = force_generic_plan;", "PREPARE p(jsonb) AS SELECT id, nlp_embed(body, options => $1) FROM docs WHERE id = 1; EXECUTE p('{\"normalize\": false}')")
    check("a parameter decides", prepared == rows("", "SELECT id, nlp_embed(body, options => '{\"normalize\": false}') FROM docs WHERE id = 1"), prepared)
    check("a parameter that is NULL", value("PREPARE p(text) AS SELECT count(nlp_token_count(body, $1)) FROM docs; EXECUTE p(NULL)") == "0")


def check_writes():
    """What writes: the tables are the same."""
    for name, write in {
        "INSERT ... SELECT": f"CREATE TEMP TABLE t (id int, n int); INSERT INTO t SELECT id, {F} FROM docs",
        "CREATE TABLE AS": f"CREATE TEMP TABLE t AS SELECT id, {F} AS n FROM docs",
        "UPDATE": f"CREATE TEMP TABLE t AS SELECT id, body, 0 AS n FROM docs; UPDATE t SET n = {F} WHERE id % 2 = 0",
        "DELETE": f"CREATE TEMP TABLE t AS SELECT id, body, 0 AS n FROM docs; DELETE FROM t WHERE {F} > 12",
        "UPDATE ... FROM": "CREATE TEMP TABLE t AS SELECT id, 0 AS n FROM docs; UPDATE t SET n = nlp_token_count(d.body) FROM docs d WHERE d.id = t.id",
        "MERGE": "CREATE TEMP TABLE t AS SELECT id, 0 AS n FROM docs WHERE id < 300; MERGE INTO t USING (SELECT id, nlp_token_count(body) AS n FROM docs) s ON s.id = t.id "
                 "WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.n)",
        "a materialized view": f"DROP MATERIALIZED VIEW IF EXISTS m; CREATE MATERIALIZED VIEW m AS SELECT id, {F} AS n FROM docs; REFRESH MATERIALIZED VIEW m; CREATE TEMP TABLE t AS SELECT * FROM m",
        "a loop": "CREATE TEMP TABLE t (id int, n int); DO $$ DECLARE r record; BEGIN FOR r IN SELECT id, nlp_token_count(body) AS n FROM docs LOOP INSERT INTO t VALUES (r.id, r.n); END LOOP; END $$",
        "a plain assignment": "CREATE TEMP TABLE t (id int, n int); DO $$ DECLARE x text := 'a b'; n int; BEGIN FOR i IN 1 .. 5 LOOP n := nlp_token_count(x); INSERT INTO t VALUES (i, n); x := x || ' c'; END LOOP; END $$",
    }.items():
        read = "; SELECT id, n FROM t"
        check(f"{name}: the same table", rows("", write + read) == rows("SET nlp.batch = off;", write + read) and len(rows("", write + read)) > 4, str(rows("", write + read)[:2]))
    copied = rows("", f"COPY (SELECT id, {F} FROM docs) TO STDOUT")
    check("COPY (query) TO", copied == rows("SET nlp.batch = off;", f"COPY (SELECT id, {F} FROM docs) TO STDOUT") and len(copied) == 600, str(copied[:2]))


def check_cursors():
    both = "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT id, nlp_token_count(body) FROM docs ORDER BY id; FETCH 3 FROM c; FETCH BACKWARD 2 FROM c; COMMIT"
    check("a SCROLL cursor goes back", rows("", both) == rows("SET nlp.batch = off;", both) and len(rows("", both)) == 5, str(rows("", both)))
    update = "BEGIN; DECLARE c CURSOR FOR SELECT id, nlp_token_count(body) FROM docs FOR UPDATE; FETCH 2 FROM c; UPDATE docs SET kind = kind WHERE CURRENT OF c; ROLLBACK"
    check("WHERE CURRENT OF a cursor FOR UPDATE", rows("", update) == rows("SET nlp.batch = off;", update) and len(rows("", update)) == 2, str(rows("", update)))


def check_errors():
    long_row = "SELECT nlp_embed(body, options => '{\"on_overflow\": \"error\"}') FROM docs"
    early = f"{long_row} ORDER BY id LIMIT 10"
    embed = "SELECT id, nlp_embed(body, options => '{\"on_overflow\": \"error\"}') FROM docs WHERE id BETWEEN 80 AND 90 ORDER BY id"
    _, err = psql(embed)
    check("an error of a row", "54000" in err, err)
    out, err = psql(f"BEGIN; DECLARE c CURSOR FOR {embed}; FETCH 3 FROM c; COMMIT")
    check("... waits until the row is delivered", not err and len(out.split("\n")) == 3, err)
    out, err = psql(f"{early}")
    check("... and is none behind a LIMIT", not err and len(out.split("\n")) == 10, err)
    again = "SELECT a.id, b.n FROM (VALUES (1), (2), (3)) a (id), LATERAL (SELECT (nlp_embed(d.body, options => '{\"on_overflow\": \"error\"}'))[1] + nlp_token_count(d.body) + a.id AS n FROM docs d WHERE d.id BETWEEN 80 AND 90 ORDER BY d.id LIMIT 3) b"
    check("an error behind a LIMIT is forgotten when the scan begins again", rows("", again) == rows("SET nlp.batch = off;", again) and len(rows("", again)) == 9, str(rows("", again)))
    lazy = "SELECT CASE WHEN length(body) < 1000 THEN (nlp_embed(body, options => '{\"on_overflow\": \"error\"}'))[1] END FROM docs WHERE id BETWEEN 80 AND 90"
    check("CASE guards a row from an error", rows("", lazy) == rows("SET nlp.batch = off;", lazy) and len(rows("", lazy)) == 11, str(rows("", lazy)))
    out, err = psql("SET client_min_messages = warning; SELECT count(nlp_embed(body)) FROM docs WHERE id BETWEEN 80 AND 170")
    check("one WARNING a statement for texts that are cut", err.count("WARNING") == 1, err)
    out, err = psql(f"SET statement_timeout = 150; SELECT count(nlp_embed(body)) FROM docs; SELECT 1")
    check("a time-out ends a batch", "57014" in err and out == "1", err + out)
    check("an unknown model", "42704" in psql("SELECT nlp_embed(body, 'nothing') FROM docs")[1])


def check_security():
    psql("""CREATE TABLE secrets (id int, body text, public boolean); INSERT INTO secrets SELECT i, 'text ' || i, i % 2 = 0 FROM generate_series(1, 40) i;
        CREATE ROLE reader; GRANT SELECT ON secrets TO reader; ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON secrets USING (nlp_token_count(body) > 0 AND public);
        CREATE FUNCTION leak(id int) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE 'seen %', id; RETURN true; END $$;""")
    out, err = psql("SET ROLE reader; SELECT id, nlp_token_count(body) FROM secrets WHERE leak(id)")
    leaked = [int(line.split()[-1]) for line in err.split("\n") if "seen" in line]
    check("a policy with a call comes before a cheap leaky function", len(out.split("\n")) == 20 and len(leaked) == 20 and all(i % 2 == 0 for i in leaked), f"{len(leaked)} rows leaked: {leaked}, {len(out.split())} found")
    psql("CREATE ROLE stranger; GRANT SELECT ON docs TO stranger; REVOKE EXECUTE ON FUNCTION nlp_token_count(text, jsonb) FROM PUBLIC")
    check("a function that the caller may not run", "42501" in psql("SET ROLE stranger; SELECT nlp_token_count(body) FROM docs")[1])
    psql("GRANT EXECUTE ON FUNCTION nlp_token_count(text, jsonb) TO PUBLIC")


def check_explain():
    plan = value("SET max_parallel_workers_per_gather = 0; EXPLAIN (ANALYZE, VERBOSE) SELECT id, nlp_sentiment(body) FROM docs WHERE id < 90")
    check("EXPLAIN shows model, batches, rows, tokens, what was cut", all(w in plan for w in ("Model: sentiment@", "Batches: ", "Rows: 89", "Tokens: ", "Truncated: ", "Reused: ")), plan)
    plan = value("SET max_parallel_workers_per_gather = 0; SET nlp.batch_tokens = 1000000; EXPLAIN (ANALYZE) SELECT nlp_token_count('all the same' || left(title, 1)) FROM docs")
    check("... and what was equal", "Batches: 7" in plan and "Rows: 600" in plan and "Reused: 593" in plan, plan)
    plan = value(f"{MODES['workers']} EXPLAIN (ANALYZE) SELECT {F} FROM docs")
    total = sum(int(line.split("Rows: ")[1]) for line in plan.split("\n") if " Rows: " in line or line.strip().startswith("Rows: "))
    check("... of workers, too", "Parallel Custom Scan (nlp batch)" in plan and total == int(value("SELECT count(body) FROM docs")), plan)
    out = value(f"{MODES['workers']} SET parallel_leader_participation = off; SELECT count({F}) FROM docs; SELECT inputs FROM nlp_stats; SELECT count({F}) FROM docs; SELECT inputs FROM nlp_stats")
    check("nlp_stats of what workers did", out == "594\n594\n594\n1188", out)
    out = value(f"{MODES['workers']} SET parallel_leader_participation = off; SELECT count({F}), count(nlp_token_count(title)) FROM docs WHERE nlp_token_count(left(body, 5)) > 0 AND body <> ''; SELECT inputs FROM nlp_stats").split("\n")
    there = int(value("SELECT count(*) FROM docs WHERE body <> ''"))
    check("... of three calls in two nodes", out == [f"{there}|{there}", str(3 * there)], out)
    plan = value("SET max_parallel_workers_per_gather = 2; EXPLAIN SELECT nlp_sentiment(body) FROM docs")
    check("a small table gets workers", "Workers Planned: 2" in plan, plan)
    plan = value("SET nlp.parallel = off; SET max_parallel_workers_per_gather = 2; EXPLAIN SELECT nlp_sentiment(body) FROM docs")
    check("... unless nlp.parallel is off", "Workers" not in plan, plan)
    plan = value("SET jit = on; EXPLAIN (ANALYZE) SELECT count(nlp_token_count(body)) FROM docs")
    check("calls alone bring no machine code", "JIT" not in plan, plan)


def check_strange():
    calls = ", ".join(f"nlp_token_count(body || {i})" for i in range(200))
    wide = f"SELECT {calls} FROM docs WHERE id < 12"
    check("200 calls a row", rows("", wide) == rows("SET nlp.batch = off;", wide) and len(rows("", wide)[0].split("|")) == 200, str(rows("", wide))[:200])
    psql("CREATE TABLE nulls (body text); INSERT INTO nulls SELECT NULL FROM generate_series(1, 50); CREATE TABLE huge (id int, body text); INSERT INTO huge SELECT i, repeat('many words ' || i || ' ', 800000) FROM generate_series(1, 3) i")
    check("a table of NULLs", value("SELECT count(*), count(nlp_embed(body)) FROM nulls") == "50|0")
    check("rows of 10 MB", rows("", "SELECT id, nlp_token_count(body) > 1000000, nlp_sentiment(body) IS NULL FROM huge") == ["1|t|f", "2|t|f", "3|t|f"], str(rows("", "SELECT id, nlp_token_count(body) > 1000000, nlp_sentiment(body) IS NULL FROM huge")))
    check("a trigger that calls tasks while a batch is delivered", value("CREATE TABLE moods (body text, n int, mood text); CREATE FUNCTION feel() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.mood := (SELECT max(nlp_sentiment(new.body || x)) FROM (VALUES ('!'), ('?')) v (x)); RETURN new; END $$;"
          "CREATE TRIGGER t BEFORE INSERT ON moods FOR EACH ROW EXECUTE FUNCTION feel(); INSERT INTO moods SELECT body, nlp_token_count(body) FROM docs WHERE id < 30 AND body <> ''; SELECT count(*), bool_and(n = nlp_token_count(body)), count(mood) FROM moods") == "29|t|29")
    check("a function that calls tasks in an argument", value("CREATE FUNCTION mood(t text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN nlp_sentiment(t); END $$; SELECT bool_and(nlp_token_count(mood(body)) = 3) FROM docs WHERE id < 20 AND body <> ''") == "t")
    psql("CREATE ROLE limited LOGIN; ALTER ROLE limited SET nlp.allowed_models = 'minilm'; GRANT SELECT ON docs TO limited; CREATE VIEW of_mood AS SELECT id, nlp_sentiment(body) AS mood FROM docs; GRANT SELECT ON of_mood TO limited")
    check("a role that may use one model", value("SELECT count(nlp_embed(body)) FROM docs WHERE id < 5", user="limited") == "4")
    check("... no other one", "42501" in psql("SELECT nlp_sentiment(body) FROM docs", user="limited")[1])
    check("... not through another's view either", "42501" in psql("SELECT mood FROM of_mood", user="limited")[1])
    check("... and can't help itself", "42501" in psql("SELECT nlp_version(); SET nlp.allowed_models = ''", user="limited")[1])
    source, name = os.path.join(MODELS, "sentiment.nlp"), os.path.join(MODELS, "changing.nlp")
    shutil.copy(source, name)
    out, err = psql(f"PREPARE p AS SELECT count(nlp_classify(body, 'changing')) FROM docs WHERE id < 20; EXECUTE p; \\! rm '{name}'\nEXECUTE p; \\! cp '{os.path.join(MODELS, 'minilm.nlp')}' '{name}'\nEXECUTE p; \\! cp '{source}' '{name}'\nEXECUTE p")
    check("a model that is removed, replaced, and put back between executions", out == "19\n19" and "42704" in err and "0A000" in err, out + err)
    os.remove(name)


def main():
    psql("CREATE DATABASE test", "postgres")
    _, err = psql("SET client_min_messages = warning;" + SETUP % os.path.join(ROOT, "examples/reviews/reviews.tsv"))
    check("tables of 600 rows", not err, err)
    check_shapes()
    check_counts()
    check_writes()
    check_cursors()
    check_errors()
    check_security()
    check_explain()
    check_strange()


main()
finish()
