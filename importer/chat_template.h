/* chat_template.h: which of the known chat formats a model's template is, by marks in its text. Templates
 * are programs of strangers and are never run. */
#ifndef NLP_IMPORTER_CHAT_TEMPLATE_H
#define NLP_IMPORTER_CHAT_TEMPLATE_H

#include "model_folder.h"

/* Sets folder->chat_template: the name that is given ("none" for no format), else that of the folder's
 * template, of chat_template.jinja or tokenizer_config.json, by its marks. NLP_EUNSUPPORTED for one that
 * has the marks of none, with the names in the hint. */
nlp_status nlp_chat_template_read(nlp_model_folder *folder, const char *given, nlp_error *err);

#endif
