/* sqlite_index_plan.c: which constraints a query hands over, and the rows that they allow. The plan is a text
 * of three characters a value: what it is, and its column. */
#include <stdlib.h>
#include <string.h>

#include "sqlite_index.h"

enum { USUAL_K = 10, OR_LIST = 3038000 /* sqlite3_vtab_in */ };

/* ---- Planning ---- */

static int n_columns(const nlp_index *ix) {
    return ix->spec.n_columns;
}

/* Comparisons that the table of the rows can make; 0: not this one. */
static char comparison_of(int op) {
    switch (op) {
    case SQLITE_INDEX_CONSTRAINT_EQ:
    case SQLITE_INDEX_CONSTRAINT_IS:
        return '=';
    case SQLITE_INDEX_CONSTRAINT_GT:
        return '>';
    case SQLITE_INDEX_CONSTRAINT_LT:
        return '<';
    case SQLITE_INDEX_CONSTRAINT_GE:
        return 'g';
    case SQLITE_INDEX_CONSTRAINT_LE:
        return 'l';
    case SQLITE_INDEX_CONSTRAINT_NE:
        return '!';
    case SQLITE_INDEX_CONSTRAINT_ISNULL:
        return 'n';
    case SQLITE_INDEX_CONSTRAINT_ISNOTNULL:
        return 'N';
    default:
        return 0;
    }
}

/* What a constraint is to us: an argument, LIMIT, a filter over a column that is no text or over the rowid. */
static char kind_of(const nlp_index *ix, sqlite3_index_info *info, int i) {
    static const char arguments[] = "qkmodt";
    int column = info->aConstraint[i].iColumn, op = info->aConstraint[i].op;
    if (op == SQLITE_INDEX_CONSTRAINT_LIMIT) return 'L';
    if (op == SQLITE_INDEX_CONSTRAINT_OFFSET) return 'O';
    int argument = column - n_columns(ix);
    if (argument == 0 && op == SQLITE_INDEX_CONSTRAINT_MATCH) return 'q';
    if (argument >= 0)
        return argument < 6 && op == SQLITE_INDEX_CONSTRAINT_EQ ? arguments[argument] : 0;
    if (column >= 0 && ix->spec.columns[column].is_text) return 0;
    if (column >= 0 && strcmp(sqlite3_vtab_collation(info, i), ix->spec.columns[column].collation))
        return 0;
    return op == SQLITE_INDEX_CONSTRAINT_IS && column >= 0 ? 0 : comparison_of(op);
}

static bool is_argument(char kind) {
    return kind && strchr("qkmodt", kind);
}

/* x IN (...) as one list, not as many queries. */
static bool takes_list(sqlite3_index_info *info, int i) {
    if (info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ ||
        sqlite3_libversion_number() < OR_LIST)
        return false;
    return sqlite3_vtab_in(info, i, -1) && sqlite3_vtab_in(info, i, 1);
}

static bool is_by_score(const nlp_index *ix, const sqlite3_index_info *info) {
    return info->nOrderBy == 1 && info->aOrderBy[0].desc &&
           info->aOrderBy[0].iColumn == n_columns(ix) + HIDDEN_SCORE;
}

/* LIMIT holds for what the whole WHERE leaves, so it is of use only where all of that comes here. */
static bool all_come(const nlp_index *ix, sqlite3_index_info *info) {
    for (int i = 0; i < info->nConstraint; i++)
        if (!info->aConstraint[i].usable || !kind_of(ix, info, i)) return false;
    return info->nOrderBy == 0 || is_by_score(ix, info);
}

static int find_query(const nlp_index *ix, sqlite3_index_info *info, bool *has_query) {
    *has_query = false;
    for (int i = 0; i < info->nConstraint; i++) {
        if (!is_argument(kind_of(ix, info, i))) continue;
        if (!info->aConstraint[i].usable) return SQLITE_CONSTRAINT;
        *has_query = *has_query || kind_of(ix, info, i) == 'q';
    }
    return SQLITE_OK;
}

static void take(sqlite3_index_info *info, int i, sqlite3_str *plan, char kind, int *n) {
    bool is_list = !is_argument(kind) && kind != 'L' && kind != 'O' && takes_list(info, i);
    int column = info->aConstraint[i].iColumn;
    info->aConstraintUsage[i].argvIndex = ++*n;
    info->aConstraintUsage[i].omit = is_argument(kind);
    sqlite3_str_appendf(plan, "%c%c%c", is_list ? 'i' : kind, '0' + (column < 0 ? 0 : column + 1),
                        ' ');
}

/* Without a query only a rowid helps; SQLite does the rest. */
static void plan_rows(const nlp_index *ix, sqlite3_index_info *info, sqlite3_str *plan) {
    info->estimatedCost = 1e6, info->estimatedRows = 100000;
    for (int i = 0; i < info->nConstraint; i++) {
        bool is_rowid = info->aConstraint[i].iColumn < 0 && info->aConstraint[i].usable &&
                        info->aConstraint[i].op == SQLITE_INDEX_CONSTRAINT_EQ;
        if (!is_rowid) continue;
        info->aConstraintUsage[i].argvIndex = 1;
        sqlite3_str_appendall(plan, "r0 ");
        info->estimatedCost = 10, info->estimatedRows = 1;
        info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
        return;
    }
    (void)ix;
}

static void plan_search(const nlp_index *ix, sqlite3_index_info *info, sqlite3_str *plan) {
    int n = 0;
    bool with_limit = all_come(ix, info);
    for (int i = 0; i < info->nConstraint; i++) {
        char kind = kind_of(ix, info, i);
        if (!kind || !info->aConstraint[i].usable) continue;
        if ((kind == 'L' || kind == 'O') && !with_limit) continue;
        take(info, i, plan, kind, &n);
    }
    info->orderByConsumed = is_by_score(ix, info);
    info->estimatedCost = 1000, info->estimatedRows = USUAL_K;
}

int index_best(sqlite3_vtab *vtab, sqlite3_index_info *info) {
    nlp_index *ix = (nlp_index *)vtab;
    bool has_query;
    int rc = find_query(ix, info, &has_query);
    if (rc != SQLITE_OK) return rc;
    sqlite3_str *plan = sqlite3_str_new(ix->c->db);
    if (has_query)
        plan_search(ix, info, plan);
    else
        plan_rows(ix, info, plan);
    info->idxNum = has_query;
    info->idxStr = sqlite3_str_finish(plan);
    info->needToFreeIdxStr = 1;
    return info->idxStr || !has_query ? SQLITE_OK : SQLITE_NOMEM;
}

/* ---- Sets of rows ---- */

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

bool index_ids_have(const index_ids *ids, int64_t id) {
    return ids->n && bsearch(&id, ids->ids, ids->n, sizeof id, by_number);
}

static int add_id(index_ids *ids, int64_t id) {
    if (!(ids->n & (ids->n - 1))) {
        int64_t *grown = sqlite3_realloc64(ids->ids, (ids->n ? 2 * ids->n : 1) * sizeof *grown);
        if (!grown) return SQLITE_NOMEM;
        ids->ids = grown;
    }
    ids->ids[ids->n++] = id;
    return SQLITE_OK;
}

static void sort_ids(index_ids *ids) {
    size_t n = 0;
    if (ids->n) qsort(ids->ids, ids->n, sizeof *ids->ids, by_number);
    for (size_t i = 0; i < ids->n; i++)
        if (!i || ids->ids[i] != ids->ids[i - 1]) ids->ids[n++] = ids->ids[i];
    ids->n = n;
}

static int append_ids(nlp_index *ix, sqlite3_stmt *s, index_ids *ids) {
    bool has_row;
    int rc;
    while ((rc = index_step(ix, s, &has_row)) == SQLITE_OK && has_row)
        if ((rc = add_id(ids, sqlite3_column_int64(s, 0))) != SQLITE_OK) return rc;
    return rc;
}

int index_ids_read(nlp_index *ix, sqlite3_stmt *s, index_ids *ids) {
    int rc = append_ids(ix, s, ids);
    sort_ids(ids);
    return rc;
}

static void keep_common(index_ids *ids, const index_ids *others) {
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++)
        if (index_ids_have(others, ids->ids[i])) ids->ids[n++] = ids->ids[i];
    ids->n = n;
}

/* ---- Filters ---- */

static int column_of_plan(const char *step) {
    return step[1] - '0' - 1;
}

static void append_column(const nlp_index *ix, sqlite3_str *sql, int column) {
    if (column < 0)
        sqlite3_str_appendall(sql, "$key");
    else
        sqlite3_str_appendf(sql, "\"%w\"", ix->spec.columns[column].name);
}

static const char *operator_of(char kind) {
    switch (kind) {
    case '=':
    case 'i':
        return " = ";
    case 'g':
        return " >= ";
    case 'l':
        return " <= ";
    case '!':
        return " <> ";
    case '<':
        return " < ";
    default:
        return " > ";
    }
}

static int prepare_filter(nlp_index *ix, const char *step, sqlite3_stmt **s) {
    sqlite3_str *sql = sqlite3_str_new(ix->c->db);
    sqlite3_str_appendall(sql, "SELECT $key FROM $content WHERE ");
    append_column(ix, sql, column_of_plan(step));
    if (*step == 'n' || *step == 'N')
        sqlite3_str_appendall(sql, *step == 'n' ? " IS NULL" : " IS NOT NULL");
    else
        sqlite3_str_appendf(sql, "%s?1", operator_of(*step));
    char *text = sqlite3_str_finish(sql);
    int rc = text ? index_prepare(ix, text, s) : SQLITE_NOMEM;
    sqlite3_free(text);
    return rc;
}

/* Rows of one value, or of each of a list. */
static int read_list(nlp_index *ix, sqlite3_stmt *s, sqlite3_value *list, index_ids *ids) {
    sqlite3_value *value;
    int found, rc = SQLITE_OK;
    for (found = sqlite3_vtab_in_first(list, &value);
         found == SQLITE_OK && rc == SQLITE_OK && value;
         found = sqlite3_vtab_in_next(list, &value)) {
        sqlite3_bind_value(s, 1, value);
        rc = append_ids(ix, s, ids);
        sqlite3_reset(s);
    }
    return found == SQLITE_OK || found == SQLITE_DONE ? rc : found;
}

/* Each filter halves what the ones before it left. */
static int apply_filter(nlp_index *ix, const char *step, sqlite3_value *value, index_request *r) {
    sqlite3_stmt *s;
    index_ids ids = {0};
    int rc = prepare_filter(ix, step, &s);
    if (rc != SQLITE_OK) return rc;
    if (*step == 'i') {
        rc = read_list(ix, s, value, &ids);
    } else {
        if (sqlite3_bind_parameter_count(s)) sqlite3_bind_value(s, 1, value);
        rc = append_ids(ix, s, &ids);
    }
    sqlite3_finalize(s);
    sort_ids(&ids);
    if (r->is_filtered) {
        keep_common(&r->allowed, &ids);
        sqlite3_free(ids.ids);
    } else {
        r->allowed = ids;
    }
    r->is_filtered = true;
    return rc;
}

/* ---- Arguments ---- */

static int read_count(nlp_index *ix, const char *name, sqlite3_value *value, int64_t *number) {
    if (sqlite3_value_type(value) == SQLITE_NULL) return SQLITE_OK;
    *number = sqlite3_value_int64(value);
    if (sqlite3_value_numeric_type(value) == SQLITE_INTEGER && *number >= 1) return SQLITE_OK;
    return index_fail(ix, SQLITE_ERROR, "%s is %s, it must be an integer from 1 on", name,
                      sqlite3_value_text(value));
}

static int read_weight(nlp_index *ix, const char *name, sqlite3_value *value, double *weight) {
    if (sqlite3_value_type(value) == SQLITE_NULL) return SQLITE_OK;
    int type = sqlite3_value_numeric_type(value);
    *weight = sqlite3_value_double(value);
    if ((type == SQLITE_INTEGER || type == SQLITE_FLOAT) && *weight >= 0 && *weight <= 1e6)
        return SQLITE_OK;
    return index_fail(ix, SQLITE_ERROR, "%s is %s, it must be a number from 0 to 1000000", name,
                      sqlite3_value_text(value));
}

static int read_mode(nlp_index *ix, sqlite3_value *value, char *mode) {
    static const char *const modes[] = {"hybrid", "semantic", "text", "fts5"};
    const char *text = (const char *)sqlite3_value_text(value);
    if (sqlite3_value_type(value) == SQLITE_NULL) return SQLITE_OK;
    if (!text) return SQLITE_NOMEM;
    for (int i = 0; i < 4; i++)
        if (!sqlite3_stricmp(text, modes[i])) {
            *mode = *modes[i];
            return SQLITE_OK;
        }
    return index_fail(ix, SQLITE_ERROR, "mode is %s, it must be hybrid, semantic, text or fts5",
                      text);
}

static int read_step(nlp_index *ix, const char *step, sqlite3_value *value, index_request *r,
                     int64_t limits[2]) {
    switch (*step) {
    case 'q':
        r->query = value;
        return sqlite3_value_type(value) == SQLITE_NULL || sqlite3_value_text(value) ? SQLITE_OK
                                                                                     : SQLITE_NOMEM;
    case 'k':
        return read_count(ix, "k", value, &r->k);
    case 'o':
        return read_count(ix, "oversample", value, &r->oversample);
    case 'm':
        return read_mode(ix, value, &r->mode);
    case 'd':
        return read_weight(ix, "dense_weight", value, &r->dense_weight);
    case 't':
        return read_weight(ix, "text_weight", value, &r->text_weight);
    case 'L':
    case 'O':
        limits[*step == 'O'] = sqlite3_value_int64(value);
        return SQLITE_OK;
    case 'r':
        r->has_rowid = true;
        r->rowid = sqlite3_value_int64(value);
        return SQLITE_OK;
    default:
        return apply_filter(ix, step, value, r);
    }
}

/* LIMIT with OFFSET asks for both together; SQLite passes over the first ones itself. */
static void choose_k(index_request *r, const int64_t limits[2]) {
    int64_t offset = limits[1] > 0 ? limits[1] : 0;
    if (!r->k && limits[0] > 0 && __builtin_add_overflow(limits[0], offset, &r->k))
        r->k = INT64_MAX;
    if (!r->k) r->k = USUAL_K;
}

int index_request_read(nlp_index *ix, const char *plan, int argc, sqlite3_value **argv,
                       index_request *r) {
    int64_t limits[2] = {-1, 0};
    int rc = SQLITE_OK;
    *r = (index_request){.mode = 'h', .dense_weight = 1, .text_weight = 1};
    for (int i = 0; i < argc && rc == SQLITE_OK; i++)
        rc = read_step(ix, plan + 3 * i, argv[i], r, limits);
    choose_k(r, limits);
    return rc;
}

void index_request_free(index_request *r) {
    sqlite3_free(r->allowed.ids);
    memset(r, 0, sizeof *r);
}
