"""How the comparisons of this folder take time: whole calls, and rounds in which the engine had its core."""
import resource
import time

ISA_FLAGS = ["avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "asimddp", "i8mm"]
BUSY_SHARE, MAX_TRIES = 0.95, 3


def speed(call, n_tokens, seconds):
    """Tokens a second over about `seconds`."""
    calls, start = 0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds or not calls:
        call()
        calls += 1
    return calls * n_tokens / (now - start)


def undisturbed(measure, who):
    """A round, measured again when neighbours took part of the core; and whether that went on to the last try."""
    for _ in range(MAX_TRIES):
        start, before = time.perf_counter(), resource.getrusage(who)
        figures = measure()
        wall, after = time.perf_counter() - start, resource.getrusage(who)
        if after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime >= BUSY_SHARE * wall:
            return figures, False
    return figures, True
