"""A larger reader that lends its judgement to a recipe: all-mpnet-base-v2 with low-rank adapters on its upper layers. It reads
texts that nobody labelled, and says how sure it is of those that somebody did.
"""
import lora

LOWEST = 4  # the first layer that has adapters: the ones below save their half of the way back
EPOCHS, RATE = 2, 5e-4
PLACES = r".*layer\.(%s)\.(attention\.attn\.(q|v)|intermediate\.dense|output\.dense)"


class Teacher:
    def __init__(self, folder, n_labels, of_tokens):
        self.tokenizer = lora.tokenizer_of(folder)
        self.model = lora.Adapted(folder, n_labels, of_tokens, places=PLACES % "|".join(map(str, range(LOWEST, 12))))


def train(teacher, examples, loss, report):
    lora.train(teacher.model, [examples] * EPOCHS, loss, RATE, report)
