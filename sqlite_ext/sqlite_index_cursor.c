/* sqlite_index_cursor.c: rows of a search, or of the table as it is, and their columns. */
#include <stdlib.h>
#include <string.h>

#include "sqlite_index.h"

enum { SNIPPET = 300, LOOKED_AT = 1 << 20 /* bytes of a long text that are searched for words */ };

typedef struct index_cursor {
    sqlite3_vtab_cursor base;
    /* of a search */
    bool is_search;
    index_request request;
    char *query;
    index_row *rows;
    size_t n, at;
    /* of a scan: rowids come from here */
    sqlite3_stmt *scan;
    bool is_done;
    int64_t rowid;
    /* of the row where it stands; made when they are asked for */
    sqlite3_stmt *columns, *texts, *row_text;
    bool has_columns, has_texts, has_snippet;
    char *snippet;
    int64_t start_pos, end_pos;
} index_cursor;

static nlp_index *index_of(index_cursor *cu) {
    return (nlp_index *)cu->base.pVtab;
}

int index_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    index_cursor *cu = sqlite3_malloc(sizeof *cu);
    (void)vtab;
    if (!cu) return SQLITE_NOMEM;
    memset(cu, 0, sizeof *cu);
    *out = &cu->base;
    return SQLITE_OK;
}

static void leave_row(index_cursor *cu) {
    if (cu->columns) sqlite3_reset(cu->columns);
    if (cu->texts) sqlite3_reset(cu->texts);
    sqlite3_free(cu->snippet);
    cu->snippet = NULL;
    cu->has_columns = cu->has_texts = cu->has_snippet = false;
}

static void clear(index_cursor *cu) {
    leave_row(cu);
    sqlite3_finalize(cu->scan);
    sqlite3_finalize(cu->columns);
    sqlite3_finalize(cu->texts);
    sqlite3_finalize(cu->row_text);
    sqlite3_free(cu->rows);
    sqlite3_free(cu->query);
    index_request_free(&cu->request);
    sqlite3_vtab_cursor base = cu->base;
    memset(cu, 0, sizeof *cu);
    cu->base = base;
}

int index_close(sqlite3_vtab_cursor *cursor) {
    clear((index_cursor *)cursor);
    sqlite3_free(cursor);
    return SQLITE_OK;
}

/* ---- Filter and next ---- */

static int step_scan(index_cursor *cu) {
    bool has_row;
    int rc = index_step(index_of(cu), cu->scan, &has_row);
    cu->is_done = rc != SQLITE_OK || !has_row;
    cu->rowid = has_row ? sqlite3_column_int64(cu->scan, 0) : 0;
    return rc;
}

static int begin_scan(index_cursor *cu) {
    bool has_rowid = cu->request.has_rowid;
    const char *sql =
        has_rowid ? "SELECT $key FROM $content WHERE $key = ?1" : "SELECT $key FROM $content";
    int rc = index_prepare(index_of(cu), sql, &cu->scan);
    if (rc != SQLITE_OK) return rc;
    if (has_rowid) sqlite3_bind_int64(cu->scan, 1, cu->request.rowid);
    return step_scan(cu);
}

static int begin_search(index_cursor *cu) {
    nlp_text query = nlp_sqlite_text(cu->request.query);
    if (query.bytes) {
        cu->query = sqlite3_mprintf("%.*s", (int)query.n_bytes, query.bytes);
        if (!cu->query) return SQLITE_NOMEM;
    }
    int rc = index_search(index_of(cu), &cu->request, &cu->rows, &cu->n);
    cu->request.query = NULL; /* it was lent for this call */
    return rc;
}

int index_filter(sqlite3_vtab_cursor *cursor, int n, const char *plan, int argc,
                 sqlite3_value **argv) {
    index_cursor *cu = (index_cursor *)cursor;
    nlp_index *ix = index_of(cu);
    clear(cu);
    cu->is_search = n;
    if (ix->spec.is_missing)
        return index_fail(ix, SQLITE_ERROR,
                          "%s follows the table %s, which is gone: DROP TABLE \"%w\"", ix->name,
                          ix->spec.content, ix->name);
    int rc = index_request_read(ix, plan, argc, argv, &cu->request);
    if (rc == SQLITE_OK) rc = n ? begin_search(cu) : begin_scan(cu);
    nlp_sqlite_idle(ix->c);
    return rc;
}

int index_next(sqlite3_vtab_cursor *cursor) {
    index_cursor *cu = (index_cursor *)cursor;
    leave_row(cu);
    if (!cu->is_search) return step_scan(cu);
    cu->at++;
    return SQLITE_OK;
}

int index_eof(sqlite3_vtab_cursor *cursor) {
    index_cursor *cu = (index_cursor *)cursor;
    return cu->is_search ? cu->at >= cu->n : cu->is_done;
}

int index_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid) {
    index_cursor *cu = (index_cursor *)cursor;
    *rowid = cu->is_search ? cu->rows[cu->at].row : cu->rowid;
    return SQLITE_OK;
}

/* ---- Columns of the user ---- */

/* SELECT of the columns of one kind, in their order; of an own table texts stand in FTS5's. */
static int prepare_columns(index_cursor *cu, bool texts, sqlite3_stmt **s) {
    nlp_index *ix = index_of(cu);
    if (texts) return index_row_text_prepare(ix, s);
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_str_appendall(sql, "SELECT NULL");
    for (int i = 0; i < ix->spec.n_columns; i++)
        if (ix->spec.content || !ix->spec.columns[i].is_text)
            sqlite3_str_appendf(sql, ", \"%w\"", ix->spec.columns[i].name);
    sqlite3_str_appendall(sql, " FROM $content WHERE $key = ?1");
    char *text = sqlite3_str_finish(sql);
    int rc = text ? index_prepare(ix, text, s) : SQLITE_NOMEM;
    sqlite3_free(text);
    return rc;
}

static int stand_on_row(index_cursor *cu, bool texts, sqlite3_stmt **s, bool *has) {
    bool has_row;
    sqlite3_int64 rowid;
    int rc = *s ? SQLITE_OK : prepare_columns(cu, texts, s);
    if (rc != SQLITE_OK || *has) return rc;
    index_rowid(&cu->base, &rowid);
    sqlite3_bind_int64(*s, 1, rowid);
    rc = index_step(index_of(cu), *s, &has_row);
    *has = rc == SQLITE_OK;
    return rc;
}

static int user_column(index_cursor *cu, sqlite3_context *context, int column) {
    const index_spec *spec = &index_of(cu)->spec;
    bool texts = !spec->content && spec->columns[column].is_text;
    sqlite3_stmt **s = texts ? &cu->texts : &cu->columns;
    int place = 1, rc = stand_on_row(cu, texts, s, texts ? &cu->has_texts : &cu->has_columns);
    if (rc != SQLITE_OK) return rc;
    for (int i = 0; i < column; i++) place += spec->content || spec->columns[i].is_text == texts;
    if (sqlite3_data_count(*s) > place)
        sqlite3_result_value(context, sqlite3_column_value(*s, place));
    return SQLITE_OK;
}

/* ---- Snippets ---- */

static size_t on_border(nlp_text text, int64_t at) {
    size_t place = at < 0 || (uint64_t)at > text.n_bytes ? text.n_bytes : (size_t)at;
    while (place && place < text.n_bytes && ((uint8_t)text.bytes[place] & 0xC0) == 0x80) place--;
    return place;
}

/* In the nearest chunk; where that has no word of the query but the words found the row, in the whole text. */
static void choose_snippet(const index_row *row, nlp_text text, nlp_text query,
                           nlp_snippet *snippet) {
    size_t from = row->length < 0 ? 0 : on_border(text, row->start);
    size_t to = row->length < 0 ? text.n_bytes : on_border(text, row->start + row->length);
    if (to - from > LOOKED_AT) to = on_border(text, (int64_t)from + LOOKED_AT);
    nlp_snippet_find(text, from, to, query, SNIPPET, snippet);
    if (snippet->n_words || !row->text_rank || row->length < 0) return;
    nlp_snippet wider;
    size_t end = text.n_bytes < LOOKED_AT ? text.n_bytes : on_border(text, LOOKED_AT);
    nlp_snippet_find(text, 0, end, query, SNIPPET, &wider);
    if (wider.n_words) *snippet = wider;
}

static int make_snippet(index_cursor *cu) {
    nlp_index *ix = index_of(cu);
    nlp_text text, query = {cu->query, cu->query ? strlen(cu->query) : 0};
    nlp_snippet snippet;
    const index_row *row = &cu->rows[cu->at];
    int rc = cu->row_text ? SQLITE_OK : index_row_text_prepare(ix, &cu->row_text);
    if (rc == SQLITE_OK) rc = index_row_text(ix, cu->row_text, row->row, &text);
    if (rc != SQLITE_OK || !text.bytes) return rc;
    choose_snippet(row, text, query, &snippet);
    cu->snippet =
        sqlite3_mprintf("%.*s", (int)(snippet.end - snippet.start), text.bytes + snippet.start);
    cu->start_pos = snippet.start_pos, cu->end_pos = snippet.end_pos;
    sqlite3_free((void *)(uintptr_t)text.bytes);
    return cu->snippet ? SQLITE_OK : SQLITE_NOMEM;
}

static int snippet_column(index_cursor *cu, sqlite3_context *context, int column) {
    int rc = cu->has_snippet ? SQLITE_OK : make_snippet(cu);
    cu->has_snippet = rc == SQLITE_OK;
    if (rc != SQLITE_OK || !cu->snippet) return rc;
    if (column == HIDDEN_SNIPPET)
        sqlite3_result_text(context, cu->snippet, -1, SQLITE_TRANSIENT);
    else
        sqlite3_result_int64(context, column == HIDDEN_START ? cu->start_pos : cu->end_pos);
    return SQLITE_OK;
}

/* ---- Hidden columns ---- */

static int pending_column(index_cursor *cu, sqlite3_context *context) {
    int64_t n;
    int rc = index_number(index_of(cu), "SELECT count(*) FROM $pending", &n);
    if (rc == SQLITE_OK) sqlite3_result_int64(context, n);
    return rc;
}

static void rank_column(sqlite3_context *context, uint32_t rank) {
    if (rank) sqlite3_result_int64(context, rank);
}

static int hidden_column(index_cursor *cu, sqlite3_context *context, int column) {
    if (column == HIDDEN_PENDING) return pending_column(cu, context);
    if (!cu->is_search) return SQLITE_OK;
    const index_row *row = &cu->rows[cu->at];
    switch (column) {
    case HIDDEN_QUERY:
        sqlite3_result_text(context, cu->query, -1, SQLITE_TRANSIENT);
        break;
    case HIDDEN_K:
        sqlite3_result_int64(context, cu->request.k);
        break;
    case HIDDEN_SCORE:
        sqlite3_result_double(context, row->score);
        break;
    case HIDDEN_DENSE_RANK:
        rank_column(context, row->dense_rank);
        break;
    case HIDDEN_TEXT_RANK:
        rank_column(context, row->text_rank);
        break;
    case HIDDEN_SNIPPET:
    case HIDDEN_START:
    case HIDDEN_END:
        return snippet_column(cu, context, column);
    default:
        break;
    }
    return SQLITE_OK;
}

int index_column_of(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column) {
    index_cursor *cu = (index_cursor *)cursor;
    int n = index_of(cu)->spec.n_columns;
    return column < n ? user_column(cu, context, column) : hidden_column(cu, context, column - n);
}
