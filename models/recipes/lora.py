"""What the recipes of the starter adapters share: the frozen base with low-rank adapters, batches of texts of similar
length, one schedule, and a folder that `nlp import FOLDER --base minilm` reads.

The adapters stand on query, value and both feed-forward products, at rank 8: 1.05 times the base's time for batches on a Zen 3 CPU.
"""
import hashlib
import json
import os
import random
import time

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

RANK, ALPHA = 8, 16
PLACES = r".*\.(query|value|intermediate\.dense|layer\.\d+\.output\.dense)"
BATCH_TOKENS = 1024


def order(seed, text):
    """A fixed random order that no library's generator decides."""
    return hashlib.sha256(f"{seed} {text}".encode()).digest()


def held_out(seed, texts, part=0.1):
    """The tenth of the texts that is never trained on, chosen by a hash."""
    texts = set(texts)
    return set(sorted(texts, key=lambda text: order(seed, text))[:round(len(texts) * part)])


def seed_all(seed):
    random.seed(seed)
    torch.manual_seed(seed)


class Adapted(torch.nn.Module):
    """The base with adapters. A head reads the normalised mean of the hidden states, or each of them."""

    def __init__(self, folder, n_labels, of_tokens, places=PLACES):
        super().__init__()
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.1, target_modules=places)
        self.base = get_peft_model(AutoModel.from_pretrained(folder, add_pooling_layer=False), config)
        self.of_tokens = of_tokens
        self.scale = 1 if of_tokens else 16  # of vectors of length 1, so that a head learns as fast as elsewhere
        self.dropout = torch.nn.Dropout(0.1)
        self.head = torch.nn.Linear(self.base.config.hidden_size, n_labels)

    def vector(self, ids, mask):
        """ids, mask [texts, tokens] -> what the head reads."""
        with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):  # two to three times as fast
            hidden = self.base(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        if self.of_tokens:
            return hidden
        mask = mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)

    def forward(self, ids, mask):
        return self.head(self.dropout(self.vector(ids, mask) * self.scale))

    def save(self, folder, config):
        """PEFT's two files, the head beside the adapters, and what is known of the head."""
        self.base.save_pretrained(folder)
        path = os.path.join(folder, "adapter_model.safetensors")
        tensors = load_file(path)
        tensors["base_model.model.classifier.weight"] = self.head.weight.detach() * self.scale
        tensors["base_model.model.classifier.bias"] = self.head.bias.detach()
        save_file(tensors, path)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as out:
            json.dump(config, out, indent=1)


def tokenizer_of(folder):
    return AutoTokenizer.from_pretrained(folder)


def batches(examples, shuffle):
    """Lists of examples (ids, label), each of similar lengths and of at most BATCH_TOKENS with padding."""
    examples = sorted(examples, key=lambda e: (len(e[0]), random.random() if shuffle else 0))
    out, batch = [], []
    for example in examples:
        if batch and (len(batch) + 1) * len(example[0]) > BATCH_TOKENS:
            out.append(batch)
            batch = []
        batch.append(example)
    out += [batch] if batch else []
    if shuffle:
        random.shuffle(out)
    return out


def padded(rows, fill=0):
    width = max(map(len, rows))
    return torch.tensor([list(row) + [fill] * (width - len(row)) for row in rows])


def tensors(batch, lost=0.0, unknown=0):
    """ids and mask of a batch. A part `lost` of the tokens, drawn anew each time, is replaced by the unknown one, so that no
    single word decides; first and last stay."""
    rows = [list(ids) for ids, _ in batch]
    for row in rows if lost else ():
        for i in range(1, len(row) - 1):
            if random.random() < lost:
                row[i] = unknown
    return padded(rows), padded([[1] * len(row) for row in rows])


def scores(model, examples):
    """Logits in the order of the examples: [n_labels] each, or [tokens, n_labels]."""
    model.eval()
    found = {}
    with torch.no_grad():
        for batch in batches([((*ids,), i) for i, (ids, _) in enumerate(examples)], shuffle=False):
            for (ids, i), row in zip(batch, model(*tensors(batch))):
                found[i] = row[: len(ids)] if model.of_tokens else row
    return [found[i] for i in range(len(examples))]


def train(model, epochs, loss_of, rate, report, decay=0.01, average=0.995):
    """One pass over each list of examples in turn, the rate falling to zero over all of them. `report(epoch)` is called
    behind each with the moving average of the weights, which stay in the model at the end."""
    plan = [batches(examples, shuffle=True) for examples in epochs]
    weights = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(weights, lr=rate, weight_decay=decay)
    means = [w.detach().clone() for w in weights]
    total, step, begin = sum(map(len, plan)), 0, time.time()
    for epoch, batches_ in enumerate(plan):
        model.train()
        for batch in batches_:
            for group in adam.param_groups:
                group["lr"] = rate * min((step + 1) / (0.06 * total), (1 - step / total) / 0.94)
            loss = loss_of(model, batch)
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            adam.step()
            step += 1
            keep = min(average, step / (step + 10))
            for mean, w in zip(means, weights):
                mean.lerp_(w.detach(), 1 - keep)
            if not step % 100:
                print(f"step {step}/{total} loss {loss.item():.3f} {time.time() - begin:.0f} s", flush=True)
        swap(weights, means)
        report(epoch)
        if epoch + 1 < len(plan):
            swap(weights, means)


def swap(weights, means):
    with torch.no_grad():
        for w, mean in zip(weights, means):
            old = w.clone()
            w.copy_(mean)
            mean.copy_(old)
