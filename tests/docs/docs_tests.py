"""Runs the examples of docs/tasks/*.md and compares what they print with what the pages show. Run by tests/docs/run.

A fenced block is one session: "psql", "sqlite" or "sh" behind the fence. A line that begins with the prompt begins a statement, other lines up to its end (a semicolon) go on with it; what follows is its output.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import ROOT, check, finish  # noqa: E402

BUILD, BIN, SOCKET, MODELS = sys.argv[1:5]
REVIEWS = os.path.join(ROOT, "examples", "reviews", "reviews.tsv")
PROMPTS = {"psql": "=# ", "sqlite": "sqlite> ", "sh": "$ "}
MARK = "==end of output=="
ENVIRONMENT = {**os.environ, "NLP_MODEL_PATH": MODELS, "PATH": BUILD + ":" + os.environ["PATH"]}
WORK = tempfile.mkdtemp(prefix="nlp-docs-")
DATABASE = os.path.join(WORK, "demo.db")


def shell(command, script):
    done = subprocess.run(command, input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT, cwd=WORK)
    return done.stdout


def run_psql(statements):
    script = "\\pset footer off\n\\set VERBOSITY default\n" + "".join(f"{s}\n\\echo {MARK}\n" for s in statements)
    return shell([os.path.join(BIN, "psql"), "-X", "-q", "-h", SOCKET, "-U", "postgres", "-d", "docs"], script)


def run_sqlite(statements):
    return shell(["sqlite3", DATABASE], f".load {BUILD}/sqlite/nlp\n" + "".join(f"{s}\n.print {MARK}\n" for s in statements))


def run_sh(statements):
    return "".join(shell(["bash"], s + "\n") + MARK + "\n" for s in statements)


def tidy(text):
    """No line numbers of scripts before messages, no blanks at ends of lines."""
    text = re.sub(r"(?m)^(psql:\S+: |Parse error near line \d+: |Runtime error near line \d+: )", "", text)
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def split_block(kind, body):
    """(statement, output) pairs of a block."""
    pairs, lines, open_ = [], body.split("\n"), False
    for line in lines:
        if line.startswith(PROMPTS[kind]):
            pairs.append([line[len(PROMPTS[kind]):], []])
            open_ = kind != "sh" and not line.rstrip().endswith(";")
        elif open_:
            pairs[-1][0] += "\n" + line
            open_ = not line.rstrip().endswith(";")
        else:
            pairs[-1][1].append(line)
    return [(statement, "\n".join(output)) for statement, output in pairs]


def run_block(page, match):
    kind, body = match.group(1), match.group(2)
    pairs = split_block(kind, body)
    printed = {"psql": run_psql, "sqlite": run_sqlite, "sh": run_sh}[kind]([s for s, _ in pairs]).split(MARK + "\n")
    shown = []
    for (statement, output), got in zip(pairs, printed):
        got = tidy(got)
        check(f"{page}, {kind}: {' '.join(statement.split())[:90]}", bool(os.environ.get("NLP_DOCS_UPDATE")) or got == tidy(output), f"\n{got}\n-- the page shows\n{output}")
        shown.append(PROMPTS[kind] + statement + ("\n" + got if got else ""))
    return f"```{kind}\n" + "\n".join(shown) + "\n```"


def make_databases():
    shell([os.path.join(BIN, "psql"), "-X", "-q", "-h", SOCKET, "-U", "postgres"], "CREATE DATABASE docs")
    said = shell([os.path.join(BIN, "psql"), "-X", "-q", "-h", SOCKET, "-U", "postgres", "-d", "docs"],
                 "CREATE EXTENSION nlp; CREATE TABLE reviews (id int PRIMARY KEY, body text);\n" + f"\\copy reviews FROM '{REVIEWS}'\n")
    said += shell(["sqlite3", DATABASE], f"CREATE TABLE reviews (id INTEGER PRIMARY KEY, body TEXT);\n.mode tabs\n.import {REVIEWS} reviews\n")
    check("the reviews are in both databases", not said, said)


make_databases()
for path in sorted(glob.glob(os.path.join(ROOT, "docs", "tasks", "*.md"))):
    with open(path, encoding="utf-8") as file:
        page = file.read()
    name = os.path.basename(path)
    new = re.sub(r"```(psql|sqlite|sh)\n(.*?)\n```", lambda match: run_block(name, match), page, flags=re.S)
    if os.environ.get("NLP_DOCS_UPDATE") and new != page:
        with open(path, "w", encoding="utf-8") as file:
            file.write(new)
finish()
