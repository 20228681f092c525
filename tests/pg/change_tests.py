"""What changes under a statement: heads that are dropped and fitted, files that are replaced, a table that a trigger of its own writes to.
Run by tests/pg/run."""
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import MODELS, NLP, Session, psql, value  # noqa: E402
from harness import DATA, check, finish, import_pack  # noqa: E402

SETUP = """
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS nlp CASCADE;
CREATE EXTENSION nlp;
DROP TABLE IF EXISTS notes, chain, wide CASCADE;
CREATE TABLE notes (id int PRIMARY KEY, body text);
INSERT INTO notes SELECT i, CASE WHEN i % 2 = 1 THEN 'the invoice number ' ELSE 'a game of football ' END || i FROM generate_series(1, 40) i;
"""


def fit(odd, even):
    """A head that knows the two kinds of notes by these labels."""
    return f"SELECT count(*) > 0 FROM nlp_fit('kinds', 'SELECT body, CASE WHEN id % 2 = 1 THEN ''{odd}'' ELSE ''{even}'' END FROM notes', 'minilm')"


def check_dropped_heads():
    first, second = Session(), Session()
    second.run(fit("money", "sport"))
    call = "SELECT id, nlp_classify(body, 'kinds') FROM notes ORDER BY id"
    money = [f"{i}|{'money' if i % 2 else 'sport'}" for i in range(1, 41)]
    first.run(f"PREPARE p AS {call}")
    check("a prepared statement with a head", first.run("EXECUTE p") == money)
    first.run(f"BEGIN; DECLARE c CURSOR FOR {call}")
    seen = first.run("FETCH 2 FROM c")
    second.run("SELECT nlp_drop_model('kinds')")
    check("dropped meanwhile: a statement ends with the head that it began with", seen + first.run("FETCH ALL FROM c") == money)
    first.run("COMMIT")
    found = first.run("EXECUTE p")
    check("... the next execution has none", "42704" in found[0] and "kinds" in found[0], found)
    second.run(fit("bill", "fun"))
    bills = [row.replace("money", "bill").replace("sport", "fun") for row in money]
    check("fitted with other labels: so does the prepared statement", first.run("EXECUTE p") == bills)
    first.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM notes")
    second.run("SELECT nlp_drop_model('kinds')")
    check("a snapshot keeps its heads", first.run("EXECUTE p") == bills)
    first.run("COMMIT")
    check("... as long as it lasts", "42704" in first.run("EXECUTE p")[0])
    second.run("BEGIN; " + fit("money", "sport"))
    check("a head of a transaction that is open", "42704" in first.run("EXECUTE p")[0] and second.run(call) == money)
    second.run("COMMIT")
    check("... is there when it commits", first.run("EXECUTE p") == money)


def check_replaced_files():
    name = os.path.join(MODELS, "changing.nlp")
    session = Session()
    call = "SELECT array_length(nlp_embed(body, 'changing'), 1) FROM notes"

    def put(pack):
        shutil.copy(os.path.join(MODELS, pack), name + ".new")
        os.replace(name + ".new", name)

    put("minilm.nlp")
    dimensions = value("SELECT nlp_dims('small')")
    session.run(f"BEGIN; DECLARE c CURSOR FOR {call}; FETCH 1 FROM c")
    put("small.nlp")
    rest, again = session.run("FETCH ALL FROM c"), session.run(call)
    check("a file that is replaced: a statement ends with the model that it began with", rest == ["384"] * 39, rest)
    check("... the next one of the transaction has the new one", again == [dimensions] * 40 and dimensions != "384", again)
    session.run("COMMIT")
    os.remove(name)
    check("... and none when it is gone", "42704" in session.run(call)[0])


def check_recursion():
    """While a batch is delivered a trigger calls tasks and writes to its own table."""
    psql("""CREATE TABLE chain (id int, body text, n int);
        CREATE FUNCTION go_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF new.id < 1000 THEN INSERT INTO chain SELECT new.id + 100, body, nlp_token_count(body) FROM (VALUES (new.body || ' more')) v (body) WHERE nlp_token_count(body) > 0; END IF;
          RETURN new; END $$;
        CREATE TRIGGER t AFTER INSERT ON chain FOR EACH ROW EXECUTE FUNCTION go_on()""")
    found = value("INSERT INTO chain SELECT i, body, nlp_token_count(body) FROM notes, LATERAL (SELECT id AS i) s; SELECT count(*), bool_and(n = nlp_token_count(body)), max(id) FROM chain")
    check("recursion through a trigger", found == "440|t|1040", found)
    psql("""CREATE OR REPLACE FUNCTION go_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO chain SELECT id, new.body, nlp_token_count(new.body || id) FROM notes WHERE id < 3; RETURN new; END $$""")
    session = Session()
    session.run("SET max_stack_depth = '500kB'")
    found = session.run("INSERT INTO chain VALUES (1, 'x', 1)")
    check("... without an end is an error", "54001" in found[0], found[:1])
    check("... and the session goes on", session.run("SELECT nlp_sentiment('I love it')") == ["positive"])


def check_wide_table():
    names = [f"c{i}" for i in range(200)]
    values = [f"CASE WHEN i % {k % 7 + 2} > 0 THEN 'text {k} of ' || i END" for k in range(200)]
    psql(f"CREATE TABLE wide ({', '.join(n + ' text' for n in names)}); INSERT INTO wide SELECT {', '.join(values)} FROM generate_series(1, 40) i")
    statement = f"SELECT {', '.join(names)}, nlp_token_count(c7), nlp_token_count(c199 || c1) FROM wide WHERE nlp_token_count(c3) > 3"
    batched, alone = value(statement), value("SET nlp.batch = off; " + statement)
    check("a table of 200 columns", batched == alone and len(batched.split("\n")[0].split("|")) == 202 and len(batched.split("\n")) > 20, batched[:200])


psql("CREATE DATABASE test", "postgres")
import_pack(NLP, os.path.join(DATA, "models", "sharp-bert"), os.path.join(MODELS, "small.nlp"))
_, errors = psql(SETUP)
check("tables", not errors, errors)
for group in (check_dropped_heads, check_replaced_files, check_recursion, check_wide_table):
    group()
finish()
