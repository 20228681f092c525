/* pg_batch_node.c: runs the calls of a batch node. Rows of the node below are copied until a batch is full;
 * quals are tested one after the other, each with the calls that it needs, over the rows that are still
 * there; the other calls run for those that are left. A row then gets what the call would have given it
 * alone, an error too: that is raised when the row is delivered, if it is.
 *
 * Two contexts: `batch` holds copied rows and results until the batch is used up, `run` the texts of one run
 * of the model. The node below is never asked with one of them current. */
#include "pg_batch.h"
#include "pg_site.h"

#include "access/parallel.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "commands/explain.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "port/atomics.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

enum {
    FIRST_ROWS = 8,      /* of the first batch, doubled with each, */
    MOST_ROWS = 256,     /* up to so many */
    RUN_BYTES = 1 << 20, /* of texts in one run of the model */
    BYTES_A_TOKEN = 4,
    MOST_OPERANDS = 2
};
static const Size MOST_BATCH_BYTES = 8 << 20;

typedef struct call {
    nlp_pg_site *site;
    FmgrInfo function;
    FunctionCallInfo fcinfo;
    ExprState *arguments[NLP_PG_MAX_ARGUMENTS];
    int stage;    /* the number of the qual that needs it first, or of all quals */
    bool is_null; /* since an argument that is the same for all rows is */
    Datum values[MOST_ROWS];
    bool nulls[MOST_ROWS];
    nlp_error *errors[MOST_ROWS]; /* NULL: none */
    const FuncExpr *expression;
} call;

enum { BATCHES, ROWS, TOKENS, TRUNCATED, REUSED, N_COUNTS };
enum { N_SHARED = N_COUNTS + NLP_PG_COUNTERS }; /* those of a node, and of all that a worker did */
static const char *const count_names[N_COUNTS] = {"Batches", "Rows", "Tokens", "Truncated",
                                                  "Reused"};

typedef struct batch_node {
    CustomScanState scan; /* first */
    MemoryContext batch, run;
    ExprContext *econtext; /* of arguments */
    TupleTableSlot *row;   /* of the node below */
    call **calls;
    int n_calls, n_quals;
    ExprState **quals;
    int *sources; /* of the scan tuple's columns */
    int n_columns;
    MinimalTuple rows[MOST_ROWS];
    int n, next, size;
    bool is_finished; /* the node below has no more */
    bool knows_constants;
    uint64 counts[N_COUNTS];
    pg_atomic_uint64 *shared; /* [N_SHARED] what workers counted, or NULL */
} batch_node;

/* ---- Beginning ---- */

static void check_permission(Oid function) {
#if PG_VERSION_NUM >= 160000
    AclResult result = object_aclcheck(ProcedureRelationId, function, GetUserId(), ACL_EXECUTE);
#else
    AclResult result = pg_proc_aclcheck(function, GetUserId(), ACL_EXECUTE);
#endif
    if (result != ACLCHECK_OK) aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
    InvokeFunctionExecuteHook(function);
}

/* Arguments behind the operands stay, so their values are taken once a scan. */
static void take_constants(batch_node *node, call *c) {
    c->is_null = false;
    for (int i = (int)c->site->task->n_operands; i < c->site->n_arguments; i++) {
        NullableDatum *argument = &c->fcinfo->args[i];
        argument->value = ExecEvalExpr(c->arguments[i], node->econtext, &argument->isnull);
        c->is_null = c->is_null || argument->isnull;
    }
}

static call *begin_call(batch_node *node, FuncExpr *expr) {
    call *c = palloc0(sizeof *c);
    c->expression = expr;
    int n = list_length(expr->args), at = 0;
    ListCell *cell;
    check_permission(expr->funcid);
    fmgr_info(expr->funcid, &c->function);
    fmgr_info_set_expr((Node *)expr, &c->function);
    c->fcinfo = palloc0(SizeForFunctionCallInfo(n));
    InitFunctionCallInfoData(*c->fcinfo, &c->function, (int16)n, expr->inputcollid, NULL, NULL);
    c->site = nlp_pg_site_open(c->fcinfo, nlp_pg_task_of(expr->funcid)->name, CurrentMemoryContext);
    foreach (cell, expr->args) c->arguments[at++] = ExecInitExpr(lfirst(cell), &node->scan.ss.ps);
    return c;
}

/* Whether a qual looks at a call's column. */
typedef struct use {
    const batch_node *node;
    int call;
} use;

static bool is_used(Node *expression, void *context) {
    const use *u = context;
    if (!expression) return false;
    if (IsA(expression, Var)) {
        const Var *var = (const Var *)expression;
        return var->varno == INDEX_VAR && u->node->sources[var->varattno - 1] == -1 - u->call;
    }
    return expression_tree_walker(expression, is_used, context);
}

static void find_stage(batch_node *node, int number, List *quals) {
    use u = {node, number};
    ListCell *cell;
    call *c = node->calls[number];
    c->stage = node->n_quals;
    foreach (cell, quals)
        if (c->stage == node->n_quals && is_used(lfirst(cell), &u))
            c->stage = foreach_current_index(cell);
}

static void begin_expressions(batch_node *node, CustomScan *plan) {
    List *quals = plan->scan.plan.qual;
    ListCell *cell;
    node->n_columns = list_length(plan->custom_scan_tlist);
    node->sources = palloc((Size)Max(node->n_columns, 1) * sizeof *node->sources);
    node->calls = palloc0((Size)node->n_columns * sizeof(call *));
    foreach (cell, list_nth(plan->custom_private, NLP_PG_BATCH_SOURCES)) {
        int k = foreach_current_index(cell), source = lfirst_int(cell);
        TargetEntry *target = list_nth(plan->custom_scan_tlist, k);
        node->sources[k] = source;
        if (source >= 0) continue;
        node->calls[-1 - source] = begin_call(node, (FuncExpr *)target->expr);
        node->n_calls = Max(node->n_calls, -source);
    }
    node->n_quals = list_length(quals);
    node->quals = palloc((Size)Max(node->n_quals, 1) * sizeof *node->quals);
    foreach (cell, quals)
        node->quals[foreach_current_index(cell)] =
            ExecInitQual(list_make1(lfirst(cell)), &node->scan.ss.ps);
    for (int i = 0; i < node->n_calls; i++) find_stage(node, i, quals);
    node->scan.ss.ps.qual = NULL; /* they are tested here, once */
}

static int first_size(const batch_node *node) {
    CustomScan *plan = (CustomScan *)node->scan.ss.ps.plan;
    int cap = linitial_int(list_nth(plan->custom_private, NLP_PG_BATCH_CAP));
    if (!nlp_pg_batch_is_on) return 1;
    return cap ? Min(cap, MOST_ROWS) : FIRST_ROWS;
}

static void begin(CustomScanState *scan, EState *estate, int eflags) {
    batch_node *node = (batch_node *)scan;
    CustomScan *plan = (CustomScan *)scan->ss.ps.plan;
    eflags &= ~(EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK);
    outerPlanState(node) = ExecInitNode(outerPlan(plan), estate, eflags);
    node->batch = AllocSetContextCreate(CurrentMemoryContext, "nlp batch", ALLOCSET_DEFAULT_SIZES);
    node->run = AllocSetContextCreate(CurrentMemoryContext, "nlp run", ALLOCSET_DEFAULT_SIZES);
    node->econtext = CreateExprContext(estate);
    node->row = ExecInitExtraTupleSlot(estate, ExecGetResultType(outerPlanState(node)),
                                       &TTSOpsMinimalTuple);
    /* what arguments are computed from is a copy of the row, not what the node below returns */
    scan->ss.ps.outerops = &TTSOpsMinimalTuple;
    scan->ss.ps.outeropsfixed = scan->ss.ps.outeropsset = true;
    begin_expressions(node, plan);
    node->size = first_size(node);
}

/* ---- Rows ---- */

static void pull(batch_node *node) {
    while (node->n < node->size && !node->is_finished) {
        TupleTableSlot *slot = ExecProcNode(outerPlanState(node));
        if (TupIsNull(slot)) {
            node->is_finished = true;
            return;
        }
        MemoryContext old = MemoryContextSwitchTo(node->batch);
        node->rows[node->n++] = ExecCopySlotMinimalTuple(slot);
        MemoryContextSwitchTo(old);
        if (MemoryContextMemAllocated(node->batch, false) > MOST_BATCH_BYTES) return;
    }
}

static nlp_error *error_of(const batch_node *node, int row, int stage) {
    for (int i = 0; i < node->n_calls; i++)
        if (node->calls[i]->stage <= stage && node->calls[i]->errors[row])
            return node->calls[i]->errors[row];
    return NULL;
}

/* A row as a scan tuple; calls of later stages are NULL still. */
static TupleTableSlot *put_row(batch_node *node, int row, int stage) {
    TupleTableSlot *slot = node->scan.ss.ss_ScanTupleSlot;
    ExecStoreMinimalTuple(node->rows[row], node->row, false);
    slot_getallattrs(node->row);
    ExecClearTuple(slot);
    for (int k = 0; k < node->n_columns; k++) {
        int source = node->sources[k];
        const call *c = source < 0 ? node->calls[-1 - source] : NULL;
        bool is_known = c && c->stage <= stage;
        slot->tts_values[k] = !c ? node->row->tts_values[source] : is_known ? c->values[row] : 0;
        slot->tts_isnull[k] = !c ? node->row->tts_isnull[source] : !is_known || c->nulls[row];
    }
    return ExecStoreVirtualTuple(slot);
}

/* ---- Runs of the model ---- */

typedef struct run {
    call *call;
    nlp_option options[NLP_PG_SITE_OPTIONS];
    size_t n_options;
    nlp_text texts[MOST_ROWS * MOST_OPERANDS];
    int rows[MOST_ROWS];
    int n;
    size_t n_bytes, most_bytes;
} run;

/* A row's operands; false where one is NULL, which makes the call NULL. */
static bool read_operands(batch_node *node, const call *c, int row, nlp_text *texts) {
    const nlp_task_spec *task = c->site->task;
    ExecStoreMinimalTuple(node->rows[row], node->row, false);
    node->econtext->ecxt_outertuple = node->row;
    for (uint32_t i = 0; i < task->n_operands; i++) {
        bool is_null;
        Datum datum = ExecEvalExpr(c->arguments[i], node->econtext, &is_null);
        if (is_null) return false;
        texts[i] = nlp_pg_operand(datum, task->operands[i].type);
    }
    return true;
}

static void keep_results(batch_node *node, const run *r, int first, const nlp_result *result) {
    MemoryContext old = MemoryContextSwitchTo(node->batch);
    for (size_t i = 0; i < result->n_inputs; i++) {
        int row = r->rows[first + (int)i];
        r->call->values[row] = nlp_pg_datum(result->outputs[i].cells, &r->call->nulls[row]);
    }
    MemoryContextSwitchTo(old);
    node->counts[BATCHES]++;
    node->counts[ROWS] += result->n_inputs;
    node->counts[TOKENS] += result->n_tokens;
    node->counts[TRUNCATED] += result->n_truncated;
    node->counts[REUSED] += result->n_reused;
}

/* n texts from number `first` on. An error of many is looked for row by row; that of one waits for it. */
static void run_texts(batch_node *node, const run *r, nlp_model *model, int first, int n) {
    nlp_pg_site *site = r->call->site;
    const nlp_text *texts = r->texts + (size_t)first * site->task->n_operands;
    const nlp_result *result;
    nlp_error err;
    nlp_status status = nlp_pg_site_try(site, model, texts, NULL, (size_t)n, r->options,
                                        r->n_options, &result, &err);
    if (status == NLP_OK) {
        keep_results(node, r, first, result);
    } else if (status == NLP_ECANCELED) {
        nlp_pg_check(status, &err);
    } else if (n > 1) {
        for (int i = 0; i < n; i++) run_texts(node, r, model, first + i, 1);
    } else {
        nlp_error *kept = MemoryContextAlloc(node->batch, sizeof *kept);
        *kept = err;
        r->call->errors[r->rows[first]] = kept;
    }
}

static void flush_run(batch_node *node, run *r) {
    if (!r->n) return;
    call *c = r->call;
    nlp_model *model = nlp_pg_site_model(c->fcinfo, c->site, r->texts, r->options, r->n_options);
    run_texts(node, r, model, 0, r->n);
    r->n = 0;
    r->n_bytes = 0;
    MemoryContextReset(node->run);
}

static void add_row(batch_node *node, run *r, int row) {
    call *c = r->call;
    uint32_t n_operands = c->site->task->n_operands;
    if (r->n_bytes >= r->most_bytes) flush_run(node, r);
    nlp_text *texts = r->texts + (size_t)r->n * n_operands;
    if (!read_operands(node, c, row, texts)) return;
    if (r->n && !nlp_pg_site_same_model(c->site, r->texts, texts, r->options, r->n_options)) {
        flush_run(node, r); /* which gives the texts back, too */
        texts = r->texts;
        read_operands(node, c, row, texts);
    }
    for (uint32_t i = 0; i < n_operands; i++) r->n_bytes += texts[i].n_bytes;
    r->rows[r->n++] = row;
}

/* For the rows from number `first` on. */
static void run_call(batch_node *node, call *c, int first) {
    run r = {.call = c};
    r.most_bytes = Min((size_t)nlp_pg_batch_tokens * BYTES_A_TOKEN, RUN_BYTES);
    if (c->is_null) return;
    MemoryContext old = MemoryContextSwitchTo(node->batch);
    r.n_options = nlp_pg_site_options(c->fcinfo, c->site, r.options);
    MemoryContextSwitchTo(node->run);
    for (int row = first; row < node->n; row++)
        if (!error_of(node, row, c->stage)) add_row(node, &r, row);
    flush_run(node, &r);
    MemoryContextSwitchTo(old);
}

/* What an earlier batch left is forgotten first, of all calls of the stage: one looks at the others' errors. */
static void run_stage(batch_node *node, int stage, int first) {
    for (int i = 0; i < node->n_calls; i++) {
        call *c = node->calls[i];
        for (int row = first; row < node->n && c->stage == stage; row++)
            c->nulls[row] = true, c->errors[row] = NULL;
    }
    for (int i = 0; i < node->n_calls; i++)
        if (node->calls[i]->stage == stage) run_call(node, node->calls[i], first);
}

/* ---- Quals ---- */

static void move_row(batch_node *node, int from, int to, int stage) {
    node->rows[to] = node->rows[from];
    for (int i = 0; i < node->n_calls; i++) {
        call *c = node->calls[i];
        if (c->stage > stage) continue;
        c->values[to] = c->values[from], c->nulls[to] = c->nulls[from];
        c->errors[to] = c->errors[from];
    }
}

/* Drops the rows from number `first` on that fail a qual. One with an error stays: it has to be raised. */
static void test_qual(batch_node *node, int stage, int first) {
    ExprContext *econtext = node->scan.ss.ps.ps_ExprContext;
    int kept = first;
    run_stage(node, stage, first);
    for (int row = first; row < node->n; row++) {
        bool passes = error_of(node, row, stage) != NULL;
        if (!passes) {
            ResetExprContext(econtext);
            econtext->ecxt_scantuple = put_row(node, row, stage);
            passes = ExecQual(node->quals[stage], econtext);
        }
        if (passes) move_row(node, row, kept++, stage);
    }
    InstrCountFiltered1(node, node->n - kept);
    node->n = kept;
}

/* ---- Batches ---- */

static void empty(batch_node *node) {
    ExecClearTuple(node->row);
    ExecClearTuple(node->scan.ss.ss_ScanTupleSlot);
    MemoryContextReset(node->batch);
    node->n = node->next = 0;
}

static void begin_batch(batch_node *node) {
    empty(node);
    if (!node->knows_constants)
        for (int i = 0; i < node->n_calls; i++) take_constants(node, node->calls[i]);
    node->knows_constants = true;
}

static bool has_late_calls(const batch_node *node) {
    for (int i = 0; i < node->n_calls; i++)
        if (node->calls[i]->stage == node->n_quals) return true;
    return false;
}

/* Where a qual drops rows, a batch is filled up before the calls of the target list run. */
static void fill(batch_node *node) {
    begin_batch(node);
    do {
        int first = node->n;
        pull(node);
        for (int stage = 0; stage < node->n_quals; stage++) test_qual(node, stage, first);
        if (!node->n) empty(node);
    } while (!node->is_finished && node->n < node->size && (!node->n || has_late_calls(node)) &&
             MemoryContextMemAllocated(node->batch, false) < MOST_BATCH_BYTES);
    run_stage(node, node->n_quals, 0);
    node->size = nlp_pg_batch_is_on ? Min(2 * node->size, MOST_ROWS) : 1;
}

static TupleTableSlot *deliver(batch_node *node) {
    nlp_error *err = error_of(node, node->next, node->n_quals);
    if (err) nlp_pg_throw(err);
    return put_row(node, node->next++, node->n_quals);
}

static TupleTableSlot *next_row(ScanState *scan) {
    batch_node *node = (batch_node *)scan;
    if (node->next >= node->n && !node->is_finished) fill(node);
    if (node->next >= node->n) return ExecClearTuple(scan->ss_ScanTupleSlot);
    return deliver(node);
}

/* What is computed again because somebody else has changed a row meanwhile: the node below gives that row alone,
 * in its new form, or all rows of a sub-select. */
static bool recheck(ScanState *scan, TupleTableSlot *slot) {
    next_row(scan); /* into the slot */
    return !TTS_EMPTY(slot);
}

/* ---- What the executor calls ---- */

static TupleTableSlot *execute(CustomScanState *scan) {
    return ExecScan(&scan->ss, next_row, recheck);
}

static void rescan(CustomScanState *scan) {
    batch_node *node = (batch_node *)scan;
    empty(node);
    node->is_finished = false;
    if (!outerPlanState(node)->chgParam) ExecReScan(outerPlanState(node));
    ExecScanReScan(&scan->ss);
}

static void end(CustomScanState *scan) {
    ExecEndNode(outerPlanState(scan));
}

/* ---- Counts of workers ---- */

static Size estimate_shared(CustomScanState *scan, ParallelContext *context) {
    (void)scan, (void)context;
    return N_SHARED * sizeof(pg_atomic_uint64);
}

static void share(CustomScanState *scan, ParallelContext *context, void *coordinate) {
    (void)context;
    ((batch_node *)scan)->shared = coordinate;
    for (int i = 0; i < N_SHARED; i++) pg_atomic_init_u64((pg_atomic_uint64 *)coordinate + i, 0);
}

static void share_again(CustomScanState *scan, ParallelContext *context, void *coordinate) {
    (void)context;
    ((batch_node *)scan)->shared = coordinate;
}

static void join(CustomScanState *scan, shm_toc *toc, void *coordinate) {
    (void)toc;
    ((batch_node *)scan)->shared = coordinate;
}

/* A worker lives for one statement; what it did since a node of it told of its work is told by the next. */
static void tell(batch_node *node) {
    static uint64 told[NLP_PG_COUNTERS];
    uint64 counters[NLP_PG_COUNTERS];
    for (int i = 0; i < N_COUNTS; i++)
        pg_atomic_fetch_add_u64(&node->shared[i], (int64)node->counts[i]);
    nlp_pg_counters(counters);
    for (int i = 0; i < NLP_PG_COUNTERS; i++) {
        pg_atomic_fetch_add_u64(&node->shared[N_COUNTS + i], (int64)(counters[i] - told[i]));
        told[i] = counters[i];
    }
}

static void hear(batch_node *node) {
    for (int i = 0; i < N_COUNTS; i++)
        node->counts[i] += pg_atomic_exchange_u64(&node->shared[i], 0);
    for (int i = 0; i < NLP_PG_COUNTERS; i++)
        nlp_pg_count(i, pg_atomic_exchange_u64(&node->shared[N_COUNTS + i], 0));
}

static void shut_down(CustomScanState *scan) {
    batch_node *node = (batch_node *)scan;
    if (!node->shared) return;
    if (IsParallelWorker())
        tell(node);
    else
        hear(node);
    node->shared = NULL;
}

/* ---- EXPLAIN ---- */

/* The model that ran, else the one that the statement names; NULL where a setting will. */
static char *model_of(const call *c) {
    if (c->site->model) {
        nlp_model_info info = {.struct_size = sizeof info};
        nlp_model_get_info(c->site->model, &info);
        return psprintf("%s@%.8s", info.name, info.digest);
    }
    Node *named = c->site->model_at < 0 ? NULL : list_nth(c->expression->args, c->site->model_at);
    if (!named || !IsA(named, Const) || ((Const *)named)->constisnull) return NULL;
    return text_to_cstring(DatumGetTextPP(((Const *)named)->constvalue));
}

static void explain(CustomScanState *scan, List *ancestors, ExplainState *es) {
    batch_node *node = (batch_node *)scan;
    List *models = NIL;
    (void)ancestors;
    for (int i = 0; i < node->n_calls; i++) {
        char *name = model_of(node->calls[i]);
        if (name && !list_member(models, makeString(name)))
            models = lappend(models, makeString(name));
    }
    ListCell *cell;
    foreach (cell, models) ExplainPropertyText("Model", strVal(lfirst(cell)), es);
    for (int i = 0; i < N_COUNTS && es->analyze; i++)
        ExplainPropertyInteger(count_names[i], NULL, (int64)node->counts[i], es);
}

static const CustomExecMethods exec_methods = {
    .CustomName = "nlp batch",
    .BeginCustomScan = begin,
    .ExecCustomScan = execute,
    .EndCustomScan = end,
    .ReScanCustomScan = rescan,
    .EstimateDSMCustomScan = estimate_shared,
    .InitializeDSMCustomScan = share,
    .ReInitializeDSMCustomScan = share_again,
    .InitializeWorkerCustomScan = join,
    .ShutdownCustomScan = shut_down,
    .ExplainCustomScan = explain,
};

static Node *create(CustomScan *plan) {
    batch_node *node = palloc0(sizeof *node);
    (void)plan;
    NodeSetTag(node, T_CustomScanState);
    node->scan.methods = &exec_methods;
    return (Node *)node;
}

const CustomScanMethods nlp_pg_batch_methods = {"nlp batch", create};
