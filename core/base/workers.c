/* workers.c: the pool. One job at a time; parts are taken from an atomic counter; a thread that
 * finds none left reports itself done, and the caller waits until all who joined are done. */
#include "base/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/thread.h"

enum { MAX_THREADS = 256 };

typedef struct job {
    nlp_status (*run)(void *context, uint32_t part, uint32_t thread);
    void *context;
    uint32_t n_threads, n_parts;
    atomic_uint next_part;
    atomic_bool stop;
    uint32_t failed_part; /* lowest that failed; under the pool's mutex */
    nlp_status status;
} job;

struct nlp_workers {
    nlp_mem *mem;
    uint32_t max_threads, n_started;
    pid_t owner;    /* the process whose threads these are */
    nlp_mutex call; /* held by the caller during a run */
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    uint64_t generation; /* number of the current job */
    uint32_t n_busy;
    bool closing;
    job job;
    pthread_t threads[MAX_THREADS];
    struct seat {
        nlp_workers *workers;
        uint32_t thread;
    } seats[MAX_THREADS]; /* what each thread is told at its start */
};

nlp_status nlp_workers_open(nlp_mem *mem, uint32_t max_threads, nlp_workers **workers,
                            nlp_error *err) {
    nlp_workers *w = nlp_mem_zalloc(mem, sizeof *w);
    *workers = w;
    if (!w) return nlp_mem_fail(mem, sizeof *w, err);
    w->mem = mem;
    w->max_threads = max_threads < MAX_THREADS ? max_threads : MAX_THREADS;
    nlp_mutex_init(&w->call);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->wake, NULL);
    pthread_cond_init(&w->done, NULL);
    return NLP_OK;
}

static void record_failure(nlp_workers *w, uint32_t part, nlp_status status) {
    pthread_mutex_lock(&w->mutex);
    if (w->job.status == NLP_OK || part < w->job.failed_part) {
        w->job.status = status;
        w->job.failed_part = part;
    }
    pthread_mutex_unlock(&w->mutex);
    atomic_store_explicit(&w->job.stop, true, memory_order_relaxed);
}

static void run_parts(nlp_workers *w, uint32_t thread, nlp_poll *poll) {
    job *j = &w->job;
    for (;;) {
        if (atomic_load_explicit(&j->stop, memory_order_relaxed)) return;
        uint32_t part = atomic_fetch_add_explicit(&j->next_part, 1, memory_order_relaxed);
        if (part >= j->n_parts) return;
        nlp_status status = j->run(j->context, part, thread);
        if (status == NLP_OK && poll) status = nlp_poll_now(poll, NULL);
        if (status != NLP_OK) record_failure(w, part, status);
    }
}

/* A worker's life: wait for a job that wants this thread, work, say done. */
static void *worker_main(void *argument) {
    const struct seat *seat = argument;
    nlp_workers *w = seat->workers;
    uint64_t seen = 0;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (!w->closing && (w->generation == seen || seat->thread >= w->job.n_threads)) {
            seen = w->generation;
            pthread_cond_wait(&w->wake, &w->mutex);
        }
        if (w->closing) break;
        seen = w->generation;
        pthread_mutex_unlock(&w->mutex);
        run_parts(w, seat->thread, NULL);
        pthread_mutex_lock(&w->mutex);
        if (--w->n_busy == 0) pthread_cond_signal(&w->done);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* After a fork the child has none of the threads, and their locks may be in any state. */
static void forget_parent(nlp_workers *w) {
    if (w->owner == getpid()) return;
    w->owner = getpid();
    w->n_started = 0;
    w->n_busy = 0;
    w->generation = 0;
    w->job.n_threads = 0;
    nlp_mutex_init(&w->call);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->wake, NULL);
    pthread_cond_init(&w->done, NULL);
}

/* Starts threads until n are there besides the caller; signals stay with the host's own threads. */
static uint32_t start_threads(nlp_workers *w, uint32_t n) {
    sigset_t all, saved;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &saved);
    for (; w->n_started < n; w->n_started++) {
        struct seat *seat = &w->seats[w->n_started];
        *seat = (struct seat){w, w->n_started + 1};
        if (pthread_create(&w->threads[w->n_started], NULL, worker_main, seat) != 0) break;
    }
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return w->n_started < n ? w->n_started : n;
}

/* The generation tells a waking thread that this is a job that it has not seen. */
static void begin_job(nlp_workers *w, uint32_t n_threads) {
    pthread_mutex_lock(&w->mutex);
    w->job.n_threads = n_threads;
    w->n_busy = n_threads - 1;
    w->generation++;
    if (w->n_busy) pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->mutex);
}

static void await_others(nlp_workers *w) {
    pthread_mutex_lock(&w->mutex);
    while (w->n_busy) pthread_cond_wait(&w->done, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

/* The caller is thread 0 and works too. A pool that can start no thread still does the job, on
 * the caller alone. */
nlp_status nlp_workers_run(nlp_workers *w, uint32_t n_threads, uint32_t n_parts,
                           nlp_status (*run)(void *context, uint32_t part, uint32_t thread),
                           void *context, nlp_poll *poll, nlp_error *err) {
    forget_parent(w);
    nlp_mutex_lock(&w->call);
    if (n_threads > w->max_threads) n_threads = w->max_threads;
    if (n_threads > n_parts) n_threads = n_parts;
    n_threads = n_threads > 1 ? 1 + start_threads(w, n_threads - 1) : 1;
    w->job.run = run;
    w->job.context = context;
    w->job.n_parts = n_parts;
    w->job.status = NLP_OK;
    atomic_store_explicit(&w->job.next_part, 0, memory_order_relaxed);
    atomic_store_explicit(&w->job.stop, false, memory_order_relaxed);
    begin_job(w, n_threads);
    run_parts(w, 0, poll);
    await_others(w);
    nlp_status status = w->job.status;
    nlp_mutex_unlock(&w->call);
    return status == NLP_ECANCELED ? nlp_fail(err, status, "canceled") : status;
}

void nlp_workers_close(nlp_workers *w) {
    if (!w) return;
    forget_parent(w);
    pthread_mutex_lock(&w->mutex);
    w->closing = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->mutex);
    for (uint32_t i = 0; i < w->n_started; i++) pthread_join(w->threads[i], NULL);
    nlp_mem_free(w->mem, w, sizeof *w);
}
