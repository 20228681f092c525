/* poll.c: asking the host. */
#include "base/poll.h"

void nlp_poll_init(nlp_poll *poll, const nlp_stop *stop, uint64_t work_per_poll) {
    *poll = (nlp_poll){.work_per_poll = work_per_poll ? work_per_poll : NLP_POLL_WORK_DEFAULT};
    if (stop) poll->stop = *stop;
}

nlp_status nlp_poll_now(nlp_poll *poll, nlp_error *err) {
    if (!poll) return NLP_OK;
    if (nlp_poll_stopped(poll) ||
        (poll->stop.should_stop && poll->stop.should_stop(poll->stop.context))) {
        __atomic_store_n(&poll->stopped, true, __ATOMIC_RELAXED);
        return nlp_fail(err, NLP_ECANCELED, "canceled");
    }
    return NLP_OK;
}
