"""What the test scripts in Python share: named checks, a closing line, running nlp."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(ROOT, "tests", "data")
SHARED = os.environ.get("NLP_SHARED") or os.path.join(ROOT, "..", "shared")
counts = {"passed": 0, "failed": 0}


def check(name, good, detail=""):
    counts["passed" if good else "failed"] += 1
    print(f"{'ok' if good else 'FAILED'} {name}{'' if good and not detail else ': ' + ' '.join(str(detail).split())[:400]}", flush=True)


def finish():
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


def run(arguments, text="", env=None, timeout=300):
    """Exit status, standard output, standard error."""
    done = subprocess.run(arguments, input=text.encode() if isinstance(text, str) else text, capture_output=True, timeout=timeout,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def json_lines(nlp, arguments, records, env=None):
    text = "".join(json.dumps(r) + "\n" for r in records)
    return [json.loads(line) for line in run([nlp, *arguments, "--json"], text, env)[1].splitlines()]


def edit_config(folder, **changes):
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config.update(changes)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)


def read_safetensors(path):
    """The header of a file, and the bytes behind it."""
    with open(path, "rb") as file:
        data = file.read()
    n = struct.unpack_from("<Q", data)[0]
    return json.loads(data[8:8 + n]), data[8 + n:]


def write_safetensors(path, header, body, n=None):
    """n: what the file says of its header's size, where that is a lie."""
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text) if n is None else n) + text + body)


def keep_one_label(folder):
    """The classifier of a model folder cut to its first label."""
    path = os.path.join(folder, "model.safetensors")
    (header, body), out = read_safetensors(path), b""
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        if name.startswith("classifier."):
            last = first + (last - first) // entry["shape"][0]
            entry["shape"][0] = 1
        entry["data_offsets"] = [len(out), len(out) + last - first]
        out += body[first:last]
    write_safetensors(path, header, out)
    edit_config(folder, id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0})


def import_pack(nlp, source, out, *options):
    code, _, err = run([nlp, "import", source, "--out", out, "--precision", "f32", *options])
    check(f"import of {os.path.basename(out)}", code == 0, err if code else "")


def task_packs(nlp, folder):
    """Packs of the tiny models of tests/data in a folder: ner, qa, mlm, yesno (a decoder), writer (another), talker (one for chats), polyglot (a seq2seq); and of a classifier under other labels
    nli, or with one label pairs (a cross encoder) and rawpairs (whose files ask for no sigmoid)."""
    for name, model in {"ner": "bert-tokcls", "qa": "bert-qa", "mlm": "bert-mlm", "yesno": "qwen3-reranker", "talker": "qwen3-reranker", "writer": "sharp-llama", "polyglot": "m2m100-slow"}.items():
        import_pack(nlp, os.path.join(DATA, "models", model), os.path.join(folder, name + ".nlp"), *(["--chat-template", "llama2"] if name == "talker" else []))
    with tempfile.TemporaryDirectory() as work:
        for name in ("nli", "pairs", "rawpairs"):
            source = shutil.copytree(os.path.join(DATA, "models", "bert-seqcls"), os.path.join(work, name))
            if name == "nli":
                edit_config(source, id2label={"0": "contradiction", "1": "neutral", "2": "entailment"}, label2id={"contradiction": 0, "neutral": 1, "entailment": 2})
            else:
                keep_one_label(source)
            if name == "rawpairs":
                edit_config(source, sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"})
            import_pack(nlp, source, os.path.join(folder, name + ".nlp"))


def timed(call):
    start = time.monotonic()
    result = call()
    return result, time.monotonic() - start
