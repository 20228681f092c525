/* chat_template.h: which of the known chat formats a model's template is, by marks in its text. Templates
 * are programs of strangers and are never run. */
#ifndef NLP_IMPORTER_CHAT_TEMPLATE_H
#define NLP_IMPORTER_CHAT_TEMPLATE_H

#include "model_folder.h"

/* Sets folder->chat_template and, by its template, the texts of chats: the name that is given ("none" for no format), else that of the folder's
 * template, of chat_template.jinja or tokenizer_config.json, by its marks. NLP_EUNSUPPORTED for one that
 * has the marks of none, with the names in the hint. */
nlp_status nlp_chat_template_read(nlp_model_folder *folder, const char *given, nlp_error *err);
/* The name of format `index` in the order of the marks; NULL behind the last. */
const char *nlp_chat_template_name(size_t index);
/* chat_texts.c: sets folder->chat_begin (where the template puts the token before a text), chat_system
 * (the text it says where a chat has no system message) and chat_no_thinking. */
nlp_status nlp_chat_texts_read(nlp_model_folder *folder, nlp_text text, nlp_error *err);

#endif
