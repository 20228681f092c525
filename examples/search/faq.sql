-- The FAQ of faq.tsv, searched by meaning and by words in PostgreSQL.
--     cd examples/search; psql -v query="I can't log in any more" -f faq.sql
-- The index follows the table: change an answer, and the next search knows it.
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS nlp;
SELECT to_regclass('faq') IS NULL AS is_first \gset
\if :is_first
    CREATE TABLE faq (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, question text, answer text);
    \copy faq (question, answer) FROM 'faq.tsv'
    SELECT nlp_index_create('faq', '{question,answer}'::name[]) AS rows \gset
\endif
SELECT f.question, f.answer, s.snippet FROM nlp_search('faq', :'query', 3) s JOIN faq f USING (id) ORDER BY s.score DESC;
