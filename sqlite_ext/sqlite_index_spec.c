/* sqlite_index_spec.c: what CREATE VIRTUAL TABLE x USING nlp_index(...) asks for:
 *
 *   nlp_index(docs, title, body, +lang, ...)   follows the table docs; title and body are its texts
 *   nlp_index(body, +tag, lang, ...)           has its own: body is the text, tag and lang are kept beside it
 *
 * and options: model = 'minilm', mode = 'sync' | 'deferred', max_tokens = 256, overlap = 32, tokenize = '...',
 * texts = 1, sync_limit = 64, backfill = 1. A name may be followed by a type. */
#include <stdlib.h>
#include <string.h>

#include "sqlite_index.h"

static const char hidden[] =
    "k HIDDEN, mode HIDDEN, oversample HIDDEN, dense_weight HIDDEN, text_weight HIDDEN, pending HIDDEN, "
    "score HIDDEN, snippet HIDDEN, start_pos HIDDEN, end_pos HIDDEN, dense_rank HIDDEN, text_rank HIDDEN";

/* ---- Words ---- */

static const char *skip_blanks(const char *at) {
    return at + strspn(at, " \t\r\n");
}

/* A name or value, quoted or up to a blank; *end stands behind it. sqlite3_free *word; NULL: a quote is missing. */
static int read_word(const char *at, const char **end, char **word) {
    char close = *at == '[' ? ']' : *at;
    bool is_quoted = *at == '\'' || *at == '"' || *at == '`' || *at == '[';
    char *out = *word = sqlite3_malloc64(strlen(at) + 1);
    if (!out) return SQLITE_NOMEM;
    if (!is_quoted) {
        size_t n = strcspn(at, " \t\r\n=");
        memcpy(out, at, n);
        out[n] = 0;
        *end = at + n;
        return SQLITE_OK;
    }
    for (at++; *at && (*at != close || (close != ']' && at[1] == close)); at++) {
        if (*at == close) at++;
        *out++ = *at;
    }
    *out = 0;
    *end = *at ? at + 1 : at;
    if (*at) return SQLITE_OK;
    sqlite3_free(*word);
    *word = NULL;
    return SQLITE_OK;
}

void index_spec_free(index_spec *spec) {
    for (int i = 0; i < spec->n_columns; i++) {
        sqlite3_free(spec->columns[i].name);
        sqlite3_free(spec->columns[i].type);
        sqlite3_free(spec->columns[i].collation);
    }
    sqlite3_free(spec->content);
    sqlite3_free(spec->key);
    sqlite3_free(spec->model);
    sqlite3_free(spec->tokenize);
    memset(spec, 0, sizeof *spec);
}

/* ---- Options ---- */

static int read_number(nlp_index *ix, const char *key, const char *value, int least, int *number) {
    char *end;
    long n = strtol(value, &end, 10);
    if (!*value || *end || n < least || n > 1 << 24)
        return index_fail(ix, SQLITE_ERROR, "%s is %s, it must be a number from %d to %d", key,
                          value, least, 1 << 24);
    *number = (int)n;
    return SQLITE_OK;
}

static int read_mode(nlp_index *ix, const char *value) {
    ix->spec.has_mode = true;
    ix->spec.is_deferred = !sqlite3_stricmp(value, "deferred");
    if (ix->spec.is_deferred || !sqlite3_stricmp(value, "sync")) return SQLITE_OK;
    return index_fail(ix, SQLITE_ERROR, "mode is %s, it must be 'sync' or 'deferred'", value);
}

static int keep_text(char **place, const char *value) {
    sqlite3_free(*place);
    *place = sqlite3_mprintf("%s", value);
    return *place ? SQLITE_OK : SQLITE_NOMEM;
}

static int set_option(nlp_index *ix, const char *key, const char *value) {
    index_spec *spec = &ix->spec;
    int flag = 1, rc;
    if (!sqlite3_stricmp(key, "model")) return keep_text(&spec->model, value);
    if (!sqlite3_stricmp(key, "tokenize")) return keep_text(&spec->tokenize, value);
    if (!sqlite3_stricmp(key, "mode")) return read_mode(ix, value);
    if (!sqlite3_stricmp(key, "texts")) return read_number(ix, key, value, 1, &spec->n_texts);
    if (!sqlite3_stricmp(key, "max_tokens"))
        return read_number(ix, key, value, 1, &spec->max_tokens);
    if (!sqlite3_stricmp(key, "overlap")) return read_number(ix, key, value, 0, &spec->overlap);
    if (!sqlite3_stricmp(key, "sync_limit"))
        return read_number(ix, key, value, 0, &spec->sync_limit);
    if (!sqlite3_stricmp(key, "backfill")) {
        rc = read_number(ix, key, value, 0, &flag);
        spec->no_backfill = !flag;
        return rc;
    }
    return index_fail(
        ix, SQLITE_ERROR,
        "nlp_index has no option %s; it has model, mode, max_tokens, overlap, tokenize, "
        "texts, sync_limit, backfill",
        key);
}

/* ---- Columns ---- */

static int add_column(nlp_index *ix, char *name, const char *type, bool is_text) {
    index_spec *spec = &ix->spec;
    if (spec->n_columns == INDEX_COLUMNS) {
        sqlite3_free(name);
        return index_fail(ix, SQLITE_ERROR, "an index has at most %d columns", INDEX_COLUMNS);
    }
    index_column *column = &spec->columns[spec->n_columns++];
    *column = (index_column){name, sqlite3_mprintf("%s", type), sqlite3_mprintf("BINARY"), is_text};
    return column->type && column->collation ? SQLITE_OK : SQLITE_NOMEM;
}

static int read_argument(nlp_index *ix, const char *at) {
    at = skip_blanks(at);
    bool is_plus = *at == '+';
    at = skip_blanks(at + is_plus);
    char *word, *value;
    int rc = read_word(at, &at, &word);
    if (rc != SQLITE_OK) return rc;
    if (!word || !*word) {
        sqlite3_free(word);
        return index_fail(ix, SQLITE_ERROR, "nlp_index: an argument is empty or lacks a quote");
    }
    at = skip_blanks(at);
    if (*at != '=') return add_column(ix, word, at, !is_plus);
    rc = read_word(skip_blanks(at + 1), &at, &value);
    if (rc == SQLITE_OK)
        rc = value && !*skip_blanks(at)
                 ? set_option(ix, word, value)
                 : index_fail(ix, SQLITE_ERROR, "the value of %s is empty or lacks a quote", word);
    sqlite3_free(word);
    sqlite3_free(value);
    return rc;
}

/* ---- What it follows ---- */

/* Whether the schema has a thing of this name; *type is "table", "view" ..., or "" */
static int look_up(nlp_index *ix, const char *name, char type[16]) {
    sqlite3_stmt *s = NULL;
    char *sql =
        sqlite3_mprintf("SELECT CASE WHEN sql LIKE 'CREATE VIRTUAL%%' THEN 'virtual' ELSE type END "
                        "FROM \"%w\".sqlite_master WHERE name = %Q COLLATE NOCASE AND type "
                        "IN ('table', 'view')",
                        ix->schema, name);
    if (!sql) return SQLITE_NOMEM;
    int rc = sqlite3_prepare_v2(ix->c->db, sql, -1, &s, NULL);
    sqlite3_free(sql);
    if (rc != SQLITE_OK) return index_sql_failed(ix, rc);
    *type = 0;
    if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_text(s, 0))
        sqlite3_snprintf(16, type, "%s", sqlite3_column_text(s, 0));
    rc = sqlite3_finalize(s); /* what could not be read is not what is not there */
    return rc == SQLITE_OK ? rc : index_sql_failed(ix, rc);
}

static int find_key(nlp_index *ix) {
    sqlite3_stmt *s = NULL;
    index_spec *spec = &ix->spec;
    char *sql =
        sqlite3_mprintf("SELECT name FROM pragma_table_xinfo(%Q, %Q) WHERE pk = 1 AND type = "
                        "'INTEGER' COLLATE NOCASE AND NOT EXISTS (SELECT 1 FROM "
                        "pragma_table_xinfo(%Q, %Q) WHERE pk > 1)",
                        spec->content, ix->schema, spec->content, ix->schema);
    if (!sql) return SQLITE_NOMEM;
    int rc = sqlite3_prepare_v2(ix->c->db, sql, -1, &s, NULL);
    sqlite3_free(sql);
    if (rc != SQLITE_OK) return index_sql_failed(ix, rc);
    if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_text(s, 0))
        rc = keep_text(&spec->key, (const char *)sqlite3_column_text(s, 0));
    int end = sqlite3_finalize(s);
    if (rc != SQLITE_OK) return rc;
    if (end != SQLITE_OK) return index_sql_failed(ix, end);
    if (spec->key) return SQLITE_OK;
    return index_fail(
        ix, SQLITE_ERROR,
        "%s has no INTEGER PRIMARY KEY: VACUUM may number its rows anew, and the index "
        "would not see it",
        spec->content);
}

/* Types and collations as the table has them, so that comparisons are its own. */
static int describe_columns(nlp_index *ix) {
    for (int i = 0; i < ix->spec.n_columns; i++) {
        index_column *column = &ix->spec.columns[i];
        const char *type = NULL, *collation = NULL;
        int rc = sqlite3_table_column_metadata(ix->c->db, ix->schema, ix->spec.content,
                                               column->name, &type, &collation, NULL, NULL, NULL);
        if (rc == SQLITE_ERROR)
            return index_fail(ix, rc, "%s has no column %s", ix->spec.content, column->name);
        if (rc != SQLITE_OK) return index_sql_failed(ix, rc);
        rc = keep_text(&column->type, type ? type : "");
        if (rc == SQLITE_OK) rc = keep_text(&column->collation, collation ? collation : "BINARY");
        if (rc != SQLITE_OK) return rc;
    }
    return SQLITE_OK;
}

/* The first name is that of a table: it becomes the content, the others are its columns. */
static int follow(nlp_index *ix) {
    index_spec *spec = &ix->spec;
    index_column first = spec->columns[0];
    spec->content = first.name;
    sqlite3_free(first.type);
    sqlite3_free(first.collation);
    memmove(spec->columns, spec->columns + 1, (size_t)--spec->n_columns * sizeof *spec->columns);
    if (!spec->has_mode) spec->is_deferred = true;
    for (int i = 0; i < spec->n_columns; i++)
        if (spec->columns[i].is_text) return SQLITE_OK;
    return index_fail(ix, SQLITE_ERROR, "name at least one column of %s to search in",
                      spec->content);
}

/* The texts of the index's own are its first `texts` plain columns; the others are kept beside them. */
static int own_texts(nlp_index *ix) {
    index_spec *spec = &ix->spec;
    int left = spec->n_texts;
    for (int i = 0; i < spec->n_columns; i++) {
        spec->columns[i].is_text = spec->columns[i].is_text && left > 0;
        left -= spec->columns[i].is_text;
    }
    if (left)
        return index_fail(ix, SQLITE_ERROR,
                          "texts is %d, but %d columns are named that are "
                          "not marked by +",
                          spec->n_texts, spec->n_texts - left);
    spec->key = sqlite3_mprintf("id");
    return spec->key ? SQLITE_OK : SQLITE_NOMEM;
}

/* Whether an index follows a table is decided when it is made; afterwards x_content tells. */
static int find_content(nlp_index *ix, bool is_new) {
    char type[16] = "", *own = sqlite3_mprintf("%s_content", ix->name);
    const char *first = ix->spec.columns[0].name;
    bool follows;
    if (!own) return SQLITE_NOMEM;
    int rc = look_up(ix, is_new ? first : own, type);
    sqlite3_free(own);
    if (rc != SQLITE_OK) return rc;
    follows = is_new ? *type != 0 : *type == 0;
    if (!follows) return own_texts(ix);
    if (is_new && strcmp(type, "table"))
        return index_fail(ix, SQLITE_ERROR,
                          "%s is a %s: an index follows only a table with triggers", first,
                          strcmp(type, "view") ? "virtual table" : "view");
    rc = follow(ix);
    if (rc == SQLITE_OK && !is_new) rc = look_up(ix, ix->spec.content, type);
    if (rc != SQLITE_OK) return rc;
    ix->spec.is_missing = !*type;
    if (ix->spec.is_missing) return SQLITE_OK; /* it still can be dropped */
    rc = find_key(ix);
    return rc == SQLITE_OK ? describe_columns(ix) : rc;
}

int index_spec_read(nlp_index *ix, int argc, const char *const *argv, bool is_new) {
    int rc = SQLITE_OK;
    ix->spec = (index_spec){.max_tokens = -1, .overlap = -1, .sync_limit = 64, .n_texts = 1};
    for (int i = 3; i < argc && rc == SQLITE_OK; i++) rc = read_argument(ix, argv[i]);
    if (rc != SQLITE_OK) return rc;
    if (!ix->spec.n_columns)
        return index_fail(ix, SQLITE_ERROR,
                          "nlp_index(table, column, ...) or nlp_index(column, ...): name a column");
    return find_content(ix, is_new);
}

int index_declare(nlp_index *ix) {
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_str_appendall(sql, "CREATE TABLE x(");
    for (int i = 0; i < ix->spec.n_columns; i++) {
        const index_column *column = &ix->spec.columns[i];
        sqlite3_str_appendf(sql, "\"%w\" %s COLLATE \"%w\", ", column->name, column->type,
                            column->collation);
    }
    sqlite3_str_appendf(sql, "\"%w\" HIDDEN, %s)", ix->name, hidden);
    char *text = sqlite3_str_finish(sql);
    if (!text) return SQLITE_NOMEM;
    int rc = sqlite3_declare_vtab(ix->c->db, text);
    sqlite3_free(text);
    return rc == SQLITE_OK ? rc : index_sql_failed(ix, rc);
}
