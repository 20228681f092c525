#!/usr/bin/env python3
"""A FAQ that is searched by meaning and by words, in one SQLite file.

    NLP_MODEL_PATH=... examples/search/faq.py /path/to/nlp.so "I can't log in any more"

The first run makes faq.db out of faq.tsv. The index follows the table: change an answer with any program, and the next
search knows it. Needs a Python whose sqlite3 can load extensions (that of Debian, Ubuntu and Homebrew can).
"""
import os
import sqlite3
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def fill(db):
    with open(os.path.join(HERE, "faq.tsv"), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    db.execute("CREATE TABLE faq (id INTEGER PRIMARY KEY, question TEXT, answer TEXT)")
    db.executemany("INSERT INTO faq(question, answer) VALUES (?, ?)", rows)
    db.execute("CREATE VIRTUAL TABLE faq_index USING nlp_index(faq, question, answer)")
    db.commit()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    db = sqlite3.connect(os.environ.get("FAQ_DB", "faq.db"))
    db.enable_load_extension(True)
    db.load_extension(sys.argv[1])
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'faq_index'").fetchone():
        fill(db)
    for question, answer in db.execute("SELECT question, answer FROM faq_index(?, 3)", (" ".join(sys.argv[2:]),)):
        print(f"{question}\n    {answer}")


if __name__ == "__main__":
    main()
