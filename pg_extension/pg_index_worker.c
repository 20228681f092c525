/* pg_index_worker.c: the background worker that works off the queues of a database's indexes. One a database, started by the
 * commit that queued something, if none is there; it ends when there is nothing to do, so it holds no slot for long, and
 * when someone drops, renames or copies the database. Where there is no free slot, CALL nlp_index_run does the same. */
#include "pg_index.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

enum {
    LOCK_WORKER = 3,
    LOCK_QUEUEING = 4,
    NOT_IN_SQL = 3,
    IDLE_MS = 1000,
    NAP_MS = 250,
    IDLE_TIMES = 5,
    MOST_FAILURES = 8,
    MOST_WAIT = 60,
    BATCH = 64
};

static bool is_on, wants_worker;

/* ---- Advisory locks of a class that SQL has no function for ---- */

bool nlp_pg_index_try_lock(Oid relation, nlp_pg_index_lock purpose) {
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, relation, (uint32)purpose, NOT_IN_SQL);
    return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* Of the whole database. Who queues holds LOCK_QUEUEING in share until its transaction ends; the worker holds LOCK_WORKER, and takes
 * the other one alone before it looks for the last time, so that it never ends between a look and a commit. */
static LOCKTAG database_tag(uint16 purpose) {
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, get_namespace_oid("nlp_index", true), purpose,
                         NOT_IN_SQL);
    return tag;
}

/* ---- Who queues ---- */

static void start(void) {
    BackgroundWorker worker = {.bgw_flags =
                                   BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
                               .bgw_start_time = BgWorkerStart_RecoveryFinished,
                               .bgw_restart_time = BGW_NEVER_RESTART,
                               .bgw_main_arg = ObjectIdGetDatum(MyDatabaseId)};
    strlcpy(worker.bgw_name, "nlp index worker", sizeof worker.bgw_name);
    strlcpy(worker.bgw_type, "nlp index worker", sizeof worker.bgw_type);
    strlcpy(worker.bgw_library_name, "nlp", sizeof worker.bgw_library_name);
    strlcpy(worker.bgw_function_name, "nlp_pg_index_worker_main", sizeof worker.bgw_function_name);
    RegisterDynamicBackgroundWorker(&worker, NULL);
}

/* Behind the commit, so that a worker sees what there is to do. One that finds another at work ends at once. */
static void at_end(XactEvent event, void *context) {
    (void)context;
    if ((event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE) && wants_worker) start();
    if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
        wants_worker = false;
}

void nlp_pg_index_want_worker(void) {
    LOCKTAG queueing = database_tag(LOCK_QUEUEING), worker = database_tag(LOCK_WORKER);
    if (!is_on) return;
    LockAcquire(&queueing, ShareLock, false,
                false); /* also where a subtransaction took it and gave it up */
    if (wants_worker) return;
    if (LockAcquire(&worker, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL) return;
    LockRelease(&worker, ExclusiveLock, false);
    wants_worker = true;
}

void nlp_pg_index_worker_init(void) {
    DefineCustomBoolVariable("nlp.index_worker",
                             "Start a background worker for indexes of mode async.", NULL, &is_on,
                             true, PGC_SUSET, 0, NULL, NULL, NULL);
    RegisterXactCallback(at_end, NULL);
}

/* ---- The worker ---- */

typedef struct progress {
    int idle, failed; /* turns in a row */
    double wait;      /* seconds until there is something to do */
    int batch;        /* rows of a step, so that one takes about a second */
    List *due; /* relations that have something to do now, as SQL calls them; in TopMemoryContext */
} progress;

/* Finds what is to be done now. */
static void look(progress *p, char *relation) {
    (void)relation;
    bool is_null;
    uint64 n =
        nlp_pg_execute("SELECT relation, wait FROM _nlp.due_indexes()", 0, NULL, NULL, false);
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    p->wait = INFINITY;
    for (uint64 i = 0; i < n; i++) {
        double wait = DatumGetFloat8(
            SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &is_null));
        p->wait = Min(p->wait, wait);
        if (wait <= 0)
            p->due =
                lappend(p->due, TextDatumGetCString(SPI_getbinval(
                                    SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null)));
    }
    MemoryContextSwitchTo(old);
}

/* In a transaction of its own; false where it failed, which is in the log. */
static bool run(void (*act)(progress *p, char *relation), progress *p, char *relation) {
    MemoryContext old = CurrentMemoryContext;
    volatile bool done = false;
    PG_TRY();
    {
        StartTransactionCommand();
        PushActiveSnapshot(GetTransactionSnapshot());
        SPI_connect();
        pgstat_report_activity(STATE_RUNNING, relation ? relation : "nlp index");
        act(p, relation);
        SPI_finish();
        PopActiveSnapshot();
        CommitTransactionCommand();
        pgstat_report_activity(STATE_IDLE, NULL);
        done = true;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(old);
        EmitErrorReport();
        FlushErrorState();
        AbortCurrentTransaction();
    }
    PG_END_TRY();
    return done;
}

static void step(progress *p, char *relation) {
    Oid types[2] = {TEXTOID, INT4OID};
    Datum values[2] = {CStringGetTextDatum(relation), Int32GetDatum(p->batch)};
    TimestampTz start = GetCurrentTimestamp();
    nlp_pg_execute("SELECT _nlp.index_step($1::regclass, $2)", 2, types, values, false);
    if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), 2000))
        p->batch = Max(1, p->batch / 2);
    else if (!TimestampDifferenceExceeds(start, GetCurrentTimestamp(), 500))
        p->batch = Min(BATCH, p->batch * 2);
}

/* One step of each index that is due: one that fails holds up no other. */
static void turn(progress *p) {
    ListCell *cell;
    bool any = false;
    bool looked = run(look, p, NULL);
    p->idle = looked && !p->due ? p->idle + 1 : 0;
    foreach (cell, p->due) any = run(step, p, lfirst(cell)) || any;
    p->failed = looked && (any || !p->due) ? 0 : p->failed + 1;
    list_free_deep(p->due);
    p->due = NIL;
}

/* DROP DATABASE, RENAME or a copy of it (CREATE DATABASE ... TEMPLATE) waits for all of its sessions to go, for 5 seconds; it holds
 * a lock on the database meanwhile, which keeps others from connecting. */
static bool is_in_the_way(void) {
    LOCKTAG tag;
    StartTransactionCommand();
    SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
    bool wanted = LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
    CommitTransactionCommand();
    return wanted;
}

/* Longer after failures, but never deaf for long. */
static void rest(const progress *p) {
    for (int i = 0; i < (IDLE_MS / NAP_MS) << Min(p->failed, 6) && !is_in_the_way(); i++) {
        int events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, NAP_MS,
                               PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        if (events & WL_LATCH_SET) return;
    }
}

/* For as long as the process lives; false where another has it. */
static bool lock(uint16 purpose) {
    StartTransactionCommand();
    LOCKTAG tag = database_tag(purpose);
    bool mine = OidIsValid((Oid)tag.locktag_field2) &&
                LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
    CommitTransactionCommand();
    return mine;
}

static void unlock(uint16 purpose) {
    StartTransactionCommand();
    LOCKTAG tag = database_tag(purpose);
    LockRelease(&tag, ExclusiveLock, true);
    CommitTransactionCommand();
}

static bool is_idle(const progress *p) {
    return p->idle >= IDLE_TIMES && p->wait > MOST_WAIT;
}

/* Whether nobody has queued anything that is not seen yet, or nobody can while the database is wanted. */
static bool may_end(progress *p) {
    if (p->failed >= MOST_FAILURES || is_in_the_way()) return true;
    if (!is_idle(p) || !lock(LOCK_QUEUEING)) return false;
    turn(p);
    if (is_idle(p)) return true;
    unlock(LOCK_QUEUEING);
    return false;
}

PGDLLEXPORT void nlp_pg_index_worker_main(Datum database);
void nlp_pg_index_worker_main(Datum database) {
    progress p = {.batch = BATCH};
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
    if (!lock(LOCK_WORKER)) return;
    while (!may_end(&p)) {
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
        }
        turn(&p);
        if (p.failed || p.idle) rest(&p);
    }
    unlock(LOCK_WORKER); /* while nobody queues: who queues next starts another one */
    if (is_in_the_way())
        start(); /* it can connect again when the database is free, if it is still there */
}
