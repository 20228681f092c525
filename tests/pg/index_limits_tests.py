"""Indexes of meanings at their limits: tables that become what cannot be followed, large rows and many, full disks, rows that fail, restores
over what is there, databases that go, and what a policy hides. Run by tests/pg/run and tests/pg/newer."""
import os
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import BIN, MODELS, NLP, PSQL, SOCKET, Session, fails, psql, value  # noqa: E402
from harness import DATA, check, finish, import_pack  # noqa: E402
from index_support import ORACLE, becomes, gives, waits_for  # noqa: E402

SETUP = """SET client_min_messages = warning;
DROP EXTENSION IF EXISTS nlp CASCADE; DROP TABLE IF EXISTS docs, plain, tree, kin, notes, large, many CASCADE; DROP FUNCTION IF EXISTS poison CASCADE;
CREATE EXTENSION nlp;
CREATE TABLE docs (id int PRIMARY KEY, body text);
INSERT INTO docs VALUES (1, 'The key can be reset under Settings.'), (2, 'The shop opens at nine.'), (3, 'Birds build their nests in spring.');
SELECT nlp_index_create('docs', 'body');
"""
# of an index of the model "tiny": each row has one chunk, whole, as it is now, with its own vector
WHOLE = """SELECT (SELECT count(*) FROM {0}) = count(*) AND count(*) = (SELECT count(*) FROM nlp_index.{0}_chunks) AND count(*) = (SELECT count(*) FROM nlp_index.{0}_signatures)
    AND bool_and(c.row_hash = hashtextextended(d.body COLLATE "C", 0) AND c.start_pos = 1 AND c.end_pos = length(d.body))
    AND bool_and(nlp_cosine(_nlp.index_q8_steps(c.q8), nlp_embed(d.body, 'tiny')) > 0.999) FILTER (WHERE d.id % 97 = 0)
    FROM {0} d JOIN nlp_index.{0}_chunks c ON c.k1 = d.id"""
POISON = """CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.k1 = {1} THEN RAISE 'poison'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER p BEFORE INSERT ON nlp_index.{0}_chunks FOR EACH ROW EXECUTE FUNCTION poison();"""


def refused(name, sql, state, words):
    """By us, or before us by PostgreSQL 16.2, which has no table with such triggers become a part or a child of another."""
    _, err = psql(sql)
    check(name, (f"ERROR:  {state}" in err and words in err) or 'trigger "nlp_index_delete" prevents table "docs"' in err, err)


def check_altered():
    """What an index could not follow is refused while there is one."""
    fails("SET UNLOGGED", "ALTER TABLE docs SET UNLOGGED", "42809", "public.docs is unlogged", "nlp_index_drop('public.docs')")
    gives("SET LOGGED is nothing new", "2", "ALTER TABLE docs SET LOGGED; SELECT id FROM nlp_search('docs', 'shop', 1)")
    psql("CREATE TABLE kin (id int NOT NULL, body text)")
    fails("a table that inherits from it", "ALTER TABLE kin INHERIT docs", "0A000", "public.kin inherits from public.docs", "nlp_index_drop('public.docs')")
    fails("... made as one", "CREATE TABLE kin_2 () INHERITS (docs)", "0A000", "public.kin_2 inherits from public.docs")
    refused("... that it inherits from", "ALTER TABLE docs INHERIT kin", "0A000", "public.docs inherits from public.kin")
    gives("... which is not so any more", "1\nt", "CREATE TABLE kin_3 (PRIMARY KEY (id)) INHERITS (kin); ALTER TABLE kin_3 NO INHERIT kin; INSERT INTO kin_3 VALUES (1, 'A lagoon.'); SELECT nlp_index_create('kin_3', 'body'); SELECT nlp_index_drop('kin_3')")
    fails("an index on a table that inherits", "ALTER TABLE kin_3 INHERIT kin; SELECT nlp_index_create('kin_3', 'body')", "0A000", "public.kin_3 inherits from public.kin")
    fails("... on one that others inherit from", "SELECT nlp_index_create('kin', 'body', keys => ARRAY['id']::name[])", "0A000", "public.kin_3 inherits from public.kin")
    psql("CREATE TABLE tree (id int PRIMARY KEY, body text) PARTITION BY RANGE (id); CREATE TABLE tree_1 PARTITION OF tree FOR VALUES FROM (0) TO (10); SELECT nlp_index_create('tree', 'body')")
    psql("CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER far FOREIGN DATA WRAPPER nothing; CREATE FOREIGN TABLE far_docs (id int NOT NULL, body text) SERVER far")
    fails("an index on a foreign table", "SELECT nlp_index_create('far_docs', 'body', keys => ARRAY['id']::name[])", "42809", "a foreign table")
    fails("a partition that is unlogged", "CREATE UNLOGGED TABLE tree_2 PARTITION OF tree FOR VALUES FROM (10) TO (20)", "42809", "tree_2", "unlogged")
    fails("... in a schema that is made with it", "CREATE SCHEMA leaves CREATE UNLOGGED TABLE tree_2 PARTITION OF public.tree FOR VALUES FROM (10) TO (20)", "42809", "tree_2", "unlogged")
    fails("a foreign table as a partition: PostgreSQL has no unique key over it", "ALTER TABLE tree ATTACH PARTITION far_docs FOR VALUES FROM (10) TO (20)", "42809", "far_docs")
    fails("... and without that key", "ALTER TABLE tree DROP CONSTRAINT tree_pkey; ALTER TABLE tree ATTACH PARTITION far_docs FOR VALUES FROM (10) TO (20)", "42809", "a foreign table as a partition, public.far_docs", "nlp_index_drop('public.tree')")
    fails("... made as one", "CREATE FOREIGN TABLE far_2 PARTITION OF tree FOR VALUES FROM (10) TO (20) SERVER far", "42809", "a foreign table as a partition, public.far_2")
    refused("a table that becomes a partition", "CREATE TABLE forest (LIKE docs) PARTITION BY RANGE (id); ALTER TABLE forest ATTACH PARTITION docs DEFAULT", "42809", "public.docs is a partition")
    gives("an attached partition brings its rows with the next refresh", "1\n15", "ALTER TABLE tree ADD PRIMARY KEY (id); CREATE TABLE tree_3 (id int PRIMARY KEY, body text); INSERT INTO tree_3 VALUES (15, 'A lagoon.'); ALTER TABLE tree ATTACH PARTITION tree_3 FOR VALUES FROM (10) TO (20); SELECT nlp_index_refresh('tree'); SELECT id FROM nlp_search('tree', 'lagoon', 1)")
    gives("... one that is detached leaves no row behind", "0", "ALTER TABLE tree DETACH PARTITION tree_3; INSERT INTO tree_3 VALUES (16, 'Another lagoon.'); SELECT count(*) FROM nlp_search('tree', 'lagoon')")
    psql("DROP TABLE tree, tree_3, kin, kin_3, forest; DROP FOREIGN DATA WRAPPER nothing CASCADE")


def check_dead():
    """Rows that failed for good."""
    psql("ALTER DATABASE test SET nlp.index_worker = off")
    psql("CREATE TABLE plain (id int PRIMARY KEY, body text); SELECT nlp_index_create('plain', 'body', mode => 'async');" + POISON.format("plain", 2) + "INSERT INTO plain VALUES (1, 'stone'), (2, 'river'), (3, 'cloud')")
    psql("CALL nlp_index_run('plain', 10)")
    for _ in range(8):
        psql("UPDATE nlp_index.plain_queue SET next_try = now() WHERE next_try < 'infinity'; CALL nlp_index_run('plain', 5)")
    state = "SELECT rows_indexed, pending, dead, last_error FROM nlp_index_status WHERE relation = 'plain'::regclass"
    gives("a row that failed eight times is shown", "2|1|1|poison\n2|8", state + "; SELECT k1, attempts FROM nlp_index.plain_queue WHERE next_try = 'infinity'")
    fails("a refresh that fails as well", "SELECT nlp_index_refresh('plain')", "P0001", "poison")
    gives("... leaves it where it was", "2|1|1|poison", state)
    psql("INSERT INTO plain VALUES (4, 'engine'); CALL nlp_index_run('plain', 5)")
    gives("... others go on", "3|1|1|poison", state)
    psql("DROP TRIGGER p ON nlp_index.plain_chunks; CALL nlp_index_run('plain', 5)")
    gives("what was the matter is mended: it is not tried again by itself", "3|1|1|poison", state)
    gives("... but by a refresh", "1\n4|0|0|", "SELECT nlp_index_refresh('plain');" + state)
    psql("INSERT INTO nlp_index.plain_queue (k1, attempts, next_try, last_error) VALUES (3, 8, 'infinity', 'poison')")
    gives("... or by the next write to the row", "4|0|0|\n3", "UPDATE plain SET body = 'thunder' WHERE id = 3; CALL nlp_index_run('plain', 5);" + state + "; SELECT id FROM nlp_search('plain', 'thunder', 1, 'text')")
    psql("INSERT INTO nlp_index.plain_queue (k1, attempts, next_try, last_error) VALUES (3, 8, 'infinity', 'poison')")
    gives("... or by a rebuild", "4\n4|0|0|", "SELECT nlp_index_rebuild('plain');" + state)
    psql("ALTER DATABASE test RESET nlp.index_worker; DROP TABLE plain; DROP FUNCTION poison")


def check_stale():
    """A policy speaks of what a row is now; the index may know what it was."""
    psql("ALTER DATABASE test SET nlp.index_worker = off")
    psql("""DROP ROLE IF EXISTS lodger; CREATE ROLE lodger LOGIN; CREATE TABLE notes (id int PRIMARY KEY, secret boolean, body text); GRANT SELECT ON notes TO lodger;
        INSERT INTO notes VALUES (1, true, 'The merger with Acme is on Monday.'), (2, false, 'A merger is when two firms become one.'), (3, false, 'The canteen is closed.');
        SELECT nlp_index_create('notes', 'body', mode => 'async'); CALL nlp_index_run('notes'); ALTER TABLE notes ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON notes FOR SELECT USING (NOT secret)""")
    found = "SELECT id, snippet FROM nlp_search('notes', 'the merger with Acme', {0}) ORDER BY id"
    gives("a secret row is not found", "2|A merger is when two firms become one.\n3|The canteen is closed.", found.format(10), user="lodger")
    psql("UPDATE notes SET secret = false, body = 'Lunch is at noon today, as always.' WHERE id = 1")
    gives("one that is shown now, with another text, is not found by the text that it had", "2|A merger is when two firms become one.\n3|The canteen is closed.", found.format(10), user="lodger")
    gives("... nor does it take a place", "2", "SELECT count(*) FROM nlp_search('notes', 'the merger with Acme', 2)", user="lodger")
    gives("who sees all finds it, without a snippet that it does not hold", "1|", "SELECT id, snippet FROM nlp_search('notes', 'the merger with Acme', 1)")
    psql("CALL nlp_index_run('notes')")
    gives("embedded anew, it is found as it is", "1|Lunch is at noon today, as always.", "SELECT id, snippet FROM nlp_search('notes', 'when is lunch', 1)", user="lodger")
    psql("SET session_replication_role = replica; UPDATE notes SET body = 'Holidays begin in July, they say.' WHERE id = 2")
    gives("one that triggers could not see is left out where its chunk is gone", "0", "SELECT count(*) FROM nlp_search('notes', 'two firms become one', 5) WHERE id = 2", user="lodger")
    gives("... until a refresh", "1\n2|Holidays begin in July, they say.", "SELECT nlp_index_refresh('notes'); SET ROLE lodger; SELECT id, snippet FROM nlp_search('notes', 'holidays', 1)")
    psql("UPDATE notes SET body = body || ' Some say August.' WHERE id = 2")
    gives("a row that only grew is found by the part that stays", "2|Holidays begin in July, they say.", "SELECT id, snippet FROM nlp_search('notes', 'holidays', 1)")
    psql("REVOKE SELECT ON notes FROM lodger; GRANT SELECT (id, body) ON notes TO lodger")
    fails("a filter over a column that its author may not read", "SELECT * FROM nlp_search('notes', 'x', filter => 'secret')", "42501", user="lodger")
    psql("""GRANT SELECT ON notes TO lodger; UPDATE notes SET secret = true WHERE id = 3; CALL nlp_index_run('notes');
        CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql STABLE COST 0.0001 AS $$ BEGIN RAISE NOTICE 'leaked %', $1; RETURN true; END $$""")
    fails("... that reads what its author may not", "SELECT * FROM nlp_search('notes', 'x', filter => 'EXISTS (SELECT FROM docs)')", "42501", "docs", user="lodger")
    fails("a policy is not switched off", "SET row_security = off; SELECT * FROM nlp_search('notes', 'holidays')", "42501", "notes", user="lodger")
    gives("one that is forced on the owner holds for the owner's searches", "1 2", "ALTER TABLE notes FORCE ROW LEVEL SECURITY; ALTER TABLE notes OWNER TO lodger; SET ROLE lodger; SELECT string_agg(id::text, ' ' ORDER BY id) FROM nlp_search('notes', 'canteen'); RESET ROLE; ALTER TABLE notes OWNER TO postgres; ALTER TABLE notes NO FORCE ROW LEVEL SECURITY; GRANT SELECT ON notes TO lodger")
    _, err = psql("SELECT count(*) FROM nlp_search('notes', 'x', filter => 'leak(body)')", user="lodger")
    check("a function in a filter is shown no hidden row", "leaked Holidays" in err and "canteen" not in err, err)
    score = "SELECT score FROM nlp_search('notes', 'holidays', 1, 'text')"
    before = value(score, user="lodger")
    psql("UPDATE notes SET body = 'Holidays, holidays, holidays.' WHERE id = 3; CALL nlp_index_run('notes')")
    check("words of hidden rows change no score", value(score, user="lodger") == before != value(score), before)
    psql("ALTER DATABASE test RESET nlp.index_worker; DROP TABLE notes; DROP ROLE lodger; DROP FUNCTION leak")


def peak(sql):
    """MiB that a session's own memory grew by at most, while it ran a statement."""
    session, grown, done = Session(), [0], threading.Event()
    session.run("SELECT nlp_embed('x', 'tiny')")

    def anonymous():
        with open(f"/proc/{session.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024

    def watch():
        first = anonymous()
        while not done.wait(0.005):
            grown[0] = max(grown[0], anonymous() - first)
    watcher = threading.Thread(target=watch)
    watcher.start()
    out = session.run(sql)
    done.set()
    watcher.join()
    session.process.terminate()
    return grown[0], " ".join(out)


def check_large():
    """Rows are embedded in batches of 16 or of 1 MB, whichever is less."""
    sentences = "SELECT string_agg('Sentence number ' || j || ' speaks of stones, rivers and birds.', ' ') FROM generate_series(1, {0}) j"
    psql(f"SET nlp.index_worker = off; CREATE TABLE large (id int PRIMARY KEY, body text); SET session_replication_role = replica; INSERT INTO large SELECT i, i || ' ' || t FROM ({sentences.format(18000)}) s(t), generate_series(1, 16) i; SELECT nlp_index_create('large', 'body', 'tiny', mode => 'async')")
    mib, out = peak("SET nlp.index_worker = off; CALL nlp_index_run('large', 600)")
    check("16 rows of 1 MB in less than 100 MB", not out and mib < 100 and value("SELECT rows_indexed, pending FROM nlp_index_status WHERE relation = 'large'::regclass") == "16|0", f"{mib:.0f} MB {out}")
    psql("DROP TABLE large; CREATE TABLE large (id int PRIMARY KEY, body text); SELECT nlp_index_create('large', 'body', 'tiny')")
    mib, out = peak(f"INSERT INTO large {sentences.format(180000).replace('SELECT', 'SELECT 1,', 1)}")
    check("a row of 10 MB in less than 400 MB, most of it for its 5 million tokens", not out and mib < 400, f"{mib:.0f} MB {out}")
    gives("... is found by each part", "1|t", "SELECT id, snippet LIKE '%number 179999 %' FROM nlp_search('large', 'number 179999', 1, 'text')")
    psql("DROP TABLE large")


def copy(rows, table="many"):
    return subprocess.run([*PSQL, "-d", "test", "-c", f"COPY {table} FROM stdin"], input="".join(rows), capture_output=True, text=True).stderr


def check_copy():
    words = "red green blue stone river cloud engine letter garden window".split()
    rows = [f"{i}\t{words[i % 10]} {words[i // 10 % 10]} {words[i // 100 % 10]} of row {i}\n" for i in range(50000)]
    psql("CREATE TABLE many (id int PRIMARY KEY, body text); SELECT nlp_index_create('many', 'body', 'tiny')")
    err = copy(rows)
    check("COPY of 50,000 rows", not err and value("SELECT count(*) FROM many") == "50000", err)
    gives("... all of which are in the index", "t", WHOLE.format("many"))
    gives("... and are found", "31234", "SELECT id FROM nlp_search('many', 'row 31234', 1)")
    err = copy([f"{i}\tmore of row {i}\n" for i in range(50000, 51000)] + ["7\tthere is one\n"])
    check("a COPY whose last row is there already fails", "23505" in err, err)
    gives("... and leaves the index as it was", "50000\nt", "SELECT count(*) FROM many;" + WHOLE.format("many"))
    psql(POISON.format("many", 50900))
    err = copy([f"{i}\tmore of row {i}\n" for i in range(50000, 51000)])
    check("one that fails in the middle of being embedded", "poison" in err, err)
    gives("... leaves it as well", "50000\nt", "SELECT count(*) FROM many;" + WHOLE.format("many"))
    psql("DROP TRIGGER p ON nlp_index.many_chunks; DROP FUNCTION poison")
    gives("a COPY that is rolled back", "51000\nt\n50000\nt", f"BEGIN; COPY many FROM PROGRAM 'for i in $(seq 50000 50999); do printf \"%s\\tmore of row %s\\n\" $i $i; done'; SELECT count(*) FROM many; {WHOLE.format('many')}; ROLLBACK; SELECT count(*) FROM many; {WHOLE.format('many')}")
    sessions = [subprocess.Popen([*PSQL, "-d", "test", "-c", "COPY many FROM stdin"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    threads = [threading.Thread(target=session.communicate, args=("".join(f"{60000 + n * 1000 + i}\tsession {n} row {i}\n" for i in range(1000)),)) for n, session in enumerate(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gives("four sessions that COPY at once", "54000\nt", "SELECT count(*) FROM many;" + WHOLE.format("many"))
    psql("DROP TABLE many")


def check_full():
    """A disk that is full in the middle: a file system of 6 MB, where one may be mounted."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(SOCKET)) as place:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=6m,mode=700,uid={os.stat(SOCKET).st_uid}", "tmpfs", place], capture_output=True).returncode:
            print("left out: a full disk, since nobody may mount a small one here")
            return
        try:
            psql(f"CREATE TABLE many (id int PRIMARY KEY, body text); SELECT nlp_index_create('many', 'body', 'tiny'); CREATE TABLESPACE small LOCATION '{place}'; ALTER TABLE nlp_index.many_chunks SET TABLESPACE small; INSERT INTO many SELECT i, 'text ' || i FROM generate_series(1, 100) i")
            fails("the disk of the index is full in the middle", "INSERT INTO many SELECT i, 'more ' || i FROM generate_series(1000, 60000) i", "53100")
            gives("... the rows and the index are as they were", "100\nt\n77", "SELECT count(*) FROM many;" + WHOLE.format("many") + "; SELECT id FROM nlp_search('many', 'text 77', 1, 'text')")
            gives("... and go on where there is room", "101\nt", "ALTER TABLE nlp_index.many_chunks SET TABLESPACE pg_default; INSERT INTO many VALUES (1000, 'more'); SELECT count(*) FROM many;" + WHOLE.format("many"))
            psql("DROP TABLE many; DROP TABLESPACE small")
        finally:
            psql("DROP TABLE IF EXISTS many; DROP TABLESPACE IF EXISTS small")
            subprocess.run(["umount", place], check=False)


def check_model_gone():
    path = os.path.join(MODELS, "passing.nlp")
    import_pack(NLP, os.path.join(DATA, "models", "static-mapped"), path)
    psql("CREATE TABLE plain (id int PRIMARY KEY, body text); INSERT INTO plain VALUES (1, 'stone'); SELECT nlp_index_create('plain', 'body', 'passing')")
    os.remove(path)
    for sql in ("SELECT * FROM nlp_search('plain', 'stone')", "INSERT INTO plain VALUES (2, 'river')", "SELECT nlp_index_rebuild('plain')"):
        fails("without its model: " + sql, sql, "42704", "passing")
    gives("... words are found, rows may go, another model may come", "1\n0\nf", "SELECT id FROM nlp_search('plain', 'stone', 1, 'text'); DELETE FROM plain; SELECT nlp_index_rebuild('plain', 'tiny'); SELECT drift FROM nlp_index_status WHERE relation = 'plain'::regclass")
    psql("DROP TABLE plain")


def check_storage():
    if value("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'") == "1":
        return  # index_pgvector_tests has more to say
    for sql in ("SELECT nlp_index_create('kin', 'body', storage => 'pgvector')", "SELECT nlp_index_rebuild('docs', storage => 'pgvector')"):
        fails("pgvector where there is none: " + sql, "CREATE TABLE IF NOT EXISTS kin (id int PRIMARY KEY, body text);" + sql, "42704", "extension vector", "storage => 'builtin'")
    fails("an unknown storage", "SELECT nlp_index_rebuild('docs', storage => 'disk')", "22023", "disk")
    gives("the storage by itself", "builtin\n3", "SELECT storage FROM nlp_index_status WHERE relation = 'docs'::regclass; SELECT nlp_index_rebuild('docs', storage => 'auto')")
    psql("DROP TABLE kin")


def check_clean():
    """A dump that first drops what is there, restored over a database that has gone on since."""
    common = ["-h", SOCKET, "-U", "postgres"]
    psql("DROP DATABASE IF EXISTS again", "postgres")
    psql("CREATE DATABASE again", "postgres")
    psql("CREATE EXTENSION nlp; CREATE TABLE docs (id int PRIMARY KEY, body text); INSERT INTO docs VALUES (1, 'The shop opens at nine.'); SELECT nlp_index_create('docs', 'body'); CREATE TABLE pairs (a text, b int, body text, PRIMARY KEY (a, b)); SELECT nlp_index_create('pairs', 'body', mode => 'async')", database="again")
    with tempfile.TemporaryDirectory() as work:
        for form, restore in (("p", [*PSQL, "-v", "ON_ERROR_STOP=1", "-f"]), ("c", [os.path.join(BIN, "pg_restore"), *common, "--clean", "--if-exists", "-e"])):
            dump = os.path.join(work, form)
            subprocess.run([os.path.join(BIN, "pg_dump"), *common, "-F", form, *(["--clean", "--if-exists"] if form == "p" else []), "-f", dump, "again"], check=True)
            psql("INSERT INTO docs VALUES (2, 'Birds build their nests.'); UPDATE docs SET body = 'closed' WHERE id = 1", database="again")
            done = subprocess.run([*restore[:-1], "-d", "again", restore[-1], dump] if form == "p" else [*restore, "-d", "again", dump], capture_output=True, text=True)
            check(f"--clean over what is there, format {form}", done.returncode == 0, done.stderr)
            gives("... is as it was", "1|1|The shop opens at nine.\n1|2", "SELECT count(*) OVER (), id, snippet FROM nlp_search('docs', 'shop'); SELECT (SELECT count(*) FROM nlp_index.docs_chunks), count(*) FROM nlp_index_status", database="again")
            gives("... and goes on", "3\n1", "INSERT INTO docs VALUES (3, 'A volcano erupted.'); SELECT id FROM nlp_search('docs', 'volcano', 1); DELETE FROM docs WHERE id = 3; INSERT INTO pairs VALUES ('x', 1, 'stone'); SELECT count(*) FROM nlp_index.pairs_queue; DELETE FROM pairs; DELETE FROM nlp_index.pairs_queue".replace("INSERT INTO pairs", "SET nlp.index_worker = off; INSERT INTO pairs"), database="again")
    psql("DROP DATABASE again WITH (FORCE)", "postgres")


def check_dropped():
    """The worker is not in the way of who drops, renames or copies its database."""
    worker = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'nlp index worker' AND datname LIKE 'brief%'"
    rows = "INSERT INTO docs SELECT i, 'Text number ' || i || ' speaks of stones and rivers.' FROM generate_series(1, {0}) i"

    def begin(n):
        psql("CREATE DATABASE brief", "postgres")
        psql("CREATE EXTENSION nlp; CREATE TABLE docs (id int PRIMARY KEY, body text);" + rows.format(n) + "; SELECT nlp_index_create('docs', 'body', mode => 'async')", database="brief")
        waits_for(worker, lambda n: n == "1")
    begin(3)
    gives("DROP DATABASE beside a worker that has nothing to do", "", "DROP DATABASE brief", database="postgres")
    begin(3000)
    gives("... one that is at work", "", "DROP DATABASE brief", database="postgres")
    begin(3000)
    gives("... WITH (FORCE)", "", "DROP DATABASE brief WITH (FORCE)", database="postgres")
    becomes("... and it is gone", "0", worker)
    begin(600)
    gives("a copy of its database", "", "CREATE DATABASE brief_2 TEMPLATE brief", database="postgres")
    gives("... has what it had", "600", "SELECT pending + rows_indexed FROM nlp_index_status", database="brief_2")
    becomes_there("the work goes on behind it", "0|600", "SELECT pending, rows_indexed FROM nlp_index_status", "brief")
    gives("ALTER DATABASE RENAME", "", "ALTER DATABASE brief RENAME TO brief_3", database="postgres")
    psql("DROP DATABASE brief_2; ", "postgres")
    psql("DROP DATABASE brief_3", "postgres")
    psql("DROP DATABASE IF EXISTS brief", "postgres")


def becomes_there(name, expected, sql, database):
    end = time.time() + 60
    while (found := value(sql, database=database)) != expected and time.time() < end:
        time.sleep(0.1)
    check(name, found == expected, found)


def main():
    psql("CREATE DATABASE test", "postgres")
    import_pack(NLP, os.path.join(DATA, "models", "model2vec"), os.path.join(MODELS, "tiny.nlp"))
    _, err = psql(SETUP)
    check("a table of texts", not err, err)
    for part in (check_altered, check_storage, check_dead, check_stale, check_model_gone, check_copy, check_large, check_full, check_clean, check_dropped):
        part()
    finish()


main()
