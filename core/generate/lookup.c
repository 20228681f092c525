/* lookup.c: runs of tokens that came before. */
#include "generate/lookup.h"

#include <string.h>

enum { RUN = 3, FIRST_TRUST = 3, MOST_TRUST = 7, PAUSE_STEPS = 12 };

size_t nlp_look_up(const int32_t *ids, size_t n, int32_t *guess, size_t most) {
    if (!most || n <= RUN) return 0;
    const int32_t *last = ids + n - RUN;
    for (size_t at = n - RUN; at-- > 0;) {
        if (memcmp(ids + at, last, RUN * sizeof *ids) != 0) continue;
        size_t n_behind = n - RUN - at, n_guess = n_behind < most ? n_behind : most;
        memcpy(guess, ids + at + RUN, n_guess * sizeof *guess);
        return n_guess;
    }
    return 0;
}

void nlp_trust_begin(nlp_trust *trust) {
    *trust = (nlp_trust){.most = FIRST_TRUST};
}

size_t nlp_trust_most(nlp_trust *trust, size_t room) {
    if (trust->pause && --trust->pause) return 0;
    if (!trust->most) trust->most = 1;
    return trust->most < room ? trust->most : room;
}

/* A row that is read for nothing costs about half of what one saves that was right. */
void nlp_trust_learn(nlp_trust *trust, size_t n, size_t n_right) {
    if (n_right == n) {
        trust->most = trust->most + 2 < MOST_TRUST ? trust->most + 2 : MOST_TRUST;
        return;
    }
    trust->most = (uint32_t)n_right;
    if (!n_right) trust->pause = PAUSE_STEPS;
}
