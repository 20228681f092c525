"""The engines as bench/compare sees them: each measures a workload in rounds, `start(seconds)` and `finish()` -> (figure, share of a core)."""
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass

from preparation import Missing

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass(frozen=True)
class Workload:
    name: str
    unit: str
    path: str = ""       # texts, one a line
    rows: int = 0        # of writing: this many prompts of n_prompt tokens, and n_new behind each
    n_prompt: int = 0
    n_new: int = 0
    figure: str = ""     # of writing: prompt, decode, first token or whole
    processes: int = 1


def run_lines(command, environment, **options):
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, **options)
    return [json.loads(line) for line in run.stdout.splitlines()]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


# ---- nlp -------------------------------------------------------------------------------------------------------------

class Nlp:
    """`nlp bench` as a process for each round."""

    def __init__(self, program, pack, precision, environment):
        self.program, self.pack, self.environment, self.name = program, pack, environment, f"nlp {precision}"
        self.about = {"version": None, "kernels": None}
        self.variant, self.batch, self.all_cosines = precision, 0, {}

    def vectors(self, texts):
        asked = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        return [line["embedding"] for line in run_lines([self.program, "embed", "--json", "--model", self.pack, "--threads", "1"], self.environment, input=asked)]

    def ids(self, text):
        return run_lines([self.program, "tokens", "--json", "--model", self.pack], self.environment, input=json.dumps({"text": text}) + "\n")[0]["ids"]

    def cosines(self, path):
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        return {self.variant: [cosine(own, line["embedding"]) for own, line in zip(self.vectors([line["text"] for line in lines]), lines)]}

    def choose(self, workload):
        self.workload = workload

    def arguments(self):
        if self.workload.rows:
            return ["decode" if self.workload.rows == 1 else "batch-decode"]
        return ["encode"]

    def start(self, seconds):
        command = [self.program, "bench", *self.arguments(), "--texts", self.workload.path, "--model", self.pack, "--threads", "1", "--rounds", "1",
                   "--seconds", str(seconds)]
        self.started = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.environment)

    def finish(self):
        out = self.process.stdout.read()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode:
            raise Missing(f"nlp bench ended with {self.process.returncode}")
        share = (usage.ru_utime + usage.ru_stime) / (time.perf_counter() - self.started)
        return self.figure([json.loads(line) for line in out.splitlines()]), share

    def figure(self, lines):
        version, isa = (part.strip() for part in lines[0]["build"].split(",")[:2])
        self.about = {"version": version, "kernels": isa.removeprefix("isa ")}
        line = {line["workload"].split()[0]: line for line in lines}
        if not self.workload.rows:
            return lines[0]["tok_s" if self.workload.unit == "tok/s" else "sent_s"]
        self.check_prompts(line["prompt"])
        if self.workload.figure == "first token":
            return 1e3 * self.workload.n_prompt / line["prompt"]["tok_s"]
        return line[self.workload.figure]["tok_s"]

    def check_prompts(self, line):
        n_prompt = round(line["tok_s"] / line["sent_s"])
        if n_prompt != self.workload.n_prompt:
            raise Missing(f"nlp sees prompts of {n_prompt} tokens instead of {self.workload.n_prompt}")

    def close(self):
        pass


class NlpSql(Nlp):
    """nlp_generate(text[]) in PostgreSQL; the share of a core is not known there."""

    def __init__(self, psql):
        self.psql, self.name = shlex.split(psql), "nlp in PostgreSQL"
        self.about = {"version": "smollm2 of that server", "kernels": None}
        self.variant, self.batch, self.all_cosines = "nlp_generate(text[])", 0, {}

    def start(self, seconds):
        with open(self.workload.path, encoding="utf-8") as file:
            array = "ARRAY[" + ", ".join("'" + line.rstrip("\n") + "'" for line in file) + "]"
        query = f"SELECT count(g.text) FROM nlp_generate({array}, 'smollm2', jsonb_build_object('min_tokens', {self.workload.n_new}), max_tokens => {self.workload.n_new}) g"
        commands = ["SET nlp.threads = 1", query, "\\timing on", query, query]
        self.process = subprocess.Popen([*self.psql, "-qAt", *(part for command in commands for part in ("-c", command))], stdout=subprocess.PIPE, text=True)

    def finish(self):
        out, _ = self.process.communicate()
        times = [float(line.split()[1]) for line in out.splitlines() if line.startswith("Time:")]
        if self.process.returncode or not times:
            raise Missing("psql failed")
        return self.workload.rows * self.workload.n_new * 1e3 / min(times), 1


# ---- Peers -----------------------------------------------------------------------------------------------------------

class Worker:
    """A peer in its process. `arguments` are those of its class."""

    def __init__(self, name, python, module, environment, log, **arguments):
        self.name, self.batch, self.variant, self.all_cosines = name, 0, None, {}
        with open(log, "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen([python, os.path.join(HERE, "worker.py"), module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            text=True, env=environment)
        self.arguments = arguments
        self.call("start")

    def load(self):
        self.call("load", **self.arguments)
        self.about = self.call("about")
        return self

    def send(self, call, **arguments):
        try:
            self.process.stdin.write(json.dumps({"call": call, "arguments": arguments}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says it

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Missing(f"its process ended with {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Missing(answer["error"])
        return answer["result"]

    def call(self, call, **arguments):
        self.send(call, **arguments)
        return self.answer()

    def cosines(self, path):
        return self.call("cosines", path=path)

    def start(self, seconds):
        self.send("round", seconds=seconds)

    def finish(self):
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class EncodingWorker(Worker):
    def choose(self, workload):
        chosen = self.call("choose", path=workload.path, unit=workload.unit)
        self.variant, self.batch = chosen["variant"], chosen["batch"]


class WritingWorker(Worker):
    def choose(self, workload):
        self.call("choose", rows=workload.rows, n_prompt=workload.n_prompt, n_new=workload.n_new, figure=workload.figure)


class RowsWorker(Worker):
    def choose(self, workload):
        self.call("choose", path=workload.path)


def python_for_sqlite():
    """One whose sqlite3 loads extensions: not every build of Python allows it."""
    for python in (sys.executable, "/usr/bin/python3"):
        if os.path.exists(python) and not subprocess.run([python, "-c", "import sqlite3; sqlite3.connect('').enable_load_extension"], stderr=subprocess.DEVNULL).returncode:
            return python
    raise Missing("no Python here has a sqlite3 that loads extensions")
