"""llama.cpp by its low-level calls, as its own batched-bench makes them: no sampling, logits of each last token."""
import os
import time

import llama_cpp as api
import numpy as np

from peers.writing import Writer

FILE_TYPES = {"q4_0": api.LLAMA_FTYPE_MOSTLY_Q4_0, "q8_0": api.LLAMA_FTYPE_MOSTLY_Q8_0}
KERNELS = ("AVX2", "AVX_VNNI", "AVX512", "AVX512_VNNI", "AMX_INT8", "REPACK")
MOST_ROWS, MOST_TOKENS = 16, 1024


def requantised(gguf, path, precision):
    if not os.path.exists(path):
        parameters = api.llama_model_quantize_default_params()
        parameters.ftype, parameters.allow_requantize = FILE_TYPES[precision], True
        if api.llama_model_quantize(gguf.encode(), path.encode(), parameters):
            raise ValueError("llama.cpp could not requantise the model")
    return path


class Peer(Writer):
    version = f"llama-cpp-python {api.__version__}"

    def __init__(self, precision, gguf, cache):
        self.silence = api.llama_log_callback(lambda level, text, data: None)  # kept: it is called as long as the library lives
        api.llama_log_set(self.silence, None)
        path = requantised(gguf, os.path.join(cache, f"smollm2-{precision}.gguf"), precision)
        api.llama_backend_init()
        self.kernels = " ".join(name for name in KERNELS if f"{name} = 1" in api.llama_print_system_info().decode())
        self.model = api.llama_model_load_from_file(path.encode(), api.llama_model_default_params())
        parameters = api.llama_context_default_params()
        parameters.n_ctx = MOST_ROWS * MOST_TOKENS
        parameters.n_batch, parameters.n_ubatch, parameters.n_seq_max = MOST_ROWS * 128, 512, MOST_ROWS
        parameters.n_threads = parameters.n_threads_batch = 1
        self.context = api.llama_init_from_model(self.model, parameters)
        self.batch = api.llama_batch_init(MOST_ROWS * 128, 0, 1)
        self.n_words = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))

    def decode(self, ids, first):
        """The same number of ids for each row, from position `first` on."""
        batch, n = self.batch, 0
        for row, row_ids in enumerate(ids):
            for i, token in enumerate(row_ids):
                batch.token[n], batch.pos[n], batch.n_seq_id[n], batch.seq_id[n][0] = token, first + i, 1, row
                batch.logits[n] = i + 1 == len(row_ids)
                n += 1
        batch.n_tokens = n
        if api.llama_decode(self.context, batch):
            raise ValueError("llama.cpp refused a batch")
        api.llama_synchronize(self.context)

    def forget(self):
        api.llama_memory_clear(api.llama_get_memory(self.context), True)

    def run(self, ids, n_new):
        """The logits of the prompt are the first new token; the others are written one by one."""
        self.forget()
        start = time.perf_counter()
        self.decode(ids, 0)
        behind = time.perf_counter()
        for position in range(len(ids[0]), len(ids[0]) + n_new * (n_new > 1)):
            self.decode([row[:1] for row in ids], position)
        return behind - start, time.perf_counter() - behind

    def log_likelihood(self, ids):
        self.forget()
        total = 0
        for position, (token, following) in enumerate(zip(ids, ids[1:])):
            self.decode([[token]], position)
            logits = np.ctypeslib.as_array(api.llama_get_logits_ith(self.context, -1), (self.n_words,)).astype(np.float64)
            total += logits[following] - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        return total
