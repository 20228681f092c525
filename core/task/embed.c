/* embed.c: vectors of texts: embed, embed_query, similarity. */
#include <string.h>

#include "task/task.h"

static const nlp_column one_text[] = {{"text", NLP_TYPE_TEXT}},
                        two_texts[] = {{"a", NLP_TYPE_TEXT}, {"b", NLP_TYPE_TEXT}};
static const nlp_column vector_column[] = {{"embedding", NLP_TYPE_VECTOR}},
                        real_column[] = {{"similarity", NLP_TYPE_REAL}};
static const nlp_option_spec embed_options[] = {
    NLP_OPTION_ON_OVERFLOW, NLP_OPTION_ON_ERROR,   NLP_OPTION_NORMALIZE, NLP_OPTION_POOLING,
    NLP_OPTION_INPUT_TYPE,  NLP_OPTION_DIMENSIONS, NLP_OPTION_MAX_TOKENS};
static const nlp_option_spec query_options[] = {NLP_OPTION_ON_OVERFLOW, NLP_OPTION_ON_ERROR,
                                                NLP_OPTION_NORMALIZE,   NLP_OPTION_POOLING,
                                                NLP_OPTION_DIMENSIONS,  NLP_OPTION_MAX_TOKENS};
static const nlp_option_spec similarity_options[] = {NLP_OPTION_ON_OVERFLOW, NLP_OPTION_ON_ERROR,
                                                     NLP_OPTION_POOLING, NLP_OPTION_DIMENSIONS,
                                                     NLP_OPTION_MAX_TOKENS};

static nlp_pool_options pool_options(const nlp_task_call *call) {
    return (nlp_pool_options){.pooling = call->options->pooling,
                              .dimensions = call->options->dimensions,
                              .no_normalize = !call->options->normalize};
}

nlp_status nlp_task_pool_window(const nlp_task_call *call, const nlp_window *window,
                                const float *hidden, float *scratch, nlp_error *err) {
    nlp_pool_options options = pool_options(call);
    options.n_prompt_tokens = window->n_prompt_tokens;
    return nlp_pool_text(call->model->pooler, call->kernels, call->model->stack->spec.hidden_size,
                         hidden, window->n_tokens, &options, window->out, scratch, err);
}

/* Shared with fitting, which wants the vectors and no cells. */
nlp_status nlp_task_embed(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                          float **vectors, uint32_t *dims, nlp_output *outputs, nlp_error *err) {
    nlp_pool_options options = pool_options(call);
    uint32_t all = nlp_pool_dims(call->model->pooler, call->model->stack->spec.hidden_size, NULL);
    if (!call->model->pooler->spec.struct_size || options.pooling) {
        nlp_pool_options uncut = options;
        uncut.dimensions = 0;
        all = nlp_pool_dims(call->model->pooler, call->model->stack->spec.hidden_size, &uncut);
    }
    if (options.dimensions > all)
        return nlp_fail(err, NLP_EINVAL, "dimensions is %u, vectors of %s have %u",
                        options.dimensions, call->model->name, all);
    *dims = nlp_pool_dims(call->model->pooler, call->model->stack->spec.hidden_size, &options);
    NLP_TRY(
        nlp_task_encode(call, texts, n_texts, nlp_task_pool_window, *dims, vectors, outputs, err));
    /* the mean of several windows of unit length is shorter */
    for (size_t i = 0; call->options->on_overflow == NLP_OVERFLOW_CHUNK &&
                       call->options->normalize && i < n_texts;
         i++)
        if (outputs[i].n_tokens > call->model->stack->spec.max_tokens || call->options->max_tokens)
            nlp_normalize(call->kernels, *vectors + i * *dims, *dims);
    return NLP_OK;
}

nlp_status nlp_task_embed_all(nlp_task_call *call, const nlp_text *texts, size_t n_texts,
                              float **vectors, uint32_t *dims, nlp_output *outputs,
                              nlp_error *err) {
    enum { BATCH = 512 };
    nlp_pool_options options = pool_options(call);
    *dims = nlp_pool_dims(call->model->pooler, call->model->stack->spec.hidden_size, &options);
    *vectors = nlp_arena_push(call->scratch, n_texts, *dims * sizeof **vectors);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t first = 0; first < n_texts; first += BATCH) {
        size_t n = n_texts - first < BATCH ? n_texts - first : BATCH;
        float *rows;
        nlp_arena batch;
        nlp_task_call own = *call;
        nlp_word_cache words = {0};
        nlp_arena_init(&batch, call->scratch->mem);
        own.scratch = &batch, own.cache = &words;
        nlp_status status =
            nlp_task_embed(&own, texts + first, n, &rows, dims, outputs + first, err);
        if (status == NLP_OK) memcpy(*vectors + first * *dims, rows, n * *dims * sizeof *rows);
        nlp_arena_deinit(&batch);
        NLP_TRY(status);
    }
    return NLP_OK;
}

static nlp_status run_embed(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                            nlp_error *err) {
    float *vectors;
    uint32_t dims;
    NLP_TRY(nlp_task_embed(call, request->texts, request->n_inputs, &vectors, &dims, outputs, err));
    float *kept = nlp_arena_push(call->arena, request->n_inputs, dims * sizeof *kept);
    NLP_TRY(nlp_arena_status(call->arena, err));
    memcpy(kept, vectors, request->n_inputs * dims * sizeof *kept);
    for (size_t i = 0; i < request->n_inputs; i++) {
        nlp_value *cell = nlp_task_row(call, &outputs[i], 1, 1);
        if (cell && outputs[i].status == NLP_OK)
            *cell = (nlp_value){.type = NLP_TYPE_VECTOR, .n = dims, .as.vector = kept + i * dims};
    }
    return nlp_arena_status(call->arena, err);
}

static nlp_status run_query(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                            nlp_error *err) {
    nlp_task_options options = *call->options;
    nlp_task_call query = *call;
    options.is_query = true;
    query.options = &options;
    return run_embed(&query, request, outputs, err);
}

/* Texts lie in pairs; of two outputs the first is the pair's. */
static nlp_status run_similarity(nlp_task_call *call, const nlp_request *request,
                                 nlp_output *outputs, nlp_error *err) {
    float *vectors;
    uint32_t dims;
    nlp_output *both = NLP_PUSH_ZERO(call->scratch, nlp_output, 2 * request->n_inputs);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    NLP_TRY(
        nlp_task_embed(call, request->texts, 2 * request->n_inputs, &vectors, &dims, both, err));
    for (size_t i = 0; i < request->n_inputs; i++) {
        double cosine;
        nlp_value *cell = nlp_task_row(call, &outputs[i], 1, 1);
        if (nlp_task_sum_up(both + 2 * i, 2, &outputs[i]) != NLP_OK || !cell) continue;
        NLP_TRY(nlp_vector_cosine(vectors + 2 * i * dims, dims, vectors + (2 * i + 1) * dims, dims,
                                  &cosine, err));
        *cell = nlp_value_real(cosine);
    }
    return nlp_arena_status(call->arena, err);
}

#define SPEC(name_, help_, operands_, n_, columns_, options_)                                      \
    {                                                                                              \
        .struct_size = sizeof(nlp_task_spec), .name = name_, .help = help_, .operands = operands_, \
        .n_operands = n_, .columns = columns_, .n_columns = 1, .model_setting = "embed_model",     \
        .default_model = "minilm", .options = options_,                                            \
        .n_options = sizeof options_ / sizeof *options_                                            \
    }
static const nlp_task_spec embed_spec =
    SPEC("embed", "the vector of a text", one_text, 1, vector_column, embed_options);
static const nlp_task_spec query_spec =
    SPEC("embed_query", "the vector of a search query", one_text, 1, vector_column, query_options);
static const nlp_task_spec similarity_spec =
    SPEC("similarity", "the cosine of the vectors of two texts", two_texts, 2, real_column,
         similarity_options);

const nlp_task_vtable nlp_task_embed_text = {.struct_size = sizeof(nlp_task_vtable),
                                             .spec = &embed_spec,
                                             .run_batch = run_embed,
                                             .models = NLP_MODEL_EMBEDS};
const nlp_task_vtable nlp_task_embed_query = {
    .struct_size = sizeof(nlp_task_vtable), .spec = &query_spec, .run_batch = run_query};
const nlp_task_vtable nlp_task_similarity = {.struct_size = sizeof(nlp_task_vtable),
                                             .spec = &similarity_spec,
                                             .run_batch = run_similarity,
                                             .models = NLP_MODEL_EMBEDS};
