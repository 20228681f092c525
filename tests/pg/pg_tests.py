"""The SQL surface of PostgreSQL through a real server: every overload, errors, cancel, sharing. Run by tests/pg/run."""
import json
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import BIN, BUILD, MODELS, NLP, PSQL, SOCKET, fails, is_true, psql, value  # noqa: E402
from harness import ROOT, check, finish, json_lines, run, task_packs  # noqa: E402

def setup():
    psql("CREATE DATABASE test", "postgres")
    task_packs(NLP, MODELS)
    check("CREATE EXTENSION", value("CREATE EXTENSION nlp") == "", value("SELECT nlp_version()"))


def check_overloads():
    """tests/pg/regress: every overload against its expected output, by PostgreSQL's own runner."""
    work = os.path.join(os.path.dirname(SOCKET), "regress")
    os.makedirs(work, exist_ok=True)
    pgxs = subprocess.run(["pg_config", "--pgxs"], capture_output=True, text=True).stdout.strip()
    runner = os.path.join(os.path.dirname(pgxs), "..", "test", "regress", "pg_regress")
    code, out, err = run([runner, f"--inputdir={ROOT}/tests/pg/regress", f"--outputdir={work}", f"--bindir={BIN}", f"--host={SOCKET}",
                          "--user=postgres", "--dbname=regress", "--load-extension=nlp", "overloads"])
    if os.environ.get("NLP_REGRESS_UPDATE"):  # read the difference before you commit it
        shutil.copy(os.path.join(work, "results", "overloads.out"), os.path.join(ROOT, "tests/pg/regress/expected"))
    difference = os.path.join(work, "regression.diffs")
    if os.path.exists(difference):
        with open(difference, encoding="utf-8") as file:
            print(file.read())
    check("pg_regress: every overload", code == 0, (out + err)[-300:] if code else "")


def check_forms():
    """What the regress file leaves out: many texts, plans."""
    is_true("nlp_embed(array) = nlp_embed(x), to the bit", "(SELECT bool_and(embedding = nlp_embed(t)) FROM (SELECT array_agg('text ' || i) a FROM generate_series(1, 64) i) s, nlp_embed(a) WITH ORDINALITY e, LATERAL (SELECT a[e.ord] t) x)")
    is_true("''", "array_length(nlp_embed(''), 1) = 384 AND nlp_token_count('') = 2 AND nlp_sentiment('') IS NOT NULL")
    is_true("views", "nlp_embed('x') IS NOT NULL AND EXISTS (SELECT FROM nlp_models WHERE name = 'minilm' AND backing = 'shm') AND (SELECT forward_passes > 0 FROM nlp_stats)")
    is_true("nlp_models: all that a model can run, and its languages", "(SELECT tasks = 'embed,similarity,answer,zero_shot,rerank,summarize,chunk,filter' AND languages = 'en' FROM nlp_models WHERE name = 'minilm')")
    check("nlp_stats counts unknown tokens", value("SELECT nlp_embed('runes \u16a0') IS NOT NULL; SELECT unknown_tokens FROM nlp_stats").splitlines() == ["t", "1"])
    check("prepared, custom and generic plan", value("PREPARE p(text) AS SELECT nlp_sentiment($1); EXECUTE p('I love it'); SET plan_cache_mode = force_generic_plan; EXECUTE p('I hate it');") == "positive\nnegative")


def check_same_bits():
    cli = json.loads(run([NLP, "embed", "--json"], '{"text": "the same bits"}\n', {"NLP_MODEL_PATH": MODELS})[1])["embedding"]
    sql = value("SELECT nlp_embed('the same bits')").strip("{}").split(",")
    import struct
    check("PostgreSQL = command line, to the bit", [struct.pack("<f", float(x)) for x in sql] == [struct.pack("<f", x) for x in cli])


def check_heads():
    """Rows of the tasks over heads are those of the command line."""
    text = "Marie Curie worked in Paris for many years. " * 6
    cli = json_lines(NLP, ["entities", "-m", "ner"], [{"text": text}], {"NLP_MODEL_PATH": MODELS})[0]["entities"]
    rows = value(f"SELECT label, start_pos - 1, end_pos, entity FROM nlp_entities('{text}', 'ner')").splitlines()
    check("nlp_entities of a long text = command line", cli and rows == [f"{e['label']}|{e['start']}|{e['end']}|{e['text']}" for e in cli], rows[:3])
    is_true("a place in characters cuts the entity out of the text", "bool_and(substr(t, start_pos, end_pos - start_pos + 1) = entity) FROM (SELECT 'Zürich, IBM: São Paulo' t) s, nlp_entities(t, 'ner')")
    check("a setting names the model", value("SET nlp.answer_model = 'qa'; SELECT nlp_answer('When?', 'No date is given.') = nlp_answer('When?', 'No date is given.', 'qa')") == "t")
    text = "Zürich is big. Ávila is old. " * 40
    cli = json_lines(NLP, ["chunk", "--max-tokens", "50", "--overlap", "9"], [{"text": text}], {"NLP_MODEL_PATH": MODELS})[0]["chunks"]
    rows = value(f"SELECT start_pos - 1, end_pos, tokens, chunk FROM nlp_chunk('{text}', 50, 9)").splitlines()
    check("nlp_chunk of a long text = command line", len(cli) > 5 and rows == [f"{c['start']}|{c['end']}|{c['tokens']}|{c['text']}" for c in cli], rows[:3])
    is_true("a chunk is what its places cut out of the text", f"bool_and(substr(t, start_pos, end_pos - start_pos + 1) = chunk AND tokens = nlp_token_count(chunk, options => '{{\"special_tokens\": false}}')) FROM (SELECT '{text}' t) s, nlp_chunk(t, 50, 9)")
    is_true("the overlap follows from max_tokens", "(SELECT count(*) FROM nlp_chunk(repeat('one two three. ', 40), 32)) = (SELECT count(*) FROM nlp_chunk(repeat('one two three. ', 40), 32, 4))")
    is_true("NULL has no chunks", "NOT EXISTS (SELECT FROM nlp_chunk(NULL)) AND NOT EXISTS (SELECT FROM nlp_chunk('x', NULL::text)) AND NOT EXISTS (SELECT FROM nlp_chunk('x', options => NULL))")
    fails("an overlap as large as the chunk", "SELECT * FROM nlp_chunk('x', 32, options => '{\"overlap\": 32}')", "22023", "overlap is 32", "max_tokens, which is 32")
    fails("chunks by something else", "SELECT * FROM nlp_chunk('x', by => 'page')", "22023", "sentence|paragraph|token")
    fails("a task without a starter model", "SELECT nlp_answer('Who?', 'He.')", "42704", "nlp_answer", "nlp import", "answer_model")
    fails("a model of another kind", "SELECT * FROM nlp_entities('x', 'qa')", "0A000", "qa is no model for entities")
    fails("no mask", "SELECT * FROM nlp_fill_mask('x', 'mlm')", "22023", "[MASK]")
    fails("no labels", "SELECT nlp_classify('x', '{}'::text[], 'nli')", "22023", "empty")
    fails("a label that is NULL", "SELECT nlp_classify('x', ARRAY['a', NULL], 'nli')", "22023", "NULL")
    fails("a hypothesis without {}", "SELECT nlp_classify('x', ARRAY['a'], 'nli', '{\"hypothesis\": \"this\"}')", "22023", "hypothesis", "{}")
    fails("no model of inference", "SELECT nlp_classify('x', ARRAY['a'], 'sentiment')", "0A000", "entailment", "one that writes")
    fails("a label that is NULL, by similarity", "SELECT nlp_classify('x', ARRAY['a', NULL])", "22023", "NULL")
    fails("no labels, by similarity", "SELECT nlp_classify('x', '{}'::text[])", "22023", "empty")
    fails("a hypothesis without {}, by similarity", "SELECT nlp_classify('x', ARRAY['a'], options => '{\"hypothesis\": \"this\"}')", "22023", "hypothesis", "{}")
    fails("ten thousand labels can be stopped", "SET statement_timeout = '200ms'; SELECT count(*) FROM nlp_classify_scores('x', ARRAY(SELECT 'label ' || i FROM generate_series(1, 10000) i))", "57014")
    text, labels = "I want my money back", ["refund", "shipping", "refund"]
    cli = json_lines(NLP, ["classify"], [{"text": text, "labels": labels}], {"NLP_MODEL_PATH": MODELS})[0]
    rows = [r.split("|") for r in value(f"SELECT label, score FROM nlp_classify_scores('{text}', ARRAY{labels})").splitlines()]
    check("labels by similarity = command line, a label given twice has two rows", [r[0] for r in rows] == ["refund", "refund", "shipping"] and all(abs(float(r[1]) - cli["scores"][r[0]]) < 1e-6 for r in rows), (rows, cli))
    is_true("an answer by similarity", "nlp_answer('When does it open?', 'We sell bread. The shop opens at seven. Parking is free.', 'minilm', '{\"sentence\": true}') = 'The shop opens at seven.'")
    fails("a threshold out of range", "SELECT nlp_filter('x', 'y', 1.5)", "22023", "threshold", "0 to 1")
    fails("a condition needs a model that can judge", "SELECT nlp_filter('x', 'y', 'sentiment')", "0A000", "entailment", "conditions")
    fails("no reranker", "SELECT nlp_rerank_score('x', 'y', 'mlm')", "0A000", "mlm is no reranker")
    fails("k out of range", "SELECT * FROM nlp_fill_mask('a [MASK]', 'mlm', k => 0)", "22023", "\"k\"")
    fails("an unknown option", "SELECT nlp_answer('x', 'y', 'qa', '{\"top\": 1}')", "22023", "top", "max_answer_tokens")


def check_day_one():
    psql("CREATE TABLE reviews(id int, body text);\n\\copy reviews FROM '%s'" % os.path.join(ROOT, "examples/reviews/reviews.tsv"))
    check("GROUP BY nlp_sentiment", value("SELECT count(*) FROM (SELECT nlp_sentiment(body), count(*) FROM reviews GROUP BY 1) x") == "2")
    check("a stored generated column", value("ALTER TABLE reviews ADD emb real[] GENERATED ALWAYS AS (nlp_embed(body, 'minilm')) STORED; SELECT count(emb) FROM reviews") == "400")
    check("WHERE nlp_filter runs last", value("SELECT count(*) FROM reviews WHERE nlp_filter(body, 'the battery') AND id < 40; SELECT inputs <= 40 FROM nlp_stats").endswith("\nt"))
    check("an index by expression", value("CREATE INDEX ON reviews (nlp_sentiment(body, 'sentiment')); SELECT count(*) > 100 FROM reviews WHERE nlp_sentiment(body, 'sentiment') = 'positive'") == "t")
    out = value("SELECT count(*) FROM (SELECT id FROM reviews ORDER BY nlp_cosine(emb, nlp_embed_query('battery life')) DESC LIMIT 5) x; SELECT forward_passes FROM nlp_stats")
    check("a query vector is one forward pass", out == "5\n1", out)
    parallel = "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; "
    plan = value(parallel + "EXPLAIN (COSTS off) SELECT count(*) FROM reviews WHERE nlp_sentiment(body) = 'positive'")
    check("parallel workers", "Gather" in plan and value(parallel + "SELECT count(*) FROM reviews WHERE nlp_sentiment(body) = 'positive'") == value("SELECT count(*) FROM reviews WHERE nlp_sentiment(body) = 'positive'"), plan)


def check_bad_input():
    fails("unknown model", "SELECT nlp_embed('x', 'nosuch')", "42704", "nosuch", "nlp.model_path", "nlp pull nosuch")
    fails("options without their name", "SELECT nlp_embed('x', '{\"k\": 1}')", "42704", "options =>")
    fails("a path", "SELECT nlp_embed('x', '/etc/passwd')", "42704")
    fails("unknown option", "SELECT nlp_embed('x', options => '{\"bogus\": 1}')", "22023", "bogus", "on_overflow")
    fails("wrong type", "SELECT nlp_embed('x', options => '{\"normalize\": \"yes\"}')", "22023", "true or false")
    fails("out of range", "SELECT nlp_embed('x', options => '{\"dimensions\": -3}')", "22023", "-3")
    fails("options that are an array", "SELECT nlp_embed('x', options => '[1]')", "22023", "object")
    fails("over the limit", "SELECT nlp_embed(repeat('word ', 300), options => '{\"on_overflow\": \"error\"}')", "54000", "302", "256", "chunk")
    fails("NaN", "SELECT nlp_cosine('{NaN,1}', '{1,1}')", "22023", "NaN")
    fails("unequal lengths", "SELECT nlp_cosine('{1}', '{1,2}')", "22023", "1 and 2")
    fails("a vector with NULL", "SELECT nlp_cosine('{1,NULL}', '{1,2}')", "22023")
    fails("two dimensions", "SELECT nlp_cosine('{{1},{2}}', '{1,2}')", "22023")
    fails("a token id out of range", "SELECT nlp_detokenize('{-1}')", "22023", "-1")
    fails("no head", "SELECT nlp_classify('x', 'minilm')", "0A000", "no classifier", "nlp_fit")
    fails("a backend with other bits where the model is named", "SET nlp.backend = 'openblas'; SELECT nlp_embed('x', 'minilm')", "22023")
    for threads in ("0", "-1", "10000"):
        fails(f"nlp.threads = {threads}", f"SELECT nlp_version(); SET nlp.threads = {threads}", "22023")
    fails("a setting of superusers", "SELECT nlp_version(); SET nlp.max_memory = '2GB'", "42501", user="plain")
    fails("memory", "SET nlp.max_memory = '1MB'; SELECT nlp_embed(repeat('word ', 200))", "53200", "1048576")
    fails("a model that is not allowed", "SET nlp.allowed_models = 'other'; SELECT nlp_embed('x', 'minilm')", "42501", "allowed")
    fails("the model path in SQL", "SELECT nlp_version(); SET nlp.model_path = '/tmp'", "55P02")
    out, err = psql("SELECT array_length(nlp_embed(repeat('word ', 300) || i), 1) FROM generate_series(1, 3) i")
    check("truncation: one WARNING a statement", out == "384\n384\n384" and err.count("WARNING") == 1, err)
    check("on_overflow by a setting, not where the model is named", "54000" in psql("SET nlp.on_overflow = 'error'; SELECT nlp_embed(repeat('word ', 300))")[1] and value("SET nlp.on_overflow = 'error'; SELECT array_length(nlp_embed(repeat('word ', 300), 'minilm'), 1)").startswith("384"))
    log = open(os.path.join(SOCKET, "server.log"), encoding="utf-8", errors="replace").read()
    check("no row text in messages of the server", "word word" not in re.sub(r"STATEMENT:.*", "", log))


def check_evaluate():
    """The head intents, which tells money from access, over the rows of t."""
    check("nlp_evaluate of a head in the database", value("SELECT value FROM nlp_evaluate('intents', 'SELECT body, label FROM t') WHERE metric IN ('accuracy', 'rows', 'support:money') ORDER BY metric") == "1\n60\n30")
    check("in batches, with confusions", value("SELECT metric, value FROM nlp_evaluate('intents', 'SELECT body, ''money''::text FROM t, generate_series(1, 10)') WHERE metric LIKE 'confusion%' OR metric = 'accuracy'") == "accuracy|0.5\nconfusion:money -> access|300")
    check("a model of the path, for everybody", value("SELECT value FROM nlp_evaluate('sentiment', 'SELECT ''wonderful''::text, ''positive''::text') WHERE metric = 'accuracy'", user="plain") == "1")
    fails("the caller's rights", "SELECT * FROM nlp_evaluate('intents', 'SELECT body, label FROM t')", "42501", user="plain")
    fails("unknown labels and the model's", "SELECT * FROM nlp_evaluate('intents', 'SELECT body, label || ''s'' FROM t')", "22023", '"moneys"', '"money"', "does not know")
    fails("evaluate: no rows", "SELECT * FROM nlp_evaluate('intents', 'SELECT body, label FROM t WHERE false')", "22023", "no rows")
    fails("evaluate: NULL labels", "SELECT * FROM nlp_evaluate('intents', 'SELECT body, NULL::text FROM t')", "22023", "row 1 ")
    fails("evaluate: a query that writes", "SELECT * FROM nlp_evaluate('intents', 'DELETE FROM t')", "22023", "two text columns")
    fails("evaluate: three columns", "SELECT * FROM nlp_evaluate('intents', 'SELECT body, label, 1 FROM t')", "22023", "two text columns")
    fails("evaluate: no query", "SELECT * FROM nlp_evaluate('intents', '')", "22023", "two text columns")
    fails("evaluate: bad SQL", "SELECT * FROM nlp_evaluate('intents', 'SELEC')", "42601")
    fails("evaluate: no such model", "SELECT * FROM nlp_evaluate('nosuch', 'SELECT body, label FROM t')", "42704", "nosuch")
    fails("evaluate: no classifier", "SELECT * FROM nlp_evaluate('minilm', 'SELECT body, label FROM t')", "0A000", "no classifier")
    fails("evaluate: a limit of time", "SET statement_timeout = '300ms'; SELECT * FROM nlp_evaluate('sentiment', 'SELECT repeat(''good '', 200) || i, ''positive''::text FROM generate_series(1, 100000) i')", "57014")


def check_distill():
    """Two kinds of texts, which minilm tells apart by similarity; the head learns that."""
    psql("CREATE TABLE d AS SELECT CASE i % 2 WHEN 0 THEN 'I want a refund of order ' ELSE 'my password does not work, attempt ' END || i AS body FROM generate_series(1, 400) i")
    call = "FROM nlp_distill('kinds', 'SELECT body FROM d', ARRAY['refund of money', 'password and login']"
    found = dict(line.split("|") for line in value(f"SELECT metric, value {call})").splitlines())
    check("nlp_distill: a head that agrees with its teacher", float(found["agreement"]) >= 0.95 and found["agreement"] == found["accuracy"] and found["rows_seen"] == found["rows_sampled"] == "400", found)
    check("nlp_distill: its head answers, for another user too", value("SELECT nlp_classify('give my money back', 'kinds')", user="plain") == "refund of money")
    pack = value("SELECT md5(nlp_pack('kinds'))")
    check("nlp_distill: the card names the teacher", value("SELECT position('labels by teacher minilm (SHA-256 '::bytea IN nlp_pack('kinds')) > 0") == "t")
    found = value("SELECT value FROM nlp_distill('kinds', 'SELECT body FROM d, generate_series(1, 3) ORDER BY body DESC', ARRAY['refund of money', 'password and login'], '{\"teacher\": \"minilm\", \"base\": \"minilm\"}') WHERE metric = 'rows_seen'")
    check("nlp_distill: order and repetitions change no byte", found == "1200" and value("SELECT md5(nlp_pack('kinds'))") == pack, found)
    check("nlp_distill: it rolls back", value(f"BEGIN; SELECT count(*) > 3 {call.replace('kinds', 'gone')}); ROLLBACK; SELECT count(*) FROM _nlp.packs WHERE name = 'gone'").split()[-1] == "0")
    fails("nlp_distill: too little agreement", "SELECT * FROM nlp_distill('none', 'SELECT body FROM d', ARRAY['1', '2', '3', '4', '5', '6', '7', '8'], '{\"min_agreement\": 1, \"epochs\": 1, \"l2\": 1000}')", "22023", "held-out texts, min_agreement is 1", "larger sample")
    two, query = "ARRAY['a', 'b']", "'SELECT body FROM d'"
    for name, arguments, code, words in (
        ("few texts", f"'SELECT body FROM d LIMIT 50', {two}", "22023", ("of 50 sampled", "at least 20")),
        ("no rows", f"'SELECT body FROM d WHERE false', {two}", "22023", ("no rows",)),
        ("NULL texts", f"'SELECT NULL::text', {two}", "22023", ("row 1 has no text",)),
        ("one label", f"{query}, ARRAY['a']", "22023", ("at least 2",)),
        ("no labels", f"{query}, '{{}}'", "22023", ("at least 2",)),
        ("equal labels", f"{query}, ARRAY['a', 'b', 'a']", "22023", ("twice",)),
        ("an empty label", f"{query}, ARRAY['a', '']", "22023", ("empty",)),
        ("a NULL label", f"{query}, ARRAY['a', NULL]", "22023", ("without NULLs",)),
        ("two columns", f"'SELECT body, body FROM d', {two}", "22023", ("one text column",)),
        ("a number", f"'SELECT 1', {two}", "22023", ("one text column",)),
        ("a query that writes", f"'DELETE FROM d', {two}", "22023", ("one text column",)),
        ("bad SQL", f"'SELEC', {two}", "42601", ()),
        ("an unknown option", f"{query}, {two}, '{{\"bogus\": 1}}'", "22023", ("bogus", "teacher, base, sample, min_agreement")),
        ("a small sample", f"{query}, {two}, '{{\"sample\": 5}}'", "22023", ("sample", "50 to 100000")),
        ("an unknown teacher", f"{query}, {two}, '{{\"teacher\": \"nosuch\"}}'", "42704", ("nlp pull nosuch",)),
        ("a teacher that is no text", f"{query}, {two}, '{{\"teacher\": 1}}'", "22023", ("teacher", "must be a text")),
        ("a base that is a head", f"{query}, {two}, '{{\"base\": \"kinds\"}}'", "22023", ("task pack itself",)),
    ):
        fails(f"nlp_distill: {name}", f"SELECT * FROM nlp_distill('none', {arguments})", code, *words)
    fails("nlp_distill: a name of the model path", f"SELECT * {call.replace('kinds', 'minilm')})", "22023", "model path")
    fails("nlp_distill: a name that no pack can have", f"SELECT * {call.replace('kinds', 'My Kinds')})", "42704", "no name of a model")
    fails("nlp_distill: for administrators", f"SELECT * {call})", "42501", user="plain")
    fails("nlp_distill: a teacher that is not allowed", f"SET nlp.allowed_models = 'other'; SELECT * {call})", "42501", "allowed")
    fails("nlp_distill: a limit of time", f"SET statement_timeout = '300ms'; SELECT * FROM nlp_distill('none', 'SELECT repeat(''good '', 200) || i FROM generate_series(1, 100000) i', {two}, '{{\"sample\": 5000}}')", "57014")
    check("nlp_distill: what failed left nothing", value("SELECT count(*) FROM _nlp.packs WHERE name = 'none'") == "0")
    psql("SELECT nlp_drop_model('kinds'); DROP TABLE d")


def check_fit():
    psql("CREATE TABLE t AS SELECT CASE i % 2 WHEN 0 THEN 'refund my order ' ELSE 'reset my password ' END || i AS body, CASE i % 2 WHEN 0 THEN 'money' ELSE 'access' END AS label FROM generate_series(1, 60) i")
    check("nlp_fit", value("SELECT value FROM nlp_fit('intents', 'SELECT body, label FROM t', 'minilm') WHERE metric = 'accuracy'") == "1")
    check("its head answers, in another session and for another user", value("SELECT nlp_classify('I want my money back', 'intents')", user="plain") == "money")
    check("nlp_models: its tasks, languages and licence", value("SELECT tasks, languages, backing FROM nlp_models WHERE name = 'intents'", user="plain") == "classify,chunk|en|table", value("SELECT tasks, languages, backing FROM nlp_models WHERE name = 'intents'", user="plain"))
    moods = "SELECT body, CASE label WHEN 'money' THEN 'positive' ELSE 'negative' END AS label FROM t"
    check("nlp_models: those of a sentiment head", value(f"BEGIN; SELECT count(*) > 3 FROM nlp_fit('moods', $${moods}$$, 'minilm', '{{\"task\": \"sentiment\", \"languages\": \"de\", \"licence\": \"MIT\"}}'); SELECT tasks, languages, licence FROM nlp_models WHERE name = 'moods'; ROLLBACK").split()[-1] == "sentiment,classify,chunk|de|MIT")
    check("it rolls back", value("BEGIN; SELECT count(*) > 3 FROM nlp_fit('gone', 'SELECT body, label FROM t'); ROLLBACK; SELECT count(*) FROM _nlp.packs").split()[-1] == "1")
    fails("fit is for administrators", "SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t', 'minilm')", "42501", user="plain")
    fails("the table is closed", "SELECT * FROM _nlp.packs", "42501", user="plain")
    fails("a name of the model path", "SELECT * FROM nlp_fit('minilm', 'SELECT body, label FROM t', 'minilm')", "22023", "model path")
    fails("one class", "SELECT * FROM nlp_fit('x', 'SELECT body, ''a''::text FROM t', 'minilm')", "22023", "at least 2")
    fails("no rows", "SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t WHERE false', 'minilm')", "22023", "no rows")
    fails("NULL labels", "SELECT * FROM nlp_fit('x', 'SELECT body, NULL::text FROM t', 'minilm')", "22023", "no label")
    fails("NULL texts", "SELECT * FROM nlp_fit('x', 'SELECT NULL::text, label FROM t', 'minilm')", "22023", "no text")
    fails("no such base", "SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t', 'nosuch')", "42704", "nosuch")
    check("one row a label", value("BEGIN; SELECT value FROM nlp_fit('x', 'SELECT body, body FROM t', 'minilm', '{\"epochs\": 2}') WHERE metric = 'rows_held_out'; ROLLBACK").split()[-1] == "0")
    check("metrics of labels, confusions", value("BEGIN; SELECT bool_or(metric LIKE 'confusion:% -> %'), bool_or(metric = 'f1:other'), max(value) FILTER (WHERE metric = 'epochs') < 300 FROM nlp_fit('x', 'SELECT body, CASE WHEN length(body) % 2 = 0 THEN label ELSE ''other'' END FROM t', 'minilm', '{\"holdout\": 0.5, \"patience\": 2}'); ROLLBACK").split()[-1] == "t|t|t")
    check("a hidden layer", value("BEGIN; SELECT count(*) > 3 FROM nlp_fit('layered', 'SELECT body, label FROM t', 'minilm', '{\"hidden\": 16}'); SELECT value FROM nlp_evaluate('layered', 'SELECT body, label FROM t') WHERE metric = 'accuracy'; ROLLBACK").split()[-1] == "1")
    fails("a hidden layer that is too wide", "SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t', 'minilm', '{\"hidden\": 4097}')", "22023", "4096")
    fails("hidden: no rows", "SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t WHERE false', 'minilm', '{\"hidden\": 16}')", "22023", "no rows")
    fails("unknown option", "SELECT * FROM nlp_fit('x', 'SELECT body, label FROM t', 'minilm', '{\"bogus\": 1}')", "22023", "bogus")
    check_evaluate()
    fails("a damaged pack", "SELECT nlp_pack_put('bad', 'abc')", "XX001")
    dump = subprocess.run([os.path.join(BIN, "pg_dump"), "-h", SOCKET, "-U", "postgres", "test"], capture_output=True, text=True)
    psql("CREATE DATABASE restored", "postgres")
    psql(dump.stdout, "restored")
    check("dump and restore, heads and generated columns", value("SELECT nlp_classify('forgot my password', 'intents'), (SELECT count(emb) FROM reviews)", database="restored") == "access|400")
    check("nlp_drop_model", value("SELECT nlp_drop_model('intents')") == "t" and "42704" in psql("SELECT nlp_classify('x', 'intents')")[1])


def check_extractive_summaries():
    """By minilm where it is named, where the option asks for it, and for long texts; by smollm2 (a small stand-in) else."""
    shutil.copy(os.path.join(MODELS, "talker.nlp"), os.path.join(MODELS, "smollm2.nlp"))
    text = "'The club won the cup. It rained all day. The players celebrated the cup of the club. Bread was cheap.'"
    long_text = "(SELECT string_agg('The club won cup ' || i || '. It rained on day ' || i || '.', ' ') FROM generate_series(1, 120) i)"
    cli = json_lines(NLP, ["summarize", "-m", "minilm", "--max-tokens", "12"], [{"text": text.strip("'")}], {"NLP_MODEL_PATH": MODELS})[0]["text"]
    check("nlp_summarize by an embedder is what the command line gives", value(f"SELECT nlp_summarize({text}, 'minilm', max_tokens => 12)") == cli)
    is_true("without a model, by the option", f"nlp_summarize({text}, 12, '{{\"extractive\": true}}') = nlp_summarize({text}, 'minilm', max_tokens => 12)")
    is_true("without a model, for a long text", f"nlp_summarize({long_text}) = nlp_summarize({long_text}, 'minilm')")
    is_true("a long one whose manner is given is written", f"nlp_summarize({long_text}, 3, '{{\"top_k\": 1}}') = nlp_summarize({long_text}, 'talker', '{{\"top_k\": 1}}', 3)")
    is_true("nlp_summarize_agg of a long group", f"(SELECT nlp_summarize_agg(t || i) = nlp_summarize(string_agg(t || i, E'\n'), 'minilm') FROM {long_text} l(t), generate_series(1, 3) i)")
    rows = f"(SELECT i, CASE WHEN i % 7 = 0 THEN NULL WHEN i % 3 = 0 THEN t || i ELSE 'It rained. We stayed ' || i END FROM {long_text} l(t), generate_series(1, 30) i) r(i, t)"
    out = value(f"SELECT bool_and(a IS NOT DISTINCT FROM b AND b IS NOT DISTINCT FROM c), count(a) FROM (SELECT nlp_summarize_w(t, 4) OVER (ORDER BY i) a, nlp_summarize(t, 4) b, CASE WHEN length(t) > 4096 THEN nlp_summarize(t, 'minilm', max_tokens => 4) ELSE nlp_summarize(t, 'talker', max_tokens => 4) END c FROM {rows}) x")
    check("rows of either kind in one statement, batched or not", out == "t|26", out)
    fails("options of writing for an embedder", "SELECT nlp_summarize('x', 'minilm', '{\"temperature\": 1}')", "22023", "temperature", "picks sentences")
    fails("a summary written by an embedder", "SELECT nlp_summarize('x', 'minilm', '{\"extractive\": false}')", "0A000", "does not write")
    fails("one picked by a decoder", "SELECT nlp_summarize('x', 'talker', '{\"extractive\": true}')", "0A000", "vectors", "extractive")
    os.remove(os.path.join(MODELS, "smollm2.nlp"))


def check_writing():
    prompts = ["Once upon a time", "The cat sat on the mat", "x"]
    options = json.dumps({"max_tokens": 20, "temperature": 0.9, "seed": 5, "top_p": 0.95})
    lines = json_lines(NLP, ["generate", "-m", os.path.join(MODELS, "writer.nlp"), "--options", options], [{"text": p} for p in prompts])
    psql("CREATE TABLE prompts AS SELECT * FROM (VALUES (1, 'Once upon a time'), (2, 'The cat sat on the mat'), (3, 'x')) v(id, prompt)")
    rows = value(f"SELECT json_agg(nlp_generate(prompt, 'writer', '{options}') ORDER BY id) FROM prompts")
    check("nlp_generate is what the command line gives", json.loads(rows) == [r["text"] for r in lines], rows)
    check("and an array of prompts", value(f"SELECT json_agg(text ORDER BY ord) FROM nlp_generate((SELECT array_agg(prompt ORDER BY id) FROM prompts), 'writer', '{options}')") == rows)
    check("and a stream", value(f"SELECT json_agg(t ORDER BY id) FROM (SELECT id, string_agg(token, '' ORDER BY step) t FROM prompts, nlp_generate_stream(prompt, 'writer', '{options}') GROUP BY id) s") == rows)
    check("a stream has one row a token, the last one done", value("SELECT count(*), bool_or(done), max(step) FROM nlp_generate_stream('x', 'writer', max_tokens => 7)") == "7|t|7")
    check("NULL gives no rows", value("SELECT count(*) FROM nlp_generate_stream(NULL, 'writer')") == "0")
    plan = value("EXPLAIN SELECT token FROM nlp_generate_stream('x', 'writer') LIMIT 3")
    check("a stream is not collected before it is seen", "ProjectSet" in plan and "Function Scan" not in plan, plan)
    before = int(value("SELECT tokens FROM nlp_stats; SELECT 1").split()[0])
    out = value("BEGIN; DECLARE c CURSOR FOR SELECT token FROM nlp_generate_stream('Once upon', 'writer', max_tokens => 60); FETCH 3 FROM c; CLOSE c; COMMIT; SELECT forward_passes FROM nlp_stats")
    check("a cursor that is closed ends the work", int(out.splitlines()[-1]) <= before + 5, out)
    big = json.dumps({"max_tokens": 8, "temperature": 1.5, "seed": 9007199254740993})
    line = json_lines(NLP, ["generate", "-m", os.path.join(MODELS, "writer.nlp"), "--max-tokens", "8", "--temperature", "1.5", "--seed", "9007199254740993"], [{"text": "x"}])[0]
    check("a seed of 64 bits loses no digit", value(f"SELECT to_json(nlp_generate('x', 'writer', '{big}'))") == json.dumps(line["text"], ensure_ascii=False) != value(f"SELECT to_json(nlp_generate('x', 'writer', '{big.replace('993', '992')}'))"))
    check("a text and a list of stop strings", value("SELECT nlp_generate('x', 'writer', '{\"stop\": \" \"}') NOT LIKE '% %'") == "t")
    fails("temperature without a seed", "SELECT nlp_generate('x', 'writer', '{\"temperature\": 1}')", "22023", 'seed')
    fails("max_tokens 0", "SELECT nlp_generate('x', 'writer', max_tokens => 0)", "22023", "max_tokens", "1")
    fails("max_tokens below 0", "SELECT nlp_generate('x', 'writer', max_tokens => -5)", "22023", "max_tokens")
    fails("top_p 0", "SELECT nlp_generate('x', 'writer', '{\"top_p\": 0}')", "22023", "top_p")
    fails("an empty stop string", "SELECT nlp_generate('x', 'writer', '{\"stop\": \"\"}')", "22023", "stop")
    fails("an unknown option of writing", "SELECT nlp_generate('x', 'writer', '{\"wings\": 2}')", "22023", "wings", "temperature")
    fails("a prompt over the context", "SELECT nlp_generate(repeat('many words ', 4000), 'writer', '{\"on_overflow\": \"error\"}')", "54000", "positions")
    fails("a model that does not write", "SELECT nlp_generate('x', 'minilm')", "0A000", "minilm")
    fails("memory that is too small", "SET nlp.max_memory = '1MB'; SELECT count(*) FROM nlp_generate(ARRAY['x'], 'polyglot', '{\"num_beams\": 16}')", "53200", "bytes")
    chat = '[{"role": "system", "content": "s"}, {"role": "user", "content": "Once upon"}]'
    line = json_lines(NLP, ["chat", "-m", os.path.join(MODELS, "talker.nlp"), "--max-tokens", "12"], [{"messages": json.loads(chat)}])[0]
    check("nlp_chat is what the command line gives", value(f"SELECT to_json(nlp_chat('{chat}', 'talker', max_tokens => 12))") == json.dumps(line["text"], ensure_ascii=False), line)
    check("a string is what a user says", value("SELECT nlp_chat('\"x\"', 'talker', max_tokens => 5) = nlp_chat('[{\"role\": \"user\", \"content\": \"x\"}]', 'talker', max_tokens => 5)") == "t")
    fails("an unknown role", "SELECT nlp_chat('[{\"role\": \"robot\", \"content\": \"x\"}]', 'talker')", "22023", "assistant")
    fails("messages of another shape", "SELECT nlp_chat('[{\"role\": \"user\"}]', 'talker')", "22023", "content")
    fails("no messages", "SELECT nlp_chat('[]', 'talker')", "22023", "no messages")
    fails("a chat without an end by the user", "SELECT nlp_chat('[{\"role\": \"assistant\", \"content\": \"x\"}]', 'talker')", "22023", "assistant")
    fails("a model without chats", "SELECT nlp_chat('\"x\"', 'yesno')", "0A000", "chat")
    schema = '{"properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}}, "required": ["a", "b"]}'
    line = json_lines(NLP, ["extract", "-m", os.path.join(MODELS, "talker.nlp"), "--schema", schema, "--max-tokens", "40"], [{"text": "One x."}])[0]
    check("nlp_extract is what the command line gives", json.loads(value(f"SELECT nlp_extract('One x.', '{schema}', 'talker', '{{\"max_tokens\": 40}}')")) == line["value"] and set(line["value"]) == {"a", "b"}, line)
    check("nlp_extract in any number of tokens", value(f"SELECT bool_and(j ? 'a' AND j->>'b' IN ('x', 'y')) FROM (SELECT nlp_extract('One x.', '{schema}', 'talker', jsonb_build_object('max_tokens', n)) j FROM generate_series(1, 30) n) s") == "t")
    check("choices", value("SELECT nlp_generate('x', 'writer', '{\"choices\": [\"yes\", \"no\"]}') IN ('yes', 'no')") == "t")
    check("a grammar", value("SELECT nlp_generate('x', 'writer', '{\"grammar\": \"root ::= [0-9]{3}\"}') ~ '^[0-9]{3}$'") == "t")
    fails("logit_bias that is none", "SELECT nlp_generate('x', 'writer', '{\"logit_bias\": {\"a\": 1}}')", "22023", "logit_bias")
    fails("a schema that is none", "SELECT nlp_extract('x', '5', 'talker')", "22023", "schema")
    fails("a keyword of schemas that is not supported", "SELECT nlp_extract('x', '{\"patternProperties\": {}}', 'talker')", "22023", "patternProperties")
    fails("a schema that contradicts itself", "SELECT nlp_extract('x', '{\"type\": \"array\", \"items\": {}, \"minItems\": 3, \"maxItems\": 1}', 'talker')", "22023", "minItems")
    fails("two constraints", "SELECT nlp_generate('x', 'writer', '{\"choices\": \"a\", \"grammar\": \"root ::= [a]\"}')", "22023", "only one")
    line = json_lines(NLP, ["classify", "-m", os.path.join(MODELS, "talker.nlp"), "--labels", "good,bad,a question"], [{"text": "One x."}])[0]
    labels, choices = "ARRAY['good', 'bad', 'a question']", '{"choices": ["good", "bad", "a question"]}'
    check("a decoder scores labels as the command line does", json.loads(value(f"SELECT json_object_agg(label, score) FROM nlp_classify_scores('One x.', {labels}, 'talker')")).keys() == line["scores"].keys() and value(f"SELECT bool_and(abs(score - (j->>label)::real) < 1e-6) FROM nlp_zero_shot_scores('One x.', {labels}, 'talker'), (SELECT '{json.dumps(line['scores'])}'::jsonb j) s") == "t")
    check("and chooses the best", value(f"SELECT nlp_classify('One x.', {labels}, 'talker'), nlp_zero_shot('One x.', {labels}, 'talker'), nlp_classify('One x.', model => 'talker', options => '{choices}'), nlp_classify('One x.', 'talker', '{choices}')") == "|".join([line["label"]] * 4))
    check("its confidence is that score", value(f"SELECT nlp_confidence('One x.', 'talker', '{choices}') = max(score) FROM nlp_classify_scores('One x.', 'talker', '{choices}')") == "t")
    out = value(f"SELECT bool_and(a IS NOT DISTINCT FROM b AND b IS NOT DISTINCT FROM c), count(a) FROM (SELECT nlp_classify_w(t, {labels}, 'talker') OVER () a, nlp_classify(t, {labels}, 'talker') b, nlp_classify_w(t, 'talker', '{choices}') OVER () c FROM (SELECT CASE WHEN i % 9 > 0 THEN 'text ' || i END FROM generate_series(1, 80) i) s(t)) x")
    check("window forms of it", out == "t|72", out)
    fails("a decoder without labels", "SELECT nlp_classify('x', 'talker')", "22023", "no labels of its own", "choices")
    fails("a decoder with no labels in the list", "SELECT nlp_classify('x', '{}'::text[], 'talker')", "22023", "empty")
    fails("a decoder with an empty label", "SELECT nlp_classify('x', ARRAY['a', ''], 'talker')", "22023", "label 2")
    fails("a decoder asked for many labels", "SELECT nlp_classify('x', ARRAY['a', 'b'], 'talker', '{\"multi_label\": true}')", "0A000", "multi_label", "NLI")
    fails("choices for a classifier", "SELECT nlp_classify('x', 'sentiment', '{\"choices\": [\"a\"]}')", "22023", "choices")
    fails("a text over the limit of a decoder that classifies", "SELECT nlp_classify(repeat('many words ', 400), ARRAY['a', 'b'], 'talker', '{\"on_overflow\": \"error\"}')", "54000", "192")
    out, err = psql("SELECT nlp_classify(repeat('many words ', 400) || i, ARRAY['a', 'b'], 'talker') FROM generate_series(1, 2) i")
    check("it is cut, with one WARNING", out in ("a\na", "b\nb") and err.count("WARNING") == 1, f"{out} {err}")
    check("nlp_summarize is what the command line gives", value("SELECT to_json(nlp_summarize('It rained. We stayed at home.', 'talker', max_tokens => 6))") == json.dumps(json_lines(NLP, ["summarize", "-m", os.path.join(MODELS, "talker.nlp"), "--max-tokens", "6"], [{"text": "It rained. We stayed at home."}])[0]["text"], ensure_ascii=False))
    check("nlp_summarize_agg sums up a group", value("SET nlp.summarize_model = 'talker'; SELECT nlp_summarize_agg(t) = nlp_summarize(string_agg(t, E'\\n')) FROM (VALUES ('It rained.'), (NULL), ('We stayed at home.')) v(t)") == "t")
    check("of no rows NULL", value("SELECT nlp_summarize_agg(t) IS NULL FROM (VALUES ('x')) v(t) WHERE false") == "t")
    check_extractive_summaries()
    check("nlp_translate", value("SELECT nlp_translate('The cat sat.', 'fr', 'polyglot', '{\"max_tokens\": 5}') IS NOT NULL") == "t")
    check("the translator that came along", value("SELECT nlp_translate('Where is the station? I have lost my bag.', 'fr')") == "Où se trouve la gare ? J'ai perdu mon sac.")
    fails("a target that the model lacks", "SELECT nlp_translate('x', 'xx', 'polyglot')", "22023", "xx", "__en__")
    fails("a translator that is not there", "SELECT nlp_translate('x', 'xx')", "42704", "en-xx")


def history(session, user=None):
    return json.loads(value(f"SELECT coalesce(json_agg(json_build_array(seq, role, content) ORDER BY seq), '[]') FROM nlp_chat_history('{session}')", user=user))


def whole_chat(rows, **more):
    """What nlp_chat says to all of these messages."""
    messages = json.dumps([{"role": role, "content": content} for _, role, content in rows]).replace("'", "''")
    return json.loads(value(f"SELECT to_json(nlp_chat('{messages}', 'talker', '{json.dumps(more)}'))"))


def check_chats():
    psql("CREATE ROLE anna LOGIN; CREATE ROLE \"O'Neil \"\"the\"\" 2nd\" LOGIN", "postgres")
    is_true("nobody has a table before the first session", "NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'nlp_chats'::regnamespace) AND NOT has_schema_privilege('anna', 'nlp_chats', 'CREATE')")
    session = value("SELECT nlp_chat_create('Be brief.', 'talker')", user="anna")
    check("nlp_chat_create gives a uuid", re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", session), session)
    check("a fresh session has its system text", history(session, "anna") == [[0, "system", "Be brief."]])
    said, answers = ["Once ''upon'' a \"time\"", "Zürich\nagain"], []
    for i, text in enumerate(said):
        answers.append(json.loads(value(f"SELECT to_json(nlp_chat_send('{session}', '{text}', max_tokens => 6))", user="anna")))
        whole = history(session, "anna")
        check(f"answer {i + 1} is nlp_chat's of the whole list", whole_chat(whole[:-1], max_tokens=6) == answers[i], answers[i])
    check("nlp_chat_history", whole == [[0, "system", "Be brief."], [1, "user", said[0].replace("''", "'")], [2, "assistant", answers[0]], [3, "user", said[1]], [4, "assistant", answers[1]]], whole)
    check("times go on", value(f"SELECT bool_and(at BETWEEN now() - interval '1 hour' AND now() AND (before IS NULL OR before < at)) FROM (SELECT at, lag(at) OVER (ORDER BY seq) AS before FROM nlp_chat_history('{session}')) x", user="anna") == "t")
    check("the table is the caller's own", value("SELECT format('%s %s', relowner::regrole, relkind) FROM pg_class WHERE oid = 'nlp_chats.anna'::regclass") == "anna r" and value(f"SELECT count(*), max(model) FROM nlp_chats.anna WHERE session = '{session}'", user="anna") == "5|talker")
    plain = value("SET nlp.chat_model = 'talker'; SELECT nlp_chat_create()", user="anna")
    check("without a system text a fresh session is empty", history(plain, "anna") == [] and plain != session)
    answer = json.loads(value(f"SET nlp.chat_model = 'gone'; SET nlp.on_overflow = 'error'; SELECT to_json(nlp_chat_send('{plain}', 'x'))", user="anna"))
    check("it stays with the model that was the default, and has the default options", answer == whole_chat([[1, "user", "x"]]), answer)
    named = value("SELECT nlp_chat_create(model => 'talker', system => NULL)", user="anna")
    check("options win over arguments", value(f"SELECT nlp_chat_send(text => 'x', session => '{named}', options => '{{\"choices\": [\"yes\", \"no\"], \"max_tokens\": 9}}', max_tokens => 1) IN ('yes', 'no')", user="anna") == "t")
    check("NULL gives NULL, or no rows", value(f"SELECT nlp_chat_send(NULL, 'x') IS NULL AND nlp_chat_send('{named}', NULL) IS NULL AND (SELECT count(*) FROM nlp_chat_history(NULL)) = 0 AND (SELECT count(*) FROM nlp_chat_history('{named}')) = 2", user="anna") == "t")
    check("several sends in one statement, each sees the one before", value(f"SELECT count(nlp_chat_send('{named}', t, max_tokens => 2)) FROM unnest(ARRAY['a', 'b']) t", user="anna") == "2" and [r[0] for r in history(named, "anna")] == [1, 2, 3, 4, 5, 6])
    check_chat_errors(session)
    check_chat_users(session)
    check_chat_triggers()
    check_chats_at_once()
    check_chat_dumps(session)


def check_chat_errors(session):
    nobody = "00000000-0000-4000-8000-000000000000"
    before = value("SELECT count(*) FROM nlp_chats.anna")
    for name, sql, state, *words in (("an unknown session", f"SELECT nlp_chat_send('{nobody}', 'x')", "42704", nobody, "anna", "nlp_chat_create"),
                                     ("the history of one", f"SELECT * FROM nlp_chat_history('{nobody}')", "42704", nobody, "anna"),
                                     ("a malformed uuid", "SELECT nlp_chat_send('nonsense', 'x')", "22P02", "nonsense"),
                                     ("an unknown model", "SELECT nlp_chat_create('x', 'nosuch')", "42704", "nosuch", "nlp.model_path"),
                                     ("a model without chats", "SELECT nlp_chat_create('x', 'yesno')", "0A000", "yesno", "chat"),
                                     ("an unknown option of a send", f"SELECT nlp_chat_send('{session}', 'x', '{{\"wings\": 2}}')", "22023", "wings", "temperature"),
                                     ("max_tokens 0 of a send", f"SELECT nlp_chat_send('{session}', 'x', max_tokens => 0)", "22023", "max_tokens"),
                                     ("a history that is too long", f"SELECT nlp_chat_send('{session}', repeat('many words ', 4000), '{{\"on_overflow\": \"error\"}}')", "54000", "positions"),
                                     ("a send that reads only", f"BEGIN READ ONLY; SELECT nlp_chat_send('{session}', 'x')", "25006"),
                                     ("a timeout in one of many sends", f"SET statement_timeout = 300; SELECT count(nlp_chat_send('{session}', 'x')) FROM generate_series(1, 100000)", "57014"),
                                     ("a timeout in a send", f"SET statement_timeout = 400; SELECT nlp_chat_send('{session}', repeat('some words and more ', 2000000))", "57014")):
        fails(name, sql, state, *words, user="anna")
    check("an error that was asked for gives NULL", value(f"SELECT nlp_chat_send('{session}', repeat('many words ', 4000), '{{\"on_overflow\": \"error\", \"on_error\": \"null\"}}') IS NULL", user="anna") == "t")
    check("a send rolls back", value(f"BEGIN; SELECT nlp_chat_send('{session}', 'gone', max_tokens => 2) IS NOT NULL; ROLLBACK", user="anna") == "t")
    check("what failed has stored nothing", value("SELECT count(*) FROM nlp_chats.anna") == before)
    psql("ALTER TABLE nlp_chats.anna ALTER content TYPE int USING length(content), ALTER seq TYPE bigint, ALTER at TYPE text, ADD more int", user="anna")
    check("a table that its owner altered", value(f"SELECT seq, content FROM nlp_chat_history('{session}') LIMIT 1", user="anna") == "0|9")
    fails("and one that takes no texts", f"SELECT nlp_chat_send('{session}', 'x', max_tokens => 2)", "42804", user="anna")


def check_chat_triggers():
    """The table is its owner's to alter: a trigger that takes the session away is an error, no crash."""
    psql("CREATE ROLE odd LOGIN; CREATE SCHEMA odd AUTHORIZATION odd")
    value("SELECT nlp_chat_create('x', 'talker')", user="odd")
    psql("SET SESSION AUTHORIZATION odd; CREATE FUNCTION odd.lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.session := NULL; RETURN NEW; END'; "
         "ALTER TABLE nlp_chats.odd DROP CONSTRAINT odd_pkey; ALTER TABLE nlp_chats.odd ALTER session DROP NOT NULL; "
         "CREATE TRIGGER lose BEFORE INSERT ON nlp_chats.odd FOR EACH ROW EXECUTE FUNCTION odd.lose()")
    fails("a trigger that takes the session away", "SET SESSION AUTHORIZATION odd; SELECT nlp_chat_create('x', 'talker')", "XX000", "not stored")
    psql("DROP OWNED BY odd; DROP ROLE odd")


def check_chat_users(session):
    other = "O'Neil \"the\" 2nd"
    for name, sql in (("a send", f"SELECT nlp_chat_send('{session}', 'x')"), ("a history", f"SELECT * FROM nlp_chat_history('{session}')")):
        fails(f"{name} of another user, who has no table", sql, "42704", session, other, user=other)
    own = value("SELECT nlp_chat_create('s', 'talker')", user=other)
    fails("a send of another user, who has one", f"SELECT nlp_chat_send('{session}', 'x')", "42704", session, other, user=other)
    check("a role whose name has quotes and blanks", value(f"SELECT nlp_chat_send('{own}', 'x', max_tokens => 2) IS NOT NULL", user=other) == "t" and value("SELECT relname FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname LIKE 'O%') AND relkind = 'r'") == other)
    fails("the table of another", "SELECT * FROM nlp_chats.anna", "42501", user=other)
    fails("a table in the schema", "CREATE TABLE nlp_chats.plain(x int)", "42501", user=other)
    check("the role that is set is the one that counts", value(f"SET ROLE anna; SELECT count(*) FROM nlp_chat_history('{session}')") == "5" and "42704" in psql(f"SELECT nlp_chat_history('{session}')")[1])
    psql("CREATE FUNCTION as_anna(s uuid) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM nlp_chat_history(s)'", user="postgres")
    psql("ALTER FUNCTION as_anna(uuid) OWNER TO anna")
    check("a function that runs as its owner has the owner's sessions", value(f"SELECT as_anna('{session}')", user=other) == "5")
    psql("CREATE TABLE nlp_chats.plain(session uuid)")
    fails("a table of one's name that belongs to another", "SELECT nlp_chat_create(model => 'talker')", "55000", "plain", "postgres", user="plain")
    psql("DROP TABLE nlp_chats.plain; SET allow_in_place_tablespaces = on; CREATE TABLESPACE elsewhere LOCATION ''")
    psql("CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no, % %', current_user, current_setting('search_path'); END $$; CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()")
    out, err = psql("DO $$ BEGIN PERFORM nlp_chat_create(model => 'talker'); EXCEPTION WHEN raise_exception THEN RAISE NOTICE '%', SQLERRM; END $$; SELECT current_user, current_setting('search_path'), count(*) FROM pg_class WHERE relnamespace = 'nlp_chats'::regnamespace AND relname = 'plain'; CREATE ROLE nobody", user="plain")
    check("an error while the table is made gives no rights away", "no, postgres pg_catalog, pg_temp" in err and out == 'plain|"$user", public|0' and "42501" in err, f"{out} {err}")
    psql("DROP EVENT TRIGGER refuse")
    shadow = "CREATE SCHEMA shadow; CREATE DOMAIN shadow.uuid AS text; CREATE DOMAIN shadow.text AS int"
    psql("GRANT CREATE ON DATABASE test TO plain")
    value(shadow, user="plain")
    check("settings of the caller do not say where and of what the table is made", value("SET default_tablespace = elsewhere; SET search_path = shadow, pg_catalog, public; SELECT nlp_chat_create(model => 'talker') IS NOT NULL; SELECT reltablespace FROM pg_class WHERE oid = 'nlp_chats.plain'::regclass; SHOW search_path; SHOW default_tablespace; SELECT current_user", user="plain") == "t\n0\nshadow, pg_catalog, public\nelsewhere\nplain")


def check_chats_at_once():
    """Two connections: first sessions of a role, and sends of one session."""
    psql("CREATE ROLE twin LOGIN", "postgres")

    def both(first, second):
        one = subprocess.Popen([*PSQL, "-d", "test", "-U", "twin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        one.stdin.write(f"BEGIN;\n{first};\n")
        one.stdin.flush()
        told = one.stdout.readline().strip()
        two = subprocess.Popen([*PSQL, "-d", "test", "-U", "twin", "-c", second], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        deadline = time.monotonic() + 20
        while value(waits) != "1" and time.monotonic() < deadline:
            time.sleep(0.02)
        waited = two.poll() is None
        one.communicate("COMMIT;\n")
        return told, two.communicate()[0].strip(), waited

    create = "SELECT nlp_chat_create(model => 'talker')"
    first, second, waited = both(create, create)
    check("two first sessions at once", waited and value("SELECT count(*) FROM nlp_chats.twin") == "2" and len(first) == len(second) == 36, f"{first} {second}")
    session = first
    first, second, waited = both(f"SELECT to_json(nlp_chat_send('{session}', 'one', max_tokens => 4))", f"SELECT to_json(nlp_chat_send('{session}', 'two', max_tokens => 4))")
    rows = value("SELECT json_agg(json_build_array(seq, role, content) ORDER BY seq) FROM nlp_chats.twin WHERE content IS NOT NULL")
    expected = [[1, "user", "one"], [2, "assistant", json.loads(first)], [3, "user", "two"], [4, "assistant", json.loads(second)]]
    check("two sends at once: the second waits and has seen the first", waited and json.loads(rows) == expected and whole_chat(expected[:3], max_tokens=4) == expected[3][2], rows)
    _, message, waited = both(f"SELECT to_json(nlp_chat_send('{session}', 'three', max_tokens => 4))", f"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT nlp_chat_send('{session}', 'four', max_tokens => 4)")
    check("a snapshot that can't see the first one is an error", waited and "23505" in message and value("SELECT count(*) FROM nlp_chats.twin WHERE content IS NOT NULL") == "6", message)


def check_chat_dumps(session):
    dump = subprocess.run([os.path.join(BIN, "pg_dump"), "-h", SOCKET, "-U", "postgres", "-n", "nlp_chats", "test"], capture_output=True, text=True).stdout
    check("a dump has the tables and their owners, not the schema", "ALTER TABLE nlp_chats.anna OWNER TO anna" in dump and "CREATE SCHEMA" not in dump)
    psql("CREATE DATABASE chats_again", "postgres")
    psql("CREATE EXTENSION nlp", "chats_again")
    psql(dump, "chats_again")
    check("restored, a session goes on", value("SELECT count(*) FROM nlp_chats.twin", database="chats_again") == "8" and value("SELECT count(nlp_chat_send(session, 'again', max_tokens => 2)) FROM nlp_chats.twin WHERE seq = 0", database="chats_again", user="twin") == "2")
    whole = subprocess.run([os.path.join(BIN, "pg_dump"), "-h", SOCKET, "-U", "postgres", "chats_again"], capture_output=True, text=True).stdout
    psql("CREATE DATABASE chats_whole", "postgres")
    psql(whole, "chats_whole")
    check("a dump of the whole database is restored", value("SELECT count(*) FROM nlp_chats.twin", database="chats_whole", user="twin") == "12")
    fails("sessions keep the extension", "DROP EXTENSION nlp", "2BP01", "nlp_chats", database="chats_again")
    check("sessions are deleted like any rows", value(f"DELETE FROM nlp_chats.anna WHERE session = '{session}'; SELECT count(*) > 0 FROM nlp_chats.anna", user="anna") == "t" and "42704" in psql(f"SELECT nlp_chat_history('{session}')", user="anna")[1])
    check("without tables the extension goes", value("SET client_min_messages = warning; DROP OWNED BY anna, plain, twin, \"O'Neil \"\"the\"\" 2nd\"; DROP EXTENSION nlp", database="chats_again") == "")
def check_window():
    """nlp_<task>_w(...) OVER (...): what the scalar form gives, in batches of 64 rows."""
    psql("""CREATE TABLE texts AS SELECT i AS id, i % 3 AS part, CASE WHEN i % 7 = 0 THEN NULL WHEN i % 11 = 0 THEN '' ELSE repeat('the word ', i % 5) || 'number ' || i % 40 END AS body,
        CASE WHEN i % 19 = 0 THEN NULL WHEN i < 150 OR i % 2 = 0 THEN 'minilm' ELSE 'sentiment' END AS model,
        CASE WHEN i % 50 = 0 THEN NULL ELSE jsonb_build_object('dimensions', 8 + 4 * (i / 70)) END AS options FROM generate_series(1, 300) i""")
    same = "SELECT bool_and(a IS NOT DISTINCT FROM b), count(*), count(a) FROM (SELECT {w} AS a, {f} AS b FROM texts {rest}) x"
    for clause in ("()", "(ORDER BY id DESC)", "(PARTITION BY part)", "(PARTITION BY part ORDER BY body, id ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING)", "(PARTITION BY id)", "(ORDER BY part RANGE UNBOUNDED PRECEDING EXCLUDE GROUP)"):
        out = value(same.format(w=f"nlp_embed_w(body) OVER {clause}", f="nlp_embed(body)", rest=""))
        check(f"nlp_embed_w OVER {clause} = nlp_embed, to the bit", out == "t|300|258", out)
    for task, call in (("embed_query", "(body, 'minilm', '{\"dimensions\": 32}')"), ("sentiment", "(body)"), ("sentiment_score", "(body, 'sentiment')"), ("classify", "(body, 'sentiment', '{\"max_tokens\": 90}')"), ("confidence", "(body)"),
                       ("classify", "(body, ARRAY['sports', 'cinema'], 'nli')"), ("generate", "(body, 'writer', max_tokens => 4)"), ("summarize", "(body, 'talker', '{\"max_tokens\": 3}')"),
                       ("extract", "(body, '{\"type\": \"integer\"}', 'talker', '{\"max_tokens\": 3}')"), ("translate", "(body, 'fr', 'polyglot', '{\"max_tokens\": 3, \"num_beams\": 1}')")):
        out = value(same.format(w=f"nlp_{task}_w{call} OVER ()", f=f"nlp_{task}{call}", rest="WHERE id <= 100"))
        check(f"nlp_{task}_w{call} = nlp_{task}", out == "t|100|86", out)
    out = value(same.format(w="nlp_embed_w(body, 'minilm', options) OVER (ORDER BY id)", f="nlp_embed(body, 'minilm', options)", rest=""))
    check("options of a column", out == "t|300|252", out)
    out = value(same.format(w="nlp_confidence_w(body, replace(model, 'minilm', 'nli')) OVER (ORDER BY id)", f="nlp_confidence(body, replace(model, 'minilm', 'nli'))", rest=""))
    check("a model of a column", out == "t|300|245", out)
    out = value(same.format(w="nlp_translate_w(body, t, 'polyglot', '{\"max_tokens\": 3}') OVER (ORDER BY id)", f="nlp_translate(body, t, 'polyglot', '{\"max_tokens\": 3}')", rest=", LATERAL (SELECT (ARRAY['fr', '__fr__', NULL])[1 + id / 20]) l(t) WHERE id < 60"))
    check("a target of a column", out == "t|59|34", out)
    out = value(same.format(w="nlp_generate_w(body, 'writer', max_tokens => 1 + id / 20) OVER (ORDER BY id)", f="nlp_generate(body, 'writer', max_tokens => 1 + id / 20)", rest="WHERE id < 60"))
    check("max_tokens of a column", out == "t|59|51", out)
    big = "(SELECT repeat('some words of a long text ', 20000) || i FROM generate_series(1, 6) i) s(t)"
    out, err = psql(f"SELECT bool_and(a = b) FROM (SELECT nlp_embed_w(t) OVER () a, nlp_embed(t, 'minilm') b FROM {big}) x; SELECT inputs, calls FROM nlp_stats")
    check("long texts go in smaller batches; one WARNING a call site", out == "t\n12|8" and err.count("WARNING") == 2, f"{out} {err}")
    check("three of them in one list", value("SELECT bool_and(a IS NOT DISTINCT FROM nlp_sentiment(body) AND b IS NOT DISTINCT FROM nlp_embed(body) AND c IS NOT DISTINCT FROM nlp_sentiment_score(body)) FROM (SELECT body, nlp_sentiment_w(body) OVER w a, nlp_embed_w(body) OVER (PARTITION BY part) b, nlp_sentiment_score_w(body) OVER w c FROM texts WINDOW w AS (ORDER BY id)) x") == "t")
    check_window_work()


def check_window_work():
    """How much is run, and what ends it."""
    stats = "SELECT inputs, calls FROM nlp_stats"
    for sql, expected in (("SELECT nlp_embed_w(body) OVER () FROM texts LIMIT 1", "64|1"), ("SELECT nlp_embed_w(body) OVER () FROM texts LIMIT 65", "128|2"), ("SELECT nlp_embed_w(body) OVER () FROM texts", "300|5"),
                          ("SELECT nlp_embed_w(body) OVER (PARTITION BY part) FROM texts", "300|6"), ("SELECT nlp_embed_w(body) OVER () FROM texts WHERE body IS NULL", "0|0"), ("SELECT nlp_embed_w(body, NULL::text) OVER () FROM texts", "0|0"),
                          ("SELECT nlp_embed_w(body, 'nosuch') OVER () FROM texts WHERE body IS NULL", "0|0"), ("SELECT nlp_embed_w(body) OVER () FROM texts WHERE false", "0|0")):
        out = value(f"SELECT count(v) < 400 FROM ({sql}) x(v); {stats}")
        check(f"inputs|calls of {sql}", out == f"t\n{expected}", out)
    out = value(f"BEGIN; DECLARE c CURSOR FOR SELECT nlp_generate_w(body, 'writer', max_tokens => 2) OVER () FROM texts; MOVE 3 FROM c; CLOSE c; COMMIT; {stats}")
    check("a cursor that is closed ends the work", out == "64|1", out)
    out = value(f"SELECT count(e) FROM (VALUES (1), (2)) v(k), LATERAL (SELECT nlp_embed_w(body) OVER () e FROM texts WHERE id % 2 = k % 2 AND id <= 20) x; {stats}")
    check("a window that is scanned again begins anew", out == "18\n20|2", out)
    long = "(SELECT CASE i WHEN 30 THEN repeat('word ', 300) ELSE 'short ' || i END FROM generate_series(1, 70) i) s(t)"
    fails("a text that fails in the middle of a batch", f"SELECT count(e) FROM (SELECT nlp_embed_w(t, options => '{{\"on_overflow\": \"error\"}}') OVER () FROM {long}) x(e)", "54000", "302")
    check("or gives NULL", value(f"SELECT count(*), count(e), max(length(t)) FILTER (WHERE e IS NULL) FROM (SELECT nlp_embed_w(t, 'minilm', '{{\"on_overflow\": \"error\", \"on_error\": \"null\"}}') OVER (), t FROM {long}) x(e, t)") == "70|69|1500")
    fails("a window form without OVER", "SELECT nlp_embed_w('x')", "42809", "OVER")
    fails("a window form of an unknown model", "SELECT nlp_sentiment_w(body, 'nosuch') OVER () FROM texts", "42704", "nosuch", "nlp pull nosuch")
    fails("a window form in WHERE", "SELECT 1 FROM texts WHERE nlp_sentiment_w(body) OVER () = 'positive'", "42P20", "WHERE")
    out, err = psql("SELECT nlp_generate_w(body, 'writer') OVER () IS NULL FROM texts LIMIT 1; SET statement_timeout = 50; SELECT count(e) FROM (SELECT nlp_generate_w('many words to be read ' || i, 'writer') OVER () FROM generate_series(1, 5000) i) x(e); RESET statement_timeout; SELECT 'usable'")
    check("statement_timeout in the middle of a window", "57014" in err and "usable" in out, err)
    check("2,000 errors in a window, in subtransactions", value("DO $$ BEGIN FOR i IN 1..2000 LOOP BEGIN PERFORM nlp_embed_w('x' || j, 'nosuch') OVER () FROM generate_series(1, 3) j; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$; SELECT nlp_sentiment('still fine')") in ("positive", "negative"))


def check_cancel():
    for name, sql in (("an array of 64 texts", "SELECT count(*) FROM nlp_embed((SELECT array_agg(repeat('many words to compute here ', 40) || i) FROM generate_series(1, 64) i))"),
                      ("2,000 prompts", "SELECT count(*) FROM nlp_generate((SELECT array_agg('a prompt ' || i) FROM generate_series(1, 2000) i), 'writer')"),
                      ("tokenising 40 MB", "SELECT nlp_token_count(repeat('some words and more ', 2000000))")):
        out, err = psql(f"SELECT nlp_embed('warm') IS NULL; SET statement_timeout = 100; \\timing on\n{sql};\n\\timing off\nRESET statement_timeout; SELECT 'usable'")
        took = re.findall(r"Time: ([0-9.]+) ms", out)
        check(f"statement_timeout in {name}", "57014" in err and "usable" in out, f"{err.splitlines()[:1]} {took} ms with a timeout of 100 ms")
    running = subprocess.Popen([*PSQL, "-d", "test"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    running.stdin.write("SELECT pg_backend_pid();\nSELECT count(*) FROM nlp_embed((SELECT array_agg(repeat('many words here ', 80) || i) FROM generate_series(1, 2000) i));\nSELECT 'usable';\n")
    running.stdin.flush()
    pid = running.stdout.readline().strip()
    time.sleep(0.5)
    start = time.monotonic()
    value(f"SELECT pg_cancel_backend({pid})")
    message = running.stdout.readline()
    took = time.monotonic() - start
    running.stdin.close()
    check("pg_cancel_backend", "57014" in message and "usable" in running.stdout.read(), f"{1000 * took:.0f} ms with a new psql")


def pss_private(pid):
    total = 0
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1])
    return total / 1024


def check_sharing():
    sessions = []
    for i in range(8):
        p = subprocess.Popen([*PSQL, "-d", "test"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        p.stdin.write("SELECT pg_backend_pid();\n")
        p.stdin.flush()
        sessions.append((p, int(p.stdout.readline())))
    idle = [pss_private(pid) for _, pid in sessions]
    for p, _ in sessions:
        p.stdin.write("SELECT array_length(nlp_embed('a text of some words to be embedded by each backend'), 1);\n")
        p.stdin.flush()
        p.stdout.readline()
    busy = [pss_private(pid) for _, pid in sessions]
    backing = value("SELECT backing FROM nlp_models WHERE name = 'minilm'")
    for p, _ in sessions:
        p.stdin.close()
        p.wait()
    growth = [b - i for b, i in zip(busy, idle)]
    check("8 backends: private memory beyond an idle backend", max(growth) <= 12, f"at most {max(growth):.1f} MiB each")
    out = value("\\timing on\nSELECT nlp_embed('first') IS NULL;")
    check("first nlp_embed of a new backend", "Time:" in out, re.findall(r"Time: .*", out))
    check("the segment is shared", backing in ("shm", ""), backing)


def check_limits():
    out = value("SELECT nlp_embed('x') IS NULL; SELECT kind, backing IN ('shm', 'file'), bytes > 1000000, processes >= 0 FROM nlp_memory WHERE name = 'minilm'; SELECT bytes > 10000 FROM nlp_memory WHERE kind = 'scratch'")
    check("nlp_memory", out.split("\n") == ["f", "weights|t|t|t", "t"], out)
    fails("a text longer than nlp.max_generate_tokens", "SELECT nlp_generate('x', 'nothing', max_tokens => 5000)", "42704")
    psql("CREATE ROLE small_user LOGIN", "postgres")
    fails("nlp.max_generate_tokens, set by anyone", "LOAD 'nlp'; SET nlp.max_generate_tokens = 10", "42501", user="small_user")
    fails("nlp.max_memory, set by anyone", "SELECT nlp_version(); SET nlp.max_memory = '2GB'", "42501", user="small_user")
    fails("nlp.allowed_models, set by anyone", "SELECT nlp_version(); SET nlp.allowed_models = ''", "42501", user="small_user")
    fails("nlp.model_path, set in a session", "SELECT nlp_version(); SET nlp.model_path = '/'", "55P02")
    for name, setting in {"nlp.threads": "0", "nlp.max_memory": "0", "nlp.batch_tokens": "0", "nlp.on_overflow": "'explode'", "nlp.weight_cache": "'none'", "nlp.max_generate_tokens": "0"}.items():
        fails(f"{name} = {setting}", f"SELECT nlp_version(); SET {name} = {setting}", "22023")


def check_upgrade():
    """A later version of the SQL objects, made up: sessions that are open go on, before and behind the update."""
    folder = os.path.join(value("SELECT setting FROM pg_config WHERE name = 'SHAREDIR'"), "extension")
    script = os.path.join(folder, "nlp--0.1.0--0.1.1.sql")
    with open(script, "w", encoding="utf-8") as file:
        file.write("CREATE FUNCTION nlp_new() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'new' $$;\nALTER FUNCTION nlp_sentiment(text, jsonb) COST 9000;\n")
    os.chmod(script, 0o644)
    with subprocess.Popen([*PSQL, "-d", "test"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as old:
        old.stdin.write("PREPARE p AS SELECT nlp_sentiment(body) FROM (VALUES ('I love it'), ('I hate it')) v (body); EXECUTE p;\n")
        old.stdin.flush()
        first = [old.stdout.readline().strip(), old.stdout.readline().strip()]
        check("ALTER EXTENSION nlp UPDATE", value("ALTER EXTENSION nlp UPDATE TO '0.1.1'; SELECT extversion, nlp_new() FROM pg_extension WHERE extname = 'nlp'") == "0.1.1|new")
        out, _ = old.communicate("EXECUTE p; SELECT nlp_new();\n")
        check("... an old session goes on, with its prepared statement", first == ["positive", "negative"] and out.split() == ["positive", "negative", "new"], out)
    os.remove(script)
    check("DISCARD ALL, as a pool does between clients", value("SELECT nlp_sentiment('I love it'); SET nlp.threads = 2; DISCARD ALL; SHOW nlp.threads; SELECT nlp_sentiment('I hate it')") == "positive\n1\nnegative")


def check_leaks():
    out = value("DO $$ BEGIN FOR i IN 1..2000 LOOP BEGIN PERFORM nlp_embed('x', 'nosuch'); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$; SELECT pg_backend_pid() > 0, nlp_sentiment('still fine')")
    check("2,000 errors in subtransactions", out == "t|positive" or out.startswith("t|"), out)
    symbols = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BUILD, "pg", "nlp.so")], capture_output=True, text=True).stdout
    strange = [s.split()[-1] for s in symbols.splitlines() if not re.match(r"(nlp_pg_|pg_finfo_nlp_pg_|Pg_magic_func|_PG_init)", s.split()[-1])]
    check("no symbol of the core leaves the module", not strange, strange)
    check("DROP EXTENSION and again", value("SET client_min_messages = warning; DROP EXTENSION nlp CASCADE; CREATE EXTENSION nlp; SELECT nlp_sentiment('I love it')").endswith("positive"))


setup()
psql("CREATE ROLE plain LOGIN", "postgres")
psql("GRANT ALL ON SCHEMA public TO plain")
for group in (check_overloads, check_forms, check_same_bits, check_heads, check_day_one, check_bad_input, check_distill, check_fit, check_writing, check_chats, check_window, check_cancel, check_sharing, check_limits, check_upgrade, check_leaks):
    group()
finish()
