/* pg_calls.c: which calls in an expression are tasks, and which of them can share a run of the model with
 * those of other rows. */
#include "pg_batch.h"

#include "access/transam.h"
#include "catalog/pg_language_d.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define SYMBOL_PREFIX "nlp_pg_"

/* ---- From functions to tasks ---- */

typedef struct known_function {
    Oid oid; /* the key */
    const nlp_task_spec *task;
} known_function;

static HTAB *known;

static void forget(Datum context, int cache, uint32 hash) {
    (void)context, (void)cache, (void)hash;
    if (known) hash_destroy(known);
    known = NULL;
}

static void begin_knowing(void) {
    static bool is_registered;
    HASHCTL control = {
        .keysize = sizeof(Oid), .entrysize = sizeof(known_function), .hcxt = CacheMemoryContext};
    if (!is_registered) CacheRegisterSyscacheCallback(PROCOID, forget, (Datum)0);
    is_registered = true;
    known = hash_create("nlp functions", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* A value for each row, out of texts. */
static bool is_row_by_row(const nlp_task_spec *task) {
    for (uint32_t i = 0; i < task->n_operands; i++)
        if (task->operands[i].type == NLP_TYPE_IDS) return false;
    return !task->returns_rows && task->n_operands > 0;
}

/* By the symbol in our library that it names. */
static const nlp_task_spec *find_task(Oid function) {
    const nlp_task_spec *task = NULL;
    bool no_source, no_library;
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple)) return NULL;
    Form_pg_proc proc = (Form_pg_proc)GETSTRUCT(tuple);
    Datum source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &no_source);
    Datum library = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_probin, &no_library);
    if (proc->prolang == ClanguageId && proc->prokind == PROKIND_FUNCTION && proc->proisstrict &&
        !proc->proretset && !no_source && !no_library) {
        const char *symbol = TextDatumGetCString(source), *path = TextDatumGetCString(library);
        const char *slash = strrchr(path, '/');
        if (!strcmp(slash ? slash + 1 : path, "nlp") &&
            !strncmp(symbol, SYMBOL_PREFIX, strlen(SYMBOL_PREFIX)))
            task = nlp_task_find(nlp_pg_engine(), symbol + strlen(SYMBOL_PREFIX));
    }
    ReleaseSysCache(tuple);
    return task && is_row_by_row(task) ? task : NULL;
}

const nlp_task_spec *nlp_pg_task_of(Oid function) {
    bool found;
    if (function < FirstNormalObjectId) return NULL;
    if (!known) begin_knowing();
    known_function *entry = hash_search(known, &function, HASH_FIND, NULL);
    if (entry) return entry->task;
    const nlp_task_spec *task = find_task(function); /* which may make us forget all */
    if (!known) begin_knowing();
    entry = hash_search(known, &function, HASH_ENTER, &found);
    entry->task = task;
    return task;
}

/* ---- Calls in expressions ---- */

static bool is_task(Node *node, void *context) {
    (void)context;
    if (!node) return false;
    if (IsA(node, FuncExpr) && nlp_pg_task_of(((FuncExpr *)node)->funcid)) return true;
    return expression_tree_walker(node, is_task, NULL);
}

bool nlp_pg_calls_task(Node *node) {
    return is_task(node, NULL);
}

/* What stays while a plan runs: its value may be looked at before a row is there. */
static bool is_constant(Node *node) {
    while (node && IsA(node, RelabelType)) node = (Node *)((RelabelType *)node)->arg;
    return node &&
           (IsA(node, Const) || (IsA(node, Param) && ((Param *)node)->paramkind == PARAM_EXTERN));
}

static bool has_column(Node *node, void *context) {
    (void)context;
    if (!node) return false;
    if (IsA(node, Var) || IsA(node, Aggref) || IsA(node, WindowFunc) || IsA(node, GroupingFunc))
        return true;
    return expression_tree_walker(node, has_column, NULL);
}

bool nlp_pg_is_batchable(const FuncExpr *call) {
    const nlp_task_spec *task = nlp_pg_task_of(call->funcid);
    bool varies = false;
    int at = 0;
    ListCell *cell;
    if (!task || call->funcvariadic) return false;
    foreach (cell, call->args) {
        Node *argument = lfirst(cell);
        if (at++ >= (int)task->n_operands) {
            if (!is_constant(argument)) return false;
            continue;
        }
        if (contain_volatile_functions(argument) || contain_subplans(argument) ||
            nlp_pg_calls_task(argument))
            return false;
        varies = varies || has_column(argument, NULL);
    }
    return varies;
}

bool nlp_pg_is_lazy(const Node *node) {
    switch (nodeTag(node)) {
    case T_BoolExpr:
        return ((const BoolExpr *)node)->boolop != NOT_EXPR;
    case T_CaseExpr:
    case T_CoalesceExpr:
    case T_RowCompareExpr:
    case T_SubPlan:
    case T_AlternativeSubPlan:
#if PG_VERSION_NUM >= 170000
    case T_JsonExpr:
#endif
        return true;
    default:
        return false;
    }
}

typedef struct search {
    bool in_aggregates, is_inside;
} search;

static bool is_found(Node *node, void *context) {
    search *s = context;
    if (!node || nlp_pg_is_lazy(node)) return false;
    if (IsA(node, Aggref) || IsA(node, WindowFunc)) {
        if (!s->in_aggregates || s->is_inside) return false;
        search inside = {true, true};
        Node *filter = IsA(node, Aggref) ? (Node *)((Aggref *)node)->aggfilter
                                         : (Node *)((WindowFunc *)node)->aggfilter;
        /* arguments behind a filter are computed for the rows that pass it */
        return filter ? is_found(filter, &inside) : expression_tree_walker(node, is_found, &inside);
    }
    if (s->in_aggregates == s->is_inside && IsA(node, FuncExpr) &&
        nlp_pg_is_batchable((FuncExpr *)node))
        return true;
    return expression_tree_walker(node, is_found, context);
}

bool nlp_pg_has_batchable(Node *expression, bool in_aggregates) {
    search s = {in_aggregates, false};
    return is_found(expression, &s);
}
