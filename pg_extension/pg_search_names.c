/* pg_search_names.c: rows that hold the names of a query: identifiers, numbers, and words that the model only knows in pieces,
 * of which it cannot tell what they mean. Identifiers are lexemes of their own, as they stand between blanks; within longer ones
 * they are found as phrases. */
#include "pg_search.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

enum { MOST_WORDS = 64, MOST_CHUNKS = 1000 };

typedef struct names {
    const nlp_pg_index *index;
    const nlp_pg_allowed *allowed;
    nlp_text query;
    nlp_query_word words[MOST_WORDS];
    bool in_pieces[MOST_WORDS];
    size_t n_words;
    nlp_pg_place places[MOST_WORDS * NLP_NAME_MOST_ROWS];
    nlp_hit hits[MOST_WORDS * NLP_NAME_MOST_ROWS];
    size_t n;
} names;

static nlp_text text_of(const names *s, size_t i) {
    return (nlp_text){s->query.bytes + s->words[i].start, s->words[i].end - s->words[i].start};
}

/* A text of nothing says how many tokens are special. */
static void find_pieces(names *s) {
    nlp_text texts[MOST_WORDS + 1];
    nlp_pg_site site = nlp_pg_site_plain("token_count");
    nlp_model *model = nlp_pg_index_model_of(s->index, CurrentMemoryContext);
    for (size_t i = 0; i < s->n_words; i++) texts[i] = text_of(s, i);
    texts[s->n_words] = (nlp_text){"", 0};
    const nlp_result *result = nlp_pg_site_run(&site, model, texts, NULL, s->n_words + 1, NULL, 0);
    int64 n_special = result->outputs[s->n_words].cells->as.integer;
    for (size_t i = 0; i < s->n_words; i++)
        s->in_pieces[i] = result->outputs[i].cells->as.integer > n_special + 1;
}

/* The word's own lexeme, if it is an identifier; a query that finds nothing else. */
static Datum whole_query(const names *s, size_t word) {
    char name[NLP_NAME_BYTES];
    size_t at = s->words[word].start, n = 0;
    StringInfoData sql;
    initStringInfo(&sql);
    if (s->words[word].kind == NLP_WORD_NAME)
        n = nlp_next_name((nlp_text){s->query.bytes, s->words[word].end}, &at, name);
    if (!n) return CStringGetTextDatum("");
    appendStringInfo(&sql, "'%c", NLP_PG_NAME_SIGN);
    for (size_t i = 0; i < n; i++) {
        if (name[i] == '\'' || name[i] == '\\') appendStringInfoChar(&sql, name[i]);
        appendStringInfoChar(&sql, name[i]);
    }
    appendStringInfoChar(&sql, '\'');
    return nlp_pg_text_datum(sql.data, (size_t)sql.len);
}

/* id, doc, start_pos, end_pos, whether it stands whole; more than `most` where there are so many. Queries
 * of nothing are not made: they would raise notices. */
static uint64 rows_with(const names *s, size_t word, uint64 most) {
    Oid types[2] = {TEXTOID, TEXTOID};
    Datum values[2] = {nlp_pg_index_words(text_of(s, word)), whole_query(s, word)};
    char *config = quote_literal_cstr(s->index->config);
    const char *whole = "CASE WHEN $2 <> '' THEN $2::tsquery END";
    return nlp_pg_execute(
        psprintf(
            "SELECT DISTINCT ON (doc) id, doc, start_pos, end_pos, is_whole FROM (SELECT id, doc, start_pos, end_pos, tsv @@ %s AS is_whole "
            "FROM %s WHERE tsv @@ CASE WHEN to_tsvector(%s::regconfig, $1) <> '' THEN phraseto_tsquery(%s::regconfig, $1) END "
            "OR tsv @@ %s LIMIT %d) c ORDER BY doc, is_whole DESC, id LIMIT " UINT64_FORMAT,
            whole, s->index->chunks, config, config, whole, MOST_CHUNKS, most + 1),
        2, types, values, true);
}

static void add_rows(names *s, size_t word, uint64 most) {
    uint64 n = rows_with(s, word, most);
    for (uint64 i = 0; i < n && n <= most; i++) {
        HeapTuple row = SPI_tuptable->vals[i];
        bool is_null,
            is_whole = DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 5, &is_null));
        s->places[s->n] = nlp_pg_read_place(row, SPI_tuptable->tupdesc);
        if (!nlp_pg_allows(s->allowed, s->places[s->n].chunk)) continue;
        double score = s->words[word].kind != NLP_WORD_NAME ? NLP_NAMED_RARE
                       : is_whole                           ? NLP_NAMED_WHOLE
                                                            : NLP_NAMED_WITHIN;
        s->hits[s->n] = (nlp_hit){s->places[s->n].doc, score};
        s->n++;
    }
}

nlp_pg_named nlp_pg_named_rows(const nlp_pg_index *index, nlp_text query,
                               const nlp_pg_allowed *allowed) {
    names *s = palloc0(sizeof *s);
    s->index = index, s->allowed = allowed, s->query = query;
    s->n_words = nlp_query_words(query, s->words, MOST_WORDS);
    find_pieces(s);
    for (size_t i = 0; i < s->n_words; i++) {
        nlp_word_kind kind = s->words[i].kind;
        if (kind == NLP_WORD_NAME)
            add_rows(s, i, NLP_NAME_MOST_ROWS);
        else if (kind == NLP_WORD_NUMBER || (kind == NLP_WORD_LETTERS && s->in_pieces[i]))
            add_rows(s, i, NLP_RARE_MOST_ROWS);
    }
    size_t n = s->n; /* sorting the places leaves the hits as they are */
    return (nlp_pg_named){nlp_pg_best_rows(s->places, n, n), s->hits, n};
}
