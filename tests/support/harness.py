"""What the test scripts in Python share: named checks, a closing line, running nlp."""
import json
import os
import subprocess
import sys
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


def timed(call):
    start = time.monotonic()
    result = call()
    return result, time.monotonic() - start
