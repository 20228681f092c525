"""What the tests of PostgreSQL share: psql against the server that tests/pg/run started."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import check  # noqa: E402

BUILD, BIN, SOCKET, MODELS = sys.argv[1:5]
NLP = os.path.join(BUILD, "nlp")
PSQL = [os.path.join(BIN, "psql"), "-X", "-q", "-A", "-t", "-h", SOCKET, "-U", "postgres", "-v", "VERBOSITY=verbose"]


def psql(sql, database="test", user=None):
    """Output and messages of a script."""
    command = [*PSQL, "-d", database] + (["-U", user] if user else [])
    done = subprocess.run(command, input=sql, capture_output=True, text=True)
    return done.stdout.strip(), done.stderr.strip()


def value(sql, **options):
    out, err = psql(sql, **options)
    return out if not err else f"{out} !! {err}"


def is_true(name, sql):
    check(name, value(f"SELECT {sql}") == "t", value(f"SELECT {sql}"))


def fails(name, sql, state, *words, **options):
    _, err = psql(sql, **options)
    check(f"{state} {name}", f"ERROR:  {state}" in err and all(w in err for w in words), err)


class Session:
    """A psql that stays open."""

    def __init__(self):
        self.process = subprocess.Popen([*PSQL, "-d", "test"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.pid = int(self.run("SELECT pg_backend_pid()")[0])

    def begin(self, sql):
        self.process.stdin.write(f"{sql};\n\\echo ==done==\n")
        self.process.stdin.flush()

    def end(self):
        lines = []
        while (line := self.process.stdout.readline()).strip() != "==done==":
            if not line:
                raise RuntimeError("the session is gone: " + "".join(lines))
            lines.append(line.strip())
        return lines

    def run(self, sql):
        self.begin(sql)
        return self.end()

    def cancel(self):
        """What pg_cancel_backend does, without waiting for another session."""
        os.kill(self.pid, signal.SIGINT)

    def cpu(self):
        """Milliseconds that the backend has computed."""
        with open(f"/proc/{self.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e6

    def memory(self):
        """KiB of this backend alone."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Clean", "Private_Dirty")))
