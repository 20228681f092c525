/* models.h: packs for tests, imported once from tests/data/models into a temporary folder of this
 * process. */
#ifndef NLP_TEST_MODELS_H
#define NLP_TEST_MODELS_H

#include "nlp.h"

/* The folder, mode 0755; it and what lies in it goes when the process ends. */
const char *nlp_test_folder(void);
/* Path of NAME.nlp in that folder, f32; NULL (and a failure) where the import fails. */
const char *nlp_test_pack(const char *name);
/* An engine over that folder with a session; both to be closed. */
void nlp_test_engine(nlp_engine **engine, nlp_session **session);
nlp_text nlp_test_text(const char *text);
/* One text through a task; the status. */
nlp_status nlp_test_run(nlp_session *session, const nlp_task_spec *task, nlp_model *model,
                        const char *text, const char *options_key, const char *options_text,
                        const nlp_result **result, nlp_error *err);

#endif
