"""Semantic search in a table: nlp_index_create, nlp_search and how the index keeps in step. Run by tests/pg/run."""
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import BIN, PSQL, SOCKET, fails, psql, value  # noqa: E402
from index_support import HELD, ORACLE, becomes, gives, random_script, waits_for  # noqa: E402
from harness import ROOT, check, finish  # noqa: E402

TEXTS = ["The key can be reset under Settings, Security.", "Our shop opens at nine in the morning.", "Error E4512 means that the pump is blocked.",
         "Passwords are renewed by the help desk.", "The invoice is sent by mail at the end of the month.", "Birds build their nests in spring."]
SETUP = """SET client_min_messages = warning;
DROP EXTENSION IF EXISTS nlp CASCADE;
DROP TABLE IF EXISTS docs, keyed, pairs, tree, plain, other, who CASCADE; DROP FUNCTION IF EXISTS seize, poison CASCADE;
CREATE EXTENSION nlp;
CREATE TABLE docs (id int PRIMARY KEY, lang text, title varchar(80), body text);
INSERT INTO docs SELECT i, CASE i % 2 WHEN 0 THEN 'en' ELSE 'xx' END, 'Number ' || i, t FROM unnest(ARRAY[{texts}]) WITH ORDINALITY u(t, i);
INSERT INTO docs VALUES (100, 'en', NULL, NULL), (101, 'en', '', '');
""".format(texts=", ".join(f"'{t}'" for t in TEXTS))


def ids(query, *arguments, **options):
    return value(f"SELECT string_agg(id::text, ' ') FROM nlp_search('docs', '{query}'{''.join(', ' + a for a in arguments)})", **options)


def check_search():
    gives("an index is made of all rows", "8", "SELECT nlp_index_create('docs', 'body')")
    check("... that has each text once", value(ORACLE.format("docs")) == "t", value(HELD.format("docs")))
    check("a search by meaning and words", ids("how do I get a new password").startswith("4 1"))
    check("... by words alone", ids("when does the shop open", "mode => 'text'") == "2")
    check("... by meaning alone", ids("when can I go shopping", "1", "'semantic'") == "2")
    gives("... gives k rows", "4", "SELECT count(*) FROM nlp_search('docs', 'x', 4)")
    check("an identifier comes first", ids("what does E4512 say about birds and nests", "3").startswith("3 "))
    gives("score, place and ranks", f"6|t|{TEXTS[5]}|1|{len(TEXTS[5])}|1|1", "SELECT id, score > 0.03, snippet, start_pos, end_pos, dense_rank, text_rank FROM nlp_search('docs', 'birds nests', 1)")
    check("a filter is applied before the search", ids("when does the shop open", "6", "filter => 'lang = ''xx'''") in ("3 1 5", "1 3 5", "1 5 3", "3 5 1", "5 1 3", "5 3 1"))
    gives("... and leaves all k rows", "3", "SELECT count(*) FROM nlp_search('docs', 'shop', 3, filter => 'id > 3')")
    check("weights", ids("shop password", "1", """options => '{"text_weight": 0, "dense_weight": 1}'""") == ids("shop password", "1", "'semantic'"))
    check("the same search twice", ids("money") == ids("money"))
    gives("an empty query finds nothing", "0", "SELECT count(*) FROM nlp_search('docs', '')")
    gives("NULL finds nothing", "0", "SELECT count(*) FROM nlp_search('docs', NULL)")
    check("a query of 100,000 characters", value("SELECT count(*) FROM nlp_search('docs', repeat('shop ', 20000), 2)").startswith("2"))
    for text in ("a & | ! ( <-> :* ''", "\"quoted OR\" NEAR/3 -not col:x", "\\", "%_%", "()"):
        gives(f"a query of signs: {text}", "t", f"SELECT count(*) <= 3 FROM nlp_search('docs', $q${text}$q$, 3)")
    gives("reranked by another model", "3|t", "SELECT count(*), bool_and(score <= 1) FROM nlp_search('docs', 'shop', 3, rerank => 'minilm')")
    gives("joined to the table", "Number 6", "SELECT d.title FROM nlp_search('docs', 'birds', 1) s JOIN docs d USING (id)")


def check_writes():
    psql("INSERT INTO docs VALUES (7, 'en', 'x', 'Cats sleep most of the day.')")
    check("a row is found behind its INSERT", ids("animals that sleep", "1") == "7")
    psql("UPDATE docs SET body = 'Dogs bark at night.' WHERE id = 7")
    check("... as it is after an UPDATE", ids("animals that sleep", "1", "'text'") == "" and ids("barking", "1") == "7")
    gives("... and inside the transaction", "7\n0", "BEGIN; UPDATE docs SET body = 'A comet was seen.' WHERE id = 7; SELECT id FROM nlp_search('docs', 'comet', 1, 'text'); ROLLBACK; SELECT count(*) FROM nlp_search('docs', 'comet', 1, 'text')")
    gives("... a key that changes", "8", "UPDATE docs SET id = 8 WHERE id = 7; SELECT id FROM nlp_search('docs', 'bark', 1, 'text')")
    psql("DELETE FROM docs WHERE id = 8")
    check("... and is gone with a DELETE", ids("bark", "1", "'text'") == "")
    gives("a savepoint", "10", "BEGIN; SAVEPOINT a; INSERT INTO docs VALUES (9, 'en', '', 'zebra'); ROLLBACK TO a; INSERT INTO docs VALUES (10, 'en', '', 'giraffe'); COMMIT; SELECT string_agg(id::text, ' ') FROM nlp_search('docs', 'zebra giraffe', 3, 'text')")
    gives("ON CONFLICT DO UPDATE", "10", "INSERT INTO docs VALUES (10, 'en', '', 'okapi') ON CONFLICT (id) DO UPDATE SET body = excluded.body; SELECT id FROM nlp_search('docs', 'okapi', 1, 'text')")
    gives("MERGE", "11", "MERGE INTO docs d USING (VALUES (10), (11)) v(id) ON d.id = v.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'en', '', 'tapir'); SELECT string_agg(id::text, ' ') FROM nlp_search('docs', 'tapir okapi', 3, 'text')")
    gives("a text that stays is not embedded again", "0\n0", "SELECT forward_passes FROM nlp_stats; UPDATE docs SET lang = 'yy'; SELECT forward_passes FROM nlp_stats")
    long = " ".join(f"Sentence number {i} speaks of nothing much at all." for i in range(120))
    psql(f"INSERT INTO docs VALUES (12, 'en', '', '{long} At last the volcano erupted.')")
    gives("a long text is found by its end", "12|t", "SELECT id, snippet LIKE '%volcano erupted.' FROM nlp_search('docs', 'volcano', 1)")
    inputs = value("UPDATE docs SET body = body || ' Ash fell.' WHERE id = 12; SELECT inputs FROM nlp_stats")
    check("... the chunks that stay keep their vectors", inputs.isdigit() and int(inputs) < 10, inputs)
    gives("the index holds what the table holds", "t", ORACLE.format("docs"))
    gives("TRUNCATE", "0\nt", "BEGIN; TRUNCATE docs; SELECT count(*) FROM nlp_search('docs', 'shop'); ROLLBACK; SELECT count(*) > 0 FROM nlp_search('docs', 'shop')")
    gives("COPY of many rows", "1000\n1234", "BEGIN; COPY docs (id, body) FROM PROGRAM 'for i in $(seq 1000 1999); do printf \"%s\\tRow %s of a copy\\n\" $i $i; done'; SELECT count(*) FROM nlp_index.docs_chunks WHERE k1 >= 1000; SELECT id FROM nlp_search('docs', 'row 1234 of a copy', 1); ROLLBACK")


def check_random(n):
    psql("DROP TABLE IF EXISTS plain; CREATE TABLE plain (id int PRIMARY KEY, body text); SELECT nlp_index_create('plain', 'body')")
    wrong = []
    for seed in range(n):
        _, err = psql(random_script(seed))
        if err or value(ORACLE.format("plain")) != "t":
            wrong.append((seed, err))
    check(f"{n} random scripts of writes and savepoints leave index and table equal", not wrong, str(wrong[:3]))


def check_repair():
    psql("SET session_replication_role = replica; INSERT INTO docs VALUES (20, 'en', '', 'unseen quokka'); UPDATE docs SET body = 'unseen wombat' WHERE id = 11; DELETE FROM docs WHERE id = 6")
    check("the status shows what triggers could not see", value("SELECT rows_total, rows_indexed FROM nlp_index_status").count("|") == 1 and ids("quokka", "1", "'text'") == "")
    check("a row that is gone is not found", "6" not in ids("birds nests").split())
    check("nlp_index_refresh repairs it", value("SELECT nlp_index_refresh('docs')") == "2" and value(ORACLE.format("docs")) == "t")
    gives("... and finds nothing more to do", "0", "SELECT nlp_index_refresh('docs')")
    check("nlp_index_rebuild", int(value("SELECT nlp_index_rebuild('docs')")) > 8 and value(ORACLE.format("docs")) == "t")
    psql("UPDATE _nlp.indexes SET digest = repeat('0', 64)")
    fails("a search by another model than the index was made with", "SELECT * FROM nlp_search('docs', 'shop')", "55000", "0000000000000000", "nlp_index_rebuild")
    gives("... is shown as drift", "t", "SELECT drift FROM nlp_index_status WHERE relation = 'docs'::regclass")
    fails("... and a write as well", "INSERT INTO docs VALUES (21, 'en', '', 'text')", "55000", "nlp_index_rebuild")
    gives("... until it is rebuilt", "t\nf\n1", "SELECT nlp_index_rebuild('docs') > 0; SELECT drift FROM nlp_index_status WHERE relation = 'docs'::regclass; SELECT count(*) FROM nlp_search('docs', 'shop', 1)")
    psql("UPDATE nlp_index.docs_chunks SET q8 = 'abc' WHERE id = (SELECT min(id) FROM nlp_index.docs_chunks)")
    fails("a damaged vector", "SELECT * FROM nlp_search('docs', 'shop')", "XX001", "nlp_index_rebuild")
    psql("SELECT nlp_index_rebuild('docs'); UPDATE nlp_index.docs_signatures SET signature = 'abc'")
    fails("a damaged signature", "SELECT * FROM nlp_search('docs', 'shop')", "XX001", "nlp_index_rebuild")
    psql("SELECT nlp_index_rebuild('docs')")


def check_definition():
    gives("a renamed column is followed", "2", "ALTER TABLE docs RENAME body TO content; UPDATE docs SET content = 'a quiet lagoon' WHERE id = 2; SELECT id FROM nlp_search('docs', 'lagoon', 1, 'text')")
    gives("... a renamed table", "2", "ALTER TABLE docs RENAME TO papers; SELECT id FROM nlp_search('papers', 'lagoon', 1, 'text'); ALTER TABLE papers RENAME TO docs; ALTER TABLE docs RENAME content TO body")
    gives("several columns are one text", "t|t\n5|t", "SELECT nlp_index_drop('docs'), nlp_index_create('docs', '{title,body}'::name[]) > 0; SELECT id, snippet LIKE 'Number 5%invoice%' FROM nlp_search('docs', 'Number 5', 1)")
    _, err = psql("ALTER TABLE docs DROP COLUMN title")
    check("a dropped column takes its index along", "is dropped with its column" in err and value("SELECT count(*) FROM nlp_index_status WHERE relation = 'docs'::regclass; INSERT INTO docs (id, body) VALUES (50, 'x'); SELECT to_regclass('nlp_index.docs_chunks') IS NULL") == "0\nt", err)
    gives("a dropped table, too", "0\n0\nt", "CREATE TABLE other (id int PRIMARY KEY, body text); SELECT nlp_index_create('other', 'body'); DROP TABLE other; SELECT count(*) FROM _nlp.indexes WHERE name = 'other'; SELECT to_regclass('nlp_index.other_chunks') IS NULL")
    gives("a uuid as key", "1\n00000000-0000-0000-0000-000000000007|The shop opens at nine.", """CREATE TABLE keyed (id uuid PRIMARY KEY, body text); INSERT INTO keyed VALUES ('00000000-0000-0000-0000-000000000007', 'The shop opens at nine.');
        SELECT nlp_index_create('keyed', 'body'); SELECT id, snippet FROM nlp_index.nlp_search_keyed('shop', 1)""")
    fails("... nlp_search itself gives one integer", "SELECT * FROM nlp_search('keyed', 'shop')", "22023", "nlp_search_keyed")
    gives("a key of two columns", "2\n1|z", """CREATE TABLE pairs (a text, b smallint, body text, PRIMARY KEY (b, a)); INSERT INTO pairs VALUES ('x', 1, 'The shop opens at nine.'), ('y', 1, 'Birds build nests.');
        SELECT nlp_index_create('pairs', 'body'); UPDATE pairs SET a = 'z' WHERE a = 'y'; SELECT b, a FROM nlp_index.nlp_search_pairs('bird', 1)""")
    gives("partitions, also those that come later", "0\n2 11\n2", """CREATE TABLE tree (id int PRIMARY KEY, body text) PARTITION BY RANGE (id); CREATE TABLE tree_1 PARTITION OF tree FOR VALUES FROM (0) TO (10);
        SELECT nlp_index_create('tree', 'body'); INSERT INTO tree VALUES (1, 'The shop opens at nine.'); INSERT INTO tree_1 VALUES (2, 'Birds build nests.');
        CREATE TABLE tree_2 PARTITION OF tree FOR VALUES FROM (10) TO (20); INSERT INTO tree_2 VALUES (11, 'A volcano erupted.'); INSERT INTO tree VALUES (12, 'It rains.');
        SELECT string_agg(id::text, ' ' ORDER BY id) FROM nlp_search('tree', 'bird volcano', 2); TRUNCATE tree_2; SELECT count(*) FROM nlp_index.tree_chunks""")


def check_rights():
    psql("SELECT nlp_index_create('docs', 'body'); DROP ROLE IF EXISTS searcher, inserter, owner_2; CREATE ROLE searcher LOGIN; CREATE ROLE inserter LOGIN; CREATE ROLE owner_2 LOGIN; GRANT INSERT ON docs TO inserter")
    fails("a search by a user who may not read the table", "SELECT * FROM nlp_search('docs', 'shop')", "42501", user="searcher")
    psql("GRANT SELECT (id, lang) ON docs TO searcher")
    fails("... or not its text", "SELECT * FROM nlp_search('docs', 'shop')", "42501", user="searcher")
    psql("GRANT SELECT ON docs TO searcher")
    check("... by one who may", value("SELECT id FROM nlp_search('docs', 'birds', 1)", user="searcher") != "")
    fails("the index's own tables are the owner's", "SELECT * FROM nlp_index.docs_chunks", "42501", user="searcher")
    for verb in ("nlp_index_refresh('docs')", "nlp_index_drop('docs')", "nlp_index_rebuild('docs')", "nlp_index_create('docs', 'body')", "_nlp.index_step('docs', 1)"):
        fails(f"{verb} by another user", f"SELECT {verb}", "42501", user="searcher")
    fails("the inner functions", "SELECT _nlp.index_drop('docs')", "42501", user="searcher")
    psql("INSERT INTO docs (id, body) VALUES (60, 'The lighthouse is lit.')", user="inserter")
    check("a inserter needs no right on the index", ids("lighthouse", "1", "'text'") == "60")
    psql("ALTER TABLE docs ENABLE ROW LEVEL SECURITY; CREATE POLICY first_ones ON docs FOR SELECT USING (id < 4)")
    gives("row-level security hides rows, and those seen take all places", "1 2 3", "SELECT string_agg(id::text, ' ' ORDER BY id) FROM nlp_search('docs', 'lighthouse shop', 3)", user="searcher")
    check("... not from the owner", ids("lighthouse", "1", "'text'") == "60")
    psql("ALTER TABLE docs DISABLE ROW LEVEL SECURITY; ALTER TABLE docs OWNER TO owner_2")
    gives("a new owner has the index", "61\n0\n1", "INSERT INTO docs (id, body) VALUES (61, 'A harbour at dusk.'); SELECT id FROM nlp_search('docs', 'harbour', 1, 'text'); SELECT nlp_index_refresh('docs'); SELECT count(*) FROM nlp_index_status", user="owner_2")
    fails("an owner may not hang anything on the index's tables", "CREATE TRIGGER t AFTER INSERT ON nlp_index.docs_chunks FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "42501", user="owner_2")
    fails("... nor alter them", "ALTER TABLE nlp_index.docs_chunks ALTER seq TYPE text", "42501", user="owner_2")
    gives("... but empty them, which a refresh mends", "t", "TRUNCATE nlp_index.docs_chunks, nlp_index.docs_signatures; SELECT nlp_index_refresh('docs') > 5", user="owner_2")
    psql("ALTER TABLE docs OWNER TO postgres")
    fails("the owner before has no right on the index any more", "SELECT * FROM nlp_index.docs_chunks", "42501", user="owner_2")


def check_bad():
    psql("CREATE TABLE other (id int NOT NULL UNIQUE, body text, n int); CREATE VIEW docs_view AS SELECT * FROM docs; CREATE TEMP TABLE t (id int)")
    for name, call, state, word in [
            ("a table without a key", "nlp_index_create('other', 'body')", "42P16", "keys =>"),
            ("a view", "nlp_index_create('docs_view', 'body')", "42809", "view"),
            ("a column that is not there", "nlp_index_create('docs', 'nothing')", "42703", "nothing"),
            ("a column of numbers", "nlp_index_create('other', 'n', keys => ARRAY['id']::name[])", "42804", "integer"),
            ("no columns", "nlp_index_create('other', '{}'::name[], keys => ARRAY['id']::name[])", "54000", "0 columns"),
            ("a second index", "nlp_index_create('docs', 'body')", "42710", "already"),
            ("an unknown mode", "nlp_index_create('other', 'body', mode => 'slow', keys => ARRAY['id']::name[])", "22023", "slow"),
            ("an unknown model", "nlp_index_create('other', 'body', 'nothing', keys => ARRAY['id']::name[])", "42704", "nothing"),
            ("too many tokens", "nlp_index_create('other', 'body', max_tokens => 1000, keys => ARRAY['id']::name[])", "22023", "1000"),
            ("dropping what is not there", "nlp_index_drop('other')", "42704", "other"),
            ("refreshing what is not there", "nlp_index_refresh('other')", "42704", "other"),
            ("searching what is not there", "nlp_search('other', 'x')", "42704", "nlp_index_create"),
            ("k = 0", "nlp_search('docs', 'x', 0)", "22023", "k is 0"),
            ("k = -1", "nlp_search('docs', 'x', -1)", "22023", "k is -1"),
            ("k = 10^9", "nlp_search('docs', 'x', 1000000000)", "54000", "10000"),
            ("an unknown mode of search", "nlp_search('docs', 'x', 3, 'fuzzy')", "22023", "fuzzy"),
            ("an unknown option", "nlp_search('docs', 'x', options => '{\"weight\": 1}')", "22023", "dense_weight"),
            ("a filter of two statements", "nlp_search('docs', 'x', filter => 'true; DROP TABLE docs')", "22023", "filter"),
            ("a filter that closes its bracket", "nlp_search('docs', 'x', filter => 'true) OR (true')", "42601", ""),
            ("a filter with a clause", "nlp_search('docs', 'x', filter => 'true FROM docs')", "22023", "filter"),
            ("a volatile filter", "nlp_search('docs', 'x', filter => 'random() < 0.5')", "22023", "volatile"),
            ("a filter that is no condition", "nlp_search('docs', 'x', filter => 'lang')", "42804", ""),
            ("a filter of an unknown column", "nlp_search('docs', 'x', filter => 'nothing = 1')", "42703", "nothing")]:
        fails(name, f"SELECT {call}", state, word)
    fails("a temporary table", "CREATE TEMP TABLE t (id int PRIMARY KEY, body text); SELECT nlp_index_create('t', 'body')", "42809", "temporary")
    gives("keys that are named", "1\n1", "ALTER TABLE other ALTER id SET NOT NULL; INSERT INTO other VALUES (1, 'The shop opens at nine.', 1); SELECT nlp_index_create('other', 'body', keys => ARRAY['id']::name[]); SELECT id FROM nlp_search('other', 'shop')")
    gives("a filter with a comment", "2", "SELECT count(*) FROM nlp_search('docs', 'x', 2, filter => 'true -- comment')")
    gives("a text of many chunks", "t\n1", "INSERT INTO other SELECT 2, string_agg('Stones ' || i || ' lie in the river.', ' '), 2 FROM generate_series(1, 3000) i; SELECT count(*) > 100 FROM nlp_index.other_chunks WHERE k1 = 2; DELETE FROM other WHERE id = 2; SELECT count(*) FROM nlp_index.other_chunks")


HOSTILE = """SET check_function_bodies = off; CREATE TABLE "a$f$;b""c" ("k$f$; DROP TABLE docs; --" text PRIMARY KEY, body text); INSERT INTO "a$f$;b""c" VALUES ('x', 'The shop opens at nine.');
SELECT nlp_index_create('"a$f$;b""c"', 'body'); SELECT * FROM nlp_index."nlp_search_a$f$;b""c"('shop', 1) s; SELECT nlp_index_drop('"a$f$;b""c"'); DROP TABLE "a$f$;b""c" """


def check_hostile():
    """What a table's owner may try, and what happens to tables."""
    check("names with quotes and dollars", value(HOSTILE).startswith("1\nx|"), value(HOSTILE))
    gives("names like those of the index's own tables", "2\n1\nt\n2", """CREATE TABLE mail_queue (id int PRIMARY KEY, body text); INSERT INTO mail_queue VALUES (1, 'a'), (2, 'b'); SELECT nlp_index_create('mail_queue', 'body'); CREATE TABLE mail (id int PRIMARY KEY, body text);
        INSERT INTO mail VALUES (1, 'x'); SELECT nlp_index_create('mail', 'body'); SELECT count(*) >= 2 FROM nlp_index_status; DROP TABLE mail; SELECT count(*) FROM nlp_search('mail_queue', 'a'); DROP TABLE mail_queue""")
    psql("CREATE TABLE odd (id text, body text); CREATE TABLE twice (id int NOT NULL, body text); CREATE TABLE late (id int PRIMARY KEY DEFERRABLE, body text); CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE feelings (id mood PRIMARY KEY, body text); CREATE UNLOGGED TABLE brief (id int PRIMARY KEY, body text)")
    for table, why, state in [("odd", "a key that may be NULL", "42P16"), ("twice", "a key that is not unique", "42P16"), ("late", "a key that is checked later", "42P16"), ("feelings", "a key of a user's type", "0A000"), ("brief", "an unlogged table", "42809")]:
        fails(why, f"SELECT nlp_index_create('{table}', 'body', keys => ARRAY['id']::name[])", state)
    psql("CREATE TABLE plain_2 (id int PRIMARY KEY, body text); INSERT INTO plain_2 VALUES (1, 'The shop opens at nine.'); SELECT nlp_index_create('plain_2', 'body'); ALTER TABLE plain_2 ALTER id TYPE numeric")
    for sql in ("SELECT * FROM nlp_search('plain_2', 'shop')", "INSERT INTO plain_2 VALUES (2, 'x')"):
        fails("a key of another type by now: " + sql, sql, "55000", "nlp_index_drop")
    gives("... the index is made again", "t|1", "SELECT nlp_index_drop('plain_2'), nlp_index_create('plain_2', 'body')")
    psql("DROP TABLE IF EXISTS plain; CREATE TABLE plain (id int PRIMARY KEY, body text); SELECT nlp_index_create('plain', 'body'); ALTER TABLE plain DROP CONSTRAINT plain_pkey; INSERT INTO plain VALUES (1, 'hello world')")
    fails("a key that is unique no more", "INSERT INTO plain VALUES (1, 'hello again'), (1, 'hello')", "23505")
    gives("... gives each row once", "1", "SET session_replication_role = replica; INSERT INTO plain SELECT 1, 'hello world' FROM generate_series(1, 500); SELECT count(*) FROM nlp_search('plain', 'hello', 1000)")
    gives("a row that its own trigger changes", "okapi|1", """DROP TABLE plain; CREATE TABLE plain (id int PRIMARY KEY, body text); SELECT FROM nlp_index_create('plain', 'body'); CREATE FUNCTION other_text() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE plain SET body = 'okapi' WHERE id = NEW.id; RETURN NULL; END $$;
        CREATE TRIGGER t AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION other_text(); INSERT INTO plain VALUES (1, 'zebra'); SELECT snippet, (SELECT count(*) FROM nlp_search('plain', 'okapi', 1, 'text')) FROM nlp_search('plain', 'zebra', 1); DROP TABLE plain; DROP FUNCTION other_text""".replace("SELECT FROM nlp_index_create('plain', 'body')", "DO $$ BEGIN PERFORM nlp_index_create('plain', 'body'); END $$"))
    gives("all of 88 rows are found", "88", "CREATE TABLE plain (id int PRIMARY KEY, body text); INSERT INTO plain SELECT i, 'row ' || i FROM generate_series(1, 88) i; DO $$ BEGIN PERFORM nlp_index_create('plain', 'body'); END $$; SELECT count(*) FROM nlp_search('plain', 'row', 88, 'semantic')")
    gives("BM25 knows how many rows there are", "t", "DELETE FROM plain; INSERT INTO plain SELECT i, CASE WHEN i <= 10 THEN 'a zebra' ELSE 'another one' END FROM generate_series(1, 100) i; VACUUM ANALYZE nlp_index.plain_chunks; SELECT score > 1 FROM nlp_search('plain', 'zebra', 1, 'text')")
    gives("a table with FORCE ROW LEVEL SECURITY stays whole", "0|100", "ALTER TABLE plain ENABLE ROW LEVEL SECURITY; ALTER TABLE plain FORCE ROW LEVEL SECURITY; ALTER TABLE plain OWNER TO owner_2; SELECT nlp_index_refresh('plain'), (SELECT count(*) FROM nlp_index.plain_chunks); ALTER TABLE plain NO FORCE ROW LEVEL SECURITY; ALTER TABLE plain DISABLE ROW LEVEL SECURITY")
    gives("a filter beside a policy that is volatile", "3", "CREATE FUNCTION mine(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN $1 < 50; END'; CREATE POLICY p ON plain USING (mine(id)); ALTER TABLE plain ENABLE ROW LEVEL SECURITY; GRANT SELECT ON plain TO searcher; SET ROLE searcher; SELECT count(*) FROM nlp_search('plain', 'zebra', 3, filter => 'id > 5')")
    gives("a configuration of one's own", "1|1", "CREATE TEXT SEARCH CONFIGURATION public.own (COPY = german); DROP TABLE plain; CREATE TABLE plain (id int PRIMARY KEY, body text); DO $$ BEGIN PERFORM nlp_index_create('plain', 'body', config => 'own'); END $$; INSERT INTO plain VALUES (1, 'die Häuser'); SELECT id, text_rank FROM nlp_search('plain', 'Haus', 1)")
    gives("a dropped partition takes no places", "5", """CREATE TABLE pieces (id int PRIMARY KEY, body text) PARTITION BY RANGE (id); CREATE TABLE pieces_1 PARTITION OF pieces FOR VALUES FROM (0) TO (1000); CREATE TABLE pieces_2 PARTITION OF pieces FOR VALUES FROM (1000) TO (2000);
        DO $$ BEGIN PERFORM nlp_index_create('pieces', 'body'); END $$; INSERT INTO pieces SELECT i, 'zebra' FROM generate_series(1, 200) i; INSERT INTO pieces SELECT i, 'a zebra' FROM generate_series(1000, 1019) i; DROP TABLE pieces_1; SELECT count(*) FROM nlp_search('pieces', 'zebra', 5)""")
    psql("ALTER TABLE pieces_2 OWNER TO owner_2")
    fails("a partition's owner and the whole index", "SELECT nlp_index_rebuild('pieces_2')", "42501", user="owner_2")
    psql("ALTER TABLE plain OWNER TO postgres; DROP TABLE pieces, odd, twice, late, feelings, brief, plain_2, plain; DROP TYPE mood; DROP FUNCTION mine; DROP TEXT SEARCH CONFIGURATION public.own")


def check_async():
    psql("ALTER DATABASE test SET nlp.index_worker = off")
    psql("DROP TABLE IF EXISTS plain; CREATE TABLE plain (id int PRIMARY KEY, body text); INSERT INTO plain SELECT i, 'Text number ' || i FROM generate_series(1, 200) i")
    gives("in mode async an index begins with a queue", "200\n200|0", "SELECT nlp_index_create('plain', 'body', mode => 'async'); SELECT pending, rows_indexed FROM nlp_index_status WHERE relation = 'plain'::regclass")
    check("... which nlp_index_run works off", value("CALL nlp_index_run('plain'); SELECT pending, rows_indexed, coverage FROM nlp_index_status WHERE relation = 'plain'::regclass") == "0|200|100.0" and value(ORACLE.format("plain")) == "t")
    psql("INSERT INTO plain VALUES (300, 'The harbour at dusk.'); UPDATE plain SET body = 'A lighthouse.' WHERE id = 5; DELETE FROM plain WHERE id = 6")
    gives("... a write is only queued", "0\n3", "SELECT count(*) FROM nlp_search('plain', 'harbour lighthouse', 2, 'text'); SELECT pending FROM nlp_index_status WHERE relation = 'plain'::regclass")
    check("... and found after the next run", value("CALL nlp_index_run('plain'); SELECT string_agg(id::text, ' ' ORDER BY id) FROM nlp_search('plain', 'harbour lighthouse', 2, 'text')") == "5 300" and value(ORACLE.format("plain")) == "t")
    psql("""CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.k1 = 400 THEN RAISE 'poison'; END IF; RETURN NEW; END $$; CREATE TRIGGER p BEFORE INSERT ON nlp_index.plain_chunks FOR EACH ROW EXECUTE FUNCTION poison();
        INSERT INTO plain SELECT i, 'More text ' || i FROM generate_series(390, 500) i""")
    gives("a row that fails is put off and holds up no other", "1|1|poison\n110", "CALL nlp_index_run('plain', 20); SELECT pending, failed, last_error FROM nlp_index_status WHERE relation = 'plain'::regclass; SELECT count(*) FROM nlp_index.plain_chunks WHERE k1 BETWEEN 390 AND 500")
    for _ in range(8):
        psql("UPDATE nlp_index.plain_queue SET next_try = now() WHERE next_try < 'infinity'; CALL nlp_index_run('plain', 5)")
    gives("... eight times, then for good", "1|1\n8", "SELECT failed, dead FROM nlp_index_status WHERE relation = 'plain'::regclass; SELECT attempts FROM nlp_index.plain_queue")
    psql("UPDATE _nlp.indexes SET digest = repeat('0', 64) WHERE relation = 'plain'::regclass; INSERT INTO plain VALUES (600, 'x')")
    fails("a queue whose model is another one by now", "CALL nlp_index_run('plain')", "55000", "nlp_index_rebuild")
    gives("... stays as it is", "0|2", "SELECT min(attempts), count(*) FROM nlp_index.plain_queue")
    psql("DROP TRIGGER p ON nlp_index.plain_chunks")
    gives("... and a rebuild does what it holds", "t\n0\n1", "SELECT nlp_index_rebuild('plain') > 200; SELECT count(*) FROM nlp_index.plain_queue; SELECT count(*) FROM nlp_index.plain_chunks WHERE k1 = 600")


def check_worker():
    psql("ALTER DATABASE test RESET nlp.index_worker; DROP TABLE IF EXISTS plain; DROP FUNCTION IF EXISTS poison CASCADE; CREATE TABLE plain (id int PRIMARY KEY, body text); INSERT INTO plain SELECT i, 'Text number ' || i FROM generate_series(1, 300) i")
    psql("SELECT nlp_index_create('plain', 'body', mode => 'async')")
    state = "SELECT pending, rows_indexed FROM nlp_index_status WHERE relation = 'plain'::regclass"
    becomes("a background worker works off the queue", "0|300", state)
    psql("INSERT INTO plain VALUES (1000, 'The harbour at dusk.')")
    becomes("... also what comes later", "1000", "SELECT id FROM nlp_search('plain', 'harbour', 1, 'text')")
    psql("INSERT INTO plain SELECT i, 'More text ' || i FROM generate_series(2000, 4000) i")
    psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'nlp index worker'")
    becomes("... one that is killed is gone", "0", "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'nlp index worker'")
    psql("INSERT INTO plain VALUES (1001, 'A lighthouse.')")
    becomes("... the next write starts another one, and nothing is lost or doubled", "0|2303", state)
    check("... the index holds what the table holds", value(ORACLE.format("plain")) == "t")
    psql("""CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.k1 = 5000 THEN RAISE 'poison'; END IF; RETURN NEW; END $$; CREATE TRIGGER p BEFORE INSERT ON nlp_index.plain_chunks FOR EACH ROW EXECUTE FUNCTION poison();
        INSERT INTO plain SELECT i, 'Yet more text ' || i FROM generate_series(4990, 5100) i""")
    becomes("... a row that fails is put off, the others are done", "1|2413", state)
    gives("... with its reason", "1|poison", "SELECT failed, last_error FROM nlp_index_status WHERE relation = 'plain'::regclass")
    psql("DROP TABLE plain")
    gives("a table may be dropped under it", "0", "SELECT count(*) FROM _nlp.indexes WHERE name = 'plain'")


def check_concurrent():
    """Sessions that write the same rows at once."""
    psql("DROP TABLE IF EXISTS plain; CREATE TABLE plain (id int PRIMARY KEY, body text); SELECT nlp_index_create('plain', 'body')")
    scripts = ["".join(f"INSERT INTO plain VALUES ({(i * 7 + n) % 20}, 'session {n} row {i}') ON CONFLICT (id) DO UPDATE SET body = excluded.body;\n"
                       f"DELETE FROM plain WHERE id = {(i * 5 + n) % 20};\n" for i in range(40)) for n in range(4)]
    with tempfile.TemporaryDirectory() as work:
        sessions = []
        for n, script in enumerate(scripts):
            path = os.path.join(work, f"{n}.sql")
            with open(path, "w", encoding="utf-8") as file:
                file.write(script)
            sessions.append(subprocess.Popen([*PSQL, "-d", "test", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        errors = [session.communicate()[1] for session in sessions]
    check("four sessions write the same rows without an error", not any(errors), "".join(errors))
    check("... and the index holds what the table holds", value(ORACLE.format("plain")) == "t")


def kill(where):
    """kill -9, and the server's restart after it, which all of its processes take part in."""
    checkpointer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    before = value(checkpointer)
    os.kill(int(waits_for(f"SELECT pid FROM pg_stat_activity WHERE {where} LIMIT 1", str.isdigit)), 9)
    waits_for(checkpointer, lambda pid: pid.isdigit() and pid != before)


def check_killed():
    """kill -9 of who writes; the server restarts."""
    psql("DROP TABLE IF EXISTS plain; CREATE TABLE plain (id int PRIMARY KEY, body text); INSERT INTO plain SELECT i, 'Text number ' || i FROM generate_series(1, 3000) i")
    with subprocess.Popen([*PSQL, "-d", "test", "-c", "SELECT nlp_index_create('plain', 'body')"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as session:
        time.sleep(0.5)
        kill("query LIKE 'SELECT nlp_index_create%'")
        session.wait()
    gives("killed in the middle of a build, there is none", "0|t", "SELECT (SELECT count(*) FROM _nlp.indexes WHERE name = 'plain'), to_regclass('nlp_index.plain_chunks') IS NULL")
    psql("SELECT nlp_index_create('plain', 'body', mode => 'async')")
    becomes("a worker is at it", "t", "SELECT rows_indexed > 100 FROM nlp_index_status WHERE relation = 'plain'::regclass")
    kill("backend_type = 'nlp index worker'")
    check("killed, it has lost nothing", value("SELECT pending + rows_indexed FROM nlp_index_status WHERE relation = 'plain'::regclass") == "3000")
    psql("INSERT INTO plain VALUES (5000, 'one more')")
    becomes("... another one goes on", "0|3001", "SELECT pending, rows_indexed FROM nlp_index_status WHERE relation = 'plain'::regclass")
    check("... and each row is there once", value(ORACLE.format("plain")) == "t")


def check_restored():
    psql("DROP DATABASE IF EXISTS restored", "postgres")
    psql("CREATE DATABASE restored", "postgres")
    common = ["-h", SOCKET, "-U", "postgres"]
    dump = subprocess.run([os.path.join(BIN, "pg_dump"), *common, "test"], capture_output=True, text=True, check=True).stdout
    done = subprocess.run([*PSQL, "-d", "restored", "-v", "ON_ERROR_STOP=1"], input=dump, capture_output=True, text=True)
    check("dump and restore without a manual step", done.returncode == 0, done.stderr)
    for query in ("SELECT * FROM nlp_search('docs', 'shop password', 5)", "SELECT * FROM nlp_index.nlp_search_pairs('bird', 2)", "SELECT * FROM nlp_search('tree', 'volcano', 2)"):
        check(f"restored: {query}", value(query) == value(query, database="restored") != "", value(query, database="restored"))
    gives("... and goes on", "900", "INSERT INTO docs (id, body) VALUES (900, 'A glacier melts.'); SELECT id FROM nlp_search('docs', 'glacier', 1, 'text')", database="restored")
    psql("DROP DATABASE restored WITH (FORCE)", "postgres")


def check_example():
    folder = os.path.join(ROOT, "examples/search")
    psql("DROP TABLE IF EXISTS faq")
    for query, expected in (("I can't log in any more", "password"), ("I want my money back", "money back")):
        done = subprocess.run([*PSQL, "-d", "test", "-v", f"query={query}", "-f", "faq.sql"], cwd=folder, capture_output=True, text=True)
        check(f"examples/search: {query}", not done.stderr and expected in done.stdout.split("\n")[0].lower(), done.stdout + done.stderr)


def main():
    _, err = psql(SETUP)
    check("a table of texts", not err, err)
    for part in (check_search, check_writes, check_repair, check_definition, check_rights, check_bad, check_hostile, check_async, check_worker, check_concurrent, check_example, check_restored, check_killed):
        part()
    check_random(int(os.environ.get("NLP_INDEX_SCRIPTS", "60")))
    finish()


main()
