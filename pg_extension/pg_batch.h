/* pg_batch.h: ordinary calls of tasks, many rows a run. A plan is rewritten after the planner made it
 * (pg_batch_plan.c): a node that computes calls gets another one on top, which does that (pg_batch_node.c). */
#ifndef NLP_PG_BATCH_H
#define NLP_PG_BATCH_H

#include "pg_nlp.h"

#include "nodes/extensible.h"
#include "nodes/plannodes.h"

/* What a plan node says to its execution, in custom_private: lists of integers. */
enum {
    NLP_PG_BATCH_CAP,    /* one: the rows that a LIMIT above wants, 0: all */
    NLP_PG_BATCH_SOURCES /* of each column of the scan tuple: a column of the node below, from 0, or
                          * -1 less the number of a call */
};

/* ---- pg_calls.c ---- */
/* The task that a function runs, one row a call; NULL where it is none. Kept until pg_proc changes. */
const nlp_task_spec *nlp_pg_task_of(Oid function);
/* Whether a call's text varies from row to row, while all that is not an operand stays. */
bool nlp_pg_is_batchable(const FuncExpr *call);
/* Whether an expression has such calls, where they are computed for every row: not below CASE, COALESCE,
 * AND, OR, sub-plans, which may leave them out. in_aggregates: only those in arguments of aggregates. */
bool nlp_pg_has_batchable(Node *expression, bool in_aggregates);
/* Whether an expression calls any task. */
bool nlp_pg_calls_task(Node *node);
/* Whether what stands below may not be computed at all. */
bool nlp_pg_is_lazy(const Node *node);

/* ---- pg_batch_plan.c ---- */
/* Puts batch nodes into a plan that nobody else holds. */
void nlp_pg_batch_rewrite(PlannedStmt *statement);
/* Whether it would: reads only. */
bool nlp_pg_batch_would_rewrite(const PlannedStmt *statement);

/* ---- pg_batch_node.c ---- */
extern const CustomScanMethods nlp_pg_batch_methods;

/* ---- pg_state.c: nlp.batch, nlp.parallel, nlp.batch_tokens ---- */
extern bool nlp_pg_batch_is_on, nlp_pg_parallel_is_on;
extern int nlp_pg_batch_tokens;

/* ---- pg_hooks.c ---- */
void nlp_pg_hooks_init(void);

#endif
