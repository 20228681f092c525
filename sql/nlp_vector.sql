/* nlp_vector.sql: nlp_embed and nlp_embed_query as pgvector's type, so that no cast is needed: ORDER BY vec <=> nlp_vec_query('...'). The
 * bodies are bound to their functions when they are made, whatever the search path is, and are inlined, so rows run in batches. */

\echo Use "CREATE EXTENSION nlp_vector" to load this file. \quit

CREATE FUNCTION nlp_vec(text text, options jsonb DEFAULT '{}') RETURNS vector LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10000
    RETURN nlp_embed($1, $2)::vector;
CREATE FUNCTION nlp_vec(text text, model text, options jsonb DEFAULT '{}') RETURNS vector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10000
    RETURN nlp_embed($1, $2, $3)::vector;
CREATE FUNCTION nlp_vec_query(text text, options jsonb DEFAULT '{}') RETURNS vector LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10000
    RETURN nlp_embed_query($1, $2)::vector;
CREATE FUNCTION nlp_vec_query(text text, model text, options jsonb DEFAULT '{}') RETURNS vector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10000
    RETURN nlp_embed_query($1, $2, $3)::vector;
