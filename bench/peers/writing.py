"""What the peers share that write with SmolLM2-135M-Instruct: prompts of random ids, which do not change the work, and greedy choice."""
import math
import random

from measuring import with_share

PERPLEXITY_LIMIT = 300  # a model above it is broken: English text has about 50, and a model that guesses tens of thousands


class Writer:
    """A kind of peer has `version`, `kernels`, run(ids, n_new) -> seconds of the prompts and of n_new tokens behind them, and
    log_likelihood(ids) of all but the first."""

    def about(self):
        return {"version": self.version, "kernels": self.kernels}

    def perplexity(self, ids):
        """Of a text."""
        found = math.exp(-self.log_likelihood(ids) / (len(ids) - 1))
        if not found < PERPLEXITY_LIMIT:
            raise ValueError(f"perplexity {found:.0f}: not a working model")
        return found

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
