"""Work over whole tables: nlp_map, nlp_run, nlp_embed_column and what it survives. Run by tests/pg/run."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import BIN, PSQL, SOCKET, fails, psql, value  # noqa: E402
from harness import ROOT, check, finish  # noqa: E402

SETUP = """SET client_min_messages = warning;
DROP EXTENSION IF EXISTS nlp CASCADE;
CREATE EXTENSION nlp;
DROP TABLE IF EXISTS reviews, texts CASCADE;
CREATE TABLE reviews (id int PRIMARY KEY, body text);
\\copy reviews FROM '%s'
CREATE TABLE texts (id int PRIMARY KEY, body text, emb real[]);
INSERT INTO texts SELECT i, CASE WHEN i %% 50 = 0 THEN NULL ELSE i || ' ' || left(r.body, 40) END FROM generate_series(1, 4000) i JOIN reviews r ON r.id = i %% 400 + 1;
"""


def check_map():
    check("nlp_map gives each row what its function gives", value("SELECT bool_and(m.result #>> '{}' = nlp_sentiment(r.body)), count(*) FROM nlp_map('SELECT id, body FROM reviews', 'sentiment') m JOIN reviews r ON r.id = m.key::int") == "t|400")
    check("... vectors, to the last digit", value("SELECT bool_and(ARRAY(SELECT x::real FROM jsonb_array_elements_text(m.result) x) = nlp_embed(r.body)) FROM nlp_map('SELECT id, body FROM reviews WHERE id < 40', 'embed') m JOIN reviews r ON r.id = m.key::int") == "t")
    check("... numbered rows without a key", value("SELECT string_agg(key, ' ') FROM nlp_map('SELECT body FROM reviews ORDER BY id LIMIT 3', 'sentiment')") == "1 2 3")
    check("... rows of a task of rows", value("SELECT count(*) = (SELECT sum(nlp_token_count(body)) FROM reviews WHERE id < 10) FROM nlp_map('SELECT id, body FROM reviews WHERE id < 10', 'tokens')") == "t")
    check("... two operands", value("SELECT bool_and((m.result #>> '{}')::boolean = nlp_filter(r.body, 'a phone')) FROM nlp_map($$SELECT id, body, 'a phone'::text FROM reviews WHERE id < 30$$, 'filter') m JOIN reviews r ON r.id = m.key::int") == "t")
    check("... a list of labels", value("SELECT result FROM nlp_map($$SELECT 'The battery is empty'::text, ARRAY['electronics', 'poetry']$$, 'zero_shot')") == '"electronics"')
    check("... a named model and options", value("SELECT count(*) FILTER (WHERE m.result #>> '{}' = 'neutral') = count(*) FILTER (WHERE nlp_sentiment(r.body, 'sentiment', '{\"threshold\": 0.9}') = 'neutral') FROM nlp_map('SELECT id, body FROM reviews', 'sentiment', 'sentiment', '{\"threshold\": 0.9}') m JOIN reviews r ON r.id = m.key::int") == "t")
    check("... NULL of NULL", value("SELECT key, result IS NULL FROM nlp_map('SELECT 7, NULL::text', 'sentiment')") == "7|t")
    fails("nlp_map takes nlp.on_overflow as its function does", "SET nlp.on_overflow = 'error'; SELECT nlp_map($$SELECT repeat('long ', 400)$$, 'embed')", "54000")
    fails("nlp_map of an unknown task", "SELECT nlp_map('SELECT 1', 'nothing')", "22023", "task_names")
    fails("nlp_map of other columns", "SELECT nlp_map('SELECT 1', 'sentiment')", "22023", "text (text)")
    fails("nlp_map of what is no SELECT", "SELECT nlp_map('DELETE FROM reviews', 'sentiment')", "22023")
    fails("nlp_map over ids", "SELECT nlp_map('SELECT 1', 'detokenize')", "22023", "nlp_detokenize")
    check("nlp_run", value("SELECT nlp_run('sentiment', 'I love it'), jsonb_typeof(nlp_run('embed', 'x')), nlp_run('would_truncate', 'x'), jsonb_array_length(nlp_run('classify_scores', 'x')), nlp_run('sentiment', NULL) IS NULL") == '"positive"|array|false|2|t')
    check("nlp_run_rows", value("SELECT count(*), min(r ->> 'token') FROM nlp_run_rows('tokens', 'a b') r") == "4|[CLS]")
    fails("nlp_run of a task of two texts", "SELECT nlp_run('answer', 'x')", "22023", "nlp_map")


def check_column():
    out, err = psql("CALL nlp_embed_column('texts', 'body', 'emb', batch_size => 500, commit_every => 1000)")
    check("nlp_embed_column fills a column", not err and value("SELECT count(emb), bool_and(emb = nlp_embed(body, 'minilm')) FROM texts WHERE id % 37 = 0") == "106|t", err)
    check("... where there is a text", value("SELECT count(emb), count(*) FILTER (WHERE emb IS NULL) FROM texts") == "3920|80")
    check("nlp_progress", value("SELECT relation, target, model, rows_done, rows_total, state FROM nlp_progress") == "texts|emb|minilm|3920|3920|finished")
    psql("INSERT INTO texts VALUES (5000, 'one more')")
    check("... goes on with new rows", value("CALL nlp_embed_column('texts', 'body', 'emb'); SELECT count(emb) FROM texts; SELECT rows_done, rows_total FROM nlp_progress") == "3921\n3921|3921")
    psql("UPDATE _nlp.jobs SET digest = 'other'; UPDATE texts SET emb = NULL WHERE id = 5")
    fails("vectors of two models do not mix", "CALL nlp_embed_column('texts', 'body', 'emb')", "55000", "other", "begins anew")
    check("... but a column that is empty takes any", value("UPDATE texts SET emb = NULL; DELETE FROM texts WHERE id > 60; CALL nlp_embed_column('texts', 'body', 'emb'); SELECT count(emb) FROM texts") == "59")
    fails("a column job in a transaction", "BEGIN; CALL nlp_embed_column('texts', 'body', 'emb')", "2D000")
    fails("an unknown column", "CALL nlp_embed_column('texts', 'nothing', 'emb')", "42703", "nothing")
    fails("an unknown model", "CALL nlp_embed_column('texts', 'body', 'emb', 'nothing')", "42704")
    fails("a batch of 0 rows", "CALL nlp_embed_column('texts', 'body', 'emb', batch_size => 0)", "22023")
    psql("CREATE ROLE other_user LOGIN; GRANT SELECT ON texts TO other_user; UPDATE texts SET emb = NULL WHERE id = 1")
    fails("a table that the caller may not change", "CALL nlp_embed_column('texts', 'body', 'emb')", "42501", user="other_user")
    psql("GRANT UPDATE ON texts TO other_user")
    check("... may change", value("CALL nlp_embed_column('texts', 'body', 'emb'); SELECT by, rows_done, state FROM nlp_progress WHERE by = 'other_user'", user="other_user") == "other_user|59|finished")
    check("a column of a partitioned table", value("CREATE TABLE tree (id int, body text, emb real[]) PARTITION BY LIST (id); CREATE TABLE leaf_1 PARTITION OF tree FOR VALUES IN (1, 2); CREATE TABLE leaf_2 PARTITION OF tree DEFAULT; INSERT INTO tree SELECT i, 'text ' || i FROM generate_series(1, 9) i; CALL nlp_embed_column('tree', 'body', 'emb'); SELECT count(emb) FROM tree; DROP TABLE tree") == "9")
    _, err = psql("INSERT INTO texts VALUES (6000, repeat('long ', 400)); CALL nlp_embed_column('texts', 'body', 'emb')")
    check("one WARNING for texts that were cut", err.count("WARNING") == 1 and "1 texts" in err, err)


def wait_for(what, sql, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        if value(sql) == "t":
            return True
        time.sleep(0.1)
    check(what, False, value(sql))
    return False


def check_killed():
    """The backend is killed five times in the middle; the server restarts each time."""
    psql("TRUNCATE texts; INSERT INTO texts SELECT i, i || ' ' || left(r.body, 40) FROM generate_series(1, 3000) i JOIN reviews r ON r.id = i % 400 + 1; DELETE FROM _nlp.jobs")
    psql("CREATE TABLE IF NOT EXISTS written (id int); TRUNCATE written; CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO written VALUES (new.id); RETURN new; END'; CREATE TRIGGER t BEFORE UPDATE ON texts FOR EACH ROW EXECUTE FUNCTION note()")
    truthful = True
    for _ in range(5):
        before = int(value("SELECT count(emb) FROM texts"))
        with subprocess.Popen([*PSQL, "-d", "test", "-c", "CALL nlp_embed_column('texts', 'body', 'emb', batch_size => 20, commit_every => 40)"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
            wait_for("the job goes on", f"SELECT count(emb) > {before + 40} FROM texts")
            pid = value("SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL nlp_embed_column%'")
            if pid:
                os.kill(int(pid), 9)
            job.wait()
        wait_for("the server is back", "SELECT true")
        truthful = truthful and value("SELECT count(emb) = max(p.rows_done) FROM texts, nlp_progress p WHERE p.relation = 'texts'") == "t"
    check("killed five times: progress says what is there", truthful, value("SELECT count(emb), max(p.rows_done) FROM texts, nlp_progress p"))
    check("... and that nobody works on it", value("SELECT state FROM nlp_progress WHERE relation = 'texts'") == "stopped")
    _, err = psql("CALL nlp_embed_column('texts', 'body', 'emb')")
    check("... called again it finishes", not err and value("SELECT count(emb), (SELECT rows_done FROM nlp_progress WHERE relation = 'texts') FROM texts") == "3000|3000", err)
    check("... each row was written once", value("SELECT count(*), count(DISTINCT id) FROM written") == "3000|3000")


def check_restored():
    """A dump brings generated columns, indexes by expression, materialized views and the state of jobs."""
    psql("CREATE TABLE articles (id int PRIMARY KEY, body text, emb real[] GENERATED ALWAYS AS (nlp_embed(body, 'minilm')) STORED); INSERT INTO articles SELECT * FROM reviews WHERE id <= 40;"
         "CREATE INDEX ON articles (nlp_sentiment(body, 'sentiment')); CREATE MATERIALIZED VIEW moods AS SELECT nlp_sentiment(body) AS mood, count(*) AS n FROM articles GROUP BY 1; DROP TRIGGER t ON texts")
    psql("DROP DATABASE IF EXISTS restored", "postgres")
    psql("CREATE DATABASE restored", "postgres")
    dump = os.path.join(os.path.dirname(SOCKET), "dump.sql")
    common = ["-h", SOCKET, "-U", "postgres"]
    with open(dump, "w", encoding="utf-8") as file:
        code = subprocess.run([os.path.join(BIN, "pg_dump"), *common, "test"], stdout=file, check=False).returncode
    done = subprocess.run([*PSQL, "-d", "restored", "-v", "ON_ERROR_STOP=1", "-f", dump], capture_output=True, text=True)
    check("dump and restore without a manual step", code == 0 and done.returncode == 0, done.stderr)
    for name, sql in {"generated column": "SELECT id, emb FROM articles ORDER BY id", "materialized view": "SELECT * FROM moods ORDER BY 1",
                      "index by expression": "SET enable_seqscan = off; SELECT count(*) FROM articles WHERE nlp_sentiment(body, 'sentiment') = 'positive'",
                      "state of the column job": "SELECT relation, rows_done, rows_total, state FROM nlp_progress ORDER BY 1, 2"}.items():
        check(f"restored: {name}", value(sql) == value(sql, database="restored") and len(value(sql)) > 0, value(sql, database="restored")[:200])
    psql("DROP DATABASE restored", "postgres")


psql("CREATE DATABASE test", "postgres")
_, errors = psql(SETUP % os.path.join(ROOT, "examples/reviews/reviews.tsv"))
check("tables", not errors, errors)
for group in (check_map, check_column, check_killed, check_restored):
    group()
finish()
