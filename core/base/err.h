/* err.h: reporting a failure. The text goes into the caller's nlp_error (NULL is allowed); nothing
 * is allocated. A message names the thing and both numbers ("text needs 300 tokens, model takes
 * 256"), never row text or file bytes. */
#ifndef NLP_BASE_ERR_H
#define NLP_BASE_ERR_H

#include "nlp.h"

/* Writes the message, clears the hint, returns `code`: `return nlp_fail(err, NLP_EINVAL, "...",
 * ...)`. */
nlp_status nlp_fail(nlp_error *err, nlp_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds what to type next to the error just written; returns err's code (NLP_EINTERNAL where err is
 * NULL: keep the status of nlp_fail then). */
void nlp_hint(nlp_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "<format>: " before the message just written, to say where: nlp_error_prefix(err, "tensor
 * %s", name). */
void nlp_error_prefix(nlp_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void nlp_error_clear(nlp_error *err);

#define NLP_TRY(expression)                                                                        \
    do {                                                                                           \
        nlp_status nlp_try_status_ = (expression);                                                 \
        if (nlp_try_status_ != NLP_OK) return nlp_try_status_;                                     \
    } while (0)

#endif
