/* probe.h: the importer's own use of the engine: a pack in memory as a model that can be asked. */
#ifndef NLP_IMPORTER_PROBE_H
#define NLP_IMPORTER_PROBE_H

#include "nlp.h"

enum { NLP_PROBE_IDS = 512 }; /* most tokens of a text */

typedef struct nlp_probe {
    nlp_engine *engine;
    nlp_session *session;
    nlp_model *model;
} nlp_probe;

/* The bytes must outlive the probe. Close on failure too. */
nlp_status nlp_probe_open(nlp_probe *probe, const void *pack, size_t pack_bytes,
                          const nlp_stop *stop, nlp_error *err);
void nlp_probe_close(nlp_probe *probe);
/* One text through a task; the output is valid until the next run. */
nlp_status nlp_probe_run(const nlp_probe *probe, const char *task, const char *text,
                         const nlp_stop *stop, const nlp_output **output, nlp_error *err);
/* The first tokens of a text, special ones included. */
nlp_status nlp_probe_ids(const nlp_probe *probe, const char *text, const nlp_stop *stop,
                         int32_t ids[NLP_PROBE_IDS], size_t *n, nlp_error *err);

#endif
