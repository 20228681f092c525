/* pg_module.c: loading. Registers settings and hooks, opens nothing. */
#include "pg_batch.h"
#include "pg_index.h"

PG_MODULE_MAGIC;

void _PG_init(void);
void _PG_init(void) {
    nlp_pg_index_worker_init();
    nlp_pg_settings_init();
    nlp_pg_hooks_init();
}
