"""What tests of SQLite share: a statement's first value, and what it says when it fails."""
import sqlite3

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
