"""What embedding in SQLite takes: SELECT over a table of texts, rows a second."""
import json
import sqlite3

from measuring import speed, with_share


class Rows:
    """A kind has `version`, `kernels`, `select` and load(db)."""

    def about(self):
        return {"version": self.version, "kernels": self.kernels}

    def connect(self):
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.enable_load_extension(True)

    def choose(self, path):
        with open(path, encoding="utf-8") as file:
            texts = file.read().split("\n")[:-1]
        self.db.execute("DROP TABLE IF EXISTS texts")
        self.db.execute("CREATE TABLE texts (body TEXT)")
        self.db.executemany("INSERT INTO texts VALUES (?)", [(text,) for text in texts])
        self.n = len(texts)

    def run(self):
        n, = self.db.execute(f"SELECT count({self.select}) FROM texts").fetchone()
        if n != self.n:
            raise ValueError(f"{n} vectors of {self.n} texts")

    def round(self, seconds):
        return with_share(lambda: speed(self.run, self.n, seconds))

    def cosines(self, path):
        """To the vectors of a file."""
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        return {self.select: [cosine(self.vector(line["text"]), line["embedding"]) for line in lines]}

    def use(self, text):
        self.vector(text)

    def vector(self, text):
        blob, = self.db.execute(f"SELECT {self.select.replace('body', '?')}", (text,)).fetchone()
        return memoryview(blob).cast("f").tolist()


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
