/* pg_site.h: a call of a task in a statement: its arguments by name, its model, its last answer. */
#ifndef NLP_PG_SITE_H
#define NLP_PG_SITE_H

#include "pg_nlp.h"

enum { NLP_PG_SITE_OPTIONS = NLP_PG_MAX_OPTIONS + NLP_PG_MAX_ARGUMENTS + 1 };

/* What a call site needs to know, kept in fn_extra for the life of the statement. */
typedef struct nlp_pg_site {
    const nlp_task_spec *task;
    int model_at, options_at;                      /* argument numbers, -1: none */
    const char *option_keys[NLP_PG_MAX_ARGUMENTS]; /* of tunable arguments, else NULL */
    Oid option_types[NLP_PG_MAX_ARGUMENTS];
    int n_arguments;
    bool warned; /* about truncation, once a statement */
    MemoryContext context;
    /* the last model and the one before: where rows have a default of their own, they mostly take turns */
    char *model_name, *other_name;
    nlp_model *model, *other;
    /* the last answer of a scalar task: ORDER BY f(x, nlp_embed_query('...')) is one forward pass;
     * a window form has the context for its batch */
    struct {
        bool valid, is_null;
        char *text;
        size_t n_bytes;
        char *options;
        Datum datum;
        MemoryContext context;
    } memo;
} nlp_pg_site;

/* Of the function that is being called; lives in context. Throws, as all below. */
nlp_pg_site *nlp_pg_site_open(FunctionCallInfo fcinfo, const char *task, MemoryContext context);
/* The same, kept in fn_extra: one a statement, since fn_mcxt lives as long as the call site. */
nlp_pg_site *nlp_pg_site_of(FunctionCallInfo fcinfo, const char *task);
/* A call that is not one in SQL: its model and options are given, no argument is read. Lives in the current context. */
nlp_pg_site nlp_pg_site_plain(const char *task);
/* An operand of any type but ids, UTF-8; not copied where it can be used as it lies. */
nlp_text nlp_pg_operand(Datum datum, nlp_type type);
/* How many options [NLP_PG_SITE_OPTIONS] the call has; texts lie in the current context. */
size_t nlp_pg_site_options(FunctionCallInfo fcinfo, const nlp_pg_site *site, nlp_option *options);
/* n options, and those that settings bring to a call that names no model; there is room for one more. */
size_t nlp_pg_add_settings(const nlp_task_spec *task, nlp_option *options, size_t n);
/* The model that is named, else the default of these operands (or NULL) and options. */
nlp_model *nlp_pg_site_model(FunctionCallInfo fcinfo, nlp_pg_site *site, const nlp_text *operands,
                             const nlp_option *options, size_t n_options);
/* A model by its name, open until the statement ends. */
nlp_model *nlp_pg_site_open_model(nlp_pg_site *site, const char *name);
/* The task over n inputs: texts, or ids where it takes those (else NULL). The result belongs to the
 * backend's session, until its next run. Says once a statement that a text was cut. */
const nlp_result *nlp_pg_site_run(nlp_pg_site *site, nlp_model *model, const nlp_text *texts,
                                  const nlp_value *ids, size_t n, const nlp_option *options,
                                  size_t n_options);
/* The same for those who let an error wait: only a want of memory is thrown. */
nlp_status nlp_pg_site_try(nlp_pg_site *site, nlp_model *model, const nlp_text *texts,
                           const nlp_value *ids, size_t n, const nlp_option *options,
                           size_t n_options, const nlp_result **result, nlp_error *err);
/* Throws where a task that writes is asked for more tokens than nlp.max_generate_tokens. */
void nlp_pg_check_tokens(const nlp_task_spec *task, const nlp_option *options, size_t n);
/* Whether a row would have the same model alone: a default may depend on the text. first: operands of a row
 * before, NULL for none. */
bool nlp_pg_site_same_model(const nlp_pg_site *site, const nlp_text *first, const nlp_text *row,
                            const nlp_option *options, size_t n_options);

#endif
