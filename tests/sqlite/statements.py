"""What tests of SQLite share: a statement's first value, what it says when it fails, how soon an interrupt ends it, and running a file's tests."""
import sqlite3
import sys
import threading
import time

# a program over its limit of steps is SQLITE_NOMEM; damage may stand in a message
PROBLEMS = (sqlite3.Error, MemoryError, UnicodeDecodeError)


def one(db, sql, *values):
    return db.execute(sql, values).fetchone()[0]


def error(db, sql, *values):
    """'' where it succeeds."""
    try:
        db.execute(sql, values).fetchall()
        return ""
    except PROBLEMS as problem:
        return str(problem) or type(problem).__name__


def interrupt_after(db, sql, after):
    """What the statement says, and the milliseconds from the interrupt to that; None if it was done before. An interrupt that comes
    before the statement runs is lost, so it is repeated."""
    ended, begun = threading.Event(), []

    def keep_interrupting():
        if not ended.wait(after):
            begun.append(time.perf_counter())
        while not ended.is_set():
            db.interrupt()
            ended.wait(0.002)

    thread = threading.Thread(target=keep_interrupting)
    thread.start()
    said = error(db, sql)
    now = time.perf_counter()
    ended.set()
    thread.join()
    return said, (now - begun[0]) * 1000 if begun else None


def is_interrupt(said):
    return "interrupted" in said or "canceled" in said


def run_tests(names):
    """The functions test_... of a module in their order, or those whose names have the second argument of the command line."""
    tests = [value for name, value in names.items() if name.startswith("test_") and callable(value)]
    for test in sorted(tests, key=lambda test: test.__code__.co_firstlineno):
        if len(sys.argv) < 3 or sys.argv[2] in test.__name__:
            test()
