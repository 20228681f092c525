"""The real all-MiniLM-L6-v2 against the reference's results: ids, offsets, vectors, hidden states, accuracy of the i8 pack.

    tests/golden/minilm.py NLP FOLDER      FOLDER holds minilm.nlp (i8) and minilm-f32.nlp

The committed part of the golden texts always; the whole set, its hidden states and the STS benchmark where the shared data are.
"""
import csv
import gzip
import json
import math
import os
import random
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import DATA, ROOT, SHARED, check, finish, json_lines, run  # noqa: E402

NLP, FOLDER = sys.argv[1:3]
os.environ["NLP_MODEL_PATH"] = FOLDER
F32, I8 = "minilm-f32", "minilm"


class Tensors:
    """Rows of the F32 tensors of a safetensors file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        n = struct.unpack_from("<Q", self.bytes)[0]
        self.header, self.start = json.loads(self.bytes[8:8 + n]), 8 + n

    def __getitem__(self, name):
        first, last = self.header[name]["data_offsets"]
        values = struct.unpack_from(f"<{(last - first) // 4}f", self.bytes, self.start + first)
        width = self.header[name]["shape"][-1]
        return [values[i:i + width] for i in range(0, len(values), width)]

    def names(self, prefix):
        return [name for name in self.header if name.startswith(prefix)]


def embed(model, texts, *options, env=None):
    return [line["embedding"] for line in json_lines(NLP, ["embed", "-m", model, *options], [{"text": t} for t in texts], env)]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))


def compare(rows, expected):
    """Cosines of rows of length 1, and the largest difference."""
    cosines = [cosine(a, b) for a, b in zip(rows, expected)]
    difference = max(abs(x - y) for a, b in zip(rows, expected) for x, y in zip(a, b))
    return cosines, difference if len(rows) == len(expected) else math.inf


def summary(cosines):
    return sum(cosines) / len(cosines), min(cosines)


def golden_rows():
    folder = os.path.join(SHARED, "fixtures", "golden", "minilm")
    if os.path.isdir(folder):
        with gzip.open(os.path.join(folder, "texts.jsonl.gz"), "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        tensors = Tensors(os.path.join(folder, "expected.safetensors"))
        for row, vector in zip(rows, tensors["sentence_embedding"]):
            row["embedding"] = vector
        return rows, tensors
    with open(os.path.join(DATA, "golden", "minilm.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file], None


def given_offsets(row):
    """sentence-transformers strips a text before its tokenizer sees it; ours count in the text as given."""
    stripped = len(row["text"]) - len(row["text"].lstrip())
    return [[a + stripped, b + stripped] if b > a else [a, b] for a, b in row["offsets"]]


def check_tokens(rows):
    got = json_lines(NLP, ["tokens", "-m", F32], [{"text": row["text"]} for row in rows])
    for key, expected in (("ids", lambda r: r["input_ids"]), ("offsets", given_offsets), ("truncated", lambda r: r["truncated"])):
        wrong = [i for i, (g, r) in enumerate(zip(got, rows)) if g.get(key) != expected(r)]
        check(f"{key} of {len(rows)} golden texts", len(got) == len(rows) and not wrong, f"wrong: {wrong[:5]}" if wrong else "")


def check_vectors(rows):
    texts, expected = [r["text"] for r in rows], [r["embedding"] for r in rows]
    cosines, difference = compare(embed(F32, texts), expected)
    check("f32: cosine >= 0.99999, difference <= 1e-5", min(cosines) >= 0.99999 and difference <= 1e-5,
          f"min {min(cosines):.7f}, difference {difference:.1e}")
    mean, least = summary(compare(embed(I8, texts), expected)[0])
    check("i8: mean cosine >= 0.9975, min >= 0.99", mean >= 0.9975 and least >= 0.99, f"mean {mean:.5f}, min {least:.5f}")


def check_layers(rows, tensors):
    """layer.N.K is hidden state K of golden text N."""
    names = tensors.names("layer.")
    numbers = sorted({int(name.split(".")[1]) for name in names})
    with tempfile.TemporaryDirectory() as work:
        out = os.path.join(work, "trace.safetensors")
        text = "".join(json.dumps({"text": rows[n]["text"]}) + "\n" for n in numbers)
        run([NLP, "trace", "-m", F32, "--json", "--out", out], text)
        traced = Tensors(out)
        worst = 0.0
        for name in names:
            _, n, layer = name.split(".")
            worst = max(worst, compare(traced[f"layer.{numbers.index(int(n))}.{layer}"], tensors[name])[1])
    check(f"f32: {len(names)} hidden states of {len(numbers)} texts, difference <= 1e-4", names and worst <= 1e-4, f"{worst:.1e}")


def check_same_bits(rows):
    """One text alone or with 63 others, one thread or two, every instruction set."""
    texts = [r["text"] for r in rows[:64]]
    for model in (F32, I8):
        together = embed(model, texts)
        check(f"{model}: a batch of 1 = a batch of 64", [embed(model, [t])[0] for t in texts[::4]] == together[::4])
        check(f"{model}: 1 thread = 2 threads", embed(model, texts, "--threads", "1") == embed(model, texts, "--threads", "2"))
        for level in ("base", "avx2", "avx512", "avx512vnni", "amx"):
            check(f"{model}: the best level = {level} or what is nearest to it", embed(model, texts[:6], env={"NLP_ISA": level}) == together[:6])


def sentences():
    """250 questions and 250 reviews; the reviews of the demo where the shared data are not at hand."""
    text = os.path.join(SHARED, "data", "text")
    if not os.path.isdir(text):
        with open(os.path.join(ROOT, "examples", "reviews", "reviews.tsv"), encoding="utf-8") as file:
            return [line.rstrip("\n").split("\t", 1)[1] for line in file]
    with open(os.path.join(text, "banking77", "train.csv"), encoding="utf-8", newline="") as file:
        banking = [row[0] for row in csv.reader(file)][1:]
    with open(os.path.join(text, "reviews", "product_reviews.tsv"), encoding="utf-8") as file:
        reviews = [line.rstrip("\n").split("\t", 1)[1] for line in file]
    choose = random.Random(1)
    return choose.sample(banking, 250) + choose.sample(reviews, 250)


def check_sentences():
    texts = sentences()
    mean, least = summary(compare(embed(I8, texts), embed(F32, texts))[0])
    check("i8: sentences, mean cosine >= 0.998, min >= 0.99", mean >= 0.998 and least >= 0.99, f"{len(texts)} texts, mean {mean:.5f}, min {least:.5f}")


def ranks(values):
    """Average ranks, as Spearman's correlation wants them."""
    order, out, i = sorted(range(len(values)), key=values.__getitem__), [0.0] * len(values), 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and values[order[j + 1]] == values[order[i]]:
            j += 1
        for k in range(i, j + 1):
            out[order[k]] = (i + j) / 2
        i = j + 1
    return out


def correlation(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    a, b = [x - mean_a for x in a], [x - mean_b for x in b]
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def check_similarity():
    with open(os.path.join(SHARED, "data", "text", "stsb", "stsb-en-dev.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    gold, figures = ranks([float(r[2]) for r in rows]), []
    for model in (F32, I8):
        left, right = embed(model, [r[0] for r in rows]), embed(model, [r[1] for r in rows])
        figures.append(correlation(ranks([cosine(a, b) for a, b in zip(left, right)]), gold))
    check("STS benchmark (dev): Spearman of i8 within 0.003 of f32", abs(figures[0] - figures[1]) <= 0.003, "f32 %.5f, i8 %.5f" % tuple(figures))


def check_digests():
    with open(os.path.join(ROOT, "models", "catalogue.json"), encoding="utf-8") as file:
        expected = json.load(file)["minilm"]["digest"]
    for model, precision in ((I8, "i8"), (F32, "f32")):
        lines = [json.loads(line) for line in run([NLP, "inspect", os.path.join(FOLDER, model + ".nlp"), "--json"])[1].splitlines()]
        digest = next((line["value"] for line in lines if line["key"] == "digest"), "")
        check(f"{precision}: the digest that the catalogue names", digest == expected[precision], digest)


def main():
    rows, tensors = golden_rows()
    check_digests()
    check_tokens(rows)
    check_vectors(rows)
    check_same_bits(rows)
    check_sentences()
    if tensors:
        check_layers(rows, tensors)
        check_similarity()
    finish()


main()
