"""How good the answers of nlp_search are: the query sets of tests/data/search. Run by tests/pg/run."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import Session, psql  # noqa: E402
from harness import check, finish  # noqa: E402
from search_sets import judge  # noqa: E402


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def build(documents):
    rows = ", ".join(f"({n}, {literal(key)}, {literal(title)}, {literal(body)})" for n, (key, title, body) in enumerate(documents, 1))
    _, err = psql(f"""SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS nlp; DROP TABLE IF EXISTS judged;
        CREATE TABLE judged (number int PRIMARY KEY, id text, title text, body text); INSERT INTO judged VALUES {rows};
        SELECT nlp_index_create('judged', '{{title,body}}'::name[], 'minilm')""")
    check(f"an index of {len(documents)} documents", not err, err)


def main():
    session = Session()
    judge(build, lambda query, mode, k: session.run(
        f"SELECT d.id FROM nlp_search('judged', {literal(query)}, {k}, '{mode}') s JOIN judged d ON d.number = s.id ORDER BY s.score DESC, s.id"))
    psql("DROP TABLE judged")
    finish()


main()
