-- Every overload of every function: bare literals, NULL, named arguments. What a model computes is shown
-- rounded or as a comparison; tests/pg/pg_tests.py compares the bits with the command line.
\pset null '(null)'

-- nlp_embed
SELECT array_length(nlp_embed('hello'), 1), array_length(nlp_embed('hello', options => '{"dimensions": 10}'), 1);
SELECT array_length(nlp_embed('hello', 'minilm'), 1), array_length(nlp_embed('hello', 'minilm', '{"dimensions": 10}'), 1);
SELECT nlp_embed(text => 'hello', model => 'minilm', options => '{}') = nlp_embed('hello');
SELECT nlp_embed(NULL), nlp_embed('hello', NULL::text), nlp_embed(NULL, 'minilm'), nlp_embed('hello', 'minilm', NULL);
SELECT ord, array_length(embedding, 1) FROM nlp_embed(ARRAY['a', NULL, 'b']);
SELECT ord, array_length(embedding, 1) FROM nlp_embed(ARRAY['a'], options => '{"dimensions": 10}');
SELECT ord, array_length(embedding, 1) FROM nlp_embed(ARRAY['a'], 'minilm');
SELECT ord, array_length(embedding, 1) FROM nlp_embed(texts => ARRAY['a'], model => 'minilm', options => '{"dimensions": 10}');
SELECT count(*) FROM nlp_embed('{}'::text[]);
SELECT count(*) FROM nlp_embed(NULL::text[]);

-- nlp_embed_query
SELECT nlp_embed_query('hello') = nlp_embed('hello'), nlp_embed_query('hello', 'minilm') = nlp_embed_query('hello');
SELECT array_length(nlp_embed_query('hello', options => '{"dimensions": 10}'), 1);
SELECT array_length(nlp_embed_query(text => 'hello', model => 'minilm', options => '{"dimensions": 10}'), 1);
SELECT nlp_embed_query(NULL), nlp_embed_query(NULL, 'minilm');

-- nlp_dims, nlp_similarity, nlp_cosine, nlp_centroid
SELECT nlp_dims(), nlp_dims('minilm'), nlp_dims(model => 'minilm'), nlp_dims(NULL);
SELECT nlp_similarity('a cat', 'a kitten') > 0.5, nlp_similarity('a cat', 'a tax form', 'minilm') < 0.5;
SELECT nlp_similarity(a => 'a cat', b => 'a cat', model => 'minilm', options => '{}') > 0.999;
SELECT nlp_similarity('a cat', 'a cat', options => '{"pooling": "cls"}') > 0.999;
SELECT nlp_similarity(NULL, 'x'), nlp_similarity('x', NULL, 'minilm');
SELECT nlp_cosine('{3,4}', '{4,3}'), nlp_cosine(a => '{1,0}', b => '{0,1}'), nlp_cosine('{0,0}', '{1,1}'), nlp_cosine(NULL, '{1}');
SELECT nlp_centroid(v) FROM (VALUES ('{1,2}'::real[]), ('{3,6}'), (NULL)) t(v);
SELECT nlp_centroid(NULL::real[]);

-- nlp_sentiment, nlp_sentiment_score
SELECT nlp_sentiment('I love it'), nlp_sentiment('I hate it', 'sentiment'), nlp_sentiment('I love it', options => '{}');
SELECT nlp_sentiment(text => 'The box is blue', model => 'sentiment', options => '{"threshold": 1}');
SELECT nlp_sentiment(NULL), nlp_sentiment('x', NULL), nlp_sentiment(NULL, 'sentiment');
SELECT nlp_sentiment_score('I love it') > 0.5, nlp_sentiment_score('I hate it', 'sentiment') < -0.5;
SELECT nlp_sentiment_score('I love it', options => '{}') > 0.5, nlp_sentiment_score(text => 'I love it', model => 'sentiment', options => '{}') > 0.5;
SELECT nlp_sentiment_score(NULL), nlp_sentiment_score(NULL, 'sentiment');

-- nlp_classify, nlp_classify_scores, nlp_confidence
SELECT nlp_classify('I love it'), nlp_classify('I love it', 'sentiment'), nlp_classify('I love it', 'sentiment', '{"max_tokens": 20}');
SELECT nlp_classify('I love it', options => '{}'), nlp_classify(text => 'I love it', model => 'sentiment', options => '{}'::jsonb);
SELECT nlp_classify(NULL), nlp_classify('x', NULL), nlp_classify(NULL, 'sentiment', '{}');
SELECT label, score > 0.5 FROM nlp_classify_scores('I love it');
SELECT label, score > 0.5 FROM nlp_classify_scores('I love it', options => '{}');
SELECT label, score > 0.5 FROM nlp_classify_scores('I love it', 'sentiment');
SELECT label, score > 0.5 FROM nlp_classify_scores('I love it', 'sentiment', '{}');
SELECT label, score > 0.5 FROM nlp_classify_scores(text => 'I love it', model => 'sentiment', options => '{}'::jsonb);
SELECT count(*) FROM nlp_classify_scores(NULL);
SELECT nlp_confidence('I love it') > 0.5, nlp_confidence('I love it', 'sentiment') > 0.5, nlp_confidence('I love it', options => '{}') > 0.5;
SELECT nlp_confidence(text => 'I love it', model => 'sentiment', options => '{}') > 0.5, nlp_confidence(NULL), nlp_confidence(NULL, 'sentiment');

-- Tokens
SELECT nlp_token_count('hello world'), nlp_token_count('hello', 'minilm'), nlp_token_count('hello', options => '{}');
SELECT nlp_token_count(text => 'hello', model => 'minilm', options => '{}'), nlp_token_count(''), nlp_token_count(NULL), nlp_token_count(NULL, 'minilm');
SELECT nlp_unknown_count('hello world'), nlp_unknown_count('runes ᚠᚢ', 'minilm'), nlp_unknown_count('hello', options => '{}');
SELECT nlp_unknown_count(text => 'ᚠ', model => 'minilm', options => '{}'), nlp_unknown_count(''), nlp_unknown_count(NULL), nlp_unknown_count(NULL, 'minilm');
SELECT nlp_tokenize('hello'), nlp_tokenize('hello', 'minilm'), nlp_tokenize('hello', options => '{}');
SELECT nlp_tokenize(text => 'hello', model => 'minilm', options => '{}'), nlp_tokenize(''), nlp_tokenize(NULL), nlp_tokenize(NULL, 'minilm');
SELECT * FROM nlp_tokens('Zürich ok');
SELECT * FROM nlp_tokens('ok', options => '{}');
SELECT * FROM nlp_tokens('ok', 'minilm');
SELECT * FROM nlp_tokens(text => 'ok', model => 'minilm', options => '{}');
SELECT count(*) FROM nlp_tokens(NULL);
SELECT nlp_detokenize('{101,7592,102}'), nlp_detokenize('{7592}', 'minilm'), nlp_detokenize('{7592}', options => '{}');
SELECT nlp_detokenize(ids => '{7592}', model => 'minilm', options => '{}'), nlp_detokenize('{}'), nlp_detokenize(NULL), nlp_detokenize(NULL, 'minilm');
SELECT nlp_would_truncate('x'), nlp_would_truncate(repeat('word ', 300), 'minilm'), nlp_would_truncate('x', options => '{}');
SELECT nlp_would_truncate(text => 'x y', model => 'minilm', options => '{"max_tokens": 3}'), nlp_would_truncate(NULL), nlp_would_truncate(NULL, 'minilm');

-- Labels of one's own; packs of tiny models with random weights, so only the forms are looked at
SELECT nlp_classify('a match', ARRAY['sports', 'cinema'], 'nli') IN ('sports', 'cinema'), nlp_classify('a match', '{sports}'::text[], 'nli');
SELECT nlp_classify('a match', ARRAY['sports', 'cinema'], 'nli', '{"multi_label": true, "hypothesis": "It is {}"}') IN ('sports', 'cinema');
SELECT nlp_classify(text => 'a match', labels => ARRAY['sports'], model => 'nli', options => '{}'), nlp_zero_shot('a match', '{sports}', 'nli'), nlp_zero_shot('a match', ARRAY['sports'], 'nli', '{}');
SELECT nlp_classify('a match', 'nli') IN ('contradiction', 'neutral', 'entailment'), nlp_classify('a match', 'nli', '{}') = nlp_classify('a match', 'nli');
SELECT nlp_classify('a match', NULL::text[], 'nli'), nlp_classify(NULL, ARRAY['sports'], 'nli'), nlp_classify('a match', ARRAY['sports'], NULL::text);
SELECT count(*), round(sum(score)::numeric, 4) FROM nlp_classify_scores('a match', ARRAY['sports', 'cinema', 'weather'], 'nli');
SELECT count(*), max(score) <= 1 FROM nlp_zero_shot_scores('a match', ARRAY['sports', 'cinema'], 'nli', '{"multi_label": true}');
SELECT count(*) FROM nlp_classify_scores(text => 'a match', labels => ARRAY['sports'], model => 'nli', options => '{}');
SELECT nlp_classify('I want my money back', ARRAY['refund', 'shipping']), nlp_zero_shot('Where is my parcel?', ARRAY['refund', 'shipping'], 'minilm');
SELECT label, round(score::numeric, 2) FROM nlp_classify_scores('I want my money back', ARRAY['refund', 'shipping']);
SELECT label, round(score::numeric, 2) FROM nlp_classify_scores('I want my money back', ARRAY['shipping', 'refund'], options => '{"multi_label": true, "hypothesis": "This text is about {}."}');
SELECT nlp_classify_w(t, ARRAY['refund', 'shipping']) OVER () FROM (VALUES ('I want my money back'), (NULL), ('Where is my parcel?')) v(t);
SET nlp.zero_shot_model = 'nli';
SELECT nlp_classify('a match', ARRAY['sports']), nlp_classify('a match', ARRAY['sports'], options => '{"multi_label": true}'), nlp_zero_shot('a match', ARRAY['sports']);
SELECT count(*) FROM nlp_classify_scores('a match', ARRAY['sports', 'cinema']);
SELECT count(*) FROM nlp_zero_shot_scores('a match', ARRAY['sports', 'cinema'], options => '{}');

-- nlp_entities
SELECT * FROM nlp_entities('nothing to see here', 'ner') LIMIT 0;
SELECT label, start_pos, end_pos, entity FROM nlp_entities('IBM and Apple opened offices', 'ner');
SELECT label, start_pos, end_pos, entity FROM nlp_entities('IBM and Apple', 'ner', '{"aggregation": "none"}') WHERE start_pos > 4;
SELECT count(*) FROM nlp_entities(text => 'IBM and Apple', model => 'ner', options => '{"threshold": 1}');
SET nlp.entities_model = 'ner';
SELECT count(*) > 0 FROM nlp_entities('IBM and Apple');
SELECT count(*) > 0 FROM nlp_entities('IBM and Apple', options => '{"aggregation": "average"}');
SELECT count(*) FROM nlp_entities(NULL, 'ner');
SELECT count(*) FROM nlp_entities('', 'ner');

-- nlp_answer, nlp_answer_span
SELECT nlp_answer('Who wrote the play?', 'The play was written by William Shakespeare in 1595.', 'qa');
SELECT * FROM nlp_answer_span('When?', 'No date is given.', 'qa', '{"threshold": 0.01}');
SELECT answer, start_pos, end_pos FROM nlp_answer_span('When?', 'No date is given.', 'qa', '{"threshold": 0.9}');
SELECT nlp_answer(question => 'When?', context => 'No date is given.', model => 'qa', options => '{"max_answer_tokens": 1}');
SET nlp.answer_model = 'qa';
SELECT nlp_answer('When?', 'No date is given.'), nlp_answer('When?', 'No date is given.', options => '{"max_answer_tokens": 2}'), nlp_answer('When?', '');
SELECT answer FROM nlp_answer_span('When?', 'No date is given.');
SELECT answer FROM nlp_answer_span('When?', 'No date is given.', options => '{}');
SELECT nlp_answer(NULL, 'x'), nlp_answer('x', NULL, 'qa'), (SELECT count(*) FROM nlp_answer_span('x', NULL, 'qa'));

-- nlp_fill_mask
SELECT token, round(score::numeric, 3), sequence FROM nlp_fill_mask('Paris is the [MASK] of France.', 'mlm', '{}', 2);
SELECT count(*) FROM nlp_fill_mask('Paris is the [MASK] of France.', 'mlm');
SELECT count(*) FROM nlp_fill_mask('Paris is the [MASK] of France.', 'mlm', '{"k": 3}');
SELECT count(*) FROM nlp_fill_mask('Paris is the [MASK] of France.', model => 'mlm', k => 7);
SELECT count(*) FROM nlp_fill_mask('The [MASK] of [MASK].', 'mlm', k => 2);
SET nlp.fill_mask_model = 'mlm';
SELECT count(*) FROM nlp_fill_mask('Paris is the [MASK] of France.', 4);
SELECT count(*) FROM nlp_fill_mask('Paris is the [MASK] of France.', options => '{"k": 6}');
SET nlp.on_overflow = 'chunk'; -- which this task does not have
SELECT count(*) FROM nlp_fill_mask('Paris is the [MASK] of France.');
RESET nlp.on_overflow;
SELECT count(*) FROM nlp_fill_mask(NULL, 'mlm');

-- nlp_rerank_score, nlp_rerank
SELECT nlp_rerank_score('a dog', 'an animal', 'yesno', '{"yes": "y", "no": "n"}') BETWEEN 0 AND 1;
SELECT nlp_rerank_score(query => 'a dog', document => 'an animal', model => 'yesno', options => '{"yes": "y", "no": "n", "prompt": "{query}: {document}? "}') BETWEEN 0 AND 1;
SELECT count(*), min(ord), max(ord), min(document) FROM nlp_rerank('a dog', ARRAY['an animal', 'a tax form', ''], 'yesno', '{"yes": "y", "no": "n"}');
SELECT count(*) FROM nlp_rerank('a dog', ARRAY['an animal', 'a tax form'], 'yesno', '{"yes": "y", "no": "n"}', 1);
SELECT count(*) FROM nlp_rerank(query => 'a dog', documents => '{}', model => 'yesno', options => '{"yes": "y", "no": "n"}', k => 1);
SELECT round(nlp_rerank_score('a dog', 'an animal', 'pairs')::numeric, 4) = round((1 / (1 + exp(-nlp_rerank_score('a dog', 'an animal', 'pairs', '{"raw": true}'))))::numeric, 4);
SELECT ord, document, score = nlp_rerank_score('a dog', document)::real AS same FROM nlp_rerank('a dog', ARRAY['a tax form', 'an animal']);
SELECT ord, document FROM nlp_rerank('a dog', ARRAY['a tax form', 'an animal'], 'minilm', k => 1);
SET nlp.rerank_model = 'yesno';
SELECT nlp_rerank_score('a dog', 'an animal', options => '{"yes": "y", "no": "n"}') BETWEEN 0 AND 1;
SELECT count(*) FROM nlp_rerank('a dog', ARRAY['an animal', 'a tax form'], 1, '{"yes": "y", "no": "n"}');
SELECT count(*) FROM nlp_rerank('a dog', ARRAY['an animal', 'a tax form'], options => '{"yes": "y", "no": "n"}');
SELECT nlp_rerank_score(NULL, 'x'), nlp_rerank_score('x', NULL, 'yesno'), (SELECT count(*) FROM nlp_rerank('x', NULL, 'yesno'));

-- nlp_filter
SELECT nlp_filter('The phone has a great battery.', 'a phone'), nlp_filter('The phone has a great battery.', 'a tax form'), nlp_filter('The phone has a great battery.', 'a tax form', 0);
SELECT nlp_filter('The phone has a great battery.', 'a phone', 1), nlp_filter('The phone has a great battery.', 'a phone', threshold => 0.9999), nlp_filter('The phone has a great battery.', 'a phone', options => '{"threshold": 0.3}'), nlp_filter('The phone has a great battery.', 'a phone', 1, '{"threshold": 0.3}');
SELECT nlp_filter('The phone has a great battery.', 'a phone', 'minilm'), nlp_filter('The phone has a great battery.', 'a phone', 'minilm', '{"threshold": 1}'), nlp_filter(text => 'The phone has a great battery.', condition => 'a phone', model => 'minilm', threshold => 0.3), nlp_filter('The phone has a great battery.', 'a phone', 'minilm', '{}', 1);
SET nlp.filter_model = 'nli';
SELECT nlp_filter('a match', 'Somebody won.') = nlp_filter('a match', 'Somebody won.', 'nli'), nlp_filter('a match', 'Somebody won.', 'talker', threshold => 0), nlp_filter('a match', 'Somebody won.', 'talker', threshold => 1);
RESET nlp.filter_model;
SELECT nlp_filter(NULL, 'x'), nlp_filter('x', NULL), nlp_filter('x', 'y', NULL::text), nlp_filter('x', 'y', NULL::float8), nlp_filter('x', 'y', threshold => NULL);

-- nlp_chunk
SELECT * FROM nlp_chunk('Paris is big. London is old! Rome is far.', 8, 4);
SELECT ord, chunk FROM nlp_chunk('Paris is big. London is old!', 4, 0, 'token');
SELECT ord, chunk FROM nlp_chunk('Paris is big. London is old!', max_tokens => 4, overlap => 1, by => 'token');
SELECT ord, chunk FROM nlp_chunk('Paris is big.' || chr(10) || chr(10) || 'London is old!', 4, 0, by => 'paragraph');
SELECT ord, chunk FROM nlp_chunk('Paris is big. London is old!', options => '{"max_tokens": 4, "overlap": 0}');
SELECT ord, chunk FROM nlp_chunk('Paris is big. London is old!', 100, options => '{"max_tokens": 4, "overlap": 0, "by": "sentence"}');
SELECT count(*) FROM nlp_chunk('Paris is big. London is old!');
SELECT count(*) FROM nlp_chunk('Paris is big. London is old!', 'minilm');
SELECT ord, chunk FROM nlp_chunk('Paris is big. London is old!', 'minilm', options => '{"max_tokens": 4, "overlap": 0}');
SELECT ord, chunk FROM nlp_chunk('Paris is big. London is old!', model => 'minilm', max_tokens => 5, overlap => 0, by => 'token');
SELECT count(*), (SELECT count(*) FROM nlp_chunk(NULL)), (SELECT count(*) FROM nlp_chunk('x', NULL::text)), (SELECT count(*) FROM nlp_chunk('x', NULL::int)) FROM nlp_chunk(' ');

-- Texts that are written
SELECT length(nlp_generate('x', 'writer')) > 0, length(nlp_generate('x', 'writer', '{"max_tokens": 3}')) > 0, length(nlp_generate('x', model => 'writer', max_tokens => 3)) > 0;
SET nlp.generate_model = 'writer';
SELECT nlp_generate('x', 3) = nlp_generate('x', 'writer', max_tokens => 3), nlp_generate('x', options => '{"max_tokens": 3}') = nlp_generate('x', 3), nlp_generate('x', max_tokens => 3) = nlp_generate('x', 3);
SELECT ord, text = nlp_generate('x', 3) AS same FROM nlp_generate(ARRAY['x', NULL, 'x'], 3);
SELECT count(*) FROM nlp_generate(ARRAY['x', 'y'], 'writer', '{"max_tokens": 3}');
SELECT string_agg(token, '') = nlp_generate('x', 3) AS same, count(*) FROM nlp_generate_stream('x', 3);
SELECT string_agg(token, '') = nlp_generate('x', 3) AS same, count(*) FROM nlp_generate_stream('x', 'writer', max_tokens => 3);
SELECT step, done FROM nlp_generate_stream('x', 'writer', '{"max_tokens": 2}');
SELECT nlp_generate(NULL, 'writer'), nlp_generate('x', NULL::text), (SELECT count(*) FROM nlp_generate_stream('x', NULL::text));
SELECT length(nlp_chat('"x"', 'talker')) > 0, length(nlp_chat('"x"', 'talker', '{"max_tokens": 3}')) > 0, length(nlp_chat('"x"', model => 'talker', max_tokens => 3)) > 0;
SET nlp.chat_model = 'talker';
SELECT nlp_chat('"x"', 3) = nlp_chat('"x"', 'talker', max_tokens => 3), nlp_chat('"x"', options => '{"max_tokens": 3}') = nlp_chat('"x"', 3), nlp_chat(NULL), nlp_chat('"x"', NULL::text);
SELECT nlp_chat_create('s') IS NOT NULL, nlp_chat_create('s', 'talker') IS NOT NULL, nlp_chat_create(NULL, NULL) IS NOT NULL;
SELECT nlp_chat_create() AS plain, nlp_chat_create(model => 'talker', system => 's') AS named \gset
SELECT nlp_chat_send(:'plain', 'x') = nlp_chat('"x"'), nlp_chat_send(:'named', 'x', '{"max_tokens": 3}') IS NOT NULL, nlp_chat_send(:'named', 'y', '{}', 3) IS NOT NULL, nlp_chat_send(session => :'named', text => 'z', max_tokens => 3, options => '{"stop": "e"}') IS NOT NULL;
SELECT nlp_chat_send(NULL, 'x'), nlp_chat_send(:'plain', NULL), nlp_chat_send(:'plain', 'x', NULL), nlp_chat_send(:'plain', 'x', max_tokens => NULL);
SELECT seq, role, content IN ('s', 'x', 'y', 'z') AS ours, at <= clock_timestamp() AS past FROM nlp_chat_history(:'named');
SELECT count(*), (SELECT count(*) FROM nlp_chat_history(session => :'plain')) FROM nlp_chat_history(NULL);
SELECT nlp_summarize('It rained.', 'talker', max_tokens => 3) = nlp_summarize('It rained.', 'talker', '{"max_tokens": 3}'), nlp_summarize(' ', model => 'talker') = '';
SET nlp.summarize_model = 'talker';
SELECT nlp_summarize('It rained.', 3) = nlp_summarize('It rained.', options => '{"max_tokens": 3}'), nlp_summarize(NULL), nlp_summarize('x', NULL::text);
SELECT nlp_extract('x', '{"type": "boolean"}', 'talker') IN ('true', 'false'), jsonb_typeof(nlp_extract('x', '{"type": "integer"}', 'talker', '{"max_tokens": 3}')), jsonb_typeof(nlp_extract('x', model => 'talker', schema => '{"type": "null"}'));
SET nlp.extract_model = 'talker';
SELECT jsonb_typeof(nlp_extract('x', '{"type": "integer"}')), jsonb_typeof(nlp_extract('x', '{"type": "integer"}', options => '{"max_tokens": 3}')), nlp_extract(NULL, '{}'), nlp_extract('x', NULL), nlp_extract('x', '{}', NULL);
SELECT nlp_translate('x', 'fr', 'polyglot', '{"max_tokens": 3}') IS NOT NULL, nlp_translate('', 'fr', model => 'polyglot') = '', nlp_translate('x', NULL), nlp_translate(NULL, 'fr', 'polyglot');
SET nlp.translate_model = 'polyglot';
SELECT nlp_translate('x', 'fr', options => '{"max_tokens": 3}') = nlp_translate('x', 'fr', 'polyglot', '{"max_tokens": 3}'), nlp_translate('', target => 'fr') = '';

-- The window forms: every overload
SELECT bool_and(nlp_embed(t) = a AND a = b AND array_length(c, 1) = 10 AND c = d) FROM (SELECT t, nlp_embed_w(t) OVER () a, nlp_embed_w(t, 'minilm') OVER () b, nlp_embed_w(t, options => '{"dimensions": 10}') OVER () c, nlp_embed_w(text => t, model => 'minilm', options => '{"dimensions": 10}') OVER () d FROM (VALUES ('a'), ('b')) v(t)) x;
SELECT bool_and(a = b AND c = d) FROM (SELECT nlp_embed_query_w(t) OVER () a, nlp_embed_query_w(t, 'minilm') OVER () b, nlp_embed_query_w(t, options => '{"dimensions": 10}') OVER () c, nlp_embed_query_w(t, 'minilm', '{"dimensions": 10}') OVER () d FROM (VALUES ('a')) v(t)) x;
SELECT nlp_sentiment_w(t) OVER (), nlp_sentiment_w(t, 'sentiment') OVER (), nlp_sentiment_w(t, options => '{"threshold": 1}') OVER (), nlp_sentiment_w(t, 'sentiment', '{"threshold": 1}') OVER () FROM (VALUES ('I love it'), (NULL), ('I hate it')) v(t);
SELECT nlp_sentiment_score_w(t) OVER () > 0.5, nlp_sentiment_score_w(t, 'sentiment') OVER () > 0.5, nlp_sentiment_score_w(t, options => '{}') OVER () > 0.5, nlp_sentiment_score_w(t, 'sentiment', '{}') OVER () > 0.5 FROM (VALUES ('I love it'), (NULL)) v(t);
SELECT nlp_classify_w(t) OVER (), nlp_classify_w(t, 'sentiment') OVER (), nlp_classify_w(t, options => '{}') OVER (), nlp_classify_w(t, 'sentiment', '{}') OVER (), nlp_classify_w(t, 'sentiment', '{}'::jsonb) OVER (), nlp_classify_w(t, NULL) OVER () FROM (VALUES ('I love it'), (NULL)) v(t);
SELECT nlp_confidence_w(t) OVER () > 0.5, nlp_confidence_w(t, 'sentiment') OVER () > 0.5, nlp_confidence_w(t, options => '{}') OVER () > 0.5, nlp_confidence_w(t, 'sentiment', '{}') OVER () > 0.5 FROM (VALUES ('I love it'), (NULL)) v(t);
SELECT nlp_classify_w(t, ARRAY['x']) OVER (), nlp_classify_w(t, ARRAY['x'], options => '{}') OVER (), nlp_classify_w(t, ARRAY['x'], 'nli') OVER (), nlp_classify_w(t, ARRAY['x'], 'nli', '{}') OVER (), nlp_classify_w(t, NULL::text[]) OVER () FROM (VALUES ('a'), (NULL)) v(t);
SELECT nlp_zero_shot_w(t, ARRAY['x']) OVER (), nlp_zero_shot_w(t, ARRAY['x'], options => '{}') OVER (), nlp_zero_shot_w(t, '{x}', 'nli') OVER (), nlp_zero_shot_w(t, ARRAY['x'], 'nli', '{}') OVER () FROM (VALUES ('a'), (NULL)) v(t);
SELECT nlp_filter_w(t, 'a phone') OVER (), nlp_filter_w(t, 'a phone', 0.9999) OVER (), nlp_filter_w(t, 'a phone', options => '{"threshold": 0.3}') OVER (), nlp_filter_w(t, 'a phone', 'minilm') OVER (), nlp_filter_w(t, 'a phone', 'minilm', '{}', 0.9999) OVER (), nlp_filter_w(t, NULL) OVER () FROM (VALUES ('The phone has a great battery.'), (NULL), ('A tax form.')) v(t);
SELECT bool_and(a = nlp_generate(t, 3) AND a = b AND b = c AND c = d AND d = e) FROM (SELECT t, nlp_generate_w(t, 3) OVER () a, nlp_generate_w(t, options => '{"max_tokens": 3}') OVER () b, nlp_generate_w(t, 'writer', max_tokens => 3) OVER () c, nlp_generate_w(t, 'writer', '{"max_tokens": 3}') OVER () d, nlp_generate_w(t, 5, '{"max_tokens": 3}') OVER () e FROM (VALUES ('x'), ('y')) v(t)) x;
SELECT bool_and(a = nlp_summarize(t, 3) AND a = b AND b = c AND c = d) FROM (SELECT t, nlp_summarize_w(t, 3) OVER () a, nlp_summarize_w(t, options => '{"max_tokens": 3}') OVER () b, nlp_summarize_w(t, 'talker', max_tokens => 3) OVER () c, nlp_summarize_w(t, 'talker', '{"max_tokens": 3}') OVER () d FROM (VALUES ('It rained.'), ('y')) v(t)) x;
SELECT nlp_extract_w(t, '{"const": 1}') OVER (), nlp_extract_w(t, '{"const": 1}', options => '{"max_tokens": 3}') OVER (), nlp_extract_w(t, '{"const": 1}', 'talker') OVER (), nlp_extract_w(t, '{"const": 1}', 'talker', '{"max_tokens": 3}') OVER (), nlp_extract_w(t, NULL) OVER () FROM (VALUES ('x'), (NULL)) v(t);
SELECT nlp_translate_w(t, 'fr') OVER (), nlp_translate_w(t, 'fr', options => '{"max_tokens": 3}') OVER (), nlp_translate_w(t, 'fr', 'polyglot') OVER (), nlp_translate_w(t, 'fr', 'polyglot', '{"max_tokens": 3}') OVER () FROM (VALUES (''), (NULL)) v(t);

-- nlp_fit and the packs that it makes
CREATE TABLE samples AS SELECT CASE i % 2 WHEN 0 THEN 'refund my order ' ELSE 'reset my password ' END || i AS body,
    CASE i % 2 WHEN 0 THEN 'money' ELSE 'access' END AS label FROM generate_series(1, 60) i;
SELECT metric, value FROM nlp_fit('intents', 'SELECT body, label FROM samples') WHERE metric = 'accuracy';
SELECT nlp_classify('I want my money back', 'intents');
SELECT metric, value FROM nlp_fit('intents2', 'SELECT body, label FROM samples', 'minilm', '{"l2": 0.01}') WHERE metric = 'accuracy';
SELECT count(*) > 0 FROM nlp_fit(name => 'intents3', query => 'SELECT body, label FROM samples', base_model => 'minilm', options => '{}');
SELECT count(*) FROM nlp_fit(NULL, 'SELECT body, label FROM samples');
SELECT metric, value FROM nlp_evaluate('intents', 'SELECT body, label FROM samples') LIMIT 4;
SELECT metric, value FROM nlp_evaluate(model => 'intents', query => 'SELECT body, label FROM samples') WHERE metric = 'f1:money';
SELECT count(*) FROM nlp_evaluate(NULL, 'SELECT body, label FROM samples');
SELECT metric, value FROM nlp_distill('taught', 'SELECT body || n FROM samples, generate_series(1, 5) n', ARRAY['refund', 'password']) WHERE metric LIKE 'rows_s%';
SELECT count(*) > 0 FROM nlp_distill('taught', 'SELECT body || n FROM samples, generate_series(1, 5) n', ARRAY['refund', 'password'], '{"sample": 200}');
SELECT count(*) > 0 FROM nlp_distill(name => 'taught', query => 'SELECT body || n FROM samples, generate_series(1, 5) n', labels => '{refund,password}', options => '{}');
SELECT count(*) FROM nlp_distill('taught', 'SELECT body FROM samples', NULL);
SELECT nlp_drop_model('taught');
SELECT length(nlp_pack('intents')) > 1000, nlp_pack('nosuch'), nlp_pack(NULL);
SELECT nlp_drop_model('intents2'), nlp_drop_model(model => 'intents3'), nlp_drop_model('nosuch'), nlp_drop_model(NULL);
SELECT nlp_pack_put('copy', nlp_pack('intents'));
SELECT nlp_classify('I forgot my password', 'copy');

-- What is there
SELECT name, tasks <> '' AS tasks, "precision", backing, dims, max_tokens, problem FROM nlp_models WHERE name IN ('minilm', 'sentiment', 'copy') ORDER BY name;
SELECT forward_passes > 0, truncated, errors FROM nlp_stats;
SELECT nlp_version() ~ '^[0-9]+\.[0-9]+', nlp_build_info() LIKE '%isa%';

-- Every task has both forms; without a model STABLE, with one IMMUTABLE
SELECT count(*) FROM _nlp.task_names() t WHERE NOT EXISTS (SELECT FROM pg_proc WHERE proname = 'nlp_' || t AND provolatile = 's' AND NOT 'model' = ANY (proargnames))
    OR NOT EXISTS (SELECT FROM pg_proc WHERE proname = 'nlp_' || t AND provolatile = 'i' AND 'model' = ANY (proargnames));
SELECT count(*) FROM _nlp.task_names() t JOIN pg_proc ON proname = 'nlp_' || t WHERE NOT (proisstrict OR t = 'chunk') OR proparallel <> 's';
-- A window form is like its scalar form but for being one, and never strict
SELECT count(*) > 20, bool_and(w.prokind = 'w' AND NOT w.proisstrict AND (w.provolatile, w.procost, w.prorettype, w.proparallel, w.proargnames, w.pronargdefaults) = (f.provolatile, f.procost, f.prorettype, f.proparallel, f.proargnames, f.pronargdefaults) AND w.prosrc = f.prosrc || '_w')
    FROM pg_proc w LEFT JOIN pg_proc f ON f.proname || '_w' = w.proname AND f.proargtypes = w.proargtypes WHERE w.proname LIKE 'nlp\_%\_w';
DROP TABLE samples;
