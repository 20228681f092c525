"""CTranslate2 as a writer: SmolLM2 from the GGUF file, laid out as its own converter for Llama does it."""
import os
import time

import ctranslate2
import numpy as np
from ctranslate2.converters import Converter
from ctranslate2.specs import common_spec, transformer_spec
from gguf import GGUFReader
from gguf.quants import dequantize

from peers.writing import Writer


class Source:
    """What the GGUF file holds, in f32."""

    def __init__(self, path):
        self.fields = (reader := GGUFReader(path)).fields
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}

    def field(self, name):
        return self.fields[name].contents()

    def setting(self, name):
        return self.field("llama." + name)

    def tensor(self, name):
        tensor = self.tensors[name]
        return np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)

    def rotated(self, name, n_heads):
        """GGUF has the two halves of a head's rotation interleaved; here they lie one behind the other."""
        weight = self.tensor(name)
        return weight.reshape(n_heads, weight.shape[0] // n_heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


class Llama(Converter):
    def __init__(self, source):
        self.source = source

    def _load(self):
        source = self.source
        n_heads, n_keys = source.setting("attention.head_count"), source.setting("attention.head_count_kv")
        spec = transformer_spec.TransformerDecoderModelSpec.from_config(
            source.setting("block_count"), n_heads, activation=common_spec.Activation.SWISH, pre_norm=True, ffn_glu=True, rms_norm=True, rotary_dim=0,
            rotary_interleave=False, rotary_base=source.setting("rope.freq_base"), num_heads_kv=n_keys)
        decoder = spec.decoder
        decoder.scale_embeddings = False
        decoder.embeddings.weight = decoder.projection.weight = source.tensor("token_embd.weight")
        decoder.layer_norm.gamma = source.tensor("output_norm.weight")
        for i, layer in enumerate(decoder.layer):
            self.fill(layer, f"blk.{i}.", n_heads, n_keys)
        words = source.field("tokenizer.ggml.tokens")
        spec.register_vocabulary(words)
        spec.config.bos_token = words[source.field("tokenizer.ggml.bos_token_id")]
        spec.config.eos_token = words[source.field("tokenizer.ggml.eos_token_id")]
        spec.config.unk_token = words[0]
        spec.config.layer_norm_epsilon = source.setting("attention.layer_norm_rms_epsilon")
        return spec

    def fill(self, layer, prefix, n_heads, n_keys):
        tensor, rotated = (lambda name: self.source.tensor(f"{prefix}{name}.weight")), (lambda name, n: self.source.rotated(f"{prefix}{name}.weight", n))
        layer.self_attention.layer_norm.gamma, layer.ffn.layer_norm.gamma = tensor("attn_norm"), tensor("ffn_norm")
        layer.self_attention.linear[0].weight = np.concatenate([rotated("attn_q", n_heads), rotated("attn_k", n_keys), tensor("attn_v")])
        layer.self_attention.linear[1].weight = tensor("attn_output")
        layer.ffn.linear_0.weight, layer.ffn.linear_0_noact.weight, layer.ffn.linear_1.weight = tensor("ffn_gate"), tensor("ffn_up"), tensor("ffn_down")


class Peer(Writer):
    version = f"ctranslate2 {ctranslate2.__version__}"

    def __init__(self, precision, gguf, cache):
        source, path = Source(gguf), os.path.join(cache, f"ctranslate2-{ctranslate2.__version__}-smollm2")
        if not os.path.exists(os.path.join(path, "model.bin")):
            Llama(source).convert(path, quantization=precision, force=True)
        self.vocabulary = source.field("tokenizer.ggml.tokens")
        self.kernels = os.environ.get("CT2_FORCE_CPU_ISA", "its own choice")
        self.generator = ctranslate2.Generator(path, device="cpu", compute_type=precision, inter_threads=1, intra_threads=1)

    def written(self, ids, n_new):
        prompts = [[self.vocabulary[i] for i in row] for row in ids]
        return self.generator.generate_batch(prompts, max_length=n_new, min_length=n_new, sampling_topk=1, include_prompt_in_result=False)

    def run(self, ids, n_new):
        """What a run of many tokens takes longer than a run of one is the time of the others, as `nlp bench decode` has it."""
        start = time.perf_counter()
        self.written(ids, 1)
        first = time.perf_counter() - start
        if n_new == 1:
            return first, 0
        self.written(ids, n_new + 1)
        return first, time.perf_counter() - start - 2 * first

    def log_likelihood(self, ids):
        return sum(self.generator.score_batch([[self.vocabulary[i] for i in ids]])[0].log_probs)
