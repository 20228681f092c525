"""What the peers share that write with SmolLM2-135M-Instruct: prompts of random ids, which do not change the work, and greedy choice."""
import random

from measuring import with_share

PROBE = ["The", "Ġcapital", "Ġof", "ĠFrance", "Ġis"]


class Writer:
    """A kind of peer has `version`, `kernels`, `vocabulary`, run(ids, n_new) -> seconds of the prompts and of n_new tokens behind them, and
    continued(ids, n): the ids it writes."""

    def about(self):
        return {"version": self.version, "kernels": self.kernels}

    def check(self):
        """That it is a working model: it knows the capital of France."""
        written = self.continued([self.vocabulary.index(piece) for piece in PROBE], 12)
        text = "".join(self.vocabulary[i] for i in written).replace("Ġ", " ")
        if "Paris" not in text:
            raise ValueError(f"wrote {text!r}: not a working model")

    def choose(self, rows, n_prompt, n_new, figure):
        pick = random.Random(rows)
        self.ids = [[pick.randrange(1000, 40000) for _ in range(n_prompt)] for _ in range(rows)]
        self.n_new, self.figure = n_new, figure
        self.run(self.ids, 1)

    def round(self, seconds):
        return with_share(lambda: self.measure(seconds))

    def measure(self, seconds):
        prompts = writing = runs = 0
        while prompts + writing < seconds:
            times = self.run(self.ids, self.n_new)
            prompts, writing, runs = prompts + times[0], writing + times[1], runs + 1
        rows, n_prompt = runs * len(self.ids), len(self.ids[0])
        return {"prompt": lambda: rows * n_prompt / prompts, "decode": lambda: rows * self.n_new / writing, "first token": lambda: 1e3 * prompts / runs,
                "whole": lambda: rows * self.n_new / (prompts + writing)}[self.figure]()
