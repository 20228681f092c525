/* pg_hooks.c: where the server asks us: behind the planner, for the sizes of tables, and when a statement starts.
 *
 * The library is loaded while the first statement of a session that calls a task is being planned, by the
 * support function of the task functions: too late for the planner's hook, in time for the others. */
#include "pg_batch.h"

#include "access/parallel.h"
#include "executor/executor.h"
#include "nodes/supportnodes.h"
#include "optimizer/cost.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"

static planner_hook_type next_planner;
static ExecutorStart_hook_type next_start;
static get_relation_info_hook_type next_relation_info;

static bool calls_task; /* the statement that is being planned */

PG_FUNCTION_INFO_V1(nlp_pg_support);
/* Asked of each call of a task before tables are looked at. It simplifies nothing. */
Datum nlp_pg_support(PG_FUNCTION_ARGS) {
    Node *request = (Node *)PG_GETARG_POINTER(0);
    if (IsA(request, SupportRequestSimplify)) calls_task = true;
    PG_RETURN_POINTER(NULL);
}

/* Planning may plan another statement on its way. */
static PlannedStmt *plan(Query *query, const char *text, int options, ParamListInfo parameters) {
    bool outer_calls = calls_task;
    calls_task = false;
    PlannedStmt *statement =
        (next_planner ? next_planner : standard_planner)(query, text, options, parameters);
    if (calls_task && nlp_pg_batch_is_on && !(options & CURSOR_OPT_SCROLL))
        nlp_pg_batch_rewrite(statement);
    calls_task = outer_calls;
    return statement;
}

/* Workers are planned by the size of a table, but a task makes a small one worth them, too. */
static void look_at_relation(PlannerInfo *root, Oid relation, bool has_children, RelOptInfo *rel) {
    if (next_relation_info) next_relation_info(root, relation, has_children, rel);
    if (calls_task && nlp_pg_parallel_is_on && rel->rel_parallel_workers == -1)
        rel->rel_parallel_workers = max_parallel_workers_per_gather;
}

/* A plan that was made before we were here, or while nlp.batch was off. */
static void start(QueryDesc *query, int flags) {
    bool goes_back = flags & (EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK);
    if (nlp_pg_batch_is_on && !goes_back && !IsParallelWorker() &&
        nlp_pg_batch_would_rewrite(query->plannedstmt)) {
        query->plannedstmt = copyObject(query->plannedstmt);
        nlp_pg_batch_rewrite(query->plannedstmt);
    }
    (next_start ? next_start : standard_ExecutorStart)(query, flags);
}

void nlp_pg_hooks_init(void) {
    RegisterCustomScanMethods(&nlp_pg_batch_methods);
    next_planner = planner_hook, planner_hook = plan;
    next_start = ExecutorStart_hook, ExecutorStart_hook = start;
    next_relation_info = get_relation_info_hook, get_relation_info_hook = look_at_relation;
}
