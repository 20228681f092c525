/* pg_search.c: nlp_search: a query's best rows by meaning and by words. The index is read with its owner's rights, past which
 * nobody sees anything: what was found is joined to the table with the caller's own, so that grants and row-level security hold.
 * Where those, or a filter, hide rows, the allowed ones are found first, so that hidden ones take no place of theirs. */
#include "pg_search.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rls.h"

enum { MOST_ROWS = 10000, LEAST_CANDIDATES = 100, RERANKED = 50, SNIPPET = 300 };
enum { SCORE, TEXT, START, END, DENSE_RANK, TEXT_RANK, N_COLUMNS }; /* behind the key */
typedef enum search_mode { HYBRID, SEMANTIC, TEXT_ONLY } search_mode;

typedef struct search {
    nlp_pg_index *index;
    Datum query;
    nlp_text query_text;
    int k;
    search_mode mode;
    char *filter, *rerank;
    double dense_weight, text_weight;
    int oversample;
    bool has_policy; /* row-level security hides rows from the caller */
    nlp_pg_allowed allowed;
    nlp_pg_places dense, text;
    nlp_pg_named named;
    nlp_said said;
    nlp_fused *fused;
    size_t n_fused;
    ReturnSetInfo *set;
} search;

typedef struct found { /* a row that the caller sees */
    size_t rank;       /* of fused */
    double score;
    Datum keys[NLP_PG_INDEX_COLUMNS];
    nlp_pg_place place;
    bool has_place; /* what was indexed still stands in its text */
    nlp_text text, chunk;
    nlp_snippet snippet;
} found;

/* ---- Arguments ---- */

static _Noreturn void bad(const char *message, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", message),
                    hint ? errhint("%s", hint) : 0));
    pg_unreachable();
}

static search_mode mode_of(const char *name) {
    static const char *const names[] = {"hybrid", "semantic", "text"};
    for (int i = 0; i < (int)lengthof(names); i++)
        if (!strcmp(name, names[i])) return (search_mode)i;
    bad(psprintf("there is no mode \"%s\"", name), "modes: hybrid, semantic, text");
}

static double number_of(const nlp_option *option) {
    const nlp_value *v = &option->value;
    if (v->type == NLP_TYPE_INTEGER) return (double)v->as.integer;
    if (v->type == NLP_TYPE_REAL) return v->as.real;
    bad(psprintf("%s must be a number", option->key), NULL);
}

static void read_options(search *s, Jsonb *jsonb) {
    nlp_option options[NLP_PG_MAX_OPTIONS];
    size_t n = nlp_pg_options(jsonb, options, NLP_PG_MAX_OPTIONS);
    for (size_t i = 0; i < n; i++) {
        double value = number_of(&options[i]);
        if (!strcmp(options[i].key, "dense_weight"))
            s->dense_weight = value;
        else if (!strcmp(options[i].key, "text_weight"))
            s->text_weight = value;
        else if (!strcmp(options[i].key, "oversample"))
            s->oversample = value >= 1 && value <= 10000 ? (int)value : -1;
        else
            bad(psprintf("there is no option \"%s\"", options[i].key),
                "options: dense_weight, text_weight, oversample");
    }
    if (!(s->dense_weight >= 0 && s->text_weight >= 0)) bad("weights are 0 or more", NULL);
    if (s->oversample < 0) bad("oversample is from 1 to 10000", NULL);
}

/* (relation, query, k, mode, filter, rerank, options); false where the answer has no rows. */
static bool read_arguments(FunctionCallInfo fcinfo, search *s) {
    for (int i = 0; i < 4; i++)
        if (PG_ARGISNULL(i)) return false;
    *s = (search){.index = nlp_pg_index_of(PG_GETARG_OID(0)),
                  .query = PG_GETARG_DATUM(1),
                  .k = PG_GETARG_INT32(2),
                  .mode = mode_of(text_to_cstring(PG_GETARG_TEXT_PP(3))),
                  .dense_weight = 1,
                  .text_weight = 1,
                  .oversample = NLP_PG_OVERSAMPLE,
                  .set = (ReturnSetInfo *)fcinfo->resultinfo,
                  .allowed = {.all = true}};
    s->query_text = nlp_pg_text(s->query);
    if (!PG_ARGISNULL(4)) s->filter = text_to_cstring(PG_GETARG_TEXT_PP(4));
    if (!PG_ARGISNULL(5)) s->rerank = text_to_cstring(PG_GETARG_TEXT_PP(5));
    if (!PG_ARGISNULL(6)) read_options(s, PG_GETARG_JSONB_P(6));
    if (s->k < 1) bad(psprintf("k is %d", s->k), "how many rows are wanted, 1 at least");
    if (s->k > MOST_ROWS)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("k is %d, and a search gives %d rows at most", s->k, MOST_ROWS)));
    return s->query_text.n_bytes > 0;
}

/* ---- What the caller may see ---- */

static void bad_filter(const char *filter) {
    bad(psprintf("the filter is no condition: %s", filter),
        "a condition as behind WHERE, over the table's columns, without volatile functions");
}

/* One expression, no more: parsed alone first, so that nothing in it can end the statement that it becomes a part of. */
static void check_filter(const char *filter) {
    List *statements = raw_parser(psprintf("SELECT %s\n", filter), RAW_PARSE_DEFAULT);
    SelectStmt *select = list_length(statements) == 1
                             ? (SelectStmt *)linitial_node(RawStmt, statements)->stmt
                             : NULL;
    if (!select || !IsA(select, SelectStmt) || list_length(select->targetList) != 1 ||
        linitial_node(ResTarget, select->targetList)->name || select->fromClause ||
        select->whereClause || select->groupClause || select->havingClause ||
        select->windowClause || select->sortClause || select->limitCount || select->limitOffset ||
        select->lockingClause || select->withClause || select->intoClause ||
        select->distinctClause || select->op != SETOP_NONE)
        bad_filter(filter);
}

/* Of the condition itself, not of policies that the table adds. */
static void check_not_volatile(SPIPlanPtr plan, const char *filter) {
    CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
    Query *query = linitial_node(Query, source->query_list);
    if (contain_volatile_functions(query->jointree->quals)) bad_filter(filter);
}

typedef struct visible { /* keys of the rows that the caller sees */
    Tuplestorestate *rows;
    TupleDesc desc;
    double n;
} visible;

static bool add_visible(void *context) {
    visible *v = context;
    for (uint64 i = 0; i < SPI_processed; i++) tuplestore_puttuple(v->rows, SPI_tuptable->vals[i]);
    v->n += (double)SPI_processed;
    return true;
}

/* As the rows "nlp_visible". */
static Tuplestorestate *name_visible(const search *s) {
    visible v = {.rows = tuplestore_begin_heap(false, false, work_mem)};
    SPIPlanPtr plan = SPI_prepare(psprintf("SELECT %s FROM %s WHERE (%s\n)",
                                           nlp_pg_index_key_columns(s->index, ""), s->index->source,
                                           s->filter ? s->filter : "true"),
                                  0, NULL);
    if (!plan) elog(ERROR, "%s", SPI_result_code_string(SPI_result));
    if (s->filter) check_not_volatile(plan, s->filter);
    Portal portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
    v.desc = CreateTupleDescCopy(portal->tupDesc);
    nlp_pg_read_cursor(portal, 10000, add_visible, &v);
    nlp_pg_name_rows("nlp_visible", v.rows, v.desc, v.n);
    return v.rows;
}

/* A policy speaks of a row as it is now. What waits in the queue is found by what it was, which its reader may never have been
 * allowed to see. */
static char *settled_only(const search *s) {
    if (!s->has_policy || !s->index->is_async) return "";
    return psprintf(" WHERE NOT EXISTS (SELECT FROM %s q WHERE %s)", s->index->queue,
                    nlp_pg_index_same_key(s->index, "q.", "v."));
}

static void read_allowed(search *s) {
    bool is_null;
    uint64 n = nlp_pg_execute(
        psprintf("SELECT c.id FROM %s c JOIN nlp_visible v ON %s%s ORDER BY 1", s->index->chunks,
                 nlp_pg_index_same_key(s->index, "c.", "v."), settled_only(s)),
        0, NULL, NULL, true);
    s->allowed = (nlp_pg_allowed){
        .ids = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * sizeof(int64)), .n = n};
    for (uint64 i = 0; i < n; i++)
        s->allowed.ids[i] =
            DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
    SPI_freetuptable(SPI_tuptable);
}

bool nlp_pg_allows(const nlp_pg_allowed *allowed, int64 chunk) {
    size_t low = 0, high = allowed->n;
    if (allowed->all) return true;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (allowed->ids[middle] < chunk)
            low = middle + 1;
        else
            high = middle;
    }
    return low < allowed->n && allowed->ids[low] == chunk;
}

/* ---- The halves ---- */

nlp_pg_place nlp_pg_read_place(HeapTuple row, TupleDesc desc) {
    bool is_null;
    return (nlp_pg_place){.chunk = DatumGetInt64(SPI_getbinval(row, desc, 1, &is_null)),
                          .doc = DatumGetInt64(SPI_getbinval(row, desc, 2, &is_null)),
                          .start_pos = DatumGetInt32(SPI_getbinval(row, desc, 3, &is_null)),
                          .end_pos = DatumGetInt32(SPI_getbinval(row, desc, 4, &is_null)),
                          .hash = (uint64)DatumGetInt64(SPI_getbinval(row, desc, 5, &is_null))};
}

static int by_row(const void *a, const void *b) {
    const nlp_pg_place *x = a, *y = b;
    if (x->doc != y->doc) return x->doc < y->doc ? -1 : 1;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

static int by_score(const void *a, const void *b) {
    const nlp_pg_place *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->doc < y->doc ? -1 : x->doc > y->doc;
}

nlp_pg_places nlp_pg_best_rows(nlp_pg_place *places, size_t n, size_t most) {
    size_t rows = 0;
    qsort(places, n, sizeof *places, by_row);
    for (size_t i = 0; i < n; i++)
        if (!rows || places[i].doc != places[rows - 1].doc) places[rows++] = places[i];
    qsort(places, rows, sizeof *places, by_score);
    return (nlp_pg_places){places, Min(rows, most)};
}

/* The query's vector belongs to the session until its next run, so it is used at once. */
static void search_dense(search *s, size_t most) {
    nlp_pg_site site = nlp_pg_site_plain("embed_query");
    nlp_model *model = nlp_pg_index_model_of(s->index, CurrentMemoryContext);
    const nlp_result *result = nlp_pg_site_run(&site, model, &s->query_text, NULL, 1, NULL, 0);
    s->dense =
        nlp_pg_dense_half(s->index, result->outputs->cells, s->k, s->oversample, &s->allowed, most);
}

static nlp_half half_of(const nlp_pg_places *places, double weight, nlp_said said) {
    nlp_hit *hits = palloc(Max(places->n, 1) * sizeof *hits);
    for (size_t i = 0; i < places->n; i++)
        hits[i] = (nlp_hit){places->places[i].doc, places->places[i].score};
    return (nlp_half){hits, places->n, weight, said};
}

static void find(search *s) {
    size_t most = Max((size_t)s->k * 5, LEAST_CANDIDATES);
    if (s->mode != TEXT_ONLY) search_dense(s, most);
    s->said = (nlp_said){0, 0};
    if (s->mode != SEMANTIC)
        s->text = nlp_pg_text_half(s->index, s->query_text, &s->allowed, most, &s->said);
    if (s->mode == HYBRID) s->named = nlp_pg_named_rows(s->index, s->query_text, &s->allowed);
    nlp_half dense = half_of(&s->dense, s->dense_weight, (nlp_said){0, 0}),
             text = half_of(&s->text, s->text_weight, s->said);
    s->fused = palloc(Max(dense.n + text.n + s->named.n, 1) * sizeof *s->fused);
    s->n_fused = nlp_fuse(&dense, &text, s->named.hits, s->named.n, s->fused);
}

/* ---- Joined to the table ---- */

/* Where it was found best; by words first, since they are seen. */
static nlp_pg_place place_of(const search *s, const nlp_fused *fused) {
    if (fused->text_rank) return s->text.places[fused->text_rank - 1];
    if (fused->dense_rank) return s->dense.places[fused->dense_rank - 1];
    for (size_t i = 0; i < s->named.rows.n; i++)
        if (s->named.rows.places[i].doc == fused->id) return s->named.rows.places[i];
    elog(ERROR, "a row was found nowhere");
}

/* (rank, keys) of what was found, as the rows "nlp_found". */
static Tuplestorestate *name_found(const search *s) {
    Oid types[2] = {INT8ARRAYOID, INT4ARRAYOID};
    Datum *docs = palloc(Max(s->n_fused, 1) * sizeof *docs),
          *ranks = palloc(Max(s->n_fused, 1) * sizeof *ranks);
    Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
    for (size_t i = 0; i < s->n_fused; i++)
        docs[i] = Int64GetDatum(s->fused[i].id), ranks[i] = Int32GetDatum((int32)i);
    Datum arrays[2] = {
        PointerGetDatum(
            construct_array(docs, (int)s->n_fused, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
        PointerGetDatum(construct_array(ranks, (int)s->n_fused, INT4OID, 4, true, TYPALIGN_INT))};
    uint64 n = nlp_pg_execute(
        psprintf("SELECT u.rank, %s FROM unnest($1, $2) u(doc, rank) JOIN %s c ON c.id = u.doc",
                 nlp_pg_index_key_numbers(s->index, "c."), s->index->chunks),
        2, types, arrays, true);
    for (uint64 i = 0; i < n; i++) tuplestore_puttuple(rows, SPI_tuptable->vals[i]);
    nlp_pg_name_rows("nlp_found", rows, CreateTupleDescCopy(SPI_tuptable->tupdesc), (double)n);
    return rows;
}

/* How many of the best the caller sees, in their order. */
static size_t read_visible(const search *s, found *rows, size_t most) {
    bool is_null;
    uint64 n = nlp_pg_execute(
        psprintf("SELECT f.rank, %s FROM nlp_found f JOIN (SELECT %s FROM %s b) b ON %s ORDER BY 1",
                 nlp_pg_index_key_numbers(s->index, "f."), nlp_pg_index_key_columns(s->index, "b."),
                 s->index->source, nlp_pg_index_same_key(s->index, "f.", "b.")),
        0, NULL, NULL, true);
    size_t n_rows = 0;
    for (uint64 i = 0; i < n && n_rows < most; i++) {
        size_t rank = (size_t)DatumGetInt32(
            SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
        if (n_rows && rows[n_rows - 1].rank == rank) continue; /* its key is not unique any more */
        found *f = &rows[n_rows++];
        const nlp_fused *fused = &s->fused[rank];
        *f = (found){.rank = rank, .place = place_of(s, fused)};
        f->score = s->mode == HYBRID ? fused->score : f->place.score; /* cosine, or BM25 */
        for (int j = 0; j < s->index->n_keys; j++)
            f->keys[j] =
                SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, j + 2, &is_null);
    }
    return n_rows;
}

/* One row at a time: texts may be large. */
static SPIPlanPtr prepare_text(const search *s) {
    char *sql =
        psprintf("SELECT b.txt FROM (SELECT %s, %s AS txt FROM %s b) b WHERE %s",
                 nlp_pg_index_key_columns(s->index, "b."), nlp_pg_index_text(s->index, "b."),
                 s->index->source, nlp_pg_index_given_key(s->index, "b."));
    SPIPlanPtr plan = SPI_prepare(sql, s->index->n_keys, s->index->key_types);
    if (!plan) elog(ERROR, "%s: %s", SPI_result_code_string(SPI_result), sql);
    return plan;
}

/* Characters, from 1, the end included, to bytes; false where the text is shorter. */
static bool bytes_of(nlp_text text, int32 start, int32 end, size_t *from, size_t *to) {
    int32 character = 0;
    *from = text.n_bytes, *to = text.n_bytes;
    for (size_t i = 0; i < text.n_bytes; i++) {
        if (((uint8_t)text.bytes[i] & 0xC0) == 0x80) continue;
        character++;
        if (character == start) *from = i;
        if (character == end + 1) *to = i;
    }
    return start >= 1 && end <= character;
}

/* Of the row as the caller sees it now, and only where the chunk that was found is still a part of it. */
static void cut_snippet(const search *s, found *f) {
    size_t from, to;
    if (!bytes_of(f->text, f->place.start_pos, f->place.end_pos, &from, &to)) return;
    f->chunk = (nlp_text){f->text.bytes + from, to - from};
    f->has_place = f->place.hash == hash_bytes_extended((const unsigned char *)f->chunk.bytes,
                                                        (int)f->chunk.n_bytes, 0);
    if (f->has_place) nlp_snippet_find(f->text, from, to, s->query_text, SNIPPET, &f->snippet);
}

static void read_texts(const search *s, found *rows, size_t n) {
    SPIPlanPtr plan = prepare_text(s);
    for (size_t i = 0; i < n; i++) {
        if (SPI_execute_plan(plan, rows[i].keys, NULL, true, 1) != SPI_OK_SELECT || !SPI_processed)
            continue;
        rows[i].text = nlp_pg_column(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
        cut_snippet(s, &rows[i]);
    }
}

/* ---- Reranking ---- */

static int by_found_score(const void *a, const void *b) {
    const found *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static nlp_text chunk_text(const found *f) {
    return f->has_place ? f->chunk : (nlp_text){"", 0};
}

/* All in one batch. */
static void rerank(const search *s, found *rows, size_t n) {
    nlp_pg_site site = nlp_pg_site_plain("rerank_score");
    nlp_text *pairs = palloc(Max(n, 1) * 2 * sizeof *pairs);
    for (size_t i = 0; i < n; i++)
        pairs[2 * i] = s->query_text, pairs[2 * i + 1] = chunk_text(&rows[i]);
    if (!n) return;
    const nlp_result *result =
        nlp_pg_site_run(&site, nlp_pg_site_open_model(&site, s->rerank), pairs, NULL, n, NULL, 0);
    for (size_t i = 0; i < n; i++) rows[i].score = result->outputs[i].cells->as.real;
    qsort(rows, n, sizeof *rows, by_found_score);
}

/* ---- Rows of the answer ---- */

static Datum rank_datum(uint32_t rank, bool *is_null) {
    *is_null = !rank;
    return Int32GetDatum((int32)rank);
}

static Datum key_datum(const search *s, Datum key) {
    if (s->set->setDesc->natts != 1 + N_COLUMNS ||
        TupleDescAttr(s->set->setDesc, 0)->atttypid != INT8OID)
        return key;
    if (s->index->key_types[0] == INT2OID) return Int64GetDatum(DatumGetInt16(key));
    return s->index->key_types[0] == INT4OID ? Int64GetDatum(DatumGetInt32(key)) : key;
}

static void put(const search *s, const found *f) {
    Datum values[NLP_PG_INDEX_COLUMNS + N_COLUMNS];
    bool nulls[NLP_PG_INDEX_COLUMNS + N_COLUMNS] = {false};
    int k = s->index->n_keys;
    const nlp_fused *fused = &s->fused[f->rank];
    for (int i = 0; i < k; i++) values[i] = key_datum(s, f->keys[i]);
    values[k + SCORE] = Float4GetDatum((float4)f->score);
    values[k + TEXT] = f->has_place ? nlp_pg_text_datum(f->text.bytes + f->snippet.start,
                                                        f->snippet.end - f->snippet.start)
                                    : (Datum)0;
    values[k + START] = Int32GetDatum((int32)f->snippet.start_pos),
               values[k + END] = Int32GetDatum((int32)f->snippet.end_pos);
    nulls[k + TEXT] = nulls[k + START] = nulls[k + END] = !f->has_place;
    values[k + DENSE_RANK] = rank_datum(fused->dense_rank, &nulls[k + DENSE_RANK]);
    values[k + TEXT_RANK] = rank_datum(fused->text_rank, &nulls[k + TEXT_RANK]);
    tuplestore_putvalues(s->set->setResult, s->set->setDesc, values, nulls);
}

static bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* nlp_search has the row's key as a bigint; nlp_search_rows has the columns that the statement names. */
static void check_columns(const search *s, bool is_plain) {
    const nlp_pg_index *index = s->index;
    static const Oid rest[N_COLUMNS] = {FLOAT4OID, TEXTOID, INT4OID, INT4OID, INT4OID, INT4OID};
    TupleDesc desc = s->set->setDesc;
    char *own = psprintf("SELECT * FROM nlp_index.%s(...)",
                         quote_identifier(psprintf("nlp_search_%s", index->name)));
    if (is_plain && !(index->n_keys == 1 && is_integer(index->key_types[0])))
        bad(psprintf("the key of %s is not one integer", index->source), own);
    if (is_plain) return;
    bool fits = desc->natts == index->n_keys + N_COLUMNS;
    for (int i = 0; fits && i < desc->natts; i++)
        fits = TupleDescAttr(desc, i)->atttypid ==
               (i < index->n_keys ? index->key_types[i] : rest[i - index->n_keys]);
    if (!fits)
        bad("the columns are those of the key, then score real, snippet text, start_pos int, end_pos int, dense_rank int, text_rank int",
            own);
}

/* With the caller's rights; where only some rows may be found, these first. */
static found *try_search(search *s, bool only_visible, size_t most, size_t *n) {
    Tuplestorestate *seen = only_visible ? name_visible(s) : NULL;
    nlp_pg_rights before = nlp_pg_become(s->index->owner);
    if (only_visible) read_allowed(s);
    find(s);
    Tuplestorestate *names = name_found(s);
    nlp_pg_give_back(before);
    found *rows = palloc(Max(s->n_fused, 1) * sizeof *rows);
    *n = read_visible(s, rows, most);
    SPI_unregister_relation("nlp_found");
    tuplestore_end(names);
    if (seen) tuplestore_end(seen);
    return rows;
}

/* In an SPI connection. Where rows of the index are not in the table any more, others must not go without their places. */
static void answer(search *s) {
    size_t most = s->rerank ? Max((size_t)s->k, RERANKED) : (size_t)s->k, n;
    s->has_policy = check_enable_rls(s->index->relation, InvalidOid, true) == RLS_ENABLED;
    bool hidden = s->filter || s->has_policy;
    nlp_pg_execute(psprintf("SELECT %s, %s FROM %s b LIMIT 0",
                            nlp_pg_index_key_columns(s->index, "b."),
                            nlp_pg_index_text(s->index, "b."), s->index->source),
                   0, NULL, NULL, true);
    found *rows = try_search(s, hidden, most, &n);
    if (!hidden && n < (size_t)s->k && n < s->n_fused) rows = try_search(s, true, most, &n);
    read_texts(s, rows, n);
    if (s->rerank) rerank(s, rows, n);
    for (size_t i = 0; i < Min(n, (size_t)s->k); i++)
        if (rows[i].has_place || !s->has_policy) put(s, &rows[i]);
}

PG_FUNCTION_INFO_V1(nlp_pg_search);
Datum nlp_pg_search(PG_FUNCTION_ARGS) {
    search *s = palloc(sizeof *s);
    bool is_plain = !strcmp(get_func_name(fcinfo->flinfo->fn_oid), "nlp_search");
    InitMaterializedSRF(fcinfo, is_plain ? 0 : MAT_SRF_USE_EXPECTED_DESC);
    if (!read_arguments(fcinfo, s)) return (Datum)0;
    check_columns(s, is_plain);
    if (s->filter) check_filter(s->filter);
    SPI_connect();
    answer(s);
    SPI_finish();
    return (Datum)0;
}
