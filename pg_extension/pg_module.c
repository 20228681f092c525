/* pg_module.c: loading. Registers settings, opens nothing. */
#include "pg_nlp.h"

PG_MODULE_MAGIC;

void _PG_init(void);
void _PG_init(void) {
    nlp_pg_settings_init();
}
