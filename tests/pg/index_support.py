"""What the tests of indexes of meanings in PostgreSQL share: what an index must hold, scripts by chance, waiting."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import value  # noqa: E402
from harness import check  # noqa: E402

# what the index of a table holds, and what it must hold: equal at every commit
HELD = "SELECT k1, seq, start_pos, end_pos, hash, q8 IS NULL FROM nlp_index.{0}_chunks ORDER BY 1, 2"
ORACLE = """SELECT string_agg(t, '') IS NOT DISTINCT FROM (SELECT string_agg(c.k1 || ':' || c.seq || substr(d.body, c.start_pos, c.end_pos - c.start_pos + 1), '' ORDER BY c.k1, c.seq)
    FROM nlp_index.{0}_chunks c JOIN {0} d ON d.id = c.k1 WHERE c.q8 IS NOT NULL)
  AND (SELECT count(*) FROM nlp_index.{0}_chunks WHERE seq = 0) = (SELECT count(*) FROM {0})
  AND (SELECT count(*) FROM nlp_index.{0}_signatures) = (SELECT count(q8) FROM nlp_index.{0}_chunks)
  FROM (SELECT d.id || ':' || (n.ord - 1) || n.chunk AS t FROM {0} d, nlp_chunk(d.body, 'minilm', '{{"max_tokens": 248, "overlap": 31}}'::jsonb) n ORDER BY d.id, n.ord) s"""


def gives(name, expected, sql, **options):
    found = value(sql, **options)
    check(name, found == expected, found)


def random_script(seed):
    random.seed(seed)
    words = "red green blue stone river cloud engine letter garden window".split()
    lines, depth = ["BEGIN;"], 0

    def text():
        return " ".join(random.choice(words) for _ in range(random.randint(0, 6)))
    for _ in range(30):
        act = random.randint(0, 9)
        key = random.randint(1, 12)
        if act < 3:
            lines.append(f"INSERT INTO plain VALUES ({key}, '{text()}') ON CONFLICT (id) DO UPDATE SET body = excluded.body;")
        elif act == 3:
            lines.append(f"INSERT INTO plain SELECT i, '{text()}' FROM generate_series({key}, {key + 3}) i ON CONFLICT DO NOTHING;")
        elif act == 4:
            lines.append(f"UPDATE plain SET body = body || ' {random.choice(words)}' WHERE id % 3 = {key % 3};")
        elif act == 5:
            lines.append(f"UPDATE plain SET id = id + 20 WHERE id = {key} AND NOT EXISTS (SELECT FROM plain p WHERE p.id = {key + 20});")
        elif act == 6:
            lines.append(f"DELETE FROM plain WHERE id = {key};")
        elif act == 7:
            depth += 1
            lines.append(f"SAVEPOINT s{depth};")
        elif depth:
            lines.append(f"{random.choice(['RELEASE', 'ROLLBACK TO'])} SAVEPOINT s{depth};")
            if lines[-1].startswith("RELEASE"):
                depth -= 1
    lines.append(random.choice(["COMMIT;", "COMMIT;", "ROLLBACK;"]))
    return "\n".join(lines)


def waits_for(sql, test):
    for _ in range(1200):
        found = value(sql)
        if test(found):
            break
        time.sleep(0.05)
    return found


def becomes(name, expected, sql):
    """Within a minute."""
    found = waits_for(sql, lambda found: found == expected)
    check(name, found == expected, found)
