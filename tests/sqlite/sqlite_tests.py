"""Every function of the SQLite surface: results, NULL, bad input, interrupts, connections. Run by tests/sqlite/run."""
import contextlib
import json
import math
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import check, finish, json_lines, run, task_packs  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
LIBRARY, NLP = os.path.join(BUILD, "sqlite", "nlp"), os.path.join(BUILD, "nlp")


def connect(path=":memory:", **options):
    db = sqlite3.connect(path, **options)
    db.enable_load_extension(True)
    db.load_extension(LIBRARY)
    return db


DB = connect()


def one(sql, *values, db=None):
    return (db or DB).execute(sql, values).fetchone()[0]


def error(sql, *values, db=None):
    try:
        (db or DB).execute(sql, values).fetchall()
        return ""
    except sqlite3.Error as problem:
        return str(problem)


def floats(blob):
    return struct.unpack(f"<{len(blob) // 4}f", blob)


def check_functions():
    vector = floats(one("SELECT nlp_embed('hello world')"))
    check("nlp_embed gives 384 numbers of length 1", len(vector) == 384 and abs(sum(x * x for x in vector) - 1) < 1e-5)
    check("nlp_embed with a model, with options, with both", len(one("SELECT nlp_embed('x', 'minilm')")) == 1536 and len(one("SELECT nlp_embed('x', '{\"dimensions\": 10}')")) == 40 and len(one("SELECT nlp_embed('x', 'minilm', '{\"dimensions\": 10}')")) == 40)
    cli = json.loads(run([NLP, "embed", "--json"], '{"text": "hello world"}\n')[1])["embedding"]
    check("SQLite = command line, to the bit", struct.pack("<384f", *vector) == struct.pack("<384f", *cli))
    check("nlp_embed_query", len(one("SELECT nlp_embed_query('x')")) == 1536)
    check("nlp_dims", one("SELECT nlp_dims()") == 384 and one("SELECT nlp_dims('minilm')") == 384)
    check("nlp_similarity", one("SELECT nlp_similarity('a cat', 'a kitten')") > one("SELECT nlp_similarity('a cat', 'a tax form')"))
    check("nlp_cosine", abs(one("SELECT nlp_cosine(nlp_embed('a'), nlp_embed('a'))") - 1) < 1e-6)
    check("nlp_vector and back", one("SELECT nlp_vector_to_json(nlp_vector('[1, 2.5, -3]'))") == "[1,2.5,-3]")
    check("nlp_centroid", floats(one("SELECT nlp_centroid(v) FROM (SELECT nlp_vector('[1,2]') AS v UNION ALL SELECT nlp_vector('[3,6]') UNION ALL SELECT NULL)")) == (2.0, 4.0))
    check("nlp_sentiment", (one("SELECT nlp_sentiment('I love it')"), one("SELECT nlp_sentiment('I hate it', 'sentiment')")) == ("positive", "negative"))
    check("nlp_sentiment_score", one("SELECT nlp_sentiment_score('I love it')") > 0.5)
    check("nlp_classify, nlp_confidence", one("SELECT nlp_classify('I love it')") == "positive" and one("SELECT nlp_confidence('I love it')") > 0.5)
    rows = DB.execute("SELECT label, score FROM nlp_classify_scores('I love it')").fetchall()
    check("nlp_classify_scores", [r[0] for r in rows] == ["positive", "negative"] and abs(sum(r[1] for r in rows) - 1) < 1e-6, rows)
    check("nlp_token_count, nlp_tokenize, nlp_detokenize", one("SELECT nlp_token_count('hello world')") == 4 and one("SELECT nlp_tokenize('hello')") == "[101,7592,102]" and one("SELECT nlp_detokenize('[101, 7592, 102]')") == "hello")
    check("nlp_unknown_count", [one("SELECT nlp_unknown_count(?, 'minilm')", t) for t in ("plain words", "runes \u16a0\u16a2 and \U00010380", "", None)] == [0, 2, 0, None])
    before = one("SELECT unknown_tokens FROM nlp_stats")
    one("SELECT nlp_embed('runes \u16a0')")
    check("nlp_stats counts them", one("SELECT unknown_tokens FROM nlp_stats") == before + 1)
    rows = DB.execute("SELECT ord, id, token, start_pos, end_pos FROM nlp_tokens('Zürich ok')").fetchall()
    check("nlp_tokens: places in characters from 1", rows[0] == (1, 101, "[CLS]", None, None) and rows[1] == (2, 10204, "zurich", 1, 6) and rows[2][3:] == (8, 9), rows)
    check_chunks()
    check("nlp_zero_shot by similarity", (one("SELECT nlp_zero_shot('I want my money back', '[\"refund\", \"shipping\"]')"), one("SELECT nlp_zero_shot('Where is my parcel?', '[\"refund\", \"shipping\"]', 'minilm')")) == ("refund", "shipping"))
    rows = rows_of("SELECT label, score FROM nlp_zero_shot_scores('I want my money back', '[\"refund\", \"shipping\", \"refund\"]')")
    check("nlp_zero_shot_scores by similarity: a label given twice has two rows", [r[0] for r in rows] == ["refund", "refund", "shipping"] and rows[0][1] == rows[1][1] and abs(sum(r[1] for r in rows) - 1) < 1e-6, rows)
    rows = rows_of("SELECT label, score FROM nlp_zero_shot_scores('I want my money back', '[\"refund\", \"shipping\"]', '{\"multi_label\": true}')")
    check("nlp_zero_shot_scores by similarity: multi_label is the cosine against 0.4", all(abs(s - 1 / (1 + math.exp((0.4 - one("SELECT nlp_similarity('I want my money back', ?)", label)) / 0.05))) < 1e-5 for label, s in rows), rows)
    rows = rows_of("SELECT ord, score, document FROM nlp_rerank('a dog', '[\"a tax form\", \"an animal\"]')")
    check("nlp_rerank by similarity", [(r[0], r[2]) for r in rows] == [(2, "an animal"), (1, "a tax form")] and rows[0][1] == one("SELECT nlp_rerank_score('a dog', 'an animal')") != one("SELECT nlp_similarity('a dog', 'an animal')") and abs(one("SELECT nlp_rerank_score('a dog', 'a dog')") - 1) < 1e-5, rows)
    check("an answer by similarity", one("SELECT nlp_answer('When does it open?', 'We sell bread. The shop opens at seven. Parking is free.', 'minilm', '{\"sentence\": true}')") == "The shop opens at seven.")
    check("nlp_filter", [one(f"SELECT nlp_filter('The phone has a great battery.', 'a phone'{more})") for more in ("", ", 0.9999", ", 'minilm', '{\"threshold\": 0.3}'", ", 'minilm', 1")] == [1, 0, 1, 0] and one("SELECT nlp_filter('The phone has a great battery.', 'a tax form')") == 0)
    check("nlp_filter: NULL", [one(f"SELECT nlp_filter({a})") for a in ("NULL, 'x'", "'x', NULL", "'x', 'y', NULL")] == [None] * 3)
    check("nlp_would_truncate", one("SELECT nlp_would_truncate('x')") == 0 and one("SELECT nlp_would_truncate(?)", "word " * 300) == 1)
    rows = DB.execute("SELECT ord, embedding FROM nlp_embed_each(?)", (json.dumps(["a", None, "b"] + [f"t{i}" for i in range(150)]),)).fetchall()
    check("nlp_embed_each: order, NULLs, several batches", [r[0] for r in rows] == list(range(1, 154)) and rows[1][1] is None and rows[0][1] == one("SELECT nlp_embed('a')"))
    check("nlp_models: all that a model can run, and its languages", DB.execute("SELECT tasks, languages FROM nlp_models WHERE name = 'minilm'").fetchall() == [("embed,similarity,answer,zero_shot,rerank,summarize,chunk,filter", "en")])
    check("nlp_version, nlp_build_info", one("SELECT nlp_version()")[0].isdigit() and "isa" in one("SELECT nlp_build_info()"))


def check_chunks():
    text = "Zürich is big. Ávila is old. " * 40
    rows = rows_of("SELECT ord, chunk, tokens, start_pos, end_pos FROM nlp_chunk(?, 50, '{\"overlap\": 9}')", text)
    check("nlp_chunk: its places cut it out of the text", len(rows) > 5 and [r[0] for r in rows] == list(range(1, len(rows) + 1)) and all(r[1] == text[r[3] - 1:r[4]] and r[2] <= 50 for r in rows), rows[:3])
    check("nlp_chunk counts tokens exactly", all(one("SELECT nlp_token_count(?, '{\"special_tokens\": false}')", r[1]) == r[2] for r in rows))
    check("nlp_chunk: overlap", all(b[3] < a[4] < b[4] for a, b in zip(rows, rows[1:])), rows[:3])
    check("nlp_chunk: model and options", [r[1] for r in rows_of("SELECT ord, chunk FROM nlp_chunk('a b c d e', 'minilm', '{\"max_tokens\": 2, \"overlap\": 1, \"by\": \"token\"}')")] == ["a b", "b c", "c d", "d e"])
    check("nlp_chunk joined to a table", len(rows_of("SELECT t.value, c.chunk FROM json_each('[\"One.\", \"\", null, \"Two.\"]') t, nlp_chunk(t.value) c")) == 2)


def rows_of(sql, *values):
    return DB.execute(sql, values).fetchall()


@contextlib.contextmanager
def packs():
    """A folder of the tiny models' packs, first in the model path."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        task_packs(NLP, folder)
        before = one("SELECT nlp_config('model_path')")
        one("SELECT nlp_config('model_path', ?)", f"{folder}:{before or os.environ['NLP_MODEL_PATH']}")
        yield folder
        one("SELECT nlp_config('model_path', ?)", before)


def check_heads():
    with packs() as folder:
        text = "Zürich: Marie Curie worked in Paris for many years. " * 6
        cli = json.loads(run([NLP, "entities", "-m", os.path.join(folder, "ner.nlp"), "--json"], json.dumps({"text": text}) + "\n")[1])["entities"]
        found = rows_of("SELECT label, start_pos - 1, end_pos, score, entity FROM nlp_entities(?, 'ner')", text)
        check("nlp_entities of a long text = command line", found and [r[:3] for r in found] == [(e["label"], e["start"], e["end"]) for e in cli], found[:3])
        check("entities: places are those of substr", all(r[4] == text[r[1]:r[2]] for r in found))
        check("nlp_entities: aggregation", len(rows_of("SELECT * FROM nlp_entities('IBM and Apple', 'ner', '{\"aggregation\": \"none\"}')")) > len(rows_of("SELECT * FROM nlp_entities('IBM and Apple', 'ner')")))
        check("nlp_entities joined to a table", len(rows_of("SELECT t.value, e.entity FROM json_each('[\"IBM\", \"Apple\", null]') t, nlp_entities(t.value, 'ner') e")) == 2)
        check("nlp_answer", one("SELECT nlp_answer('When?', 'No date is given.', 'qa')") == "n." and one("SELECT nlp_answer('When?', '', 'qa')") is None and one("SELECT nlp_answer('When?', NULL, 'qa')") is None)
        check("nlp_answer_span", rows_of("SELECT answer, start_pos, end_pos FROM nlp_answer_span('When?', 'No date is given.', 'qa')") == [("n.", 16, 17)])
        check("nlp_answer: no answer below a threshold", rows_of("SELECT answer, start_pos, score < 0.9 FROM nlp_answer_span('When?', 'No date is given.', 'qa', '{\"threshold\": 0.9}')") == [(None, None, 1)])
        check("nlp_fill_mask: k as a number, as an option, by default", [len(rows_of(f"SELECT * FROM nlp_fill_mask('the [MASK].', 'mlm'{more})")) for more in (", 2", ", '{\"k\": 3}'", "")] == [2, 3, 5])
        check("nlp_fill_mask shows three columns", [c[0] for c in DB.execute("SELECT * FROM nlp_fill_mask('the [MASK].', 'mlm')").description] == ["token", "score", "sequence"])
        check("nlp_zero_shot", one("SELECT nlp_zero_shot('a match', '[\"sports\"]', 'nli')") == "sports" and one("SELECT nlp_zero_shot('a match', NULL, 'nli')") is None)
        one("SELECT nlp_config('filter_model', 'nli')")
        check("nlp_filter by inference, the model by a setting", one("SELECT nlp_filter('a match', 'It is.')") == one("SELECT nlp_filter('a match', 'It is.', 'nli')") in (0, 1))
        one("SELECT nlp_config('filter_model', '')")
        scores = rows_of("SELECT label, score FROM nlp_zero_shot_scores('a match', '[\"sports\", \"cinema\"]', 'nli')")
        check("nlp_zero_shot_scores", abs(sum(s for _, s in scores) - 1) < 1e-6 and scores[0][1] >= scores[1][1], scores)
        asked = "'yesno', '{\"yes\": \"y\", \"no\": \"n\"}'"
        ranking = rows_of(f"SELECT ord, score, document FROM nlp_rerank('a dog', '[\"an animal\", \"a tax form\", \"\"]', {asked}, 2)")
        alone = one(f"SELECT nlp_rerank_score('a dog', ?, {asked})", ranking[0][2])
        check("nlp_rerank, nlp_rerank_score", len(ranking) == 2 and ranking[0][1] == alone and ranking[0][1] >= ranking[1][1], ranking)
        check("an empty list has no ranking", rows_of(f"SELECT * FROM nlp_rerank('a dog', '[]', {asked})") == [])
        for name, sql, words in (("a task without a starter model", "SELECT nlp_answer('a', 'b')", ("nlp import", "answer_model")),
                                 ("labels that are no array", "SELECT nlp_zero_shot('x', 'sports', 'nli')", ("labels", "JSON array")),
                                 ("labels that are no texts", "SELECT nlp_zero_shot('x', '[1]', 'nli')", ("labels", "JSON array")),
                                 ("no labels", "SELECT nlp_zero_shot('x', '[]', 'nli')", ("empty",)),
                                 ("two numbers", "SELECT * FROM nlp_fill_mask('[MASK]', 2, 3)", ("two numbers",)),
                                 ("a number where none is taken", "SELECT * FROM nlp_entities('x', 'ner', 7)", ("texts",)),
                                 ("k out of range", "SELECT * FROM nlp_fill_mask('[MASK]', 'mlm', 0)", ('"k"',)),
                                 ("a model of another kind", "SELECT nlp_answer('a', 'b', 'mlm')", ("mlm",)),
                                 ("an operand too few", "SELECT nlp_answer('a')", ("2 operands",))):
            message = error(sql)
            check(f"refused: {name}", message and all(w in message for w in words), message)
        one("SELECT nlp_config('answer_model', 'qa')")
        check("a setting names the model", one("SELECT nlp_answer('When?', 'No date is given.')") == "n.")
        one("SELECT nlp_config('answer_model', '')")
        one("SELECT nlp_config('on_overflow', 'chunk')")
        one("SELECT nlp_config('fill_mask_model', 'mlm')")
        check("a setting that a task does not have is not for it", len(rows_of("SELECT * FROM nlp_fill_mask('the [MASK].')")) == 5)
        one("SELECT nlp_config('on_overflow', '')")
        one("SELECT nlp_config('fill_mask_model', '')")


def check_null_and_empty():
    scalars = ["nlp_embed(NULL)", "nlp_embed('x', NULL)", "nlp_sentiment(NULL)", "nlp_similarity('a', NULL)", "nlp_cosine(NULL, NULL)", "nlp_tokenize(NULL)", "nlp_detokenize(NULL)", "nlp_centroid(NULL)", "nlp_vector(NULL)"]
    check("NULL in, NULL out", all(one(f"SELECT {s}") is None for s in scalars))
    check("'' is legal", len(one("SELECT nlp_embed('')")) == 1536 and one("SELECT nlp_token_count('')") == 2 and one("SELECT nlp_sentiment('')") in ("positive", "negative"))
    check("tables of NULL have no rows", not DB.execute("SELECT * FROM nlp_tokens(NULL)").fetchall() and not DB.execute("SELECT * FROM nlp_embed_each(NULL)").fetchall())


def check_bad_input():
    cases = [("unknown model names path and pull", "SELECT nlp_embed('x', 'nosuch')", ("nosuch", "NLP_MODEL_PATH", "nlp pull nosuch")),
             ("a path is no model", "SELECT nlp_embed('x', '../etc/passwd')", ("no name of a model",)),
             ("unknown option lists the known ones", "SELECT nlp_embed('x', '{\"bogus\": 1}')", ("bogus", "on_overflow")),
             ("wrong option type", "SELECT nlp_embed('x', '{\"normalize\": 3}')", ("normalize", "true or false")),
             ("option out of range", "SELECT nlp_embed('x', '{\"dimensions\": 0}')", ("dimensions",)),
             ("more dimensions than there are", "SELECT nlp_embed('x', '{\"dimensions\": 500}')", ("500", "384")),
             ("options that are no JSON", "SELECT nlp_embed('x', '{bad')", ("JSON",)),
             ("a number behind the operand", "SELECT nlp_embed('x', 5)", ("model",)),
             ("an overlap as large as the chunk", "SELECT * FROM nlp_chunk('x', 16, '{\"overlap\": 16}')", ("overlap is 16", "is 16")),
             ("no labels, by similarity", "SELECT nlp_zero_shot('x', '[]')", ("empty",)),
             ("a label that is null, by similarity", "SELECT nlp_zero_shot('x', '[\"a\", null]')", ("labels", "JSON array")),
             ("a hypothesis without {}, by similarity", "SELECT nlp_zero_shot('x', '[\"a\"]', '{\"hypothesis\": \"this\"}')", ("hypothesis", "{}")),
             ("a threshold out of range", "SELECT nlp_filter('x', 'y', 1.5)", ("threshold", "0 to 1")),
             ("two models", "SELECT nlp_embed('x', 'minilm', 'minilm')", ("two models",)),
             ("too many arguments", "SELECT nlp_embed('x', 'm', '{}', 'y')", ("takes",)),
             ("text over the limit", f"SELECT nlp_embed('{'word ' * 300}', '{{\"on_overflow\": \"error\"}}')", ("302", "256")),
             ("NaN in nlp_cosine", "SELECT nlp_cosine(x'0000c07f', x'0000803f')", ("NaN",)),
             ("vectors of unequal length", "SELECT nlp_cosine(nlp_vector('[1]'), nlp_vector('[1,2]'))", ("1 and 2",)),
             ("a blob that is no vector", "SELECT nlp_cosine(x'00', x'00')", ("4-byte",)),
             ("a text that is no vector", "SELECT nlp_cosine('abc', 'abc')", ("BLOB",)),
             ("a token id out of range", "SELECT nlp_detokenize('[999999]')", ("999999",)),
             ("a token id of more than 32 bits", "SELECT nlp_detokenize('[4294967397]')", ("array",)),
             ("ids that are none", "SELECT nlp_detokenize('[1, x]')", ("array",)),
             ("an array that is none", "SELECT * FROM nlp_embed_each('nonsense')", ("array",)),
             ("a model without a head", "SELECT nlp_classify('x', 'minilm')", ("no classifier",)),
             ("a table without its argument", "SELECT * FROM nlp_tokens", ("needs 1",)),
             ("invalid UTF-8 from a blob", "SELECT nlp_embed(CAST(x'61ff62' AS TEXT))", ("UTF-8", "byte 1"))]
    for name, sql, words in cases:
        message = error(sql)
        check(f"bad input: {name}", message and all(w in message for w in words), message)
    check("and the connection goes on", len(one("SELECT nlp_embed('fine')")) == 1536)
    check("an embedded NUL is part of the text", one("SELECT nlp_token_count('a' || char(0) || 'b')") == 3)


def check_settings():
    check("nlp_config on_overflow", one("SELECT nlp_config('on_overflow', 'error')") == "error" and "302" in error(f"SELECT nlp_embed('{'word ' * 300}')"))
    check("a form that names its model ignores settings", len(one(f"SELECT nlp_embed('{'word ' * 300}', 'minilm')")) == 1536)
    one("SELECT nlp_config('on_overflow', '')")
    check("nlp_config refuses nonsense", error("SELECT nlp_config('on_overflow', 'explode')") and error("SELECT nlp_config('nosuch', 1)") and error("SELECT nlp_config('threads', '0')"))
    for threads in ("-1", "10000", "many"):
        check(f"nlp_config('threads', '{threads}') says the range", "1 to 256" in error(f"SELECT nlp_config('threads', '{threads}')"))
    before = one("SELECT nlp_embed('threads')")
    one("SELECT nlp_config('threads', '2')")
    check("2 threads, the same bits", one("SELECT nlp_embed('threads')") == before)
    one("SELECT nlp_config('threads', '1')")


def check_evaluate(db):
    """The head intents, which tells money from access, over the rows of t."""
    found = db.execute("SELECT * FROM nlp_evaluate('intents', 'SELECT body, label FROM t')").fetchall()
    check("nlp_evaluate of a head in the database", found[0] == ("accuracy", 1.0) and dict(found)["rows"] == 60 and dict(found)["support:money"] == 30, found)
    many = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 600) SELECT body, CASE WHEN t.rowid % 10 THEN label ELSE 'money' END FROM i JOIN t ON t.rowid = 1 + i % 60"
    found = dict(db.execute("SELECT * FROM nlp_evaluate('intents', ?)", (many,)).fetchall())
    wrong = sum(1 + i % 60 in range(10, 61, 10) and (1 + i % 60) % 2 for i in range(1, 601))
    check("in batches", found["rows"] == 600 and found["accuracy"] == (600 - wrong) / 600, found)
    swapped = dict(db.execute("SELECT * FROM nlp_evaluate('intents', 'SELECT body, ''money'' FROM t')").fetchall())
    check("its confusions", swapped["accuracy"] == 0.5 and swapped["confusion:money -> access"] == 30 and swapped["precision:access"] == 0, swapped)
    check("a model of the path", dict(db.execute("SELECT * FROM nlp_evaluate('sentiment', 'SELECT ''wonderful'', ''positive''')").fetchall())["accuracy"] == 1)
    unknown = error("SELECT * FROM nlp_evaluate('intents', 'SELECT body, label || rowid FROM t')", db=db)
    check("unknown labels and the model's", "money" in unknown and '"access"' in unknown and "does not know" in unknown, unknown)
    check("evaluate: no rows", "no rows" in error("SELECT * FROM nlp_evaluate('intents', 'SELECT body, label FROM t WHERE 0')", db=db))
    check("evaluate: NULL labels", "row 3 " in error("SELECT * FROM nlp_evaluate('intents', 'SELECT body, CASE WHEN rowid <> 3 THEN label END FROM t')", db=db))
    check("evaluate: a query that writes", "two columns" in error("SELECT * FROM nlp_evaluate('intents', 'DELETE FROM t')", db=db))
    check("evaluate: bad SQL", "syntax" in error("SELECT * FROM nlp_evaluate('intents', 'SELEC')", db=db))
    check("evaluate: no such model", "nosuch" in error("SELECT * FROM nlp_evaluate('nosuch', 'SELECT body, label FROM t')", db=db))
    check("evaluate: no classifier", "no classifier" in error("SELECT * FROM nlp_evaluate('minilm', 'SELECT body, label FROM t')", db=db))
    db.execute("CREATE VIEW trap AS SELECT * FROM nlp_evaluate('intents', 'SELECT body, label FROM t')")
    check("evaluate: not from a schema", "unsafe use" in error("SELECT * FROM trap", db=db))


def check_distill():
    """Two kinds of texts, which minilm tells apart by similarity; the head learns that."""
    db = connect()
    db.execute("CREATE TABLE t(body)")
    db.executemany("INSERT INTO t VALUES(?)", [(f"{'I want a refund of order' if i % 2 else 'my password does not work, attempt'} {i}",) for i in range(400)])
    call = "SELECT * FROM nlp_distill('kinds', 'SELECT body FROM t', '[\"refund of money\", \"password and login\"]'"
    metrics = db.execute(call + ")").fetchall()
    found = dict(metrics)
    check("nlp_distill: a head that agrees with its teacher", metrics[0][0] == "agreement" and found["agreement"] >= 0.95 and found["agreement"] == found["accuracy"], found)
    check("nlp_distill: what it saw", found["rows_seen"] == 400 and found["rows_sampled"] == 400 and found["rows_trained"] + found["rows_held_out"] == 400, found)
    check("nlp_distill: its head answers", one("SELECT nlp_classify('give my money back', 'kinds')", db=db) == "refund of money")
    pack = one("SELECT nlp_pack('kinds')", db=db)
    check("nlp_distill: the card names the teacher", b"labels by teacher minilm (SHA-256 " in pack)
    db.execute("CREATE TABLE u AS SELECT body FROM t ORDER BY body DESC")
    db.execute("INSERT INTO u SELECT body FROM t WHERE rowid < 100")
    again = dict(db.execute("SELECT * FROM nlp_distill('kinds', 'SELECT body FROM u', '[\"refund of money\", \"password and login\"]', '{\"teacher\": \"minilm\", \"base\": \"minilm\"}')").fetchall())
    check("nlp_distill: order and repetitions change no byte", again["rows_seen"] == 499 and one("SELECT nlp_pack('kinds')", db=db) == pack, again)
    count = "SELECT count(*) FROM nlp_packs"
    low = error("""SELECT * FROM nlp_distill('none', 'SELECT body FROM t', '["1", "2", "3", "4", "5", "6", "7", "8"]', '{"min_agreement": 1, "epochs": 1, "l2": 1000}')""", db=db)
    check("nlp_distill: too little agreement stores nothing", "held-out texts, min_agreement is 1" in low and "hint: " in low and one(count, db=db) == 1, low)
    for name, arguments, words in (
        ("few texts", "'SELECT body FROM t LIMIT 50', '[\"a\", \"b\"]'", ("of 50 sampled", "at least 20")),
        ("no rows", "'SELECT body FROM t WHERE 0', '[\"a\", \"b\"]'", ("no rows",)),
        ("NULL texts", "'SELECT NULL', '[\"a\", \"b\"]'", ("row 1 has no text",)),
        ("one label", "'SELECT body FROM t', '[\"a\"]'", ("at least 2",)),
        ("no labels", "'SELECT body FROM t', '[]'", ("at least 2",)),
        ("equal labels", "'SELECT body FROM t', '[\"a\", \"b\", \"a\"]'", ("twice",)),
        ("an empty label", "'SELECT body FROM t', '[\"a\", \"\"]'", ("empty",)),
        ("a NULL label", "'SELECT body FROM t', '[\"a\", null]'", ("nlp_distill takes labels as a JSON array of texts",)),
        ("labels that are no array", "'SELECT body FROM t', 'a,b'", ("JSON array",)),
        ("labels NULL", "'SELECT body FROM t', NULL", ("takes a name, a query and labels",)),
        ("two columns", "'SELECT body, 1 FROM t', '[\"a\", \"b\"]'", ("one column",)),
        ("a query that writes", "'DELETE FROM t', '[\"a\", \"b\"]'", ("one column",)),
        ("bad SQL", "'SELEC', '[\"a\", \"b\"]'", ("syntax",)),
        ("an unknown option", "'SELECT body FROM t', '[\"a\", \"b\"]', '{\"bogus\": 1}'", ("bogus", "teacher, base, sample, min_agreement")),
        ("a small sample", "'SELECT body FROM t', '[\"a\", \"b\"]', '{\"sample\": 5}'", ("sample", "50 to 100000")),
        ("an unknown teacher", "'SELECT body FROM t', '[\"a\", \"b\"]', '{\"teacher\": \"nosuch\"}'", ("nlp pull nosuch",)),
        ("an unknown base", "'SELECT body FROM t', '[\"a\", \"b\"]', '{\"base\": \"nosuch\"}'", ("nlp pull nosuch",)),
        ("a base that is a head", "'SELECT body FROM t', '[\"a\", \"b\"]', '{\"base\": \"kinds\"}'", ("task pack itself",)),
    ):
        message = error(f"SELECT * FROM nlp_distill('none', {arguments})", db=db)
        check(f"nlp_distill: {name}", all(word in message for word in words), message)
    check("nlp_distill: a name of the model path", "model path" in error(call.replace("kinds", "minilm") + ")", db=db))
    check("nlp_distill: a name that no pack can have", "no name of a model" in error(call.replace("kinds", "My Kinds") + ")", db=db))
    db.execute("CREATE VIEW trap2 AS " + call + ")")
    check("nlp_distill: not from a schema", "unsafe use" in error("SELECT * FROM trap2", db=db))
    check("nlp_distill: what failed left nothing", one(count, db=db) == 1)


def check_fit():
    db = connect()
    db.execute("CREATE TABLE t(body, label)")
    db.executemany("INSERT INTO t VALUES(?, ?)", [(f"{'refund my order' if i % 2 else 'reset my password'} {i}", "money" if i % 2 else "access") for i in range(60)])
    metrics = dict(db.execute("SELECT * FROM nlp_fit('intents', 'SELECT body, label FROM t')").fetchall())
    check("nlp_fit trains a head", metrics.get("accuracy") == 1.0, metrics)
    check("and the head answers", one("SELECT nlp_classify('I want my money back', 'intents')", db=db) == "money")
    check("and nlp_models lists it", one("SELECT family || dims FROM nlp_models WHERE name = 'minilm'", db=db) == "bert384" and one("SELECT backing FROM nlp_models WHERE name = 'intents'", db=db) == "table")
    check("a name of the model path is refused", "model path" in error("SELECT * FROM nlp_fit('minilm', 'SELECT body, label FROM t')", db=db))
    check("one class", "at least 2" in error("SELECT * FROM nlp_fit('x', 'SELECT body, ''a'' FROM t')", db=db))
    check("no rows", "no rows" in error("SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t WHERE 0')", db=db))
    check("NULL labels", "no label" in error("SELECT * FROM nlp_fit('x', 'SELECT body, NULL FROM t')", db=db))
    check("f1, support and epochs", metrics.get("f1:money") == 1.0 and metrics.get("support:money", 0) > 0 and metrics.get("epochs") == 300, metrics)
    swapped = dict(db.execute("SELECT * FROM nlp_fit('x', 'SELECT body, CASE WHEN rowid % 4 > 1 THEN label ELSE ''other'' END FROM t', 'minilm', '{\"holdout\": 0.5, \"patience\": 2}')").fetchall())
    check("confusions and patience", any(k.startswith("confusion:") and " -> " in k for k in swapped) and swapped["epochs"] < 300, swapped)
    single = dict(db.execute("SELECT * FROM nlp_fit('x', 'SELECT body, body FROM t', 'minilm', '{\"epochs\": 2}')").fetchall())
    check("one row a label", single["rows_held_out"] == 0 and single["classes"] == 60, single)
    layered = dict(db.execute("SELECT * FROM nlp_fit('layered', 'SELECT body, label FROM t', 'minilm', '{\"hidden\": 16}')").fetchall())
    again = dict(db.execute("SELECT * FROM nlp_evaluate('layered', 'SELECT body, label FROM t')").fetchall())
    check("a hidden layer", layered["accuracy"] == 1.0 and layered["epochs"] == 30 and again["accuracy"] == 1.0, (layered, again))
    check("and such a head answers", one("SELECT nlp_classify('I want my money back', 'layered')", db=db) == "money")
    check("a hidden layer that is too wide", "4096" in error("SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t', 'minilm', '{\"hidden\": 4097}')", db=db))
    check("hidden: NULL labels", "no label" in error("SELECT * FROM nlp_fit('x', 'SELECT body, NULL FROM t', 'minilm', '{\"hidden\": 16}')", db=db))
    check("hidden: no rows", "no rows" in error("SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t WHERE 0', 'minilm', '{\"hidden\": 16}')", db=db))
    check("an unknown option", "bogus" in error("SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t', 'minilm', '{\"bogus\": 1}')", db=db))
    check("no such base", "nosuch" in error("SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t', 'nosuch')", db=db))
    check("NULL texts", "no text" in error("SELECT * FROM nlp_fit('x', 'SELECT NULL, label FROM t')", db=db))
    check("a query that writes", "two columns" in error("SELECT * FROM nlp_fit('x', 'DELETE FROM t')", db=db))
    check("no query", "two columns" in error("SELECT * FROM nlp_fit('x', '')", db=db))
    check_evaluate(db)
    pack = one("SELECT nlp_pack('intents')", db=db)
    other = connect()
    check("packs move between databases", one("SELECT nlp_pack_put('moved', ?)", pack, db=other) == "moved" and one("SELECT nlp_classify('forgot my password', 'moved')", db=other) == "access")
    check("a damaged pack is refused", "damaged" in error("SELECT nlp_pack_put('bad', ?)", pack[:-100], db=other) or "bytes" in error("SELECT nlp_pack_put('bad', ?)", pack[:-100], db=other))
    check("nlp_drop_model", one("SELECT nlp_drop_model('intents')", db=db) == "intents" and "no model" in error("SELECT nlp_classify('x', 'intents')", db=db))


def check_writing():
    with packs() as folder:
        check_writers(folder)
        check_chats()
        check_chats_of_connections()


def check_extractive_summaries(folder):
    """By minilm where it is named, where the option asks for it, and for long texts; by smollm2 (a small stand-in) else."""
    shutil.copy(os.path.join(folder, "talker.nlp"), os.path.join(folder, "smollm2.nlp"))
    text = "The club won the cup.\nIt rained all day. The players celebrated the cup of the club. Bread was cheap."
    long_text = " ".join(f"The club won cup {i}. It rained on day {i}." for i in range(120))
    cli = json.loads(run([NLP, "summarize", "-m", "minilm", "--json", "--max-tokens", "12"], json.dumps({"text": text}) + "\n")[1])["text"]
    picked = one("SELECT nlp_summarize(?, 'minilm', 12)", text)
    check("nlp_summarize by an embedder is what the command line gives", picked == cli and all(s in text for s in picked.split(". ")), picked)
    check("without a model, by the option", one("SELECT nlp_summarize(?, 12, '{\"extractive\": true}')", text) == picked)
    check("without a model, for a long text", one("SELECT nlp_summarize(?)", long_text) == one("SELECT nlp_summarize(?, 'minilm')", long_text))
    check("a short one, and one whose manner is given, is written", [one("SELECT nlp_summarize(?1, 3) = nlp_summarize(?1, 'talker', 3)", text), one("SELECT nlp_summarize(?1, 3, '{\"top_k\": 1}') = nlp_summarize(?1, 'talker', 3, '{\"top_k\": 1}')", long_text),
                                                                      one("SELECT nlp_summarize(?1, 3, '{\"extractive\": false}') = nlp_summarize(?1, 'talker', 3)", long_text)] == [1, 1, 1])
    check("nlp_summarize_agg of a long group", one("SELECT nlp_summarize_agg(?1 || value) = nlp_summarize(group_concat(?1 || value, char(10)), 'minilm') FROM json_each('[1, 2, 3]')", long_text) == 1)
    check("of nothing and of one sentence", [one("SELECT nlp_summarize(?, 'minilm')", t) for t in ("", " \n", "One sentence.", None)] == ["", "", "One sentence.", None])
    for name, sql, *words in (("how to write", "SELECT nlp_summarize('x', 'minilm', '{\"temperature\": 1, \"seed\": 1}')", "temperature", "picks sentences"), ("written by an embedder", "SELECT nlp_summarize('x', 'minilm', '{\"extractive\": false}')", "minilm", "does not write"),
                              ("picked by a decoder", "SELECT nlp_summarize('x', 'talker', '{\"extractive\": true}')", "talker", "vectors", "extractive"), ("extractive 1", "SELECT nlp_summarize('x', 'minilm', '{\"extractive\": 1}')", "extractive", "true or false"),
                              ("of 0 tokens", "SELECT nlp_summarize('x', 'minilm', 0)", "max_tokens", "1 to")):
        message = error(sql)
        check(f"a summary {name} is an error", message and all(w in message for w in words), message)


def check_writers(folder):
    prompts = ["Once upon a time", "The cat sat on the mat", "x"]
    options = json.dumps({"max_tokens": 20, "temperature": 0.9, "seed": 5, "top_p": 0.95})
    lines = "".join(json.dumps({"text": p}) + "\n" for p in prompts)
    cli = [json.loads(line)["text"] for line in run([NLP, "generate", "-m", os.path.join(folder, "writer.nlp"), "--json", "--options", options], lines)[1].splitlines()]
    check("nlp_generate is what the command line gives", [one("SELECT nlp_generate(?, 'writer', ?)", p, options) for p in prompts] == cli, cli)
    check("and a stream", ["".join(r[0] for r in rows_of("SELECT token FROM nlp_generate_stream(?, 'writer', ?)", p, options)) for p in prompts] == cli)
    rows = rows_of("SELECT step, done FROM nlp_generate_stream('x', 'writer', 7)")
    check("a stream has one row a token, the last one done", [r[0] for r in rows] == list(range(1, 8)) and [r[1] for r in rows] == [0] * 6 + [1], rows)
    check("NULL gives no rows", rows_of("SELECT * FROM nlp_generate_stream(NULL, 'writer')") == [] and one("SELECT nlp_generate(NULL, 'writer')") is None)
    before = one("SELECT forward_passes FROM nlp_stats")
    cursor = DB.execute("SELECT token FROM nlp_generate_stream('Once upon', 'writer', 60)")
    for _ in range(3):
        cursor.fetchone()
    cursor.close()
    check("a statement that is not stepped on does no work", one("SELECT forward_passes FROM nlp_stats") <= before + 6)
    check("two streams at once", len(rows_of("SELECT a.token, b.token FROM nlp_generate_stream('x', 'writer', 4) a, nlp_generate_stream('y', 'writer', 3) b")) == 12)
    check("a stop string", " " not in one("SELECT nlp_generate('x', 'writer', '{\"stop\": \" \"}')"))
    for name, sql, *words in (("temperature without a seed", "SELECT nlp_generate('x', 'writer', '{\"temperature\": 1}')", "seed"),
                              ("max_tokens 0", "SELECT nlp_generate('x', 'writer', 0)", "max_tokens"),
                              ("top_p 0", "SELECT nlp_generate('x', 'writer', '{\"top_p\": 0}')", "top_p"),
                              ("an empty stop string", "SELECT nlp_generate('x', 'writer', '{\"stop\": \"\"}')", "stop"),
                              ("a model that does not write", "SELECT nlp_generate('x', 'minilm')", "minilm"),
                              ("the same in a stream", "SELECT * FROM nlp_generate_stream('x', 'minilm')", "minilm"),
                              ("a target that the model lacks", "SELECT nlp_translate('x', 'xx', 'polyglot')", "xx", "__en__"),
                              ("a translator that is not there", "SELECT nlp_translate('x', 'xx')", "en-xx")):
        message = error(sql)
        check(f"{name} is an error", message and all(w in message for w in words), message)
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "Once upon"}]
    answer = json.loads(run([NLP, "chat", "-m", os.path.join(folder, "talker.nlp"), "--json", "--max-tokens", "12"], json.dumps({"messages": chat}) + "\n")[1])["text"]
    check("nlp_chat is what the command line gives", one("SELECT nlp_chat(?, 'talker', 12)", json.dumps(chat)) == answer, answer)
    check("a string is what a user says", one("SELECT nlp_chat('\"x\"', 'talker', 5) = nlp_chat('[{\"role\": \"user\", \"content\": \"x\"}]', 'talker', 5)"))
    for name, messages, word in (("an unknown role", '[{"role": "robot", "content": "x"}]', "assistant"), ("another shape", '[{"role": "user"}]', "content"), ("no JSON", "hello", "JSON"), ("no messages", "[]", "no messages"),
                                 ("no user at the end", '[{"role": "assistant", "content": "x"}]', "assistant")):
        message = error("SELECT nlp_chat(?, 'talker')", messages)
        check(f"messages with {name} are an error", word in message, message)
    cli = json_lines(NLP, ["classify", "-m", os.path.join(folder, "talker.nlp"), "--labels", "good,bad,a question"], [{"text": "One x."}])[0]
    scores = rows_of("SELECT label, score FROM nlp_zero_shot_scores('One x.', '[\"good\", \"bad\", \"a question\"]', 'talker')")
    check("a decoder scores labels as on the command line", {k: round(v, 6) for k, v in scores} == {k: round(v, 6) for k, v in cli["scores"].items()} and scores[0][0] == cli["label"], scores)
    check("nlp_zero_shot by a decoder", one("SELECT nlp_zero_shot('One x.', '[\"good\", \"bad\", \"a question\"]', 'talker')") == cli["label"])
    check("nlp_classify by a decoder, with choices", one("SELECT nlp_classify('One x.', 'talker', '{\"choices\": [\"good\", \"bad\", \"a question\"]}')") == cli["label"])
    check("its confidence and scores", [one("SELECT nlp_confidence('One x.', 'talker', '{\"choices\": [\"good\", \"bad\", \"a question\"]}')")] == [r[1] for r in rows_of("SELECT * FROM nlp_classify_scores('One x.', 'talker', '{\"choices\": [\"good\", \"bad\", \"a question\"]}')")][:1] == [scores[0][1]])
    for name, sql, *words in (("without choices", "SELECT nlp_classify('x', 'talker')", "no labels of its own", "choices"), ("with an empty list", "SELECT nlp_zero_shot('x', '[]', 'talker')", "empty"), ("with an empty label", "SELECT nlp_zero_shot('x', '[\"a\", \"\"]', 'talker')", "label 2"),
                              ("with choices that are none", "SELECT nlp_classify('x', 'talker', '{\"choices\": [1]}')", "choices")):
        message = error(sql)
        check(f"a decoder that classifies {name} is an error", message and all(w in message for w in words), message)
    schema = json.dumps({"properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}}, "required": ["a", "b"]})
    cli = json.loads(run([NLP, "extract", "-m", os.path.join(folder, "talker.nlp"), "--json", "--schema", schema, "--max-tokens", "40"], '{"text": "One x."}\n')[1])["value"]
    check("nlp_extract is what the command line gives", json.loads(one("SELECT nlp_extract('One x.', ?, 'talker', '{\"max_tokens\": 40}')", schema)) == cli, cli)
    values = [json.loads(one("SELECT nlp_extract('One x.', ?, 'talker', ?)", schema, json.dumps({"max_tokens": n}))) for n in range(1, 30)]
    check("nlp_extract in any number of tokens", all(isinstance(v["a"], int) and v["b"] in ("x", "y") for v in values), values[:2])
    check("choices", one("SELECT nlp_generate('x', 'writer', '{\"choices\": [\"yes\", \"no\"]}')") in ("yes", "no"))
    message = error("SELECT nlp_extract('x', 'hello', 'talker')")
    check("a schema that is no JSON", "schema" in message, message)
    one("SELECT nlp_config('summarize_model', 'talker')")
    check("nlp_summarize_agg sums up a group", one("SELECT nlp_summarize_agg(column1) = nlp_summarize(group_concat(column1, char(10))) FROM (VALUES ('It rained.'), (NULL), ('We stayed at home.'))") == 1)
    check("of no rows NULL", one("SELECT nlp_summarize_agg(1) WHERE false") is None)
    one("SELECT nlp_config('summarize_model', '')")
    check_extractive_summaries(folder)
    check("the translator that came along", one("SELECT nlp_translate('Where is the station? I have lost my bag.', 'fr')") == "Où se trouve la gare ? J'ai perdu mon sac.")
    check("nlp_translate", one("SELECT nlp_translate('The cat sat.', 'fr', 'polyglot', '{\"max_tokens\": 5}')") is not None)


def history(session, db=None):
    return [tuple(r) for r in (db or DB).execute("SELECT seq, role, content FROM nlp_chat_history(?)", (session,)).fetchall()]


def messages(rows):
    return json.dumps([{"role": role, "content": content} for _, role, content in rows])


def check_chats():
    db = connect()
    check("no table before the first session", one("SELECT count(*) FROM sqlite_master", db=db) == 0 and "no chat session" in error("SELECT nlp_chat_send('x', 'y')", db=db))
    session = one("SELECT nlp_chat_create('Be brief.', 'talker')", db=db)
    check("nlp_chat_create gives a uuid of version 4", re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", session), session)
    check("a fresh session has its system text", history(session, db) == [(0, "system", "Be brief.")])
    said, answers = ["Once \"upon\" a time", "Zürich\nagain"], []
    for i, text in enumerate(said):
        answers.append(one("SELECT nlp_chat_send(?, ?, 6)", session, text, db=db))
        whole = history(session, db)
        check(f"answer {i + 1} is nlp_chat's of the whole list", one("SELECT nlp_chat(?, 'talker', 6)", messages(whole[:-1]), db=db) == answers[i], answers[i])
    check("nlp_chat_history", whole == [(0, "system", "Be brief."), (1, "user", said[0]), (2, "assistant", answers[0]), (3, "user", said[1]), (4, "assistant", answers[1])], whole)
    check("the column at is a time", one("SELECT count(*) FROM nlp_chat_history(?) WHERE at > datetime('now', '-1 hour') AND at <= datetime('now')", session, db=db) == 5)
    check("a session in capitals is the same", history(session.upper(), db) == whole and one("SELECT nlp_chat_send(?, 'x', 2)", session.upper(), db=db) is not None and len(history(session, db)) == 7)
    one("SELECT nlp_config('chat_model', 'talker')")
    plain = one("SELECT nlp_chat_create()", db=db)
    one("SELECT nlp_config('chat_model', 'gone')")
    check("without a system text a fresh session is empty", history(plain, db) == [] and plain != session)
    check("it stays with the model that was the default", one("SELECT nlp_chat_send(?, 'x')", plain, db=db) == one("SELECT nlp_chat('\"x\"', 'talker')", db=db))
    one("SELECT nlp_config('chat_model', '')")
    empty = one("SELECT nlp_chat_create(NULL, 'talker')", db=db)
    watched = one("SELECT nlp_chat_create(NULL, 'talker')", db=db)
    db.execute("CREATE TRIGGER looks AFTER INSERT ON nlp_chats BEGIN UPDATE nlp_chats SET model = model WHERE nlp_generate(new.content, 'talker', 8) = 'zz'; END")
    answer = one("SELECT nlp_chat_send(?, 'look', 9)", watched, db=db)
    check("a trigger of the table may run tasks", answer == history(watched, db)[-1][2], (answer, history(watched, db)[-1]))
    db.execute("DROP TRIGGER looks")
    db.execute("CREATE TRIGGER refuses BEFORE INSERT ON nlp_chats BEGIN SELECT raise(ABORT, 'not today'); END")
    check("and say what it refuses", "not today" in error("SELECT nlp_chat_send(?, 'x', 2)", watched, db=db))
    db.execute("DROP TRIGGER refuses")
    check("options, also beside a number", one("SELECT nlp_chat_send(?, 'x', '{\"max_tokens\": 3}')", empty, db=db) == one("SELECT nlp_chat('\"x\"', 'talker', 3)", db=db) and one("SELECT nlp_chat_send(?, 'y', '{\"choices\": [\"yes\", \"no\"]}', 9)", empty, db=db) in ("yes", "no"))
    check("NULL gives NULL, or no rows", one("SELECT nlp_chat_send(NULL, 'x') IS NULL AND nlp_chat_send(?, NULL) IS NULL", empty, db=db) == 1 and one("SELECT count(*) FROM nlp_chat_history(NULL)", db=db) == 0 and len(history(empty, db)) == 4)
    check_chat_errors(db, session)
    db.close()


def check_chat_errors(db, session):
    count = "SELECT count(*) FROM nlp_chats"
    before = one(count, db=db)
    for name, sql, *words in (("an unknown session", "SELECT nlp_chat_send('00000000-0000-4000-8000-000000000000', 'x')", "no chat session", "00000000-0000-4000", "nlp_chat_create"),
                              ("the history of one", "SELECT * FROM nlp_chat_history('nonsense')", "no chat session", "nonsense"),
                              ("an unknown model", "SELECT nlp_chat_create('x', 'nosuch')", "nosuch", "NLP_MODEL_PATH"),
                              ("a model without chats", "SELECT nlp_chat_create('x', 'yesno')", "yesno", "chat"),
                              ("another model", f"SELECT nlp_chat_send('{session}', 'x', 'writer')", "two models"),
                              ("an unknown option", f"SELECT nlp_chat_send('{session}', 'x', '{{\"wings\": 2}}')", "wings", "temperature"),
                              ("max_tokens 0", f"SELECT nlp_chat_send('{session}', 'x', 0)", "max_tokens"),
                              ("a history that is too long", f"SELECT nlp_chat_send('{session}', '{'many words ' * 4000}', '{{\"on_overflow\": \"error\"}}')", "positions"),
                              ("no argument", "SELECT nlp_chat_send('x')", "wrong number"),
                              ("a history without its session", "SELECT * FROM nlp_chat_history", "needs 1")):
        message = error(sql, db=db)
        check(f"{name} is an error", message and all(w in message for w in words), message)
    check("an error that was asked for gives NULL", one(f"SELECT nlp_chat_send('{session}', ?, '{{\"on_overflow\": \"error\", \"on_error\": \"null\"}}')", "many words " * 4000, db=db) is None)
    deadline = time.monotonic() + 0.05
    db.set_progress_handler(lambda: time.monotonic() > deadline, 1)
    check("a progress handler stops a send", error(f"SELECT nlp_chat_send('{session}', ?, 500)", "many words " * 200, db=db) != "")
    db.set_progress_handler(None, 1)
    check("what failed has stored nothing", one(count, db=db) == before)
    db.execute("BEGIN")
    one("SELECT nlp_chat_send(?, 'gone', 2)", session, db=db)
    in_between = one(count, db=db)
    db.execute("ROLLBACK")
    check("a send rolls back", in_between == before + 2 and one(count, db=db) == before)
    for sql in ("CREATE VIEW v AS SELECT nlp_chat_create()", f"CREATE VIEW v AS SELECT nlp_chat_send('{session}', 'x')", f"CREATE VIEW v AS SELECT * FROM nlp_chat_history('{session}')"):
        db.execute(sql)
        message = error("SELECT * FROM v", db=db)
        check(f"direct only: {sql[17:]}", "unsafe use" in message, message)
        db.execute("DROP VIEW v")
    db.executescript(f"CREATE TABLE d(x); CREATE TRIGGER t AFTER INSERT ON d BEGIN SELECT nlp_chat_send('{session}', new.x); END")
    message = error("INSERT INTO d VALUES('x')", db=db)
    check("and in a trigger", "unsafe use" in message and one(count, db=db) == before, message)


def check_chats_of_connections():
    """In a file: what is stored outlives its connection, and two that go on with one session at once do not mix."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "chats.db")
        db, other = (connect(path, isolation_level=None) for _ in range(2))
        one("PRAGMA journal_mode = wal", db=db)
        session = one("SELECT nlp_chat_create(NULL, 'talker')", db=db)
        answer = one("SELECT nlp_chat_send(?, 'x', 4)", session, db=other)
        check("another connection sees the messages", history(session, db) == [(1, "user", "x"), (2, "assistant", answer)])
        sent, asked = [], []

        def send_once():  # while the first answer is written: the history has been read
            asked.append(1)
            if len(asked) > 500 and not sent:
                sent.append(one("SELECT nlp_chat_send(?, 'between', 4)", session, db=other))
            return 0

        db.set_progress_handler(send_once, 1)
        message = error("SELECT nlp_chat_send(?, 'late', 400)", session, db=db)
        db.set_progress_handler(None, 1)
        kept = [content for _, _, content in history(session, db)]
        check("of two sends at once the later one is an error", sent and "meanwhile" in message and kept == ["x", answer, "between", sent[0]], f"{message} {kept}")
        check("and it goes on", one("SELECT nlp_chat_send(?, 'late', 4)", session, db=db) is not None and len(history(session, other)) == 6)
        for c in (db, other):
            c.close()
        check("the connections close", not [f for f in os.listdir(folder) if f.endswith("-wal")], os.listdir(folder))
        out = subprocess.run(["sqlite3", path, "SELECT group_concat(role) FROM (SELECT role FROM nlp_chats ORDER BY seq)"], capture_output=True, text=True).stdout.strip()
        check("an ordinary table, readable without the extension", out == "system,user,assistant,user,assistant,user,assistant", out)


def check_map():
    db = connect()
    db.executescript("CREATE TABLE r (id, body); INSERT INTO r VALUES (1, 'I love it'), (2, 'terrible, it broke'), (3, NULL), ('x', 'The film was boring');")
    db.executemany("INSERT INTO r VALUES (?, ?)", [(i, f"text number {i}") for i in range(10, 150)])
    mapped = db.execute("SELECT key, result FROM nlp_map('SELECT id, body FROM r', 'sentiment')").fetchall()
    check("nlp_map gives each row what its function gives", mapped == db.execute("SELECT id, nlp_sentiment(body) FROM r").fetchall() and len(mapped) == 144)
    check("... vectors as BLOBs", db.execute("SELECT result FROM nlp_map('SELECT body FROM r', 'embed', 'minilm')").fetchall() == db.execute("SELECT nlp_embed(body, 'minilm') FROM r").fetchall())
    check("... numbered rows without a key", [k for k, in db.execute("SELECT key FROM nlp_map('SELECT body FROM r', 'sentiment') LIMIT 70")] == list(range(1, 71)))
    check("... rows of a task of rows, as JSON", [json.loads(r)["token"] for _, r in db.execute("SELECT * FROM nlp_map('SELECT id, body FROM r WHERE id = 1', 'tokens')")] == ["[CLS]", "i", "love", "it", "[SEP]"])
    check("... two operands, a list", db.execute("SELECT result FROM nlp_map('SELECT body, json_array(''film'', ''tax'') FROM r WHERE id = ''x''', 'zero_shot')").fetchall() == [("film",)])
    check("... a named model and options", one("SELECT result FROM nlp_map('SELECT ''hm''', 'sentiment', 'sentiment', '{\"threshold\": 0.999}')", db=db) == "neutral")
    check("... stops with LIMIT", one("SELECT count(*) FROM (SELECT * FROM nlp_map('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, ''text'' FROM n', 'token_count') LIMIT 100)", db=db) == 100)
    for name, call, word in (("an unknown task", "'SELECT 1', 'nothing'", "no such task"), ("a statement that writes", "'DELETE FROM r', 'sentiment'", "one SELECT"), ("two statements", "'SELECT 1; SELECT 2', 'sentiment'", "one SELECT"),
                             ("too many columns", "'SELECT 1, 2, 3', 'sentiment'", "one SELECT"), ("no SQL", "'SELEC', 'sentiment'", "syntax error"), ("NULL", "NULL, 'sentiment'", "needs a query"), ("a model that is not there", "'SELECT ''x''', 'embed', 'nothing'", "nothing")):
        check(f"nlp_map: {name}", word in error(f"SELECT * FROM nlp_map({call})", db=db), error(f"SELECT * FROM nlp_map({call})", db=db))
    check("nlp_run", [one(f"SELECT nlp_run({call})", db=db) for call in ("'sentiment', 'I love it'", "'token_count', 'a b'", "'sentiment', NULL")] == ["positive", 4, None])
    check("nlp_run of a task of rows", [t["token"] for t in json.loads(one("SELECT nlp_run('tokens', 'a \"b\"')", db=db))] == ["[CLS]", "a", '"', "b", '"', "[SEP]"])
    check("nlp_run: errors", "nlp_map" in error("SELECT nlp_run('answer', 'x')", db=db) and "no such task" in error("SELECT nlp_run('x', 'y')", db=db) and "needs a task" in error("SELECT nlp_run('x')", db=db))


def check_column():
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "column.db")
    db = connect(path, isolation_level=None)
    db.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, body TEXT, emb BLOB)")
    db.executemany("INSERT INTO texts VALUES (?, ?, NULL)", [(i, None if i % 50 == 0 else f"text number {i}") for i in range(1, 401)])
    memory = db.execute("SELECT kind, name, backing, bytes > 0 FROM nlp_memory").fetchall()
    check("nlp_memory", ("scratch", "", "private", 1) in memory or ("scratch", "", "private", 0) in memory, memory)
    check("nlp_progress without a job", db.execute("SELECT * FROM nlp_progress").fetchall() == [])
    check("nlp_embed_column fills a column", one("SELECT nlp_embed_column('texts', 'body', 'emb')", db=db) == 392 and one("SELECT count(emb) = 392 AND sum(emb = nlp_embed(body)) = 392 FROM texts", db=db) == 1)
    check("nlp_progress", db.execute("SELECT relation, target, model, rows_done, rows_total, finished IS NOT NULL FROM nlp_progress").fetchall() == [("texts", "emb", "minilm", 392, 392, 1)])
    db.execute("INSERT INTO texts VALUES (1000, 'one more', NULL)")
    check("... goes on with new rows", one("SELECT nlp_embed_column('texts', 'body', 'emb')", db=db) == 1 and one("SELECT rows_done FROM nlp_progress", db=db) == 393)
    db.execute("UPDATE nlp_jobs SET digest = 'other'")
    db.execute("UPDATE texts SET emb = NULL WHERE id = 5")
    check("vectors of two models do not mix", "other" in error("SELECT nlp_embed_column('texts', 'body', 'emb')", db=db))
    db.execute("UPDATE texts SET emb = NULL")
    check("... but a column that is empty takes any", one("SELECT nlp_embed_column('texts', 'body', 'emb', 'minilm')", db=db) == 393)
    for name, call in (("an unknown table", "'nothing', 'body', 'emb'"), ("an unknown column", "'texts', 'nothing', 'emb'"), ("another unknown column", "'texts', 'body', 'nothing'"), ("an unknown model", "'texts', 'body', 'emb', 'nothing'")):
        check(f"nlp_embed_column: {name}", "nothing" in error(f"SELECT nlp_embed_column({call})", db=db), error(f"SELECT nlp_embed_column({call})", db=db))
    check("nlp_embed_column needs three names", "needs a table" in error("SELECT nlp_embed_column('texts')", db=db))
    db.execute("BEGIN")
    db.execute("UPDATE texts SET emb = NULL WHERE id < 100")
    one("SELECT nlp_embed_column('texts', 'body', 'emb')", db=db)
    db.execute("ROLLBACK")
    check("... rolls back with its transaction", one("SELECT count(emb) FROM texts", db=db) == 393)
    check_killed_column(path, db)
    db.close()
    shutil.rmtree(folder)


def check_killed_column(path, db):
    """A process is killed five times in the middle."""
    db.executescript("UPDATE texts SET emb = NULL; CREATE TABLE written (id); CREATE TRIGGER t AFTER UPDATE OF emb ON texts BEGIN INSERT INTO written VALUES (new.id); END;")
    db.executemany("INSERT INTO texts VALUES (?, ?, NULL)", [(i, f"another text {i} " * 12) for i in range(2000, 3000)])
    db.executescript("DELETE FROM written;")
    script = f"import sqlite3; db = sqlite3.connect({path!r}, isolation_level=None); db.enable_load_extension(True); db.load_extension({LIBRARY!r}); db.execute(\"SELECT nlp_embed_column('texts', 'body', 'emb')\").fetchall()"
    truthful = True
    for _ in range(5):
        before = one("SELECT count(emb) FROM texts", db=db)
        with subprocess.Popen([sys.executable, "-c", script]) as process:
            while process.poll() is None and one("SELECT count(emb) FROM texts", db=db) <= before + 60:
                time.sleep(0.02)
            process.kill()
        truthful = truthful and one("SELECT rows_done FROM nlp_progress", db=db) == one("SELECT count(emb) FROM texts", db=db)
    check("killed five times: progress says what is there", truthful)
    one("SELECT nlp_embed_column('texts', 'body', 'emb')", db=db)
    check("... called again it finishes, each row was written once", db.execute("SELECT count(emb), count(body) FROM texts").fetchone() == (1393, 1393) and db.execute("SELECT count(*), count(DISTINCT id) FROM written").fetchone() == (1393, 1393), db.execute("SELECT count(*), count(DISTINCT id) FROM written").fetchone())


def interrupted(sql, value):
    """The statement reads its text from a table: binding a long one takes longer than what is measured."""
    db = connect(check_same_thread=False)
    db.execute("CREATE TABLE input AS SELECT nlp_embed('warm'), ? AS x", (value,))
    ended = threading.Event()

    def keep_interrupting():  # one that comes before the statement runs is lost
        ended.wait(0.05)
        while not ended.wait(0.005):
            db.interrupt()

    thread = threading.Thread(target=keep_interrupting)
    thread.start()
    start = time.monotonic()
    message = error(sql, db=db)
    took = time.monotonic() - start - 0.05
    ended.set()
    thread.join()
    fine = len(one("SELECT nlp_embed('after')", db=db)) == 1536
    return message, took, fine


def check_interrupts():
    texts = json.dumps([f"number {i} " + "many words to compute here " * 40 for i in range(64)])
    for name, sql, value in (("an array of 64 texts", "SELECT count(*) FROM input, nlp_embed_each(x)", texts),
                             ("tokenising 40 MB", "SELECT nlp_token_count(x) FROM input", "some words and more " * 2000000)):
        message, took, fine = interrupted(sql, value)
        check(f"interrupt in {name}", "interrupted" in message or "canceled" in message, f"{message}, after {1000 * took:.1f} ms")
        check(f"and the connection goes on after {name}", fine)
    db = connect()
    db.execute("SELECT nlp_embed('warm')").fetchall()
    deadline = time.monotonic() + 0.05
    db.set_progress_handler(lambda: time.monotonic() > deadline, 1)
    check("a progress handler stops a call", error("SELECT count(*) FROM nlp_embed_each(?)", texts, db=db) != "")


def check_schemas():
    db = connect()
    db.executescript("CREATE TABLE d(body, emb AS (nlp_embed(body, 'minilm')) STORED); CREATE INDEX i ON d(nlp_sentiment(body, 'sentiment')); INSERT INTO d(body) VALUES('good'), ('bad'); CREATE VIEW v AS SELECT nlp_sentiment(body) s FROM d")
    check("generated column, index by expression, view", one("SELECT count(*) FROM d WHERE length(emb) = 1536", db=db) == 2 and one("SELECT count(*) FROM v", db=db) == 2)
    for trusted in ("ON", "OFF"):
        db.execute(f"PRAGMA trusted_schema = {trusted}")
        db.execute("DROP VIEW IF EXISTS w")
        db.execute("CREATE VIEW w AS SELECT nlp_config('threads') c")
        check(f"nlp_config is direct only, trusted_schema {trusted}", "unsafe use" in error("SELECT * FROM w", db=db))
        check(f"tasks are innocuous, trusted_schema {trusted}", one("SELECT count(*) FROM v", db=db) == 2)


def check_threads():
    problems, reference = [], one("SELECT nlp_embed('thread')")

    def work():
        db = connect()
        for _ in range(20):
            if one("SELECT nlp_embed('thread')", db=db) != reference:
                problems.append("other bits")
        db.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("four connections in four threads, the same bits", not problems)
    db = connect()
    db.load_extension(LIBRARY)
    check("loading twice", len(one("SELECT nlp_embed('twice')", db=db)) == 1536)
    passes = one("SELECT forward_passes FROM nlp_stats")
    DB.execute("CREATE TABLE IF NOT EXISTS r AS SELECT value v, nlp_embed('row') e FROM json_each('[1,2,3,4,5,6,7,8]')")
    before = one("SELECT forward_passes FROM nlp_stats")
    DB.execute("SELECT v FROM r ORDER BY nlp_cosine(e, nlp_embed_query('constant')) DESC").fetchall()
    check("a constant query vector is one forward pass", one("SELECT forward_passes FROM nlp_stats") - before == 1, (passes, before))


def check_shell():
    out = subprocess.run(["sqlite3", ":memory:", "-cmd", f".load {LIBRARY}", "SELECT nlp_sentiment('I love it')"], capture_output=True, text=True)
    check("the sqlite3 shell", out.stdout.strip() == "positive" and not out.stderr, out.stdout + out.stderr)
    symbols = subprocess.run(["nm", "-D", "--defined-only", LIBRARY + ".so"], capture_output=True, text=True).stdout.split("\n")
    check("one exported symbol", [s.split()[-1] for s in symbols if s] == ["sqlite3_nlp_init"], symbols)


for group in (check_functions, check_heads, check_null_and_empty, check_bad_input, check_settings, check_fit, check_distill, check_writing, check_map, check_column, check_interrupts, check_schemas, check_threads, check_shell):
    group()
finish()
