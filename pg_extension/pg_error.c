/* pg_error.c: a status of the core becomes an ERROR with its SQLSTATE, message and hint. */
#include "pg_nlp.h"

#include "miscadmin.h"

static int code_of(nlp_status status) {
    const char *s = nlp_status_sqlstate(status);
    return MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4]);
}

void nlp_pg_throw(const nlp_error *err) {
    ereport(ERROR, (errcode(code_of(err->code)), errmsg("%s", err->message),
                    *err->hint ? errhint("%s", err->hint) : 0));
    pg_unreachable();
}

void nlp_pg_check(nlp_status status, const nlp_error *err) {
    if (status == NLP_OK) return;
    if (status == NLP_ECANCELED) CHECK_FOR_INTERRUPTS();
    nlp_pg_throw(err);
}
