/* cli_import.h: shared by `nlp import` and `nlp pull`. */
#ifndef NLP_CLI_IMPORT_H
#define NLP_CLI_IMPORT_H

#include "cli.h"
#include "nlp_import.h"

/* Limits this process before it opens a foreign file: address space and processor time by the size of `source` (a file or
 * a folder), no core file, no new privileges. Not undone: a process imports and ends. */
void cli_limit_import(const char *source);
/* Imports with progress and Ctrl-C, prints the report or the error. */
int cli_import(cli *app, nlp_import_options *options, nlp_import_report *report);
void cli_print_report(const cli *app, const char *path, const nlp_import_report *report);
/* Appends "key=value\n" to the meta pairs, if there is a value. */
void cli_meta_add(char *meta, size_t meta_bytes, const char *key, const char *value);

#endif
