"""PyTorch with transformers, as sentence-transformers runs it: the slowest reference."""
import numpy as np
import torch
import transformers

from peers.encoding import Encoder, padded


class Peer(Encoder):
    version = f"torch {torch.__version__}, transformers {transformers.__version__}"

    def __init__(self, precision, folder, cache, isa, ways):
        super().__init__(folder, ways)
        torch.set_num_threads(1)
        self.kernels = torch.backends.cpu.get_cpu_capability()
        self.variants = {"sdpa": transformers.AutoModel.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32).eval()}

    def prepare(self, ids):
        rows, lengths = padded(ids)
        mask = (np.arange(rows.shape[1]) < lengths[:, None]).astype(np.int64)
        return {"input_ids": torch.from_numpy(rows.astype(np.int64)), "attention_mask": torch.from_numpy(mask)}

    def run(self, variant, prepared):
        with torch.inference_mode():
            return self.variants[variant](**prepared).last_hidden_state.numpy()
