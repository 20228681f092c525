/* pg_search_text.c: a search by words: a GIN index finds the chunks that have some of them, BM25 says how good they are. How many
 * chunks have a word is counted among the found ones; only of words that are too common to be looked for it is known from the
 * statistics, so these may be old without harm. */
#include "pg_search.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "tsearch/ts_type.h"
#include "tsearch/ts_utils.h"
#include "utils/builtins.h"

/* Lucene's defaults are 1.2 and 0.75; these are Anserini's */
static const double k1 = 0.9, b = 0.4;
enum { MOST_TERMS = 64, MOST_CANDIDATES = 50000, FETCH = 1000 };

typedef struct term {
    char *lexeme;
    int n_bytes;
    double df;      /* by the statistics; 0: not known */
    bool is_sought; /* all chunks that have it are among the candidates */
    uint32 found;
} term;

typedef struct text_search {
    const nlp_pg_index *index;
    const nlp_pg_allowed *allowed;
    term terms[MOST_TERMS];
    int n_terms;
    nlp_bm25 corpus;
    nlp_pg_place *places;
    uint32 *lengths;
    uint16 *frequencies; /* [n][n_terms] */
    size_t n;
    double sum_of_lengths;
    bool is_cut; /* at MOST_CANDIDATES */
} text_search;

/* ---- The query's words ---- */

static void read_corpus(text_search *s) {
    bool is_null;
    if (!nlp_pg_execute(
            psprintf(
                "SELECT greatest(df, (SELECT reltuples FROM pg_class WHERE oid = %s::regclass))::float8, length FROM %s WHERE term = ''",
                quote_literal_cstr(s->index->chunks), s->index->terms),
            0, NULL, NULL, true))
        return;
    HeapTuple row = SPI_tuptable->vals[0];
    s->corpus.n_documents = DatumGetFloat8(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null));
    s->corpus.average_length =
        DatumGetFloat8(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &is_null));
    if (is_null) s->corpus.average_length = 0;
}

/* Rare ones first. */
static void read_terms(text_search *s, Datum query) {
    Oid type = TEXTOID;
    bool is_null;
    uint64 n = nlp_pg_execute(
        psprintf(
            "SELECT l.lexeme, coalesce(t.df, 0)::float8 FROM unnest(to_tsvector(%s::regconfig, $1)) l LEFT JOIN %s t ON t.term = l.lexeme "
            "WHERE l.lexeme <> '' ORDER BY t.df NULLS FIRST, l.lexeme LIMIT %d",
            quote_literal_cstr(s->index->config), s->index->terms, MOST_TERMS),
        1, &type, &query, true);
    for (uint64 i = 0; i < n; i++) {
        term *t = &s->terms[s->n_terms++];
        *t = (term){.lexeme = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
                    .df = DatumGetFloat8(
                        SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &is_null))};
        t->n_bytes = (int)strlen(t->lexeme);
    }
}

/* As many as together are in no more chunks than can be looked at. */
static int choose_sought(text_search *s) {
    double together = 0;
    int n = 0;
    for (; n < s->n_terms && together + s->terms[n].df <= MOST_CANDIDATES; n++) {
        together += s->terms[n].df;
        s->terms[n].is_sought = true;
    }
    return n;
}

static void append_lexeme(StringInfo sql, const char *lexeme) {
    appendStringInfoChar(sql, '\'');
    for (; *lexeme; lexeme++) {
        if (*lexeme == '\'' || *lexeme == '\\') appendStringInfoChar(sql, *lexeme);
        appendStringInfoChar(sql, *lexeme);
    }
    appendStringInfoChar(sql, '\'');
}

/* One of the sought words; where each is too common, all words. */
static Datum tsquery_of(text_search *s) {
    int n_sought = choose_sought(s);
    StringInfoData text;
    initStringInfo(&text);
    for (int i = 0; i < (n_sought ? n_sought : s->n_terms); i++) {
        if (i) appendStringInfoString(&text, n_sought ? " | " : " & ");
        append_lexeme(&text, s->terms[i].lexeme);
    }
    return CStringGetTextDatum(text.data);
}

/* ---- Candidates ---- */

static int compare_lexeme(TSVector words, const WordEntry *entry, const term *t) {
    return tsCompareString(STRPTR(words) + entry->pos, (int)entry->len, t->lexeme, t->n_bytes,
                           false);
}

/* Lexemes of a tsvector are in order. */
static uint16 frequency(TSVector words, const term *t) {
    WordEntry *entries = ARRPTR(words);
    int low = 0, high = words->size;
    while (low < high) {
        int middle = (low + high) / 2, order = compare_lexeme(words, &entries[middle], t);
        if (!order) return (uint16)Max(1, POSDATALEN(words, &entries[middle]));
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* How many words it stands for; names are of these. */
static uint32 length_of(TSVector words) {
    uint32 n = 0;
    for (int i = 0; i < words->size; i++) {
        const WordEntry *entry = ARRPTR(words) + i;
        bool is_name = entry->len && STRPTR(words)[entry->pos] == NLP_PG_NAME_SIGN;
        if (!is_name) n += (uint32)Max(1, POSDATALEN(words, entry));
    }
    return n;
}

PG_FUNCTION_INFO_V1(nlp_pg_tsvector_length);
Datum nlp_pg_tsvector_length(PG_FUNCTION_ARGS) {
    PG_RETURN_INT32((int32)length_of(PG_GETARG_TSVECTOR(0)));
}

/* a place, tsv */
static void add(text_search *s, HeapTuple row, TupleDesc desc) {
    bool is_null;
    TSVector words = DatumGetTSVector(SPI_getbinval(row, desc, NLP_PG_PLACE_COLUMNS + 1, &is_null));
    nlp_pg_place *p = &s->places[s->n];
    *p = nlp_pg_read_place(row, desc);
    if (!nlp_pg_allows(s->allowed, p->chunk))
        return; /* nor does it count: scores tell nothing of it */
    uint16 *frequencies = s->frequencies + s->n * (size_t)s->n_terms;
    for (int i = 0; i < s->n_terms; i++) {
        frequencies[i] = frequency(words, &s->terms[i]);
        s->terms[i].found += frequencies[i] > 0;
    }
    s->lengths[s->n] = length_of(words);
    s->sum_of_lengths += s->lengths[s->n];
    s->n++;
}

static bool add_candidates(void *context) {
    text_search *s = context;
    for (uint64 i = 0; i < SPI_processed && !(s->is_cut = s->n == MOST_CANDIDATES); i++)
        add(s, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
    return !s->is_cut;
}

static void find(text_search *s, Datum tsquery) {
    Oid type = TEXTOID;
    SPIPlanPtr plan = SPI_prepare(
        psprintf("SELECT " NLP_PG_PLACE ", tsv FROM %s WHERE tsv @@ $1::tsquery", s->index->chunks),
        1, &type);
    s->places = palloc(MOST_CANDIDATES * sizeof *s->places);
    s->lengths = palloc(MOST_CANDIDATES * sizeof *s->lengths);
    s->frequencies = MemoryContextAllocHuge(
        CurrentMemoryContext, (Size)MOST_CANDIDATES * (Size)s->n_terms * sizeof *s->frequencies);
    nlp_pg_read_cursor(SPI_cursor_open(NULL, plan, &tsquery, NULL, true), FETCH, add_candidates, s);
}

/* ---- Scores ---- */

static double document_frequency(const text_search *s, const term *t) {
    return t->is_sought && !s->is_cut ? t->found : Max(t->df, (double)t->found);
}

static void score(text_search *s) {
    nlp_bm25 *corpus = &s->corpus;
    corpus->k1 = k1, corpus->b = b;
    corpus->n_documents = Max(corpus->n_documents, (double)s->n);
    if (corpus->average_length <= 0)
        corpus->average_length = s->n ? s->sum_of_lengths / (double)s->n : 1;
    for (size_t i = 0; i < s->n; i++)
        for (int t = 0; t < s->n_terms; t++) {
            uint16 tf = s->frequencies[i * (size_t)s->n_terms + (size_t)t];
            if (tf)
                s->places[i].score +=
                    nlp_bm25_score(corpus, document_frequency(s, &s->terms[t]), tf, s->lengths[i]);
        }
}

/* Words without a lexeme only build sentences. */
static nlp_said said_by(const text_search *s, nlp_text query) {
    nlp_query_word words[MOST_TERMS];
    double mass = 0, best_mass = 0;
    size_t best = 0, n_words = nlp_query_words(query, words, MOST_TERMS);
    for (size_t i = 1; i < s->n; i++)
        if (s->places[i].score > s->places[best].score) best = i;
    for (int t = 0; t < s->n_terms; t++) {
        double idf = nlp_bm25_idf(s->corpus.n_documents, document_frequency(s, &s->terms[t]));
        mass += idf;
        if (s->n && s->frequencies[best * (size_t)s->n_terms + (size_t)t]) best_mass += idf;
    }
    nlp_hit hit = {0, s->n ? s->places[best].score : 0};
    return nlp_said_by(mass, s->n ? &hit : NULL, best_mass,
                       n_words > (size_t)s->n_terms ? n_words - (size_t)s->n_terms : 0);
}

nlp_pg_places nlp_pg_text_half(const nlp_pg_index *index, nlp_text query,
                               const nlp_pg_allowed *allowed, size_t most, nlp_said *said) {
    text_search *s = palloc0(sizeof *s);
    s->index = index, s->allowed = allowed;
    read_corpus(s);
    read_terms(s, nlp_pg_index_words(query));
    if (!s->n_terms) return (nlp_pg_places){0};
    find(s, tsquery_of(s));
    score(s);
    *said = said_by(s, query);
    return nlp_pg_best_rows(s->places, s->n, most);
}
