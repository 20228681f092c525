/* sqlite_index_names.c: what the words of a query weigh, and the rows that hold its names: identifiers, numbers, and words
 * that the model only knows in pieces, of which it cannot tell what they mean. */
#include <string.h>

#include "sqlite_index.h"

enum { WORDS = INDEX_WORDS };

typedef struct names {
    nlp_index *ix;
    const index_request *request;
    nlp_text query;
    const nlp_hit *best; /* row by words */
    nlp_query_word words[WORDS];
    size_t n, n_idle;
    bool in_pieces[WORDS];
    double mass, best_mass;
    index_named *found;
} names;

static nlp_text text_of(const names *s, size_t i) {
    return (nlp_text){s->query.bytes + s->words[i].start, s->words[i].end - s->words[i].start};
}

/* ---- Words that the model knows in pieces ---- */

/* A text of nothing says how many tokens are special. */
static int find_pieces(names *s, nlp_model *model) {
    nlp_text texts[WORDS + 1];
    nlp_arguments a = {.model = model};
    const nlp_result *result;
    nlp_error err;
    for (size_t i = 0; i < s->n; i++) texts[i] = text_of(s, i);
    texts[s->n] = (nlp_text){"", 0};
    nlp_status status = nlp_sqlite_run(s->ix->c, nlp_task_find(s->ix->c->engine, "token_count"),
                                       texts, NULL, s->n + 1, &a, &result, &err);
    if (status != NLP_OK) return index_nlp_failed(s->ix, &err);
    for (size_t i = 0; i < s->n; i++)
        s->in_pieces[i] =
            result->outputs[i].cells->as.integer > result->outputs[s->n].cells->as.integer + 1;
    return SQLITE_OK;
}

/* ---- Rows ---- */

/* Whether a row has the word as a piece of its own, and not as a part of a longer name. */
static bool stands_whole(nlp_text text, const char *name, size_t n) {
    char other[NLP_NAME_BYTES];
    for (size_t at = 0, m; (m = nlp_next_name(text, &at, other));)
        if (m == n && !memcmp(name, other, n)) return true;
    return false;
}

static int add(index_named *found, int64_t row, double score) {
    if (found->n == found->capacity) {
        size_t capacity = found->capacity ? 2 * found->capacity : NLP_NAME_MOST_ROWS;
        nlp_hit *hits = sqlite3_realloc64(found->hits, capacity * sizeof *hits);
        if (!hits) return SQLITE_NOMEM;
        found->hits = hits, found->capacity = capacity;
    }
    found->hits[found->n++] = (nlp_hit){row, score};
    return SQLITE_OK;
}

static int add_named(names *s, size_t word, const int64_t *rows, size_t n) {
    char name[NLP_NAME_BYTES];
    size_t at = s->words[word].start;
    size_t n_name = nlp_next_name((nlp_text){s->query.bytes, s->words[word].end}, &at, name);
    sqlite3_stmt *texts;
    int rc = index_row_text_prepare(s->ix, &texts);
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        nlp_text text;
        rc = index_row_text(s->ix, texts, rows[i], &text);
        if (rc != SQLITE_OK) break;
        bool is_whole = stands_whole(text, name, n_name);
        sqlite3_free((char *)text.bytes);
        rc = add(s->found, rows[i], is_whole ? NLP_NAMED_WHOLE : NLP_NAMED_WITHIN);
    }
    sqlite3_finalize(texts);
    return rc;
}

/* ---- Words ---- */

typedef struct rows_of_word { /* the first of them that the request allows */
    int64_t rows[NLP_NAME_MOST_ROWS];
    size_t n;
    int64_t df;
    bool has_best;
} rows_of_word;

static int read_rows(names *s, size_t word, rows_of_word *found) {
    sqlite3_stmt *statement;
    bool has_row;
    char *match = index_match_any(s->query, &s->words[word], 1);
    if (!match) return SQLITE_NOMEM;
    int rc = index_prepare(s->ix, "SELECT rowid FROM $fts(?1)", &statement);
    if (rc == SQLITE_OK) sqlite3_bind_text(statement, 1, match, -1, SQLITE_STATIC);
    while (rc == SQLITE_OK && (rc = index_step(s->ix, statement, &has_row)) == SQLITE_OK &&
           has_row) {
        int64_t row = sqlite3_column_int64(statement, 0);
        found->df++;
        found->has_best = found->has_best || (s->best && row == s->best->id);
        if (found->n < NLP_NAME_MOST_ROWS &&
            (!s->request->is_filtered || index_ids_have(&s->request->allowed, row)))
            found->rows[found->n++] = row;
    }
    sqlite3_finalize(statement);
    sqlite3_free(match);
    return rc;
}

static int use_word(names *s, size_t word, double n_rows) {
    rows_of_word found = {.n = 0};
    nlp_word_kind kind = s->words[word].kind;
    int rc = read_rows(s, word, &found);
    double df = (double)found.df, idf = nlp_bm25_idf(n_rows > df ? n_rows : df, df);
    s->mass += idf;
    if (found.has_best) s->best_mass += idf;
    if (rc != SQLITE_OK) return rc;
    if (kind == NLP_WORD_NAME)
        return found.df <= NLP_NAME_MOST_ROWS ? add_named(s, word, found.rows, found.n) : rc;
    bool is_rare = kind == NLP_WORD_NUMBER || (kind == NLP_WORD_LETTERS && s->in_pieces[word]);
    for (size_t i = 0; is_rare && found.df <= NLP_RARE_MOST_ROWS && i < found.n && rc == SQLITE_OK;
         i++)
        rc = add(s->found, found.rows[i], NLP_NAMED_RARE);
    return rc;
}

int index_find_names(nlp_index *ix, const index_request *request, nlp_model *model, nlp_text query,
                     const nlp_hit *best, index_named *found) {
    names s = {.ix = ix, .request = request, .query = query, .best = best, .found = found};
    int64_t n_rows = 0;
    s.n = index_query_words(ix, query, s.words, WORDS, &s.n_idle);
    int rc = index_number(ix, "SELECT count(*) FROM $fts_docsize", &n_rows);
    if (rc == SQLITE_OK) rc = find_pieces(&s, model);
    for (size_t i = 0; i < s.n && rc == SQLITE_OK; i++) rc = use_word(&s, i, (double)n_rows);
    found->said = nlp_said_by(s.mass, best, s.best_mass, s.n_idle);
    return rc;
}
