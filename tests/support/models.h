/* models.h: packs for tests, imported once from tests/data/models into a temporary folder of this
 * process. */
#ifndef NLP_TEST_MODELS_H
#define NLP_TEST_MODELS_H

#include "model/spec.h"
#include "pack/pack.h"
#include "text/tokenizer.h"

/* The folder, mode 0755; it and what lies in it goes when the process ends. */
const char *nlp_test_folder(void);
/* Path of NAME.nlp in that folder, f32; NULL (and a failure) where the import fails. */
const char *nlp_test_pack(const char *name);
/* A pack without an engine. */
typedef struct nlp_opened {
    uint8_t *bytes;
    size_t n_bytes;
    nlp_pack pack;
    nlp_tokenizer *tokenizer;
    nlp_generation_spec generation; /* struct_size 0: none */
} nlp_opened;
/* By its path; nlp_test_open: the pack of tests/data/models/NAME, or of tests/data/gguf/NAME. A failure
 * is reported and gives an empty one. */
nlp_opened nlp_test_open_path(const char *path);
nlp_opened nlp_test_open(const char *name);
void nlp_test_close(nlp_opened *opened);
/* An engine over that folder with a session; both to be closed. */
void nlp_test_engine(nlp_engine **engine, nlp_session **session);
nlp_text nlp_test_text(const char *text);
/* One text through a task; the status. */
nlp_status nlp_test_run(nlp_session *session, const nlp_task_spec *task, nlp_model *model,
                        const char *text, const char *options_key, const char *options_text,
                        const nlp_result **result, nlp_error *err);

#endif
