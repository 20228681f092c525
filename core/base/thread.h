/* thread.h: a mutex and run-once over pthreads. */
#ifndef NLP_BASE_THREAD_H
#define NLP_BASE_THREAD_H

#include <pthread.h>

typedef pthread_mutex_t nlp_mutex;
#define NLP_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER

void nlp_mutex_init(nlp_mutex *mutex);
void nlp_mutex_deinit(nlp_mutex *mutex);
void nlp_mutex_lock(nlp_mutex *mutex);
void nlp_mutex_unlock(nlp_mutex *mutex);

#endif
