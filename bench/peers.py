"""The peers of bench/compare: each makes its int8 model from the Hugging Face folder and encodes token ids.

A peer has `name`, `version`, `variants` (its ways to run the model: all are tried, the fastest counts), and two steps,
`prepare(ids)` for what a caller can do ahead, and `run(variant, prepared)`, which returns the last hidden states.
"""
import json
import os

import numpy as np
from safetensors.numpy import load_file


def load_model(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    return config, load_file(os.path.join(folder, "model.safetensors"))


def padded(ids):
    lengths = np.array([len(row) for row in ids], np.int32)
    rows = np.zeros((len(ids), lengths.max()), np.int32)
    for row, values in zip(rows, ids):
        row[:len(values)] = values
    return rows, lengths


# ---- ONNX Runtime ----------------------------------------------------------------------------------------------------

def write_onnx(folder, path, gelu):
    """Fused as onnxruntime.transformers' optimizer does it: attention, norms with the sum, GELU with the bias."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    config, weights = load_model(folder)
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def tensor(name):
        return constant(name, weights[name])

    def node(op, inputs, domain="com.microsoft", **attributes):
        name = f"{op}_{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [name], name=name, domain=domain, **attributes))
        return name

    def add_norm(x, rest, prefix, *bias):
        return node("SkipLayerNormalization", [x, rest, tensor(prefix + ".weight"), tensor(prefix + ".bias"), *bias],
                    epsilon=config["layer_norm_eps"])

    def product(x, prefix):
        return node("MatMul", [x, constant(prefix + ".weight", weights[prefix + ".weight"].T)], domain="")

    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    x = add_norm(node("Gather", [tensor("embeddings.word_embeddings.weight"), "ids"], domain=""),
                 node("Gather", [constant("places", places), "positions"], domain=""), "embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        parts = [layer + "attention.self." + part for part in ("query", "key", "value")]
        qkv = constant(layer + "qkv.weight", np.concatenate([weights[part + ".weight"].T for part in parts], 1))
        qkv_bias = constant(layer + "qkv.bias", np.concatenate([weights[part + ".bias"] for part in parts]))
        out, up, down = layer + "attention.output", layer + "intermediate.dense", layer + "output"
        attention = node("Attention", [x, qkv, qkv_bias, "lengths"], num_heads=config["num_attention_heads"])
        x = add_norm(product(attention, out + ".dense"), x, out + ".LayerNorm", tensor(out + ".dense.bias"))
        hidden = node(gelu, [product(x, up), tensor(up + ".bias")])
        x = add_norm(product(hidden, down + ".dense"), x, down + ".LayerNorm", tensor(down + ".dense.bias"))
    integers = TensorProto.INT32
    graph = helper.make_graph(
        nodes, "bert",
        [helper.make_tensor_value_info("ids", integers, ["texts", "tokens"]),
         helper.make_tensor_value_info("positions", integers, ["tokens"]),
         helper.make_tensor_value_info("lengths", integers, ["texts"])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["texts", "tokens", config["hidden_size"]])], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


class OnnxRuntime:
    """BiasGelu is the erf form, FastGelu tanh. Without reduce_range, int8 can saturate on a CPU that lacks VNNI."""
    name = "onnxruntime"

    def __init__(self, folder, cache, cpu_flags):
        import onnx
        import onnxruntime
        from onnxruntime.quantization import QuantType, quantize_dynamic
        self.version = onnxruntime.__version__
        self.variants = {}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        for gelu in ("BiasGelu", "FastGelu"):
            for reduce_range in (False, True):
                variant = gelu + (" reduce_range" if reduce_range else "")
                path = os.path.join(cache, f"onnxruntime-{self.version} {variant}.onnx".replace(" ", "-"))
                if not os.path.exists(path):
                    write_onnx(folder, path + ".f32", gelu)
                    quantize_dynamic(path + ".f32", path, ["MatMul", "Attention"], per_channel=True,
                                     reduce_range=reduce_range, weight_type=QuantType.QInt8,
                                     extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
                    os.remove(path + ".f32")
                self.variants[variant] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def prepare(self, ids):
        rows, lengths = padded(ids)
        return {"ids": rows, "positions": np.arange(rows.shape[1], dtype=np.int32), "lengths": lengths}

    def run(self, variant, prepared):
        return self.variants[variant].run(None, prepared)[0]


# ---- CTranslate2 -----------------------------------------------------------------------------------------------------

def write_ctranslate2(folder, path):
    """What CTranslate2's own converter does for BERT, less the pooler, without the torch that one needs."""
    from ctranslate2.converters import Converter
    from ctranslate2.specs import common_spec, transformer_spec
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

    Bert().convert(path, quantization="int8", force=True)


class CTranslate2:
    name = "ctranslate2"

    def __init__(self, folder, cache, cpu_flags):
        # On AMD it chooses AVX2 by itself, and is about 10 % slower.
        if {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"} <= set(cpu_flags):
            os.environ.setdefault("CT2_FORCE_CPU_ISA", "AVX512")
        import ctranslate2
        self.version = ctranslate2.__version__
        path = os.path.join(cache, f"ctranslate2-{self.version}")
        if not os.path.exists(os.path.join(path, "model.bin")):
            write_ctranslate2(folder, path)
        encoder = ctranslate2.Encoder(path, device="cpu", compute_type="int8", inter_threads=1, intra_threads=1)
        self.variants = {f"{encoder.compute_type} {os.environ.get('CT2_FORCE_CPU_ISA', 'default ISA')}": encoder}

    def prepare(self, ids):
        return ids

    def run(self, variant, prepared):
        return np.asarray(self.variants[variant].forward_batch(prepared).last_hidden_state)


PEERS = [OnnxRuntime, CTranslate2]
