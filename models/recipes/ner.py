#!/usr/bin/env python3
"""Trains the names adapter (PER, ORG, LOC, MISC) on all-MiniLM-L6-v2 and measures it on sentences that it has not seen.

    models/recipes/ner.py BASE NER FOLDER
    nlp import FOLDER --base minilm --out models/ner.nlp

BASE is the model's folder, NER holds WNUT17, wikigold and BTC (the Broad Twitter Corpus) in CoNLL columns. A tenth of wikigold
and of BTC, chosen by a hash, is held out, and WNUT17's dev half. Corporations and groups are ORG, products and creative works
MISC. BTC tags no MISC, so there the tag O is learnt as "O or MISC"; whether a user name (@...) is a person the collections do
not agree on, so user names of BTC are not learnt from. Needs torch, transformers, peft, safetensors. The seed is fixed.
"""
import argparse
import glob
import os

import torch

import lora

SEED = 20262
KINDS = ["PER", "ORG", "LOC", "MISC"]
LABELS = ["O"] + [f"{place}-{kind}" for kind in KINDS for place in "BI"]
SAME = {"person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG", "product": "MISC", "creative-work": "MISC"}
MAX_TOKENS = 128
EPOCHS, RATE, LOST = 4, 1e-3, 0.03
WIKIGOLD_TIMES = 3  # an epoch: the only edited prose
IGNORED, O_OR_MISC = -100, len(LABELS)


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


def label_of(tag, without_misc):
    if tag is None:
        return IGNORED
    return O_OR_MISC if tag == "O" and without_misc else LABELS.index(tag)


def encode(tokenizer, rows, without_misc=False):
    """(ids, labels): the first token of a word has its label."""
    encoding = tokenizer([words for words, _ in rows], is_split_into_words=True, truncation=True, max_length=MAX_TOKENS)
    out = []
    for i, (_, tags) in enumerate(rows):
        words = encoding.word_ids(i)
        labels = [IGNORED if word is None or word == before else label_of(tags[word], without_misc) for before, word in zip([None, *words], words)]
        out.append((encoding["input_ids"][i], labels))
    return out


def loss_of(logits, labels):
    log_p = torch.log_softmax(logits, -1)
    maybe = torch.logsumexp(log_p[..., [0, *(i for i, label in enumerate(LABELS) if label.endswith("MISC"))]], -1, keepdim=True)
    log_p = torch.cat([log_p, maybe], -1)
    known = labels != IGNORED
    return -log_p.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)[known].mean()


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
    for (_, tags), (_, labels), scores in zip(rows, encoded, lora.scores(model, [(ids, 0) for ids, _ in encoded])):
        asked = [word for word, tag in enumerate(tags) if tag is not None]
        got = [LABELS[best] for best, label in zip(scores.argmax(-1).tolist(), labels) if label != IGNORED]
        there, found = spans([tags[word] for word in asked][:len(got)]), spans(got)
        for kind in KINDS:
            mine, right = ({span for span in some if span[2] == kind} for some in (found, there))
            for i, n in enumerate((len(mine & right), len(mine), len(right))):
                counts[kind][i] += n
    return counts


def main():
    parser = argparse.ArgumentParser()
    for name in ("base", "ner", "folder"):
        parser.add_argument(name)
    options = parser.parse_args()
    lora.seed_all(SEED)
    tokenizer = lora.tokenizer_of(options.base)
    train, test = load(options.ner)
    examples = [e for name, rows in train.items() for e in encode(tokenizer, rows, name == "BTC")]
    model = lora.Adapted(options.base, len(LABELS), of_tokens=True)

    def loss(net, batch):
        return loss_of(net(*lora.tensors(batch, LOST, tokenizer.unk_token_id)), lora.padded([labels for _, labels in batch], IGNORED))

    def report(epoch):
        for name, rows in test.items():
            counts = measure(model, tokenizer, rows)
            print(f"epoch {epoch + 1}: {name} {len(rows)} sentences, F1 {f1(counts.values()):.4f}, without MISC {f1([counts[k] for k in KINDS[:3]]):.4f},",
                  ", ".join(f"{kind} {f1([c]):.3f} of {c[2]}" for kind, c in counts.items()), flush=True)

    lora.train(model, [examples] * EPOCHS, loss, RATE, report)
    model.save(options.folder, {"architectures": ["BertForTokenClassification"], "nlp_aggregation": "first", "id2label": {str(i): label for i, label in enumerate(LABELS)}})


if __name__ == "__main__":
    main()
