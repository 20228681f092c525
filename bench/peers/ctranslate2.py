"""CTranslate2 as an encoder."""
import os

import ctranslate2
import numpy as np
from ctranslate2.converters import Converter
from ctranslate2.specs import common_spec, transformer_spec

from peers.encoding import Encoder, load_model

COMPUTE_TYPES = {"int8": "int8", "f32": "float32"}


def write_model(folder, path, quantization):
    """What CTranslate2's own converter does for BERT, less the pooler, without the torch that one needs."""
    config, weights = load_model(folder)

    def linear(spec, *prefixes):
        spec.weight = np.concatenate([weights[prefix + ".weight"] for prefix in prefixes])
        spec.bias = np.concatenate([weights[prefix + ".bias"] for prefix in prefixes])

    def norm(spec, prefix):
        spec.gamma, spec.beta = weights[prefix + ".weight"], weights[prefix + ".bias"]

    class Bert(Converter):
        def _load(self):
            encoder = transformer_spec.TransformerEncoderSpec(
                config["num_hidden_layers"], config["num_attention_heads"], pre_norm=False,
                activation=common_spec.Activation.GELU, layernorm_embedding=True, num_source_embeddings=2,
                embeddings_merge=common_spec.EmbeddingsMerge.ADD)
            spec = transformer_spec.TransformerEncoderModelSpec(encoder)
            encoder.scale_embeddings = False
            encoder.embeddings[0].weight = weights["embeddings.word_embeddings.weight"]
            encoder.embeddings[1].weight = weights["embeddings.token_type_embeddings.weight"]
            encoder.position_encodings.encodings = weights["embeddings.position_embeddings.weight"]
            norm(encoder.layernorm_embedding, "embeddings.LayerNorm")
            for i, layer in enumerate(encoder.layer):
                prefix = f"encoder.layer.{i}."
                attention = prefix + "attention."
                linear(layer.self_attention.linear[0],
                       *(attention + "self." + part for part in ("query", "key", "value")))
                linear(layer.self_attention.linear[1], attention + "output.dense")
                norm(layer.self_attention.layer_norm, attention + "output.LayerNorm")
                linear(layer.ffn.linear_0, prefix + "intermediate.dense")
                linear(layer.ffn.linear_1, prefix + "output.dense")
                norm(layer.ffn.layer_norm, prefix + "output.LayerNorm")
            with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as file:
                spec.register_vocabulary(file.read().split("\n")[:config["vocab_size"]])
            spec.config.unk_token, spec.config.layer_norm_epsilon = "[UNK]", config["layer_norm_eps"]
            return spec

    Bert().convert(path, quantization=quantization, force=True)


class Peer(Encoder):
    version = f"ctranslate2 {ctranslate2.__version__}"

    def __init__(self, precision, folder, cache, isa, ways):
        super().__init__(folder, ways)
        compute_type = COMPUTE_TYPES[precision]
        path = os.path.join(cache, f"ctranslate2-{ctranslate2.__version__}-{precision}")
        if not os.path.exists(os.path.join(path, "model.bin")):
            write_model(folder, path, compute_type)
        encoder = ctranslate2.Encoder(path, device="cpu", compute_type=compute_type, inter_threads=1, intra_threads=1)
        self.kernels = os.environ.get("CT2_FORCE_CPU_ISA", "its own choice")
        self.variants = {encoder.compute_type: encoder}

    def prepare(self, ids):
        return ids

    def run(self, variant, prepared):
        return np.asarray(self.variants[variant].forward_batch(prepared).last_hidden_state)
