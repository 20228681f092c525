"""A streaming standby and a logical replica of the test server. Run by tests/pg/run, with the sockets of both behind the usual
arguments."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import BIN, SOCKET, psql, value  # noqa: E402
from harness import check, finish  # noqa: E402

STANDBY = sys.argv[5]


def on_standby(sql):
    command = [os.path.join(BIN, "psql"), "-X", "-q", "-A", "-t", "-h", STANDBY, "-U", "postgres", "-v", "VERBOSITY=verbose", "-d", "test"]
    done = subprocess.run(command, input=sql, capture_output=True, text=True)
    return done.stdout.strip(), done.stderr.strip()


def wait_for(what, get, wanted):
    end, found = time.time() + 30, None
    while time.time() < end:
        found = get()
        if found == wanted:
            break
        time.sleep(0.1)
    check(what, found == wanted, found)


def check_standby():
    psql("""SET client_min_messages = warning; DROP EXTENSION IF EXISTS nlp CASCADE; CREATE EXTENSION nlp; DROP TABLE IF EXISTS mails;
        CREATE TABLE mails (id int PRIMARY KEY, body text, label text, emb real[] GENERATED ALWAYS AS (nlp_embed(body, 'minilm')) STORED);
        INSERT INTO mails SELECT i, CASE i % 2 WHEN 0 THEN 'the invoice number ' || i ELSE 'a game of football ' || i END, CASE i % 2 WHEN 0 THEN 'money' ELSE 'sport' END FROM generate_series(1, 60) i""")
    _, err = psql("SELECT * FROM nlp_fit('mail_kind', 'SELECT body, label FROM mails', 'minilm')")
    check("a head is fitted on the primary", not err, err)
    wait_for("it works on the standby", lambda: on_standby("SELECT nlp_classify('my invoice', 'mail_kind'), nlp_classify('we play football', 'mail_kind')"), ("money|sport", ""))
    check("vectors are the same bits", on_standby("SELECT md5(array_agg(emb ORDER BY id)::text), bool_and(emb = nlp_embed(body)) FROM mails")[0] == value("SELECT md5(array_agg(emb ORDER BY id)::text), true FROM mails").replace("|t", "|t"))
    check("a batch on the standby", "nlp batch" in on_standby("EXPLAIN SELECT nlp_classify(body, 'mail_kind') FROM mails")[0])
    check("fitting is refused there", "25006" in on_standby("SELECT * FROM nlp_fit('other', 'SELECT body, label FROM mails', 'minilm')")[1], on_standby("SELECT * FROM nlp_fit('other', 'SELECT body, label FROM mails', 'minilm')")[1])
    check("so is a column job", "25006" in on_standby("CALL nlp_embed_column('mails', 'body', 'label')")[1], on_standby("CALL nlp_embed_column('mails', 'body', 'label')")[1])


def check_search():
    psql("DROP TABLE IF EXISTS docs; CREATE TABLE docs (id int PRIMARY KEY, body text); INSERT INTO docs SELECT id, body FROM mails; SELECT nlp_index_create('docs', 'body')")
    query = "SELECT * FROM nlp_search('docs', 'football number 17', 5)"
    wait_for("a search gives the same on the standby", lambda: on_standby(query), (value(query), ""))
    psql("INSERT INTO docs VALUES (1000, 'A glacier melts.')")
    wait_for("... also of what was written since", lambda: on_standby("SELECT id FROM nlp_search('docs', 'glacier', 1, 'text')"), ("1000", ""))
    check("a refresh is refused there", "25006" in on_standby("SELECT nlp_index_refresh('docs')")[1], on_standby("SELECT nlp_index_refresh('docs')")[1])


def check_logical():
    psql("DROP DATABASE IF EXISTS copy", "postgres")
    psql("CREATE DATABASE copy", "postgres")
    psql("CREATE EXTENSION nlp; CREATE TABLE mails (id int PRIMARY KEY, body text, label text, emb real[] GENERATED ALWAYS AS (nlp_embed(body, 'minilm')) STORED)", database="copy")
    psql("CREATE PUBLICATION p FOR TABLE mails, _nlp.packs")
    psql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
    _, err = psql(f"CREATE SUBSCRIPTION s CONNECTION 'host={SOCKET} user=postgres dbname=test' PUBLICATION p WITH (create_slot = false, slot_name = 's')", database="copy")
    check("a subscription", "ERROR" not in err, err)
    wait_for("rows and their generated vectors come", lambda: value("SELECT count(emb) FROM mails", database="copy"), "60")
    wait_for("heads come with _nlp.packs", lambda: value("SELECT nlp_classify('my invoice', 'mail_kind')", database="copy"), "money")
    psql("ALTER SUBSCRIPTION s DISABLE; ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s", database="copy")
    psql("SELECT pg_drop_replication_slot('s'); DROP PUBLICATION p")


check_standby()
check_search()
check_logical()
finish()
