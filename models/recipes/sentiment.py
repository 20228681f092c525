#!/usr/bin/env python3
"""Trains the sentiment adapter on all-MiniLM-L6-v2 and measures it on texts that it has not seen.

    models/recipes/sentiment.py BASE REVIEWS FOLDER [--leave-out SOURCE]
    nlp import FOLDER --base minilm --out models/sentiment.nlp

BASE is the model's folder (config.json, model.safetensors, tokenizer.json ...), REVIEWS holds four collections of NLTK's data
(label, tab, text). FOLDER receives the adapter, and heldout-SOURCE.tsv for `nlp evaluate`. A tenth of each source, chosen by a
hash, is held out; with --leave-out a whole source is, and then the adapter shows what it makes of texts of another kind.
Long texts are learnt in windows, each with the label of its text, and judged by the mean of their windows. Lines that are
neutral are left out. Needs torch, transformers, peft, safetensors. The seed is fixed.
"""
import argparse
import os
import random

import torch

import lora

SEED = 20261
LABELS = ["negative", "positive"]
SOURCES = ["sentence_polarity", "product_reviews", "pros_cons", "movie_reviews"]
WINDOW = 128  # tokens, the first and the last special one included
EPOCHS, RATE, LOST = 4, 7e-4, 0.1
PROS_CONS = 5000  # drawn for each epoch out of 41,000, which are very short
WINDOWS_A_FILM = 1.0  # each epoch has other ones
JUDGED = 1500  # of pros_cons' held-out lines


def read(folder, source):
    with open(os.path.join(folder, source + ".tsv"), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file]
    return [(text, LABELS.index(label)) for label, text in rows if label in LABELS]


def windows(ids, first, last):
    """As nlp cuts them: overlapping by an eighth."""
    room = WINDOW - 2
    step, at, out = room - room // 8, 0, []
    while not out or at + room // 8 < len(ids):
        out.append([first, *ids[at:at + room], last])
        at += step
    return out


def load(tokenizer, folder, out):
    """source -> (windows, label) of the texts to learn from, and of those held out, which are written to files."""
    train, test = {}, {}
    for source in SOURCES:
        rows = read(folder, source)
        held = lora.held_out(SEED, [text for text, _ in rows])
        ids = tokenizer([text for text, _ in rows], add_special_tokens=False)["input_ids"]
        cut = [windows(one, tokenizer.cls_token_id, tokenizer.sep_token_id) for one in ids]
        train[source] = [(w, label) for w, (text, label) in zip(cut, rows) if text not in held]
        kept = [(w, text, label) for w, (text, label) in zip(cut, rows) if text in held]
        kept = kept[:JUDGED] if source == "pros_cons" else kept
        test[source] = [(w, label) for w, _, label in kept]
        with open(os.path.join(out, f"heldout-{source}.tsv"), "w", encoding="utf-8") as file:
            file.writelines(f"{LABELS[label]}\t{text}\n" for _, text, label in kept)
    return train, test


def deal(train, left_out):
    """Examples of each epoch. Films' windows are dealt, so that each epoch has others."""
    epochs = [[] for _ in range(EPOCHS)]
    for source in SOURCES:
        if source == left_out:
            continue
        if source == "movie_reviews":
            pool = [(window, label) for cut, label in train[source] for window in cut]
            random.shuffle(pool)
            n = int(len(train[source]) * WINDOWS_A_FILM)
            for e, epoch in enumerate(epochs):
                epoch += [pool[(e * n + i) % len(pool)] for i in range(n)]
            continue
        rows = [(cut[0], label) for cut, label in train[source]]
        for epoch in epochs:
            epoch += random.sample(rows, PROS_CONS) if source == "pros_cons" else rows
    return epochs


def accuracy(model, examples):
    flat = [(window, label) for cut, label in examples for window in cut]
    positive = iter(torch.softmax(row, 0)[1].item() for row in lora.scores(model, flat))
    means = [sum(next(positive) for _ in cut) / len(cut) for cut, _ in examples]
    return sum((mean > 0.5) == (label == 1) for mean, (_, label) in zip(means, examples)) / len(examples)


def main():
    parser = argparse.ArgumentParser()
    for name in ("base", "reviews", "folder"):
        parser.add_argument(name)
    parser.add_argument("--leave-out", choices=SOURCES)
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    lora.seed_all(SEED)
    tokenizer = lora.tokenizer_of(options.base)
    train, test = load(tokenizer, options.reviews, options.folder)
    model = lora.Adapted(options.base, len(LABELS), of_tokens=False)

    def loss(net, batch):
        right = torch.tensor([label for _, label in batch])
        return torch.nn.functional.cross_entropy(net(*lora.tensors(batch, LOST, tokenizer.unk_token_id)), right, label_smoothing=0.1)

    def report(epoch):
        last = epoch + 1 == EPOCHS
        for source in SOURCES:
            if last or source != "movie_reviews":
                print(f"epoch {epoch + 1}: {source} {len(test[source])} texts, accuracy {accuracy(model, test[source]):.4f}", flush=True)

    lora.train(model, deal(train, options.leave_out), loss, RATE, report)
    model.save(options.folder, {"architectures": ["ForVectorClassification"], "nlp_window": WINDOW,
                                "id2label": {str(i): label for i, label in enumerate(LABELS)}})


main()
