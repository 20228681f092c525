/* rerank.c: how well documents answer a query: rerank_score, rerank. The model is a cross encoder, a
 * classifier of pairs with one label, or a decoder that is asked to say yes or no: its score is the
 * sigmoid of logit(yes) - logit(no) behind the prompt (Qwen3-Reranker's recipe, whose prompt is the
 * default here), or a model of vectors: cosines (match.c where it has states of tokens). */
#include <string.h>

#include "task/task.h"

static const nlp_column query_and_document[] = {{"query", NLP_TYPE_TEXT},
                                                {"document", NLP_TYPE_TEXT}},
                        query_and_documents[] = {{"query", NLP_TYPE_TEXT},
                                                 {"documents", NLP_TYPE_TEXTS}};
static const nlp_column score_column[] = {{"score", NLP_TYPE_REAL}};
static const nlp_column rank_columns[] = {
    {"ord", NLP_TYPE_INTEGER}, {"score", NLP_TYPE_REAL}, {"document", NLP_TYPE_TEXT}};

/* The model card's words, with an empty train of thought at the end. */
static const char qwen_prompt[] =
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
    "Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n"
    "<|im_start|>user\n<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n";
static const char qwen_instruction[] =
    "Given a web search query, retrieve relevant passages that answer the query";

#define RERANK_OPTIONS                                                                             \
    {"instruction",                                                                                \
     NLP_TYPE_TEXT,                                                                                \
     NULL,                                                                                         \
     0,                                                                                            \
     0,                                                                                            \
     qwen_instruction,                                                                             \
     "what a decoder looks for, in place of {instruction}"},                                       \
        {"prompt",                                                                                 \
         NLP_TYPE_TEXT,                                                                            \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         qwen_prompt,                                                                              \
         "how a decoder is asked, with {query} and {document}"},                                   \
        {"yes", NLP_TYPE_TEXT, NULL, 0, 0, "yes", "the token of a decoder that says yes"},         \
        {"no", NLP_TYPE_TEXT, NULL, 0, 0, "no", "the token of a decoder that says no"},            \
        {"raw", NLP_TYPE_BOOLEAN, NULL, 0, 0, "false", "scores before sigmoid"},                   \
        {"sigmoid",                                                                                \
         NLP_TYPE_BOOLEAN,                                                                         \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         "false",                                                                                  \
         "scores from 0 to 1, also of a model whose files say raw ones"},                          \
        NLP_OPTION_CUT_OR_ERROR, NLP_OPTION_ON_ERROR, NLP_OPTION_MAX_TOKENS
static const nlp_option_spec score_options[] = {RERANK_OPTIONS};
static const nlp_option_spec rank_options[] = {NLP_OPTION_K(1000000, "10"), RERANK_OPTIONS};

/* Pairs of the whole call: pair i is of queries[i] and documents[i]. */
typedef struct judging {
    const nlp_text *queries, *documents; /* [n] */
    size_t n;
    float *scores, *margins; /* [n]; margins: before the sigmoid */
    nlp_output *outputs;     /* [n] */
} judging;

/* ---- Cross encoders ---- */

static nlp_status score_pairs(nlp_task_call *call, judging *j, nlp_error *err) {
    nlp_task_call pass = *call;
    float *rows;
    pass.pairs = j->documents;
    NLP_TRY(nlp_task_scores(&pass, j->queries, j->n, &rows, j->outputs, err));
    for (size_t i = 0; i < j->n; i++) j->scores[i] = rows[2 * i], j->margins[i] = rows[2 * i + 1];
    if (!call->options->sigmoid || call->options->raw) return NLP_OK;
    memcpy(j->scores, j->margins, j->n * sizeof *j->scores);
    call->kernels->activate(j->scores, j->n, NLP_ACT_SIGMOID);
    return NLP_OK;
}

/* ---- Decoders ---- */

typedef struct verdict { /* for the readout, and while prompts are made */
    int32_t yes, no;
    judging *j;
    nlp_windows windows;
} verdict;

static nlp_status find_token(nlp_task_call *call, const char *key, nlp_text text, int32_t *id,
                             nlp_error *err) {
    nlp_encoding e;
    nlp_encode_options options = {.no_special_tokens = true};
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, &text, NULL, &options, call->scratch,
                                 call->poll, &e, err));
    if (e.n != 1)
        return nlp_fail(err, NLP_EINVAL,
                        "option \"%s\" must be one token of model %s, it is %zu of them", key,
                        call->model->name, e.n);
    *id = e.ids[0];
    return NLP_OK;
}

static bool is_own_prompt(nlp_text prompt) {
    return prompt.n_bytes == sizeof qwen_prompt - 1 &&
           !memcmp(prompt.bytes, qwen_prompt, prompt.n_bytes);
}

/* The default prompt is for models that know its marks: another would read them as plain text and
 * answer something. */
static nlp_status check_prompt(nlp_task_call *call, nlp_error *err) {
    nlp_encoding e;
    nlp_encode_options options = {.no_special_tokens = true};
    nlp_text mark = {"<|im_start|>", 12};
    if (!is_own_prompt(call->options->prompt)) return NLP_OK;
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, &mark, NULL, &options, call->scratch,
                                 call->poll, &e, err));
    if (e.n == 1) return NLP_OK;
    nlp_fail(err, NLP_EUNSUPPORTED, "model %s does not know the marks of Qwen3-Reranker's prompt",
             call->model->name);
    nlp_hint(err, "give its own by the options prompt, yes and no");
    return NLP_EUNSUPPORTED;
}

/* The document loses its end where the prompt is too long, since what stands behind it is the
 * question. */
static nlp_status cut_document(nlp_task_call *call, nlp_encoding *e, size_t start, size_t end,
                               nlp_output *output, nlp_error *err) {
    size_t limit = nlp_task_token_limit(call), excess = e->n - limit, last = 0, n = 0;
    if (call->options->on_overflow == NLP_OVERFLOW_ERROR)
        return nlp_task_over_limit(call, e->n, err);
    for (size_t i = 0; i < e->n; i++) {
        if (e->sequence[i] < 0 || e->start[i] < start || e->end[i] > end) continue;
        last = i + 1;
        n++;
    }
    if (n < excess)
        return nlp_fail(err, NLP_ELIMIT, "a query and its prompt need %zu tokens, the limit is %zu",
                        e->n - n, limit);
    memmove(e->ids + last - excess, e->ids + last, (e->n - last) * sizeof *e->ids);
    e->n = limit;
    e->truncated = output->truncated = true;
    return NLP_OK;
}

static nlp_status make_prompt(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                              nlp_error *err) {
    verdict *v = job;
    nlp_blank blanks[] = {{.name = "query", .value = v->j->queries[i]},
                          {.name = "document", .value = v->j->documents[i]},
                          {.name = "instruction", .value = call->options->instruction}};
    nlp_text text;
    nlp_encoding e;
    nlp_encode_options plain = {0};
    NLP_TRY(nlp_task_fill_blanks(call, call->options->prompt, blanks, 3, &text, err));
    if (blanks[0].n_found != 1 || blanks[1].n_found != 1)
        return nlp_fail(err, NLP_EINVAL,
                        "option \"prompt\" must have {query} and {document} once each");
    NLP_TRY(nlp_tokenizer_encode(call->model->tokenizer, &text, NULL, &plain, call->scratch,
                                 call->poll, &e, err));
    size_t at = blanks[1].at;
    if (e.n > nlp_task_token_limit(call))
        NLP_TRY(cut_document(call, &e, at, at + v->j->documents[i].n_bytes, output, err));
    nlp_task_count_tokens(call, &e, output);
    uint32_t *place = NLP_PUSH(call->scratch, uint32_t, 1);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    *place = (uint32_t)e.n - 1;
    nlp_window window = {.text = i,
                         .ids = e.ids,
                         .n_tokens = (uint32_t)e.n,
                         .places = place,
                         .n_places = 1,
                         .out = &v->j->margins[i]};
    return nlp_windows_push(call, &v->windows, window, err);
}

static nlp_status read_verdict(const nlp_task_call *call, const nlp_window *window,
                               const float *hidden, float *scratch, nlp_error *err) {
    const verdict *v = call->job;
    const float *logits;
    size_t width = call->model->stack->spec.hidden_size;
    NLP_TRY(nlp_task_outputs(call, hidden + window->places[0] * width, scratch, &logits, err));
    *window->out = logits[v->yes] - logits[v->no];
    return NLP_OK;
}

static nlp_status ask_decoder(nlp_task_call *call, judging *j, nlp_error *err) {
    verdict v = {.j = j};
    nlp_task_call pass = *call;
    pass.job = &v;
    NLP_TRY(check_prompt(call, err));
    NLP_TRY(find_token(call, "yes", call->options->yes, &v.yes, err));
    NLP_TRY(find_token(call, "no", call->options->no, &v.no, err));
    NLP_TRY(nlp_task_each(call, j->n, make_prompt, &v, j->outputs, err));
    NLP_TRY(nlp_task_run(&pass, &v.windows, read_verdict, err));
    NLP_TRY(nlp_task_check_finite(call, j->margins, j->n, err));
    memcpy(j->scores, j->margins, j->n * sizeof *j->scores);
    if (!call->options->raw) call->kernels->activate(j->scores, j->n, NLP_ACT_SIGMOID);
    return NLP_OK;
}

/* ---- Models of vectors ---- */

/* Neighbours have the same query, which is embedded once: as a query, with the model's prompt for those. */
static nlp_status embed_queries(nlp_task_call *call, const judging *j, size_t *query_of,
                                float **rows, uint32_t *dims, nlp_output **outputs,
                                nlp_error *err) {
    nlp_task_options options = *call->options;
    nlp_task_call asking = *call;
    nlp_text *queries = NLP_PUSH(call->scratch, nlp_text, j->n);
    *outputs = NLP_PUSH_ZERO(call->scratch, nlp_output, j->n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    size_t n = nlp_task_merge_neighbours(j->queries, j->n, queries, query_of);
    options.is_query = true;
    asking.options = &options;
    return nlp_task_embed_all(&asking, queries, n, rows, dims, *outputs, err);
}

static nlp_status match_pairs(nlp_task_call *call, judging *j, nlp_error *err) {
    nlp_match_pairs pairs = {.queries = j->queries,
                             .documents = j->documents,
                             .n = j->n,
                             .scores = j->scores,
                             .outputs = j->outputs};
    NLP_TRY(nlp_task_match(call, &pairs, err));
    memcpy(j->margins, j->scores, j->n * sizeof *j->scores);
    return NLP_OK;
}

/* The score is the cosine of query and document, with that of their tokens where the model has such. */
static nlp_status liken_pairs(nlp_task_call *call, judging *j, nlp_error *err) {
    if (nlp_task_matches(call->model)) return match_pairs(call, j, err);
    size_t *query_of = NLP_PUSH(call->scratch, size_t, j->n);
    float *queries, *documents;
    uint32_t dims;
    nlp_output *query_outputs;
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(embed_queries(call, j, query_of, &queries, &dims, &query_outputs, err));
    NLP_TRY(nlp_task_embed_all(call, j->documents, j->n, &documents, &dims, j->outputs, err));
    for (size_t i = 0; i < j->n; i++) {
        double cosine;
        nlp_task_sum_up(&query_outputs[query_of[i]], 1, &j->outputs[i]);
        NLP_TRY(nlp_vector_cosine(queries + query_of[i] * dims, dims, documents + i * dims, dims,
                                  &cosine, err));
        j->scores[i] = j->margins[i] = (float)cosine;
        NLP_TRY(nlp_poll_work(call->poll, 3 * dims, err));
    }
    return NLP_OK;
}

/* ---- All three ---- */

static nlp_status judge(nlp_task_call *call, judging *j, nlp_error *err) {
    const nlp_task_model *m = call->model;
    j->scores = NLP_PUSH_ZERO(call->scratch, float, j->n);
    j->margins = NLP_PUSH_ZERO(call->scratch, float, j->n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    if (m->head->spec.head == NLP_HEAD_SEQUENCE && m->head->spec.n_labels == 1)
        return score_pairs(call, j, err);
    if (!m->head->spec.struct_size && m->stack->spec.kind == NLP_KIND_DECODER &&
        m->stack->spec.n_outputs)
        return ask_decoder(call, j, err);
    if (nlp_task_likens(m)) {
        if (call->options->sigmoid || call->options->raw)
            return nlp_fail(err, NLP_EINVAL,
                            "scores of model %s are cosines: \"sigmoid\" and \"raw\" are for "
                            "other rerankers",
                            m->name);
        return liken_pairs(call, j, err);
    }
    nlp_fail(err, NLP_EUNSUPPORTED,
             "model %s is no reranker: that has one score for a pair of texts", m->name);
    nlp_hint(
        err,
        "nlp import takes cross encoders, decoders like Qwen3-Reranker, and models of vectors");
    return NLP_EUNSUPPORTED;
}

static nlp_status run_score(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                            nlp_error *err) {
    size_t n = request->n_inputs;
    nlp_text *texts = nlp_arena_push(call->scratch, n, 2 * sizeof *texts);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < n; i++) {
        texts[i] = request->texts[2 * i];
        texts[n + i] = request->texts[2 * i + 1];
    }
    judging j = {.queries = texts, .documents = texts + n, .n = n, .outputs = outputs};
    NLP_TRY(judge(call, &j, err));
    for (size_t i = 0; i < n; i++) {
        if (outputs[i].status != NLP_OK) continue;
        nlp_value *cell = nlp_task_row(call, &outputs[i], 1, 1);
        NLP_TRY(nlp_arena_status(call->arena, err));
        *cell = nlp_value_real((double)j.scores[i]);
    }
    return NLP_OK;
}

/* ---- Ranking ---- */

typedef struct ranking {
    const nlp_text *texts; /* [n][2] of the request */
    struct {
        nlp_text *documents;
        size_t n, first;
    } * lists; /* [n] */
} ranking;

static nlp_status read_list(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                            nlp_error *err) {
    ranking *r = job;
    (void)output;
    return nlp_task_list(call, &r->texts[2 * i + 1], &r->lists[i].documents, &r->lists[i].n, err);
}

/* One list of pairs for all inputs, so that they share the batch. */
static nlp_status flatten(nlp_task_call *call, ranking *r, size_t n_inputs, judging *j,
                          nlp_error *err) {
    for (size_t i = 0; i < n_inputs; i++) {
        r->lists[i].first = j->n;
        j->n += r->lists[i].n;
    }
    nlp_text *texts = nlp_arena_push(call->scratch, j->n, 2 * sizeof *texts);
    j->outputs = NLP_PUSH_ZERO(call->scratch, nlp_output, j->n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    j->queries = texts;
    j->documents = texts + j->n;
    for (size_t i = 0; i < n_inputs; i++)
        for (size_t k = 0; k < r->lists[i].n; k++) {
            texts[r->lists[i].first + k] = r->texts[2 * i];
            texts[j->n + r->lists[i].first + k] = r->lists[i].documents[k];
        }
    return NLP_OK;
}

static nlp_status put_ranking(nlp_task_call *call, const judging *j, size_t first, size_t n,
                              nlp_output *output, nlp_error *err) {
    if (nlp_task_sum_up(j->outputs + first, n, output) != NLP_OK) return NLP_OK;
    uint32_t n_rows = n < call->options->k ? (uint32_t)n : call->options->k;
    uint32_t *order = nlp_arena_push(call->scratch, n, 2 * sizeof *order);
    nlp_value *cells = nlp_task_row(call, output, n_rows, 3);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(nlp_arena_status(call->arena, err));
    nlp_task_sort(j->scores + first, j->margins + first, n, order);
    for (uint32_t i = 0; i < n_rows; i++, cells += 3) {
        cells[0] = nlp_value_integer((int64_t)order[i] + 1);
        cells[1] = nlp_value_real((double)j->scores[first + order[i]]);
        cells[2] = nlp_value_text(j->documents[first + order[i]]);
    }
    return NLP_OK;
}

static nlp_status run_rank(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                           nlp_error *err) {
    size_t n = request->n_inputs;
    judging j = {0};
    ranking r = {.texts = request->texts,
                 .lists = nlp_arena_push_zero(call->scratch, n, sizeof *r.lists)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(nlp_task_each(call, n, read_list, &r, outputs, err));
    NLP_TRY(flatten(call, &r, n, &j, err));
    NLP_TRY(judge(call, &j, err));
    for (size_t i = 0; i < n; i++)
        if (outputs[i].status == NLP_OK)
            NLP_TRY(put_ranking(call, &j, r.lists[i].first, r.lists[i].n, &outputs[i], err));
    return NLP_OK;
}

#define SPEC(name_, help_, operands_, columns_, n_, options_)                                      \
    .struct_size = sizeof(nlp_task_spec), .name = name_, .help = help_, .operands = operands_,     \
    .n_operands = 2, .columns = columns_, .n_columns = n_, .model_setting = "rerank_model",        \
    .default_model = "minilm", .options = options_,                                                \
    .n_options = sizeof options_ / sizeof *options_
static const nlp_task_spec score_spec = {SPEC("rerank_score", "how well a document answers a query",
                                              query_and_document, score_column, 1, score_options)};
static const nlp_task_spec rank_spec = {
    SPEC("rerank", "documents by how well they answer a query, best first", query_and_documents,
         rank_columns, 3, rank_options),
    .returns_rows = true, .tunable = "k"};

const nlp_task_vtable nlp_task_rerank_score = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &score_spec, .run_batch = run_score};
const nlp_task_vtable nlp_task_rerank = {.struct_size = sizeof(nlp_task_vtable),
                                         .spec = &rank_spec,
                                         .run_batch = run_rank,
                                         .models = NLP_MODEL_SCORES | NLP_MODEL_CHOOSES |
                                                   NLP_MODEL_LIKENS};
