#!/usr/bin/env python3
"""Trains the English to French starter translator and saves it as a Hugging Face Marian folder.

    models/recipes/en-fr/train.py FRA_ENG_ZIP FOLDER [--threads N]

FRA_ENG_ZIP is Tatoeba's collection of English-French pairs as manythings.org packs it (fra.txt: English, tab, French).
FOLDER receives the model (config.json, model.safetensors, source.spm, target.spm, vocab.json) and the pairs held out
(heldout.en, heldout.fr). Needs torch, transformers, sentencepiece, numpy. The seed is fixed: one thread on one machine
gives the same model again; other thread counts and machines differ in the last bits of each sum.
"""
import argparse
import hashlib
import io
import json
import os
import random
import time
import zipfile

import numpy as np
import sentencepiece as spm
import torch
from transformers import GenerationConfig, MarianConfig, MarianMTModel

SEED = 20171
HELD_OUT = 2000
PIECES = 7999  # and the padding token, which Marian puts last
EOS, UNK, PAD = 0, 1, PIECES
MAX_TOKENS = 100  # of a side; longer pairs (a handful) are left out
BATCH_TOKENS = 2400  # of both sides, padding counted
TRANSLATIONS_A_SOURCE = 2  # drawn anew each epoch: a few short sources have dozens
EPOCHS, STEPS = 7, 6749  # the rate falls as if for all epochs; the last steps of its tail bring nothing
PEAK_RATE, WARM_UP, EMA = 1.5e-3, 500, 0.999


def order(text):
    """A fixed random order that no library's generator decides."""
    return hashlib.sha256(f"{SEED} {text}".encode()).digest()


def read_pairs(path):
    """source -> its translations, in the order of the file, and the held-out pairs: one for each of 2,000 sources."""
    lines = io.TextIOWrapper(zipfile.ZipFile(path).open("fra.txt"), encoding="utf-8").read().splitlines()
    pairs = {}
    for line in lines:
        source, target = line.split("\t")[:2]
        pairs.setdefault(source, []).append(target)
    chosen = sorted(pairs, key=order)[:HELD_OUT]
    held = [(source, min(pairs[source], key=order)) for source in chosen]
    folded = {source.casefold() for source in chosen}
    return {s: t for s, t in pairs.items() if s.casefold() not in folded}, held


def train_pieces(pairs, folder):
    """One vocabulary for both languages, in Marian's layout: end 0, unknown 1, padding last."""
    text = os.path.join(folder, "pieces.txt")
    with open(text, "w", encoding="utf-8") as out:
        for source, targets in pairs.items():
            out.writelines(f"{line}\n" for line in [source, *targets])
    spm.SentencePieceTrainer.train(
        input=text, model_prefix=os.path.join(folder, "source"), vocab_size=PIECES, model_type="unigram", eos_id=EOS,
        unk_id=UNK, bos_id=-1, pad_id=-1, normalization_rule_name="nmt_nfkc", character_coverage=1.0, num_threads=1,
        minloglevel=2)
    os.remove(text)
    os.remove(os.path.join(folder, "source.vocab"))
    model = open(os.path.join(folder, "source.model"), "rb").read()
    os.remove(os.path.join(folder, "source.model"))
    for name in ("source.spm", "target.spm"):
        open(os.path.join(folder, name), "wb").write(model)
    pieces = spm.SentencePieceProcessor(model_proto=model)
    vocabulary = {pieces.id_to_piece(i): i for i in range(PIECES)} | {"<pad>": PAD}
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as out:
        json.dump(vocabulary, out, ensure_ascii=False, indent=0)
    settings = {"source_lang": "en", "target_lang": "fr", "model_max_length": 512, "separate_vocabs": False,
                "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "tokenizer_class": "MarianTokenizer"}
    json.dump(settings, open(os.path.join(folder, "tokenizer_config.json"), "w"), indent=2)
    return pieces


def new_model():
    config = MarianConfig(
        vocab_size=PIECES + 1, d_model=256, encoder_layers=4, decoder_layers=2, encoder_attention_heads=8,
        decoder_attention_heads=8, encoder_ffn_dim=1024, decoder_ffn_dim=1024, activation_function="swish",
        max_position_embeddings=512, scale_embedding=True, share_encoder_decoder_embeddings=True, dropout=0.1,
        attention_dropout=0.0, activation_dropout=0.0, pad_token_id=PAD, eos_token_id=EOS, bos_token_id=EOS,
        decoder_start_token_id=PAD)
    model = MarianMTModel(config)
    model.generation_config = GenerationConfig(
        num_beams=4, max_length=128, bad_words_ids=[[PAD]], pad_token_id=PAD, eos_token_id=EOS, forced_eos_token_id=EOS,
        decoder_start_token_id=PAD)
    with torch.no_grad():  # small embeddings: they are also the output matrix, and the input is scaled by sqrt(d)
        model.model.shared.weight.normal_(0, 256 ** -0.5)
        model.model.shared.weight[PAD].zero_()
    return model


def batches(examples, generator):
    """An epoch: each source with a few of its translations, in batches of about equal length, in random order."""
    drawn = []
    for source, targets in examples:
        picks = targets if len(targets) <= TRANSLATIONS_A_SOURCE else generator.sample(targets, TRANSLATIONS_A_SOURCE)
        drawn += [(source, target) for target in picks]
    generator.shuffle(drawn)
    drawn.sort(key=lambda pair: (len(pair[0]) // 2, len(pair[1])))
    out, batch, longest = [], [], 0
    for source, target in drawn:
        longest = max(longest, len(source) + len(target))
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            out.append(batch)
            batch, longest = [], len(source) + len(target)
        batch.append((source, target))
    out.append(batch)
    generator.shuffle(out)
    return out


def padded(rows):
    out = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int64)
    for row, ids in zip(out, rows):
        row[: len(ids)] = ids
    return torch.from_numpy(out)


def loss_of(model, batch):
    """Cross entropy with labels smoothed by 0.1, the mean over target tokens."""
    source, target = padded([s for s, _ in batch]), padded([t for _, t in batch])
    start = torch.full((len(batch), 1), PAD)
    given = torch.cat([start, target[:, :-1]], dim=1)
    states = model.model(input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=given,
                         use_cache=False).last_hidden_state
    kept = target != PAD
    scores = states[kept] @ model.model.shared.weight.T + model.final_logits_bias[0]
    return torch.nn.functional.cross_entropy(scores, target[kept], label_smoothing=0.1)


def train(model, examples):
    generator = random.Random(SEED)
    plan = [batch for _ in range(EPOCHS) for batch in batches(examples, generator)]
    optimizer = torch.optim.Adam(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), eps=1e-9, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARM_UP, max(0.02, 1 - step / len(plan))))
    average = {name: value.detach().clone() for name, value in model.named_parameters()}
    model.train()
    begun, recent = time.time(), []
    for step, batch in enumerate(plan[:STEPS]):
        loss = loss_of(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        keep = min(EMA, step / (step + 10))
        with torch.no_grad():
            for name, value in model.named_parameters():
                average[name].lerp_(value, 1 - keep)
        recent = (recent + [loss.item()])[-200:]
        if step % 200 == 199:
            print(f"step {step + 1}/{STEPS} loss {sum(recent) / len(recent):.3f} {time.time() - begun:.0f} s", flush=True)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(average[name])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs")
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(SEED)
    os.makedirs(options.folder, exist_ok=True)
    pairs, held = read_pairs(options.pairs)
    for name, column in (("heldout.en", 0), ("heldout.fr", 1)):
        with open(os.path.join(options.folder, name), "w", encoding="utf-8") as out:
            out.writelines(pair[column] + "\n" for pair in held)
    pieces = train_pieces(pairs, options.folder)
    examples = []
    for source, targets in pairs.items():
        ids = pieces.encode(source) + [EOS]
        kept = [t for t in (pieces.encode(target) + [EOS] for target in targets) if len(t) <= MAX_TOKENS]
        if kept and len(ids) <= MAX_TOKENS:
            examples.append((ids, kept))
    model = new_model()
    train(model, examples)
    model.eval().save_pretrained(options.folder)


main()
