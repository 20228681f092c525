"""ONNX Runtime: a graph fused as onnxruntime.transformers' optimizer does it, in f32 and quantised by quantize_dynamic."""
import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from peers.encoding import Encoder, load_model, padded

GRIDS = {"f32": ("f32",), "int8": ("int8", "int8 reduce_range")}


def write_onnx(folder, path, gelu):
    """Attention, norms with the sum, GELU with the bias as nodes of their own."""
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


class Peer(Encoder):
    """BiasGelu is the erf form, FastGelu tanh. Without reduce_range, int8 can saturate on a CPU that lacks VNNI."""
    version = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, precision, folder, cache, isa, ways):
        super().__init__(folder, ways)
        self.kernels = "the CPU's own (no switch)" if isa != "native" else "the CPU's own"
        self.variants = {}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        for gelu in ("BiasGelu", "FastGelu") if ways == "all" else ("FastGelu",):
            for grid in GRIDS[precision][:1 if ways == "one" else 2]:
                path = self.model_file(folder, cache, gelu, grid)
                self.variants[f"{gelu} {grid}"] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    @staticmethod
    def model_file(folder, cache, gelu, grid):
        path = os.path.join(cache, f"onnxruntime-{onnxruntime.__version__}-{gelu}-{grid}.onnx".replace(" ", "-"))
        if os.path.exists(path):
            return path
        f32 = path if grid == "f32" else path + ".f32"
        write_onnx(folder, f32, gelu)
        if grid != "f32":
            quantize_dynamic(f32, path, ["MatMul", "Attention"], per_channel=True, reduce_range="reduce_range" in grid, weight_type=QuantType.QInt8,
                             extra_options={"DefaultTensorType": TensorProto.FLOAT})
            os.remove(f32)
        return path

    def prepare(self, ids):
        rows, lengths = padded(ids)
        return {"ids": rows, "positions": np.arange(rows.shape[1], dtype=np.int32), "lengths": lengths}

    def run(self, variant, prepared):
        return self.variants[variant].run(None, prepared)[0]
