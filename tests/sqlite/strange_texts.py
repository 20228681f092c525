"""Every task that reads texts, on texts without words and on texts of a megabyte: a result of the right kind, never a fault. Run by tests/sqlite/run."""
import os
import sqlite3
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import check, finish, task_packs  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
LIBRARY, NLP = os.path.join(BUILD, "sqlite", "nlp"), os.path.join(BUILD, "nlp")
WITHOUT_WORDS = {"nothing": "", "blanks": " \t\n  ", "marks": "?!... --- ...", "faces": "\U0001f600\U0001f600", "joiners": "​‍﻿", "accents alone": "́̈", "controls": "\x01\x02\x7f", "a private character": ""}
MEGABYTE = {"words": "The train left late and nobody knew why. " * 25575, "one word": "a" * 1048576, "one character": "語" * 349525, "marks": "?" * 1048576}


def is_label(value):
    return value in ("positive", "negative", "contradiction", "neutral", "entailment", "a", "b")


def is_score(value):
    return isinstance(value, float) and -1 <= value <= 1


def is_vector(value):
    return len(value) == 1536


def is_text_or_null(value):
    return value is None or isinstance(value, str)


def is_truth(value):
    return value in (0, 1)


def is_count(value):
    return isinstance(value, int) and value >= 0


# name: SQL with the text as ?1 and one row, what each cell of the row is. The models are minilm and its heads, or tiny ones.
SCALARS = {"embed": ("SELECT nlp_embed(?1)", is_vector),
           "embed_query": ("SELECT nlp_embed_query(?1)", is_vector),
           "similarity": ("SELECT nlp_similarity(?1, 'a text')", is_score),
           "sentiment": ("SELECT nlp_sentiment(?1, '{\"on_overflow\": \"truncate\"}')", is_label),
           "sentiment_score": ("SELECT nlp_sentiment_score(?1, '{\"on_overflow\": \"truncate\"}')", is_score),
           "classify": ("SELECT nlp_classify(?1, 'nli')", is_label),
           "classify, parts": ("SELECT nlp_classify(?1, 'nli', '{\"on_overflow\": \"chunk\"}')", is_label),
           "confidence": ("SELECT nlp_confidence(?1, 'nli')", is_score),
           "zero_shot by inference": ("SELECT nlp_zero_shot(?1, '[\"a\", \"b\"]', 'nli')", is_label),
           "zero_shot by similarity": ("SELECT nlp_zero_shot(?1, '[\"a\", \"b\"]')", is_label),
           "zero_shot, the text as a label": ("SELECT length(nlp_zero_shot('x', json_array(?1, 'b', 'c')))", is_count),
           "filter by inference": ("SELECT nlp_filter(?1, 'It is so.', 'nli')", is_truth),
           "filter by similarity": ("SELECT nlp_filter(?1, 'It is so.')", is_truth),
           "filter, the text as the condition": ("SELECT nlp_filter('It is so.', ?1)", is_truth),
           "answer": ("SELECT nlp_answer('When?', ?1, 'qa')", is_text_or_null),
           "answer, the nearest sentence": ("SELECT nlp_answer('When?', substr(?1, 1, 20000), 'minilm', '{\"sentence\": true}')", is_text_or_null),
           "rerank_score by similarity": ("SELECT nlp_rerank_score('When?', ?1)", is_score),
           "rerank_score by a cross encoder": ("SELECT nlp_rerank_score('When?', ?1, 'pairs')", is_score),
           "token_count": ("SELECT nlp_token_count(?1)", is_count),
           "tokenize": ("SELECT nlp_tokenize(?1)", is_text_or_null),
           "would_truncate": ("SELECT nlp_would_truncate(?1)", is_truth)}
TABLES = {"entities": "SELECT entity, start_pos, end_pos FROM nlp_entities(?1, 'ner')",
          "tokens": "SELECT substr(?1, start_pos, end_pos - start_pos + 1), start_pos, end_pos FROM nlp_tokens(?1) WHERE start_pos IS NOT NULL",
          "chunk by sentence": "SELECT chunk, start_pos, end_pos FROM nlp_chunk(?1, 200)",
          "chunk by paragraph": "SELECT chunk, start_pos, end_pos FROM nlp_chunk(?1, 200, '{\"by\": \"paragraph\"}')",
          "chunk by token": "SELECT chunk, start_pos, end_pos FROM nlp_chunk(?1, 200, '{\"by\": \"token\"}')"}


def places_are_right(text, rows):
    return all(text[start - 1:end] == piece for piece, start, end in rows[:5000])


def check_text(db, kind, text):
    for name, (sql, is_right) in SCALARS.items():
        try:
            value = db.execute(sql, (text,)).fetchone()[0]
            check(f"{name} of {kind}", is_right(value), str(value)[:80])
        except sqlite3.Error as problem:
            refused = not text and "label 1 of 3 is empty" in str(problem) or len(text) > 1000 and "condition" in name and "limit" in str(problem)
            check(f"{name} of {kind}: refused with the reason", refused, str(problem))
    for name, sql in TABLES.items():
        rows = db.execute(sql, (text,)).fetchall()
        check(f"{name} of {kind}: places are those of the text", places_are_right(text, rows), rows[:2])


def main():
    with tempfile.TemporaryDirectory() as folder:
        task_packs(NLP, folder)
        os.environ["NLP_MODEL_PATH"] = folder + ":" + os.environ.get("NLP_MODEL_PATH", "")
        db = sqlite3.connect(":memory:")
        db.enable_load_extension(True)
        db.load_extension(LIBRARY)
        for kind, text in WITHOUT_WORDS.items():
            check_text(db, kind, text)
        for kind, text in MEGABYTE.items():
            check_text(db, "a megabyte of " + kind, text)
        masked = db.execute("SELECT * FROM nlp_fill_mask(?, 'mlm')", (MEGABYTE["words"][:80] + " [MASK] " + MEGABYTE["words"],)).fetchall()
        check("fill_mask in a megabyte: the mask is within the limit", len(masked) == 5, masked[:1])
        best = db.execute("SELECT ord, document FROM nlp_rerank('When?', ?)", ('["", "?", "at noon", "x"]',)).fetchall()
        check("rerank of documents without words", sorted(row[0] for row in best) == [1, 2, 3, 4], best)


main()
finish()
