"""nlp in SQLite; its pack is minilm of the model path."""
from peers.sqlite import Rows


class Peer(Rows):
    select = "nlp_embed(body)"

    def __init__(self, extension):
        self.connect()
        self.db.load_extension(extension)
        self.db.execute("SELECT nlp_config('threads', 1)").fetchall()
        build, = self.db.execute("SELECT nlp_build_info()").fetchone()
        self.version, isa = (part.strip() for part in build.split(",")[:2])
        self.kernels = isa.removeprefix("isa ")
