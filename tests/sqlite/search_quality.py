"""How good the answers of nlp_index are: the query sets of tests/data/search. Run by tests/sqlite/run."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "..", "..", "bench"))
from harness import finish  # noqa: E402
from search_engines import Sqlite  # noqa: E402
from search_sets import judge  # noqa: E402

engine = Sqlite(os.path.abspath(sys.argv[1]), "minilm")
judge(engine.build, engine.search)
finish()
