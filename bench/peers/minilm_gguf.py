"""all-MiniLM-L6-v2 as a GGUF file of q8_0, as llama.cpp's own converter and quantiser make it.

    python -m peers.minilm_gguf FOLDER FILE
"""
import json
import os
import sys

import gguf
from gguf.quants import quantize
from safetensors.numpy import load_file

PARTS = {"attn_q": "attention.self.query", "attn_k": "attention.self.key", "attn_v": "attention.self.value", "attn_output": "attention.output.dense",
         "attn_output_norm": "attention.output.LayerNorm", "ffn_up": "intermediate.dense", "ffn_down": "output.dense", "layer_output_norm": "output.LayerNorm"}


def names(n_layers):
    """Of each tensor: as GGUF has it -> as the folder has it."""
    found = {"token_embd.weight": "embeddings.word_embeddings.weight", "position_embd.weight": "embeddings.position_embeddings.weight",
             "token_types.weight": "embeddings.token_type_embeddings.weight"}
    pairs = [("token_embd_norm", "embeddings.LayerNorm")] + [(f"blk.{i}.{ours}", f"encoder.layer.{i}.{theirs}") for i in range(n_layers) for ours, theirs in PARTS.items()]
    return found | {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in pairs for kind in ("weight", "bias")}


def piece(word):
    """Words start with a mark, what goes on has none."""
    if word.startswith("[") and word.endswith("]"):
        return word
    return word[2:] if word.startswith("##") else "\u2581" + word


def add_header(writer, folder, config):
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as file:
        words = file.read().split("\n")[:config["vocab_size"]]
    special = {word: i for i, word in enumerate(words) if word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")}
    writer.add_tokenizer_model("bert")
    writer.add_token_list([piece(word) for word in words])
    writer.add_token_types([gguf.TokenType.CONTROL if word in special else gguf.TokenType.NORMAL for word in words])
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_bos_token_id(special["[CLS]"])
    writer.add_eos_token_id(special["[SEP]"])
    writer.add_sep_token_id(special["[SEP]"])
    writer.add_unk_token_id(special["[UNK]"])
    writer.add_pad_token_id(special["[PAD]"])
    writer.add_mask_token_id(special["[MASK]"])


def main(folder, path):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    weights = load_file(os.path.join(folder, "model.safetensors"))
    writer = gguf.GGUFWriter(path, "bert")
    add_header(writer, folder, config)
    for name, source in names(config["num_hidden_layers"]).items():
        if weights[source].ndim == 2 and name not in ("position_embd.weight", "token_types.weight"):
            writer.add_tensor(name, quantize(weights[source], gguf.GGMLQuantizationType.Q8_0), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, weights[source])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
