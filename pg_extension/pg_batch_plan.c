/* pg_batch_plan.c: from a plan that computes calls row by row to one with batch nodes. Placement is the
 * planner's already (a costly function runs after the sort and the limit), so a batch node stands right on
 * the node that computed the call: that one hands up the columns that are needed, the batch node adds the
 * calls' results as columns of its scan tuple and projects what the node projected before. Calls in
 * arguments of aggregates are computed by a batch node below the aggregate.
 *
 * What a node hands up are columns alone: an expression beside the calls is computed by the batch node, for
 * rows that are delivered. */
#include "pg_batch.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/syscache.h"

typedef struct rewrite {
    bool is_trial; /* only finds out whether there is something to do */
    bool is_due;
    int last_id;      /* of all plan nodes */
    double call_cost; /* of all lifted calls, by the planner's measure */
} rewrite;

/* Where a node stands. */
typedef struct place {
    int cap; /* rows that a LIMIT above wants, 0: all */
    bool under_gather, must_stay;
} place;

/* ---- The columns of one batch node ---- */

typedef struct lifting {
    List *columns; /* expressions that the node below computes, in its own terms */
    List *sources; /* of the scan tuple's columns: NLP_PG_BATCH_SOURCES */
    List *scan;    /* the same as target entries over the columns of the node below */
    List *calls;   /* as they stood, to know equal ones */
    bool is_lazy;
} lifting;

/* The number of an expression in a list, from 0; it is added where it is not there. */
static int number_of(List **list, Node *expression) {
    ListCell *cell;
    foreach (cell, *list)
        if (equal(lfirst(cell), expression)) return foreach_current_index(cell);
    *list = lappend(*list, expression);
    return list_length(*list) - 1;
}

static Node *column_var(int varno, int number, Node *expression) {
    return (Node *)makeVar(varno, (AttrNumber)(number + 1), exprType(expression),
                           exprTypmod(expression), exprCollation(expression), 0);
}

/* The column of the scan tuple that has a source; `over` is its expression over the node below. */
static Node *scan_column(lifting *l, int source, Node *over) {
    int n = list_length(l->sources);
    ListCell *cell;
    foreach (cell, l->sources)
        if (lfirst_int(cell) == source)
            return column_var(INDEX_VAR, foreach_current_index(cell), over);
    l->sources = lappend_int(l->sources, source);
    l->scan = lappend(l->scan, makeTargetEntry((Expr *)over, (AttrNumber)(n + 1), NULL, false));
    return column_var(INDEX_VAR, n, over);
}

/* What only the node itself can compute. */
static bool is_column(const Node *node) {
    return IsA(node, Var) || IsA(node, Aggref) || IsA(node, WindowFunc) || IsA(node, GroupingFunc);
}

/* The same over the columns that the node below hands up. */
static Node *over_columns(Node *node, void *context) {
    lifting *l = context;
    if (!node) return NULL;
    if (is_column(node)) return column_var(OUTER_VAR, number_of(&l->columns, node), node);
    return expression_tree_mutator(node, over_columns, context);
}

/* From an expression of the node to one over the scan tuple. */
static Node *lift(Node *node, void *context) {
    lifting *l = context;
    if (!node) return NULL;
    if (is_column(node)) {
        Node *over = over_columns(node, l);
        return scan_column(l, ((Var *)over)->varattno - 1, over);
    }
    if (!l->is_lazy && IsA(node, FuncExpr) && nlp_pg_is_batchable((FuncExpr *)node))
        return scan_column(l, -1 - number_of(&l->calls, node), over_columns(node, l));
    bool was_lazy = l->is_lazy;
    l->is_lazy = was_lazy || nlp_pg_is_lazy(node);
    Node *lifted = expression_tree_mutator(node, lift, context);
    l->is_lazy = was_lazy;
    return lifted;
}

/* ---- One batch node ---- */

static double cost_of(const FuncExpr *call) {
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
    if (!HeapTupleIsValid(tuple)) return 0;
    double cost = (double)((Form_pg_proc)GETSTRUCT(tuple))->procost;
    ReleaseSysCache(tuple);
    return cost * cpu_operator_cost;
}

static Plan *make_batch(rewrite *r, Plan *below, const lifting *l, List *targets, List *quals,
                        place at) {
    CustomScan *scan = makeNode(CustomScan);
    Plan *plan = &scan->scan.plan;
    ListCell *cell;
    plan->startup_cost = below->startup_cost;
    plan->total_cost = below->total_cost;
    plan->plan_rows = below->plan_rows;
    plan->plan_width = below->plan_width;
    plan->parallel_safe = below->parallel_safe;
    plan->parallel_aware = at.under_gather; /* workers add what they counted */
    plan->plan_node_id = ++r->last_id;
    plan->targetlist = targets;
    plan->qual = quals;
    plan->lefttree = below;
    plan->extParam = bms_copy(below->extParam);
    plan->allParam = bms_copy(below->allParam);
    below->async_capable = false; /* Append asks such children in another way */
    scan->custom_scan_tlist = l->scan;
    scan->custom_private = list_make2(list_make1_int(at.cap), l->sources);
    scan->methods = &nlp_pg_batch_methods;
    foreach (cell, l->calls) r->call_cost += cost_of(lfirst(cell)) * below->plan_rows;
    return plan;
}

/* ---- On top of a node that projects ---- */

static List *inner_join_quals(const Plan *plan) {
    bool is_join = IsA(plan, NestLoop) || IsA(plan, MergeJoin) || IsA(plan, HashJoin);
    return is_join && ((const Join *)plan)->jointype == JOIN_INNER ? ((const Join *)plan)->joinqual
                                                                   : NIL;
}

/* The number of the first qual with a call that can be lifted; -1 for none. Those before it are cheap, or
 * guard rows from it, and stay; all behind it move with it, so that what is secret is tested first still. */
static int first_to_move(const Plan *plan, List *quals) {
    ListCell *cell;
    int first = -1;
    if (IsA(plan, WindowAgg)) return -1; /* its quals end the scan early */
    foreach (cell, quals) {
        if (first < 0 && nlp_pg_has_batchable(lfirst(cell), false))
            first = foreach_current_index(cell);
        /* would run twice */
        if (first >= 0 && contain_volatile_functions(lfirst(cell))) return -1;
    }
    return first;
}

static List *all_quals(const Plan *plan) {
    return list_concat_copy(inner_join_quals(plan), plan->qual);
}

static bool has_work(const Plan *plan) {
    return nlp_pg_has_batchable((Node *)plan->targetlist, false) ||
           first_to_move(plan, all_quals(plan)) >= 0;
}

/* Takes the quals from number `first` on out of a node. */
static List *take_quals(Plan *plan, int first) {
    List *joined = inner_join_quals(plan), *quals = all_quals(plan);
    int n_joined = list_length(joined);
    if (first < 0) return NIL;
    if (joined) ((Join *)plan)->joinqual = list_truncate(list_copy(joined), Min(first, n_joined));
    plan->qual = list_truncate(list_copy(plan->qual), Max(first - n_joined, 0));
    return list_copy_tail(quals, first);
}

static Plan *wrap(rewrite *r, Plan *plan, place at) {
    lifting l = {0};
    List *columns = NIL, *moved = take_quals(plan, first_to_move(plan, all_quals(plan)));
    List *quals = (List *)lift((Node *)moved, &l);
    List *targets = (List *)lift((Node *)plan->targetlist, &l);
    ListCell *cell;
    foreach (cell, l.columns)
        columns = lappend(columns, makeTargetEntry(lfirst(cell),
                                                   (AttrNumber)(foreach_current_index(cell) + 1),
                                                   NULL, false));
    plan->targetlist = columns;
    return make_batch(r, plan, &l, targets, quals, at);
}

/* Nodes that compute target lists, and whose result may be read row by row. */
static bool can_be_wrapped(const Plan *plan) {
    switch (nodeTag(plan)) {
    case T_SeqScan:
    case T_SampleScan:
    case T_IndexScan:
    case T_IndexOnlyScan:
    case T_BitmapHeapScan:
    case T_TidScan:
    case T_TidRangeScan:
    case T_SubqueryScan:
    case T_FunctionScan:
    case T_ValuesScan:
    case T_TableFuncScan:
    case T_CteScan:
    case T_NamedTuplestoreScan:
    case T_WorkTableScan:
    case T_NestLoop:
    case T_MergeJoin:
    case T_HashJoin:
    case T_Agg:
    case T_Group:
    case T_WindowAgg:
    case T_Gather:
    case T_GatherMerge:
        return true;
    case T_ForeignScan: /* it may be what changes the other server's rows */
        return ((const ForeignScan *)plan)->operation == CMD_SELECT;
    case T_Result: /* without a child it is what PL/pgSQL takes for a simple expression */
        return plan->lefttree != NULL;
    case T_CustomScan:
        return ((const CustomScan *)plan)->methods == &nlp_pg_batch_methods;
    default:
        return false;
    }
}

/* ---- Below a node with calls in arguments of aggregates, or beside functions that return sets ---- */

typedef struct injection {
    List *calls; /* over the columns of the node below */
    int n_columns;
    bool is_inside;
} injection;

static Node *take_out(Node *node, void *context) {
    injection *in = context;
    if (!node) return NULL;
    if (nlp_pg_is_lazy(node)) return copyObject(node);
    if (in->is_inside) {
        if (!IsA(node, FuncExpr) || !nlp_pg_is_batchable((FuncExpr *)node))
            return expression_tree_mutator(node, take_out, context);
        return column_var(OUTER_VAR, in->n_columns + number_of(&in->calls, node), node);
    }
    if (!IsA(node, Aggref) && !IsA(node, WindowFunc))
        return expression_tree_mutator(node, take_out, context);
    Node *copy = copyObject(node);
    Expr **filter =
        IsA(copy, Aggref) ? &((Aggref *)copy)->aggfilter : &((WindowFunc *)copy)->aggfilter;
    in->is_inside = true;
    if (*filter) /* which its arguments wait for */
        *filter = (Expr *)take_out((Node *)*filter, context);
    else
        copy = expression_tree_mutator(copy, take_out, context);
    in->is_inside = false;
    return copy;
}

/* The node below is left as it is: all its columns pass through. */
static void inject(rewrite *r, Plan *plan, place at) {
    Plan *below = plan->lefttree;
    lifting l = {0};
    injection in = {.n_columns = list_length(below->targetlist),
                    .is_inside = IsA(plan, ProjectSet)};
    List *targets = NIL;
    ListCell *cell;
    plan->targetlist = (List *)take_out((Node *)plan->targetlist, &in);
    plan->qual = (List *)take_out((Node *)plan->qual, &in);
    foreach (cell, below->targetlist) {
        TargetEntry *target = flatCopyTargetEntry(lfirst(cell));
        int k = foreach_current_index(cell);
        target->expr = (Expr *)scan_column(&l, k, column_var(OUTER_VAR, k, (Node *)target->expr));
        targets = lappend(targets, target);
    }
    foreach (cell, in.calls) {
        int k = foreach_current_index(cell);
        Node *column = scan_column(&l, -1 - k, lfirst(cell));
        targets =
            lappend(targets, makeTargetEntry((Expr *)column, (AttrNumber)(in.n_columns + k + 1),
                                             NULL, false));
    }
    l.calls = in.calls;
    at.cap = 0;
    plan->lefttree = make_batch(r, below, &l, targets, NIL, at);
}

/* Grouping sets share one list of aggregates among several nodes. */
static bool can_be_injected(const Plan *plan) {
    if (!plan->lefttree) return false;
    return IsA(plan, WindowAgg) || IsA(plan, ProjectSet) ||
           (IsA(plan, Agg) && !((const Agg *)plan)->chain && !((const Agg *)plan)->groupingSets);
}

static bool has_work_below(const Plan *plan) {
    bool in_aggregates = !IsA(plan, ProjectSet);
    return nlp_pg_has_batchable((Node *)plan->targetlist, in_aggregates) ||
           nlp_pg_has_batchable((Node *)plan->qual, in_aggregates);
}

/* ---- The walk ---- */

static Plan *visit(rewrite *r, Plan *plan, place at);

static void visit_list(rewrite *r, List *plans, place at) {
    ListCell *cell;
    foreach (cell, plans) {
        Plan *seen = visit(r, lfirst(cell), at);
        if (!r->is_trial) lfirst(cell) = seen;
    }
}

static int limit_of(const Limit *limit) {
    int64 n = 0;
    Node *parts[] = {limit->limitCount, limit->limitOffset};
    for (size_t i = 0; i < lengthof(parts); i++) {
        if (!parts[i]) continue;
        if (!IsA(parts[i], Const) || ((Const *)parts[i])->constisnull) return 0;
        n += DatumGetInt64(((Const *)parts[i])->constvalue);
    }
    return limit->limitCount && n > 0 && n < INT_MAX ? (int)n : 0;
}

static place place_below(const Plan *plan, place at) {
    place below = {.under_gather = at.under_gather || IsA(plan, Gather) || IsA(plan, GatherMerge)};
    if (IsA(plan, Limit))
        below.cap = limit_of((const Limit *)plan);
    else if (IsA(plan, Result) || IsA(plan, SubqueryScan) || IsA(plan, Gather) ||
             IsA(plan, CustomScan))
        below.cap = at.cap;
    return below;
}

static void visit_children(rewrite *r, Plan *plan, place at) {
    place below = place_below(plan, at), marked = below;
    marked.must_stay = IsA(plan, MergeJoin); /* goes back to rows that it has seen */
    Plan *left = visit(r, plan->lefttree, below), *right = visit(r, plan->righttree, marked);
    if (!r->is_trial) plan->lefttree = left, plan->righttree = right;
    switch (nodeTag(plan)) {
    case T_Append:
        visit_list(r, ((Append *)plan)->appendplans, below);
        break;
    case T_MergeAppend:
        visit_list(r, ((MergeAppend *)plan)->mergeplans, below);
        break;
    case T_CustomScan:
        visit_list(r, ((CustomScan *)plan)->custom_plans, below);
        break;
    case T_SubqueryScan:
        left = visit(r, ((SubqueryScan *)plan)->subplan, below);
        if (!r->is_trial) ((SubqueryScan *)plan)->subplan = left;
        break;
    default:
        break;
    }
}

/* Calls in the arguments of calls come first, each with a node of its own. */
static Plan *visit(rewrite *r, Plan *plan, place at) {
    if (!plan) return NULL;
    check_stack_depth();
    visit_children(r, plan, at);
    r->last_id = Max(r->last_id, plan->plan_node_id);
    bool below = can_be_injected(plan) && has_work_below(plan);
    bool here = can_be_wrapped(plan) && !at.must_stay && has_work(plan);
    if (r->is_trial) {
        r->is_due = r->is_due || below || here;
        return plan;
    }
    while (can_be_injected(plan) && has_work_below(plan)) inject(r, plan, place_below(plan, at));
    while (here) {
        plan = wrap(r, plan, at);
        here = has_work(plan);
    }
    return plan;
}

static rewrite try_all(const PlannedStmt *statement) {
    rewrite trial = {.is_trial = true};
    visit(&trial, statement->planTree, (place){0});
    visit_list(&trial, statement->subplans, (place){0});
    return trial;
}

bool nlp_pg_batch_would_rewrite(const PlannedStmt *statement) {
    return try_all(statement).is_due;
}

void nlp_pg_batch_rewrite(PlannedStmt *statement) {
    rewrite r = try_all(statement);
    if (!r.is_due) return;
    r.is_trial = false;
    double total = statement->planTree->total_cost;
    statement->planTree = visit(&r, statement->planTree, (place){0});
    visit_list(&r, statement->subplans, (place){0});
    /* machine code for expressions is not worth its time where the models take it all */
    if (total - r.call_cost <= jit_above_cost) statement->jitFlags = PGJIT_NONE;
}
