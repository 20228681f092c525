/* builtins.c: the one list of what comes with the engine. A new task is one file in task/ and one
 * line here. */
#include "engine/engine.h"

static const nlp_task_vtable *const tasks[] = {
    &nlp_task_embed_text,
    &nlp_task_embed_query,
    &nlp_task_similarity,
    &nlp_task_sentiment,
    &nlp_task_sentiment_score,
    &nlp_task_classify,
    &nlp_task_classify_scores,
    &nlp_task_confidence,
    &nlp_task_token_count,
    &nlp_task_unknown_count,
    &nlp_task_tokenize,
    &nlp_task_tokens,
    &nlp_task_detokenize,
    &nlp_task_would_truncate,
    &nlp_task_entities,
    &nlp_task_answer,
    &nlp_task_answer_span,
    &nlp_task_fill_mask,
    &nlp_task_zero_shot,
    &nlp_task_zero_shot_scores,
    &nlp_task_rerank_score,
    &nlp_task_rerank,
    &nlp_task_generate,
    &nlp_task_translate,
    &nlp_task_chat,
    &nlp_task_summarize,
    &nlp_task_extract,
    &nlp_task_chunk,
    &nlp_task_filter,
};

nlp_status nlp_builtins_add(const nlp_host_api *host, nlp_error *err) {
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        NLP_TRY(host->add(host, NLP_KIND_OF_TASK, tasks[i], err));
    return NLP_OK;
}
