/* readout.c: pooling pipelines and heads. Their products are f32 in every precision of a pack. */
#include "model/readout.h"

#include <string.h>

static uint32_t pooling_of(const nlp_pooler *p, const nlp_pool_options *o) {
    if (o && o->pooling) return o->pooling;
    return p->spec.pooling ? p->spec.pooling : NLP_POOL_MEAN;
}

/* The stages belong to the pack's own pooling: another one skips Dense, but still normalises. */
static bool own_pipeline(const nlp_pooler *p, const nlp_pool_options *o) {
    return p->spec.struct_size && pooling_of(p, o) == p->spec.pooling;
}

size_t nlp_readout_scratch_floats(const nlp_pooler *pooler, const nlp_head *head,
                                  uint32_t hidden_size) {
    size_t widest = 6 * (size_t)hidden_size;
    for (uint32_t i = 0; i < pooler->spec.n_stages; i++)
        if (pooler->dense[i].n > widest) widest = pooler->dense[i].n;
    if (head && head->hidden.n > widest) widest = head->hidden.n;
    return 2 * (widest + NLP_PANEL);
}

uint32_t nlp_pool_dims(const nlp_pooler *p, uint32_t hidden_size, const nlp_pool_options *o) {
    uint32_t dims = hidden_size * (uint32_t)__builtin_popcount(pooling_of(p, o));
    if (own_pipeline(p, o)) dims = p->spec.dims;
    return o && o->dimensions && o->dimensions < dims ? o->dimensions : dims;
}

static nlp_status run_dense(const nlp_pooler *p, const nlp_kernels *kernels, uint32_t stage,
                            const float *in, float *out, nlp_error *err) {
    nlp_rows rows = {.f32 = in};
    nlp_epilogue e = {.act = (nlp_activation)p->spec.stage_activation[stage]};
    return nlp_gemm(kernels, &p->dense[stage], 1, &rows, &e, out, NULL, err);
}

/* Each pooling of the pipeline adds its vector behind the last; then the stages run over the
 * whole. */
nlp_status nlp_pool_text(const nlp_pooler *p, const nlp_kernels *kernels, uint32_t hidden_size,
                         const float *hidden, size_t n_tokens, const nlp_pool_options *o,
                         float *out, float *scratch, nlp_error *err) {
    uint32_t kinds = pooling_of(p, o), dims = nlp_pool_dims(p, hidden_size, o), width = 0;
    size_t first = o && p->spec.exclude_prompt ? o->n_prompt_tokens : 0;
    float *vector = scratch,
          *other = scratch + nlp_readout_scratch_floats(p, NULL, hidden_size) / 2;
    for (uint32_t kind = NLP_POOL_CLS; kind <= NLP_POOL_LAST; kind *= 2) {
        if (!(kinds & kind)) continue;
        nlp_pool(kernels, kind, hidden, n_tokens, first, hidden_size, vector + width);
        width += hidden_size;
    }
    bool own = own_pipeline(p, o), normalised = !p->spec.struct_size || !own;
    for (uint32_t i = 0; own && i < p->spec.n_stages; i++) {
        if (p->spec.stages[i] == NLP_STAGE_NORMALIZE) {
            normalised = true;
            if (i + 1 < p->spec.n_stages) nlp_normalize(kernels, vector, width);
            continue;
        }
        NLP_TRY(run_dense(p, kernels, i, vector, other, err));
        width = (uint32_t)p->dense[i].n;
        float *swap = vector;
        vector = other, other = swap;
        normalised = false;
    }
    memcpy(out, vector, dims * sizeof *out);
    if (normalised && !(o && o->no_normalize)) nlp_normalize(kernels, out, dims);
    return NLP_OK;
}

const float *nlp_head_row(const nlp_head *head, const nlp_kernels *kernels, const float *hidden,
                          size_t n_tokens, size_t width, float *mean) {
    if (head->spec.at == NLP_HEAD_AT_FIRST) return hidden;
    if (head->spec.at == NLP_HEAD_AT_LAST) return hidden + (n_tokens - 1) * width;
    nlp_pool(kernels, NLP_POOL_MEAN, hidden, n_tokens, 0, width, mean);
    return mean;
}

nlp_status nlp_head_run(const nlp_head *head, const nlp_kernels *kernels, const float *row,
                        float *logits, float *scratch, nlp_poll *poll, nlp_error *err) {
    nlp_rows rows = {.f32 = row};
    if (head->hidden.panels) {
        nlp_epilogue e = {.act = (nlp_activation)head->spec.hidden_activation};
        NLP_TRY(nlp_gemm(kernels, &head->hidden, 1, &rows, &e, scratch, poll, err));
        rows.f32 = scratch;
    }
    if (head->norm.gain) {
        kernels->norm(&(nlp_norm_args){.rows = rows.f32,
                                       .out = scratch,
                                       .n_rows = 1,
                                       .width = head->classifier.k,
                                       .gain = head->norm.gain,
                                       .bias = head->norm.bias,
                                       .eps = head->spec.norm_eps});
        rows.f32 = scratch;
    }
    return nlp_gemm(kernels, &head->classifier, 1, &rows, NULL, logits, poll, err);
}

void nlp_head_scores(const nlp_head *head, const nlp_kernels *kernels, float *logits) {
    if (head->spec.score == NLP_SCORE_SOFTMAX) kernels->softmax(logits, head->spec.n_labels);
    if (head->spec.score == NLP_SCORE_SIGMOID)
        kernels->activate(logits, head->spec.n_labels, NLP_ACT_SIGMOID);
}
