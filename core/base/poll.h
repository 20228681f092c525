/* poll.h: asking the host whether to stop, about once a millisecond of work and not more often.
 * Work is counted in multiply-adds (or bytes scanned x 16, or any unit that costs about the same).
 */
#ifndef NLP_BASE_POLL_H
#define NLP_BASE_POLL_H

#include "base/err.h"

typedef struct nlp_poll {
    nlp_stop stop;          /* should_stop may be NULL: never stops */
    uint64_t work_per_poll; /* units of work in about 0.25 ms at the kernels' speed */
    uint64_t work;          /* since the last poll */
    bool stopped;           /* sticky; workers read it, the calling thread writes it */
} nlp_poll;

#define NLP_POLL_WORK_DEFAULT ((uint64_t)1 << 18)

void nlp_poll_init(nlp_poll *poll, const nlp_stop *stop /* may be NULL */, uint64_t work_per_poll);
/* Asks now. */
nlp_status nlp_poll_now(nlp_poll *poll, nlp_error *err);

/* Whether the poll has been told to stop, without asking. Any thread. */
static inline bool nlp_poll_stopped(const nlp_poll *poll) {
    return __atomic_load_n(&poll->stopped, __ATOMIC_RELAXED);
}

/* Adds work and asks when due. poll may be NULL. */
static inline nlp_status nlp_poll_work(nlp_poll *poll, uint64_t work, nlp_error *err) {
    if (!poll || (poll->work += work) < poll->work_per_poll) return NLP_OK;
    poll->work = 0;
    return nlp_poll_now(poll, err);
}

#endif
