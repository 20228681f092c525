"""What the peers share that encode with all-MiniLM-L6-v2."""
import json
import os

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from measuring import COSINE_LIMIT, speed, with_share

BATCHES, TRIAL_TEXTS = (1, 8, 16, 32), 64
MOST_TOKENS = 256


def load_model(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    return config, load_file(os.path.join(folder, "model.safetensors"))


def load_tokenizer(folder):
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    return tokenizer


def padded(ids):
    lengths = np.array([len(row) for row in ids], np.int32)
    rows = np.zeros((len(ids), lengths.max()), np.int32)
    for row, values in zip(rows, ids):
        row[:len(values)] = values
    return rows, lengths


class Encoder:
    """A peer in its fastest way to do a workload, which short trials find.

    A kind of peer has `version`, `kernels`, `variants` (its ways to run the model) and two steps: `prepare(ids)` for what a caller can do
    ahead, and `run(variant, prepared)`, which returns the last hidden states.
    """

    def __init__(self, folder, ways):
        """`ways`: all, few or one of the ways to run that this kind of peer has."""
        self.tokenizer, self.trial_seconds = load_tokenizer(folder), 0.3 if ways == "all" else 0.1
        self.valid = None

    def ids(self, texts):
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]

    def about(self):
        for variant in self.variants:  # some know their kernels after a run
            self.run(variant, self.prepare(self.ids(["about"])))
        return {"version": self.version, "kernels": self.kernels, "variants": list(self.variants)}

    def cosines(self, path):
        """To the vectors of a file, for each way to run; those that don't give working vectors are not measured."""
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        ids, wanted = self.ids([line["text"] for line in lines]), np.array([line["embedding"] for line in lines])
        found = {}
        for variant in self.variants:
            vectors = np.array([self.run(variant, self.prepare([row]))[0].mean(0) for row in ids])
            found[variant] = ((vectors * wanted).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(wanted, axis=1)).tolist()
        self.valid = {variant: values for variant, values in found.items() if min(values) > COSINE_LIMIT}
        if not self.valid:
            raise ValueError(f"cosine to the reference {max(map(min, found.values())):.3f}: not a working model")
        return found

    def batches(self, ids, size):
        ids = sorted(ids, key=len)
        return [self.prepare(ids[i:i + size]) for i in range(0, len(ids), size)]

    def encode(self, variant, batches):
        for batch in batches:
            self.run(variant, batch)

    def trial(self, ids, variant, size):
        batches = self.batches(ids, size)
        return max(speed(lambda: self.encode(variant, batches), 1, self.trial_seconds) for _ in range(2))

    def choose(self, path, unit):
        """Finds the fastest way; returns its name and the number of tokens. In tok/s the model alone is measured, in sentences/s all from the texts on."""
        with open(path, encoding="utf-8") as file:
            texts = file.read().split("\n")[:-1]
        ids = self.ids(texts)
        part = ids[:TRIAL_TEXTS]
        variant, size = max(((variant, size) for variant in self.valid for size in BATCHES if size <= len(texts)), key=lambda plan: self.trial(part, *plan))
        batches = self.batches(ids, size)
        if unit == "tok/s":
            self.work, self.n = lambda: self.encode(variant, batches), sum(map(len, ids))
        else:
            self.work, self.n = lambda: self.encode(variant, self.batches(self.ids(texts), size)), len(texts)
        return {"variant": variant, "batch": size, "tokens": sum(map(len, ids))}

    def round(self, seconds):
        return with_share(lambda: speed(self.work, self.n, seconds))

    def use(self, text):
        """One text, as a process does that is there to be weighed."""
        self.run(next(iter(self.variants)), self.prepare(self.ids([text])))
