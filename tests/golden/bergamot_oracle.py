"""A plain reading of Marian's "tiny11" translators in numpy, one sentence at a time: slow, short, and the judge of the real engine.

    Oracle(MODEL.bin).translate(ids, limit) -> ids, the end not among them
"""
import struct

import numpy as np

F32, INTGEMM8 = 0x404, 0x4101
HEADS, EPS = 8, 1e-6


def read_binary(path):
    """Tensors by name as f32; matrices [in, out]."""
    with open(path, "rb") as file:
        data = file.read()
    _, n = struct.unpack_from("<QQ", data)
    at, headers, names, shapes, tensors = 16, [], [], [], {}
    for _ in range(n):
        headers.append(struct.unpack_from("<QQQQ", data, at))
        at += 32
    for length, *_ in headers:
        names.append(data[at:at + length - 1].decode())
        at += length
    for _, _, dims, _ in headers:
        shapes.append(struct.unpack_from(f"<{dims}i", data, at))
        at += 4 * dims
    at += 8 + struct.unpack_from("<Q", data, at)[0]
    for name, shape, (_, kind, _, n_bytes) in zip(names, shapes, headers):
        count = int(np.prod(shape))
        if kind == F32:
            tensors[name] = np.frombuffer(data, np.float32, count, at).reshape(shape)
        elif kind == INTGEMM8 and "QuantMult" not in name:
            scale = np.frombuffer(data, np.float32, 1, at + count)[0]
            q = np.frombuffer(data, np.int8, count, at).astype(np.float32) / scale
            tensors[name] = q.reshape(shape) if name == "Wemb" else q.reshape(shape[::-1]).T
        at += n_bytes
    return tensors


def norm(x, t, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + EPS) * t[name + "_ln_scale"] + t[name + "_ln_bias"]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Oracle:
    def __init__(self, path):
        self.t = t = read_binary(path)
        self.d = t["Wemb"].shape[1]
        self.n_encoder = sum(1 for name in t if name.startswith("encoder_l") and name.endswith("self_Wq"))
        self.n_decoder = sum(1 for name in t if name.startswith("decoder_l") and name.endswith("rnn_W"))

    def position(self, p):
        half = self.d // 2
        angle = p / 10000 ** (np.arange(half) / (half - 1))
        return np.concatenate([np.sin(angle), np.cos(angle)]).astype(np.float32)

    def attention(self, x, keys, name):
        t = self.t
        q, k, v = (rows @ t[f"{name}_W{w}"] + t[f"{name}_b{w}"] for rows, w in ((x, "q"), (keys, "k"), (keys, "v")))
        split = lambda rows: rows.reshape(len(rows), HEADS, -1).transpose(1, 0, 2)
        weights = softmax(split(q) @ split(k).transpose(0, 2, 1) / np.sqrt(self.d / HEADS))
        joined = (weights @ split(v)).transpose(1, 0, 2).reshape(len(x), self.d)
        return norm(x + joined @ t[f"{name}_Wo"] + t[f"{name}_bo"], t, f"{name}_Wo")

    def ffn(self, x, name):
        t = self.t
        up = np.maximum(x @ t[f"{name}_W1"] + t[f"{name}_b1"], 0)
        return norm(x + up @ t[f"{name}_W2"] + t[f"{name}_b2"], t, f"{name}_ffn")

    def encode(self, ids):
        x = np.stack([np.sqrt(self.d) * self.t["Wemb"][i] + self.position(p) for p, i in enumerate(ids)])
        for layer in range(1, self.n_encoder + 1):
            x = self.attention(x, x, f"encoder_l{layer}_self")
            x = self.ffn(x, f"encoder_l{layer}_ffn")
        return x

    def step(self, word, place, states, source):
        t = self.t
        x = self.position(place) + (0 if word is None else np.sqrt(self.d) * t["Wemb"][word])
        for layer in range(1, self.n_decoder + 1):
            rnn = f"decoder_l{layer}_rnn"
            forget = 1 / (1 + np.exp(-(x @ t[rnn + "_Wf"] + t[rnn + "_bf"][0])))
            states[layer] = forget * states[layer] + (1 - forget) * (x @ t[rnn + "_W"])
            x = norm(x + np.maximum(states[layer], 0), t, rnn + "_ffn")[0]
            x = self.attention(x[None], source, f"decoder_l{layer}_context")
            x = self.ffn(x, f"decoder_l{layer}_ffn")[0]
        return x @ t["Wemb"].T + t["decoder_ff_logit_out_b"][0]

    def translate(self, ids, limit, end=0, unknown=1):
        source, states, word, out = self.encode(ids), {layer: 0 for layer in range(1, self.n_decoder + 1)}, None, []
        while len(out) < limit:
            logits = self.step(word, len(out), states, source)
            logits[unknown] = -np.inf
            word = int(np.argmax(logits))
            if word == end:
                break
            out.append(word)
        return out
