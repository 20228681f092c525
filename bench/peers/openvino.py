"""OpenVINO: the model built by its operations, in f32 and quantised by nncf with static scales (SmoothQuant, its transformer type)."""
import os

import nncf
import numpy as np
import openvino
from openvino import opset13 as ops

from peers.encoding import Encoder, load_model, padded
from preparation import example_reviews

N_CALIBRATION = 300
MASKED = -1e4


class Bert:
    """The graph. Attention is written as products and a softmax; OpenVINO runs its own operation for attention in the same way."""

    def __init__(self, folder):
        self.config, self.weights = load_model(folder)
        self.n_heads = self.config["num_attention_heads"]
        self.head_size = self.config["hidden_size"] // self.n_heads

    def model(self):
        ids, positions = (ops.parameter(shape, np.int32, name=name) for shape, name in (([-1, -1], "ids"), ([-1], "positions")))
        self.mask = ops.parameter([-1, 1, 1, -1], np.float32, name="mask")
        places = self.weights["embeddings.position_embeddings.weight"] + self.weights["embeddings.token_type_embeddings.weight"][0]
        x = ops.add(ops.gather(ops.constant(self.weights["embeddings.word_embeddings.weight"]), ids, 0), ops.gather(ops.constant(places), positions, 0))
        x = self.norm(x, "embeddings.LayerNorm")
        for i in range(self.config["num_hidden_layers"]):
            x = self.layer(x, f"encoder.layer.{i}.")
        return openvino.Model([ops.result(x)], [ids, positions, self.mask], "minilm")

    def linear(self, x, prefix):
        return ops.add(ops.matmul(x, ops.constant(self.weights[prefix + ".weight"]), False, True), ops.constant(self.weights[prefix + ".bias"]))

    def norm(self, x, prefix):
        x = ops.mvn(x, ops.constant(np.array([-1])), True, self.config["layer_norm_eps"], "inside_sqrt")
        return ops.add(ops.multiply(x, ops.constant(self.weights[prefix + ".weight"])), ops.constant(self.weights[prefix + ".bias"]))

    def heads(self, x, prefix):
        split = ops.reshape(self.linear(x, prefix), ops.constant(np.array([0, 0, self.n_heads, self.head_size])), True)
        return ops.transpose(split, ops.constant(np.array([0, 2, 1, 3])))

    def attend(self, q, k, v):
        scores = ops.multiply(ops.matmul(q, k, False, True), ops.constant(np.float32(self.head_size ** -0.5)))
        return ops.matmul(ops.softmax(ops.add(scores, self.mask), -1), v, False, False)

    def layer(self, x, prefix):
        attended = self.attend(*(self.heads(x, f"{prefix}attention.self.{part}") for part in ("query", "key", "value")))
        joined = ops.reshape(ops.transpose(attended, ops.constant(np.array([0, 2, 1, 3]))), ops.constant(np.array([0, 0, self.config["hidden_size"]])), True)
        x = self.norm(ops.add(self.linear(joined, prefix + "attention.output.dense"), x), prefix + "attention.output.LayerNorm")
        hidden = ops.gelu(self.linear(x, prefix + "intermediate.dense"), "erf")
        return self.norm(ops.add(self.linear(hidden, prefix + "output.dense"), x), prefix + "output.LayerNorm")


class Peer(Encoder):
    """In int8 the rest runs in f32 or, where the CPU has it and OpenVINO would choose it, in bf16. Pinning is off, or two processes share a core."""
    version = f"openvino {openvino.__version__.split('-')[0]}, nncf {nncf.__version__}"

    def __init__(self, precision, folder, cache, isa, ways):
        super().__init__(folder, ways)
        self.core = openvino.Core()
        path = self.model_file(folder, cache, precision)
        self.variants = {precision: self.compiled(path, "f32")}
        if precision == "int8" and isa == "native" and ways != "one" and "BF16" in self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            self.variants["int8, the rest bf16"] = self.compiled(path, "bf16")

    def model_file(self, folder, cache, precision):
        path = os.path.join(cache, f"openvino-{openvino.__version__.split('-')[0]}-{precision}.xml")
        if not os.path.exists(path):
            model = Bert(folder).model()
            if precision == "int8":
                texts = [self.prepare([ids]) for ids in self.ids(example_reviews()[:N_CALIBRATION])]
                model = nncf.quantize(model, nncf.Dataset(texts), model_type=nncf.ModelType.TRANSFORMER, subset_size=N_CALIBRATION)
            openvino.save_model(model, path, compress_to_fp16=False)
        return path

    def compiled(self, path, rest):
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": rest}
        return self.core.compile_model(path, "CPU", settings).create_infer_request()

    @property
    def kernels(self):
        """The kinds of kernels that its products with weights ran in, by its own word."""
        found = set()
        for request in self.variants.values():
            for node in request.get_compiled_model().get_runtime_model().get_ordered_ops():
                info = node.get_rt_info()
                if "layerType" in info and info["layerType"].astype(str) == "FullyConnected":
                    found.add(info["primitiveType"].astype(str))
        return ", ".join(sorted(found))

    def prepare(self, ids):
        rows, lengths = padded(ids)
        mask = np.where(np.arange(rows.shape[1]) < lengths[:, None], 0, MASKED).astype(np.float32)
        return {"ids": rows, "positions": np.arange(rows.shape[1], dtype=np.int32), "mask": mask[:, None, None, :]}

    def run(self, variant, prepared):
        return self.variants[variant].infer(prepared, share_inputs=True, share_outputs=True)[0]
