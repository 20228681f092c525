/* workers.h: a persistent pool of threads for one engine. Starts on the first parallel call, blocks
 * all signals in its threads, survives fork (a child starts its own), calls no host function, is
 * idle before nlp_workers_run returns. */
#ifndef NLP_BASE_WORKERS_H
#define NLP_BASE_WORKERS_H

#include "base/mem.h"
#include "base/poll.h"

typedef struct nlp_workers nlp_workers;

nlp_status nlp_workers_open(nlp_mem *mem, uint32_t max_threads, nlp_workers **workers,
                            nlp_error *err);
void nlp_workers_close(nlp_workers *workers); /* NULL is allowed */
/* Calls run(context, part, thread) for part = 0 .. n_parts - 1, spread over at most n_threads
 * threads, the caller among them (thread 0). The caller polls between its parts; once it is told to
 * stop the others stop at their next part, and at their own look at poll->stopped. Returns
 * NLP_ECANCELED then, else the status of the lowest failing part. If threads can't be started the
 * caller does all of it. */
nlp_status nlp_workers_run(nlp_workers *workers, uint32_t n_threads, uint32_t n_parts,
                           nlp_status (*run)(void *context, uint32_t part, uint32_t thread),
                           void *context, nlp_poll *poll, nlp_error *err);

#endif
