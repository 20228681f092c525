/* pg_index_worker.c: the background worker that works off the queues of a database's indexes. One a database, started by the
 * commit that queued something, if none is there; it ends when there is nothing to do, so it holds no slot for long. Where
 * there is no free slot, CALL nlp_index_run does the same. */
#include "pg_index.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
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
    int alone;        /* rows that are still to be tried one by one, since one of a batch failed */
    char *step;       /* the statement of this turn, or NULL */
    char *message;    /* how the single row of the last turn failed, or NULL */
} progress;

static char *keep(const char *text) {
    return MemoryContextStrdup(TopMemoryContext, text);
}

static void drop(char **text) {
    if (*text) pfree(*text);
    *text = NULL;
}

/* Finds what is to be done now, if there is anything. */
static void look(progress *p) {
    bool is_null, no_wait;
    nlp_pg_execute("SELECT step, wait FROM _nlp.due_index()", 0, NULL, NULL, false);
    HeapTuple row = SPI_tuptable->vals[0];
    Datum step = SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null);
    Datum seconds = SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &no_wait);
    drop(&p->step);
    if (!is_null) p->step = keep(TextDatumGetCString(step));
    p->wait = no_wait ? INFINITY : DatumGetFloat8(seconds);
}

/* The next rows of a queue, or what is to be told of the one that failed. */
static void work(progress *p) {
    Oid types[2] = {INT4OID, TEXTOID};
    Datum values[2] = {Int32GetDatum(p->alone || p->message ? 1 : BATCH), (Datum)0};
    if (p->message) values[1] = CStringGetTextDatum(p->message);
    SPI_execute_with_args(p->step, 2, types, values, p->message ? "  " : " n", false, 0);
    drop(&p->message);
    p->alone = Max(p->alone - 1, 0);
}

static void turn(progress *p) {
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
    if (!p->message) look(p);
    pgstat_report_activity(STATE_RUNNING, p->step ? p->step : "nlp index");
    if (p->step) work(p);
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
    pgstat_report_activity(STATE_IDLE, NULL);
    p->idle = p->step ? 0 : p->idle + 1;
    p->failed = 0;
}

/* A batch that fails is tried row by row, a row that fails is put off by the next turn. A failure of that, or of looking, counts. */
static void take_failure(progress *p) {
    ErrorData *error = CopyErrorData();
    bool was_row = p->step && p->alone && !p->message;
    bool was_batch = p->step && !p->alone && !p->message;
    FlushErrorState();
    AbortCurrentTransaction();
    if (was_row)
        p->message = keep(error->message);
    else if (was_batch)
        p->alone = BATCH;
    else
        p->failed++, drop(&p->message);
    FreeErrorData(error);
}

static void try_turn(progress *p) {
    MemoryContext old = CurrentMemoryContext;
    PG_TRY();
    { turn(p); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(old);
        EmitErrorReport();
        take_failure(p);
    }
    PG_END_TRY();
}

static void rest(const progress *p) {
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                    (long)IDLE_MS << Min(p->failed, 6), PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
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

/* Whether nobody has queued anything that is not seen yet. */
static bool may_end(progress *p) {
    if (p->failed >= MOST_FAILURES) return true;
    if (!is_idle(p) || !lock(LOCK_QUEUEING)) return false;
    try_turn(p);
    if (is_idle(p)) return true;
    unlock(LOCK_QUEUEING);
    return false;
}

PGDLLEXPORT void nlp_pg_index_worker_main(Datum database);
void nlp_pg_index_worker_main(Datum database) {
    progress p = {0};
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
        try_turn(&p);
        if (p.failed || (p.idle && !p.message)) rest(&p);
    }
    unlock(LOCK_WORKER); /* while nobody queues: who queues next starts another one */
}
