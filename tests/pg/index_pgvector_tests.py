"""Indexes of meanings whose storage is pgvector: the same answers out of a graph of its own type. Run by tests/pg/newer, whose servers
have pgvector."""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import BIN, SOCKET, fails, psql, value  # noqa: E402
from harness import ROOT, check, finish  # noqa: E402
from index_support import ORACLE, gives, random_script  # noqa: E402

SETUP = """SET client_min_messages = warning;
DROP EXTENSION IF EXISTS nlp CASCADE; DROP EXTENSION IF EXISTS vector CASCADE; DROP TABLE IF EXISTS reviews, ours, theirs, plain CASCADE;
CREATE EXTENSION nlp;
CREATE TABLE reviews (id int PRIMARY KEY, body text);
\\copy reviews FROM '%s'
CREATE TABLE ours (id int PRIMARY KEY, body text); INSERT INTO ours SELECT * FROM reviews;
CREATE TABLE theirs (id int PRIMARY KEY, body text); INSERT INTO theirs SELECT * FROM reviews;
SELECT nlp_index_create('ours', 'body', storage => 'builtin');
""" % os.path.join(ROOT, "examples/reviews/reviews.tsv")
QUERIES = ["How long does the battery last?", "a film to fall asleep over", "rude waiters", "it broke after a week", "the best book I have read", "too expensive", "delivery", "my children love it"]
# NAME_vectors holds the bytes of each vector that the index has, no more and no less
BESIDE = """SELECT (SELECT count(q8) FROM nlp_index.{0}_chunks) = count(*) AND coalesce(bool_and(_nlp.index_q8_steps(c.q8) = v.emb::{1}::real[]), true)
    FROM nlp_index.{0}_vectors v LEFT JOIN nlp_index.{0}_chunks c USING (id)"""
GRAPH = "SET enable_seqscan = off; "  # a table as small as these would rather be read whole


def answers(table, mode, **options):
    """Rows of all queries; chunk ids, which stand in no answer, may differ."""
    union = " UNION ALL ".join(f"(SELECT {n}, s.* FROM nlp_search('{table}', '{query}', 10, '{mode}') s)" for n, query in enumerate(QUERIES))
    return value(GRAPH + union, **options)


def beside(table):
    return value(BESIDE.format(table, "vector"))


def scans():
    """How often the graph of `theirs` was asked; each psql leaves its counts when it ends."""
    return int(value("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'theirs_vectors_emb_idx'"))


def check_made():
    fails("without the extension vector", "SELECT nlp_index_create('theirs', 'body', storage => 'pgvector')", "42704", "CREATE EXTENSION vector", "builtin")
    psql("CREATE EXTENSION vector")
    fails("an unknown storage", "SELECT nlp_index_create('theirs', 'body', storage => 'disk')", "22023", "disk")
    fails("more numbers than its graphs take", "SELECT _nlp.index_storage('pgvector', 5000)", "54000", "5000", "builtin")
    out, err = psql("SELECT nlp_index_create('theirs', 'body', storage => 'pgvector')")
    version = [int(n) for n in re.findall(r"\d+", value("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))]
    check("an index in pgvector", out == "400" and ("0.8.4" in err) == (version < [0, 8, 4]), out + err)
    gives("... the status says so", "ours|builtin\ntheirs|pgvector", "SELECT relation, storage FROM nlp_index_status ORDER BY relation::text")
    gives("... vectors are of the smaller type that there is", "halfvec(384)" if version >= [0, 7] else "vector(384)", "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'nlp_index.theirs_vectors'::regclass AND attname = 'emb'")
    check("... and as exact as the index's own", beside("theirs") == "t", beside("theirs"))


def check_answers():
    before = scans()
    for mode in ("semantic", "hybrid"):
        found = answers("theirs", mode)
        check(f"{mode}: the same rows, scores and places as without it", found == answers("ours", mode) and found.count("\n") == 10 * len(QUERIES) - 1, found)
    check("... out of the graph", scans() - before == 2 * len(QUERIES), scans() - before)
    for filter, n in (("id % 2 = 0", 10), ("id % 100 = 3", 4), ("id = 7", 1), ("id < 0", 0)):
        found = f"SELECT count(*), coalesce(bool_and({filter}), true) FROM nlp_search('theirs', 'battery', 10, 'semantic', filter => '{filter}')"
        gives(f"a filter leaves what there is of ten rows: {filter}", f"{n}|t", GRAPH + found)
    gives("more rows than a graph is asked for at once", "400|400", GRAPH + "SELECT count(*), count(DISTINCT id) FROM nlp_search('theirs', 'battery', 400, 'semantic')")
    psql("INSERT INTO theirs SELECT 1000, string_agg('The battery of part ' || i || ' lasts long, since nobody uses it at all.', ' ') FROM generate_series(1, 8000) i")
    gives("the nearest chunks are of one row: others are found behind it", "10|t", GRAPH + "SELECT count(*), bool_or(id = 1000) FROM nlp_search('theirs', 'the battery of a part', 10, 'semantic')")
    psql("DELETE FROM theirs WHERE id = 1000")
    gives("... it is gone, and those that were behind it are there", "10|f", GRAPH + "SELECT count(*), bool_or(id = 1000) FROM nlp_search('theirs', 'the battery of a part', 10, 'semantic')")


def check_writes():
    psql("CREATE TABLE plain (id int PRIMARY KEY, body text); SELECT nlp_index_create('plain', 'body', storage => 'pgvector')")
    wrong = []
    for seed in range(25):
        _, err = psql(random_script(seed))
        if err or value(ORACLE.format("plain")) != "t" or beside("plain") != "t":
            wrong.append((seed, err))
    check("25 random scripts of writes and savepoints leave index, table and vectors equal", not wrong, str(wrong[:3]))
    gives("a transaction finds what it wrote", "7000\n0", GRAPH + "BEGIN; INSERT INTO plain VALUES (7000, 'A volcano erupted.'); SELECT id FROM nlp_search('plain', 'lava', 1, 'semantic'); ROLLBACK; SELECT count(*) FROM nlp_search('plain', 'lava') WHERE id = 7000")
    gives("TRUNCATE", "0\n0", "TRUNCATE plain; SELECT count(*) FROM nlp_index.plain_vectors; SELECT count(*) FROM nlp_search('plain', 'red')")
    gives("a text without words", "1", "INSERT INTO plain VALUES (1, ''), (2, NULL), (3, 'red'); SELECT count(*) FROM nlp_index.plain_vectors")
    psql("SET session_replication_role = replica; INSERT INTO plain VALUES (4, 'blue'); DELETE FROM plain WHERE id = 3")
    check("nlp_index_refresh", value("SELECT nlp_index_refresh('plain')") == "1" and beside("plain") == "t" and value(ORACLE.format("plain")) == "t")
    psql("DROP TABLE plain; CREATE TABLE plain (id int PRIMARY KEY, body text); INSERT INTO plain SELECT i, 'Text number ' || i FROM generate_series(1, 100) i; ALTER DATABASE test SET nlp.index_worker = off")
    psql("SELECT nlp_index_create('plain', 'body', mode => 'async', storage => 'pgvector'); CALL nlp_index_run('plain'); UPDATE plain SET body = 'A volcano erupted.' WHERE id = 5; DELETE FROM plain WHERE id = 6; CALL nlp_index_run('plain')")
    check("mode async", beside("plain") == "t" and value(ORACLE.format("plain")) == "t" and value(GRAPH + "SELECT id FROM nlp_search('plain', 'lava', 1, 'semantic')") == "5")
    psql("ALTER DATABASE test RESET nlp.index_worker; DROP TABLE plain")


def check_rights():
    psql("DROP ROLE IF EXISTS vector_owner, vector_reader; CREATE ROLE vector_owner LOGIN; CREATE ROLE vector_reader LOGIN; CREATE TABLE plain (id int PRIMARY KEY, body text); INSERT INTO plain SELECT * FROM reviews; ALTER TABLE plain OWNER TO vector_owner; GRANT SELECT, INSERT ON plain TO vector_reader")
    gives("an owner who is nobody special", "400\n500", GRAPH + "SET client_min_messages = warning; SELECT nlp_index_create('plain', 'body', storage => 'pgvector'); INSERT INTO plain VALUES (500, 'A volcano erupted.'); SELECT id FROM nlp_search('plain', 'lava', 1, 'semantic')", user="vector_owner")
    gives("who writes and reads needs no right on it", "501|t", GRAPH + "INSERT INTO plain VALUES (501, 'An earthquake shook the town.'); SELECT id, score > 0.3 FROM nlp_search('plain', 'seismic shock', 1, 'semantic')", user="vector_reader")
    fails("... and has none", "SELECT * FROM nlp_index.plain_vectors", "42501", user="vector_reader")
    fails("the verb inside", "SELECT _nlp.index_set_storage('plain', 'builtin')", "42501", user="vector_reader")
    psql("ALTER TABLE plain ENABLE ROW LEVEL SECURITY; CREATE POLICY odd ON plain USING (id % 2 = 1)")
    gives("row-level security: those seen take all places", "10|t", GRAPH + "SELECT count(*), bool_and(id % 2 = 1) FROM nlp_search('plain', 'lava', 10, 'semantic')", user="vector_reader")
    psql("DROP TABLE plain; DROP ROLE vector_owner, vector_reader")


def restored(dump, without=None):
    """Messages of pg_restore into another database; without what it would make of an extension."""
    program = [os.path.join(BIN, "pg_restore"), "-h", SOCKET, "-U", "postgres"]
    psql("DROP DATABASE IF EXISTS restored", "postgres")
    psql("CREATE DATABASE restored", "postgres")
    contents = subprocess.run([*program, "-l", dump], capture_output=True, text=True, check=True).stdout
    with open(dump + ".list", "w", encoding="utf-8") as file:
        file.writelines(line for line in contents.splitlines(True) if not (without and re.search(rf"EXTENSION .*\b{without}\b", line)))
    return subprocess.run([*program, "-d", "restored", "-L", dump + ".list", dump], capture_output=True, text=True).stderr


def check_restored():
    with tempfile.TemporaryDirectory() as work:
        dump = os.path.join(work, "test.dump")
        subprocess.run([os.path.join(BIN, "pg_dump"), "-h", SOCKET, "-U", "postgres", "-Fc", "-f", dump, "test"], check=True)
        err = restored(dump)
        check("dump and restore without a manual step", not err and answers("theirs", "hybrid", database="restored") == answers("ours", "hybrid"), err)
        err = restored(dump, without="vector")
    check("restored where pgvector is not installed, errors name its type", "type \"public.halfvec\"" in err or "type \"public.vector\"" in err, err)
    for sql in ("SELECT * FROM nlp_search('theirs', 'battery')", "INSERT INTO theirs VALUES (900, 'x')"):
        fails("... as does " + sql, sql, "55000", "extension vector", "storage => 'builtin'", database="restored")
    fails("... and a rebuild", "SELECT nlp_index_rebuild('theirs')", "42704", "extension vector", database="restored")
    gives("... which may do without", "400\ntheirs|builtin", "SELECT nlp_index_rebuild('theirs', storage => 'builtin'); SELECT relation, storage FROM nlp_index_status WHERE relation = 'theirs'::regclass", database="restored")
    check("... with the same answers", answers("theirs", "hybrid", database="restored") == answers("ours", "hybrid"))
    psql("DROP DATABASE restored", "postgres")


def check_changed():
    gives("a rebuild without it", "400|t\nbuiltin", "SELECT nlp_index_rebuild('theirs', storage => 'builtin'), to_regclass('nlp_index.theirs_vectors') IS NULL; SELECT storage FROM nlp_index_status WHERE relation = 'theirs'::regclass")
    check("... gives the same", answers("theirs", "semantic") == answers("ours", "semantic"))
    psql("SET client_min_messages = error; SELECT nlp_index_rebuild('theirs', storage => 'pgvector')")
    check("... with it again", answers("theirs", "semantic") == answers("ours", "semantic") and beside("theirs") == "t")
    psql("SET client_min_messages = error; SELECT nlp_index_rebuild('theirs')")
    gives("a rebuild leaves the storage", "pgvector", "SELECT storage FROM nlp_index_status WHERE relation = 'theirs'::regclass")
    fails("the extension is not dropped from under an index", "DROP EXTENSION vector", "2BP01", "theirs_vectors")
    psql("DROP EXTENSION vector CASCADE")
    fails("... dropped with CASCADE, a search says what is missing", "SELECT * FROM nlp_search('theirs', 'battery')", "55000", "extension vector", "storage => 'builtin'")
    psql('SET client_min_messages = error; CREATE SCHEMA "odd one"; CREATE EXTENSION vector SCHEMA "odd one"; SELECT nlp_index_rebuild(\'theirs\')')
    check("... in another schema, a rebuild finds it", answers("theirs", "semantic") == answers("ours", "semantic"))
    gives("dropped, nothing is left", "t\n0", "SELECT nlp_index_drop('theirs'); SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE 'theirs\\_%' AND relnamespace = 'nlp_index'::regnamespace)")
    psql('DROP EXTENSION vector; DROP SCHEMA "odd one"; DROP TABLE reviews, ours, theirs')


def main():
    psql("CREATE DATABASE test", "postgres")
    _, err = psql(SETUP)
    check("two tables of 400 texts", not err, err)
    for part in (check_made, check_answers, check_writes, check_rights, check_restored, check_changed):
        part()
    finish()


main()
