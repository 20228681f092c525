"""How the comparisons of this folder take time: whole calls, and rounds in which each process had its core."""
import time

BUSY_SHARE, MAX_TRIES = 0.95, 3
COSINE_LIMIT = 0.97  # a way to run below it has saturated or is broken, so its speed says nothing


def speed(call, n, seconds):
    """Units a second over about `seconds`, where a call does n units."""
    calls, start = 0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds or not calls:
        call()
        calls += 1
    return calls * n / (now - start)


def with_share(measure):
    """What it returns, and the share of a core that this process had meanwhile."""
    start, before = time.perf_counter(), time.process_time()
    figure = measure()
    return figure, (time.process_time() - before) / (time.perf_counter() - start)


def undisturbed(processes, seconds):
    """A round of one or more processes at once: the sum of their figures. It is measured again when neighbours took part of a core; and
    says whether that went on to the last try."""
    for _ in range(MAX_TRIES):
        for process in processes:
            process.start(seconds)
        answers = [process.finish() for process in processes]
        if busy := any(share < BUSY_SHARE for _, share in answers):
            continue
        break
    return sum(figure for figure, _ in answers), busy
