"""Engines of bench/search: `modes`, build(documents), search(query, mode, k) -> ids of documents, best first."""
import os
import re
import sqlite3


def connect(build, path=":memory:"):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(os.path.join(build, "sqlite", "nlp"))
    return db


class BM25:
    """rank_bm25 over lower-case words: the plain reference."""
    name, modes = "rank_bm25", ("text",)

    def build(self, documents):
        from rank_bm25 import BM25Okapi
        self.ids = [d for d, _, _ in documents]
        self.index = BM25Okapi([self.words(f"{title} {text}") for _, title, text in documents])

    @staticmethod
    def words(text):
        return re.findall(r"\w+", text.lower())

    def search(self, query, mode, k):
        scores = self.index.get_scores(self.words(query))
        return [self.ids[i] for i in sorted(range(len(self.ids)), key=lambda i: (-scores[i], i))[:k]]


class Sqlite:
    name, modes = "sqlite", ("text", "semantic", "hybrid")

    def __init__(self, build, model):
        self.folder, self.model = build, model

    def build(self, documents):
        self.db = connect(self.folder)
        self.db.execute("CREATE TABLE docs (number INTEGER PRIMARY KEY, id TEXT, title TEXT, body TEXT)")
        self.db.executemany("INSERT INTO docs(id, title, body) VALUES (?, ?, ?)", documents)
        self.db.execute(f"CREATE VIRTUAL TABLE docs_idx USING nlp_index(docs, title, body, model = '{self.model}')")

    def search(self, query, mode, k):
        return [i for i, in self.db.execute("SELECT d.id FROM docs_idx(?, ?, ?) s JOIN docs d ON d.number = s.rowid ORDER BY s.score DESC, s.rowid", (query, k, mode))]
