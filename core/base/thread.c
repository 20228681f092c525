/* thread.c: a mutex. Its calls cannot fail on a plain initialised mutex. */
#include "base/thread.h"

void nlp_mutex_init(nlp_mutex *mutex) {
    pthread_mutex_init(mutex, NULL);
}
void nlp_mutex_deinit(nlp_mutex *mutex) {
    pthread_mutex_destroy(mutex);
}
void nlp_mutex_lock(nlp_mutex *mutex) {
    pthread_mutex_lock(mutex);
}
void nlp_mutex_unlock(nlp_mutex *mutex) {
    pthread_mutex_unlock(mutex);
}
