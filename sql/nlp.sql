/* nlp.sql: the SQL objects of the current version. Two functions a verb: without a model it is STABLE, since a setting names
 * the model; with a model it is IMMUTABLE, since the result then depends on its arguments and the pack alone. */

\echo Use "CREATE EXTENSION nlp" to load this file. \quit

CREATE SCHEMA _nlp;
REVOKE ALL ON SCHEMA _nlp FROM PUBLIC;
/* asked by the planner about calls of tasks, which loads the library */
CREATE FUNCTION _nlp.support(internal) RETURNS internal AS 'MODULE_PATHNAME', 'nlp_pg_support' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

/* ---- Vectors of texts ---- */
CREATE FUNCTION nlp_embed(text text, options jsonb DEFAULT '{}') RETURNS real[]
    AS 'MODULE_PATHNAME', 'nlp_pg_embed' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_embed(text text, model text, options jsonb DEFAULT '{}') RETURNS real[]
    AS 'MODULE_PATHNAME', 'nlp_pg_embed' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_embed(texts text[], options jsonb DEFAULT '{}', OUT ord int, OUT embedding real[]) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_embed_array' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100;
CREATE FUNCTION nlp_embed(texts text[], model text, options jsonb DEFAULT '{}', OUT ord int, OUT embedding real[]) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_embed_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000 ROWS 100;
CREATE FUNCTION nlp_embed_query(text text, options jsonb DEFAULT '{}') RETURNS real[]
    AS 'MODULE_PATHNAME', 'nlp_pg_embed_query' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_embed_query(text text, model text, options jsonb DEFAULT '{}') RETURNS real[]
    AS 'MODULE_PATHNAME', 'nlp_pg_embed_query' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_similarity(a text, b text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_similarity' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_similarity(a text, b text, model text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_similarity' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_cosine(a real[], b real[]) RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_cosine' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
CREATE FUNCTION nlp_dims() RETURNS int
    AS 'MODULE_PATHNAME', 'nlp_pg_dims' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100;
CREATE FUNCTION nlp_dims(model text) RETURNS int
    AS 'MODULE_PATHNAME', 'nlp_pg_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
CREATE FUNCTION _nlp.centroid_step(state float8[], vector real[]) RETURNS float8[]
    AS 'MODULE_PATHNAME', 'nlp_pg_centroid_step' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION _nlp.centroid_final(state float8[]) RETURNS real[]
    AS 'MODULE_PATHNAME', 'nlp_pg_centroid_final' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE AGGREGATE nlp_centroid(real[]) (SFUNC = _nlp.centroid_step, STYPE = float8[], FINALFUNC = _nlp.centroid_final, PARALLEL = RESTRICTED);

/* ---- Classification ---- */
CREATE FUNCTION nlp_sentiment(text text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_sentiment' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_sentiment(text text, model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_sentiment' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_sentiment_score(text text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_sentiment_score' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_sentiment_score(text text, model text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_sentiment_score' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_classify(text text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_classify' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_classify(text text, model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_classify' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
/* beside the zero-shot form with labels, a literal for options finds this one */
CREATE FUNCTION nlp_classify(text text, model text, options text) RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_classify' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_classify_scores(text text, options jsonb DEFAULT '{}', OUT label text, OUT score real) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_classify_scores' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 ROWS 10;
CREATE FUNCTION nlp_classify_scores(text text, model text, options jsonb DEFAULT '{}', OUT label text, OUT score real) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_classify_scores' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 ROWS 10;
CREATE FUNCTION nlp_classify_scores(text text, model text, options text, OUT label text, OUT score real) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_classify_scores' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 ROWS 10;
CREATE FUNCTION nlp_confidence(text text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_confidence' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_confidence(text text, model text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_confidence' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;

/* ---- Labels of one's own ---- */
CREATE FUNCTION nlp_classify(text text, labels text[], options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_classify(text text, labels text[], model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_zero_shot(text text, labels text[], options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_zero_shot(text text, labels text[], model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_classify_scores(text text, labels text[], options jsonb DEFAULT '{}', OUT label text, OUT score real) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot_scores' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000 ROWS 10;
CREATE FUNCTION nlp_classify_scores(text text, labels text[], model text, options jsonb DEFAULT '{}', OUT label text, OUT score real) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot_scores' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000 ROWS 10;
CREATE FUNCTION nlp_zero_shot_scores(text text, labels text[], options jsonb DEFAULT '{}', OUT label text, OUT score real) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot_scores' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000 ROWS 10;
CREATE FUNCTION nlp_zero_shot_scores(text text, labels text[], model text, options jsonb DEFAULT '{}', OUT label text, OUT score real) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot_scores' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000 ROWS 10;

/* ---- Whether a condition is true of a text ---- */
CREATE FUNCTION nlp_filter(text text, condition text, threshold double precision DEFAULT 0.5, options jsonb DEFAULT '{}') RETURNS boolean
    AS 'MODULE_PATHNAME', 'nlp_pg_filter' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_filter(text text, condition text, model text, options jsonb DEFAULT '{}', threshold double precision DEFAULT 0.5) RETURNS boolean
    AS 'MODULE_PATHNAME', 'nlp_pg_filter' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000 SUPPORT _nlp.support;

/* ---- What a text holds ---- */
CREATE FUNCTION nlp_entities(text text, options jsonb DEFAULT '{}', OUT entity text, OUT label text, OUT score real, OUT start_pos int, OUT end_pos int) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_entities' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 ROWS 10;
CREATE FUNCTION nlp_entities(text text, model text, options jsonb DEFAULT '{}', OUT entity text, OUT label text, OUT score real, OUT start_pos int, OUT end_pos int) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_entities' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 ROWS 10;
CREATE FUNCTION nlp_answer(question text, context text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_answer' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_answer(question text, context text, model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_answer' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_answer_span(question text, context text, options jsonb DEFAULT '{}', OUT answer text, OUT score real, OUT start_pos int, OUT end_pos int) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_answer_span' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 ROWS 1;
CREATE FUNCTION nlp_answer_span(question text, context text, model text, options jsonb DEFAULT '{}', OUT answer text, OUT score real, OUT start_pos int, OUT end_pos int) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_answer_span' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 ROWS 1;
CREATE FUNCTION nlp_fill_mask(text text, k int DEFAULT 5, options jsonb DEFAULT '{}', OUT token text, OUT score real, OUT sequence text) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_fill_mask' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 ROWS 5;
CREATE FUNCTION nlp_fill_mask(text text, model text, options jsonb DEFAULT '{}', k int DEFAULT 5, OUT token text, OUT score real, OUT sequence text) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_fill_mask' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 ROWS 5;

/* ---- Texts that go on from a prompt ---- */
CREATE FUNCTION nlp_generate(prompt text, max_tokens int DEFAULT 256, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_generate' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_generate(prompt text, model text, options jsonb DEFAULT '{}', max_tokens int DEFAULT 256) RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_generate' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_generate(prompts text[], max_tokens int DEFAULT 256, options jsonb DEFAULT '{}', OUT ord int, OUT text text) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_generate_array' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100;
CREATE FUNCTION nlp_generate(prompts text[], model text, options jsonb DEFAULT '{}', max_tokens int DEFAULT 256, OUT ord int, OUT text text) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_generate_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100;
CREATE FUNCTION nlp_chat(messages jsonb, max_tokens int DEFAULT 256, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_chat' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_chat(messages jsonb, model text, options jsonb DEFAULT '{}', max_tokens int DEFAULT 256) RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_chat' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000000 SUPPORT _nlp.support;
/* Conversations that are kept. Each role has a table of its own here, made by its first nlp_chat_create; none of them belongs to
 * the extension: they are dumped, and it can't be dropped while there are some. */
CREATE SCHEMA nlp_chats;
GRANT USAGE ON SCHEMA nlp_chats TO PUBLIC;
CREATE FUNCTION nlp_chat_create(system text DEFAULT NULL, model text DEFAULT NULL) RETURNS uuid
    AS 'MODULE_PATHNAME', 'nlp_pg_chat_create' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
CREATE FUNCTION nlp_chat_send(session uuid, text text, options jsonb DEFAULT '{}', max_tokens int DEFAULT 256) RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_chat_send' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000000;
CREATE FUNCTION nlp_chat_history(session uuid) RETURNS TABLE (seq int, role text, content text, at timestamptz)
    AS 'MODULE_PATHNAME', 'nlp_pg_chat_history' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 100 ROWS 20;
CREATE FUNCTION nlp_summarize(text text, max_tokens int DEFAULT 128, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_summarize' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_summarize(text text, model text, options jsonb DEFAULT '{}', max_tokens int DEFAULT 128) RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_summarize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000000 SUPPORT _nlp.support;
CREATE FUNCTION _nlp.join_step(state internal, value text) RETURNS internal
    AS 'MODULE_PATHNAME', 'nlp_pg_join_step' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION _nlp.join_summary(state internal) RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_join_summary' LANGUAGE C STABLE PARALLEL SAFE COST 1000000;
CREATE AGGREGATE nlp_summarize_agg(text) (SFUNC = _nlp.join_step, STYPE = internal, FINALFUNC = _nlp.join_summary, PARALLEL = RESTRICTED);
CREATE FUNCTION nlp_extract(text text, schema jsonb, options jsonb DEFAULT '{}') RETURNS jsonb
    AS 'MODULE_PATHNAME', 'nlp_pg_extract' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_extract(text text, schema jsonb, model text, options jsonb DEFAULT '{}') RETURNS jsonb
    AS 'MODULE_PATHNAME', 'nlp_pg_extract' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_translate(text text, target text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_translate' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_translate(text text, target text, model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_translate' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000 SUPPORT _nlp.support;
/* A set in a FROM list is collected whole before its first row is seen, but one in a SELECT list is not: the functions in SQL
 * are inlined and bring it there. */
CREATE FUNCTION _nlp.generate_stream(prompt text, max_tokens int, options jsonb, OUT step int, OUT token text, OUT done boolean) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_generate_stream' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000 ROWS 100;
CREATE FUNCTION _nlp.generate_stream(prompt text, model text, options jsonb, max_tokens int, OUT step int, OUT token text, OUT done boolean) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_generate_stream' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000000 ROWS 100;
CREATE FUNCTION nlp_generate_stream(prompt text, max_tokens int DEFAULT 256, options jsonb DEFAULT '{}') RETURNS TABLE (step int, token text, done boolean)
    LANGUAGE SQL STABLE PARALLEL SAFE COST 1000000 ROWS 100
    BEGIN ATOMIC SELECT (s.r).step, (s.r).token, (s.r).done FROM (SELECT _nlp.generate_stream($1, $2, $3) AS r) s; END;
CREATE FUNCTION nlp_generate_stream(prompt text, model text, options jsonb DEFAULT '{}', max_tokens int DEFAULT 256) RETURNS TABLE (step int, token text, done boolean)
    LANGUAGE SQL IMMUTABLE PARALLEL SAFE COST 1000000 ROWS 100
    BEGIN ATOMIC SELECT (s.r).step, (s.r).token, (s.r).done FROM (SELECT _nlp.generate_stream($1, $2, $3, $4) AS r) s; END;

/* ---- Which document answers a query ---- */
CREATE FUNCTION nlp_rerank_score(query text, document text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_rerank_score' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_rerank_score(query text, document text, model text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_rerank_score' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_rerank(query text, documents text[], k int DEFAULT 10, options jsonb DEFAULT '{}', OUT ord int, OUT score real, OUT document text) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_rerank' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000 ROWS 10;
CREATE FUNCTION nlp_rerank(query text, documents text[], model text, options jsonb DEFAULT '{}', k int DEFAULT 10, OUT ord int, OUT score real, OUT document text) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_rerank' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000 ROWS 10;

/* ---- Scalar forms with many rows a run: f_w(...) OVER (...). A window function is never strict; these give NULL of NULL all the
 * same ---- */
CREATE FUNCTION nlp_embed_w(text text, options jsonb DEFAULT '{}') RETURNS real[]
    AS 'MODULE_PATHNAME', 'nlp_pg_embed_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_embed_w(text text, model text, options jsonb DEFAULT '{}') RETURNS real[]
    AS 'MODULE_PATHNAME', 'nlp_pg_embed_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_embed_query_w(text text, options jsonb DEFAULT '{}') RETURNS real[]
    AS 'MODULE_PATHNAME', 'nlp_pg_embed_query_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_embed_query_w(text text, model text, options jsonb DEFAULT '{}') RETURNS real[]
    AS 'MODULE_PATHNAME', 'nlp_pg_embed_query_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_sentiment_w(text text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_sentiment_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_sentiment_w(text text, model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_sentiment_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_sentiment_score_w(text text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_sentiment_score_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_sentiment_score_w(text text, model text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_sentiment_score_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_classify_w(text text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_classify_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_classify_w(text text, model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_classify_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_classify_w(text text, model text, options text) RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_classify_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_confidence_w(text text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_confidence_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_confidence_w(text text, model text, options jsonb DEFAULT '{}') RETURNS real
    AS 'MODULE_PATHNAME', 'nlp_pg_confidence_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_classify_w(text text, labels text[], options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 100000;
CREATE FUNCTION nlp_classify_w(text text, labels text[], model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 100000;
CREATE FUNCTION nlp_zero_shot_w(text text, labels text[], options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 100000;
CREATE FUNCTION nlp_zero_shot_w(text text, labels text[], model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_zero_shot_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 100000;
CREATE FUNCTION nlp_filter_w(text text, condition text, threshold double precision DEFAULT 0.5, options jsonb DEFAULT '{}') RETURNS boolean
    AS 'MODULE_PATHNAME', 'nlp_pg_filter_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 100000;
CREATE FUNCTION nlp_filter_w(text text, condition text, model text, options jsonb DEFAULT '{}', threshold double precision DEFAULT 0.5) RETURNS boolean
    AS 'MODULE_PATHNAME', 'nlp_pg_filter_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 100000;
CREATE FUNCTION nlp_generate_w(prompt text, max_tokens int DEFAULT 256, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_generate_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 1000000;
CREATE FUNCTION nlp_generate_w(prompt text, model text, options jsonb DEFAULT '{}', max_tokens int DEFAULT 256) RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_generate_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 1000000;
CREATE FUNCTION nlp_summarize_w(text text, max_tokens int DEFAULT 128, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_summarize_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 1000000;
CREATE FUNCTION nlp_summarize_w(text text, model text, options jsonb DEFAULT '{}', max_tokens int DEFAULT 128) RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_summarize_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 1000000;
CREATE FUNCTION nlp_extract_w(text text, schema jsonb, options jsonb DEFAULT '{}') RETURNS jsonb
    AS 'MODULE_PATHNAME', 'nlp_pg_extract_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 1000000;
CREATE FUNCTION nlp_extract_w(text text, schema jsonb, model text, options jsonb DEFAULT '{}') RETURNS jsonb
    AS 'MODULE_PATHNAME', 'nlp_pg_extract_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 1000000;
CREATE FUNCTION nlp_translate_w(text text, target text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_translate_w' LANGUAGE C WINDOW STABLE PARALLEL SAFE COST 100000;
CREATE FUNCTION nlp_translate_w(text text, target text, model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_translate_w' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE COST 100000;

/* ---- Tokens ---- */
CREATE FUNCTION nlp_token_count(text text, options jsonb DEFAULT '{}') RETURNS int
    AS 'MODULE_PATHNAME', 'nlp_pg_token_count' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_token_count(text text, model text, options jsonb DEFAULT '{}') RETURNS int
    AS 'MODULE_PATHNAME', 'nlp_pg_token_count' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_unknown_count(text text, options jsonb DEFAULT '{}') RETURNS int
    AS 'MODULE_PATHNAME', 'nlp_pg_unknown_count' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_unknown_count(text text, model text, options jsonb DEFAULT '{}') RETURNS int
    AS 'MODULE_PATHNAME', 'nlp_pg_unknown_count' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_tokenize(text text, options jsonb DEFAULT '{}') RETURNS int[]
    AS 'MODULE_PATHNAME', 'nlp_pg_tokenize' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_tokenize(text text, model text, options jsonb DEFAULT '{}') RETURNS int[]
    AS 'MODULE_PATHNAME', 'nlp_pg_tokenize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_tokens(text text, options jsonb DEFAULT '{}', OUT ord int, OUT id int, OUT token text, OUT start_pos int, OUT end_pos int) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_tokens' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000 ROWS 50;
CREATE FUNCTION nlp_tokens(text text, model text, options jsonb DEFAULT '{}', OUT ord int, OUT id int, OUT token text, OUT start_pos int, OUT end_pos int) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_tokens' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000 ROWS 50;
CREATE FUNCTION nlp_detokenize(ids int[], options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_detokenize' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_detokenize(ids int[], model text, options jsonb DEFAULT '{}') RETURNS text
    AS 'MODULE_PATHNAME', 'nlp_pg_detokenize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_would_truncate(text text, options jsonb DEFAULT '{}') RETURNS boolean
    AS 'MODULE_PATHNAME', 'nlp_pg_would_truncate' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
CREATE FUNCTION nlp_would_truncate(text text, model text, options jsonb DEFAULT '{}') RETURNS boolean
    AS 'MODULE_PATHNAME', 'nlp_pg_would_truncate' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 SUPPORT _nlp.support;
/* its options go by name: behind the text stand three of them as arguments of their own */
/* Not STRICT: an overlap that is not given follows from max_tokens. Other NULLs give no rows. */
CREATE FUNCTION nlp_chunk(text text, max_tokens int DEFAULT 256, overlap int DEFAULT NULL, by text DEFAULT 'sentence', options jsonb DEFAULT '{}', OUT ord int, OUT chunk text, OUT tokens int, OUT start_pos int, OUT end_pos int) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_chunk' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 20;
CREATE FUNCTION nlp_chunk(text text, model text, options jsonb DEFAULT '{}', max_tokens int DEFAULT 256, overlap int DEFAULT NULL, by text DEFAULT 'sentence', OUT ord int, OUT chunk text, OUT tokens int, OUT start_pos int, OUT end_pos int) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_chunk' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10000 ROWS 20;

/* ---- Any task by its name. Answers are jsonb: the value of a scalar task, an object of columns for each row of the others. Not STRICT:
 * without a model the task's default runs ---- */
CREATE FUNCTION nlp_run(task text, text text, model text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS jsonb
    AS 'MODULE_PATHNAME', 'nlp_pg_run' LANGUAGE C STABLE PARALLEL SAFE COST 10000;
CREATE FUNCTION nlp_run_rows(task text, text text, model text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS SETOF jsonb
    AS 'MODULE_PATHNAME', 'nlp_pg_run_rows' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
/* over the rows of a query: a key, if there is one more column than the task has operands, then these; 256 rows at a time */
CREATE FUNCTION nlp_map(query text, task text, model text DEFAULT NULL, options jsonb DEFAULT '{}', OUT key text, OUT result jsonb)
    RETURNS SETOF record AS 'MODULE_PATHNAME', 'nlp_pg_map' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000000 ROWS 1000;

/* ---- Heads made in SQL: rows of a table, in the caller's transaction; dumped and restored before user tables ---- */
CREATE TABLE _nlp.packs (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9_-][a-z0-9_.-]{0,62}$'),
    digest text NOT NULL,
    base_digest text NOT NULL,
    bytes bytea NOT NULL,
    created timestamptz NOT NULL,
    by name NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('_nlp.packs', '');
/* read by the task functions on behalf of whoever calls them; the table itself stays closed */
CREATE FUNCTION _nlp.read_pack(wanted text) RETURNS bytea
    LANGUAGE sql STABLE STRICT SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS 'SELECT bytes FROM _nlp.packs WHERE name OPERATOR(pg_catalog.=) wanted';
GRANT USAGE ON SCHEMA _nlp TO PUBLIC;
CREATE FUNCTION nlp_fit(name text, query text, base_model text, options jsonb DEFAULT '{}', OUT metric text, OUT value double precision)
    RETURNS SETOF record AS 'MODULE_PATHNAME', 'nlp_pg_fit' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000000 ROWS 20;
CREATE FUNCTION nlp_fit(name text, query text, OUT metric text, OUT value double precision) RETURNS SETOF record
    LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE ROWS 20
    AS $$ SELECT * FROM @extschema@.nlp_fit(name, query, coalesce(nullif(pg_catalog.current_setting('nlp.embed_model', true), ''), 'minilm')) $$;
CREATE FUNCTION nlp_distill(name text, query text, labels text[], options jsonb DEFAULT '{}', OUT metric text, OUT value double precision)
    RETURNS SETOF record AS 'MODULE_PATHNAME', 'nlp_pg_distill' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000000 ROWS 20;
CREATE FUNCTION nlp_evaluate(model text, query text, OUT metric text, OUT value double precision)
    RETURNS SETOF record AS 'MODULE_PATHNAME', 'nlp_pg_evaluate' LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 1000000 ROWS 20;
CREATE FUNCTION nlp_pack(name text) RETURNS bytea LANGUAGE sql STABLE STRICT AS 'SELECT _nlp.read_pack(name)';
CREATE FUNCTION nlp_pack_put(name text, pack bytea) RETURNS void
    AS 'MODULE_PATHNAME', 'nlp_pg_pack_put' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
CREATE FUNCTION nlp_drop_model(model text) RETURNS boolean LANGUAGE sql VOLATILE STRICT
    AS $$ WITH gone AS (DELETE FROM _nlp.packs WHERE name OPERATOR(pg_catalog.=) model RETURNING 1) SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 FROM gone $$;
REVOKE ALL ON FUNCTION nlp_fit(text, text, text, jsonb), nlp_fit(text, text), nlp_distill(text, text, text[], jsonb), nlp_pack(text), nlp_pack_put(text, bytea), nlp_drop_model(text), _nlp.centroid_step(float8[], real[]), _nlp.centroid_final(float8[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _nlp.centroid_step(float8[], real[]), _nlp.centroid_final(float8[]) TO PUBLIC;

/* ---- A column of vectors, filled in batches that are committed on the way: call it again after whatever stopped it ---- */
/* names as text, not regclass: dumped data is restored before the tables */
CREATE TABLE _nlp.jobs (
    by name NOT NULL DEFAULT current_user,
    relation text NOT NULL,
    source name NOT NULL,
    target name NOT NULL,
    model text NOT NULL,
    digest text NOT NULL,
    rows_done bigint NOT NULL,
    rows_total bigint NOT NULL,
    started timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated timestamptz NOT NULL DEFAULT pg_catalog.now(),
    finished timestamptz,
    pid int NOT NULL DEFAULT pg_catalog.pg_backend_pid(),
    PRIMARY KEY (by, relation, target)
);
SELECT pg_catalog.pg_extension_config_dump('_nlp.jobs', '');
ALTER TABLE _nlp.jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_jobs ON _nlp.jobs USING (by = current_user);
GRANT SELECT, INSERT, UPDATE, DELETE ON _nlp.jobs TO PUBLIC;
CREATE VIEW nlp_progress AS
    SELECT relation, source, target, model, rows_done, rows_total, started, updated, finished, by,
        CASE WHEN finished IS NOT NULL THEN 'finished'
            WHEN EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = j.pid AND (a.backend_start IS NULL OR a.backend_start < j.started)) THEN 'running'
            ELSE 'stopped' END AS state
    FROM _nlp.jobs j;
GRANT SELECT ON nlp_progress TO PUBLIC;

/* Which rows are left is what the table itself says: target is NULL, source is not. Vectors of two models never mix. */
CREATE FUNCTION _nlp.job_begin(relation regclass, source name, target name, model text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    todo bigint;
    total bigint;
    known text := (SELECT m.digest FROM @extschema@.nlp_models m WHERE m.name = split_part(model, '@', 1));
    before text := (SELECT j.digest FROM _nlp.jobs j WHERE j.by = current_user AND j.relation = job_begin.relation::text AND j.target = job_begin.target);
BEGIN
    EXECUTE format('SELECT count(*) FILTER (WHERE %I IS NULL), count(*) FROM %s WHERE %I IS NOT NULL', target, relation, source) INTO todo, total;
    IF before <> known AND todo < total THEN
        RAISE EXCEPTION '% rows of "%" have vectors of model %, but "%" is % now', total - todo, target, left(before, 16), model, left(known, 16)
            USING ERRCODE = '55000', HINT = format('UPDATE %s SET %I = NULL begins anew', relation, target);
    END IF;
    INSERT INTO _nlp.jobs (relation, source, target, model, digest, rows_done, rows_total)
        VALUES (relation::text, source, target, model, coalesce(known, ''), total - todo, total)
        ON CONFLICT ON CONSTRAINT jobs_pkey DO UPDATE SET source = excluded.source, model = excluded.model, digest = excluded.digest, rows_done = excluded.rows_done,
            rows_total = excluded.rows_total, started = now(), updated = now(), finished = NULL, pid = pg_backend_pid();
END $$;
/* The next rows behind a place, at most batch_size of them; rows that others hold are left for later. */
CREATE FUNCTION _nlp.job_step(leaf regclass, source name, target name, model text, batch_size int, INOUT place tid, OUT n bigint) LANGUAGE plpgsql
    SET client_min_messages = error AS $$ /* the job itself says at its end that texts were cut */
BEGIN
    EXECUTE format('WITH part AS (SELECT ctid AS at FROM ONLY %1$s WHERE ctid > $1 AND %2$I IS NULL AND %3$I IS NOT NULL LIMIT $2 FOR UPDATE SKIP LOCKED),
            made AS (UPDATE ONLY %1$s t SET %2$I = @extschema@.nlp_embed(t.%3$I, $3) FROM part WHERE t.ctid = part.at RETURNING part.at)
            SELECT max(at), count(*) FROM made', leaf, target, source)
        INTO place, n USING place, batch_size, model;
END $$;
CREATE FUNCTION _nlp.job_count(relation regclass, target name, n bigint, is_end boolean) RETURNS void LANGUAGE sql
    AS $$ UPDATE _nlp.jobs j SET rows_done = j.rows_done + $3, rows_total = greatest(j.rows_total, j.rows_done + $3), updated = clock_timestamp(),
            finished = CASE WHEN $4 THEN clock_timestamp() END
        WHERE j.by = current_user AND j.relation = $1::text AND j.target = $2 $$;
CREATE PROCEDURE nlp_embed_column(relation regclass, source name, target name, model text DEFAULT NULL, batch_size int DEFAULT 256, commit_every int DEFAULT 4096)
    LANGUAGE plpgsql AS $$
DECLARE
    used text := coalesce(model, nullif(current_setting('nlp.embed_model', true), ''), 'minilm');
    leaves regclass[] := (SELECT array_agg(t.relid) FROM pg_partition_tree(relation) t WHERE t.isleaf);
    leaf regclass;
    place tid;
    n bigint;
    since_commit bigint := 0;
    moved bigint;
    held bigint;
    cut bigint := (SELECT truncated FROM @extschema@.nlp_stats);
BEGIN
    IF batch_size NOT BETWEEN 1 AND 100000 OR commit_every < 1 THEN
        RAISE EXCEPTION 'batch_size is from 1 to 100000, commit_every at least 1' USING ERRCODE = '22023';
    END IF;
    PERFORM @extschema@.nlp_dims(used);
    PERFORM _nlp.job_begin(relation, source, target, used);
    COMMIT;
    LOOP
        moved := 0;
        FOREACH leaf IN ARRAY coalesce(leaves, ARRAY[relation]) LOOP
            place := '(0,0)';
            LOOP
                SELECT s.place, s.n INTO place, n FROM _nlp.job_step(leaf, source, target, used, batch_size, place) s;
                EXIT WHEN n = 0;
                moved := moved + n;
                since_commit := since_commit + n;
                IF since_commit >= commit_every THEN
                    PERFORM _nlp.job_count(relation, target, since_commit, false);
                    since_commit := 0;
                    COMMIT;
                END IF;
            END LOOP;
        END LOOP;
        EXIT WHEN moved = 0; /* rows that came meanwhile are done, too */
    END LOOP;
    EXECUTE format('SELECT count(*) FROM %s WHERE %I IS NULL AND %I IS NOT NULL', relation, target, source) INTO held;
    IF held > 0 THEN
        RAISE NOTICE '% rows are held by other transactions: call nlp_embed_column again', held;
    END IF;
    PERFORM _nlp.job_count(relation, target, since_commit, held = 0);
    cut := (SELECT truncated FROM @extschema@.nlp_stats) - cut;
    IF cut > 0 THEN
        RAISE WARNING '% texts were longer than the model takes and were cut', cut USING HINT = 'nlp_would_truncate finds such texts';
    END IF;
    COMMIT;
END $$;

/* ---- What is there and what was done ---- */
CREATE FUNCTION _nlp.models(OUT name text, OUT digest text, OUT base_digest text, OUT family text, OUT tasks text, OUT languages text,
    OUT licence text, OUT "precision" text, OUT backing text, OUT path text, OUT problem text, OUT dims bigint, OUT max_tokens bigint,
    OUT bytes bigint, OUT processes bigint) RETURNS SETOF record AS 'MODULE_PATHNAME', 'nlp_pg_models' LANGUAGE C VOLATILE ROWS 20;
/* of a pack of the table whose base is there */
CREATE FUNCTION _nlp.pack_info(pack text, OUT tasks text, OUT languages text, OUT licence text)
    RETURNS SETOF record AS 'MODULE_PATHNAME', 'nlp_pg_pack_info' LANGUAGE C VOLATILE STRICT ROWS 1;
CREATE VIEW nlp_models AS
    WITH files AS (SELECT * FROM _nlp.models())
    SELECT * FROM files
    UNION ALL
    SELECT p.name, p.digest, p.base_digest, b.family, i.tasks, i.languages, i.licence, 'f32', 'table', '',
        CASE WHEN b.name IS NULL THEN 'its base ' || left(p.base_digest, 16) || ' is not in the model path' ELSE '' END,
        b.dims, b.max_tokens, length(p.bytes), NULL
    FROM _nlp.packs p LEFT JOIN files b ON b.digest = p.base_digest AND b.base_digest = ''
        LEFT JOIN LATERAL _nlp.pack_info(CASE WHEN b.name IS NOT NULL THEN p.name END) i ON true;
CREATE FUNCTION _nlp.stats(OUT calls bigint, OUT inputs bigint, OUT forward_passes bigint, OUT tokens bigint, OUT truncated bigint,
    OUT unknown_tokens bigint, OUT errors bigint, OUT canceled bigint) RETURNS SETOF record AS 'MODULE_PATHNAME', 'nlp_pg_stats' LANGUAGE C VOLATILE ROWS 1;
CREATE VIEW nlp_stats AS SELECT * FROM _nlp.stats();
CREATE FUNCTION _nlp.scratch_bytes() RETURNS bigint AS 'MODULE_PATHNAME', 'nlp_pg_scratch' LANGUAGE C VOLATILE;
/* weights that this backend has opened, and what its calls needed most beside them */
CREATE VIEW nlp_memory AS
    SELECT 'weights' AS kind, name, backing, bytes, processes FROM _nlp.models() WHERE backing <> ''
    UNION ALL SELECT 'scratch', '', 'private', _nlp.scratch_bytes(), 1;
GRANT SELECT ON nlp_models, nlp_stats, nlp_memory TO PUBLIC;
CREATE FUNCTION nlp_version() RETURNS text AS 'MODULE_PATHNAME', 'nlp_pg_version' LANGUAGE C STABLE PARALLEL SAFE;
CREATE FUNCTION nlp_build_info() RETURNS text AS 'MODULE_PATHNAME', 'nlp_pg_build_info' LANGUAGE C STABLE PARALLEL SAFE;
CREATE FUNCTION _nlp.task_names() RETURNS SETOF text AS 'MODULE_PATHNAME', 'nlp_pg_task_names' LANGUAGE C STABLE;
