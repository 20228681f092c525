#!/usr/bin/env python3
"""Trains the sentiment adapter on all-MiniLM-L6-v2 and measures it on texts that it has not seen.

    models/recipes/sentiment.py BASE REVIEWS FOLDER [--teacher GGUF] [--leave-out SOURCE]
    nlp import FOLDER --base minilm --out models/sentiment.nlp

BASE is the model's folder (config.json, model.safetensors, tokenizer.json ...), REVIEWS holds four collections of NLTK's data
(label, tab, text). FOLDER receives the adapter, and heldout-SOURCE.tsv for `nlp evaluate`. A tenth of each source, chosen by a
hash, is held out; with --leave-out a whole source is, and then the adapter shows what it makes of texts of another kind.
Long texts are learnt in windows, each with the label of its text, and judged by the mean of their windows. Lines that are
neutral are left out.

With a teacher (SmolLM2-135M-Instruct as GGUF; teacher.py), which learns from the single sentences first, those of
sentence_polarity are learnt half by their label and half by what the teacher says of them, and sentences of the films' reviews,
which have no label of their own, by what it says alone. Needs torch, transformers, peft, safetensors, gguf. The seed is fixed.
"""
import argparse
import os
import random

import torch

import lora

SEED = 20261
LABELS = ["negative", "positive"]
SOURCES = ["sentence_polarity", "product_reviews", "pros_cons", "movie_reviews"]
TAUGHT = SOURCES[:2]  # what the teacher learns from
JUDGED_BY_TEACHER = SOURCES[:1]
WINDOW = 128  # tokens, the first and the last special one included
EPOCHS, RATE, LOST = 4, 7e-4, 0.1
PROS_CONS = 5000  # drawn for each epoch out of 41,000, which are very short
WINDOWS_A_FILM = 0.7  # each epoch has other ones
FILM_SENTENCES = 3500  # of the teacher's judgement, in each epoch other ones
MOST_HELD_OUT = 1500  # of pros_cons' held-out lines


def read(folder, source):
    with open(os.path.join(folder, source + ".tsv"), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file]
    return [(text, LABELS.index(label)) for label, text in rows if label in LABELS]


def split(folder, out):
    """source -> rows (text, label) to learn from, and those held out, which are written to files."""
    train, test = {}, {}
    for source in SOURCES:
        rows = read(folder, source)
        held = lora.held_out(SEED, [text for text, _ in rows])
        train[source] = [row for row in rows if row[0] not in held]
        kept = [row for row in rows if row[0] in held]
        test[source] = kept[:MOST_HELD_OUT] if source == "pros_cons" else kept
        with open(os.path.join(out, f"heldout-{source}.tsv"), "w", encoding="utf-8") as file:
            file.writelines(f"{LABELS[label]}\t{text}\n" for text, label in test[source])
    return train, test


def windows(tokenizer, texts):
    """The windows of each text, as nlp cuts them: overlapping by an eighth."""
    room = WINDOW - 2
    step, out = room - room // 8, []
    for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
        cut = []
        while not cut or step * len(cut) + room // 8 < len(ids):
            at = step * len(cut)
            cut.append([tokenizer.cls_token_id, *ids[at:at + room], tokenizer.sep_token_id])
        out.append(cut)
    return out


def film_sentences(rows):
    """Their words are set apart by spaces, their ends too."""
    found = {sentence.strip() for text, _ in rows for sentence in text.replace(" ! ", " . ").replace(" ? ", " . ").split(" . ")}
    return sorted((s for s in found if 6 <= len(s.split()) <= 40), key=lambda s: lora.order(SEED, s))[:FILM_SENTENCES * EPOCHS]


def ask_teacher(gguf, train, test):
    """Trains it; source -> probability of positive for each of its rows, and "films" -> (sentence, probability)."""
    import teacher as teaching  # which needs more than the rest does

    def report(teacher, epoch):
        for source in TAUGHT:
            found = teacher.probabilities([text for text, _ in test[source]])
            right = sum((p > 0.5) == (label == 1) for p, (_, label) in zip(found, test[source]))
            print(f"teacher, epoch {epoch + 1}: {source} {len(found)} texts, accuracy {right / len(found):.4f}", flush=True)

    teacher = teaching.train(gguf, [row for source in TAUGHT for row in train[source]], report)
    said = {source: teacher.probabilities([text for text, _ in train[source]]) for source in JUDGED_BY_TEACHER}
    films = film_sentences(train["movie_reviews"])
    said["films"] = list(zip(films, teacher.probabilities(films)))
    return said


def deal(tokenizer, train, said):
    """Examples (ids, probability of positive) of each epoch. What is dealt is other in each."""
    epochs = [[] for _ in range(EPOCHS)]
    pools = {}
    for source, rows in train.items():
        cut = windows(tokenizer, [text for text, _ in rows])
        sure = [label if p is None else (label + p) / 2 for (_, label), p in zip(rows, said.get(source, [None] * len(rows)))]
        if source == "movie_reviews":
            pools[source] = ([(w, p) for some, p in zip(cut, sure) for w in some], int(len(rows) * WINDOWS_A_FILM))
        elif source == "pros_cons":
            pools[source] = ([(some[0], p) for some, p in zip(cut, sure)], PROS_CONS)
        else:
            pools[source] = ([(some[0], p) for some, p in zip(cut, sure)], len(rows))
    films = said.get("films", [])
    pools["films"] = ([(some[0], p) for some, (_, p) in zip(windows(tokenizer, [s for s, _ in films]), films)] if films else [], FILM_SENTENCES)
    for pool, n in pools.values():
        random.shuffle(pool)
        for e, epoch in enumerate(epochs):
            epoch += [pool[(e * n + i) % len(pool)] for i in range(n if pool else 0)]
    return epochs


def accuracy(model, tokenizer, rows):
    cut = windows(tokenizer, [text for text, _ in rows])
    positive = iter(torch.softmax(row, 0)[1].item() for row in lora.scores(model, [(w, 0) for some in cut for w in some]))
    means = [sum(next(positive) for _ in some) / len(some) for some in cut]
    return sum((mean > 0.5) == (label == 1) for mean, (_, label) in zip(means, rows)) / len(rows)


def main():
    parser = argparse.ArgumentParser()
    for name in ("base", "reviews", "folder"):
        parser.add_argument(name)
    parser.add_argument("--teacher")
    parser.add_argument("--leave-out", choices=SOURCES)
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    lora.seed_all(SEED)
    tokenizer = lora.tokenizer_of(options.base)
    train, test = split(options.reviews, options.folder)
    if options.leave_out:
        train[options.leave_out] = []
    epochs = deal(tokenizer, train, ask_teacher(options.teacher, train, test) if options.teacher else {})
    model = lora.Adapted(options.base, len(LABELS), of_tokens=False)

    def loss(net, batch):
        positive = torch.tensor([p for _, p in batch]) * 0.9 + 0.05  # never quite sure
        log_p = torch.log_softmax(net(*lora.tensors(batch, LOST, tokenizer.unk_token_id)), 1)
        return -(log_p[:, 1] * positive + log_p[:, 0] * (1 - positive)).mean()

    def report(epoch):
        for source in SOURCES:
            if epoch + 1 == EPOCHS or source != "movie_reviews":
                print(f"epoch {epoch + 1}: {source} {len(test[source])} texts, accuracy {accuracy(model, tokenizer, test[source]):.4f}", flush=True)

    lora.train(model, epochs, loss, RATE, report)
    model.save(options.folder, {"architectures": ["ForVectorClassification"], "nlp_window": WINDOW,
                                "id2label": {str(i): label for i, label in enumerate(LABELS)}})


main()
