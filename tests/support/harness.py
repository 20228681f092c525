"""What the test scripts in Python share: named checks, a closing line, running nlp."""
import json
import os
import shutil
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


def task_packs(nlp, folder):
    """Packs of the tiny models of tests/data in a folder: ner, qa, mlm, yesno (a decoder), nli (a classifier under other labels)."""
    sources = {"ner": "bert-tokcls", "qa": "bert-qa", "mlm": "bert-mlm", "yesno": "qwen3-reranker", "nli": "bert-seqcls"}
    for name, model in sources.items():
        source = os.path.join(DATA, "models", model)
        with tempfile.TemporaryDirectory() as work:
            if name == "nli":
                source = shutil.copytree(source, os.path.join(work, name))
                path = os.path.join(source, "config.json")
                with open(path, encoding="utf-8") as file:
                    config = json.load(file)
                config["id2label"] = {"0": "contradiction", "1": "neutral", "2": "entailment"}
                config["label2id"] = {label: int(i) for i, label in config["id2label"].items()}
                with open(path, "w", encoding="utf-8") as file:
                    json.dump(config, file)
            code, out, err = run([nlp, "import", source, "--out", os.path.join(folder, name + ".nlp"), "--precision", "f32"])
            check(f"import of {name}", code == 0, err if code else "")


def timed(call):
    start = time.monotonic()
    result = call()
    return result, time.monotonic() - start
