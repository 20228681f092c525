"""sqlite-ai, llama.cpp inside SQLite, with one thread."""
from peers.sqlite import Rows


class Peer(Rows):
    select = "llm_embed_generate(body)"

    def __init__(self, extension, gguf):
        self.connect()
        self.db.load_extension(extension)
        self.version = "sqlite-ai " + self.db.execute("SELECT ai_version()").fetchone()[0]
        self.kernels = "as its package is built (no switch)"
        self.db.execute("SELECT llm_model_load(?, 'gpu_layers=0')", (gguf,)).fetchall()
        self.db.execute("SELECT llm_context_create_embedding('embedding_type=FLOAT32,n_threads=1,n_threads_batch=1')").fetchall()
