"""Beside pgvector: vectors as its type, in columns, indexes and jobs. Run by tests/pg/newer, whose servers have it."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import psql, value  # noqa: E402
from harness import ROOT, check, finish  # noqa: E402

psql("CREATE DATABASE test", "postgres")
_, err = psql("""SET client_min_messages = warning; DROP EXTENSION IF EXISTS nlp CASCADE; DROP EXTENSION IF EXISTS vector CASCADE; CREATE EXTENSION nlp; CREATE EXTENSION vector;
DROP TABLE IF EXISTS reviews, docs CASCADE; CREATE TABLE reviews (id int PRIMARY KEY, body text);
\\copy reviews FROM '%s'""" % os.path.join(ROOT, "examples/reviews/reviews.tsv"))
check("both extensions", not err, err)
check("a generated column of the type vector", value("CREATE TABLE docs (id int, body text, vec vector(384) GENERATED ALWAYS AS (nlp_embed(body, 'minilm')) STORED); INSERT INTO docs SELECT id, body FROM reviews; SELECT count(vec) FROM docs") == "400")
check("an index over it", value("CREATE INDEX ON docs USING hnsw (vec vector_cosine_ops); SELECT 1") == "1")
nearest = "SELECT id FROM docs ORDER BY vec <=> nlp_embed_query('How long does the battery last?')::vector LIMIT 10"
plan = value(f"SET enable_seqscan = off; EXPLAIN {nearest}")
check("the index serves a question", "hnsw" in plan or "docs_vec_idx" in plan, plan)
out = value(f"SET enable_seqscan = off; {nearest}; SELECT forward_passes FROM nlp_stats")
check("... by one forward pass", out.endswith("\n1"), out)
exact = value("SET enable_indexscan = off; SELECT id FROM docs ORDER BY nlp_cosine(nlp_embed(body), nlp_embed_query('How long does the battery last?')) DESC LIMIT 3")
check("... the same order as nlp_cosine", value(f"SET enable_indexscan = off; SELECT id FROM ({nearest}) x LIMIT 3") == exact, exact)
check("a column job into a vector", value("ALTER TABLE reviews ADD vec vector(384); CALL nlp_embed_column('reviews', 'body', 'vec'); SELECT count(*) FROM reviews r JOIN docs d USING (id) WHERE r.vec = d.vec") == "400")
psql("SET client_min_messages = warning; CREATE EXTENSION nlp_vector")
check("nlp_vec is nlp_embed as a vector", value("SELECT bool_and(nlp_vec(body) = nlp_embed(body)::vector AND nlp_vec(body, 'minilm') = vec AND nlp_vec_query(body) = nlp_embed_query(body)::vector) FROM docs WHERE id < 30") == "t")
plan = value("EXPLAIN (VERBOSE) SELECT nlp_vec(body) FROM docs")
check("... rows of it run in batches", "nlp batch" in plan, plan)
check("... with an empty search path", value("SET search_path = ''; SELECT public.nlp_vec('x') IS NULL") == "f")
check("... in a generated column", value("CREATE TABLE more (id int, body text, vec vector GENERATED ALWAYS AS (nlp_vec(body, 'minilm')) STORED); INSERT INTO more SELECT id, body FROM docs; SELECT count(*) FROM more JOIN docs USING (id) WHERE more.vec = docs.vec; DROP TABLE more") == "400")
_, err = psql("DROP EXTENSION nlp")
check("nlp is not dropped from under it", "2BP01" in err, err)
finish()
