"""One engine in a process of its own, so that a peer that fails takes nothing with it: a JSON call a line in, a JSON answer a line out.

    python worker.py MODULE        the module of peers/ whose Peer answers; calls are "start" (what is imported is there), "load" with the arguments
                                   of its constructor, then those of its methods
"""
import importlib
import json
import logging
import os
import sys


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    logging.disable(logging.WARNING)
    module = peer = None

    def answer(call, arguments):
        nonlocal module, peer
        if call == "start":
            module = importlib.import_module(f"peers.{sys.argv[1]}")
        elif call == "load":
            peer = module.Peer(**arguments)
        else:
            return getattr(peer, call)(**arguments)

    for line in sys.stdin:
        try:
            found = {"result": answer(**json.loads(line))}
        except Exception as error:  # whatever a peer throws is why it is missing
            found = {"error": f"{type(error).__name__}: {error}".split("\n")[0]}
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
