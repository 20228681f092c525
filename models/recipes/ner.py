#!/usr/bin/env python3
"""Trains the names adapter (PER, ORG, LOC, MISC) on all-MiniLM-L6-v2 and measures it on sentences that it has not seen.

    models/recipes/ner.py BASE NER FOLDER TEACHER WIKI
    nlp import FOLDER --base minilm --out models/ner.nlp

BASE is the model's folder, NER holds WNUT17, wikigold and BTC (the Broad Twitter Corpus) in CoNLL columns. A tenth of wikigold
and of BTC, chosen by a hash, is held out, and WNUT17's dev half. Corporations and groups are ORG, products and creative works
MISC. BTC tags no MISC, so there the tag O is learnt as "O or MISC"; whether a user name (@...) is a person the collections do
not agree on, so user names of BTC are not learnt from.

The adapter has a teacher (all-mpnet-base-v2's folder; teacher.py), which learns from the same sentences first. Then words are
learnt half by their tag and half by what the teacher says of them, and those of WIKI (WikiText's valid.raw), which nobody
tagged, by what it says alone. Needs torch, transformers, peft, safetensors. The seed is fixed.
"""
import argparse
import glob
import os
import re

import torch

import lora
import teacher as teaching

SEED = 20262
KINDS = ["PER", "ORG", "LOC", "MISC"]
LABELS = ["O"] + [f"{place}-{kind}" for kind in KINDS for place in "BI"]
SAME = {"person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG", "product": "MISC", "creative-work": "MISC"}
MAX_TOKENS = 128
EPOCHS, RATE, LOST = 4, 1e-3, 0.03
WIKIGOLD_TIMES = 3  # an epoch: the only edited prose
NOTHING = [0.0] * len(LABELS)


def bio(tags):
    """Any of the collections' schemes to B- and I- of KINDS."""
    out, before = [], None
    for tag in tags:
        kind = SAME.get(tag[2:], tag[2:]) if tag != "O" else None
        out.append("O" if not kind else f"{'B' if tag[0] == 'B' or kind != before else 'I'}-{kind}")
        before = kind
    return out


def sentences(path):
    """(words, tags) of a file of columns."""
    rows, words, tags = [], [], []
    with open(path, encoding="utf-8") as file:
        for line in [*file, ""]:
            columns = line.split()
            if len(columns) >= 2:
                words.append(columns[0])
                tags.append(columns[-1])
            elif words:
                rows.append((words, bio(tags)))
                words, tags = [], []
    return rows


def join_user_names(row):
    """"@" and the name behind it are one word, of no known tag."""
    words, tags, at = [], [], 0
    while at < len(row[0]):
        n = 2 if row[0][at] == "@" and at + 1 < len(row[0]) else 1
        words.append("".join(row[0][at:at + n]))
        tags.append(None if words[-1].startswith("@") else row[1][at])
        at += n
    return words, tags


def text_of(row):
    return " ".join(row[0])


def split(rows):
    held = lora.held_out(SEED, map(text_of, rows))
    return [r for r in rows if text_of(r) not in held], [r for r in rows if text_of(r) in held]


def load(folder):
    """name -> sentences, to learn from and held out."""
    wikigold = split(sentences(os.path.join(folder, "wikigold/CONLL-format/data/wikigold.conll.txt")))
    tweets = [join_user_names(row) for path in sorted(glob.glob(os.path.join(folder, "BTC/CONLL-format/data/*.conll"))) for row in sentences(path)]
    btc = split(tweets)
    wnut = os.path.join(folder, "WNUT17/CONLL-format/data")
    return ({"wikigold": wikigold[0] * WIKIGOLD_TIMES, "WNUT17": sentences(os.path.join(wnut, "train/wnut17train.conll")), "BTC": btc[0]},
            {"wikigold": wikigold[1], "WNUT17 dev": sentences(os.path.join(wnut, "dev/emerging.dev.conll")), "BTC": btc[1]})


def wiki(path):
    """Its sentences as rows without tags; headings and what is very short or long are left out."""
    with open(path, encoding="utf-8") as file:
        lines = [re.sub(" @(.)@ ", r"\1", line) for line in file if not line.startswith(" =")]
    found = [sentence.split() for line in lines for sentence in re.split(r"(?<= [.!?]) ", line)]
    return [(words, [None] * len(words)) for words in found if 5 <= len(words) <= 60]


def allowed(tag, without_misc):
    """1 for each label that a word of this tag may have: NOTHING for a word that is not to be learnt."""
    if tag is None:
        return NOTHING
    return [float(label == tag or (tag == "O" and without_misc and label.endswith("MISC"))) for label in LABELS]


def encode(tokenizer, rows):
    """(ids, begun) of each row. begun: for a token that begins one of the tokenizer's words the number of the row's word and
    whether it begins that, too ("@", "bob" are two of one); else None. So the model is read as it is trained: by first tokens."""
    encoding = tokenizer([words for words, _ in rows], is_split_into_words=True, truncation=True, max_length=MAX_TOKENS)
    out = []
    for i, ids in enumerate(encoding["input_ids"]):
        words, tokens = encoding.word_ids(i), encoding.tokens(i)
        out.append((ids, [None if word is None or (word == before and token.startswith("##")) else (word, word != before)
                          for before, word, token in zip([None, *words], words, tokens)]))
    return out


def continued(target):
    """A target of the first token as one of those behind it: B- becomes I-."""
    out = list(target)
    for begin in range(1, len(LABELS), 2):
        out[begin + 1], out[begin] = min(1.0, out[begin + 1] + out[begin]), 0.0
    return out


def examples(tokenizer, rows, targets):
    """(ids, target of each token). targets: for each row a list of [n_labels] for each word."""
    return [(ids, [NOTHING if at is None else target[at[0]] if at[1] else continued(target[at[0]]) for at in begun])
            for (ids, begun), target in zip(encode(tokenizer, rows), targets)]


def batch_of(net, tokenizer, batch):
    """log p and targets [words, n_labels] of the words that are to be learnt."""
    log_p = torch.log_softmax(net(*lora.tensors(batch, LOST, tokenizer.unk_token_id)), -1)
    targets = lora.padded([target for _, target in batch], NOTHING)
    known = targets.sum(-1) > 0
    return log_p[known], targets[known]


def ask_teacher(folder, train, tags, sentences, report):
    """Trains it on the rows `train` with `tags`; for each of the sentences, p [n_labels] of each word."""
    teacher = teaching.Teacher(folder, len(LABELS), of_tokens=True)

    def loss(net, batch):
        log_p, may = batch_of(net, teacher.tokenizer, batch)
        return -torch.logsumexp(log_p + may.log(), -1).mean()

    teaching.train(teacher, examples(teacher.tokenizer, train, tags), loss, lambda epoch: report(f"teacher, epoch {epoch + 1}", teacher.model, teacher.tokenizer))
    encoded, said = encode(teacher.tokenizer, sentences), []
    for (words, _), (_, begun), scores in zip(sentences, encoded, lora.scores(teacher.model, [(ids, 0) for ids, _ in encoded])):
        row = [NOTHING] * len(words)
        for at, p in zip(begun, torch.softmax(scores, -1).tolist()):
            if at and at[1]:
                row[at[0]] = p
        said.append(row)
    return said


def blend(may, p):
    """Half of what the teacher says, half of it within what the tag allows: a target that sums up to 1."""
    inside = [a * b for a, b in zip(may, p)]
    total = sum(inside)
    return [(b + a / total) / 2 if total else b for a, b in zip(inside, p)] if sum(may) else NOTHING


def spans(tags):
    """(first word, end, kind) of each name; an I- that continues nothing begins one."""
    found, first = set(), None
    for i, tag in enumerate([*tags, "O"]):
        if first is not None and (tag[0] != "I" or tag[2:] != tags[first][2:]):
            found.add((first, i, tags[first][2:]))
            first = None
        if first is None and tag != "O":
            first = i
    return found


def f1(counts):
    right, found, there = (sum(c) for c in zip(*counts))
    return 2 * right / max(1, found + there)


def measure(model, tokenizer, rows):
    """kind -> (right, found, there)."""
    counts = {kind: [0, 0, 0] for kind in KINDS}
    encoded = encode(tokenizer, rows)
    for (_, tags), (_, begun), scores in zip(rows, encoded, lora.scores(model, [(ids, 0) for ids, _ in encoded])):
        best = {at[0]: LABELS[label] for at, label in zip(begun, scores.argmax(-1).tolist()) if at and at[1]}
        asked = [word for word, tag in enumerate(tags) if tag is not None and word in best]
        there, found = spans([tags[word] for word in asked]), spans([best[word] for word in asked])
        for kind in KINDS:
            mine, right = ({span for span in some if span[2] == kind} for some in (found, there))
            for i, n in enumerate((len(mine & right), len(mine), len(right))):
                counts[kind][i] += n
    return counts


def main():
    parser = argparse.ArgumentParser()
    for name in ("base", "ner", "folder", "teacher", "wiki"):
        parser.add_argument(name)
    options = parser.parse_args()
    lora.seed_all(SEED)
    sources, test = load(options.ner)
    rows = [row for some in sources.values() for row in some]
    may = [[allowed(tag, name == "BTC") for tag in tags] for name, some in sources.items() for _, tags in some]
    prose = wiki(options.wiki)

    def report(when, model, tokenizer):
        for name, held in test.items():
            counts = measure(model, tokenizer, held)
            print(f"{when}: {name} {len(held)} sentences, F1 {f1(counts.values()):.4f}, without MISC {f1([counts[k] for k in KINDS[:3]]):.4f},",
                  ", ".join(f"{kind} {f1([c]):.3f} of {c[2]}" for kind, c in counts.items()), flush=True)

    said = ask_teacher(options.teacher, rows, may, rows + prose, report)
    targets = [[blend(*word) for word in zip(*row)] for row in zip(may, said)] + said[len(rows):]
    tokenizer = lora.tokenizer_of(options.base)
    model = lora.Adapted(options.base, len(LABELS), of_tokens=True)

    def loss(net, batch):
        log_p, wanted = batch_of(net, tokenizer, batch)
        return -(wanted * log_p).sum(-1).mean()

    lora.train(model, [examples(tokenizer, rows + prose, targets)] * EPOCHS, loss, RATE, lambda epoch: report(f"epoch {epoch + 1}", model, tokenizer))
    model.save(options.folder, {"architectures": ["BertForTokenClassification"], "nlp_aggregation": "first", "id2label": {str(i): label for i, label in enumerate(LABELS)}})


if __name__ == "__main__":
    main()
