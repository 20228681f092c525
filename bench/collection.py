"""Collections of documents, queries and judgements."""
import json
import os
import re
from dataclasses import dataclass


@dataclass
class Collection:
    name: str
    documents: list  # (id, title, text)
    queries: list    # (id, text)
    qrels: dict      # query id -> {document id: gain}


def lines_of(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def read_plain(folder):
    qrels = {}
    with open(os.path.join(folder, "qrels.tsv"), encoding="utf-8") as file:
        for line in file:
            parts = line.split("\t") if "\t" in line else line.split()
            if len(parts) >= 3 and re.fullmatch(r"-?\d+(\.\d+)?", parts[-1].strip()) and float(parts[-1]) > 0:
                qrels.setdefault(parts[0], {})[parts[-2]] = float(parts[-1])
    of_all = not os.path.exists(os.path.join(folder, "corpus.jsonl"))
    documents = [(str(d["_id"]), d.get("title", ""), d["text"]) for d in lines_of(os.path.dirname(os.path.abspath(folder)) if of_all else folder, "corpus.jsonl")]
    return Collection(os.path.basename(os.path.abspath(folder)), documents, [(str(q["_id"]), q["text"]) for q in lines_of(folder, "queries.jsonl")], qrels)


def cranfield_records(folder, name):
    with open(os.path.join(folder, name), encoding="latin-1") as file:
        for block in re.split(r"(?m)^\.I ", file.read())[1:]:
            number, rest = block.split("\n", 1)
            yield int(number), {m[1]: " ".join(m[2].split()) for m in re.finditer(r"(?ms)^\.([TABW])\n(.*?)(?=^\.[TABW]\n|\Z)", rest)}


def read_cranfield(folder):
    """Judgements number queries by their place, not by .I; 1 is the best code and 4 the weakest; a last line of -1 is none."""
    qrels = {}
    with open(os.path.join(folder, "cranqrel"), encoding="ascii") as file:
        for line in file:
            parts = [int(x) for x in line.split()[:3]]
            if len(parts) == 3 and 1 <= parts[2] <= 4:
                qrels.setdefault(str(parts[0]), {})[str(parts[1])] = 5 - parts[2]
    documents = [(str(n), f.get("T", ""), f.get("W", "")) for n, f in cranfield_records(folder, "cran.all.1400")]
    queries = [(str(place), f["W"]) for place, (_, f) in enumerate(cranfield_records(folder, "cran.qry"), 1)]
    return Collection("cranfield", documents, queries, qrels)


def read_collection(folder):
    return read_cranfield(folder) if os.path.exists(os.path.join(folder, "cranqrel")) else read_plain(folder)
