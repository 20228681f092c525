"""A larger reader that lends its judgement to a recipe: the lower layers of SmolLM2-135M-Instruct with low-rank adapters and
a head of two labels. It reads texts that nobody labelled, and says how sure it is of those that somebody did.

A third of the layers is left out, since the upper ones speak and the middle ones understand; the lowest are left as they are,
which saves their half of the way back.
"""
import os

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

import lora

DEPTH, LOWEST = 18, 8  # layers run; the first that has adapters
EPOCHS, RATE = 2, 4e-4
MAX_TOKENS = 100
PLACES = r"layers\.(%s)\..*\.(q_proj|v_proj|up_proj|down_proj)"


class Teacher(torch.nn.Module):
    """The head reads the mean of the hidden states beside the last one."""
    of_tokens = False

    def __init__(self, gguf):
        super().__init__()
        folder, file = os.path.split(os.path.abspath(gguf))
        self.tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
        base = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).model
        base.layers, base.norm = base.layers[:DEPTH], torch.nn.Identity()
        base.config.num_hidden_layers, base.config.use_cache = DEPTH, False
        places = PLACES % "|".join(map(str, range(LOWEST, DEPTH)))
        self.base = get_peft_model(base, LoraConfig(r=lora.RANK, lora_alpha=lora.ALPHA, lora_dropout=0.1, target_modules=places))
        width = 2 * base.config.hidden_size
        self.norm = torch.nn.LayerNorm(width, elementwise_affine=False)
        self.drop = torch.nn.Dropout(0.1)
        self.head = torch.nn.Linear(width, 2)

    def forward(self, ids, mask):
        hidden = self.base(input_ids=ids, attention_mask=mask).last_hidden_state
        n = mask.sum(1)
        mean = (hidden * mask.unsqueeze(-1)).sum(1) / n.unsqueeze(-1)
        last = hidden[torch.arange(len(ids)), n - 1]
        return self.head(self.drop(self.norm(torch.cat([mean, last], 1))))

    def encode(self, texts):
        return [ids[:MAX_TOKENS] for ids in self.tokenizer(texts)["input_ids"]]

    def probabilities(self, texts):
        """Of the second label."""
        rows = lora.scores(self, [(ids, 0) for ids in self.encode(texts)])
        return [torch.softmax(row, 0)[1].item() for row in rows]


def train(gguf, rows, report):
    """A teacher of rows (text, label). `report(teacher, epoch)` is called behind each epoch."""
    teacher = Teacher(gguf)
    examples = list(zip(teacher.encode([text for text, _ in rows]), [label for _, label in rows]))

    def loss(net, batch):
        right = torch.tensor([label for _, label in batch])
        return torch.nn.functional.cross_entropy(net(*lora.tensors(batch)), right, label_smoothing=0.1)

    lora.train(teacher, [examples] * EPOCHS, loss, RATE, lambda epoch: report(teacher, epoch))
    return teacher
