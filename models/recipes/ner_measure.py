#!/usr/bin/env python3
"""Measures a names model as users meet it, by `nlp entities` over the held-out sentences of ner.py.

    models/recipes/ner_measure.py NER PACK [NLP]

A name is right where its first and last character and its label are. User names of BTC (@...) are left out on both sides.
"""
import json
import os
import subprocess
import sys

import ner


def gold(words, tags):
    """(text, names as (first character, end, kind), places of words without a known tag)"""
    places, at = [], 0
    for word in words:
        places.append((at, at + len(word)))
        at += len(word) + 1
    names = {(places[first][0], places[end - 1][1], kind) for first, end, kind in ner.spans([tag or "O" for tag in tags])}
    return " ".join(words), names, [place for place, tag in zip(places, tags) if tag is None]


def found(nlp, pack, texts):
    lines = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts))
    out = subprocess.run([nlp, "entities", "--json", "-m", pack], input=lines, capture_output=True, text=True, check=True).stdout
    names = [set() for _ in texts]
    for line in map(json.loads, out.splitlines()):
        for name in line["entities"]:
            names[line["id"]].add((name["start"], name["end"], name["label"]))
    return names


def main():
    folder, pack = sys.argv[1:3]
    nlp = sys.argv[3] if len(sys.argv) > 3 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/release/nlp")
    for name, rows in ner.load(folder)[1].items():
        wanted = [gold(*row) for row in rows]
        counts = {kind: [0, 0, 0] for kind in ner.KINDS}
        for (_, names, unknown), got in zip(wanted, found(nlp, pack, [text for text, _, _ in wanted])):
            got = {n for n in got if not any(n[0] < end and first < n[1] for first, end in unknown)}
            for kind in ner.KINDS:
                mine, right = ({n for n in some if n[2] == kind} for some in (got, names))
                for i, n in enumerate((len(mine & right), len(mine), len(right))):
                    counts[kind][i] += n
        print(f"{name}: {len(rows)} sentences, F1 {ner.f1(counts.values()):.3f}, without MISC {ner.f1([counts[k] for k in ner.KINDS[:3]]):.3f},",
              ", ".join(f"{kind} {ner.f1([c]):.3f} of {c[2]}" for kind, c in counts.items()), flush=True)


main()
