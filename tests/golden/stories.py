"""Two small real models in other containers, to the letter: stories260K, a Llama from llama2.c's .bin and from GGUF, by its EXPECTED.md;
aren-transliteration, an encoder-decoder from CTranslate2's container, by that project's own test.

    tests/golden/stories.py NLP
"""
import json
import math
import os
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import SHARED, check, finish, json_lines, run  # noqa: E402

NLP = sys.argv[1]
FOLDER = os.path.join(SHARED, "data", "weights", "stories260K")
LETTERS = os.path.join(SHARED, "data", "weights", "aren-transliteration", "v2-f32")
# source, what it becomes, and the logarithm of the first letter's probability
WORDS = [("\u0622 \u062a \u0632 \u0645 \u0648 \u0646", "a t z m o n", -0.106023),
         ("\u0622 \u062a \u0634 \u064a \u0633 \u0648 \u0646", "a c h i s o n", -0.072660),
         ("\u0622 \u0631 \u0628 \u0627 \u0643 \u0647", "a r b a k e", -0.103136),
         ("\u0622 \u0631 \u062b \u0631", "a r t h e r", -0.076704)]
START, STEPS = 1, 256


def expected_text():
    """What stands behind the first command line of the document, up to the end of its block."""
    with open(os.path.join(FOLDER, "EXPECTED.md"), encoding="utf-8") as file:
        block = next(part for part in file.read().split("```") if "-t 0.0" in part)
    return block.split("-t 0.0\n", 1)[1].rstrip("\n")


def greedy_text(model, work):
    return json_lines(NLP, ["trace", "-m", model, "--out", os.path.join(work, "trace.safetensors"), "--greedy", str(STEPS)], [{"ids": [START]}])[0]["text"]


def first_log_probability(path, row):
    """Of the best token, from the scores of the first place."""
    with open(path, "rb") as file:
        data = file.read()
    n = struct.unpack_from("<Q", data)[0]
    first, last = json.loads(data[8:8 + n])[f"logits.{row}"]["data_offsets"]
    scores = struct.unpack_from(f"<{(last - first) // 4}f", data, 8 + n + first)
    most = max(scores)
    return -math.log(sum(math.exp(x - most) for x in scores))


def check_letters(work):
    pack, tensors = os.path.join(work, "letters.nlp"), os.path.join(work, "letters.safetensors")
    status, _, problem = run([NLP, "import", LETTERS, "--out", pack, "--precision", "f32"])
    check("import of CTranslate2's container", status == 0, problem)
    lines = json_lines(NLP, ["trace", "-m", pack, "--out", tensors, "--greedy", "20"], [{"text": source} for source, _, _ in WORDS])
    check("four transliterations", [line["text"] for line in lines] == [target for _, target, _ in WORDS], lines)
    far = [abs(first_log_probability(tensors, row) - log) for row, (_, _, log) in enumerate(WORDS)]
    check(f"log-probabilities of their first letters: {max(far):.0e}", max(far) < 2e-6)


with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)
    for ending in ("bin", "gguf"):
        pack = os.path.join(folder, ending + ".nlp")
        status, _, problem = run([NLP, "import", os.path.join(FOLDER, "stories260K." + ending), "--out", pack, "--precision", "f32"])
        check(f"import of .{ending}", status == 0, problem)
        got, want = greedy_text(pack, folder), expected_text()
        same = len(os.path.commonprefix([got, want]))
        check(f"greedy text of .{ending}: {same} of {len(want)} characters", same == len(want) and len(got) - same < 8, got[same:same + 60])
    check_letters(folder)
finish()
