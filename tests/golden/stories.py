"""stories260K, a real Llama, from llama2.c's .bin and from GGUF: the greedy text of its EXPECTED.md, to the letter.

    tests/golden/stories.py NLP
"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import SHARED, check, finish, json_lines, run  # noqa: E402

NLP = sys.argv[1]
FOLDER = os.path.join(SHARED, "data", "weights", "stories260K")
START, STEPS = 1, 256


def expected_text():
    """What stands behind the first command line of the document, up to the end of its block."""
    with open(os.path.join(FOLDER, "EXPECTED.md"), encoding="utf-8") as file:
        block = next(part for part in file.read().split("```") if "-t 0.0" in part)
    return block.split("-t 0.0\n", 1)[1].rstrip("\n")


def greedy_text(model, work):
    lines = json_lines(NLP, ["trace", "-m", model, "--out", os.path.join(work, "trace.safetensors"), "--greedy", str(STEPS)], [{"ids": [START]}])
    ids = " ".join(str(i) for i in lines[0]["ids"])
    return run([NLP, "tokens", "-m", model, "--decode"], ids)[1].rstrip("\n")


with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)
    for ending in ("bin", "gguf"):
        pack = os.path.join(folder, ending + ".nlp")
        status, _, problem = run([NLP, "import", os.path.join(FOLDER, "stories260K." + ending), "--out", pack, "--precision", "f32"])
        check(f"import of .{ending}", status == 0, problem)
        got, want = greedy_text(pack, folder), expected_text()
        same = len(os.path.commonprefix([got, want]))
        check(f"greedy text of .{ending}: {same} of {len(want)} characters", same == len(want) and len(got) - same < 8, got[same:same + 60])
finish()
