/* assemble.h: from a model's folder to a pack in memory. */
#ifndef NLP_IMPORTER_ASSEMBLE_H
#define NLP_IMPORTER_ASSEMBLE_H

#include "calibration.h"
#include "model_folder.h"
#include "pack/pack.h"

typedef struct nlp_assemble_options {
    const char *name, *meta;            /* meta: "key=text\n..." or NULL */
    nlp_dtype precision;                /* of most products: precision.c */
    const nlp_calibration *calibration; /* for i8 */
    nlp_poll *poll;
} nlp_assemble_options;

/* Fills the writer; the caller finishes it. Every tensor of the source is used, dropped by name, or
 * an error. */
nlp_status nlp_assemble(nlp_model_folder *folder, const nlp_assemble_options *options,
                        nlp_pack_writer *writer, nlp_error *err);

#endif
