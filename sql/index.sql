/* index.sql: semantic search in a table, behind nlp.sql in the install script. What an index is made of lies in the schema
 * nlp_index and belongs to the owner of the extension; the table's owner may read and write it, but not alter it, so that its
 * types and triggers are what stands here; _nlp.indexes says what belongs together. The public verbs are C and
 * check that the caller owns the table. What makes and drops objects is done with the rights of the extension's owner, by what
 * stands here; what reads and writes rows with those of the table's owner, whose triggers and types may do anything: pg_index_write.c. */

CREATE SCHEMA nlp_index;
GRANT USAGE ON SCHEMA nlp_index TO PUBLIC;

CREATE TABLE _nlp.indexes (
    relation regclass PRIMARY KEY,
    name name NOT NULL UNIQUE, /* of its tables: NAME_chunks, NAME_signatures, NAME_terms, NAME_queue, NAME_vectors */
    columns name[] NOT NULL,
    keys name[] NOT NULL,
    model text NOT NULL,
    digest text NOT NULL,
    dims int NOT NULL,
    max_tokens int NOT NULL,
    overlap int NOT NULL,
    config text NOT NULL, /* with its schema; as a regconfig it would stop pg_upgrade */
    mode text NOT NULL,
    storage text NOT NULL DEFAULT 'builtin', /* "pgvector": NAME_vectors has them as pgvector's type, with a graph */
    recall real, /* of signatures against all vectors, at 10; NULL: too few rows to measure */
    created timestamptz NOT NULL DEFAULT pg_catalog.now()
);
SELECT pg_catalog.pg_extension_config_dump('_nlp.indexes', '');
/* of a table or the topmost table of a partition; read on behalf of whoever searches or writes */
CREATE FUNCTION _nlp.read_index(wanted regclass) RETURNS SETOF _nlp.indexes
    LANGUAGE sql STABLE STRICT SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
    AS $$ SELECT i.* FROM _nlp.indexes i WHERE i.relation = wanted
        OR i.relation IN (SELECT a.relid FROM pg_partition_ancestors(wanted) a) $$;

/* ---- Verbs: (relation, ...), for its owner ---- */
CREATE FUNCTION nlp_index_create(relation regclass, columns name[], model text DEFAULT NULL, mode text DEFAULT 'sync', storage text DEFAULT 'auto', max_tokens int DEFAULT NULL,
    overlap int DEFAULT NULL, config regconfig DEFAULT 'english', keys name[] DEFAULT NULL) RETURNS bigint
    AS 'MODULE_PATHNAME', 'nlp_pg_index_verb' LANGUAGE C VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION nlp_index_create(relation regclass, column_name name, model text DEFAULT NULL, mode text DEFAULT 'sync', storage text DEFAULT 'auto', max_tokens int DEFAULT NULL,
    overlap int DEFAULT NULL, config regconfig DEFAULT 'english', keys name[] DEFAULT NULL) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    AS $$ SELECT @extschema@.nlp_index_create(relation, ARRAY[column_name], model, mode, storage, max_tokens, overlap, config, keys) $$;
/* rows that are not in the index, other than it knows them, or gone; then the statistics: how many were written */
CREATE FUNCTION nlp_index_refresh(relation regclass) RETURNS bigint
    AS 'MODULE_PATHNAME', 'nlp_pg_index_refresh' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
CREATE FUNCTION nlp_index_rebuild(relation regclass, model text DEFAULT NULL, storage text DEFAULT NULL) RETURNS bigint
    AS 'MODULE_PATHNAME', 'nlp_pg_index_rebuild' LANGUAGE C VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION nlp_index_drop(relation regclass) RETURNS boolean
    AS 'MODULE_PATHNAME', 'nlp_pg_index_verb' LANGUAGE C VOLATILE PARALLEL UNSAFE;
/* the next rows of the queue, at most n, together or, where that fails, one by one: whether there were any */
CREATE FUNCTION _nlp.index_step(relation regclass, n int) RETURNS boolean
    AS 'MODULE_PATHNAME', 'nlp_pg_index_step' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

/* ---- What they do, as the owner of the extension ---- */
CREATE FUNCTION _nlp.index_keys(relation regclass) RETURNS name[] LANGUAGE sql STABLE AS
    $$ SELECT array_agg(a.attname ORDER BY u.n) FROM pg_index x, unnest(x.indkey) WITH ORDINALITY u(attnum, n), pg_attribute a
       WHERE x.indrelid = relation AND x.indisprimary AND a.attrelid = relation AND a.attnum = u.attnum $$;

/* below a domain */
CREATE FUNCTION _nlp.index_key_type(type oid) RETURNS oid LANGUAGE sql STABLE AS
    $$ WITH RECURSIVE t AS (SELECT type AS oid UNION ALL SELECT p.typbasetype FROM t JOIN pg_type p ON p.oid = t.oid WHERE p.typtype = 'd')
       SELECT t.oid FROM t JOIN pg_type p ON p.oid = t.oid WHERE p.typtype <> 'd' $$;

/* What cannot be followed: looked for when an index is made, and when its table is altered. */
CREATE FUNCTION _nlp.index_check_table(relation regclass, hint text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    class pg_class := (SELECT c FROM pg_class c WHERE c.oid = relation);
    odd record;
BEGIN
    IF class.relkind NOT IN ('r', 'p') OR class.relpersistence <> 'p' THEN
        RAISE EXCEPTION 'an index of meanings stands on a table, and % is %', relation,
            CASE WHEN class.relpersistence = 't' THEN 'temporary' WHEN class.relpersistence = 'u' THEN 'unlogged' WHEN class.relkind = 'v' THEN 'a view' WHEN class.relkind = 'm' THEN 'a materialized view'
                WHEN class.relkind = 'f' THEN 'a foreign table: its changes cannot be followed' ELSE 'something else' END
            USING ERRCODE = '42809', HINT = coalesce(hint, 'tables and partitioned tables that are logged can have one');
    END IF;
    IF class.relispartition THEN
        RAISE EXCEPTION '% is a partition', relation USING ERRCODE = '42809', HINT = coalesce(hint, 'index the table that it is a part of');
    END IF;
    SELECT h.inhparent = relation AS is_parent, CASE relation WHEN h.inhparent THEN h.inhrelid ELSE h.inhparent END::regclass AS other INTO odd
        FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid WHERE relation IN (h.inhparent, h.inhrelid) AND NOT c.relispartition LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% inherits from %', CASE WHEN odd.is_parent THEN odd.other ELSE relation END, CASE WHEN odd.is_parent THEN relation ELSE odd.other END
            USING ERRCODE = '0A000', HINT = coalesce(hint, 'partitions can be followed, inheritance cannot');
    END IF;
    SELECT p.relid AS part, CASE c.relkind WHEN 'f' THEN 'a foreign table' ELSE 'an unlogged table' END AS kind INTO odd
        FROM pg_partition_tree(relation) p JOIN pg_class c ON c.oid = p.relid WHERE c.relkind = 'f' OR c.relpersistence <> 'p' LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% has % as a partition, %: its changes cannot be followed', relation, odd.kind, odd.part USING ERRCODE = '42809', HINT = coalesce(hint, format('ALTER TABLE ... DETACH PARTITION %s, or index the partitions that can be followed', odd.part));
    END IF;
END $$;

CREATE FUNCTION _nlp.index_check(relation regclass, columns name[], keys name[], mode text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    missing name := (SELECT u FROM unnest(columns || keys) u WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation
        AND a.attname = u AND a.attnum > 0 AND NOT a.attisdropped) LIMIT 1);
    odd record;
BEGIN
    PERFORM _nlp.index_check_table(relation);
    IF keys IS NULL THEN
        RAISE EXCEPTION '% has no primary key', relation USING ERRCODE = '42P16', HINT = format('ALTER TABLE %s ADD PRIMARY KEY (...); or name columns that are unique and not null: keys => ARRAY[...]', relation);
    END IF;
    IF cardinality(keys) > 8 OR cardinality(columns) NOT BETWEEN 1 AND 8 THEN
        RAISE EXCEPTION '% columns of text and % of the key were given; an index takes 1 to 8 of each', cardinality(columns), cardinality(keys) USING ERRCODE = '54000';
    END IF;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'column "%" of % does not exist', missing, relation USING ERRCODE = '42703';
    END IF;
    SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type INTO odd FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = ANY (columns)
        AND a.atttypid NOT IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "%" of % is of type %, not text', odd.attname, relation, odd.type USING ERRCODE = '42804';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = relation AND x.indisunique AND x.indisvalid AND x.indimmediate AND x.indpred IS NULL AND x.indexprs IS NULL
            AND (SELECT array_agg(a.attname ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum = ANY (x.indkey[0:x.indnkeyatts - 1]) AND a.attnotnull)
                = (SELECT array_agg(u ORDER BY u) FROM unnest(keys) u)) THEN
        RAISE EXCEPTION 'the key of % is not unique and not null: %', relation, array_to_string(keys, ', ') USING ERRCODE = '42P16',
            HINT = 'a primary key that is not deferrable, or a unique index over columns that are NOT NULL';
    END IF;
    SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type INTO odd FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = ANY (keys)
        AND _nlp.index_key_type(a.atttypid) >= 12000 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "%" of % is of type %: a key is of types that PostgreSQL brings', odd.attname, relation, odd.type USING ERRCODE = '0A000';
    END IF;
    IF mode NOT IN ('sync', 'async') OR mode IS NULL THEN
        RAISE EXCEPTION 'the mode is "sync" or "async", not "%"', mode USING ERRCODE = '22023';
    END IF;
    IF EXISTS (SELECT FROM _nlp.indexes i WHERE i.relation = index_check.relation) THEN
        RAISE EXCEPTION '% has an index of meanings already', relation USING ERRCODE = '42710', HINT = format('SELECT nlp_index_drop(%L)', relation);
    END IF;
END $$;

/* NAME, or NAME_2 ... where another table has that one; at most 40 bytes, so that suffixes fit */
CREATE FUNCTION _nlp.index_name(relation regclass) RETURNS name LANGUAGE sql AS
    $$ WITH short AS (SELECT left(c.relname::text, n) AS t FROM pg_class c, generate_series(40, 1, -1) n WHERE c.oid = relation AND octet_length(left(c.relname::text, n)) <= 40 ORDER BY n DESC LIMIT 1)
       SELECT n FROM generate_series(1, 100000) i, LATERAL (SELECT (t || CASE i WHEN 1 THEN '' ELSE '_' || i END)::name AS n FROM short) v
       WHERE NOT EXISTS (SELECT FROM _nlp.indexes x WHERE x.name = n) AND to_regclass(format('nlp_index.%I', n || '_chunks')) IS NULL ORDER BY i LIMIT 1 $$;

/* "k1 int NOT NULL, k2 text COLLATE ... NOT NULL": of the types below domains */
CREATE FUNCTION _nlp.index_typed_keys(relation regclass, keys name[]) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT string_agg(format('k%s %s%s NOT NULL', u.n, format_type(_nlp.index_key_type(a.atttypid), NULL),
           CASE WHEN a.attcollation <> 0 THEN (SELECT format(' COLLATE %I.%I', n.nspname, c.collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE c.oid = a.attcollation) ELSE '' END), ', ' ORDER BY u.n)
       FROM unnest(keys) WITH ORDINALITY u(key, n) JOIN pg_attribute a ON a.attrelid = relation AND a.attname = u.key $$;

CREATE FUNCTION _nlp.index_tables(relation regclass, name name, keys name[], queue boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    typed text := _nlp.index_typed_keys(relation, keys);
    key text := (SELECT string_agg('k' || n, ', ' ORDER BY n) FROM generate_series(1, cardinality(keys)) n);
    chunks text := format('nlp_index.%I', name || '_chunks');
    signatures text := format('nlp_index.%I', name || '_signatures');
    terms text := format('nlp_index.%I', name || '_terms');
    waiting text := format('nlp_index.%I', name || '_queue');
BEGIN
    EXECUTE format('CREATE TABLE %s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc bigint NOT NULL, %s, seq int NOT NULL,
        start_pos int NOT NULL, end_pos int NOT NULL, row_hash bigint NOT NULL, hash bigint NOT NULL, tsv tsvector NOT NULL, q8 bytea, UNIQUE (%s, seq))', chunks, typed, key);
    EXECUTE format('ALTER TABLE %s ALTER q8 SET STORAGE EXTERNAL', chunks);
    EXECUTE format('CREATE INDEX ON %s USING gin (tsv)', chunks);
    EXECUTE format('CREATE TABLE %s (id bigint PRIMARY KEY, signature bytea NOT NULL)', signatures);
    EXECUTE format('ALTER TABLE %s ALTER signature SET STORAGE PLAIN', signatures);
    /* the term '' stands for all: how many chunks there were, and their mean length */
    EXECUTE format('CREATE TABLE %s (term text PRIMARY KEY, df bigint NOT NULL, length double precision)', terms);
    IF queue THEN
        EXECUTE format('CREATE TABLE %s (%s, created timestamptz NOT NULL DEFAULT clock_timestamp(), attempts int NOT NULL DEFAULT 0,
            next_try timestamptz NOT NULL DEFAULT clock_timestamp(), last_error text)', waiting, typed);
        EXECUTE format('CREATE INDEX ON %s (next_try)', waiting);
    END IF;
END $$;

CREATE FUNCTION _nlp.index_parts(name name) RETURNS SETOF text LANGUAGE sql STABLE AS
    $$ SELECT t FROM (SELECT format('nlp_index.%I', name || u) AS t FROM unnest(ARRAY['_chunks', '_signatures', '_terms', '_queue', '_vectors']) u) v WHERE to_regclass(t) IS NOT NULL $$;
/* Rows, not definitions; to the table's owner alone. */
CREATE FUNCTION _nlp.index_grant(relation regclass, name name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    owner name := (SELECT r.rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = relation);
    part text;
    before record;
BEGIN
    FOR part IN SELECT _nlp.index_parts(name) UNION ALL SELECT pg_get_serial_sequence(format('nlp_index.%I', name || '_chunks'), 'id') LOOP
        FOR before IN SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
                WHERE c.oid = part::regclass AND a.grantee <> c.relowner AND r.rolname <> owner LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %I', part, before.rolname);
        END LOOP;
    END LOOP;
    FOR part IN SELECT _nlp.index_parts(name) LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON %s TO %I', part, owner);
    END LOOP;
    EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %I', pg_get_serial_sequence(format('nlp_index.%I', name || '_chunks'), 'id'), owner);
END $$;

CREATE FUNCTION _nlp.index_changed() RETURNS trigger AS 'MODULE_PATHNAME', 'nlp_pg_index_changed' LANGUAGE C;
/* A table, or a partition of one. A statement fires those of the table that it names, so each has its own. */
CREATE FUNCTION _nlp.index_triggers(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    event record;
BEGIN
    FOR event IN SELECT * FROM (VALUES ('insert', 'REFERENCING NEW TABLE AS nlp_new'), ('update', 'REFERENCING OLD TABLE AS nlp_old NEW TABLE AS nlp_new'),
            ('delete', 'REFERENCING OLD TABLE AS nlp_old'), ('truncate', '')) v(name, tables) LOOP
        IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'nlp_index_' || event.name) THEN
            EXECUTE format('CREATE TRIGGER nlp_index_%s AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION _nlp.index_changed()',
                event.name, event.name, relation, event.tables);
        END IF;
    END LOOP;
END $$;

/* ---- Storage "pgvector": never required, looked for by name when it is wanted ---- */
CREATE FUNCTION _nlp.index_q8_steps(q8 bytea) RETURNS real[] AS 'MODULE_PATHNAME', 'nlp_pg_index_q8_steps' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
/* With its schema: halfvec, half as large and no less exact for whole numbers of 8 bits, where pgvector has it, else vector. */
CREATE FUNCTION _nlp.index_vector_type(dims int) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    type record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') THEN
        RAISE EXCEPTION 'storage "pgvector" needs the extension vector, which this database does not have' USING ERRCODE = '42704',
            HINT = 'CREATE EXTENSION vector, or storage => ''builtin'', which needs nothing';
    END IF;
    SELECT t.typname, e.extversion, format('%I.%I', n.nspname, t.typname) AS whole, CASE t.typname WHEN 'halfvec' THEN 4000 ELSE 2000 END AS most INTO type
        FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' AND d.classid = 'pg_type'::regclass
            JOIN pg_type t ON t.oid = d.objid AND t.typname IN ('halfvec', 'vector') JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE e.extname = 'vector' ORDER BY t.typname LIMIT 1;
    IF NOT EXISTS (SELECT FROM pg_am WHERE amname = 'hnsw') THEN
        RAISE EXCEPTION 'storage "pgvector" needs HNSW, which the extension vector has since 0.5.0, and this is %', type.extversion USING ERRCODE = '0A000', HINT = 'ALTER EXTENSION vector UPDATE, or storage => ''builtin''';
    END IF;
    IF dims > type.most THEN
        RAISE EXCEPTION 'a vector of the model has % numbers, and HNSW over % takes % at most', dims, type.typname, type.most USING ERRCODE = '54000', HINT = 'storage => ''builtin'' takes all';
    END IF;
    RETURN type.whole;
END $$;

/* what is meant by what was asked for, if it can be had */
CREATE FUNCTION _nlp.index_storage(wanted text, dims int) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF wanted NOT IN ('auto', 'builtin', 'pgvector') OR wanted IS NULL THEN
        RAISE EXCEPTION 'the storage is "auto", "builtin" or "pgvector", not "%"', wanted USING ERRCODE = '22023';
    END IF;
    IF wanted = 'pgvector' THEN
        PERFORM _nlp.index_vector_type(dims);
    END IF;
    RETURN CASE wanted WHEN 'auto' THEN 'builtin' ELSE wanted END;
END $$;

/* Makes the graph of what is in the index, or takes it away; all else stays as it is. */
CREATE FUNCTION _nlp.index_set_storage(relation regclass, storage text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    index record;
    vectors text;
    type text;
    version int[] := (SELECT string_to_array(substring(extversion FROM '^[0-9]+(?:[.][0-9]+)*'), '.')::int[] FROM pg_extension WHERE extname = 'vector');
BEGIN
    UPDATE _nlp.indexes i SET storage = index_set_storage.storage WHERE i.relation = index_set_storage.relation RETURNING i.name, i.dims INTO index;
    vectors := format('nlp_index.%I', index.name || '_vectors');
    IF to_regclass(vectors) IS NOT NULL THEN
        EXECUTE 'DROP TABLE ' || vectors;
    END IF;
    IF storage = 'builtin' THEN
        RETURN;
    END IF;
    type := _nlp.index_vector_type(index.dims);
    IF version < '{0,8,2}' THEN
        PERFORM set_config('max_parallel_maintenance_workers', '0', true); /* whose parallel build may write past its memory */
    END IF;
    IF version < '{0,8,4}' THEN
        RAISE NOTICE 'pgvector %: 0.8.4 and later mend faults of its HNSW indexes', array_to_string(version, '.');
    END IF;
    EXECUTE format('CREATE TABLE %s (id bigint PRIMARY KEY, emb %s(%s) NOT NULL)', vectors, type, index.dims);
    EXECUTE format('INSERT INTO %s SELECT id, _nlp.index_q8_steps(q8)::%s FROM nlp_index.%I WHERE q8 IS NOT NULL', vectors, type, index.name || '_chunks');
    EXECUTE format('CREATE INDEX ON %s USING hnsw (emb %s_cosine_ops)', vectors, type);
    PERFORM _nlp.index_grant(relation, index.name);
END $$;

/* Keys that are not one integer need a function whose rows have their types. */
CREATE FUNCTION _nlp.index_typed_search(relation regclass, name name, keys name[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    typed text := (SELECT string_agg(format('%I %s', a.attname, format_type(_nlp.index_key_type(a.atttypid), NULL)), ', ' ORDER BY u.n)
        FROM unnest(keys) WITH ORDINALITY u(key, n) JOIN pg_attribute a ON a.attrelid = relation AND a.attname = u.key)
        || ', score real, snippet text, start_pos int, end_pos int, dense_rank int, text_rank int';
    body text := format('SELECT * FROM @extschema@.nlp_search_rows(%L::regclass, query, k, mode, filter, rerank, options) AS s(%s)', relation, typed);
BEGIN
    EXECUTE format('CREATE FUNCTION nlp_index.%I(query text, k int DEFAULT 10, mode text DEFAULT ''hybrid'', filter text DEFAULT NULL, rerank text DEFAULT NULL, options jsonb DEFAULT ''{}'')
        RETURNS TABLE(%s) LANGUAGE sql STABLE AS %L', 'nlp_search_' || name, typed, body);
END $$;

CREATE FUNCTION _nlp.index_create(relation regclass, columns name[], model text, mode text, storage text, max_tokens int, overlap int, config regconfig, keys name[]) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    key name[] := coalesce(keys, _nlp.index_keys(relation));
    used text := coalesce(model, nullif(current_setting('nlp.embed_model', true), ''), 'minilm');
    kept text;
    name name := _nlp.index_name(relation);
    room int;
    most int;
    shared int;
    n bigint;
BEGIN
    PERFORM _nlp.index_check(relation, columns, key, mode);
    room := (SELECT d.room FROM _nlp.index_model(used) d);
    most := coalesce(max_tokens, least(256, room));
    shared := coalesce(overlap, least(32, most / 8));
    IF most NOT BETWEEN 1 AND room OR shared NOT BETWEEN 0 AND most - 1 THEN
        RAISE EXCEPTION 'max_tokens is %, overlap %: % has room for % tokens, and the overlap is less than they', most, shared, used, room USING ERRCODE = '22023';
    END IF;
    kept := (SELECT _nlp.index_storage(storage, d.dims) FROM _nlp.index_model(used) d);
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
    PERFORM _nlp.index_tables(relation, name, key, mode = 'async');
    PERFORM _nlp.index_grant(relation, name);
    INSERT INTO _nlp.indexes (relation, name, columns, keys, model, digest, dims, max_tokens, overlap, config, mode)
        SELECT relation, name, columns, key, used, d.digest, d.dims, most, shared, c.whole, mode FROM _nlp.index_model(used) d,
            (SELECT format('%I.%I', n.nspname, t.cfgname) AS whole FROM pg_ts_config t JOIN pg_namespace n ON n.oid = t.cfgnamespace WHERE t.oid = config) c;
    PERFORM _nlp.index_triggers(t.part) FROM (SELECT relation AS part UNION SELECT p.relid FROM pg_partition_tree(relation) p) t;
    IF NOT (cardinality(key) = 1 AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = key[1]
            AND a.atttypid IN ('smallint'::regtype, 'int'::regtype, 'bigint'::regtype))) THEN
        PERFORM _nlp.index_typed_search(relation, name, key);
    END IF;
    IF mode = 'async' THEN
        PERFORM _nlp.index_set_storage(relation, kept);
        RETURN _nlp.index_queue_all(relation);
    END IF;
    n := @extschema@.nlp_index_refresh(relation);
    PERFORM _nlp.index_set_storage(relation, kept); /* a graph of all vectors at once takes a fraction of the time */
    RETURN n;
END $$;

CREATE FUNCTION _nlp.index_queue_all(relation regclass) RETURNS bigint AS 'MODULE_PATHNAME', 'nlp_pg_index_queue_all' LANGUAGE C STRICT;
/* room: tokens that a chunk may have beside special ones and a prompt */
CREATE FUNCTION _nlp.index_model(model text, OUT digest text, OUT dims int, OUT room int) AS 'MODULE_PATHNAME', 'nlp_pg_index_model' LANGUAGE C STRICT;
CREATE FUNCTION _nlp.index_drop_parts(name name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT _nlp.index_parts(name) LOOP
        EXECUTE 'DROP TABLE ' || part;
    END LOOP;
    FOR part IN SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'nlp_index'::regnamespace AND p.proname = 'nlp_search_' || name LOOP
        EXECUTE 'DROP FUNCTION ' || part;
    END LOOP;
END $$;
CREATE FUNCTION _nlp.index_drop_triggers(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT t.tgname, t.tgrelid::regclass AS part FROM pg_trigger t WHERE t.tgfoid = '_nlp.index_changed'::regproc
            AND (t.tgrelid = relation OR t.tgrelid IN (SELECT p.relid FROM pg_partition_tree(relation) p)) LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', made.tgname, made.part);
    END LOOP;
END $$;
CREATE FUNCTION _nlp.index_drop(relation regclass) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    gone name;
BEGIN
    DELETE FROM _nlp.indexes i WHERE i.relation = index_drop.relation RETURNING i.name INTO gone;
    IF gone IS NULL THEN
        RAISE EXCEPTION '% has no index of meanings', relation USING ERRCODE = '42704';
    END IF;
    PERFORM _nlp.index_drop_triggers(relation);
    PERFORM _nlp.index_drop_parts(gone);
    RETURN true;
END $$;

/* How often terms are, for weights: of words, so an hour or a tenth of the rows ago is as good as now. */
CREATE FUNCTION _nlp.index_statistics(name name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DELETE FROM nlp_index.%I', name || '_terms');
    EXECUTE format('INSERT INTO nlp_index.%I SELECT word, ndoc, NULL FROM ts_stat(%L) WHERE word <> '''' AND word NOT LIKE ''=%%'' UNION ALL
            SELECT '''', count(*), coalesce(avg(_nlp.tsvector_length(tsv)), 0) FROM nlp_index.%I',
        name || '_terms', format('SELECT tsv FROM nlp_index.%I', name || '_chunks'), name || '_chunks');
END $$;

/* ---- The queue of mode async ---- */
/* In batches that are committed. */
CREATE PROCEDURE nlp_index_run(relation regclass, max_seconds double precision DEFAULT 60) LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := clock_timestamp() + max_seconds * interval '1 s';
BEGIN
    WHILE clock_timestamp() < until AND _nlp.index_step(relation, 64) LOOP
        COMMIT;
    END LOOP;
    COMMIT;
END $$;

/* for the worker: what waits, and for how many seconds still */
CREATE FUNCTION _nlp.due_indexes(OUT relation text, OUT wait double precision) RETURNS SETOF record LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    index record;
BEGIN
    FOR index IN SELECT i.relation AS table_name, i.name FROM _nlp.indexes i JOIN pg_class c ON c.oid = i.relation WHERE i.mode = 'async' LOOP
        EXECUTE format('SELECT extract(epoch FROM min(next_try) - clock_timestamp()) FROM nlp_index.%I WHERE next_try < ''infinity''', index.name || '_queue') INTO wait;
        relation := index.table_name;
        IF wait IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

/* ---- Search ---- */
CREATE FUNCTION nlp_search(relation regclass, query text, k int DEFAULT 10, mode text DEFAULT 'hybrid', filter text DEFAULT NULL, rerank text DEFAULT NULL, options jsonb DEFAULT '{}',
    OUT id bigint, OUT score real, OUT snippet text, OUT start_pos int, OUT end_pos int, OUT dense_rank int, OUT text_rank int) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'nlp_pg_search' LANGUAGE C STABLE PARALLEL UNSAFE COST 100000 ROWS 10;
/* the same with the key's own columns: FROM nlp_search_rows('docs', 'q') AS s(id uuid, score real, snippet text, start_pos int, end_pos int, dense_rank int, text_rank int) */
CREATE FUNCTION nlp_search_rows(relation regclass, query text, k int DEFAULT 10, mode text DEFAULT 'hybrid', filter text DEFAULT NULL, rerank text DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS SETOF record AS 'MODULE_PATHNAME', 'nlp_pg_search' LANGUAGE C STABLE PARALLEL UNSAFE COST 100000 ROWS 10;
CREATE FUNCTION _nlp.tsvector_length(tsvector) RETURNS int AS 'MODULE_PATHNAME', 'nlp_pg_tsvector_length' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

/* ---- What is there: of tables whose owner one is ---- */
/* counted with the rights of the table's owner, whoever asks */
CREATE FUNCTION _nlp.index_rows(relation regclass) RETURNS bigint AS 'MODULE_PATHNAME', 'nlp_pg_index_rows' LANGUAGE C STABLE STRICT;
CREATE FUNCTION _nlp.index_numbers(relation regclass, name name, OUT rows_total bigint, OUT rows_indexed bigint, OUT chunks bigint, OUT pending bigint, OUT failed bigint, OUT dead bigint,
    OUT oldest timestamptz, OUT last_error text, OUT bytes bigint) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    rows_total := _nlp.index_rows(relation);
    EXECUTE format('SELECT count(*) FILTER (WHERE seq = 0), count(q8) FROM nlp_index.%I', name || '_chunks') INTO rows_indexed, chunks;
    bytes := (SELECT sum(pg_total_relation_size(p::regclass)) FROM _nlp.index_parts(name) p);
    IF to_regclass(format('nlp_index.%I', name || '_queue')) IS NOT NULL THEN
        EXECUTE format('SELECT count(*), count(*) FILTER (WHERE attempts > 0), count(*) FILTER (WHERE next_try = ''infinity''), min(created),
            (array_agg(last_error ORDER BY next_try DESC) FILTER (WHERE last_error IS NOT NULL))[1] FROM nlp_index.%I', name || '_queue') INTO pending, failed, dead, oldest, last_error;
    ELSE
        pending := greatest(rows_total - rows_indexed, 0);
    END IF;
END $$;
CREATE VIEW nlp_index_status WITH (security_barrier) AS
    SELECT i.relation, i.columns, i.keys, i.model, i.digest, m.digest IS DISTINCT FROM i.digest AS drift, i.mode, i.storage, i.dims, i.recall, s.rows_total, s.rows_indexed,
        round(100.0 * s.rows_indexed / nullif(s.rows_total, 0), 1) AS coverage, s.chunks, s.pending, s.failed, s.dead, s.oldest, s.last_error,
        (SELECT a.pid FROM pg_stat_activity a WHERE a.datname = current_database() AND a.backend_type = 'nlp index worker' LIMIT 1) AS worker, s.bytes, i.created
    FROM _nlp.indexes i JOIN pg_class c ON c.oid = i.relation AND pg_has_role(c.relowner, 'USAGE') LEFT JOIN LATERAL _nlp.index_numbers(i.relation, i.name) s ON true
        LEFT JOIN @extschema@.nlp_models m ON m.name = split_part(i.model, '@', 1);
GRANT SELECT ON nlp_index_status TO PUBLIC;

/* ---- Following the table: its name, columns, owner and partitions ---- */
CREATE FUNCTION _nlp.index_altered() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    command record;
    index record;
BEGIN
    FOR command IN SELECT c.objid, c.objsubid FROM pg_event_trigger_ddl_commands() c WHERE c.classid = 'pg_class'::regclass LOOP
        /* it, what it is a part or a child of, and its parts */
        PERFORM _nlp.index_check_table(i.relation, format('SELECT nlp_index_drop(%L) first', i.relation)) FROM _nlp.indexes i
            WHERE i.relation = command.objid OR i.relation IN (SELECT a.relid FROM pg_partition_ancestors(command.objid) a UNION ALL SELECT p.relid FROM pg_partition_tree(command.objid) p
                UNION ALL SELECT h.inhparent FROM pg_inherits h WHERE h.inhrelid = command.objid);
        FOR index IN SELECT i.* FROM _nlp.indexes i WHERE i.relation = command.objid LOOP
            IF command.objsubid > 0 THEN /* the one name that is no more is the old one of this column */
                UPDATE _nlp.indexes i SET columns = array_replace(i.columns, u.name, a.attname), keys = array_replace(i.keys, u.name, a.attname)
                    FROM pg_attribute a, unnest(index.columns || index.keys) u(name)
                    WHERE i.relation = index.relation AND a.attrelid = index.relation AND a.attnum = command.objsubid
                        AND NOT EXISTS (SELECT FROM pg_attribute b WHERE b.attrelid = index.relation AND b.attname = u.name AND NOT b.attisdropped);
            END IF;
            IF EXISTS (SELECT FROM pg_class c, pg_class k WHERE c.oid = index.relation AND k.oid = to_regclass(format('nlp_index.%I', index.name || '_chunks'))
                    AND (NOT has_table_privilege(c.relowner, k.oid, 'TRUNCATE') OR EXISTS (SELECT FROM aclexplode(k.relacl) a WHERE a.grantee NOT IN (c.relowner, k.relowner)))) THEN
                PERFORM _nlp.index_grant(index.relation, index.name);
            END IF;
        END LOOP;
        /* fewer than four on the table itself: a dump is being restored, which brings them */
        PERFORM _nlp.index_triggers(p.relid) FROM _nlp.indexes i, pg_partition_tree(i.relation) p
            WHERE (i.relation = command.objid OR i.relation IN (SELECT a.relid FROM pg_partition_ancestors(command.objid) a))
                AND (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = i.relation AND t.tgfoid = '_nlp.index_changed'::regproc) = 4;
    END LOOP;
END $$;
CREATE EVENT TRIGGER nlp_index_altered ON ddl_command_end WHEN TAG IN ('ALTER TABLE', 'CREATE TABLE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE SCHEMA') EXECUTE FUNCTION _nlp.index_altered();

CREATE FUNCTION _nlp.index_dropped() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone record;
BEGIN
    IF to_regclass('_nlp.indexes') IS NULL THEN
        RETURN; /* the extension itself goes */
    END IF;
    FOR gone IN DELETE FROM _nlp.indexes i USING pg_event_trigger_dropped_objects() o
            WHERE o.classid = 'pg_class'::regclass AND o.objid = i.relation AND (o.objsubid = 0 OR o.address_names[array_length(o.address_names, 1)] = ANY (i.columns || i.keys))
            RETURNING i.relation, i.name, o.objsubid LOOP
        PERFORM _nlp.index_drop_parts(gone.name);
        IF gone.objsubid > 0 THEN
            RAISE NOTICE 'the index of meanings on % is dropped with its column', gone.relation;
            PERFORM _nlp.index_drop_triggers(gone.relation);
        END IF;
    END LOOP;
END $$;
CREATE EVENT TRIGGER nlp_index_dropped ON sql_drop EXECUTE FUNCTION _nlp.index_dropped();

REVOKE ALL ON FUNCTION _nlp.index_create(regclass, name[], text, text, text, int, int, regconfig, name[]), _nlp.index_drop(regclass), _nlp.index_set_storage(regclass, text), _nlp.index_queue_all(regclass), _nlp.due_indexes(), _nlp.index_altered(), _nlp.index_dropped() FROM PUBLIC;
