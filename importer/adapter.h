/* adapter.h: a folder of the PEFT library (low-rank adapters, maybe with a head, trained on a base) as a task
 * pack that stands on the base's pack. */
#ifndef NLP_IMPORTER_ADAPTER_H
#define NLP_IMPORTER_ADAPTER_H

#include "model_folder.h"
#include "pack/pack.h"

bool nlp_adapter_is_folder(const char *path); /* it has an adapter_config.json */

typedef struct nlp_adapter_options {
    const char *folder, *base; /* base: path of its pack */
    const char *name, *meta;   /* of the new pack; "key=text\n..." or NULL */
    nlp_poll *poll;
} nlp_adapter_options;

/* Fills *folder (zeroed; closed by the caller on failure too) with what the files say, and the writer with
 * the pack, which the caller finishes. NLP_EUNSUPPORTED for adapters of another kind, or on other linears
 * than a layer's attention and feed-forward ones. */
nlp_status nlp_adapter_assemble(nlp_model_folder *folder, const nlp_adapter_options *options,
                                nlp_pack_writer *writer, nlp_error *err);

#endif
